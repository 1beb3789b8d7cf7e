// SPDX-License-Identifier: GPL-2.0-only
/*
 * For how long a call keeps a CPU from everybody else. Not a test. See
 * bench_util.h for what it prints.
 *
 * A thread of real-time priority wakes up by a timer again and again, while
 * another one makes the calls on the same CPU. How late it is, at worst, is for
 * how long the kernel had interrupts off or did not schedule: on a kernel
 * without preemption that is the longest way from one scheduling point to the
 * next. Row "user" is how late it is when there is nothing in the way, which
 * all other rows contain.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bench_util.h"
#include "kvm_guest.h"
#include "spapr_util.h"

#define PERIOD_NS	50021	/* in step with nothing */
#define SAMPLES		400
#define REGION		(256 * SZ_1M)
#define PART		(16 * SZ_1M)
#define WINDOW		(4 * SZ_1G)
#define ENTRY_SHIFT	12
#define LIOBN		0x80000001UL
#define DATA_GPA	0x10000000UL
#define CALLS		64
/* As a process may have by default; and if an administrator says so */
#define MAPPINGS	60000UL
#define MANY_MAPPINGS	1000000UL
/* Entries of one chunk, each of another region */
#define REGIONS		1023UL
#define HUGE_PAGES	16UL

static atomic_uint samples;
static atomic_long latest;

static void later(struct timespec *ts, long ns)
{
	ts->tv_nsec += ns;
	ts->tv_sec += ts->tv_nsec / 1000000000;
	ts->tv_nsec %= 1000000000;
}

static void *watch(void *unused)
{
	struct timespec at, now;
	long late;

	clock_gettime(CLOCK_MONOTONIC, &at);
	for (;;) {
		later(&at, PERIOD_NS);
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
		clock_gettime(CLOCK_MONOTONIC, &now);
		late = (now.tv_sec - at.tv_sec) * 1000000000L + now.tv_nsec -
		       at.tv_nsec;
		if (late > atomic_load(&latest))
			atomic_store(&latest, late);
		/* Missed wake-ups are not made up for */
		if (late > PERIOD_NS)
			at = now;
		atomic_fetch_add(&samples, 1);
	}
	return unused;
}

static void watch_start(void)
{
	struct sched_param param = { .sched_priority = 50 };
	pthread_attr_t attr;
	pthread_t thread;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		bench_fail("one CPU", -errno);
	pthread_attr_init(&attr);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
	pthread_attr_setschedparam(&attr, &param);
	errno = pthread_create(&thread, &attr, watch, NULL);
	if (errno)
		bench_fail("a thread of real-time priority", -errno);
}

struct job {
	struct edu edu;
	int c;
	char *buf;
	char *mappings;
	size_t nr_mappings;
	/* REGIONS pages, each registered by itself */
	char *pages;
	uint64_t start;
	/* pages of 1 << @huge_shift, and where their window is */
	unsigned int huge_shift;
	char *huge;
	uint64_t huge_start;
	struct vm vm;
	struct vcpu cpu;
};

static void worst(const char *row, struct job *j, void (*fn)(struct job *j))
{
	unsigned int first;

	/* What was freed before is freed behind RCU, on this CPU, at once */
	sleep(1);
	fn(j);
	atomic_store(&latest, 0);
	first = atomic_load(&samples);
	while (atomic_load(&samples) - first < SAMPLES)
		fn(j);
	bench_print("insn", atomic_load(&latest), "latency_%s", row);
}

static void user(struct job *j)
{
	volatile int n = 100000;

	while (n)
		n--;
}

static void map(struct job *j)
{
	must("map", spapr_map(j->c, j->start, j->buf, PART));
}

/* Every 4 KiB from elsewhere: nothing is a run, and every chunk is dense */
static void map_scattered(struct job *j)
{
	unsigned int i, entries = SZ_64K >> ENTRY_SHIFT;

	for (i = 0; i < entries; i++)
		must("map", spapr_map(j->c, j->start + i * SZ_4K, j->buf +
				      (i * 7 % entries) * SZ_64K, SZ_4K));
}

static void map_unmap(struct job *j)
{
	must("map", spapr_map(j->c, j->start, j->buf, REGION));
	must("unmap", spapr_unmap(j->c, j->start, WINDOW));
}

static void register_all(struct job *j)
{
	must("unregister", spapr_unregister(j->c, j->buf, REGION));
	must("register", spapr_register(j->c, j->buf, REGION));
}

/* A chunk whose entries are counted in as many regions as there are entries */
static void map_regions(struct job *j)
{
	unsigned long i;

	for (i = 0; i < REGIONS; i++)
		must("map", spapr_map(j->c, j->start + i * SZ_4K,
				      j->pages + 2 * i * page_size, SZ_4K));
}

static void unmap_regions(struct job *j)
{
	map_regions(j);
	must("unmap", spapr_unmap(j->c, j->start, REGIONS * SZ_4K));
}

static void replace_regions(struct job *j)
{
	map_regions(j);
	must("map", spapr_map(j->c, j->start, j->buf, 1024 * SZ_4K));
	must("unmap", spapr_unmap(j->c, j->start, 1024 * SZ_4K));
}

static void region_rows(struct job *j)
{
	unsigned long i;

	j->pages = buf_alloc(2 * REGIONS * page_size, page_size);
	for (i = 0; i < REGIONS; i++)
		must("register", spapr_register(j->c, j->pages +
						2 * i * page_size, page_size));
	worst("unmap_1023_regions", j, unmap_regions);
	worst("replace_1023_regions", j, replace_regions);
	for (i = 0; i < REGIONS; i++)
		must("unregister", spapr_unregister(j->c, j->pages +
						    2 * i * page_size,
						    page_size));
}

static void map_huge(struct job *j)
{
	must("map", spapr_map(j->c, j->huge_start, j->huge,
			      HUGE_PAGES << j->huge_shift));
	must("unmap", spapr_unmap(j->c, j->huge_start,
				  HUGE_PAGES << j->huge_shift));
}

/*
 * One page that there is memory for once, as many pages; NULL if there is none.
 * The kernel has it from its start (hugepagesz=1G hugepages=1).
 */
static char *one_page_again(unsigned int shift)
{
	size_t page = 1UL << shift, at, size = HUGE_PAGES * page;
	char *buf;
	int fd;

	fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB |
			  shift << MAP_HUGE_SHIFT);
	if (fd < 0 || ftruncate(fd, page))
		return NULL;
	buf = mmap(NULL, size + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
		   MAP_NORESERVE, -1, 0);
	if (buf == MAP_FAILED)
		return NULL;
	buf = (char *)(((uintptr_t)buf + page - 1) & -page);
	for (at = 0; at < size; at += page) {
		if (mmap(buf + at, page, PROT_READ | PROT_WRITE, MAP_SHARED |
			 MAP_FIXED, fd, 0) == MAP_FAILED)
			return NULL;
	}
	close(fd);
	return buf;
}

/* IOMMU pages larger than the kernel's */
static void huge_row(struct job *j, unsigned int shift, const char *row)
{
	struct vfio_iommu_spapr_tce_info info;

	must("info", spapr_info(j->c, &info));
	if (!(info.ddw.pgsizes & 1UL << shift))
		return;
	j->huge_shift = shift;
	j->huge = shift == 30 ? one_page_again(shift) :
		  buf_alloc_contig(HUGE_PAGES << shift, shift);
	if (!j->huge)
		return;
	must("unmap", spapr_unmap(j->c, j->start, WINDOW));
	must("remove", spapr_remove(j->c, j->start));
	must("create", spapr_create(j->c, shift, SZ_1T, 1, &j->huge_start));
	must("register", spapr_register(j->c, j->huge, HUGE_PAGES << shift));
	worst(row, j, map_huge);
	must("unregister", spapr_unregister(j->c, j->huge,
					    HUGE_PAGES << shift));
	must("remove", spapr_remove(j->c, j->huge_start));
	munmap(j->huge, HUGE_PAGES << shift);
	must("create", spapr_create(j->c, ENTRY_SHIFT, WINDOW, 2, &j->start));
}

/* Many mappings, none with memory; the page behind them is none */
static void make_mappings(struct job *j, size_t nr)
{
	size_t i;

	j->nr_mappings = nr;
	j->mappings = mmap(NULL, (nr + 1) * page_size, PROT_READ |
			   PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
			   MAP_NORESERVE, -1, 0);
	if (j->mappings == MAP_FAILED)
		bench_fail("addresses", -errno);
	for (i = 1; i < nr; i += 2) {
		if (mprotect(j->mappings + i * page_size, page_size, PROT_READ))
			bench_fail("mprotect", -errno);
	}
	munmap(j->mappings + nr * page_size, page_size);
}

static void allow_mappings(size_t nr)
{
	FILE *f = fopen("/proc/sys/vm/max_map_count", "w");

	if (!f || fprintf(f, "%lu\n", nr) < 0 || fclose(f))
		bench_fail("max_map_count", -errno);
}

static void register_mappings(struct job *j)
{
	int ret = spapr_register(j->c, j->mappings,
				 (j->nr_mappings + 1) * page_size);

	if (ret != -EFAULT)
		bench_fail("register what is not mapped", ret);
}

static void window(struct job *j)
{
	must("map", spapr_map(j->c, j->start, j->buf, REGION));
	must("remove", spapr_remove(j->c, j->start));
	must("create", spapr_create(j->c, ENTRY_SHIFT, WINDOW, 2, &j->start));
}

static void run(struct job *j)
{
	unsigned int i;

	vcpu_run(&j->cpu, CALLS);
	for (i = 0; i < CALLS; i++)
		if (j->cpu.hcall[i].ret)
			bench_fail("hypercall", j->cpu.hcall[i].ret);
}

static void guest_user(struct job *j)
{
	unsigned int i;

	for (i = 0; i < CALLS; i++)
		hcall_set(&j->cpu, i, H_GET_TCE, LIOBN, j->start, 0, 0);
	run(j);
}

/* How many runs they are depends on what is in the list */
static void put_list(struct job *j)
{
	unsigned int i;

	for (i = 0; i < CALLS; i++)
		hcall_set(&j->cpu, i, H_PUT_TCE_INDIRECT, LIOBN, j->start,
			  list_gpa(&j->cpu, i % 2), MAX_LIST);
	run(j);
}

static void stuff(struct job *j)
{
	unsigned int i;

	for (i = 0; i < CALLS; i++)
		hcall_set(&j->cpu, i, i % 2 ? H_STUFF_TCE : H_PUT_TCE_INDIRECT,
			  LIOBN, j->start, i % 2 ? 0 : list_gpa(&j->cpu, 0),
			  MAX_LIST);
	run(j);
}

static void stuff_all(struct job *j)
{
	unsigned int i;

	must("map", spapr_map(j->c, j->start, j->buf, REGION));
	for (i = 0; i < CALLS; i++)
		hcall_set(&j->cpu, i, H_STUFF_TCE, LIOBN, j->start, 0,
			  WINDOW >> ENTRY_SHIFT);
	run(j);
}

/* Two lists, each of pieces of @piece pages, at different places */
static void fill_lists(struct job *j, unsigned int piece)
{
	unsigned int list, i;

	for (list = 0; list < 2; list++) {
		for (i = 0; i < MAX_LIST; i++) {
			uint64_t page = i / piece * 2 * piece * 5 + i % piece +
					list * 1024;

			list_set(&j->cpu, list, i, (DATA_GPA +
				 page % (REGION / SZ_4K) * SZ_4K) | TCE_RW);
		}
	}
}

static void guest_rows(struct job *j)
{
	enum mmu mmu = guest_has_real_mode() ? HASH : RADIX;
	int table;

	if (guest_missing(mmu))
		return;
	vm_create(&j->vm, mmu);
	must("slot", vm_memory(&j->vm, 1, DATA_GPA, j->buf, REGION));
	vcpu_create(&j->vm, &j->cpu);
	must("register", spapr_register(j->c, j->vm.low, GUEST_LOW_SIZE));
	must("add", vm_group_add(&j->vm, j->edu.group_fd));
	table = vm_liobn(&j->vm, LIOBN, ENTRY_SHIFT, j->start >> ENTRY_SHIFT,
			 WINDOW >> ENTRY_SHIFT);
	must("attach", vm_attach(&j->vm, j->edu.group_fd, table));
	worst("guest", j, guest_user);
	fill_lists(j, MAX_LIST);
	worst("h_put_tce_indirect_512_one_run", j, put_list);
	worst("h_stuff_tce_512", j, stuff);
	fill_lists(j, MAX_LIST / 32);
	worst("h_put_tce_indirect_512_32_runs", j, put_list);
	fill_lists(j, 1);
	worst("h_put_tce_indirect_512_scattered", j, put_list);
	worst("h_stuff_tce_512_dense", j, stuff);
	worst("h_stuff_tce_1M_entries", j, stuff_all);
}

int main(void)
{
	static struct job j;

	bench_init();
	if (!edu_find(&j.edu, 1))
		bench_fail("an edu device bound to vfio-pci", -ENODEV);
	j.c = container_open();
	if (edu_open_group(&j.edu) < 0)
		bench_fail("group", j.edu.group_fd);
	must("add the group", container_add(j.c, &j.edu));
	must("set the IOMMU", container_set_iommu(j.c,
						  VFIO_SPAPR_TCE_v2_IOMMU));
	j.buf = buf_alloc(REGION, SZ_16M);
	memset(j.buf, 1, REGION);
	must("register", spapr_register(j.c, j.buf, REGION));
	must("create", spapr_create(j.c, ENTRY_SHIFT, WINDOW, 2, &j.start));
	watch_start();
	worst("user", &j, user);
	worst("map_4096_entries", &j, map);
	worst("map_scattered", &j, map_scattered);
	worst("map_and_unmap_65536_entries", &j, map_unmap);
	worst("window_with_65536_entries", &j, window);
	must("unmap", spapr_unmap(j.c, j.start, WINDOW));
	worst("register_256M", &j, register_all);
	region_rows(&j);
	huge_row(&j, 21, "map_16_pages_of_2M");
	huge_row(&j, 24, "map_16_pages_of_16M");
	huge_row(&j, 30, "map_16_pages_of_1G");
	make_mappings(&j, MAPPINGS);
	worst("register_60000_mappings", &j, register_mappings);
	munmap(j.mappings, MAPPINGS * page_size);
	guest_rows(&j);
	allow_mappings(2 * MANY_MAPPINGS);
	make_mappings(&j, MANY_MAPPINGS);
	worst("register_1M_mappings", &j, register_mappings);
	return 0;
}
