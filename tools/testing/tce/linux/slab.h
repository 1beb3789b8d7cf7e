/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_LINUX_SLAB_H
#define _FUZZ_LINUX_SLAB_H

#include <errno.h>

#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/overflow.h>
#include <linux/sched.h>

void *kmalloc(size_t bytes, gfp_t gfp);
void kfree(const void *object);

#define kzalloc(bytes, gfp)		kmalloc(bytes, (gfp) | __GFP_ZERO)
#define kzalloc_node(bytes, gfp, node)	kzalloc(bytes, gfp)
#define kmalloc_array(nr, bytes, gfp)	kmalloc((nr) * (bytes), gfp)
#define kcalloc(nr, bytes, gfp)		kzalloc((nr) * (bytes), gfp)

#define alloc_pages_exact(bytes, gfp)	kmalloc(bytes, gfp)
#define free_pages_exact(pages, bytes)	kfree(pages)

#endif /* _FUZZ_LINUX_SLAB_H */
