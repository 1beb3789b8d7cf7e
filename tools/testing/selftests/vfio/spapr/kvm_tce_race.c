// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hypercalls of several vCPUs against each other, and against all that the
 * owner of the VM can do at the same time. No call fails with an error that no
 * order of one after the other has, the guest's table and the device's tell the
 * same in the end, and every count is exact: all memory can be unregistered,
 * every charge and every pin is back.
 *
 * Each case takes SPAPR_RACE_SECONDS, by default 2.
 */
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "kvm_fixture.h"
#include "spapr_race.h"

/*
 * The entries that all fight for: from the middle of one page of the guest's
 * table into the next, and over several locks, whatever these cover.
 */
#define FIRST		7000UL
#define ENTRIES		2400UL

#define RACE_SECONDS	2
#define VCPUS		3
/* Hypercalls in one go */
#define BATCH		48
/* Entries that are looked at in the end */
#define SPOTS		8

FIXTURE(race)
{
	struct guest g;
	/* with that of the guest itself, VCPUS */
	struct vcpu cpu[VCPUS];
};

FIXTURE_VARIANT(race)
{
	enum mmu mmu;
	/* of the LIOBN; the window has 4 KiB */
	unsigned int shift;
};

FIXTURE_VARIANT_ADD(race, hash) { HASH, 12 };
FIXTURE_VARIANT_ADD(race, hash_64k_of_4k) { HASH, 16 };
FIXTURE_VARIANT_ADD(race, radix) { RADIX, 12 };
FIXTURE_VARIANT_ADD(race, pr) { PR, 12 };

FIXTURE_SETUP(race)
{
	struct guest *g = &self->g;
	int i;

	if (!guest_setup(_metadata, g, variant->mmu, true))
		return;
	/* two levels, of which the lower ones come while all are at it */
	ASSERT_EQ(0, spapr_create(g->c, 12, SZ_1G, 2, &g->start));
	guest_liobn(_metadata, g, variant->shift, g->start,
		    SZ_1G >> variant->shift);
	guest_attach(_metadata, g, 0);
	self->cpu[0] = g->cpu;
	for (i = 1; i < VCPUS; i++)
		vcpu_create(&g->vm, &self->cpu[i]);
}

FIXTURE_TEARDOWN(race)
{
	int i;

	for (i = 1; i < VCPUS; i++)
		vcpu_close(&self->cpu[i]);
	guest_teardown(_metadata, &self->g);
}

/* ---- threads ---- */

struct brawler {
	void (*fn)(struct thread *t);
	bool refused;
};

/* The first of them may be vCPUs. */
static void line_up(FIXTURE_DATA(race) *self, struct thread *threads,
		    const struct brawler *who, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		threads[i] = (struct thread){
			.self = self, .g = &self->g, .fn = who[i].fn,
			.refused = who[i].refused,
			.cpu = i < VCPUS ? &self->cpu[i] : NULL,
		};
	}
}

/* Ends them in time. */
static void brawl(struct __test_metadata *_metadata, FIXTURE_DATA(race) *self,
		  const struct brawler *who, int n)
{
	struct thread threads[MAX_THREADS];

	line_up(self, threads, who, n);
	threads_race(_metadata, threads, n, race_seconds(RACE_SECONDS));
}

/* ---- what vCPUs do ---- */

/* A page of region A or B, or now and then none. */
static uint64_t random_tce(struct thread *t)
{
	unsigned int pages = 2 * REGION_SIZE >> t->g->shift;
	unsigned int page = some(t, pages + pages / 8);

	if (page >= pages)
		return 0;
	return (DATA_GPA + ((uint64_t)page << t->g->shift)) |
	       (some(t, 4) ? TCE_RW : TCE_READ);
}

static void random_list(struct thread *t, unsigned int list, unsigned int n)
{
	unsigned int pages = 2 * REGION_SIZE >> t->g->shift;
	unsigned int page = some(t, pages), i;
	bool in_order = some(t, 2);

	for (i = 0; i < n; i++) {
		uint64_t tce = random_tce(t);

		if (in_order && i % 100 != 99)
			tce = (DATA_GPA + ((uint64_t)((page + i) % pages) <<
					   t->g->shift)) | TCE_RW;
		list_set(t->cpu, list, i, tce);
	}
}

static void random_hcall(struct thread *t, unsigned int i)
{
	unsigned int n = 1 + some(t, some(t, 2) ? 8 : MAX_LIST);
	uint64_t at = ioba(t->g, FIRST + some(t, ENTRIES - n));
	unsigned int list = i % MAX_LISTS;

	switch (some(t, 6)) {
	case 0:
	case 1:
		hcall_set(t->cpu, i, H_PUT_TCE, LIOBN, at, random_tce(t), 0);
		break;
	case 2:
	case 3:
		random_list(t, list, n);
		hcall_set(t->cpu, i, H_PUT_TCE_INDIRECT, LIOBN, at,
			  list_gpa(t->cpu, list), n);
		break;
	case 4:
		hcall_set(t->cpu, i, H_STUFF_TCE, LIOBN, at, 0, n);
		break;
	case 5:
		hcall_set(t->cpu, i, H_GET_TCE, LIOBN, at, 0, 0);
		break;
	}
}

static void run_hcalls(struct thread *t, unsigned int n)
{
	unsigned int i;

	vcpu_run(t->cpu, n);
	for (i = 0; i < n; i++) {
		long ret = t->cpu->hcall[i].ret;

		t->done++;
		t->good += ret == H_SUCCESS;
		if (t->what || ret == H_SUCCESS ||
		    (t->refused && ret == H_TOO_HARD))
			continue;
		t->what = "a hypercall";
		t->ret = ret;
	}
}

static void brawl_vcpu(struct thread *t)
{
	unsigned int i;

	for (i = 0; i < BATCH; i++)
		random_hcall(t, i);
	run_hcalls(t, BATCH);
}

/* ---- the end ---- */

/* Do guest and device agree on some of the entries? 100 ms each. */
static void expect_agreement(struct __test_metadata *_metadata,
			     FIXTURE_DATA(race) *self)
{
	struct guest *g = &self->g;
	struct spot spots[SPOTS];
	struct probe probe;
	int i;

	buf_tag(g->data, DATA_SIZE);
	ASSERT_EQ(0, probe_init(&probe, g->c, &g->edu[0], g->last));
	for (i = 0; i < SPOTS; i++) {
		uint64_t at = FIRST + i * (ENTRIES / SPOTS) + i;
		uint64_t tce = entry(g, at);

		ASSERT_NE(NO_ENTRY, tce);
		/* the last part of the page, as that comes last */
		spots[i].iova = ioba(g, at + 1) - SZ_4K;
		spots[i].ua = tce & TCE_READ ? g->data + (tce & ~TCE_RW) -
			DATA_GPA + (1UL << g->shift) - SZ_4K : NULL;
	}
	EXPECT_EQ(0, probe_spots(&probe, spots, SPOTS));
	EXPECT_EQ(0, probe_exit(&probe));
}

/* The guest clears its table, and nothing is left. */
static void expect_clean(struct __test_metadata *_metadata,
			 FIXTURE_DATA(race) *self)
{
	struct guest *g = &self->g;

	EXPECT_EQ(H_SUCCESS, stuff(g, 0, 0, g->size));
	EXPECT_EQ(0, unregister_region(g, A));
	EXPECT_EQ(0, unregister_region(g, B));
	EXPECT_EQ(0, spapr_unregister(g->c, g->vm.low, GUEST_LOW_SIZE));
	EXPECT_EQ(g->was.pinned, pinned_pages_settle(g->was.pinned));
}

/* The same when entries may be there of which the guest's table has none. */
static void expect_clean_window(struct __test_metadata *_metadata,
				FIXTURE_DATA(race) *self)
{
	struct guest *g = &self->g;

	EXPECT_EQ(0, spapr_unmap(g->c, g->start, SZ_1G));
	expect_clean(_metadata, self);
}

TEST_F_TIMEOUT(race, vcpus, 60)
{
	static const struct brawler who[] = {
		{ brawl_vcpu }, { brawl_vcpu }, { brawl_vcpu },
	};

	brawl(_metadata, self, who, 3);
	expect_agreement(_metadata, self);
	expect_clean(_metadata, self);
}

/* All on the same few entries: replaced as soon as they are put. */
static void brawl_few(struct thread *t)
{
	unsigned int i;

	for (i = 0; i < 4 * BATCH; i++) {
		unsigned int spot = some(t, 4);
		uint64_t at = ioba(t->g, FIRST + spot * (ENTRIES / SPOTS) + spot +
				   some(t, 2));

		if (some(t, 8))
			hcall_set(t->cpu, i, H_PUT_TCE, LIOBN, at,
				  random_tce(t), 0);
		else
			hcall_set(t->cpu, i, H_STUFF_TCE, LIOBN, at, 0, 2);
	}
	run_hcalls(t, 4 * BATCH);
}

TEST_F_TIMEOUT(race, same_entries, 60)
{
	static const struct brawler who[] = {
		{ brawl_few }, { brawl_few }, { brawl_few },
	};

	brawl(_metadata, self, who, 3);
	expect_agreement(_metadata, self);
	expect_clean(_metadata, self);
}

/* A thread changes the lists while the vCPUs put them. */
static void brawl_put_lists(struct thread *t)
{
	FIXTURE_DATA(race) *self = t->self;
	unsigned int i;

	for (i = 0; i < BATCH; i++) {
		unsigned int n = 1 + some(t, MAX_LIST);

		/* those of the first vCPU, for all */
		hcall_set(t->cpu, i, H_PUT_TCE_INDIRECT, LIOBN,
			  ioba(t->g, FIRST + some(t, ENTRIES - n)),
			  list_gpa(&self->cpu[0], i % 4), n);
	}
	run_hcalls(t, BATCH);
}

static void brawl_change_lists(struct thread *t)
{
	FIXTURE_DATA(race) *self = t->self;
	struct vcpu *cpu = &self->cpu[0];
	unsigned int list = some(t, 4), i;
	unsigned int from = some(t, MAX_LIST);
	uint64_t tce = random_tce(t);

	/* what must not be mapped, too, if only for a moment */
	if (!some(t, 4))
		tce = gpa(UNREGISTERED, 0) | TCE_RW;
	if (!some(t, 16))
		tce = (DATA_GPA + 8) | TCE_RW;
	for (i = from; i < MAX_LIST; i += 1 + some(t, 3))
		list_set(cpu, list, i, tce);
	for (i = from; i < MAX_LIST; i++)
		list_set(cpu, list, i, random_tce(t));
	t->good++;
}

TEST_F_TIMEOUT(race, lists_change, 60)
{
	static const struct brawler who[] = {
		{ brawl_put_lists, true }, { brawl_put_lists, true },
		{ brawl_vcpu }, { brawl_change_lists },
	};

	/* the third has lists of its own */
	brawl(_metadata, self, who, 4);
	expect_agreement(_metadata, self);
	expect_clean(_metadata, self);
}

/* ---- two at a time, each of whom writes all of it, or nothing ---- */

/* Entries of one chunk, few enough to be mapped at once */
#define DUEL_AT		(7 * 1024UL + 500)
#define DUEL_NR		16U

struct duel {
	pthread_t thread;
	pthread_barrier_t barrier;
	struct guest *g;
	struct vcpu *cpu;
	void (*fn)(struct duel *d);
	long ret;
};

static void *run_duel(void *arg)
{
	struct duel *d = arg;

	for (;;) {
		pthread_barrier_wait(&d->barrier);
		if (atomic_load(&over))
			return NULL;
		d->fn(d);
		pthread_barrier_wait(&d->barrier);
	}
}

static void duel_start(struct duel *d, struct guest *g, struct vcpu *cpu,
		       void (*fn)(struct duel *d))
{
	*d = (struct duel){ .g = g, .cpu = cpu, .fn = fn };
	atomic_store(&over, false);
	pthread_barrier_init(&d->barrier, NULL, 2);
	if (pthread_create(&d->thread, NULL, run_duel, d))
		abort();
}

static void duel_stop(struct duel *d)
{
	atomic_store(&over, true);
	pthread_barrier_wait(&d->barrier);
	pthread_join(d->thread, NULL);
	pthread_barrier_destroy(&d->barrier);
}

/* Wait a while, of a random length. */
static void dither(unsigned int *seed)
{
	volatile unsigned int n = rand_r(seed) % 4000;

	while (n)
		n--;
}

static void duel_map(struct duel *d)
{
	static unsigned int seed;
	struct guest *g = d->g;

	dither(&seed);
	d->ret = spapr_map(g->c, ioba(g, DUEL_AT), region_ua(g, B),
			   (uint64_t)DUEL_NR << g->shift);
}

/*
 * A list that takes memory is written at once nevertheless: an ioctl that maps
 * the same entries comes before or after, never between.
 */
TEST_F_TIMEOUT(race, list_or_map, 60)
{
	unsigned int pages = REGION_SIZE >> self->g.shift, i, seed = 1;
	struct guest *g = &self->g;
	double end = now() + race_seconds(RACE_SECONDS);
	struct duel d;
	long ret;

	for (i = 0; i < DUEL_NR; i++)
		list_set(&g->cpu, 0, i, gpa(A, (uint64_t)(i * 5 % pages) <<
					    g->shift) | TCE_RW);
	duel_start(&d, g, NULL, duel_map);
	do {
		pthread_barrier_wait(&d.barrier);
		dither(&seed);
		ret = h_put_tce_indirect(&g->cpu, LIOBN, ioba(g, DUEL_AT),
					 list_gpa(&g->cpu, 0),
					 DUEL_NR);
		pthread_barrier_wait(&d.barrier);
		EXPECT_EQ(H_SUCCESS, ret);
		EXPECT_EQ(0, d.ret);
		/* of the list, or of the map */
		EXPECT_EQ(1, busy(g, A) + busy(g, B));
		/* all of the chunk, so that it has no array any more */
		EXPECT_EQ(0, spapr_unmap(g->c, g->start, SZ_1G));
	} while (now() < end && !_metadata->exit_code);
	duel_stop(&d);
	expect_clean_window(_metadata, self);
}

/* Scattered lists that overlap, in two chunks: one of them has been the last. */
#define LISTS_AT	(7 * 1024UL - 300)
#define LISTS_SHIFT	100U

static void put_both_lists(struct duel *d)
{
	d->ret = h_put_tce_indirect(d->cpu, LIOBN,
				    ioba(d->g, LISTS_AT + LISTS_SHIFT),
				    list_gpa(d->cpu, 0), MAX_LIST);
}

TEST_F_TIMEOUT(race, overlapping_lists, 60)
{
	unsigned int pages = REGION_SIZE >> self->g.shift, i;
	struct guest *g = &self->g;
	double end = now() + race_seconds(RACE_SECONDS);
	unsigned int of_first;
	struct duel d;
	long ret;

	for (i = 0; i < MAX_LIST; i++) {
		uint64_t off = (uint64_t)(i * 5 % pages) << g->shift;

		list_set(&self->cpu[0], 0, i, gpa(A, off) | TCE_RW);
		list_set(&self->cpu[1], 0, i, gpa(B, off) | TCE_RW);
	}
	duel_start(&d, g, &self->cpu[1], put_both_lists);
	do {
		pthread_barrier_wait(&d.barrier);
		ret = h_put_tce_indirect(&g->cpu, LIOBN, ioba(g, LISTS_AT),
					 list_gpa(&g->cpu, 0), MAX_LIST);
		pthread_barrier_wait(&d.barrier);
		ASSERT_EQ(H_SUCCESS, ret);
		ASSERT_EQ(H_SUCCESS, d.ret);
		of_first = 0;
		for (i = LISTS_SHIFT; i < MAX_LIST; i++)
			of_first += g->view[LISTS_AT + i] < gpa(B, 0);
		EXPECT_TRUE(!of_first || of_first == MAX_LIST - LISTS_SHIFT) {
			TH_LOG("%u are of the first", of_first);
		}
		EXPECT_EQ(1, busy(g, A));
		EXPECT_EQ(1, busy(g, B));
	} while (now() < end && !_metadata->exit_code);
	duel_stop(&d);
	expect_agreement(_metadata, self);
	expect_clean(_metadata, self);
}

static void random_run(struct thread *t, uint64_t *iova, void **ua,
		       uint64_t *size)
{
	unsigned int n = 1 + some(t, 2 * REGION_SIZE >> t->g->shift);
	unsigned int pages = 2 * REGION_SIZE >> t->g->shift;

	*size = (uint64_t)n << t->g->shift;
	*iova = ioba(t->g, FIRST + some(t, ENTRIES - n));
	*ua = t->g->data + ((uint64_t)some(t, pages - n + 1) << t->g->shift);
}

static void brawl_map(struct thread *t)
{
	uint64_t iova, size;
	void *ua;

	random_run(t, &iova, &ua, &size);
	result(t, "MAP", spapr_map(t->g->c, iova, ua, size),
	       t->refused ? ERR(EINVAL) | ERR(ENXIO) : 0);
}

static void brawl_unmap(struct thread *t)
{
	uint64_t iova, size;
	void *ua;

	random_run(t, &iova, &ua, &size);
	result(t, "UNMAP", spapr_unmap(t->g->c, iova, size),
	       t->refused ? ERR(ENXIO) : 0);
}

TEST_F_TIMEOUT(race, ioctls, 60)
{
	static const struct brawler who[] = {
		{ brawl_vcpu }, { brawl_vcpu }, { brawl_map }, { brawl_unmap },
	};

	brawl(_metadata, self, who, 4);
	expect_clean_window(_metadata, self);
}

static void brawl_unregister(struct thread *t)
{
	int region = some(t, 2) ? A : B;

	/* give it a chance to have no entries */
	if (!some(t, 4))
		result(t, "UNMAP", spapr_unmap(t->g->c, t->g->start, SZ_1G),
		       t->refused ? ERR(ENXIO) : 0);
	if (result(t, "UNREGISTER", unregister_region(t->g, region),
		   ERR(EBUSY))) {
		nap(t, 2000);
		result(t, "REGISTER", register_region(t->g, region), 0);
	}
}

TEST_F_TIMEOUT(race, unregister, 60)
{
	static const struct brawler who[] = {
		{ brawl_vcpu, true }, { brawl_vcpu, true },
		{ brawl_vcpu, true }, { brawl_unregister },
	};

	brawl(_metadata, self, who, 4);
	expect_clean_window(_metadata, self);
}

/*
 * The guest's memory goes, and other memory of the process comes in its place.
 * A list that takes several steps is about one of them throughout.
 */
static void brawl_memslot(struct thread *t)
{
	struct guest *g = t->g;
	int region = some(t, 2) ? A : B;

	result(t, "no memory", vm_memory(&g->vm, 1, DATA_GPA, g->data, 0), 0);
	nap(t, 500);
	result(t, "memory", vm_memory(&g->vm, 1, DATA_GPA, region_ua(g, region),
				      2 * REGION_SIZE), 0);
	nap(t, 500);
}

TEST_F_TIMEOUT(race, memslots, 60)
{
	static const struct brawler who[] = {
		{ brawl_vcpu, true }, { brawl_vcpu, true },
		{ brawl_vcpu, true }, { brawl_memslot },
	};

	brawl(_metadata, self, who, 4);
	expect_clean(_metadata, self);
}

/* The window goes and comes back, with the group attached all the time or not. */
static void brawl_window(struct thread *t)
{
	int group = t->g->edu[0].group_fd;
	uint64_t start;

	result(t, "REMOVE", spapr_remove(t->g->c, t->g->start), 0);
	nap(t, 1000);
	if (some(t, 2)) {
		result(t, "GROUP_DEL", vm_group_del(&t->g->vm, group), 0);
		result(t, "GROUP_ADD", vm_group_add(&t->g->vm, group), 0);
	}
	result(t, "CREATE", spapr_create(t->g->c, 12, SZ_1G, 1 + some(t, 2),
					 &start), 0);
	result(t, "attach", vm_attach(&t->g->vm, group, t->g->table), 0);
	nap(t, 5000);
}

TEST_F_TIMEOUT(race, remove_window, 60)
{
	static const struct brawler who[] = {
		{ brawl_vcpu }, { brawl_vcpu }, { brawl_vcpu },
		{ brawl_window },
	};

	brawl(_metadata, self, who, 4);
	expect_clean_window(_metadata, self);
}

/* The guest has no table of the device's: none of its entries is left there. */
static void expect_unused(struct thread *t)
{
	int region = some(t, 2) ? A : B;

	if (result(t, "UNREGISTER", unregister_region(t->g, region), 0))
		result(t, "REGISTER", register_region(t->g, region), 0);
}

/* The VM learns of the group and forgets it: the window is attached all along. */
static void brawl_group(struct thread *t)
{
	int group = t->g->edu[0].group_fd;

	result(t, "GROUP_DEL", vm_group_del(&t->g->vm, group), 0);
	nap(t, 500);
	result(t, "GROUP_ADD", vm_group_add(&t->g->vm, group), 0);
	nap(t, 500);
	result(t, "attach", vm_attach(&t->g->vm, group, t->g->table), 0);
	result(t, "attach", vm_attach(&t->g->vm, group, t->g->table), 0);
	nap(t, 2000);
}

TEST_F_TIMEOUT(race, group_del, 60)
{
	static const struct brawler who[] = {
		{ brawl_vcpu }, { brawl_vcpu }, { brawl_vcpu },
		{ brawl_group },
	};

	brawl(_metadata, self, who, 4);
	EXPECT_EQ(0, vm_group_del(&self->g.vm, self->g.edu[0].group_fd));
	expect_agreement(_metadata, self);
	expect_clean(_metadata, self);
}

/* The table is closed and made anew; without it, calls are user space's. */
static void brawl_table(struct thread *t)
{
	struct guest *g = t->g;

	close(g->table);
	expect_unused(t);
	nap(t, 1000);
	g->table = vm_liobn(&g->vm, LIOBN, g->shift, g->start >> g->shift,
			    g->size);
	if (!result(t, "a table", g->table < 0 ? g->table : 0, 0))
		return;
	nap(t, 1000);
	result(t, "attach", vm_attach(&g->vm, g->edu[0].group_fd, g->table), 0);
	nap(t, 3000);
}

TEST_F_TIMEOUT(race, close_table, 60)
{
	static const struct brawler who[] = {
		{ brawl_vcpu, true }, { brawl_vcpu, true },
		{ brawl_vcpu, true }, { brawl_table },
	};
	struct guest *g = &self->g;

	/* It would keep the table */
	munmap((void *)g->view, g->size * 8);
	brawl(_metadata, self, who, 4);
	g->view = mmap(NULL, g->size * 8, PROT_READ, MAP_SHARED, g->table, 0);
	ASSERT_NE(MAP_FAILED, g->view);
	expect_clean_window(_metadata, self);
}

/*
 * Attaching against closing the table, with the number of its fd in use again
 * at once; and against removing the window.
 */
static atomic_int shared_fd;

static void brawl_attach(struct thread *t)
{
	result(t, "attach",
	       vm_attach(&t->g->vm, t->g->edu[0].group_fd,
			 atomic_load(&shared_fd)), ERR(EBADF) | ERR(EINVAL));
}

static void brawl_open_close(struct thread *t)
{
	struct guest *g = t->g;
	int fd = vm_liobn(&g->vm, LIOBN + 1, g->shift, g->start >> g->shift,
			  g->size);

	/* an attach that is under way may still hold the last one */
	if (!result(t, "a table", fd < 0 ? fd : 0, ERR(EBUSY)))
		return;
	atomic_store(&shared_fd, fd);
	nap(t, 50);
	close(fd);
}

static void brawl_only_window(struct thread *t)
{
	uint64_t start;

	result(t, "REMOVE", spapr_remove(t->g->c, t->g->start), 0);
	result(t, "CREATE", spapr_create(t->g->c, 12, SZ_1G, 1, &start), 0);
	nap(t, 100);
}

TEST_F_TIMEOUT(race, attach, 60)
{
	static const struct brawler who[] = {
		{ brawl_attach }, { brawl_attach }, { brawl_open_close },
		{ brawl_only_window },
	};

	atomic_store(&shared_fd, self->g.table);
	brawl(_metadata, self, who, 4);
	expect_clean_window(_metadata, self);
}

/*
 * Attaching against removing the window, with hypercalls under way: it is
 * attached and then dropped, or not found. Either way nothing stays charged.
 */
static long window_charge_kb;

/*
 * An attach that finds the window just before it goes holds it until hypercalls
 * have left it alone, twice; with KVM PR on a busy machine that can take longer
 * than a tenth of a second.
 */
#define CHARGE_SECONDS	10

static void brawl_attach_window(struct thread *t)
{
	result(t, "attach", vm_attach(&t->g->vm, t->g->edu[0].group_fd,
				      t->g->table), ERR(EINVAL));
}

static void brawl_charge(struct thread *t)
{
	double end = now() + CHARGE_SECONDS;
	long before = locked_kb();
	uint64_t start;

	result(t, "REMOVE", spapr_remove(t->g->c, t->g->start), 0);
	while (locked_kb() != before - window_charge_kb && now() < end)
		nap(t, 500);
	result(t, "the charge is back",
	       locked_kb() == before - window_charge_kb ? 0 : -EBUSY, 0);
	result(t, "CREATE", spapr_create(t->g->c, 12, SZ_1G, 1, &start), 0);
	nap(t, 300);
}

TEST_F_TIMEOUT(race, attach_or_remove, 60)
{
	static const struct brawler who[] = {
		{ brawl_attach_window }, { brawl_attach_window },
		{ brawl_vcpu }, { brawl_charge },
	};
	struct guest *g = &self->g;
	uint64_t start;
	long locked;

	/* of one level, as the thread makes it */
	ASSERT_EQ(0, spapr_remove(g->c, g->start));
	locked = locked_kb();
	ASSERT_EQ(0, spapr_create(g->c, 12, SZ_1G, 1, &start));
	window_charge_kb = locked_kb() - locked;
	ASSERT_LT(0, window_charge_kb);
	brawl(_metadata, self, who, 4);
	ASSERT_EQ(0, spapr_remove(g->c, g->start));
	EXPECT_EQ(locked, locked_kb());
	ASSERT_EQ(0, spapr_create(g->c, 12, SZ_1G, 1, &start));
	expect_clean_window(_metadata, self);
}

/* A LIOBN is made twice at the same time: one of them is it. */
static atomic_int liobns;

static void brawl_liobn(struct thread *t)
{
	int fd = vm_liobn(&t->g->vm, LIOBN + 1, 12, 0, 16);

	if (!result(t, "a table", fd < 0 ? fd : 0, ERR(EBUSY)))
		return;
	if (atomic_fetch_add(&liobns, 1))
		result(t, "two tables of one LIOBN", 1, 0);
	sched_yield();
	atomic_fetch_sub(&liobns, 1);
	close(fd);
}

TEST_F_TIMEOUT(race, clash, 60)
{
	static const struct brawler who[] = {
		{ brawl_liobn }, { brawl_liobn }, { brawl_liobn },
	};
	long locked = locked_kb();

	brawl(_metadata, self, who, 3);
	EXPECT_EQ(locked, locked_kb());
	expect_clean(_metadata, self);
}

/* The second group, in the same container, comes and goes. */
static void brawl_second_group(struct thread *t)
{
	struct edu *edu = &t->g->edu[1];

	if (!result(t, "SET_CONTAINER", container_add(t->g->c, edu), 0))
		return;
	if (result(t, "GROUP_ADD", vm_group_add(&t->g->vm, edu->group_fd), 0)) {
		result(t, "attach", vm_attach(&t->g->vm, edu->group_fd,
					      t->g->table), 0);
		nap(t, 2000);
		result(t, "GROUP_DEL", vm_group_del(&t->g->vm, edu->group_fd),
		       0);
	}
	result(t, "UNSET_CONTAINER", container_del(t->g->c, edu), 0);
}

TEST_F_TIMEOUT(race, second_group, 60)
{
	static const struct brawler who[] = {
		{ brawl_vcpu }, { brawl_vcpu }, { brawl_vcpu },
		{ brawl_second_group },
	};

	if (self->g.groups < 2)
		SKIP(return, "no two groups with an edu device each");
	ASSERT_LE(0, edu_open_group(&self->g.edu[1]));
	brawl(_metadata, self, who, 4);
	expect_agreement(_metadata, self);
	expect_clean(_metadata, self);
}

/*
 * One LIOBN changes windows of two containers, at the same bus address, which
 * are removed at the same time.
 */
static int other_c;

static void window_again(struct thread *t, int c, int group)
{
	struct guest *g = t->g;
	uint64_t start;

	result(t, "REMOVE", spapr_remove(c, g->start), 0);
	result(t, "CREATE", spapr_create(c, 12, SZ_1G, 1, &start), 0);
	result(t, "attach", vm_attach(&g->vm, group, g->table), 0);
}

static void brawl_first_window(struct thread *t)
{
	window_again(t, t->g->c, t->g->edu[0].group_fd);
}

static void brawl_other_window(struct thread *t)
{
	window_again(t, other_c, t->g->edu[1].group_fd);
}

TEST_F_TIMEOUT(race, two_windows, 60)
{
	static const struct brawler who[] = {
		{ brawl_vcpu }, { brawl_vcpu },
		{ brawl_first_window }, { brawl_other_window },
	};
	struct guest *g = &self->g;
	struct edu *edu = &g->edu[1];
	uint64_t start;

	if (g->groups < 2)
		SKIP(return, "no two groups with an edu device each");
	other_c = container_open();
	ASSERT_LE(0, edu_open_group(edu));
	ASSERT_EQ(0, container_add(other_c, edu));
	ASSERT_EQ(0, container_set_iommu(other_c, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, spapr_create(other_c, 12, SZ_1G, 1, &start));
	ASSERT_EQ(g->start, start);
	ASSERT_EQ(0, vm_group_add(&g->vm, edu->group_fd));
	ASSERT_EQ(0, vm_attach(&g->vm, edu->group_fd, g->table));
	brawl(_metadata, self, who, 4);
	EXPECT_EQ(0, vm_group_del(&g->vm, edu->group_fd));
	EXPECT_EQ(0, spapr_remove(other_c, start));
	EXPECT_EQ(0, container_del(other_c, edu));
	EXPECT_EQ(0, close(other_c));
	expect_clean_window(_metadata, self);
}

TEST_F_TIMEOUT(race, all, 60)
{
	static const struct brawler who[] = {
		{ brawl_vcpu, true }, { brawl_vcpu, true },
		{ brawl_window }, { brawl_map, true }, { brawl_unmap, true },
		{ brawl_unregister, true },
	};

	brawl(_metadata, self, who, 6);
	expect_clean_window(_metadata, self);
}

/* ---- processes that die while their vCPUs run ---- */

FIXTURE(race_death)
{
	struct usage was;
	struct edu edu;
};

FIXTURE_VARIANT(race_death)
{
	enum mmu mmu;
};

FIXTURE_VARIANT_ADD(race_death, hash) { HASH };
FIXTURE_VARIANT_ADD(race_death, radix) { RADIX };

FIXTURE_SETUP(race_death)
{
	if (guest_missing(variant->mmu))
		SKIP(return, "%s", guest_missing(variant->mmu));
	if (!edu_find(&self->edu, 1))
		SKIP(return, "no edu device is bound to vfio-pci");
	self->was = usage_at_rest();
}

FIXTURE_TEARDOWN(race_death)
{
	expect_usage(_metadata, &self->was);
}

/* Has all running, and tells so when each has done something. */
static void __attribute__((noreturn))
live(struct __test_metadata *_metadata, enum mmu mmu, int ready)
{
	static const struct brawler who[] = {
		{ brawl_vcpu, true }, { brawl_vcpu, true },
		{ brawl_vcpu, true }, { brawl_map, true },
		{ brawl_unmap, true },
	};
	const FIXTURE_VARIANT(race) variant = { mmu, 12 };
	static struct thread threads[MAX_THREADS];
	static FIXTURE_DATA(race) self;
	int i;

	race_setup(_metadata, &self, &variant);
	line_up(&self, threads, who, 5);
	threads_start(threads, 5);
	for (i = 0; i < 5; i++) {
		while (!__atomic_load_n(&threads[i].good, __ATOMIC_RELAXED))
			sched_yield();
	}
	if (write(ready, "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

TEST_F_TIMEOUT(race_death, killed, 60)
{
	int round, status, ready[2];
	struct timespec ts = { 0 };
	pid_t pid;
	char c;

	for (round = 0; round < 4; round++) {
		ASSERT_EQ(0, pipe(ready));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			live(_metadata, variant->mmu, ready[1]);
		close(ready[1]);
		ASSERT_EQ(1, read(ready[0], &c, 1));
		close(ready[0]);
		ts.tv_nsec = (10 + round * 70) * 1000000L;
		nanosleep(&ts, NULL);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFSIGNALED(status));
		EXPECT_EQ(SIGKILL, WTERMSIG(status));
		EXPECT_EQ(self->was.pinned,
			  pinned_pages_settle(self->was.pinned));
		/* the group is free at once */
		ASSERT_LE(0, edu_open_group(&self->edu));
		edu_close_group(&self->edu);
	}
}

int main(int argc, char **argv)
{
	return run_with_settings(argc, argv);
}
