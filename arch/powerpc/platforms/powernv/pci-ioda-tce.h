/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TCE tables of IODA2 and later PHBs: geometry and entries.
 */
#ifndef _POWERNV_PCI_IODA_TCE_H
#define _POWERNV_PCI_IODA_TCE_H

#include <linux/mm.h>
#include <linux/types.h>

#include <asm/tce.h>

struct iommu_table;
struct iommu_table_group;
struct iommu_table_group_ops;
struct pnv_ioda_pe;

/*
 * The hardware takes up to 5 levels, but with levels of 512 entries and IOMMU
 * pages of up to 64 KiB a fifth would need bus addresses of 55 bits and more.
 */
#define PNV_TCE_MAX_LEVELS		4

/* Levels of tables that the kernel makes for itself. */
#define PNV_TCE_DEFAULT_LEVELS		2

/* The smallest level is 4 KiB, and a TCE is 8 bytes. */
#define PNV_TCE_MIN_LEVEL_BITS		9

/* Bus address bits below which a table has to stay. */
#define PNV_TCE_MAX_ADDR_BITS		55

#define PNV_TCE_PERM_MASK	((unsigned long)(TCE_PCI_READ | TCE_PCI_WRITE))

/* From so many pages on, all cached TCEs of a PE are invalidated at once. */
#define PNV_KILL_PE_PAGES		64

/* Firmware takes the size of IOMMU pages that it invalidates as 32 bits. */
#define PNV_KILL_MAX_SHIFT		31

/* TCE Kill register of PHB3, and its commands. */
#define PHB3_TCE_KILL			0x210
#define PHB3_TCE_KILL_PE		PPC_BIT(1)
#define PHB3_TCE_KILL_PAGE		PPC_BIT(2)

/**
 * struct pnv_tce_geometry - the shape of a TCE table
 * @page_shift: size of an IOMMU page
 * @levels: how many; 1 is a flat table
 * @level_bits: bus address bits that each level resolves
 * @entries_shift: entries of the window
 */
struct pnv_tce_geometry {
	unsigned int page_shift;
	unsigned int levels;
	unsigned int level_bits;
	unsigned int entries_shift;
};

/* Are @nr entries invalidated one by one, not with all of the PE? */
static inline bool pnv_tce_kill_is_by_page(const struct iommu_table *tbl,
					   unsigned long nr)
{
	return nr < PNV_KILL_PE_PAGES &&
	       tbl->it_page_shift <= PNV_KILL_MAX_SHIFT;
}

/* The level that an entry above the lowest level points to. */
static inline __be64 *pnv_tce_level_of(u64 entry)
{
	return __va(entry & ~PNV_TCE_PERM_MASK);
}

/* The PE of a group. */
#define pnv_to_pe(group) \
	container_of(group, struct pnv_ioda_pe, table_group)

int pnv_tce_plan(struct pnv_tce_geometry *geo, unsigned int page_shift,
		 u64 window_bytes, unsigned int levels);
unsigned long pnv_tce_geometry_bytes(const struct pnv_tce_geometry *geo);

int pnv_tce_table_init(struct iommu_table *tbl,
		       const struct pnv_tce_geometry *geo, u64 bus_offset,
		       int nid, gfp_t gfp);
void pnv_tce_table_free(struct iommu_table *tbl);
int pnv_tce_set(struct iommu_table *tbl, unsigned long entry, unsigned long nr,
		unsigned long hpa, unsigned long perm);
int pnv_tce_grow(struct iommu_table *tbl, unsigned long entry,
		 unsigned long nr);
int pnv_tce_grow_gfp(struct iommu_table *tbl, unsigned long entry,
		     unsigned long nr, gfp_t gfp);
const __be64 *pnv_tce_find(const struct iommu_table *tbl, unsigned long index,
			   unsigned long *nr);
bool pnv_tce_is_grown(const struct iommu_table *tbl, unsigned long entry,
		      unsigned long nr);
int pnv_tce_set_list(struct iommu_table *tbl, unsigned long entry,
		     const u64 *tces, unsigned long nr);
int pnv_tce_set_runs(struct iommu_table *tbl, unsigned long entry,
		     const struct tce_run *runs, unsigned int nr_runs,
		     unsigned long perm);
unsigned long pnv_tce_clear_range(struct iommu_table *tbl, unsigned long entry,
				  unsigned long nr);
void pnv_phb3_tce_kill_rm(struct iommu_table *tbl, unsigned long entry,
			  unsigned long nr);
void pnv_opal_tce_kill_rm(struct iommu_table *tbl, unsigned long entry,
			  unsigned long nr);
unsigned long pnv_tce_next_used(struct iommu_table *tbl, unsigned long entry,
				unsigned long nr);
unsigned long pnv_tce_allocated(const struct iommu_table *tbl);
unsigned long pnv_tce_get(struct iommu_table *tbl, long entry);

extern struct iommu_table_group_ops pnv_ioda2_group_ops;

void pnv_ioda2_tce_kill(struct iommu_table *tbl, unsigned long entry,
			unsigned long nr);
int pnv_ioda2_map_window(struct pnv_ioda_pe *pe, int num,
			 const struct iommu_table *tbl);
int pnv_ioda2_map_bypass(struct pnv_ioda_pe *pe, u64 top);
long pnv_ioda2_set_window(struct iommu_table_group *table_group, int num,
			  struct iommu_table *tbl);
long pnv_ioda2_unset_window(struct iommu_table_group *table_group, int num);

#endif /* _POWERNV_PCI_IODA_TCE_H */
