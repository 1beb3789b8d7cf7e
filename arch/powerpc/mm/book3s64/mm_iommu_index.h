/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Index of registered regions by userspace address.
 *
 * Kept apart from the registry so that it can be built and tortured outside
 * the kernel: it knows address ranges and opaque items, nothing of memory.
 */
#ifndef _MM_IOMMU_INDEX_H
#define _MM_IOMMU_INDEX_H

#include <linux/rcupdate.h>
#include <linux/types.h>

/* One leaf fills a 2 KiB slab object. */
#define MM_IOMMU_LEAF_RANGES	84

/**
 * struct mm_iommu_leaf - ranges of one stretch of the address space
 * @rcu: for freeing behind the readers; first, so that it is the object
 * @nr_ranges: how many of the arrays' elements are used
 * @nr_live: how many of these ranges were not removed; under the writer's lock
 * @from: where the stretch begins: the start of the first slot that has the
 *	leaf
 * @start: first byte of each range, ascending
 * @end: byte after each range; equal to @start in a range that was removed
 * @item: what a lookup in the range returns
 *
 * Once it is published, only these change: @end, as said above; @nr_live; and
 * @from, which can become 0.
 */
struct mm_iommu_leaf {
	struct rcu_head rcu;
	unsigned int nr_ranges;
	unsigned int nr_live;
	unsigned long from;
	unsigned long start[MM_IOMMU_LEAF_RANGES];
	unsigned long end[MM_IOMMU_LEAF_RANGES];
	void *item[MM_IOMMU_LEAF_RANGES];
};

/**
 * struct mm_iommu_slot - one leaf and where it begins
 * @start: ranges from here to the next slot's start begin in this leaf; the
 *	   last one may end beyond. Ascending; 0 in the first slot
 * @leaf: replaced as a whole, under the writer's lock. Adjacent slots may share
 *	  one
 */
struct mm_iommu_slot {
	unsigned long start;
	struct mm_iommu_leaf *leaf;
};

/**
 * struct mm_iommu_root - the leaves in ascending order
 * @rcu: for freeing behind the readers; first, so that it is the object
 * @nr_slots: elements of @slot
 * @slot: the leaves
 */
struct mm_iommu_root {
	struct rcu_head rcu;
	unsigned long nr_slots;
	struct mm_iommu_slot slot[];
};

/**
 * struct mm_iommu_spare - memory for insertions
 * @leaf: leaves, the first ones first
 * @root: an array of leaves
 * @nr_slots: the slots that @root has room for
 * @want_leaves: how many leaves the last insertion needed
 * @want_slots: how many slots of @root
 */
struct mm_iommu_spare {
	struct mm_iommu_leaf *leaf[2];
	struct mm_iommu_root *root;
	unsigned long nr_slots;
	unsigned int want_leaves;
	unsigned long want_slots;
};

/**
 * struct mm_iommu_index - disjoint address ranges, found by address
 * @root: NULL when empty
 */
struct mm_iommu_index {
	struct mm_iommu_root *root;
};

/* Readers and writers share the following. */

/* The last of @nr (> 0) ascending @start not above @addr, 0 if all are. */
static __always_inline unsigned long
mm_iommu_last_start(const unsigned long *start, unsigned long nr,
		    unsigned long addr)
{
	unsigned long low = 0;

	while (nr > 1) {
		unsigned long half = nr / 2;

		if (start[low + half] <= addr)
			low += half;
		nr -= half;
	}

	return low;
}

/* The same, but -1 if all are above @addr. */
static inline long mm_iommu_last_not_above(const unsigned long *start,
					   unsigned long nr, unsigned long addr)
{
	unsigned long i = mm_iommu_last_start(start, nr, addr);

	return start[i] <= addr ? (long)i : -1;
}

/* The slot that answers for @addr: slot 0 does from address 0. */
static inline unsigned long
mm_iommu_slot_of(const struct mm_iommu_root *root, unsigned long addr)
{
	unsigned long low = 0, nr = root->nr_slots;

	while (nr > 1) {
		unsigned long half = nr / 2;

		if (root->slot[low + half].start <= addr)
			low += half;
		nr -= half;
	}

	return low;
}

static inline bool
mm_iommu_range_is_removed(const struct mm_iommu_leaf *leaf, unsigned long i)
{
	return READ_ONCE(leaf->end[i]) == leaf->start[i];
}

void *mm_iommu_index_find_before(const struct mm_iommu_root *root,
				 unsigned long s, unsigned long addr);
bool mm_iommu_index_overlaps(const struct mm_iommu_index *index,
			     unsigned long start, unsigned long end);
int mm_iommu_index_prepare(struct mm_iommu_spare *spare);
void mm_iommu_index_forget(struct mm_iommu_spare *spare);
int mm_iommu_index_insert(struct mm_iommu_index *index,
			  struct mm_iommu_spare *spare, unsigned long start,
			  unsigned long end, void *item);
void mm_iommu_index_remove(struct mm_iommu_index *index, unsigned long start);
void *mm_iommu_index_next(const struct mm_iommu_index *index,
			  unsigned long addr);
void mm_iommu_index_destroy(struct mm_iommu_index *index);

/* Provided by the user of the index: free @head's object behind all readers. */
void mm_iommu_free_deferred(struct rcu_head *head);

/**
 * mm_iommu_index_find - the item of the range that holds an address
 * @index: the index
 * @addr: any address
 *
 * Inline, because each hypercall does one lookup, in a function that does
 * little else.
 *
 * Context: Any, real mode included; lock-free. The caller is in a read-side
 *	    section of mm_iommu_free_deferred(), or excludes the writers: what
 *	    is returned lives as long as that.
 * Return: the item, NULL when no range holds @addr.
 */
static inline void *mm_iommu_index_find(const struct mm_iommu_index *index,
					unsigned long addr)
{
	const struct mm_iommu_root *root = READ_ONCE(index->root);
	const struct mm_iommu_leaf *leaf;
	unsigned long s, i;

	if (!root)
		return NULL;

	s = mm_iommu_slot_of(root, addr);
	leaf = READ_ONCE(root->slot[s].leaf);
	i = mm_iommu_last_start(leaf->start, leaf->nr_ranges, addr);
	/*
	 * Dependencies order what is in the item; a plain load might have none.
	 */
	if (addr >= leaf->start[i] && addr < READ_ONCE(leaf->end[i]))
		return READ_ONCE(leaf->item[i]);

	return mm_iommu_index_find_before(root, s, addr);
}

#endif /* _MM_IOMMU_INDEX_H */
