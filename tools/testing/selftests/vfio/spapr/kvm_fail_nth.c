// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each ioctl of KVM that makes or attaches a TCE table, and each hypercall that
 * changes one, with each of its allocations failing in turn. A hypercall then
 * changes nothing, in the guest's table or in the hardware's; it fails, or user
 * space is asked to do it.
 */
#include "fail_nth.h"
#include "kvm_fixture.h"

/* Entries of 64 KiB in a window of three levels: all of them can be missing */
#define SHIFT		16
#define WINDOW_SIZE	SZ_1T
#define LEVELS		3

struct env {
	struct guest g;
	enum mmu mmu;
	/* the fd of the LIOBN that is made */
	int fd;
	/* the entry that hypercalls begin at */
	uint64_t i;
};

FIXTURE(fail)
{
	struct env e;
};

FIXTURE_VARIANT(fail)
{
	enum mmu mmu;
};

FIXTURE_VARIANT_ADD(fail, hash)
{
	.mmu = HASH,
};

FIXTURE_VARIANT_ADD(fail, radix)
{
	.mmu = RADIX,
};

FIXTURE_SETUP(fail)
{
	struct guest *g = &self->e.g;

	if (!fail_nth_setup())
		SKIP(return, "this kernel has no fault injection");
	if (!guest_setup(_metadata, g, variant->mmu, true))
		return;
	self->e.i = 5000;
	ASSERT_EQ(0, spapr_remove(g->c, SLOT0_START));
	/* KVM's device, and whatever else is only made once */
	ASSERT_EQ(0, vm_group_add(&g->vm, g->edu[0].group_fd));
	ASSERT_EQ(0, vm_group_del(&g->vm, g->edu[0].group_fd));
}

FIXTURE_TEARDOWN(fail)
{
	guest_teardown(_metadata, &self->e.g);
}

/* ---- making and attaching tables ---- */

static long make_liobn(void *arg)
{
	struct env *e = arg;

	e->fd = vm_liobn(&e->g.vm, LIOBN, SHIFT, 0, WINDOW_SIZE >> SHIFT);
	return e->fd;
}

static long make_liobn_32(void *arg)
{
	struct env *e = arg;

	e->fd = vm_liobn_32(&e->g.vm, LIOBN, SZ_1G);
	return e->fd;
}

/* Its number is not taken. */
static long no_liobn(void *arg)
{
	struct env *e = arg;
	int fd = vm_liobn(&e->g.vm, LIOBN, 12, 0, 16);

	if (fd < 0)
		return fd;
	return close(fd);
}

static long close_liobn(void *arg)
{
	struct env *e = arg;

	return close(e->fd);
}

TEST_F(fail, create_table)
{
	struct op op = {
		.run = make_liobn, .intact = no_liobn, .undo = close_liobn,
		.errors = { -ENOMEM, -ENFILE }, .least = 3,
	};

	fail_nth(_metadata, &op, &self->e);
	op.run = make_liobn_32;
	fail_nth(_metadata, &op, &self->e);
}

static void have_table(struct __test_metadata *_metadata, void *arg)
{
	struct guest *g = &((struct env *)arg)->g;

	guest_liobn(_metadata, g, SHIFT, 0, WINDOW_SIZE >> SHIFT);
}

static void no_table(struct __test_metadata *_metadata, void *arg)
{
	guest_close_liobn(&((struct env *)arg)->g);
}

/* A fault that finds no memory is tried again. */
static long touch(void *arg)
{
	struct env *e = arg;

	return e->g.view[e->i] ? -1 : 0;
}

TEST_F(fail, mmap_fault)
{
	static const struct op op = {
		.prepare = have_table, .run = touch, .works = touch,
		.cleanup = no_table, .least = 2,
	};

	fail_nth(_metadata, &op, &self->e);
}

static long add_group(void *arg)
{
	struct guest *g = &((struct env *)arg)->g;

	return vm_group_add(&g->vm, g->edu[0].group_fd);
}

static long del_group(void *arg)
{
	struct guest *g = &((struct env *)arg)->g;

	return vm_group_del(&g->vm, g->edu[0].group_fd);
}

TEST_F(fail, group_add)
{
	static const struct op op = {
		.run = add_group, .undo = del_group, .errors = { -ENOMEM },
		.least = 1,
	};

	fail_nth(_metadata, &op, &self->e);
}

/* The window, a table like it, and the group; not attached yet */
static void have_all(struct __test_metadata *_metadata, void *arg)
{
	struct guest *g = &((struct env *)arg)->g;
	uint64_t start;

	ASSERT_EQ(0, spapr_create(g->c, SHIFT, WINDOW_SIZE, LEVELS, &start));
	ASSERT_EQ(0, start);
	have_table(_metadata, arg);
	ASSERT_EQ(0, add_group(arg));
}

static void no_all(struct __test_metadata *_metadata, void *arg)
{
	struct guest *g = &((struct env *)arg)->g;

	ASSERT_EQ(0, del_group(arg));
	no_table(_metadata, arg);
	ASSERT_EQ(0, spapr_remove(g->c, 0));
}

static long attach(void *arg)
{
	struct guest *g = &((struct env *)arg)->g;

	return vm_attach(&g->vm, g->edu[0].group_fd, g->table);
}

/* Entries that the guest maps go to the window, or do not. */
static long maps(struct env *e)
{
	struct guest *g = &e->g;
	long ret;

	ret = put(g, e->i, gpa(A, 0) | TCE_RW);
	if (!ret)
		ret = busy(g, A);
	put(g, e->i, 0);
	return ret;
}

static long is_attached(void *arg)
{
	return maps(arg) == 1 ? 0 : -1;
}

static long is_not_attached(void *arg)
{
	return maps(arg);
}

/* A window that is removed is not attached to anything. */
static long new_window(void *arg)
{
	struct guest *g = &((struct env *)arg)->g;
	uint64_t start;
	long ret;

	ret = spapr_remove(g->c, 0);
	return ret ? ret : spapr_create(g->c, SHIFT, WINDOW_SIZE, LEVELS,
					&start);
}

TEST_F(fail, attach)
{
	static const struct op op = {
		.prepare = have_all, .run = attach, .intact = is_not_attached,
		.works = is_attached, .undo = new_window, .cleanup = no_all,
		.errors = { -ENOMEM }, .least = 3,
	};

	fail_nth(_metadata, &op, &self->e);
}

/* A step that takes memory can fail; letting go of a window cannot. */
static long remove_window(void *arg)
{
	return spapr_remove(((struct env *)arg)->g.c, 0);
}

static void have_attached_window(struct __test_metadata *_metadata, void *arg)
{
	have_all(_metadata, arg);
	ASSERT_EQ(0, attach(arg));
}

static long attach_new_window(void *arg)
{
	struct guest *g = &((struct env *)arg)->g;
	uint64_t start;
	long ret;

	ret = spapr_create(g->c, SHIFT, WINDOW_SIZE, LEVELS, &start);
	return ret ? ret : attach(arg);
}

TEST_F(fail, remove_attached)
{
	static const struct op op = {
		.prepare = have_attached_window, .run = remove_window,
		.works = is_not_attached, .undo = attach_new_window,
		.cleanup = no_all,
	};

	fail_nth(_metadata, &op, &self->e);
}

/* ---- hypercalls ---- */

static void have_attached(struct __test_metadata *_metadata, void *arg)
{
	have_all(_metadata, arg);
	ASSERT_EQ(0, attach(arg));
	/* The guest is where it can do hypercalls without any ado. */
	ASSERT_EQ(H_PARAMETER, put(&((struct env *)arg)->g, 1UL << 40, 0));
}

static void no_attached(struct __test_metadata *_metadata, void *arg)
{
	no_all(_metadata, arg);
}

static long neither_is_busy(struct env *e)
{
	long ret = busy(&e->g, A);

	return ret ? ret : busy(&e->g, B);
}

/* Not one of @n entries from the first on is there. */
static long are_clear(struct env *e, unsigned long n)
{
	long wrong = wrong_entries(&e->g, e->i, n, 0, 0);

	return wrong ? wrong : neither_is_busy(e);
}

static long all_clear(void *arg)
{
	return are_clear(arg, 32);
}

static long stuff_all(void *arg)
{
	struct env *e = arg;
	long ret = stuff(&e->g, e->i, 0, 512);

	return ret ? ret : all_clear(e);
}

/* The result of a hypercall, as struct op wants it */
static long hcall_result(long ret)
{
	return ret == H_TOO_HARD ? -H_TOO_HARD : ret;
}

static long do_put(void *arg)
{
	struct env *e = arg;

	return hcall_result(put(&e->g, e->i, gpa(A, 0) | TCE_RW));
}

static long put_is_there(void *arg)
{
	struct env *e = arg;

	return entry(&e->g, e->i) == (gpa(A, 0) | TCE_RW) &&
	       busy(&e->g, A) == 1 ? 0 : -1;
}

#define HCALL_ERRORS	{ H_NOT_ENOUGH_RESOURCES, -H_TOO_HARD }

TEST_F(fail, put)
{
	static const struct op op = {
		.prepare = have_attached, .run = do_put, .intact = all_clear,
		.works = put_is_there, .undo = stuff_all,
		.cleanup = no_attached, .errors = HCALL_ERRORS, .least = 6,
	};

	fail_nth(_metadata, &op, &self->e);
}

/* A run of 16 entries */
static long do_list(void *arg)
{
	struct env *e = arg;

	return hcall_result(put_list(&e->g, e->i, 16));
}

static void have_run_list(struct __test_metadata *_metadata, void *arg)
{
	have_attached(_metadata, arg);
	fill_list(&((struct env *)arg)->g, 0, 16, gpa(A, 0) | TCE_RW, SZ_64K);
}

static long run_is_there(void *arg)
{
	struct env *e = arg;

	return wrong_entries(&e->g, e->i, 16, gpa(A, 0) | TCE_RW, SZ_64K) ||
	       busy(&e->g, A) != 1;
}

TEST_F(fail, put_list)
{
	static const struct op op = {
		.prepare = have_run_list, .run = do_list, .intact = all_clear,
		.works = run_is_there, .undo = stuff_all,
		.cleanup = no_attached, .errors = HCALL_ERRORS, .least = 6,
	};

	fail_nth(_metadata, &op, &self->e);
}

/* From two regions in turn, and over two chunks and two pages of the LIOBN's */
static void have_scattered_list(struct __test_metadata *_metadata, void *arg)
{
	struct guest *g = &((struct env *)arg)->g;
	unsigned int i;

	have_attached(_metadata, arg);
	for (i = 0; i < 16; i++)
		list_set(&g->cpu, 0, i, gpa(i % 2 ? A : B, i / 2 * SZ_64K) |
					TCE_RW);
}

static long scattered_is_there(void *arg)
{
	struct env *e = arg;
	unsigned int i;

	for (i = 0; i < 16; i++)
		if (entry(&e->g, e->i + i) !=
		    (gpa(i % 2 ? A : B, i / 2 * SZ_64K) | TCE_RW))
			return -1;
	return busy(&e->g, A) != 1 || busy(&e->g, B) != 1;
}

TEST_F(fail, put_list_scattered)
{
	static const struct op op = {
		.prepare = have_scattered_list, .run = do_list,
		.intact = all_clear, .works = scattered_is_there,
		.undo = stuff_all, .cleanup = no_attached,
		.errors = HCALL_ERRORS, .least = 7,
	};

	fail_nth(_metadata, &op, &self->e);
	self->e.i = 8192 - 8;
	fail_nth(_metadata, &op, &self->e);
}

/* Values without permission are for the guest's own table only. */
#define VALUE	0xabcd0000UL

static long do_stuff(void *arg)
{
	struct env *e = arg;

	return hcall_result(stuff(&e->g, e->i, VALUE, 16));
}

static long stuff_is_there(void *arg)
{
	struct env *e = arg;

	return wrong_entries(&e->g, e->i, 16, VALUE, 0) || neither_is_busy(e);
}

TEST_F(fail, stuff)
{
	static const struct op op = {
		.prepare = have_attached, .run = do_stuff, .intact = all_clear,
		.works = stuff_is_there, .undo = stuff_all,
		.cleanup = no_attached, .errors = HCALL_ERRORS, .least = 2,
	};

	fail_nth(_metadata, &op, &self->e);
}

/*
 * A run with a hole, or with something else in the middle: a dense chunk. Its
 * memory is had without fail, so that there may be nothing that can fail here.
 */
static void have_run(struct __test_metadata *_metadata, void *arg)
{
	have_run_list(_metadata, arg);
	ASSERT_EQ(0, do_list(arg));
}

static long punch(void *arg)
{
	struct env *e = arg;

	return hcall_result(put(&e->g, e->i + 8, 0));
}

static long stuff_hole(void *arg)
{
	struct env *e = arg;

	return hcall_result(stuff(&e->g, e->i + 8, 0, 2));
}

static long replace(void *arg)
{
	struct env *e = arg;

	return hcall_result(put(&e->g, e->i + 8, gpa(B, 0) | TCE_RW));
}

/* The run, except @n entries in its middle, which are @tce. */
static long run_but_for(struct env *e, unsigned int n, uint64_t tce)
{
	return wrong_entries(&e->g, e->i, 8, gpa(A, 0) | TCE_RW, SZ_64K) ||
	       wrong_entries(&e->g, e->i + 8, n, tce, 0) ||
	       wrong_entries(&e->g, e->i + 8 + n, 8 - n,
			     gpa(A, (8 + n) * SZ_64K) | TCE_RW, SZ_64K) ||
	       busy(&e->g, A) != 1 || busy(&e->g, B) != !!tce;
}

static long is_punched(void *arg)
{
	return run_but_for(arg, 1, 0);
}

static long is_stuffed(void *arg)
{
	return run_but_for(arg, 2, 0);
}

static long is_replaced(void *arg)
{
	return run_but_for(arg, 1, gpa(B, 0) | TCE_RW);
}

TEST_F(fail, dense)
{
	struct op op = {
		.prepare = have_run, .run = punch, .intact = run_is_there,
		.works = is_punched, .undo = do_list, .cleanup = no_attached,
		.errors = HCALL_ERRORS,
	};

	fail_nth(_metadata, &op, &self->e);
	op.run = stuff_hole;
	op.works = is_stuffed;
	fail_nth(_metadata, &op, &self->e);
	op.run = replace;
	op.works = is_replaced;
	fail_nth(_metadata, &op, &self->e);
}

TEST_HARNESS_MAIN
