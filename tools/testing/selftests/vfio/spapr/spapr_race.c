// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads against each other. Whatever they do at the same time, the outcome
 * is that of some order of one after the other, no call fails with an error
 * that no such order has, and in the end every count is exact: everything can
 * be unmapped and unregistered, every charge and every pin is back.
 *
 * Duels: two calls at the same moment, round after round, and a look at the
 * outcome of each round. Brawls: several threads without any order, and a look
 * when they have ended. Either takes SPAPR_RACE_SECONDS, by default 5.
 */
#include <sched.h>

#include "spapr_race.h"

#define RACE_SECONDS	5
/* In entries of 4 KiB. No border but the first one is at a round number. */
#define PER_REGION	640
#define REGION_SIZE	(PER_REGION * SZ_4K)
/* Two lots of four regions each, and where each is to be found in a mask */
#define LOT		4
#define REGIONS		(2 * LOT)
#define LOT_SIZE	(LOT * REGION_SIZE)
#define LOT_A		0x0f
#define LOT_B		0xf0

FIXTURE(race)
{
	struct usage was;
	struct edu edu[2];
	int groups;
	int c;
	char *buf;
	/* what a case keeps in its threads' sight */
	atomic_uint generation;
	/* attempts to unregister that ended while the memory was mapped */
	long held;
};

FIXTURE_SETUP(race)
{
	int i;

	self->groups = edu_find(self->edu, 2);
	if (!self->groups)
		SKIP(return, "no edu device is bound to vfio-pci");
	self->was = usage_at_rest();
	self->c = container_open();
	ASSERT_LE(0, edu_open_group(&self->edu[0]));
	ASSERT_EQ(0, container_add(self->c, &self->edu[0]));
	ASSERT_EQ(0, container_set_iommu(self->c, VFIO_SPAPR_TCE_v2_IOMMU));
	self->buf = buf_alloc(REGIONS * REGION_SIZE, SZ_64K);
	for (i = 0; i < REGIONS; i++) {
		ASSERT_EQ(0, spapr_register(self->c,
					    self->buf + i * REGION_SIZE,
					    REGION_SIZE));
	}
	ASSERT_EQ(0, spapr_unmap(self->c, 0, SZ_4K));
}

FIXTURE_TEARDOWN(race)
{
	edu_close_group(&self->edu[0]);
	edu_close_group(&self->edu[1]);
	close(self->c);
	expect_usage(_metadata, &self->was);
}

static char *region(FIXTURE_DATA(race) *self, int i)
{
	return self->buf + i * REGION_SIZE;
}

static int register_region(FIXTURE_DATA(race) *self, int i)
{
	return spapr_register(self->c, region(self, i), REGION_SIZE);
}

static int unregister_region(FIXTURE_DATA(race) *self, int i)
{
	return spapr_unregister(self->c, region(self, i), REGION_SIZE);
}

/* Which regions are mapped somewhere? -errno if it cannot be told. */
static int busy(FIXTURE_DATA(race) *self)
{
	int i, ret, mask = 0;

	for (i = 0; i < REGIONS; i++) {
		ret = unregister_region(self, i);
		if (ret == -EBUSY) {
			mask |= 1 << i;
			continue;
		}
		if (!ret)
			ret = register_region(self, i);
		if (ret)
			return ret;
	}
	return mask;
}

/* After all that went before, nothing is left when this is undone. */
static void expect_clean(struct __test_metadata *_metadata,
			 FIXTURE_DATA(race) *self)
{
	int i, ret = spapr_remove(self->c, SLOT1_START);

	if (ret) {
		EXPECT_EQ(-EINVAL, ret);
	}
	EXPECT_EQ(0, spapr_unmap(self->c, 0, SZ_1G));
	EXPECT_EQ(0, spapr_remove(self->c, SLOT0_START));
	for (i = 0; i < REGIONS; i++) {
		EXPECT_EQ(0, unregister_region(self, i));
	}
	expect_usage(_metadata, &self->was);
}

/* ---- duels ---- */

typedef int (*deed)(FIXTURE_DATA(race) *self);

struct duel {
	FIXTURE_DATA(race) *self;
	deed deed[2];
	int ret[2];
	pthread_t thread[2];
	/* counts up to start a round, 0 ends it all */
	atomic_uint round;
	atomic_uint finished;
	unsigned int rounds;
	/* rounds after which something in the kernel did not agree */
	unsigned int faults;
	double end;
};

struct duellist {
	struct duel *duel;
	int side;
};

/* In a different rhythm on either side, so that each comes first at times. */
static void hesitate(unsigned int round, int side)
{
	volatile unsigned int n = round * (side ? 61 : 97) % 1500;

	while (n)
		n--;
}

static void *fight(void *arg)
{
	struct duellist me = *(struct duellist *)arg;
	struct duel *d = me.duel;
	unsigned int round = 1, seen;

	for (;; round++) {
		while ((seen = atomic_load(&d->round)) != round) {
			if (!seen && round > 1)
				return NULL;
			sched_yield();
		}
		hesitate(round, me.side);
		d->ret[me.side] = d->deed[me.side](d->self);
		atomic_fetch_add(&d->finished, 1);
	}
}

static void duel_begin(struct duel *d, FIXTURE_DATA(race) *self, deed a, deed b)
{
	static struct duellist who[2];
	int i;

	memset(d, 0, sizeof(*d));
	d->self = self;
	d->deed[0] = a;
	d->deed[1] = b;
	for (i = 0; i < 2; i++) {
		who[i] = (struct duellist){ d, i };
		if (pthread_create(&d->thread[i], NULL, fight, &who[i]))
			abort();
	}
	d->end = now() + race_seconds(RACE_SECONDS);
}

/* One round; both have ended when it returns. False: the time is over. */
static bool duel_round(struct duel *d)
{
	if (d->rounds && now() > d->end) {
		atomic_store(&d->round, 0);
		pthread_join(d->thread[0], NULL);
		pthread_join(d->thread[1], NULL);
		return false;
	}
	atomic_store(&d->finished, 0);
	atomic_store(&d->round, ++d->rounds);
	while (atomic_load(&d->finished) != 2)
		sched_yield();
	d->faults += check_invariants() != 0;
	return true;
}

static int map_a(FIXTURE_DATA(race) *self)
{
	return spapr_map(self->c, 0, region(self, 0), LOT_SIZE);
}

static int map_b(FIXTURE_DATA(race) *self)
{
	return spapr_map(self->c, 0, region(self, LOT), LOT_SIZE);
}

static int unmap(FIXTURE_DATA(race) *self)
{
	return spapr_unmap(self->c, 0, LOT_SIZE);
}

/* Thousands of entries are all mapped, or none is. */
TEST_F_TIMEOUT(race, map_unmap, 60)
{
	struct duel d;
	int mask;

	duel_begin(&d, self, map_a, unmap);
	while (duel_round(&d)) {
		ASSERT_EQ(0, d.faults);
		ASSERT_EQ(0, d.ret[0]);
		ASSERT_EQ(0, d.ret[1]);
		mask = busy(self);
		if (mask) {
			ASSERT_EQ(LOT_A, mask) {
				TH_LOG("round %u", d.rounds);
			}
		}
		/* From either state */
		if (d.rounds % 2) {
			ASSERT_EQ(0, unmap(self));
		} else {
			ASSERT_EQ(0, map_a(self));
		}
	}
	expect_clean(_metadata, self);
}

/* Two maps over the same entries: the whole run is of one or of the other. */
TEST_F_TIMEOUT(race, map_map, 60)
{
	struct duel d;
	int mask;

	duel_begin(&d, self, map_a, map_b);
	while (duel_round(&d)) {
		ASSERT_EQ(0, d.faults);
		ASSERT_EQ(0, d.ret[0]);
		ASSERT_EQ(0, d.ret[1]);
		mask = busy(self);
		if (mask != LOT_A) {
			ASSERT_EQ(LOT_B, mask) {
				TH_LOG("round %u", d.rounds);
			}
		}
		if (d.rounds % 2) {
			ASSERT_EQ(0, unmap(self));
			ASSERT_EQ(0, busy(self));
		}
	}
	expect_clean(_metadata, self);
}

/* Beyond the last region, so the end of the run is never registered. */
static int map_b_too_far(FIXTURE_DATA(race) *self)
{
	return spapr_map(self->c, 0, region(self, LOT), LOT_SIZE + SZ_4K);
}

/* A map that is refused is never there, not even in part or for a moment. */
TEST_F_TIMEOUT(race, map_refused_map, 60)
{
	struct duel d;

	duel_begin(&d, self, map_a, map_b_too_far);
	while (duel_round(&d)) {
		ASSERT_EQ(0, d.faults);
		ASSERT_EQ(0, d.ret[0]);
		ASSERT_EQ(-EINVAL, d.ret[1]);
		ASSERT_EQ(LOT_A, busy(self)) {
			TH_LOG("round %u", d.rounds);
		}
		ASSERT_EQ(0, unmap(self));
		ASSERT_EQ(0, busy(self));
	}
	expect_clean(_metadata, self);
}

static int unregister_last_of_a(FIXTURE_DATA(race) *self)
{
	return unregister_region(self, LOT - 1);
}

/*
 * The end of what is mapped is unregistered. Either the map comes first, and
 * it stays registered, or the map is refused and leaves nothing.
 */
TEST_F_TIMEOUT(race, map_unregister, 60)
{
	unsigned int maps = 0;
	struct duel d;

	duel_begin(&d, self, map_a, unregister_last_of_a);
	while (duel_round(&d)) {
		ASSERT_EQ(0, d.faults);
		if (!d.ret[0]) {
			maps++;
			ASSERT_EQ(-EBUSY, d.ret[1]) {
				TH_LOG("round %u", d.rounds);
			}
			ASSERT_EQ(LOT_A, busy(self));
			ASSERT_EQ(0, unmap(self));
			ASSERT_EQ(0, busy(self));
		} else {
			ASSERT_EQ(-EINVAL, d.ret[0]);
			ASSERT_EQ(0, d.ret[1]);
			ASSERT_EQ(0, register_region(self, LOT - 1));
			ASSERT_EQ(0, busy(self)) {
				TH_LOG("round %u", d.rounds);
			}
		}
	}
	TH_LOG("map came first in %u of %u rounds", maps, d.rounds);
	expect_clean(_metadata, self);
}

/* While it is being unmapped, a region is still mapped or it is not. */
TEST_F_TIMEOUT(race, unmap_unregister, 60)
{
	struct duel d;

	ASSERT_EQ(0, map_a(self));
	duel_begin(&d, self, unmap, unregister_last_of_a);
	while (duel_round(&d)) {
		ASSERT_EQ(0, d.faults);
		ASSERT_EQ(0, d.ret[0]);
		if (d.ret[1]) {
			ASSERT_EQ(-EBUSY, d.ret[1]);
		} else {
			ASSERT_EQ(0, register_region(self, LOT - 1));
		}
		ASSERT_EQ(0, busy(self));
		ASSERT_EQ(0, map_a(self));
	}
	ASSERT_EQ(0, unmap(self));
	expect_clean(_metadata, self);
}

static int register_first(FIXTURE_DATA(race) *self)
{
	return register_region(self, 0);
}

static int unregister_first(FIXTURE_DATA(race) *self)
{
	return unregister_region(self, 0);
}

/* Overlaps the first region, without being the same. */
static int register_part(FIXTURE_DATA(race) *self)
{
	return spapr_register(self->c, region(self, 0), REGION_SIZE / 2);
}

/* Exactly one of two succeeds; @error is for the other. */
static void one_of_two(struct __test_metadata *_metadata, struct duel *d,
		       int error)
{
	int loser = !d->ret[0];

	ASSERT_EQ(0, d->ret[!loser]) {
		TH_LOG("round %u", d->rounds);
	}
	ASSERT_EQ(-error, d->ret[loser]) {
		TH_LOG("round %u", d->rounds);
	}
}

TEST_F_TIMEOUT(race, register_register, 60)
{
	long locked = locked_kb();
	struct duel d;

	ASSERT_EQ(0, unregister_region(self, 0));
	duel_begin(&d, self, register_first, register_first);
	while (duel_round(&d)) {
		ASSERT_EQ(0, d.faults);
		one_of_two(_metadata, &d, EBUSY);
		ASSERT_EQ(locked, locked_kb());
		ASSERT_EQ(0, unregister_region(self, 0));
		ASSERT_EQ(-ENOENT, unregister_region(self, 0));
	}
	ASSERT_EQ(0, register_region(self, 0));
	expect_clean(_metadata, self);
}

TEST_F_TIMEOUT(race, register_overlapping, 60)
{
	long locked;
	struct duel d;

	ASSERT_EQ(0, unregister_region(self, 0));
	locked = locked_kb();
	duel_begin(&d, self, register_first, register_part);
	while (duel_round(&d)) {
		ASSERT_EQ(0, d.faults);
		one_of_two(_metadata, &d, EINVAL);
		ASSERT_EQ(0, spapr_unregister(self->c, region(self, 0),
					      d.ret[0] ? REGION_SIZE / 2 :
					      REGION_SIZE));
		ASSERT_EQ(locked, locked_kb());
	}
	ASSERT_EQ(0, register_region(self, 0));
	expect_clean(_metadata, self);
}

TEST_F_TIMEOUT(race, unregister_unregister, 60)
{
	struct duel d;

	duel_begin(&d, self, unregister_first, unregister_first);
	while (duel_round(&d)) {
		ASSERT_EQ(0, d.faults);
		one_of_two(_metadata, &d, ENOENT);
		ASSERT_EQ(0, register_region(self, 0));
	}
	expect_clean(_metadata, self);
}

static int create(FIXTURE_DATA(race) *self)
{
	return spapr_create(self->c, 12, SZ_1G, 2, NULL);
}

static int remove_second(FIXTURE_DATA(race) *self)
{
	return spapr_remove(self->c, SLOT1_START);
}

static int map_second(FIXTURE_DATA(race) *self)
{
	return spapr_map(self->c, SLOT1_START, region(self, 0), LOT_SIZE);
}

/* One place is free. */
TEST_F_TIMEOUT(race, create_create, 60)
{
	long locked = locked_kb();
	struct duel d;

	duel_begin(&d, self, create, create);
	while (duel_round(&d)) {
		ASSERT_EQ(0, d.faults);
		one_of_two(_metadata, &d, ENOSPC);
		ASSERT_EQ(0, remove_second(self));
		ASSERT_EQ(locked, locked_kb());
	}
	expect_clean(_metadata, self);
}

TEST_F_TIMEOUT(race, remove_remove, 60)
{
	long locked = locked_kb();
	struct duel d;

	ASSERT_EQ(0, create(self));
	duel_begin(&d, self, remove_second, remove_second);
	while (duel_round(&d)) {
		ASSERT_EQ(0, d.faults);
		one_of_two(_metadata, &d, EINVAL);
		ASSERT_EQ(locked, locked_kb());
		ASSERT_EQ(0, create(self));
		ASSERT_EQ(0, map_second(self));
	}
	expect_clean(_metadata, self);
}

/* The map is in a window, or there is none: it never outlives the window. */
TEST_F_TIMEOUT(race, map_remove, 60)
{
	struct duel d;

	ASSERT_EQ(0, create(self));
	duel_begin(&d, self, map_second, remove_second);
	while (duel_round(&d)) {
		ASSERT_EQ(0, d.faults);
		if (d.ret[0]) {
			ASSERT_EQ(-ENXIO, d.ret[0]);
		}
		ASSERT_EQ(0, d.ret[1]);
		ASSERT_EQ(0, busy(self)) {
			TH_LOG("round %u", d.rounds);
		}
		ASSERT_EQ(0, create(self));
	}
	expect_clean(_metadata, self);
}

/* ---- brawls ---- */

/*
 * Starts as many threads as there are functions, and ends them in time. Their
 * calls may return errors of @may.
 */
static void brawl(struct __test_metadata *_metadata, FIXTURE_DATA(race) *self,
		  void (*const *fn)(struct thread *t), const int *c, int n,
		  uint64_t may)
{
	struct thread threads[MAX_THREADS] = { 0 };
	int i;

	for (i = 0; i < n; i++) {
		threads[i].self = self;
		threads[i].fn = fn[i];
		threads[i].c = c ? c[i] : self->c;
		threads[i].may = may;
	}
	threads_race(_metadata, threads, n, race_seconds(RACE_SECONDS));
}

/* The errors of MAP while a window, or a region, is missing. */
#define NO_WINDOW	ERR(ENXIO)
#define NO_REGION	ERR(EINVAL)

/* Runs of up to two lots, anywhere in the first lot's place. */
static void random_run(struct thread *t, uint64_t *iova, void **ua,
		       uint64_t *size)
{
	FIXTURE_DATA(race) *self = t->self;
	unsigned int n = 1 + some(t, LOT * PER_REGION);

	*iova = some(t, LOT * PER_REGION - n + 1) * SZ_4K;
	*ua = self->buf + some(t, REGIONS * PER_REGION - n + 1) * SZ_4K;
	*size = n * SZ_4K;
	if (some(t, 2))
		*iova += SLOT1_START;
}

static void brawl_map(struct thread *t)
{
	uint64_t iova, size;
	void *ua;

	random_run(t, &iova, &ua, &size);
	result(t, "MAP", spapr_map(t->c, iova, ua, size), t->may);
}

static void brawl_unmap(struct thread *t)
{
	uint64_t iova, size;
	void *ua;

	random_run(t, &iova, &ua, &size);
	result(t, "UNMAP", spapr_unmap(t->c, iova, size), t->may & NO_WINDOW);
}

static void brawl_unregister(struct thread *t)
{
	int i = some(t, REGIONS);

	if (result(t, "UNREGISTER", unregister_region(t->self, i), ERR(EBUSY)))
		result(t, "REGISTER", register_region(t->self, i), 0);
}

static void brawl_create(struct thread *t)
{
	unsigned int levels = 1 + some(t, 3);

	/* 2 MiB in one piece need not be there */
	if (result(t, "CREATE", spapr_create(t->c, 12, SZ_1G, levels, NULL),
		   levels == 1 ? ERR(ENOMEM) : 0))
		result(t, "REMOVE", spapr_remove(t->c, SLOT1_START), 0);
}

#define HOLD_US		200

/* Holds the mapping for a while, and says so: then it cannot be lost. */
static void brawl_hold(struct thread *t)
{
	FIXTURE_DATA(race) *self = t->self;
	atomic_uint *generation = &self->generation;

	if (!result(t, "MAP", spapr_map(t->c, 0, region(t->self, 0), LOT_SIZE),
		    t->may))
		return;
	atomic_fetch_add(generation, 1);
	/* time enough for a whole UNREGISTER */
	nap(t, HOLD_US);
	atomic_fetch_add(generation, 1);
	result(t, "UNMAP", spapr_unmap(t->c, 0, LOT_SIZE), 0);
}

static void brawl_unregister_held(struct thread *t)
{
	FIXTURE_DATA(race) *self = t->self;
	atomic_uint *generation = &self->generation;
	unsigned int before = atomic_load(generation);
	int i = some(t, LOT);
	int ret = unregister_region(t->self, i);
	bool held = before % 2 && before == atomic_load(generation);

	self->held += held;
	if (held)
		result(t, "UNREGISTER of mapped memory",
		       ret == -EBUSY ? 0 : ret ?: 1, 0);
	else
		result(t, "UNREGISTER", ret, ERR(EBUSY));
	if (!ret)
		result(t, "REGISTER", register_region(t->self, i), 0);
}

TEST_F_TIMEOUT(race, brawl_of_maps, 60)
{
	static void (*const fn[])(struct thread *) = {
		brawl_map, brawl_map, brawl_unmap, brawl_map,
	};

	ASSERT_EQ(0, create(self));
	brawl(_metadata, self, fn, NULL, 4, 0);
	expect_clean(_metadata, self);
}

TEST_F_TIMEOUT(race, brawl_with_unregister, 60)
{
	static void (*const fn[])(struct thread *) = {
		brawl_map, brawl_unmap, brawl_unregister,
	};

	ASSERT_EQ(0, create(self));
	brawl(_metadata, self, fn, NULL, 3, NO_REGION);
	expect_clean(_metadata, self);
}

TEST_F_TIMEOUT(race, brawl_with_remove, 60)
{
	static void (*const fn[])(struct thread *) = {
		brawl_map, brawl_map, brawl_unmap, brawl_create,
	};

	brawl(_metadata, self, fn, NULL, 4, NO_WINDOW);
	expect_clean(_metadata, self);
}

TEST_F_TIMEOUT(race, brawl_of_all, 60)
{
	static void (*const fn[])(struct thread *) = {
		brawl_map, brawl_map, brawl_unmap, brawl_unregister,
		brawl_create,
	};

	brawl(_metadata, self, fn, NULL, 5, NO_WINDOW | NO_REGION);
	expect_clean(_metadata, self);
}

TEST_F_TIMEOUT(race, mapped_is_mapped, 60)
{
	static void (*const fn[])(struct thread *) = {
		brawl_hold, brawl_unregister_held,
	};

	/* Only one thread may unregister a region, or the other gets ENOENT */
	brawl(_metadata, self, fn, NULL, 2, NO_REGION);
	TH_LOG("%ld of them held", self->held);
	EXPECT_LT(0, self->held);
	expect_clean(_metadata, self);
}

/* The second group comes and goes. */
static void brawl_join(struct thread *t)
{
	FIXTURE_DATA(race) *self = t->self;
	struct edu *edu = &self->edu[1];

	if (result(t, "SET_CONTAINER", container_add(t->c, edu), 0))
		result(t, "UNSET_CONTAINER", container_del(t->c, edu), 0);
}

TEST_F_TIMEOUT(race, brawl_with_second_group, 60)
{
	static void (*const fn[])(struct thread *) = {
		brawl_map, brawl_unmap, brawl_create, brawl_join,
	};

	if (self->groups < 2)
		SKIP(return, "no two groups with an edu device each");
	ASSERT_LE(0, edu_open_group(&self->edu[1]));
	brawl(_metadata, self, fn, NULL, 4, NO_WINDOW);
	expect_clean(_metadata, self);
}

/* A region that two containers hold, each in its own rhythm. */
static void brawl_share(struct thread *t)
{
	char *ua = region(t->self, 0);

	if (!result(t, "REGISTER", spapr_register(t->c, ua, REGION_SIZE), 0))
		return;
	result(t, "MAP", spapr_map(t->c, 0, ua, REGION_SIZE), 0);
	result(t, "UNMAP", spapr_unmap(t->c, 0, REGION_SIZE), 0);
	/* the other one's entries count when this is the last to let go */
	while (!result(t, "UNREGISTER",
		       spapr_unregister(t->c, ua, REGION_SIZE), ERR(EBUSY)) &&
	       !t->what)
		sched_yield();
}

TEST_F_TIMEOUT(race, brawl_of_containers, 60)
{
	static void (*const fn[])(struct thread *) = {
		brawl_share, brawl_share,
	};
	char *other = buf_alloc(page_size, page_size);
	int c[2] = { self->c, container_open() };

	if (self->groups < 2)
		SKIP(return, "no two groups with an edu device each");
	ASSERT_LE(0, edu_open_group(&self->edu[1]));
	ASSERT_EQ(0, container_add(c[1], &self->edu[1]));
	ASSERT_EQ(0, container_set_iommu(c[1], VFIO_SPAPR_TCE_v2_IOMMU));
	/* The default window is not what this is about */
	ASSERT_EQ(0, spapr_register(c[1], other, page_size));
	ASSERT_EQ(0, spapr_unmap(c[1], 0, SZ_4K));
	ASSERT_EQ(0, unregister_region(self, 0));
	brawl(_metadata, self, fn, c, 2, 0);
	ASSERT_EQ(0, container_del(c[1], &self->edu[1]));
	close(c[1]);
	ASSERT_EQ(0, register_region(self, 0));
	expect_clean(_metadata, self);
}

/* ---- the first use of the default window, by two at once ---- */

static int map_fresh(FIXTURE_DATA(race) *self)
{
	return spapr_map(self->c, 0, region(self, 0), SZ_4K);
}

static int remove_first(FIXTURE_DATA(race) *self)
{
	return spapr_remove(self->c, SLOT0_START);
}

/* A container like new, with only the first region registered. */
static void start_over(struct __test_metadata *_metadata,
		       FIXTURE_DATA(race) *self)
{
	ASSERT_EQ(0, container_del(self->c, &self->edu[0]));
	ASSERT_EQ(0, container_add(self->c, &self->edu[0]));
	ASSERT_EQ(0, container_set_iommu(self->c, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, register_region(self, 0));
}

TEST_F_TIMEOUT(race, first_use, 60)
{
	long locked = 0;
	struct duel d;

	start_over(_metadata, self);
	duel_begin(&d, self, map_fresh, map_fresh);
	while (duel_round(&d)) {
		ASSERT_EQ(0, d.faults);
		ASSERT_EQ(0, d.ret[0]);
		ASSERT_EQ(0, d.ret[1]);
		/* made once, charged once */
		locked = locked ?: locked_kb();
		ASSERT_EQ(locked, locked_kb());
		ASSERT_EQ(-EBUSY, unregister_region(self, 0));
		ASSERT_EQ(0, spapr_unmap(self->c, 0, SZ_4K));
		ASSERT_EQ(0, unregister_region(self, 0));
		start_over(_metadata, self);
	}
	ASSERT_EQ(0, unregister_region(self, 0));
	expect_usage(_metadata, &self->was);
}

/* Removed before it is used, or after: in either case it is gone for good. */
TEST_F_TIMEOUT(race, first_use_remove, 60)
{
	struct duel d;

	start_over(_metadata, self);
	duel_begin(&d, self, map_fresh, remove_first);
	while (duel_round(&d)) {
		ASSERT_EQ(0, d.faults);
		if (d.ret[0]) {
			ASSERT_EQ(-ENXIO, d.ret[0]);
		}
		ASSERT_EQ(0, d.ret[1]);
		ASSERT_EQ(-ENXIO, map_fresh(self));
		ASSERT_EQ(0, unregister_region(self, 0)) {
			TH_LOG("round %u", d.rounds);
		}
		ASSERT_EQ(self->was.locked_kb, locked_kb());
		start_over(_metadata, self);
	}
	ASSERT_EQ(0, unregister_region(self, 0));
	expect_usage(_metadata, &self->was);
}

int main(int argc, char **argv)
{
	return run_with_settings(argc, argv);
}
