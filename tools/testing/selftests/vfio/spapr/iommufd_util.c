// SPDX-License-Identifier: GPL-2.0-only
/* See iommufd_util.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "iommufd_util.h"

static int call(int fd, unsigned long request, void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret == -1 ? -errno : ret;
}

int iommufd_open(void)
{
	int f = open("/dev/iommu", O_RDWR | O_CLOEXEC);

	return f < 0 ? -errno : f;
}

int iommufd_destroy(int f, uint32_t id)
{
	struct iommu_destroy arg = { .size = sizeof(arg), .id = id };

	return call(f, IOMMU_DESTROY, &arg);
}

int ioas_alloc(int f, uint32_t *ioas)
{
	struct iommu_ioas_alloc arg = { .size = sizeof(arg) };
	int ret = call(f, IOMMU_IOAS_ALLOC, &arg);

	*ioas = arg.out_ioas_id;
	return ret;
}

int ioas_map_flags(int f, uint32_t ioas, uint64_t iova, const void *ua,
		   uint64_t size, uint32_t flags)
{
	struct iommu_ioas_map arg = {
		.size = sizeof(arg), .ioas_id = ioas, .iova = iova,
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | flags,
		.user_va = (uintptr_t)ua, .length = size,
	};

	return call(f, IOMMU_IOAS_MAP, &arg);
}

int ioas_map(int f, uint32_t ioas, uint64_t iova, const void *ua,
	     uint64_t size)
{
	return ioas_map_flags(f, ioas, iova, ua, size, MAP_READ | MAP_WRITE);
}

int ioas_map_anywhere(int f, uint32_t ioas, uint64_t *iova, const void *ua,
		      uint64_t size)
{
	struct iommu_ioas_map arg = {
		.size = sizeof(arg), .ioas_id = ioas,
		.flags = MAP_READ | MAP_WRITE,
		.user_va = (uintptr_t)ua, .length = size,
	};
	int ret = call(f, IOMMU_IOAS_MAP, &arg);

	*iova = arg.iova;
	return ret;
}

int ioas_unmap(int f, uint32_t ioas, uint64_t iova, uint64_t size)
{
	struct iommu_ioas_unmap arg = {
		.size = sizeof(arg), .ioas_id = ioas, .iova = iova,
		.length = size,
	};
	int ret = call(f, IOMMU_IOAS_UNMAP, &arg);

	return ret ? ret : arg.length == size ? 0 : -EIO;
}

int ioas_unmap_all(int f, uint32_t ioas)
{
	struct iommu_ioas_unmap arg = {
		.size = sizeof(arg), .ioas_id = ioas, .length = UINT64_MAX,
	};

	return call(f, IOMMU_IOAS_UNMAP, &arg);
}

int ioas_ranges(int f, uint32_t ioas, struct iommu_iova_range *ranges, int max,
		uint64_t *alignment)
{
	struct iommu_ioas_iova_ranges arg = {
		.size = sizeof(arg), .ioas_id = ioas, .num_iovas = max,
		.allowed_iovas = (uintptr_t)ranges,
	};
	int ret = call(f, IOMMU_IOAS_IOVA_RANGES, &arg);

	*alignment = arg.out_iova_alignment;
	return ret && ret != -EMSGSIZE ? ret : (int)arg.num_iovas;
}

int type1_ranges(int f)
{
	union {
		struct vfio_iommu_type1_info info;
		char bytes[1024];
	} arg = { .info.argsz = sizeof(arg) };
	struct vfio_iommu_type1_info_cap_iova_range *ranges;
	struct vfio_info_cap_header *cap;
	int ret = call(f, VFIO_IOMMU_GET_INFO, &arg);
	uint32_t at;

	if (ret)
		return ret;
	for (at = arg.info.cap_offset; at; at = cap->next) {
		cap = (void *)(arg.bytes + at);
		if (cap->id != VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
			continue;
		ranges = (void *)cap;
		return ranges->nr_iovas;
	}
	return 0;
}

/* The only entry of the device's vfio-dev folder. */
int edu_open_file(struct edu *edu)
{
	char path[300];
	struct dirent *d;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev",
		 edu->name);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((d = readdir(dir)) && d->d_name[0] == '.')
		;
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s",
		 d ? d->d_name : "");
	closedir(dir);

	edu->fd = open(path, O_RDWR | O_CLOEXEC);
	return edu->fd < 0 ? -errno : edu->fd;
}

int edu_bind(struct edu *edu, int f, uint32_t *dev)
{
	struct vfio_device_bind_iommufd arg = {
		.argsz = sizeof(arg), .iommufd = f,
	};
	int ret = call(edu->fd, VFIO_DEVICE_BIND_IOMMUFD, &arg);

	if (dev)
		*dev = arg.out_devid;
	return ret;
}

int edu_attach(struct edu *edu, uint32_t pt)
{
	struct vfio_device_attach_iommufd_pt arg = {
		.argsz = sizeof(arg), .pt_id = pt,
	};

	return call(edu->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg);
}

int edu_detach(struct edu *edu)
{
	struct vfio_device_detach_iommufd_pt arg = { .argsz = sizeof(arg) };

	return call(edu->fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &arg);
}

int edu_open_attached(struct edu *edu, int f, uint32_t ioas)
{
	int ret = edu_open_file(edu);

	if (ret >= 0)
		ret = edu_bind(edu, f, NULL);
	if (!ret)
		ret = edu_attach(edu, ioas);
	return ret ? ret : edu_start(edu);
}

int hwpt_alloc_flags(int f, uint32_t dev, uint32_t ioas, uint32_t flags,
		     uint32_t *hwpt)
{
	struct iommu_hwpt_alloc arg = {
		.size = sizeof(arg), .dev_id = dev, .pt_id = ioas,
		.flags = flags,
	};
	int ret = call(f, IOMMU_HWPT_ALLOC, &arg);

	*hwpt = arg.out_hwpt_id;
	return ret;
}

int hwpt_alloc(int f, uint32_t dev, uint32_t ioas, uint32_t *hwpt)
{
	return hwpt_alloc_flags(f, dev, ioas, 0, hwpt);
}
