/* SPDX-License-Identifier: BSD-2-Clause */
/* What a test of the board's chips stands on: a clock and timers to be moved by hand, and a bus. */
#ifndef TESTS_UNIT_PLATFORM_MOCK_H
#define TESTS_UNIT_PLATFORM_MOCK_H

#include "socle/kernel/iobus.h"
#include "socle/kernel/time.h"
#include "socle/platform/board.h"

#define MOCK_TIMERS 8

static uint64_t mock_now = NS_PER_SEC;	       /* ns */
static uint64_t mock_boot_wall = 1704067200;   /* 2024-01-01 00:00:00, at time 0 */
static struct timer *mock_timers[MOCK_TIMERS]; /* position slot - 1 */
static unsigned mock_fired;		       /* timers that have fired */
static struct vm mock_vm;
static __unused struct board mock_board = {.vm = &mock_vm};
static __unused struct vcpu mock_vcpu = {.vm = &mock_vm};
#define mock_bus mock_vm.io

/* What only who holds vm.chips may do, to be done by a test. */
#define with_chips(...)                      \
	do {                                 \
		spin_lock(&mock_vm.chips);   \
		__VA_ARGS__;                 \
		spin_unlock(&mock_vm.chips); \
	} while (0)

/* For what a chip calls. */
static __unused void assert_chips_held(void)
{
	assert_true(mock_vm.chips.held);
}

uint64_t time_now(void)
{
	return mock_now;
}

uint64_t time_wall(void)
{
	return mock_boot_wall + mock_now / NS_PER_SEC;
}

void timer_init(struct timer *timer, void (*fire)(struct timer *timer))
{
	*timer = (struct timer){.fire = fire};
}

void timer_set(struct timer *timer, uint64_t expires)
{
	for (unsigned i = 0; !timer->slot && i < MOCK_TIMERS; i++) {
		if (!mock_timers[i]) {
			mock_timers[i] = timer;
			timer->slot = i + 1;
		}
	}
	assert_true(timer->slot);
	timer->expires = expires;
	timer->due = false;
}

bool timer_claim(struct timer *timer)
{
	bool due = timer->due;

	timer->due = false;
	return due;
}

void timer_cancel(struct timer *timer)
{
	timer->due = false;
	if (timer->slot)
		mock_timers[timer->slot - 1] = NULL;
	timer->slot = 0;
}

/* Lets time pass up to @when, firing timers as they come due. */
static __unused void run_until(uint64_t when)
{
	for (;;) {
		struct timer *first = NULL;

		for (unsigned i = 0; i < MOCK_TIMERS; i++) {
			if (mock_timers[i] && mock_timers[i]->expires <= when &&
			    (!first || mock_timers[i]->expires < first->expires))
				first = mock_timers[i];
		}
		if (!first)
			break;
		if (first->expires > mock_now)
			mock_now = first->expires;
		timer_cancel(first);
		first->due = true;
		mock_fired++;
		first->fire(first);
		/* Again, as on a CPU where it expired before it was set or cancelled. */
		if (!first->due)
			first->fire(first);
		assert_false(mock_vm.chips.held);
	}
	if (when > mock_now)
		mock_now = when;
}

static __unused void run_for(uint64_t ns)
{
	run_until(mock_now + ns);
}

static __unused unsigned armed_timers(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < MOCK_TIMERS; i++)
		count += mock_timers[i] != NULL;
	return count;
}

/* With MOCK_REAL_BUS the test brings kernel/iobus.c instead. */
#ifndef MOCK_REAL_BUS

static bool overlap(const struct io_region *a, const struct io_region *b)
{
	return a->base < b->base + b->len && b->base < a->base + a->len;
}

static status_t add_region(struct io_region **table, unsigned *count, struct io_region *region)
{
	assert_non_null(region->ops->read);
	assert_non_null(region->ops->write);
	assert_non_null(region->name);
	for (unsigned i = 0; i < *count; i++) {
		if (overlap(table[i], region))
			return -S_EXIST;
	}
	table[(*count)++] = region;
	return 0;
}

status_t io_add_ports(struct io_bus *bus, struct io_region *region)
{
	assert_true(region->base + region->len <= 0x10000);
	return add_region(bus->port, &bus->ports, region);
}

status_t io_add_mmio(struct io_bus *bus, struct io_region *region)
{
	return add_region(bus->mmio, &bus->mmios, region);
}

static struct io_region *find_region(struct io_region **table, unsigned count, uint64_t at)
{
	for (unsigned i = 0; i < count; i++) {
		if (at >= table[i]->base && at < table[i]->base + table[i]->len)
			return table[i];
	}
	return NULL;
}

/* An access as the bus makes it: whole if the region takes it, else byte by byte. */
static uint64_t mock_access(struct io_region **table, unsigned count, uint64_t at, unsigned size,
			    bool write, uint64_t value)
{
	struct io_region *r = find_region(table, count, at);
	uint64_t result = 0;

	if (r && (r->widths & size) && at + size <= r->base + r->len) {
		uint32_t offset = (uint32_t)(at - r->base);

		if (!r->unlocked)
			spin_lock(&mock_vm.chips);
		if (write)
			r->ops->write(r, NULL, offset, size, value);
		else
			result = r->ops->read(r, NULL, offset, size);
		if (!r->unlocked)
			spin_unlock(&mock_vm.chips);
		return result & MASK(8 * size - 1, 0);
	}
	if (size == 1)
		return 0xff;
	for (unsigned i = 0; i < size; i++)
		result |= mock_access(table, count, at + i, 1, write, value >> 8 * i & 0xff)
			  << 8 * i;
	return result;
}

uint32_t io_port_read(struct io_bus *bus, struct vcpu *vcpu __unused, uint16_t port, unsigned size)
{
	return (uint32_t)mock_access(bus->port, bus->ports, port, size, false, 0);
}

void io_port_write(struct io_bus *bus, struct vcpu *vcpu __unused, uint16_t port, unsigned size,
		   uint32_t value)
{
	mock_access(bus->port, bus->ports, port, size, true, value);
}

uint64_t io_mmio_read(struct io_bus *bus, struct vcpu *vcpu __unused, uint64_t gpa, unsigned size)
{
	return mock_access(bus->mmio, bus->mmios, gpa, size, false, 0);
}

void io_mmio_write(struct io_bus *bus, struct vcpu *vcpu __unused, uint64_t gpa, unsigned size,
		   uint64_t value)
{
	mock_access(bus->mmio, bus->mmios, gpa, size, true, value);
}

#endif

static __unused uint32_t in(uint16_t port, unsigned size)
{
	return io_port_read(&mock_bus, &mock_vcpu, port, size);
}

static __unused void out(uint16_t port, unsigned size, uint32_t value)
{
	io_port_write(&mock_bus, &mock_vcpu, port, size, value);
}

static __unused uint8_t inb(uint16_t port)
{
	return (uint8_t)in(port, 1);
}

static __unused void outb(uint16_t port, uint8_t value)
{
	out(port, 1, value);
}

static __unused uint64_t mmio_in(uint64_t gpa, unsigned size)
{
	return io_mmio_read(&mock_bus, &mock_vcpu, gpa, size);
}

static __unused void mmio_out(uint64_t gpa, unsigned size, uint64_t value)
{
	io_mmio_write(&mock_bus, &mock_vcpu, gpa, size, value);
}

/* An empty bus and no timers: for the start of each test. */
static __unused void mock_reset(void)
{
	mock_vm = (struct vm){0};
	spinlock_init(&mock_vm.chips, "chips", LOCK_CHIPS);
	mock_bus.lock = &mock_vm.chips;
	for (unsigned i = 0; i < MOCK_TIMERS; i++)
		mock_timers[i] = NULL;
	mock_fired = 0;
	mock_now = NS_PER_SEC;
}

#endif
