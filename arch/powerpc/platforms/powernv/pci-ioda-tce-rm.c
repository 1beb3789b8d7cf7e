// SPDX-License-Identifier: GPL-2.0+
/*
 * TCE tables of IODA2 and later PHBs: what real mode runs. Entries of levels
 * that exist are written and cleared, and invalidated.
 *
 * Copyright 2018 IBM Corp.
 *
 * The rules of real mode hold, see arch/powerpc/kvm/book3s_64_vio_hv.c. Virtual
 * mode uses all of it too, except what invalidates.
 */

#include <linux/log2.h>
#include <linux/rculist.h>
#include <linux/string.h>

#include <asm/asm-compat.h>
#include <asm/asm-prototypes.h>
#include <asm/io.h>
#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/opal.h>
#include <asm/reg.h>
#include <asm/tce.h>

#include "pci.h"
#include "pci-ioda-tce.h"

/*
 * Read and written by one instruction, which swaps where it has to: the
 * compiler would do with ten for a volatile access.
 */
static u64 read_tce(const __be64 *entry)
{
	u64 tce;

	asm volatile(LDX_BE " %0,0,%1"
		     : "=r" (tce) : "r" (entry), "m" (*entry));

	return tce;
}

static void write_tce(__be64 *entry, u64 tce)
{
	asm volatile(STDX_BE " %1,0,%2"
		     : "=m" (*entry) : "r" (tce), "r" (entry));
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
	unsigned int bits = ilog2(tbl->it_level_size);
	unsigned int shift;

	for (shift = tbl->it_indirect_levels * bits; shift; shift -= bits) {
		u64 entry = read_tce(&table[(index >> shift) & mask]);

		if (!entry) {
			*nr = (1UL << shift) - (index & ((1UL << shift) - 1));
			return NULL;
		}
		table = pnv_tce_level_of(entry);
	}

	index &= mask;
	*nr = mask + 1 - index;

	return table + index;
}

/**
 * pnv_tce_find - find an entry, for those who read it
 * @tbl: the table
 * @index: the entry, counted from the window's first
 * @nr: where it goes how many from there on share its level; or, if there is no
 *	such level, how many entries do not exist for the same reason
 *
 * Context: Any.
 * Return: the TCE, big endian; NULL if its level does not exist.
 */
const __be64 *pnv_tce_find(const struct iommu_table *tbl, unsigned long index,
			   unsigned long *nr)
{
	return find_tce(tbl, index, nr);
}

/*
 * A device that may write has to be able to read as well: PHBs and devices turn
 * some writes into reads, atomic operations for instance.
 */
static unsigned long tce_perm(unsigned long perm)
{
	return perm & TCE_PCI_WRITE ? PNV_TCE_PERM_MASK : perm;
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
	unsigned long step = IOMMU_PAGE_SIZE(tbl), room = 0, done = 0, n;
	__be64 *entry = NULL;

	while (nr_runs) {
		if (!room) {
			entry = find_tce(tbl, index, &n);
			if (!entry)
				return -ENOENT;
			room = n;
		}

		/* Fragmented memory has many of these. */
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
	unsigned long index = entry - tbl->it_offset, in_level;

	while (find_tce(tbl, index, &in_level)) {
		if (in_level >= nr)
			return true;
		index += in_level;
		nr -= in_level;
	}

	return false;
}

/**
 * pnv_tce_set_runs - write entries
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
	unsigned long index = entry - tbl->it_offset, in_level, i;

	if (!pnv_tce_is_grown(tbl, entry, nr))
		return -ENOMEM;

	while (nr) {
		__be64 *to = find_tce(tbl, index, &in_level);
		unsigned long n = min(in_level, nr);

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
	unsigned long in_level;
	__be64 *to;

	if (nr > 1)
		return set_list(tbl, entry, tces, nr);

	to = find_tce(tbl, entry - tbl->it_offset, &in_level);
	if (!to)
		return -ENOMEM;

	write_entry(to, *tces);

	return 0;
}

/**
 * pnv_tce_clear_range - clear entries
 * @tbl: the table
 * @entry: first entry
 * @nr: how many; levels that do not exist are passed over
 *
 * Nothing is invalidated.
 *
 * Context: Any, real mode included. The caller keeps others off the entries.
 * Return: @nr: all are cleared.
 */
unsigned long pnv_tce_clear_range(struct iommu_table *tbl, unsigned long entry,
				  unsigned long nr)
{
	unsigned long index = entry - tbl->it_offset, left = nr, in_level;

	while (left) {
		__be64 *tce = find_tce(tbl, index, &in_level);

		in_level = min(in_level, left);
		if (tce)
			memset64((__force u64 *)tce, 0, in_level);
		index += in_level;
		left -= in_level;
	}

	return nr;
}

#ifdef CONFIG_IOMMU_API
/**
 * pnv_phb3_tce_kill_rm - have PHBs forget what they cached of entries
 * @tbl: the table
 * @entry: first entry
 * @nr: how many, not 0
 *
 * As pnv_ioda2_tce_kill(), with the physical address of the register.
 *
 * Context: Real mode. In a read-side section of tce_real_mode_srcu, or without
 *	    interrupts where RCU watches.
 */
void pnv_phb3_tce_kill_rm(struct iommu_table *tbl, unsigned long entry,
			  unsigned long nr)
{
	u64 page = PHB3_TCE_KILL_PAGE | (u64)entry << tbl->it_page_shift;
	u64 step = 1ULL << tbl->it_page_shift;
	struct iommu_table_group_link *link;

	/* As in pnv_ioda2_tce_kill(). */
	mb();
	list_for_each_entry_lockless(link, &tbl->it_group_list, next) {
		const struct pnv_ioda_pe *pe = pnv_to_pe(link->table_group);
		u64 command = page | (pe->pe_number & 0xff);
		unsigned long left = nr;
		void __iomem *reg;

		reg = (void __iomem *)(pe->phb->regs_phys + PHB3_TCE_KILL);
		if (nr >= PNV_KILL_PE_PAGES) {
			__raw_rm_writeq_be(PHB3_TCE_KILL_PE |
					   (pe->pe_number & 0xff), reg);
			continue;
		}
		/* Most often it is one. */
#pragma GCC unroll 1
		do {
			__raw_rm_writeq_be(command, reg);
			command += step;
		} while (--left);
	}
	mb(); /* as in pnv_ioda2_tce_kill() */
}

/*
 * opal_call() also traces, and disables interrupts. Here they are disabled
 * already. Firmware runs with the MMU off, and measures its waits by the time
 * base, which may be the guest's.
 */
static void kill_by_opal(const struct pnv_ioda_pe *pe, u64 type, u64 bytes,
			 u64 bus_addr, unsigned long nr)
{
	__opal_call(pe->phb->opal_id, type, pe->pe_number, bytes, bus_addr, nr,
		    0, 0, OPAL_PCI_TCE_KILL, mfmsr());
}

/**
 * pnv_opal_tce_kill_rm - have PHBs forget what they cached of entries
 * @tbl: the table
 * @entry: first entry
 * @nr: how many, not 0
 *
 * As pnv_phb3_tce_kill_rm(), where firmware does it.
 *
 * Context: As pnv_phb3_tce_kill_rm(); the MMU may be on.
 */
void pnv_opal_tce_kill_rm(struct iommu_table *tbl, unsigned long entry,
			  unsigned long nr)
{
	unsigned int shift = tbl->it_page_shift;
	struct iommu_table_group_link *link;
	const struct pnv_ioda_pe *pe;

	/* As in pnv_ioda2_tce_kill(). */
	mb();
	list_for_each_entry_lockless(link, &tbl->it_group_list, next) {
		pe = pnv_to_pe(link->table_group);
		if (pnv_tce_kill_is_by_page(tbl, nr))
			kill_by_opal(pe, OPAL_PCI_TCE_KILL_PAGES, 1UL << shift,
				     (u64)entry << shift, nr);
		else
			kill_by_opal(pe, OPAL_PCI_TCE_KILL_PE, 0, 0, 0);
	}
	mb(); /* as in pnv_ioda2_tce_kill() */
}
#endif
