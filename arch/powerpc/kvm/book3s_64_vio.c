// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hypercalls that change LIOBNs of a guest, in virtual mode.
 *
 * Copyright 2010 Paul Mackerras, IBM Corp. <paulus@au1.ibm.com>
 * Copyright 2011 David Gibson, IBM Corporation <dwg@au1.ibm.com>
 * Copyright 2016 Alexey Kardashevskiy, IBM Corporation <aik@au1.ibm.com>
 *
 * A hypercall is validated whole, with its list copied once, before anything
 * changes. Then all that can fail is done for all attached tables: entries are
 * counted in their regions, memory is allocated; a process that is being killed
 * gets no further. What is left cannot fail, unless a hypervisor below refuses;
 * in particular, it is finished even if the process is being killed. How
 * hardware tables are changed: kernel/tce/list.h.
 *
 * A list that can't be written because there is no memory, or because a
 * hypervisor below refuses, ends as H_NOT_ENOUGH_RESOURCES: Linux as a guest
 * gives its mapping up at this value, and takes all other errors for success.
 *
 * Most hypercalls end before that: all memory is there, and no other thread
 * works on the same entries. See book3s_64_vio_template.h.
 *
 * Entries of hardware tables change along with the guest's under locks that
 * cover blocks of the guest's entries: book3s_64_vio_table.c. Which hardware
 * tables these are: book3s_64_vio_attach.c.
 *
 * Hypercalls find LIOBNs and their tables in a read-side section of the VM's
 * srcu, in which they may sleep; real mode is in one whenever a guest runs.
 * All that they may hold is freed, or put, after synchronising with it.
 */

#include <linux/cleanup.h>
#include <linux/kvm_host.h>
#include <linux/mm.h>
#include <linux/rculist.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/srcu.h>

#include <asm/hvcall.h>
#include <asm/kvm_ppc.h>
#include <asm/tce_owner.h>
#include <asm/trace_spapr_tce.h>

#include "../kernel/tce/gate.h"
#include "book3s_64_vio.h"
#include "book3s_64_vio_template.h"

/* Entries of the guest's table that are filled without rescheduling. */
#define GUEST_FILL_ENTRIES	65536UL

/* All of what follows is called within kvm->srcu. */

static struct kvmppc_tce_table *find_table(struct kvm *kvm, u64 number)
{
	struct kvmppc_tce_table *t;
	unsigned int looked = 0;

	list_for_each_entry_rcu(t, &kvm->arch.spapr_tce_tables, next,
				srcu_read_lock_held(&kvm->srcu)) {
		if (t->number == number)
			return t;
		if (!(++looked % GUEST_LOOK_LIOBNS))
			cond_resched();
	}
	trace_spapr_tce_too_hard(number, SPAPR_TCE_NO_LIOBN);

	return NULL;
}

static const struct hw_tables *tables_of(const struct kvmppc_tce_table *t)
{
	return srcu_dereference(t->tables, &t->kvm->srcu);
}

/* Undo count_all(), for the first @nr_tables tables. */
static void uncount_all(const struct kvmppc_tce_table *t,
			const struct hw_tables *tables,
			unsigned int nr_tables, unsigned long first,
			unsigned long nr, struct guest_list *list)
{
	unsigned int i;

	for (i = 0; i < nr_tables; i++) {
		struct tce_list hw = guest_hw_list(t, tables->tbl[i], first, nr,
						   list);

		tce_list_uncount(&hw);
	}
}

/* Count a list for all tables, and have all that it takes to write it. */
static long count_all(const struct kvmppc_tce_table *t,
		      const struct hw_tables *tables, unsigned long first,
		      unsigned long nr, struct guest_list *list,
		      struct tce_stash *stash)
{
	unsigned int i;

	for (i = 0; tables && i < tables->nr; i++) {
		struct tce_list hw = guest_hw_list(t, tables->tbl[i], first, nr,
						   list);
		int ret = tce_list_count(&hw, stash);

		if (!ret)
			continue;
		uncount_all(t, tables, i, first, nr, list);
		if (ret == -ENOMEM || ret == -EINTR)
			return H_NOT_ENOUGH_RESOURCES;
		trace_spapr_tce_too_hard(t->number, SPAPR_TCE_NOT_REGISTERED);
		return H_TOO_HARD;
	}

	return H_SUCCESS;
}

/* Write a counted list to all hardware tables; false if that was refused. */
static bool write_hw_tables(const struct kvmppc_tce_table *t,
			    const struct hw_tables *tables, unsigned long first,
			    unsigned long nr, struct guest_list *list,
			    struct tce_stash *stash)
{
	bool ok = true;
	unsigned int i;

	for (i = 0; tables && i < tables->nr; i++) {
		struct tce_list hw = guest_hw_list(t, tables->tbl[i], first, nr,
						   list);

		ok &= is_done(tce_list_write(&hw, stash));
	}

	return ok;
}

/* Unmap entries from all hardware tables; false if that was refused. */
static bool unmap_all(const struct kvmppc_tce_table *t,
		      const struct hw_tables *tables, unsigned long first,
		      unsigned long nr, struct tce_stash *stash)
{
	bool ok = true;
	unsigned int i;

	for (i = 0; tables && i < tables->nr; i++) {
		struct iommu_table *tbl = tables->tbl[i];
		unsigned int shift = guest_sub_shift(t, tbl);

		ok &= is_done(tce_unmap_stashed(tbl, first << shift,
						nr << shift, stash));
	}

	return ok;
}

/* Write a counted list to all tables, and to the guest's. */
static long write_all(struct kvmppc_tce_table *t,
		      const struct hw_tables *tables,
		      unsigned long first, unsigned long nr,
		      struct guest_list *list, struct tce_stash *stash)
{
	unsigned long index = first - t->offset;
	bool ok;

	kvmppc_tce_lock(t, index, nr);
	ok = write_hw_tables(t, tables, first, nr, list, stash);
	if (ok) {
		guest_copy(t, index, nr, list->tce);
	} else {
		unmap_all(t, tables, first, nr, stash);
		guest_fill(t, index, nr, 0);
	}
	kvmppc_tce_unlock(t, index, nr);

	return ok ? H_SUCCESS : H_NOT_ENOUGH_RESOURCES;
}

/* Write a list with @list->tce and @list->ua, whatever it takes. */
static long write_list(struct kvmppc_tce_table *t, unsigned long first,
		       unsigned long nr, struct guest_list *list)
{
	const struct hw_tables *tables = tables_of(t);
	struct tce_stash stash = {};
	long ret;

	if (kvmppc_tce_grow(t, first - t->offset, nr))
		return H_NOT_ENOUGH_RESOURCES;

	ret = count_all(t, tables, first, nr, list, &stash);
	if (!ret)
		ret = write_all(t, tables, first, nr, list, &stash);
	tce_stash_empty(&stash);

	return ret;
}

/* Where the vCPU's lists go; NULL without memory. */
static struct guest_list *list_of(struct kvm_vcpu *vcpu)
{
	if (!vcpu->arch.tce_list)
		vcpu->arch.tce_list = kmalloc(sizeof(*vcpu->arch.tce_list),
					      GFP_KERNEL_ACCOUNT);

	return vcpu->arch.tce_list;
}

static int write_one_now(struct kvmppc_tce_table *t, unsigned long entry,
			 u64 tce, u64 ua)
{
	int ret;

	rcu_read_lock();
	preempt_disable();
	ret = guest_write_one(t, tables_of(t), entry, tce, ua, false);
	preempt_enable();
	rcu_read_unlock();
	kvmppc_tce_wake_up(t);

	return ret;
}

static long write_one(struct kvm_vcpu *vcpu, struct kvmppc_tce_table *t,
		      unsigned long entry, u64 tce)
{
	const struct guest_slots guest = { t, kvm_memslots(t->kvm) };
	struct tce_memory memory = { 0 };
	struct guest_list *list;
	int ret;
	u64 ua;

	if (!guest_to_ua(&guest, &memory, tce, &ua)) {
		trace_spapr_tce_too_hard(t->number, SPAPR_TCE_NOT_GUEST_MEMORY);
		return H_TOO_HARD;
	}

	ret = write_one_now(t, entry, tce, ua);
	if (!ret)
		return H_SUCCESS;
	if (ret == -EIO)
		return H_NOT_ENOUGH_RESOURCES;

	list = list_of(vcpu);
	if (!list)
		return H_NOT_ENOUGH_RESOURCES;

	list->tce[0] = tce;
	list->ua[0] = ua;

	return write_list(t, entry, 1, list);
}

static bool stuff_now(struct kvmppc_tce_table *t, unsigned long entry, u64 tce,
		      unsigned long nr)
{
	bool ok;

	rcu_read_lock();
	preempt_disable();
	ok = guest_stuff_now(t, tables_of(t), entry, nr, tce, false);
	preempt_enable();
	rcu_read_unlock();
	kvmppc_tce_wake_up(t);

	return ok;
}

static long stuff(struct kvmppc_tce_table *t, unsigned long entry, u64 tce,
		  unsigned long nr)
{
	const struct hw_tables *tables = tables_of(t);
	unsigned long index = entry - t->offset, i, n;
	struct tce_stash stash = {};
	long ret = H_SUCCESS;

	if (nr <= TCE_LIST_MAX && stuff_now(t, entry, tce, nr))
		return H_SUCCESS;

	if ((tce && kvmppc_tce_grow(t, index, nr)) ||
	    (tables && tce_stash_add(&stash, tables->nr))) {
		ret = H_NOT_ENOUGH_RESOURCES;
		goto out;
	}

	kvmppc_tce_lock(t, index, nr);
	if (!unmap_all(t, tables, entry, nr, &stash))
		ret = H_HARDWARE;
	for (i = 0; i < nr; i += n) {
		n = min(nr - i, GUEST_FILL_ENTRIES);
		guest_fill(t, index + i, n, tce);
		cond_resched();
	}
	kvmppc_tce_unlock(t, index, nr);
out:
	tce_stash_empty(&stash);

	return ret;
}

/**
 * kvmppc_h_put_tce - H_PUT_TCE (PAPR, TCE and I/O hypervisor calls)
 * @vcpu: the vCPU
 * @liobn: which table
 * @ioba: bus address of the page
 * @tce: guest address of the page and permission bits; without, it is unmapped
 *
 * Context: May sleep.
 * Return: H_SUCCESS; or with nothing changed: H_PARAMETER if @ioba is not that
 *	   of a page in the table, H_NOT_ENOUGH_RESOURCES without memory or
 *	   if the process is being killed, H_TOO_HARD for user space: no such
 *	   LIOBN, or not memory of the guest that is registered. If KVM runs
 *	   in a partition whose hypervisor refuses: H_NOT_ENOUGH_RESOURCES
 *	   with the entry unmapped; H_HARDWARE, if the entry was to be
 *	   unmapped, and is not.
 */
long kvmppc_h_put_tce(struct kvm_vcpu *vcpu, unsigned long liobn,
		      unsigned long ioba, unsigned long tce)
{
	struct kvmppc_tce_table *t;
	long ret = H_TOO_HARD;
	int idx;

	guard(tce_check)();
	idx = srcu_read_lock(&vcpu->kvm->srcu);
	t = find_table(vcpu->kvm, liobn);
	if (!t)
		goto out;

	ret = H_PARAMETER;
	if (!kvmppc_tce_has(t, ioba, 1))
		goto out;

	if (tce & TCE_PERM_MASK)
		ret = write_one(vcpu, t, ioba >> t->page_shift, tce);
	else
		ret = stuff(t, ioba >> t->page_shift, tce, 1);
out:
	srcu_read_unlock(&vcpu->kvm->srcu, idx);

	return ret;
}
EXPORT_SYMBOL_GPL(kvmppc_h_put_tce);

/*
 * Copy a guest's list, as it is now: memory may be another than is registered.
 */
static bool copy_list(struct kvmppc_tce_table *t, unsigned long tce_list,
		      unsigned long nr, struct guest_list *list)
{
	if (!kvm_read_guest(t->kvm, tce_list, list->tce,
			    nr * sizeof(list->tce[0])))
		return true;

	trace_spapr_tce_too_hard(t->number, SPAPR_TCE_LIST_UNREADABLE);

	return false;
}

/* As guest_write_list(), for a copied list. */
static int write_list_now(struct kvmppc_tce_table *t,
			  struct kvm_memslots *slots,
			  unsigned long first, unsigned long nr,
			  struct guest_list *list)
{
	int ret;

	rcu_read_lock();
	preempt_disable();
	ret = guest_write_list(t, slots, tables_of(t), first, nr,
			       (__be64 *)list->tce, list, false);
	preempt_enable();
	rcu_read_unlock();
	kvmppc_tce_wake_up(t);

	return ret;
}

/* Copy the guest's list and write what it says. */
static long copy_and_write(struct kvm_vcpu *vcpu, struct kvmppc_tce_table *t,
			   unsigned long first, unsigned long tce_list,
			   unsigned long nr)
{
	/*
	 * One set for all of it: another may lack what was found in this one.
	 */
	const struct guest_slots guest = { t, kvm_memslots(t->kvm) };
	struct guest_list *list = list_of(vcpu);
	int ret;

	if (!list)
		return H_NOT_ENOUGH_RESOURCES;

	if (!copy_list(t, tce_list, nr, list))
		return H_TOO_HARD;

	ret = write_list_now(t, guest.slots, first, nr, list);
	if (!ret)
		return H_SUCCESS;

	/* A refused list is copied and looked at again, to tell why. */
	if (ret != -EAGAIN && !copy_list(t, tce_list, nr, list))
		return H_TOO_HARD;

	if (ret != -EAGAIN &&
	    !guest_read_list(&guest, (__be64 *)list->tce, nr, list)) {
		trace_spapr_tce_too_hard(t->number, SPAPR_TCE_NOT_GUEST_MEMORY);
		return H_TOO_HARD;
	}

	return write_list(t, first, nr, list);
}

/**
 * kvmppc_h_put_tce_indirect - H_PUT_TCE_INDIRECT
 * @vcpu: the vCPU
 * @liobn: which table
 * @ioba: bus address of the first page
 * @tce_list: guest address of a list of TCEs, aligned to 4 KiB
 * @npages: how many, up to 512
 *
 * Context: May sleep.
 * Return: as kvmppc_h_put_tce(), and H_PARAMETER also if @tce_list is not
 *	   aligned or @npages too large.
 */
long kvmppc_h_put_tce_indirect(struct kvm_vcpu *vcpu, unsigned long liobn,
			       unsigned long ioba, unsigned long tce_list,
			       unsigned long npages)
{
	struct kvmppc_tce_table *t;
	long ret = H_TOO_HARD;
	int idx;

	guard(tce_check)();
	idx = srcu_read_lock(&vcpu->kvm->srcu);
	t = find_table(vcpu->kvm, liobn);
	if (!t)
		goto out;

	ret = H_PARAMETER;
	if (npages > TCE_LIST_MAX || tce_list & (TCE_LIST_BYTES - 1) ||
	    !kvmppc_tce_has(t, ioba, npages))
		goto out;

	ret = H_SUCCESS;
	if (npages)
		ret = copy_and_write(vcpu, t, ioba >> t->page_shift, tce_list,
				     npages);
out:
	srcu_read_unlock(&vcpu->kvm->srcu, idx);

	return ret;
}
EXPORT_SYMBOL_GPL(kvmppc_h_put_tce_indirect);

/**
 * kvmppc_h_stuff_tce - H_STUFF_TCE
 * @vcpu: the vCPU
 * @liobn: which table
 * @ioba: bus address of the first page
 * @tce_value: what to write to each entry; without permission bits
 * @npages: how many pages
 *
 * Context: May sleep.
 * Return: as kvmppc_h_put_tce(), and H_PARAMETER also if @tce_value has
 *	   permission bits. H_HARDWARE: some entries are unmapped, others not.
 */
long kvmppc_h_stuff_tce(struct kvm_vcpu *vcpu, unsigned long liobn,
			unsigned long ioba, unsigned long tce_value,
			unsigned long npages)
{
	struct kvmppc_tce_table *t;
	long ret = H_TOO_HARD;
	int idx;

	guard(tce_check)();
	idx = srcu_read_lock(&vcpu->kvm->srcu);
	t = find_table(vcpu->kvm, liobn);
	if (!t)
		goto out;

	ret = H_PARAMETER;
	if (tce_value & TCE_PERM_MASK || !kvmppc_tce_has(t, ioba, npages))
		goto out;

	ret = H_SUCCESS;
	if (npages)
		ret = stuff(t, ioba >> t->page_shift, tce_value, npages);
out:
	srcu_read_unlock(&vcpu->kvm->srcu, idx);

	return ret;
}
EXPORT_SYMBOL_GPL(kvmppc_h_stuff_tce);

/**
 * kvmppc_h_get_tce - H_GET_TCE
 * @vcpu: the vCPU; the TCE goes to its GPR 4
 * @liobn: which table
 * @ioba: bus address of the page
 *
 * Context: May sleep.
 * Return: H_SUCCESS; H_PARAMETER if @ioba is not that of a page in the table;
 *	   H_TOO_HARD for user space, if there is no such LIOBN.
 */
long kvmppc_h_get_tce(struct kvm_vcpu *vcpu, unsigned long liobn,
		      unsigned long ioba)
{
	int idx = srcu_read_lock(&vcpu->kvm->srcu);
	struct kvmppc_tce_table *t;
	long ret = H_TOO_HARD;
	u64 *entry;

	t = find_table(vcpu->kvm, liobn);
	if (!t)
		goto out;

	ret = H_PARAMETER;
	if (!kvmppc_tce_has(t, ioba, 1))
		goto out;

	ret = H_SUCCESS;
	entry = kvmppc_tce_entry(t, (ioba >> t->page_shift) - t->offset);
	kvmppc_set_gpr(vcpu, 4, entry ? READ_ONCE(*entry) : 0);
out:
	srcu_read_unlock(&vcpu->kvm->srcu, idx);

	return ret;
}
EXPORT_SYMBOL_GPL(kvmppc_h_get_tce);
