// What pci-ioda-dma.c does from here on.
@@ type T; @@
- T pnv_ioda_get_inval_reg(...) { ... }

@@ @@
- int pnv_ioda_tce_xchg_no_kill(...) { ... }

@@ @@
- int pnv_ioda2_tce_build(...) { ... }

@@ @@
- void pnv_pci_phb3_tce_invalidate_pe(...) { ... }

@@ @@
- void pnv_pci_phb3_tce_invalidate(...) { ... }

@@ @@
- void pnv_pci_ioda2_tce_invalidate_pe(...) { ... }

@@ @@
- void pnv_pci_ioda2_tce_invalidate(...) { ... }

@@ @@
- void pnv_ioda2_tce_free(...) { ... }

@@ @@
- void pnv_pci_ioda2_set_bypass(...) { ... }

@@ @@
- void pnv_ioda_setup_bus_dma(...) { ... }

@@ @@
- void pnv_ioda2_release_ownership(...) { ... }

@@ @@
- void pnv_pci_ioda2_setup_dma_pe(...) { ... }

@@ @@
- void pnv_pci_ioda2_release_pe_dma(...) { ... }

@@ @@
- long pnv_pci_ioda2_set_window(...) { ... }

@@ @@
- long pnv_pci_ioda2_create_table(...) { ... }

@@ @@
- long pnv_pci_ioda2_setup_default_config(...) { ... }

@@ @@
- long pnv_pci_ioda2_unset_window(...) { ... }

@@ @@
- long pnv_pci_ioda2_create_table_userspace(...) { ... }

@@ @@
- long pnv_ioda2_take_ownership(...) { ... }

@@ @@
- unsigned long pnv_pci_ioda2_get_table_size(...) { ... }

@@ @@
- static struct iommu_table_ops pnv_ioda2_iommu_ops = { ... };

@@ @@
- static struct iommu_table_group_ops pnv_pci_ioda2_ops = { ... };

// Declarations of functions that are gone, or that pci-ioda-tce.h declares now.
@@ type T; @@
- T pnv_tce_build(...);

@@ type T; @@
- T pnv_tce_free(...);

@@ type T; @@
- T pnv_tce_xchg(...);

@@ type T; @@
- T pnv_tce_useraddrptr(...);

@@ type T; @@
- T pnv_tce_get(...);

@@ type T; @@
- T pnv_tce_grow(...);

@@ type T; @@
- T pnv_tce_is_grown(...);

@@ type T; @@
- T pnv_tce_set_runs(...);

@@ type T; @@
- T pnv_tce_set_list(...);

@@ type T; @@
- T pnv_tce_clear_range(...);

@@ type T; @@
- T pnv_pci_ioda2_table_alloc_pages(...);

@@ type T; @@
- T pnv_pci_ioda2_table_free_pages(...);

@@ type T; @@
- T pnv_pci_link_table_and_group(...);

@@ type T; @@
- T pnv_pci_unlink_table_and_group(...);

@@ type T; @@
- T pnv_pci_setup_iommu_table(...);
