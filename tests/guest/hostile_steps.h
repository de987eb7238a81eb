/* SPDX-License-Identifier: BSD-2-Clause */
/* What a hostile driver does at random, for virtio_hostile.c: to rings, registers, messages. */
#ifndef TESTS_GUEST_HOSTILE_STEPS_H
#define TESTS_GUEST_HOSTILE_STEPS_H

#include <linux/virtio_blk.h>
#include "smp.h"
#include "virtio.h"

/*
 * Devices write wherever they are told: so no address here is below ARENA, not even a mixture of
 * two of them, as a device may see that looks while another CPU changes one. All else of this guest
 * lies below, and must stay whole. RINGS is where most of it happens, so that rings, tables and
 * buffers overlap.
 */
enum { ARENA = 48 * MiB, END = 64 * MiB, RINGS = 0x4000, RING_SPAN = 0x1000 };
#define ADDRESS_BITS 0x03000000u /* in every half of an address */

#define RING_FEATURES (BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC))

enum {
	ALL_GOES_WELL = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK
};
enum { COMMAND = 4, BAR = 0x10, MEMORY_AND_MASTER = 6, ECAM = 0xfeb00000, BAR_SIZE = 0x8000 };

/* A device, how to see that it works, and what it may be asked to read. */
struct target {
	unsigned id, queue; /* of virtio; the one that takes what is asked */
	const char *name;
	const uint32_t *lengths; /* of buffers, LENGTHS of them */
	struct virtio v;
	uint32_t bar;
	unsigned resets; /* how often it needed one */
};

enum { LENGTHS = 8 };

static uint64_t states[2]; /* of random(), by CPU */

static uint32_t random(uint32_t below)
{
	uint64_t *x = &states[cpu_id()];

	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return (uint32_t)(*x >> 32) % below;
}

static uint32_t word(void)
{
	return random(UINT32_MAX);
}

static void poke(uint64_t at, unsigned size, uint64_t value)
{
	if (size == 1)
		*(volatile uint8_t *)at = (uint8_t)value;
	else if (size == 2)
		*(volatile uint16_t *)at = (uint16_t)value;
	else if (size == 4)
		*(volatile uint32_t *)at = (uint32_t)value;
	else
		*(volatile uint64_t *)at = value;
}

static void peek(uint64_t at, unsigned size)
{
	if (size == 1)
		(void)*(volatile uint8_t *)at;
	else if (size == 2)
		(void)*(volatile uint16_t *)at;
	else if (size == 4)
		(void)*(volatile uint32_t *)at;
	else
		(void)*(volatile uint64_t *)at;
}

static uint64_t ecam(const struct target *t, unsigned offset)
{
	return ECAM + (t->v.slot << 15) + offset;
}

/* In RAM, at its end, and where there is none: a hole, chips, itself, behind 4 GiB, the last. */
static uint64_t address(const struct target *t)
{
	const uint64_t others[] = {END - 8,	END,	0xd0000000,  LAPIC_BASE,
				   IOAPIC_BASE, t->bar, 0x103000000, UINT64_MAX - 7};

	switch (random(8)) {
	case 0:
		return others[random(ARRAY_SIZE(others))];
	case 1:
		return ARENA + random(16 * MiB);
	default:
		return ARENA + random(RINGS);
	}
}

/*
 * For registers at random: no half of an address below ARENA, no message that is an INIT or an
 * exception.
 */
static uint64_t hostile(void)
{
	const uint64_t set = ADDRESS_BITS | 0x20, clear = 0x100;

	return ((uint64_t)word() << 32 | word() | set << 32 | set) & ~(clear << 32 | clear);
}

static void change_descriptor(const struct target *t, uint64_t at)
{
	volatile struct vring_desc *d = (volatile struct vring_desc *)(at & ~15ull);

	d->addr = address(t);
	d->len = t->lengths[random(LENGTHS)];
	d->flags = (uint16_t)random(8);
	d->next = (uint16_t)random(random(8) ? 16 : 65536);
}

/* A request as a driver makes it, but for one of its descriptors now and then. */
static void make_request(const struct target *t, uint64_t queue)
{
	const uint16_t write = VRING_DESC_F_WRITE, next = VRING_DESC_F_NEXT;
	volatile struct vring_desc *d = (volatile struct vring_desc *)queue;
	uint64_t header = ARENA + RINGS + 16 * random(64);
	uint16_t flags = random(2) ? write : 0;

	if (t->id != VIRTIO_ID_BLOCK) {
		flags = t->id == VIRTIO_ID_RNG ? write : 0;
		d[0] = (struct vring_desc){address(t), t->lengths[random(LENGTHS)], flags, 0};
	} else {
		*(volatile struct virtio_blk_outhdr *)header = (struct virtio_blk_outhdr){
			random(14), 0, random(64) ? random(2049) : word()};
		d[0] = (struct vring_desc){header, sizeof(struct virtio_blk_outhdr), next, 1};
		d[1] = (struct vring_desc){address(t), 512 * random(130), flags | next, 2};
		d[2] = (struct vring_desc){address(t), 1, write, 0};
	}
	if (random(4) == 0)
		change_descriptor(t, queue + 16 * random(3));
}

/* Those of a queue, where set_queue() mostly puts it. */
static void change_rings(const struct target *t)
{
	uint64_t queue = ARENA + random(2) * 2 * RING_SPAN, avail = queue + RING_SPAN;
	bool good = random(4);

	if (good)
		make_request(t, queue);
	for (unsigned i = good ? 0 : random(16); i; i--)
		change_descriptor(t, queue + 16 * random(16));
	for (unsigned i = 0; i < 16; i++)
		poke(avail + 4 + 2 * i, 2, good ? 0 : random(random(8) ? 16 : 65536));
	poke(avail + 2, 2, *(volatile uint16_t *)(avail + 2) + random(random(16) ? 4 : 65536));
	poke(avail, 2, random(2));
}

static void set_half(struct virtio *v, unsigned low, uint64_t value)
{
	virtio_set(v, low, 4, (uint32_t)value);
	virtio_set(v, low + 4, 4, (uint32_t)(value >> 32));
}

static void set_queue(struct target *t)
{
	static const uint16_t sizes[] = {16, 16, 8, 1, 256, 0, 3, 512};
	uint64_t queue = ARENA + random(2) * 2 * RING_SPAN;
	bool odd = random(4) == 0;

	virtio_set(&t->v, VIRTIO_PCI_COMMON_Q_SELECT, 2, random(8) ? random(4) : word());
	virtio_set(&t->v, VIRTIO_PCI_COMMON_Q_SIZE, 2, sizes[random(ARRAY_SIZE(sizes))]);
	virtio_set(&t->v, VIRTIO_PCI_COMMON_Q_MSIX, 2, random(8));
	poke(queue + RING_SPAN + 2, 2, 0);
	set_half(&t->v, VIRTIO_PCI_COMMON_Q_DESCLO, odd ? address(t) & ~7ull : queue);
	set_half(&t->v, VIRTIO_PCI_COMMON_Q_AVAILLO, odd ? address(t) : queue + RING_SPAN);
	set_half(&t->v, VIRTIO_PCI_COMMON_Q_USEDLO,
		 odd ? address(t) & ~1ull : queue + RING_SPAN + 0x400);
	virtio_set(&t->v, VIRTIO_PCI_COMMON_Q_ENABLE, 2, random(4) != 0);
}

/* A reset, and FEATURES_OK with these, whatever comes of it. */
static void accept(struct virtio *v, uint64_t features)
{
	const uint8_t known = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

	virtio_set_status(v, 0);
	virtio_set_status(v, known);
	for (unsigned w = 0; w < 2; w++) {
		virtio_set(v, VIRTIO_PCI_COMMON_GFSELECT, 4, w);
		virtio_set(v, VIRTIO_PCI_COMMON_GF, 4, (uint32_t)(features >> 32 * w));
	}
	virtio_set_status(v, known | VIRTIO_CONFIG_S_FEATURES_OK);
}

static void negotiate(struct target *t)
{
	uint64_t some = BIT(VIRTIO_F_VERSION_1) | (random(2) ? RING_FEATURES : 0);

	accept(&t->v, random(8) ? some : some | word());
	for (unsigned i = 0; i < 4; i++)
		set_queue(t);
	virtio_set_status(&t->v, random(8) ? ALL_GOES_WELL : (uint8_t)word());
}

static void message(struct target *t)
{
	static const uint32_t low[] = {0xfee00000, 0xfee00010, 0xfee0100c, 0xfeeff00c,
				       0xfee7f004, ARENA,      0xfef00000, UINT32_MAX};
	/* Of all delivery modes but INIT; vectors that are none, and others. */
	static const uint32_t data[] = {0,     15,    0x41,  0x10f, 0x141,  0x200,
					0x341, 0x400, 0x641, 0x741, 0xc041, 0xffffc041};
	uint64_t entry = t->v.msix_table + 16 * random(40);

	poke(entry, 4, low[random(ARRAY_SIZE(low))]);
	poke(entry + 4, 4, random(4) ? 0 : word());
	poke(entry + 8, 4, data[random(ARRAY_SIZE(data))]);
	poke(entry + 12, 4, random(4) == 0);
	poke(ecam(t, t->v.msix + 2), 2, random(8) << 13);
}

/* The BAR where it was, and what COMMAND must allow. */
static void restore(struct target *t)
{
	poke(ecam(t, BAR), 4, t->bar);
	poke(ecam(t, COMMAND), 2, MEMORY_AND_MASTER);
}

static void use_configuration(struct target *t)
{
	unsigned size = 1u << random(3);

	for (unsigned i = 0; i < 4; i++)
		peek(ecam(t, random(0xff8)), size);
	poke(ecam(t, random(8) ? 4 * random(64) : random(0xff8)), size, hostile());
	if (random(4))
		restore(t);
}

static void use_bar(struct target *t)
{
	static const uint32_t places[] = {0,	       UINT32_MAX, 0x100000,   (uint32_t)LAPIC_BASE,
					  IOAPIC_BASE, 0xc0000000, 0xc0008000, 0xfeaf8000};
	unsigned size = 1u << random(4);
	uint64_t at = t->bar + (random(2) ? random(64) : random(BAR_SIZE - 8));

	peek(at, size);
	poke(at, size, hostile());
	if (random(8))
		return;
	poke(ecam(t, BAR), 4, places[random(ARRAY_SIZE(places))]);
	poke(at, size, hostile());
	restore(t);
}

static void ring_doorbells(struct target *t)
{
	for (unsigned i = 0; i < 3; i++)
		poke(t->v.notify + t->v.stride * random(3), 2, word());
	poke(t->v.notify + random(4088), 1u << random(4), word());
}

static void step(struct target *t)
{
	switch (random(12)) {
	case 0:
		negotiate(t);
		break;
	case 1:
		set_queue(t);
		break;
	case 2:
		message(t);
		break;
	case 3:
		use_configuration(t);
		break;
	case 4:
		use_bar(t);
		break;
	case 5:
		virtio_set_status(&t->v, random(2) ? 0 : (uint8_t)word());
		break;
	default:
		if (virtio_status(&t->v) != ALL_GOES_WELL && random(2))
			negotiate(t);
		change_rings(t);
		ring_doorbells(t);
	}
}

#endif
