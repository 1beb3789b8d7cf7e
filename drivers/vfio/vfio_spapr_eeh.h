/* SPDX-License-Identifier: GPL-2.0-only */
/* EEH for the user of a device. */
#ifndef DRIVERS_VFIO_VFIO_SPAPR_EEH_H
#define DRIVERS_VFIO_VFIO_SPAPR_EEH_H

#include <linux/errno.h>
#include <linux/kconfig.h>
#include <linux/vfio.h>

struct iommu_group;

#if IS_ENABLED(CONFIG_VFIO_SPAPR_EEH)
int vfio_spapr_eeh_get_op(struct vfio_eeh_pe_op *op, const void __user *arg);
int vfio_spapr_eeh_lock(void);
void vfio_spapr_eeh_unlock(void);
long vfio_spapr_eeh_try(struct iommu_group *group,
			const struct vfio_eeh_pe_op *op);
#else
static inline int vfio_spapr_eeh_get_op(struct vfio_eeh_pe_op *op,
					const void __user *arg)
{
	return -ENODEV;
}

static inline int vfio_spapr_eeh_lock(void)
{
	return -ENODEV;
}

static inline void vfio_spapr_eeh_unlock(void) { }

static inline long vfio_spapr_eeh_try(struct iommu_group *group,
				      const struct vfio_eeh_pe_op *op)
{
	return -ENODEV;
}
#endif

#endif
