/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC's timer: one-shot, periodic and TSC-deadline (SDM vol. 3, 11.5.4). */
#include "lapic_internal.h"
#include "socle/cpu/regs.h"
#include "socle/cpu/tsc.h"
#include "socle/guest/cpuid.h"

_Static_assert(LAPIC_TIMER_HZ == NS_PER_SEC, "one tick before the divider is a nanosecond");

/* A guest that asks for more would only slow itself and others down. */
enum { MIN_PERIOD_NS = 50000 };

/* Ticks that are made up for at most: a guest that was stopped for long is not flooded. */
enum { MISSED_MAX = 250 };

enum { FAR_SECONDS = 1000000000 };

/* Divide configuration: bits 3, 1 and 0 (SDM vol. 3, figure 11-10). */
static unsigned divide_shift(const struct lapic *l)
{
	unsigned code = (l->timer_divide & 3) | (l->timer_divide >> 1 & 4);

	return (code + 1) & 7;
}

static uint32_t mode(const struct lapic *l)
{
	return l->lvt[LVT_TIMER] & LVT_TIMER_MODE;
}

static uint64_t period(const struct lapic *l)
{
	uint64_t ns = (uint64_t)l->timer_initial << divide_shift(l);

	return mode(l) == LVT_TIMER_PERIODIC ? MAX(ns, (uint64_t)MIN_PERIOD_NS) : ns;
}

/* Nobody would hear it: the ticks are worked out when somebody asks. */
static bool silent(const struct lapic *l)
{
	return mode(l) == LVT_TIMER_PERIODIC && (l->lvt[LVT_TIMER] & LVT_MASKED);
}

/* ns since timer_start, which may have been read from the clock of another CPU, a little ahead. */
static uint64_t elapsed(const struct lapic *l)
{
	uint64_t now = time_now();

	return now > l->timer_start ? now - l->timer_start : 0;
}

static void arm(struct lapic *l)
{
	if (l->timer_counts && !silent(l))
		timer_set(&l->timer, l->timer_start + period(l));
	else
		timer_cancel(&l->timer);
}

void lapic_timer_fire(struct timer *t)
{
	vcpu_request(&container_of(t, struct lapic, timer)->vcpu->base, VCPU_REQ_TIMER);
}

/* From the time it should have fired, so that periods add up. */
static void next_period(struct lapic *l)
{
	uint64_t late;

	l->timer_start += period(l);
	late = elapsed(l) / period(l);
	l->timer_start += late * period(l);
	/*
	 * A guest that counts ticks gets those, too, that it could not take in time; but not if
	 * they come so fast that it would never catch up.
	 */
	if (period(l) >= NS_PER_MS)
		l->timer_missed += MIN(late, (uint64_t)MISSED_MAX) + lapic_timer_waits(l);
	l->timer_missed = MIN(l->timer_missed, (uint32_t)MISSED_MAX);
	arm(l);
}

void lapic_timer_due(struct lapic *l)
{
	if (!__atomic_load_n(&l->timer.due, __ATOMIC_RELAXED) || !timer_claim(&l->timer))
		return;
	switch (mode(l)) {
	case LVT_TIMER_PERIODIC:
		next_period(l);
		break;
	case LVT_TIMER_DEADLINE:
		l->deadline = 0;
		break;
	default:
		l->timer_counts = false;
		break;
	}
	lapic_local(l, LVT_TIMER);
}

void lapic_timer_eoi(struct lapic *l)
{
	if (!l->timer_missed || mode(l) != LVT_TIMER_PERIODIC || lapic_timer_waits(l))
		return;
	l->timer_missed--;
	lapic_local(l, LVT_TIMER);
}

void lapic_timer_start(struct lapic *l, uint32_t initial)
{
	/* What expired before the guest wrote is not lost. */
	lapic_timer_due(l);
	if (mode(l) == LVT_TIMER_DEADLINE)
		return;
	l->timer_initial = initial;
	l->timer_counts = initial;
	l->timer_missed = 0;
	l->timer_start = time_now();
	arm(l);
}

void lapic_timer_divide(struct lapic *l, uint32_t value)
{
	lapic_timer_due(l);
	l->timer_divide = value & 0xb;
	if (l->timer_counts)
		lapic_timer_start(l, l->timer_initial);
}

void lapic_timer_lvt(struct lapic *l, uint32_t lvt)
{
	uint32_t old = mode(l);
	bool was_silent;

	lapic_timer_due(l);
	was_silent = silent(l);
	/* To the beginning of the current period, since nobody counted. */
	if (was_silent && l->timer_counts)
		l->timer_start += elapsed(l) / period(l) * period(l);
	l->lvt[LVT_TIMER] = lvt;
	/* To or from TSC-deadline disarms; one-shot and periodic go on with the same count. */
	if (mode(l) != old && ((mode(l) | old) & LVT_TIMER_DEADLINE)) {
		timer_cancel(&l->timer);
		l->timer_initial = 0;
		l->timer_counts = false;
		l->deadline = 0;
	} else if (silent(l) != was_silent) {
		arm(l);
	}
}

static void arm_deadline(struct lapic *l)
{
	uint64_t now = x86_guest_tsc(l->vcpu), left = l->deadline - now;

	/* One that has passed fires at once, one that is years away never. */
	if (!l->deadline)
		timer_cancel(&l->timer);
	else if (l->deadline <= now)
		timer_set(&l->timer, time_now());
	else if (left / tsc_hz > FAR_SECONDS)
		timer_set(&l->timer, TIME_NEVER);
	else
		timer_set(&l->timer, time_now() + mul_div(left, NS_PER_SEC, tsc_hz) + 1);
}

void lapic_timer_deadline(struct lapic *l, uint64_t tsc)
{
	lapic_timer_due(l);
	if (mode(l) != LVT_TIMER_DEADLINE)
		return;
	l->deadline = tsc;
	arm_deadline(l);
}

uint32_t lapic_timer_current(const struct lapic *l)
{
	uint64_t gone = elapsed(l);

	if (!l->timer_counts)
		return 0;
	if (mode(l) == LVT_TIMER_PERIODIC)
		gone %= period(l);
	return gone >= period(l) ? 0 : (period(l) - gone) >> divide_shift(l);
}
