// SPDX-License-Identifier: GPL-2.0-or-later
/* The trace events of owned TCE tables. */

#define CREATE_TRACE_POINTS
#include <asm/trace_spapr_tce.h>

/* KVM may be a module. */
EXPORT_TRACEPOINT_SYMBOL_GPL(spapr_tce_too_hard);
