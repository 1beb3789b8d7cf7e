/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Does an operation again and again, while the kernel has its first memory
 * allocation fail, then its second, until it runs through without a failure.
 *
 * Each time the operation begins from the same state. Whenever it fails, it has
 * changed nothing and charged nothing, and can be done again.
 */
#ifndef FAIL_NTH_H
#define FAIL_NTH_H

#include <stdio.h>
#include <stdlib.h>

#include "spapr_harness.h"

/* No operation here has so many allocations. */
#define FAIL_NTH_MOST	2000

#define FAIL_NTH_FILE	"/proc/thread-self/fail-nth"
#define FAULT_DIR	"/sys/kernel/debug/"

/* Steps, each done to the same @arg. */
struct op {
	/* Makes the state that it begins from; undone by cleanup(). */
	void (*prepare)(struct __test_metadata *_metadata, void *arg);
	/* The operation. Less than 0 is an error; anything else is success. */
	long (*run)(void *arg);
	/* 0 if all is as prepare() left it. */
	long (*intact)(void *arg);
	/* 0 if the operation has done what it should. */
	long (*works)(void *arg);
	/* After a success: back to the state before; 0. */
	long (*undo)(void *arg);
	void (*cleanup)(struct __test_metadata *_metadata, void *arg);
	/* The errors that it may have; none: it must not fail at all. */
	long errors[4];
	/* So many allocations can fail at least, or the test is no test. */
	unsigned int least;
};

static inline bool fault_knob(const char *name, const char *value)
{
	char path[100];
	FILE *f;
	bool ok;

	snprintf(path, sizeof(path), FAULT_DIR "%s", name);
	f = fopen(path, "w");
	if (!f)
		return false;
	ok = fputs(value, f) >= 0;
	return !fclose(f) && ok;
}

/* Has allocations fail that sleep, of any size, and without a word. */
static inline bool fail_nth_setup(void)
{
	return !access(FAIL_NTH_FILE, W_OK) &&
	       fault_knob("failslab/ignore-gfp-wait", "N") &&
	       fault_knob("failslab/verbose", "0") &&
	       fault_knob("fail_page_alloc/ignore-gfp-wait", "N") &&
	       fault_knob("fail_page_alloc/ignore-gfp-highmem", "N") &&
	       fault_knob("fail_page_alloc/min-order", "0") &&
	       fault_knob("fail_page_alloc/verbose", "0");
}

/* From here on, the calling thread's @n-th allocation fails. */
static inline void fail_nth_begin(int fd, unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	if (pwrite(fd, text, len, 0) != len)
		abort();
}

/* Returns whether it got as far as that. */
static inline bool fail_nth_end(int fd)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		abort();
	fail_nth_begin(fd, 0);
	return atoi(text) == 0;
}

static inline bool fail_nth_allowed(const struct op *op, long ret)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(op->errors); i++)
		if (ret == op->errors[i])
			return true;
	return false;
}

static inline long fail_nth_check(long (*check)(void *arg), void *arg)
{
	return check ? check(arg) : 0;
}

static inline void fail_nth_usage(struct __test_metadata *_metadata,
				  const struct usage *was)
{
	expect_usage(_metadata, was);
	EXPECT_EQ(0, check_invariants());
}

/* One time; returns whether an allocation has failed. */
static inline bool fail_nth_once(struct __test_metadata *_metadata,
				 const struct op *op, void *arg, int fd,
				 unsigned int n)
{
	struct usage was;
	bool injected;
	long ret;

	if (op->prepare)
		op->prepare(_metadata, arg);
	was = usage_at_rest();
	fail_nth_begin(fd, n);
	ret = op->run(arg);
	injected = fail_nth_end(fd);

	if (ret < 0) {
		EXPECT_TRUE(injected && fail_nth_allowed(op, ret)) {
			TH_LOG("allocation %u: returned %ld", n, ret);
		}
		fail_nth_usage(_metadata, &was);
		EXPECT_EQ(0, fail_nth_check(op->intact, arg)) {
			TH_LOG("allocation %u: something has changed", n);
		}
		ret = op->run(arg);
		ASSERT_LE(0, ret) {
			TH_LOG("allocation %u: cannot be done again", n);
		}
	}

	EXPECT_EQ(0, check_invariants());
	EXPECT_EQ(0, fail_nth_check(op->works, arg)) {
		TH_LOG("allocation %u: done, but not as it should be", n);
	}
	ASSERT_EQ(0, fail_nth_check(op->undo, arg));
	fail_nth_usage(_metadata, &was);
	if (op->cleanup)
		op->cleanup(_metadata, arg);
	return injected;
}

static inline void fail_nth(struct __test_metadata *_metadata,
			    const struct op *op, void *arg)
{
	int fd = open(FAIL_NTH_FILE, O_RDWR | O_CLOEXEC);
	unsigned int n = 1;

	ASSERT_LE(0, fd);
	while (fail_nth_once(_metadata, op, arg, fd, n)) {
		n++;
		ASSERT_GT(FAIL_NTH_MOST, n);
	}
	TH_LOG("%u allocations", n - 1);
	EXPECT_LE(op->least, n - 1);
	close(fd);
}

#endif
