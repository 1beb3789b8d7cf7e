/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared by the tests of KVM's TCE tables: a guest, one LIOBN of it, and, if
 * wanted, a device whose window is attached to the LIOBN.
 */
#ifndef KVM_FIXTURE_H
#define KVM_FIXTURE_H

#include <stdio.h>
#include <sys/mman.h>

#include "spapr_harness.h"
#include "kvm_guest.h"

#define LIOBN		0x80000001UL
#define NO_LIOBN	0x80000badUL

/* Guest memory for DMA. The last region is not registered at first. */
#define DATA_GPA	0x10000000UL
#define REGION_SIZE	SZ_1M
#define REGIONS		3
#define DATA_SIZE	(REGIONS * REGION_SIZE)
#define A		0
#define B		1
#define UNREGISTERED	2

struct guest {
	struct usage was;
	struct edu edu[2];
	int groups;
	/* -1 without a device */
	int c;
	/* the last page of the default window: for the probe */
	uint64_t last;
	struct vm vm;
	struct vcpu cpu;
	char *data;
	/* the LIOBN: its fd, first bus address, and entries; as user space */
	int table;
	unsigned int shift;
	uint64_t start;
	uint64_t size;
	volatile uint64_t *view;
};

static inline char *region_ua(struct guest *g, int region)
{
	return g->data + region * REGION_SIZE;
}

/* Bytes @off of a region, for a TCE. */
static inline uint64_t gpa(int region, uint64_t off)
{
	return DATA_GPA + region * REGION_SIZE + off;
}

static inline int register_region(struct guest *g, int region)
{
	return spapr_register(g->c, region_ua(g, region), REGION_SIZE);
}

static inline int unregister_region(struct guest *g, int region)
{
	return spapr_unregister(g->c, region_ua(g, region), REGION_SIZE);
}

/* 1 if entries point into the region, 0 if not, or -errno. */
static inline int busy(struct guest *g, int region)
{
	int ret = unregister_region(g, region);

	if (!ret)
		return register_region(g, region);
	return ret == -EBUSY ? 1 : ret;
}

static inline void guest_close_liobn(struct guest *g)
{
	munmap((void *)g->view, g->size * 8);
	close(g->table);
	g->table = -1;
}

/* The LIOBN: @size entries of 1 << @shift from bus address @start on. */
static inline void guest_liobn(struct __test_metadata *_metadata,
			       struct guest *g, unsigned int shift,
			       uint64_t start, uint64_t size)
{
	g->shift = shift;
	g->start = start;
	g->size = size;
	g->table = vm_liobn(&g->vm, LIOBN, shift, start >> shift, size);
	ASSERT_LE(0, g->table);
	g->view = mmap(NULL, size * 8, PROT_READ, MAP_SHARED, g->table, 0);
	ASSERT_NE(MAP_FAILED, g->view);
}

/*
 * Why no second group can join a container, NULL if one can: in a partition
 * each PHB has tables of its own, of one level, see spapr_partition.
 */
static inline const char *tables_are_apart(void)
{
	return access("/sys/firmware/opal", F_OK) ?
	       "groups share no tables in a partition" : NULL;
}

/* A container with the group, and all guest memory of interest registered. */
static inline void guest_device(struct __test_metadata *_metadata,
				struct guest *g)
{
	struct vfio_iommu_spapr_tce_info info;

	g->c = container_open();
	ASSERT_LE(0, edu_open_group(&g->edu[0]));
	ASSERT_EQ(0, container_add(g->c, &g->edu[0]));
	ASSERT_EQ(0, container_set_iommu(g->c, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, spapr_info(g->c, &info));
	ASSERT_LT(SZ_1G, info.dma32_window_size);
	g->last = (uint64_t)info.dma32_window_start + info.dma32_window_size -
		  page_size;
	ASSERT_EQ(0, spapr_register(g->c, g->vm.low, GUEST_LOW_SIZE));
	ASSERT_EQ(0, register_region(g, A));
	ASSERT_EQ(0, register_region(g, B));
	/* which makes the default window */
	ASSERT_EQ(0, spapr_unmap(g->c, 0, SZ_4K));
}

/* Adds a group to KVM's device, and has the LIOBN change its window. */
static inline void guest_attach(struct __test_metadata *_metadata,
				struct guest *g, int side)
{
	int fd = g->edu[side].group_fd;

	ASSERT_EQ(0, vm_group_add(&g->vm, fd));
	ASSERT_EQ(0, vm_attach(&g->vm, fd, g->table));
}

/* A guest with a vCPU, and without a LIOBN. False: the test is skipped. */
static inline bool guest_setup(struct __test_metadata *_metadata,
			       struct guest *g, enum mmu mmu, bool device)
{
	const char *missing = guest_missing(mmu);

	g->c = -1;
	g->table = -1;
	if (missing)
		SKIP(return false, "%s", missing);
	g->groups = edu_find(g->edu, 2);
	if (device && !g->groups)
		SKIP(return false, "no edu device is bound to vfio-pci");
	g->was = usage_at_rest();
	vm_create(&g->vm, mmu);
	g->data = buf_alloc(DATA_SIZE, SZ_64K);
	buf_tag(g->data, DATA_SIZE);
	ASSERT_EQ(0, vm_memory(&g->vm, 1, DATA_GPA, g->data, DATA_SIZE));
	vcpu_create(&g->vm, &g->cpu);
	if (device)
		guest_device(_metadata, g);
	return true;
}

/* The same with a LIOBN of 1 GiB, attached to the window if there is one. */
static inline void guest_setup_all(struct __test_metadata *_metadata,
				   struct guest *g, enum mmu mmu, bool device)
{
	if (!guest_setup(_metadata, g, mmu, device))
		return;
	guest_liobn(_metadata, g, 12, SLOT0_START, SZ_1G / SZ_4K);
	if (device)
		guest_attach(_metadata, g, 0);
}

static inline void guest_teardown(struct __test_metadata *_metadata,
				  struct guest *g)
{
	int i;

	EXPECT_EQ(0, check_invariants());
	if (g->table >= 0)
		guest_close_liobn(g);
	vcpu_close(&g->cpu);
	vm_close(&g->vm);
	for (i = 0; i < g->groups; i++) {
		edu_close(&g->edu[i]);
		edu_close_group(&g->edu[i]);
	}
	if (g->c >= 0)
		close(g->c);
	expect_usage(_metadata, &g->was);
}

/* ---- hypercalls on the one LIOBN, by number of entry ---- */

static inline uint64_t ioba(struct guest *g, uint64_t i)
{
	return g->start + (i << g->shift);
}

static inline long put(struct guest *g, uint64_t i, uint64_t tce)
{
	return h_put_tce(&g->cpu, LIOBN, ioba(g, i), tce);
}

static inline long stuff(struct guest *g, uint64_t i, uint64_t tce, uint64_t n)
{
	return h_stuff_tce(&g->cpu, LIOBN, ioba(g, i), tce, n);
}

/* The first list of the vCPU */
static inline long put_list(struct guest *g, uint64_t i, uint64_t n)
{
	return h_put_tce_indirect(&g->cpu, LIOBN, ioba(g, i),
				  list_gpa(&g->cpu, 0), n);
}

static inline void fill_list(struct guest *g, unsigned int from, unsigned int n,
			     uint64_t tce, int64_t step)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		list_set(&g->cpu, 0, from + i, tce + i * step);
}

#define NO_ENTRY	0xdeadUL

/* An entry as guest and user space see it, NO_ENTRY if they disagree. */
static inline uint64_t entry(struct guest *g, uint64_t i)
{
	uint64_t tce;
	long ret = h_get_tce(&g->cpu, LIOBN, ioba(g, i), &tce);

	if (!ret && tce == g->view[i])
		return tce;
	fprintf(stderr, "# TCE %#lx: H_GET_TCE returns %ld, %#lx; mmap %#lx\n",
		(long)i, ret, (long)tce, (long)g->view[i]);
	return NO_ENTRY;
}

/* How many of @n entries are not @tce, each @step more than the one before. */
static inline unsigned long wrong_entries(struct guest *g, uint64_t i,
					  uint64_t n, uint64_t tce,
					  int64_t step)
{
	unsigned long wrong = 0;
	uint64_t k;

	for (k = 0; k < n; k++)
		wrong += entry(g, i + k) != tce + k * step;
	return wrong;
}

#endif
