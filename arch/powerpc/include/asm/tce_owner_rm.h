/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The owner of an iommu_table: changes that wait for nothing.
 */
#ifndef _ASM_POWERPC_TCE_OWNER_RM_H
#define _ASM_POWERPC_TCE_OWNER_RM_H

#include <linux/types.h>

#include <asm/tce_owner.h>

/* Regions whose entries wait for the kill. */
#define TCE_TRY_REGIONS		2

/**
 * struct tce_try - one operation on the entries of an owned table
 * @tbl: the table
 * @owner: its owner
 * @kill: how to invalidate entries; NULL if there is no need
 * @chunk_entry: first entry of the chunk that all entries are in
 * @word: the chunk's word, locked; NULL if it does not exist, and is not locked
 * @value: what the word says
 * @nr_prepared: how often tce_try_prepare() was called
 * @kill_first: first entry changed since the last kill
 * @kill_end: entry after the last such; not above @kill_first if none
 * @region: the region in which something was counted last, or NULL
 * @nr_gone: elements of @gone in use
 * @gone: entries to uncount after the kill
 */
struct tce_try {
	struct iommu_table *tbl;
	struct tce_owner *owner;
	void (*kill)(struct iommu_table *tbl, unsigned long entry,
		     unsigned long nr);
	unsigned long chunk_entry;
	unsigned long *word;
	unsigned long value;
	unsigned int nr_prepared;
	unsigned long kill_first;
	unsigned long kill_end;
	struct mm_iommu_region *region;
	unsigned int nr_gone;
	struct tce_gone gone[TCE_TRY_REGIONS];
};

bool tce_try_begin(struct tce_try *try, struct iommu_table *tbl,
		   unsigned long entry, unsigned long nr, bool real_mode);
bool tce_try_prepare(struct tce_try *try, unsigned long entry,
		     unsigned long nr, unsigned long ua, unsigned long perm);
void tce_try_release(struct tce_try *try, unsigned long ua, unsigned long nr);
void tce_try_map(struct tce_try *try, unsigned long entry, unsigned long nr,
		 unsigned long ua, unsigned long perm);
void tce_try_unmap(struct tce_try *try, unsigned long entry, unsigned long nr);
void tce_try_end(struct tce_try *try);

const void *tce_rm_memory(struct iommu_table *tbl, unsigned long ua,
			  struct mm_iommu_region **pregion);

#endif /* _ASM_POWERPC_TCE_OWNER_RM_H */
