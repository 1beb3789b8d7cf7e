/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_LINUX_BITOPS_H
#define _FUZZ_LINUX_BITOPS_H

#include_next <linux/bitops.h>

static inline bool test_and_set_bit_lock(unsigned int nr, unsigned long *word)
{
	unsigned long bit = 1UL << nr;

	return __atomic_fetch_or(word, bit, __ATOMIC_ACQUIRE) & bit;
}

#endif /* _FUZZ_LINUX_BITOPS_H */
