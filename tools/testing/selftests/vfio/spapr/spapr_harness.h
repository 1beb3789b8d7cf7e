/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Goes around each test: it ends with every charge and every pinned page
 * given back, and without a warning from the kernel.
 */
#ifndef SPAPR_HARNESS_H
#define SPAPR_HARNESS_H

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include "../../kselftest_harness.h"
#include "spapr_util.h"

#define READ_WRITE	(REACH_READ | REACH_WRITE)
#define KB(bytes)	((long)((bytes) / 1024))

/* The harness knows options only: what is NAME=VALUE goes to the environment */
static inline int run_with_settings(int argc, char **argv)
{
	settings_from(argc, argv);
	return test_harness_run(argc, argv);
}

/* Opening and closing a device resets it, which takes seconds each. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	120

static inline void expect_usage(struct __test_metadata *_metadata,
				const struct usage *was)
{
	EXPECT_EQ(0, check_invariants());
	EXPECT_EQ(was->locked_kb, locked_kb());
	EXPECT_EQ(was->pinned, pinned_pages_settle(was->pinned));
	EXPECT_EQ(was->taint, kernel_taint());
}

#endif
