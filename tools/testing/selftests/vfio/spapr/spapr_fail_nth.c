// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each ioctl of the containers with each of its allocations failing in turn: it
 * fails with ENOMEM, changes nothing, keeps no charge, and can be done again.
 */
#include <sys/mman.h>

#include "fail_nth.h"

#define BUF_SIZE	(4 * SZ_1M)

struct env {
	struct usage was;
	struct edu edu[2];
	int groups;
	int c;
	unsigned long type;
	/* what is registered, and where in the window it is mapped */
	char *buf;
	size_t bytes;
	uint64_t at;
	/* so much of it is a region of its own, which nobody looks at */
	size_t apart;
	/* the window that is worked on */
	unsigned int shift;
	unsigned int levels;
	uint64_t size;
	uint64_t start;
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
	e->groups = edu_find(e->edu, 2);
	if (!e->groups)
		SKIP(return, "no edu device is bound to vfio-pci");
	e->was = usage_at_rest();
	e->c = -1;
	e->type = VFIO_SPAPR_TCE_v2_IOMMU;
	e->shift = page_shift;
	e->levels = 1;
	e->size = SZ_1G;
	e->bytes = BUF_SIZE;
	e->at = SZ_1M;
	e->buf = buf_alloc(e->bytes, SZ_64K);
	buf_tag(e->buf, e->bytes);
}

FIXTURE_TEARDOWN(fail)
{
	int i;

	for (i = 0; i < self->e.groups; i++)
		edu_close_group(&self->e.edu[i]);
	if (self->e.c >= 0)
		close(self->e.c);
	expect_usage(_metadata, &self->e.was);
}

/* ---- states to begin from ---- */

/* A container that has no group yet; the group is open. */
static void have_container(struct __test_metadata *_metadata, void *arg)
{
	struct env *e = arg;

	e->c = container_open();
	ASSERT_LE(0, edu_open_group(&e->edu[0]));
}

static void no_container(struct __test_metadata *_metadata, void *arg)
{
	struct env *e = arg;

	edu_close_group(&e->edu[0]);
	close(e->c);
	e->c = -1;
}

static void have_group(struct __test_metadata *_metadata, void *arg)
{
	struct env *e = arg;

	have_container(_metadata, e);
	ASSERT_EQ(0, container_add(e->c, &e->edu[0]));
}

/* A container with one group, and the default window still to be made. */
static void have_iommu(struct __test_metadata *_metadata, void *arg)
{
	struct env *e = arg;

	have_group(_metadata, e);
	ASSERT_EQ(0, container_set_iommu(e->c, e->type));
}

static void have_memory(struct __test_metadata *_metadata, void *arg)
{
	struct env *e = arg;

	have_iommu(_metadata, e);
	if (e->apart) {
		ASSERT_EQ(0, spapr_register(e->c, e->buf, e->apart));
	}
	ASSERT_EQ(0, spapr_register(e->c, e->buf + e->apart,
				    e->bytes - e->apart));
}

/* The window is the only one. */
static void have_no_window(struct __test_metadata *_metadata, void *arg)
{
	struct env *e = arg;

	have_memory(_metadata, e);
	ASSERT_EQ(0, spapr_remove(e->c, SLOT0_START));
}

static void have_window(struct __test_metadata *_metadata, void *arg)
{
	struct env *e = arg;

	have_no_window(_metadata, e);
	ASSERT_EQ(0, spapr_create(e->c, e->shift, e->size, e->levels,
				  &e->start));
}

/* ---- the container ---- */

static long add_group(void *arg)
{
	struct env *e = arg;

	return container_add(e->c, &e->edu[0]);
}

static long del_group(void *arg)
{
	struct env *e = arg;

	return container_del(e->c, &e->edu[0]);
}

TEST_F(fail, set_container)
{
	static const struct op op = {
		.prepare = have_container, .run = add_group, .undo = del_group,
		.cleanup = no_container, .errors = { -ENOMEM },
	};

	fail_nth(_metadata, &op, &self->e);
}

static long set_iommu(void *arg)
{
	struct env *e = arg;

	return container_set_iommu(e->c, e->type);
}

static long has_no_iommu(void *arg)
{
	struct vfio_iommu_spapr_tce_info info;
	struct env *e = arg;

	return spapr_info(e->c, &info) == -EINVAL ? 0 : -1;
}

static long has_iommu(void *arg)
{
	struct vfio_iommu_spapr_tce_info info;
	struct env *e = arg;

	return spapr_info(e->c, &info);
}

static const struct op set_iommu_op = {
	.prepare = have_group, .run = set_iommu, .intact = has_no_iommu,
	.works = has_iommu, .undo = del_group, .cleanup = no_container,
	/* VFIO asks one driver after the other, and reports the last. */
	.errors = { -ENOMEM, -ENODEV }, .least = 2,
};

TEST_F(fail, set_iommu)
{
	fail_nth(_metadata, &set_iommu_op, &self->e);
}

TEST_F(fail, set_iommu_v1)
{
	self->e.type = VFIO_SPAPR_TCE_IOMMU;
	fail_nth(_metadata, &set_iommu_op, &self->e);
}

static long add_back(void *arg)
{
	long ret = add_group(arg);

	return ret ? ret : set_iommu(arg);
}

TEST_F(fail, unset_container)
{
	static const struct op op = {
		.prepare = have_iommu, .run = del_group, .undo = add_back,
		.cleanup = no_container,
	};

	fail_nth(_metadata, &op, &self->e);
}

static long add_second(void *arg)
{
	struct env *e = arg;

	return container_add(e->c, &e->edu[1]);
}

static long del_second(void *arg)
{
	struct env *e = arg;

	return container_del(e->c, &e->edu[1]);
}

/* Both windows are there, and mapped. */
static void have_two_windows(struct __test_metadata *_metadata, void *arg)
{
	struct env *e = arg;

	have_memory(_metadata, e);
	ASSERT_EQ(0, spapr_create(e->c, e->shift, e->size, e->levels,
				  &e->start));
	ASSERT_EQ(0, spapr_map(e->c, SLOT0_START, e->buf, SZ_64K));
	ASSERT_EQ(0, spapr_map(e->c, e->start, e->buf, SZ_1M));
	ASSERT_LE(0, edu_open_group(&e->edu[1]));
}

static void no_two_windows(struct __test_metadata *_metadata, void *arg)
{
	struct env *e = arg;

	edu_close_group(&e->edu[1]);
	no_container(_metadata, e);
}

/* The window of the first group is not touched. */
static long memory_is_busy(void *arg)
{
	struct env *e = arg;

	return spapr_unregister(e->c, e->buf + e->apart,
				e->bytes - e->apart) == -EBUSY ? 0 : -1;
}

/* The second device gets through either window, from one to the other. */
static long second_has_windows(void *arg)
{
	struct env *e = arg;
	struct edu *edu = &e->edu[1];
	char *from = e->buf, *to = e->buf + SZ_64K;
	long ret = edu_open(edu);

	if (ret)
		return ret;
	edu_copy(edu, e->start + SZ_64K, SLOT0_START, SZ_4K);
	ret = memcmp(from, to, SZ_4K);
	edu_close(edu);
	buf_tag(to, SZ_4K);
	return ret ?: memory_is_busy(e);
}

TEST_F(fail, second_group)
{
	static const struct op op = {
		.prepare = have_two_windows, .run = add_second,
		.intact = memory_is_busy, .works = second_has_windows,
		.undo = del_second, .cleanup = no_two_windows,
		.errors = { -ENOMEM }, .least = 3,
	};

	if (self->e.groups < 2)
		SKIP(return, "no two groups with an edu device each");
	fail_nth(_metadata, &op, &self->e);
}

static void have_two_groups(struct __test_metadata *_metadata, void *arg)
{
	have_two_windows(_metadata, arg);
	ASSERT_EQ(0, add_second(arg));
}

TEST_F(fail, second_group_leaves)
{
	static const struct op op = {
		.prepare = have_two_groups, .run = del_second,
		.intact = memory_is_busy, .works = memory_is_busy,
		.undo = add_second, .cleanup = no_two_windows,
	};

	if (self->e.groups < 2)
		SKIP(return, "no two groups with an edu device each");
	fail_nth(_metadata, &op, &self->e);
}

TEST_F(fail, get_info)
{
	static const struct op op = {
		.prepare = have_iommu, .run = has_iommu,
		.cleanup = no_container,
	};

	fail_nth(_metadata, &op, &self->e);
}

static long eeh_state(void *arg)
{
	struct env *e = arg;

	return spapr_eeh(e->c, VFIO_EEH_PE_GET_STATE);
}

TEST_F(fail, eeh)
{
	static const struct op op = {
		.prepare = have_iommu, .run = eeh_state,
		.cleanup = no_container,
	};

	fail_nth(_metadata, &op, &self->e);
}

/* ---- memory ---- */

static long register_buf(void *arg)
{
	struct env *e = arg;

	return spapr_register(e->c, e->buf + e->apart, e->bytes - e->apart);
}

static long unregister_buf(void *arg)
{
	struct env *e = arg;

	return spapr_unregister(e->c, e->buf + e->apart, e->bytes - e->apart);
}

static long is_not_registered(void *arg)
{
	return unregister_buf(arg) == -ENOENT ? 0 : -1;
}

static long is_registered(void *arg)
{
	return register_buf(arg) == -EBUSY ? 0 : -1;
}

/* The process has registered something else already. */
static void have_other_memory(struct __test_metadata *_metadata, void *arg)
{
	struct env *e = arg;
	char *other = buf_alloc(page_size, page_size);

	have_iommu(_metadata, e);
	ASSERT_EQ(0, spapr_register(e->c, other, page_size));
}

static const struct op register_op = {
	.prepare = have_other_memory, .run = register_buf,
	.intact = is_not_registered, .works = is_registered,
	.undo = unregister_buf, .cleanup = no_container,
	.errors = { -ENOMEM }, .least = 3,
};

TEST_F(fail, register_memory)
{
	fail_nth(_metadata, &register_op, &self->e);
}

/* Memory that the process has not touched: it is faulted in by being pinned. */
static void have_untouched(struct __test_metadata *_metadata, void *arg)
{
	struct env *e = arg;

	have_other_memory(_metadata, e);
	e->buf = buf_alloc(e->bytes, SZ_64K);
}

TEST_F(fail, register_untouched)
{
	struct op op = register_op;

	op.prepare = have_untouched;
	fail_nth(_metadata, &op, &self->e);
}

TEST_F(fail, register_page)
{
	self->e.bytes = page_size;
	fail_nth(_metadata, &register_op, &self->e);
}

TEST_F(fail, register_huge)
{
	self->e.bytes = SZ_16M;
	self->e.buf = buf_alloc_huge(SZ_16M, 21);
	if (!self->e.buf)
		SKIP(return, "no huge pages");
	buf_tag(self->e.buf, SZ_16M);
	fail_nth(_metadata, &register_op, &self->e);
}

/*
 * The first memory of a process: its registry lives as long as the process, so
 * each time has a process of its own. Returns 1 if an allocation failed.
 */
struct first {
	struct env *e;
	unsigned int n;
};

static int register_first(void *arg)
{
	struct first *f = arg;
	int fd = open(FAIL_NTH_FILE, O_RDWR | O_CLOEXEC);
	long locked = locked_kb(), ret;
	bool injected;

	fail_nth_begin(fd, f->n);
	ret = register_buf(f->e);
	injected = fail_nth_end(fd);
	if (ret && (ret != -ENOMEM || !injected || locked != locked_kb() ||
		    is_not_registered(f->e) || register_buf(f->e)))
		return -100;
	if (unregister_buf(f->e) || locked != locked_kb())
		return -101;
	return injected ? -1 : 0;
}

TEST_F(fail, register_first)
{
	struct first f = { .e = &self->e, .n = 1 };
	int ret;

	do {
		have_iommu(_metadata, &self->e);
		ret = in_child(register_first, &f);
		no_container(_metadata, &self->e);
		ASSERT_LE(-1, ret) {
			TH_LOG("allocation %u", f.n);
		}
		f.n++;
	} while (ret);
	EXPECT_LT(4, f.n);
}

TEST_F(fail, unregister_memory)
{
	static const struct op op = {
		.prepare = have_memory, .run = unregister_buf,
		.works = is_not_registered, .undo = register_buf,
		.cleanup = no_container,
	};

	fail_nth(_metadata, &op, &self->e);
}

/* ---- windows ---- */

static long create(void *arg)
{
	struct env *e = arg;

	return spapr_create(e->c, e->shift, e->size, e->levels, &e->start);
}

static long remove_it(void *arg)
{
	struct env *e = arg;

	return spapr_remove(e->c, e->start);
}

static long has_no_window(void *arg)
{
	struct env *e = arg;

	return spapr_unmap(e->c, SLOT0_START, SZ_64K) == -ENXIO &&
	       spapr_unmap(e->c, SLOT1_START, SZ_64K) == -ENXIO ? 0 : -1;
}

static long has_window(void *arg)
{
	struct env *e = arg;
	uint64_t last = e->start + e->size - SZ_64K;

	return spapr_unmap(e->c, last, SZ_64K) ||
	       spapr_unmap(e->c, last, 2 * SZ_64K) != -EINVAL;
}

static const struct op create_op = {
	.prepare = have_no_window, .run = create, .intact = has_no_window,
	.works = has_window, .undo = remove_it, .cleanup = no_container,
	.errors = { -ENOMEM }, .least = 4,
};

TEST_F(fail, create)
{
	fail_nth(_metadata, &create_op, &self->e);
}

TEST_F(fail, create_levels)
{
	self->e.size = SZ_1T;
	for (self->e.levels = 2; self->e.levels <= 4; self->e.levels++)
		fail_nth(_metadata, &create_op, &self->e);
}

/* The default window comes with it, and goes again with the last of both. */
static long undo_both(void *arg)
{
	struct env *e = arg;
	long ret = spapr_remove(e->c, e->start);

	return ret ? ret : spapr_remove(e->c, SLOT0_START);
}

static long default_is_pending(void *arg)
{
	struct env *e = arg;

	return spapr_unmap(e->c, SLOT1_START, SZ_64K) == -ENXIO ? 0 : -1;
}

TEST_F(fail, create_with_default)
{
	static const struct op op = {
		.prepare = have_memory, .run = create, .works = has_window,
		.undo = undo_both, .cleanup = no_container,
		.errors = { -ENOMEM }, .least = 8,
	};

	fail_nth(_metadata, &op, &self->e);
}

static void have_groups_without_windows(struct __test_metadata *_metadata,
					void *arg)
{
	struct env *e = arg;

	have_no_window(_metadata, e);
	ASSERT_LE(0, edu_open_group(&e->edu[1]));
	ASSERT_EQ(0, add_second(e));
	/* It brought no default window. */
	ASSERT_EQ(0, has_no_window(e));
}

TEST_F(fail, create_for_two_groups)
{
	struct op op = create_op;

	if (self->e.groups < 2)
		SKIP(return, "no two groups with an edu device each");
	op.prepare = have_groups_without_windows;
	op.cleanup = no_two_windows;
	fail_nth(_metadata, &op, &self->e);
}

/* All of the window's kinds of chunks go with it. */
static void have_mapped(struct __test_metadata *_metadata, void *arg)
{
	struct env *e = arg;
	int i;

	have_window(_metadata, e);
	ASSERT_EQ(0, spapr_map(e->c, e->start, e->buf, BUF_SIZE));
	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, spapr_map(e->c, e->start + SZ_1G / 2 + i * SZ_64K,
				       e->buf + (7 - i) * SZ_64K, SZ_64K));
}

static long map_anew(void *arg)
{
	struct env *e = arg;
	long ret = create(e);

	return ret ? ret : spapr_map(e->c, e->start, e->buf, BUF_SIZE);
}

TEST_F(fail, remove)
{
	static const struct op op = {
		.prepare = have_mapped, .run = remove_it,
		.works = has_no_window, .undo = map_anew,
		.cleanup = no_container,
	};

	self->e.levels = 2;
	fail_nth(_metadata, &op, &self->e);
}

/* ---- entries ---- */

static long is_not_mapped(void *arg)
{
	long ret = unregister_buf(arg);

	return ret ? ret : register_buf(arg);
}

static long unmap_all(void *arg)
{
	struct env *e = arg;

	return spapr_unmap(e->c, e->start, e->size);
}

/* Unmapped, nothing points into the memory any more. */
static long unmap_and_look(void *arg)
{
	long ret = unmap_all(arg);

	return ret ? ret : is_not_mapped(arg);
}

static long map_one(void *arg)
{
	struct env *e = arg;

	return spapr_map(e->c, e->start + SZ_1G / 4, e->buf, SZ_64K);
}

static long map_many(void *arg)
{
	struct env *e = arg;

	return spapr_map(e->c, e->start + e->at, e->buf, e->bytes);
}

static const struct op map_op = {
	.prepare = have_window, .intact = is_not_mapped,
	.works = memory_is_busy, .undo = unmap_and_look,
	.cleanup = no_container, .errors = { -ENOMEM }, .least = 1,
};

/* In windows of one to four levels, of entries of 64 KiB */
static void fail_map(struct __test_metadata *_metadata, struct env *e,
		     long (*run)(void *arg))
{
	struct op op = map_op;

	op.run = run;
	e->shift = 16;
	for (e->levels = 1; e->levels <= 4; e->levels++) {
		/* All but the topmost; the view needs nothing for so little. */
		op.least = e->levels - 1;
		fail_nth(_metadata, &op, e);
	}
}

TEST_F(fail, map_one)
{
	fail_map(_metadata, &self->e, map_one);
}

TEST_F(fail, map_many)
{
	fail_map(_metadata, &self->e, map_many);
}

/* Entries of 4 KiB: a view of several chunks, each a node or more */
TEST_F(fail, map_chunks)
{
	struct op op = map_op;

	op.run = map_many;
	self->e.shift = 12;
	self->e.size = 1UL << 36;
	/* One level would be too large. */
	for (self->e.levels = 2; self->e.levels <= 4; self->e.levels++)
		fail_nth(_metadata, &op, &self->e);
}

/* An entry that does not continue the others makes its chunk dense. */
static void have_a_run(struct __test_metadata *_metadata, void *arg)
{
	struct env *e = arg;

	have_window(_metadata, e);
	ASSERT_EQ(0, spapr_map(e->c, e->start, e->buf, SZ_1M));
}

static long map_apart(void *arg)
{
	struct env *e = arg;

	return spapr_map(e->c, e->start + SZ_1M / 2, e->buf + SZ_1M, SZ_64K);
}

static long unmap_apart(void *arg)
{
	struct env *e = arg;

	return spapr_map(e->c, e->start, e->buf, SZ_1M);
}

TEST_F(fail, map_makes_dense)
{
	struct op op = {
		.prepare = have_a_run, .run = map_apart,
		.intact = is_not_mapped, .works = memory_is_busy,
		.undo = unmap_apart, .cleanup = no_container,
		.errors = { -ENOMEM }, .least = 1,
	};

	self->e.apart = SZ_1M;
	for (self->e.shift = 12; self->e.shift <= 16; self->e.shift += 4)
		fail_nth(_metadata, &op, &self->e);
}

/* Both ends of a long run are in chunks that get dense. */
static void have_ends(struct __test_metadata *_metadata, void *arg)
{
	struct env *e = arg;

	have_window(_metadata, e);
	ASSERT_EQ(0, spapr_map(e->c, e->start, e->buf, SZ_64K));
	ASSERT_EQ(0, spapr_map(e->c, e->start + SZ_1M + BUF_SIZE, e->buf,
			       SZ_64K));
}

static long unmap_many(void *arg)
{
	struct env *e = arg;

	return spapr_unmap(e->c, e->start + e->at, e->bytes);
}

TEST_F(fail, map_many_makes_dense)
{
	struct op op = {
		.prepare = have_ends, .run = map_many,
		.intact = is_not_mapped, .works = memory_is_busy,
		.undo = unmap_many, .cleanup = no_container,
		.errors = { -ENOMEM }, .least = 2,
	};

	self->e.apart = SZ_1M;
	self->e.shift = 12;
	fail_nth(_metadata, &op, &self->e);
}

/* The first MAP of all makes the default window. */
static long map_default(void *arg)
{
	struct env *e = arg;

	return spapr_map(e->c, SLOT0_START, e->buf, SZ_64K);
}

static long remove_default(void *arg)
{
	struct env *e = arg;

	return spapr_remove(e->c, SLOT0_START);
}

TEST_F(fail, map_first)
{
	static const struct op op = {
		.prepare = have_memory, .run = map_default,
		.intact = default_is_pending, .works = memory_is_busy,
		.undo = remove_default, .cleanup = no_container,
		.errors = { -ENOMEM }, .least = 5,
	};

	fail_nth(_metadata, &op, &self->e);
}

/* Large entries, each of contiguous memory */
TEST_F(fail, map_huge)
{
	struct vfio_iommu_spapr_tce_info info;
	struct op op = map_op;
	struct env *e = &self->e;

	have_iommu(_metadata, e);
	ASSERT_EQ(0, spapr_info(e->c, &info));
	no_container(_metadata, e);
	e->shift = info.ddw.pgsizes & (1 << 21) ? 21 : 24;
	e->bytes = SZ_16M;
	e->at = SZ_16M;
	e->buf = buf_alloc_huge(e->bytes, e->shift);
	if (!(info.ddw.pgsizes & (1 << e->shift)) || !e->buf)
		SKIP(return, "no huge pages");
	buf_tag(e->buf, e->bytes);
	e->size = 1UL << 36;
	e->levels = 2;
	op.run = map_many;
	fail_nth(_metadata, &op, e);
}

/* A hole in a run needs memory for what is left; other UNMAPs cannot fail. */
static long punch(void *arg)
{
	struct env *e = arg;

	return spapr_unmap(e->c, e->start + SZ_1M / 2, SZ_64K);
}

/* All but the hole is unmapped, and that was all. */
static long hole_is_there(void *arg)
{
	struct env *e = arg;
	uint64_t hole = e->start + SZ_1M / 2;
	long ret;

	ret = spapr_unmap(e->c, e->start, SZ_1M / 2) ?:
	      spapr_unmap(e->c, hole + SZ_64K, SZ_1M / 2 - SZ_64K);
	return ret ?: is_not_mapped(e);
}

TEST_F(fail, unmap_hole)
{
	struct op op = {
		.prepare = have_a_run, .run = punch, .works = hole_is_there,
		.intact = memory_is_busy, .undo = unmap_apart,
		.cleanup = no_container, .errors = { -ENOMEM },
	};

	for (self->e.shift = 12; self->e.shift <= 16; self->e.shift += 4)
		fail_nth(_metadata, &op, &self->e);
}

static void have_many(struct __test_metadata *_metadata, void *arg)
{
	have_window(_metadata, arg);
	ASSERT_EQ(0, map_many(arg));
}

TEST_F(fail, unmap_many)
{
	static const struct op op = {
		.prepare = have_many, .run = unmap_all,
		.works = is_not_mapped, .undo = map_many,
		.cleanup = no_container,
	};

	fail_nth(_metadata, &op, &self->e);
}

/* ---- the first version ---- */

static long enable(void *arg)
{
	struct env *e = arg;

	return spapr_ioctl(e->c, VFIO_IOMMU_ENABLE, NULL);
}

static long disable(void *arg)
{
	struct env *e = arg;

	return spapr_ioctl(e->c, VFIO_IOMMU_DISABLE, NULL);
}

static void have_enabled(struct __test_metadata *_metadata, void *arg)
{
	have_iommu(_metadata, arg);
	ASSERT_EQ(0, enable(arg));
	/* which makes the window */
	ASSERT_EQ(0, spapr_unmap(((struct env *)arg)->c, 0, SZ_64K));
}

static long unmap_default(void *arg)
{
	struct env *e = arg;

	return spapr_unmap(e->c, SLOT0_START, BUF_SIZE);
}

static long map_v1(void *arg)
{
	struct env *e = arg;

	return spapr_map(e->c, SLOT0_START, e->buf, BUF_SIZE);
}

TEST_F(fail, enable)
{
	static const struct op op = {
		.prepare = have_iommu, .run = enable, .undo = disable,
		.cleanup = no_container, .errors = { -ENOMEM },
	};

	self->e.type = VFIO_SPAPR_TCE_IOMMU;
	fail_nth(_metadata, &op, &self->e);
}

TEST_F(fail, map_v1)
{
	static const struct op op = {
		.prepare = have_enabled, .run = map_v1, .undo = unmap_default,
		.cleanup = no_container, .errors = { -ENOMEM },
	};

	self->e.type = VFIO_SPAPR_TCE_IOMMU;
	fail_nth(_metadata, &op, &self->e);
}

static long enable_and_map(void *arg)
{
	long ret = enable(arg);

	return ret ? ret : map_v1(arg);
}

static void have_mapped_v1(struct __test_metadata *_metadata, void *arg)
{
	have_enabled(_metadata, arg);
	ASSERT_EQ(0, map_v1(arg));
}

TEST_F(fail, disable)
{
	static const struct op op = {
		.prepare = have_mapped_v1, .run = disable,
		.undo = enable_and_map, .cleanup = no_container,
	};

	self->e.type = VFIO_SPAPR_TCE_IOMMU;
	fail_nth(_metadata, &op, &self->e);
}

TEST_HARNESS_MAIN
