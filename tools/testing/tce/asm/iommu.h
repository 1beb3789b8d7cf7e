/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_ASM_IOMMU_H
#define _FUZZ_ASM_IOMMU_H

#include <linux/atomic.h>
#include <linux/mm.h>

#include <asm/cputable.h>

/* The platform's own header is about machines. */
#define __POWERNV_PCI_H

#define NUMA_NO_NODE		(-1)

#define IOMMU_PAGE_SIZE(tbl)	(1UL << (tbl)->it_page_shift)

struct tce_run {
	unsigned long hpa;
	unsigned long entries;
};

struct iommu_table {
	unsigned long it_base;
	unsigned long it_offset;
	unsigned long it_size;
	unsigned long it_indirect_levels;
	unsigned long it_level_size;
	unsigned long it_page_shift;
	unsigned long it_blocksize;
	int it_type;
	int it_nid;
};

/* The one property of the one node of the device tree. */
struct property {
	int length;
	const u32 *cells;
};

struct device_node {
	struct property *sizes;
};

struct pci_controller {
	struct device_node *dn;
};

struct pnv_phb {
	struct pci_controller *hose;
};

#define of_find_property(dn, name, lenp)	((dn)->sizes)
#define of_property_for_each_u32(dn, name, u)				\
	for (int __i = 0; (dn)->sizes && __i < (dn)->sizes->length / 4 &&	\
	     ((u) = (dn)->sizes->cells[__i], true); __i++)

#endif /* _FUZZ_ASM_IOMMU_H */
