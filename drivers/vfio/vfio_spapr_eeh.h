/* SPDX-License-Identifier: GPL-2.0-only */
/* EEH for the user of a device. */
#ifndef DRIVERS_VFIO_VFIO_SPAPR_EEH_H
#define DRIVERS_VFIO_VFIO_SPAPR_EEH_H

#include <linux/err.h>
#include <linux/errno.h>
#include <linux/kconfig.h>
#include <linux/vfio.h>

struct eeh_pe;
struct iommu_group;

#if IS_ENABLED(CONFIG_VFIO_SPAPR_EEH)
int vfio_spapr_eeh_get_op(struct vfio_eeh_pe_op *op, const void __user *arg);
int vfio_spapr_eeh_lock(void);
void vfio_spapr_eeh_unlock(void);
struct eeh_pe *vfio_spapr_eeh_begin(struct iommu_group *group);
void vfio_spapr_eeh_end(struct eeh_pe *pe);
long vfio_spapr_eeh_try(struct eeh_pe *pe, const struct vfio_eeh_pe_op *op);
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

static inline struct eeh_pe *vfio_spapr_eeh_begin(struct iommu_group *group)
{
	return ERR_PTR(-ENODEV);
}

static inline void vfio_spapr_eeh_end(struct eeh_pe *pe) { }

static inline long vfio_spapr_eeh_try(struct eeh_pe *pe,
				      const struct vfio_eeh_pe_op *op)
{
	return -ENODEV;
}
#endif

#endif
