// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cost of VFIO_SPAPR_TCE_v2_IOMMU: instructions, memory, and throughput of
 * several threads; and that of iommufd. Not a test. See bench_util.h for what it
 * prints.
 *
 * Arguments name the parts to run; without any, all do but the threads, the
 * profile and the lines. Each part is a process of its own, so none finds what
 * another one registered.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench_memory.h"
#include "bench_util.h"
#include "iommufd_util.h"
#include "spapr_util.h"

#define ENTRIES		4096UL		/* of one call */
#define REPEAT		9
#define MEM_REPEAT	5	/* where memory is measured */
/* kfree_rcu() collects for 5 s, in pages; a machine that counts skips that. */
#define KFREE_RCU_SECONDS	12
#define SHIFT_64K	16
#define SHIFT_4K	12
#define SHIFT_2M	21

/* ---- the container ---- */

struct box {
	struct edu edu;
	int c;
	struct vfio_iommu_spapr_tce_info info;
};

static void box_open(struct box *box)
{
	if (!edu_find(&box->edu, 1))
		bench_fail("an edu device bound to vfio-pci", -ENODEV);
	box->c = container_open();
	if (edu_open_group(&box->edu) < 0)
		bench_fail("group", box->edu.group_fd);
	must("add the group", container_add(box->c, &box->edu));
	must("set the IOMMU", container_set_iommu(box->c,
						  VFIO_SPAPR_TCE_v2_IOMMU));
	must("info", spapr_info(box->c, &box->info));
}

/* A hypervisor's tables have one. */
static unsigned int two_levels(const struct box *box)
{
	return box->info.ddw.levels > 1 ? 2 : 1;
}

static void box_close(struct box *box)
{
	edu_close_group(&box->edu);
	close(box->c);
}

static void touch(char *ua, size_t bytes)
{
	size_t i;

	for (i = 0; i < bytes; i += page_size)
		ua[i] = 1;
}

/* ---- calls of many entries ---- */

struct arena {
	struct store store;
	char *contig, *frag;
	size_t bytes;
};

static void arena_new(struct arena *a, int c)
{
	unsigned long n = ENTRIES * SZ_64K / page_size;

	store_new(&a->store, c, n * 2 + n / 2);
	a->bytes = n * page_size;
	a->contig = store_contiguous(&a->store, n);
	a->frag = store_fragmented(&a->store, n);
	must("register", spapr_register(c, a->contig, a->bytes));
	must("register", spapr_register(c, a->frag, a->bytes));
	if (!is_contiguous(a->contig, n))
		bench_fail("contiguous memory has moved", -EIO);
}

static double timed_map(int c, uint64_t iova, const void *ua, uint64_t bytes)
{
	int ret;
	double insns = MEASURE(ret = spapr_map(c, iova, ua, bytes));

	must("map", ret);
	return insns;
}

static double timed_unmap(int c, uint64_t iova, uint64_t bytes)
{
	int ret;
	double insns = MEASURE(ret = spapr_unmap(c, iova, bytes));

	must("unmap", ret);
	return insns;
}

static void measure_dense(int c, uint64_t start, const struct arena *a)
{
	struct runs over = { 0 }, unmap = { 0 };
	unsigned long i, n = ENTRIES;
	int rep;

	for (rep = 0; rep < 3; rep++) {
		/* Backwards: no entry goes on where the one before it ends */
		for (i = 0; i < n; i++)
			must("map", spapr_map(c, start + i * SZ_64K, a->contig +
					      (n - 1 - i) * SZ_64K, SZ_64K));
		runs_add(&unmap, timed_unmap(c, start, a->bytes));
		for (i = 0; i < n; i++)
			must("map", spapr_map(c, start + i * SZ_64K, a->contig +
					      (n - 1 - i) * SZ_64K, SZ_64K));
		runs_add(&over, timed_map(c, start, a->contig, a->bytes));
		must("unmap", spapr_unmap(c, start, a->bytes));
	}
	runs_print(&unmap, "insn/entry", n, "unmap_scattered");
	runs_print(&over, "insn/entry", n, "map_over_scattered");
}

static void part_map(void)
{
	struct runs contig = { 0 }, frag = { 0 }, over = { 0 };
	struct runs over_frag = { 0 }, unmap = { 0 }, unmap_frag = { 0 };
	struct arena a;
	uint64_t start;
	struct box box;
	int c, rep;

	box_open(&box);
	c = box.c;
	arena_new(&a, c);
	must("create", spapr_create(c, SHIFT_64K, 16 * SZ_1G, two_levels(&box),
				    &start));
	bench_print("insn/entry", timed_map(c, start, a.contig, a.bytes) /
		    ENTRIES, "map_first");
	must("unmap", spapr_unmap(c, start, a.bytes));
	for (rep = 0; rep < REPEAT; rep++) {
		runs_add(&contig, timed_map(c, start, a.contig, a.bytes));
		runs_add(&unmap, timed_unmap(c, start, a.bytes));
		runs_add(&frag, timed_map(c, start, a.frag, a.bytes));
		runs_add(&over, timed_map(c, start, a.contig, a.bytes));
		runs_add(&over_frag, timed_map(c, start, a.frag, a.bytes));
		runs_add(&unmap_frag, timed_unmap(c, start, a.bytes));
	}
	runs_print(&contig, "insn/entry", ENTRIES, "map_contig");
	runs_print(&frag, "insn/entry", ENTRIES, "map_frag");
	runs_print(&over, "insn/entry", ENTRIES, "map_over");
	runs_print(&over_frag, "insn/entry", ENTRIES, "map_over_frag");
	runs_print(&unmap, "insn/entry", ENTRIES, "unmap");
	runs_print(&unmap_frag, "insn/entry", ENTRIES, "unmap_frag");
	measure_dense(c, start, &a);
	must("remove", spapr_remove(c, start));

	must("create", spapr_create(c, SHIFT_4K, 2 * SZ_1G, two_levels(&box),
				    &start));
	for (rep = 0; rep < REPEAT; rep++) {
		runs_add(&contig, timed_map(c, start, a.contig,
					    ENTRIES * SZ_4K));
		runs_add(&unmap, timed_unmap(c, start, ENTRIES * SZ_4K));
		runs_add(&frag, timed_map(c, start, a.frag, ENTRIES * SZ_4K));
		must("unmap", spapr_unmap(c, start, ENTRIES * SZ_4K));
	}
	runs_print(&contig, "insn/entry", ENTRIES, "map_4k");
	runs_print(&frag, "insn/entry", ENTRIES, "map_4k_frag");
	runs_print(&unmap, "insn/entry", ENTRIES, "unmap_4k");
	box_close(&box);
}

/* ---- the same by iommufd ---- */

/* A device of its own, as the other one's group is in a container. */
struct ioas {
	struct edu edu;
	int f;
	uint32_t id;
};

/* False if the kernel has no /dev/iommu. */
static bool ioas_open(struct ioas *ioas)
{
	struct edu edu[2];

	ioas->f = iommufd_open();
	if (ioas->f < 0)
		return false;
	if (edu_find(edu, 2) != 2)
		bench_fail("two edu devices bound to vfio-pci", -ENODEV);
	ioas->edu = edu[1];
	must("alloc", ioas_alloc(ioas->f, &ioas->id));
	must("attach", edu_open_attached(&ioas->edu, ioas->f, ioas->id));
	return true;
}

static void ioas_close(struct ioas *ioas)
{
	edu_close(&ioas->edu);
	close(ioas->f);
}

static double timed_ioas_map(const struct ioas *ioas, uint64_t iova,
			     const void *ua, uint64_t bytes)
{
	int ret;
	double insns = MEASURE(ret = ioas_map(ioas->f, ioas->id, iova, ua,
					      bytes));

	must("map", ret);
	return insns;
}

static double timed_ioas_unmap(const struct ioas *ioas, uint64_t iova,
			       uint64_t bytes)
{
	int ret;
	double insns = MEASURE(ret = ioas_unmap(ioas->f, ioas->id, iova,
						bytes));

	must("unmap", ret);
	return insns;
}

/* One call for @n pages */
static void measure_ioas(const struct ioas *ioas, const char *what,
			 uint64_t iova, const char *ua, unsigned long n)
{
	struct runs map = { 0 }, unmap = { 0 };
	int rep;

	for (rep = 0; rep < REPEAT; rep++) {
		runs_add(&map, timed_ioas_map(ioas, iova, ua, n * page_size));
		runs_add(&unmap, timed_ioas_unmap(ioas, iova, n * page_size));
	}
	runs_print(&map, "insn/page", n, "iommufd_map_%s", what);
	runs_print(&unmap, "insn/page", n, "iommufd_unmap_%s", what);
}

static void part_iommufd(void)
{
	unsigned long n = ENTRIES * SZ_64K / page_size;
	struct ioas ioas;
	struct arena a;
	struct box box;
	char *huge;

	if (!ioas_open(&ioas))
		return;
	box_open(&box);
	arena_new(&a, box.c);
	huge = buf_alloc_huge(a.bytes, SHIFT_2M);
	measure_ioas(&ioas, "one", WINDOW1_START, a.contig, 1);
	measure_ioas(&ioas, "contig", WINDOW1_START, a.contig, n);
	measure_ioas(&ioas, "frag", WINDOW1_START, a.frag, n);
	/* 16 entries of 4 KiB for each page of 64 KiB */
	measure_ioas(&ioas, "contig_window0", SZ_1T, a.contig, n);
	if (huge) {
		touch(huge, a.bytes);
		measure_ioas(&ioas, "huge", WINDOW1_START, huge, n);
	}
	box_close(&box);
	ioas_close(&ioas);
}

/* ---- one entry, against the number of regions ---- */

#define MAX_REGIONS	65536UL
#define SAMPLES		17UL

/* Worst and mean of regions spread over all; the oldest is among them. */
static void measure_one(int c, uint64_t start, char *ua, unsigned long nr)
{
	unsigned long i, n = nr < SAMPLES ? nr : SAMPLES;
	double worst_map = 0, worst_unmap = 0, worst_both = 0, sum = 0;
	int rep;

	for (i = 0; i < n; i++) {
		char *at = ua + (n > 1 ? i * (nr - 1) / (n - 1) : 0) *
			   page_size;
		struct runs map = { 0 }, unmap = { 0 };
		double m, u;

		for (rep = 0; rep < REPEAT; rep++) {
			runs_add(&map, timed_map(c, start, at, SZ_64K));
			runs_add(&unmap, timed_unmap(c, start, SZ_64K));
		}
		m = runs_min(&map);
		u = runs_min(&unmap);
		worst_map = m > worst_map ? m : worst_map;
		worst_unmap = u > worst_unmap ? u : worst_unmap;
		worst_both = m + u > worst_both ? m + u : worst_both;
		sum += m + u;
	}
	bench_print("insn", worst_map, "one_map/%lu", nr);
	bench_print("insn", worst_unmap, "one_unmap/%lu", nr);
	bench_print("insn", worst_both, "one_both/%lu", nr);
	bench_print("insn", sum / n, "one_both_mean/%lu", nr);
}

/* The cost of a call whose flags the driver refuses. */
static void measure_refused(int c)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map) };
	struct runs runs = { 0 };
	int rep, ret;

	for (rep = 0; rep < REPEAT; rep++) {
		runs_add(&runs, MEASURE(ret = ioctl(c, VFIO_IOMMU_MAP_DMA,
						    &map)));
		if (ret != -1 || errno != EINVAL)
			bench_fail("map without flags", -errno);
	}
	runs_print(&runs, "insn", 1, "refused");
}

static void part_regions(void)
{
	struct store s;
	uint64_t start;
	unsigned long i;
	struct box box;
	char *ua;

	box_open(&box);
	store_new(&s, box.c, 64);
	ua = store_repeated(&s, MAX_REGIONS / s.pages);
	must("create", spapr_create(box.c, SHIFT_64K, 16 * SZ_1G, 2, &start));
	must("register", spapr_register(box.c, ua, page_size));
	measure_refused(box.c);
	must("unregister", spapr_unregister(box.c, ua, page_size));
	for (i = 0; i < MAX_REGIONS; i++) {
		must("register", spapr_register(box.c, ua + i * page_size,
						page_size));
		/* 1, 4, 16, ..., 65536 */
		if (!((i + 1) & i) && !(__builtin_ctzl(i + 1) & 1))
			measure_one(box.c, start, ua, i + 1);
	}
	box_close(&box);
}

/* ---- one entry of a large IOMMU page ---- */

/* @bytes of memory that does not go on where it ends, page by page. */
static void scatter(char *ua, size_t bytes)
{
	size_t off;
	int odd;

	if (mmap(ua, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		 MAP_ANONYMOUS | MAP_FIXED, -1, 0) != ua)
		bench_fail("memory", -errno);
	madvise(ua, bytes, MADV_NOHUGEPAGE);
	for (odd = 0; odd < 2; odd++) {
		for (off = odd * page_size; off < bytes; off += 2 * page_size)
			ua[off] = 1;
	}
}

static void measure_large(int c, const char *what, char *ua, unsigned int shift)
{
	struct runs map = { 0 }, unmap = { 0 };
	uint64_t start;
	int rep;

	must("create", spapr_create(c, shift, 16 * SZ_1G, 1, &start));
	for (rep = 0; rep < REPEAT; rep++) {
		runs_add(&map, timed_map(c, start, ua, 1UL << shift));
		runs_add(&unmap, timed_unmap(c, start, 1UL << shift));
	}
	must("remove", spapr_remove(c, start));
	runs_print(&map, "insn", 1, "one_map_%s", what);
	runs_print(&unmap, "insn", 1, "one_unmap_%s", what);
}

/*
 * A huge page of that size, as one run; and with so many single pages behind it
 * that its region has a word for each page.
 */
static void part_large_of(struct box *box, const char *what, unsigned int shift)
{
	size_t bytes = 1UL << shift;
	char *ua, name[16];

	if (!(box->info.ddw.pgsizes >> shift & 1))
		return;
	ua = huge_page(shift, 0);
	if (!ua)
		return;
	*ua = 1;
	must("register", spapr_register(box->c, ua, bytes));
	measure_large(box->c, what, ua, shift);
	/* To compare with, on the same kernel */
	if (shift == 21)
		measure_large(box->c, "64k", ua, 16);
	must("unregister", spapr_unregister(box->c, ua, bytes));
	ua = huge_page(shift, 2 * bytes);
	if (!ua)
		return;
	*ua = 1;
	scatter(ua + bytes, 2 * bytes);
	must("register", spapr_register(box->c, ua, 3 * bytes));
	snprintf(name, sizeof(name), "%s_dense", what);
	measure_large(box->c, name, ua, shift);
	must("unregister", spapr_unregister(box->c, ua, 3 * bytes));
}

static void part_large(void)
{
	struct box box;

	box_open(&box);
	part_large_of(&box, "2m", 21);
	part_large_of(&box, "16m", 24);
	part_large_of(&box, "1g", 30);
	box_close(&box);
}

/*
 * For a log of each instruction: entries that are mapped, and then unmapped,
 * one by one, far from each other, where there was one before. Between the
 * words QEMU is to log, which takes it a while to begin.
 */
#define PROFILE_CALLS	6

static void profile_map(int c, uint64_t start, char *ua)
{
	int i;

	for (i = 0; i < PROFILE_CALLS; i++)
		must("map", spapr_map(c, start + i * SZ_1G, ua, SZ_64K));
}

static void profile_unmap(int c, uint64_t start)
{
	int i;

	for (i = 0; i < PROFILE_CALLS; i++)
		must("unmap", spapr_unmap(c, start + i * SZ_1G, SZ_64K));
}

/* Memory that is registered, @bytes at a time, and then unregistered. */
static void profile_register(int c, char *ua, size_t bytes)
{
	int i;

	for (i = 0; i < PROFILE_CALLS; i++)
		must("register", spapr_register(c, ua + i * bytes, bytes));
	for (i = 0; i < PROFILE_CALLS; i++)
		must("unregister", spapr_unregister(c, ua + i * bytes, bytes));
}

#define PROFILE_BYTES	(64UL << 20)

/* In a call; bench.toml divides by it. */
#define PROFILE_PAGES	256UL

static void profile_ioas(const struct ioas *ioas, const char *ua)
{
	uint64_t bytes = PROFILE_PAGES * page_size;
	int i;

	for (i = 0; i < PROFILE_CALLS; i++)
		timed_ioas_map(ioas, WINDOW1_START + i * SZ_1G, ua, bytes);
	for (i = 0; i < PROFILE_CALLS; i++)
		timed_ioas_unmap(ioas, WINDOW1_START + i * SZ_1G, bytes);
}

struct profiled {
	int c;
	uint64_t start;
	struct ioas ioas;
	char *ua, *huge, *scattered;
};

static void profile_all(struct profiled *p)
{
	profile_map(p->c, p->start, p->ua);
	profile_unmap(p->c, p->start);
	profile_register(p->c, p->huge, PROFILE_BYTES);
	profile_register(p->c, p->ua + page_size, page_size);
	profile_ioas(&p->ioas, p->huge);
	profile_ioas(&p->ioas, p->scattered);
}

static void part_profile(void)
{
	struct profiled p;
	struct box box;

	box_open(&box);
	p.c = box.c;
	if (!ioas_open(&p.ioas))
		bench_fail("/dev/iommu", -ENOENT);
	p.ua = buf_alloc((1 + PROFILE_CALLS) * page_size, page_size);
	touch(p.ua, (1 + PROFILE_CALLS) * page_size);
	must("register", spapr_register(p.c, p.ua, page_size));
	must("create", spapr_create(p.c, SHIFT_64K, 16 * SZ_1G, 2, &p.start));
	p.huge = buf_alloc_huge(PROFILE_CALLS * PROFILE_BYTES, SHIFT_2M);
	if (!p.huge)
		bench_fail("huge pages", -ENOMEM);
	touch(p.huge, PROFILE_CALLS * PROFILE_BYTES);
	p.scattered = buf_alloc(PROFILE_PAGES * page_size, page_size);
	scatter(p.scattered, PROFILE_PAGES * page_size);
	profile_all(&p);
	printf("profile: ready\n");
	sleep(2);
	profile_all(&p);
	printf("profile: done\n");
	ioas_close(&p.ioas);
	box_close(&box);
}

/*
 * For a log of each store: the same calls from two CPUs, each for entries far
 * from the other's, to memory of one region. All that a first call has to make
 * is there before. The emulator writes down what is between the marks.
 */
enum { LINES_MAP = 1, LINES_UNMAP = 2 };

struct lines {
	int c;
	uint64_t start;
	char *ua;
};

static void lines_calls(unsigned int cpu, void *arg)
{
	const struct lines *l = arg;
	uint64_t iova = l->start + cpu * LINES_APART;
	char *ua = l->ua + cpu * page_size;
	unsigned int i;
	int ret;

	must("map", spapr_map(l->c, iova, ua, SZ_64K));
	must("unmap", spapr_unmap(l->c, iova, SZ_64K));
	for (i = 0; i < LINES_CALLS; i++) {
		MARK(LINES_MAP);
		ret = spapr_map(l->c, iova, ua, SZ_64K);
		MARK(0);
		must("map", ret);
		MARK(LINES_UNMAP);
		ret = spapr_unmap(l->c, iova, SZ_64K);
		MARK(0);
		must("unmap", ret);
	}
}

static void part_lines(void)
{
	struct lines l;
	struct box box;

	box_open(&box);
	l.c = box.c;
	l.ua = buf_alloc(2 * page_size, page_size);
	memset(l.ua, 1, 2 * page_size);
	must("register", spapr_register(l.c, l.ua, 2 * page_size));
	must("create", spapr_create(l.c, SHIFT_64K, 16 * SZ_1G, 2, &l.start));
	bench_on_two_cpus(lines_calls, &l);
	box_close(&box);
}

/* ---- windows ---- */

static void part_empty(void)
{
	struct runs runs = { 0 };
	struct box box;
	char *ua = buf_alloc(page_size, page_size);
	int rep;

	box_open(&box);
	*ua = 1;
	must("register", spapr_register(box.c, ua, page_size));
	/* A process finds 2 GiB of 4 KiB entries */
	must("map", spapr_map(box.c, box.info.dma32_window_start, ua, SZ_4K));
	must("unmap", spapr_unmap(box.c, box.info.dma32_window_start, SZ_4K));
	for (rep = 0; rep < 5; rep++)
		runs_add(&runs, timed_unmap(box.c, box.info.dma32_window_start,
					    box.info.dma32_window_size));
	printf("# default window of %#x bytes\n", box.info.dma32_window_size);
	runs_print(&runs, "insn", 1, "unmap_empty");
	box_close(&box);
}

static double timed_remove(int c, uint64_t start)
{
	int ret;
	double insns = MEASURE(ret = spapr_remove(c, start));

	must("remove", ret);
	return insns;
}

/* Two entries, the first and the last one. */
static double removal_of_size(int c, char *ua, uint64_t size)
{
	uint64_t start;

	must("create", spapr_create(c, SHIFT_64K, size, 2, &start));
	must("map", spapr_map(c, start, ua, SZ_64K));
	must("map", spapr_map(c, start + size - SZ_64K, ua, SZ_64K));
	return timed_remove(c, start);
}

static double removal_of_entries(int c, char *ua, uint64_t entries)
{
	uint64_t start, done, n;

	must("create", spapr_create(c, SHIFT_64K, SZ_1T, 2, &start));
	for (done = 0; done < entries; done += n) {
		n = entries - done < ENTRIES ? entries - done : ENTRIES;
		must("map", spapr_map(c, start + done * SZ_64K, ua,
				      n * SZ_64K));
	}
	return timed_remove(c, start);
}

static void part_removal(void)
{
	struct runs runs = { 0 };
	struct arena a;
	struct box box;
	uint64_t n;
	int rep;

	box_open(&box);
	arena_new(&a, box.c);
	for (rep = 0; rep < 3; rep++)
		runs_add(&runs, removal_of_size(box.c, a.contig, SZ_1T));
	runs_print(&runs, "insn", 1, "remove_1t");
	for (n = 1; n <= 8192; n *= 8)
		bench_print("insn", removal_of_size(box.c, a.contig, n * SZ_1G),
			    "remove_size/%lu", n);
	for (n = 1; n <= 262144; n *= 4)
		bench_print("insn", removal_of_entries(box.c, a.contig, n),
			    "remove_entries/%lu", n);
	box_close(&box);
}

/* ---- registering ---- */

static void measure_register(int c, const char *what, char *ua, size_t bytes,
			     int repeat)
{
	struct runs on = { 0 }, off = { 0 };
	double pages = bytes / page_size;
	int ret;

	while (repeat--) {
		runs_add(&on, MEASURE(ret = spapr_register(c, ua, bytes)));
		must("register", ret);
		runs_add(&off, MEASURE(ret = spapr_unregister(c, ua, bytes)));
		must("unregister", ret);
	}
	runs_print(&on, "insn/page", pages, "register%s", what);
	runs_print(&off, "insn/page", pages, "unregister%s", what);
}

/* Pages of 1 << @shift, if the machine has them. */
static void part_register_huge(int c, const char *what, unsigned int shift)
{
	size_t bytes = SZ_1G;
	char *ua = bytes >> shift == 1 ? huge_page(shift, 0) :
					 buf_alloc_huge(bytes, shift);

	if (!ua)
		return;
	touch(ua, bytes);
	measure_register(c, what, ua, bytes, 3);
	munmap(ua, bytes);
}

static void part_register(void)
{
	size_t bytes = ENTRIES * SZ_64K;
	struct arena a;
	struct box box;
	char *ua;

	box_open(&box);
	ua = buf_alloc(bytes, SZ_16M);
	touch(ua, bytes);
	measure_register(box.c, "", ua, bytes, 5);
	measure_register(box.c, "_one", ua, page_size, REPEAT);
	munmap(ua, bytes);
	arena_new(&a, box.c);
	must("unregister", spapr_unregister(box.c, a.contig, bytes));
	must("unregister", spapr_unregister(box.c, a.frag, bytes));
	measure_register(box.c, "_contig", a.contig, bytes, 3);
	measure_register(box.c, "_frag", a.frag, bytes, 3);
	box_close(&box);
}

static void part_register_large(void)
{
	size_t bytes = ENTRIES * SZ_64K;
	struct box box;
	char *ua;

	box_open(&box);
	/* Transparent huge pages of whatever size the MMU has. */
	ua = buf_alloc(bytes, SZ_16M);
	if (!madvise(ua, bytes, MADV_HUGEPAGE)) {
		touch(ua, bytes);
		measure_register(box.c, "_thp", ua, bytes, 5);
	}
	munmap(ua, bytes);
	part_register_huge(box.c, "_2m", 21);
	part_register_huge(box.c, "_16m", 24);
	part_register_huge(box.c, "_1g", 30);
	box_close(&box);
}

/* ---- memory ---- */

/* The number behind @key, summed over all lines that have it. */
static long sum_keyed(const char *path, const char *key)
{
	FILE *f = fopen(path, "r");
	long sum = 0, n;
	char line[256], word[64];

	if (!f)
		bench_fail(path, -errno);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %ld", word, &n) == 2 &&
		    !strcmp(word, key))
			sum += n;
	fclose(f);
	return sum;
}

/* Bytes that are free, those on lists of single CPUs included. */
static double free_bytes(void)
{
	usage_now();	/* has the CPUs add up what they counted */
	return (sum_keyed("/proc/vmstat", "nr_free_pages") +
		sum_keyed("/proc/zoneinfo", "count:")) * (double)page_size;
}

struct mem {
	double free;
	double locked;
};

/* The number in a file of a slab cache, 0 if there is none. */
static long slab_number(const char *cache, const char *name)
{
	char path[300];
	long n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/slab/%s/%s", cache, name);
	f = fopen(path, "r");
	if (!f)
		return 0;
	if (fscanf(f, "%ld", &n) != 1)
		bench_fail(path, -EIO);
	fclose(f);
	return n;
}

static void slab_shrink(const char *cache)
{
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", cache);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return;
	if (write(fd, "1", 1) != 1)
		bench_fail(path, -errno);
	close(fd);
}

/*
 * Has the kernel's allocator give back what it only keeps for later. Room that
 * it can't, because other objects are in the same pages, is not in use either:
 * how many bytes?
 */
static double slab_room(void)
{
	DIR *dir = opendir("/sys/kernel/slab");
	double room = 0;
	struct dirent *d;

	if (!dir)
		bench_fail("/sys/kernel/slab", -errno);
	while ((d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		slab_shrink(d->d_name);
		room += (double)slab_number(d->d_name, "slab_size") *
			(slab_number(d->d_name, "total_objects") -
			 slab_number(d->d_name, "objects"));
	}
	closedir(dir);
	return room;
}

static struct mem mem_now(void)
{
	double room;

	sleep(KFREE_RCU_SECONDS);
	usage_at_rest();
	room = slab_room();
	free_bytes();
	return (struct mem){ free_bytes() + room, locked_kb() * 1024.0 };
}

/*
 * Memory in use since then, and its charge, in each of some rounds.
 * The rest of the kernel takes and gives back pages as well, so it is the
 * median that counts.
 */
struct mem_runs {
	struct runs used;
	struct runs charged;
};

static void mem_add(struct mem_runs *runs, const struct mem *was)
{
	struct mem now = mem_now();

	runs_add(&runs->used, was->free - now.free);
	runs_add(&runs->charged, now.locked - was->locked);
}

/* Returns what was used. */
static double mem_print(struct mem_runs *runs, const char *row)
{
	double used = runs_median(&runs->used);

	bench_print("byte", used, "%s", row);
	bench_print("byte", runs_median(&runs->charged), "%s_charged", row);
	return used;
}

/* All levels of a table that is full, but its lowest one. */
static void mem_full(int c, const struct arena *a)
{
	double lowest = SZ_1T / SZ_64K * 8;
	struct mem_runs runs = { 0 };
	uint64_t start, iova;
	struct mem was;
	int rep;

	for (rep = 0; rep < MEM_REPEAT; rep++) {
		was = mem_now();
		must("create", spapr_create(c, SHIFT_64K, SZ_1T, 2, &start));
		for (iova = 0; iova < SZ_1T; iova += a->bytes)
			must("map", spapr_map(c, start + iova, a->contig,
					      a->bytes));
		mem_add(&runs, &was);
		must("remove", spapr_remove(c, start));
	}
	bench_print("byte", mem_print(&runs, "mem_full_1t") - lowest,
		    "mem_view_1t");
}

#define SPARSE	40UL

/* False if there can't be as many levels. */
static bool sparse_round(int c, const struct arena *a, unsigned int levels,
			 struct mem_runs *runs)
{
	struct mem was = mem_now();
	uint64_t start, i;

	if (spapr_create(c, SHIFT_64K, SZ_1T, levels, &start))
		return false;
	for (i = 0; i < SPARSE; i++)
		must("map", spapr_map(c, start + SZ_1T / SPARSE * i / SZ_64K *
				      SZ_64K, a->contig, SZ_64K));
	mem_add(runs, &was);
	must("remove", spapr_remove(c, start));
	return true;
}

static void mem_sparse(int c, const struct arena *a)
{
	unsigned int levels, rep;
	char row[32];

	for (levels = 1; levels <= 5; levels++) {
		struct mem_runs runs = { 0 };

		for (rep = 0; rep < MEM_REPEAT; rep++)
			if (!sparse_round(c, a, levels, &runs))
				break;
		snprintf(row, sizeof(row), "mem_sparse_1t/%u", levels);
		if (rep)
			mem_print(&runs, row);
	}
}

/* The worst that a window can come to: each chunk an array. */
static void mem_worst(int c, const struct arena *a)
{
	unsigned long i, n = 16 * SZ_1G / SZ_64K;
	struct mem_runs runs = { 0 };
	struct mem was = mem_now();
	uint64_t start;

	must("create", spapr_create(c, SHIFT_64K, n * SZ_64K, 2, &start));
	for (i = 0; i < n; i++)
		must("map", spapr_map(c, start + i * SZ_64K, a->contig +
				      (n - 1 - i) % ENTRIES * SZ_64K, SZ_64K));
	mem_add(&runs, &was);
	mem_print(&runs, "mem_worst_16g");
	must("remove", spapr_remove(c, start));
}

/* Half a million pages or more, in runs of @run. */
static void mem_registry(int c, unsigned long run)
{
	unsigned long times = 256, pages, runs;
	char *other = buf_alloc(page_size, page_size);
	struct mem_runs mem = { 0 };
	struct mem was;
	struct store s;
	char row[32];
	double used;
	char *ua;
	int rep;

	store_new(&s, c, 4096);
	ua = store_in_runs(&s, run, times, &pages);
	/* Of each kind of object there is one before: a page holds many. */
	must("register a page", spapr_register(c, other, page_size));
	for (rep = 0; rep < MEM_REPEAT; rep++) {
		was = mem_now();
		must("register", spapr_register(c, ua, pages * page_size));
		mem_add(&mem, &was);
		must("unregister", spapr_unregister(c, ua, pages * page_size));
	}
	runs = pages / run;
	snprintf(row, sizeof(row), "mem_registry_run%lu", run);
	used = mem_print(&mem, row);
	bench_print("run", runs, "%s_runs", row);
	bench_print("byte/run", used / runs, "%s_per_run", row);
	bench_print("byte/page", used / pages, "%s_per_page", row);
	must("unregister a page", spapr_unregister(c, other, page_size));
	munmap(ua, pages * page_size);
	munmap(other, page_size);
	free(s.pfn);
	close(s.fd);
}

/* Each run that is not where the one before it ends is a mapping. */
static void allow_mappings(unsigned long n)
{
	FILE *f = fopen("/proc/sys/vm/max_map_count", "w");

	if (!f || fprintf(f, "%lu\n", n) < 0 || fclose(f))
		bench_fail("/proc/sys/vm/max_map_count", -errno);
}

/* The window at bus address 0 comes with the first call that needs a window. */
static void have_default_window(struct box *box, const struct arena *a)
{
	uint64_t start = box->info.dma32_window_start;

	must("map", spapr_map(box->c, start, a->contig, SZ_4K));
	must("unmap", spapr_unmap(box->c, start, SZ_4K));
}

static void part_memory(void)
{
	struct arena a;
	struct box box;

	box_open(&box);
	arena_new(&a, box.c);
	have_default_window(&box, &a);
	mem_sparse(box.c, &a);
	mem_worst(box.c, &a);
	mem_full(box.c, &a);
	box_close(&box);
}

/* After the other part: it leaves little contiguous memory behind. */
static void part_registry(void)
{
	struct box box;

	box_open(&box);
	allow_mappings(1 << 20);
	mem_registry(box.c, 1);
	mem_registry(box.c, 4);
	box_close(&box);
}

/* ---- threads ---- */

#define MAX_THREADS	4
#define THREAD_SECONDS	1

struct worker {
	pthread_t thread;
	int c;
	uint64_t iova;
	char *ua;
	unsigned long entries;
	unsigned long done;
};

static volatile bool go, halt;

static void *work(void *arg)
{
	uint64_t bytes;
	struct worker *w = arg;

	bytes = w->entries * SZ_64K;
	while (!go)
		;
	while (!halt) {
		must("map", spapr_map(w->c, w->iova, w->ua, bytes));
		must("unmap", spapr_unmap(w->c, w->iova, bytes));
		w->done++;
	}
	return NULL;
}

/* Map and unmap calls a second of @n threads, each in 1 GiB of its own. */
static double throughput(int c, uint64_t start, char *ua, unsigned int n,
			 unsigned long entries)
{
	struct worker w[MAX_THREADS];
	struct timespec t0, t1;
	unsigned long done = 0;
	unsigned int i;

	go = false;
	halt = false;
	for (i = 0; i < n; i++) {
		w[i] = (struct worker){
			.c = c, .iova = start + i * SZ_1G, .entries = entries,
			.ua = ua,
		};
		if (pthread_create(&w[i].thread, NULL, work, &w[i]))
			bench_fail("thread", -errno);
	}
	clock_gettime(CLOCK_MONOTONIC, &t0);
	go = true;
	sleep(THREAD_SECONDS);
	halt = true;
	for (i = 0; i < n; i++) {
		pthread_join(w[i].thread, NULL);
		done += w[i].done;
	}
	clock_gettime(CLOCK_MONOTONIC, &t1);
	return done / (t1.tv_sec - t0.tv_sec + (t1.tv_nsec - t0.tv_nsec) / 1e9);
}

static void part_threads(void)
{
	static const unsigned long entries[] = { 1, 256, ENTRIES };
	struct arena a;
	struct box box;
	uint64_t start;
	unsigned int i, n, rep;

	box_open(&box);
	arena_new(&a, box.c);
	must("create", spapr_create(box.c, SHIFT_64K, 16 * SZ_1G, 2, &start));
	for (i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
		for (n = 1; n <= MAX_THREADS; n *= 2) {
			struct runs runs = { 0 };

			for (rep = 0; rep < 3; rep++)
				runs_add(&runs, throughput(box.c, start,
							   a.contig, n,
							   entries[i]));
			runs_print(&runs, "call/s", 1, "threads_%lu/%u",
				   entries[i], n);
		}
	box_close(&box);
}

/* ---- all of it ---- */

static const struct part {
	const char *name;
	void (*fn)(void);
} parts[] = {
	{ "map", part_map },
	{ "iommufd", part_iommufd },
	{ "regions", part_regions },
	{ "large", part_large },
	{ "empty", part_empty },
	{ "removal", part_removal },
	{ "register", part_register },
	{ "register_large", part_register_large },
	{ "memory", part_memory },
	{ "registry", part_registry },
	{ "threads", part_threads },
	{ "profile", part_profile },
	{ "lines", part_lines },
};

#define NR_PARTS	(sizeof(parts) / sizeof(parts[0]))

static bool wanted(const struct part *part, int argc, char **argv)
{
	int i;

	if (argc == 1)
		return part->fn != part_threads &&
		       part->fn != part_profile && part->fn != part_lines;
	for (i = 1; i < argc; i++)
		if (!strcmp(argv[i], part->name))
			return true;
	return false;
}

static int run_part(void *arg)
{
	const struct part *part = arg;

	part->fn();
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int i;

	bench_init();
	for (i = 0; i < NR_PARTS; i++) {
		if (!wanted(&parts[i], argc, argv))
			continue;
		printf("# part %s\n", parts[i].name);
		if (in_child(run_part, (void *)&parts[i])) {
			printf("FAILED: part %s\n", parts[i].name);
			return 1;
		}
	}
	return 0;
}
