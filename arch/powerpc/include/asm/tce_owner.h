/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The owner of an iommu_table: a process that maps its own memory.
 *
 * Everything that changes an entry of an owned table goes through here, be it
 * an ioctl of VFIO or a hypercall of a guest.
 */
#ifndef _ASM_POWERPC_TCE_OWNER_H
#define _ASM_POWERPC_TCE_OWNER_H

#include <linux/list.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/types.h>

#include <asm/mm_iommu.h>

struct iommu_table;
struct mm_struct;
struct tce_dense;
struct tce_owner;

/* Regions whose entries wait for the kill in a batch. */
#define TCE_BATCH_REGIONS	8

/**
 * struct tce_gone - entries that were cleared, but not yet killed
 * @region: where they pointed; alive, for they are still counted
 * @nr: how many
 */
struct tce_gone {
	struct mm_iommu_region *region;
	unsigned long nr;
};

/**
 * struct tce_span - entries that one operation over several chunks works on
 * @next: in the owner's list
 * @first: first chunk
 * @last: last chunk
 */
struct tce_span {
	struct list_head next;
	unsigned long first;
	unsigned long last;
};

/**
 * struct tce_batch - one operation on the entries of an owned table
 * @tbl: the table
 * @owner: its owner
 * @span: keeps out other operations over several chunks; unused in one chunk
 * @kill_first: first entry changed since the last kill
 * @kill_end: entry after the last such; not above @kill_first if none
 * @new_ua: first address of @new_region
 * @new_bytes: its size; 0 if not known
 * @new_region: region that the last mapped address lies in. To be touched only
 *		for addresses in it for which an entry is counted
 * @nr_gone: elements of @gone in use
 * @gone: entries to uncount after the kill
 * @nr_spare: elements of @spare in use
 * @spare: arrays for chunks that get dense
 */
struct tce_batch {
	struct iommu_table *tbl;
	struct tce_owner *owner;
	struct tce_span span;
	unsigned long kill_first;
	unsigned long kill_end;
	unsigned long new_ua;
	unsigned long new_bytes;
	struct mm_iommu_region *new_region;
	unsigned int nr_gone;
	struct tce_gone gone[TCE_BATCH_REGIONS];
	unsigned int nr_spare;
	struct tce_dense *spare[2];
};

/**
 * struct tce_user - one who uses an owned table beside its owner
 * @next: in the owner's list; empty when it is in none
 * @close: called once when the window goes, without locks of the owner but the
 *	   one of its list: ends the use of the table, and waits until that has
 *	   ended. May free the user
 */
struct tce_user {
	struct list_head next;
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
void tce_owner_free(struct iommu_table *tbl);
struct mm_struct *tce_owner_mm(const struct iommu_table *tbl);

int tce_user_add(struct iommu_table *tbl, struct tce_user *user);
bool tce_user_del(struct iommu_table *tbl, struct tce_user *user);

int tce_map(struct iommu_table *tbl, unsigned long entry, unsigned long nr,
	    unsigned long ua, unsigned long perm);
int tce_unmap(struct iommu_table *tbl, unsigned long entry, unsigned long nr);

int tce_grow(struct iommu_table *tbl, unsigned long entry, unsigned long nr);
void tce_batch_begin(struct tce_batch *batch, struct iommu_table *tbl,
		     unsigned long entry, unsigned long nr);
void tce_batch_unmap(struct tce_batch *batch, unsigned long entry,
		     unsigned long nr);
void tce_batch_end(struct tce_batch *batch);
#else
static inline void tce_owner_free(struct iommu_table *tbl) { }
#endif

#endif /* _ASM_POWERPC_TCE_OWNER_H */
