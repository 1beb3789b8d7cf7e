// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory whose page faults a process handles itself (userfaultfd): a handler
 * that takes its time, one that never answers, and one that goes. A call that
 * waits for it can be killed, leaves nothing behind then, and keeps nobody
 * waiting that needs no memory.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <endian.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "kvm_fixture.h"
#include "spapr_call.h"

#define PAGES		8UL
/* More than are pinned at a time, twice, and some. */
#define MANY_PAGES	1100UL
#define MANY_PRESENT	1030UL
/* Bus addresses of the page that the device writes to, and of other memory */
#define SEEN		SZ_16M
#define OTHER		SZ_1G	/* behind all pages of the largest size */
#define SLOW_US		20000
#define SECOND_US	1000000
/* A process that ends resets its device, which takes firmware seconds. */
#define RESET_US	(10 * SECOND_US)

/* ---- memory without pages ---- */

struct faults {
	int fd;
	char *buf;
	size_t size;
	/* a thread that handles them, until it is stopped */
	pthread_t thread;
	atomic_bool stop;
	atomic_uint served;
	/* what it gives; NULL: as buf_tag() would write it */
	const void *give;
};

static int faults_open(struct faults *f)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)f->buf, .len = f->size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	/* poll() wants one that does not block. */
	f->fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (f->fd < 0 || ioctl(f->fd, UFFDIO_API, &api) ||
	    ioctl(f->fd, UFFDIO_REGISTER, &reg))
		return -errno;
	return 0;
}

static bool have_userfaultfd(void)
{
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

/* Does a fault wait for the handler, within @ms? */
static bool faults_wait(const struct faults *f, int ms)
{
	struct pollfd pfd = { .fd = f->fd, .events = POLLIN };

	return poll(&pfd, 1, ms) == 1 && pfd.revents == POLLIN;
}

static int serve(struct faults *f, void *page)
{
	struct uffd_msg msg;
	struct uffdio_copy copy = { .len = page_size };

	if (read(f->fd, &msg, sizeof(msg)) != sizeof(msg))
		return errno == EAGAIN ? 0 : -errno;
	usleep(SLOW_US);
	copy.dst = msg.arg.pagefault.address & -page_size;
	copy.src = (uintptr_t)page;
	if (f->give)
		memcpy(page, f->give, page_size);
	else
		buf_tag_for(page, (void *)(uintptr_t)copy.dst, page_size);
	if (ioctl(f->fd, UFFDIO_COPY, &copy) && errno != EEXIST)
		return -errno;
	atomic_fetch_add(&f->served, 1);
	return 0;
}

static void *handler(void *arg)
{
	struct faults *f = arg;
	void *page = buf_alloc(page_size, page_size);

	while (!atomic_load(&f->stop)) {
		if (faults_wait(f, 10) && serve(f, page))
			break;
	}
	munmap(page, page_size);
	return NULL;
}

static void handler_start(struct faults *f)
{
	atomic_store(&f->stop, false);
	atomic_store(&f->served, 0);
	if (pthread_create(&f->thread, NULL, handler, f))
		abort();
}

static void handler_stop(struct faults *f)
{
	atomic_store(&f->stop, true);
	pthread_join(f->thread, NULL);
}

/* ---- the calls ---- */

static int map_at_0(int c, const void *ua, uint64_t size)
{
	return spapr_map(c, 0, ua, size);
}

static int enable(int c)
{
	return spapr_ioctl(c, VFIO_IOMMU_ENABLE, NULL);
}

/* What needs no memory that the handler has to give: none of it waits. */
static int others(int c, const void *ua, uint64_t size)
{
	struct vfio_iommu_spapr_tce_info info;
	uint64_t start;
	int ret;

	ret = spapr_map(c, OTHER, ua, size) ?: spapr_unmap(c, OTHER, size);
	ret = ret ?: spapr_create(c, 12, SZ_1G, 1, &start);
	ret = ret ?: spapr_map(c, start, ua, SZ_64K);
	ret = ret ?: spapr_remove(c, start);
	ret = ret ?: spapr_info(c, &info);
	return ret ?: spapr_map(c, OTHER, ua, size);
}

static int others_v1(int c, const void *ua, uint64_t size)
{
	struct vfio_iommu_spapr_tce_info info;
	int ret;

	ret = spapr_map(c, OTHER, ua, size) ?: spapr_unmap(c, OTHER, size);
	ret = ret ?: spapr_info(c, &info);
	ret = ret ?: spapr_ioctl(c, VFIO_IOMMU_DISABLE, NULL);
	ret = ret ?: enable(c);
	return ret ?: spapr_map(c, OTHER, ua, size);
}

FIXTURE(userfault)
{
	struct usage was;
	struct edu edu;
	int c;
	struct faults f;
	/* ordinary memory; a page of it for the device to write to */
	char *other;
	char *seen;
	struct call call;
	struct call second;
	/* when the container and @other are in use */
	struct usage during;
};

FIXTURE_VARIANT(userfault)
{
	bool first_version;
	bool shared;
};

FIXTURE_VARIANT_ADD(userfault, v2_private) { false, false };
FIXTURE_VARIANT_ADD(userfault, v2_shared) { false, true };
FIXTURE_VARIANT_ADD(userfault, v1_private) { true, false };
FIXTURE_VARIANT_ADD(userfault, v1_shared) { true, true };

static char *memory(size_t size, bool shared)
{
	int fd = memfd_create("userfault", MFD_CLOEXEC);
	char *buf = buf_alloc(size, page_size);

	if (shared && (fd < 0 || ftruncate(fd, size) ||
		       mmap(buf, size, PROT_READ | PROT_WRITE, MAP_SHARED |
			    MAP_FIXED, fd, 0) != buf))
		return NULL;
	close(fd);
	return buf;
}

/* The container with its group, and ordinary memory mapped. */
static int use_container(FIXTURE_DATA(userfault) *self, bool first_version)
{
	int c = self->c, ret;

	ret = container_add(c, &self->edu);
	ret = ret ?: container_set_iommu(c, first_version ?
					 VFIO_SPAPR_TCE_IOMMU :
					 VFIO_SPAPR_TCE_v2_IOMMU);
	ret = ret ?: edu_open(&self->edu);
	ret = ret ?: first_version ? enable(c) :
		     spapr_register(c, self->other, SZ_1M);
	return ret ?: spapr_map(c, OTHER, self->other, SZ_1M);
}

FIXTURE_SETUP(userfault)
{
	if (!edu_find(&self->edu, 1))
		SKIP(return, "no edu device is bound to vfio-pci");
	if (!have_userfaultfd())
		SKIP(return, "the kernel has no userfaultfd");
	self->was = usage_at_rest();
	self->other = buf_alloc(SZ_1M, SZ_1M);
	self->seen = self->other + SZ_64K;
	self->c = container_open();
	ASSERT_LE(0, edu_open_group(&self->edu));
	ASSERT_EQ(0, use_container(self, variant->first_version));
	self->f.size = PAGES * page_size;
	self->f.buf = memory(self->f.size, variant->shared);
	ASSERT_NE(NULL, self->f.buf);
	ASSERT_EQ(0, faults_open(&self->f));
	self->during = usage_now();
	self->call = (struct call){
		.fn = variant->first_version ? map_at_0 : spapr_register,
		.c = self->c, .ua = self->f.buf, .size = self->f.size,
	};
}

FIXTURE_TEARDOWN(userfault)
{
	close(self->f.fd);
	EXPECT_EQ(0, check_invariants());
	edu_close(&self->edu);
	edu_close_group(&self->edu);
	close(self->c);
	expect_usage(_metadata, &self->was);
}

/* All of the call's memory is pinned, charged where it is, and reached. */
static void expect_reach(struct __test_metadata *_metadata,
			 FIXTURE_DATA(userfault) *self, bool first_version)
{
	const struct call *call = &self->call;
	char *seen = self->seen, *buf = (char *)call->ua;
	size_t i, page = first_version ? SZ_4K : page_size;

	EXPECT_EQ(self->during.pinned + call->size / page, pinned_pages());
	EXPECT_EQ(self->during.locked_kb + (first_version ? 0 :
					    KB(call->size)), locked_kb());
	if (!first_version) {
		ASSERT_EQ(0, spapr_map(self->c, 0, buf, call->size));
	}
	for (i = 0; i < call->size; i += 3 * page_size) {
		edu_copy(&self->edu, OTHER + SZ_64K, i, SZ_4K);
		EXPECT_EQ(0, memcmp(seen, buf + i, SZ_4K));
		memset(seen, 0x5a + i / page_size, SZ_4K);
		edu_copy(&self->edu, i, OTHER + SZ_64K, SZ_4K);
		EXPECT_EQ(0, memcmp(seen, buf + i, SZ_4K));
	}
	EXPECT_EQ(0, spapr_unmap(self->c, 0, call->size));
	if (!first_version) {
		EXPECT_EQ(0, spapr_unregister(self->c, buf, call->size));
	}
	expect_usage(_metadata, &self->during);
}

/* The device finds what the handler gave, as late as it was. */
TEST_F(userfault, slow)
{
	handler_start(&self->f);
	ASSERT_EQ(0, call_it(&self->call));
	handler_stop(&self->f);
	EXPECT_EQ(PAGES, self->f.served);
	EXPECT_TRUE(buf_is_tagged(self->f.buf, self->f.size));
	expect_reach(_metadata, self, variant->first_version);
}

/* A call that waits until a fault is handled. */
static pid_t start_and_wait(struct __test_metadata *_metadata,
			    struct call *call, struct faults *f)
{
	pid_t pid = call_start(call);

	EXPECT_LT(0, pid);
	EXPECT_TRUE(faults_wait(f, 5000));
	return pid;
}

/* Runs to its end within seconds; a call that waits for ever is killed. */
static void expect_end(struct __test_metadata *_metadata, struct call *call)
{
	pid_t pid = call_start(call);
	int status = -1;

	ASSERT_LT(0, pid);
	EXPECT_TRUE(has_ended(pid, 10, &status)) {
		kill_us(_metadata, pid);
	}
	EXPECT_EQ(0, status) {
		TH_LOG("returned %d", call->ret);
	}
}

static struct call make_others(FIXTURE_DATA(userfault) *self,
			       bool first_version)
{
	return (struct call){
		.fn = first_version ? others_v1 : others, .c = self->c,
		.ua = self->other, .size = SZ_1M,
	};
}

/* Nothing is left of it, and the same memory can be used. */
static void expect_works(struct __test_metadata *_metadata,
			 FIXTURE_DATA(userfault) *self, bool first_version)
{
	expect_usage(_metadata, &self->during);
	handler_start(&self->f);
	ASSERT_EQ(0, call_it(&self->call));
	handler_stop(&self->f);
	expect_reach(_metadata, self, first_version);
}

/* Nobody answers: others go on, and SIGKILL ends the call at once. */
TEST_F(userfault, never)
{
	pid_t pid = start_and_wait(_metadata, &self->call, &self->f);

	self->second = make_others(self, variant->first_version);
	expect_end(_metadata, &self->second);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	EXPECT_GT(SECOND_US, kill_us(_metadata, pid));
	expect_works(_metadata, self, variant->first_version);
}

/* Who waits for the same, or for the first one to end, can be killed, too. */
TEST_F(userfault, two_wait)
{
	pid_t first = start_and_wait(_metadata, &self->call, &self->f), second;

	self->second = self->call;
	self->second.ua = self->f.buf + self->f.size / 2;
	self->second.size = self->f.size / 2;
	second = call_start(&self->second);
	ASSERT_LT(0, second);
	usleep(SLOW_US);
	EXPECT_EQ(0, waitpid(second, NULL, WNOHANG));
	EXPECT_GT(SECOND_US, kill_us(_metadata, second));
	EXPECT_EQ(0, waitpid(first, NULL, WNOHANG));
	EXPECT_GT(SECOND_US, kill_us(_metadata, first));
	expect_works(_metadata, self, variant->first_version);
}

/* Killed with most of its pages pinned. */
TEST_F(userfault, never_the_last_pages)
{
	size_t size = MANY_PAGES * page_size;
	struct faults *f = &self->f;

	close(f->fd);
	f->size = size;
	f->buf = memory(size, variant->shared);
	ASSERT_NE(NULL, f->buf);
	memset(f->buf, 1, MANY_PRESENT * page_size);
	ASSERT_EQ(0, faults_open(f));
	self->call.ua = f->buf;
	self->call.size = size;

	EXPECT_GT(SECOND_US, kill_us(_metadata,
				     start_and_wait(_metadata, &self->call,
						    &self->f)));
	expect_usage(_metadata, &self->during);
	/* Not one page of it keeps a pin: another process may have it. */
	handler_start(f);
	ASSERT_EQ(0, call_it(&self->call));
	handler_stop(f);
	EXPECT_EQ(MANY_PAGES - MANY_PRESENT, f->served);
	EXPECT_EQ(0, spapr_unmap(self->c, 0, size));
	if (!variant->first_version) {
		EXPECT_EQ(0, spapr_unregister(self->c, f->buf, size));
	}
	expect_usage(_metadata, &self->during);
}

/* The call that waited for a handler that is gone: all of it, or none. */
static void expect_all_or_none(struct __test_metadata *_metadata,
			       FIXTURE_DATA(userfault) *self, pid_t pid,
			       bool first_version)
{
	int status = -1;

	EXPECT_TRUE(has_ended(pid, 10, &status)) {
		kill_us(_metadata, pid);
	}
	ASSERT_TRUE(WIFEXITED(status));
	if (!self->call.ret) {
		expect_reach(_metadata, self, first_version);
		return;
	}
	EXPECT_EQ(-EFAULT, self->call.ret);
	expect_usage(_metadata, &self->during);
}

TEST_F(userfault, handler_closes)
{
	pid_t pid = start_and_wait(_metadata, &self->call, &self->f);

	close(self->f.fd);
	self->f.fd = -1;
	expect_all_or_none(_metadata, self, pid, variant->first_version);
}

/* Another process has the descriptor, and dies. */
TEST_F(userfault, handler_dies)
{
	pid_t holder, pid;

	holder = fork();
	ASSERT_LE(0, holder);
	if (!holder)
		for (;;)
			pause();
	pid = start_and_wait(_metadata, &self->call, &self->f);
	/* CLONE_FILES: the caller has no other one. */
	close(self->f.fd);
	self->f.fd = -1;
	usleep(SLOW_US);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	kill_us(_metadata, holder);
	expect_all_or_none(_metadata, self, pid, variant->first_version);
}

static int leave(int c, const void *ua, uint64_t size)
{
	FIXTURE_DATA(userfault) *self = (void *)ua;

	edu_close(&self->edu);
	return container_del(c, &self->edu);
}

/* The group is taken away meanwhile, and that does not wait. */
TEST_F(userfault, group_leaves)
{
	bool first_version = variant->first_version;
	pid_t pid = start_and_wait(_metadata, &self->call, &self->f);

	self->second = (struct call){ leave, self->c, self };
	expect_end(_metadata, &self->second);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	EXPECT_GT(SECOND_US, kill_us(_metadata, pid));
	EXPECT_EQ(0, check_invariants());
	EXPECT_EQ(self->was.pinned, pinned_pages_settle(self->was.pinned));
	EXPECT_EQ(self->was.locked_kb, locked_kb());

	ASSERT_EQ(0, use_container(self, first_version));
	self->during = usage_now();
	expect_works(_metadata, self, first_version);
}

/* ---- a whole process ---- */

/* Says when its call waits for a handler that there is not. */
static void __attribute__((noreturn))
victim(FIXTURE_DATA(userfault) *self, bool first_version, int out)
{
	struct faults *f = &self->f;
	int step = 0;

	self->c = container_open();
	if (edu_open_group(&self->edu) < 0)
		step = 1;
	else if (use_container(self, first_version))
		step = 2;
	else if (faults_open(f))
		step = 3;
	self->call.c = self->c;
	if (!step && (call_start(&self->call) < 0 || !faults_wait(f, 5000)))
		step = 4;
	if (write(out, &step, sizeof(step)) == sizeof(step) && !step)
		/* Waits for it as well, in this process. */
		call_it(&self->call);
	_exit(1);
}

/* Its device, its group and all memory are free again at once. */
TEST_F(userfault, process_dies)
{
	int step = -1, fds[2];
	pid_t pid;

	close(self->f.fd);
	edu_close(&self->edu);
	edu_close_group(&self->edu);
	close(self->c);
	ASSERT_EQ(0, pipe(fds));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		setpgid(0, 0);
		victim(self, variant->first_version, fds[1]);
	}
	ASSERT_EQ(sizeof(step), read(fds[0], &step, sizeof(step)));
	ASSERT_EQ(0, step);
	usleep(SLOW_US);
	/* Also the one that shares its memory */
	EXPECT_EQ(0, kill(-pid, SIGKILL));
	EXPECT_GT(RESET_US, kill_us(_metadata, pid));

	EXPECT_EQ(self->was.pinned, pinned_pages_settle(self->was.pinned));
	self->c = container_open();
	ASSERT_LE(0, edu_open_group(&self->edu));
	ASSERT_EQ(0, use_container(self, variant->first_version));
	ASSERT_EQ(0, faults_open(&self->f));
	self->call.c = self->c;
	self->during = usage_now();
	expect_works(_metadata, self, variant->first_version);
}

/* ---- arguments ---- */

static int request(int c, const void *arg, uint64_t request)
{
	return spapr_ioctl(c, request, (void *)arg);
}

FIXTURE(argument)
{
	FIXTURE_DATA(userfault) u;
	char *page;
};

FIXTURE_VARIANT(argument)
{
	unsigned long request;
};

FIXTURE_VARIANT_ADD(argument, map) { VFIO_IOMMU_MAP_DMA };
FIXTURE_VARIANT_ADD(argument, unmap) { VFIO_IOMMU_UNMAP_DMA };
FIXTURE_VARIANT_ADD(argument, reg) { VFIO_IOMMU_SPAPR_REGISTER_MEMORY };
FIXTURE_VARIANT_ADD(argument, unreg) { VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY };
FIXTURE_VARIANT_ADD(argument, create) { VFIO_IOMMU_SPAPR_TCE_CREATE };
FIXTURE_VARIANT_ADD(argument, remove) { VFIO_IOMMU_SPAPR_TCE_REMOVE };
FIXTURE_VARIANT_ADD(argument, info) { VFIO_IOMMU_SPAPR_TCE_GET_INFO };

/* What the handler gives: an argument that works. */
static void fill_argument(char *page, unsigned long request, char *other)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = VFIO_DMA_MAP_FLAG_READ,
		.vaddr = (uintptr_t)other, .iova = SZ_1M, .size = SZ_64K,
	};
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .iova = SZ_1M, .size = SZ_64K,
	};
	struct vfio_iommu_spapr_register_memory memory = {
		.argsz = sizeof(memory), .vaddr = (uintptr_t)page,
		.size = page_size,
	};
	struct vfio_iommu_spapr_tce_create create = {
		.argsz = sizeof(create), .page_shift = 16,
		.window_size = SZ_1G, .levels = 1,
	};
	struct vfio_iommu_spapr_tce_remove remove = {
		.argsz = sizeof(remove), .start_addr = SLOT1_START,
	};
	uint32_t argsz = sizeof(struct vfio_iommu_spapr_tce_info);

	switch (request) {
	case VFIO_IOMMU_MAP_DMA:
		memcpy(page, &map, sizeof(map));
		break;
	case VFIO_IOMMU_UNMAP_DMA:
		memcpy(page, &unmap, sizeof(unmap));
		break;
	case VFIO_IOMMU_SPAPR_REGISTER_MEMORY:
	case VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY:
		memcpy(page, &memory, sizeof(memory));
		break;
	case VFIO_IOMMU_SPAPR_TCE_CREATE:
		memcpy(page, &create, sizeof(create));
		break;
	case VFIO_IOMMU_SPAPR_TCE_REMOVE:
		memcpy(page, &remove, sizeof(remove));
		break;
	default:
		memcpy(page, &argsz, sizeof(argsz));
	}
}

FIXTURE_SETUP(argument)
{
	static const FIXTURE_VARIANT(userfault) v2 = { false, false };

	userfault_setup(_metadata, &self->u, &v2);
	if (_metadata->exit_code)
		return;
	self->page = buf_alloc(page_size, page_size);
	fill_argument(self->page, variant->request, self->u.other);
	self->u.call = (struct call){
		.fn = request, .c = self->u.c, .ua = self->u.f.buf,
		.size = variant->request,
	};
	self->u.f.give = self->page;
}

FIXTURE_TEARDOWN(argument)
{
	static const FIXTURE_VARIANT(userfault) v2 = { false, false };

	userfault_teardown(_metadata, &self->u, &v2);
}

static int others_and_memory(int c, const void *ua, uint64_t size)
{
	char *more = buf_alloc(page_size, page_size);

	return spapr_register(c, more, page_size) ?: others(c, ua, size) ?:
	       spapr_unregister(c, more, page_size);
}

/*
 * An argument that nobody gives: no lock is held meanwhile. With it, the call
 * works.
 */
TEST_F(argument, never)
{
	FIXTURE_DATA(userfault) *u = &self->u;
	pid_t pid = start_and_wait(_metadata, &u->call, &u->f);

	u->second = make_others(u, false);
	u->second.fn = others_and_memory;
	expect_end(_metadata, &u->second);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	EXPECT_GT(SECOND_US, kill_us(_metadata, pid));
	expect_usage(_metadata, &u->during);

	if (variant->request == VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY) {
		ASSERT_EQ(0, spapr_register(u->c, self->page, page_size));
	}
	if (variant->request == VFIO_IOMMU_SPAPR_TCE_REMOVE) {
		ASSERT_EQ(0, spapr_create(u->c, 16, SZ_1G, 1, NULL));
	}
	handler_start(&u->f);
	EXPECT_EQ(0, call_it(&u->call)) {
		TH_LOG("returned %d", u->call.ret);
	}
	handler_stop(&u->f);
	EXPECT_EQ(1, u->f.served);
}

/* ---- debugfs ---- */

#define DEBUGFS		"/sys/kernel/debug/powerpc/tce"

/* What shows the window of this process that was made last. */
static bool newest_file(char *path, size_t size)
{
	unsigned int pid, serial, newest = 0;
	DIR *dir = opendir(DEBUGFS);
	struct dirent *d;

	*path = 0;
	while (dir && (d = readdir(dir))) {
		if (sscanf(d->d_name, "%u-%u", &pid, &serial) != 2 ||
		    pid != (unsigned int)getpid() || serial < newest)
			continue;
		newest = serial;
		snprintf(path, size, DEBUGFS "/%s", d->d_name);
	}
	if (dir)
		closedir(dir);
	return *path;
}

/* Reads the first byte of the file @ua, which stays open. */
static int open_and_read(int c, const void *ua, uint64_t size)
{
	int fd = open(ua, O_RDONLY | O_CLOEXEC);
	char byte;

	return fd >= 0 && read(fd, &byte, 1) == 1 ? 0 : -EIO;
}

static int remove_at(int c, const void *ua, uint64_t start)
{
	return spapr_remove(c, start);
}

FIXTURE(reader)
{
	FIXTURE_DATA(userfault) u;
	struct call third;
	uint64_t start;
	char path[300];
};

FIXTURE_SETUP(reader)
{
	static const FIXTURE_VARIANT(userfault) v2 = { false, false };

	if (access(DEBUGFS, F_OK))
		SKIP(return, "no " DEBUGFS);
	userfault_setup(_metadata, &self->u, &v2);
	if (_metadata->exit_code)
		return;
	ASSERT_EQ(0, spapr_create(self->u.c, 12, SZ_1G, 1, &self->start));
	ASSERT_TRUE(newest_file(self->path, sizeof(self->path)));
}

FIXTURE_TEARDOWN(reader)
{
	static const FIXTURE_VARIANT(userfault) v2 = { false, false };

	userfault_teardown(_metadata, &self->u, &v2);
}

/*
 * REGISTER waits for a handler that never answers. Who reads what the process
 * has does not wait, and nobody waits for the reader.
 */
TEST_F(reader, never)
{
	FIXTURE_DATA(userfault) *u = &self->u;
	pid_t pid = start_and_wait(_metadata, &u->call, &u->f), reader, remover;
	int status = -1;

	u->second = (struct call){ open_and_read, u->c, self->path };
	reader = call_start(&u->second);
	ASSERT_LT(0, reader);
	usleep(SLOW_US);
	self->third = (struct call){ remove_at, u->c, NULL, self->start };
	remover = call_start(&self->third);
	ASSERT_LT(0, remover);
	EXPECT_TRUE(has_ended(remover, 10, &status)) {
		TH_LOG("REMOVE waits");
	}
	EXPECT_EQ(0, status);
	status = -1;
	EXPECT_TRUE(has_ended(reader, 10, &status)) {
		TH_LOG("the reader waits");
	}
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	EXPECT_GT(SECOND_US, kill_us(_metadata, pid));
	EXPECT_EQ(u->during.pinned, pinned_pages_settle(u->during.pinned));
}

/* ---- the list of a hypercall ---- */

#define LIST_GPA	0x20000000UL

FIXTURE(list)
{
	struct guest g;
	/* a second vCPU; the first one makes the hypercall with the list */
	struct vcpu other;
	struct faults f;
	uint64_t *page;
	struct call call;
	struct call second;
	struct call third;
};

FIXTURE_VARIANT(list)
{
	enum mmu mmu;
};

FIXTURE_VARIANT_ADD(list, hash) { HASH };
FIXTURE_VARIANT_ADD(list, radix) { RADIX };

static int put_it(int c, const void *ua, uint64_t size)
{
	FIXTURE_DATA(list) *self = (void *)ua;

	return h_put_tce_indirect(&self->g.cpu, LIOBN, 0, LIST_GPA, MAX_LIST) ?
	       -EIO : 0;
}

FIXTURE_SETUP(list)
{
	unsigned int i;

	/* First: without a guest there is no teardown. */
	if (!have_userfaultfd())
		SKIP(return, "the kernel has no userfaultfd");
	guest_setup_all(_metadata, &self->g, variant->mmu, true);
	if (_metadata->exit_code)
		return;
	vcpu_create(&self->g.vm, &self->other);
	self->f.size = PAGES * page_size;
	self->f.buf = memory(self->f.size, false);
	ASSERT_NE(NULL, self->f.buf);
	ASSERT_EQ(0, vm_memory(&self->g.vm, 2, LIST_GPA, self->f.buf,
			       self->f.size));
	ASSERT_EQ(0, faults_open(&self->f));
	self->page = buf_alloc(page_size, page_size);
	for (i = 0; i < MAX_LIST; i++)
		self->page[i] = htobe64(gpa(A, i * SZ_4K) | TCE_RW);
	self->f.give = self->page;
	self->call = (struct call){ put_it, -1, self };
}

FIXTURE_TEARDOWN(list)
{
	close(self->f.fd);
	vcpu_close(&self->other);
	guest_teardown(_metadata, &self->g);
}

/* The list is what the handler gave, and what is mapped. */
static void expect_list(struct __test_metadata *_metadata,
			FIXTURE_DATA(list) *self)
{
	struct guest *g = &self->g;

	handler_start(&self->f);
	EXPECT_EQ(0, call_it(&self->call));
	handler_stop(&self->f);
	EXPECT_EQ(1, self->f.served);
	EXPECT_EQ(0, wrong_entries(g, 0, MAX_LIST, gpa(A, 0) | TCE_RW, SZ_4K));
	EXPECT_EQ(1, busy(g, A));
	EXPECT_EQ(1, busy(g, B));
	EXPECT_EQ(H_SUCCESS, stuff(g, 0, 0, MAX_LIST));
	EXPECT_EQ(0, busy(g, A));
	EXPECT_EQ(0, busy(g, B));
}

TEST_F(list, slow)
{
	expect_list(_metadata, self);
}

/* Entries of the same list, by another vCPU, and the process's own calls */
static int other_calls(int c, const void *ua, uint64_t size)
{
	FIXTURE_DATA(list) *self = (void *)ua;
	struct guest *g = &self->g;

	if (h_put_tce(&self->other, LIOBN, 0, gpa(A, 0) | TCE_RW) ||
	    h_stuff_tce(&self->other, LIOBN, 0, 0, MAX_LIST))
		return -EIO;
	return spapr_map(c, OTHER, region_ua(g, A), SZ_64K) ?:
	       spapr_unmap(c, OTHER, SZ_64K) ?: busy(g, A);
}

/* Nobody answers: others go on, and SIGKILL ends the hypercall at once. */
TEST_F(list, never)
{
	pid_t pid = start_and_wait(_metadata, &self->call, &self->f);

	self->second = (struct call){ other_calls, self->g.c, self };
	expect_end(_metadata, &self->second);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	EXPECT_GT(SECOND_US, kill_us(_metadata, pid));
	/* The vCPU ends what it was killed in. */
	vcpu_run(&self->g.cpu, 0);
	EXPECT_EQ(0, busy(&self->g, A));
	expect_list(_metadata, self);
}

static int create_and_remove(int c, const void *ua, uint64_t size)
{
	uint64_t start;

	return spapr_create(c, 12, SZ_1G, 1, &start) ?: spapr_remove(c, start);
}

/*
 * A window that goes waits for the hypercall, and holds nothing that others
 * need. SIGKILL for the hypercall ends both.
 */
TEST_F(list, window_goes)
{
	pid_t pid = start_and_wait(_metadata, &self->call, &self->f), remover;
	int status = -1;

	self->second = (struct call){ remove_at, self->g.c, NULL, 0 };
	remover = call_start(&self->second);
	ASSERT_LT(0, remover);
	EXPECT_FALSE(has_ended(remover, 1, &status));
	self->third = (struct call){ create_and_remove, self->g.c };
	expect_end(_metadata, &self->third);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	EXPECT_GT(SECOND_US, kill_us(_metadata, pid));
	EXPECT_TRUE(has_ended(remover, 10, &status));
	EXPECT_EQ(0, status);
	vcpu_run(&self->g.cpu, 0);
	EXPECT_EQ(0, busy(&self->g, A));
}

TEST_HARNESS_MAIN
