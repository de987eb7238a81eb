/* SPDX-License-Identifier: BSD-2-Clause */
/* The network device (virtio 1.2, 5.1): a port of a switch; frames go from guest to guest at once.
 */
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include "device.h"
#include "socle/drivers/net.h"
#include "socle/drivers/virtio.h"
#include "socle/format.h"
#include "socle/kernel/time.h"
#include "socle/mm/frames.h"
#include "socle/stats.h"
#include "socle/string.h"

enum { RX, TX, QUEUES };

enum {
	HEADER = sizeof(struct virtio_net_hdr_v1),
	TURN_BYTES = MiB,    /* copied, before others may have the CPU; a frame is finished */
	TURN_REQUESTS = 256,
	BATCH_US = 100,	     /* frames wait for others, while the driver's vCPU is busy */
	ETHERNET = 0x020000, /* PCI's class */
};

/*
 * What the guest sends is worked on under dev.lock, and given to the receivers with their @receive.
 * That guards the queue RX and what is sent to it; registers change only with both.
 */
struct net_device {
	struct virtio_device dev;
	struct virtio_kind kind;
	struct virtio_net_config config;
	struct net_port port;
	char name[16], port_name[VM_NAME_MAX + 4];
	struct spinlock receive;
	struct virtio_chain first, next; /* requests of RX that are filled; @receive */
};

/* A frame in the readable buffers of dev.chain, behind the header. */
struct tx_source {
	struct net_source source;
	struct virtio_device *dev;
	struct virtio_cursor cursor;
};

static const void *tx_piece(const struct net_source *source, uint32_t at, uint32_t *len)
{
	struct tx_source *s = container_of(source, struct tx_source, source);

	return virtio_chain_piece(&s->dev->queue[TX].ring, &s->dev->chain, false, &s->cursor,
				  (uint64_t)at + HEADER, len);
}

/* What is asked for in @h; false: it is something that the driver has not accepted. */
static bool read_offload(const struct virtio_device *dev, const struct virtio_net_hdr_v1 *h,
			 struct net_offload *o)
{
	*o = (struct net_offload){.csum_start = h->csum_start,
				  .csum_offset = h->csum_offset,
				  .gso_size = h->gso_size};
	o->checksum = h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	if (o->checksum && !(dev->driver_features & BIT(VIRTIO_NET_F_CSUM)))
		return false;
	switch (h->gso_type) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return true;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		o->gso = NET_CAN_TCP4;
		return dev->driver_features & BIT(VIRTIO_NET_F_HOST_TSO4);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		o->gso = NET_CAN_TCP6;
		return dev->driver_features & BIT(VIRTIO_NET_F_HOST_TSO6);
	default:
		return false;
	}
}

/* Sends the frame in dev.chain, and adds to @bytes what was copied; false: it is none. */
static bool send_chain(struct net_device *d, uint64_t *bytes)
{
	struct tx_source source = {.source.piece = tx_piece, .dev = &d->dev};
	const struct virtio_chain *chain = &d->dev.chain;
	struct virtio_net_hdr_v1 h;
	struct net_offload o;
	struct net_frame f;

	if (virtio_chain_read(&d->dev.queue[TX].ring, chain, 0, &h, HEADER) != HEADER) {
		virtio_break(&d->dev, "a frame without its header");
		return false;
	}
	if (chain->read_bytes - HEADER > UINT32_MAX || !read_offload(&d->dev, &h, &o) ||
	    !net_frame_init(&f, &source.source, (uint32_t)(chain->read_bytes - HEADER), &o)) {
		net_drop(&d->port);
		return true;
	}
	*bytes += (uint64_t)f.len * net_switch(&d->port, &f);
	return true;
}

static bool net_work(struct virtio_device *dev, unsigned queue)
{
	struct net_device *d = container_of(dev, struct net_device, dev);
	uint64_t bytes = 0;
	bool more = true;

	for (unsigned i = 0; i < TURN_REQUESTS && bytes < TURN_BYTES; i++) {
		more = virtio_pop(dev, queue) && send_chain(d, &bytes);
		if (!more)
			break;
		virtio_push(dev, queue, 0);
	}
	net_flush(&d->port);
	return more;
}

static unsigned port_can(struct net_port *port)
{
	const struct net_device *d = container_of(port, struct net_device, port);
	uint64_t features = __atomic_load_n(&d->dev.driver_features, __ATOMIC_RELAXED);

	if (!(features & BIT(VIRTIO_NET_F_GUEST_CSUM)))
		return 0;
	return NET_CAN_CHECKSUM | (features & BIT(VIRTIO_NET_F_GUEST_TSO4) ? NET_CAN_TCP4 : 0) |
	       (features & BIT(VIRTIO_NET_F_GUEST_TSO6) ? NET_CAN_TCP6 : 0);
}

/* Fills @chain from byte @skip on with @f from byte @at on. Returns how much fits; 0: an error. */
static uint32_t fill(struct net_device *d, const struct virtio_chain *chain, uint32_t skip,
		     const struct net_frame *f, uint32_t at)
{
	uint32_t size = (uint32_t)MIN(chain->write_bytes - skip, (uint64_t)(f->len - at));
	struct virtio_cursor cursor = {0};

	for (uint32_t done = 0, n; done < size; done += n) {
		void *to;

		n = size - done;
		to = virtio_chain_piece(&d->dev.queue[RX].ring, chain, true, &cursor, skip + done,
					&n);
		if (!to || !net_frame_read(f, at + done, to, n))
			return 0;
	}
	return size;
}

static bool write_header(struct net_device *d, const struct net_frame *f, uint16_t buffers)
{
	const struct net_offload *o = &f->offload;
	struct virtio_net_hdr_v1 h = {.num_buffers = buffers};

	if (o->checksum) {
		h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h.csum_start = o->csum_start;
		h.csum_offset = o->csum_offset;
	} else if (o->verified && port_can(&d->port)) {
		h.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
	if (o->gso) {
		h.gso_type = o->gso == NET_CAN_TCP4 ? VIRTIO_NET_HDR_GSO_TCPV4
						    : VIRTIO_NET_HDR_GSO_TCPV6;
		h.gso_size = o->gso_size;
		h.hdr_len = o->hdr_len;
	}
	return virtio_chain_write(&d->dev.queue[RX].ring, &d->first, 0, &h, HEADER) == HEADER;
}

/* Takes a request for @chain. */
static bool pop_receive(struct net_device *d, struct virtio_chain *chain, uint32_t room)
{
	struct virtio_ring *ring = &d->dev.queue[RX].ring;

	if (virtio_ring_pop(ring, chain) != 1)
		return false;
	if (chain->write_bytes < room) {
		ring->error = "a receive buffer without room";
		return false;
	}
	return true;
}

/*
 * Puts @f into as many requests as it takes: one, without MRG_RXBUF. Returns their number, 0 if
 * there are too few, with those that were taken in @taken.
 */
static unsigned put_frame(struct net_device *d, const struct net_frame *f, unsigned *taken)
{
	bool several = d->dev.driver_features & BIT(VIRTIO_NET_F_MRG_RXBUF);
	struct virtio_ring *ring = &d->dev.queue[RX].ring;
	struct virtio_chain *chain = &d->first;
	uint32_t skip = HEADER;

	for (uint32_t at = 0, n; at < f->len; at += n, skip = 0, chain = &d->next) {
		if ((*taken && !several) || !pop_receive(d, chain, skip + 1))
			return 0;
		++*taken;
		n = fill(d, chain, skip, f, at);
		if (!n || !virtio_ring_put(ring, *taken - 1, chain->head, skip + n))
			return 0;
	}
	return write_header(d, f, (uint16_t)*taken) ? *taken : 0;
}

static bool receive(struct net_device *d, const struct net_frame *f)
{
	struct virtio_queue *q = &d->dev.queue[RX];
	unsigned taken = 0, filled = put_frame(d, f, &taken);

	if (!filled)
		virtio_ring_unpop(&q->ring, taken);
	else if (!virtio_ring_publish(&q->ring, filled))
		filled = 0;
	q->requests += filled;
	if (q->ring.error)
		virtio_break(&d->dev, q->ring.error);
	return filled;
}

/* Does @f need no more than the guest takes? It was so when net_switch() asked. */
static bool is_taken(struct net_device *d, const struct net_frame *f)
{
	unsigned needs = f->offload.gso | (f->offload.checksum ? NET_CAN_CHECKSUM : 0);

	return !(needs & ~port_can(&d->port));
}

/* On a sender's CPU. That the queue is live under the lock keeps the memory where it is. */
static bool port_deliver(struct net_port *port, const struct net_frame *f)
{
	struct net_device *d = container_of(port, struct net_device, port);
	bool done = false;

	spin_lock(&d->receive);
	if (virtio_live(&d->dev, RX) && is_taken(d, f)) {
		guest_mem_visit(&d->dev.vm->mem);
		done = receive(d, f);
		guest_mem_leave(&d->dev.vm->mem);
	}
	spin_unlock(&d->receive);
	return done;
}

static void port_flush(struct net_port *port)
{
	struct net_device *d = container_of(port, struct net_device, port);

	spin_lock(&d->receive);
	if (virtio_live(&d->dev, RX)) {
		guest_mem_visit(&d->dev.vm->mem);
		virtio_signal(&d->dev, RX);
		guest_mem_leave(&d->dev.vm->mem);
	}
	spin_unlock(&d->receive);
}

/* An address that stays the same for the guest's name: locally administered, of one station. */
static void choose_mac(uint8_t mac[NET_MAC], const char *name, unsigned index)
{
	uint32_t hash = 2166136261; /* FNV-1a */

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619;
	mac[0] = 0x02;
	memcpy(mac + 1, &hash, sizeof(hash));
	mac[5] = (uint8_t)index;
}

static void describe_net(struct net_device *d, unsigned index)
{
	static const struct net_port_ops port_ops = {
		.can = port_can, .deliver = port_deliver, .flush = port_flush};
	static const struct virtio_ops ops = {.work = net_work};
	static const uint8_t none[NET_MAC];
	const struct vm_settings *s = &d->dev.vm->settings;

	format(d->name, sizeof(d->name), "virtio-net%u", index);
	format(d->port_name, sizeof(d->port_name), "%s/%u", s->name, index);
	d->kind = (struct virtio_kind){
		.name = d->name,
		.id = VIRTIO_ID_NET,
		.pci_class = ETHERNET,
		.queues = QUEUES,
		.features = BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) |
			    BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS) |
			    BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) |
			    BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) |
			    BIT(VIRTIO_NET_F_MRG_RXBUF),
		.silent = BIT(RX),
		.batch_ns = BATCH_US * NS_PER_US,
		.ops = &ops,
	};
	memcpy(d->config.mac, s->nets[index].mac, NET_MAC);
	if (!memcmp(d->config.mac, none, NET_MAC))
		choose_mac(d->config.mac, s->name, index);
	d->config.status = VIRTIO_NET_S_LINK_UP;
	d->port.ops = &port_ops;
	d->port.name = d->port_name;
	d->port.owner = d->dev.vm;
	memcpy(d->port.mac, d->config.mac, NET_MAC);
}

status_t virtio_net_add(struct vm *vm, unsigned index)
{
	struct net_device *d = pages_alloc(sizeof(*d), OWNER_VM_CORE);
	status_t status;

	if (!d)
		return -S_NOMEM;
	d->dev.kind = &d->kind;
	d->dev.vm = vm;
	d->dev.config = (uint8_t *)&d->config;
	d->dev.config_size = offsetof(struct virtio_net_config, max_virtqueue_pairs);
	spinlock_init(&d->receive, "receive", LOCK_RECEIVE);
	d->dev.inner = &d->receive;
	describe_net(d, index);
	status = virtio_pci_add(&d->dev);
	if (status)
		return status;
	return net_port_add(vm->settings.nets[index].network, &d->port);
}

static void print(struct vm *vm, struct format_sink *out)
{
	net_print_owner(vm, out);
}
STAT_SOURCE(net_stats, .title = "net", .print = print);
