// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * KUnit tests of a PE's windows: of what happens when firmware refuses, and when
 * a PE goes while others look at it.
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

/**
 * struct fake - a PE, its PHB, and the firmware
 * @pe: the PE
 * @phb: its PHB, of the kind that has a kill register
 * @hose: its host bridge
 * @pdev: its device
 * @walks: what firmware was told of each window
 * @refuse_set: firmware takes no table
 * @refuse_unset: firmware takes no table away
 * @was_linked: kills reached the PE when firmware was told of a table
 */
struct fake {
	struct pnv_ioda_pe pe;
	struct pnv_phb phb;
	struct pci_controller hose;
	struct pci_dev pdev;
	const struct iommu_table *walks[IOMMU_TABLE_GROUP_MAX_TABLES];
	bool refuse_set;
	bool refuse_unset;
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

	f->was_linked = tbl && is_linked(pe, tbl);
	f->walks[num] = tbl;

	return 0;
}

static int fake_map_bypass(struct pnv_ioda_pe *pe, u64 top)
{
	return fake_map_window(pe, 1, NULL);
}

static struct fake *make_fake(struct kunit *test)
{
	void *regs = kunit_kzalloc(test, FAKE_REGS, GFP_KERNEL);
	struct fake *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, regs);
	KUNIT_ASSERT_NOT_NULL(test, f);
	f->hose.node = NUMA_NO_NODE;
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

/* Does a kill of the table's entries reach the PE? */
static bool kill_arrives(struct fake *f, struct iommu_table *tbl)
{
	__be64 *reg = (__force __be64 *)(f->phb.regs + FAKE_KILL);

	WRITE_ONCE(*reg, 0);
	tbl->it_ops->tce_kill(tbl, tbl->it_offset, 1);

	return READ_ONCE(*reg);
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
	u64 command;

	KUNIT_ASSERT_EQ(test, 0,
			pnv_ioda2_set_window(&f->pe.table_group, 1, tbl));
	tbl->it_page_shift = 34;
	KUNIT_EXPECT_TRUE(test, kill_arrives(f, tbl));
	command = be64_to_cpu(*(__force __be64 *)(f->phb.regs + FAKE_KILL));
	KUNIT_EXPECT_EQ(test, PPC_BIT(1) | 5, command);

	tbl->it_page_shift = 16;
	pnv_ioda2_unset_window(&f->pe.table_group, 1);
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

/* What firmware did not take away is still killed, until another is there. */
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

/* Nor are devices that come later. */
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

static struct kunit_case dma_test_cases[] = {
	KUNIT_CASE(window_is_linked_before_it_is_walked),
	KUNIT_CASE(window_of_huge_pages_is_killed_whole),
	KUNIT_CASE(window_is_refused),
	KUNIT_CASE(window_stuck_is_replaced),
	KUNIT_CASE(window_stuck_keeps_owners_off),
	KUNIT_CASE(window_stuck_keeps_the_pe),
	KUNIT_CASE(group_outlives_the_pe),
	KUNIT_CASE(pe_waits_for_real_mode),
	{}
};

static struct kunit_suite dma_test_suite = {
	.name = "pnv_windows",
	.test_cases = dma_test_cases,
};

kunit_test_suite(dma_test_suite);
