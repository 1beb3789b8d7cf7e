/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the proofs share: any value, what it is taken to be, and what then
 * holds.
 */
#ifndef _PROOFS_H
#define _PROOFS_H

/* The prover knows functions called nondet_*. */
unsigned int nondet_uint(void);
unsigned long nondet_ulong(void);
unsigned char nondet_uchar(void);
_Bool nondet_bool(void);

#define any_uint()	nondet_uint()
#define any_ulong()	nondet_ulong()
#define any_uchar()	nondet_uchar()
#define any_bool()	nondet_bool()

#define assume(what)	__CPROVER_assume(what)
#define prove(what)	__CPROVER_assert(what, #what)

#endif /* _PROOFS_H */
