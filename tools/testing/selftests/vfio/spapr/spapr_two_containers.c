// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two containers of one process share what they register: it is pinned and
 * charged once, each can let go of it, and the last one only when nothing maps
 * it any more.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "spapr_call.h"

FIXTURE(two_containers)
{
	struct usage was;
	struct edu edu[2];
	int c[2];
	uint64_t last;
	size_t size;
	char *buf;
};

FIXTURE_SETUP(two_containers)
{
	struct vfio_iommu_spapr_tce_info info;
	int i;

	if (edu_find(self->edu, 2) < 2)
		SKIP(return, "no two groups with an edu device each");
	self->was = usage_at_rest();
	for (i = 0; i < 2; i++) {
		self->c[i] = container_open();
		ASSERT_LE(0, edu_open_group(&self->edu[i]));
		ASSERT_EQ(0, container_add(self->c[i], &self->edu[i]));
		ASSERT_EQ(0, container_set_iommu(self->c[i],
						 VFIO_SPAPR_TCE_v2_IOMMU));
	}
	ASSERT_EQ(0, spapr_info(self->c[0], &info));
	self->last = info.dma32_window_size - page_size;
	self->size = SZ_1M;
	self->buf = buf_alloc(self->size, SZ_64K);
	buf_tag(self->buf, self->size);
}

FIXTURE_TEARDOWN(two_containers)
{
	int i;

	EXPECT_EQ(0, check_invariants());
	for (i = 0; i < 2; i++) {
		edu_close(&self->edu[i]);
		edu_close_group(&self->edu[i]);
		close(self->c[i]);
	}
	expect_usage(_metadata, &self->was);
}

TEST_F(two_containers, charged_once)
{
	long kb = self->size / 1024, pages = self->size / page_size;

	ASSERT_EQ(0, spapr_register(self->c[0], self->buf, self->size));
	EXPECT_EQ(self->was.locked_kb + kb, locked_kb());
	ASSERT_EQ(0, spapr_register(self->c[1], self->buf, self->size));
	EXPECT_EQ(self->was.locked_kb + kb, locked_kb());
	EXPECT_EQ(self->was.pinned + pages, pinned_pages());
	/* Once for each container */
	EXPECT_EQ(-EBUSY, spapr_register(self->c[0], self->buf, self->size));
	EXPECT_EQ(-EBUSY, spapr_register(self->c[1], self->buf, self->size));

	ASSERT_EQ(0, spapr_unregister(self->c[0], self->buf, self->size));
	EXPECT_EQ(self->was.locked_kb + kb, locked_kb());
	EXPECT_EQ(self->was.pinned + pages, pinned_pages());
	EXPECT_EQ(-ENOENT, spapr_unregister(self->c[0], self->buf, self->size));
	ASSERT_EQ(0, spapr_unregister(self->c[1], self->buf, self->size));
	expect_usage(_metadata, &self->was);
}

TEST_F(two_containers, overlap)
{
	ASSERT_EQ(0, spapr_register(self->c[0], self->buf, self->size));
	EXPECT_EQ(-EINVAL, spapr_register(self->c[1], self->buf,
					  self->size / 2));
	EXPECT_EQ(-EINVAL, spapr_register(self->c[1], self->buf + page_size,
					  page_size));
	/* Not its own */
	ASSERT_EQ(0, spapr_create(self->c[1], 16, SZ_1G, 1, NULL));
	EXPECT_EQ(-ENOENT, spapr_unregister(self->c[1], self->buf, self->size));
}

TEST_F(two_containers, limit)
{
	limit_locked(self->size);
	ASSERT_EQ(0, spapr_register(self->c[0], self->buf, self->size));
	/* The same again costs nothing, so it is within the limit */
	EXPECT_EQ(0, spapr_register(self->c[1], self->buf, self->size));
	EXPECT_EQ(0, spapr_unregister(self->c[0], self->buf, self->size));
	EXPECT_EQ(0, spapr_register(self->c[0], self->buf, self->size));
}

#define LARGE		(512 * SZ_1M)

/* An UNREGISTER that takes long, by a thread. */
struct unregistering {
	pthread_t thread;
	int c;
	char *buf;
	atomic_bool ended;
	long us;
	int ret;
};

static void *unregister_large(void *arg)
{
	struct unregistering *u = arg;
	long start = now_us();

	u->ret = spapr_unregister(u->c, u->buf, LARGE);
	u->us = now_us() - start;
	atomic_store(&u->ended, true);
	return NULL;
}

/*
 * Memory is unpinned without a lock: calls of another container that come in
 * between take the time that they take, not that of the rest. The thread that
 * makes them comes first whenever it wants to run, also on a single CPU.
 */
TEST_F(two_containers, unregister_keeps_nobody_waiting)
{
	struct sched_param first = { .sched_priority = 1 }, none = {};
	struct unregistering u = { .c = self->c[0] };
	long start, longest = 0, us;
	int calls = 0, ret = 0;
	pthread_attr_t attr;

	u.buf = buf_alloc(LARGE, SZ_64K);
	memset(u.buf, 1, LARGE);
	ASSERT_EQ(0, spapr_register(self->c[0], u.buf, LARGE));
	/* Memory that a device may have written to takes longer. */
	ASSERT_EQ(0, spapr_map(self->c[0], 0, u.buf, SZ_4K));
	ASSERT_EQ(0, spapr_unmap(self->c[0], 0, SZ_4K));
	/* which makes all that the first one needs */
	ASSERT_EQ(0, spapr_register(self->c[1], self->buf, page_size));
	ASSERT_EQ(0, spapr_unregister(self->c[1], self->buf, page_size));

	/* Comes first from the start: the other thread begins as this one sleeps. */
	pthread_attr_init(&attr);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	ASSERT_EQ(0, sched_setscheduler(0, SCHED_FIFO, &first));
	ASSERT_EQ(0, pthread_create(&u.thread, &attr, unregister_large, &u));
	while (!ret) {
		usleep(50);
		if (atomic_load(&u.ended))
			break;
		start = now_us();
		ret = spapr_register(self->c[1], self->buf, page_size) ?:
		      spapr_unregister(self->c[1], self->buf, page_size);
		us = now_us() - start;
		longest = us > longest ? us : longest;
		calls++;
	}
	ASSERT_EQ(0, sched_setscheduler(0, SCHED_OTHER, &none));
	pthread_join(u.thread, NULL);
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, u.ret);
	TH_LOG("%ld us; %d calls meanwhile, the longest took %ld us", u.us,
	       calls, longest);
	EXPECT_LE(4, calls);
	EXPECT_GT(u.us / 4, longest);
	munmap(u.buf, LARGE);
}

FIXTURE(shared)
{
	FIXTURE_DATA(two_containers) two;
	struct probe probe[2];
	int c[2];
	size_t size;
	char *buf;
};

/* One region, mapped by both at the same address. */
FIXTURE_SETUP(shared)
{
	int i;

	two_containers_setup(_metadata, &self->two, NULL);
	if (_metadata->exit_code)
		return;
	self->buf = self->two.buf;
	self->size = self->two.size;
	for (i = 0; i < 2; i++) {
		self->c[i] = self->two.c[i];
		ASSERT_EQ(0, spapr_register(self->c[i], self->buf, self->size));
		ASSERT_EQ(0, probe_init(&self->probe[i], self->c[i],
					&self->two.edu[i], self->two.last));
		ASSERT_EQ(0, spapr_map(self->c[i], 0, self->buf, SZ_4K));
	}
}

FIXTURE_TEARDOWN(shared)
{
	two_containers_teardown(_metadata, &self->two, NULL);
}

TEST_F(shared, both_reach)
{
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe[0], 0, self->buf));
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe[1], 0, self->buf));
	ASSERT_EQ(0, spapr_unmap(self->c[0], 0, SZ_4K));
	EXPECT_EQ(0, probe_reach(&self->probe[0], 0, self->buf));
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe[1], 0, self->buf));
}

/* A container may let go while another one holds on. */
TEST_F(shared, let_go)
{
	ASSERT_EQ(0, spapr_unregister(self->c[0], self->buf, self->size));
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe[0], 0, self->buf));

	/* The last one has to wait, for its own entries and for others' */
	EXPECT_EQ(-EBUSY, spapr_unregister(self->c[1], self->buf, self->size));
	ASSERT_EQ(0, spapr_unmap(self->c[1], 0, SZ_4K));
	EXPECT_EQ(-EBUSY, spapr_unregister(self->c[1], self->buf, self->size));
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe[0], 0, self->buf));
	ASSERT_EQ(0, spapr_unmap(self->c[0], 0, SZ_4K));
	EXPECT_EQ(0, spapr_unregister(self->c[1], self->buf, self->size));
	EXPECT_EQ(-EINVAL, spapr_map(self->c[0], 0, self->buf, SZ_4K));
	EXPECT_EQ(-EINVAL, spapr_map(self->c[1], 0, self->buf, SZ_4K));
}

/* Regions of one container do not concern the other. */
TEST_F(shared, one_closes)
{
	edu_close(&self->two.edu[0]);
	edu_close_group(&self->two.edu[0]);
	close(self->c[0]);
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe[1], 0, self->buf));
	EXPECT_EQ(-EBUSY, spapr_unregister(self->c[1], self->buf, self->size));
	ASSERT_EQ(0, spapr_unmap(self->c[1], 0, SZ_4K));
	EXPECT_EQ(0, spapr_unregister(self->c[1], self->buf, self->size));
}

/* The one that closes holds no region, but entries that lead into it. */
TEST_F(shared, one_closes_with_entries)
{
	ASSERT_EQ(0, spapr_unregister(self->c[0], self->buf, self->size));
	ASSERT_EQ(0, spapr_unmap(self->c[1], 0, SZ_4K));
	EXPECT_EQ(-EBUSY, spapr_unregister(self->c[1], self->buf, self->size));
	edu_close(&self->two.edu[0]);
	edu_close_group(&self->two.edu[0]);
	close(self->c[0]);
	EXPECT_EQ(0, spapr_unregister(self->c[1], self->buf, self->size));
}

/* The one that held the region closes, the other one's entries remain. */
TEST_F(shared, holder_closes)
{
	long kb;

	ASSERT_EQ(0, spapr_unregister(self->c[1], self->buf, self->size));
	ASSERT_EQ(0, spapr_unmap(self->c[0], 0, SZ_4K));
	edu_close(&self->two.edu[0]);
	edu_close_group(&self->two.edu[0]);
	close(self->c[0]);
	/* Pinned as long as the device can reach it */
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe[1], 0, self->buf));
	/* and no longer: UNMAP gives it back */
	kb = locked_kb();
	ASSERT_EQ(0, spapr_unmap(self->c[1], 0, SZ_4K));
	EXPECT_EQ(kb - (long)self->size / 1024, locked_kb());
}

/* The same, but other memory is mapped over it. */
TEST_F(shared, holder_closes_mapped_over)
{
	char *other = buf_alloc(page_size, page_size);
	long kb;

	ASSERT_EQ(0, spapr_register(self->c[1], other, page_size));
	ASSERT_EQ(0, spapr_unregister(self->c[1], self->buf, self->size));
	edu_close(&self->two.edu[0]);
	edu_close_group(&self->two.edu[0]);
	close(self->c[0]);
	kb = locked_kb();
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe[1], 0, self->buf));
	ASSERT_EQ(0, spapr_map(self->c[1], 0, other, SZ_4K));
	EXPECT_EQ(kb - (long)self->size / 1024, locked_kb());
	ASSERT_EQ(0, spapr_unmap(self->c[1], 0, SZ_4K));
	EXPECT_EQ(0, spapr_unregister(self->c[1], other, page_size));
}

/* It is given up by the window that had the entries, at the latest. */
TEST_F(shared, holder_closes_window_removed)
{
	long kb;

	ASSERT_EQ(0, spapr_unregister(self->c[1], self->buf, self->size));
	ASSERT_EQ(0, spapr_unmap(self->c[0], 0, SZ_4K));
	edu_close(&self->two.edu[0]);
	edu_close_group(&self->two.edu[0]);
	close(self->c[0]);
	kb = locked_kb();
	ASSERT_EQ(0, spapr_remove(self->c[1], 0));
	EXPECT_GE(kb - (long)self->size / 1024, locked_kb());
}

/* Windows are each container's own. */
TEST_F(two_containers, windows)
{
	uint64_t start[2];
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, spapr_create(self->c[i], page_shift, SZ_1G, 1,
					  &start[i]));
		EXPECT_EQ(SLOT1_START, start[i]);
	}
	ASSERT_EQ(0, spapr_remove(self->c[0], start[0]));
	ASSERT_EQ(0, spapr_register(self->c[1], self->buf, self->size));
	EXPECT_EQ(0, spapr_map(self->c[1], start[1], self->buf, page_size));
}

TEST_HARNESS_MAIN
