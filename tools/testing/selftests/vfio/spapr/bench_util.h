/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared by the benchmarks. Time is read from the timebase; on a machine that
 * counts instructions (QEMU's -icount shift=0,sleep=off) a nanosecond is one
 * instruction, and the counts repeat exactly.
 *
 * A result is one line:
 *   bench ROW VALUE UNIT median MEDIAN runs N
 * where VALUE is the smallest of N runs. ROW is a name, or name/x for a point
 * of a curve.
 */
#ifndef BENCH_UTIL_H
#define BENCH_UTIL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define BENCH_MAX_RUNS	64

struct runs {
	unsigned int nr;
	double value[BENCH_MAX_RUNS];
};

static inline uint64_t bench_ticks(void)
{
	uint64_t t;

	asm volatile("mftb %0" : "=r" (t) : : "memory");
	return t;
}

/* Measures what measuring costs; to be called first. */
void bench_init(void);
/* Instructions between two readings, without the cost of reading. */
double bench_insns(uint64_t start, uint64_t end);

/* The instructions that an expression takes. */
#define MEASURE(expression) ({			\
	uint64_t start_ = bench_ticks();	\
						\
	expression;				\
	bench_insns(start_, bench_ticks());	\
})

void runs_add(struct runs *runs, double value);
double runs_min(struct runs *runs);
double runs_median(struct runs *runs);
/* Prints the runs, each divided by @per, and empties them. */
void runs_print(struct runs *runs, const char *unit, double per,
		const char *row, ...) __attribute__((format(printf, 4, 5)));
void bench_print(const char *unit, double value, const char *row, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * For a log of the stores of operation @n, from 1 to 31, or of none any more, 0:
 * a no-op that tools/testing/powernv/shared_lines.c knows.
 */
#define MARK(n) \
	({ asm volatile("xoris %0,%0,0" : : "i" (n) : "memory"); })

/*
 * How far apart the entries are that two CPUs change: their chunks' words, and
 * the locks of the guest's table, are in lines of their own.
 */
#define LINES_APART	((2UL << 30) + (32UL << 20))
/* So many that there is no tick in one of them. */
#define LINES_CALLS	32U

/* Has threads on CPU 0, and then on CPU 1, call a function with that number. */
void bench_on_two_cpus(void (*fn)(unsigned int cpu, void *arg), void *arg);

void bench_fail(const char *what, int ret) __attribute__((noreturn));
/* Ends the program unless a call has returned 0. */
static inline void must(const char *what, int ret)
{
	if (ret)
		bench_fail(what, ret);
}

#endif
