/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owned TCE tables: lists that hypercalls write.
 *
 * Hypercalls know guest addresses and what userspace addresses these have. All
 * else is done here:
 *
 *   waiting for nothing, in real mode too   where that does not go
 *   tce_map_one_now()
 *   tce_list_read()  counts, translates     tce_list_count()  counts, allocates
 *   tce_list_write_now()                    tce_list_write()  cannot fail
 *   tce_unmap_now()                         tce_unmap_stashed()
 *
 * A caller with several tables counts for all of them before it writes to one.
 *
 * Outside of this folder only KVM calls these, so they are not in asm/.
 */
#ifndef _POWERPC_TCE_LIST_H
#define _POWERPC_TCE_LIST_H

#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/types.h>

#include <asm/asm-compat.h>
#include <asm/iommu.h>
#include <asm/mm_iommu.h>
#include <asm/tce.h>
#include <asm/tce_owner.h>

/* Entries that are written at once: a page of 4 KiB, see H_PUT_TCE_INDIRECT. */
#define TCE_LIST_MAX		512UL

/**
 * struct tce_list - consecutive entries that are to change
 * @tbl: the table
 * @entry: the first of them; all lie in the table
 * @nr: how many
 * @shift: log2 of how many of them an element of @page stands for
 * @nr_mapped: how many of them are to be mapped; counting finds out
 * @page: for each, or each 2^@shift of them, the userspace address, aligned to
 *	  as much memory as they map, and permission bits; 0 to unmap it
 * @ua: the same for each entry. Without @shift it may be @page; otherwise it
 *	has room for TCE_LIST_MAX
 * @tce: room for what goes to the table, TCE_LIST_MAX
 */
struct tce_list {
	struct iommu_table *tbl;
	unsigned long entry;
	unsigned long nr;
	unsigned int shift;
	unsigned long nr_mapped;
	u64 *page;
	u64 *ua;
	u64 *tce;
};

/**
 * struct tce_walk - the counting and translation of a list, entry by entry
 * @list: the list
 * @count: count what is translated
 * @perm: permissions of entries in @region, among other bits
 * @nr_unmapped: entries until now that are not to be mapped
 * @region: where the last address was; NULL at first
 * @counted: how many entries were counted in it
 * @counted_from: how many entries to be mapped came before these
 */
struct tce_walk {
	struct tce_list *list;
	bool count;
	u64 perm;
	unsigned long nr_unmapped;
	struct mm_iommu_region *region;
	unsigned long counted;
	unsigned long counted_from;
};

/**
 * struct tce_memory - guest memory that TCEs can point to
 * @gpa: its guest address
 * @bytes: of what pages can begin at, and permission bits; 0 if there is none
 * @delta: what makes a userspace address of a guest address
 */
struct tce_memory {
	unsigned long gpa;
	unsigned long bytes;
	unsigned long delta;
};

/**
 * typedef tce_find_memory_t - find the memory around a guest address
 * @guest: whose
 * @memory: where it goes
 * @tce: the address, with permission bits
 *
 * Context: As tce_list_read().
 * Return: false if it is not memory.
 */
typedef bool (*tce_find_memory_t)(const void *guest, struct tce_memory *memory,
				  u64 tce);

bool tce_walk_find(struct tce_walk *w, unsigned long i, unsigned long ua,
		   struct mm_iommu_extent *extent);
bool tce_walk_end(struct tce_walk *w, unsigned long i);
bool tce_list_translate(struct tce_list *list, bool count);
struct tce_list tce_list_piece(const struct tce_list *list, unsigned long i,
			       unsigned long end);

int tce_list_count_now(struct tce_list *list);
void tce_list_uncount_now(const struct tce_list *list);
int tce_list_write_now(const struct tce_list *list, bool real_mode);
int tce_map_one_now(struct iommu_table *tbl, unsigned long entry, u64 ua,
		    bool real_mode);
int tce_unmap_now(struct iommu_table *tbl, unsigned long entry,
		  unsigned long nr, bool real_mode);

int tce_list_count(const struct tce_list *list, struct tce_stash *stash);
void tce_list_uncount(const struct tce_list *list);
int tce_list_write(const struct tce_list *list, struct tce_stash *stash);
int tce_unmap_stashed(struct iommu_table *tbl, unsigned long entry,
		      unsigned long nr, struct tce_stash *stash);

const void *tce_rm_memory(struct iommu_table *tbl, unsigned long ua,
			  struct mm_iommu_region **pregion);

/**
 * tce_copy - copy entries, each by one store
 * @to: where to
 * @from: where from; does not overlap
 * @nr: how many
 *
 * Context: Any, real mode included: memcpy() may use vector registers.
 */
static __always_inline void tce_copy(u64 *to, const u64 *from, unsigned long nr)
{
	for (; nr >= 4; nr -= 4, to += 4, from += 4) {
		WRITE_ONCE(to[0], from[0]);
		WRITE_ONCE(to[1], from[1]);
		WRITE_ONCE(to[2], from[2]);
		WRITE_ONCE(to[3], from[3]);
	}
	for (; nr; nr--)
		WRITE_ONCE(*to++, *from++);
}

/**
 * tce_read_guest - read an entry of a guest's list
 * @tce: the entry
 *
 * By one instruction, because the guest may write to it meanwhile.
 *
 * Context: Any, real mode included.
 * Return: the entry, in the CPU's byte order.
 */
static __always_inline u64 tce_read_guest(const __be64 *tce)
{
	u64 value;

	asm volatile(LDX_BE " %0,%y1" : "=r" (value) : "Z" (*tce));

	return value;
}

static __always_inline void tce_walk_begin(struct tce_walk *w,
					   struct tce_list *list, bool count)
{
	w->list = list;
	w->count = count;
	w->perm = 0;
	w->nr_unmapped = 0;
	w->region = NULL;
}

/**
 * struct tce_guest_extent - guest memory of one slot in one extent of a region
 * @gpa: its guest address
 * @bytes: of what pages can begin at, and permission bits
 * @page: word of each page, see mm_iommu_word_hpa(); NULL if the pages are
 *	  contiguous
 * @ua: what makes a userspace address of a guest address
 * @hpa: without @page, what makes a TCE of a list's entry
 */
struct tce_guest_extent {
	unsigned long gpa;
	unsigned long bytes;
	const u64 *page;
	unsigned long ua;
	unsigned long hpa;
};

/* The part of a region's extent that the guest sees as @memory. */
static __always_inline void tce_clip_extent(const struct tce_memory *memory,
					    const struct mm_iommu_extent *from,
					    struct tce_guest_extent *to)
{
	unsigned long first, end;

	/* By userspace addresses: it may begin below guest address 0. */
	first = max(memory->gpa + memory->delta, from->ua);
	end = min(memory->gpa + memory->delta + memory->bytes,
		  from->ua + from->bytes);
	to->gpa = first - memory->delta;
	to->bytes = end - first;
	to->page = from->page;
	if (to->page)
		to->page += (first - from->ua) >> PAGE_SHIFT;
	to->ua = memory->delta;
	to->hpa = memory->delta + from->hpa - from->ua;
}

/* Find the memory of entry @i of a list, and its slot, if that is another. */
static __always_inline bool
tce_find_guest_extent(struct tce_walk *walk, unsigned long i, u64 tce,
		      tce_find_memory_t find, const void *guest,
		      struct tce_memory *memory,
		      struct mm_iommu_extent *extent)
{
	struct mm_iommu_extent found;

	if (tce - memory->gpa >= memory->bytes && !find(guest, memory, tce))
		return false;
	if (!tce_walk_find(walk, i, tce + memory->delta, &found))
		return false;
	/* A copy can be in registers. */
	*extent = found;

	return true;
}

/**
 * tce_list_read - read a guest's list, and have it counted and translated
 * @list: the list, without @shift; @ua, @tce and @nr_mapped are filled in
 * @tces: what the guest wrote; read once
 * @copy: where a copy of it goes; may be @tces
 * @find: finds guest memory; a function that can be inlined here
 * @guest: for @find
 *
 * Addresses that ascend are found with little, without a look at a slot or a
 * region for each.
 *
 * Context: Real mode, or in rcu_read_lock(). Memory's slots stay meanwhile.
 * Return: true; false, with nothing counted, if some of it is not aligned, not
 *	   guest memory, or not registered.
 */
static __always_inline bool tce_list_read(struct tce_list *list,
					  const __be64 *tces, u64 *copy,
					  tce_find_memory_t find,
					  const void *guest)
{
	const unsigned long perm = TCE_PCI_READ | TCE_PCI_WRITE;
	unsigned long nr = list->nr, all_bits = 0, bits = 0, i;
	u64 *ua = list->ua, *hw_tce = list->tce;
	struct mm_iommu_extent from = { 0 };
	struct tce_guest_extent to = { 0 };
	struct tce_memory memory = { 0 };
	struct tce_walk walk;

	tce_walk_begin(&walk, list, true);
	for (i = 0; i < nr; i++) {
		u64 tce = tce_read_guest(&tces[i]);

		copy[i] = tce;
		if (!(tce & perm)) {
			ua[i] = 0;
			hw_tce[i] = 0;
			walk.nr_unmapped++;
			continue;
		}
		if (tce - to.gpa >= to.bytes) {
			/* Often the memory is in one of the next few runs. */
			if (tce - memory.gpa >= memory.bytes ||
			    !mm_iommu_extent_ahead(walk.region,
						   tce + memory.delta, &from)) {
				walk.perm |= bits;
				all_bits |= bits;
				bits = 0;
				if (!tce_find_guest_extent(&walk, i, tce, find,
							   guest, &memory,
							   &from))
					break;
			}
			tce_clip_extent(&memory, &from, &to);
		}
		bits |= tce;
		ua[i] = tce + to.ua;
		hw_tce[i] = to.page ?
			    mm_iommu_word_hpa(to.page[(tce - to.gpa) >>
						      PAGE_SHIFT], tce) :
			    tce + to.hpa;
	}
	walk.perm |= bits;
	all_bits |= bits;

	if (!tce_walk_end(&walk, i))
		return false;
	if (!(all_bits & (IOMMU_PAGE_SIZE(list->tbl) - 1) & ~perm))
		return true;

	tce_list_uncount_now(list);

	return false;
}

#endif /* _POWERPC_TCE_LIST_H */
