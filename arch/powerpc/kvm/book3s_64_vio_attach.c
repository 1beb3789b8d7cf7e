// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * LIOBNs of a guest: the hardware tables that they change.
 *
 * No device reaches memory of a guest that is gone: the VM lives as long as any
 * of its LIOBNs, and when a LIOBN lets a hardware table go, all entries of its
 * range are unmapped there, by whomever they were mapped, as if the guest had
 * cleared its table last. It lets a table go when its file is closed, or when
 * the VM releases the last group that attached the table. But what other groups
 * use stays mapped: if the window also belongs to a group that the VM does not
 * know, as after one of two groups of a container is unplugged, the LIOBN keeps
 * the table without writing to it, until those groups have left or the LIOBN
 * goes as well.
 *
 * A window that is removed first leaves an attached table that takes nothing
 * any more, and that hypercalls therefore pass over.
 */

#include <linux/file.h>
#include <linux/iommu.h>
#include <linux/kvm_host.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include <asm/kvm_ppc.h>
#include <asm/tce_owner.h>

#include "book3s_64_vio.h"

/**
 * struct liobn_attachment - a hardware table that a LIOBN got from a group
 * @next: in the LIOBN's list
 * @tbl: the table, with a reference
 * @entry: first entry of the table that the LIOBN changes
 * @nr: how many
 * @group: the group; only compared. NULL if the VM has released it, and other
 *	   groups use the table: hypercalls do not
 */
struct liobn_attachment {
	struct list_head next;
	struct iommu_table *tbl;
	unsigned long entry;
	unsigned long nr;
	struct iommu_group *group;
};

/* No hypercall knows any of these any more. */
static void free_stale(struct liobn_tables *stale)
{
	while (stale) {
		struct liobn_tables *next = stale->stale;

		kfree(stale);
		stale = next;
	}
}

/* No hypercall writes to these tables any more: unmap what they have written. */
static void clear_and_put(struct list_head *gone)
{
	struct liobn_attachment *a, *next;

	list_for_each_entry_safe(a, next, gone, next) {
		tce_unmap(a->tbl, a->entry, a->nr);
		iommu_tce_table_put(a->tbl);
		kfree(a);
	}
}

/**
 * kvmppc_liobn_detach_all - let all hardware tables of a LIOBN go
 * @l: the LIOBN, that no hypercall knows any more
 *
 * Context: May sleep.
 */
void kvmppc_liobn_detach_all(struct kvmppc_liobn *l)
{
	free_stale(rcu_dereference_protected(l->tables, true));
	clear_and_put(&l->attachments);
}

/* Can what is put in the LIOBN go to the table as well? */
static bool table_fits(const struct kvmppc_liobn *l,
		       const struct iommu_table *tbl)
{
	if (tce_owner_mm(tbl) != l->kvm->mm)
		return false;

	return tbl->it_page_shift <= l->page_shift &&
	       tbl->it_offset << tbl->it_page_shift ==
	       l->offset << l->page_shift &&
	       tbl->it_size << tbl->it_page_shift >= l->size << l->page_shift;
}

/* A window of the group, with a reference to its table; it may be going. */
static struct iommu_table *get_window(struct iommu_table_group *table_group,
				      int num)
{
	struct iommu_table *tbl;

	rcu_read_lock();
	tbl = READ_ONCE(table_group->tables[num]);
	if (tbl)
		tbl = iommu_tce_table_get(tbl);
	rcu_read_unlock();

	return tbl;
}

static struct iommu_table *find_table(const struct kvmppc_liobn *l,
				      struct iommu_table_group *table_group)
{
	int num;

	for (num = 0; num < IOMMU_TABLE_GROUP_MAX_TABLES; num++) {
		struct iommu_table *tbl = get_window(table_group, num);

		if (tbl && table_fits(l, tbl))
			return tbl;
		if (tbl)
			iommu_tce_table_put(tbl);
	}

	return NULL;
}

/* The attachment of a table by a group; without @group, the kept one. */
static struct liobn_attachment *find_attachment(const struct kvmppc_liobn *l,
						const struct iommu_table *tbl,
						const struct iommu_group *group)
{
	struct liobn_attachment *a;

	list_for_each_entry(a, &l->attachments, next) {
		if (a->tbl == tbl && a->group == group)
			return a;
	}

	return NULL;
}

static bool is_attached(const struct kvmppc_liobn *l,
			const struct iommu_table *tbl)
{
	const struct liobn_attachment *a;

	list_for_each_entry(a, &l->attachments, next) {
		if (a->tbl == tbl && a->group)
			return true;
	}

	return false;
}

/* Does the window belong to any group but @group? */
static bool is_used_by_others(const struct iommu_table *tbl,
			      const struct iommu_group *group)
{
	const struct iommu_table_group_link *link;

	guard(rcu)();
	list_for_each_entry_rcu(link, &tbl->it_group_list, next) {
		if (link->table_group->group != group)
			return true;
	}

	return false;
}

/* Make hypercalls use @new; what they may still use joins @stale. */
static void replace_tables(struct kvmppc_liobn *l, struct liobn_tables *new,
			   struct liobn_tables **stale)
{
	struct liobn_tables *old;

	old = rcu_replace_pointer(l->tables, new,
				  lockdep_is_held(&kvmppc_liobn_mutex));
	if (old) {
		old->stale = *stale;
		*stale = old;
	}
}

static int add_table(struct kvmppc_liobn *l, struct iommu_table *tbl,
		     struct liobn_tables **stale)
{
	const struct liobn_tables *old;
	unsigned int nr = 0, i;
	struct liobn_tables *new;

	old = rcu_dereference_protected(l->tables,
					lockdep_is_held(&kvmppc_liobn_mutex));
	if (old)
		nr = old->nr;

	new = kzalloc(struct_size(new, tbl, nr + 1), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;

	for (i = 0; i < nr; i++)
		new->tbl[i] = old->tbl[i];
	new->tbl[nr] = tbl;
	new->nr = nr + 1;
	replace_tables(l, new, stale);

	return 0;
}

/* Detaching must not fail, and the memory is little. */
static void drop_table(struct kvmppc_liobn *l, const struct iommu_table *tbl,
		       struct liobn_tables **stale)
{
	struct liobn_tables *new = NULL;
	const struct liobn_tables *old;
	unsigned int i;

	old = rcu_dereference_protected(l->tables,
					lockdep_is_held(&kvmppc_liobn_mutex));
	if (old->nr > 1) {
		new = kzalloc(struct_size(new, tbl, old->nr - 1),
			      GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
		for (i = 0; i < old->nr; i++) {
			if (old->tbl[i] != tbl)
				new->tbl[new->nr++] = old->tbl[i];
		}
	}
	replace_tables(l, new, stale);
}

static void add_attachment(struct kvmppc_liobn *l, struct liobn_attachment *a,
			   struct iommu_table *tbl)
{
	unsigned int shift = liobn_sub_shift(l, tbl);

	a->tbl = iommu_tce_table_get(tbl);
	a->entry = l->offset << shift;
	a->nr = l->size << shift;
	list_add_tail(&a->next, &l->attachments);
}

static int attach(struct kvmppc_liobn *l, struct iommu_table *tbl,
		  struct iommu_group *group, struct liobn_tables **stale)
{
	struct liobn_attachment *kept, *new = NULL;

	kept = find_attachment(l, tbl, NULL);
	if (!kept) {
		new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
		if (!new)
			return -ENOMEM;
	}

	if (!is_attached(l, tbl) && add_table(l, tbl, stale)) {
		kfree(new);
		return -ENOMEM;
	}

	if (new)
		add_attachment(l, new, tbl);
	(kept ?: new)->group = group;

	return 0;
}

/* Hypercalls no longer write to tables that no other group has attached. */
static void detach_group(struct kvmppc_liobn *l, struct iommu_group *group,
			 struct liobn_tables **stale)
{
	struct liobn_attachment *a, *next;

	list_for_each_entry_safe(a, next, &l->attachments, next) {
		if (a->group != group)
			continue;
		a->group = NULL;
		if (!is_attached(l, a->tbl)) {
			drop_table(l, a->tbl, stale);
			continue;
		}
		list_del(&a->next);
		iommu_tce_table_put(a->tbl);
		kfree(a);
	}
}

/* What the LIOBN keeps, and no group but @group uses, joins @gone. */
static void let_go(struct kvmppc_liobn *l, const struct iommu_group *group,
		   struct list_head *gone)
{
	struct liobn_attachment *a, *next;

	list_for_each_entry_safe(a, next, &l->attachments, next) {
		if (!a->group && !is_used_by_others(a->tbl, group))
			list_move(&a->next, gone);
	}
}

/**
 * kvm_spapr_tce_attach_iommu_group - have a LIOBN change a window of a group
 * @kvm: the VM
 * @tablefd: file descriptor of the LIOBN
 * @grp: the group, which has a window like the LIOBN: it begins at the same bus
 *	 address, is not smaller, and neither are its pages larger, nor does it
 *	 belong to another process or pin pages as they are mapped
 *
 * What is in either of them before stays as it is. Attaching twice is the same
 * as attaching once.
 *
 * Context: May sleep.
 * Return: 0, or with nothing changed:
 *	   -EBADF   no file
 *	   -EINVAL  not a LIOBN of this VM, or no such window
 *	   -EFAULT  not a group with windows
 *	   -ENOMEM  no memory
 */
long kvm_spapr_tce_attach_iommu_group(struct kvm *kvm, int tablefd,
				      struct iommu_group *grp)
{
	struct iommu_table_group *table_group;
	struct liobn_tables *stale = NULL;
	struct kvmppc_liobn *l;
	struct iommu_table *tbl;
	LIST_HEAD(gone);
	int ret = 0;

	CLASS(fd, f)(tablefd);

	if (fd_empty(f))
		return -EBADF;

	l = kvmppc_liobn_of_file(fd_file(f));
	if (!l || l->kvm != kvm)
		return -EINVAL;

	table_group = iommu_group_get_iommudata(grp);
	if (!table_group)
		return -EFAULT;

	tbl = find_table(l, table_group);
	if (!tbl)
		return -EINVAL;

	mutex_lock(&kvmppc_liobn_mutex);
	if (!find_attachment(l, tbl, grp))
		ret = attach(l, tbl, grp, &stale);
	let_go(l, NULL, &gone);
	mutex_unlock(&kvmppc_liobn_mutex);

	iommu_tce_table_put(tbl);
	if (stale || !list_empty(&gone))
		kvmppc_liobn_synchronize(kvm);
	free_stale(stale);
	clear_and_put(&gone);

	return ret;
}

/**
 * kvm_spapr_tce_release_iommu_group - undo attaching, for all LIOBNs of a VM
 * @kvm: the VM
 * @grp: the group
 *
 * A table that another group attached as well stays attached. What the guest has
 * mapped in another one is unmapped; later, if groups that the VM does not know
 * use it.
 *
 * Context: May sleep; kvm->lock may be held.
 */
void kvm_spapr_tce_release_iommu_group(struct kvm *kvm, struct iommu_group *grp)
{
	struct liobn_tables *stale = NULL;
	struct kvmppc_liobn *l;
	LIST_HEAD(gone);

	mutex_lock(&kvmppc_liobn_mutex);
	list_for_each_entry(l, &kvm->arch.spapr_tce_tables, next) {
		detach_group(l, grp, &stale);
		let_go(l, grp, &gone);
	}
	mutex_unlock(&kvmppc_liobn_mutex);

	if (stale || !list_empty(&gone))
		kvmppc_liobn_synchronize(kvm);
	free_stale(stale);
	clear_and_put(&gone);
}
