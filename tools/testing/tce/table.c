// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes TCE tables of IODA2: their shape against arithmetic that is done one
 * level at a time, their entries against a plain map of entry to TCE, and both
 * against a walk as the hardware does it.
 */

#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/tce.h>

#include "../../../arch/powerpc/platforms/powernv/pci-ioda-tce.h"
#include "fuzz.h"

#define PERMS		((unsigned long)(TCE_PCI_READ | TCE_PCI_WRITE))
#define MAX_LEVEL_BYTES	SZ_512K
#define MAX_ENTRIES	3000
#define MAP_SLOTS	(1UL << 17)

unsigned long pnv_ioda_parse_tce_sizes(struct pnv_phb *phb);

unsigned int fuzz_cpu_features;

static struct pnv_tce_geometry geo;
static struct iommu_table tbl;

/*
 * A map from 64-bit keys to values: hashed, never shrinking in a run, empty at
 * the start of the next by its generation.
 *
 * @slot: by hash, or one of those behind
 * @nr: how many are in use
 * @used: which ones
 */
struct map {
	struct {
		unsigned long key;
		unsigned long value;
		unsigned int generation;
	} slot[MAP_SLOTS];
	unsigned long nr;
	u32 used[MAP_SLOTS / 2];
};

static unsigned int generation;
static struct map tces;		/* index of an entry -> TCE */
static struct map tables;	/* level and what leads to it -> exists */

static unsigned long *map_slot(struct map *map, unsigned long key, bool add)
{
	unsigned long i = key * 0x9e3779b97f4a7c15UL >> 40;

	for (;; i++) {
		i %= MAP_SLOTS;
		if (map->slot[i].generation != generation) {
			if (!add)
				return NULL;
			map->slot[i].generation = generation;
			map->slot[i].key = key;
			map->slot[i].value = 0;
			require(map->nr < MAP_SLOTS / 2);
			map->used[map->nr++] = i;
		}
		if (map->slot[i].key == key)
			return &map->slot[i].value;
	}
}

static unsigned long map_get(struct map *map, unsigned long key)
{
	unsigned long *value = map_slot(map, key, false);

	return value ? *value : 0;
}

/* The table of level @level, 0 being the lowest, on the way to @index. */
static unsigned long table_key(unsigned long index, unsigned int level)
{
	return (unsigned long)level << 56 |
	       index >> ((level + 1) * geo.level_bits);
}

static bool has_table(unsigned long index)
{
	return map_get(&tables, table_key(index, 0));
}

/* Shape */

/* Levels of this many bits: do they reach, and are they within bounds? */
static bool bits_reach(unsigned int bits, unsigned int levels,
		       unsigned int entries_shift)
{
	unsigned int i, reach = 0;

	for (i = 0; i < levels; i++)
		reach += bits;

	return reach >= entries_shift;
}

static void check_shape(unsigned int page_shift, u64 window, unsigned int levels,
			int ret)
{
	unsigned int shift = 0, bits = PNV_TCE_MIN_LEVEL_BITS;

	while (shift < 63 && window >> shift > 1)
		shift++;
	if (levels < 1 || levels > 4 || page_shift < 12 || page_shift > 54 ||
	    window != 1UL << shift || shift < page_shift) {
		require(ret == -EINVAL);
		return;
	}

	while (!bits_reach(bits, levels, shift - page_shift))
		bits++;
	if (page_shift + levels * bits > 54) {
		require(ret == -EINVAL);
		return;
	}

	require(!ret);
	require(geo.page_shift == page_shift && geo.levels == levels);
	require(geo.level_bits == bits);
	require(geo.entries_shift == shift - page_shift);
}

/* All levels of a full table, from the bottom. */
static unsigned long full_bytes(void)
{
	unsigned long nr = 1UL << geo.entries_shift, total = 0;
	unsigned int level;

	for (level = 0; level < geo.levels; level++) {
		nr = (nr + (1UL << geo.level_bits) - 1) >> geo.level_bits;
		total += nr * (8UL << geo.level_bits);
	}
	require(nr == 1);

	return total;
}

/* Entries */

static unsigned long first_entry(void)
{
	return tbl.it_offset;
}

/* As a PHB does, which is given the base, the levels and their size. */
static unsigned long hardware_reads(unsigned long index)
{
	const u8 *table = (const u8 *)tbl.it_base;
	int level;

	for (level = geo.levels - 1; ; level--) {
		unsigned long at = index >> level * geo.level_bits;
		unsigned long entry = 0;
		unsigned int i;

		at &= (1UL << geo.level_bits) - 1;
		for (i = 0; i < 8; i++)
			entry = entry << 8 | table[8 * at + i];
		if (!level)
			return entry;
		if (!entry)
			return 0;
		require((entry & PERMS) == PERMS);
		table = (const u8 *)(entry & ~PERMS);
	}
}

static void check_entry(unsigned long index)
{
	unsigned long tce = map_get(&tces, index);

	require(pnv_tce_get(&tbl, first_entry() + index) == tce);
	require(hardware_reads(index) == tce);
}

/* Note what growth made, in its order; it may have ended at any table. */
static void model_grow(unsigned long index, unsigned long nr, bool whole)
{
	unsigned long last = index + nr - 1;
	unsigned int level;

	for (;;) {
		for (level = geo.levels - 1; level-- > 0; ) {
			unsigned long key = table_key(index, level);

			if (map_get(&tables, key))
				continue;
			/* Where memory ended, growth did. */
			if (!whole && world.nr_objects == tables.nr)
				return;
			*map_slot(&tables, key, true) = 1;
		}
		index |= (1UL << geo.level_bits) - 1;
		if (index >= last)
			return;
		index++;
	}
}

static void check_cost(void)
{
	require(world.nr_objects == tables.nr);
	require(world.nr_bytes == tables.nr * (8UL << geo.level_bits));
	require(world.nr_bytes == pnv_tce_allocated(&tbl));
	require(world.nr_bytes <= pnv_tce_geometry_bytes(&geo));
}

static bool model_is_grown(unsigned long index, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		if (!has_table(index + i))
			return false;
	}

	return true;
}

/* Writes the model entry by entry, until a level is missing. */
static int model_set(unsigned long index, const struct tce_run *runs,
		     unsigned int nr_runs, unsigned long perm)
{
	unsigned long i;

	if (perm & TCE_PCI_WRITE)
		perm = PERMS;

	for (; nr_runs; nr_runs--, runs++) {
		for (i = 0; i < runs->entries; i++, index++) {
			if (!has_table(index))
				return -ENOENT;
			*map_slot(&tces, index, true) =
				(runs->hpa + (i << geo.page_shift)) | perm;
		}
	}

	return 0;
}

static void check_range(unsigned long index, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++)
		check_entry(index + i);
	if (index)
		check_entry(index - 1);
	if (index + nr < tbl.it_size)
		check_entry(index + nr);
}

static unsigned long take_index(struct input *in)
{
	unsigned long kind = take(in, 1), index;

	/* Close to where levels end, or anywhere. */
	index = kind & 1 ? take_below(in, tbl.it_size) :
		(take_below(in, 64) << geo.level_bits * (kind >> 1 & 3)) +
		kind / 8 - 16;

	return index % tbl.it_size;
}

static unsigned long take_nr(struct input *in, unsigned long index)
{
	return 1 + take_below(in, min(tbl.it_size - index,
				      (unsigned long)MAX_ENTRIES));
}

static unsigned long take_hpa(struct input *in)
{
	return take_below(in, 1UL << 36) << geo.page_shift & ((1UL << 51) - 1);
}

static void grow(unsigned long index, unsigned long nr)
{
	unsigned int was = world.nr_failed;
	int ret = pnv_tce_grow(&tbl, first_entry() + index, nr);

	require(ret == (world.nr_failed > was ? -ENOMEM : 0));
	model_grow(index, nr, !ret);
	if (!ret)
		require(pnv_tce_is_grown(&tbl, first_entry() + index, nr));
	check_cost();
}

static void set_runs(struct input *in, unsigned long index)
{
	unsigned long left = tbl.it_size - index, total = 0;
	unsigned long perm = 1 + take(in, 1) % 3;
	struct tce_run runs[12];
	unsigned int nr_runs;
	int ret;

	for (nr_runs = 0; left && nr_runs < ARRAY_SIZE(runs); nr_runs++) {
		unsigned int kind = take(in, 1);

		if (nr_runs && kind & 0xc0)
			break;
		runs[nr_runs].hpa = take_hpa(in);
		runs[nr_runs].entries = kind & 1 ? 1 :
			1 + take_below(in, min(left, 1000UL));
		left -= runs[nr_runs].entries;
		total += runs[nr_runs].entries;
	}

	ret = pnv_tce_set_runs(&tbl, first_entry() + index, runs, nr_runs,
			       perm);
	require(ret == model_set(index, runs, nr_runs, perm));
	check_range(index, total);
}

static void set_for_kernel(struct input *in, unsigned long index)
{
	struct tce_run run = { take_hpa(in), take_nr(in, index) };
	unsigned long perm = 1 + take(in, 1) % 3;
	unsigned int was = world.nr_failed;
	int ret;

	world.preempt_count++;
	ret = pnv_tce_set(&tbl, first_entry() + index, run.entries, run.hpa,
			  perm);
	world.preempt_count--;
	require(ret == (world.nr_failed > was ? -ENOMEM : 0));
	model_grow(index, run.entries, !ret);
	if (!ret)
		require(!model_set(index, &run, 1, perm));
	check_range(index, run.entries);
	check_cost();
}

/* Writes the model, each entry for itself, or nothing of it. */
static void set_list(struct input *in, unsigned long index)
{
	unsigned long nr = 1 + take(in, 1) % 64, perm, i;
	u64 list[64];

	nr = min(nr, tbl.it_size - index);
	for (i = 0; i < nr; i++) {
		perm = take(in, 1) % 4;
		list[i] = perm ? take_hpa(in) | perm : 0;
	}

	if (!model_is_grown(index, nr)) {
		require(pnv_tce_set_list(&tbl, first_entry() + index, list,
					 nr) == -ENOMEM);
		return check_range(index, nr);
	}

	require(!pnv_tce_set_list(&tbl, first_entry() + index, list, nr));
	for (i = 0; i < nr; i++) {
		perm = list[i] & TCE_PCI_WRITE ? PERMS : 0;
		*map_slot(&tces, index + i, true) = list[i] | perm;
	}
	check_range(index, nr);
}

static void check_next_used(unsigned long index, unsigned long nr)
{
	unsigned long best = index + nr, i;

	for (i = 0; i < tces.nr; i++) {
		unsigned long key = tces.slot[tces.used[i]].key;

		if (tces.slot[tces.used[i]].value && key >= index)
			best = min(best, key);
	}

	require(pnv_tce_next_used(&tbl, first_entry() + index, nr) ==
		first_entry() + best);
}

static void clear(unsigned long index, unsigned long nr)
{
	unsigned long i;

	pnv_tce_clear_range(&tbl, first_entry() + index, nr);
	for (i = 0; i < tces.nr; i++) {
		if (tces.slot[tces.used[i]].key - index < nr)
			tces.slot[tces.used[i]].value = 0;
	}
}

/* All entries of a small table: what it costs is what was said before. */
static void fill(struct input *in)
{
	struct tce_run run = { take_hpa(in), tbl.it_size };
	unsigned int was = world.nr_failed;

	if (tbl.it_size > MAX_ENTRIES)
		return;
	grow(0, tbl.it_size);
	if (world.nr_failed > was)
		return;
	require(world.nr_bytes == pnv_tce_geometry_bytes(&geo));
	require(!pnv_tce_set_runs(&tbl, first_entry(), &run, 1, TCE_PCI_READ));
	require(!model_set(0, &run, 1, TCE_PCI_READ));
	check_range(0, tbl.it_size);
}

static void one_step(struct input *in)
{
	unsigned int what = take(in, 1);
	unsigned long index = take_index(in), nr;

	switch (what % 10) {
	case 0 ... 1:
		return grow(index, take_nr(in, index));
	case 2 ... 4:
		return set_runs(in, index);
	case 5:
		return what & 0x80 ? set_list(in, index) :
				     set_for_kernel(in, index);
	case 6:
		nr = take_nr(in, index);
		clear(index, nr);
		return check_range(index, nr);
	case 7:
		/* Any size: what does not exist is passed over. */
		return clear(index, 1 + take_below(in, tbl.it_size - index));
	case 8:
		nr = take_nr(in, index);
		check_next_used(index, nr);
		require(pnv_tce_is_grown(&tbl, first_entry() + index, nr) ==
			model_is_grown(index, nr));
		return;
	default:
		if (what & 0x80)
			return fill(in);
		world.fail_in = take(in, 1) % 12;
	}
}

static void check_all_entries(void)
{
	unsigned long i;

	for (i = 0; i < tces.nr; i++)
		check_entry(tces.slot[tces.used[i]].key);
}

static void use_table(struct input *in)
{
	unsigned long offset = take(in, 1) & 1 ? 1UL << 59 : 0;
	unsigned int steps = 0;
	int ret;

	/* Walks that nothing stops from being long have been seen by now. */
	if (geo.levels > 1 && geo.entries_shift > 40)
		return;

	if (take(in, 1) % 16 == 1)
		world.fail_in = 1;
	ret = pnv_tce_table_init(&tbl, &geo, offset, NUMA_NO_NODE,
				 GFP_KERNEL_ACCOUNT);
	if (world.nr_failed || 8UL << geo.level_bits > MAX_LEVEL_BYTES) {
		require(ret == -ENOMEM);
		return;
	}
	require(!ret);
	require(tbl.it_size == 1UL << geo.entries_shift);
	require(tbl.it_offset == offset >> geo.page_shift);
	*map_slot(&tables, table_key(0, geo.levels - 1), true) = 1;

	/* A step adds no more than 12,000. */
	while (in->size && steps++ < 60 && tces.nr < MAP_SLOTS / 4)
		one_step(in);

	check_all_entries();
	check_cost();
	clear(0, tbl.it_size);
	check_all_entries();
	pnv_tce_table_free(&tbl);
}

static void check_sizes(struct input *in)
{
	unsigned int nr = take(in, 1) % 6, i;
	u32 cells[6];
	struct property prop = { .length = 4 * nr, .cells = cells };
	struct device_node node = { .sizes = nr ? &prop : NULL };
	struct pci_controller hose = { .dn = &node };
	struct pnv_phb phb = { .hose = &hose };
	unsigned long expected = 0;

	fuzz_cpu_features = take(in, 1);
	for (i = 0; i < nr; i++) {
		cells[i] = take(in, 1) & 0x7f;
		if (cells[i] < 64)
			expected |= 1UL << cells[i];
	}
	if (!nr)
		expected = SZ_4K | SZ_64K;
	if (!nr && (fuzz_cpu_features & 3) == CPU_FTR_ARCH_207S)
		expected |= SZ_16M | SZ_256M;

	require(pnv_ioda_parse_tce_sizes(&phb) == expected);
}

void fuzz_one(struct input *in)
{
	unsigned int page_shift, levels;
	u64 window;
	int ret;

	generation++;
	tces.nr = 0;
	tables.nr = 0;
	memset(&tbl, 0, sizeof(tbl));
	world.max_bytes = MAX_LEVEL_BYTES;

	page_shift = take(in, 1) % 72;
	levels = take(in, 1) % 7;
	window = 1UL << take(in, 1) % 64;
	if (take(in, 1) % 16 == 1)
		window += take(in, 8);

	if (take(in, 1) % 16 == 1)
		check_sizes(in);
	ret = pnv_tce_plan(&geo, page_shift, window, levels);
	check_shape(page_shift, window, levels, ret);
	if (ret)
		return;
	require(pnv_tce_geometry_bytes(&geo) == full_bytes());
	use_table(in);
}
