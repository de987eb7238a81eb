/* SPDX-License-Identifier: BSD-2-Clause */
/* Time and the timer queue as those see them who drive them, not those who use them. */
#ifndef SOCLE_KERNEL_CLOCK_H
#define SOCLE_KERNEL_CLOCK_H

#include "socle/base.h"

/* Sets the TSC value that is time 0. Until the TSC is calibrated, time stands still at 0. */
void time_init(uint64_t boot_tsc);

/* Tells the wall time of now, in seconds since 1970-01-01 00:00 UTC. */
void time_set_wall(uint64_t seconds);

/* Nanoseconds since boot at TSC value @tsc. */
uint64_t time_of_tsc(uint64_t tsc);

/* Binds the timer interrupt. Once, after the local APIC is calibrated. */
void timers_init(void);

/* Fires what is due, for those who suspect that no interrupt will. Interrupts off. */
void timers_poll(void);

/* Timers armed on this CPU now. */
unsigned timers_armed(void);

#endif
