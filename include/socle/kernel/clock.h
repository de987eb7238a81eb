/* SPDX-License-Identifier: BSD-2-Clause */
/* Time and the timer queue as those see them who drive them, not those who use them. */
#ifndef SOCLE_KERNEL_CLOCK_H
#define SOCLE_KERNEL_CLOCK_H

#include "socle/base.h"
#include "socle/status.h"

/* Sets the TSC value that is time 0. Until the TSC is calibrated, time stands still at 0. */
void time_init(uint64_t boot_tsc);

/* Tells the wall time of now, in seconds since 1970-01-01 00:00 UTC. */
void time_set_wall(uint64_t seconds);

/* Nanoseconds since boot at TSC value @tsc. */
uint64_t time_of_tsc(uint64_t tsc);

/* Makes this CPU's queue. Once on each CPU, when its local APIC's timer can be used. */
status_t __must_check timers_init(void);

/*
 * Makes room for @more timers than before, on every CPU, since they may all come to one. On the
 * boot CPU, before they are first set. Returns -S_NOMEM.
 */
status_t __must_check timers_reserve(unsigned more);

/* Fires what is due, for those who suspect that no interrupt will. Interrupts off. */
void timers_poll(void);

/* Timers armed on this CPU now. */
unsigned timers_armed(void);

#endif
