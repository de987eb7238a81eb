/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtio device of the machine, as its driver sees it (virtio 1.2 over PCI, modern). */
#ifndef DRIVERS_VDEV_H
#define DRIVERS_VDEV_H

#include "socle/drivers/pci.h"
#include "socle/status.h"
#include "vqueue.h"

/* Its owner's, who serialises all calls. */
struct vdev {
	struct host_pci *pci;
	volatile uint8_t *common; /* struct virtio_pci_common_cfg */
	volatile uint8_t *notify;
	volatile uint8_t *isr;	  /* without MSI-X, reading it takes the interrupt back */
	volatile uint8_t *config; /* the device's own configuration; NULL: none */
	uint32_t notify_size;	  /* bytes that are there */
	uint32_t notify_step;	  /* bytes between two doorbells */
	uint32_t config_size;
	uint64_t features; /* that both sides have */
	bool msix;	   /* queues interrupt by entry 0 */
};

/*
 * Takes @pci, a virtio device, over: finds and maps its registers, resets it, accepts those of the
 * features in @wanted (and VERSION_1) that it offers, and has @irq called for its interrupts, which
 * stays even if what follows fails. At boot. -S_NODEV: it is no modern device, or its capabilities
 * are wrong; -S_IO: it does not answer, or does not take the features. Then it is reset.
 */
status_t __must_check vdev_open(struct vdev *v, struct host_pci *pci, uint64_t wanted,
				struct host_interrupt *irq);

/*
 * Reads @len bytes of its configuration at @offset, by bytes, all of the same moment. -S_RANGE: it
 * has not so many; -S_IO: it changes all the time.
 */
status_t __must_check vdev_config(struct vdev *v, unsigned offset, void *dst, unsigned len);

/*
 * Makes queue @index, for at most @wanted requests of at most @chain buffers each, before
 * vdev_start(). -S_NOENT: there is no such queue; -S_NOMEM; -S_IO: what it says of it is wrong.
 */
status_t __must_check vdev_queue(struct vdev *v, unsigned index, struct vqueue *q, unsigned wanted,
				 unsigned chain);

/* From now on it works. -S_IO: it does not want to. */
status_t __must_check vdev_start(struct vdev *v);

/* Does it say that it needs a reset, or is it gone? */
bool vdev_failed(struct vdev *v);

/*
 * Resets it and turns its bus mastering off, after which it writes to no memory any more. On the
 * boot CPU; takes at most 100 ms. False: it did not answer to the reset.
 */
bool vdev_stop(struct vdev *v);

#endif
