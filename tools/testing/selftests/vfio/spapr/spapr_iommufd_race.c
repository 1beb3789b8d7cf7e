// SPDX-License-Identifier: GPL-2.0-only
/*
 * iommufd by threads: memory is mapped and unmapped while devices are attached,
 * moved and detached; a device that is moved does DMA all the time. And a group
 * of two devices, which are attached to the same IOAS or not at all.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "spapr_harness.h"
#include "spapr_race.h"
#include "iommufd_util.h"

#define BUF_SIZE	SZ_1M
#define SECONDS		5
/* The page by which a test sees what the device saw, in each IOAS */
#define PROBE_IOVA	(SZ_1G + SZ_64K)
/* Each IOAS has other memory here. */
#define SPOT		SZ_1M
/* Threads that map, each at addresses of its own */
#define MAPPERS		2
#define MAPPER_BYTES	(1UL << 36)

FIXTURE(race)
{
	struct usage was;
	struct edu edu[2];
	int devices;
	int f;
	uint32_t ioas[2];
	char *buf;
	struct probe probe[2];
	struct thread thread[MAX_THREADS];
};

static void map_probes(struct __test_metadata *_metadata,
		       FIXTURE_DATA(race) *self)
{
	int i, d;

	for (i = 0; i < 2; i++) {
		for (d = 0; d < self->devices; d++) {
			ASSERT_EQ(0, ioas_map(self->f, self->ioas[i],
					      self->probe[d].iova,
					      self->probe[d].ua, page_size));
		}
	}
}

FIXTURE_SETUP(race)
{
	int i;

	self->f = -1;
	self->devices = edu_find(self->edu, 2);
	if (!self->devices)
		SKIP(return, "no edu device is bound to vfio-pci");
	if (access("/dev/iommu", F_OK))
		SKIP(return, "this kernel has no /dev/iommu");
	self->was = usage_at_rest();
	self->f = iommufd_open();
	ASSERT_LE(0, self->f);
	self->buf = buf_alloc(BUF_SIZE, SZ_64K);
	buf_tag(self->buf, BUF_SIZE);
	for (i = 0; i < self->devices; i++) {
		self->probe[i] = (struct probe){
			.edu = &self->edu[i], .c = -1,
			.iova = PROBE_IOVA + i * SZ_64K,
			.ua = buf_alloc(page_size, page_size),
		};
	}
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, ioas_alloc(self->f, &self->ioas[i]));
		ASSERT_EQ(0, ioas_map(self->f, self->ioas[i], SPOT,
				      self->buf + i * SZ_64K, SZ_64K));
	}
	map_probes(_metadata, self);
}

FIXTURE_TEARDOWN(race)
{
	int i;

	for (i = 0; i < self->devices; i++)
		edu_close(&self->edu[i]);
	if (self->f >= 0)
		close(self->f);
	expect_usage(_metadata, &self->was);
}

static void attach_all(struct __test_metadata *_metadata,
		       FIXTURE_DATA(race) *self)
{
	int i;

	for (i = 0; i < self->devices; i++) {
		ASSERT_EQ(0, edu_open_attached(&self->edu[i], self->f,
					       self->ioas[0]));
	}
}

/* ---- what threads do ---- */

static int slot_of(struct thread *t)
{
	FIXTURE_DATA(race) *self = t->self;

	return t - self->thread;
}

/* A few pages at some address of the thread's own, in either window. */
static void map_and_unmap(struct thread *t)
{
	FIXTURE_DATA(race) *self = t->self;
	uint64_t iova = (slot_of(t) + 1) * MAPPER_BYTES;
	uint64_t size = (1 + some(t, 8)) * SZ_64K;
	uint32_t ioas = self->ioas[some(t, 2)];

	iova += some(t, MAPPER_BYTES / SZ_64K / 2) * SZ_64K;
	if (some(t, 2))
		iova += WINDOW1_START;
	if (!result(t, "map", ioas_map(self->f, ioas, iova, self->buf, size),
		    0))
		return;
	nap(t, 300);
	result(t, "unmap", ioas_unmap(self->f, ioas, iova, size), 0);
}

static void attach_some(struct thread *t, struct edu *edu)
{
	FIXTURE_DATA(race) *self = t->self;

	if (!some(t, 8))
		result(t, "detach", edu_detach(edu), 0);
	result(t, "attach", edu_attach(edu, self->ioas[some(t, 2)]), 0);
}

static void attach_first(struct thread *t)
{
	FIXTURE_DATA(race) *self = t->self;

	attach_some(t, &self->edu[0]);
}

static void attach_second(struct thread *t)
{
	FIXTURE_DATA(race) *self = t->self;

	attach_some(t, &self->edu[1]);
}

static void have_mappers(FIXTURE_DATA(race) *self)
{
	int i;

	for (i = 0; i < MAPPERS; i++)
		self->thread[i] = (struct thread){ .self = self,
						   .fn = map_and_unmap };
}

/* ---- afterwards ---- */

/* Each device reaches what its IOAS maps. Then the IOAS maps nothing. */
static void expect_nothing_left(struct __test_metadata *_metadata,
				FIXTURE_DATA(race) *self)
{
	struct spot spot = { SPOT, self->buf }, none = { SPOT };
	int i;

	for (i = 0; i < self->devices; i++) {
		ASSERT_EQ(0, edu_attach(&self->edu[i], self->ioas[0]));
		EXPECT_EQ(0, probe_spots(&self->probe[i], &spot, 1));
	}
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, ioas_unmap_all(self->f, self->ioas[i]));
	EXPECT_EQ(self->was.pinned, pinned_pages_settle(self->was.pinned));
	map_probes(_metadata, self);
	for (i = 0; i < self->devices; i++)
		EXPECT_EQ(0, probe_spots(&self->probe[i], &none, 1));
}

TEST_F_TIMEOUT(race, map_unmap_attach, 180)
{
	self->devices = 1;
	attach_all(_metadata, self);
	have_mappers(self);
	self->thread[MAPPERS] = (struct thread){ .self = self,
						 .fn = attach_first };
	threads_race(_metadata, self->thread, MAPPERS + 1,
		     race_seconds(SECONDS));
	expect_nothing_left(_metadata, self);
}

TEST_F_TIMEOUT(race, two_devices, 180)
{
	if (self->devices < 2)
		SKIP(return, "no two groups with an edu device each");
	attach_all(_metadata, self);
	have_mappers(self);
	self->thread[MAPPERS] = (struct thread){ .self = self,
						 .fn = attach_first };
	self->thread[MAPPERS + 1] = (struct thread){ .self = self,
						     .fn = attach_second };
	threads_race(_metadata, self->thread, MAPPERS + 2,
		     race_seconds(SECONDS));
	expect_nothing_left(_metadata, self);
}

/* ---- a device that is busy ---- */

static void move(struct thread *t)
{
	FIXTURE_DATA(race) *self = t->self;

	result(t, "attach", edu_attach(&self->edu[0],
				       self->ioas[t->done % 2]), 0);
}

/* From where each IOAS has other memory to where both have the same. */
static int copy_by_device(FIXTURE_DATA(race) *self)
{
	struct probe *p = &self->probe[0];
	size_t size = 64;

	memset(p->ua, 0, size);
	edu_copy(p->edu, p->iova, SPOT, size);
	if (!memcmp(p->ua, self->buf, size))
		return 0;
	return memcmp(p->ua, self->buf + SZ_64K, size) ? -ENOLINK : 0;
}

static void copy(struct thread *t)
{
	result(t, "DMA", copy_by_device(t->self), 0);
}

/* What one IOAS maps, or the other, and at no time anything else. */
TEST_F_TIMEOUT(race, move_under_dma, 180)
{
	self->devices = 1;
	attach_all(_metadata, self);
	self->thread[0] = (struct thread){ .self = self, .fn = move };
	self->thread[1] = (struct thread){ .self = self, .fn = copy };
	threads_race(_metadata, self->thread, 2, race_seconds(2 * SECONDS));
	expect_nothing_left(_metadata, self);
}

/* ---- two devices of a group ---- */

/* The other device of the group, which does no DMA; vfio-pci gets it. */
static bool have_other(const struct edu *edu, struct edu *other)
{
	struct slot all, rest;

	*other = (struct edu){ .group = edu->group, .group_fd = -1, .fd = -1 };
	if (read_slot(&all, edu->group) || !slot_others(&all, edu, &rest))
		return false;
	strcpy(other->name, rest.name[0]);
	return !slot_bring(&rest);
}

static long reaches(FIXTURE_DATA(race) *self, int i)
{
	struct spot spot = { SPOT, self->buf + i * SZ_64K };

	return probe_spots(&self->probe[0], &spot, 1);
}

TEST_F_TIMEOUT(race, two_functions, 120)
{
	struct edu *edu = &self->edu[0], other;
	int stranger;

	if (!have_other(edu, &other))
		SKIP(return, "the group has one device");
	self->devices = 1;
	attach_all(_metadata, self);
	stranger = iommufd_open();
	ASSERT_LE(0, stranger);
	ASSERT_LE(0, edu_open_file(&other));
	EXPECT_EQ(-EPERM, edu_bind(&other, stranger, NULL));
	ASSERT_EQ(0, edu_bind(&other, self->f, NULL));

	/* What the one has is what the other may have. */
	EXPECT_EQ(-EINVAL, edu_attach(&other, self->ioas[1]));
	ASSERT_EQ(0, edu_attach(&other, self->ioas[0]));
	EXPECT_EQ(0, reaches(self, 0));
	/* Both are moved at once. */
	ASSERT_EQ(0, edu_attach(edu, self->ioas[1]));
	EXPECT_EQ(0, reaches(self, 1));
	ASSERT_EQ(0, edu_attach(&other, self->ioas[1]));
	EXPECT_EQ(0, reaches(self, 1));

	ASSERT_EQ(0, edu_detach(&other));
	EXPECT_EQ(0, reaches(self, 1));
	ASSERT_EQ(0, edu_attach(&other, self->ioas[1]));
	edu_close(&other);
	EXPECT_EQ(0, reaches(self, 1));
	close(stranger);
}

/*
 * The windows go with the last of them that is attached. The page table is not
 * the IOAS' own, so it stays, with what it maps.
 */
TEST_F_TIMEOUT(race, last_of_two_functions, 120)
{
	struct edu *edu = &self->edu[0], other;
	uint32_t dev, hwpt;

	if (!have_other(edu, &other))
		SKIP(return, "the group has one device");
	self->devices = 1;
	attach_all(_metadata, self);
	ASSERT_LE(0, edu_open_file(&other));
	ASSERT_EQ(0, edu_bind(&other, self->f, &dev));
	ASSERT_EQ(0, hwpt_alloc(self->f, dev, self->ioas[1], &hwpt));
	ASSERT_EQ(0, edu_attach(edu, hwpt));
	ASSERT_EQ(0, edu_attach(&other, hwpt));
	ASSERT_EQ(0, edu_detach(edu));
	EXPECT_EQ(0, reaches(self, 1));
	ASSERT_EQ(0, edu_detach(&other));
	self->probe[0].ua[0] = 1;
	edu_store(edu, PROBE_IOVA, 0, 64);
	EXPECT_EQ(1, self->probe[0].ua[0]);
	ASSERT_EQ(0, edu_attach(edu, self->ioas[0]));
	EXPECT_EQ(0, reaches(self, 0));
	edu_close(&other);
}

int main(int argc, char **argv)
{
	return run_with_settings(argc, argv);
}
