// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes registered memory against plain arrays of page frame numbers.
 *
 * The process is an array of page frame numbers, which changes as the fuzzer
 * likes: contiguous, fragmented, with holes, with pages that cannot be pinned.
 * A page frame knows how often it is pinned, and the process what is charged.
 */

#include <linux/list.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/paca.h>

#include "../../../arch/powerpc/mm/book3s64/mm_iommu_private.h"
#include "fuzz.h"

#define NR_FRAMES	(1UL << 18)
#define NR_PAGES	40000UL
#define NR_REGIONS	12
#define BASE_PAGE	0x1000UL
#define MAX_RUNS	64

/* Kinds of pages of the process, besides a frame number. */
#define NO_VMA		(~0U)
#define NO_ACCESS	(~0U - 1)

struct region {
	struct mm_iommu_region *region;	/* NULL: this one is free */
	unsigned long first;		/* page */
	unsigned long nr;
	unsigned int refs;
	unsigned long entries;
	bool written;
	u32 frame[NR_PAGES];
};

unsigned int fuzz_page_shift = 12;
unsigned int fuzz_cpu_features;

static struct page frames[NR_FRAMES];
static u32 process[NR_PAGES];
static struct region model[NR_REGIONS];
static struct mm_struct mm;
static unsigned long charged, limit, pinned;
/* Pages that were unpinned as dirty, and that had to be */
static unsigned long dirtied, to_be_dirtied;
static bool mmap_lock_held;
/* The work that is queued, if any is. */
static struct delayed_work *queued;
/* Entries are uncounted in real mode; the PACA says if that is being done. */
static bool real_mode;
struct paca_struct fuzz_paca;
/* How often it may be asked before there is a fatal signal; 0: there is none */
static unsigned int kill_in;
/* Whether there is one, since pages were pinned. */
static bool asked;
/* Of the region that is being registered: bytes before, and its runs so far */
static unsigned long bytes_before, runs_so_far;
static const struct page *last_pinned;

/* The world that registered memory is in */

/* Waits that a signal ends, if there is one. */
int mmap_read_lock_killable(struct mm_struct *mm)
{
	require(!mmap_lock_held && !mm->context.mm_iommu->lock.locked);
	if (kill_in == 1)
		return -EINTR;
	mmap_lock_held = true;

	return 0;
}

int mmap_write_lock_killable(struct mm_struct *mm)
{
	return mmap_read_lock_killable(mm);
}

void mmap_write_unlock(struct mm_struct *mm)
{
	mmap_read_unlock(mm);
}

void mmap_read_unlock(struct mm_struct *mm)
{
	require(mmap_lock_held);
	mmap_lock_held = false;
}

/* The mapping that ends above @addr. */
struct vm_area_struct *find_vma(struct mm_struct *mm, unsigned long addr)
{
	static struct vm_area_struct vma;
	unsigned long first, end;

	require(mmap_lock_held);
	first = addr >> PAGE_SHIFT;
	first = first < BASE_PAGE ? 0 : first - BASE_PAGE;
	while (first < NR_PAGES && process[first] == NO_VMA)
		first++;
	if (first >= NR_PAGES)
		return NULL;

	end = first;
	while (end < NR_PAGES && process[end] != NO_VMA)
		end++;
	while (first && process[first - 1] != NO_VMA)
		first--;
	vma.vm_start = (BASE_PAGE + first) << PAGE_SHIFT;
	vma.vm_end = (BASE_PAGE + end) << PAGE_SHIFT;

	return &vma;
}

int account_locked_vm(struct mm_struct *mm, unsigned long pages, bool inc)
{
	if (inc && pages > limit - charged)
		return -ENOMEM;
	require(inc || pages <= charged);
	charged += inc ? pages : -pages;

	return 0;
}

int __account_locked_vm(struct mm_struct *mm, unsigned long pages, bool inc,
			void *task, bool bypass_rlim)
{
	require(mmap_lock_held && !bypass_rlim);

	return account_locked_vm(mm, pages, inc);
}

bool fatal_signal_pending(void *task)
{
	asked = true;
	if (kill_in > 1)
		kill_in--;

	return kill_in == 1;
}

bool mod_delayed_work(void *wq, struct delayed_work *dwork, unsigned long delay)
{
	bool was_pending = dwork->pending;

	require(!fuzz_paca.kvm_hstate.in_guest && (!queued || queued == dwork));
	/* Or it could be put off for ever. */
	require(!was_pending || delay < dwork->delay);
	dwork->delay = delay;
	dwork->pending = true;
	queued = dwork;

	return was_pending;
}

bool queue_delayed_work(void *wq, struct delayed_work *dwork,
			unsigned long delay)
{
	return !dwork->pending && !mod_delayed_work(wq, dwork, delay);
}

struct page *pfn_to_page(unsigned long pfn)
{
	require(pfn < NR_FRAMES);

	return &frames[pfn];
}

unsigned long page_to_pfn(const struct page *page)
{
	return page - frames;
}

int pin_user_pages_fast(unsigned long start, int nr_pages,
			unsigned int gup_flags, struct page **pages)
{
	unsigned long page = (start >> PAGE_SHIFT) - BASE_PAGE;
	int i;

	require(nr_pages > 0);
	require(gup_flags == (FOLL_WRITE | FOLL_LONGTERM));
	require(charged >= pinned + nr_pages);
	require(asked && kill_in != 1);
	asked = false;
	/* Not more than what is pinned needs, a block and what it is read from. */
	require(world.nr_bytes - bytes_before <=
		16 * runs_so_far + 2 * 8 * MM_IOMMU_BLOCK_WORDS + 8192);

	/* Not always all at once. */
	nr_pages = min(nr_pages, 3000);
	for (i = 0; i < nr_pages; i++, page++) {
		if (page >= NR_PAGES || process[page] >= NO_ACCESS)
			break;
		pages[i] = pfn_to_page(process[page]);
		pages[i]->pins++;
		pinned++;
		runs_so_far += !last_pinned || pages[i] != last_pinned + 1;
		last_pinned = pages[i];
	}

	return i ?: -EFAULT;
}

void unpin_user_pages(struct page **pages, unsigned long nr_pages)
{
	unsigned long i;

	for (i = 0; i < nr_pages; i++)
		unpin_user_page_range_dirty_lock(pages[i], 1, false);
}

void unpin_user_page_range_dirty_lock(struct page *page, unsigned long nr_pages,
				      bool make_dirty)
{
	for (; nr_pages; nr_pages--, page++) {
		require(page < frames + NR_FRAMES && page->pins);
		page->pins--;
		pinned--;
		dirtied += make_dirty;
	}
}

/* The model */

static unsigned long model_charge(void)
{
	unsigned long sum = 0;
	unsigned int i;

	for (i = 0; i < NR_REGIONS; i++)
		sum += model[i].region ? model[i].nr : 0;

	return sum;
}

static void check_charge(void)
{
	unsigned long sum = model_charge();

	require(charged == sum);
	require(pinned == sum);
	require(dirtied == to_be_dirtied);
}

/* A region went: all of it gets dirty if devices could write to it. */
static void forget(struct region *slot)
{
	if (slot->written)
		to_be_dirtied += slot->nr;
	slot->region = NULL;
}

static struct region *region_of(unsigned long page)
{
	unsigned int i;

	for (i = 0; i < NR_REGIONS; i++) {
		if (model[i].region && page - model[i].first < model[i].nr)
			return &model[i];
	}

	return NULL;
}

static unsigned long address(unsigned long page)
{
	return (BASE_PAGE + page) << PAGE_SHIFT;
}

static void check_next(unsigned long page)
{
	struct mm_iommu_region *found, *expected = NULL;
	unsigned long best = NR_PAGES;
	unsigned int i;

	for (i = 0; i < NR_REGIONS; i++) {
		if (model[i].region && model[i].first >= page &&
		    model[i].first < best) {
			best = model[i].first;
			expected = model[i].region;
		}
	}

	found = mm_iommu_next(mm.context.mm_iommu, address(page));
	require(found == expected);
}

static void check_find(unsigned long page, unsigned long offset)
{
	struct mm_iommu_region *found;
	struct region *region = region_of(page);

	found = mm_iommu_find(mm.context.mm_iommu, address(page) + offset);
	require(found == (region ? region->region : NULL));
	check_next(page);
}

/* A region without references goes once it has no entries. */
static void model_reap(void)
{
	unsigned int i;

	for (i = 0; i < NR_REGIONS; i++) {
		if (model[i].region && !model[i].refs && !model[i].entries)
			forget(&model[i]);
	}
}

static bool model_accessible(unsigned long first, unsigned long nr, u32 not)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		if (first + i >= NR_PAGES || process[first + i] == not)
			return false;
	}

	return true;
}

static bool model_overlaps(unsigned long first, unsigned long nr)
{
	unsigned int i;

	for (i = 0; i < NR_REGIONS; i++) {
		if (model[i].region && first < model[i].first + model[i].nr &&
		    model[i].first < first + nr)
			return true;
	}

	return false;
}

/* The result of registering; with @failed, memory had run out somewhere. */
static bool is_right(int ret, unsigned long first, unsigned long nr,
		     bool failed)
{
	if (!nr)
		return ret == -EINVAL;
	if (model_overlaps(first, nr))
		return ret == -EINVAL;
	if (ret == -EINTR)
		return kill_in == 1;
	if (nr > limit - charged)
		return ret == -ENOMEM;
	if (!model_accessible(first, nr, NO_VMA))
		return ret == -EFAULT;
	if (failed)
		return ret == -ENOMEM || ret == -EFAULT || !ret;
	if (!model_accessible(first, nr, NO_ACCESS))
		return ret == -EFAULT;

	return !ret;
}

/* Steps */

static void do_register(struct input *in)
{
	unsigned long first = take_below(in, NR_PAGES), nr = take(in, 2);
	unsigned int was = world.nr_failed, kind = take(in, 1), i;
	struct mm_iommu_region *region = NULL;
	struct region *slot;
	int ret;

	/* One that is there already, more often than chance has it. */
	if (kind & 1 && model[kind % NR_REGIONS].region) {
		first = model[kind % NR_REGIONS].first;
		nr = model[kind % NR_REGIONS].nr;
	} else if (kind & 2) {
		nr &= 0xff;
	}

	if (kind >= 0xf8) {
		ret = mm_iommu_register(mm.context.mm_iommu,
					address(first) + 1 + kind, nr, &region);
		require(ret == -EINVAL);
		return;
	}

	bytes_before = world.nr_bytes;
	runs_so_far = 0;
	last_pinned = NULL;
	ret = mm_iommu_register(mm.context.mm_iommu, address(first), nr,
				&region);
	/* Of no pages it does nothing at all. */
	if (nr)
		model_reap();

	slot = region_of(first);
	if (slot && slot->first == first && slot->nr == nr) {
		require(!ret && region == slot->region);
		slot->refs++;
		kill_in = 0;
		return check_charge();
	}

	if (ret) {
		require(is_right(ret, first, nr, world.nr_failed > was));
		kill_in = 0;
		return check_charge();
	}
	kill_in = 0;

	require(!model_overlaps(first, nr) && nr && first + nr <= NR_PAGES);
	for (i = 0; i < NR_REGIONS && model[i].region; i++)
		;
	if (i == NR_REGIONS) {
		/* More than are kept track of. */
		require(!mm_iommu_unregister(region));
		return check_charge();
	}
	slot = &model[i];
	slot->region = region;
	slot->first = first;
	slot->nr = nr;
	slot->refs = 1;
	slot->entries = 0;
	slot->written = false;
	memcpy(slot->frame, &process[first], nr * sizeof(u32));
	for (i = 0; i < nr; i++)
		require(slot->frame[i] < NO_ACCESS);
	check_charge();
	check_find(first, 0);
	check_find(first + nr - 1, PAGE_SIZE - 1);
	check_find(first + nr, 0);
}

/* Giving up takes no memory. */
static void do_unregister(struct region *slot)
{
	unsigned long was = world.nr_asked;
	bool last = slot->refs == 1;
	int ret;

	if (!slot->refs)
		return;
	ret = mm_iommu_unregister(slot->region);
	require(world.nr_asked == was);
	require(ret == (last && slot->entries ? -EBUSY : 0));
	if (!ret && !--slot->refs)
		forget(slot);
	check_charge();
}

/* Work is queued for idle regions, unless nobody can reach them. */
static void check_idle(void)
{
	unsigned int i;

	for (i = 0; i < NR_REGIONS; i++)
		require(!model[i].region || model[i].refs || queued);
	require(mm.mm_count == 1 + !!queued);
}

static void do_let_go(struct region *slot)
{
	unsigned long was = world.nr_asked;

	if (!slot->refs)
		return;
	mm_iommu_let_go(slot->region);
	require(world.nr_asked == was);
	if (!--slot->refs && !slot->entries)
		forget(slot);
	check_charge();
	check_idle();
}

static void do_work(void)
{
	struct delayed_work *dwork = queued;

	if (!dwork)
		return;
	queued = NULL;
	dwork->pending = false;
	dwork->work.func(&dwork->work);
	model_reap();
	check_charge();
	check_idle();
}

static void do_reap(void)
{
	mm_iommu_reap(&mm);
	model_reap();
	check_charge();
}

/* Only what nobody uses any more is in the way of nobody. */
static void do_charge(unsigned long pages)
{
	int ret = mm_iommu_charge(&mm, pages);

	if (ret == -EINTR) {
		require(kill_in == 1);
		kill_in = 0;
	} else if (ret) {
		require(ret == -ENOMEM);
		model_reap();
		require(pages > limit - charged);
	} else {
		charged -= pages;
		/* Whether that was given up is seen by what is charged. */
		if (charged < model_charge())
			model_reap();
	}
	check_charge();
}

static void do_hold(struct region *slot, unsigned long nr)
{
	require(mm_iommu_count(slot->region, nr));
	slot->entries += nr;
}

static void do_drop(struct region *slot, unsigned long nr)
{
	nr = min(nr, slot->entries);
	require(mm_iommu_entries(slot->region) == slot->entries);
	fuzz_paca.kvm_hstate.in_guest = real_mode;
	mm_iommu_uncount(slot->region, nr);
	fuzz_paca.kvm_hstate.in_guest = false;
	slot->entries -= nr;
	check_idle();
}

/* Physical address of a byte of the region. */
static unsigned long model_hpa(const struct region *slot, unsigned long offset)
{
	return ((unsigned long)slot->frame[offset >> PAGE_SHIFT] <<
		PAGE_SHIFT) + offset_in_page(offset);
}

/* Is the IOMMU page at @offset in memory that is contiguous, and aligned? */
static bool model_is_whole(const struct region *slot, unsigned long offset,
			   unsigned int page_shift)
{
	unsigned long bytes = 1UL << page_shift, i;
	unsigned long hpa = model_hpa(slot, offset);

	if (hpa & (bytes - 1))
		return false;
	for (i = PAGE_SIZE; i < bytes; i += PAGE_SIZE) {
		if (model_hpa(slot, offset + i) != hpa + i)
			return false;
	}

	return true;
}

static void do_translate(const struct region *slot, struct input *in)
{
	unsigned int page_shift = 12 + take(in, 1) % 13, nr_runs, max, i;
	unsigned long start = address(slot->first), offset, nr, room, k;
	unsigned long end = start + (slot->nr << PAGE_SHIFT);
	struct tce_run runs[MAX_RUNS + 1] = { };
	unsigned long block_bytes = MM_IOMMU_BLOCK_WORDS << PAGE_SHIFT;
	unsigned long done = 0;
	long ret;

	start = ALIGN(start, 1UL << page_shift);
	room = start < end ? (end - start) >> page_shift : 0;
	if (!room)
		return;
	offset = take_below(in, room);
	nr = 1 + take_below(in, room - offset);
	offset = (offset << page_shift) + start - address(slot->first);
	max = 1 + take(in, 1) % MAX_RUNS;
	nr_runs = max;

	ret = mm_iommu_translate(slot->region, address(slot->first) + offset,
				 page_shift, nr, runs, &nr_runs);
	if (ret < 0) {
		require(ret == -EINVAL);
		for (k = 0; k < nr; k++) {
			if (!model_is_whole(slot, offset + (k << page_shift),
					    page_shift))
				return;
		}
		require(!"refused what is whole");
	}

	require(ret > 0 && ret <= nr && nr_runs && nr_runs <= max);
	/* All of it, all that fits, or all that one block says. */
	require(ret == nr || nr_runs == max ||
		!((offset + (ret << page_shift)) % block_bytes));
	for (i = 0; i < nr_runs; i++) {
		require(runs[i].entries);
		for (k = 0; k < runs[i].entries; k++, done++) {
			require(done < ret);
			require(model_is_whole(slot, offset, page_shift));
			require(runs[i].hpa + (k << page_shift) ==
				model_hpa(slot, offset));
			offset += 1UL << page_shift;
		}
	}
	require(done == ret);
	require(!runs[max].entries && !runs[max].hpa);
}

static void check_run(const struct region *slot, unsigned long offset,
		      const struct mm_iommu_extent *run)
{
	unsigned long start = run->ua - address(slot->first), i;

	require(start <= offset && offset - start < run->bytes);
	require(start + run->bytes <= slot->nr << PAGE_SHIFT);
	for (i = 0; i < run->bytes; i += PAGE_SIZE)
		require(model_hpa(slot, start + i) ==
			mm_iommu_extent_hpa(run, run->ua + i));
}

/* Addresses that ascend, and some that do not. */
static void do_find_runs(const struct region *slot, struct input *in)
{
	unsigned long bytes = slot->nr << PAGE_SHIFT, offset, ua;
	unsigned int steps = 1 + take(in, 1) % 8;
	struct mm_iommu_extent run, was;

	offset = take_below(in, bytes);
	ua = address(slot->first) + offset;
	mm_iommu_find_extent(slot->region, ua, &run);

	for (;;) {
		check_run(slot, offset, &run);
		require(mm_iommu_hpa(slot->region, ua) ==
			model_hpa(slot, offset));
		if (!--steps)
			return;

		offset = (offset + (take(in, 1) << PAGE_SHIFT)) % bytes;
		ua = address(slot->first) + offset;
		was = run;
		if (mm_iommu_extent_ahead(slot->region, ua, &run))
			continue;
		require(!memcmp(&was, &run, sizeof(run)));
		mm_iommu_find_extent(slot->region, ua, &run);
	}
}

/* Give the process other memory: what is registered keeps what it has. */
static void do_remap(struct input *in)
{
	unsigned long first = take_below(in, NR_PAGES);
	unsigned long nr = take_below(in, NR_PAGES - first) + 1, i;
	unsigned long frame = take_below(in, NR_FRAMES - NR_PAGES);
	unsigned int how = take(in, 1), period = 1 + take(in, 1);

	/* A stretch of huge pages. */
	if (how & 0x80)
		frame = ALIGN_DOWN(frame, 256UL) + (BASE_PAGE + first) % 256;

	for (i = 0; i < nr; i++) {
		switch (how & 7) {
		case 0 ... 2:
			process[first + i] = frame + i;
			break;
		case 3:
			process[first + i] = frame + nr - i;
			break;
		case 4: /* runs of @period pages, with a gap between */
			process[first + i] = frame + i / period * (period + 1) +
					     i % period;
			process[first + i] %= NR_FRAMES;
			break;
		case 5:
			process[first + i] = frame + i * 7919 % nr;
			break;
		case 6:
			if (i % period == 0)
				process[first + i] = NO_ACCESS;
			break;
		default:
			if (i % period == 0)
				process[first + i] = NO_VMA;
		}
	}
}

/* One that is there, if any is. */
static struct region *any_region(unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < NR_REGIONS; i++) {
		if (model[(nr + i) % NR_REGIONS].region)
			return &model[(nr + i) % NR_REGIONS];
	}

	return NULL;
}

static void one_step(struct input *in)
{
	unsigned int what = take(in, 1);
	struct region *slot = any_region(what >> 4);

	switch (what & 15) {
	case 0 ... 2:
		return do_register(in);
	case 3:
		return do_remap(in);
	case 4:
		limit = take(in, 3);
		limit = max(limit, charged);
		return;
	case 5:
		what = take(in, 1);
		if (what & 0x80)
			kill_in = 1 + (what & 7);
		else
			world.fail_in = what % 16;
		return;
	case 6:
		what = take(in, 1);
		if (what & 0x80)
			return do_charge(limit - charged + (what & 15));
		what %= 4;
		if (what & 2)
			real_mode = what & 1;
		return what ? do_work() : do_reap();
	case 7:
		grace_period();
		return check_find(take_below(in, NR_PAGES), take(in, 2) %
							    PAGE_SIZE);
	}

	if (!slot)
		return;
	switch (what & 15) {
	case 8:
		return do_unregister(slot);
	case 9:
		return do_let_go(slot);
	case 10:
		return do_hold(slot, 1 + take(in, 1));
	case 11:
		return do_drop(slot, 1 + take(in, 1));
	case 12:
		slot->region->written = true;
		slot->written = true;
		return;
	case 13:
		do_translate(slot, in);
		return do_find_runs(slot, in);
	default:
		return do_translate(slot, in);
	}
}

static void end_region(struct region *slot)
{
	if (!slot->region)
		return;
	do_drop(slot, slot->entries);
	while (slot->region && slot->refs)
		do_unregister(slot);
}

void fuzz_one(struct input *in)
{
	unsigned int i, steps = 0;

	i = take(in, 1);
	fuzz_page_shift = i & 1 ? 16 : 12;
	limit = NR_FRAMES;
	charged = 0;
	pinned = 0;
	dirtied = 0;
	to_be_dirtied = 0;
	queued = NULL;
	real_mode = false;
	kill_in = 0;
	mm.mm_count = 1;
	for (i = 0; i < NR_PAGES; i++)
		process[i] = 0x400 + i;
	for (i = 0; i < NR_REGIONS; i++)
		model[i].region = NULL;

	if (take(in, 1) % 16 == 1)
		world.fail_in = 1;
	require(mm_iommu_registry(&mm) || world.nr_failed);
	require(mm_iommu_registry(&mm));
	require(mm_iommu_registry(&mm) == mm.context.mm_iommu);

	while (in->size && steps++ < 60)
		one_step(in);

	for (i = 0; i < NR_REGIONS; i++)
		end_region(&model[i]);
	real_mode = false;
	do_reap();
	do_work();
	require(!queued);
	for (i = 0; i < NR_REGIONS; i++)
		require(!model[i].region);
	require(!charged && !pinned && dirtied == to_be_dirtied);
	mm_iommu_destroy(&mm);
	mm.context.mm_iommu = NULL;
}
