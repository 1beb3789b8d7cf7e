/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Template of what hypercalls do without waiting for anything. It is compiled
 * twice: into book3s_64_vio_hv.c, where it runs in real mode and has to be part
 * of the kernel, and into book3s_64_vio.c, where virtual mode tries it first
 * and which is part of a module.
 *
 * Translates guest addresses to userspace addresses, and writes the guest's own
 * table; the rest is kernel/tce/list.h. The rules of real mode hold, see
 * book3s_64_vio_hv.c.
 */
#ifndef _POWERPC_BOOK3S_64_VIO_TEMPLATE_H
#define _POWERPC_BOOK3S_64_VIO_TEMPLATE_H

#include <linux/string.h>

#include "book3s_64_vio.h"

/* Take the locks of a range that is not longer than a list: one or two. */
static inline bool guest_trylock(struct kvmppc_tce_table *t,
				 unsigned long index, unsigned long nr)
{
	unsigned int first = guest_lock_of(index);
	unsigned int last = guest_lock_of(index + nr - 1);

	if (!guest_trylock_one(t, first))
		return false;

	if (last != first && !guest_trylock_one(t, last)) {
		guest_unlock_one(t, first);
		return false;
	}

	return true;
}

static inline void guest_unlock(struct kvmppc_tce_table *t, unsigned long index,
				unsigned long nr)
{
	unsigned int first = guest_lock_of(index);
	unsigned int last = guest_lock_of(index + nr - 1);

	guest_unlock_one(t, first);
	if (last != first)
		guest_unlock_one(t, last);
}

/* Write the same to entries of the guest's table, as far as it has memory. */
static inline void guest_fill(const struct kvmppc_tce_table *t,
			      unsigned long index, unsigned long nr, u64 tce)
{
	while (nr) {
		unsigned long n = guest_in_page(index, nr);
		u64 *entry = kvmppc_tce_entry(t, index);

		if (entry)
			memset64(entry, tce, n);
		index += n;
		nr -= n;
	}
}

/* Write a list to the guest's table, which has the memory. */
static inline void guest_copy(const struct kvmppc_tce_table *t,
			      unsigned long index, unsigned long nr,
			      const u64 *tces)
{
	while (nr) {
		unsigned long n = guest_in_page(index, nr);

		tce_copy(kvmppc_tce_entry(t, index), tces, n);
		tces += n;
		index += n;
		nr -= n;
	}
}

/* Has the guest's table memory for a list? That is in one page or in two. */
static inline bool guest_has_pages(const struct kvmppc_tce_table *t,
				   unsigned long index, unsigned long nr)
{
	return kvmppc_tce_entry(t, index) &&
	       (nr == 1 || kvmppc_tce_entry(t, index + nr - 1));
}

/*
 * Copy a list, which may be @list->tce itself, with the address of each page.
 * False if an entry of it points to what is not memory.
 */
static inline bool guest_read_list(const struct guest_slots *guest,
				   const __be64 *tces, unsigned long nr,
				   struct guest_list *list)
{
	struct tce_memory memory = { 0 };
	unsigned long i;

	for (i = 0; i < nr; i++) {
		u64 tce = tce_read_guest(&tces[i]);

		list->tce[i] = tce;
		if (!guest_to_ua(guest, &memory, tce, &list->ua[i]))
			return false;
	}

	return true;
}

/* What a list with @list->ua, or to be read there, is for a hardware table. */
static __always_inline struct tce_list
guest_hw_list(const struct kvmppc_tce_table *t, struct iommu_table *tbl,
	      unsigned long first, unsigned long nr, struct guest_list *list)
{
	unsigned int shift = guest_sub_shift(t, tbl);
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
static __always_inline bool is_done(int ret)
{
	return !ret || ret == -ENXIO;
}

/**
 * guest_stuff_now - unmap entries without waiting for anything
 * @t: the guest's table
 * @tables: its hardware tables, or NULL
 * @first: first entry: bus address >> page shift; the range is in the table
 * @nr: how many, 1 to TCE_LIST_MAX
 * @tce: what to write to the guest's table, without permission bits
 * @real_mode: in real mode
 *
 * Context: Real mode, or in rcu_read_lock() without preemption.
 * Return: false, with nothing changed, if it can't be done this way.
 */
static inline bool guest_stuff_now(struct kvmppc_tce_table *t,
				   const struct hw_tables *tables,
				   unsigned long first, unsigned long nr,
				   u64 tce, bool real_mode)
{
	unsigned long index = first - t->offset;
	bool ok = true;

	if ((tables && tables->nr > 1) ||
	    (tce && !guest_has_pages(t, index, nr)) ||
	    !guest_trylock(t, index, nr))
		return false;

	if (tables) {
		struct iommu_table *tbl = tables->tbl[0];
		unsigned int shift = guest_sub_shift(t, tbl);

		ok = is_done(tce_unmap_now(tbl, first << shift,
					   nr << shift, real_mode));
	}
	if (ok)
		guest_fill(t, index, nr, tce);
	guest_unlock(t, index, nr);

	return ok;
}

/* Write a list to the tables; it is counted if there is a hardware table. */
static inline bool guest_write_counted(struct kvmppc_tce_table *t,
				       const struct tce_list *hw,
				       unsigned long first, unsigned long nr,
				       const u64 *tces, bool real_mode)
{
	unsigned long index = first - t->offset;
	bool ok;

	if (!guest_has_pages(t, index, nr) || !guest_trylock(t, index, nr)) {
		if (hw)
			tce_list_uncount_now(hw);
		return false;
	}

	ok = !hw || is_done(tce_list_write_now(hw, real_mode));
	if (ok)
		guest_copy(t, index, nr, tces);
	guest_unlock(t, index, nr);

	return ok;
}

/**
 * guest_write_list - write a list from memory without waiting for anything
 * @t: the guest's table
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
static inline int guest_write_list(struct kvmppc_tce_table *t,
				   struct kvm_memslots *slots,
				   const struct hw_tables *tables,
				   unsigned long first, unsigned long nr,
				   const __be64 *tces, struct guest_list *list,
				   bool real_mode)
{
	const struct guest_slots guest = { t, slots };
	struct tce_list hw = { .nr = 0 };
	int ret;

	if (tables)
		hw = guest_hw_list(t, tables->tbl[0], first, nr, list);

	if (tables && tables->nr == 1 && !hw.shift &&
	    hw.tbl->it_page_shift <= PAGE_SHIFT) {
		/* At offsets that the compiler knows: it saves a register. */
		hw.ua = list->ua;
		hw.tce = list->hw_tce;
		if (!tce_list_read(&hw, tces, list->tce, guest_find_memory,
				   &guest))
			return -EINVAL;
	} else {
		if (!guest_read_list(&guest, tces, nr, list))
			return -EINVAL;
		if (tables && tables->nr > 1)
			return -EAGAIN;
		ret = tables ? tce_list_count_now(&hw) : 0;
		if (ret)
			return ret;
	}

	if (!guest_write_counted(t, tables ? &hw : NULL, first, nr, list->tce,
				 real_mode))
		return -EAGAIN;

	return 0;
}

/**
 * guest_write_one - write one entry without waiting for anything
 * @t: the guest's table
 * @tables: its hardware tables, or NULL
 * @first: the entry: bus address >> page shift; it is in the table
 * @tce: what to write, with permission bits
 * @ua: userspace address of the page, with the same
 * @real_mode: in real mode
 *
 * Context: Real mode, or in rcu_read_lock() without preemption.
 * Return: 0; -EIO if the hypervisor of a partition refused, and the entry is
 *	   empty; another error, with nothing changed, if it can't be done this
 *	   way.
 */
static inline int guest_write_one(struct kvmppc_tce_table *t,
				  const struct hw_tables *tables,
				  unsigned long first, u64 tce, u64 ua,
				  bool real_mode)
{
	unsigned long index = first - t->offset;
	unsigned int lock = guest_lock_of(index);
	u64 *entry = kvmppc_tce_entry(t, index);
	int ret = 0;

	if (tables && (tables->nr > 1 || guest_sub_shift(t, tables->tbl[0])))
		return -EAGAIN;
	if (!entry || !guest_trylock_one(t, lock))
		return -EAGAIN;

	if (tables)
		ret = tce_map_one_now(tables->tbl[0], first, ua, real_mode);
	if (is_done(ret)) {
		WRITE_ONCE(*entry, tce);
		ret = 0;
	} else if (ret == -EIO) {
		WRITE_ONCE(*entry, 0);
	}
	guest_unlock_one(t, lock);

	return ret;
}

#endif /* _POWERPC_BOOK3S_64_VIO_TEMPLATE_H */
