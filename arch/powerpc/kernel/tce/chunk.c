// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * An operation on the entries of one chunk.
 *
 *   tce_op_begin()     locks the chunk, if it is free and the table not closed
 *   tce_op_map(), tce_op_map_list() or tce_op_unmap()
 *   tce_op_end()       unlocks it
 *
 * and, after one or several chunks, tce_gather_flush(). Every operation on an
 * owned table with registered memory consists of these, be it an ioctl or a
 * hypercall, and whether it may wait or not: nothing here waits or allocates.
 * What is in the way, a lock or memory that has to be had first, is returned as
 * an error, with nothing changed; range.c then waits and tries again,
 * hypercalls in real mode are handed over.
 *
 * Entries that are mapped are counted before, by the caller. Entries that go
 * are uncounted by gather.c.
 *
 * Only a hypervisor refuses what it is asked for (may_refuse of the table's
 * operations). It is not known then what it has written. So all entries of the
 * request are cleared. If it refuses that as well, then from the first one on
 * that it does not clear entries stay in the view as they were before, counted
 * for what they were mapped to before and for what they were to be mapped to:
 * devices may reach either, so neither may be unpinned, ever.
 *
 * The rules of real mode hold, see book3s_64_vio_hv.c.
 */

#include <linux/errno.h>
#include <linux/export.h>
#include <linux/minmax.h>
#include <linux/smp.h>
#include <linux/string.h>

#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/paravirt.h>
#include <asm/tce.h>

#include "tce.h"

/* Runs that are translated at once; on the stack. */
#define TCE_RUNS	64

static __always_inline void init(struct tce_op *op, struct iommu_table *tbl,
				 unsigned int flags, struct tce_stash *stash)
{
	op->tbl = tbl;
	op->owner = tbl->it_owner;
	op->flags = flags;
	op->stash = stash;
	op->region_bytes = 0;
	tce_gather_init(&op->gather, tbl, flags & TCE_OP_REAL_MODE);
}

static __always_inline int begin(struct tce_op *op, unsigned long entry)
{
	unsigned long chunk = chunk_of(op->tbl, entry);

	op->chunk_entry = chunk_start(op->tbl, chunk);
	op->unmapped = false;
	op->state = 0;
	op->word = tce_view_word(&op->owner->view, chunk);
	if (!op->word)
		return 0;

	if (!tce_chunk_trylock(op->word, &op->state))
		return -EBUSY;

	/* For those who spin, see range.c. No hypervisor is below real mode. */
	if (is_shared_processor())
		WRITE_ONCE(op->owner->holder[chunk % TCE_HOLDERS],
			   raw_smp_processor_id());

	/*
	 * Closing a table sets @closed, then locks and unmaps every chunk whose
	 * word is not 0. If that of this one is not, the lock orders both. If
	 * the chunk is empty, and
	 *
	 *   mapper                          tce_owner_close()
	 *   lock the word                   closed = true
	 *   smp_mb()                        smp_mb()
	 *   look at closed                  look for nodes and words
	 *
	 * one of the two sees what the other has written, whoever installed the
	 * node that the word is in: that came before the lock.
	 */
	if (!op->state)
		smp_mb(); /* see above */
	if (READ_ONCE(op->owner->closed) && !(op->flags & TCE_OP_CLOSE)) {
		tce_chunk_release(op->word, op->state);
		return -ENXIO;
	}

	/* Without a stash, an array stays in its chunk. */
	if (op->stash && unlikely(tce_chunk_is_unused(op->state)))
		op->state = tce_chunk_unmap_dense(&op->owner->view, op->state,
						  0, 0, 0, op->stash);

	return 0;
}

static __always_inline void unlock(struct tce_op *op)
{
	if (op->word)
		tce_chunk_release(op->word, op->state);
}

static __always_inline void end(struct tce_op *op)
{
	/*
	 * Whoever finds entries unmapped, be it that he maps over them or
	 * unregisters, may rely on no device using them: so kill first.
	 */
	if (op->unmapped)
		tce_gather_flush(&op->gather);
	unlock(op);
}

/**
 * tce_op_init - prepare an operation
 * @op: the operation; on the stack
 * @tbl: the table, of an owner with registered memory
 * @flags: TCE_OP_*; in real mode, the table has tce_kill_rm()
 * @stash: arrays to use, may be empty; NULL in real mode
 *
 * Context: Any, real mode included.
 */
void tce_op_init(struct tce_op *op, struct iommu_table *tbl,
		 unsigned int flags, struct tce_stash *stash)
{
	init(op, tbl, flags, stash);
}

/**
 * tce_op_begin - take a chunk
 * @op: the operation, which has no other chunk
 * @entry: an entry of the chunk
 *
 * Context: Real mode, or in rcu_read_lock() and without preemption until
 *	    tce_op_end().
 * Return: 0, and tce_op_end() has to follow; -EBUSY if the chunk is locked;
 *	   -ENXIO if the window is being removed.
 */
int tce_op_begin(struct tce_op *op, unsigned long entry)
{
	return begin(op, entry);
}

/**
 * tce_op_end - let go of a chunk
 * @op: the operation
 *
 * Kills and uncounts what was gathered, if any entry was unmapped.
 *
 * Context: As tce_op_begin().
 */
void tce_op_end(struct tce_op *op)
{
	end(op);
}

static bool may_refuse(const struct tce_op *op)
{
	return op->tbl->it_ops->may_refuse;
}

/* Is there an array beside that of the chunk? */
static bool has_spare(const struct tce_op *op)
{
	return op->stash && op->stash->first;
}

static bool has_array(const struct tce_op *op)
{
	return tce_chunk_is_dense(op->state) || has_spare(op);
}

/*
 * Entries @first to @last were changed: note what they were mapped to. Returns
 * how many were mapped.
 */
static __always_inline unsigned long gather_old(struct tce_op *op,
						unsigned int first,
						unsigned int last)
{
	unsigned long state = op->state;

	if (!state)
		return 0;

	if (tce_chunk_is_dense(state))
		return tce_gather_array(&op->gather,
					&tce_chunk_dense(state)->ua[first],
					last - first + 1);

	if (!tce_linear_clip(state, &first, &last))
		return 0;

	tce_gather_piece(&op->gather,
			 tce_linear_ua(&op->owner->view, state, first),
			 last - first + 1);

	return last - first + 1;
}

/* The same of the one entry that the operation changes, which was mapped. */
static __always_inline unsigned long gather_old_one(struct tce_op *op,
						    unsigned int i)
{
	unsigned long state = op->state;

	tce_gather_one(&op->gather, tce_chunk_is_dense(state) ?
		       tce_chunk_dense(state)->ua[i] & ~TCE_DENSE_MAPPED :
		       tce_linear_ua(&op->owner->view, state, i));

	return 1;
}

/*
 * Clear entries of the chunk, and take them out of the view. Returns how many:
 * a hypervisor may refuse one, and then it and those behind it stay.
 * @one: the operation unmaps just this one entry, which is mapped.
 */
static __always_inline unsigned int clear(struct tce_op *op, unsigned int first,
					  unsigned int nr, bool one)
{
	unsigned long entry = op->chunk_entry + first, was;
	struct tce_view *view = &op->owner->view;
	unsigned int done, last;

	done = op->tbl->it_ops->clear_range(op->tbl, entry, nr);
	if (!done)
		return 0;

	op->unmapped = true;
	tce_gather_changed(&op->gather, entry, done);
	last = first + done - 1;
	was = one ? gather_old_one(op, first) : gather_old(op, first, last);
	if (tce_chunk_is_dense(op->state))
		op->state = tce_chunk_unmap_dense(view, op->state, first, last,
						  was, op->stash);
	else
		op->state = tce_chunk_unmap(view, op->state, first, last,
					    op->stash);

	return done;
}

/*
 * Can it be that entries on both sides of those that were cleared stay, as a
 * hypervisor clears some of entries @first to @last only?
 */
static __always_inline bool may_leave_hole(const struct tce_op *op,
					   unsigned int first,
					   unsigned int last)
{
	return may_refuse(op) && last > first &&
	       first > tce_linear_first(op->state);
}

/* @one: there is just one entry. It is compiled twice, as map() is. */
static __always_inline int unmap(struct tce_op *op, unsigned int first,
				 unsigned int last, bool one)
{
	unsigned int nr;

	if (!op->state)
		return 0;

	if (!tce_chunk_is_dense(op->state)) {
		if (!tce_linear_clip(op->state, &first, &last))
			return 0;
		if ((tce_chunk_unmap_needs_dense(op->state, first, last) ||
		     (!one && may_leave_hole(op, first, last))) &&
		    !has_array(op))
			return -ENOMEM;
	} else {
		const u64 *ua = tce_chunk_dense(op->state)->ua;

		while (!ua[first]) {
			if (first++ == last)
				return 0;
		}
	}

	nr = one ? 1 : last - first + 1;

	return clear(op, first, nr, one) == nr ? 0 : -EIO;
}

static noinline int unmap_some(struct tce_op *op, unsigned int first,
			       unsigned int last)
{
	return unmap(op, first, last, false);
}

/**
 * tce_op_unmap - unmap entries, whether mapped or not
 * @op: the operation
 * @entry: first entry, in the chunk
 * @nr: how many entries, all in the chunk
 *
 * Context: As tce_op_begin().
 * Return: 0; -ENOMEM, with nothing changed, if a piece of the chunk is left on
 *	   either side, or might be, and there is no array for that; -EIO if the
 *	   hypervisor refused to clear an entry: it and those behind it stay mapped.
 */
int tce_op_unmap(struct tce_op *op, unsigned long entry, unsigned long nr)
{
	unsigned int first = entry - op->chunk_entry;

	return unmap_some(op, first, first + nr - 1);
}

/*
 * The hypervisor refused some of a request. @tces are what was to be there: for
 * each the userspace address, with TCE_DENSE_MAPPED, or consecutive ones from
 * @ua on if it is NULL. See the top of this file.
 */
static noinline int refused(struct tce_op *op, unsigned int first,
			    unsigned int nr, const u64 *uas, unsigned long ua)
{
	unsigned int done = clear(op, first, nr, false);

	if (uas)
		tce_gather_array(&op->gather, uas, done);
	else
		tce_gather_piece(&op->gather, ua, done);

	return -EIO;
}

/*
 * As refused(), for one entry. It has a struct tce_op of its own, so that of
 * the caller can stay in registers. The chunk is locked; to unmap the entry
 * in @state takes no array. Returns the new state.
 */
static noinline unsigned long refused_one(struct iommu_table *tbl,
					  unsigned int flags,
					  unsigned long entry,
					  unsigned long state, unsigned long ua)
{
	struct tce_op op __uninitialized;

	init(&op, tbl, flags, NULL);
	op.chunk_entry = chunk_start(tbl, chunk_of(tbl, entry));
	op.unmapped = false;
	op.state = state;
	refused(&op, entry - op.chunk_entry, 1, NULL, ua);
	/* As in end(). */
	tce_gather_flush(&op.gather);

	return op.state;
}

/* The region of a counted address; the operation remembers it. */
static __always_inline struct mm_iommu_region *region_of(struct tce_op *op,
							 unsigned long ua)
{
	if (ua - op->region_ua >= op->region_bytes) {
		struct mm_iommu_region *region;

		region = mm_iommu_find(op->owner->registry, ua);
		op->region = region;
		op->region_ua = region->ua;
		op->region_bytes = region->nr_pages << PAGE_SHIFT;
	}

	return op->region;
}

/* Where some of @nr counted, consecutive addresses point to; how many, or 0. */
static __always_inline long translate(struct tce_op *op, unsigned long ua,
				      unsigned long nr, struct tce_run *runs,
				      unsigned int *nr_runs)
{
	struct mm_iommu_region *region = region_of(op, ua);
	const struct iommu_table *tbl = op->tbl;

	*nr_runs = TCE_RUNS;
	nr = entries_in_region(tbl, region, ua, nr);

	return mm_iommu_translate(region, ua, tbl->it_page_shift, nr, runs,
				  nr_runs);
}

/* Write TCEs of counted, consecutive addresses. After an error some may be. */
static noinline int write_runs(struct tce_op *op, unsigned long entry,
			       unsigned long nr, unsigned long ua,
			       unsigned long perm)
{
	struct tce_run runs[TCE_RUNS] __uninitialized;
	struct iommu_table *tbl = op->tbl;
	unsigned int nr_runs;
	int ret;

	while (nr) {
		long n = translate(op, ua, nr, runs, &nr_runs);

		/* Never: it was seen to be contiguous as it was counted. */
		if (n <= 0)
			return -EIO;
		ret = tbl->it_ops->set_runs(tbl, entry, runs, nr_runs, perm);
		if (ret)
			return ret;

		entry += n;
		nr -= n;
		ua += n << tbl->it_page_shift;
	}

	return 0;
}

static unsigned long spell_out(u64 *tce, const struct tce_run *runs,
			       unsigned int nr_runs, unsigned long perm,
			       unsigned long step)
{
	unsigned long done = 0, k;
	unsigned int i;

	for (i = 0; i < nr_runs; i++) {
		for (k = 0; k < runs[i].entries; k++)
			tce[done++] = (runs[i].hpa + k * step) | perm;
	}

	return done;
}

/*
 * The same where a hypervisor has the table: all at once, so that it takes no
 * more hypercalls if the memory is in many runs and regions. A spare array has
 * room for the TCEs of a chunk.
 */
static noinline int write_at_once(struct tce_op *op, unsigned long entry,
				  unsigned long nr, unsigned long ua,
				  unsigned long perm)
{
	struct tce_dense *spare = op->stash->first, *next = spare->next;
	unsigned long step = IOMMU_PAGE_SIZE(op->tbl), done = 0;
	struct tce_run runs[TCE_RUNS] __uninitialized;
	struct iommu_table *tbl = op->tbl;
	unsigned int nr_runs;
	int ret = -EIO;

	do {
		long n = translate(op, ua + done * step, nr - done, runs,
				   &nr_runs);

		/* Never, as in write_runs() */
		if (n <= 0)
			goto out;
		if (n == nr)
			return tbl->it_ops->set_runs(tbl, entry, runs, nr_runs,
						     perm);
		done += spell_out(&spare->ua[done], runs, nr_runs, perm, step);
	} while (done < nr);

	ret = tbl->it_ops->set_list(tbl, entry, spare->ua, nr);
out:
	spare->next = next;

	return ret;
}

/* Without detours, because that is what most calls are for. */
static __always_inline int write_one(struct tce_op *op, unsigned long entry,
				     unsigned long ua, unsigned long perm)
{
	u64 tce = mm_iommu_hpa(region_of(op, ua), ua) | perm;

	return op->tbl->it_ops->set_list(op->tbl, entry, &tce, 1);
}

/*
 * Enter an entry, which is written, in the view, and note what it was before.
 */
static __always_inline void enter_one(struct tce_op *op, unsigned int i,
				      unsigned long ua, unsigned long new_state)
{
	unsigned long state = op->state;
	u64 *slot, old;

	if (tce_chunk_is_dense(state)) {
		slot = &tce_chunk_dense(state)->ua[i];
		old = *slot;
		*slot = ua | TCE_DENSE_MAPPED;
		op->state = tce_chunk_add_used(state, !old);
		if (old)
			tce_gather_one(&op->gather, old & ~TCE_DENSE_MAPPED);
		return;
	}

	op->state = new_state;
	if (state && i >= tce_linear_first(state) && i <= tce_linear_last(state))
		tce_gather_one(&op->gather,
			       tce_linear_ua(&op->owner->view, state, i));
}

/*
 * @tce: if not NULL, the operation maps just this one entry, whose TCE this is.
 * map() is compiled for that a second time: nothing takes the address of @op
 * there, so that all of it can be in registers.
 */
static __always_inline int map(struct tce_op *op, unsigned int first,
			       unsigned int nr, unsigned long ua,
			       unsigned long perm, const u64 *tce)
{
	const struct iommu_table_ops *ops = op->tbl->it_ops;
	unsigned long entry = op->chunk_entry + first, state = op->state;
	const struct tce_piece piece = { first, nr, ua };
	bool can_refuse = ops->may_refuse, linear;
	struct tce_view *view = &op->owner->view;
	int ret;

	if (!op->word)
		return -ENOMEM;

	linear = tce_linear_map(view, &state, first, nr, ua);
	if (tce ? !linear && !tce_chunk_is_dense(state) :
		  (!linear || can_refuse) && !has_array(op))
		return -ENOMEM;
	if (can_refuse && (tce ? tce_chunk_unmap_needs_dense(op->state, first,
							     first) :
				 nr > 1 && !has_spare(op)))
		return -ENOMEM;

	/* One entry is written or not, but of several a part might be. */
	if (nr > 1 && !(op->flags & TCE_OP_GROWN) && ops->is_grown &&
	    !ops->is_grown(op->tbl, entry, nr))
		return -ENOMEM;

	ret = tce	 ? ops->set_list(op->tbl, entry, tce, 1) :
	      nr == 1	 ? write_one(op, entry, ua, perm) :
	      can_refuse ? write_at_once(op, entry, nr, ua, perm) :
			   write_runs(op, entry, nr, ua, perm);
	if (unlikely(ret)) {
		if (!can_refuse)
			return -ENOMEM;
		if (!tce)
			return refused(op, first, nr, NULL, ua);
		op->state = refused_one(op->tbl, op->flags, entry, op->state,
					ua);
		return -EIO;
	}

	tce_gather_changed(&op->gather, entry, nr);
	if (tce) {
		enter_one(op, first, ua, state);
		return 0;
	}

	gather_old(op, first, first + nr - 1);
	op->state = linear ? state :
			     tce_chunk_map(view, op->state, &piece, op->stash);

	return 0;
}

/**
 * tce_op_map - map entries to consecutive addresses
 * @op: the operation
 * @entry: first entry, in the chunk
 * @nr: how many entries, all in the chunk
 * @ua: userspace address of the first; all are counted, and note_written()
 * @perm: TCE_PCI_READ, TCE_PCI_WRITE or both
 *
 * Context: As tce_op_begin().
 * Return: 0; -ENOMEM, with nothing changed, if there is no node of the view, no
 *	   level of the table, or no array for it; -EIO if the hypervisor
 *	   refused, see the top of this file: the counts are used up then.
 */
int tce_op_map(struct tce_op *op, unsigned long entry, unsigned long nr,
	       unsigned long ua, unsigned long perm)
{
	return map(op, entry - op->chunk_entry, nr, ua, perm, NULL);
}

/* Is a list mapped to consecutive addresses, with the same permissions? */
static bool list_is_piece(const struct tce_list *list)
{
	unsigned long step = 1UL << list->tbl->it_page_shift, i;

	for (i = 1; i < list->nr; i++) {
		if (list->ua[i] != list->ua[i - 1] + step)
			return false;
	}

	return list->nr_mapped == list->nr;
}

/**
 * tce_op_map_list - map entries, each to where it pleases, or unmap it
 * @op: the operation
 * @list: all entries are in the chunk, counted and translated
 *
 * Context: As tce_op_begin().
 * Return: As tce_op_map().
 */
int tce_op_map_list(struct tce_op *op, const struct tce_list *list)
{
	unsigned int first = list->entry - op->chunk_entry, nr = list->nr;
	struct tce_view *view = &op->owner->view;
	unsigned long state = op->state, was;
	bool linear;

	if (!list->nr_mapped)
		return unmap_some(op, first, first + nr - 1);

	if (!op->word)
		return -ENOMEM;

	linear = !tce_chunk_is_dense(state) && list_is_piece(list) &&
		 tce_linear_map(view, &state, first, nr,
				list->ua[0] & ~TCE_DENSE_MAPPED);
	if ((!linear || may_refuse(op)) && !has_array(op))
		return -ENOMEM;

	if (op->tbl->it_ops->set_list(op->tbl, list->entry, list->tce, nr))
		return may_refuse(op) ? refused(op, first, nr, list->ua, 0) :
					-ENOMEM;

	tce_gather_changed(&op->gather, list->entry, nr);
	if (list->nr_mapped < nr)
		op->unmapped = true;

	if (linear) {
		gather_old(op, first, first + nr - 1);
		op->state = state;
		return 0;
	}

	if (!tce_chunk_is_dense(op->state))
		op->state = tce_chunk_to_dense(view, op->state, op->stash);
	was = tce_gather_array(&op->gather,
			       &tce_chunk_dense(op->state)->ua[first], nr);
	tce_copy(&tce_chunk_dense(op->state)->ua[first], list->ua, nr);
	op->state = tce_chunk_add_used(op->state, list->nr_mapped - was);

	return 0;
}

static __always_inline void init_now(struct tce_op *op, struct iommu_table *tbl,
				     struct mm_iommu_region *region,
				     unsigned int flags,
				     struct tce_stash *stash)
{
	init(op, tbl, flags, stash);
	if (region) {
		op->region = region;
		op->region_ua = region->ua;
		op->region_bytes = region->nr_pages << PAGE_SHIFT;
	}
	/* What entries were mapped to before may well be in there, too. */
	op->gather.gone[0].region = region;
	op->gather.gone[0].nr = 0;
	op->gather.nr_gone = 1;
}

/**
 * tce_is_contiguous - can IOMMU pages of a region be mapped
 * @tbl: the table
 * @region: the region, with an entry counted
 * @ua: userspace address of the first one, aligned to its size
 * @nr: how many, few enough to be looked at without rescheduling
 *
 * Pages of the kernel's size or less can: they are contiguous by being pinned.
 *
 * Context: Any, real mode included.
 * Return: true if each of them is contiguous, and lies in the region.
 */
bool tce_is_contiguous(const struct iommu_table *tbl,
		       const struct mm_iommu_region *region, unsigned long ua,
		       unsigned long nr)
{
	unsigned int shift = tbl->it_page_shift;
	unsigned long hpa;

	if (shift <= PAGE_SHIFT)
		return true;

	for (; nr; nr--, ua += 1UL << shift) {
		if (!mm_iommu_is_whole(region, ua, shift, &hpa))
			return false;
	}

	return true;
}

/* As tce_is_contiguous(), of one page, which it finds with the same search. */
static __always_inline bool find_page(const struct iommu_table *tbl,
				      const struct mm_iommu_region *region,
				      unsigned long ua, unsigned long *hpa)
{
	unsigned int shift = tbl->it_page_shift;

	if (shift > PAGE_SHIFT)
		return mm_iommu_is_whole(region, ua, shift, hpa);

	*hpa = mm_iommu_hpa(region, ua);

	return true;
}

/*
 * The region of @nr addresses, which are counted in it; NULL if that can't be.
 * If @hpa is not NULL, there is one, and its physical address goes there.
 */
static __always_inline struct mm_iommu_region *
count_now(struct iommu_table *tbl, unsigned long nr, unsigned long ua,
	  unsigned long perm, unsigned long *hpa)
{
	struct mm_iommu_region *region;

	if (!hpa && tbl->it_ops->may_refuse)
		return NULL;

	region = mm_iommu_find(tbl->it_owner->registry, ua);
	if (!region || (nr > 1 && entries_in_region(tbl, region, ua, nr) < nr))
		return NULL;
	if (!mm_iommu_count(region, nr))
		return NULL;
	/* The check is also why one page need not be in the region whole. */
	if (hpa ? !find_page(tbl, region, ua, hpa) :
	    tbl->it_page_shift > PAGE_SHIFT &&
	    !tce_is_contiguous(tbl, region, ua, nr)) {
		mm_iommu_uncount(region, nr);
		return NULL;
	}
	note_written(region, perm);

	return region;
}

/**
 * tce_map_one_now - map one entry, without waiting
 * @tbl: the table, of an owner with registered memory
 * @entry: the entry, in the table
 * @ua: userspace address, aligned to an IOMMU page, with permission bits
 * @real_mode: in real mode
 *
 * Most calls are for one entry. This does what tce_op_map_now() does, without
 * all that only several entries need; see map().
 *
 * Context: Real mode, or in rcu_read_lock() without preemption.
 * Return: As tce_op_map_now(); also -EAGAIN if memory is not registered, and
 *	   -EIO if a hypervisor refused, see the top of this file.
 */
int tce_map_one_now(struct iommu_table *tbl, unsigned long entry, u64 ua,
		    bool real_mode)
{
	unsigned long perm = ua & TCE_DENSE_MAPPED, hpa;
	struct tce_op op __uninitialized;
	struct mm_iommu_region *region;
	u64 tce;
	int ret;

	if (real_mode && !tbl->it_ops->tce_kill_rm)
		return -EAGAIN;

	ua -= perm;
	region = count_now(tbl, 1, ua, perm, &hpa);
	if (!region)
		return -EAGAIN;

	init_now(&op, tbl, region, real_mode ? TCE_OP_REAL_MODE : 0, NULL);
	ret = begin(&op, entry);
	if (!ret) {
		tce = hpa | perm;
		ret = map(&op, entry - op.chunk_entry, 1, ua, perm, &tce);
		unlock(&op);
	}
	/* The count is used up. */
	if (ret == -EIO)
		return ret;
	if (ret) {
		mm_iommu_uncount(region, 1);
		return ret == -ENXIO ? ret : -EAGAIN;
	}
	tce_gather_kill_and_uncount(&op.gather, 1);

	return 0;
}
EXPORT_SYMBOL_GPL(tce_map_one_now);

/**
 * tce_unmap_one_now - unmap one entry, without waiting
 * @tbl: the table, of an owner with registered memory
 * @entry: the entry, in the table
 * @stash: for an array that is left over
 *
 * A whole operation: unmaps, kills and uncounts.
 *
 * Context: In rcu_read_lock() without preemption.
 * Return: 0, or with nothing changed: -ENXIO if the window is being removed;
 *	   -EAGAIN if it can't be done this way, because the chunk is locked or
 *	   needs an array; -EIO if a hypervisor refused.
 */
int tce_unmap_one_now(struct iommu_table *tbl, unsigned long entry,
		      struct tce_stash *stash)
{
	struct tce_op op __uninitialized;
	unsigned int i;
	int ret;

	init_now(&op, tbl, NULL, 0, stash);
	ret = begin(&op, entry);
	if (!ret) {
		i = entry - op.chunk_entry;
		ret = unmap(&op, i, i, true);
		/* As in end(). */
		tce_gather_kill_and_uncount(&op.gather, 1);
		unlock(&op);
	}

	return ret == -ENOMEM || ret == -EBUSY ? -EAGAIN : ret;
}

/**
 * tce_op_map_now - map entries to consecutive addresses, without waiting
 * @tbl: the table, of an owner with registered memory
 * @entry: first entry; the range lies in the table
 * @nr: how many entries
 * @ua: userspace address of the first, aligned to an IOMMU page
 * @perm: TCE_PCI_READ, TCE_PCI_WRITE or both
 * @stash: for an array that is left over
 *
 * A whole operation: counts, maps, kills and uncounts.
 *
 * Context: In rcu_read_lock() without preemption.
 * Return: 0, or with nothing changed: -ENXIO if the window is being removed;
 *	   -EAGAIN if it can't be done this way: the entries are in several
 *	   chunks or the memory in several regions, the chunk is locked, memory
 *	   has to be had, pages are not contiguous, or a hypervisor may
 *	   refuse.
 */
int tce_op_map_now(struct iommu_table *tbl, unsigned long entry,
		   unsigned long nr, unsigned long ua, unsigned long perm,
		   struct tce_stash *stash)
{
	struct tce_op op __uninitialized;
	struct mm_iommu_region *region;
	unsigned int first;
	int ret;

	region = count_now(tbl, nr, ua, perm, NULL);
	if (!region)
		return -EAGAIN;

	init_now(&op, tbl, region, 0, stash);
	ret = begin(&op, entry);
	if (!ret) {
		first = entry - op.chunk_entry;
		ret = nr > TCE_CHUNK_ENTRIES - first ? -ENOMEM :
		      map(&op, first, nr, ua, perm, NULL);
		end(&op);
	}
	if (ret) {
		mm_iommu_uncount(region, nr);
		return ret == -ENXIO ? ret : -EAGAIN;
	}
	tce_gather_flush(&op.gather);

	return 0;
}
