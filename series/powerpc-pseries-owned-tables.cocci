// The view of the platform, and what only its users called.
@@ @@
- long pseries_tce_iommu_userspace_view_alloc(...) { ... }

@@ @@
- void tce_iommu_userspace_view_free(...) { ... }

@@ @@
- void tce_free_pSeries(...) { ... }

@@ @@
- int tce_exchange_pseries(...) { ... }

@@ type T; @@
- T tce_useraddr_pSeriesLP(...) { ... }
