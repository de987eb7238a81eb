/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtio device's registers and state: negotiation, queues, reset (virtio 1.2, 2.1 and 3.1). */
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include "device.h"
#include "socle/kernel/log.h"
#include "socle/kernel/time.h"
#include "socle/string.h"

#define OFFERED_BY_ALL \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC))

enum {
	/* What a driver sets; it cannot clear a bit but by a reset. */
	DRIVER_STATUS = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK |
			VIRTIO_CONFIG_S_FAILED,
};

static void go_on(struct vcpu_work *w, struct vcpu *vcpu);
static void asked(struct vcpu_work *w, struct vcpu *vcpu);

static uint64_t offered(const struct virtio_device *dev)
{
	return OFFERED_BY_ALL | dev->kind->features;
}

void virtio_reset(struct virtio_device *dev)
{
	dev->driver_features = 0;
	dev->device_select = dev->driver_select = 0;
	dev->status = 0;
	dev->config_vector = VIRTIO_NO_VECTOR;
	dev->select = 0;
	for (unsigned i = 0; i < dev->kind->queues; i++) {
		struct virtio_queue *q = &dev->queue[i];

		q->dev = dev;
		q->work.run = go_on;
		q->ask.run = asked;
		q->enabled = false;
		q->vector = VIRTIO_NO_VECTOR;
		q->ring = (struct virtio_ring){.mem = &dev->vm->mem, .size = VIRTIO_RING_MAX};
	}
	if (dev->kind->ops->reset)
		dev->kind->ops->reset(dev);
	virtio_pci_quiet(dev);
}

bool virtio_live(struct virtio_device *dev, unsigned queue)
{
	const uint8_t state = VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET;

	return queue < dev->kind->queues && dev->queue[queue].enabled &&
	       (dev->status & state) == VIRTIO_CONFIG_S_DRIVER_OK && pci_is_master(&dev->fn);
}

void virtio_break(struct virtio_device *dev, const char *why)
{
	if (dev->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	/* Maybe with one lock here and with the other elsewhere, but then it is the same bit. */
	__atomic_or_fetch(&dev->status, VIRTIO_CONFIG_S_NEEDS_RESET, __ATOMIC_RELAXED);
	vm_log(dev->vm, LOG_WARN, "%s needs a reset: %s", dev->kind->name, why);
	if (dev->status & VIRTIO_CONFIG_S_DRIVER_OK)
		virtio_pci_interrupt(dev, dev->config_vector, VIRTIO_ISR_CONFIG);
}

void virtio_config_changed(struct virtio_device *dev)
{
	dev->generation++;
	if (dev->status & VIRTIO_CONFIG_S_DRIVER_OK)
		virtio_pci_interrupt(dev, dev->config_vector, VIRTIO_ISR_CONFIG);
}

bool virtio_pop(struct virtio_device *dev, unsigned queue)
{
	struct virtio_queue *q = &dev->queue[queue];
	int found = virtio_ring_pop(&q->ring, &dev->chain);

	if (found < 0)
		virtio_break(dev, q->ring.error);
	q->requests += found > 0;
	return found > 0;
}

void virtio_push(struct virtio_device *dev, unsigned queue, uint32_t written)
{
	struct virtio_queue *q = &dev->queue[queue];

	if (!virtio_ring_push(&q->ring, dev->chain.head, written))
		virtio_break(dev, q->ring.error);
}

void virtio_signal(struct virtio_device *dev, unsigned queue)
{
	struct virtio_queue *q = &dev->queue[queue];
	bool wanted = virtio_ring_signal(&q->ring);

	if (q->ring.error)
		virtio_break(dev, q->ring.error);
	if (!wanted)
		return;
	q->interrupts++;
	virtio_pci_interrupt(dev, q->vector, VIRTIO_ISR_QUEUE);
}

/* A turn of work. What is left is for the next turn of @vcpu, one vCPU at a time. */
static void work(struct virtio_device *dev, unsigned queue, struct vcpu *vcpu)
{
	struct virtio_queue *q = &dev->queue[queue];
	bool more;

	if (!virtio_live(dev, queue))
		return;
	more = dev->kind->ops->work(dev, queue);
	virtio_signal(dev, queue);
	if (!more || q->deferred || !virtio_live(dev, queue))
		return;
	q->deferred = true;
	vcpu_defer(vcpu, &q->work);
}

static void go_on(struct vcpu_work *w, struct vcpu *vcpu)
{
	struct virtio_queue *q = container_of(w, struct virtio_queue, work);
	struct virtio_device *dev = q->dev;

	spin_lock(&dev->lock);
	q->deferred = false;
	work(dev, (unsigned)(q - dev->queue), vcpu);
	spin_unlock(&dev->lock);
}

/* There is something to do, and soon there may be more, for the same exits and interrupt. */
static void wait_for_more(struct virtio_device *dev, unsigned queue, struct vcpu *vcpu)
{
	struct virtio_queue *q = &dev->queue[queue];

	if (q->deferred || !virtio_live(dev, queue))
		return;
	if (!virtio_ring_hush(&q->ring)) {
		virtio_break(dev, q->ring.error);
		return;
	}
	q->deferred = true;
	vcpu_defer_until(vcpu, &q->work, time_now() + dev->kind->batch_ns);
}

static void asked(struct vcpu_work *w, struct vcpu *vcpu)
{
	struct virtio_queue *q = container_of(w, struct virtio_queue, ask);
	struct virtio_device *dev = q->dev;

	spin_lock(&dev->lock);
	work(dev, (unsigned)(q - dev->queue), vcpu);
	spin_unlock(&dev->lock);
}

/* The first vCPU: it is always there, and only a vCPU's turn may use the guest's memory. */
void virtio_ask(struct virtio_device *dev, unsigned queue)
{
	vcpu_post(dev->vm->vcpu[0], &dev->queue[queue].ask);
}

void virtio_notify(struct virtio_device *dev, uint32_t queue, struct vcpu *vcpu)
{
	if (queue >= dev->kind->queues)
		return;
	queue = (uint32_t)array_index_nospec(queue, VIRTIO_QUEUES_MAX);
	spin_lock(&dev->lock);
	dev->queue[queue].kicks++;
	if (dev->kind->silent & BIT(queue))
		; /* it is looked at when the device has something to put there */
	else if (dev->kind->batch_ns)
		wait_for_more(dev, queue, vcpu);
	else
		work(dev, queue, vcpu);
	spin_unlock(&dev->lock);
}

/* The queue that the driver selected, or NULL. */
static struct virtio_queue *selected_queue(struct virtio_device *dev)
{
	return dev->select < dev->kind->queues
		       ? &dev->queue[array_index_nospec(dev->select, VIRTIO_QUEUES_MAX)]
		       : NULL;
}

uint64_t virtio_common_read(struct virtio_device *dev, uint32_t offset, unsigned size)
{
	const struct virtio_queue *q = selected_queue(dev);
	struct virtio_pci_common_cfg c = {
		.device_feature_select = dev->device_select,
		.device_feature =
			dev->device_select < 2 ? offered(dev) >> 32 * dev->device_select : 0,
		.guest_feature_select = dev->driver_select,
		.guest_feature = dev->driver_select < 2
					 ? dev->driver_features >> 32 * dev->driver_select
					 : 0,
		.msix_config = dev->config_vector,
		.num_queues = dev->kind->queues,
		.device_status = dev->status,
		.config_generation = dev->generation,
		.queue_select = dev->select,
		.queue_msix_vector = VIRTIO_NO_VECTOR,
	};
	uint64_t value = 0;

	if (q) {
		c.queue_size = q->ring.size;
		c.queue_msix_vector = q->vector;
		c.queue_enable = q->enabled;
		c.queue_notify_off = dev->select;
		c.queue_desc_lo = (uint32_t)q->ring.desc;
		c.queue_desc_hi = q->ring.desc >> 32;
		c.queue_avail_lo = (uint32_t)q->ring.avail;
		c.queue_avail_hi = q->ring.avail >> 32;
		c.queue_used_lo = (uint32_t)q->ring.used;
		c.queue_used_hi = q->ring.used >> 32;
	}
	if (offset < sizeof(c) && size <= sizeof(c) - offset)
		memcpy(&value, (const char *)&c + array_index_nospec(offset, sizeof(c)), size);
	return value;
}

static void set_status(struct virtio_device *dev, uint8_t value)
{
	uint8_t set = value & DRIVER_STATUS & ~dev->status;

	if (!value) {
		virtio_reset(dev);
		return;
	}
	if ((set & VIRTIO_CONFIG_S_FEATURES_OK) &&
	    ((dev->driver_features & ~offered(dev)) ||
	     !(dev->driver_features & BIT(VIRTIO_F_VERSION_1))))
		set &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	if (!((dev->status | set) & VIRTIO_CONFIG_S_FEATURES_OK))
		set &= ~VIRTIO_CONFIG_S_DRIVER_OK;
	dev->status |= set;
}

static void set_features(struct virtio_device *dev, uint32_t value)
{
	unsigned shift = 32 * dev->driver_select;

	if (dev->driver_select > 1 || (dev->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	dev->driver_features &= ~(0xffffffffull << shift);
	dev->driver_features |= (uint64_t)value << shift;
}

static uint16_t vector(const struct virtio_device *dev, uint16_t value)
{
	return value < virtio_pci_vectors(dev) ? value : VIRTIO_NO_VECTOR;
}

static void set_size(struct virtio_queue *q, uint16_t size)
{
	if (!q->enabled && size && size <= VIRTIO_RING_MAX && !(size & (size - 1)))
		q->ring.size = size;
}

static void set_half(const struct virtio_queue *q, uint64_t *address, bool high, uint32_t value)
{
	if (!q->enabled)
		memcpy((uint32_t *)address + high, &value, sizeof(value));
}

static void enable(struct virtio_device *dev, struct virtio_queue *q, uint16_t value)
{
	if (value != 1 || q->enabled || !(dev->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	q->ring.event_idx = dev->driver_features & BIT(VIRTIO_RING_F_EVENT_IDX);
	q->ring.indirect = dev->driver_features & BIT(VIRTIO_RING_F_INDIRECT_DESC);
	if (virtio_ring_start(&q->ring))
		virtio_break(dev, "a queue is misaligned or outside of memory");
	else
		q->enabled = true;
}

static void write_queue(struct virtio_device *dev, struct virtio_queue *q, uint32_t offset,
			unsigned size, uint32_t value)
{
	struct virtio_ring *r = &q->ring;

	switch (offset << 4 | size) {
	case VIRTIO_PCI_COMMON_Q_SIZE << 4 | 2:
		set_size(q, (uint16_t)value);
		break;
	case VIRTIO_PCI_COMMON_Q_MSIX << 4 | 2:
		q->vector = vector(dev, (uint16_t)value);
		break;
	case VIRTIO_PCI_COMMON_Q_ENABLE << 4 | 2:
		enable(dev, q, (uint16_t)value);
		break;
	case VIRTIO_PCI_COMMON_Q_DESCLO << 4 | 4:
	case VIRTIO_PCI_COMMON_Q_DESCHI << 4 | 4:
		set_half(q, &r->desc, offset == VIRTIO_PCI_COMMON_Q_DESCHI, value);
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILLO << 4 | 4:
	case VIRTIO_PCI_COMMON_Q_AVAILHI << 4 | 4:
		set_half(q, &r->avail, offset == VIRTIO_PCI_COMMON_Q_AVAILHI, value);
		break;
	case VIRTIO_PCI_COMMON_Q_USEDLO << 4 | 4:
	case VIRTIO_PCI_COMMON_Q_USEDHI << 4 | 4:
		set_half(q, &r->used, offset == VIRTIO_PCI_COMMON_Q_USEDHI, value);
		break;
	}
}

void virtio_common_write(struct virtio_device *dev, uint32_t offset, unsigned size, uint64_t value)
{
	struct virtio_queue *q = selected_queue(dev);

	/* An address at once, which drivers need not try. */
	if (size == 8 && offset >= VIRTIO_PCI_COMMON_Q_DESCLO) {
		virtio_common_write(dev, offset, 4, (uint32_t)value);
		virtio_common_write(dev, offset + 4, 4, value >> 32);
		return;
	}
	/* Others than a register's own width are nobody's. */
	switch (offset << 4 | size) {
	case VIRTIO_PCI_COMMON_DFSELECT << 4 | 4:
		dev->device_select = (uint32_t)value;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT << 4 | 4:
		dev->driver_select = (uint32_t)value;
		break;
	case VIRTIO_PCI_COMMON_GF << 4 | 4:
		set_features(dev, (uint32_t)value);
		break;
	case VIRTIO_PCI_COMMON_MSIX << 4 | 2:
		dev->config_vector = vector(dev, (uint16_t)value);
		break;
	case VIRTIO_PCI_COMMON_STATUS << 4 | 1:
		set_status(dev, (uint8_t)value);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT << 4 | 2:
		dev->select = (uint16_t)value;
		break;
	default:
		if (q)
			write_queue(dev, q, offset, size, (uint32_t)value);
	}
}
