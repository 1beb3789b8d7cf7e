/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_LINUX_SCHED_H
#define _FUZZ_LINUX_SCHED_H

#include "fuzz.h"

static inline void cond_resched(void)
{
	require(!world.preempt_count);
}

static inline void preempt_disable(void)
{
	world.preempt_count++;
}

static inline void preempt_enable(void)
{
	require(world.preempt_count > 0);
	world.preempt_count--;
}

/* There is nobody who would end the wait. */
static inline void cpu_relax(void)
{
	require(!"waits for ever");
}

#endif /* _FUZZ_LINUX_SCHED_H */
