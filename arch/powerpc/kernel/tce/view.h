/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The userspace view of a TCE table: entry -> userspace address.
 *
 * Entries are grouped in chunks, and one word has the state of a chunk:
 *
 *   empty    no entry is mapped; the word is 0
 *   linear   entries first..last are mapped, to consecutive addresses
 *   dense    any; the addresses are in an array beside
 *
 *     63                        23 22        13 12         3 2    1    0
 *    +----------------------------+------------+------------+------+------+
 *    | address of @first >> 12    |    last    |   first    | kind | lock |
 *    +----------------------------+------------+------------+------+------+
 *    | address of array >> 12     |    entries mapped       | kind | lock |
 *    +----------------------------+------------+------------+------+------+
 *
 * The word carries the chunk's lock: whoever holds it owns the entries of the
 * chunk, in the view and in the table, and no one else touches either.
 *
 * Knows nothing of IOMMUs or of registered memory.
 */
#ifndef _POWERPC_TCE_VIEW_H
#define _POWERPC_TCE_VIEW_H

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/types.h>

#include <asm/tce_owner.h>

#define TCE_CHUNK_SHIFT		10
#define TCE_CHUNK_ENTRIES	BIT(TCE_CHUNK_SHIFT)

/* The word of a chunk. */
#define TCE_WORD_LOCK_BIT	0
#define TCE_WORD_LOCK		BIT(TCE_WORD_LOCK_BIT)
#define TCE_WORD_KIND_MASK	(3UL << 1)
#define TCE_WORD_LINEAR		BIT(1)
#define TCE_WORD_DENSE		(2UL << 1)
#define TCE_WORD_FIRST_SHIFT	3
#define TCE_WORD_LAST_SHIFT	(TCE_WORD_FIRST_SHIFT + TCE_CHUNK_SHIFT)
#define TCE_WORD_ADDR_SHIFT	(TCE_WORD_LAST_SHIFT + TCE_CHUNK_SHIFT)
#define TCE_WORD_ADDR_UNIT	12

/* Words or pointers of one 4 KiB node of the tree of words. */
#define TCE_NODE_SHIFT		9
#define TCE_NODE_SLOTS		BIT(TCE_NODE_SHIFT)

/**
 * struct tce_dense - the array of a dense chunk
 * @ua: userspace address of each entry with one or both bits of
 *	TCE_DENSE_MAPPED set, no matter which; 0 if it is not mapped
 * @next: while it is in a stash
 */
struct tce_dense {
	union {
		u64 ua[TCE_CHUNK_ENTRIES];
		struct tce_dense *next;
	};
};

#define TCE_DENSE_MAPPED	3UL

/**
 * struct tce_node - a node of the tree of chunk words
 * @slot: chunk words at the lowest level, nodes above
 */
struct tce_node {
	union {
		unsigned long word;
		struct tce_node *node;
	} slot[TCE_NODE_SLOTS];
};

/**
 * struct tce_view - the view of one table
 * @nr_chunks: chunks of the table
 * @page_shift: size of an IOMMU page: what consecutive entries are apart
 * @depth: levels of nodes
 * @root: topmost node
 * @nr_nodes: how many nodes there are, which tells what the view costs
 * @nr_dense: how many dense chunks there are
 */
struct tce_view {
	unsigned long nr_chunks;
	unsigned int page_shift;
	unsigned int depth;
	struct tce_node *root;
	atomic_long_t nr_nodes;
	atomic_long_t nr_dense;
};

/**
 * struct tce_view_use - what a view is made of
 * @nodes: nodes of the tree
 * @linear: linear chunks
 * @dense: dense chunks
 */
struct tce_view_use {
	unsigned long nodes;
	unsigned long linear;
	unsigned long dense;
};

/**
 * struct tce_piece - entries of one chunk, mapped to consecutive addresses
 * @first: first entry, in its chunk
 * @nr: how many
 * @ua: userspace address of the first
 */
struct tce_piece {
	unsigned int first;
	unsigned int nr;
	unsigned long ua;
};

int tce_view_init(struct tce_view *view, unsigned long nr_entries,
		  unsigned int page_shift);
void tce_view_destroy(struct tce_view *view);
unsigned long tce_view_skip(struct tce_view *view, unsigned long chunk);
unsigned long tce_view_next_used(struct tce_view *view, unsigned long chunk,
				 unsigned long last);
int tce_view_grow(struct tce_view *view, unsigned long chunk);
int tce_stash_add_now(struct tce_stash *stash);
void tce_view_count(const struct tce_view *view, struct tce_view_use *use);

bool tce_chunk_next(const struct tce_view *view, unsigned long state,
		    unsigned int first, unsigned int last,
		    struct tce_piece *piece);
bool tce_chunk_get(const struct tce_view *view, unsigned long state,
		   unsigned int i, unsigned long *ua);
bool tce_chunk_map_needs_dense(const struct tce_view *view,
			       unsigned long state,
			       const struct tce_piece *piece);
unsigned long tce_chunk_to_dense(struct tce_view *view, unsigned long state,
				 struct tce_stash *stash);
unsigned long tce_chunk_map(struct tce_view *view, unsigned long state,
			    const struct tce_piece *piece,
			    struct tce_stash *stash);
unsigned long tce_chunk_unmap(struct tce_view *view, unsigned long state,
			      unsigned int first, unsigned int last,
			      struct tce_stash *stash);
unsigned long tce_chunk_unmap_dense(struct tce_view *view, unsigned long state,
				    unsigned int first, unsigned int last,
				    unsigned int nr_mapped,
				    struct tce_stash *stash);
const char *tce_chunk_fault(const struct tce_view *view, unsigned long state,
			    unsigned long nr_entries);

/* Where @chunk is found in a node of level @level, 0 being the lowest. */
static __always_inline unsigned long tce_node_index(unsigned long chunk,
						    unsigned int level)
{
	return (chunk >> (level * TCE_NODE_SHIFT)) & (TCE_NODE_SLOTS - 1);
}

/**
 * tce_view_word - the word of a chunk
 * @view: the view
 * @chunk: the chunk
 *
 * Context: Any, real mode included; lock-free.
 * Return: the word, which stays where it is as long as the view lives; NULL if
 *	   it does not exist yet, so that the chunk is empty.
 */
static __always_inline unsigned long *tce_view_word(struct tce_view *view,
						    unsigned long chunk)
{
	struct tce_node *node = view->root;
	unsigned int level;

	for (level = view->depth - 1; level; level--) {
		node = READ_ONCE(node->slot[tce_node_index(chunk, level)].node);
		if (!node)
			return NULL;
	}

	return &node->slot[tce_node_index(chunk, 0)].word;
}

/**
 * tce_chunk_trylock - take a chunk if it is free
 * @word: the chunk's word
 * @state: where its state goes
 *
 * Context: Real mode, or without preemption.
 * Return: true if it was taken.
 */
static __always_inline bool tce_chunk_trylock(unsigned long *word,
					      unsigned long *state)
{
	if (test_and_set_bit_lock(TCE_WORD_LOCK_BIT, word))
		return false;

	*state = READ_ONCE(*word) & ~TCE_WORD_LOCK;

	return true;
}

/**
 * tce_chunk_release - let go of a chunk that tce_chunk_trylock() took
 * @word: the chunk's word
 * @state: its state from now on
 *
 * Context: As tce_chunk_trylock().
 */
static __always_inline void tce_chunk_release(unsigned long *word,
					      unsigned long state)
{
	/* Pairs with whoever takes the bit next. */
	smp_store_release(word, state);
}

/**
 * tce_chunk_is_dense - does a chunk have an array
 * @state: its state
 *
 * Context: Any, real mode included.
 * Return: true if so.
 */
static __always_inline bool tce_chunk_is_dense(unsigned long state)
{
	return (state & TCE_WORD_KIND_MASK) == TCE_WORD_DENSE;
}

/**
 * tce_chunk_is_linear - are entries of a chunk mapped to consecutive addresses
 * @state: its state
 *
 * Context: Any, real mode included.
 * Return: true if so, and all others are not mapped.
 */
static __always_inline bool tce_chunk_is_linear(unsigned long state)
{
	return (state & TCE_WORD_KIND_MASK) == TCE_WORD_LINEAR;
}

/* The address in the state of a chunk. */
static __always_inline unsigned long tce_chunk_addr(unsigned long state)
{
	return state >> TCE_WORD_ADDR_SHIFT << TCE_WORD_ADDR_UNIT;
}

/**
 * tce_chunk_dense - the array of a dense chunk
 * @state: its state; the chunk is locked
 *
 * Context: Any, real mode included.
 * Return: the array.
 */
static __always_inline struct tce_dense *tce_chunk_dense(unsigned long state)
{
	return __va(tce_chunk_addr(state));
}

/* How many entries of a dense chunk are mapped. */
static __always_inline unsigned int tce_dense_used(unsigned long state)
{
	return state >> TCE_WORD_FIRST_SHIFT &
	       (BIT(2 * TCE_CHUNK_SHIFT) - 1);
}

/**
 * tce_chunk_is_unused - does a chunk have an array that says nothing
 * @state: its state
 *
 * Context: Any, real mode included.
 * Return: true if so.
 */
static __always_inline bool tce_chunk_is_unused(unsigned long state)
{
	return tce_chunk_is_dense(state) && !tce_dense_used(state);
}

/**
 * tce_chunk_add_used - have counted what changed in the array of a dense chunk
 * @state: its state; the chunk is locked
 * @nr: how many more entries are mapped than before
 *
 * Context: Any, real mode included.
 * Return: the new state.
 */
static __always_inline unsigned long tce_chunk_add_used(unsigned long state,
							long nr)
{
	return state + ((unsigned long)nr << TCE_WORD_FIRST_SHIFT);
}

/* The fields of the state of a linear chunk. */
static __always_inline unsigned long tce_linear_first(unsigned long state)
{
	return state >> TCE_WORD_FIRST_SHIFT & (TCE_CHUNK_ENTRIES - 1);
}

static __always_inline unsigned long tce_linear_last(unsigned long state)
{
	return state >> TCE_WORD_LAST_SHIFT & (TCE_CHUNK_ENTRIES - 1);
}

/* The address of entry @i of a linear chunk, or that it would have. */
static __always_inline unsigned long
tce_linear_ua(const struct tce_view *view, unsigned long state, unsigned long i)
{
	return tce_chunk_addr(state) +
	       ((i - tce_linear_first(state)) << view->page_shift);
}

/**
 * tce_linear_clip - which of some entries are mapped in a linear chunk
 * @state: its state
 * @first: the first of them, in and out
 * @last: the last of them, in and out
 *
 * Context: Any, real mode included.
 * Return: false if none is.
 */
static __always_inline bool tce_linear_clip(unsigned long state,
					    unsigned int *first,
					    unsigned int *last)
{
	*first = max_t(unsigned int, *first, tce_linear_first(state));
	*last = min_t(unsigned int, *last, tce_linear_last(state));

	return *first <= *last;
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
static __always_inline bool
tce_chunk_unmap_needs_dense(unsigned long state, unsigned int first,
			    unsigned int last)
{
	return tce_chunk_is_linear(state) && first > tce_linear_first(state) &&
	       last < tce_linear_last(state);
}

/**
 * tce_linear_map - map entries in a chunk that is and stays empty or linear
 * @view: the view
 * @state: in: the chunk's state; out: its new state
 * @first: first entry, in its chunk
 * @nr: how many entries
 * @ua: userspace address of the first
 *
 * Inline, because most of it goes away where @nr is known to be 1.
 *
 * Context: Any, real mode included. A guess while the chunk is not locked.
 * Return: false, with nothing changed, if the chunk is dense, or would be.
 */
static __always_inline bool
tce_linear_map(const struct tce_view *view, unsigned long *state,
	       unsigned long first, unsigned long nr, unsigned long ua)
{
	unsigned long last = first + nr - 1, was_first, was_last;

	if (!*state)
		goto done;
	if (tce_chunk_is_dense(*state))
		return false;

	was_first = tce_linear_first(*state);
	was_last = tce_linear_last(*state);
	if (first <= was_first && last >= was_last)
		goto done;

	/* The entries of both have to be one piece. */
	if (tce_linear_ua(view, *state, first) != ua ||
	    first > was_last + 1 || last + 1 < was_first)
		return false;

	if (was_first < first) {
		ua = tce_linear_ua(view, *state, was_first);
		first = was_first;
	}
	last = max(last, was_last);
done:
	*state = TCE_WORD_LINEAR | first << TCE_WORD_FIRST_SHIFT |
		 last << TCE_WORD_LAST_SHIFT |
		 ua >> TCE_WORD_ADDR_UNIT << TCE_WORD_ADDR_SHIFT;

	return true;
}

/* Put an array where the next one is taken from. */
static __always_inline void tce_stash_push(struct tce_stash *stash,
					   struct tce_dense *dense)
{
	dense->next = stash->first;
	stash->first = dense;
}

#endif /* _POWERPC_TCE_VIEW_H */
