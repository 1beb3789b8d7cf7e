// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The userspace view of a TCE table: the tree of words, and what it costs.
 *
 * The words of the chunks are the leaves of a tree of 4 KiB nodes that grows
 * on first use, and shrinks only when the view goes. A guest that maps all of
 * its memory one to one needs a word for 1024 entries; a mapping somewhere in
 * a huge window a node or two. Only a chunk that is not linear, such as a
 * guest's that maps buffers as they come, needs an array, of 8 KiB.
 *
 * All memory is linear mapped: real mode reads it. How the state of a chunk
 * changes is in state.c.
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

/* tce_view_max_bytes() charges this. */
static_assert(TCE_CHUNK_ENTRIES == 1024 && sizeof(struct tce_dense) == 8192);
static_assert(TCE_NODE_SLOTS == 512 && sizeof(struct tce_node) == 4096);

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
		unsigned long nr, i;

		chunk = tce_view_skip(view, chunk);
		if (chunk > last)
			return chunk;

		word = tce_view_word(view, chunk);
		nr = min(ALIGN(chunk + 1, TCE_NODE_SLOTS), last + 1) - chunk;
#pragma GCC unroll 8
		for (i = 0; i < nr; i++) {
			if (READ_ONCE(word[i]))
				return chunk + i;
		}
		chunk += nr;
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

static int add_array(struct tce_stash *stash, gfp_t gfp)
{
	struct tce_dense *dense;

	dense = kmalloc(sizeof(*dense), gfp | __GFP_ACCOUNT | __GFP_NOWARN);
	if (!dense)
		return -ENOMEM;

	/* In use, it is known by its physical address only. */
	kmemleak_not_leak(dense);
	tce_stash_push(stash, dense);

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
	int ret = 0;

	for (; nr && !ret; nr--) {
		ret = add_array(stash, GFP_KERNEL);
		cond_resched();
	}

	return ret;
}
EXPORT_SYMBOL_GPL(tce_stash_add);

/**
 * tce_stash_add_now - have one more array at hand, if there is memory for it
 * @stash: where it goes
 *
 * Context: Any but real mode. Reclaims no memory.
 * Return: 0 or -ENOMEM.
 */
int tce_stash_add_now(struct tce_stash *stash)
{
	return add_array(stash, GFP_NOWAIT);
}

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

			use->linear += tce_chunk_is_linear(state);
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
	unsigned int nr = 0;

	if (!tce_chunk_addr(state) ||
	    !pfn_valid(tce_chunk_addr(state) >> PAGE_SHIFT))
		return "has an array that is no memory";

	for (i = 0; i < TCE_CHUNK_ENTRIES; i++) {
		bits = ua[i] & mask;
		if (ua[i] && (!bits || bits & ~TCE_DENSE_MAPPED))
			return "has a malformed address";
		if (ua[i] && i >= nr_entries)
			return "has entries behind the window";
		nr += !!ua[i];
	}

	return nr == tce_dense_used(state) ? NULL : "counts its entries wrong";
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

	if (!tce_chunk_is_linear(state))
		return state ? "is of no kind" : NULL;

	if (tce_linear_first(state) > tce_linear_last(state))
		return "ends before it begins";

	if (tce_chunk_addr(state) & ((1UL << view->page_shift) - 1))
		return "has a malformed address";

	return tce_linear_last(state) < nr_entries ? NULL :
					      "has entries behind the window";
}
#endif
