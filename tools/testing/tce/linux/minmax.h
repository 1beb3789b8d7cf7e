/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_LINUX_MINMAX_H
#define _FUZZ_LINUX_MINMAX_H

#include <linux/kernel.h>

#endif /* _FUZZ_LINUX_MINMAX_H */
