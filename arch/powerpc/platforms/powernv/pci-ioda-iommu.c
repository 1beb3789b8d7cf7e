// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * IOMMU domains of IODA2 and later PHBs, which iommufd maps memory in.
 *
 * A domain is two TCE tables. Each is a window of all PEs that are attached:
 *
 *   window   bus addresses                          entries   levels
 *   0        0 to 2^48 - 1                          4 KiB     4
 *   1        2^59 to 2^59 + 2^36 * PAGE_SIZE - 1    a page    4
 *
 * Both are as large as four levels of 4 KiB make them, because nobody says in
 * advance which bus addresses a process will use. Most programs that were
 * written for other platforms use their own virtual addresses, or low ones;
 * these are in window 0, whatever the page size is. If pages are of 64 KiB,
 * window 1 takes a sixteenth of the entries for the same memory. Larger entries
 * than a page would do so for huge pages alone, and refuse other memory where
 * IOMMU_IOAS_IOVA_RANGES says that it can be mapped. What is between the
 * windows, and the MMIO of the PHB, is reserved.
 *
 * An empty domain takes 8 KiB, the topmost levels. Others appear when they are
 * mapped in first, charged to the memory controller, and go with the domain:
 * unmapping needs no memory and cannot fail.
 *
 * The caller that maps keeps others off its range, so entries need no lock.
 * Levels are installed by compare-and-swap. Attaching is under the mutex of the
 * IOMMU group, which is the PE. The windows of a PE tell what it is attached to:
 * they are the tables of the domain, or there are none. So a domain knows no PE,
 * and nothing has to be undone when a PE goes.
 */

#include <linux/iommu.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/tce.h>

#include "pci.h"
#include "pci-ioda-tce.h"

#define NR_WINDOWS	IOMMU_TABLE_GROUP_MAX_TABLES

/* So many entries are changed without a look at whether others want the CPU. */
#define MAX_ENTRIES	SZ_64K

/**
 * struct window_shape - what a window of all domains is
 * @start: its first bus address
 * @bytes: how long it is
 * @page_shift: size of an entry's page
 */
struct window_shape {
	u64 start;
	u64 bytes;
	unsigned int page_shift;
};

static const struct window_shape shapes[NR_WINDOWS] = {
	{ .start = 0, .bytes = BIT_ULL(48), .page_shift = 12 },
	{ .start = BIT_ULL(59), .bytes = BIT_ULL(36 + PAGE_SHIFT),
	  .page_shift = PAGE_SHIFT },
};

/**
 * struct pnv_domain - an IOMMU domain
 * @domain: what the IOMMU core knows of it
 * @tables: the tables of its windows
 */
struct pnv_domain {
	struct iommu_domain domain;
	struct iommu_table *tables[NR_WINDOWS];
};

static struct pnv_domain *to_pnv_domain(struct iommu_domain *domain)
{
	return container_of(domain, struct pnv_domain, domain);
}

/* Nobody owns these, so neither containers nor hypercalls change them. */
static struct iommu_table_ops domain_table_ops = {
	.get		= pnv_tce_get,
	.free		= pnv_tce_table_free,
	.tce_kill	= pnv_ioda2_tce_kill,
};

/* A container, which holds no lock of ours, may be removing a table of its own. */
static bool has_domain_window(const struct iommu_table_group *table_group,
			      int num)
{
	const struct iommu_table *tbl;

	guard(rcu)();
	tbl = READ_ONCE(table_group->tables[num]);

	return tbl && tbl->it_ops == &domain_table_ops;
}

static u64 last_address(const struct window_shape *shape)
{
	return shape->start + shape->bytes - 1;
}

/* The window that all of the range is in; -1 if there is none. */
static int find_window(u64 iova, size_t size)
{
	int num;

	for (num = 0; num < NR_WINDOWS; num++) {
		const struct window_shape *shape = &shapes[num];

		if (iova >= shape->start && size <= shape->bytes &&
		    iova - shape->start <= shape->bytes - size)
			return num;
	}

	return -1;
}

/* Entries */

static unsigned long tce_perm(int prot)
{
	unsigned long perm = 0;

	if (prot & IOMMU_READ)
		perm |= TCE_PCI_READ;
	if (prot & IOMMU_WRITE)
		perm |= TCE_PCI_WRITE;

	return perm;
}

static int map_run(struct iommu_table *tbl, unsigned long entry,
		   const struct tce_run *run, int prot, gfp_t gfp)
{
	int ret;

	ret = pnv_tce_grow_gfp(tbl, entry, run->entries, gfp);
	if (ret)
		return ret;

	return pnv_tce_set_runs(tbl, entry, run, 1, tce_perm(prot));
}

static int map_pages(struct iommu_domain *domain, unsigned long iova,
		     phys_addr_t paddr, size_t pgsize, size_t pgcount,
		     int prot, gfp_t gfp, size_t *mapped)
{
	int num = find_window(iova, pgsize * pgcount), ret;
	struct iommu_table *tbl;
	unsigned long left;

	if (num < 0 || pgsize >> shapes[num].page_shift == 0)
		return -EINVAL;
	/* Whether a PHB lets devices reach each other is up to firmware. */
	if (prot & IOMMU_MMIO)
		return -EINVAL;

	tbl = to_pnv_domain(domain)->tables[num];
	left = pgsize * pgcount >> tbl->it_page_shift;
	while (left) {
		struct tce_run run = {
			.hpa = paddr + *mapped,
			.entries = min_t(unsigned long, left, MAX_ENTRIES),
		};

		ret = map_run(tbl, (iova + *mapped) >> tbl->it_page_shift,
			      &run, prot, gfp);
		if (ret)
			return ret;

		*mapped += run.entries << tbl->it_page_shift;
		left -= run.entries;
		if (left && gfpflags_allow_blocking(gfp))
			cond_resched();
	}

	return 0;
}

/* Only iommufd unmaps, which may sleep; one call may be for all of an IOAS. */
static void clear_range(struct iommu_table *tbl, unsigned long entry,
			unsigned long entries)
{
	unsigned long n;

	for (; entries; entry += n, entries -= n) {
		n = min_t(unsigned long, entries, MAX_ENTRIES);
		pnv_tce_clear_range(tbl, entry, n);
		cond_resched();
	}
}

static size_t unmap_pages(struct iommu_domain *domain, unsigned long iova,
			  size_t pgsize, size_t pgcount,
			  struct iommu_iotlb_gather *gather)
{
	size_t size = pgsize * pgcount;
	int num = find_window(iova, size);
	struct iommu_table *tbl;

	if (num < 0 || pgsize >> shapes[num].page_shift == 0)
		return 0;

	tbl = to_pnv_domain(domain)->tables[num];
	clear_range(tbl, iova >> tbl->it_page_shift,
		    size >> tbl->it_page_shift);
	iommu_iotlb_gather_add_range(gather, iova, size);

	return size;
}

static phys_addr_t iova_to_phys(struct iommu_domain *domain, dma_addr_t iova)
{
	int num = find_window(iova, 1);
	struct iommu_table *tbl;
	unsigned long tce;

	if (num < 0)
		return 0;

	tbl = to_pnv_domain(domain)->tables[num];
	tce = pnv_tce_get(tbl, iova >> tbl->it_page_shift);
	if (!tce)
		return 0;

	return (tce & IOMMU_PAGE_MASK(tbl)) | (iova & ~IOMMU_PAGE_MASK(tbl));
}

/* Have all PHBs of the domain forget what they cached of these addresses. */
static void kill_range(struct iommu_domain *domain, u64 first, u64 last)
{
	int num;

	for (num = 0; num < NR_WINDOWS; num++) {
		struct iommu_table *tbl = to_pnv_domain(domain)->tables[num];
		u64 from = max(first, shapes[num].start);
		u64 to = min(last, last_address(&shapes[num]));

		if (from > to)
			continue;
		from >>= tbl->it_page_shift;
		to >>= tbl->it_page_shift;
		pnv_ioda2_tce_kill(tbl, from, to - from + 1);
	}
}

static void iotlb_sync(struct iommu_domain *domain,
		       struct iommu_iotlb_gather *gather)
{
	kill_range(domain, gather->start, gather->end);
}

/*
 * No public text says that a PHB does not cache entries that translate nothing,
 * so new entries are killed as well, as those of the kernel's own DMA are.
 */
static int iotlb_sync_map(struct iommu_domain *domain, unsigned long iova,
			  size_t size)
{
	kill_range(domain, iova, iova + size - 1);

	return 0;
}

static void flush_iotlb_all(struct iommu_domain *domain)
{
	kill_range(domain, 0, U64_MAX);
}

/* Domains */

static void free_table(struct iommu_table *tbl)
{
	if (!tbl)
		return;

	/* Firmware keeps a window of it that is nobody's any more. */
	if (!list_empty(&tbl->it_group_list)) {
		clear_range(tbl, tbl->it_offset, tbl->it_size);
		pnv_ioda2_tce_kill(tbl, tbl->it_offset, tbl->it_size);
	}
	iommu_tce_table_put(tbl);
}

static void free_domain(struct iommu_domain *domain)
{
	struct pnv_domain *d = to_pnv_domain(domain);
	int num;

	for (num = 0; num < NR_WINDOWS; num++)
		free_table(d->tables[num]);
	kfree(d);
}

static const struct iommu_domain_ops domain_ops = {
	.attach_dev		= spapr_tce_iommu_attach_dev,
	.map_pages		= map_pages,
	.unmap_pages		= unmap_pages,
	.flush_iotlb_all	= flush_iotlb_all,
	.iotlb_sync_map		= iotlb_sync_map,
	.iotlb_sync		= iotlb_sync,
	.iova_to_phys		= iova_to_phys,
	.free			= free_domain,
};

static struct iommu_table *create_table(const struct window_shape *shape,
					int nid)
{
	struct pnv_tce_geometry geo;
	struct iommu_table *tbl;

	if (pnv_tce_plan(&geo, shape->page_shift, shape->bytes,
			 PNV_TCE_MAX_LEVELS))
		return NULL;

	tbl = pnv_pci_table_alloc(nid, GFP_KERNEL_ACCOUNT);
	if (!tbl)
		return NULL;

	tbl->it_ops = &domain_table_ops;
	if (pnv_tce_table_init(tbl, &geo, shape->start, nid,
			       GFP_KERNEL_ACCOUNT)) {
		iommu_tce_table_put(tbl);
		return NULL;
	}

	return tbl;
}

static bool has_pages(const struct iommu_table_group *table_group)
{
	return !(~table_group->pgsizes & (SZ_4K | SZ_64K));
}

static struct pnv_phb *phb_of(struct iommu_table_group *table_group)
{
	return pnv_to_pe(table_group)->phb;
}

static struct iommu_domain *
pnv_domain_alloc(struct iommu_table_group *table_group)
{
	int nid = phb_of(table_group)->hose->node, num;
	struct pnv_domain *d;

	if (!has_pages(table_group))
		return ERR_PTR(-EOPNOTSUPP);

	d = kzalloc_node(sizeof(*d), GFP_KERNEL_ACCOUNT, nid);
	if (!d)
		return ERR_PTR(-ENOMEM);

	for (num = 0; num < NR_WINDOWS; num++) {
		d->tables[num] = create_table(&shapes[num], nid);
		if (!d->tables[num]) {
			free_domain(&d->domain);
			return ERR_PTR(-ENOMEM);
		}
	}

	d->domain.ops = &domain_ops;
	d->domain.pgsize_bitmap = SZ_4K | SZ_64K;
	d->domain.geometry.aperture_end = last_address(&shapes[1]);
	d->domain.geometry.force_aperture = true;

	return &d->domain;
}

/* Attaching: with the mutex of the group held */

static int put_window(struct iommu_table_group *table_group, int num,
		      struct iommu_table *tbl)
{
	if (table_group->tables[num] == tbl)
		return 0;
	if (!tbl)
		return pnv_ioda2_unset_window(table_group, num);

	return pnv_ioda2_set_window(table_group, num, tbl);
}

/* Takes away what windows of a domain there are. */
static void pnv_domain_detach(struct iommu_table_group *table_group)
{
	int num;

	/* A window that firmware keeps is stuck, see pci-ioda-dma.c. */
	for (num = 0; num < NR_WINDOWS; num++) {
		if (has_domain_window(table_group, num))
			pnv_ioda2_unset_window(table_group, num);
	}
}

/*
 * From the windows of another domain, or none. Each window is either domain's
 * at any time. If firmware refuses the new one and then the old one, devices
 * reach nothing: half a domain is not what anybody has been told of.
 */
static int pnv_domain_attach(struct iommu_table_group *table_group,
			     struct iommu_domain *domain)
{
	struct iommu_table *was = table_group->tables[0];
	struct pnv_domain *d = to_pnv_domain(domain);
	int ret;

	if (!has_pages(table_group))
		return -EINVAL;

	if (was)
		iommu_tce_table_get(was);
	ret = put_window(table_group, 0, d->tables[0]);
	if (!ret) {
		ret = put_window(table_group, 1, d->tables[1]);
		if (ret && put_window(table_group, 0, was))
			pnv_domain_detach(table_group);
	}
	if (was)
		iommu_tce_table_put(was);

	/* After EINVAL iommufd tries its other domains, and then a new one. */
	return ret && ret != -ENOMEM ? -EIO : ret;
}

/*
 * The IOMMU core sees no error here: what a list lacks can be mapped. So this
 * does not fail. Those who ask may sleep, and a region is small.
 */
static void reserve(struct list_head *list, u64 start, u64 end)
{
	struct iommu_resv_region *region;

	region = iommu_alloc_resv_region(start, end - start, 0,
					 IOMMU_RESV_RESERVED,
					 GFP_KERNEL | __GFP_NOFAIL);
	list_add_tail(&region->list, list);
}

static void pnv_domain_resv_regions(struct iommu_table_group *table_group,
				    struct list_head *list)
{
	const struct pnv_phb *phb = phb_of(table_group);
	u64 end = last_address(&shapes[0]) + 1, m64 = phb->ioda.m64_base;

	reserve(list, phb->ioda.m32_pci_base, SZ_4G);
	/* PHB3 has its MMIO of 64 bits below 2^48, others between the windows. */
	if (phb->ioda.m64_size && m64 < end)
		reserve(list, m64, min(m64 + phb->ioda.m64_size, end));
	reserve(list, end, shapes[1].start);
}

const struct iommu_table_domain_ops pnv_table_domain_ops = {
	.alloc		= pnv_domain_alloc,
	.attach		= pnv_domain_attach,
	.detach		= pnv_domain_detach,
	.resv_regions	= pnv_domain_resv_regions,
};
