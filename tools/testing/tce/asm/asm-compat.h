/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two instructions of powerpc in what is tested are those of read_tce() and
 * write_tce(). They are said in C, so that sanitizers see them, and what
 * belongs to the assembler is dropped.
 */
#ifndef _FUZZ_ASM_COMPAT_H
#define _FUZZ_ASM_COMPAT_H

#define LDX_BE		__fuzz_load(tce, entry),
#define STDX_BE		WRITE_ONCE(*entry, cpu_to_be64(tce)),
#define asm
#define volatile(...)	__fuzz_first(__VA_ARGS__)

#define __fuzz_load(tce, entry)	((tce) = be64_to_cpu(READ_ONCE(*(entry))))
#define __fuzz_first(first, ...)	((void)(first))

#endif /* _FUZZ_ASM_COMPAT_H */
