// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * KUnit tests of the index of registered regions, against a plain array.
 */

#include <kunit/test.h>
#include <linux/prandom.h>
#include <linux/slab.h>

#include "mm_iommu_index.h"

#define CELL_BYTES	0x10000UL
#define NR_CELLS	4096
#define NR_STEPS	20000

/* Which range covers each cell: its first cell + 1, or 0. */
struct model {
	unsigned int range[NR_CELLS];
};

static int index_test_init(struct kunit *test)
{
	test->priv = kunit_kzalloc(test, sizeof(struct mm_iommu_index),
				   GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, test->priv);

	return 0;
}

static void index_test_exit(struct kunit *test)
{
	mm_iommu_index_destroy(test->priv);
}

static void *item_of(unsigned long start)
{
	return (void *)(start | 1);
}

static int insert(struct mm_iommu_index *index, unsigned long start,
		  unsigned long end, void *item)
{
	struct mm_iommu_spare spare = {};
	int ret;

	do {
		ret = mm_iommu_index_prepare(&spare) ?:
		      mm_iommu_index_insert(index, &spare, start, end, item);
	} while (ret == -EAGAIN);
	mm_iommu_index_forget(&spare);

	return ret;
}

static void index_is_empty_at_first(struct kunit *test)
{
	struct mm_iommu_index *index = test->priv;

	KUNIT_EXPECT_NULL(test, mm_iommu_index_find(index, 0));
	KUNIT_EXPECT_NULL(test, mm_iommu_index_find(index, ULONG_MAX));
	KUNIT_EXPECT_FALSE(test, mm_iommu_index_overlaps(index, 0, ULONG_MAX));
}

static void index_finds_both_ends(struct kunit *test)
{
	struct mm_iommu_index *index = test->priv;
	void *item = item_of(0x1000);

	KUNIT_ASSERT_EQ(test, 0,
			insert(index, 0x1000, 0x3000, item));
	KUNIT_EXPECT_NULL(test, mm_iommu_index_find(index, 0xfff));
	KUNIT_EXPECT_PTR_EQ(test, item, mm_iommu_index_find(index, 0x1000));
	KUNIT_EXPECT_PTR_EQ(test, item, mm_iommu_index_find(index, 0x2fff));
	KUNIT_EXPECT_NULL(test, mm_iommu_index_find(index, 0x3000));

	KUNIT_EXPECT_FALSE(test, mm_iommu_index_overlaps(index, 0, 0x1000));
	KUNIT_EXPECT_TRUE(test, mm_iommu_index_overlaps(index, 0, 0x1001));
	KUNIT_EXPECT_TRUE(test, mm_iommu_index_overlaps(index, 0x1800, 0x1900));
	KUNIT_EXPECT_TRUE(test, mm_iommu_index_overlaps(index, 0x2fff, 0x4000));
	KUNIT_EXPECT_FALSE(test,
			   mm_iommu_index_overlaps(index, 0x3000, 0x4000));

	mm_iommu_index_remove(index, 0x1000);
	KUNIT_EXPECT_NULL(test, mm_iommu_index_find(index, 0x1000));
	KUNIT_EXPECT_NULL(test, index->root);
}

/* Leaves fill, split at either end and in the middle, and empty again. */
static void index_grows_and_shrinks(struct kunit *test)
{
	static const unsigned long strides[] = { 1, 7, 997 };
	const unsigned long nr = 1000; /* none of the strides divides it */
	struct mm_iommu_index *index = test->priv;
	unsigned long i, k, addr;

	for (k = 0; k < ARRAY_SIZE(strides); k++) {
		for (i = 0; i < nr; i++) {
			addr = (i * strides[k] % nr + 1) * CELL_BYTES;
			KUNIT_ASSERT_EQ(test, 0,
					insert(index, addr, addr + CELL_BYTES,
					       item_of(addr)));
		}
		for (i = 1; i <= nr; i++) {
			addr = i * CELL_BYTES;
			KUNIT_ASSERT_PTR_EQ(test, item_of(addr),
					    mm_iommu_index_find(index, addr));
		}
		for (i = 0; i < nr; i++)
			mm_iommu_index_remove(index, (i * strides[k] % nr + 1) *
						     CELL_BYTES);
		KUNIT_ASSERT_NULL(test, index->root);
	}
}

static void expect_as_model(struct kunit *test, struct mm_iommu_index *index,
			    const struct model *model, unsigned int cell)
{
	unsigned long addr = cell * CELL_BYTES;
	unsigned int range = model->range[cell];
	void *item = range ? item_of((range - 1) * CELL_BYTES) : NULL;

	KUNIT_ASSERT_PTR_EQ(test, item, mm_iommu_index_find(index, addr));
	KUNIT_ASSERT_PTR_EQ(test, item,
			    mm_iommu_index_find(index, addr + CELL_BYTES - 1));
	KUNIT_ASSERT_EQ(test, !!range,
			mm_iommu_index_overlaps(index, addr,
						addr + CELL_BYTES));
}

static void fill(struct model *model, unsigned int first, unsigned int nr,
		 unsigned int range)
{
	while (nr--)
		model->range[first++] = range;
}

/* Insert a range of up to @max cells at @cell, as far as there is room. */
static void insert_at(struct kunit *test, struct mm_iommu_index *index,
		      struct model *model, unsigned int cell, unsigned int max)
{
	unsigned int nr = 0;

	while (nr < max && cell + nr < NR_CELLS && !model->range[cell + nr])
		nr++;
	KUNIT_ASSERT_EQ(test, 0,
			insert(index, cell * CELL_BYTES,
			       (cell + nr) * CELL_BYTES,
			       item_of(cell * CELL_BYTES)));
	fill(model, cell, nr, cell + 1);
}

static void remove_at(struct mm_iommu_index *index, struct model *model,
		      unsigned int cell)
{
	unsigned int range = model->range[cell], first = range - 1, nr = 0;

	while (first + nr < NR_CELLS && model->range[first + nr] == range)
		nr++;
	mm_iommu_index_remove(index, first * CELL_BYTES);
	fill(model, first, nr, 0);
}

/*
 * Ranges come and go and are of any size, so that they reach across where
 * leaves began when they were split, and find leaves whose first range is gone.
 */
static void index_agrees_with_a_model(struct kunit *test)
{
	struct mm_iommu_index *index = test->priv;
	unsigned int step, cell;
	struct rnd_state rnd;
	struct model *model;

	model = kunit_kzalloc(test, sizeof(*model), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, model);
	prandom_seed_state(&rnd, 2026);

	for (step = 0; step < NR_STEPS; step++) {
		cell = prandom_u32_state(&rnd) % NR_CELLS;
		if (model->range[cell])
			remove_at(index, model, cell);
		else
			insert_at(test, index, model, cell,
				  1 + prandom_u32_state(&rnd) % 9);
		for (cell = 0; cell < NR_CELLS && !(step % 512); cell++)
			expect_as_model(test, index, model, cell);
		expect_as_model(test, index, model,
				prandom_u32_state(&rnd) % NR_CELLS);
	}

	for (cell = 0; cell < NR_CELLS; cell++) {
		if (model->range[cell])
			remove_at(index, model, cell);
	}
	KUNIT_EXPECT_NULL(test, index->root);
}

/* A range that begins in one leaf's part and ends in the next one's. */
static void index_finds_across_leaves(struct kunit *test)
{
	const unsigned long nr = MM_IOMMU_LEAF_RANGES + 6;
	struct mm_iommu_index *index = test->priv;
	unsigned long i, cut;

	for (i = 0; i < nr; i++)
		KUNIT_ASSERT_EQ(test, 0,
				insert(index, i * CELL_BYTES,
				       (i + 1) * CELL_BYTES,
				       item_of(i * CELL_BYTES)));
	KUNIT_ASSERT_EQ(test, 2, index->root->nr_slots);
	cut = index->root->slot[1].start / CELL_BYTES;

	mm_iommu_index_remove(index, (cut - 1) * CELL_BYTES);
	mm_iommu_index_remove(index, cut * CELL_BYTES);
	KUNIT_ASSERT_EQ(test, 0,
			insert(index, (cut - 1) * CELL_BYTES,
			       (cut + 1) * CELL_BYTES, item_of(7)));
	KUNIT_EXPECT_PTR_EQ(test, item_of(7),
			    mm_iommu_index_find(index, cut * CELL_BYTES));
	KUNIT_EXPECT_PTR_EQ(test, item_of((cut + 1) * CELL_BYTES),
			    mm_iommu_index_find(index, (cut + 1) * CELL_BYTES));

	for (i = 0; i < nr; i++) {
		if (i != cut)
			mm_iommu_index_remove(index, i * CELL_BYTES);
	}
	KUNIT_EXPECT_NULL(test, index->root);
}

/* How many leaves the slots have. */
static unsigned long nr_leaves(const struct mm_iommu_index *index)
{
	unsigned long s, nr = 0;

	for (s = 0; index->root && s < index->root->nr_slots; s++)
		nr += !s || index->root->slot[s].leaf !=
			    index->root->slot[s - 1].leaf;

	return nr;
}

/*
 * All regions but a few go, from either end or all over the place: there are no
 * more leaves than ranges, what is left is found, and the next leaf that splits
 * leaves no slots behind.
 */
static void index_shrinks_by_itself(struct kunit *test)
{
	static const unsigned long strides[] = { 1, 65535, 997 };
	/* KASAN takes ten minutes for as many as all others have. */
	const unsigned long nr = IS_ENABLED(CONFIG_KASAN) ? 8192 : 65536;
	const unsigned long left = 5;
	struct mm_iommu_index *index = test->priv;
	unsigned long i, k, addr;

	for (k = 0; k < ARRAY_SIZE(strides); k++) {
		for (i = 0; i < nr; i++) {
			addr = i * CELL_BYTES;
			KUNIT_ASSERT_EQ(test, 0,
					insert(index, addr, addr + CELL_BYTES,
					       item_of(addr)));
		}
		KUNIT_EXPECT_GE(test, nr_leaves(index),
				nr / MM_IOMMU_LEAF_RANGES);

		for (i = 0; i < nr - left; i++)
			mm_iommu_index_remove(index, i * strides[k] % nr *
						     CELL_BYTES);
		KUNIT_EXPECT_LE(test, nr_leaves(index), left);
		for (i = 0; i < nr; i++) {
			bool gone = i < nr - left;
			void *found;

			addr = i * strides[k] % nr * CELL_BYTES;
			found = mm_iommu_index_find(index, addr);
			KUNIT_ASSERT_PTR_EQ(test, found,
					    gone ? NULL : item_of(addr));
		}

		for (i = nr; i < nr + 2 * MM_IOMMU_LEAF_RANGES; i++) {
			addr = i * CELL_BYTES;
			KUNIT_ASSERT_EQ(test, 0,
					insert(index, addr, addr + CELL_BYTES,
					       item_of(addr)));
		}
		KUNIT_EXPECT_EQ(test, nr_leaves(index), index->root->nr_slots);
		for (i = nr; i < nr + 2 * MM_IOMMU_LEAF_RANGES; i++)
			mm_iommu_index_remove(index, i * CELL_BYTES);
		for (i = nr - left; i < nr; i++)
			mm_iommu_index_remove(index, i * strides[k] % nr *
						     CELL_BYTES);
		KUNIT_ASSERT_NULL(test, index->root);
	}
}

static struct kunit_case index_test_cases[] = {
	KUNIT_CASE(index_is_empty_at_first),
	KUNIT_CASE(index_finds_both_ends),
	KUNIT_CASE(index_grows_and_shrinks),
	KUNIT_CASE(index_finds_across_leaves),
	KUNIT_CASE(index_agrees_with_a_model),
	KUNIT_CASE(index_shrinks_by_itself),
	{}
};

static struct kunit_suite index_test_suite = {
	.name = "mm_iommu_index",
	.init = index_test_init,
	.exit = index_test_exit,
	.test_cases = index_test_cases,
};

kunit_test_suite(index_test_suite);
