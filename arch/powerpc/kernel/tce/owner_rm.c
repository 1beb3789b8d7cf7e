// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The owner of an iommu_table: changes that wait for nothing.
 *
 * Does what owner.c does, and keeps what is stated there, for entries of
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
 * Entries are unmapped by
 *   tce_try_begin()     takes the chunk
 *   tce_try_prepare()   can they be unmapped in place
 *   tce_try_unmap()     which cannot fail any more
 *   tce_try_end()       kills, uncounts, lets go of the chunk
 *
 * A list, each entry of which is mapped to where it pleases, is changed by
 *   tce_list_hold()     counts and translates all of it, or nothing
 *   tce_try_begin()
 *   tce_list_commit()   writes it, if it can be done in place
 *   tce_try_end()
 *   tce_list_release()  if it could not
 * which is tce_try_list(). owner.c does the same with waiting, for each of
 * the chunks that a list is in, and with an array at hand. A list is one
 * operation: all of it that is in a chunk is written under one lock of it.
 */

#include <linux/export.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/string.h>

#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/tce.h>
#include <asm/tce_owner_rm.h>

#include "tce.h"
#include "view.h"

static __always_inline int begin(struct tce_try *try, struct iommu_table *tbl,
				 unsigned long entry, bool real_mode)
{
	const struct iommu_table_ops *ops = tbl->it_ops;
	unsigned long chunk = chunk_of(tbl, entry);
	struct tce_owner *owner = tbl->it_owner;

	if (real_mode && !ops->tce_kill_rm)
		return -EOPNOTSUPP;

	try->tbl = tbl;
	try->owner = owner;
	try->kill = real_mode ? ops->tce_kill_rm : ops->tce_kill;
	try->chunk_entry = chunk_start(tbl, chunk);
	try->kill_first = ULONG_MAX;
	try->kill_end = 0;
	try->nr_gone = 0;
	try->value = 0;
	try->word = tce_view_word(&owner->view, chunk);
	if (!try->word)
		return 0;

	if (!tce_chunk_trylock(try->word, &try->value))
		return -EBUSY;

	/* See map_in_chunk() in owner.c. */
	if (!try->value)
		smp_mb(); /* with the one in tce_owner_close() */
	if (READ_ONCE(owner->closed)) {
		tce_chunk_release(try->word, try->value);
		return -ENXIO;
	}

	return 0;
}

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
 * Return: 0, and tce_try_end() has to follow; or
 *	   -EBUSY	the chunk is locked
 *	   -ENXIO	the window is being removed
 *	   -EOPNOTSUPP	can't be done this way
 */
int tce_try_begin(struct tce_try *try, struct iommu_table *tbl,
		  unsigned long entry, unsigned long nr, bool real_mode)
{
	/* Several chunks would have to wait for others that work on them. */
	if (chunk_of(tbl, entry + nr - 1) != chunk_of(tbl, entry))
		return -EOPNOTSUPP;

	return begin(try, tbl, entry, real_mode);
}
EXPORT_SYMBOL_GPL(tce_try_begin);

static __always_inline bool is_in(const struct mm_iommu_region *region,
				  unsigned long ua)
{
	return region && ua - region->ua < region->nr_pages << PAGE_SHIFT;
}

/**
 * tce_try_prepare - make sure that entries can be unmapped
 * @try: the operation
 * @entry: first entry, among those that the operation began with
 * @nr: how many entries
 *
 * Context: As tce_try_begin().
 * Return: false if it can't be done this way, as the view would have to grow.
 */
bool tce_try_prepare(const struct tce_try *try, unsigned long entry,
		     unsigned long nr)
{
	unsigned int first = entry - try->chunk_entry;

	/* A hypervisor may refuse. */
	return try->tbl->it_ops->is_grown &&
	       !tce_chunk_unmap_needs_dense(try->value, first, first + nr - 1);
}
EXPORT_SYMBOL_GPL(tce_try_prepare);

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
	gone->region = mm_iommu_find(try->owner->registry, ua);
	gone->nr = 0;

	return gone;
}

/* Remember whom to uncount for entries of an array, and return how many. */
static unsigned long note_gone_dense(struct tce_try *try, const u64 *slot,
				     unsigned long nr)
{
	unsigned long i = 0, total = 0, start, ua, bytes;

	while (i < nr) {
		const struct mm_iommu_region *region;
		struct tce_gone *gone;

		if (!slot[i]) {
			while (i < nr && !slot[i])
				i++;
			continue;
		}

		gone = gone_for(try, slot[i] & ~TCE_DENSE_MAPPED);
		region = gone->region;
		/* Of no mapped entry is the word 0. */
		ua = region->ua + 1;
		bytes = region->nr_pages << PAGE_SHIFT;
		for (start = i; i < nr && slot[i] - ua < bytes; i++)
			;
		gone->nr += i - start;
		total += i - start;
	}

	return total;
}

/* Remember whom to uncount for what a run says of its entries. */
static void note_gone(struct tce_try *try, unsigned int first,
		      unsigned int last)
{
	const struct tce_view *view = &try->owner->view;
	struct tce_piece piece;
	struct tce_gone *gone;

	while (first <= last &&
	       tce_chunk_next(view, try->value, first, last, &piece)) {
		gone = gone_for(try, piece.ua);
		gone->nr += tce_chunk_count(view, try->value, &first, last,
					    gone->region->ua,
					    gone->region->nr_pages <<
					    PAGE_SHIFT);
	}
}

static void dense_unmap(struct tce_try *try, unsigned int first,
			unsigned int last)
{
	u64 *slot = tce_chunk_dense(try->value)->ua;
	unsigned long nr, was;

	while (!slot[first]) {
		if (first++ == last)
			return;
	}

	nr = last - first + 1;
	try->tbl->it_ops->clear_run(try->tbl, try->chunk_entry + first, nr);
	note_changed(try, try->chunk_entry + first, nr);
	was = note_gone_dense(try, slot + first, nr);
	memset64(slot + first, 0, nr);
	try->value = tce_chunk_add_used(try->value, -was);
}

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

	if (tce_chunk_is_dense(try->value)) {
		dense_unmap(try, first, last);
		return;
	}

	if (!tce_chunk_next(view, try->value, first, last, &piece))
		return;

	entry = try->chunk_entry + piece.first;
	try->tbl->it_ops->clear_run(try->tbl, entry, piece.nr);
	note_changed(try, entry, piece.nr);
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

/* Lists */

/* Uncount the entries of the first @nr addresses. */
static void uncount(const struct mm_iommu *registry, const u64 *ua,
		    unsigned long nr)
{
	struct mm_iommu_region *region = NULL;
	unsigned long i, here = 0;

	for (i = 0; i < nr; i++) {
		if (!ua[i])
			continue;
		if (!is_in(region, ua[i])) {
			if (region)
				mm_iommu_drop(region, here);
			region = mm_iommu_find(registry, ua[i]);
			here = 0;
		}
		here++;
	}
	if (region)
		mm_iommu_drop(region, here);
}

/* Uncount what was counted in the region, but turned out not to be in there. */
static void leave_region(struct tce_walk *w, unsigned long i)
{
	unsigned long used = i - w->nr_unmapped - w->held_from;

	if (!w->region || !w->hold)
		return;

	if ((w->perm & TCE_PCI_WRITE) && !READ_ONCE(w->region->written))
		WRITE_ONCE(w->region->written, true);
	if (used < w->held)
		mm_iommu_drop(w->region, w->held - used);
}

/* Go to another region, counting all that is left, for it may be in there. */
static bool enter_region(struct tce_walk *w, unsigned long i, unsigned long ua)
{
	leave_region(w, i);
	w->region = mm_iommu_find(w->list->tbl->it_owner->registry, ua);
	w->perm = 0;
	w->held = w->list->nr - i;
	w->held_from = i - w->nr_unmapped;
	if (w->region && w->hold && !mm_iommu_hold(w->region, w->held))
		w->region = NULL;

	return w->region;
}

/* The one IOMMU page at @ua, which is larger than a page. */
static bool find_large(struct tce_walk *w, unsigned long ua,
		       struct mm_iommu_run *run)
{
	unsigned int nr_runs = 1, shift = w->list->tbl->it_page_shift;
	struct tce_run whole;

	/* What is counted was seen to be whole; to see that may take long. */
	if (!w->hold)
		whole.hpa = mm_iommu_hpa(w->region, ua);
	else if (ua & ((1UL << shift) - 1) ||
		 mm_iommu_end(w->region) - ua < 1UL << shift ||
		 mm_iommu_translate(w->region, ua, shift, 1, &whole,
				    &nr_runs) != 1)
		return false;

	run->ua = ua;
	run->bytes = PAGE_SIZE;
	run->page = NULL;
	run->hpa = whole.hpa;
	run->word = NULL;
	run->last = NULL;

	return true;
}

/**
 * tce_walk_find - find the memory around an address
 * @w: the walk
 * @i: which entry of the list
 * @ua: its address, with or without permissions
 * @run: where that memory goes
 *
 * Context: As tce_list_hold().
 * Return: false if it is not registered, or can't be an IOMMU page.
 */
bool tce_walk_find(struct tce_walk *w, unsigned long i, unsigned long ua,
		   struct mm_iommu_run *run)
{
	if (!is_in(w->region, ua) && !enter_region(w, i, ua))
		return false;

	if (w->list->tbl->it_page_shift > PAGE_SHIFT)
		return find_large(w, ua & ~TCE_DENSE_MAPPED, run);

	mm_iommu_find_run(w->region, ua, run);

	return true;
}
EXPORT_SYMBOL_GPL(tce_walk_find);

/**
 * tce_walk_end - be done with counting and translating a list
 * @w: the walk
 * @i: how many entries could be translated
 *
 * Context: As tce_list_hold().
 * Return: true if it is all of them; otherwise nothing is counted any more.
 */
bool tce_walk_end(struct tce_walk *w, unsigned long i)
{
	struct tce_list *list = w->list;

	leave_region(w, i);
	list->nr_mapped = i - w->nr_unmapped;
	if (i == list->nr)
		return true;

	if (w->hold)
		uncount(list->tbl->it_owner->registry, list->ua, i);

	return false;
}
EXPORT_SYMBOL_GPL(tce_walk_end);

static bool translate(struct tce_list *list, bool hold)
{
	struct mm_iommu_run run = { 0 };
	struct tce_walk w;
	unsigned long i;

	tce_walk_begin(&w, list, hold);
	for (i = 0; i < list->nr; i++) {
		u64 entry = list->ua[i];

		list->tce[i] = 0;
		if (!entry) {
			w.nr_unmapped++;
			continue;
		}
		if (entry - run.ua >= run.bytes &&
		    !mm_iommu_run_ahead(w.region, entry, &run) &&
		    !tce_walk_find(&w, i, entry, &run))
			break;
		w.perm |= entry;
		list->tce[i] = mm_iommu_run_hpa(&run, entry);
	}

	return tce_walk_end(&w, i);
}

/**
 * tce_list_hold - count and translate entries that are about to be mapped
 * @list: the list; @nr_mapped and @tce are filled in
 *
 * Context: Real mode, or in rcu_read_lock().
 * Return: true; false, with nothing counted, if any of it is not registered, or
 *	   an IOMMU page of it is not contiguous.
 */
bool tce_list_hold(struct tce_list *list)
{
	return translate(list, true);
}
EXPORT_SYMBOL_GPL(tce_list_hold);

/**
 * tce_list_translate - translate entries that are counted already
 * @list: the list; @nr_mapped and @tce are filled in
 *
 * Context: In rcu_read_lock(). Cannot fail.
 */
void tce_list_translate(struct tce_list *list)
{
	translate(list, false);
}
EXPORT_SYMBOL_GPL(tce_list_translate);

/**
 * tce_list_release - uncount entries that were counted, but not mapped
 * @list: the list
 *
 * Context: As tce_list_hold().
 */
void tce_list_release(const struct tce_list *list)
{
	uncount(list->tbl->it_owner->registry, list->ua, list->nr);
}
EXPORT_SYMBOL_GPL(tce_list_release);

/* Is a list mapped to consecutive addresses, with the same permissions? */
static bool is_run(const struct tce_list *list)
{
	unsigned long step = 1UL << list->tbl->it_page_shift, i;

	for (i = 1; i < list->nr; i++) {
		if (list->ua[i] != list->ua[i - 1] + step)
			return false;
	}

	return true;
}

/*
 * Have a word that says what the list does, once it is in there. False if that
 * takes an array, and there is none.
 */
static bool make_room(struct tce_try *try, const struct tce_list *list,
		      const struct tce_piece *piece, struct tce_dense **spare)
{
	struct tce_view *view = &try->owner->view;

	if (tce_chunk_is_dense(try->value))
		return true;

	if (list->nr_mapped == list->nr && is_run(list) &&
	    !tce_chunk_map_needs_dense(view, try->value, piece))
		return true;

	if (!spare || !*spare)
		return false;

	try->value = tce_chunk_to_dense(view, try->value, spare);

	return true;
}

/* The hypervisor refused an entry: have all of the list unmapped. */
static void clear_list(struct tce_try *try, const struct tce_list *list,
		       struct tce_dense **spare)
{
	unsigned int first = list->entry - try->chunk_entry;
	unsigned long was;
	u64 *slot;

	if (!tce_chunk_is_dense(try->value))
		try->value = tce_chunk_to_dense(&try->owner->view, try->value,
						spare);
	slot = tce_chunk_dense(try->value)->ua + first;
	try->tbl->it_ops->clear_run(try->tbl, list->entry, list->nr);
	note_changed(try, list->entry, list->nr);
	was = note_gone_dense(try, slot, list->nr);
	memset64(slot, 0, list->nr);
	try->value = tce_chunk_add_used(try->value, -was);
	flush(try);
	tce_list_release(list);
}

/* Enter a list in a dense chunk. */
static void commit_dense(struct tce_try *try, const struct tce_list *list)
{
	u64 *slot = tce_chunk_dense(try->value)->ua + list->entry -
		    try->chunk_entry;
	unsigned long was = note_gone_dense(try, slot, list->nr);

	tce_copy(slot, list->ua, list->nr);
	try->value = tce_chunk_add_used(try->value, list->nr_mapped - was);
}

static __always_inline int commit(struct tce_try *try,
				  const struct tce_list *list,
				  struct tce_dense **spare)
{
	struct tce_view *view = &try->owner->view;
	struct tce_piece piece = {
		.first	= list->entry - try->chunk_entry,
		.nr	= list->nr,
		.ua	= list->ua[0] & ~TCE_DENSE_MAPPED,
	};
	int ret;

	if (!list->nr_mapped &&
	    !tce_chunk_unmap_needs_dense(try->value, piece.first,
					 piece.first + piece.nr - 1)) {
		tce_try_unmap(try, list->entry, list->nr);
		return 0;
	}

	if (!try->word || !make_room(try, list, &piece, spare))
		return -ENOMEM;

	ret = try->tbl->it_ops->set_list(try->tbl, list->entry, list->tce,
					 list->nr);
	if (ret)
		return ret;

	note_changed(try, list->entry, list->nr);
	if (tce_chunk_is_dense(try->value)) {
		commit_dense(try, list);
	} else {
		note_gone(try, piece.first, piece.first + piece.nr - 1);
		try->value = tce_chunk_map(view, try->value, &piece, NULL);
	}

	return 0;
}

/**
 * tce_list_commit - write a list that was counted and translated
 * @try: the operation, begun for a chunk that all of the list is in
 * @list: the list; its counts are used up, but for -ENOMEM
 * @spare: an array for the chunk, if it gets dense; *@spare is NULL then
 *
 * Context: As tce_try_begin().
 * Return: 0; -ENOMEM, with nothing changed, if tce_grow() was not called for all
 *	   of it; -EIO, with all of it unmapped, if the hypervisor refused it.
 */
int tce_list_commit(struct tce_try *try, const struct tce_list *list,
		    struct tce_dense **spare)
{
	int ret = commit(try, list, spare);

	if (ret == -EIO)
		clear_list(try, list, spare);

	return ret;
}
EXPORT_SYMBOL_GPL(tce_list_commit);

/* Write a list that was counted; false, with nothing changed, if it can't be. */
static bool try_list(const struct tce_list *list, bool real_mode)
{
	struct tce_try try __uninitialized;
	bool ok;

	if (begin(&try, list->tbl, list->entry, real_mode))
		return false;

	ok = !commit(&try, list, NULL);
	tce_try_end(&try);

	return ok;
}

/**
 * tce_try_list - write a list that was counted, if nothing is in the way
 * @list: the list
 * @real_mode: in real mode
 *
 * Context: Real mode, or in rcu_read_lock() without preemption.
 * Return: false, with nothing changed and nothing counted any more, if it can't
 *	   be done this way: the table or the view would have to grow, the list
 *	   is in several chunks, or its chunk is locked.
 */
bool tce_try_list(const struct tce_list *list, bool real_mode)
{
	struct iommu_table *tbl = list->tbl;

	/* A hypervisor may refuse. */
	if (tbl->it_ops->is_grown &&
	    chunk_of(tbl, list->entry + list->nr - 1) ==
	    chunk_of(tbl, list->entry) && try_list(list, real_mode))
		return true;

	tce_list_release(list);

	return false;
}
EXPORT_SYMBOL_GPL(tce_try_list);

/*
 * Map a counted entry to @ua, which as a TCE is @tce; its chunk is locked. Says
 * what it was mapped to, 0 if it was not, and kills it. False, with nothing
 * changed, if that takes memory.
 */
static __always_inline bool map_one(struct iommu_table *tbl,
				    unsigned long entry, unsigned long *value,
				    u64 ua, u64 tce, bool real_mode,
				    unsigned long *old)
{
	const struct iommu_table_ops *ops = tbl->it_ops;
	unsigned int i = index_in_chunk(tbl, entry);
	unsigned long new = *value;
	u64 *slot = NULL;

	if (tce_chunk_is_dense(new)) {
		slot = &tce_chunk_dense(new)->ua[i];
		*old = *slot;
		new = tce_chunk_add_used(new, !*old);
	} else if (!tce_chunk_run_one(&tbl->it_owner->view, &new, i,
				      ua & ~TCE_DENSE_MAPPED, old)) {
		return false;
	}

	if (ops->set_list(tbl, entry, &tce, 1))
		return false;

	if (slot)
		*slot = ua;
	*value = new;
	if (real_mode)
		ops->tce_kill_rm(tbl, entry, 1);
	else if (ops->tce_kill)
		ops->tce_kill(tbl, entry, 1);

	return true;
}

/* As begin() and try_list(), for a counted entry. */
static __always_inline bool try_one(struct iommu_table *tbl,
				    unsigned long entry, u64 ua, u64 tce,
				    bool real_mode, unsigned long *old)
{
	struct tce_owner *owner = tbl->it_owner;
	unsigned long *word, value;
	bool ok = false;

	word = tce_view_word(&owner->view, chunk_of(tbl, entry));
	if (!word || !tce_chunk_trylock(word, &value))
		return false;

	if (!value)
		smp_mb(); /* with the one in tce_owner_close() */
	if (!READ_ONCE(owner->closed))
		ok = map_one(tbl, entry, &value, ua, tce, real_mode, old);
	tce_chunk_release(word, value);

	return ok;
}

/**
 * tce_try_one - map one entry, if nothing is in the way
 * @tbl: the table, of an owner with registered memory
 * @entry: the entry, in the table
 * @ua: userspace address, aligned to an IOMMU page, with permission bits
 * @real_mode: in real mode
 *
 * What tce_list_hold() and tce_try_list() do, without detours.
 *
 * Context: Real mode, or in rcu_read_lock() without preemption.
 * Return: as tce_try_list(), and also false if memory is not registered.
 */
bool tce_try_one(struct iommu_table *tbl, unsigned long entry, u64 ua,
		 bool real_mode)
{
	const struct iommu_table_ops *ops = tbl->it_ops;
	const struct mm_iommu *registry = tbl->it_owner->registry;
	struct mm_iommu_region *region;
	unsigned long old, tce;

	/* A hypervisor may refuse, and large pages may not be contiguous. */
	if (!ops->is_grown || tbl->it_page_shift > PAGE_SHIFT ||
	    (real_mode && !ops->tce_kill_rm))
		return false;

	region = mm_iommu_find(registry, ua);
	if (!region || !mm_iommu_hold(region, 1))
		return false;

	if ((ua & TCE_PCI_WRITE) && !READ_ONCE(region->written))
		WRITE_ONCE(region->written, true);
	tce = mm_iommu_hpa(region, ua);
	if (!try_one(tbl, entry, ua, tce, real_mode, &old)) {
		mm_iommu_drop(region, 1);
		return false;
	}

	/* Killed: what it was mapped to can be uncounted. */
	if (!old)
		return true;
	if (!is_in(region, old))
		region = mm_iommu_find(registry, old);
	mm_iommu_drop(region, 1);

	return true;
}
EXPORT_SYMBOL_GPL(tce_try_one);

/**
 * tce_chunk_left - how many entries from one on are in its chunk
 * @tbl: the table
 * @entry: the entry
 *
 * Context: Any.
 * Return: how many, as if the table did not end.
 */
unsigned long tce_chunk_left(const struct iommu_table *tbl,
			     unsigned long entry)
{
	return TCE_CHUNK_ENTRIES - index_in_chunk(tbl, entry);
}
EXPORT_SYMBOL_GPL(tce_chunk_left);

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
