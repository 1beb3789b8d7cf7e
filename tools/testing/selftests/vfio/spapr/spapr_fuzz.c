// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random calls, right and wrong, of everything that a process and its guest can
 * do: groups that join and leave two containers, memory that is registered,
 * moved and taken away, windows of all shapes, mappings, a guest's hypercalls.
 * A model (spapr_model.c) says what each call has to return, and what the state
 * is after it. After each call locked memory is compared, every now and then
 * all the rest: which regions have entries, pins, the guest's tables, and what
 * a device reaches.
 *
 * Arguments, or the environment: SEED=number, STEPS=number. The same seed does
 * the same again. A failure is printed with the calls that led to it.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "spapr_harness.h"
#include "kvm_guest.h"
#include "spapr_model.h"

#define DEFAULT_SEED	"1"
#define DEFAULT_STEPS	"2500"
#define CHECK_EVERY	40
#define HISTORY		24

/*
 * Where nothing else is ever mapped, so that holes stay holes. With the hash
 * MMU heaps begin above 2^40.
 */
#define ARENA		(1UL << 42)
#define ARENA_PAGES	96UL
#define HUGE_PIECES	2
#define LIOBN		0x80000001UL
#define MAX_LIOBN_SIZE	(1UL << 17)
#define LOW_SLOT	0
#define ARENA_SLOT	1
#define HUGE_SLOT	2
#define ARENA_GPA	0x10000000UL
#define HUGE_GPA	0x40000000UL
/* Areas for the memory of VMs, each of which has its own */
#define MAX_VMS		(M_AREAS - 2)

#define DMA_BYTES	64
#define DMA_SEEN	0x100	/* where in 4 KiB it is looked for an entry */
#define DMA_PROBE	0x800	/* and where in that of the probe */

struct fuzz {
	struct __test_metadata *_metadata;
	struct model m;
	uint64_t seed, state;
	unsigned long step;
	bool failed;
	char past[HISTORY][200];
	unsigned int calls;

	struct usage was;
	struct edu edu[M_GROUPS];
	int c[M_CONTAINERS];
	struct vfio_iommu_spapr_tce_info info;
	struct vfio_iommu_spapr_tce_create *sealed;

	/* all memory that the arena is ever made of, and what is in it */
	int store_fd;
	/* bus addresses that were mapped or unmapped lately */
	uint64_t lately[8];
	char *store, *shadow;
	int arena, huge, low;
	unsigned int huge_shift;

	enum mmu mmu;
	unsigned int vms;
	struct vm vm;
	struct vcpu cpu;
	int table[M_LIOBNS];
	volatile uint64_t *view[M_LIOBNS];
};

/* ---- chance ---- */

static uint64_t rnd(struct fuzz *f)
{
	uint64_t z = f->state += 0x9e3779b97f4a7c15UL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
	return z ^ z >> 31;
}

static uint64_t below(struct fuzz *f, uint64_t n)
{
	return rnd(f) % n;
}

static bool one_in(struct fuzz *f, unsigned int n)
{
	return !below(f, n);
}

/* ---- what is said of it ---- */

static __attribute__((format(printf, 2, 3)))
void note(struct fuzz *f, const char *fmt, ...)
{
	char *text = f->past[f->calls++ % HISTORY];
	va_list ap;
	int n;

	n = snprintf(text, sizeof(f->past[0]), "%lu: ", f->step);
	va_start(ap, fmt);
	vsnprintf(text + n, sizeof(f->past[0]) - n, fmt, ap);
	va_end(ap);
}

static __attribute__((format(printf, 2, 3)))
void wrong(struct fuzz *f, const char *fmt, ...)
{
	struct __test_metadata *_metadata = f->_metadata;
	unsigned int i = f->calls > HISTORY ? f->calls - HISTORY : 0;
	va_list ap;

	if (f->failed)
		return;
	f->failed = true;
	for (; i < f->calls; i++)
		fprintf(stderr, "# %s\n", f->past[i % HISTORY]);
	fprintf(stderr, "# seed %lu, step %lu: ", (long)f->seed, f->step);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	EXPECT_FALSE(f->failed);
}

static void expect(struct fuzz *f, long want, long got)
{
	if (want != got)
		wrong(f, "expected %ld, got %ld", want, got);
}

static long model_kb(const struct fuzz *f)
{
	return f->was.locked_kb + f->m.locked * (page_size / 1024);
}

/* Regions go by themselves, one after the other. False if none had to. */
static bool wait_for_reap(struct fuzz *f)
{
	unsigned int tries;

	if (!m_reap(&f->m))
		return false;
	for (tries = 0; tries < 500; tries++) {
		if (locked_kb() == model_kb(f))
			break;
		usleep(10000);
	}
	return true;
}

static void expect_locked(struct fuzz *f)
{
	if (f->failed || locked_kb() == model_kb(f))
		return;
	if (wait_for_reap(f) && locked_kb() == model_kb(f))
		return;
	wrong(f, "expected %ld kB of locked memory, got %ld", model_kb(f),
	      locked_kb());
}

/* ---- memory of the process ---- */

static uint64_t arena_ua(unsigned long page)
{
	return ARENA + page * page_size;
}

static void *at(uint64_t ua)
{
	return (void *)ua;
}

static void must(struct fuzz *f, bool ok, const char *what)
{
	if (!ok)
		wrong(f, "cannot go on: %s", what);
}

static void arena_fill(struct fuzz *f, unsigned long page, unsigned long from)
{
	must(f, mmap(at(arena_ua(page)), page_size, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_FIXED, f->store_fd, from * page_size) !=
	     MAP_FAILED, "mmap");
	*m_page(&f->m, arena_ua(page)) = (struct m_page){
		M_READ_WRITE, f->store + from * page_size,
	};
}

/*
 * Neighbours in the arena are no neighbours in memory: what is larger than a
 * page is never contiguous there.
 */
static void arena_init(struct fuzz *f)
{
	size_t size = ARENA_PAGES * page_size;
	unsigned long i;

	f->store_fd = memfd_create("store", MFD_CLOEXEC);
	must(f, f->store_fd >= 0 && !ftruncate(f->store_fd, size), "memfd");
	f->store = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
			f->store_fd, 0);
	f->shadow = malloc(size);
	must(f, f->store != MAP_FAILED && f->shadow, "store");
	buf_tag(f->store, size);
	memcpy(f->shadow, f->store, size);
	/* with a hole at the end */
	f->arena = m_area_add(&f->m, ARENA, ARENA_PAGES + 1, M_HOLE, NULL, 0);
	for (i = 0; i < ARENA_PAGES; i++)
		arena_fill(f, i, i * 37 % ARENA_PAGES);
}

static void huge_init(struct fuzz *f)
{
	unsigned int shift;
	size_t size;
	char *buf;

	f->huge = M_NONE;
	for (shift = 24; shift > page_shift; shift--) {
		if (!(f->info.ddw.pgsizes >> shift & 1))
			continue;
		size = HUGE_PIECES << shift;
		buf = buf_alloc_huge(size, shift);
		if (!buf)
			continue;
		/* a child that shares it would need as much again */
		madvise(buf, size, MADV_DONTFORK);
		buf_tag(buf, size);
		f->huge_shift = shift;
		f->huge = m_area_add(&f->m, (uintptr_t)buf, size / page_size,
				     M_READ_WRITE, buf, shift);
		return;
	}
}

static void op_move(struct fuzz *f)
{
	unsigned long from = below(f, ARENA_PAGES), to = below(f, ARENA_PAGES);
	struct m_page *src = m_page(&f->m, arena_ua(from));

	if (from == to || src->prot == M_HOLE)
		return;
	note(f, "mremap page %lu to %lu", from, to);
	must(f, mremap(at(arena_ua(from)), page_size, page_size,
		       MREMAP_MAYMOVE | MREMAP_FIXED, at(arena_ua(to))) !=
	     MAP_FAILED, "mremap");
	*m_page(&f->m, arena_ua(to)) = *src;
	*src = (struct m_page){ M_HOLE };
}

static void op_punch(struct fuzz *f)
{
	unsigned long page = below(f, ARENA_PAGES);

	note(f, "munmap page %lu", page);
	must(f, !munmap(at(arena_ua(page)), page_size), "munmap");
	*m_page(&f->m, arena_ua(page)) = (struct m_page){ M_HOLE };
}

static void op_fill(struct fuzz *f)
{
	unsigned long page = below(f, ARENA_PAGES), tries;

	for (tries = 0; tries < ARENA_PAGES; tries++) {
		if (m_page(&f->m, arena_ua(page))->prot == M_HOLE)
			break;
		page = (page + 1) % ARENA_PAGES;
	}
	note(f, "mmap page %lu", page);
	arena_fill(f, page, below(f, ARENA_PAGES));
}

static void op_protect(struct fuzz *f)
{
	static const int prot[] = {
		[M_NO_ACCESS] = PROT_NONE,
		[M_READ_ONLY] = PROT_READ,
		[M_READ_WRITE] = PROT_READ | PROT_WRITE,
	};
	unsigned long page = below(f, ARENA_PAGES);
	struct m_page *p = m_page(&f->m, arena_ua(page));
	enum m_prot to = one_in(f, 2) ? M_READ_WRITE :
			 one_in(f, 3) ? M_NO_ACCESS : M_READ_ONLY;

	if (p->prot == M_HOLE)
		return;
	note(f, "mprotect page %lu: %d", page, to);
	must(f, !mprotect(at(arena_ua(page)), page_size, prot[to]), "mprotect");
	p->prot = to;
}

static void set_limit(struct fuzz *f, unsigned long pages)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	if (pages != M_NO_LIMIT)
		limit.rlim_cur = pages * page_size +
				 f->was.locked_kb * 1024;
	must(f, !setrlimit(RLIMIT_MEMLOCK, &limit), "setrlimit");
}

static void op_limit(struct fuzz *f)
{
	static const unsigned int more[] = { 0, 1, 20, 300, 5000 };

	f->m.limit = M_NO_LIMIT;
	if (!one_in(f, 4))
		f->m.limit = f->m.locked + more[below(f, 5)];
	note(f, "limit %ld pages, of which %lu are locked", (long)f->m.limit,
	     f->m.locked);
	set_limit(f, f->m.limit);
}

/* ---- what calls are about ---- */

static int some_container(struct fuzz *f)
{
	int c = below(f, M_CONTAINERS);

	/* Most calls are of use only where there is an IOMMU */
	if (!f->m.container[c].version && !one_in(f, 8))
		c = !c;
	return c;
}

static struct m_region *some_region(struct fuzz *f)
{
	struct m_region *r;
	unsigned int n = 0;

	for (r = f->m.regions; r; r = r->next)
		n++;
	if (!n)
		return NULL;
	n = below(f, n);
	for (r = f->m.regions; n; n--)
		r = r->next;
	return r;
}

static bool is_in(struct fuzz *f, int area, uint64_t ua)
{
	const struct m_area *a = &f->m.area[area];

	return area != M_NONE && ua - a->ua < a->pages * page_size;
}

/* A range that could be a region */
static void some_range(struct fuzz *f, uint64_t *ua, uint64_t *size)
{
	unsigned long n = 1 + below(f, 8), page = below(f, ARENA_PAGES);
	const struct m_area *a;

	if (f->low != M_NONE && one_in(f, 8)) {
		*ua = f->m.area[f->low].ua;
		*size = GUEST_LOW_SIZE;
	} else if (f->huge != M_NONE && one_in(f, 6)) {
		a = &f->m.area[f->huge];
		n = one_in(f, 4) ? 1 + below(f, a->pages) :
				   a->pages / HUGE_PIECES;
		page = one_in(f, 2) ? 0 : below(f, a->pages - n + 1);
		*ua = a->ua + page * page_size;
		*size = n * page_size;
	} else {
		*ua = arena_ua(page);
		*size = n * page_size;
		if (page + n > ARENA_PAGES)
			*size = (ARENA_PAGES + 1 - page) * page_size;
	}
}

static struct m_window *some_window(struct fuzz *f, int c)
{
	struct m_container *box = &f->m.container[c];
	int num = below(f, M_WINDOWS);

	return box->window[num] ?: box->window[!num];
}

/* Entries that are used again and again, at the places that matter */
static uint64_t some_entry(struct fuzz *f, uint64_t entries)
{
	uint64_t entry = below(f, 24);

	switch (below(f, 6)) {
	case 0:
		entry += 1024 * (1 + below(f, 3)) - 12;
		break;
	case 1:
		entry += entries / 2;
		break;
	case 2:
		entry = entries - 1 - entry;
		break;
	case 3:
		entry = below(f, entries);
		break;
	}
	return entry < entries ? entry : below(f, entries);
}

static uint64_t align_down(uint64_t n, unsigned int shift)
{
	return n >> shift << shift;
}

/* A bus address, and how many bytes; and memory for that, if @ua */
static void some_mapping(struct fuzz *f, int c, uint64_t *iova, uint64_t *ua,
			 uint64_t *size)
{
	struct m_window *w = some_window(f, c);
	uint64_t entries = w ? w->entries : f->m.machine.default_size >> 12;
	unsigned int shift = w ? w->shift : 12;
	uint64_t entry = some_entry(f, entries), nr = 1 + below(f, 16);
	struct m_region *r = some_region(f);
	uint64_t off;

	if (one_in(f, 4))
		nr = 1 + below(f, 600);
	if (ua) {
		*ua = arena_ua(below(f, ARENA_PAGES));
		/* the rest of the region, as far as entries go */
		if (r && !is_in(f, f->low, r->ua) && !one_in(f, 12)) {
			off = align_down(below(f, r->pages * page_size), shift);
			*ua = align_down(r->ua + (1UL << shift) - 1, shift);
			if (off < r->pages * page_size)
				*ua += off;
			off = (r->ua + r->pages * page_size - *ua) >> shift;
			if (nr > off && !one_in(f, 8))
				nr = off;
		}
	}
	if (nr > entries - entry && !one_in(f, 8))
		nr = entries - entry;
	*iova = (w ? w->start : 0) + (entry << shift);
	*size = nr << shift;
}

/* ---- groups and containers ---- */

static void op_join(struct fuzz *f)
{
	int c = below(f, M_CONTAINERS), g = below(f, M_GROUPS);

	note(f, "container %d: group %d joins", c, g);
	expect(f, m_join(&f->m, c, g), container_add(f->c[c], &f->edu[g]));
}

static void op_leave(struct fuzz *f)
{
	int g = below(f, M_GROUPS);

	note(f, "group %d leaves", g);
	expect(f, m_leave(&f->m, g), container_del(0, &f->edu[g]));
}

static void op_set_iommu(struct fuzz *f)
{
	int c = below(f, M_CONTAINERS), version = one_in(f, 4) ? 1 : 2;

	note(f, "container %d: SET_IOMMU %d", c, version);
	expect(f, m_set_iommu(&f->m, c, version),
	       container_set_iommu(f->c[c], version == 1 ?
				   VFIO_SPAPR_TCE_IOMMU :
				   VFIO_SPAPR_TCE_v2_IOMMU));
}

static void op_open_device(struct fuzz *f)
{
	int g = below(f, M_GROUPS);

	if (f->m.group[g].device_open)
		return;
	note(f, "device of group %d opens", g);
	expect(f, m_open_device(&f->m, g), edu_open(&f->edu[g]));
}

static void op_close_device(struct fuzz *f)
{
	int g = below(f, M_GROUPS);

	note(f, "device of group %d closes", g);
	edu_close(&f->edu[g]);
	f->m.group[g].device_open = false;
}

/* ---- ioctls ---- */

static void do_register(struct fuzz *f, int c, uint64_t ua, uint64_t size)
{
	note(f, "container %d: REGISTER %#lx size %#lx", c, (long)ua,
	     (long)size);
	expect(f, m_register(&f->m, c, ua, size),
	       spapr_register(f->c[c], at(ua), size));
}

static void do_unregister(struct fuzz *f, int c, uint64_t ua, uint64_t size)
{
	note(f, "container %d: UNREGISTER %#lx size %#lx", c, (long)ua,
	     (long)size);
	expect(f, m_unregister(&f->m, c, ua, size),
	       spapr_unregister(f->c[c], at(ua), size));
}

static void bend(struct fuzz *f, uint64_t *ua, uint64_t *size)
{
	switch (below(f, 5)) {
	case 0:
		*ua += 1;
		break;
	case 1:
		*size += 8;
		break;
	case 2:
		*size = 0;
		break;
	case 3:
		*size = -*ua;
		break;
	case 4:
		*size = -page_size;
		break;
	}
}

static void op_register(struct fuzz *f)
{
	struct m_region *r = some_region(f);
	uint64_t ua, size, pages;

	some_range(f, &ua, &size);
	if (r && one_in(f, 4)) {
		ua = r->ua;
		size = r->pages * page_size;
		pages = below(f, r->pages);
		/* that, or a part, or what overlaps it */
		if (one_in(f, 3))
			size -= pages * page_size;
		else if (one_in(f, 3))
			ua += pages * page_size;
	}
	if (one_in(f, 12))
		bend(f, &ua, &size);
	do_register(f, some_container(f), ua, size);
}

static void op_unregister(struct fuzz *f)
{
	struct m_region *r = some_region(f);
	uint64_t ua, size;

	some_range(f, &ua, &size);
	if (r && !one_in(f, 6)) {
		ua = r->ua;
		size = r->pages * page_size;
		if (one_in(f, 8))
			size += page_size;
	}
	if (one_in(f, 16))
		bend(f, &ua, &size);
	do_unregister(f, some_container(f), ua, size);
}

/* A level is small, or certainly larger than anything that can be had. */
static bool is_certain(struct fuzz *f, unsigned int shift, uint64_t size,
		       unsigned int levels)
{
	unsigned int bits = size ? 63 - __builtin_clzl(size) : 0;
	uint64_t bytes;

	bits = bits > shift ? (bits - shift + levels - 1) / levels : 0;
	bytes = bits < 60 ? 8UL << bits : ~0UL;
	return bytes <= 2 * SZ_1M || bytes > f->m.machine.max_level;
}

static void op_create(struct fuzz *f)
{
	static const unsigned int shifts[] = { 12, 16, 21, 24, 28, 30 };
	unsigned int levels = 1 + below(f, 4), shift = shifts[below(f, 2)];
	uint64_t size, start = 1, got = 1;
	int c = some_container(f);
	long ret;

	if (one_in(f, 2))
		shift = f->huge == M_NONE || one_in(f, 3) ?
			shifts[below(f, 6)] : f->huge_shift;
	size = 1UL << (shift + below(f, one_in(f, 4) ? 42 - shift : 14));
	if (one_in(f, 16))
		levels = one_in(f, 2) ? 0 : 5 + below(f, 3);
	/* one level that nobody has memory for, after it was charged */
	if (one_in(f, 16)) {
		size = 1UL << (shift + 24);
		levels = 1;
	}
	if (one_in(f, 16))
		size += one_in(f, 2) ? 1UL << shift : -size;
	if (one_in(f, 24))
		shift = below(f, 80);
	if (!is_certain(f, shift, size, levels ?: 1))
		return;

	note(f, "container %d: CREATE shift %u size %#lx levels %u", c, shift,
	     (long)size, levels);
	if (one_in(f, 16)) {
		/* where the answer can't be written */
		mprotect(f->sealed, page_size, PROT_READ | PROT_WRITE);
		*f->sealed = (struct vfio_iommu_spapr_tce_create){
			.argsz = sizeof(*f->sealed), .page_shift = shift,
			.window_size = size, .levels = levels,
		};
		mprotect(f->sealed, page_size, PROT_READ);
		expect(f, m_create_untold(&f->m, c, shift, size, levels),
		       spapr_ioctl(f->c[c], VFIO_IOMMU_SPAPR_TCE_CREATE,
				   f->sealed));
		return;
	}
	ret = m_create(&f->m, c, shift, size, levels, &start);
	expect(f, ret, spapr_create(f->c[c], shift, size, levels, &got));
	if (start != got)
		wrong(f, "expected a window at %#lx, got %#lx", (long)start,
		      (long)got);
}

static void op_remove(struct fuzz *f)
{
	uint64_t start = one_in(f, 2) ? SLOT0_START : SLOT1_START;
	int c = some_container(f);

	if (one_in(f, 10))
		start += SZ_4K << below(f, 24);
	note(f, "container %d: REMOVE %#lx", c, (long)start);
	expect(f, m_remove(&f->m, c, start), spapr_remove(f->c[c], start));
}

/* Bus addresses that are a little or a lot beside what they should be */
static void miss(struct fuzz *f, uint64_t *iova, uint64_t *ua, uint64_t *size)
{
	switch (below(f, 6)) {
	case 0:
		*iova += 8UL << below(f, 14);
		break;
	case 1:
		*iova ^= 1UL << (12 + below(f, 52));
		break;
	case 2:
		*size = 0;
		break;
	case 3:
		*size += 1UL << below(f, 64);
		break;
	case 4:
		*ua += 8UL << below(f, 14);
		break;
	case 5:
		*ua = one_in(f, 2) ? 0 : -SZ_64K;
		break;
	}
}

/* Not in memory whose layout nobody knows, with entries for which it counts */
static bool is_known(struct fuzz *f, uint64_t ua, uint64_t size)
{
	unsigned int i;

	for (i = 0; i < f->m.areas; i++) {
		const struct m_area *a = &f->m.area[i];

		if (a->ua != ARENA && !a->contiguous && ua + size > a->ua &&
		    ua < a->ua + a->pages * page_size)
			return false;
	}
	return true;
}

static void op_map(struct fuzz *f)
{
	unsigned int flags = one_in(f, 4) ? below(f, 5) : M_PERM;
	uint64_t iova, ua, size;
	int c = some_container(f);

	some_mapping(f, c, &iova, &ua, &size);
	if (one_in(f, 10))
		miss(f, &iova, &ua, &size);
	/* v1 pins one by one: not for minutes */
	if (f->m.container[c].version == 1 && size > 64 * SZ_4K &&
	    size <= f->m.machine.default_size)
		size = 64 * SZ_4K;
	if (!is_known(f, ua, size))
		return;
	note(f, "container %d: MAP %#lx at %#lx size %#lx flags %u", c,
	     (long)ua, (long)iova, (long)size, flags);
	expect(f, m_map(&f->m, c, iova, ua, size, flags),
	       spapr_map_flags(f->c[c], iova, at(ua), size, flags));
}

static void op_unmap(struct fuzz *f)
{
	uint64_t iova, size, unused = 0;
	int c = some_container(f);
	struct m_window *w = some_window(f, c);

	some_mapping(f, c, &iova, NULL, &size);
	if (w && one_in(f, 10)) {
		iova = w->start;
		size = w->entries << w->shift;
	}
	if (one_in(f, 10))
		miss(f, &iova, &unused, &size);
	note(f, "container %d: UNMAP %#lx size %#lx", c, (long)iova,
	     (long)size);
	f->lately[below(f, 8)] = iova;
	expect(f, m_unmap(&f->m, c, iova, size),
	       spapr_unmap(f->c[c], iova, size));
}

static void op_enable(struct fuzz *f)
{
	int c = below(f, M_CONTAINERS);

	note(f, "container %d: ENABLE", c);
	expect(f, m_enable(&f->m, c),
	       spapr_ioctl(f->c[c], VFIO_IOMMU_ENABLE, NULL));
}

static void op_disable(struct fuzz *f)
{
	int c = below(f, M_CONTAINERS);

	note(f, "container %d: DISABLE", c);
	expect(f, m_disable(&f->m, c),
	       spapr_ioctl(f->c[c], VFIO_IOMMU_DISABLE, NULL));
}

static void op_info(struct fuzz *f)
{
	struct vfio_iommu_spapr_tce_info info;
	int c = some_container(f), ret = m_info(&f->m, c);

	note(f, "container %d: GET_INFO", c);
	expect(f, ret, spapr_info(f->c[c], &info));
	if (ret || f->m.container[c].version != 2)
		return;
	if (memcmp(&info, &f->info, sizeof(info)))
		wrong(f, "GET_INFO tells something else than at first");
}

/* Arguments that are wrong in themselves */
static void op_flawed(struct fuzz *f)
{
	static const struct {
		unsigned long request;
		uint32_t size;
	} calls[M_CALLS] = {
		[M_REGISTER] = { VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
			sizeof(struct vfio_iommu_spapr_register_memory) },
		[M_UNREGISTER] = { VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
			sizeof(struct vfio_iommu_spapr_register_memory) },
		[M_CREATE] = { VFIO_IOMMU_SPAPR_TCE_CREATE,
			sizeof(struct vfio_iommu_spapr_tce_create) },
		[M_REMOVE] = { VFIO_IOMMU_SPAPR_TCE_REMOVE,
			sizeof(struct vfio_iommu_spapr_tce_remove) },
		[M_MAP] = { VFIO_IOMMU_MAP_DMA,
			sizeof(struct vfio_iommu_type1_dma_map) },
		[M_UNMAP] = { VFIO_IOMMU_UNMAP_DMA,
			offsetof(struct vfio_iommu_type1_dma_unmap, data) },
		/* the short form, without "ddw" */
		[M_GET_INFO] = { VFIO_IOMMU_SPAPR_TCE_GET_INFO, 16 },
	};
	enum m_call call = below(f, M_CALLS);
	enum m_flaw flaw = below(f, 3);
	int c = some_container(f);
	/* argsz and flags come first in all of them */
	uint32_t arg[16] = { calls[call].size };

	if (flaw == M_SHORT)
		arg[0] = below(f, calls[call].size);
	if (flaw == M_FLAGS)
		arg[1] = 1U << (4 + below(f, 28));
	if (flaw == M_FLAGS && call == M_GET_INFO)
		return;
	note(f, "container %d: call %d with flaw %d", c, call, flaw);
	expect(f, m_flawed(&f->m, c, call, flaw),
	       spapr_ioctl(f->c[c], calls[call].request,
			   flaw == M_FAULT ? at(8) : arg));
}

struct foreign {
	struct fuzz *f;
	int c;
	unsigned int call;
};

static int call_as_child(void *arg)
{
	struct foreign *x = arg;
	int c = x->f->c[x->c];
	struct vfio_iommu_spapr_tce_info info;

	switch (x->call) {
	case 0:
		return spapr_register(c, at(ARENA), page_size);
	case 1:
		return spapr_unregister(c, at(ARENA), page_size);
	case 2:
		return spapr_create(c, 16, SZ_16M, 1, NULL);
	case 3:
		return spapr_remove(c, SLOT0_START);
	case 4:
		return spapr_map(c, 0, at(ARENA), SZ_64K);
	case 5:
		return spapr_unmap(c, 0, SZ_64K);
	case 6:
		return spapr_info(c, &info);
	default:
		return spapr_ioctl(c, VFIO_IOMMU_DISABLE, NULL);
	}
}

/* From another process */
static void op_foreign(struct fuzz *f)
{
	struct foreign x = { f, some_container(f), below(f, 8) };

	if (!f->m.container[x.c].bound)
		return;
	note(f, "container %d: call %u of another process", x.c, x.call);
	expect(f, -EPERM, in_child(call_as_child, &x));
}

/* ---- the guest ---- */

static void op_vm_create(struct fuzz *f)
{
	if (f->m.vm || f->vms == MAX_VMS)
		return;
	note(f, "a VM is made");
	f->vms++;
	m_vm_create(&f->m);
	vm_create(&f->vm, f->mmu);
	madvise(f->vm.low, GUEST_LOW_SIZE, MADV_DONTFORK);
	vcpu_create(&f->vm, &f->cpu);
	f->low = m_area_add(&f->m, (uintptr_t)f->vm.low,
			    GUEST_LOW_SIZE / page_size, M_READ_WRITE,
			    f->vm.low, 0);
	f->m.slot[LOW_SLOT] = (struct m_slot){
		0, (uintptr_t)f->vm.low, GUEST_LOW_SIZE,
	};
}

static void close_liobn(struct fuzz *f, unsigned int l)
{
	if (!f->m.liobn[l].present)
		return;
	note(f, "LIOBN %u is closed", l);
	munmap((void *)f->view[l], f->m.liobn[l].size * 8);
	close(f->table[l]);
	m_liobn_close(&f->m, l);
}

static void close_liobns(struct fuzz *f)
{
	unsigned int l;

	for (l = 0; l < M_LIOBNS; l++)
		close_liobn(f, l);
}

/* Tables of the guest live on in their fds: before the VM goes, or after */
static void op_vm_close(struct fuzz *f)
{
	bool tables_first = one_in(f, 2);

	if (!f->m.vm)
		return;
	note(f, "the VM is closed, its tables %s",
	     tables_first ? "first" : "last");
	if (tables_first)
		close_liobns(f);
	vcpu_close(&f->cpu);
	vm_close(&f->vm);
	m_vm_close(&f->m);
	close_liobns(f);
	f->low = M_NONE;
}

static void op_slot(struct fuzz *f)
{
	bool huge = f->huge != M_NONE && one_in(f, 3);
	int slot = huge ? HUGE_SLOT : ARENA_SLOT;
	const struct m_area *a = &f->m.area[huge ? f->huge : f->arena];
	struct m_slot *s = &f->m.slot[slot];

	/* It is there most of the time */
	if (s->size && !one_in(f, 8))
		return;
	note(f, "memory slot %d %s", slot, s->size ? "goes" : "comes");
	if (s->size)
		*s = (struct m_slot){ 0 };
	else
		*s = (struct m_slot){
			huge ? HUGE_GPA : ARENA_GPA, a->ua,
			(huge ? a->pages : ARENA_PAGES) * page_size,
		};
	expect(f, 0, vm_memory(&f->vm, slot, huge ? HUGE_GPA : ARENA_GPA,
			       at(a->ua), s->size));
}

static void op_liobn_create(struct fuzz *f)
{
	struct m_window *w = some_window(f, some_container(f));
	unsigned int l = below(f, M_LIOBNS), shift = one_in(f, 3) ? 16 : 12;
	uint64_t size = 1 + below(f, 5000), offset = 0;
	long before, after, least;
	int ret, fd;

	if (w && !one_in(f, 4)) {
		if (shift < w->shift || one_in(f, 3))
			shift = w->shift;
		size = w->entries << w->shift >> shift;
		offset = w->start >> shift;
	}
	if (size > MAX_LIOBN_SIZE)
		size = MAX_LIOBN_SIZE;
	if (one_in(f, 16))
		offset += 1UL << below(f, 64);
	if (one_in(f, 24))
		shift = below(f, 70);
	if (one_in(f, 24))
		size = 0;

	note(f, "LIOBN %u: shift %u offset %#lx size %#lx", l, shift,
	     (long)offset, (long)size);
	set_limit(f, M_NO_LIMIT);
	before = locked_kb();
	fd = vm_liobn(&f->vm, LIOBN + l, shift, offset, size);
	after = (locked_kb() - before) * 1024 / (long)page_size;
	set_limit(f, f->m.limit);
	ret = m_liobn_create(&f->m, l, shift, offset, size, after);
	expect(f, ret, fd < 0 ? fd : 0);
	if (f->failed || ret)
		return;
	least = (size * 8 + page_size - 1) / page_size;
	if (after < least || after > 2 * least + 2)
		wrong(f, "expected about %ld pages to be charged, got %ld",
		      least, after);
	f->table[l] = fd;
	f->view[l] = mmap(NULL, size * 8, PROT_READ, MAP_SHARED, fd, 0);
	must(f, f->view[l] != MAP_FAILED, "mmap of a LIOBN");
}

static void op_liobn_close(struct fuzz *f)
{
	close_liobn(f, below(f, M_LIOBNS));
}

static void op_kvm_add(struct fuzz *f)
{
	int g = below(f, M_GROUPS);

	note(f, "group %d is added to KVM", g);
	expect(f, m_kvm_add(&f->m, g),
	       vm_group_add(&f->vm, f->edu[g].group_fd));
}

static void op_kvm_del(struct fuzz *f)
{
	int g = below(f, M_GROUPS);

	note(f, "group %d is taken from KVM", g);
	expect(f, m_kvm_del(&f->m, g),
	       vm_group_del(&f->vm, f->edu[g].group_fd));
}

static void op_attach(struct fuzz *f)
{
	unsigned int l = below(f, M_LIOBNS);
	int g = below(f, M_GROUPS);

	if (!f->m.liobn[l].present ||
	    f->m.liobn[l].windows == M_LIOBN_WINDOWS)
		return;
	note(f, "group %d is attached to LIOBN %u", g, l);
	expect(f, m_attach(&f->m, g, l),
	       vm_attach(&f->vm, f->edu[g].group_fd, f->table[l]));
}

/* One that is there, most of the time */
static unsigned int some_liobn(struct fuzz *f)
{
	unsigned int l = below(f, M_LIOBNS), i;

	for (i = 0; i < M_LIOBNS && !f->m.liobn[l].present; i++)
		l = (l + 1) % M_LIOBNS;
	return one_in(f, 24) ? below(f, M_LIOBNS) : l;
}

static uint64_t some_ioba(struct fuzz *f, unsigned int l, uint64_t *n)
{
	const struct m_liobn *t = &f->m.liobn[l];
	uint64_t index, ioba;

	if (!t->present)
		return 0;
	index = some_entry(f, t->size);
	ioba = (t->offset + index) << t->shift;
	if (*n > t->size - index && !one_in(f, 8))
		*n = t->size - index;
	if (one_in(f, 24))
		ioba += 1UL << below(f, 64);
	return ioba;
}

static uint64_t some_tce(struct fuzz *f, unsigned int l)
{
	unsigned int shift = f->m.liobn[l].present ? f->m.liobn[l].shift : 12;
	uint64_t perm = one_in(f, 4) ? below(f, 4) : M_PERM;
	struct m_region *r = some_region(f);
	const struct m_slot *s;
	uint64_t off;

	if (one_in(f, 10))
		return one_in(f, 2) ? 0 : below(f, SZ_16M) & ~M_PERM;
	s = &f->m.slot[f->huge != M_NONE && one_in(f, 4) ? HUGE_SLOT :
		       ARENA_SLOT];
	off = below(f, s->size ?: SZ_1M);
	if (r && !is_in(f, f->low, r->ua) && !one_in(f, 10)) {
		s = &f->m.slot[is_in(f, f->huge, r->ua) ? HUGE_SLOT :
			       ARENA_SLOT];
		off = r->ua - s->ua + below(f, r->pages) * page_size +
		      below(f, page_size);
	}
	off = align_down(s->gpa + off, shift);
	/* beyond all memory, or beside a page */
	if (one_in(f, 40))
		off += one_in(f, 2) ? SZ_1T : 8UL << below(f, 8);
	return off | perm;
}

static void op_h_put(struct fuzz *f)
{
	unsigned int l = some_liobn(f);
	uint64_t n = 1, ioba = some_ioba(f, l, &n), tce = some_tce(f, l);

	note(f, "LIOBN %u: H_PUT_TCE %#lx %#lx", l, (long)ioba, (long)tce);
	expect(f, m_h_put(&f->m, l, ioba, tce),
	       h_put_tce(&f->cpu, LIOBN + l, ioba, tce));
}

static void op_h_put_list(struct fuzz *f)
{
	unsigned int l = some_liobn(f), i, list = below(f, MAX_LISTS);
	uint64_t n = 1 + below(f, one_in(f, 4) ? MAX_LIST : 12);
	uint64_t step = f->m.liobn[l].present ? 1UL << f->m.liobn[l].shift : 0;
	uint64_t ioba = some_ioba(f, l, &n), gpa = list_gpa(&f->cpu, list);
	bool in_order = one_in(f, 2);
	uint64_t tces[MAX_LIST];
	const uint64_t *there = tces;

	for (i = 0; i < n && i < MAX_LIST; i++) {
		tces[i] = i && in_order && !one_in(f, 50) ?
			  tces[i - 1] + step : some_tce(f, l);
		list_set(&f->cpu, list, i, tces[i]);
	}
	if (one_in(f, 30))
		n = one_in(f, 2) ? 0 : MAX_LIST + 1 + below(f, 10);
	if (one_in(f, 40)) {
		gpa += 8UL << below(f, 9);
	} else if (one_in(f, 40)) {
		gpa = SZ_1T;
		there = NULL;
	}
	note(f, "LIOBN %u: H_PUT_TCE_INDIRECT %#lx list %#lx of %ld: %#lx...",
	     l, (long)ioba, (long)gpa, (long)n, (long)tces[0]);
	expect(f, m_h_put_list(&f->m, l, ioba, gpa, there, n),
	       h_put_tce_indirect(&f->cpu, LIOBN + l, ioba, gpa, n));
}

static void op_h_stuff(struct fuzz *f)
{
	unsigned int l = some_liobn(f);
	uint64_t n = one_in(f, 8) ? below(f, 5000) : below(f, 40);
	uint64_t ioba = some_ioba(f, l, &n), tce = 0;

	if (one_in(f, 8))
		tce = one_in(f, 2) ? 0x5000 : some_tce(f, l);
	note(f, "LIOBN %u: H_STUFF_TCE %#lx %#lx %ld", l, (long)ioba, (long)tce,
	     (long)n);
	f->lately[below(f, 8)] = ioba;
	expect(f, m_h_stuff(&f->m, l, ioba, tce, n),
	       h_stuff_tce(&f->cpu, LIOBN + l, ioba, tce, n));
}

static void op_h_get(struct fuzz *f)
{
	unsigned int l = some_liobn(f);
	uint64_t n = 1, ioba = some_ioba(f, l, &n), tce = 0, got = 0;
	long ret = m_h_get(&f->m, l, ioba, &tce);

	note(f, "LIOBN %u: H_GET_TCE %#lx", l, (long)ioba);
	expect(f, ret, h_get_tce(&f->cpu, LIOBN + l, ioba, &got));
	if (!ret && tce != got)
		wrong(f, "expected TCE %#lx, got %#lx", (long)tce, (long)got);
}

/* ---- what the device sees ---- */

/* An entry of the group's, at random; NULL if there is none */
static struct m_run *some_run(struct fuzz *f, int g, struct m_window **pw)
{
	int c = f->m.group[g].container;

	*pw = c == M_NONE ? NULL : some_window(f, c);
	return *pw && (*pw)->runs ? &(*pw)->run[below(f, (*pw)->runs)] : NULL;
}

static uint64_t bus_in(struct fuzz *f, const struct m_window *w,
		       const struct m_run *run)
{
	return w->start + ((run->first + below(f, run->nr)) << w->shift) +
	       below(f, 1UL << (w->shift - 12)) * SZ_4K;
}

/*
 * In the window that the address is of, if there is one: the emulated PHB does
 * not look at the bits of an address that its table has no use for.
 */
static uint64_t in_window(struct fuzz *f, int g, uint64_t bus)
{
	int c = f->m.group[g].container, num = bus >= SLOT1_START, i;

	for (i = 0; c != M_NONE && i < M_WINDOWS; i++) {
		const struct m_window *w = f->m.container[c].window[i];

		if (w && w->start == (num ? SLOT1_START : SLOT0_START))
			return w->start + (bus - w->start) %
			       (w->entries << w->shift);
	}
	return bus;
}

/* Mapped, or beside what is, or anywhere */
static uint64_t some_bus(struct fuzz *f, int g)
{
	struct m_window *w;
	struct m_run *run = some_run(f, g, &w);

	switch (below(f, 7)) {
	case 5:
	case 6:
		return align_down(f->lately[below(f, 8)], 12);
	case 0:
		return (one_in(f, 2) ? SLOT0_START : SLOT1_START) +
		       below(f, SZ_1G / SZ_4K) * SZ_4K;
	case 1:
		if (run && run->first)
			return w->start + (run->first << w->shift) - SZ_4K;
		return SLOT1_START - SZ_4K;
	case 2:
		if (run)
			return w->start +
			       ((run->first + run->nr) << w->shift);
		break;
	}
	return run ? bus_in(f, w, run) : 0;
}

static void pattern(struct fuzz *f, uint64_t *words)
{
	unsigned int i;

	for (i = 0; i < DMA_BYTES / 8; i++)
		words[i] = rnd(f);
}

/* Memory that nothing but a look at it should have changed */
static void wrote(struct fuzz *f, const char *memory, const void *data)
{
	size_t off = memory - f->store;

	if (off < ARENA_PAGES * page_size)
		memcpy(f->shadow + off, data, DMA_BYTES);
}

static void put_bytes(struct fuzz *f, char *memory, const void *data)
{
	memcpy(memory, data, DMA_BYTES);
	wrote(f, memory, data);
}

/* The device reads and writes @bus, and tells by @probe, which is mapped */
static void spot(struct fuzz *f, int g, uint64_t bus, uint64_t probe)
{
	uint64_t data[DMA_BYTES / 8], none[DMA_BYTES / 8];
	struct edu *edu = &f->edu[g];
	unsigned long perm, unused;
	char *there = m_reach(&f->m, g, bus, &perm);
	char *own = m_reach(&f->m, g, probe, &unused);
	bool same;

	note(f, "DMA of group %d at %#lx, by way of %#lx", g, (long)bus,
	     (long)probe);
	pattern(f, data);
	pattern(f, none);
	put_bytes(f, own, none);
	edu_load(edu, 0, probe, DMA_BYTES);
	if (there)
		put_bytes(f, there, data);
	edu_load(edu, 0, bus, DMA_BYTES);
	edu_store(edu, probe, 0, DMA_BYTES);
	same = !memcmp(own, data, DMA_BYTES);
	wrote(f, own, own);
	/* The emulated PHB lets a device read all that it may write */
	if (same != !!(perm & M_READ) && perm != M_WRITE)
		wrong(f, "expected the device %s read, it %s",
		      perm & M_READ ? "to" : "not to", same ? "does" :
		      "does not");

	pattern(f, data);
	put_bytes(f, own, data);
	edu_load(edu, 0, probe, DMA_BYTES);
	edu_store(edu, bus, 0, DMA_BYTES);
	same = there && !memcmp(there, data, DMA_BYTES);
	if (perm & M_WRITE)
		wrote(f, there, data);
	if (same != !!(perm & M_WRITE))
		wrong(f, "expected the device %s write, it %s",
		      perm & M_WRITE ? "to" : "not to", same ? "does" :
		      "does not");
	if (memcmp(f->store, f->shadow, ARENA_PAGES * page_size))
		wrong(f, "the device wrote where it should not");
}

/* A device's write there is an interrupt, whatever the window says. */
static bool is_msi(uint64_t bus)
{
	return bus >> 16 == 0xffff;
}

static void op_spot(struct fuzz *f)
{
	int g = below(f, M_GROUPS), tries;
	uint64_t bus, probe;
	struct m_window *w;
	struct m_run *run;

	if (!f->m.group[g].device_open)
		g = !g;
	if (!f->m.group[g].device_open)
		return;
	for (tries = 0; tries < 8; tries++) {
		run = some_run(f, g, &w);
		if (!run || run->perm != M_PERM)
			continue;
		bus = in_window(f, g, some_bus(f, g));
		probe = bus_in(f, w, run);
		if (is_msi(bus) || is_msi(probe))
			continue;
		spot(f, g, bus + DMA_SEEN, probe + DMA_PROBE);
		return;
	}
}

/* ---- everything that can be compared ---- */

/* Those with entries can't go; those without can, and come back if they may */
static void check_regions(struct fuzz *f)
{
	struct m_region *r, *next;
	uint64_t ua, size;
	int c;

	for (r = f->m.regions; r && !f->failed; r = next) {
		next = r->next;
		for (c = 0; c < M_CONTAINERS && !r->held[c]; c++)
			;
		if (c == M_CONTAINERS)
			continue;
		ua = r->ua;
		size = r->pages * page_size;
		if (m_count(&f->m, r)) {
			do_unregister(f, c, ua, size);
			/* It was not the only container to hold it */
			if (!r->held[c])
				do_register(f, c, ua, size);
		} else if (one_in(f, 3)) {
			do_unregister(f, c, ua, size);
			do_register(f, c, ua, size);
		}
	}
}

static void check_tables(struct fuzz *f)
{
	unsigned int l;
	uint64_t i;

	for (l = 0; l < M_LIOBNS; l++) {
		const struct m_liobn *t = &f->m.liobn[l];

		for (i = 0; t->present && i < t->size; i++) {
			if (f->view[l][i] == t->tce[i])
				continue;
			wrong(f, "LIOBN %u entry %#lx: expected %#lx, got %#lx",
			      l, (long)i, (long)t->tce[i], (long)f->view[l][i]);
			return;
		}
	}
}

/* The kernel's own look at its tables, if it has one */
static void check_kernel(struct fuzz *f)
{
	long faults = check_invariants();

	if (faults)
		wrong(f, "the kernel's check returns %ld", faults);
}

static void check_all(struct fuzz *f)
{
	long pinned;

	/* Nothing changes by itself while all of it is looked at. */
	wait_for_reap(f);
	check_regions(f);
	pinned = f->was.pinned + m_pinned(&f->m);
	expect_locked(f);
	check_tables(f);
	check_kernel(f);
	if (f->failed)
		return;
	if (pinned_pages_settle(pinned) != pinned)
		wrong(f, "expected %ld pinned pages, got %ld", pinned,
		      pinned_pages());
	if (kernel_taint() != f->was.taint)
		wrong(f, "the kernel is tainted");
	op_spot(f);
}

/* ---- all of it ---- */

struct op {
	void (*fn)(struct fuzz *f);
	unsigned int weight;
};

static const struct op host_ops[] = {
	{ op_map, 160 }, { op_unmap, 70 }, { op_register, 60 },
	{ op_unregister, 50 }, { op_create, 30 }, { op_remove, 14 },
	{ op_info, 3 }, { op_flawed, 16 }, { op_foreign, 4 }, { op_limit, 8 },
	{ op_enable, 8 }, { op_disable, 4 }, { op_join, 10 }, { op_leave, 5 },
	{ op_set_iommu, 10 }, { op_open_device, 6 }, { op_close_device, 4 },
	{ op_move, 12 }, { op_punch, 8 }, { op_fill, 12 }, { op_protect, 12 },
	{ op_spot, 16 }, { NULL }
};

static const struct op guest_ops[] = {
	{ op_h_put, 120 }, { op_h_put_list, 80 }, { op_h_stuff, 40 },
	{ op_h_get, 20 }, { op_slot, 12 }, { op_liobn_create, 16 },
	{ op_liobn_close, 4 }, { op_kvm_add, 12 }, { op_kvm_del, 4 },
	{ op_attach, 24 }, { op_vm_close, 2 }, { NULL }
};

static void run_op(struct fuzz *f, const struct op *ops)
{
	unsigned int sum = 0, i;

	for (i = 0; ops[i].fn; i++)
		sum += ops[i].weight;
	sum = below(f, sum);
	for (i = 0; sum >= ops[i].weight; i++)
		sum -= ops[i].weight;
	ops[i].fn(f);
}

static void fuzz_steps(struct fuzz *f, unsigned long steps, bool guest)
{
	for (f->step = 1; f->step <= steps && !f->failed; f->step++) {
		if (guest && !f->m.vm)
			op_vm_create(f);
		run_op(f, f->m.vm && one_in(f, 2) ? guest_ops : host_ops);
		expect_locked(f);
		if (!f->failed && !(f->step % CHECK_EVERY))
			check_all(f);
		/* A program that is silent for long is taken for dead */
		if (!(f->step % 500))
			fprintf(stderr, "# step %lu\n", f->step);
	}
}

/* Whatever there is at the end, goes, and nothing is left of it */
static void fuzz_end(struct fuzz *f)
{
	struct __test_metadata *_metadata = f->_metadata;
	int g;

	note(f, "the end");
	op_vm_close(f);
	for (g = 0; g < M_GROUPS; g++) {
		edu_close(&f->edu[g]);
		f->m.group[g].device_open = false;
		if (f->m.group[g].container != M_NONE)
			expect(f, m_leave(&f->m, g),
			       container_del(0, &f->edu[g]));
		expect_locked(f);
		edu_close_group(&f->edu[g]);
	}
	if (f->m.locked)
		wrong(f, "the model keeps a charge of %ld", (long)f->m.locked);
	close(f->c[0]);
	close(f->c[1]);
	m_exit(&f->m);
	expect_usage(_metadata, &f->was);
}

static unsigned long number(const char *name, const char *or)
{
	const char *text = getenv(name);

	return strtoul(text && *text ? text : or, NULL, 0);
}

/* A container tells about the machine, and goes again. */
static void fuzz_begin(struct fuzz *f)
{
	struct __test_metadata *_metadata = f->_metadata;
	struct m_machine machine = { .page_shift = page_shift };
	int g;

	f->seed = number("SEED", DEFAULT_SEED);
	f->state = f->seed;
	f->low = M_NONE;
	TH_LOG("SEED=%lu STEPS=%lu", (long)f->seed,
	       number("STEPS", DEFAULT_STEPS));
	for (g = 0; g < M_GROUPS; g++) {
		f->c[g] = container_open();
		ASSERT_LE(0, edu_open_group(&f->edu[g]));
	}
	ASSERT_EQ(0, container_add(f->c[0], &f->edu[0]));
	ASSERT_EQ(0, container_set_iommu(f->c[0], VFIO_SPAPR_TCE_v2_IOMMU));
	ASSERT_EQ(0, spapr_info(f->c[0], &f->info));
	ASSERT_EQ(0, container_del(f->c[0], &f->edu[0]));
	machine.pgsizes = f->info.ddw.pgsizes;
	machine.levels = f->info.ddw.levels;
	machine.default_size = f->info.dma32_window_size;
	machine.max_level = max_contiguous();
	m_init(&f->m, &machine);
	limit_locked(RLIM_INFINITY);
	arena_init(f);
	huge_init(f);
	f->sealed = mmap(NULL, page_size, PROT_READ, MAP_PRIVATE |
			 MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, f->sealed);
	/* Something to begin with */
	expect(f, m_join(&f->m, 0, 0), container_add(f->c[0], &f->edu[0]));
	expect(f, m_set_iommu(&f->m, 0, 2),
	       container_set_iommu(f->c[0], VFIO_SPAPR_TCE_v2_IOMMU));
}

FIXTURE(fuzz)
{
	struct fuzz f;
};

FIXTURE_VARIANT(fuzz)
{
	bool guest;
	enum mmu mmu;
};

FIXTURE_VARIANT_ADD(fuzz, ioctls) { false };
FIXTURE_VARIANT_ADD(fuzz, hash) { true, HASH };
FIXTURE_VARIANT_ADD(fuzz, radix) { true, RADIX };
FIXTURE_VARIANT_ADD(fuzz, pr) { true, PR };

FIXTURE_SETUP(fuzz)
{
	struct fuzz *f = &self->f;

	if (edu_find(f->edu, M_GROUPS) < M_GROUPS)
		SKIP(return, "no two groups with an edu device each");
	if (variant->guest && guest_missing(variant->mmu))
		SKIP(return, "%s", guest_missing(variant->mmu));
	f->_metadata = _metadata;
	f->mmu = variant->mmu;
	f->was = usage_at_rest();
	fuzz_begin(f);
}

FIXTURE_TEARDOWN(fuzz)
{
	if (!self->f.failed)
		fuzz_end(&self->f);
}

TEST_F_TIMEOUT(fuzz, model, 1000000)
{
	fuzz_steps(&self->f, number("STEPS", DEFAULT_STEPS), variant->guest);
}

int main(int argc, char **argv)
{
	return run_with_settings(argc, argv);
}
