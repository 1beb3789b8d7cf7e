// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything at once, for a while: processes come and go that do all ioctls and
 * all hypercalls in as many threads, while windows and groups leave and VMs are
 * destroyed. Some end in good order, and must find that everything was given
 * back; some exit as they are; some are killed in the middle of it. After each
 * the machine has to be as it was before.
 *
 * SECONDS=number: how long, by default 10; SEED=number. Who does what, and for
 * how long, follows from the seed, which is printed; what happens at the same
 * time does not.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "kvm_guest.h"
#include "spapr_race.h"

#define SECONDS		10

#define REGIONS		12
#define REGION_SIZE	(4 * SZ_64K)
#define BUF_SIZE	(REGIONS * REGION_SIZE)
#define WINDOW		SZ_1G
/* The part of a window that all fight for, around borders of all kinds */
#define FIRST		(900 * SZ_4K)
#define SPAN		(2048 * SZ_4K)
#define LIOBN		0x80000001UL
#define DATA_GPA	0x10000000UL
#define VCPUS		2
#define BATCH		32
/* Free memory comes and goes by this much; see spapr_death.c. */
#define SLACK_KB	(160 * 1024)

/* All that a process works on. */
struct world {
	struct edu edu[2];
	int c[2];
	enum mmu mmu;
	char *buf;
	/* a group changes containers: one at a time */
	pthread_mutex_t group_lock;
};

/* Errors that a container may have whose groups come and go. */
#define GONE	(ERR(EINVAL) | ERR(EPERM) | ERR(ENXIO))

static struct world *world_of(struct thread *t)
{
	return t->self;
}

static int some_c(struct thread *t)
{
	return world_of(t)->c[!some(t, 4)];
}

static uint64_t some_iova(struct thread *t)
{
	return (some(t, 2) ? SLOT0_START : SLOT1_START) + FIRST +
	       some(t, SPAN / SZ_4K) * SZ_4K;
}

static uint64_t some_size(struct thread *t)
{
	return (1 + some(t, some(t, 3) ? 20 : 600)) * SZ_4K;
}

/* ---- ioctls ---- */

static void do_map(struct thread *t)
{
	uint64_t size = some_size(t);
	uint64_t off = some(t, BUF_SIZE / SZ_4K) * SZ_4K;

	result(t, "MAP", spapr_map(some_c(t), some_iova(t),
				   world_of(t)->buf + off, size), GONE);
}

static void do_unmap(struct thread *t)
{
	result(t, "UNMAP", spapr_unmap(some_c(t), some_iova(t), some_size(t)),
	       GONE);
}

static void do_memory(struct thread *t)
{
	char *ua = world_of(t)->buf + some(t, REGIONS) * REGION_SIZE;
	int c = some_c(t);

	if (some(t, 3))
		result(t, "REGISTER", spapr_register(c, ua, REGION_SIZE),
		       GONE | ERR(EBUSY));
	else
		result(t, "UNREGISTER", spapr_unregister(c, ua, REGION_SIZE),
		       GONE | ERR(EBUSY) | ERR(ENOENT));
}

static void do_window(struct thread *t)
{
	int c = some_c(t);

	if (some(t, 2))
		result(t, "CREATE", spapr_create(c, some(t, 3) ? 12 : 16,
						 WINDOW << some(t, 4),
						 1 + some(t, 3), NULL),
		       GONE | ERR(ENOSPC) | ERR(ENOMEM));
	else
		result(t, "REMOVE", spapr_remove(c, some(t, 2) ? SLOT0_START :
						 SLOT1_START), GONE);
	nap(t, 500);
}

/* A group goes to the other container, or comes back to its own. */
static void do_group(struct thread *t)
{
	struct world *w = world_of(t);
	struct edu *edu = &w->edu[some(t, 2)];
	int c = w->c[some(t, 2)];

	pthread_mutex_lock(&w->group_lock);
	result(t, "UNSET_CONTAINER", container_del(c, edu), GONE);
	result(t, "SET_CONTAINER", container_add(c, edu), GONE);
	result(t, "SET_IOMMU",
	       container_set_iommu(c, VFIO_SPAPR_TCE_v2_IOMMU), GONE);
	pthread_mutex_unlock(&w->group_lock);
	nap(t, 40000);
}

static int call_as_child(void *arg)
{
	struct thread *t = arg;
	struct vfio_iommu_spapr_tce_info info;

	return spapr_info(some_c(t), &info);
}

static void do_foreign(struct thread *t)
{
	result(t, "call of another process", in_child(call_as_child, t), GONE);
	nap(t, 200000);
}

/* ---- guests ---- */

struct guest {
	struct vm vm;
	struct vcpu cpu[VCPUS];
	int table;
	struct thread thread[VCPUS];
	atomic_bool over;
};

static uint64_t some_tce(struct thread *t)
{
	return some(t, 8) ? (DATA_GPA + some(t, BUF_SIZE / SZ_4K) * SZ_4K) |
			    TCE_RW : 0;
}

static void some_hcall(struct thread *t, unsigned int i)
{
	uint64_t ioba = FIRST + some(t, SPAN / SZ_4K) * SZ_4K;
	unsigned int list = some(t, MAX_LISTS), n = 1 + some(t, MAX_LIST), k;

	switch (some(t, 4)) {
	case 0:
		hcall_set(t->cpu, i, H_PUT_TCE, LIOBN, ioba, some_tce(t), 0);
		break;
	case 1:
		for (k = 0; k < n; k++)
			list_set(t->cpu, list, k, some_tce(t) + k % 2 * SZ_4K);
		hcall_set(t->cpu, i, H_PUT_TCE_INDIRECT, LIOBN, ioba,
			  list_gpa(t->cpu, list), n);
		break;
	case 2:
		hcall_set(t->cpu, i, H_STUFF_TCE, LIOBN, ioba, 0,
			  some(t, 3000));
		break;
	case 3:
		hcall_set(t->cpu, i, H_GET_TCE, LIOBN, ioba, 0, 0);
		break;
	}
}

static void *run_vcpu(void *arg)
{
	struct thread *t = arg;
	unsigned int i;

	while (!atomic_load(&t->g->over)) {
		for (i = 0; i < BATCH; i++)
			some_hcall(t, i);
		vcpu_run(t->cpu, BATCH);
		for (i = 0; i < BATCH; i++) {
			long ret = t->cpu->hcall[i].ret;

			if (ret && ret != H_TOO_HARD && !t->what) {
				t->what = "a hypercall";
				t->ret = ret;
			}
		}
	}
	return NULL;
}

static void guest_start(struct thread *t, struct guest *g)
{
	struct world *w = world_of(t);
	int i;

	*g = (struct guest){ .table = -1 };
	vm_create(&g->vm, w->mmu);
	result(t, "a slot", vm_memory(&g->vm, 1, DATA_GPA, w->buf, BUF_SIZE),
	       0);
	/* so that real mode reads lists */
	result(t, "REGISTER", spapr_register(w->c[0], g->vm.low,
					     GUEST_LOW_SIZE), GONE);
	for (i = 0; i < VCPUS; i++) {
		vcpu_create(&g->vm, &g->cpu[i]);
		g->thread[i] = (struct thread){
			.self = w, .g = g, .cpu = &g->cpu[i],
			.seed = t->seed + 31 * i,
		};
	}
	for (i = 0; i < VCPUS; i++) {
		if (pthread_create(&g->thread[i].thread, NULL, run_vcpu,
				   &g->thread[i]))
			abort();
	}
}

static void change_guest(struct thread *t, struct guest *g)
{
	int fd = world_of(t)->edu[some(t, 2)].group_fd;

	switch (some(t, 5)) {
	case 0:
		result(t, "GROUP_ADD", vm_group_add(&g->vm, fd), ERR(EEXIST));
		break;
	case 1:
		if (!some(t, 4))
			result(t, "GROUP_DEL", vm_group_del(&g->vm, fd),
			       ERR(ENOENT));
		break;
	case 2:
		if (g->table < 0) {
			g->table = vm_liobn(&g->vm, LIOBN, 12, 0,
					    WINDOW / SZ_4K);
			/* a forked child may still have the last one */
			result(t, "a LIOBN", g->table < 0 ? g->table : 0,
			       ERR(EBUSY));
		} else if (!some(t, 8)) {
			close(g->table);
			g->table = -1;
		}
		break;
	default:
		if (g->table >= 0)
			result(t, "attach", vm_attach(&g->vm, fd, g->table),
			       ERR(EINVAL) | ERR(ENOENT));
		break;
	}
	nap(t, 3000);
}

static void guest_end(struct thread *t, struct guest *g)
{
	bool table_first = some(t, 2);
	int i;

	atomic_store(&g->over, true);
	for (i = 0; i < VCPUS; i++) {
		pthread_join(g->thread[i].thread, NULL);
		vcpu_close(&g->cpu[i]);
		if (g->thread[i].what)
			result(t, "a hypercall", g->thread[i].ret, 0);
	}
	if (table_first && g->table >= 0)
		close(g->table);
	vm_close(&g->vm);
	if (!table_first && g->table >= 0)
		close(g->table);
	result(t, "UNREGISTER", spapr_unregister(world_of(t)->c[0], g->vm.low,
						 GUEST_LOW_SIZE),
	       GONE | ERR(ENOENT));
	munmap(g->vm.low, GUEST_LOW_SIZE);
}

/* The life of a VM */
static void do_vm(struct thread *t)
{
	static struct guest g;
	int changes = 10 + some(t, 100);

	if (guest_missing(world_of(t)->mmu)) {
		result(t, "no VM", 0, 0);
		nap(t, 100000);
		return;
	}
	guest_start(t, &g);
	while (changes-- && !atomic_load(&over))
		change_guest(t, &g);
	guest_end(t, &g);
}

/* ---- a process ---- */

static const struct {
	const char *name;
	void (*fn)(struct thread *t);
	/* refused unless it comes in between */
	bool refused;
} deeds[] = {
	{ "map", do_map }, { "map", do_map }, { "unmap", do_unmap },
	{ "memory", do_memory }, { "window", do_window },
	{ "group", do_group }, { "vm", do_vm }, { "foreign", do_foreign, true },
};

#define NR_DEEDS	ARRAY_SIZE(deeds)

/* Successes, and of how many, in all processes. */
struct sum {
	long good;
	long done;
};

static void add_up(struct sum *sums, const struct thread *of)
{
	int i;

	for (i = 0; i < NR_DEEDS; i++) {
		sums[i].good += of[i].good;
		sums[i].done += of[i].done;
	}
}

static bool is_good(const struct sum *sums, int i)
{
	return deeds[i].refused ? sums[i].done : sums[i].good;
}

/* Has each succeeded? On a busy machine that may take longer than it should. */
static bool each_was_good(const struct sum *sums)
{
	int i;

	for (i = 0; i < NR_DEEDS; i++) {
		if (!is_good(sums, i))
			return false;
	}
	return true;
}

/* Nothing may be refused every time. */
static void expect_good(struct __test_metadata *_metadata,
			const struct sum *sums)
{
	int i;

	for (i = 0; i < NR_DEEDS; i++) {
		TH_LOG("%s: %ld of %ld", deeds[i].name, sums[i].good,
		       sums[i].done);
		EXPECT_TRUE(is_good(sums, i));
	}
}

static int complain(const char *what, long ret)
{
	fprintf(stderr, "# %s returned %ld\n", what, ret);
	return 1;
}

/* Everything that is left can be given back, and then nothing is charged. */
static int give_back(struct world *w, long locked)
{
	int i, c, ret, bad = 0;

	for (c = 0; c < 2; c++) {
		spapr_remove(w->c[c], SLOT0_START);
		spapr_remove(w->c[c], SLOT1_START);
	}
	for (c = 0; c < 2; c++) {
		for (i = 0; i < REGIONS; i++) {
			ret = spapr_unregister(w->c[c],
					       w->buf + i * REGION_SIZE,
					       REGION_SIZE);
			if (ret && !(GONE & ERR(-ret)) && ret != -ENOENT)
				bad |= complain("UNREGISTER in the end", ret);
		}
	}
	/* That of VMs which failed to unregister theirs goes with the group */
	for (i = 0; i < 2; i++)
		container_del(0, &w->edu[i]);
	if (locked_kb() != locked)
		bad |= complain("VmLck", locked_kb());
	return bad;
}

/* Those of the process that lives: it can be seen what one did that is gone. */
static struct thread *threads;

/* Lives until it is killed, if @seconds is 0. */
static void __attribute__((noreturn))
live(struct edu *edu, enum mmu mmu, double seconds, bool orderly)
{
	struct world w = {
		.mmu = mmu, .group_lock = PTHREAD_MUTEX_INITIALIZER,
	};
	long locked = locked_kb();
	int i, ret, bad = 0;

	memcpy(w.edu, edu, sizeof(w.edu));
	w.buf = buf_alloc(BUF_SIZE, SZ_64K);
	for (i = 0; i < 2; i++) {
		w.c[i] = container_open();
		ret = edu_open_group(&w.edu[i]);
		if (ret < 0)
			_exit(complain("opening the group", ret));
		container_add(w.c[i], &w.edu[i]);
		container_set_iommu(w.c[i], VFIO_SPAPR_TCE_v2_IOMMU);
	}
	for (i = 0; i < NR_DEEDS; i++) {
		threads[i].self = &w;
		threads[i].fn = deeds[i].fn;
	}
	threads_start(threads, NR_DEEDS);
	if (!seconds) {
		for (;;)
			pause();
	}
	sleep_for(seconds);
	if (!orderly)
		_exit(0);
	threads_end(threads, NR_DEEDS);
	for (i = 0; i < NR_DEEDS; i++) {
		if (threads[i].what)
			bad |= complain(threads[i].what, threads[i].ret);
	}
	_exit(bad | give_back(&w, locked));
}

/* ---- who starts and kills them ---- */

FIXTURE(stress)
{
	struct usage was;
	long free_kb;
	struct edu edu[2];
	enum mmu mmu;
};

FIXTURE_SETUP(stress)
{
	if (edu_find(self->edu, 2) < 2)
		SKIP(return, "no two groups with an edu device each");
	self->mmu = guest_missing(RADIX) ? HASH : RADIX;
	self->was = usage_at_rest();
	self->free_kb = mem_free_kb();
}

FIXTURE_TEARDOWN(stress)
{
	expect_usage(_metadata, &self->was);
	EXPECT_LE(self->free_kb - SLACK_KB,
		  mem_free_kb_settle(self->free_kb - SLACK_KB));
}

/* Looks at all tables while everything goes on, if the kernel can. */
static void do_check(struct thread *t)
{
	result(t, "the kernel's check", check_invariants(), 0);
	nap(t, 300000);
}

/* A process that ended suddenly has left a child, which has its files open. */
static void wait_for_orphans(void)
{
	while (waitpid(-1, NULL, 0) > 0)
		;
}

enum end { KILLED, EXITS, ORDERLY, ENDS };

TEST_F_TIMEOUT(stress, all, 1000000)
{
	static const char *const names[ENDS] = { "killed", "exits", "orderly" };
	double length = setting("SECONDS", SECONDS), seconds;
	double end = now() + length, last = end + RACE_MOST_TIMES * length;
	struct thread judge = { .seed = race_seed(100) };
	struct thread checker = { .fn = do_check };
	struct sum sums[NR_DEEDS] = { 0 };
	unsigned int seed, round;
	int status;
	pid_t pid;

	TH_LOG("SEED=%.0f SECONDS=%.0f", setting("SEED", 0), length);
	threads = mmap(NULL, NR_DEEDS * sizeof(*threads),
		       PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		       0);
	ASSERT_NE(MAP_FAILED, threads);
	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	threads_start(&checker, 1);
	for (round = 0; round < ENDS || now() < end ||
	     (now() < last && !each_was_good(sums)); round++) {
		enum end how = round < ENDS ? round : some(&judge, ENDS);
		char text[16];

		seed = some(&judge, 1 << 20);
		seconds = 0.05 + some(&judge, 2500) / 1000.0;
		snprintf(text, sizeof(text), "%u", seed);
		setenv("SEED", text, 1);
		fprintf(stderr, "# round %u: %s after %.2f s, seed %u\n", round,
			names[how], seconds, seed);
		memset(threads, 0, NR_DEEDS * sizeof(*threads));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			live(self->edu, self->mmu, how == KILLED ? 0 : seconds,
			     how == ORDERLY);
		if (how == KILLED) {
			sleep_for(seconds);
			ASSERT_EQ(0, kill(pid, SIGKILL));
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		wait_for_orphans();
		ASSERT_EQ(how == KILLED ? SIGKILL : 0, status);
		add_up(sums, threads);
		ASSERT_EQ(self->was.pinned,
			  pinned_pages_settle(self->was.pinned));
		ASSERT_EQ(self->was.taint, kernel_taint());
	}
	threads_end(&checker, 1);
	EXPECT_EQ(NULL, checker.what);
	expect_good(_metadata, sums);
}

int main(int argc, char **argv)
{
	return run_with_settings(argc, argv);
}
