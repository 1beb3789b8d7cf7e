// SPDX-License-Identifier: GPL-2.0-only
/*
 * EEH: what a guest does to its device after an error, while the windows are in
 * use, and what an administrator does to the device at the same time. Nobody
 * waits for somebody who waits for him: whoever is killed or taken away, it
 * ends.
 */
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "spapr_harness.h"

/* A reset holds the line for a quarter of a second, and settles for two. */
#define ENDS_IN		60	/* s */
#define OP(op)		VFIO_EEH_PE_##op

static void nap(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

FIXTURE(eeh)
{
	struct usage was;
	struct edu edu;
	int c;
	char *buf;
	uint64_t start;
	struct probe probe;
};

static int has_eeh(int c)
{
	return ioctl(c, VFIO_CHECK_EXTENSION, VFIO_EEH) == 1;
}

/* Two windows, with an entry in each, and one that the probe has. */
FIXTURE_SETUP(eeh)
{
	if (!edu_find(&self->edu, 1))
		SKIP(return, "no edu device is bound to vfio-pci");
	self->was = usage_at_rest();
	self->c = container_open();
	if (!has_eeh(self->c))
		SKIP(return, "no EEH on this machine");
	ASSERT_LE(0, edu_open_group(&self->edu));
	ASSERT_EQ(0, container_add(self->c, &self->edu));
	ASSERT_EQ(0, container_set_iommu(self->c, VFIO_SPAPR_TCE_v2_IOMMU));
	self->buf = buf_alloc(SZ_1M, SZ_64K);
	buf_tag(self->buf, SZ_1M);
	ASSERT_EQ(0, spapr_register(self->c, self->buf, SZ_1M));
	ASSERT_EQ(0, spapr_create(self->c, page_shift, SZ_1G, 1, &self->start));
	ASSERT_EQ(0, spapr_map(self->c, 0, self->buf, SZ_4K));
	ASSERT_EQ(0, spapr_map(self->c, self->start, self->buf + page_size,
			       page_size));
	ASSERT_EQ(0, probe_init(&self->probe, self->c, &self->edu, SZ_1M));
}

FIXTURE_TEARDOWN(eeh)
{
	EXPECT_EQ(0, check_invariants());
	if (self->edu.fd >= 0)
		spapr_eeh(self->c, OP(RESET_DEACTIVATE));
	edu_close(&self->edu);
	edu_close_group(&self->edu);
	close(self->c);
	expect_usage(_metadata, &self->was);
}

/* The device reaches what is mapped, after a reset as before. */
static void expect_dma(struct __test_metadata *_metadata,
		       FIXTURE_DATA(eeh) *self)
{
	ASSERT_EQ(0, edu_set_command(&self->edu));
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe, 0, self->buf));
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe, self->start,
					  self->buf + page_size));
	EXPECT_EQ(0, probe_reach(&self->probe, 2 * SZ_1M, self->buf));
}

FIXTURE(recovery)
{
	FIXTURE_DATA(eeh) eeh;
};

FIXTURE_VARIANT(recovery)
{
	uint32_t reset;
};

FIXTURE_VARIANT_ADD(recovery, hot) { OP(RESET_HOT) };
FIXTURE_VARIANT_ADD(recovery, fundamental) { OP(RESET_FUNDAMENTAL) };

FIXTURE_SETUP(recovery)
{
	eeh_setup(_metadata, &self->eeh, NULL);
}

FIXTURE_TEARDOWN(recovery)
{
	eeh_teardown(_metadata, &self->eeh, NULL);
}

/* Up to where the device is held in reset. */
static void assert_reset(struct __test_metadata *_metadata, int c,
			 uint32_t reset)
{
	int ret;

	ASSERT_EQ(0, spapr_eeh(c, OP(ENABLE)));
	ASSERT_EQ(OP(STATE_NORMAL), spapr_eeh(c, OP(GET_STATE)));
	ASSERT_EQ(0, spapr_eeh(c, OP(UNFREEZE_IO)));
	ASSERT_EQ(0, spapr_eeh(c, OP(UNFREEZE_DMA)));
	ret = spapr_eeh(c, reset);
	/* The firmware may know no way to do it, and so say QEMU's machines. */
	EXPECT_TRUE(!ret || (reset == OP(RESET_FUNDAMENTAL) && ret == -EIO)) {
		TH_LOG("the reset returned %d", ret);
	}
	/* Frozen; but QEMU's bridges do not freeze, so far. */
	ret = spapr_eeh(c, OP(GET_STATE));
	EXPECT_TRUE(ret == OP(STATE_STOPPED) || ret == OP(STATE_RESET) ||
		    ret == OP(STATE_NORMAL)) {
		TH_LOG("state %d", ret);
	}
}

static void deassert_reset(struct __test_metadata *_metadata, int c)
{
	ASSERT_EQ(0, spapr_eeh(c, OP(RESET_DEACTIVATE)));
	ASSERT_EQ(OP(STATE_NORMAL), spapr_eeh(c, OP(GET_STATE)));
	ASSERT_EQ(0, spapr_eeh(c, OP(CONFIGURE)));
	ASSERT_EQ(OP(STATE_NORMAL), spapr_eeh(c, OP(GET_STATE)));
}

/* Twice, for a guest may meet an error again. */
TEST_F(recovery, whole)
{
	FIXTURE_DATA(eeh) *eeh = &self->eeh;
	int i;

	expect_dma(_metadata, eeh);
	for (i = 0; i < 2; i++) {
		assert_reset(_metadata, eeh->c, variant->reset);
		deassert_reset(_metadata, eeh->c);
		expect_dma(_metadata, eeh);
	}
	ASSERT_EQ(0, spapr_eeh(eeh->c, OP(DISABLE)));
}

/* The windows are at work all the time, whatever the device is. */
TEST_F(recovery, windows_change)
{
	FIXTURE_DATA(eeh) *eeh = &self->eeh;

	assert_reset(_metadata, eeh->c, variant->reset);
	ASSERT_EQ(0, spapr_unmap(eeh->c, 0, SZ_4K));
	ASSERT_EQ(0, spapr_remove(eeh->c, eeh->start));
	ASSERT_EQ(0, spapr_create(eeh->c, page_shift, SZ_1G, 2, &eeh->start));
	ASSERT_EQ(0, spapr_map(eeh->c, eeh->start, eeh->buf + page_size,
			       page_size));
	ASSERT_EQ(0, spapr_map(eeh->c, 0, eeh->buf, SZ_4K));
	deassert_reset(_metadata, eeh->c);
	expect_dma(_metadata, eeh);
}

/* In a reset nobody can configure a device. One that is closed is in none. */
TEST_F(recovery, not_ended)
{
	FIXTURE_DATA(eeh) *eeh = &self->eeh;

	assert_reset(_metadata, eeh->c, variant->reset);
	edu_close(&eeh->edu);
	ASSERT_EQ(0, edu_open(&eeh->edu));
	expect_dma(_metadata, eeh);

	/* and none that is closed can be brought there */
	edu_close(&eeh->edu);
	EXPECT_EQ(-ENODEV, spapr_eeh(eeh->c, variant->reset));
	EXPECT_EQ(OP(STATE_NORMAL), spapr_eeh(eeh->c, OP(GET_STATE)));
	ASSERT_EQ(0, edu_open(&eeh->edu));
	expect_dma(_metadata, eeh);
}

/* ---- what is refused ---- */

TEST_F(eeh, refused)
{
	struct vfio_eeh_pe_op op = { .argsz = sizeof(op) };
	uint32_t what;

	for (what = OP(INJECT_ERR) + 1; what < 40; what++)
		EXPECT_EQ(-EINVAL, spapr_eeh(self->c, what));
	EXPECT_EQ(-EINVAL, spapr_eeh(self->c, -1U));

	/* An injection needs all of its argument */
	op.op = OP(INJECT_ERR);
	op.argsz = sizeof(op) - 1;
	op.err.func = 1000;
	EXPECT_EQ(-EINVAL, spapr_ioctl(self->c, VFIO_EEH_PE_OP, &op));
	op.argsz = sizeof(op);
	EXPECT_EQ(-EINVAL, spapr_ioctl(self->c, VFIO_EEH_PE_OP, &op));
	op.err.func = 0;
	op.err.type = 1000;
	EXPECT_EQ(-ERANGE, spapr_ioctl(self->c, VFIO_EEH_PE_OP, &op));
	EXPECT_EQ(OP(STATE_NORMAL), spapr_eeh(self->c, OP(GET_STATE)));
	expect_dma(_metadata, self);
}

/* Whatever the firmware says of it, the device works after a recovery. */
TEST_F(eeh, injected)
{
	struct vfio_eeh_pe_op op = {
		.argsz = sizeof(op), .op = OP(INJECT_ERR),
	};
	int ret = spapr_ioctl(self->c, VFIO_EEH_PE_OP, &op);

	TH_LOG("INJECT_ERR: %d", ret);
	EXPECT_TRUE(!ret || ret == -ENXIO || ret == -EIO);
	ASSERT_EQ(0, spapr_eeh(self->c, OP(RESET_HOT)));
	deassert_reset(_metadata, self->c);
	expect_dma(_metadata, self);
}

/* What a guest does first; the device is what it was. */
TEST_F(eeh, enable)
{
	ASSERT_EQ(0, spapr_eeh(self->c, OP(ENABLE)));
	EXPECT_TRUE(edu_is_master(&self->edu));
	EXPECT_EQ(OP(STATE_NORMAL), spapr_eeh(self->c, OP(GET_STATE)));
	expect_dma(_metadata, self);
}

/* A device that is not open may be another one's next. It can be looked at. */
TEST_F(eeh, closed)
{
	const uint32_t changes[] = {
		OP(ENABLE), OP(UNFREEZE_IO), OP(UNFREEZE_DMA),
		OP(RESET_HOT), OP(RESET_FUNDAMENTAL), OP(RESET_DEACTIVATE),
		OP(CONFIGURE), OP(INJECT_ERR),
	};
	struct vfio_eeh_pe_op op = { .argsz = sizeof(op) };
	unsigned int i;

	edu_close(&self->edu);
	for (i = 0; i < ARRAY_SIZE(changes); i++) {
		op.op = changes[i];
		EXPECT_EQ(-ENODEV, spapr_ioctl(self->c, VFIO_EEH_PE_OP, &op)) {
			TH_LOG("operation %u", changes[i]);
		}
	}
	EXPECT_EQ(0, spapr_eeh(self->c, OP(DISABLE)));
	EXPECT_EQ(OP(STATE_NORMAL), spapr_eeh(self->c, OP(GET_STATE)));
	EXPECT_EQ(-EINVAL, spapr_eeh(self->c, OP(INJECT_ERR) + 1));

	ASSERT_EQ(0, edu_open(&self->edu));
	expect_dma(_metadata, self);
}

/* ---- two functions of a PE ---- */

/* The other function, bound to vfio-pci. */
static bool find_other(struct slot *other, const struct edu *edu)
{
	struct slot all;

	return !read_slot(&all, edu->group) && slot_others(&all, edu, other) &&
	       !slot_bring(other);
}

/* It is nobody's, as before: a group stays with its last device of vfio-pci. */
static int leave_other(const struct slot *slot)
{
	struct edu other = {};
	char path[PATH_MAX];

	strcpy(other.name, slot->name[0]);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override",
		 other.name);
	return write_text(path, "\n") ?: edu_unbind(&other);
}

/* The one is opened and closed; the other one remains what it was. */
TEST_F(eeh, other_closed)
{
	struct edu other = { .group_fd = -1, .fd = -1 };
	struct slot slot;

	if (!find_other(&slot, &self->edu))
		SKIP(return, "the group has one device");
	strcpy(other.name, slot.name[0]);
	other.fd = ioctl(self->edu.group_fd, VFIO_GROUP_GET_DEVICE_FD,
			 other.name);
	ASSERT_LE(0, other.fd);
	ASSERT_EQ(0, spapr_eeh(self->c, OP(RESET_HOT)));
	close(other.fd);
	deassert_reset(_metadata, self->c);
	ASSERT_EQ(0, spapr_eeh(self->c, OP(RESET_HOT)));
	deassert_reset(_metadata, self->c);
	expect_dma(_metadata, self);
	EXPECT_EQ(0, leave_other(&slot));
}

struct remover {
	struct slot slot;
	int ret;
};

static void *remove_slot(void *arg)
{
	struct remover *remover = arg;

	remover->ret = slot_remove(&remover->slot);
	return NULL;
}

/* The end of a reset, by closing, walks the devices that there are. */
TEST_F(eeh, other_removed)
{
	struct remover remover = {};
	pthread_t thread;
	int i;

	if (!find_other(&remover.slot, &self->edu))
		SKIP(return, "the group has one device");
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, spapr_eeh(self->c, OP(RESET_HOT)));
		ASSERT_EQ(0, pthread_create(&thread, NULL, remove_slot,
					    &remover));
		edu_close(&self->edu);
		pthread_join(thread, NULL);
		ASSERT_EQ(0, remover.ret);
		ASSERT_EQ(0, slot_bring(&remover.slot));
		ASSERT_EQ(0, edu_open(&self->edu));
		expect_dma(_metadata, self);
	}
	EXPECT_EQ(0, leave_other(&remover.slot));
}

/* ---- against an administrator ---- */

/* A process of its own for what may hang: it can be waited for, and given up. */
struct actor {
	pid_t pid;
	int status;
};

/* The child has nothing of what the open device is kept by. */
static void act(struct __test_metadata *_metadata, struct actor *actor,
		struct edu *edu, int (*fn)(const struct edu *edu))
{
	int fd;

	actor->pid = fork();
	ASSERT_LE(0, actor->pid);
	if (actor->pid)
		return;
	munmap((void *)edu->bar, SZ_1M);
	for (fd = 3; fd < 100; fd++)
		close(fd);
	_exit(-fn(edu));
}

static void expect_end(struct __test_metadata *_metadata, struct actor *actor,
		       int status)
{
	ASSERT_TRUE(has_ended(actor->pid, ENDS_IN, &actor->status)) {
		TH_LOG("hangs for ever");
	}
	EXPECT_EQ(status, actor->status);
}

static void expect_no_end(struct __test_metadata *_metadata,
			  struct actor *actor)
{
	ASSERT_FALSE(has_ended(actor->pid, 1, &actor->status));
}

/* A thread that does something again and again, and what it has seen. */
struct caller {
	pthread_t thread;
	void (*fn)(struct caller *caller);
	int c;
	char *buf;
	atomic_bool over;
	atomic_int done;
	atomic_int last;
	atomic_bool returned;
};

static void *call(void *arg)
{
	struct caller *caller = arg;

	do {
		caller->fn(caller);
		/* A benchmark need not count this */
		nap(5);
	} while (!atomic_load(&caller->over));
	atomic_store(&caller->returned, true);
	return NULL;
}

static void begin(struct __test_metadata *_metadata, struct caller *caller)
{
	ASSERT_EQ(0, pthread_create(&caller->thread, NULL, call, caller));
}

static void end(struct __test_metadata *_metadata, struct caller *caller)
{
	int tries;

	atomic_store(&caller->over, true);
	for (tries = 0; tries < ENDS_IN * 50; tries++) {
		if (atomic_load(&caller->returned))
			break;
		nap(20);
	}
	ASSERT_TRUE(atomic_load(&caller->returned)) {
		TH_LOG("hangs for ever");
	}
	pthread_join(caller->thread, NULL);
}

static void note(struct caller *caller, int ret)
{
	atomic_store(&caller->last, ret);
	atomic_fetch_add(&caller->done, 1);
}

static void reset_hot(struct caller *caller)
{
	note(caller, spapr_eeh(caller->c, OP(RESET_HOT)));
	spapr_eeh(caller->c, OP(RESET_DEACTIVATE));
}

static void get_state(struct caller *caller)
{
	note(caller, spapr_eeh(caller->c, OP(GET_STATE)));
}

static void change_windows(struct caller *caller)
{
	uint64_t start;

	if (!spapr_create(caller->c, 12, SZ_1G, 2, &start)) {
		spapr_map(caller->c, start, caller->buf, SZ_64K);
		spapr_remove(caller->c, start);
	}
	spapr_map(caller->c, SZ_16M, caller->buf, SZ_64K);
	note(caller, spapr_unmap(caller->c, SZ_16M, SZ_64K));
}

FIXTURE(admin)
{
	FIXTURE_DATA(eeh) eeh;
	struct caller caller;
};

FIXTURE_VARIANT(admin)
{
	int (*what)(const struct edu *edu);
	void (*call)(struct caller *caller);
};

FIXTURE_VARIANT_ADD(admin, unbind_reset) { edu_unbind, reset_hot };
FIXTURE_VARIANT_ADD(admin, unbind_get_state) { edu_unbind, get_state };
FIXTURE_VARIANT_ADD(admin, remove_reset) { edu_remove, reset_hot };
FIXTURE_VARIANT_ADD(admin, remove_get_state) { edu_remove, get_state };

FIXTURE_SETUP(admin)
{
	eeh_setup(_metadata, &self->eeh, NULL);
	if (_metadata->exit_code)
		return;
	self->caller.fn = variant->call;
	self->caller.c = self->eeh.c;
}

FIXTURE_TEARDOWN(admin)
{
	eeh_teardown(_metadata, &self->eeh, NULL);
}

/* The administrator waits for the device to be closed, EEH for the device. */
TEST_F(admin, closed_later)
{
	struct edu *edu = &self->eeh.edu;
	struct actor admin;
	uint64_t start;

	act(_metadata, &admin, edu, variant->what);
	expect_no_end(_metadata, &admin);
	begin(_metadata, &self->caller);
	nap(1000);

	/* The rest of the container works on */
	ASSERT_EQ(0, spapr_unmap(self->eeh.c, 0, SZ_4K));
	ASSERT_EQ(0, spapr_remove(self->eeh.c, self->eeh.start));
	ASSERT_EQ(0, spapr_create(self->eeh.c, page_shift, SZ_1G, 1, &start));
	expect_no_end(_metadata, &admin);

	edu_close(edu);
	expect_end(_metadata, &admin, 0);
	end(_metadata, &self->caller);
	/* The container has ended with its only group */
	EXPECT_EQ(-EINVAL, spapr_eeh(self->eeh.c, OP(GET_STATE)));

	edu_close_group(edu);
	ASSERT_EQ(0, edu_come_back(edu));
}

/* The operations come first, and go on all the time; windows change as well. */
TEST_F(admin, in_a_loop)
{
	struct caller changer = { .fn = change_windows, .c = self->eeh.c,
				  .buf = self->eeh.buf };
	struct edu *edu = &self->eeh.edu;
	struct actor admin;

	begin(_metadata, &self->caller);
	begin(_metadata, &changer);
	nap(300);
	act(_metadata, &admin, edu, variant->what);
	expect_no_end(_metadata, &admin);
	edu_close(edu);
	expect_end(_metadata, &admin, 0);
	end(_metadata, &self->caller);
	end(_metadata, &changer);
	EXPECT_LT(0, atomic_load(&self->caller.done));
	EXPECT_LT(0, atomic_load(&changer.done));

	edu_close_group(edu);
	ASSERT_EQ(0, edu_come_back(edu));
}

/* A group of its own, whose removal keeps EEH waiting everywhere. */
FIXTURE(neighbour)
{
	FIXTURE_DATA(eeh) eeh;
	struct edu edu[2];
	int c;
};

FIXTURE_VARIANT(neighbour)
{
	void (*call)(struct caller *caller);
};

FIXTURE_VARIANT_ADD(neighbour, get_state) { get_state };
FIXTURE_VARIANT_ADD(neighbour, reset) { reset_hot };

FIXTURE_SETUP(neighbour)
{
	if (edu_find(self->edu, 2) < 2)
		SKIP(return, "no two groups with an edu device each");
	eeh_setup(_metadata, &self->eeh, NULL);
	if (_metadata->exit_code)
		return;
	edu_close(&self->eeh.edu);
	self->c = container_open();
	ASSERT_LE(0, edu_open_group(&self->edu[1]));
	ASSERT_EQ(0, container_add(self->c, &self->edu[1]));
	ASSERT_EQ(0, container_set_iommu(self->c, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, edu_open(&self->edu[1]));
}

FIXTURE_TEARDOWN(neighbour)
{
	edu_close(&self->edu[1]);
	edu_close_group(&self->edu[1]);
	close(self->c);
	eeh_teardown(_metadata, &self->eeh, NULL);
}

/*
 * A group can leave while EEH waits, and be another container's at once: EEH,
 * when it comes to its turn, leaves the device alone.
 */
TEST_F(neighbour, group_leaves)
{
	struct caller caller = { .fn = variant->call, .c = self->eeh.c };
	struct edu *edu = &self->eeh.edu;
	struct actor admin;
	int c;

	act(_metadata, &admin, &self->edu[1], edu_remove);
	expect_no_end(_metadata, &admin);
	begin(_metadata, &caller);
	atomic_store(&caller.over, true);
	nap(300);
	ASSERT_FALSE(atomic_load(&caller.returned));

	ASSERT_EQ(0, container_del(self->eeh.c, edu));
	c = container_open();
	ASSERT_EQ(0, container_add(c, edu));
	ASSERT_EQ(0, container_set_iommu(c, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, edu_open(edu));
	ASSERT_FALSE(atomic_load(&caller.returned));

	edu_close(&self->edu[1]);
	expect_end(_metadata, &admin, 0);
	end(_metadata, &caller);
	EXPECT_EQ(-ENODEV, atomic_load(&caller.last));
	/* A reset would have switched that off */
	EXPECT_TRUE(edu_is_master(edu));
	EXPECT_EQ(OP(STATE_NORMAL), spapr_eeh(c, OP(GET_STATE)));
	edu_close(edu);
	ASSERT_EQ(0, container_del(c, edu));
	close(c);
	edu_close_group(&self->edu[1]);
	ASSERT_EQ(0, edu_come_back(&self->edu[1]));
}

/* A process of its own has the device, and is killed in the middle of it. */
FIXTURE(victim)
{
	struct usage was;
	struct edu edu;
};

FIXTURE_VARIANT(victim)
{
	int (*what)(const struct edu *edu);
	void (*call)(struct caller *caller);
};

FIXTURE_VARIANT_ADD(victim, unbind_reset) { edu_unbind, reset_hot };
FIXTURE_VARIANT_ADD(victim, remove_reset) { edu_remove, reset_hot };
FIXTURE_VARIANT_ADD(victim, remove_get_state) { edu_remove, get_state };

FIXTURE_SETUP(victim)
{
	int c = container_open();

	if (!edu_find(&self->edu, 1))
		SKIP(return, "no edu device is bound to vfio-pci");
	if (!has_eeh(c))
		SKIP(return, "no EEH on this machine");
	close(c);
	self->was = usage_at_rest();
}

FIXTURE_TEARDOWN(victim)
{
	expect_usage(_metadata, &self->was);
}

static void __attribute__((noreturn))
be_victim(struct edu *edu, void (*fn)(struct caller *caller), int ready_fd,
	  int go_fd)
{
	struct caller caller = { .fn = fn, .c = container_open() };
	char ready = 1;

	if (edu_open_group(edu) < 0 || container_add(caller.c, edu) ||
	    container_set_iommu(caller.c, VFIO_SPAPR_TCE_v2_IOMMU) ||
	    edu_open(edu))
		_exit(1);
	if (write(ready_fd, &ready, 1) != 1 || read(go_fd, &ready, 1) != 1)
		_exit(1);
	call(&caller);
	_exit(1);
}

TEST_F(victim, killed)
{
	struct actor victim, admin;
	int ready_fd[2], go_fd[2];
	char ready;

	ASSERT_EQ(0, pipe(ready_fd));
	ASSERT_EQ(0, pipe(go_fd));
	victim.pid = fork();
	ASSERT_LE(0, victim.pid);
	if (!victim.pid)
		be_victim(&self->edu, variant->call, ready_fd[1], go_fd[0]);
	close(ready_fd[1]);
	ASSERT_EQ(1, read(ready_fd[0], &ready, 1));
	close(ready_fd[0]);

	admin.pid = fork();
	ASSERT_LE(0, admin.pid);
	if (!admin.pid)
		_exit(-variant->what(&self->edu));
	expect_no_end(_metadata, &admin);

	/* The administrator waits already. */
	ASSERT_EQ(1, write(go_fd[1], &ready, 1));
	expect_no_end(_metadata, &victim);
	close(go_fd[0]);
	close(go_fd[1]);

	kill(victim.pid, SIGKILL);
	expect_end(_metadata, &victim, SIGKILL);
	expect_end(_metadata, &admin, 0);
	ASSERT_EQ(0, edu_come_back(&self->edu));
}

TEST_HARNESS_MAIN
