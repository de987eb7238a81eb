/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests: guests with a socket device each, their drivers' side of it, and no CPUs. */
#ifndef TESTS_UNIT_VSOCK_RIG_H
#define TESTS_UNIT_VSOCK_RIG_H

#include <linux/virtio_pci.h>
#include <linux/virtio_vsock.h>
#include "virtio_ram.h"
#include "../../lib/format.c"
#include "../../drivers/virtio/common.c"
#include "../../drivers/virtio/ring.c"
#include "../../drivers/virtio/vsock.c"
#include "../../drivers/virtio/vsock_host.c"
#include "../../drivers/virtio/vsock_inbox.c"
#include "../../drivers/virtio/vsock_switch.c"

enum {
	RIG_GUESTS = 3,
	RIG_ENTRIES = 128,
	/* Of a guest, in the one memory that there is: */
	RIG_APART = 0x14000,
	RIG_QUEUE = 0x2000, /* of a queue: descriptors, then the driver's and the device's ring */
	RIG_AVAIL = 0x1000,
	RIG_USED = 0x1800,
	RIG_HEADERS = 0x4000, /* sent: one for each entry */
	RIG_PAYLOAD = 0x6000, /* sent: that of all */
	RIG_BUFFERS = 0xc000, /* received */
	RIG_PAYLOAD_MAX = RIG_BUFFERS - RIG_PAYLOAD,
	RIG_BUFFERS_SIZE = RIG_APART - RIG_BUFFERS,
};

struct rig_guest {
	struct vm vm;
	struct vcpu vcpu;
	struct vsock *v;
	uint32_t buffer_size;
	unsigned seen; /* packets received */
};

static struct rig_guest rig[RIG_GUESTS];
static uint64_t rig_now;
static unsigned rig_log_lines;
static struct vsock *rig_new; /* that virtio_pci_add() was told of last */

static uint8_t rig_memory[RIG_GUESTS][sizeof(struct vsock)] __aligned(16);
static unsigned rig_allocated;

void *pages_alloc(size_t size, uint32_t owner __unused)
{
	return memset(rig_memory[rig_allocated++], 0, size);
}

status_t virtio_pci_add(struct virtio_device *dev)
{
	rig_new = container_of(dev, struct vsock, dev);
	dev->fn.config[PCI_COMMAND] = PCI_COMMAND_MASTER;
	spinlock_init(&dev->lock, "virtio", LOCK_DEVICE);
	spin_lock(&dev->lock);
	virtio_reset(dev);
	spin_unlock(&dev->lock);
	return 0;
}

void virtio_pci_interrupt(struct virtio_device *dev __unused, uint16_t vector __unused,
			  enum virtio_isr isr __unused)
{
}

void virtio_pci_quiet(struct virtio_device *dev __unused)
{
}

void vm_log(struct vm *to __unused, enum log_level level __unused, const char *fmt __unused, ...)
{
	rig_log_lines++;
}

void vcpu_request(struct vcpu *to __unused, uint32_t requests __unused)
{
}

uint64_t time_now(void)
{
	return rig_now;
}

void timer_init(struct timer *t, void (*fire)(struct timer *timer))
{
	*t = (struct timer){.fire = fire};
}

void timer_set(struct timer *t, uint64_t when)
{
	t->slot = 1;
	t->expires = when;
}

void timer_cancel(struct timer *t)
{
	t->slot = 0;
}

static uint64_t rig_at(unsigned g, uint64_t offset)
{
	return RAM_BASE + (uint64_t)g * RIG_APART + offset;
}

static struct vring_avail *rig_avail(unsigned g, unsigned queue)
{
	return at(rig_at(g, queue * RIG_QUEUE + RIG_AVAIL));
}

static struct vring_used *rig_used(unsigned g, unsigned queue)
{
	return at(rig_at(g, queue * RIG_QUEUE + RIG_USED));
}

static struct vring_desc *rig_desc(unsigned g, unsigned queue)
{
	return at(rig_at(g, queue * RIG_QUEUE));
}

static void rig_set(unsigned g, uint32_t offset, unsigned size, uint64_t value)
{
	struct virtio_device *dev = &rig[g].v->dev;

	spin_lock(&dev->lock);
	virtio_common_write(dev, offset, size, value);
	spin_unlock(&dev->lock);
}

static void rig_kick(unsigned g, unsigned queue)
{
	virtio_notify(&rig[g].v->dev, queue, &rig[g].vcpu);
}

/* All vCPUs do what was put off or posted for them, until there is nothing more; and timers. */
static void rig_run(void)
{
	for (bool again = true; again;) {
		again = false;
		for (unsigned g = 0; g < RIG_GUESTS; g++) {
			struct timer *t = rig[g].v ? &rig[g].v->stall : NULL;

			if (!t)
				continue;
			if (t->slot && t->expires <= rig_now) {
				t->slot = 0;
				t->fire(t);
			}
			again |= rig[g].vcpu.work || rig[g].vcpu.posted;
			vcpu_work(&rig[g].vcpu);
		}
	}
}

/* The driver resets the device, and sets it up with these features; it gives no buffers yet. */
static void rig_drive(unsigned g, uint64_t features)
{
	rig_set(g, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	memset(at(rig_at(g, 0)), 0, RIG_HEADERS);
	rig[g].seen = 0;
	rig_set(g, VIRTIO_PCI_COMMON_GF, 4, features);
	rig_set(g, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	rig_set(g, VIRTIO_PCI_COMMON_GF, 4, BIT(VIRTIO_F_VERSION_1 - 32));
	rig_set(g, VIRTIO_PCI_COMMON_STATUS, 1, 11);
	for (unsigned q = 0; q < 2; q++) {
		rig_set(g, VIRTIO_PCI_COMMON_Q_SELECT, 2, q);
		rig_set(g, VIRTIO_PCI_COMMON_Q_SIZE, 2, RIG_ENTRIES);
		rig_set(g, VIRTIO_PCI_COMMON_Q_DESCLO, 8, rig_at(g, q * RIG_QUEUE));
		rig_set(g, VIRTIO_PCI_COMMON_Q_AVAILLO, 8, rig_at(g, q * RIG_QUEUE + RIG_AVAIL));
		rig_set(g, VIRTIO_PCI_COMMON_Q_USEDLO, 8, rig_at(g, q * RIG_QUEUE + RIG_USED));
		rig_set(g, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	}
	rig_set(g, VIRTIO_PCI_COMMON_STATUS, 1, 15);
	rig_kick(g, VSOCK_RX);
}

/* Gives @n buffers of @size bytes; those of more than 256 overlap sooner or later. */
static void rig_add(unsigned g, unsigned n, uint32_t size)
{
	struct vring_avail *avail = rig_avail(g, VSOCK_RX);

	rig[g].buffer_size = size;
	for (unsigned i = 0; i < n; i++) {
		uint16_t head = avail->idx % RIG_ENTRIES;
		uint32_t apart = MAX(size, (uint32_t)RIG_BUFFERS_SIZE / RIG_ENTRIES);
		uint64_t room = RIG_BUFFERS_SIZE / apart;

		rig_desc(g, VSOCK_RX)[head] =
			(struct vring_desc){.addr = rig_at(g, RIG_BUFFERS + head % room * apart),
					    .len = size,
					    .flags = VRING_DESC_F_WRITE};
		avail->ring[head] = head;
		avail->idx++;
	}
	rig_kick(g, VSOCK_RX);
}

/* The same, and all that follows from it. */
static void rig_give(unsigned g, unsigned n, uint32_t size)
{
	rig_add(g, n, size);
	rig_run();
}

/* Puts a packet into the queue, with .len bytes of what is at RIG_PAYLOAD; does not notify. */
static void rig_put(unsigned g, const struct virtio_vsock_hdr *hdr)
{
	struct vring_avail *avail = rig_avail(g, VSOCK_TX);
	uint16_t head = avail->idx % (RIG_ENTRIES / 2) * 2;
	struct vring_desc *d = &rig_desc(g, VSOCK_TX)[head];
	uint64_t gpa = rig_at(g, RIG_HEADERS + head / 2 * 64);

	memcpy(at(gpa), hdr, sizeof(*hdr));
	d[0] = (struct vring_desc){
		.addr = gpa, .len = sizeof(*hdr), .flags = VRING_DESC_F_NEXT, .next = head + 1};
	d[1] = (struct vring_desc){.addr = rig_at(g, RIG_PAYLOAD), .len = hdr->len};
	avail->ring[avail->idx++ % RIG_ENTRIES] = head;
}

/* The next packet that the driver of @g was given, its payload in *@data; NULL: none. */
static const struct virtio_vsock_hdr *rig_next(unsigned g, const uint8_t **data)
{
	const struct vring_used *used = rig_used(g, VSOCK_RX);
	const struct vring_used_elem *e = &used->ring[rig[g].seen % RIG_ENTRIES];
	const struct virtio_vsock_hdr *hdr;

	if ((uint16_t)rig[g].seen == used->idx)
		return NULL;
	rig[g].seen++;
	hdr = at(rig_desc(g, VSOCK_RX)[e->id].addr);
	*data = (const uint8_t *)(hdr + 1);
	return e->len == sizeof(*hdr) + hdr->len ? hdr : NULL;
}

static void rig_create(unsigned g, uint32_t cid, const char *group)
{
	struct rig_guest *guest = &rig[g];

	*guest = (struct rig_guest){.vcpu = {.vm = &guest->vm}};
	guest->vm.id = g;
	guest->vm.vcpu[0] = &guest->vcpu;
	guest->vm.settings.vsock_cid = cid;
	strcpy(guest->vm.settings.vsock_group, group);
	strcpy(guest->vm.settings.name, "name");
	if (!virtio_vsock_add(&guest->vm))
		guest->v = rig_new;
}

static void rig_clear(void)
{
	memset(vsock_ports, 0, sizeof(vsock_ports));
	host.callers = 0;
	rig_allocated = rig_log_lines = 0;
	rig_now = 100 * NS_PER_SEC;
	ram_out = false;
	memset(rig, 0, sizeof(rig));
}

#endif
