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

@@ @@
- pseries_tce_iommu_userspace_view_alloc(...);

@@ @@
 struct iommu_table_ops iommu_table_lpar_multi_ops = {
-	.xchg_no_kill = tce_exchange_pseries,
-	.useraddrptr = tce_useraddr_pSeriesLP,
-	.free = tce_free_pSeries,
 };

// The cgroup of a process pays for its windows. Linux 7.0 has kzalloc_obj().
@@ identifier window; @@
 ddw_list_new_entry(...)
 {
 <+...
(
- window = kzalloc(sizeof(*window), GFP_KERNEL);
+ window = kzalloc(sizeof(*window), gfp);
|
- window = kzalloc_obj(*window);
+ window = kzalloc_obj(*window, gfp);
)
 ...+>
 }

@@ expression node, dn, property; @@
(
 iommu_pseries_alloc_table(node
+ , GFP_KERNEL
 )
|
 ddw_list_new_entry(dn, property
+ , GFP_KERNEL
 )
)

// A table is out of sight before it loses its last reference, and in sight when
// it is complete.
@@ expression group, num; identifier table; @@
(
- iommu_tce_table_put(group->tables[num]);
+ iommu_pseries_put_table(group, num);
|
- iommu_tce_table_put(table);
+ iommu_pseries_put_table(group, num);
)
- group->tables[num] = NULL;

@@ expression group, num; identifier table; @@
- group->tables[num] = table;
+ iommu_pseries_publish(group, num, table);
