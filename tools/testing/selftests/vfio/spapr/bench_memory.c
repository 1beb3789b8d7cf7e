// SPDX-License-Identifier: GPL-2.0-only
/* See bench_memory.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench_memory.h"
#include "bench_util.h"
#include "spapr_util.h"

static void *map_store(const struct store *s, void *at, unsigned long page,
		       unsigned long n)
{
	void *ua = mmap(at, n * page_size, PROT_READ | PROT_WRITE,
			MAP_SHARED | (at ? MAP_FIXED : 0), s->fd,
			page * page_size);

	if (ua == MAP_FAILED)
		bench_fail("mmap", -errno);
	return ua;
}

/* Addresses without memory, for more than the machine could back. */
static char *reserve(size_t bytes)
{
	char *ua = mmap(NULL, bytes + SZ_16M, PROT_NONE, MAP_PRIVATE |
			MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (ua == MAP_FAILED)
		bench_fail("addresses", -errno);
	return (char *)(((uintptr_t)ua + SZ_16M - 1) & -SZ_16M);
}

static bool adjacent(uint64_t a, uint64_t b)
{
	return a == b + 1 || b == a + 1;
}

bool is_contiguous(const void *ua, unsigned long n)
{
	uint64_t *pfn = malloc(n * 8);
	unsigned long i;

	must("/proc/self/pagemap", read_pfns(ua, pfn, n));
	for (i = 1; i < n && pfn[i] == pfn[i - 1] + 1; i++)
		;
	free(pfn);
	return i == n;
}

void store_new(struct store *s, int c, unsigned long pages)
{
	unsigned long i;
	char *ua;

	s->fd = memfd_create("store", MFD_CLOEXEC);
	s->pages = pages;
	s->pfn = malloc(pages * 8);
	if (s->fd < 0 || ftruncate(s->fd, pages * page_size))
		bench_fail("memfd", -errno);
	ua = map_store(s, NULL, 0, pages);
	for (i = 0; i < pages; i++)
		ua[i * page_size] = 1;
	must("register the store", spapr_register(c, ua, pages * page_size));
	must("/proc/self/pagemap", read_pfns(ua, s->pfn, pages));
	must("unregister", spapr_unregister(c, ua, pages * page_size));
	munmap(ua, pages * page_size);
}

struct page {
	uint64_t pfn;
	unsigned long at;
};

static int compare_pfn(const void *a, const void *b)
{
	const struct page *x = a, *y = b;

	return (x->pfn > y->pfn) - (x->pfn < y->pfn);
}

static struct page *sorted_pages(const struct store *s)
{
	struct page *page = malloc(s->pages * sizeof(*page));
	unsigned long i;

	for (i = 0; i < s->pages; i++)
		page[i] = (struct page){ s->pfn[i], i };
	qsort(page, s->pages, sizeof(*page), compare_pfn);
	return page;
}

/* Pages page[0], page[step], ... become one range of addresses. */
static char *lay_out(const struct store *s, const struct page *page,
		     unsigned long n, unsigned long step)
{
	char *ua = reserve(n * page_size);
	unsigned long i, len;

	for (i = 0; i < n; i += len) {
		for (len = 1; i + len < n && page[(i + len) * step].at ==
		     page[i * step].at + len; len++)
			;
		map_store(s, ua + i * page_size, page[i * step].at, len);
	}
	for (i = 0; i < n; i++)
		*(volatile char *)(ua + i * page_size) = 1;
	return ua;
}

char *store_contiguous(const struct store *s, unsigned long n)
{
	struct page *page = sorted_pages(s);
	unsigned long i, start = 0;
	char *ua;

	for (i = 1; i < s->pages && i - start < n; i++)
		if (page[i].pfn != page[i - 1].pfn + 1)
			start = i;
	if (i - start < n)
		bench_fail("contiguous memory", -ENOMEM);
	ua = lay_out(s, page + start, n, 1);
	free(page);
	if (!is_contiguous(ua, n))
		bench_fail("contiguous memory", -EIO);
	return ua;
}

char *store_fragmented(const struct store *s, unsigned long n)
{
	struct page *page = sorted_pages(s);
	uint64_t *pfn = malloc(n * 8);
	unsigned long i;
	char *ua;

	if (s->pages < 2 * n)
		bench_fail("memory to choose from", -ENOMEM);
	ua = lay_out(s, page, n, 2);
	must("/proc/self/pagemap", read_pfns(ua, pfn, n));
	for (i = 1; i < n; i++)
		if (adjacent(pfn[i - 1], pfn[i]))
			bench_fail("fragmented memory", -EIO);
	free(pfn);
	free(page);
	return ua;
}

char *store_repeated(const struct store *s, unsigned long times)
{
	size_t bytes = s->pages * page_size, i;
	char *ua = reserve(times * bytes), *p;

	for (i = 0; i < times; i++) {
		map_store(s, ua + i * bytes, 0, s->pages);
		for (p = ua + i * bytes; p < ua + (i + 1) * bytes;
		     p += page_size)
			*(volatile char *)p;
	}
	return ua;
}

char *store_in_runs(const struct store *s, unsigned long run,
		    unsigned long times, unsigned long *pages)
{
	struct page *all = sorted_pages(s), *some;
	unsigned long i, k, n = 0;
	char *ua;

	some = malloc(times * s->pages * sizeof(*some));
	/* A page between any two runs is left out. */
	for (i = 0; i + run < s->pages; i += run + 1) {
		if (all[i + run - 1].pfn != all[i].pfn + run - 1)
			continue;
		for (k = 0; k < run; k++)
			some[n++] = all[i + k];
	}
	for (i = n; i < times * n; i++)
		some[i] = some[i - n];
	*pages = times * n;
	ua = lay_out(s, some, *pages, 1);
	free(some);
	free(all);
	return ua;
}

static FILE *huge_file(unsigned int shift, const char *name, const char *mode)
{
	char path[100];

	snprintf(path, sizeof(path),
		 "/sys/kernel/mm/hugepages/hugepages-%lukB/%s",
		 1UL << (shift - 10), name);
	return fopen(path, mode);
}

/* Gigantic ones are there since boot, or not at all. */
static bool has_free_page(unsigned int shift)
{
	FILE *f = huge_file(shift, "free_hugepages", "r");
	unsigned long nr = 0;

	if (f && fscanf(f, "%lu", &nr) != 1)
		nr = 0;
	if (f)
		fclose(f);
	return nr;
}

static int have_huge_page(unsigned int shift)
{
	FILE *f;

	if (has_free_page(shift))
		return 0;
	f = huge_file(shift, "nr_overcommit_hugepages", "w");
	if (!f)
		return -1;
	fprintf(f, "16\n");
	return fclose(f);
}

static char *map_huge(void *at, unsigned int shift)
{
	char *ua = mmap(at, 1UL << shift, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
			(shift << MAP_HUGE_SHIFT) | (at ? MAP_FIXED : 0), -1,
			0);

	return ua == MAP_FAILED ? NULL : ua;
}

char *huge_page(unsigned int shift, size_t behind)
{
	if (have_huge_page(shift))
		return NULL;
	if (!behind)
		return map_huge(NULL, shift);
	/* The hash MMU has pages of one size in an area of addresses. */
	return map_huge(buf_alloc((1UL << shift) + behind, 1UL << shift),
			shift);
}
