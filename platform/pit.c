/* SPDX-License-Identifier: BSD-2-Clause */
/* The 8254 interval timer: counters computed from the time, never counted down. */
#include "socle/platform/pit.h"
#include "socle/platform/board.h"
#include "socle/platform/irq.h"

/* The control word and the read-back command (8254 data sheet). */
enum pit_control {
	CONTROL_BCD = BIT(0),
	CONTROL_MODE_SHIFT = 1,
	CONTROL_ACCESS_SHIFT = 4,
	CONTROL_CHANNEL_SHIFT = 6,
	ACCESS_LATCH = 0,
	ACCESS_LOW = 1,
	ACCESS_HIGH = 2,
	ACCESS_BOTH = 3,
	READ_BACK = 3, /* in place of a channel */
	READ_BACK_NO_COUNT = BIT(5),
	READ_BACK_NO_STATUS = BIT(4),
	STATUS_OUT = BIT(7),
	STATUS_NULL = BIT(6), /* the count written is not yet counted */
	STATUS_ACCESS_SHIFT = 4,
	STATUS_MODE_SHIFT = 1,
};

enum pit_mode {
	MODE_TERMINAL_COUNT, /* OUT rises at the end */
	MODE_ONE_SHOT,	     /* GATE starts it, OUT is low meanwhile */
	MODE_RATE,	     /* OUT is low for the last tick of each period */
	MODE_SQUARE,	     /* OUT is high for the first half */
	MODE_SW_STROBE,	     /* OUT is low for one tick at the end */
	MODE_HW_STROBE,	     /* the same, started by GATE */
};

/* Port 0x61, system control port B. */
enum port_b {
	PORT_B_GATE2 = BIT(0),
	PORT_B_SPEAKER = BIT(1),
	PORT_B_WRITABLE = 0x0f,
	PORT_B_REFRESH = BIT(4), /* changes with every refresh of memory */
	PORT_B_OUT2 = BIT(5),
};

#define SPEAKER_CHANNEL 2
#define REFRESH_TICKS	18  /* of 15 us */
#define MIN_TICKS	120 /* between two interrupts, 100 us: a faster timer loses ticks */

/* Never before what another CPU has seen, or a channel would have started in the future. */
static uint64_t tick_now(struct pit *pit)
{
	pit->now = MAX(pit->now, mul_div(time_now(), PIT_HZ, NS_PER_SEC));
	return pit->now;
}

/* A time at which tick_now() has reached @tick, less than 2 ns late. */
static uint64_t tick_time(uint64_t tick)
{
	return mul_div(tick, NS_PER_SEC, PIT_HZ) + 1;
}

static bool periodic(const struct pit_channel *ch)
{
	return ch->mode == MODE_RATE || ch->mode == MODE_SQUARE;
}

static bool triggered_by_gate(const struct pit_channel *ch)
{
	return ch->mode == MODE_ONE_SHOT || ch->mode == MODE_HW_STROBE;
}

/* Ticks counted since the counting element was loaded. */
static uint64_t elapsed(const struct pit_channel *ch, uint64_t now)
{
	/* GATE stops the count, except where it only starts it. */
	return (ch->gate || triggered_by_gate(ch) ? now : ch->paused) - ch->start;
}

/* Loads a count that was written during a period and waits for its end. */
static void load_next(struct pit_channel *ch, uint64_t now)
{
	uint64_t ticks;

	if (!ch->next || !ch->running || !periodic(ch) || !ch->gate)
		return;
	ticks = elapsed(ch, now);
	if (ticks < ch->count)
		return;
	/* It was written during the first period after start: channel_write() sees to that. */
	ch->start += ch->count;
	ch->count = ch->next;
	ch->next = 0;
}

/* Moves start to the beginning of the current period, which changes nothing that can be seen. */
static void normalize(struct pit_channel *ch, uint64_t now)
{
	if (ch->running && periodic(ch) && ch->gate)
		ch->start += elapsed(ch, now) / ch->count * ch->count;
}

static bool output(const struct pit_channel *ch, uint64_t now)
{
	uint64_t ticks = elapsed(ch, now);

	if (!ch->running)
		return ch->mode != MODE_TERMINAL_COUNT;
	switch (ch->mode) {
	case MODE_TERMINAL_COUNT:
	case MODE_ONE_SHOT:
		return ticks >= ch->count;
	case MODE_RATE:
		return !ch->gate || ticks % ch->count != ch->count - 1;
	case MODE_SQUARE:
		return !ch->gate || ticks % ch->count < (ch->count + 1) / 2;
	}
	return ticks != ch->count;
}

static uint16_t to_bcd(uint64_t value)
{
	return (uint16_t)(value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 |
			  value / 1000 % 10 << 12);
}

/* What the counting element holds, as the guest reads it. */
static uint16_t counter(const struct pit_channel *ch, uint64_t now)
{
	uint64_t ticks = elapsed(ch, now), half = (ch->count + 1) / 2, modulus, value;

	modulus = ch->bcd ? 10000 : 0x10000;
	if (!ch->running) {
		value = ch->count;
	} else if (ch->mode == MODE_SQUARE) {
		/* Counts twice by two: an odd count's extra tick belongs to the high half. */
		ticks %= ch->count;
		value = (ch->count & ~1u) - 2 * (ticks < half ? ticks : ticks - half);
	} else if (ch->mode == MODE_RATE) {
		value = ch->count - ticks % ch->count;
	} else {
		/* Goes on below zero, through the highest value. */
		value = ch->count + modulus - ticks % modulus;
	}
	value %= modulus;
	return ch->bcd ? to_bcd(value) : (uint16_t)value;
}

/* Arms the timer for channel 0's next rising edge after @now, if there will be one. */
static void arm(struct pit *pit, uint64_t now)
{
	const struct pit_channel *ch = &pit->channel[0];
	uint64_t ticks = elapsed(ch, now), end = ch->count, periods, next;

	timer_cancel(&pit->timer);
	if (!ch->running || triggered_by_gate(ch))
		return;
	if (periodic(ch)) {
		/* A count waiting to be loaded makes this period the last of its length. */
		periods = ch->next ? 1 : DIV_ROUND_UP(MIN_TICKS, ch->count);
		end *= ticks / ch->count + periods;
	} else if (ch->mode == MODE_SW_STROBE) {
		end++;
	}
	if (ticks >= end)
		return;
	next = pit->edge = ch->start + end;
	/* Missed edges follow with some distance, or the guest would take them for one. */
	if (pit->owed)
		next = MIN(next, now + MAX(ch->count / 4, (uint32_t)MIN_TICKS));
	timer_set(&pit->timer, tick_time(next));
}

/*
 * Channel 0's OUT has risen, or it is time for an edge that could not be delivered in time: the
 * clocks of many guests count them, so that none may be missing.
 */
static void rising_edge(struct pit *pit)
{
	struct pit_channel *ch = &pit->channel[0];
	uint64_t now = tick_now(pit), owed = pit->owed;

	load_next(ch, now);
	if (now >= pit->edge)
		owed++;
	/* A timer that is too fast to be followed loses edges anyway. */
	if (now > pit->edge && periodic(ch) && ch->count >= MIN_TICKS)
		owed += (now - pit->edge) / ch->count;
	/* After a second without the CPU no guest believes its tick alone any more. */
	owed = MIN(owed, PIT_HZ / ch->count + 1);
	if (owed)
		owed--;
	pit->owed = (uint32_t)owed;
	arm(pit, now);
	irq_line_set(pit->board, IRQ_TIMER, true);
	irq_line_set(pit->board, IRQ_TIMER, false);
}

static void pit_fire(struct timer *timer)
{
	struct pit *pit = container_of(timer, struct pit, timer);

	if (!board_timer_begin(pit->board, timer))
		return;
	rising_edge(pit);
	board_timer_end(pit->board);
}

static uint32_t decode_count(const struct pit_channel *ch, uint16_t raw)
{
	uint32_t count = raw;

	if (ch->bcd)
		count = (raw >> 12) * 1000u + (raw >> 8 & 15) * 100u + (raw >> 4 & 15) * 10u +
			(raw & 15);
	if (!count)
		count = ch->bcd ? 10000 : 0x10000;
	return count;
}

static void load(struct pit_channel *ch, uint32_t count, uint64_t now)
{
	ch->start = ch->paused = now;
	ch->count = count;
	ch->next = 0;
	ch->running = true;
}

/* A whole count was written: it is loaded at once, or when the mode says so. */
static void write_count(struct pit_channel *ch, uint16_t raw, uint64_t now)
{
	uint32_t count = decode_count(ch, raw);

	if (triggered_by_gate(ch)) {
		ch->next = count;
	} else if (periodic(ch) && ch->running && ch->gate) {
		normalize(ch, now);
		ch->next = count;
	} else {
		load(ch, count, now);
	}
}

static void write_channel(struct pit *pit, unsigned n, uint8_t value)
{
	struct pit_channel *ch = &pit->channel[n];
	uint64_t now = tick_now(pit);

	load_next(ch, now);
	if (ch->access == ACCESS_BOTH && !ch->write_high) {
		ch->low = value;
		ch->write_high = true;
		/* Data sheet, mode 0: the first byte stops the count and drops OUT. */
		if (ch->mode == MODE_TERMINAL_COUNT)
			ch->running = false;
	} else if (ch->access == ACCESS_BOTH) {
		ch->write_high = false;
		write_count(ch, (uint16_t)(value << 8 | ch->low), now);
	} else if (ch->access == ACCESS_HIGH) {
		write_count(ch, (uint16_t)(value << 8), now);
	} else {
		write_count(ch, value, now);
	}
	if (n == 0)
		arm(pit, now);
}

static void latch_count(struct pit_channel *ch, uint64_t now)
{
	if (ch->latched) /* a second latch before reading is ignored */
		return;
	ch->latch = counter(ch, now);
	ch->latched = ch->access == ACCESS_BOTH ? 2 : 1;
}

static void latch_status(struct pit_channel *ch, uint64_t now)
{
	if (ch->has_status)
		return;
	ch->has_status = true;
	ch->status = (uint8_t)(ch->access << STATUS_ACCESS_SHIFT | ch->mode << STATUS_MODE_SHIFT);
	if (ch->bcd)
		ch->status |= CONTROL_BCD;
	if (output(ch, now))
		ch->status |= STATUS_OUT;
	if (ch->next || !ch->running)
		ch->status |= STATUS_NULL;
}

static void read_back(struct pit *pit, uint8_t value)
{
	uint64_t now = tick_now(pit);

	for (unsigned n = 0; n < ARRAY_SIZE(pit->channel); n++) {
		struct pit_channel *ch = &pit->channel[n];

		if (!(value & BIT(n + 1)))
			continue;
		load_next(ch, now);
		if (!(value & READ_BACK_NO_COUNT))
			latch_count(ch, now);
		if (!(value & READ_BACK_NO_STATUS))
			latch_status(ch, now);
	}
}

static void pit_write_control(struct pit *pit, uint8_t value)
{
	unsigned n = value >> CONTROL_CHANNEL_SHIFT;
	unsigned access = value >> CONTROL_ACCESS_SHIFT & 3;
	struct pit_channel *ch;
	uint64_t now;

	if (n == READ_BACK) {
		read_back(pit, value);
		return;
	}
	ch = &pit->channel[array_index_nospec(n, ARRAY_SIZE(pit->channel))];
	if (access == ACCESS_LATCH) {
		now = tick_now(pit);
		load_next(ch, now);
		latch_count(ch, now);
		return;
	}
	ch->access = (uint8_t)access;
	ch->mode = value >> CONTROL_MODE_SHIFT & 7;
	if (ch->mode > MODE_HW_STROBE) /* 6 and 7 are other names of 2 and 3 */
		ch->mode -= 4;
	ch->bcd = value & CONTROL_BCD;
	ch->running = false;
	ch->next = 0;
	ch->write_high = false;
	ch->read_high = false;
	ch->latched = 0;
	ch->has_status = false;
	if (n == 0) {
		timer_cancel(&pit->timer);
		pit->owed = 0;
	}
}

static uint8_t read_channel(struct pit *pit, unsigned n)
{
	struct pit_channel *ch = &pit->channel[n];
	uint64_t now = tick_now(pit);
	uint16_t value;
	bool high;

	if (ch->has_status) {
		ch->has_status = false;
		return ch->status;
	}
	load_next(ch, now);
	value = ch->latched ? ch->latch : counter(ch, now);
	if (ch->latched)
		ch->latched--;
	high = ch->access == ACCESS_HIGH || (ch->access == ACCESS_BOTH && ch->read_high);
	if (ch->access == ACCESS_BOTH)
		ch->read_high = !ch->read_high;
	return (uint8_t)(high ? value >> 8 : value);
}

static void set_gate(struct pit *pit, unsigned n, bool gate)
{
	struct pit_channel *ch = &pit->channel[n];
	uint64_t now = tick_now(pit);

	load_next(ch, now);
	if (gate == ch->gate)
		return;
	if (!gate) {
		ch->paused = now;
	} else if (triggered_by_gate(ch)) {
		if (ch->next || ch->running)
			load(ch, ch->next ? ch->next : ch->count, now);
	} else if (periodic(ch) && ch->running) {
		load(ch, ch->next ? ch->next : ch->count, now);
	} else {
		ch->start += now - ch->paused;
	}
	ch->gate = gate;
}

static uint64_t pit_read(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size)
{
	struct pit *pit = container_of(r, struct pit, region);

	if (offset >= ARRAY_SIZE(pit->channel)) /* the control register cannot be read */
		return UINT64_MAX;
	return read_channel(pit, (unsigned)array_index_nospec(offset, ARRAY_SIZE(pit->channel)));
}

static void pit_write(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size,
		      uint64_t value)
{
	struct pit *pit = container_of(r, struct pit, region);

	if (offset >= ARRAY_SIZE(pit->channel))
		pit_write_control(pit, (uint8_t)value);
	else
		write_channel(pit, (unsigned)array_index_nospec(offset, ARRAY_SIZE(pit->channel)),
			      (uint8_t)value);
}

static uint64_t port61_read(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size)
{
	struct pit *pit = container_of(r, struct pit, port61);
	struct pit_channel *ch = &pit->channel[SPEAKER_CHANNEL];
	uint64_t now = tick_now(pit);
	uint8_t value = pit->port_b;

	load_next(ch, now);
	if (now / REFRESH_TICKS & 1)
		value |= PORT_B_REFRESH;
	if (output(ch, now))
		value |= PORT_B_OUT2;
	return value;
}

static void port61_write(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size,
			 uint64_t value)
{
	struct pit *pit = container_of(r, struct pit, port61);

	pit->port_b = value & PORT_B_WRITABLE;
	set_gate(pit, SPEAKER_CHANNEL, value & PORT_B_GATE2);
}

static const struct io_ops pit_ops = {.read = pit_read, .write = pit_write};
static const struct io_ops port61_ops = {.read = port61_read, .write = port61_write};

status_t pit_init(struct pit *pit, struct io_bus *bus, struct board *board)
{
	status_t status;

	pit->board = board;
	timer_init(&pit->timer, pit_fire);
	pit->region = (struct io_region){
		.ops = &pit_ops, .name = "pit", .base = 0x40, .len = 4, .widths = IO_8};
	pit->port61 = (struct io_region){
		.ops = &port61_ops, .name = "port61", .base = 0x61, .len = 1, .widths = IO_8};
	status = io_add_ports(bus, &pit->region);
	return status ? status : io_add_ports(bus, &pit->port61);
}

void pit_reset(struct pit *pit)
{
	timer_cancel(&pit->timer);
	pit->owed = 0;
	pit->port_b = 0;
	for (unsigned n = 0; n < ARRAY_SIZE(pit->channel); n++) {
		pit->channel[n] = (struct pit_channel){
			.count = 0x10000,
			.gate = n != SPEAKER_CHANNEL,
			.mode = MODE_SQUARE,
			.access = ACCESS_BOTH,
		};
	}
}
