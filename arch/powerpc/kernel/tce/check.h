/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The checker of owned tables, for those who call it. */
#ifndef _POWERPC_TCE_CHECK_H
#define _POWERPC_TCE_CHECK_H

#include <linux/types.h>

struct seq_file;

/**
 * struct tce_check - what a check found
 * @m: where each fault gets a line, or NULL
 * @tables: owned tables
 * @entries: entries that are mapped in them
 * @regions: registered regions
 * @faults: all that is wrong
 * @first: the first of the faults
 */
struct tce_check {
	struct seq_file *m;
	unsigned long tables;
	unsigned long entries;
	unsigned long regions;
	unsigned long faults;
	char first[120];
};

void tce_check_all(struct tce_check *c);

#endif /* _POWERPC_TCE_CHECK_H */
