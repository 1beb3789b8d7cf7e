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
 * @from: where the stretch begins: the start of the first slot that has the leaf
 * @start: first byte of each range, ascending
 * @end: byte after each range; equal to @start in a range that was removed
 * @item: what a lookup in the range returns
 *
 * Once published only @end changes, as said above, @nr_live, and @from to 0.
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
 * struct mm_iommu_index - disjoint address ranges, found by address
 * @root: NULL when empty
 */
struct mm_iommu_index {
	struct mm_iommu_root *root;
};

void *mm_iommu_index_find(const struct mm_iommu_index *index,
			  unsigned long addr);
bool mm_iommu_index_overlaps(const struct mm_iommu_index *index,
			     unsigned long start, unsigned long end);
int mm_iommu_index_insert(struct mm_iommu_index *index, unsigned long start,
			  unsigned long end, void *item);
void mm_iommu_index_remove(struct mm_iommu_index *index, unsigned long start);
void *mm_iommu_index_next(const struct mm_iommu_index *index,
			  unsigned long addr);
void mm_iommu_index_destroy(struct mm_iommu_index *index);

/* Provided by the user of the index: free @head's object behind all readers. */
void mm_iommu_free_deferred(struct rcu_head *head);

#endif /* _MM_IOMMU_INDEX_H */
