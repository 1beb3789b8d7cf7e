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
 * counted in their regions, memory is allocated. What is left cannot fail: it
 * is done chunk by chunk of each table (see tce/view.h), with one invalidation
 * for each. All that a list has for a chunk is written under one lock of it, so
 * nothing comes in between.
 *
 * A list that can't be written for want of memory, or since a hypervisor below
 * refuses, ends as H_NOT_ENOUGH_RESOURCES: Linux as a guest gives its mapping up
 * at this value, and takes all other errors for success.
 *
 * Most hypercalls are over before that, for they change what there is memory for
 * and nobody else is at: book3s_64_vio_try.h.
 *
 * Entries of hardware tables change along with the guest's under locks that
 * cover blocks of the guest's entries: book3s_64_vio_table.c. Which hardware
 * tables these are: book3s_64_vio_attach.c.
 *
 * Hypercalls find LIOBNs and their tables in a read-side section of the VM's
 * srcu, in which they may sleep; real mode is in one whenever a guest runs.
 * What they may hold is freed, or put, after synchronising with it.
 */

#include <linux/kvm_host.h>
#include <linux/mm.h>
#include <linux/rculist.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include <asm/hvcall.h>
#include <asm/kvm_ppc.h>
#include <asm/tce_check.h>
#include <asm/tce_owner.h>
#include <asm/trace_spapr_tce.h>

#include "book3s_64_vio.h"
#include "book3s_64_vio_try.h"

/* Entries of the guest's table that are filled without giving way. */
#define LIOBN_FILL_ENTRIES	65536UL

/* All of what follows is called within kvm->srcu. */

static struct kvmppc_liobn *find_liobn(struct kvm *kvm, u64 number)
{
	struct kvmppc_liobn *l;

	list_for_each_entry_rcu(l, &kvm->arch.spapr_tce_tables, next,
				srcu_read_lock_held(&kvm->srcu)) {
		if (l->number == number)
			return l;
	}
	trace_spapr_tce_too_hard(number, SPAPR_TCE_NO_LIOBN);

	return NULL;
}

static const struct liobn_tables *tables_of(const struct kvmppc_liobn *l)
{
	return srcu_dereference(l->tables, &l->kvm->srcu);
}

/**
 * struct liobn_put - what a guest's list is for one hardware table
 * @l: the guest's table
 * @list: the guest's list, translated
 * @tbl: the hardware table
 * @shift: log2 of the entries of @tbl in one of the guest's
 * @entry: first entry of @tbl
 * @nr: how many entries of @tbl
 *
 * It is written in pieces, for it may be long.
 */
struct liobn_put {
	const struct kvmppc_liobn *l;
	struct liobn_list *list;
	struct iommu_table *tbl;
	unsigned int shift;
	unsigned long entry;
	unsigned long nr;
};

static struct liobn_put put_of(const struct kvmppc_liobn *l,
			       struct iommu_table *tbl, unsigned long first,
			       unsigned long nr, struct liobn_list *list)
{
	unsigned int shift = liobn_sub_shift(l, tbl);
	struct liobn_put put = {
		.l	= l,
		.list	= list,
		.tbl	= tbl,
		.shift	= shift,
		.entry	= first << shift,
		.nr	= nr << shift,
	};

	return put;
}

/* The next entries, at most @end, of a chunk: from the @i'th on. */
static struct tce_list next_piece(const struct liobn_put *put, unsigned long i,
				  unsigned long end)
{
	struct tce_list piece = {
		.tbl	= put->tbl,
		.entry	= put->entry + i,
		.nr	= min3(end - i, TCE_TRY_MAX,
			       tce_chunk_left(put->tbl, put->entry + i)),
		.ua	= put->list->ua,
		.tce	= put->list->hw_tce,
	};

	liobn_expand(put->l, put->list->slots, put->list, put->shift,
		     i, piece.nr);

	return piece;
}

/* Uncount entries @i to @end - 1. */
static void release(const struct liobn_put *put, unsigned long i,
		    unsigned long end)
{
	while (i < end) {
		struct tce_list piece = next_piece(put, i, end);

		rcu_read_lock();
		tce_list_release(&piece);
		rcu_read_unlock();
		i += piece.nr;
		cond_resched();
	}
}

/* Count all entries, or none. */
static bool hold(const struct liobn_put *put)
{
	bool large = put->tbl->it_page_shift > PAGE_SHIFT;
	unsigned long i = 0;

	while (i < put->nr) {
		/* Whether a large page is contiguous takes long to find out. */
		unsigned long end = large ? i + 1 : put->nr;
		struct tce_list piece = next_piece(put, i, end);
		bool ok;

		rcu_read_lock();
		ok = tce_list_hold(&piece);
		rcu_read_unlock();
		if (!ok) {
			release(put, 0, i);
			return false;
		}
		i += piece.nr;
		cond_resched();
	}

	return true;
}

/* Have what it takes to write a list to one table. */
static long prepare_table(const struct liobn_put *put)
{
	if (!hold(put)) {
		trace_spapr_tce_too_hard(put->l->number,
					 SPAPR_TCE_NOT_REGISTERED);
		return H_TOO_HARD;
	}

	if (tce_grow(put->tbl, put->entry, put->nr)) {
		release(put, 0, put->nr);
		return H_NOT_ENOUGH_RESOURCES;
	}

	return H_SUCCESS;
}

static long prepare_tables(const struct kvmppc_liobn *l,
			   const struct liobn_tables *tables,
			   unsigned long first, unsigned long nr,
			   struct liobn_list *list)
{
	struct liobn_put put;
	unsigned int i;
	long ret;

	for (i = 0; tables && i < tables->nr; i++) {
		put = put_of(l, tables->tbl[i], first, nr, list);
		ret = prepare_table(&put);
		if (!ret)
			continue;
		while (i--) {
			put = put_of(l, tables->tbl[i], first, nr, list);
			release(&put, 0, put.nr);
		}
		return ret;
	}

	return H_SUCCESS;
}

/*
 * Write prepared entries @i to @end - 1, which are in one chunk. False if a
 * hypervisor below this one refused; a window that is being removed is as good
 * as written.
 */
static bool commit_chunk(const struct liobn_put *put, unsigned long i,
			 unsigned long end, struct tce_dense **spare)
{
	struct tce_try try;
	bool ok = true;

	if (tce_list_begin(&try, put->tbl, put->entry + i, spare)) {
		release(put, i, end);
		return true;
	}

	while (i < end) {
		struct tce_list piece = next_piece(put, i, end);

		tce_list_translate(&piece);
		if (tce_list_commit(&try, &piece, spare))
			ok = false;
		i += piece.nr;
	}
	tce_list_end(&try);

	return ok;
}

/* Write a prepared list to one table; returns as commit_chunk(). */
static bool commit_table(const struct liobn_put *put)
{
	struct tce_dense *spare = NULL;
	struct tce_batch batch;
	unsigned long i = 0;
	bool ok = true;

	tce_batch_begin(&batch, put->tbl, put->entry, put->nr);
	while (i < put->nr) {
		unsigned long n = min(put->nr - i,
				      tce_chunk_left(put->tbl, put->entry + i));

		ok &= commit_chunk(put, i, i + n, &spare);
		i += n;
		cond_resched();
	}
	tce_batch_end(&batch);
	kfree(spare);

	return ok;
}

static void unmap_from_tables(const struct kvmppc_liobn *l,
			      const struct liobn_tables *tables,
			      unsigned long first, unsigned long nr)
{
	unsigned int i;

	for (i = 0; tables && i < tables->nr; i++) {
		struct iommu_table *tbl = tables->tbl[i];
		unsigned int shift = liobn_sub_shift(l, tbl);
		struct tce_batch batch;

		tce_batch_begin(&batch, tbl, first << shift, nr << shift);
		tce_batch_unmap(&batch, first << shift, nr << shift);
		tce_batch_end(&batch);
	}
}

/* Write a prepared list to all tables, and to the guest's. */
static long commit(struct kvmppc_liobn *l, const struct liobn_tables *tables,
		   unsigned long first, unsigned long nr,
		   struct liobn_list *list)
{
	unsigned long index = first - l->offset;
	bool ok = true;
	unsigned int i;

	kvmppc_liobn_lock(l, index, nr);
	for (i = 0; tables && i < tables->nr; i++) {
		struct liobn_put put = put_of(l, tables->tbl[i], first, nr, list);

		ok &= commit_table(&put);
	}

	if (ok) {
		liobn_copy(l, index, nr, list->tce);
	} else {
		unmap_from_tables(l, tables, first, nr);
		liobn_fill(l, index, nr, 0);
	}
	kvmppc_liobn_unlock(l, index, nr);

	return ok ? H_SUCCESS : H_NOT_ENOUGH_RESOURCES;
}

/* Write a list that liobn_read_list() found good, whatever it takes. */
static long put_list(struct kvmppc_liobn *l, unsigned long first,
		     unsigned long nr, struct liobn_list *list)
{
	const struct liobn_tables *tables = tables_of(l);
	long ret;

	if (kvmppc_liobn_grow(l, first - l->offset, nr))
		return H_NOT_ENOUGH_RESOURCES;

	ret = prepare_tables(l, tables, first, nr, list);
	if (ret)
		return ret;

	return commit(l, tables, first, nr, list);
}

/* Where the vCPU's lists go; NULL without memory. */
static struct liobn_list *list_of(struct kvm_vcpu *vcpu)
{
	if (!vcpu->arch.tce_list)
		vcpu->arch.tce_list = kmalloc(sizeof(*vcpu->arch.tce_list),
					      GFP_KERNEL_ACCOUNT);

	return vcpu->arch.tce_list;
}

static bool try_one(struct kvmppc_liobn *l, unsigned long entry, u64 tce,
		    u64 ua)
{
	bool ok;

	rcu_read_lock();
	preempt_disable();
	ok = liobn_try_one(l, tables_of(l), entry, tce, ua, false);
	preempt_enable();
	rcu_read_unlock();
	kvmppc_liobn_wake_up(l);

	return ok;
}

static long put_one(struct kvm_vcpu *vcpu, struct kvmppc_liobn *l,
		    unsigned long entry, u64 tce)
{
	struct kvm_memslots *slots = kvm_memslots(l->kvm);
	struct liobn_memory memory = { 0 };
	struct liobn_list *list;
	u64 ua;

	if (!liobn_to_ua(l, slots, &memory, tce, &ua)) {
		trace_spapr_tce_too_hard(l->number, SPAPR_TCE_NOT_GUEST_MEMORY);
		return H_TOO_HARD;
	}

	if (try_one(l, entry, tce, ua))
		return H_SUCCESS;

	list = list_of(vcpu);
	if (!list)
		return H_NOT_ENOUGH_RESOURCES;

	list->slots = slots;
	list->tce[0] = tce;

	return put_list(l, entry, 1, list);
}

static bool try_stuff(struct kvmppc_liobn *l, unsigned long entry, u64 tce,
		      unsigned long nr)
{
	bool ok;

	rcu_read_lock();
	preempt_disable();
	ok = liobn_try_stuff(l, tables_of(l), entry, nr, tce, false);
	preempt_enable();
	rcu_read_unlock();
	kvmppc_liobn_wake_up(l);

	return ok;
}

static long stuff(struct kvmppc_liobn *l, unsigned long entry, u64 tce,
		  unsigned long nr)
{
	unsigned long index = entry - l->offset, i, n;

	if (nr <= TCE_LIST_MAX && try_stuff(l, entry, tce, nr))
		return H_SUCCESS;

	if (tce && kvmppc_liobn_grow(l, index, nr))
		return H_NOT_ENOUGH_RESOURCES;

	kvmppc_liobn_lock(l, index, nr);
	unmap_from_tables(l, tables_of(l), entry, nr);
	for (i = 0; i < nr; i += n) {
		n = min(nr - i, LIOBN_FILL_ENTRIES);
		liobn_fill(l, index + i, n, tce);
		cond_resched();
	}
	kvmppc_liobn_unlock(l, index, nr);

	return H_SUCCESS;
}

/**
 * kvmppc_h_put_tce - H_PUT_TCE (PAPR, TCE and I/O hypervisor calls)
 * @vcpu: the vCPU
 * @liobn: which table
 * @ioba: bus address of the page
 * @tce: guest address of the page and permission bits; without, it is unmapped
 *
 * Context: May sleep.
 * Return: H_SUCCESS; or with nothing changed: H_PARAMETER if @ioba is not that of
 *	   a page in the table, H_NOT_ENOUGH_RESOURCES without memory, H_TOO_HARD
 *	   for user space: no such LIOBN, or not memory of the guest that is
 *	   registered. H_NOT_ENOUGH_RESOURCES with the entry unmapped if KVM runs
 *	   in a partition whose hypervisor refuses.
 */
long kvmppc_h_put_tce(struct kvm_vcpu *vcpu, unsigned long liobn,
		      unsigned long ioba, unsigned long tce)
{
	struct kvmppc_liobn *l;
	long ret = H_TOO_HARD;
	int idx;

	guard(tce_check)();
	idx = srcu_read_lock(&vcpu->kvm->srcu);
	l = find_liobn(vcpu->kvm, liobn);
	if (!l)
		goto out;

	ret = H_PARAMETER;
	if (!kvmppc_liobn_has(l, ioba, 1))
		goto out;

	if (tce & TCE_PERM_MASK)
		ret = put_one(vcpu, l, ioba >> l->page_shift, tce);
	else
		ret = stuff(l, ioba >> l->page_shift, tce, 1);
out:
	srcu_read_unlock(&vcpu->kvm->srcu, idx);

	return ret;
}
EXPORT_SYMBOL_GPL(kvmppc_h_put_tce);

/* Copy a guest's list, as it is now: memory may be another than is registered. */
static bool copy_list(struct kvmppc_liobn *l, unsigned long tce_list,
		      unsigned long nr, struct liobn_list *list)
{
	if (!kvm_read_guest(l->kvm, tce_list, list->tce,
			    nr * sizeof(list->tce[0])))
		return true;

	trace_spapr_tce_too_hard(l->number, SPAPR_TCE_LIST_UNREADABLE);

	return false;
}

/* As liobn_put_list(), for a copied list. */
static int try_put_list(struct kvmppc_liobn *l, unsigned long first,
			unsigned long nr, struct liobn_list *list)
{
	int ret;

	rcu_read_lock();
	preempt_disable();
	ret = liobn_put_list(l, list->slots, tables_of(l), first, nr,
			     (__be64 *)list->tce, list, false);
	preempt_enable();
	rcu_read_unlock();
	kvmppc_liobn_wake_up(l);

	return ret;
}

/* Copy the guest's list and write what it says. */
static long copy_and_put(struct kvm_vcpu *vcpu, struct kvmppc_liobn *l,
			 unsigned long first, unsigned long tce_list,
			 unsigned long nr)
{
	struct liobn_list *list = list_of(vcpu);
	int ret;

	if (!list)
		return H_NOT_ENOUGH_RESOURCES;

	/* One set for all of it: another may lack what was found in this one. */
	list->slots = kvm_memslots(l->kvm);
	if (!copy_list(l, tce_list, nr, list))
		return H_TOO_HARD;

	ret = try_put_list(l, first, nr, list);
	if (!ret)
		return H_SUCCESS;

	/* What is refused is copied and looked at again, to tell why. */
	if (ret != -EAGAIN && !copy_list(l, tce_list, nr, list))
		return H_TOO_HARD;

	if (ret != -EAGAIN &&
	    !liobn_read_list(l, list->slots, (__be64 *)list->tce, nr, list)) {
		trace_spapr_tce_too_hard(l->number, SPAPR_TCE_NOT_GUEST_MEMORY);
		return H_TOO_HARD;
	}

	return put_list(l, first, nr, list);
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
	struct kvmppc_liobn *l;
	long ret = H_TOO_HARD;
	int idx;

	guard(tce_check)();
	idx = srcu_read_lock(&vcpu->kvm->srcu);
	l = find_liobn(vcpu->kvm, liobn);
	if (!l)
		goto out;

	ret = H_PARAMETER;
	if (npages > TCE_LIST_MAX || tce_list & (TCE_LIST_BYTES - 1) ||
	    !kvmppc_liobn_has(l, ioba, npages))
		goto out;

	ret = H_SUCCESS;
	if (npages)
		ret = copy_and_put(vcpu, l, ioba >> l->page_shift, tce_list,
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
 *	   permission bits.
 */
long kvmppc_h_stuff_tce(struct kvm_vcpu *vcpu, unsigned long liobn,
			unsigned long ioba, unsigned long tce_value,
			unsigned long npages)
{
	struct kvmppc_liobn *l;
	long ret = H_TOO_HARD;
	int idx;

	guard(tce_check)();
	idx = srcu_read_lock(&vcpu->kvm->srcu);
	l = find_liobn(vcpu->kvm, liobn);
	if (!l)
		goto out;

	ret = H_PARAMETER;
	if (tce_value & TCE_PERM_MASK || !kvmppc_liobn_has(l, ioba, npages))
		goto out;

	ret = H_SUCCESS;
	if (npages)
		ret = stuff(l, ioba >> l->page_shift, tce_value, npages);
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
 *	   H_TOO_HARD for user space, for there is no such LIOBN.
 */
long kvmppc_h_get_tce(struct kvm_vcpu *vcpu, unsigned long liobn,
		      unsigned long ioba)
{
	int idx = srcu_read_lock(&vcpu->kvm->srcu);
	struct kvmppc_liobn *l;
	long ret = H_TOO_HARD;
	u64 *entry;

	l = find_liobn(vcpu->kvm, liobn);
	if (!l)
		goto out;

	ret = H_PARAMETER;
	if (!kvmppc_liobn_has(l, ioba, 1))
		goto out;

	ret = H_SUCCESS;
	entry = kvmppc_liobn_tce(l, (ioba >> l->page_shift) - l->offset);
	kvmppc_set_gpr(vcpu, 4, entry ? READ_ONCE(*entry) : 0);
out:
	srcu_read_unlock(&vcpu->kvm->srcu, idx);

	return ret;
}
EXPORT_SYMBOL_GPL(kvmppc_h_get_tce);
