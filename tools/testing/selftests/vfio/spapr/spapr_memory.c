// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registered memory: what can be registered, what it costs, and when it can be
 * unregistered. A region names the pages that it has pinned, whatever the
 * process does to its mappings afterwards.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/wait.h>

#include "spapr_call.h"
#include "spapr_one_group.h"

/* A refused REGISTER, without any effect. */
static void refused(struct __test_metadata *_metadata, int c, int error,
		    const void *ua, uint64_t size)
{
	struct usage was = usage_now();

	EXPECT_EQ(-error, spapr_register(c, ua, size)) {
		TH_LOG("REGISTER %p size %#lx", ua, (long)size);
	}
	expect_usage(_metadata, &was);
}

TEST_F(one_group, charge)
{
	size_t size = 16 * SZ_64K;
	char *buf = buf_alloc(size, page_size);
	char *other = buf_alloc(page_size, page_size);

	ASSERT_EQ(0, spapr_register(self->c, buf, size));
	EXPECT_EQ(self->was.locked_kb + KB(size), locked_kb());
	EXPECT_EQ(self->was.pinned + size / page_size, pinned_pages());
	ASSERT_EQ(0, spapr_register(self->c, other, page_size));
	EXPECT_EQ(self->was.locked_kb + KB(size + page_size), locked_kb());

	ASSERT_EQ(0, spapr_unregister(self->c, buf, size));
	EXPECT_EQ(self->was.locked_kb + KB(page_size), locked_kb());
	EXPECT_EQ(self->was.pinned + 1,
		  pinned_pages_settle(self->was.pinned + 1));
	ASSERT_EQ(0, spapr_unregister(self->c, other, page_size));
	expect_usage(_metadata, &self->was);
}

/* Regions that the last user leaves go with the container. */
TEST_F(one_group, closed_with_regions)
{
	char *buf = buf_alloc(8 * page_size, page_size);
	int i;

	for (i = 0; i < 8; i += 2) {
		ASSERT_EQ(0, spapr_register(self->c, buf + i * page_size,
					    page_size));
	}
	ASSERT_EQ(0, spapr_map(self->c, 0, buf, SZ_4K));
	EXPECT_LT(self->was.locked_kb + KB(4 * page_size), locked_kb());
}

TEST_F(one_group, register_misaligned)
{
	char *buf = buf_alloc(4 * page_size, page_size);

	refused(_metadata, self->c, EINVAL, buf + 1, page_size);
	refused(_metadata, self->c, EINVAL, buf + page_size / 2, page_size);
	refused(_metadata, self->c, EINVAL, buf, page_size + 1);
	refused(_metadata, self->c, EINVAL, buf, page_size / 2);
	refused(_metadata, self->c, EINVAL, buf + page_size / 2, page_size / 2);
}

TEST_F(one_group, register_empty)
{
	char *buf = buf_alloc(page_size, page_size);

	refused(_metadata, self->c, EINVAL, buf, 0);
	refused(_metadata, self->c, EINVAL, NULL, 0);
}

TEST_F(one_group, register_wraps)
{
	char *buf = buf_alloc(page_size, page_size);
	uint64_t last = -page_size;

	refused(_metadata, self->c, EINVAL, (void *)last, page_size);
	refused(_metadata, self->c, EINVAL, (void *)last, 2 * page_size);
	refused(_metadata, self->c, EINVAL, buf, last);
}

/* No size makes the kernel stumble. */
TEST_F(one_group, register_huge)
{
	char *buf = buf_alloc(page_size, page_size);
	struct usage was = usage_now();
	int shift, ret;

	/* no addresses, no memory, or no room for the list of its pages */
	for (shift = 40; shift < 64; shift++) {
		ret = spapr_register(self->c, buf, 1UL << shift);
		EXPECT_TRUE(ret == -EINVAL || ret == -EFAULT ||
			    ret == -ENOMEM) {
			TH_LOG("size 1 << %d: %d", shift, ret);
		}
	}
	expect_usage(_metadata, &was);
}

/* Fills its own page when it is told to; 0 if nobody else writes to it. */
static void __attribute__((noreturn)) forked(char *buf, int in, int out)
{
	unsigned long i;
	char c;

	if (read(in, &c, 1) != 1)
		_exit(1);
	memset(buf, 0x5a, page_size);
	if (write(out, "", 1) != 1 || read(in, &c, 1) != 1)
		_exit(2);
	for (i = 0; i < page_size; i++) {
		if (buf[i] != 0x5a)
			_exit(3);
	}
	_exit(0);
}

/* The device stays with the memory of the process that registered it. */
TEST_F(one_group, fork_after_register)
{
	char *buf = buf_alloc(page_size, SZ_64K), c;
	struct probe probe;
	int status, to_child[2], from_child[2];
	pid_t pid;

	ASSERT_EQ(0, probe_init(&probe, self->c, &self->edu, self->last));
	buf_tag(buf, page_size);
	ASSERT_EQ(0, spapr_register(self->c, buf, page_size));
	ASSERT_EQ(0, spapr_map(self->c, 0, buf, SZ_4K));
	ASSERT_EQ(0, pipe(to_child));
	ASSERT_EQ(0, pipe(from_child));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		forked(buf, to_child[0], from_child[1]);
	/* While nobody has written to the page, and after both have */
	EXPECT_EQ(READ_WRITE, probe_reach(&probe, 0, buf));
	ASSERT_EQ(1, write(to_child[1], "", 1));
	ASSERT_EQ(1, read(from_child[0], &c, 1));
	EXPECT_EQ(READ_WRITE, probe_reach(&probe, 0, buf));
	ASSERT_EQ(1, write(to_child[1], "", 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	ASSERT_EQ(0, spapr_unmap(self->c, 0, SZ_4K));
	EXPECT_EQ(0, spapr_unregister(self->c, buf, page_size));
	EXPECT_EQ(0, probe_exit(&probe));
}

TEST_F(one_group, register_overlap)
{
	char *buf = buf_alloc(8 * page_size, page_size);

	ASSERT_EQ(0, spapr_register(self->c, buf + 2 * page_size,
				    4 * page_size));
	/* over the start, the end, both, and inside */
	refused(_metadata, self->c, EINVAL, buf, 3 * page_size);
	refused(_metadata, self->c, EINVAL, buf + 5 * page_size, 3 * page_size);
	refused(_metadata, self->c, EINVAL, buf, 8 * page_size);
	refused(_metadata, self->c, EINVAL, buf + 3 * page_size, page_size);
	/* same start, same end */
	refused(_metadata, self->c, EINVAL, buf + 2 * page_size, page_size);
	refused(_metadata, self->c, EINVAL, buf + 2 * page_size, 5 * page_size);
	refused(_metadata, self->c, EINVAL, buf + 5 * page_size, page_size);
	/* neighbours are none of its business */
	EXPECT_EQ(0, spapr_register(self->c, buf, 2 * page_size));
	EXPECT_EQ(0, spapr_register(self->c, buf + 6 * page_size,
				    2 * page_size));
}

TEST_F(one_group, register_twice)
{
	char *buf = buf_alloc(4 * page_size, page_size);

	ASSERT_EQ(0, spapr_register(self->c, buf, 4 * page_size));
	refused(_metadata, self->c, EBUSY, buf, 4 * page_size);
	refused(_metadata, self->c, EBUSY, buf, 4 * page_size);
	/* Refused, so counted once */
	EXPECT_EQ(0, spapr_unregister(self->c, buf, 4 * page_size));
	expect_usage(_metadata, &self->was);
	EXPECT_EQ(-ENOENT, spapr_unregister(self->c, buf, 4 * page_size));
	EXPECT_EQ(0, spapr_register(self->c, buf, 4 * page_size));
}

TEST_F(one_group, register_hole)
{
	char *buf = buf_alloc(8 * page_size, page_size);

	ASSERT_EQ(0, munmap(buf + 4 * page_size, page_size));
	/* at the start, in the middle and at the end */
	refused(_metadata, self->c, EFAULT, buf + 4 * page_size, page_size);
	refused(_metadata, self->c, EFAULT, buf + 4 * page_size, 2 * page_size);
	refused(_metadata, self->c, EFAULT, buf, 8 * page_size);
	refused(_metadata, self->c, EFAULT, buf, 5 * page_size);
	refused(_metadata, self->c, EFAULT, NULL, page_size);
}

TEST_F(one_group, register_no_access)
{
	char *buf = buf_alloc(4 * page_size, page_size);

	ASSERT_EQ(0, mprotect(buf + page_size, page_size, PROT_NONE));
	refused(_metadata, self->c, EFAULT, buf + page_size, page_size);
	refused(_metadata, self->c, EFAULT, buf, 4 * page_size);
}

/* Devices write, so memory is pinned for writing. */
TEST_F(one_group, register_read_only)
{
	char *buf = buf_alloc(4 * page_size, page_size);

	buf_tag(buf, 4 * page_size);
	ASSERT_EQ(0, mprotect(buf + 2 * page_size, page_size, PROT_READ));
	refused(_metadata, self->c, EFAULT, buf + 2 * page_size, page_size);
	refused(_metadata, self->c, EFAULT, buf, 4 * page_size);
	EXPECT_EQ(0, spapr_register(self->c, buf, 2 * page_size));
}

/* A device's registers are no memory. */
TEST_F(one_group, register_device)
{
	ASSERT_EQ(0, edu_open(&self->edu));
	refused(_metadata, self->c, EFAULT, (void *)self->edu.bar, page_size);
}

TEST_F(one_group, unregister_unknown)
{
	char *buf = buf_alloc(4 * page_size, page_size);

	ASSERT_EQ(0, spapr_register(self->c, buf, 2 * page_size));
	EXPECT_EQ(-ENOENT, spapr_unregister(self->c, buf, page_size));
	EXPECT_EQ(-ENOENT, spapr_unregister(self->c, buf, 3 * page_size));
	EXPECT_EQ(-ENOENT, spapr_unregister(self->c, buf + page_size,
					    page_size));
	EXPECT_EQ(-ENOENT, spapr_unregister(self->c, buf + 2 * page_size,
					    2 * page_size));
	EXPECT_EQ(-EINVAL, spapr_unregister(self->c, buf + 1, 2 * page_size));
	EXPECT_EQ(-EINVAL, spapr_unregister(self->c, buf, 2 * page_size + 1));
	EXPECT_EQ(self->was.locked_kb + KB(2 * page_size), locked_kb());
	EXPECT_EQ(0, spapr_unregister(self->c, buf, 2 * page_size));
}

/* Refused while mapped, and nothing comes of having asked. */
TEST_F(one_group, unregister_mapped)
{
	size_t size = 4 * SZ_64K;
	char *buf = buf_alloc(size, page_size);
	struct probe probe;
	long locked, i;

	ASSERT_EQ(0, probe_init(&probe, self->c, &self->edu, self->last));
	ASSERT_EQ(0, spapr_register(self->c, buf, size));
	ASSERT_EQ(0, spapr_map(self->c, 0, buf, 2 * SZ_4K));
	locked = locked_kb();
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(-EBUSY, spapr_unregister(self->c, buf, size));
	}
	EXPECT_EQ(locked, locked_kb());
	EXPECT_EQ(READ_WRITE, probe_reach(&probe, 0, buf));

	/* It can still be mapped, and it counts */
	ASSERT_EQ(0, spapr_map(self->c, SZ_1M, buf + SZ_4K, SZ_4K));
	ASSERT_EQ(0, spapr_unmap(self->c, 0, 2 * SZ_4K));
	EXPECT_EQ(-EBUSY, spapr_unregister(self->c, buf, size));
	EXPECT_EQ(READ_WRITE, probe_reach(&probe, SZ_1M, buf + SZ_4K));
	EXPECT_EQ(0, probe_reach(&probe, 0, buf));

	ASSERT_EQ(0, spapr_unmap(self->c, SZ_1M, SZ_4K));
	EXPECT_EQ(0, spapr_unregister(self->c, buf, size));
	EXPECT_EQ(locked - KB(size), locked_kb());
	EXPECT_EQ(-EINVAL, spapr_map(self->c, 0, buf, SZ_4K));
	EXPECT_EQ(0, probe_exit(&probe));
}

/*
 * The order of calls of DPDK in 2019 and 2020, as it gives memory back: it asks
 * to unregister what is mapped, does not unmap when that fails, and frees the
 * memory. The device goes on to reach the old pages, and nobody else's.
 */
TEST_F(one_group, unregister_before_unmap)
{
	size_t size = 4 * SZ_64K;
	char *buf = buf_alloc(size, page_size), *again;
	uint32_t old = 0x0ddba11, was = 0;
	long locked;

	ASSERT_LE(0, edu_open(&self->edu));
	ASSERT_EQ(0, spapr_register(self->c, buf, size));
	ASSERT_EQ(0, spapr_map(self->c, 0, buf, size));
	*(uint32_t *)buf = old;
	locked = locked_kb();
	EXPECT_EQ(-EBUSY, spapr_unregister(self->c, buf, size));

	/* New memory at the same address is not what is registered. */
	ASSERT_EQ(0, munmap(buf, size));
	again = mmap(buf, size, PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE |
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_EQ(buf, again);
	EXPECT_EQ(-EBUSY, spapr_register(self->c, again, size));
	*(uint32_t *)again = ~old;
	edu_copy(&self->edu, SZ_4K, 0, sizeof(old));
	EXPECT_EQ(0, *(uint32_t *)(again + SZ_4K));
	EXPECT_EQ(locked, locked_kb());

	/* The right order mends it. */
	EXPECT_EQ(0, spapr_unmap(self->c, 0, size));
	EXPECT_EQ(0, spapr_unregister(self->c, again, size));
	EXPECT_EQ(locked - KB(size), locked_kb());
	ASSERT_EQ(0, spapr_register(self->c, again, size));
	ASSERT_EQ(0, spapr_map(self->c, 0, again, size));
	edu_copy(&self->edu, SZ_4K, 0, sizeof(old));
	was = *(uint32_t *)(again + SZ_4K);
	EXPECT_EQ(~old, was);
	EXPECT_EQ(0, spapr_unmap(self->c, 0, size));
	EXPECT_EQ(0, spapr_unregister(self->c, again, size));
}

/* ---- the limit ---- */

TEST_F(one_group, limit_register)
{
	char *buf = buf_alloc(4 * page_size, page_size);

	limit_locked(2 * page_size);
	refused(_metadata, self->c, ENOMEM, buf, 3 * page_size);
	ASSERT_EQ(0, spapr_register(self->c, buf, 2 * page_size));
	refused(_metadata, self->c, ENOMEM, buf + 2 * page_size, page_size);
	ASSERT_EQ(0, spapr_unregister(self->c, buf, 2 * page_size));
	EXPECT_EQ(0, spapr_register(self->c, buf + 2 * page_size, page_size));
}

/* A refusal for another reason does not eat up the limit. */
TEST_F(one_group, limit_after_refusals)
{
	char *buf = buf_alloc(4 * page_size, page_size);
	int i;

	ASSERT_EQ(0, munmap(buf + 3 * page_size, page_size));
	limit_locked(4 * page_size);
	for (i = 0; i < 8; i++) {
		refused(_metadata, self->c, EFAULT, buf, 4 * page_size);
		refused(_metadata, self->c, EINVAL, buf, 0);
	}
	ASSERT_EQ(0, spapr_register(self->c, buf, 2 * page_size));
	for (i = 0; i < 8; i++) {
		refused(_metadata, self->c, EBUSY, buf, 2 * page_size);
		refused(_metadata, self->c, EINVAL, buf + page_size,
			2 * page_size);
	}
	EXPECT_EQ(0, spapr_register(self->c, buf + 2 * page_size, page_size));
}

/* The default window is charged when it is first needed. */
FIXTURE(first_use)
{
	FIXTURE_DATA(one_group) one;
	int c;
	char *buf;
};

FIXTURE_VARIANT(first_use)
{
	unsigned long request;
};

FIXTURE_VARIANT_ADD(first_use, map) { VFIO_IOMMU_MAP_DMA };
FIXTURE_VARIANT_ADD(first_use, unmap) { VFIO_IOMMU_UNMAP_DMA };
FIXTURE_VARIANT_ADD(first_use, create) { VFIO_IOMMU_SPAPR_TCE_CREATE };

FIXTURE_SETUP(first_use)
{
	one_group_setup(_metadata, &self->one, NULL);
	if (_metadata->exit_code)
		return;
	self->c = self->one.c;
	self->buf = buf_alloc(page_size, page_size);
	ASSERT_EQ(0, spapr_register(self->c, self->buf, page_size));
	EXPECT_EQ(self->one.was.locked_kb + KB(page_size), locked_kb());
}

FIXTURE_TEARDOWN(first_use)
{
	one_group_teardown(_metadata, &self->one, NULL);
}

static int first_use(FIXTURE_DATA(first_use) *self, unsigned long request)
{
	switch (request) {
	case VFIO_IOMMU_MAP_DMA:
		return spapr_map(self->c, 0, self->buf, SZ_4K);
	case VFIO_IOMMU_UNMAP_DMA:
		return spapr_unmap(self->c, 0, SZ_4K);
	default:
		return spapr_create(self->c, 16, SZ_1G, 1, NULL);
	}
}

TEST_F(first_use, charges_default_window)
{
	long locked = locked_kb();

	ASSERT_EQ(0, first_use(self, variant->request));
	EXPECT_LT(locked, locked_kb());
	if (variant->request == VFIO_IOMMU_SPAPR_TCE_CREATE) {
		ASSERT_EQ(0, spapr_remove(self->c, SLOT1_START));
	}
	/* At least the table itself: 8 bytes for each 4 KiB */
	EXPECT_LE(locked + KB(self->one.info.dma32_window_size / SZ_4K * 8),
		  locked_kb());
	ASSERT_EQ(0, spapr_remove(self->c, SLOT0_START));
	EXPECT_EQ(locked, locked_kb());
}

TEST_F(first_use, default_window_over_limit)
{
	struct usage was = usage_now();

	limit_locked(page_size);
	EXPECT_EQ(-ENOMEM, first_use(self, variant->request));
	expect_usage(_metadata, &was);
	limit_locked(SZ_1G);
	EXPECT_EQ(0, first_use(self, variant->request));
	EXPECT_LT(was.locked_kb, locked_kb());
}

TEST_F(one_group, limit_create)
{
	long base, charge;
	struct usage was;

	/* The cost of the window, without the default window */
	ASSERT_EQ(0, spapr_create(self->c, 16, SZ_16M, 1, NULL));
	base = locked_kb();
	ASSERT_EQ(0, spapr_remove(self->c, SLOT1_START));
	charge = base - locked_kb();
	ASSERT_LT(0, charge);

	limit_locked(base * 1024 - page_size);
	was = usage_now();
	EXPECT_EQ(-ENOMEM, spapr_create(self->c, 16, SZ_16M, 1, NULL));
	expect_usage(_metadata, &was);
	limit_locked(base * 1024);
	EXPECT_EQ(0, spapr_create(self->c, 16, SZ_16M, 1, NULL));
	EXPECT_EQ(base, locked_kb());
	EXPECT_EQ(0, spapr_remove(self->c, SLOT1_START));
	EXPECT_EQ(base - charge, locked_kb());
}

/* ---- what the process does to its own mappings ---- */

FIXTURE(moved)
{
	FIXTURE_DATA(one_group) one;
	int c;
	size_t size;
	char *buf;
	struct probe probe;
};

FIXTURE_SETUP(moved)
{
	one_group_setup(_metadata, &self->one, NULL);
	if (_metadata->exit_code)
		return;
	self->c = self->one.c;
	self->size = 4 * page_size;
	self->buf = buf_alloc(self->size, page_size);
	buf_tag(self->buf, self->size);
	ASSERT_EQ(0, probe_init(&self->probe, self->c, &self->one.edu,
				self->one.last));
	ASSERT_EQ(0, spapr_register(self->c, self->buf, self->size));
	ASSERT_EQ(0, spapr_map(self->c, 0, self->buf, SZ_4K));
}

FIXTURE_TEARDOWN(moved)
{
	one_group_teardown(_metadata, &self->one, NULL);
}

static char *move(char *buf, size_t size)
{
	char *to = buf_alloc(size, page_size);

	if (mremap(buf, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		return NULL;
	return to;
}

TEST_F(moved, region_keeps_its_pages)
{
	char *to = move(self->buf, self->size);

	ASSERT_NE(NULL, to);
	/* Entries stay, and the old address still names the pages */
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe, 0, to));
	ASSERT_EQ(0, spapr_map(self->c, SZ_1M, self->buf + page_size, SZ_4K));
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe, SZ_1M, to + page_size));
	EXPECT_EQ(-EBUSY, spapr_unregister(self->c, self->buf, self->size));
	ASSERT_EQ(0, spapr_unmap(self->c, 0, SZ_4K));
	ASSERT_EQ(0, spapr_unmap(self->c, SZ_1M, SZ_4K));
	EXPECT_EQ(0, spapr_unregister(self->c, self->buf, self->size));
}

TEST_F(moved, new_address_is_unknown)
{
	char *to = move(self->buf, self->size);

	ASSERT_NE(NULL, to);
	EXPECT_EQ(-EINVAL, spapr_map(self->c, SZ_1M, to, SZ_4K));
	EXPECT_EQ(-ENOENT, spapr_unregister(self->c, to, self->size));
}

/* Pinned twice, charged twice, counted apart. */
TEST_F(moved, registered_again)
{
	long locked = locked_kb(), pinned = pinned_pages();
	char *to = move(self->buf, self->size);

	ASSERT_NE(NULL, to);
	ASSERT_EQ(0, spapr_register(self->c, to, self->size));
	EXPECT_EQ(locked + KB(self->size), locked_kb());
	EXPECT_EQ(pinned + self->size / page_size, pinned_pages());

	/* Mapped as @buf only, then as @to only */
	EXPECT_EQ(-EBUSY, spapr_unregister(self->c, self->buf, self->size));
	ASSERT_EQ(0, spapr_unregister(self->c, to, self->size));
	ASSERT_EQ(0, spapr_register(self->c, to, self->size));
	ASSERT_EQ(0, spapr_map(self->c, 0, to, SZ_4K));
	EXPECT_EQ(-EBUSY, spapr_unregister(self->c, to, self->size));
	EXPECT_EQ(0, spapr_unregister(self->c, self->buf, self->size));
	EXPECT_EQ(locked, locked_kb());
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe, 0, to));
	ASSERT_EQ(0, spapr_unmap(self->c, 0, SZ_4K));
	EXPECT_EQ(0, spapr_unregister(self->c, to, self->size));
}

/* The device keeps to the pages that were there at REGISTER. */
TEST_F(moved, mapped_anew)
{
	struct spot spot = { 0, buf_alloc(SZ_4K, SZ_4K) };

	memcpy((void *)spot.ua, self->buf, SZ_4K);
	ASSERT_EQ(0, munmap(self->buf, self->size));
	ASSERT_EQ(self->buf, mmap(self->buf, self->size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				  0));
	memset(self->buf, 0x11, self->size);
	EXPECT_EQ(0, probe_spots(&self->probe, &spot, 1));
	EXPECT_EQ(0, probe_reach(&self->probe, 0, self->buf));
	EXPECT_EQ(-EBUSY, spapr_register(self->c, self->buf, self->size));
	ASSERT_EQ(0, spapr_unmap(self->c, 0, SZ_4K));
	ASSERT_EQ(0, spapr_unregister(self->c, self->buf, self->size));

	/* Registered again, it is the new pages */
	ASSERT_EQ(0, spapr_register(self->c, self->buf, self->size));
	ASSERT_EQ(0, spapr_map(self->c, 0, self->buf, SZ_4K));
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe, 0, self->buf));
}

TEST_F(moved, thrown_away)
{
	struct spot spot = { 0, buf_alloc(SZ_4K, SZ_4K) };

	memcpy((void *)spot.ua, self->buf, SZ_4K);
	ASSERT_EQ(0, madvise(self->buf, self->size, MADV_DONTNEED));
	EXPECT_EQ(0, *(volatile char *)self->buf);
	EXPECT_EQ(0, probe_spots(&self->probe, &spot, 1));
}

/* ---- many ---- */

/* As SPDK does it: each piece a region of its own. */
TEST_F(one_group, many_regions)
{
	int n = 2000, i;
	char *buf = buf_alloc(n * page_size, page_size);
	struct usage was = usage_now();

	/* in an order that is neither up nor down */
	for (i = 0; i < n; i++) {
		ASSERT_EQ(0, spapr_register(self->c, buf + i * 7 % n * page_size,
					    page_size));
	}
	EXPECT_EQ(was.locked_kb + KB(n * page_size), locked_kb());
	EXPECT_EQ(was.pinned + n, pinned_pages());

	/* One map across all of them */
	ASSERT_EQ(0, spapr_map(self->c, 0, buf, n * page_size));
	for (i = 0; i < n; i += 97) {
		EXPECT_EQ(-EBUSY, spapr_unregister(self->c, buf + i * page_size,
						   page_size));
	}
	ASSERT_EQ(0, spapr_unmap(self->c, 0, n * page_size));
	for (i = 0; i < n; i++) {
		ASSERT_EQ(0, spapr_unregister(self->c,
					      buf + i * 11 % n * page_size,
					      page_size));
	}
	ASSERT_EQ(0, spapr_remove(self->c, SLOT0_START));
	expect_usage(_metadata, &was);
}

/* The same pages many times over: each mapping of a file is a region. */
TEST_F(one_group, same_pages)
{
	int fd = memfd_create("spapr", 0), i;
	struct usage was = usage_now();
	char *ua[8];

	ASSERT_EQ(0, ftruncate(fd, page_size));
	for (i = 0; i < 8; i++) {
		ua[i] = mmap(NULL, page_size, PROT_READ | PROT_WRITE,
			     MAP_SHARED, fd, 0);
		ASSERT_EQ(0, spapr_register(self->c, ua[i], page_size));
	}
	EXPECT_EQ(was.locked_kb + KB(8 * page_size), locked_kb());
	EXPECT_EQ(was.pinned + 8, pinned_pages());
	ASSERT_EQ(0, spapr_map(self->c, 0, ua[5], SZ_4K));
	for (i = 0; i < 8; i++) {
		EXPECT_EQ(i == 5 ? -EBUSY : 0,
			  spapr_unregister(self->c, ua[i], page_size));
	}
	ASSERT_EQ(0, spapr_unmap(self->c, 0, SZ_4K));
	EXPECT_EQ(0, spapr_unregister(self->c, ua[5], page_size));
	close(fd);
}

/* ---- calls that are killed ---- */

/* So many pages take the kernel a while, and little memory. */
#define MANY_PAGES	65536UL

/*
 * A range whose pages are all present: one piece of memory again and again. It
 * lives as long as the process.
 */
static char *many_pages(void)
{
	size_t piece = SZ_16M, size = MANY_PAGES * page_size, at;
	int fd = memfd_create("many", MFD_CLOEXEC);
	char *buf = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
			 MAP_NORESERVE, -1, 0);

	if (fd < 0 || ftruncate(fd, piece) || buf == MAP_FAILED)
		return NULL;
	for (at = 0; at < size; at += piece) {
		if (mmap(buf + at, piece, PROT_READ | PROT_WRITE, MAP_SHARED |
			 MAP_FIXED | MAP_POPULATE, fd, 0) == MAP_FAILED)
			return NULL;
	}
	close(fd);
	return buf;
}

FIXTURE(killed)
{
	FIXTURE_DATA(one_group) one;
	int c;
	char *many;
	size_t size;
	/* another range, registered */
	char *buf;
	/* how long it takes to register all pages of @many */
	long whole_us;
	struct call call;
	struct call second;
	struct usage was;
};

FIXTURE_SETUP(killed)
{
	one_group_setup(_metadata, &self->one, NULL);
	if (_metadata->exit_code)
		return;
	self->c = self->one.c;
	self->size = MANY_PAGES * page_size;
	self->many = many_pages();
	ASSERT_NE(NULL, self->many);
	self->buf = buf_alloc(page_size, page_size);
	ASSERT_EQ(0, spapr_register(self->c, self->buf, page_size));
	self->whole_us = now_us();
	ASSERT_EQ(0, spapr_register(self->c, self->many, self->size));
	self->whole_us = now_us() - self->whole_us;
	ASSERT_EQ(0, spapr_unregister(self->c, self->many, self->size));
	self->was = usage_now();
	self->call = (struct call){ spapr_register, self->c, self->many,
				    self->size };
}

FIXTURE_TEARDOWN(killed)
{
	expect_usage(_metadata, &self->was);
	one_group_teardown(_metadata, &self->one, NULL);
}

/* Present memory is pinned without a fault that would look at signals. */
TEST_F(killed, register_present)
{
	pid_t pid = call_start(&self->call);

	ASSERT_LT(0, pid);
	usleep(self->whole_us / 4);
	EXPECT_GT(self->whole_us / 4, kill_us(_metadata, pid));
}

/* A call that waits for another on its container ends before that, killed. */
static void kill_second(struct __test_metadata *_metadata,
			FIXTURE_DATA(killed) *self)
{
	pid_t first = call_start(&self->call), second;

	ASSERT_LT(0, first);
	usleep(self->whole_us / 8);
	second = call_start(&self->second);
	ASSERT_LT(0, second);
	usleep(self->whole_us / 8);
	EXPECT_EQ(0, waitpid(second, NULL, WNOHANG));
	EXPECT_GT(self->whole_us / 4, kill_us(_metadata, second));
	EXPECT_EQ(0, waitpid(first, NULL, WNOHANG));
	expect_success(_metadata, first);
	EXPECT_EQ(0, spapr_unregister(self->c, self->many, self->size));
}

TEST_F(killed, waits_to_register)
{
	self->second = (struct call){ spapr_register, self->c, self->many,
				      self->size };
	kill_second(_metadata, self);
}

TEST_F(killed, waits_to_unregister)
{
	self->second = (struct call){ spapr_unregister, self->c, self->buf,
				      page_size };
	kill_second(_metadata, self);
	EXPECT_EQ(0, spapr_unregister(self->c, self->buf, page_size));
	self->was.locked_kb -= KB(page_size);
	self->was.pinned -= 1;
}

TEST_HARNESS_MAIN
