/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The promises of the spapr TCE containers' ABI, as a plain program: no system
 * calls, no concurrency, nothing that is fast. Each function does to the model
 * what a call does to the kernel, and returns what the call has to return; see
 * Documentation/arch/powerpc/vfio-spapr-tce/abi.rst.
 *
 * Nothing is counted along the way. How many entries point into a region is
 * found by looking at all entries of all windows, what is pinned by looking at
 * all regions. So the model can't drift as what it is a model of might.
 *
 * The process has areas of memory, whose pages it may move, take away and make
 * read-only. A page knows where else its memory can be looked at: what a device
 * reaches is the memory that a page had when it was registered.
 */
#ifndef SPAPR_MODEL_H
#define SPAPR_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define M_CONTAINERS	2
#define M_GROUPS	2
#define M_WINDOWS	2
#define M_LIOBNS	3
#define M_AREAS		64
#define M_SLOTS		3
#define M_LIOBN_WINDOWS	8
#define M_NONE		(-1)
#define M_NO_LIMIT	(~0UL)

#define M_READ		1UL
#define M_WRITE		2UL
#define M_PERM		(M_READ | M_WRITE)

/* Properties of the machine and its kernel. */
struct m_machine {
	unsigned int page_shift;
	/* what GET_INFO tells */
	uint64_t pgsizes;
	unsigned int levels;
	uint64_t default_size;
	/* the largest level that there is memory for, in bytes */
	uint64_t max_level;
};

enum m_prot { M_HOLE, M_NO_ACCESS, M_READ_ONLY, M_READ_WRITE };

struct m_page {
	enum m_prot prot;
	char *memory;
};

struct m_area {
	uint64_t ua;
	unsigned long pages;
	struct m_page *page;
	/* is contiguous in aligned pieces of this size */
	unsigned int contiguous;
};

struct m_region {
	struct m_region *next;
	uint64_t ua;
	unsigned long pages;
	bool held[M_CONTAINERS];
	char **memory;
};

/* Entries that are mapped to consecutive addresses. */
struct m_run {
	uint64_t first;
	uint64_t nr;
	uint64_t ua;
	unsigned long perm;
	/* of a window without registered memory, where @nr is 1 */
	char *memory;
};

struct m_window {
	struct m_window *next;
	bool registered;
	unsigned int shift;
	uint64_t start;
	uint64_t entries;
	unsigned long charge;
	struct m_run *run;
	unsigned long runs;
	unsigned long room;
};

struct m_container {
	/* 0 while there is no IOMMU set, 1 or 2 */
	unsigned int version;
	unsigned int groups;
	bool bound;
	bool enabled;
	bool default_pending;
	struct m_window *window[M_WINDOWS];
};

struct m_group {
	int container;
	bool device_open;
	bool in_kvm;
};

struct m_slot {
	uint64_t gpa;
	uint64_t ua;
	uint64_t size;
};

struct m_liobn {
	bool present;
	unsigned int shift;
	uint64_t offset;
	uint64_t size;
	uint64_t *tce;
	/* the windows that it changes */
	unsigned int windows;
	struct m_window *window[M_LIOBN_WINDOWS];
	/* in pages; as it was seen when it was made */
	unsigned long charge;
};

struct model {
	struct m_machine machine;
	unsigned int areas;
	struct m_area area[M_AREAS];
	struct m_region *regions;
	struct m_window *windows;
	struct m_container container[M_CONTAINERS];
	struct m_group group[M_GROUPS];
	bool vm;
	struct m_slot slot[M_SLOTS];
	struct m_liobn liobn[M_LIOBNS];
	/* in pages */
	unsigned long locked;
	unsigned long limit;
};

void m_init(struct model *m, const struct m_machine *machine);
void m_exit(struct model *m);
/* Returns its number; all pages are of @prot, their memory is @memory. */
unsigned int m_area_add(struct model *m, uint64_t ua, unsigned long pages,
			enum m_prot prot, char *memory,
			unsigned int contiguous);
struct m_page *m_page(struct model *m, uint64_t ua);

/* Groups and containers */
int m_join(struct model *m, int c, int g);
int m_leave(struct model *m, int g);
int m_set_iommu(struct model *m, int c, unsigned int version);
int m_open_device(struct model *m, int g);

/* The ioctls */
enum m_flaw { M_SHORT, M_FLAGS, M_FAULT };
enum m_call {
	M_REGISTER, M_UNREGISTER, M_CREATE, M_REMOVE, M_MAP, M_UNMAP,
	M_GET_INFO, M_CALLS
};

/* Any of them with an argument that is not right in itself */
int m_flawed(struct model *m, int c, enum m_call call, enum m_flaw flaw);
int m_register(struct model *m, int c, uint64_t ua, uint64_t size);
int m_unregister(struct model *m, int c, uint64_t ua, uint64_t size);
int m_create(struct model *m, int c, unsigned int shift, uint64_t size,
	     unsigned int levels, uint64_t *start);
/* The same, with nowhere to write the result to */
int m_create_untold(struct model *m, int c, unsigned int shift, uint64_t size,
		    unsigned int levels);
int m_remove(struct model *m, int c, uint64_t start);
int m_map(struct model *m, int c, uint64_t iova, uint64_t ua, uint64_t size,
	  unsigned int flags);
int m_unmap(struct model *m, int c, uint64_t iova, uint64_t size);
int m_enable(struct model *m, int c);
int m_disable(struct model *m, int c);
int m_info(struct model *m, int c);

/* The guest */
void m_vm_create(struct model *m);
void m_vm_close(struct model *m);
/* @charge: what it was seen to cost, should it succeed */
int m_liobn_create(struct model *m, unsigned int l, unsigned int shift,
		   uint64_t offset, uint64_t size, unsigned long charge);
void m_liobn_close(struct model *m, unsigned int l);
int m_kvm_add(struct model *m, int g);
int m_kvm_del(struct model *m, int g);
int m_attach(struct model *m, int g, unsigned int l);
long m_h_put(struct model *m, unsigned int l, uint64_t ioba, uint64_t tce);
long m_h_put_list(struct model *m, unsigned int l, uint64_t ioba,
		  uint64_t list_gpa, const uint64_t *tces, uint64_t n);
long m_h_stuff(struct model *m, unsigned int l, uint64_t ioba, uint64_t tce,
	       uint64_t n);
long m_h_get(struct model *m, unsigned int l, uint64_t ioba, uint64_t *tce);

/* These can be seen */

/* Where a group's device gets at a bus address; NULL if nowhere. */
char *m_reach(struct model *m, int g, uint64_t iova, unsigned long *perm);
/* Entries that point into a region. */
unsigned long m_count(struct model *m, const struct m_region *r);
/* Pages that are pinned, each as often as it is. */
unsigned long m_pinned(struct model *m);
/*
 * The kernel gives up regions that nobody holds or maps: within about a second
 * by itself, or when a call wants their charge. Were there any?
 */
bool m_reap(struct model *m);

#endif
