// Entries are changed by arch/powerpc/kernel/tce alone.
@@ declarer name EXPORT_SYMBOL_GPL; @@
- EXPORT_SYMBOL_GPL(iommu_flush_tce);

@@ type T; @@
- T iommu_flush_tce(...) { ... }

@@ type T; @@
- T iommu_flush_tce(...);

@@ declarer name EXPORT_SYMBOL_GPL; @@
- EXPORT_SYMBOL_GPL(iommu_tce_kill);

@@ type T; @@
- T iommu_tce_kill(...) { ... }

@@ type T; @@
- T iommu_tce_kill(...);

@@ declarer name EXPORT_SYMBOL_GPL; @@
- EXPORT_SYMBOL_GPL(iommu_tce_check_ioba);

@@ type T; @@
- T iommu_tce_check_ioba(...) { ... }

@@ type T; @@
- T iommu_tce_check_ioba(...);

@@ declarer name EXPORT_SYMBOL_GPL; @@
- EXPORT_SYMBOL_GPL(iommu_tce_check_gpa);

@@ type T; @@
- T iommu_tce_check_gpa(...) { ... }

@@ type T; @@
- T iommu_tce_check_gpa(...);

@@ declarer name EXPORT_SYMBOL_GPL; @@
- EXPORT_SYMBOL_GPL(iommu_tce_xchg_no_kill);

@@ type T; @@
- T iommu_tce_xchg_no_kill(...) { ... }

@@ type T; @@
- T iommu_tce_xchg_no_kill(...);

@@ type T; @@
- T iommu_tce_xchg(...);

// Memory is registered by mm_iommu.c.
@@ @@
- struct mm_iommu_table_group_mem_t;

@@ type T; @@
- T mm_iommu_preregistered(...);

@@ type T; @@
- T mm_iommu_new(...);

@@ type T; @@
- T mm_iommu_newdev(...);

@@ type T; @@
- T mm_iommu_put(...);

@@ type T; @@
- T mm_iommu_init(...);

@@ type T; @@
- T mm_iommu_lookup(...);

@@ type T; @@
- T mm_iommu_get(...);

@@ type T; @@
- T mm_iommu_is_range(...);

@@ type T; @@
- T mm_iommu_ua_to_hpa(...);

@@ type T; @@
- T mm_iommu_is_devmem(...);

@@ type T; @@
- T mm_iommu_mapped_inc(...);

@@ type T; @@
- T mm_iommu_mapped_dec(...);

@@ type T; @@
- T mm_iommu_is_devmem(...) { ... }

@@ type T; @@
- T mm_iommu_init(...) { ... }
