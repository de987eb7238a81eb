/* SPDX-License-Identifier: BSD-2-Clause */
/* Types and macros that every file may use: fixed-width integers, bits, arrays, attributes. */
#ifndef SOCLE_BASE_H
#define SOCLE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BIT(n)	      (1ull << (n))
#define MASK(hi, lo)  ((~0ull >> (63 - (hi))) & (~0ull << (lo)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define KiB (1ull << 10)
#define MiB (1ull << 20)
#define GiB (1ull << 30)

#define PAGE_SIZE  4096ull
#define PAGE_SHIFT 12
#define PAGE_MASK  (~(PAGE_SIZE - 1))

#define ALIGN_UP(x, a)	   (((x) + (a)-1) & ~((__typeof__(x))(a)-1))
#define ALIGN_DOWN(x, a)   ((x) & ~((__typeof__(x))(a)-1))
#define IS_ALIGNED(x, a)   (((x) & ((__typeof__(x))(a)-1)) == 0)
#define DIV_ROUND_UP(x, y) (((x) + (y)-1) / (y))

#define MIN(a, b)                                  \
	({                                         \
		__typeof__(a) min_a_ = (a);        \
		__typeof__(b) min_b_ = (b);        \
		min_a_ < min_b_ ? min_a_ : min_b_; \
	})
#define MAX(a, b)                                  \
	({                                         \
		__typeof__(a) max_a_ = (a);        \
		__typeof__(b) max_b_ = (b);        \
		max_a_ > max_b_ ? max_a_ : max_b_; \
	})

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define __must_check   __attribute__((warn_unused_result))
#define __noreturn     __attribute__((noreturn))
#define __packed       __attribute__((packed))
#define __aligned(n)   __attribute__((aligned(n)))
#define __unused       __attribute__((unused))
#define __noinline     __attribute__((noinline))
#define __cold	       __attribute__((cold))
#define __printf(f, a) __attribute__((format(printf, f, a)))
/* For the exit path: functions without arrays, in which a stack guard would guard nothing. */
#define __hot	     __attribute__((hot, no_stack_protector))
#define __section(s) __attribute__((section(s), used))
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))

#define barrier()	 __asm__ volatile("" ::: "memory")
#define READ_ONCE(x)	 (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

/*
 * Returns @index if it is below @size, else 0, by data dependency alone, so that a mispredicted
 * bounds check cannot index past the end under speculation. @size must be above 0.
 */
static __always_inline uint64_t array_index_nospec(uint64_t index, uint64_t size)
{
	uint64_t mask;

	/* cmp sets carry iff index < size; sbb spreads it: all ones below the size, else zero. */
	__asm__ volatile("cmp %1,%2; sbb %0,%0" : "=r"(mask) : "r"(size), "r"(index) : "cc");
	return index & mask;
}

/*
 * The same for a @size that is a power of two and an @index that was checked already, by one AND
 * that the compiler cannot take for redundant.
 */
static __always_inline uint64_t array_index_mask(uint64_t index, uint64_t size)
{
	__asm__("" : "+r"(index));
	return index & (size - 1);
}

#endif
