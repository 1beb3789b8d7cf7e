// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Owned TCE tables of a logical partition: the hypervisor keeps them.
 *
 * There are no levels to make and no cache to invalidate: what a hypercall has
 * changed is changed. Calls are made with a chunk of 1024 entries locked, and
 * preemption off; none of them waits in the hypervisor (PAPR 14.5.4.2). Others
 * may spin for the chunk meanwhile, so there are few. A hypercall writes or
 * clears up to 512 entries; thus it takes
 *
 *   2	to map all entries of a chunk, wherever each of them points to
 *   2	to unmap them
 *   4	to map them, if the hypervisor refuses: all are cleared then
 *
 * To find out which entry cannot be cleared takes 10 more, once: no hypervisor
 * is known to refuse that, and the entry's memory is lost.
 *
 * H_PUT_TCE_INDIRECT and H_STUFF_TCE are optional. PowerVM and KVM have them; a
 * hypervisor without takes one hypercall an entry.
 */

#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include <asm/firmware.h>
#include <asm/hvcall.h>
#include <asm/iommu.h>
#include <asm/plpar_wrappers.h>
#include <asm/tce.h>

#include "tce-owned.h"

/* The most that PAPR lets one H_STUFF_TCE clear. */
#define MAX_STUFF_ENTRIES	512UL

/* The most that one H_PUT_TCE_INDIRECT writes: a list of 4 KiB, so aligned. */
#define MAX_LIST_ENTRIES	(SZ_4K / sizeof(__be64))

/*
 * Each CPU's list for H_PUT_TCE_INDIRECT, in the linear map; used with
 * preemption off. NULL until there is an owned table, or without memory.
 */
static DEFINE_PER_CPU(__be64 *, tce_list);

/* Guards making the lists. */
static DEFINE_MUTEX(lists_lock);

/**
 * pseries_tce_have_lists - have what it takes to write many entries at once
 *
 * Without, they are written one by one, which is slow and works.
 *
 * Context: May sleep.
 */
void pseries_tce_have_lists(void)
{
	unsigned int cpu;

	if (!firmware_has_feature(FW_FEATURE_PUT_TCE_IND))
		return;

	guard(mutex)(&lists_lock);
	for_each_possible_cpu(cpu) {
		__be64 **list = per_cpu_ptr(&tce_list, cpu);

		/* Aligned, as all that kmalloc() gives of a power of two. */
		if (!*list)
			WRITE_ONCE(*list, kmalloc_node(SZ_4K, GFP_KERNEL,
						       cpu_to_node(cpu)));
	}
}

/**
 * struct tce_writer - consecutive entries that are being written
 * @tbl: the table
 * @entry: the first one that is not written yet
 * @list: what comes there, big endian; NULL to write them one by one
 * @nr: how many are in the list
 */
struct tce_writer {
	const struct iommu_table *tbl;
	unsigned long entry;
	__be64 *list;
	unsigned long nr;
};

static void writer_begin(struct tce_writer *w, const struct iommu_table *tbl,
			 unsigned long entry)
{
	preempt_disable();
	w->tbl = tbl;
	w->entry = entry;
	w->list = __this_cpu_read(tce_list);
	w->nr = 0;
}

static int write_one(const struct tce_writer *w, u64 tce)
{
	return plpar_tce_put(w->tbl->it_index,
			     w->entry << w->tbl->it_page_shift, tce) ? -EIO : 0;
}

static int writer_flush(struct tce_writer *w)
{
	long rc;

	if (!w->nr)
		return 0;

	if (w->nr == 1)
		rc = write_one(w, be64_to_cpu(w->list[0]));
	else
		rc = plpar_tce_put_indirect(w->tbl->it_index,
					    w->entry << w->tbl->it_page_shift,
					    __pa(w->list), w->nr);
	w->entry += w->nr;
	w->nr = 0;

	return rc ? -EIO : 0;
}

static int writer_add(struct tce_writer *w, u64 tce)
{
	int ret;

	if (!w->list) {
		ret = write_one(w, tce);
		w->entry++;
		return ret;
	}

	w->list[w->nr++] = cpu_to_be64(tce);

	return w->nr == MAX_LIST_ENTRIES ? writer_flush(w) : 0;
}

/* Writes the rest of the list, unless there was an error before. */
static int writer_end(struct tce_writer *w, int ret)
{
	if (!ret)
		ret = writer_flush(w);
	preempt_enable();

	return ret;
}

/**
 * pseries_tce_set_runs - write entries of an owned table
 * @tbl: the table
 * @entry: first entry
 * @runs: runs of physical memory that the entries are to point to
 * @nr_runs: how many runs
 * @perm: TCE_PCI_READ, TCE_PCI_WRITE or both
 *
 * By H_PUT_TCE_INDIRECT (PAPR 14.5.4.2.3), or H_PUT_TCE (14.5.4.2.2).
 *
 * Context: Any. The caller keeps others off the entries.
 * Return: 0; -EIO, with some entries written, if the hypervisor refused one.
 */
int pseries_tce_set_runs(struct iommu_table *tbl, unsigned long entry,
			 const struct tce_run *runs, unsigned int nr_runs,
			 unsigned long perm)
{
	struct tce_writer w;
	unsigned int i;
	int ret = 0;

	writer_begin(&w, tbl, entry);
	for (i = 0; !ret && i < nr_runs; i++) {
		unsigned long tce = runs[i].hpa | perm, n;

		for (n = 0; !ret && n < runs[i].entries; n++) {
			ret = writer_add(&w, tce);
			tce += IOMMU_PAGE_SIZE(tbl);
		}
	}

	return writer_end(&w, ret);
}

/**
 * pseries_tce_set_list - write entries of an owned table from a list
 * @tbl: the table
 * @entry: first entry
 * @tces: for each, the physical address and permissions, 0 for none
 * @nr: how many
 *
 * By H_PUT_TCE_INDIRECT (PAPR 14.5.4.2.3), or H_PUT_TCE (14.5.4.2.2).
 *
 * Context: Any. The caller keeps others off the entries.
 * Return: 0; -EIO, with some entries written, if the hypervisor refused one.
 */
int pseries_tce_set_list(struct iommu_table *tbl, unsigned long entry,
			 const u64 *tces, unsigned long nr)
{
	struct tce_writer w;
	int ret = 0;

	writer_begin(&w, tbl, entry);
	for (; !ret && nr; nr--)
		ret = writer_add(&w, *tces++);

	return writer_end(&w, ret);
}

static bool clear_all(const struct iommu_table *tbl, unsigned long entry,
		      unsigned long nr)
{
	unsigned long ioba = entry << tbl->it_page_shift;

	if (nr == 1)
		return !plpar_tce_put(tbl->it_index, ioba, 0);

	return !plpar_tce_stuff(tbl->it_index, ioba, 0, nr);
}

/*
 * Clear entries that the hypervisor refused to clear at once, half by half, up
 * to the first that it refuses. Returns how many were cleared.
 */
static unsigned long clear_halves(const struct iommu_table *tbl,
				  unsigned long entry, unsigned long nr)
{
	unsigned long done = 0, n;

	/* Of @nr entries from @done on one is refused. */
	for (; nr > 1; nr -= n) {
		n = nr / 2;
		if (clear_all(tbl, entry + done, n))
			done += n;
		else
			n = nr - n;
	}

	return done + clear_all(tbl, entry + done, nr);
}

/* The same without H_STUFF_TCE, one by one. */
static unsigned long clear_singly(const struct iommu_table *tbl,
				  unsigned long entry, unsigned long nr)
{
	unsigned long done = 0;

	while (done < nr && clear_all(tbl, entry + done, 1))
		done++;

	return done;
}

static unsigned long clear_some(const struct iommu_table *tbl,
				unsigned long entry, unsigned long nr)
{
	if (!firmware_has_feature(FW_FEATURE_STUFF_TCE))
		return clear_singly(tbl, entry, nr);
	if (clear_all(tbl, entry, nr))
		return nr;

	return nr > 1 ? clear_halves(tbl, entry, nr) : 0;
}

/**
 * pseries_tce_clear_range - clear entries
 * @tbl: the table
 * @entry: first entry
 * @nr: how many
 *
 * Context: Any. The caller keeps others off the entries.
 * Return: how many were cleared: all, or up to the first that the hypervisor
 *	   refused to clear.
 */
unsigned long pseries_tce_clear_range(struct iommu_table *tbl,
				      unsigned long entry, unsigned long nr)
{
	unsigned long done = 0, n, cleared;

	while (done < nr) {
		n = min(nr - done, MAX_STUFF_ENTRIES);
		cleared = clear_some(tbl, entry + done, n);
		done += cleared;
		if (cleared < n) {
			pr_err_ratelimited("LIOBN %lx: entry %lx stays\n",
					   tbl->it_index, entry + done);
			break;
		}
	}

	return done;
}

/* Entries that are cleared without rescheduling, as in a chunk. */
#define CLEAR_ENTRIES	1024UL

/**
 * pseries_tce_clear_window - clear all entries of a new window
 * @tbl: its table, which nobody else has yet
 *
 * Firmware may have left some. A window of 1 TiB with pages of 4 KiB takes
 * 524,288 hypercalls.
 *
 * Context: May sleep.
 * Return: 0; -EINTR if the process is being killed; -EIO if the hypervisor
 *	   refused to clear one.
 */
int pseries_tce_clear_window(struct iommu_table *tbl)
{
	unsigned long done, n;

	for (done = 0; done < tbl->it_size; done += n) {
		n = min(tbl->it_size - done, CLEAR_ENTRIES);
		if (pseries_tce_clear_range(tbl, tbl->it_offset + done, n) < n)
			return -EIO;
		cond_resched();
		if (fatal_signal_pending(current))
			return -EINTR;
	}

	return 0;
}
