/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_LINUX_SCHED_SIGNAL_H
#define _FUZZ_LINUX_SCHED_SIGNAL_H

#include <linux/types.h>

#define current	NULL

/* Provided by the fuzzer. */
bool fatal_signal_pending(void *task);

#endif /* _FUZZ_LINUX_SCHED_SIGNAL_H */
