// SPDX-License-Identifier: GPL-2.0-only
/*
 * Things that an owner of a group must not get, if no other program tests it;
 * see Documentation/arch/powerpc/vfio-spapr-tce/security.rst.
 */
#include <fcntl.h>
#include <grp.h>
#include <sys/mman.h>
#include <unistd.h>

#include "spapr_one_group.h"

/* Where a page of the process is in physical memory; 0 if that is not told. */
static uint64_t physical(const void *ua)
{
	uint64_t pfn;

	return read_pfns(ua, &pfn, 1) ? 0 : pfn * page_size;
}

/*
 * While the kernel has a device, the second window reaches all memory. From
 * the moment that a process has it, that is no more: not with the window free,
 * not with another one in its place, nor after that.
 */
TEST_F(one_group, no_bypass)
{
	size_t size = 8 * page_size;
	char *buf = buf_alloc(size, SZ_64K);
	struct spot spots[9];
	struct probe probe;
	int i, turn;

	buf_tag(buf, size);
	for (i = 0; i < 8; i++) {
		uint64_t hpa = physical(buf + i * page_size);

		ASSERT_NE(0, hpa);
		spots[i] = (struct spot){ SLOT1_START + hpa, NULL };
	}
	ASSERT_EQ(0, probe_init(&probe, self->c, &self->edu, self->last));
	/* The probe's own memory is where it should be, if seen that way */
	spots[8] = (struct spot){ SLOT1_START + physical(probe.ua), NULL };
	for (turn = 0; turn < 3; turn++) {
		EXPECT_EQ(0, probe_spots(&probe, spots, 9)) {
			TH_LOG("turn %d", turn);
		}
		if (turn == 0) {
			ASSERT_EQ(0, spapr_create(self->c, page_shift,
						  SZ_1T, 3, NULL));
		} else if (turn == 1) {
			ASSERT_EQ(0, spapr_remove(self->c, SLOT1_START));
		}
	}
	EXPECT_EQ(0, probe_exit(&probe));
}

/*
 * A new table holds nothing of the one before it, which was of the same shape
 * or of another, full, and went without being unmapped.
 */
TEST_F(one_group, new_tables_are_empty)
{
	size_t size = 64 * page_size;
	char *buf = buf_alloc(size, SZ_64K);
	struct spot spots[16];
	struct probe probe;
	uint64_t start;
	int i, turn;

	buf_tag(buf, size);
	ASSERT_EQ(0, spapr_register(self->c, buf, size));
	ASSERT_EQ(0, probe_init(&probe, self->c, &self->edu, self->last));
	for (turn = 0; turn < 9; turn++) {
		ASSERT_EQ(0, spapr_create(self->c, 12, SZ_1G, 1 + turn % 3,
					  &start));
		for (i = 0; i < 64; i++) {
			ASSERT_EQ(0, spapr_map(self->c, start + i * size, buf,
					       size));
		}
		ASSERT_EQ(0, spapr_remove(self->c, start));
		/* Its memory is free when nobody can look at it any more */
		usage_at_rest();
		ASSERT_EQ(0, spapr_create(self->c, page_shift, page_size << 18,
					  1 + turn / 3, &start));
		for (i = 0; i < 16; i++)
			spots[i] = (struct spot){ start + i * size * 3, NULL };
		EXPECT_EQ(0, probe_spots(&probe, spots, 16));
		ASSERT_EQ(0, spapr_remove(self->c, start));
	}
	EXPECT_EQ(0, probe_exit(&probe));
	EXPECT_EQ(0, spapr_unregister(self->c, buf, size));
}

/* The argument as it was, with so many bytes of @from in front. */
static bool only_wrote(const uint8_t *arg, size_t from, size_t size)
{
	for (; from < size; from++) {
		if (arg[from] != 0xa5)
			return false;
	}
	return true;
}

/* All that is told is known: no byte comes from the kernel's stack. */
TEST_F(one_group, info_is_whole)
{
	union {
		struct vfio_iommu_spapr_tce_info info;
		uint8_t bytes[256];
	} a, b;
	size_t shorter = offsetof(struct vfio_iommu_spapr_tce_info, ddw);
	uint32_t argsz;

	memset(&a, 0xa5, sizeof(a));
	a.info.argsz = sizeof(a);
	ASSERT_EQ(0, spapr_ioctl(self->c, VFIO_IOMMU_SPAPR_TCE_GET_INFO, &a));
	EXPECT_TRUE(only_wrote(a.bytes, sizeof(a.info), sizeof(a)));
	EXPECT_EQ(VFIO_IOMMU_SPAPR_INFO_DDW, a.info.flags);
	EXPECT_EQ(self->info.dma32_window_start, a.info.dma32_window_start);
	EXPECT_EQ(self->info.dma32_window_size, a.info.dma32_window_size);
	EXPECT_EQ(0, memcmp(&self->info.ddw, &a.info.ddw, sizeof(a.info.ddw)));

	/* Not more than there is room for */
	for (argsz = shorter; argsz < sizeof(a.info); argsz += 4) {
		memset(&b, 0xa5, sizeof(b));
		b.info.argsz = argsz;
		ASSERT_EQ(0, spapr_ioctl(self->c, VFIO_IOMMU_SPAPR_TCE_GET_INFO,
					 &b));
		EXPECT_TRUE(only_wrote(b.bytes, shorter, sizeof(b)));
		EXPECT_EQ(0, memcmp(&a.info.flags, &b.info.flags, shorter - 4));
	}
}

TEST_F(one_group, create_is_whole)
{
	union {
		struct vfio_iommu_spapr_tce_create create;
		uint8_t bytes[256];
	} a;

	memset(&a, 0xa5, sizeof(a));
	a.create = (struct vfio_iommu_spapr_tce_create){
		.argsz = sizeof(a), .page_shift = page_shift,
		.window_size = SZ_1G, .levels = 1, .__resv1 = 0x12345678,
		.__resv2 = 0x23456789,
	};
	ASSERT_EQ(0, spapr_ioctl(self->c, VFIO_IOMMU_SPAPR_TCE_CREATE, &a));
	EXPECT_TRUE(only_wrote(a.bytes, sizeof(a.create), sizeof(a)));
	EXPECT_EQ(SLOT1_START, a.create.start_addr);
	EXPECT_EQ(0x12345678, a.create.__resv1);
	EXPECT_EQ(0x23456789, a.create.__resv2);
}

#define LIMIT	(64 * SZ_1M)
#define NOBODY	65534

static int own_without_privilege(void *arg)
{
	FIXTURE_DATA(one_group) *self = arg;
	char *buf = buf_alloc(LIMIT, SZ_64K);
	long locked;
	int ret;

	limit_locked(LIMIT);
	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		return -EPERM;
	/* Everything works, */
	ret = spapr_register(self->c, buf, LIMIT / 4) ?:
	      spapr_create(self->c, page_shift, SZ_1G, 1, NULL) ?:
	      spapr_map(self->c, 0, buf, SZ_1M) ?:
	      spapr_map(self->c, SLOT1_START, buf, SZ_1M);
	if (ret)
		return ret;
	/* up to the limit, whatever is asked for */
	locked = locked_kb();
	if (spapr_register(self->c, buf + LIMIT / 4, LIMIT / 4 * 3) !=
	    -ENOMEM || spapr_remove(self->c, SLOT1_START) ||
	    spapr_create(self->c, 12, SZ_1T, 3, NULL) != -ENOMEM ||
	    locked_kb() >= locked)
		return -EIO;
	return 0;
}

/* A process that has nothing but the file descriptors */
TEST_F(one_group, without_privilege)
{
	EXPECT_EQ(0, in_child(own_without_privilege, self));
}

TEST_HARNESS_MAIN
