/* SPDX-License-Identifier: GPL-2.0-only */
/* A fixture: one device and its group, alone in a container of type v2. */
#ifndef SPAPR_ONE_GROUP_H
#define SPAPR_ONE_GROUP_H

#include "spapr_harness.h"

FIXTURE(one_group)
{
	struct usage was;
	struct edu edu;
	int c;
	struct vfio_iommu_spapr_tce_info info;
	/* where the default window ends, and its last page: for the probe */
	uint64_t end;
	uint64_t last;
};

FIXTURE_SETUP(one_group)
{
	if (!edu_find(&self->edu, 1))
		SKIP(return, "no edu device is bound to vfio-pci");
	self->was = usage_at_rest();
	self->c = container_open();
	ASSERT_LE(0, edu_open_group(&self->edu));
	ASSERT_EQ(0, container_add(self->c, &self->edu));
	ASSERT_EQ(0, container_set_iommu(self->c, VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, spapr_info(self->c, &self->info));
	self->end = (uint64_t)self->info.dma32_window_start +
		    self->info.dma32_window_size;
	self->last = self->end - page_size;
}

FIXTURE_TEARDOWN(one_group)
{
	EXPECT_EQ(0, check_invariants());
	edu_close(&self->edu);
	edu_close_group(&self->edu);
	close(self->c);
	expect_usage(_metadata, &self->was);
}

#endif
