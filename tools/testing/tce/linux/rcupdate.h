/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_LINUX_RCUPDATE_H
#define _FUZZ_LINUX_RCUPDATE_H

#include <linux/compiler.h>
#include <asm/barrier.h>

struct rcu_head {
	struct rcu_head *next;
	void (*func)(struct rcu_head *head);
};

/* Behind the next grace_period(). */
void call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head));

#endif /* _FUZZ_LINUX_RCUPDATE_H */
