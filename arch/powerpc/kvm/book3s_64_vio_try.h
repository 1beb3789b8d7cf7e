/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LIOBNs of a guest: changes that wait for nothing.
 *
 * Built twice, into real mode, which has no other way, and into virtual mode,
 * which tries it first. The rules of real mode hold, see book3s_64_vio_hv.c.
 */
#ifndef _POWERPC_BOOK3S_64_VIO_TRY_H
#define _POWERPC_BOOK3S_64_VIO_TRY_H

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

/*
 * Has the guest's table memory for all of it, where it is needed? A list is in
 * one page or in two.
 */
static inline bool liobn_has_pages(const struct kvmppc_liobn *l,
				   unsigned long index, unsigned long nr,
				   const struct guest_run *runs,
				   unsigned int nr_runs)
{
	if (nr_runs == 1 && !runs[0].tce)
		return true;

	return kvmppc_liobn_tce(l, index) &&
	       kvmppc_liobn_tce(l, index + nr - 1);
}

static inline void liobn_fill_runs(const struct kvmppc_liobn *l,
				   unsigned long index,
				   const struct guest_run *runs,
				   unsigned int nr_runs)
{
	unsigned int i;

	for (i = 0; i < nr_runs; i++) {
		unsigned long n = liobn_in_page(index, runs[i].nr);
		u64 step = guest_run_step(l, &runs[i]);

		kvmppc_liobn_fill(l, index, n, runs[i].tce, step);
		if (n < runs[i].nr)
			kvmppc_liobn_fill(l, index + n, runs[i].nr - n,
					  runs[i].tce + n * step, step);
		index += runs[i].nr;
	}
}

static inline void liobn_release_runs(struct tce_try *try, unsigned int shift,
				      const struct guest_run *runs,
				      unsigned int nr_runs)
{
	unsigned int i;

	for (i = 0; i < nr_runs; i++) {
		if (runs[i].tce & TCE_PERM_MASK)
			tce_try_release(try, runs[i].ua, runs[i].nr << shift);
	}
}

static inline bool liobn_prepare_runs(struct tce_try *try, unsigned long entry,
				      unsigned int shift,
				      const struct guest_run *runs,
				      unsigned int nr_runs)
{
	unsigned int i;

	for (i = 0; i < nr_runs; i++) {
		unsigned long n = runs[i].nr << shift;

		if ((runs[i].ua & (IOMMU_PAGE_SIZE(try->tbl) - 1)) ||
		    !tce_try_prepare(try, entry, n, runs[i].ua,
				     runs[i].tce & TCE_PERM_MASK)) {
			liobn_release_runs(try, shift, runs, i);
			return false;
		}
		entry += n;
	}

	return true;
}

static inline void liobn_commit_runs(struct tce_try *try, unsigned long entry,
				     unsigned int shift,
				     const struct guest_run *runs,
				     unsigned int nr_runs)
{
	unsigned int i;

	for (i = 0; i < nr_runs; i++) {
		unsigned long perm = runs[i].tce & TCE_PERM_MASK;
		unsigned long n = runs[i].nr << shift;

		if (perm)
			tce_try_map(try, entry, n, runs[i].ua, perm);
		else
			tce_try_unmap(try, entry, n);
		entry += n;
	}
}

static inline bool liobn_try_table(const struct kvmppc_liobn *l,
				   struct iommu_table *tbl, unsigned long first,
				   unsigned long nr,
				   const struct guest_run *runs,
				   unsigned int nr_runs, bool real_mode)
{
	unsigned int shift = liobn_sub_shift(l, tbl);
	unsigned long entry = first << shift;
	struct tce_try try;
	bool ok;

	if (!tce_try_begin(&try, tbl, entry, nr << shift, real_mode))
		return false;

	ok = liobn_prepare_runs(&try, entry, shift, runs, nr_runs);
	if (ok)
		liobn_commit_runs(&try, entry, shift, runs, nr_runs);
	tce_try_end(&try);

	return ok;
}

/**
 * liobn_try - write entries without waiting for anything
 * @l: the LIOBN
 * @tables: its hardware tables, or NULL
 * @first: first entry: bus address >> page shift; the range is in the table
 * @nr: how many, 1 to TCE_LIST_MAX
 * @runs: what to write
 * @nr_runs: how many runs the @nr entries are
 * @real_mode: in real mode
 *
 * Context: Real mode, or in rcu_read_lock() without preemption.
 * Return: false, with nothing changed, if it can't be done this way.
 */
static inline bool liobn_try(struct kvmppc_liobn *l,
			     const struct liobn_tables *tables,
			     unsigned long first, unsigned long nr,
			     const struct guest_run *runs,
			     unsigned int nr_runs, bool real_mode)
{
	unsigned long index = first - l->offset;
	bool ok;

	if ((tables && tables->nr > 1) ||
	    !liobn_has_pages(l, index, nr, runs, nr_runs) ||
	    !liobn_trylock(l, index, nr))
		return false;

	ok = !tables || liobn_try_table(l, tables->tbl[0], first, nr, runs,
					nr_runs, real_mode);
	if (ok)
		liobn_fill_runs(l, index, runs, nr_runs);
	liobn_unlock(l, index, nr);

	return ok;
}

#endif /* _POWERPC_BOOK3S_64_VIO_TRY_H */
