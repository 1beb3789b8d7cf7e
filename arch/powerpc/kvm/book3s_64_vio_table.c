// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * LIOBNs of a guest: its tables, their memory, locks and files.
 *
 * A table is made by KVM_CREATE_SPAPR_TCE_64 and lives as long as its file. The
 * VM lives as long as any of its tables. Pages of a table are allocated when the
 * guest or user space first touch them; what they may come to is charged before.
 *
 * Locks cover blocks of entries, so that the guest's table and the hardware
 * tables always tell the same. They are taken in ascending order. Real mode
 * takes them as well, if they are free: book3s_64_vio_hv.c.
 *
 * The VM's spapr_tce_lock guards its list of LIOBNs, and their attachments.
 * Nothing is allocated under it: memory of one process may be short for long.
 */

#include <linux/anon_inodes.h>
#include <linux/cleanup.h>
#include <linux/file.h>
#include <linux/kvm_host.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/rculist.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include <asm/kvm_ppc.h>
#include <asm/mm_iommu.h>

#include "book3s_64_vio.h"

/* Looks at a lock before going to sleep: longer than changing a list takes. */
#define LIOBN_LOCK_SPINS	2000

/* Memory */

static unsigned long table_pages(u64 size)
{
	return DIV_ROUND_UP(size, LIOBN_TCES_PER_PAGE);
}

static unsigned long table_nodes(u64 size)
{
	return DIV_ROUND_UP(table_pages(size), LIOBN_NODE_PAGES);
}

/* Pages to charge for a table: what it takes when all of it is in use. */
static unsigned long table_cost(u64 size)
{
	unsigned long nodes = table_nodes(size), bytes;

	bytes = struct_size_t(struct kvmppc_liobn, node, nodes) +
		nodes * sizeof(struct liobn_node);

	return table_pages(size) + DIV_ROUND_UP(bytes, PAGE_SIZE);
}

static void free_node(struct liobn_node *node)
{
	unsigned long i;

	if (!node)
		return;

	for (i = 0; i < LIOBN_NODE_PAGES; i++)
		free_page((unsigned long)node->page[i]);
	kfree(node);
	cond_resched();
}

static void free_liobn(struct kvmppc_liobn *l)
{
	unsigned long i;

	for (i = 0; i < l->nr_nodes; i++)
		free_node(l->node[i]);
	kfree(l);
}

/* Where the page of an entry is kept, having a node for it. */
static u64 **grow_page_slot(struct kvmppc_liobn *l, unsigned long index)
{
	unsigned long i = index / LIOBN_TCES_PER_PAGE >> LIOBN_NODE_SHIFT;
	struct liobn_node *node;

	if (!READ_ONCE(l->node[i])) {
		node = kzalloc(sizeof(*node), GFP_KERNEL_ACCOUNT);
		if (!node)
			return NULL;
		if (cmpxchg(&l->node[i], NULL, node))
			kfree(node);
	}

	return kvmppc_liobn_page(l, index);
}

/* The page of an entry, made if there is none; NULL without memory. */
static u64 *grow_page(struct kvmppc_liobn *l, unsigned long index)
{
	u64 **slot = grow_page_slot(l, index), *page;

	if (!slot)
		return NULL;

	if (!READ_ONCE(*slot)) {
		page = (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
		if (!page)
			return NULL;
		if (cmpxchg(slot, NULL, page))
			free_page((unsigned long)page);
	}

	return READ_ONCE(*slot);
}

/**
 * kvmppc_liobn_grow - have memory for entries of a guest's table
 * @l: the LIOBN
 * @index: the first one, from 0
 * @nr: how many, at least 1
 *
 * Context: May sleep.
 * Return: 0 or -ENOMEM. What was allocated stays, since it was charged.
 */
int kvmppc_liobn_grow(struct kvmppc_liobn *l, unsigned long index,
		      unsigned long nr)
{
	unsigned long last = index + nr - 1;

	for (;;) {
		if (!grow_page(l, index))
			return -ENOMEM;
		index |= LIOBN_TCES_PER_PAGE - 1;
		if (index >= last)
			return 0;
		index++;
		cond_resched();
	}
}

/* Locks */

/* Real mode unlocks without waking anyone: look again after a tick. */
static void lock_one(struct kvmppc_liobn *l, unsigned int i)
{
	unsigned int spins;

	for (spins = 0; spins < LIOBN_LOCK_SPINS; spins++) {
		if (liobn_trylock_one(l, i))
			return;
		cpu_relax();
	}

	while (!wait_event_timeout(l->wait, liobn_trylock_one(l, i), 1))
		;
}

/*
 * The locks of a range are @first to @last, or, when it wraps around, 0 to
 * @last and @first to the end. True if lock @i is one of them.
 */
static bool lock_is_in(unsigned int i, unsigned int first, unsigned int last)
{
	return first <= last ? i >= first && i <= last :
			       i >= first || i <= last;
}

static void lock_range_ends(unsigned long index, unsigned long nr,
			    unsigned int *first, unsigned int *last)
{
	unsigned long blocks = ((index + nr - 1) >> LIOBN_BLOCK_SHIFT) -
			       (index >> LIOBN_BLOCK_SHIFT) + 1;

	*first = 0;
	*last = LIOBN_NR_LOCKS - 1;
	if (blocks < LIOBN_NR_LOCKS) {
		*first = liobn_lock_of(index);
		*last = liobn_lock_of(index + nr - 1);
	}
}

/**
 * kvmppc_liobn_lock - keep others from changing entries
 * @l: the LIOBN
 * @index: the first one, from 0
 * @nr: how many, at least 1
 *
 * Context: May sleep; no other entries of the LIOBN are locked.
 */
void kvmppc_liobn_lock(struct kvmppc_liobn *l, unsigned long index,
		       unsigned long nr)
{
	unsigned int first, last, i;

	lock_range_ends(index, nr, &first, &last);
	if (first == last) {
		lock_one(l, first);
		return;
	}

	for (i = 0; i < LIOBN_NR_LOCKS; i++) {
		if (lock_is_in(i, first, last))
			lock_one(l, i);
	}
}

/**
 * kvmppc_liobn_wake_up - tell those that wait for a lock that one is free
 * @l: the LIOBN
 *
 * Context: Any but real mode, without locks of the LIOBN.
 */
void kvmppc_liobn_wake_up(struct kvmppc_liobn *l)
{
	if (wq_has_sleeper(&l->wait))
		wake_up_all(&l->wait);
}

/**
 * kvmppc_liobn_unlock - undo kvmppc_liobn_lock()
 * @l: the LIOBN
 * @index: the first one, from 0
 * @nr: how many, at least 1
 *
 * Context: Any but real mode.
 */
void kvmppc_liobn_unlock(struct kvmppc_liobn *l, unsigned long index,
			 unsigned long nr)
{
	unsigned int first, last, i;

	lock_range_ends(index, nr, &first, &last);
	for (i = first; ; i = (i + 1) % LIOBN_NR_LOCKS) {
		liobn_unlock_one(l, i);
		if (i == last)
			break;
	}

	kvmppc_liobn_wake_up(l);
}

/* The file */

static vm_fault_t liobn_fault(struct vm_fault *vmf)
{
	struct kvmppc_liobn *l = vmf->vma->vm_file->private_data;
	u64 *page;

	if (vmf->pgoff >= table_pages(l->size))
		return VM_FAULT_SIGBUS;

	page = grow_page(l, vmf->pgoff * LIOBN_TCES_PER_PAGE);
	if (!page)
		return VM_FAULT_OOM;

	vmf->page = virt_to_page(page);
	get_page(vmf->page);

	return 0;
}

static const struct vm_operations_struct liobn_vm_ops = {
	.fault	= liobn_fault,
};

static int liobn_mmap(struct file *file, struct vm_area_struct *vma)
{
	vma->vm_ops = &liobn_vm_ops;

	return 0;
}

/* No hypercall finds the LIOBN from here on, though some may still use it. */
static void unlink_liobn(struct kvmppc_liobn *l)
{
	guard(mutex)(&l->kvm->arch.spapr_tce_lock);
	list_del_rcu(&l->next);
}

static int liobn_release(struct inode *inode, struct file *file)
{
	struct kvmppc_liobn *l = file->private_data;
	struct kvm *kvm = l->kvm;

	unlink_liobn(l);
	kvmppc_liobn_detach_all(l);
	account_locked_vm(kvm->mm, table_cost(l->size), false);
	free_liobn(l);
	kvm_put_kvm(kvm);

	return 0;
}

static const struct file_operations liobn_fops = {
	.owner		= THIS_MODULE,
	.mmap		= liobn_mmap,
	.release	= liobn_release,
};

/**
 * kvmppc_liobn_of_file - which LIOBN a file is
 * @file: any file
 *
 * Context: Any.
 * Return: the LIOBN, for as long as there is a reference to the file; NULL if it
 *	   is another kind of file.
 */
struct kvmppc_liobn *kvmppc_liobn_of_file(const struct file *file)
{
	return file->f_op == &liobn_fops ? file->private_data : NULL;
}

static struct kvmppc_liobn *
alloc_liobn(struct kvm *kvm, const struct kvm_create_spapr_tce_64 *args)
{
	unsigned long nr_nodes = table_nodes(args->size);
	struct kvmppc_liobn *l;

	/* As large as the process asks for, so without a warning. */
	l = kzalloc(struct_size(l, node, nr_nodes),
		    GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!l)
		return NULL;

	l->kvm = kvm;
	l->number = args->liobn;
	l->page_shift = args->page_shift;
	l->offset = args->offset;
	l->size = args->size;
	l->nr_nodes = nr_nodes;
	INIT_LIST_HEAD(&l->attachments);
	init_waitqueue_head(&l->wait);

	return l;
}

static bool number_is_used(struct kvm *kvm, u64 number)
{
	struct kvmppc_liobn *l;

	list_for_each_entry(l, &kvm->arch.spapr_tce_tables, next) {
		if (l->number == number)
			return true;
	}

	return false;
}

/* Add a LIOBN to its VM. */
static int link_liobn(struct kvmppc_liobn *l)
{
	struct kvm *kvm = l->kvm;

	guard(mutex)(&kvm->arch.spapr_tce_lock);
	if (number_is_used(kvm, l->number))
		return -EBUSY;
	list_add_rcu(&l->next, &kvm->arch.spapr_tce_tables);

	return 0;
}

/* The file owns the LIOBN, which is in its VM's list, and keeps the VM. */
static struct file *open_liobn(struct kvmppc_liobn *l)
{
	struct file *file;

	file = anon_inode_getfile("kvm-spapr-tce", &liobn_fops, l, O_RDWR);
	if (!IS_ERR(file))
		kvm_get_kvm(l->kvm);

	return file;
}

static bool create_args_are_valid(const struct kvm_create_spapr_tce_64 *args)
{
	u64 end;

	return args->size && args->page_shift >= 12 && args->page_shift <= 34 &&
	       !check_add_overflow(args->offset, args->size, &end) &&
	       end <= ULLONG_MAX >> args->page_shift;
}

/**
 * kvm_vm_ioctl_create_spapr_tce - KVM_CREATE_SPAPR_TCE_64: make a LIOBN
 * @kvm: the VM
 * @args: number, page size, and first entry and size in entries
 *
 * The table is charged to locked_vm with all that it may take, until its file
 * is released; memory is allocated as the guest or user space touch it.
 *
 * Context: May sleep.
 * Return: a file descriptor, through which user space can map the table;
 *	   -EINVAL  no table can be like this
 *	   -EBUSY   the VM has this LIOBN
 *	   -ENOMEM  no memory, or over the limit of locked memory
 *
 *	   or that there is no file to be had
 */
int kvm_vm_ioctl_create_spapr_tce(struct kvm *kvm,
				  struct kvm_create_spapr_tce_64 *args)
{
	struct kvmppc_liobn *l;
	struct file *file;
	int fd, ret;

	if (!create_args_are_valid(args))
		return -EINVAL;

	ret = mm_iommu_charge(kvm->mm, table_cost(args->size));
	if (ret)
		return ret;

	ret = -ENOMEM;
	l = alloc_liobn(kvm, args);
	if (!l)
		goto uncharge;

	fd = get_unused_fd_flags(O_RDWR | O_CLOEXEC);
	ret = fd;
	if (fd < 0)
		goto free;

	ret = link_liobn(l);
	if (ret)
		goto put_fd;

	file = open_liobn(l);
	ret = PTR_ERR_OR_ZERO(file);
	if (ret)
		goto unlink;

	fd_install(fd, file);

	return fd;

unlink:
	unlink_liobn(l);
	kvmppc_liobn_synchronize(kvm);
put_fd:
	put_unused_fd(fd);
free:
	free_liobn(l);
uncharge:
	account_locked_vm(kvm->mm, table_cost(args->size), false);

	return ret;
}
