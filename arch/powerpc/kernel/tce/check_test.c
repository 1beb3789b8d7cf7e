// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * KUnit tests of the checker of owned tables: each kind of fault is planted in
 * a table of real, pinned memory, has to be found, and is taken back.
 */

#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/page_ref.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/tce.h>
#include <asm/tce_owner.h>

#include "../../platforms/powernv/pci-ioda-tce.h"
#include "check.h"
#include "tce.h"
#include "view.h"

#define RW		(TCE_PCI_READ | TCE_PCI_WRITE)
#define REGION_BYTES	SZ_256K
#define WINDOW_BYTES	SZ_64M

/* Mapped: a run to region 0, a dense chunk, and one to be read only. */
#define RUN		0UL
#define RUN_ENTRIES	32
#define DENSE		(1 * TCE_CHUNK_ENTRIES)
#define READ_ONLY	(2 * TCE_CHUNK_ENTRIES)

/* Fields of a chunk's word, see view.h. */
#define WORD_LOCKED	1UL
#define WORD_NO_KIND	(3UL << 1)
#define WORD_FIRST	3
#define WORD_ADDR	23

struct check_test {
	struct iommu_table tbl;
	struct mm_iommu_region *region[2];
	unsigned long ua;
};

static struct iommu_table_ops check_test_ops = {
	.get		= pnv_tce_get,
	.grow		= pnv_tce_grow,
	.set_runs	= pnv_tce_set_runs,
	.set_list	= pnv_tce_set_list,
	.clear_range	= pnv_tce_clear_range,
	.is_grown	= pnv_tce_is_grown,
	.next_used	= pnv_tce_next_used,
	.allocated	= pnv_tce_allocated,
};

static void make_table(struct kunit *test, bool registered)
{
	struct check_test *t = test->priv;
	struct pnv_tce_geometry geo;

	KUNIT_ASSERT_EQ(test, 0, pnv_tce_plan(&geo, 12, WINDOW_BYTES, 2));
	KUNIT_ASSERT_EQ(test, 0, pnv_tce_table_init(&t->tbl, &geo, 0,
						    NUMA_NO_NODE, GFP_KERNEL));
	t->tbl.it_ops = &check_test_ops;
	KUNIT_ASSERT_EQ(test, 0,
			tce_owner_take(&t->tbl, current->mm, registered));
}

static int check_test_init(struct kunit *test)
{
	struct check_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	test->priv = t;
	t->ua = kunit_vm_mmap(test, NULL, 0, 2 * REGION_BYTES,
			      PROT_READ | PROT_WRITE,
			      MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_NE(test, 0, t->ua);

	return 0;
}

static void check_test_exit(struct kunit *test)
{
	struct check_test *t = test->priv;
	int i;

	if (t->tbl.it_owner) {
		tce_owner_close(&t->tbl);
		tce_owner_free(&t->tbl);
	}
	pnv_tce_table_free(&t->tbl);
	for (i = 0; i < ARRAY_SIZE(t->region); i++) {
		if (t->region[i])
			KUNIT_EXPECT_EQ(test, 0,
					mm_iommu_unregister(t->region[i]));
	}
}

/* Nothing is wrong, or this is the first that is. */
static void expect_fault(struct kunit *test, const char *what)
{
	struct tce_check c = {};

	tce_check_all(&c);
	if (!what) {
		KUNIT_EXPECT_EQ_MSG(test, 0, c.faults, "%s", c.first);
		return;
	}
	KUNIT_EXPECT_NE(test, 0, c.faults);
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(c.first, what), "%s", c.first);
	kunit_info(test, "found: %s", c.first);
}

static void make_all(struct kunit *test)
{
	struct check_test *t = test->priv;
	struct mm_iommu *registry = mm_iommu_registry(current->mm);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, registry);
	for (i = 0; i < ARRAY_SIZE(t->region); i++)
		KUNIT_ASSERT_EQ(test, 0,
				mm_iommu_register(registry, t->ua +
						  i * REGION_BYTES,
						  REGION_BYTES >> PAGE_SHIFT,
						  &t->region[i]));
	make_table(test, true);
	KUNIT_ASSERT_EQ(test, 0, tce_map(&t->tbl, RUN, RUN_ENTRIES, t->ua, RW));
	KUNIT_ASSERT_EQ(test, 0, tce_map(&t->tbl, DENSE, 4, t->ua, RW));
	KUNIT_ASSERT_EQ(test, 0, tce_map(&t->tbl, DENSE + 9, 4, t->ua, RW));
	KUNIT_ASSERT_EQ(test, 0, tce_map(&t->tbl, READ_ONLY, 1, t->ua +
					 REGION_BYTES, TCE_PCI_READ));
	expect_fault(test, NULL);
}

static unsigned long *word_of(struct check_test *t, unsigned long entry)
{
	return tce_view_word(&t->tbl.it_owner->view, entry >> TCE_CHUNK_SHIFT);
}

/* Write a TCE, found, and put back what was there. */
static void plant_tce(struct kunit *test, unsigned long entry,
		      unsigned long hpa, unsigned long perm, const char *what)
{
	struct check_test *t = test->priv;
	unsigned long was = pnv_tce_get(&t->tbl, entry);
	struct tce_run run = { hpa, 1 };

	pnv_tce_set_runs(&t->tbl, entry, &run, 1, perm);
	expect_fault(test, what);
	run.hpa = was & ~(unsigned long)RW;
	pnv_tce_set_runs(&t->tbl, entry, &run, 1, was & RW);
	expect_fault(test, NULL);
}

static void finds_wrong_tces(struct kunit *test)
{
	struct check_test *t = test->priv;
	unsigned long hpa;

	make_all(test);
	hpa = pnv_tce_get(&t->tbl, RUN) & ~(unsigned long)RW;
	plant_tce(test, RUN + 3, 0, 0, "without a TCE");
	plant_tce(test, RUN + 3, hpa, RW, "is not at");
	plant_tce(test, RUN, hpa, 0, "without permissions");
	plant_tce(test, RUN + RUN_ENTRIES, hpa, RW, "without a view entry");
	hpa = pnv_tce_get(&t->tbl, READ_ONLY) & ~(unsigned long)RW;
	plant_tce(test, READ_ONLY, hpa, RW, "writes what is clean");
}

static void plant_word(struct kunit *test, unsigned long entry,
		       unsigned long value, const char *what)
{
	unsigned long *word = word_of(test->priv, entry), was = *word;

	*word = value;
	expect_fault(test, what);
	*word = was;
	expect_fault(test, NULL);
}

static void finds_wrong_words(struct kunit *test)
{
	struct check_test *t = test->priv;
	unsigned long run, dense;
	struct tce_dense *array;
	u64 was;

	make_all(test);
	run = *word_of(t, RUN);
	plant_word(test, RUN, run | WORD_LOCKED, "is locked");
	plant_word(test, RUN, run | WORD_NO_KIND, "is of no kind");
	plant_word(test, RUN, run | RUN_ENTRIES << WORD_FIRST,
		   "ends before it begins");
	plant_word(test, RUN, run + (1UL << 18 << WORD_ADDR),
		   "is not registered");
	KUNIT_EXPECT_STREQ(test, "has entries behind the window",
			   tce_chunk_fault(&t->tbl.it_owner->view, run,
					   RUN_ENTRIES - 1));

	dense = *word_of(t, DENSE);
	plant_word(test, DENSE, dense + (1UL << WORD_FIRST),
		   "counts its entries wrong");
	KUNIT_EXPECT_STREQ(test, "has entries behind the window",
			   tce_chunk_fault(&t->tbl.it_owner->view, dense, 12));

	array = __va(dense >> WORD_ADDR << 12);
	was = array->ua[1];
	array->ua[1] = was & ~TCE_DENSE_MAPPED;
	expect_fault(test, "has a malformed address");
	array->ua[1] = was;
	expect_fault(test, NULL);
}

static void finds_wrong_counts(struct kunit *test)
{
	struct check_test *t = test->priv;
	struct tce_view *view;

	make_all(test);
	view = &t->tbl.it_owner->view;
	atomic64_inc(&t->region[0]->entries);
	expect_fault(test, "41 counted, 40 entries");
	atomic64_sub(2, &t->region[0]->entries);
	expect_fault(test, "39 counted, 40 entries");
	atomic64_inc(&t->region[0]->entries);
	expect_fault(test, NULL);

	atomic_long_inc(&view->nr_nodes);
	expect_fault(test, "1 nodes, not 2");
	atomic_long_dec(&view->nr_nodes);
	atomic_long_inc(&view->nr_dense);
	expect_fault(test, "1 dense chunks, not 2");
	atomic_long_dec(&view->nr_dense);
	expect_fault(test, NULL);
}

static void finds_what_is_left_in_a_closed_window(struct kunit *test)
{
	struct check_test *t = test->priv;

	make_all(test);
	t->tbl.it_owner->closed = true;
	expect_fault(test, "mapped in a closed window");
	t->tbl.it_owner->closed = false;
	expect_fault(test, NULL);
}

/* Take the pin of an entry's page away, found, and give it back. */
static void plant_unpinned(struct kunit *test, unsigned long entry)
{
	struct check_test *t = test->priv;
	unsigned long hpa = pnv_tce_get(&t->tbl, entry) & ~(unsigned long)RW;
	struct page *page = pfn_to_page(hpa >> PAGE_SHIFT);

	KUNIT_ASSERT_FALSE(test, folio_test_large(page_folio(page)));
	page_ref_sub(page, GUP_PIN_COUNTING_BIAS);
	expect_fault(test, "is not pinned");
	page_ref_add(page, GUP_PIN_COUNTING_BIAS);
	expect_fault(test, NULL);
}

static void finds_unpinned_pages(struct kunit *test)
{
	make_all(test);
	plant_unpinned(test, RUN);
}

static void finds_faults_without_registered_memory(struct kunit *test)
{
	struct check_test *t = test->priv;
	unsigned long hpa;

	make_table(test, false);
	KUNIT_ASSERT_EQ(test, 0, tce_map(&t->tbl, RUN, 1, t->ua, RW));
	expect_fault(test, NULL);
	hpa = pnv_tce_get(&t->tbl, RUN) & ~(unsigned long)RW;
	plant_tce(test, RUN, hpa, 0, "without permissions");
	plant_unpinned(test, RUN);
}

static struct kunit_case check_test_cases[] = {
	KUNIT_CASE(finds_wrong_tces),
	KUNIT_CASE(finds_wrong_words),
	KUNIT_CASE(finds_wrong_counts),
	KUNIT_CASE(finds_what_is_left_in_a_closed_window),
	KUNIT_CASE(finds_unpinned_pages),
	KUNIT_CASE(finds_faults_without_registered_memory),
	{}
};

static struct kunit_suite check_test_suite = {
	.name = "tce_check",
	.init = check_test_init,
	.exit = check_test_exit,
	.test_cases = check_test_cases,
};

kunit_test_suite(check_test_suite);
