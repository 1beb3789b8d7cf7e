/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checking owned tables while they are in use: the gate.
 *
 * Whatever changes an entry, or holds a count that no entry has yet or any
 * more, is inside the gate from before the first to after the last of it:
 * ioctls in tce_map(), tce_unmap() and tce_owner_close(), hypercalls all the
 * time. The checker closes the gate, waits until nobody is inside, looks, and
 * opens it.
 *
 * It is the outermost of all that operations on entries wait for, except the
 * locks of containers, and nobody enters twice: so whoever is inside gets out,
 * as soon as the user memory is there that a list or a v1 MAP may wait for.
 * Real mode tries, and hands over if the gate is closed.
 *
 * Without CONFIG_SPAPR_TCE_CHECK there is nothing of it.
 */
#ifndef _POWERPC_TCE_GATE_H
#define _POWERPC_TCE_GATE_H

#include <linux/atomic.h>
#include <linux/cleanup.h>
#include <linux/types.h>

struct iommu_table;

#ifdef CONFIG_SPAPR_TCE_CHECK
/* How many are inside; negative while the gate is closed. */
extern atomic_t tce_check_gate;

void tce_check_enter(void);
void tce_check_leave(void);
void tce_check_add(struct iommu_table *tbl);
void tce_check_del(struct iommu_table *tbl);

/**
 * tce_check_try_enter - enter the gate, if it is open
 *
 * Context: Any, real mode included.
 * Return: false if it is closed; otherwise tce_check_try_leave() has to follow.
 */
static inline bool tce_check_try_enter(void)
{
	return atomic_inc_unless_negative(&tce_check_gate);
}

/**
 * tce_check_try_leave - leave the gate after tce_check_try_enter()
 *
 * Context: Any, real mode included.
 */
static inline void tce_check_try_leave(void)
{
	atomic_dec_return_release(&tce_check_gate);
}
#else
static inline void tce_check_enter(void) { }
static inline void tce_check_leave(void) { }
static inline void tce_check_add(struct iommu_table *tbl) { }
static inline void tce_check_del(struct iommu_table *tbl) { }
static inline bool tce_check_try_enter(void) { return true; }
static inline void tce_check_try_leave(void) { }
#endif

/* guard(tce_check)(): inside until the block ends. */
DEFINE_LOCK_GUARD_0(tce_check, tce_check_enter(), tce_check_leave())

#endif /* _POWERPC_TCE_GATE_H */
