// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Operations of owners with registered memory that may wait and allocate.
 *
 * A loop over the chunks of the operation, each by the functions of chunk.c.
 * All that can fail is done before: entries are counted in their regions, nodes
 * of the view and levels of the table are made, arrays are allocated.
 *
 * An operation within one chunk is atomic by the chunk's lock. One over several
 * chunks takes a range lock, which keeps out others over several chunks that
 * overlap it. So two of them never take chunks in different orders, and
 * whatever runs concurrently, the outcome is that of some order one after the
 * other.
 *
 * Ranges are served in order of arrival: one waits for every earlier one that
 * it overlaps, and for no later one. A task that waits can be killed, but not
 * if it has begun to change something, or lets go of the table: then it waits
 * until the earlier ones are done, which are finite work of running tasks. Once
 * the table is closed nobody waits any more, and who runs stops at the next
 * chunk; so closing waits for what a few CPUs do with one chunk each.
 *
 * Giving up takes no memory: to unmap the first or the last entry of a chunk
 * never takes an array, so only what lies within one chunk can fail for that,
 * with nothing changed. Where a hypervisor can refuse, some entries up to the last
 * one may stay, so what begins within a chunk can fail as well; all of a chunk
 * can not.
 */

#include <linux/cleanup.h>
#include <linux/export.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/paravirt.h>
#include <asm/tce.h>
#include <asm/tce_owner.h>

#include "list.h"
#include "tce.h"

/* Levels for so many entries are had without rescheduling. */
#define TCE_GROW_ENTRIES	65536UL

/* Memory of so many entries is looked at without rescheduling. */
#define TCE_LOOK_ENTRIES	1024UL

/* Ranges */

static bool is_closed_for(const struct tce_owner *owner, unsigned int flags)
{
	return READ_ONCE(owner->closed) && !(flags & TCE_OP_CLOSE);
}

/* Does any range that arrived earlier overlap this one? @range_lock is held. */
static bool overlaps_earlier(const struct tce_owner *owner,
			     const struct tce_range *range)
{
	const struct tce_range *other;

	list_for_each_entry(other, &owner->ranges, next) {
		if (other == range)
			break;
		if (range->first <= other->last && other->first <= range->last)
			return true;
	}

	return false;
}

static bool range_has_to_wait(struct tce_owner *owner,
			      const struct tce_range *range)
{
	bool wait;

	spin_lock(&owner->range_lock);
	wait = overlaps_earlier(owner, range);
	spin_unlock(&owner->range_lock);

	return wait;
}

/* The range's turn has come, or nobody's comes any more. */
static bool is_over(struct tce_owner *owner, const struct tce_range *range,
		    unsigned int flags)
{
	return is_closed_for(owner, flags) || !range_has_to_wait(owner, range);
}

/* Wait for earlier ranges; -EINTR if the task was killed. */
static int wait_for_range(struct tce_owner *owner,
			  const struct tce_range *range, unsigned int flags)
{
	if (flags & (TCE_OP_CLOSE | TCE_OP_UNINTERRUPTIBLE)) {
		wait_event(owner->range_wait, is_over(owner, range, flags));
		return 0;
	}

	return wait_event_killable(owner->range_wait,
				   is_over(owner, range, flags)) ? -EINTR : 0;
}

/**
 * tce_range_begin - keep other operations over several chunks off
 * @tbl: the table
 * @range: what to keep; on the stack
 * @entry: first entry of the operation; all lie in the table
 * @nr: how many entries
 * @flags: TCE_OP_CLOSE cannot fail: it waits for the current chunks of others.
 *	   With TCE_OP_UNINTERRUPTIBLE there is no -EINTR
 *
 * Context: May sleep. A task has one range of a table at a time.
 * Return: 0, and tce_range_end() has to follow; -ENXIO if the window is being
 *	   removed; -EINTR if the task was killed.
 */
int tce_range_begin(struct iommu_table *tbl, struct tce_range *range,
		    unsigned long entry, unsigned long nr, unsigned int flags)
{
	struct tce_owner *owner = tbl->it_owner;
	int ret = 0;
	bool wait;

	range->first = chunk_of(tbl, entry);
	range->last = chunk_of(tbl, entry + nr - 1);
	if (range->first == range->last)
		return 0;

	spin_lock(&owner->range_lock);
	list_add_tail(&range->next, &owner->ranges);
	wait = overlaps_earlier(owner, range);
	spin_unlock(&owner->range_lock);

	/* Later ranges wait for this one, so what is true now stays true. */
	if (wait)
		ret = wait_for_range(owner, range, flags);
	if (!ret && is_closed_for(owner, flags))
		ret = -ENXIO;
	if (ret)
		tce_range_end(tbl, range);

	return ret;
}

/**
 * tce_range_end - let others at a range
 * @tbl: the table
 * @range: the range
 *
 * Context: May sleep.
 */
void tce_range_end(struct iommu_table *tbl, struct tce_range *range)
{
	struct tce_owner *owner = tbl->it_owner;

	if (range->first == range->last)
		return;

	spin_lock(&owner->range_lock);
	list_del(&range->next);
	spin_unlock(&owner->range_lock);
	if (wq_has_sleeper(&owner->range_wait))
		wake_up_all(&owner->range_wait);
}

/* The flag of an operation that has a range. */
static unsigned int range_flag(const struct tce_range *range)
{
	return range->first == range->last ? 0 : TCE_OP_RANGE;
}

/* Chunks */

/*
 * On a shared processor the hypervisor may have stopped the CPU that holds the
 * chunk: give it the time that would be spent spinning. Who holds it is a
 * guess; a CPU that is idle holds none.
 */
static void yield_to_holder(struct tce_op *op, unsigned long entry)
{
	unsigned long chunk = chunk_of(op->tbl, entry);
	u32 yields;
	int cpu;

	if (!is_shared_processor())
		return;

	cpu = READ_ONCE(op->owner->holder[chunk % TCE_HOLDERS]);
	yields = yield_count_of(cpu);
	if (!(yields & 1) || is_vcpu_idle(cpu))
		return;

	/* If the CPU has run since it was counted, the hypervisor returns. */
	smp_rmb();
	if (READ_ONCE(*op->word) & TCE_WORD_LOCK)
		yield_to_preempted(cpu, yields);
}

/* As tce_op_begin(), waiting for the chunk; chunk_end() has to follow. */
static int chunk_begin(struct tce_op *op, unsigned long entry)
{
	int ret;

	for (;;) {
		rcu_read_lock();
		preempt_disable();
		ret = tce_op_begin(op, entry);
		if (!ret) {
			/* Sparse is told that chunk_end() has it. */
			__release(RCU);
			return 0;
		}
		preempt_enable();
		rcu_read_unlock();
		if (ret != -EBUSY)
			return ret;
		yield_to_holder(op, entry);
		cpu_relax();
	}
}

static void chunk_end(struct tce_op *op)
{
	__acquire(RCU);
	tce_op_end(op);
	preempt_enable();
	rcu_read_unlock();
}

static void finish(struct tce_op *op)
{
	rcu_read_lock();
	tce_gather_flush(&op->gather);
	rcu_read_unlock();
}

/* Counts */

/* Uncount entries that were counted, and were never in the table. */
static void uncount(struct iommu_table *tbl, unsigned long ua, unsigned long nr)
{
	while (nr) {
		unsigned long n = min(nr, TCE_LOOK_ENTRIES);

		rcu_read_lock();
		tce_uncount_piece(tbl, ua, n);
		rcu_read_unlock();
		ua += n << tbl->it_page_shift;
		nr -= n;
		cond_resched();
	}
}

/* As tce_is_contiguous(), of any number of pages. */
static bool is_contiguous(const struct iommu_table *tbl,
			  const struct mm_iommu_region *region,
			  unsigned long ua, unsigned long nr)
{
	unsigned int shift = tbl->it_page_shift;
	unsigned long n;

	for (; shift > PAGE_SHIFT && nr; nr -= n, ua += n << shift) {
		n = min(nr, TCE_LOOK_ENTRIES);
		if (!tce_is_contiguous(tbl, region, ua, n))
			return false;
		cond_resched();
	}

	return true;
}

/* Count as many of @nr entries as lie in one region; 0 if that can't be. */
static unsigned long count_some(struct iommu_table *tbl, unsigned long ua,
				unsigned long nr, unsigned long perm)
{
	struct mm_iommu_region *region;
	unsigned long n = 0;

	rcu_read_lock();
	region = mm_iommu_find(tbl->it_owner->registry, ua);
	if (region)
		n = entries_in_region(tbl, region, ua, nr);
	if (n && !mm_iommu_count(region, n))
		n = 0;
	rcu_read_unlock();

	if (!n)
		return 0;

	/* Counted: the region stays. */
	if (!is_contiguous(tbl, region, ua, n)) {
		mm_iommu_uncount(region, n);
		return 0;
	}

	note_written(region, perm);

	return n;
}

/*
 * Count entries that are about to be mapped, all or none: what is counted can
 * be mapped, which cannot fail then for want of memory to point to. -EINVAL if
 * any of it is not registered, or an IOMMU page of it not contiguous in one
 * region.
 */
static int count(struct iommu_table *tbl, unsigned long ua, unsigned long nr,
		 unsigned long perm)
{
	unsigned long done = 0, bytes, end, n;

	if (check_shl_overflow(nr, tbl->it_page_shift, &bytes) ||
	    check_add_overflow(ua, bytes, &end))
		return -EINVAL;

	for (; done < nr; done += n) {
		n = count_some(tbl, ua + (done << tbl->it_page_shift),
			       nr - done, perm);
		if (!n) {
			uncount(tbl, ua, done);
			return -EINVAL;
		}
		cond_resched();
	}

	return 0;
}

/* Memory */

/* Called between steps that allocate: reschedules, and sees a SIGKILL. */
static int grow_goes_on(void)
{
	cond_resched();

	return fatal_signal_pending(current) ? -EINTR : 0;
}

/**
 * tce_grow_levels - have the levels of the table that it takes to write entries
 * @tbl: the table
 * @entry: first entry; the range lies in the table
 * @nr: how many entries
 *
 * Context: May sleep.
 * Return: 0; -ENOMEM; -EINTR if the process is being killed. Levels stay,
 *	   because they were charged.
 */
int tce_grow_levels(struct iommu_table *tbl, unsigned long entry,
		    unsigned long nr)
{
	unsigned long n;
	int ret;

	for (; tbl->it_ops->grow && nr; nr -= n, entry += n) {
		n = min(nr, TCE_GROW_ENTRIES);
		ret = tbl->it_ops->grow(tbl, entry, n);
		if (!ret && n < nr)
			ret = grow_goes_on();
		if (ret)
			return ret;
	}

	return 0;
}

/**
 * tce_grow - have the nodes and levels that it takes to map entries
 * @tbl: the table, of an owner with registered memory
 * @entry: first entry; the range lies in the table
 * @nr: how many entries
 *
 * Context: May sleep.
 * Return: As tce_grow_levels().
 */
int tce_grow(struct iommu_table *tbl, unsigned long entry, unsigned long nr)
{
	unsigned long chunk, last = chunk_of(tbl, entry + nr - 1);
	int ret;

	for (chunk = chunk_of(tbl, entry); chunk <= last; chunk++) {
		ret = tce_view_grow(&tbl->it_owner->view, chunk);
		if (!ret && chunk < last)
			ret = grow_goes_on();
		if (ret)
			return ret;
	}

	return tce_grow_levels(tbl, entry, nr);
}

/* Does the chunk of @entry want an array when the piece in it is mapped? */
static bool wants_array(struct iommu_table *tbl, unsigned long entry,
			unsigned long nr, unsigned long ua)
{
	struct tce_view *view = &tbl->it_owner->view;
	struct tce_piece piece = { .ua = ua };
	const unsigned long *word;

	piece.first = index_in_chunk(tbl, entry);
	piece.nr = entries_in_chunk(tbl, entry, nr);
	word = tce_view_word(view, chunk_of(tbl, entry));

	return tbl->it_ops->may_refuse ||
	       tce_chunk_map_needs_dense(view, READ_ONCE(*word), &piece);
}

/* Only the first and the last chunk can: in between all is written over. */
static unsigned int nr_arrays_wanted(struct iommu_table *tbl,
				     unsigned long entry, unsigned long nr,
				     unsigned long ua)
{
	unsigned long in_last = index_in_chunk(tbl, entry + nr - 1) + 1;
	unsigned int wanted = wants_array(tbl, entry, nr, ua);

	if (in_last >= nr)
		return wanted;

	nr -= in_last;

	return wanted + wants_array(tbl, entry + nr, in_last,
				    ua + (nr << tbl->it_page_shift));
}

/*
 * Other operations, or the closing of the table, may wait for the range. They do
 * not wait until memory is reclaimed.
 */
static int have_array(struct tce_op *op)
{
	return op->flags & TCE_OP_RANGE ? tce_stash_add_now(op->stash) :
					  tce_stash_add(op->stash, 1);
}

/* Mapping */

/* Map counted entries of one chunk; its node and levels exist. */
static int map_in_chunk(struct tce_op *op, unsigned long entry,
			unsigned long nr, unsigned long ua, unsigned long perm)
{
	int ret;

	for (;;) {
		ret = chunk_begin(op, entry);
		if (ret)
			return ret;
		ret = tce_op_map(op, entry, nr, ua, perm);
		chunk_end(op);
		/* Another thread has changed the chunk: it takes an array. */
		if (ret != -ENOMEM || op->stash->first)
			return ret;
		ret = have_array(op);
		if (ret)
			return ret;
	}
}

static int unmap_chunks(struct tce_op *op, unsigned long entry,
			unsigned long nr);

/*
 * Map counted entries, which may be in several chunks. The counts of the first
 * @used are used up. After an error entries are as they were, or empty.
 */
static int map_chunks(struct tce_op *op, unsigned long entry, unsigned long nr,
		      unsigned long ua, unsigned long perm, unsigned long *used)
{
	unsigned int shift = op->tbl->it_page_shift;
	unsigned long done = 0, n;
	int ret;

	do {
		n = entries_in_chunk(op->tbl, entry + done, nr - done);
		ret = map_in_chunk(op, entry + done, n, ua + (done << shift),
				   perm);
		if (ret)
			break;
		done += n;
		cond_resched();
	} while (done < nr);

	/* Up to here they end with their chunk: that takes no array. */
	if (ret && done)
		unmap_chunks(op, entry, done);
	*used = ret == -EIO ? done + n : done;

	return ret;
}

static int map_counted(struct iommu_table *tbl, unsigned long entry,
		       unsigned long nr, unsigned long ua, unsigned long perm)
{
	struct tce_op op __uninitialized;
	struct tce_stash stash = {};
	unsigned long used = 0;
	struct tce_range range;
	int ret;

	ret = tce_grow(tbl, entry, nr);
	if (!ret)
		ret = tce_stash_add(&stash,
				    nr_arrays_wanted(tbl, entry, nr, ua));
	if (!ret)
		ret = tce_range_begin(tbl, &range, entry, nr, 0);
	if (ret)
		goto out;

	tce_op_init(&op, tbl, TCE_OP_GROWN | range_flag(&range), &stash);
	ret = map_chunks(&op, entry, nr, ua, perm, &used);
	finish(&op);
	tce_range_end(tbl, &range);
out:
	uncount(tbl, ua + (used << tbl->it_page_shift), nr - used);
	tce_stash_empty(&stash);

	return ret;
}

static int map_one(struct iommu_table *tbl, unsigned long entry,
		   unsigned long ua, unsigned long perm)
{
	guard(rcu)();
	guard(preempt)();

	return tce_map_one_now(tbl, entry, ua | perm, false);
}

/* Most are like this: of one chunk and one region, with all memory there. */
static int map_now(struct iommu_table *tbl, unsigned long entry,
		   unsigned long nr, unsigned long ua, unsigned long perm)
{
	struct tce_stash stash = {};
	int ret;

	rcu_read_lock();
	preempt_disable();
	ret = tce_op_map_now(tbl, entry, nr, ua, perm, &stash);
	preempt_enable();
	rcu_read_unlock();
	tce_stash_empty(&stash);

	return ret;
}

static int registered_map(struct iommu_table *tbl, unsigned long entry,
			  unsigned long nr, unsigned long ua,
			  unsigned long perm)
{
	int ret = -EAGAIN;

	if (nr == 1)
		ret = map_one(tbl, entry, ua, perm);
	else if (nr <= TCE_CHUNK_ENTRIES)
		ret = map_now(tbl, entry, nr, ua, perm);
	if (ret != -EAGAIN)
		return ret;

	ret = count(tbl, ua, nr, perm);
	if (ret)
		return ret;

	return map_counted(tbl, entry, nr, ua, perm);
}

/* Unmapping */

static int unmap_in_chunk(struct tce_op *op, unsigned long entry,
			  unsigned long nr)
{
	int ret;

	for (;;) {
		ret = chunk_begin(op, entry);
		if (ret)
			return ret;
		ret = tce_op_unmap(op, entry, nr);
		chunk_end(op);
		if (ret != -ENOMEM)
			return ret;
		ret = have_array(op);
		if (ret)
			return ret;
	}
}

/* Unmap entries, which may be in several chunks. Goes on after an -EIO. */
static int unmap_chunks(struct tce_op *op, unsigned long entry,
			unsigned long nr)
{
	struct iommu_table *tbl = op->tbl;
	unsigned long last_chunk = chunk_of(tbl, entry + nr - 1);
	unsigned long chunk = chunk_of(tbl, entry), end = entry + nr;
	struct tce_view *view = &op->owner->view;
	int ret = 0, err;

	if (chunk == last_chunk)
		return unmap_in_chunk(op, entry, nr);

	for (chunk = tce_view_next_used(view, chunk, last_chunk);
	     chunk <= last_chunk;
	     chunk = tce_view_next_used(view, chunk + 1, last_chunk)) {
		unsigned long first = max(entry, chunk_start(tbl, chunk));

		err = unmap_in_chunk(op, first,
				     entries_in_chunk(tbl, first, end - first));
		if (err && err != -EIO)
			return err;
		ret = ret ?: err;
		cond_resched();
	}

	/*
	 * Chunks that were empty were not locked. The CPU that emptied one
	 * killed before it stored that. The memory is used again after the
	 * load that saw it: pairs with tce_chunk_release().
	 */
	smp_mb();

	return ret;
}

static int unmap(struct iommu_table *tbl, unsigned long entry, unsigned long nr,
		 unsigned int flags, struct tce_stash *stash)
{
	struct tce_op op __uninitialized;
	struct tce_range range;
	int ret;

	ret = tce_range_begin(tbl, &range, entry, nr, flags);
	if (ret)
		return ret;

	tce_op_init(&op, tbl, flags | range_flag(&range), stash);
	ret = unmap_chunks(&op, entry, nr);
	finish(&op);
	tce_range_end(tbl, &range);

	return ret;
}

static int unmap_one(struct iommu_table *tbl, unsigned long entry,
		     struct tce_stash *stash)
{
	guard(rcu)();
	guard(preempt)();

	return tce_unmap_one_now(tbl, entry, stash);
}

static int registered_unmap(struct iommu_table *tbl, unsigned long entry,
			    unsigned long nr, unsigned int flags)
{
	struct tce_stash stash = {};
	int ret = -EAGAIN;

	if (nr == 1)
		ret = unmap_one(tbl, entry, &stash);
	if (ret == -EAGAIN)
		ret = unmap(tbl, entry, nr, flags, &stash);
	tce_stash_empty(&stash);

	return ret;
}

/**
 * tce_unmap_stashed - tce_unmap() for a hypercall
 * @tbl: the table, of an owner with registered memory
 * @entry: first entry; the range lies in the table
 * @nr: how many entries
 * @stash: with an array, or the entries end with their chunk; gets what is left
 *	   over
 *
 * No signal ends it: a hypercall has begun to change other tables by then.
 *
 * Context: May sleep. In the checker's gate.
 * Return: 0, or what tce_unmap_uninterruptible() returns.
 */
int tce_unmap_stashed(struct iommu_table *tbl, unsigned long entry,
		      unsigned long nr, struct tce_stash *stash)
{
	return unmap(tbl, entry, nr, TCE_OP_UNINTERRUPTIBLE, stash);
}
EXPORT_SYMBOL_GPL(tce_unmap_stashed);

/* All of a chunk is unmapped, so that it takes no memory. */
static void registered_close(struct iommu_table *tbl)
{
	struct tce_stash stash = {};

	/* @closed is set: pairs with the one in begin(), chunk.c. */
	smp_mb();
	unmap(tbl, tbl->it_offset, tbl->it_size, TCE_OP_CLOSE, &stash);
	tce_stash_empty(&stash);
}

const struct tce_owner_ops tce_registered_ops = {
	.version	= 2,
	.map		= registered_map,
	.unmap		= registered_unmap,
	.close		= registered_close,
};

/* Lists */

/*
 * Is a list, of pages each of which is several entries, written page by page? A
 * hypervisor takes a list in fewer steps, if its pages are smaller than a
 * chunk.
 */
static bool is_written_by_page(const struct tce_list *list)
{
	return list->shift && !(list->tbl->it_ops->may_refuse &&
				list->shift < TCE_CHUNK_SHIFT);
}

/* The element of @page that entry @i of a list is in; how many of it follow. */
static u64 page_at(const struct tce_list *list, unsigned long i,
		   unsigned long end, unsigned long *nr)
{
	unsigned long sub = i & ((1UL << list->shift) - 1);
	u64 page = list->page[i >> list->shift];

	*nr = min(end - i, (1UL << list->shift) - sub);

	return page ? page + (sub << list->tbl->it_page_shift) : 0;
}

/* Uncount entries @i to @end - 1 of a counted list. */
static void uncount_list(const struct tce_list *list, unsigned long i,
			 unsigned long end)
{
	unsigned long n;

	for (; i < end; i += n) {
		u64 page = page_at(list, i, end, &n);

		if (page)
			uncount(list->tbl, page & ~TCE_DENSE_MAPPED, n);
	}
}

/**
 * tce_list_uncount - undo tce_list_count()
 * @list: the list
 *
 * Context: May sleep.
 */
void tce_list_uncount(const struct tce_list *list)
{
	uncount_list(list, 0, list->nr);
}
EXPORT_SYMBOL_GPL(tce_list_uncount);

static int count_pages(const struct tce_list *list)
{
	unsigned long i, n;
	int ret;

	for (i = 0; i < list->nr; i += n) {
		u64 page = page_at(list, i, list->nr, &n);

		if (!page)
			continue;
		ret = count(list->tbl, page & ~TCE_DENSE_MAPPED, n,
			    page & TCE_DENSE_MAPPED);
		if (ret) {
			uncount_list(list, 0, i);
			return ret;
		}
	}

	return 0;
}

static int count_list(const struct tce_list *list)
{
	unsigned long i = 0;

	if (list->shift)
		return count_pages(list);

	while (i < list->nr) {
		struct tce_list piece = tce_list_piece(list, i, list->nr);
		bool ok;

		rcu_read_lock();
		ok = tce_list_translate(&piece, true);
		rcu_read_unlock();
		if (!ok) {
			uncount_list(list, 0, i);
			return -EINVAL;
		}
		i += piece.nr;
		cond_resched();
	}

	return 0;
}

/* Pages of a chunk or more take no array, but a refusal may. */
static unsigned long arrays_for(const struct tce_list *list)
{
	if (list->shift >= TCE_CHUNK_SHIFT)
		return 1;

	return chunk_of(list->tbl, list->entry + list->nr - 1) -
	       chunk_of(list->tbl, list->entry) + 1;
}

/**
 * tce_list_count - count a list, and have all that it takes to write it
 * @list: the list
 * @stash: gets arrays
 *
 * Context: May sleep.
 * Return: 0, and tce_list_write() or tce_list_uncount() has to follow; or, with
 *	   nothing counted, -EINVAL if any of it is not registered, or an IOMMU
 *	   page of it is not contiguous, -ENOMEM without memory, -EINTR if the
 *	   process is being killed.
 */
int tce_list_count(const struct tce_list *list, struct tce_stash *stash)
{
	int ret = count_list(list);

	if (ret)
		return ret;

	ret = tce_grow(list->tbl, list->entry, list->nr);
	if (!ret)
		ret = tce_stash_add(stash, arrays_for(list));
	if (ret)
		tce_list_uncount(list);

	return ret;
}
EXPORT_SYMBOL_GPL(tce_list_count);

/* Write entries from @i to @end - 1, which are in the operation's chunk. */
static int write_some(struct tce_op *op, const struct tce_list *list,
		      unsigned long i, unsigned long end, unsigned long *nr)
{
	struct tce_list piece;
	u64 page;

	if (!is_written_by_page(list)) {
		piece = tce_list_piece(list, i, end);
		*nr = piece.nr;
		tce_list_translate(&piece, false);
		return tce_op_map_list(op, &piece);
	}

	page = page_at(list, i, end, nr);
	if (!page)
		return tce_op_unmap(op, list->entry + i, *nr);

	return tce_op_map(op, list->entry + i, *nr, page & ~TCE_DENSE_MAPPED,
			  page & TCE_DENSE_MAPPED);
}

/*
 * Write what a list has for a chunk from @i on, which goes beyond what it used.
 */
static int write_in_chunk(struct tce_op *op, const struct tce_list *list,
			  unsigned long *i)
{
	unsigned long end = *i + entries_in_chunk(list->tbl, list->entry + *i,
						  list->nr - *i), n;
	int ret;

	ret = chunk_begin(op, list->entry + *i);
	if (ret)
		return ret;

	while (!ret && *i < end) {
		ret = write_some(op, list, *i, end, &n);
		if (!ret || ret == -EIO)
			*i += n;
	}
	chunk_end(op);

	return ret;
}

/**
 * tce_list_write - write a list
 * @list: the list, counted by tce_list_count(); its counts are used up
 * @stash: with the arrays that this has added; gets what is left over
 *
 * No signal ends it: a hypercall has begun to change other tables by then.
 *
 * Context: May sleep.
 * Return: 0; -ENXIO if the window is being removed; -EIO if a hypervisor
 *	   refused: entries are written, as they were, or empty.
 */
int tce_list_write(const struct tce_list *list, struct tce_stash *stash)
{
	struct tce_op op __uninitialized;
	struct tce_range range;
	unsigned long i = 0;
	int ret;

	ret = tce_range_begin(list->tbl, &range, list->entry, list->nr,
			      TCE_OP_UNINTERRUPTIBLE);
	if (ret) {
		tce_list_uncount(list);
		return ret;
	}

	tce_op_init(&op, list->tbl, 0, stash);
	while (!ret && i < list->nr) {
		ret = write_in_chunk(&op, list, &i);
		cond_resched();
	}
	finish(&op);
	tce_range_end(list->tbl, &range);
	uncount_list(list, i, list->nr);

	return ret;
}
EXPORT_SYMBOL_GPL(tce_list_write);
