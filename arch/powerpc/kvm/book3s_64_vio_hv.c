// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Hypercalls that change the TCEs of a LIOBN, early: before the guest's context
 * is left, which is most of what they cost.
 *
 * POWER8 comes here from hcall_real_table, later CPUs from
 * kvmhv_vcpu_entry_p9(). A hypercall that can't be finished here changes
 * nothing and returns H_TOO_HARD. Then virtual mode does it: book3s_64_vio.c,
 * where the first comment is about both.
 *
 * The rules of real mode, for this file and all that it calls:
 *
 *  - The MMU is off: on POWER8, and wherever the host or the guest has a hash
 *    MMU. Memory is that of the linear map: no vmalloc, so no module text or
 *    data, no per-cpu memory; and of the process's memory only what is
 *    registered, which is found by its physical address. With a radix guest on
 *    a radix host the MMU may be on, with LPIDR and PIDR of the guest. The
 *    kernel's addresses, quadrant 3, are those of LPID 0 and PID 0 all the
 *    same, but user addresses are not the process's. The rules are the same.
 *  - The time base, the decrementer, SPRGs, the PMU, vector and floating point
 *    registers may be the guest's. Whatever interrupts here is taken for a
 *    guest's exit that went wrong, so nothing may trap: no WARN.
 *  - Interrupts are off, and the CPU may be a secondary thread, which is
 *    offline for Linux. Nothing sleeps, or allocates or frees, or schedules, or
 *    prints.
 *  - Nobody waits: a lock that is taken means H_TOO_HARD, and no loop is longer
 *    than a list, 512 entries of the guest's, or a chunk, 1024 of a hardware
 *    table; no more than 64 LIOBNs are looked at. Those who wait for a lock
 *    held here don't wait for long, and are not woken.
 *  - No tracing and no instrumentation: built without ftrace, KCOV, UBSAN, gcov
 *    and the stack protector, and without KCSAN in a kernel that runs on
 *    POWER8, see the Makefile. Makefile.postlink checks the functions that are
 *    called against a list. KASAN needs the radix MMU, and that it is on.
 *  - SRCU is not called from here. On POWER8 the thread that enters the guest
 *    for the whole core is in read-side sections of kvm->srcu and of
 *    tce_real_mode_srcu until all threads have left it, see kvmppc_run_core().
 *    The former covers memslots, LIOBNs and their tables, but only those of the
 *    VM whose vcore is the core's first one; vcpus of other VMs, on split
 *    cores, are sent to virtual mode. The latter covers what
 *    tce_free_deferred() frees: regions, their index, the groups of a table.
 *    Later CPUs are in kvm->srcu as well, see kvmhv_run_single_vcpu(). RCU goes
 *    on watching them while they run a guest, and all that runs without
 *    interrupts is a read-side section of it; but it does not watch where
 *    context tracking is active (nohz_full), so nothing is finished early there.
 */

#include <linux/kvm_host.h>
#include <linux/rculist.h>

#include <asm/hvcall.h>
#include <asm/kvm_book3s.h>
#include <asm/kvm_ppc.h>
#include <asm/paca.h>
#include <asm/reg.h>

#include "../kernel/tce/gate.h"
#include "book3s_64_vio.h"
#include "book3s_64_vio_template.h"

/*
 * LIOBNs that are looked at before a hypercall is handed over: a process can
 * make as many as it can open files.
 */
#define EARLY_LIOBNS	64

/* This and what calls it is inline: most hypercalls are one H_PUT_TCE. */
static __always_inline struct kvmppc_tce_table *
find_table(struct kvm_vcpu *vcpu, u64 number)
{
	const struct kvm_split_mode *split;
	unsigned int left = EARLY_LIOBNS;
	struct kvm *kvm = vcpu->kvm;
	struct kvmppc_tce_table *t;

	if (!kvm->arch.tce_early)
		return NULL;

	split = local_paca->kvm_hstate.kvm_split_mode;
	if (split && split->vc[0]->kvm != kvm)
		return NULL;

	list_for_each_entry_lockless(t, &kvm->arch.spapr_tce_tables, next) {
		if (t->number == number)
			return t;
		if (!--left)
			break;
	}

	return NULL;
}

/* Count how the hypercall ended. */
static long finish(struct kvm_vcpu *vcpu, long ret)
{
	if (ret == H_TOO_HARD)
		vcpu->stat.tce_handed_over++;
	else
		vcpu->stat.tce_early++;

	return ret;
}

static const struct hw_tables *tables_of(const struct kvmppc_tce_table *t)
{
	return rcu_dereference_raw_check(t->tables);
}

static long stuff(struct kvmppc_tce_table *t, unsigned long first, u64 tce,
		  unsigned long nr)
{
	if (!guest_stuff_now(t, tables_of(t), first, nr, tce, true))
		return H_TOO_HARD;

	return H_SUCCESS;
}

static __always_inline long put_tce(struct kvm_vcpu *vcpu, unsigned long liobn,
				    unsigned long ioba, unsigned long tce)
{
	struct kvmppc_tce_table *t = find_table(vcpu, liobn);
	struct tce_memory memory = { 0 };
	struct guest_slots guest;
	unsigned long first;
	u64 ua;

	if (!t)
		return H_TOO_HARD;

	if (!kvmppc_tce_has(t, ioba, 1))
		return H_PARAMETER;

	first = ioba >> t->page_shift;
	if (!(tce & TCE_PERM_MASK))
		return stuff(t, first, tce, 1);

	guest.t = t;
	guest.slots = kvm_memslots_raw(vcpu->kvm);
	if (!guest_to_ua(&guest, &memory, tce, &ua) ||
	    guest_write_one(t, tables_of(t), first, tce, ua, true))
		return H_TOO_HARD;

	return H_SUCCESS;
}

/**
 * kvmppc_rm_h_put_tce - H_PUT_TCE in real mode
 * @vcpu: the vCPU
 * @liobn: which table
 * @ioba: bus address of the page
 * @tce: guest address of the page and permission bits; without, it is unmapped
 *
 * Context: Real mode.
 * Return: H_TOO_HARD, with nothing changed, if virtual mode has to do it;
 *	   otherwise as kvmppc_h_put_tce().
 */
long kvmppc_rm_h_put_tce(struct kvm_vcpu *vcpu, unsigned long liobn,
			 unsigned long ioba, unsigned long tce)
{
	long ret = H_TOO_HARD;

	if (tce_check_try_enter()) {
		ret = put_tce(vcpu, liobn, ioba, tce);
		tce_check_try_leave();
	}

	return finish(vcpu, ret);
}

/*
 * Where a list is in memory, with an entry of its region counted; NULL if it is
 * not in registered memory. The guest may write to it meanwhile. It is what was
 * registered, even if the process has put other memory in its place since.
 */
static const __be64 *find_list(struct kvm_memslots *slots,
			       const struct hw_tables *tables,
			       unsigned long tce_list,
			       struct mm_iommu_region **region)
{
	const struct kvm_memory_slot *slot;
	unsigned long ua;

	/* It is by a table's owner that memory is found. */
	if (!tables)
		return NULL;

	slot = __gfn_to_memslot(slots, tce_list >> PAGE_SHIFT);
	if (!slot || slot->flags & KVM_MEMSLOT_INVALID)
		return NULL;

	ua = __gfn_to_hva_memslot(slot, tce_list >> PAGE_SHIFT) |
	     (tce_list & ~PAGE_MASK);

	return tce_rm_memory(tables->tbl[0], ua, region);
}

static long write_list(struct kvm_vcpu *vcpu, struct kvmppc_tce_table *t,
		       unsigned long first, unsigned long tce_list,
		       unsigned long nr)
{
	struct kvm_memslots *slots = kvm_memslots_raw(vcpu->kvm);
	const struct hw_tables *tables = tables_of(t);
	struct guest_list *list = vcpu->arch.tce_list;
	struct mm_iommu_region *region;
	const __be64 *tces;
	int ret;

	if (!list)
		return H_TOO_HARD;

	tces = find_list(slots, tables, tce_list, &region);
	if (!tces)
		return H_TOO_HARD;

	ret = guest_write_list(t, slots, tables, first, nr, tces, list, true);
	mm_iommu_uncount(region, 1);

	return ret ? H_TOO_HARD : H_SUCCESS;
}

static long put_tce_indirect(struct kvm_vcpu *vcpu, unsigned long liobn,
			     unsigned long ioba, unsigned long tce_list,
			     unsigned long npages)
{
	struct kvmppc_tce_table *t = find_table(vcpu, liobn);

	if (!t)
		return H_TOO_HARD;

	if (npages > TCE_LIST_MAX || tce_list & (TCE_LIST_BYTES - 1) ||
	    !kvmppc_tce_has(t, ioba, npages))
		return H_PARAMETER;

	if (!npages)
		return H_SUCCESS;

	return write_list(vcpu, t, ioba >> t->page_shift, tce_list, npages);
}

/**
 * kvmppc_rm_h_put_tce_indirect - H_PUT_TCE_INDIRECT in real mode
 * @vcpu: the vCPU
 * @liobn: which table
 * @ioba: bus address of the first page
 * @tce_list: guest address of a list of TCEs, aligned to 4 KiB
 * @npages: how many, up to 512
 *
 * Context: Real mode.
 * Return: as kvmppc_rm_h_put_tce() for kvmppc_h_put_tce_indirect().
 */
long kvmppc_rm_h_put_tce_indirect(struct kvm_vcpu *vcpu, unsigned long liobn,
				  unsigned long ioba, unsigned long tce_list,
				  unsigned long npages)
{
	long ret = H_TOO_HARD;

	if (tce_check_try_enter()) {
		ret = put_tce_indirect(vcpu, liobn, ioba, tce_list, npages);
		tce_check_try_leave();
	}

	return finish(vcpu, ret);
}

static long stuff_tce(struct kvm_vcpu *vcpu, unsigned long liobn,
		      unsigned long ioba, unsigned long tce_value,
		      unsigned long npages)
{
	struct kvmppc_tce_table *t = find_table(vcpu, liobn);

	if (!t)
		return H_TOO_HARD;

	if (tce_value & TCE_PERM_MASK || !kvmppc_tce_has(t, ioba, npages))
		return H_PARAMETER;

	if (!npages)
		return H_SUCCESS;

	if (npages > TCE_LIST_MAX)
		return H_TOO_HARD;

	return stuff(t, ioba >> t->page_shift, tce_value, npages);
}

/**
 * kvmppc_rm_h_stuff_tce - H_STUFF_TCE in real mode
 * @vcpu: the vCPU
 * @liobn: which table
 * @ioba: bus address of the first page
 * @tce_value: what to write to each entry; without permission bits
 * @npages: how many pages
 *
 * Context: Real mode.
 * Return: as kvmppc_rm_h_put_tce() for kvmppc_h_stuff_tce().
 */
long kvmppc_rm_h_stuff_tce(struct kvm_vcpu *vcpu, unsigned long liobn,
			   unsigned long ioba, unsigned long tce_value,
			   unsigned long npages)
{
	long ret = H_TOO_HARD;

	if (tce_check_try_enter()) {
		ret = stuff_tce(vcpu, liobn, ioba, tce_value, npages);
		tce_check_try_leave();
	}

	return finish(vcpu, ret);
}

static long get_tce(struct kvm_vcpu *vcpu, unsigned long liobn,
		    unsigned long ioba)
{
	struct kvmppc_tce_table *t = find_table(vcpu, liobn);
	u64 *entry;

	if (!t)
		return H_TOO_HARD;

	if (!kvmppc_tce_has(t, ioba, 1))
		return H_PARAMETER;

	entry = kvmppc_tce_entry(t, (ioba >> t->page_shift) - t->offset);
	vcpu->arch.regs.gpr[4] = entry ? READ_ONCE(*entry) : 0;

	return H_SUCCESS;
}

/**
 * kvmppc_rm_h_get_tce - H_GET_TCE in real mode
 * @vcpu: the vCPU; the TCE goes to its GPR 4
 * @liobn: which table
 * @ioba: bus address of the page
 *
 * Context: Real mode.
 * Return: as kvmppc_h_get_tce().
 */
long kvmppc_rm_h_get_tce(struct kvm_vcpu *vcpu, unsigned long liobn,
			 unsigned long ioba)
{
	return finish(vcpu, get_tce(vcpu, liobn, ioba));
}

static long do_hcall(struct kvm_vcpu *vcpu, const unsigned long *gpr)
{
	switch (gpr[3]) {
	case H_GET_TCE:
		return kvmppc_rm_h_get_tce(vcpu, gpr[4], gpr[5]);
	case H_PUT_TCE:
		return kvmppc_rm_h_put_tce(vcpu, gpr[4], gpr[5], gpr[6]);
	case H_STUFF_TCE:
		return kvmppc_rm_h_stuff_tce(vcpu, gpr[4], gpr[5], gpr[6],
					     gpr[7]);
	case H_PUT_TCE_INDIRECT:
		return kvmppc_rm_h_put_tce_indirect(vcpu, gpr[4], gpr[5],
						    gpr[6], gpr[7]);
	}

	return H_TOO_HARD;
}

/**
 * kvmppc_h_tce_early - finish a TCE hypercall on POWER9 and later
 * @vcpu: the vCPU, which has just left the guest; its GPRs are saved
 *
 * Virtual mode decides about all others: hypercalls of a nested guest go to its
 * hypervisor, those made in problem state are refused, and in a transaction or
 * in a secure guest there is more to look after than is done here.
 *
 * Context: As real mode; with two radix MMUs the MMU may be on.
 * Return: true if the hypercall is finished, with its results in the GPRs;
 *	   false, with nothing changed, if virtual mode has to do it.
 */
bool kvmppc_h_tce_early(struct kvm_vcpu *vcpu)
{
	unsigned long *gpr = vcpu->arch.regs.gpr;
	const struct kvm *kvm = vcpu->kvm;
	long ret;

	if (vcpu->arch.nested || kvm->arch.secure_guest ||
	    vcpu->arch.shregs.msr & (MSR_PR | MSR_TS_MASK) ||
	    !test_bit(gpr[3] / 4, kvm->arch.enabled_hcalls))
		return false;

	ret = do_hcall(vcpu, gpr);
	if (ret == H_TOO_HARD)
		return false;
	gpr[3] = ret;

	return true;
}
