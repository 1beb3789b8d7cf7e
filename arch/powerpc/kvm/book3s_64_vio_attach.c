// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * LIOBNs of a guest: the hardware tables that they change.
 *
 * A LIOBN is attached to a table. The window of the table belongs to the
 * process of the VM, which is all that is asked: by which group it was found
 * does not matter later, and groups join and leave the window as they like. The
 * LIOBN changes the table until one of the two goes:
 *
 *  - The window is closed. All of it is unmapped then, and hypercalls change
 *    nothing in it any more. Then tce_owner_end_users() calls
 *    window_closed(), and the window does not stay charged.
 *  - The file of the LIOBN is closed. No device reaches memory of a guest that
 *    is gone, so all entries of the LIOBN's range are unmapped, by whomever
 *    they were mapped, as if the guest had cleared its table last. The VM lives
 *    as long as any of its LIOBNs.
 *
 * To let go of a table needs no memory: it is allocated as the table is
 * attached.
 */

#include <linux/cleanup.h>
#include <linux/file.h>
#include <linux/iommu.h>
#include <linux/kvm_host.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/lockdep.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/srcu.h>

#include <asm/kvm_ppc.h>
#include <asm/tce_owner.h>

#include "book3s_64_vio.h"

/**
 * struct tce_attachment - a hardware table that a LIOBN changes
 * @next: in the LIOBN's list, until nothing of the LIOBN is used any more
 * @user: in the list of the table's owner. The side that takes it from there
 *	  ends the attachment: the LIOBN that goes, or the owner that closes the
 *	  table
 * @ref: one for that, and one for each who waits for it
 * @t: the guest's table
 * @tbl: the table, with a reference
 * @entry: first entry of the table that the LIOBN changes
 * @nr: how many
 */
struct tce_attachment {
	struct list_head next;
	struct tce_user user;
	refcount_t ref;
	struct kvmppc_tce_table *t;
	struct iommu_table *tbl;
	unsigned long entry;
	unsigned long nr;
};

static void put_attachment(struct tce_attachment *a)
{
	if (!refcount_dec_and_test(&a->ref))
		return;

	iommu_tce_table_put(a->tbl);
	kfree(a);
}

static void unlink_attachment(struct tce_attachment *a)
{
	guard(mutex)(&a->t->kvm->arch.spapr_tce_lock);
	list_del(&a->next);
}

/* Tables */

/* The VM's spapr_tce_lock is held. NULL if there is none. */
static struct hw_tables *tables_locked(const struct kvmppc_tce_table *t)
{
	return rcu_dereference_protected(t->tables,
			lockdep_is_held(&t->kvm->arch.spapr_tce_lock));
}

static unsigned int nr_tables_locked(const struct kvmppc_tce_table *t)
{
	const struct hw_tables *tables = tables_locked(t);

	return tables ? tables->nr : 0;
}

static bool has_table(const struct kvmppc_tce_table *t,
		      const struct iommu_table *tbl)
{
	const struct hw_tables *tables = tables_locked(t);
	unsigned int i;

	for (i = 0; tables && i < tables->nr; i++) {
		if (tables->tbl[i] == tbl)
			return true;
	}

	return false;
}

/* These are known to no hypercall. */
static void free_tables(struct hw_tables *tables)
{
	while (tables) {
		struct hw_tables *next = tables->next;

		kfree(tables);
		tables = next;
	}
}

/* All but @tbl, in @new, which is large enough. */
static void copy_tables(const struct kvmppc_tce_table *t, struct hw_tables *new,
			const struct iommu_table *tbl)
{
	const struct hw_tables *old = tables_locked(t);
	unsigned int i;

	for (i = 0; old && i < old->nr; i++) {
		if (old->tbl[i] != tbl)
			new->tbl[new->nr++] = old->tbl[i];
	}
}

/* Make hypercalls use @new; what they may still use is returned. */
static struct hw_tables *replace_tables(struct kvmppc_tce_table *t,
					struct hw_tables *new)
{
	return rcu_replace_pointer(t->tables, new,
			lockdep_is_held(&t->kvm->arch.spapr_tce_lock));
}

/* Have hypercalls leave a table alone, and wait until they do. */
static void drop_table(struct kvmppc_tce_table *t,
		       const struct iommu_table *tbl)
{
	struct hw_tables *new, *old, *unused;
	struct kvm *kvm = t->kvm;

	mutex_lock(&kvm->arch.spapr_tce_lock);
	new = t->spare;
	t->spare = new->next;
	new->next = NULL;
	copy_tables(t, new, tbl);
	/* An empty one is as good as none, which is quicker to see. */
	unused = new->nr ? NULL : new;
	old = replace_tables(t, unused ? NULL : new);
	mutex_unlock(&kvm->arch.spapr_tce_lock);

	kvmppc_tce_synchronize(kvm);
	kfree(old);
	/* Whoever replaces @new next frees it, and may have done so. */
	kfree(unused);
}

/* Attaching */

/* The window goes, and what it was charged with it. */
static void window_closed(struct tce_user *user)
{
	struct tce_attachment *a = container_of(user, struct tce_attachment,
						user);
	struct kvm *kvm = a->t->kvm;
	int idx;

	drop_table(a->t, a->tbl);
	/* Without it in its list the LIOBN may go, but not the VM's lock. */
	idx = srcu_read_lock(&kvm->srcu);
	unlink_attachment(a);
	srcu_read_unlock(&kvm->srcu, idx);
	put_attachment(a);
}

static struct tce_attachment *alloc_attachment(struct kvmppc_tce_table *t,
					       struct iommu_table *tbl)
{
	unsigned int shift = guest_sub_shift(t, tbl);
	struct tce_attachment *a;

	a = kzalloc(sizeof(*a), GFP_KERNEL_ACCOUNT);
	if (!a)
		return NULL;

	INIT_LIST_HEAD(&a->user.next);
	a->user.owner = THIS_MODULE;
	a->user.close = window_closed;
	refcount_set(&a->ref, 1);
	a->t = t;
	a->tbl = iommu_tce_table_get(tbl);
	a->entry = t->offset << shift;
	a->nr = t->size << shift;

	return a;
}

/*
 * Make hypercalls change the table too, by @new for one more than @nr tables;
 * @spare is for @nr, when one of them goes. -EEXIST if they do already, -EAGAIN
 * if there are more than @nr. The ones in use go to @old.
 */
static int add_table(struct tce_attachment *a, unsigned int nr,
		     struct hw_tables *new, struct hw_tables *spare,
		     struct hw_tables **old)
{
	struct kvmppc_tce_table *t = a->t;

	guard(mutex)(&t->kvm->arch.spapr_tce_lock);
	if (has_table(t, a->tbl))
		return -EEXIST;
	if (nr_tables_locked(t) > nr)
		return -EAGAIN;

	copy_tables(t, new, NULL);
	new->tbl[new->nr++] = a->tbl;
	*old = replace_tables(t, new);
	spare->next = t->spare;
	t->spare = spare;
	list_add_tail(&a->next, &t->attachments);

	return 0;
}

static unsigned int nr_tables(struct kvmppc_tce_table *t)
{
	guard(mutex)(&t->kvm->arch.spapr_tce_lock);

	return nr_tables_locked(t);
}

/* As add_table(), with the memory that it takes, or -ENOMEM. */
static int grow_and_add_table(struct tce_attachment *a)
{
	struct hw_tables *new, *spare, *old = NULL;
	int ret;

	do {
		unsigned int nr = nr_tables(a->t);

		new = kzalloc(struct_size(new, tbl, nr + 1),
			      GFP_KERNEL_ACCOUNT);
		spare = kzalloc(struct_size(spare, tbl, nr),
				GFP_KERNEL_ACCOUNT);
		ret = -ENOMEM;
		if (new && spare)
			ret = add_table(a, nr, new, spare, &old);
		if (ret) {
			kfree(new);
			kfree(spare);
		}
	} while (ret == -EAGAIN);

	if (old)
		kvmppc_tce_synchronize(a->t->kvm);
	kfree(old);

	return ret;
}

/*
 * Hypercalls know the table first, and a closed one takes nothing from them.
 * Then the LIOBN becomes a user of it, and will be told when the window is
 * closed.
 */
static int attach(struct kvmppc_tce_table *t, struct iommu_table *tbl)
{
	struct tce_attachment *a = alloc_attachment(t, tbl);
	int ret;

	if (!a)
		return -ENOMEM;

	ret = grow_and_add_table(a);
	if (ret) {
		put_attachment(a);
		return ret == -EEXIST ? 0 : ret;
	}

	if (!tce_user_add(tbl, &a->user))
		return 0;

	/*
	 * The window was closed meanwhile: it is as if it had not been found.
	 */
	drop_table(t, tbl);
	unlink_attachment(a);
	put_attachment(a);

	return -EINVAL;
}

/* A table that the LIOBN still changes, or is about to stop changing. */
static struct tce_attachment *get_attachment(struct kvmppc_tce_table *t)
{
	struct tce_attachment *a;

	guard(mutex)(&t->kvm->arch.spapr_tce_lock);
	a = list_first_entry_or_null(&t->attachments, struct tce_attachment,
				     next);
	if (a)
		refcount_inc(&a->ref);

	return a;
}

/* End all attachments of a LIOBN; those that windows did not end join @gone. */
static void take_attachments(struct kvmppc_tce_table *t, struct list_head *gone)
{
	struct tce_attachment *a;

	while ((a = get_attachment(t))) {
		if (tce_user_del(a->tbl, &a->user)) {
			unlink_attachment(a);
			list_add_tail(&a->next, gone);
		}
		put_attachment(a);
	}
}

/**
 * kvmppc_tce_detach_all - let all hardware tables of a LIOBN go
 * @t: the guest's table, which no hypercall finds any more
 *
 * When it returns, no hypercall uses the LIOBN, and nothing is mapped in its
 * range of any hardware table.
 *
 * Context: May sleep.
 */
void kvmppc_tce_detach_all(struct kvmppc_tce_table *t)
{
	struct tce_attachment *a, *next;
	LIST_HEAD(gone);

	take_attachments(t, &gone);
	/* For hypercalls, and for window_closed(). */
	kvmppc_tce_synchronize(t->kvm);
	list_for_each_entry_safe(a, next, &gone, next) {
		/*
		 * Takes no memory, because it begins where a chunk does. A
		 * window that is closed meanwhile is unmapped by that. What a
		 * hypervisor does not clear stays pinned.
		 */
		tce_unmap_uninterruptible(a->tbl, a->entry, a->nr);
		list_del(&a->next);
		put_attachment(a);
	}
	kfree(rcu_dereference_protected(t->tables, true));
	free_tables(t->spare);
}

/* Finding */

/* Can what is put in the LIOBN go to the table as well? */
static bool table_fits(const struct kvmppc_tce_table *t,
		       const struct iommu_table *tbl)
{
	if (tce_owner_mm(tbl) != t->kvm->mm)
		return false;

	return tbl->it_page_shift <= t->page_shift &&
	       tbl->it_offset << tbl->it_page_shift ==
	       t->offset << t->page_shift &&
	       tbl->it_size << tbl->it_page_shift >= t->size << t->page_shift;
}

/*
 * A window of the group, with a reference to its table; it may be going. The
 * group's data is gone before its PE is, and RCU is waited for in between.
 */
static struct iommu_table *get_hw_table(struct iommu_group *grp, int num)
{
	struct iommu_table_group *table_group;
	struct iommu_table *tbl = NULL;

	guard(rcu)();
	table_group = iommu_group_get_iommudata(grp);
	if (table_group)
		tbl = READ_ONCE(table_group->tables[num]);

	return tbl ? iommu_tce_table_get(tbl) : NULL;
}

static struct iommu_table *find_window(const struct kvmppc_tce_table *t,
				       struct iommu_group *grp)
{
	int num;

	for (num = 0; num < IOMMU_TABLE_GROUP_MAX_TABLES; num++) {
		struct iommu_table *tbl = get_hw_table(grp, num);

		if (tbl && table_fits(t, tbl))
			return tbl;
		if (tbl)
			iommu_tce_table_put(tbl);
	}

	return NULL;
}

/**
 * kvm_spapr_tce_attach_iommu_group - have a LIOBN change a window of a group
 * @kvm: the VM
 * @tablefd: file descriptor of the LIOBN
 * @grp: the group, which has a window like the LIOBN: it begins at the same bus
 *	 address, is not smaller, and neither are its pages larger, nor does it
 *	 belong to another process or pin pages as they are mapped
 *
 * Their entries stay as they are. Attaching twice is the same
 * as attaching once. From then on the group does not matter: it is the window
 * that is attached, until that is removed.
 *
 * Context: May sleep.
 * Return: 0, or with nothing changed:
 *	   -EBADF   no file
 *	   -EINVAL  not a LIOBN of this VM, or no such window: a group whose
 *		    devices are gone has none
 *	   -ENOMEM  no memory
 */
long kvm_spapr_tce_attach_iommu_group(struct kvm *kvm, int tablefd,
				      struct iommu_group *grp)
{
	struct kvmppc_tce_table *t;
	struct iommu_table *tbl;
	int ret;

	CLASS(fd, f)(tablefd);

	if (fd_empty(f))
		return -EBADF;

	t = kvmppc_tce_table_of_file(fd_file(f));
	if (!t || t->kvm != kvm)
		return -EINVAL;

	tbl = find_window(t, grp);
	if (!tbl)
		return -EINVAL;

	ret = attach(t, tbl);
	iommu_tce_table_put(tbl);

	return ret;
}
