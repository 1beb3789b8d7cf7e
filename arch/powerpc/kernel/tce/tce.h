/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owned TCE tables: what the files of this folder share.
 *
 * An entry of an owned table exists in three places: as a TCE in the table, as
 * a userspace address in the owner's view, and as a count in the region that
 * the address lies in. The files here are the only ones that change them:
 *
 *   owner.c    takes, closes and frees tables; tce_map() and tce_unmap()
 *   users.c    LIOBNs that use a table, and are told when it is closed
 *   range.c    operations that may wait, over any number of chunks
 *   list.c     lists of hypercalls: counts and translates them. Real mode
 *   chunk.c    maps and unmaps entries of one chunk. Real mode
 *   gather.c   kills what was cleared, then uncounts it. Real mode
 *   view.c     entry -> userspace address: the words of all chunks
 *   state.c    how the word of a chunk changes. Real mode
 *   pinned.c   owners that pin pages as they map them (VFIO_SPAPR_TCE_IOMMU)
 *   check.c, debugfs.c   look on
 *
 * They keep:
 *
 *  1. A TCE is non-zero exactly when its view entry is, and one count is held
 *     for it. TCE and view entry change under the lock of the entry's chunk;
 *     it is counted before, and uncounted after.
 *  2. It is uncounted only after the IOMMU can no longer use the entry: clear,
 *     kill, then uncount. gather.c is the one place that does it.
 *  3. All that can fail does so before anything changes. Only a hypervisor can
 *     refuse later: then entries of the request are empty, or as they were, or
 *     stay mapped and counted if it refuses to clear them.
 *
 * Words:
 *
 *   entry     a TCE by its number: bus address >> it_page_shift. The first one
 *	       of a table is it_offset
 *   chunk     TCE_CHUNK_ENTRIES entries with a lock in common
 *   index     an entry by its place in its chunk, from 0; also "first", "last"
 *   last      the last one, included; an "end" is not
 *   nr        how many
 *   piece     entries of one chunk, mapped to consecutive addresses
 *   state     what the word of a chunk says: empty, linear or dense; see view.h
 *   ua, hpa   userspace address, physical address
 *   region    memory that was registered at once, see asm/mm_iommu.h
 *   run       memory that is contiguous, physically
 *   extent    memory of a region that is translated without another look: a
 *	       run, or a block of the words that a region without runs has
 *   count     say in a region that an entry points, or is about to point, there
 *   uncount   undo that: from here on the region can be unpinned
 *   kill      invalidate what a PHB has cached of an entry
 *   array     what a dense chunk has; waits in a stash while no chunk has it
 *   range     entries of one operation, whose chunks other ranges keep off
 */
#ifndef _POWERPC_TCE_H
#define _POWERPC_TCE_H

#include <linux/cache.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/tce.h>
#include <asm/tce_owner.h>

#include "list.h"
#include "view.h"

/* Regions whose entries wait for the kill. */
#define TCE_GATHER_REGIONS	8

/**
 * struct tce_owner_ops - what owners of one kind do
 * @version: of the container's API: 1 pins pages as it maps, 2 maps registered
 *	     memory
 * @map: as tce_map(), for entries of the table
 * @unmap: as tce_unmap(), for entries of the table, with TCE_OP_UNINTERRUPTIBLE
 *	   as tce_unmap_uninterruptible()
 * @close: as tce_owner_close()
 */
struct tce_owner_ops {
	unsigned int version;
	int (*map)(struct iommu_table *tbl, unsigned long entry,
		   unsigned long nr, unsigned long ua, unsigned long perm);
	int (*unmap)(struct iommu_table *tbl, unsigned long entry,
		     unsigned long nr, unsigned int flags);
	void (*close)(struct iommu_table *tbl);
};

extern const struct tce_owner_ops tce_registered_ops;
extern const struct tce_owner_ops tce_pinned_ops;

/* Entries of an owner without registered memory that are killed at once. */
#define TCE_PINNED_BATCH	512UL

/* How many CPUs that hold chunks are kept in mind, see yield_to_holder(). */
#define TCE_HOLDERS		16

/**
 * struct tce_owner - who owns a table, and what was mapped from where
 * @ops: what it does
 * @mm: the process; its struct is kept
 * @registry: its registered memory; NULL if it pins pages as it maps
 * @closed: nothing can be mapped any more. Read under a chunk's lock
 * @view: entry -> userspace address; unused without @registry
 * @pinned_lock: serialises everything without @registry. Outside mmap_lock
 * @pinned_old: room for TCE_PINNED_BATCH TCEs that were cleared and are still
 *		pinned, under @pinned_lock: giving up takes no memory. Without
 *		@registry only
 * @users_lock: guards @users and @no_users. Outside of locks of KVM
 * @users: LIOBNs that use the table
 * @no_users: nor will there be any: the window goes
 * @range_lock: guards @ranges; innermost. From here on written by every
 *		operation over several chunks, so apart from what all
 *		operations read
 * @ranges: operations over several chunks, in order of arrival
 * @range_wait: for those that wait for an earlier one
 * @holder: the CPUs that took chunks last, for CPUs that spin. Chunks whose
 *	    numbers have the same remainder share one element. Written only
 *	    where a hypervisor may take the processor away from a CPU
 * @debugfs: its file
 * @pid: the process, as it took the table
 * @tbl: the table
 * @checked: in the list of all owners
 */
struct tce_owner {
	const struct tce_owner_ops *ops;
	struct mm_struct *mm;
	struct mm_iommu *registry;
	bool closed;
	struct tce_view view;
	struct mutex pinned_lock; /* entries, without @registry */
	u64 *pinned_old;
	struct mutex users_lock; /* @users */
	struct list_head users;
	bool no_users;
	spinlock_t range_lock ____cacheline_aligned_in_smp; /* @ranges */
	struct list_head ranges;
	wait_queue_head_t range_wait;
	u16 holder[TCE_HOLDERS];
#ifdef CONFIG_DEBUG_FS
	struct dentry *debugfs;
	pid_t pid;
#endif
#ifdef CONFIG_SPAPR_TCE_CHECK
	struct iommu_table *tbl;
	struct list_head checked;
#endif
};

/* users.c */

void tce_users_close(struct tce_owner *owner);

/* gather.c */

/**
 * struct tce_gone - entries that were cleared, but not yet killed
 * @region: where they pointed; alive, because they are still counted
 * @nr: how many
 */
struct tce_gone {
	struct mm_iommu_region *region;
	unsigned long nr;
};

/**
 * struct tce_gather - what was changed, and is not killed and uncounted yet
 * @tbl: the table
 * @kill: how to kill; NULL if there is no need
 * @kill_first: first entry changed since the last kill
 * @kill_end: entry after the last such; not above @kill_first if none
 * @nr_gone: elements of @gone in use
 * @gone: entries to uncount after the kill
 */
struct tce_gather {
	struct iommu_table *tbl;
	void (*kill)(struct iommu_table *tbl, unsigned long entry,
		     unsigned long nr);
	unsigned long kill_first;
	unsigned long kill_end;
	unsigned int nr_gone;
	struct tce_gone gone[TCE_GATHER_REGIONS];
};

static __always_inline bool is_in_region(const struct mm_iommu_region *region,
					 unsigned long ua)
{
	return region && ua - region->ua < region->nr_pages << PAGE_SHIFT;
}

/* tce_gather_flush() of up to @nr_gone elements of @gone. */
static __always_inline void
tce_gather_kill_and_uncount(struct tce_gather *gather, unsigned int nr_gone)
{
	unsigned int i;

	if (gather->kill_first < gather->kill_end && gather->kill)
		gather->kill(gather->tbl, gather->kill_first,
			     gather->kill_end - gather->kill_first);
	gather->kill_first = ULONG_MAX;
	gather->kill_end = 0;

	for (i = 0; i < nr_gone; i++) {
		if (gather->gone[i].nr)
			mm_iommu_uncount(gather->gone[i].region,
					 gather->gone[i].nr);
	}
	gather->nr_gone = 0;
}

/*
 * Note the one entry that an operation has changed, which pointed to @ua. Its
 * region may well be that of the only element of @gone.
 */
static __always_inline void tce_gather_one(struct tce_gather *gather,
					   unsigned long ua)
{
	struct tce_gone *gone = &gather->gone[0];

	if (!is_in_region(gone->region, ua))
		gone->region = mm_iommu_find(gather->tbl->it_owner->registry,
					     ua);
	gone->nr = 1;
}

void tce_gather_piece(struct tce_gather *gather, unsigned long ua,
		      unsigned long nr);
unsigned long tce_gather_array(struct tce_gather *gather, const u64 *ua,
			       unsigned long nr);
void tce_gather_flush(struct tce_gather *gather);
void tce_uncount_piece(struct iommu_table *tbl, unsigned long ua,
		       unsigned long nr);
void tce_uncount_array(struct iommu_table *tbl, const u64 *ua,
		       unsigned long nr);

static __always_inline void tce_gather_init(struct tce_gather *gather,
					    struct iommu_table *tbl,
					    bool real_mode)
{
	const struct iommu_table_ops *ops = tbl->it_ops;

	gather->tbl = tbl;
	gather->kill = real_mode ? ops->tce_kill_rm : ops->tce_kill;
	gather->kill_first = ULONG_MAX;
	gather->kill_end = 0;
	gather->nr_gone = 0;
}

/* The TCEs of @nr entries from @entry on were changed. */
static __always_inline void tce_gather_changed(struct tce_gather *gather,
					       unsigned long entry,
					       unsigned long nr)
{
	gather->kill_first = min(gather->kill_first, entry);
	gather->kill_end = max(gather->kill_end, entry + nr);
}

/* chunk.c */

/* The operation closes the table: it goes on when others have to stop. */
#define TCE_OP_CLOSE		BIT(0)
/* The operation is done in real mode. */
#define TCE_OP_REAL_MODE	BIT(1)
/* tce_grow() was called for all entries: there is nothing to look for. */
#define TCE_OP_GROWN		BIT(2)
/* The operation is done even if the task is being killed. */
#define TCE_OP_UNINTERRUPTIBLE	BIT(3)
/* The operation has a range that others may wait for. */
#define TCE_OP_RANGE		BIT(4)

/**
 * struct tce_op - an operation, which has one chunk at a time
 * @tbl: the table
 * @owner: its owner
 * @flags: TCE_OP_*
 * @stash: arrays for chunks that get dense, and where those go that are left
 *	   over; NULL if they stay in their chunks, as in real mode
 * @chunk_entry: first entry of the chunk
 * @word: the chunk's word, locked; NULL if it does not exist, and is not locked
 * @state: the chunk's state
 * @region: where the last mapped address is. To be touched only for addresses
 *	    in it for which an entry is counted
 * @region_ua: first address of @region
 * @region_bytes: its size; 0 if there is none
 * @unmapped: some entry of the chunk was unmapped since it was locked
 * @gather: what is to be killed and uncounted
 */
struct tce_op {
	struct iommu_table *tbl;
	struct tce_owner *owner;
	unsigned int flags;
	struct tce_stash *stash;
	unsigned long chunk_entry;
	unsigned long *word;
	unsigned long state;
	struct mm_iommu_region *region;
	unsigned long region_ua;
	unsigned long region_bytes;
	bool unmapped;
	struct tce_gather gather;
};

void tce_op_init(struct tce_op *op, struct iommu_table *tbl,
		 unsigned int flags, struct tce_stash *stash);
int tce_op_begin(struct tce_op *op, unsigned long entry);
int tce_op_map(struct tce_op *op, unsigned long entry, unsigned long nr,
	       unsigned long ua, unsigned long perm);
int tce_op_map_list(struct tce_op *op, const struct tce_list *list);
int tce_op_unmap(struct tce_op *op, unsigned long entry, unsigned long nr);
void tce_op_end(struct tce_op *op);
bool tce_is_contiguous(const struct iommu_table *tbl,
		       const struct mm_iommu_region *region, unsigned long ua,
		       unsigned long nr);
int tce_op_map_now(struct iommu_table *tbl, unsigned long entry,
		   unsigned long nr, unsigned long ua, unsigned long perm,
		   struct tce_stash *stash);
int tce_unmap_one_now(struct iommu_table *tbl, unsigned long entry,
		      struct tce_stash *stash);

/* range.c */

/**
 * struct tce_range - the chunks of an operation over several of them
 * @next: in the owner's list
 * @first: first chunk
 * @last: last chunk; equal to @first if there is nothing to wait for
 */
struct tce_range {
	struct list_head next;
	unsigned long first;
	unsigned long last;
};

int tce_range_begin(struct iommu_table *tbl, struct tce_range *range,
		    unsigned long entry, unsigned long nr, unsigned int flags);
void tce_range_end(struct iommu_table *tbl, struct tce_range *range);
int tce_grow(struct iommu_table *tbl, unsigned long entry, unsigned long nr);
int tce_grow_levels(struct iommu_table *tbl, unsigned long entry,
		    unsigned long nr);

/* Arithmetic */

static __always_inline unsigned long chunk_of(const struct iommu_table *tbl,
					      unsigned long entry)
{
	return (entry - tbl->it_offset) >> TCE_CHUNK_SHIFT;
}

static __always_inline unsigned int
index_in_chunk(const struct iommu_table *tbl, unsigned long entry)
{
	return (entry - tbl->it_offset) & (TCE_CHUNK_ENTRIES - 1);
}

static __always_inline unsigned long chunk_start(const struct iommu_table *tbl,
						 unsigned long chunk)
{
	return tbl->it_offset + (chunk << TCE_CHUNK_SHIFT);
}

/* How many of @nr entries from @entry on are in its chunk. */
static __always_inline unsigned long
entries_in_chunk(const struct iommu_table *tbl, unsigned long entry,
		 unsigned long nr)
{
	return min(nr, TCE_CHUNK_ENTRIES - index_in_chunk(tbl, entry));
}

/* The part of @nr entries from @ua on that lies in @region. */
static __always_inline unsigned long
entries_in_region(const struct iommu_table *tbl,
		  const struct mm_iommu_region *region, unsigned long ua,
		  unsigned long nr)
{
	return min(nr, (mm_iommu_end(region) - ua) >> tbl->it_page_shift);
}

/* The pages of a region get dirty if a device may write to one. */
static __always_inline void note_written(struct mm_iommu_region *region,
					 unsigned long perm)
{
	if ((perm & TCE_PCI_WRITE) && !READ_ONCE(region->written))
		WRITE_ONCE(region->written, true);
}

#endif /* _POWERPC_TCE_H */
