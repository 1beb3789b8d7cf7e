// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Words and chunks of kernel/tce/state.c, for any userspace addresses.
 *
 * With SHIFT the IOMMU pages have this size; otherwise any. SMALL makes chunks
 * of four entries, to prove what is done to arrays against a plain array.
 */

#include <linux/mm.h>

/*
 * An array has an address below 2^52, aligned to 4 KiB, which is not what an
 * object has here.
 */
struct tce_dense;
static struct tce_dense *dense_of(unsigned long pa);
static unsigned long pa_of(const struct tce_dense *dense);
#undef __va
#undef __pa
#define __va(pa)	dense_of(pa)
#define __pa(va)	pa_of(va)

#include "arch/powerpc/kernel/tce/view.c"
#include "arch/powerpc/kernel/tce/state.c"

#include "proofs.h"

unsigned int fuzz_page_shift = 16;

#define NR_ARRAYS	2

static struct tce_dense array[NR_ARRAYS];
static struct tce_view view;

static struct tce_dense *dense_of(unsigned long pa)
{
	return pa == 4096 ? &array[0] : &array[1];
}

static unsigned long pa_of(const struct tce_dense *dense)
{
	return dense == &array[0] ? 4096 : 8192;
}

void *kmalloc(size_t bytes, gfp_t gfp)
{
	return NULL;
}

void kfree(const void *object) { }

/* Userspace is below 2^52. */
static bool fits(unsigned long ua, unsigned long nr)
{
	return !(ua & ((1UL << view.page_shift) - 1)) && ua < 1UL << 52 &&
	       nr << view.page_shift <= (1UL << 52) - ua;
}

static void any_page_shift(void)
{
#ifdef SHIFT
	view.page_shift = SHIFT;
#else
	view.page_shift = any_uint();
	assume(view.page_shift >= 12 && view.page_shift <= 34);
#endif
}

/* An empty chunk, or a linear one. */
static unsigned long any_linear(void)
{
	unsigned int first = any_uint(), last = any_uint();
	unsigned long ua = any_ulong();

	if (any_bool())
		return 0;

	assume(first <= last && last < TCE_CHUNK_ENTRIES);
	assume(fits(ua, last - first + 1));

	return linear_state(first, last, ua);
}

static struct tce_piece any_piece(void)
{
	struct tce_piece piece = { any_uint(), any_uint(), any_ulong() };

	assume(piece.first < TCE_CHUNK_ENTRIES);
	assume(piece.nr && piece.nr <= TCE_CHUNK_ENTRIES - piece.first);
	assume(fits(piece.ua, piece.nr));

	return piece;
}

static bool is_well_formed(unsigned long state)
{
	unsigned long first = tce_linear_first(state);
	unsigned long last = tce_linear_last(state);

	return !state || (tce_chunk_is_linear(state) &&
			  !(state & TCE_WORD_LOCK) && first <= last &&
			  fits(tce_chunk_addr(state), last - first + 1));
}

/*
 * What is put in a word is what is found there, beside the lock.
 *
 * Unwind: 2
 * Fault: kernel/tce/view.h:
 *     (TCE_WORD_FIRST_SHIFT + TCE_CHUNK_SHIFT)
 *     -> (TCE_WORD_FIRST_SHIFT + TCE_CHUNK_SHIFT - 1)
 * Fault: kernel/tce/view.h:
 *     #define TCE_WORD_ADDR_UNIT	12
 *     -> #define TCE_WORD_ADDR_UNIT	13
 */
void words(void)
{
	unsigned int first = any_uint(), last = any_uint(), used = any_uint();
	unsigned long ua = any_ulong(), state;
	unsigned int which = any_bool();

	assume(first < TCE_CHUNK_ENTRIES && last < TCE_CHUNK_ENTRIES);
	assume(used <= TCE_CHUNK_ENTRIES && ua < 1UL << 52 && !(ua & 4095));

	state = linear_state(first, last, ua);
	prove(state && tce_chunk_is_linear(state));
	prove(!tce_chunk_is_dense(state));
	prove(!(state & TCE_WORD_LOCK));
	prove(tce_linear_first(state) == first);
	prove(tce_linear_last(state) == last);
	prove(tce_chunk_addr(state) == ua);

	state = dense_state(&array[which], used);
	prove(state && tce_chunk_is_dense(state));
	prove(!tce_chunk_is_linear(state));
	prove(!(state & TCE_WORD_LOCK));
	prove(tce_dense_used(state) == used);
	prove(tce_chunk_is_unused(state) == !used);
	prove(tce_chunk_dense(state) == &array[which]);
	prove(used == TCE_CHUNK_ENTRIES ||
	      tce_dense_used(tce_chunk_add_used(state, 1)) == used + 1);
	prove(!used ||
	      tce_dense_used(tce_chunk_add_used(state, -1)) == used - 1);
}

/*
 * Entries that are mapped in a linear chunk have their addresses afterwards,
 * and all others what they had before.
 *
 * Unwind: 2
 * Flags: -DSHIFT=16
 * Long: one to three minutes
 * Fault: kernel/tce/view.h: first > was_last + 1 -> first > was_last + 2
 */
void map(void)
{
	struct tce_piece piece;
	unsigned long state, new, ua, was;
	unsigned int i = any_uint();
	bool is, had;

	any_page_shift();
	state = any_linear();
	piece = any_piece();
	assume(i < TCE_CHUNK_ENTRIES);
	if (tce_chunk_map_needs_dense(&view, state, &piece))
		return;

	had = tce_chunk_get(&view, state, i, &was);
	new = tce_chunk_map(&view, state, &piece, NULL);
	is = tce_chunk_get(&view, new, i, &ua);
	prove(new && is_well_formed(new));
	if (i >= piece.first && i < piece.first + piece.nr)
		prove(is && ua == piece.ua +
		      ((unsigned long)(i - piece.first) << view.page_shift));
	else
		prove(is == had && (!is || ua == was));
}

/*
 * Entries that are unmapped in a linear chunk are not mapped afterwards, and
 * all others are what they were before.
 *
 * Unwind: 2
 * Flags: -DSHIFT=16
 * Long: one to three minutes
 * Fault: kernel/tce/state.c:
 *     tce_linear_ua(view, state, last + 1) -> tce_linear_ua(view, state, last)
 * Fault: kernel/tce/state.c:
 *     linear_state(tce_linear_first(state), first - 1,
 *     -> linear_state(tce_linear_first(state), first,
 */
void unmap(void)
{
	unsigned int first = any_uint(), last = any_uint(), i = any_uint();
	unsigned long state, new, ua, was;
	bool is, had;

	any_page_shift();
	state = any_linear();
	assume(i < TCE_CHUNK_ENTRIES);
	assume(first <= last && last < TCE_CHUNK_ENTRIES);
	if (tce_chunk_unmap_needs_dense(state, first, last))
		return;

	had = tce_chunk_get(&view, state, i, &was);
	new = tce_chunk_unmap(&view, state, first, last, NULL);
	is = tce_chunk_get(&view, new, i, &ua);
	prove(is_well_formed(new));
	if (i >= first && i <= last)
		prove(!is);
	else
		prove(is == had && (!is || ua == was));
}

#ifdef SMALL
#define UNMAPPED	(~0UL)

/* What a chunk has to say. */
static unsigned long model[TCE_CHUNK_ENTRIES];
static struct tce_stash stash;

/* A chunk of any state, with a model of it, and an array at hand. */
static unsigned long any_chunk(void)
{
	unsigned int i, used = 0;
	unsigned long state;

	any_page_shift();
	array[1].next = NULL;
	stash.first = &array[1];
	if (any_bool()) {
		for (i = 0; i < TCE_CHUNK_ENTRIES; i++) {
			unsigned long ua = any_ulong();
			unsigned int perm = any_uint();

			model[i] = UNMAPPED;
			array[0].ua[i] = 0;
			if (any_bool())
				continue;
			assume(fits(ua, 1) && perm >= 1 && perm <= 3);
			model[i] = ua;
			array[0].ua[i] = ua | perm;
			used++;
		}
		return dense_state(&array[0], used);
	}

	state = any_linear();
	for (i = 0; i < TCE_CHUNK_ENTRIES; i++) {
		if (!tce_chunk_get(&view, state, i, &model[i]))
			model[i] = UNMAPPED;
	}

	return state;
}

/* Does the chunk say what the model says, and is its count right. */
static void prove_is_model(unsigned long state)
{
	unsigned int i, used = 0;
	unsigned long ua;

	for (i = 0; i < TCE_CHUNK_ENTRIES; i++) {
		if (tce_chunk_get(&view, state, i, &ua))
			prove(ua == model[i]);
		else
			prove(model[i] == UNMAPPED);
		used += model[i] != UNMAPPED;
	}
	if (tce_chunk_is_dense(state))
		prove(tce_dense_used(state) == used);
	else
		prove(is_well_formed(state));
}

/*
 * Mapping does to a chunk what it does to a plain array, with and without a
 * stash.
 *
 * Unwind: 6
 * Flags: -DSMALL -DSHIFT=16
 * With: kernel/tce/view.h:
 *     #define TCE_CHUNK_SHIFT		10 -> #define TCE_CHUNK_SHIFT 2
 * With: kernel/tce/view.c:
 *     static_assert(TCE_CHUNK_ENTRIES == 1024 && sizeof(struct tce_dense) == 8192);
 *     -> ;
 * Fault: kernel/tce/view.h: last = max(last, was_last); -> ;
 * Fault: kernel/tce/state.c: used += piece->nr - was; -> used += piece->nr;
 * Fault: kernel/tce/state.c: if (all.nr == TCE_CHUNK_ENTRIES) -> if (all.nr)
 */
void map_array(void)
{
	unsigned long state = any_chunk();
	struct tce_piece piece = any_piece();
	bool keep = any_bool();
	unsigned int i;

	if (keep && tce_chunk_map_needs_dense(&view, state, &piece))
		return;

	for (i = 0; i < piece.nr; i++)
		model[piece.first + i] = piece.ua +
			((unsigned long)i << view.page_shift);
	state = tce_chunk_map(&view, state, &piece, keep ? NULL : &stash);
	prove_is_model(state);
}

/*
 * So does unmapping.
 *
 * Unwind: 6
 * Flags: -DSMALL -DSHIFT=16
 * With: kernel/tce/view.h:
 *     #define TCE_CHUNK_SHIFT		10 -> #define TCE_CHUNK_SHIFT 2
 * With: kernel/tce/view.c:
 *     static_assert(TCE_CHUNK_ENTRIES == 1024 && sizeof(struct tce_dense) == 8192);
 *     -> ;
 * Fault: kernel/tce/state.c:
 *     if (stash && tce_dense_used(state) == nr_mapped)
 *     -> if (stash && tce_dense_used(state) <= nr_mapped + 1)
 * Fault: kernel/tce/state.c:
 *     tce_chunk_add_used(state, -(long)nr_mapped)
 *     -> tce_chunk_add_used(state, -1)
 */
void unmap_array(void)
{
	unsigned int first = any_uint(), last = any_uint(), i;
	unsigned long state = any_chunk();
	bool keep = any_bool();

	assume(first <= last && last < TCE_CHUNK_ENTRIES);
	if (keep && tce_chunk_unmap_needs_dense(state, first, last))
		return;

	for (i = first; i <= last; i++)
		model[i] = UNMAPPED;
	state = tce_chunk_unmap(&view, state, first, last,
				keep ? NULL : &stash);
	prove_is_model(state);
}

/*
 * The pieces of a chunk are as long as they can be, and are all that is mapped.
 *
 * Unwind: 6
 * Flags: -DSMALL -DSHIFT=16
 * With: kernel/tce/view.h:
 *     #define TCE_CHUNK_SHIFT		10 -> #define TCE_CHUNK_SHIFT 2
 * With: kernel/tce/view.c:
 *     static_assert(TCE_CHUNK_ENTRIES == 1024 && sizeof(struct tce_dense) == 8192);
 *     -> ;
 * Fault: kernel/tce/state.c:
 *     for (end = i + 1; end <= last -> for (end = i + 1; end < last
 */
void pieces(void)
{
	unsigned int first = any_uint(), last = any_uint(), i = any_uint();
	unsigned long state = any_chunk(), step = 1UL << view.page_shift;
	struct tce_piece piece;

	assume(first <= last && last < TCE_CHUNK_ENTRIES);
	assume(i >= first && i <= last);
	if (!tce_chunk_next(&view, state, first, last, &piece)) {
		prove(model[i] == UNMAPPED);
		return;
	}

	prove(piece.nr && piece.first >= first);
	prove(piece.first + piece.nr <= last + 1);
	if (i < piece.first)
		prove(model[i] == UNMAPPED);
	else if (i < piece.first + piece.nr)
		prove(model[i] == piece.ua + (i - piece.first) * step);
	else if (i == piece.first + piece.nr)
		prove(model[i] != model[i - 1] + step);
}
#endif

/*
 * tce_view_max_bytes() is what the tree takes that tce_view_init() plans, with
 * an array for each chunk.
 *
 * Unwind: 6
 * Fault: include/asm/tce_owner.h: while (words > 1) -> while (words > 512)
 */
void max_bytes(void)
{
	unsigned long nr_entries = any_ulong(), bytes, chunks;
	unsigned int depth = 1, level;

	assume(nr_entries && nr_entries <= 1UL << 43);
	chunks = DIV_ROUND_UP(nr_entries, TCE_CHUNK_ENTRIES);
	while ((chunks - 1) >> (depth * TCE_NODE_SHIFT))
		depth++;

	bytes = chunks * sizeof(struct tce_dense);
	for (level = 0; level < depth; level++) {
		unsigned long span = 1UL << ((level + 1) * TCE_NODE_SHIFT);

		bytes += ((chunks - 1) / span + 1) * sizeof(struct tce_node);
	}
	prove(tce_view_max_bytes(nr_entries) == bytes);
}
