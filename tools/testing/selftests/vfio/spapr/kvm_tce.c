// SPDX-License-Identifier: GPL-2.0-only
/*
 * TCE tables of KVM guests: the ioctls that make and attach them, and the
 * hypercalls that change them, with hardware tables attached and without.
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "kvm_fixture.h"

/* ---- making tables ---- */

FIXTURE(create)
{
	struct usage was;
	struct vm vm;
};

FIXTURE_SETUP(create)
{
	enum mmu mmu = guest_any();

	if (guest_missing(mmu))
		SKIP(return, "%s", guest_missing(mmu));
	self->was = usage_at_rest();
	vm_create(&self->vm, mmu);
}

FIXTURE_TEARDOWN(create)
{
	vm_close(&self->vm);
	expect_usage(_metadata, &self->was);
}

TEST_F(create, bad_arguments)
{
	static const struct {
		unsigned int shift;
		uint64_t offset;
		uint64_t size;
	} bad[] = {
		{ 11, 0, 16 }, { 0, 0, 16 }, { 35, 0, 16 }, { 64, 0, 16 },
		{ 76, 0, 16 }, { ~0U, 0, 16 },
		{ 12, 0, 0 }, { 34, 0, 0 },
		/* beyond the last bus address */
		{ 12, 1UL << 52, 1 }, { 12, (1UL << 52) - 1, 2 },
		{ 16, (1UL << 48) - 16, 17 }, { 34, 0, 1UL << 31 },
		{ 34, 1UL << 30, 1 },
		{ 12, 0, ~0UL }, { 12, 1, 1UL << 63 },
		/* which also overflow */
		{ 12, ~0UL, 1 }, { 12, ~0UL, 2 }, { 12, 2, ~0UL },
		{ 12, 1UL << 63, 1UL << 63 }, { 16, ~0UL - 10, 16 },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, vm_liobn(&self->vm, LIOBN, bad[i].shift,
					    bad[i].offset, bad[i].size)) {
			TH_LOG("shift %u, offset %#lx, size %#lx", bad[i].shift,
			       (long)bad[i].offset, (long)bad[i].size);
		}
	}
	EXPECT_EQ(-EINVAL, vm_liobn_32(&self->vm, LIOBN, 0));
	EXPECT_EQ(self->was.locked_kb, locked_kb());
}

/* None of the refused ones has taken the number. */
TEST_F(create, good_arguments)
{
	static const struct {
		unsigned int shift;
		uint64_t offset;
		uint64_t size;
	} good[] = {
		{ 12, 0, 1 }, { 12, 5, 7 }, { 16, 1UL << 43, 1 << 20 },
		{ 21, 0, 16 }, { 24, 1UL << 35, 16 }, { 34, 0, 16 },
		{ 34, (1UL << 30) - 16, 15 }, { 13, 3, 100000 },
	};
	int i, fd;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		EXPECT_EQ(-EINVAL, vm_liobn(&self->vm, LIOBN, 11, 0, 16));
		fd = vm_liobn(&self->vm, LIOBN, good[i].shift, good[i].offset,
			      good[i].size);
		EXPECT_LE(0, fd) {
			TH_LOG("shift %u, offset %#lx, size %#lx",
			       good[i].shift, (long)good[i].offset,
			       (long)good[i].size);
		}
		close(fd);
	}
}

/* A table that there is no fd for leaves neither its charge nor its number. */
TEST_F(create, no_fd_left)
{
	struct rlimit all, few;
	int fd, ret;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &all));
	few = all;
	fd = dup(0);
	ASSERT_LE(0, fd);
	close(fd);
	few.rlim_cur = fd;
	/* the first one that is free is too large a number */
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &few));
	ret = vm_liobn(&self->vm, LIOBN, 12, 0, 1 << 20);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &all));
	EXPECT_EQ(-EMFILE, ret);
	EXPECT_EQ(self->was.locked_kb, locked_kb());
	fd = vm_liobn(&self->vm, LIOBN, 12, 0, 1 << 20);
	ASSERT_LE(0, fd);
	close(fd);
}

/* A number is taken as long as the fd of its table is open. */
TEST_F(create, clash)
{
	long locked;
	int fd, other;

	fd = vm_liobn(&self->vm, LIOBN, 12, 0, 16);
	ASSERT_LE(0, fd);
	locked = locked_kb();
	EXPECT_EQ(-EBUSY, vm_liobn(&self->vm, LIOBN, 12, 0, 16));
	EXPECT_EQ(-EBUSY, vm_liobn(&self->vm, LIOBN, 16, 1 << 20, 1 << 20));
	EXPECT_EQ(-EBUSY, vm_liobn_32(&self->vm, LIOBN, SZ_1M));
	EXPECT_EQ(locked, locked_kb());
	other = vm_liobn(&self->vm, LIOBN + 1, 12, 0, 16);
	ASSERT_LE(0, other);
	close(other);
	close(fd);
	fd = vm_liobn(&self->vm, LIOBN, 12, 0, 16);
	ASSERT_LE(0, fd);
	close(fd);
}

/* Another VM has its own. */
TEST_F(create, clash_is_in_one_vm)
{
	struct vm other;
	int fd, fd2;

	vm_create(&other, guest_any());
	fd = vm_liobn(&self->vm, LIOBN, 12, 0, 16);
	fd2 = vm_liobn(&other, LIOBN, 12, 0, 16);
	EXPECT_LE(0, fd);
	EXPECT_LE(0, fd2);
	close(fd2);
	close(fd);
	vm_close(&other);
}

/* More than the kernel allocates, though not more than there are addresses. */
TEST_F(create, too_large)
{
	EXPECT_EQ(-ENOMEM, vm_liobn(&self->vm, LIOBN, 12, 0, 1UL << 51));
	EXPECT_EQ(-ENOMEM, vm_liobn(&self->vm, LIOBN, 12, 0, (1UL << 52) - 1));
	EXPECT_EQ(-ENOMEM, vm_liobn(&self->vm, LIOBN, 12, 1, 3UL << 50));
	expect_usage(_metadata, &self->was);
}

/* All of a table is charged before anything of it is used. */
TEST_F(create, charge)
{
	static const uint64_t sizes[] = { 1, 1 << 13, 12345, 1 << 20, 1 << 24 };
	int i, fd;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		fd = vm_liobn(&self->vm, LIOBN, 12, 0, sizes[i]);
		ASSERT_LE(0, fd);
		EXPECT_LE(self->was.locked_kb + (long)sizes[i] * 8 / 1024,
			  locked_kb());
		EXPECT_LT(self->was.locked_kb, locked_kb());
		close(fd);
		EXPECT_EQ(self->was.locked_kb, locked_kb());
	}
}

struct limited {
	long bytes;
	uint64_t size;
};

/* In a process, so in an mm, of its own. */
static int create_limited(void *arg)
{
	enum mmu mmu = guest_any();
	struct limited *l = arg;
	struct vm vm;
	long locked;
	int fd;

	vm_create(&vm, mmu);
	limit_locked(l->bytes);
	locked = locked_kb();
	fd = vm_liobn(&vm, LIOBN, 12, 0, l->size);
	if (fd < 0)
		return locked == locked_kb() ? fd : -EIO;
	close(fd);
	return locked == locked_kb() ? 0 : -EIO;
}

/* The limit holds, to the page. */
TEST_F(create, limit)
{
	struct limited l = { .size = SZ_1M };
	long cost;
	int fd;

	fd = vm_liobn(&self->vm, LIOBN, 12, 0, l.size);
	ASSERT_LE(0, fd);
	cost = (locked_kb() - self->was.locked_kb) * 1024;
	close(fd);

	l.bytes = cost;
	EXPECT_EQ(0, in_child(create_limited, &l));
	l.bytes = cost - page_size;
	EXPECT_EQ(-ENOMEM, in_child(create_limited, &l));
	l.bytes = 0;
	EXPECT_EQ(-ENOMEM, in_child(create_limited, &l));
}

static sigjmp_buf bus_error;

static void on_bus_error(int sig)
{
	siglongjmp(bus_error, 1);
}

/* Reads a word; false if there is nothing but SIGBUS. */
static bool can_read(volatile uint64_t *word)
{
	struct sigaction act = { .sa_handler = on_bus_error }, old;
	bool can = false;

	sigaction(SIGBUS, &act, &old);
	if (!sigsetjmp(bus_error, 1)) {
		(void)*word;
		can = true;
	}
	sigaction(SIGBUS, &old, NULL);
	return can;
}

TEST_F(create, mmap)
{
	unsigned long per_page = page_size / 8;
	/* three pages, the third is used in part */
	uint64_t size = 2 * per_page + 1;
	volatile uint64_t *view;
	int fd, i;

	fd = vm_liobn(&self->vm, LIOBN, 12, 0, size);
	ASSERT_LE(0, fd);
	view = mmap(NULL, 8 * page_size, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, view);
	for (i = 0; i < 3; i++) {
		ASSERT_TRUE(can_read(view + i * per_page));
		EXPECT_EQ(0, view[i * per_page]);
		EXPECT_EQ(0, view[(i + 1) * per_page - 1]);
	}
	for (i = 3; i < 8; i++) {
		EXPECT_FALSE(can_read(view + i * per_page));
	}
	munmap((void *)view, 8 * page_size);

	/* from the middle, and from beyond the end */
	view = mmap(NULL, 2 * page_size, PROT_READ, MAP_SHARED, fd,
		    2 * page_size);
	ASSERT_NE(MAP_FAILED, view);
	EXPECT_TRUE(can_read(view));
	EXPECT_FALSE(can_read(view + per_page));
	munmap((void *)view, 2 * page_size);
	view = mmap(NULL, page_size, PROT_READ, MAP_SHARED, fd,
		    1UL << 62);
	ASSERT_NE(MAP_FAILED, view);
	EXPECT_FALSE(can_read(view));
	munmap((void *)view, page_size);
	close(fd);
}

/* A mapping keeps the table, and so its number and its charge. */
TEST_F(create, mmap_outlives_fd)
{
	volatile uint64_t *view;
	int fd;

	fd = vm_liobn(&self->vm, LIOBN, 12, 0, 16);
	ASSERT_LE(0, fd);
	view = mmap(NULL, page_size, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, view);
	EXPECT_TRUE(can_read(view));
	close(fd);
	EXPECT_LT(self->was.locked_kb, locked_kb());
	EXPECT_EQ(-EBUSY, vm_liobn(&self->vm, LIOBN, 12, 0, 16));
	EXPECT_EQ(0, view[15]);
	munmap((void *)view, page_size);
	EXPECT_EQ(self->was.locked_kb, locked_kb());
	fd = vm_liobn(&self->vm, LIOBN, 12, 0, 16);
	ASSERT_LE(0, fd);
	close(fd);
}

/* A container that is another process's, though its fds are here as well. */
TEST_F(create, attach_of_another_process)
{
	int c, fd, status, ready[2], done[2];
	struct edu edu;
	pid_t pid;
	char byte;

	if (!edu_find(&edu, 1))
		SKIP(return, "no edu device is bound to vfio-pci");
	c = container_open();
	ASSERT_LE(0, edu_open_group(&edu));
	ASSERT_EQ(0, container_add(c, &edu));
	ASSERT_EQ(0, container_set_iommu(c, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(done));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(done[1]);
		/* this makes the container, and its window, the child's */
		if (spapr_register(c, buf_alloc(SZ_64K, SZ_64K), SZ_64K) ||
		    spapr_unmap(c, 0, SZ_4K) || write(ready[1], "", 1) != 1)
			_exit(1);
		_exit(read(done[0], &byte, 1));
	}
	close(ready[1]);
	close(done[0]);
	EXPECT_EQ(1, read(ready[0], &byte, 1));
	fd = vm_liobn(&self->vm, LIOBN, 12, 0, 16);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vm_group_add(&self->vm, edu.group_fd));
	EXPECT_EQ(-EINVAL, vm_attach(&self->vm, edu.group_fd, fd));
	close(fd);
	close(done[1]);
	close(ready[0]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	edu_close_group(&edu);
	close(c);
}

/* The table's fd keeps the VM, not the other way round. */
TEST_F(create, fd_outlives_vm)
{
	struct vm vm;
	int fd;

	vm_create(&vm, guest_any());
	fd = vm_liobn(&vm, LIOBN, 12, 0, 1 << 20);
	ASSERT_LE(0, fd);
	vm_close(&vm);
	EXPECT_LT(self->was.locked_kb, locked_kb());
	close(fd);
	EXPECT_EQ(self->was.locked_kb, locked_kb());
}

/* ---- hypercalls, with a table attached and without ---- */

FIXTURE(tce)
{
	struct guest g;
};

FIXTURE_VARIANT(tce)
{
	enum mmu mmu;
	bool attached;
};

FIXTURE_VARIANT_ADD(tce, hash) { HASH, true };
FIXTURE_VARIANT_ADD(tce, hash_no_table) { HASH, false };
FIXTURE_VARIANT_ADD(tce, radix) { RADIX, true };
FIXTURE_VARIANT_ADD(tce, radix_no_table) { RADIX, false };
FIXTURE_VARIANT_ADD(tce, pr) { PR, true };
FIXTURE_VARIANT_ADD(tce, pr_no_table) { PR, false };

FIXTURE_SETUP(tce)
{
	guest_setup_all(_metadata, &self->g, variant->mmu, variant->attached);
}

FIXTURE_TEARDOWN(tce)
{
	guest_teardown(_metadata, &self->g);
}

TEST_F(tce, put)
{
	struct guest *g = &self->g;
	uint64_t last = g->size - 1;

	EXPECT_EQ(0, entry(g, 0));
	EXPECT_EQ(0, entry(g, last));
	/* first use, in each page of the table that this touches */
	EXPECT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	EXPECT_EQ(H_SUCCESS, put(g, 1, gpa(A, SZ_4K) | TCE_READ));
	EXPECT_EQ(H_SUCCESS, put(g, 12345, gpa(B, SZ_64K) | TCE_WRITE));
	EXPECT_EQ(H_SUCCESS, put(g, last, gpa(B, 0) | TCE_RW));
	EXPECT_EQ(gpa(A, 0) | TCE_RW, entry(g, 0));
	EXPECT_EQ(gpa(A, SZ_4K) | TCE_READ, entry(g, 1));
	EXPECT_EQ(0, entry(g, 2));
	EXPECT_EQ(0, entry(g, 12344));
	EXPECT_EQ(gpa(B, SZ_64K) | TCE_WRITE, entry(g, 12345));
	EXPECT_EQ(0, entry(g, 12346));
	EXPECT_EQ(gpa(B, 0) | TCE_RW, entry(g, last));

	/* replaced: by the same, by another page, by other permissions */
	EXPECT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	EXPECT_EQ(H_SUCCESS, put(g, 1, gpa(B, SZ_4K) | TCE_READ));
	EXPECT_EQ(H_SUCCESS, put(g, 12345, gpa(B, SZ_64K) | TCE_READ));
	EXPECT_EQ(gpa(A, 0) | TCE_RW, entry(g, 0));
	EXPECT_EQ(gpa(B, SZ_4K) | TCE_READ, entry(g, 1));
	EXPECT_EQ(gpa(B, SZ_64K) | TCE_READ, entry(g, 12345));

	/* and cleared, twice */
	EXPECT_EQ(H_SUCCESS, put(g, 0, 0));
	EXPECT_EQ(H_SUCCESS, put(g, 0, 0));
	EXPECT_EQ(H_SUCCESS, put(g, last, 0));
	EXPECT_EQ(0, entry(g, 0));
	EXPECT_EQ(0, entry(g, last));
	EXPECT_EQ(gpa(B, SZ_4K) | TCE_READ, entry(g, 1));
}

/* Without permissions it is no mapping, and the guest's to see all the same. */
TEST_F(tce, put_without_permissions)
{
	struct guest *g = &self->g;

	EXPECT_EQ(H_SUCCESS, put(g, 5, 0xdeadbeef000UL));
	EXPECT_EQ(0xdeadbeef000UL, entry(g, 5));
	EXPECT_EQ(H_SUCCESS, put(g, 5, gpa(A, 0) | TCE_RW));
	EXPECT_EQ(gpa(A, 0) | TCE_RW, entry(g, 5));
	EXPECT_EQ(H_SUCCESS, put(g, 5, gpa(A, 0)));
	EXPECT_EQ(gpa(A, 0), entry(g, 5));
	if (variant->attached) {
		EXPECT_EQ(0, busy(g, A));
	}
}

/* Numbers that are no bus address of an entry. */
static const uint64_t bad_iobas[] = {
	1, 0x800, SZ_4K - 1, SZ_4K + 1, SZ_1G - 1,
	SZ_1G, SZ_1G + SZ_4K, 1UL << 32, 1UL << 59, 1UL << 63,
	(1UL << 63) + 1, ~0UL, ~0UL << 12,
};

TEST_F(tce, bad_ioba)
{
	struct guest *g = &self->g;
	uint64_t tce, list = list_gpa(&g->cpu, 0);
	int i;

	fill_list(g, 0, 2, gpa(B, 0) | TCE_RW, SZ_4K);
	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	ASSERT_EQ(H_SUCCESS, put(g, g->size - 1, gpa(A, 0) | TCE_RW));
	for (i = 0; i < ARRAY_SIZE(bad_iobas); i++) {
		uint64_t bad = bad_iobas[i];

		EXPECT_EQ(H_PARAMETER, h_put_tce(&g->cpu, LIOBN, bad,
						 gpa(B, 0) | TCE_RW)) {
			TH_LOG("ioba %#lx", (long)bad);
		}
		EXPECT_EQ(H_PARAMETER, h_put_tce(&g->cpu, LIOBN, bad, 0));
		EXPECT_EQ(H_PARAMETER, h_put_tce_indirect(&g->cpu, LIOBN, bad,
							  list, 1));
		EXPECT_EQ(H_PARAMETER, h_put_tce_indirect(&g->cpu, LIOBN, bad,
							  list, 2));
		EXPECT_EQ(H_PARAMETER, h_stuff_tce(&g->cpu, LIOBN, bad, 0, 1));
		EXPECT_EQ(H_PARAMETER, h_get_tce(&g->cpu, LIOBN, bad, &tce)) {
			TH_LOG("ioba %#lx", (long)bad);
		}
	}
	EXPECT_EQ(gpa(A, 0) | TCE_RW, entry(g, 0));
	EXPECT_EQ(gpa(A, 0) | TCE_RW, entry(g, g->size - 1));
	if (variant->attached) {
		EXPECT_EQ(0, busy(g, B));
	}
}

/* Begins in the table, and ends behind it. */
TEST_F(tce, bad_count)
{
	static const uint64_t bad[] = {
		3, 4, 512, 1UL << 20, 1UL << 32, 1UL << 52, (1UL << 52) + 1,
		1UL << 63, ~0UL,
	};
	struct guest *g = &self->g;
	uint64_t at = ioba(g, g->size - 2), list = list_gpa(&g->cpu, 0);
	int i;

	fill_list(g, 0, MAX_LIST, gpa(B, 0) | TCE_RW, 0);
	ASSERT_EQ(H_SUCCESS, put(g, g->size - 1, gpa(A, 0) | TCE_RW));
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(H_PARAMETER, h_put_tce_indirect(&g->cpu, LIOBN, at,
							  list, bad[i])) {
			TH_LOG("%#lx entries", (long)bad[i]);
		}
		EXPECT_EQ(H_PARAMETER, h_stuff_tce(&g->cpu, LIOBN, at, 0,
						   bad[i])) {
			TH_LOG("%#lx entries", (long)bad[i]);
		}
	}
	/* more than a list has */
	EXPECT_EQ(H_PARAMETER, put_list(g, 0, MAX_LIST + 1));
	EXPECT_EQ(H_PARAMETER, put_list(g, 0, ~0UL));
	EXPECT_EQ(0, entry(g, 0));
	EXPECT_EQ(0, entry(g, g->size - 2));
	EXPECT_EQ(gpa(A, 0) | TCE_RW, entry(g, g->size - 1));

	/* which fit exactly, or are none */
	EXPECT_EQ(H_SUCCESS, put_list(g, g->size - 2, 2));
	EXPECT_EQ(gpa(B, 0) | TCE_RW, entry(g, g->size - 1));
	EXPECT_EQ(H_SUCCESS, put_list(g, g->size - 1, 0));
	EXPECT_EQ(H_SUCCESS, stuff(g, g->size - 1, 0, 0));
	EXPECT_EQ(gpa(B, 0) | TCE_RW, entry(g, g->size - 1));
	EXPECT_EQ(H_SUCCESS, stuff(g, g->size - 2, 0, 2));
	EXPECT_EQ(0, entry(g, g->size - 2));
	EXPECT_EQ(0, entry(g, g->size - 1));
}

TEST_F(tce, unknown_liobn)
{
	static const uint64_t unknown[] = { NO_LIOBN, 0, ~0UL,
					    LIOBN | 1UL << 32 };
	struct guest *g = &self->g;
	uint64_t tce;
	int i;

	fill_list(g, 0, 1, gpa(A, 0) | TCE_RW, 0);
	for (i = 0; i < ARRAY_SIZE(unknown); i++) {
		EXPECT_EQ(H_TOO_HARD, h_put_tce(&g->cpu, unknown[i], 0,
						gpa(A, 0) | TCE_RW));
		EXPECT_EQ(H_TOO_HARD, h_put_tce_indirect(&g->cpu, unknown[i], 0,
							 list_gpa(&g->cpu, 0),
							 1));
		EXPECT_EQ(H_TOO_HARD, h_stuff_tce(&g->cpu, unknown[i], 0, 0,
						  1));
		EXPECT_EQ(H_TOO_HARD, h_get_tce(&g->cpu, unknown[i], 0, &tce));
	}
	EXPECT_EQ(0, entry(g, 0));
}

/* User space has to look at these; the tables stay as they are then. */
static const uint64_t bad_tces[] = {
	/* not at the beginning of a page */
	(DATA_GPA + 0x10) | TCE_RW, (DATA_GPA + 0x804) | TCE_READ,
	DATA_GPA | 0xff8 | TCE_WRITE,
	/* no memory there: before, behind, and where bits get lost */
	(DATA_GPA - SZ_4K) | TCE_RW, (DATA_GPA + DATA_SIZE) | TCE_RW,
	1UL << 40 | TCE_WRITE, (1UL << 63 | DATA_GPA) | TCE_RW,
	~0xfffUL | TCE_RW,
};

TEST_F(tce, bad_tce)
{
	struct guest *g = &self->g;
	int i;

	ASSERT_EQ(H_SUCCESS, put(g, 7, gpa(A, 0) | TCE_RW));
	for (i = 0; i < ARRAY_SIZE(bad_tces); i++) {
		EXPECT_EQ(H_TOO_HARD, put(g, 7, bad_tces[i])) {
			TH_LOG("TCE %#lx", (long)bad_tces[i]);
		}
		EXPECT_EQ(H_TOO_HARD, put(g, 8, bad_tces[i])) {
			TH_LOG("TCE %#lx", (long)bad_tces[i]);
		}
	}
	EXPECT_EQ(gpa(A, 0) | TCE_RW, entry(g, 7));
	EXPECT_EQ(0, entry(g, 8));
	if (variant->attached) {
		EXPECT_EQ(1, busy(g, A));
		EXPECT_EQ(H_SUCCESS, put(g, 7, 0));
		EXPECT_EQ(0, busy(g, A));
	}
}

/* A device can reach what is registered. Emulated ones have no such need. */
TEST_F(tce, unregistered)
{
	long expect = variant->attached ? H_TOO_HARD : H_SUCCESS;
	struct guest *g = &self->g;
	uint64_t tce = gpa(UNREGISTERED, 0) | TCE_RW;

	fill_list(g, 0, 4, tce, SZ_4K);
	EXPECT_EQ(expect, put(g, 0, tce));
	EXPECT_EQ(expect, put_list(g, 8, 4));
	EXPECT_EQ(0, wrong_entries(g, 8, 4, variant->attached ? 0 : tce,
				   variant->attached ? 0 : SZ_4K));
	EXPECT_EQ(variant->attached ? 0 : tce, entry(g, 0));
	if (variant->attached) {
		ASSERT_EQ(0, register_region(g, UNREGISTERED));
		EXPECT_EQ(H_SUCCESS, put(g, 0, tce));
		EXPECT_EQ(H_SUCCESS, put_list(g, 8, 4));
		EXPECT_EQ(tce, entry(g, 0));
		EXPECT_EQ(0, wrong_entries(g, 8, 4, tce, SZ_4K));
		EXPECT_EQ(1, busy(g, UNREGISTERED));
	}
}

TEST_F(tce, list)
{
	struct guest *g = &self->g;
	/* over the border of blocks and of pages of the table */
	uint64_t at = 8192 - 100;

	/* upwards in memory, twice through the region; then downwards */
	fill_list(g, 0, 256, gpa(A, 0) | TCE_RW, SZ_4K);
	fill_list(g, 256, 256, gpa(A, 0) | TCE_READ, SZ_4K);
	EXPECT_EQ(H_SUCCESS, put_list(g, at, 512));
	EXPECT_EQ(0, wrong_entries(g, at, 256, gpa(A, 0) | TCE_RW, SZ_4K));
	EXPECT_EQ(0, wrong_entries(g, at + 256, 256, gpa(A, 0) | TCE_READ,
				   SZ_4K));
	EXPECT_EQ(0, entry(g, at - 1));
	EXPECT_EQ(0, entry(g, at + 512));

	fill_list(g, 0, 256, gpa(B, 255 * SZ_4K) | TCE_WRITE, -(long)SZ_4K);
	EXPECT_EQ(H_SUCCESS, put_list(g, at + 100, 256));
	EXPECT_EQ(0, wrong_entries(g, at, 100, gpa(A, 0) | TCE_RW, SZ_4K));
	EXPECT_EQ(0, wrong_entries(g, at + 100, 256,
				   gpa(B, 255 * SZ_4K) | TCE_WRITE,
				   -(long)SZ_4K));
	EXPECT_EQ(0, wrong_entries(g, at + 356, 156,
				   gpa(A, 100 * SZ_4K) | TCE_READ, SZ_4K));

	/* one page for all */
	fill_list(g, 0, 512, gpa(B, 0) | TCE_RW, 0);
	EXPECT_EQ(H_SUCCESS, put_list(g, at, 512));
	EXPECT_EQ(0, wrong_entries(g, at, 512, gpa(B, 0) | TCE_RW, 0));
	if (variant->attached) {
		EXPECT_EQ(0, busy(g, A));
		EXPECT_EQ(1, busy(g, B));
	}
}

/* Entries without permissions, among others or alone, clear. */
TEST_F(tce, list_clears)
{
	struct guest *g = &self->g;

	fill_list(g, 0, 8, gpa(A, 0) | TCE_RW, SZ_4K);
	ASSERT_EQ(H_SUCCESS, put_list(g, 0, 8));
	list_set(&g->cpu, 0, 0, 0);
	list_set(&g->cpu, 0, 3, 0);
	list_set(&g->cpu, 0, 4, 0);
	list_set(&g->cpu, 0, 7, 0);
	EXPECT_EQ(H_SUCCESS, put_list(g, 0, 8));
	EXPECT_EQ(0, entry(g, 0));
	EXPECT_EQ(0, wrong_entries(g, 1, 2, gpa(A, SZ_4K) | TCE_RW, SZ_4K));
	EXPECT_EQ(0, wrong_entries(g, 3, 2, 0, 0));
	EXPECT_EQ(0, wrong_entries(g, 5, 2, gpa(A, 5 * SZ_4K) | TCE_RW, SZ_4K));
	EXPECT_EQ(0, entry(g, 7));

	/* anything else of the entry stays the guest's */
	fill_list(g, 0, 8, gpa(A, 0), SZ_4K);
	EXPECT_EQ(H_SUCCESS, put_list(g, 0, 8));
	EXPECT_EQ(0, wrong_entries(g, 0, 8, gpa(A, 0), SZ_4K));
	if (variant->attached) {
		EXPECT_EQ(0, busy(g, A));
	}
}

TEST_F(tce, bad_list)
{
	struct guest *g = &self->g;
	uint64_t list = list_gpa(&g->cpu, 0);

	fill_list(g, 0, MAX_LIST, gpa(A, 0) | TCE_RW, 0);
	EXPECT_EQ(H_PARAMETER, h_put_tce_indirect(&g->cpu, LIOBN, 0, list + 8,
						  1));
	EXPECT_EQ(H_PARAMETER, h_put_tce_indirect(&g->cpu, LIOBN, 0, list + 1,
						  1));
	EXPECT_EQ(H_PARAMETER, h_put_tce_indirect(&g->cpu, LIOBN, 0,
						  list + 0x800, 256));
	EXPECT_EQ(H_PARAMETER, h_put_tce_indirect(&g->cpu, LIOBN, 0, ~0UL, 1));
	/* where there is no memory */
	EXPECT_EQ(H_TOO_HARD, h_put_tce_indirect(&g->cpu, LIOBN, 0,
						 DATA_GPA + DATA_SIZE, 4));
	EXPECT_EQ(H_TOO_HARD, h_put_tce_indirect(&g->cpu, LIOBN, 0, 1UL << 40,
						 4));
	EXPECT_EQ(H_TOO_HARD, h_put_tce_indirect(&g->cpu, LIOBN, 0, ~0xfffUL,
						 4));
	EXPECT_EQ(0, wrong_entries(g, 0, 8, 0, 0));
	if (variant->attached) {
		EXPECT_EQ(0, busy(g, A));
	}
}

/* The list itself may be anywhere in memory, registered or not. */
TEST_F(tce, list_in_any_memory)
{
	uint64_t where = gpa(UNREGISTERED, 3 * SZ_4K);
	struct guest *g = &self->g;
	uint64_t *list = (uint64_t *)(region_ua(g, UNREGISTERED) + 3 * SZ_4K);
	int i;

	for (i = 0; i < MAX_LIST; i++)
		list[i] = htobe64((gpa(A, 0) + i % 256 * SZ_4K) | TCE_RW);
	EXPECT_EQ(H_SUCCESS, h_put_tce_indirect(&g->cpu, LIOBN, 0, where,
						MAX_LIST));
	EXPECT_EQ(0, wrong_entries(g, 0, 256, gpa(A, 0) | TCE_RW, SZ_4K));
	EXPECT_EQ(0, wrong_entries(g, 256, 256, gpa(A, 0) | TCE_RW, SZ_4K));
}

/* One bad entry, wherever in the list, and nothing of it happens. */
TEST_F(tce, list_all_or_none)
{
	static const unsigned int where[] = { 0, 1, 100, 510, 511 };
	struct guest *g = &self->g;
	int i, k;

	/* the half of it is there before */
	fill_list(g, 0, 256, gpa(A, 0) | TCE_RW, SZ_4K);
	ASSERT_EQ(H_SUCCESS, put_list(g, 0, 256));
	for (i = 0; i < ARRAY_SIZE(where); i++) {
		for (k = 0; k < ARRAY_SIZE(bad_tces); k++) {
			fill_list(g, 0, 256, gpa(B, 0) | TCE_RW, SZ_4K);
			fill_list(g, 256, 256, gpa(B, 0) | TCE_RW, 0);
			list_set(&g->cpu, 0, where[i], bad_tces[k]);
			EXPECT_EQ(H_TOO_HARD, put_list(g, 0, 512)) {
				TH_LOG("TCE %#lx at %u", (long)bad_tces[k],
				       where[i]);
			}
		}
		EXPECT_EQ(0, wrong_entries(g, 0, 256, gpa(A, 0) | TCE_RW,
					   SZ_4K));
		EXPECT_EQ(0, wrong_entries(g, 256, 256, 0, 0));
		if (variant->attached) {
			EXPECT_EQ(0, busy(g, B));
			EXPECT_EQ(1, busy(g, A));
		}
	}
}

/* The same with memory that the device must not reach. */
TEST_F(tce, list_with_unregistered_end)
{
	struct guest *g = &self->g;

	if (!variant->attached)
		SKIP(return, "only devices need registered memory");
	fill_list(g, 0, 512, gpa(A, 0) | TCE_RW, 0);
	ASSERT_EQ(H_SUCCESS, put_list(g, 0, 256));
	fill_list(g, 0, 511, gpa(B, 0) | TCE_RW, 0);
	list_set(&g->cpu, 0, 511, gpa(UNREGISTERED, 0) | TCE_RW);
	EXPECT_EQ(H_TOO_HARD, put_list(g, 0, 512));
	/* one run of entries, out of the registered memory */
	fill_list(g, 0, 256, gpa(B, 0) | TCE_RW, SZ_4K);
	list_set(&g->cpu, 0, 256, gpa(UNREGISTERED, 0) | TCE_RW);
	EXPECT_EQ(H_TOO_HARD, put_list(g, 0, 257));
	EXPECT_EQ(0, wrong_entries(g, 0, 256, gpa(A, 0) | TCE_RW, 0));
	EXPECT_EQ(0, wrong_entries(g, 256, 256, 0, 0));
	EXPECT_EQ(0, busy(g, B));
	EXPECT_EQ(1, busy(g, A));
	EXPECT_EQ(H_SUCCESS, stuff(g, 0, 0, 256));
	EXPECT_EQ(0, busy(g, A));
}

TEST_F(tce, stuff)
{
	struct guest *g = &self->g;
	uint64_t i;

	fill_list(g, 0, 512, gpa(A, 0) | TCE_RW, 0);
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(H_SUCCESS, put_list(g, 7000 + i * 512, 512));
	}
	EXPECT_EQ(H_SUCCESS, stuff(g, 7000, 0, 1));
	EXPECT_EQ(0, entry(g, 7000));
	EXPECT_EQ(gpa(A, 0) | TCE_RW, entry(g, 7001));
	EXPECT_EQ(H_SUCCESS, stuff(g, 7010, 0, 512));
	EXPECT_EQ(0, wrong_entries(g, 7001, 9, gpa(A, 0) | TCE_RW, 0));
	EXPECT_EQ(0, wrong_entries(g, 7010, 512, 0, 0));
	EXPECT_EQ(gpa(A, 0) | TCE_RW, entry(g, 7522));

	/* another value; only permission bits are the matter of devices */
	EXPECT_EQ(H_SUCCESS, stuff(g, 7600, 0xabcd000, 1000));
	EXPECT_EQ(gpa(A, 0) | TCE_RW, entry(g, 7599));
	EXPECT_EQ(0, wrong_entries(g, 7600, 1000, 0xabcd000, 0));
	EXPECT_EQ(gpa(A, 0) | TCE_RW, entry(g, 8600));
	if (variant->attached) {
		EXPECT_EQ(1, busy(g, A));
	}

	/* over all that there is */
	EXPECT_EQ(H_SUCCESS, stuff(g, 0, 0, g->size));
	EXPECT_EQ(0, wrong_entries(g, 7000, 2048, 0, 0));
	EXPECT_EQ(0, entry(g, 0));
	EXPECT_EQ(0, entry(g, g->size - 1));
	if (variant->attached) {
		EXPECT_EQ(0, busy(g, A));
	}
}

TEST_F(tce, stuff_with_permissions)
{
	struct guest *g = &self->g;
	uint64_t perm;

	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	for (perm = 1; perm <= TCE_RW; perm++) {
		EXPECT_EQ(H_PARAMETER, stuff(g, 0, perm, 1));
		EXPECT_EQ(H_PARAMETER, stuff(g, 0, gpa(B, 0) | perm, 512));
	}
	EXPECT_EQ(gpa(A, 0) | TCE_RW, entry(g, 0));
	EXPECT_EQ(0, entry(g, 1));
}

/* A thousand hypercalls without leaving the guest's loop. */
TEST_F(tce, many)
{
	struct guest *g = &self->g;
	unsigned int i, wrong = 0;

	for (i = 0; i < MAX_HCALLS; i++)
		hcall_set(&g->cpu, i, H_PUT_TCE, LIOBN, ioba(g, i),
			  gpa(A, i % 256 * SZ_4K) | TCE_RW, 0);
	vcpu_run(&g->cpu, MAX_HCALLS);
	for (i = 0; i < MAX_HCALLS; i++) {
		wrong += g->cpu.hcall[i].ret != H_SUCCESS;
		wrong += g->view[i] != (gpa(A, i % 256 * SZ_4K) | TCE_RW);
	}
	EXPECT_EQ(0, wrong);
	for (i = 0; i < MAX_HCALLS; i++)
		hcall_set(&g->cpu, i, H_GET_TCE, LIOBN, ioba(g, i), 0, 0);
	vcpu_run(&g->cpu, MAX_HCALLS);
	for (i = 0; i < MAX_HCALLS; i++)
		wrong += g->cpu.hcall[i].out != g->view[i];
	EXPECT_EQ(0, wrong);
}

/* A table that does not begin at bus address 0. */
TEST_F(tce, offset)
{
	struct guest *g = &self->g;
	uint64_t start = SLOT1_START, tce;
	int fd;

	if (variant->attached) {
		ASSERT_EQ(0, spapr_create(g->c, page_shift, SZ_1G, 1, &start));
	}
	fd = vm_liobn(&g->vm, LIOBN + 1, 16, start >> 16, 64);
	ASSERT_LE(0, fd);
	if (variant->attached) {
		ASSERT_EQ(0, vm_attach(&g->vm, g->edu[0].group_fd, fd));
	}
	EXPECT_EQ(H_PARAMETER, h_put_tce(&g->cpu, LIOBN + 1, 0, 0));
	EXPECT_EQ(H_PARAMETER, h_put_tce(&g->cpu, LIOBN + 1, start - SZ_64K,
					 0));
	EXPECT_EQ(H_PARAMETER, h_stuff_tce(&g->cpu, LIOBN + 1, start - SZ_64K,
					   0, 2));
	EXPECT_EQ(H_PARAMETER, h_put_tce(&g->cpu, LIOBN + 1, start + SZ_4K, 0));
	EXPECT_EQ(H_PARAMETER, h_get_tce(&g->cpu, LIOBN + 1,
					 start + 64 * SZ_64K, &tce));
	/* the page is larger here, and this is not at the beginning of one */
	EXPECT_EQ(H_TOO_HARD, h_put_tce(&g->cpu, LIOBN + 1, start,
					gpa(A, SZ_4K) | TCE_RW));
	EXPECT_EQ(H_SUCCESS, h_put_tce(&g->cpu, LIOBN + 1, start,
				       gpa(A, 0) | TCE_RW));
	EXPECT_EQ(H_SUCCESS, h_put_tce(&g->cpu, LIOBN + 1, start + 63 * SZ_64K,
				       gpa(A, SZ_64K) | TCE_RW));
	EXPECT_EQ(H_SUCCESS, h_get_tce(&g->cpu, LIOBN + 1, start, &tce));
	EXPECT_EQ(gpa(A, 0) | TCE_RW, tce);
	EXPECT_EQ(H_SUCCESS, h_get_tce(&g->cpu, LIOBN + 1, start + 63 * SZ_64K,
				       &tce));
	EXPECT_EQ(gpa(A, SZ_64K) | TCE_RW, tce);
	/* and nothing of it in the other */
	EXPECT_EQ(0, wrong_entries(g, 0, 128, 0, 0));
	if (variant->attached) {
		EXPECT_EQ(1, busy(g, A));
		EXPECT_EQ(H_SUCCESS, h_stuff_tce(&g->cpu, LIOBN + 1, start, 0,
						 64));
		EXPECT_EQ(0, busy(g, A));
	}
	close(fd);
}

/* A table made by the older ioctl: 4 KiB pages, from 0 on. */
TEST_F(tce, legacy)
{
	struct guest *g = &self->g;
	uint64_t tce;
	int fd;

	fd = vm_liobn_32(&g->vm, LIOBN + 1, SZ_1M);
	ASSERT_LE(0, fd);
	if (variant->attached) {
		ASSERT_EQ(0, vm_attach(&g->vm, g->edu[0].group_fd, fd));
	}
	EXPECT_EQ(H_SUCCESS, h_put_tce(&g->cpu, LIOBN + 1, 255 * SZ_4K,
				       gpa(A, SZ_4K) | TCE_RW));
	EXPECT_EQ(H_PARAMETER, h_put_tce(&g->cpu, LIOBN + 1, SZ_1M, 0));
	EXPECT_EQ(H_SUCCESS, h_get_tce(&g->cpu, LIOBN + 1, 255 * SZ_4K, &tce));
	EXPECT_EQ(gpa(A, SZ_4K) | TCE_RW, tce);
	if (variant->attached) {
		EXPECT_EQ(1, busy(g, A));
		EXPECT_EQ(H_SUCCESS, h_stuff_tce(&g->cpu, LIOBN + 1, 0, 0,
						 256));
		EXPECT_EQ(0, busy(g, A));
	}
	close(fd);
}

/* Memory that the guest loses is none any more. */
TEST_F(tce, memory_removed)
{
	struct guest *g = &self->g;

	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	ASSERT_EQ(0, vm_memory(&g->vm, 1, DATA_GPA, g->data, 0));
	EXPECT_EQ(H_TOO_HARD, put(g, 0, gpa(B, 0) | TCE_RW));
	EXPECT_EQ(gpa(A, 0) | TCE_RW, entry(g, 0));
	if (variant->attached) {
		EXPECT_EQ(0, busy(g, B));
	}
	/* the entry can go all the same */
	EXPECT_EQ(H_SUCCESS, put(g, 0, 0));
	EXPECT_EQ(0, entry(g, 0));
	if (variant->attached) {
		EXPECT_EQ(0, busy(g, A));
	}
}

/* ---- hardware tables ---- */

#define EARLY	"/sys/module/kvm_hv/parameters/tce_early"

/* Are hypercalls of VMs that are made from now on finished early? "Y" or "N". */
static int set_early(const char *value)
{
	return write_text(EARLY, value);
}

/* 0 where there is no such thing. */
static char get_early(void)
{
	int fd = open(EARLY, O_RDONLY | O_CLOEXEC);
	char value = 0;

	if (fd < 0)
		return 0;
	if (read(fd, &value, 1) != 1)
		value = 0;
	close(fd);
	return value;
}

/* A partition leaves the context of each of its guests. */
static bool has_early(void)
{
	return !access("/sys/firmware/opal", F_OK);
}

FIXTURE(device)
{
	struct guest g;
	struct probe probe;
};

FIXTURE_VARIANT(device)
{
	enum mmu mmu;
	bool late;	/* hypercalls leave the guest's context */
};

FIXTURE_VARIANT_ADD(device, hash) { HASH };
FIXTURE_VARIANT_ADD(device, hash_late) { HASH, true };
FIXTURE_VARIANT_ADD(device, radix) { RADIX };
FIXTURE_VARIANT_ADD(device, radix_late) { RADIX, true };
FIXTURE_VARIANT_ADD(device, pr) { PR };

FIXTURE_SETUP(device)
{
	char early = get_early();

	if (variant->late && (early != 'Y' || !has_early()))
		SKIP(return, "hypercalls leave the guest's context anyway");
	if (variant->late) {
		ASSERT_EQ(0, set_early("N"));
	}
	guest_setup_all(_metadata, &self->g, variant->mmu, true);
	if (variant->late) {
		ASSERT_EQ(0, set_early("Y"));
	}
	if (_metadata->exit_code)
		return;
	ASSERT_EQ(0, probe_init(&self->probe, self->g.c, &self->g.edu[0],
				self->g.last));
}

FIXTURE_TEARDOWN(device)
{
	guest_teardown(_metadata, &self->g);
}

static int reach(FIXTURE_DATA(device) *self, uint64_t i, int region,
		 uint64_t off)
{
	return probe_reach(&self->probe, ioba(&self->g, i),
			   region_ua(&self->g, region) + off);
}

TEST_F(device, dma)
{
	struct guest *g = &self->g;

	EXPECT_EQ(0, reach(self, 3, A, 0));
	ASSERT_EQ(H_SUCCESS, put(g, 3, gpa(A, 0) | TCE_RW));
	EXPECT_EQ(READ_WRITE, reach(self, 3, A, 0));
	EXPECT_EQ(0, reach(self, 2, A, 0));
	EXPECT_EQ(0, reach(self, 4, A, 0));
	/* replaced; the old one is not reached any more */
	ASSERT_EQ(H_SUCCESS, put(g, 3, gpa(B, SZ_64K + SZ_4K) | TCE_RW));
	EXPECT_EQ(READ_WRITE, reach(self, 3, B, SZ_64K + SZ_4K));
	EXPECT_EQ(0, reach(self, 3, A, 0));
	ASSERT_EQ(H_SUCCESS, put(g, 3, 0));
	EXPECT_EQ(0, reach(self, 3, B, SZ_64K + SZ_4K));
}

/*
 * Memory that another container of the process has registered, and left when it
 * was closed: it goes when the guest unmaps it, in real mode too, and nobody
 * has to do anything for that.
 */
TEST_F(device, left_behind)
{
	struct guest *g = &self->g;
	long kb = locked_kb();
	int c, i;

	if (g->groups < 2)
		SKIP(return, "no two groups with an edu device each");
	for (i = 0; i < 2; i++) {
		c = container_open();
		ASSERT_LE(0, edu_open_group(&g->edu[1]));
		ASSERT_EQ(0, container_add(c, &g->edu[1]));
		ASSERT_EQ(0, container_set_iommu(c, VFIO_SPAPR_TCE_v2_IOMMU));
		ASSERT_EQ(0, spapr_register(c, region_ua(g, UNREGISTERED),
					    REGION_SIZE));
		ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(UNREGISTERED, 0) | TCE_RW));
		ASSERT_EQ(H_SUCCESS, put(g, 1, gpa(UNREGISTERED, 0) | TCE_RW));
		edu_close_group(&g->edu[1]);
		close(c);
		EXPECT_EQ(kb + (long)REGION_SIZE / 1024, locked_kb());
		EXPECT_EQ(READ_WRITE, reach(self, 0, UNREGISTERED, 0));
		ASSERT_EQ(H_SUCCESS, put(g, 0, 0));
		usleep(10000);
		EXPECT_EQ(kb + (long)REGION_SIZE / 1024, locked_kb());
		if (i) {
			ASSERT_EQ(H_SUCCESS, stuff(g, 0, 0, 2));
		} else {
			ASSERT_EQ(H_SUCCESS, put(g, 1, gpa(A, 0) | TCE_RW));
		}
		/* Real mode leaves it to whoever looks every second. */
		usleep(1500000);
		EXPECT_EQ(kb, locked_kb());
	}
	ASSERT_EQ(H_SUCCESS, put(g, 1, 0));
}

TEST_F(device, dma_permissions)
{
	struct guest *g = &self->g;
	int reached;

	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_READ));
	EXPECT_EQ(REACH_READ, reach(self, 0, A, 0));
	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_WRITE));
	/* the emulated host bridges let a device read all that it may write */
	reached = reach(self, 0, A, 0);
	EXPECT_LE(0, reached);
	EXPECT_EQ(REACH_WRITE, reached & REACH_WRITE);
	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_READ));
	EXPECT_EQ(REACH_READ, reach(self, 0, A, 0));
	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0)));
	EXPECT_EQ(0, reach(self, 0, A, 0));
	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	EXPECT_EQ(READ_WRITE, reach(self, 0, A, 0));
}

static void expect_spots(struct __test_metadata *_metadata,
			 FIXTURE_DATA(device) *self, const uint64_t *at, int n)
{
	struct spot spots[MAX_SPOTS];
	int i;

	for (i = 0; i < n; i++) {
		uint64_t tce = self->g.view[at[i]];

		spots[i].iova = ioba(&self->g, at[i]);
		spots[i].ua = tce & TCE_READ ?
			self->g.data + (tce & ~TCE_RW) - DATA_GPA : NULL;
	}
	EXPECT_EQ(0, probe_spots(&self->probe, spots, n));
}

/* The device sees the memory that the guest's table names. */
TEST_F(device, dma_list)
{
	static const uint64_t at[] = {
		99, 100, 101, 102, 103, 104, 105, 228, 355, 356, 357, 358,
		483, 484, 511, 512, 513, 520, 600, 609, 610, 611, 612,
	};
	struct guest *g = &self->g;

	fill_list(g, 0, 256, gpa(A, 0) | TCE_RW, SZ_4K);
	fill_list(g, 256, 128, gpa(B, 255 * SZ_4K) | TCE_RW, -(long)SZ_4K);
	fill_list(g, 384, 128, gpa(B, 5 * SZ_4K) | TCE_RW, 0);
	list_set(&g->cpu, 0, 3, 0);
	list_set(&g->cpu, 0, 411, 0);
	list_set(&g->cpu, 0, 511, gpa(A, 0));
	ASSERT_EQ(H_SUCCESS, put_list(g, 100, 512));
	EXPECT_EQ(gpa(A, 0) | TCE_RW, entry(g, 100));
	EXPECT_EQ(gpa(B, 255 * SZ_4K) | TCE_RW, entry(g, 356));
	expect_spots(_metadata, self, at, ARRAY_SIZE(at));

	ASSERT_EQ(H_SUCCESS, stuff(g, 101, 0, 384));
	ASSERT_EQ(H_SUCCESS, stuff(g, 520, 0, 90));
	expect_spots(_metadata, self, at, ARRAY_SIZE(at));
	ASSERT_EQ(H_SUCCESS, stuff(g, 0, 0, g->size));
	EXPECT_EQ(0, entry(g, 100));
	expect_spots(_metadata, self, at, ARRAY_SIZE(at));
}

/* The page that entry @i of list @seed points to: no two are neighbours. */
static uint64_t scattered_tce(int region, unsigned int i, unsigned int seed)
{
	unsigned int pages = REGION_SIZE / SZ_4K;

	return gpa(region, ((i * 7 + seed * 13) % pages) * SZ_4K) | TCE_RW;
}

static void scatter_list(struct guest *g, unsigned int from, unsigned int n,
			 int region, unsigned int seed)
{
	unsigned int i;

	for (i = from; i < from + n; i++)
		list_set(&g->cpu, 0, i, scattered_tce(region, i, seed));
}

static unsigned long wrong_scattered(struct guest *g, uint64_t at,
				     unsigned int from, unsigned int n,
				     int region, unsigned int seed)
{
	unsigned long wrong = 0;
	unsigned int i;

	for (i = from; i < from + n; i++)
		wrong += entry(g, at + i) != scattered_tce(region, i, seed);
	return wrong;
}

static const uint64_t scattered_at[] = {
	0, 899, 900, 901, 1022, 1023, 1024, 1025, 1155, 1156, 1157, 1410, 1411,
	1412,
};

/* Scattered lists over scattered lists, from entry 900 on: in two chunks. */
TEST_F(device, scattered)
{
	struct guest *g = &self->g;

	scatter_list(g, 0, 512, A, 0);
	ASSERT_EQ(H_SUCCESS, put_list(g, 900, 512));
	EXPECT_EQ(0, wrong_scattered(g, 900, 0, 512, A, 0));
	expect_spots(_metadata, self, scattered_at, ARRAY_SIZE(scattered_at));
	EXPECT_EQ(1, busy(g, A));
	EXPECT_EQ(0, busy(g, B));

	scatter_list(g, 0, 512, B, 1);
	ASSERT_EQ(H_SUCCESS, put_list(g, 900, 512));
	EXPECT_EQ(0, wrong_scattered(g, 900, 0, 512, B, 1));
	expect_spots(_metadata, self, scattered_at, ARRAY_SIZE(scattered_at));
	EXPECT_EQ(0, busy(g, A));
	EXPECT_EQ(1, busy(g, B));

	/* within one chunk, then over part of it, with holes */
	scatter_list(g, 0, 256, A, 2);
	ASSERT_EQ(H_SUCCESS, put_list(g, 1156, 256));
	EXPECT_EQ(1, busy(g, A));
	EXPECT_EQ(1, busy(g, B));
	fill_list(g, 0, 256, 0, 0);
	ASSERT_EQ(H_SUCCESS, put_list(g, 900, 256));
	EXPECT_EQ(0, busy(g, B));
	EXPECT_EQ(0, wrong_entries(g, 900, 256, 0, 0));
	EXPECT_EQ(0, wrong_scattered(g, 1156, 0, 256, A, 2));
	expect_spots(_metadata, self, scattered_at, ARRAY_SIZE(scattered_at));
	EXPECT_EQ(H_SUCCESS, stuff(g, 900, 0, 512));
	EXPECT_EQ(0, busy(g, A));
}

/* One half of a list is in another region than the other, or every other. */
TEST_F(device, two_regions)
{
	struct guest *g = &self->g;
	unsigned int i;

	scatter_list(g, 0, 256, A, 0);
	scatter_list(g, 256, 256, B, 0);
	ASSERT_EQ(H_SUCCESS, put_list(g, 0, 512));
	EXPECT_EQ(0, wrong_scattered(g, 0, 0, 256, A, 0));
	EXPECT_EQ(0, wrong_scattered(g, 0, 256, 256, B, 0));
	EXPECT_EQ(H_SUCCESS, stuff(g, 0, 0, 255));
	EXPECT_EQ(1, busy(g, A));
	EXPECT_EQ(H_SUCCESS, stuff(g, 255, 0, 1));
	EXPECT_EQ(0, busy(g, A));
	EXPECT_EQ(1, busy(g, B));

	for (i = 0; i < 512; i++)
		scatter_list(g, i, 1, i % 2 ? A : B, 3);
	ASSERT_EQ(H_SUCCESS, put_list(g, 0, 512));
	EXPECT_EQ(1, busy(g, A));
	for (i = 0; i < 512; i++)
		scatter_list(g, i, 1, i % 2 ? A : B, 4);
	list_set(&g->cpu, 0, 3, 0);
	ASSERT_EQ(H_SUCCESS, put_list(g, 0, 512));
	EXPECT_EQ(0, entry(g, 3));
	EXPECT_EQ(0, wrong_scattered(g, 0, 511, 1, A, 4));
	EXPECT_EQ(0, wrong_scattered(g, 0, 510, 1, B, 4));
	for (i = 1; i < 512; i += 2)
		EXPECT_EQ(H_SUCCESS, stuff(g, i, 0, 1));
	EXPECT_EQ(0, busy(g, A));
	EXPECT_EQ(1, busy(g, B));
	EXPECT_EQ(H_SUCCESS, stuff(g, 0, 0, 512));
	EXPECT_EQ(0, busy(g, B));
}

/* One entry that can't be, and a scattered list changes nothing. */
TEST_F(device, scattered_all_or_none)
{
	static const unsigned int where[] = { 0, 1, 100, 511 };
	struct guest *g = &self->g;
	unsigned int i, k;

	scatter_list(g, 0, 512, A, 0);
	ASSERT_EQ(H_SUCCESS, put_list(g, 0, 512));
	for (i = 0; i < ARRAY_SIZE(where); i++) {
		for (k = 0; k < 3; k++) {
			static const uint64_t bad[] = {
				DATA_GPA + UNREGISTERED * REGION_SIZE + TCE_RW,
				DATA_GPA + 8 + TCE_RW,
				(1UL << 40) + TCE_RW,
			};

			scatter_list(g, 0, 512, B, 1);
			list_set(&g->cpu, 0, where[i], bad[k]);
			EXPECT_EQ(H_TOO_HARD, put_list(g, 0, 512)) {
				TH_LOG("%#lx at %u", (long)bad[k], where[i]);
			}
			EXPECT_EQ(0, busy(g, B));
		}
	}
	EXPECT_EQ(0, wrong_scattered(g, 0, 0, 512, A, 0));
	EXPECT_EQ(1, busy(g, A));
	EXPECT_EQ(H_SUCCESS, stuff(g, 0, 0, 512));
	EXPECT_EQ(0, busy(g, A));
}

/*
 * Memory goes on below a memslot, in the process and in the machine, and
 * further than the guest's addresses do: none of it is the guest's.
 */
TEST_F(device, list_below_the_slot)
{
	struct guest *g = &self->g;
	size_t size = SZ_16M;
	char *buf;

	buf = buf_alloc_huge(size, 24);
	if (!buf) {
		size = 2 * SZ_1M;
		buf = buf_alloc_huge(size, 21);
	}
	if (!buf)
		SKIP(return, "no huge pages on this machine");
	ASSERT_EQ(0, spapr_register(g->c, buf, size));
	ASSERT_EQ(0, vm_memory(&g->vm, 2, GUEST_LOW_SIZE, buf + 3 * SZ_1M / 2,
			       SZ_1M / 2));

	list_set(&g->cpu, 0, 0, GUEST_LOW_SIZE | TCE_RW);
	list_set(&g->cpu, 0, 1, -SZ_64K | TCE_RW);
	EXPECT_EQ(H_TOO_HARD, put_list(g, 0, 2));
	EXPECT_EQ(0, entry(g, 0));
	EXPECT_EQ(0, entry(g, 1));
	EXPECT_EQ(0, spapr_unregister(g->c, buf, size));
}

/*
 * The process has put other memory in the place of a list that was registered:
 * the guest's list is what the guest sees.
 */
TEST_F(device, list_is_what_the_guest_sees)
{
	struct guest *g = &self->g;
	char *page = (char *)((uintptr_t)g->cpu.list & -page_size), *copy;

	if (variant->mmu != PR && !variant->late && get_early() == 'Y' &&
	    has_early())
		SKIP(return, "read early, it is what was registered");
	list_set(&g->cpu, 0, 0, gpa(A, 0) | TCE_RW);
	ASSERT_EQ(H_SUCCESS, put_list(g, 0, 1));
	EXPECT_EQ(gpa(A, 0) | TCE_RW, entry(g, 0));

	copy = malloc(page_size);
	ASSERT_NE(NULL, copy);
	memcpy(copy, page, page_size);
	ASSERT_EQ(page, mmap(page, page_size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	memcpy(page, copy, page_size);
	free(copy);
	list_set(&g->cpu, 0, 0, gpa(B, 0) | TCE_RW);
	ASSERT_EQ(H_SUCCESS, put_list(g, 0, 1));
	EXPECT_EQ(gpa(B, 0) | TCE_RW, entry(g, 0));
	EXPECT_EQ(READ_WRITE, reach(self, 0, B, 0));
}

/* Address 0 of the process is memory as any other. */
TEST_F(device, address_zero)
{
	struct guest *g = &self->g;
	void *zero = mmap(NULL, SZ_64K, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	int i;

	if (zero == MAP_FAILED)
		SKIP(return, "nothing can be mapped at address 0");
	ASSERT_EQ(0, spapr_register(g->c, zero, SZ_64K));
	ASSERT_EQ(0, vm_memory(&g->vm, 2, GUEST_LOW_SIZE, zero, SZ_64K));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(H_SUCCESS, put(g, 0, GUEST_LOW_SIZE | TCE_RW));
	EXPECT_EQ(-EBUSY, spapr_unregister(g->c, zero, SZ_64K));
	EXPECT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	EXPECT_EQ(0, spapr_unregister(g->c, zero, SZ_64K));
	EXPECT_EQ(H_SUCCESS, put(g, 0, 0));
	ASSERT_EQ(0, vm_memory(&g->vm, 2, GUEST_LOW_SIZE, zero, 0));
	munmap(zero, SZ_64K);
}

/* A call that is refused leaves the device as it was. */
TEST_F(device, dma_after_refusal)
{
	struct guest *g = &self->g;
	int i;

	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	fill_list(g, 0, 4, gpa(B, 0) | TCE_RW, SZ_4K);
	for (i = 0; i < ARRAY_SIZE(bad_tces); i++) {
		list_set(&g->cpu, 0, 3, bad_tces[i]);
		EXPECT_EQ(H_TOO_HARD, put(g, 0, bad_tces[i]));
		EXPECT_EQ(H_TOO_HARD, put_list(g, 0, 4));
	}
	list_set(&g->cpu, 0, 3, gpa(UNREGISTERED, 0) | TCE_RW);
	EXPECT_EQ(H_TOO_HARD, put_list(g, 0, 4));
	EXPECT_EQ(H_TOO_HARD, put(g, 0, gpa(UNREGISTERED, 0) | TCE_RW));
	EXPECT_EQ(READ_WRITE, reach(self, 0, A, 0));
	EXPECT_EQ(0, reach(self, 1, B, SZ_4K));
	EXPECT_EQ(0, reach(self, 3, UNREGISTERED, 0));
}

/* Memory is busy as long as an entry points to it, whoever made it go. */
TEST_F(device, busy)
{
	struct guest *g = &self->g;

	EXPECT_EQ(0, busy(g, A));
	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	EXPECT_EQ(1, busy(g, A));
	EXPECT_EQ(0, busy(g, B));
	/* once for each entry */
	ASSERT_EQ(H_SUCCESS, put(g, 1, gpa(A, 0) | TCE_RW));
	ASSERT_EQ(H_SUCCESS, put(g, 0, 0));
	EXPECT_EQ(1, busy(g, A));
	/* not for each time that it is written */
	ASSERT_EQ(H_SUCCESS, put(g, 1, gpa(A, 0) | TCE_RW));
	ASSERT_EQ(H_SUCCESS, put(g, 1, gpa(A, SZ_4K) | TCE_READ));
	ASSERT_EQ(H_SUCCESS, put(g, 1, gpa(A, 0) | TCE_RW));
	ASSERT_EQ(H_SUCCESS, put(g, 1, 0));
	EXPECT_EQ(0, busy(g, A));
	/* cleared twice */
	ASSERT_EQ(H_SUCCESS, put(g, 1, 0));
	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	EXPECT_EQ(1, busy(g, A));
	/* another region takes over */
	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(B, 0) | TCE_RW));
	EXPECT_EQ(0, busy(g, A));
	EXPECT_EQ(1, busy(g, B));
	ASSERT_EQ(H_SUCCESS, stuff(g, 0, 0, 1));
	EXPECT_EQ(0, busy(g, B));
}

TEST_F(device, busy_lists)
{
	struct guest *g = &self->g;
	int i;

	fill_list(g, 0, 256, gpa(A, 0) | TCE_RW, SZ_4K);
	fill_list(g, 256, 256, gpa(B, 0) | TCE_RW, SZ_4K);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(H_SUCCESS, put_list(g, 300, 512));
	}
	EXPECT_EQ(1, busy(g, A));
	EXPECT_EQ(1, busy(g, B));
	ASSERT_EQ(H_SUCCESS, stuff(g, 300, 0, 255));
	EXPECT_EQ(1, busy(g, A));
	ASSERT_EQ(H_SUCCESS, put(g, 555, 0));
	EXPECT_EQ(0, busy(g, A));
	EXPECT_EQ(1, busy(g, B));
	/* a list that clears all but one, and replaces that one */
	fill_list(g, 0, 512, 0, 0);
	list_set(&g->cpu, 0, 400, gpa(A, 0) | TCE_RW);
	ASSERT_EQ(H_SUCCESS, put_list(g, 300, 512));
	EXPECT_EQ(1, busy(g, A));
	EXPECT_EQ(0, busy(g, B));
	ASSERT_EQ(H_SUCCESS, stuff(g, 0, 0, g->size));
	EXPECT_EQ(0, busy(g, A));
	/* both halves of one run of memory */
	EXPECT_EQ(0, unregister_region(g, A));
	EXPECT_EQ(0, unregister_region(g, B));
}

/* Guest and process map and unmap the same entries. */
TEST_F(device, busy_with_ioctls)
{
	struct guest *g = &self->g;

	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	ASSERT_EQ(0, spapr_unmap(g->c, 0, SZ_4K));
	EXPECT_EQ(0, busy(g, A));
	EXPECT_EQ(0, reach(self, 0, A, 0));
	ASSERT_EQ(H_SUCCESS, put(g, 0, 0));
	EXPECT_EQ(0, busy(g, A));

	ASSERT_EQ(0, spapr_map(g->c, 0, region_ua(g, A), SZ_64K));
	EXPECT_EQ(1, busy(g, A));
	ASSERT_EQ(H_SUCCESS, stuff(g, 0, 0, 15));
	EXPECT_EQ(1, busy(g, A));
	ASSERT_EQ(H_SUCCESS, put(g, 15, gpa(B, 0) | TCE_RW));
	EXPECT_EQ(0, busy(g, A));
	EXPECT_EQ(1, busy(g, B));
	ASSERT_EQ(0, spapr_map(g->c, 15 * SZ_4K, region_ua(g, A), SZ_4K));
	EXPECT_EQ(1, busy(g, A));
	EXPECT_EQ(0, busy(g, B));
	EXPECT_EQ(READ_WRITE, reach(self, 15, A, 0));
	ASSERT_EQ(0, spapr_unmap(g->c, 0, SZ_64K));
	EXPECT_EQ(0, busy(g, A));
}

/* Two LIOBNs, the second one with larger pages, for one window. */
TEST_F(device, two_liobns)
{
	struct guest *g = &self->g;
	int fd;

	fd = vm_liobn(&g->vm, LIOBN + 1, 16, 0, 16);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vm_attach(&g->vm, g->edu[0].group_fd, fd));
	ASSERT_EQ(H_SUCCESS, put(g, 3, gpa(A, 0) | TCE_RW));
	ASSERT_EQ(H_SUCCESS, put(g, 16, gpa(A, 0) | TCE_RW));
	/* over the first of both, and 15 more */
	EXPECT_EQ(H_SUCCESS, h_put_tce(&g->cpu, LIOBN + 1, 0,
				       gpa(B, 0) | TCE_RW));
	EXPECT_EQ(READ_WRITE, reach(self, 3, B, 3 * SZ_4K));
	EXPECT_EQ(READ_WRITE, reach(self, 16, A, 0));
	EXPECT_EQ(1, busy(g, A));
	EXPECT_EQ(1, busy(g, B));
	EXPECT_EQ(H_SUCCESS, put(g, 16, 0));
	EXPECT_EQ(0, busy(g, A));
	EXPECT_EQ(H_SUCCESS, stuff(g, 0, 0, 15));
	EXPECT_EQ(1, busy(g, B));
	EXPECT_EQ(READ_WRITE, reach(self, 15, B, 15 * SZ_4K));
	EXPECT_EQ(H_SUCCESS, h_stuff_tce(&g->cpu, LIOBN + 1, 0, 0, 16));
	EXPECT_EQ(0, busy(g, B));
	EXPECT_EQ(0, reach(self, 15, B, 15 * SZ_4K));
	close(fd);
}

/* Attached to a table that has entries: they stay. */
TEST_F(device, attach_keeps_entries)
{
	struct guest *g = &self->g;

	guest_close_liobn(g);
	ASSERT_EQ(0, spapr_map(g->c, 0, region_ua(g, A), SZ_4K));
	guest_liobn(_metadata, g, 12, 0, SZ_1G / SZ_4K);
	ASSERT_EQ(H_SUCCESS, put(g, 1, gpa(B, 0) | TCE_RW));
	EXPECT_EQ(0, busy(g, B));
	ASSERT_EQ(0, vm_attach(&g->vm, g->edu[0].group_fd, g->table));
	EXPECT_EQ(READ_WRITE, reach(self, 0, A, 0));
	EXPECT_EQ(1, busy(g, A));
	EXPECT_EQ(0, busy(g, B));
	EXPECT_EQ(0, entry(g, 0));
	EXPECT_EQ(gpa(B, 0) | TCE_RW, entry(g, 1));
	EXPECT_EQ(H_SUCCESS, put(g, 0, gpa(B, 0) | TCE_RW));
	EXPECT_EQ(0, busy(g, A));
	EXPECT_EQ(1, busy(g, B));
}

TEST_F(device, attach_refused)
{
	struct guest *g = &self->g;
	int group = g->edu[0].group_fd, null, fd;
	struct vm other;

	EXPECT_EQ(-EBADF, vm_attach(&g->vm, group, -1));
	EXPECT_EQ(-EBADF, vm_attach(&g->vm, group, 12345));
	EXPECT_EQ(-EBADF, vm_attach(&g->vm, -1, g->table));
	/* other files than a table */
	null = open("/dev/null", O_RDWR);
	ASSERT_LE(0, null);
	EXPECT_EQ(-EINVAL, vm_attach(&g->vm, group, null));
	EXPECT_EQ(-EINVAL, vm_attach(&g->vm, group, g->vm.fd));
	EXPECT_EQ(-EINVAL, vm_attach(&g->vm, group, group));
	EXPECT_EQ(-EINVAL, vm_attach(&g->vm, group, g->c));
	EXPECT_EQ(-ENOENT, vm_attach(&g->vm, null, g->table));
	close(null);
	/* a table of another VM */
	vm_create(&other, variant->mmu);
	fd = vm_liobn(&other, LIOBN, 12, 0, 16);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EINVAL, vm_attach(&g->vm, group, fd));
	close(fd);
	vm_close(&other);
}

TEST_F(device, attach_incompatible)
{
	static const struct {
		unsigned int shift;
		uint64_t offset;
		uint64_t size;
	} bad[] = {
		/* other addresses than those of either window */
		{ 12, 1, 16 }, { 12, SZ_1M, 16 }, { 16, 1UL << 42, 16 },
		{ 16, (1UL << 43) + 1, 16 },
		/* smaller pages than the second window's */
		{ 12, 1UL << 47, 16 }, { 15, 1UL << 44, 16 },
		/* larger than the windows */
		{ 12, 0, 1 << 24 }, { 16, 0, 1 << 20 },
		{ 16, 1UL << 43, SZ_1G / SZ_64K + 1 },
		{ 24, 1UL << 35, SZ_1G / SZ_16M + 1 },
	};
	struct guest *g = &self->g;
	int group = g->edu[0].group_fd, i, fd;
	uint64_t start;

	ASSERT_EQ(0, spapr_create(g->c, 16, SZ_1G, 1, &start));
	ASSERT_EQ(SLOT1_START, start);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		fd = vm_liobn(&g->vm, LIOBN + 1, bad[i].shift, bad[i].offset,
			      bad[i].size);
		ASSERT_LE(0, fd);
		EXPECT_EQ(-EINVAL, vm_attach(&g->vm, group, fd)) {
			TH_LOG("shift %u, offset %#lx, size %#lx", bad[i].shift,
			       (long)bad[i].offset, (long)bad[i].size);
		}
		close(fd);
	}
	/* just so */
	fd = vm_liobn(&g->vm, LIOBN + 1, 16, 1UL << 43, SZ_1G / SZ_64K);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, vm_attach(&g->vm, group, fd));
	close(fd);
	fd = vm_liobn(&g->vm, LIOBN + 1, 24, 1UL << 35, SZ_1G / SZ_16M);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, vm_attach(&g->vm, group, fd));
	close(fd);
}

/* A VM may know a device by its own file, which has no windows. */
TEST_F(device, attach_device_file)
{
	struct guest *g = &self->g;
	int device = g->edu[0].fd;

	ASSERT_EQ(0, vm_group_add(&g->vm, device));
	EXPECT_EQ(-EIO, vm_attach(&g->vm, device, g->table));
	EXPECT_EQ(-EIO, vm_attach(&g->vm, device, g->table));
	EXPECT_EQ(0, vm_group_del(&g->vm, device));
	EXPECT_EQ(g->was.taint, kernel_taint());
	/* the group is attached as before */
	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	EXPECT_EQ(READ_WRITE, reach(self, 0, A, 0));
	ASSERT_EQ(H_SUCCESS, put(g, 0, 0));
}

TEST_F(device, attach_bad_pointer)
{
	char *end = (char *)buf_alloc(page_size, page_size) + page_size;
	struct kvm_device_attr attr = {
		.group = KVM_DEV_VFIO_GROUP,
		.attr = KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE,
	};
	struct guest *g = &self->g;

	EXPECT_EQ(-EFAULT, spapr_ioctl(g->vm.vfio, KVM_SET_DEVICE_ATTR, &attr));
	/* the last byte of it is missing */
	attr.addr = (uintptr_t)end - sizeof(struct kvm_vfio_spapr_tce) + 1;
	EXPECT_EQ(-EFAULT, spapr_ioctl(g->vm.vfio, KVM_SET_DEVICE_ATTR, &attr));
}

/* Known to the VM, and never attached to anything. */
TEST_F(device, never_attached)
{
	struct guest *g = &self->g;
	struct vm vm;
	int i;

	ASSERT_EQ(0, vm_group_del(&g->vm, g->edu[0].group_fd));
	for (i = 0; i < 2; i++) {
		vm_create(&vm, variant->mmu);
		ASSERT_EQ(0, vm_group_add(&vm, g->edu[0].group_fd));
		EXPECT_EQ(-EEXIST, vm_group_add(&vm, g->edu[0].group_fd));
		if (i) {
			EXPECT_EQ(0, vm_group_del(&vm, g->edu[0].group_fd));
		}
		vm_close(&vm);
		EXPECT_EQ(g->was.taint, kernel_taint());
	}
}

/* Attached twice is attached once. */
TEST_F(device, attach_twice)
{
	struct guest *g = &self->g;
	int group = g->edu[0].group_fd;

	EXPECT_EQ(0, vm_attach(&g->vm, group, g->table));
	EXPECT_EQ(0, vm_attach(&g->vm, group, g->table));
	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	EXPECT_EQ(READ_WRITE, reach(self, 0, A, 0));
	ASSERT_EQ(H_SUCCESS, put(g, 0, 0));
	EXPECT_EQ(0, busy(g, A));
	/* so closing the table once is enough */
	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	guest_close_liobn(g);
	EXPECT_EQ(0, busy(g, A));
	EXPECT_EQ(0, reach(self, 0, A, 0));
}

/* The VM no longer knows the group: the window is the process's, and stays. */
TEST_F(device, group_del)
{
	struct guest *g = &self->g;
	int group = g->edu[0].group_fd;

	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	ASSERT_EQ(0, vm_group_del(&g->vm, group));
	EXPECT_EQ(-ENOENT, vm_group_del(&g->vm, group));
	EXPECT_EQ(-ENOENT, vm_attach(&g->vm, group, g->table));
	EXPECT_EQ(1, busy(g, A));
	EXPECT_EQ(READ_WRITE, reach(self, 0, A, 0));

	EXPECT_EQ(H_SUCCESS, put(g, 0, gpa(B, 0) | TCE_RW));
	EXPECT_EQ(H_TOO_HARD, put(g, 1, gpa(UNREGISTERED, 0) | TCE_RW));
	EXPECT_EQ(gpa(B, 0) | TCE_RW, entry(g, 0));
	EXPECT_EQ(0, busy(g, A));
	EXPECT_EQ(1, busy(g, B));
	EXPECT_EQ(READ_WRITE, reach(self, 0, B, 0));

	/* Attached again it is what it was. */
	ASSERT_EQ(0, vm_group_add(&g->vm, group));
	ASSERT_EQ(0, vm_attach(&g->vm, group, g->table));
	EXPECT_EQ(READ_WRITE, reach(self, 0, B, 0));
	ASSERT_EQ(H_SUCCESS, put(g, 0, 0));
	EXPECT_EQ(0, busy(g, B));
	EXPECT_EQ(0, reach(self, 0, B, 0));
}

/* Two guests of one process: each changes the window, the last one wins. */
TEST_F(device, two_vms)
{
	struct guest *g = &self->g, other = { .c = -1 };

	vm_create(&other.vm, variant->mmu);
	ASSERT_EQ(0, vm_memory(&other.vm, 1, DATA_GPA, g->data, DATA_SIZE));
	vcpu_create(&other.vm, &other.cpu);
	guest_liobn(_metadata, &other, 12, SLOT0_START, SZ_1G / SZ_4K);
	ASSERT_EQ(0, vm_group_add(&other.vm, g->edu[0].group_fd));
	ASSERT_EQ(0, vm_attach(&other.vm, g->edu[0].group_fd, other.table));

	ASSERT_EQ(H_SUCCESS, put(g, 3, gpa(A, 0) | TCE_RW));
	ASSERT_EQ(H_SUCCESS, put(&other, 4, gpa(A, 0) | TCE_RW));
	ASSERT_EQ(H_SUCCESS, put(&other, 3, gpa(B, 0) | TCE_RW));
	EXPECT_EQ(READ_WRITE, reach(self, 3, B, 0));
	EXPECT_EQ(READ_WRITE, reach(self, 4, A, 0));
	EXPECT_EQ(0, entry(g, 4));

	/* One goes, and all of its range; the other one goes on. */
	guest_close_liobn(&other);
	EXPECT_EQ(0, busy(g, A));
	EXPECT_EQ(0, busy(g, B));
	EXPECT_EQ(0, reach(self, 3, B, 0));
	ASSERT_EQ(H_SUCCESS, put(g, 3, gpa(A, 0) | TCE_RW));
	EXPECT_EQ(READ_WRITE, reach(self, 3, A, 0));
	vcpu_close(&other.cpu);
	vm_close(&other.vm);
	EXPECT_EQ(READ_WRITE, reach(self, 3, A, 0));
	EXPECT_EQ(1, busy(g, A));
}

/* The table goes with its entries; from then on, hypercalls are user space's. */
TEST_F(device, close_table)
{
	struct guest *g = &self->g;
	uint64_t tce;

	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	guest_close_liobn(g);
	EXPECT_EQ(0, busy(g, A));
	EXPECT_EQ(0, reach(self, 0, A, 0));
	EXPECT_EQ(H_TOO_HARD, put(g, 0, gpa(B, 0) | TCE_RW));
	EXPECT_EQ(H_TOO_HARD, put(g, 0, 0));
	EXPECT_EQ(H_TOO_HARD, stuff(g, 0, 0, 1));
	EXPECT_EQ(H_TOO_HARD, h_get_tce(&g->cpu, LIOBN, 0, &tce));
	EXPECT_EQ(0, busy(g, B));

	/* and a new one can be had, which is empty */
	guest_liobn(_metadata, g, 12, 0, SZ_1G / SZ_4K);
	EXPECT_EQ(0, entry(g, 0));
	ASSERT_EQ(0, vm_attach(&g->vm, g->edu[0].group_fd, g->table));
	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(B, 0) | TCE_RW));
	EXPECT_EQ(READ_WRITE, reach(self, 0, B, 0));
}

/* The window goes, with what the guest has put there. */
TEST_F(device, remove_window)
{
	struct guest *g = &self->g;
	int i;

	fill_list(g, 0, 256, gpa(A, 0) | TCE_RW, SZ_4K);
	ASSERT_EQ(H_SUCCESS, put_list(g, 0, 256));
	ASSERT_EQ(0, spapr_remove(g->c, SLOT0_START));
	EXPECT_EQ(0, busy(g, A));
	EXPECT_EQ(gpa(A, 0) | TCE_RW, entry(g, 0));

	/* Entries that it puts there now are its own alone */
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(H_SUCCESS, put_list(g, 100, 256));
		EXPECT_EQ(H_SUCCESS, put(g, i, gpa(B, 0) | TCE_RW));
		EXPECT_EQ(gpa(B, 0) | TCE_RW, entry(g, i));
		EXPECT_EQ(0, busy(g, A));
		EXPECT_EQ(0, busy(g, B));
	}
	EXPECT_EQ(H_SUCCESS, stuff(g, 0, 0, g->size));
	EXPECT_EQ(0, unregister_region(g, A));
	EXPECT_EQ(0, unregister_region(g, B));
}

/* A window, and two LIOBNs that change it. Returns what all of it is charged. */
static long two_liobns_of_a_window(struct __test_metadata *_metadata,
				   struct guest *g, int fd[2])
{
	long before = locked_kb();
	uint64_t start;
	int i;

	ASSERT_EQ(0, spapr_create(g->c, page_shift, SZ_1G, 1, &start));
	ASSERT_EQ(SLOT1_START, start);
	for (i = 0; i < 2; i++) {
		fd[i] = vm_liobn(&g->vm, LIOBN + 1 + i, 16, start >> 16,
				 SZ_1G / SZ_64K);
		ASSERT_LE(0, fd[i]);
		ASSERT_EQ(0, vm_attach(&g->vm, g->edu[0].group_fd, fd[i]));
		ASSERT_EQ(H_SUCCESS, h_put_tce(&g->cpu, LIOBN + 1 + i,
					       start + i * SZ_64K,
					       gpa(A, 0) | TCE_RW));
	}
	EXPECT_EQ(1, busy(g, A));
	return locked_kb() - before;
}

/*
 * The charge of a window goes with it, whoever attached it: no call has to
 * come first, and each LIOBN may go before or after. @order: the window last,
 * in the middle, or first.
 */
static void close_window(struct __test_metadata *_metadata, struct guest *g,
			 int order)
{
	long before = locked_kb(), table, all;
	int fd[2], i;

	/* what a LIOBN alone is charged */
	fd[0] = vm_liobn(&g->vm, LIOBN + 1, 16, SLOT1_START >> 16,
			 SZ_1G / SZ_64K);
	ASSERT_LE(0, fd[0]);
	table = locked_kb() - before;
	close(fd[0]);
	ASSERT_EQ(before, locked_kb());

	all = two_liobns_of_a_window(_metadata, g, fd);
	EXPECT_LT(2 * table, all);
	for (i = 0; i < 3; i++) {
		if (i == order) {
			ASSERT_EQ(0, spapr_remove(g->c, SLOT1_START));
			all -= all - (2 - i) * table;
			EXPECT_EQ(0, busy(g, A));
		} else {
			close(fd[i - (i > order)]);
			all -= table;
		}
		EXPECT_EQ(before + all, locked_kb()) {
			TH_LOG("window number %d to go, after %d", order, i);
		}
	}
	EXPECT_EQ(before, locked_kb());
	EXPECT_EQ(0, busy(g, A));
}

TEST_F(device, remove_window_charge)
{
	int order;

	for (order = 0; order < 3; order++)
		close_window(_metadata, &self->g, order);
}

/* A window that comes again is another one, of which the LIOBN knows nothing. */
TEST_F(device, window_again)
{
	struct guest *g = &self->g;
	uint64_t start;
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(H_SUCCESS, put(g, 5, gpa(A, 0) | TCE_RW));
		EXPECT_EQ(1, busy(g, A));
		ASSERT_EQ(0, spapr_remove(g->c, SLOT0_START));
		EXPECT_EQ(-EINVAL, vm_attach(&g->vm, g->edu[0].group_fd,
					     g->table));
		ASSERT_EQ(0, spapr_create(g->c, 12, 2 * SZ_1G, 1, &start));
		ASSERT_EQ(SLOT0_START, start);
		EXPECT_EQ(H_SUCCESS, put(g, 6, gpa(A, 0) | TCE_RW));
		EXPECT_EQ(0, busy(g, A));
		ASSERT_EQ(0, vm_attach(&g->vm, g->edu[0].group_fd, g->table));
		EXPECT_EQ(H_SUCCESS, put(g, 6, gpa(A, 0) | TCE_RW));
		EXPECT_EQ(1, busy(g, A));
	}
	ASSERT_EQ(H_SUCCESS, stuff(g, 0, 0, g->size));
	EXPECT_EQ(0, busy(g, A));
}

/* The charge of a table like that of the guest. */
static long table_charge(struct guest *g)
{
	long before = locked_kb(), with;
	int fd;

	fd = vm_liobn(&g->vm, LIOBN + 1, g->shift, 0, g->size);
	with = locked_kb();
	close(fd);
	return with - before;
}

/* The container goes first. */
TEST_F(device, close_container)
{
	struct guest *g = &self->g;
	long table = table_charge(g);

	ASSERT_LT(0, table);
	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	edu_close(&g->edu[0]);
	ASSERT_EQ(0, vm_group_del(&g->vm, g->edu[0].group_fd));
	edu_close_group(&g->edu[0]);
	close(g->c);
	g->c = -1;
	EXPECT_EQ(g->was.pinned, pinned_pages_settle(g->was.pinned));
	/* nothing but the guest's own table is charged */
	EXPECT_EQ(g->was.locked_kb + table, locked_kb());
	EXPECT_EQ(H_SUCCESS, put(g, 0, gpa(B, 0) | TCE_RW));
	EXPECT_EQ(gpa(B, 0) | TCE_RW, entry(g, 0));
	EXPECT_EQ(g->was.locked_kb + table, locked_kb());
	guest_close_liobn(g);
	EXPECT_EQ(g->was.locked_kb, locked_kb());
}

/* The group leaves its container with the VM still knowing it. */
TEST_F(device, leave_container)
{
	struct guest *g = &self->g;
	long table = table_charge(g);

	ASSERT_LT(0, table);
	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	edu_close(&g->edu[0]);
	ASSERT_EQ(0, container_del(g->c, &g->edu[0]));
	EXPECT_EQ(g->was.pinned, pinned_pages_settle(g->was.pinned));
	/* of the windows nothing is charged any more */
	EXPECT_EQ(g->was.locked_kb + table, locked_kb());
	EXPECT_EQ(H_SUCCESS, put(g, 0, 0));

	/* and comes back, to a window that is empty, and not attached */
	ASSERT_EQ(0, container_add(g->c, &g->edu[0]));
	ASSERT_EQ(0, container_set_iommu(g->c, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, register_region(g, A));
	ASSERT_EQ(0, probe_init(&self->probe, g->c, &g->edu[0], g->last));
	EXPECT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	EXPECT_EQ(0, reach(self, 0, A, 0));
	EXPECT_EQ(0, busy(g, A));
	ASSERT_EQ(0, vm_attach(&g->vm, g->edu[0].group_fd, g->table));
	EXPECT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	EXPECT_EQ(READ_WRITE, reach(self, 0, A, 0));
	EXPECT_EQ(1, busy(g, A));
}

/* Takes a device away, as QEMU does: not a word to the LIOBN. */
static void unplug(struct __test_metadata *_metadata, struct guest *g,
		   int side, int c)
{
	ASSERT_EQ(0, vm_group_del(&g->vm, g->edu[side].group_fd));
	edu_close(&g->edu[side]);
	ASSERT_EQ(0, container_del(c, &g->edu[side]));
}

/*
 * A second group comes into the container, of which the LIOBN is not told: QEMU
 * attaches a window once. Then the first one goes, by which it was attached.
 */
TEST_F(device, plug_beside_and_unplug)
{
	struct probe beside = self->probe;
	struct guest *g = &self->g;
	struct edu *edu = &g->edu[1];

	if (g->groups < 2)
		SKIP(return, "no two groups with an edu device each");
	if (tables_are_apart())
		SKIP(return, "%s", tables_are_apart());
	beside.edu = edu;
	ASSERT_LE(0, edu_open_group(edu));
	ASSERT_EQ(H_SUCCESS, put(g, 3, gpa(A, 0) | TCE_RW));
	ASSERT_EQ(0, container_add(g->c, edu));
	ASSERT_EQ(0, edu_open(edu));
	ASSERT_EQ(0, vm_group_add(&g->vm, edu->group_fd));
	EXPECT_EQ(READ_WRITE, probe_reach(&beside, ioba(g, 3),
					  region_ua(g, A)));

	unplug(_metadata, g, 0, g->c);
	EXPECT_EQ(READ_WRITE, probe_reach(&beside, ioba(g, 3),
					  region_ua(g, A)));
	EXPECT_EQ(H_SUCCESS, put(g, 3, gpa(B, 0) | TCE_RW));
	EXPECT_EQ(READ_WRITE, probe_reach(&beside, ioba(g, 3),
					  region_ua(g, B)));
	EXPECT_EQ(H_SUCCESS, put(g, 3, 0));
	EXPECT_EQ(0, probe_reach(&beside, ioba(g, 3), region_ua(g, B)));
	EXPECT_EQ(0, busy(g, A));
	EXPECT_EQ(0, busy(g, B));

	/* With the last one the window goes, and does not look at memory. */
	ASSERT_EQ(H_SUCCESS, put(g, 3, gpa(A, 0) | TCE_RW));
	unplug(_metadata, g, 1, g->c);
	EXPECT_EQ(g->was.pinned, pinned_pages_settle(g->was.pinned));
	EXPECT_EQ(H_SUCCESS, put(g, 3, gpa(UNREGISTERED, 0) | TCE_RW));
}

/* Another guest that has mapped all of region A through the device's window. */
static void next_guest(struct __test_metadata *_metadata,
		       FIXTURE_DATA(device) *self, enum mmu mmu)
{
	struct guest *g = &self->g;

	vm_create(&g->vm, mmu);
	ASSERT_EQ(0, vm_memory(&g->vm, 1, DATA_GPA, g->data, DATA_SIZE));
	vcpu_create(&g->vm, &g->cpu);
	guest_liobn(_metadata, g, 12, SLOT0_START, SZ_1G / SZ_4K);
	guest_attach(_metadata, g, 0);
	fill_list(g, 0, 256, gpa(A, 0) | TCE_RW, SZ_4K);
	ASSERT_EQ(H_SUCCESS, put_list(g, 1000, 256));
	ASSERT_EQ(H_SUCCESS, put(g, g->size - 1, gpa(A, 0) | TCE_RW));
}

/* These keep a VM alive */
#define VM_FDS		4

static void close_one(struct guest *g, int which)
{
	switch (which) {
	case 0:
		close(g->vm.fd);
		break;
	case 1:
		vcpu_close(&g->cpu);
		break;
	case 2:
		guest_close_liobn(g);
		break;
	case 3:
		close(g->vm.vfio);
		break;
	}
}

/* Closes all of them, in one of the 24 orders. */
static void close_in_order(struct guest *g, int order)
{
	int left[VM_FDS] = { 0, 1, 2, 3 }, n, i;

	for (n = VM_FDS; n; n--) {
		i = order % n;
		order /= n;
		close_one(g, left[i]);
		left[i] = left[n - 1];
	}
	close(g->vm.kvm);
}

/*
 * The VM goes, in whatever order its fds are closed, and the container stays:
 * nothing of the guest is left for the device. So another VM can have it.
 */
TEST_F(device, close_vm)
{
	struct guest *g = &self->g;
	int order;

	guest_close_liobn(g);
	vcpu_close(&g->cpu);
	vm_close(&g->vm);
	for (order = 0; order < 24; order++) {
		next_guest(_metadata, self, variant->mmu);
		EXPECT_EQ(1, busy(g, A));
		if (!order) {
			EXPECT_EQ(READ_WRITE, reach(self, 1000, A, 0));
		}
		close_in_order(g, order);
		EXPECT_EQ(0, unregister_region(g, A)) {
			TH_LOG("order %d", order);
		}
		EXPECT_EQ(0, reach(self, 1000, A, 0));
		EXPECT_EQ(0, reach(self, g->size - 1, A, 0));
		ASSERT_EQ(0, register_region(g, A));
	}
	next_guest(_metadata, self, variant->mmu);
	EXPECT_EQ(READ_WRITE, reach(self, 1000, A, 0));
	EXPECT_EQ(READ_WRITE, reach(self, g->size - 1, A, 0));
}

/* The range of the LIOBN is unmapped, whoever has mapped there. */
TEST_F(device, close_one_of_two_liobns)
{
	struct guest *g = &self->g;
	int fd;

	fd = vm_liobn(&g->vm, LIOBN + 1, 16, 0, 16);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vm_attach(&g->vm, g->edu[0].group_fd, fd));
	ASSERT_EQ(H_SUCCESS, h_put_tce(&g->cpu, LIOBN + 1, 0,
				       gpa(A, 0) | TCE_RW));
	ASSERT_EQ(H_SUCCESS, put(g, 255, gpa(A, 0) | TCE_RW));
	ASSERT_EQ(0, spapr_map(g->c, 32 * SZ_4K, region_ua(g, A), SZ_4K));
	ASSERT_EQ(H_SUCCESS, put(g, 256, gpa(B, 0) | TCE_RW));
	close(fd);
	EXPECT_EQ(0, busy(g, A));
	EXPECT_EQ(0, reach(self, 255, A, 0));
	EXPECT_EQ(1, busy(g, B));
	EXPECT_EQ(READ_WRITE, reach(self, 256, B, 0));
	/* and the other one goes on */
	EXPECT_EQ(H_SUCCESS, put(g, 255, gpa(A, 0) | TCE_RW));
	EXPECT_EQ(READ_WRITE, reach(self, 255, A, 0));
}

/* ---- guest pages that are many IOMMU pages, or huge ones ---- */

FIXTURE(large)
{
	struct guest g;
	char *data;
	size_t data_size;
	uint64_t page;
};

FIXTURE_VARIANT(large)
{
	enum mmu mmu;
	unsigned int window_shift;
	unsigned int shift;
};

FIXTURE_VARIANT_ADD(large, hash_64k_of_4k) { HASH, 12, 16 };
FIXTURE_VARIANT_ADD(large, hash_16m_of_64k) { HASH, 16, 24 };
FIXTURE_VARIANT_ADD(large, radix_64k_of_4k) { RADIX, 12, 16 };
FIXTURE_VARIANT_ADD(large, radix_16m_of_64k) { RADIX, 16, 24 };
FIXTURE_VARIANT_ADD(large, pr_64k_of_4k) { PR, 12, 16 };
FIXTURE_VARIANT_ADD(large, hash_16m) { HASH, 24, 24 };
FIXTURE_VARIANT_ADD(large, radix_2m) { RADIX, 21, 21 };

/* Where the guest has its larger memory: four pages of the LIOBN */
#define LARGE_GPA	0x40000000UL
#define LARGE_PAGES	4

FIXTURE_SETUP(large)
{
	struct vfio_iommu_spapr_tce_info info;
	struct guest *g = &self->g;
	uint64_t off;

	if (!guest_setup(_metadata, g, variant->mmu, true))
		return;
	self->page = 1UL << variant->shift;
	self->data_size = LARGE_PAGES * self->page;
	self->data = buf_alloc_contig(self->data_size, variant->window_shift);
	ASSERT_EQ(0, spapr_info(g->c, &info));
	if (!self->data || !(info.ddw.pgsizes >> variant->window_shift & 1)) {
		guest_teardown(_metadata, g);
		if (_metadata->exit_code == KSFT_FAIL)
			return;
		SKIP(return, "no huge pages for large IOMMU pages");
	}
	for (off = 0; off < self->data_size; off += SZ_4K)
		buf_tag(self->data + off, 64);
	ASSERT_EQ(0, vm_memory(&g->vm, 2, LARGE_GPA, self->data,
			       self->data_size));
	/* two levels, if there can be, so that the second is missing at first */
	ASSERT_EQ(0, spapr_create(g->c, variant->window_shift, 64 * SZ_1G,
				  info.ddw.levels > 1 ? 2 : 1, &g->start));
	guest_liobn(_metadata, g, variant->shift, g->start,
		    64 * SZ_1G >> variant->shift);
	guest_attach(_metadata, g, 0);
}

FIXTURE_TEARDOWN(large)
{
	guest_teardown(_metadata, &self->g);
}

static uint64_t large_gpa(FIXTURE_DATA(large) *self, int page)
{
	return LARGE_GPA + page * self->page;
}

/* @n pages of the guest from @i on: 0 if nothing of them is mapped. */
static void expect_mapped(struct __test_metadata *_metadata,
			  FIXTURE_DATA(large) *self, struct probe *probe,
			  uint64_t i, const char *ua)
{
	struct spot spots[32];
	uint64_t step = self->page / 16;
	int k, n = 0;

	for (k = 0; k < 16; k++) {
		spots[n].iova = ioba(&self->g, i) + k * step;
		spots[n++].ua = ua ? ua + k * step : NULL;
	}
	for (k = 0; k < 16; k++) {
		/* the last IOMMU page of each part */
		spots[n].iova = ioba(&self->g, i) + (k + 1) * step - SZ_4K;
		spots[n++].ua = ua ? ua + (k + 1) * step - SZ_4K : NULL;
	}
	EXPECT_EQ(0, probe_spots(probe, spots, n)) {
		TH_LOG("page %lu", (long)i);
	}
}

TEST_F(large, dma)
{
	struct guest *g = &self->g;
	struct probe probe;

	ASSERT_EQ(0, spapr_register(g->c, self->data, self->data_size));
	ASSERT_EQ(0, probe_init(&probe, g->c, &g->edu[0], g->last));
	/* an entry that was never there goes away */
	EXPECT_EQ(H_SUCCESS, put(g, 100, 0));
	EXPECT_EQ(H_SUCCESS, stuff(g, 100, 0, 2));
	EXPECT_EQ(H_SUCCESS, put(g, 100, large_gpa(self, 1) | TCE_RW));
	EXPECT_EQ(large_gpa(self, 1) | TCE_RW, entry(g, 100));
	expect_mapped(_metadata, self, &probe, 99, NULL);
	expect_mapped(_metadata, self, &probe, 100, self->data + self->page);
	expect_mapped(_metadata, self, &probe, 101, NULL);
	/* replaced, and cleared */
	EXPECT_EQ(H_SUCCESS, put(g, 100, large_gpa(self, 3) | TCE_RW));
	expect_mapped(_metadata, self, &probe, 100,
		      self->data + 3 * self->page);
	EXPECT_EQ(H_SUCCESS, put(g, 100, 0));
	expect_mapped(_metadata, self, &probe, 100, NULL);
	EXPECT_EQ(0, spapr_unregister(g->c, self->data, self->data_size));
}

TEST_F(large, dma_list)
{
	struct guest *g = &self->g;
	uint64_t last = g->size - 1;
	struct probe probe;

	ASSERT_EQ(0, spapr_register(g->c, self->data, self->data_size));
	ASSERT_EQ(0, probe_init(&probe, g->c, &g->edu[0], g->last));
	fill_list(g, 0, 4, large_gpa(self, 0) | TCE_RW, self->page);
	fill_list(g, 4, 4, large_gpa(self, 3) | TCE_RW, -(long)self->page);
	list_set(&g->cpu, 0, 5, 0);
	EXPECT_EQ(H_SUCCESS, put_list(g, g->size - 8, 8));
	expect_mapped(_metadata, self, &probe, last - 7, self->data);
	expect_mapped(_metadata, self, &probe, last - 4,
		      self->data + 3 * self->page);
	expect_mapped(_metadata, self, &probe, last - 3,
		      self->data + 3 * self->page);
	expect_mapped(_metadata, self, &probe, last - 2, NULL);
	expect_mapped(_metadata, self, &probe, last, self->data);
	EXPECT_EQ(H_SUCCESS, stuff(g, last - 4, 0, 2));
	expect_mapped(_metadata, self, &probe, last - 4, NULL);
	expect_mapped(_metadata, self, &probe, last - 3, NULL);
	expect_mapped(_metadata, self, &probe, last, self->data);
	EXPECT_EQ(-EBUSY, spapr_unregister(g->c, self->data, self->data_size));
	EXPECT_EQ(H_SUCCESS, stuff(g, last - 7, 0, 8));
	EXPECT_EQ(0, spapr_unregister(g->c, self->data, self->data_size));
}

/* The IOMMU pages that are locked together: a chunk of the engine. */
#define CHUNK_ENTRIES	1024

/* @n entries from @i on map the first pages of the larger memory. */
static void expect_list(struct __test_metadata *_metadata,
			FIXTURE_DATA(large) *self, struct probe *probe,
			uint64_t i, int n)
{
	int k;

	for (k = 0; k < n; k++) {
		EXPECT_EQ(large_gpa(self, k) | TCE_RW, entry(&self->g, i + k));
		expect_mapped(_metadata, self, probe, i + k,
			      self->data + k * self->page);
	}
}

/* A list is written whole, though it lies in two chunks. */
TEST_F(large, dma_list_over_chunks)
{
	unsigned int sub = variant->shift - variant->window_shift, k;
	struct guest *g = &self->g;
	struct probe probe;
	/* as long as it can be without being more than a list of IOMMU pages */
	unsigned int n = 512 >> sub < 4 ? 512 >> sub : 4;
	uint64_t at = 3 * (CHUNK_ENTRIES >> sub) - n / 2;

	ASSERT_EQ(0, spapr_register(g->c, self->data, self->data_size));
	ASSERT_EQ(0, probe_init(&probe, g->c, &g->edu[0], g->last));
	/* in place of nothing */
	fill_list(g, 0, n, large_gpa(self, 0) | TCE_RW, self->page);
	EXPECT_EQ(H_SUCCESS, put_list(g, at, n));
	expect_list(_metadata, self, &probe, at, n);
	/* in place of other memory */
	for (k = 0; k < n; k++) {
		EXPECT_EQ(H_SUCCESS, put(g, at + k,
					 large_gpa(self, 3) | TCE_RW));
	}
	EXPECT_EQ(H_SUCCESS, put_list(g, at, n));
	expect_list(_metadata, self, &probe, at, n);
	/* and with entries that are cleared */
	fill_list(g, 0, n, 0, 0);
	EXPECT_EQ(H_SUCCESS, put_list(g, at, n));
	for (k = 0; k < n; k++) {
		EXPECT_EQ(0, entry(g, at + k));
		expect_mapped(_metadata, self, &probe, at + k, NULL);
	}
	EXPECT_EQ(0, spapr_unregister(g->c, self->data, self->data_size));
}

/* All of the IOMMU pages go with the table. */
TEST_F(large, close_table)
{
	struct guest *g = &self->g;

	ASSERT_EQ(0, spapr_register(g->c, self->data, self->data_size));
	fill_list(g, 0, 4, large_gpa(self, 0) | TCE_RW, self->page);
	EXPECT_EQ(H_SUCCESS, put_list(g, 0, 4));
	EXPECT_EQ(H_SUCCESS, put_list(g, g->size - 4, 4));
	EXPECT_EQ(-EBUSY, spapr_unregister(g->c, self->data, self->data_size));
	guest_close_liobn(g);
	EXPECT_EQ(0, spapr_unregister(g->c, self->data, self->data_size));
}

/* Only the half of a page is registered: then it is not mapped at all. */
TEST_F(large, half_registered)
{
	bool one = variant->window_shift == variant->shift;
	struct guest *g = &self->g;
	char *second = self->data + self->page;
	size_t half = self->page / 2;

	if (half < page_size)
		SKIP(return, "half a page of the guest cannot be registered");
	ASSERT_EQ(0, spapr_register(g->c, self->data, self->page + half));
	EXPECT_EQ(H_SUCCESS, put(g, 0, large_gpa(self, 0) | TCE_RW));
	EXPECT_EQ(H_TOO_HARD, put(g, 0, large_gpa(self, 1) | TCE_RW));
	EXPECT_EQ(H_TOO_HARD, put(g, 1, large_gpa(self, 1) | TCE_RW));
	fill_list(g, 0, 2, large_gpa(self, 0) | TCE_RW, self->page);
	EXPECT_EQ(H_TOO_HARD, put_list(g, 2, 2));
	EXPECT_EQ(large_gpa(self, 0) | TCE_RW, entry(g, 0));
	EXPECT_EQ(0, wrong_entries(g, 1, 4, 0, 0));
	EXPECT_EQ(-EBUSY, spapr_unregister(g->c, self->data,
					   self->page + half));
	EXPECT_EQ(H_SUCCESS, put(g, 0, 0));
	EXPECT_EQ(0, spapr_unregister(g->c, self->data, self->page + half));

	/* two regions, each with a half of it */
	ASSERT_EQ(0, spapr_register(g->c, second, half));
	EXPECT_EQ(H_TOO_HARD, put(g, 0, large_gpa(self, 1) | TCE_RW));
	EXPECT_EQ(0, spapr_unregister(g->c, second, half));
	ASSERT_EQ(0, spapr_register(g->c, second, half));
	ASSERT_EQ(0, spapr_register(g->c, second + half, half));
	/* which will do unless it is one IOMMU page */
	EXPECT_EQ(one ? H_TOO_HARD : H_SUCCESS,
		  put(g, 0, large_gpa(self, 1) | TCE_RW));
	if (!one) {
		EXPECT_EQ(-EBUSY, spapr_unregister(g->c, second, half));
		EXPECT_EQ(-EBUSY, spapr_unregister(g->c, second + half, half));
		EXPECT_EQ(H_SUCCESS, put(g, 0, 0));
	}
	EXPECT_EQ(0, spapr_unregister(g->c, second, half));
	EXPECT_EQ(0, spapr_unregister(g->c, second + half, half));
}

/* The page must be the guest's as a whole: here its memory ends before. */
TEST_F(large, half_in_memory)
{
	struct guest *g = &self->g;
	size_t half = self->page / 2;

	if (half < page_size)
		SKIP(return, "half a page of the guest cannot be its memory");
	ASSERT_EQ(0, spapr_register(g->c, self->data, self->data_size));
	ASSERT_EQ(0, vm_memory(&g->vm, 3, 2 * LARGE_GPA, self->data, half));
	EXPECT_EQ(H_TOO_HARD, put(g, 0, 2 * LARGE_GPA | TCE_RW));
	EXPECT_EQ(0, entry(g, 0));
	EXPECT_EQ(0, spapr_unregister(g->c, self->data, self->data_size));
}

/* An address within a guest's page is refused. */
TEST_F(large, misaligned)
{
	struct guest *g = &self->g;

	ASSERT_EQ(0, spapr_register(g->c, self->data, self->data_size));
	EXPECT_EQ(H_TOO_HARD, put(g, 0, (LARGE_GPA + SZ_4K) | TCE_RW));
	EXPECT_EQ(H_TOO_HARD, put(g, 0,
				  (LARGE_GPA + self->page / 2) | TCE_RW));
	EXPECT_EQ(H_PARAMETER, h_put_tce(&g->cpu, LIOBN, g->start + SZ_4K, 0));
	EXPECT_EQ(H_PARAMETER, h_put_tce(&g->cpu, LIOBN,
					 g->start + self->page / 2, 0));
	EXPECT_EQ(0, entry(g, 0));
	EXPECT_EQ(0, spapr_unregister(g->c, self->data, self->data_size));
}

/* ---- a large and sparse table ---- */

FIXTURE(sparse)
{
	struct guest g;
};

FIXTURE_VARIANT(sparse)
{
	enum mmu mmu;
};

FIXTURE_VARIANT_ADD(sparse, hash) { HASH };
FIXTURE_VARIANT_ADD(sparse, radix) { RADIX };

#define MI	(1UL << 20)

FIXTURE_SETUP(sparse)
{
	struct guest *g = &self->g;

	if (!guest_setup(_metadata, g, variant->mmu, true))
		return;
	ASSERT_EQ(0, spapr_create(g->c, page_shift, MI * page_size,
				  tables_are_apart() ? 1 : 2,
				  &g->start));
	guest_liobn(_metadata, g, page_shift, g->start, MI);
	guest_attach(_metadata, g, 0);
}

FIXTURE_TEARDOWN(sparse)
{
	guest_teardown(_metadata, &self->g);
}

static uint64_t ticks_of_stuff(struct guest *g, uint64_t n)
{
	uint64_t before = __builtin_ppc_get_timebase();

	if (stuff(g, 0, 0, n) != H_SUCCESS)
		return ~0UL;
	return __builtin_ppc_get_timebase() - before;
}

TEST_F(sparse, stuff)
{
	struct guest *g = &self->g;
	uint64_t some, all = ~0UL, ticks;
	int i;

	/* a list's length of mapped entries, for comparison */
	fill_list(g, 0, MAX_LIST, gpa(A, 0) | TCE_RW, 0);
	ASSERT_EQ(H_SUCCESS, put_list(g, 0, MAX_LIST));
	EXPECT_EQ(1, busy(g, A));
	some = ticks_of_stuff(g, MAX_LIST);
	ASSERT_NE(~0UL, some);
	EXPECT_EQ(0, busy(g, A));

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(H_SUCCESS, put(g, 5, gpa(A, 0) | TCE_RW));
		ASSERT_EQ(H_SUCCESS, put(g, MI / 2, gpa(A, 0) | TCE_RW));
		ASSERT_EQ(H_SUCCESS, put(g, MI - 1, gpa(B, 0) | TCE_RW));
		EXPECT_EQ(1, busy(g, A));
		ticks = ticks_of_stuff(g, MI);
		ASSERT_NE(~0UL, ticks);
		if (ticks < all)
			all = ticks;
		EXPECT_EQ(0, entry(g, 5));
		EXPECT_EQ(0, entry(g, MI / 2));
		EXPECT_EQ(0, entry(g, MI - 1));
		EXPECT_EQ(0, busy(g, A));
		EXPECT_EQ(0, busy(g, B));
	}
	/* 2048 times as many, of which 3 are mapped */
	TH_LOG("512 mapped entries: %lu ticks, 1 Mi with 3 mapped: %lu",
	       (long)some, (long)all);
	EXPECT_GT(64 * some, all);
}

/* ---- two groups ---- */

FIXTURE(pair)
{
	struct guest g;
	/* the second group's container */
	int c;
	struct probe probe[2];
};

FIXTURE_VARIANT(pair)
{
	enum mmu mmu;
	bool one_container;
};

FIXTURE_VARIANT_ADD(pair, hash) { HASH, false };
FIXTURE_VARIANT_ADD(pair, hash_one_container) { HASH, true };
FIXTURE_VARIANT_ADD(pair, radix) { RADIX, false };
FIXTURE_VARIANT_ADD(pair, radix_one_container) { RADIX, true };
FIXTURE_VARIANT_ADD(pair, pr) { PR, false };

FIXTURE_SETUP(pair)
{
	struct guest *g = &self->g;

	self->c = -1;
	guest_setup_all(_metadata, g, variant->mmu, true);
	if (_metadata->exit_code)
		return;
	if (g->groups < 2) {
		guest_teardown(_metadata, g);
		if (_metadata->exit_code == KSFT_FAIL)
			return;
		SKIP(return, "no two groups with an edu device each");
	}
	if (variant->one_container && tables_are_apart()) {
		guest_teardown(_metadata, g);
		if (_metadata->exit_code == KSFT_FAIL)
			return;
		SKIP(return, "%s", tables_are_apart());
	}
	ASSERT_LE(0, edu_open_group(&g->edu[1]));
	if (variant->one_container) {
		ASSERT_EQ(0, container_add(g->c, &g->edu[1]));
	} else {
		self->c = container_open();
		ASSERT_EQ(0, container_add(self->c, &g->edu[1]));
		ASSERT_EQ(0, container_set_iommu(self->c,
						 VFIO_SPAPR_TCE_v2_IOMMU));
	}
	ASSERT_EQ(0, probe_init(&self->probe[0], g->c, &g->edu[0], g->last));
	if (variant->one_container) {
		self->probe[1] = self->probe[0];
		self->probe[1].edu = &g->edu[1];
		ASSERT_EQ(0, edu_open(&g->edu[1]));
	} else {
		ASSERT_EQ(0, probe_init(&self->probe[1], self->c, &g->edu[1],
					g->last));
	}
	guest_attach(_metadata, g, 1);
}

FIXTURE_TEARDOWN(pair)
{
	struct guest *g = &self->g;

	if (self->c >= 0) {
		edu_close(&g->edu[1]);
		edu_close_group(&g->edu[1]);
		close(self->c);
	}
	guest_teardown(_metadata, g);
}

static int pair_reach(FIXTURE_DATA(pair) *self, int side, uint64_t i,
		      int region, uint64_t off)
{
	return probe_reach(&self->probe[side], ioba(&self->g, i),
			   region_ua(&self->g, region) + off);
}

/* Both devices see what the guest puts. */
TEST_F(pair, both)
{
	struct guest *g = &self->g;
	int side;

	fill_list(g, 0, 8, gpa(A, 0) | TCE_RW, SZ_4K);
	ASSERT_EQ(H_SUCCESS, put_list(g, 0, 8));
	for (side = 0; side < 2; side++) {
		EXPECT_EQ(READ_WRITE, pair_reach(self, side, 7, A, 7 * SZ_4K));
	}
	ASSERT_EQ(H_SUCCESS, put(g, 7, gpa(B, 0) | TCE_READ));
	for (side = 0; side < 2; side++) {
		EXPECT_EQ(REACH_READ, pair_reach(self, side, 7, B, 0));
	}
	EXPECT_EQ(1, busy(g, A));
	EXPECT_EQ(1, busy(g, B));
	ASSERT_EQ(H_SUCCESS, stuff(g, 0, 0, 8));
	for (side = 0; side < 2; side++) {
		EXPECT_EQ(0, pair_reach(self, side, 0, A, 0));
		EXPECT_EQ(0, pair_reach(self, side, 7, B, 0));
	}
	EXPECT_EQ(0, busy(g, A));
	EXPECT_EQ(0, busy(g, B));
}

/* The VM knows the groups no more: the windows stay attached. */
TEST_F(pair, group_del)
{
	struct guest *g = &self->g;
	int gone, side;

	ASSERT_EQ(H_SUCCESS, put(g, 3, gpa(A, 0) | TCE_RW));
	for (gone = 0; gone < 2; gone++) {
		ASSERT_EQ(0, vm_group_del(&g->vm, g->edu[gone].group_fd));
		for (side = 0; side < 2; side++) {
			EXPECT_EQ(READ_WRITE, pair_reach(self, side, 3, A, 0));
		}
	}
	EXPECT_EQ(H_SUCCESS, put(g, 3, gpa(B, 0) | TCE_RW));
	for (side = 0; side < 2; side++) {
		EXPECT_EQ(READ_WRITE, pair_reach(self, side, 3, B, 0));
	}
	EXPECT_EQ(0, busy(g, A));

	/* No device reaches memory of a guest that is gone. */
	guest_close_liobn(g);
	for (side = 0; side < 2; side++) {
		EXPECT_EQ(0, pair_reach(self, side, 3, B, 0));
	}
	EXPECT_EQ(0, busy(g, B));
}

/*
 * One of two is unplugged, be it the one that the window was attached by: the
 * guest's hypercalls go on for the other one.
 */
TEST_F(pair, unplug_one)
{
	struct guest *g = &self->g;
	int c[2] = { g->c, variant->one_container ? g->c : self->c };
	int gone, stays, region;

	/* A container that ends takes its memory with it */
	for (region = A; region <= B && !variant->one_container; region++)
		ASSERT_EQ(0, spapr_register(self->c, region_ua(g, region),
					    REGION_SIZE));
	for (gone = 0; gone < 2; gone++) {
		stays = !gone;
		ASSERT_EQ(H_SUCCESS, put(g, 3, gpa(A, 0) | TCE_RW));
		unplug(_metadata, g, gone, c[gone]);
		EXPECT_EQ(READ_WRITE, pair_reach(self, stays, 3, A, 0));
		EXPECT_EQ(H_SUCCESS, put(g, 3, gpa(B, 0) | TCE_RW));
		EXPECT_EQ(READ_WRITE, pair_reach(self, stays, 3, B, 0));
		EXPECT_EQ(H_SUCCESS, put(g, 3, 0));
		EXPECT_EQ(0, pair_reach(self, stays, 3, B, 0));
		if (!variant->one_container || gone)
			break;
		/* plugged in again, beside the other one */
		ASSERT_EQ(0, container_add(g->c, &g->edu[gone]));
		ASSERT_EQ(0, edu_open(&g->edu[gone]));
		ASSERT_EQ(0, vm_group_add(&g->vm, g->edu[gone].group_fd));
	}
}

/* The list's end is bad: neither of the tables has any of it. */
TEST_F(pair, refused)
{
	struct guest *g = &self->g;
	int side;

	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	fill_list(g, 0, 7, gpa(B, 0) | TCE_RW, SZ_4K);
	list_set(&g->cpu, 0, 7, gpa(UNREGISTERED, 0) | TCE_RW);
	EXPECT_EQ(H_TOO_HARD, put_list(g, 0, 8));
	EXPECT_EQ(gpa(A, 0) | TCE_RW, entry(g, 0));
	EXPECT_EQ(0, wrong_entries(g, 1, 7, 0, 0));
	for (side = 0; side < 2; side++) {
		EXPECT_EQ(READ_WRITE, pair_reach(self, side, 0, A, 0));
		EXPECT_EQ(0, pair_reach(self, side, 1, B, SZ_4K));
	}
	EXPECT_EQ(0, busy(g, B));
	ASSERT_EQ(H_SUCCESS, put(g, 0, 0));
	EXPECT_EQ(0, busy(g, A));
}

/* Windows of different pages: what only one of them can take, none takes. */
FIXTURE(unlike)
{
	struct guest g;
	int c;
	char *data;
	char *fit;
};

FIXTURE_VARIANT(unlike)
{
	enum mmu mmu;
	/* whose table comes first */
	int first;
};

FIXTURE_VARIANT_ADD(unlike, hash_small_first) { HASH, 0 };
FIXTURE_VARIANT_ADD(unlike, hash_large_first) { HASH, 1 };
FIXTURE_VARIANT_ADD(unlike, radix_small_first) { RADIX, 0 };
FIXTURE_VARIANT_ADD(unlike, radix_large_first) { RADIX, 1 };

#define UNLIKE_GPA	0x40000000UL
#define UNLIKE_FIT_GPA	0x50000000UL

/* Memory of which no page lies beside its neighbour. */
static char *buf_scattered(size_t size)
{
	char *buf = buf_alloc(size, SZ_64K);
	size_t off;
	int odd;

	for (odd = 0; odd < 2; odd++) {
		for (off = odd * page_size; off < size; off += 2 * page_size)
			buf[off] = 1;
	}
	return buf;
}

FIXTURE_SETUP(unlike)
{
	struct vfio_iommu_spapr_tce_info info;
	struct guest *g = &self->g;
	const char *missing = NULL;
	unsigned int large;
	uint64_t start;
	int i;

	self->c = -1;
	if (!guest_setup(_metadata, g, variant->mmu, true))
		return;
	ASSERT_EQ(0, spapr_info(g->c, &info));
	large = info.ddw.pgsizes & SZ_16M ? 24 : 21;
	self->fit = buf_alloc_contig(SZ_16M, large);
	if (g->groups < 2)
		missing = "no two groups with an edu device each";
	else if (!(info.ddw.pgsizes >> large & 1))
		missing = "no large IOMMU pages";
	if (missing) {
		guest_teardown(_metadata, g);
		if (_metadata->exit_code == KSFT_FAIL)
			return;
		SKIP(return, "%s", missing);
	}
	self->c = container_open();
	ASSERT_LE(0, edu_open_group(&g->edu[1]));
	ASSERT_EQ(0, container_add(self->c, &g->edu[1]));
	ASSERT_EQ(0, container_set_iommu(self->c, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, spapr_create(g->c, 16, 16 * SZ_1G, 1, &g->start));
	ASSERT_EQ(0, spapr_create(self->c, large, 16 * SZ_1G, 1, &start));
	ASSERT_EQ(g->start, start);
	guest_liobn(_metadata, g, 24, start, 16 * SZ_1G >> 24);
	for (i = 0; i < 2; i++)
		guest_attach(_metadata, g, i ? !variant->first :
			     variant->first);
	self->data = buf_scattered(SZ_16M);
	ASSERT_EQ(0, spapr_register(g->c, self->data, SZ_16M));
	ASSERT_EQ(0, vm_memory(&g->vm, 2, UNLIKE_GPA, self->data, SZ_16M));
	if (self->fit) {
		ASSERT_EQ(0, spapr_register(g->c, self->fit, SZ_16M));
		ASSERT_EQ(0, vm_memory(&g->vm, 3, UNLIKE_FIT_GPA, self->fit,
				       SZ_16M));
	}
}

FIXTURE_TEARDOWN(unlike)
{
	struct guest *g = &self->g;

	edu_close_group(&g->edu[1]);
	close(self->c);
	guest_teardown(_metadata, g);
}

TEST_F(unlike, all_or_none)
{
	struct guest *g = &self->g;

	/* Its pages are not large enough for the one */
	EXPECT_EQ(H_TOO_HARD, put(g, 0, UNLIKE_GPA | TCE_RW));
	EXPECT_EQ(H_TOO_HARD, put(g, 1, UNLIKE_GPA | TCE_RW));
	fill_list(g, 0, 3, 0, 0);
	list_set(&g->cpu, 0, 3, UNLIKE_GPA | TCE_RW);
	EXPECT_EQ(H_TOO_HARD, put_list(g, 4, 4));
	EXPECT_EQ(0, wrong_entries(g, 0, 8, 0, 0));
	/* so the other one holds nothing of it */
	EXPECT_EQ(0, spapr_unregister(g->c, self->data, SZ_16M));
}

/* In place of what fits both. */
TEST_F(unlike, replace)
{
	struct guest *g = &self->g;

	if (!self->fit)
		SKIP(return, "no huge pages of a fitting size");
	EXPECT_EQ(H_SUCCESS, put(g, 0, UNLIKE_FIT_GPA | TCE_RW));
	EXPECT_EQ(H_TOO_HARD, put(g, 0, UNLIKE_GPA | TCE_RW));
	list_set(&g->cpu, 0, 0, UNLIKE_FIT_GPA | TCE_RW);
	list_set(&g->cpu, 0, 1, UNLIKE_GPA | TCE_RW);
	EXPECT_EQ(H_TOO_HARD, put_list(g, 4, 2));
	EXPECT_EQ(UNLIKE_FIT_GPA | TCE_RW, entry(g, 0));
	EXPECT_EQ(0, wrong_entries(g, 1, 8, 0, 0));
	EXPECT_EQ(0, spapr_unregister(g->c, self->data, SZ_16M));
	EXPECT_EQ(-EBUSY, spapr_unregister(g->c, self->fit, SZ_16M));
	EXPECT_EQ(H_SUCCESS, put(g, 0, 0));
	EXPECT_EQ(0, spapr_unregister(g->c, self->fit, SZ_16M));
}

/* ---- hypercalls that are finished before the guest's context is left ---- */

FIXTURE(early)
{
	struct guest g;
};

FIXTURE_VARIANT(early)
{
	enum mmu mmu;
};

FIXTURE_VARIANT_ADD(early, hash) { HASH };
FIXTURE_VARIANT_ADD(early, radix) { RADIX };

FIXTURE_SETUP(early)
{
	if (!has_early())
		SKIP(return, "a partition leaves each guest's context");
	if (get_early() == 'N')
		SKIP(return, "kvm_hv.tce_early is off");
	guest_setup_all(_metadata, &self->g, variant->mmu, true);
}

FIXTURE_TEARDOWN(early)
{
	guest_teardown(_metadata, &self->g);
}

static long finished(struct guest *g)
{
	return vcpu_stat(&g->cpu, "tce_early");
}

static long handed_over(struct guest *g)
{
	return vcpu_stat(&g->cpu, "tce_handed_over");
}

#define CALLS	100

/* The list of hypercalls is there: how many of them were finished early? */
static long run_calls(struct __test_metadata *_metadata, struct guest *g)
{
	long before = finished(g), over = handed_over(g), done;
	int i;

	ASSERT_LE(0, before) {
		TH_LOG("the kernel has no counter for this");
	}
	vcpu_run(&g->cpu, CALLS);
	for (i = 0; i < CALLS; i++) {
		ASSERT_EQ(H_SUCCESS, g->cpu.hcall[i].ret);
	}
	done = finished(g) - before;
	EXPECT_EQ(CALLS, done + handed_over(g) - over);
	return done;
}

/* Where there are entries, they are replaced early. */
TEST_F(early, put)
{
	struct guest *g = &self->g;
	int i;

	fill_list(g, 0, 512, gpa(A, 0) | TCE_RW, 0);
	ASSERT_EQ(H_SUCCESS, put_list(g, 0, 512));
	for (i = 0; i < CALLS; i++)
		hcall_set(&g->cpu, i, H_PUT_TCE, LIOBN, ioba(g, i),
			  gpa(B, i * SZ_4K) | TCE_RW, 0);
	EXPECT_EQ(CALLS, run_calls(_metadata, g));
	EXPECT_EQ(0, wrong_entries(g, 0, CALLS, gpa(B, 0) | TCE_RW, SZ_4K));
	for (i = 0; i < CALLS; i++)
		hcall_set(&g->cpu, i, H_PUT_TCE, LIOBN, ioba(g, i), 0, 0);
	EXPECT_EQ(CALLS, run_calls(_metadata, g));
	EXPECT_EQ(0, wrong_entries(g, 0, CALLS, 0, 0));
	EXPECT_EQ(0, busy(g, B));
	EXPECT_EQ(1, busy(g, A));
}

/* Beginning with an empty table, all but a few are, too. */
TEST_F(early, put_first)
{
	struct guest *g = &self->g;
	int i;

	for (i = 0; i < CALLS; i++)
		hcall_set(&g->cpu, i, H_PUT_TCE, LIOBN, ioba(g, i),
			  gpa(A, i * SZ_4K) | TCE_RW, 0);
	EXPECT_LE(CALLS - 5, run_calls(_metadata, g));
	EXPECT_EQ(0, wrong_entries(g, 0, CALLS, gpa(A, 0) | TCE_RW, SZ_4K));
}

/* Windows of huge IOMMU pages are no exception. */
TEST_F(large, real_mode)
{
	struct guest *g = &self->g;
	int i;

	if (variant->mmu != HASH || variant->window_shift < 24 ||
	    !guest_has_real_mode())
		SKIP(return, "no huge IOMMU pages, or no real mode");
	ASSERT_EQ(0, spapr_register(g->c, self->data, self->data_size));
	fill_list(g, 0, 4, large_gpa(self, 3) | TCE_RW, -(long)self->page);
	ASSERT_EQ(H_SUCCESS, put_list(g, 0, 4));
	for (i = 0; i < CALLS; i++)
		hcall_set(&g->cpu, i, H_PUT_TCE, LIOBN, ioba(g, i % 4),
			  large_gpa(self, i % 4) | TCE_RW, 0);
	EXPECT_EQ(CALLS, run_calls(_metadata, g));
	EXPECT_EQ(0, wrong_entries(g, 0, 4, large_gpa(self, 0) | TCE_RW,
				   self->page));
	for (i = 0; i < CALLS; i++)
		hcall_set(&g->cpu, i, H_PUT_TCE_INDIRECT, LIOBN, ioba(g, 0),
			  list_gpa(&g->cpu, 0), 4);
	EXPECT_EQ(CALLS, run_calls(_metadata, g));
	EXPECT_EQ(0, wrong_entries(g, 0, 4, large_gpa(self, 3) | TCE_RW,
				   -(long)self->page));
}

static void prepare_list_calls(struct guest *g, unsigned int n)
{
	int i;

	for (i = 0; i < CALLS; i++)
		hcall_set(&g->cpu, i, H_PUT_TCE_INDIRECT, LIOBN, 0,
			  list_gpa(&g->cpu, 0), n);
}

/* Memory is one region, as it is for most guests, and the list goes through. */
TEST_F(early, list)
{
	struct guest *g = &self->g;

	ASSERT_EQ(0, unregister_region(g, A));
	ASSERT_EQ(0, unregister_region(g, B));
	ASSERT_EQ(0, spapr_register(g->c, g->data, 2 * REGION_SIZE));
	fill_list(g, 0, 512, gpa(A, 0) | TCE_RW, SZ_4K);
	ASSERT_EQ(H_SUCCESS, put_list(g, 0, 512));
	ASSERT_EQ(H_SUCCESS, stuff(g, 0, 0, 512));
	prepare_list_calls(g, 512);
	EXPECT_EQ(CALLS, run_calls(_metadata, g));
	EXPECT_EQ(0, wrong_entries(g, 0, 512, gpa(A, 0) | TCE_RW, SZ_4K));
	EXPECT_EQ(-EBUSY, spapr_unregister(g->c, g->data, 2 * REGION_SIZE));
	EXPECT_EQ(H_SUCCESS, stuff(g, 0, 0, 512));
	EXPECT_EQ(0, spapr_unregister(g->c, g->data, 2 * REGION_SIZE));
}

/* Some pieces, as a driver of the guest maps them: downwards, and a gap. */
TEST_F(early, list_of_pieces)
{
	struct guest *g = &self->g;

	fill_list(g, 0, 8, gpa(A, 0) | TCE_RW, SZ_4K);
	fill_list(g, 8, 8, gpa(A, 20 * SZ_4K) | TCE_RW, -(long)SZ_4K);
	fill_list(g, 16, 4, 0, 0);
	fill_list(g, 20, 8, gpa(B, 0) | TCE_READ, SZ_4K);
	/* the first time may need memory, as this is not of one piece */
	ASSERT_EQ(H_SUCCESS, put_list(g, 0, 28));
	prepare_list_calls(g, 28);
	EXPECT_EQ(CALLS, run_calls(_metadata, g));
	EXPECT_EQ(0, wrong_entries(g, 0, 8, gpa(A, 0) | TCE_RW, SZ_4K));
	EXPECT_EQ(0, wrong_entries(g, 8, 8, gpa(A, 20 * SZ_4K) | TCE_RW,
				   -(long)SZ_4K));
	EXPECT_EQ(0, wrong_entries(g, 16, 4, 0, 0));
	EXPECT_EQ(0, wrong_entries(g, 20, 8, gpa(B, 0) | TCE_READ, SZ_4K));
	EXPECT_EQ(1, busy(g, A));
	EXPECT_EQ(1, busy(g, B));
	EXPECT_EQ(H_SUCCESS, stuff(g, 0, 0, 512));
	EXPECT_EQ(0, busy(g, A));
	EXPECT_EQ(0, busy(g, B));
}

/* No two entries are neighbours, and all of a list is done early. */
TEST_F(early, scattered)
{
	struct guest *g = &self->g;

	scatter_list(g, 0, 512, A, 0);
	/* the first time takes memory */
	ASSERT_EQ(H_SUCCESS, put_list(g, 0, 512));
	scatter_list(g, 0, 256, A, 1);
	scatter_list(g, 256, 256, B, 1);
	prepare_list_calls(g, 512);
	EXPECT_EQ(CALLS, run_calls(_metadata, g));
	EXPECT_EQ(0, wrong_scattered(g, 0, 0, 256, A, 1));
	EXPECT_EQ(0, wrong_scattered(g, 0, 256, 256, B, 1));
	EXPECT_EQ(H_SUCCESS, stuff(g, 0, 0, 512));
	EXPECT_EQ(0, busy(g, A));
	EXPECT_EQ(0, busy(g, B));
}

TEST_F(early, stuff)
{
	struct guest *g = &self->g;
	int i;

	fill_list(g, 0, 512, gpa(A, 0) | TCE_RW, 0);
	ASSERT_EQ(H_SUCCESS, put_list(g, 0, 512));
	for (i = 0; i < CALLS; i++)
		hcall_set(&g->cpu, i, H_STUFF_TCE, LIOBN, ioba(g, i * 5), 0, 5);
	EXPECT_EQ(CALLS, run_calls(_metadata, g));
	EXPECT_EQ(0, wrong_entries(g, 0, 500, 0, 0));
	EXPECT_EQ(1, busy(g, A));
	for (i = 0; i < CALLS; i++)
		hcall_set(&g->cpu, i, H_STUFF_TCE, LIOBN, 0, 0, 512);
	EXPECT_EQ(CALLS, run_calls(_metadata, g));
	EXPECT_EQ(0, busy(g, A));
}

TEST_F(early, get)
{
	struct guest *g = &self->g;
	int i;

	ASSERT_EQ(H_SUCCESS, put(g, 5, gpa(A, 0) | TCE_RW));
	for (i = 0; i < CALLS; i++)
		hcall_set(&g->cpu, i, H_GET_TCE, LIOBN, ioba(g, i), 0, 0);
	EXPECT_EQ(CALLS, run_calls(_metadata, g));
	for (i = 0; i < CALLS; i++) {
		EXPECT_EQ(i == 5 ? gpa(A, 0) | TCE_RW : 0, g->cpu.hcall[i].out);
	}
}

/* These are handed over, because virtual mode has to look at them. */
TEST_F(early, handed_over)
{
	struct guest *g = &self->g;
	long done = finished(g), over = handed_over(g);

	ASSERT_LE(0, over);
	EXPECT_EQ(H_TOO_HARD, put(g, 0, gpa(UNREGISTERED, 0) | TCE_RW));
	EXPECT_EQ(over + 1, handed_over(g));
	EXPECT_EQ(H_TOO_HARD, h_put_tce(&g->cpu, NO_LIOBN, 0, 0));
	EXPECT_EQ(over + 2, handed_over(g));
	/* longer than a list */
	EXPECT_EQ(H_SUCCESS, stuff(g, 0, 0, g->size));
	EXPECT_EQ(over + 3, handed_over(g));
	EXPECT_EQ(done, finished(g));
}

/* That many LIOBNs are looked at, from the newest one on. */
#define EARLY_LIOBNS	64

TEST_F(early, many_liobns)
{
	int fd[EARLY_LIOBNS], i, last = EARLY_LIOBNS - 1;
	struct guest *g = &self->g;
	long over;

	/* the first time may need memory */
	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	for (i = 0; i < last; i++) {
		fd[i] = vm_liobn(&g->vm, LIOBN + 1 + i, 12, 0, 16);
		ASSERT_LE(0, fd[i]);
	}
	over = handed_over(g);
	ASSERT_LE(0, over);
	EXPECT_EQ(H_SUCCESS, put(g, 0, gpa(B, 0) | TCE_RW));
	EXPECT_EQ(over, handed_over(g));

	fd[last] = vm_liobn(&g->vm, LIOBN + 1 + last, 12, 0, 16);
	ASSERT_LE(0, fd[last]);
	EXPECT_EQ(H_SUCCESS, put(g, 0, gpa(A, SZ_4K) | TCE_RW));
	EXPECT_EQ(over + 1, handed_over(g));
	EXPECT_EQ(gpa(A, SZ_4K) | TCE_RW, g->view[0]);
	EXPECT_EQ(H_SUCCESS, h_put_tce(&g->cpu, LIOBN + 1 + last, 0, 0));
	EXPECT_EQ(over + 1, handed_over(g));
	for (i = 0; i <= last; i++)
		close(fd[i]);
}

/* Switched off, nothing is; neither in a VM that was made then, when it is on. */
TEST_F(early, switched_off)
{
	struct guest *g = &self->g;
	int i;

	guest_teardown(_metadata, g);
	ASSERT_EQ(0, set_early("N"));
	guest_setup_all(_metadata, g, variant->mmu, true);
	ASSERT_EQ(0, set_early("Y"));
	for (i = 0; i < CALLS; i++)
		hcall_set(&g->cpu, i, H_PUT_TCE, LIOBN, ioba(g, i),
			  gpa(A, i * SZ_4K) | TCE_RW, 0);
	EXPECT_EQ(0, run_calls(_metadata, g));
	EXPECT_EQ(0, wrong_entries(g, 0, CALLS, gpa(A, 0) | TCE_RW, SZ_4K));
}

/* ---- the end of a process ---- */

FIXTURE(death)
{
	struct usage was;
	struct edu edu;
};

FIXTURE_VARIANT(death)
{
	enum mmu mmu;
};

FIXTURE_VARIANT_ADD(death, hash) { HASH };
FIXTURE_VARIANT_ADD(death, radix) { RADIX };
FIXTURE_VARIANT_ADD(death, pr) { PR };

FIXTURE_SETUP(death)
{
	if (guest_missing(variant->mmu))
		SKIP(return, "%s", guest_missing(variant->mmu));
	if (!edu_find(&self->edu, 1))
		SKIP(return, "no edu device is bound to vfio-pci");
	self->was = usage_at_rest();
}

FIXTURE_TEARDOWN(death)
{
	expect_usage(_metadata, &self->was);
}

/* A process with a guest that has mapped memory is killed. */
TEST_F(death, killed)
{
	struct spot spots[3] = { { 0 }, { SZ_4K }, { 255 * SZ_4K } };
	struct probe probe;
	struct guest g;
	int status, c;
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		memset(&g, 0, sizeof(g));
		guest_setup_all(_metadata, &g, variant->mmu, true);
		fill_list(&g, 0, 256, gpa(A, 0) | TCE_RW, SZ_4K);
		if (put_list(&g, 0, 256) == H_SUCCESS)
			raise(SIGKILL);
		_exit(1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));
	ASSERT_EQ(SIGKILL, WTERMSIG(status));
	EXPECT_EQ(self->was.pinned, pinned_pages_settle(self->was.pinned));

	/* The device is free, and has nothing left of the guest's memory */
	ASSERT_LE(0, edu_open_group(&self->edu));
	c = container_open();
	ASSERT_EQ(0, container_add(c, &self->edu));
	ASSERT_EQ(0, container_set_iommu(c, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, probe_init(&probe, c, &self->edu, SZ_1M));
	EXPECT_EQ(0, probe_spots(&probe, spots, 3));
	EXPECT_EQ(0, probe_exit(&probe));
	edu_close(&self->edu);
	edu_close_group(&self->edu);
	close(c);
}

/* A table of 1 GiB, of which no page is there at first. */
#define GROWN_ENTRIES	(1UL << 27)
#define GROWN_KB	((long)(GROWN_ENTRIES * 8 / 1024))

/* Fills it by one hypercall. */
static void __attribute__((noreturn))
grow_table(struct __test_metadata *_metadata, enum mmu mmu)
{
	struct guest g;

	memset(&g, 0, sizeof(g));
	if (guest_setup(_metadata, &g, mmu, false)) {
		guest_liobn(_metadata, &g, 12, 0, GROWN_ENTRIES);
		stuff(&g, 0, SZ_4K, GROWN_ENTRIES);
	}
	_exit(1);
}

/* The least memory that is free until the process has ended. */
static long least_free_kb(pid_t pid, int *status)
{
	long least = mem_free_kb(), kb;

	while (!waitpid(pid, status, WNOHANG)) {
		kb = mem_free_kb();
		if (kb < least)
			least = kb;
		usleep(200);
	}
	return least;
}

/* It is killed meanwhile, and takes no memory for the rest of the table. */
TEST_F(death, killed_while_table_grows)
{
	long before = mem_free_kb(), least;
	int status, tries;
	pid_t pid;

	ASSERT_LT(GROWN_KB + GROWN_KB / 4, before);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		grow_table(_metadata, variant->mmu);
	for (tries = 0; tries < 100000; tries++) {
		if (before - mem_free_kb() > GROWN_KB / 8)
			break;
		usleep(200);
	}
	ASSERT_EQ(0, kill(pid, SIGKILL));
	least = least_free_kb(pid, &status);
	ASSERT_TRUE(WIFSIGNALED(status));
	EXPECT_LT(GROWN_KB / 8, before - least);
	EXPECT_GT(GROWN_KB / 2, before - least) {
		TH_LOG("the table took %ld KiB", before - least);
	}
}

TEST_HARNESS_MAIN
