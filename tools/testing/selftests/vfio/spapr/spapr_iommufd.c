// SPDX-License-Identifier: GPL-2.0-only
/*
 * iommufd on a powernv host: a device is bound by its own file and attached to
 * an IOAS, which covers both windows of the PHB; or its group is given to
 * /dev/iommu in place of a container, as programs do that know type1 only.
 * Containers and iommufd have a device one after the other, never at once.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spapr_harness.h"
#include "iommufd_util.h"
#include "kvm_guest.h"

#define BUF_SIZE	SZ_1M
/* Where the page is by which a test sees what the device saw. */
#define PROBE_IOVA	(SZ_1G + SZ_64K)
/* Below 4 GiB there is MMIO of the PHB from here on. */
#define MMIO_START	(2 * SZ_1G)
#define MMIO_END	(4 * SZ_1G)
#define MAX_RANGES	16

FIXTURE(iommufd)
{
	struct usage was;
	struct edu edu[2];
	int devices;
	int f;
	uint32_t ioas;
	char *buf;
	struct probe probe;
};

static char *tagged_buf(void)
{
	char *buf = buf_alloc(BUF_SIZE, SZ_64K);

	buf_tag(buf, BUF_SIZE);
	return buf;
}

/* Has the page of a probe in an IOAS; the device is attached to it. */
static void have_probe(struct __test_metadata *_metadata,
		       FIXTURE_DATA(iommufd) *self, struct probe *p,
		       struct edu *edu, uint32_t ioas, uint64_t iova)
{
	*p = (struct probe){ .edu = edu, .c = -1, .iova = iova };
	p->ua = buf_alloc(page_size, page_size);
	ASSERT_EQ(0, ioas_map(self->f, ioas, iova, p->ua, page_size));
}

FIXTURE_SETUP(iommufd)
{
	self->devices = edu_find(self->edu, 2);
	if (!self->devices)
		SKIP(return, "no edu device is bound to vfio-pci");
	self->was = usage_at_rest();
	self->f = iommufd_open();
	if (self->f == -ENOENT)
		SKIP(return, "this kernel has no /dev/iommu");
	ASSERT_LE(0, self->f);
	ASSERT_EQ(0, ioas_alloc(self->f, &self->ioas));
	ASSERT_EQ(0, edu_open_attached(&self->edu[0], self->f, self->ioas));
	self->buf = tagged_buf();
	have_probe(_metadata, self, &self->probe, &self->edu[0], self->ioas,
		   PROBE_IOVA);
}

FIXTURE_TEARDOWN(iommufd)
{
	int i;

	for (i = 0; i < self->devices; i++) {
		edu_close(&self->edu[i]);
		edu_close_group(&self->edu[i]);
	}
	if (self->f >= 0)
		close(self->f);
	expect_usage(_metadata, &self->was);
}

static int reach(FIXTURE_DATA(iommufd) *self, uint64_t iova, void *ua)
{
	return probe_reach(&self->probe, iova, ua);
}

/* ---- ranges ---- */

TEST_F(iommufd, ranges)
{
	const struct iommu_iova_range want[] = {
		{ 0, MMIO_START - 1 },
		{ MMIO_END, WINDOW0_LAST },
		{ WINDOW1_START, WINDOW1_LAST },
	};
	struct iommu_iova_range have[MAX_RANGES];
	uint64_t alignment;
	int i;

	ASSERT_EQ(3, ioas_ranges(self->f, self->ioas, have, MAX_RANGES,
				 &alignment));
	EXPECT_EQ(SZ_4K, alignment);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(want[i].start, have[i].start);
		EXPECT_EQ(want[i].last, have[i].last);
	}
}

/* From the first page of each range to its last, by DMA in both directions. */
TEST_F(iommufd, ends_of_ranges)
{
	const uint64_t at[] = {
		0, MMIO_START - SZ_64K, MMIO_END, WINDOW0_LAST + 1 - SZ_64K,
		WINDOW1_START, WINDOW1_LAST + 1 - SZ_64K,
	};
	unsigned int i, n = ARRAY_SIZE(at);

	for (i = 0; i < n; i++) {
		ASSERT_EQ(0, ioas_map(self->f, self->ioas, at[i],
				      self->buf + i * SZ_64K, SZ_64K)) {
			TH_LOG("at %#lx", (long)at[i]);
		}
	}
	for (i = 0; i < n; i++) {
		char *ua = self->buf + (i + 1) * SZ_64K - SZ_4K;

		EXPECT_EQ(READ_WRITE,
			  reach(self, at[i] + SZ_64K - SZ_4K, ua));
		ASSERT_EQ(0, ioas_unmap(self->f, self->ioas, at[i], SZ_64K));
		EXPECT_EQ(0, reach(self, at[i] + SZ_64K - SZ_4K, ua));
	}
}

/* What is in no range cannot be mapped, nor what only begins in one. */
TEST_F(iommufd, holes)
{
	const uint64_t at[] = {
		MMIO_START, MMIO_START - SZ_64K, MMIO_END - SZ_64K,
		MMIO_END - 2 * SZ_64K, WINDOW0_LAST + 1, WINDOW0_LAST + 1 -
		SZ_64K, WINDOW1_START - SZ_64K, WINDOW1_LAST + 1,
		WINDOW1_LAST + 1 - SZ_64K, 1UL << 60,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(at); i++) {
		EXPECT_EQ(-EINVAL, ioas_map(self->f, self->ioas, at[i],
					    self->buf, 2 * SZ_64K)) {
			TH_LOG("at %#lx", (long)at[i]);
		}
		EXPECT_EQ(-ENOENT, ioas_unmap(self->f, self->ioas, at[i],
					      2 * SZ_64K));
	}
	EXPECT_EQ(self->was.pinned + 1, pinned_pages_settle(self->was.pinned +
							    1));
}

/* ---- what is mapped ---- */

/* Pieces of 4 KiB, whatever the page size is, and nothing beside them. */
TEST_F(iommufd, small_pages)
{
	struct spot spots[] = {
		{ 7 * SZ_4K - 64 }, { 7 * SZ_4K, self->buf + 3 * SZ_4K },
		{ 8 * SZ_4K - 64, self->buf + 4 * SZ_4K - 64 }, { 8 * SZ_4K },
		{ 0 }, { SZ_64K - 64 }, { SZ_64K },
	};

	ASSERT_EQ(0, ioas_map(self->f, self->ioas, 7 * SZ_4K,
			      self->buf + 3 * SZ_4K, SZ_4K));
	EXPECT_EQ(0, probe_spots(&self->probe, spots, 7));
	ASSERT_EQ(0, ioas_unmap(self->f, self->ioas, 7 * SZ_4K, SZ_4K));
}

/* In window 1 they are as large as pages are. */
TEST_F(iommufd, last_page)
{
	const uint64_t iova = WINDOW1_LAST + 1 - page_size;
	struct spot spots[] = {
		{ iova - 64 }, { iova, self->buf + page_size },
		{ WINDOW1_LAST - 63, self->buf + 2 * page_size - 64 },
	};

	ASSERT_EQ(0, ioas_map(self->f, self->ioas, iova, self->buf + page_size,
			      page_size));
	EXPECT_EQ(0, probe_spots(&self->probe, spots, 3));
	ASSERT_EQ(0, ioas_unmap(self->f, self->ioas, iova, page_size));
	EXPECT_EQ(0, reach(self, iova, self->buf + page_size));
}

/* Half an entry of window 1 is refused, and leaves nothing. */
TEST_F(iommufd, small_pages_in_window_1)
{
	struct {
		uint64_t iova;
		uint64_t off;
		uint64_t size;
	} bad[] = {
		{ WINDOW1_START, 0, SZ_4K },
		{ WINDOW1_START + SZ_4K, SZ_4K, SZ_64K },
		{ WINDOW1_START + SZ_64K, SZ_4K, SZ_64K },
		{ WINDOW1_START, 0, SZ_64K + SZ_4K },
		{ WINDOW1_START + SZ_4K, 0, SZ_64K },
		{ WINDOW1_START + SZ_1M, 0, SZ_64K - SZ_4K },
	};
	unsigned int i;

	if (page_size < SZ_64K)
		SKIP(return, "no page has half an entry");
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, ioas_map(self->f, self->ioas, bad[i].iova,
					    self->buf + bad[i].off,
					    bad[i].size)) {
			TH_LOG("%u", i);
		}
	}
	/* Nothing that was mapped first is left. */
	EXPECT_EQ(0, reach(self, WINDOW1_START, self->buf));
	EXPECT_EQ(0, reach(self, WINDOW1_START + SZ_64K, self->buf + SZ_64K));
	ASSERT_EQ(0, ioas_map(self->f, self->ioas, WINDOW1_START, self->buf,
			      BUF_SIZE));
	EXPECT_EQ(READ_WRITE, reach(self, WINDOW1_START + BUF_SIZE - SZ_4K,
				    self->buf + BUF_SIZE - SZ_4K));
}

static int map_2m(FIXTURE_DATA(iommufd) *self, const void *ua, uint64_t size)
{
	return ioas_map(self->f, self->ioas, 2 * SZ_1M, ua, size);
}

/* Not memory of the process, or none that it may write itself */
TEST_F(iommufd, no_memory)
{
	char *small = buf_alloc(SZ_64K, SZ_64K);

	EXPECT_EQ(-EFAULT, map_2m(self, small + SZ_64K, SZ_64K));
	EXPECT_EQ(-EFAULT, map_2m(self, small, 2 * SZ_64K));
	EXPECT_EQ(-EFAULT, map_2m(self, (void *)self->edu[0].bar, SZ_64K));
	ASSERT_EQ(0, mprotect(small, SZ_64K, PROT_READ));
	EXPECT_EQ(-EFAULT, map_2m(self, small, SZ_64K));
	EXPECT_EQ(0, reach(self, 2 * SZ_1M, self->buf));
	EXPECT_EQ(self->was.pinned + 1,
		  pinned_pages_settle(self->was.pinned + 1));
	ASSERT_EQ(0, ioas_map_flags(self->f, self->ioas, 2 * SZ_1M, small,
				    SZ_64K, MAP_READ));
}

/* Arguments that are refused in every state */
TEST_F(iommufd, bad_arguments)
{
	uint64_t top = -SZ_64K;
	uint32_t dev, hwpt;

	EXPECT_EQ(-EINVAL, ioas_map_flags(self->f, self->ioas, SZ_1M,
					  self->buf, SZ_64K, 0));
	EXPECT_EQ(-EOPNOTSUPP, ioas_map_flags(self->f, self->ioas, SZ_1M,
					      self->buf, SZ_64K, 1 << 30));
	EXPECT_EQ(-EINVAL, map_2m(self, self->buf, 0));
	EXPECT_EQ(-EOVERFLOW, ioas_map(self->f, self->ioas, top, self->buf,
				       2 * SZ_64K));
	EXPECT_EQ(-EOVERFLOW, map_2m(self, self->buf, UINT64_MAX));
	EXPECT_EQ(-ENOENT, ioas_map(self->f, self->ioas + 100, SZ_1M, self->buf,
				    SZ_64K));
	EXPECT_EQ(-ENOENT, ioas_unmap(self->f, self->ioas + 100, SZ_1M,
				      SZ_64K));
	EXPECT_EQ(-ENOENT, iommufd_destroy(self->f, self->ioas + 100));
	/* The device is attached to it. */
	EXPECT_EQ(-EBUSY, iommufd_destroy(self->f, self->ioas));

	edu_close(&self->edu[0]);
	ASSERT_LE(0, edu_open_file(&self->edu[0]));
	ASSERT_EQ(0, edu_bind(&self->edu[0], self->f, &dev));
	EXPECT_EQ(-EOPNOTSUPP,
		  hwpt_alloc_flags(self->f, dev, self->ioas,
				   IOMMU_HWPT_ALLOC_DIRTY_TRACKING, &hwpt));
}

TEST_F(iommufd, refusals)
{
	uint64_t iova;

	ASSERT_EQ(0, ioas_map(self->f, self->ioas, SZ_1M, self->buf, SZ_64K));
	/* There is something already. */
	EXPECT_EQ(-EEXIST, ioas_map(self->f, self->ioas, SZ_1M, self->buf,
				    SZ_64K));
	EXPECT_EQ(-EEXIST, ioas_map(self->f, self->ioas, SZ_1M - SZ_64K,
				    self->buf, 2 * SZ_64K));
	/* What was mapped in one cannot be unmapped in parts. */
	EXPECT_EQ(-ENOENT, ioas_unmap(self->f, self->ioas, SZ_1M, SZ_4K));
	EXPECT_EQ(-ENOENT, ioas_unmap(self->f, self->ioas, 2 * SZ_1M, SZ_64K));
	/* Less than the smallest page */
	EXPECT_EQ(-EINVAL, ioas_map(self->f, self->ioas, 2 * SZ_1M + 512,
				    self->buf + 512, SZ_4K));
	EXPECT_EQ(-EINVAL, ioas_map(self->f, self->ioas, 2 * SZ_1M, self->buf,
				    512));
	/* No range is as long as this. */
	EXPECT_EQ(-ENOSPC, ioas_map_anywhere(self->f, self->ioas, &iova,
					     self->buf, 1UL << 53));
	EXPECT_EQ(0, reach(self, 2 * SZ_1M, self->buf));
	EXPECT_EQ(READ_WRITE, reach(self, SZ_1M, self->buf));
	ASSERT_EQ(0, ioas_unmap(self->f, self->ioas, SZ_1M, SZ_64K));
}

/* The kernel's choice is a place that works. */
TEST_F(iommufd, anywhere)
{
	uint64_t iova;

	ASSERT_EQ(0, ioas_map_anywhere(self->f, self->ioas, &iova, self->buf,
				       BUF_SIZE));
	EXPECT_GT(WINDOW0_LAST, iova);
	EXPECT_EQ(READ_WRITE, reach(self, iova, self->buf));
	EXPECT_EQ(READ_WRITE, reach(self, iova + BUF_SIZE - SZ_4K,
				    self->buf + BUF_SIZE - SZ_4K));
}

/* All of a buffer through either window, 4 KiB at a time */
TEST_F_TIMEOUT(iommufd, whole_buffer, 300)
{
	static const uint64_t at[] = { SZ_1M, WINDOW1_START + SZ_1T };
	char *seen = (char *)self->probe.ua;
	unsigned long off;
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, ioas_map(self->f, self->ioas, at[i], self->buf,
				      BUF_SIZE));
		for (off = 0; off < BUF_SIZE; off += SZ_4K) {
			edu_copy(&self->edu[0], PROBE_IOVA, at[i] + off, SZ_4K);
			ASSERT_EQ(0, memcmp(seen, self->buf + off, SZ_4K)) {
				TH_LOG("at %#lx", (long)(at[i] + off));
			}
		}
	}
}

/* PHBs and devices turn some writes into reads: who may write may read. */
TEST_F(iommufd, permissions)
{
	static const uint64_t at[] = { 0, WINDOW1_START };
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, ioas_map_flags(self->f, self->ioas, at[i],
					    self->buf, SZ_64K, MAP_READ));
		EXPECT_EQ(REACH_READ, reach(self, at[i], self->buf));
		ASSERT_EQ(0, ioas_unmap(self->f, self->ioas, at[i], SZ_64K));
		ASSERT_EQ(0, ioas_map_flags(self->f, self->ioas, at[i],
					    self->buf, SZ_64K, MAP_WRITE));
		EXPECT_EQ(READ_WRITE, reach(self, at[i], self->buf));
		ASSERT_EQ(0, ioas_unmap(self->f, self->ioas, at[i], SZ_64K));
	}
}

/* More than fits into one level, scattered, in both windows; then all goes. */
TEST_F(iommufd, unmap_all)
{
	struct spot spots[32];
	int i;

	for (i = 0; i < 16; i++) {
		spots[i] = (struct spot){ ((uint64_t)i << 43) + i * SZ_64K,
					  self->buf + i * SZ_64K };
		spots[16 + i] = (struct spot){
			WINDOW1_START + ((uint64_t)i << 42),
			self->buf + i * SZ_64K,
		};
	}
	for (i = 0; i < 32; i++) {
		ASSERT_EQ(0, ioas_map(self->f, self->ioas, spots[i].iova,
				      spots[i].ua, SZ_64K));
	}
	EXPECT_EQ(0, probe_spots(&self->probe, spots, 32));
	ASSERT_EQ(0, ioas_unmap_all(self->f, self->ioas));
	EXPECT_EQ(self->was.pinned, pinned_pages_settle(self->was.pinned));
	for (i = 0; i < 32; i++)
		spots[i].ua = NULL;
	have_probe(_metadata, self, &self->probe, &self->edu[0], self->ioas,
		   PROBE_IOVA);
	EXPECT_EQ(0, probe_spots(&self->probe, spots, 32));
}

/* ---- which page table ---- */

/* Mapped before anything is attached, and in an IOAS that was used before. */
TEST_F(iommufd, detach)
{
	struct spot spots[] = {
		{ SZ_1M, self->buf }, { WINDOW1_START, self->buf },
	};
	struct spot nothing[] = { { SZ_1M }, { WINDOW1_START } };
	uint32_t other;

	ASSERT_EQ(0, ioas_map(self->f, self->ioas, SZ_1M, self->buf, SZ_64K));
	ASSERT_EQ(0, ioas_map(self->f, self->ioas, WINDOW1_START, self->buf,
			      SZ_64K));
	EXPECT_EQ(0, probe_spots(&self->probe, spots, 2));
	ASSERT_EQ(0, edu_detach(&self->edu[0]));
	/* Now it reaches nothing, not even the probe. */
	self->probe.ua[0] = 1;
	edu_store(&self->edu[0], PROBE_IOVA, 0, 64);
	EXPECT_EQ(1, self->probe.ua[0]);

	/* Another IOAS, with nothing but the probe */
	ASSERT_EQ(0, ioas_alloc(self->f, &other));
	ASSERT_EQ(0, ioas_map(self->f, other, PROBE_IOVA, self->probe.ua,
			      page_size));
	ASSERT_EQ(0, edu_attach(&self->edu[0], other));
	EXPECT_EQ(0, probe_spots(&self->probe, nothing, 2));
	ASSERT_EQ(0, edu_detach(&self->edu[0]));
	ASSERT_EQ(0, edu_attach(&self->edu[0], self->ioas));
	EXPECT_EQ(0, probe_spots(&self->probe, spots, 2));
}

/* From one IOAS to the other and back, without being detached in between. */
TEST_F(iommufd, move)
{
	struct spot spots[2][2] = {
		{ { 0, self->buf }, { WINDOW1_START, self->buf + SZ_64K } },
		{ { 0, self->buf + 2 * SZ_64K },
		  { WINDOW1_START, self->buf + 3 * SZ_64K } },
	};
	uint32_t ioas[2] = { self->ioas };
	int i, j;

	ASSERT_EQ(0, ioas_alloc(self->f, &ioas[1]));
	ASSERT_EQ(0, ioas_map(self->f, ioas[1], PROBE_IOVA, self->probe.ua,
			      page_size));
	for (i = 0; i < 2; i++) {
		for (j = 0; j < 2; j++) {
			ASSERT_EQ(0, ioas_map(self->f, ioas[i],
					      spots[i][j].iova, spots[i][j].ua,
					      SZ_64K));
		}
	}
	for (i = 0; i < 6; i++) {
		EXPECT_EQ(0, probe_spots(&self->probe, spots[i % 2], 2));
		ASSERT_EQ(0, edu_attach(&self->edu[0], ioas[(i + 1) % 2]));
	}
	/* What an IOAS that is not attached maps does not matter. */
	ASSERT_EQ(0, ioas_unmap_all(self->f, ioas[1]));
	EXPECT_EQ(0, probe_spots(&self->probe, spots[0], 2));
}

static void expect_refused(struct __test_metadata *_metadata,
			   FIXTURE_DATA(iommufd) *self)
{
	const uint64_t at[] = {
		MMIO_START, 1UL << 50, WINDOW1_LAST + 1, WINDOW1_START + SZ_4K,
	};
	/* The last one is a place, if pages are that small. */
	int n = page_size < SZ_64K ? 3 : 4, i, ret;
	uint32_t other;

	for (i = 0; i < n; i++) {
		ASSERT_EQ(0, ioas_alloc(self->f, &other));
		ASSERT_EQ(0, ioas_map(self->f, other, at[i], self->buf,
				      SZ_4K));
		ret = edu_attach(&self->edu[0], other);
		EXPECT_TRUE(ret == -EINVAL || ret == -EADDRINUSE) {
			TH_LOG("%#lx: %d", (long)at[i], ret);
		}
		ASSERT_EQ(0, iommufd_destroy(self->f, other));
	}
}

/* An IOAS that has what no device can reach is refused as a whole. */
TEST_F(iommufd, attach_is_refused)
{
	expect_refused(_metadata, self);
	/* It has what it had. */
	ASSERT_EQ(0, ioas_map(self->f, self->ioas, 0, self->buf, SZ_64K));
	EXPECT_EQ(READ_WRITE, reach(self, 0, self->buf));

	/* And now it has nothing. */
	ASSERT_EQ(0, edu_detach(&self->edu[0]));
	expect_refused(_metadata, self);
	self->probe.ua[0] = 1;
	edu_store(&self->edu[0], PROBE_IOVA, 0, 64);
	EXPECT_EQ(1, self->probe.ua[0]);
	ASSERT_EQ(0, edu_attach(&self->edu[0], self->ioas));
	EXPECT_EQ(READ_WRITE, reach(self, 0, self->buf));
}

/* ---- two devices ---- */

FIXTURE(two)
{
	FIXTURE_DATA(iommufd) one;
	struct probe probe;
};

FIXTURE_SETUP(two)
{
	iommufd_setup(_metadata, &self->one, NULL);
	if (_metadata->exit_code)
		return;
	if (self->one.devices < 2)
		SKIP(return, "only one group has an edu device");
	ASSERT_EQ(0, edu_open_attached(&self->one.edu[1], self->one.f,
				       self->one.ioas));
	have_probe(_metadata, &self->one, &self->probe, &self->one.edu[1],
		   self->one.ioas, 2 * PROBE_IOVA - SZ_1G);
}

FIXTURE_TEARDOWN(two)
{
	iommufd_teardown(_metadata, &self->one, NULL);
}

static void expect_both(struct __test_metadata *_metadata,
			FIXTURE_DATA(two) *self, uint64_t iova, void *ua,
			int first, int second)
{
	EXPECT_EQ(first, probe_reach(&self->one.probe, iova, ua));
	EXPECT_EQ(second, probe_reach(&self->probe, iova, ua));
}

/* Behind two PHBs, on one domain: what is mapped is for both. */
TEST_F(two, one_ioas)
{
	char *buf = self->one.buf;
	uint32_t ioas = self->one.ioas;
	int f = self->one.f;

	ASSERT_EQ(0, ioas_map(f, ioas, 0, buf, SZ_64K));
	ASSERT_EQ(0, ioas_map(f, ioas, WINDOW1_START, buf, SZ_64K));
	expect_both(_metadata, self, 0, buf, READ_WRITE, READ_WRITE);
	expect_both(_metadata, self, WINDOW1_START, buf, READ_WRITE,
		    READ_WRITE);
	ASSERT_EQ(0, ioas_unmap(f, ioas, WINDOW1_START, SZ_64K));
	expect_both(_metadata, self, WINDOW1_START, buf, 0, 0);

	/* The first leaves, the second stays. */
	ASSERT_EQ(0, edu_detach(&self->one.edu[0]));
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe, 0, buf));
	self->one.probe.ua[0] = 1;
	edu_store(&self->one.edu[0], PROBE_IOVA, 0, 64);
	EXPECT_EQ(1, self->one.probe.ua[0]);
	ASSERT_EQ(0, ioas_unmap(f, ioas, 0, SZ_64K));
	EXPECT_EQ(0, probe_reach(&self->probe, 0, buf));

	ASSERT_EQ(0, ioas_map(f, ioas, 0, buf, SZ_64K));
	ASSERT_EQ(0, edu_attach(&self->one.edu[0], ioas));
	expect_both(_metadata, self, 0, buf, READ_WRITE, READ_WRITE);
}

/* Each has its own, with other memory at the same address. */
TEST_F(two, an_ioas_each)
{
	struct spot first = { 0, self->one.buf };
	struct spot second = { 0, self->one.buf + SZ_64K };
	int f = self->one.f;
	uint32_t other;

	ASSERT_EQ(0, ioas_map(f, self->one.ioas, 0, first.ua, SZ_64K));
	ASSERT_EQ(0, ioas_alloc(f, &other));
	ASSERT_EQ(0, ioas_map(f, other, 0, second.ua, SZ_64K));
	ASSERT_EQ(0, ioas_map(f, other, self->probe.iova, self->probe.ua,
			      page_size));
	ASSERT_EQ(0, edu_attach(&self->one.edu[1], other));
	EXPECT_EQ(0, probe_spots(&self->one.probe, &first, 1));
	EXPECT_EQ(0, probe_spots(&self->probe, &second, 1));

	/* Nothing is left of the first IOAS' domain but the first device. */
	edu_close(&self->one.edu[0]);
	ASSERT_EQ(0, ioas_unmap_all(f, self->one.ioas));
	ASSERT_EQ(0, iommufd_destroy(f, self->one.ioas));
	EXPECT_EQ(0, probe_spots(&self->probe, &second, 1));
}

/* A page table that was made for one device takes the other as well. */
TEST_F(two, one_page_table)
{
	struct edu *edu = self->one.edu;
	uint32_t dev, other, hwpt;
	int f = self->one.f;

	ASSERT_EQ(0, ioas_alloc(f, &other));
	ASSERT_EQ(0, ioas_map(f, other, 0, self->one.buf, SZ_64K));
	ASSERT_EQ(0, ioas_map(f, other, PROBE_IOVA, self->one.probe.ua,
			      page_size));
	ASSERT_EQ(0, ioas_map(f, other, self->probe.iova, self->probe.ua,
			      page_size));
	edu_close(&edu[0]);
	ASSERT_LE(0, edu_open_file(&edu[0]));
	ASSERT_EQ(0, edu_bind(&edu[0], f, &dev));
	ASSERT_EQ(0, hwpt_alloc(f, dev, other, &hwpt));
	ASSERT_EQ(0, edu_attach(&edu[0], hwpt));
	ASSERT_EQ(0, edu_start(&edu[0]));
	ASSERT_EQ(0, edu_attach(&edu[1], hwpt));
	expect_both(_metadata, self, 0, self->one.buf, READ_WRITE, READ_WRITE);
	EXPECT_EQ(-EBUSY, iommufd_destroy(f, hwpt));
	ASSERT_EQ(0, edu_detach(&edu[0]));
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe, 0, self->one.buf));
	ASSERT_EQ(0, edu_detach(&edu[1]));
	EXPECT_EQ(0, iommufd_destroy(f, hwpt));
}

/* ---- containers ---- */

FIXTURE(owners)
{
	struct usage was;
	struct edu edu;
	char *buf;
};

FIXTURE_SETUP(owners)
{
	if (!edu_find(&self->edu, 1))
		SKIP(return, "no edu device is bound to vfio-pci");
	if (access("/dev/iommu", F_OK))
		SKIP(return, "this kernel has no /dev/iommu");
	self->was = usage_at_rest();
	self->buf = tagged_buf();
}

FIXTURE_TEARDOWN(owners)
{
	edu_close(&self->edu);
	edu_close_group(&self->edu);
	expect_usage(_metadata, &self->was);
}

/* A container: both windows, memory in each, and the device reaches it. */
static void use_container(struct __test_metadata *_metadata,
			  FIXTURE_DATA(owners) *self)
{
	struct probe probe;
	uint64_t start;
	int c;

	c = container_open();
	ASSERT_LE(0, edu_open_group(&self->edu));
	ASSERT_EQ(0, container_add(c, &self->edu));
	ASSERT_EQ(0, container_set_iommu(c, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, spapr_create(c, 16, SZ_1G, 2, &start));
	ASSERT_EQ(0, probe_init(&probe, c, &self->edu, SZ_1M));
	EXPECT_EQ(0, probe_reach(&probe, 0, self->buf));
	EXPECT_EQ(0, probe_reach(&probe, start, self->buf));
	ASSERT_EQ(0, spapr_register(c, self->buf, BUF_SIZE));
	ASSERT_EQ(0, spapr_map(c, 0, self->buf, SZ_64K));
	EXPECT_EQ(READ_WRITE, probe_reach(&probe, 0, self->buf));
	edu_close(&self->edu);
	edu_close_group(&self->edu);
	close(c);
}

static void use_iommufd(struct __test_metadata *_metadata,
			FIXTURE_DATA(owners) *self)
{
	struct probe probe = { .edu = &self->edu, .iova = SZ_1M };
	uint32_t ioas;
	int f;

	f = iommufd_open();
	ASSERT_LE(0, f);
	ASSERT_EQ(0, ioas_alloc(f, &ioas));
	probe.ua = buf_alloc(page_size, page_size);
	ASSERT_EQ(0, ioas_map(f, ioas, SZ_1M, probe.ua, page_size));
	ASSERT_EQ(0, edu_open_attached(&self->edu, f, ioas));
	EXPECT_EQ(0, probe_reach(&probe, 0, self->buf));
	EXPECT_EQ(0, probe_reach(&probe, WINDOW1_START, self->buf));
	ASSERT_EQ(0, ioas_map(f, ioas, 0, self->buf, SZ_64K));
	ASSERT_EQ(0, ioas_map(f, ioas, WINDOW1_START, self->buf, SZ_64K));
	EXPECT_EQ(READ_WRITE, probe_reach(&probe, 0, self->buf));
	EXPECT_EQ(READ_WRITE, probe_reach(&probe, WINDOW1_START, self->buf));
	edu_close(&self->edu);
	close(f);
}

/* Of what was mapped in one, type1 unmaps a part, type1v2 does not. */
static void expect_hole(struct __test_metadata *_metadata,
			FIXTURE_DATA(owners) *self, int f, struct probe *probe,
			bool can)
{
	char *hole = self->buf + BUF_SIZE / 2;
	uintptr_t iova = (uintptr_t)hole;

	EXPECT_EQ(can ? 0 : -ENOENT, spapr_unmap(f, iova, SZ_64K));
	EXPECT_EQ(can ? 0 : READ_WRITE, probe_reach(probe, iova, hole));
	EXPECT_EQ(READ_WRITE, probe_reach(probe, iova - SZ_4K, hole - SZ_4K));
	EXPECT_EQ(READ_WRITE, probe_reach(probe, iova + SZ_64K, hole + SZ_64K));
}

/* The same group, as a program for other platforms has it. */
static void use_type1(struct __test_metadata *_metadata,
		      FIXTURE_DATA(owners) *self, unsigned long type)
{
	struct probe probe = { .edu = &self->edu, .iova = SZ_1M };
	int f;

	f = iommufd_open();
	ASSERT_LE(0, f);
	ASSERT_LE(0, edu_open_group(&self->edu));
	ASSERT_EQ(0, container_add(f, &self->edu));
	EXPECT_EQ(1, ioctl(f, VFIO_CHECK_EXTENSION, type));
	EXPECT_EQ(0, ioctl(f, VFIO_CHECK_EXTENSION, VFIO_SPAPR_TCE_v2_IOMMU));
	EXPECT_EQ(-EINVAL, container_set_iommu(f, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, container_set_iommu(f, type));
	probe.ua = buf_alloc(page_size, page_size);
	ASSERT_EQ(0, spapr_map(f, SZ_1M, probe.ua, page_size));
	/* Nothing is known yet, and nothing is said. */
	EXPECT_EQ(0, type1_ranges(f));
	ASSERT_EQ(0, edu_open(&self->edu));
	EXPECT_LT(1, type1_ranges(f));
	/* Its own addresses as bus addresses are what most programs take. */
	ASSERT_EQ(0, spapr_map(f, (uintptr_t)self->buf, self->buf, BUF_SIZE));
	EXPECT_EQ(READ_WRITE, probe_reach(&probe, (uintptr_t)self->buf,
					  self->buf));
	expect_hole(_metadata, self, f, &probe, type == VFIO_TYPE1_IOMMU);
	ASSERT_EQ(0, spapr_unmap(f, (uintptr_t)self->buf, BUF_SIZE));
	EXPECT_EQ(0, probe_reach(&probe, (uintptr_t)self->buf, self->buf));
	edu_close(&self->edu);
	edu_close_group(&self->edu);
	close(f);
}

TEST_F(owners, type1)
{
	use_type1(_metadata, self, VFIO_TYPE1_IOMMU);
}

TEST_F(owners, type1v2)
{
	use_type1(_metadata, self, VFIO_TYPE1v2_IOMMU);
}

/* One after the other, in every order of two, more than once. */
TEST_F_TIMEOUT(owners, follow_each_other, 300)
{
	static const char order[] = "ciitcttici";
	const char *who;

	for (who = order; *who; who++) {
		if (*who == 'c')
			use_container(_metadata, self);
		else if (*who == 'i')
			use_iommufd(_metadata, self);
		else
			use_type1(_metadata, self, VFIO_TYPE1v2_IOMMU);
		ASSERT_EQ(self->was.taint, kernel_taint());
	}
	EXPECT_EQ(self->was.pinned, pinned_pages_settle(self->was.pinned));
}

/* The file of a group that is in a container, or open, excludes the device's. */
TEST_F(owners, container_excludes)
{
	struct edu file = self->edu;
	int f, c;

	f = iommufd_open();
	ASSERT_LE(0, f);
	c = container_open();
	ASSERT_LE(0, edu_open_group(&self->edu));
	ASSERT_EQ(0, container_add(c, &self->edu));
	ASSERT_EQ(0, container_set_iommu(c, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_LE(0, edu_open_file(&file));
	EXPECT_EQ(-EBUSY, edu_bind(&file, f, NULL));
	EXPECT_EQ(-EINVAL, container_add(f, &self->edu));
	close(c);
	edu_close_group(&self->edu);
	EXPECT_EQ(0, edu_bind(&file, f, NULL));
	edu_close(&file);
	close(f);
}

TEST_F(owners, iommufd_excludes)
{
	struct edu file = self->edu;
	int f, other, c;

	f = iommufd_open();
	ASSERT_LE(0, f);
	ASSERT_LE(0, edu_open_file(&file));
	ASSERT_EQ(0, edu_bind(&file, f, NULL));
	EXPECT_EQ(-EBUSY, edu_open_group(&self->edu));
	edu_close(&file);

	/* Open, but bound by nobody: the container may have it. */
	ASSERT_LE(0, edu_open_file(&file));
	other = iommufd_open();
	ASSERT_LE(0, other);
	c = container_open();
	ASSERT_LE(0, edu_open_group(&self->edu));
	ASSERT_EQ(0, container_add(c, &self->edu));
	EXPECT_EQ(-EBUSY, edu_bind(&file, other, NULL));
	edu_close(&file);
	close(c);
	close(other);
	close(f);
}

/* A device that is bound by one file is not by another. */
TEST_F(owners, second_owner)
{
	struct edu first = self->edu, second = self->edu;
	int f[2];

	f[0] = iommufd_open();
	f[1] = iommufd_open();
	ASSERT_LE(0, f[1]);
	ASSERT_LE(0, edu_open_file(&first));
	ASSERT_EQ(0, edu_bind(&first, f[0], NULL));
	ASSERT_LE(0, edu_open_file(&second));
	EXPECT_EQ(-EINVAL, edu_bind(&second, f[1], NULL));
	EXPECT_EQ(-EINVAL, edu_bind(&second, f[0], NULL));
	edu_close(&second);
	edu_close(&first);
	close(f[0]);
	close(f[1]);
}

/* ---- the end ---- */

static __attribute__((noreturn))
void victim(struct edu *edu, char *buf, int fd)
{
	int f = iommufd_open(), ret;
	uint32_t ioas;

	ret = f < 0 ? f : ioas_alloc(f, &ioas);
	if (!ret)
		ret = ioas_map(f, ioas, 0, buf, BUF_SIZE);
	if (!ret)
		ret = ioas_map(f, ioas, WINDOW1_START, buf, BUF_SIZE);
	if (!ret)
		ret = edu_open_attached(edu, f, ioas);
	if (write(fd, &ret, sizeof(ret)) != sizeof(ret))
		_exit(1);
	for (;;)
		pause();
}

TEST_F(owners, killed)
{
	int i, ret, fds[2];
	pid_t pid;

	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, pipe(fds));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			victim(&self->edu, self->buf, fds[1]);
		ASSERT_EQ(sizeof(ret), read(fds[0], &ret, sizeof(ret)));
		EXPECT_EQ(0, ret);
		EXPECT_LT(self->was.pinned, pinned_pages());
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, NULL, 0));
		close(fds[0]);
		close(fds[1]);
		EXPECT_EQ(self->was.pinned,
			  pinned_pages_settle(self->was.pinned));
	}
	use_container(_metadata, self);
}

/* Removed while it is attached: that waits until the file is closed. */
TEST_F_TIMEOUT(owners, removed, 120)
{
	int groups = count_groups(), f, status, round;
	struct slot slot;
	uint32_t ioas;
	pid_t pid;

	ASSERT_EQ(0, read_slot(&slot, self->edu.group));
	for (round = 0; round < 3; round++) {
		f = iommufd_open();
		ASSERT_LE(0, f);
		ASSERT_EQ(0, ioas_alloc(f, &ioas));
		ASSERT_EQ(0, ioas_map(f, ioas, 0, self->buf, SZ_64K));
		ASSERT_EQ(0, edu_open_attached(&self->edu, f, ioas));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			/* The parent's files are what it waits for. */
			edu_close(&self->edu);
			close(f);
			_exit(-slot_remove(&slot));
		}
		usleep(200000);
		EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
		ASSERT_EQ(0, ioas_map(f, ioas, WINDOW1_START, self->buf,
				      SZ_64K));
		edu_close(&self->edu);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
		EXPECT_EQ(groups - 1, groups_settle(groups - 1));
		/* The IOAS lives on, with what was mapped in it. */
		ASSERT_EQ(0, ioas_unmap(f, ioas, 0, SZ_64K));
		ASSERT_EQ(0, slot_return(&slot, &self->edu));
		ASSERT_EQ(0, edu_open_attached(&self->edu, f, ioas));
		edu_close(&self->edu);
		close(f);
	}
	EXPECT_EQ(groups, groups_settle(groups));
	use_container(_metadata, self);
}

/* Hypercalls change a container's windows only. */
TEST_F(owners, no_hypercalls)
{
	const char *missing = guest_missing(guest_any());
	struct vm vm;
	int f, table;

	if (missing)
		SKIP(return, "%s", missing);
	vm_create(&vm, guest_any());
	table = vm_liobn(&vm, 0x80000001UL, 12, 0, 16);
	ASSERT_LE(0, table);
	f = iommufd_open();
	ASSERT_LE(0, f);
	ASSERT_LE(0, edu_open_group(&self->edu));
	ASSERT_EQ(0, container_add(f, &self->edu));
	ASSERT_EQ(0, container_set_iommu(f, VFIO_TYPE1v2_IOMMU));
	ASSERT_EQ(0, edu_open(&self->edu));
	ASSERT_EQ(0, vm_group_add(&vm, self->edu.group_fd));
	EXPECT_EQ(-EINVAL, vm_attach(&vm, self->edu.group_fd, table));
	edu_close(&self->edu);
	edu_close_group(&self->edu);
	close(f);
	close(table);
	vm_close(&vm);
}

TEST_HARNESS_MAIN
