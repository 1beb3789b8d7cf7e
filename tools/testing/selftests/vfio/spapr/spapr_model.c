// SPDX-License-Identifier: GPL-2.0-only
/* See spapr_model.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm_guest.h"
#include "spapr_model.h"

#define PAGE		(1UL << m->machine.page_shift)
#define SLOT1		(1UL << 59)
#define DEFAULT_SHIFT	12
#define ADDR_BITS	55
#define MIN_LEVEL_BITS	9

static void *must_have(void *p)
{
	if (!p)
		abort();
	return p;
}

static uint64_t div_up(uint64_t a, uint64_t b)
{
	return a / b + !!(a % b);
}

void m_init(struct model *m, const struct m_machine *machine)
{
	int i;

	memset(m, 0, sizeof(*m));
	m->machine = *machine;
	m->limit = M_NO_LIMIT;
	for (i = 0; i < M_GROUPS; i++)
		m->group[i].container = M_NONE;
}

void m_exit(struct model *m)
{
	unsigned int i;

	for (i = 0; i < m->areas; i++)
		free(m->area[i].page);
}

/* ---- memory ---- */

unsigned int m_area_add(struct model *m, uint64_t ua, unsigned long pages,
			enum m_prot prot, char *memory, unsigned int contiguous)
{
	struct m_area *a = &m->area[m->areas];
	unsigned long i;

	if (m->areas == M_AREAS)
		abort();
	a->ua = ua;
	a->pages = pages;
	a->contiguous = contiguous;
	a->page = must_have(calloc(pages, sizeof(*a->page)));
	for (i = 0; i < pages; i++)
		a->page[i] = (struct m_page){ prot, memory + i * PAGE };
	return m->areas++;
}

static struct m_area *area_of(struct model *m, uint64_t ua)
{
	unsigned int i;

	for (i = 0; i < m->areas; i++) {
		if (ua - m->area[i].ua < m->area[i].pages * PAGE)
			return &m->area[i];
	}
	return NULL;
}

struct m_page *m_page(struct model *m, uint64_t ua)
{
	struct m_area *a = area_of(m, ua);

	return a ? &a->page[(ua - a->ua) / PAGE] : NULL;
}

static bool is_over_limit(const struct model *m, unsigned long pages)
{
	return m->limit != M_NO_LIMIT && m->locked + pages > m->limit;
}

static bool charge(struct model *m, unsigned long pages)
{
	if (is_over_limit(m, pages))
		m_reap(m);
	if (is_over_limit(m, pages))
		return false;
	m->locked += pages;
	return true;
}

/* ---- regions ---- */

static bool in_region(struct model *m, const struct m_region *r, uint64_t ua)
{
	return ua - r->ua < r->pages * PAGE;
}

static struct m_region *region_at(struct model *m, uint64_t ua)
{
	struct m_region *r;

	for (r = m->regions; r && !in_region(m, r, ua); r = r->next)
		;
	return r;
}

static bool is_held(const struct m_region *r)
{
	int c;

	for (c = 0; c < M_CONTAINERS && !r->held[c]; c++)
		;
	return c < M_CONTAINERS;
}

static unsigned long count_in_run(struct model *m, const struct m_region *r,
				  const struct m_window *w,
				  const struct m_run *run)
{
	uint64_t from = run->ua, to = run->ua + (run->nr << w->shift);
	uint64_t end = r->ua + r->pages * PAGE;

	from = from > r->ua ? from : r->ua;
	to = to < end ? to : end;
	return from < to ? (to - from) >> w->shift : 0;
}

unsigned long m_count(struct model *m, const struct m_region *r)
{
	const struct m_window *w;
	unsigned long count = 0, i;

	for (w = m->windows; w; w = w->next) {
		for (i = 0; w->registered && i < w->runs; i++)
			count += count_in_run(m, r, w, &w->run[i]);
	}
	return count;
}

static void region_free(struct model *m, struct m_region *r)
{
	struct m_region **p;

	for (p = &m->regions; *p != r; p = &(*p)->next)
		;
	*p = r->next;
	m->locked -= r->pages;
	free(r->memory);
	free(r);
}

/* Regions that nobody holds stay while there are entries, and no longer. */
bool m_reap(struct model *m)
{
	struct m_region *r, *next;
	bool any = false;

	for (r = m->regions; r; r = next) {
		next = r->next;
		if (is_held(r) || m_count(m, r))
			continue;
		region_free(m, r);
		any = true;
	}

	return any;
}

unsigned long m_pinned(struct model *m)
{
	const struct m_region *r;
	const struct m_window *w;
	unsigned long pinned = 0;

	for (r = m->regions; r; r = r->next)
		pinned += r->pages;
	for (w = m->windows; w; w = w->next)
		pinned += w->registered ? 0 : w->runs;
	return pinned;
}

/* ---- entries ---- */

static void run_add(struct m_window *w, struct m_run run)
{
	if (w->runs == w->room) {
		w->room = w->room * 2 + 16;
		w->run = must_have(realloc(w->run, w->room * sizeof(*w->run)));
	}
	w->run[w->runs++] = run;
}

static void entries_clear(struct m_window *w, uint64_t first, uint64_t nr)
{
	unsigned long i, n = w->runs;

	for (i = 0; i < n; i++) {
		struct m_run old = w->run[i];
		uint64_t end = old.first + old.nr;

		if (end <= first || old.first >= first + nr)
			continue;
		w->run[i].nr = 0;
		if (old.first < first)
			w->run[i].nr = first - old.first;
		if (end > first + nr) {
			struct m_run rest = old;
			uint64_t skip = first + nr - old.first;

			rest.first += skip;
			rest.nr -= skip;
			rest.ua += skip << w->shift;
			run_add(w, rest);
		}
	}
	for (i = 0; i < w->runs; ) {
		if (w->run[i].nr)
			i++;
		else
			w->run[i] = w->run[--w->runs];
	}
}

static void entries_set(struct m_window *w, struct m_run run)
{
	entries_clear(w, run.first, run.nr);
	run_add(w, run);
}

static struct m_run *entry_at(struct m_window *w, uint64_t entry)
{
	unsigned long i;

	for (i = 0; i < w->runs; i++) {
		if (entry - w->run[i].first < w->run[i].nr)
			return &w->run[i];
	}
	return NULL;
}

/* Can all of it be mapped by entries of 1 << @shift? */
static bool can_point_to(struct model *m, uint64_t ua, uint64_t nr,
			 unsigned int shift)
{
	uint64_t size = nr << shift;

	if (size >> shift != nr || ua + size < ua)
		return false;

	for (; nr; nr--, ua += 1UL << shift) {
		struct m_region *r = region_at(m, ua);

		if (!r || !in_region(m, r, ua + (1UL << shift) - 1))
			return false;
		if (shift > m->machine.page_shift &&
		    shift > area_of(m, ua)->contiguous)
			return false;
	}
	return true;
}

/* ---- windows ---- */

static unsigned int log2_of(uint64_t n)
{
	return 63 - __builtin_clzl(n);
}

/* In bytes; 0 if there can be no such table. */
static uint64_t table_cost(unsigned int entries_shift, unsigned int page_shift,
			   unsigned int levels, uint64_t *level_bytes)
{
	unsigned int bits = div_up(entries_shift, levels), i;
	uint64_t tables = 1, bytes = 0, words;

	bits = bits > MIN_LEVEL_BITS ? bits : MIN_LEVEL_BITS;
	if (page_shift + levels * bits >= ADDR_BITS)
		return 0;
	*level_bytes = 8UL << bits;
	for (i = levels; i; i--) {
		bytes += tables * *level_bytes;
		if ((i - 1) * bits < entries_shift)
			tables = 1UL << (entries_shift - (i - 1) * bits);
	}

	words = div_up(1UL << entries_shift, 1024);
	bytes += words * 8192;
	do {
		words = div_up(words, 512);
		bytes += words * 4096;
	} while (words > 1);
	return bytes;
}

static int free_window(const struct m_container *box)
{
	int num;

	for (num = 0; num < M_WINDOWS && box->window[num]; num++)
		;
	return num < M_WINDOWS ? num : -ENOSPC;
}

/* Bytes of a window's table and view, 0 if there can be none like this. */
static uint64_t window_cost(const struct model *m, unsigned int shift,
			    uint64_t size, unsigned int levels,
			    uint64_t *level_bytes)
{
	if (shift > 63 || !(m->machine.pgsizes >> shift & 1) || !levels ||
	    levels > m->machine.levels || !size || size & (size - 1) ||
	    size < 1UL << shift)
		return 0;
	return table_cost(log2_of(size) - shift, shift, levels, level_bytes);
}

static int window_new(struct model *m, int c, unsigned int shift,
		      uint64_t size, unsigned int levels)
{
	struct m_container *box = &m->container[c];
	uint64_t bytes, level_bytes;
	int num = free_window(box);
	struct m_window *w;

	if (num < 0)
		return num;
	bytes = window_cost(m, shift, size, levels, &level_bytes);
	if (!bytes)
		return -EINVAL;
	if (!charge(m, div_up(bytes, PAGE)))
		return -ENOMEM;
	if (level_bytes > m->machine.max_level) {
		m->locked -= div_up(bytes, PAGE);
		return -ENOMEM;
	}

	w = must_have(calloc(1, sizeof(*w)));
	w->registered = box->version == 2;
	w->shift = shift;
	w->start = num ? SLOT1 : 0;
	w->entries = size >> shift;
	w->charge = div_up(bytes, PAGE);
	w->next = m->windows;
	m->windows = w;
	box->window[num] = w;
	return num;
}

/* It is nobody's any more, nor does a LIOBN change it. */
static void window_free(struct model *m, struct m_window *w)
{
	struct m_window **p;

	for (p = &m->windows; *p != w; p = &(*p)->next)
		;
	*p = w->next;
	m->locked -= w->charge;
	free(w->run);
	free(w);
	m_reap(m);
}

static void liobn_forget(struct m_liobn *l, const struct m_window *w)
{
	unsigned int i;

	for (i = 0; i < l->windows; i++) {
		if (l->window[i] == w) {
			l->window[i] = l->window[--l->windows];
			return;
		}
	}
}

static void window_close(struct model *m, int c, int num)
{
	struct m_window *w = m->container[c].window[num];
	unsigned int l;

	m->container[c].window[num] = NULL;
	for (l = 0; l < M_LIOBNS; l++)
		liobn_forget(&m->liobn[l], w);
	window_free(m, w);
}

static struct m_window *window_at(struct m_container *box, uint64_t iova)
{
	int num;

	for (num = 0; num < M_WINDOWS; num++) {
		struct m_window *w = box->window[num];

		if (w && iova - w->start < w->entries << w->shift)
			return w;
	}
	return NULL;
}

static int default_create(struct model *m, int c)
{
	int ret;

	if (!m->container[c].default_pending)
		return 0;
	ret = window_new(m, c, DEFAULT_SHIFT, m->machine.default_size, 1);
	if (ret < 0)
		return ret;
	m->container[c].default_pending = false;
	return 0;
}

/* A call that failed after all leaves the default window as it found it. */
static void default_forget(struct model *m, int c, bool was_pending)
{
	if (!was_pending || m->container[c].default_pending)
		return;
	window_close(m, c, 0);
	m->container[c].default_pending = true;
}

/* ---- groups and containers ---- */

static int attach(struct model *m, int c)
{
	struct m_container *box = &m->container[c];

	if (box->version == 1 && box->groups)
		return -EBUSY;
	if (!box->groups)
		box->default_pending = true;
	return 0;
}

int m_join(struct model *m, int c, int g)
{
	struct m_container *box = &m->container[c];
	int ret;

	if (m->group[g].container != M_NONE)
		return -EINVAL;
	if (box->version) {
		ret = attach(m, c);
		if (ret)
			return ret;
	}
	m->group[g].container = c;
	box->groups |= 1 << g;
	return 0;
}

int m_set_iommu(struct model *m, int c, unsigned int version)
{
	struct m_container *box = &m->container[c];

	if (!box->groups || box->version)
		return -EINVAL;
	if (version == 1 && box->groups & (box->groups - 1))
		return -EBUSY;
	box->version = version;
	box->default_pending = true;
	return 0;
}

/* With the last group, a container is as good as new. */
static void release(struct model *m, int c)
{
	struct m_container *box = &m->container[c];
	struct m_region *r;
	int num;

	if (box->version == 1 && box->enabled)
		m->locked -= m->machine.default_size / PAGE;
	for (num = 0; num < M_WINDOWS; num++) {
		if (box->window[num])
			window_close(m, c, num);
	}
	for (r = m->regions; r; r = r->next)
		r->held[c] = false;
	m_reap(m);
	memset(box, 0, sizeof(*box));
}

int m_leave(struct model *m, int g)
{
	int c = m->group[g].container;

	if (c == M_NONE)
		return -EINVAL;
	if (m->group[g].device_open)
		return -EBUSY;
	m->group[g].container = M_NONE;
	m->container[c].groups &= ~(1 << g);
	if (!m->container[c].groups)
		release(m, c);
	return 0;
}

int m_open_device(struct model *m, int g)
{
	int c = m->group[g].container;

	if (c == M_NONE || !m->container[c].version)
		return -EINVAL;
	m->group[g].device_open = true;
	return 0;
}

/* ---- ioctls ---- */

int m_flawed(struct model *m, int c, enum m_call call, enum m_flaw flaw)
{
	struct m_container *box = &m->container[c];
	int error = flaw == M_FAULT ? -EFAULT : -EINVAL;

	if (!box->version)
		return -EINVAL;
	switch (call) {
	case M_MAP:
	case M_UNMAP:
		return box->enabled ? error : -EPERM;
	case M_GET_INFO:
		return error;
	case M_UNREGISTER:
		if (box->version == 2 && !box->bound)
			return -EPERM;
		break;
	default:
		break;
	}
	return box->version == 2 ? error : -ENOTTY;
}

/* Only for version 2; 0 if the call exists */
static int check_v2(struct model *m, int c)
{
	if (!m->container[c].version)
		return -EINVAL;
	return m->container[c].version == 2 ? 0 : -ENOTTY;
}

static bool bad_range(struct model *m, uint64_t ua, uint64_t size)
{
	return !size || (ua | size) & (PAGE - 1) || ua + size < ua;
}

static struct m_region *held_region(struct model *m, int c, uint64_t ua,
				    uint64_t size)
{
	struct m_region *r = region_at(m, ua);

	if (r && r->ua == ua && r->pages == size / PAGE && r->held[c])
		return r;
	return NULL;
}

/* Is all of it, and it is not nothing, at least @prot? */
static bool range_is(struct model *m, uint64_t ua, uint64_t size,
		     enum m_prot prot)
{
	uint64_t last = (ua + size - 1) & -PAGE;

	for (ua &= -PAGE; ; ua += PAGE) {
		struct m_page *p = m_page(m, ua);

		if (!p || p->prot < prot)
			return false;
		if (ua == last)
			return true;
	}
}

static bool overlaps(struct model *m, uint64_t ua, uint64_t size)
{
	const struct m_region *r;

	for (r = m->regions; r; r = r->next) {
		if (ua < r->ua + r->pages * PAGE && r->ua < ua + size)
			return true;
	}
	return false;
}

static int region_new(struct model *m, int c, uint64_t ua, uint64_t size)
{
	struct m_region *r;
	unsigned long i;

	if (overlaps(m, ua, size))
		return -EINVAL;
	if (!charge(m, size / PAGE))
		return -ENOMEM;
	if (!range_is(m, ua, size, M_READ_WRITE)) {
		m->locked -= size / PAGE;
		return -EFAULT;
	}

	r = must_have(calloc(1, sizeof(*r)));
	r->ua = ua;
	r->pages = size / PAGE;
	r->held[c] = true;
	r->memory = must_have(calloc(r->pages, sizeof(*r->memory)));
	for (i = 0; i < r->pages; i++)
		r->memory[i] = m_page(m, ua + i * PAGE)->memory;
	r->next = m->regions;
	m->regions = r;
	return 0;
}

int m_register(struct model *m, int c, uint64_t ua, uint64_t size)
{
	struct m_container *box = &m->container[c];
	struct m_region *r;
	int ret = check_v2(m, c);

	if (ret)
		return ret;
	if (bad_range(m, ua, size))
		return -EINVAL;
	box->bound = true;
	if (held_region(m, c, ua, size))
		return -EBUSY;
	m_reap(m);
	r = region_at(m, ua);
	if (r && r->ua == ua && r->pages == size / PAGE)
		r->held[c] = true;
	else
		ret = region_new(m, c, ua, size);
	if (!ret)
		box->enabled = true;
	return ret;
}

int m_unregister(struct model *m, int c, uint64_t ua, uint64_t size)
{
	struct m_region *r;
	int ret = check_v2(m, c);

	if (ret)
		return ret;
	if (!m->container[c].bound)
		return -EPERM;
	if (bad_range(m, ua, size))
		return -EINVAL;
	r = held_region(m, c, ua, size);
	if (!r)
		return -ENOENT;
	r->held[c] = false;
	if (is_held(r))
		return 0;
	if (m_count(m, r)) {
		r->held[c] = true;
		return -EBUSY;
	}
	region_free(m, r);
	return 0;
}

static int create(struct model *m, int c, unsigned int shift, uint64_t size,
		  unsigned int levels, uint64_t *start)
{
	bool pending = m->container[c].default_pending;
	int num, ret = check_v2(m, c);
	uint64_t level_bytes;

	if (ret)
		return ret;
	m->container[c].bound = true;
	/* Wrong arguments are refused before anything is charged. */
	if (!pending && free_window(&m->container[c]) < 0)
		return -ENOSPC;
	if (!window_cost(m, shift, size, levels, &level_bytes))
		return -EINVAL;
	ret = default_create(m, c);
	if (ret)
		return ret;
	num = window_new(m, c, shift, size, levels);
	if (num < 0) {
		default_forget(m, c, pending);
		return num;
	}
	if (!start) {
		window_close(m, c, num);
		default_forget(m, c, pending);
		return -EFAULT;
	}
	*start = m->container[c].window[num]->start;
	return 0;
}

int m_create(struct model *m, int c, unsigned int shift, uint64_t size,
	     unsigned int levels, uint64_t *start)
{
	return create(m, c, shift, size, levels, start);
}

int m_create_untold(struct model *m, int c, unsigned int shift, uint64_t size,
		    unsigned int levels)
{
	return create(m, c, shift, size, levels, NULL);
}

int m_remove(struct model *m, int c, uint64_t start)
{
	struct m_container *box = &m->container[c];
	int num, ret = check_v2(m, c);

	if (ret)
		return ret;
	box->bound = true;
	if (box->default_pending && !start) {
		box->default_pending = false;
		return 0;
	}
	for (num = 0; num < M_WINDOWS; num++) {
		if (box->window[num] && box->window[num]->start == start) {
			window_close(m, c, num);
			return 0;
		}
	}
	return -EINVAL;
}

/* Memory that is pinned as it is mapped; all or nothing. */
static int map_pinned(struct model *m, struct m_window *w, uint64_t entry,
		      uint64_t nr, uint64_t ua, unsigned long perm)
{
	enum m_prot prot = perm & M_WRITE ? M_READ_WRITE : M_READ_ONLY;
	uint64_t i;

	if (!range_is(m, ua, nr << w->shift, prot))
		return -EFAULT;
	for (i = 0; i < nr; i++) {
		uint64_t at = ua + (i << w->shift);

		entries_set(w, (struct m_run){
			entry + i, 1, at, perm,
			m_page(m, at)->memory + (at & (PAGE - 1)),
		});
	}
	return 0;
}

/* @perm: 0 to unmap */
static int change(struct model *m, int c, uint64_t iova, uint64_t ua,
		  uint64_t size, unsigned long perm)
{
	struct m_window *w = window_at(&m->container[c], iova);
	uint64_t entry, nr;

	if (!w)
		return -ENXIO;
	entry = (iova - w->start) >> w->shift;
	nr = size >> w->shift;
	if ((iova | ua | size) & ((1UL << w->shift) - 1) || !nr ||
	    nr > w->entries - entry)
		return -EINVAL;
	if (!perm) {
		entries_clear(w, entry, nr);
		return 0;
	}
	if (!w->registered)
		return map_pinned(m, w, entry, nr, ua, perm);
	if (!can_point_to(m, ua, nr, w->shift))
		return -EINVAL;
	entries_set(w, (struct m_run){ entry, nr, ua, perm });
	return 0;
}

static int change_dma(struct model *m, int c, uint64_t iova, uint64_t ua,
		      uint64_t size, unsigned long perm)
{
	bool pending = m->container[c].default_pending;
	int ret = default_create(m, c);

	if (ret)
		return ret;
	ret = change(m, c, iova, ua, size, perm);
	/* With v1 the window stays until DISABLE. */
	if (ret && m->container[c].version == 2)
		default_forget(m, c, pending);
	return ret;
}

int m_map(struct model *m, int c, uint64_t iova, uint64_t ua, uint64_t size,
	  unsigned int flags)
{
	if (!m->container[c].version)
		return -EINVAL;
	if (!m->container[c].enabled)
		return -EPERM;
	/* The flags of the ioctl are the bits of a TCE */
	if (!flags || flags & ~M_PERM)
		return -EINVAL;
	return change_dma(m, c, iova, ua, size, flags);
}

int m_unmap(struct model *m, int c, uint64_t iova, uint64_t size)
{
	if (!m->container[c].version)
		return -EINVAL;
	if (!m->container[c].enabled)
		return -EPERM;
	return change_dma(m, c, iova, 0, size, 0);
}

int m_enable(struct model *m, int c)
{
	struct m_container *box = &m->container[c];

	if (!box->version)
		return -EINVAL;
	if (box->version == 2)
		return -ENOTTY;
	if (box->enabled)
		return -EBUSY;
	box->bound = true;
	if (!charge(m, m->machine.default_size / PAGE))
		return -ENOMEM;
	box->enabled = true;
	return 0;
}

int m_disable(struct model *m, int c)
{
	struct m_container *box = &m->container[c];
	int num;

	if (!box->version)
		return -EINVAL;
	if (box->version == 2)
		return -ENOTTY;
	if (!box->enabled)
		return 0;
	/* The window goes with what is mapped; the next MAP makes it again. */
	for (num = 0; num < M_WINDOWS; num++) {
		if (box->window[num])
			window_close(m, c, num);
	}
	box->default_pending = true;
	m->locked -= m->machine.default_size / PAGE;
	box->enabled = false;
	return 0;
}

int m_info(struct model *m, int c)
{
	return m->container[c].version ? 0 : -EINVAL;
}

char *m_reach(struct model *m, int g, uint64_t iova, unsigned long *perm)
{
	int c = m->group[g].container;
	struct m_window *w = c == M_NONE ? NULL :
			     window_at(&m->container[c], iova);
	uint64_t entry, off, ua;
	struct m_region *r;
	struct m_run *run;

	*perm = 0;
	if (!w)
		return NULL;
	entry = (iova - w->start) >> w->shift;
	off = iova & ((1UL << w->shift) - 1);
	run = entry_at(w, entry);
	if (!run)
		return NULL;
	*perm = run->perm;
	if (!w->registered)
		return run->memory + off;
	ua = run->ua + ((entry - run->first) << w->shift) + off;
	r = region_at(m, ua);
	if (!r)
		abort();
	return r->memory[(ua - r->ua) / PAGE] + (ua & (PAGE - 1));
}

/* ---- the guest ---- */

void m_vm_create(struct model *m)
{
	m->vm = true;
	memset(m->slot, 0, sizeof(m->slot));
}

static bool is_attached(const struct m_liobn *l, const struct m_window *w)
{
	unsigned int i;

	for (i = 0; i < l->windows; i++) {
		if (l->window[i] == w)
			return true;
	}
	return false;
}

int m_kvm_add(struct model *m, int g)
{
	if (m->group[g].in_kvm)
		return -EEXIST;
	m->group[g].in_kvm = true;
	return 0;
}

int m_kvm_del(struct model *m, int g)
{
	if (!m->group[g].in_kvm)
		return -ENOENT;
	m->group[g].in_kvm = false;
	return 0;
}

void m_vm_close(struct model *m)
{
	int g;

	for (g = 0; g < M_GROUPS; g++)
		m_kvm_del(m, g);
	m->vm = false;
}

int m_liobn_create(struct model *m, unsigned int l, unsigned int shift,
		   uint64_t offset, uint64_t size, unsigned long charge)
{
	struct m_liobn *t = &m->liobn[l];

	if (!size || shift < 12 || shift > 34 || offset + size < offset ||
	    offset + size > ~0UL >> shift)
		return -EINVAL;
	if (t->present)
		return -EBUSY;
	*t = (struct m_liobn){
		.present = true, .shift = shift, .offset = offset,
		.size = size, .charge = charge,
		.tce = must_have(calloc(size, sizeof(*t->tce))),
	};
	m->locked += charge;
	return 0;
}

/* All of the LIOBN's range is unmapped, by whomever it was mapped. */
void m_liobn_close(struct model *m, unsigned int l)
{
	struct m_liobn *t = &m->liobn[l];
	unsigned int i;

	for (i = 0; i < t->windows; i++)
		entries_clear(t->window[i], 0,
			      t->size << (t->shift - t->window[i]->shift));
	m->locked -= t->charge;
	free(t->tce);
	memset(t, 0, sizeof(*t));
}

static bool fits(const struct m_liobn *l, const struct m_window *w)
{
	return w->registered && w->shift <= l->shift &&
	       w->start == l->offset << l->shift &&
	       w->entries << w->shift >= l->size << l->shift;
}

int m_attach(struct model *m, int g, unsigned int l)
{
	struct m_liobn *t = &m->liobn[l];
	int c = m->group[g].container, num;
	struct m_window *w = NULL;

	if (!m->group[g].in_kvm)
		return -ENOENT;
	for (num = 0; c != M_NONE && !w && num < M_WINDOWS; num++) {
		w = m->container[c].window[num];
		if (w && !fits(t, w))
			w = NULL;
	}
	if (!w)
		return -EINVAL;
	if (is_attached(t, w))
		return 0;
	if (t->windows == M_LIOBN_WINDOWS)
		abort();
	t->window[t->windows++] = w;
	return 0;
}

static struct m_liobn *liobn_of(struct model *m, unsigned int l)
{
	return l < M_LIOBNS && m->liobn[l].present ? &m->liobn[l] : NULL;
}

static bool has(const struct m_liobn *l, uint64_t ioba, uint64_t n)
{
	uint64_t entry = ioba >> l->shift;

	return !(ioba & ((1UL << l->shift) - 1)) && entry >= l->offset &&
	       n <= l->size && entry - l->offset <= l->size - n;
}

/* Is a page of the LIOBN's at @gpa, whole, in a slot? Then where. */
static bool guest_page(struct model *m, const struct m_liobn *l, uint64_t gpa,
		       uint64_t *ua)
{
	int i;

	for (i = 0; i < M_SLOTS; i++) {
		const struct m_slot *s = &m->slot[i];

		if (gpa - s->gpa >= s->size)
			continue;
		*ua = s->ua + (gpa - s->gpa);
		return s->size - (gpa - s->gpa) >= 1UL << l->shift;
	}
	return false;
}

/* Could the tables of all devices take the entry? */
static bool can_put(struct model *m, struct m_liobn *l, uint64_t tce)
{
	uint64_t gpa = tce & ~M_PERM, ua;
	unsigned int i;

	if (!(tce & M_PERM))
		return true;
	if (gpa & ((1UL << l->shift) - 1) || !guest_page(m, l, gpa, &ua))
		return false;
	for (i = 0; i < l->windows; i++) {
		unsigned int shift = l->window[i]->shift;

		if (ua & ((1UL << shift) - 1) ||
		    !can_point_to(m, ua, 1UL << (l->shift - shift), shift))
			return false;
	}
	return true;
}

/* All that could fail has been looked at. */
static void put(struct model *m, struct m_liobn *l, uint64_t index,
		uint64_t tce)
{
	unsigned int i, sub;
	uint64_t ua = 0;

	if (tce & M_PERM)
		guest_page(m, l, tce & ~M_PERM, &ua);
	for (i = 0; i < l->windows; i++) {
		struct m_window *w = l->window[i];

		sub = l->shift - w->shift;
		if (tce & M_PERM)
			entries_set(w, (struct m_run){
				index << sub, 1UL << sub, ua, tce & M_PERM,
			});
		else
			entries_clear(w, index << sub, 1UL << sub);
	}
	l->tce[index] = tce;
}

long m_h_put(struct model *m, unsigned int l, uint64_t ioba, uint64_t tce)
{
	struct m_liobn *t = liobn_of(m, l);

	if (!t)
		return H_TOO_HARD;
	if (!has(t, ioba, 1))
		return H_PARAMETER;
	if (!can_put(m, t, tce))
		return H_TOO_HARD;
	put(m, t, (ioba >> t->shift) - t->offset, tce);
	return H_SUCCESS;
}

long m_h_put_list(struct model *m, unsigned int l, uint64_t ioba,
		  uint64_t list_gpa, const uint64_t *tces, uint64_t n)
{
	struct m_liobn *t = liobn_of(m, l);
	uint64_t i;

	if (!t)
		return H_TOO_HARD;
	if (n > MAX_LIST || list_gpa & 0xfff || !has(t, ioba, n))
		return H_PARAMETER;
	/* No list: it is not in the guest's memory */
	if (n && !tces)
		return H_TOO_HARD;
	for (i = 0; i < n; i++) {
		if (!can_put(m, t, tces[i]))
			return H_TOO_HARD;
	}
	for (i = 0; i < n; i++)
		put(m, t, (ioba >> t->shift) - t->offset + i, tces[i]);
	return H_SUCCESS;
}

long m_h_stuff(struct model *m, unsigned int l, uint64_t ioba, uint64_t tce,
	       uint64_t n)
{
	struct m_liobn *t = liobn_of(m, l);
	uint64_t i, first;
	unsigned int a;

	if (!t)
		return H_TOO_HARD;
	if (tce & M_PERM || !has(t, ioba, n))
		return H_PARAMETER;
	first = (ioba >> t->shift) - t->offset;
	for (a = 0; a < t->windows; a++) {
		struct m_window *w = t->window[a];
		unsigned int sub = t->shift - w->shift;

		entries_clear(w, first << sub, n << sub);
	}
	for (i = 0; i < n; i++)
		t->tce[first + i] = tce;
	return H_SUCCESS;
}

long m_h_get(struct model *m, unsigned int l, uint64_t ioba, uint64_t *tce)
{
	struct m_liobn *t = liobn_of(m, l);

	if (!t)
		return H_TOO_HARD;
	if (!has(t, ioba, 1))
		return H_PARAMETER;
	*tce = t->tce[(ioba >> t->shift) - t->offset];
	return H_SUCCESS;
}
