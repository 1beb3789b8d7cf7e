// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Entries that were cleared or written over, and are not uncounted yet.
 *
 * A device may still use what its PHB has cached of an entry after the entry
 * was cleared. So an operation notes which entries it has changed and which
 * regions they pointed to; then it kills all of them in one go, and only after
 * that uncounts them. Nothing else uncounts an entry that was in a table, or
 * several that were counted for one.
 *
 * If more regions are met than there is room for, all is killed and uncounted
 * at once, and the rest later: neither the order nor the sum depends on where.
 *
 * The rules of real mode hold, see book3s_64_vio_hv.c.
 */

#include <asm/iommu.h>
#include <asm/mm_iommu.h>

#include "tce.h"

/**
 * tce_gather_flush - kill what was changed, then uncount what is gone
 * @gather: what was gathered; nothing on return
 *
 * Context: Real mode, or in rcu_read_lock(), because groups of the table come
 *	    and go.
 */
void tce_gather_flush(struct tce_gather *gather)
{
	tce_gather_kill_and_uncount(gather, gather->nr_gone);
}

/* With several regions, or a new one. */
static noinline struct tce_gone *gone_of_another(struct tce_gather *gather,
						 unsigned long ua)
{
	struct tce_gone *gone;
	unsigned int i;

	for (i = gather->nr_gone; i-- > 0; ) {
		if (is_in_region(gather->gone[i].region, ua))
			return &gather->gone[i];
	}

	if (gather->nr_gone == TCE_GATHER_REGIONS)
		tce_gather_flush(gather);

	gone = &gather->gone[gather->nr_gone++];
	gone->region = mm_iommu_find(gather->tbl->it_owner->registry, ua);
	gone->nr = 0;

	return gone;
}

/* Where entries are noted that pointed to @ua, and that are still counted. */
static __always_inline struct tce_gone *gone_of(struct tce_gather *gather,
						unsigned long ua)
{
	struct tce_gone *gone = &gather->gone[0];

	if (gather->nr_gone == 1 && is_in_region(gone->region, ua))
		return gone;

	return gone_of_another(gather, ua);
}

/**
 * tce_gather_piece - note entries that pointed to consecutive addresses
 * @gather: where
 * @ua: userspace address of the first
 * @nr: how many; they are changed already, and tce_gather_changed() was told
 *
 * Context: As tce_gather_flush(). Takes one lookup for each region.
 */
void tce_gather_piece(struct tce_gather *gather, unsigned long ua,
		      unsigned long nr)
{
	while (nr) {
		struct tce_gone *gone = gone_of(gather, ua);
		unsigned long n = entries_in_region(gather->tbl, gone->region,
						    ua, nr);

		gone->nr += n;
		ua += n << gather->tbl->it_page_shift;
		nr -= n;
	}
}

/* How many entries from the first one on are not mapped; lists are long. */
static __always_inline unsigned long nr_unmapped(const u64 *ua,
						 unsigned long nr)
{
	unsigned long i = 0;

	while (i + 4 <= nr && !(ua[i] | ua[i + 1] | ua[i + 2] | ua[i + 3]))
		i += 4;
	while (i < nr && !ua[i])
		i++;

	return i;
}

/* How many addresses from the first one on are in a range. */
static __always_inline unsigned long nr_within(const u64 *ua, unsigned long nr,
					       unsigned long low,
					       unsigned long bytes)
{
	unsigned long i = 0;

	while (i + 4 <= nr && ua[i] - low < bytes && ua[i + 1] - low < bytes &&
	       ua[i + 2] - low < bytes && ua[i + 3] - low < bytes)
		i += 4;
	while (i < nr && ua[i] - low < bytes)
		i++;

	return i;
}

/**
 * tce_gather_array - note entries that pointed to what an array says
 * @gather: where
 * @ua: for each the userspace address, with TCE_DENSE_MAPPED; 0 if it was not
 *	mapped
 * @nr: how many; they are changed already, and tce_gather_changed() was told
 *
 * Context: As tce_gather_piece().
 * Return: how many of them were mapped.
 */
unsigned long tce_gather_array(struct tce_gather *gather, const u64 *ua,
			       unsigned long nr)
{
	unsigned long i = 0, total = 0, low, bytes, n;

	while (i < nr) {
		const struct mm_iommu_region *region;
		struct tce_gone *gone;

		i += nr_unmapped(ua + i, nr - i);
		if (i == nr)
			break;

		gone = gone_of(gather, ua[i] & ~TCE_DENSE_MAPPED);
		region = gone->region;
		/* So that 0, which is not mapped, is in no region. */
		low = region->ua + 1;
		bytes = region->nr_pages << PAGE_SHIFT;
		n = nr_within(ua + i, nr - i, low, bytes);
		gone->nr += n;
		total += n;
		i += n;
	}

	return total;
}

/**
 * tce_uncount_piece - uncount entries that were never in the table
 * @tbl: the table that they were counted for
 * @ua: userspace address of the first
 * @nr: how many, with consecutive addresses
 *
 * Context: As tce_gather_piece().
 */
void tce_uncount_piece(struct iommu_table *tbl, unsigned long ua,
		       unsigned long nr)
{
	struct tce_gather gather __uninitialized;

	/* Nothing was changed, so nothing is killed. */
	tce_gather_init(&gather, tbl, false);
	tce_gather_piece(&gather, ua, nr);
	tce_gather_flush(&gather);
}

/**
 * tce_uncount_array - uncount entries that were never in the table
 * @tbl: the table that they were counted for
 * @ua: for each the userspace address, with TCE_DENSE_MAPPED; 0 if it was not
 *	counted
 * @nr: how many
 *
 * Context: As tce_gather_piece().
 */
void tce_uncount_array(struct iommu_table *tbl, const u64 *ua, unsigned long nr)
{
	struct tce_gather gather __uninitialized;

	tce_gather_init(&gather, tbl, false);
	tce_gather_array(&gather, ua, nr);
	tce_gather_flush(&gather);
}
