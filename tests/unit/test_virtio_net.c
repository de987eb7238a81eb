/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network device: frames from one guest's buffers to another's, offloads, what drivers do
 * wrong, and two that send to each other while one of them is reset. libs: -lpthread
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>

#include <linux/virtio_pci.h>
#include "panic_mock.h"
#include "smp_mock.h"
#include "virtio_ram.h"
#include "../../drivers/net_frame.c"
#include "../../drivers/switch.c"
#include "../../drivers/virtio/common.c"
#include "../../drivers/virtio/ring.c"
#include "../../drivers/virtio/net.c"

uintptr_t test_memory;

enum {
	ENTRIES = 64,
	APART = 0x4000, /* from one queue's rings to the next one's; four of them */
	IN_DESC = 0,
	IN_AVAIL = 0x1000,
	IN_USED = 0x2000,
	IN_TABLE = 0x3000,
	AT_FRAME = RAM_BASE + 0x10000, /* what is sent, with its header */
	AT_BUFFERS = RAM_BASE + 0x28000,
};

static const uint64_t all =
	BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_MAC) |
	BIT(VIRTIO_NET_F_STATUS) | BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) |
	BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_MRG_RXBUF);

static struct vm vms[2];
static struct vcpu vcpus[2] = {{.vm = &vms[0]}, {.vm = &vms[1]}};
static struct net_device *dev[2], *added;
static unsigned interrupts[2][QUEUES + 1], log_lines;
static uint64_t deadline;

void *pages_alloc(size_t size, uint32_t owner)
{
	assert_true(owner == OWNER_VM_CORE || owner == OWNER_CORE);
	return calloc(1, size);
}

status_t virtio_pci_add(struct virtio_device *d)
{
	added = container_of(d, struct net_device, dev);
	d->fn.config[PCI_COMMAND] = PCI_COMMAND_MASTER;
	spinlock_init(&d->lock, "virtio", LOCK_DEVICE);
	virtio_lock(d);
	virtio_reset(d);
	virtio_unlock(d);
	return 0;
}

void virtio_pci_interrupt(struct virtio_device *d, uint16_t vector, enum virtio_isr isr __unused)
{
	struct net_device *n = container_of(d, struct net_device, dev);

	CHECK(vector == 1 + RX ? n->receive.held : d->lock.held || n->receive.held);
	if (vector != VIRTIO_NO_VECTOR)
		__atomic_add_fetch(&interrupts[n == dev[1]][vector], 1, __ATOMIC_RELAXED);
}

/* At the end of a reset: nobody may be sending to it. */
void virtio_pci_quiet(struct virtio_device *d)
{
	CHECK(d->lock.held && container_of(d, struct net_device, dev)->receive.held);
}

void vm_log(struct vm *to __unused, enum log_level level __unused, const char *fmt __unused, ...)
{
	log_lines++;
}

void vcpu_request(struct vcpu *to __unused, uint32_t requests __unused)
{
}

uint64_t time_now(void)
{
	return 1000;
}

void timer_set(struct timer *t __unused, uint64_t when)
{
	deadline = when;
}

void timer_cancel(struct timer *t __unused)
{
}

size_t format(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(buf, size, fmt, args);
	va_end(args);
	return strlen(buf);
}

size_t format_sink(struct format_sink *sink __unused, const char *fmt __unused, ...)
{
	return 0;
}

bool str_copy(char *dst, size_t size, const char *src)
{
	strncpy(dst, src, size - 1);
	return true;
}

static void set(unsigned n, uint32_t offset, unsigned size, uint64_t value)
{
	virtio_lock(&dev[n]->dev);
	virtio_common_write(&dev[n]->dev, offset, size, value);
	virtio_unlock(&dev[n]->dev);
}

/* Where the rings of a queue of device @n are. */
static uint64_t rings(unsigned n, unsigned q)
{
	return RAM_BASE + (2 * n + q) * APART;
}

static struct vring_avail *avail(unsigned n, unsigned q)
{
	return at(rings(n, q) + IN_AVAIL);
}

static struct vring_used *used(unsigned n, unsigned q)
{
	return at(rings(n, q) + IN_USED);
}

/* Up to DRIVER_OK. */
static void drive(unsigned n, uint64_t features)
{
	features |= BIT(VIRTIO_F_VERSION_1);
	set(n, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	memset(at(rings(n, 0)), 0, 2 * APART);
	for (unsigned word = 0; word < 2; word++) {
		set(n, VIRTIO_PCI_COMMON_GFSELECT, 4, word);
		set(n, VIRTIO_PCI_COMMON_GF, 4, features >> 32 * word & UINT32_MAX);
	}
	set(n, VIRTIO_PCI_COMMON_STATUS, 1, 11);
	for (unsigned q = 0; q < QUEUES; q++) {
		set(n, VIRTIO_PCI_COMMON_Q_SELECT, 2, q);
		set(n, VIRTIO_PCI_COMMON_Q_SIZE, 2, ENTRIES);
		set(n, VIRTIO_PCI_COMMON_Q_MSIX, 2, 1 + q);
		set(n, VIRTIO_PCI_COMMON_Q_DESCLO, 8, rings(n, q) + IN_DESC);
		set(n, VIRTIO_PCI_COMMON_Q_AVAILLO, 8, rings(n, q) + IN_AVAIL);
		set(n, VIRTIO_PCI_COMMON_Q_USEDLO, 8, rings(n, q) + IN_USED);
		set(n, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	}
	set(n, VIRTIO_PCI_COMMON_STATUS, 1, 15);
	CHECK(dev[n]->dev.status == 15);
}

static int setup(void **state __unused)
{
	static const char *const names[] = {"alpha", "beta"};

	memset(ram, 0, sizeof(ram));
	memset(interrupts, 0, sizeof(interrupts));
	log_lines = 0;
	ram_out = false;
	for (unsigned n = 0; n < 2; n++) {
		vms[n] = (struct vm){.mem.epoch = 5, .vcpu[0] = &vcpus[n]};
		vcpus[n] = (struct vcpu){.vm = &vms[n]};
		strcpy(vms[n].settings.name, names[n]);
		strcpy(vms[n].settings.nets[0].network, "lan0");
		strcpy(vms[n].settings.nets[1].network, "lan1");
		memcpy(vms[n].settings.nets[1].mac, "\x52\x54\0\1\2\3", 6);
		assert_int_equal(virtio_net_add(&vms[n], 0), 0);
		dev[n] = added;
		drive(n, all);
	}
	return 0;
}

static int teardown(void **state __unused)
{
	for (unsigned n = 0; n < 2; n++) {
		assert_false(dev[n]->dev.lock.held || dev[n]->receive.held);
		for (unsigned cpu = 0; cpu < CPU_MAX; cpu++)
			assert_int_equal(vms[n].mem.visit[cpu], 0);
		free(dev[n]);
	}
	for (struct net *next; nets; nets = next) {
		next = nets->next;
		free(nets);
	}
	return 0;
}

static void entry(unsigned n, unsigned q, unsigned i, uint64_t gpa, uint32_t len, uint16_t flags)
{
	((struct vring_desc *)at(rings(n, q) + IN_DESC))[i] = (struct vring_desc){
		.addr = gpa, .len = len, .flags = flags, .next = (uint16_t)(i + 1)};
}

static void offer_request(unsigned n, unsigned q, uint16_t head)
{
	struct vring_avail *a = avail(n, q);

	a->ring[a->idx % ENTRIES] = head;
	__atomic_store_n(&a->idx, a->idx + 1, __ATOMIC_RELEASE);
}

/* @count buffers of @len bytes each for what comes in, from @at_gpa on. */
static void give_buffers(unsigned n, uint64_t at_gpa, unsigned count, uint32_t len)
{
	for (unsigned i = 0; i < count; i++) {
		entry(n, RX, i, at_gpa + (uint64_t)i * len, len, VRING_DESC_F_WRITE);
		offer_request(n, RX, (uint16_t)i);
	}
}

static struct virtio_net_hdr_v1 *header(void)
{
	return at(AT_FRAME);
}

static uint8_t *frame(void)
{
	return at(AT_FRAME + HEADER);
}

/* From device @n to the other one, without an offload. */
static void make_frame(unsigned n, uint32_t len)
{
	memset(header(), 0, HEADER);
	memcpy(frame(), dev[!n]->config.mac, 6);
	memcpy(frame() + 6, dev[n]->config.mac, 6);
	for (uint32_t i = 12; i < len; i++)
		frame()[i] = (uint8_t)(i * 11 + i / 255);
}

static void ring_bell(unsigned n)
{
	virtio_notify(&dev[n]->dev, TX, &vcpus[n]);
	vcpu_work(&vcpus[n]);
}

static void send_frame(unsigned n, uint32_t len)
{
	entry(n, TX, 0, AT_FRAME, HEADER + len, 0);
	offer_request(n, TX, 0);
	ring_bell(n);
}

static const struct virtio_net_hdr_v1 *got(void)
{
	return at(AT_BUFFERS);
}

static void describes_itself(void **state __unused)
{
	const struct virtio_net_config *c = (void *)dev[0]->dev.config;
	struct net_device *second;

	assert_int_equal(dev[0]->dev.config_size, 8);
	assert_int_equal(c->status, VIRTIO_NET_S_LINK_UP);
	assert_int_equal(c->mac[0], 2);
	assert_int_equal(c->mac[5], 0);
	assert_memory_not_equal(c->mac, dev[1]->config.mac, 6);
	assert_true(dev[0]->kind.features == all);
	assert_int_equal(dev[0]->kind.queues, 2);
	assert_null(dev[0]->kind.ops->config_write);
	assert_string_equal(dev[1]->port.name, "beta/0");
	/* Another of the same guest; and the same address again. */
	assert_int_equal(virtio_net_add(&vms[0], 1), 0);
	assert_memory_equal(added->config.mac, "\x52\x54\0\1\2\3", 6);
	assert_string_equal(added->kind.name, "virtio-net1");
	second = added;
	assert_int_equal(virtio_net_add(&vms[1], 1), -S_EXIST);
	free(added);
	vms[0].settings.nets[2] = vms[0].settings.nets[0];
	assert_int_equal(virtio_net_add(&vms[0], 2), 0);
	assert_memory_equal(added->config.mac, dev[0]->config.mac, 5);
	assert_int_equal(added->config.mac[5], 2);
	net_ports_remove(&vms[0]);
	free(second);
	free(added);
}

static bool visited;

static void see_visit(void)
{
	visited = vms[1].mem.visit[cpu_index()];
}

static void one_frame(void **state __unused)
{
	const struct virtio_net_hdr_v1 plain = {.num_buffers = 1};

	make_frame(0, 1000);
	give_buffers(1, AT_BUFFERS, 4, 2000);
	visited = false;
	ram_watch = AT_BUFFERS + HEADER;
	ram_act = see_visit;
	send_frame(0, 1000);
	assert_true(visited);
	assert_int_equal(used(1, RX)->idx, 1);
	assert_int_equal(used(1, RX)->ring[0].id, 0);
	assert_int_equal(used(1, RX)->ring[0].len, HEADER + 1000);
	assert_memory_equal(got(), &plain, HEADER);
	assert_memory_equal(got() + 1, frame(), 1000);
	assert_int_equal(((uint8_t *)(got() + 1))[1000], 0);
	assert_int_equal(used(0, TX)->idx, 1);
	assert_int_equal(used(0, TX)->ring[0].len, 0);
	assert_int_equal(interrupts[1][1 + RX], 1);
	assert_int_equal(interrupts[0][1 + TX], 1);
	assert_int_equal(interrupts[0][1 + RX] + interrupts[1][1 + TX], 0);
	assert_int_equal(dev[1]->dev.queue[RX].requests, 1);
	assert_int_equal(dev[0]->port.sent.bytes, 1000);
	assert_int_equal(dev[1]->port.received.bytes, 1000);
	assert_int_equal(log_lines, 0);
}

/* From any pieces to any pieces, and all of it visible at once. */
static void pieces(void **state __unused)
{
	for (unsigned round = 0; round < 200; round++) {
		uint32_t len = 14 + (uint32_t)rand() % 1500, left = HEADER + len, at_tx = 0, n;
		unsigned i = 0, chains = 0;
		uint8_t want[HEADER + 1514], *p = want;

		drive(0, all);
		drive(1, all);
		make_frame(0, len);
		for (; left; left -= n, at_tx += n, i++) {
			n = i == ENTRIES - 1 ? left : MIN(left, 1 + (uint32_t)rand() % 100);
			entry(0, TX, i, AT_FRAME + at_tx, n, left == n ? 0 : VRING_DESC_F_NEXT);
		}
		offer_request(0, TX, 0);
		/* Chains of two buffers each, the first of at least a header and a byte. */
		for (i = 0; i < ENTRIES; i += 2) {
			uint64_t to = AT_BUFFERS + i * 0x200;

			n = 1 + (uint32_t)rand() % 0x80;
			entry(1, RX, i, to, n, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT);
			n = 13 + (uint32_t)rand() % 0x80;
			entry(1, RX, i + 1, to + 0x100, n, VRING_DESC_F_WRITE);
			offer_request(1, RX, (uint16_t)i);
		}
		ring_bell(0);
		if (!used(1, RX)->idx) {
			/* There was not enough room. */
			assert_int_equal(dev[1]->dev.queue[RX].ring.next_avail, 0);
			continue;
		}
		for (left = HEADER + len; left; chains++) {
			const struct vring_desc *d = at(rings(1, RX) + IN_DESC);

			assert_true(chains < used(1, RX)->idx);
			assert_int_equal(used(1, RX)->ring[chains].id, 2 * chains);
			assert_int_equal(used(1, RX)->ring[chains].len,
					 MIN(left, d[2 * chains].len + d[2 * chains + 1].len));
			for (i = 2 * chains; i < 2 * chains + 2 && left; i++) {
				n = MIN(left, d[i].len);
				memcpy(p, at(d[i].addr), n);
				p += n;
				left -= n;
			}
		}
		assert_int_equal(used(1, RX)->idx, chains);
		header()->num_buffers = (uint16_t)chains;
		assert_memory_equal(want, header(), HEADER + len);
	}
	assert_true(dev[1]->port.received.frames > 100);
	assert_int_equal(log_lines, 0);
}

static void without_buffers(void **state __unused)
{
	make_frame(0, 1000);
	send_frame(0, 1000);
	give_buffers(1, AT_BUFFERS, 3, 300);
	send_frame(0, 1000);
	assert_int_equal(dev[1]->port.received.dropped, 2);
	assert_int_equal(used(1, RX)->idx, 0);
	assert_int_equal(used(0, TX)->idx, 2);
	assert_int_equal(interrupts[1][1 + RX], 0);
	/* What was looked at is still there. */
	entry(1, RX, 3, AT_BUFFERS + 900, 112, VRING_DESC_F_WRITE);
	offer_request(1, RX, 3);
	send_frame(0, 1000);
	assert_int_equal(used(1, RX)->idx, 4);
	assert_int_equal(got()->num_buffers, 4);
	for (uint16_t i = 0; i < 4; i++)
		assert_int_equal(used(1, RX)->ring[i].id, i);
	assert_memory_equal(got() + 1, frame(), 1000);
	assert_int_equal(dev[0]->port.sent.frames, 3);
}

/* Without MRG_RXBUF one buffer has all of it, or nothing comes. */
static void one_buffer_each(void **state __unused)
{
	drive(1, all & ~BIT(VIRTIO_NET_F_MRG_RXBUF));
	make_frame(0, 1000);
	give_buffers(1, AT_BUFFERS, 1, 1011);
	give_buffers(1, AT_BUFFERS + 2000, 1, 1011);
	send_frame(0, 1000);
	assert_int_equal(used(1, RX)->idx, 0);
	assert_int_equal(dev[1]->port.received.dropped, 1);
	drive(1, all & ~BIT(VIRTIO_NET_F_MRG_RXBUF));
	give_buffers(1, AT_BUFFERS, 1, 1012);
	send_frame(0, 1000);
	assert_int_equal(used(1, RX)->idx, 1);
	assert_int_equal(got()->num_buffers, 1);
	assert_memory_equal(got() + 1, frame(), 1000);
}

/* A TCP segment of 5000 bytes of data over IPv4, to be cut to 1000. */
static uint32_t large(void)
{
	uint8_t *f = frame();

	make_frame(0, 5054);
	put16(f + 12, 0x0800);
	f[14] = 0x45;
	put16(f + 20, 0);
	f[23] = 6;
	f[46] = 0x50;
	*header() = (struct virtio_net_hdr_v1){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					       .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					       .hdr_len = 9999, /* a hint that may lie */
					       .gso_size = 1000,
					       .csum_start = 34,
					       .csum_offset = 16};
	return 5054;
}

static void offloads(void **state __unused)
{
	uint32_t len = large();
	static const uint64_t fewer[] = {BIT(VIRTIO_NET_F_GUEST_TSO4),
					 BIT(VIRTIO_NET_F_GUEST_CSUM)};

	give_buffers(1, AT_BUFFERS, 4, 6000);
	send_frame(0, len);
	assert_int_equal(got()->flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(got()->gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(got()->gso_size, 1000);
	assert_int_equal(got()->hdr_len, 54);
	assert_int_equal(got()->csum_start, 34);
	assert_int_equal(got()->csum_offset, 16);
	assert_int_equal(used(1, RX)->ring[0].len, HEADER + len);
	assert_memory_equal(got() + 1, frame(), len);
	/* Cut for who does not take it. */
	for (unsigned i = 0; i < ARRAY_SIZE(fewer); i++) {
		drive(1, all & ~fewer[i]);
		give_buffers(1, AT_BUFFERS, 6, 2000);
		send_frame(0, len);
		assert_int_equal(used(1, RX)->idx, 5);
		for (unsigned k = 0; k < 5; k++) {
			const uint8_t *p = at(AT_BUFFERS + k * 2000);

			assert_int_equal(used(1, RX)->ring[k].len, HEADER + 1054);
			assert_int_equal(p[0] | p[1], 0);
			assert_memory_equal(p + HEADER + 54, frame() + 54 + 1000 * k, 1000);
		}
	}
	/* Between the switch's question and the delivery: nobody gets what he did not ask for. */
	drive(1, all & ~BIT(VIRTIO_NET_F_GUEST_TSO4));
	{
		struct net_frame f = {.len = 60, .offload = {.gso = NET_CAN_TCP4}};

		give_buffers(1, AT_BUFFERS, 6, 2000);
		assert_false(port_deliver(&dev[1]->port, &f));
	}
	assert_int_equal(used(1, RX)->idx, 0);
}

static void dropped(uint32_t len)
{
	uint64_t before = dev[0]->port.sent.dropped;
	uint16_t idx = used(0, TX)->idx;

	send_frame(0, len);
	assert_int_equal(dev[0]->port.sent.dropped, before + 1);
	assert_int_equal((uint16_t)(used(0, TX)->idx - idx), 1);
	assert_int_equal(used(1, RX)->idx, 0);
	assert_int_equal(dev[0]->dev.status, 15);
}

static void bad_frames(void **state __unused)
{
	static const struct {
		uint8_t gso_type;
		uint64_t without;
	} refused[] = {
		{VIRTIO_NET_HDR_GSO_UDP, 0},
		{VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, 0},
		{VIRTIO_NET_HDR_GSO_TCPV6, 0},
		{2, 0},
		{5, 0},
		{0xff, 0},
		{VIRTIO_NET_HDR_GSO_TCPV4, BIT(VIRTIO_NET_F_HOST_TSO4)},
		{VIRTIO_NET_HDR_GSO_TCPV4, BIT(VIRTIO_NET_F_CSUM)},
	};
	uint32_t len = large();

	give_buffers(1, AT_BUFFERS, 2, 6000);
	for (unsigned i = 0; i < ARRAY_SIZE(refused); i++) {
		drive(0, all & ~refused[i].without);
		header()->gso_type = refused[i].gso_type;
		dropped(len);
	}
	drive(0, all);
	memset(header(), 0, HEADER);
	dropped(1519);
	dropped(13);
	dropped(0);
	/* As long as 256 descriptors can be, and as long as 32 bits cannot count. */
	for (unsigned i = 0; i < ENTRIES - 1; i++)
		entry(0, TX, i, AT_FRAME, 0x18000, i < ENTRIES - 2 ? VRING_DESC_F_NEXT : 0);
	offer_request(0, TX, 0);
	ring_bell(0);
	assert_int_equal(used(1, RX)->idx, 0);
	assert_int_equal(dev[0]->dev.status, 15);
	/* Another's address. */
	make_frame(0, 60);
	frame()[11]++;
	dropped(60);
	assert_int_equal(dev[0]->port.spoofed, 1);
	frame()[11]--;
	send_frame(0, 60);
	assert_int_equal(used(1, RX)->idx, 1);
	assert_int_equal(log_lines, 0);
}

static void short_header(void **state __unused)
{
	make_frame(0, 60);
	entry(0, TX, 0, AT_FRAME, HEADER - 1, VRING_DESC_F_NEXT);
	entry(0, TX, 1, AT_FRAME, 100, VRING_DESC_F_WRITE);
	offer_request(0, TX, 0);
	ring_bell(0);
	assert_int_equal(dev[0]->dev.status, 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(used(0, TX)->idx, 0);
	assert_int_equal(log_lines, 1);
	drive(0, all);
	give_buffers(1, AT_BUFFERS, 1, 2000);
	send_frame(0, 60);
	assert_int_equal(used(1, RX)->idx, 1);
}

/* It breaks the receiver, not who sends to it. */
static void bad_receiver(void **state __unused)
{
	make_frame(0, 60);
	give_buffers(1, AT_BUFFERS, 1, HEADER);
	send_frame(0, 60);
	assert_int_equal(dev[1]->dev.status, 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(used(0, TX)->idx, 1);
	assert_int_equal(dev[0]->dev.status, 15);
	assert_int_equal(dev[1]->port.received.dropped, 1);
	send_frame(0, 60);
	assert_int_equal(log_lines, 1);
	drive(1, all);
	give_buffers(1, AT_BUFFERS, 1, 50);
	entry(1, RX, 1, RAM_BASE + RAM_SIZE - 1, 2, VRING_DESC_F_WRITE);
	offer_request(1, RX, 1);
	send_frame(0, 60);
	assert_int_equal(dev[1]->dev.status, 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(used(1, RX)->idx, 0);
	drive(1, all);
	avail(1, RX)->idx = ENTRIES + 1;
	send_frame(0, 60);
	assert_int_equal(dev[1]->dev.status, 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(log_lines, 3);
	assert_int_equal(dev[0]->dev.status, 15);
}

static void not_there(void **state __unused)
{
	make_frame(0, 60);
	give_buffers(1, AT_BUFFERS, 2, 2000);
	set(1, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	send_frame(0, 60);
	assert_int_equal(used(0, TX)->idx, 1);
	assert_int_equal(used(1, RX)->idx, 0);
	assert_int_equal(dev[1]->port.received.dropped, 1);
	drive(1, all);
	dev[1]->dev.fn.config[PCI_COMMAND] = 0;
	give_buffers(1, AT_BUFFERS, 2, 2000);
	send_frame(0, 60);
	assert_int_equal(used(1, RX)->idx, 0);
	dev[1]->dev.fn.config[PCI_COMMAND] = PCI_COMMAND_MASTER;
	send_frame(0, 60);
	assert_int_equal(used(1, RX)->idx, 1);
	ram_out = true;
	entry(0, TX, 0, AT_FRAME, HEADER + 60, 0);
	assert_false(port_deliver(&dev[1]->port, &(struct net_frame){.len = 60}));
	ram_out = false;
	assert_true(dev[1]->dev.status & VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* A doorbell waits for more; that of the receive queue says nothing. */
static void batches(void **state __unused)
{
	drive(0, all | BIT(VIRTIO_RING_F_EVENT_IDX));
	make_frame(0, 60);
	give_buffers(1, AT_BUFFERS, 40, 100);
	entry(0, TX, 0, AT_FRAME, HEADER + 60, 0);
	virtio_notify(&dev[1]->dev, RX, &vcpus[1]);
	assert_null(vcpus[1].work);
	assert_int_equal(dev[1]->dev.queue[RX].kicks, 1);
	deadline = 0;
	for (unsigned i = 0; i < 20; i++) {
		offer_request(0, TX, 0);
		virtio_notify(&dev[0]->dev, TX, &vcpus[0]);
	}
	assert_int_equal(deadline, 1000 + dev[0]->kind.batch_ns);
	assert_int_equal(used(1, RX)->idx, 0);
	vcpu_work(&vcpus[0]);
	assert_int_equal(used(1, RX)->idx, 20);
	assert_int_equal(interrupts[1][1 + RX], 1);
	assert_int_equal(interrupts[0][1 + TX], 1);
	assert_null(vcpus[0].work);
}

/* A turn ends at 1 MiB, and the next one goes on. */
static void turns(void **state __unused)
{
	uint32_t len = large();

	len += 40000;
	entry(0, TX, 0, AT_FRAME, HEADER + len, 0);
	for (unsigned i = 0; i < 60; i++)
		offer_request(0, TX, 0);
	ring_bell(0);
	assert_int_equal(used(0, TX)->idx, DIV_ROUND_UP(MiB, len));
	assert_non_null(vcpus[0].work);
	vcpu_work(&vcpus[0]);
	vcpu_work(&vcpus[0]);
	assert_int_equal(used(0, TX)->idx, 60);
	assert_int_equal(dev[1]->port.received.dropped, 60);
}

/*
 * Two vCPUs on two CPUs send to each other, and the second one's driver resets its device now and
 * then: frames come whole, and none after the reset.
 */
enum { ROUNDS = 3000, EACH = 400 };

static uint64_t whole; /* atomic, as is @finished */
static bool finished;

static void check_received(unsigned n, uint16_t *seen)
{
	for (; *seen != __atomic_load_n(&used(n, RX)->idx, __ATOMIC_ACQUIRE); ++*seen) {
		const struct vring_used_elem *e = &used(n, RX)->ring[*seen % ENTRIES];
		const uint8_t *p = at(AT_BUFFERS + n * ENTRIES * 0x200 + e->id * 0x200);

		for (unsigned i = HEADER + 13; i < e->len; i++)
			CHECK(p[i] == p[HEADER + 12]);
		CHECK(e->len == HEADER + EACH);
		__atomic_add_fetch(&whole, 1, __ATOMIC_RELAXED);
		offer_request(n, RX, (uint16_t)e->id);
	}
}

static void start_driver(unsigned n)
{
	drive(n, all | BIT(VIRTIO_RING_F_EVENT_IDX));
	give_buffers(n, AT_BUFFERS + n * ENTRIES * 0x200, ENTRIES / 2, 0x200);
}

static void run_driver(struct smp_cpu *cpu)
{
	unsigned n = cpu->index;
	uint64_t buffers = AT_BUFFERS + n * ENTRIES * 0x200, to_send = AT_FRAME + n * 0x1000;
	uint16_t seen = 0;
	uint8_t *f = at(to_send);

	memset(f, 0, HEADER);
	memcpy(f + HEADER, dev[!n]->config.mac, 6);
	memcpy(f + HEADER + 6, dev[n]->config.mac, 6);
	start_driver(n);
	for (unsigned round = 0; n ? round < ROUNDS : !__atomic_load_n(&finished, __ATOMIC_RELAXED);
	     round++) {
		entry(n, TX, 0, to_send, HEADER + EACH, 0);
		memset(f + HEADER + 12, (int)round, EACH - 12);
		offer_request(n, TX, 0);
		virtio_notify(&dev[n]->dev, TX, &vcpus[n]);
		vcpu_work(&vcpus[n]);
		CHECK(used(n, TX)->idx == avail(n, TX)->idx);
		check_received(n, &seen);
		if (!n || smp_random(cpu, 20))
			continue;
		set(n, VIRTIO_PCI_COMMON_STATUS, 1, 0);
		memset(at(buffers), 0xee, ENTRIES / 2 * 0x200);
		if (smp_random(cpu, 2))
			sched_yield();
		for (unsigned i = 0; i < ENTRIES / 2 * 0x200; i++)
			CHECK(((uint8_t *)at(buffers))[i] == 0xee);
		seen = 0;
		start_driver(n);
	}
	if (n)
		__atomic_store_n(&finished, true, __ATOMIC_RELAXED);
}

static void both_ways(void **state __unused)
{
	static void (*const run[])(struct smp_cpu *) = {run_driver, run_driver, NULL};

	whole = 0;
	finished = false;
	smp_run(run, 8);
	assert_true(whole > ROUNDS / 10);
	assert_int_equal(log_lines, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(describes_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(one_frame, setup, teardown),
		cmocka_unit_test_setup_teardown(pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(without_buffers, setup, teardown),
		cmocka_unit_test_setup_teardown(one_buffer_each, setup, teardown),
		cmocka_unit_test_setup_teardown(offloads, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(short_header, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_receiver, setup, teardown),
		cmocka_unit_test_setup_teardown(not_there, setup, teardown),
		cmocka_unit_test_setup_teardown(batches, setup, teardown),
		cmocka_unit_test_setup_teardown(turns, setup, teardown),
		cmocka_unit_test_setup_teardown(both_ways, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
