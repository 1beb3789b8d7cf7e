// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Lists of entries that hypercalls write, each mapped to a page of its own.
 *
 * A list is counted and translated first, all of it or nothing, and then
 * written. That is one operation: all that it has for a chunk is written with
 * the chunk locked once. This file has the way that waits for nothing: real
 * mode has only this one, virtual mode tries it first. range.c has the way that
 * waits.
 *
 * The rules of real mode hold, see book3s_64_vio_hv.c. Regions that are found
 * are read-side protected: in virtual mode by the caller's rcu_read_lock();
 * early by RCU, which watches a CPU in a guest, or on POWER8 by
 * tce_real_mode_srcu, which was taken as the CPU entered the guest.
 */

#include <linux/export.h>
#include <linux/mm.h>

#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/tce.h>

#include "list.h"
#include "tce.h"

/* Uncount what was counted in the region, but turned out not to be in there. */
static void leave_region(struct tce_walk *w, unsigned long i)
{
	unsigned long used = i - w->nr_unmapped - w->counted_from;

	if (!w->region || !w->count)
		return;

	note_written(w->region, w->perm);
	if (used < w->counted)
		mm_iommu_uncount(w->region, w->counted - used);
}

/*
 * Go to another region, counting all that is left, because it may be in there.
 */
static bool enter_region(struct tce_walk *w, unsigned long i, unsigned long ua)
{
	leave_region(w, i);
	w->region = mm_iommu_find(w->list->tbl->it_owner->registry, ua);
	w->perm = 0;
	w->counted = w->list->nr - i;
	w->counted_from = i - w->nr_unmapped;
	if (w->region && w->count && !mm_iommu_count(w->region, w->counted))
		w->region = NULL;

	return w->region;
}

/**
 * tce_walk_find - find the memory around an address
 * @w: the walk
 * @i: which entry of the list
 * @ua: its address, with or without permissions
 * @extent: where that memory goes
 *
 * Context: As tce_list_count_now().
 * Return: false if it is not registered.
 */
bool tce_walk_find(struct tce_walk *w, unsigned long i, unsigned long ua,
		   struct mm_iommu_extent *extent)
{
	if (!is_in_region(w->region, ua) && !enter_region(w, i, ua))
		return false;

	mm_iommu_find_extent(w->region, ua, extent);

	return true;
}
EXPORT_SYMBOL_GPL(tce_walk_find);

/**
 * tce_walk_end - be done with counting and translating a list
 * @w: the walk
 * @i: how many entries could be translated
 *
 * Context: As tce_list_count_now().
 * Return: true if it is all of them; otherwise nothing is counted any more.
 */
bool tce_walk_end(struct tce_walk *w, unsigned long i)
{
	struct tce_list *list = w->list;

	leave_region(w, i);
	list->nr_mapped = i - w->nr_unmapped;
	if (i == list->nr)
		return true;

	if (w->count)
		tce_uncount_array(list->tbl, list->ua, i);

	return false;
}
EXPORT_SYMBOL_GPL(tce_walk_end);

/**
 * tce_list_translate - translate a list, and count it if it is not yet
 * @list: the list, with @ua; @tce and @nr_mapped are filled in
 * @count: it is to be counted
 *
 * Context: As tce_list_count_now().
 * Return: true; false, with nothing counted, if any of it is not registered.
 */
bool tce_list_translate(struct tce_list *list, bool count)
{
	unsigned int page_shift = list->tbl->it_page_shift;
	struct mm_iommu_extent extent = { 0 };
	unsigned long i, hpa;
	struct tce_walk w;

	tce_walk_begin(&w, list, count);
	for (i = 0; i < list->nr; i++) {
		u64 entry = list->ua[i];

		list->tce[i] = 0;
		if (!entry) {
			w.nr_unmapped++;
			continue;
		}
		if (entry - extent.ua >= extent.bytes &&
		    !mm_iommu_extent_ahead(w.region, entry, &extent) &&
		    !tce_walk_find(&w, i, entry, &extent))
			break;
		if (page_shift > PAGE_SHIFT &&
		    !mm_iommu_is_whole(w.region, entry & ~TCE_DENSE_MAPPED,
				       page_shift, &hpa))
			break;
		w.perm |= entry;
		list->tce[i] = mm_iommu_extent_hpa(&extent, entry);
	}

	return tce_walk_end(&w, i);
}

/**
 * tce_list_piece - a part of a list, with an address for each entry
 * @list: the list
 * @i: first entry of the part
 * @end: entry after the last one that it may have
 *
 * Context: Any, real mode included.
 * Return: the part, which is not longer than TCE_LIST_MAX and in one chunk.
 */
struct tce_list tce_list_piece(const struct tce_list *list, unsigned long i,
			       unsigned long end)
{
	unsigned int shift = list->shift;
	struct tce_list piece = *list;
	unsigned long k;

	piece.entry += i;
	piece.nr = entries_in_chunk(list->tbl, piece.entry,
				    min(end - i, TCE_LIST_MAX));
	piece.shift = 0;
	if (!shift) {
		piece.ua = list->page + i;
		return piece;
	}

	for (k = 0; k < piece.nr; k++, i++) {
		u64 page = list->page[i >> shift];
		unsigned long sub = i & ((1UL << shift) - 1);

		piece.ua[k] = page ? page + (sub << list->tbl->it_page_shift) :
				     0;
	}

	return piece;
}

/**
 * tce_list_uncount_now - uncount a list that was counted, but not written
 * @list: the list, with @ua
 *
 * Context: As tce_list_count_now().
 */
void tce_list_uncount_now(const struct tce_list *list)
{
	tce_uncount_array(list->tbl, list->ua, list->nr);
}
EXPORT_SYMBOL_GPL(tce_list_uncount_now);

/**
 * tce_list_count_now - count and translate a list, without waiting
 * @list: the list; @ua, @tce and @nr_mapped are filled in, @shift is 0 then
 *
 * Context: Real mode, or in rcu_read_lock().
 * Return: 0, or with nothing counted: -EINVAL if any of it is not registered,
 *	   or an IOMMU page of it is not contiguous; -EAGAIN, with @list as it
 *	   was, if it has more than TCE_LIST_MAX entries or is in several
 *	   chunks, which cannot be written at once.
 */
int tce_list_count_now(struct tce_list *list)
{
	struct tce_list piece;

	if (list->nr > TCE_LIST_MAX ||
	    entries_in_chunk(list->tbl, list->entry, list->nr) < list->nr)
		return -EAGAIN;

	piece = tce_list_piece(list, 0, list->nr);
	*list = piece;

	return tce_list_translate(list, true) ? 0 : -EINVAL;
}
EXPORT_SYMBOL_GPL(tce_list_count_now);

static unsigned int flags_of(bool real_mode)
{
	return real_mode ? TCE_OP_REAL_MODE : 0;
}

static int change_now(struct iommu_table *tbl, const struct tce_list *list,
		      unsigned long entry, unsigned long nr, bool real_mode)
{
	struct tce_op op __uninitialized;
	int ret;

	/* Several chunks would have to wait for others that work on them. */
	if (chunk_of(tbl, entry + nr - 1) != chunk_of(tbl, entry))
		return -EAGAIN;
	if (tbl->it_ops->may_refuse)
		return -EAGAIN;
	if (real_mode && !tbl->it_ops->tce_kill_rm)
		return -EAGAIN;

	/* An array stays in its chunk: the next list will want it. */
	tce_op_init(&op, tbl, flags_of(real_mode), NULL);
	ret = tce_op_begin(&op, entry);
	if (ret)
		return ret;

	if (list)
		ret = tce_op_map_list(&op, list);
	else
		ret = tce_op_unmap(&op, entry, nr);
	tce_op_end(&op);
	tce_gather_flush(&op.gather);

	return ret;
}

/**
 * tce_list_write_now - write a list that was counted, without waiting
 * @list: the list
 * @real_mode: in real mode
 *
 * Context: Real mode, or in rcu_read_lock() without preemption.
 * Return: 0, or with nothing changed and nothing counted any more:
 *	   -ENXIO if the window is being removed; something else if it can't be
 *	   done this way, because the list is in several chunks, its chunk is
 *	   locked, memory has to be had, or a hypervisor may refuse.
 */
int tce_list_write_now(const struct tce_list *list, bool real_mode)
{
	int ret = change_now(list->tbl, list, list->entry, list->nr, real_mode);

	if (ret)
		tce_list_uncount_now(list);

	return ret;
}
EXPORT_SYMBOL_GPL(tce_list_write_now);

/**
 * tce_unmap_now - unmap entries, without waiting
 * @tbl: the table, of an owner with registered memory
 * @entry: first entry; the range lies in the table
 * @nr: how many entries
 * @real_mode: in real mode
 *
 * Context: Real mode, or in rcu_read_lock() without preemption.
 * Return: as tce_list_write_now().
 */
int tce_unmap_now(struct iommu_table *tbl, unsigned long entry,
		  unsigned long nr, bool real_mode)
{
	return change_now(tbl, NULL, entry, nr, real_mode);
}
EXPORT_SYMBOL_GPL(tce_unmap_now);

/**
 * tce_rm_memory - where registered memory of a table's owner can be read
 * @tbl: the table, of an owner with registered memory
 * @ua: userspace address, aligned to 4 KiB
 * @pregion: where the region goes; the caller has one entry of it counted, and
 *	     uncounts it by mm_iommu_uncount() when it is done
 *
 * Context: Real mode.
 * Return: 4 KiB of memory, of which the process may change any byte at any
 *	   time; NULL if it is not registered.
 */
const void *tce_rm_memory(struct iommu_table *tbl, unsigned long ua,
			  struct mm_iommu_region **pregion)
{
	struct mm_iommu_region *region;
	unsigned int nr_runs = 1;
	struct tce_run run;

	region = mm_iommu_find(tbl->it_owner->registry, ua);
	if (!region || !mm_iommu_count(region, 1))
		return NULL;

	if (mm_iommu_translate(region, ua, IOMMU_PAGE_SHIFT_4K, 1, &run,
			       &nr_runs) != 1) {
		mm_iommu_uncount(region, 1);
		return NULL;
	}

	*pregion = region;

	return __va(run.hpa);
}
