/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_ASM_REG_H
#define _FUZZ_ASM_REG_H

#define MSR_DR	0x10UL

/* Provided by the fuzzer: in real mode or not. */
unsigned long mfmsr(void);

#endif /* _FUZZ_ASM_REG_H */
