// SPDX-License-Identifier: GPL-2.0-only
/*
 * A partition as a host: the hypervisor keeps the tables, so what entries cost is
 * counted in hypercalls, what a window costs is the view, and groups of two PHBs
 * have nothing to share.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "spapr_one_group.h"

#define TRACEFS		"/sys/kernel/tracing"
#define HCALLS		TRACEFS "/events/powerpc/hcall_entry"

/* H_PUT_TCE, H_STUFF_TCE, H_PUT_TCE_INDIRECT */
#define CHANGES_ENTRIES	"opcode==0x20||opcode==0x138||opcode==0x13c"

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* From here on hypercalls that change entries are counted. */
static int count_begin(void)
{
	int ret;

	mount("tracefs", TRACEFS, "tracefs", 0, NULL);
	ret = write_file(HCALLS "/filter", CHANGES_ENTRIES);
	if (ret)
		return ret;
	ret = write_file(TRACEFS "/trace", "\n");
	return ret ?: write_file(HCALLS "/enable", "1");
}

/* How many there were, or -errno. */
static int count_end(void)
{
	int ret = write_file(HCALLS "/enable", "0"), n = 0;
	char line[512];
	FILE *f;

	if (ret)
		return ret;
	f = fopen(TRACEFS "/trace", "r");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		n += *line != '#' && strstr(line, "hcall_entry:");
	fclose(f);
	return n;
}

static bool is_partition(void)
{
	return access("/sys/firmware/opal", F_OK);
}

#define BUF_SIZE	SZ_16M

FIXTURE(partition)
{
	FIXTURE_DATA(one_group) g;
	char *buf;
};

FIXTURE_SETUP(partition)
{
	if (!is_partition())
		SKIP(return, "not a partition");
	one_group_setup(_metadata, &self->g, NULL);
	if (_metadata->exit_code)
		return;
	self->buf = buf_alloc(BUF_SIZE, SZ_64K);
	ASSERT_EQ(0, spapr_register(self->g.c, self->buf, BUF_SIZE));
	/* which makes the default window */
	ASSERT_EQ(0, spapr_unmap(self->g.c, self->g.info.dma32_window_start,
				 SZ_4K));
}

FIXTURE_TEARDOWN(partition)
{
	one_group_teardown(_metadata, &self->g, NULL);
}

static int hypercalls_to_map(FIXTURE_DATA(partition) *self, uint64_t entry,
			     unsigned int nr)
{
	int ret = count_begin();

	ret = ret ?: spapr_map(self->g.c, self->g.info.dma32_window_start +
			       entry * SZ_4K, self->buf, nr * SZ_4K);
	return ret ?: count_end();
}

static int hypercalls_to_unmap(FIXTURE_DATA(partition) *self, uint64_t entry,
			       unsigned int nr)
{
	int ret = count_begin();

	ret = ret ?: spapr_unmap(self->g.c, self->g.info.dma32_window_start +
				 entry * SZ_4K, nr * SZ_4K);
	return ret ?: count_end();
}

/* 512 entries take two hypercalls at most, wherever they are. */
TEST_F(partition, few_hypercalls)
{
	static const unsigned int first[] = { 0, 512, 1, 700, 1023, 1024 };
	unsigned int i;

	for (i = 0; i < sizeof(first) / sizeof(*first); i++) {
		int n = hypercalls_to_map(self, first[i], 512);

		EXPECT_LE(1, n);
		EXPECT_GE(2, n);
		n = hypercalls_to_unmap(self, first[i], 512);
		EXPECT_LE(1, n);
		EXPECT_GE(2, n);
	}

	/* and a long range two for each 1024 */
	EXPECT_EQ(8, hypercalls_to_map(self, 0, 4096));
	EXPECT_EQ(8, hypercalls_to_unmap(self, 0, 4096));
	EXPECT_EQ(1, hypercalls_to_map(self, 5, 1));
	EXPECT_EQ(1, hypercalls_to_unmap(self, 5, 1));
}

/* What is written by lists is what was asked for. */
TEST_F(partition, reaches_what_was_mapped)
{
	static const unsigned int spots[] = { 0, 1, 15, 511, 512, 1023, 1500 };
	uint64_t start = self->g.info.dma32_window_start;
	struct spot spot[sizeof(spots) / sizeof(*spots)];
	struct probe probe;
	unsigned int i;

	buf_tag(self->buf, BUF_SIZE);
	ASSERT_EQ(0, probe_init(&probe, self->g.c, &self->g.edu, self->g.last));
	ASSERT_EQ(0, spapr_map(self->g.c, start + SZ_1M, self->buf,
			       2048 * SZ_4K));
	for (i = 0; i < sizeof(spots) / sizeof(*spots); i++)
		spot[i] = (struct spot){
			start + SZ_1M + spots[i] * SZ_4K,
			self->buf + spots[i] * SZ_4K,
		};
	EXPECT_EQ(0, probe_spots(&probe, spot, i));
	ASSERT_EQ(0, spapr_unmap(self->g.c, start + SZ_1M, 2048 * SZ_4K));
	for (i = 0; i < sizeof(spots) / sizeof(*spots); i++)
		spot[i].ua = NULL;
	EXPECT_EQ(0, probe_spots(&probe, spot, i));
	EXPECT_EQ(0, probe_exit(&probe));
}

/* 8 bytes an entry and some: the hypervisor's table is not charged. */
TEST_F(partition, charges_the_view)
{
	long entries = self->g.info.dma32_window_size / SZ_4K;
	long kb = locked_kb() - self->g.was.locked_kb - BUF_SIZE / 1024;

	EXPECT_LE(entries * 8 / 1024, kb);
	EXPECT_GE(entries * 8 / 1024 + entries / 1024 +
		  2 * (long)page_size / 1024, kb);
}

/* What GET_INFO says is taken, what it does not say is refused. */
TEST_F(partition, levels)
{
	uint64_t start;

	if (!(self->g.info.flags & VFIO_IOMMU_SPAPR_INFO_DDW))
		SKIP(return, "the hypervisor makes no windows");
	EXPECT_EQ(1, self->g.info.ddw.levels);
	EXPECT_EQ(-EINVAL, spapr_create(self->g.c, page_shift, SZ_1G, 0,
					&start));
	EXPECT_EQ(-EINVAL, spapr_create(self->g.c, page_shift, SZ_1G, 2,
					&start));
}

/* Windows of the pages that GET_INFO names, in sizes up to all of memory. */
TEST_F(partition, windows)
{
	static const unsigned int sizes[] = { 30, 32, 36 };
	unsigned int shift, i;
	uint64_t start;

	if (!(self->g.info.flags & VFIO_IOMMU_SPAPR_INFO_DDW) ||
	    self->g.info.ddw.max_dynamic_windows_supported < 2)
		SKIP(return, "the hypervisor makes no second window");
	for (shift = 12; shift < 64; shift++) {
		if (!(self->g.info.ddw.pgsizes >> shift & 1) ||
		    shift > page_shift)
			continue;
		for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
			long locked = locked_kb();

			ASSERT_EQ(0, spapr_create(self->g.c, shift,
						  1UL << sizes[i], 1, &start)) {
				TH_LOG("pages 1 << %u, window 1 << %u", shift,
				       sizes[i]);
			}
			EXPECT_EQ(0, spapr_map(self->g.c, start, self->buf,
					       SZ_1M));
			EXPECT_EQ(-EBUSY, spapr_unregister(self->g.c, self->buf,
							   BUF_SIZE));
			EXPECT_EQ(0, spapr_remove(self->g.c, start));
			EXPECT_EQ(locked, locked_kb());
		}
	}
}

/* Tables of one PE cannot be another one's: a second group is told at once. */
TEST_F(partition, second_group)
{
	struct edu edu[2];
	int other;

	if (edu_find(edu, 2) < 2)
		SKIP(return, "no two groups with an edu device each");
	other = edu[0].group == self->g.edu.group;
	ASSERT_LE(0, edu_open_group(&edu[other]));
	EXPECT_EQ(-EPERM, container_add(self->g.c, &edu[other]));
	edu_close_group(&edu[other]);
}

/* before the default window is made as well */
TEST(second_group_at_once)
{
	struct edu edu[2];
	int c;

	if (!is_partition())
		SKIP(return, "not a partition");
	if (edu_find(edu, 2) < 2)
		SKIP(return, "no two groups with an edu device each");
	c = container_open();
	ASSERT_LE(0, edu_open_group(&edu[0]));
	ASSERT_LE(0, edu_open_group(&edu[1]));
	ASSERT_EQ(0, container_add(c, &edu[0]));
	ASSERT_EQ(0, container_set_iommu(c, VFIO_SPAPR_TCE_v2_IOMMU));
	EXPECT_EQ(-EPERM, container_add(c, &edu[1]));
	edu_close_group(&edu[0]);
	edu_close_group(&edu[1]);
	close(c);
}

TEST_HARNESS_MAIN
