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

static struct tce_dense *spare_if(struct kunit *test, bool wanted)
{
	struct tce_dense *spare;

	if (!wanted)
		return NULL;

	spare = tce_dense_alloc(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, spare);

	return spare;
}

static void do_map(struct kunit *test, unsigned int first, unsigned int nr,
		   unsigned long ua)
{
	struct tce_piece piece = { .first = first, .nr = nr, .ua = ua };
	struct view_test *t = test->priv;
	struct tce_dense *spare;
	unsigned long *word, value;
	unsigned int i;

	word = tce_view_word(&t->view, 0);
	spare = spare_if(test, tce_chunk_map_needs_dense(&t->view, *word,
							 &piece));
	value = tce_chunk_lock(word);
	value = tce_chunk_map(&t->view, value, &piece, &spare);
	tce_chunk_unlock(word, value);
	kfree(spare);

	for (i = 0; i < nr; i++)
		t->ua[first + i] = ua + ((u64)i << PAGE_SHIFT_64K);
}

static void do_unmap(struct kunit *test, unsigned int first, unsigned int nr)
{
	struct view_test *t = test->priv;
	struct tce_dense *spare;
	unsigned long *word, value;

	word = tce_view_word(&t->view, 0);
	spare = spare_if(test, tce_chunk_unmap_needs_dense(*word, first,
							   first + nr - 1));
	value = tce_chunk_lock(word);
	value = tce_chunk_unmap(&t->view, value, first, first + nr - 1, &spare);
	tce_chunk_unlock(word, value);
	kfree(spare);

	memset(&t->ua[first], 0, nr * sizeof(u64));
}

/* Compare the pieces of a stretch of the chunk with the array. */
static void expect_as_model(struct kunit *test, unsigned int first,
			    unsigned int last)
{
	struct view_test *t = test->priv;
	unsigned long value = *tce_view_word(&t->view, 0);
	struct tce_piece piece;
	unsigned int i;

	while (tce_chunk_next(&t->view, value, first, last, &piece)) {
		for (; first < piece.first; first++)
			KUNIT_ASSERT_EQ(test, 0, t->ua[first]);
		for (i = 0; i < piece.nr; i++, first++)
			KUNIT_ASSERT_EQ(test, t->ua[first],
					piece.ua + ((u64)i << PAGE_SHIFT_64K));
	}
	for (; first <= last; first++)
		KUNIT_ASSERT_EQ(test, 0, t->ua[first]);
}

static void expect_count(struct kunit *test, unsigned long ua,
			 unsigned long bytes)
{
	struct view_test *t = test->priv;
	unsigned long value = *tce_view_word(&t->view, 0);
	unsigned int first = 0, expected = 0, i, nr;

	for (i = 0; i < TCE_CHUNK_ENTRIES; i++) {
		if (t->ua[i] && t->ua[i] - ua >= bytes)
			break;
		expected += !!t->ua[i];
	}

	nr = tce_chunk_count(&t->view, value, &first, TCE_CHUNK_ENTRIES - 1, ua,
			     bytes);
	KUNIT_EXPECT_EQ(test, expected, nr);
	if (i < TCE_CHUNK_ENTRIES)
		KUNIT_EXPECT_EQ(test, i, first);
	else
		KUNIT_EXPECT_EQ(test, TCE_CHUNK_ENTRIES, first);
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
		expect_count(test, 0x100000000000, 5000UL * 0x10000);
	}
}

static void view_locks_once(struct kunit *test)
{
	struct view_test *t = test->priv;
	unsigned long *word = tce_view_word(&t->view, 0), value, again;

	do_map(test, 1, 1, 0x10000);
	value = tce_chunk_lock(word);
	KUNIT_EXPECT_FALSE(test, tce_chunk_trylock(word, &again));
	tce_chunk_unlock(word, value);

	preempt_disable();
	KUNIT_EXPECT_TRUE(test, tce_chunk_trylock(word, &again));
	tce_chunk_release(word, again);
	preempt_enable();

	KUNIT_EXPECT_EQ(test, value, again);
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

/* The short way to map one entry does what the long one does, or nothing. */
static void view_test_run_one(struct kunit *test)
{
	struct view_test *t = test->priv;
	struct tce_view *view = &t->view;
	struct rnd_state rnd;
	unsigned int step;

	prandom_seed_state(&rnd, 4711);
	for (step = 0; step < NR_STEPS; step++) {
		unsigned int first = prandom_u32_state(&rnd) % 1000;
		unsigned long start = step % 5 ? 1UL << 40 : 0;
		unsigned long base = start + ((unsigned long)first << 16);
		struct tce_piece piece = { first, 1 + step % 8, base };
		unsigned long value, new, old, was = 0;
		bool fits;

		value = step % 16 ? tce_chunk_map(view, 0, &piece, NULL) : 0;
		piece.first = first + prandom_u32_state(&rnd) % 16;
		piece.first -= min(piece.first, 4U);
		piece.nr = 1;
		piece.ua = start + ((unsigned long)piece.first << 16);
		if (step % 3 == 0)
			piece.ua += 1UL << 16;

		if (tce_chunk_get(view, value, piece.first, &was))
			was |= TCE_DENSE_MAPPED;
		else
			was = 0;
		fits = !tce_chunk_map_needs_dense(view, value, &piece);
		new = value;
		KUNIT_ASSERT_EQ(test, fits,
				tce_chunk_run_one(view, &new, piece.first,
						  piece.ua, &old));
		if (fits) {
			KUNIT_ASSERT_EQ(test, was, old);
			value = tce_chunk_map(view, value, &piece, NULL);
		}
		KUNIT_ASSERT_EQ(test, value, new);
	}
}

static struct kunit_case view_test_cases[] = {
	KUNIT_CASE(view_test_run_one),
	KUNIT_CASE(view_costs_a_word_in_order),
	KUNIT_CASE(view_costs_a_word_again_out_of_order),
	KUNIT_CASE(view_punches_a_hole),
	KUNIT_CASE(view_keeps_the_highest_addresses),
	KUNIT_CASE(view_maps_address_zero),
	KUNIT_CASE(view_agrees_with_a_model),
	KUNIT_CASE(view_locks_once),
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
