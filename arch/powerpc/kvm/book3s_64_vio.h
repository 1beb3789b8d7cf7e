/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TCE tables of a guest: what virtual mode and real mode share, and what their
 * memory and attachments offer to hypercalls in virtual mode.
 *
 * A LIOBN (logical I/O bus number) names a TCE table by which a guest gives a
 * bus its DMA addresses. KVM keeps the guest's table, in pages that user space
 * maps to emulate devices, and changes the hardware tables that are attached to
 * it by what the guest writes.
 */
#ifndef _POWERPC_BOOK3S_64_VIO_H
#define _POWERPC_BOOK3S_64_VIO_H

#include <linux/bitops.h>
#include <linux/cache.h>
#include <linux/kvm_host.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/srcu.h>
#include <linux/wait.h>

#include <asm/iommu.h>
#include <asm/tce.h>

#include "../kernel/tce/list.h"

#define TCE_PERM_MASK		((unsigned long)(TCE_PCI_READ | TCE_PCI_WRITE))

/* PAPR, H_PUT_TCE_INDIRECT: TCE_LIST_MAX entries fill a page of 4 KiB. */
#define TCE_LIST_BYTES		4096UL

#define GUEST_TCES_PER_PAGE	(PAGE_SIZE / sizeof(u64))

/* Pointers to pages in one node of 4 KiB. */
#define GUEST_NODE_SHIFT	9
#define GUEST_NODE_PAGES	BIT(GUEST_NODE_SHIFT)

/* Entries that share a lock; a list touches two such blocks at most. */
#define GUEST_BLOCK_SHIFT	9

/* Locks of a table, which its blocks share; the words are spread. */
#define GUEST_LOCK_WORDS	8
#define GUEST_NR_LOCKS		(GUEST_LOCK_WORDS * BITS_PER_LONG)

/* LIOBNs of a VM that are looked at without rescheduling. */
#define GUEST_LOOK_LIOBNS	1024

/**
 * struct guest_node - pages of a guest's table
 * @page: GUEST_TCES_PER_PAGE entries each, in the CPU's byte order; NULL as
 *	  long as all of them are 0
 */
struct guest_node {
	u64 *page[GUEST_NODE_PAGES];
};

/**
 * struct hw_tables - hardware tables that change along with a guest's
 * @next: in a list of those that no hypercall knows, or is to know
 * @nr: elements of @tbl
 * @tbl: the tables; a reference to each is held
 *
 * Replaced as a whole, so that a hypercall that is under way knows which tables
 * it began with.
 */
struct hw_tables {
	struct hw_tables *next;
	unsigned int nr;
	struct iommu_table *tbl[];
};

/**
 * struct guest_lock_word - locks, in a cache line of their own
 * @bits: one lock a bit
 */
struct guest_lock_word {
	unsigned long bits;
} ____cacheline_aligned;

/**
 * struct kvmppc_tce_table - a guest's table, which a LIOBN names
 * @next: in the VM's list
 * @kvm: the VM, with a reference
 * @number: by which the guest calls it
 * @page_shift: size of the pages that an entry stands for
 * @offset: first entry: bus address >> @page_shift
 * @size: how many entries
 * @tables: hardware tables; NULL if none
 * @spare: as many of those to come, each large enough for one less than before
 * @attachments: what else is known of them
 * @wait: for those that wait for a lock
 * @locks: for changing entries, here and in the hardware tables
 * @nr_nodes: elements of @node
 * @node: pages of the table, from when they are first needed
 *
 * All but @spare, @attachments and @wait may be read in real mode.
 */
struct kvmppc_tce_table {
	struct list_head next;
	struct kvm *kvm;
	u64 number;
	u32 page_shift;
	u64 offset;
	u64 size;
	struct hw_tables __rcu *tables;
	struct hw_tables *spare;
	struct list_head attachments;
	wait_queue_head_t wait;
	struct guest_lock_word locks[GUEST_LOCK_WORDS];
	unsigned long nr_nodes;
	struct guest_node *node[];
};

/**
 * struct guest_list - a list that a guest wants to be written
 * @tce: what the guest wrote, copied once
 * @ua: userspace addresses of that, with permission bits
 * @hw_ua: the same for each entry of a hardware table with smaller pages
 * @hw_tce: what becomes of them in that table
 *
 * One for each vCPU, which has one hypercall at a time; allocated in virtual
 * mode by the first hypercall that wants one.
 */
struct guest_list {
	u64 tce[TCE_LIST_MAX];
	u64 ua[TCE_LIST_MAX];
	u64 hw_ua[TCE_LIST_MAX];
	u64 hw_tce[TCE_LIST_MAX];
};

/**
 * kvmppc_tce_page - where the page of an entry is kept
 * @t: the guest's table
 * @index: the entry, from 0
 *
 * It is the guest's number, checked by a branch that a CPU may have guessed.
 *
 * Context: Any, real mode included.
 * Return: NULL if there is no such node.
 */
static __always_inline u64 **kvmppc_tce_page(const struct kvmppc_tce_table *t,
					     unsigned long index)
{
	unsigned long page = index / GUEST_TCES_PER_PAGE;
	unsigned long i = array_index_nospec(page >> GUEST_NODE_SHIFT,
					     t->nr_nodes);
	struct guest_node *node = READ_ONCE(t->node[i]);

	return node ? &node->page[page & (GUEST_NODE_PAGES - 1)] : NULL;
}

/**
 * kvmppc_tce_entry - find an entry of a guest's table
 * @t: the guest's table
 * @index: the entry, from 0
 *
 * Context: Any, real mode included.
 * Return: the entry; NULL if it has no memory yet and so is 0.
 */
static __always_inline u64 *kvmppc_tce_entry(const struct kvmppc_tce_table *t,
					     unsigned long index)
{
	u64 **slot = kvmppc_tce_page(t, index), *page;

	if (!slot)
		return NULL;
	page = READ_ONCE(*slot);

	return page ? page + index % GUEST_TCES_PER_PAGE : NULL;
}

/* How many of @nr entries from @index on are in one page. */
static __always_inline unsigned long guest_in_page(unsigned long index,
						   unsigned long nr)
{
	return min(nr, GUEST_TCES_PER_PAGE - index % GUEST_TCES_PER_PAGE);
}

/**
 * kvmppc_tce_has - are entries in a table
 * @t: the guest's table
 * @ioba: bus address of the first one
 * @nr: how many
 *
 * Context: Any, real mode included.
 * Return: false if @ioba is not aligned to the table's page size, or any of
 *	   the entries is not in the table.
 */
static __always_inline bool kvmppc_tce_has(const struct kvmppc_tce_table *t,
					   unsigned long ioba,
					   unsigned long nr)
{
	unsigned long entry = ioba >> t->page_shift;

	return !(ioba & ((1UL << t->page_shift) - 1)) &&
	       entry >= t->offset && nr <= t->size &&
	       entry - t->offset <= t->size - nr;
}

/* How many entries of a hardware table one of the guest's stands for, log2. */
static __always_inline unsigned int
guest_sub_shift(const struct kvmppc_tce_table *t, const struct iommu_table *tbl)
{
	return t->page_shift - tbl->it_page_shift;
}

/**
 * struct guest_slots - for guest_find_memory(): what guest addresses are
 * @t: the table that they are for
 * @slots: the memslots of the VM
 */
struct guest_slots {
	const struct kvmppc_tce_table *t;
	struct kvm_memslots *slots;
};

/* As tce_find_memory_t: memory that pages of the table can be in. */
static __always_inline bool guest_find_memory(const void *data,
					      struct tce_memory *memory,
					      u64 tce)
{
	unsigned long gpa = tce & ~TCE_PERM_MASK, gfn = gpa >> PAGE_SHIFT;
	const struct guest_slots *guest = data;
	unsigned long page = 1UL << guest->t->page_shift, bytes;
	const struct kvm_memory_slot *slot;

	slot = __gfn_to_memslot(guest->slots, gfn);
	if (!slot || slot->flags & KVM_MEMSLOT_INVALID)
		return false;

	bytes = slot->npages << PAGE_SHIFT;
	if (bytes < page)
		return false;

	memory->gpa = slot->base_gfn << PAGE_SHIFT;
	memory->bytes = bytes - page + TCE_PERM_MASK + 1;
	memory->delta = __gfn_to_hva_memslot(slot, gfn) - (gfn << PAGE_SHIFT);

	return gpa - memory->gpa < memory->bytes;
}

/**
 * guest_to_ua - find the page of an entry
 * @guest: the guest's table and the memslots of its VM
 * @memory: where the last entry was, all 0 at first
 * @tce: the entry
 * @ua: where its userspace address and permission bits go; 0 without those
 *
 * Context: Any, real mode included.
 * Return: false if the page is not aligned, or not in one memslot.
 */
static __always_inline bool guest_to_ua(const struct guest_slots *guest,
					struct tce_memory *memory, u64 tce,
					u64 *ua)
{
	if (!(tce & TCE_PERM_MASK)) {
		*ua = 0;
		return true;
	}

	if (tce & ((1UL << guest->t->page_shift) - 1) & ~TCE_PERM_MASK)
		return false;

	if (tce - memory->gpa >= memory->bytes &&
	    !guest_find_memory(guest, memory, tce))
		return false;

	*ua = tce + memory->delta;

	return true;
}

static __always_inline bool guest_trylock_one(struct kvmppc_tce_table *t,
					      unsigned int i)
{
	return !test_and_set_bit_lock(i / GUEST_LOCK_WORDS,
				      &t->locks[i % GUEST_LOCK_WORDS].bits);
}

static __always_inline void guest_unlock_one(struct kvmppc_tce_table *t,
					     unsigned int i)
{
	clear_bit_unlock(i / GUEST_LOCK_WORDS,
			 &t->locks[i % GUEST_LOCK_WORDS].bits);
}

static __always_inline unsigned int guest_lock_of(unsigned long index)
{
	return (index >> GUEST_BLOCK_SHIFT) & (GUEST_NR_LOCKS - 1);
}

/* book3s_64_vio_table.c */

int kvmppc_tce_grow(struct kvmppc_tce_table *t, unsigned long index,
		    unsigned long nr);
void kvmppc_tce_lock(struct kvmppc_tce_table *t, unsigned long index,
		     unsigned long nr);
void kvmppc_tce_unlock(struct kvmppc_tce_table *t, unsigned long index,
		       unsigned long nr);
void kvmppc_tce_wake_up(struct kvmppc_tce_table *t);
struct kvmppc_tce_table *kvmppc_tce_table_of_file(const struct file *file);

/* Wait for all hypercalls of the VM that are under way. */
static inline void kvmppc_tce_synchronize(struct kvm *kvm)
{
	synchronize_srcu_expedited(&kvm->srcu);
}

/* book3s_64_vio_attach.c */

void kvmppc_tce_detach_all(struct kvmppc_tce_table *t);

#endif /* _POWERPC_BOOK3S_64_VIO_H */
