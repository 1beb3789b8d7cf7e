/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads without any order, each doing the same again and again until time is
 * up, and what none of their calls may return. Seeded by SEED, from the
 * environment or as NAME=VALUE among the arguments.
 */
#ifndef SPAPR_RACE_H
#define SPAPR_RACE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "spapr_harness.h"

#define MAX_THREADS	12
#define ERR(e)		(1UL << (e))

struct guest;
struct vcpu;

struct thread {
	pthread_t thread;
	void (*fn)(struct thread *t);
	/* for @fn: the fixture, and what it works on */
	void *self;
	int c;
	struct guest *g;
	struct vcpu *cpu;
	/* may hypercalls be refused? */
	bool refused;
	/* errors that the calls of @fn may return here, unlike elsewhere */
	uint64_t may;
	unsigned int seed;
	long done;
	long good;
	/* the first result that cannot be */
	const char *what;
	long ret;
};

static atomic_bool over;

/* Notes a result; true if it was success. Errors other than @may are wrong. */
static inline bool result(struct thread *t, const char *what, int ret,
			  uint64_t may)
{
	t->done++;
	if (!ret) {
		t->good++;
		return true;
	}
	if (!t->what && (ret > 0 || -ret > 63 || !(may & ERR(-ret)))) {
		t->what = what;
		t->ret = ret;
	}
	return false;
}

static inline unsigned int some(struct thread *t, unsigned int below)
{
	t->seed = t->seed * 1103515245 + 12345;
	return (t->seed >> 8) % below;
}

static inline void nap(struct thread *t, unsigned int most_us)
{
	struct timespec ts = { .tv_nsec = some(t, most_us) * 1000L };

	nanosleep(&ts, NULL);
}

/* A number from the environment. */
static inline double setting(const char *name, double otherwise)
{
	const char *text = getenv(name);

	return text && *text ? atof(text) : otherwise;
}

static inline unsigned int race_seed(int thread)
{
	return (unsigned int)setting("SEED", 0) * 104729 + thread * 7919 + 1;
}

static inline double race_seconds(double otherwise)
{
	return setting("SPAPR_RACE_SECONDS", otherwise);
}

/* In seconds, from some time on. */
static inline double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec * 1e-9;
}

static inline void sleep_for(double seconds)
{
	struct timespec ts = {
		.tv_sec = seconds,
		.tv_nsec = (seconds - (long)seconds) * 1e9,
	};

	nanosleep(&ts, NULL);
}

static inline void *run_thread(void *arg)
{
	struct thread *t = arg;

	while (!atomic_load(&over))
		t->fn(t);
	return NULL;
}

/* The caller has filled in what @fn works on. */
static inline void threads_start(struct thread *threads, int n)
{
	int i;

	atomic_store(&over, false);
	for (i = 0; i < n; i++) {
		threads[i].seed = race_seed(i);
		if (pthread_create(&threads[i].thread, NULL, run_thread,
				   &threads[i]))
			abort();
	}
}

static inline void threads_end(struct thread *threads, int n)
{
	int i;

	atomic_store(&over, true);
	for (i = 0; i < n; i++)
		pthread_join(threads[i].thread, NULL);
}

/* Looks at all tables at odd moments, until the time is over. */
static inline void watch(struct __test_metadata *_metadata, double seconds)
{
	struct thread t = { .seed = 4711 };
	double end = now() + seconds;

	do {
		nap(&t, 20000);
		ASSERT_EQ(0, check_invariants());
	} while (now() < end);
}

static inline bool each_is_good(const struct thread *threads, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		if (!threads[i].good)
			return false;
	}
	return true;
}

/*
 * From start to end, each has done something that was not refused, and nothing
 * that cannot be. On a busy machine that may take longer than it should.
 */
#define RACE_MOST_TIMES		5

static inline void threads_race(struct __test_metadata *_metadata,
				struct thread *threads, int n, double seconds)
{
	int i;

	threads_start(threads, n);
	for (i = 0; i < RACE_MOST_TIMES; i++) {
		watch(_metadata, seconds);
		if (each_is_good(threads, n))
			break;
	}
	threads_end(threads, n);
	for (i = 0; i < n; i++) {
		EXPECT_LT(0, threads[i].good) {
			TH_LOG("thread %d: %ld done", i, threads[i].done);
		}
		EXPECT_EQ(NULL, threads[i].what) {
			TH_LOG("thread %d: %s returned %ld", i,
			       threads[i].what, threads[i].ret);
		}
	}
}

#endif
