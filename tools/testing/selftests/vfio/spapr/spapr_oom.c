// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process whose memory cgroup has hardly any room: each of its calls works,
 * or fails and changes nothing, or the process is killed for it. Nothing is
 * left of it in the cgroup, and the next one works. And what locked_vm is
 * charged for tables is, when they are full, charged to the cgroup as well.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvm_fixture.h"

#define CGROUPS		"/sys/fs/cgroup"
#define GROUP		CGROUPS "/spapr_oom"
#define OOM_DUMP_TASKS	"/proc/sys/vm/oom_dump_tasks"
#define PRINTK		"/proc/sys/kernel/printk"
#define DROP_CACHES	"/proc/sys/vm/drop_caches"
/* The kernel brings its sums up to date every two seconds. */
#define SETTLE_SECONDS	3
/* What the allocator and the kernel's sums keep back */
#define SLACK		SZ_64K

#define PAGES		64
#define BIG		(4 * SZ_1M)
#define MANY_TIMES	64
#define WINDOW		(4 * SZ_1G)
#define APART		(2 * SZ_16M)
#define ALL_MAPS	(2 * WINDOW / APART)
#define V1_MAPS		128
#define LISTS		64
#define MAX_STEPS	1024
/* The kernel has dozens of lines for each. */
#define MAX_REFUSED	5

/* ---- the cgroup ---- */

static long group_number(const char *file, const char *key)
{
	char path[100], line[200];
	long value = -1;
	FILE *f;

	snprintf(path, sizeof(path), GROUP "/%s", file);
	f = fopen(path, "r");
	while (f && value < 0 && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, key, strlen(key)))
			value = strtol(line + strlen(key), NULL, 10);
	}
	if (f)
		fclose(f);
	return value;
}

/*
 * Bytes of the kernel's memory that the cgroup is charged, at rest, without the
 * names of files that are kept in case they are asked for again.
 */
static long kernel_bytes(void)
{
	sleep(1);
	write_text(DROP_CACHES, "2");
	sleep(SETTLE_SECONDS);
	return group_number("memory.stat", "kernel ");
}

/* Why there are no limits; NULL if there are. */
static const char *group_missing(void)
{
	if (mount("cgroup2", CGROUPS, "cgroup2", 0, NULL) && errno != EBUSY)
		return "the kernel has no cgroups";
	if (write_text(CGROUPS "/cgroup.subtree_control", "+memory"))
		return "the kernel has no memory cgroups";
	return NULL;
}

static int group_make(void)
{
	/* A former program may have been killed. */
	rmdir(GROUP);
	return mkdir(GROUP, 0755) ? -errno : 0;
}

/* ---- the process in it ---- */

/* What it tells: nothing that is charged is touched for that. */
struct report {
	/* before the first step, and after each: of the first process */
	long locked_kb[MAX_STEPS + 1];
	long pinned[MAX_STEPS + 1];
	bool known;
	/* steps that were refused for want of memory */
	int refused;
	/* the first one that did something wrong, and what */
	int wrong;
	long what;
	const char *how;
	bool done;
};

struct work {
	struct report *report;
	const struct job *job;
	struct edu edu;
	int c;
	/* of memory.max */
	int limit_fd;
	char *pages;
	char *big;
	size_t big_size;
	uint64_t start[2];
	struct vm vm;
	struct vcpu cpu;
	int table;
};

/* Steps one after the other, and what takes them back. */
struct job {
	int steps;
	/* the first one with the limit */
	int from;
	int (*step)(struct work *w, int i);
	int (*undo)(struct work *w);
	bool guest;
	/*
	 * Its memory has no pages when it is pinned; or it has, and they are so
	 * many that they are kept in more than is put by for the cgroup.
	 */
	bool fresh;
};

static void wrong(struct work *w, int step, const char *how, long what)
{
	if (w->report->how)
		return;
	w->report->wrong = step;
	w->report->what = what;
	w->report->how = how;
}

/* A window, sparse enough that each two maps take all levels and an array. */
static int map_apart(struct work *w, int i)
{
	return spapr_map(w->c, w->start[0] + i / 2 * APART + i % 2 * SZ_64K,
			 w->pages, SZ_4K);
}

static int step_v2(struct work *w, int i)
{
	if (i == 0)
		return container_add(w->c, &w->edu);
	if (i == 1)
		return container_set_iommu(w->c, VFIO_SPAPR_TCE_v2_IOMMU);
	i -= 2;
	if (i < PAGES)
		return spapr_register(w->c, w->pages + 2 * i * page_size,
				      page_size);
	i -= PAGES;
	if (i == 0)
		return spapr_register(w->c, w->big, BIG);
	if (i == 1)
		return spapr_remove(w->c, 0);
	if (i == 2)
		return spapr_create(w->c, 12, WINDOW, 3, &w->start[0]);
	if (i == 3)
		return spapr_create(w->c, 12, WINDOW / 8, 1, &w->start[1]);
	i -= 4;
	return map_apart(w, i);
}

#define STEPS_V2	(2 + PAGES + 4 + ALL_MAPS)

static int undo_v2(struct work *w)
{
	int i, ret = 0;

	/* Those that were not made are not there. */
	if (w->start[0] != -1UL)
		ret = spapr_unmap(w->c, w->start[0], WINDOW);
	/* No memory could be registered. */
	if (ret == -EPERM)
		ret = 0;
	if (!ret && w->start[0] != -1UL)
		ret = spapr_remove(w->c, w->start[0]);
	if (!ret && w->start[1] != -1UL)
		ret = spapr_remove(w->c, w->start[1]);
	for (i = 0; i < PAGES && !ret; i++) {
		ret = spapr_unregister(w->c, w->pages + 2 * i * page_size,
				       page_size);
		/* before the first of them is registered, and behind the last */
		if (ret == -ENOENT || ret == -EPERM || ret == -EINVAL)
			ret = 0;
	}
	if (ret)
		return ret;
	ret = spapr_unregister(w->c, w->big, BIG);
	return ret == -ENOENT || ret == -EPERM || ret == -EINVAL ? 0 : ret;
}

static const struct job v2 = { STEPS_V2, 0, step_v2, undo_v2, false, true };

static int step_v1(struct work *w, int i)
{
	if (i == 0)
		return container_add(w->c, &w->edu);
	if (i == 1)
		return container_set_iommu(w->c, VFIO_SPAPR_TCE_IOMMU);
	if (i == 2)
		return spapr_ioctl(w->c, VFIO_IOMMU_ENABLE, NULL);
	/* A MAP that is refused keeps the window that it has made. */
	if (i == 3)
		return spapr_unmap(w->c, 0, SZ_4K);
	/* as pages come, and what they are kept in meanwhile */
	if (i == 4 || i == 5)
		return spapr_map(w->c, 0, w->big, w->big_size);
	i -= 6;
	return spapr_map(w->c, SZ_1G + i * SZ_1M, w->pages, SZ_4K);
}

#define STEPS_V1	(6 + V1_MAPS)
#define HAS_WINDOW_V1	4

static int undo_v1(struct work *w)
{
	int ret = spapr_ioctl(w->c, VFIO_IOMMU_DISABLE, NULL);

	return ret == -EINVAL ? 0 : ret;
}

static const struct job v1 = { STEPS_V1, 0, step_v1, undo_v1, false, true };
static const struct job v1_map = {
	STEPS_V1, HAS_WINDOW_V1, step_v1, undo_v1, false, false
};

static int make_liobn(struct work *w, uint64_t start, uint64_t size)
{
	w->table = vm_liobn(&w->vm, LIOBN, 12, start >> 12, size >> 12);
	return w->table < 0 ? w->table : 0;
}

/* Each list touches a page of the LIOBN's table, and all levels. */
static int step_guest(struct work *w, int i)
{
	long ret;

	if (i < 3)
		return step_v2(w, i);
	if (i == 3)
		return spapr_create(w->c, 12, WINDOW, 3, &w->start[0]);
	if (i == 4)
		return vm_group_add(&w->vm, w->edu.group_fd);
	if (i == 5)
		return make_liobn(w, w->start[0], WINDOW);
	if (i == 6)
		return vm_attach(&w->vm, w->edu.group_fd, w->table);
	i -= 7;
	ret = h_put_tce_indirect(&w->cpu, LIOBN, w->start[0] + i * APART,
				 list_gpa(&w->cpu, 0), 2);
	return ret == H_NOT_ENOUGH_RESOURCES ? -ENOMEM : ret;
}

#define STEPS_GUEST	(7 + LISTS)

static int undo_guest(struct work *w)
{
	int ret;

	if (w->table >= 0)
		close(w->table);
	w->table = -1;
	ret = vm_group_del(&w->vm, w->edu.group_fd);
	return ret && ret != -ENOENT ? ret : undo_v2(w);
}

static const struct job guest = {
	STEPS_GUEST, 0, step_guest, undo_guest, true, true
};

static void forget(struct work *w)
{
	w->start[0] = -1UL;
	w->start[1] = -1UL;
	w->table = -1;
	w->c = container_open();
}

/* Leaves the container. */
static void end(struct work *w)
{
	close(w->c);
	edu_close_group(&w->edu);
	if (edu_open_group(&w->edu) < 0)
		wrong(w, -1, "the group cannot be opened", 0);
	forget(w);
}

static void guest_make(struct work *w)
{
	unsigned int i;

	if (!w->job->guest)
		return;
	vm_create(&w->vm, guest_any());
	if (vm_memory(&w->vm, 1, DATA_GPA, w->pages, 2 * PAGES * page_size))
		wrong(w, -1, "the guest has no memory", 0);
	vcpu_create(&w->vm, &w->cpu);
	/* the two entries of the list: one page, twice */
	for (i = 0; i < 2; i++)
		list_set(&w->cpu, 0, i, DATA_GPA | TCE_RW);
}

/* Without a limit: everything works, and this is what it takes. */
static void rehearse(struct work *w)
{
	struct report *r = w->report;
	int i, ret;

	if (!r->known) {
		r->locked_kb[0] = locked_kb();
		r->pinned[0] = pinned_pages();
	}
	for (i = 0; i < w->job->steps; i++) {
		ret = w->job->step(w, i);
		if (ret)
			wrong(w, i, "failed without a limit", ret);
		if (r->known)
			continue;
		r->locked_kb[i + 1] = locked_kb();
		r->pinned[i + 1] = pinned_pages();
	}
	r->known = true;
	ret = w->job->undo(w);
	if (ret)
		wrong(w, i, "cannot be undone", ret);
	end(w);
}

static void set_limit(struct work *w, long bytes)
{
	char text[32] = "max";

	if (bytes)
		snprintf(text, sizeof(text), "%ld", bytes);
	/* Opening a file takes memory. */
	if (pwrite(w->limit_fd, text, strlen(text), 0) < 0)
		wrong(w, -1, "the limit cannot be set", errno);
}

/* Compares with what there was after step @i the first time. */
static void compare(struct work *w, int i, const char *how)
{
	const struct report *r = w->report;
	long locked = locked_kb(), pinned = pinned_pages();

	if (locked != r->locked_kb[i + 1])
		wrong(w, i, how, locked - r->locked_kb[i + 1]);
	if (pinned != r->pinned[i + 1])
		wrong(w, i, how, pinned - r->pinned[i + 1]);
}

/* What follows when a step was refused */
enum mode {
	RETRY,		/* it is done without the limit, and so are all others */
	STOP,		/* all is undone, with the limit */
	GO_ON,		/* the next ones with the limit, then all is undone */
	MODES,
};

/* With a limit. The first step that is refused has done nothing. */
static void perform(struct work *w, long room, enum mode mode)
{
	int i, ret, last = w->job->steps - 1;

	for (i = 0; i <= last; i++) {
		if (i == w->job->from)
			set_limit(w, group_number("memory.current", "") + room);
		ret = w->job->step(w, i);
		if (!ret)
			continue;
		/* Later ones may miss what was refused. */
		if (ret != -ENOMEM && !w->report->refused)
			wrong(w, i, "failed by another error", ret);
		w->report->refused++;
		if (mode == STOP || w->report->refused == MAX_REFUSED)
			break;
		if (mode == GO_ON)
			continue;
		set_limit(w, 0);
		compare(w, i - 1, "was refused, and changed something");
		ret = w->job->step(w, i);
		if (ret)
			wrong(w, i, "failed with the limit gone", ret);
	}
	if (mode == RETRY || !w->report->refused) {
		set_limit(w, 0);
		compare(w, last, "takes something else at last");
	}
	ret = w->job->undo(w);
	if (ret)
		wrong(w, i, "cannot be undone with the limit", ret);
	set_limit(w, 0);
	end(w);
	compare(w, -1, "is not taken back");
}

struct round {
	struct report *report;
	const struct job *job;
	long room;
	enum mode mode;
	bool unkillable;
	struct edu edu;
};

/* The same memory again and again. */
static char *many_times(size_t piece, unsigned int times)
{
	int fd = memfd_create("oom", MFD_CLOEXEC);
	char *buf = buf_alloc(times * piece, SZ_64K);
	unsigned int i;

	if (fd < 0 || ftruncate(fd, piece))
		return NULL;
	for (i = 0; i < times; i++) {
		if (mmap(buf + i * piece, piece, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) ==
		    MAP_FAILED)
			return NULL;
	}
	close(fd);
	return buf;
}

static int in_group(struct round *round)
{
	struct work w = {
		.report = round->report, .job = round->job, .edu = round->edu,
	};
	size_t size = 2 * PAGES * page_size;

	w.limit_fd = open(GROUP "/memory.max", O_WRONLY | O_CLOEXEC);
	if (w.limit_fd < 0 || write_text(GROUP "/cgroup.procs", "0"))
		return 1;
	if (write_text("/proc/self/oom_score_adj",
		       round->unkillable ? "-1000" : "1000"))
		return 2;
	w.pages = buf_alloc(size, SZ_64K);
	w.big_size = w.job->fresh ? BIG : MANY_TIMES * BIG;
	w.big = w.job->fresh ? buf_alloc(BIG, SZ_64K) :
		many_times(BIG, MANY_TIMES);
	if (!w.big)
		return 4;
	memset(w.pages, 1, size);
	if (edu_open_group(&w.edu) < 0)
		return 3;
	guest_make(&w);
	forget(&w);
	rehearse(&w);
	/* Memory that has to come as it is pinned is charged, too. */
	if (w.job->fresh)
		madvise(w.big, BIG, MADV_DONTNEED);
	if (!w.report->how)
		perform(&w, round->room, round->mode);
	w.report->done = true;
	return 0;
}

FIXTURE(oom)
{
	struct usage was;
	struct edu edu;
	struct report *report;
	bool made;
};

FIXTURE_VARIANT(oom)
{
	const struct job *job;
	bool unkillable;
};

FIXTURE_VARIANT_ADD(oom, v2_fails) { &v2, true };
FIXTURE_VARIANT_ADD(oom, v2_is_killed) { &v2, false };
FIXTURE_VARIANT_ADD(oom, v1_fails) { &v1, true };
FIXTURE_VARIANT_ADD(oom, v1_map_fails) { &v1_map, true };
FIXTURE_VARIANT_ADD(oom, v1_is_killed) { &v1, false };
FIXTURE_VARIANT_ADD(oom, guest_fails) { &guest, true };
FIXTURE_VARIANT_ADD(oom, guest_is_killed) { &guest, false };

FIXTURE_SETUP(oom)
{
	const char *missing = group_missing();

	self->report = MAP_FAILED;
	if (missing)
		SKIP(return, "%s", missing);
	if (!edu_find(&self->edu, 1))
		SKIP(return, "no edu device is bound to vfio-pci");
	if (variant->job->guest && guest_missing(guest_any()))
		SKIP(return, "%s", guest_missing(guest_any()));
	self->was = usage_at_rest();
	ASSERT_EQ(0, group_make());
	self->made = true;
	/* What it says at length of each limit that is reached */
	ASSERT_EQ(0, write_text(OOM_DUMP_TASKS, "0"));
	ASSERT_EQ(0, write_text(PRINTK, "6"));
	self->report = mmap(NULL, sizeof(*self->report), PROT_READ |
			    PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->report);
	memset(self->report, 0, sizeof(*self->report));
}

FIXTURE_TEARDOWN(oom)
{
	if (!self->made)
		return;
	write_text(OOM_DUMP_TASKS, "1");
	write_text(PRINTK, "7");
	EXPECT_EQ(0, rmdir(GROUP));
	expect_usage(_metadata, &self->was);
}

/* One process; returns its status as of waitpid(). */
static int one_round(struct __test_metadata *_metadata,
		     FIXTURE_DATA(oom) *self, struct round *round)
{
	struct report *r = self->report;
	int status = -1;
	pid_t pid;

	r->refused = 0;
	r->how = NULL;
	r->done = false;
	round->report = r;
	round->edu = self->edu;
	ASSERT_EQ(0, write_text(GROUP "/memory.max", "max"));
	fflush(stdout);
	fflush(stderr);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(in_group(round));
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(NULL, r->how) {
		TH_LOG("room for %ld KiB: step %d %s: %ld", round->room / 1024,
		       r->wrong, r->how ?: "", r->what);
	}
	EXPECT_EQ(self->was.pinned, pinned_pages_settle(self->was.pinned));
	return status;
}

static const long rooms_kb[] = {
	0, 40, 250, 1000, 2500, 4200, 4500, 6000, 30000,
};

#define NR_ROOMS	((int)(sizeof(rooms_kb) / sizeof(*rooms_kb)))

TEST_F(oom, rooms)
{
	struct round round = {
		.job = variant->job, .unkillable = variant->unkillable,
	};
	int i, status, step, rounds = 0, refused = 0, killed = 0;
	long kernel;

	if (variant->job->from && page_size > SZ_4K)
		SKIP(return, "takes less than the 64 pages that a CPU charges in advance");

	/* without a limit, for what the cgroup keeps after any process */
	round.room = 1L << 40;
	ASSERT_EQ(0, one_round(_metadata, self, &round));
	kernel = kernel_bytes();
	ASSERT_LE(0, kernel);
	/* It takes long, and only two sizes matter. */
	step = variant->job->fresh ? 1 : 4;
	for (i = 0; i < MODES * NR_ROOMS; i++) {
		if (i / MODES % step)
			continue;
		round.room = rooms_kb[i / MODES] * 1024;
		round.mode = i % MODES;
		rounds++;
		status = one_round(_metadata, self, &round);
		if (WIFSIGNALED(status)) {
			EXPECT_FALSE(variant->unkillable);
			EXPECT_EQ(SIGKILL, WTERMSIG(status));
			killed++;
			continue;
		}
		EXPECT_EQ(0, status);
		EXPECT_TRUE(self->report->done);
		refused += !!self->report->refused;
	}
	TH_LOG("%d processes: %d had a call refused, %d were killed", rounds,
	       refused, killed);
	/* The least room is too little, the most is enough. */
	EXPECT_LT(variant->job->from ? 0 : 4, refused + killed);
	EXPECT_GT(rounds, refused + killed);
	EXPECT_TRUE(killed > 4 || variant->unkillable);

	/* What one table of one of them takes would be seen. */
	EXPECT_GE(kernel + SLACK, kernel_bytes());
	/* The next one finds everything as it should be. */
	round.room = 1L << 40;
	EXPECT_EQ(0, one_round(_metadata, self, &round));
	EXPECT_TRUE(self->report->done);
}

/* ---- what is charged twice: to locked_vm, and to the cgroup ---- */

#define CHARGED_WINDOW	(2 * SZ_1G)
/* What the lowest level of a table covers, at least */
#define CHARGED_APART	(2 * SZ_1M)

FIXTURE(charged)
{
	FIXTURE_DATA(oom) oom;
	struct work w;
	long locked_kb;
	long kernel;
};

FIXTURE_VARIANT(charged)
{
	const struct job *job;
	unsigned int levels;
};

FIXTURE_VARIANT_ADD(charged, one_level) { &v2, 1 };
FIXTURE_VARIANT_ADD(charged, two_levels) { &v2, 2 };
FIXTURE_VARIANT_ADD(charged, three_levels) { &v2, 3 };
FIXTURE_VARIANT_ADD(charged, liobn) { &guest, 0 };

FIXTURE_SETUP(charged)
{
	const FIXTURE_VARIANT(oom) as_oom = { variant->job, true };
	struct work *w = &self->w;

	oom_setup(_metadata, &self->oom, &as_oom);
	if (!self->oom.made)
		return;
	ASSERT_EQ(0, write_text(GROUP "/cgroup.procs", "0"));
	w->report = self->oom.report;
	w->job = variant->job;
	w->edu = self->oom.edu;
	w->pages = buf_alloc(2 * PAGES * page_size, SZ_64K);
	memset(w->pages, 1, 2 * PAGES * page_size);
	guest_make(w);
	forget(w);
	ASSERT_LE(0, edu_open_group(&w->edu));
	ASSERT_EQ(0, container_add(w->c, &w->edu));
	ASSERT_EQ(0, container_set_iommu(w->c, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, spapr_register(w->c, w->pages, 2 * PAGES * page_size));
	ASSERT_EQ(0, spapr_remove(w->c, 0));
	self->locked_kb = locked_kb();
	self->kernel = kernel_bytes();
}

FIXTURE_TEARDOWN(charged)
{
	static const FIXTURE_VARIANT(oom) as_oom = { &v2, true };
	struct work *w = &self->w;

	if (!self->oom.made)
		return;
	if (w->job->guest) {
		vcpu_close(&w->cpu);
		vm_close(&w->vm);
	}
	edu_close_group(&w->edu);
	close(w->c);
	EXPECT_EQ(0, write_text(CGROUPS "/cgroup.procs", "0"));
	oom_teardown(_metadata, &self->oom, &as_oom);
}

/* slub_debug: an array of a page then takes two. */
static bool slab_is_padded(void)
{
	FILE *f = fopen("/sys/kernel/slab/kmalloc-8k/red_zone", "r");
	bool padded = f && fgetc(f) == '1';

	if (f)
		fclose(f);
	return padded;
}

/* Every level and every array of a window, or every page of a LIOBN. */
static int fill(struct work *w, unsigned int levels)
{
	uint64_t at;
	int ret;

	if (levels)
		ret = spapr_create(w->c, 12, CHARGED_WINDOW, levels,
				   &w->start[0]);
	else
		ret = make_liobn(w, 0, CHARGED_WINDOW);
	for (at = 0; !ret && at < CHARGED_WINDOW; at += CHARGED_APART) {
		if (!levels) {
			ret = h_put_tce_indirect(&w->cpu, LIOBN, at,
						 list_gpa(&w->cpu, 0), 2);
			continue;
		}
		ret = spapr_map(w->c, w->start[0] + at, w->pages, SZ_4K);
		if (!ret)
			ret = spapr_map(w->c, w->start[0] + at + SZ_64K,
					w->pages, SZ_4K);
	}
	return ret;
}

/* When it is full, what was charged before is what it takes. */
TEST_F(charged, full)
{
	long charged, kernel;

	if (variant->levels && slab_is_padded())
		SKIP(return, "the allocator pads objects to check them");

	ASSERT_EQ(0, fill(&self->w, variant->levels));
	charged = (locked_kb() - self->locked_kb) * 1024;
	kernel = kernel_bytes() - self->kernel;
	EXPECT_LT(0, charged);
	EXPECT_LE(charged - charged / 32, kernel);
	EXPECT_GE(charged + charged / 32, kernel);
	TH_LOG("charged %ld KiB to locked memory, %ld KiB to the cgroup",
	       charged / 1024, kernel / 1024);

	if (variant->levels) {
		EXPECT_EQ(0, spapr_remove(self->w.c, self->w.start[0]));
	} else {
		close(self->w.table);
	}
	EXPECT_EQ(self->locked_kb, locked_kb());
	EXPECT_GE(self->kernel + SLACK, kernel_bytes());
}

TEST_HARNESS_MAIN
