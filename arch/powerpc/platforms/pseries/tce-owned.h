/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owned TCE tables of a logical partition.
 */
#ifndef _PSERIES_TCE_OWNED_H
#define _PSERIES_TCE_OWNED_H

struct iommu_table;
struct tce_run;

void pseries_tce_have_lists(void);
int pseries_tce_set_list(struct iommu_table *tbl, unsigned long entry,
			 const u64 *tces, unsigned long nr);
int pseries_tce_set_runs(struct iommu_table *tbl, unsigned long entry,
			 const struct tce_run *runs, unsigned int nr_runs,
			 unsigned long perm);
unsigned long pseries_tce_clear_range(struct iommu_table *tbl,
				      unsigned long entry, unsigned long nr);
int pseries_tce_clear_window(struct iommu_table *tbl);

#endif /* _PSERIES_TCE_OWNED_H */
