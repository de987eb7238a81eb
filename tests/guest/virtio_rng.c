/* SPDX-License-Identifier: BSD-2-Clause */
/* The entropy device: transport, interrupts, random bytes, and what a bad driver gets. */
#include "socle/guest/state.h"
#include "virtio.h"

const char test_name[] = "virtio_rng";

enum { VEC_INTX = 0x53, LEN = 64 };

#define ALL_FEATURES \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC))
#define PLAIN BIT(VIRTIO_F_VERSION_1)

static struct virtio v;
static struct vq q;
static uint8_t bytes[4096] __aligned(4096);
static struct vring_desc table[VQ_MAX] __aligned(16);
static volatile unsigned intx_irqs;

static uint8_t isr_seen;

static void on_intx(struct frame *f)
{
	(void)f;
	intx_irqs++;
	isr_seen |= *(volatile uint8_t *)v.isr;
	lapic_write(LAPIC_EOI, 0);
}

/* A device that works, with one queue. */
static void start(uint64_t features)
{
	check(virtio_start(&v, &q, 0, features), "features %#llx are refused",
	      (unsigned long long)features);
}

static void settle(void)
{
	irq_on();
	delay_us(20000);
	irq_off();
}

static unsigned zeroes(unsigned from, unsigned to)
{
	unsigned n = 0;

	for (unsigned i = from; i < to; i++)
		n += !bytes[i];
	return n;
}

static void request(uint32_t len)
{
	memset(bytes, 0, sizeof(bytes));
	vq_describe(&q, 0, (uintptr_t)bytes, len, VRING_DESC_F_WRITE, 0);
	vq_offer(&q, 0);
	vq_notify(&v, 0);
}

static void identity(void)
{
	uint64_t offered = virtio_offered(&v);
	unsigned caps = 0, at = 0;

	while ((at = pci_capability(v.slot, 9, at)))
		caps++;
	check(v.common && v.notify && v.isr && v.pci_cfg, "structures are missing");
	check((pci_read(v.slot, 8) & 0xff) >= 1, "revision %u", pci_read(v.slot, 8) & 0xff);
	check((pci_read(v.slot, 0x2e) & 0xffff) >= 0x40, "subsystem %#x", pci_read(v.slot, 0x2e));
	check((offered & ALL_FEATURES) == ALL_FEATURES, "offers %#llx",
	      (unsigned long long)offered);
	check((pci_read(v.slot, v.msix + 2) & 0x7ff) >= 1, "fewer than 2 vectors");
	info("slot %u, %u capabilities, features %#llx", v.slot, caps, (unsigned long long)offered);
}

static void negotiation(void)
{
	/* QEMU takes that for a driver of virtio 0.9. */
	check(!virtio_begin(&v, 0) || !hosted(), "FEATURES_OK without VERSION_1");
	check(virtio_begin(&v, PLAIN), "VERSION_1 alone is refused");
	check(virtio_get(&v, VIRTIO_PCI_COMMON_NUMQ, 2) == 1, "%u queues",
	      virtio_get(&v, VIRTIO_PCI_COMMON_NUMQ, 2));
	virtio_set(&v, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	check(virtio_get(&v, VIRTIO_PCI_COMMON_Q_SIZE, 2) == 0, "there is a queue 1");
	virtio_set(&v, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
	check(virtio_get(&v, VIRTIO_PCI_COMMON_Q_SIZE, 2) >= 8, "queue 0 is small");
	virtio_set(&v, VIRTIO_PCI_COMMON_Q_MSIX, 2, 0x7ff);
	check(virtio_get(&v, VIRTIO_PCI_COMMON_Q_MSIX, 2) == 0xffff, "vector 0x7ff is taken");
	virtio_set(&v, VIRTIO_PCI_COMMON_Q_MSIX, 2, 1);
	check(virtio_get(&v, VIRTIO_PCI_COMMON_Q_MSIX, 2) == 1, "vector 1 is not taken");
	virtio_set_status(&v, 0);
	check(!virtio_status(&v) && !virtio_get(&v, VIRTIO_PCI_COMMON_Q_ENABLE, 2), "reset");
}

static void messages(void)
{
	virtio_messages(&v);
	start(PLAIN);
	request(LEN);
	check(vq_wait(&q, 1) == 1, "no request came back");
	settle();
	check(virtio_queue_irqs == 1, "%u interrupts", virtio_queue_irqs);
	check(q.used.ring[0].len == LEN, "used.len is %u", q.used.ring[0].len);
	check(zeroes(0, LEN) < LEN / 4, "%u zeroes of %u", zeroes(0, LEN), LEN);
	check(zeroes(LEN, sizeof(bytes)) == sizeof(bytes) - LEN, "more was written");
	/* While masked it is noted, and comes when it may. */
	msix_set(&v, 1, 0, VEC_QUEUE, true);
	request(LEN);
	check(vq_wait(&q, 1) == 1, "no request came back while masked");
	check(virtio_queue_irqs == 1, "%u interrupts while masked", virtio_queue_irqs);
	msix_set(&v, 1, 0, VEC_QUEUE, false);
	settle();
	check(virtio_queue_irqs == 2, "%u interrupts after the mask", virtio_queue_irqs);
	msix_enable(&v, true, true);
	request(LEN);
	check(vq_wait(&q, 1) == 1 && virtio_queue_irqs == 2, "%u interrupts with all masked",
	      virtio_queue_irqs);
	msix_enable(&v, true, false);
	settle();
	check(virtio_queue_irqs == 3, "%u interrupts after all were masked", virtio_queue_irqs);
	/* And not if the driver asks for none. */
	q.avail.flags = VRING_AVAIL_F_NO_INTERRUPT;
	request(LEN);
	check(vq_wait(&q, 1) == 1, "no request came back without interrupt");
	settle();
	check(virtio_queue_irqs == 3, "%u interrupts unasked", virtio_queue_irqs);
}

static void event_index(void)
{
	start(ALL_FEATURES);
	virtio_queue_irqs = 0;
	*vq_used_event(&q) = 2; /* the third */
	for (unsigned i = 0; i < 3; i++) {
		request(LEN);
		check(vq_wait(&q, 1) == 1, "request %u", i);
		settle();
		/* QEMU always sends the first one. */
		check(virtio_queue_irqs == (i == 2u) + (hosted() ? 0u : 1u),
		      "%u interrupts after request %u", virtio_queue_irqs, i);
	}
	check(vq_avail_event(&q) == 3, "avail_event is %u", vq_avail_event(&q));
}

/* Three buffers through a table, into the middle of which nothing goes. */
static void indirect(void)
{
	start(ALL_FEATURES);
	memset(bytes, 0, sizeof(bytes));
	for (unsigned i = 0; i < 3; i++)
		table[i] = (struct vring_desc){.addr = (uintptr_t)bytes + 100 * i,
					       .len = 16,
					       .flags = VRING_DESC_F_WRITE |
							(i < 2 ? VRING_DESC_F_NEXT : 0),
					       .next = (uint16_t)(i + 1)};
	vq_describe(&q, 5, (uintptr_t)table, 3 * sizeof(table[0]), VRING_DESC_F_INDIRECT, 0);
	vq_offer(&q, 5);
	vq_notify(&v, 0);
	check(vq_wait(&q, 1) == 1 && q.used.ring[0].id == 5, "id %u", q.used.ring[0].id);
	check(q.used.ring[0].len <= 48 && q.used.ring[0].len > 0, "len %u", q.used.ring[0].len);
	check(zeroes(16, 100) == 84 && zeroes(116, 200) == 84, "written between buffers");
	check(zeroes(0, 16) < 8, "nothing in the first buffer");
}

/* More at once than the device does in a turn; it goes on by itself, and interrupts. */
static void many(void)
{
	unsigned n;

	start(ALL_FEATURES);
	memset(bytes, 0, sizeof(bytes));
	virtio_queue_irqs = 0;
	for (uint16_t i = 0; i < q.size; i++) {
		vq_describe(&q, i, (uintptr_t)bytes + i * LEN, LEN, VRING_DESC_F_WRITE, 0);
		vq_offer(&q, i);
	}
	*vq_used_event(&q) = q.size - 1; /* the last */
	vq_notify(&v, 0);
	n = vq_wait(&q, q.size);
	check(n == q.size, "%u of %u requests came back", n, q.size);
	settle();
	check(virtio_queue_irqs == 1 || !hosted(), "%u interrupts for all", virtio_queue_irqs);
	for (unsigned i = 0; i < q.size; i++)
		check(zeroes(i * LEN, (i + 1) * LEN) < LEN / 4, "nothing in buffer %u", i);
}

struct bad {
	const char *what;
	uint64_t features;
	struct vring_desc d[2]; /* at 0 and 1, and in the table */
	uint16_t head, ahead;	/* ahead: what the index jumps by; 0: as it should */
};

static void bad_rings(void)
{
	uint64_t at = (uintptr_t)bytes, in = (uintptr_t)table;
	const uint16_t next = VRING_DESC_F_NEXT, write = VRING_DESC_F_WRITE,
		       indirect = VRING_DESC_F_INDIRECT;
	const struct bad bad[] = {
		{"a loop", PLAIN, {{at, 16, next | write, 1}, {at, 16, next | write, 0}}, 0, 0},
		{"next outside", PLAIN, {{at, 16, next | write, VQ_MAX}}, 0, 0},
		{"a head outside", PLAIN, {{at, 16, write, 0}}, VQ_MAX, 0},
		{"a jump of the index", PLAIN, {{at, 16, write, 0}}, 0, VQ_MAX + 1},
		{"readable behind writable", PLAIN, {{at, 16, next | write, 1}, {at, 16, 0, 0}}, 0, 0},
		{"a table of 15 bytes", ALL_FEATURES, {{in, 15, indirect, 0}}, 0, 0},
		{"a table of no bytes", ALL_FEATURES, {{in, 0, indirect, 0}}, 0, 0},
	};
	/* QEMU takes these, or some of them. */
	const struct bad outside[] = {
		{"an address outside", PLAIN, {{0xd0000000, 16, write, 0}}, 0, 0},
		{"across the end", PLAIN, {{64 * MiB - 8, 16, write, 0}}, 0, 0},
		{"a wrap-around", PLAIN, {{UINT64_MAX - 7, 16, write, 0}}, 0, 0},
		{"a huge length", PLAIN, {{at, UINT32_MAX, write, 0}}, 0, 0},
		{"a table outside", ALL_FEATURES, {{0xd0000000, 32, indirect, 0}}, 0, 0},
		{"a table without the feature", PLAIN, {{in, 16, indirect, 0}}, 0, 0},
		{"a table in a table", ALL_FEATURES, {{in, 16, indirect, 0}}, 0, 0},
		{"next and indirect", ALL_FEATURES, {{in, 16, indirect | next, 1}}, 0, 0},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(bad) + (hosted() ? ARRAY_SIZE(outside) : 0); i++) {
		const struct bad *b = i < ARRAY_SIZE(bad) ? &bad[i] : &outside[i - ARRAY_SIZE(bad)];

		start(b->features);
		virtio_config_irqs = 0;
		q.desc[0] = table[0] = b->d[0];
		q.desc[1] = b->d[1];
		/* QEMU may look at it without a doorbell: the index must not be good for a moment.
		 */
		if (b->ahead)
			q.avail.idx = b->ahead;
		else
			vq_offer(&q, b->head);
		vq_notify(&v, 0);
		settle();
		check(virtio_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET, "%s: status %#x", b->what,
		      virtio_status(&v));
		check(virtio_config_irqs == 1, "%s: %u interrupts", b->what, virtio_config_irqs);
		check(vq_returned(&q) == 0, "%s: it came back", b->what);
	}
	/* A reset makes it good again. */
	start(PLAIN);
	request(LEN);
	check(vq_wait(&q, 1) == 1, "no request came back after the reset");
}

/* Doorbells of queues that are not there, accesses of all widths, before and after DRIVER_OK. */
static void odd_accesses(void)
{
	uint64_t bar = pci_read(v.slot, 0x10) & ~0xfu;

	virtio_set_status(&v, 0);
	vq_notify(&v, 0);
	for (unsigned i = 0; i < 1024; i++)
		*(volatile uint16_t *)(v.notify + 4 * i) = (uint16_t)i;
	for (uint64_t at = bar; at < bar + 0x8000; at += 61) {
		(void)*(volatile uint8_t *)at;
		(void)*(volatile uint16_t *)at;
		(void)*(volatile uint32_t *)at;
		(void)*(volatile uint64_t *)at;
		*(volatile uint8_t *)at = 0xff;
		*(volatile uint16_t *)at = 0xffff;
		*(volatile uint32_t *)at = UINT32_MAX;
		*(volatile uint64_t *)at = UINT64_MAX;
	}
	msix_set(&v, 0, 0, VEC_CONFIG, false);
	msix_set(&v, 1, 0, VEC_QUEUE, false);
	start(PLAIN);
	request(LEN);
	check(vq_wait(&q, 1) == 1, "no request came back after odd accesses");
}

/* The same registers through the window in configuration space. */
static void window(void)
{
	uint32_t common = (uint32_t)(v.common - (pci_read(v.slot, 0x10) & ~0xfu));

	pci_write(v.slot, v.pci_cfg + 4, 0);
	pci_write(v.slot, v.pci_cfg + 8, common + VIRTIO_PCI_COMMON_NUMQ);
	pci_write(v.slot, v.pci_cfg + 12, 2);
	outl(0xcf8, 0x80000000 | v.slot << 11 | (v.pci_cfg + 16));
	check(inw(0xcfc) == 1, "%u queues through the window", inw(0xcfc));
	pci_write(v.slot, v.pci_cfg + 8, common + VIRTIO_PCI_COMMON_STATUS);
	pci_write(v.slot, v.pci_cfg + 12, 1);
	outl(0xcf8, 0x80000000 | v.slot << 11 | (v.pci_cfg + 16));
	outb(0xcfc, 0);
	check(virtio_status(&v) == 0, "status %#x after a reset through the window",
	      virtio_status(&v));
}

/* The BAR goes elsewhere, and out of the window. */
static void moving(void)
{
	struct virtio moved = v;
	uint32_t bar = pci_read(v.slot, 0x10), size;

	pci_write(v.slot, 0x10, UINT32_MAX);
	size = ~(pci_read(v.slot, 0x10) & ~0xfu) + 1;
	check(size == 0x8000, "the BAR has %#x bytes", size);
	check(virtio_get(&v, VIRTIO_PCI_COMMON_NUMQ, 2) == 0xffff, "still at its old place");
	pci_write(v.slot, 0x10, 0xd0008000);
	moved.common = v.common - (bar & ~0xfu) + 0xd0008000;
	check(virtio_get(&moved, VIRTIO_PCI_COMMON_NUMQ, 2) == 1, "not at its new place");
	pci_write(v.slot, 0x10, 0x100000); /* over memory: nothing changes there */
	check(*(volatile uint32_t *)0x100000 != 0xffffffff, "instead of memory");
	pci_write(v.slot, 0x10, bar);
	pci_write16(v.slot, 4, 4);
	check(virtio_get(&v, VIRTIO_PCI_COMMON_NUMQ, 2) == 0xffff, "answers when it must not");
	pci_write16(v.slot, 4, 6);
	check(virtio_get(&v, VIRTIO_PCI_COMMON_NUMQ, 2) == 1, "does not answer again");
	check(*(volatile uint32_t *)(0xfeb00000ull + (v.slot << 15)) == 0x10441af4,
	      "not in the memory-mapped configuration");
}

static void line(void)
{
	unsigned pin = 16 + v.slot % 4;

	msix_enable(&v, false, false);
	ioapic_write((uint8_t)(0x11 + 2 * pin), lapic_read(LAPIC_ID) & 0xff000000);
	ioapic_write((uint8_t)(0x10 + 2 * pin), 0x8000 | VEC_INTX);
	start(PLAIN);
	request(LEN);
	settle();
	check(intx_irqs == 1 && isr_seen == 1, "INTx: %u interrupts, ISR %u", intx_irqs, isr_seen);
	check(vq_wait(&q, 1) == 1, "INTx: no request came back");
	pci_write16(v.slot, 4, 0x406);
	request(LEN);
	settle();
	check(intx_irqs == 1, "INTx: %u interrupts while disabled", intx_irqs);
	check(pci_read(v.slot, 6) & 8, "INTx: not pending in the status register");
	pci_write16(v.slot, 4, 6);
	settle();
	check(intx_irqs == 2, "INTx: %u interrupts after it was enabled", intx_irqs);
	check(!(pci_read(v.slot, 6) & 8), "INTx: still pending");
}

void test_main(void)
{
	if (!virtio_find(&v, VIRTIO_ID_RNG))
		skip("no virtio-rng");
	lapic_enable();
	irq_set(VEC_INTX, on_intx);
	identity();
	negotiation();
	messages();
	event_index();
	indirect();
	many();
	bad_rings();
	if (!hosted())
		return;
	/* QEMU's has other BARs and other lines. */
	odd_accesses();
	window();
	moving();
	line();
}
