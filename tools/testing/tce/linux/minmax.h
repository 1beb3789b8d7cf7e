/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_LINUX_MINMAX_H
#define _FUZZ_LINUX_MINMAX_H

#include <linux/kernel.h>

#define min3(a, b, c)	min(min(a, b), c)

#define swap(a, b) \
	do { typeof(a) __swap = (a); (a) = (b); (b) = __swap; } while (0)

#endif /* _FUZZ_LINUX_MINMAX_H */
