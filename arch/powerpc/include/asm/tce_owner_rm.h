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
 * @kill_first: first entry changed since the last kill
 * @kill_end: entry after the last such; not above @kill_first if none
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
	unsigned long kill_first;
	unsigned long kill_end;
	unsigned int nr_gone;
	struct tce_gone gone[TCE_TRY_REGIONS];
};

/**
 * struct tce_list - consecutive entries that are to change
 * @tbl: the table
 * @entry: the first of them; all lie in the table
 * @nr: how many, up to TCE_TRY_MAX
 * @nr_mapped: how many of them are to be mapped; tce_list_hold() finds out
 * @ua: for each the userspace address, aligned to an IOMMU page, and permission
 *	bits; 0 to unmap it
 * @tce: for each what goes to the table, from tce_list_hold() on
 */
struct tce_list {
	struct iommu_table *tbl;
	unsigned long entry;
	unsigned long nr;
	unsigned long nr_mapped;
	u64 *ua;
	u64 *tce;
};

/**
 * tce_copy - copy entries, each by one store
 * @to: where to
 * @from: where from; does not overlap
 * @nr: how many
 *
 * Context: Any, real mode included: memcpy() may use vector registers.
 */
static __always_inline void tce_copy(u64 *to, const u64 *from, unsigned long nr)
{
	for (; nr >= 4; nr -= 4, to += 4, from += 4) {
		WRITE_ONCE(to[0], from[0]);
		WRITE_ONCE(to[1], from[1]);
		WRITE_ONCE(to[2], from[2]);
		WRITE_ONCE(to[3], from[3]);
	}
	for (; nr; nr--)
		WRITE_ONCE(*to++, *from++);
}

/* What real mode does at once, and therefore others too: a page of TCEs. */
#define TCE_TRY_MAX		512UL

/**
 * struct tce_walk - the counting and translation of a list, entry by entry
 * @list: the list
 * @hold: count what is translated
 * @perm: permissions of entries in @region, among other bits
 * @nr_unmapped: entries until now that are not to be mapped
 * @region: where the last address was; NULL at first
 * @held: how many entries were counted in it
 * @held_from: how many entries to be mapped came before these
 */
struct tce_walk {
	struct tce_list *list;
	bool hold;
	u64 perm;
	unsigned long nr_unmapped;
	struct mm_iommu_region *region;
	unsigned long held;
	unsigned long held_from;
};

/**
 * tce_walk_begin - begin to count and translate a list
 * @w: the walk; on the stack
 * @list: the list, without @nr_mapped, and with @ua and @tce yet to be filled in
 * @hold: count what is translated
 *
 * For callers who can do better than to fill in addresses before they call
 * tce_list_hold(). Of each entry's address, tce_walk_find() has to be asked if
 * it is not in the run of the last; @perm and @nr_unmapped are theirs to keep.
 *
 * Context: As tce_list_hold().
 */
static __always_inline void tce_walk_begin(struct tce_walk *w,
					   struct tce_list *list, bool hold)
{
	w->list = list;
	w->hold = hold;
	w->perm = 0;
	w->nr_unmapped = 0;
	w->region = NULL;
}

bool tce_walk_find(struct tce_walk *w, unsigned long i, unsigned long ua,
		   struct mm_iommu_run *run);
bool tce_walk_end(struct tce_walk *w, unsigned long i);
bool tce_list_hold(struct tce_list *list);
void tce_list_translate(struct tce_list *list);
void tce_list_release(const struct tce_list *list);
int tce_list_commit(struct tce_try *try, const struct tce_list *list,
		    struct tce_dense **spare);
bool tce_try_list(const struct tce_list *list, bool real_mode);
bool tce_try_one(struct iommu_table *tbl, unsigned long entry, u64 ua,
		 bool real_mode);
unsigned long tce_chunk_left(const struct iommu_table *tbl,
			     unsigned long entry);
int tce_list_begin(struct tce_try *try, struct iommu_table *tbl,
		   unsigned long entry, struct tce_dense **spare);
void tce_list_end(struct tce_try *try);

int tce_try_begin(struct tce_try *try, struct iommu_table *tbl,
		  unsigned long entry, unsigned long nr, bool real_mode);
bool tce_try_prepare(const struct tce_try *try, unsigned long entry,
		     unsigned long nr);
void tce_try_unmap(struct tce_try *try, unsigned long entry, unsigned long nr);
void tce_try_end(struct tce_try *try);

const void *tce_rm_memory(struct iommu_table *tbl, unsigned long ua,
			  struct mm_iommu_region **pregion);

#endif /* _ASM_POWERPC_TCE_OWNER_RM_H */
