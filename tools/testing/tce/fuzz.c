// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Shared by the fuzzers: the input, memory and grace periods.
 */

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include <linux/log2.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/string.h>

#include "fuzz.h"

struct fuzz_world world;

static struct rcu_head *waiting_rcu, *waiting_srcu;

void fuzz_fail(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

u64 take(struct input *in, unsigned int nr_bytes)
{
	u64 value = 0;

	while (nr_bytes--) {
		value <<= 8;
		if (!in->size)
			continue;
		value |= *in->data++;
		in->size--;
	}

	return value;
}

/* From 0 to @bound - 1, by no more bytes than it takes. */
u64 take_below(struct input *in, u64 bound)
{
	unsigned int nr_bytes = 1;

	while (nr_bytes < 8 && (bound - 1) >> (8 * nr_bytes))
		nr_bytes++;

	return take(in, nr_bytes) % bound;
}

/* Aligned to its size, if that is a power of two, as the kernel's is. */
void *kmalloc(size_t bytes, gfp_t gfp)
{
	size_t align = is_power_of_2(bytes) ? bytes : 16;
	void *object;

	if (gfpflags_allow_blocking(gfp))
		require(!world.preempt_count);
	world.nr_asked++;

	if (world.max_bytes && bytes > world.max_bytes)
		return NULL;

	if (world.fail_in && !--world.fail_in) {
		world.nr_failed++;
		return NULL;
	}

	if (posix_memalign(&object, align < 16 ? 16 : align, bytes))
		abort();

	world.nr_objects++;
	world.nr_bytes += bytes;
	/* Nobody may count on what is in there. */
	memset(object, gfp & __GFP_ZERO ? 0 : 0xa5, bytes);

	return object;
}

void kfree(const void *object)
{
	if (!object)
		return;

	world.nr_objects--;
	world.nr_bytes -= malloc_usable_size((void *)object);
	free((void *)object);
}

void call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head))
{
	head->func = func;
	head->next = waiting_rcu;
	waiting_rcu = head;
}

void call_srcu(struct srcu_struct *srcu, struct rcu_head *head,
	       void (*func)(struct rcu_head *head))
{
	head->func = func;
	head->next = waiting_srcu;
	waiting_srcu = head;
}

static void call_all(struct rcu_head **list)
{
	struct rcu_head *head = *list, *next;

	*list = NULL;
	for (; head; head = next) {
		next = head->next;
		head->func(head);
	}
}

/* All readers have left; what was waiting for that goes. */
void grace_period(void)
{
	call_all(&waiting_srcu);
	call_all(&waiting_rcu);
}

void world_begin(void)
{
	memset(&world, 0, sizeof(world));
}

void world_end(void)
{
	grace_period();
	require(!world.nr_objects);
	require(!world.nr_bytes);
	require(!world.preempt_count);
}

/* Freed memory is not used again for a while: not for 256 MB. */
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=16";
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = { .data = data, .size = size };

	world_begin();
	fuzz_one(&in);
	world_end();

	return 0;
}
