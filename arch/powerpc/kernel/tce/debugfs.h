/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owned tables in debugfs. */
#ifndef _POWERPC_TCE_DEBUGFS_H
#define _POWERPC_TCE_DEBUGFS_H

struct dentry;
struct iommu_table;

#ifdef CONFIG_DEBUG_FS
extern struct dentry *tce_debugfs_dir;

void tce_debugfs_add(struct iommu_table *tbl);
void tce_debugfs_del(struct iommu_table *tbl);
#else
static inline void tce_debugfs_add(struct iommu_table *tbl) { }
static inline void tce_debugfs_del(struct iommu_table *tbl) { }
#endif

#endif /* _POWERPC_TCE_DEBUGFS_H */
