// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * KUnit tests of how registered regions are translated, against the addresses
 * of their pages.
 */

#include <kunit/test.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/prandom.h>

#include <asm/iommu.h>
#include <asm/mm_iommu.h>

#define REGION_UA	0x7000000000UL
/* Two whole blocks and a part of one. */
#define NR_PAGES	(2 * MM_IOMMU_BLOCK_WORDS + 100)
#define MAX_RUNS	64
#define NR_STEPS	20000

/**
 * struct pages - a region, and what is known of it
 * @region: the region
 * @hpa: physical address of each page
 */
struct pages {
	struct mm_iommu_region region;
	u64 hpa[NR_PAGES];
};

static u64 **blocks_of(struct kunit *test, const u64 *words, unsigned long nr)
{
	unsigned long nr_blocks = DIV_ROUND_UP(nr, MM_IOMMU_BLOCK_WORDS), i;
	u64 **blocks = kunit_kcalloc(test, nr_blocks, sizeof(*blocks),
				     GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, blocks);
	for (i = 0; i < nr_blocks; i++) {
		unsigned long in_block = min(nr - i * MM_IOMMU_BLOCK_WORDS,
					     MM_IOMMU_BLOCK_WORDS);

		/* Of its own size: what lies behind is KASAN's. */
		blocks[i] = kunit_kmalloc_array(test, in_block, sizeof(u64),
						GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, blocks[i]);
		memcpy(blocks[i], words + i * MM_IOMMU_BLOCK_WORDS,
		       in_block * sizeof(u64));
	}

	return blocks;
}

/* The words of the pages in the dense form. */
static void dense_words(const struct pages *p, u64 *words)
{
	unsigned long i, rest = 0;

	for (i = NR_PAGES; i-- > 0; ) {
		if (i + 1 == NR_PAGES || p->hpa[i + 1] != p->hpa[i] + PAGE_SIZE)
			rest = 0;
		words[i] = p->hpa[i] | ilog2(++rest);
	}
}

/* Pages of which one in @one_in does not go on where the one before it ends. */
static struct pages *make_pages(struct kunit *test, unsigned int one_in,
				bool as_runs)
{
	struct pages *p = kunit_kzalloc(test, sizeof(*p), GFP_KERNEL);
	struct rnd_state rnd;
	unsigned long i;
	u64 *words;

	KUNIT_ASSERT_NOT_NULL(test, p);
	words = kunit_kcalloc(test, 2 * NR_PAGES, sizeof(*words), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, words);

	prandom_seed_state(&rnd, one_in);
	p->region.ua = REGION_UA;
	p->region.nr_pages = NR_PAGES;
	for (i = 0; i < NR_PAGES; i++) {
		if (i && prandom_u32_state(&rnd) % one_in) {
			p->hpa[i] = p->hpa[i - 1] + PAGE_SIZE;
			continue;
		}
		p->hpa[i] = (u64)prandom_u32_state(&rnd) << PAGE_SHIFT;
		words[2 * p->region.nr_runs] = i;
		words[2 * p->region.nr_runs++ + 1] = p->hpa[i];
	}

	if (as_runs) {
		p->region.blocks = blocks_of(test, words,
					     2 * p->region.nr_runs);
	} else {
		dense_words(p, words);
		p->region.blocks = blocks_of(test, words, NR_PAGES);
		p->region.nr_runs = 0;
	}

	return p;
}

/* All of @nr entries are given out, each as its page says. */
static void expect_translation(struct kunit *test, const struct pages *p,
			       unsigned long ua, unsigned int shift,
			       unsigned long nr, unsigned int max_runs)
{
	struct tce_run runs[MAX_RUNS];

	while (nr) {
		unsigned int nr_runs = max_runs, i;
		unsigned long k, total = 0;
		long n;

		n = mm_iommu_translate(&p->region, ua, shift, nr, runs,
				       &nr_runs);
		KUNIT_ASSERT_GT(test, n, 0);
		KUNIT_ASSERT_LE(test, n, nr);
		KUNIT_ASSERT_LE(test, nr_runs, max_runs);
		for (i = 0; i < nr_runs; i++) {
			for (k = 0; k < runs[i].entries; k++) {
				unsigned long page = (ua - REGION_UA) >>
						     PAGE_SHIFT;

				KUNIT_ASSERT_EQ(test, p->hpa[page] +
						offset_in_page(ua),
						runs[i].hpa + (k << shift));
				ua += 1UL << shift;
			}
			total += k;
		}
		KUNIT_ASSERT_EQ(test, total, n);
		nr -= n;
	}
}

static void try_all(struct kunit *test, const struct pages *p)
{
	static const unsigned int shifts[] = { 12, PAGE_SHIFT };
	struct rnd_state rnd;
	unsigned int step, s;

	prandom_seed_state(&rnd, NR_PAGES);
	for (s = 0; s < ARRAY_SIZE(shifts); s++) {
		unsigned long per_page = PAGE_SIZE >> shifts[s];
		unsigned long all = NR_PAGES * per_page;

		expect_translation(test, p, REGION_UA, shifts[s], all,
				   MAX_RUNS);
		for (step = 0; step < NR_STEPS; step++) {
			unsigned long at = prandom_u32_state(&rnd) % all;
			unsigned long nr = prandom_u32_state(&rnd) %
					   (8 * per_page) + 1;

			expect_translation(test, p, REGION_UA +
					   (at << shifts[s]), shifts[s],
					   min(nr, all - at),
					   step % MAX_RUNS + 1);
		}
	}
}

static void translates_page_by_page(struct kunit *test)
{
	try_all(test, make_pages(test, 1, false));
	try_all(test, make_pages(test, 2, false));
}

static void translates_run_by_run(struct kunit *test)
{
	try_all(test, make_pages(test, 2, true));
	try_all(test, make_pages(test, 50, true));
}

/* IOMMU pages of 16 pages, of which some are not contiguous, or not aligned. */
static void gives_out_whole_iommu_pages_only(struct kunit *test)
{
	unsigned int shift = PAGE_SHIFT + 4, form;

	for (form = 0; form < 2; form++) {
		const struct pages *p = make_pages(test, 50, form);
		unsigned long page, nr_good = 0;

		for (page = 0; page + 16 <= NR_PAGES; page += 16) {
			unsigned int nr_runs = 1, k = 1;
			struct tce_run run;
			bool good;
			long n;

			while (k < 16 && p->hpa[page + k] ==
					 p->hpa[page] + k * PAGE_SIZE)
				k++;
			good = k == 16 &&
			       IS_ALIGNED(p->hpa[page], PAGE_SIZE << 4);
			n = mm_iommu_translate(&p->region, REGION_UA +
					       (page << PAGE_SHIFT), shift, 1,
					       &run, &nr_runs);
			KUNIT_ASSERT_EQ(test, n, good ? 1 : -EINVAL);
			if (good)
				KUNIT_ASSERT_EQ(test, run.hpa, p->hpa[page]);
			nr_good += good;
		}
		KUNIT_EXPECT_GT(test, nr_good, 0);
	}
}

static struct kunit_case mm_iommu_test_cases[] = {
	KUNIT_CASE(translates_page_by_page),
	KUNIT_CASE(translates_run_by_run),
	KUNIT_CASE(gives_out_whole_iommu_pages_only),
	{}
};

static struct kunit_suite mm_iommu_test_suite = {
	.name = "mm_iommu",
	.test_cases = mm_iommu_test_cases,
};

kunit_test_suite(mm_iommu_test_suite);
