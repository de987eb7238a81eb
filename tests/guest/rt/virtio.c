/* SPDX-License-Identifier: BSD-2-Clause */
/* A driver for virtio devices over PCI, for test guests. */
#include "virtio.h"

enum {
	PCI_COMMAND = 4,
	PCI_BAR = 0x10,
	PCI_CAPS = 0x34,
	MEMORY_AND_MASTER = 6,
	CAP_VENDOR = 9,
	CAP_MSIX = 0x11,
};

static void address(unsigned slot, unsigned offset)
{
	outl(0xcf8, 0x80000000 | slot << 11 | (offset & 0xfc));
}

uint32_t pci_read(unsigned slot, unsigned offset)
{
	address(slot, offset);
	return inl(0xcfc) >> 8 * (offset & 3);
}

void pci_write(unsigned slot, unsigned offset, uint32_t value)
{
	address(slot, offset);
	outl(0xcfc, value);
}

void pci_write16(unsigned slot, unsigned offset, uint16_t value)
{
	address(slot, offset);
	outw(0xcfc + (offset & 2), value);
}

unsigned pci_capability(unsigned slot, uint8_t id, unsigned from)
{
	unsigned at = pci_read(slot, from ? from + 1 : PCI_CAPS) & 0xff;

	for (unsigned i = 0; at && i < 48; i++) {
		if ((pci_read(slot, at) & 0xff) == id)
			return at;
		at = pci_read(slot, at + 1) & 0xff;
	}
	return 0;
}

static uint64_t bar(unsigned slot, unsigned n)
{
	uint32_t low = pci_read(slot, PCI_BAR + 4 * n);
	uint64_t high = low & 4 ? pci_read(slot, PCI_BAR + 4 * n + 4) : 0;

	return high << 32 | (low & ~0xfu);
}

static void structures(struct virtio *v)
{
	for (unsigned at = 0; (at = pci_capability(v->slot, CAP_VENDOR, at));) {
		uint64_t where = bar(v->slot, pci_read(v->slot, at + VIRTIO_PCI_CAP_BAR) & 7) +
				 pci_read(v->slot, at + VIRTIO_PCI_CAP_OFFSET);

		switch (pci_read(v->slot, at + VIRTIO_PCI_CAP_CFG_TYPE) & 0xff) {
		case VIRTIO_PCI_CAP_COMMON_CFG:
			v->common = where;
			break;
		case VIRTIO_PCI_CAP_NOTIFY_CFG:
			v->notify = where;
			v->stride = pci_read(v->slot, at + VIRTIO_PCI_NOTIFY_CAP_MULT);
			break;
		case VIRTIO_PCI_CAP_ISR_CFG:
			v->isr = where;
			break;
		case VIRTIO_PCI_CAP_DEVICE_CFG:
			v->device = where;
			break;
		case VIRTIO_PCI_CAP_PCI_CFG:
			v->pci_cfg = at;
			break;
		}
	}
}

bool virtio_find(struct virtio *v, unsigned id)
{
	uint32_t table;

	*v = (struct virtio){0};
	while (v->slot < 32 && pci_read(v->slot, 0) != ((0x1040 + id) << 16 | 0x1af4))
		v->slot++;
	if (v->slot == 32)
		return false;
	pci_write16(v->slot, PCI_COMMAND, MEMORY_AND_MASTER);
	structures(v);
	v->msix = pci_capability(v->slot, CAP_MSIX, 0);
	table = pci_read(v->slot, v->msix + 4);
	v->msix_table = bar(v->slot, table & 7) + (table & ~7u);
	return true;
}

uint32_t virtio_get(struct virtio *v, unsigned offset, unsigned size)
{
	const volatile void *p = (const volatile void *)(v->common + offset);

	return size == 1   ? *(const volatile uint8_t *)p
	       : size == 2 ? *(const volatile uint16_t *)p
			   : *(const volatile uint32_t *)p;
}

void virtio_set(struct virtio *v, unsigned offset, unsigned size, uint32_t value)
{
	volatile void *p = (volatile void *)(v->common + offset);

	if (size == 1)
		*(volatile uint8_t *)p = (uint8_t)value;
	else if (size == 2)
		*(volatile uint16_t *)p = (uint16_t)value;
	else
		*(volatile uint32_t *)p = value;
}

uint64_t virtio_offered(struct virtio *v)
{
	uint64_t features = 0;

	for (unsigned i = 0; i < 2; i++) {
		virtio_set(v, VIRTIO_PCI_COMMON_DFSELECT, 4, i);
		features |= (uint64_t)virtio_get(v, VIRTIO_PCI_COMMON_DF, 4) << 32 * i;
	}
	return features;
}

bool virtio_begin(struct virtio *v, uint64_t wanted)
{
	const uint8_t known = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

	virtio_set_status(v, 0);
	for (unsigned i = 0; i < 1000000 && virtio_status(v); i++)
		;
	virtio_set_status(v, known);
	v->features = virtio_offered(v) & wanted;
	for (unsigned i = 0; i < 2; i++) {
		virtio_set(v, VIRTIO_PCI_COMMON_GFSELECT, 4, i);
		virtio_set(v, VIRTIO_PCI_COMMON_GF, 4, (uint32_t)(v->features >> 32 * i));
	}
	virtio_set_status(v, known | VIRTIO_CONFIG_S_FEATURES_OK);
	return virtio_status(v) & VIRTIO_CONFIG_S_FEATURES_OK;
}

static void set_address(struct virtio *v, unsigned low, const volatile void *p)
{
	virtio_set(v, low, 4, (uint32_t)(uintptr_t)p);
	virtio_set(v, low + 4, 4, (uint32_t)((uintptr_t)p >> 32));
}

void vq_start(struct virtio *v, struct vq *q, unsigned index, uint16_t vector)
{
	memset(q, 0, sizeof(*q));
	virtio_set(v, VIRTIO_PCI_COMMON_Q_SELECT, 2, index);
	q->size = (uint16_t)MIN(virtio_get(v, VIRTIO_PCI_COMMON_Q_SIZE, 2), (uint32_t)VQ_MAX);
	virtio_set(v, VIRTIO_PCI_COMMON_Q_SIZE, 2, q->size);
	virtio_set(v, VIRTIO_PCI_COMMON_Q_MSIX, 2, vector);
	set_address(v, VIRTIO_PCI_COMMON_Q_DESCLO, q->desc);
	set_address(v, VIRTIO_PCI_COMMON_Q_AVAILLO, &q->avail);
	set_address(v, VIRTIO_PCI_COMMON_Q_USEDLO, &q->used);
	virtio_set(v, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

void vq_describe(struct vq *q, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
		 uint16_t next)
{
	q->desc[i % q->size] =
		(struct vring_desc){.addr = addr, .len = len, .flags = flags, .next = next};
}

void vq_offer(struct vq *q, uint16_t head)
{
	q->avail.ring[q->avail.idx % q->size] = head;
	__atomic_store_n(&q->avail.idx, q->avail.idx + 1, __ATOMIC_SEQ_CST);
}

void vq_notify(struct virtio *v, unsigned index)
{
	*(volatile uint16_t *)(v->notify + v->stride * index) = (uint16_t)index;
}

unsigned vq_returned(struct vq *q)
{
	uint16_t idx = __atomic_load_n(&q->used.idx, __ATOMIC_ACQUIRE), n = idx - q->seen;

	q->seen = idx;
	return n;
}

unsigned vq_wait(struct vq *q, unsigned wanted)
{
	unsigned n = vq_returned(q);

	irq_on();
	for (unsigned i = 0; i < 1000 && n < wanted; i++) {
		delay_us(1000);
		n += vq_returned(q);
	}
	irq_off();
	return n;
}

bool virtio_start(struct virtio *v, struct vq *q, unsigned index, uint64_t features)
{
	if (!virtio_begin(v, features))
		return false;
	virtio_set(v, VIRTIO_PCI_COMMON_MSIX, 2, 0);
	vq_start(v, q, index, 1);
	virtio_set_status(v, virtio_status(v) | VIRTIO_CONFIG_S_DRIVER_OK);
	return true;
}

volatile unsigned virtio_config_irqs, virtio_queue_irqs;

static void on_message(struct frame *f)
{
	if (f->vector == VEC_CONFIG)
		virtio_config_irqs++;
	else
		virtio_queue_irqs++;
	lapic_write(LAPIC_EOI, 0);
}

void virtio_messages(struct virtio *v)
{
	irq_set(VEC_CONFIG, on_message);
	irq_set(VEC_QUEUE, on_message);
	msix_set(v, 0, 0, VEC_CONFIG, false);
	msix_set(v, 1, 0, VEC_QUEUE, false);
	msix_enable(v, true, false);
}

void msix_set(struct virtio *v, unsigned entry, uint32_t apic, uint8_t vector, bool masked)
{
	uint64_t at = v->msix_table + 16 * entry;

	mmio_write(at, 0xfee00000 | apic << 12);
	mmio_write(at + 4, 0);
	mmio_write(at + 8, vector);
	mmio_write(at + 12, masked);
}

void msix_enable(struct virtio *v, bool on, bool mask_all)
{
	pci_write16(v->slot, v->msix + 2, (uint16_t)(on << 15 | mask_all << 14));
}
