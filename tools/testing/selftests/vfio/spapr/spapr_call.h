/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Calls for the memory of this process that another one makes, which can be
 * killed by itself. Include it behind _GNU_SOURCE.
 */
#ifndef SPAPR_CALL_H
#define SPAPR_CALL_H

#include <sched.h>
#include <signal.h>
#include <time.h>
#include <sys/wait.h>

#include "spapr_harness.h"

struct call {
	int (*fn)(int c, const void *ua, uint64_t size);
	int c;
	const void *ua;
	uint64_t size;
	/* what it returned */
	int ret;
	char stack[16384] __attribute__((aligned(16)));
};

static inline int call_it(void *arg)
{
	struct call *call = arg;

	call->ret = call->fn(call->c, call->ua, call->size);
	return call->ret ? 1 : 0;
}

/* Has another process make a call for the memory of this one. */
static inline pid_t call_start(struct call *call)
{
	return clone(call_it, call->stack + sizeof(call->stack),
		     CLONE_VM | CLONE_FILES | SIGCHLD, call);
}

static inline long now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000L + ts.tv_nsec / 1000;
}

/* Kills it; returns after how many microseconds it was gone. */
static inline long kill_us(struct __test_metadata *_metadata, pid_t pid)
{
	long start = now_us();
	int status;

	EXPECT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	return now_us() - start;
}

static inline void expect_success(struct __test_metadata *_metadata, pid_t pid)
{
	int status = -1;

	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

#endif
