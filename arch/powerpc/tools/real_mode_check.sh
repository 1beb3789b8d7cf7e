#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Follows the calls of the TCE hypercalls in real mode through their objects,
# and fails if they can get to a function that is not known to be fit for real
# mode: one outside of these objects that is not listed here, or an indirect
# call where none is expected. See arch/powerpc/kvm/book3s_64_vio_hv.c.
#
# Usage: real_mode_check.sh OBJDUMP OBJTREE

objdump="$1"
objtree="$2/arch/powerpc"

# Called from assembler code, or by a pointer from functions in $indirect.
roots="kvmppc_rm_h_put_tce kvmppc_rm_h_put_tce_indirect kvmppc_rm_h_stuff_tce
kvmppc_rm_h_get_tce pnv_tce_is_grown pnv_tce_set_list pnv_tce_set_runs
pnv_tce_clear_run pnv_phb3_tce_kill_rm"
indirect="commit dense_unmap flush tce_list_commit tce_try_end tce_try_list
tce_try_one tce_try_unmap try_list"

# What KASAN adds is fit as well: it finds that it is off, as with any hash MMU.

# Of assembler, that only touches the memory that it is given, or the stack (with
# KASAN memset64() is a loop of lib/string.c, which is not instrumented); and what
# PROVE_RCU has rcu_dereference_raw_check() ask, which reads variables.
external="memset __memset64 memset64 memcpy memcmp debug_lockdep_rcu_enabled"

# Calls that are in there, but that real mode does not come by: tce/view.c frees
# an array only if it was given a place to leave another, and mm_iommu_dropped()
# asks the MSR where it is.
exempt="tce_chunk_map:kfree tce_chunk_unmap:kfree give_back:kfree
dense_map:kfree dense_unmap:kfree mm_iommu_dropped:mm_iommu_reap_soon"

objects="kvm/book3s_64_vio_hv.o kernel/tce/owner_rm.o kernel/tce/view.o
mm/book3s64/mm_iommu_translate.o mm/book3s64/mm_iommu_index.o
platforms/powernv/pci-ioda-tce.o platforms/powernv/pci-ioda-dma.o"

for o in $objects; do
	if [ ! -f "$objtree/$o" ]; then
		echo "$0: no $objtree/$o" >&2
		exit 1
	fi
	echo "object $o"
	"$objdump" -dr --no-show-raw-insn "$objtree/$o" || exit 1
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
# Names of an object come before those of the others.
function resolve(obj, name) {
	if ((obj, name) in known)
		return obj SUBSEP name
	return name in home ? home[name] SUBSEP name : ""
}
function visit(f,	part, n, i, callees, to) {
	if (f in seen)
		return
	seen[f] = 1
	split(f, part, SUBSEP)
	if (pointer[f] && !(part[2] in may_point))
		complain(part[2] "() calls by a pointer")
	n = split(calls[f], callees)
	for (i = 1; i <= n; i++) {
		to = resolve(part[1], callees[i])
		if (to)
			visit(to)
		else if (!(callees[i] in fit) &&
			 !((part[2] ":" callees[i]) in never) &&
			 callees[i] !~ /^_(save|rest)gpr[01]_[0-9]+$/ &&
			 callees[i] !~ /^__(asan|kasan_check)_/)
			complain(part[2] "() calls " callees[i] "()")
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
/^[0-9a-f]+ <.*>:$/ {
	name = plain(substr($2, 2, length($2) - 3))
	here = object SUBSEP name
	known[here] = 1
	home[name] = object
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
		if (root[i] in home)
			visit(home[root[i]] SUBSEP root[i])
		else
			complain("there is no " root[i] "()")
	}
	exit bad
}'
