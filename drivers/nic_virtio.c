/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio network card of the machine (virtio 1.2, 5.1), as it is where Socle itself is a guest.
 * No offloads are accepted, so every frame is whole, and has its check sums.
 */
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>

#include "nic_driver.h"
#include "socle/drivers/pci.h"
#include "socle/format.h"
#include "socle/mm/frames.h"
#include "socle/report.h"
#include "socle/string.h"
#include "vdev.h"

enum {
	RX, TX,
	PLACES = VQUEUE_MAX, /* buffers of a queue, at most */
	HEADER = sizeof(struct virtio_net_hdr_v1), /* before each frame, in the same buffer */
	BUFFERS = PLACES * NIC_BUFFER, /* bytes */
	DEVICE_ID = 0x1040 + VIRTIO_ID_NET,
};

struct nic_virtio {
	struct nic nic;
	struct vdev dev; /* the boot CPU's, as is rx */
	struct host_interrupt irq;
	struct vqueue rx;
	uint8_t *rx_buffers;
	struct vqueue tx; /* nic.lock guards the rest */
	uint8_t *tx_buffers;
	uint8_t *tx_free[PLACES]; /* those that the card does not have */
	unsigned tx_frees;
};

static struct nic_virtio *card(struct nic *nic)
{
	return container_of(nic, struct nic_virtio, nic);
}

/* What the device did wrong, if it did, is the end of it. */
static void check(struct nic_virtio *v, const struct vqueue *q)
{
	if (q->error)
		nic_fail(&v->nic, q->error);
}

static void give_rx(struct nic_virtio *v, uint8_t *buffer)
{
	const struct vqueue_buffer b = {virt_to_phys(buffer), NIC_BUFFER};

	if (vqueue_add(&v->rx, &b, 0, 1, buffer))
		check(v, &v->rx);
}

static status_t start(struct nic *nic)
{
	struct nic_virtio *v = card(nic);
	status_t status;

	for (unsigned i = 0; i < v->rx.slots; i++)
		give_rx(v, v->rx_buffers + i * NIC_BUFFER);
	vqueue_quiet(&v->tx, true);
	status = vdev_start(&v->dev);
	if (!status)
		vqueue_kick(&v->rx);
	return status;
}

static uint8_t *tx_buffer(struct nic *nic)
{
	struct nic_virtio *v = card(nic);
	uint32_t written;
	uint8_t *buffer;

	/* The card's reports are looked at when they are needed, many at a time. */
	while (!v->tx_frees && (buffer = vqueue_get(&v->tx, &written)))
		v->tx_free[v->tx_frees++] = buffer;
	check(v, &v->tx);
	return v->tx_frees ? v->tx_free[v->tx_frees - 1] + HEADER : NULL;
}

static void tx_queue(struct nic *nic, uint32_t len)
{
	struct nic_virtio *v = card(nic);
	uint8_t *buffer = v->tx_free[v->tx_frees - 1];
	const struct vqueue_buffer b = {virt_to_phys(buffer), HEADER + len};

	/* The header stays as it is: all zero, no offload. */
	if (vqueue_add(&v->tx, &b, 1, 0, buffer))
		check(v, &v->tx);
	else
		v->tx_frees--;
}

static void tx_kick(struct nic *nic)
{
	vqueue_kick(&card(nic)->tx);
}

static unsigned receive(struct nic *nic, unsigned most)
{
	struct nic_virtio *v = card(nic);
	uint8_t *buffer;
	uint32_t len;
	unsigned n;

	for (n = 0; n < most && (buffer = vqueue_get(&v->rx, &len)); n++) {
		nic_receive(nic, len > HEADER ? buffer + HEADER : NULL, len - HEADER);
		give_rx(v, buffer);
	}
	if (n)
		vqueue_kick(&v->rx);
	check(v, &v->rx);
	return n;
}

static bool has_link(struct nic *nic)
{
	struct nic_virtio *v = card(nic);
	uint16_t status = VIRTIO_NET_S_LINK_UP;

	if (vdev_failed(&v->dev))
		nic_fail(nic, "the device says that it failed");
	else if (v->dev.features & BIT(VIRTIO_NET_F_STATUS) &&
		 vdev_config(&v->dev, offsetof(struct virtio_net_config, status), &status,
			     sizeof(status)))
		nic_fail(nic, "its configuration cannot be read");
	return status & VIRTIO_NET_S_LINK_UP;
}

static bool waiting(const struct nic_virtio *v)
{
	return READ_ONCE(v->rx.used->idx) != v->rx.next_used;
}

static bool wait_for(struct nic *nic)
{
	struct nic_virtio *v = card(nic);

	if (!v->dev.msix)
		return false;
	vqueue_quiet(&v->rx, false);
	if (!waiting(v))
		return true;
	vqueue_quiet(&v->rx, true);
	return false;
}

static void interrupted(struct host_interrupt *irq)
{
	struct nic_virtio *v = container_of(irq, struct nic_virtio, irq);

	/* The vector is shared; and before nic_open() nothing can wait. */
	if (!v->rx.used || !waiting(v))
		return;
	vqueue_quiet(&v->rx, true);
	nic_ready(&v->nic);
}

/* Buffers and queues; what is wrong, or NULL. */
static const char *make_queues(struct nic_virtio *v)
{
	v->rx_buffers = pages_alloc(BUFFERS, OWNER_CORE);
	v->tx_buffers = pages_alloc(BUFFERS, OWNER_CORE);
	if (!v->rx_buffers || !v->tx_buffers)
		return "out of memory";
	if (vdev_queue(&v->dev, RX, &v->rx, PLACES, 1) ||
	    vdev_queue(&v->dev, TX, &v->tx, PLACES, 1))
		return "its queues cannot be used";
	for (; v->tx_frees < v->tx.slots; v->tx_frees++)
		v->tx_free[v->tx_frees] = v->tx_buffers + v->tx_frees * NIC_BUFFER;
	return NULL;
}

static const char *bring_up(struct nic_virtio *v, const struct host_pci *fn)
{
	const char *wrong = make_queues(v);

	if (wrong)
		return wrong;
	/* One without an address would want one of ours. */
	if (!(v->dev.features & BIT(VIRTIO_NET_F_MAC)) ||
	    vdev_config(&v->dev, offsetof(struct virtio_net_config, mac), v->nic.mac, NIC_MAC))
		return "it has no address";
	format(v->nic.where, sizeof(v->nic.where), "%02x:%02x.%u", fn->bus, fn->slot, fn->function);
	return nic_add(&v->nic) ? "too many network cards" : NULL;
}

/* For a device that does not use the memory any more. */
static void free_all(struct nic_virtio *v)
{
	if (v->rx.desc)
		vqueue_free(&v->rx);
	if (v->tx.desc)
		vqueue_free(&v->tx);
	pages_free(v->rx_buffers, BUFFERS, OWNER_CORE);
	pages_free(v->tx_buffers, BUFFERS, OWNER_CORE);
}

static const struct nic_ops ops = {
	.driver = "virtio-net",
	.start = start,
	.tx_buffer = tx_buffer,
	.tx_queue = tx_queue,
	.tx_kick = tx_kick,
	.receive = receive,
	.link = has_link,
	.wait = wait_for,
};

static bool probe(struct host_pci *fn)
{
	struct nic_virtio *v = pages_alloc(sizeof(*v), OWNER_CORE);
	const char *wrong = "out of memory";

	if (v) {
		v->nic.ops = &ops;
		v->irq.handle = interrupted;
		wrong = "it does not answer as a modern virtio device does";
	}
	if (v &&
	    !vdev_open(&v->dev, fn, BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS), &v->irq)) {
		wrong = bring_up(v, fn);
		/* The interrupt stays bound, and so does @v. */
		if (wrong && vdev_stop(&v->dev))
			free_all(v);
	}
	if (wrong)
		log_error("virtio-net at %02x:%02x.%u: %s", fn->bus, fn->slot, fn->function, wrong);
	return !wrong;
}
HOST_PCI_DRIVER(virtio_net, .name = "virtio-net", .vendor = 0x1af4, .device = DEVICE_ID,
		.probe = probe);
