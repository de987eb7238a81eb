/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's real-time clock. */
#ifndef SOCLE_DRIVERS_CMOS_H
#define SOCLE_DRIVERS_CMOS_H

#include "socle/base.h"

/* Reads the clock, taken to be UTC: seconds since 1970-01-01. About a second in the worst case. */
uint64_t cmos_read_time(void);

/* Turns on the clock's periodic interrupt, 8 a second; each must be acknowledged. */
void cmos_tick_start(void);
void cmos_tick_acknowledge(void);

#endif
