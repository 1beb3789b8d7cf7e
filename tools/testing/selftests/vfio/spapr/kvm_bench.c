// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cost of TCE hypercalls, from guest side to guest side. Not a test. See
 * bench_util.h for what it prints. With the argument "profile" it does a few
 * calls, for a log of each instruction, and with "lines" for one of each store.
 *
 * A guest does many hypercalls in one KVM_RUN; of the time for that, the time
 * for none is subtracted. A hypercall's figure includes the dozen instructions
 * of the guest's loop.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench_memory.h"
#include "bench_util.h"
#include "kvm_guest.h"
#include "spapr_util.h"

#define LIOBN		0x80000001UL
#define LIOBN_BARE	0x80000002UL
#define CONTIG_GPA	0x10000000UL
#define FRAG_GPA	0x20000000UL
#define RUNS_GPA	0x30000000UL
#define DATA_PAGES	(2UL * MAX_LIST)
#define DATA_SIZE	(DATA_PAGES * SZ_64K)
#define WINDOW		(16 * SZ_1G)
#define SHIFT		16
#define CALLS		512U
#define REPEAT		7
#define PROFILE_CALLS	6U
/* A guest of huge pages. */
#define LIOBN_LARGE	0x80000003UL
#define LARGE_GPA	0x40000000UL

struct guest {
	struct vm vm;
	struct vcpu cpu;
	struct vcpu other;	/* for "lines" */
	struct edu edu;
	int c;
	uint64_t start;
	double empty;		/* a KVM_RUN without a hypercall */
};

static void open_container(struct guest *g)
{
	struct vfio_iommu_spapr_tce_info info;

	if (!edu_find(&g->edu, 1))
		bench_fail("an edu device bound to vfio-pci", -ENODEV);
	g->c = container_open();
	if (edu_open_group(&g->edu) < 0)
		bench_fail("group", g->edu.group_fd);
	must("add the group", container_add(g->c, &g->edu));
	must("set the IOMMU", container_set_iommu(g->c,
						  VFIO_SPAPR_TCE_v2_IOMMU));
	must("register", spapr_register(g->c, g->vm.low, GUEST_LOW_SIZE));
	must("info", spapr_info(g->c, &info));
	/* a hypervisor's tables have one level */
	must("create", spapr_create(g->c, SHIFT, WINDOW,
				    info.ddw.levels > 1 ? 2 : 1, &g->start));
}

static int liobn(struct guest *g, uint64_t nr, unsigned int shift)
{
	int fd = vm_liobn(&g->vm, nr, shift, g->start >> shift,
			  WINDOW >> shift);

	if (fd < 0)
		bench_fail("LIOBN", fd);
	return fd;
}

/* Memory of the guest, registered. */
static void add_memory(struct guest *g, unsigned int slot, uint64_t gpa,
		       char *ua)
{
	must("register", spapr_register(g->c, ua, DATA_SIZE));
	must("guest memory", vm_memory(&g->vm, slot, gpa, ua, DATA_SIZE));
}

static void add_memories(struct guest *g)
{
	unsigned long n = DATA_SIZE / page_size, have;
	struct store s;
	char *runs;

	store_new(&s, g->c, 4 * n);
	add_memory(g, 1, CONTIG_GPA, store_contiguous(&s, n));
	add_memory(g, 2, FRAG_GPA, store_fragmented(&s, n));
	/* So few pages that two to a run are kept page by page. */
	runs = store_in_runs(&s, 3, 1, &have);
	if (have < n)
		bench_fail("memory in runs", -ENOMEM);
	add_memory(g, 3, RUNS_GPA, runs);
}

static double run(struct guest *g, unsigned int n)
{
	double insns = MEASURE(vcpu_run(&g->cpu, n));
	unsigned int i;

	for (i = 0; i < n; i++)
		if (g->cpu.hcall[i].ret)
			bench_fail("hypercall", g->cpu.hcall[i].ret);
	return insns - g->empty;
}

static void guest_open(struct guest *g)
{
	enum mmu mmu = guest_has_real_mode() ? HASH : RADIX;
	const char *missing = guest_missing(mmu);
	struct runs empty = { 0 };
	unsigned long i;

	if (missing)
		bench_fail(missing, -ENODEV);
	vm_create(&g->vm, mmu);
	vcpu_create(&g->vm, &g->cpu);
	open_container(g);
	add_memories(g);
	must("add to KVM", vm_group_add(&g->vm, g->edu.group_fd));
	must("attach", vm_attach(&g->vm, g->edu.group_fd,
				 liobn(g, LIOBN, SHIFT)));
	liobn(g, LIOBN_BARE, SHIFT);
	for (i = 0; i < REPEAT; i++)
		runs_add(&empty, run(g, 0));
	g->empty = runs_min(&empty);
	printf("# a KVM_RUN without a hypercall: %.0f\n", g->empty);
}

static uint64_t tce(uint64_t gpa, unsigned long page)
{
	return (gpa + page * SZ_64K) | TCE_RW;
}

/* No page is where the one before it ends. */
static unsigned long scattered(unsigned long i)
{
	return i * 5 % DATA_PAGES;
}

/* The same hypercall @CALLS times. */
static void measure_call(struct guest *g, const char *row, uint64_t hcall,
			 uint64_t arg0, uint64_t arg1)
{
	struct runs runs = { 0 };
	unsigned int i, rep;

	for (rep = 0; rep < REPEAT; rep++) {
		for (i = 0; i < CALLS; i++)
			hcall_set(&g->cpu, i, hcall, arg0, arg1, 0, 0);
		runs_add(&runs, run(g, CALLS));
	}
	runs_print(&runs, "insn", CALLS, "%s", row);
}

static void measure_put(struct guest *g, const char *row, uint64_t nr)
{
	struct runs put = { 0 }, clear = { 0 };
	unsigned int i, rep;

	for (rep = 0; rep < REPEAT; rep++) {
		for (i = 0; i < CALLS; i++)
			hcall_set(&g->cpu, i, H_PUT_TCE, nr, g->start +
				  i * SZ_64K, tce(CONTIG_GPA, i), 0);
		runs_add(&put, run(g, CALLS));
		for (i = 0; i < CALLS; i++)
			hcall_set(&g->cpu, i, H_PUT_TCE, nr, g->start +
				  i * SZ_64K, 0, 0);
		runs_add(&clear, run(g, CALLS));
	}
	runs_print(&put, "insn", CALLS, "%s", row);
	runs_print(&clear, "insn", CALLS, "%s_clear", row);
}

/* The window gets IOMMU pages of 1 << @shift, and the guest memory of these. */
static unsigned int open_large(struct guest *g, unsigned int shift)
{
	struct vfio_iommu_spapr_tce_info info;
	char *ua;

	must("info", spapr_info(g->c, &info));
	if (!(info.ddw.pgsizes >> shift & 1))
		return 0;
	ua = buf_alloc_huge(SZ_1G, shift);
	if (!ua)
		return 0;
	must("register", spapr_register(g->c, ua, SZ_1G));
	must("guest memory", vm_memory(&g->vm, 4, LARGE_GPA, ua, SZ_1G));
	must("remove", spapr_remove(g->c, g->start));
	must("create", spapr_create(g->c, shift, WINDOW,
				    info.ddw.levels < 2 ? 1 : 2, &g->start));
	must("attach", vm_attach(&g->vm, g->edu.group_fd,
				 liobn(g, LIOBN_LARGE, shift)));
	return SZ_1G >> shift < CALLS ? SZ_1G >> shift : CALLS;
}

static void measure_large(struct guest *g, const char *row, unsigned int shift)
{
	unsigned int i, rep, n = open_large(g, shift);
	struct runs put = { 0 }, clear = { 0 };

	for (rep = 0; n && rep < REPEAT; rep++) {
		for (i = 0; i < n; i++)
			hcall_set(&g->cpu, i, H_PUT_TCE, LIOBN_LARGE,
				  g->start + ((uint64_t)i << shift),
				  (LARGE_GPA + ((uint64_t)i << shift)) | TCE_RW,
				  0);
		runs_add(&put, run(g, n));
		for (i = 0; i < n; i++)
			hcall_set(&g->cpu, i, H_PUT_TCE, LIOBN_LARGE,
				  g->start + ((uint64_t)i << shift), 0, 0);
		runs_add(&clear, run(g, n));
	}
	if (!n)
		return;
	runs_print(&put, "insn", n, "%s", row);
	runs_print(&clear, "insn", n, "%s_clear", row);
}

/* Lists of @n entries, @calls times in a row, and clearing what they put. */
static void measure_list(struct guest *g, const char *suffix, uint64_t gpa,
			 unsigned int n, bool scatter)
{
	struct runs put = { 0 }, stuff = { 0 };
	unsigned int i, rep, calls = 64;

	for (i = 0; i < n; i++)
		list_set(&g->cpu, 0, i, tce(gpa, scatter ? scattered(i) : i));
	for (rep = 0; rep < REPEAT; rep++) {
		for (i = 0; i < calls; i++)
			hcall_set(&g->cpu, i, H_PUT_TCE_INDIRECT, LIOBN,
				  g->start + (uint64_t)i * n * SZ_64K,
				  list_gpa(&g->cpu, 0), n);
		runs_add(&put, run(g, calls));
		for (i = 0; i < calls; i++)
			hcall_set(&g->cpu, i, H_STUFF_TCE, LIOBN,
				  g->start + (uint64_t)i * n * SZ_64K, 0, n);
		runs_add(&stuff, run(g, calls));
	}
	runs_print(&put, "insn", calls, "h_put_tce_indirect%s/%u", suffix, n);
	runs_print(&stuff, "insn", calls, "h_stuff_tce%s/%u", suffix, n);
}

/*
 * For a log of each instruction: entries that are put where there was one
 * before, one by one and by lists, and a hypercall that has nothing to do with
 * TCEs. QEMU is to log between the two words. It takes a while to begin.
 */
static void profile_calls(struct guest *g)
{
	unsigned int i;

	for (i = 0; i < PROFILE_CALLS; i++)
		hcall_set(&g->cpu, i, H_PUT_TCE, LIOBN, g->start +
			  i * SZ_64K, tce(CONTIG_GPA, i), 0);
	run(g, PROFILE_CALLS);
	for (i = 0; i < PROFILE_CALLS; i++)
		hcall_set(&g->cpu, i, H_PUT_TCE_INDIRECT, LIOBN, g->start +
			  SZ_1G + i * MAX_LIST * SZ_64K,
			  list_gpa(&g->cpu, 0), MAX_LIST);
	run(g, PROFILE_CALLS);
	for (i = 0; i < PROFILE_CALLS; i++)
		hcall_set(&g->cpu, i, H_PROD, 0, 0, 0, 0);
	run(g, PROFILE_CALLS);
}

static void profile(struct guest *g)
{
	unsigned int i;

	for (i = 0; i < MAX_LIST; i++)
		list_set(&g->cpu, 0, i, tce(RUNS_GPA, i));
	profile_calls(g);
	printf("profile: ready\n");
	sleep(2);
	profile_calls(g);
	printf("profile: done\n");
}

/*
 * For a log of each store: the same hypercalls from two vCPUs, each on a CPU of
 * its own, for entries far from the other's. The pages, and the lists, are in
 * one region. All that a first call has to make is there before. The emulator
 * writes down what is between the marks, and knows the guest by its addresses.
 */
enum { LINES_PUT = 3, LINES_LIST = 4 };

/* A long list takes the emulator so long that there is a tick in each. */
#define LINES_LIST_ENTRIES	32U

static void lines_calls(unsigned int cpu, void *arg)
{
	struct guest *g = arg;
	struct vcpu *vcpu = cpu ? &g->other : &g->cpu;
	uint64_t ioba = g->start + cpu * LINES_APART;
	unsigned long i, rep;

	for (i = 0; i < LINES_LIST_ENTRIES; i++)
		list_set(vcpu, 0, i, tce(0, i % (GUEST_LOW_SIZE / SZ_64K)));
	/* The second time there is nothing new. */
	for (rep = 0; rep < 2; rep++) {
		for (i = 0; i < LINES_CALLS; i++)
			hcall_set(vcpu, i, H_PUT_TCE, LIOBN, ioba + i * SZ_64K,
				  tce(0, i), 0);
		if (rep)
			MARK(LINES_PUT);
		vcpu_run(vcpu, LINES_CALLS);
		MARK(0);
		for (i = 0; i < LINES_CALLS; i++)
			hcall_set(vcpu, i, H_PUT_TCE_INDIRECT, LIOBN, ioba,
				  list_gpa(vcpu, 0), LINES_LIST_ENTRIES);
		if (rep)
			MARK(LINES_LIST);
		vcpu_run(vcpu, LINES_CALLS);
		MARK(0);
	}
	for (i = 0; i < LINES_CALLS; i++)
		must("hypercall", vcpu->hcall[i].ret);
}

static void lines(struct guest *g)
{
	vcpu_create(&g->vm, &g->other);
	bench_on_two_cpus(lines_calls, g);
}

int main(int argc, char **argv)
{
	struct guest g;
	unsigned int n;

	bench_init();
	guest_open(&g);
	if (argc > 1 && !strcmp(argv[1], "profile")) {
		profile(&g);
		return 0;
	}
	if (argc > 1 && !strcmp(argv[1], "lines")) {
		lines(&g);
		return 0;
	}
	measure_put(&g, "h_put_tce_bare", LIOBN_BARE);
	measure_put(&g, "h_put_tce", LIOBN);
	measure_call(&g, "h_get_tce", H_GET_TCE, LIOBN, g.start);
	/* One that has nothing to do with TCEs: the vCPU prods itself. */
	measure_call(&g, "h_prod", H_PROD, 0, 0);
	for (n = 1; n <= MAX_LIST; n *= 2)
		measure_list(&g, "", CONTIG_GPA, n, false);
	for (n = 1; n <= MAX_LIST; n *= 2)
		measure_list(&g, "_scattered", CONTIG_GPA, n, true);
	for (n = 1; n <= MAX_LIST; n *= 2)
		measure_list(&g, "_frag", FRAG_GPA, n, false);
	measure_list(&g, "_runs", RUNS_GPA, MAX_LIST, false);
	measure_list(&g, "_runs_scattered", RUNS_GPA, MAX_LIST, true);
	measure_large(&g, "h_put_tce_2m", 21);
	measure_large(&g, "h_put_tce_16m", 24);
	return 0;
}
