/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory whose physical layout is known, for the benchmarks.
 */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A file of memory; it can be mapped in any order, and more than once. */
struct store {
	int fd;
	unsigned long pages;
	uint64_t *pfn;
};

/*
 * Needs container @c: registering moves what cannot be pinned where it is;
 * after that it stays.
 */
void store_new(struct store *s, int c, unsigned long pages);

/* These map, and touch, pages of a store. */

/* @n pages, each of which is where the one before it ends. */
char *store_contiguous(const struct store *s, unsigned long n);
/* No page has its physical neighbour before it or behind it. */
char *store_fragmented(const struct store *s, unsigned long n);
/* Runs of @run pages, no two of them adjacent, @times over. */
char *store_in_runs(const struct store *s, unsigned long run,
		    unsigned long times, unsigned long *pages);
/* The whole store @times over, one after another, as one range. */
char *store_repeated(const struct store *s, unsigned long times);

/*
 * A huge page of 1 << @shift bytes at an address aligned to it, with addresses
 * for @behind more bytes behind it; NULL if the machine has none.
 */
char *huge_page(unsigned int shift, size_t behind);

bool is_contiguous(const void *ua, unsigned long n);

#endif /* BENCH_MEMORY_H */
