// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The owner of an iommu_table: a process that maps its own memory.
 *
 * A container gives a table to its process, and closes it when the window goes:
 * from then on nothing can be mapped, and all there is gets unmapped. Then
 * LIOBNs of KVM let go of the table, which may take as long as their guest's
 * process likes. Users of the table find it closed in between.
 *
 * There are two kinds of owners, which map registered memory (range.c), or pin
 * pages as they map them (pinned.c).
 */

#include <linux/cleanup.h>
#include <linux/export.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/tce.h>
#include <asm/tce_owner.h>
#include <asm/trace_spapr_tce.h>

#include "debugfs.h"
#include "gate.h"
#include "tce.h"
#include "view.h"

static int init_registered(struct tce_owner *owner,
			   const struct iommu_table *tbl, struct mm_struct *mm)
{
	owner->ops = &tce_registered_ops;
	owner->registry = mm_iommu_registry(mm);
	if (!owner->registry)
		return -ENOMEM;

	return tce_view_init(&owner->view, tbl->it_size, tbl->it_page_shift);
}

static int init_pinned(struct tce_owner *owner)
{
	owner->ops = &tce_pinned_ops;
	owner->pinned_old = kmalloc_array(TCE_PINNED_BATCH,
					  sizeof(*owner->pinned_old),
					  GFP_KERNEL_ACCOUNT);

	return owner->pinned_old ? 0 : -ENOMEM;
}

/**
 * tce_owner_take - give a table to a process
 * @tbl: the table, empty, in use by nobody, with it_allocated_size charged
 * @mm: the process, current->mm
 * @registered: maps registered memory only
 *
 * From here on it_allocated_size is given back to @mm's locked_vm when the
 * table is freed.
 *
 * Context: May sleep.
 * Return: 0, -ENOMEM, or -EINVAL for IOMMU pages larger than the kernel's
 *	   without registered memory.
 */
int tce_owner_take(struct iommu_table *tbl, struct mm_struct *mm,
		   bool registered)
{
	struct tce_owner *owner;
	int ret;

	/* Pages are pinned one by one: nothing larger is known contiguous. */
	if (!registered && tbl->it_page_shift > PAGE_SHIFT)
		return -EINVAL;

	owner = kzalloc(sizeof(*owner), GFP_KERNEL_ACCOUNT);
	if (!owner)
		return -ENOMEM;

	mutex_init(&owner->pinned_lock);
	mutex_init(&owner->users_lock);
	INIT_LIST_HEAD(&owner->users);
	spin_lock_init(&owner->range_lock);
	INIT_LIST_HEAD(&owner->ranges);
	init_waitqueue_head(&owner->range_wait);

	ret = registered ? init_registered(owner, tbl, mm) : init_pinned(owner);
	if (ret) {
		kfree(owner);
		return ret;
	}

	mmgrab(mm);
	owner->mm = mm;
	/* Pairs with tce_owner_mm(): KVM may know the table already. */
	smp_store_release(&tbl->it_owner, owner);
	tce_check_add(tbl);
	tce_debugfs_add(tbl);
	trace_spapr_tce_window_create(tbl);

	return 0;
}
EXPORT_SYMBOL_GPL(tce_owner_take);

/**
 * tce_owner_mm - the process that owns a table
 * @tbl: the table; what was set before it got its owner can be read after this
 *
 * Context: Any.
 * Return: its mm if its memory is registered; NULL if not, or if the table has
 *	   no owner.
 */
struct mm_struct *tce_owner_mm(const struct iommu_table *tbl)
{
	/* Pairs with tce_owner_take(). */
	const struct tce_owner *owner = smp_load_acquire(&tbl->it_owner);

	return owner && owner->registry ? owner->mm : NULL;
}
EXPORT_SYMBOL_GPL(tce_owner_mm);

/**
 * tce_owner_free - end the ownership of a table that is being freed
 * @tbl: the table, closed
 *
 * Context: May sleep; takes mmap_lock. Nobody else knows the table any more.
 */
void tce_owner_free(struct iommu_table *tbl)
{
	struct tce_owner *owner = tbl->it_owner;

	if (!owner)
		return;

	tce_debugfs_del(tbl);
	tce_check_del(tbl);
	tbl->it_owner = NULL;
	tce_view_destroy(&owner->view);
	account_locked_vm(owner->mm,
			  DIV_ROUND_UP(tbl->it_allocated_size, PAGE_SIZE),
			  false);
	/* Hypercalls may have held counts when the last container went. */
	mm_iommu_reap(owner->mm);
	mmdrop(owner->mm);
	kfree(owner->pinned_old);
	kfree(owner);
}

/* Are all of the entries in the table, and is there one at all? */
static bool range_is_valid(const struct iommu_table *tbl, unsigned long entry,
			   unsigned long nr)
{
	return entry >= tbl->it_offset && nr && nr <= tbl->it_size &&
	       entry - tbl->it_offset <= tbl->it_size - nr;
}

/**
 * tce_map - map consecutive entries to consecutive userspace addresses
 * @tbl: the table, owned
 * @entry: first entry: bus address >> it_page_shift
 * @nr: how many entries
 * @ua: userspace address of the first, aligned to the size of an IOMMU page
 * @perm: TCE_PCI_READ, TCE_PCI_WRITE or both: what the device may do
 *
 * Replaces what the entries were mapped to before.
 *
 * Context: May sleep. The owner's mm is current->mm if it has no registered
 *	    memory.
 * Return: 0, or with nothing changed:
 *	   -EINVAL  not in the table, or memory not registered or not contiguous
 *	   -EFAULT  no registered memory, and memory not accessible
 *	   -ENOMEM  no memory
 *	   -EINTR   killed
 *
 *	   or, with entries of the range as they were, or empty: -ENXIO if the
 *	   window is being removed; -EIO if a hypervisor refused an entry;
 *	   -ENOMEM, if another thread changed the same entries meanwhile.
 */
int tce_map(struct iommu_table *tbl, unsigned long entry, unsigned long nr,
	    unsigned long ua, unsigned long perm)
{
	int ret = -EINVAL;

	if (range_is_valid(tbl, entry, nr)) {
		guard(tce_check)();
		ret = tbl->it_owner->ops->map(tbl, entry, nr, ua, perm);
	}
	trace_spapr_tce_map(tbl, entry, nr, ua, perm, ret);

	return ret;
}
EXPORT_SYMBOL_GPL(tce_map);

static int unmap(struct iommu_table *tbl, unsigned long entry, unsigned long nr,
		 unsigned int flags)
{
	int ret = -EINVAL;

	if (range_is_valid(tbl, entry, nr)) {
		guard(tce_check)();
		ret = tbl->it_owner->ops->unmap(tbl, entry, nr, flags);
	}
	trace_spapr_tce_unmap(tbl, entry, nr, 0, 0, ret);

	return ret;
}

/**
 * tce_unmap - unmap entries, whether mapped or not
 * @tbl: the table, owned
 * @entry: first entry: bus address >> it_page_shift
 * @nr: how many entries
 *
 * When it returns 0, no device reaches through these entries any more, and
 * their memory can be unregistered.
 *
 * Context: May sleep. Costs what is mapped, not what is asked for.
 * Return: 0, or with nothing changed:
 *	   -EINVAL  not all of it is in the table
 *	   -ENOMEM  no memory: 8 KiB to keep what is mapped on either side, if
 *		    all is within 1024 entries; or what might be, if a
 *		    hypervisor may refuse
 *	   -EINTR   killed
 *
 *	   or -ENXIO if the window is being removed; -EIO if a hypervisor
 *	   refused to clear an entry: that one, and maybe some behind it, stay
 *	   mapped.
 */
int tce_unmap(struct iommu_table *tbl, unsigned long entry, unsigned long nr)
{
	return unmap(tbl, entry, nr, 0);
}
EXPORT_SYMBOL_GPL(tce_unmap);

/**
 * tce_unmap_uninterruptible - tce_unmap() that no signal ends
 * @tbl: the table, owned
 * @entry: first entry
 * @nr: how many entries
 *
 * For those that let go of a table, and have nobody to report an error to.
 *
 * Context: May sleep. Waits for earlier operations over the same entries.
 * Return: As tce_unmap(), but never -EINTR.
 */
int tce_unmap_uninterruptible(struct iommu_table *tbl, unsigned long entry,
			      unsigned long nr)
{
	return unmap(tbl, entry, nr, TCE_OP_UNINTERRUPTIBLE);
}
EXPORT_SYMBOL_GPL(tce_unmap_uninterruptible);

/**
 * tce_owner_close - unmap all, and let nothing be mapped any more
 * @tbl: the table, owned
 *
 * When it returns, nothing reads or writes an entry any more, whoever still
 * holds the table: where a hypervisor keeps it, the window can go, and its
 * number can be given to another one. Each operation looks at @closed with its
 * chunk locked (begin() in chunk.c), or with the mutex of pinned.c locked,
 * before it does anything to the table. Closing sets @closed, and then locks
 * each of them once. So one that has not seen @closed is over when closing gets
 * its lock, and a later one gets -ENXIO. The checker looks at @closed inside
 * its gate.
 *
 * Operations that are under way stop at the next chunk. Entries that a
 * hypervisor refuses to clear stay counted, so their memory stays pinned.
 *
 * tce_owner_end_users() has to follow.
 *
 * Context: May sleep. Takes no lock of KVM, and no memory. Waits for an
 *	    operation with registered memory until it is done with its chunk,
 *	    for one without until it ends; neither waits for user memory
 *	    meanwhile.
 */
void tce_owner_close(struct iommu_table *tbl)
{
	struct tce_owner *owner = tbl->it_owner;

	guard(tce_check)();
	WRITE_ONCE(owner->closed, true);
	/* Nobody waits for a range of a closed table. */
	wake_up_all(&owner->range_wait);
	owner->ops->close(tbl);
	trace_spapr_tce_window_remove(tbl);
}
EXPORT_SYMBOL_GPL(tce_owner_close);

/**
 * tce_owner_end_users - have LIOBNs let go of a closed table
 * @tbl: the table, closed
 *
 * The table's charge is given back with its last reference, and LIOBNs have
 * references.
 *
 * Context: May sleep. Takes locks of KVM, and waits until hypercalls that are
 *	    under way have ended. These may wait for memory of the owner's
 *	    process as long as it likes, so no lock is held that anybody else
 *	    needs.
 */
void tce_owner_end_users(struct iommu_table *tbl)
{
	tce_users_close(tbl->it_owner);
}
EXPORT_SYMBOL_GPL(tce_owner_end_users);
