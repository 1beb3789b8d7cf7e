// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Hypercalls that change the TCEs of a LIOBN, in real mode on POWER8.
 *
 * A hypercall that is finished here does not leave the guest's context, which
 * is most of what it costs. One that can't be finished changes nothing and
 * returns H_TOO_HARD. Then virtual mode does it: book3s_64_vio.c, where the
 * first comment is about both.
 *
 * The rules of real mode, for this file and all that it calls:
 *
 *  - The MMU is off. Memory is that of the linear map: no vmalloc, so no module
 *    text or data, no dynamic per-cpu memory; and no memory of the process but
 *    what is registered, found by its physical address.
 *  - Interrupts are off, and the CPU may be a secondary thread, which is offline
 *    for Linux. Nothing sleeps, or allocates or frees, or schedules, or prints.
 *  - Nobody waits: a lock that is taken means H_TOO_HARD, and no loop is longer
 *    than a list, 512 entries of the guest's, or a chunk, 1024 of a hardware
 *    table. Those who wait for a lock held here don't wait for long, and are not
 *    woken.
 *  - No tracing and no instrumentation: built without ftrace, KCOV, UBSAN, gcov
 *    and the stack protector, and without KCSAN in a kernel that runs on POWER8,
 *    see the Makefile. Makefile.postlink checks the functions that are called
 *    against a list. KASAN finds itself off: it needs the radix MMU.
 *  - RCU does not watch this CPU, and SRCU is not called from here: the thread
 *    that enters the guest for the whole core is in read-side sections of
 *    kvm->srcu and of tce_real_mode_srcu until all threads have left it, see
 *    kvmppc_run_core(). The former covers memslots, LIOBNs and their tables, but
 *    only those of the VM whose vcore is the core's first one; vcpus of other
 *    VMs, on split cores, are sent to virtual mode. The latter covers what
 *    tce_free_deferred() frees: regions, their index, the groups of a table.
 */

#include <linux/kvm_host.h>
#include <linux/rculist.h>

#include <asm/hvcall.h>
#include <asm/kvm_book3s.h>
#include <asm/kvm_ppc.h>
#include <asm/paca.h>
#include <asm/tce_check.h>
#include <asm/tce_list.h>

#include "book3s_64_vio.h"
#include "book3s_64_vio_template.h"

static struct kvmppc_liobn *find_liobn(struct kvm_vcpu *vcpu, u64 number)
{
	const struct kvm_split_mode *split;
	struct kvm *kvm = vcpu->kvm;
	struct kvmppc_liobn *l;

	split = local_paca->kvm_hstate.kvm_split_mode;
	if (split && split->vc[0]->kvm != kvm)
		return NULL;

	list_for_each_entry_lockless(l, &kvm->arch.spapr_tce_tables, next) {
		if (l->number == number)
			return l;
	}

	return NULL;
}

/* Count how the hypercall ended. */
static long finish(struct kvm_vcpu *vcpu, long ret)
{
	if (ret == H_TOO_HARD)
		vcpu->stat.tce_handed_over++;
	else
		vcpu->stat.tce_real_mode++;

	return ret;
}

static const struct liobn_tables *tables_of(const struct kvmppc_liobn *l)
{
	return rcu_dereference_raw_check(l->tables);
}

static long stuff(struct kvmppc_liobn *l, unsigned long first, u64 tce,
		  unsigned long nr)
{
	if (!liobn_stuff_now(l, tables_of(l), first, nr, tce, true))
		return H_TOO_HARD;

	return H_SUCCESS;
}

static long put_tce(struct kvm_vcpu *vcpu, unsigned long liobn,
		    unsigned long ioba, unsigned long tce)
{
	struct kvmppc_liobn *l = find_liobn(vcpu, liobn);
	struct tce_memory memory = { 0 };
	struct liobn_guest guest;
	unsigned long first;
	u64 ua;

	if (!l)
		return H_TOO_HARD;

	if (!kvmppc_liobn_has(l, ioba, 1))
		return H_PARAMETER;

	first = ioba >> l->page_shift;
	if (!(tce & TCE_PERM_MASK))
		return stuff(l, first, tce, 1);

	guest.l = l;
	guest.slots = kvm_memslots_raw(vcpu->kvm);
	if (!liobn_to_ua(&guest, &memory, tce, &ua) ||
	    !liobn_put_one_now(l, tables_of(l), first, tce, ua, true))
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
			       const struct liobn_tables *tables,
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

static long put_list(struct kvm_vcpu *vcpu, struct kvmppc_liobn *l,
		     unsigned long first, unsigned long tce_list,
		     unsigned long nr)
{
	struct kvm_memslots *slots = kvm_memslots_raw(vcpu->kvm);
	const struct liobn_tables *tables = tables_of(l);
	struct liobn_list *list = vcpu->arch.tce_list;
	struct mm_iommu_region *region;
	const __be64 *tces;
	int ret;

	if (!list)
		return H_TOO_HARD;

	tces = find_list(slots, tables, tce_list, &region);
	if (!tces)
		return H_TOO_HARD;

	ret = liobn_put_now(l, slots, tables, first, nr, tces, list, true);
	mm_iommu_drop(region, 1);

	return ret ? H_TOO_HARD : H_SUCCESS;
}

static long put_tce_indirect(struct kvm_vcpu *vcpu, unsigned long liobn,
			     unsigned long ioba, unsigned long tce_list,
			     unsigned long npages)
{
	struct kvmppc_liobn *l = find_liobn(vcpu, liobn);

	if (!l)
		return H_TOO_HARD;

	if (npages > TCE_LIST_MAX || tce_list & (TCE_LIST_BYTES - 1) ||
	    !kvmppc_liobn_has(l, ioba, npages))
		return H_PARAMETER;

	if (!npages)
		return H_SUCCESS;

	return put_list(vcpu, l, ioba >> l->page_shift, tce_list, npages);
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
	struct kvmppc_liobn *l = find_liobn(vcpu, liobn);

	if (!l)
		return H_TOO_HARD;

	if (tce_value & TCE_PERM_MASK || !kvmppc_liobn_has(l, ioba, npages))
		return H_PARAMETER;

	if (!npages)
		return H_SUCCESS;

	if (npages > TCE_LIST_MAX)
		return H_TOO_HARD;

	return stuff(l, ioba >> l->page_shift, tce_value, npages);
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
	struct kvmppc_liobn *l = find_liobn(vcpu, liobn);
	u64 *entry;

	if (!l)
		return H_TOO_HARD;

	if (!kvmppc_liobn_has(l, ioba, 1))
		return H_PARAMETER;

	entry = kvmppc_liobn_tce(l, (ioba >> l->page_shift) - l->offset);
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
