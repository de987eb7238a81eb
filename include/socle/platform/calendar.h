/* SPDX-License-Identifier: BSD-2-Clause */
/* Dates of the proleptic Gregorian calendar from and to seconds. */
#ifndef SOCLE_PLATFORM_CALENDAR_H
#define SOCLE_PLATFORM_CALENDAR_H

#include "socle/base.h"

struct calendar {
	unsigned year;	  /* e.g. 2024 */
	unsigned month;	  /* 1 to 12 */
	unsigned day;	  /* 1 to 31 */
	unsigned hour;	  /* 0 to 23 */
	unsigned minute;  /* 0 to 59 */
	unsigned second;  /* 0 to 59 */
	unsigned weekday; /* 1 Sunday to 7 Saturday; ignored by calendar_seconds() */
};

/* The UTC date of @seconds since 1970-01-01 00:00. */
struct calendar calendar_date(uint64_t seconds);

/*
 * Seconds since 1970-01-01 00:00 of a date, the inverse of calendar_date(). Years below 1970 count
 * as 1970; members beyond their range carry over into the next larger unit.
 */
uint64_t calendar_seconds(const struct calendar *date);

#endif
