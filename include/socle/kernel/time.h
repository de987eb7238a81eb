/* SPDX-License-Identifier: BSD-2-Clause */
/* Time and timers: nanoseconds since boot, and call-backs at a given time. */
#ifndef SOCLE_KERNEL_TIME_H
#define SOCLE_KERNEL_TIME_H

#include "socle/base.h"

#define NS_PER_SEC 1000000000ull
#define NS_PER_MS  1000000ull
#define NS_PER_US  1000ull
#define TIME_NEVER UINT64_MAX

/* Nanoseconds since boot; never runs backwards. Any context. */
uint64_t time_now(void);

/* Seconds since 1970-01-01 00:00 UTC, from the machine's clock at boot plus time_now(). */
uint64_t time_wall(void);

/* a * mul / div with a 128-bit product; the quotient must fit in 64 bits, @div above 0. */
static inline uint64_t mul_div(uint64_t a, uint64_t mul, uint64_t div)
{
	uint64_t lo, hi, quot, rem;

	__asm__("mul %3" : "=a"(lo), "=d"(hi) : "a"(a), "r"(mul) : "cc");
	__asm__("div %4" : "=a"(quot), "=d"(rem) : "a"(lo), "d"(hi), "r"(div) : "cc");
	return quot;
}

/*
 * A one-shot timer. Embed it and use container_of() in @fire. Its owner serialises timer_set() and
 * timer_cancel(). @fire runs on the CPU that armed it, interrupts off, no lock held, and maybe at
 * the same time as the owner sets or cancels it elsewhere: so it takes the owner's lock first, and
 * then asks timer_claim() whether it is still meant.
 */
struct timer {
	uint64_t expires; /* ns since boot; meaningful while armed */
	void (*fire)(struct timer *timer);
	uint32_t slot; /* position in the CPU's queue + 1; 0 when not armed; that queue's lock */
	uint32_t cpu;  /* CPU whose queue holds, or last held it */
	bool due;      /* expired and not yet claimed; atomic */
};

/* Must be called once before anything else. */
void timer_init(struct timer *timer, void (*fire)(struct timer *timer));

/* Arms @timer for time @expires (ns since boot; may be past: fires soon), re-arming if armed. */
void timer_set(struct timer *timer, uint64_t expires);

/*
 * True if @timer has expired since it was last set or cancelled; once for each time. By its owner,
 * most often at the beginning of what fire() asks for.
 */
bool timer_claim(struct timer *timer);

/* Disarms; harmless if not armed. */
void timer_cancel(struct timer *timer);

static inline bool timer_armed(const struct timer *timer)
{
	return timer->slot != 0;
}

#endif
