// SPDX-License-Identifier: GPL-2.0-only
/*
 * MAP and UNMAP of all shapes: each entry leads the device where it should,
 * and each region counts exactly the entries that lead into it.
 *
 * The kernel keeps what it knows of a window in pieces of 1024 entries, so
 * many of these runs end at, before or behind such an edge.
 */
#include "spapr_one_group.h"

#define EDGE	1024
/* The entries that a test may use; some way into the window come others. */
#define RANGE	(4 * EDGE)

/*
 * One buffer, as REGIONS adjacent regions of the same size. Addresses on the
 * bus and in the buffer are given as numbers of entries.
 */
#define REGIONS	4
#define A	1
#define B	2
#define C	4
#define D	8

FIXTURE(map)
{
	FIXTURE_DATA(one_group) one;
	int c;
	unsigned int shift;
	uint64_t start;
	unsigned int per_region;
	char *buf;
	struct probe probe;
};

FIXTURE_VARIANT(map)
{
	/* 0: the default window of 4 KiB entries, ~0: pages of the system */
	unsigned int shift;
	uint64_t size;
	unsigned int levels;
	unsigned int per_region;
};

FIXTURE_VARIANT_ADD(map, default_window)
{
	.per_region = EDGE,
};

FIXTURE_VARIANT_ADD(map, flat)
{
	.shift = ~0, .size = SZ_1G, .levels = 1, .per_region = 512,
};

FIXTURE_VARIANT_ADD(map, tree)
{
	.shift = 12, .size = SZ_1T, .levels = 3, .per_region = EDGE,
};

static void *ua_of(FIXTURE_DATA(map) *self, unsigned int entry)
{
	return self->buf + ((size_t)entry << self->shift);
}

static uint64_t iova_of(FIXTURE_DATA(map) *self, uint64_t entry)
{
	return self->start + (entry << self->shift);
}

static size_t region_size(FIXTURE_DATA(map) *self)
{
	return (size_t)self->per_region << self->shift;
}

static int map(FIXTURE_DATA(map) *self, unsigned int at, unsigned int from,
	       unsigned int n)
{
	return spapr_map(self->c, iova_of(self, at), ua_of(self, from),
			 (uint64_t)n << self->shift);
}

static int unmap(FIXTURE_DATA(map) *self, unsigned int at, unsigned int n)
{
	return spapr_unmap(self->c, iova_of(self, at),
			   (uint64_t)n << self->shift);
}

/* Which regions are mapped somewhere? UNREGISTER knows; -errno if it fails. */
static int busy(FIXTURE_DATA(map) *self)
{
	int i, ret, mask = 0;

	for (i = 0; i < REGIONS; i++) {
		void *ua = ua_of(self, i * self->per_region);

		ret = spapr_unregister(self->c, ua, region_size(self));
		if (ret == -EBUSY) {
			mask |= 1 << i;
			continue;
		}
		if (!ret)
			ret = spapr_register(self->c, ua, region_size(self));
		if (ret)
			return ret;
	}
	return mask;
}

/* The regions that a run of the buffer touches. */
static int touched(FIXTURE_DATA(map) *self, unsigned int from, unsigned int n)
{
	int i, mask = 0;

	for (i = 0; i < REGIONS; i++)
		if (from < (i + 1) * self->per_region &&
		    from + n > i * self->per_region)
			mask |= 1 << i;
	return mask;
}

#define NOWHERE	(-1)

/* Adds: entry @at leads to @from of the buffer, or NOWHERE. */
static void spot(FIXTURE_DATA(map) *self, struct spot *spots, int *n,
		 unsigned int at, int from)
{
	spots[(*n)++] = (struct spot){
		iova_of(self, at), from == NOWHERE ? NULL : ua_of(self, from),
	};
}

FIXTURE_SETUP(map)
{
	unsigned int last;
	int i;

	one_group_setup(_metadata, &self->one, NULL);
	if (_metadata->exit_code)
		return;
	self->c = self->one.c;
	self->per_region = variant->per_region;
	self->shift = variant->shift == ~0U ? page_shift : variant->shift ?: 12;
	if (variant->levels > self->one.info.ddw.levels)
		SKIP(return, "no tables of %u levels", variant->levels);
	if (variant->shift) {
		ASSERT_EQ(0, spapr_create(self->c, self->shift, variant->size,
					  variant->levels, &self->start));
		last = (variant->size >> self->shift) - 1;
	} else {
		last = (self->one.info.dma32_window_size >> self->shift) - 1;
	}
	ASSERT_LT(RANGE, last);

	self->buf = buf_alloc(region_size(self) * REGIONS, SZ_64K);
	buf_tag(self->buf, region_size(self) * REGIONS);
	for (i = 0; i < REGIONS; i++) {
		ASSERT_EQ(0, spapr_register(self->c,
					    ua_of(self, i * self->per_region),
					    region_size(self)));
	}
	ASSERT_EQ(0, probe_init(&self->probe, self->c, &self->one.edu,
				self->one.last));
}

FIXTURE_TEARDOWN(map)
{
	EXPECT_EQ(0, check_invariants());
	EXPECT_EQ(0, unmap(self, 0, RANGE));
	EXPECT_EQ(0, busy(self));
	EXPECT_EQ(0, probe_exit(&self->probe));
	one_group_teardown(_metadata, &self->one, NULL);
}

TEST_F(map, one_entry)
{
	ASSERT_EQ(0, map(self, 5, 7, 1));
	EXPECT_EQ(A, busy(self));
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe, iova_of(self, 5),
					  ua_of(self, 7)));
	ASSERT_EQ(0, unmap(self, 5, 1));
	EXPECT_EQ(0, busy(self));
	EXPECT_EQ(0, probe_reach(&self->probe, iova_of(self, 5),
				 ua_of(self, 7)));
}

/* A transfer that goes over from one entry to the next. */
TEST_F(map, across_entries)
{
	uint64_t *seen = self->probe.ua;
	uint64_t iova = iova_of(self, EDGE) - SZ_4K / 2;
	char *expected = (char *)ua_of(self, 3) - SZ_4K / 2;
	char *other = (char *)ua_of(self, self->per_region);

	/* two entries in a row, leading to memory in a row and then not */
	ASSERT_EQ(0, map(self, EDGE - 1, 2, 2));
	edu_copy(self->probe.edu, self->probe.iova, iova, SZ_4K);
	EXPECT_EQ(0, memcmp(seen, expected, SZ_4K));
	ASSERT_EQ(0, map(self, EDGE, self->per_region, 1));
	edu_copy(self->probe.edu, self->probe.iova, iova, SZ_4K);
	EXPECT_EQ(0, memcmp(seen, expected, SZ_4K / 2));
	EXPECT_EQ(0, memcmp((char *)seen + SZ_4K / 2, other, SZ_4K / 2));
}

/* Runs that end around the edges, mapped and unmapped in one go. */
TEST_F(map, runs)
{
	static const struct {
		unsigned int at, from, n;
	} runs[] = {
		{ 0, 0, EDGE - 1 }, { 0, 1, EDGE }, { 0, 0, EDGE + 1 },
		{ EDGE - 1, 3, 2 }, { EDGE, 511, EDGE - 1 },
		{ 1, 0, 2 * EDGE - 1 }, { EDGE - 1, 0, EDGE + 2 },
		{ 17, 0, 2 * EDGE },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(runs); i++) {
		unsigned int at = runs[i].at, n = runs[i].n;
		unsigned int from = runs[i].from;
		struct spot spots[MAX_SPOTS];
		int nr = 0;

		ASSERT_EQ(0, map(self, at, from, n));
		EXPECT_EQ(touched(self, from, n), busy(self));
		if (at)
			spot(self, spots, &nr, at - 1, NOWHERE);
		spot(self, spots, &nr, at, from);
		spot(self, spots, &nr, at + n / 2, from + n / 2);
		spot(self, spots, &nr, at + n - 1, from + n - 1);
		spot(self, spots, &nr, at + n, NOWHERE);
		EXPECT_EQ(0, probe_spots(&self->probe, spots, nr));

		ASSERT_EQ(0, unmap(self, at, n));
		EXPECT_EQ(0, busy(self)) {
			TH_LOG("%u entries at %u", n, at);
		}
	}
}

/* All that there is, mapped in one call, unmapped entry by entry. */
TEST_F(map, one_by_one)
{
	unsigned int n = REGIONS * self->per_region, i;
	struct spot spots[MAX_SPOTS];
	int nr = 0;

	ASSERT_EQ(0, map(self, 0, 0, n));
	EXPECT_EQ(A | B | C | D, busy(self));
	for (i = 0; i < n - 1; i++) {
		ASSERT_EQ(0, unmap(self, i, 1));
		/* the last entry of a region, and the one before that */
		if (i % self->per_region >= self->per_region - 2) {
			EXPECT_EQ(touched(self, i + 1, n - i - 1), busy(self));
		}
	}
	spot(self, spots, &nr, n - 2, NOWHERE);
	spot(self, spots, &nr, n - 1, n - 1);
	EXPECT_EQ(0, probe_spots(&self->probe, spots, nr));
	ASSERT_EQ(0, unmap(self, n - 1, 1));
}

/* The same, the other way round and backwards. */
TEST_F(map, mapped_one_by_one)
{
	unsigned int n = REGIONS * self->per_region, i;
	struct spot spots[MAX_SPOTS];
	int nr = 0;

	for (i = n; i--;) {
		ASSERT_EQ(0, map(self, i, i, 1));
	}
	EXPECT_EQ(A | B | C | D, busy(self));
	spot(self, spots, &nr, 0, 0);
	spot(self, spots, &nr, EDGE - 1, EDGE - 1);
	spot(self, spots, &nr, EDGE, EDGE);
	spot(self, spots, &nr, n - 1, n - 1);
	EXPECT_EQ(0, probe_spots(&self->probe, spots, nr));
	ASSERT_EQ(0, unmap(self, 0, n));
}

/* Entry and memory out of step, so no piece of the run is linear. */
TEST_F(map, scattered)
{
	unsigned int n = 2 * self->per_region, i;
	struct spot spots[MAX_SPOTS];
	int nr = 0;

	/* odd, so each entry of the first two regions comes once */
	for (i = 0; i < n; i++) {
		ASSERT_EQ(0, map(self, 100 + i, i * 5 % n, 1));
	}
	EXPECT_EQ(A | B, busy(self));
	for (i = 0; i < n; i += n / 7)
		spot(self, spots, &nr, 100 + i, i * 5 % n);
	EXPECT_EQ(0, probe_spots(&self->probe, spots, nr));

	/* Unmap what leads into A: B keeps what it has */
	for (i = 0; i < n; i++) {
		if (i * 5 % n < self->per_region) {
			ASSERT_EQ(0, unmap(self, 100 + i, 1));
		}
	}
	EXPECT_EQ(B, busy(self));

	/* A linear run over all of it */
	ASSERT_EQ(0, map(self, 0, 2 * self->per_region, n));
	EXPECT_EQ(B | C | D, busy(self));
	ASSERT_EQ(0, unmap(self, n, 100));
	EXPECT_EQ(C | D, busy(self));
	ASSERT_EQ(0, unmap(self, 0, n));
}

/* Two runs that alternate, entry by entry. */
TEST_F(map, interleaved)
{
	unsigned int n = self->per_region, i;
	struct spot spots[MAX_SPOTS];
	int nr = 0;

	ASSERT_EQ(0, map(self, 500, 0, n));
	for (i = 1; i < n; i += 2) {
		ASSERT_EQ(0, map(self, 500 + i, n + i, 1));
	}
	EXPECT_EQ(A | B, busy(self));
	for (i = 0; i < n; i += n / 5 | 1)
		spot(self, spots, &nr, 500 + i, i % 2 ? n + i : i);
	EXPECT_EQ(0, probe_spots(&self->probe, spots, nr));
	for (i = 0; i < n; i += 2) {
		ASSERT_EQ(0, unmap(self, 500 + i, 1));
	}
	EXPECT_EQ(B, busy(self));
	ASSERT_EQ(0, unmap(self, 500, n));
	EXPECT_EQ(0, busy(self));
}

/* Neighbours that make one run, mapped in a mixed order. */
TEST_F(map, merged_out_of_order)
{
	unsigned int n = self->per_region;
	struct spot spots[MAX_SPOTS];
	int nr = 0;

	ASSERT_EQ(0, map(self, EDGE, EDGE, n / 2));
	ASSERT_EQ(0, map(self, 0, 0, 300));
	ASSERT_EQ(0, map(self, 400, 400, EDGE - 400));
	ASSERT_EQ(0, map(self, 300, 300, 100));
	EXPECT_EQ(touched(self, 0, EDGE + n / 2), busy(self));
	spot(self, spots, &nr, 299, 299);
	spot(self, spots, &nr, 300, 300);
	spot(self, spots, &nr, 400, 400);
	spot(self, spots, &nr, EDGE - 1, EDGE - 1);
	spot(self, spots, &nr, EDGE, EDGE);
	spot(self, spots, &nr, EDGE + n / 2, NOWHERE);
	EXPECT_EQ(0, probe_spots(&self->probe, spots, nr));
	ASSERT_EQ(0, unmap(self, 0, EDGE + n / 2));
	EXPECT_EQ(0, busy(self));
}

/* Holes in the middle of a run, one of them over an edge. */
TEST_F(map, holes)
{
	struct spot spots[MAX_SPOTS];
	int nr = 0;

	ASSERT_EQ(0, map(self, 0, 0, 2 * EDGE));
	ASSERT_EQ(0, unmap(self, 500, 100));
	ASSERT_EQ(0, unmap(self, EDGE - 20, 50));
	EXPECT_EQ(touched(self, 0, 2 * EDGE), busy(self));
	spot(self, spots, &nr, 499, 499);
	spot(self, spots, &nr, 500, NOWHERE);
	spot(self, spots, &nr, 599, NOWHERE);
	spot(self, spots, &nr, 600, 600);
	spot(self, spots, &nr, EDGE - 21, EDGE - 21);
	spot(self, spots, &nr, EDGE - 20, NOWHERE);
	spot(self, spots, &nr, EDGE + 29, NOWHERE);
	spot(self, spots, &nr, EDGE + 30, EDGE + 30);
	EXPECT_EQ(0, probe_spots(&self->probe, spots, nr));

	/* A hole is filled with something else */
	nr = 0;
	ASSERT_EQ(0, map(self, 510, 3 * self->per_region, 10));
	EXPECT_EQ(touched(self, 0, 2 * EDGE) | D, busy(self));
	spot(self, spots, &nr, 509, NOWHERE);
	spot(self, spots, &nr, 510, 3 * self->per_region);
	spot(self, spots, &nr, 520, NOWHERE);
	EXPECT_EQ(0, probe_spots(&self->probe, spots, nr));
	ASSERT_EQ(0, unmap(self, 0, 2 * EDGE));
	EXPECT_EQ(0, busy(self));
}

/* A MAP over existing entries takes their counts away. */
TEST_F(map, replaced)
{
	unsigned int n = self->per_region;
	struct spot spots[MAX_SPOTS];
	int nr = 0;

	ASSERT_EQ(0, map(self, 900, 0, n));
	EXPECT_EQ(A, busy(self));
	ASSERT_EQ(0, map(self, 900, n, n));
	EXPECT_EQ(B, busy(self));
	ASSERT_EQ(0, map(self, 900 + n / 4, 2 * n, n / 2));
	EXPECT_EQ(B | C, busy(self));
	spot(self, spots, &nr, 900, n);
	spot(self, spots, &nr, 900 + n / 4 - 1, n + n / 4 - 1);
	spot(self, spots, &nr, 900 + n / 4, 2 * n);
	spot(self, spots, &nr, 900 + n / 4 + n / 2 - 1, 2 * n + n / 2 - 1);
	spot(self, spots, &nr, 900 + n / 4 + n / 2, n + n / 4 + n / 2);
	EXPECT_EQ(0, probe_spots(&self->probe, spots, nr));

	/* Over the run and what lies around it */
	ASSERT_EQ(0, map(self, 850, 2 * n, n + 100));
	EXPECT_EQ(C | D, busy(self));
	ASSERT_EQ(0, unmap(self, 850, n));
	EXPECT_EQ(D, busy(self));
	ASSERT_EQ(0, unmap(self, 850 + n, 100));
	EXPECT_EQ(0, busy(self));
}

/* The same entries again, to the same memory: counted once. */
TEST_F(map, replaced_by_itself)
{
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, map(self, EDGE - 100, 0, 200));
	}
	/* shifted by one */
	ASSERT_EQ(0, map(self, EDGE - 100, 1, 200));
	ASSERT_EQ(0, map(self, EDGE - 99, 1, 200));
	EXPECT_EQ(A, busy(self));
	ASSERT_EQ(0, unmap(self, EDGE - 100, 200));
	EXPECT_EQ(A, busy(self));
	ASSERT_EQ(0, unmap(self, EDGE + 100, 1));
	EXPECT_EQ(0, busy(self));
}

/* One page behind many entries. */
TEST_F(map, one_page_everywhere)
{
	unsigned int n = EDGE + 10, i;

	for (i = 0; i < n; i++) {
		ASSERT_EQ(0, map(self, i, self->per_region, 1));
	}
	ASSERT_EQ(0, unmap(self, 0, n - 1));
	EXPECT_EQ(B, busy(self));
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe, iova_of(self, n - 1),
					  ua_of(self, self->per_region)));
	ASSERT_EQ(0, unmap(self, n - 1, 1));
	EXPECT_EQ(0, busy(self));
}

/* One call over several regions: each counts its part. */
TEST_F(map, across_regions)
{
	unsigned int n = self->per_region;
	struct spot spots[MAX_SPOTS];
	int nr = 0;

	ASSERT_EQ(0, map(self, 10, n - 1, n + 2));
	EXPECT_EQ(A | B | C, busy(self));
	spot(self, spots, &nr, 10, n - 1);
	spot(self, spots, &nr, 11, n);
	spot(self, spots, &nr, 10 + n, 2 * n - 1);
	spot(self, spots, &nr, 11 + n, 2 * n);
	EXPECT_EQ(0, probe_spots(&self->probe, spots, nr));
	ASSERT_EQ(0, unmap(self, 10, 1));
	EXPECT_EQ(B | C, busy(self));
	ASSERT_EQ(0, unmap(self, 11, n));
	EXPECT_EQ(C, busy(self));
	ASSERT_EQ(0, unmap(self, 11 + n, 1));
	EXPECT_EQ(0, busy(self));
}

/* A run whose last part is not registered: not one entry changes. */
TEST_F(map, refused_far_into_the_run)
{
	unsigned int n = self->per_region;
	struct spot spots[MAX_SPOTS];
	int nr = 0;

	ASSERT_EQ(0, map(self, 0, 0, 10));
	ASSERT_EQ(0, map(self, n + 100, 0, 10));
	ASSERT_EQ(0, spapr_unregister(self->c, ua_of(self, 3 * n),
				      region_size(self)));
	EXPECT_EQ(-EINVAL, map(self, 0, n, 3 * n));
	EXPECT_EQ(-EINVAL, map(self, 0, n, 2 * n + 1));
	EXPECT_EQ(-EINVAL, map(self, 5, 3 * n, 1));
	ASSERT_EQ(0, spapr_register(self->c, ua_of(self, 3 * n),
				    region_size(self)));
	EXPECT_EQ(A, busy(self));
	spot(self, spots, &nr, 0, 0);
	spot(self, spots, &nr, 9, 9);
	spot(self, spots, &nr, 10, NOWHERE);
	spot(self, spots, &nr, n + 100, 0);
	spot(self, spots, &nr, EDGE, NOWHERE);
	EXPECT_EQ(0, probe_spots(&self->probe, spots, nr));
}

TEST_F(map, unmap_nothing)
{
	EXPECT_EQ(0, unmap(self, 0, 1));
	EXPECT_EQ(0, unmap(self, EDGE - 1, 2 * EDGE));
	ASSERT_EQ(0, map(self, EDGE, 0, 1));
	EXPECT_EQ(0, unmap(self, 0, EDGE));
	EXPECT_EQ(0, unmap(self, EDGE + 1, EDGE));
	EXPECT_EQ(A, busy(self));
	EXPECT_EQ(0, unmap(self, 0, 2 * EDGE));
	EXPECT_EQ(0, unmap(self, 0, 2 * EDGE));
	EXPECT_EQ(0, busy(self));
}

TEST_F(map, directions)
{
	uint64_t size = 1UL << self->shift;
	uint64_t iova = iova_of(self, 0);
	void *ua = ua_of(self, 0);
	int reached;

	ASSERT_EQ(0, spapr_map_flags(self->c, iova, ua, size,
				     VFIO_DMA_MAP_FLAG_READ));
	EXPECT_EQ(REACH_READ, probe_reach(&self->probe, iova, ua));
	ASSERT_EQ(0, spapr_map_flags(self->c, iova, ua, size,
				     VFIO_DMA_MAP_FLAG_WRITE));
	reached = probe_reach(&self->probe, iova, ua);
	EXPECT_LE(0, reached);
	EXPECT_EQ(REACH_WRITE, reached & REACH_WRITE);
	ASSERT_EQ(0, spapr_map_flags(self->c, iova, ua, size,
				     VFIO_DMA_MAP_FLAG_READ |
				     VFIO_DMA_MAP_FLAG_WRITE));
	EXPECT_EQ(READ_WRITE, probe_reach(&self->probe, iova, ua));
	ASSERT_EQ(0, spapr_map_flags(self->c, iova, ua, size,
				     VFIO_DMA_MAP_FLAG_READ));
	EXPECT_EQ(REACH_READ, probe_reach(&self->probe, iova, ua));
	EXPECT_EQ(A, busy(self));
}

/*
 * Random operations against a model: for each entry the number of the entry
 * of the buffer that it leads to, or NOWHERE.
 */
static unsigned int next_random(unsigned int *state, unsigned int below)
{
	*state = *state * 1103515245 + 12345;
	return (*state >> 8) % below;
}

TEST_F(map, random_operations)
{
	unsigned int total = REGIONS * self->per_region;
	unsigned int seed = 4711, op, i;
	struct spot spots[MAX_SPOTS];
	static int model[RANGE];
	int mask, nr = 0;

	for (i = 0; i < RANGE; i++)
		model[i] = NOWHERE;

	for (op = 0; op < 300; op++) {
		unsigned int n = 1 + next_random(&seed, 1 << (1 + op % 11));
		unsigned int at = next_random(&seed, RANGE - n);
		unsigned int from = next_random(&seed, total - n);
		bool to_map = next_random(&seed, 100) < 55;

		if (to_map) {
			ASSERT_EQ(0, map(self, at, from, n));
		} else {
			ASSERT_EQ(0, unmap(self, at, n));
		}
		for (i = 0; i < n; i++)
			model[at + i] = to_map ? from + i : NOWHERE;

		mask = 0;
		for (i = 0; i < RANGE; i++)
			if (model[i] != NOWHERE)
				mask |= 1 << (model[i] / self->per_region);
		ASSERT_EQ(mask, busy(self)) {
			TH_LOG("operation %u", op);
		}
		/* Now and then from scratch, or all would be busy for ever */
		if (op % 20 == 19) {
			unsigned int keep = 1 + next_random(&seed, RANGE - 2);

			ASSERT_EQ(0, unmap(self, 0, keep));
			ASSERT_EQ(0, unmap(self, keep + 1, RANGE - keep - 1));
			for (i = 0; i < RANGE; i++)
				if (i != keep)
					model[i] = NOWHERE;
		}
	}
	ASSERT_EQ(0, map(self, EDGE + 9, 3, 100));
	for (i = 0; i < 100; i++)
		model[EDGE + 9 + i] = 3 + i;
	for (i = 0; i < 24; i++) {
		op = i % 3 ? EDGE + next_random(&seed, 128) :
			next_random(&seed, RANGE);
		spot(self, spots, &nr, op, model[op]);
	}
	EXPECT_EQ(0, probe_spots(&self->probe, spots, nr));
}

TEST_HARNESS_MAIN
