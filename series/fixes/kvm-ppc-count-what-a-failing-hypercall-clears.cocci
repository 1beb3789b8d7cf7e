// Its callers count now.
@@ @@
- void kvmppc_clear_tce(...) { ... }
