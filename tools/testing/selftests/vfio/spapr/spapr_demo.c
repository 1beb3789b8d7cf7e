// SPDX-License-Identifier: GPL-2.0-only
/*
 * The main job, step by step: a process takes a PCI device, registers memory,
 * creates a 64-bit DMA window and maps the memory; the device copies data from
 * one bus address to another through the window's tables; then everything is
 * undone. Exits with 0 only if the data arrived and all was given back.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spapr_util.h"

#define MEMORY		(64 * SZ_1M)
#define WINDOW		(16 * SZ_1G)
#define LEVELS		2
#define BLOCK		4096

static void __attribute__((noreturn, format(printf, 1, 2)))
fail(const char *fmt, ...)
{
	va_list ap;

	printf("FAILED: ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	exit(1);
}

/* Goes on only if a step worked. */
static void step(const char *what, int ret)
{
	if (ret)
		fail("%s: %s", what, ret < 0 ? strerror(-ret) :
		     "a positive number, which is no result");
}

static void show_usage(const char *when, const struct usage *u)
{
	printf("%s: %ld KiB charged to this process, %ld pages pinned\n", when,
	       u->locked_kb, u->pinned);
}

/* The device copies a block, and the memory shows it. */
static void copy(struct edu *edu, char *buf, uint64_t start, size_t from,
		 size_t to)
{
	buf_tag(buf + from, BLOCK);
	memset(buf + to, 0, BLOCK);
	edu_copy(edu, start + to, start + from, BLOCK);
	if (memcmp(buf + from, buf + to, BLOCK))
		fail("%#lx does not hold what was at %#lx",
		     (long)(start + to), (long)(start + from));
	printf("the device copied %d bytes from bus address %#lx to %#lx: they arrived\n",
	       BLOCK, (long)(start + from), (long)(start + to));
}

int main(void)
{
	struct vfio_iommu_spapr_tce_info info;
	struct usage before, registered, all, after;
	uint64_t start, step_size = 1UL << page_shift;
	struct edu edu;
	char *buf;
	int c;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!edu_find(&edu, 1))
		fail("no edu device is bound to vfio-pci");
	before = usage_at_rest();
	show_usage("before", &before);

	c = container_open();
	if (edu_open_group(&edu) < 0)
		fail("group %d: %s", edu.group, strerror(errno));
	step("VFIO_GROUP_SET_CONTAINER", container_add(c, &edu));
	step("VFIO_SET_IOMMU", container_set_iommu(c, VFIO_SPAPR_TCE_v2_IOMMU));
	step("VFIO_GROUP_GET_DEVICE_FD", edu_open(&edu));
	printf("took device %s with its IOMMU group %d\n", edu.name,
	       edu.group);

	step("GET_INFO", spapr_info(c, &info));
	printf("the machine has %u windows, tables of 1 to %u levels, entry sizes %#lx\n",
	       info.ddw.max_dynamic_windows_supported, info.ddw.levels,
	       (long)info.ddw.pgsizes);

	buf = buf_alloc(MEMORY, SZ_64K);
	step("REGISTER_MEMORY", spapr_register(c, buf, MEMORY));
	registered = usage_now();
	printf("registered %lu MiB\n", MEMORY / SZ_1M);
	show_usage("now", &registered);
	if (registered.locked_kb - before.locked_kb != MEMORY / 1024 ||
	    registered.pinned - before.pinned != MEMORY / page_size)
		fail("this is not what was registered");

	step("TCE_CREATE", spapr_create(c, page_shift, WINDOW, LEVELS, &start));
	printf("created a window of %lu GiB at bus address %#lx, %lu KiB entries, %d levels\n",
	       WINDOW / SZ_1G, (long)start, step_size / 1024, LEVELS);
	step("MAP_DMA", spapr_map(c, start, buf, MEMORY));
	printf("mapped all of the memory, %lu entries\n", MEMORY / step_size);
	all = usage_now();
	show_usage("now", &all);

	copy(&edu, buf, start, 0, MEMORY - BLOCK);
	copy(&edu, buf, start, MEMORY / 2 - BLOCK / 2, SZ_1M + 512);

	if (spapr_unregister(c, buf, MEMORY) != -EBUSY)
		fail("memory that is mapped could be unregistered");
	printf("the memory cannot be unregistered while it is mapped\n");

	step("UNMAP_DMA", spapr_unmap(c, start, MEMORY));
	memset(buf + SZ_1M, 0, BLOCK);
	edu_copy(&edu, start + SZ_1M, start, BLOCK);
	if (buf[SZ_1M] || memcmp(buf + SZ_1M, buf + SZ_1M + 1, BLOCK - 1))
		fail("the device reached memory that was unmapped");
	printf("unmapped: the device does not reach it any more\n");

	step("UNREGISTER_MEMORY", spapr_unregister(c, buf, MEMORY));
	step("TCE_REMOVE", spapr_remove(c, start));
	step("TCE_REMOVE", spapr_remove(c, 0));
	printf("unregistered the memory, removed the windows\n");
	after = usage_now();
	after.pinned = pinned_pages_settle(before.pinned);
	show_usage("after", &after);
	edu_close(&edu);
	edu_close_group(&edu);
	close(c);

	if (after.locked_kb != before.locked_kb)
		fail("%ld KiB are still charged",
		     after.locked_kb - before.locked_kb);
	if (after.pinned != before.pinned)
		fail("%ld pages are still pinned", after.pinned - before.pinned);
	if (kernel_taint() != before.taint)
		fail("the kernel has warned");
	printf("every page and every charge is back\n");
	return 0;
}
