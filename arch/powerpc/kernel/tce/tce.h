/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The owner of an iommu_table: what virtual and real mode share.
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

#include "view.h"

/**
 * struct tce_owner - who owns a table, and what was mapped from where
 * @mm: the process; its struct is kept
 * @registry: its registered memory; NULL if it pins pages as it maps
 * @closed: nothing can be mapped any more. Read under a chunk's lock
 * @view: entry -> userspace address; unused without @registry
 * @pinned_lock: serialises everything without @registry. Outside mmap_lock
 * @users_lock: guards @users and @no_users. Outside of locks of KVM
 * @users: LIOBNs that use the table
 * @no_users: nor will there be any: the window goes
 * @span_lock: guards @spans; innermost. From here on written by every operation
 *	       over several chunks, so apart from what all operations read
 * @spans: operations over several chunks
 * @span_wait: for those that overlap one
 * @debugfs: its file
 * @pid: the process, as it took the table
 * @tbl: the table
 * @checked: in the list of all owners
 */
struct tce_owner {
	struct mm_struct *mm;
	struct mm_iommu *registry;
	bool closed;
	struct tce_view view;
	struct mutex pinned_lock; /* entries, without @registry */
	struct mutex users_lock; /* @users */
	struct list_head users;
	bool no_users;
	spinlock_t span_lock ____cacheline_aligned_in_smp; /* @spans */
	struct list_head spans;
	wait_queue_head_t span_wait;
#ifdef CONFIG_DEBUG_FS
	struct dentry *debugfs;
	pid_t pid;
#endif
#ifdef CONFIG_SPAPR_TCE_CHECK
	struct iommu_table *tbl;
	struct list_head checked;
#endif
};

void tce_users_close(struct tce_owner *owner);

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

/* The part of @nr entries from @ua on that lies in @region. */
static __always_inline unsigned long
entries_in(const struct iommu_table *tbl, const struct mm_iommu_region *region,
	   unsigned long ua, unsigned long nr)
{
	return min(nr, (mm_iommu_end(region) - ua) >> tbl->it_page_shift);
}

#endif /* _POWERPC_TCE_H */
