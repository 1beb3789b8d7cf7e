// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The state of a chunk: which of its entries are mapped, and to which
 * addresses.
 *
 * A change may need an array where there was none, or leave one over. Nothing
 * is allocated or freed while a chunk is locked: arrays are taken from the
 * caller's stash and go back to it. Without a stash, as in real mode, an array
 * stays where it is, even if no entry of its chunk is mapped any more.
 *
 * The rules of real mode hold, see book3s_64_vio_hv.c.
 */

#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "view.h"

/* Userspace and physical addresses are below 2^52. */
static_assert(TCE_WORD_ADDR_SHIFT + 52 - TCE_WORD_ADDR_UNIT <= BITS_PER_LONG);

static unsigned long linear_state(unsigned int first, unsigned int last,
				  unsigned long ua)
{
	return TCE_WORD_LINEAR | (unsigned long)first << TCE_WORD_FIRST_SHIFT |
	       (unsigned long)last << TCE_WORD_LAST_SHIFT |
	       ua >> TCE_WORD_ADDR_UNIT << TCE_WORD_ADDR_SHIFT;
}

static unsigned long dense_state(const struct tce_dense *dense,
				 unsigned int used)
{
	return TCE_WORD_DENSE | (unsigned long)used << TCE_WORD_FIRST_SHIFT |
	       __pa(dense) >> TCE_WORD_ADDR_UNIT << TCE_WORD_ADDR_SHIFT;
}

static bool dense_next(const struct tce_view *view, unsigned long state,
		       unsigned int first, unsigned int last,
		       struct tce_piece *piece)
{
	const u64 *ua = tce_chunk_dense(state)->ua;
	unsigned long step = 1UL << view->page_shift;
	unsigned int i = first, end;

	while (i <= last && !ua[i])
		i++;
	if (i > last)
		return false;

	for (end = i + 1; end <= last && (ua[end] | TCE_DENSE_MAPPED) ==
	     (ua[end - 1] | TCE_DENSE_MAPPED) + step; end++)
		;

	piece->first = i;
	piece->nr = end - i;
	piece->ua = ua[i] & ~TCE_DENSE_MAPPED;

	return true;
}

/**
 * tce_chunk_next - the next mapped entries of a chunk
 * @view: the view
 * @state: the chunk's state; the chunk is locked
 * @first: first entry of the chunk to look at
 * @last: last entry to look at
 * @piece: where the entries go, as many as are mapped to consecutive addresses
 *
 * Context: Any, real mode included.
 * Return: false if none from @first to @last is mapped.
 */
bool tce_chunk_next(const struct tce_view *view, unsigned long state,
		    unsigned int first, unsigned int last,
		    struct tce_piece *piece)
{
	if (tce_chunk_is_dense(state))
		return dense_next(view, state, first, last, piece);

	if (!tce_chunk_is_linear(state))
		return false;

	if (!tce_linear_clip(state, &first, &last))
		return false;

	piece->first = first;
	piece->nr = last - first + 1;
	piece->ua = tce_linear_ua(view, state, first);

	return true;
}

/**
 * tce_chunk_get - look one entry up
 * @view: the view
 * @state: the chunk's state; the chunk is locked
 * @i: the entry, in its chunk
 * @ua: where the address that it is mapped to goes
 *
 * Context: Any, real mode included.
 * Return: false if it is not mapped.
 */
bool tce_chunk_get(const struct tce_view *view, unsigned long state,
		   unsigned int i, unsigned long *ua)
{
	if (tce_chunk_is_dense(state)) {
		u64 entry = tce_chunk_dense(state)->ua[i];

		*ua = entry & ~TCE_DENSE_MAPPED;
		return entry;
	}

	*ua = tce_linear_ua(view, state, i);

	return tce_chunk_is_linear(state) && i >= tce_linear_first(state) &&
	       i <= tce_linear_last(state);
}

static unsigned int piece_last(const struct tce_piece *piece)
{
	return piece->first + piece->nr - 1;
}

/**
 * tce_chunk_map_needs_dense - will tce_chunk_map() want an array
 * @view: the view
 * @state: the chunk's state
 * @piece: entries to be mapped
 *
 * Context: Any, real mode included. A guess while the chunk is not locked.
 * Return: true if so.
 */
bool tce_chunk_map_needs_dense(const struct tce_view *view,
			       unsigned long state,
			       const struct tce_piece *piece)
{
	return !tce_chunk_is_dense(state) &&
	       !tce_linear_map(view, &state, piece->first, piece->nr,
			       piece->ua);
}

/* Write a piece into an array. */
static void dense_fill(const struct tce_view *view, struct tce_dense *dense,
		       const struct tce_piece *piece)
{
	unsigned long ua = piece->ua | TCE_DENSE_MAPPED;
	unsigned int i;

	for (i = piece->first; i <= piece_last(piece); i++) {
		dense->ua[i] = ua;
		ua += 1UL << view->page_shift;
	}
}

static unsigned int dense_count(const struct tce_dense *dense,
				unsigned int first, unsigned int last)
{
	unsigned int i, nr = 0;

	for (i = first; i <= last; i++)
		nr += !!dense->ua[i];

	return nr;
}

/**
 * tce_chunk_to_dense - turn a chunk that is not dense into one that is
 * @view: the view
 * @state: the chunk's state; the chunk is locked
 * @stash: where the array is taken from; not empty
 *
 * Context: Any, real mode included. Cannot fail.
 * Return: the new state.
 */
unsigned long tce_chunk_to_dense(struct tce_view *view, unsigned long state,
				 struct tce_stash *stash)
{
	struct tce_dense *dense = stash->first;
	struct tce_piece piece = { 0 };

	stash->first = dense->next;
	memset(dense, 0, sizeof(*dense));
	atomic_long_inc(&view->nr_dense);
	if (tce_chunk_is_linear(state)) {
		piece.first = tce_linear_first(state);
		piece.nr = tce_linear_last(state) - piece.first + 1;
		piece.ua = tce_chunk_addr(state);
		dense_fill(view, dense, &piece);
	}

	return dense_state(dense, piece.nr);
}

/* Leave the array of a dense chunk to the caller, who frees it. */
static void stash_array(struct tce_view *view, unsigned long state,
			struct tce_stash *stash)
{
	if (!tce_chunk_is_dense(state))
		return;

	atomic_long_dec(&view->nr_dense);
	tce_stash_push(stash, tce_chunk_dense(state));
}

static unsigned long dense_map(struct tce_view *view, unsigned long state,
			       const struct tce_piece *piece,
			       struct tce_stash *stash)
{
	unsigned int used = tce_dense_used(state), was;
	struct tce_dense *dense = tce_chunk_dense(state);
	struct tce_piece all;

	was = dense_count(dense, piece->first, piece_last(piece));
	dense_fill(view, dense, piece);
	used += piece->nr - was;

	/* Just got full: it may be one piece now, mapped out of order. */
	if (was < piece->nr && used == TCE_CHUNK_ENTRIES && stash) {
		dense_next(view, state, 0, TCE_CHUNK_ENTRIES - 1, &all);
		if (all.nr == TCE_CHUNK_ENTRIES) {
			stash_array(view, state, stash);
			return linear_state(0, TCE_CHUNK_ENTRIES - 1, all.ua);
		}
	}

	return dense_state(dense, used);
}

/**
 * tce_chunk_map - enter mappings in a chunk's state
 * @view: the view
 * @state: the state; the chunk is locked
 * @piece: the entries and their address
 * @stash: has an array if tce_chunk_map_needs_dense(), and gets one that is
 *	   left over. NULL in real mode: an array stays in the chunk that has it
 *
 * Context: Any, real mode included. Cannot fail.
 * Return: the new state.
 */
unsigned long tce_chunk_map(struct tce_view *view, unsigned long state,
			    const struct tce_piece *piece,
			    struct tce_stash *stash)
{
	unsigned int first = piece->first, last = piece_last(piece);

	if (stash && first == 0 && last == TCE_CHUNK_ENTRIES - 1) {
		stash_array(view, state, stash);
		return linear_state(first, last, piece->ua);
	}

	if (tce_linear_map(view, &state, first, piece->nr, piece->ua))
		return state;

	if (!tce_chunk_is_dense(state))
		state = tce_chunk_to_dense(view, state, stash);

	return dense_map(view, state, piece, stash);
}

/**
 * tce_chunk_unmap_dense - take a known number of entries out of a dense chunk
 * @view: the view
 * @state: the chunk's state; the chunk is locked
 * @first: first entry
 * @last: last entry
 * @nr_mapped: how many of them are mapped
 * @stash: where its array goes if it is empty now; NULL in real mode
 *
 * Context: Any, real mode included. Cannot fail.
 * Return: the new state.
 */
unsigned long tce_chunk_unmap_dense(struct tce_view *view, unsigned long state,
				    unsigned int first, unsigned int last,
				    unsigned int nr_mapped,
				    struct tce_stash *stash)
{
	if (stash && tce_dense_used(state) == nr_mapped) {
		stash_array(view, state, stash);
		return 0;
	}

	memset64(&tce_chunk_dense(state)->ua[first], 0, last - first + 1);

	return tce_chunk_add_used(state, -(long)nr_mapped);
}

/**
 * tce_chunk_unmap - take entries out of a chunk's state
 * @view: the view
 * @state: the state; the chunk is locked
 * @first: first entry
 * @last: last entry
 * @stash: as in tce_chunk_map(), with tce_chunk_unmap_needs_dense()
 *
 * Context: As tce_chunk_map(). Cannot fail.
 * Return: the new state.
 */
unsigned long tce_chunk_unmap(struct tce_view *view, unsigned long state,
			      unsigned int first, unsigned int last,
			      struct tce_stash *stash)
{
	if (tce_chunk_unmap_needs_dense(state, first, last))
		state = tce_chunk_to_dense(view, state, stash);

	if (tce_chunk_is_dense(state))
		return tce_chunk_unmap_dense(view, state, first, last,
					     dense_count(tce_chunk_dense(state),
							 first, last), stash);

	if (!tce_chunk_is_linear(state) || first > tce_linear_last(state) ||
	    last < tce_linear_first(state))
		return state;

	if (first > tce_linear_first(state))
		return linear_state(tce_linear_first(state), first - 1,
				    tce_chunk_addr(state));

	if (last < tce_linear_last(state))
		return linear_state(last + 1, tce_linear_last(state),
				    tce_linear_ua(view, state, last + 1));

	return 0;
}
