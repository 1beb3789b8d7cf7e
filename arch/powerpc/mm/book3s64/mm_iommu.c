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
 * another container of the process, or of a hypercall that is under way). Such
 * a region idles, charged and pinned. Its count has a flag, so that whoever
 * uncounts the last entry sees that it was the last, and has the region given
 * up.
 *
 * Memory is pinned and unpinned without a lock of the registry. Calls whose
 * ranges overlap register one after the other, in the order in which they came.
 * A region that is given up is gone from the index before it is unpinned; the
 * same range can be registered again meanwhile, which is charged by itself.
 *
 * Physical addresses are kept as runs of contiguous memory, 16 bytes a run,
 * or, where that would take more, as one word a page. Both lie in blocks of
 * 64 KiB of linear mapped memory, because real mode reads them.
 *
 * Memory is pinned for as long as it is registered, and keeps its pages
 * whatever the process does to its mappings.
 */

#define pr_fmt(fmt) "mm_iommu: " fmt

#include <linux/capability.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/string.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <asm/mm_iommu.h>
#include <asm/mmu_context.h>
#include <asm/trace_spapr_tce.h>

#include "mm_iommu_index.h"
#include "mm_iommu_private.h"

/*
 * Pages that are pinned, with interrupts off, or unpinned, or mappings that are
 * looked at, before others may run and a signal is seen.
 */
#define PIN_PAGES	512UL
#define UNPIN_PAGES	512UL
#define LOOK_MAPPINGS	256U

/* Idle regions that are looked at before others get the registry's lock. */
#define REAP_REGIONS	256UL

/* Regions of so many pages are pinned by way of the stack. */
#define FEW_PAGES	32UL

/*
 * When regions are given up that an ioctl has not given up by itself, and how
 * often those are looked at that real mode may have uncounted.
 */
#define REAP_DELAY	(HZ / 10)
#define REAP_INTERVAL	HZ

/**
 * struct pinning - a call that registers a range
 * @next: in the registry's list
 * @ua: userspace address of the first byte
 * @end: that of the byte after it
 */
struct pinning {
	struct list_head next;
	unsigned long ua;
	unsigned long end;
};

/*
 * RCU does not watch all CPUs that run a guest: neither those that are offline
 * to Linux, as secondary threads of POWER8 are, nor those where context
 * tracking is active. Hypercalls that are handled there before the guest's
 * context is left are readers all the same. So the thread that enters the guest
 * is in a read-side section of SRCU. One domain for all, because what is freed
 * behind it outlives the mm that it belonged to; static, because then there is
 * always one.
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
 * Readers are in an RCU read-side section, which any stretch without preemption
 * is, or, in real mode and where RCU does not watch a guest, in one of
 * tce_real_mode_srcu.
 *
 * Context: Any but real mode. Takes no memory.
 */
void tce_free_deferred(struct rcu_head *head)
{
	call_srcu(&tce_real_mode_srcu, head, free_after_srcu);
}

/**
 * mm_iommu_free_deferred - free what was taken out of an index
 * @head: at the start of an object from kmalloc()
 *
 * For the index, which does not know how its readers are protected.
 *
 * Context: Any but real mode. Takes no memory.
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

/* Blocks of words */

static size_t block_bytes(unsigned long nr_words, unsigned long block)
{
	return mm_iommu_words_in_block(nr_words, block) * sizeof(u64);
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

static void block_free(u64 *words, unsigned long nr_words, unsigned long block)
{
	size_t bytes = block_bytes(nr_words, block);

	if (block_is_pages(bytes) && words)
		free_pages_exact(words, bytes);
	else
		kfree(words);
}

static u64 **blocks_alloc_top(unsigned long nr_words)
{
	return kcalloc(mm_iommu_nr_blocks(nr_words), sizeof(u64 *),
		       GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
}

static void blocks_free(u64 **blocks, unsigned long nr_words)
{
	unsigned long i;

	for (i = 0; i < mm_iommu_nr_blocks(nr_words); i++) {
		block_free(blocks[i], nr_words, i);
		cond_resched();
	}
	kfree(blocks);
}

static unsigned long nr_words(const struct mm_iommu_region *region)
{
	return region->nr_runs ? 2 * region->nr_runs : region->nr_pages;
}

/* Unpinning */

/**
 * struct unpinning - pages that are given back
 * @dirty: a device may have written to them
 * @since: pages since others could run
 */
struct unpinning {
	bool dirty;
	unsigned long since;
};

/* A run may be all of memory, so in parts. */
static void unpin(struct unpinning *u, u64 hpa, unsigned long nr_pages)
{
	while (nr_pages) {
		unsigned long nr = min(nr_pages, UNPIN_PAGES - u->since);

		unpin_user_page_range_dirty_lock(pfn_to_page(hpa >> PAGE_SHIFT),
						 nr, u->dirty);
		hpa += nr << PAGE_SHIFT;
		nr_pages -= nr;
		u->since += nr;
		if (u->since == UNPIN_PAGES) {
			u->since = 0;
			cond_resched();
		}
	}
}

/* Give the first @nr_pages pages of a region back, which the words say. */
static void region_unpin(struct mm_iommu_region *region, unsigned long nr_pages)
{
	struct unpinning u = { .dirty = READ_ONCE(region->written) };
	unsigned long i, nr;

	if (!region->nr_runs) {
		for (i = 0; i < nr_pages; i += nr) {
			u64 word = *mm_iommu_word(region, i);

			nr = 1UL << (word & ~PAGE_MASK);
			unpin(&u, word & PAGE_MASK, nr);
		}
		return;
	}

	for (i = 0; i < region->nr_runs; i++) {
		nr = nr_pages - *mm_iommu_word(region, 2 * i);
		if (i + 1 < region->nr_runs)
			nr = mm_iommu_run_pages(region, i);
		unpin(&u, *mm_iommu_word(region, 2 * i + 1), nr);
	}
}

/* Pinning */

/*
 * Look at some mappings from @addr on, which goes on to where they end; false
 * if it meets a hole before @end. mmap_lock is held.
 */
static bool pass_mappings(struct mm_struct *mm, unsigned long *addr,
			  unsigned long end)
{
	VMA_ITERATOR(vmi, mm, *addr);
	struct vm_area_struct *vma;
	unsigned int left = LOOK_MAPPINGS;

	for_each_vma_range(vmi, vma, end) {
		if (vma->vm_start > *addr)
			return false;
		*addr = vma->vm_end;
		if (!--left)
			return true;
	}

	return *addr >= end;
}

/*
 * Is all of the range mapped? Asked before pages are pinned that would have to
 * be given back.
 */
static int range_is_mapped(struct mm_struct *mm, unsigned long start,
			   unsigned long end)
{
	unsigned long addr = start;
	bool mapped;

	while (addr < end) {
		if (mmap_read_lock_killable(mm))
			return -EINTR;
		mapped = pass_mappings(mm, &addr, end);
		mmap_read_unlock(mm);

		if (!mapped)
			return -EFAULT;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}

	return 0;
}

/**
 * struct pin - a region that is being pinned
 * @region: the region. Its words say what is pinned but @nr_open pages; all its
 *	    blocks are as large as those of a dense region
 * @dense: it is kept as one word a page
 * @next: its first page that is not pinned
 * @open_hpa: physical address of the last run, which may go on
 * @nr_open: pages of it
 * @pages: what pinning gives
 * @few: its place for regions of few pages
 */
struct pin {
	struct mm_iommu_region *region;
	bool dense;
	unsigned long next;
	u64 open_hpa;
	unsigned long nr_open;
	struct page **pages;
	struct page *few[FEW_PAGES];
};

/* Have the block that a word is in. */
static u64 *word_to_write(struct mm_iommu_region *region, unsigned long i)
{
	u64 **block = &region->blocks[i >> MM_IOMMU_BLOCK_SHIFT];

	if (!*block)
		*block = block_alloc(region->nr_pages,
				     i >> MM_IOMMU_BLOCK_SHIFT);

	return *block ? *block + (i & (MM_IOMMU_BLOCK_WORDS - 1)) : NULL;
}

/* Write words of contiguous pages from page @page on. */
static int write_dense(struct mm_iommu_region *region, unsigned long page,
		       u64 hpa, unsigned long nr)
{
	while (nr) {
		u64 *word = word_to_write(region, page);
		unsigned long in_block;

		if (!word)
			return -ENOMEM;

		in_block = MM_IOMMU_BLOCK_WORDS -
		       (page & (MM_IOMMU_BLOCK_WORDS - 1));
		in_block = min(in_block, nr);
		page += in_block;
		while (in_block--) {
			*word++ = hpa | ilog2(nr--);
			hpa += PAGE_SIZE;
		}
		cond_resched();
	}

	return 0;
}

static int write_run(struct mm_iommu_region *region, unsigned long page,
		     u64 hpa)
{
	u64 *word = word_to_write(region, 2 * region->nr_runs);

	if (!word)
		return -ENOMEM;

	word[0] = page;
	word[1] = hpa;
	region->nr_runs++;

	return 0;
}

/*
 * Change from runs, which take too much memory, to one word a page, for the first
 * @nr_pages pages. Without memory the region stays as it was.
 */
static int make_dense(struct pin *pin, unsigned long nr_pages)
{
	struct mm_iommu_region *region = pin->region, runs = *region;
	unsigned long i, page, end;
	int ret = 0;

	region->blocks = blocks_alloc_top(region->nr_pages);
	if (!region->blocks) {
		region->blocks = runs.blocks;
		return -ENOMEM;
	}

	for (i = 0; i < runs.nr_runs && !ret; i++) {
		page = *mm_iommu_word(&runs, 2 * i);
		end = nr_pages;
		if (i + 1 < runs.nr_runs)
			end = *mm_iommu_word(&runs, 2 * (i + 1));
		ret = write_dense(region, page,
				  *mm_iommu_word(&runs, 2 * i + 1), end - page);
	}

	if (ret) {
		swap(region->blocks, runs.blocks);
	} else {
		region->nr_runs = 0;
		pin->dense = true;
	}
	blocks_free(runs.blocks, region->nr_pages);

	return ret;
}

/* The last run ends: let the region's words say where it is. */
static int close_run(struct pin *pin)
{
	struct mm_iommu_region *region = pin->region;
	unsigned long page = pin->next - pin->nr_open;
	int ret = 0;

	if (!pin->nr_open)
		return 0;

	if (!pin->dense && 2 * (region->nr_runs + 1) >= region->nr_pages)
		ret = make_dense(pin, page);
	if (ret)
		return ret;

	if (pin->dense)
		ret = write_dense(region, page, pin->open_hpa, pin->nr_open);
	else
		ret = write_run(region, page, pin->open_hpa);
	if (!ret)
		pin->nr_open = 0;

	return ret;
}

/* Pages from @pfn on whose struct pages are one array. */
static unsigned long pages_in_array(unsigned long pfn)
{
#ifdef CONFIG_SPARSEMEM
	return PAGES_PER_SECTION - pfn % PAGES_PER_SECTION;
#else
	return ULONG_MAX;
#endif
}

/*
 * How many of @nr pages are contiguous, from the first one on, @pfn; as far as
 * that can be told by comparing pointers.
 */
static unsigned long contiguous(struct page **pages, unsigned long nr,
				unsigned long pfn)
{
	struct page *first = pages[0];
	unsigned long i;

	nr = min(nr, pages_in_array(pfn));
#pragma GCC unroll 4
	for (i = 1; i < nr; i++) {
		if (pages[i] != first + i)
			break;
	}

	return i;
}

/* Add pages that were pinned, or give them back. */
static int add_pinned(struct pin *pin, unsigned long nr)
{
	struct page **pages = pin->pages;
	unsigned long n;
	int ret = 0;

	for (; nr; nr -= n, pages += n) {
		unsigned long pfn = page_to_pfn(pages[0]);
		u64 hpa = (u64)pfn << PAGE_SHIFT;

		n = contiguous(pages, nr, pfn);
		if (hpa != pin->open_hpa + (pin->nr_open << PAGE_SHIFT) ||
		    !pin->nr_open) {
			ret = close_run(pin);
			if (ret)
				break;
			pin->open_hpa = hpa;
		}
		pin->nr_open += n;
		pin->next += n;
	}
	if (ret)
		unpin_user_pages(pages, nr);

	return ret;
}

static int pin_all(struct pin *pin)
{
	struct mm_iommu_region *region = pin->region;
	long ret;

	while (pin->next < region->nr_pages) {
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = pin_user_pages_fast(region->ua +
					  (pin->next << PAGE_SHIFT),
					  min(region->nr_pages - pin->next,
					      PIN_PAGES),
					  FOLL_WRITE | FOLL_LONGTERM,
					  pin->pages);
		if (ret <= 0)
			return ret ?: -EFAULT;
		cond_resched();
		ret = add_pinned(pin, ret);
		if (ret)
			return ret;
		cond_resched();
	}

	return close_run(pin);
}

/* Runs are complete: give back what their last block and the top do not need. */
static int trim_runs(struct mm_iommu_region *region)
{
	unsigned long last, words = 2 * region->nr_runs;
	u64 **blocks, *block;

	if (!region->nr_runs)
		return 0;

	last = mm_iommu_nr_blocks(words) - 1;
	blocks = region->blocks;
	if (block_bytes(words, last) < block_bytes(region->nr_pages, last)) {
		block = block_alloc(words, last);
		if (!block)
			return -ENOMEM;
		memcpy(block, blocks[last], block_bytes(words, last));
		block_free(blocks[last], region->nr_pages, last);
		blocks[last] = block;
	}

	if (last + 1 == mm_iommu_nr_blocks(region->nr_pages))
		return 0;
	blocks = blocks_alloc_top(words);
	if (!blocks)
		return 0;
	memcpy(blocks, region->blocks, (last + 1) * sizeof(*blocks));
	kfree(region->blocks);
	region->blocks = blocks;

	return 0;
}

/* Pin all pages of a region, or none. */
static int region_pin(struct mm_iommu_region *region)
{
	unsigned long nr = min(region->nr_pages, PIN_PAGES);
	struct pin pin = { .region = region };
	struct unpinning u = {};
	int ret;

	region->blocks = blocks_alloc_top(region->nr_pages);
	if (!region->blocks)
		return -ENOMEM;

	/* Of one or two pages, runs are never smaller. */
	pin.dense = region->nr_pages <= 2;
	pin.pages = pin.few;
	if (nr > FEW_PAGES)
		pin.pages = kmalloc_array(nr, sizeof(*pin.pages),
					  GFP_KERNEL_ACCOUNT);
	ret = pin.pages ? pin_all(&pin) : -ENOMEM;
	if (pin.pages != pin.few)
		kfree(pin.pages);
	if (!ret)
		ret = trim_runs(region);
	if (!ret)
		return 0;

	unpin(&u, pin.open_hpa, pin.nr_open);
	region_unpin(region, pin.next - pin.nr_open);
	blocks_free(region->blocks, region->nr_pages);

	return ret;
}

static int charge(struct mm_struct *mm, unsigned long pages)
{
	int ret;

	if (mmap_write_lock_killable(mm))
		return -EINTR;

	ret = __account_locked_vm(mm, pages, true, current,
				  capable(CAP_IPC_LOCK));
	mmap_write_unlock(mm);

	return ret;
}

/**
 * mm_iommu_charge - charge pages to locked_vm
 * @mm: current->mm; account_locked_vm() gives them back
 * @pages: pages of PAGE_SIZE
 *
 * Idle regions that nobody maps any more are given up if it takes that.
 *
 * Context: May sleep; takes mmap_lock, and the registry's lock.
 * Return: 0, or -ENOMEM: over the limit of locked memory; -EINTR: killed.
 */
int mm_iommu_charge(struct mm_struct *mm, unsigned long pages)
{
	int ret = charge(mm, pages);

	if (ret != -ENOMEM)
		return ret;

	mm_iommu_reap(mm);

	return charge(mm, pages);
}
EXPORT_SYMBOL_GPL(mm_iommu_charge);

/* A whole region, pinned and charged, that nobody can find yet. */
static struct mm_iommu_region *region_create(struct mm_iommu *registry,
					     unsigned long ua,
					     unsigned long nr_pages)
{
	struct mm_iommu_region *region;
	int ret;

	ret = mm_iommu_charge(registry->mm, nr_pages);
	if (ret)
		return ERR_PTR(ret);

	ret = range_is_mapped(registry->mm, ua, ua + (nr_pages << PAGE_SHIFT));
	if (ret)
		goto uncharge;

	ret = -ENOMEM;
	region = kzalloc(sizeof(*region), GFP_KERNEL_ACCOUNT);
	if (!region)
		goto uncharge;

	region->registry = registry;
	region->ua = ua;
	region->nr_pages = nr_pages;
	region->refs = 1;
	INIT_LIST_HEAD(&region->idle);

	ret = region_pin(region);
	if (ret)
		goto free_region;

	return region;

free_region:
	kfree(region);
uncharge:
	account_locked_vm(registry->mm, nr_pages, false);

	return ERR_PTR(ret);
}

/*
 * Undo region_create(), without the registry's lock. A reader may still hold
 * the region, but takes no address from it: that needs a counted entry, which
 * it cannot get any more.
 */
static void region_destroy(struct mm_iommu_region *region)
{
	region_unpin(region, region->nr_pages);
	account_locked_vm(region->registry->mm, region->nr_pages, false);
	blocks_free(region->blocks, nr_words(region));
	mm_iommu_free_deferred(&region->rcu);
}

/* Destroy what try_give_up() has put on a list. */
static void destroy_all(struct list_head *gone)
{
	struct mm_iommu_region *region, *next;

	list_for_each_entry_safe(region, next, gone, idle)
		region_destroy(region);
}

/*
 * Add @nr references, which may be negative; the registry's lock is held. Returns
 * how many there were. Who shows them in debugfs has no lock.
 */
static unsigned int add_refs(struct mm_iommu_region *region, int nr)
{
	unsigned int refs = region->refs;

	WRITE_ONCE(region->refs, refs + nr);

	return refs;
}

/*
 * Give a region up if nothing points into it: take it out of the index, and put
 * it on @gone. The registry's lock is held.
 */
static bool try_give_up(struct mm_iommu_region *region, struct list_head *gone)
{
	s64 none = region->refs ? 0 : MM_IOMMU_IDLE;

	if (atomic64_cmpxchg(&region->entries, none, MM_IOMMU_GONE) != none)
		return false;

	mm_iommu_index_remove(&region->registry->index, region->ua);
	if (!region->refs)
		region->registry->nr_idle--;
	list_move(&region->idle, gone);

	return true;
}

/*
 * Look at up to REAP_REGIONS idle regions, from the front of the list on; what
 * stays goes to its end.
 */
static void reap_some(struct mm_iommu *registry, unsigned long nr,
		      struct list_head *gone)
{
	struct mm_iommu_region *region;

	for (; nr && registry->nr_idle; nr--) {
		region = list_first_entry(&registry->idle,
					  struct mm_iommu_region, idle);
		if (!try_give_up(region, gone))
			list_move_tail(&region->idle, &registry->idle);
	}
}

/*
 * Give up all that was unused when this began. In parts, so that nobody waits
 * long for the lock. Others may reap meanwhile: all take from the front, so
 * each region is looked at by the time that as many as there were have been.
 */
static void reap(struct mm_iommu *registry)
{
	unsigned long left, nr;
	int uncounted;

	/*
	 * Before the counts are looked at; pairs with mm_iommu_uncounted(). A
	 * cmpxchg that fails orders nothing.
	 *
	 * uncounts the last entry          uncounted = registry->uncounted
	 * smp_mb()                         smp_mb()
	 * registry->uncounted++              looks at the count
	 *
	 * Either the count is seen, or registry->reaped differs afterwards.
	 */
	uncounted = atomic_read(&registry->uncounted);
	smp_mb(); /* pairs with mm_iommu_uncounted() */

	mutex_lock(&registry->lock);
	for (left = registry->nr_idle; left; left -= nr) {
		LIST_HEAD(gone);

		nr = min(left, REAP_REGIONS);
		reap_some(registry, nr, &gone);
		mutex_unlock(&registry->lock);
		destroy_all(&gone);
		cond_resched();
		mutex_lock(&registry->lock);
	}
	/* Only now, so that nobody passes by until all are looked at. */
	WRITE_ONCE(registry->reaped, uncounted);
	mutex_unlock(&registry->lock);
}

/*
 * Have reap_work() run; the caller keeps the mm. Work that is queued stays as
 * it is, unless it is to run soon.
 */
static void reap_in(struct mm_iommu *registry, unsigned long jiffies, bool soon)
{
	bool was_queued;

	mmgrab(registry->mm);
	if (soon)
		was_queued = mod_delayed_work(system_unbound_wq,
					      &registry->reap, jiffies);
	else
		was_queued = !queue_delayed_work(system_unbound_wq,
						 &registry->reap, jiffies);
	/* If it was queued already, it has a reference. */
	if (was_queued)
		mmdrop(registry->mm);
}

/**
 * mm_iommu_reap_soon - give up what nobody registers or maps any more
 * @registry: the registry; the caller keeps its mm
 *
 * Work that is to run soon is not put off: a guest that maps and unmaps all the
 * time does not keep idle regions.
 *
 * Context: Any but real mode.
 */
void mm_iommu_reap_soon(struct mm_iommu *registry)
{
	if (!xchg(&registry->soon, true))
		reap_in(registry, REAP_DELAY, true);
}

/* Real mode uncounts without telling, so look again. */
static void reap_while_idle(struct mm_iommu *registry)
{
	if (IS_ENABLED(CONFIG_SPAPR_TCE_REAL_MODE) &&
	    !list_empty(&registry->idle))
		reap_in(registry, REAP_INTERVAL, false);
}

static void reap_work(struct work_struct *work)
{
	struct mm_iommu *registry = container_of(to_delayed_work(work),
						 struct mm_iommu, reap);
	struct mm_struct *mm = registry->mm;

	/* Before the counts are looked at: a later change queues this anew. */
	xchg(&registry->soon, false);
	reap(registry);
	mutex_lock(&registry->lock);
	reap_while_idle(registry);
	mutex_unlock(&registry->lock);
	mmdrop(mm);
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
	INIT_DELAYED_WORK(&registry->reap, reap_work);
	spin_lock_init(&registry->pinning_lock);
	INIT_LIST_HEAD(&registry->pinning);
	init_waitqueue_head(&registry->pinning_wait);

	won = cmpxchg(&mm->context.mm_iommu, NULL, registry);
	if (won) {
		kfree(registry);
		return won;
	}
	list_registry(registry);

	return registry;
}
EXPORT_SYMBOL_GPL(mm_iommu_registry);

/* Is no call before this one registering part of its range? */
static bool is_its_turn(struct mm_iommu *registry, const struct pinning *self)
{
	const struct pinning *other;
	bool is_its_turn = true;

	spin_lock(&registry->pinning_lock);
	list_for_each_entry(other, &registry->pinning, next) {
		if (other == self)
			break;
		if (other->ua < self->end && self->ua < other->end) {
			is_its_turn = false;
			break;
		}
	}
	spin_unlock(&registry->pinning_lock);

	return is_its_turn;
}

/* To be followed by pinning_end(), also if it fails. */
static int pinning_begin(struct mm_iommu *registry, struct pinning *self)
{
	spin_lock(&registry->pinning_lock);
	list_add_tail(&self->next, &registry->pinning);
	spin_unlock(&registry->pinning_lock);

	return wait_event_killable(registry->pinning_wait,
				   is_its_turn(registry, self));
}

static void pinning_end(struct mm_iommu *registry, struct pinning *self)
{
	spin_lock(&registry->pinning_lock);
	list_del(&self->next);
	/* All that wait are in the list. */
	if (!list_empty(&registry->pinning))
		wake_up_all(&registry->pinning_wait);
	spin_unlock(&registry->pinning_lock);
}

/*
 * Take a reference to the region that is just this range, if there is one. The
 * registry's lock is held. -EINVAL if part of the range is registered.
 */
static int get_registered(struct mm_iommu *registry, const struct pinning *range,
			  struct mm_iommu_region **pregion)
{
	struct mm_iommu_region *region;

	region = mm_iommu_index_find(&registry->index, range->ua);
	if (!region || region->ua != range->ua ||
	    mm_iommu_end(region) != range->end)
		return mm_iommu_index_overlaps(&registry->index, range->ua,
					       range->end) ? -EINVAL : 0;

	if (!add_refs(region, 1)) {
		list_del_init(&region->idle);
		registry->nr_idle--;
		atomic64_sub(MM_IOMMU_IDLE, &region->entries);
	}
	*pregion = region;

	return 0;
}

/* Others who need the registry's lock do not wait for memory. */
static int insert_region(struct mm_iommu *registry,
			 struct mm_iommu_region *region)
{
	/* Mostly enough */
	struct mm_iommu_spare spare = { .want_leaves = 1 };
	int ret;

	do {
		ret = mm_iommu_index_prepare(&spare) ?:
		      mutex_lock_killable(&registry->lock);
		if (ret)
			break;
		ret = mm_iommu_index_insert(&registry->index, &spare,
					    region->ua, mm_iommu_end(region),
					    region);
		mutex_unlock(&registry->lock);
	} while (ret == -EAGAIN);
	mm_iommu_index_forget(&spare);

	return ret;
}

/* No other call registers part of the range meanwhile. */
static int register_range(struct mm_iommu *registry,
			  const struct pinning *range,
			  struct mm_iommu_region **pregion)
{
	struct mm_iommu_region *region;
	int ret;

	/* A region without users must not be found with its old pages. */
	mm_iommu_reap(registry->mm);

	ret = mutex_lock_killable(&registry->lock);
	if (ret)
		return ret;

	*pregion = NULL;
	ret = get_registered(registry, range, pregion);
	mutex_unlock(&registry->lock);
	if (ret || *pregion)
		return ret;

	region = region_create(registry, range->ua,
			       (range->end - range->ua) >> PAGE_SHIFT);
	if (IS_ERR(region))
		return PTR_ERR(region);

	ret = insert_region(registry, region);
	if (ret) {
		region_destroy(region);
		return ret;
	}
	*pregion = region;

	return 0;
}

/**
 * mm_iommu_register - register a range, or take another reference to it
 * @registry: the registry of current->mm
 * @ua: userspace address of the first byte
 * @nr_pages: pages of PAGE_SIZE; not 0, and the range does not wrap
 * @pregion: where the region goes, with one reference for the caller
 *
 * Pins the pages for as long as the range is registered, and charges them to
 * locked_vm, when the range was not registered yet. Waits for calls that came
 * before and register part of the range.
 *
 * Context: May sleep; takes the registry's lock and mmap_lock. A fatal signal
 *	    ends it.
 * Return: 0, or with nothing changed:
 *	   -EINVAL  @ua is not page aligned, or part of the range is registered
 *	   -EFAULT  part of the range cannot be written by the process
 *	   -ENOMEM  no memory, or over the limit of locked memory
 *	   -EINTR   killed
 */
int mm_iommu_register(struct mm_iommu *registry, unsigned long ua,
		      unsigned long nr_pages, struct mm_iommu_region **pregion)
{
	struct pinning range = {
		.ua = ua,
		.end = ua + (nr_pages << PAGE_SHIFT),
	};
	int ret;

	if (offset_in_page(ua) || !nr_pages)
		return -EINVAL;

	ret = pinning_begin(registry, &range) ? -EINTR : 0;
	if (!ret)
		ret = register_range(registry, &range, pregion);
	pinning_end(registry, &range);
	trace_spapr_tce_register(ua, nr_pages, ret);

	return ret;
}
EXPORT_SYMBOL_GPL(mm_iommu_register);

/**
 * mm_iommu_unregister - let go of one reference, if the region may go
 * @region: the region; with the last reference it is gone
 *
 * Context: May sleep; takes the registry's lock and mmap_lock. A fatal signal
 *	    ends the wait for the lock, nothing else.
 * Return: 0, or with nothing changed:
 *	   -EBUSY  this is the last reference, and entries point into the region
 *	   -EINTR  killed
 */
int mm_iommu_unregister(struct mm_iommu_region *region)
{
	unsigned long ua = region->ua, nr_pages = region->nr_pages;
	struct mm_iommu *registry = region->registry;
	LIST_HEAD(gone);
	int ret;

	ret = mutex_lock_killable(&registry->lock);
	if (ret)
		return ret;

	if (region->refs > 1)
		add_refs(region, -1);
	else if (!try_give_up(region, &gone))
		ret = -EBUSY;
	mutex_unlock(&registry->lock);
	destroy_all(&gone);
	trace_spapr_tce_unregister(ua, nr_pages, ret);

	return ret;
}
EXPORT_SYMBOL_GPL(mm_iommu_unregister);

/**
 * mm_iommu_let_go - let go of one reference, whatever points into the region
 * @region: the region
 *
 * For a container that dies. Entries left are those of other containers of the
 * same mm, or of hypercalls: the region stays, pinned and charged, until the
 * last of them is uncounted.
 *
 * Context: May sleep; takes the registry's lock, which is held for short, and
 *	    mmap_lock.
 */
void mm_iommu_let_go(struct mm_iommu_region *region)
{
	unsigned long ua = region->ua, nr_pages = region->nr_pages;
	struct mm_iommu *registry = region->registry;
	LIST_HEAD(gone);

	mutex_lock(&registry->lock);
	if (add_refs(region, -1) == 1) {
		list_add_tail(&region->idle, &registry->idle);
		registry->nr_idle++;
		/*
		 * Either this finds no entry left, or mm_iommu_uncount() of the
		 * last one finds the flag.
		 */
		atomic64_add(MM_IOMMU_IDLE, &region->entries);
		if (!try_give_up(region, &gone))
			reap_while_idle(registry);
	}
	mutex_unlock(&registry->lock);
	destroy_all(&gone);
	trace_spapr_tce_unregister(ua, nr_pages, 0);
}
EXPORT_SYMBOL_GPL(mm_iommu_let_go);

/**
 * mm_iommu_reap - give up the regions that nobody registers or maps any more
 * @mm: whose
 *
 * For a caller that has uncounted entries, and wants their regions to be gone
 * when it returns, not soon after.
 *
 * Context: May sleep; takes the registry's lock and mmap_lock, if there is such
 *	    a region.
 */
void mm_iommu_reap(struct mm_struct *mm)
{
	struct mm_iommu *registry = READ_ONCE(mm->context.mm_iommu);

	if (registry &&
	    atomic_read(&registry->uncounted) != READ_ONCE(registry->reaped))
		reap(registry);
}
EXPORT_SYMBOL_GPL(mm_iommu_reap);

/**
 * mm_iommu_destroy - free the registry of an mm that is being freed
 * @mm: the mm; no container has it any more, so nothing is registered, and no
 *	owner of a table
 *
 * A region idles even so if a hypervisor refused to clear its entries. A device
 * may reach it, so its memory stays pinned for ever; nobody finds it any more.
 *
 * Context: Any.
 */
void mm_iommu_destroy(struct mm_struct *mm)
{
	struct mm_iommu *registry = mm->context.mm_iommu;

	if (!registry)
		return;

	if (!list_empty(&registry->idle))
		pr_warn_ratelimited("%lu regions stay pinned: entries were not cleared\n",
				    registry->nr_idle);
	unlist_registry(registry);
	mm_iommu_index_destroy(&registry->index);
	kfree(registry);
}

/**
 * mm_iommu_next - the first region from an address on
 * @registry: the registry
 * @ua: any address
 *
 * With mm_iommu_end() it goes through all regions. Those that come or go
 * meanwhile may be missed or not.
 *
 * Context: Any; lock-free. In a read-side section, as mm_iommu_find().
 * Return: the region, NULL if none begins at @ua or behind.
 */
struct mm_iommu_region *mm_iommu_next(const struct mm_iommu *registry,
				      unsigned long ua)
{
	return mm_iommu_index_next(&registry->index, ua);
}

#ifdef CONFIG_SPAPR_TCE_CHECK
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
