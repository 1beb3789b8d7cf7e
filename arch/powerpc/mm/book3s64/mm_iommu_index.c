// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Index of registered regions by userspace address.
 *
 * A sorted array of leaves, each a sorted array of ranges: a lookup, in
 * mm_iommu_index.h, is two binary searches. Readers take no lock and never
 * wait or retry, because they also run in real mode, where nothing may.
 *
 * Insertion publishes a changed copy of one leaf of 2 KiB, and, when a leaf is
 * full, a copy of the array of leaves, of 16 bytes a leaf. The old copies
 * are freed behind the readers.
 *
 * Removal takes no memory, so it cannot fail: it marks the range in its leaf.
 * The next copy of the leaf leaves marked ranges out. When all ranges of a leaf
 * are marked, its slot takes over the leaf of the slot before, and the leaf is
 * freed. Slots that share a leaf are a group: they stand for one stretch of
 * addresses, and the next copy of the array has one slot for them.
 *
 * So each leaf has a range that is not marked, and a lookup that meets marks
 * looks at those of two leaves at most: a leaf says where its group begins, and
 * with that the group before it is found.
 *
 * Writers hold a lock of the caller's, which is never held over an allocation.
 * So the caller allocates before it takes the lock. If the insertion then needs
 * more than that, it says so; the caller allocates again, and tries again.
 */

#include <linux/slab.h>
#include <linux/string.h>

#include "mm_iommu_index.h"

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
	s = mm_iommu_slot_of(root, end - 1);
	for (;;) {
		const struct mm_iommu_leaf *leaf = root->slot[s].leaf;
		long i = mm_iommu_last_not_above(leaf->start, leaf->nr_ranges,
						 end - 1);

		for (; i >= 0; i--) {
			if (!mm_iommu_range_is_removed(leaf, i))
				return leaf->end[i] > start;
		}
		if (!leaf->from)
			return false;
		s = mm_iommu_slot_of(root, leaf->from - 1);
	}
}

/**
 * mm_iommu_index_prepare - have the memory that an insertion asked for
 * @spare: where it goes; zeroed before the first insertion
 *
 * Context: May sleep, and reclaim memory.
 * Return: 0, or -ENOMEM.
 */
int mm_iommu_index_prepare(struct mm_iommu_spare *spare)
{
	const gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_NOWARN;
	unsigned int i;

	for (i = 0; i < spare->want_leaves; i++) {
		if (!spare->leaf[i])
			spare->leaf[i] = kmalloc(sizeof(*spare->leaf[i]), gfp);
		if (!spare->leaf[i])
			return -ENOMEM;
	}

	if (spare->want_slots <= spare->nr_slots)
		return 0;

	kfree(spare->root);
	spare->nr_slots = 0;
	spare->root = kmalloc(struct_size(spare->root, slot, spare->want_slots),
			      gfp);
	if (!spare->root)
		return -ENOMEM;
	spare->nr_slots = spare->want_slots;

	return 0;
}

/**
 * mm_iommu_index_forget - free what insertions have left
 * @spare: the memory
 *
 * Context: May sleep.
 */
void mm_iommu_index_forget(struct mm_iommu_spare *spare)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(spare->leaf); i++)
		kfree(spare->leaf[i]);
	kfree(spare->root);
}

/* Is there memory for so much? If not, ask for it. */
static bool spare_suffices(struct mm_iommu_spare *spare,
			   unsigned int nr_leaves, unsigned long nr_slots)
{
	spare->want_leaves = nr_leaves;
	spare->want_slots = nr_slots;

	return spare->leaf[nr_leaves - 1] && spare->nr_slots >= nr_slots;
}

static struct mm_iommu_leaf *take_leaf(struct mm_iommu_spare *spare,
				       unsigned int i)
{
	struct mm_iommu_leaf *leaf = spare->leaf[i];

	spare->leaf[i] = NULL;

	return leaf;
}

static struct mm_iommu_root *take_root(struct mm_iommu_spare *spare)
{
	struct mm_iommu_root *root = spare->root;

	spare->root = NULL;
	spare->nr_slots = 0;

	return root;
}

static void leaf_append(struct mm_iommu_leaf *leaf, unsigned long start,
			unsigned long end, void *item)
{
	unsigned long i = leaf->nr_ranges++;

	leaf->start[i] = start;
	leaf->end[i] = end;
	leaf->item[i] = item;
	leaf->nr_live++;
}

static void leaf_init(struct mm_iommu_leaf *leaf, unsigned long from)
{
	leaf->nr_ranges = 0;
	leaf->nr_live = 0;
	leaf->from = from;
}

/**
 * struct group - slots that share a leaf
 * @first: the first one
 * @end: the one behind the last one
 */
struct group {
	unsigned long first;
	unsigned long end;
};

static struct group group_of(const struct mm_iommu_root *root, unsigned long s)
{
	const struct mm_iommu_leaf *leaf = root->slot[s].leaf;
	struct group group = { s, s + 1 };

	while (group.first && root->slot[group.first - 1].leaf == leaf)
		group.first--;
	while (group.end < root->nr_slots && root->slot[group.end].leaf == leaf)
		group.end++;

	return group;
}

/* Have another leaf in all slots of a group, and free the one that is there. */
static void group_set(struct mm_iommu_root *root, struct group group,
		      struct mm_iommu_leaf *leaf)
{
	struct mm_iommu_leaf *old = root->slot[group.first].leaf;
	unsigned long s;

	for (s = group.first; s < group.end; s++) {
		/* With the address dependency of mm_iommu_index_find(). */
		smp_store_release(&root->slot[s].leaf, leaf);
	}
	mm_iommu_free_deferred(&old->rcu);
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

	leaf_init(low, from->from);
	if (high)
		leaf_init(high, 0);

	for (i = 0; i < from->nr_ranges; i++) {
		if (!placed && start < from->start[i]) {
			if (to->nr_ranges == nr_low && high)
				to = high;
			leaf_append(to, start, end, item);
			placed = true;
		}
		if (mm_iommu_range_is_removed(from, i))
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

static int insert_first(struct mm_iommu_index *index,
			struct mm_iommu_spare *spare, unsigned long start,
			unsigned long end, void *item)
{
	struct mm_iommu_leaf *leaf;
	struct mm_iommu_root *root;

	if (!spare_suffices(spare, 1, 1))
		return -EAGAIN;

	leaf = take_leaf(spare, 0);
	root = take_root(spare);
	leaf_init(leaf, 0);
	leaf_append(leaf, start, end, item);
	root->nr_slots = 1;
	root->slot[0].start = 0;
	root->slot[0].leaf = leaf;
	/* With the address dependency of mm_iommu_index_find(). */
	smp_store_release(&index->root, root);

	return 0;
}

static unsigned long nr_groups(const struct mm_iommu_root *root)
{
	unsigned long s = 0, nr = 0;

	for (; s < root->nr_slots; s = group_of(root, s).end)
		nr++;

	return nr;
}

static void root_append(struct mm_iommu_root *root, unsigned long start,
			struct mm_iommu_leaf *leaf)
{
	struct mm_iommu_slot *slot = &root->slot[root->nr_slots++];

	slot->start = start;
	slot->leaf = leaf;
}

/*
 * A copy with a slot for each group, and two leaves where @old_leaf was. It has
 * room for that.
 */
static void root_split(struct mm_iommu_root *root,
		       const struct mm_iommu_root *old,
		       const struct mm_iommu_leaf *old_leaf,
		       struct mm_iommu_leaf *low, struct mm_iommu_leaf *high)
{
	unsigned long s;

	root->nr_slots = 0;
	for (s = 0; s < old->nr_slots; s = group_of(old, s).end) {
		const struct mm_iommu_slot *slot = &old->slot[s];

		if (slot->leaf != old_leaf) {
			root_append(root, slot->start, slot->leaf);
			continue;
		}
		root_append(root, slot->start, low);
		root_append(root, high->from, high);
	}
}

static int insert_split(struct mm_iommu_index *index,
			struct mm_iommu_spare *spare, unsigned long s,
			unsigned long start, unsigned long end, void *item)
{
	struct mm_iommu_root *split, *root = index->root;
	struct mm_iommu_leaf *leaf = root->slot[s].leaf;
	struct mm_iommu_leaf *low, *high;
	unsigned long nr_low;

	if (!spare_suffices(spare, 2, nr_groups(root) + 1))
		return -EAGAIN;

	low = take_leaf(spare, 0);
	high = take_leaf(spare, 1);
	split = take_root(spare);

	/* Memory is mostly registered in ascending order: keep leaves full. */
	nr_low = MM_IOMMU_LEAF_RANGES / 2;
	if (s == root->nr_slots - 1 && start > leaf->start[leaf->nr_ranges - 1])
		nr_low = MM_IOMMU_LEAF_RANGES;

	leaf_spread(leaf, low, high, nr_low, start, end, item);
	high->from = high->start[0];
	root_split(split, root, leaf, low, high);

	/* With the address dependency of mm_iommu_index_find(). */
	smp_store_release(&index->root, split);
	mm_iommu_free_deferred(&leaf->rcu);
	mm_iommu_free_deferred(&root->rcu);

	return 0;
}

/**
 * mm_iommu_index_insert - add a range
 * @index: the index
 * @spare: memory for that, from mm_iommu_index_prepare()
 * @start: first byte of the range
 * @end: byte after it, above @start
 * @item: what a lookup in the range returns, not NULL
 *
 * Context: Any but real mode. Writers are excluded. The range overlaps none in
 *	    there. Takes no memory but @spare's.
 * Return: 0, or -EAGAIN with the index as it was: @spare says now how much
 *	   memory it takes; get that, and try again.
 */
int mm_iommu_index_insert(struct mm_iommu_index *index,
			  struct mm_iommu_spare *spare, unsigned long start,
			  unsigned long end, void *item)
{
	struct mm_iommu_root *root = index->root;
	struct mm_iommu_leaf *leaf, *copy;
	unsigned long s;

	if (!root)
		return insert_first(index, spare, start, end, item);

	s = mm_iommu_slot_of(root, start);
	leaf = root->slot[s].leaf;
	if (leaf->nr_live == MM_IOMMU_LEAF_RANGES)
		return insert_split(index, spare, s, start, end, item);

	if (!spare_suffices(spare, 1, 0))
		return -EAGAIN;

	copy = take_leaf(spare, 0);
	leaf_spread(leaf, copy, NULL, MM_IOMMU_LEAF_RANGES, start, end, item);
	group_set(root, group_of(root, s), copy);

	return 0;
}

/*
 * Take out the leaf of a group whose ranges are all marked. From now on the
 * group before it answers for its addresses, where that has no ranges. If there
 * is none before it, the group behind answers, and begins at address 0 then.
 */
static void drop_leaf(struct mm_iommu_index *index, struct group group)
{
	struct mm_iommu_root *root = index->root;

	if (group.first) {
		group_set(root, group, root->slot[group.first - 1].leaf);
		return;
	}

	if (group.end < root->nr_slots) {
		WRITE_ONCE(root->slot[group.end].leaf->from, 0);
		group_set(root, group, root->slot[group.end].leaf);
		return;
	}

	WRITE_ONCE(index->root, NULL);
	mm_iommu_free_deferred(&root->slot[0].leaf->rcu);
	mm_iommu_free_deferred(&root->rcu);
}

/**
 * mm_iommu_index_remove - take a range out
 * @index: the index
 * @start: first byte of a range that is in the index
 *
 * Readers that are under way may still find the item.
 *
 * Context: Any but real mode. Writers are excluded. Takes no memory, cannot
 *	    fail.
 */
void mm_iommu_index_remove(struct mm_iommu_index *index, unsigned long start)
{
	struct mm_iommu_root *root = index->root;
	unsigned long s = mm_iommu_slot_of(root, start);
	struct mm_iommu_leaf *leaf = root->slot[s].leaf;
	long i = mm_iommu_last_not_above(leaf->start, leaf->nr_ranges, start);

	WRITE_ONCE(leaf->end[i], leaf->start[i]);
	if (!--leaf->nr_live)
		drop_leaf(index, group_of(root, s));
}

/**
 * mm_iommu_index_next - the item of the first range from an address on
 * @index: the index
 * @addr: any address
 *
 * Ranges that come or go meanwhile may be missed or not.
 *
 * Context: Any; lock-free. As mm_iommu_index_find().
 * Return: the item, NULL when no range begins at @addr or behind.
 */
void *mm_iommu_index_next(const struct mm_iommu_index *index,
			  unsigned long addr)
{
	const struct mm_iommu_root *root = READ_ONCE(index->root);
	const struct mm_iommu_leaf *leaf, *last = NULL;
	unsigned long s, i;

	if (!root)
		return NULL;

	s = mm_iommu_slot_of(root, addr);
	for (; s < root->nr_slots; s++, last = leaf) {
		leaf = READ_ONCE(root->slot[s].leaf);
		for (i = 0; leaf != last && i < leaf->nr_ranges; i++) {
			if (leaf->start[i] >= addr &&
			    !mm_iommu_range_is_removed(leaf, i))
				return READ_ONCE(leaf->item[i]);
		}
	}

	return NULL;
}

/**
 * mm_iommu_index_destroy - free an index
 * @index: the index; items that are in there are the caller's
 *
 * Context: Any. No reader, no writer.
 */
void mm_iommu_index_destroy(struct mm_iommu_index *index)
{
	unsigned long s;

	if (!index->root)
		return;

	for (s = 0; s < index->root->nr_slots; s = group_of(index->root, s).end)
		kfree(index->root->slot[s].leaf);
	kfree(index->root);
	index->root = NULL;
}
