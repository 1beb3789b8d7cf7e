/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Template of what hypercalls do without waiting for anything. It is compiled
 * twice: into book3s_64_vio_hv.c, where it runs in real mode and has to be part
 * of the kernel, and into book3s_64_vio.c, where virtual mode tries it first and
 * which is part of a module.
 *
 * Translates guest addresses to userspace addresses, and writes the guest's own
 * table; the rest is asm/tce_list.h. The rules of real mode hold, see
 * book3s_64_vio_hv.c.
 */
#ifndef _POWERPC_BOOK3S_64_VIO_TEMPLATE_H
#define _POWERPC_BOOK3S_64_VIO_TEMPLATE_H

#include <linux/string.h>

#include <asm/tce_list.h>

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

/*
 * Copy a list, which may be @list->tce itself, with the address of each page.
 * False if an entry of it points to what is not memory.
 */
static inline bool liobn_read_list(const struct liobn_guest *guest,
				   const __be64 *tces, unsigned long nr,
				   struct liobn_list *list)
{
	struct tce_memory memory = { 0 };
	unsigned long i;

	for (i = 0; i < nr; i++) {
		u64 tce = tce_read_guest(&tces[i]);

		list->tce[i] = tce;
		if (!liobn_to_ua(guest, &memory, tce, &list->ua[i]))
			return false;
	}

	return true;
}

/* What a list with @list->ua, or to be read there, is for a hardware table. */
static __always_inline struct tce_list
liobn_hw_list(const struct kvmppc_liobn *l, struct iommu_table *tbl,
	      unsigned long first, unsigned long nr, struct liobn_list *list)
{
	unsigned int shift = liobn_sub_shift(l, tbl);
	struct tce_list hw = {
		.tbl	= tbl,
		.entry	= first << shift,
		.nr	= nr << shift,
		.shift	= shift,
		.page	= list->ua,
		.ua	= shift ? list->hw_ua : list->ua,
		.tce	= list->hw_tce,
	};

	return hw;
}

/* A window that is being removed takes nothing: what is for it is done. */
static __always_inline bool liobn_is_done(int ret)
{
	return !ret || ret == -ENXIO;
}

/**
 * liobn_stuff_now - unmap entries without waiting for anything
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
static inline bool liobn_stuff_now(struct kvmppc_liobn *l,
				   const struct liobn_tables *tables,
				   unsigned long first, unsigned long nr,
				   u64 tce, bool real_mode)
{
	unsigned long index = first - l->offset;
	bool ok = true;

	if ((tables && tables->nr > 1) ||
	    (tce && !liobn_has_pages(l, index, nr)) ||
	    !liobn_trylock(l, index, nr))
		return false;

	if (tables) {
		struct iommu_table *tbl = tables->tbl[0];
		unsigned int shift = liobn_sub_shift(l, tbl);

		ok = liobn_is_done(tce_unmap_now(tbl, first << shift,
						 nr << shift, real_mode));
	}
	if (ok)
		liobn_fill(l, index, nr, tce);
	liobn_unlock(l, index, nr);

	return ok;
}

/* Write a list to the tables; it is counted if there is a hardware table. */
static inline bool liobn_write_now(struct kvmppc_liobn *l,
				   const struct tce_list *hw,
				   unsigned long first, unsigned long nr,
				   const u64 *tces, bool real_mode)
{
	unsigned long index = first - l->offset;
	bool ok;

	if (!liobn_has_pages(l, index, nr) || !liobn_trylock(l, index, nr)) {
		if (hw)
			tce_list_uncount_now(hw);
		return false;
	}

	ok = !hw || liobn_is_done(tce_list_put_now(hw, real_mode));
	if (ok)
		liobn_copy(l, index, nr, tces);
	liobn_unlock(l, index, nr);

	return ok;
}

/**
 * liobn_put_now - write a list from memory without waiting for anything
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
 *	   not registered; -EAGAIN if it can't be done this way: in virtual mode
 *	   @list->tce and @list->ua are filled in then.
 */
static inline int liobn_put_now(struct kvmppc_liobn *l,
				struct kvm_memslots *slots,
				const struct liobn_tables *tables,
				unsigned long first, unsigned long nr,
				const __be64 *tces, struct liobn_list *list,
				bool real_mode)
{
	const struct liobn_guest guest = { l, slots };
	struct tce_list hw = { .nr = 0 };
	bool large = false;
	int ret;

	if (tables) {
		hw = liobn_hw_list(l, tables->tbl[0], first, nr, list);
		/* Whether large pages are contiguous takes long to find out. */
		large = hw.tbl->it_page_shift > PAGE_SHIFT;
		if (large && real_mode)
			return -EAGAIN;
	}

	if (tables && tables->nr == 1 && !hw.shift && !large) {
		/* At offsets that the compiler knows: it saves a register. */
		hw.ua = list->ua;
		hw.tce = list->hw_tce;
		if (!tce_list_read(&hw, tces, list->tce, liobn_find_memory,
				   &guest))
			return -EINVAL;
	} else {
		if (!liobn_read_list(&guest, tces, nr, list))
			return -EINVAL;
		if (tables && (tables->nr > 1 || large))
			return -EAGAIN;
		ret = tables ? tce_list_count_now(&hw) : 0;
		if (ret)
			return ret;
	}

	if (!liobn_write_now(l, tables ? &hw : NULL, first, nr, list->tce,
			     real_mode))
		return -EAGAIN;

	return 0;
}

/**
 * liobn_put_one_now - write one entry without waiting for anything
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
static inline bool liobn_put_one_now(struct kvmppc_liobn *l,
				     const struct liobn_tables *tables,
				     unsigned long first, u64 tce, u64 ua,
				     bool real_mode)
{
	unsigned long index = first - l->offset;
	unsigned int lock = liobn_lock_of(index);
	u64 *entry = kvmppc_liobn_tce(l, index);
	bool ok;

	if (!entry ||
	    (tables && (tables->nr > 1 || liobn_sub_shift(l, tables->tbl[0]))) ||
	    !liobn_trylock_one(l, lock))
		return false;

	ok = !tables || liobn_is_done(tce_map_one_now(tables->tbl[0], first, ua,
						      real_mode));
	if (ok)
		WRITE_ONCE(*entry, tce);
	liobn_unlock_one(l, lock);

	return ok;
}

#endif /* _POWERPC_BOOK3S_64_VIO_TEMPLATE_H */
