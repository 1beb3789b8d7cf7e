// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * KUnit tests of TCE tables of IODA2: their geometry, and entries in memory.
 */

#include <kunit/test.h>
#include <linux/log2.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include <asm/iommu.h>
#include <asm/tce.h>

#include "pci-ioda-tce.h"

static void geometry_takes_every_level_count(struct kunit *test)
{
	static const unsigned int page_shifts[] = { 12, 16 };
	struct pnv_tce_geometry geo;
	unsigned int i, levels, shift;

	for (i = 0; i < ARRAY_SIZE(page_shifts); i++) {
		for (shift = page_shifts[i]; shift <= 45; shift++) {
			for (levels = 1; levels <= 4; levels++) {
				int ret = pnv_tce_plan(&geo, page_shifts[i],
							   1ULL << shift,
							   levels);

				KUNIT_EXPECT_EQ(test, 0, ret);
				KUNIT_EXPECT_GE(test, geo.level_bits, 9);
				KUNIT_EXPECT_GE(test, geo.level_bits * levels +
						page_shifts[i], shift);
			}
		}
	}
}

static void geometry_refuses_what_is_no_table(struct kunit *test)
{
	struct pnv_tce_geometry geo;

	KUNIT_EXPECT_EQ(test, -EINVAL, pnv_tce_plan(&geo, 16, SZ_1G, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL, pnv_tce_plan(&geo, 16, SZ_1G, 5));
	KUNIT_EXPECT_EQ(test, -EINVAL, pnv_tce_plan(&geo, 16, 0, 1));
	KUNIT_EXPECT_EQ(test, -EINVAL, pnv_tce_plan(&geo, 16, SZ_32K, 1));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			pnv_tce_plan(&geo, 16, SZ_1G | SZ_64K, 1));
	KUNIT_EXPECT_EQ(test, -EINVAL, pnv_tce_plan(&geo, 11, SZ_1G, 1));
	KUNIT_EXPECT_EQ(test, -EINVAL, pnv_tce_plan(&geo, 64, SZ_1G, 1));
	KUNIT_EXPECT_EQ(test, -EINVAL, pnv_tce_plan(&geo, 24, SZ_1G, 4));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			pnv_tce_plan(&geo, 16, 1ULL << 63, 1));
}

static void geometry_knows_what_it_costs(struct kunit *test)
{
	struct pnv_tce_geometry geo;

	/* 2^24 entries in one level. */
	KUNIT_ASSERT_EQ(test, 0, pnv_tce_plan(&geo, 16, SZ_1T, 1));
	KUNIT_EXPECT_EQ(test, SZ_128M, pnv_tce_geometry_bytes(&geo));

	/* In two of 2^12: 4096 tables below one. */
	KUNIT_ASSERT_EQ(test, 0, pnv_tce_plan(&geo, 16, SZ_1T, 2));
	KUNIT_EXPECT_EQ(test, SZ_128M + SZ_32K, pnv_tce_geometry_bytes(&geo));

	/* In three of 2^9: 2^15 tables below 2^6 below one. */
	KUNIT_ASSERT_EQ(test, 0, pnv_tce_plan(&geo, 16, SZ_1T, 3));
	KUNIT_EXPECT_EQ(test, SZ_128M + 64 * SZ_4K + SZ_4K,
			pnv_tce_geometry_bytes(&geo));

	/* A window that no level can be small enough for. */
	KUNIT_ASSERT_EQ(test, 0, pnv_tce_plan(&geo, 16, SZ_64K, 4));
	KUNIT_EXPECT_EQ(test, 4 * SZ_4K, pnv_tce_geometry_bytes(&geo));
}

static struct iommu_table *make_table(struct kunit *test, unsigned int levels)
{
	struct pnv_tce_geometry geo;
	struct iommu_table *tbl;

	tbl = kunit_kzalloc(test, sizeof(*tbl), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, tbl);
	KUNIT_ASSERT_EQ(test, 0, pnv_tce_plan(&geo, 16, SZ_1T / 16, levels));
	KUNIT_ASSERT_EQ(test, 0,
			pnv_tce_table_init(tbl, &geo, 1ULL << 59, NUMA_NO_NODE,
					   GFP_KERNEL));

	return tbl;
}

/* Runs that cross levels are written and read back entry by entry. */
static void table_keeps_runs_of_entries(struct kunit *test)
{
	/* The levels of 512 end in runs, before and behind runs of one. */
	const struct tce_run runs[] = {
		{ 0xc0000000, 1 }, { 0xa0000000, 1 }, { 0xb0000000, 3 },
		{ 0xd0000000, 1 }, { 0x10000000, 510 }, { 0x90000000, 1 },
		{ 0x80000000, 1 }, { 0x40000000, 900 }, { 0x70000000, 1 },
	};
	unsigned int levels;

	for (levels = 1; levels <= 4; levels++) {
		struct iommu_table *tbl = make_table(test, levels);
		unsigned long first = tbl->it_offset + 3 * 512 - 5, entry, i, k;

		KUNIT_ASSERT_EQ(test, 0, pnv_tce_grow(tbl, first, 1419));
		KUNIT_ASSERT_EQ(test, 0, pnv_tce_set_runs(tbl, first, runs,
							  ARRAY_SIZE(runs),
							  TCE_PCI_READ));
		for (k = 0, entry = first; k < ARRAY_SIZE(runs); k++) {
			for (i = 0; i < runs[k].entries; i++, entry++)
				KUNIT_ASSERT_EQ(test, runs[k].hpa +
						i * SZ_64K + TCE_PCI_READ,
						pnv_tce_get(tbl, entry));
		}
		KUNIT_EXPECT_EQ(test, 0, pnv_tce_get(tbl, first - 1));
		KUNIT_EXPECT_EQ(test, 0, pnv_tce_get(tbl, entry));

		pnv_tce_clear_range(tbl, first + 600, 300);
		KUNIT_EXPECT_NE(test, 0, pnv_tce_get(tbl, first + 599));
		KUNIT_EXPECT_EQ(test, 0, pnv_tce_get(tbl, first + 600));
		KUNIT_EXPECT_EQ(test, 0, pnv_tce_get(tbl, first + 899));
		KUNIT_EXPECT_NE(test, 0, pnv_tce_get(tbl, first + 900));

		pnv_tce_table_free(tbl);
	}
}

static void table_grows_only_when_asked(struct kunit *test)
{
	struct iommu_table *tbl = make_table(test, 3);
	const struct tce_run run = { 0x10000000, 1 };
	unsigned long last = tbl->it_offset + tbl->it_size - 1;

	KUNIT_EXPECT_EQ(test, 0, pnv_tce_get(tbl, last));
	KUNIT_EXPECT_EQ(test, -ENOENT,
			pnv_tce_set_runs(tbl, last, &run, 1, TCE_PCI_READ));
	/* Clearing all of it neither fails nor allocates. */
	pnv_tce_clear_range(tbl, tbl->it_offset, tbl->it_size);
	KUNIT_EXPECT_EQ(test, -ENOENT,
			pnv_tce_set_runs(tbl, last, &run, 1, TCE_PCI_READ));

	KUNIT_ASSERT_EQ(test, 0, pnv_tce_grow(tbl, last, 1));
	KUNIT_EXPECT_EQ(test, 0,
			pnv_tce_set_runs(tbl, last, &run, 1, TCE_PCI_WRITE));
	/* A device that may write may also read. */
	KUNIT_EXPECT_EQ(test, run.hpa + TCE_PCI_READ + TCE_PCI_WRITE,
			pnv_tce_get(tbl, last));

	pnv_tce_table_free(tbl);
}

/* One entry for each page, over several levels. */
static void table_keeps_single_entries(struct kunit *test)
{
	struct iommu_table *tbl = make_table(test, 4);
	unsigned long first = tbl->it_offset + 509, nr = 1030, i;
	struct tce_run *runs;

	runs = kunit_kcalloc(test, nr, sizeof(*runs), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, runs);
	for (i = 0; i < nr; i++)
		runs[i] = (struct tce_run){ (nr - i) * SZ_64K, 1 };

	/* From the end, lest levels are neighbours in memory as well. */
	for (i = nr; i-- > 0; )
		KUNIT_ASSERT_EQ(test, 0, pnv_tce_grow(tbl, first + i, 1));
	KUNIT_ASSERT_EQ(test, 0, pnv_tce_set_runs(tbl, first, runs, nr,
						  TCE_PCI_READ));
	for (i = 0; i < nr; i++)
		KUNIT_ASSERT_EQ(test, runs[i].hpa + TCE_PCI_READ,
				pnv_tce_get(tbl, first + i));
	KUNIT_EXPECT_EQ(test, 0, pnv_tce_get(tbl, first - 1));
	KUNIT_EXPECT_EQ(test, 0, pnv_tce_get(tbl, first + nr));

	pnv_tce_table_free(tbl);
}

static struct kunit_case tce_test_cases[] = {
	KUNIT_CASE(geometry_takes_every_level_count),
	KUNIT_CASE(geometry_refuses_what_is_no_table),
	KUNIT_CASE(geometry_knows_what_it_costs),
	KUNIT_CASE(table_keeps_runs_of_entries),
	KUNIT_CASE(table_keeps_single_entries),
	KUNIT_CASE(table_grows_only_when_asked),
	{}
};

static struct kunit_suite tce_test_suite = {
	.name = "pnv_tce",
	.test_cases = tce_test_cases,
};

kunit_test_suite(tce_test_suite);
