/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's I/O bus: finds the device behind a port or an address, and splits odd accesses. */
#include "socle/kernel/iobus.h"
#include "socle/mm/frames.h"

enum { PORTS = 65536 };

static uint64_t ones_read(struct io_region *r, struct vcpu *v, uint32_t offset, unsigned size)
{
	return UINT64_MAX;
}

static void ones_write(struct io_region *r, struct vcpu *v, uint32_t offset, unsigned size,
		       uint64_t value)
{
}

/* Answers wherever nobody else does, in all VMs. */
static const struct io_ops nobody_ops = {ones_read, ones_write};
static struct io_region nobody = {
	.ops = &nobody_ops, .name = "nobody", .len = PORTS, .widths = IO_8 | IO_16 | IO_32 | IO_64};

status_t io_bus_init(struct io_bus *bus, struct spinlock *lock)
{
	*bus = (struct io_bus){.ports = 1, .lock = lock};
	bus->port[0] = &nobody;
	bus->port_map = pages_alloc(PORTS, OWNER_VM_CORE);
	return bus->port_map ? 0 : -S_NOMEM;
}

void io_bus_free(struct io_bus *bus)
{
	pages_free(bus->port_map, PORTS, OWNER_VM_CORE);
	*bus = (struct io_bus){0};
}

status_t io_add_ports(struct io_bus *bus, struct io_region *r)
{
	if (bus->ports == IO_MAX_PORT_REGIONS)
		return -S_NOSPC;
	if (r->base >= PORTS || r->len > PORTS - r->base)
		return -S_RANGE;
	for (uint32_t i = 0; i < r->len; i++)
		if (bus->port_map[r->base + i])
			return -S_EXIST;
	for (uint32_t i = 0; i < r->len; i++)
		bus->port_map[r->base + i] = bus->ports;
	bus->port[bus->ports++] = r;
	r->lock = r->unlocked ? NULL : bus->lock;
	return 0;
}

status_t io_add_mmio(struct io_bus *bus, struct io_region *r)
{
	unsigned at = bus->mmios;

	if (bus->mmios == IO_MAX_MMIO_REGIONS)
		return -S_NOSPC;
	for (unsigned i = 0; i < bus->mmios; i++)
		if (r->base < bus->mmio[i]->base + bus->mmio[i]->len &&
		    bus->mmio[i]->base < r->base + r->len)
			return -S_EXIST;
	for (; at > 0 && bus->mmio[at - 1]->base > r->base; at--)
		bus->mmio[at] = bus->mmio[at - 1];
	bus->mmio[at] = r;
	bus->mmios++;
	r->lock = r->unlocked ? NULL : bus->lock;
	return 0;
}

struct io_region *io_find_mmio(struct io_bus *bus, uint64_t gpa)
{
	for (unsigned i = 0; i < bus->mmios; i++)
		if (gpa - bus->mmio[i]->base < bus->mmio[i]->len)
			return bus->mmio[i];
	return NULL;
}

/* True if the device takes the access as it is. */
static bool fits(const struct io_region *r, uint32_t offset, unsigned size)
{
	return (r->widths & size) && offset + size <= r->len;
}

static struct io_region *port_region(struct io_bus *bus, uint16_t port)
{
	return bus->port[array_index_mask(bus->port_map[port], IO_MAX_PORT_REGIONS)];
}

/* A byte of a wider access; it falls to whoever answers at that port. */
static uint8_t read_byte(struct io_region *r, struct vcpu *v, uint32_t offset)
{
	unsigned shift = 0;

	if (r->widths & IO_8)
		return io_region_read(r, v, offset, 1);
	/* A device that takes no bytes: its narrowest register, of which this is a part. */
	for (unsigned size = 2; size <= 8; size *= 2) {
		if (!(r->widths & size))
			continue;
		shift = offset % size * 8;
		return io_region_read(r, v, offset - offset % size, size) >> shift;
	}
	return 0xff;
}

uint32_t io_port_read(struct io_bus *bus, struct vcpu *v, uint16_t port, unsigned size)
{
	uint32_t offset, value = 0;
	struct io_region *r = io_port_region(bus, port, size, &offset);

	if (likely(r))
		return io_region_read(r, v, offset, size);
	for (unsigned i = 0; i < size; i++) {
		uint16_t at = port + i;

		r = port_region(bus, at);
		value |= (uint32_t)read_byte(r, v, at - (uint32_t)r->base) << 8 * i;
	}
	return value;
}

/* Bytes for a device that takes none are dropped: half a register written is worse. */
static void write_byte(struct io_region *r, struct vcpu *v, uint32_t offset, uint8_t value)
{
	if (r->widths & IO_8)
		io_region_write(r, v, offset, 1, value);
}

void io_port_write(struct io_bus *bus, struct vcpu *v, uint16_t port, unsigned size, uint32_t value)
{
	uint32_t offset;
	struct io_region *r = io_port_region(bus, port, size, &offset);

	if (likely(r)) {
		io_region_write(r, v, offset, size, value);
		return;
	}
	for (unsigned i = 0; i < size; i++) {
		uint16_t at = port + i;

		r = port_region(bus, at);
		write_byte(r, v, at - (uint32_t)r->base, value >> 8 * i);
	}
}

uint64_t io_mmio_read(struct io_bus *bus, struct vcpu *v, uint64_t gpa, unsigned size)
{
	struct io_region *r = io_find_mmio(bus, gpa);
	uint64_t value = 0;

	if (likely(r && fits(r, gpa - r->base, size)))
		return io_region_read(r, v, gpa - r->base, size);
	for (unsigned i = 0; i < size; i++) {
		r = io_find_mmio(bus, gpa + i);
		value |= (r ? read_byte(r, v, gpa + i - r->base) : 0xffull) << 8 * i;
	}
	return value;
}

void io_mmio_write(struct io_bus *bus, struct vcpu *v, uint64_t gpa, unsigned size, uint64_t value)
{
	struct io_region *r = io_find_mmio(bus, gpa);

	if (likely(r && fits(r, gpa - r->base, size))) {
		io_region_write(r, v, gpa - r->base, size, value);
		return;
	}
	for (unsigned i = 0; i < size; i++) {
		r = io_find_mmio(bus, gpa + i);
		if (r)
			write_byte(r, v, gpa + i - r->base, value >> 8 * i);
	}
}
