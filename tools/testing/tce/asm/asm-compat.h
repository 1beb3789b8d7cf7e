/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one instruction of powerpc in what is tested is the store of write_tce().
 * It is said in C, before an assembler comment, so that sanitizers see it.
 */
#ifndef _FUZZ_ASM_COMPAT_H
#define _FUZZ_ASM_COMPAT_H

#define STDX_BE	"#"
#define asm	WRITE_ONCE(*entry, cpu_to_be64(tce)); __asm__

#endif /* _FUZZ_ASM_COMPAT_H */
