// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * KUnit tests of the userspace view, against a plain array of addresses.
 */

#include <kunit/test.h>
#include <linux/preempt.h>
#include <linux/prandom.h>
#include <linux/slab.h>

#include <asm/tce_owner.h>

#include "view.h"

#define PAGE_SHIFT_64K	16
#define NR_STEPS	4000

struct view_test {
	struct tce_view view;
	u64 ua[TCE_CHUNK_ENTRIES];	/* 0: not mapped */
};

static int view_test_init(struct kunit *test)
{
	struct view_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	test->priv = t;

	return tce_view_init(&t->view, TCE_CHUNK_ENTRIES, PAGE_SHIFT_64K);
}

static void view_test_exit(struct kunit *test)
{
	struct view_test *t = test->priv;

	tce_view_destroy(&t->view);
	KUNIT_EXPECT_EQ(test, 0, atomic_long_read(&t->view.nr_nodes));
}

static unsigned long *lock(struct kunit *test, unsigned long *state)
{
	struct view_test *t = test->priv;
	unsigned long *word = tce_view_word(&t->view, 0);

	preempt_disable();
	KUNIT_ASSERT_TRUE(test, tce_chunk_trylock(word, state));

	return word;
}

static void unlock(unsigned long *word, unsigned long state)
{
	tce_chunk_release(word, state);
	preempt_enable();
}

/* With an array only if one is said to be needed. */
static void do_map(struct kunit *test, unsigned int first, unsigned int nr,
		   unsigned long ua)
{
	struct tce_piece piece = { .first = first, .nr = nr, .ua = ua };
	struct view_test *t = test->priv;
	struct tce_stash stash = {};
	unsigned long *word, state;
	unsigned int i;

	word = tce_view_word(&t->view, 0);
	if (tce_chunk_map_needs_dense(&t->view, *word, &piece))
		KUNIT_ASSERT_EQ(test, 0, tce_stash_add(&stash, 1));
	word = lock(test, &state);
	state = tce_chunk_map(&t->view, state, &piece, &stash);
	unlock(word, state);
	tce_stash_empty(&stash);

	for (i = 0; i < nr; i++)
		t->ua[first + i] = ua + ((u64)i << PAGE_SHIFT_64K);
}

static void do_unmap(struct kunit *test, unsigned int first, unsigned int nr)
{
	struct view_test *t = test->priv;
	struct tce_stash stash = {};
	unsigned long *word, state;

	word = tce_view_word(&t->view, 0);
	if (tce_chunk_unmap_needs_dense(*word, first, first + nr - 1))
		KUNIT_ASSERT_EQ(test, 0, tce_stash_add(&stash, 1));
	word = lock(test, &state);
	state = tce_chunk_unmap(&t->view, state, first, first + nr - 1, &stash);
	unlock(word, state);
	tce_stash_empty(&stash);

	memset(&t->ua[first], 0, nr * sizeof(u64));
}

/* Compare the pieces of a stretch of the chunk with the array. */
static void expect_as_model(struct kunit *test, unsigned int first,
			    unsigned int last)
{
	struct view_test *t = test->priv;
	unsigned long state = *tce_view_word(&t->view, 0);
	struct tce_piece piece;
	unsigned int i;

	while (tce_chunk_next(&t->view, state, first, last, &piece)) {
		for (; first < piece.first; first++)
			KUNIT_ASSERT_EQ(test, 0, t->ua[first]);
		for (i = 0; i < piece.nr; i++, first++)
			KUNIT_ASSERT_EQ(test, t->ua[first],
					piece.ua + ((u64)i << PAGE_SHIFT_64K));
	}
	for (; first <= last; first++)
		KUNIT_ASSERT_EQ(test, 0, t->ua[first]);
}

static void view_costs_a_word_in_order(struct kunit *test)
{
	struct view_test *t = test->priv;
	unsigned int i;

	/* As a guest maps its memory: entry by entry, one after the other. */
	for (i = 0; i < TCE_CHUNK_ENTRIES; i++)
		do_map(test, i, 1, 0x100000000000 + (i << PAGE_SHIFT_64K));

	KUNIT_EXPECT_EQ(test, 0, atomic_long_read(&t->view.nr_dense));
	KUNIT_EXPECT_FALSE(test,
			   tce_chunk_is_dense(*tce_view_word(&t->view, 0)));
	expect_as_model(test, 0, TCE_CHUNK_ENTRIES - 1);
}

static void view_costs_a_word_again_out_of_order(struct kunit *test)
{
	struct view_test *t = test->priv;
	unsigned long i, entry;

	for (i = 0; i < TCE_CHUNK_ENTRIES; i++) {
		entry = i * 387 % TCE_CHUNK_ENTRIES;
		do_map(test, entry, 1,
		       0x100000000000 + (entry << PAGE_SHIFT_64K));
	}

	KUNIT_EXPECT_EQ(test, 0, atomic_long_read(&t->view.nr_dense));
	expect_as_model(test, 0, TCE_CHUNK_ENTRIES - 1);
}

static void view_punches_a_hole(struct kunit *test)
{
	struct view_test *t = test->priv;

	do_map(test, 0, TCE_CHUNK_ENTRIES, 0x100000000000);
	do_unmap(test, 500, 10);
	KUNIT_EXPECT_EQ(test, 1, atomic_long_read(&t->view.nr_dense));
	expect_as_model(test, 0, TCE_CHUNK_ENTRIES - 1);

	do_map(test, 500, 10, 0x100000000000 + (500 << PAGE_SHIFT_64K));
	KUNIT_EXPECT_EQ(test, 0, atomic_long_read(&t->view.nr_dense));

	do_unmap(test, 0, TCE_CHUNK_ENTRIES);
	KUNIT_EXPECT_EQ(test, 0, *tce_view_word(&t->view, 0));
}

static void view_keeps_the_highest_addresses(struct kunit *test)
{
	unsigned long top = TASK_SIZE_MAX - (TCE_CHUNK_ENTRIES <<
					     PAGE_SHIFT_64K);

	do_map(test, 0, TCE_CHUNK_ENTRIES, top);
	expect_as_model(test, 0, TCE_CHUNK_ENTRIES - 1);
	do_map(test, 3, 1, 0x10000);
	expect_as_model(test, 0, TCE_CHUNK_ENTRIES - 1);
}

static void view_maps_address_zero(struct kunit *test)
{
	struct view_test *t = test->priv;
	struct tce_piece piece;

	do_map(test, 7, 1, 0);
	KUNIT_EXPECT_TRUE(test, tce_chunk_next(&t->view,
					       *tce_view_word(&t->view, 0), 0,
					       TCE_CHUNK_ENTRIES - 1, &piece));
	KUNIT_EXPECT_EQ(test, 7, piece.first);
	do_map(test, 90, 1, 0x10000);
	KUNIT_EXPECT_TRUE(test, tce_chunk_next(&t->view,
					       *tce_view_word(&t->view, 0), 0,
					       TCE_CHUNK_ENTRIES - 1, &piece));
	KUNIT_EXPECT_EQ(test, 7, piece.first);
	KUNIT_EXPECT_EQ(test, 0, piece.ua);
}

static void view_agrees_with_a_model(struct kunit *test)
{
	unsigned int step, first, nr;
	struct rnd_state rnd;

	prandom_seed_state(&rnd, 2026);
	for (step = 0; step < NR_STEPS; step++) {
		/* Small and large, with an eye on both ends of the chunk. */
		first = prandom_u32_state(&rnd) % TCE_CHUNK_ENTRIES;
		if (!(step % 7))
			first = 0;
		nr = 1 + prandom_u32_state(&rnd) % (step % 3 ? 8 : 1024);
		if (!(step % 11))
			nr = TCE_CHUNK_ENTRIES;
		nr = min_t(unsigned int, nr, TCE_CHUNK_ENTRIES - first);

		if (prandom_u32_state(&rnd) % 3)
			do_map(test, first, nr, 0x100000000000 +
			       (u64)(prandom_u32_state(&rnd) % 4 * 5000 +
				     first) * 0x10000);
		else
			do_unmap(test, first, nr);

		expect_as_model(test, 0, TCE_CHUNK_ENTRIES - 1);
		expect_as_model(test, first,
				first + (TCE_CHUNK_ENTRIES - 1 - first) / 2);
	}
}

static void view_locks_once(struct kunit *test)
{
	unsigned long *word, state, again;

	do_map(test, 1, 1, 0x10000);
	word = lock(test, &state);
	KUNIT_EXPECT_FALSE(test, tce_chunk_trylock(word, &again));
	unlock(word, state);

	word = lock(test, &again);
	unlock(word, again);
	KUNIT_EXPECT_EQ(test, state, again);
}

/* Real mode has no place for an array that it has emptied. */
static void view_keeps_an_array_without_a_stash(struct kunit *test)
{
	struct view_test *t = test->priv;
	unsigned long *word, state;
	struct tce_stash stash = {};

	do_map(test, 0, 1, 0x10000);
	do_map(test, 9, 1, 0x10000);
	word = lock(test, &state);
	KUNIT_EXPECT_FALSE(test, tce_chunk_is_unused(state));
	state = tce_chunk_unmap(&t->view, state, 0, 9, NULL);
	unlock(word, state);
	KUNIT_EXPECT_TRUE(test, tce_chunk_is_unused(state));
	KUNIT_EXPECT_EQ(test, 1, atomic_long_read(&t->view.nr_dense));

	word = lock(test, &state);
	state = tce_chunk_unmap(&t->view, state, 0, 0, &stash);
	unlock(word, state);
	KUNIT_EXPECT_EQ(test, 0, state);
	KUNIT_EXPECT_NOT_NULL(test, stash.first);
	KUNIT_EXPECT_EQ(test, 0, atomic_long_read(&t->view.nr_dense));
	tce_stash_empty(&stash);
	memset(t->ua, 0, sizeof(t->ua));
	expect_as_model(test, 0, TCE_CHUNK_ENTRIES - 1);
}

static void view_grows_where_it_is_used(struct kunit *test)
{
	const unsigned long nr_chunks = 1UL << 24, far = nr_chunks - 3;
	struct tce_view view;

	KUNIT_ASSERT_EQ(test, 0, tce_view_init(&view, nr_chunks <<
					       TCE_CHUNK_SHIFT, 16));
	KUNIT_EXPECT_EQ(test, 3, view.depth);
	KUNIT_EXPECT_NULL(test, tce_view_word(&view, far));
	KUNIT_EXPECT_GE(test, tce_view_skip(&view, 0), nr_chunks);

	KUNIT_ASSERT_EQ(test, 0, tce_view_grow(&view, far));
	KUNIT_EXPECT_NOT_NULL(test, tce_view_word(&view, far));
	KUNIT_EXPECT_NULL(test, tce_view_word(&view, 0));
	KUNIT_EXPECT_EQ(test, 3, atomic_long_read(&view.nr_nodes));
	KUNIT_EXPECT_EQ(test, ALIGN_DOWN(far, TCE_NODE_SLOTS),
			tce_view_skip(&view, 0));
	KUNIT_EXPECT_EQ(test, far, tce_view_skip(&view, far));

	tce_view_destroy(&view);
	KUNIT_EXPECT_EQ(test, 0, atomic_long_read(&view.nr_nodes));
}

static void view_is_charged_for_all_it_can_become(struct kunit *test)
{
	/* One chunk: its array and one node. */
	KUNIT_EXPECT_EQ(test, sizeof(struct tce_dense) +
			sizeof(struct tce_node), tce_view_max_bytes(1));
	/* 1 TiB of 64 KiB pages: 16384 arrays, 32 nodes of words, a root. */
	KUNIT_EXPECT_EQ(test, 16384 * sizeof(struct tce_dense) +
			33 * sizeof(struct tce_node),
			tce_view_max_bytes(1UL << 24));
}

static struct kunit_case view_test_cases[] = {
	KUNIT_CASE(view_costs_a_word_in_order),
	KUNIT_CASE(view_costs_a_word_again_out_of_order),
	KUNIT_CASE(view_punches_a_hole),
	KUNIT_CASE(view_keeps_the_highest_addresses),
	KUNIT_CASE(view_maps_address_zero),
	KUNIT_CASE(view_agrees_with_a_model),
	KUNIT_CASE(view_locks_once),
	KUNIT_CASE(view_keeps_an_array_without_a_stash),
	KUNIT_CASE(view_grows_where_it_is_used),
	KUNIT_CASE(view_is_charged_for_all_it_can_become),
	{}
};

static struct kunit_suite view_test_suite = {
	.name = "tce_view",
	.init = view_test_init,
	.exit = view_test_exit,
	.test_cases = view_test_cases,
};

kunit_test_suite(view_test_suite);
