/* SPDX-License-Identifier: BSD-2-Clause */
/* The time-stamp counter's rate, measured against the 8254. */
#ifndef SOCLE_CPU_TSC_H
#define SOCLE_CPU_TSC_H

#include "socle/base.h"

/*
 * Measures the TSC and, with it, the local APIC timer, once at boot; about 10 ms. False if the
 * 8254 does not count.
 */
bool tsc_calibrate(void);

/* How another CPU's TSC compares with the boot CPU's. */
struct tsc_difference {
	int64_t before, after; /* ticks ahead of the boot CPU's, before and after a correction */
	uint64_t round_trip;   /* ticks that the quickest comparison took: what is not known */
	bool corrected;
};

/*
 * On the boot CPU, while another is in tsc_compare_here(): compares, and corrects what is off by
 * more than the comparison's own time. @skew: ticks to put the other's TSC wrong first, for a
 * self-test. False if the other does not answer.
 */
bool tsc_compare_with(int64_t skew, struct tsc_difference *d);
void tsc_compare_here(void);

/* In Hz; 0 before tsc_calibrate(). */
extern uint64_t tsc_hz;

/* (ticks * tsc_to_ns) >> 32 are nanoseconds. */
extern uint64_t tsc_to_ns;

#endif
