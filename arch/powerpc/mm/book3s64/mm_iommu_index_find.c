// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Index of registered regions by userspace address: what is left of a lookup
 * where ranges were removed.
 *
 * See mm_iommu_index.c. The rules of real mode hold, see
 * arch/powerpc/kvm/book3s_64_vio_hv.c.
 */

#include "mm_iommu_index.h"

/**
 * mm_iommu_index_find_before - go on with mm_iommu_index_find()
 * @root: the leaves
 * @s: the slot that answers for @addr
 * @addr: any address
 *
 * The last range before @addr was removed, or begins in a slot before @s.
 *
 * Context: As mm_iommu_index_find().
 * Return: The same.
 */
void *mm_iommu_index_find_before(const struct mm_iommu_root *root,
				 unsigned long s, unsigned long addr)
{
	for (;;) {
		const struct mm_iommu_leaf *leaf;
		unsigned long from;
		long i;

		leaf = READ_ONCE(root->slot[s].leaf);
		i = mm_iommu_last_not_above(leaf->start, leaf->nr_ranges, addr);
		for (; i >= 0; i--) {
			unsigned long end = READ_ONCE(leaf->end[i]);

			if (end == leaf->start[i])
				continue;
			return addr < end ? READ_ONCE(leaf->item[i]) : NULL;
		}

		from = READ_ONCE(leaf->from);
		if (!from)
			return NULL;
		s = mm_iommu_slot_of(root, from - 1);
	}
}
