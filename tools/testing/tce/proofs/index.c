// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The searches of mm_iommu_index.h, for any addresses: in a leaf, and in a
 * root of eight slots.
 */

#include "arch/powerpc/mm/book3s64/mm_iommu_index.c"

#include "proofs.h"

#define NR_STARTS	8

void *kmalloc(size_t bytes, gfp_t gfp)
{
	return NULL;
}

void kfree(const void *object) { }
void mm_iommu_free_deferred(struct rcu_head *head) { }

/*
 * In a leaf, the last start that is not above the address. Starts and address
 * are compared with each other, and nothing else: bytes have all orders of
 * them. Eight of them: with 84, as many as a leaf has, it takes too long.
 *
 * Unwind: 5
 * Flags: --unwindset leaf.0:9
 * Fault: mm/book3s64/mm_iommu_index.h:
 *     if (start[low + half] <= addr) -> if (start[low + half] < addr)
 */
void leaf(void)
{
	static unsigned long start[NR_STARTS];
	unsigned long nr = any_uchar(), addr = any_uchar(), i;
	long found;

	assume(nr && nr <= NR_STARTS);
	for (i = 0; i < NR_STARTS; i++) {
		start[i] = any_uchar();
		assume(!i || i >= nr || start[i - 1] < start[i]);
	}

	found = mm_iommu_last_not_above(start, nr, addr);
	prove(found >= -1 && found < (long)nr);
	prove(found < 0 || start[found] <= addr);
	prove(found + 1 == (long)nr || start[found + 1] > addr);
}

/*
 * In a root, the last slot that starts not above the address; the first one
 * answers for all below.
 *
 * Unwind: 10
 * Fault: mm/book3s64/mm_iommu_index.h:
 *     nr = root->nr_slots; -> nr = root->nr_slots - 1;
 */
void slot(void)
{
	static struct {
		struct mm_iommu_root root;
		struct mm_iommu_slot slot[8];
	} all;
	struct mm_iommu_root *root = &all.root;
	unsigned long addr = any_ulong(), found, i;

	root->nr_slots = any_ulong();
	assume(root->nr_slots && root->nr_slots <= 8);
	for (i = 0; i < 8; i++) {
		root->slot[i].start = i ? any_ulong() : 0;
		assume(!i || i >= root->nr_slots ||
		       root->slot[i - 1].start < root->slot[i].start);
	}

	found = mm_iommu_slot_of(root, addr);
	prove(found < root->nr_slots);
	prove(root->slot[found].start <= addr);
	prove(found + 1 == root->nr_slots || root->slot[found + 1].start > addr);
}
