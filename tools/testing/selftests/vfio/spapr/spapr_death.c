// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owners that go without a word: killed at any point, or gone while someone
 * else still holds the file descriptors. No page and no charge is lost, and
 * the group can be used again at once.
 */
#include <signal.h>
#include <time.h>

#include "spapr_harness.h"

#define BUF_SIZE	(16 * SZ_1M)
#define OWNERS		40

/*
 * Free pages that the allocator keeps for each CPU, some tens of MiB with pages
 * of 64 KiB, come and go in MemFree.
 */
#define SLACK_KB	(96 * 1024)

FIXTURE(death)
{
	struct usage was;
	long free_kb;
	struct edu edu;
};

FIXTURE_SETUP(death)
{
	if (!edu_find(&self->edu, 1))
		SKIP(return, "no edu device is bound to vfio-pci");
	self->was = usage_at_rest();
	self->free_kb = mem_free_kb();
}

FIXTURE_TEARDOWN(death)
{
	expect_usage(_metadata, &self->was);
}

/* A table of 4 MiB lost by each of OWNERS, 160 MiB, would stand out. */
static void expect_memory(struct __test_metadata *_metadata,
			  FIXTURE_DATA(death) *self)
{
	EXPECT_EQ(self->was.pinned, pinned_pages_settle(self->was.pinned));
	EXPECT_LE(self->free_kb - SLACK_KB,
		  mem_free_kb_settle(self->free_kb - SLACK_KB));
}

static void nap_us(long us)
{
	struct timespec ts = { .tv_nsec = us * 1000 };

	nanosleep(&ts, NULL);
}

/* Sets up a container; 0, or the number of the step that went wrong. */
static int own(struct edu *edu, int *c)
{
	*c = container_open();
	if (edu_open_group(edu) < 0)
		return 1;
	if (container_add(*c, edu))
		return 2;
	if (container_set_iommu(*c, VFIO_SPAPR_TCE_v2_IOMMU))
		return 3;
	return 0;
}

/* One round of everything; 0, or the number of the step that went wrong. */
static int work(int c, char *buf)
{
	uint64_t start;

	if (spapr_register(c, buf, BUF_SIZE))
		return 10;
	if (spapr_map(c, 0, buf, BUF_SIZE))
		return 11;
	if (spapr_create(c, 12, SZ_1T, 3, &start))
		return 12;
	if (spapr_map(c, start, buf, BUF_SIZE))
		return 13;
	if (spapr_map(c, start + SZ_1T - BUF_SIZE, buf, BUF_SIZE))
		return 14;
	if (spapr_unmap(c, start, BUF_SIZE / 2))
		return 15;
	if (spapr_remove(c, start))
		return 16;
	if (spapr_unmap(c, 0, BUF_SIZE))
		return 17;
	if (spapr_unregister(c, buf, BUF_SIZE))
		return 18;
	return 0;
}

/* The victim: tells that it has begun, and works until it is killed. */
static void __attribute__((noreturn)) victim(struct edu *edu, int fd)
{
	char *buf = buf_alloc(BUF_SIZE, SZ_64K);
	char step;
	int c;

	step = own(edu, &c);
	do {
		if (write(fd, &step, 1) != 1)
			_exit(1);
		if (!step)
			step = work(c, buf);
	} while (!step);
	if (write(fd, &step, 1) != 1)
		_exit(1);
	_exit(1);
}

/* Reads what the victim said before it died: 0 each time, unless it failed. */
static int last_words(int fd)
{
	char step, worst = 0;

	while (read(fd, &step, 1) == 1)
		if (step)
			worst = step;
	return worst;
}

/*
 * Killed at ever later points of its work: a round takes some 20 ms, so these
 * steps of 1.3 ms fall all over it.
 */
TEST_F_TIMEOUT(death, killed, 60)
{
	int i, status, fds[2];
	char step;
	pid_t pid;

	for (i = 0; i < OWNERS; i++) {
		ASSERT_EQ(0, pipe(fds));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			close(fds[0]);
			victim(&self->edu, fds[1]);
		}
		close(fds[1]);
		ASSERT_EQ(1, read(fds[0], &step, 1));
		ASSERT_EQ(0, step) {
			TH_LOG("owner %d cannot even start, step %d", i, step);
		}
		nap_us(i * 1300);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
		EXPECT_EQ(SIGKILL, WTERMSIG(status));
		EXPECT_EQ(0, last_words(fds[0]));
		close(fds[0]);
	}
	expect_memory(_metadata, self);
}

/* The owner ends in good order, but with everything still in place. */
TEST_F(death, exits)
{
	int i, status;
	pid_t pid;

	for (i = 0; i < OWNERS; i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			char *buf = buf_alloc(BUF_SIZE, SZ_64K);
			uint64_t start;
			int c;

			_exit(own(&self->edu, &c) ||
			      spapr_register(c, buf, BUF_SIZE) ||
			      spapr_map(c, 0, buf, BUF_SIZE) ||
			      spapr_create(c, 12, SZ_1G, 2, &start) ||
			      spapr_map(c, start, buf, BUF_SIZE));
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_EQ(0, status);
	}
	expect_memory(_metadata, self);
}

/*
 * The owner is gone, its child still has the container: what the device can
 * reach stays in place until the child closes it, but nobody can change it.
 */
TEST_F(death, outlived_by_the_container)
{
	char *buf = buf_alloc(BUF_SIZE, SZ_64K);
	int status, to_child[2], from_child[2];
	int ret[3] = { 0 };
	pid_t owner;

	ASSERT_EQ(0, pipe(to_child));
	ASSERT_EQ(0, pipe(from_child));
	owner = fork();
	ASSERT_LE(0, owner);
	if (!owner) {
		char go;
		int c;

		if (own(&self->edu, &c) || spapr_register(c, buf, BUF_SIZE) ||
		    spapr_map(c, 0, buf, BUF_SIZE))
			_exit(1);
		if (fork())
			_exit(0);
		/* Here the child, when it is told that the owner is gone */
		close(to_child[1]);
		if (read(to_child[0], &go, 1) != 1)
			_exit(1);
		ret[0] = spapr_map(c, 0, buf, SZ_4K);
		ret[1] = spapr_unregister(c, buf, BUF_SIZE);
		ret[2] = spapr_remove(c, 0);
		if (write(from_child[1], ret, sizeof(ret)) != sizeof(ret))
			_exit(1);
		/* Hold on to it until the other end is closed */
		_exit(read(to_child[0], &go, 1));
	}
	close(to_child[0]);
	ASSERT_EQ(owner, waitpid(owner, &status, 0));
	ASSERT_EQ(0, status);
	ASSERT_EQ(1, write(to_child[1], "g", 1));
	ASSERT_EQ(sizeof(ret), read(from_child[0], ret, sizeof(ret)));
	EXPECT_EQ(-EPERM, ret[0]);
	EXPECT_EQ(-EPERM, ret[1]);
	EXPECT_EQ(-EPERM, ret[2]);
	EXPECT_EQ(self->was.pinned + BUF_SIZE / page_size, pinned_pages());
	close(to_child[1]);
	EXPECT_EQ(self->was.pinned, pinned_pages_settle(self->was.pinned));
}

TEST_HARNESS_MAIN
