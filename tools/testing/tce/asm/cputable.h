/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_ASM_CPUTABLE_H
#define _FUZZ_ASM_CPUTABLE_H

#include <linux/types.h>

/* POWER9, which has no hypercalls in real mode; chosen anew in each run. */
extern bool fuzz_arch_300;

#define CPU_FTR_ARCH_300	1
#define cpu_has_feature(feature)	fuzz_arch_300

#endif /* _FUZZ_ASM_CPUTABLE_H */
