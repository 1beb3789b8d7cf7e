// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device that an administrator takes from a guest whose vCPUs go on with
 * their hypercalls, and that comes back for a new container. No hypercall fails,
 * none of them reaches the new owner's window before that is attached, and all
 * that the old one had is given back at once.
 */
#include <unistd.h>

#include "kvm_fixture.h"
#include "spapr_race.h"

#define ROUNDS		20
/* Of the guest's entries, those that its vCPUs change */
#define ENTRIES		1500
#define VCPUS		2
#define BATCH		16

FIXTURE(unplug)
{
	struct guest g;
	struct vcpu cpu[VCPUS];
	struct thread thread[VCPUS];
	struct slot slot;
	int groups;
	/* what the guest's own table is charged */
	long table;
};

FIXTURE_VARIANT(unplug)
{
	enum mmu mmu;
};

FIXTURE_VARIANT_ADD(unplug, hash) { HASH };
FIXTURE_VARIANT_ADD(unplug, radix) { RADIX };

FIXTURE_SETUP(unplug)
{
	struct guest *g = &self->g;
	int i;

	if (!guest_setup(_metadata, g, variant->mmu, true))
		return;
	ASSERT_EQ(0, read_slot(&self->slot, g->edu[0].group));
	self->groups = count_groups();
	self->table = locked_kb();
	guest_liobn(_metadata, g, 12, SLOT0_START, SZ_1G / SZ_4K);
	self->table = locked_kb() - self->table;
	guest_attach(_metadata, g, 0);
	self->cpu[0] = g->cpu;
	for (i = 1; i < VCPUS; i++)
		vcpu_create(&g->vm, &self->cpu[i]);
}

FIXTURE_TEARDOWN(unplug)
{
	int i;

	for (i = 1; i < VCPUS; i++)
		vcpu_close(&self->cpu[i]);
	guest_teardown(_metadata, &self->g);
	EXPECT_EQ(self->groups, groups_settle(self->groups));
}

/* ---- what vCPUs do all the time: change memory of region A ---- */

static uint64_t some_tce(struct thread *t)
{
	return gpa(A, some(t, REGION_SIZE / SZ_4K) * SZ_4K) | TCE_RW;
}

static void some_hcall(struct thread *t, int i)
{
	unsigned int n = 1 + some(t, 64), k;
	uint64_t at = ioba(t->g, some(t, ENTRIES - n));

	switch (some(t, 3)) {
	case 0:
		hcall_set(t->cpu, i, H_PUT_TCE, LIOBN, at, some_tce(t), 0);
		break;
	case 1:
		for (k = 0; k < n; k++)
			list_set(t->cpu, i % MAX_LISTS, k, some_tce(t));
		hcall_set(t->cpu, i, H_PUT_TCE_INDIRECT, LIOBN, at,
			  list_gpa(t->cpu, i % MAX_LISTS), n);
		break;
	case 2:
		hcall_set(t->cpu, i, H_STUFF_TCE, LIOBN, at, 0, n);
		break;
	}
}

static void change(struct thread *t)
{
	int i;

	for (i = 0; i < BATCH; i++)
		some_hcall(t, i);
	vcpu_run(t->cpu, BATCH);
	for (i = 0; i < BATCH; i++)
		result(t, "a hypercall", t->cpu->hcall[i].ret, 0);
}

/* Returns when each of them has done something. */
static void vcpus_start(FIXTURE_DATA(unplug) *self)
{
	int i;

	for (i = 0; i < VCPUS; i++)
		self->thread[i] = (struct thread){
			.g = &self->g, .cpu = &self->cpu[i], .fn = change,
		};
	threads_start(self->thread, VCPUS);
	for (i = 0; i < VCPUS; i++) {
		while (!__atomic_load_n(&self->thread[i].done,
					__ATOMIC_RELAXED))
			usleep(1000);
	}
}

static void vcpus_end(struct __test_metadata *_metadata,
		      FIXTURE_DATA(unplug) *self)
{
	int i;

	threads_end(self->thread, VCPUS);
	for (i = 0; i < VCPUS; i++) {
		EXPECT_EQ(NULL, self->thread[i].what) {
			TH_LOG("vCPU %d: %s returned %ld", i,
			       self->thread[i].what, self->thread[i].ret);
		}
	}
}

/* ---- the administrator, and the process ---- */

/* The group's devices are gone, with the vCPUs running, and the window is. */
static void expect_gone(struct __test_metadata *_metadata,
			FIXTURE_DATA(unplug) *self)
{
	struct guest *g = &self->g;

	EXPECT_EQ(-EINVAL, vm_attach(&g->vm, g->edu[0].group_fd, g->table));
	EXPECT_EQ(g->was.locked_kb + self->table, locked_kb());
	EXPECT_EQ(g->was.pinned, pinned_pages_settle(g->was.pinned));
	EXPECT_EQ(g->was.taint, kernel_taint());
}

/* The devices are back: for a new container, with the old group still known. */
static void own_again(struct __test_metadata *_metadata,
		      FIXTURE_DATA(unplug) *self)
{
	struct guest *g = &self->g;
	int old_group = g->edu[0].group_fd, old_container = g->c;

	ASSERT_EQ(0, slot_return(&self->slot, &g->edu[0]));
	guest_device(_metadata, g);
	ASSERT_EQ(0, vm_group_add(&g->vm, g->edu[0].group_fd));
	/* It is not attached: neither by the old group nor by itself. */
	EXPECT_EQ(-EINVAL, vm_attach(&g->vm, old_group, g->table));
	usleep(10000);
	EXPECT_EQ(0, busy(g, A));
	EXPECT_EQ(0, vm_group_del(&g->vm, old_group));
	close(old_group);
	close(old_container);
}

/* The new window is the guest's, entry by entry. */
static void expect_attached(struct __test_metadata *_metadata,
			    FIXTURE_DATA(unplug) *self)
{
	struct guest *g = &self->g;
	struct probe probe;

	ASSERT_EQ(0, probe_init(&probe, g->c, &g->edu[0], g->last));
	ASSERT_EQ(H_SUCCESS, put(g, 7, gpa(B, SZ_4K) | TCE_RW));
	EXPECT_EQ(READ_WRITE, probe_reach(&probe, ioba(g, 7),
					  region_ua(g, B) + SZ_4K));
	ASSERT_EQ(H_SUCCESS, put(g, 7, 0));
	EXPECT_EQ(0, probe_reach(&probe, ioba(g, 7),
				 region_ua(g, B) + SZ_4K));
	EXPECT_EQ(0, probe_exit(&probe));
	edu_close(&g->edu[0]);
}

TEST_F_TIMEOUT(unplug, vcpus_run, 120)
{
	struct guest *g = &self->g;
	int round;

	for (round = 0; round < ROUNDS; round++) {
		vcpus_start(self);
		usleep(20000);
		ASSERT_EQ(0, slot_remove(&self->slot));
		expect_gone(_metadata, self);
		own_again(_metadata, self);
		ASSERT_EQ(0, vm_attach(&g->vm, g->edu[0].group_fd, g->table));
		usleep(20000);
		vcpus_end(_metadata, self);

		ASSERT_EQ(H_SUCCESS, stuff(g, 0, 0, g->size));
		EXPECT_EQ(0, busy(g, A));
		if (!(round % 7))
			expect_attached(_metadata, self);
	}
}

/* Another group of the container stays, and so does what the guest maps. */
TEST_F_TIMEOUT(unplug, one_of_two, 120)
{
	struct guest *g = &self->g;
	struct probe probe;
	int round, old;

	if (g->groups < 2)
		SKIP(return, "no two groups with an edu device each");
	ASSERT_LE(0, edu_open_group(&g->edu[1]));
	ASSERT_EQ(0, container_add(g->c, &g->edu[1]));
	ASSERT_EQ(0, probe_init(&probe, g->c, &g->edu[1], g->last));
	for (round = 0; round < ROUNDS; round++) {
		vcpus_start(self);
		usleep(20000);
		ASSERT_EQ(0, slot_remove(&self->slot));
		EXPECT_EQ(-EINVAL, vm_attach(&g->vm, g->edu[0].group_fd,
					     g->table));
		usleep(10000);
		vcpus_end(_metadata, self);

		/* The window is attached, by the group that is gone. */
		ASSERT_EQ(H_SUCCESS, stuff(g, 0, 0, g->size));
		EXPECT_EQ(0, busy(g, A));
		ASSERT_EQ(H_SUCCESS, put(g, 7, gpa(A, SZ_4K) | TCE_RW));
		EXPECT_EQ(1, busy(g, A));
		if (!(round % 7)) {
			EXPECT_EQ(READ_WRITE,
				  probe_reach(&probe, ioba(g, 7),
					      region_ua(g, A) + SZ_4K));
		}
		old = g->edu[0].group_fd;
		ASSERT_EQ(0, vm_group_del(&g->vm, old));
		ASSERT_EQ(0, slot_return(&self->slot, &g->edu[0]));
		close(old);
		ASSERT_LE(0, edu_open_group(&g->edu[0]));
		ASSERT_EQ(0, container_add(g->c, &g->edu[0]));
		ASSERT_EQ(0, vm_group_add(&g->vm, g->edu[0].group_fd));
		EXPECT_EQ(g->was.taint, kernel_taint());
	}
	EXPECT_EQ(0, probe_exit(&probe));
}

int main(int argc, char **argv)
{
	return run_with_settings(argc, argv);
}
