// SPDX-License-Identifier: GPL-2.0-only
/*
 * The first version of the container: ENABLE charges for all of the window,
 * MAP pins, UNMAP unpins. One group, one window.
 */
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "spapr_harness.h"

FIXTURE(v1)
{
	struct usage was;
	struct edu edu[2];
	int groups;
	int c;
	uint64_t end;
	long window_kb;
	size_t size;
	char *buf;
};

FIXTURE_SETUP(v1)
{
	struct vfio_iommu_spapr_tce_info info;

	self->groups = edu_find(self->edu, 2);
	if (!self->groups)
		SKIP(return, "no edu device is bound to vfio-pci");
	self->was = usage_at_rest();
	self->c = container_open();
	ASSERT_LE(0, edu_open_group(&self->edu[0]));
	ASSERT_EQ(0, container_add(self->c, &self->edu[0]));
	ASSERT_EQ(0, container_set_iommu(self->c, VFIO_SPAPR_TCE_IOMMU));
	ASSERT_EQ(0, spapr_info(self->c, &info));
	/* Dynamic windows are not for this version */
	EXPECT_EQ(0, info.flags);
	EXPECT_EQ(0, info.ddw.levels);
	self->end = (uint64_t)info.dma32_window_start + info.dma32_window_size;
	self->window_kb = info.dma32_window_size / 1024;
	self->size = SZ_1M;
	self->buf = buf_alloc(self->size, SZ_64K);
	buf_tag(self->buf, self->size);
}

FIXTURE_TEARDOWN(v1)
{
	EXPECT_EQ(0, check_invariants());
	edu_close(&self->edu[0]);
	edu_close_group(&self->edu[0]);
	close(self->c);
	expect_usage(_metadata, &self->was);
}

static int enable(int c)
{
	return spapr_ioctl(c, VFIO_IOMMU_ENABLE, NULL);
}

static int disable(int c)
{
	return spapr_ioctl(c, VFIO_IOMMU_DISABLE, NULL);
}

TEST_F(v1, enable)
{
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, enable(self->c));
		EXPECT_EQ(self->was.locked_kb + self->window_kb, locked_kb());
		EXPECT_EQ(-EBUSY, enable(self->c));
		EXPECT_EQ(self->was.locked_kb + self->window_kb, locked_kb());
		EXPECT_EQ(0, disable(self->c));
		EXPECT_EQ(self->was.locked_kb, locked_kb());
		EXPECT_EQ(0, disable(self->c));
		EXPECT_EQ(self->was.locked_kb, locked_kb());
	}
}

TEST_F(v1, limit)
{
	limit_locked(self->window_kb * 1024 - page_size);
	EXPECT_EQ(-ENOMEM, enable(self->c));
	EXPECT_EQ(self->was.locked_kb, locked_kb());
	EXPECT_EQ(-EPERM, spapr_map(self->c, 0, self->buf, SZ_4K));
	limit_locked(self->window_kb * 1024);
	EXPECT_EQ(0, enable(self->c));
	EXPECT_EQ(self->was.locked_kb + self->window_kb, locked_kb());
}

TEST_F(v1, not_enabled)
{
	EXPECT_EQ(-EPERM, spapr_map(self->c, 0, self->buf, SZ_4K));
	EXPECT_EQ(-EPERM, spapr_unmap(self->c, 0, SZ_4K));
	ASSERT_EQ(0, enable(self->c));
	ASSERT_EQ(0, spapr_map(self->c, 0, self->buf, SZ_4K));
	ASSERT_EQ(0, disable(self->c));
	EXPECT_EQ(-EPERM, spapr_map(self->c, 0, self->buf, SZ_4K));
	EXPECT_EQ(-EPERM, spapr_unmap(self->c, 0, SZ_4K));
}

TEST_F(v1, v2_ioctls)
{
	ASSERT_EQ(0, enable(self->c));
	EXPECT_EQ(-ENOTTY, spapr_register(self->c, self->buf, self->size));
	EXPECT_EQ(-ENOTTY, spapr_unregister(self->c, self->buf, self->size));
	EXPECT_EQ(-ENOTTY, spapr_create(self->c, 16, SZ_1G, 1, NULL));
	EXPECT_EQ(-ENOTTY, spapr_remove(self->c, 0));
}

static int map_in_child(void *arg)
{
	FIXTURE_DATA(v1) *self = arg;

	return spapr_map(self->c, 0, self->buf, SZ_4K);
}

static int unmap_in_child(void *arg)
{
	FIXTURE_DATA(v1) *self = arg;

	return spapr_unmap(self->c, 0, SZ_4K);
}

static int enable_in_child(void *arg)
{
	FIXTURE_DATA(v1) *self = arg;

	return enable(self->c);
}

static int disable_in_child(void *arg)
{
	FIXTURE_DATA(v1) *self = arg;

	return disable(self->c);
}

static int info_in_child(void *arg)
{
	struct vfio_iommu_spapr_tce_info info;
	FIXTURE_DATA(v1) *self = arg;

	return spapr_info(self->c, &info);
}

/* The container is the process's that enabled it, and stays so. */
TEST_F(v1, other_process)
{
	long locked;

	ASSERT_EQ(0, enable(self->c));
	ASSERT_EQ(0, spapr_map(self->c, 0, self->buf, SZ_4K));
	locked = locked_kb();
	EXPECT_EQ(-EPERM, in_child(map_in_child, self));
	EXPECT_EQ(-EPERM, in_child(unmap_in_child, self));
	EXPECT_EQ(-EPERM, in_child(info_in_child, self));
	EXPECT_EQ(-EPERM, in_child(enable_in_child, self));
	EXPECT_EQ(-EPERM, in_child(disable_in_child, self));
	EXPECT_EQ(locked, locked_kb());
	EXPECT_EQ(self->was.pinned + 1, pinned_pages());
	ASSERT_EQ(0, disable(self->c));
	EXPECT_EQ(-EPERM, in_child(enable_in_child, self));
	/* The window was made by the first MAP, and goes with the rest */
	EXPECT_EQ(self->was.locked_kb, locked_kb());
	EXPECT_EQ(self->was.pinned, pinned_pages_settle(self->was.pinned));
}

/* Data from one bus address to another. */
TEST_F(v1, dma)
{
	char *src = self->buf, *dst = self->buf + SZ_64K;

	ASSERT_EQ(0, edu_open(&self->edu[0]));
	ASSERT_EQ(0, enable(self->c));
	ASSERT_EQ(0, spapr_map(self->c, 0, src, SZ_4K));
	ASSERT_EQ(0, spapr_map(self->c, self->end - SZ_4K, dst, SZ_4K));
	EXPECT_EQ(self->was.pinned + 2, pinned_pages());
	edu_copy(&self->edu[0], self->end - SZ_4K, 0, SZ_4K);
	EXPECT_EQ(0, memcmp(src, dst, SZ_4K));

	ASSERT_EQ(0, spapr_unmap(self->c, self->end - SZ_4K, SZ_4K));
	memset(dst, 0, SZ_4K);
	edu_copy(&self->edu[0], self->end - SZ_4K, 0, SZ_4K);
	EXPECT_EQ(0, *(uint64_t *)dst);
	EXPECT_EQ(0, memcmp(dst, dst + 8, SZ_4K - 8));
	ASSERT_EQ(0, spapr_unmap(self->c, 0, SZ_4K));
	EXPECT_EQ(self->was.pinned, pinned_pages_settle(self->was.pinned));
}

/* One pin for each entry, replaced entries included. */
TEST_F(v1, pins)
{
	long n = self->size / SZ_4K;

	ASSERT_EQ(0, enable(self->c));
	ASSERT_EQ(0, spapr_map(self->c, 0, self->buf, self->size));
	EXPECT_EQ(self->was.pinned + n, pinned_pages());
	ASSERT_EQ(0, spapr_map(self->c, 0, self->buf, self->size));
	EXPECT_EQ(self->was.pinned + n,
		  pinned_pages_settle(self->was.pinned + n));
	ASSERT_EQ(0, spapr_unmap(self->c, 0, SZ_4K));
	EXPECT_EQ(self->was.pinned + n - 1,
		  pinned_pages_settle(self->was.pinned + n - 1));
	ASSERT_EQ(0, spapr_unmap(self->c, 0, self->size));
	EXPECT_EQ(self->was.pinned, pinned_pages_settle(self->was.pinned));
}

TEST_F(v1, disable_unmaps)
{
	struct edu *edu = &self->edu[0];
	char *src = self->buf, *dst = self->buf + SZ_64K;

	ASSERT_EQ(0, edu_open(edu));
	ASSERT_EQ(0, enable(self->c));
	ASSERT_EQ(0, spapr_map(self->c, 0, src, 2 * SZ_64K));
	ASSERT_EQ(0, disable(self->c));
	EXPECT_EQ(self->was.pinned, pinned_pages_settle(self->was.pinned));
	memset(dst, 0, SZ_4K);
	edu_copy(edu, SZ_64K, 0, SZ_4K);
	EXPECT_EQ(0, *(uint64_t *)dst);

	/* Nothing is left of it when the window is in use again */
	ASSERT_EQ(0, enable(self->c));
	ASSERT_EQ(0, spapr_map(self->c, 0, src, SZ_4K));
	edu_copy(edu, SZ_64K, 0, SZ_4K);
	EXPECT_EQ(0, *(uint64_t *)dst);
	ASSERT_EQ(0, spapr_map(self->c, SZ_64K, dst, SZ_4K));
	edu_copy(edu, SZ_64K, 0, SZ_4K);
	EXPECT_EQ(0, memcmp(src, dst, SZ_4K));
}

static void refused(struct __test_metadata *_metadata, int c, int error,
		    uint64_t iova, const void *ua, uint64_t size)
{
	struct usage was = usage_now();

	EXPECT_EQ(-error, spapr_map(c, iova, ua, size)) {
		TH_LOG("MAP %#lx size %#lx", (long)iova, (long)size);
	}
	expect_usage(_metadata, &was);
}

TEST_F(v1, refused_map)
{
	ASSERT_EQ(0, enable(self->c));
	/* Brings the window into being, which is charged */
	ASSERT_EQ(0, spapr_unmap(self->c, 0, SZ_4K));
	refused(_metadata, self->c, ENXIO, self->end, self->buf, SZ_4K);
	refused(_metadata, self->c, ENXIO, SLOT1_START, self->buf, SZ_4K);
	refused(_metadata, self->c, EINVAL, 1, self->buf, SZ_4K);
	refused(_metadata, self->c, EINVAL, 0, self->buf + 1, SZ_4K);
	refused(_metadata, self->c, EINVAL, 0, self->buf, SZ_4K + 1);
	refused(_metadata, self->c, EINVAL, 0, self->buf, 0);
	refused(_metadata, self->c, EINVAL, self->end - SZ_4K, self->buf,
		2 * SZ_4K);
	EXPECT_EQ(-EINVAL, spapr_map_flags(self->c, 0, self->buf, SZ_4K, 0));
	EXPECT_EQ(-EINVAL, spapr_map_flags(self->c, 0, self->buf, SZ_4K, 1 << 5));
	EXPECT_EQ(-EINVAL, spapr_unmap(self->c, 1, SZ_4K));
	EXPECT_EQ(-EINVAL, spapr_unmap(self->c, 0, 0));
	EXPECT_EQ(-EINVAL, spapr_unmap(self->c, self->end - SZ_4K, 2 * SZ_4K));
	EXPECT_EQ(-ENXIO, spapr_unmap(self->c, self->end, SZ_4K));
}

/* Memory that is not there, wholly or from somewhere in the run on. */
TEST_F(v1, no_memory)
{
	ASSERT_EQ(0, enable(self->c));
	ASSERT_EQ(0, spapr_unmap(self->c, 0, SZ_4K));
	ASSERT_EQ(0, munmap(self->buf + 4 * page_size, page_size));
	refused(_metadata, self->c, EFAULT, 0, self->buf + 4 * page_size,
		SZ_4K);
	refused(_metadata, self->c, EFAULT, 0, self->buf, 8 * page_size);
	refused(_metadata, self->c, EFAULT, 0, NULL, SZ_4K);
	/* the last page that there are addresses for */
	refused(_metadata, self->c, EFAULT, 0, (void *)-SZ_64K, SZ_4K);
}

/* The device could write, so memory that can be read will not do. */
TEST_F(v1, read_only_memory)
{
	ASSERT_EQ(0, enable(self->c));
	ASSERT_EQ(0, spapr_unmap(self->c, 0, SZ_4K));
	ASSERT_EQ(0, mprotect(self->buf, page_size, PROT_READ));
	refused(_metadata, self->c, EFAULT, 0, self->buf, SZ_4K);
}

/* A piece of memory again and again, which takes a while to pin. */
static char *many_pages(size_t size)
{
	char *buf = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
			 MAP_NORESERVE, -1, 0);
	int fd = memfd_create("many", MFD_CLOEXEC);
	size_t at;

	if (fd < 0 || ftruncate(fd, SZ_16M) || buf == MAP_FAILED)
		return NULL;
	for (at = 0; at < size; at += SZ_16M) {
		if (mmap(buf + at, SZ_16M, PROT_READ | PROT_WRITE, MAP_SHARED |
			 MAP_FIXED | MAP_POPULATE, fd, 0) == MAP_FAILED)
			return NULL;
	}
	close(fd);
	return buf;
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ULL + ts.tv_nsec / 1000;
}

struct map_call {
	int c;
	const char *ua;
	size_t size;
	char stack[16384] __attribute__((aligned(16)));
};

static int map_call(void *arg)
{
	struct map_call *call = arg;

	return spapr_map(call->c, 0, call->ua, call->size) ? 1 : 0;
}

/* A signal ends MAP long before it has pinned all, and nothing is left. */
TEST_F(v1, killed_in_map)
{
	struct map_call call = { .c = self->c, .size = SZ_1G / 2 };
	uint64_t whole_us, start_us;
	struct usage was;
	pid_t pid;

	call.ua = many_pages(call.size);
	ASSERT_NE(NULL, call.ua);
	ASSERT_EQ(0, enable(self->c));
	/* The first call brings the window and its levels into being */
	ASSERT_EQ(0, spapr_map(self->c, 0, call.ua, call.size));
	ASSERT_EQ(0, spapr_unmap(self->c, 0, call.size));
	start_us = now_us();
	ASSERT_EQ(0, spapr_map(self->c, 0, call.ua, call.size));
	whole_us = now_us() - start_us;
	ASSERT_EQ(0, spapr_unmap(self->c, 0, call.size));

	was = usage_now();
	pid = clone(map_call, call.stack + sizeof(call.stack),
		    CLONE_VM | CLONE_FILES | SIGCHLD, &call);
	ASSERT_LT(0, pid);
	usleep(whole_us / 8);
	start_us = now_us();
	EXPECT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(pid, waitpid(pid, NULL, 0));
	EXPECT_GT(whole_us / 4, now_us() - start_us);
	expect_usage(_metadata, &was);
}

/* It is closed as it is. */
TEST_F(v1, closed_with_entries)
{
	ASSERT_EQ(0, enable(self->c));
	ASSERT_EQ(0, spapr_map(self->c, 0, self->buf, self->size));
	ASSERT_EQ(0, spapr_map(self->c, self->end - SZ_4K, self->buf, SZ_4K));
}

TEST_F(v1, one_group_only)
{
	struct edu *edu = &self->edu[1];
	int c = container_open();

	if (self->groups < 2)
		SKIP(return, "no two groups with an edu device each");
	ASSERT_LE(0, edu_open_group(edu));
	EXPECT_EQ(-EBUSY, container_add(self->c, edu));

	/* The same when the type comes second */
	ASSERT_EQ(0, container_del(self->c, &self->edu[0]));
	ASSERT_EQ(0, container_add(c, &self->edu[0]));
	ASSERT_EQ(0, container_add(c, edu));
	EXPECT_EQ(-EBUSY, container_set_iommu(c, VFIO_SPAPR_TCE_IOMMU));
	ASSERT_EQ(0, container_del(c, edu));
	EXPECT_EQ(0, container_set_iommu(c, VFIO_SPAPR_TCE_IOMMU));
	edu_close_group(edu);
	ASSERT_EQ(0, container_del(c, &self->edu[0]));
	close(c);
}

TEST_HARNESS_MAIN
