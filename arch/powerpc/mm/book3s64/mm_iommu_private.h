/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared by the files of registered memory.
 */
#ifndef _MM_IOMMU_PRIVATE_H
#define _MM_IOMMU_PRIVATE_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <asm/mm_iommu.h>

#include "mm_iommu_index.h"

/**
 * struct mm_iommu - the registered memory of one mm
 * @mm: the mm; it owns this structure
 * @lock: serialises everything but pinning, lookups and counts. Held for short:
 *	  memory is allocated, pinned, unpinned and charged without it.
 *	  mmap_lock is not taken in it
 * @index: the regions by userspace address
 * @idle: regions without a reference that still have entries
 * @nr_idle: how many
 * @uncounted: how often the last entry of one of @idle was uncounted
 * @reaped: @uncounted before all of @idle were looked at
 * @soon: @reap is queued, to run soon
 * @reap: gives these up; keeps the struct of the mm while it is queued
 * @pinning_lock: the list @pinning
 * @pinning: ranges that are being registered, in the order of their calls
 * @pinning_wait: calls that wait for one before them
 * @all: in the list of all registries
 */
struct mm_iommu {
	struct mm_struct *mm;
	struct mutex lock; /* all but pinning, lookups and counts */
	struct mm_iommu_index index;
	struct list_head idle;
	unsigned long nr_idle;
	atomic_t uncounted;
	int reaped;
	bool soon;
	struct delayed_work reap;
	spinlock_t pinning_lock; /* @pinning */
	struct list_head pinning;
	wait_queue_head_t pinning_wait;
#ifdef CONFIG_SPAPR_TCE_CHECK
	struct list_head all;
#endif
};

void mm_iommu_reap_soon(struct mm_iommu *registry);

/**
 * mm_iommu_word - a word of a region
 * @region: the region
 * @i: which one, see struct mm_iommu_region
 *
 * Context: Any, real mode included.
 * Return: where it is.
 */
static inline u64 *mm_iommu_word(const struct mm_iommu_region *region,
				 unsigned long i)
{
	return &region->blocks[i >> MM_IOMMU_BLOCK_SHIFT]
			      [i & (MM_IOMMU_BLOCK_WORDS - 1)];
}

/**
 * mm_iommu_nr_blocks - how many blocks some words take
 * @nr_words: how many words
 *
 * Context: Any, real mode included.
 * Return: how many blocks.
 */
static inline unsigned long mm_iommu_nr_blocks(unsigned long nr_words)
{
	return (nr_words + MM_IOMMU_BLOCK_WORDS - 1) >> MM_IOMMU_BLOCK_SHIFT;
}

/**
 * mm_iommu_words_in_block - how many words a block has
 * @nr_words: how many there are in all blocks
 * @block: which block
 *
 * Context: Any, real mode included.
 * Return: how many words: all blocks but the last one are full.
 */
static inline unsigned long mm_iommu_words_in_block(unsigned long nr_words,
						    unsigned long block)
{
	return min(MM_IOMMU_BLOCK_WORDS,
		   nr_words - (block << MM_IOMMU_BLOCK_SHIFT));
}

/**
 * mm_iommu_run_pages - the size of a run
 * @region: a region that is kept as runs
 * @i: which run
 *
 * Context: Any, real mode included.
 * Return: pages of PAGE_SIZE.
 */
static inline unsigned long
mm_iommu_run_pages(const struct mm_iommu_region *region, unsigned long i)
{
	unsigned long end = region->nr_pages;

	if (i + 1 < region->nr_runs)
		end = *mm_iommu_word(region, 2 * (i + 1));

	return end - *mm_iommu_word(region, 2 * i);
}

#endif /* _MM_IOMMU_PRIVATE_H */
