/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work that is queued runs when the fuzzer says so.
 */
#ifndef _FUZZ_LINUX_WORKQUEUE_H
#define _FUZZ_LINUX_WORKQUEUE_H

#include <linux/kernel.h>

#include "fuzz.h"

#define HZ	100

struct work_struct {
	void (*func)(struct work_struct *work);
};

struct delayed_work {
	struct work_struct work;
	bool pending;
	unsigned long delay;
};

#define system_unbound_wq	NULL

#define INIT_DELAYED_WORK(dwork, function)	\
	((dwork)->work.func = (function), (dwork)->pending = false)

static inline struct delayed_work *to_delayed_work(struct work_struct *work)
{
	return container_of(work, struct delayed_work, work);
}

bool queue_delayed_work(void *wq, struct delayed_work *dwork,
			unsigned long delay);
bool mod_delayed_work(void *wq, struct delayed_work *dwork,
		      unsigned long delay);

#endif /* _FUZZ_LINUX_WORKQUEUE_H */
