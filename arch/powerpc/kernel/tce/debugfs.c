// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What debugfs shows of owned tables: a file each in powerpc/tce/, named by the
 * process and a serial number.
 *
 * A line "NAME VALUE" for each thing of the window, then one for each region that
 * its process has registered:
 *   region ADDRESS BYTES ENTRIES CONTAINERS RUNS
 * RUNS are those of physically contiguous memory, 0 if the region is kept as one
 * word a page. All numbers are decimal, but for addresses.
 *
 * The file is there as long as the owner is: removing it waits for those who
 * read it. They take no lock, so nobody waits for them for long; nor do they
 * enter the gate of tce/check.c, so what is shown may change meanwhile.
 */

#include <linux/atomic.h>
#include <linux/cleanup.h>
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#include <asm/iommu.h>
#include <asm/mm_iommu.h>

#include "debugfs.h"
#include "tce.h"
#include "view.h"

struct dentry *tce_debugfs_dir;

static unsigned long table_bytes(struct iommu_table *tbl)
{
	return tbl->it_ops->allocated ? tbl->it_ops->allocated(tbl) : 0;
}

static void show_view(struct seq_file *m, struct tce_view *view)
{
	struct tce_view_use use = {};

	/* Without registered memory there is none. */
	if (view->root)
		tce_view_count(view, &use);

	seq_printf(m, "view_allocated %lu\n",
		   use.nodes * sizeof(struct tce_node) +
		   use.dense * sizeof(struct tce_dense));
	seq_printf(m, "chunks_empty %lu\n",
		   view->nr_chunks - use.runs - use.dense);
	seq_printf(m, "chunks_run %lu\n", use.runs);
	seq_printf(m, "chunks_dense %lu\n", use.dense);
}

static void show_window(struct seq_file *m, struct iommu_table *tbl)
{
	struct tce_owner *owner = tbl->it_owner;

	seq_printf(m, "process %d\n", owner->pid);
	seq_printf(m, "version %d\n", owner->registry ? 2 : 1);
	seq_printf(m, "bus_address 0x%llx\n",
		   (u64)tbl->it_offset << tbl->it_page_shift);
	seq_printf(m, "size %llu\n", (u64)tbl->it_size << tbl->it_page_shift);
	seq_printf(m, "page_shift %lu\n", tbl->it_page_shift);
	seq_printf(m, "levels %lu\n", tbl->it_indirect_levels + 1);
	seq_printf(m, "closed %d\n", READ_ONCE(owner->closed));
	seq_printf(m, "charged %lu\n",
		   PAGE_ALIGN(tbl->it_allocated_size));
	seq_printf(m, "table_allocated %lu\n", table_bytes(tbl));
	show_view(m, &owner->view);
}

static void show_region(struct seq_file *m,
			const struct mm_iommu_region *region)
{
	seq_printf(m, "region 0x%lx %lu %lld %u %lu\n", region->ua,
		   region->nr_pages << PAGE_SHIFT,
		   mm_iommu_entries(region), READ_ONCE(region->refs),
		   region->nr_runs);
}

/*
 * Positions: 0 is the window, others the page where a region begins, plus 1. Go
 * to the first region from *@pos on.
 */
static loff_t *go_to_region(struct iommu_table *tbl, loff_t *pos)
{
	const struct mm_iommu *registry = tbl->it_owner->registry;
	const struct mm_iommu_region *region;

	if (!registry)
		return NULL;

	guard(rcu)();
	region = mm_iommu_next(registry, (*pos - 1) << PAGE_SHIFT);
	if (!region)
		return NULL;
	*pos = (region->ua >> PAGE_SHIFT) + 1;

	return pos;
}

static void *table_start(struct seq_file *m, loff_t *pos)
{
	return *pos ? go_to_region(m->private, pos) : pos;
}

static void *table_next(struct seq_file *m, void *v, loff_t *pos)
{
	++*pos;

	return go_to_region(m->private, pos);
}

static void table_stop(struct seq_file *m, void *v)
{
}

static int table_show(struct seq_file *m, void *v)
{
	struct iommu_table *tbl = m->private;
	const struct mm_iommu_region *region;
	unsigned long ua;
	loff_t *pos = v;

	if (!*pos) {
		show_window(m, tbl);
		return 0;
	}

	/* It may have gone since. */
	guard(rcu)();
	ua = (*pos - 1) << PAGE_SHIFT;
	region = mm_iommu_find(tbl->it_owner->registry, ua);
	if (region && region->ua == ua)
		show_region(m, region);

	return 0;
}

static const struct seq_operations table_sops = {
	.start	= table_start,
	.next	= table_next,
	.stop	= table_stop,
	.show	= table_show,
};

DEFINE_SEQ_ATTRIBUTE(table);

/**
 * tce_debugfs_add - show a table
 * @tbl: the table, which has just got its owner, current
 *
 * Context: May sleep.
 */
void tce_debugfs_add(struct iommu_table *tbl)
{
	static atomic_t serial = ATOMIC_INIT(0);
	struct tce_owner *owner = tbl->it_owner;
	char name[32];

	owner->pid = task_tgid_nr(current);
	snprintf(name, sizeof(name), "%d-%u", owner->pid,
		 atomic_inc_return(&serial));
	owner->debugfs = debugfs_create_file(name, 0400, tce_debugfs_dir, tbl,
					     &table_fops);
}

/**
 * tce_debugfs_del - show a table no more
 * @tbl: the table, which is about to lose its owner
 *
 * Context: May sleep; waits for those who read.
 */
void tce_debugfs_del(struct iommu_table *tbl)
{
	debugfs_remove(tbl->it_owner->debugfs);
}

static int __init tce_debugfs_init(void)
{
	tce_debugfs_dir = debugfs_create_dir("tce", arch_debugfs_dir);

	return 0;
}
device_initcall(tce_debugfs_init);
