// SPDX-License-Identifier: GPL-2.0-only
/*
 * Windows: where they are, which ones can be had, what they cost, and that the
 * device gets through tables of every shape.
 */
#include <sys/mman.h>

#include "spapr_one_group.h"

/* The worked example of the documentation works. */
#define main	example_main
#include "spapr_example.c"
#undef main

static int run_example(void *group)
{
	char *argv[] = { "spapr_example", group, NULL };

	return -example_main(2, argv);
}

TEST(example)
{
	struct edu edu;
	char group[16];

	if (!edu_find(&edu, 1))
		SKIP(return, "no edu device is bound to vfio-pci");
	snprintf(group, sizeof(group), "%d", edu.group);
	EXPECT_EQ(0, in_child(run_example, group));
}

/* A refused CREATE, without any effect. */
static void refused(struct __test_metadata *_metadata, int c, int error,
		    unsigned int shift, uint64_t size, unsigned int levels)
{
	struct usage was = usage_now();

	EXPECT_EQ(-error, spapr_create(c, shift, size, levels, NULL)) {
		TH_LOG("CREATE shift %u size %#lx levels %u", shift, (long)size,
		       levels);
	}
	expect_usage(_metadata, &was);
}

/* The default window is there and charged, the other place is free. */
FIXTURE(window)
{
	FIXTURE_DATA(one_group) one;
	int c;
	unsigned int max_levels;
	size_t size;
	char *buf;
};

FIXTURE_SETUP(window)
{
	one_group_setup(_metadata, &self->one, NULL);
	if (_metadata->exit_code)
		return;
	self->c = self->one.c;
	self->max_levels = self->one.info.ddw.levels;
	self->size = 2 * SZ_1M;
	self->buf = buf_alloc(self->size, SZ_64K);
	buf_tag(self->buf, self->size);
	ASSERT_EQ(0, spapr_register(self->c, self->buf, self->size));
	ASSERT_EQ(0, spapr_unmap(self->c, 0, SZ_4K));
}

FIXTURE_TEARDOWN(window)
{
	one_group_teardown(_metadata, &self->one, NULL);
}

TEST_F(window, places)
{
	uint64_t start = ~0UL;

	/* The default window is the one at 0, so this is the other */
	ASSERT_EQ(0, spapr_create(self->c, 16, SZ_1G, 1, &start));
	EXPECT_EQ(SLOT1_START, start);
	refused(_metadata, self->c, ENOSPC, 16, SZ_1G, 1);
	refused(_metadata, self->c, ENOSPC, 12, SZ_16M, 2);

	/* Each place is given out again */
	ASSERT_EQ(0, spapr_remove(self->c, SLOT0_START));
	ASSERT_EQ(0, spapr_create(self->c, 12, SZ_1G, 1, &start));
	EXPECT_EQ(SLOT0_START, start);
	refused(_metadata, self->c, ENOSPC, 16, SZ_1G, 1);
	ASSERT_EQ(0, spapr_remove(self->c, SLOT1_START));
	ASSERT_EQ(0, spapr_create(self->c, 12, SZ_1G, 1, &start));
	EXPECT_EQ(SLOT1_START, start);

	/* With both free, the lower one comes first */
	ASSERT_EQ(0, spapr_remove(self->c, SLOT1_START));
	ASSERT_EQ(0, spapr_remove(self->c, SLOT0_START));
	ASSERT_EQ(0, spapr_create(self->c, 16, SZ_1G, 1, &start));
	EXPECT_EQ(SLOT0_START, start);
	ASSERT_EQ(0, spapr_create(self->c, 16, SZ_1G, 1, &start));
	EXPECT_EQ(SLOT1_START, start);
}

/* It is never made if it is removed before it was needed. */
TEST_F(one_group, default_window_removed_first)
{
	char *buf = buf_alloc(page_size, page_size);
	uint64_t start = ~0UL;

	ASSERT_EQ(0, spapr_remove(self->c, SLOT0_START));
	EXPECT_EQ(self->was.locked_kb, locked_kb());
	EXPECT_EQ(-EINVAL, spapr_remove(self->c, SLOT0_START));
	ASSERT_EQ(0, spapr_register(self->c, buf, page_size));
	EXPECT_EQ(-ENXIO, spapr_map(self->c, 0, buf, SZ_4K));
	EXPECT_EQ(-ENXIO, spapr_unmap(self->c, 0, SZ_4K));
	ASSERT_EQ(0, spapr_create(self->c, page_shift, SZ_1G, 1, &start));
	EXPECT_EQ(SLOT0_START, start);
	EXPECT_EQ(0, spapr_map(self->c, 0, buf, page_size));
}

/* Has never been in use, and nothing is registered but @buf. */
static void start_over(struct __test_metadata *_metadata,
		       FIXTURE_DATA(one_group) *self, char *buf)
{
	ASSERT_EQ(0, container_del(self->c, &self->edu));
	ASSERT_EQ(0, container_add(self->c, &self->edu));
	ASSERT_EQ(0, container_set_iommu(self->c, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, spapr_register(self->c, buf, page_size));
}

/*
 * CREATE makes the default window first. If there is no room for both, it makes
 * neither, and the first one is made when it is needed.
 */
TEST_F(one_group, room_for_default_window_only)
{
	char *buf = buf_alloc(page_size, page_size);
	long before, with;

	start_over(_metadata, self, buf);
	before = locked_kb();
	ASSERT_EQ(0, spapr_unmap(self->c, 0, SZ_4K));
	with = locked_kb();
	ASSERT_LT(before, with);

	start_over(_metadata, self, buf);
	ASSERT_EQ(before, locked_kb());
	limit_locked(with * 1024);
	EXPECT_EQ(-ENOMEM, spapr_create(self->c, page_shift, SZ_1G, 1, NULL));
	EXPECT_EQ(before, locked_kb());
	EXPECT_EQ(0, spapr_map(self->c, 0, buf, SZ_4K));
	EXPECT_EQ(with, locked_kb());
	EXPECT_EQ(-ENXIO, spapr_map(self->c, SLOT1_START, buf, page_size));
}

TEST_F(window, no_window_left)
{
	ASSERT_EQ(0, spapr_remove(self->c, SLOT0_START));
	EXPECT_EQ(-ENXIO, spapr_map(self->c, 0, self->buf, SZ_4K));
	EXPECT_EQ(-ENXIO, spapr_unmap(self->c, 0, SZ_4K));
	/* It does not come back by itself */
	EXPECT_EQ(-ENXIO, spapr_map(self->c, 0, self->buf, SZ_4K));
}

/* A window is named by where it starts, and by nothing else. */
TEST_F(window, remove_unknown)
{
	long locked = locked_kb();

	EXPECT_EQ(-EINVAL, spapr_remove(self->c, SLOT1_START));
	EXPECT_EQ(-EINVAL, spapr_remove(self->c, SZ_4K));
	EXPECT_EQ(-EINVAL, spapr_remove(self->c, self->one.last));
	EXPECT_EQ(-EINVAL, spapr_remove(self->c, self->one.end));
	EXPECT_EQ(-EINVAL, spapr_remove(self->c, 1));
	EXPECT_EQ(-EINVAL, spapr_remove(self->c, -1UL));
	ASSERT_EQ(0, spapr_create(self->c, 16, SZ_1G, 1, NULL));
	EXPECT_EQ(-EINVAL, spapr_remove(self->c, SLOT1_START + SZ_64K));
	EXPECT_EQ(-EINVAL, spapr_remove(self->c, SLOT1_START - SZ_64K));
	EXPECT_EQ(0, spapr_remove(self->c, SLOT1_START));
	EXPECT_EQ(-EINVAL, spapr_remove(self->c, SLOT1_START));
	EXPECT_EQ(locked, locked_kb());
	EXPECT_EQ(0, spapr_map(self->c, self->one.last, self->buf, SZ_4K));
}

TEST_F(window, bad_page_shift)
{
	static const unsigned int bad[] = {
		0, 1, 11, 13, 15, 17, 31, 32, 62, 63, 64, 64 + 12, 64 + 16, 200,
		1U << 31, ~0U,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		refused(_metadata, self->c, EINVAL, bad[i], SZ_1G, 1);
	/* Sizes that GET_INFO does not name are not there */
	for (i = 0; i < 64; i++)
		if (!(self->one.info.ddw.pgsizes >> i & 1))
			refused(_metadata, self->c, EINVAL, i, 1UL << 40, 2);
	EXPECT_EQ(0, spapr_create(self->c, 16, SZ_1G, 1, NULL));
}

TEST_F(window, bad_size)
{
	static const uint64_t bad[] = {
		0, 1, SZ_4K, SZ_64K / 2, SZ_64K + SZ_4K, 3 * SZ_64K,
		SZ_1G - SZ_64K, SZ_1G + SZ_64K, SZ_1G + 1, 3 * SZ_1G,
		1UL << 63, 3UL << 62, -SZ_64K, -1UL,
	};
	unsigned int i, levels;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		for (levels = 1; levels <= self->max_levels; levels++)
			refused(_metadata, self->c, EINVAL, 16, bad[i], levels);
	EXPECT_EQ(0, spapr_create(self->c, 16, SZ_1G, 1, NULL));
}

TEST_F(window, bad_levels)
{
	refused(_metadata, self->c, EINVAL, 16, SZ_1G, 0);
	refused(_metadata, self->c, EINVAL, 16, SZ_1G, self->max_levels + 1);
	refused(_metadata, self->c, EINVAL, 12, SZ_1T, self->max_levels + 1);
	refused(_metadata, self->c, EINVAL, 16, SZ_1G, 64);
	refused(_metadata, self->c, EINVAL, 16, SZ_1G, ~0U);
	EXPECT_EQ(0, spapr_create(self->c, 16, SZ_1G, 1, NULL));
}

/* A table in one piece that no machine of this kind can allocate. */
TEST_F(window, too_large_for_one_level)
{
	refused(_metadata, self->c, ENOMEM, 12, 1UL << 42, 1);
	EXPECT_EQ(0, spapr_create(self->c, 12, 1UL << 42, 3, NULL));
}

/* Whatever is asked for, it is refused or it works, and nothing is lost. */
TEST_F(window, every_size)
{
	struct usage was = usage_now();
	unsigned int size, levels, made;
	int ret;

	for (levels = 1; levels <= self->max_levels; levels++) {
		made = 0;
		for (size = 17; size < 64; size++) {
			ret = spapr_create(self->c, 16, 1UL << size, levels,
					   NULL);
			if (!ret) {
				made++;
				EXPECT_LT(was.locked_kb, locked_kb());
				ret = spapr_remove(self->c, SLOT1_START);
				EXPECT_EQ(0, ret);
			} else if (ret != -ENOMEM) {
				EXPECT_EQ(-EINVAL, ret);
			}
			ASSERT_EQ(was.locked_kb, locked_kb()) {
				TH_LOG("1 << %u, %u levels", size, levels);
			}
		}
		/* 1 MiB to 1 TiB at least, with any number of levels */
		EXPECT_LE(20, made) {
			TH_LOG("%u levels: %u sizes", levels, made);
		}
	}
	expect_usage(_metadata, &was);
}

/* The end of a small window, with less than a page of table. */
TEST_F(window, small)
{
	uint64_t size = SZ_4K * 512, start;

	ASSERT_EQ(0, spapr_create(self->c, 12, size, 1, &start));
	EXPECT_EQ(0, spapr_map(self->c, start, self->buf, size));
	EXPECT_EQ(-ENXIO, spapr_map(self->c, start + size, self->buf, SZ_4K));
	EXPECT_EQ(-ENXIO, spapr_unmap(self->c, start + size, SZ_4K));
	EXPECT_EQ(-EINVAL, spapr_map(self->c, start + size - SZ_4K, self->buf,
				     2 * SZ_4K));
	EXPECT_EQ(-EINVAL, spapr_unmap(self->c, start, size + SZ_4K));
	EXPECT_EQ(0, spapr_unmap(self->c, start, size));
	EXPECT_EQ(0, spapr_unregister(self->c, self->buf, self->size));
}

/* REMOVE drops what is mapped, as far as that window goes. */
TEST_F(window, removed_with_entries)
{
	struct probe probe;
	uint64_t start;

	ASSERT_EQ(0, probe_init(&probe, self->c, &self->one.edu,
				self->one.last));
	ASSERT_EQ(0, spapr_create(self->c, 12, SZ_1T, 2, &start));
	ASSERT_EQ(0, spapr_map(self->c, start, self->buf, SZ_1M));
	ASSERT_EQ(0, spapr_map(self->c, start + SZ_1T - SZ_1M, self->buf,
			       SZ_1M));
	EXPECT_EQ(READ_WRITE, probe_reach(&probe, start, self->buf));
	EXPECT_EQ(-EBUSY, spapr_unregister(self->c, self->buf, self->size));
	ASSERT_EQ(0, spapr_remove(self->c, start));
	EXPECT_EQ(0, probe_reach(&probe, start, self->buf));
	EXPECT_EQ(0, spapr_unregister(self->c, self->buf, self->size));

	/* The entries are gone, not hidden */
	ASSERT_EQ(0, spapr_register(self->c, self->buf, self->size));
	ASSERT_EQ(0, spapr_create(self->c, 12, SZ_1T, 2, &start));
	EXPECT_EQ(0, probe_reach(&probe, start, self->buf));
	EXPECT_EQ(0, spapr_unregister(self->c, self->buf, self->size));
	EXPECT_EQ(0, probe_exit(&probe));
}

/* One window's entries are none of the other's. */
TEST_F(window, apart)
{
	struct probe probe;
	uint64_t start;

	ASSERT_EQ(0, spapr_create(self->c, page_shift, SZ_1G, 1, &start));
	ASSERT_EQ(0, probe_init(&probe, self->c, &self->one.edu,
				start + SZ_1G - page_size));
	ASSERT_EQ(0, spapr_map(self->c, SZ_1M, self->buf, SZ_1M));
	EXPECT_EQ(READ_WRITE, probe_reach(&probe, SZ_1M, self->buf));
	EXPECT_EQ(0, probe_reach(&probe, start + SZ_1M, self->buf));
	ASSERT_EQ(0, spapr_map(self->c, start + SZ_1M, self->buf + SZ_1M,
			       page_size));
	ASSERT_EQ(0, spapr_remove(self->c, SLOT0_START));
	EXPECT_EQ(0, probe_reach(&probe, SZ_1M, self->buf));
	EXPECT_EQ(READ_WRITE, probe_reach(&probe, start + SZ_1M,
					  self->buf + SZ_1M));
	EXPECT_EQ(-EBUSY, spapr_unregister(self->c, self->buf, self->size));
	ASSERT_EQ(0, spapr_unmap(self->c, start + SZ_1M, page_size));
	EXPECT_EQ(0, spapr_unregister(self->c, self->buf, self->size));
}

/* A few entries far apart, then all away in one call. */
TEST_F(window, sparse)
{
	enum { N = 40 };
	struct spot spots[N + 1];
	struct probe probe;
	uint64_t start;
	int i, round;

	ASSERT_EQ(0, probe_init(&probe, self->c, &self->one.edu,
				self->one.last));
	ASSERT_EQ(0, spapr_create(self->c, 12, SZ_1T, 2, &start));
	for (i = 0; i < N; i++) {
		spots[i].iova = start + SZ_1T / N * i / SZ_4K * SZ_4K;
		spots[i].ua = self->buf + i * SZ_4K;
	}
	spots[N - 1].iova = start + SZ_1T - SZ_4K;
	spots[N] = (struct spot){ start + SZ_1T / 2 + SZ_64K, NULL };

	for (round = 0; round < 2; round++) {
		for (i = 0; i < N; i++) {
			ASSERT_EQ(0, spapr_map(self->c, spots[i].iova,
					       spots[i].ua, SZ_4K));
		}
		EXPECT_EQ(0, probe_spots(&probe, spots + N - 8, 9));
		EXPECT_EQ(-EBUSY,
			  spapr_unregister(self->c, self->buf, self->size));
		ASSERT_EQ(0, spapr_unmap(self->c, start, SZ_1T));
		EXPECT_EQ(0, probe_reach(&probe, spots[N - 1].iova, self->buf));
		ASSERT_EQ(0, spapr_unregister(self->c, self->buf, self->size));
		ASSERT_EQ(0, spapr_register(self->c, self->buf, self->size));
	}
	EXPECT_EQ(0, spapr_remove(self->c, start));
	EXPECT_EQ(0, probe_exit(&probe));
}

/* All of the default window in one call, empty and not. */
TEST_F(window, whole_default_window)
{
	ASSERT_EQ(0, spapr_unmap(self->c, 0, self->one.end));
	ASSERT_EQ(0, spapr_map(self->c, 0, self->buf, SZ_1M));
	ASSERT_EQ(0, spapr_map(self->c, self->one.last, self->buf, SZ_4K));
	ASSERT_EQ(0, spapr_unmap(self->c, 0, self->one.end));
	EXPECT_EQ(0, spapr_unregister(self->c, self->buf, self->size));
}

TEST_F(window, again_and_again)
{
	struct usage was = usage_now();
	uint64_t start;
	int i;

	for (i = 0; i < 50; i++) {
		ASSERT_EQ(0, spapr_create(self->c, 12, SZ_1G << i % 8,
					  2 + i % 2, &start));
		ASSERT_EQ(0, spapr_map(self->c, start + i * SZ_1M, self->buf,
				       SZ_1M));
		ASSERT_EQ(0, spapr_remove(self->c, start));
	}
	expect_usage(_metadata, &was);
	EXPECT_EQ(0, spapr_unregister(self->c, self->buf, self->size));
}

/* ---- every level count that GET_INFO advertises ---- */

FIXTURE(levels)
{
	FIXTURE_DATA(one_group) one;
	int c;
	unsigned int max_levels;
	char *buf;
	size_t entry;
};

FIXTURE_VARIANT(levels)
{
	unsigned int shift;
	uint64_t size;
	/* in the place of the default window */
	bool first;
};

FIXTURE_VARIANT_ADD(levels, 4k_1g) { 12, SZ_1G };
FIXTURE_VARIANT_ADD(levels, 4k_16g) { 12, SZ_1G * 16 };
FIXTURE_VARIANT_ADD(levels, 4k_1t) { 12, SZ_1T };
FIXTURE_VARIANT_ADD(levels, 4k_1t_first) { 12, SZ_1T, true };
FIXTURE_VARIANT_ADD(levels, 64k_1g) { 16, SZ_1G };
FIXTURE_VARIANT_ADD(levels, 64k_16g) { 16, SZ_1G * 16 };
FIXTURE_VARIANT_ADD(levels, 64k_16g_first) { 16, SZ_1G * 16, true };
FIXTURE_VARIANT_ADD(levels, 64k_1t) { 16, SZ_1T };

FIXTURE_SETUP(levels)
{
	one_group_setup(_metadata, &self->one, NULL);
	if (_metadata->exit_code)
		return;
	self->c = self->one.c;
	self->max_levels = self->one.info.ddw.levels;
	self->entry = 1UL << variant->shift;
	self->buf = buf_alloc_contig(SZ_1M, variant->shift);
	if (!self->buf)
		SKIP(return, "no huge pages to map 64 KiB entries to");
	ASSERT_EQ(0, edu_open(&self->one.edu));
	ASSERT_EQ(0, spapr_register(self->c, self->buf, SZ_1M));
	ASSERT_EQ(0, spapr_unmap(self->c, 0, SZ_4K));
	if (variant->first) {
		ASSERT_EQ(0, spapr_remove(self->c, SLOT0_START));
	}
}

FIXTURE_TEARDOWN(levels)
{
	one_group_teardown(_metadata, &self->one, NULL);
}

/* The device copies from the window's start to its middle and to its end. */
static void copies(struct __test_metadata *_metadata,
		   FIXTURE_DATA(levels) *self, uint64_t start, uint64_t size)
{
	uint64_t middle = start + size / 2 - self->entry;
	uint64_t end = start + size - self->entry;
	char *ua = self->buf;
	size_t entry = self->entry;

	memset(ua, 0, 4 * entry);
	buf_tag(ua, SZ_4K);
	ASSERT_EQ(0, spapr_map(self->c, start, ua, entry));
	ASSERT_EQ(0, spapr_map(self->c, middle, ua + entry, 2 * entry));
	ASSERT_EQ(0, spapr_map(self->c, end, ua + 3 * entry, entry));
	/* half of it to either side of the border of two table pages */
	edu_load(&self->one.edu, 0, start, SZ_4K);
	edu_store(&self->one.edu, middle + entry - SZ_4K / 2, 0, SZ_4K);
	edu_store(&self->one.edu, end + entry - SZ_4K, 0, SZ_4K);
	EXPECT_EQ(0, memcmp(ua, ua + 2 * entry - SZ_4K / 2, SZ_4K));
	EXPECT_EQ(0, memcmp(ua, ua + 4 * entry - SZ_4K, SZ_4K));
	ASSERT_EQ(0, spapr_unmap(self->c, start, size));
}

TEST_F(levels, all)
{
	uint64_t place = variant->first ? SLOT0_START : SLOT1_START;
	uint64_t table = variant->size / self->entry * 8, start;
	struct usage was = usage_now();
	unsigned int levels;
	int ret;

	for (levels = 1; levels <= self->max_levels; levels++) {
		start = ~0UL;
		ret = spapr_create(self->c, variant->shift, variant->size,
				   levels, &start);
		/* One piece of memory may be too large to be had */
		if (levels == 1 && table > max_contiguous() && ret == -ENOMEM) {
			expect_usage(_metadata, &was);
			continue;
		}
		ASSERT_EQ(0, ret) {
			TH_LOG("%u levels", levels);
		}
		EXPECT_EQ(place, start);
		EXPECT_LT(was.locked_kb, locked_kb());
		copies(_metadata, self, start, variant->size);
		ASSERT_EQ(0, spapr_remove(self->c, start));
		EXPECT_EQ(was.locked_kb, locked_kb());
	}
	expect_usage(_metadata, &was);
}

/* ---- entries larger than a page of the system ---- */

FIXTURE(large)
{
	FIXTURE_DATA(one_group) one;
	int c;
	size_t entry;
	uint64_t start;
	struct probe probe;
};

FIXTURE_VARIANT(large)
{
	unsigned int shift;
};

FIXTURE_VARIANT_ADD(large, 64k) { 16 };
FIXTURE_VARIANT_ADD(large, 2m) { 21 };
FIXTURE_VARIANT_ADD(large, 16m) { 24 };

FIXTURE_SETUP(large)
{
	one_group_setup(_metadata, &self->one, NULL);
	if (_metadata->exit_code)
		return;
	self->c = self->one.c;
	self->entry = 1UL << variant->shift;
	if (variant->shift <= page_shift)
		SKIP(return, "not larger than a page of the system");
	if (!(self->one.info.ddw.pgsizes & self->entry))
		SKIP(return, "the machine has no entries of this size");
	ASSERT_EQ(0, probe_init(&self->probe, self->c, &self->one.edu,
				self->one.last));
	ASSERT_EQ(0, spapr_create(self->c, variant->shift, SZ_1G, 1,
				  &self->start));
}

FIXTURE_TEARDOWN(large)
{
	one_group_teardown(_metadata, &self->one, NULL);
}

/*
 * Memory of which one page shows up twice, so it is certainly not contiguous.
 * An entry would let the device at whatever lies behind the first page.
 */
TEST_F(large, scattered)
{
	char *buf = buf_alloc(2 * self->entry, self->entry);
	int fd = memfd_create("spapr", 0);

	ASSERT_EQ(0, ftruncate(fd, self->entry));
	ASSERT_EQ(buf, mmap(buf, self->entry, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_FIXED, fd, 0));
	ASSERT_EQ(buf + page_size,
		  mmap(buf + page_size, page_size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_FIXED, fd, 0));
	ASSERT_EQ(0, spapr_register(self->c, buf, 2 * self->entry));
	EXPECT_EQ(-EINVAL, spapr_map(self->c, self->start, buf, self->entry));
	EXPECT_EQ(0, spapr_unregister(self->c, buf, 2 * self->entry));
	close(fd);
}

/* The region is smaller than an entry. */
TEST_F(large, partly_registered)
{
	char *buf = buf_alloc_huge(2 * self->entry, variant->shift);
	size_t part = self->entry - page_size;

	if (!buf)
		SKIP(return, "no huge pages on this machine");
	ASSERT_EQ(0, spapr_register(self->c, buf, part));
	EXPECT_EQ(-EINVAL, spapr_map(self->c, self->start, buf, self->entry));
	EXPECT_EQ(0, spapr_unregister(self->c, buf, part));
}

TEST_F(large, huge_pages)
{
	char *buf = buf_alloc_huge(4 * self->entry, variant->shift);
	size_t entry = self->entry;
	struct spot spots[] = {
		{ self->start, buf },
		{ self->start + entry - SZ_4K, buf + entry - SZ_4K },
		{ self->start + entry + page_size, buf + entry + page_size },
		{ self->start + 3 * entry, NULL },
	};

	if (!buf)
		SKIP(return, "no huge pages on this machine");
	buf_tag(buf, 4 * entry);
	ASSERT_EQ(0, spapr_register(self->c, buf, 4 * entry));
	ASSERT_EQ(0, spapr_map(self->c, self->start, buf, 3 * entry));
	EXPECT_EQ(0, probe_spots(&self->probe, spots, 4));
	EXPECT_EQ(-EBUSY, spapr_unregister(self->c, buf, 4 * entry));
	ASSERT_EQ(0, spapr_unmap(self->c, self->start, SZ_1G));
	EXPECT_EQ(0, spapr_unregister(self->c, buf, 4 * entry));
}

TEST_HARNESS_MAIN
