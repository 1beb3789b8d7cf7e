/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_ASM_PACA_H
#define _FUZZ_ASM_PACA_H

#include <linux/types.h>

struct paca_struct {
	struct {
		u8 in_guest;
	} kvm_hstate;
};

/* Provided by the fuzzer. */
extern struct paca_struct fuzz_paca;

#define local_paca	(&fuzz_paca)

#endif /* _FUZZ_ASM_PACA_H */
