// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Index of registered regions by userspace address.
 *
 * A sorted array of leaves, each a sorted array of ranges: a lookup is two
 * binary searches. Readers take no lock and never wait or retry, for they
 * also run in real mode, where nothing may. A writer therefore changes no
 * array that a reader can see: it publishes a changed copy of one leaf, or,
 * when a leaf is split or becomes empty, of the array of leaves. What was
 * replaced is freed behind the readers.
 *
 * Insertion copies one leaf of 2 KiB, and once in about forty times the array
 * of leaves, of 16 bytes a leaf. Removal cannot fail: without memory for the
 * copy it marks the range in place, and the next copy leaves it out.
 *
 * Writers hold a lock of the caller's.
 */

#include <linux/slab.h>
#include <linux/string.h>

#include "mm_iommu_index.h"

/* The last of @nr (> 0) ascending @start not above @addr, -1 if all are. */
static long last_not_above(const unsigned long *start, unsigned long nr,
			   unsigned long addr)
{
	unsigned long low = 0;

	while (nr > 1) {
		unsigned long half = nr / 2;

		if (start[low + half] <= addr)
			low += half;
		nr -= half;
	}

	return start[low] <= addr ? (long)low : -1;
}

/* The slot that answers for @addr: slot 0 does from address 0. */
static unsigned long slot_of(const struct mm_iommu_root *root,
			     unsigned long addr)
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

static bool range_is_removed(const struct mm_iommu_leaf *leaf, unsigned long i)
{
	return READ_ONCE(leaf->end[i]) == leaf->start[i];
}

/*
 * If the range that begins last before the address was removed, or lies in a
 * slot before, because it reaches across where slot @s begins.
 */
static noinline void *find_before(const struct mm_iommu_root *root,
				  unsigned long s, unsigned long addr)
{
	for (s++; s-- > 0; ) {
		const struct mm_iommu_leaf *leaf;
		long i;

		leaf = READ_ONCE(root->slot[s].leaf);
		i = last_not_above(leaf->start, leaf->nr_ranges, addr);
		for (; i >= 0; i--) {
			unsigned long end = READ_ONCE(leaf->end[i]);

			if (end == leaf->start[i])
				continue;
			return addr < end ? leaf->item[i] : NULL;
		}
	}

	return NULL;
}

/**
 * mm_iommu_index_find - the item of the range that holds an address
 * @index: the index
 * @addr: any address
 *
 * Context: Any, real mode included; lock-free. What is returned lives as long
 *	    as the caller's read-side section, or as the writers are excluded.
 * Return: the item, NULL when no range holds @addr.
 */
void *mm_iommu_index_find(const struct mm_iommu_index *index,
			  unsigned long addr)
{
	const struct mm_iommu_root *root = READ_ONCE(index->root);
	const struct mm_iommu_leaf *leaf;
	unsigned long s;
	long i;

	if (!root)
		return NULL;

	s = slot_of(root, addr);
	leaf = READ_ONCE(root->slot[s].leaf);
	i = last_not_above(leaf->start, leaf->nr_ranges, addr);
	if (i >= 0 && addr < READ_ONCE(leaf->end[i]))
		return leaf->item[i];

	return find_before(root, s, addr);
}

/**
 * mm_iommu_index_overlaps - does a range share an address with one in there
 * @index: the index
 * @start: first byte of the range
 * @end: byte after it, above @start
 *
 * Context: Writers are excluded.
 * Return: true if any byte of the range is in the index.
 */
bool mm_iommu_index_overlaps(const struct mm_iommu_index *index,
			     unsigned long start, unsigned long end)
{
	const struct mm_iommu_root *root = index->root;
	unsigned long s;

	if (!root)
		return false;

	/* The last range that starts below @end ends highest of them all. */
	for (s = slot_of(root, end - 1) + 1; s-- > 0; ) {
		const struct mm_iommu_leaf *leaf = root->slot[s].leaf;
		long i = last_not_above(leaf->start, leaf->nr_ranges, end - 1);

		for (; i >= 0; i--) {
			if (!range_is_removed(leaf, i))
				return leaf->end[i] > start;
		}
	}

	return false;
}

static struct mm_iommu_leaf *leaf_alloc(void)
{
	return kmalloc(sizeof(struct mm_iommu_leaf),
		       GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
}

static struct mm_iommu_root *root_alloc(unsigned long nr_slots)
{
	struct mm_iommu_root *root;

	root = kmalloc(struct_size(root, slot, nr_slots),
		       GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (root)
		root->nr_slots = nr_slots;

	return root;
}

static void leaf_append(struct mm_iommu_leaf *leaf, unsigned long start,
			unsigned long end, void *item)
{
	unsigned long i = leaf->nr_ranges++;

	leaf->start[i] = start;
	leaf->end[i] = end;
	leaf->item[i] = item;
}

/*
 * Spread the live ranges of @from and the new one over @low, up to @nr_low of
 * them, and @high, if it is not NULL.
 */
static void leaf_spread(const struct mm_iommu_leaf *from,
			struct mm_iommu_leaf *low, struct mm_iommu_leaf *high,
			unsigned long nr_low, unsigned long start,
			unsigned long end, void *item)
{
	struct mm_iommu_leaf *to = low;
	bool placed = false;
	unsigned long i;

	low->nr_ranges = 0;
	if (high)
		high->nr_ranges = 0;

	for (i = 0; i < from->nr_ranges; i++) {
		if (!placed && start < from->start[i]) {
			if (to->nr_ranges == nr_low && high)
				to = high;
			leaf_append(to, start, end, item);
			placed = true;
		}
		if (range_is_removed(from, i))
			continue;
		if (to == low && to->nr_ranges == nr_low && high)
			to = high;
		leaf_append(to, from->start[i], from->end[i], from->item[i]);
	}

	if (placed)
		return;
	if (to->nr_ranges == nr_low && high)
		to = high;
	leaf_append(to, start, end, item);
}

static unsigned long nr_live_ranges(const struct mm_iommu_leaf *leaf)
{
	unsigned long i, nr = 0;

	for (i = 0; i < leaf->nr_ranges; i++)
		nr += !range_is_removed(leaf, i);

	return nr;
}

static int insert_first(struct mm_iommu_index *index, unsigned long start,
			unsigned long end, void *item)
{
	struct mm_iommu_leaf *leaf = leaf_alloc();
	struct mm_iommu_root *root = root_alloc(1);

	if (!leaf || !root) {
		kfree(root);
		kfree(leaf);
		return -ENOMEM;
	}

	leaf->nr_ranges = 0;
	leaf_append(leaf, start, end, item);
	root->slot[0].start = 0;
	root->slot[0].leaf = leaf;
	/* Readers depend on the address that they load. */
	smp_store_release(&index->root, root);

	return 0;
}

/* Put two leaves where slot @s had one. */
static struct mm_iommu_root *root_split(const struct mm_iommu_root *old,
					unsigned long s,
					struct mm_iommu_leaf *low,
					struct mm_iommu_leaf *high)
{
	struct mm_iommu_root *root = root_alloc(old->nr_slots + 1);

	if (!root)
		return NULL;

	memcpy(root->slot, old->slot, s * sizeof(root->slot[0]));
	root->slot[s].start = old->slot[s].start;
	root->slot[s].leaf = low;
	root->slot[s + 1].start = high->start[0];
	root->slot[s + 1].leaf = high;
	memcpy(root->slot + s + 2, old->slot + s + 1,
	       (old->nr_slots - s - 1) * sizeof(root->slot[0]));

	return root;
}

static int insert_split(struct mm_iommu_index *index, unsigned long s,
			unsigned long start, unsigned long end, void *item)
{
	struct mm_iommu_root *root = index->root;
	struct mm_iommu_leaf *leaf = root->slot[s].leaf;
	struct mm_iommu_leaf *low = leaf_alloc(), *high = leaf_alloc();
	struct mm_iommu_root *split = NULL;
	unsigned long nr_low;

	if (!low || !high)
		goto no_memory;

	/* Memory is mostly registered in ascending order: keep leaves full. */
	nr_low = MM_IOMMU_LEAF_RANGES / 2;
	if (s == root->nr_slots - 1 && start > leaf->start[leaf->nr_ranges - 1])
		nr_low = MM_IOMMU_LEAF_RANGES;

	leaf_spread(leaf, low, high, nr_low, start, end, item);
	split = root_split(root, s, low, high);
	if (!split)
		goto no_memory;

	/* Readers depend on the address that they load. */
	smp_store_release(&index->root, split);
	mm_iommu_free_deferred(&leaf->rcu);
	mm_iommu_free_deferred(&root->rcu);

	return 0;

no_memory:
	kfree(high);
	kfree(low);
	return -ENOMEM;
}

/**
 * mm_iommu_index_insert - add a range
 * @index: the index
 * @start: first byte of the range
 * @end: byte after it, above @start
 * @item: what a lookup in the range returns, not NULL
 *
 * Context: May sleep. Writers are excluded. The range overlaps none in there.
 * Return: 0, or -ENOMEM with the index as it was.
 */
int mm_iommu_index_insert(struct mm_iommu_index *index, unsigned long start,
			  unsigned long end, void *item)
{
	struct mm_iommu_root *root = index->root;
	struct mm_iommu_leaf *leaf, *copy;
	unsigned long s;

	if (!root)
		return insert_first(index, start, end, item);

	s = slot_of(root, start);
	leaf = root->slot[s].leaf;
	if (nr_live_ranges(leaf) == MM_IOMMU_LEAF_RANGES)
		return insert_split(index, s, start, end, item);

	copy = leaf_alloc();
	if (!copy)
		return -ENOMEM;

	leaf_spread(leaf, copy, NULL, MM_IOMMU_LEAF_RANGES, start, end, item);
	/* Readers depend on the address that they load. */
	smp_store_release(&root->slot[s].leaf, copy);
	mm_iommu_free_deferred(&leaf->rcu);

	return 0;
}

/* Take the empty leaf of slot @s out; false without memory for the copy. */
static bool root_drop_slot(struct mm_iommu_index *index, unsigned long s)
{
	struct mm_iommu_root *root = index->root, *copy = NULL;
	struct mm_iommu_leaf *leaf = root->slot[s].leaf;

	if (root->nr_slots > 1) {
		copy = root_alloc(root->nr_slots - 1);
		if (!copy)
			return false;
		memcpy(copy->slot, root->slot, s * sizeof(copy->slot[0]));
		memcpy(copy->slot + s, root->slot + s + 1,
		       (root->nr_slots - s - 1) * sizeof(copy->slot[0]));
		copy->slot[0].start = 0;
	}

	/* Readers depend on the address that they load. */
	smp_store_release(&index->root, copy);
	mm_iommu_free_deferred(&leaf->rcu);
	mm_iommu_free_deferred(&root->rcu);

	return true;
}

/* Publish a copy of slot @s's leaf without range @i; false without memory. */
static bool leaf_drop_range(struct mm_iommu_root *root, unsigned long s,
			    unsigned long i)
{
	struct mm_iommu_leaf *leaf = root->slot[s].leaf;
	struct mm_iommu_leaf *copy = leaf_alloc();
	unsigned long k;

	if (!copy)
		return false;

	copy->nr_ranges = 0;
	for (k = 0; k < leaf->nr_ranges; k++) {
		if (k != i && !range_is_removed(leaf, k))
			leaf_append(copy, leaf->start[k], leaf->end[k],
				    leaf->item[k]);
	}

	/* Readers depend on the address that they load. */
	smp_store_release(&root->slot[s].leaf, copy);
	mm_iommu_free_deferred(&leaf->rcu);

	return true;
}

/**
 * mm_iommu_index_remove - take a range out
 * @index: the index
 * @start: first byte of a range that is in the index
 *
 * Readers that are under way may still find the item.
 *
 * Context: May sleep. Writers are excluded. Cannot fail.
 */
void mm_iommu_index_remove(struct mm_iommu_index *index, unsigned long start)
{
	struct mm_iommu_root *root = index->root;
	unsigned long s = slot_of(root, start);
	struct mm_iommu_leaf *leaf = root->slot[s].leaf;
	long i = last_not_above(leaf->start, leaf->nr_ranges, start);
	bool done;

	if (nr_live_ranges(leaf) == 1)
		done = root_drop_slot(index, s);
	else
		done = leaf_drop_range(root, s, i);

	if (!done)
		WRITE_ONCE(leaf->end[i], leaf->start[i]);
}

/**
 * mm_iommu_index_next - the item of the first range from an address on
 * @index: the index
 * @addr: any address
 *
 * Context: Writers are excluded.
 * Return: the item, NULL when no range begins at @addr or behind.
 */
void *mm_iommu_index_next(const struct mm_iommu_index *index,
			  unsigned long addr)
{
	const struct mm_iommu_root *root = index->root;
	unsigned long s, i;

	if (!root)
		return NULL;

	for (s = slot_of(root, addr); s < root->nr_slots; s++) {
		const struct mm_iommu_leaf *leaf = root->slot[s].leaf;

		for (i = 0; i < leaf->nr_ranges; i++) {
			if (leaf->start[i] >= addr && !range_is_removed(leaf, i))
				return leaf->item[i];
		}
	}

	return NULL;
}

/**
 * mm_iommu_index_destroy - free what removals without memory left behind
 * @index: the index, with no range in it
 *
 * Context: Any. No reader, no writer.
 */
void mm_iommu_index_destroy(struct mm_iommu_index *index)
{
	unsigned long s;

	if (!index->root)
		return;

	for (s = 0; s < index->root->nr_slots; s++)
		kfree(index->root->slot[s].leaf);
	kfree(index->root);
	index->root = NULL;
}
