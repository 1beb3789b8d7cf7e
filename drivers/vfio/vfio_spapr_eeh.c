// SPDX-License-Identifier: GPL-2.0-only
/*
 * EEH for the user of a device: VFIO_EEH_PE_OP.
 *
 * A PE ("partitionable endpoint") is what the hardware isolates after an error,
 * and what is reset after it: here, the devices of an IOMMU group.
 *
 * A struct eeh_pe lives only as long as it has devices, and an operation walks
 * these. Who removes one takes the PE's user_lock for that, so an operation holds
 * this lock. It also holds PCI's lock against removals, as EEH of the host does.
 * A removal that is under way holds that, and may wait until a process closes a
 * device. So a process that waits for it can be killed.
 *
 * A reset may need the lock of a device, which unbinding the device holds in
 * the same way. So the lock is only tried, and nothing is held until the next
 * try. What is left to wait for is hardware and firmware. That time is bounded:
 * a minute for a device that does not come back from its reset.
 *
 * Opening or closing a device of the PE waits for an operation that is under
 * way. It may be that of a former user, and must be over before the next user
 * begins. The operation waits for neither: it tries again later.
 *
 * Whatever changes something needs an open device. While none is open, the next
 * user may be a driver of the host, who waits for nothing; nobody would end what
 * was begun; and a reset would wait for the drivers, see pnv_eeh_reset().
 */

#include <linux/err.h>
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include <asm/eeh.h>

#include "vfio_spapr_eeh.h"

/**
 * vfio_spapr_eeh_get_op - copy what a process asks for
 * @op: to be filled in; what @arg does not have is 0
 * @arg: struct vfio_eeh_pe_op of the process
 *
 * Context: May sleep, and fault.
 * Return: 0, -EFAULT, or -EINVAL if it is too short or has flags.
 */
int vfio_spapr_eeh_get_op(struct vfio_eeh_pe_op *op, const void __user *arg)
{
	unsigned long minsz = offsetofend(struct vfio_eeh_pe_op, op);

	memset(op, 0, sizeof(*op));
	if (copy_from_user(op, arg, minsz))
		return -EFAULT;

	if (op->argsz < minsz || op->flags)
		return -EINVAL;

	if (op->op != VFIO_EEH_PE_INJECT_ERR)
		return 0;

	minsz = offsetofend(struct vfio_eeh_pe_op, err.mask);
	if (op->argsz < minsz)
		return -EINVAL;

	if (copy_from_user(&op->err, arg + offsetof(struct vfio_eeh_pe_op, err),
			   sizeof(op->err)))
		return -EFAULT;

	return 0;
}
EXPORT_SYMBOL_GPL(vfio_spapr_eeh_get_op);

/**
 * vfio_spapr_eeh_lock - keep most devices from being removed
 *
 * VFs may go all the same, when the driver of their PF does.
 *
 * The caller asks whose a group is only after this: it may have changed while
 * this waited for a removal.
 *
 * Context: May sleep. The caller holds no lock that the closing or the
 *	    unbinding of a device takes.
 * Return: 0, or -EINTR if the process is being killed.
 */
int vfio_spapr_eeh_lock(void)
{
	return pci_lock_rescan_remove_killable();
}
EXPORT_SYMBOL_GPL(vfio_spapr_eeh_lock);

/**
 * vfio_spapr_eeh_unlock - undo vfio_spapr_eeh_lock()
 *
 * Context: May sleep.
 */
void vfio_spapr_eeh_unlock(void)
{
	pci_unlock_rescan_remove();
}
EXPORT_SYMBOL_GPL(vfio_spapr_eeh_unlock);

/*
 * The core keeps the device here, as it has the group's mutex. The PE may be on
 * its way out, and then it has no device; its memory goes by RCU.
 */
static int try_pe_of(struct device *dev, void *arg)
{
	struct eeh_pe **found = arg, *pe;
	struct eeh_dev *edev;

	if (!dev_is_pci(dev))
		return 0;

	guard(rcu)();
	edev = pci_dev_to_eeh_dev(to_pci_dev(dev));
	pe = edev ? READ_ONCE(edev->pe) : NULL;
	if (!pe)
		return 0;
	if (!mutex_trylock(&pe->user_lock))
		return -EAGAIN;
	if (READ_ONCE(edev->pe) == pe) {
		*found = pe;
		return 1;
	}
	mutex_unlock(&pe->user_lock);

	return 0;
}

/**
 * vfio_spapr_eeh_begin - keep the devices of a PE as they are
 * @group: the group of the PE; the caller has a reference
 *
 * None is opened, closed or removed until vfio_spapr_eeh_end().
 *
 * Context: May sleep, between vfio_spapr_eeh_lock() and
 *	    vfio_spapr_eeh_unlock().
 * Return: the PE, for vfio_spapr_eeh_end(); or as an ERR_PTR(), -ENODEV if the
 *	   group has none, or not any more, or -EAGAIN if a device of the PE is
 *	   being opened, closed or removed: try again later.
 */
struct eeh_pe *vfio_spapr_eeh_begin(struct iommu_group *group)
{
	struct eeh_pe *pe;
	int ret;

	ret = iommu_group_for_each_dev(group, &pe, try_pe_of);
	if (ret < 0)
		return ERR_PTR(ret);

	return ret ? pe : ERR_PTR(-ENODEV);
}
EXPORT_SYMBOL_GPL(vfio_spapr_eeh_begin);

/**
 * vfio_spapr_eeh_end - undo vfio_spapr_eeh_begin()
 * @pe: the PE
 *
 * Context: Any in which a mutex can be unlocked.
 */
void vfio_spapr_eeh_end(struct eeh_pe *pe)
{
	/* Who gets the lock next may free the PE. */
	guard(rcu)();
	mutex_unlock(&pe->user_lock);
}
EXPORT_SYMBOL_GPL(vfio_spapr_eeh_end);

static bool needs_open_device(u32 op)
{
	return op != VFIO_EEH_PE_DISABLE && op != VFIO_EEH_PE_GET_STATE &&
	       op <= VFIO_EEH_PE_INJECT_ERR;
}

/**
 * vfio_spapr_eeh_try - do one operation on a PE
 * @pe: the PE, from vfio_spapr_eeh_begin()
 * @op: the operation, from vfio_spapr_eeh_get_op()
 *
 * Context: May sleep.
 * Return: 0; for VFIO_EEH_PE_GET_STATE, one of VFIO_EEH_PE_STATE_*;
 *	   -EAGAIN  a device is locked: try again later
 *	   -ENODEV  it would change something, and none of the PE's devices is
 *		    open
 *	   -EINVAL  no such operation
 *
 *	   or what EEH says
 */
long vfio_spapr_eeh_try(struct eeh_pe *pe, const struct vfio_eeh_pe_op *op)
{
	if (needs_open_device(op->op) && !eeh_pe_passed(pe))
		return -ENODEV;

	switch (op->op) {
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
		return eeh_pe_inject_err(pe, op->err.type, op->err.func,
					 op->err.addr, op->err.mask);
	default:
		return -EINVAL;
	}
}
EXPORT_SYMBOL_GPL(vfio_spapr_eeh_try);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("VFIO: EEH on POWER");
