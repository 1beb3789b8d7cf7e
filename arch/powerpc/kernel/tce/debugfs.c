// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Owned tables in debugfs: a file each in powerpc/tce/, named by the
 * process and a serial number.
 *
 * A line "NAME VALUE" for each thing of the window, then one for each region
 * that its process has registered:
 *   region ADDRESS BYTES ENTRIES CONTAINERS RUNS
 * RUNS are those of physically contiguous memory, 0 if the region is kept as
 * one word a page. All numbers except addresses are decimal.
 *
 * All of it is taken as the file is opened, without a lock, so what changes
 * meanwhile may be in it or not. The file is there as long as the owner is.
 * Removing it waits for those who are opening it, but not for those who read,
 * and for no lock that others hold.
 */

#include <linux/atomic.h>
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

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

/**
 * struct region_line - what is shown of a region
 * @ua: its first address
 * @bytes: its size
 * @entries: IOMMU entries that point there
 * @refs: containers that registered it
 * @runs: how many runs it has, 0 if it is kept as one word a page
 */
struct region_line {
	unsigned long ua;
	unsigned long bytes;
	s64 entries;
	unsigned int refs;
	unsigned long runs;
};

/**
 * struct snapshot - a table as it was when its file was opened
 * @pid: the process
 * @version: of the container's API
 * @bus_address: first byte of the window
 * @size: bytes of the window
 * @page_shift: size of its pages
 * @levels: levels of the table
 * @closed: the window is being removed
 * @charged: bytes of locked memory
 * @allocated: bytes of the table
 * @chunks: chunks of the view
 * @use: what it is made of
 * @nr_regions: elements of @region
 * @region: the regions, ascending
 */
struct snapshot {
	pid_t pid;
	unsigned int version;
	u64 bus_address;
	u64 size;
	unsigned long page_shift;
	unsigned long levels;
	bool closed;
	unsigned long charged;
	unsigned long allocated;
	unsigned long chunks;
	struct tce_view_use use;
	unsigned long nr_regions;
	struct region_line region[];
};

static void take_window(struct snapshot *s, struct iommu_table *tbl)
{
	struct tce_owner *owner = tbl->it_owner;

	s->pid = owner->pid;
	s->version = owner->ops->version;
	s->bus_address = (u64)tbl->it_offset << tbl->it_page_shift;
	s->size = (u64)tbl->it_size << tbl->it_page_shift;
	s->page_shift = tbl->it_page_shift;
	s->levels = tbl->it_indirect_levels + 1;
	s->closed = READ_ONCE(owner->closed);
	s->charged = PAGE_ALIGN(tbl->it_allocated_size);
	s->allocated = table_bytes(tbl);
	s->chunks = owner->view.nr_chunks;
	/* Without registered memory there is no view. */
	if (owner->view.root)
		tce_view_count(&owner->view, &s->use);
}

/* Up to @max regions; returns how many there are. */
static unsigned long take_regions(const struct mm_iommu *registry,
				  struct region_line *line, unsigned long max)
{
	const struct mm_iommu_region *region;
	unsigned long ua = 0, nr = 0;

	for (;;) {
		rcu_read_lock();
		region = mm_iommu_next(registry, ua);
		if (!region) {
			rcu_read_unlock();
			return nr;
		}
		ua = mm_iommu_end(region);
		if (nr < max) {
			line[nr].ua = region->ua;
			line[nr].bytes = region->nr_pages << PAGE_SHIFT;
			line[nr].entries = mm_iommu_entries(region);
			line[nr].refs = READ_ONCE(region->refs);
			line[nr].runs = region->nr_runs;
		}
		rcu_read_unlock();
		nr++;
		cond_resched();
	}
}

static struct snapshot *take_snapshot(struct iommu_table *tbl)
{
	struct mm_iommu *registry = tbl->it_owner->registry;
	unsigned long max = 0;
	struct snapshot *s;

	if (registry)
		max = take_regions(registry, NULL, 0);

	s = kvzalloc(struct_size(s, region, max), GFP_KERNEL);
	if (!s)
		return NULL;

	take_window(s, tbl);
	if (registry)
		s->nr_regions = min(max, take_regions(registry, s->region,
						      max));

	return s;
}

static void show_window(struct seq_file *m, const struct snapshot *s)
{
	seq_printf(m, "process %d\n", s->pid);
	seq_printf(m, "version %u\n", s->version);
	seq_printf(m, "bus_address 0x%llx\n", s->bus_address);
	seq_printf(m, "size %llu\n", s->size);
	seq_printf(m, "page_shift %lu\n", s->page_shift);
	seq_printf(m, "levels %lu\n", s->levels);
	seq_printf(m, "closed %d\n", s->closed);
	seq_printf(m, "charged %lu\n", s->charged);
	seq_printf(m, "table_allocated %lu\n", s->allocated);
	seq_printf(m, "view_allocated %lu\n",
		   s->use.nodes * sizeof(struct tce_node) +
		   s->use.dense * sizeof(struct tce_dense));
	seq_printf(m, "chunks_empty %lu\n",
		   s->chunks - s->use.linear - s->use.dense);
	seq_printf(m, "chunks_run %lu\n", s->use.linear);
	seq_printf(m, "chunks_dense %lu\n", s->use.dense);
}

/* Position 0 is the window, the others are regions. */
static void *table_start(struct seq_file *m, loff_t *pos)
{
	struct snapshot *s = m->private;

	if (!*pos)
		return SEQ_START_TOKEN;

	return *pos <= s->nr_regions ? &s->region[*pos - 1] : NULL;
}

static void *table_next(struct seq_file *m, void *v, loff_t *pos)
{
	++*pos;

	return table_start(m, pos);
}

static void table_stop(struct seq_file *m, void *v)
{
}

static int table_show(struct seq_file *m, void *v)
{
	const struct region_line *r = v;

	if (v == SEQ_START_TOKEN)
		show_window(m, m->private);
	else
		seq_printf(m, "region 0x%lx %lu %lld %u %lu\n", r->ua, r->bytes,
			   r->entries, r->refs, r->runs);

	return 0;
}

static const struct seq_operations table_sops = {
	.start	= table_start,
	.next	= table_next,
	.stop	= table_stop,
	.show	= table_show,
};

/* debugfs keeps the file from being removed until this returns. */
static int table_open(struct inode *inode, struct file *file)
{
	struct snapshot *s = take_snapshot(inode->i_private);
	int ret;

	if (!s)
		return -ENOMEM;

	ret = seq_open(file, &table_sops);
	if (ret) {
		kvfree(s);
		return ret;
	}
	((struct seq_file *)file->private_data)->private = s;

	return 0;
}

static int table_release(struct inode *inode, struct file *file)
{
	kvfree(((struct seq_file *)file->private_data)->private);

	return seq_release(inode, file);
}

static const struct file_operations table_fops = {
	.owner		= THIS_MODULE,
	.open		= table_open,
	.read		= seq_read,
	.llseek		= seq_lseek,
	.release	= table_release,
};

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
	/* An open file has all that it shows: nobody waits for its user. */
	owner->debugfs = debugfs_create_file_unsafe(name, 0400, tce_debugfs_dir,
						    tbl, &table_fops);
}

/**
 * tce_debugfs_del - show a table no more
 * @tbl: the table, which is about to lose its owner
 *
 * Context: May sleep; waits for those who open it at the moment.
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
