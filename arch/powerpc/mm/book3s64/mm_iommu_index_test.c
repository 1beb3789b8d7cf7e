// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * KUnit tests of the index of registered regions, against a plain array.
 */

#include <kunit/test.h>
#include <linux/prandom.h>
#include <linux/slab.h>

#include "mm_iommu_index.h"

/* Ranges lie in slots of this size, at random places of them. */
#define SLOT_BYTES	0x10000UL
#define NR_SLOTS	600
#define NR_STEPS	6000

struct model {
	unsigned long start[NR_SLOTS];
	unsigned long end[NR_SLOTS];	/* 0: not in the index */
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
			mm_iommu_index_insert(index, 0x1000, 0x3000, item));
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
			addr = (i * strides[k] % nr + 1) * SLOT_BYTES;
			KUNIT_ASSERT_EQ(test, 0,
					mm_iommu_index_insert(index, addr,
							      addr + SLOT_BYTES,
							      item_of(addr)));
		}
		for (i = 1; i <= nr; i++) {
			addr = i * SLOT_BYTES;
			KUNIT_ASSERT_PTR_EQ(test, item_of(addr),
					    mm_iommu_index_find(index, addr));
		}
		for (i = 0; i < nr; i++)
			mm_iommu_index_remove(index, (i * strides[k] % nr + 1) *
						     SLOT_BYTES);
		KUNIT_ASSERT_NULL(test, index->root);
	}
}

static void expect_as_model(struct kunit *test, struct mm_iommu_index *index,
			    const struct model *model, unsigned long i,
			    struct rnd_state *rnd)
{
	unsigned long addr = i * SLOT_BYTES + prandom_u32_state(rnd) %
			     SLOT_BYTES;
	bool in = model->end[i] && addr >= model->start[i] &&
		  addr < model->end[i];

	KUNIT_EXPECT_PTR_EQ(test, in ? item_of(model->start[i]) : NULL,
			    mm_iommu_index_find(index, addr));
	KUNIT_EXPECT_EQ(test, in,
			mm_iommu_index_overlaps(index, addr, addr + 1));
	KUNIT_EXPECT_EQ(test, !!model->end[i],
			mm_iommu_index_overlaps(index, i * SLOT_BYTES,
						(i + 1) * SLOT_BYTES));
}

static void index_agrees_with_a_model(struct kunit *test)
{
	struct mm_iommu_index *index = test->priv;
	struct rnd_state rnd;
	struct model *model;
	unsigned long step, i;

	model = kunit_kzalloc(test, sizeof(*model), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, model);
	prandom_seed_state(&rnd, 2026);

	for (step = 0; step < NR_STEPS; step++) {
		i = prandom_u32_state(&rnd) % NR_SLOTS;
		if (model->end[i]) {
			mm_iommu_index_remove(index, model->start[i]);
			model->end[i] = 0;
		} else {
			unsigned long skip = prandom_u32_state(&rnd) % 0x8000;
			unsigned long bytes = 1 + prandom_u32_state(&rnd) %
					      0x8000;

			model->start[i] = i * SLOT_BYTES + skip;
			model->end[i] = model->start[i] + bytes;
			KUNIT_ASSERT_EQ(test, 0,
					mm_iommu_index_insert(index,
						model->start[i], model->end[i],
						item_of(model->start[i])));
		}
		expect_as_model(test, index, model, i, &rnd);
		expect_as_model(test, index, model,
				prandom_u32_state(&rnd) % NR_SLOTS, &rnd);
	}

	for (i = 0; i < NR_SLOTS; i++) {
		if (model->end[i])
			mm_iommu_index_remove(index, model->start[i]);
	}
	KUNIT_EXPECT_NULL(test, index->root);
}

static struct kunit_case index_test_cases[] = {
	KUNIT_CASE(index_is_empty_at_first),
	KUNIT_CASE(index_finds_both_ends),
	KUNIT_CASE(index_grows_and_shrinks),
	KUNIT_CASE(index_agrees_with_a_model),
	{}
};

static struct kunit_suite index_test_suite = {
	.name = "mm_iommu_index",
	.init = index_test_init,
	.exit = index_test_exit,
	.test_cases = index_test_cases,
};

kunit_test_suite(index_test_suite);
