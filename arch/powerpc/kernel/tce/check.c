// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Checks that entry, view and count of every owned table agree.
 *
 * Reading debugfs' powerpc/tce/check closes the gate, see gate.h, and then,
 * with nothing going on, looks at every registry and every table:
 *
 *  - each chunk word is well formed and not locked, and there are as many nodes
 *    and dense chunks as the view counts
 *  - each entry of the view lies in the table and in a registered region, and
 *    has a TCE, with the address that the region gives, of a page that is
 *    pinned, and with permissions; to write only if the region is known to be
 *    written
 *  - each TCE has an entry of the view
 *  - each region is counted as often as entries point into it
 *  - nothing is mapped in a window that was closed
 *
 * Owners without registered memory have neither view nor counts: of their TCEs
 * only permissions and pins are looked at.
 *
 * Each fault takes a line. The last line sums up.
 */

#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/limits.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/wait.h>

#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/tce.h>

#include "check.h"
#include "debugfs.h"
#include "gate.h"
#include "tce.h"
#include "view.h"

/* Faults that get a line; all are counted. */
#define MAX_LINES	50

#define PERM_MASK	((unsigned long)(TCE_PCI_READ | TCE_PCI_WRITE))

/* The gate */

atomic_t tce_check_gate = ATOMIC_INIT(0);
static DECLARE_WAIT_QUEUE_HEAD(gate_wait);

#ifdef CONFIG_LOCKDEP
static struct lockdep_map gate_map = STATIC_LOCKDEP_MAP_INIT("tce_check_gate",
							     &gate_map);
#endif

/**
 * tce_check_enter - enter the gate, waiting until it is open
 *
 * Context: May sleep. Not inside yet, and without a lock that those who are
 *	    inside take.
 */
void tce_check_enter(void)
{
	lock_map_acquire_read(&gate_map);
	wait_event(gate_wait, tce_check_try_enter());
}
EXPORT_SYMBOL_GPL(tce_check_enter);

/**
 * tce_check_leave - leave the gate after tce_check_enter()
 *
 * Context: As tce_check_enter().
 */
void tce_check_leave(void)
{
	tce_check_try_leave();
	lock_map_release(&gate_map);
}
EXPORT_SYMBOL_GPL(tce_check_leave);

/* Real mode leaves without waking anyone: look again after a tick. */
static void gate_close(void)
{
	lock_map_acquire(&gate_map);
	atomic_add(INT_MIN, &tce_check_gate);
	while (atomic_read_acquire(&tce_check_gate) != INT_MIN)
		schedule_timeout_uninterruptible(1);
}

static void gate_open(void)
{
	atomic_sub_return_release(INT_MIN, &tce_check_gate);
	wake_up_all(&gate_wait);
	lock_map_release(&gate_map);
}

/* Tables */

static LIST_HEAD(owners);
/* Guards @owners; in the gate, outside the locks of registries. */
static DEFINE_MUTEX(owners_lock);

/**
 * tce_check_add - have a table checked from now on
 * @tbl: the table, which has just got its owner
 *
 * Context: May sleep.
 */
void tce_check_add(struct iommu_table *tbl)
{
	struct tce_owner *owner = tbl->it_owner;

	owner->tbl = tbl;
	mutex_lock(&owners_lock);
	list_add_tail(&owner->checked, &owners);
	mutex_unlock(&owners_lock);
}

/**
 * tce_check_del - check a table no more
 * @tbl: the table, which is about to lose its owner
 *
 * Context: May sleep; waits for a check to end. Not inside the gate.
 */
void tce_check_del(struct iommu_table *tbl)
{
	mutex_lock(&owners_lock);
	list_del(&tbl->it_owner->checked);
	mutex_unlock(&owners_lock);
}

/* Faults */

static __printf(2, 3) void fault(struct tce_check *c, const char *fmt, ...)
{
	va_list args;

	if (!c->faults++) {
		va_start(args, fmt);
		vscnprintf(c->first, sizeof(c->first), fmt, args);
		va_end(args);
	}
	if (!c->m || c->faults > MAX_LINES)
		return;

	va_start(args, fmt);
	seq_vprintf(c->m, fmt, args);
	va_end(args);
	seq_putc(c->m, '\n');
}

static u64 bus_address(const struct iommu_table *tbl, unsigned long index)
{
	return (u64)(tbl->it_offset + index) << tbl->it_page_shift;
}

static __printf(4, 5) void fault_at(struct tce_check *c,
				    const struct iommu_table *tbl,
				    unsigned long index, const char *fmt, ...)
{
	struct va_format vaf;
	va_list args;

	va_start(args, fmt);
	vaf.fmt = fmt;
	vaf.va = &args;
	fault(c, "bus address %llx: %pV", bus_address(tbl, index), &vaf);
	va_end(args);
}

/* Entries */

static bool hypervisor_keeps(const struct iommu_table *tbl)
{
	return !tbl->it_ops->next_used;
}

/* The first entry from @index on that is not 0; it_size if there is none. */
static unsigned long next_tce(struct iommu_table *tbl, unsigned long index)
{
	unsigned long tce;

	if (!hypervisor_keeps(tbl))
		return tbl->it_ops->next_used(tbl, tbl->it_offset + index,
					      tbl->it_size - index) -
		       tbl->it_offset;

	for (; index < tbl->it_size; index++) {
		tce = tbl->it_ops->get(tbl, tbl->it_offset + index);
		if (tce && tce != TCE_UNREADABLE)
			break;
		cond_resched();
	}

	return index;
}

static bool is_pinned(unsigned long hpa)
{
	unsigned long pfn = hpa >> PAGE_SHIFT;

	return pfn_valid(pfn) && folio_maybe_dma_pinned(pfn_folio(pfn));
}

static void check_tce(struct tce_check *c, struct iommu_table *tbl,
		      unsigned long index, struct mm_iommu_region *region,
		      unsigned long ua)
{
	unsigned long tce = tbl->it_ops->get(tbl, tbl->it_offset + index);
	unsigned int nr_runs = 1;
	struct tce_run run;

	if (tce == TCE_UNREADABLE)
		return;
	if (!tce) {
		fault_at(c, tbl, index, "view entry %lx without a TCE", ua);
		return;
	}

	if (mm_iommu_translate(region, ua, tbl->it_page_shift, 1, &run,
			       &nr_runs) != 1)
		fault_at(c, tbl, index, "%lx is not contiguous", ua);
	else if ((tce & ~PERM_MASK) != run.hpa)
		fault_at(c, tbl, index, "TCE %lx is not at %lx", tce, run.hpa);
	else if (!is_pinned(run.hpa))
		fault_at(c, tbl, index, "page %lx is not pinned", run.hpa);

	if (!(tce & PERM_MASK))
		fault_at(c, tbl, index, "TCE %lx without permissions", tce);
	else if ((tce & TCE_PCI_WRITE) && !region->written)
		fault_at(c, tbl, index, "TCE %lx writes what is clean", tce);
}

static void check_entry(struct tce_check *c, struct iommu_table *tbl,
			unsigned long index, unsigned long ua)
{
	struct tce_owner *owner = tbl->it_owner;
	struct mm_iommu_region *region = mm_iommu_find(owner->registry, ua);

	c->entries++;
	if (owner->closed)
		fault_at(c, tbl, index, "mapped in a closed window");

	if (!region || mm_iommu_end(region) - ua < IOMMU_PAGE_SIZE(tbl)) {
		fault_at(c, tbl, index, "%lx is not registered", ua);
		return;
	}

	region->seen++;
	check_tce(c, tbl, index, region, ua);
}

static void check_chunk(struct tce_check *c, struct iommu_table *tbl,
			unsigned long chunk, unsigned long value)
{
	unsigned long first = chunk << TCE_CHUNK_SHIFT, ua;
	const struct tce_view *view = &tbl->it_owner->view;
	unsigned long nr = min(TCE_CHUNK_ENTRIES, tbl->it_size - first), i;
	const char *what = tce_chunk_fault(view, value, nr);

	if (what) {
		fault_at(c, tbl, first, "chunk %lx %s", value, what);
		return;
	}

	for (i = 0; i < nr; i++) {
		if (tce_chunk_get(view, value, i, &ua))
			check_entry(c, tbl, first + i, ua);
	}
	cond_resched();
}

/* Whatever the view has. */
static void check_view(struct tce_check *c, struct iommu_table *tbl)
{
	struct tce_view *view = &tbl->it_owner->view;
	unsigned long chunk, last = view->nr_chunks - 1;
	struct tce_view_use use;

	for (chunk = tce_view_next_used(view, 0, last); chunk <= last;
	     chunk = tce_view_next_used(view, chunk + 1, last))
		check_chunk(c, tbl, chunk, *tce_view_word(view, chunk));

	tce_view_count(view, &use);
	if (use.nodes != atomic_long_read(&view->nr_nodes))
		fault_at(c, tbl, 0, "%lu nodes, not %ld", use.nodes,
			 atomic_long_read(&view->nr_nodes));
	if (use.dense != atomic_long_read(&view->nr_dense))
		fault_at(c, tbl, 0, "%lu dense chunks, not %ld", use.dense,
			 atomic_long_read(&view->nr_dense));
}

static bool view_has(struct iommu_table *tbl, unsigned long index)
{
	struct tce_view *view = &tbl->it_owner->view;
	unsigned long *word = tce_view_word(view, index >> TCE_CHUNK_SHIFT), ua;

	return word && tce_chunk_get(view, *word,
				     index & (TCE_CHUNK_ENTRIES - 1), &ua);
}

/* Whatever the table has. */
static void check_tces(struct tce_check *c, struct iommu_table *tbl)
{
	unsigned long index;

	/* A hypervisor's table is gone with the window. */
	if (tbl->it_owner->closed && hypervisor_keeps(tbl))
		return;

	for (index = next_tce(tbl, 0); index < tbl->it_size;
	     index = next_tce(tbl, index + 1)) {
		if (!view_has(tbl, index))
			fault_at(c, tbl, index, "TCE without a view entry");
	}
}

static void check_pinned_tces(struct tce_check *c, struct iommu_table *tbl)
{
	unsigned long index, tce;

	if (tbl->it_owner->closed && hypervisor_keeps(tbl))
		return;

	for (index = next_tce(tbl, 0); index < tbl->it_size;
	     index = next_tce(tbl, index + 1)) {
		tce = tbl->it_ops->get(tbl, tbl->it_offset + index);
		c->entries++;
		if (tbl->it_owner->closed)
			fault_at(c, tbl, index, "mapped in a closed window");
		if (!(tce & PERM_MASK))
			fault_at(c, tbl, index, "TCE %lx without permissions",
				 tce);
		if (!is_pinned(tce & ~PERM_MASK))
			fault_at(c, tbl, index, "page %lx is not pinned", tce);
	}
}

/* Regions */

static void forget_seen(struct mm_iommu *registry)
{
	struct mm_iommu_region *region;

	for (region = mm_iommu_next(registry, 0); region;
	     region = mm_iommu_next(registry, mm_iommu_end(region)))
		region->seen = 0;
}

static void check_counts(struct tce_check *c, struct mm_iommu *registry)
{
	struct mm_iommu_region *region;

	for (region = mm_iommu_next(registry, 0); region;
	     region = mm_iommu_next(registry, mm_iommu_end(region))) {
		s64 counted = mm_iommu_entries(region);

		c->regions++;
		if (counted != region->seen)
			fault(c, "region %lx: %lld counted, %llu entries",
			      region->ua, counted, region->seen);
	}
}

static void check_registry(struct tce_check *c, struct mm_iommu *registry)
{
	struct tce_owner *owner;

	mm_iommu_lock(registry);
	forget_seen(registry);
	list_for_each_entry(owner, &owners, checked) {
		if (owner->registry != registry)
			continue;
		c->tables++;
		check_view(c, owner->tbl);
		check_tces(c, owner->tbl);
	}
	check_counts(c, registry);
	mm_iommu_unlock(registry);
}

/**
 * tce_check_all - check all tables and all registered memory
 * @c: what was found, zeroed except for @m
 *
 * Context: May sleep. Not inside the gate. Waits for operations that are under
 *	    way to end, and has others wait, or in real mode hand over.
 */
void tce_check_all(struct tce_check *c)
{
	struct mm_iommu *registry = NULL;
	struct tce_owner *owner;
	static DEFINE_MUTEX(one);

	mutex_lock(&one);
	gate_close();
	mutex_lock(&owners_lock);
	while ((registry = mm_iommu_next_registry(registry)))
		check_registry(c, registry);

	list_for_each_entry(owner, &owners, checked) {
		if (owner->registry)
			continue;
		c->tables++;
		check_pinned_tces(c, owner->tbl);
	}
	mutex_unlock(&owners_lock);
	gate_open();
	mutex_unlock(&one);
}

static int check_show(struct seq_file *m, void *unused)
{
	struct tce_check c = { .m = m };

	tce_check_all(&c);
	seq_printf(m, "checked %lu tables, %lu entries, %lu regions: %lu faults\n",
		   c.tables, c.entries, c.regions, c.faults);

	return 0;
}

static int check_open(struct inode *inode, struct file *file)
{
	/* Room for all that can be said: if it ran out, all is checked anew. */
	return single_open_size(file, check_show, NULL, SZ_16K);
}

static const struct file_operations check_fops = {
	.owner		= THIS_MODULE,
	.open		= check_open,
	.read		= seq_read,
	.llseek		= seq_lseek,
	.release	= single_release,
};

static int __init tce_check_init(void)
{
	debugfs_create_file("check", 0400, tce_debugfs_dir, NULL, &check_fops);

	return 0;
}
late_initcall(tce_check_init);
