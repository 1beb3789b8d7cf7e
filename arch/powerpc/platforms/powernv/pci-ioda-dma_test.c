// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * KUnit tests of a PE's windows: of what happens when firmware refuses, and
 * when a PE goes while others look at it, or is attached to a domain of
 * iommufd.
 *
 * The PE is none of the machine's. Firmware is replaced by functions here, and
 * the PHB's kill register by memory, which tells what was last killed.
 */
#include <kunit/static_stub.h>
#include <kunit/test.h>

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/iommu.h>
#include <linux/kthread.h>
#include <linux/pci.h>
#include <linux/sizes.h>

#include <asm/iommu.h>
#include <asm/mm_iommu.h>

#include "pci.h"
#include "pci-ioda-tce.h"

#define FAKE_REGS	SZ_4K
#define FAKE_KILL	0x210

/* Commands that kill all of the PE, or one page of it. */
#define FAKE_KILL_PE		(PPC_BIT(1) | 5)
#define FAKE_KILL_PAGE(addr)	(PPC_BIT(2) | (addr) | 5)

/**
 * struct fake - a PE, its PHB, and the firmware
 * @pe: the PE
 * @phb: its PHB, of the kind that has a kill register
 * @hose: its host bridge
 * @pdev: its device
 * @walks: what firmware was told of each window
 * @refuse_set: firmware takes no table
 * @refuse_window_1: nor one for this window
 * @refuse_then: once it has refused that, it takes no table at all
 * @refuse_unset: firmware takes no table away
 * @refuse_unset_of: bits: nor from these windows
 * @refuse_bypass: firmware changes nothing of the bypass
 * @was_linked: kills reached the PE when firmware was told of a table
 */
struct fake {
	struct pnv_ioda_pe pe;
	struct pnv_phb phb;
	struct pci_controller hose;
	struct pci_dev pdev;
	const struct iommu_table *walks[IOMMU_TABLE_GROUP_MAX_TABLES];
	bool refuse_set;
	bool refuse_window_1;
	bool refuse_then;
	bool refuse_unset;
	unsigned int refuse_unset_of;
	bool refuse_bypass;
	bool was_linked;
};

static bool is_linked(const struct pnv_ioda_pe *pe,
		      const struct iommu_table *tbl)
{
	const struct iommu_table_group_link *link;

	list_for_each_entry(link, &tbl->it_group_list, next) {
		if (link->table_group == &pe->table_group)
			return true;
	}

	return false;
}

static int fake_map_window(struct pnv_ioda_pe *pe, int num,
			   const struct iommu_table *tbl)
{
	struct fake *f = container_of(pe, struct fake, pe);

	if (tbl ? f->refuse_set : f->refuse_unset)
		return -EIO;
	if (!tbl && (f->refuse_unset_of & BIT(num)))
		return -EIO;
	if (tbl && num == 1 && f->refuse_window_1) {
		f->refuse_set = f->refuse_then;
		/* As for OPAL_PARAMETER */
		return -EINVAL;
	}

	f->was_linked = tbl && is_linked(pe, tbl);
	f->walks[num] = tbl;

	return 0;
}

static int fake_map_bypass(struct pnv_ioda_pe *pe, u64 top)
{
	struct fake *f = container_of(pe, struct fake, pe);

	return f->refuse_bypass ? -EIO : fake_map_window(pe, 1, NULL);
}

static struct fake *make_fake(struct kunit *test)
{
	void *regs = kunit_kzalloc(test, FAKE_REGS, GFP_KERNEL);
	struct fake *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, regs);
	KUNIT_ASSERT_NOT_NULL(test, f);
	f->hose.node = NUMA_NO_NODE;
	f->hose.global_number = 0x100;
	f->phb.hose = &f->hose;
	f->phb.model = PNV_PHB_MODEL_PHB3;
	f->phb.regs = (__force void __iomem *)regs;
	f->phb.ioda.m32_pci_base = SZ_2G;
	f->pdev.dev.init_name = "kunit";
	f->pe.phb = &f->phb;
	f->pe.pe_number = 5;
	f->pe.flags = PNV_IODA_PE_DEV;
	f->pe.pdev = &f->pdev;
	f->pe.table_group.ops = &pnv_ioda2_group_ops;
	f->pe.table_group.pgsizes = SZ_4K | SZ_64K;

	kunit_activate_static_stub(test, pnv_ioda2_map_window, fake_map_window);
	kunit_activate_static_stub(test, pnv_ioda2_map_bypass, fake_map_bypass);

	return f;
}

/* With a reference, by which the test sees that the PE has none any more. */
static struct iommu_table *make_window(struct kunit *test, struct fake *f,
				       int num)
{
	struct iommu_table_group *table_group = &f->pe.table_group;
	struct iommu_table *tbl;

	KUNIT_ASSERT_EQ(test, 0,
			table_group->ops->create_table(table_group, num, 16,
						       SZ_1G, 2, &tbl));

	return tbl;
}

/* The last command since the last call of this; 0 if there was none. */
static u64 last_kill(struct fake *f)
{
	__be64 *reg = (__force __be64 *)(f->phb.regs + FAKE_KILL);
	u64 command = be64_to_cpu(READ_ONCE(*reg));

	WRITE_ONCE(*reg, 0);

	return command;
}

/* Does a kill of the table's entries reach the PE? */
static bool kill_arrives(struct fake *f, struct iommu_table *tbl)
{
	last_kill(f);
	tbl->it_ops->tce_kill(tbl, tbl->it_offset, 1);

	return last_kill(f);
}

static unsigned int refs(const struct iommu_table *tbl)
{
	return kref_read(&tbl->it_kref);
}

/* A kill must reach whoever may walk the table, so linking comes first. */
static void window_is_linked_before_it_is_walked(struct kunit *test)
{
	struct fake *f = make_fake(test);
	struct iommu_table_group *table_group = &f->pe.table_group;
	struct iommu_table *tbl = make_window(test, f, 1);

	KUNIT_EXPECT_FALSE(test, kill_arrives(f, tbl));
	KUNIT_ASSERT_EQ(test, 0, pnv_ioda2_set_window(table_group, 1, tbl));
	KUNIT_EXPECT_TRUE(test, f->was_linked);
	KUNIT_EXPECT_PTR_EQ(test, tbl, table_group->tables[1]);
	KUNIT_EXPECT_TRUE(test, kill_arrives(f, tbl));

	KUNIT_EXPECT_EQ(test, 0, pnv_ioda2_unset_window(table_group, 1));
	KUNIT_EXPECT_NULL(test, table_group->tables[1]);
	KUNIT_EXPECT_FALSE(test, kill_arrives(f, tbl));
	KUNIT_EXPECT_EQ(test, 1, refs(tbl));
	iommu_tce_table_put(tbl);
}

/* Pages whose size firmware has no room for are killed with all of the PE. */
static void window_of_huge_pages_is_killed_whole(struct kunit *test)
{
	struct fake *f = make_fake(test);
	struct iommu_table *tbl = make_window(test, f, 1);

	KUNIT_ASSERT_EQ(test, 0,
			pnv_ioda2_set_window(&f->pe.table_group, 1, tbl));
	tbl->it_page_shift = 34;
	last_kill(f);
	tbl->it_ops->tce_kill(tbl, tbl->it_offset, 1);
	KUNIT_EXPECT_EQ(test, FAKE_KILL_PE, last_kill(f));

	tbl->it_page_shift = 16;
	pnv_ioda2_unset_window(&f->pe.table_group, 1);
	iommu_tce_table_put(tbl);
}

/* Drivers of the host, also of a device that joins late, use no other's. */
static void kernel_table_is_not_an_owners(struct kunit *test)
{
	struct fake *f = make_fake(test);
	struct iommu_table_group *table_group = &f->pe.table_group;
	struct iommu_table *tbl = make_window(test, f, 0);
	unsigned long used;

	KUNIT_EXPECT_NULL(test, pnv_ioda2_kernel_table(table_group));
	KUNIT_ASSERT_EQ(test, 0, pnv_ioda2_set_window(table_group, 0, tbl));
	KUNIT_EXPECT_NULL(test, pnv_ioda2_kernel_table(table_group));

	tbl->it_map = &used;
	KUNIT_EXPECT_PTR_EQ(test, tbl, pnv_ioda2_kernel_table(table_group));

	tbl->it_map = NULL;
	pnv_ioda2_unset_window(table_group, 0);
	iommu_tce_table_put(tbl);
}

/* A refused table leaves nothing behind. */
static void window_is_refused(struct kunit *test)
{
	struct fake *f = make_fake(test);
	struct iommu_table *tbl = make_window(test, f, 0);

	f->refuse_set = true;
	KUNIT_EXPECT_EQ(test, -EIO,
			pnv_ioda2_set_window(&f->pe.table_group, 0, tbl));
	KUNIT_EXPECT_NULL(test, f->pe.table_group.tables[0]);
	KUNIT_EXPECT_FALSE(test, kill_arrives(f, tbl));
	KUNIT_EXPECT_EQ(test, 1, refs(tbl));
	iommu_tce_table_put(tbl);
}

/* A window that firmware keeps is killed until another takes its place. */
static void window_stuck_is_replaced(struct kunit *test)
{
	struct fake *f = make_fake(test);
	struct iommu_table_group *table_group = &f->pe.table_group;
	struct iommu_table *tbl = make_window(test, f, 0);
	struct iommu_table *next = make_window(test, f, 0);

	KUNIT_ASSERT_EQ(test, 0, pnv_ioda2_set_window(table_group, 0, tbl));
	f->refuse_unset = true;
	KUNIT_EXPECT_EQ(test, -EIO, pnv_ioda2_unset_window(table_group, 0));
	KUNIT_EXPECT_NULL(test, table_group->tables[0]);
	KUNIT_EXPECT_PTR_EQ(test, tbl, f->walks[0]);
	KUNIT_EXPECT_TRUE(test, kill_arrives(f, tbl));
	KUNIT_EXPECT_EQ(test, 2, refs(tbl));

	/* There is no window to take away any more. */
	KUNIT_EXPECT_EQ(test, 0, pnv_ioda2_unset_window(table_group, 0));
	KUNIT_EXPECT_TRUE(test, kill_arrives(f, tbl));

	/* A table that is refused changes nothing. */
	f->refuse_set = true;
	KUNIT_EXPECT_EQ(test, -EIO, pnv_ioda2_set_window(table_group, 0, next));
	KUNIT_EXPECT_TRUE(test, kill_arrives(f, tbl));

	f->refuse_set = false;
	KUNIT_EXPECT_EQ(test, 0, pnv_ioda2_set_window(table_group, 0, next));
	KUNIT_EXPECT_FALSE(test, kill_arrives(f, tbl));
	KUNIT_EXPECT_TRUE(test, kill_arrives(f, next));
	KUNIT_EXPECT_EQ(test, 1, refs(tbl));
	KUNIT_EXPECT_EQ(test, 2, refs(next));

	f->refuse_unset = false;
	KUNIT_EXPECT_EQ(test, 0, pnv_ioda2_unset_window(table_group, 0));
	iommu_tce_table_put(tbl);
	iommu_tce_table_put(next);
}

/* Nobody is given a PE by which a former owner's table is walked. */
static void window_stuck_keeps_owners_off(struct kunit *test)
{
	struct fake *f = make_fake(test);
	struct iommu_table_group *table_group = &f->pe.table_group;
	struct iommu_table *tbl = make_window(test, f, 1);

	KUNIT_ASSERT_EQ(test, 0, pnv_ioda2_set_window(table_group, 1, tbl));
	f->refuse_unset = true;
	KUNIT_EXPECT_EQ(test, -EIO, pnv_ioda2_unset_window(table_group, 1));
	KUNIT_EXPECT_EQ(test, -EIO,
			table_group->ops->take_ownership(table_group,
							 &f->pdev.dev));
	KUNIT_EXPECT_TRUE(test, kill_arrives(f, tbl));

	f->refuse_unset = false;
	KUNIT_EXPECT_EQ(test, 0,
			table_group->ops->take_ownership(table_group,
							 &f->pdev.dev));
	KUNIT_EXPECT_NULL(test, f->walks[1]);
	KUNIT_EXPECT_FALSE(test, kill_arrives(f, tbl));
	KUNIT_EXPECT_EQ(test, 1, refs(tbl));
	iommu_tce_table_put(tbl);
}

/**
 * struct two - a PE with two devices and the windows of the kernel
 * @f: the PE, and its first device
 * @other: the second one
 * @tbl: the kernel's table, with a reference
 */
struct two {
	struct fake *f;
	struct pci_dev other;
	struct iommu_table *tbl;
};

static struct two *make_two(struct kunit *test)
{
	struct two *two = kunit_kzalloc(test, sizeof(*two), GFP_KERNEL);
	struct iommu_table_group *table_group;

	KUNIT_ASSERT_NOT_NULL(test, two);
	two->f = make_fake(test);
	two->other.dev.init_name = "kunit-other";
	table_group = &two->f->pe.table_group;
	table_group->ops->release_ownership(table_group, &two->f->pdev.dev);
	table_group->ops->release_ownership(table_group, &two->other.dev);
	two->tbl = table_group->tables[0];
	KUNIT_ASSERT_NOT_NULL(test, two->tbl);
	iommu_tce_table_get(two->tbl);

	return two;
}

/* As the core does it when the first device is refused; the other isn't asked. */
static void expect_refused(struct kunit *test, struct two *two)
{
	struct iommu_table_group *table_group = &two->f->pe.table_group;
	struct device *dev = &two->f->pdev.dev;

	KUNIT_EXPECT_EQ(test, -EIO,
			table_group->ops->take_ownership(table_group, dev));
	table_group->ops->release_ownership(table_group, dev);

	KUNIT_EXPECT_PTR_EQ(test, two->tbl, table_group->tables[0]);
	KUNIT_EXPECT_PTR_EQ(test, two->tbl, two->f->walks[0]);
	KUNIT_EXPECT_PTR_EQ(test, two->tbl, get_iommu_table_base(dev));
	KUNIT_EXPECT_PTR_EQ(test, two->tbl,
			    get_iommu_table_base(&two->other.dev));
	KUNIT_EXPECT_EQ(test, 2, refs(two->tbl));
}

static void end_two(struct kunit *test, struct two *two)
{
	struct iommu_table_group *table_group = &two->f->pe.table_group;

	two->f->refuse_unset_of = 0;
	two->f->refuse_bypass = false;
	KUNIT_EXPECT_EQ(test, 0,
			table_group->ops->take_ownership(table_group,
							 &two->f->pdev.dev));
	KUNIT_EXPECT_EQ(test, 0,
			table_group->ops->take_ownership(table_group,
							 &two->other.dev));
	KUNIT_EXPECT_NULL(test, get_iommu_table_base(&two->other.dev));
	KUNIT_EXPECT_NULL(test, two->f->walks[0]);
	KUNIT_EXPECT_FALSE(test, two->f->pe.tce_bypass_enabled);
	KUNIT_EXPECT_EQ(test, 1, refs(two->tbl));
	iommu_tce_table_put(two->tbl);
}

/* The other device of the group has the kernel's table, and keeps it. */
static void window_stuck_leaves_the_kernels(struct kunit *test)
{
	struct two *two = make_two(test);
	struct fake *f = two->f;
	struct iommu_table_group *table_group = &f->pe.table_group;
	struct iommu_table *tbl = make_window(test, f, 1);

	/* Firmware keeps window 1 of a former owner, and lets no bypass there. */
	KUNIT_ASSERT_EQ(test, 0,
			table_group->ops->take_ownership(table_group,
							 &f->pdev.dev));
	KUNIT_ASSERT_EQ(test, 0, pnv_ioda2_set_window(table_group, 1, tbl));
	f->refuse_unset_of = BIT(1);
	f->refuse_bypass = true;
	KUNIT_EXPECT_EQ(test, -EIO, pnv_ioda2_unset_window(table_group, 1));
	table_group->ops->release_ownership(table_group, &f->pdev.dev);
	table_group->ops->release_ownership(table_group, &two->other.dev);
	iommu_tce_table_put(two->tbl);
	two->tbl = iommu_tce_table_get(table_group->tables[0]);
	KUNIT_ASSERT_NOT_NULL(test, two->tbl);

	expect_refused(test, two);
	KUNIT_EXPECT_TRUE(test, kill_arrives(f, tbl));

	end_two(test, two);
	KUNIT_EXPECT_EQ(test, 1, refs(tbl));
	iommu_tce_table_put(tbl);
}

/* Firmware does not give the kernel's own window away. */
static void window_of_the_kernel_is_kept(struct kunit *test)
{
	struct two *two = make_two(test);

	two->f->refuse_unset_of = BIT(0);
	expect_refused(test, two);
	/* What was taken away before that is back. */
	KUNIT_EXPECT_EQ(test, !pnv_iommu_bypass_disabled,
			two->f->pe.tce_bypass_enabled);

	end_two(test, two);
}

/* Without a table of the kernel's, window 0 may reach all of memory. */
static void window_without_a_table_is_closed(struct kunit *test)
{
	static const struct iommu_table all_of_memory;
	struct fake *f = make_fake(test);
	struct iommu_table_group *table_group = &f->pe.table_group;

	f->walks[0] = &all_of_memory;
	f->refuse_unset = true;
	KUNIT_EXPECT_EQ(test, -EIO,
			table_group->ops->take_ownership(table_group,
							 &f->pdev.dev));
	f->refuse_unset = false;
	KUNIT_EXPECT_EQ(test, 0,
			table_group->ops->take_ownership(table_group,
							 &f->pdev.dev));
	KUNIT_EXPECT_NULL(test, f->walks[0]);
}

/* Nor is a PE given to devices that come later. */
static void window_stuck_keeps_the_pe(struct kunit *test)
{
	struct fake *f = make_fake(test);
	struct iommu_table_group *table_group = &f->pe.table_group;
	struct iommu_table *tbl[2] = {
		make_window(test, f, 0), make_window(test, f, 1),
	};
	int num;

	for (num = 0; num < 2; num++)
		KUNIT_ASSERT_EQ(test, 0, pnv_ioda2_set_window(table_group, num,
							      tbl[num]));

	/* An owner that is still there loses both windows. */
	f->refuse_unset = true;
	KUNIT_EXPECT_FALSE(test, pnv_pci_ioda2_release_pe_dma(&f->pe));
	for (num = 0; num < 2; num++) {
		KUNIT_EXPECT_NULL(test, table_group->tables[num]);
		KUNIT_EXPECT_TRUE(test, kill_arrives(f, tbl[num]));
	}

	f->refuse_unset = false;
	KUNIT_EXPECT_TRUE(test, pnv_pci_ioda2_release_pe_dma(&f->pe));
	for (num = 0; num < 2; num++) {
		KUNIT_EXPECT_NULL(test, f->walks[num]);
		KUNIT_EXPECT_FALSE(test, kill_arrives(f, tbl[num]));
		KUNIT_EXPECT_EQ(test, 1, refs(tbl[num]));
		iommu_tce_table_put(tbl[num]);
	}
}

/* A group that somebody keeps has nothing of the PE, which is another's now. */
static void group_outlives_the_pe(struct kunit *test)
{
	struct fake *f = make_fake(test);
	struct iommu_table_group *table_group = &f->pe.table_group;
	struct iommu_group *old, *new;

	iommu_register_group(table_group, 0x100, 5);
	KUNIT_ASSERT_NOT_NULL(test, table_group->group);
	old = iommu_group_ref_get(table_group->group);
	KUNIT_EXPECT_PTR_EQ(test, (void *)table_group,
			    iommu_group_get_iommudata(old));
	KUNIT_EXPECT_TRUE(test, pnv_pci_ioda2_release_pe_dma(&f->pe));
	KUNIT_EXPECT_NULL(test, table_group->group);
	KUNIT_EXPECT_NULL(test, iommu_group_get_iommudata(old));

	iommu_register_group(table_group, 0x100, 5);
	new = table_group->group;
	KUNIT_ASSERT_NOT_NULL(test, new);
	iommu_group_put(old);
	KUNIT_EXPECT_PTR_EQ(test, new, table_group->group);
	KUNIT_EXPECT_PTR_EQ(test, (void *)table_group,
			    iommu_group_get_iommudata(new));
	KUNIT_EXPECT_TRUE(test, pnv_pci_ioda2_release_pe_dma(&f->pe));
}

/**
 * struct onlooker - a reader like real mode, which is slow
 * @started: it has found the PE
 * @done: it has looked at it for the last time
 * @left: it is out of its read-side section
 */
struct onlooker {
	struct completion started;
	bool done;
	struct completion left;
};

static int look(void *data)
{
	struct onlooker *o = data;
	int idx = srcu_read_lock(&tce_real_mode_srcu);

	complete(&o->started);
	msleep(50);
	WRITE_ONCE(o->done, true);
	srcu_read_unlock(&tce_real_mode_srcu, idx);
	complete(&o->left);

	return 0;
}

/* A PE is not used again while real mode may kill entries in it. */
static void pe_waits_for_real_mode(struct kunit *test)
{
	struct fake *f = make_fake(test);
	struct task_struct *task;
	struct onlooker *o;

	o = kunit_kzalloc(test, sizeof(*o), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, o);
	init_completion(&o->started);
	init_completion(&o->left);
	task = kthread_run(look, o, "kunit-onlooker");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));

	wait_for_completion(&o->started);
	KUNIT_EXPECT_TRUE(test, pnv_pci_ioda2_release_pe_dma(&f->pe));
	KUNIT_EXPECT_TRUE(test, READ_ONCE(o->done));
	wait_for_completion(&o->left);
}

/* Domains of iommufd */

static const struct iommu_table_domain_ops *domains = &pnv_table_domain_ops;

static struct iommu_domain *make_domain(struct kunit *test, struct fake *f)
{
	struct iommu_domain *domain = domains->alloc(&f->pe.table_group);

	KUNIT_ASSERT_FALSE(test, IS_ERR(domain));

	return domain;
}

/* Both windows, with a reference to each. */
static void note_windows(struct fake *f, struct iommu_table *tbl[2])
{
	int num;

	for (num = 0; num < 2; num++)
		tbl[num] = iommu_tce_table_get(f->pe.table_group.tables[num]);
}

static void expect_unused(struct kunit *test, struct fake *f,
			  struct iommu_table *tbl[2])
{
	int num;

	for (num = 0; num < 2; num++) {
		KUNIT_EXPECT_FALSE(test, kill_arrives(f, tbl[num]));
		KUNIT_EXPECT_EQ(test, 1, refs(tbl[num]));
		iommu_tce_table_put(tbl[num]);
	}
}

/**
 * struct two_domains - a PE that is attached to one domain, and another one
 * @fake: the PE
 * @old: it is attached to this one
 * @new: the other one
 * @was: the tables of @old, with a reference to each
 */
struct two_domains {
	struct fake *fake;
	struct iommu_domain *old;
	struct iommu_domain *new;
	struct iommu_table *was[2];
};

static void make_two_domains(struct kunit *test, struct two_domains *two)
{
	two->fake = make_fake(test);
	two->old = make_domain(test, two->fake);
	two->new = make_domain(test, two->fake);
	KUNIT_ASSERT_EQ(test, 0, domains->attach(&two->fake->pe.table_group,
						 two->old));
	note_windows(two->fake, two->was);
}

/* Both tables of @old are the PE's, and firmware's. */
static void expect_old(struct kunit *test, const struct two_domains *two)
{
	const struct fake *f = two->fake;
	int num;

	for (num = 0; num < 2; num++) {
		KUNIT_EXPECT_PTR_EQ(test, two->was[num], f->walks[num]);
		KUNIT_EXPECT_PTR_EQ(test, two->was[num],
				    f->pe.table_group.tables[num]);
	}
}

/* The PE is attached to @old at last. */
static void end_two_domains(struct kunit *test, struct two_domains *two)
{
	two->new->ops->free(two->new);
	domains->detach(&two->fake->pe.table_group);
	two->old->ops->free(two->old);
	expect_unused(test, two->fake, two->was);
}

/* A domain that takes another's place has both windows, the other has none. */
static void domain_takes_the_place(struct kunit *test)
{
	struct iommu_table_group *table_group;
	struct iommu_table *is[2];
	struct two_domains two;
	struct fake *f;

	make_two_domains(test, &two);
	f = two.fake;
	table_group = &f->pe.table_group;
	/* For each further device of the group */
	KUNIT_EXPECT_EQ(test, 0, domains->attach(table_group, two.old));
	KUNIT_EXPECT_EQ(test, 3, refs(two.was[0]));

	KUNIT_EXPECT_EQ(test, 0, domains->attach(table_group, two.new));
	note_windows(f, is);
	KUNIT_EXPECT_PTR_NE(test, two.was[0], is[0]);
	KUNIT_EXPECT_PTR_EQ(test, is[0], f->walks[0]);
	KUNIT_EXPECT_PTR_EQ(test, is[1], f->walks[1]);
	two.old->ops->free(two.old);
	expect_unused(test, f, two.was);

	domains->detach(table_group);
	KUNIT_EXPECT_NULL(test, f->walks[0]);
	KUNIT_EXPECT_NULL(test, f->walks[1]);
	two.new->ops->free(two.new);
	expect_unused(test, f, is);
}

/* If firmware refuses the second window, the PE has no first one either. */
static void domain_is_refused_at_first(struct kunit *test)
{
	struct fake *f = make_fake(test);
	struct iommu_domain *domain = make_domain(test, f);

	f->refuse_window_1 = true;
	KUNIT_EXPECT_EQ(test, -EIO, domains->attach(&f->pe.table_group, domain));
	KUNIT_EXPECT_NULL(test, f->pe.table_group.tables[0]);
	KUNIT_EXPECT_NULL(test, f->walks[0]);
	domain->ops->free(domain);
}

/* If firmware refuses either window, the PE has what it had. */
static void domain_is_refused(struct kunit *test)
{
	struct two_domains two;

	make_two_domains(test, &two);
	two.fake->refuse_window_1 = true;
	KUNIT_EXPECT_EQ(test, -EIO,
			domains->attach(&two.fake->pe.table_group, two.new));
	expect_old(test, &two);
	two.fake->refuse_set = true;
	KUNIT_EXPECT_EQ(test, -EIO,
			domains->attach(&two.fake->pe.table_group, two.new));
	expect_old(test, &two);
	KUNIT_EXPECT_EQ(test, 3, refs(two.was[0]));
	end_two_domains(test, &two);
}

/* If the old table is refused as well, no window is of either domain. */
static void domain_is_not_put_back(struct kunit *test)
{
	struct iommu_table_group *table_group;
	struct two_domains two;
	struct fake *f;
	int num;

	make_two_domains(test, &two);
	f = two.fake;
	table_group = &f->pe.table_group;
	f->refuse_window_1 = true;
	f->refuse_then = true;
	KUNIT_EXPECT_EQ(test, -EIO, domains->attach(table_group, two.new));
	for (num = 0; num < 2; num++) {
		KUNIT_EXPECT_NULL(test, f->walks[num]);
		KUNIT_EXPECT_NULL(test, table_group->tables[num]);
	}

	/* The core of 6.12 attaches the old one again, and can. */
	f->refuse_window_1 = false;
	f->refuse_set = false;
	KUNIT_EXPECT_EQ(test, 0, domains->attach(table_group, two.old));
	expect_old(test, &two);
	end_two_domains(test, &two);
}

static int map_one(struct iommu_domain *domain, u64 iova, size_t size, int prot)
{
	size_t mapped = 0;

	return domain->ops->map_pages(domain, iova, SZ_1M, size, 1, prot,
				      GFP_KERNEL, &mapped);
}

/* A table takes no MMIO of another device. */
static void domain_maps_no_mmio(struct kunit *test)
{
	struct fake *f = make_fake(test);
	struct iommu_domain *domain = make_domain(test, f);

	KUNIT_EXPECT_EQ(test, -EINVAL,
			map_one(domain, SZ_64K, SZ_64K,
				IOMMU_READ | IOMMU_WRITE | IOMMU_MMIO));
	KUNIT_EXPECT_EQ(test, 0, domain->ops->iova_to_phys(domain, SZ_64K));
	domain->ops->free(domain);
}

static void unmap_one(struct iommu_domain *domain, u64 iova, size_t size)
{
	struct iommu_iotlb_gather gather;

	iommu_iotlb_gather_init(&gather);
	domain->ops->unmap_pages(domain, iova, size, 1, &gather);
	domain->ops->iotlb_sync(domain, &gather);
}

/* The PHB forgets what was mapped or unmapped, and is not asked to without. */
static void domain_kills_what_changed(struct kunit *test)
{
	struct fake *f = make_fake(test);
	struct iommu_table_group *table_group = &f->pe.table_group;
	struct iommu_domain *domain = make_domain(test, f);
	const u64 high = BIT_ULL(59) + SZ_1M;
	struct iommu_iotlb_gather none;

	KUNIT_ASSERT_EQ(test, 0, domains->attach(table_group, domain));
	last_kill(f);
	KUNIT_EXPECT_EQ(test, 0, map_one(domain, SZ_64K, SZ_4K, IOMMU_READ));
	KUNIT_EXPECT_EQ(test, 0, map_one(domain, high, PAGE_SIZE, IOMMU_READ));
	KUNIT_EXPECT_EQ(test, 0, last_kill(f));
	domain->ops->iotlb_sync_map(domain, SZ_64K, SZ_4K);
	KUNIT_EXPECT_EQ(test, FAKE_KILL_PAGE(SZ_64K), last_kill(f));
	domain->ops->iotlb_sync_map(domain, high, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, FAKE_KILL_PAGE(high), last_kill(f));

	iommu_iotlb_gather_init(&none);
	domain->ops->iotlb_sync(domain, &none);
	KUNIT_EXPECT_EQ(test, 0, last_kill(f));

	unmap_one(domain, SZ_64K, SZ_4K);
	KUNIT_EXPECT_EQ(test, FAKE_KILL_PAGE(SZ_64K), last_kill(f));
	unmap_one(domain, high, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, FAKE_KILL_PAGE(high), last_kill(f));
	domain->ops->flush_iotlb_all(domain);
	KUNIT_EXPECT_EQ(test, FAKE_KILL_PE, last_kill(f));

	domains->detach(table_group);
	domain->ops->free(domain);
}

/* A window that firmware keeps translates nothing when the domain has gone. */
static void domain_stuck_is_cleared(struct kunit *test)
{
	struct fake *f = make_fake(test);
	struct iommu_table_group *table_group = &f->pe.table_group;
	struct iommu_domain *domain = make_domain(test, f);
	struct iommu_table *was[2];

	KUNIT_ASSERT_EQ(test, 0, domains->attach(table_group, domain));
	note_windows(f, was);
	KUNIT_ASSERT_EQ(test, 0, map_one(domain, SZ_64K, SZ_64K, IOMMU_READ));
	KUNIT_EXPECT_EQ(test, SZ_1M + 5, domain->ops->iova_to_phys(domain,
								   SZ_64K + 5));
	f->refuse_unset = true;
	domains->detach(table_group);
	KUNIT_EXPECT_NULL(test, table_group->tables[0]);
	KUNIT_EXPECT_TRUE(test, kill_arrives(f, was[0]));
	domain->ops->free(domain);
	KUNIT_EXPECT_EQ(test, 0, pnv_tce_get(was[0], SZ_64K >> 12));
	KUNIT_EXPECT_TRUE(test, kill_arrives(f, was[0]));

	f->refuse_unset = false;
	KUNIT_EXPECT_TRUE(test, pnv_pci_ioda2_release_pe_dma(&f->pe));
	expect_unused(test, f, was);
}

/* The PE goes first; the domain has no more to do with it. */
static void domain_outlives_the_pe(struct kunit *test)
{
	struct fake *f = make_fake(test);
	struct iommu_table_group *table_group = &f->pe.table_group;
	struct iommu_domain *domain = make_domain(test, f);
	struct iommu_table *was[2];

	KUNIT_ASSERT_EQ(test, 0, domains->attach(table_group, domain));
	note_windows(f, was);
	KUNIT_EXPECT_TRUE(test, pnv_pci_ioda2_release_pe_dma(&f->pe));
	KUNIT_EXPECT_NULL(test, f->walks[0]);
	KUNIT_EXPECT_FALSE(test, kill_arrives(f, was[0]));
	domain->ops->free(domain);
	expect_unused(test, f, was);
}

static struct kunit_case dma_test_cases[] = {
	KUNIT_CASE(window_is_linked_before_it_is_walked),
	KUNIT_CASE(window_of_huge_pages_is_killed_whole),
	KUNIT_CASE(kernel_table_is_not_an_owners),
	KUNIT_CASE(window_is_refused),
	KUNIT_CASE(window_stuck_is_replaced),
	KUNIT_CASE(window_stuck_keeps_owners_off),
	KUNIT_CASE(window_stuck_leaves_the_kernels),
	KUNIT_CASE(window_of_the_kernel_is_kept),
	KUNIT_CASE(window_without_a_table_is_closed),
	KUNIT_CASE(window_stuck_keeps_the_pe),
	KUNIT_CASE(group_outlives_the_pe),
	KUNIT_CASE(pe_waits_for_real_mode),
	KUNIT_CASE(domain_takes_the_place),
	KUNIT_CASE(domain_is_refused_at_first),
	KUNIT_CASE(domain_is_refused),
	KUNIT_CASE(domain_is_not_put_back),
	KUNIT_CASE(domain_maps_no_mmio),
	KUNIT_CASE(domain_kills_what_changed),
	KUNIT_CASE(domain_stuck_is_cleared),
	KUNIT_CASE(domain_outlives_the_pe),
	{}
};

static struct kunit_suite dma_test_suite = {
	.name = "pnv_windows",
	.test_cases = dma_test_cases,
};

kunit_test_suite(dma_test_suite);
