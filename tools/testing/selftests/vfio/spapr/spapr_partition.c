// SPDX-License-Identifier: GPL-2.0-only
/*
 * A partition as a host: the hypervisor keeps the tables, so what entries cost
 * is counted in hypercalls, what a window costs is the view, and groups of two
 * PHBs have nothing to share.
 */
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "kvm_fixture.h"
#include "spapr_one_group.h"

#define HCALLS		TRACEFS "/events/powerpc/hcall_entry"

/* H_PUT_TCE, H_STUFF_TCE, H_PUT_TCE_INDIRECT */
#define CHANGES_ENTRIES	"opcode==0x20||opcode==0x138||opcode==0x13c"

/* From here on hypercalls that change entries are counted. */
static int count_begin(void)
{
	int ret;

	mount("tracefs", TRACEFS, "tracefs", 0, NULL);
	ret = write_text(HCALLS "/filter", CHANGES_ENTRIES);
	if (ret)
		return ret;
	ret = write_text(TRACEFS "/trace", "\n");
	return ret ?: write_text(HCALLS "/enable", "1");
}

static void count_hypercall(char *line, void *n)
{
	*(int *)n += !!strstr(line, "hcall_entry:");
}

/* How many there were, or -errno. */
static int count_end(void)
{
	int ret = write_text(HCALLS "/enable", "0"), n = 0;

	return ret ?: trace_read(count_hypercall, &n) ?: n;
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

/* It does not matter either in how many regions and pages the memory is. */
TEST_F(partition, few_hypercalls_to_many_regions)
{
	char *ua = self->buf;
	uint64_t off;

	ASSERT_EQ(0, spapr_unregister(self->g.c, ua, BUF_SIZE));
	for (off = 0; off < BUF_SIZE; off += page_size)
		ASSERT_EQ(0, spapr_register(self->g.c, ua + off, page_size));
	EXPECT_EQ(1, hypercalls_to_map(self, 512, 512));
	EXPECT_EQ(2, hypercalls_to_map(self, 0, 1024));
	EXPECT_EQ(8, hypercalls_to_map(self, 0, 4096));
	EXPECT_EQ(8, hypercalls_to_unmap(self, 0, 4096));
}

/* Entries that lists write are those that were asked for. */
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

/* What a view of so many entries costs: 8 bytes for each, and some. */
static void expect_charge(struct __test_metadata *_metadata, long entries,
			  long kb)
{
	EXPECT_LE(entries * 8 / 1024, kb);
	EXPECT_GE(entries * 8 / 1024 + entries / 1024 +
		  2 * (long)page_size / 1024, kb);
}

/* The hypervisor's table is not charged. */
TEST_F(partition, charges_the_view)
{
	expect_charge(_metadata, self->g.info.dma32_window_size / SZ_4K,
		      locked_kb() - self->g.was.locked_kb - BUF_SIZE / 1024);
}

/* Windows that GET_INFO names are taken, all others refused. */
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

static bool has_second_window(FIXTURE_DATA(partition) *self)
{
	return self->g.info.flags & VFIO_IOMMU_SPAPR_INFO_DDW &&
	       self->g.info.ddw.max_dynamic_windows_supported > 1;
}

/* The window is charged, its entries lead to memory, and all of it goes. */
static void expect_window(struct __test_metadata *_metadata,
			  FIXTURE_DATA(partition) *self, struct probe *probe,
			  unsigned int shift, uint64_t size, char *buf,
			  uint64_t bytes)
{
	long locked = locked_kb();
	struct spot spot;
	uint64_t start;

	ASSERT_EQ(0, spapr_create(self->g.c, shift, size, 1, &start)) {
		TH_LOG("pages 1 << %u, window of %#lx", shift, (long)size);
	}
	expect_charge(_metadata, size >> shift, locked_kb() - locked);
	EXPECT_EQ(0, spapr_map(self->g.c, start + size - bytes, buf, bytes));
	spot = (struct spot){ start + size - SZ_4K, buf + bytes - SZ_4K };
	EXPECT_EQ(0, probe_spots(probe, &spot, 1));
	EXPECT_EQ(-EBUSY, spapr_unregister(self->g.c, buf, bytes));
	EXPECT_EQ(0, spapr_unmap(self->g.c, start + size - bytes, bytes));
	spot.ua = NULL;
	EXPECT_EQ(0, probe_spots(probe, &spot, 1));
	/* what is mapped goes with the window */
	EXPECT_EQ(0, spapr_map(self->g.c, start, buf, bytes));
	EXPECT_EQ(0, spapr_remove(self->g.c, start));
	EXPECT_EQ(locked, locked_kb());
	EXPECT_EQ(0, spapr_unregister(self->g.c, buf, bytes));
	EXPECT_EQ(0, spapr_register(self->g.c, buf, bytes));
}

/* Windows of all pages that GET_INFO names, in sizes up to all of memory. */
TEST_F(partition, windows)
{
	static const unsigned int sizes[] = { 30, 32, 36, 40 };
	unsigned int shift, i;
	struct probe probe;

	if (!has_second_window(self))
		SKIP(return, "the hypervisor makes no second window");
	ASSERT_EQ(0, probe_init(&probe, self->g.c, &self->g.edu, self->g.last));
	for (shift = 12; shift < 64; shift++) {
		uint64_t bytes = shift > 20 ? 1UL << shift : SZ_1M;
		char *buf;

		if (!(self->g.info.ddw.pgsizes >> shift & 1))
			continue;
		buf = buf_alloc_contig(bytes, shift);
		if (!buf) {
			TH_LOG("no memory for pages 1 << %u", shift);
			continue;
		}
		buf_tag(buf, bytes);
		ASSERT_EQ(0, spapr_register(self->g.c, buf, bytes));
		for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
			expect_window(_metadata, self, &probe, shift,
				      1UL << sizes[i], buf, bytes);
		ASSERT_EQ(0, spapr_unregister(self->g.c, buf, bytes));
		munmap(buf, bytes);
	}
	EXPECT_EQ(0, probe_exit(&probe));
}

/* The default window can go, and comes back where it was. */
TEST_F(partition, default_window_again)
{
	uint64_t start, first = self->g.info.dma32_window_start;
	long locked = locked_kb();
	struct spot spot = { first, self->buf };
	struct probe probe;

	if (!has_second_window(self))
		SKIP(return, "the hypervisor makes no windows");
	ASSERT_EQ(0, spapr_remove(self->g.c, first));
	EXPECT_GT(locked, locked_kb());
	ASSERT_EQ(0, spapr_create(self->g.c, 12,
				  self->g.info.dma32_window_size, 1, &start));
	EXPECT_EQ(first, start);
	EXPECT_EQ(locked, locked_kb());
	buf_tag(self->buf, SZ_1M);
	ASSERT_EQ(0, probe_init(&probe, self->g.c, &self->g.edu, self->g.last));
	ASSERT_EQ(0, spapr_map(self->g.c, first, self->buf, SZ_1M));
	EXPECT_EQ(0, probe_spots(&probe, &spot, 1));
	ASSERT_EQ(0, spapr_unmap(self->g.c, first, SZ_1M));
	EXPECT_EQ(0, probe_exit(&probe));
}

static void give_back(FIXTURE_DATA(partition) *self)
{
	edu_close(&self->g.edu);
	edu_close_group(&self->g.edu);
	close(self->g.c);
	self->g.c = -1;
}

/* The group is given back, and another container's then. */
static void expect_next_owner(struct __test_metadata *_metadata,
			      FIXTURE_DATA(partition) *self, uint64_t was)
{
	uint64_t start = 1;

	self->g.c = container_open();
	ASSERT_LE(0, edu_open_group(&self->g.edu));
	ASSERT_EQ(0, container_add(self->g.c, &self->g.edu));
	ASSERT_EQ(0, container_set_iommu(self->g.c, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, spapr_register(self->g.c, self->buf, BUF_SIZE));
	ASSERT_EQ(0, spapr_create(self->g.c, 16, SZ_1G, 1, &start));
	EXPECT_EQ(was, start);
	EXPECT_EQ(0, spapr_map(self->g.c, start, self->buf, SZ_64K));
	EXPECT_EQ(0, spapr_unmap(self->g.c, start, SZ_64K));
	EXPECT_EQ(0, spapr_remove(self->g.c, start));
}

/*
 * A PE has one dynamic window. Who asks for another one is refused, and goes on
 * with the first; so does who owns the device next.
 */
TEST_F(partition, window_twice)
{
	uint64_t start, other = 1;
	long locked;

	if (!has_second_window(self))
		SKIP(return, "the hypervisor makes no windows");
	ASSERT_EQ(0, spapr_remove(self->g.c, self->g.info.dma32_window_start));
	ASSERT_EQ(0, spapr_create(self->g.c, 16, SZ_1G, 1, &start));
	locked = locked_kb();
	EXPECT_EQ(-EPERM, spapr_create(self->g.c, 16, SZ_1G, 1, &other));
	EXPECT_EQ(-EPERM, spapr_create(self->g.c, 12, SZ_1G, 1, &other));
	EXPECT_EQ(locked, locked_kb());
	EXPECT_EQ(0, spapr_map(self->g.c, start, self->buf, SZ_64K));
	EXPECT_EQ(0, spapr_unmap(self->g.c, start, SZ_64K));
	EXPECT_EQ(0, spapr_remove(self->g.c, start));
	give_back(self);
	expect_next_owner(_metadata, self, start);
}

/* Kernel memory that cannot be given back, in KiB. */
static long unreclaimable_kb(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	char line[128];
	long kb = -1;

	if (!f)
		return -1;
	while (kb < 0 && fgets(line, sizeof(line), f))
		sscanf(line, "SUnreclaim: %ld", &kb);
	fclose(f);
	return kb;
}

#define NR_CYCLES	500
#define NR_ROUNDS	10

static int make_windows(FIXTURE_DATA(partition) *self)
{
	uint64_t start;
	int ret = 0, i;

	for (i = 0; !ret && i < NR_CYCLES; i++) {
		ret = spapr_create(self->g.c, 16, SZ_1G, 1, &start);
		ret = ret ?: spapr_remove(self->g.c, start);
	}
	return ret;
}

/* What a window leaves is used for the next one. Unused, it is 190 bytes. */
TEST_F_TIMEOUT(partition, windows_cost_nothing, 120)
{
	long before, grown, least = LONG_MAX;
	char was[64] = "";
	int ret, i;
	FILE *f;

	if (!has_second_window(self))
		SKIP(return, "the hypervisor makes no windows");
	/* The kernel says two lines for each, as information. */
	f = fopen("/proc/sys/kernel/printk", "r");
	ASSERT_NE(NULL, f);
	ASSERT_NE(NULL, fgets(was, sizeof(was), f));
	fclose(f);
	ASSERT_EQ(0, write_text("/proc/sys/kernel/printk", "6"));

	/* Other memory comes and goes, a leak is there each time. */
	ret = make_windows(self);
	for (i = 0; !ret && i < NR_ROUNDS && least >= NR_CYCLES / 10; i++) {
		sleep(1);
		before = unreclaimable_kb();
		ret = before > 0 ? make_windows(self) : -EIO;
		sleep(1);
		grown = unreclaimable_kb() - before;
		least = grown < least ? grown : least;
	}
	write_text("/proc/sys/kernel/printk", was);
	TH_LOG("%ld KiB for %u windows, round %d", least, NR_CYCLES, i);
	ASSERT_EQ(0, ret);
	EXPECT_GT(NR_CYCLES / 10, least);
}

/* Has a device another driver, or no more, until it is vfio-pci's again. */
static int hand_to(const char *name, const char *driver)
{
	char path[128];
	int ret;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override",
		 name);
	ret = write_text(path, driver);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver/unbind",
		 name);
	ret = ret ?: write_text(path, name);
	return ret ?: write_text("/sys/bus/pci/drivers_probe", name);
}

/* The first command of its driver has gone through memory and back. */
static bool nvme_works(const char *name)
{
	char pattern[128], state[16] = "";
	glob_t found;
	FILE *f;
	int i;

	snprintf(pattern, sizeof(pattern),
		 "/sys/bus/pci/devices/%s/nvme/nvme*/state", name);
	for (i = 0; i < 100; i++, usleep(100000)) {
		if (glob(pattern, 0, NULL, &found))
			continue;
		f = fopen(found.gl_pathv[0], "r");
		globfree(&found);
		if (!f)
			continue;
		if (!fgets(state, sizeof(state), f))
			*state = 0;
		fclose(f);
		if (!strcmp(state, "live\n"))
			return true;
	}
	return false;
}

/* The other device of the group, an NVMe controller that vfio-pci has. */
static bool find_other(FIXTURE_DATA(partition) *self, struct slot *other)
{
	struct slot all;
	char path[128];
	char class[16] = "";
	FILE *f;

	if (read_slot(&all, self->g.edu.group) ||
	    slot_others(&all, &self->g.edu, other) != 1)
		return false;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/class",
		 other->name[0]);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(class, sizeof(class), f))
		*class = 0;
	fclose(f);
	return !strcmp(class, "0x010802\n");
}

/* All devices of a group get the kernel's window back, not just the first. */
TEST_F(partition, driver_of_other_device)
{
	struct slot other;

	if (!find_other(self, &other))
		SKIP(return, "no group of two devices");
	give_back(self);
	ASSERT_EQ(0, hand_to(other.name[0], "nvme"));
	EXPECT_TRUE(nvme_works(other.name[0]));
	ASSERT_EQ(0, hand_to(other.name[0], "vfio-pci"));
}

static void join(struct __test_metadata *_metadata, struct slot *other)
{
	ASSERT_EQ(0, slot_remove(other));
	ASSERT_EQ(0, write_text("/sys/bus/pci/rescan", "1"));
	ASSERT_EQ(0, slot_bring(other));
}

/* Windows are the owner's, whatever joins its group. */
TEST_F(partition, device_joins)
{
	uint64_t start = self->g.info.dma32_window_start;
	struct spot spot[2];
	struct probe probe;
	struct slot other;

	if (!find_other(self, &other))
		SKIP(return, "no group of two devices");
	buf_tag(self->buf, BUF_SIZE);
	ASSERT_EQ(0, probe_init(&probe, self->g.c, &self->g.edu, self->g.last));
	ASSERT_EQ(0, spapr_map(self->g.c, start, self->buf, SZ_64K));
	spot[0] = (struct spot){ start, self->buf };
	ASSERT_EQ(0, spapr_create(self->g.c, 16, SZ_1G, 1, &start));
	ASSERT_EQ(0, spapr_map(self->g.c, start, self->buf, SZ_64K));
	spot[1] = (struct spot){ start, self->buf };

	join(_metadata, &other);
	EXPECT_EQ(0, probe_spots(&probe, spot, 2));
	EXPECT_EQ(0, spapr_remove(self->g.c, start));
	ASSERT_EQ(0, spapr_create(self->g.c, 16, SZ_1G, 1, &start));
	EXPECT_EQ(0, spapr_remove(self->g.c, start));
	EXPECT_EQ(0, probe_spots(&probe, spot, 1));
	EXPECT_EQ(0, probe_exit(&probe));
}

/* The owner has not mapped yet, or has removed its window: none is there. */
TEST_F(partition, device_joins_without_windows)
{
	uint64_t start = self->g.info.dma32_window_start;
	struct probe probe;
	struct slot other;
	struct spot spot;

	if (!find_other(self, &other))
		SKIP(return, "no group of two devices");
	buf_tag(self->buf, BUF_SIZE);
	join(_metadata, &other);
	ASSERT_EQ(0, probe_init(&probe, self->g.c, &self->g.edu, self->g.last));
	ASSERT_EQ(0, spapr_map(self->g.c, start, self->buf, SZ_64K));
	spot = (struct spot){ start, self->buf };
	EXPECT_EQ(0, probe_spots(&probe, &spot, 1));

	ASSERT_EQ(0, spapr_remove(self->g.c, start));
	join(_metadata, &other);
	ASSERT_EQ(0, spapr_create(self->g.c, 12, self->g.info.dma32_window_size,
				  1, &start));
	ASSERT_EQ(0, spapr_map(self->g.c, start, self->buf, SZ_64K));
	ASSERT_EQ(0, spapr_map(self->g.c, probe.iova, probe.ua, page_size));
	spot.iova = start;
	EXPECT_EQ(0, probe_spots(&probe, &spot, 1));
	EXPECT_EQ(0, probe_exit(&probe));
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

/* A container, and groups of two PHBs that are not in it. */
FIXTURE(two_phbs)
{
	struct edu edu[2];
	int c;
};

FIXTURE_SETUP(two_phbs)
{
	int i;

	self->c = -1;
	if (!is_partition())
		SKIP(return, "not a partition");
	if (edu_find(self->edu, 2) < 2)
		SKIP(return, "no two groups with an edu device each");
	self->c = container_open();
	ASSERT_LE(0, self->c);
	for (i = 0; i < 2; i++)
		ASSERT_LE(0, edu_open_group(&self->edu[i]));
}

FIXTURE_TEARDOWN(two_phbs)
{
	int i;

	for (i = 0; self->c >= 0 && i < 2; i++)
		edu_close_group(&self->edu[i]);
	if (self->c >= 0)
		close(self->c);
}

/* A second group is refused before the default window is made as well. */
TEST_F(two_phbs, at_once)
{
	ASSERT_EQ(0, container_add(self->c, &self->edu[0]));
	ASSERT_EQ(0, container_set_iommu(self->c, VFIO_SPAPR_TCE_v2_IOMMU));
	EXPECT_EQ(-EPERM, container_add(self->c, &self->edu[1]));
}

/* Two groups that are there before SET_IOMMU: it fails, and works with one. */
TEST_F(two_phbs, before)
{
	void *buf;

	ASSERT_EQ(0, container_add(self->c, &self->edu[0]));
	ASSERT_EQ(0, container_add(self->c, &self->edu[1]));
	EXPECT_EQ(-EPERM, container_set_iommu(self->c,
					      VFIO_SPAPR_TCE_v2_IOMMU));
	EXPECT_EQ(0, container_del(self->c, &self->edu[1]));
	EXPECT_EQ(0, container_set_iommu(self->c, VFIO_SPAPR_TCE_v2_IOMMU));
	buf = buf_alloc(SZ_64K, SZ_64K);
	EXPECT_EQ(0, spapr_register(self->c, buf, SZ_64K));
	EXPECT_EQ(0, spapr_map(self->c, 0, buf, SZ_4K));
}

/* ---- guests of the partition ---- */

FIXTURE(partition_guest)
{
	struct guest g;
};

FIXTURE_VARIANT(partition_guest)
{
	enum mmu mmu;
};

FIXTURE_VARIANT_ADD(partition_guest, radix) { RADIX };
FIXTURE_VARIANT_ADD(partition_guest, pr) { PR };

FIXTURE_SETUP(partition_guest)
{
	if (!is_partition())
		SKIP(return, "not a partition");
	guest_setup(_metadata, &self->g, variant->mmu, true);
}

FIXTURE_TEARDOWN(partition_guest)
{
	guest_teardown(_metadata, &self->g);
}

static int hypercalls_to_put_list(struct guest *g, uint64_t i, uint64_t n)
{
	int ret = count_begin();

	if (!ret && put_list(g, i, n))
		ret = -EIO;
	return ret ?: count_end();
}

static int hypercalls_to_stuff(struct guest *g, uint64_t i, uint64_t n)
{
	int ret = count_begin();

	if (!ret && stuff(g, i, 0, n))
		ret = -EIO;
	return ret ?: count_end();
}

/* Of a list's entries none is where the one before it ends. */
static void scatter(struct guest *g, unsigned int n)
{
	unsigned int pages = 2 * REGION_SIZE >> g->shift, i;

	for (i = 0; i < n; i++)
		list_set(&g->cpu, 0, i, gpa(A, (uint64_t)(i * 5 % pages) <<
					    g->shift) | TCE_RW);
}

/* A guest's list takes as many hypercalls of the host as entries of a range. */
TEST_F(partition_guest, lists)
{
	struct guest *g = &self->g;
	int n;

	guest_liobn(_metadata, g, 12, 0, SZ_1G / SZ_4K);
	guest_attach(_metadata, g, 0);
	scatter(g, 512);
	EXPECT_EQ(1, hypercalls_to_put_list(g, 1024, 512));
	EXPECT_EQ(1, hypercalls_to_stuff(g, 1024, 512));
	/* in two chunks */
	n = hypercalls_to_put_list(g, 2000, 512);
	EXPECT_LE(1, n);
	EXPECT_GE(2, n);
	n = hypercalls_to_stuff(g, 2000, 512);
	EXPECT_LE(1, n);
	EXPECT_GE(2, n);
	EXPECT_EQ(1, hypercalls_to_put_list(g, 7, 1));
	EXPECT_EQ(1, hypercalls_to_stuff(g, 7, 1));
}

/* Pages of the guest that are 16 of the window's */
TEST_F(partition_guest, lists_of_large_pages)
{
	struct guest *g = &self->g;

	guest_liobn(_metadata, g, 16, 0, SZ_1G / SZ_64K);
	guest_attach(_metadata, g, 0);
	scatter(g, 512);
	/* 1024 entries, and 8192 */
	EXPECT_EQ(2, hypercalls_to_put_list(g, 64, 64));
	EXPECT_EQ(16, hypercalls_to_put_list(g, 512, 512));
	EXPECT_EQ(16, hypercalls_to_stuff(g, 512, 512));
	EXPECT_EQ(2, hypercalls_to_stuff(g, 64, 64));
}

TEST_HARNESS_MAIN
