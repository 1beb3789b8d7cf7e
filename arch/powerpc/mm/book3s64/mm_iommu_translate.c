// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Registered memory: from a userspace address to the region and to physical
 * addresses.
 *
 * Lock-free, and run in real mode as well: what is read here lies in the linear
 * map. A region is found in a read-side section. Its addresses are taken with
 * an entry of it counted, because they are freed when it is given up.
 */

#include <linux/export.h>
#include <linux/kernel.h>
#include <linux/mm.h>

#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/paca.h>

#include "mm_iommu_private.h"

/**
 * mm_iommu_find - the region that holds a userspace address
 * @registry: the registry
 * @ua: any address
 *
 * Context: Any, real mode included; lock-free. In a read-side section, see
 *	    tce_free_deferred(), also if an entry of the region is counted: that
 *	    keeps the region, but not the way to it.
 * Return: the region, NULL if the address is not registered.
 */
struct mm_iommu_region *mm_iommu_find(const struct mm_iommu *registry,
				      unsigned long ua)
{
	return mm_iommu_index_find(&registry->index, ua);
}

/* Is the guest's context not left yet, as in hypercalls that end early? */
static bool in_guest_context(void)
{
#ifdef CONFIG_KVM_BOOK3S_64_HANDLER
	return local_paca->kvm_hstate.in_guest;
#else
	return false;
#endif
}

/**
 * mm_iommu_uncounted - entries of a region without a reference were uncounted
 * @registry: where the region is
 * @entries: its count after that
 *
 * Has the region given up when that was the last one: soon, by a work item; in
 * real mode, which can't queue one, by the work that mm_iommu_let_go() has
 * queued, within a second.
 *
 * Context: Any, real mode included.
 */
void mm_iommu_uncounted(struct mm_iommu *registry, s64 entries)
{
	if (entries != MM_IOMMU_IDLE)
		return;

	/* Count before @uncounted, both before @soon; pairs with reap(). */
	smp_mb();
	atomic_inc(&registry->uncounted);
	if (!in_guest_context())
		mm_iommu_reap_soon(registry);
}
EXPORT_SYMBOL_GPL(mm_iommu_uncounted);

/* The run that page @page lies in, of a region that is kept as runs. */
static unsigned long run_of(const struct mm_iommu_region *region,
			    unsigned long page)
{
	unsigned long nr = mm_iommu_nr_blocks(2 * region->nr_runs);
	unsigned long block = 0, low = 0;
	const u64 *words;

	while (nr > 1) {
		unsigned long half = nr / 2;

		if (region->blocks[block + half][0] <= page)
			block += half;
		nr -= half;
	}

	words = region->blocks[block];
	nr = mm_iommu_words_in_block(2 * region->nr_runs, block) / 2;
	while (nr > 1) {
		unsigned long half = nr / 2;

		if (words[2 * (low + half)] <= page)
			low += half;
		nr -= half;
	}

	return block * (MM_IOMMU_BLOCK_WORDS / 2) + low;
}

/**
 * mm_iommu_find_extent - the memory around an address
 * @region: the region; the address lies in it
 * @ua: userspace address
 * @extent: where it goes: a run, or all pages of a block
 *
 * Context: Any, real mode included; lock-free. An entry of the region is
 *	    counted.
 */
void mm_iommu_find_extent(const struct mm_iommu_region *region,
			  unsigned long ua, struct mm_iommu_extent *extent)
{
	unsigned long page = (ua - region->ua) >> PAGE_SHIFT, i, block, nr;

	extent->word = NULL;
	extent->last = NULL;
	if (!region->nr_runs) {
		block = page >> MM_IOMMU_BLOCK_SHIFT;
		nr = mm_iommu_words_in_block(region->nr_pages, block);
		extent->page = region->blocks[block];
		extent->hpa = 0;
		extent->ua = region->ua +
			     (block << MM_IOMMU_BLOCK_SHIFT << PAGE_SHIFT);
		extent->bytes = nr << PAGE_SHIFT;
		return;
	}

	i = run_of(region, page);
	extent->page = NULL;
	extent->word = mm_iommu_word(region, 2 * i);
	extent->ua = region->ua + (extent->word[0] << PAGE_SHIFT);
	extent->bytes = mm_iommu_run_pages(region, i) << PAGE_SHIFT;
	extent->hpa = extent->word[1];

	/* Where the last run of a block ends, the block does not say. */
	block = 2 * i >> MM_IOMMU_BLOCK_SHIFT;
	nr = mm_iommu_words_in_block(2 * region->nr_runs, block);
	if (nr >= 4)
		extent->last = region->blocks[block] + nr - 4;
}

/**
 * mm_iommu_find_hpa - the physical address of a byte
 * @region: the region, not of one run; the byte lies in it
 * @ua: its userspace address
 *
 * Context: Any, real mode included; lock-free. An entry of the region is
 *	    counted.
 * Return: the physical address.
 */
unsigned long mm_iommu_find_hpa(const struct mm_iommu_region *region,
				unsigned long ua)
{
	unsigned long page = (ua - region->ua) >> PAGE_SHIFT;
	const u64 *word;

	if (!region->nr_runs)
		return mm_iommu_word_hpa(*mm_iommu_word(region, page), ua);

	word = mm_iommu_word(region, 2 * run_of(region, page));

	return word[1] + (ua - region->ua) - (word[0] << PAGE_SHIFT);
}

/*
 * Bytes that are contiguous from @ua on, and where. In the dense form it may be
 * more, but not twice as many: of an IOMMU page it is all or not.
 */
static unsigned long contiguous(const struct mm_iommu_region *region,
				unsigned long ua, unsigned long *hpa)
{
	unsigned long offset = offset_in_page(ua), skip, run, pages;
	unsigned long page = (ua - region->ua) >> PAGE_SHIFT;
	const u64 *word;

	if (region->nr_runs == 1) {
		*hpa = region->blocks[0][1] + (ua - region->ua);
		return mm_iommu_end(region) - ua;
	}

	if (!region->nr_runs) {
		word = mm_iommu_word(region, page);
		*hpa = mm_iommu_word_hpa(*word, ua);
		return (PAGE_SIZE << (*word & ~PAGE_MASK)) - offset;
	}

	run = run_of(region, page);
	word = mm_iommu_word(region, 2 * run);
	skip = page - word[0];
	pages = mm_iommu_run_pages(region, run) - skip;
	*hpa = word[1] + (skip << PAGE_SHIFT) + offset;

	return (pages << PAGE_SHIFT) - offset;
}

/**
 * mm_iommu_is_whole - can an IOMMU page larger than the kernel's be mapped
 * @region: the region; the first byte of the IOMMU page lies in it
 * @ua: its userspace address, aligned to the IOMMU page
 * @page_shift: size of the IOMMU page
 * @hpa: where its physical address goes, if it can
 *
 * Context: Any, real mode included; lock-free. An entry of the region is
 *	    counted.
 * Return: true if all of it is in the region, contiguous and aligned.
 */
bool mm_iommu_is_whole(const struct mm_iommu_region *region, unsigned long ua,
		       unsigned int page_shift, unsigned long *hpa)
{
	unsigned long bytes = contiguous(region, ua, hpa);

	return bytes >> page_shift && !(*hpa & ((1UL << page_shift) - 1));
}

/*
 * As mm_iommu_translate(), of a region that is kept as one word a page, for
 * IOMMU pages that no kernel page is smaller than. Each kernel page is a run,
 * because few of them have their neighbour behind them; the last one ends where
 * a block does.
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
	const u64 *word = mm_iommu_word(region, page);
	unsigned long nr, done;

	/* In one page, as most are. */
	if (skip + nr_entries <= 1UL << per_page_shift) {
		runs[0].hpa = mm_iommu_word_hpa(*word, ua);
		runs[0].entries = nr_entries;
		*nr_runs = 1;
		return nr_entries;
	}

	nr = ((nr_entries + skip - 1) >> per_page_shift) + 1;
	nr = min3(nr, MM_IOMMU_BLOCK_WORDS - in_block, (unsigned long)*nr_runs);
	*nr_runs = nr;

#pragma GCC unroll 4
	for (i = 0; i < nr; i++) {
		runs[i].hpa = word[i] & PAGE_MASK;
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
	const u64 *word = mm_iommu_word(region, 2 * run);
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
				word = mm_iommu_word(region, 2 * run);
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

		n = min(contiguous(region, ua, &hpa), want) >> page_shift;
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
