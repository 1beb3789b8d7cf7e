// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The owner of an iommu_table: a process that maps its own memory.
 *
 * An entry of an owned table exists in three places: as a TCE in the table, as
 * a userspace address in the owner's view, and as a count in the region that
 * the address lies in. This file is the only one that changes them, and keeps:
 *
 *  1. A TCE is non-zero exactly when its view entry is, and one count is held
 *     for it. All three change under the lock of the entry's chunk, but for
 *     counts, which are taken before and dropped after.
 *  2. A count is dropped only after the IOMMU can no longer use the entry:
 *     clear, kill, then drop. A batch remembers what it has cleared, kills it
 *     all in one go, and then drops. Neither the order nor the sum depends on
 *     where a batch is flushed in between.
 *  3. Whatever can fail, does so before anything changes: counts are taken
 *     for the whole range, levels and nodes allocated, then entries written.
 *
 * An operation within one chunk is atomic by the chunk's lock. One over several
 * chunks announces its span, and waits for others that overlap it: so two of
 * them never take the chunks in different orders, and whatever runs
 * concurrently, the outcome is that of some order one after the other.
 *
 * A window that goes is closed first: from then on nothing can be mapped, and
 * all there is gets unmapped. The table may live on, for KVM may still hold it.
 *
 * An owner without registered memory (VFIO_SPAPR_TCE_IOMMU) pins pages as it
 * maps them and finds them again from the TCEs. It has no view; its operations
 * are serialised by a mutex, and KVM keeps away from it.
 */

#include <linux/cleanup.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/tce.h>
#include <asm/tce_check.h>
#include <asm/tce_owner.h>
#include <asm/tce_owner_rm.h>
#include <asm/trace_spapr_tce.h>

#include "debugfs.h"
#include "tce.h"
#include "view.h"

/* Runs that are translated at once; on the stack. */
#define TCE_RUNS	64

/* Levels for so many entries are had without giving way. */
#define TCE_GROW_ENTRIES	65536UL

/* So many pages are seen to be contiguous without giving way. */
#define TCE_LOOK_PAGES		65536UL

/* Up to so many entries, try to change them at once; runs on the stack. */
#define TCE_FEW		16UL

/* Entries of an owner without registered memory that are killed at once. */
#define TCE_PINNED_BATCH	512UL

/* Are all of the entries in the table, and is there one at all? */
static bool range_is_valid(const struct iommu_table *tbl, unsigned long entry,
			   unsigned long nr)
{
	return entry >= tbl->it_offset && nr && nr <= tbl->it_size &&
	       entry - tbl->it_offset <= tbl->it_size - nr;
}

/**
 * tce_owner_take - give a table to a process
 * @tbl: the table, empty, in use by nobody, with it_allocated_size charged
 * @mm: the process, current->mm
 * @registered: maps registered memory only
 *
 * From here on it_allocated_size is given back to @mm's locked_vm when the
 * table is freed.
 *
 * Context: May sleep.
 * Return: 0, -ENOMEM, or -EINVAL for IOMMU pages larger than the kernel's
 *	   without registered memory.
 */
int tce_owner_take(struct iommu_table *tbl, struct mm_struct *mm,
		   bool registered)
{
	struct tce_owner *owner;

	/* Pages are pinned one by one: nothing larger is known contiguous. */
	if (!registered && tbl->it_page_shift > PAGE_SHIFT)
		return -EINVAL;

	owner = kzalloc(sizeof(*owner), GFP_KERNEL_ACCOUNT);
	if (!owner)
		return -ENOMEM;

	mutex_init(&owner->pinned_lock);
	mutex_init(&owner->users_lock);
	INIT_LIST_HEAD(&owner->users);
	spin_lock_init(&owner->span_lock);
	INIT_LIST_HEAD(&owner->spans);
	init_waitqueue_head(&owner->span_wait);

	if (registered) {
		owner->registry = mm_iommu_registry(mm);
		if (!owner->registry ||
		    tce_view_init(&owner->view, tbl->it_size,
				  tbl->it_page_shift)) {
			kfree(owner);
			return -ENOMEM;
		}
	}

	mmgrab(mm);
	owner->mm = mm;
	/* KVM may know the table already, see tce_owner_mm(). */
	smp_store_release(&tbl->it_owner, owner);
	tce_check_add(tbl);
	tce_debugfs_add(tbl);
	trace_spapr_tce_window_create(tbl);

	return 0;
}
EXPORT_SYMBOL_GPL(tce_owner_take);

/**
 * tce_owner_mm - the process that owns a table
 * @tbl: the table
 *
 * Context: Any.
 * Return: its mm if its memory is registered; NULL if not, or if the table has
 *	   no owner.
 */
struct mm_struct *tce_owner_mm(const struct iommu_table *tbl)
{
	const struct tce_owner *owner = READ_ONCE(tbl->it_owner);

	return owner && owner->registry ? owner->mm : NULL;
}
EXPORT_SYMBOL_GPL(tce_owner_mm);

/**
 * tce_owner_free - end the ownership of a table that is being freed
 * @tbl: the table, closed
 *
 * Context: May sleep; takes mmap_lock. Nobody else knows the table any more.
 */
void tce_owner_free(struct iommu_table *tbl)
{
	struct tce_owner *owner = tbl->it_owner;

	if (!owner)
		return;

	tce_debugfs_del(tbl);
	tce_check_del(tbl);
	tbl->it_owner = NULL;
	tce_view_destroy(&owner->view);
	account_locked_vm(owner->mm,
			  DIV_ROUND_UP(tbl->it_allocated_size, PAGE_SIZE),
			  false);
	/* Hypercalls may have held counts when the last container went. */
	mm_iommu_reap(owner->mm);
	mmdrop(owner->mm);
	kfree(owner);
}

/* Counts */

static void drop_range(struct iommu_table *tbl, unsigned long ua,
		       unsigned long nr)
{
	struct mm_iommu *registry = tbl->it_owner->registry;

	while (nr) {
		struct mm_iommu_region *region;
		unsigned long n;

		rcu_read_lock();
		region = mm_iommu_find(registry, ua);
		n = entries_in(tbl, region, ua, nr);
		mm_iommu_drop(region, n);
		rcu_read_unlock();
		ua += n << tbl->it_page_shift;
		nr -= n;
		cond_resched();
	}
}

/* The pages of a region get dirty if a device may write to one. */
static void note_written(struct mm_iommu_region *region, unsigned long perm)
{
	if ((perm & TCE_PCI_WRITE) && !READ_ONCE(region->written))
		WRITE_ONCE(region->written, true);
}

/*
 * Can a range of a region be mapped, IOMMU page by IOMMU page? Pages of the
 * kernel's size or less are contiguous by being pinned at all.
 */
static bool is_contiguous(const struct iommu_table *tbl,
			  const struct mm_iommu_region *region,
			  unsigned long ua, unsigned long nr)
{
	struct tce_run runs[TCE_RUNS] __uninitialized;
	unsigned long most;

	if (tbl->it_page_shift <= PAGE_SHIFT)
		return true;

	most = max(1UL, TCE_LOOK_PAGES >> (tbl->it_page_shift - PAGE_SHIFT));
	while (nr) {
		unsigned int nr_runs = TCE_RUNS;
		long n = mm_iommu_translate(region, ua, tbl->it_page_shift,
					    min(nr, most), runs, &nr_runs);

		if (n < 0)
			return false;
		ua += n << tbl->it_page_shift;
		nr -= n;
		cond_resched();
	}

	return true;
}

/* Count as many of @nr entries as lie in one region; 0 if that can't be. */
static unsigned long hold_some(struct iommu_table *tbl, unsigned long ua,
			       unsigned long nr, unsigned long perm)
{
	struct mm_iommu_region *region;
	unsigned long n = 0;

	rcu_read_lock();
	region = mm_iommu_find(tbl->it_owner->registry, ua);
	if (region)
		n = entries_in(tbl, region, ua, nr);
	if (n && !mm_iommu_hold(region, n))
		n = 0;
	rcu_read_unlock();

	if (!n)
		return 0;

	/* Counted: the region stays. */
	if (!is_contiguous(tbl, region, ua, n)) {
		mm_iommu_drop(region, n);
		return 0;
	}

	note_written(region, perm);

	return n;
}

/*
 * Count entries that are about to be mapped, all or none: what is counted can be
 * mapped, which cannot fail then for want of memory to point to. -EINVAL if any
 * of it is not registered, or an IOMMU page of it not contiguous in one region.
 */
static int hold(struct iommu_table *tbl, unsigned long ua, unsigned long nr,
		unsigned long perm)
{
	unsigned long done = 0, bytes, end;

	if (check_shl_overflow(nr, tbl->it_page_shift, &bytes) ||
	    check_add_overflow(ua, bytes, &end))
		return -EINVAL;

	while (done < nr) {
		unsigned long n = hold_some(tbl,
					    ua + (done << tbl->it_page_shift),
					    nr - done, perm);

		if (!n) {
			drop_range(tbl, ua, done);
			return -EINVAL;
		}
		done += n;
		cond_resched();
	}

	return 0;
}

/* Memory */

static int grow_levels(struct iommu_table *tbl, unsigned long entry,
		       unsigned long nr)
{
	unsigned long n;
	int ret;

	for (; tbl->it_ops->grow && nr; nr -= n, entry += n) {
		n = min(nr, TCE_GROW_ENTRIES);
		ret = tbl->it_ops->grow(tbl, entry, n);
		if (ret)
			return ret;
		cond_resched();
	}

	return 0;
}

/**
 * tce_grow - have all that it takes to write entries
 * @tbl: the table, of an owner with registered memory
 * @entry: first entry; the range lies in the table
 * @nr: how many entries
 *
 * Context: May sleep.
 * Return: 0 or -ENOMEM. What was allocated stays, for it was charged.
 */
int tce_grow(struct iommu_table *tbl, unsigned long entry, unsigned long nr)
{
	unsigned long chunk, last = chunk_of(tbl, entry + nr - 1);
	int ret;

	for (chunk = chunk_of(tbl, entry); chunk <= last; chunk++) {
		ret = tce_view_grow(&tbl->it_owner->view, chunk);
		if (ret)
			return ret;
		cond_resched();
	}

	return grow_levels(tbl, entry, nr);
}
EXPORT_SYMBOL_GPL(tce_grow);

/* Have arrays for chunks that get dense, up to 2. */
static int reserve(struct tce_batch *batch, unsigned int nr_dense)
{
	while (batch->nr_spare < nr_dense) {
		struct tce_dense *dense = tce_dense_alloc(GFP_KERNEL_ACCOUNT);

		if (!dense)
			return -ENOMEM;
		batch->spare[batch->nr_spare++] = dense;
	}

	return 0;
}

/*
 * An array where none was reserved. That happens when another thread changed
 * the chunk in between, or to a hole punched in a run, which must not fail.
 */
static struct tce_dense *take_spare(struct tce_batch *batch)
{
	if (batch->nr_spare)
		return batch->spare[--batch->nr_spare];

	return tce_dense_alloc(GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
}

static void put_spare(struct tce_batch *batch, struct tce_dense *dense)
{
	if (!dense)
		return;

	if (batch->nr_spare < ARRAY_SIZE(batch->spare))
		batch->spare[batch->nr_spare++] = dense;
	else
		kfree(dense);
}

/* Spans */

static bool span_overlaps(const struct tce_owner *owner,
			  const struct tce_span *span)
{
	const struct tce_span *other;

	list_for_each_entry(other, &owner->spans, next) {
		if (span->first <= other->last && other->first <= span->last)
			return true;
	}

	return false;
}

static bool span_try(struct tce_owner *owner, struct tce_span *span)
{
	bool ok;

	spin_lock(&owner->span_lock);
	ok = !span_overlaps(owner, span);
	if (ok)
		list_add(&span->next, &owner->spans);
	spin_unlock(&owner->span_lock);

	return ok;
}

static void span_begin(struct tce_owner *owner, struct tce_span *span)
{
	if (span->first == span->last)
		return;

	wait_event(owner->span_wait, span_try(owner, span));
}

static void span_end(struct tce_owner *owner, struct tce_span *span)
{
	if (span->first == span->last)
		return;

	spin_lock(&owner->span_lock);
	list_del(&span->next);
	spin_unlock(&owner->span_lock);
	if (wq_has_sleeper(&owner->span_wait))
		wake_up_all(&owner->span_wait);
}

/* Batches */

/**
 * tce_batch_begin - begin an operation
 * @batch: the batch; on the stack
 * @tbl: the table, of an owner with registered memory
 * @entry: first entry that may be touched; the range lies in the table
 * @nr: how many entries
 *
 * Context: May sleep. A task has one batch at a time.
 */
void tce_batch_begin(struct tce_batch *batch, struct iommu_table *tbl,
		     unsigned long entry, unsigned long nr)
{
	batch->tbl = tbl;
	batch->owner = tbl->it_owner;
	batch->span.first = chunk_of(tbl, entry);
	batch->span.last = chunk_of(tbl, entry + nr - 1);
	batch->kill_first = ULONG_MAX;
	batch->kill_end = 0;
	batch->new_bytes = 0;
	batch->nr_gone = 0;
	batch->nr_spare = 0;
	span_begin(batch->owner, &batch->span);
}
EXPORT_SYMBOL_GPL(tce_batch_begin);

/* Clear was before; kill, then drop. */
static void flush(struct tce_batch *batch)
{
	const struct iommu_table_ops *ops = batch->tbl->it_ops;
	unsigned int i;

	/* Under KVM the groups of the table may change. */
	rcu_read_lock();
	if (batch->kill_first < batch->kill_end && ops->tce_kill)
		ops->tce_kill(batch->tbl, batch->kill_first,
			      batch->kill_end - batch->kill_first);
	rcu_read_unlock();
	batch->kill_first = ULONG_MAX;
	batch->kill_end = 0;

	for (i = 0; i < batch->nr_gone; i++)
		mm_iommu_drop(batch->gone[i].region, batch->gone[i].nr);
	batch->nr_gone = 0;
}

/**
 * tce_batch_end - kill what was changed, uncount what is gone
 * @batch: the batch
 *
 * Context: May sleep.
 */
void tce_batch_end(struct tce_batch *batch)
{
	flush(batch);
	span_end(batch->owner, &batch->span);
	while (batch->nr_spare)
		kfree(batch->spare[--batch->nr_spare]);
}
EXPORT_SYMBOL_GPL(tce_batch_end);

static void note_changed(struct tce_batch *batch, unsigned long entry,
			 unsigned long nr)
{
	batch->kill_first = min(batch->kill_first, entry);
	batch->kill_end = max(batch->kill_end, entry + nr);
}

/* Where entries cleared of @ua are remembered until they are killed. */
static struct tce_gone *gone_for(struct tce_batch *batch, unsigned long ua)
{
	struct mm_iommu_region *region;
	struct tce_gone *gone;
	unsigned int i;

	for (i = batch->nr_gone; i-- > 0; ) {
		region = batch->gone[i].region;
		if (ua - region->ua < region->nr_pages << PAGE_SHIFT)
			return &batch->gone[i];
	}

	if (batch->nr_gone == TCE_BATCH_REGIONS)
		flush(batch);

	gone = &batch->gone[batch->nr_gone++];
	gone->region = mm_iommu_find(batch->owner->registry, ua);
	gone->nr = 0;

	return gone;
}

/*
 * The TCEs of what @value says of entries @first to @last are cleared or
 * written over: remember whom to uncount.
 */
static void note_gone(struct tce_batch *batch, unsigned long value,
		      unsigned int first, unsigned int last)
{
	const struct tce_view *view = &batch->owner->view;
	struct tce_piece piece;
	struct tce_gone *gone;

	while (first <= last &&
	       tce_chunk_next(view, value, first, last, &piece)) {
		gone = gone_for(batch, piece.ua);
		gone->nr += tce_chunk_count(view, value, &first, last,
					    gone->region->ua,
					    gone->region->nr_pages <<
					    PAGE_SHIFT);
	}
}

/* Mapping */

static struct mm_iommu_region *region_of(struct tce_batch *batch,
					 unsigned long ua)
{
	if (ua - batch->new_ua >= batch->new_bytes) {
		struct mm_iommu_region *region;

		region = mm_iommu_find(batch->owner->registry, ua);
		batch->new_region = region;
		batch->new_ua = region->ua;
		batch->new_bytes = region->nr_pages << PAGE_SHIFT;
	}

	return batch->new_region;
}

/*
 * Translate what is counted. Where an IOMMU page of it begins is all there is to
 * find out: that it is contiguous was seen before it was counted, and takes long
 * to see again where each page has a word.
 */
static long translate_counted(const struct mm_iommu_region *region,
			      unsigned long ua, unsigned int page_shift,
			      unsigned long nr, struct tce_run *runs,
			      unsigned int *nr_runs)
{
	unsigned int i;

	if (page_shift <= PAGE_SHIFT || region->nr_runs)
		return mm_iommu_translate(region, ua, page_shift, nr, runs,
					  nr_runs);

	*nr_runs = min(nr, *nr_runs);
	for (i = 0; i < *nr_runs; i++, ua += 1UL << page_shift) {
		runs[i].hpa = mm_iommu_hpa(region, ua);
		runs[i].entries = 1;
	}

	return i;
}

/* Write the TCEs of counted addresses; the chunk is locked. */
static int write_tces(struct tce_batch *batch, unsigned long entry,
		      unsigned long nr, unsigned long ua, unsigned long perm)
{
	struct tce_run runs[TCE_RUNS] __uninitialized;
	struct iommu_table *tbl = batch->tbl;
	int ret;

	note_changed(batch, entry, nr);

	while (nr) {
		struct mm_iommu_region *region = region_of(batch, ua);
		unsigned int nr_runs = TCE_RUNS;
		long n = translate_counted(region, ua, tbl->it_page_shift,
					   entries_in(tbl, region, ua, nr),
					   runs, &nr_runs);

		if (n < 0)
			return n;
		ret = tbl->it_ops->set_runs(tbl, entry, runs, nr_runs, perm);
		if (ret)
			return ret;

		entry += n;
		nr -= n;
		ua += n << tbl->it_page_shift;
	}

	return 0;
}

/* Take the chunk, with an array at hand if mapping @piece wants one. */
static unsigned long lock_to_map(struct tce_batch *batch, unsigned long *word,
				 const struct tce_piece *piece,
				 struct tce_dense **spare)
{
	const struct tce_view *view = &batch->owner->view;
	unsigned long value;

	*spare = NULL;
	for (;;) {
		value = tce_chunk_lock(word);
		if (*spare || !tce_chunk_map_needs_dense(view, value, piece))
			return value;
		tce_chunk_unlock(word, value);
		*spare = take_spare(batch);
	}
}

/*
 * Writing went wrong: empty the entries. Without an array for the hole, the
 * entries behind it in the chunk go too. Returns the last one to go.
 */
static unsigned int clear_failed(struct tce_batch *batch, unsigned long entry,
				 unsigned long value,
				 const struct tce_piece *piece, bool no_spare)
{
	unsigned int first = piece->first, last = first + piece->nr - 1;
	struct tce_piece rest;

	if (no_spare && tce_chunk_unmap_needs_dense(value, first, last) &&
	    tce_chunk_next(&batch->owner->view, value, first,
			   TCE_CHUNK_ENTRIES - 1, &rest))
		last = rest.first + rest.nr - 1;

	batch->tbl->it_ops->clear_run(batch->tbl, entry, last - first + 1);
	note_changed(batch, entry, last - first + 1);

	return last;
}

static int map_in_chunk(struct tce_batch *batch, unsigned long chunk,
			const struct tce_piece *piece, unsigned long perm)
{
	unsigned long entry = chunk_start(batch->tbl, chunk) + piece->first;
	unsigned int last = piece->first + piece->nr - 1;
	struct tce_view *view = &batch->owner->view;
	unsigned long *word, value;
	struct tce_dense *spare;
	int ret;

	word = tce_view_word(view, chunk);
	value = lock_to_map(batch, word, piece, &spare);

	/*
	 * An empty chunk may lie in a node that another CPU has just installed:
	 * pairs with smp_mb() in tce_owner_close().
	 */
	if (!value)
		smp_mb(); /* see above */
	if (READ_ONCE(batch->owner->closed)) {
		tce_chunk_unlock(word, value);
		put_spare(batch, spare);
		return -ENXIO;
	}

	ret = write_tces(batch, entry, piece->nr, piece->ua, perm);
	if (ret)
		last = clear_failed(batch, entry, value, piece, !spare);
	note_gone(batch, value, piece->first, last);
	if (ret)
		value = tce_chunk_unmap(view, value, piece->first, last,
					&spare);
	else
		value = tce_chunk_map(view, value, piece, &spare);

	tce_chunk_unlock(word, value);
	put_spare(batch, spare);

	return ret;
}

/*
 * Map @nr entries, of those that the batch began with and tce_grow() was called
 * for, to addresses counted by hold().
 *
 * What they were mapped to before is uncounted when the batch ends. The counts
 * of hold() are used up, whatever is returned:
 *   -ENXIO  the window is being removed
 *   -EIO    the hypervisor refused an entry; never on bare metal
 * On an error the entries are mapped or empty, in this order; on -EIO entries
 * behind these, up to the end of their chunk, may be empty too.
 */
static int batch_map(struct tce_batch *batch, unsigned long entry,
		     unsigned long nr, unsigned long ua, unsigned long perm)
{
	struct iommu_table *tbl = batch->tbl;

	while (nr) {
		struct tce_piece piece = { .ua = ua };
		int ret;

		piece.first = index_in_chunk(tbl, entry);
		piece.nr = min(nr, TCE_CHUNK_ENTRIES - piece.first);
		ret = map_in_chunk(batch, chunk_of(tbl, entry), &piece, perm);
		if (ret) {
			flush(batch);
			drop_range(tbl, ua, nr);
			return ret;
		}

		entry += piece.nr;
		nr -= piece.nr;
		ua += (unsigned long)piece.nr << tbl->it_page_shift;
		cond_resched();
	}

	return 0;
}

/* Will the chunk of @entry want an array when the piece in it is mapped? */
static bool wants_dense(struct iommu_table *tbl, unsigned long entry,
			unsigned long nr, unsigned long ua)
{
	struct tce_view *view = &tbl->it_owner->view;
	struct tce_piece piece = { .ua = ua };
	const unsigned long *word;

	piece.first = index_in_chunk(tbl, entry);
	piece.nr = min(nr, TCE_CHUNK_ENTRIES - piece.first);
	word = tce_view_word(view, chunk_of(tbl, entry));

	return tce_chunk_map_needs_dense(view, READ_ONCE(*word), &piece);
}

/* Only the first and the last chunk can: in between all is written over. */
static unsigned int nr_dense_wanted(struct iommu_table *tbl,
				    unsigned long entry, unsigned long nr,
				    unsigned long ua)
{
	unsigned long last = chunk_of(tbl, entry + nr - 1), skip;
	unsigned int wanted = wants_dense(tbl, entry, nr, ua);

	if (last == chunk_of(tbl, entry))
		return wanted;

	skip = chunk_start(tbl, last) - entry;

	return wanted + wants_dense(tbl, entry + skip, nr - skip,
				    ua + (skip << tbl->it_page_shift));
}

static int map_counted(struct iommu_table *tbl, unsigned long entry,
		       unsigned long nr, unsigned long ua, unsigned long perm)
{
	struct tce_batch batch __uninitialized;
	int ret;

	tce_batch_begin(&batch, tbl, entry, nr);
	ret = reserve(&batch, nr_dense_wanted(tbl, entry, nr, ua));
	if (ret)
		drop_range(tbl, ua, nr);
	else
		ret = batch_map(&batch, entry, nr, ua, perm);
	tce_batch_end(&batch);

	return ret;
}

/* Unmapping */

static unsigned long lock_to_unmap(struct tce_batch *batch, unsigned long *word,
				   unsigned int first, unsigned int last,
				   struct tce_dense **spare)
{
	unsigned long value;

	*spare = NULL;
	for (;;) {
		value = tce_chunk_lock(word);
		if (*spare || !tce_chunk_unmap_needs_dense(value, first, last))
			return value;
		tce_chunk_unlock(word, value);
		*spare = take_spare(batch);
	}
}

static void unmap_in_chunk(struct tce_batch *batch, unsigned long chunk,
			   unsigned int first, unsigned int last)
{
	unsigned long entry = chunk_start(batch->tbl, chunk);
	unsigned long *word = tce_view_word(&batch->owner->view, chunk);
	struct tce_dense *spare;
	struct tce_piece piece;
	unsigned long value;

	value = lock_to_unmap(batch, word, first, last, &spare);
	if (tce_chunk_next(&batch->owner->view, value, first, last, &piece)) {
		first = piece.first;
		if (!tce_chunk_is_dense(value))
			last = first + piece.nr - 1;
		entry += first;
		batch->tbl->it_ops->clear_run(batch->tbl, entry,
					      last - first + 1);
		note_changed(batch, entry, last - first + 1);
		note_gone(batch, value, first, last);
		value = tce_chunk_unmap(&batch->owner->view, value, first, last,
					&spare);
		/* Whoever finds the entries unmapped may count on it. */
		flush(batch);
	}
	tce_chunk_unlock(word, value);
	put_spare(batch, spare);
}

/* While closing, empty chunks are met as well: tce_owner_close(). */
static unsigned long next_to_unmap(struct tce_batch *batch,
				   unsigned long chunk, unsigned long last)
{
	if (READ_ONCE(batch->owner->closed))
		return tce_view_skip(&batch->owner->view, chunk);

	return tce_view_next_used(&batch->owner->view, chunk, last);
}

/**
 * tce_batch_unmap - unmap entries, whether mapped or not
 * @batch: the batch
 * @entry: first entry
 * @nr: how many entries, all of them among those that the batch began with
 *
 * Context: May sleep. Costs what is mapped, not what is asked for.
 */
void tce_batch_unmap(struct tce_batch *batch, unsigned long entry,
		     unsigned long nr)
{
	struct iommu_table *tbl = batch->tbl;
	unsigned long first_chunk = chunk_of(tbl, entry), chunk;
	unsigned long last_chunk = chunk_of(tbl, entry + nr - 1);
	unsigned int last_index = index_in_chunk(tbl, entry + nr - 1);

	for (chunk = next_to_unmap(batch, first_chunk, last_chunk);
	     chunk <= last_chunk;
	     chunk = next_to_unmap(batch, chunk + 1, last_chunk)) {
		unsigned int first = 0, last = TCE_CHUNK_ENTRIES - 1;

		if (chunk == first_chunk)
			first = index_in_chunk(tbl, entry);
		if (chunk == last_chunk)
			last = last_index;
		unmap_in_chunk(batch, chunk, first, last);
		cond_resched();
	}
}
EXPORT_SYMBOL_GPL(tce_batch_unmap);

static void unmap_registered(struct iommu_table *tbl, unsigned long entry,
			     unsigned long nr)
{
	struct tce_batch batch __uninitialized;

	tce_batch_begin(&batch, tbl, entry, nr);
	tce_batch_unmap(&batch, entry, nr);
	tce_batch_end(&batch);
}

/* Owners without registered memory */

static void unpin_tce(unsigned long tce)
{
	struct page *page;

	if (!(tce & (TCE_PCI_READ | TCE_PCI_WRITE)))
		return;

	page = pfn_to_page(tce >> PAGE_SHIFT);
	unpin_user_pages_dirty_lock(&page, 1, tce & TCE_PCI_WRITE);
}

static void pinned_kill(struct iommu_table *tbl, unsigned long entry,
			unsigned long nr)
{
	if (nr && tbl->it_ops->tce_kill)
		tbl->it_ops->tce_kill(tbl, entry, nr);
}

/* Unmap up to TCE_PINNED_BATCH entries; @tces has room for so many. */
static void pinned_unmap_some(struct iommu_table *tbl, unsigned long entry,
			      unsigned long nr, unsigned long *tces)
{
	unsigned long i, any = 0;

	for (i = 0; i < nr; i++) {
		tces[i] = tbl->it_ops->get(tbl, entry + i);
		any |= tces[i];
	}
	if (!any)
		return;

	tbl->it_ops->clear_run(tbl, entry, nr);
	pinned_kill(tbl, entry, nr);

	for (i = 0; i < nr; i++)
		unpin_tce(tces[i]);
}

/* The owner's mutex is held. */
static void pinned_unmap(struct iommu_table *tbl, unsigned long entry,
			 unsigned long nr, unsigned long *tces)
{
	while (nr) {
		unsigned long n = min(nr, TCE_PINNED_BATCH);

		pinned_unmap_some(tbl, entry, n, tces);
		entry += n;
		nr -= n;
		cond_resched();
	}
}

/* Pin what entry @i of a mapping from @ua on will point to, as a TCE. */
static int pin_tce(struct iommu_table *tbl, unsigned long ua,
		   unsigned long perm, unsigned long *tce)
{
	unsigned int flags = FOLL_LONGTERM;
	struct page *page;
	int ret;

	if (perm & TCE_PCI_WRITE)
		flags |= FOLL_WRITE;

	ret = pin_user_pages_fast(ua & PAGE_MASK, 1, flags, &page);
	/* That is what the last page of all addresses gives. */
	if (ret == -EOVERFLOW)
		return -EFAULT;
	if (ret != 1)
		return ret < 0 ? ret : -EFAULT;

	*tce = (page_to_pfn(page) << PAGE_SHIFT | offset_in_page(ua)) | perm;

	return 0;
}

/* Write @nr pinned TCEs, and leave in their place what was there before. */
static int pinned_write(struct iommu_table *tbl, unsigned long entry,
			unsigned long nr, unsigned long *tces)
{
	unsigned long perm_mask = TCE_PCI_READ | TCE_PCI_WRITE, i;

	for (i = 0; i < nr; i++) {
		struct tce_run run = { tces[i] & ~perm_mask, 1 };
		unsigned long old = tbl->it_ops->get(tbl, entry + i);
		int ret = tbl->it_ops->set_runs(tbl, entry + i, &run, 1,
						tces[i] & perm_mask);

		if (ret) {
			/* What of this call is mapped, goes: old and new. */
			while (i--) {
				unsigned long new;

				new = tbl->it_ops->get(tbl, entry + i);
				tbl->it_ops->clear_run(tbl, entry + i, 1);
				pinned_kill(tbl, entry + i, 1);
				unpin_tce(new);
				cond_resched();
			}
			return ret;
		}
		tces[i] = old;
		if (!(i % TCE_PINNED_BATCH))
			cond_resched();
	}

	return 0;
}

static int map_pinned(struct iommu_table *tbl, unsigned long entry,
		      unsigned long nr, unsigned long ua, unsigned long perm)
{
	struct tce_owner *owner = tbl->it_owner;
	unsigned long *tces, pinned, i;
	int ret = 0;

	tces = kvmalloc_array(nr, sizeof(*tces), GFP_KERNEL_ACCOUNT);
	if (!tces)
		return -ENOMEM;

	for (pinned = 0; pinned < nr; pinned++) {
		ret = pin_tce(tbl, ua + (pinned << tbl->it_page_shift), perm,
			      &tces[pinned]);
		if (ret)
			goto unpin;
		cond_resched();
	}

	ret = grow_levels(tbl, entry, nr);
	if (ret)
		goto unpin;

	mutex_lock(&owner->pinned_lock);
	if (owner->closed) {
		ret = -ENXIO;
	} else {
		ret = pinned_write(tbl, entry, nr, tces);
		pinned_kill(tbl, entry, nr);
	}
	mutex_unlock(&owner->pinned_lock);

unpin:
	/* What is in there now is what was mapped before, or was not used. */
	for (i = 0; i < pinned; i++) {
		unpin_tce(tces[i]);
		if (!(i % TCE_PINNED_BATCH))
			cond_resched();
	}
	kvfree(tces);

	return ret;
}

static int unmap_pinned(struct iommu_table *tbl, unsigned long entry,
			unsigned long nr, bool close)
{
	struct tce_owner *owner = tbl->it_owner;
	unsigned long *tces;

	tces = kmalloc_array(TCE_PINNED_BATCH, sizeof(*tces),
			     GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);

	mutex_lock(&owner->pinned_lock);
	if (close)
		owner->closed = true;
	pinned_unmap(tbl, entry, nr, tces);
	mutex_unlock(&owner->pinned_lock);
	kfree(tces);

	return 0;
}

/*
 * Few entries, nothing to wait for
 *
 * Most changes are like this: in one chunk, of memory of one region, with the
 * levels there. What they do is what a batch does, in the same order, with less
 * to remember. They return false, with nothing changed, if they can't.
 */

/* What is mapped at entries of one chunk; false if it is of several regions. */
static bool find_gone(const struct tce_owner *owner, unsigned long value,
		      unsigned int first, unsigned int last,
		      struct tce_gone *gone)
{
	const struct tce_view *view = &owner->view;
	struct tce_piece piece;

	gone->nr = 0;
	if (!value)
		return true;

	if (first == last) {
		gone->nr = tce_chunk_get(view, value, first, &piece.ua);
		if (gone->nr)
			gone->region = mm_iommu_find(owner->registry, piece.ua);
		return true;
	}

	if (!tce_chunk_next(view, value, first, last, &piece))
		return true;

	gone->region = mm_iommu_find(owner->registry, piece.ua);
	gone->nr = tce_chunk_count(view, value, &first, last, gone->region->ua,
				   gone->region->nr_pages << PAGE_SHIFT);

	return first > last;
}

/* Cleared or written over is what was there: kill, then drop. */
static void finish_at_once(struct iommu_table *tbl, unsigned long entry,
			   unsigned long nr, const struct tce_gone *gone)
{
	if (tbl->it_ops->tce_kill)
		tbl->it_ops->tce_kill(tbl, entry, nr);
	if (gone->nr)
		mm_iommu_drop(gone->region, gone->nr);
}

/* The chunk is locked, the new entries are counted. Changes @value too. */
static bool map_locked(struct iommu_table *tbl, unsigned long entry,
		       const struct tce_piece *piece,
		       const struct tce_run *runs, unsigned int nr_runs,
		       unsigned long perm, unsigned long *value)
{
	const struct iommu_table_ops *ops = tbl->it_ops;
	struct tce_owner *owner = tbl->it_owner;
	unsigned int nr = piece->nr;
	struct tce_gone gone;

	/* See map_in_chunk(). */
	if (!*value)
		smp_mb(); /* with the one in tce_owner_close() */
	if (READ_ONCE(owner->closed) ||
	    tce_chunk_map_needs_dense(&owner->view, *value, piece) ||
	    !find_gone(owner, *value, piece->first, piece->first + nr - 1,
		       &gone))
		return false;

	/* One entry is written or not, but of several a part might be. */
	if (nr > 1 && (!ops->is_grown || !ops->is_grown(tbl, entry, nr)))
		return false;
	if (ops->set_runs(tbl, entry, runs, nr_runs, perm))
		return false;

	finish_at_once(tbl, entry, nr, &gone);
	*value = tce_chunk_map(&owner->view, *value, piece, NULL);

	return true;
}

static __always_inline bool map_at_once(struct iommu_table *tbl,
					unsigned long entry, unsigned long nr,
					unsigned long ua, unsigned long perm)
{
	const struct tce_piece piece = { index_in_chunk(tbl, entry), nr, ua };
	struct tce_run runs[TCE_FEW] __uninitialized;
	struct tce_owner *owner = tbl->it_owner;
	struct mm_iommu_region *region;
	unsigned int nr_runs = TCE_FEW;
	unsigned long *word, value;
	bool done = false;

	word = tce_view_word(&owner->view, chunk_of(tbl, entry));
	if (!word || piece.first + nr > TCE_CHUNK_ENTRIES)
		return false;

	guard(rcu)();
	region = mm_iommu_find(owner->registry, ua);
	if (!region || entries_in(tbl, region, ua, nr) < nr ||
	    !mm_iommu_hold(region, nr))
		return false;

	guard(preempt)();
	if (mm_iommu_translate(region, ua, tbl->it_page_shift, nr, runs,
			       &nr_runs) == nr &&
	    tce_chunk_trylock(word, &value)) {
		note_written(region, perm);
		done = map_locked(tbl, entry, &piece, runs, nr_runs, perm,
				  &value);
		tce_chunk_release(word, value);
	}
	if (!done)
		mm_iommu_drop(region, nr);

	return done;
}

static bool unmap_at_once(struct iommu_table *tbl, unsigned long entry,
			  unsigned long nr)
{
	unsigned int first = index_in_chunk(tbl, entry), last = first + nr - 1;
	struct tce_owner *owner = tbl->it_owner;
	unsigned long *word, value;
	struct tce_gone gone;
	bool done;

	word = tce_view_word(&owner->view, chunk_of(tbl, entry));
	if (!word || last >= TCE_CHUNK_ENTRIES)
		return false;

	guard(rcu)();
	guard(preempt)();
	if (!tce_chunk_trylock(word, &value))
		return false;

	done = !tce_chunk_unmap_needs_dense(value, first, last) &&
	       find_gone(owner, value, first, last, &gone);
	if (done && gone.nr) {
		tbl->it_ops->clear_run(tbl, entry, nr);
		finish_at_once(tbl, entry, nr, &gone);
		value = tce_chunk_unmap(&owner->view, value, first, last, NULL);
	}
	tce_chunk_release(word, value);

	return done;
}

/* Lists */

/**
 * tce_list_begin - take a chunk to write what a list has for it
 * @try: the operation; on the stack
 * @tbl: the table, of an owner with registered memory
 * @entry: first entry of the list that is in the chunk, with all memory that it
 *	   takes, by tce_grow(). With more chunks, within a batch that
 *	   tce_batch_begin() began for all of the list
 * @spare: an array for the chunk, or NULL, which is seen to; for kfree()
 *
 * Context: May sleep. In rcu_read_lock() without preemption until tce_list_end().
 * Return: 0, and tce_list_end() has to follow; -ENXIO if the window is being
 *	   removed.
 */
int tce_list_begin(struct tce_try *try, struct iommu_table *tbl,
		   unsigned long entry, struct tce_dense **spare)
{
	int ret;

	if (!*spare)
		*spare = tce_dense_alloc(GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);

	for (;;) {
		rcu_read_lock();
		preempt_disable();
		ret = tce_try_begin(try, tbl, entry, 1, false);
		if (!ret) {
			/* Sparse is told that tce_list_end() has it. */
			__release(RCU);
			return 0;
		}
		preempt_enable();
		rcu_read_unlock();
		if (ret != -EBUSY)
			return ret;
		cpu_relax();
	}
}
EXPORT_SYMBOL_GPL(tce_list_begin);

/**
 * tce_list_end - kill what was changed, uncount what is gone, let go of a chunk
 * @try: the operation
 *
 * Context: After tce_list_begin().
 */
void tce_list_end(struct tce_try *try)
{
	__acquire(RCU);
	tce_try_end(try);
	preempt_enable();
	rcu_read_unlock();
}
EXPORT_SYMBOL_GPL(tce_list_end);

/* For all callers */

static int map(struct iommu_table *tbl, unsigned long entry, unsigned long nr,
	       unsigned long ua, unsigned long perm)
{
	int ret;

	if (!range_is_valid(tbl, entry, nr))
		return -EINVAL;

	guard(tce_check)();
	if (!tbl->it_owner->registry)
		return map_pinned(tbl, entry, nr, ua, perm);

	if (nr <= TCE_FEW && map_at_once(tbl, entry, nr, ua, perm))
		return 0;

	ret = hold(tbl, ua, nr, perm);
	if (ret)
		return ret;

	ret = tce_grow(tbl, entry, nr);
	if (ret) {
		drop_range(tbl, ua, nr);
		return ret;
	}

	return map_counted(tbl, entry, nr, ua, perm);
}

/**
 * tce_map - map consecutive entries to consecutive userspace addresses
 * @tbl: the table, owned
 * @entry: first entry: bus address >> it_page_shift
 * @nr: how many entries
 * @ua: userspace address of the first, aligned to the size of an IOMMU page
 * @perm: TCE_PCI_READ, TCE_PCI_WRITE or both: what the device may do
 *
 * What the entries were mapped to before is replaced.
 *
 * Context: May sleep. The owner's mm is current->mm if it has no registered
 *	    memory.
 * Return: 0, or with nothing changed:
 *	   -EINVAL  not in the table, or memory not registered or not contiguous
 *	   -EFAULT  no registered memory, and memory not accessible
 *	   -ENOMEM  no memory
 *
 *	   or, with the entries mapped or empty, in this order: -ENXIO if the
 *	   window is being removed, -EIO if a hypervisor refused an entry.
 */
int tce_map(struct iommu_table *tbl, unsigned long entry, unsigned long nr,
	    unsigned long ua, unsigned long perm)
{
	int ret = map(tbl, entry, nr, ua, perm);

	trace_spapr_tce_map(tbl, entry, nr, ua, perm, ret);

	return ret;
}
EXPORT_SYMBOL_GPL(tce_map);

static int unmap(struct iommu_table *tbl, unsigned long entry, unsigned long nr)
{
	if (!range_is_valid(tbl, entry, nr))
		return -EINVAL;

	guard(tce_check)();
	if (!tbl->it_owner->registry)
		return unmap_pinned(tbl, entry, nr, false);

	if (nr > TCE_FEW || !unmap_at_once(tbl, entry, nr))
		unmap_registered(tbl, entry, nr);

	return 0;
}

/**
 * tce_unmap - unmap entries, whether mapped or not
 * @tbl: the table, owned
 * @entry: first entry: bus address >> it_page_shift
 * @nr: how many entries
 *
 * When it returns, no device reaches through these entries any more, and their
 * memory can be unregistered.
 *
 * Context: May sleep.
 * Return: 0, or -EINVAL if not all of it is in the table.
 */
int tce_unmap(struct iommu_table *tbl, unsigned long entry, unsigned long nr)
{
	int ret = unmap(tbl, entry, nr);

	trace_spapr_tce_unmap(tbl, entry, nr, 0, 0, ret);

	return ret;
}
EXPORT_SYMBOL_GPL(tce_unmap);

/**
 * tce_owner_close - unmap all, and let nothing be mapped any more
 * @tbl: the table, owned
 *
 * Whoever maps at the same time, from KVM, either finds the owner closed, or
 * has mapped before its chunk is unmapped here: for that, every word that
 * exists is locked once, empty or not, and a word that does not exist yet comes
 * with a full barrier, see tce_view_grow().
 *
 * Users of the table let go of it first, so that their hypercalls do not take
 * part any more.
 *
 * Context: May sleep. Takes locks of KVM.
 */
void tce_owner_close(struct iommu_table *tbl)
{
	struct tce_owner *owner = tbl->it_owner;

	tce_users_close(owner);

	guard(tce_check)();
	if (!owner->registry) {
		unmap_pinned(tbl, tbl->it_offset, tbl->it_size, true);
	} else {
		WRITE_ONCE(owner->closed, true);
		/* Pairs with cmpxchg() in tce_view_grow(). */
		smp_mb();
		unmap_registered(tbl, tbl->it_offset, tbl->it_size);
	}
	trace_spapr_tce_window_remove(tbl);
}
EXPORT_SYMBOL_GPL(tce_owner_close);
