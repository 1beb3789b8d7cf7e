// SPDX-License-Identifier: GPL-2.0-only
/*
 * REGISTER, and MAP of the first version, move memory out of CMA and out of
 * blocks that may be taken offline. Another block, which holds registered
 * memory, refuses to go offline, and does not wait.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "spapr_harness.h"

#define BLOCKS		"/sys/devices/system/memory/"
#define RESERVED	"/sys/kernel/debug/memblock/reserved"
#define NR_HUGEPAGES	"/proc/sys/vm/nr_hugepages"
#define SIZE		(16 * SZ_1M)
#define MIN_FREE	"/proc/sys/vm/min_free_kbytes"
/* Free memory beside a block, when the process is to get memory in it */
#define ROOM_KB		(64 * 1024L)
#define MUCH		(128 * SZ_1M)
/* Bus address of the page that the device copies to */
#define SEEN		(8 * SZ_16M)

/* ---- page frames ---- */

struct range {
	uint64_t first;
	uint64_t nr;
};

/* How many pages of the memory are in there. */
static unsigned long pages_in(struct __test_metadata *_metadata,
			      const struct range *range, const void *buf,
			      size_t size)
{
	unsigned long n = size / page_size, i, in = 0;
	uint64_t *pfn = calloc(n, sizeof(*pfn));

	EXPECT_EQ(0, read_pfns(buf, pfn, n));
	for (i = 0; i < n; i++)
		in += pfn[i] - range->first < range->nr;
	free(pfn);
	return in;
}

static bool read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, size - 1);
	close(fd);
	text[n < 0 ? 0 : n] = 0;
	return n > 0;
}

static long meminfo_kb(const char *key)
{
	char line[200];
	long kb = -1;
	FILE *f = fopen("/proc/meminfo", "r");

	while (f && kb < 0 && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, key, strlen(key)))
			kb = atol(line + strlen(key));
	}
	if (f)
		fclose(f);
	return kb;
}

/*
 * Leaves little memory free: the rest goes to huge pages that nobody touches.
 * False if there are none.
 */
static bool leave_free(long kb)
{
	long huge = meminfo_kb("Hugepagesize:"), free = meminfo_kb("MemFree:");
	char text[32];

	/* What the kernel keeps for itself grows with the size of its pages. */
	if (huge <= 0 || write_text(MIN_FREE, "8192"))
		return false;
	snprintf(text, sizeof(text), "%ld", free > kb ? (free - kb) / huge : 0);
	return !write_text(NR_HUGEPAGES, text);
}

static void free_all(void)
{
	write_text(NR_HUGEPAGES, "0");
}

/*
 * What the kernel has reserved as it booted, and processes have memory from, is
 * CMA: the largest such range. False if there is none.
 */
static bool cma_find(struct range *cma)
{
	long cma_kb = meminfo_kb("CmaTotal:");
	FILE *f = fopen(RESERVED, "r");
	uint64_t first, last;
	char line[200];

	cma->nr = 0;
	while (f && cma_kb > 0 && fgets(line, sizeof(line), f)) {
		if (sscanf(line, " %*d: 0x%lx..0x%lx", &first, &last) != 2)
			continue;
		if ((last - first) / 1024 < cma_kb - 1UL)
			continue;
		cma->first = first / page_size;
		cma->nr = (last - first + 1) / page_size;
	}
	if (f)
		fclose(f);
	return cma->nr;
}

/* ---- blocks of memory ---- */

static uint64_t block_pages(void)
{
	char text[64];

	if (!read_text(BLOCKS "block_size_bytes", text, sizeof(text)))
		return 0;
	return strtoull(text, NULL, 16) / page_size;
}

static struct range block_range(int block)
{
	return (struct range){ block * block_pages(), block_pages() };
}

static bool block_is(int block, const char *state)
{
	char path[100], text[64];

	snprintf(path, sizeof(path), BLOCKS "memory%d/state", block);
	return read_text(path, text, sizeof(text)) &&
	       !strncmp(text, state, strlen(state));
}

/*
 * As an administrator does it, who loses patience: 0, -errno, or -ETIMEDOUT
 * when it was given up; -EDEADLK if it did not even end then.
 */
static int block_set_within(int block, const char *state, int seconds)
{
	int status = 0;
	char path[100];
	pid_t pid;

	snprintf(path, sizeof(path), BLOCKS "memory%d/state", block);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(-write_text(path, state));
	if (has_ended(pid, seconds, &status))
		return -WEXITSTATUS(status);
	kill(pid, SIGKILL);
	return has_ended(pid, 2, &status) ? -ETIMEDOUT : -EDEADLK;
}

static int block_set(int block, const char *state)
{
	return block_set_within(block, state, 20);
}

/* A block that went offline; -ENOENT if none does, -ENODEV without blocks. */
static int block_find(void)
{
	int block, last = 0;

	if (!block_pages())
		return -ENODEV;
	while (block_is(last + 1, "online"))
		last++;
	for (block = last; block > 0; block--) {
		if (!block_set(block, "offline"))
			return block;
	}
	return -ENOENT;
}

/* ---- the device ---- */

FIXTURE(movable)
{
	struct usage was;
	struct edu edu;
	int c;
	int block;
	char *buf;
	char *seen;
	char min_free[32];
};

FIXTURE_VARIANT(movable)
{
	bool first_version;
};

FIXTURE_VARIANT_ADD(movable, v2) { false };
FIXTURE_VARIANT_ADD(movable, v1) { true };

FIXTURE_SETUP(movable)
{
	int c;

	self->block = -1;
	ASSERT_TRUE(read_text(MIN_FREE, self->min_free,
			      sizeof(self->min_free)));
	if (!edu_find(&self->edu, 1))
		SKIP(return, "no edu device is bound to vfio-pci");
	self->was = usage_at_rest();
	self->seen = buf_alloc(page_size, SZ_64K);
	self->c = container_open();
	c = self->c;
	ASSERT_LE(0, edu_open_group(&self->edu));
	ASSERT_EQ(0, container_add(c, &self->edu));
	if (variant->first_version) {
		ASSERT_EQ(0, container_set_iommu(c, VFIO_SPAPR_TCE_IOMMU));
		ASSERT_EQ(0, spapr_ioctl(c, VFIO_IOMMU_ENABLE, NULL));
	} else {
		ASSERT_EQ(0, container_set_iommu(c, VFIO_SPAPR_TCE_v2_IOMMU));
		ASSERT_EQ(0, spapr_register(c, self->seen, page_size));
	}
	ASSERT_EQ(0, spapr_map(c, SEEN, self->seen, page_size));
	ASSERT_EQ(0, edu_open(&self->edu));
}

FIXTURE_TEARDOWN(movable)
{
	free_all();
	EXPECT_EQ(0, write_text(MIN_FREE, self->min_free));
	if (self->block >= 0 && block_is(self->block, "offline")) {
		EXPECT_EQ(0, block_set(self->block, "online"));
	}
	edu_close(&self->edu);
	edu_close_group(&self->edu);
	close(self->c);
	expect_usage(_metadata, &self->was);
}

/* By REGISTER and MAP, or by MAP alone. */
static void take(struct __test_metadata *_metadata,
		 FIXTURE_DATA(movable) *self, bool first_version, char *buf,
		 size_t size)
{
	if (!first_version) {
		ASSERT_EQ(0, spapr_register(self->c, buf, size));
	}
	ASSERT_EQ(0, spapr_map(self->c, 0, buf, size));
}

static void give_back(struct __test_metadata *_metadata,
		      FIXTURE_DATA(movable) *self, bool first_version,
		      char *buf, size_t size)
{
	EXPECT_EQ(0, spapr_unmap(self->c, 0, size));
	if (!first_version) {
		EXPECT_EQ(0, spapr_unregister(self->c, buf, size));
	}
}

/* The device reads what the process wrote, and writes where it reads. */
static void expect_dma(struct __test_metadata *_metadata,
		       FIXTURE_DATA(movable) *self, char *buf, size_t size)
{
	static unsigned char serial;
	size_t at;

	for (at = 0; at < size; at += size / 4) {
		buf_tag(buf + at, SZ_4K);
		edu_copy(&self->edu, SEEN, at, SZ_4K);
		EXPECT_EQ(0, memcmp(self->seen, buf + at, SZ_4K));
		memset(self->seen, ++serial, SZ_4K);
		edu_copy(&self->edu, at, SEEN, SZ_4K);
		EXPECT_EQ(0, memcmp(self->seen, buf + at, SZ_4K));
	}
}

/* Memory of the process, some of which is in there; NULL if none comes. */
static char *memory_in(struct __test_metadata *_metadata,
		       const struct range *range)
{
	char *buf = buf_alloc(MUCH, SZ_16M);
	size_t at;

	for (at = 0; at < MUCH; at += SIZE) {
		memset(buf + at, 1, SIZE);
		if (pages_in(_metadata, range, buf + at, SIZE))
			return buf + at;
	}
	return NULL;
}

/* ---- the tests ---- */

TEST_F(movable, leaves_cma)
{
	bool v1 = variant->first_version;
	struct range cma;

	if (!cma_find(&cma))
		SKIP(return, "the kernel does not tell where its CMA is");
	/* Movable memory is from there when half of what is free is. */
	if (!leave_free(meminfo_kb("CmaFree:") * 3 / 2))
		SKIP(return, "the kernel has no huge pages to keep");
	self->buf = memory_in(_metadata, &cma);
	/* Of what is still free, CMA is of no use to the kernel. */
	free_all();
	/* The huge pages that left little free may be from there themselves. */
	if (!self->buf)
		SKIP(return, "no memory of the process is in CMA");
	take(_metadata, self, v1, self->buf, SIZE);
	EXPECT_EQ(0, pages_in(_metadata, &cma, self->buf, SIZE));
	expect_dma(_metadata, self, self->buf, SIZE);
	give_back(_metadata, self, v1, self->buf, SIZE);
}

static const char *block_missing(int block)
{
	if (block == -ENODEV)
		return "the kernel has no memory hot-plug";
	return "no block of memory goes offline";
}

/* The block goes while the memory that was in it is in use. */
TEST_F(movable, leaves_a_block)
{
	bool v1 = variant->first_version;
	int block = block_find();
	struct range range;

	if (block < 0)
		SKIP(return, "%s", block_missing(block));
	self->block = block;
	range = block_range(block);
	ASSERT_EQ(0, block_set(block, "online_movable"));
	self->buf = memory_in(_metadata, &range);
	ASSERT_NE(NULL, self->buf);
	take(_metadata, self, v1, self->buf, SIZE);
	EXPECT_EQ(0, pages_in(_metadata, &range, self->buf, SIZE));
	expect_dma(_metadata, self, self->buf, SIZE);
	EXPECT_EQ(0, block_set(block, "offline"));
	EXPECT_TRUE(block_is(block, "offline"));
	expect_dma(_metadata, self, self->buf, SIZE);
	give_back(_metadata, self, v1, self->buf, SIZE);
}

/* In a block that is as all others, memory stays, and so does the block. */
TEST_F(movable, stays_in_a_block)
{
	bool v1 = variant->first_version;
	int block = block_find(), ret, tries;
	struct range range;

	if (block < 0)
		SKIP(return, "%s", block_missing(block));
	self->block = block;
	range = block_range(block);
	/* Little is free elsewhere, so much of what comes is in it. */
	if (!leave_free(ROOM_KB))
		SKIP(return, "the kernel has no huge pages to keep");
	ASSERT_EQ(0, block_set(block, "online_kernel"));
	self->buf = memory_in(_metadata, &range);
	free_all();
	if (!self->buf)
		SKIP(return, "no memory of the process is in the block");
	take(_metadata, self, v1, self->buf, SIZE);
	ASSERT_LT(0, pages_in(_metadata, &range, self->buf, SIZE));
	expect_dma(_metadata, self, self->buf, SIZE);

	ret = block_set_within(block, "offline", 2);
	EXPECT_TRUE(ret == -EBUSY || ret == -ETIMEDOUT) {
		TH_LOG("offline returned %d", ret);
	}
	EXPECT_TRUE(block_is(block, "online"));
	expect_dma(_metadata, self, self->buf, SIZE);

	give_back(_metadata, self, v1, self->buf, SIZE);
	for (tries = 0; ret && tries < 5; tries++)
		ret = block_set(block, "offline");
	EXPECT_EQ(0, ret);
}

TEST_HARNESS_MAIN
