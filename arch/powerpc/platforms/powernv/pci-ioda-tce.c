// SPDX-License-Identifier: GPL-2.0+
/*
 * TCE tables of IODA2 and later PHBs: geometry and entries.
 *
 * Copyright 2018 IBM Corp.
 *
 * A table is a tree of levels of equal size, from 4 KiB up. The lowest level
 * holds TCEs; above it an entry holds the physical address of the level below,
 * with both permission bits, or 0. The topmost level exists from the start, the
 * others from when an entry below them is first written, until the table goes.
 * That, and that a level is installed by one compare-and-swap, is what lets
 * walks do without a lock.
 *
 * All entries are big endian. Levels are linear mapped: hardware and real mode
 * find them by their physical address.
 */

#include <linux/kernel.h>
#include <linux/kmemleak.h>
#include <linux/log2.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#include <asm/asm-compat.h>
#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/tce.h>

#include "pci.h"
#include "pci-ioda-tce.h"

#define PERM_MASK	((unsigned long)(TCE_PCI_READ | TCE_PCI_WRITE))

/**
 * pnv_ioda_parse_tce_sizes - IOMMU page sizes of a PHB
 * @phb: the PHB
 *
 * From "ibm,supported-tce-sizes" of its device tree node, page shifts; older
 * firmware has none.
 *
 * Context: Any.
 * Return: a mask of page sizes in bytes.
 */
unsigned long pnv_ioda_parse_tce_sizes(struct pnv_phb *phb)
{
	struct property *prop;
	unsigned long mask = 0;
	u32 shift;

	of_property_for_each_u32(phb->hose->dn, "ibm,supported-tce-sizes",
				 shift) {
		if (shift < BITS_PER_LONG)
			mask |= 1UL << shift;
	}
	prop = of_find_property(phb->hose->dn, "ibm,supported-tce-sizes", NULL);
	if (prop && prop->length)
		return mask;

	mask = SZ_4K | SZ_64K;
	if (cpu_has_feature(CPU_FTR_ARCH_207S) &&
	    !cpu_has_feature(CPU_FTR_ARCH_300))
		mask |= SZ_16M | SZ_256M;

	return mask;
}

/* Geometry */

/**
 * pnv_tce_plan - work out the shape of a table
 * @geo: where it goes
 * @page_shift: size of an IOMMU page
 * @window_bytes: size of the window, a power of two
 * @levels: how many levels
 *
 * Levels are as small as the window allows; hardware indexes all of them with
 * as many bits, so a small window may have levels that it can't fill.
 *
 * Context: Any.
 * Return: 0, or -EINVAL if there is no such table.
 */
int pnv_tce_plan(struct pnv_tce_geometry *geo, unsigned int page_shift,
		 u64 window_bytes, unsigned int levels)
{
	if (!levels || levels > PNV_TCE_MAX_LEVELS)
		return -EINVAL;

	if (page_shift < 12 || page_shift >= PNV_TCE_MAX_ADDR_BITS)
		return -EINVAL;

	if (!is_power_of_2(window_bytes) || window_bytes < 1ULL << page_shift)
		return -EINVAL;

	geo->page_shift = page_shift;
	geo->levels = levels;
	geo->entries_shift = ilog2(window_bytes) - page_shift;
	geo->level_bits = max_t(unsigned int, PNV_TCE_MIN_LEVEL_BITS,
				DIV_ROUND_UP(geo->entries_shift, levels));

	if (page_shift + levels * geo->level_bits >= PNV_TCE_MAX_ADDR_BITS)
		return -EINVAL;

	return 0;
}

static unsigned long level_bytes(const struct pnv_tce_geometry *geo)
{
	return 8UL << geo->level_bits;
}

/**
 * pnv_tce_geometry_bytes - memory of a table when it is full
 * @geo: the shape
 *
 * Context: Any.
 * Return: bytes of all levels.
 */
unsigned long pnv_tce_geometry_bytes(const struct pnv_tce_geometry *geo)
{
	unsigned long nr_tables = 1, total = 0;
	unsigned int i, covered;

	/* From the top: how many tables each level has. */
	for (i = geo->levels; i-- > 0; ) {
		total += nr_tables * level_bytes(geo);
		covered = i * geo->level_bits;
		if (covered < geo->entries_shift)
			nr_tables = 1UL << (geo->entries_shift - covered);
	}

	return total;
}

/* Levels */

static __be64 *level_alloc(unsigned long bytes, int nid, gfp_t gfp)
{
	__be64 *level = kzalloc_node(bytes, gfp | __GFP_NOWARN, nid);

	/* Only the physical address of it is remembered. */
	kmemleak_not_leak(level);

	return level;
}

static __be64 *level_of(u64 entry)
{
	return __va(entry & ~PERM_MASK);
}

static unsigned int level_bits_of(const struct iommu_table *tbl)
{
	return ilog2(tbl->it_level_size);
}

static unsigned int index_at(const struct iommu_table *tbl,
			     unsigned long index, unsigned int level)
{
	return (index >> (level * level_bits_of(tbl))) &
	       (tbl->it_level_size - 1);
}

/*
 * Read and written by one instruction, which swaps where it has to: the compiler
 * would do with ten for a volatile access.
 */
static u64 read_tce(const __be64 *entry)
{
	u64 tce;

	asm volatile(LDX_BE " %0,0,%1" : "=r" (tce) : "r" (entry), "m" (*entry));

	return tce;
}

static void write_tce(__be64 *entry, u64 tce)
{
	asm volatile(STDX_BE " %1,0,%2" : "=m" (*entry) : "r" (tce), "r" (entry));
}

/*
 * The TCE of @index, counted from the window's first, and in @nr how many from
 * there on share its level. NULL if there is no such level; @nr says then how
 * many entries do not exist for the same reason.
 */
static __always_inline __be64 *find_tce(const struct iommu_table *tbl,
					unsigned long index, unsigned long *nr)
{
	unsigned long mask = tbl->it_level_size - 1;
	__be64 *table = (__be64 *)tbl->it_base;
	unsigned int bits = level_bits_of(tbl);
	unsigned int shift;

	for (shift = tbl->it_indirect_levels * bits; shift; shift -= bits) {
		u64 entry = read_tce(&table[(index >> shift) & mask]);

		if (!entry) {
			*nr = (1UL << shift) - (index & ((1UL << shift) - 1));
			return NULL;
		}
		table = level_of(entry);
	}

	index &= mask;
	*nr = mask + 1 - index;

	return table + index;
}

/* Have @new below @slot, unless another CPU was quicker; says what there is. */
static __be64 install_level(__be64 *slot, __be64 *new)
{
	__be64 entry = cpu_to_be64(__pa(new) | PERM_MASK);
	u64 old;

	old = cmpxchg((__force u64 *)slot, 0, (__force u64)entry);
	if (!old)
		return entry;

	kfree(new);

	return (__force __be64)old;
}

/* Have all levels above the TCE of @index. */
static int grow_levels(struct iommu_table *tbl, unsigned long index, gfp_t gfp)
{
	__be64 *table = (__be64 *)tbl->it_base, *new, *slot;
	unsigned int level;

	for (level = tbl->it_indirect_levels; level; level--) {
		__be64 entry;

		slot = &table[index_at(tbl, index, level)];
		entry = READ_ONCE(*slot);
		if (!entry) {
			new = level_alloc(tbl->it_level_size * sizeof(*new),
					  tbl->it_nid, gfp);
			if (!new)
				return -ENOMEM;

			entry = install_level(slot, new);
		}
		table = level_of(be64_to_cpu(entry));
	}

	return 0;
}

static int grow_range(struct iommu_table *tbl, unsigned long index,
		      unsigned long nr, gfp_t gfp)
{
	unsigned long last = index + nr - 1;
	int ret;

	for (;;) {
		ret = grow_levels(tbl, index, gfp);
		if (ret)
			return ret;
		index |= tbl->it_level_size - 1;
		if (index >= last)
			return 0;
		index++;
	}
}

/**
 * pnv_tce_table_init - make the topmost level of a table
 * @tbl: the table
 * @geo: its shape
 * @bus_offset: bus address of the window
 * @nid: node to allocate from
 * @gfp: GFP_KERNEL for the kernel itself, GFP_KERNEL_ACCOUNT for a process
 *
 * Context: May sleep.
 * Return: 0 or -ENOMEM.
 */
int pnv_tce_table_init(struct iommu_table *tbl,
		       const struct pnv_tce_geometry *geo, u64 bus_offset,
		       int nid, gfp_t gfp)
{
	__be64 *top = level_alloc(level_bytes(geo), nid, gfp);

	if (!top)
		return -ENOMEM;

	tbl->it_type = TCE_PCI;
	tbl->it_blocksize = 16;
	tbl->it_base = (unsigned long)top;
	tbl->it_page_shift = geo->page_shift;
	tbl->it_offset = bus_offset >> geo->page_shift;
	tbl->it_size = 1UL << geo->entries_shift;
	tbl->it_level_size = 1UL << geo->level_bits;
	tbl->it_indirect_levels = geo->levels - 1;
	tbl->it_nid = nid;

	return 0;
}

static void free_levels(struct iommu_table *tbl, __be64 *table,
			unsigned int level)
{
	unsigned long i;

	for (i = 0; level && i < tbl->it_level_size; i++) {
		if (table[i])
			free_levels(tbl, level_of(be64_to_cpu(table[i])),
				    level - 1);
	}

	kfree(table);
	cond_resched();
}

/**
 * pnv_tce_table_free - free all levels of a table
 * @tbl: the table; no window has it any more
 *
 * Context: May sleep.
 */
void pnv_tce_table_free(struct iommu_table *tbl)
{
	if (tbl->it_base)
		free_levels(tbl, (__be64 *)tbl->it_base,
			    tbl->it_indirect_levels);
	tbl->it_base = 0;
}

/* Entries */

/*
 * A device that may write has to be able to read as well: PHBs and devices turn
 * some writes into reads, atomic operations for instance.
 */
static unsigned long tce_perm(unsigned long perm)
{
	return perm & TCE_PCI_WRITE ? PERM_MASK : perm;
}

/* Write runs of one entry, @nr of them or up to a longer one; how many? */
static unsigned long set_singles(__be64 *entry, const struct tce_run *runs,
				 unsigned long nr, unsigned long perm)
{
	unsigned long i;

	for (i = 0; i < nr && runs[i].entries == 1; i++)
		write_tce(entry + i, runs[i].hpa | perm);

	return i;
}

static void set_steps(__be64 *entry, unsigned long nr, unsigned long tce,
		      unsigned long step)
{
	for (; nr; nr--, tce += step)
		write_tce(entry++, tce);
}

static noinline int set_runs(struct iommu_table *tbl, unsigned long index,
			     const struct tce_run *runs,
			     unsigned long nr_runs, unsigned long perm)
{
	unsigned long step = IOMMU_PAGE_SIZE(tbl), room = 0, done = 0, here, n;
	__be64 *entry = NULL;

	while (nr_runs) {
		if (!room) {
			entry = find_tce(tbl, index, &here);
			if (!entry)
				return -ENOENT;
			room = here;
		}

		/* What fragmented memory consists of. */
		n = set_singles(entry, runs, min(room, nr_runs), perm);
		if (n) {
			runs += n;
			nr_runs -= n;
		} else {
			n = min(room, runs->entries - done);
			set_steps(entry, n, (runs->hpa | perm) + done * step,
				  step);
			done += n;
			if (done == runs->entries) {
				done = 0;
				runs++;
				nr_runs--;
			}
		}
		entry += n;
		index += n;
		room -= n;
	}

	return 0;
}

/**
 * pnv_tce_grow - have the levels of a range
 * @tbl: the table
 * @entry: first entry
 * @nr: how many
 *
 * Context: May sleep.
 * Return: 0 or -ENOMEM.
 */
int pnv_tce_grow(struct iommu_table *tbl, unsigned long entry, unsigned long nr)
{
	return grow_range(tbl, entry - tbl->it_offset, nr, GFP_KERNEL_ACCOUNT);
}

/**
 * pnv_tce_is_grown - are the levels of a range there
 * @tbl: the table
 * @entry: first entry
 * @nr: how many
 *
 * Context: Any, real mode included.
 * Return: true if pnv_tce_set_runs() can't fail.
 */
bool pnv_tce_is_grown(const struct iommu_table *tbl, unsigned long entry,
		      unsigned long nr)
{
	unsigned long index = entry - tbl->it_offset, here;

	while (find_tce(tbl, index, &here)) {
		if (here >= nr)
			return true;
		index += here;
		nr -= here;
	}

	return false;
}

/**
 * pnv_tce_set_runs - write entries of an owned table
 * @tbl: the table
 * @entry: first entry
 * @runs: runs of physical memory that the entries are to point to
 * @nr_runs: how many runs, not 0
 * @perm: TCE_PCI_READ, TCE_PCI_WRITE or both
 *
 * Nothing is invalidated.
 *
 * Context: Any, real mode included. The caller keeps others off the entries.
 * Return: 0; -ENOENT, with some entries written, if a level is missing.
 */
int pnv_tce_set_runs(struct iommu_table *tbl, unsigned long entry,
		     const struct tce_run *runs, unsigned int nr_runs,
		     unsigned long perm)
{
	unsigned long index = entry - tbl->it_offset, room;
	__be64 *tce;

	perm = tce_perm(perm);
	if (nr_runs > 1 || runs->entries > 1)
		return set_runs(tbl, index, runs, nr_runs, perm);

	/* One entry is what most calls are for. */
	tce = find_tce(tbl, index, &room);
	if (!tce)
		return -ENOENT;
	write_tce(tce, runs->hpa | perm);

	return 0;
}

/* As tce_perm() has it. */
static void write_entry(__be64 *entry, unsigned long tce)
{
	write_tce(entry, tce | (tce & TCE_PCI_WRITE) >> 1);
}

static noinline int set_list(struct iommu_table *tbl, unsigned long entry,
			     const u64 *tces, unsigned long nr)
{
	unsigned long index = entry - tbl->it_offset, here, i;

	if (!pnv_tce_is_grown(tbl, entry, nr))
		return -ENOMEM;

	while (nr) {
		__be64 *to = find_tce(tbl, index, &here);
		unsigned long n = min(here, nr);

		for (i = 0; i < n; i++)
			write_entry(to + i, tces[i]);
		tces += n;
		index += n;
		nr -= n;
	}

	return 0;
}

/**
 * pnv_tce_set_list - write entries of an owned table, each to where it pleases
 * @tbl: the table
 * @entry: first entry
 * @tces: for each, the physical address and permissions, 0 for none
 * @nr: how many
 *
 * Nothing is invalidated.
 *
 * Context: Any, real mode included. The caller keeps others off the entries.
 * Return: 0; -ENOMEM, with nothing written, if a level is missing.
 */
int pnv_tce_set_list(struct iommu_table *tbl, unsigned long entry,
		     const u64 *tces, unsigned long nr)
{
	unsigned long here;
	__be64 *to;

	if (nr > 1)
		return set_list(tbl, entry, tces, nr);

	to = find_tce(tbl, entry - tbl->it_offset, &here);
	if (!to)
		return -ENOMEM;

	write_entry(to, *tces);

	return 0;
}

/**
 * pnv_tce_clear_run - clear entries
 * @tbl: the table
 * @entry: first entry
 * @nr: how many; levels that do not exist are passed over
 *
 * Nothing is invalidated.
 *
 * Context: Any, real mode included. The caller keeps others off the entries.
 * Return: @nr: all are cleared.
 */
unsigned long pnv_tce_clear_run(struct iommu_table *tbl, unsigned long entry,
				unsigned long nr)
{
	unsigned long index = entry - tbl->it_offset, left = nr, here;

	while (left) {
		__be64 *tce = find_tce(tbl, index, &here);

		here = min(here, left);
		if (tce)
			memset64((__force u64 *)tce, 0, here);
		index += here;
		left -= here;
	}

	return nr;
}

/**
 * pnv_tce_set - write entries for the kernel's own DMA
 * @tbl: the table
 * @entry: first entry
 * @nr: how many
 * @hpa: physical address of the first IOMMU page
 * @perm: TCE_PCI_READ, TCE_PCI_WRITE or both
 *
 * Nothing is invalidated.
 *
 * Context: Any; allocates without sleeping.
 * Return: 0, or -ENOMEM with nothing written.
 */
int pnv_tce_set(struct iommu_table *tbl, unsigned long entry, unsigned long nr,
		unsigned long hpa, unsigned long perm)
{
	const struct tce_run run = { .hpa = hpa, .entries = nr };
	unsigned long index = entry - tbl->it_offset;
	int ret;

	if (tbl->it_indirect_levels) {
		ret = grow_range(tbl, index, nr, GFP_ATOMIC);
		if (ret)
			return ret;
	}

	return set_runs(tbl, index, &run, 1, tce_perm(perm));
}

/**
 * pnv_tce_get - read an entry
 * @tbl: the table
 * @entry: the entry
 *
 * Context: Any.
 * Return: the TCE, in the CPU's byte order; 0 if its level does not exist.
 */
unsigned long pnv_tce_get(struct iommu_table *tbl, long entry)
{
	unsigned long nr;
	__be64 *tce = find_tce(tbl, entry - tbl->it_offset, &nr);

	return tce ? read_tce(tce) : 0;
}

/* For those who look on */

/**
 * pnv_tce_next_used - the first entry that is not 0
 * @tbl: the table
 * @entry: where to begin
 * @nr: how many entries to look at
 *
 * Context: May sleep.
 * Return: the entry; @entry + @nr if there is none.
 */
unsigned long pnv_tce_next_used(struct iommu_table *tbl, unsigned long entry,
				unsigned long nr)
{
	unsigned long here, i;

	for (; nr; entry += here, nr -= here) {
		const __be64 *tce = find_tce(tbl, entry - tbl->it_offset,
					     &here);

		here = min(here, nr);
		for (i = 0; tce && i < here; i++) {
			if (READ_ONCE(tce[i]))
				return entry + i;
		}
		cond_resched();
	}

	return entry;
}

static unsigned long levels_allocated(const struct iommu_table *tbl,
				      const __be64 *table, unsigned int level)
{
	unsigned long bytes = tbl->it_level_size * sizeof(*table), i;

	for (i = 0; level && i < tbl->it_level_size; i++) {
		u64 entry = be64_to_cpu(READ_ONCE(table[i]));

		if (entry)
			bytes += levels_allocated(tbl, level_of(entry),
						  level - 1);
	}
	cond_resched();

	return bytes;
}

/**
 * pnv_tce_allocated - memory of the levels that there are
 * @tbl: the table
 *
 * Context: May sleep.
 * Return: bytes.
 */
unsigned long pnv_tce_allocated(const struct iommu_table *tbl)
{
	return levels_allocated(tbl, (const __be64 *)tbl->it_base,
				tbl->it_indirect_levels);
}
