// SPDX-License-Identifier: GPL-2.0-only
/*
 * One device of a group goes and comes back while a container has the group, by
 * another device. The windows are the container's meanwhile: nobody else changes
 * them, whatever the container does with them at that moment.
 *
 * Needs a group of two devices.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "spapr_harness.h"
#include "spapr_race.h"

#define ROUNDS		3
#define BUF_SIZE	SZ_1M
#define COMMAND_MASTER	4

FIXTURE(joins)
{
	struct usage was;
	struct edu edu;
	/* the test device, and the other one, each by itself */
	struct slot itself;
	struct slot other;
	int c;
	uint64_t start;		/* of window 1, in which the probe is */
	char *buf;
	struct probe probe;
	struct thread thread[2];
};

static void own(struct __test_metadata *_metadata, FIXTURE_DATA(joins) *self)
{
	self->c = container_open();
	ASSERT_LE(0, edu_open_group(&self->edu));
	ASSERT_EQ(0, container_add(self->c, &self->edu));
	ASSERT_EQ(0, container_set_iommu(self->c, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, spapr_register(self->c, self->buf, BUF_SIZE));
	ASSERT_EQ(0, spapr_create(self->c, page_shift, SZ_1G, 2, &self->start));
	ASSERT_EQ(0, spapr_map(self->c, self->start, self->buf, SZ_64K));
	ASSERT_EQ(0, probe_init(&self->probe, self->c, &self->edu,
				self->start + SZ_1M));
}

FIXTURE_SETUP(joins)
{
	struct slot all;

	if (edu_find(&self->edu, 1) < 1)
		SKIP(return, "no edu device is bound to vfio-pci");
	ASSERT_EQ(0, read_slot(&all, self->edu.group));
	if (slot_others(&all, &self->edu, &self->other) != 1)
		SKIP(return, "no group of two devices");
	self->itself.nr = 1;
	strcpy(self->itself.name[0], self->edu.name);
	self->was = usage_at_rest();
	self->buf = buf_alloc(BUF_SIZE, SZ_64K);
	buf_tag(self->buf, BUF_SIZE);
	own(_metadata, self);
}

FIXTURE_TEARDOWN(joins)
{
	edu_close(&self->edu);
	edu_close_group(&self->edu);
	close(self->c);
	EXPECT_EQ(0, check_invariants());
	expect_usage(_metadata, &self->was);
}

/* Until its driver switches bus mastering on, a device sends nothing. */
static bool is_quiet(const char *name)
{
	uint8_t config[6] = { 0 };
	char path[300];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", name);
	f = fopen(path, "r");
	if (!f)
		return false;
	n = fread(config, 1, sizeof(config), f);
	fclose(f);
	return n == sizeof(config) && !(config[4] & COMMAND_MASTER);
}

static void go_and_come_back(struct __test_metadata *_metadata,
			     const struct slot *slot)
{
	ASSERT_EQ(0, slot_remove(slot));
	ASSERT_EQ(0, write_text("/sys/bus/pci/rescan", "1"));
	EXPECT_TRUE(is_quiet(slot->name[0]));
	ASSERT_EQ(0, slot_bring(slot));
}

/* Window 0 is there, window 1 is, and entries of both can be changed. */
static void expect_windows(struct __test_metadata *_metadata,
			   FIXTURE_DATA(joins) *self)
{
	char *there = self->buf + SZ_64K;

	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe, self->start,
					  self->buf));
	ASSERT_EQ(0, spapr_map(self->c, 0, there, SZ_64K));
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe, 0, there));
	ASSERT_EQ(0, spapr_unmap(self->c, 0, SZ_64K));
	EXPECT_EQ(0, probe_reach(&self->probe, 0, there));
}

TEST_F_TIMEOUT(joins, both_windows, 120)
{
	int round;

	for (round = 0; round < ROUNDS; round++) {
		go_and_come_back(_metadata, &self->other);
		expect_windows(_metadata, self);
		ASSERT_EQ(self->was.taint, kernel_taint());
	}
}

TEST_F_TIMEOUT(joins, window_1_only, 120)
{
	uint64_t start = 1;
	int round;

	for (round = 0; round < ROUNDS; round++) {
		ASSERT_EQ(0, spapr_remove(self->c, SLOT0_START));
		go_and_come_back(_metadata, &self->other);
		EXPECT_EQ(0, probe_reach(&self->probe, 0, self->buf));
		EXPECT_EQ(READ_WRITE, probe_reach(&self->probe, self->start,
						  self->buf));
		ASSERT_EQ(0, spapr_create(self->c, page_shift, SZ_1G, 2,
					  &start));
		ASSERT_EQ(SLOT0_START, start);
		expect_windows(_metadata, self);
		ASSERT_EQ(self->was.taint, kernel_taint());
	}
}

/* The one that comes back is the one that is looked at. */
TEST_F_TIMEOUT(joins, device_itself, 120)
{
	int round;

	for (round = 0; round < ROUNDS; round++) {
		edu_close(&self->edu);
		go_and_come_back(_metadata, &self->itself);
		ASSERT_EQ(0, edu_open(&self->edu));
		expect_windows(_metadata, self);
		ASSERT_EQ(self->was.taint, kernel_taint());
	}
}

static void come_and_go(struct thread *t)
{
	FIXTURE_DATA(joins) *self = t->self;

	if (result(t, "removal", slot_remove(&self->other), 0))
		result(t, "rescan", slot_bring(&self->other), 0);
}

/* What a window that was just made translates is what the device reads. */
static int read_window_0(FIXTURE_DATA(joins) *self)
{
	char *there = self->buf + SZ_64K;
	int ret = spapr_map(self->c, 0, there, SZ_64K);

	if (ret)
		return ret;
	memset(self->probe.ua, 0, 64);
	edu_copy(&self->edu, self->probe.iova, 0, 64);
	return memcmp(self->probe.ua, there, 64) ? -ENOLINK : 0;
}

static void change_window_0(struct thread *t)
{
	FIXTURE_DATA(joins) *self = t->self;
	uint64_t start = 1;

	if (!result(t, "REMOVE", spapr_remove(self->c, SLOT0_START), 0))
		return;
	nap(t, 3000);
	if (result(t, "CREATE", spapr_create(self->c, page_shift, SZ_1G, 2,
					     &start), 0))
		result(t, "DMA by window 0", read_window_0(self), 0);
}

TEST_F_TIMEOUT(joins, against_create, 180)
{
	self->thread[0] = (struct thread){ .self = self, .fn = come_and_go };
	self->thread[1] = (struct thread){ .self = self,
					   .fn = change_window_0 };
	threads_race(_metadata, self->thread, 2, race_seconds(5));
	ASSERT_EQ(0, spapr_unmap(self->c, 0, SZ_64K));
	expect_windows(_metadata, self);
}

int main(int argc, char **argv)
{
	return run_with_settings(argc, argv);
}
