// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * DMA windows of IODA2 and later PHBs.
 *
 * A PE (partitionable endpoint: the devices that the PHB isolates as one) has
 * two windows. Window 0 begins at bus address 0, window 1 at bit 59. While the
 * kernel drives the devices, window 0 is a table of its own and window 1
 * bypasses translation; while a process owns them, both are what it creates, or
 * with iommufd the tables of a domain.
 *
 * The firmware, OPAL, is told what a window is made of, and invalidates the TCE
 * cache of the PHB. On PHB3, a store to a register invalidates it.
 *
 * Windows of a PE are changed with the PE's group locked by its user: the
 * iommu core for ownership, the container for the windows that it creates; with
 * iommufd the domain's, under the group's mutex.
 *
 * A table is linked to each PE whose PHB may walk it, in one of these states:
 *
 *   a window of the PE   from before firmware is told of it; the group's tables
 *			  have it from after that on
 *   stuck		  firmware refused to take the window away. No window any
 *			  more, and its owner closes the table, so nothing is in
 *			  it; but what happens to the table is still killed in
 *			  the PE. It ends when firmware takes the window away,
 *			  or another one in its place. Until then no process may
 *			  have the PE, and if it loses its devices, it is not
 *			  used for others: what two groups of a container share
 *			  remains in use by the other one.
 */

#include <linux/iommu.h>
#include <linux/log2.h>
#include <linux/memblock.h>
#include <linux/pci.h>
#include <linux/rculist.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string_choices.h>

#include <kunit/static_stub.h>

#include <asm/io.h>
#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/mmzone.h>
#include <asm/opal.h>
#include <asm/tce.h>
#include <asm/tce_owner.h>

#include "pci.h"
#include "pci-ioda-tce.h"

#define PNV_WINDOW_1_START	BIT_ULL(59)

/*
 * Guards the tables' lists of groups: those of a table that is stuck belong to
 * different users.
 */
static DEFINE_SPINLOCK(links_lock);

/* The number by which OPAL knows a window. */
static u16 window_id(const struct pnv_ioda_pe *pe, int num)
{
	return (pe->pe_number << 1) + num;
}

/* Invalidation */

static bool has_kill_register(const struct pnv_phb *phb)
{
	return phb->model == PNV_PHB_MODEL_PHB3 && phb->regs;
}

static void phb3_kill(const struct pnv_phb *phb, u64 command)
{
	__raw_writeq_be(command, phb->regs + PHB3_TCE_KILL);
}

static void kill_pe(const struct pnv_ioda_pe *pe)
{
	const struct pnv_phb *phb = pe->phb;

	if (has_kill_register(phb)) {
		phb3_kill(phb, PHB3_TCE_KILL_PE | (pe->pe_number & 0xff));
	} else {
		opal_pci_tce_kill(phb->opal_id, OPAL_PCI_TCE_KILL_PE,
				  pe->pe_number, 0, 0, 0);
	}
}

static void kill_pages(const struct pnv_ioda_pe *pe, u64 bus_addr,
		       unsigned int page_shift, unsigned long nr)
{
	const struct pnv_phb *phb = pe->phb;
	u64 command;

	if (!has_kill_register(phb)) {
		opal_pci_tce_kill(phb->opal_id, OPAL_PCI_TCE_KILL_PAGES,
				  pe->pe_number, 1U << page_shift, bus_addr,
				  nr);
		return;
	}

	command = PHB3_TCE_KILL_PAGE | bus_addr | (pe->pe_number & 0xff);
	for (; nr; nr--, command += 1ULL << page_shift)
		phb3_kill(phb, command);
}

/**
 * pnv_ioda2_tce_kill - have all PHBs forget what they cached of some entries
 * @tbl: the table
 * @entry: first entry
 * @nr: how many
 *
 * Context: Any. What was written to the entries before is what PHBs see after.
 */
void pnv_ioda2_tce_kill(struct iommu_table *tbl, unsigned long entry,
			unsigned long nr)
{
	struct iommu_table_group_link *link;

	if (!nr)
		return;

	/* PEs that are found stay, see pnv_pci_ioda2_release_pe_dma(). */
	guard(rcu)();
	/* TCEs before the list of groups, see set_window(), and the kill. */
	mb();
	list_for_each_entry_rcu(link, &tbl->it_group_list, next) {
		const struct pnv_ioda_pe *pe = pnv_to_pe(link->table_group);

		if (pnv_tce_kill_is_by_page(tbl, nr))
			kill_pages(pe, (u64)entry << tbl->it_page_shift,
				   tbl->it_page_shift, nr);
		else
			kill_pe(pe);
	}
	/*
	 * The kill may be a store to a device; entries are uncounted after it.
	 */
	mb();
}

/* The kernel's own DMA */

static int pnv_ioda2_set(struct iommu_table *tbl, long entry, long nr,
			 unsigned long uaddr,
			 enum dma_data_direction direction, unsigned long attrs)
{
	unsigned long hpa = ALIGN_DOWN(__pa(uaddr), 1UL << tbl->it_page_shift);
	int ret;

	ret = pnv_tce_set(tbl, entry, nr, hpa,
			  iommu_direction_to_tce_perm(direction));
	if (ret)
		return ret;

	pnv_ioda2_tce_kill(tbl, entry, nr);

	return 0;
}

static void pnv_ioda2_clear(struct iommu_table *tbl, long entry, long nr)
{
	pnv_tce_clear_range(tbl, entry, nr);
	pnv_ioda2_tce_kill(tbl, entry, nr);
}

static struct iommu_table_ops pnv_ioda2_table_ops = {
	.set		= pnv_ioda2_set,
	.clear		= pnv_ioda2_clear,
	.get		= pnv_tce_get,
	.free		= pnv_tce_table_free,
#ifdef CONFIG_IOMMU_API
	.grow		= pnv_tce_grow,
	.set_runs	= pnv_tce_set_runs,
	.set_list	= pnv_tce_set_list,
	.clear_range	= pnv_tce_clear_range,
	.tce_kill	= pnv_ioda2_tce_kill,
	.is_grown	= pnv_tce_is_grown,
	.next_used	= pnv_tce_next_used,
	.allocated	= pnv_tce_allocated,
	.tce_kill_rm	= pnv_opal_tce_kill_rm,
#endif
};

static struct iommu_table_ops pnv_phb3_table_ops = {
	.set		= pnv_ioda2_set,
	.clear		= pnv_ioda2_clear,
	.get		= pnv_tce_get,
	.free		= pnv_tce_table_free,
#ifdef CONFIG_IOMMU_API
	.grow		= pnv_tce_grow,
	.set_runs	= pnv_tce_set_runs,
	.set_list	= pnv_tce_set_list,
	.clear_range	= pnv_tce_clear_range,
	.tce_kill	= pnv_ioda2_tce_kill,
	.is_grown	= pnv_tce_is_grown,
	.next_used	= pnv_tce_next_used,
	.allocated	= pnv_tce_allocated,
	.tce_kill_rm	= pnv_phb3_tce_kill_rm,
#endif
};

/* Windows */

/**
 * pnv_ioda2_map_window - have a PHB walk a table for a window of a PE
 * @pe: the PE
 * @num: which of its windows
 * @tbl: the table; NULL to have the window translate nothing
 *
 * Firmware looks at what it is given before it changes anything.
 *
 * Context: May sleep.
 * Return: 0; if firmware refuses, an errno for OPAL_PCI_MAP_PE_DMA_WINDOW's
 *	   error, and the window is what it was.
 */
int pnv_ioda2_map_window(struct pnv_ioda_pe *pe, int num,
			 const struct iommu_table *tbl)
{
	u64 base = 0, level_bytes = 0, page_bytes = 0;
	u16 levels = 0;
	s64 rc;

	KUNIT_STATIC_STUB_REDIRECT(pnv_ioda2_map_window, pe, num, tbl);

	if (tbl) {
		levels = tbl->it_indirect_levels + 1;
		base = __pa(tbl->it_base);
		level_bytes = tbl->it_level_size * sizeof(__be64);
		page_bytes = IOMMU_PAGE_SIZE(tbl);
	}

	rc = opal_pci_map_pe_dma_window(pe->phb->opal_id, pe->pe_number,
					window_id(pe, num), levels, base,
					level_bytes, page_bytes);
	if (rc)
		pe_err(pe, "window %d: OPAL refuses %s, %lld\n", num,
		       tbl ? "a table" : "to forget its table", rc);

	return opal_error_code(rc);
}

/**
 * pnv_ioda2_map_bypass - have window 1 of a PE reach all of memory, or nothing
 * @pe: the PE
 * @top: end of memory, a power of two; 0 for nothing
 *
 * Context: May sleep.
 * Return: 0; if firmware refuses, an errno for
 *	   OPAL_PCI_MAP_PE_DMA_WINDOW_REAL's error, and the window is what it
 *	   was.
 */
int pnv_ioda2_map_bypass(struct pnv_ioda_pe *pe, u64 top)
{
	s64 rc;

	KUNIT_STATIC_STUB_REDIRECT(pnv_ioda2_map_bypass, pe, top);

	rc = opal_pci_map_pe_dma_window_real(pe->phb->opal_id, pe->pe_number,
					     window_id(pe, 1),
					     pe->tce_bypass_base, top);
	if (rc)
		pe_err(pe, "window 1: OPAL refuses bypass %s, %lld\n",
		       str_on_off(top), rc);

	return opal_error_code(rc);
}

/* From here on kills reach the PE, and the PE has a reference to the table. */
static void link_table(struct iommu_table_group *table_group,
		       struct iommu_table *tbl,
		       struct iommu_table_group_link *link)
{
	link->table_group = table_group;
	iommu_tce_table_get(tbl);

	spin_lock(&links_lock);
	list_add_rcu(&link->next, &tbl->it_group_list);
	spin_unlock(&links_lock);
}

/* The PHB has forgotten the table, and what it cached of it. */
static void unlink_table(struct iommu_table_group *table_group,
			 struct iommu_table *tbl)
{
	struct iommu_table_group_link *link, *found = NULL;

	spin_lock(&links_lock);
	list_for_each_entry(link, &tbl->it_group_list, next) {
		if (link->table_group == table_group)
			found = link;
	}
	list_del_rcu(&found->next);
	spin_unlock(&links_lock);

	tce_free_deferred(&found->rcu);
	iommu_tce_table_put(tbl);
}

/* Forget what the PHB cached of a window that is another one now, or none. */
static void kill_window(const struct pnv_ioda_pe *pe)
{
	mb(); /* what was cleared before, if a register is what kills */
	kill_pe(pe);
	mb(); /* and the kill before anything is freed */
}

/*
 * Firmware has taken window @num away after all, or put another in its place.
 */
static void drop_stuck(struct pnv_ioda_pe *pe, int num)
{
	struct iommu_table *tbl = pe->stuck[num];

	if (!tbl)
		return;

	pe->stuck[num] = NULL;
	unlink_table(&pe->table_group, tbl);
}

/*
 * Try once more to have firmware take away what it kept. True: nothing is left.
 */
static bool drop_all_stuck(struct pnv_ioda_pe *pe)
{
	bool ok = true;
	int num;

	for (num = 0; num < IOMMU_TABLE_GROUP_MAX_TABLES; num++) {
		if (!pe->stuck[num])
			continue;
		if (pnv_ioda2_map_window(pe, num, NULL)) {
			ok = false;
			continue;
		}
		kill_window(pe);
		drop_stuck(pe, num);
	}

	return ok;
}

/**
 * pnv_ioda2_set_window - make a table a window of a PE
 * @table_group: the PE's
 * @num: which window; a table that it has is replaced
 * @tbl: the table
 *
 * Context: May sleep. The PE's user keeps others off its windows.
 * Return: 0, -ENOMEM, or what firmware says; the window is what it was then.
 */
long pnv_ioda2_set_window(struct iommu_table_group *table_group, int num,
			  struct iommu_table *tbl)
{
	/* A process is charged for its tables; the kernel's have a map. */
	gfp_t gfp = tbl->it_map ? GFP_KERNEL : GFP_KERNEL_ACCOUNT;
	struct iommu_table *old = table_group->tables[num];
	struct pnv_ioda_pe *pe = pnv_to_pe(table_group);
	struct iommu_table_group_link *link;
	u64 start, bytes;
	int ret;

	start = (u64)tbl->it_offset << tbl->it_page_shift;
	bytes = (u64)tbl->it_size << tbl->it_page_shift;
	pe_info(pe, "window %d: %llx to %llx, pages of %lx\n", num, start,
		start + bytes - 1, IOMMU_PAGE_SIZE(tbl));

	/* Who replaces a window may have to put the old one back. */
	if (old)
		gfp |= __GFP_NOFAIL;
	link = kzalloc_node(sizeof(*link), gfp, pe->phb->hose->node);
	if (!link)
		return -ENOMEM;
	link_table(table_group, tbl, link);

	/*
	 * The other groups of a container change entries meanwhile:
	 *
	 *   a group that joins		an entry that is unmapped
	 *
	 *   link the PE		clear the TCE
	 *   mb()			mb(), in pnv_ioda2_tce_kill()
	 *   firmware: the PHB walks	kill in all linked PEs
	 *				uncount, unpin
	 *
	 * Either the PE is killed as well, or it never sees the old TCE.
	 */
	mb();
	ret = pnv_ioda2_map_window(pe, num, tbl);
	if (ret) {
		unlink_table(table_group, tbl);
		return ret;
	}

	kill_window(pe);
	drop_stuck(pe, num);
	/* KVM finds it here without a lock, with all that the table tells. */
	smp_store_release(&table_group->tables[num], tbl);
	if (old)
		unlink_table(table_group, old);

	return 0;
}

/* If firmware refuses, the window is what it was. */
static int try_unset_window(struct pnv_ioda_pe *pe, int num)
{
	struct iommu_table_group *table_group = &pe->table_group;
	struct iommu_table *tbl = table_group->tables[num];
	int ret;

	ret = pnv_ioda2_map_window(pe, num, NULL);
	if (ret)
		return ret;

	pe_info(pe, "window %d: gone\n", num);
	/* KVM looks for tables here, without a lock: see iommu_table_free(). */
	WRITE_ONCE(table_group->tables[num], NULL);
	kill_window(pe);
	unlink_table(table_group, tbl);

	return 0;
}

/**
 * pnv_ioda2_unset_window - take a window away from a PE
 * @table_group: the PE's
 * @num: which window
 *
 * The window is gone for its owner, whatever firmware says.
 *
 * Context: May sleep. The PE's user keeps others off its windows.
 * Return: 0, also if there is no such window; or what firmware says, and the PE
 *	   keeps the table for as long as the PHB may walk it.
 */
long pnv_ioda2_unset_window(struct iommu_table_group *table_group, int num)
{
	struct pnv_ioda_pe *pe = pnv_to_pe(table_group);
	struct iommu_table *tbl = table_group->tables[num];
	int ret;

	if (!tbl)
		return 0;

	ret = try_unset_window(pe, num);
	if (ret) {
		WRITE_ONCE(table_group->tables[num], NULL);
		kill_window(pe);
		pe->stuck[num] = tbl;
	}

	return ret;
}

static void set_bypass(struct pnv_ioda_pe *pe, bool enable)
{
	u64 top = 0;

	if (pe->tce_bypass_enabled == enable)
		return;

	pe_info(pe, "window 1: bypass %s\n", str_on_off(enable));
	if (enable)
		top = roundup_pow_of_two(memblock_end_of_DRAM());

	if (pnv_ioda2_map_bypass(pe, top))
		return;

	pe->tce_bypass_enabled = enable;
	if (pe->stuck[1]) {
		kill_window(pe);
		drop_stuck(pe, 1);
	}
}

static struct iommu_table *create_table(struct pnv_ioda_pe *pe, int num,
					const struct pnv_tce_geometry *geo,
					gfp_t gfp)
{
	u64 start = num ? PNV_WINDOW_1_START : pe->table_group.tce32_start;
	int nid = pe->phb->hose->node;
	struct iommu_table *tbl;

	tbl = pnv_pci_table_alloc(nid, gfp);
	if (!tbl)
		return NULL;

	tbl->it_ops = has_kill_register(pe->phb) ? &pnv_phb3_table_ops :
						   &pnv_ioda2_table_ops;
	if (pnv_tce_table_init(tbl, geo, start, nid, gfp)) {
		iommu_tce_table_put(tbl);
		return NULL;
	}

	return tbl;
}

/*
 * The window that the kernel uses itself: as large as memory, unless the bitmap
 * of its entries would exceed the largest block that can be allocated.
 */
static u64 default_window_bytes(void)
{
	u64 max_entries = 8ULL << (PAGE_SHIFT + MAX_PAGE_ORDER);

	return min(max_entries << PAGE_SHIFT,
		   (u64)rounddown_pow_of_two(memory_hotplug_max()));
}

static struct iommu_table *create_default_table(struct pnv_ioda_pe *pe)
{
	u32 mmio_start = pe->phb->ioda.m32_pci_base;
	u64 window_bytes = default_window_bytes();
	unsigned long res_start = 0, res_end = 0;
	struct pnv_tce_geometry geo;
	struct iommu_table *tbl;

	if (pnv_tce_plan(&geo, PAGE_SHIFT, window_bytes,
			 PNV_TCE_DEFAULT_LEVELS))
		return NULL;

	tbl = create_table(pe, 0, &geo, GFP_KERNEL);
	if (!tbl)
		return NULL;

	/* The top of the 32-bit bus space is MMIO. */
	if (window_bytes > mmio_start) {
		res_start = mmio_start >> PAGE_SHIFT;
		res_end = min_t(u64, window_bytes, SZ_4G) >> PAGE_SHIFT;
	}

	tbl->it_index = pe->phb->hose->global_number << 16 | pe->pe_number;
	if (!iommu_init_table(tbl, pe->phb->hose->node, res_start, res_end)) {
		iommu_tce_table_put(tbl);
		return NULL;
	}

	return tbl;
}

static int setup_default_table(struct pnv_ioda_pe *pe)
{
	struct iommu_table *tbl = create_default_table(pe);
	long ret = -ENOMEM;

	if (tbl) {
		ret = pnv_ioda2_set_window(&pe->table_group, 0, tbl);
		/* From here on it is the window's. */
		iommu_tce_table_put(tbl);
	}
	if (ret)
		pe_err(pe, "window 0: no table for the kernel, %ld\n", ret);

	return ret;
}

static void setup_bypass(struct pnv_ioda_pe *pe)
{
	if (!pnv_iommu_bypass_disabled)
		set_bypass(pe, true);
}

/**
 * pnv_ioda2_kernel_table - the table through which drivers of the host do DMA
 * @table_group: the windows of a PE
 *
 * Context: Any.
 * Return: that of window 0, if it is there and of the kernel; otherwise NULL.
 */
struct iommu_table *
pnv_ioda2_kernel_table(const struct iommu_table_group *table_group)
{
	struct iommu_table *tbl;

	/*
	 * A table that a process owns, or owned, may be removed at any time.
	 * The kernel's tables, and no others, have a bitmap of used entries.
	 */
	rcu_read_lock();
	tbl = READ_ONCE(table_group->tables[0]);
	if (tbl && !tbl->it_map)
		tbl = NULL;
	rcu_read_unlock();

	return tbl;
}

#ifdef CONFIG_IOMMU_API
static unsigned long pnv_ioda2_get_table_size(__u32 page_shift,
					      __u64 window_size, __u32 levels)
{
	struct pnv_tce_geometry geo;

	if (pnv_tce_plan(&geo, page_shift, window_size, levels))
		return 0;

	return pnv_tce_geometry_bytes(&geo) +
	       tce_view_max_bytes(1UL << geo.entries_shift);
}

static long pnv_ioda2_create_table(struct iommu_table_group *table_group,
				   int num, __u32 page_shift,
				   __u64 window_size, __u32 levels,
				   struct iommu_table **ptbl)
{
	struct pnv_tce_geometry geo;
	struct iommu_table *tbl;
	int ret;

	ret = pnv_tce_plan(&geo, page_shift, window_size, levels);
	if (ret)
		return ret;

	tbl = create_table(pnv_to_pe(table_group), num, &geo,
			   GFP_KERNEL_ACCOUNT);
	if (!tbl)
		return -ENOMEM;

	tbl->it_allocated_size = pnv_ioda2_get_table_size(page_shift,
							  window_size, levels);
	*ptbl = tbl;

	return 0;
}

/*
 * Have a device use the table that window 0 has now, or none. The IOMMU core
 * calls for each device of the group. The PE's list of devices is not for us to
 * walk: devices are removed from it under locks that are taken before ours.
 */
static void set_dev_dma(struct pnv_ioda_pe *pe, struct device *dev)
{
	set_iommu_table_base(dev, pnv_ioda2_kernel_table(&pe->table_group));
	dev->archdata.dma_offset = pe->tce_bypass_base;
}

/*
 * Where the kernel had no memory for its table, a driver on PHB3 may have had
 * window 0 reach all of memory: pnv_pci_ioda_dma_64bit_bypass().
 */
static int close_window(struct pnv_ioda_pe *pe, int num)
{
	int ret = pnv_ioda2_map_window(pe, num, NULL);

	kill_window(pe);

	return ret;
}

/*
 * Called for each device of the group. The first call takes the kernel's windows
 * away, so the others do not fail. If it fails, the kernel has what it had: the
 * other devices have its table in their archdata, and the core does not ask them.
 */
static long pnv_ioda2_take_ownership(struct iommu_table_group *table_group,
				     struct device *dev)
{
	struct pnv_ioda_pe *pe = pnv_to_pe(table_group);

	if (pe->owned)
		goto out;

	/* A device must not reach what a former owner has mapped, */
	if (!drop_all_stuck(pe))
		return -EIO;

	/* nor all of memory, */
	set_bypass(pe, false);
	if (pe->tce_bypass_enabled)
		return -EIO;

	/* nor what the kernel has mapped. */
	if (pnv_ioda2_kernel_table(table_group)) {
		if (try_unset_window(pe, 0))
			return -EIO;
	} else if (!table_group->tables[0] && close_window(pe, 0)) {
		return -EIO;
	}
	pe->owned = true;
out:
	set_dev_dma(pe, dev);

	return 0;
}

/*
 * Called for each device of the group, and after a take_ownership() that has
 * failed. Windows that are there may be a domain's; this is called again when it
 * has left.
 */
static void pnv_ioda2_release_ownership(struct iommu_table_group *table_group,
					struct device *dev)
{
	struct pnv_ioda_pe *pe = pnv_to_pe(table_group);

	pe->owned = false;
	if (!table_group->tables[0])
		setup_default_table(pe);
	if (!table_group->tables[1])
		setup_bypass(pe);
	set_dev_dma(pe, dev);
	drop_all_stuck(pe);
}

struct iommu_table_group_ops pnv_ioda2_group_ops = {
	.shares_tables		= true,
	.get_table_size		= pnv_ioda2_get_table_size,
	.create_table		= pnv_ioda2_create_table,
	.set_window		= pnv_ioda2_set_window,
	.unset_window		= pnv_ioda2_unset_window,
	.take_ownership		= pnv_ioda2_take_ownership,
	.release_ownership	= pnv_ioda2_release_ownership,
};
#endif /* CONFIG_IOMMU_API */

/**
 * pnv_pci_ioda2_setup_dma_pe - give a PE its windows, and a group
 * @phb: the PE's PHB
 * @pe: the PE
 *
 * Context: May sleep. When the first device of the PE is set up.
 */
void pnv_pci_ioda2_setup_dma_pe(struct pnv_phb *phb, struct pnv_ioda_pe *pe)
{
	struct iommu_table_group *table_group = &pe->table_group;
	int ret;

	/* M64 segments choose their PE, and so may get one that was kept. */
	if (!drop_all_stuck(pe))
		return;

	pe->tce_bypass_base = PNV_WINDOW_1_START;
	table_group->tce32_start = 0;
	table_group->tce32_size = phb->ioda.m32_pci_base;
	table_group->max_dynamic_windows_supported =
		IOMMU_TABLE_GROUP_MAX_TABLES;
	table_group->max_levels = PNV_TCE_MAX_LEVELS;
	table_group->pgsizes = pnv_ioda_parse_tce_sizes(phb);

	ret = setup_default_table(pe);
	setup_bypass(pe);
	if (ret)
		return;

	if (pe->pdev)
		set_iommu_table_base(&pe->pdev->dev, table_group->tables[0]);

#ifdef CONFIG_IOMMU_API
	table_group->ops = &pnv_ioda2_group_ops;
	iommu_register_group(table_group, phb->hose->global_number,
			     pe->pe_number);
#endif
	pe->dma_setup_done = true;
}

/**
 * pnv_pci_ioda2_release_pe_dma - take a PE's windows and its group away
 * @pe: the PE; its last device is gone
 *
 * The IOMMU group may live on, without tables. After this nobody looks at the
 * PE any more: neither readers that found it by the group, nor CPUs that kill
 * entries of a table that was its window. Both are waited for, by RCU, and by
 * SRCU where RCU does not watch.
 *
 * Context: May sleep.
 * Return: true; false if firmware keeps a window, by which devices that were
 *	   given the PE would reach memory. The PE must stay as it is then.
 */
bool pnv_pci_ioda2_release_pe_dma(struct pnv_ioda_pe *pe)
{
	bool ok;
	int num;

	/* There even if nothing else could be set up. */
	set_bypass(pe, false);
	pe->owned = false;
	for (num = 0; num < IOMMU_TABLE_GROUP_MAX_TABLES; num++)
		pnv_ioda2_unset_window(&pe->table_group, num);

	ok = drop_all_stuck(pe) && !pe->tce_bypass_enabled;
	if (!ok)
		pe_err(pe, "not used any more: OPAL keeps a window\n");

	/* Waits for RCU readers; without a group nothing but the kernel was. */
	iommu_unregister_group(&pe->table_group);
	tce_synchronize_real_mode();
	pe->dma_setup_done = false;

	return ok;
}
