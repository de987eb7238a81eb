/* SPDX-License-Identifier: BSD-2-Clause */
/* The socket device (virtio 1.2, 5.10): packets between a guest's queues and the switch. */
#include <linux/virtio_ids.h>
#include "vsock.h"
#include "socle/drivers/virtio.h"
#include "socle/kernel/time.h"
#include "socle/mm/frames.h"
#include "socle/string.h"

enum {
	FEATURE_STREAM = 0, /* 5.10.3; 6.1's header lacks it */
	TURN_PACKETS = 64,  /* before others may have the CPU; of 4 KiB at most */
};

#define LOOK_AGAIN (VSOCK_STALL / 4)

static struct vsock *vsock(struct virtio_device *dev)
{
	return container_of(dev, struct vsock, dev);
}

/* --- From the driver --- */

/* Begins with the request in dev.chain; false: there is nothing to pass on. */
static bool start(struct vsock *v)
{
	struct virtio_device *dev = &v->dev;
	struct virtio_vsock_hdr *hdr = &v->hdr;

	v->passed = 0;
	if (virtio_chain_read(&dev->queue[VSOCK_TX].ring, &dev->chain, 0, hdr, VSOCK_HDR) <
	    VSOCK_HDR) {
		virtio_break(dev, "a packet without a whole header");
		return false;
	}
	if (hdr->op != VIRTIO_VSOCK_OP_RW)
		hdr->len = 0;
	if (hdr->len > dev->chain.read_bytes - VSOCK_HDR) {
		virtio_break(dev, "a packet that is shorter than its header says");
		return false;
	}
	switch (vsock_route(&v->port, hdr, &v->route)) {
	case VSOCK_PASS:
		return true;
	case VSOCK_HOST:
		v->port.stats.sent += hdr->len;
		vsock_host_take(v, &v->route, hdr);
		return false;
	case VSOCK_DROP:
		break;
	}
	return false;
}

/* Fills @slot with the next piece of the packet under way. */
static void fill(struct vsock *v, struct vsock_slot *slot)
{
	uint32_t n = MIN(v->hdr.len - v->passed, (uint32_t)VSOCK_PIECE);
	const uint32_t ends = VIRTIO_VSOCK_SEQ_EOM | VIRTIO_VSOCK_SEQ_EOR;

	slot->hdr = v->hdr;
	slot->hdr.len = n;
	if (v->hdr.op == VIRTIO_VSOCK_OP_RW && v->passed + n < v->hdr.len)
		slot->hdr.flags &= ~ends;
	/* What memory ran out for stays as it is in the slot: bytes of packets must not leak. */
	if (virtio_chain_read(&v->dev.queue[VSOCK_TX].ring, &v->dev.chain, VSOCK_HDR + v->passed,
			      slot->data, n) < n)
		memset(slot->data, 0, n);
	v->passed += n;
	v->port.stats.sent += n;
}

/* Passes on what is left of a packet, up to @pieces; -S_AGAIN: not all. */
static status_t pass(struct vsock *v, unsigned *pieces)
{
	do {
		struct vsock_slot *slot;
		status_t status;

		if (!*pieces)
			return -S_AGAIN;
		status = vsock_reserve(&v->port, &v->route, &slot);
		if (status == -S_AGAIN) {
			/* Who makes room says so; of one that never does we have to think. */
			if (!timer_armed(&v->stall))
				timer_set(&v->stall, time_now() + LOOK_AGAIN);
			return status;
		}
		if (status)
			return 0; /* nobody wants it any more */
		fill(v, slot);
		vsock_publish(v->route.to, slot);
		--*pieces;
	} while (v->passed < v->hdr.len);
	return 0;
}

static bool transmit(struct vsock *v)
{
	struct virtio_device *dev = &v->dev;
	unsigned pieces = TURN_PACKETS;

	for (unsigned i = 0; i < TURN_PACKETS && pieces; i++) {
		bool on = v->held;

		if (v->held)
			dev->chain = v->chain;
		else if (!virtio_pop(dev, VSOCK_TX))
			return false;
		else
			on = start(v);
		v->held = on && pass(v, &pieces);
		if (v->held) {
			/* Packets for the driver use dev.chain meanwhile. */
			v->chain = dev->chain;
			return !pieces;
		}
		virtio_push(dev, VSOCK_TX, 0);
	}
	return true;
}

/* Not the switch: that may be asked by another CPU at the same time. */
static void ask_again(struct timer *timer)
{
	virtio_ask(&container_of(timer, struct vsock, stall)->dev, VSOCK_TX);
}

/* --- To the driver --- */

/*
 * Puts up to @len bytes of @data, from @at on, behind @hdr into the request in dev.chain. Returns
 * how many of them.
 */
static uint32_t deliver(struct vsock *v, const struct virtio_vsock_hdr *hdr, const uint8_t *data,
			uint32_t at)
{
	struct virtio_device *dev = &v->dev;
	struct virtio_ring *ring = &dev->queue[VSOCK_RX].ring;
	const uint32_t ends = VIRTIO_VSOCK_SEQ_EOM | VIRTIO_VSOCK_SEQ_EOR;
	struct virtio_vsock_hdr h = *hdr;
	size_t done;

	if (dev->chain.write_bytes < VSOCK_HDR + !!hdr->len) {
		virtio_break(dev, "a buffer without room for a packet");
		return 0;
	}
	h.len = (uint32_t)MIN((uint64_t)hdr->len - at, dev->chain.write_bytes - VSOCK_HDR);
	if (h.op == VIRTIO_VSOCK_OP_RW && at + h.len < hdr->len)
		h.flags &= ~ends;
	done = virtio_chain_write(ring, &dev->chain, 0, &h, VSOCK_HDR);
	if (done == VSOCK_HDR)
		done += virtio_chain_write(ring, &dev->chain, VSOCK_HDR, data + at, h.len);
	virtio_push(dev, VSOCK_RX, (uint32_t)done);
	v->port.stats.received += h.len;
	return h.len;
}

/* The rest of the packet in @slot, or as much as one buffer takes. */
static void put_slot(struct vsock *v, struct vsock_slot *slot)
{
	slot->taken += deliver(v, &slot->hdr, slot->data, slot->taken);
	if (slot->taken >= slot->hdr.len)
		vsock_done(&v->port);
}

/* Likewise of what Socle has to say. */
static void put_out(struct vsock *v)
{
	v->out.at += deliver(v, &v->out.hdr, v->out.data, v->out.at);
	v->out.full = v->out.at < v->out.hdr.len;
}

/* Is there something for the driver that others have no part in? First of all, ends of connections.
 */
static bool next_out(struct vsock *v, bool hosts_turn)
{
	if (v->out.full)
		return true;
	v->out.at = 0;
	v->out.full = vsock_owed(&v->port, &v->out.hdr) || (hosts_turn && vsock_host_next(v));
	return v->out.full;
}

/* One packet for the driver, from Socle and from other guests by turns; false: none, or no buffer.
 */
static bool receive_one(struct vsock *v)
{
	bool out = next_out(v, v->hosts_turn);
	struct vsock_slot *slot = out ? NULL : vsock_first(&v->port);

	if (!out && !slot && !v->hosts_turn)
		out = next_out(v, true);
	/* Without a packet for it, a buffer stays where it is. */
	if ((!slot && !out) || !virtio_pop(&v->dev, VSOCK_RX))
		return false;
	v->hosts_turn = !out;
	if (out)
		put_out(v);
	else
		put_slot(v, slot);
	return true;
}

static bool receive(struct vsock *v)
{
	for (unsigned i = 0; i < TURN_PACKETS; i++)
		if (!receive_one(v))
			return false;
	return true;
}

/* --- The device --- */

static bool vsock_work(struct virtio_device *dev, unsigned queue)
{
	struct vsock *v = vsock(dev);
	bool more;

	vsock_up(&v->port, dev->driver_features & BIT(VIRTIO_VSOCK_F_SEQPACKET));
	if (queue == VSOCK_TX) {
		more = transmit(v);
		if (!v->held && timer_armed(&v->stall))
			timer_cancel(&v->stall);
		return more;
	}
	/* Nothing that this version does interrupts all of a guest's connections: no events. */
	return queue == VSOCK_RX && receive(v);
}

static void vsock_reset(struct virtio_device *dev)
{
	struct vsock *v = vsock(dev);

	vsock_down(&v->port);
	timer_cancel(&v->stall);
	v->held = v->out.full = false;
	for (unsigned i = 0; i < VSOCK_SERVED; i++)
		v->served[i].link = NULL;
}

status_t virtio_vsock_add(struct vm *vm)
{
	static const struct virtio_ops ops = {.work = vsock_work, .reset = vsock_reset};
	static const struct virtio_kind kind = {
		.name = "virtio-vsock",
		.id = VIRTIO_ID_VSOCK,
		.pci_class = 0x078000, /* other communication controller */
		.queues = VSOCK_QUEUES,
		.features = BIT(FEATURE_STREAM) | BIT(VIRTIO_VSOCK_F_SEQPACKET),
		.ops = &ops,
	};
	struct vsock *v = pages_alloc(sizeof(*v), OWNER_VM_CORE);

	if (!v)
		return -S_NOMEM;
	timer_init(&v->stall, ask_again);
	v->config.guest_cid = vm->settings.vsock_cid;
	v->port.cid = vm->settings.vsock_cid;
	v->port.id = vm->id;
	v->port.group = vm->settings.vsock_group;
	v->port.dev = &v->dev;
	v->port.link = v->link;
	v->port.slot = v->slot;
	v->dev.kind = &kind;
	v->dev.vm = vm;
	v->dev.config = (uint8_t *)&v->config;
	v->dev.config_size = sizeof(v->config);
	return virtio_pci_add(&v->dev);
}
