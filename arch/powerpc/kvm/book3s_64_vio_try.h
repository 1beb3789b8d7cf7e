/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LIOBNs of a guest: changes that wait for nothing.
 *
 * Built twice, into real mode, which has no other way, and into virtual mode,
 * which tries it first. The rules of real mode hold, see book3s_64_vio_hv.c.
 */
#ifndef _POWERPC_BOOK3S_64_VIO_TRY_H
#define _POWERPC_BOOK3S_64_VIO_TRY_H

#include <linux/string.h>

#include <asm/asm-compat.h>
#include <asm/tce_owner_rm.h>

#include "book3s_64_vio.h"

/* Take the locks of a range that is not longer than a list: one or two. */
static inline bool liobn_trylock(struct kvmppc_liobn *l, unsigned long index,
				 unsigned long nr)
{
	unsigned int first = liobn_lock_of(index);
	unsigned int last = liobn_lock_of(index + nr - 1);

	if (!liobn_trylock_one(l, first))
		return false;

	if (last != first && !liobn_trylock_one(l, last)) {
		liobn_unlock_one(l, first);
		return false;
	}

	return true;
}

static inline void liobn_unlock(struct kvmppc_liobn *l, unsigned long index,
				unsigned long nr)
{
	unsigned int first = liobn_lock_of(index);
	unsigned int last = liobn_lock_of(index + nr - 1);

	liobn_unlock_one(l, first);
	if (last != first)
		liobn_unlock_one(l, last);
}

/* Write the same to entries of the guest's table, as far as it has memory. */
static inline void liobn_fill(const struct kvmppc_liobn *l,
			      unsigned long index, unsigned long nr, u64 tce)
{
	while (nr) {
		unsigned long n = liobn_in_page(index, nr);
		u64 *entry = kvmppc_liobn_tce(l, index);

		if (entry)
			memset64(entry, tce, n);
		index += n;
		nr -= n;
	}
}

/* Write a list to the guest's table, which has the memory. */
static inline void liobn_copy(const struct kvmppc_liobn *l,
			      unsigned long index, unsigned long nr,
			      const u64 *tces)
{
	while (nr) {
		unsigned long n = liobn_in_page(index, nr);

		tce_copy(kvmppc_liobn_tce(l, index), tces, n);
		tces += n;
		index += n;
		nr -= n;
	}
}

/* Has the guest's table memory for a list? That is in one page or in two. */
static inline bool liobn_has_pages(const struct kvmppc_liobn *l,
				   unsigned long index, unsigned long nr)
{
	return kvmppc_liobn_tce(l, index) &&
	       (nr == 1 || kvmppc_liobn_tce(l, index + nr - 1));
}

/* By one instruction, as the guest may write to it meanwhile. */
static __always_inline u64 liobn_read_tce(const __be64 *tce)
{
	u64 value;

	asm volatile(LDX_BE " %0,%y1" : "=r" (value) : "Z" (*tce));

	return value;
}

/*
 * Copy a list, which may be @list->tce itself. False if an entry of it points to
 * what is not memory.
 */
static inline bool liobn_read_list(const struct kvmppc_liobn *l,
				   struct kvm_memslots *slots,
				   const __be64 *tces, unsigned long nr,
				   struct liobn_list *list)
{
	struct liobn_memory memory = { 0 };
	unsigned long i;

	for (i = 0; i < nr; i++) {
		u64 tce = liobn_read_tce(&tces[i]);

		list->tce[i] = tce;
		if (!liobn_to_ua(l, slots, &memory, tce, &list->ua[i]))
			return false;
	}

	return true;
}

/**
 * struct liobn_run - memory of one region in one memslot
 * @gpa: guest address where it begins
 * @bytes: of what pages of the LIOBN can begin at, and TCE_PERM_MASK
 * @page: a word of each page, see mm_iommu_word_hpa(); NULL if they are
 *	  contiguous
 * @ua: what makes a userspace address of an entry of a list
 * @hpa: without @page, what makes a TCE of it
 */
struct liobn_run {
	unsigned long gpa;
	unsigned long bytes;
	const u64 *page;
	unsigned long ua;
	unsigned long hpa;
};

/* The part of a region's run that a memslot shows to the guest. */
static __always_inline void liobn_clip_run(const struct liobn_memory *memory,
					   const struct mm_iommu_run *at,
					   struct liobn_run *run)
{
	unsigned long first, end;

	/* By userspace addresses: the run may begin below guest address 0. */
	first = max(memory->gpa + memory->delta, at->ua);
	end = min(memory->gpa + memory->delta + memory->bytes,
		  at->ua + at->bytes);
	run->gpa = first - memory->delta;
	run->bytes = end - first;
	run->page = at->page;
	if (run->page)
		run->page += (first - at->ua) >> PAGE_SHIFT;
	run->ua = memory->delta;
	run->hpa = memory->delta + at->hpa - at->ua;
}

/*
 * Copy a list for a table whose pages are as large as the LIOBN's, and have it
 * counted and translated: liobn_read_list() and tce_list_hold() in one pass.
 */
static inline bool liobn_hold_list(const struct kvmppc_liobn *l,
				   struct kvm_memslots *slots,
				   const __be64 *tces, struct liobn_list *list,
				   struct tce_list *hw)
{
	unsigned long align = ((1UL << l->page_shift) - 1) & ~TCE_PERM_MASK;
	u64 *to = list->tce, *ua = list->ua, *hw_tce = list->hw_tce;
	unsigned long nr = hw->nr, bits = 0, here = 0, i;
	struct liobn_memory memory = { 0 };
	struct mm_iommu_run at = { 0 };
	struct liobn_run run = { 0 };
	struct tce_walk walk;

	tce_walk_begin(&walk, hw, true);
	for (i = 0; i < nr; i++) {
		u64 tce = liobn_read_tce(&tces[i]);

		to[i] = tce;
		if (!(tce & TCE_PERM_MASK)) {
			ua[i] = 0;
			hw_tce[i] = 0;
			walk.nr_unmapped++;
			continue;
		}
		if (tce - run.gpa >= run.bytes) {
			/* What addresses that ascend come to most. */
			if (tce - memory.gpa >= memory.bytes ||
			    !mm_iommu_run_ahead(walk.region, tce + memory.delta,
						&at)) {
				struct mm_iommu_run found;

				walk.perm |= here;
				bits |= here;
				here = 0;
				if (!liobn_to_ua(l, slots, &memory, tce,
						 &ua[i]) ||
				    !tce_walk_find(&walk, i, ua[i], &found))
					break;
				/* A copy can be in registers. */
				at = found;
			}
			liobn_clip_run(&memory, &at, &run);
		}
		here |= tce;
		ua[i] = tce + run.ua;
		hw_tce[i] = run.page ?
			    mm_iommu_word_hpa(run.page[(tce - run.gpa) >>
						       PAGE_SHIFT], tce) :
			    tce + run.hpa;
	}
	walk.perm |= here;
	bits |= here;

	if (!tce_walk_end(&walk, i))
		return false;
	if (!(bits & align))
		return true;

	tce_list_release(hw);

	return false;
}

/*
 * Find the pages of a list's entries again, for @nr entries of a hardware table
 * from the list's @from'th on, whose pages are 1 / 2 ^ @shift of the LIOBN's.
 */
static inline void liobn_expand(const struct kvmppc_liobn *l,
				struct kvm_memslots *slots,
				struct liobn_list *list, unsigned int shift,
				unsigned long from, unsigned long nr)
{
	unsigned int page_shift = l->page_shift - shift;
	struct liobn_memory memory = { 0 };
	unsigned long i, sub;

	for (i = 0; i < nr; i++) {
		u64 tce = list->tce[(from + i) >> shift], ua = 0;

		liobn_to_ua(l, slots, &memory, tce, &ua);
		sub = (from + i) & ((1UL << shift) - 1);
		list->ua[i] = ua ? ua + (sub << page_shift) : 0;
	}
}

static inline bool liobn_stuff_table(const struct kvmppc_liobn *l,
				     struct iommu_table *tbl,
				     unsigned long first, unsigned long nr,
				     bool real_mode)
{
	unsigned int shift = liobn_sub_shift(l, tbl);
	unsigned long entry = first << shift;
	struct tce_try try __uninitialized;
	bool ok;

	nr <<= shift;
	if (tce_try_begin(&try, tbl, entry, nr, real_mode))
		return false;

	ok = tce_try_prepare(&try, entry, nr);
	if (ok)
		tce_try_unmap(&try, entry, nr);
	tce_try_end(&try);

	return ok;
}

/**
 * liobn_try_stuff - unmap entries without waiting for anything
 * @l: the LIOBN
 * @tables: its hardware tables, or NULL
 * @first: first entry: bus address >> page shift; the range is in the table
 * @nr: how many, 1 to TCE_LIST_MAX
 * @tce: what to write to the guest's table, without permission bits
 * @real_mode: in real mode
 *
 * Context: Real mode, or in rcu_read_lock() without preemption.
 * Return: false, with nothing changed, if it can't be done this way.
 */
static inline bool liobn_try_stuff(struct kvmppc_liobn *l,
				   const struct liobn_tables *tables,
				   unsigned long first, unsigned long nr,
				   u64 tce, bool real_mode)
{
	unsigned long index = first - l->offset;
	bool ok;

	if ((tables && tables->nr > 1) ||
	    (tce && !liobn_has_pages(l, index, nr)) ||
	    !liobn_trylock(l, index, nr))
		return false;

	ok = !tables ||
	     liobn_stuff_table(l, tables->tbl[0], first, nr, real_mode);
	if (ok)
		liobn_fill(l, index, nr, tce);
	liobn_unlock(l, index, nr);

	return ok;
}

/**
 * liobn_is_simple - can liobn_hold_list() do a list
 * @l: the LIOBN
 * @tables: its hardware tables, or NULL
 *
 * Context: Any, real mode included.
 * Return: true if there is one table, of pages that are as large.
 */
static inline bool liobn_is_simple(const struct kvmppc_liobn *l,
				   const struct liobn_tables *tables)
{
	return tables && tables->nr == 1 && !liobn_sub_shift(l, tables->tbl[0]);
}

/**
 * liobn_try_list - write a list without waiting for anything
 * @l: the LIOBN
 * @hw: what goes to its hardware table, counted; NULL if it has none
 * @first: first entry: bus address >> page shift; the range is in the table
 * @nr: how many, 1 to TCE_LIST_MAX
 * @tces: what goes to the guest's table
 * @real_mode: in real mode
 *
 * Context: Real mode, or in rcu_read_lock() without preemption.
 * Return: false, with nothing changed and nothing counted any more, if it can't
 *	   be done this way.
 */
static inline bool liobn_try_list(struct kvmppc_liobn *l,
				  const struct tce_list *hw,
				  unsigned long first, unsigned long nr,
				  const u64 *tces, bool real_mode)
{
	unsigned long index = first - l->offset;
	bool ok;

	if (!liobn_has_pages(l, index, nr) || !liobn_trylock(l, index, nr)) {
		if (hw)
			tce_list_release(hw);
		return false;
	}

	ok = !hw || tce_try_list(hw, real_mode);
	if (ok)
		liobn_copy(l, index, nr, tces);
	liobn_unlock(l, index, nr);

	return ok;
}

/**
 * liobn_put_list - write a list from memory without waiting for anything
 * @l: the LIOBN
 * @slots: the memslots of the VM
 * @tables: its hardware tables, or NULL
 * @first: first entry: bus address >> page shift; the range is in the table
 * @nr: how many, 1 to TCE_LIST_MAX
 * @tces: the list, which is read once; in virtual mode it is @list->tce
 * @list: where it goes
 * @real_mode: in real mode
 *
 * Context: Real mode, or in rcu_read_lock() without preemption.
 * Return: 0, or with nothing changed: -EINVAL if some of it is not memory, or
 *	   not registered; -EAGAIN, but for real mode with @list->tce filled in,
 *	   if it can't be done this way.
 */
static inline int liobn_put_list(struct kvmppc_liobn *l,
				 struct kvm_memslots *slots,
				 const struct liobn_tables *tables,
				 unsigned long first, unsigned long nr,
				 const __be64 *tces, struct liobn_list *list,
				 bool real_mode)
{
	struct tce_list hw = { .ua = list->ua, .tce = list->hw_tce };
	bool large = false;
	unsigned int shift;

	if (tables) {
		hw.tbl = tables->tbl[0];
		shift = liobn_sub_shift(l, hw.tbl);
		hw.entry = first << shift;
		hw.nr = nr << shift;
		/* Whether large pages are contiguous takes long to find out. */
		large = hw.tbl->it_page_shift > PAGE_SHIFT;
		if (large && real_mode)
			return -EAGAIN;
	}

	if (liobn_is_simple(l, tables) && !large) {
		if (!liobn_hold_list(l, slots, tces, list, &hw))
			return -EINVAL;
	} else {
		if (!liobn_read_list(l, slots, tces, nr, list))
			return -EINVAL;
		if (tables && (tables->nr > 1 || large || hw.nr > TCE_TRY_MAX))
			return -EAGAIN;
		if (tables) {
			liobn_expand(l, slots, list, shift, 0, hw.nr);
			if (!tce_list_hold(&hw))
				return -EINVAL;
		}
	}

	if (!liobn_try_list(l, tables ? &hw : NULL, first, nr, list->tce,
			    real_mode))
		return -EAGAIN;

	return 0;
}

/**
 * liobn_try_one - write one entry without waiting for anything
 * @l: the LIOBN
 * @tables: its hardware tables, or NULL
 * @first: the entry: bus address >> page shift; it is in the table
 * @tce: what to write, with permission bits
 * @ua: userspace address of the page, with the same
 * @real_mode: in real mode
 *
 * Context: Real mode, or in rcu_read_lock() without preemption.
 * Return: false, with nothing changed, if it can't be done this way.
 */
static inline bool liobn_try_one(struct kvmppc_liobn *l,
				 const struct liobn_tables *tables,
				 unsigned long first, u64 tce, u64 ua,
				 bool real_mode)
{
	unsigned long index = first - l->offset;
	unsigned int lock = liobn_lock_of(index);
	u64 *entry = kvmppc_liobn_tce(l, index);
	bool ok;

	if (!entry || (tables && !liobn_is_simple(l, tables)) ||
	    !liobn_trylock_one(l, lock))
		return false;

	ok = !tables || tce_try_one(tables->tbl[0], first, ua, real_mode);
	if (ok)
		WRITE_ONCE(*entry, tce);
	liobn_unlock_one(l, lock);

	return ok;
}

#endif /* _POWERPC_BOOK3S_64_VIO_TRY_H */
