/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nobody looks on. */
#ifndef _FUZZ_ASM_TRACE_SPAPR_TCE_H
#define _FUZZ_ASM_TRACE_SPAPR_TCE_H

#include <linux/types.h>

static inline void trace_spapr_tce_register(unsigned long ua,
					    unsigned long nr_pages, int ret)
{
}

static inline void trace_spapr_tce_unregister(unsigned long ua,
					      unsigned long nr_pages, int ret)
{
}

#endif /* _FUZZ_ASM_TRACE_SPAPR_TCE_H */
