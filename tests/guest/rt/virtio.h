/* SPDX-License-Identifier: BSD-2-Clause */
/* A driver for virtio devices over PCI, for test guests: finding one, its registers, split rings.
 */
#ifndef VIRTIO_H
#define VIRTIO_H

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include "rt.h"

enum { VQ_MAX = 64 };
enum { VEC_CONFIG = 0x51, VEC_QUEUE = 0x52 }; /* of virtio_messages() */

/* PCI configuration by ports, of function 0 of @slot. */
uint32_t pci_read(unsigned slot, unsigned offset);
void pci_write(unsigned slot, unsigned offset, uint32_t value);
void pci_write16(unsigned slot, unsigned offset, uint16_t value);
/* Offset of a capability behind @from (0: the first), 0: there is none. */
unsigned pci_capability(unsigned slot, uint8_t id, unsigned from);

/* A device that was found. Registers are used through the functions below. */
struct virtio {
	unsigned slot;
	uint64_t common, notify, isr, device; /* addresses; 0: no such structure */
	uint32_t stride;		      /* of notify */
	unsigned pci_cfg, msix;		      /* offsets of capabilities */
	uint64_t msix_table;
	uint64_t features; /* that were agreed on */
};

/* Finds the first device of that kind (VIRTIO_ID_...), and turns its memory and mastering on. */
bool virtio_find(struct virtio *v, unsigned id);
uint32_t virtio_get(struct virtio *v, unsigned offset, unsigned size);
void virtio_set(struct virtio *v, unsigned offset, unsigned size, uint32_t value);
static inline uint8_t virtio_status(struct virtio *v)
{
	return (uint8_t)virtio_get(v, VIRTIO_PCI_COMMON_STATUS, 1);
}
static inline void virtio_set_status(struct virtio *v, uint8_t status)
{
	virtio_set(v, VIRTIO_PCI_COMMON_STATUS, 1, status);
}
uint64_t virtio_offered(struct virtio *v);
/* Reset, and negotiation up to FEATURES_OK with what is in @wanted and offered; false: refused. */
bool virtio_begin(struct virtio *v, uint64_t wanted);

/* A queue as it lies in memory; events follow the last entry that is used. */
struct vq {
	struct vring_desc desc[VQ_MAX];
	struct {
		uint16_t flags, idx, ring[VQ_MAX + 1];
	} avail;
	struct {
		uint16_t flags, idx;
		struct vring_used_elem ring[VQ_MAX + 1];
	} used __aligned(4);
	uint16_t size; /* VQ_MAX, or less if the device has no more */
	uint16_t seen; /* used entries that were taken */
} __aligned(16);

static inline uint16_t *vq_used_event(struct vq *q)
{
	return &q->avail.ring[q->size];
}
static inline uint16_t vq_avail_event(const struct vq *q)
{
	return (uint16_t)q->used.ring[q->size].id;
}

/* Clears @q and makes it queue @index of the device, before DRIVER_OK. */
void vq_start(struct virtio *v, struct vq *q, unsigned index, uint16_t vector);
void vq_describe(struct vq *q, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
		 uint16_t next);
/* Makes the chain that begins at @head available, without notification. */
void vq_offer(struct vq *q, uint16_t head);
void vq_notify(struct virtio *v, unsigned index);
/* How many requests came back since the last time. */
unsigned vq_returned(struct vq *q);

/* Waits a second at most for @wanted requests to come back; gives how many did. */
unsigned vq_wait(struct vq *q, unsigned wanted);

/*
 * A device that works by queue @index alone, with these features, and by messages: 0 of MSI-X for
 * its configuration, 1 for its queue. False: it refuses the features. virtio_messages() comes
 * first.
 */
bool virtio_start(struct virtio *v, struct vq *q, unsigned index, uint64_t features);
/* Counts those messages: their handlers, entries of MSI-X, and MSI-X on. */
void virtio_messages(struct virtio *v);
extern volatile unsigned virtio_config_irqs, virtio_queue_irqs;

/* A message for @vector of MSI-X, to local APIC @apic. */
void msix_set(struct virtio *v, unsigned entry, uint32_t apic, uint8_t vector, bool masked);
void msix_enable(struct virtio *v, bool on, bool mask_all);

#endif
