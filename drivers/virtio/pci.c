/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtio-pci transport, modern devices only: capabilities, BAR, interrupts (virtio 1.2, 4.1).
 */
#include <linux/virtio_pci.h>
#include "device.h"
#include "socle/platform/board.h"
#include "socle/stats.h"
#include "socle/string.h"

enum {
	VIRTIO_VENDOR = 0x1af4,
	VIRTIO_DEVICE = 0x1040, /* and the kind's ID (4.1.2.1) */
	VIRTIO_SUBSYSTEM = 0x1100,
	VIRTIO_REVISION = 1,
};

/* BAR 0: a page for each structure. */
enum virtio_page {
	PAGE_COMMON,
	PAGE_ISR,
	PAGE_DEVICE,
	PAGE_NOTIFY,
	PAGE_MSIX,
	PAGE_PENDING,
	BAR_PAGES = 8,
};

enum {
	/* All registers that virtio 1.2 has; those that 6.1's header lacks read as 0. */
	COMMON_SIZE = VIRTIO_PCI_COMMON_Q_RESET + 2,
	NOTIFY_STRIDE = 4, /* from one queue's doorbell to the next one's */
};

static struct virtio_device *device(struct pci_function *fn)
{
	return container_of(fn, struct virtio_device, fn);
}

void virtio_pci_interrupt(struct virtio_device *dev, uint16_t vector, enum virtio_isr isr)
{
	spin_lock(&dev->vm->chips);
	if (pci_msix_enabled(&dev->msix)) {
		/* VIRTIO_NO_VECTOR is none of the table's: no interrupt then. */
		pci_msix_raise(&dev->msix, vector);
	} else {
		dev->isr |= isr;
		pci_intx(&dev->fn, true);
	}
	spin_unlock(&dev->vm->chips);
}

/* Returns what was pending. */
static uint8_t take_isr(struct virtio_device *dev)
{
	uint8_t isr;

	spin_lock(&dev->vm->chips);
	isr = dev->isr;
	dev->isr = 0;
	pci_intx(&dev->fn, false);
	spin_unlock(&dev->vm->chips);
	return isr;
}

void virtio_pci_quiet(struct virtio_device *dev)
{
	take_isr(dev);
}

static uint64_t device_config_read(struct virtio_device *dev, uint32_t offset, unsigned size)
{
	uint64_t value = 0;

	if (offset < dev->config_size && size <= dev->config_size - offset)
		memcpy(&value, dev->config + array_index_nospec(offset, dev->config_size), size);
	return value;
}

static uint64_t locked_read(struct virtio_device *dev, unsigned page, uint32_t offset,
			    unsigned size)
{
	uint64_t value;

	spin_lock(&dev->lock);
	value = page == PAGE_COMMON ? virtio_common_read(dev, offset, size)
				    : device_config_read(dev, offset, size);
	spin_unlock(&dev->lock);
	return value;
}

static uint64_t msix_read(struct virtio_device *dev, unsigned page, uint32_t offset, unsigned size)
{
	uint64_t value;

	spin_lock(&dev->vm->chips);
	value = page == PAGE_MSIX ? pci_msix_table_read(&dev->msix, offset, size)
				  : pci_msix_pending_read(&dev->msix, offset, size);
	spin_unlock(&dev->vm->chips);
	return value;
}

static uint64_t bar_read(struct pci_function *fn, struct vcpu *vcpu, uint32_t offset, unsigned size)
{
	struct virtio_device *dev = device(fn);
	unsigned page = offset >> PAGE_SHIFT;

	offset &= PAGE_SIZE - 1;
	switch (page) {
	case PAGE_COMMON:
	case PAGE_DEVICE:
		return locked_read(dev, page, offset, size);
	case PAGE_ISR:
		return offset ? 0 : take_isr(dev);
	case PAGE_MSIX:
	case PAGE_PENDING:
		return msix_read(dev, page, offset, size);
	}
	return 0;
}

static void bar_write(struct pci_function *fn, struct vcpu *vcpu, uint32_t offset, unsigned size,
		      uint64_t value)
{
	struct virtio_device *dev = device(fn);
	unsigned page = offset >> PAGE_SHIFT;

	offset &= PAGE_SIZE - 1;
	if (likely(page == PAGE_NOTIFY)) {
		/* The address says which queue; without NOTIFICATION_DATA the value says nothing.
		 */
		virtio_notify(dev, offset / NOTIFY_STRIDE, vcpu);
	} else if (page == PAGE_COMMON) {
		virtio_lock(dev);
		virtio_common_write(dev, offset, size, value);
		virtio_unlock(dev);
	} else if (page == PAGE_DEVICE && dev->kind->ops->config_write) {
		spin_lock(&dev->lock);
		dev->kind->ops->config_write(dev, offset, size, value);
		spin_unlock(&dev->lock);
	} else if (page == PAGE_MSIX) {
		spin_lock(&dev->vm->chips);
		pci_msix_table_write(&dev->msix, offset, size, value);
		spin_unlock(&dev->vm->chips);
	}
}

/* The window of the capability PCI_CFG: BAR 0 without memory accesses (4.1.4.9). */
static bool through(struct pci_function *fn, struct vcpu *vcpu, unsigned offset, unsigned size,
		    bool write, uint32_t *value)
{
	struct virtio_device *dev = device(fn);
	/* The last capability. */
	unsigned data = fn->cap_last + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);
	struct virtio_pci_cap cap;

	if (offset + size <= data || offset >= data + sizeof(uint32_t))
		return false;
	spin_lock(&dev->vm->chips);
	memcpy(&cap, &fn->config[fn->cap_last], sizeof(cap));
	spin_unlock(&dev->vm->chips);
	if (offset != data || cap.bar != 0 || cap.length != size || !IS_ALIGNED(cap.offset, size) ||
	    cap.offset >= fn->bar->size)
		return false;
	if (write)
		bar_write(fn, vcpu, cap.offset, size, *value);
	else
		*value = (uint32_t)bar_read(fn, vcpu, cap.offset, size);
	return true;
}

static void config_written(struct pci_function *fn, unsigned offset, unsigned size)
{
	struct virtio_device *dev = device(fn);

	pci_msix_written(&dev->msix);
	if (pci_msix_enabled(&dev->msix))
		pci_intx(fn, false);
}

/* No vCPU runs: what was put off is forgotten by them, too. */
static void reset(struct pci_function *fn)
{
	struct virtio_device *dev = device(fn);

	virtio_lock(dev);
	for (unsigned i = 0; i < dev->kind->queues; i++)
		dev->queue[i].deferred = false;
	virtio_reset(dev);
	virtio_unlock(dev);
	pci_msix_reset(&dev->msix);
	if (dev->kind->ops->power_on)
		dev->kind->ops->power_on(dev);
}

static const struct pci_ops ops = {
	.written = config_written,
	.through = through,
	.reset = reset,
	.bar_read = bar_read,
	.bar_write = bar_write,
};

static bool add_capability(struct pci_function *fn, uint8_t type, unsigned size,
			   enum virtio_page page, uint32_t length)
{
	struct virtio_pci_cap cap = {
		.cap_len = (uint8_t)size,
		.cfg_type = type,
		.offset = (uint32_t)page << PAGE_SHIFT,
		.length = length,
	};
	unsigned at = pci_add_capability(fn, PCI_CAP_VENDOR, size);
	const unsigned body = offsetof(struct virtio_pci_cap, cap_len);

	if (at)
		memcpy(&fn->config[at + body], &cap.cap_len, sizeof(cap) - body);
	return at;
}

/* PCI_CFG is the last one, and its fields are the driver's to write. */
static bool add_capabilities(struct virtio_device *dev)
{
	struct pci_function *fn = &dev->fn;
	unsigned size = sizeof(struct virtio_pci_cap);

	if (!add_capability(fn, VIRTIO_PCI_CAP_COMMON_CFG, size, PAGE_COMMON, COMMON_SIZE) ||
	    !add_capability(fn, VIRTIO_PCI_CAP_ISR_CFG, size, PAGE_ISR, 1) ||
	    !add_capability(fn, VIRTIO_PCI_CAP_NOTIFY_CFG, sizeof(struct virtio_pci_notify_cap),
			    PAGE_NOTIFY, dev->kind->queues * NOTIFY_STRIDE))
		return false;
	pci_config_set(fn, fn->cap_last + VIRTIO_PCI_NOTIFY_CAP_MULT, 4, NOTIFY_STRIDE);
	if (dev->config_size &&
	    !add_capability(fn, VIRTIO_PCI_CAP_DEVICE_CFG, size, PAGE_DEVICE, dev->config_size))
		return false;
	if (pci_msix_add(&dev->msix, fn, virtio_pci_vectors(dev), PAGE_MSIX << PAGE_SHIFT,
			 PAGE_PENDING << PAGE_SHIFT) ||
	    !add_capability(fn, VIRTIO_PCI_CAP_PCI_CFG, sizeof(struct virtio_pci_cfg_cap), 0, 0))
		return false;
	fn->writable[fn->cap_last + VIRTIO_PCI_CAP_BAR] = 0xff;
	memset(&fn->writable[fn->cap_last + VIRTIO_PCI_CAP_OFFSET], 0xff, 2 * sizeof(uint32_t));
	return true;
}

status_t virtio_pci_add(struct virtio_device *dev)
{
	struct pci *pci = &dev->vm->board->pci;
	struct pci_function *fn = &dev->fn;
	status_t status;

	spinlock_init(&dev->lock, "virtio", LOCK_DEVICE);
	fn->ops = &ops;
	pci_config_set(fn, PCI_VENDOR_ID, 2, VIRTIO_VENDOR);
	pci_config_set(fn, PCI_DEVICE_ID, 2, VIRTIO_DEVICE + dev->kind->id);
	pci_config_set(fn, PCI_CLASS_REVISION, 4, dev->kind->pci_class << 8 | VIRTIO_REVISION);
	pci_config_set(fn, PCI_SUBSYSTEM_VENDOR, 2, VIRTIO_VENDOR);
	pci_config_set(fn, PCI_SUBSYSTEM_ID, 2, VIRTIO_SUBSYSTEM);
	pci_config_set(fn, PCI_INTERRUPT_PIN, 1, 1);
	fn->writable[PCI_INTERRUPT_LINE] = 0xff;
	status = pci_add(pci, pci_free_slot(pci), fn);
	if (status || !add_capabilities(dev))
		return -S_NOSPC;
	reset(fn);
	return pci_add_bar(fn, BAR_PAGES << PAGE_SHIFT);
}

static void print_device(const struct virtio_device *dev, struct format_sink *out)
{
	for (unsigned i = 0; i < dev->kind->queues; i++) {
		const struct virtio_queue *q = &dev->queue[i];

		format_sink(out,
			    "  %s queue %u: %llu notifications, %llu requests, %llu interrupts\n",
			    dev->kind->name, i, (unsigned long long)q->kicks,
			    (unsigned long long)q->requests, (unsigned long long)q->interrupts);
	}
}

static void print(struct vm *vm, struct format_sink *out)
{
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		struct pci_function *fn = vm->board->pci.slot[slot];

		if (fn && fn->ops == &ops)
			print_device(device(fn), out);
	}
}
STAT_SOURCE(virtio_stats, .title = "virtio", .print = print);
