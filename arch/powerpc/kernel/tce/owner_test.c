// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * KUnit tests of the order in which owned entries change: clear, kill,
 * uncount.
 *
 * The table is an array, and the PHB one that forgets nothing by itself: what
 * an entry was before it changed can be used by devices until it is killed. For
 * each that can be used, now or still, an entry of its region has to be
 * counted, or its page pinned; and nothing is left to be killed when an
 * operation ends.
 */

#include <kunit/test.h>
#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/preempt.h>
#include <linux/prandom.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>

#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/tce.h>
#include <asm/tce_owner.h>

#include "list.h"
#include "tce.h"
#include "view.h"

#define RW		(TCE_PCI_READ | TCE_PCI_WRITE)
#define NR_ENTRIES	(4 * TCE_CHUNK_ENTRIES)
#define NR_REGIONS	2
#define REGION_BYTES	SZ_256K
#define REGION_PAGES	(REGION_BYTES >> PAGE_SHIFT)
#define REGION_ENTRIES	(REGION_BYTES >> IOMMU_PAGE_SHIFT_4K)
#define NR_STEPS	4000

/**
 * struct owner_test - a table, and what a PHB may know of it
 * @tbl: the table
 * @rnd: chooses what is done
 * @ua: userspace address of all memory
 * @region: registered parts of that; NULL if the table pins what it maps
 * @hpa: physical address of each page
 * @tce: entries
 * @stale: what was there before, until it is killed
 * @usable: entries and stale ones that point into each region
 * @nr_stale: how many are stale
 * @fault: what was seen to be wrong first; NULL if nothing
 * @refuse_set: a hypervisor refuses some entries that are to be written
 * @refuse_clear: it refuses some that are to be cleared
 * @refuse_get: it does not show entry 1
 * @kept: entry that it does not clear; 0 if there is none
 * @was: entries before a step
 * @list_ua: addresses of a list
 * @list_tce: TCEs of a list
 */
struct owner_test {
	struct iommu_table tbl;
	struct rnd_state rnd;
	unsigned long ua;
	struct mm_iommu_region *region[NR_REGIONS];
	u64 hpa[NR_REGIONS][REGION_PAGES];
	u64 tce[NR_ENTRIES];
	u64 stale[NR_ENTRIES];
	long usable[NR_REGIONS];
	unsigned long nr_stale;
	const char *fault;
	bool refuse_set;
	bool refuse_clear;
	bool refuse_get;
	unsigned long kept;
	u64 was[NR_ENTRIES];
	u64 list_ua[TCE_LIST_MAX];
	u64 list_tce[TCE_LIST_MAX];
};

static struct owner_test *of_table(const struct iommu_table *tbl)
{
	return container_of(tbl, struct owner_test, tbl);
}

static void note_fault(struct owner_test *t, const char *what)
{
	if (!t->fault)
		t->fault = what;
}

/* Which region a TCE points into. */
static unsigned int region_of(struct owner_test *t, u64 tce)
{
	unsigned int r, i;

	for (r = 0; r < NR_REGIONS; r++) {
		for (i = 0; i < REGION_PAGES; i++) {
			if (t->hpa[r][i] == (tce & PAGE_MASK))
				return r;
		}
	}
	note_fault(t, "a TCE of other memory");

	return 0;
}

static void note_usable(struct owner_test *t, u64 tce, int more)
{
	if (tce && t->region[0])
		t->usable[region_of(t, tce)] += more;
}

/* All that devices can use has to be counted, or pinned, at any time. */
static void check_usable(struct owner_test *t)
{
	unsigned int r;

	for (r = 0; r < NR_REGIONS && t->region[0]; r++) {
		if (atomic64_read(&t->region[r]->entries) < t->usable[r])
			note_fault(t, "uncounted before it was killed");
	}
}

static void write_entry(struct owner_test *t, unsigned long entry, u64 tce)
{
	u64 was = t->tce[entry];

	t->tce[entry] = tce;
	note_usable(t, tce, 1);
	if (!was)
		return;
	if (t->stale[entry])
		note_usable(t, was, -1);	/* it knows an older one */
	else
		t->nr_stale++;
	t->stale[entry] = t->stale[entry] ?: was;
}

static u32 below(struct owner_test *t, u32 end)
{
	return prandom_u32_state(&t->rnd) % end;
}

/* Of about each fourth operation, some entry. */
static bool refuses(struct owner_test *t, bool armed, unsigned long nr)
{
	return armed && !below(t, 4 * nr);
}

static int test_set_runs(struct iommu_table *tbl, unsigned long entry,
			 const struct tce_run *runs, unsigned int nr_runs,
			 unsigned long perm)
{
	struct owner_test *t = of_table(tbl);
	unsigned long i;

	for (; nr_runs; nr_runs--, runs++) {
		for (i = 0; i < runs->entries; i++) {
			if (refuses(t, t->refuse_set, 64))
				return -EIO;
			write_entry(t, entry++, (runs->hpa + i * SZ_4K) | perm);
		}
	}
	check_usable(t);

	return 0;
}

static int test_set_list(struct iommu_table *tbl, unsigned long entry,
			 const u64 *tces, unsigned long nr)
{
	struct owner_test *t = of_table(tbl);
	unsigned long i;

	for (i = 0; i < nr; i++) {
		bool refused = refuses(t, t->refuse_set, nr);

		/* It does not tell what it did before it refused. */
		if (!refused || below(t, 2))
			write_entry(t, entry++, *tces++);
		if (refused)
			return -EIO;
	}
	check_usable(t);

	return 0;
}

static unsigned long test_clear_run(struct iommu_table *tbl,
				    unsigned long entry, unsigned long nr)
{
	struct owner_test *t = of_table(tbl);
	unsigned long i;

	for (i = 0; i < nr; i++) {
		if (refuses(t, t->refuse_clear, nr) ||
		    (t->kept && entry == t->kept))
			break;
		write_entry(t, entry++, 0);
	}
	check_usable(t);

	return i;
}

static bool test_is_grown(const struct iommu_table *tbl, unsigned long entry,
			  unsigned long nr)
{
	return true;
}

static void test_kill(struct iommu_table *tbl, unsigned long entry,
		      unsigned long nr)
{
	struct owner_test *t = of_table(tbl);

	if (entry >= NR_ENTRIES || nr > NR_ENTRIES - entry)
		return note_fault(t, "a kill of no entries of the table");

	check_usable(t);
	for (; nr; nr--, entry++) {
		u64 was = t->stale[entry];

		if (!was)
			continue;
		if (!t->region[0] &&
		    !folio_maybe_dma_pinned(page_folio(pfn_to_page(was >>
								   PAGE_SHIFT))))
			note_fault(t, "unpinned before it was killed");
		note_usable(t, was, -1);
		t->stale[entry] = 0;
		t->nr_stale--;
	}
}

static unsigned long test_get(struct iommu_table *tbl, long entry)
{
	struct owner_test *t = of_table(tbl);

	return t->refuse_get && entry == 1 ? TCE_UNREADABLE : t->tce[entry];
}

static unsigned long test_next_used(struct iommu_table *tbl,
				    unsigned long entry, unsigned long nr)
{
	for (; nr && !of_table(tbl)->tce[entry]; nr--)
		entry++;

	return entry;
}

static unsigned long test_allocated(const struct iommu_table *tbl)
{
	return 0;
}

static struct iommu_table_ops owner_test_ops = {
	.get		= test_get,
	.set_runs	= test_set_runs,
	.set_list	= test_set_list,
	.clear_range	= test_clear_run,
	.is_grown	= test_is_grown,
	.tce_kill	= test_kill,
	.tce_kill_rm	= test_kill,
	.next_used	= test_next_used,
	.allocated	= test_allocated,
};

/* A table of a hypervisor, which caches nothing that has to be killed. */
static struct iommu_table_ops refusing_test_ops = {
	.get		= test_get,
	.set_runs	= test_set_runs,
	.set_list	= test_set_list,
	.clear_range	= test_clear_run,
	.tce_kill	= test_kill,
	.next_used	= test_next_used,
	.may_refuse	= true,
};

static int owner_test_init(struct kunit *test)
{
	struct owner_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	test->priv = t;
	prandom_seed_state(&t->rnd, 815);
	t->tbl.it_size = NR_ENTRIES;
	t->tbl.it_page_shift = IOMMU_PAGE_SHIFT_4K;
	t->tbl.it_ops = &owner_test_ops;
	INIT_LIST_HEAD(&t->tbl.it_group_list);
	t->ua = kunit_vm_mmap(test, NULL, 0, NR_REGIONS * REGION_BYTES,
			      PROT_READ | PROT_WRITE,
			      MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_NE(test, 0, t->ua);

	return 0;
}

static void register_all(struct kunit *test)
{
	struct mm_iommu *registry = mm_iommu_registry(current->mm);
	struct owner_test *t = test->priv;
	unsigned int r, i;

	KUNIT_ASSERT_NOT_NULL(test, registry);
	for (r = 0; r < NR_REGIONS; r++) {
		unsigned long ua = t->ua + r * REGION_BYTES;

		KUNIT_ASSERT_EQ(test, 0,
				mm_iommu_register(registry, ua, REGION_PAGES,
						  &t->region[r]));
		for (i = 0; i < REGION_PAGES; i++)
			t->hpa[r][i] = mm_iommu_hpa(t->region[r],
						    ua + i * PAGE_SIZE);
	}
}

/* Nothing is stale, and what is counted is what there is. */
static void expect_end(struct kunit *test, const char *what)
{
	struct owner_test *t = test->priv;
	unsigned int r;

	KUNIT_ASSERT_NULL_MSG(test, t->fault, "%s: %s", what, t->fault);
	KUNIT_ASSERT_EQ_MSG(test, 0, t->nr_stale, "%s: not killed", what);
	for (r = 0; r < NR_REGIONS && t->region[0]; r++)
		KUNIT_ASSERT_EQ_MSG(test, t->usable[r],
				    atomic64_read(&t->region[r]->entries),
				    "%s: region %u", what, r);
}

static void close_all(struct kunit *test)
{
	struct owner_test *t = test->priv;
	unsigned int r;

	tce_owner_close(&t->tbl);
	expect_end(test, "closing");
	KUNIT_EXPECT_EQ(test, NR_ENTRIES,
			test_next_used(&t->tbl, 0, NR_ENTRIES));
	tce_owner_free(&t->tbl);
	for (r = 0; r < NR_REGIONS && t->region[0]; r++)
		KUNIT_EXPECT_EQ(test, 0, mm_iommu_unregister(t->region[r]));
}

/* A range, short ones more often, in which entries can be mapped to memory. */
static void random_range(struct owner_test *t, unsigned long *entry,
			 unsigned long *nr, unsigned long *ua)
{
	unsigned long most = NR_REGIONS * REGION_ENTRIES, first;

	*nr = 1 + below(t, below(t, 3) ? 16 : most);
	*entry = below(t, NR_ENTRIES - *nr + 1);
	first = below(t, most - *nr + 1);
	*ua = t->ua + first * SZ_4K;
}

static void random_list(struct owner_test *t, struct tce_list *list)
{
	unsigned long i, ua = t->ua;

	*list = (struct tce_list){
		.tbl	= &t->tbl,
		.page	= t->list_ua,
		.ua	= t->list_ua,
		.tce	= t->list_tce,
	};
	list->nr = 1 + below(t, below(t, 2) ? 8 : TCE_LIST_MAX);
	list->entry = below(t, NR_ENTRIES - list->nr + 1);
	for (i = 0; i < list->nr; i++) {
		if (!i || !below(t, 4))
			ua = t->ua + below(t, NR_REGIONS * REGION_ENTRIES) *
			     SZ_4K;
		t->list_ua[i] = below(t, 8) ? ua | RW : 0;
		if (ua + SZ_4K < t->ua + NR_REGIONS * REGION_BYTES)
			ua += SZ_4K;
	}
}

/* A list is written as a whole, or handed over with nothing counted. */
static int write_list_now(struct owner_test *t, struct tce_list *list,
			  bool real_mode)
{
	unsigned long nr = list->nr;
	int ret = tce_list_count_now(list);

	if (list->nr != nr)
		note_fault(t, "a list was cut");

	return ret ?: tce_list_write_now(list, real_mode);
}

/* One of the ways that hypercalls take when they wait for nothing. */
static bool try_something(struct owner_test *t)
{
	bool real_mode = below(t, 2);
	unsigned long entry, nr, ua;
	struct tce_list list;
	int ret = -EAGAIN;

	random_range(t, &entry, &nr, &ua);
	random_list(t, &list);
	nr = entries_in_chunk(&t->tbl, entry, nr);
	rcu_read_lock();
	preempt_disable();
	switch (below(t, 3)) {
	case 0:
		ret = tce_map_one_now(&t->tbl, entry, ua | RW, real_mode);
		break;
	case 1:
		ret = write_list_now(t, &list, real_mode);
		break;
	case 2:
		ret = tce_unmap_now(&t->tbl, entry, nr, real_mode);
		break;
	}
	preempt_enable();
	rcu_read_unlock();

	return !ret;
}

/* The way that hypercalls take when they wait. */
static int write_list(struct owner_test *t)
{
	struct tce_stash stash = {};
	struct tce_list list;
	int ret;

	random_list(t, &list);
	ret = tce_list_count(&list, &stash);
	if (!ret)
		ret = tce_list_write(&list, &stash);
	tce_stash_empty(&stash);

	return ret;
}

static void owner_kills_before_it_uncounts(struct kunit *test)
{
	struct owner_test *t = test->priv;
	unsigned int step, tried = 0;

	register_all(test);
	KUNIT_ASSERT_EQ(test, 0, tce_owner_take(&t->tbl, current->mm, true));
	for (step = 0; step < NR_STEPS; step++) {
		unsigned long entry, nr, ua;

		random_range(t, &entry, &nr, &ua);
		switch (below(t, 5)) {
		case 0:
			KUNIT_ASSERT_EQ(test, 0,
					tce_map(&t->tbl, entry, nr, ua, RW));
			expect_end(test, "map");
			break;
		case 1:
			KUNIT_ASSERT_EQ(test, 0,
					tce_unmap(&t->tbl, entry, nr));
			expect_end(test, "unmap");
			break;
		case 2:
			KUNIT_ASSERT_EQ(test, 0, write_list(t));
			expect_end(test, "a list");
			break;
		default:
			tried += try_something(t);
			expect_end(test, "the short way");
		}
		cond_resched();
	}
	/* Most of what can be done the short way is. */
	KUNIT_EXPECT_LT(test, NR_STEPS / 8, tried);
	KUNIT_ASSERT_EQ(test, 0, tce_map(&t->tbl, 0, REGION_ENTRIES, t->ua,
					 RW));
	close_all(test);
}

static void owner_kills_before_it_unpins(struct kunit *test)
{
	struct owner_test *t = test->priv;
	unsigned long nr = NR_REGIONS * REGION_PAGES, entry;

	KUNIT_ASSERT_EQ(test, 0, tce_owner_take(&t->tbl, current->mm, false));
	/* Each entry another page, which nothing else pins. */
	for (entry = 0; entry < nr; entry++)
		KUNIT_ASSERT_EQ(test, 0,
				tce_map(&t->tbl, entry, 1,
					t->ua + entry * PAGE_SIZE, RW));
	expect_end(test, "map");
	KUNIT_ASSERT_EQ(test, 0, tce_unmap(&t->tbl, 0, nr / 2));
	expect_end(test, "unmap");
	KUNIT_ASSERT_EQ(test, 0, tce_map(&t->tbl, nr - 1, 1, t->ua, RW));
	expect_end(test, "replace");
	close_all(test);
}

/*
 * The window goes to another owner as soon as it is closed: its entries are in
 * the same place. Without permissions, so that nothing is unpinned.
 */
static void owner_leaves_a_closed_window_alone(struct kunit *test)
{
	struct owner_test *t = test->priv;

	KUNIT_ASSERT_EQ(test, 0, tce_owner_take(&t->tbl, current->mm, false));
	KUNIT_ASSERT_EQ(test, 0, tce_map(&t->tbl, 0, 1, t->ua, RW));
	tce_owner_close(&t->tbl);
	expect_end(test, "closing");

	t->tce[0] = PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, -ENXIO, tce_unmap(&t->tbl, 0, 1));
	KUNIT_EXPECT_EQ(test, -ENXIO, tce_map(&t->tbl, 0, 1, t->ua, RW));
	KUNIT_EXPECT_EQ(test, PAGE_SIZE, t->tce[0]);
	t->tce[0] = 0;
	tce_owner_end_users(&t->tbl);
	tce_owner_free(&t->tbl);
}

/* Entries that are not of the step are as they were. */
static void expect_kept(struct kunit *test, unsigned long entry,
			unsigned long nr)
{
	struct owner_test *t = test->priv;
	unsigned long i;

	for (i = 0; i < NR_ENTRIES; i++) {
		if (i - entry >= nr && t->was[i] != t->tce[i])
			break;
	}
	KUNIT_ASSERT_EQ_MSG(test, NR_ENTRIES, i,
			    "an entry was changed that is not of %lu +%lu",
			    entry, nr);
}

static void refuse_step(struct kunit *test)
{
	struct owner_test *t = test->priv;
	unsigned long entry, nr, ua;
	struct tce_stash stash = {};
	struct tce_list list;
	int ret;

	memcpy(t->was, t->tce, sizeof(t->was));
	random_range(t, &entry, &nr, &ua);
	/* One entry goes a way of its own. */
	if (!below(t, 4))
		nr = 1;
	switch (below(t, 3)) {
	case 0:
		ret = tce_map(&t->tbl, entry, nr, ua, RW);
		break;
	case 1:
		ret = tce_unmap(&t->tbl, entry, nr);
		break;
	default:
		random_list(t, &list);
		entry = list.entry;
		nr = list.nr;
		ret = tce_list_count(&list, &stash);
		if (!ret)
			ret = tce_list_write(&list, &stash);
		tce_stash_empty(&stash);
	}
	KUNIT_ASSERT_TRUE(test, !ret || ret == -EIO);
	expect_kept(test, entry, nr);
	expect_end(test, "a refusal");
	cond_resched();
}

/* Clears succeed: what a hypervisor does not write is not counted either. */
static void owner_takes_refused_maps_back(struct kunit *test)
{
	struct owner_test *t = test->priv;
	unsigned int step;

	t->tbl.it_ops = &refusing_test_ops;
	register_all(test);
	KUNIT_ASSERT_EQ(test, 0, tce_owner_take(&t->tbl, current->mm, true));
	t->refuse_set = true;
	for (step = 0; step < NR_STEPS / 4; step++)
		refuse_step(test);
	t->refuse_set = false;
	close_all(test);
}

/* Entries that it does not clear stay mapped, counted and in the view. */
static void owner_keeps_what_is_not_cleared(struct kunit *test)
{
	struct owner_test *t = test->priv;
	unsigned int step;

	t->tbl.it_ops = &refusing_test_ops;
	register_all(test);
	KUNIT_ASSERT_EQ(test, 0, tce_owner_take(&t->tbl, current->mm, true));
	t->refuse_clear = true;
	for (step = 0; step < NR_STEPS / 4; step++)
		refuse_step(test);
	t->refuse_clear = false;
	close_all(test);
}

/* Unmap the last 64 of 128 entries, which are one run, and more behind them. */
static void unmap_in_part(struct kunit *test, unsigned long entry,
			  unsigned long more)
{
	struct owner_test *t = test->priv;
	unsigned long nr = 64 + more, i;

	KUNIT_ASSERT_EQ(test, 0, tce_map(&t->tbl, entry, 128, t->ua, RW));
	t->kept = entry + 100;
	KUNIT_EXPECT_EQ(test, -EIO, tce_unmap(&t->tbl, entry + 64, nr));
	for (i = 0; i < 128; i++)
		KUNIT_ASSERT_EQ_MSG(test, i < 64 || i >= 100,
				    !!t->tce[entry + i], "entry %lu", i);
	expect_end(test, "an unmap in part");
	t->kept = 0;
	KUNIT_EXPECT_EQ(test, 0, tce_unmap(&t->tbl, entry + 64, nr));
	expect_end(test, "the rest");
	KUNIT_EXPECT_EQ(test, 0, tce_unmap(&t->tbl, entry, 64));
}

/* Entries stay on both sides of a hole, though the unmap goes to their end. */
static void owner_is_left_a_hole(struct kunit *test)
{
	struct owner_test *t = test->priv;

	BUILD_BUG_ON(NR_REGIONS * REGION_ENTRIES < 128);
	t->tbl.it_ops = &refusing_test_ops;
	register_all(test);
	KUNIT_ASSERT_EQ(test, 0, tce_owner_take(&t->tbl, current->mm, true));
	unmap_in_part(test, TCE_CHUNK_ENTRIES, 0);
	unmap_in_part(test, TCE_CHUNK_ENTRIES - 128, 64);
	close_all(test);
}

static struct page *page_of(u64 tce)
{
	return pfn_to_page(tce >> PAGE_SHIFT);
}

/* The page of an entry that cannot be read stays pinned, and no other one. */
static void owner_keeps_what_is_not_shown(struct kunit *test)
{
	struct owner_test *t = test->priv;
	u64 tce[3];
	int i;

	t->tbl.it_ops = &refusing_test_ops;
	KUNIT_ASSERT_EQ(test, 0, tce_owner_take(&t->tbl, current->mm, false));
	for (i = 0; i < 3; i++) {
		KUNIT_ASSERT_EQ(test, 0, tce_map(&t->tbl, i, 1,
						 t->ua + i * PAGE_SIZE, RW));
		tce[i] = t->tce[i];
	}

	/* It is not replaced; what was written before it is taken back. */
	t->refuse_get = true;
	KUNIT_EXPECT_EQ(test, -EIO, tce_map(&t->tbl, 0, 3, t->ua + SZ_128K,
					    RW));
	KUNIT_EXPECT_EQ(test, 0, t->tce[0]);
	KUNIT_EXPECT_EQ(test, tce[1], t->tce[1]);
	KUNIT_EXPECT_EQ(test, tce[2], t->tce[2]);
	expect_end(test, "a map that is refused");

	KUNIT_EXPECT_EQ(test, -EIO, tce_unmap(&t->tbl, 0, 3));
	expect_end(test, "an unmap");
	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_EQ(test, 0, t->tce[i]);
		KUNIT_EXPECT_EQ(test, i == 1,
				folio_maybe_dma_pinned(page_folio(page_of(tce[i]))));
	}
	t->refuse_get = false;
	unpin_user_page(page_of(tce[1]));
	close_all(test);
}

/* Leave an array without entries in chunk 0. */
static void leave_unused_array(struct kunit *test)
{
	struct owner_test *t = test->priv;
	int ret;

	/* Two pieces with a hole between them take an array. */
	KUNIT_ASSERT_EQ(test, 0, tce_map(&t->tbl, 0, 1, t->ua, RW));
	KUNIT_ASSERT_EQ(test, 0, tce_map(&t->tbl, 2, 1, t->ua, RW));
	rcu_read_lock();
	preempt_disable();
	ret = tce_unmap_now(&t->tbl, 0, 3, false);
	preempt_enable();
	rcu_read_unlock();
	KUNIT_ASSERT_EQ(test, 0, ret);
	KUNIT_ASSERT_EQ(test, 1,
			atomic_long_read(&t->tbl.it_owner->view.nr_dense));
}

/* An operation that may free memory frees the array, whatever else it does. */
static void owner_gives_an_unused_array_back(struct kunit *test)
{
	struct owner_test *t = test->priv;
	atomic_long_t *nr_arrays;

	register_all(test);
	KUNIT_ASSERT_EQ(test, 0, tce_owner_take(&t->tbl, current->mm, true));
	nr_arrays = &t->tbl.it_owner->view.nr_dense;

	leave_unused_array(test);
	KUNIT_EXPECT_EQ(test, 0, tce_unmap(&t->tbl, 0, TCE_CHUNK_ENTRIES));
	KUNIT_EXPECT_EQ(test, 0, atomic_long_read(nr_arrays));
	/* One entry, which goes a way of its own */
	leave_unused_array(test);
	KUNIT_EXPECT_EQ(test, 0, tce_unmap(&t->tbl, 7, 1));
	KUNIT_EXPECT_EQ(test, 0, atomic_long_read(nr_arrays));
	/* What is mapped now takes none. */
	leave_unused_array(test);
	KUNIT_EXPECT_EQ(test, 0, tce_map(&t->tbl, 0, REGION_ENTRIES, t->ua,
					 RW));
	KUNIT_EXPECT_EQ(test, 0, atomic_long_read(nr_arrays));
	expect_end(test, "map");
	close_all(test);
}

/* A call of another thread. */
enum owner_call {
	UNMAP,
	UNMAP_UNINTERRUPTIBLE,
	UNMAP_STASHED,
	PUT_LIST,
	CLOSE,
};

/**
 * struct owner_thread - a call by another thread
 * @tbl: the table
 * @chunk: its first chunk
 * @nr_chunks: how many
 * @call: what it does to these, or to the table
 * @ret: what the call returned
 * @task: the thread, while it waits
 * @done: it has returned
 */
struct owner_thread {
	struct iommu_table *tbl;
	unsigned long chunk;
	unsigned long nr_chunks;
	enum owner_call call;
	int ret;
	struct task_struct *task;
	struct completion done;
};

/* A list that clears entries on both sides of the chunk's end. */
static int put_cleared_list(struct owner_thread *o)
{
	struct owner_test *t = of_table(o->tbl);
	const struct tce_list list = {
		.tbl	= o->tbl,
		.entry	= (o->chunk + 1) * TCE_CHUNK_ENTRIES - TCE_LIST_MAX / 2,
		.nr	= TCE_LIST_MAX,
		.page	= t->list_ua,
		.ua	= t->list_ua,
		.tce	= t->list_tce,
	};
	struct tce_stash stash = {};
	int ret;

	memset(t->list_ua, 0, sizeof(t->list_ua));
	ret = tce_list_count(&list, &stash);
	if (!ret)
		ret = tce_list_write(&list, &stash);
	tce_stash_empty(&stash);

	return ret;
}

static int unmap_stashed(struct iommu_table *tbl, unsigned long entry,
			 unsigned long nr)
{
	struct tce_stash stash = {};
	int ret = tce_unmap_stashed(tbl, entry, nr, &stash);

	tce_stash_empty(&stash);

	return ret;
}

static int owner_thread_fn(void *data)
{
	struct owner_thread *o = data;
	unsigned long entry = o->chunk * TCE_CHUNK_ENTRIES;
	unsigned long nr = o->nr_chunks * TCE_CHUNK_ENTRIES;

	allow_signal(SIGKILL);
	switch (o->call) {
	case UNMAP:
		o->ret = tce_unmap(o->tbl, entry, nr);
		break;
	case UNMAP_UNINTERRUPTIBLE:
		o->ret = tce_unmap_uninterruptible(o->tbl, entry, nr);
		break;
	case UNMAP_STASHED:
		o->ret = unmap_stashed(o->tbl, entry, nr);
		break;
	case PUT_LIST:
		o->ret = put_cleared_list(o);
		break;
	case CLOSE:
		tce_owner_close(o->tbl);
		break;
	}
	complete_all(&o->done);

	return 0;
}

static void start(struct kunit *test, struct owner_thread *o,
		  unsigned long chunk, unsigned long nr_chunks,
		  enum owner_call call)
{
	struct owner_test *t = test->priv;

	o->tbl = &t->tbl;
	o->chunk = chunk;
	o->nr_chunks = nr_chunks;
	o->call = call;
	o->ret = 0;
	init_completion(&o->done);
	o->task = kthread_run(owner_thread_fn, o, "tce_owner_test");
	KUNIT_ASSERT_FALSE(test, IS_ERR(o->task));
}

static bool has_ended(struct owner_thread *o, unsigned long jiffies)
{
	return wait_for_completion_timeout(&o->done, jiffies);
}

static void owner_serves_ranges_in_order(struct kunit *test)
{
	struct owner_test *t = test->priv;
	struct owner_thread second, third, killed;
	struct tce_range first;

	KUNIT_ASSERT_EQ(test, 0, tce_owner_take(&t->tbl, current->mm, true));
	KUNIT_ASSERT_EQ(test, 0, tce_range_begin(&t->tbl, &first, 0,
						 2 * TCE_CHUNK_ENTRIES, 0));
	start(test, &second, 1, 2, UNMAP);
	KUNIT_EXPECT_FALSE(test, has_ended(&second, HZ / 10));
	/* Overlaps the one that waits only, and has come later. */
	start(test, &third, 2, 2, UNMAP);
	KUNIT_EXPECT_FALSE(test, has_ended(&third, HZ / 10));

	start(test, &killed, 0, 2, UNMAP);
	KUNIT_EXPECT_FALSE(test, has_ended(&killed, HZ / 10));
	send_sig(SIGKILL, killed.task, 1);
	wait_for_completion(&killed.done);
	KUNIT_EXPECT_EQ(test, -EINTR, killed.ret);

	tce_range_end(&t->tbl, &first);
	wait_for_completion(&second.done);
	wait_for_completion(&third.done);
	KUNIT_EXPECT_EQ(test, 0, second.ret);
	KUNIT_EXPECT_EQ(test, 0, third.ret);
	tce_owner_close(&t->tbl);
	tce_owner_free(&t->tbl);
}

/* Map the entries on both sides of the border between the first two chunks. */
static void map_border(struct kunit *test, unsigned long nr)
{
	struct owner_test *t = test->priv;
	unsigned long half = nr / 2;

	KUNIT_ASSERT_GE(test, (unsigned long)REGION_ENTRIES, half);
	KUNIT_ASSERT_EQ(test, 0, tce_map(&t->tbl, TCE_CHUNK_ENTRIES - half,
					 half, t->ua, RW));
	KUNIT_ASSERT_EQ(test, 0, tce_map(&t->tbl, TCE_CHUNK_ENTRIES, half,
					 t->ua, RW));
}

/* The task is killed as it waits; nothing is left of what it had to unmap. */
static void owner_finishes_though_killed(struct kunit *test)
{
	static const enum owner_call calls[] = {
		UNMAP_UNINTERRUPTIBLE, UNMAP_STASHED, PUT_LIST,
	};
	struct owner_test *t = test->priv;
	struct owner_thread killed;
	struct tce_range first;
	unsigned int i;

	register_all(test);
	KUNIT_ASSERT_EQ(test, 0, tce_owner_take(&t->tbl, current->mm, true));
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		map_border(test, REGION_ENTRIES);
		KUNIT_ASSERT_EQ(test, 0,
				tce_range_begin(&t->tbl, &first, 0,
						2 * TCE_CHUNK_ENTRIES, 0));
		start(test, &killed, 0, 2, calls[i]);
		KUNIT_EXPECT_FALSE(test, has_ended(&killed, HZ / 10));
		send_sig(SIGKILL, killed.task, 1);
		KUNIT_EXPECT_FALSE(test, has_ended(&killed, HZ / 10));
		tce_range_end(&t->tbl, &first);
		wait_for_completion(&killed.done);
		KUNIT_EXPECT_EQ(test, 0, killed.ret);
		KUNIT_EXPECT_EQ(test, NR_ENTRIES,
				test_next_used(&t->tbl, 0, NR_ENTRIES));
		expect_end(test, "unmapping");
	}
	close_all(test);
}

static void owner_closes_before_those_that_wait(struct kunit *test)
{
	struct owner_test *t = test->priv;
	struct owner_thread waits, closes, late;
	struct tce_range first;

	KUNIT_ASSERT_EQ(test, 0, tce_owner_take(&t->tbl, current->mm, true));
	KUNIT_ASSERT_EQ(test, 0, tce_range_begin(&t->tbl, &first, 0,
						 2 * TCE_CHUNK_ENTRIES, 0));
	start(test, &waits, 0, 2, UNMAP);
	KUNIT_EXPECT_FALSE(test, has_ended(&waits, HZ / 10));
	start(test, &closes, 0, 0, CLOSE);
	/* Only the first one is under way, and only that is waited for. */
	wait_for_completion(&waits.done);
	KUNIT_EXPECT_EQ(test, -ENXIO, waits.ret);
	KUNIT_EXPECT_FALSE(test, has_ended(&closes, HZ / 10));
	start(test, &late, 0, 2, UNMAP);
	wait_for_completion(&late.done);
	KUNIT_EXPECT_EQ(test, -ENXIO, late.ret);

	tce_range_end(&t->tbl, &first);
	wait_for_completion(&closes.done);
	tce_owner_free(&t->tbl);
}

struct test_user {
	struct tce_user user;
	bool told;
};

static void tell_test_user(struct tce_user *user)
{
	container_of(user, struct test_user, user)->told = true;
}

/* Users let go when they like, so closing must not wait until they do. */
static void owner_closes_before_users_let_go(struct kunit *test)
{
	struct test_user early = { .user.close = tell_test_user };
	struct test_user late = { .user.close = tell_test_user };
	struct owner_test *t = test->priv;

	KUNIT_ASSERT_EQ(test, 0, tce_owner_take(&t->tbl, current->mm, true));
	KUNIT_ASSERT_EQ(test, 0, tce_user_add(&t->tbl, &early.user));
	tce_owner_close(&t->tbl);
	KUNIT_EXPECT_FALSE(test, early.told);
	KUNIT_EXPECT_EQ(test, -ENXIO,
			tce_unmap(&t->tbl, 0, 2 * TCE_CHUNK_ENTRIES));

	KUNIT_EXPECT_EQ(test, 0, tce_user_add(&t->tbl, &late.user));
	tce_owner_end_users(&t->tbl);
	KUNIT_EXPECT_TRUE(test, early.told);
	KUNIT_EXPECT_TRUE(test, late.told);
	KUNIT_EXPECT_FALSE(test, tce_user_del(&t->tbl, &late.user));
	KUNIT_EXPECT_EQ(test, -ENXIO, tce_user_add(&t->tbl, &late.user));
	tce_owner_free(&t->tbl);
}

static struct kunit_case owner_test_cases[] = {
	KUNIT_CASE(owner_kills_before_it_uncounts),
	KUNIT_CASE(owner_kills_before_it_unpins),
	KUNIT_CASE(owner_leaves_a_closed_window_alone),
	KUNIT_CASE(owner_takes_refused_maps_back),
	KUNIT_CASE(owner_keeps_what_is_not_cleared),
	KUNIT_CASE(owner_is_left_a_hole),
	KUNIT_CASE(owner_keeps_what_is_not_shown),
	KUNIT_CASE(owner_gives_an_unused_array_back),
	KUNIT_CASE(owner_serves_ranges_in_order),
	KUNIT_CASE(owner_finishes_though_killed),
	KUNIT_CASE(owner_closes_before_those_that_wait),
	KUNIT_CASE(owner_closes_before_users_let_go),
	{}
};

static struct kunit_suite owner_test_suite = {
	.name = "tce_owner",
	.init = owner_test_init,
	.test_cases = owner_test_cases,
};

kunit_test_suite(owner_test_suite);
