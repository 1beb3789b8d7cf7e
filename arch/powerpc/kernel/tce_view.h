/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The userspace view of a TCE table: entry -> userspace address.
 *
 * Entries are grouped in chunks, and one word says all of a chunk:
 *
 *   empty    no entry is mapped; the word is 0
 *   run      entries first..last are mapped, to consecutive addresses
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
#include <linux/types.h>

#define TCE_CHUNK_SHIFT		10
#define TCE_CHUNK_ENTRIES	(1UL << TCE_CHUNK_SHIFT)

/* Words or pointers of one 4 KiB node of the tree of words. */
#define TCE_NODE_SHIFT		9
#define TCE_NODE_SLOTS		(1UL << TCE_NODE_SHIFT)

/**
 * struct tce_dense - the array of a dense chunk
 * @ua: userspace address of each entry with TCE_DENSE_MAPPED set, or 0
 */
struct tce_dense {
	u64 ua[TCE_CHUNK_ENTRIES];
};

#define TCE_DENSE_MAPPED	1UL

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
 * @nr_nodes: nodes that there are, for those who ask what it costs
 * @nr_dense: dense chunks that there are
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
 * @runs: chunks that are runs
 * @dense: dense chunks
 */
struct tce_view_use {
	unsigned long nodes;
	unsigned long runs;
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
unsigned long *tce_view_word(struct tce_view *view, unsigned long chunk);
unsigned long tce_view_skip(struct tce_view *view, unsigned long chunk);
unsigned long tce_view_next_used(struct tce_view *view, unsigned long chunk,
				 unsigned long last);
int tce_view_grow(struct tce_view *view, unsigned long chunk);
void tce_view_use(const struct tce_view *view, struct tce_view_use *use);
struct tce_dense *tce_dense_alloc(gfp_t gfp);

unsigned long tce_chunk_lock(unsigned long *word);
bool tce_chunk_trylock(unsigned long *word, unsigned long *value);
void tce_chunk_release(unsigned long *word, unsigned long value);
void tce_chunk_unlock(unsigned long *word, unsigned long value);

bool tce_chunk_next(const struct tce_view *view, unsigned long value,
		    unsigned int first, unsigned int last,
		    struct tce_piece *piece);
bool tce_chunk_get(const struct tce_view *view, unsigned long value,
		   unsigned int i, unsigned long *ua);
bool tce_chunk_is_dense(unsigned long value);
unsigned int tce_chunk_count(const struct tce_view *view, unsigned long value,
			     unsigned int *first, unsigned int last,
			     unsigned long ua, unsigned long ua_bytes);
bool tce_chunk_map_needs_dense(const struct tce_view *view,
			       unsigned long value,
			       const struct tce_piece *piece);
bool tce_chunk_unmap_needs_dense(unsigned long value, unsigned int first,
				 unsigned int last);
unsigned long tce_chunk_map(struct tce_view *view, unsigned long value,
			    const struct tce_piece *piece,
			    struct tce_dense **spare);
unsigned long tce_chunk_unmap(struct tce_view *view, unsigned long value,
			      unsigned int first, unsigned int last,
			      struct tce_dense **spare);
const char *tce_chunk_fault(const struct tce_view *view, unsigned long value,
			    unsigned long nr_entries);

#endif /* _POWERPC_TCE_VIEW_H */
