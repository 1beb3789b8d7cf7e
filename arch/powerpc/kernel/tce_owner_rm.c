// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The owner of an iommu_table: changes that wait for nothing.
 *
 * Does what tce_owner.c does, and keeps what is stated there, for entries of
 * one chunk, if nothing is in the way: not a lock that is held, not memory to
 * be had. Otherwise it says no, with nothing changed. Most changes that a guest
 * makes are like this. It is how they are made in real mode; and in virtual mode
 * it is tried first, for it does with less.
 *
 * The rules of real mode hold for all that is called here, as they are in
 * book3s_64_vio_hv.c. Regions that are found are read-side protected, in virtual
 * mode by the caller's rcu_read_lock(), in real mode by tce_real_mode_srcu,
 * which the core took as it entered the guest.
 *
 * The order is this:
 *   tce_try_begin()     takes the chunk
 *   tce_try_prepare()   for each piece: can it be mapped, or unmapped, in place
 *   tce_try_map(), tce_try_unmap()   for each piece, which cannot fail any more
 *   tce_try_end()       kills, uncounts, lets go of the chunk
 */

#include <linux/export.h>
#include <linux/minmax.h>
#include <linux/mm.h>

#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/tce.h>
#include <asm/tce_owner_rm.h>

#include "tce_owner_private.h"
#include "tce_view.h"

/* Runs that are translated at once; on the stack. */
#define TCE_TRY_RUNS	4

/**
 * tce_try_begin - begin an operation
 * @try: the operation; on the stack
 * @tbl: the table, of an owner with registered memory
 * @entry: first entry that may be touched; the range lies in the table
 * @nr: how many entries
 * @real_mode: in real mode
 *
 * Context: Real mode, or in rcu_read_lock() without preemption until
 *	    tce_try_end().
 * Return: false if it can't be done this way, and that is all; otherwise
 *	   tce_try_end() has to follow.
 */
bool tce_try_begin(struct tce_try *try, struct iommu_table *tbl,
		   unsigned long entry, unsigned long nr, bool real_mode)
{
	const struct iommu_table_ops *ops = tbl->it_ops;
	struct tce_owner *owner = tbl->it_owner;
	unsigned long chunk = chunk_of(tbl, entry);

	/* Several chunks would have to wait for others that work on them. */
	if (!ops->is_grown || (real_mode && !ops->tce_kill_rm) ||
	    chunk_of(tbl, entry + nr - 1) != chunk)
		return false;

	try->tbl = tbl;
	try->owner = owner;
	try->kill = real_mode ? ops->tce_kill_rm : ops->tce_kill;
	try->chunk_entry = chunk_start(tbl, chunk);
	try->nr_prepared = 0;
	try->kill_first = ULONG_MAX;
	try->kill_end = 0;
	try->region = NULL;
	try->nr_gone = 0;
	try->value = 0;
	try->word = tce_view_word(&owner->view, chunk);
	if (!try->word)
		return true;

	if (!tce_chunk_trylock(try->word, &try->value))
		return false;

	/* See map_in_chunk() in tce_owner.c. */
	if (!try->value)
		smp_mb(); /* with the one in tce_owner_close() */
	if (READ_ONCE(owner->closed)) {
		tce_chunk_release(try->word, try->value);
		return false;
	}

	return true;
}
EXPORT_SYMBOL_GPL(tce_try_begin);

/**
 * tce_is_contiguous - can a range be mapped, IOMMU page by IOMMU page
 * @tbl: the table that says how large an IOMMU page is
 * @region: the region; all of the range lies in it
 * @ua: userspace address of the first IOMMU page, aligned to its size
 * @nr: how many IOMMU pages
 *
 * Pages of the kernel's size or less are contiguous by being pinned at all.
 *
 * Context: Any, real mode included. An entry of the region is counted.
 * Return: true if each is contiguous and aligned in physical memory.
 */
bool tce_is_contiguous(const struct iommu_table *tbl,
		       const struct mm_iommu_region *region, unsigned long ua,
		       unsigned long nr)
{
	struct tce_run runs[TCE_TRY_RUNS] __uninitialized;

	if (tbl->it_page_shift <= PAGE_SHIFT)
		return true;

	while (nr) {
		unsigned int nr_runs = TCE_TRY_RUNS;
		long n = mm_iommu_translate(region, ua, tbl->it_page_shift, nr,
					    runs, &nr_runs);

		if (n < 0)
			return false;
		ua += n << tbl->it_page_shift;
		nr -= n;
	}

	return true;
}

static bool is_in(const struct mm_iommu_region *region, unsigned long ua)
{
	return region && ua - region->ua < region->nr_pages << PAGE_SHIFT;
}

/*
 * The region of an address. What is counted in the last one keeps it where it
 * is until the end, or until it is found not to be needed, and that is the end.
 */
static struct mm_iommu_region *find_region(const struct tce_try *try,
					   unsigned long ua)
{
	if (is_in(try->region, ua))
		return try->region;

	return mm_iommu_find(try->owner->registry, ua);
}

/* Count @nr entries; false unless all of them are in one region. */
static bool hold(struct tce_try *try, unsigned long ua, unsigned long nr,
		 unsigned long perm)
{
	struct mm_iommu_region *region = find_region(try, ua);

	if (!region || entries_in(try->tbl, region, ua, nr) < nr ||
	    !mm_iommu_hold(region, nr))
		return false;

	if (!tce_is_contiguous(try->tbl, region, ua, nr)) {
		mm_iommu_drop(region, nr);
		return false;
	}

	if ((perm & TCE_PCI_WRITE) && !READ_ONCE(region->written))
		WRITE_ONCE(region->written, true);
	try->region = region;

	return true;
}

/**
 * tce_try_prepare - make sure that a piece can be mapped or unmapped
 * @try: the operation
 * @entry: first entry, among those that the operation began with
 * @nr: how many entries
 * @ua: userspace address of the first, aligned to an IOMMU page; if @perm
 * @perm: TCE_PCI_READ, TCE_PCI_WRITE or both; 0 to unmap
 *
 * To be called for all pieces before any is mapped or unmapped. Counts what is
 * to be mapped.
 *
 * Context: As tce_try_begin().
 * Return: false if it can't be done this way: memory is not registered
 *	   or in several regions, or the table or the view would have to grow.
 */
bool tce_try_prepare(struct tce_try *try, unsigned long entry,
		     unsigned long nr, unsigned long ua, unsigned long perm)
{
	struct tce_view *view = &try->owner->view;
	struct tce_piece piece = {
		.first	= entry - try->chunk_entry,
		.nr	= nr,
		.ua	= ua,
	};

	/* What a second piece finds is known only if any fits. */
	if (try->nr_prepared++ && !tce_chunk_is_dense(try->value))
		return false;

	if (!perm)
		return !tce_chunk_unmap_needs_dense(try->value, piece.first,
						    piece.first + nr - 1);

	if (!try->word || tce_chunk_map_needs_dense(view, try->value, &piece) ||
	    !try->tbl->it_ops->is_grown(try->tbl, entry, nr))
		return false;

	return hold(try, ua, nr, perm);
}
EXPORT_SYMBOL_GPL(tce_try_prepare);

/**
 * tce_try_release - undo tce_try_prepare() for a piece that is not to be mapped
 * @try: the operation
 * @ua: as given to tce_try_prepare()
 * @nr: as given to tce_try_prepare()
 *
 * Context: As tce_try_begin().
 */
void tce_try_release(struct tce_try *try, unsigned long ua, unsigned long nr)
{
	mm_iommu_drop(find_region(try, ua), nr);
}
EXPORT_SYMBOL_GPL(tce_try_release);

/* Clear was before; kill, then drop. */
static void flush(struct tce_try *try)
{
	unsigned int i;

	if (try->kill_first < try->kill_end && try->kill)
		try->kill(try->tbl, try->kill_first,
			  try->kill_end - try->kill_first);
	try->kill_first = ULONG_MAX;
	try->kill_end = 0;

	for (i = 0; i < try->nr_gone; i++)
		mm_iommu_drop(try->gone[i].region, try->gone[i].nr);
	try->nr_gone = 0;
}

static void note_changed(struct tce_try *try, unsigned long entry,
			 unsigned long nr)
{
	try->kill_first = min(try->kill_first, entry);
	try->kill_end = max(try->kill_end, entry + nr);
}

/* Where entries cleared of @ua are remembered until they are killed. */
static struct tce_gone *gone_for(struct tce_try *try, unsigned long ua)
{
	struct tce_gone *gone;
	unsigned int i;

	for (i = try->nr_gone; i-- > 0; ) {
		if (is_in(try->gone[i].region, ua))
			return &try->gone[i];
	}

	if (try->nr_gone == TCE_TRY_REGIONS)
		flush(try);

	gone = &try->gone[try->nr_gone++];
	gone->region = find_region(try, ua);
	gone->nr = 0;

	return gone;
}

/* Remember whom to uncount for what the chunk's word says of these entries. */
static void note_gone(struct tce_try *try, unsigned int first,
		      unsigned int last)
{
	const struct tce_view *view = &try->owner->view;
	struct tce_piece piece;
	struct tce_gone *gone;

	if (first == last) {
		if (tce_chunk_get(view, try->value, first, &piece.ua))
			gone_for(try, piece.ua)->nr++;
		return;
	}

	while (first <= last &&
	       tce_chunk_next(view, try->value, first, last, &piece)) {
		gone = gone_for(try, piece.ua);
		gone->nr += tce_chunk_count(view, try->value, &first, last,
					    gone->region->ua,
					    gone->region->nr_pages <<
					    PAGE_SHIFT);
	}
}

/**
 * tce_try_map - map entries to counted addresses
 * @try: the operation
 * @entry: as given to tce_try_prepare()
 * @nr: as given to tce_try_prepare()
 * @ua: as given to tce_try_prepare()
 * @perm: as given to tce_try_prepare()
 *
 * Context: As tce_try_begin(). Cannot fail.
 */
void tce_try_map(struct tce_try *try, unsigned long entry, unsigned long nr,
		 unsigned long ua, unsigned long perm)
{
	const struct mm_iommu_region *region;
	struct iommu_table *tbl = try->tbl;
	struct tce_run runs[TCE_TRY_RUNS] __uninitialized;
	struct tce_piece piece = {
		.first	= entry - try->chunk_entry,
		.nr	= nr,
		.ua	= ua,
	};

	note_changed(try, entry, nr);

	/* Counted: the region is there, and so is the table's level. */
	region = find_region(try, ua);
	while (nr) {
		unsigned int nr_runs = TCE_TRY_RUNS;
		long n = mm_iommu_translate(region, ua, tbl->it_page_shift, nr,
					    runs, &nr_runs);

		tbl->it_ops->set_runs(tbl, entry, runs, nr_runs, perm);
		entry += n;
		nr -= n;
		ua += n << tbl->it_page_shift;
	}

	note_gone(try, piece.first, piece.first + piece.nr - 1);
	try->value = tce_chunk_map(&try->owner->view, try->value, &piece, NULL);
}
EXPORT_SYMBOL_GPL(tce_try_map);

/**
 * tce_try_unmap - unmap entries, whether mapped or not
 * @try: the operation
 * @entry: as given to tce_try_prepare()
 * @nr: as given to tce_try_prepare()
 *
 * Context: As tce_try_begin(). Cannot fail.
 */
void tce_try_unmap(struct tce_try *try, unsigned long entry, unsigned long nr)
{
	unsigned int first = entry - try->chunk_entry, last = first + nr - 1;
	struct tce_view *view = &try->owner->view;
	struct tce_piece piece;

	if (!tce_chunk_next(view, try->value, first, last, &piece))
		return;

	first = piece.first;
	if (!tce_chunk_is_dense(try->value))
		last = first + piece.nr - 1;

	entry = try->chunk_entry + first;
	nr = last - first + 1;
	try->tbl->it_ops->clear_run(try->tbl, entry, nr);
	note_changed(try, entry, nr);
	note_gone(try, first, last);
	try->value = tce_chunk_unmap(view, try->value, first, last, NULL);
}
EXPORT_SYMBOL_GPL(tce_try_unmap);

/**
 * tce_try_end - kill what was changed, uncount what is gone, let go of the chunk
 * @try: the operation
 *
 * Context: As tce_try_begin().
 */
void tce_try_end(struct tce_try *try)
{
	/* Whoever finds entries unmapped may count on it: first the kill. */
	flush(try);
	if (try->word)
		tce_chunk_release(try->word, try->value);
}
EXPORT_SYMBOL_GPL(tce_try_end);

/**
 * tce_rm_memory - where registered memory of a table's owner can be read
 * @tbl: the table, of an owner with registered memory
 * @ua: userspace address, aligned to 4 KiB
 * @pregion: where the region goes; the caller has one entry of it counted, and
 *	     uncounts it by mm_iommu_drop() when it is done
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
	if (!region || !mm_iommu_hold(region, 1))
		return NULL;

	if (mm_iommu_translate(region, ua, IOMMU_PAGE_SHIFT_4K, 1, &run,
			       &nr_runs) != 1) {
		mm_iommu_drop(region, 1);
		return NULL;
	}

	*pregion = region;

	return __va(run.hpa);
}
