// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The userspace view of a TCE table: entry -> userspace address.
 *
 * The words of the chunks are the leaves of a tree of 4 KiB nodes that grows
 * on first use, and shrinks only when the view goes. A guest that maps all of
 * its memory one to one needs a word for 1024 entries; a mapping somewhere in
 * a huge window a node or two. Only a chunk that is not linear, such as a guest's
 * that maps buffers as they come, needs an array, of 8 KiB.
 *
 * All memory is linear mapped: real mode reads it.
 *
 * A change may need an array where there was none, or leave one over. Nothing is
 * allocated or freed while a chunk is locked: arrays are taken from the caller's
 * stash and left there. Without a stash, as in real mode, an array stays where it
 * is, even if no entry of its chunk is mapped any more.
 */

#include <linux/align.h>
#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/export.h>
#include <linux/kmemleak.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "view.h"

#define INDEX_MASK	(TCE_CHUNK_ENTRIES - 1)
#define USED_MASK	((1UL << (2 * TCE_CHUNK_SHIFT)) - 1)

/* What tce_view_max_bytes() charges. */
static_assert(TCE_CHUNK_ENTRIES == 1024 && sizeof(struct tce_dense) == 8192);
static_assert(TCE_NODE_SLOTS == 512 && sizeof(struct tce_node) == 4096);
/* Userspace and physical addresses are below 2^52. */
static_assert(TCE_WORD_ADDR_SHIFT + 52 - TCE_WORD_ADDR_UNIT <= BITS_PER_LONG);

static bool is_linear(unsigned long state)
{
	return (state & TCE_WORD_KIND_MASK) == TCE_WORD_LINEAR;
}

static unsigned long linear_state(unsigned int first, unsigned int last,
				  unsigned long ua)
{
	return TCE_WORD_LINEAR | (unsigned long)first << TCE_WORD_FIRST_SHIFT |
	       (unsigned long)last << TCE_WORD_LAST_SHIFT |
	       ua >> TCE_WORD_ADDR_UNIT << TCE_WORD_ADDR_SHIFT;
}

static unsigned long word_addr(unsigned long state)
{
	return state >> TCE_WORD_ADDR_SHIFT << TCE_WORD_ADDR_UNIT;
}

static unsigned long dense_word(const struct tce_dense *dense,
				unsigned int used)
{
	return TCE_WORD_DENSE | (unsigned long)used << TCE_WORD_FIRST_SHIFT |
	       __pa(dense) >> TCE_WORD_ADDR_UNIT << TCE_WORD_ADDR_SHIFT;
}

static unsigned int dense_used(unsigned long state)
{
	return (state >> TCE_WORD_FIRST_SHIFT) & USED_MASK;
}

static struct tce_node *node_alloc(struct tce_view *view)
{
	struct tce_node *node;

	node = kzalloc(sizeof(*node), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (node)
		atomic_long_inc(&view->nr_nodes);

	return node;
}

static void node_free(struct tce_view *view, struct tce_node *node)
{
	atomic_long_dec(&view->nr_nodes);
	kfree(node);
}

/**
 * tce_view_init - set an empty view up
 * @view: the view
 * @nr_entries: entries of the table
 * @page_shift: size of an IOMMU page, 12 or more
 *
 * Context: May sleep.
 * Return: 0 or -ENOMEM.
 */
int tce_view_init(struct tce_view *view, unsigned long nr_entries,
		  unsigned int page_shift)
{
	view->nr_chunks = DIV_ROUND_UP(nr_entries, TCE_CHUNK_ENTRIES);
	view->page_shift = page_shift;
	view->depth = 1;
	while ((view->nr_chunks - 1) >> (view->depth * TCE_NODE_SHIFT))
		view->depth++;

	atomic_long_set(&view->nr_nodes, 0);
	atomic_long_set(&view->nr_dense, 0);
	view->root = node_alloc(view);

	return view->root ? 0 : -ENOMEM;
}

static void node_destroy(struct tce_view *view, struct tce_node *node,
			 unsigned int level)
{
	unsigned long i;

	for (i = 0; i < TCE_NODE_SLOTS; i++) {
		if (level && node->slot[i].node)
			node_destroy(view, node->slot[i].node, level - 1);
		else if (!level && tce_chunk_is_dense(node->slot[i].word))
			kfree(tce_chunk_dense(node->slot[i].word));
	}

	node_free(view, node);
	cond_resched();
}

/**
 * tce_view_destroy - free all that a view has
 * @view: the view; nobody uses it any more
 *
 * Context: May sleep.
 */
void tce_view_destroy(struct tce_view *view)
{
	if (view->root)
		node_destroy(view, view->root, view->depth - 1);
	view->root = NULL;
}

/**
 * tce_view_skip - the first chunk from here on that may have a word
 * @view: the view
 * @chunk: where to begin
 *
 * Passes over all that lies below an absent node at once.
 *
 * Context: Any, real mode included; lock-free.
 * Return: @chunk if it has a word, else a later chunk, which may be beyond the
 *	   last one.
 */
unsigned long tce_view_skip(struct tce_view *view, unsigned long chunk)
{
	struct tce_node *node;
	unsigned int level;

again:
	if (chunk >= view->nr_chunks)
		return chunk;

	node = view->root;
	for (level = view->depth - 1; level; level--) {
		unsigned int span_shift = level * TCE_NODE_SHIFT;

		node = READ_ONCE(node->slot[tce_node_index(chunk, level)].node);
		if (!node) {
			chunk = ((chunk >> span_shift) + 1) << span_shift;
			goto again;
		}
	}

	return chunk;
}

/**
 * tce_view_next_used - the first chunk from here on that is not empty
 * @view: the view
 * @chunk: where to begin
 * @last: where to end, a chunk of the table
 *
 * Context: May sleep; lock-free.
 * Return: the chunk, which may be locked and empty; beyond @last if there is
 *	   none.
 */
unsigned long tce_view_next_used(struct tce_view *view, unsigned long chunk,
				 unsigned long last)
{
	for (;;) {
		const unsigned long *word;
		unsigned long end;

		chunk = tce_view_skip(view, chunk);
		if (chunk > last)
			return chunk;

		word = tce_view_word(view, chunk);
		end = min(ALIGN(chunk + 1, TCE_NODE_SLOTS), last + 1);
		for (; chunk < end; chunk++) {
			if (READ_ONCE(*word++))
				return chunk;
		}
		cond_resched();
	}
}

/**
 * tce_view_grow - make a chunk have a word
 * @view: the view
 * @chunk: the chunk
 *
 * Context: May sleep.
 * Return: 0 or -ENOMEM.
 */
int tce_view_grow(struct tce_view *view, unsigned long chunk)
{
	struct tce_node *node = view->root, *new, **slot;
	unsigned int level;

	for (level = view->depth - 1; level; level--) {
		slot = &node->slot[tce_node_index(chunk, level)].node;
		node = READ_ONCE(*slot);
		if (node)
			continue;

		new = node_alloc(view);
		if (!new)
			return -ENOMEM;

		/* Readers walk without a lock. */
		node = cmpxchg(slot, NULL, new);
		if (node)
			node_free(view, new);
		else
			node = new;
	}

	return 0;
}

/**
 * tce_stash_add - have more arrays at hand
 * @stash: where they go
 * @nr: how many more
 *
 * Context: May sleep.
 * Return: 0 or -ENOMEM. The caller empties the stash in any case.
 */
int tce_stash_add(struct tce_stash *stash, unsigned long nr)
{
	struct tce_dense *dense;

	for (; nr; nr--) {
		dense = kmalloc(sizeof(*dense),
				GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
		if (!dense)
			return -ENOMEM;
		/* In use, it is known by its physical address only. */
		kmemleak_not_leak(dense);
		tce_stash_leave(stash, dense);
		cond_resched();
	}

	return 0;
}
EXPORT_SYMBOL_GPL(tce_stash_add);

/**
 * tce_stash_empty - free the arrays that are left in a stash
 * @stash: the stash
 *
 * Context: Any but real mode.
 */
void tce_stash_empty(struct tce_stash *stash)
{
	while (stash->first) {
		struct tce_dense *dense = stash->first;

		stash->first = dense->next;
		kfree(dense);
	}
}
EXPORT_SYMBOL_GPL(tce_stash_empty);

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

	if (!is_linear(state))
		return false;

	first = max(first, tce_linear_first(state));
	last = min(last, tce_linear_last(state));
	if (first > last)
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

	return is_linear(state) && i >= tce_linear_first(state) && i <= tce_linear_last(state);
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

/**
 * tce_chunk_unmap_needs_dense - will tce_chunk_unmap() want an array
 * @state: the chunk's state
 * @first: first entry to be unmapped
 * @last: last entry to be unmapped
 *
 * Context: Any, real mode included. A guess while the chunk is not locked.
 * Return: true if so: a hole in the middle of a linear chunk leaves two pieces.
 *	   Never if the first or the last entry of the chunk is unmapped.
 */
bool tce_chunk_unmap_needs_dense(unsigned long state, unsigned int first,
				 unsigned int last)
{
	return is_linear(state) && first > tce_linear_first(state) &&
	       last < tce_linear_last(state);
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
	if (is_linear(state)) {
		piece.first = tce_linear_first(state);
		piece.nr = tce_linear_last(state) - piece.first + 1;
		piece.ua = word_addr(state);
		dense_fill(view, dense, &piece);
	}

	return dense_word(dense, piece.nr);
}

/* Leave the array of a dense chunk to the caller, who frees it. */
static void leave_array(struct tce_view *view, unsigned long state,
			struct tce_stash *stash)
{
	if (!tce_chunk_is_dense(state))
		return;

	atomic_long_dec(&view->nr_dense);
	tce_stash_leave(stash, tce_chunk_dense(state));
}

static unsigned long dense_map(struct tce_view *view, unsigned long state,
			       const struct tce_piece *piece,
			       struct tce_stash *stash)
{
	unsigned int used = dense_used(state), was;
	struct tce_dense *dense = tce_chunk_dense(state);
	struct tce_piece all;

	was = dense_count(dense, piece->first, piece_last(piece));
	dense_fill(view, dense, piece);
	used += piece->nr - was;

	/* Just got full: it may be one piece now, mapped out of order. */
	if (was < piece->nr && used == TCE_CHUNK_ENTRIES && stash) {
		dense_next(view, state, 0, TCE_CHUNK_ENTRIES - 1, &all);
		if (all.nr == TCE_CHUNK_ENTRIES) {
			leave_array(view, state, stash);
			return linear_state(0, TCE_CHUNK_ENTRIES - 1, all.ua);
		}
	}

	return dense_word(dense, used);
}

/**
 * tce_chunk_map - enter mappings in a chunk's state
 * @view: the view
 * @state: the state; the chunk is locked
 * @piece: the entries and their address
 * @stash: has an array if tce_chunk_map_needs_dense(), and gets one that is left
 *	   over. NULL in real mode: an array stays in the chunk that has it
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
		leave_array(view, state, stash);
		return linear_state(first, last, piece->ua);
	}

	if (tce_linear_map(view, &state, first, piece->nr, piece->ua))
		return state;

	if (!tce_chunk_is_dense(state))
		state = tce_chunk_to_dense(view, state, stash);

	return dense_map(view, state, piece, stash);
}

/**
 * tce_chunk_unmap_dense - take entries out of a dense chunk, whose number is known
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
	if (stash && dense_used(state) == nr_mapped) {
		leave_array(view, state, stash);
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

	if (!is_linear(state) || first > tce_linear_last(state) ||
	    last < tce_linear_first(state))
		return state;

	if (first > tce_linear_first(state))
		return linear_state(tce_linear_first(state), first - 1,
				    word_addr(state));

	if (last < tce_linear_last(state))
		return linear_state(last + 1, tce_linear_last(state),
				    tce_linear_ua(view, state, last + 1));

	return 0;
}

#ifdef CONFIG_DEBUG_FS
static void count_node(const struct tce_node *node, unsigned int level,
		       struct tce_view_use *use)
{
	unsigned long i;

	use->nodes++;
	for (i = 0; i < TCE_NODE_SLOTS; i++) {
		if (level) {
			const struct tce_node *below;

			below = READ_ONCE(node->slot[i].node);
			if (below)
				count_node(below, level - 1, use);
		} else {
			unsigned long state = READ_ONCE(node->slot[i].word);

			use->linear += is_linear(state);
			use->dense += tce_chunk_is_dense(state);
		}
	}
	cond_resched();
}

/**
 * tce_view_count - count what a view is made of
 * @view: the view; it may change meanwhile
 * @use: where the counts go
 *
 * Context: May sleep; lock-free.
 */
void tce_view_count(const struct tce_view *view, struct tce_view_use *use)
{
	memset(use, 0, sizeof(*use));
	count_node(view->root, view->depth - 1, use);
}
#endif

#ifdef CONFIG_SPAPR_TCE_CHECK
static const char *dense_fault(const struct tce_view *view, unsigned long state,
			       unsigned long nr_entries)
{
	unsigned long mask = (1UL << view->page_shift) - 1, bits, i;
	const u64 *ua = tce_chunk_dense(state)->ua;

	if (!word_addr(state) || !pfn_valid(word_addr(state) >> PAGE_SHIFT))
		return "has an array that is no memory";

	for (i = 0; i < TCE_CHUNK_ENTRIES; i++) {
		bits = ua[i] & mask;
		if (ua[i] && (!bits || bits & ~TCE_DENSE_MAPPED))
			return "has a malformed address";
		if (ua[i] && i >= nr_entries)
			return "has entries behind the window";
	}

	if (dense_count(tce_chunk_dense(state), 0, TCE_CHUNK_ENTRIES - 1) !=
	    dense_used(state))
		return "counts its entries wrong";

	return NULL;
}

/**
 * tce_chunk_fault - what is wrong with the word of a chunk
 * @view: the view
 * @state: the word, lock included
 * @nr_entries: entries of the chunk that are in the table
 *
 * Context: May sleep. Nobody works on the chunk.
 * Return: NULL if it is well formed and not locked, else the end of a sentence
 *	   that begins with the word.
 */
const char *tce_chunk_fault(const struct tce_view *view, unsigned long state,
			    unsigned long nr_entries)
{
	if (state & TCE_WORD_LOCK)
		return "is locked";

	if (tce_chunk_is_dense(state))
		return dense_fault(view, state, nr_entries);

	if (!is_linear(state))
		return state ? "is of no kind" : NULL;

	if (tce_linear_first(state) > tce_linear_last(state))
		return "ends before it begins";

	if (word_addr(state) & ((1UL << view->page_shift) - 1))
		return "has a malformed address";

	return tce_linear_last(state) < nr_entries ? NULL :
					      "has entries behind the window";
}
#endif
