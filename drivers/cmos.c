/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads the machine's MC146818 clock. */
#include "socle/cpu/regs.h"
#include "socle/drivers/cmos.h"
#include "socle/string.h"

enum {
	CMOS_INDEX = 0x70, CMOS_DATA = 0x71,
	RTC_SECOND = 0, RTC_MINUTE = 2, RTC_HOUR = 4, RTC_DAY = 7, RTC_MONTH = 8, RTC_YEAR = 9,
	RTC_A = 10, RTC_B = 11, RTC_CENTURY = 0x32,
	RTC_C = 12, A_UPDATING = 0x80, A_RATE = 0xf, A_RATE_8HZ = 13, B_PERIODIC = 0x40, B_BINARY = 4, B_24H = 2, HOUR_PM = 0x80, TRIES = 1000000,
};

struct reading {
	uint8_t second, minute, hour, day, month, year, century;
};

static uint8_t cmos(uint8_t index)
{
	out8(CMOS_INDEX, index);
	return in8(CMOS_DATA);
}

static struct reading read_once(void)
{
	for (unsigned i = 0; i < TRIES && (cmos(RTC_A) & A_UPDATING); i++)
		cpu_pause();
	return (struct reading){cmos(RTC_SECOND), cmos(RTC_MINUTE), cmos(RTC_HOUR),   cmos(RTC_DAY),
				cmos(RTC_MONTH),  cmos(RTC_YEAR),   cmos(RTC_CENTURY)};
}

static unsigned number(uint8_t raw, bool binary)
{
	return binary ? raw : (raw >> 4) * 10 + (raw & 0xf);
}

/* Days from 1970-01-01 to the first of March of a year's "March year", then to the date. */
static uint64_t days(unsigned year, unsigned month, unsigned day)
{
	unsigned y = month <= 2 ? year - 1 : year;
	unsigned m = month <= 2 ? month + 9 : month - 3; /* March is 0 */

	return 365ull * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

uint64_t cmos_read_time(void)
{
	struct reading a = read_once(), b;
	uint8_t mode = cmos(RTC_B);
	bool binary = mode & B_BINARY, pm;
	unsigned hour, century;

	/* Twice the same: no update fell between. */
	for (unsigned i = 0; i < 8; i++) {
		b = a;
		a = read_once();
		if (!memcmp(&a, &b, sizeof(a)))
			break;
	}
	pm = !(mode & B_24H) && (a.hour & HOUR_PM);
	hour = number(mode & B_24H ? a.hour : a.hour & ~HOUR_PM, binary);
	if (!(mode & B_24H))
		hour = hour % 12 + (pm ? 12 : 0);
	century = number(a.century, binary);
	if (century < 19 || century > 29)
		century = 20;
	return days(century * 100 + number(a.year, binary), number(a.month, binary),
		    number(a.day, binary)) *
		       86400ull +
	       hour * 3600ull + number(a.minute, binary) * 60ull + number(a.second, binary);
}

void cmos_tick_start(void)
{
	uint8_t a = cmos(RTC_A), b;

	out8(CMOS_INDEX, RTC_A);
	out8(CMOS_DATA, (a & ~(A_UPDATING | A_RATE)) | A_RATE_8HZ);
	b = cmos(RTC_B);
	out8(CMOS_INDEX, RTC_B);
	out8(CMOS_DATA, b | B_PERIODIC);
	cmos_tick_acknowledge();
}

void cmos_tick_acknowledge(void)
{
	(void)cmos(RTC_C);
}
