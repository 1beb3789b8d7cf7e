// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device that an administrator takes away while a process uses it, and that
 * comes back for another process. The process that had it keeps what it can:
 * its container, the file of the old group, and a VM whose LIOBN was attached to
 * a window of the group. None of it may reach the device's next owner.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "spapr_harness.h"
#include "kvm_guest.h"

#define ROUNDS		20
/* DMA takes seconds: the first round and some others have it. */
#define HAS_DMA(round)	(!((round) % 7))
#define LIOBN		0x80000001UL
/* A process' hold on a group: a container, memory, two windows, mappings. */
struct owner {
	struct edu edu;
	int c;
	uint64_t start;
	char *buf;
};

static void own(struct __test_metadata *_metadata, struct owner *o,
		const struct edu *edu)
{
	o->edu = *edu;
	o->c = container_open();
	ASSERT_LE(0, edu_open_group(&o->edu));
	ASSERT_EQ(0, container_add(o->c, &o->edu));
	ASSERT_EQ(0, container_set_iommu(o->c, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, spapr_register(o->c, o->buf, SZ_1M));
	ASSERT_EQ(0, spapr_create(o->c, page_shift, SZ_1G, 2, &o->start));
}

static void map_some(struct __test_metadata *_metadata, struct owner *o)
{
	ASSERT_EQ(0, spapr_map(o->c, 0, o->buf, SZ_64K));
	ASSERT_EQ(0, spapr_map(o->c, o->start, o->buf + SZ_64K, SZ_64K));
}

/* Nothing works any more, and says so. */
static void expect_gone(struct __test_metadata *_metadata, struct owner *o)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };

	EXPECT_EQ(-1, ioctl(o->edu.group_fd, VFIO_GROUP_GET_STATUS, &status));
	EXPECT_EQ(-ENODEV, container_add(o->c, &o->edu));
	EXPECT_GT(0, ioctl(o->edu.group_fd, VFIO_GROUP_GET_DEVICE_FD,
			   o->edu.name));
	/* The container had no other group: it has ended. */
	EXPECT_EQ(-EINVAL, spapr_map(o->c, 0, o->buf, SZ_64K));
	EXPECT_EQ(-EINVAL, spapr_unregister(o->c, o->buf, SZ_1M));
}

static void give_up(struct owner *o)
{
	edu_close(&o->edu);
	edu_close_group(&o->edu);
	close(o->c);
	o->c = -1;
}

FIXTURE(unplug)
{
	struct usage was;
	struct slot slot;
	struct edu edu;
	int groups;
	struct owner old;
	struct owner new;
};

FIXTURE_SETUP(unplug)
{
	if (edu_find(&self->edu, 1) < 1)
		SKIP(return, "no edu device is bound to vfio-pci");
	ASSERT_EQ(0, read_slot(&self->slot, self->edu.group));
	ASSERT_LT(0, self->slot.nr);
	self->groups = count_groups();
	self->was = usage_at_rest();
	self->old.buf = buf_alloc(SZ_1M, SZ_64K);
	self->new.buf = buf_alloc(SZ_1M, SZ_64K);
	buf_tag(self->old.buf, SZ_1M);
	buf_tag(self->new.buf, SZ_1M);
}

FIXTURE_TEARDOWN(unplug)
{
	EXPECT_EQ(0, check_invariants());
	expect_usage(_metadata, &self->was);
	EXPECT_EQ(self->groups, groups_settle(self->groups));
}

/* The device of the new owner reaches nothing yet, and then its mappings. */
static void expect_reach(struct __test_metadata *_metadata, struct owner *new,
			 int reach)
{
	struct probe probe;

	ASSERT_EQ(0, probe_init(&probe, new->c, &new->edu, SZ_1M));
	EXPECT_EQ(reach, probe_reach(&probe, 0, new->buf));
	EXPECT_EQ(reach, probe_reach(&probe, new->start, new->buf + SZ_64K));
	EXPECT_EQ(0, probe_exit(&probe));
}

/* The new owner has what it mapped, and nothing of the one before. */
static void expect_new_owner(struct __test_metadata *_metadata,
			     struct owner *new, bool dma)
{
	if (dma)
		expect_reach(_metadata, new, 0);
	map_some(_metadata, new);
	if (dma)
		expect_reach(_metadata, new, READ_WRITE);
	EXPECT_EQ(-EBUSY, spapr_unregister(new->c, new->buf, SZ_1M));
	ASSERT_EQ(0, spapr_unmap(new->c, 0, SZ_64K));
	ASSERT_EQ(0, spapr_unmap(new->c, new->start, SZ_64K));
	EXPECT_EQ(0, spapr_unregister(new->c, new->buf, SZ_1M));
}

/* The files of a container and of its group outlive the group. */
TEST_F(unplug, files_kept)
{
	int round;

	for (round = 0; round < ROUNDS; round++) {
		own(_metadata, &self->old, &self->edu);
		map_some(_metadata, &self->old);
		ASSERT_EQ(0, slot_remove(&self->slot));
		expect_gone(_metadata, &self->old);
		EXPECT_EQ(self->was.locked_kb, locked_kb());
		EXPECT_EQ(self->was.pinned,
			  pinned_pages_settle(self->was.pinned));
		EXPECT_EQ(self->groups - 1, groups_settle(self->groups - 1));

		ASSERT_EQ(0, slot_return(&self->slot, &self->edu));
		own(_metadata, &self->new, &self->edu);
		expect_new_owner(_metadata, &self->new, HAS_DMA(round));
		give_up(&self->old);
		give_up(&self->new);
		ASSERT_EQ(self->was.taint, kernel_taint());
	}
}

/* A device that is in use is removed when it is closed, by whatever means. */
TEST_F(unplug, waits_for_the_device)
{
	int status, round;
	pid_t pid;

	for (round = 0; round < 3; round++) {
		own(_metadata, &self->old, &self->edu);
		map_some(_metadata, &self->old);
		ASSERT_EQ(0, edu_open(&self->old.edu));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			/* The parent's files are what it waits for. */
			edu_close(&self->old.edu);
			close(self->old.edu.group_fd);
			close(self->old.c);
			_exit(-slot_remove(&self->slot));
		}
		usleep(200000);
		EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
		EXPECT_EQ(0, spapr_unmap(self->old.c, 0, SZ_64K));
		give_up(&self->old);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);

		ASSERT_EQ(0, slot_return(&self->slot, &self->edu));
		own(_metadata, &self->new, &self->edu);
		expect_new_owner(_metadata, &self->new, !round);
		give_up(&self->new);
	}
}

/*
 * KVM keeps the group itself, by the LIOBN that was attached to a window of it.
 * It must not take the next owner's window for a window of that group.
 */
FIXTURE(unplug_kvm)
{
	FIXTURE_DATA(unplug) u;
	/* with the VM and its LIOBN, without an owner */
	struct usage was;
	struct vm vm;
	int table;
};

FIXTURE_VARIANT(unplug_kvm)
{
	/* the old owner gives up its container before the device is removed */
	bool closes;
};

FIXTURE_VARIANT_ADD(unplug_kvm, container_kept) { false };
FIXTURE_VARIANT_ADD(unplug_kvm, container_closed) { true };

FIXTURE_SETUP(unplug_kvm)
{
	const char *missing = guest_missing(guest_any());

	if (missing)
		SKIP(return, "%s", missing);
	unplug_setup(_metadata, &self->u, NULL);
	if (_metadata->exit_code)
		return;
	vm_create(&self->vm, guest_any());
	self->table = vm_liobn(&self->vm, LIOBN, 12, 0, SZ_64K / SZ_4K);
	ASSERT_LE(0, self->table);
	self->was = usage_at_rest();
}

FIXTURE_TEARDOWN(unplug_kvm)
{
	close(self->table);
	vm_close(&self->vm);
	unplug_teardown(_metadata, &self->u, NULL);
}

/* Removes the device of an owner whose group the VM holds on to. */
static void lose_group(struct __test_metadata *_metadata,
		       FIXTURE_DATA(unplug_kvm) *self,
		       const FIXTURE_VARIANT(unplug_kvm) *variant)
{
	struct owner *old = &self->u.old;

	own(_metadata, old, &self->u.edu);
	map_some(_metadata, old);
	ASSERT_EQ(0, vm_group_add(&self->vm, old->edu.group_fd));
	ASSERT_EQ(0, vm_attach(&self->vm, old->edu.group_fd, self->table));
	if (variant->closes) {
		ASSERT_EQ(0, container_del(old->c, &old->edu));
		close(old->c);
		old->c = -1;
	}
	ASSERT_EQ(0, slot_remove(&self->u.slot));
	EXPECT_EQ(self->u.was.taint, kernel_taint());
}

TEST_F(unplug_kvm, group_kept)
{
	struct owner *old = &self->u.old, *new = &self->u.new;
	int round, late;

	for (round = 0; round < ROUNDS; round++) {
		lose_group(_metadata, self, variant);
		ASSERT_EQ(0, slot_return(&self->u.slot, &self->u.edu));
		own(_metadata, new, &self->u.edu);

		/* The window at 0 is the new owner's, in the same process. */
		late = vm_liobn(&self->vm, LIOBN + 1, 12, 0, SZ_64K / SZ_4K);
		ASSERT_LE(0, late);
		EXPECT_EQ(-EINVAL, vm_attach(&self->vm, old->edu.group_fd,
					     self->table));
		EXPECT_EQ(-EINVAL, vm_attach(&self->vm, old->edu.group_fd,
					     late));
		EXPECT_EQ(0, vm_group_del(&self->vm, old->edu.group_fd));
		close(late);

		expect_new_owner(_metadata, new, HAS_DMA(round));
		ASSERT_EQ(0, spapr_register(new->c, new->buf, SZ_1M));
		ASSERT_EQ(0, vm_group_add(&self->vm, new->edu.group_fd));
		EXPECT_EQ(0, vm_attach(&self->vm, new->edu.group_fd,
				       self->table));
		ASSERT_EQ(0, spapr_map(new->c, 0, new->buf, SZ_4K));
		EXPECT_EQ(0, vm_group_del(&self->vm, new->edu.group_fd));
		give_up(old);
		give_up(new);
		ASSERT_EQ(self->u.was.taint, kernel_taint());
	}
}

/* The old group is let go while the new one is attached, to the same LIOBN. */
TEST_F(unplug_kvm, group_dropped_late)
{
	struct owner *old = &self->u.old, *new = &self->u.new;
	int round;

	for (round = 0; round < 3; round++) {
		lose_group(_metadata, self, variant);
		ASSERT_EQ(0, slot_return(&self->u.slot, &self->u.edu));
		own(_metadata, new, &self->u.edu);
		ASSERT_EQ(0, vm_group_add(&self->vm, new->edu.group_fd));
		EXPECT_EQ(0, vm_attach(&self->vm, new->edu.group_fd,
				       self->table));
		map_some(_metadata, new);
		EXPECT_EQ(0, vm_group_del(&self->vm, old->edu.group_fd));
		give_up(old);
		EXPECT_EQ(-EBUSY, spapr_unregister(new->c, new->buf, SZ_1M));

		/* and the new one is removed in its turn, in the same way */
		ASSERT_EQ(0, slot_remove(&self->u.slot));
		EXPECT_EQ(0, vm_group_del(&self->vm, new->edu.group_fd));
		give_up(new);
		EXPECT_EQ(self->u.groups - 1,
			  groups_settle(self->u.groups - 1));
		ASSERT_EQ(0, slot_return(&self->u.slot, &self->u.edu));
		expect_usage(_metadata, &self->was);
	}
}

/* Two groups in one container, of which one is removed. */
FIXTURE(unplug_one)
{
	struct usage was;
	struct slot slot;
	struct edu edu[2];
	struct probe probe;
	int groups;
	struct owner o;
};

FIXTURE_SETUP(unplug_one)
{
	if (edu_find(self->edu, 2) < 2)
		SKIP(return, "no two groups with an edu device each");
	ASSERT_EQ(0, read_slot(&self->slot, self->edu[1].group));
	self->groups = count_groups();
	self->was = usage_at_rest();
	self->o.buf = buf_alloc(SZ_1M, SZ_64K);
	buf_tag(self->o.buf, SZ_1M);
	own(_metadata, &self->o, &self->edu[0]);
	map_some(_metadata, &self->o);
	ASSERT_EQ(0, probe_init(&self->probe, self->o.c, &self->o.edu, SZ_1M));
}

FIXTURE_TEARDOWN(unplug_one)
{
	give_up(&self->o);
	expect_usage(_metadata, &self->was);
	EXPECT_EQ(self->groups, groups_settle(self->groups));
}

/* The device of the group that goes */
static void expect_it_reaches(struct __test_metadata *_metadata,
			      FIXTURE_DATA(unplug_one) *self, struct edu *goes)
{
	struct probe probe = self->probe;

	ASSERT_EQ(0, edu_open(goes));
	probe.edu = goes;
	EXPECT_EQ(READ_WRITE, probe_reach(&probe, 0, self->o.buf));
	edu_close(goes);
}

static void expect_other_reaches(struct __test_metadata *_metadata,
				 FIXTURE_DATA(unplug_one) *self)
{
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe, 0, self->o.buf));
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe, self->o.start,
					  self->o.buf + SZ_64K));
	/* Kills reach what is left */
	ASSERT_EQ(0, spapr_unmap(self->o.c, 0, SZ_64K));
	EXPECT_EQ(0, probe_reach(&self->probe, 0, self->o.buf));
	ASSERT_EQ(0, spapr_map(self->o.c, 0, self->o.buf, SZ_64K));
}

TEST_F(unplug_one, other_stays)
{
	struct edu *edu = &self->edu[1];
	long locked = locked_kb();
	int round, kept;

	for (round = 0; round < ROUNDS; round++) {
		ASSERT_LE(0, edu_open_group(edu));
		ASSERT_EQ(0, container_add(self->o.c, edu));
		if (HAS_DMA(round))
			expect_it_reaches(_metadata, self, edu);
		kept = edu->group_fd;

		ASSERT_EQ(0, slot_remove(&self->slot));
		EXPECT_EQ(locked, locked_kb());
		if (HAS_DMA(round))
			expect_other_reaches(_metadata, self);

		ASSERT_EQ(0, slot_return(&self->slot, edu));
		close(kept);
		ASSERT_EQ(self->was.taint, kernel_taint());
	}
}

TEST_HARNESS_MAIN
