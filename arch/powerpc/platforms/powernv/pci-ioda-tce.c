// SPDX-License-Identifier: GPL-2.0+
/*
 * TCE tables of IODA2 and later PHBs: geometry and levels. Entries change in
 * pci-ioda-tce-rm.c.
 *
 * Copyright 2018 IBM Corp.
 *
 * A table is a tree of levels of equal size, from 4 KiB up. The lowest level
 * holds TCEs; above it an entry holds the physical address of the level below,
 * with both permission bits, or 0. The topmost level exists from the start, the
 * others from when an entry below them is first written, until the table goes.
 * So walks need no lock: a level is installed by one compare-and-swap, and
 * stays.
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

#include <asm/iommu.h>
#include <asm/tce.h>

#include "pci.h"
#include "pci-ioda-tce.h"

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

/* Have @new below @slot, unless another CPU was quicker; says what there is. */
static __be64 install_level(__be64 *slot, __be64 *new)
{
	__be64 entry = cpu_to_be64(__pa(new) | PNV_TCE_PERM_MASK);
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
		table = pnv_tce_level_of(be64_to_cpu(entry));
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
			free_levels(tbl, pnv_tce_level_of(be64_to_cpu(table[i])),
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

/**
 * pnv_tce_grow_gfp - have the levels of a range
 * @tbl: the table
 * @entry: first entry
 * @nr: how many
 * @gfp: how to allocate them
 *
 * Context: As @gfp says.
 * Return: 0 or -ENOMEM.
 */
int pnv_tce_grow_gfp(struct iommu_table *tbl, unsigned long entry,
		     unsigned long nr, gfp_t gfp)
{
	return grow_range(tbl, entry - tbl->it_offset, nr, gfp);
}

/**
 * pnv_tce_grow - have the levels of a range, charged to the caller
 * @tbl: the table
 * @entry: first entry
 * @nr: how many
 *
 * Context: May sleep.
 * Return: 0 or -ENOMEM.
 */
int pnv_tce_grow(struct iommu_table *tbl, unsigned long entry, unsigned long nr)
{
	return pnv_tce_grow_gfp(tbl, entry, nr, GFP_KERNEL_ACCOUNT);
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
	int ret;

	if (tbl->it_indirect_levels) {
		ret = grow_range(tbl, entry - tbl->it_offset, nr, GFP_ATOMIC);
		if (ret)
			return ret;
	}

	return pnv_tce_set_runs(tbl, entry, &run, 1, perm);
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
	const __be64 *tce = pnv_tce_find(tbl, entry - tbl->it_offset, &nr);

	return tce ? be64_to_cpu(READ_ONCE(*tce)) : 0;
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
	unsigned long in_level, i;

	for (; nr; entry += in_level, nr -= in_level) {
		const __be64 *tce = pnv_tce_find(tbl, entry - tbl->it_offset,
						 &in_level);

		in_level = min(in_level, nr);
		for (i = 0; tce && i < in_level; i++) {
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
			bytes += levels_allocated(tbl, pnv_tce_level_of(entry),
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
