/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_ASM_CPUTABLE_H
#define _FUZZ_ASM_CPUTABLE_H

enum { CPU_FTR_ARCH_207S = 1, CPU_FTR_ARCH_300 = 2 };

/* Chosen anew in each run. */
extern unsigned int fuzz_cpu_features;

#define cpu_has_feature(feature)	(fuzz_cpu_features & (feature))

#endif /* _FUZZ_ASM_CPUTABLE_H */
