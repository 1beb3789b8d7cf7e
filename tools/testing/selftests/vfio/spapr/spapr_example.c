// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a container with nothing but the interface of VFIO: what a
 * program has to do before a device can reach its memory, and after.
 *
 * Usage: spapr_example GROUP
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/vfio.h>

#define MEMORY_BYTES	(16UL << 20)
#define WINDOW_BYTES	(1UL << 40)

static void check(int ret, const char *what)
{
	if (ret < 0)
		err(1, "%s", what);
}

/* A container with one group in it. More can join; they share what it maps. */
static int open_container(const char *group_number, int *group)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char path[64];
	int c;

	c = open("/dev/vfio/vfio", O_RDWR);
	check(c, "/dev/vfio/vfio");
	if (!ioctl(c, VFIO_CHECK_EXTENSION, VFIO_SPAPR_TCE_v2_IOMMU))
		errx(1, "this host has no VFIO_SPAPR_TCE_v2_IOMMU");

	snprintf(path, sizeof(path), "/dev/vfio/%s", group_number);
	*group = open(path, O_RDWR);
	check(*group, path);
	check(ioctl(*group, VFIO_GROUP_GET_STATUS, &status), "GET_STATUS");
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		errx(1, "a device of the group has another driver");

	check(ioctl(*group, VFIO_GROUP_SET_CONTAINER, &c), "SET_CONTAINER");
	check(ioctl(c, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU), "SET_IOMMU");

	return c;
}

/*
 * A window of 1 TiB, with as many levels of tables as there can be. Its pages
 * are the kernel's: larger ones would need memory that is contiguous, as huge
 * pages are.
 */
static uint64_t create_window(int c)
{
	unsigned int page_shift = __builtin_ctzl(sysconf(_SC_PAGESIZE));
	struct vfio_iommu_spapr_tce_info info = { .argsz = sizeof(info) };
	struct vfio_iommu_spapr_tce_create create = {
		.argsz		= sizeof(create),
		.page_shift	= page_shift,
		.window_size	= WINDOW_BYTES,
	};

	check(ioctl(c, VFIO_IOMMU_SPAPR_TCE_GET_INFO, &info), "GET_INFO");
	if (!(info.flags & VFIO_IOMMU_SPAPR_INFO_DDW))
		errx(1, "only the default window, at %#x", info.dma32_window_start);
	if (!(info.ddw.pgsizes & 1UL << page_shift))
		errx(1, "no pages of the kernel's size");

	create.levels = info.ddw.levels;
	check(ioctl(c, VFIO_IOMMU_SPAPR_TCE_CREATE, &create), "CREATE");

	return create.start_addr;
}

int main(int argc, char **argv)
{
	struct vfio_iommu_spapr_register_memory memory = {
		.argsz	= sizeof(memory),
		.size	= MEMORY_BYTES,
	};
	struct vfio_iommu_type1_dma_map map = {
		.argsz	= sizeof(map),
		.flags	= VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.size	= MEMORY_BYTES,
	};
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz	= sizeof(unmap),
		.size	= MEMORY_BYTES,
	};
	struct vfio_iommu_spapr_tce_remove remove = {
		.argsz	= sizeof(remove),
	};
	int c, group;
	void *buf;

	if (argc != 2)
		errx(1, "usage: %s GROUP", argv[0]);

	c = open_container(argv[1], &group);

	/* Pinned and charged once, here. */
	buf = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buf == MAP_FAILED)
		err(1, "mmap");
	memory.vaddr = (uint64_t)buf;
	check(ioctl(c, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, &memory), "REGISTER");

	/* The default window is of no use to a device with 64 bits. */
	check(ioctl(c, VFIO_IOMMU_SPAPR_TCE_REMOVE, &remove), "REMOVE");
	remove.start_addr = create_window(c);

	map.vaddr = memory.vaddr;
	map.iova = remove.start_addr;
	check(ioctl(c, VFIO_IOMMU_MAP_DMA, &map), "MAP");
	printf("a device of group %s reaches %p at bus address %#llx\n",
	       argv[1], buf, (unsigned long long)map.iova);

	/*
	 * Here VFIO_GROUP_GET_DEVICE_FD, and work. To undo it: unmap, because
	 * memory that is mapped stays registered; the window could go first.
	 */
	unmap.iova = map.iova;
	check(ioctl(c, VFIO_IOMMU_UNMAP_DMA, &unmap), "UNMAP");
	check(ioctl(c, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, &memory),
	      "UNREGISTER");
	check(ioctl(c, VFIO_IOMMU_SPAPR_TCE_REMOVE, &remove), "REMOVE");

	check(ioctl(group, VFIO_GROUP_UNSET_CONTAINER), "UNSET_CONTAINER");
	close(group);
	close(c);

	return 0;
}
