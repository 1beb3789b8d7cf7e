// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kinds of memory: all of it can be registered, or mapped by the first version,
 * and the device reaches the process's pages, or nothing is pinned.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>

#include "spapr_one_group.h"

#define KSM		"/sys/kernel/mm/ksm/"
#define SWAP_DEVICE	"/dev/ram0"
/* Where a swap area tells its format, its size, and that it is one */
#define SWAP_HEADER	1024
#define SWAP_MAGIC	"SWAPSPACE2"
#define PAGEMAP_SWAPPED	(1UL << 62)
/* Bus address of the page that a device copies from, in v1 */
#define SEEN		SZ_16M

static char *anonymous(size_t size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		    MAP_ANONYMOUS, -1, 0);
}

/* All of it is the zero page, until it is pinned. */
static char *zero_page(size_t size)
{
	char *buf = anonymous(size);
	size_t at;

	for (at = 0; at < size; at += page_size)
		(void)*(volatile char *)(buf + at);
	return buf;
}

static char *map_memfd(size_t size, int prot, int flags, int seals)
{
	int fd = memfd_create("kind", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char *buf;

	if (fd < 0 || ftruncate(fd, size))
		return MAP_FAILED;
	/* Entries that are mapped already stay writable then. */
	if (seals == F_SEAL_FUTURE_WRITE) {
		buf = mmap(NULL, size, prot, flags, fd, 0);
		fcntl(fd, F_ADD_SEALS, seals);
	} else {
		if (seals)
			fcntl(fd, F_ADD_SEALS, seals);
		buf = mmap(NULL, size, prot, flags, fd, 0);
	}
	close(fd);
	return buf;
}

static char *memfd_shared(size_t size)
{
	return map_memfd(size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
}

static char *memfd_private(size_t size)
{
	return map_memfd(size, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
}

static char *memfd_read_only(size_t size)
{
	return map_memfd(size, PROT_READ, MAP_SHARED, 0);
}

static char *memfd_sealed_later(size_t size)
{
	return map_memfd(size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 F_SEAL_FUTURE_WRITE);
}

static char *memfd_sealed(size_t size)
{
	return map_memfd(size, PROT_READ, MAP_SHARED, F_SEAL_WRITE);
}

static char *memfd_sealed_private(size_t size)
{
	return map_memfd(size, PROT_READ | PROT_WRITE, MAP_PRIVATE,
			 F_SEAL_WRITE);
}

/* The file is shorter than what is mapped of it. */
static char *memfd_truncated(size_t size)
{
	int fd = memfd_create("kind", MFD_CLOEXEC);
	char *buf;

	if (fd < 0 || ftruncate(fd, size / 2))
		return MAP_FAILED;
	buf = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return buf;
}

static char *tmpfs(size_t size)
{
	int fd;
	char *buf;

	mkdir("/tmp", 0777);
	mkdir("/tmp/kind", 0700);
	if (mount("kind", "/tmp/kind", "tmpfs", 0, NULL))
		return MAP_FAILED;
	fd = open("/tmp/kind/file", O_RDWR | O_CREAT, 0600);
	umount2("/tmp/kind", MNT_DETACH);
	if (fd < 0 || ftruncate(fd, size))
		return MAP_FAILED;
	buf = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return buf;
}

static char *half_file_half_anonymous(size_t size)
{
	char *buf = anonymous(size);
	int fd = memfd_create("kind", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, size / 2))
		return MAP_FAILED;
	if (mmap(buf + size / 2, size / 2, PROT_READ | PROT_WRITE, MAP_SHARED |
		 MAP_FIXED, fd, 0) == MAP_FAILED)
		return MAP_FAILED;
	close(fd);
	return buf;
}

static char *transparent_huge(void)
{
	char *buf = buf_alloc(SZ_16M, SZ_16M);

	madvise(buf, SZ_16M, MADV_HUGEPAGE);
	memset(buf, 1, SZ_16M);
	return buf;
}

/* A transparent huge page that is mapped as small ones. */
static char *split_huge(size_t size)
{
	char *buf = transparent_huge();

	mprotect(buf + size, page_size, PROT_READ);
	return buf;
}

/* Pages of one huge page that come back as others. */
static char *punched_huge(size_t size)
{
	char *buf = transparent_huge();

	madvise(buf + page_size, page_size, MADV_DONTNEED);
	return buf;
}

/* Below what the caller uses of it. */
static char *stack(size_t size)
{
	char *top = (char *)((uintptr_t)__builtin_frame_address(0) &
			     -page_size) - SZ_1M;
	size_t at;

	for (at = page_size; at <= size + SZ_1M; at += page_size)
		*(volatile char *)(top + SZ_1M - at) = 1;
	return top - size;
}

static char *vdso(size_t size)
{
	return (char *)getauxval(AT_SYSINFO_EHDR);
}

/* ---- huge pages of files ---- */

static char *hugetlb_private(size_t size)
{
	return buf_alloc_huge(size, 21);
}

static char *hugetlb_shared(size_t size)
{
	return buf_alloc_huge_shared(size, 21);
}

/* ---- pages that are merged ---- */

/* Has the same contents as the memory under test, so KSM merges both. */
static char *twin;

static long merged_pages(void)
{
	char text[32] = "";
	int fd = open("/proc/self/ksm_merging_pages", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return atol(text);
}

/* All pages of it, each with the one of its twin; NULL if there is no KSM. */
static char *merged(size_t size)
{
	char *buf = buf_alloc(size, page_size);
	int tries;

	twin = buf_alloc(size, page_size);
	buf_tag(buf, size);
	buf_tag_for(twin, buf, size);
	if (madvise(buf, size, MADV_MERGEABLE) ||
	    madvise(twin, size, MADV_MERGEABLE) || write_text(KSM "run", "1"))
		return NULL;
	for (tries = 0; tries < 100; tries++) {
		if (merged_pages() == (long)(2 * size / page_size))
			break;
		usleep(50000);
	}
	write_text(KSM "run", "0");
	return tries < 100 ? buf : MAP_FAILED;
}

/* ---- pages that are swapped out ---- */

static bool swap_on(void)
{
	uint32_t info[3] = { 1, SZ_1M / page_size - 1, 0 };
	int fd = open(SWAP_DEVICE, O_RDWR | O_CLOEXEC);
	bool ok;

	ok = fd >= 0 &&
	     pwrite(fd, info, sizeof(info), SWAP_HEADER) == sizeof(info) &&
	     pwrite(fd, SWAP_MAGIC, strlen(SWAP_MAGIC),
		    page_size - strlen(SWAP_MAGIC)) == strlen(SWAP_MAGIC) &&
	     !fsync(fd);
	close(fd);
	return ok && !swapon(SWAP_DEVICE, 0);
}

/* How many pages of it are swapped out. */
static unsigned long swapped_pages(const char *buf, size_t size)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	unsigned long n = 0;
	uint64_t word;
	size_t at;

	for (at = 0; at < size; at += page_size) {
		if (pread(fd, &word, sizeof(word), ((uintptr_t)buf + at) /
			  page_size * sizeof(word)) == sizeof(word))
			n += !!(word & PAGEMAP_SWAPPED);
	}
	close(fd);
	return n;
}

/* NULL if there is no swap. */
static char *swapped(size_t size)
{
	char *buf = buf_alloc(size, page_size);

	buf_tag(buf, size);
	if (!swap_on())
		return NULL;
	if (madvise(buf, size, MADV_PAGEOUT) ||
	    swapped_pages(buf, size) != size / page_size)
		return MAP_FAILED;
	return buf;
}

/* ---- all kinds ---- */

/* All of it or none: nothing is pinned or charged. */
static void refused(struct __test_metadata *_metadata, int c, int error,
		    const void *ua, uint64_t size)
{
	struct usage was = usage_now();

	EXPECT_EQ(-error, spapr_register(c, ua, size));
	expect_usage(_metadata, &was);
}

FIXTURE(kind)
{
	FIXTURE_DATA(one_group) one;
	char *buf;
	size_t size;
};

FIXTURE_VARIANT(kind)
{
	char *(*make)(size_t size);
	int error;
	/* it has tags from the start, as buf_tag() writes them */
	bool tagged;
};

FIXTURE_VARIANT_ADD(kind, anonymous) { anonymous };
FIXTURE_VARIANT_ADD(kind, zero_page) { zero_page };
FIXTURE_VARIANT_ADD(kind, memfd_shared) { memfd_shared };
FIXTURE_VARIANT_ADD(kind, memfd_private) { memfd_private };
FIXTURE_VARIANT_ADD(kind, memfd_read_only) { memfd_read_only, EFAULT };
FIXTURE_VARIANT_ADD(kind, memfd_sealed_later) { memfd_sealed_later };
FIXTURE_VARIANT_ADD(kind, memfd_sealed) { memfd_sealed, EFAULT };
FIXTURE_VARIANT_ADD(kind, memfd_sealed_private) { memfd_sealed_private };
FIXTURE_VARIANT_ADD(kind, memfd_truncated) { memfd_truncated, EFAULT };
FIXTURE_VARIANT_ADD(kind, tmpfs) { tmpfs };
FIXTURE_VARIANT_ADD(kind, half_file) { half_file_half_anonymous };
FIXTURE_VARIANT_ADD(kind, split_huge) { split_huge };
FIXTURE_VARIANT_ADD(kind, punched_huge) { punched_huge };
FIXTURE_VARIANT_ADD(kind, stack) { stack };
FIXTURE_VARIANT_ADD(kind, vdso) { vdso, EFAULT };
FIXTURE_VARIANT_ADD(kind, hugetlb_private) { hugetlb_private };
FIXTURE_VARIANT_ADD(kind, hugetlb_shared) { hugetlb_shared };
FIXTURE_VARIANT_ADD(kind, merged) { merged, 0, true };
FIXTURE_VARIANT_ADD(kind, swapped) { swapped, 0, true };

FIXTURE_SETUP(kind)
{
	self->size = variant->make == vdso ? page_size : 8 * page_size;
	self->buf = variant->make(self->size);
	if (!self->buf)
		SKIP(return, "the kernel has no such memory");
	ASSERT_NE(MAP_FAILED, self->buf);
	one_group_setup(_metadata, &self->one, NULL);
}

FIXTURE_TEARDOWN(kind)
{
	one_group_teardown(_metadata, &self->one, NULL);
	if (variant->make == swapped)
		swapoff(SWAP_DEVICE);
}

/* Before the process touches it: what was there, and in no twin what is new. */
static void expect_its_pages(struct __test_metadata *_metadata,
			     FIXTURE_DATA(kind) *self, char *seen,
			     uint64_t seen_at, bool tagged)
{
	struct edu *edu = &self->one.edu;
	size_t i;

	for (i = 0; i < self->size; i += 3 * page_size) {
		edu_copy(edu, seen_at, i, SZ_4K);
		if (tagged) {
			EXPECT_TRUE(buf_is_tagged(self->buf + i, SZ_4K));
		}
		EXPECT_EQ(0, memcmp(seen, self->buf + i, SZ_4K));
		memset(seen, 0x5a + i / page_size, SZ_4K);
		edu_copy(edu, i, seen_at, SZ_4K);
		EXPECT_EQ(0, memcmp(seen, self->buf + i, SZ_4K));
		if (!twin)
			continue;
		buf_tag_for(seen, self->buf + i, SZ_4K);
		EXPECT_EQ(0, memcmp(seen, twin + i, SZ_4K));
	}
}

/* All of it is registered and charged, or none; devices reach what is. */
TEST_F(kind, register_kind)
{
	int c = self->one.c, i;
	struct probe probe;
	struct usage was;

	ASSERT_EQ(0, probe_init(&probe, c, &self->one.edu, self->one.last));
	was = usage_now();
	if (variant->error) {
		refused(_metadata, c, variant->error, self->buf, self->size);
		return;
	}
	ASSERT_EQ(0, spapr_register(c, self->buf, self->size));
	EXPECT_EQ(was.locked_kb + KB(self->size), locked_kb());
	EXPECT_EQ(was.pinned + self->size / page_size, pinned_pages());
	ASSERT_EQ(0, spapr_map(c, 0, self->buf, self->size));
	expect_its_pages(_metadata, self, (char *)probe.ua, probe.iova,
			 variant->tagged);
	buf_tag(self->buf, self->size);
	for (i = 0; i < 8; i += 3) {
		EXPECT_EQ(READ_WRITE, probe_reach(&probe, i * page_size,
						  self->buf + i * page_size));
	}
	ASSERT_EQ(0, spapr_unmap(c, 0, self->size));
	ASSERT_EQ(0, spapr_unregister(c, self->buf, self->size));
	expect_usage(_metadata, &was);
}

/* The same by a container of v1, which pins as it maps. */
TEST_F(kind, map_kind_v1)
{
	char *seen = buf_alloc(page_size, SZ_64K);
	struct edu *edu = &self->one.edu;
	struct usage was;
	int c, ret;

	edu_close_group(edu);
	c = container_open();
	ASSERT_LE(0, edu_open_group(edu));
	ASSERT_EQ(0, container_add(c, edu));
	ASSERT_EQ(0, container_set_iommu(c, VFIO_SPAPR_TCE_IOMMU));
	ASSERT_EQ(0, spapr_ioctl(c, VFIO_IOMMU_ENABLE, NULL));
	ASSERT_EQ(0, edu_open(edu));
	/* which makes the default window */
	ASSERT_EQ(0, spapr_map(c, SEEN, seen, SZ_4K));
	was = usage_now();
	ret = spapr_map(c, 0, self->buf, self->size);
	EXPECT_EQ(-variant->error, ret);
	if (!ret) {
		EXPECT_EQ(was.pinned + self->size / SZ_4K, pinned_pages());
		expect_its_pages(_metadata, self, seen, SEEN, variant->tagged);
		EXPECT_EQ(0, spapr_unmap(c, 0, self->size));
	}
	expect_usage(_metadata, &was);
	edu_close(edu);
	close(c);
}

/* A device's registers in the midst of memory. */
TEST_F(one_group, register_device_beside_memory)
{
	char *buf = buf_alloc(4 * page_size, page_size);
	int i;

	ASSERT_EQ(0, edu_open(&self->edu));
	/* The first BAR begins at 0 of the file. */
	ASSERT_NE(MAP_FAILED, mmap(buf + 2 * page_size, page_size, PROT_READ |
				   PROT_WRITE, MAP_SHARED | MAP_FIXED,
				   self->edu.fd, 0));
	for (i = 0; i < 3; i++)
		refused(_metadata, self->c, EFAULT, buf + i * page_size,
			(4 - i) * page_size);
	EXPECT_EQ(0, spapr_register(self->c, buf, 2 * page_size));
	EXPECT_EQ(0, spapr_register(self->c, buf + 3 * page_size, page_size));
	/* The device is open for as long as it is mapped. */
	munmap(buf + 2 * page_size, page_size);
}

TEST_HARNESS_MAIN
