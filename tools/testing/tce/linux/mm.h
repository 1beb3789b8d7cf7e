/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process of which nothing exists but its page table, which is an array of
 * page frame numbers, and pages that know nothing but how often they are
 * pinned. The page size is chosen anew in each run.
 */
#ifndef _FUZZ_LINUX_MM_H
#define _FUZZ_LINUX_MM_H

#include <linux/align.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/kconfig.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/types.h>

#include "fuzz.h"

extern unsigned int fuzz_page_shift;

#define PAGE_SHIFT		fuzz_page_shift
#define PAGE_SIZE		(1UL << PAGE_SHIFT)
#define PAGE_MASK		(~(PAGE_SIZE - 1))
#define offset_in_page(p)	((unsigned long)(p) & (PAGE_SIZE - 1))

#define __va(pa)		((void *)(unsigned long)(pa))
#define __pa(va)		((unsigned long)(va))
#define pfn_valid(pfn)		true

struct mm_iommu;

struct mm_struct {
	int mm_count;
	struct {
		struct mm_iommu *mm_iommu;
	} context;
};

struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
};

struct page {
	unsigned int pins;
};

#define FOLL_WRITE	1
#define FOLL_LONGTERM	2

int mmap_read_lock_killable(struct mm_struct *mm);
void mmap_read_unlock(struct mm_struct *mm);
int mmap_write_lock_killable(struct mm_struct *mm);
void mmap_write_unlock(struct mm_struct *mm);
struct vm_area_struct *find_vma(struct mm_struct *mm, unsigned long addr);

struct vma_iterator {
	struct mm_struct *mm;
	unsigned long addr;
};

#define VMA_ITERATOR(name, of_mm, from) \
	struct vma_iterator name = { .mm = of_mm, .addr = from }

static inline struct vm_area_struct *next_vma(struct vma_iterator *vmi,
					      unsigned long end)
{
	struct vm_area_struct *vma = find_vma(vmi->mm, vmi->addr);

	if (!vma || vma->vm_start >= end)
		return NULL;
	vmi->addr = vma->vm_end;

	return vma;
}

#define for_each_vma_range(vmi, vma, end) \
	for (; (vma = next_vma(&(vmi), end)); )

int account_locked_vm(struct mm_struct *mm, unsigned long pages, bool inc);
int __account_locked_vm(struct mm_struct *mm, unsigned long pages, bool inc,
			void *task, bool bypass_rlim);
struct page *pfn_to_page(unsigned long pfn);
unsigned long page_to_pfn(const struct page *page);
void unpin_user_pages(struct page **pages, unsigned long nr_pages);
int pin_user_pages_fast(unsigned long start, int nr_pages,
			unsigned int gup_flags, struct page **pages);
void unpin_user_page_range_dirty_lock(struct page *page, unsigned long nr_pages,
				      bool make_dirty);

#define CONFIG_SPARSEMEM	1
#define PAGES_PER_SECTION	256UL

static inline void mmgrab(struct mm_struct *mm)
{
	mm->mm_count++;
}

/* The fuzzer keeps it. */
static inline void mmdrop(struct mm_struct *mm)
{
	require(--mm->mm_count > 0);
}

#define WARN_ON_ONCE(condition)	require(!(condition))

#endif /* _FUZZ_LINUX_MM_H */
