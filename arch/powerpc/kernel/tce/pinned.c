// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Owners without registered memory: VFIO_SPAPR_TCE_IOMMU.
 *
 * They pin a page for each entry as they map it, and find it again from the
 * TCE. So there is neither a view nor a count: a pin is what a count is
 * elsewhere, and is given up in the same order: clear, kill, then unpin.
 * Operations are serialised by a mutex, and KVM keeps away.
 */

#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/tce.h>

#include "tce.h"

#define PERM_MASK	((unsigned long)(TCE_PCI_READ | TCE_PCI_WRITE))

static void unpin(unsigned long tce)
{
	struct page *page;

	/* Of what a hypervisor does not show, the page is not known. */
	if (tce == TCE_UNREADABLE || !(tce & PERM_MASK))
		return;

	page = pfn_to_page(tce >> PAGE_SHIFT);
	unpin_user_pages_dirty_lock(&page, 1, tce & TCE_PCI_WRITE);
}

/* No counts go by this, but pins do after it. */
static void kill(struct iommu_table *tbl, unsigned long entry, unsigned long nr)
{
	struct tce_gather gather __uninitialized;

	if (!nr)
		return;

	tce_gather_init(&gather, tbl, false);
	tce_gather_changed(&gather, entry, nr);
	rcu_read_lock();
	tce_gather_flush(&gather);
	rcu_read_unlock();
}

/* Unmap up to TCE_PINNED_BATCH entries. */
static int unmap_some(struct iommu_table *tbl, unsigned long entry,
		      unsigned long nr)
{
	u64 *old = tbl->it_owner->pinned_old, any = 0;
	unsigned long i, done;
	bool shown = true;

	for (i = 0; i < nr; i++) {
		old[i] = tbl->it_ops->get(tbl, entry + i);
		any |= old[i];
		shown &= old[i] != TCE_UNREADABLE;
	}
	if (!any)
		return 0;

	/* Pages that a hypervisor refuses to clear, or to show, stay pinned. */
	done = tbl->it_ops->clear_range(tbl, entry, nr);
	kill(tbl, entry, done);
	for (i = 0; i < done; i++)
		unpin(old[i]);

	return done == nr && shown ? 0 : -EIO;
}

/* The owner's mutex is held. Goes on after an error. */
static int unmap_all(struct iommu_table *tbl, unsigned long entry,
		     unsigned long nr)
{
	int ret = 0;

	while (nr) {
		unsigned long n = min(nr, TCE_PINNED_BATCH);

		ret = unmap_some(tbl, entry, n) ?: ret;
		entry += n;
		nr -= n;
		cond_resched();
	}

	return ret;
}

/* Pin what an entry for @ua will point to, as a TCE. */
static int pin(unsigned long ua, unsigned long perm, u64 *tce)
{
	unsigned int flags = FOLL_LONGTERM;
	struct page *page;
	int ret;

	if (perm & TCE_PCI_WRITE)
		flags |= FOLL_WRITE;

	ret = pin_user_pages_fast(ua & PAGE_MASK, 1, flags, &page);
	/* That is what the last page of all addresses gives. */
	if (ret == -EOVERFLOW)
		return -EFAULT;
	if (ret != 1)
		return ret < 0 ? ret : -EFAULT;

	*tce = (page_to_pfn(page) << PAGE_SHIFT | offset_in_page(ua)) | perm;

	return 0;
}

/*
 * Write @nr pinned TCEs, and leave in their place what was there before, of as
 * many as were written. The owner's mutex is held.
 */
static int write(struct iommu_table *tbl, unsigned long entry, unsigned long nr,
		 u64 *tces)
{
	unsigned long i, old;
	int ret = 0;

	for (i = 0; i < nr; i++) {
		struct tce_run run = { tces[i] & ~PERM_MASK, 1 };

		old = tbl->it_ops->get(tbl, entry + i);
		ret = old == TCE_UNREADABLE ? -EIO :
		      tbl->it_ops->set_runs(tbl, entry + i, &run, 1,
					    tces[i] & PERM_MASK);
		if (ret)
			break;
		tces[i] = old;
		if (!(i % TCE_PINNED_BATCH))
			cond_resched();
	}
	kill(tbl, entry, i);
	/* The hypervisor refused: have what was written empty. */
	if (ret)
		unmap_all(tbl, entry, i);

	return ret;
}

static int pin_all(struct iommu_table *tbl, unsigned long nr, unsigned long ua,
		   unsigned long perm, u64 *tces, unsigned long *pinned)
{
	int ret = 0;

	for (*pinned = 0; *pinned < nr; ++*pinned) {
		if (!(*pinned % TCE_PINNED_BATCH) &&
		    fatal_signal_pending(current))
			return -EINTR;
		ret = pin(ua + (*pinned << tbl->it_page_shift), perm,
			  &tces[*pinned]);
		if (ret)
			break;
		cond_resched();
	}

	return ret;
}

static int pinned_map(struct iommu_table *tbl, unsigned long entry,
		      unsigned long nr, unsigned long ua, unsigned long perm)
{
	struct tce_owner *owner = tbl->it_owner;
	unsigned long pinned, i;
	u64 *tces;
	int ret;

	/* A cgroup that has no room left is nothing to be logged. */
	tces = kvmalloc_array(nr, sizeof(*tces), GFP_KERNEL_ACCOUNT |
			      __GFP_NOWARN);
	if (!tces)
		return -ENOMEM;

	ret = pin_all(tbl, nr, ua, perm, tces, &pinned);
	if (!ret)
		ret = tce_grow_levels(tbl, entry, nr);
	if (!ret)
		ret = mutex_lock_killable(&owner->pinned_lock);
	if (ret)
		goto out;

	ret = READ_ONCE(owner->closed) ? -ENXIO : write(tbl, entry, nr, tces);
	mutex_unlock(&owner->pinned_lock);
out:
	/* These were mapped before, or were pinned and not used. */
	for (i = 0; i < pinned; i++) {
		unpin(tces[i]);
		if (!(i % TCE_PINNED_BATCH))
			cond_resched();
	}
	kvfree(tces);

	return ret;
}

static int pinned_unmap(struct iommu_table *tbl, unsigned long entry,
			unsigned long nr, unsigned int flags)
{
	struct tce_owner *owner = tbl->it_owner;
	int ret;

	if (flags & TCE_OP_UNINTERRUPTIBLE) {
		mutex_lock(&owner->pinned_lock);
	} else {
		ret = mutex_lock_killable(&owner->pinned_lock);
		if (ret)
			return ret;
	}

	/* A hypervisor's table goes with the window; its number comes back. */
	ret = READ_ONCE(owner->closed) ? -ENXIO : unmap_all(tbl, entry, nr);
	mutex_unlock(&owner->pinned_lock);

	return ret;
}

static void pinned_close(struct iommu_table *tbl)
{
	struct tce_owner *owner = tbl->it_owner;

	/* @closed is set: who comes later sees it. */
	mutex_lock(&owner->pinned_lock);
	unmap_all(tbl, tbl->it_offset, tbl->it_size);
	mutex_unlock(&owner->pinned_lock);
}

const struct tce_owner_ops tce_pinned_ops = {
	.version	= 1,
	.map		= pinned_map,
	.unmap		= pinned_unmap,
	.close		= pinned_close,
};
