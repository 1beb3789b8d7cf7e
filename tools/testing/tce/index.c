// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes the index of registered regions against an array that says for each
 * cell of the address space which range it belongs to.
 *
 * A reader is played by a copy of the index's root, taken at some time and
 * looked up in at any time up to the next grace period.
 */

#include <linux/slab.h>
#include <linux/string.h>

#include "../../../arch/powerpc/mm/book3s64/mm_iommu_index.h"
#include "fuzz.h"

#define NR_CELLS	0x10000UL
#define MAX_RANGES	8000

struct range {
	unsigned long first;	/* cell */
	unsigned long end;	/* cell after it */
};

struct model {
	u32 item[NR_CELLS];	/* odd, or 0 where there is nothing */
	unsigned int nr;
	struct range range[MAX_RANGES];	/* in no order */
};

static struct mm_iommu_index tested, reader;
static struct model model, seen;
static u32 last_item;
static unsigned int cell_shift;

void mm_iommu_free_deferred(struct rcu_head *head)
{
	call_rcu(head, (void (*)(struct rcu_head *))kfree);
}

static unsigned long model_item(unsigned long addr)
{
	return addr >> cell_shift < NR_CELLS ? model.item[addr >> cell_shift] :
					       0;
}

/* Is there anything from address @start to before @end? */
static bool model_overlaps(unsigned long start, unsigned long end)
{
	unsigned long cell = start >> cell_shift;
	unsigned long last = (end - 1) >> cell_shift;

	for (; cell <= last && cell < NR_CELLS; cell++) {
		if (model.item[cell])
			return true;
	}

	return false;
}

static void check_address(unsigned long addr)
{
	require((unsigned long)mm_iommu_index_find(&tested, addr) ==
		model_item(addr));
}

static void check_around(const struct range *range)
{
	check_address((range->first << cell_shift) - 1);
	check_address(range->first << cell_shift);
	check_address((range->end << cell_shift) - 1);
	check_address(range->end << cell_shift);
}

static void check_overlaps(unsigned long start, unsigned long end)
{
	require(mm_iommu_index_overlaps(&tested, start, end) ==
		model_overlaps(start, end));
}

/* Every range is come by once, in ascending order. */
static void check_walk(void)
{
	unsigned long cell = 0, item, nr = 0;

	while ((item = (unsigned long)mm_iommu_index_next(&tested, cell <<
							  cell_shift))) {
		while (cell < NR_CELLS && !model.item[cell])
			cell++;
		require(cell < NR_CELLS && model.item[cell] == item);
		while (cell < NR_CELLS && model.item[cell] == item)
			cell++;
		nr++;
	}
	require(nr == model.nr);
}

static void check_everything(void)
{
	unsigned long i;

	check_walk();
	for (i = 0; i < model.nr; i++)
		check_around(&model.range[i]);
}

/* Ranges that were there all the time are found; nothing freed is touched. */
static void reader_leaves(void)
{
	unsigned int i;

	for (i = 0; i < seen.nr; i++) {
		unsigned long cell = seen.range[i].first, item;

		item = (unsigned long)mm_iommu_index_find(&reader,
							  cell << cell_shift);
		if (model.item[cell] == seen.item[cell])
			require(item == seen.item[cell]);
	}
	seen.nr = 0;
	reader.root = NULL;
	grace_period();
}

static void reader_enters(void)
{
	reader_leaves();
	reader = tested;
	seen = model;
}

static void fill(const struct range *range, u32 item)
{
	unsigned long cell;

	for (cell = range->first; cell < range->end; cell++)
		model.item[cell] = item;
}

/* Nothing is allocated while the index is changed. */
static int try_insert(struct mm_iommu_spare *spare, unsigned long start,
		      unsigned long end, u32 item)
{
	unsigned long was = world.nr_asked;
	int ret;

	ret = mm_iommu_index_insert(&tested, spare, start, end,
				    (void *)(unsigned long)item);
	require(world.nr_asked == was);

	return ret;
}

static void insert(unsigned long first, unsigned long nr)
{
	struct range range = { first, min(first + nr, NR_CELLS - 1) };
	unsigned long start = first << cell_shift;
	unsigned long end = range.end << cell_shift;
	unsigned int was = world.nr_failed;
	struct mm_iommu_spare spare = {};
	int ret;

	if (first >= range.end || model.nr == MAX_RANGES)
		return;
	check_overlaps(start, end);
	if (model_overlaps(start, end))
		return;

	last_item += 2;
	do {
		ret = mm_iommu_index_prepare(&spare) ?:
		      try_insert(&spare, start, end, last_item);
	} while (ret == -EAGAIN);
	mm_iommu_index_forget(&spare);
	require(ret == (world.nr_failed > was ? -ENOMEM : 0));
	if (!ret) {
		model.range[model.nr++] = range;
		fill(&range, last_item);
	}
	check_around(&range);
}

/* Giving up takes no memory, and leaves none behind that no range needs. */
static void remove_nth(unsigned int i)
{
	unsigned long was = world.nr_asked;
	struct range range = model.range[i];

	mm_iommu_index_remove(&tested, range.first << cell_shift);
	require(world.nr_asked == was);
	require(!tested.root == (model.nr == 1));
	model.range[i] = model.range[--model.nr];
	fill(&range, 0);
	check_around(&range);
}

static void insert_one(struct input *in)
{
	unsigned long first = take(in, 2), nr = take(in, 1);

	insert(first, nr < 0xf0 ? nr : (nr & 15) << 8);
}

/* Enough for some leaves; now and then thousands. */
static unsigned long take_many(struct input *in)
{
	return take(in, 1) * (take(in, 1) % 32 == 31 ? 16 : 1);
}

/* Many in a row: upwards, downwards or all over the place. */
static void insert_many(struct input *in)
{
	unsigned long first = take(in, 2), nr = take_many(in), i, at;
	unsigned int stride = 1 + take(in, 1) % 8, order = take(in, 1) % 3;
	unsigned long cells = 1 + take(in, 1) % stride;

	for (i = 0; i < nr; i++) {
		at = order == 0 ? i : order == 1 ? nr - i : i * 997 % nr;
		insert((first + at * stride) % NR_CELLS, cells);
	}
}

/* All that begin in some cells: whole leaves. */
static void remove_stretch(unsigned long first, unsigned long nr)
{
	unsigned int i = model.nr;

	while (i--) {
		if (model.range[i].first - first < nr)
			remove_nth(i);
	}
}

static void remove_many(struct input *in)
{
	unsigned int from = take(in, 2), step = take(in, 1) % 4;
	unsigned long nr = take_many(in);

	if (step == 3)
		return remove_stretch(from, nr);
	for (; nr && model.nr; nr--, from += step)
		remove_nth(from % model.nr);
}

static void look_up(struct input *in)
{
	unsigned long a = take(in, 8), b = take(in, 8);

	/* Where ranges are, more often than not. */
	if (a & 1) {
		a %= NR_CELLS << cell_shift ?: -1;
		b = a + (1UL << cell_shift) * (b % 16) + b % 3;
	}
	check_address(a);
	check_address(b);
	if (a != b)
		check_overlaps(min(a, b), max(a, b));
}

static void one_step(struct input *in)
{
	switch (take(in, 1) % 10) {
	case 0 ... 2:
		return insert_one(in);
	case 3 ... 4:
		if (model.nr)
			remove_nth(take(in, 2) % model.nr);
		return;
	case 5:
		return insert_many(in);
	case 6:
		return remove_many(in);
	case 7:
		world.fail_in = take(in, 1) % 8;
		return;
	case 8:
		return take(in, 1) & 1 ? reader_enters() : reader_leaves();
	default:
		return look_up(in);
	}
}

void fuzz_one(struct input *in)
{
	unsigned int steps = 0;

	memset(&tested, 0, sizeof(tested));
	memset(&model, 0, sizeof(model));
	last_item = 1;
	cell_shift = take(in, 1) % 49;

	while (in->size && steps++ < 100)
		one_step(in);

	check_everything();
	while (model.nr > take(in, 1) % 2)
		remove_nth(model.nr / 2);
	reader_leaves();
	mm_iommu_index_destroy(&tested);
	require(!tested.root);
}
