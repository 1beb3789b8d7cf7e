/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_LINUX_SRCU_H
#define _FUZZ_LINUX_SRCU_H

#include <linux/rcupdate.h>

struct srcu_struct {
	int unused;
};

#define DEFINE_SRCU(name)	struct srcu_struct name

/* Behind the next grace_period(). */
void call_srcu(struct srcu_struct *srcu, struct rcu_head *head,
	       void (*func)(struct rcu_head *head));

static inline void synchronize_srcu_expedited(struct srcu_struct *srcu) { }

#endif /* _FUZZ_LINUX_SRCU_H */
