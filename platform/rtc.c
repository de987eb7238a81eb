/* SPDX-License-Identifier: BSD-2-Clause */
/* The MC146818 real-time clock: registers brought up to date when somebody looks. */
#include "socle/platform/rtc.h"
#include "socle/platform/board.h"
#include "socle/platform/calendar.h"
#include "socle/platform/irq.h"

/* Registers and CMOS bytes of a PC/AT. */
enum rtc_register {
	RTC_SECOND = 0x00,
	RTC_SECOND_ALARM = 0x01,
	RTC_MINUTE = 0x02,
	RTC_MINUTE_ALARM = 0x03,
	RTC_HOUR = 0x04,
	RTC_HOUR_ALARM = 0x05,
	RTC_WEEKDAY = 0x06,
	RTC_DAY = 0x07,
	RTC_MONTH = 0x08,
	RTC_YEAR = 0x09,
	RTC_A = 0x0a,
	RTC_B = 0x0b,
	RTC_C = 0x0c,
	RTC_D = 0x0d,
	CMOS_EQUIPMENT = 0x14,
	CMOS_BASE_KIB = 0x15,	   /* two bytes: memory below 640 KiB */
	CMOS_EXTENDED_KIB = 0x17,  /* two bytes: memory above 1 MiB, in KiB */
	CMOS_EXTENDED_KIB2 = 0x30, /* the same again */
	RTC_CENTURY = 0x32,
	CMOS_ABOVE_16M = 0x34, /* two bytes: from 16 MiB to 4 GiB, in 64 KiB */
	CMOS_ABOVE_4G = 0x5b,  /* three bytes: from 4 GiB on, in 64 KiB */
	CMOS_CPUS = 0x5f,      /* number of CPUs - 1 */
};

/* Bits of the registers A to D (MC146818 data sheet). */
enum rtc_bit {
	A_UIP = BIT(7),
	A_DIVIDER_RESET = 0x60, /* both set: the divider chain is held at 0 */
	A_RATE = 0x0f,
	A_DEFAULT = 0x26, /* 32768 Hz, 1024 interrupts a second */
	B_SET = BIT(7),
	B_PIE = BIT(6),
	B_AIE = BIT(5),
	B_UIE = BIT(4),
	B_DM = BIT(2), /* binary instead of BCD */
	B_24H = BIT(1),
	B_INTERRUPTS = B_PIE | B_AIE | B_UIE,
	C_IRQF = BIT(7),
	C_PF = BIT(6),
	C_AF = BIT(5),
	C_UF = BIT(4),
	D_VRT = BIT(7),
	HOUR_PM = BIT(7),
	ALARM_ANY = 0xc0, /* both set: the alarm does not look at this member */
};

#define UIP_NS	    244140ull /* UIP rises that long before an update: 8 ticks of 32768 Hz */
#define DIVIDER_HZ  32768ull
#define DAY_SECONDS 86400u
#define NO_MATCH    UINT32_MAX

/* Position of the divider chain, in ns; its whole seconds are when updates happen. */
static uint64_t chain(const struct rtc *rtc)
{
	return rtc->now + rtc->phase;
}

static uint64_t divider(const struct rtc *rtc)
{
	return mul_div(chain(rtc), DIVIDER_HZ, NS_PER_SEC);
}

/* The time at which the divider chain gets to @position ns. */
static uint64_t chain_time(const struct rtc *rtc, uint64_t position)
{
	return position - rtc->phase;
}

static bool held(const struct rtc *rtc)
{
	return (rtc->cmos[RTC_A] & A_DIVIDER_RESET) == A_DIVIDER_RESET;
}

static bool stopped(const struct rtc *rtc)
{
	return (rtc->cmos[RTC_B] & B_SET) || held(rtc);
}

static unsigned decode(const struct rtc *rtc, uint8_t raw)
{
	return rtc->cmos[RTC_B] & B_DM ? raw : (raw >> 4) * 10u + (raw & 15);
}

static uint8_t encode(const struct rtc *rtc, unsigned value)
{
	return (uint8_t)(rtc->cmos[RTC_B] & B_DM ? value : value / 10 << 4 | value % 10);
}

static unsigned decode_hour(const struct rtc *rtc, uint8_t raw)
{
	if (rtc->cmos[RTC_B] & B_24H)
		return decode(rtc, raw);
	return decode(rtc, raw & ~HOUR_PM) % 12 + (raw & HOUR_PM ? 12 : 0);
}

static uint8_t encode_hour(const struct rtc *rtc, unsigned hour)
{
	if (rtc->cmos[RTC_B] & B_24H)
		return encode(rtc, hour);
	return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static uint64_t get_time(const struct rtc *rtc)
{
	struct calendar date = {
		.year = decode(rtc, rtc->cmos[RTC_CENTURY]) * 100 +
			decode(rtc, rtc->cmos[RTC_YEAR]),
		.month = decode(rtc, rtc->cmos[RTC_MONTH]),
		.day = decode(rtc, rtc->cmos[RTC_DAY]),
		.hour = decode_hour(rtc, rtc->cmos[RTC_HOUR]),
		.minute = decode(rtc, rtc->cmos[RTC_MINUTE]),
		.second = decode(rtc, rtc->cmos[RTC_SECOND]),
	};

	return calendar_seconds(&date);
}

static void set_time(struct rtc *rtc, uint64_t seconds)
{
	struct calendar date = calendar_date(seconds);

	rtc->cmos[RTC_SECOND] = encode(rtc, date.second);
	rtc->cmos[RTC_MINUTE] = encode(rtc, date.minute);
	rtc->cmos[RTC_HOUR] = encode_hour(rtc, date.hour);
	rtc->cmos[RTC_WEEKDAY] = encode(rtc, date.weekday);
	rtc->cmos[RTC_DAY] = encode(rtc, date.day);
	rtc->cmos[RTC_MONTH] = encode(rtc, date.month);
	rtc->cmos[RTC_YEAR] = encode(rtc, date.year % 100);
	rtc->cmos[RTC_CENTURY] = encode(rtc, date.year / 100 % 100);
}

/* Seconds from the time @now until the alarm next matches: 1 to a day, or NO_MATCH. */
static uint32_t alarm_delay(const struct rtc *rtc, uint64_t now)
{
	uint8_t raw_s = rtc->cmos[RTC_SECOND_ALARM], raw_m = rtc->cmos[RTC_MINUTE_ALARM];
	uint8_t raw_h = rtc->cmos[RTC_HOUR_ALARM];
	bool any_s = raw_s >= ALARM_ANY, any_m = raw_m >= ALARM_ANY, any_h = raw_h >= ALARM_ANY;
	unsigned s = decode(rtc, raw_s), m = decode(rtc, raw_m), h = decode_hour(rtc, raw_h);
	unsigned from = (unsigned)(now % DAY_SECONDS), at = from + 1;

	if ((!any_s && s > 59) || (!any_m && m > 59) || (!any_h && h > 23))
		return NO_MATCH;
	/* Each step goes to the next time at which one more member matches: 6 are enough. */
	for (unsigned step = 0; step < 8; step++) {
		if (!any_h && at / 3600 % 24 != h)
			at = at / 3600 * 3600 + (h + 24 - at / 3600 % 24) % 24 * 3600;
		else if (!any_m && at / 60 % 60 != m)
			at = at / 60 * 60 + (m + 60 - at / 60 % 60) % 60 * 60;
		else if (!any_s && at % 60 != s)
			at += (s + 60 - at % 60) % 60;
		else
			return at - from;
	}
	return NO_MATCH;
}

/* Divider ticks between two periodic interrupts, 0 for none (data sheet, table 5). */
static uint64_t period(const struct rtc *rtc)
{
	unsigned rate = rtc->cmos[RTC_A] & A_RATE;

	if (!rate || held(rtc))
		return 0;
	if (rate <= 2) /* 1 and 2 stand for 8 and 9 with this time base */
		rate += 7;
	return BIT(rate - 1);
}

/* It is not earlier than before, whichever CPU asks. */
static void look_at_time(struct rtc *rtc)
{
	rtc->now = MAX(rtc->now, time_now());
}

/* Brings time and flags up to date. */
static void catch_up(struct rtc *rtc)
{
	uint64_t second, passed, tick, ticks = period(rtc), now;

	look_at_time(rtc);
	second = chain(rtc) / NS_PER_SEC;
	passed = second - rtc->updated;
	tick = divider(rtc);
	if (ticks && tick / ticks != rtc->periodic / ticks)
		rtc->cmos[RTC_C] |= C_PF;
	rtc->periodic = tick;
	rtc->updated = second;
	if (!passed || stopped(rtc))
		return;
	now = get_time(rtc);
	if (alarm_delay(rtc, now) <= passed)
		rtc->cmos[RTC_C] |= C_AF;
	rtc->cmos[RTC_C] |= C_UF;
	set_time(rtc, now + passed);
}

/* Drives the line; arms the timer for the next interrupt unless one is waiting to be seen. */
static void rtc_update(struct rtc *rtc)
{
	uint8_t enabled = rtc->cmos[RTC_B] & B_INTERRUPTS;
	bool irq = rtc->cmos[RTC_C] & enabled;
	uint64_t next = TIME_NEVER, ticks = period(rtc), at;
	uint32_t delay;

	if (irq != rtc->irq) {
		rtc->irq = irq;
		irq_line_set(rtc->board, IRQ_RTC, irq);
	}
	timer_cancel(&rtc->timer);
	if (irq || !enabled)
		return;
	if ((enabled & B_PIE) && ticks) {
		at = (rtc->periodic / ticks + 1) * ticks;
		next = chain_time(rtc, mul_div(at, NS_PER_SEC, DIVIDER_HZ) + 1);
	}
	if (enabled & (B_AIE | B_UIE) && !stopped(rtc)) {
		delay = enabled & B_UIE ? 1 : alarm_delay(rtc, get_time(rtc));
		at = chain_time(rtc, (rtc->updated + delay) * NS_PER_SEC);
		if (delay != NO_MATCH)
			next = MIN(next, at);
	}
	if (next != TIME_NEVER)
		timer_set(&rtc->timer, next);
}

static void rtc_fire(struct timer *timer)
{
	struct rtc *rtc = container_of(timer, struct rtc, timer);

	if (!board_timer_begin(rtc->board, timer))
		return;
	catch_up(rtc);
	rtc_update(rtc);
	board_timer_end(rtc->board);
}

static void write_a(struct rtc *rtc, uint8_t value)
{
	bool was_held = held(rtc);

	rtc->cmos[RTC_A] = value & ~A_UIP;
	/* Data sheet, "divider control": the first update is half a second after the release. */
	if (was_held && !held(rtc)) {
		rtc->phase += NS_PER_SEC - chain(rtc) % NS_PER_SEC + NS_PER_SEC / 2;
		rtc->phase %= NS_PER_SEC;
		rtc->updated = chain(rtc) / NS_PER_SEC;
	}
	rtc->periodic = divider(rtc);
}

static void write_b(struct rtc *rtc, uint8_t value)
{
	uint8_t changed = rtc->cmos[RTC_B] ^ value;
	uint64_t now = get_time(rtc);

	if (value & B_SET)
		value &= ~B_UIE;
	rtc->cmos[RTC_B] = value;
	/* The real chip leaves the registers in the old format. Nobody can want that. */
	if ((changed & (B_DM | B_24H)) && !(value & B_SET))
		set_time(rtc, now);
}

static void write_register(struct rtc *rtc, uint8_t value)
{
	unsigned index = (unsigned)array_index_nospec(rtc->index, RTC_CMOS_SIZE);

	catch_up(rtc);
	switch (index) {
	case RTC_A:
		write_a(rtc, value);
		break;
	case RTC_B:
		write_b(rtc, value);
		break;
	case RTC_C:
	case RTC_D:
		break;
	default:
		rtc->cmos[index] = value;
	}
	rtc_update(rtc);
}

static uint8_t read_register(struct rtc *rtc)
{
	unsigned index = (unsigned)array_index_nospec(rtc->index, RTC_CMOS_SIZE);
	uint8_t value;

	if (index > RTC_C && index != RTC_CENTURY)
		return rtc->cmos[index];
	catch_up(rtc);
	value = rtc->cmos[index];
	if (index == RTC_A) {
		if (!stopped(rtc) && chain(rtc) % NS_PER_SEC >= NS_PER_SEC - UIP_NS)
			value |= A_UIP;
	} else if (index == RTC_C) {
		if (value & rtc->cmos[RTC_B] & B_INTERRUPTS)
			value |= C_IRQF;
		rtc->cmos[RTC_C] = 0;
	}
	rtc_update(rtc);
	return value;
}

static uint64_t rtc_read(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size)
{
	/* The index cannot be read. */
	return offset ? read_register(container_of(r, struct rtc, region)) : UINT64_MAX;
}

static void rtc_write(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size,
		      uint64_t value)
{
	struct rtc *rtc = container_of(r, struct rtc, region);

	if (offset)
		write_register(rtc, (uint8_t)value);
	else
		rtc->index = value & (RTC_CMOS_SIZE - 1); /* bit 7 would mask the NMI */
}

static const struct io_ops rtc_ops = {.read = rtc_read, .write = rtc_write};

status_t rtc_init(struct rtc *rtc, struct io_bus *bus, struct board *board)
{
	rtc->board = board;
	timer_init(&rtc->timer, rtc_fire);
	rtc->region = (struct io_region){
		.ops = &rtc_ops, .name = "rtc", .base = 0x70, .len = 2, .widths = IO_8};
	rtc->cmos[RTC_A] = A_DEFAULT;
	rtc->cmos[RTC_B] = B_24H;
	look_at_time(rtc);
	rtc->updated = chain(rtc) / NS_PER_SEC;
	set_time(rtc, time_wall());
	return io_add_ports(bus, &rtc->region);
}

static void put_bytes(struct rtc *rtc, unsigned index, unsigned count, uint64_t value)
{
	value = MIN(value, BIT(8 * count) - 1);
	for (unsigned i = 0; i < count; i++)
		rtc->cmos[index + i] = (uint8_t)(value >> 8 * i);
}

void rtc_reset(struct rtc *rtc, const struct vm_settings *settings)
{
	uint64_t low = MIN(settings->memory, BOARD_LOW_RAM_END), now;

	timer_cancel(&rtc->timer);
	catch_up(rtc);
	now = get_time(rtc);
	rtc->cmos[RTC_A] = A_DEFAULT;
	rtc->cmos[RTC_B] = B_24H;
	rtc->cmos[RTC_C] = 0;
	rtc->cmos[RTC_D] = D_VRT;
	set_time(rtc, now);
	rtc->index = 0;
	rtc->irq = false;
	put_bytes(rtc, CMOS_EQUIPMENT, 1, BIT(1)); /* a coprocessor, no floppy disks */
	put_bytes(rtc, CMOS_BASE_KIB, 2, 640);
	put_bytes(rtc, CMOS_EXTENDED_KIB, 2, low > MiB ? (low - MiB) / KiB : 0);
	put_bytes(rtc, CMOS_EXTENDED_KIB2, 2, low > MiB ? (low - MiB) / KiB : 0);
	put_bytes(rtc, CMOS_ABOVE_16M, 2, low > 16 * MiB ? (low - 16 * MiB) / (64 * KiB) : 0);
	put_bytes(rtc, CMOS_ABOVE_4G, 3, (settings->memory - low) / (64 * KiB));
	put_bytes(rtc, CMOS_CPUS, 1, settings->cpus - 1);
}
