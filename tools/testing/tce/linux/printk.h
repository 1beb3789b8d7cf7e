/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_LINUX_PRINTK_H
#define _FUZZ_LINUX_PRINTK_H

#include "fuzz.h"

/* Nothing that the fuzzers do is worth a message. */
#define pr_warn_ratelimited(...)	require(!"says nothing")

#endif /* _FUZZ_LINUX_PRINTK_H */
