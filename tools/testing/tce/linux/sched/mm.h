/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_LINUX_SCHED_MM_H
#define _FUZZ_LINUX_SCHED_MM_H

#include <linux/mm.h>

#endif /* _FUZZ_LINUX_SCHED_MM_H */
