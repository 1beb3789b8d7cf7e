// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each call of iommufd with each of its allocations failing in turn: it fails
 * with ENOMEM, changes nothing, keeps no pins, and can be done again. What the
 * device reaches is looked at by DMA.
 */
#include "fail_nth.h"
#include "iommufd_util.h"

#define BUF_SIZE	(4 * SZ_1M)
#define PROBE_IOVA	(SZ_1G + SZ_64K)
#define SPOT		SZ_1M

struct env {
	struct usage was;
	struct edu edu;
	int f;
	uint32_t dev;
	/* both map the page of the probe, and each other memory at SPOT */
	uint32_t ioas[2];
	uint32_t made;		/* by the operation */
	char *buf;
	struct probe probe;
	/* where memory is mapped */
	uint64_t at;
	uint64_t bytes;
};

FIXTURE(fail)
{
	struct env e;
};

FIXTURE_SETUP(fail)
{
	struct env *e = &self->e;

	if (!fail_nth_setup())
		SKIP(return, "this kernel has no fault injection");
	if (!edu_find(&e->edu, 1))
		SKIP(return, "no edu device is bound to vfio-pci");
	if (access("/dev/iommu", F_OK))
		SKIP(return, "this kernel has no /dev/iommu");
	e->was = usage_at_rest();
	e->f = -1;
	e->bytes = BUF_SIZE;
	e->buf = buf_alloc(BUF_SIZE, SZ_64K);
	buf_tag(e->buf, BUF_SIZE);
	e->probe = (struct probe){
		.edu = &e->edu, .c = -1, .iova = PROBE_IOVA,
		.ua = buf_alloc(page_size, page_size),
	};
}

FIXTURE_TEARDOWN(fail)
{
	edu_close(&self->e.edu);
	if (self->e.f >= 0)
		close(self->e.f);
	expect_usage(_metadata, &self->e.was);
}

/*
 * ---- states to begin from ----
 *
 * Opening and closing a device has firmware reset it, for seconds. So all is
 * open until the end, and an operation that is undone leaves what it began from.
 */

static void have_file(struct __test_metadata *_metadata, void *arg)
{
	struct env *e = arg;

	if (e->f >= 0)
		return;
	e->f = iommufd_open();
	ASSERT_LE(0, e->f);
	ASSERT_LE(0, edu_open_file(&e->edu));
}

static void have_device(struct __test_metadata *_metadata, void *arg)
{
	struct env *e = arg;
	int i;

	if (e->f >= 0)
		return;
	have_file(_metadata, e);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, ioas_alloc(e->f, &e->ioas[i]));
		ASSERT_EQ(0, ioas_map(e->f, e->ioas[i], PROBE_IOVA,
				      e->probe.ua, page_size));
		ASSERT_EQ(0, ioas_map(e->f, e->ioas[i], SPOT,
				      e->buf + i * SZ_64K, SZ_64K));
	}
	ASSERT_EQ(0, edu_bind(&e->edu, e->f, &e->dev));
	ASSERT_EQ(0, edu_start(&e->edu));
}

static void have_attached(struct __test_metadata *_metadata, void *arg)
{
	struct env *e = arg;

	if (e->f >= 0)
		return;
	have_device(_metadata, e);
	ASSERT_EQ(0, edu_attach(&e->edu, e->ioas[0]));
}

/* The domain is new: only the probe and the spot have levels in it. */
static void have_new_domain(struct __test_metadata *_metadata, void *arg)
{
	struct env *e = arg;

	have_attached(_metadata, e);
	ASSERT_EQ(0, edu_detach(&e->edu));
	ASSERT_EQ(0, edu_attach(&e->edu, e->ioas[0]));
}

/* ---- what the device reaches ---- */

/* The memory that IOAS @i maps, and no other. */
static long reaches_ioas(struct env *e, int i)
{
	struct spot spot = { SPOT, e->buf + i * SZ_64K };

	return probe_spots(&e->probe, &spot, 1);
}

static long reaches_first(void *arg)
{
	return reaches_ioas(arg, 0);
}

static long reaches_second(void *arg)
{
	return reaches_ioas(arg, 1);
}

/* Not even the probe */
static long reaches_nothing(void *arg)
{
	struct env *e = arg;

	e->probe.ua[0] = 1;
	edu_store(&e->edu, PROBE_IOVA, 0, 64);
	return e->probe.ua[0] == 1 ? 0 : -1;
}

/* ---- files, objects ---- */

static long alloc_ioas(void *arg)
{
	struct env *e = arg;

	return ioas_alloc(e->f, &e->made);
}

static long destroy_it(void *arg)
{
	struct env *e = arg;

	return iommufd_destroy(e->f, e->made);
}

TEST_F_TIMEOUT(fail, ioas_alloc, 900)
{
	static const struct op op = {
		.prepare = have_file, .run = alloc_ioas, .undo = destroy_it,
		.errors = { -ENOMEM }, .least = 1,
	};

	fail_nth(_metadata, &op, &self->e);
}

static long bind_it(void *arg)
{
	struct env *e = arg;

	return edu_bind(&e->edu, e->f, &e->dev);
}

/* Closing the file unbinds the device. */
static long open_again(void *arg)
{
	struct env *e = arg;
	int ret;

	edu_close(&e->edu);
	ret = edu_open_file(&e->edu);
	return ret < 0 ? ret : 0;
}

TEST_F_TIMEOUT(fail, bind, 900)
{
	static const struct op op = {
		.prepare = have_file, .run = bind_it, .undo = open_again,
		.errors = { -ENOMEM }, .least = 1,
	};

	fail_nth(_metadata, &op, &self->e);
}

static long alloc_hwpt(void *arg)
{
	struct env *e = arg;

	return hwpt_alloc(e->f, e->dev, e->ioas[0], &e->made);
}

static long hwpt_works(void *arg)
{
	struct env *e = arg;
	long ret = edu_attach(&e->edu, e->made);

	if (!ret)
		ret = reaches_first(e);
	return ret ? ret : edu_detach(&e->edu);
}

/* Two tables, and levels for what the IOAS maps already */
TEST_F_TIMEOUT(fail, hwpt_alloc, 900)
{
	static const struct op op = {
		.prepare = have_device, .run = alloc_hwpt,
		.intact = reaches_nothing, .works = hwpt_works,
		.undo = destroy_it, .errors = { -ENOMEM }, .least = 8,
	};

	fail_nth(_metadata, &op, &self->e);
}

/* ---- attaching ---- */

static long attach_first(void *arg)
{
	struct env *e = arg;

	return edu_attach(&e->edu, e->ioas[0]);
}

static long attach_second(void *arg)
{
	struct env *e = arg;

	return edu_attach(&e->edu, e->ioas[1]);
}

static long detach(void *arg)
{
	struct env *e = arg;

	return edu_detach(&e->edu);
}

TEST_F_TIMEOUT(fail, attach, 900)
{
	static const struct op op = {
		.prepare = have_device, .run = attach_first,
		.intact = reaches_nothing, .works = reaches_first,
		.undo = detach, .errors = { -ENOMEM }, .least = 10,
	};

	fail_nth(_metadata, &op, &self->e);
}

TEST_F_TIMEOUT(fail, move, 900)
{
	static const struct op op = {
		.prepare = have_attached, .run = attach_second,
		.intact = reaches_first, .works = reaches_second,
		.undo = attach_first, .errors = { -ENOMEM }, .least = 8,
	};

	fail_nth(_metadata, &op, &self->e);
}

TEST_F_TIMEOUT(fail, detach, 900)
{
	static const struct op op = {
		.prepare = have_attached, .run = detach,
		.works = reaches_nothing, .undo = attach_first,
	};

	fail_nth(_metadata, &op, &self->e);
}

/* ---- mapping ---- */

static long map_it(void *arg)
{
	struct env *e = arg;

	return ioas_map(e->f, e->ioas[0], e->at, e->buf, e->bytes);
}

static long unmap_it(void *arg)
{
	struct env *e = arg;

	return ioas_unmap(e->f, e->ioas[0], e->at, e->bytes);
}

/* The device's view of the first and the last page */
static long reaches_pages(struct env *e, bool mapped)
{
	struct spot spots[] = {
		{ e->at, mapped ? e->buf : NULL },
		{ e->at + e->bytes - SZ_4K,
		  mapped ? e->buf + e->bytes - SZ_4K : NULL },
		{ SPOT, e->buf },
	};

	return probe_spots(&e->probe, spots, 3);
}

static long is_mapped(void *arg)
{
	return reaches_pages(arg, true);
}

static long is_not_mapped(void *arg)
{
	return reaches_pages(arg, false);
}

static const struct op map_op = {
	.prepare = have_new_domain, .run = map_it, .intact = is_not_mapped,
	.works = is_mapped, .undo = unmap_it, .errors = { -ENOMEM },
	.least = 4,
};

TEST_F_TIMEOUT(fail, map, 900)
{
	self->e.at = 1UL << 40;
	fail_nth(_metadata, &map_op, &self->e);
}

TEST_F_TIMEOUT(fail, map_in_window_1, 900)
{
	self->e.at = WINDOW1_START + SZ_1T;
	fail_nth(_metadata, &map_op, &self->e);
}

static void have_mapped(struct __test_metadata *_metadata, void *arg)
{
	struct env *e = arg;
	bool first = e->f < 0;

	have_attached(_metadata, e);
	if (first)
		ASSERT_EQ(0, map_it(e));
}

TEST_F_TIMEOUT(fail, unmap, 900)
{
	static const struct op op = {
		.prepare = have_mapped, .run = unmap_it,
		.works = is_not_mapped, .undo = map_it,
	};

	self->e.at = 1UL << 40;
	fail_nth(_metadata, &op, &self->e);
}

TEST_HARNESS_MAIN
