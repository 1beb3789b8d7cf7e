// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Owned TCE tables of a logical partition: the hypervisor keeps them.
 *
 * There are no levels to make and no cache to invalidate: what a hypercall has
 * changed is changed. Calls are made with a chunk locked; H_PUT_TCE and
 * H_STUFF_TCE do not wait in the hypervisor (PAPR 14.5.4.2).
 */

#include <linux/minmax.h>
#include <linux/printk.h>

#include <asm/hvcall.h>
#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/plpar_wrappers.h>
#include <asm/tce.h>

#include "tce-owned.h"

/* The most that PAPR lets one H_STUFF_TCE clear. */
#define MAX_STUFF_ENTRIES	512UL

/**
 * pseries_tce_set_runs - write entries of an owned table
 * @tbl: the table
 * @entry: first entry
 * @runs: runs of physical memory that the entries are to point to
 * @nr_runs: how many runs
 * @perm: TCE_PCI_READ, TCE_PCI_WRITE or both
 *
 * Context: Any. The caller keeps others off the entries.
 * Return: 0; -EIO, with some entries written, if the hypervisor refused one.
 */
int pseries_tce_set_runs(struct iommu_table *tbl, unsigned long entry,
			 const struct tce_run *runs, unsigned int nr_runs,
			 unsigned long perm)
{
	unsigned int i;

	for (i = 0; i < nr_runs; i++) {
		unsigned long tce = runs[i].hpa | perm, n;

		for (n = 0; n < runs[i].entries; n++) {
			if (plpar_tce_put(tbl->it_index,
					  entry << tbl->it_page_shift, tce))
				return -EIO;
			tce += IOMMU_PAGE_SIZE(tbl);
			entry++;
		}
	}

	return 0;
}

/**
 * pseries_tce_set_list - write entries of an owned table, each to where it pleases
 * @tbl: the table
 * @entry: first entry
 * @tces: for each, the physical address and permissions, 0 for none
 * @nr: how many
 *
 * Context: Any. The caller keeps others off the entries.
 * Return: 0; -EIO, with some entries written, if the hypervisor refused one.
 */
int pseries_tce_set_list(struct iommu_table *tbl, unsigned long entry,
			 const u64 *tces, unsigned long nr)
{
	for (; nr; nr--, entry++, tces++) {
		if (plpar_tce_put(tbl->it_index, entry << tbl->it_page_shift,
				  *tces))
			return -EIO;
	}

	return 0;
}

/**
 * pseries_tce_clear_run - clear entries
 * @tbl: the table
 * @entry: first entry
 * @nr: how many
 *
 * Context: Any. The caller keeps others off the entries.
 */
void pseries_tce_clear_run(struct iommu_table *tbl, unsigned long entry,
			   unsigned long nr)
{
	while (nr) {
		unsigned long n = min(nr, MAX_STUFF_ENTRIES), i;
		long rc;

		rc = plpar_tce_stuff(tbl->it_index, entry << tbl->it_page_shift,
				     0, n);
		/* H_STUFF_TCE is optional. */
		for (i = 0; rc && i < n; i++) {
			if (plpar_tce_put(tbl->it_index,
					  (entry + i) << tbl->it_page_shift, 0))
				pr_err_ratelimited("%s: LIOBN %lx entry %lx\n",
						   __func__, tbl->it_index,
						   entry + i);
		}
		entry += n;
		nr -= n;
	}
}
