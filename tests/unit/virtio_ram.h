/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests: a guest's memory for virtqueues, and a driver's side of a split ring in it. */
#ifndef TESTS_UNIT_VIRTIO_RAM_H
#define TESTS_UNIT_VIRTIO_RAM_H

#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "socle/mm/guestmem.h"

/* RAM is [RAM_BASE, RAM_BASE + RAM_SIZE), with nothing below and above. */
#define RAM_BASE 0x10000ull
#define RAM_SIZE 0x40000ull

static uint8_t ram[RAM_SIZE] __aligned(4096);
static bool ram_attacked;  /* what was read is overwritten at once, as another vCPU might */
static bool ram_out;	   /* no memory to populate a page with */
static uint64_t ram_watch; /* when this address is asked for, the driver acts at once */
static void (*ram_act)(void);

bool guest_is_ram(const struct guest_mem *mem __unused, uint64_t gpa, uint64_t len)
{
	return gpa - RAM_BASE < RAM_SIZE && len <= RAM_SIZE - (gpa - RAM_BASE);
}

void *guest_ptr(struct guest_mem *mem __unused, uint64_t gpa)
{
	if (ram_watch && gpa == ram_watch) {
		ram_watch = 0;
		ram_act();
	}
	return gpa - RAM_BASE < RAM_SIZE && !ram_out ? ram + (gpa - RAM_BASE) : NULL;
}

status_t guest_read(struct guest_mem *mem, uint64_t gpa, void *dst, size_t len)
{
	if (!guest_is_ram(mem, gpa, len) || ram_out)
		return ram_out ? -S_NOMEM : -S_FAULT;
	memcpy(dst, ram + (gpa - RAM_BASE), len);
	if (ram_attacked)
		memset(ram + (gpa - RAM_BASE), 0xff, len);
	return 0;
}

status_t guest_write(struct guest_mem *mem, uint64_t gpa, const void *src, size_t len)
{
	if (!guest_is_ram(mem, gpa, len) || ram_out)
		return ram_out ? -S_NOMEM : -S_FAULT;
	memcpy(ram + (gpa - RAM_BASE), src, len);
	return 0;
}

/* Where the driver's things lie. */
enum {
	AT_DESC = 0x10000,
	AT_AVAIL = 0x12000,
	AT_USED = 0x14000,
	AT_TABLE = 0x16000,
	AT_DATA = 0x20000,
	DRIVER_SIZE = 8,
};

static __unused void *at(uint64_t gpa)
{
	return ram + (gpa - RAM_BASE);
}

static __unused struct vring_avail *avail_ring(void)
{
	return at(AT_AVAIL);
}

static __unused struct vring_used *used_ring(void)
{
	return at(AT_USED);
}

static __unused uint16_t *used_event(unsigned size)
{
	return &avail_ring()->ring[size];
}

static __unused uint16_t *avail_event(unsigned size)
{
	return (uint16_t *)&used_ring()->ring[size];
}

static __unused void describe(unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
			      uint16_t next)
{
	((struct vring_desc *)at(AT_DESC))[i] =
		(struct vring_desc){.addr = addr, .len = len, .flags = flags, .next = next};
}

static __unused void in_table(unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
			      uint16_t next)
{
	((struct vring_desc *)at(AT_TABLE))[i] =
		(struct vring_desc){.addr = addr, .len = len, .flags = flags, .next = next};
}

static __unused void offer_in(unsigned size, uint16_t head)
{
	avail_ring()->ring[avail_ring()->idx % size] = head;
	avail_ring()->idx++;
}

static __unused void offer(uint16_t head)
{
	offer_in(DRIVER_SIZE, head);
}

#endif
