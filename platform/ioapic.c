/* SPDX-License-Identifier: BSD-2-Clause */
/* The I/O APIC: registers, redirection table, edges and levels. */
#include "socle/platform/ioapic.h"

/* Memory-mapped registers and the indirect ones behind them (82093AA data sheet, 3.0). */
enum ioapic_register {
	IOREGSEL = 0x00,
	IOWIN = 0x10,
	IOEOI = 0x40,
	IOAPICID = 0x00,
	IOAPICVER = 0x01,
	IOAPICARB = 0x02,
	IOREDTBL = 0x10, /* two for each pin */
};

/* Fields of a redirection entry (82093AA data sheet, 3.2.4). */
enum ioapic_entry {
	ENTRY_VECTOR = 0xff,
	ENTRY_DELIVERY_SHIFT = 8,
	ENTRY_LOGICAL = BIT(11),
	ENTRY_DELIVS = BIT(12), /* never seen set: messages arrive at once */
	ENTRY_POLARITY = BIT(13),
	ENTRY_REMOTE_IRR = BIT(14),
	ENTRY_LEVEL = BIT(15),
	ENTRY_MASKED = BIT(16),
};
#define ENTRY_DEST_SHIFT 56
#define ENTRY_DEST	 MASK(63, 56)
#define ENTRY_READ_ONLY	 (uint64_t)(ENTRY_DELIVS | ENTRY_REMOTE_IRR)
#define ENTRY_WRITABLE	 ((ENTRY_DEST | MASK(16, 0)) & ~ENTRY_READ_ONLY)

#define ID_SHIFT	  24
#define VERSION_MAX_SHIFT 16

static void send(struct ioapic *ioapic, uint64_t entry)
{
	struct irq_message msg = {
		.dest = (uint32_t)(entry >> ENTRY_DEST_SHIFT),
		.vector = entry & ENTRY_VECTOR,
		.delivery = (entry >> ENTRY_DELIVERY_SHIFT) & 7,
		.logical = entry & ENTRY_LOGICAL,
		.level = entry & ENTRY_LEVEL,
	};

	/* Only fixed and lowest-priority interrupts are ended by an EOI: the others are edges. */
	if (msg.delivery > IRQ_LOWEST_PRIORITY)
		msg.level = false;
	ioapic->deliver(ioapic, &msg);
}

/* Delivers a level-triggered pin if it is asserted, enabled, and not being handled already. */
static void service_level(struct ioapic *ioapic, unsigned pin)
{
	uint64_t entry = ioapic->entry[pin];

	if (!(ioapic->lines & BIT(pin)) || !(entry & ENTRY_LEVEL) ||
	    (entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR)))
		return;
	if (((entry >> ENTRY_DELIVERY_SHIFT) & 7) <= IRQ_LOWEST_PRIORITY)
		ioapic->entry[pin] |= ENTRY_REMOTE_IRR;
	send(ioapic, entry);
}

void ioapic_set_line(struct ioapic *ioapic, unsigned pin, bool asserted)
{
	if (pin >= IOAPIC_PINS || !!(ioapic->lines & BIT(pin)) == asserted)
		return;
	ioapic->lines ^= (uint32_t)BIT(pin);
	if (!asserted)
		return;
	if (ioapic->entry[pin] & ENTRY_LEVEL)
		service_level(ioapic, pin);
	else if (!(ioapic->entry[pin] & ENTRY_MASKED)) /* an edge at a masked pin is lost */
		send(ioapic, ioapic->entry[pin]);
}

void ioapic_eoi(struct ioapic *ioapic, uint8_t vector)
{
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t entry = ioapic->entry[pin];

		if ((entry & ENTRY_VECTOR) == vector && (entry & ENTRY_REMOTE_IRR)) {
			ioapic->entry[pin] = entry & ~(uint64_t)ENTRY_REMOTE_IRR;
			service_level(ioapic, pin);
		}
	}
}

static uint32_t window_read(const struct ioapic *ioapic)
{
	unsigned entry = ioapic->index - IOREDTBL;

	switch (ioapic->index) {
	case IOAPICID:
	case IOAPICARB:
		return (uint32_t)ioapic->id << ID_SHIFT;
	case IOAPICVER:
		return (IOAPIC_PINS - 1) << VERSION_MAX_SHIFT | IOAPIC_VERSION;
	}
	if (ioapic->index < IOREDTBL || entry >= 2 * IOAPIC_PINS)
		return 0;
	entry = (unsigned)array_index_nospec(entry, 2 * IOAPIC_PINS);
	return (uint32_t)(ioapic->entry[entry / 2] >> entry % 2 * 32);
}

static void window_write(struct ioapic *ioapic, uint32_t value)
{
	unsigned half = ioapic->index - IOREDTBL, pin, shift;
	uint64_t entry, mask;

	if (ioapic->index == IOAPICID)
		ioapic->id = value >> ID_SHIFT & 0xf;
	if (ioapic->index < IOREDTBL || half >= 2 * IOAPIC_PINS)
		return;
	half = (unsigned)array_index_nospec(half, 2 * IOAPIC_PINS);
	pin = half / 2;
	shift = half % 2 * 32;
	mask = ENTRY_WRITABLE & 0xffffffffull << shift;
	entry = (ioapic->entry[pin] & ~mask) | ((uint64_t)value << shift & mask);
	/* Drivers for chips without an EOI register end an interrupt by a detour over edge. */
	if (!(entry & ENTRY_LEVEL))
		entry &= ~(uint64_t)ENTRY_REMOTE_IRR;
	ioapic->entry[pin] = entry;
	service_level(ioapic, pin);
}

static uint64_t ioapic_read(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size)
{
	const struct ioapic *ioapic = container_of(r, struct ioapic, region);

	switch (offset) {
	case IOREGSEL:
		return ioapic->index;
	case IOWIN:
		return window_read(ioapic);
	}
	return 0;
}

static void ioapic_write(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size,
			 uint64_t value)
{
	struct ioapic *ioapic = container_of(r, struct ioapic, region);

	/* IOREGSEL may be written as a byte; the other registers take 32 bits only. */
	if (offset == IOREGSEL)
		ioapic->index = (uint8_t)value;
	else if (offset == IOWIN && size == 4)
		window_write(ioapic, (uint32_t)value);
	else if (offset == IOEOI && size == 4)
		ioapic_eoi(ioapic, (uint8_t)value);
}

static const struct io_ops ioapic_ops = {.read = ioapic_read, .write = ioapic_write};

status_t ioapic_init(struct ioapic *ioapic, struct io_bus *bus,
		     void (*deliver)(struct ioapic *ioapic, const struct irq_message *msg))
{
	ioapic->deliver = deliver;
	ioapic->region = (struct io_region){
		.ops = &ioapic_ops,
		.name = "ioapic",
		.base = IOAPIC_BASE,
		.len = PAGE_SIZE,
		.widths = IO_8 | IO_16 | IO_32,
	};
	return io_add_mmio(bus, &ioapic->region);
}

void ioapic_reset(struct ioapic *ioapic)
{
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		ioapic->entry[pin] = ENTRY_MASKED;
	ioapic->lines = 0;
	ioapic->index = 0;
	ioapic->id = 0;
}
