// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The userspace view of a TCE table: entry -> userspace address.
 *
 * The words of the chunks are the leaves of a tree of 4 KiB nodes that grows
 * on first use, and shrinks only when the view goes. A guest that maps all of
 * its memory one to one needs a word for 1024 entries; a mapping somewhere in
 * a huge window a node or two. Only entries that are no run, such as a guest's
 * that maps buffers as they come, need an array, of 8 KiB a chunk.
 *
 * All memory is linear mapped: real mode reads it.
 *
 * Changing a word may need an array where there was none, or leave one over.
 * It never allocates or frees by itself, for the chunk is locked: the caller
 * brings a spare array, and takes one away.
 */

#include <linux/align.h>
#include <linux/bitops.h>
#include <linux/build_bug.h>
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

static unsigned long run_word(unsigned int first, unsigned int last,
			      unsigned long ua)
{
	return TCE_WORD_RUN | (unsigned long)first << TCE_WORD_FIRST_SHIFT |
	       (unsigned long)last << TCE_WORD_LAST_SHIFT |
	       ua >> TCE_WORD_ADDR_UNIT << TCE_WORD_ADDR_SHIFT;
}

static bool is_run(unsigned long value)
{
	return (value & TCE_WORD_KIND_MASK) == TCE_WORD_RUN;
}

static unsigned int run_first(unsigned long value)
{
	return (value >> TCE_WORD_FIRST_SHIFT) & INDEX_MASK;
}

static unsigned int run_last(unsigned long value)
{
	return (value >> TCE_WORD_LAST_SHIFT) & INDEX_MASK;
}

static unsigned long word_addr(unsigned long value)
{
	return value >> TCE_WORD_ADDR_SHIFT << TCE_WORD_ADDR_UNIT;
}

static unsigned long dense_word(const struct tce_dense *dense,
				unsigned int used)
{
	return TCE_WORD_DENSE | (unsigned long)used << TCE_WORD_FIRST_SHIFT |
	       __pa(dense) >> TCE_WORD_ADDR_UNIT << TCE_WORD_ADDR_SHIFT;
}

static unsigned int dense_used(unsigned long value)
{
	return (value >> TCE_WORD_FIRST_SHIFT) & USED_MASK;
}

/* Address that entry @i would have if the run went on to there. */
static unsigned long run_addr(const struct tce_view *view, unsigned long value,
			      unsigned int i)
{
	return word_addr(value) +
	       (((unsigned long)i - run_first(value)) << view->page_shift);
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

		/* A full barrier: see tce_owner_close(). */
		node = cmpxchg(slot, NULL, new);
		if (node)
			node_free(view, new);
		else
			node = new;
	}

	return 0;
}

/**
 * tce_dense_alloc - a spare array for tce_chunk_map() or tce_chunk_unmap()
 * @gfp: how to allocate
 *
 * Context: As @gfp says.
 * Return: the array, for kfree() if it is left over; NULL without memory.
 */
struct tce_dense *tce_dense_alloc(gfp_t gfp)
{
	struct tce_dense *dense = kmalloc(sizeof(*dense), gfp);

	/* Once in use it is known by its physical address only. */
	kmemleak_not_leak(dense);

	return dense;
}

/**
 * tce_chunk_lock - take a chunk
 * @word: the chunk's word
 *
 * Context: Not in real mode. Preemption is off until tce_chunk_unlock().
 * Return: what the word says.
 */
unsigned long tce_chunk_lock(unsigned long *word)
{
	preempt_disable();
	while (test_and_set_bit_lock(TCE_WORD_LOCK_BIT, word)) {
		preempt_enable();
		while (READ_ONCE(*word) & TCE_WORD_LOCK)
			cpu_relax();
		preempt_disable();
	}

	return READ_ONCE(*word) & ~TCE_WORD_LOCK;
}

/**
 * tce_chunk_unlock - let go of a chunk that tce_chunk_lock() took
 * @word: the chunk's word
 * @value: what it says from now on
 *
 * Context: Not in real mode.
 */
void tce_chunk_unlock(unsigned long *word, unsigned long value)
{
	/* Pairs with whoever takes the bit next. */
	smp_store_release(word, value);
	preempt_enable();
}

static bool dense_next(const struct tce_view *view, unsigned long value,
		       unsigned int first, unsigned int last,
		       struct tce_piece *piece)
{
	const u64 *ua = tce_chunk_dense(value)->ua;
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
 * @value: what the word of the chunk says; the chunk is locked
 * @first: first entry of the chunk to look at
 * @last: last entry to look at
 * @piece: where the entries go, as many as are mapped to consecutive addresses
 *
 * Context: Any, real mode included.
 * Return: false if none from @first to @last is mapped.
 */
bool tce_chunk_next(const struct tce_view *view, unsigned long value,
		    unsigned int first, unsigned int last,
		    struct tce_piece *piece)
{
	if (tce_chunk_is_dense(value))
		return dense_next(view, value, first, last, piece);

	if (!is_run(value))
		return false;

	first = max(first, run_first(value));
	last = min(last, run_last(value));
	if (first > last)
		return false;

	piece->first = first;
	piece->nr = last - first + 1;
	piece->ua = run_addr(view, value, first);

	return true;
}

/**
 * tce_chunk_get - look one entry up
 * @view: the view
 * @value: what the word of the chunk says; the chunk is locked
 * @i: the entry, in its chunk
 * @ua: where the address that it is mapped to goes
 *
 * Context: Any, real mode included.
 * Return: false if it is not mapped.
 */
bool tce_chunk_get(const struct tce_view *view, unsigned long value,
		   unsigned int i, unsigned long *ua)
{
	if (tce_chunk_is_dense(value)) {
		u64 entry = tce_chunk_dense(value)->ua[i];

		*ua = entry & ~TCE_DENSE_MAPPED;
		return entry;
	}

	*ua = run_addr(view, value, i);

	return is_run(value) && i >= run_first(value) && i <= run_last(value);
}

static unsigned int dense_within(const struct tce_dense *dense,
				 unsigned int *first, unsigned int last,
				 unsigned long ua, unsigned long ua_bytes)
{
	unsigned int i, nr = 0;

	for (i = *first; i <= last; i++) {
		if (!dense->ua[i])
			continue;
		if (dense->ua[i] - ua >= ua_bytes)
			break;
		nr++;
	}
	*first = i;

	return nr;
}

/**
 * tce_chunk_count - count mapped entries as long as they are from one range
 * @view: the view
 * @value: what the word of the chunk says; the chunk is locked
 * @first: in: first entry of the chunk to look at; out: the first mapped one
 *	   whose address is not in the range, or one after @last
 * @last: last entry to look at
 * @ua: first byte of the range
 * @ua_bytes: size of the range; no entry reaches across its end
 *
 * Context: Any, real mode included.
 * Return: how many entries are mapped to addresses of the range, before @first
 *	   as it is on return.
 */
unsigned int tce_chunk_count(const struct tce_view *view, unsigned long value,
			     unsigned int *first, unsigned int last,
			     unsigned long ua, unsigned long ua_bytes)
{
	struct tce_piece piece;
	unsigned long fit;

	if (tce_chunk_is_dense(value))
		return dense_within(tce_chunk_dense(value), first, last, ua, ua_bytes);

	if (!tce_chunk_next(view, value, *first, last, &piece)) {
		*first = last + 1;
		return 0;
	}

	*first = piece.first;
	if (piece.ua - ua >= ua_bytes)
		return 0;

	fit = (ua_bytes - (piece.ua - ua)) >> view->page_shift;
	if (fit < piece.nr) {
		*first += fit;
		return fit;
	}
	*first = last + 1;

	return piece.nr;
}

static unsigned int piece_last(const struct tce_piece *piece)
{
	return piece->first + piece->nr - 1;
}

/* Can @piece be added to the run, the entries of both being one run then? */
static bool run_can_take(const struct tce_view *view, unsigned long value,
			 const struct tce_piece *piece)
{
	return piece->first <= run_last(value) + 1 &&
	       piece_last(piece) + 1 >= run_first(value) &&
	       run_addr(view, value, piece->first) == piece->ua;
}

static bool piece_covers_run(const struct tce_piece *piece, unsigned long value)
{
	return piece->first <= run_first(value) &&
	       piece_last(piece) >= run_last(value);
}

/**
 * tce_chunk_map_needs_dense - will tce_chunk_map() want a spare array
 * @view: the view
 * @value: what the word of the chunk says
 * @piece: entries to be mapped
 *
 * Context: Any, real mode included. A guess while the chunk is not locked.
 * Return: true if so.
 */
bool tce_chunk_map_needs_dense(const struct tce_view *view,
			       unsigned long value,
			       const struct tce_piece *piece)
{
	return is_run(value) && !piece_covers_run(piece, value) &&
	       !run_can_take(view, value, piece);
}

/**
 * tce_chunk_unmap_needs_dense - will tce_chunk_unmap() want a spare array
 * @value: what the word of the chunk says
 * @first: first entry to be unmapped
 * @last: last entry to be unmapped
 *
 * Context: Any, real mode included. A guess while the chunk is not locked.
 * Return: true if so: a hole in the middle of a run leaves two.
 */
bool tce_chunk_unmap_needs_dense(unsigned long value, unsigned int first,
				 unsigned int last)
{
	return is_run(value) && first > run_first(value) &&
	       last < run_last(value);
}

/* Write a run into an array. */
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
 * @value: what the word of the chunk says; the chunk is locked
 * @spare: the array to use, not NULL; NULL on return
 *
 * Context: Any, real mode included. Cannot fail.
 * Return: what the word has to say.
 */
unsigned long tce_chunk_to_dense(struct tce_view *view, unsigned long value,
				 struct tce_dense **spare)
{
	struct tce_dense *dense = *spare;
	struct tce_piece piece = { 0 };

	*spare = NULL;
	memset(dense, 0, sizeof(*dense));
	atomic_long_inc(&view->nr_dense);
	if (is_run(value)) {
		piece.first = run_first(value);
		piece.nr = run_last(value) - run_first(value) + 1;
		piece.ua = word_addr(value);
		dense_fill(view, dense, &piece);
	}

	return dense_word(dense, piece.nr);
}

/* Hand the array of a dense chunk to the caller, who frees it. */
static void give_back(struct tce_view *view, unsigned long value,
		      struct tce_dense **spare)
{
	if (!tce_chunk_is_dense(value))
		return;

	atomic_long_dec(&view->nr_dense);
	kfree(*spare);
	*spare = tce_chunk_dense(value);
}

static unsigned long dense_map(struct tce_view *view, unsigned long value,
			       const struct tce_piece *piece,
			       struct tce_dense **spare)
{
	unsigned int used = dense_used(value), was;
	struct tce_dense *dense = tce_chunk_dense(value);
	struct tce_piece all;

	was = dense_count(dense, piece->first, piece_last(piece));
	dense_fill(view, dense, piece);
	used += piece->nr - was;

	/* Just got full: it may have become one run, mapped out of order. */
	if (was < piece->nr && used == TCE_CHUNK_ENTRIES && spare) {
		dense_next(view, value, 0, TCE_CHUNK_ENTRIES - 1, &all);
		if (all.nr == TCE_CHUNK_ENTRIES) {
			give_back(view, value, spare);
			return run_word(0, TCE_CHUNK_ENTRIES - 1, all.ua);
		}
	}

	return dense_word(dense, used);
}

/**
 * tce_chunk_map - enter mappings in a chunk's word
 * @view: the view
 * @value: what the word says; the chunk is locked
 * @piece: the entries and their address
 * @spare: an array if tce_chunk_map_needs_dense(), else it may be NULL; on
 *	   return, an array that is left over, for kfree(). Without a place to
 *	   leave it, @spare being NULL, an array stays in the chunk that has it
 *
 * Context: Any; real mode with @spare NULL, as this may call kfree() otherwise.
 *	    Cannot fail.
 * Return: what the word has to say.
 */
unsigned long tce_chunk_map(struct tce_view *view, unsigned long value,
			    const struct tce_piece *piece,
			    struct tce_dense **spare)
{
	unsigned int first = piece->first, last = piece_last(piece);

	if (first == 0 && last == TCE_CHUNK_ENTRIES - 1 &&
	    (spare || !tce_chunk_is_dense(value))) {
		give_back(view, value, spare);
		return run_word(first, last, piece->ua);
	}

	if (tce_chunk_is_dense(value))
		return dense_map(view, value, piece, spare);

	if (!is_run(value) || piece_covers_run(piece, value))
		return run_word(first, last, piece->ua);

	if (!run_can_take(view, value, piece))
		return dense_map(view, tce_chunk_to_dense(view, value, spare), piece,
				 spare);

	first = min(first, run_first(value));
	last = max(last, run_last(value));

	return run_word(first, last, run_addr(view, value, first));
}

static unsigned long dense_unmap(struct tce_view *view, unsigned long value,
				 unsigned int first, unsigned int last,
				 struct tce_dense **spare)
{
	struct tce_dense *dense = tce_chunk_dense(value);
	unsigned int used;

	used = dense_used(value) - dense_count(dense, first, last);
	if (!used && spare) {
		give_back(view, value, spare);
		return 0;
	}

	memset(&dense->ua[first], 0, (last - first + 1) * sizeof(u64));

	return dense_word(dense, used);
}

/**
 * tce_chunk_unmap - take entries out of a chunk's word
 * @view: the view
 * @value: what the word says; the chunk is locked
 * @first: first entry
 * @last: last entry
 * @spare: as in tce_chunk_map(), with tce_chunk_unmap_needs_dense()
 *
 * Context: As tce_chunk_map(). Cannot fail.
 * Return: what the word has to say.
 */
unsigned long tce_chunk_unmap(struct tce_view *view, unsigned long value,
			      unsigned int first, unsigned int last,
			      struct tce_dense **spare)
{
	if (tce_chunk_unmap_needs_dense(value, first, last))
		value = tce_chunk_to_dense(view, value, spare);

	if (tce_chunk_is_dense(value))
		return dense_unmap(view, value, first, last, spare);

	if (!is_run(value) || first > run_last(value) ||
	    last < run_first(value))
		return value;

	if (first > run_first(value))
		return run_word(run_first(value), first - 1, word_addr(value));

	if (last < run_last(value))
		return run_word(last + 1, run_last(value),
				run_addr(view, value, last + 1));

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
			unsigned long value = READ_ONCE(node->slot[i].word);

			use->runs += is_run(value);
			use->dense += tce_chunk_is_dense(value);
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
static const char *dense_fault(const struct tce_view *view, unsigned long value,
			       unsigned long nr_entries)
{
	unsigned long mask = (1UL << view->page_shift) - 1, bits, i;
	const u64 *ua = tce_chunk_dense(value)->ua;

	if (!word_addr(value) || !pfn_valid(word_addr(value) >> PAGE_SHIFT))
		return "has an array that is no memory";

	for (i = 0; i < TCE_CHUNK_ENTRIES; i++) {
		bits = ua[i] & mask;
		if (ua[i] && (!bits || bits & ~TCE_DENSE_MAPPED))
			return "has a malformed address";
		if (ua[i] && i >= nr_entries)
			return "has entries behind the window";
	}

	if (dense_count(tce_chunk_dense(value), 0, TCE_CHUNK_ENTRIES - 1) !=
	    dense_used(value))
		return "counts its entries wrong";

	return NULL;
}

/**
 * tce_chunk_fault - what is wrong with the word of a chunk
 * @view: the view
 * @value: what the word says, lock included
 * @nr_entries: entries of the chunk that are in the table
 *
 * Context: May sleep. Nobody works on the chunk.
 * Return: NULL if it is well formed and not locked, else the end of a sentence
 *	   that begins with the word.
 */
const char *tce_chunk_fault(const struct tce_view *view, unsigned long value,
			    unsigned long nr_entries)
{
	if (value & TCE_WORD_LOCK)
		return "is locked";

	if (tce_chunk_is_dense(value))
		return dense_fault(view, value, nr_entries);

	if (!is_run(value))
		return value ? "is of no kind" : NULL;

	if (run_first(value) > run_last(value))
		return "ends before it begins";

	if (word_addr(value) & ((1UL << view->page_shift) - 1))
		return "has a malformed address";

	return run_last(value) < nr_entries ? NULL :
					      "has entries behind the window";
}
#endif
