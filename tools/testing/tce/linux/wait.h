/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_LINUX_WAIT_H
#define _FUZZ_LINUX_WAIT_H

#include "fuzz.h"

typedef struct {
	bool unused;
} wait_queue_head_t;

static inline void init_waitqueue_head(wait_queue_head_t *wait) { }
static inline void wake_up_all(wait_queue_head_t *wait) { }

/* There is nobody who would end the wait. */
#define wait_event_killable(wait, condition)			\
({								\
	require(!world.preempt_count);				\
	require(condition);					\
	0;							\
})

#endif /* _FUZZ_LINUX_WAIT_H */
