/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trace events of owned TCE tables: what containers do, and which hypercalls
 * the kernel leaves to user space. Hypercalls themselves are traced by kvm_hv.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM spapr_tce

#if !defined(_TRACE_SPAPR_TCE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_SPAPR_TCE_H

#include <linux/tracepoint.h>

#include <asm/iommu.h>

#define spapr_tce_show_perm(perm) \
	__print_symbolic(perm, { 0, "-" }, { 1, "r" }, { 2, "w" }, { 3, "rw" })

#define SPAPR_TCE_NO_LIOBN		0
#define SPAPR_TCE_LIST_UNREADABLE	1
#define SPAPR_TCE_NOT_GUEST_MEMORY	2
#define SPAPR_TCE_NOT_REGISTERED	3

#define spapr_tce_show_reason(reason) \
	__print_symbolic(reason, \
		{ SPAPR_TCE_NO_LIOBN,		"no_liobn" }, \
		{ SPAPR_TCE_LIST_UNREADABLE,	"list_unreadable" }, \
		{ SPAPR_TCE_NOT_GUEST_MEMORY,	"not_guest_memory" }, \
		{ SPAPR_TCE_NOT_REGISTERED,	"not_registered" })

DECLARE_EVENT_CLASS(spapr_tce_memory,
	TP_PROTO(unsigned long ua, unsigned long nr_pages, int ret),
	TP_ARGS(ua, nr_pages, ret),
	TP_STRUCT__entry(
		__field(unsigned long, ua)
		__field(unsigned long, bytes)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->ua = ua;
		__entry->bytes = nr_pages << PAGE_SHIFT;
		__entry->ret = ret;
	),
	TP_printk("ua=0x%lx bytes=0x%lx ret=%d", __entry->ua, __entry->bytes,
		  __entry->ret)
);

/* A container took a reference to a range, pinned by the first one. */
DEFINE_EVENT(spapr_tce_memory, spapr_tce_register,
	TP_PROTO(unsigned long ua, unsigned long nr_pages, int ret),
	TP_ARGS(ua, nr_pages, ret)
);

/* A container let go of a range, or could not. */
DEFINE_EVENT(spapr_tce_memory, spapr_tce_unregister,
	TP_PROTO(unsigned long ua, unsigned long nr_pages, int ret),
	TP_ARGS(ua, nr_pages, ret)
);

DECLARE_EVENT_CLASS(spapr_tce_window,
	TP_PROTO(const struct iommu_table *tbl),
	TP_ARGS(tbl),
	TP_STRUCT__entry(
		__field(u64, bus)
		__field(u64, bytes)
		__field(unsigned int, page_shift)
		__field(unsigned int, levels)
		__field(unsigned long, charged)
	),
	TP_fast_assign(
		__entry->bus = (u64)tbl->it_offset << tbl->it_page_shift;
		__entry->bytes = (u64)tbl->it_size << tbl->it_page_shift;
		__entry->page_shift = tbl->it_page_shift;
		__entry->levels = tbl->it_indirect_levels + 1;
		__entry->charged = PAGE_ALIGN(tbl->it_allocated_size);
	),
	TP_printk("bus=0x%llx bytes=0x%llx page_shift=%u levels=%u charged=%lu",
		  __entry->bus, __entry->bytes, __entry->page_shift,
		  __entry->levels, __entry->charged)
);

/* A window got its table. */
DEFINE_EVENT(spapr_tce_window, spapr_tce_window_create,
	TP_PROTO(const struct iommu_table *tbl),
	TP_ARGS(tbl)
);

/* A window is empty, and nothing can be mapped in it any more. */
DEFINE_EVENT(spapr_tce_window, spapr_tce_window_remove,
	TP_PROTO(const struct iommu_table *tbl),
	TP_ARGS(tbl)
);

DECLARE_EVENT_CLASS(spapr_tce_change,
	TP_PROTO(const struct iommu_table *tbl, unsigned long first,
		 unsigned long nr, unsigned long ua, unsigned long perm,
		 int ret),
	TP_ARGS(tbl, first, nr, ua, perm, ret),
	TP_STRUCT__entry(
		__field(u64, bus)
		__field(u64, bytes)
		__field(unsigned long, ua)
		__field(unsigned long, perm)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->bus = (u64)first << tbl->it_page_shift;
		__entry->bytes = (u64)nr << tbl->it_page_shift;
		__entry->ua = ua;
		__entry->perm = perm;
		__entry->ret = ret;
	),
	TP_printk("bus=0x%llx bytes=0x%llx ua=0x%lx perm=%s ret=%d",
		  __entry->bus, __entry->bytes, __entry->ua,
		  spapr_tce_show_perm(__entry->perm), __entry->ret)
);

/* A container mapped a range, or could not. */
DEFINE_EVENT(spapr_tce_change, spapr_tce_map,
	TP_PROTO(const struct iommu_table *tbl, unsigned long first,
		 unsigned long nr, unsigned long ua, unsigned long perm,
		 int ret),
	TP_ARGS(tbl, first, nr, ua, perm, ret)
);

/* A container unmapped a range, or could not. */
DEFINE_EVENT(spapr_tce_change, spapr_tce_unmap,
	TP_PROTO(const struct iommu_table *tbl, unsigned long first,
		 unsigned long nr, unsigned long ua, unsigned long perm,
		 int ret),
	TP_ARGS(tbl, first, nr, ua, perm, ret)
);

/* A hypercall goes to user space. What real mode hands over is counted only. */
TRACE_EVENT(spapr_tce_too_hard,
	TP_PROTO(u64 liobn, unsigned int reason),
	TP_ARGS(liobn, reason),
	TP_STRUCT__entry(
		__field(u64, liobn)
		__field(unsigned int, reason)
	),
	TP_fast_assign(
		__entry->liobn = liobn;
		__entry->reason = reason;
	),
	TP_printk("liobn=0x%llx reason=%s", __entry->liobn,
		  spapr_tce_show_reason(__entry->reason))
);

#endif /* _TRACE_SPAPR_TCE_H */

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE

#define TRACE_INCLUDE_PATH asm
#define TRACE_INCLUDE_FILE trace_spapr_tce

#include <trace/define_trace.h>
