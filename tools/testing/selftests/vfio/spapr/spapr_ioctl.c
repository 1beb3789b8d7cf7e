// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every ioctl of a v2 container and every way to be refused by it. A refused
 * ioctl changes nothing and charges nothing.
 */
#include <sys/mman.h>
#include <sys/syscall.h>

#include "spapr_one_group.h"

/* One ioctl with arguments that it accepts, except those that a test spoils. */
union arg {
	struct {
		uint32_t argsz;
		uint32_t flags;
	};
	struct vfio_iommu_spapr_tce_info info;
	struct vfio_iommu_spapr_register_memory memory;
	struct vfio_iommu_spapr_tce_create create;
	struct vfio_iommu_spapr_tce_remove remove;
	struct vfio_iommu_type1_dma_map map;
	struct vfio_iommu_type1_dma_unmap unmap;
	struct vfio_eeh_pe_op eeh;
};

#define offsetofend(type, member) \
	(offsetof(type, member) + sizeof(((type *)0)->member))

FIXTURE(any_ioctl)
{
	struct usage was;
	struct edu edu;
	int c;
	char *buf;
	union arg good;
};

FIXTURE_VARIANT(any_ioctl)
{
	unsigned long request;
	/* as much of the argument as the kernel has to read */
	size_t size;
	bool has_flags;
	/* those that mean something */
	uint32_t flags;
	/* the kernel writes the argument back */
	bool writes;
};

FIXTURE_VARIANT_ADD(any_ioctl, get_info)
{
	.request = VFIO_IOMMU_SPAPR_TCE_GET_INFO,
	.size = offsetofend(struct vfio_iommu_spapr_tce_info,
			    dma32_window_size),
	.writes = true,
};

FIXTURE_VARIANT_ADD(any_ioctl, register)
{
	.request = VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
	.size = sizeof(struct vfio_iommu_spapr_register_memory),
	.has_flags = true,
};

FIXTURE_VARIANT_ADD(any_ioctl, unregister)
{
	.request = VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
	.size = sizeof(struct vfio_iommu_spapr_register_memory),
	.has_flags = true,
};

FIXTURE_VARIANT_ADD(any_ioctl, create)
{
	.request = VFIO_IOMMU_SPAPR_TCE_CREATE,
	.size = sizeof(struct vfio_iommu_spapr_tce_create),
	.has_flags = true,
	.writes = true,
};

FIXTURE_VARIANT_ADD(any_ioctl, remove)
{
	.request = VFIO_IOMMU_SPAPR_TCE_REMOVE,
	.size = sizeof(struct vfio_iommu_spapr_tce_remove),
	.has_flags = true,
};

FIXTURE_VARIANT_ADD(any_ioctl, map)
{
	.request = VFIO_IOMMU_MAP_DMA,
	.size = sizeof(struct vfio_iommu_type1_dma_map),
	.has_flags = true,
	.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
};

FIXTURE_VARIANT_ADD(any_ioctl, unmap)
{
	.request = VFIO_IOMMU_UNMAP_DMA,
	.size = offsetofend(struct vfio_iommu_type1_dma_unmap, size),
	.has_flags = true,
};

FIXTURE_VARIANT_ADD(any_ioctl, eeh_pe_op)
{
	.request = VFIO_EEH_PE_OP,
	.size = offsetofend(struct vfio_eeh_pe_op, op),
	.has_flags = true,
};

FIXTURE_SETUP(any_ioctl)
{
	union arg *good = &self->good;

	if (!edu_find(&self->edu, 1))
		SKIP(return, "no edu device is bound to vfio-pci");
	self->was = usage_at_rest();
	self->c = container_open();
	ASSERT_LE(0, edu_open_group(&self->edu));
	ASSERT_EQ(0, container_add(self->c, &self->edu));
	ASSERT_EQ(0, container_set_iommu(self->c, VFIO_SPAPR_TCE_v2_IOMMU));
	if (variant->request == VFIO_EEH_PE_OP &&
	    ioctl(self->c, VFIO_CHECK_EXTENSION, VFIO_EEH) != 1)
		SKIP(return, "no EEH on this machine");

	/* One mapped region, one to register, and the default window */
	self->buf = buf_alloc(2 * page_size, page_size);
	ASSERT_EQ(0, spapr_register(self->c, self->buf, page_size));
	ASSERT_EQ(0, spapr_map(self->c, 0, self->buf, SZ_4K));

	good->argsz = sizeof(*good);
	switch (variant->request) {
	case VFIO_IOMMU_SPAPR_REGISTER_MEMORY:
		good->memory.vaddr = (uintptr_t)self->buf + page_size;
		good->memory.size = page_size;
		break;
	case VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY:
		ASSERT_EQ(0, spapr_unmap(self->c, 0, SZ_4K));
		good->memory.vaddr = (uintptr_t)self->buf;
		good->memory.size = page_size;
		break;
	case VFIO_IOMMU_SPAPR_TCE_CREATE:
		good->create.page_shift = 16;
		good->create.window_size = SZ_1G;
		good->create.levels = 1;
		break;
	case VFIO_IOMMU_MAP_DMA:
		good->map.flags = VFIO_DMA_MAP_FLAG_READ;
		good->map.vaddr = (uintptr_t)self->buf;
		good->map.iova = SZ_4K;
		good->map.size = SZ_4K;
		break;
	case VFIO_IOMMU_UNMAP_DMA:
		good->unmap.size = SZ_4K;
		break;
	case VFIO_EEH_PE_OP:
		good->eeh.op = VFIO_EEH_PE_GET_STATE;
		break;
	}
}

FIXTURE_TEARDOWN(any_ioctl)
{
	EXPECT_EQ(0, check_invariants());
	edu_close_group(&self->edu);
	close(self->c);
	expect_usage(_metadata, &self->was);
}

/* Calls that the other tests spoil do work: GET_STATE's normal state is 0. */
TEST_F(any_ioctl, works)
{
	EXPECT_EQ(0, spapr_ioctl(self->c, variant->request, &self->good));
}

TEST_F(any_ioctl, short_argsz)
{
	long locked = locked_kb();

	self->good.argsz = variant->size - 1;
	EXPECT_EQ(-EINVAL,
		  spapr_ioctl(self->c, variant->request, &self->good));
	self->good.argsz = 0;
	EXPECT_EQ(-EINVAL,
		  spapr_ioctl(self->c, variant->request, &self->good));
	EXPECT_EQ(locked, locked_kb());

	/* Refused: so it can be done now. Longer than known is fine. */
	self->good.argsz = 4096;
	EXPECT_EQ(0, spapr_ioctl(self->c, variant->request, &self->good));
}

TEST_F(any_ioctl, unknown_flags)
{
	long locked = locked_kb();
	uint32_t flags = self->good.flags;
	int bit;

	if (!variant->has_flags) {
		/* They are for the answer: what they were does not matter */
		self->good.flags = ~0U;
		EXPECT_EQ(0, spapr_ioctl(self->c, variant->request,
					 &self->good));
		return;
	}
	for (bit = 0; bit < 32; bit++) {
		if (variant->flags >> bit & 1)
			continue;
		self->good.flags = flags | 1U << bit;
		EXPECT_EQ(-EINVAL, spapr_ioctl(self->c, variant->request,
					       &self->good)) {
			TH_LOG("flag 1 << %d", bit);
		}
	}
	EXPECT_EQ(locked, locked_kb());

	self->good.flags = flags;
	EXPECT_EQ(0, spapr_ioctl(self->c, variant->request, &self->good));
}

/*
 * copy_from_user() of Linux 7.2 reads at 1 << 63 in place of any address of the
 * kernel. A hypervisor with the radix MMU can read there, so that no system
 * call says EFAULT. This one copies the set first and then refuses what to do with
 * it.
 */
static bool kernel_addresses_fault(void)
{
	return syscall(SYS_rt_sigprocmask, -1, -8L, NULL, 8) && errno == EFAULT;
}

TEST_F(any_ioctl, bad_pointer)
{
	long locked = locked_kb();
	char *end = (char *)buf_alloc(page_size, page_size) + page_size;

	EXPECT_EQ(-EFAULT, spapr_ioctl(self->c, variant->request, NULL));
	EXPECT_EQ(-EFAULT, spapr_ioctl(self->c, variant->request, end));
	if (kernel_addresses_fault()) {
		EXPECT_EQ(-EFAULT, spapr_ioctl(self->c, variant->request,
					       (void *)-8L));
	} else {
		EXPECT_GT(0, spapr_ioctl(self->c, variant->request,
					 (void *)-8L));
	}

	/* The argument ends one byte beyond what can be read */
	end -= variant->size - 1;
	memcpy(end, &self->good, variant->size - 1);
	EXPECT_EQ(-EFAULT, spapr_ioctl(self->c, variant->request, end));
	EXPECT_EQ(locked, locked_kb());

	/* As long as it has to be */
	end--;
	self->good.argsz = variant->size;
	memcpy(end, &self->good, variant->size);
	EXPECT_EQ(0, spapr_ioctl(self->c, variant->request, end));
}

/* If there is an answer and it cannot be delivered, nothing has happened. */
TEST_F(any_ioctl, read_only_argument)
{
	long locked = locked_kb();
	union arg *arg = buf_alloc(page_size, page_size);

	*arg = self->good;
	ASSERT_EQ(0, mprotect(arg, page_size, PROT_READ));
	if (!variant->writes) {
		EXPECT_EQ(0, spapr_ioctl(self->c, variant->request, arg));
		return;
	}
	EXPECT_EQ(-EFAULT, spapr_ioctl(self->c, variant->request, arg));
	EXPECT_EQ(locked, locked_kb());
	ASSERT_EQ(0, mprotect(arg, page_size, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, spapr_ioctl(self->c, variant->request, arg));
}

struct call {
	int c;
	unsigned long request;
	void *arg;
};

static int do_call(void *arg)
{
	struct call *call = arg;

	return spapr_ioctl(call->c, call->request, call->arg);
}

/* The container belongs to the mm that first used it. */
TEST_F(any_ioctl, other_process)
{
	struct call call = { self->c, variant->request, &self->good };
	long locked = locked_kb();

	EXPECT_EQ(-EPERM, in_child(do_call, &call));
	EXPECT_EQ(locked, locked_kb());
	EXPECT_EQ(0, do_call(&call));
}

/* ---- the container itself ---- */

TEST_F(one_group, extensions)
{
	EXPECT_EQ(VFIO_API_VERSION, ioctl(self->c, VFIO_GET_API_VERSION));
	EXPECT_EQ(1, ioctl(self->c, VFIO_CHECK_EXTENSION,
			   VFIO_SPAPR_TCE_IOMMU));
	EXPECT_EQ(1, ioctl(self->c, VFIO_CHECK_EXTENSION,
			   VFIO_SPAPR_TCE_v2_IOMMU));
	EXPECT_EQ(0, ioctl(self->c, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU));
	EXPECT_EQ(0, ioctl(self->c, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(0, ioctl(self->c, VFIO_CHECK_EXTENSION, 4711));
}

TEST_F(one_group, set_iommu_twice)
{
	EXPECT_EQ(-EINVAL,
		  container_set_iommu(self->c, VFIO_SPAPR_TCE_v2_IOMMU));
}

TEST_F(one_group, unknown_type)
{
	int c = container_open();

	/* A container is without type until it has a group */
	EXPECT_EQ(-EINVAL, container_set_iommu(c, VFIO_SPAPR_TCE_v2_IOMMU));
	edu_close(&self->edu);
	ASSERT_EQ(0, container_del(self->c, &self->edu));
	ASSERT_EQ(0, container_add(c, &self->edu));
	EXPECT_EQ(-ENODEV, container_set_iommu(c, VFIO_TYPE1_IOMMU));
	EXPECT_EQ(-ENODEV, container_set_iommu(c, 4711));
	EXPECT_EQ(0, container_set_iommu(c, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, container_del(c, &self->edu));
	close(c);
}

TEST_F(one_group, unknown_ioctl)
{
	EXPECT_EQ(-ENOTTY, spapr_ioctl(self->c, _IO(VFIO_TYPE, VFIO_BASE + 90),
				       NULL));
}

TEST_F(one_group, v1_ioctls)
{
	EXPECT_EQ(-ENOTTY, spapr_ioctl(self->c, VFIO_IOMMU_ENABLE, NULL));
	EXPECT_EQ(-ENOTTY, spapr_ioctl(self->c, VFIO_IOMMU_DISABLE, NULL));
}

TEST_F(one_group, info)
{
	struct vfio_iommu_spapr_tce_info *info = &self->info;

	EXPECT_EQ(0, info->dma32_window_start);
	EXPECT_NE(0, info->dma32_window_size);
	EXPECT_EQ(0, info->dma32_window_size & (info->dma32_window_size - 1));
	EXPECT_EQ(VFIO_IOMMU_SPAPR_INFO_DDW, info->flags);
	EXPECT_EQ(SZ_4K | SZ_64K, info->ddw.pgsizes & (SZ_4K | SZ_64K));
	EXPECT_EQ(2, info->ddw.max_dynamic_windows_supported);
	EXPECT_EQ(access("/sys/firmware/opal", F_OK) ? 1 : 4, info->ddw.levels);
}

/* A caller from before dynamic windows gets what it has room for. */
TEST_F(one_group, info_short)
{
	struct vfio_iommu_spapr_tce_info info;

	memset(&info, 0xa5, sizeof(info));
	info.argsz = offsetof(struct vfio_iommu_spapr_tce_info, ddw);
	ASSERT_EQ(0, spapr_ioctl(self->c, VFIO_IOMMU_SPAPR_TCE_GET_INFO,
				 &info));
	EXPECT_EQ(self->info.dma32_window_start, info.dma32_window_start);
	EXPECT_EQ(self->info.dma32_window_size, info.dma32_window_size);
	EXPECT_EQ(0xa5a5a5a5a5a5a5a5UL, info.ddw.pgsizes);
	EXPECT_EQ(0xa5a5a5a5, info.ddw.levels);

	/* One byte short of the whole is still the short form */
	info.argsz = sizeof(info) - 1;
	ASSERT_EQ(0, spapr_ioctl(self->c, VFIO_IOMMU_SPAPR_TCE_GET_INFO,
				 &info));
	EXPECT_EQ(0xa5a5a5a5, info.ddw.levels);
}

TEST_F(one_group, before_register)
{
	char *buf = buf_alloc(page_size, page_size);
	uint64_t start;

	EXPECT_EQ(-EPERM, spapr_map(self->c, 0, buf, SZ_4K));
	EXPECT_EQ(-EPERM, spapr_unmap(self->c, 0, SZ_4K));
	EXPECT_EQ(-EPERM, spapr_unregister(self->c, buf, page_size));
	EXPECT_EQ(self->was.locked_kb, locked_kb());

	/* A window is no memory */
	ASSERT_EQ(0, spapr_create(self->c, 16, SZ_1G, 1, &start));
	EXPECT_EQ(-EPERM, spapr_map(self->c, start, buf, SZ_64K));
	EXPECT_EQ(-EPERM, spapr_unmap(self->c, start, SZ_64K));
	EXPECT_EQ(-ENOENT, spapr_unregister(self->c, buf, page_size));
}

/* ---- MAP and UNMAP ---- */

static int map_bad(int c, uint64_t iova, const void *ua, uint64_t size)
{
	int ret = spapr_map(c, iova, ua, size);

	if (ret != -EINVAL)
		fprintf(stderr, "# MAP %#lx size %#lx: %d\n", (long)iova,
			(long)size, ret);
	return ret;
}

FIXTURE(refused_map)
{
	FIXTURE_DATA(one_group) one;
	int c;
	char *buf;
	uint64_t end;
	struct probe probe;
};

FIXTURE_SETUP(refused_map)
{
	one_group_setup(_metadata, &self->one, NULL);
	if (_metadata->exit_code)
		return;
	self->c = self->one.c;
	self->end = self->one.end;
	self->buf = buf_alloc(SZ_64K * 4, SZ_64K);
	buf_tag(self->buf, SZ_64K * 4);
	ASSERT_EQ(0, probe_init(&self->probe, self->c, &self->one.edu,
				self->one.last - SZ_1M));
	ASSERT_EQ(0, spapr_register(self->c, self->buf, SZ_64K * 4));
}

/* Whatever was refused has left no entry behind. */
FIXTURE_TEARDOWN(refused_map)
{
	EXPECT_EQ(0, spapr_unregister(self->c, self->buf, SZ_64K * 4));
	EXPECT_EQ(0, probe_exit(&self->probe));
	one_group_teardown(_metadata, &self->one, NULL);
}

TEST_F(refused_map, no_window)
{
	EXPECT_EQ(-ENXIO, spapr_map(self->c, self->end, self->buf, SZ_4K));
	EXPECT_EQ(-ENXIO, spapr_map(self->c, SLOT1_START, self->buf, SZ_4K));
	EXPECT_EQ(-ENXIO, spapr_map(self->c, -SZ_4K, self->buf, SZ_4K));
	EXPECT_EQ(-ENXIO, spapr_unmap(self->c, self->end, SZ_4K));
	EXPECT_EQ(-ENXIO, spapr_unmap(self->c, SLOT1_START, SZ_4K));
	EXPECT_EQ(-ENXIO, spapr_unmap(self->c, -SZ_4K, SZ_4K));
}

TEST_F(refused_map, beyond_second_window)
{
	uint64_t start;

	ASSERT_EQ(0, spapr_create(self->c, 16, SZ_1G, 1, &start));
	EXPECT_EQ(-ENXIO, spapr_map(self->c, start + SZ_1G, self->buf, SZ_64K));
	EXPECT_EQ(-ENXIO, spapr_map(self->c, start - SZ_64K, self->buf,
				    SZ_64K));
	EXPECT_EQ(-ENXIO, spapr_unmap(self->c, start + SZ_1G, SZ_64K));
	EXPECT_EQ(-ENXIO, spapr_unmap(self->c, start - SZ_64K, SZ_64K));
}

TEST_F(refused_map, misaligned_iova)
{
	EXPECT_EQ(-EINVAL, map_bad(self->c, 1, self->buf, SZ_4K));
	EXPECT_EQ(-EINVAL, map_bad(self->c, SZ_4K / 2, self->buf, SZ_4K));
	EXPECT_EQ(-EINVAL, map_bad(self->c, self->end - 1, self->buf, SZ_4K));
	EXPECT_EQ(-EINVAL, spapr_unmap(self->c, 1, SZ_4K));
	EXPECT_EQ(-EINVAL, spapr_unmap(self->c, SZ_4K / 2, SZ_4K));
	EXPECT_EQ(-EINVAL, spapr_unmap(self->c, self->end - 1, SZ_4K));
}

TEST_F(refused_map, misaligned_vaddr)
{
	EXPECT_EQ(-EINVAL, map_bad(self->c, 0, self->buf + 1, SZ_4K));
	EXPECT_EQ(-EINVAL, map_bad(self->c, 0, self->buf + SZ_4K / 2, SZ_4K));
}

TEST_F(refused_map, misaligned_size)
{
	EXPECT_EQ(-EINVAL, map_bad(self->c, 0, self->buf, 1));
	EXPECT_EQ(-EINVAL, map_bad(self->c, 0, self->buf, SZ_4K + 1));
	EXPECT_EQ(-EINVAL, map_bad(self->c, 0, self->buf, -1UL));
	EXPECT_EQ(-EINVAL, spapr_unmap(self->c, 0, 1));
	EXPECT_EQ(-EINVAL, spapr_unmap(self->c, 0, SZ_4K + 1));
	EXPECT_EQ(-EINVAL, spapr_unmap(self->c, 0, -1UL));
}

/* An address that is aligned for one window is not for the other. */
TEST_F(refused_map, misaligned_for_window)
{
	uint64_t start;

	ASSERT_EQ(0, spapr_create(self->c, 16, SZ_1G, 1, &start));
	EXPECT_EQ(-EINVAL, map_bad(self->c, start + SZ_4K, self->buf, SZ_64K));
	EXPECT_EQ(-EINVAL, map_bad(self->c, start, self->buf + SZ_4K, SZ_64K));
	EXPECT_EQ(-EINVAL, map_bad(self->c, start, self->buf, SZ_4K));
	EXPECT_EQ(-EINVAL, spapr_unmap(self->c, start + SZ_4K, SZ_64K));
	EXPECT_EQ(-EINVAL, spapr_unmap(self->c, start, SZ_4K));
}

TEST_F(refused_map, zero_size)
{
	EXPECT_EQ(-EINVAL, map_bad(self->c, 0, self->buf, 0));
	EXPECT_EQ(-EINVAL, spapr_unmap(self->c, 0, 0));
}

TEST_F(refused_map, across_end)
{
	EXPECT_EQ(-EINVAL, map_bad(self->c, self->end - SZ_4K, self->buf,
				   2 * SZ_4K));
	EXPECT_EQ(-EINVAL, spapr_unmap(self->c, self->end - SZ_4K, 2 * SZ_4K));
	EXPECT_EQ(-EINVAL, spapr_unmap(self->c, 0, self->end + SZ_4K));
}

TEST_F(refused_map, wraps_around)
{
	EXPECT_EQ(-EINVAL, map_bad(self->c, SZ_4K, self->buf, -SZ_4K));
	EXPECT_EQ(-EINVAL, map_bad(self->c, SZ_4K, self->buf, -2 * SZ_4K));
	EXPECT_EQ(-EINVAL, map_bad(self->c, 0, (void *)-SZ_4K, 2 * SZ_4K));
	EXPECT_EQ(-EINVAL, spapr_unmap(self->c, SZ_4K, -SZ_4K));
	EXPECT_EQ(-EINVAL, spapr_unmap(self->c, SZ_4K, -2 * SZ_4K));
}

TEST_F(refused_map, no_direction)
{
	EXPECT_EQ(-EINVAL, spapr_map_flags(self->c, 0, self->buf, SZ_4K, 0));
}

TEST_F(refused_map, unregistered)
{
	char *other = buf_alloc(page_size, page_size);

	EXPECT_EQ(-EINVAL, map_bad(self->c, 0, other, SZ_4K));
	EXPECT_EQ(-EINVAL, map_bad(self->c, 0, NULL, SZ_4K));
	EXPECT_EQ(-EINVAL, map_bad(self->c, 0, (void *)-SZ_64K, SZ_4K));
	EXPECT_EQ(-EINVAL, map_bad(self->c, 0, self->buf - SZ_4K, SZ_4K));
	EXPECT_EQ(-EINVAL, map_bad(self->c, 0, self->buf + SZ_64K * 4, SZ_4K));
}

/* The part that is registered is not mapped either. */
TEST_F(refused_map, partly_unregistered)
{
	struct spot spots[] = { { 0, NULL }, { SZ_4K, NULL } };

	EXPECT_EQ(-EINVAL, map_bad(self->c, 0, self->buf + SZ_64K * 4 - SZ_4K,
				   2 * SZ_4K));
	EXPECT_EQ(-EINVAL, map_bad(self->c, 0, self->buf - SZ_4K, 2 * SZ_4K));
	EXPECT_EQ(-EINVAL, map_bad(self->c, 0, self->buf, SZ_64K * 4 + SZ_4K));
	EXPECT_EQ(0, probe_spots(&self->probe, spots, 2));
}

/* A refused MAP leaves the entries that it would have replaced. */
TEST_F(refused_map, keeps_what_is_mapped)
{
	struct spot spots[] = {
		{ 0, self->buf }, { SZ_4K, self->buf + SZ_4K },
		{ 2 * SZ_4K, NULL },
	};

	ASSERT_EQ(0, spapr_map(self->c, 0, self->buf, 2 * SZ_4K));
	EXPECT_EQ(-EINVAL, map_bad(self->c, 0, self->buf + SZ_64K * 4 -
				   2 * SZ_4K, 3 * SZ_4K));
	EXPECT_EQ(-EINVAL, map_bad(self->c, 0, self->buf - SZ_4K, 3 * SZ_4K));
	EXPECT_EQ(-EINVAL, spapr_map_flags(self->c, 0, self->buf + SZ_64K,
					   SZ_4K, 0));
	EXPECT_EQ(0, probe_spots(&self->probe, spots, 3));
	EXPECT_EQ(-EBUSY, spapr_unregister(self->c, self->buf, SZ_64K * 4));
	EXPECT_EQ(0, spapr_unmap(self->c, 0, 3 * SZ_4K));
}

/* So does a refused UNMAP. */
TEST_F(refused_map, refused_unmap_keeps)
{
	uint64_t iova = self->end - SZ_4K;
	struct spot spots[] = { { iova, self->buf } };

	ASSERT_EQ(0, spapr_map(self->c, iova, self->buf, SZ_4K));
	EXPECT_EQ(-EINVAL, spapr_unmap(self->c, iova, 2 * SZ_4K));
	EXPECT_EQ(-EINVAL, spapr_unmap(self->c, iova, 0));
	EXPECT_EQ(-EINVAL, spapr_unmap(self->c, iova + 1, SZ_4K));
	EXPECT_EQ(0, probe_spots(&self->probe, spots, 1));
	EXPECT_EQ(-EBUSY, spapr_unregister(self->c, self->buf, SZ_64K * 4));
	EXPECT_EQ(0, spapr_unmap(self->c, iova, SZ_4K));
}

/* ---- EEH ---- */

TEST_F(one_group, eeh)
{
	struct vfio_eeh_pe_op op = {
		.argsz = offsetofend(struct vfio_eeh_pe_op, op),
		.op = VFIO_EEH_PE_INJECT_ERR,
	};

	if (ioctl(self->c, VFIO_CHECK_EXTENSION, VFIO_EEH) != 1)
		SKIP(return, "no EEH on this machine");

	EXPECT_EQ(-EINVAL, spapr_eeh(self->c, 10));
	EXPECT_EQ(-EINVAL, spapr_eeh(self->c, ~0U));
	/* The one ioctl whose result may be positive */
	EXPECT_EQ(VFIO_EEH_PE_STATE_NORMAL,
		  spapr_eeh(self->c, VFIO_EEH_PE_GET_STATE));
	/* This one needs the rest of the argument */
	EXPECT_EQ(-EINVAL, spapr_ioctl(self->c, VFIO_EEH_PE_OP, &op));
	/* Whatever changes something needs an open device. */
	EXPECT_EQ(-ENODEV, spapr_eeh(self->c, VFIO_EEH_PE_ENABLE));
	ASSERT_EQ(0, edu_open(&self->edu));
	EXPECT_EQ(0, spapr_eeh(self->c, VFIO_EEH_PE_ENABLE));
	EXPECT_EQ(0, spapr_eeh(self->c, VFIO_EEH_PE_UNFREEZE_DMA));
}

TEST_HARNESS_MAIN
