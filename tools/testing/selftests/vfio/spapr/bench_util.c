// SPDX-License-Identifier: GPL-2.0-only
/* See bench_util.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bench_util.h"

#define NS_PER_S	1000000000.0

static double ns_per_tick;
static double empty_cost;

void bench_fail(const char *what, int ret)
{
	printf("FAILED: %s: %s\n", what, ret < 0 ? strerror(-ret) :
	       "a positive number");
	exit(1);
}

/* Of all processors the same: "timebase : 512000000" */
static double timebase_hz(void)
{
	FILE *f = fopen("/proc/cpuinfo", "r");
	double hz = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "timebase", 8))
			hz = strtod(strchr(line, ':') + 1, NULL);
	if (!hz)
		bench_fail("timebase in /proc/cpuinfo", -2);
	fclose(f);
	return hz;
}

struct on_cpu {
	unsigned int cpu;
	void (*fn)(unsigned int cpu, void *arg);
	void *arg;
};

static void *run_on_cpu(void *arg)
{
	const struct on_cpu *on = arg;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(on->cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		bench_fail("sched_setaffinity", -errno);
	on->fn(on->cpu, on->arg);
	return NULL;
}

void bench_on_two_cpus(void (*fn)(unsigned int cpu, void *arg), void *arg)
{
	struct on_cpu on = { .fn = fn, .arg = arg };
	pthread_t thread;

	for (; on.cpu < 2; on.cpu++) {
		if (pthread_create(&thread, NULL, run_on_cpu, &on))
			bench_fail("thread", -errno);
		pthread_join(thread, NULL);
	}
}

void bench_init(void)
{
	struct runs runs = { 0 };
	int i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	ns_per_tick = NS_PER_S / timebase_hz();
	for (i = 0; i < 32; i++)
		runs_add(&runs, MEASURE((void)0));
	empty_cost = runs_min(&runs);
}

double bench_insns(uint64_t start, uint64_t end)
{
	double insns = (end - start) * ns_per_tick - empty_cost;

	return insns > 0 ? insns : 0;
}

void runs_add(struct runs *runs, double value)
{
	if (runs->nr < BENCH_MAX_RUNS)
		runs->value[runs->nr++] = value;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

double runs_min(struct runs *runs)
{
	qsort(runs->value, runs->nr, sizeof(runs->value[0]), compare);
	return runs->value[0];
}

double runs_median(struct runs *runs)
{
	qsort(runs->value, runs->nr, sizeof(runs->value[0]), compare);
	return runs->value[runs->nr / 2];
}

void runs_print(struct runs *runs, const char *unit, double per,
		const char *row, ...)
{
	double min = runs_min(runs);
	va_list ap;

	printf("bench ");
	va_start(ap, row);
	vprintf(row, ap);
	va_end(ap);
	printf(" %.2f %s median %.2f runs %u\n", min / per, unit,
	       runs->value[runs->nr / 2] / per, runs->nr);
	runs->nr = 0;
}

void bench_print(const char *unit, double value, const char *row, ...)
{
	va_list ap;

	printf("bench ");
	va_start(ap, row);
	vprintf(row, ap);
	va_end(ap);
	printf(" %.2f %s median %.2f runs 1\n", value, unit, value);
}
