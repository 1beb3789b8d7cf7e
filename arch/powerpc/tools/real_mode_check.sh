#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Follows the calls of the TCE hypercalls in real mode through their objects,
# and fails if they can get to a function that is not known to be fit for real
# mode: one outside of these objects that is not listed here, one that can be
# probed, because it is not in .kprobes.text, or an indirect call where none is
# expected. See arch/powerpc/kvm/book3s_64_vio_hv.c.
#
# Usage: real_mode_check.sh OBJDUMP OBJTREE

objdump="$1"
objtree="$2/arch/powerpc"

# OBJECT:FUNCTION, called from other objects, or by a pointer from $indirect.
roots="kvm/book3s_64_vio_hv.o:kvmppc_rm_h_put_tce
kvm/book3s_64_vio_hv.o:kvmppc_rm_h_put_tce_indirect
kvm/book3s_64_vio_hv.o:kvmppc_rm_h_stuff_tce
kvm/book3s_64_vio_hv.o:kvmppc_rm_h_get_tce
kvm/book3s_64_vio_hv.o:kvmppc_h_tce_early
platforms/powernv/pci-ioda-tce-rm.o:pnv_tce_is_grown
platforms/powernv/pci-ioda-tce-rm.o:pnv_tce_set_list
platforms/powernv/pci-ioda-tce-rm.o:pnv_tce_set_runs
platforms/powernv/pci-ioda-tce-rm.o:pnv_tce_clear_range
platforms/powernv/pci-ioda-tce-rm.o:pnv_phb3_tce_kill_rm
platforms/powernv/pci-ioda-tce-rm.o:pnv_opal_tce_kill_rm"

# These call operations of a table.
indirect="kernel/tce/chunk.o:tce_map_one_now
kernel/tce/chunk.o:tce_op_map_list
kernel/tce/chunk.o:write_runs kernel/tce/chunk.o:refused
kernel/tce/chunk.o:unmap_some kernel/tce/gather.o:tce_gather_flush"

# What KASAN adds is fit as well: it finds that it is off, as with any hash MMU.

# Of assembler, that only touches the memory that it is given, or the stack (with
# KASAN memset64() is a loop of lib/string.c, which is not instrumented); and what
# PROVE_RCU has rcu_dereference_raw_check() ask, which reads variables.
# __opal_call() goes to firmware, with the MMU off.
external="memset __memset64 memset64 memcpy memcmp debug_lockdep_rcu_enabled
__opal_call"

# OBJECT:FUNCTION:CALLEE that are in there, but that real mode does not come by:
# mm_iommu_uncounted() asks the PACA where it is.
exempt="mm/book3s64/mm_iommu_translate.o:mm_iommu_uncounted:mm_iommu_reap_soon"

objects="kvm/book3s_64_vio_hv.o kernel/tce/chunk.o
kernel/tce/gather.o kernel/tce/list.o kernel/tce/state.o
mm/book3s64/mm_iommu_translate.o mm/book3s64/mm_iommu_index_find.o
platforms/powernv/pci-ioda-tce-rm.o"

for o in $objects; do
	if [ ! -f "$objtree/$o" ]; then
		echo "$0: no $objtree/$o" >&2
		exit 1
	fi
	echo "object $o"
	"$objdump" -tdr --no-show-raw-insn "$objtree/$o" || exit 1
done | awk -v roots="$roots" -v indirect="$indirect" -v external="$external" \
	   -v exempt="$exempt" '
function list(text, set,	n, i, words) {
	n = split(text, words)
	for (i = 1; i <= n; i++)
		set[words[i]] = 1
}
# What gcc makes of a function goes by the name of the function.
function plain(name) {
	sub(/[-+]0x[0-9a-f]+$/, "", name)
	sub(/\.(constprop|isra|part|cold).*$/, "", name)
	return name
}
function complain(text) {
	print "real mode: " text > "/dev/stderr"
	bad = 1
}
# A name of its own object, or a global one.
function resolve(obj, name) {
	if ((obj ":" name) in known)
		return obj ":" name
	return name in home ? home[name] ":" name : ""
}
function visit(f,	part, n, i, callees, to) {
	if (f in seen)
		return
	seen[f] = 1
	split(f, part, ":")
	if (section[f] != ".kprobes.text")
		complain(f "() is in " section[f] ", where it can be probed")
	if (pointer[f] && !(f in may_point))
		complain(f "() calls by a pointer")
	n = split(calls[f], callees)
	for (i = 1; i <= n; i++) {
		to = resolve(part[1], callees[i])
		if (to)
			visit(to)
		else if (!(callees[i] in fit) &&
			 !((f ":" callees[i]) in never) &&
			 callees[i] !~ /^_(save|rest)gpr[01]_[0-9]+$/ &&
			 callees[i] !~ /^__(asan|kasan_check)_/)
			complain(f "() calls " callees[i] "()")
	}
}
BEGIN {
	list(indirect, may_point)
	list(external, fit)
	list(exempt, never)
}
$1 == "object" {
	object = $2
	next
}
/^[0-9a-f]+ g .* F / {
	home[$NF] = object
	next
}
/^Disassembly of section / {
	text = substr($NF, 1, length($NF) - 1)
	next
}
/^[0-9a-f]+ <.*>:$/ {
	here = object ":" plain(substr($2, 2, length($2) - 3))
	known[here] = 1
	# A part of a function counts as the function.
	if (!(here in section) || text != ".kprobes.text")
		section[here] = text
	next
}
/R_PPC64_REL(24|14)/ {
	calls[here] = calls[here] " " plain($3)
	next
}
$2 == "bctrl" || $2 == "bctr" {
	pointer[here] = 1
}
END {
	n = split(roots, root)
	for (i = 1; i <= n; i++) {
		if (root[i] in known)
			visit(root[i])
		else
			complain("there is no " root[i] "()")
	}
	exit bad
}'
