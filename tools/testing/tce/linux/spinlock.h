/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_LINUX_SPINLOCK_H
#define _FUZZ_LINUX_SPINLOCK_H

#include "fuzz.h"

typedef struct {
	bool locked;
} spinlock_t;

static inline void spin_lock_init(spinlock_t *lock)
{
	lock->locked = false;
}

static inline void spin_lock(spinlock_t *lock)
{
	require(!lock->locked);
	lock->locked = true;
	world.preempt_count++;
}

static inline void spin_unlock(spinlock_t *lock)
{
	require(lock->locked);
	lock->locked = false;
	world.preempt_count--;
}

#endif /* _FUZZ_LINUX_SPINLOCK_H */
