// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO containers on POWER: VFIO_SPAPR_TCE_IOMMU and VFIO_SPAPR_TCE_v2_IOMMU.
 *
 * Copyright (C) 2013 IBM Corp.  All rights reserved.
 *     Author: Alexey Kardashevskiy <aik@ozlabs.ru>
 * Copyright Gavin Shan, IBM Corporation 2014.
 *
 * Derived from original vfio_iommu_type1.c:
 * Copyright (C) 2012 Red Hat, Inc.  All rights reserved.
 *     Author: Alex Williamson <alex.williamson@redhat.com>
 *
 * A container is the memory of one process as the devices of its groups see it.
 * It has up to two windows of bus addresses, each with a TCE table that all of
 * its groups use; what they map is the business of tce/owner.c.
 *
 * v2: the process registers memory first, which pins and charges it, creates
 * and removes windows as it likes, and then maps registered memory, which costs
 * nothing any more. Windows are charged by the most that their tables can
 * grow to.
 *
 * v1: there is one group and one window. ENABLE charges the size of the window.
 * MAP pins a page for each entry, so what it pins can be more, by the ratio of
 * the kernel's page to the window's.
 *
 * A process finds a window at bus address 0 with 4 KiB pages, without asking
 * for one. It is created when something is first mapped or created, so a
 * process that removes it at once, as QEMU does, never pays for it.
 *
 * Locks, in this order:
 *   windows    guards the windows, the groups and what is enabled
 *   memory     guards which regions the container has registered
 *   the locks of the registry and of the engine (arch/powerpc/kernel/tce)
 *
 * A group that is taken away waits for @windows, be it by the process or by an
 * administrator who unbinds a device, and then all of VFIO waits as well. So
 * @windows is not held over anything that can wait for the process, another
 * process, or a device:
 *   - entries change without it, in a window that is held by a reference. A
 *     window that is removed meanwhile refuses what comes (-ENXIO)
 *   - EEH works without it, on groups that are held by a reference; PCI's lock
 *     against removals, under which it works, comes before @windows
 *   - windows are unmapped with @windows held, which is bounded, but LIOBNs of
 *     KVM let go of them afterwards, because they wait for hypercalls
 *   - locked_vm is charged before, and given back after, because mmap_lock may
 *     be held for long
 *   - what may fault in user memory is done before or after
 * With @windows held, firmware is called (its time is bounded), and memory is
 * allocated. @memory is held while pages are pinned, but nobody else takes it.
 *
 * VFIO holds a reference on the container while an ioctl runs, and takes groups
 * away meanwhile. The last group may have left in any ioctl.
 *
 * The platform takes a group's data away (iommudata is NULL then) with the PE,
 * which goes with the last device in it. That is later than detach_group(): a
 * device that goes is unbound from vfio-pci first, and the last device of a
 * group to be unbound takes the group from its container before its unbinding
 * ends (vfio_device_remove_group()). So a group in the list has its data; places
 * that look at it take NULL for a group that is gone all the same.
 */

#include <linux/err.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/pagemap.h>
#include <linux/rwsem.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>
#include <linux/xarray.h>

#include <asm/eeh.h>
#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/tce.h>
#include <asm/tce_owner.h>

#include "vfio.h"
#include "vfio_spapr_eeh.h"

#define DRIVER_VERSION	"0.1"
#define DRIVER_AUTHOR	"aik@ozlabs.ru"
#define DRIVER_DESC	"VFIO IOMMU SPAPR TCE"

/* A device that is locked is asked for again after so many jiffies. */
#define EEH_RETRY	max(HZ / 50, 1)

/**
 * struct tce_group - a group of a container
 * @next: in the container's list
 * @group: the group
 * @number: the later it joined, the higher; from 1 on
 */
struct tce_group {
	struct list_head next;
	struct iommu_group *group;
	u64 number;
};

/**
 * struct tce_eeh_use - an EEH operation that works on a group
 * @next: in eeh_uses
 * @group: the group, with a reference
 * @number: its number in the container
 * @done: the last number whose group is done; 0 at first
 * @gone: the group has left the container
 */
struct tce_eeh_use {
	struct list_head next;
	struct iommu_group *group;
	u64 number;
	u64 done;
	bool gone;
};

/* Of all containers: a group may be in another one when its use ends. */
static DEFINE_SPINLOCK(eeh_lock); /* eeh_uses, and what has gone of them */
static LIST_HEAD(eeh_uses);

/**
 * struct tce_charge - pages charged to locked_vm, on their way to a table
 * @have: charged and not used so far
 * @want: how many have to be charged in all, if @have does not suffice
 */
struct tce_charge {
	unsigned long have;
	unsigned long want;
};

/**
 * struct tce_container - one container
 * @v2: VFIO_SPAPR_TCE_v2_IOMMU, not VFIO_SPAPR_TCE_IOMMU; constant
 * @mm: the process that it serves, from the first call that needs to know;
 *	its struct is kept. Written once, with @windows held for writing
 * @windows: see above
 * @enabled: v1: between ENABLE and DISABLE; v2: from the first REGISTER on
 * @default_pending: the window at bus address 0 is there, but has no table yet
 * @default_held: since it has one, someone who did not make it has held it;
 *	set with @windows held for reading
 * @enabled_pages: v1: what ENABLE charged
 * @tables: the windows
 * @removed: windows that are closed, and that no group has any more, for
 *	end_windows()
 * @groups: the groups
 * @joined: the number of the group that joined last
 * @memory: see above
 * @regions: the regions that this container has registered, by first page
 */
struct tce_container {
	bool v2;
	struct mm_struct *mm;
	struct rw_semaphore windows;
	bool enabled;
	bool default_pending;
	bool default_held;
	unsigned long enabled_pages;
	struct iommu_table *tables[IOMMU_TABLE_GROUP_MAX_TABLES];
	struct iommu_table *removed[IOMMU_TABLE_GROUP_MAX_TABLES];
	struct list_head groups;
	u64 joined;
	struct mutex memory; /* @regions */
	struct xarray regions;
};

/* NULL if the group is gone: see above. */
static struct iommu_table_group *table_group_of(const struct tce_group *group)
{
	return iommu_group_get_iommudata(group->group);
}

/* Whose parameters stand for all: groups are alike, or they can't join. */
static struct iommu_table_group *first_table_group(struct tce_container *c)
{
	struct tce_group *group;

	group = list_first_entry_or_null(&c->groups, struct tce_group, next);

	return group ? table_group_of(group) : NULL;
}

static struct tce_group *find_group(struct tce_container *c,
				    const struct iommu_group *iommu_group)
{
	struct tce_group *group;

	list_for_each_entry(group, &c->groups, next) {
		if (group->group == iommu_group)
			return group;
	}

	return NULL;
}

/* Bind the container to the process; @windows is held for writing. */
static int bind_mm(struct tce_container *c)
{
	if (c->mm)
		return c->mm == current->mm ? 0 : -EPERM;

	mmgrab(current->mm);
	WRITE_ONCE(c->mm, current->mm);

	return 0;
}

static int check_mm(struct tce_container *c)
{
	struct mm_struct *mm = READ_ONCE(c->mm);

	return mm && mm != current->mm ? -EPERM : 0;
}

/* Charges; @windows is not held. */

static void uncharge(struct tce_container *c, unsigned long pages)
{
	if (pages)
		account_locked_vm(c->mm, pages, false);
}

/* Charge what was missing. */
static int charge_more(struct tce_container *c, struct tce_charge *ch)
{
	int ret;

	ret = mm_iommu_charge(c->mm, ch->want - ch->have);
	if (!ret)
		ch->have = ch->want;

	return ret;
}

/* Windows */

static u64 window_start(const struct iommu_table *tbl)
{
	return (u64)tbl->it_offset << tbl->it_page_shift;
}

static u64 window_bytes(const struct iommu_table *tbl)
{
	return (u64)tbl->it_size << tbl->it_page_shift;
}

/* The window that holds a bus address, NULL if none does. */
static struct iommu_table *find_window(struct tce_container *c, u64 iova)
{
	int num;

	for (num = 0; num < IOMMU_TABLE_GROUP_MAX_TABLES; num++) {
		struct iommu_table *tbl = c->tables[num];

		if (tbl && iova - window_start(tbl) < window_bytes(tbl))
			return tbl;
	}

	return NULL;
}

static int find_free_window(struct tce_container *c)
{
	int num;

	for (num = 0; num < IOMMU_TABLE_GROUP_MAX_TABLES; num++) {
		if (!c->tables[num])
			return num;
	}

	return -ENOSPC;
}

static void unset_window(struct tce_group *group, int num)
{
	struct iommu_table_group *table_group = table_group_of(group);

	if (table_group)
		table_group->ops->unset_window(table_group, num);
}

static int set_window(struct tce_group *group, int num, struct iommu_table *tbl)
{
	struct iommu_table_group *table_group = table_group_of(group);

	if (!table_group)
		return -ENODEV;

	return table_group->ops->set_window(table_group, num, tbl);
}

/* Take a window away from the groups before @end in the list, or from all. */
static void unset_from_groups(struct tce_container *c, int num,
			      const struct tce_group *end)
{
	struct tce_group *group;

	list_for_each_entry(group, &c->groups, next) {
		if (group == end)
			return;
		unset_window(group, num);
	}
}

static int set_to_groups(struct tce_container *c, int num,
			 struct iommu_table *tbl)
{
	struct tce_group *group;
	int ret;

	list_for_each_entry(group, &c->groups, next) {
		ret = set_window(group, num, tbl);
		if (ret) {
			unset_from_groups(c, num, group);
			return ret;
		}
	}

	return 0;
}

static bool page_shift_is_supported(const struct iommu_table_group *table_group,
				    u32 page_shift)
{
	return page_shift < BITS_PER_LONG_LONG &&
	       (table_group->pgsizes & (1ULL << page_shift));
}

/* The charge of a window, in pages of the kernel; 0 if there can't be one. */
static unsigned long
window_cost(const struct iommu_table_group *table_group, u32 page_shift,
	    u64 bytes, u32 levels)
{
	if (!page_shift_is_supported(table_group, page_shift) || !levels ||
	    !is_power_of_2(bytes) || bytes < 1ULL << page_shift)
		return 0;

	return DIV_ROUND_UP(table_group->ops->get_table_size(page_shift, bytes,
							     levels),
			    PAGE_SIZE);
}

static unsigned long
default_window_cost(const struct iommu_table_group *table_group)
{
	return window_cost(table_group, IOMMU_PAGE_SHIFT_4K,
			   table_group->tce32_size, 1);
}

/* A table that belongs to the process, charged for all that it may become. */
static int create_owned_table(struct tce_container *c, int num,
			      u32 page_shift, u64 bytes, u32 levels,
			      struct tce_charge *ch, struct iommu_table **ptbl)
{
	struct iommu_table_group *table_group = first_table_group(c);
	unsigned long cost = window_cost(table_group, page_shift, bytes, levels);
	struct iommu_table *tbl;
	int ret;

	if (!cost)
		return -EINVAL;

	/* All that is created in one call was charged before. */
	if (WARN_ON_ONCE(ch->have < cost))
		return -ENOMEM;

	ret = table_group->ops->create_table(table_group, num, page_shift,
					     bytes, levels, &tbl);
	if (ret)
		return ret;

	ret = tce_owner_take(tbl, c->mm, c->v2);
	if (ret) {
		/*
		 * Where a hypervisor keeps the table, creating it made the
		 * window.
		 */
		table_group->ops->unset_window(table_group, num);
		iommu_tce_table_put(tbl);
		return ret;
	}

	ch->have -= cost;
	*ptbl = tbl;

	return 0;
}

/*
 * A window is closed before it is taken from the groups: where a hypervisor
 * keeps the table, it goes with the window, and nobody may change its entries
 * then. LIOBNs may still have it, and let go of it in end_windows(): that waits
 * for hypercalls that are under way, and these for memory of the process.
 */
static void remove_window(struct tce_container *c, int num)
{
	struct iommu_table *tbl = c->tables[num];

	if (!tbl)
		return;

	tce_owner_close(tbl);
	unset_from_groups(c, num, NULL);
	c->tables[num] = NULL;
	c->removed[num] = tbl;
}

static void remove_windows(struct tce_container *c)
{
	int num;

	for (num = 0; num < IOMMU_TABLE_GROUP_MAX_TABLES; num++)
		remove_window(c, num);
}

/*
 * @windows is not held. The charge goes with the last reference, for which
 * mmap_lock is taken.
 */
static void end_windows(struct iommu_table **removed)
{
	int num;

	for (num = 0; num < IOMMU_TABLE_GROUP_MAX_TABLES; num++) {
		if (!removed[num])
			continue;
		tce_owner_end_users(removed[num]);
		iommu_tce_table_put(removed[num]);
	}
}

/* Returns which of the windows it is now. */
static int create_window(struct tce_container *c, u32 page_shift, u64 bytes,
			 u32 levels, struct tce_charge *ch)
{
	int num = find_free_window(c), ret;
	struct iommu_table *tbl;

	if (num < 0)
		return num;

	ret = create_owned_table(c, num, page_shift, bytes, levels, ch, &tbl);
	if (ret)
		return ret;

	ret = set_to_groups(c, num, tbl);
	if (ret) {
		/* KVM may have found it with a group that had it for a while */
		tce_owner_close(tbl);
		c->removed[num] = tbl;
		return ret;
	}

	c->tables[num] = tbl;

	return num;
}

/* -EAGAIN if the window has to be charged before. */
static int create_default_window(struct tce_container *c, struct tce_charge *ch)
{
	struct iommu_table_group *table_group = first_table_group(c);
	int ret;

	if (!c->default_pending)
		return 0;

	if (!table_group)
		return -ENODEV;

	ch->want = default_window_cost(table_group);
	if (ch->want > ch->have)
		return -EAGAIN;

	ret = create_window(c, IOMMU_PAGE_SHIFT_4K, table_group->tce32_size, 1,
			    ch);
	if (ret < 0)
		return ret;

	c->default_pending = false;
	c->default_held = false;

	return 0;
}

/* Undo create_default_window() of a call that failed after all. */
static void forget_default_window(struct tce_container *c, bool was_pending)
{
	if (!was_pending || c->default_pending)
		return;

	remove_window(c, 0);
	c->default_pending = true;
}

typedef int (*change_fn)(struct tce_container *c, void *arg,
			 struct tce_charge *ch);

/* Change something by @change, which says -EAGAIN if it has to be charged. */
static int change_windows(struct tce_container *c, change_fn change, void *arg)
{
	struct iommu_table *removed[IOMMU_TABLE_GROUP_MAX_TABLES];
	struct tce_charge ch = {};
	int ret;

	for (;;) {
		ret = down_write_killable(&c->windows);
		if (ret)
			break;
		ret = change(c, arg, &ch);
		memcpy(removed, c->removed, sizeof(removed));
		memset(c->removed, 0, sizeof(c->removed));
		up_write(&c->windows);
		end_windows(removed);

		if (ret != -EAGAIN || ch.want <= ch.have)
			break;
		ret = charge_more(c, &ch);
		if (ret)
			break;
	}
	uncharge(c, ch.have);

	return ret;
}

/* Mapping */

/**
 * struct dma_change - what MAP and UNMAP ask for
 * @iova: bus address
 * @vaddr: userspace address; 0 to unmap
 * @bytes: size
 * @perm: TCE_PCI_READ, TCE_PCI_WRITE or both; 0 to unmap
 * @made: v2: the default window, with a reference, if this call has made it
 */
struct dma_change {
	u64 iova;
	u64 vaddr;
	u64 bytes;
	unsigned long perm;
	struct iommu_table *made;
};

static int change_entries(struct iommu_table *tbl, const struct dma_change *d)
{
	unsigned long entry, nr;

	if (!IS_ALIGNED(d->iova | d->vaddr | d->bytes, IOMMU_PAGE_SIZE(tbl)))
		return -EINVAL;

	entry = d->iova >> tbl->it_page_shift;
	nr = d->bytes >> tbl->it_page_shift;
	if (!d->perm)
		return tce_unmap(tbl, entry, nr);

	return tce_map(tbl, entry, nr, d->vaddr, d->perm);
}

static bool may_change_entries(const struct tce_container *c)
{
	return READ_ONCE(c->enabled) && c->mm == current->mm;
}

/*
 * The default window has no table until something is mapped or unmapped. v2
 * leaves no window if that fails, see undo_default_window(). v1 does: if its first
 * MAP fails, the next one finds the window.
 */
static int make_default_window(struct tce_container *c, void *arg,
			       struct tce_charge *ch)
{
	bool pending = c->default_pending;
	struct dma_change *d = arg;
	struct iommu_table *tbl;
	int ret;

	if (!may_change_entries(c))
		return -EPERM;

	ret = create_default_window(c, ch);
	if (ret || !c->v2 || !pending)
		return ret;

	tbl = find_window(c, d->iova);
	if (!tbl) {
		forget_default_window(c, pending);
		return -ENXIO;
	}
	d->made = iommu_tce_table_get(tbl);

	return 0;
}

/* The call that has made it failed, and nobody else can have mapped anything. */
static int undo_default_window(struct tce_container *c, void *arg,
			       struct tce_charge *ch)
{
	const struct dma_change *d = arg;

	if (c->tables[0] == d->made && !c->default_held)
		forget_default_window(c, true);

	return 0;
}

/*
 * The window at a bus address, with a reference. NULL if the default window has
 * to be made before.
 */
static struct iommu_table *hold_window(struct tce_container *c, u64 iova)
{
	struct iommu_table *tbl;
	int ret;

	ret = down_read_killable(&c->windows);
	if (ret)
		return ERR_PTR(ret);

	if (!may_change_entries(c)) {
		tbl = ERR_PTR(-EPERM);
	} else if (c->default_pending) {
		tbl = NULL;
	} else {
		tbl = find_window(c, iova);
		if (tbl && tbl == c->tables[0] && !READ_ONCE(c->default_held))
			WRITE_ONCE(c->default_held, true);
		if (tbl)
			tbl = iommu_tce_table_get(tbl);
		if (!tbl)
			tbl = ERR_PTR(-ENXIO);
	}
	up_read(&c->windows);

	return tbl;
}

static int change_dma(struct tce_container *c, struct dma_change *d)
{
	struct iommu_table *tbl;
	int ret;

	for (;;) {
		tbl = hold_window(c, d->iova);
		if (tbl)
			break;
		ret = change_windows(c, make_default_window, d);
		if (ret)
			goto reap;
		tbl = d->made;
		if (tbl)
			break;
	}
	if (IS_ERR(tbl))
		return PTR_ERR(tbl);

	ret = change_entries(tbl, d);
	if (ret && d->made)
		change_windows(c, undo_default_window, d);
	iommu_tce_table_put(tbl);

reap:
	/* Regions that only these entries kept, if a container has left them. */
	mm_iommu_reap(current->mm);

	return ret;
}

static long ioctl_map_dma(struct tce_container *c, void __user *arg)
{
	unsigned long minsz = offsetofend(struct vfio_iommu_type1_dma_map,
					  size);
	struct vfio_iommu_type1_dma_map param;
	struct dma_change d = {};

	if (!READ_ONCE(c->enabled))
		return -EPERM;

	if (copy_from_user(&param, arg, minsz))
		return -EFAULT;

	if (param.argsz < minsz || param.flags & ~(VFIO_DMA_MAP_FLAG_READ |
						   VFIO_DMA_MAP_FLAG_WRITE))
		return -EINVAL;

	d.iova = param.iova;
	d.vaddr = param.vaddr;
	d.bytes = param.size;
	if (param.flags & VFIO_DMA_MAP_FLAG_READ)
		d.perm |= TCE_PCI_READ;
	if (param.flags & VFIO_DMA_MAP_FLAG_WRITE)
		d.perm |= TCE_PCI_WRITE;
	if (!d.perm)
		return -EINVAL;

	return change_dma(c, &d);
}

static long ioctl_unmap_dma(struct tce_container *c, void __user *arg)
{
	unsigned long minsz = offsetofend(struct vfio_iommu_type1_dma_unmap,
					  size);
	struct vfio_iommu_type1_dma_unmap param;
	struct dma_change d = {};

	if (!READ_ONCE(c->enabled))
		return -EPERM;

	if (copy_from_user(&param, arg, minsz))
		return -EFAULT;

	if (param.argsz < minsz || param.flags)
		return -EINVAL;

	d.iova = param.iova;
	d.bytes = param.size;

	return change_dma(c, &d);
}

/* Registered memory */

/* The region that the container registered as this range, NULL if none. */
static struct mm_iommu_region *find_registered(struct tce_container *c,
					       u64 vaddr, u64 bytes)
{
	struct mm_iommu_region *region;

	region = xa_load(&c->regions, vaddr >> PAGE_SHIFT);
	if (!region || region->nr_pages != bytes >> PAGE_SHIFT)
		return NULL;

	return region;
}

static int register_memory(struct tce_container *c, u64 vaddr, u64 bytes)
{
	struct mm_iommu *registry = mm_iommu_registry(c->mm);
	unsigned long index = vaddr >> PAGE_SHIFT;
	struct mm_iommu_region *region;
	int ret;

	if (!registry)
		return -ENOMEM;

	if (find_registered(c, vaddr, bytes))
		return -EBUSY;

	/* Have the slot first: nothing may fail once it is registered. */
	ret = xa_reserve(&c->regions, index, GFP_KERNEL_ACCOUNT);
	if (ret)
		return ret;

	ret = mm_iommu_register(registry, vaddr, bytes >> PAGE_SHIFT, &region);
	if (ret) {
		xa_release(&c->regions, index);
		return ret;
	}

	xa_store(&c->regions, index, region, GFP_KERNEL_ACCOUNT);

	return 0;
}

static int unregister_memory(struct tce_container *c, u64 vaddr, u64 bytes)
{
	struct mm_iommu_region *region = find_registered(c, vaddr, bytes);
	int ret;

	if (!region)
		return -ENOENT;

	ret = mm_iommu_unregister(region);
	if (ret)
		return ret;

	xa_erase(&c->regions, vaddr >> PAGE_SHIFT);

	return 0;
}

static int get_memory_param(void __user *arg,
			    struct vfio_iommu_spapr_register_memory *param)
{
	unsigned long minsz;
	u64 end;

	minsz = offsetofend(struct vfio_iommu_spapr_register_memory, size);
	if (copy_from_user(param, arg, minsz))
		return -EFAULT;

	if (param->argsz < minsz || param->flags)
		return -EINVAL;

	if (!param->size || !PAGE_ALIGNED(param->vaddr | param->size) ||
	    check_add_overflow(param->vaddr, param->size, &end))
		return -EINVAL;

	return 0;
}

static int bind_to_current(struct tce_container *c, void *arg,
			   struct tce_charge *ch)
{
	return bind_mm(c);
}

static long ioctl_register_memory(struct tce_container *c, void __user *arg)
{
	struct vfio_iommu_spapr_register_memory param;
	int ret;

	ret = get_memory_param(arg, &param);
	if (ret)
		return ret;

	if (READ_ONCE(c->mm) != current->mm) {
		ret = change_windows(c, bind_to_current, NULL);
		if (ret)
			return ret;
	}

	ret = mutex_lock_killable(&c->memory);
	if (ret)
		return ret;
	ret = register_memory(c, param.vaddr, param.size);
	mutex_unlock(&c->memory);
	if (ret)
		return ret;

	/* Never taken back in v2. */
	WRITE_ONCE(c->enabled, true);

	return 0;
}

static long ioctl_unregister_memory(struct tce_container *c, void __user *arg)
{
	struct vfio_iommu_spapr_register_memory param;
	int ret;

	if (READ_ONCE(c->mm) != current->mm)
		return -EPERM;

	ret = get_memory_param(arg, &param);
	if (ret)
		return ret;

	ret = mutex_lock_killable(&c->memory);
	if (ret)
		return ret;
	ret = unregister_memory(c, param.vaddr, param.size);
	mutex_unlock(&c->memory);

	return ret;
}

/* v1 */

static int enable(struct tce_container *c, void *arg, struct tce_charge *ch)
{
	struct iommu_table_group *table_group = first_table_group(c);
	unsigned long pages;
	int ret;

	if (c->enabled)
		return -EBUSY;

	if (!table_group)
		return -ENODEV;

	/* Without a default window nothing could ever be mapped. */
	if (!table_group->tce32_size)
		return -EPERM;

	ret = bind_mm(c);
	if (ret)
		return ret;

	pages = table_group->tce32_size >> PAGE_SHIFT;
	if (pages > ch->have) {
		ch->want = pages;
		return -EAGAIN;
	}

	ch->have -= pages;
	c->enabled_pages = pages;
	WRITE_ONCE(c->enabled, true);

	return 0;
}

/*
 * ENABLE has charged what is mapped, so DISABLE unmaps all of it. It removes the
 * window, so that a MAP that is under way adds nothing. The next MAP makes a new
 * window.
 */
static int disable(struct tce_container *c, void *arg, struct tce_charge *ch)
{
	int ret;

	ret = check_mm(c);
	if (ret || !c->enabled)
		return ret;

	if (!c->default_pending) {
		remove_windows(c);
		c->default_pending = true;
	}

	/* Given back with what was charged and not used. */
	ch->have += c->enabled_pages;
	c->enabled_pages = 0;
	WRITE_ONCE(c->enabled, false);

	return 0;
}

/* Information and windows */

static int get_info(struct tce_container *c,
		    struct vfio_iommu_spapr_tce_info *info)
{
	struct iommu_table_group *table_group = first_table_group(c);

	if (!table_group)
		return -ENXIO;

	info->flags = 0;
	info->dma32_window_start = table_group->tce32_start;
	info->dma32_window_size = table_group->tce32_size;
	memset(&info->ddw, 0, sizeof(info->ddw));

	if (!c->v2 || !table_group->max_dynamic_windows_supported)
		return 0;

	info->flags |= VFIO_IOMMU_SPAPR_INFO_DDW;
	info->ddw.pgsizes = table_group->pgsizes;
	info->ddw.max_dynamic_windows_supported =
		table_group->max_dynamic_windows_supported;
	info->ddw.levels = table_group->max_levels;

	return 0;
}

static long ioctl_get_info(struct tce_container *c, void __user *arg)
{
	unsigned long minsz, fullsz;
	struct vfio_iommu_spapr_tce_info info;
	u32 argsz;
	int ret;

	minsz = offsetofend(struct vfio_iommu_spapr_tce_info,
			    dma32_window_size);
	fullsz = offsetofend(struct vfio_iommu_spapr_tce_info, ddw);

	if (get_user(argsz, (u32 __user *)arg))
		return -EFAULT;
	if (argsz < minsz)
		return -EINVAL;

	ret = down_read_killable(&c->windows);
	if (ret)
		return ret;
	ret = get_info(c, &info);
	up_read(&c->windows);
	if (ret)
		return ret;

	info.argsz = argsz;
	if (copy_to_user(arg, &info, argsz >= fullsz ? fullsz : minsz))
		return -EFAULT;

	return 0;
}

/**
 * struct create_call - a call of VFIO_IOMMU_SPAPR_TCE_CREATE
 * @create: its argument
 * @arg: where the process has it
 * @size: as much of it as is copied, in bytes
 */
struct create_call {
	struct vfio_iommu_spapr_tce_create create;
	void __user *arg;
	unsigned long size;
};

/* All that the call has to have charged, in pages, or an error. */
static int create_cost(struct tce_container *c,
		       const struct vfio_iommu_spapr_tce_create *create,
		       unsigned long *cost)
{
	struct iommu_table_group *table_group = first_table_group(c);

	if (!table_group)
		return -ENODEV;

	if (!c->default_pending && find_free_window(c) < 0)
		return -ENOSPC;

	*cost = window_cost(table_group, create->page_shift,
			    create->window_size, create->levels);
	if (!*cost)
		return -EINVAL;

	if (c->default_pending)
		*cost += default_window_cost(table_group);

	return 0;
}

/*
 * A process may handle its own page faults, and take its time, so the page of
 * the answer has to be there: -EFAULT, with nothing created, if it is not.
 */
static int create_and_tell(struct tce_container *c, void *arg,
			   struct tce_charge *ch)
{
	struct create_call *call = arg;
	struct vfio_iommu_spapr_tce_create *create = &call->create;
	bool pending = c->default_pending;
	int num, ret;

	if (list_empty(&c->groups))
		return -ENXIO;

	ret = bind_mm(c);
	if (ret)
		return ret;

	ret = create_cost(c, create, &ch->want);
	if (ret)
		return ret;
	if (ch->want > ch->have)
		return -EAGAIN;

	ret = create_default_window(c, ch);
	if (ret)
		return ret;

	num = create_window(c, create->page_shift, create->window_size,
			    create->levels, ch);
	if (num < 0) {
		ret = num;
		goto forget_default;
	}

	create->start_addr = window_start(c->tables[num]);
	if (copy_to_user_nofault(call->arg, create, call->size)) {
		ret = -EFAULT;
		goto remove;
	}

	return 0;

remove:
	remove_window(c, num);
forget_default:
	forget_default_window(c, pending);

	return ret;
}

static long ioctl_tce_create(struct tce_container *c, void __user *arg)
{
	struct create_call call = {
		.arg = arg,
		.size = offsetofend(struct vfio_iommu_spapr_tce_create,
				    start_addr),
	};
	int ret;

	if (copy_from_user(&call.create, arg, call.size))
		return -EFAULT;

	if (call.create.argsz < call.size || call.create.flags)
		return -EINVAL;

	do {
		ret = change_windows(c, create_and_tell, &call);
	} while (ret == -EFAULT && !fatal_signal_pending(current) &&
		 !fault_in_safe_writeable(arg, call.size));

	return ret;
}

static int remove_window_at(struct tce_container *c, void *arg,
			    struct tce_charge *ch)
{
	struct iommu_table_group *table_group = first_table_group(c);
	u64 start = *(u64 *)arg;
	int num, ret;

	if (!table_group)
		return -ENXIO;

	ret = bind_mm(c);
	if (ret)
		return ret;

	if (c->default_pending && start == table_group->tce32_start) {
		c->default_pending = false;
		return 0;
	}

	for (num = 0; num < IOMMU_TABLE_GROUP_MAX_TABLES; num++) {
		if (c->tables[num] && window_start(c->tables[num]) == start) {
			remove_window(c, num);
			return 0;
		}
	}

	return -EINVAL;
}

static long ioctl_tce_remove(struct tce_container *c, void __user *arg)
{
	unsigned long minsz = offsetofend(struct vfio_iommu_spapr_tce_remove,
					  start_addr);
	struct vfio_iommu_spapr_tce_remove remove;
	u64 start;

	if (copy_from_user(&remove, arg, minsz))
		return -EFAULT;

	if (remove.argsz < minsz || remove.flags)
		return -EINVAL;

	start = remove.start_addr;

	return change_windows(c, remove_window_at, &start);
}

/* EEH */

/* The group that joined next after the one of this number. */
static struct tce_group *next_group(struct tce_container *c, u64 number)
{
	struct tce_group *group, *next = NULL;

	list_for_each_entry(group, &c->groups, next) {
		if (group->number > number &&
		    (!next || group->number < next->number))
			next = group;
	}

	return next;
}

/*
 * Begin to work on the next group that is not done: -ENOENT if all are. No
 * lock of the container is held until eeh_end(). A process that gives the group
 * away in between must not reset what is another process's by then, so the
 * group is in a list, and joins no container as long as it is.
 */
static int eeh_use(struct tce_container *c, struct tce_eeh_use *use)
{
	struct tce_group *group;
	int ret;

	ret = down_read_killable(&c->windows);
	if (ret)
		return ret;

	group = next_group(c, use->done);
	if (group) {
		use->group = iommu_group_ref_get(group->group);
		use->number = group->number;
		use->gone = false;
		spin_lock(&eeh_lock);
		list_add(&use->next, &eeh_uses);
		spin_unlock(&eeh_lock);
	}
	up_read(&c->windows);

	return group ? 0 : -ENOENT;
}

/*
 * Waits that may never end come first. Only then ask which groups the container
 * has: one that left during the wait may be another process's.
 */
static int eeh_begin(struct tce_container *c, struct tce_eeh_use *use)
{
	int ret;

	ret = vfio_spapr_eeh_lock();
	if (ret)
		return ret;

	ret = eeh_use(c, use);
	if (ret)
		vfio_spapr_eeh_unlock();

	return ret;
}

static void eeh_end(struct tce_eeh_use *use)
{
	spin_lock(&eeh_lock);
	list_del(&use->next);
	spin_unlock(&eeh_lock);
	iommu_group_put(use->group);
	vfio_spapr_eeh_unlock();
}

static bool eeh_uses_group(const struct iommu_group *group)
{
	const struct tce_eeh_use *use;
	bool found = false;

	spin_lock(&eeh_lock);
	list_for_each_entry(use, &eeh_uses, next)
		found |= use->group == group;
	spin_unlock(&eeh_lock);

	return found;
}

/* A container gives the group away. What was begun by then goes on. */
static void eeh_group_leaves(const struct iommu_group *group)
{
	struct tce_eeh_use *use;

	spin_lock(&eeh_lock);
	list_for_each_entry(use, &eeh_uses, next)
		use->gone |= use->group == group;
	spin_unlock(&eeh_lock);
}

static bool eeh_has_gone(const struct tce_eeh_use *use)
{
	bool gone;

	spin_lock(&eeh_lock);
	gone = use->gone;
	spin_unlock(&eeh_lock);

	return gone;
}

/*
 * -ESTALE if the group has left. If it leaves later, closing or opening a device
 * of it, also by iommufd, waits until this is over.
 */
static long eeh_one_group(const struct tce_eeh_use *use,
			  const struct vfio_eeh_pe_op *op)
{
	struct eeh_pe *pe = vfio_spapr_eeh_begin(use->group);
	long ret = -ESTALE;

	if (IS_ERR(pe))
		return PTR_ERR(pe);

	if (!eeh_has_gone(use))
		ret = vfio_spapr_eeh_try(pe, op);
	vfio_spapr_eeh_end(pe);

	return ret;
}

/* A device is being unbound, or reset by someone else: wait without locks. */
static int eeh_wait(void)
{
	schedule_timeout_killable(EEH_RETRY);

	return fatal_signal_pending(current) ? -EINTR : 0;
}

/* One group after the other, as long as they say 0. */
static long eeh_all_groups(struct tce_container *c,
			   const struct vfio_eeh_pe_op *op)
{
	struct tce_eeh_use use = {};
	long ret;

	for (;;) {
		ret = eeh_begin(c, &use);
		if (ret == -ENOENT)
			return use.done ? 0 : -ENODEV;
		if (ret)
			return ret;

		ret = eeh_one_group(&use, op);
		eeh_end(&use);
		if (ret == -ESTALE)
			continue;
		if (!ret)
			use.done = use.number;
		else if (ret == -EAGAIN)
			ret = eeh_wait();
		if (ret)
			return ret;
	}
}

/* GET_STATE returns a state, a positive number: that is its interface. */
static long ioctl_eeh_pe_op(struct tce_container *c, void __user *arg)
{
	struct vfio_eeh_pe_op op;
	int ret;

	ret = vfio_spapr_eeh_get_op(&op, arg);
	if (ret)
		return ret;

	return eeh_all_groups(c, &op);
}

static long check_extension(unsigned long extension)
{
	switch (extension) {
	case VFIO_SPAPR_TCE_IOMMU:
	case VFIO_SPAPR_TCE_v2_IOMMU:
		return 1;
	case VFIO_EEH:
		return eeh_enabled();
	default:
		return 0;
	}
}

static long ioctl_v1(struct tce_container *c, unsigned int cmd)
{
	switch (cmd) {
	case VFIO_IOMMU_ENABLE:
		return change_windows(c, enable, NULL);
	case VFIO_IOMMU_DISABLE:
		return change_windows(c, disable, NULL);
	default:
		return -ENOTTY;
	}
}

static long ioctl_v2(struct tce_container *c, unsigned int cmd,
		     void __user *arg)
{
	switch (cmd) {
	case VFIO_IOMMU_SPAPR_REGISTER_MEMORY:
		return ioctl_register_memory(c, arg);
	case VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY:
		return ioctl_unregister_memory(c, arg);
	case VFIO_IOMMU_SPAPR_TCE_CREATE:
		return ioctl_tce_create(c, arg);
	case VFIO_IOMMU_SPAPR_TCE_REMOVE:
		return ioctl_tce_remove(c, arg);
	default:
		return -ENOTTY;
	}
}

static long tce_iommu_ioctl(void *iommu_data, unsigned int cmd,
			    unsigned long arg)
{
	struct tce_container *c = iommu_data;
	void __user *uarg = (void __user *)arg;
	int ret;

	/* Asked without a container too. */
	if (cmd == VFIO_CHECK_EXTENSION)
		return check_extension(arg);

	ret = check_mm(c);
	if (ret)
		return ret;

	switch (cmd) {
	case VFIO_IOMMU_MAP_DMA:
		return ioctl_map_dma(c, uarg);
	case VFIO_IOMMU_UNMAP_DMA:
		return ioctl_unmap_dma(c, uarg);
	case VFIO_IOMMU_SPAPR_TCE_GET_INFO:
		return ioctl_get_info(c, uarg);
	case VFIO_EEH_PE_OP:
		return ioctl_eeh_pe_op(c, uarg);
	default:
		return c->v2 ? ioctl_v2(c, cmd, uarg) : ioctl_v1(c, cmd);
	}
}

/* Containers and groups */

static void *tce_iommu_open(unsigned long arg)
{
	struct tce_container *c;

	if (arg != VFIO_SPAPR_TCE_IOMMU && arg != VFIO_SPAPR_TCE_v2_IOMMU)
		return ERR_PTR(-EINVAL);

	c = kzalloc(sizeof(*c), GFP_KERNEL_ACCOUNT);
	if (!c)
		return ERR_PTR(-ENOMEM);

	c->v2 = arg == VFIO_SPAPR_TCE_v2_IOMMU;
	init_rwsem(&c->windows);
	INIT_LIST_HEAD(&c->groups);
	mutex_init(&c->memory);
	/* The process pays for the nodes as well. */
	xa_init_flags(&c->regions, XA_FLAGS_ACCOUNT);

	return c;
}

/* No group is left, nothing is called at the same time or later. */
static void tce_iommu_release(void *iommu_data)
{
	struct tce_container *c = iommu_data;
	struct mm_iommu_region *region;
	unsigned long index;

	end_windows(c->removed);
	uncharge(c, c->enabled_pages);

	xa_for_each(&c->regions, index, region)
		mm_iommu_let_go(region);
	xa_destroy(&c->regions);

	if (c->mm) {
		mm_iommu_reap(c->mm);
		mmdrop(c->mm);
	}
	kfree(c);
}

static int group_can_join(struct tce_container *c,
			  struct iommu_group *iommu_group)
{
	struct iommu_table_group *table_group, *first;

	table_group = iommu_group_get_iommudata(iommu_group);
	if (!table_group)
		return -ENODEV;

	if (!table_group->ops || !table_group->ops->create_table ||
	    !table_group->ops->get_table_size ||
	    !table_group->ops->set_window || !table_group->ops->unset_window)
		return -EPERM;

	if (c->v2 && !table_group->max_dynamic_windows_supported)
		return -EINVAL;

	if (!c->v2 && !list_empty(&c->groups))
		return -EBUSY;

	if (eeh_uses_group(iommu_group))
		return -EBUSY;

	if (find_group(c, iommu_group))
		return -EBUSY;

	/* They share tables, if they can, and these must mean the same to both. */
	first = first_table_group(c);
	if (first && (!first->ops->shares_tables ||
		      first->ops != table_group->ops ||
		      first->pgsizes != table_group->pgsizes))
		return -EPERM;

	return 0;
}

static void unset_windows(struct tce_container *c, struct tce_group *group,
			  int end)
{
	int num;

	for (num = 0; num < end; num++) {
		if (c->tables[num])
			unset_window(group, num);
	}
}

/* Program all windows that there are to a group that joins. */
static int set_windows(struct tce_container *c, struct tce_group *group)
{
	int num, ret;

	for (num = 0; num < IOMMU_TABLE_GROUP_MAX_TABLES; num++) {
		if (!c->tables[num])
			continue;
		ret = set_window(group, num, c->tables[num]);
		if (ret) {
			unset_windows(c, group, num);
			return ret;
		}
	}

	return 0;
}

static int attach_group(struct tce_container *c,
			struct iommu_group *iommu_group)
{
	struct tce_group *group;
	int ret;

	ret = group_can_join(c, iommu_group);
	if (ret)
		return ret;

	group = kzalloc(sizeof(*group), GFP_KERNEL_ACCOUNT);
	if (!group)
		return -ENOMEM;

	group->group = iommu_group;
	ret = set_windows(c, group);
	if (ret) {
		kfree(group);
		return ret;
	}

	if (list_empty(&c->groups) && !c->tables[0])
		c->default_pending = true;
	group->number = ++c->joined;
	list_add(&group->next, &c->groups);

	return 0;
}

static int tce_iommu_attach_group(void *iommu_data,
				  struct iommu_group *iommu_group,
				  enum vfio_group_type type)
{
	struct tce_container *c = iommu_data;
	int ret;

	if (type == VFIO_EMULATED_IOMMU)
		return -EINVAL;

	ret = down_write_killable(&c->windows);
	if (ret)
		return ret;
	ret = attach_group(c, iommu_group);
	up_write(&c->windows);

	return ret;
}

/*
 * The group loses the windows, and nothing else changes: other groups go on
 * using what is mapped. With the last group the windows go, too: LIOBNs let go
 * of them, and they give their charge back, when the container is released. That
 * may wait for the process, and here VFIO has locks.
 */
static void tce_iommu_detach_group(void *iommu_data,
				   struct iommu_group *iommu_group)
{
	struct tce_container *c = iommu_data;
	struct tce_group *group;

	down_write(&c->windows);
	group = find_group(c, iommu_group);
	if (group) {
		if (list_is_singular(&c->groups)) {
			remove_windows(c);
			c->default_pending = false;
		}
		unset_windows(c, group, IOMMU_TABLE_GROUP_MAX_TABLES);
		list_del(&group->next);
		eeh_group_leaves(iommu_group);
		kfree(group);
	}
	up_write(&c->windows);
}

static const struct vfio_iommu_driver_ops tce_iommu_driver_ops = {
	.name		= "iommu-vfio-powerpc",
	.owner		= THIS_MODULE,
	.open		= tce_iommu_open,
	.release	= tce_iommu_release,
	.ioctl		= tce_iommu_ioctl,
	.attach_group	= tce_iommu_attach_group,
	.detach_group	= tce_iommu_detach_group,
};

static int __init tce_iommu_init(void)
{
	return vfio_register_iommu_driver(&tce_iommu_driver_ops);
}

static void __exit tce_iommu_exit(void)
{
	vfio_unregister_iommu_driver(&tce_iommu_driver_ops);
}

module_init(tce_iommu_init);
module_exit(tce_iommu_exit);

MODULE_VERSION(DRIVER_VERSION);
MODULE_LICENSE("GPL v2");
MODULE_AUTHOR(DRIVER_AUTHOR);
MODULE_DESCRIPTION(DRIVER_DESC);
