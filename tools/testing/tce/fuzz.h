/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared by the fuzzers: the input, and the world around the code under test.
 */
#ifndef _FUZZ_H
#define _FUZZ_H

#include <linux/types.h>

struct rcu_head;

/**
 * struct input - bytes that decide what a run does
 * @data: the next one
 * @size: how many are left; past the end there are zeroes
 */
struct input {
	const u8 *data;
	size_t size;
};

u64 take(struct input *in, unsigned int nr_bytes);
u64 take_below(struct input *in, u64 bound);

/**
 * struct fuzz_world - the world around the code under test
 * @fail_in: which allocation from now on fails, counted from 1; 0 for none
 * @nr_asked: allocations that were asked for so far
 * @nr_failed: allocations that failed so far
 * @max_bytes: larger allocations fail as well, without being counted
 * @nr_objects: allocated, not freed yet
 * @nr_bytes: their size
 * @preempt_count: how often preemption was disabled
 */
struct fuzz_world {
	unsigned int fail_in;
	unsigned long nr_asked;
	unsigned int nr_failed;
	size_t max_bytes;
	unsigned long nr_objects;
	unsigned long nr_bytes;
	int preempt_count;
};

extern struct fuzz_world world;

void world_begin(void);
void world_end(void);
void grace_period(void);

/* One run; provided by each fuzzer. Everything it made, it frees. */
void fuzz_one(struct input *in);

void fuzz_fail(const char *what, const char *file, int line);

/* This has to hold, or the run is a finding. */
#define require(what) \
	((what) ? (void)0 : fuzz_fail(#what, __FILE__, __LINE__))

#endif /* _FUZZ_H */
