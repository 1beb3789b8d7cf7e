// Entries are changed by tce/owner.c alone.
@@ @@
- void iommu_flush_tce(...) { ... }

@@ @@
- void iommu_tce_kill(...) { ... }

@@ @@
- int iommu_tce_check_ioba(...) { ... }

@@ @@
- int iommu_tce_check_gpa(...) { ... }

@@ @@
- long iommu_tce_xchg_no_kill(...) { ... }
