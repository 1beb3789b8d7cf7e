// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Memory that a process has registered for DMA by devices that it drives.
 *
 * Every mm that ever registered memory has a registry, which lives as long as
 * the mm. A region is in its index from the moment that it is whole, pinned
 * and charged, until it is given up.
 *
 * Two things keep a region: references, one for each container that
 * registered it, and entries, the IOMMU entries made from its addresses. The
 * last reference goes only when there are no entries, and then flips the
 * count of entries to a value from which it cannot rise: from there on pages
 * can be unpinned, though lock-free readers may still hold the region. Only
 * a container that dies lets the last reference go with entries left (those of
 * another container of the process); such a region idles, charged and pinned,
 * until a later call finds it without entries.
 *
 * Physical addresses are kept as runs of contiguous memory, 16 bytes a run,
 * or, where that would take more, as one word a page. Both lie in blocks of
 * 64 KiB of linear mapped memory, for real mode reads them.
 *
 * Memory is pinned for as long as it is registered, and keeps its pages
 * whatever the process does to its mappings.
 */

#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/srcu.h>

#include <asm/mm_iommu.h>
#include <asm/mmu_context.h>
#include <asm/trace_spapr_tce.h>

#include "mm_iommu_index.h"

/*
 * Pages that are pinned, with interrupts off, or unpinned, or looked at, before
 * others may run.
 */
#define PIN_PAGES	512UL
#define UNPIN_PAGES	1024UL
#define LOOK_PAGES	8192UL

/**
 * struct mm_iommu - the registered memory of one mm
 * @mm: the mm; it owns this structure
 * @lock: serialises everything but lookups and counts. Nests outside mmap_lock
 * @index: the regions by userspace address
 * @idle: regions without a reference that still have entries
 * @all: in the list of all registries
 */
struct mm_iommu {
	struct mm_struct *mm;
	struct mutex lock; /* all but lookups and counts */
	struct mm_iommu_index index;
	struct list_head idle;
#ifdef CONFIG_SPAPR_TCE_CHECK
	struct list_head all;
#endif
};

/*
 * RCU does not watch a CPU that runs a guest, which is where real mode comes
 * from, so readers there use SRCU; a static one, for its per-cpu memory has to
 * be in the linear map.
 */
DEFINE_SRCU(tce_real_mode_srcu);
EXPORT_SYMBOL_GPL(tce_real_mode_srcu);

static void free_after_rcu(struct rcu_head *head)
{
	kfree(head);
}

static void free_after_srcu(struct rcu_head *head)
{
	call_rcu(head, free_after_rcu);
}

/**
 * tce_free_deferred - free an object behind all lock-free readers
 * @head: at the start of an object from kmalloc()
 *
 * Readers are in an RCU read-side section, or in real mode in one of
 * tce_real_mode_srcu.
 *
 * Context: Any but real mode.
 */
void tce_free_deferred(struct rcu_head *head)
{
	call_srcu(&tce_real_mode_srcu, head, free_after_srcu);
}

/**
 * mm_iommu_free_deferred - free what was taken out of an index
 * @head: at the start of an object from kmalloc()
 *
 * For the index, which knows not how its readers are protected.
 *
 * Context: Any but real mode.
 */
void mm_iommu_free_deferred(struct rcu_head *head)
{
	tce_free_deferred(head);
}

#ifdef CONFIG_SPAPR_TCE_CHECK
static LIST_HEAD(registries);
static DEFINE_SPINLOCK(registries_lock); /* @registries */

static void list_registry(struct mm_iommu *registry)
{
	guard(spinlock_irqsave)(&registries_lock);
	list_add_tail(&registry->all, &registries);
}

static void unlist_registry(struct mm_iommu *registry)
{
	guard(spinlock_irqsave)(&registries_lock);
	list_del(&registry->all);
}
#else
static void list_registry(struct mm_iommu *registry) { }
static void unlist_registry(struct mm_iommu *registry) { }
#endif

static u64 *word_ptr(const struct mm_iommu_region *region, unsigned long i)
{
	return &region->blocks[i >> MM_IOMMU_BLOCK_SHIFT]
			      [i & (MM_IOMMU_BLOCK_WORDS - 1)];
}

static unsigned long nr_blocks(unsigned long nr_words)
{
	return DIV_ROUND_UP(nr_words, MM_IOMMU_BLOCK_WORDS);
}

static unsigned long words_in_block(unsigned long nr_words, unsigned long block)
{
	return min(MM_IOMMU_BLOCK_WORDS,
		   nr_words - (block << MM_IOMMU_BLOCK_SHIFT));
}

static u64 **blocks_alloc_top(unsigned long nr_words)
{
	return kcalloc(nr_blocks(nr_words), sizeof(u64 *),
		       GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
}

static size_t block_bytes(unsigned long nr_words, unsigned long block)
{
	return words_in_block(nr_words, block) * sizeof(u64);
}

/* Slabs of objects of a page come by the half megabyte. */
static bool block_is_pages(size_t bytes)
{
	return bytes > PAGE_SIZE / 2;
}

static u64 *block_alloc(unsigned long nr_words, unsigned long block)
{
	size_t bytes = block_bytes(nr_words, block);
	gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_NOWARN;

	if (block_is_pages(bytes))
		return alloc_pages_exact(bytes, gfp);

	return kmalloc(bytes, gfp);
}

static void block_free(u64 **blocks, unsigned long nr_words,
		       unsigned long block)
{
	size_t bytes = block_bytes(nr_words, block);

	if (block_is_pages(bytes) && blocks[block])
		free_pages_exact(blocks[block], bytes);
	else
		kfree(blocks[block]);
}

static void blocks_free(u64 **blocks, unsigned long nr_words)
{
	unsigned long i;

	for (i = 0; i < nr_blocks(nr_words); i++) {
		block_free(blocks, nr_words, i);
		cond_resched();
	}
	kfree(blocks);
}

static u64 **blocks_alloc(unsigned long nr_words)
{
	u64 **blocks = blocks_alloc_top(nr_words);
	unsigned long i;

	for (i = 0; blocks && i < nr_blocks(nr_words); i++) {
		blocks[i] = block_alloc(nr_words, i);
		if (!blocks[i]) {
			blocks_free(blocks, nr_words);
			return NULL;
		}
	}

	return blocks;
}

/* Pages of run @i of a region that is kept as runs. */
static unsigned long run_pages(const struct mm_iommu_region *region,
			       unsigned long i)
{
	unsigned long end = region->nr_pages;

	if (i + 1 < region->nr_runs)
		end = *word_ptr(region, 2 * (i + 1));

	return end - *word_ptr(region, 2 * i);
}

static unsigned long nr_words(const struct mm_iommu_region *region)
{
	return region->nr_runs ? 2 * region->nr_runs : region->nr_pages;
}

/* A run may be all of memory, so in parts. */
static void unpin(u64 hpa, unsigned long nr_pages, bool dirty)
{
	while (nr_pages) {
		unsigned long nr = min(nr_pages, UNPIN_PAGES);

		unpin_user_page_range_dirty_lock(pfn_to_page(hpa >> PAGE_SHIFT),
						 nr, dirty);
		hpa += nr << PAGE_SHIFT;
		nr_pages -= nr;
		cond_resched();
	}
}

/* Give the first @nr_pages pages of a region back; the rest was never had. */
static void region_unpin(struct mm_iommu_region *region, unsigned long nr_pages)
{
	unsigned long i;

	if (!region->nr_runs) {
		for (i = 0; i < nr_pages; i++)
			unpin(*word_ptr(region, i), 1, region->written);
		return;
	}

	for (i = 0; i < region->nr_runs; i++)
		unpin(*word_ptr(region, 2 * i + 1), run_pages(region, i),
		      region->written);
}

/*
 * Is all of the range mapped? Asked before memory is taken in proportion to
 * its size, which only the mappings bound.
 */
static bool range_is_mapped(struct mm_struct *mm, unsigned long start,
			    unsigned long end)
{
	unsigned long addr = start;
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	while (addr < end) {
		vma = find_vma(mm, addr);
		if (!vma || vma->vm_start > addr)
			break;
		addr = vma->vm_end;
	}
	mmap_read_unlock(mm);

	return addr >= end;
}

/*
 * Pin one block of pages, and turn what pinning gives, struct page pointers,
 * into physical addresses. Adds how many there are to @pinned, whatever comes.
 */
static int region_pin_block(struct mm_iommu_region *region, unsigned long block,
			    unsigned long *pinned)
{
	unsigned long nr = words_in_block(region->nr_pages, block);
	unsigned long first = block << MM_IOMMU_BLOCK_SHIFT, done = 0, i;
	u64 *words = block_alloc(region->nr_pages, block);
	struct page **pages = (struct page **)words;
	long ret = 0;

	BUILD_BUG_ON(sizeof(struct page *) != sizeof(u64));

	if (!words)
		return -ENOMEM;
	region->blocks[block] = words;

	while (done < nr) {
		ret = pin_user_pages_fast(region->ua +
					  ((first + done) << PAGE_SHIFT),
					  min(nr - done, PIN_PAGES),
					  FOLL_WRITE | FOLL_LONGTERM,
					  pages + done);
		if (ret <= 0)
			break;
		done += ret;
		cond_resched();
	}

	for (i = 0; i < done; i++)
		words[i] = (u64)page_to_pfn(pages[i]) << PAGE_SHIFT;
	*pinned += done;

	if (done == nr)
		return 0;

	return ret ?: -EFAULT;
}

static int region_pin(struct mm_iommu_region *region)
{
	unsigned long done = 0;
	int ret;

	while (done < region->nr_pages) {
		ret = region_pin_block(region, done >> MM_IOMMU_BLOCK_SHIFT,
				       &done);
		if (ret) {
			region_unpin(region, done);
			return ret;
		}
	}

	return 0;
}

static bool run_goes_on(const struct mm_iommu_region *region, unsigned long i)
{
	return *word_ptr(region, i) == *word_ptr(region, i - 1) + PAGE_SIZE;
}

/* Change to the form of runs where that is smaller; without memory, stay. */
static void region_compact(struct mm_iommu_region *region)
{
	unsigned long nr_runs = 1, i, run = 0;
	u64 **runs;

	for (i = 1; i < region->nr_pages; i++) {
		nr_runs += !run_goes_on(region, i);
		if (!(i % LOOK_PAGES))
			cond_resched();
	}

	if (2 * nr_runs >= region->nr_pages)
		return;

	runs = blocks_alloc(2 * nr_runs);
	if (!runs)
		return;

	for (i = 0; i < region->nr_pages; i++) {
		u64 *words;

		if (!(i % LOOK_PAGES))
			cond_resched();
		if (i && run_goes_on(region, i))
			continue;
		words = runs[2 * run >> MM_IOMMU_BLOCK_SHIFT];
		words += 2 * run & (MM_IOMMU_BLOCK_WORDS - 1);
		words[0] = i;
		words[1] = *word_ptr(region, i);
		run++;
	}

	blocks_free(region->blocks, region->nr_pages);
	region->blocks = runs;
	region->nr_runs = nr_runs;
}

/* A whole region, pinned and charged, that nobody can find yet. */
static struct mm_iommu_region *region_create(struct mm_iommu *registry,
					     unsigned long ua,
					     unsigned long nr_pages)
{
	struct mm_iommu_region *region;
	int ret;

	ret = account_locked_vm(registry->mm, nr_pages, true);
	if (ret)
		return ERR_PTR(ret);

	ret = -ENOMEM;
	region = kzalloc(sizeof(*region), GFP_KERNEL_ACCOUNT);
	if (!region)
		goto uncharge;

	region->registry = registry;
	region->ua = ua;
	region->nr_pages = nr_pages;
	region->refs = 1;
	INIT_LIST_HEAD(&region->idle);
	region->blocks = blocks_alloc_top(nr_pages);
	if (!region->blocks)
		goto free_region;

	ret = region_pin(region);
	if (ret)
		goto free_blocks;

	region_compact(region);

	return region;

free_blocks:
	blocks_free(region->blocks, nr_pages);
free_region:
	kfree(region);
uncharge:
	account_locked_vm(registry->mm, nr_pages, false);

	return ERR_PTR(ret);
}

/*
 * Undo region_create(). A reader may still hold the region, but takes no
 * address from it: that needs a counted entry, which it cannot get any more.
 */
static void region_destroy(struct mm_iommu_region *region)
{
	u64 **blocks = region->blocks;

	region_unpin(region, region->nr_pages);
	account_locked_vm(region->registry->mm, region->nr_pages, false);
	blocks_free(blocks, nr_words(region));
	mm_iommu_free_deferred(&region->rcu);
}

/**
 * mm_iommu_registry - the registry of an mm, made on first use
 * @mm: the mm; the registry lives as long as it
 *
 * Context: May sleep.
 * Return: the registry, NULL without memory.
 */
struct mm_iommu *mm_iommu_registry(struct mm_struct *mm)
{
	struct mm_iommu *registry = READ_ONCE(mm->context.mm_iommu);
	struct mm_iommu *won;

	if (registry)
		return registry;

	registry = kzalloc(sizeof(*registry), GFP_KERNEL_ACCOUNT);
	if (!registry)
		return NULL;

	registry->mm = mm;
	mutex_init(&registry->lock);
	INIT_LIST_HEAD(&registry->idle);

	won = cmpxchg(&mm->context.mm_iommu, NULL, registry);
	if (won) {
		kfree(registry);
		return won;
	}
	list_registry(registry);

	return registry;
}
EXPORT_SYMBOL_GPL(mm_iommu_registry);

static int register_locked(struct mm_iommu *registry, unsigned long ua,
			   unsigned long nr_pages,
			   struct mm_iommu_region **pregion)
{
	unsigned long end = ua + (nr_pages << PAGE_SHIFT);
	struct mm_iommu_region *region;
	int ret;

	region = mm_iommu_index_find(&registry->index, ua);
	if (region && region->ua == ua && region->nr_pages == nr_pages) {
		region->refs++;
		list_del_init(&region->idle);
		*pregion = region;
		return 0;
	}

	if (mm_iommu_index_overlaps(&registry->index, ua, end))
		return -EINVAL;

	if (!range_is_mapped(registry->mm, ua, end))
		return -EFAULT;

	region = region_create(registry, ua, nr_pages);
	if (IS_ERR(region))
		return PTR_ERR(region);

	ret = mm_iommu_index_insert(&registry->index, ua, end, region);
	if (ret) {
		atomic64_set(&region->entries, MM_IOMMU_GONE);
		region_destroy(region);
		return ret;
	}

	*pregion = region;

	return 0;
}

/* Give a region up if nothing points into it; the registry's lock is held. */
static bool try_give_up(struct mm_iommu_region *region)
{
	if (atomic64_cmpxchg(&region->entries, 0, MM_IOMMU_GONE) != 0)
		return false;

	mm_iommu_index_remove(&region->registry->index, region->ua);
	list_del(&region->idle);
	region_destroy(region);

	return true;
}

static void reap_locked(struct mm_iommu *registry)
{
	struct mm_iommu_region *region, *next;

	list_for_each_entry_safe(region, next, &registry->idle, idle)
		try_give_up(region);
}

/**
 * mm_iommu_register - register a range, or take another reference to it
 * @registry: the registry of current->mm
 * @ua: userspace address of the first byte
 * @nr_pages: pages of PAGE_SIZE; not 0, and the range does not wrap
 * @pregion: where the region goes, with one reference for the caller
 *
 * Pins the pages for as long as the range is registered, and charges them to
 * locked_vm, when the range was not registered yet.
 *
 * Context: May sleep; takes the registry's lock and mmap_lock.
 * Return: 0, or with nothing changed:
 *	   -EINVAL  @ua is not page aligned, or part of the range is registered
 *	   -EFAULT  part of the range cannot be written by the process
 *	   -ENOMEM  no memory, or over the limit of locked memory
 *	   -EINTR   killed
 */
int mm_iommu_register(struct mm_iommu *registry, unsigned long ua,
		      unsigned long nr_pages, struct mm_iommu_region **pregion)
{
	int ret;

	if (offset_in_page(ua) || !nr_pages)
		return -EINVAL;

	ret = mutex_lock_killable(&registry->lock);
	if (ret)
		return ret;

	/* What nobody wants any more must not be found with its old pages. */
	reap_locked(registry);
	ret = register_locked(registry, ua, nr_pages, pregion);
	mutex_unlock(&registry->lock);
	trace_spapr_tce_register(ua, nr_pages, ret);

	return ret;
}
EXPORT_SYMBOL_GPL(mm_iommu_register);

/**
 * mm_iommu_unregister - let go of one reference, if the region may go
 * @region: the region; with the last reference it is gone
 *
 * Context: May sleep; takes the registry's lock and mmap_lock.
 * Return: 0; -EBUSY, with nothing changed, if this is the last reference and
 *	   entries point into the region.
 */
int mm_iommu_unregister(struct mm_iommu_region *region)
{
	unsigned long ua = region->ua, nr_pages = region->nr_pages;
	struct mm_iommu *registry = region->registry;
	int ret = 0;

	mutex_lock(&registry->lock);
	if (region->refs > 1)
		region->refs--;
	else if (!try_give_up(region))
		ret = -EBUSY;
	mutex_unlock(&registry->lock);
	trace_spapr_tce_unregister(ua, nr_pages, ret);

	return ret;
}
EXPORT_SYMBOL_GPL(mm_iommu_unregister);

/**
 * mm_iommu_let_go - let go of one reference, whatever points into the region
 * @region: the region
 *
 * For a container that dies. Entries left are those of other containers of the
 * same mm: the region stays, pinned and charged, until they are gone.
 *
 * Context: May sleep; takes the registry's lock and mmap_lock.
 */
void mm_iommu_let_go(struct mm_iommu_region *region)
{
	unsigned long ua = region->ua, nr_pages = region->nr_pages;
	struct mm_iommu *registry = region->registry;

	mutex_lock(&registry->lock);
	if (region->refs > 1) {
		region->refs--;
	} else if (!try_give_up(region)) {
		region->refs = 0;
		list_add(&region->idle, &registry->idle);
		/* Who uncounts the last entry sees it there, or else this does. */
		smp_mb();
		try_give_up(region);
	}
	mutex_unlock(&registry->lock);
	trace_spapr_tce_unregister(ua, nr_pages, 0);
}
EXPORT_SYMBOL_GPL(mm_iommu_let_go);

/**
 * mm_iommu_reap - give up the regions that nobody registers or maps any more
 * @mm: whose
 *
 * To be called after entries went, where sleeping is possible.
 *
 * Context: May sleep; takes the registry's lock and mmap_lock.
 */
void mm_iommu_reap(struct mm_struct *mm)
{
	struct mm_iommu *registry = READ_ONCE(mm->context.mm_iommu);

	smp_mb(); /* with the one in mm_iommu_let_go() */
	if (!registry || list_empty_careful(&registry->idle))
		return;

	mutex_lock(&registry->lock);
	reap_locked(registry);
	mutex_unlock(&registry->lock);
}
EXPORT_SYMBOL_GPL(mm_iommu_reap);

/**
 * mm_iommu_find - the region that holds a userspace address
 * @registry: the registry
 * @ua: any address
 *
 * Context: Any, real mode included; lock-free. In a read-side section (see
 *	    tce_free_deferred()); the region, not the way to it, also lives
 *	    as long as an entry of it is counted.
 * Return: the region, NULL if the address is not registered.
 */
struct mm_iommu_region *mm_iommu_find(const struct mm_iommu *registry,
				      unsigned long ua)
{
	return mm_iommu_index_find(&registry->index, ua);
}

/* The run that page @page lies in, of a region that is kept as runs. */
static unsigned long run_of(const struct mm_iommu_region *region,
			    unsigned long page)
{
	unsigned long nr = nr_blocks(2 * region->nr_runs), block = 0, low = 0;
	const u64 *words;

	while (nr > 1) {
		unsigned long half = nr / 2;

		if (region->blocks[block + half][0] <= page)
			block += half;
		nr -= half;
	}

	words = region->blocks[block];
	nr = words_in_block(2 * region->nr_runs, block) / 2;
	while (nr > 1) {
		unsigned long half = nr / 2;

		if (words[2 * (low + half)] <= page)
			low += half;
		nr -= half;
	}

	return block * (MM_IOMMU_BLOCK_WORDS / 2) + low;
}

/**
 * mm_iommu_find_run - the memory around an address
 * @region: the region; the address lies in it
 * @ua: userspace address
 * @run: where it goes: what is contiguous, or all pages of a block
 *
 * Context: Any, real mode included; lock-free. An entry of the region is
 *	    counted.
 */
void mm_iommu_find_run(const struct mm_iommu_region *region, unsigned long ua,
		       struct mm_iommu_run *run)
{
	unsigned long page = (ua - region->ua) >> PAGE_SHIFT, i, nr;
	const u64 *block;

	run->word = NULL;
	run->last = NULL;
	if (!region->nr_runs) {
		i = page >> MM_IOMMU_BLOCK_SHIFT;
		run->page = region->blocks[i];
		run->hpa = 0;
		run->ua = region->ua +
			  (i << MM_IOMMU_BLOCK_SHIFT << PAGE_SHIFT);
		run->bytes = words_in_block(region->nr_pages, i) << PAGE_SHIFT;
		return;
	}

	i = run_of(region, page);
	run->page = NULL;
	run->word = word_ptr(region, 2 * i);
	run->ua = region->ua + (run->word[0] << PAGE_SHIFT);
	run->bytes = run_pages(region, i) << PAGE_SHIFT;
	run->hpa = run->word[1];

	/* Where the last run of a block ends, the block does not say. */
	block = region->blocks[2 * i >> MM_IOMMU_BLOCK_SHIFT];
	nr = words_in_block(2 * region->nr_runs, 2 * i >> MM_IOMMU_BLOCK_SHIFT);
	if (nr >= 4)
		run->last = block + nr - 4;
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
unsigned long mm_iommu_hpa(const struct mm_iommu_region *region,
			   unsigned long ua)
{
	unsigned long page = (ua - region->ua) >> PAGE_SHIFT;
	const u64 *word;

	/* Huge pages that are registered one by one, for instance. */
	if (region->nr_runs == 1)
		return region->blocks[0][1] + (ua - region->ua);

	if (!region->nr_runs)
		return *word_ptr(region, page) + offset_in_page(ua);

	word = word_ptr(region, 2 * run_of(region, page));

	return word[1] + (ua - region->ua) - (word[0] << PAGE_SHIFT);
}

/* Bytes that are contiguous from @ua on, up to about @want, and where. */
static unsigned long extent(const struct mm_iommu_region *region,
			    unsigned long ua, unsigned long want,
			    unsigned long *hpa)
{
	unsigned long page = (ua - region->ua) >> PAGE_SHIFT;
	unsigned long offset = offset_in_page(ua), nr = 1, skip, run;

	if (region->nr_runs) {
		run = run_of(region, page);
		skip = page - *word_ptr(region, 2 * run);
		*hpa = *word_ptr(region, 2 * run + 1) + (skip << PAGE_SHIFT) +
		       offset;
		return ((run_pages(region, run) - skip) << PAGE_SHIFT) - offset;
	}

	*hpa = *word_ptr(region, page) + offset;
	while ((nr << PAGE_SHIFT) - offset < want &&
	       page + nr < region->nr_pages && run_goes_on(region, page + nr))
		nr++;

	return (nr << PAGE_SHIFT) - offset;
}

/*
 * The same, all at once, of a region that is kept as one word a page, for IOMMU
 * pages that no kernel page is smaller than. Each kernel page is a run, for few
 * of them have their neighbour behind them; the last one ends where a block does.
 */
static long translate_dense(const struct mm_iommu_region *region,
			    unsigned long ua, unsigned int page_shift,
			    unsigned long nr_entries, struct tce_run *runs,
			    unsigned int *nr_runs)
{
	unsigned long page = (ua - region->ua) >> PAGE_SHIFT;
	unsigned long in_block = page & (MM_IOMMU_BLOCK_WORDS - 1);
	unsigned long skip = offset_in_page(ua) >> page_shift;
	unsigned int per_page_shift = PAGE_SHIFT - page_shift, i;
	const u64 *word = word_ptr(region, page);
	unsigned long nr, done;

	/* In one page, as most are. */
	if (skip + nr_entries <= 1UL << per_page_shift) {
		runs[0].hpa = *word + offset_in_page(ua);
		runs[0].entries = nr_entries;
		*nr_runs = 1;
		return nr_entries;
	}

	nr = ((nr_entries + skip - 1) >> per_page_shift) + 1;
	nr = min3(nr, MM_IOMMU_BLOCK_WORDS - in_block, (unsigned long)*nr_runs);
	*nr_runs = nr;

	for (i = 0; i < nr; i++) {
		runs[i].hpa = word[i];
		runs[i].entries = 1UL << per_page_shift;
	}

	/* Only the first and the last one need not be whole pages. */
	runs[0].hpa += offset_in_page(ua);
	runs[0].entries -= skip;
	done = (nr << per_page_shift) - skip;
	if (done <= nr_entries)
		return done;

	runs[nr - 1].entries -= done - nr_entries;

	return nr_entries;
}

/* As translate_dense(), of a region that is kept as runs. */
static noinline long translate_runs(const struct mm_iommu_region *region,
				    unsigned long ua, unsigned int page_shift,
				    unsigned long nr_entries,
				    struct tce_run *runs, unsigned int *nr_runs)
{
	unsigned long run = run_of(region, (ua - region->ua) >> PAGE_SHIFT);
	unsigned long left = nr_entries << page_shift, skip;
	unsigned long more = region->nr_runs - run - 1;
	const unsigned int max = *nr_runs;
	const u64 *word = word_ptr(region, 2 * run);
	unsigned int i = 0;

	skip = ua - region->ua - (word[0] << PAGE_SHIFT);

	while (i < max && left) {
		unsigned long first = word[0], end = region->nr_pages, bytes;

		runs[i].hpa = word[1] + skip;
		if (more) {
			more--;
			run++;
			word += 2;
			/* The next block. */
			if (!(2 * run & (MM_IOMMU_BLOCK_WORDS - 1)))
				word = word_ptr(region, 2 * run);
			end = word[0];
		}

		bytes = min(((end - first) << PAGE_SHIFT) - skip, left);
		runs[i++].entries = bytes >> page_shift;
		left -= bytes;
		skip = 0;
	}
	*nr_runs = i;

	return nr_entries - (left >> page_shift);
}

/* As mm_iommu_translate(), for IOMMU pages larger than the kernel's. */
static noinline long translate_large(const struct mm_iommu_region *region,
				     unsigned long ua, unsigned int page_shift,
				     unsigned long nr_entries,
				     struct tce_run *runs,
				     unsigned int *nr_runs)
{
	unsigned long page_mask = (1UL << page_shift) - 1, left = nr_entries;
	unsigned int i;

	for (i = 0; i < *nr_runs && left; i++) {
		unsigned long want = left << page_shift, hpa, n;

		n = min(extent(region, ua, want, &hpa), want) >> page_shift;
		if (!n || (hpa & page_mask))
			return -EINVAL;

		runs[i].hpa = hpa;
		runs[i].entries = n;
		left -= n;
		ua += n << page_shift;
	}
	*nr_runs = i;

	return nr_entries - left;
}

/**
 * mm_iommu_translate - physical addresses of consecutive IOMMU pages
 * @region: the region; all of the range lies in it
 * @ua: userspace address of the first IOMMU page, aligned to its size
 * @page_shift: size of an IOMMU page
 * @nr_entries: how many IOMMU pages, not 0
 * @runs: where the runs go, in ascending order of userspace address
 * @nr_runs: in: how many fit, not 0; out: how many there are
 *
 * An IOMMU page is only given out whole, from memory that is contiguous and
 * pinned. The addresses may be used by a device while an entry is counted.
 *
 * Context: Any, real mode included; lock-free. An entry of the region is
 *	    counted.
 * Return: how many entries the runs cover: one or more, not always all.
 *	   -EINVAL if an IOMMU page of these is not contiguous or not aligned.
 */
long mm_iommu_translate(const struct mm_iommu_region *region, unsigned long ua,
			unsigned int page_shift, unsigned long nr_entries,
			struct tce_run *runs, unsigned int *nr_runs)
{
	if (page_shift > PAGE_SHIFT)
		return translate_large(region, ua, page_shift, nr_entries, runs,
				       nr_runs);
	if (region->nr_runs)
		return translate_runs(region, ua, page_shift, nr_entries, runs,
				      nr_runs);

	return translate_dense(region, ua, page_shift, nr_entries, runs,
			       nr_runs);
}

/**
 * mm_iommu_destroy - free the registry of an mm that is being freed
 * @mm: the mm; no container has it any more, so nothing is registered
 *
 * Context: Any.
 */
void mm_iommu_destroy(struct mm_struct *mm)
{
	struct mm_iommu *registry = mm->context.mm_iommu;

	if (!registry)
		return;

	WARN_ON_ONCE(!list_empty(&registry->idle));
	unlist_registry(registry);
	mm_iommu_index_destroy(&registry->index);
	kfree(registry);
}

#ifdef CONFIG_DEBUG_FS
/**
 * mm_iommu_lock - keep regions from being registered and given up
 * @registry: the registry
 *
 * Context: May sleep; as the registry's lock.
 */
void mm_iommu_lock(struct mm_iommu *registry)
{
	mutex_lock(&registry->lock);
}

/**
 * mm_iommu_unlock - undo mm_iommu_lock()
 * @registry: the registry
 *
 * Context: Any but real mode.
 */
void mm_iommu_unlock(struct mm_iommu *registry)
{
	mutex_unlock(&registry->lock);
}

/**
 * mm_iommu_next - the first region from an address on
 * @registry: the registry
 * @ua: any address
 *
 * Context: Between mm_iommu_lock() and mm_iommu_unlock().
 * Return: the region, NULL if none begins at @ua or behind.
 */
struct mm_iommu_region *mm_iommu_next(struct mm_iommu *registry,
				      unsigned long ua)
{
	return mm_iommu_index_next(&registry->index, ua);
}
#endif

#ifdef CONFIG_SPAPR_TCE_CHECK
/**
 * mm_iommu_next_registry - go through all registries
 * @registry: the last one, which is let go of; NULL to begin
 *
 * Context: May sleep.
 * Return: the next one, kept along with the struct of its mm; NULL at the end.
 */
struct mm_iommu *mm_iommu_next_registry(struct mm_iommu *registry)
{
	struct mm_iommu *next, *found = NULL;

	scoped_guard(spinlock_irqsave, &registries_lock) {
		next = list_prepare_entry(registry, &registries, all);
		list_for_each_entry_continue(next, &registries, all) {
			/* Its mm may be on its way here, to unlist it. */
			if (atomic_inc_not_zero(&next->mm->mm_count)) {
				found = next;
				break;
			}
		}
	}
	if (registry)
		mmdrop(registry->mm);

	return found;
}
#endif
