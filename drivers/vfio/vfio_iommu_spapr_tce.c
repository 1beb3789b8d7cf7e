// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO containers on POWER: VFIO_SPAPR_TCE_IOMMU and VFIO_SPAPR_TCE_v2_IOMMU.
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
 * The window that a process finds without asking for one, at bus address 0 with
 * 4 KiB pages, is created when something is first mapped or created, so that
 * who removes it at once, as QEMU does, never pays for it.
 *
 * Locks, in this order:
 *   windows    guards the windows, the groups and what is enabled. For reading
 *              while entries are mapped and unmapped, for writing to change
 *   memory     guards which regions the container has registered
 *   the locks of the registry, tce/owner.c and mmap_lock
 */

#include <linux/err.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/rwsem.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>
#include <linux/xarray.h>

#include <asm/eeh.h>
#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/tce.h>
#include <asm/tce_owner.h>

#include "vfio.h"

/**
 * struct tce_group - a group of a container
 * @next: in the container's list
 * @group: the group
 */
struct tce_group {
	struct list_head next;
	struct iommu_group *group;
};

/**
 * struct tce_container - one container
 * @v2: which of the two it is; constant
 * @mm: the process that it serves, from the first call that needs to know;
 *	its struct is kept. Written once, with @windows held for writing
 * @windows: see above
 * @enabled: v1: between ENABLE and DISABLE; v2: from the first REGISTER on
 * @default_pending: the window at bus address 0 is there, but has no table yet
 * @enabled_pages: v1: what ENABLE charged
 * @tables: the windows
 * @groups: the groups
 * @memory: see above
 * @regions: the regions that this container has registered, by first page
 */
struct tce_container {
	bool v2;
	struct mm_struct *mm;
	struct rw_semaphore windows;
	bool enabled;
	bool default_pending;
	unsigned long enabled_pages;
	struct iommu_table *tables[IOMMU_TABLE_GROUP_MAX_TABLES];
	struct list_head groups;
	struct mutex memory; /* @regions */
	struct xarray regions;
};

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

/* Take a window away from the groups before @end in the list, or from all. */
static void unset_from_groups(struct tce_container *c, int num,
			      const struct tce_group *end)
{
	struct tce_group *group;

	list_for_each_entry(group, &c->groups, next) {
		struct iommu_table_group *table_group = table_group_of(group);

		if (group == end)
			return;
		table_group->ops->unset_window(table_group, num);
	}
}

static int set_to_groups(struct tce_container *c, int num,
			 struct iommu_table *tbl)
{
	struct tce_group *group;
	long ret;

	list_for_each_entry(group, &c->groups, next) {
		struct iommu_table_group *table_group = table_group_of(group);

		ret = table_group->ops->set_window(table_group, num, tbl);
		if (ret) {
			unset_from_groups(c, num, group);
			return ret;
		}
	}

	return 0;
}

/* A table that belongs to the process, charged for all that it may become. */
static int create_owned_table(struct tce_container *c, int num,
			      u32 page_shift, u64 bytes, u32 levels,
			      struct iommu_table **ptbl)
{
	struct iommu_table_group *table_group = first_table_group(c);
	unsigned long cost, pages;
	struct iommu_table *tbl;
	int ret;

	cost = table_group->ops->get_table_size(page_shift, bytes, levels);
	if (!cost)
		return -EINVAL;

	pages = DIV_ROUND_UP(cost, PAGE_SIZE);
	ret = account_locked_vm(c->mm, pages, true);
	if (ret)
		return ret;

	ret = table_group->ops->create_table(table_group, num, page_shift,
					     bytes, levels, &tbl);
	if (ret)
		goto uncharge;

	ret = tce_owner_take(tbl, c->mm, c->v2);
	if (ret)
		goto put_table;

	*ptbl = tbl;

	return 0;

put_table:
	/* Where a hypervisor keeps the table, creating it made the window. */
	table_group->ops->unset_window(table_group, num);
	iommu_tce_table_put(tbl);
uncharge:
	account_locked_vm(c->mm, pages, false);

	return ret;
}

/*
 * Closed first, while the groups have the window: where a hypervisor keeps the
 * table, it goes with the window. The charge goes with the last reference.
 */
static void remove_window(struct tce_container *c, int num)
{
	struct iommu_table *tbl = c->tables[num];

	tce_owner_close(tbl);
	c->tables[num] = NULL;
	unset_from_groups(c, num, NULL);
	iommu_tce_table_put(tbl);
}

static void remove_windows(struct tce_container *c)
{
	int num;

	for (num = 0; num < IOMMU_TABLE_GROUP_MAX_TABLES; num++) {
		if (c->tables[num])
			remove_window(c, num);
	}
}

static bool page_shift_is_supported(const struct iommu_table_group *table_group,
				    u32 page_shift)
{
	return page_shift < BITS_PER_LONG_LONG &&
	       (table_group->pgsizes & (1ULL << page_shift));
}

/* Returns which of the windows it is now. */
static int create_window(struct tce_container *c, u32 page_shift, u64 bytes,
			 u32 levels)
{
	struct iommu_table_group *table_group = first_table_group(c);
	int num = find_free_window(c), ret;
	struct iommu_table *tbl;

	if (num < 0)
		return num;

	if (!page_shift_is_supported(table_group, page_shift) || !levels ||
	    !is_power_of_2(bytes) || bytes < 1ULL << page_shift)
		return -EINVAL;

	ret = create_owned_table(c, num, page_shift, bytes, levels, &tbl);
	if (ret)
		return ret;

	ret = set_to_groups(c, num, tbl);
	if (ret) {
		/* KVM may have found it with a group that had it for a while */
		tce_owner_close(tbl);
		iommu_tce_table_put(tbl);
		return ret;
	}

	c->tables[num] = tbl;

	return num;
}

static int create_default_window(struct tce_container *c)
{
	struct iommu_table_group *table_group = first_table_group(c);
	int ret;

	if (!c->default_pending)
		return 0;

	if (!table_group)
		return -ENODEV;

	ret = create_window(c, IOMMU_PAGE_SHIFT_4K, table_group->tce32_size, 1);
	if (ret < 0)
		return ret;

	c->default_pending = false;

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

/* Mapping */

/**
 * struct dma_change - what MAP and UNMAP ask for
 * @iova: bus address
 * @vaddr: userspace address; 0 to unmap
 * @bytes: size
 * @perm: TCE_PCI_READ, TCE_PCI_WRITE or both; 0 to unmap
 */
struct dma_change {
	u64 iova;
	u64 vaddr;
	u64 bytes;
	unsigned long perm;
};

/* @windows is held, for reading at least. */
static int change_entries(struct tce_container *c, const struct dma_change *d)
{
	struct iommu_table *tbl = find_window(c, d->iova);
	unsigned long entry, nr;

	if (!tbl)
		return -ENXIO;

	if (!IS_ALIGNED(d->iova | d->vaddr | d->bytes, IOMMU_PAGE_SIZE(tbl)))
		return -EINVAL;

	entry = d->iova >> tbl->it_page_shift;
	nr = d->bytes >> tbl->it_page_shift;
	if (!d->perm)
		return tce_unmap(tbl, entry, nr);

	return tce_map(tbl, entry, nr, d->vaddr, d->perm);
}

/* The first of all finds the default window without a table. */
static int change_entries_first(struct tce_container *c,
				const struct dma_change *d)
{
	bool pending = c->default_pending;
	int ret;

	ret = create_default_window(c);
	if (ret)
		return ret;

	ret = change_entries(c, d);
	if (ret)
		forget_default_window(c, pending);

	return ret;
}

static bool may_change_entries(const struct tce_container *c)
{
	return c->enabled && c->mm == current->mm;
}

static int change_dma(struct tce_container *c, const struct dma_change *d)
{
	int ret = -EPERM;
	bool pending;

	down_read(&c->windows);
	pending = c->default_pending;
	if (!pending && may_change_entries(c))
		ret = change_entries(c, d);
	up_read(&c->windows);

	if (pending) {
		down_write(&c->windows);
		if (may_change_entries(c))
			ret = change_entries_first(c, d);
		up_write(&c->windows);
	}
	/* What only these entries kept, if a container has left it. */
	mm_iommu_reap(c->mm);

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

/* What the container has registered as just this range, NULL if nothing. */
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

	/* Have the slot first, for nothing may fail once it is registered. */
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

static long ioctl_register_memory(struct tce_container *c, void __user *arg)
{
	struct vfio_iommu_spapr_register_memory param;
	int ret;

	ret = get_memory_param(arg, &param);
	if (ret)
		return ret;

	if (READ_ONCE(c->mm) != current->mm) {
		down_write(&c->windows);
		ret = bind_mm(c);
		up_write(&c->windows);
		if (ret)
			return ret;
	}

	if (mutex_lock_killable(&c->memory))
		return -EINTR;
	ret = register_memory(c, param.vaddr, param.size);
	mutex_unlock(&c->memory);
	if (ret)
		return ret;

	if (!READ_ONCE(c->enabled)) {
		down_write(&c->windows);
		c->enabled = true;
		up_write(&c->windows);
	}

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

	if (mutex_lock_killable(&c->memory))
		return -EINTR;
	ret = unregister_memory(c, param.vaddr, param.size);
	mutex_unlock(&c->memory);

	return ret;
}

/* v1 */

static int enable(struct tce_container *c)
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
	ret = account_locked_vm(c->mm, pages, true);
	if (ret)
		return ret;

	c->enabled_pages = pages;
	c->enabled = true;

	return 0;
}

/* What is mapped is charged by being enabled, so it can't stay. */
static void disable(struct tce_container *c)
{
	int num;

	if (!c->enabled || c->v2)
		return;

	for (num = 0; num < IOMMU_TABLE_GROUP_MAX_TABLES; num++) {
		struct iommu_table *tbl = c->tables[num];

		if (tbl)
			tce_unmap(tbl, tbl->it_offset, tbl->it_size);
	}

	account_locked_vm(c->mm, c->enabled_pages, false);
	c->enabled = false;
}

static long ioctl_enable(struct tce_container *c)
{
	int ret;

	down_write(&c->windows);
	ret = enable(c);
	up_write(&c->windows);

	return ret;
}

static long ioctl_disable(struct tce_container *c)
{
	int ret;

	down_write(&c->windows);
	ret = check_mm(c);
	if (!ret)
		disable(c);
	up_write(&c->windows);

	return ret;
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

	down_read(&c->windows);
	ret = get_info(c, &info);
	up_read(&c->windows);
	if (ret)
		return ret;

	info.argsz = argsz;
	if (copy_to_user(arg, &info, argsz >= fullsz ? fullsz : minsz))
		return -EFAULT;

	return 0;
}

/* @windows is held for writing. */
static int create_and_tell(struct tce_container *c,
			   struct vfio_iommu_spapr_tce_create *create,
			   void __user *arg, unsigned long minsz)
{
	bool pending = c->default_pending;
	int num, ret;

	if (list_empty(&c->groups))
		return -ENXIO;

	ret = bind_mm(c);
	if (ret)
		return ret;

	ret = create_default_window(c);
	if (ret)
		return ret;

	num = create_window(c, create->page_shift, create->window_size,
			    create->levels);
	if (num < 0) {
		ret = num;
		goto forget_default;
	}

	create->start_addr = window_start(c->tables[num]);
	if (copy_to_user(arg, create, minsz)) {
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
	unsigned long minsz = offsetofend(struct vfio_iommu_spapr_tce_create,
					  start_addr);
	struct vfio_iommu_spapr_tce_create create;
	int ret;

	if (copy_from_user(&create, arg, minsz))
		return -EFAULT;

	if (create.argsz < minsz || create.flags)
		return -EINVAL;

	down_write(&c->windows);
	ret = create_and_tell(c, &create, arg, minsz);
	up_write(&c->windows);

	return ret;
}

/* @windows is held for writing. */
static int remove_window_at(struct tce_container *c, u64 start)
{
	int num, ret;

	if (list_empty(&c->groups))
		return -ENXIO;

	ret = bind_mm(c);
	if (ret)
		return ret;

	if (c->default_pending && start == first_table_group(c)->tce32_start) {
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
	int ret;

	if (copy_from_user(&remove, arg, minsz))
		return -EFAULT;

	if (remove.argsz < minsz || remove.flags)
		return -EINVAL;

	down_write(&c->windows);
	ret = remove_window_at(c, remove.start_addr);
	up_write(&c->windows);

	return ret;
}

/* EEH */

static long eeh_inject_error(struct eeh_pe *pe, void __user *arg)
{
	unsigned long minsz = offsetofend(struct vfio_eeh_pe_op, err.mask);
	struct vfio_eeh_pe_op op;

	if (copy_from_user(&op, arg, minsz))
		return -EFAULT;

	if (op.argsz < minsz)
		return -EINVAL;

	return eeh_pe_inject_err(pe, op.err.type, op.err.func, op.err.addr,
				 op.err.mask);
}

static long eeh_group_op(struct iommu_group *group, void __user *arg, u32 what)
{
	struct eeh_pe *pe = eeh_iommu_group_to_pe(group);

	if (!pe)
		return -ENODEV;

	switch (what) {
	case VFIO_EEH_PE_DISABLE:
		return eeh_pe_set_option(pe, EEH_OPT_DISABLE);
	case VFIO_EEH_PE_ENABLE:
		return eeh_pe_set_option(pe, EEH_OPT_ENABLE);
	case VFIO_EEH_PE_UNFREEZE_IO:
		return eeh_pe_set_option(pe, EEH_OPT_THAW_MMIO);
	case VFIO_EEH_PE_UNFREEZE_DMA:
		return eeh_pe_set_option(pe, EEH_OPT_THAW_DMA);
	case VFIO_EEH_PE_GET_STATE:
		return eeh_pe_get_state(pe);
	case VFIO_EEH_PE_RESET_DEACTIVATE:
		return eeh_pe_reset(pe, EEH_RESET_DEACTIVATE, true);
	case VFIO_EEH_PE_RESET_HOT:
		return eeh_pe_reset(pe, EEH_RESET_HOT, true);
	case VFIO_EEH_PE_RESET_FUNDAMENTAL:
		return eeh_pe_reset(pe, EEH_RESET_FUNDAMENTAL, true);
	case VFIO_EEH_PE_CONFIGURE:
		return eeh_pe_configure(pe);
	case VFIO_EEH_PE_INJECT_ERR:
		return eeh_inject_error(pe, arg);
	default:
		return -EINVAL;
	}
}

/* GET_STATE returns a state, a positive number: that is its interface. */
static long ioctl_eeh_pe_op(struct tce_container *c, void __user *arg)
{
	unsigned long minsz = offsetofend(struct vfio_eeh_pe_op, op);
	struct vfio_eeh_pe_op op;
	struct tce_group *group;
	long ret = 0;

	if (copy_from_user(&op, arg, minsz))
		return -EFAULT;

	if (op.argsz < minsz || op.flags)
		return -EINVAL;

	down_read(&c->windows);
	list_for_each_entry(group, &c->groups, next) {
		ret = eeh_group_op(group->group, arg, op.op);
		if (ret)
			break;
	}
	up_read(&c->windows);

	return ret;
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
		return ioctl_enable(c);
	case VFIO_IOMMU_DISABLE:
		return ioctl_disable(c);
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
	xa_init(&c->regions);

	return c;
}

/* VFIO detaches the groups before, and calls nothing at the same time. */
static void tce_iommu_release(void *iommu_data)
{
	struct tce_container *c = iommu_data;
	struct mm_iommu_region *region;
	unsigned long index;

	disable(c);
	remove_windows(c);

	xa_for_each(&c->regions, index, region)
		mm_iommu_let_go(region);
	xa_destroy(&c->regions);

	if (c->mm) {
		mm_iommu_reap(c->mm);
		mmdrop(c->mm);
	}
	kfree(c);
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

/* Program all windows that there are to a group that joins. */
static int set_windows(struct tce_container *c,
		       struct iommu_table_group *table_group)
{
	long ret;
	int num;

	for (num = 0; num < IOMMU_TABLE_GROUP_MAX_TABLES; num++) {
		if (!c->tables[num])
			continue;
		ret = table_group->ops->set_window(table_group, num,
						   c->tables[num]);
		if (ret)
			goto unset;
	}

	return 0;

unset:
	while (num--) {
		if (c->tables[num])
			table_group->ops->unset_window(table_group, num);
	}

	return ret;
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
	ret = set_windows(c, table_group_of(group));
	if (ret) {
		kfree(group);
		return ret;
	}

	if (list_empty(&c->groups) && !c->tables[0])
		c->default_pending = true;
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

	down_write(&c->windows);
	ret = attach_group(c, iommu_group);
	up_write(&c->windows);

	return ret;
}

/*
 * The group loses the windows, and nothing else changes: other groups go on
 * using what is mapped. With the last group the container ends, windows first.
 */
static void tce_iommu_detach_group(void *iommu_data,
				   struct iommu_group *iommu_group)
{
	struct iommu_table_group *table_group;
	struct tce_container *c = iommu_data;
	struct tce_group *group;
	int num;

	down_write(&c->windows);
	group = find_group(c, iommu_group);
	if (group && list_is_singular(&c->groups))
		remove_windows(c);
	if (group) {
		table_group = table_group_of(group);
		for (num = 0; num < IOMMU_TABLE_GROUP_MAX_TABLES; num++) {
			if (c->tables[num])
				table_group->ops->unset_window(table_group,
							       num);
		}
		list_del(&group->next);
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

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("VFIO containers for TCE tables on POWER");
