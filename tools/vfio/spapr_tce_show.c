// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shows the DMA windows that processes own on POWER, and the memory that they
 * registered for them, as debugfs has them in powerpc/tce/.
 *
 *   spapr_tce_show [-r] [-w SECONDS] [FOLDER]
 *
 * One line for each window: whose it is, where, of how many levels, what is
 * charged for it and what is allocated, its chunks of 1024 entries by kind, and
 * the memory of the process: regions, their size, and the entries into them.
 * -r adds a line for each region. -w does it again and again.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOLDER		"/sys/kernel/debug/powerpc/tce"
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

typedef unsigned long long u64;

struct region {
	u64 address;
	u64 bytes;
	u64 entries;
	u64 containers;
	u64 runs;
};

struct window {
	u64 process;
	u64 version;
	u64 bus_address;
	u64 size;
	u64 page_shift;
	u64 levels;
	u64 closed;
	u64 charged;
	u64 table_allocated;
	u64 view_allocated;
	u64 chunks_empty;
	u64 chunks_run;
	u64 chunks_dense;
	struct region *region;
	size_t nr_regions;
};

static const struct field {
	const char *name;
	size_t offset;
} fields[] = {
#define FIELD(name)	{ #name, offsetof(struct window, name) }
	FIELD(process), FIELD(version), FIELD(bus_address), FIELD(size),
	FIELD(page_shift), FIELD(levels), FIELD(closed), FIELD(charged),
	FIELD(table_allocated), FIELD(view_allocated),
	FIELD(chunks_empty), FIELD(chunks_run), FIELD(chunks_dense),
};

static void add_region(struct window *w, const char *text)
{
	struct region r;

	if (sscanf(text, "%llx %llu %llu %llu %llu", &r.address, &r.bytes,
		   &r.entries, &r.containers, &r.runs) != 5)
		return;

	/* Room for a power of two of them. */
	if (!(w->nr_regions & (w->nr_regions - 1))) {
		size_t room = w->nr_regions ? 2 * w->nr_regions : 1;

		w->region = realloc(w->region, room * sizeof(r));
		if (!w->region) {
			fputs("spapr_tce_show: no memory\n", stderr);
			exit(1);
		}
	}
	w->region[w->nr_regions++] = r;
}

static void add_line(struct window *w, char *line)
{
	char *value = strchr(line, ' ');
	size_t i;

	if (!value)
		return;
	*value++ = 0;
	if (!strcmp(line, "region")) {
		add_region(w, value);
		return;
	}
	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		if (!strcmp(line, fields[i].name))
			*(u64 *)((char *)w + fields[i].offset) =
				strtoull(value, NULL, 0);
	}
}

/* False if the window went meanwhile. */
static bool read_window(const char *path, struct window *w)
{
	FILE *f = fopen(path, "r");
	char line[256];

	memset(w, 0, sizeof(*w));
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		add_line(w, line);
	fclose(f);
	return w->page_shift;
}

/* Bytes, by the largest unit that says them with up to four digits. */
static const char *size(u64 bytes, char *buf)
{
	const char *unit = " KMGTP";

	while (bytes >= 10000 && unit[1]) {
		bytes = (bytes + 512) >> 10;
		unit++;
	}
	sprintf(buf, *unit == ' ' ? "%llu" : "%llu%c", bytes, *unit);
	return buf;
}

static void show_head(void)
{
	printf("%8s %-18s %6s %5s %6s %7s %6s %6s %14s %7s %6s %9s\n",
	       "PROCESS", "BUS ADDRESS", "SIZE", "PAGE", "LEVELS", "CHARGED",
	       "TABLE", "VIEW", "EMPTY/RUN/DENSE", "REGIONS", "MEMORY",
	       "ENTRIES");
}

static void show_window(const struct window *w, bool regions)
{
	u64 bytes = 0, entries = 0;
	char b[6][16], chunks[64];
	size_t i;

	for (i = 0; i < w->nr_regions; i++) {
		bytes += w->region[i].bytes;
		entries += w->region[i].entries;
	}
	snprintf(chunks, sizeof(chunks), "%llu/%llu/%llu", w->chunks_empty,
		 w->chunks_run, w->chunks_dense);
	printf("%8llu 0x%-16llx %6s %5s %6llu %7s %6s %6s %15s %7zu %6s %9llu%s\n",
	       w->process, w->bus_address, size(w->size, b[0]),
	       size(1ULL << w->page_shift, b[1]), w->levels,
	       size(w->charged, b[2]), size(w->table_allocated, b[3]),
	       size(w->view_allocated, b[4]), chunks, w->nr_regions,
	       size(bytes, b[5]), entries, w->closed ? " closed" : "");

	for (i = 0; regions && i < w->nr_regions; i++) {
		const struct region *r = &w->region[i];

		printf("         region 0x%-12llx %6s  entries %llu  containers %llu",
		       r->address, size(r->bytes, b[0]), r->entries,
		       r->containers);
		if (r->runs)
			printf("  runs %llu\n", r->runs);
		else
			puts("  a word a page");
	}
}

/* Files of windows begin with the number of their process. */
static int is_window(const struct dirent *d)
{
	return d->d_name[0] >= '0' && d->d_name[0] <= '9';
}

static int show(const char *folder, bool regions)
{
	struct dirent **names;
	int n, i;

	n = scandir(folder, &names, is_window, versionsort);
	if (n < 0) {
		fprintf(stderr, "spapr_tce_show: %s: %s\n", folder,
			strerror(errno));
		return 1;
	}

	show_head();
	for (i = 0; i < n; i++) {
		struct window w;
		char path[512];

		snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
		if (read_window(path, &w))
			show_window(&w, regions);
		free(w.region);
		free(names[i]);
	}
	free(names);
	fflush(stdout);
	return 0;
}

static int explain(void)
{
	fputs("usage: spapr_tce_show [-r] [-w SECONDS] [FOLDER]\n"
	      "  -r  show regions as well\n"
	      "  -w  again and again, so many seconds apart\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	const char *folder = FOLDER;
	bool regions = false;
	int seconds = 0, ret, opt;

	while ((opt = getopt(argc, argv, "rw:")) != -1) {
		if (opt == 'r')
			regions = true;
		else if (opt == 'w' && atoi(optarg) > 0)
			seconds = atoi(optarg);
		else
			return explain();
	}
	if (optind < argc)
		folder = argv[optind++];
	if (optind < argc)
		return explain();

	for (;;) {
		/* A terminal is cleared first, and shows one state at a time. */
		if (seconds && isatty(1))
			fputs("\033[H\033[2J", stdout);
		ret = show(folder, regions);
		if (ret || !seconds)
			return ret;
		sleep(seconds);
		if (!isatty(1))
			putchar('\n');
	}
}
