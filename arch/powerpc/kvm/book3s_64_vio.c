// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * LIOBNs of a guest, and the hypercalls that change them, in virtual mode.
 *
 * A hypercall is validated whole, with its list copied once, before anything
 * changes. Then all that can fail is done for all attached tables: entries are
 * counted in their regions, memory is allocated. What is left cannot fail: it
 * is done chunk by chunk of each table (see tce/view.h), with one invalidation
 * for each. All that a list has for a chunk is written under one lock of it, so
 * nothing comes in between.
 *
 * Most hypercalls are over before that, for they change what there is memory for
 * and nobody else is at: book3s_64_vio_try.h.
 *
 * Entries of hardware tables change along with the guest's under locks that
 * cover blocks of the guest's entries, so that both always tell the same,
 * whatever hypercalls run at the same time. Locks are taken in ascending order.
 * Real mode takes them as well, if they are free: book3s_64_vio_hv.c.
 *
 * No device reaches memory of a guest that is gone: the VM lives as long as any
 * of its LIOBNs, and when a LIOBN lets a hardware table go, all entries of its
 * range are unmapped there, by whomever they were mapped, as if the guest had
 * cleared its table last. It lets a table go when its file is closed, or when
 * the VM releases the last group that attached the table. But what other groups
 * use stays mapped: if the window also belongs to a group that the VM does not
 * know, as after one of two groups of a container is unplugged, the LIOBN keeps
 * the table without writing to it, until those groups have left or the LIOBN
 * goes as well.
 *
 * A window that is removed first leaves an attached table that takes nothing
 * any more, and that hypercalls therefore pass over.
 *
 * Hypercalls find LIOBNs and their tables in a read-side section of the VM's
 * srcu, in which they may sleep; real mode is in one whenever a guest runs.
 * What they may hold is freed, or put, after synchronising with it. Everything
 * else is under liobn_mutex.
 */

#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/iommu.h>
#include <linux/kvm_host.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/rculist.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include <asm/hvcall.h>
#include <asm/kvm_ppc.h>
#include <asm/tce_check.h>
#include <asm/tce_owner.h>

#include <trace/events/spapr_tce.h>

#include "book3s_64_vio.h"
#include "book3s_64_vio_try.h"

/* Looks at a lock before going to sleep: longer than changing a list takes. */
#define LIOBN_LOCK_SPINS	2000

/* Entries of the guest's table that are filled without giving way. */
#define LIOBN_FILL_ENTRIES	65536UL

/**
 * struct liobn_attachment - a hardware table that a LIOBN got from a group
 * @next: in the LIOBN's list
 * @tbl: the table, with a reference
 * @entry: first entry of the table that the LIOBN changes
 * @nr: how many
 * @group: the group; only compared. NULL if the VM has released it, and other
 *	   groups use the table: hypercalls do not
 */
struct liobn_attachment {
	struct list_head next;
	struct iommu_table *tbl;
	unsigned long entry;
	unsigned long nr;
	struct iommu_group *group;
};

/* Guards the VMs' lists of LIOBNs, and the LIOBNs' attachments. */
static DEFINE_MUTEX(liobn_mutex);

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

static long grow_pages(struct kvmppc_liobn *l, unsigned long index,
		       unsigned long nr)
{
	unsigned long last = index + nr - 1;

	for (;;) {
		if (!grow_page(l, index))
			return H_RESOURCE;
		index |= LIOBN_TCES_PER_PAGE - 1;
		if (index >= last)
			return H_SUCCESS;
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

static void lock_entries(struct kvmppc_liobn *l, unsigned long index,
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

static void wake_up_lockers(struct kvmppc_liobn *l)
{
	if (wq_has_sleeper(&l->wait))
		wake_up_all(&l->wait);
}

static void unlock_entries(struct kvmppc_liobn *l, unsigned long index,
			   unsigned long nr)
{
	unsigned int first, last, i;

	lock_range_ends(index, nr, &first, &last);
	for (i = first; ; i = (i + 1) % LIOBN_NR_LOCKS) {
		liobn_unlock_one(l, i);
		if (i == last)
			break;
	}

	wake_up_lockers(l);
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

/* Wait for all hypercalls of the VM that are under way. */
static void synchronize_hypercalls(struct kvm *kvm)
{
	synchronize_srcu_expedited(&kvm->srcu);
}

/* No hypercall knows any of these any more. */
static void free_stale(struct liobn_tables *stale)
{
	while (stale) {
		struct liobn_tables *next = stale->stale;

		kfree(stale);
		stale = next;
	}
}

/* No hypercall writes to these tables any more: unmap what they have written. */
static void clear_and_put(struct list_head *gone)
{
	struct liobn_attachment *a, *next;

	list_for_each_entry_safe(a, next, gone, next) {
		tce_unmap(a->tbl, a->entry, a->nr);
		iommu_tce_table_put(a->tbl);
		kfree(a);
	}
}

static int liobn_release(struct inode *inode, struct file *file)
{
	struct kvmppc_liobn *l = file->private_data;
	struct kvm *kvm = l->kvm;

	mutex_lock(&liobn_mutex);
	list_del_rcu(&l->next);
	mutex_unlock(&liobn_mutex);

	synchronize_hypercalls(kvm);
	free_stale(rcu_dereference_protected(l->tables, true));
	clear_and_put(&l->attachments);
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

static struct kvmppc_liobn *alloc_liobn(const struct kvm_create_spapr_tce_64 *args)
{
	unsigned long nr_nodes = table_nodes(args->size);
	struct kvmppc_liobn *l;

	/* As large as the process asks for, so without a warning. */
	l = kzalloc(struct_size(l, node, nr_nodes),
		    GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!l)
		return NULL;

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

/* Add a LIOBN to its VM, owned by a file from here on. */
static struct file *publish(struct kvm *kvm, struct kvmppc_liobn *l)
{
	struct file *file = ERR_PTR(-EBUSY);

	mutex_lock(&liobn_mutex);
	if (!number_is_used(kvm, l->number))
		file = anon_inode_getfile("kvm-spapr-tce", &liobn_fops, l,
					  O_RDWR);
	if (!IS_ERR(file)) {
		kvm_get_kvm(kvm);
		l->kvm = kvm;
		list_add_rcu(&l->next, &kvm->arch.spapr_tce_tables);
	}
	mutex_unlock(&liobn_mutex);

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

	ret = account_locked_vm(kvm->mm, table_cost(args->size), true);
	if (ret)
		return ret;

	ret = -ENOMEM;
	l = alloc_liobn(args);
	if (!l)
		goto uncharge;

	fd = get_unused_fd_flags(O_RDWR | O_CLOEXEC);
	ret = fd;
	if (fd < 0)
		goto free;

	file = publish(kvm, l);
	ret = PTR_ERR_OR_ZERO(file);
	if (ret)
		goto put_fd;

	fd_install(fd, file);

	return fd;

put_fd:
	put_unused_fd(fd);
free:
	free_liobn(l);
uncharge:
	account_locked_vm(kvm->mm, table_cost(args->size), false);

	return ret;
}

/* Attaching */

/* Can what is put in the LIOBN go to the table as well? */
static bool table_fits(const struct kvmppc_liobn *l,
		       const struct iommu_table *tbl)
{
	if (tce_owner_mm(tbl) != l->kvm->mm)
		return false;

	return tbl->it_page_shift <= l->page_shift &&
	       tbl->it_offset << tbl->it_page_shift ==
	       l->offset << l->page_shift &&
	       tbl->it_size << tbl->it_page_shift >= l->size << l->page_shift;
}

/* A window of the group, with a reference to its table; it may be going. */
static struct iommu_table *get_window(struct iommu_table_group *table_group,
				      int num)
{
	struct iommu_table *tbl;

	rcu_read_lock();
	tbl = READ_ONCE(table_group->tables[num]);
	if (tbl)
		tbl = iommu_tce_table_get(tbl);
	rcu_read_unlock();

	return tbl;
}

static struct iommu_table *find_table(const struct kvmppc_liobn *l,
				      struct iommu_table_group *table_group)
{
	int num;

	for (num = 0; num < IOMMU_TABLE_GROUP_MAX_TABLES; num++) {
		struct iommu_table *tbl = get_window(table_group, num);

		if (tbl && table_fits(l, tbl))
			return tbl;
		if (tbl)
			iommu_tce_table_put(tbl);
	}

	return NULL;
}

/* The attachment of a table by a group; without @group, the kept one. */
static struct liobn_attachment *find_attachment(const struct kvmppc_liobn *l,
						const struct iommu_table *tbl,
						const struct iommu_group *group)
{
	struct liobn_attachment *a;

	list_for_each_entry(a, &l->attachments, next) {
		if (a->tbl == tbl && a->group == group)
			return a;
	}

	return NULL;
}

static bool is_attached(const struct kvmppc_liobn *l,
			const struct iommu_table *tbl)
{
	const struct liobn_attachment *a;

	list_for_each_entry(a, &l->attachments, next) {
		if (a->tbl == tbl && a->group)
			return true;
	}

	return false;
}

/* Does the window belong to any group but @group? */
static bool is_used_by_others(const struct iommu_table *tbl,
			      const struct iommu_group *group)
{
	const struct iommu_table_group_link *link;

	guard(rcu)();
	list_for_each_entry_rcu(link, &tbl->it_group_list, next) {
		if (link->table_group->group != group)
			return true;
	}

	return false;
}

/* Make hypercalls use @new; what they may still use joins @stale. */
static void replace_tables(struct kvmppc_liobn *l, struct liobn_tables *new,
			   struct liobn_tables **stale)
{
	struct liobn_tables *old;

	old = rcu_replace_pointer(l->tables, new,
				  lockdep_is_held(&liobn_mutex));
	if (old) {
		old->stale = *stale;
		*stale = old;
	}
}

static int add_table(struct kvmppc_liobn *l, struct iommu_table *tbl,
		     struct liobn_tables **stale)
{
	const struct liobn_tables *old;
	unsigned int nr = 0, i;
	struct liobn_tables *new;

	old = rcu_dereference_protected(l->tables,
					lockdep_is_held(&liobn_mutex));
	if (old)
		nr = old->nr;

	new = kzalloc(struct_size(new, tbl, nr + 1), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;

	for (i = 0; i < nr; i++)
		new->tbl[i] = old->tbl[i];
	new->tbl[nr] = tbl;
	new->nr = nr + 1;
	replace_tables(l, new, stale);

	return 0;
}

/* Detaching must not fail, and the memory is little. */
static void drop_table(struct kvmppc_liobn *l, const struct iommu_table *tbl,
		       struct liobn_tables **stale)
{
	struct liobn_tables *new = NULL;
	const struct liobn_tables *old;
	unsigned int i;

	old = rcu_dereference_protected(l->tables,
					lockdep_is_held(&liobn_mutex));
	if (old->nr > 1) {
		new = kzalloc(struct_size(new, tbl, old->nr - 1),
			      GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
		for (i = 0; i < old->nr; i++) {
			if (old->tbl[i] != tbl)
				new->tbl[new->nr++] = old->tbl[i];
		}
	}
	replace_tables(l, new, stale);
}

static void add_attachment(struct kvmppc_liobn *l, struct liobn_attachment *a,
			   struct iommu_table *tbl)
{
	unsigned int shift = liobn_sub_shift(l, tbl);

	a->tbl = iommu_tce_table_get(tbl);
	a->entry = l->offset << shift;
	a->nr = l->size << shift;
	list_add_tail(&a->next, &l->attachments);
}

static int attach(struct kvmppc_liobn *l, struct iommu_table *tbl,
		  struct iommu_group *group, struct liobn_tables **stale)
{
	struct liobn_attachment *kept, *new = NULL;

	kept = find_attachment(l, tbl, NULL);
	if (!kept) {
		new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
		if (!new)
			return -ENOMEM;
	}

	if (!is_attached(l, tbl) && add_table(l, tbl, stale)) {
		kfree(new);
		return -ENOMEM;
	}

	if (new)
		add_attachment(l, new, tbl);
	(kept ?: new)->group = group;

	return 0;
}

/* Hypercalls no longer write to tables that no other group has attached. */
static void detach_group(struct kvmppc_liobn *l, struct iommu_group *group,
			 struct liobn_tables **stale)
{
	struct liobn_attachment *a, *next;

	list_for_each_entry_safe(a, next, &l->attachments, next) {
		if (a->group != group)
			continue;
		a->group = NULL;
		if (!is_attached(l, a->tbl)) {
			drop_table(l, a->tbl, stale);
			continue;
		}
		list_del(&a->next);
		iommu_tce_table_put(a->tbl);
		kfree(a);
	}
}

/* What the LIOBN keeps, and no group but @group uses, joins @gone. */
static void let_go(struct kvmppc_liobn *l, const struct iommu_group *group,
		   struct list_head *gone)
{
	struct liobn_attachment *a, *next;

	list_for_each_entry_safe(a, next, &l->attachments, next) {
		if (!a->group && !is_used_by_others(a->tbl, group))
			list_move(&a->next, gone);
	}
}

/**
 * kvm_spapr_tce_attach_iommu_group - have a LIOBN change a window of a group
 * @kvm: the VM
 * @tablefd: file descriptor of the LIOBN
 * @grp: the group, which has a window like the LIOBN: it begins at the same bus
 *	 address, is not smaller, and neither are its pages larger, nor does it
 *	 belong to another process or pin pages as they are mapped
 *
 * What is in either of them before stays as it is. Attaching twice is the same
 * as attaching once.
 *
 * Context: May sleep.
 * Return: 0, or with nothing changed:
 *	   -EBADF   no file
 *	   -EINVAL  not a LIOBN of this VM, or no such window
 *	   -EFAULT  not a group with windows
 *	   -ENOMEM  no memory
 */
long kvm_spapr_tce_attach_iommu_group(struct kvm *kvm, int tablefd,
				      struct iommu_group *grp)
{
	struct iommu_table_group *table_group;
	struct liobn_tables *stale = NULL;
	struct kvmppc_liobn *l;
	struct iommu_table *tbl;
	LIST_HEAD(gone);
	int ret = 0;

	CLASS(fd, f)(tablefd);

	if (fd_empty(f))
		return -EBADF;

	l = fd_file(f)->private_data;
	if (fd_file(f)->f_op != &liobn_fops || l->kvm != kvm)
		return -EINVAL;

	table_group = iommu_group_get_iommudata(grp);
	if (!table_group)
		return -EFAULT;

	tbl = find_table(l, table_group);
	if (!tbl)
		return -EINVAL;

	mutex_lock(&liobn_mutex);
	if (!find_attachment(l, tbl, grp))
		ret = attach(l, tbl, grp, &stale);
	let_go(l, NULL, &gone);
	mutex_unlock(&liobn_mutex);

	iommu_tce_table_put(tbl);
	if (stale || !list_empty(&gone))
		synchronize_hypercalls(kvm);
	free_stale(stale);
	clear_and_put(&gone);

	return ret;
}

/**
 * kvm_spapr_tce_release_iommu_group - undo attaching, for all LIOBNs of a VM
 * @kvm: the VM
 * @grp: the group
 *
 * A table that another group attached as well stays attached. What the guest has
 * mapped in another one is unmapped; later, if groups that the VM does not know
 * use it.
 *
 * Context: May sleep; kvm->lock may be held.
 */
void kvm_spapr_tce_release_iommu_group(struct kvm *kvm, struct iommu_group *grp)
{
	struct liobn_tables *stale = NULL;
	struct kvmppc_liobn *l;
	LIST_HEAD(gone);

	mutex_lock(&liobn_mutex);
	list_for_each_entry(l, &kvm->arch.spapr_tce_tables, next) {
		detach_group(l, grp, &stale);
		let_go(l, grp, &gone);
	}
	mutex_unlock(&liobn_mutex);

	if (stale || !list_empty(&gone))
		synchronize_hypercalls(kvm);
	free_stale(stale);
	clear_and_put(&gone);
}

/* Hypercalls; all of what follows is called within kvm->srcu */

static struct kvmppc_liobn *find_liobn(struct kvm *kvm, u64 number)
{
	struct kvmppc_liobn *l;

	list_for_each_entry_rcu(l, &kvm->arch.spapr_tce_tables, next,
				srcu_read_lock_held(&kvm->srcu)) {
		if (l->number == number)
			return l;
	}
	trace_spapr_tce_too_hard(number, SPAPR_TCE_NO_LIOBN);

	return NULL;
}

static const struct liobn_tables *tables_of(const struct kvmppc_liobn *l)
{
	return srcu_dereference(l->tables, &l->kvm->srcu);
}

/**
 * struct liobn_put - what a guest's list is for one hardware table
 * @l: the guest's table
 * @list: the guest's list, translated
 * @tbl: the hardware table
 * @shift: log2 of the entries of @tbl in one of the guest's
 * @entry: first entry of @tbl
 * @nr: how many entries of @tbl
 *
 * It is written in pieces, for it may be long.
 */
struct liobn_put {
	const struct kvmppc_liobn *l;
	struct liobn_list *list;
	struct iommu_table *tbl;
	unsigned int shift;
	unsigned long entry;
	unsigned long nr;
};

static struct liobn_put put_of(const struct kvmppc_liobn *l,
			       struct iommu_table *tbl, unsigned long first,
			       unsigned long nr, struct liobn_list *list)
{
	unsigned int shift = liobn_sub_shift(l, tbl);
	struct liobn_put put = {
		.l	= l,
		.list	= list,
		.tbl	= tbl,
		.shift	= shift,
		.entry	= first << shift,
		.nr	= nr << shift,
	};

	return put;
}

/* The next entries, at most @end, of a chunk: from the @i'th on. */
static struct tce_list next_piece(const struct liobn_put *put, unsigned long i,
				  unsigned long end)
{
	struct tce_list piece = {
		.tbl	= put->tbl,
		.entry	= put->entry + i,
		.nr	= min3(end - i, TCE_TRY_MAX,
			       tce_chunk_left(put->tbl, put->entry + i)),
		.ua	= put->list->ua,
		.tce	= put->list->hw_tce,
	};

	liobn_expand(put->l, put->list->slots, put->list, put->shift,
		     i, piece.nr);

	return piece;
}

/* Uncount entries @i to @end - 1. */
static void release(const struct liobn_put *put, unsigned long i,
		    unsigned long end)
{
	while (i < end) {
		struct tce_list piece = next_piece(put, i, end);

		rcu_read_lock();
		tce_list_release(&piece);
		rcu_read_unlock();
		i += piece.nr;
		cond_resched();
	}
}

/* Count all entries, or none. */
static bool hold(const struct liobn_put *put)
{
	bool large = put->tbl->it_page_shift > PAGE_SHIFT;
	unsigned long i = 0;

	while (i < put->nr) {
		/* Whether a large page is contiguous takes long to find out. */
		unsigned long end = large ? i + 1 : put->nr;
		struct tce_list piece = next_piece(put, i, end);
		bool ok;

		rcu_read_lock();
		ok = tce_list_hold(&piece);
		rcu_read_unlock();
		if (!ok) {
			release(put, 0, i);
			return false;
		}
		i += piece.nr;
		cond_resched();
	}

	return true;
}

/* Have what it takes to write a list to one table. */
static long prepare_table(const struct liobn_put *put)
{
	if (!hold(put)) {
		trace_spapr_tce_too_hard(put->l->number,
					 SPAPR_TCE_NOT_REGISTERED);
		return H_TOO_HARD;
	}

	if (tce_grow(put->tbl, put->entry, put->nr)) {
		release(put, 0, put->nr);
		return H_RESOURCE;
	}

	return H_SUCCESS;
}

static long prepare_tables(const struct kvmppc_liobn *l,
			   const struct liobn_tables *tables,
			   unsigned long first, unsigned long nr,
			   struct liobn_list *list)
{
	struct liobn_put put;
	unsigned int i;
	long ret;

	for (i = 0; tables && i < tables->nr; i++) {
		put = put_of(l, tables->tbl[i], first, nr, list);
		ret = prepare_table(&put);
		if (!ret)
			continue;
		while (i--) {
			put = put_of(l, tables->tbl[i], first, nr, list);
			release(&put, 0, put.nr);
		}
		return ret;
	}

	return H_SUCCESS;
}

/*
 * Write prepared entries @i to @end - 1, which are in one chunk. False if a
 * hypervisor below this one refused; a window that is being removed is as good
 * as written.
 */
static bool commit_chunk(const struct liobn_put *put, unsigned long i,
			 unsigned long end, struct tce_dense **spare)
{
	struct tce_try try;
	bool ok = true;

	if (tce_list_begin(&try, put->tbl, put->entry + i, spare)) {
		release(put, i, end);
		return true;
	}

	while (i < end) {
		struct tce_list piece = next_piece(put, i, end);

		tce_list_translate(&piece);
		if (tce_list_commit(&try, &piece, spare))
			ok = false;
		i += piece.nr;
	}
	tce_list_end(&try);

	return ok;
}

/* Write a prepared list to one table; returns as commit_chunk(). */
static bool commit_table(const struct liobn_put *put)
{
	struct tce_dense *spare = NULL;
	struct tce_batch batch;
	unsigned long i = 0;
	bool ok = true;

	tce_batch_begin(&batch, put->tbl, put->entry, put->nr);
	while (i < put->nr) {
		unsigned long n = min(put->nr - i,
				      tce_chunk_left(put->tbl, put->entry + i));

		ok &= commit_chunk(put, i, i + n, &spare);
		i += n;
		cond_resched();
	}
	tce_batch_end(&batch);
	kfree(spare);

	return ok;
}

static void unmap_from_tables(const struct kvmppc_liobn *l,
			      const struct liobn_tables *tables,
			      unsigned long first, unsigned long nr)
{
	unsigned int i;

	for (i = 0; tables && i < tables->nr; i++) {
		struct iommu_table *tbl = tables->tbl[i];
		unsigned int shift = liobn_sub_shift(l, tbl);
		struct tce_batch batch;

		tce_batch_begin(&batch, tbl, first << shift, nr << shift);
		tce_batch_unmap(&batch, first << shift, nr << shift);
		tce_batch_end(&batch);
	}
}

/* Write a prepared list to all tables, and to the guest's. */
static long commit(struct kvmppc_liobn *l, const struct liobn_tables *tables,
		   unsigned long first, unsigned long nr,
		   struct liobn_list *list)
{
	unsigned long index = first - l->offset;
	bool ok = true;
	unsigned int i;

	lock_entries(l, index, nr);
	for (i = 0; tables && i < tables->nr; i++) {
		struct liobn_put put = put_of(l, tables->tbl[i], first, nr, list);

		ok &= commit_table(&put);
	}

	if (ok) {
		liobn_copy(l, index, nr, list->tce);
	} else {
		unmap_from_tables(l, tables, first, nr);
		liobn_fill(l, index, nr, 0);
	}
	unlock_entries(l, index, nr);

	return ok ? H_SUCCESS : H_HARDWARE;
}

/* Write a list that liobn_read_list() found good, whatever it takes. */
static long put_list(struct kvmppc_liobn *l, unsigned long first,
		     unsigned long nr, struct liobn_list *list)
{
	const struct liobn_tables *tables = tables_of(l);
	long ret;

	ret = grow_pages(l, first - l->offset, nr);
	if (ret)
		return ret;

	ret = prepare_tables(l, tables, first, nr, list);
	if (ret)
		return ret;

	return commit(l, tables, first, nr, list);
}

/* Where the vCPU's lists go; NULL without memory. */
static struct liobn_list *list_of(struct kvm_vcpu *vcpu)
{
	if (!vcpu->arch.tce_list)
		vcpu->arch.tce_list = kmalloc(sizeof(*vcpu->arch.tce_list),
					      GFP_KERNEL_ACCOUNT);

	return vcpu->arch.tce_list;
}

static bool try_one(struct kvmppc_liobn *l, unsigned long entry, u64 tce,
		    u64 ua)
{
	bool ok;

	rcu_read_lock();
	preempt_disable();
	ok = liobn_try_one(l, tables_of(l), entry, tce, ua, false);
	preempt_enable();
	rcu_read_unlock();
	wake_up_lockers(l);

	return ok;
}

static long put_one(struct kvm_vcpu *vcpu, struct kvmppc_liobn *l,
		    unsigned long entry, u64 tce)
{
	struct kvm_memslots *slots = kvm_memslots(l->kvm);
	struct liobn_memory memory = { 0 };
	struct liobn_list *list;
	u64 ua;

	if (!liobn_to_ua(l, slots, &memory, tce, &ua)) {
		trace_spapr_tce_too_hard(l->number, SPAPR_TCE_NOT_GUEST_MEMORY);
		return H_TOO_HARD;
	}

	if (try_one(l, entry, tce, ua))
		return H_SUCCESS;

	list = list_of(vcpu);
	if (!list)
		return H_RESOURCE;

	list->slots = slots;
	list->tce[0] = tce;

	return put_list(l, entry, 1, list);
}

static bool try_stuff(struct kvmppc_liobn *l, unsigned long entry, u64 tce,
		      unsigned long nr)
{
	bool ok;

	rcu_read_lock();
	preempt_disable();
	ok = liobn_try_stuff(l, tables_of(l), entry, nr, tce, false);
	preempt_enable();
	rcu_read_unlock();
	wake_up_lockers(l);

	return ok;
}

static long stuff(struct kvmppc_liobn *l, unsigned long entry, u64 tce,
		  unsigned long nr)
{
	unsigned long index = entry - l->offset, i, n;
	long ret;

	if (nr <= TCE_LIST_MAX && try_stuff(l, entry, tce, nr))
		return H_SUCCESS;

	if (tce) {
		ret = grow_pages(l, index, nr);
		if (ret)
			return ret;
	}

	lock_entries(l, index, nr);
	unmap_from_tables(l, tables_of(l), entry, nr);
	for (i = 0; i < nr; i += n) {
		n = min(nr - i, LIOBN_FILL_ENTRIES);
		liobn_fill(l, index + i, n, tce);
		cond_resched();
	}
	unlock_entries(l, index, nr);

	return H_SUCCESS;
}

/**
 * kvmppc_h_put_tce - H_PUT_TCE (PAPR, TCE and I/O hypervisor calls)
 * @vcpu: the vCPU
 * @liobn: which table
 * @ioba: bus address of the page
 * @tce: guest address of the page and permission bits; without, it is unmapped
 *
 * Context: May sleep.
 * Return: H_SUCCESS; H_HARDWARE, with the entry unmapped, if KVM runs in a
 *	   partition whose hypervisor refuses; or with nothing changed:
 *	   H_PARAMETER if @ioba is not that of a page in the table, H_RESOURCE
 *	   without memory, H_TOO_HARD for user space: no such LIOBN, or not
 *	   memory of the guest that is registered.
 */
long kvmppc_h_put_tce(struct kvm_vcpu *vcpu, unsigned long liobn,
		      unsigned long ioba, unsigned long tce)
{
	struct kvmppc_liobn *l;
	long ret = H_TOO_HARD;
	int idx;

	guard(tce_check)();
	idx = srcu_read_lock(&vcpu->kvm->srcu);
	l = find_liobn(vcpu->kvm, liobn);
	if (!l)
		goto out;

	ret = H_PARAMETER;
	if (!kvmppc_liobn_has(l, ioba, 1))
		goto out;

	if (tce & TCE_PERM_MASK)
		ret = put_one(vcpu, l, ioba >> l->page_shift, tce);
	else
		ret = stuff(l, ioba >> l->page_shift, tce, 1);
out:
	srcu_read_unlock(&vcpu->kvm->srcu, idx);

	return ret;
}
EXPORT_SYMBOL_GPL(kvmppc_h_put_tce);

/* Copy a guest's list, as it is now: memory may be another than is registered. */
static bool copy_list(struct kvmppc_liobn *l, unsigned long tce_list,
		      unsigned long nr, struct liobn_list *list)
{
	if (!kvm_read_guest(l->kvm, tce_list, list->tce,
			    nr * sizeof(list->tce[0])))
		return true;

	trace_spapr_tce_too_hard(l->number, SPAPR_TCE_LIST_UNREADABLE);

	return false;
}

/* As liobn_put_list(), for a copied list. */
static int try_put_list(struct kvmppc_liobn *l, unsigned long first,
			unsigned long nr, struct liobn_list *list)
{
	int ret;

	rcu_read_lock();
	preempt_disable();
	ret = liobn_put_list(l, list->slots, tables_of(l), first, nr,
			     (__be64 *)list->tce, list, false);
	preempt_enable();
	rcu_read_unlock();
	wake_up_lockers(l);

	return ret;
}

/* Copy the guest's list and write what it says. */
static long copy_and_put(struct kvm_vcpu *vcpu, struct kvmppc_liobn *l,
			 unsigned long first, unsigned long tce_list,
			 unsigned long nr)
{
	struct liobn_list *list = list_of(vcpu);
	int ret;

	if (!list)
		return H_RESOURCE;

	/* One set for all of it: another may lack what was found in this one. */
	list->slots = kvm_memslots(l->kvm);
	if (!copy_list(l, tce_list, nr, list))
		return H_TOO_HARD;

	ret = try_put_list(l, first, nr, list);
	if (!ret)
		return H_SUCCESS;

	/* What is refused is copied and looked at again, to tell why. */
	if (ret != -EAGAIN && !copy_list(l, tce_list, nr, list))
		return H_TOO_HARD;

	if (ret != -EAGAIN &&
	    !liobn_read_list(l, list->slots, (__be64 *)list->tce, nr, list)) {
		trace_spapr_tce_too_hard(l->number, SPAPR_TCE_NOT_GUEST_MEMORY);
		return H_TOO_HARD;
	}

	return put_list(l, first, nr, list);
}

/**
 * kvmppc_h_put_tce_indirect - H_PUT_TCE_INDIRECT
 * @vcpu: the vCPU
 * @liobn: which table
 * @ioba: bus address of the first page
 * @tce_list: guest address of a list of TCEs, aligned to 4 KiB
 * @npages: how many, up to 512
 *
 * Context: May sleep.
 * Return: as kvmppc_h_put_tce(), and H_PARAMETER also if @tce_list is not
 *	   aligned or @npages too large.
 */
long kvmppc_h_put_tce_indirect(struct kvm_vcpu *vcpu, unsigned long liobn,
			       unsigned long ioba, unsigned long tce_list,
			       unsigned long npages)
{
	struct kvmppc_liobn *l;
	long ret = H_TOO_HARD;
	int idx;

	guard(tce_check)();
	idx = srcu_read_lock(&vcpu->kvm->srcu);
	l = find_liobn(vcpu->kvm, liobn);
	if (!l)
		goto out;

	ret = H_PARAMETER;
	if (npages > TCE_LIST_MAX || tce_list & (TCE_LIST_BYTES - 1) ||
	    !kvmppc_liobn_has(l, ioba, npages))
		goto out;

	ret = H_SUCCESS;
	if (npages)
		ret = copy_and_put(vcpu, l, ioba >> l->page_shift, tce_list,
				   npages);
out:
	srcu_read_unlock(&vcpu->kvm->srcu, idx);

	return ret;
}
EXPORT_SYMBOL_GPL(kvmppc_h_put_tce_indirect);

/**
 * kvmppc_h_stuff_tce - H_STUFF_TCE
 * @vcpu: the vCPU
 * @liobn: which table
 * @ioba: bus address of the first page
 * @tce_value: what to write to each entry; without permission bits
 * @npages: how many pages
 *
 * Context: May sleep.
 * Return: as kvmppc_h_put_tce(), and H_PARAMETER also if @tce_value has
 *	   permission bits.
 */
long kvmppc_h_stuff_tce(struct kvm_vcpu *vcpu, unsigned long liobn,
			unsigned long ioba, unsigned long tce_value,
			unsigned long npages)
{
	struct kvmppc_liobn *l;
	long ret = H_TOO_HARD;
	int idx;

	guard(tce_check)();
	idx = srcu_read_lock(&vcpu->kvm->srcu);
	l = find_liobn(vcpu->kvm, liobn);
	if (!l)
		goto out;

	ret = H_PARAMETER;
	if (tce_value & TCE_PERM_MASK || !kvmppc_liobn_has(l, ioba, npages))
		goto out;

	ret = H_SUCCESS;
	if (npages)
		ret = stuff(l, ioba >> l->page_shift, tce_value, npages);
out:
	srcu_read_unlock(&vcpu->kvm->srcu, idx);

	return ret;
}
EXPORT_SYMBOL_GPL(kvmppc_h_stuff_tce);

/**
 * kvmppc_h_get_tce - H_GET_TCE
 * @vcpu: the vCPU; the TCE goes to its GPR 4
 * @liobn: which table
 * @ioba: bus address of the page
 *
 * Context: May sleep.
 * Return: H_SUCCESS; H_PARAMETER if @ioba is not that of a page in the table;
 *	   H_TOO_HARD for user space, for there is no such LIOBN.
 */
long kvmppc_h_get_tce(struct kvm_vcpu *vcpu, unsigned long liobn,
		      unsigned long ioba)
{
	int idx = srcu_read_lock(&vcpu->kvm->srcu);
	struct kvmppc_liobn *l;
	long ret = H_TOO_HARD;
	u64 *entry;

	l = find_liobn(vcpu->kvm, liobn);
	if (!l)
		goto out;

	ret = H_PARAMETER;
	if (!kvmppc_liobn_has(l, ioba, 1))
		goto out;

	ret = H_SUCCESS;
	entry = kvmppc_liobn_tce(l, (ioba >> l->page_shift) - l->offset);
	kvmppc_set_gpr(vcpu, 4, entry ? READ_ONCE(*entry) : 0);
out:
	srcu_read_unlock(&vcpu->kvm->srcu, idx);

	return ret;
}
EXPORT_SYMBOL_GPL(kvmppc_h_get_tce);
