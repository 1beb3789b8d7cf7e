/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The owner of an iommu_table: a process that maps its own memory.
 *
 * Everything that changes an entry of an owned table goes through here or, for
 * lists of hypercalls, through kernel/tce/list.h.
 */
#ifndef _ASM_POWERPC_TCE_OWNER_H
#define _ASM_POWERPC_TCE_OWNER_H

#include <linux/list.h>
#include <linux/math.h>
#include <linux/types.h>

struct iommu_table;
struct mm_struct;
struct module;
struct tce_dense;
struct tce_owner;

/**
 * struct tce_stash - arrays for chunks of a view that become dense
 * @first: the first of them, NULL if there is none
 *
 * Filled before chunks are locked, emptied after. {} is an empty one.
 */
struct tce_stash {
	struct tce_dense *first;
};

/**
 * struct tce_user - one who uses an owned table beside its owner
 * @next: in the owner's list; empty when it is in none
 * @owner: the module that @close is in
 * @close: called once when the window goes, without locks of the owner but the
 *	   one of its list: ends the use of the table, and waits until that has
 *	   ended. May free the user
 */
struct tce_user {
	struct list_head next;
	struct module *owner;
	void (*close)(struct tce_user *user);
};

/**
 * tce_view_max_bytes - what the view of a table may grow to
 * @nr_entries: entries of the table
 *
 * Context: Any.
 * Return: bytes: an address for each entry, and the tree of chunk words with
 *	   nodes of 4 KiB.
 */
static inline unsigned long tce_view_max_bytes(unsigned long nr_entries)
{
	unsigned long words = DIV_ROUND_UP(nr_entries, 1024), bytes;

	bytes = words * 8192;
	do {
		words = DIV_ROUND_UP(words, 512);
		bytes += words * 4096;
	} while (words > 1);

	return bytes;
}

#ifdef CONFIG_SPAPR_TCE_IOMMU
int tce_owner_take(struct iommu_table *tbl, struct mm_struct *mm,
		   bool registered);
void tce_owner_close(struct iommu_table *tbl);
void tce_owner_end_users(struct iommu_table *tbl);
void tce_owner_free(struct iommu_table *tbl);
struct mm_struct *tce_owner_mm(const struct iommu_table *tbl);

int tce_user_add(struct iommu_table *tbl, struct tce_user *user);
bool tce_user_del(struct iommu_table *tbl, struct tce_user *user);

int tce_map(struct iommu_table *tbl, unsigned long entry, unsigned long nr,
	    unsigned long ua, unsigned long perm);
int tce_unmap(struct iommu_table *tbl, unsigned long entry, unsigned long nr);
int tce_unmap_uninterruptible(struct iommu_table *tbl, unsigned long entry,
			      unsigned long nr);

int tce_stash_add(struct tce_stash *stash, unsigned long nr);
void tce_stash_empty(struct tce_stash *stash);
#else
static inline void tce_owner_free(struct iommu_table *tbl) { }
#endif

#endif /* _ASM_POWERPC_TCE_OWNER_H */
