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

/* In Hz; 0 before tsc_calibrate(). */
extern uint64_t tsc_hz;

/* (ticks * tsc_to_ns) >> 32 are nanoseconds. */
extern uint64_t tsc_to_ns;

#endif
