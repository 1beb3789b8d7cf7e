/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_LINUX_MUTEX_H
#define _FUZZ_LINUX_MUTEX_H

#include "fuzz.h"

struct mutex {
	bool locked;
};

static inline void mutex_init(struct mutex *lock)
{
	lock->locked = false;
}

static inline void mutex_lock(struct mutex *lock)
{
	require(!lock->locked && !world.preempt_count);
	lock->locked = true;
}

static inline int mutex_lock_killable(struct mutex *lock)
{
	mutex_lock(lock);

	return 0;
}

static inline void mutex_unlock(struct mutex *lock)
{
	require(lock->locked);
	lock->locked = false;
}

#endif /* _FUZZ_LINUX_MUTEX_H */
