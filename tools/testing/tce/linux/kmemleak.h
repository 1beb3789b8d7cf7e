/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_LINUX_KMEMLEAK_H
#define _FUZZ_LINUX_KMEMLEAK_H

static inline void kmemleak_not_leak(const void *object) { }

#endif /* _FUZZ_LINUX_KMEMLEAK_H */
