/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_LINUX_STRING_H
#define _FUZZ_LINUX_STRING_H

#include_next <linux/string.h>

static inline void *memset64(u64 *words, u64 value, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		words[i] = value;

	return words;
}

#endif /* _FUZZ_LINUX_STRING_H */
