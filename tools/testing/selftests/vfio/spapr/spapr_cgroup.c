// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who pays for the kernel's memory behind a process's windows and regions: what
 * outlives a call is charged to the caller's memory cgroup, as the allocator is
 * told.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "iommufd_util.h"
#include "kvm_fixture.h"

#define KMEM		TRACEFS "/events/kmem/"

/* ---- what the allocator is told ---- */

static const char *const events[] = {
	"kmalloc", "kmem_cache_alloc", "kfree", "kmem_cache_free",
	"mm_page_alloc", "mm_page_free",
};

#define NR_EVENTS	(sizeof(events) / sizeof(*events))
#define MAX_PIECES	8192

/*
 * Not ours: what debug options keep beside each object, the files of debugfs,
 * open files, whose slab is charged as a whole, and the handle of 16 bytes by
 * which iommufd finds what a device is attached to. In a partition, a window as
 * the device tree has it, and each CPU's list, which is there once for all.
 */
static const char *const others[] = {
	"__create_object", "__alloc_object", "mem_pool_alloc", "kmemleak", "fill_pool",
	"debug_object", "depot_", "stack_depot", "kasan", "__d_alloc",
	"alloc_inode", "debugfs", "simple_", "alloc_empty_file", "ddw_property",
	"copy_property", "safe_name", "__kernfs_new_node",
	"pseries_tce_have_lists", "iommufd_hw_pagetable_attach",
};

struct piece {
	unsigned long at;
	bool paid;
	char line[300];
};

static struct piece *pieces;
static unsigned int nr_pieces;

/* Once: a tracepoint takes memory itself when it is switched on. */
static int trace_init(void)
{
	char path[100], pid[16];
	unsigned int i;
	int ret;

	mount("tracefs", TRACEFS, "tracefs", 0, NULL);
	snprintf(pid, sizeof(pid), "%d", getpid());
	ret = write_text(TRACEFS "/tracing_on", "0");
	ret = ret ?: write_text(TRACEFS "/set_event_pid", pid);
	ret = ret ?: write_text(TRACEFS "/options/hash-ptr", "0");
	for (i = 0; i < NR_EVENTS && !ret; i++) {
		snprintf(path, sizeof(path), KMEM "%s/enable", events[i]);
		ret = write_text(path, "1");
	}
	if (ret)
		return ret;

	/* What the test touches is there before. */
	pieces = malloc(MAX_PIECES * sizeof(*pieces));
	if (!pieces)
		return -ENOMEM;
	memset(pieces, 1, MAX_PIECES * sizeof(*pieces));
	return 0;
}

static void trace_exit(void)
{
	char path[100];
	unsigned int i;

	for (i = 0; i < NR_EVENTS; i++) {
		snprintf(path, sizeof(path), KMEM "%s/enable", events[i]);
		write_text(path, "0");
	}
	write_text(TRACEFS "/set_event_pid", "");
	write_text(TRACEFS "/options/hash-ptr", "1");
	write_text(TRACEFS "/tracing_on", "1");
}

static int trace_begin(void)
{
	return write_text(TRACEFS "/trace", "\n") ?:
	       write_text(TRACEFS "/tracing_on", "1");
}

static bool is_of_others(const char *line)
{
	const char *site = strstr(line, "call_site=");
	unsigned int i;

	for (i = 0; site && i < sizeof(others) / sizeof(*others); i++) {
		if (!strncmp(site + strlen("call_site="), others[i],
			     strlen(others[i])))
			return true;
	}
	return false;
}

/* Pages of user space, and of slabs, whose objects are seen by themselves. */
static bool is_user_or_slab(const char *line)
{
	return strstr(line, "mm_page_alloc:") &&
	       (strstr(line, "MOVABLE") || strstr(line, "HIGHUSER") ||
		strstr(line, "NORETRY") || strstr(line, "__GFP_COMP"));
}

static void forget(unsigned long at)
{
	unsigned int i;

	for (i = 0; i < nr_pieces; i++) {
		if (pieces[i].at == at)
			pieces[i--] = pieces[--nr_pieces];
	}
}

static void one_event(char *line, void *arg)
{
	const char *at = strstr(line, " ptr=") ?: strstr(line, " pfn=");
	struct piece *p = &pieces[nr_pieces];

	if (!at)
		return;
	if (strstr(line, "free:")) {
		forget(strtoul(at + strlen(" ptr="), NULL, 16));
		return;
	}
	if (nr_pieces == MAX_PIECES || is_of_others(line) ||
	    is_user_or_slab(line))
		return;
	p->at = strtoul(at + strlen(" ptr="), NULL, 16);
	p->paid = strstr(line, "ACCOUNT") || strstr(line, "accounted=true");
	snprintf(p->line, sizeof(p->line), "%.299s", line);
	nr_pieces++;
}

/* How much of what is left since trace_begin() nobody pays, or -errno. */
static int trace_end(struct __test_metadata *_metadata, const char *what,
		     unsigned int *paid)
{
	int ret = write_text(TRACEFS "/tracing_on", "0"), nr = 0;
	unsigned int i;

	nr_pieces = 0;
	ret = ret ?: trace_read(one_event, NULL);
	if (ret)
		return ret;
	*paid = 0;
	for (i = 0; i < nr_pieces; i++) {
		*paid += pieces[i].paid;
		if (pieces[i].paid)
			continue;
		nr++;
		TH_LOG("%s: %s", what, pieces[i].line);
	}
	return nr;
}

FIXTURE(paid)
{
	struct usage was;
	struct edu edu;
	int c;
	char *buf;
	uint64_t start;
};

FIXTURE_SETUP(paid)
{
	if (!edu_find(&self->edu, 1))
		SKIP(return, "no edu device is bound to vfio-pci");
	if (trace_init())
		SKIP(return, "no trace events");
	self->was = usage_at_rest();
	self->buf = buf_alloc(64 * page_size, SZ_64K);
	memset(self->buf, 1, 64 * page_size);
	self->c = container_open();
	ASSERT_LE(0, edu_open_group(&self->edu));
}

FIXTURE_TEARDOWN(paid)
{
	trace_exit();
	edu_close_group(&self->edu);
	close(self->c);
	expect_usage(_metadata, &self->was);
}

/* All that is left of a call is paid by the caller, and something is. */
#define EXPECT_PAID(call)						\
do {									\
	unsigned int paid;						\
									\
	ASSERT_EQ(0, trace_begin());					\
	EXPECT_EQ(0, (call));						\
	EXPECT_EQ(0, trace_end(_metadata, #call, &paid));		\
	EXPECT_LT(0, paid) {						\
		TH_LOG("%s", #call);					\
	}								\
} while (0)

TEST_F(paid, container)
{
	ASSERT_EQ(0, container_add(self->c, &self->edu));
	EXPECT_PAID(container_set_iommu(self->c, VFIO_SPAPR_TCE_v2_IOMMU));
	/* runs, words, a page alone; the first of them makes the registry */
	EXPECT_PAID(spapr_register(self->c, self->buf, 8 * page_size));
	EXPECT_PAID(spapr_register(self->c, self->buf + 8 * page_size,
				   page_size));
	EXPECT_PAID(spapr_register(self->c, self->buf + 16 * page_size,
				   48 * page_size));
	/* the default window, and one more */
	EXPECT_PAID(spapr_create(self->c, 12, SZ_1G, 1, &self->start));
	/* a run, which takes nothing, and then what takes an array */
	ASSERT_EQ(0, spapr_map(self->c, self->start, self->buf, SZ_4K));
	EXPECT_PAID(spapr_map(self->c, self->start + SZ_64K, self->buf,
			      SZ_4K));
	ASSERT_EQ(0, spapr_map(self->c, 0, self->buf, SZ_4K));
}

/* Levels and nodes of the view: not where a hypervisor has the table. */
TEST_F(paid, levels)
{
	if (access("/sys/firmware/opal", F_OK))
		SKIP(return, "windows of one level in a partition");
	ASSERT_EQ(0, container_add(self->c, &self->edu));
	ASSERT_EQ(0, container_set_iommu(self->c, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, spapr_register(self->c, self->buf, 8 * page_size));
	EXPECT_PAID(spapr_create(self->c, 12, SZ_1T, 3, &self->start));
	EXPECT_PAID(spapr_map(self->c, self->start + SZ_1T / 2, self->buf,
			      8 * SZ_4K));
}

static int first_version(int c)
{
	return container_set_iommu(c, VFIO_SPAPR_TCE_IOMMU);
}

TEST_F(paid, v1)
{
	ASSERT_EQ(0, container_add(self->c, &self->edu));
	EXPECT_PAID(first_version(self->c));
	ASSERT_EQ(0, spapr_ioctl(self->c, VFIO_IOMMU_ENABLE, NULL));
	EXPECT_PAID(spapr_map(self->c, 0, self->buf, SZ_4K));
}

/* A domain: the topmost levels of both tables, and then those below. */
TEST_F(paid, iommufd)
{
	uint32_t ioas;
	int f;

	if (access("/sys/firmware/opal", F_OK))
		SKIP(return, "no domains of iommufd in a partition");
	f = iommufd_open();
	if (f == -ENOENT)
		SKIP(return, "this kernel has no /dev/iommu");
	ASSERT_LE(0, f);
	/* The device's own file and that of its group exclude each other. */
	edu_close_group(&self->edu);
	ASSERT_EQ(0, ioas_alloc(f, &ioas));
	ASSERT_LE(0, edu_open_file(&self->edu));
	ASSERT_EQ(0, edu_bind(&self->edu, f, NULL));
	EXPECT_PAID(edu_attach(&self->edu, ioas));
	EXPECT_PAID(ioas_map(f, ioas, SZ_1T, self->buf, 8 * page_size));
	EXPECT_PAID(ioas_map(f, ioas, WINDOW1_START + SZ_1T, self->buf,
			     8 * page_size));
	edu_close(&self->edu);
	close(f);
}

FIXTURE(hypercalls)
{
	struct guest g;
};

FIXTURE_SETUP(hypercalls)
{
	/* First: without a guest there is no teardown. */
	if (!guest_setup(_metadata, &self->g, guest_any(), true))
		return;
	ASSERT_EQ(0, trace_init());
}

FIXTURE_TEARDOWN(hypercalls)
{
	trace_exit();
	guest_teardown(_metadata, &self->g);
}

static int make_liobn(struct guest *g)
{
	g->table = vm_liobn(&g->vm, LIOBN, 12, 0, SZ_1G / SZ_4K);
	return g->table < 0 ? g->table : 0;
}

/* Each page of a LIOBN's table, what attaches it, and a vCPU's list. */
TEST_F(hypercalls, paid)
{
	struct guest *g = &self->g;
	int fd = g->edu[0].group_fd;

	g->shift = 12;
	g->size = SZ_1G / SZ_4K;
	EXPECT_PAID(make_liobn(g));
	g->view = mmap(NULL, g->size * 8, PROT_READ, MAP_SHARED, g->table, 0);
	ASSERT_EQ(0, vm_group_add(&g->vm, fd));
	EXPECT_PAID(vm_attach(&g->vm, fd, g->table));
	fill_list(g, 0, 16, gpa(A, 0) | TCE_RW, 2 * SZ_4K);
	EXPECT_PAID(put_list(g, 0, 16));
	EXPECT_EQ(0, stuff(g, 0, 0, 16));
}

TEST_HARNESS_MAIN
