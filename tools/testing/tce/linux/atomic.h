/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_LINUX_ATOMIC_H
#define _FUZZ_LINUX_ATOMIC_H

#include <linux/types.h>
#include <asm/barrier.h>

typedef struct {
	s64 counter;
} atomic64_t;

#define S64_MIN	INT64_MIN
#define S64_MAX	INT64_MAX

#define __fuzz_add(v, i) \
	__atomic_add_fetch(&(v)->counter, (i), __ATOMIC_SEQ_CST)
#define __fuzz_read(v)		__atomic_load_n(&(v)->counter, __ATOMIC_SEQ_CST)
#define __fuzz_set(v, i) \
	__atomic_store_n(&(v)->counter, (i), __ATOMIC_SEQ_CST)

#define atomic_inc(v)		((void)__fuzz_add(v, 1))
#define atomic_read(v)		__fuzz_read(v)

#define atomic_long_inc(v)	((void)__fuzz_add(v, 1))
#define atomic_long_dec(v)	((void)__fuzz_add(v, -1))
#define atomic_long_add(i, v)	((void)__fuzz_add(v, i))
#define atomic_long_sub(i, v)	((void)__fuzz_add(v, -(long)(i)))
#define atomic_long_read(v)	__fuzz_read(v)
#define atomic_long_set(v, i)	__fuzz_set(v, i)

#define atomic64_read(v)	__fuzz_read(v)
#define atomic64_set(v, i)	__fuzz_set(v, i)
#define atomic64_add(i, v)	((void)__fuzz_add(v, i))
#define atomic64_sub(i, v)	((void)__fuzz_add(v, -(s64)(i)))
#define atomic64_sub_return_release(i, v)	__fuzz_add(v, -(s64)(i))

#define xchg(ptr, new)	__atomic_exchange_n((ptr), (new), __ATOMIC_SEQ_CST)

#define cmpxchg(ptr, old, new)					\
({								\
	typeof(*(ptr)) __old = (old);				\
								\
	__atomic_compare_exchange_n((ptr), &__old, (new), 0,	\
				    __ATOMIC_SEQ_CST,		\
				    __ATOMIC_SEQ_CST);		\
	__old;							\
})

#define atomic64_cmpxchg(v, old, new)	cmpxchg(&(v)->counter, old, new)

static inline bool atomic64_add_unless(atomic64_t *v, s64 i, s64 unless)
{
	if (atomic64_read(v) == unless)
		return false;

	atomic64_add(i, v);

	return true;
}

#endif /* _FUZZ_LINUX_ATOMIC_H */
