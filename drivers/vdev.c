/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver's side of virtio over PCI: registers, negotiation, reset (virtio 1.2, 3.1 and 4.1). */
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include "socle/cpu/mmio.h"
#include "socle/cpu/regs.h"
#include "socle/cpu/tsc.h"
#include "socle/mm/frames.h"
#include "socle/string.h"
#include "vdev.h"

enum {
	RESET_MS = 100, /* that a device may take; no real one is near that */
	CONFIG_TRIES = 100,
	FIRST_VECTOR = 0,
	GONE = 0xff, /* what is read where nobody answers */
};

static unsigned status_of(const struct vdev *v)
{
	return mmio_read8(v->common + VIRTIO_PCI_COMMON_STATUS);
}

static void add_status(struct vdev *v, unsigned bit)
{
	mmio_write8(v->common + VIRTIO_PCI_COMMON_STATUS, (uint8_t)(status_of(v) | bit));
}

/* Status reads 0 when the reset is done (4.1.4.3.2). */
static bool reset(struct vdev *v)
{
	uint64_t begin = rdtsc();

	mmio_write8(v->common + VIRTIO_PCI_COMMON_STATUS, 0);
	do {
		if (!status_of(v))
			return true;
		cpu_pause();
	} while (rdtsc() - begin < tsc_hz / 1000 * RESET_MS);
	return false;
}

/*
 * Finds the structure of @type: where it is mapped, with at least @least bytes; *@size has them. A
 * device may offer several, the first that is right is used (4.1.4.1). *@cap: its capability.
 */
static volatile uint8_t *find(struct vdev *v, unsigned type, uint32_t least, uint32_t *size,
			      unsigned *cap)
{
	for (unsigned n = 0; (*cap = host_pci_capability(v->pci, PCI_CAP_VENDOR, n)); n++) {
		volatile uint8_t *bar;
		uint32_t offset;
		uint64_t bytes;

		if (*cap + sizeof(struct virtio_pci_notify_cap) > PCI_CONFIG_SIZE ||
		    host_pci_read(v->pci, *cap + VIRTIO_PCI_CAP_CFG_TYPE, 1) != type)
			continue;
		offset = host_pci_read(v->pci, *cap + VIRTIO_PCI_CAP_OFFSET, 4);
		*size = host_pci_read(v->pci, *cap + VIRTIO_PCI_CAP_LENGTH, 4);
		bar = host_pci_map(v->pci, host_pci_read(v->pci, *cap + VIRTIO_PCI_CAP_BAR, 1),
				   &bytes);
		if (bar && *size >= least && offset <= bytes && *size <= bytes - offset)
			return bar + offset;
	}
	return NULL;
}

static bool find_all(struct vdev *v)
{
	uint32_t size;
	unsigned cap;

	v->common = find(v, VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_PCI_COMMON_Q_NDATA, &size, &cap);
	v->isr = find(v, VIRTIO_PCI_CAP_ISR_CFG, 1, &size, &cap);
	v->config = find(v, VIRTIO_PCI_CAP_DEVICE_CFG, 1, &v->config_size, &cap);
	v->notify = find(v, VIRTIO_PCI_CAP_NOTIFY_CFG, 2, &v->notify_size, &cap);
	if (!v->common || !v->isr || !v->notify)
		return false;
	v->notify_step = host_pci_read(v->pci, cap + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
	return true;
}

static uint64_t offered(struct vdev *v)
{
	uint64_t features;

	mmio_write32(v->common + VIRTIO_PCI_COMMON_DFSELECT, 1);
	features = (uint64_t)mmio_read32(v->common + VIRTIO_PCI_COMMON_DF) << 32;
	mmio_write32(v->common + VIRTIO_PCI_COMMON_DFSELECT, 0);
	return features | mmio_read32(v->common + VIRTIO_PCI_COMMON_DF);
}

static status_t negotiate(struct vdev *v, uint64_t wanted)
{
	v->features = offered(v) & (wanted | BIT(VIRTIO_F_VERSION_1));
	if (!(v->features & BIT(VIRTIO_F_VERSION_1)))
		return -S_NODEV;
	mmio_write32(v->common + VIRTIO_PCI_COMMON_GFSELECT, 0);
	mmio_write32(v->common + VIRTIO_PCI_COMMON_GF, (uint32_t)v->features);
	mmio_write32(v->common + VIRTIO_PCI_COMMON_GFSELECT, 1);
	mmio_write32(v->common + VIRTIO_PCI_COMMON_GF, v->features >> 32);
	add_status(v, VIRTIO_CONFIG_S_FEATURES_OK);
	return status_of(v) & VIRTIO_CONFIG_S_FEATURES_OK ? 0 : -S_IO;
}

status_t vdev_open(struct vdev *v, struct host_pci *pci, uint64_t wanted,
		   struct host_interrupt *irq)
{
	status_t status;

	*v = (struct vdev){.pci = pci};
	if (!find_all(v))
		return -S_NODEV;
	if (!reset(v))
		return -S_IO;
	add_status(v, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	add_status(v, VIRTIO_CONFIG_S_DRIVER);
	status = negotiate(v, wanted);
	if (status) {
		(void)vdev_stop(v);
		return status;
	}
	/* With MSI-X off or MSI on, what the vectors say does not matter. */
	v->msix = host_pci_interrupt(pci, irq) && host_pci_capability(pci, PCI_CAP_MSIX, 0);
	host_pci_master(pci, true);
	return 0;
}

status_t vdev_config(struct vdev *v, unsigned offset, void *dst, unsigned len)
{
	uint8_t *to = dst, before;

	if (!v->config || offset > v->config_size || len > v->config_size - offset)
		return -S_RANGE;
	for (unsigned tries = 0; tries < CONFIG_TRIES; tries++) {
		before = mmio_read8(v->common + VIRTIO_PCI_COMMON_CFGGENERATION);
		for (unsigned i = 0; i < len; i++)
			to[i] = mmio_read8(v->config + offset + i);
		if (mmio_read8(v->common + VIRTIO_PCI_COMMON_CFGGENERATION) == before)
			return 0;
	}
	return -S_IO;
}

static void write_address(struct vdev *v, unsigned at, const void *part)
{
	uint64_t pa = virt_to_phys(part);

	mmio_write32(v->common + at, (uint32_t)pa);
	mmio_write32(v->common + at + 4, pa >> 32);
}

/*
 * The least power of two in which @wanted requests of @chain buffers fit, or the largest that the
 * device can: @max, 0 if it has no such queue.
 */
static unsigned size_for(unsigned max, unsigned wanted, unsigned chain)
{
	unsigned size = MIN(max, 1u);

	while (size && 2 * size <= MIN(max, (unsigned)VQUEUE_MAX) && size < wanted * chain)
		size *= 2;
	return size;
}

status_t vdev_queue(struct vdev *v, unsigned index, struct vqueue *q, unsigned wanted,
		    unsigned chain)
{
	uint64_t doorbell;
	unsigned size;
	status_t status;

	if (index >= mmio_read16(v->common + VIRTIO_PCI_COMMON_NUMQ))
		return -S_NOENT;
	mmio_write16(v->common + VIRTIO_PCI_COMMON_Q_SELECT, (uint16_t)index);
	size = size_for(mmio_read16(v->common + VIRTIO_PCI_COMMON_Q_SIZE), wanted, chain);
	doorbell = (uint64_t)v->notify_step * mmio_read16(v->common + VIRTIO_PCI_COMMON_Q_NOFF);
	if (size < chain || doorbell % 2 || doorbell + 2 > v->notify_size)
		return -S_IO;
	status = vqueue_init(q, size, chain);
	if (status)
		return status;
	q->index = (uint16_t)index;
	q->doorbell = v->notify + doorbell;
	mmio_write16(v->common + VIRTIO_PCI_COMMON_Q_SIZE, (uint16_t)size);
	mmio_write16(v->common + VIRTIO_PCI_COMMON_Q_MSIX,
		     v->msix ? FIRST_VECTOR : VIRTIO_MSI_NO_VECTOR);
	write_address(v, VIRTIO_PCI_COMMON_Q_DESCLO, q->desc);
	write_address(v, VIRTIO_PCI_COMMON_Q_AVAILLO, q->avail);
	write_address(v, VIRTIO_PCI_COMMON_Q_USEDLO, q->used);
	/* A device may be out of vectors; then it would never interrupt (4.1.5.1.2.2). */
	if (v->msix && mmio_read16(v->common + VIRTIO_PCI_COMMON_Q_MSIX) != FIRST_VECTOR) {
		vqueue_free(q);
		return -S_IO;
	}
	mmio_write16(v->common + VIRTIO_PCI_COMMON_Q_ENABLE, 1);
	return 0;
}

status_t vdev_start(struct vdev *v)
{
	add_status(v, VIRTIO_CONFIG_S_DRIVER_OK);
	return vdev_failed(v) ? -S_IO : 0;
}

bool vdev_failed(struct vdev *v)
{
	unsigned status = status_of(v);

	return status == GONE || (status & VIRTIO_CONFIG_S_NEEDS_RESET) ||
	       !(status & VIRTIO_CONFIG_S_DRIVER_OK);
}

bool vdev_stop(struct vdev *v)
{
	bool done = reset(v);

	host_pci_master(v->pci, false);
	return done;
}
