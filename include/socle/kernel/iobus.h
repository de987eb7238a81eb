/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's I/O bus: which device answers at which port or guest-physical address. */
#ifndef SOCLE_KERNEL_IOBUS_H
#define SOCLE_KERNEL_IOBUS_H

#include "socle/base.h"
#include "socle/cpu/spinlock.h"
#include "socle/status.h"

struct vm;
struct vcpu;
struct io_region;

/* Access widths, to be ORed: a width in bytes is its own bit. */
enum io_width { IO_8 = 1, IO_16 = 2, IO_32 = 4, IO_64 = 8 };

/*
 * What a device does on an access; vm.chips is held unless the region is unlocked. @offset is from
 * the region's base, @size one of the region's widths, and the access lies inside the region. @vcpu
 * is the accessing vCPU.
 */
struct io_ops {
	uint64_t (*read)(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size);
	void (*write)(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size,
		      uint64_t value);
};

/* A range that one device answers. Embed it in the device and use container_of(). */
struct io_region {
	const struct io_ops *ops; /* never NULL once added */
	const char *name;	  /* for logs and counters, e.g. "pit" */
	uint64_t base;		  /* first port or guest-physical address */
	uint32_t len;		  /* in bytes */
	uint32_t widths;	  /* enum io_width bits that ops accept; others come as bytes */
	bool unlocked;		  /* ops need no vm.chips: they look after themselves */
	struct spinlock *lock;	  /* the bus's, taken around ops; NULL: unlocked. Set by the bus */
};

#define IO_MAX_PORT_REGIONS 64
#define IO_MAX_MMIO_REGIONS 32

/* One per VM. Filled while the VM is built, by one CPU; then only read. */
struct io_bus {
	uint8_t *port_map;			     /* 65536 indices into port[]; 0: nobody */
	struct io_region *port[IO_MAX_PORT_REGIONS]; /* port[0] is the "nobody" region */
	struct io_region *mmio[IO_MAX_MMIO_REGIONS]; /* sorted by base */
	unsigned ports;				     /* used entries of port[] */
	unsigned mmios;				     /* used entries of mmio[] */
	struct spinlock *lock;			     /* of the VM's chips */
};

/* Prepares an empty bus, whose devices @lock guards. Returns -S_NOMEM. */
status_t __must_check io_bus_init(struct io_bus *bus, struct spinlock *lock);

/* Frees what io_bus_init() took; regions belong to their devices. */
void io_bus_free(struct io_bus *bus);

/* Add a region to @bus. Return -S_EXIST on overlap, -S_NOSPC when the table is full. */
status_t __must_check io_add_ports(struct io_bus *bus, struct io_region *region);
status_t __must_check io_add_mmio(struct io_bus *bus, struct io_region *region);

/*
 * The region behind @port if it takes an access of @size bytes there, at @offset, as it is; else
 * NULL: then io_port_read() and io_port_write() split it.
 */
static __always_inline struct io_region *io_port_region(struct io_bus *bus, uint16_t port,
							unsigned size, uint32_t *offset)
{
	struct io_region *r = bus->port[array_index_mask(bus->port_map[port], IO_MAX_PORT_REGIONS)];

	*offset = port - (uint32_t)r->base;
	return likely((r->widths & size) && *offset + size <= r->len) ? r : NULL;
}

/* An access that the region takes as it is, with the lock that it needs. */
static __always_inline uint64_t io_region_read(struct io_region *r, struct vcpu *vcpu,
					       uint32_t offset, unsigned size)
{
	struct spinlock *lock = r->lock;
	uint64_t value;

	if (!lock)
		return r->ops->read(r, vcpu, offset, size);
	spin_lock(lock);
	value = r->ops->read(r, vcpu, offset, size);
	spin_unlock(lock);
	return value;
}

static __always_inline void io_region_write(struct io_region *r, struct vcpu *vcpu, uint32_t offset,
					    unsigned size, uint64_t value)
{
	struct spinlock *lock = r->lock;

	if (!lock) {
		r->ops->write(r, vcpu, offset, size, value);
		return;
	}
	spin_lock(lock);
	r->ops->write(r, vcpu, offset, size, value);
	spin_unlock(lock);
}

/* The MMIO region that holds @gpa, or NULL. */
struct io_region *io_find_mmio(struct io_bus *bus, uint64_t gpa);

/*
 * A guest's access of 1, 2 or 4 bytes to ports. Nobody there: reads as ones, writes are ignored.
 * Wider than what a device takes: split into bytes.
 */
uint32_t io_port_read(struct io_bus *bus, struct vcpu *vcpu, uint16_t port, unsigned size);
void io_port_write(struct io_bus *bus, struct vcpu *vcpu, uint16_t port, unsigned size,
		   uint32_t value);

/* The same for memory-mapped devices, 1, 2, 4 or 8 bytes. */
uint64_t io_mmio_read(struct io_bus *bus, struct vcpu *vcpu, uint64_t gpa, unsigned size);
void io_mmio_write(struct io_bus *bus, struct vcpu *vcpu, uint64_t gpa, unsigned size,
		   uint64_t value);

#endif
