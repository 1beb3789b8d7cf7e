// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * LIOBNs of a guest: its tables, their memory, locks and files.
 *
 * A table is made by KVM_CREATE_SPAPR_TCE_64 and lives as long as its file. The
 * VM lives as long as any of its tables. Pages of a table are allocated when
 * the guest or user space first touch them; what they may come to is charged
 * before.
 *
 * Locks cover blocks of entries, so that the guest's table and the hardware
 * tables always tell the same, unless a hypervisor refuses to clear an entry.
 * They are taken in ascending order. Real mode takes them as well, if they are
 * free: book3s_64_vio_hv.c.
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
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <asm/kvm_ppc.h>
#include <asm/mm_iommu.h>
#include <asm/paravirt.h>

#include "book3s_64_vio.h"

/* Looks at a lock before going to sleep: longer than changing a list takes. */
#define GUEST_LOCK_SPINS	2000

/* Memory */

static unsigned long table_pages(u64 size)
{
	return DIV_ROUND_UP(size, GUEST_TCES_PER_PAGE);
}

static unsigned long table_nodes(u64 size)
{
	return DIV_ROUND_UP(table_pages(size), GUEST_NODE_PAGES);
}

/* Pages to charge for a table: what it takes when all of it is in use. */
static unsigned long table_cost(u64 size)
{
	unsigned long nodes = table_nodes(size), bytes;

	bytes = struct_size_t(struct kvmppc_tce_table, node, nodes) +
		nodes * sizeof(struct guest_node);

	return table_pages(size) + DIV_ROUND_UP(bytes, PAGE_SIZE);
}

static void free_node(struct guest_node *node)
{
	unsigned long i;

	if (!node)
		return;

	for (i = 0; i < GUEST_NODE_PAGES; i++)
		free_page((unsigned long)node->page[i]);
	kfree(node);
	cond_resched();
}

static void free_table(struct kvmppc_tce_table *t)
{
	unsigned long i;

	for (i = 0; i < t->nr_nodes; i++)
		free_node(t->node[i]);
	kfree(t);
}

/* Where the page of an entry is kept, having a node for it. */
static u64 **grow_page_slot(struct kvmppc_tce_table *t, unsigned long index)
{
	unsigned long i = index / GUEST_TCES_PER_PAGE >> GUEST_NODE_SHIFT;
	struct guest_node *node;

	if (!READ_ONCE(t->node[i])) {
		node = kzalloc(sizeof(*node), GFP_KERNEL_ACCOUNT);
		if (!node)
			return NULL;
		if (cmpxchg(&t->node[i], NULL, node))
			kfree(node);
	}

	return kvmppc_tce_page(t, index);
}

/* The page of an entry, made if there is none; NULL without memory. */
static u64 *grow_page(struct kvmppc_tce_table *t, unsigned long index)
{
	u64 **slot = grow_page_slot(t, index), *page;

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
 * kvmppc_tce_grow - have memory for entries of a guest's table
 * @t: the guest's table
 * @index: the first one, from 0
 * @nr: how many, at least 1
 *
 * Context: May sleep.
 * Return: 0; -ENOMEM without memory; -EINTR if the process is being killed,
 *	   because a table can have gigabytes. Pages stay, because they were
 *	   charged.
 */
int kvmppc_tce_grow(struct kvmppc_tce_table *t, unsigned long index,
		    unsigned long nr)
{
	unsigned long last = index + nr - 1;

	for (;;) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (!grow_page(t, index))
			return -ENOMEM;
		index |= GUEST_TCES_PER_PAGE - 1;
		if (index >= last)
			return 0;
		index++;
		cond_resched();
	}
}

/* Locks */

/*
 * Real mode unlocks without waking anyone: look again after a tick. On a shared
 * processor spinning may keep the holder from running: a CPU that sleeps gives
 * its time back.
 */
static void lock_one(struct kvmppc_tce_table *t, unsigned int i)
{
	unsigned int most = is_shared_processor() ? 1 : GUEST_LOCK_SPINS, spins;

	for (spins = 0; spins < most; spins++) {
		if (guest_trylock_one(t, i))
			return;
		cpu_relax();
	}

	while (!wait_event_timeout(t->wait, guest_trylock_one(t, i), 1))
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
	unsigned long blocks = ((index + nr - 1) >> GUEST_BLOCK_SHIFT) -
			       (index >> GUEST_BLOCK_SHIFT) + 1;

	*first = 0;
	*last = GUEST_NR_LOCKS - 1;
	if (blocks < GUEST_NR_LOCKS) {
		*first = guest_lock_of(index);
		*last = guest_lock_of(index + nr - 1);
	}
}

/**
 * kvmppc_tce_lock - keep others from changing entries
 * @t: the guest's table
 * @index: the first one, from 0
 * @nr: how many, at least 1
 *
 * Context: May sleep; no other entries of the LIOBN are locked.
 */
void kvmppc_tce_lock(struct kvmppc_tce_table *t, unsigned long index,
		     unsigned long nr)
{
	unsigned int first, last, i;

	lock_range_ends(index, nr, &first, &last);
	if (first == last) {
		lock_one(t, first);
		return;
	}

	for (i = 0; i < GUEST_NR_LOCKS; i++) {
		if (lock_is_in(i, first, last))
			lock_one(t, i);
	}
}

/**
 * kvmppc_tce_wake_up - tell those that wait for a lock that one is free
 * @t: the guest's table
 *
 * Context: Any but real mode, without locks of the LIOBN.
 */
void kvmppc_tce_wake_up(struct kvmppc_tce_table *t)
{
	if (wq_has_sleeper(&t->wait))
		wake_up_all(&t->wait);
}

/**
 * kvmppc_tce_unlock - undo kvmppc_tce_lock()
 * @t: the guest's table
 * @index: the first one, from 0
 * @nr: how many, at least 1
 *
 * Context: Any but real mode.
 */
void kvmppc_tce_unlock(struct kvmppc_tce_table *t, unsigned long index,
		       unsigned long nr)
{
	unsigned int first, last, i;

	lock_range_ends(index, nr, &first, &last);
	for (i = first; ; i = (i + 1) % GUEST_NR_LOCKS) {
		guest_unlock_one(t, i);
		if (i == last)
			break;
	}

	kvmppc_tce_wake_up(t);
}

/* The file */

static vm_fault_t table_fault(struct vm_fault *vmf)
{
	struct kvmppc_tce_table *t = vmf->vma->vm_file->private_data;
	u64 *page;

	if (vmf->pgoff >= table_pages(t->size))
		return VM_FAULT_SIGBUS;

	page = grow_page(t, vmf->pgoff * GUEST_TCES_PER_PAGE);
	if (!page)
		return VM_FAULT_OOM;

	vmf->page = virt_to_page(page);
	get_page(vmf->page);

	return 0;
}

static const struct vm_operations_struct table_vm_ops = {
	.fault	= table_fault,
};

static int table_mmap(struct file *file, struct vm_area_struct *vma)
{
	vma->vm_ops = &table_vm_ops;

	return 0;
}

/* No hypercall finds the LIOBN from here on, though some may still use it. */
static void unlink_table(struct kvmppc_tce_table *t)
{
	guard(mutex)(&t->kvm->arch.spapr_tce_lock);
	list_del_rcu(&t->next);
}

static int table_release(struct inode *inode, struct file *file)
{
	struct kvmppc_tce_table *t = file->private_data;
	struct kvm *kvm = t->kvm;

	unlink_table(t);
	kvmppc_tce_detach_all(t);
	account_locked_vm(kvm->mm, table_cost(t->size), false);
	free_table(t);
	kvm_put_kvm(kvm);

	return 0;
}

static const struct file_operations table_fops = {
	.owner		= THIS_MODULE,
	.mmap		= table_mmap,
	.release	= table_release,
};

/**
 * kvmppc_tce_table_of_file - which LIOBN a file is
 * @file: any file
 *
 * Context: Any.
 * Return: the LIOBN, for as long as there is a reference to the file; NULL if
 *	   it is another kind of file.
 */
struct kvmppc_tce_table *kvmppc_tce_table_of_file(const struct file *file)
{
	return file->f_op == &table_fops ? file->private_data : NULL;
}

static struct kvmppc_tce_table *
alloc_table(struct kvm *kvm, const struct kvm_create_spapr_tce_64 *args)
{
	unsigned long nr_nodes = table_nodes(args->size);
	struct kvmppc_tce_table *t;

	/* As large as the process asks for, so without a warning. */
	t = kzalloc(struct_size(t, node, nr_nodes),
		    GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!t)
		return NULL;

	t->kvm = kvm;
	t->number = args->liobn;
	t->page_shift = args->page_shift;
	t->offset = args->offset;
	t->size = args->size;
	t->nr_nodes = nr_nodes;
	INIT_LIST_HEAD(&t->attachments);
	init_waitqueue_head(&t->wait);

	return t;
}

static bool number_is_used(struct kvm *kvm, u64 number)
{
	struct kvmppc_tce_table *t;
	unsigned int looked = 0;

	list_for_each_entry(t, &kvm->arch.spapr_tce_tables, next) {
		if (t->number == number)
			return true;
		if (!(++looked % GUEST_LOOK_LIOBNS))
			cond_resched();
	}

	return false;
}

/* Add a LIOBN to its VM. */
static int link_table(struct kvmppc_tce_table *t)
{
	struct kvm *kvm = t->kvm;

	guard(mutex)(&kvm->arch.spapr_tce_lock);
	if (number_is_used(kvm, t->number))
		return -EBUSY;
	list_add_rcu(&t->next, &kvm->arch.spapr_tce_tables);

	return 0;
}

/* The file owns the LIOBN, which is in its VM's list, and keeps the VM. */
static struct file *open_table(struct kvmppc_tce_table *t)
{
	struct file *file;

	file = anon_inode_getfile("kvm-spapr-tce", &table_fops, t, O_RDWR);
	if (!IS_ERR(file))
		kvm_get_kvm(t->kvm);

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
 *	   -EINTR   killed
 *
 *	   or that no file can be opened
 */
int kvm_vm_ioctl_create_spapr_tce(struct kvm *kvm,
				  struct kvm_create_spapr_tce_64 *args)
{
	struct kvmppc_tce_table *t;
	struct file *file;
	int fd, ret;

	if (!create_args_are_valid(args))
		return -EINVAL;

	ret = mm_iommu_charge(kvm->mm, table_cost(args->size));
	if (ret)
		return ret;

	ret = -ENOMEM;
	t = alloc_table(kvm, args);
	if (!t)
		goto uncharge;

	fd = get_unused_fd_flags(O_RDWR | O_CLOEXEC);
	ret = fd;
	if (fd < 0)
		goto free;

	ret = link_table(t);
	if (ret)
		goto put_fd;

	file = open_table(t);
	ret = PTR_ERR_OR_ZERO(file);
	if (ret)
		goto unlink;

	fd_install(fd, file);

	return fd;

unlink:
	unlink_table(t);
	kvmppc_tce_synchronize(kvm);
put_fd:
	put_unused_fd(fd);
free:
	free_table(t);
uncharge:
	account_locked_vm(kvm->mm, table_cost(args->size), false);

	return ret;
}
