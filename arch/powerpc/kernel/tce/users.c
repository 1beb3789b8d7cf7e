// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Users of an owned table beside its owner: LIOBNs of KVM, whose guests map
 * and unmap entries of it.
 *
 * A user holds a reference to the table. With the last reference the table is
 * freed, and its charge is given back. A window that goes must not stay
 * charged: once it is closed, each user is called to let go, and that is waited
 * for. From then on there are no users, and no new ones. A LIOBN that becomes a
 * user in between finds a closed table, and is called as well.
 *
 * One side takes a user out of the list: closing, which then calls it, or
 * tce_user_del(). The same side ends the use.
 */

#include <linux/cleanup.h>
#include <linux/export.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>

#include <asm/iommu.h>
#include <asm/tce_owner.h>

#include "tce.h"

/**
 * tce_user_add - be told when a table is closed
 * @tbl: the table, owned, with a reference
 * @user: the user; its @owner and @close are set
 *
 * Context: May sleep. No lock is held that @user->close() takes.
 * Return: 0, and @user->close() is called unless tce_user_del() comes first;
 *	   -ENXIO if the window is being removed.
 */
int tce_user_add(struct iommu_table *tbl, struct tce_user *user)
{
	struct tce_owner *owner = tbl->it_owner;

	guard(mutex)(&owner->users_lock);
	if (owner->no_users)
		return -ENXIO;
	/* It stays until @close has returned: the caller is in it. */
	__module_get(user->owner);
	list_add_tail(&user->next, &owner->users);

	return 0;
}
EXPORT_SYMBOL_GPL(tce_user_add);

/**
 * tce_user_del - be told no more
 * @tbl: the table, with a reference
 * @user: what tce_user_add() has added
 *
 * Context: May sleep: it waits for @user->close(), if that is called at the
 *	    moment. No lock is held that it takes.
 * Return: true if @user->close() was not called, and will not be called;
 *	   false if it was called, and has returned.
 */
bool tce_user_del(struct iommu_table *tbl, struct tce_user *user)
{
	struct tce_owner *owner = tbl->it_owner;

	guard(mutex)(&owner->users_lock);
	if (list_empty(&user->next))
		return false;
	list_del_init(&user->next);
	module_put(user->owner);

	return true;
}
EXPORT_SYMBOL_GPL(tce_user_del);

/**
 * tce_users_close - have all users of a table let go
 * @owner: the table's owner
 *
 * Context: May sleep, until hypercalls that are under way have ended. Outside
 *	    of the checker's gate, which hypercalls wait for.
 */
void tce_users_close(struct tce_owner *owner)
{
	struct tce_user *user;
	struct module *module;

	guard(mutex)(&owner->users_lock);
	owner->no_users = true;
	while (!list_empty(&owner->users)) {
		user = list_first_entry(&owner->users, struct tce_user, next);
		list_del_init(&user->next);
		module = user->owner;
		/* It may be freed by this. */
		user->close(user);
		module_put(module);
	}
}
