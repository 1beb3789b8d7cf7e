// What LIOBNs are lies in arch/powerpc/kvm/book3s_64_vio.h now.
@@ @@
- struct kvmppc_spapr_tce_iommu_table { ... };

@@ @@
- struct kvmppc_spapr_tce_table { ... };

// A LIOBN is attached to a table, and ends with it, not with a group.
@@ @@
- void kvm_spapr_tce_release_iommu_group(...);

@@ @@
- void kvm_spapr_tce_release_vfio_group(...) { ... }
