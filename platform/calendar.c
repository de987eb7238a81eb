/* SPDX-License-Identifier: BSD-2-Clause */
/* Dates of the proleptic Gregorian calendar from and to seconds. */
#include "socle/platform/calendar.h"

#define DAY	    86400ull
#define ERA_DAYS    146097u /* of 400 years, after which the calendar repeats */
#define EPOCH_DAYS  719468u /* from 0000-03-01 to 1970-01-01 */
#define EPOCH_YEAR  1970u
#define EPOCH_DAY   4u	 /* 1970-01-01 was a Thursday; days since Sunday */
#define MONTHS_DAYS 153u /* of five months, from March or from August on */

/*
 * Years are counted from March on, so that a leap day is the last of its year and the lengths of
 * the months before it follow one straight line: (153 * month + 2) / 5 days, March being 0.
 */
static uint64_t days_before(uint64_t year, unsigned month)
{
	return 365 * year + year / 4 - year / 100 + year / 400 + (MONTHS_DAYS * month + 2) / 5;
}

struct calendar calendar_date(uint64_t seconds)
{
	uint64_t days = seconds / DAY + EPOCH_DAYS, era = days / ERA_DAYS, rest = seconds % DAY;
	unsigned day = (unsigned)(days % ERA_DAYS);
	unsigned year, month;
	struct calendar date = {
		.hour = (unsigned)(rest / 3600),
		.minute = (unsigned)(rest / 60 % 60),
		.second = (unsigned)(rest % 60),
		.weekday = (unsigned)((seconds / DAY + EPOCH_DAY) % 7 + 1),
	};

	/* Days of the era without its leap days, as if all years had 365. */
	year = (day - day / (4 * 365) + day / 36524 - day / (ERA_DAYS - 1)) / 365;
	day -= (unsigned)days_before(year, 0);
	month = (5 * day + 2) / MONTHS_DAYS;
	date.day = day - (MONTHS_DAYS * month + 2) / 5 + 1;
	date.month = month < 10 ? month + 3 : month - 9;
	date.year = (unsigned)(400 * era + year + (date.month <= 2));
	return date;
}

uint64_t calendar_seconds(const struct calendar *date)
{
	unsigned month = date->month ? date->month - 1 : 0, year = date->year + month / 12;
	uint64_t days;

	month %= 12;
	if (year < EPOCH_YEAR)
		year = EPOCH_YEAR;
	days = days_before(month < 2 ? year - 1 : year, month < 2 ? month + 10 : month - 2);
	days += date->day ? date->day - 1 : 0;
	return (days - EPOCH_DAYS) * DAY + date->hour * 3600ull + date->minute * 60ull +
	       date->second;
}
