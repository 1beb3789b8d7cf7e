/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The calls of /dev/iommu and of VFIO's device files as functions. They return
 * what the system call returned, or -errno, as those of spapr_util.h.
 */
#ifndef IOMMUFD_UTIL_H
#define IOMMUFD_UTIL_H

#include <linux/iommufd.h>

#include "spapr_util.h"

/* What windows of all domains cover: 2^36 entries of 4 KiB, and of a page. */
#define WINDOW0_LAST	((1UL << 48) - 1)
#define WINDOW1_START	(1UL << 59)
#define WINDOW1_LAST	(WINDOW1_START + page_size * (1UL << 36) - 1)

#define MAP_READ	IOMMU_IOAS_MAP_READABLE
#define MAP_WRITE	IOMMU_IOAS_MAP_WRITEABLE

/* -ENOENT without /dev/iommu */
int iommufd_open(void);
int iommufd_destroy(int f, uint32_t id);

int ioas_alloc(int f, uint32_t *ioas);
int ioas_map_flags(int f, uint32_t ioas, uint64_t iova, const void *ua,
		   uint64_t size, uint32_t flags);
int ioas_map(int f, uint32_t ioas, uint64_t iova, const void *ua,
	     uint64_t size);
/* The kernel chooses where. */
int ioas_map_anywhere(int f, uint32_t ioas, uint64_t *iova, const void *ua,
		      uint64_t size);
/* Returns 0 if all of @size was mapped and no longer is. */
int ioas_unmap(int f, uint32_t ioas, uint64_t iova, uint64_t size);
int ioas_unmap_all(int f, uint32_t ioas);
/* Returns how many ranges there are, and up to @max of them. */
int ioas_ranges(int f, uint32_t ioas, struct iommu_iova_range *ranges, int max,
		uint64_t *alignment);

/*
 * Of /dev/iommu as a container of type1: how many ranges there are, 0 if it does
 * not say.
 */
int type1_ranges(int f);

/* The device's own file; the device is not bound yet. */
int edu_open_file(struct edu *edu);
int edu_bind(struct edu *edu, int f, uint32_t *dev);
/* To an IOAS or to a page table; another one may be attached. */
int edu_attach(struct edu *edu, uint32_t pt);
int edu_detach(struct edu *edu);
/* All of these, and edu_start() */
int edu_open_attached(struct edu *edu, int f, uint32_t ioas);

int hwpt_alloc_flags(int f, uint32_t dev, uint32_t ioas, uint32_t flags,
		     uint32_t *hwpt);
int hwpt_alloc(int f, uint32_t dev, uint32_t ioas, uint32_t *hwpt);

#endif
