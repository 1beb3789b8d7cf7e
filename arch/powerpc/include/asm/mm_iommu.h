/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that a process has registered for DMA by devices that it drives.
 *
 * A region is pinned and charged once, however many containers registered it
 * and however many IOMMU entries point into it. It counts the entries, and
 * while there is one it stays pinned.
 */
#ifndef _ASM_POWERPC_MM_IOMMU_H
#define _ASM_POWERPC_MM_IOMMU_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/rcupdate.h>
#include <linux/srcu.h>
#include <linux/types.h>

struct mm_struct;
struct mm_iommu;
struct tce_run;

/**
 * struct mm_iommu_extent - memory that is translated with no look at its region
 * @ua: userspace address of the first byte, page aligned
 * @bytes: how many
 * @page: a word of each page, see mm_iommu_word_hpa(); NULL if the pages are
 *	  contiguous
 * @hpa: without @page, physical address of the first byte
 * @word: where the run is kept, see struct mm_iommu_region
 * @last: the last run behind it that mm_iommu_extent_ahead() may look at
 *
 * A run, or, of a region in the dense form, all pages that have a word in one
 * block.
 */
struct mm_iommu_extent {
	unsigned long ua;
	unsigned long bytes;
	const u64 *page;
	unsigned long hpa;
	const u64 *word;
	const u64 *last;
};

/**
 * struct mm_iommu_region - one registered range
 * @rcu: for freeing behind the readers; first, so that it is the object
 * @registry: where it is registered
 * @ua: userspace address of the first byte, page aligned
 * @nr_pages: pages of PAGE_SIZE
 * @entries: IOMMU entries that point here, plus MM_IOMMU_IDLE while @refs is
 *	     0; MM_IOMMU_GONE when there can never be one again
 * @written: a device was allowed to write, so the pages get dirty
 * @refs: containers that registered it; under the registry's lock
 * @idle: in the registry's list while @refs is 0
 * @nr_runs: physically contiguous runs; 0 in the dense form
 * @blocks: words, in blocks of MM_IOMMU_BLOCK_WORDS. Dense: word i is the
 *	    physical address of page i, and, in the bits below PAGE_SHIFT, the
 *	    largest order so that 2^order pages from there on are contiguous.
 *	    Runs: word 2 i is the first page of run i, word 2 i + 1 its physical
 *	    address
 *
 * @seen: entries that point here, as tce/check.c finds them
 *
 * All but @entries, @written, @refs, @idle and @seen are constant while it can
 * be found.
 */
struct mm_iommu_region {
	struct rcu_head rcu;
	struct mm_iommu *registry;
	unsigned long ua;
	unsigned long nr_pages;
	atomic64_t entries;
	bool written;
	unsigned int refs;
	struct list_head idle;
	unsigned long nr_runs;
	u64 **blocks;
#ifdef CONFIG_SPAPR_TCE_CHECK
	u64 seen;
#endif
};

/* Values of @entries below 0: no count comes near them. */
#define MM_IOMMU_GONE		S64_MIN
#define MM_IOMMU_IDLE		(S64_MIN / 2)
#define MM_IOMMU_BLOCK_SHIFT	13
#define MM_IOMMU_BLOCK_WORDS	BIT(MM_IOMMU_BLOCK_SHIFT)

#ifdef CONFIG_SPAPR_TCE_IOMMU
extern struct srcu_struct tce_real_mode_srcu;

void tce_free_deferred(struct rcu_head *head);

struct mm_iommu *mm_iommu_registry(struct mm_struct *mm);
int mm_iommu_register(struct mm_iommu *registry, unsigned long ua,
		      unsigned long nr_pages, struct mm_iommu_region **pregion);
int mm_iommu_unregister(struct mm_iommu_region *region);
void mm_iommu_let_go(struct mm_iommu_region *region);
void mm_iommu_reap(struct mm_struct *mm);
int mm_iommu_charge(struct mm_struct *mm, unsigned long pages);
void mm_iommu_uncounted(struct mm_iommu *registry, s64 entries);
struct mm_iommu_region *mm_iommu_find(const struct mm_iommu *registry,
				      unsigned long ua);
long mm_iommu_translate(const struct mm_iommu_region *region, unsigned long ua,
			unsigned int page_shift, unsigned long nr_entries,
			struct tce_run *runs, unsigned int *nr_runs);
bool mm_iommu_is_whole(const struct mm_iommu_region *region, unsigned long ua,
		       unsigned int page_shift, unsigned long *hpa);
unsigned long mm_iommu_find_hpa(const struct mm_iommu_region *region,
				unsigned long ua);
void mm_iommu_find_extent(const struct mm_iommu_region *region,
			  unsigned long ua, struct mm_iommu_extent *extent);
void mm_iommu_destroy(struct mm_struct *mm);

/* For those who look on: tce/check.c and tce/debugfs.c. */
struct mm_iommu_region *mm_iommu_next(const struct mm_iommu *registry,
				      unsigned long ua);
void mm_iommu_lock(struct mm_iommu *registry);
void mm_iommu_unlock(struct mm_iommu *registry);
struct mm_iommu *mm_iommu_next_registry(struct mm_iommu *registry);

/**
 * mm_iommu_end - the byte after a region
 * @region: the region
 *
 * Context: Any, real mode included.
 * Return: a userspace address.
 */
static inline unsigned long mm_iommu_end(const struct mm_iommu_region *region)
{
	return region->ua + (region->nr_pages << PAGE_SHIFT);
}

/**
 * mm_iommu_entries - how many IOMMU entries point into a region
 * @region: the region
 *
 * Context: Any, real mode included; lock-free.
 * Return: how many are counted at the moment.
 */
static inline s64 mm_iommu_entries(const struct mm_iommu_region *region)
{
	s64 entries = atomic64_read(&region->entries);

	if (entries >= 0)
		return entries;

	return entries == MM_IOMMU_GONE ? 0 : entries - MM_IOMMU_IDLE;
}

/**
 * mm_iommu_hpa - the physical address of a byte
 * @region: the region; the byte lies in it
 * @ua: its userspace address
 *
 * Context: Any, real mode included; lock-free. An entry of the region is
 *	    counted.
 * Return: the physical address.
 */
static __always_inline unsigned long
mm_iommu_hpa(const struct mm_iommu_region *region, unsigned long ua)
{
	/* Huge pages that are registered one by one, for instance. */
	if (region->nr_runs == 1)
		return region->blocks[0][1] + (ua - region->ua);

	return mm_iommu_find_hpa(region, ua);
}

/**
 * mm_iommu_word_hpa - the physical address of a byte of a page
 * @word: word of the page, of a region in the dense form
 * @ua: address of the byte, of which only the bits below PAGE_SHIFT count
 *
 * Context: Any, real mode included.
 * Return: the physical address.
 */
static __always_inline unsigned long mm_iommu_word_hpa(u64 word,
						       unsigned long ua)
{
	/* One instruction. */
	return (word & PAGE_MASK) | (ua & ~PAGE_MASK);
}

/**
 * mm_iommu_extent_hpa - the physical address of a byte
 * @extent: where the byte lies
 * @ua: its userspace address
 *
 * Context: Any, real mode included; lock-free. An entry of the region is
 *	    counted.
 * Return: the physical address.
 */
static __always_inline unsigned long
mm_iommu_extent_hpa(const struct mm_iommu_extent *extent, unsigned long ua)
{
	unsigned long offset = ua - extent->ua;

	if (extent->page)
		return mm_iommu_word_hpa(extent->page[offset >> PAGE_SHIFT],
					 ua);

	return extent->hpa + offset;
}

/* Runs that mm_iommu_extent_ahead() looks at. */
#define MM_IOMMU_EXTENT_STEPS	8UL

/**
 * mm_iommu_extent_ahead - look for an address in the next few runs
 * @region: the region
 * @ua: userspace address in it
 * @extent: a run of it; on success, that of the address
 *
 * Does for addresses that ascend what mm_iommu_find_extent() does, with less.
 * Addresses in @extent are asked for as well, by guests to which two memslots
 * show the same memory; these are not found.
 *
 * Context: Any, real mode included; lock-free. An entry of the region is
 *	    counted.
 * Return: false, with @extent as it was, if it is not in these.
 */
static __always_inline bool
mm_iommu_extent_ahead(const struct mm_iommu_region *region, unsigned long ua,
		      struct mm_iommu_extent *extent)
{
	const u64 *word = extent->word, *limit;
	unsigned long page;

	if (word >= extent->last)
		return false;

	page = (ua - region->ua) >> PAGE_SHIFT;
	if (page < word[2])
		return false;

	limit = min(extent->last, word + 2 * MM_IOMMU_EXTENT_STEPS);
	while (word < limit) {
		word += 2;
		if (page >= word[2])
			continue;

		extent->word = word;
		extent->ua = region->ua + (word[0] << PAGE_SHIFT);
		extent->bytes = (word[2] - word[0]) << PAGE_SHIFT;
		extent->hpa = word[1];
		return true;
	}

	return false;
}

/**
 * mm_iommu_count - count entries that are about to point into a region
 * @region: the region, found in this read-side section
 * @nr_entries: how many
 *
 * Context: Any, real mode included; lock-free.
 * Return: false if the region is going away and takes no entries any more.
 */
static inline bool mm_iommu_count(struct mm_iommu_region *region,
				  unsigned long nr_entries)
{
	return atomic64_add_unless(&region->entries, nr_entries, MM_IOMMU_GONE);
}

/**
 * mm_iommu_uncount - uncount entries that no IOMMU can use any more
 * @region: the region
 * @nr_entries: how many, of those that were counted
 *
 * The region may be unpinned from here on: invariant 3, clear and kill first.
 * The registry lives as long as the owner of the entries, which keeps the mm.
 *
 * Context: Any, real mode included; lock-free.
 */
static inline void mm_iommu_uncount(struct mm_iommu_region *region,
				    unsigned long nr_entries)
{
	struct mm_iommu *registry = region->registry;
	s64 entries;

	/* The cmpxchg of try_give_up() comes after what was before this. */
	entries = atomic64_sub_return_release(nr_entries, &region->entries);
	if (unlikely(entries < 0))
		mm_iommu_uncounted(registry, entries);
}

/*
 * Wait for all that real mode may be doing with what it has found. The caller
 * has waited for RCU, which protects the same on CPUs where it watches guests.
 */
static inline void tce_synchronize_real_mode(void)
{
	synchronize_srcu_expedited(&tce_real_mode_srcu);
}
#else
/* Without owners there are no readers in real mode. */
#define tce_free_deferred(head)	kvfree_rcu_mightsleep(head)

static inline void tce_synchronize_real_mode(void) { }
static inline void mm_iommu_destroy(struct mm_struct *mm) { }
#endif

#endif /* _ASM_POWERPC_MM_IOMMU_H */
