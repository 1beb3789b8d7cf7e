// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two groups in one container: both devices see the same windows, a group that
 * joins gets them, and one that leaves takes nothing away from the other.
 */
#include "spapr_harness.h"

FIXTURE(two_groups)
{
	struct usage was;
	struct edu edu[2];
	int c;
	uint64_t last;
	size_t size;
	char *buf;
};

FIXTURE_SETUP(two_groups)
{
	struct vfio_iommu_spapr_tce_info info;

	if (edu_find(self->edu, 2) < 2)
		SKIP(return, "no two groups with an edu device each");
	self->was = usage_at_rest();
	self->c = container_open();
	ASSERT_LE(0, edu_open_group(&self->edu[0]));
	ASSERT_LE(0, edu_open_group(&self->edu[1]));
	ASSERT_EQ(0, container_add(self->c, &self->edu[0]));
	ASSERT_EQ(0, container_set_iommu(self->c, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, spapr_info(self->c, &info));
	self->last = info.dma32_window_size - page_size;
	self->size = SZ_1M;
	self->buf = buf_alloc(self->size, SZ_64K);
	buf_tag(self->buf, self->size);
	ASSERT_EQ(0, spapr_register(self->c, self->buf, self->size));
}

FIXTURE_TEARDOWN(two_groups)
{
	int i;

	EXPECT_EQ(0, check_invariants());
	for (i = 0; i < 2; i++) {
		edu_close(&self->edu[i]);
		edu_close_group(&self->edu[i]);
	}
	close(self->c);
	expect_usage(_metadata, &self->was);
}

/* The second group joins; both devices are ready, with a probe in @iova. */
static void join(struct __test_metadata *_metadata,
		 FIXTURE_DATA(two_groups) *self, struct probe *probe,
		 uint64_t iova)
{
	ASSERT_EQ(0, container_add(self->c, &self->edu[1]));
	ASSERT_EQ(0, probe_init(&probe[0], self->c, &self->edu[0], iova));
	probe[1] = probe[0];
	probe[1].edu = &self->edu[1];
	ASSERT_EQ(0, edu_open(&self->edu[1]));
}

TEST_F(two_groups, same_windows)
{
	struct probe probe[2];
	uint64_t start;

	join(_metadata, self, probe, self->last);
	ASSERT_EQ(0, spapr_create(self->c, page_shift, SZ_1G, 1, &start));
	ASSERT_EQ(0, spapr_map(self->c, 0, self->buf, SZ_4K));
	ASSERT_EQ(0, spapr_map(self->c, start, self->buf + page_size,
			       page_size));
	EXPECT_EQ(READ_WRITE, probe_reach(&probe[0], 0, self->buf));
	EXPECT_EQ(READ_WRITE, probe_reach(&probe[1], 0, self->buf));
	EXPECT_EQ(READ_WRITE, probe_reach(&probe[0], start,
					  self->buf + page_size));
	EXPECT_EQ(READ_WRITE, probe_reach(&probe[1], start,
					  self->buf + page_size));

	/* Gone for one, gone for both */
	ASSERT_EQ(0, spapr_unmap(self->c, 0, SZ_4K));
	ASSERT_EQ(0, spapr_remove(self->c, start));
	EXPECT_EQ(0, probe_reach(&probe[0], 0, self->buf));
	EXPECT_EQ(0, probe_reach(&probe[1], 0, self->buf));
	EXPECT_EQ(0, probe_reach(&probe[0], start, self->buf + page_size));
	EXPECT_EQ(0, probe_reach(&probe[1], start, self->buf + page_size));
	EXPECT_EQ(0, spapr_unregister(self->c, self->buf, self->size));
}

/* It costs nothing more, and it finds what is mapped. */
TEST_F(two_groups, joins_later)
{
	struct probe probe[2];
	uint64_t start;
	long locked;

	ASSERT_EQ(0, spapr_create(self->c, page_shift, SZ_1G, 1, &start));
	ASSERT_EQ(0, spapr_map(self->c, 0, self->buf, SZ_4K));
	ASSERT_EQ(0, spapr_map(self->c, start, self->buf + page_size,
			       page_size));
	locked = locked_kb();
	join(_metadata, self, probe, self->last);
	EXPECT_EQ(locked + (long)page_size / 1024, locked_kb());
	EXPECT_EQ(READ_WRITE, probe_reach(&probe[1], 0, self->buf));
	EXPECT_EQ(READ_WRITE, probe_reach(&probe[1], start,
					  self->buf + page_size));
	EXPECT_EQ(READ_WRITE, probe_reach(&probe[0], 0, self->buf));
}

/* Only the window that is there, where it is. */
TEST_F(two_groups, joins_without_default_window)
{
	struct probe probe[2];
	uint64_t start;

	ASSERT_EQ(0, spapr_create(self->c, page_shift, SZ_1G, 1, &start));
	ASSERT_EQ(0, spapr_remove(self->c, SLOT0_START));
	join(_metadata, self, probe, start);
	ASSERT_EQ(0, spapr_map(self->c, start + SZ_1M, self->buf, page_size));
	EXPECT_EQ(READ_WRITE, probe_reach(&probe[1], start + SZ_1M, self->buf));
	EXPECT_EQ(0, probe_reach(&probe[1], SZ_1M, self->buf));
	EXPECT_EQ(-ENXIO, spapr_map(self->c, 0, self->buf, SZ_4K));
}

FIXTURE(leave)
{
	FIXTURE_DATA(two_groups) two;
	struct probe probe[2];
	uint64_t start;
	int c;
	char *buf;
};

FIXTURE_VARIANT(leave)
{
	int leaves;
	/* by closing the group, or by asking for it */
	bool closes;
};

FIXTURE_VARIANT_ADD(leave, first) { 0, false };
FIXTURE_VARIANT_ADD(leave, second) { 1, false };
FIXTURE_VARIANT_ADD(leave, first_closes) { 0, true };
FIXTURE_VARIANT_ADD(leave, second_closes) { 1, true };

FIXTURE_SETUP(leave)
{
	two_groups_setup(_metadata, &self->two, NULL);
	if (_metadata->exit_code)
		return;
	self->c = self->two.c;
	self->buf = self->two.buf;
	join(_metadata, &self->two, self->probe, self->two.last);
	ASSERT_EQ(0, spapr_create(self->c, page_shift, SZ_1G, 1, &self->start));
	ASSERT_EQ(0, spapr_map(self->c, 0, self->buf, SZ_4K));
	ASSERT_EQ(0, spapr_map(self->c, self->start, self->buf + page_size,
			       page_size));
}

FIXTURE_TEARDOWN(leave)
{
	two_groups_teardown(_metadata, &self->two, NULL);
}

static int leave(FIXTURE_DATA(leave) *self,
		 const FIXTURE_VARIANT(leave) *variant)
{
	struct edu *edu = &self->two.edu[variant->leaves];

	edu_close(edu);
	if (!variant->closes)
		return container_del(self->c, edu);
	edu_close_group(edu);
	return edu_open_group(edu) < 0 ? -errno : 0;
}

/* Nothing changes for the one that stays, in no window, and no count. */
TEST_F(leave, other_stays)
{
	struct probe *stays = &self->probe[!variant->leaves];
	long locked = locked_kb();

	ASSERT_EQ(0, leave(self, variant));
	EXPECT_EQ(locked, locked_kb());
	EXPECT_EQ(READ_WRITE, probe_reach(stays, 0, self->buf));
	EXPECT_EQ(READ_WRITE, probe_reach(stays, self->start,
					  self->buf + page_size));
	EXPECT_EQ(-EBUSY, spapr_unregister(self->c, self->buf, self->two.size));

	/* and all goes on as before */
	ASSERT_EQ(0, spapr_map(self->c, SZ_1M, self->buf + 2 * page_size,
			       SZ_4K));
	EXPECT_EQ(READ_WRITE, probe_reach(stays, SZ_1M,
					  self->buf + 2 * page_size));
	ASSERT_EQ(0, spapr_unmap(self->c, 0, 2 * SZ_1M));
	ASSERT_EQ(0, spapr_remove(self->c, self->start));
	EXPECT_EQ(0, probe_reach(stays, self->start, self->buf + page_size));
	EXPECT_EQ(0, spapr_unregister(self->c, self->buf, self->two.size));
}

/* The one that has left sees nothing of it in another container. */
TEST_F(leave, no_way_back)
{
	struct edu *edu = &self->two.edu[variant->leaves];
	struct probe probe;
	int c = container_open();

	ASSERT_EQ(0, leave(self, variant));
	ASSERT_EQ(0, container_add(c, edu));
	ASSERT_EQ(0, container_set_iommu(c, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, probe_init(&probe, c, edu, SZ_1M));
	EXPECT_EQ(0, probe_reach(&probe, 0, self->buf));
	EXPECT_EQ(0, probe_reach(&probe, self->start, self->buf + page_size));
	EXPECT_EQ(0, probe_exit(&probe));
	edu_close(edu);
	ASSERT_EQ(0, container_del(c, edu));
	close(c);
}

/* Left, and back in the same container. */
TEST_F(leave, comes_back)
{
	struct edu *edu = &self->two.edu[variant->leaves];
	long locked = locked_kb();
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, leave(self, variant));
		ASSERT_EQ(0, container_add(self->c, edu));
		ASSERT_EQ(0, edu_open(edu));
		EXPECT_EQ(locked, locked_kb());
	}
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe[variant->leaves], 0,
					  self->buf));
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe[!variant->leaves],
					  self->start, self->buf + page_size));
}

/* The last one to leave ends it all. */
TEST_F(leave, both)
{
	int other = !variant->leaves;

	ASSERT_EQ(0, leave(self, variant));
	edu_close(&self->two.edu[other]);
	ASSERT_EQ(0, container_del(self->c, &self->two.edu[other]));
	expect_usage(_metadata, &self->two.was);
	/* The container is as good as new */
	EXPECT_EQ(-EINVAL, spapr_map(self->c, 0, self->buf, SZ_4K));
	ASSERT_EQ(0, container_add(self->c, &self->two.edu[other]));
	ASSERT_EQ(0, container_set_iommu(self->c, VFIO_SPAPR_TCE_v2_IOMMU));
	EXPECT_EQ(-EPERM, spapr_map(self->c, 0, self->buf, SZ_4K));
}

/* A group with a device in use stays. */
TEST_F(two_groups, in_use)
{
	struct probe probe[2];

	join(_metadata, self, probe, self->last);
	EXPECT_EQ(-EBUSY, container_del(self->c, &self->edu[0]));
	EXPECT_EQ(-EBUSY, container_del(self->c, &self->edu[1]));
	ASSERT_EQ(0, spapr_map(self->c, 0, self->buf, SZ_4K));
	EXPECT_EQ(READ_WRITE, probe_reach(&probe[0], 0, self->buf));
	EXPECT_EQ(READ_WRITE, probe_reach(&probe[1], 0, self->buf));
}

TEST_F(two_groups, eeh)
{
	if (ioctl(self->c, VFIO_CHECK_EXTENSION, VFIO_EEH) != 1)
		SKIP(return, "no EEH on this machine");
	ASSERT_EQ(0, container_add(self->c, &self->edu[1]));
	EXPECT_EQ(VFIO_EEH_PE_STATE_NORMAL,
		  spapr_eeh(self->c, VFIO_EEH_PE_GET_STATE));
	EXPECT_EQ(-EINVAL, spapr_eeh(self->c, 10));
}

TEST_HARNESS_MAIN
