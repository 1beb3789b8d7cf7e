// SPDX-License-Identifier: GPL-2.0-only
/*
 * Windows and registered memory as root sees them: the files in debugfs, the
 * trace events, and the program that prints them, compared with what was done.
 */
#include <dirent.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spapr_one_group.h"
#include "kvm_fixture.h"

#define DEBUGFS		"/sys/kernel/debug/powerpc/tce"

/* 2^28 entries in three levels of 2^10 each: levels of 8 KiB. */
#define WINDOW_SIZE	SZ_1T
#define LEVELS		3
#define LEVEL_BYTES	8192UL
/* 2^18 chunks of 2^10: a root and nodes of 2^9 below. */
#define CHUNKS		(WINDOW_SIZE / SZ_4K / 1024)
#define NODE_BYTES	4096UL
#define DENSE_BYTES	8192UL
#define CHUNK_SIZE	(1024 * SZ_4K)

#define BUF_SIZE	(16 * SZ_1M)

/* ---- debugfs ---- */

/* The file of this process's window at a bus address; false if there is none. */
static bool find_file(uint64_t bus_address, char *path, size_t size)
{
	DIR *dir = opendir(DEBUGFS);
	bool found = false;
	struct dirent *d;
	char line[256];
	uint64_t at;
	FILE *f;

	while (dir && !found && (d = readdir(dir))) {
		if (atoi(d->d_name) != getpid())
			continue;
		snprintf(path, size, DEBUGFS "/%s", d->d_name);
		f = fopen(path, "r");
		while (f && fgets(line, sizeof(line), f)) {
			if (sscanf(line, "bus_address %lx", &at) == 1)
				found = at == bus_address;
		}
		if (f)
			fclose(f);
	}
	if (dir)
		closedir(dir);
	return found;
}

static bool has_file(uint64_t bus_address)
{
	char path[300];

	return find_file(bus_address, path, sizeof(path));
}

/* The number behind a name; -1 if there is none. */
static long value_of(uint64_t bus_address, const char *name)
{
	char path[300], line[256];
	size_t len = strlen(name);
	long value = -1;
	FILE *f;

	if (!find_file(bus_address, path, sizeof(path)))
		return -1;
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, name, len) && line[len] == ' ')
			value = strtol(line + len, NULL, 0);
	}
	if (f)
		fclose(f);
	return value;
}

struct region {
	unsigned long bytes;
	long entries;
	unsigned int containers;
	unsigned long runs;
};

static int nr_regions(uint64_t bus_address, const void *ua, struct region *r)
{
	char path[300], line[256];
	struct region here;
	unsigned long at;
	int nr = 0;
	FILE *f;

	memset(r, 0, sizeof(*r));
	if (!find_file(bus_address, path, sizeof(path)))
		return -1;
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "region %lx %lu %ld %u %lu", &at, &here.bytes,
			   &here.entries, &here.containers, &here.runs) != 5)
			continue;
		nr++;
		if (at == (uintptr_t)ua)
			*r = here;
	}
	if (f)
		fclose(f);
	return nr;
}

FIXTURE(observe)
{
	FIXTURE_DATA(one_group) one;
	int c;
	char *buf;
	char *other;
	uint64_t start;
	/* what the window costs, in KiB */
	long charged_kb;
};

FIXTURE_SETUP(observe)
{
	if (access(DEBUGFS, F_OK))
		SKIP(return, "no " DEBUGFS);
	one_group_setup(_metadata, &self->one, NULL);
	if (_metadata->exit_code)
		return;
	self->c = self->one.c;
	self->buf = buf_alloc(BUF_SIZE, SZ_64K);
	self->other = buf_alloc(page_size, SZ_64K);
	ASSERT_EQ(0, spapr_register(self->c, self->buf, BUF_SIZE));
	ASSERT_EQ(0, spapr_register(self->c, self->other, page_size));
	/* the default window, which then costs nothing */
	ASSERT_EQ(0, spapr_remove(self->c, SLOT0_START));
	self->charged_kb = -locked_kb();
	ASSERT_EQ(0, spapr_create(self->c, 12, WINDOW_SIZE, LEVELS,
				  &self->start));
	self->charged_kb += locked_kb();
}

FIXTURE_TEARDOWN(observe)
{
	one_group_teardown(_metadata, &self->one, NULL);
}

static long value(FIXTURE_DATA(observe) *self, const char *name)
{
	return value_of(self->start, name);
}

TEST_F(observe, window)
{
	EXPECT_EQ(getpid(), value(self, "process"));
	EXPECT_EQ(2, value(self, "version"));
	EXPECT_EQ(WINDOW_SIZE, value(self, "size"));
	EXPECT_EQ(12, value(self, "page_shift"));
	EXPECT_EQ(LEVELS, value(self, "levels"));
	EXPECT_EQ(0, value(self, "closed"));
	EXPECT_EQ(self->charged_kb * 1024, value(self, "charged"));
	EXPECT_EQ(LEVEL_BYTES, value(self, "table_allocated"));
	EXPECT_EQ(NODE_BYTES, value(self, "view_allocated"));
	EXPECT_EQ(CHUNKS, value(self, "chunks_empty"));
	EXPECT_EQ(0, value(self, "chunks_run"));
	EXPECT_EQ(0, value(self, "chunks_dense"));
}

TEST_F(observe, two_windows)
{
	uint64_t start;

	ASSERT_EQ(0, spapr_create(self->c, 12, SZ_1G, 1, &start));
	ASSERT_NE(self->start, start);
	EXPECT_EQ(SZ_1G, value_of(start, "size"));
	EXPECT_EQ(1, value_of(start, "levels"));
	EXPECT_EQ(WINDOW_SIZE, value(self, "size"));
	ASSERT_EQ(0, spapr_remove(self->c, start));
	EXPECT_FALSE(has_file(start));
	EXPECT_TRUE(has_file(self->start));
	ASSERT_EQ(0, spapr_remove(self->c, self->start));
	EXPECT_FALSE(has_file(self->start));
}

TEST_F(observe, memory)
{
	struct region r;

	/* A chunk and a bit: one run each, each below a level of its own */
	ASSERT_EQ(0, spapr_map(self->c, self->start, self->buf,
			       CHUNK_SIZE + SZ_64K));
	EXPECT_EQ(4 * LEVEL_BYTES, value(self, "table_allocated"));
	EXPECT_EQ(2 * NODE_BYTES, value(self, "view_allocated"));
	EXPECT_EQ(2, value(self, "chunks_run"));
	EXPECT_EQ(CHUNKS - 2, value(self, "chunks_empty"));

	/* Two pieces in the last chunk, in another node and another level 1 */
	ASSERT_EQ(0, spapr_map(self->c, self->start + WINDOW_SIZE - SZ_64K,
			       self->buf, SZ_64K));
	ASSERT_EQ(0, spapr_map(self->c, self->start + WINDOW_SIZE -
			       3 * SZ_64K, self->buf, SZ_64K));
	EXPECT_EQ(6 * LEVEL_BYTES, value(self, "table_allocated"));
	EXPECT_EQ(3 * NODE_BYTES + DENSE_BYTES, value(self, "view_allocated"));
	EXPECT_EQ(2, value(self, "chunks_run"));
	EXPECT_EQ(1, value(self, "chunks_dense"));
	EXPECT_EQ(CHUNKS - 3, value(self, "chunks_empty"));

	EXPECT_EQ(2, nr_regions(self->start, self->buf, &r));
	EXPECT_EQ(BUF_SIZE, r.bytes);
	EXPECT_EQ(1024 + 3 * 16, r.entries);
	EXPECT_EQ(1, r.containers);
	EXPECT_GE(BUF_SIZE / page_size / 2, r.runs);
	EXPECT_EQ(2, nr_regions(self->start, self->other, &r));
	EXPECT_EQ(page_size, r.bytes);
	EXPECT_EQ(0, r.entries);

	ASSERT_EQ(0, spapr_unmap(self->c, self->start, WINDOW_SIZE));
	EXPECT_EQ(2, nr_regions(self->start, self->buf, &r));
	EXPECT_EQ(0, r.entries);
	EXPECT_EQ(CHUNKS, value(self, "chunks_empty"));
	/* Levels and nodes stay, arrays go */
	EXPECT_EQ(6 * LEVEL_BYTES, value(self, "table_allocated"));
	EXPECT_EQ(3 * NODE_BYTES, value(self, "view_allocated"));
	ASSERT_EQ(0, spapr_unregister(self->c, self->other, page_size));
	EXPECT_EQ(1, nr_regions(self->start, self->other, &r));
}

/* More regions than one read returns. */
TEST_F(observe, many_regions)
{
	char *many = buf_alloc(4000 * page_size, SZ_64K);
	struct region r;
	int i;

	for (i = 0; i < 2000; i++)
		ASSERT_EQ(0, spapr_register(self->c, many + 2 * i * page_size,
					    page_size));
	EXPECT_EQ(2002, nr_regions(self->start, many + 2 * 1777 * page_size,
				   &r));
	EXPECT_EQ(page_size, r.bytes);
}

/* A file that is open when the window goes reads nothing more. */
TEST_F(observe, window_goes)
{
	char path[300], buf[64];
	int fd;

	ASSERT_TRUE(find_file(self->start, path, sizeof(path)));
	fd = open(path, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(sizeof(buf), read(fd, buf, sizeof(buf)));
	/* Nobody waits for who has it open, who has all of it already. */
	ASSERT_EQ(0, spapr_remove(self->c, self->start));
	EXPECT_EQ(sizeof(buf), pread(fd, buf, sizeof(buf), 0));
	close(fd);
	EXPECT_EQ(-1, open(path, O_RDONLY));
	EXPECT_EQ(ENOENT, errno);
}

/* That the check finds no fault says little if it looks at nothing. */
TEST_F(observe, checked)
{
	unsigned long tables, entries, regions;
	FILE *f = fopen(DEBUGFS "/check", "r");

	if (!f)
		SKIP(return, "no CONFIG_SPAPR_TCE_CHECK");
	ASSERT_EQ(0, spapr_map(self->c, self->start, self->buf, SZ_64K));
	EXPECT_EQ(3, fscanf(f, "checked %lu tables, %lu entries, %lu regions",
			    &tables, &entries, &regions));
	fclose(f);
	EXPECT_EQ(1, tables);
	EXPECT_EQ(SZ_64K / SZ_4K, entries);
	EXPECT_EQ(2, regions);
}

TEST_F(observe, only_root)
{
	struct stat st;
	char path[300];

	ASSERT_TRUE(find_file(self->start, path, sizeof(path)));
	ASSERT_EQ(0, stat(path, &st));
	EXPECT_EQ(0400, st.st_mode & 07777);
	EXPECT_EQ(0, st.st_uid);
}

TEST_F(observe, first_version)
{
	struct edu *edu = &self->one.edu;

	ASSERT_EQ(0, container_del(self->c, edu));
	ASSERT_EQ(0, container_add(self->c, edu));
	ASSERT_EQ(0, container_set_iommu(self->c, VFIO_SPAPR_TCE_IOMMU));
	ASSERT_EQ(0, spapr_ioctl(self->c, VFIO_IOMMU_ENABLE, NULL));
	/* which makes the window */
	ASSERT_EQ(0, spapr_unmap(self->c, 0, SZ_4K));
	EXPECT_EQ(1, value_of(0, "version"));
	EXPECT_EQ(getpid(), value_of(0, "process"));
	EXPECT_EQ(self->one.info.dma32_window_size, value_of(0, "size"));
	EXPECT_EQ(0, value_of(0, "closed"));
}

/* ---- the program ---- */

/* Each run of blanks is one, and none at the ends. */
static void squeeze(char *to, const char *from)
{
	char *begin = to;

	for (; *from; from++) {
		bool blank = *from == ' ' || *from == '\n';

		if (!blank)
			*to++ = *from;
		else if (to > begin && to[-1] != ' ')
			*to++ = ' ';
	}
	if (to > begin && to[-1] == ' ')
		to--;
	*to = 0;
}

/* Runs the program from beside this one; returns its output. */
static FILE *run_program(struct __test_metadata *_metadata, const char *flag)
{
	char self[300] = "", path[400];
	int fds[2], status;
	pid_t pid;

	ASSERT_LT(0, readlink("/proc/self/exe", self, sizeof(self) - 1));
	snprintf(path, sizeof(path), "%s/spapr_tce_show", dirname(self));
	ASSERT_EQ(0, pipe(fds));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		dup2(fds[1], 1);
		execl(path, path, flag, NULL);
		_exit(127);
	}
	close(fds[1]);
	/* Its output fits into the pipe. */
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	return fdopen(fds[0], "r");
}

/* Does it print this line? */
static bool program_prints(struct __test_metadata *_metadata, const char *flag,
			   const char *wanted)
{
	FILE *f = run_program(_metadata, flag);
	char line[512], squeezed[512];
	bool found = false;

	ASSERT_NE(NULL, f);
	while (!found && fgets(line, sizeof(line), f)) {
		squeeze(squeezed, line);
		found = !strcmp(squeezed, wanted);
		if (!found)
			TH_LOG("%s", squeezed);
	}
	fclose(f);
	return found;
}

TEST_F(observe, program)
{
	unsigned long memory_kb = (BUF_SIZE + page_size) / 1024;
	char line[256];

	ASSERT_EQ(0, spapr_map(self->c, self->start, self->buf,
			       CHUNK_SIZE + SZ_64K));
	/* 2 GiB for the table, 2 GiB and 1 MiB of nodes for the view */
	snprintf(line, sizeof(line),
		 "%d 0x%lx 1024G 4096 3 %ldM 32K 8192 %lu/2/0 2 %ldM 1040",
		 getpid(), self->start, (self->charged_kb + 512) / 1024,
		 CHUNKS - 2, (memory_kb + 512) / 1024);
	EXPECT_TRUE(program_prints(_metadata, "-r", line));
	/* A page alone is no shorter as a run; below 10,000 bytes are bytes */
	snprintf(line, sizeof(line),
		 "region 0x%lx %s entries 0 containers 1 a word a page",
		 (uintptr_t)self->other, page_size == SZ_4K ? "4096" : "64K");
	EXPECT_TRUE(program_prints(_metadata, "-r", line));
}

/* ---- trace events ---- */

#define MAX_EVENTS	16

struct events {
	char text[MAX_EVENTS][200];
	int nr;
};

static bool write_tracefs(const char *name, const char *text)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), TRACEFS "/%s", name);
	f = fopen(path, "w");
	if (!f)
		return false;
	fputs(text, f);
	return !fclose(f);
}

/* From here on, events are kept. */
static void trace_begin(struct __test_metadata *_metadata)
{
	mount("tracefs", TRACEFS, "tracefs", 0, NULL);
	ASSERT_TRUE(write_tracefs("trace", ""));
	ASSERT_TRUE(write_tracefs("events/spapr_tce/enable", "1"));
}

static void one_event(char *line, void *arg)
{
	char *text = strstr(line, ": spapr_tce_");
	struct events *seen = arg;

	if (!text)
		return;
	text[strcspn(text, "\n")] = 0;
	if (seen->nr < MAX_EVENTS)
		snprintf(seen->text[seen->nr], sizeof(seen->text[0]), "%s",
			 text + strlen(": spapr_tce_"));
	seen->nr++;
}

/* Counts also those that there is no room for. */
static void trace_end(struct __test_metadata *_metadata, struct events *seen)
{
	seen->nr = 0;
	ASSERT_TRUE(write_tracefs("events/spapr_tce/enable", "0"));
	ASSERT_EQ(0, trace_read(one_event, seen));
	ASSERT_GT(MAX_EVENTS, seen->nr);
}

static void __attribute__((format(printf, 2, 3)))
want(struct events *wanted, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(wanted->text[wanted->nr++], sizeof(wanted->text[0]), fmt, ap);
	va_end(ap);
}

static void expect_events(struct __test_metadata *_metadata,
			  const struct events *wanted,
			  const struct events *seen)
{
	int i;

	EXPECT_EQ(wanted->nr, seen->nr);
	for (i = 0; i < wanted->nr && i < seen->nr; i++) {
		EXPECT_STREQ(wanted->text[i], seen->text[i]) {
			TH_LOG("event %d", i);
		}
	}
}

TEST_F(observe, events)
{
	char *buf = buf_alloc(4 * page_size, SZ_64K);
	struct events wanted = { 0 }, seen;
	unsigned long ua = (uintptr_t)buf;
	uint64_t start;

	ASSERT_EQ(0, spapr_remove(self->c, self->start));
	trace_begin(_metadata);

	ASSERT_EQ(0, spapr_register(self->c, buf, 4 * page_size));
	want(&wanted, "register: ua=0x%lx bytes=0x%lx ret=0", ua,
	     4 * page_size);
	ASSERT_EQ(-EINVAL, spapr_register(self->c, buf + page_size,
					  page_size));
	want(&wanted, "register: ua=0x%lx bytes=0x%lx ret=%d", ua + page_size,
	     page_size, -EINVAL);

	ASSERT_EQ(0, spapr_create(self->c, 12, WINDOW_SIZE, LEVELS, &start));
	want(&wanted, "window_create: bus=0x%lx bytes=0x%lx page_shift=12 levels=3 charged=%lu",
	     start, WINDOW_SIZE, self->charged_kb * 1024);

	ASSERT_EQ(0, spapr_map(self->c, start + SZ_64K, buf, SZ_4K));
	want(&wanted, "map: bus=0x%lx bytes=0x1000 ua=0x%lx perm=rw ret=0",
	     start + SZ_64K, ua);
	ASSERT_EQ(0, spapr_map_flags(self->c, start, buf, 4 * page_size,
				     VFIO_DMA_MAP_FLAG_READ));
	want(&wanted, "map: bus=0x%lx bytes=0x%lx ua=0x%lx perm=r ret=0",
	     start, 4 * page_size, ua);
	ASSERT_EQ(-EINVAL, spapr_map(self->c, start, buf + 4 * page_size,
				     SZ_4K));
	want(&wanted, "map: bus=0x%lx bytes=0x1000 ua=0x%lx perm=rw ret=%d",
	     start, ua + 4 * page_size, -EINVAL);
	ASSERT_EQ(-EBUSY, spapr_unregister(self->c, buf, 4 * page_size));
	want(&wanted, "unregister: ua=0x%lx bytes=0x%lx ret=%d", ua,
	     4 * page_size, -EBUSY);
	ASSERT_EQ(0, spapr_unmap(self->c, start, SZ_1G));
	want(&wanted, "unmap: bus=0x%lx bytes=0x%lx ua=0x0 perm=- ret=0",
	     start, SZ_1G);

	ASSERT_EQ(0, spapr_remove(self->c, start));
	want(&wanted, "window_remove: bus=0x%lx bytes=0x%lx page_shift=12 levels=3 charged=%lu",
	     start, WINDOW_SIZE, self->charged_kb * 1024);
	ASSERT_EQ(0, spapr_unregister(self->c, buf, 4 * page_size));
	want(&wanted, "unregister: ua=0x%lx bytes=0x%lx ret=0", ua,
	     4 * page_size);

	trace_end(_metadata, &seen);
	expect_events(_metadata, &wanted, &seen);
}

/* Regions of a container that nobody unregisters. */
TEST_F(observe, container_dies)
{
	struct events wanted = { 0 }, seen;

	ASSERT_EQ(0, spapr_unregister(self->c, self->other, page_size));
	trace_begin(_metadata);
	ASSERT_EQ(0, container_del(self->c, &self->one.edu));
	want(&wanted, "window_remove: bus=0x%lx bytes=0x%lx page_shift=12 levels=3 charged=%lu",
	     self->start, WINDOW_SIZE, self->charged_kb * 1024);
	want(&wanted, "unregister: ua=0x%lx bytes=0x%lx ret=0",
	     (uintptr_t)self->buf, BUF_SIZE);
	trace_end(_metadata, &seen);
	expect_events(_metadata, &wanted, &seen);
}

/* ---- hypercalls that the kernel leaves to user space ---- */

FIXTURE(hypercalls)
{
	struct guest g;
};

FIXTURE_VARIANT(hypercalls)
{
	enum mmu mmu;
};

FIXTURE_VARIANT_ADD(hypercalls, hash) { HASH };
FIXTURE_VARIANT_ADD(hypercalls, radix) { RADIX };

FIXTURE_SETUP(hypercalls)
{
	if (access(DEBUGFS, F_OK))
		SKIP(return, "no " DEBUGFS);
	guest_setup_all(_metadata, &self->g, variant->mmu, true);
}

FIXTURE_TEARDOWN(hypercalls)
{
	guest_teardown(_metadata, &self->g);
}

TEST_F(hypercalls, reasons)
{
	struct events wanted = { 0 }, seen;
	struct guest *g = &self->g;

	trace_begin(_metadata);
	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	ASSERT_EQ(H_TOO_HARD, h_put_tce(&g->cpu, NO_LIOBN, 0, 0));
	want(&wanted, "too_hard: liobn=0x%lx reason=no_liobn", NO_LIOBN);
	ASSERT_EQ(H_TOO_HARD, put(g, 0, gpa(UNREGISTERED, 0) | TCE_RW));
	want(&wanted, "too_hard: liobn=0x%lx reason=not_registered", LIOBN);
	ASSERT_EQ(H_TOO_HARD, put(g, 0, SZ_1T | TCE_RW));
	want(&wanted, "too_hard: liobn=0x%lx reason=not_guest_memory", LIOBN);
	ASSERT_EQ(H_TOO_HARD, h_put_tce_indirect(&g->cpu, LIOBN, 0, SZ_1T, 1));
	want(&wanted, "too_hard: liobn=0x%lx reason=list_unreadable", LIOBN);
	fill_list(g, 0, 2, SZ_1T | TCE_RW, SZ_4K);
	ASSERT_EQ(H_TOO_HARD, put_list(g, 0, 2));
	want(&wanted, "too_hard: liobn=0x%lx reason=not_guest_memory", LIOBN);
	trace_end(_metadata, &seen);
	expect_events(_metadata, &wanted, &seen);
	ASSERT_EQ(H_SUCCESS, put(g, 0, 0));
}

/* A window that is removed is not there any more, though a LIOBN changed it. */
TEST_F(hypercalls, removed)
{
	struct guest *g = &self->g;

	EXPECT_EQ(0, value_of(0, "closed"));
	ASSERT_EQ(0, spapr_remove(g->c, SLOT0_START));
	EXPECT_FALSE(has_file(0));
	guest_close_liobn(g);
}

/* A LIOBN that goes takes with it what is mapped. */
TEST_F(hypercalls, lets_go)
{
	struct events wanted = { 0 }, seen;
	struct guest *g = &self->g;

	ASSERT_EQ(H_SUCCESS, put(g, 0, gpa(A, 0) | TCE_RW));
	trace_begin(_metadata);
	guest_close_liobn(g);
	want(&wanted, "unmap: bus=0x0 bytes=0x%lx ua=0x0 perm=- ret=0", SZ_1G);
	trace_end(_metadata, &seen);
	expect_events(_metadata, &wanted, &seen);
	EXPECT_EQ(0, busy(g, A));
}

TEST_HARNESS_MAIN
