// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes the userspace view against an array of addresses for each chunk.
 */

#include <linux/slab.h>
#include <linux/string.h>

#include <asm/tce_owner.h>

#include "fuzz.h"
#include "view.h"

#define NR_MODELS	6
#define ENTRIES		TCE_CHUNK_ENTRIES
#define UNMAPPED	(~0UL)

/* The model of a chunk. */
struct chunk {
	unsigned long nr;	/* which one it is */
	bool grown;
	unsigned long ua[ENTRIES];
};

static struct tce_view view;
static struct chunk model[NR_MODELS];
static unsigned long nr_entries;
static unsigned long step;

/* Is what is mapped one run, of at least one entry? */
static bool is_one_run(const unsigned long *ua)
{
	unsigned long i, first;

	for (first = 0; first < ENTRIES && ua[first] == UNMAPPED; first++)
		;
	if (first == ENTRIES)
		return false;
	for (i = first + 1; i < ENTRIES && ua[i] != UNMAPPED; i++) {
		if (ua[i] != ua[i - 1] + step)
			return false;
	}
	for (; i < ENTRIES; i++) {
		if (ua[i] != UNMAPPED)
			return false;
	}

	return true;
}

static bool is_empty(const unsigned long *ua)
{
	unsigned long i = 0;

	while (i < ENTRIES && ua[i] == UNMAPPED)
		i++;

	return i == ENTRIES;
}

static void check_pieces(const struct chunk *chunk, unsigned long state,
			 unsigned int first, unsigned int last)
{
	struct tce_piece piece;
	unsigned int i;

	while (tce_chunk_next(&view, state, first, last, &piece)) {
		require(piece.nr && piece.first >= first);
		require(piece.first + piece.nr <= last + 1);
		for (; first < piece.first; first++)
			require(chunk->ua[first] == UNMAPPED);
		for (i = 0; i < piece.nr; i++, first++)
			require(chunk->ua[first] == piece.ua + i * step);
		/* As many as there are. */
		require(first > last ||
			chunk->ua[first] != chunk->ua[first - 1] + step);
	}
	for (; first <= last; first++)
		require(chunk->ua[first] == UNMAPPED);
}

static void check_get(const struct chunk *chunk, unsigned long state,
		      unsigned int i)
{
	unsigned long ua;

	if (tce_chunk_get(&view, state, i, &ua))
		require(ua == chunk->ua[i]);
	else
		require(chunk->ua[i] == UNMAPPED);
}

static unsigned long word_of(const struct chunk *chunk)
{
	unsigned long *word = tce_view_word(&view, chunk->nr);

	return word ? *word : 0;
}

static void check_chunk(const struct chunk *chunk)
{
	unsigned long state = word_of(chunk);
	unsigned int i;

	require(!tce_chunk_fault(&view, state, ENTRIES));
	check_pieces(chunk, state, 0, ENTRIES - 1);
	for (i = 0; i < ENTRIES; i++)
		check_get(chunk, state, i);
}

/* Nodes that the grown chunks take, level by level, and arrays. */
static void check_cost(void)
{
	unsigned long nodes = 0, arrays = 0;
	struct tce_view_use use;
	unsigned int level, i, k;

	for (level = 0; level < view.depth - 1; level++) {
		unsigned int shift = (level + 1) * TCE_NODE_SHIFT;

		for (i = 0; i < NR_MODELS; i++) {
			if (!model[i].grown)
				continue;
			for (k = 0; k < i; k++) {
				if (model[k].grown && model[k].nr >> shift ==
						      model[i].nr >> shift)
					break;
			}
			nodes += k == i;
		}
	}
	for (i = 0; i < NR_MODELS; i++) {
		for (k = 0; k < i && model[k].nr != model[i].nr; k++)
			;
		arrays += k == i && tce_chunk_is_dense(word_of(&model[i]));
	}

	/* Growth that failed may have left nodes. */
	if (!world.nr_failed)
		require(atomic_long_read(&view.nr_nodes) == nodes + 1);
	require(atomic_long_read(&view.nr_dense) == arrays);
	require(world.nr_objects ==
		atomic_long_read(&view.nr_nodes) + arrays);
	tce_view_count(&view, &use);
	require(use.nodes == atomic_long_read(&view.nr_nodes));
	require(use.dense == arrays);
	require(world.nr_bytes <= tce_view_max_bytes(nr_entries));
}

static void check_skip(unsigned long from)
{
	unsigned long found = tce_view_skip(&view, from), i;

	require(found >= from);
	for (i = 0; i < NR_MODELS; i++) {
		if (model[i].grown && model[i].nr >= from)
			require(found <= model[i].nr);
	}
	if (found < view.nr_chunks)
		require(tce_view_word(&view, found));
}

static void check_next_used(unsigned long from, unsigned long last)
{
	unsigned long best = last + 1, found, i;

	for (i = 0; i < NR_MODELS; i++) {
		if (model[i].nr >= from && word_of(&model[i]))
			best = min(best, model[i].nr);
	}

	found = tce_view_next_used(&view, from, last);
	require(best > last ? found > last : found == best);
}

static void grow(struct chunk *chunk)
{
	unsigned int was = world.nr_failed;
	int ret = tce_view_grow(&view, chunk->nr);

	require(ret == (world.nr_failed > was ? -ENOMEM : 0));
	require(ret || tce_view_word(&view, chunk->nr));
	chunk->grown |= !ret;
}

static unsigned long chunk_take(unsigned long *word)
{
	unsigned long state, other;

	require(tce_chunk_trylock(word, &state));
	require(!tce_chunk_trylock(word, &other));

	return state;
}

static void chunk_put(unsigned long *word, unsigned long state)
{
	tce_chunk_release(word, state);
	require(*word == state);
}

/* Only what has no word any more is unlike what was there. */
static bool expect_dense(const struct chunk *after, unsigned long state)
{
	return !tce_chunk_is_dense(state) && !is_empty(after->ua) &&
	       !is_one_run(after->ua);
}

/* The questions before a write have to have the same answers. */
static void check_linear(unsigned long state, const struct tce_piece *piece)
{
	unsigned long new = state;

	if (!tce_linear_map(&view, &new, piece->first, piece->nr, piece->ua)) {
		require(tce_chunk_is_dense(state) ||
			tce_chunk_map_needs_dense(&view, state, piece));
		require(new == state);
		return;
	}

	require(!tce_chunk_is_dense(state));
	require(!tce_chunk_map_needs_dense(&view, state, piece));
	require(new == tce_chunk_map(&view, state, piece, NULL));
}

/* As lists do: an entry says by either bit that it is mapped. */
static unsigned long map_by_hand(unsigned long state,
				 const struct tce_piece *piece,
				 unsigned int bits)
{
	u64 *slot = &tce_chunk_dense(state)->ua[piece->first], was = *slot;

	*slot = piece->ua | (1 + bits % TCE_DENSE_MAPPED);

	return tce_chunk_add_used(state, !was);
}

static void change(struct chunk *chunk, const struct chunk *after, bool map,
		   struct tce_piece *piece, unsigned int how)
{
	unsigned int last = piece->first + piece->nr - 1;
	unsigned long *word, state, was;
	bool leave = how & 2, by_hand = how & 4, needed;
	struct tce_stash stash = {};

	word = tce_view_word(&view, chunk->nr);
	state = chunk_take(word);
	was = state;
	needed = map ? tce_chunk_map_needs_dense(&view, state, piece) :
		       tce_chunk_unmap_needs_dense(state, piece->first, last);
	require(needed == expect_dense(after, state));
	/* Unmapping to a chunk's end takes no memory; closing needs that. */
	require(map || !needed || (piece->first && last < ENTRIES - 1));
	if (needed && tce_stash_add(&stash, 1))
		return chunk_put(word, state);

	if (map)
		check_linear(state, piece);

	if (needed)
		leave = true;
	if (map && by_hand && piece->nr == 1 && tce_chunk_is_dense(state))
		state = map_by_hand(state, piece, how >> 3);
	else if (map)
		state = tce_chunk_map(&view, state, piece,
				      leave ? &stash : NULL);
	else
		state = tce_chunk_unmap(&view, state, piece->first, last,
					leave ? &stash : NULL);
	/* Without a place to leave it an array stays, and linear stays linear. */
	if (!leave)
		require(tce_chunk_is_dense(state) == tce_chunk_is_dense(was));
	if (leave && is_empty(after->ua))
		require(!state);
	require(tce_chunk_is_unused(state) ==
		(tce_chunk_is_dense(state) && is_empty(after->ua)));
	chunk_put(word, state);
	tce_stash_empty(&stash);
	*chunk = *after;
}

static void map(struct chunk *chunk, struct input *in)
{
	static struct chunk after;
	struct tce_piece piece;
	unsigned int kind, i;

	kind = take(in, 1);
	piece.first = take_below(in, ENTRIES);
	piece.nr = kind & 1 ? 1 : 1 + take_below(in, ENTRIES);
	piece.nr = min(piece.nr, (unsigned int)ENTRIES - piece.first);
	if (kind & 2) /* one to one, as guests do */
		piece.ua = (take(in, 1) % 3 << 30) + (piece.first + 5) * step;
	else
		piece.ua = take_below(in, (1UL << 51) >> view.page_shift) * step;

	after = *chunk;
	for (i = 0; i < piece.nr; i++)
		after.ua[piece.first + i] = piece.ua + i * step;
	change(chunk, &after, true, &piece, kind >> 2);
}

static void unmap(struct chunk *chunk, struct input *in)
{
	static struct chunk after;
	struct tce_piece piece;
	unsigned int how, i;

	how = take(in, 1);
	piece.first = take_below(in, ENTRIES);
	piece.nr = 1 + (how & 4 ? ENTRIES : take_below(in, ENTRIES));
	piece.nr = min(piece.nr, (unsigned int)ENTRIES - piece.first);

	after = *chunk;
	for (i = 0; i < piece.nr; i++)
		after.ua[piece.first + i] = UNMAPPED;
	change(chunk, &after, false, &piece, how);
}

/* Map the whole chunk piece by piece, in an order that makes it dense. */
static void fill(struct chunk *chunk, struct input *in)
{
	unsigned long base = take(in, 2) << 30, i, nr = take(in, 2) % 1025;
	unsigned long stride = take(in, 1) | 1;
	static struct chunk after;

	for (i = 0; i < nr; i++) {
		struct tce_piece piece = {
			.first	= i * stride % ENTRIES,
			.nr	= 1,
		};

		piece.ua = base + piece.first * step;
		after = *chunk;
		after.ua[piece.first] = piece.ua;
		change(chunk, &after, true, &piece, i);
	}
}

static void look(struct chunk *chunk, struct input *in)
{
	unsigned int first = take_below(in, ENTRIES);

	check_pieces(chunk, word_of(chunk), first,
		     first + take_below(in, ENTRIES - first));
}

static void one_step(struct input *in)
{
	unsigned int what = take(in, 1);
	struct chunk *chunk = &model[(what >> 4) % NR_MODELS];
	unsigned long from;

	if (!chunk->grown)
		return grow(chunk);

	switch (what & 15) {
	case 0 ... 5:
		return map(chunk, in);
	case 6 ... 8:
		return unmap(chunk, in);
	case 9 ... 10:
		return look(chunk, in);
	case 11:
		return fill(chunk, in);
	case 12:
		world.fail_in = take(in, 1) % 8;
		return;
	case 13:
		return check_skip(take_below(in, view.nr_chunks + 1));
	case 14:
		from = take_below(in, view.nr_chunks);
		return check_next_used(from, from + take_below(in,
						view.nr_chunks - from));
	default:
		check_chunk(chunk);
		return check_cost();
	}
}

static void choose_chunks(struct input *in)
{
	unsigned int i, k;

	for (i = 0; i < NR_MODELS; i++) {
		struct chunk *chunk = &model[i];

		chunk->grown = false;
		memset(chunk->ua, 0xff, sizeof(chunk->ua));
		chunk->nr = take_below(in, view.nr_chunks);
		if (i == 1)
			chunk->nr = view.nr_chunks - 1;
		/* Each is there once. */
		for (k = 0; k < i; k++) {
			if (model[k].nr != chunk->nr)
				continue;
			chunk->nr = (chunk->nr + 1) % view.nr_chunks;
			k = -1;
		}
	}
}

void fuzz_one(struct input *in)
{
	unsigned int page_shift = 12 + take(in, 1) % 19, steps = 0, i;

	step = 1UL << page_shift;
	nr_entries = 1 + (take(in, 6) >> (take(in, 1) % 36));
	nr_entries = max(nr_entries, NR_MODELS * ENTRIES);
	if (take(in, 1) & 1)
		world.fail_in = 1;
	if (tce_view_init(&view, nr_entries, page_shift)) {
		require(world.nr_failed);
		tce_view_destroy(&view);
		return;
	}
	require(view.nr_chunks == (nr_entries + ENTRIES - 1) / ENTRIES);

	choose_chunks(in);
	while (in->size && steps++ < 500)
		one_step(in);

	for (i = 0; i < NR_MODELS; i++)
		check_chunk(&model[i]);
	check_cost();
	check_skip(0);
	check_next_used(0, view.nr_chunks - 1);
	tce_view_destroy(&view);
	require(!atomic_long_read(&view.nr_nodes));
}
