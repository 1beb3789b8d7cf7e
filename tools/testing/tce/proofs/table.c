// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The geometry of pci-ioda-tce.c, for all page shifts, window sizes and levels
 * that VFIO_IOMMU_SPAPR_TCE_CREATE can be given.
 */

#include "arch/powerpc/platforms/powernv/pci-ioda-tce.c"

#include <asm/tce_owner.h>

#include "proofs.h"

unsigned int fuzz_page_shift = 16;
unsigned int fuzz_cpu_features;

void *kmalloc(size_t bytes, gfp_t gfp)
{
	return NULL;
}

void kfree(const void *object) { }

static bool any_geometry(struct pnv_tce_geometry *geo, unsigned long *window)
{
	*window = any_ulong();

	return !pnv_tce_plan(geo, any_uint(), *window, any_uint());
}

/*
 * What is planned is what was asked for, the hardware takes it, the window is
 * in it, and no smaller level would do.
 *
 * Unwind: 5
 * Fault: platforms/powernv/pci-ioda-tce.c:
 *     level_bits >= PNV_TCE_MAX_ADDR_BITS) -> level_bits > 64)
 * Fault: platforms/powernv/pci-ioda-tce.c:
 *     DIV_ROUND_UP(geo->entries_shift, levels) -> geo->entries_shift / levels
 */
void plan(void)
{
	unsigned int page_shift = any_uint(), levels = any_uint();
	unsigned long window = any_ulong(), entries;
	struct pnv_tce_geometry geo;

	if (pnv_tce_plan(&geo, page_shift, window, levels))
		return;

	prove(geo.page_shift == page_shift && geo.levels == levels);
	prove(levels >= 1 && levels <= 4 && page_shift >= 12);
	prove(geo.level_bits >= 9);
	prove(page_shift + levels * geo.level_bits < 55);

	entries = 1UL << geo.entries_shift;
	prove(entries << page_shift == window);
	prove(window >> page_shift == entries);
	prove(levels * geo.level_bits >= geo.entries_shift);
	prove(geo.level_bits == 9 ||
	      levels * (geo.level_bits - 1) < geo.entries_shift);
}

/*
 * What is charged is all that can be allocated, level by level; with the view
 * it is far from overflowing.
 *
 * Unwind: 6
 * Fault: platforms/powernv/pci-ioda-tce.c:
 *     covered < geo->entries_shift -> covered + 1 < geo->entries_shift
 */
void bytes(void)
{
	struct pnv_tce_geometry geo;
	unsigned long window, all = 0, said;
	unsigned int i;

	if (!any_geometry(&geo, &window))
		return;

	for (i = 0; i < geo.levels; i++) {
		unsigned int covers = (i + 1) * geo.level_bits;
		unsigned long tables = 1;

		if (covers < geo.entries_shift)
			tables = 1UL << (geo.entries_shift - covers);
		all += tables * (8UL << geo.level_bits);
		prove(all < 1UL << 50);
	}

	said = pnv_tce_geometry_bytes(&geo);
	prove(said == all);
	prove(said + tce_view_max_bytes(1UL << geo.entries_shift) < 1UL << 50);
}

/*
 * On the way to an entry of the window no index is outside of its level, and no
 * two entries have the same way.
 *
 * Unwind: 6
 * Fault: platforms/powernv/pci-ioda-tce.c:
 *     (tbl->it_level_size - 1) -> tbl->it_level_size
 * Fault: platforms/powernv/pci-ioda-tce.c:
 *     geo->level_bits = max_t( -> geo->level_bits = min_t(
 */
void levels(void)
{
	unsigned long window, index = any_ulong(), way = 0;
	struct pnv_tce_geometry geo;
	struct iommu_table tbl = {};
	unsigned int level, i;

	if (!any_geometry(&geo, &window))
		return;

	/* Nobody allocates 4 GiB at once. */
	assume(geo.level_bits < 29);
	assume(index < 1UL << geo.entries_shift);
	tbl.it_level_size = 1UL << geo.level_bits;
	for (level = geo.levels; level-- > 0; ) {
		i = index_at(&tbl, index, level);
		prove(i < tbl.it_level_size);
		way = way << geo.level_bits | i;
	}
	prove(way == index);
}
