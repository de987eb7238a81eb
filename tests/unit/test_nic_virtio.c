/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver of a virtio network card, on real queues, with a device that may be hostile. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <setjmp.h>
#include <cmocka.h>
#include <linux/virtio_net.h>

#include "nic_mock.h"
#include "socle/cpu/mmio.h"

static void doorbell(volatile void *at, uint16_t value);
#define mmio_write16 doorbell
#include "../../lib/format.c"
#include "../../drivers/vqueue.c"
#include "../../drivers/nic.c"
#define RX_QUEUE 0
#define TX_QUEUE 1
#include "../../drivers/nic_virtio.c"

enum { SIZE = 64, TX_HEADER = 12 };

static const uint8_t ADDRESS[6] = {0x52, 0x54, 0x00, 0xab, 0xcd, 0xef};

static struct {
	uint64_t features;
	uint16_t link;
	uint16_t size[2];	/* of the queues; 0: there is none */
	bool no_open, no_start, no_stop, no_msix, config_changes, failed;
	bool started;
	bool lazy;		/* looks at what is sent only when told to, by dev_send() */
	unsigned doorbells[2], sent;
	struct vqueue *q[2];
	uint16_t seen[2];	/* of the available rings */
} dev;

status_t vdev_open(struct vdev *v, struct host_pci *pci, uint64_t wanted,
		   struct host_interrupt *irq)
{
	assert_non_null(irq->handle);
	if (dev.no_open)
		return -S_NODEV;
	*v = (struct vdev){.pci = pci, .features = dev.features & wanted, .msix = !dev.no_msix};
	host_pci_master(pci, true);
	return 0;
}

status_t vdev_config(struct vdev *v, unsigned offset, void *dst, unsigned len)
{
	struct virtio_net_config c = {.status = dev.link};

	memcpy(c.mac, ADDRESS, sizeof(c.mac));
	assert_true(offset + len <= sizeof(c));
	memcpy(dst, (char *)&c + offset, len);
	return dev.config_changes ? -S_IO : 0;
}

status_t vdev_queue(struct vdev *v, unsigned index, struct vqueue *q, unsigned wanted,
		    unsigned chain)
{
	assert_true(index < 2 && chain == 1);
	if (!dev.size[index])
		return -S_NOENT;
	dev.q[index] = q;
	if (vqueue_init(q, MIN(dev.size[index], wanted), chain))
		return -S_NOMEM;
	q->index = (uint16_t)index;
	q->doorbell = &dev.doorbells[index];
	return 0;
}

status_t vdev_start(struct vdev *v)
{
	dev.started = !dev.no_start;
	return dev.no_start ? -S_IO : 0;
}

bool vdev_failed(struct vdev *v)
{
	return dev.failed;
}

bool vdev_stop(struct vdev *v)
{
	host_pci_master(v->pci, false);
	return !dev.no_stop;
}

/* Gives a request back. */
static void finish(unsigned queue, uint32_t id, uint32_t len)
{
	struct vring_used *used = dev.q[queue]->used;

	used->ring[used->idx % dev.q[queue]->size] = (struct vring_used_elem){id, len};
	used->idx++;
}

/* The next request; NULL: none. Then it is in *@id. */
static struct vring_desc *next(unsigned queue, uint32_t *id)
{
	struct vqueue *q = dev.q[queue];

	assert_true(dev.started && mastered);
	if (dev.seen[queue] == q->avail->idx)
		return NULL;
	*id = q->avail->ring[dev.seen[queue]++ % q->size];
	assert_true(*id < q->size);
	dma(q->desc[*id].addr, q->desc[*id].len);
	return &q->desc[*id];
}

static void dev_send(unsigned most)
{
	static const uint8_t zero[TX_HEADER];
	struct vring_desc *d;
	uint32_t id;

	for (; most && (d = next(TX_QUEUE, &id)); most--) {
		uint8_t *data = dma(d->addr, d->len);

		assert_int_equal(d->flags, 0);
		assert_memory_equal(data, zero, sizeof(zero));
		frame_check(dev.sent++, data + sizeof(zero), d->len - (uint32_t)sizeof(zero));
		finish(TX_QUEUE, id, 0);
	}
}

static bool receive_frame(unsigned n)
{
	uint8_t frame[NIC_FRAME_MAX];
	uint32_t id, len = frame_make(n, frame);
	struct vring_desc *d = next(RX_QUEUE, &id);

	if (!d)
		return false;
	assert_int_equal(d->flags, VRING_DESC_F_WRITE);
	assert_true(d->addr % 64 == 0 && d->len >= TX_HEADER + NIC_FRAME_MAX);
	memset(phys_to_virt(d->addr), 0xee, d->len);
	memcpy((char *)phys_to_virt(d->addr) + TX_HEADER, frame, len);
	finish(RX_QUEUE, id, TX_HEADER + len);
	return true;
}

static void doorbell(volatile void *at, uint16_t value)
{
	assert_ptr_equal(at, &dev.doorbells[value]);
	dev.doorbells[value]++;
	if (value == TX_QUEUE && !dev.lazy)
		dev_send(SIZE);
}

static int setup(void **state __unused)
{
	mock_reset();
	memset(&dev, 0, sizeof(dev));
	dev.features = BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS) |
		       BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_MRG_RXBUF);
	dev.size[0] = dev.size[1] = SIZE;
	dev.link = VIRTIO_NET_S_LINK_UP;
	count = 0;
	return 0;
}

static struct nic *opened(void)
{
	struct nic *nic;

	assert_true(probe(&function));
	nic = nic_find("eth0");
	assert_non_null(nic);
	assert_false(dev.started);
	assert_int_equal(nic_open(nic, &test_sink), 0);
	assert_true(dev.started);
	logged = 0;
	return nic;
}

static void finds(void **state __unused)
{
	struct nic *nic = opened();

	assert_memory_equal(state_of(nic).mac, ADDRESS, 6);
	assert_string_equal(state_of(nic).driver, "virtio-net");
	assert_int_equal(card(nic)->dev.features, BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS));
	assert_int_equal(dev.q[RX_QUEUE]->avail->idx, SIZE); /* buffers for all */
}

static void refuses(void **state)
{
	for (unsigned i = 0; i < 12; i++) {
		setup(state);
		dev.no_open = i == 0;
		if (i == 1 || i == 2)
			dev.size[i - 1] = 0;
		if (i == 3)
			dev.features = 0;
		dev.config_changes = i == 4;
		count = i == 5 ? NIC_MAX : 0;
		if (i >= 6 && i < 11)
			memory_left = i - 6;
		/* It may still write to memory, which then is nobody else's. */
		if (i == 11)
			dev.no_stop = dev.config_changes = true;
		assert_false(probe(&function));
		assert_false(mastered);
		/* Its structure stays, since its interrupt is bound. */
		assert_true(i == 11 ? memory_held > BUFFERS : memory_held <= 4 * PAGE_SIZE);
		assert_int_equal(logged, 1);
	}
}

static void does_not_start(void **state __unused)
{
	struct nic *nic;

	assert_true(probe(&function));
	nic = nic_find("eth0");
	dev.no_start = true;
	logged = 0;
	assert_int_equal(nic_open(nic, &test_sink), -S_IO);
	nic_fail(nic, "and for another reason");
	assert_int_equal(logged, 1);
	assert_true(state_of(nic).dead);
	assert_false(send_frame(nic, 0, false));
	assert_int_equal(nic_poll(nic, 0), NIC_IDLE);
}

static void sends(void **state __unused)
{
	struct nic *nic = opened();

	for (unsigned n = 0; n < 5 * SIZE; n++)
		assert_true(send_frame(nic, n, n % 3));
	nic_send_flush(nic);
	assert_int_equal(dev.sent, 5 * SIZE);
	assert_true(dev.doorbells[TX_QUEUE] < 3 * SIZE);
	/* The device may say that it looks by itself. */
	dev.q[TX_QUEUE]->used->flags = VRING_USED_F_NO_NOTIFY;
	dev.doorbells[TX_QUEUE] = 0;
	assert_true(send_frame(nic, 5 * SIZE, false));
	assert_int_equal(dev.doorbells[TX_QUEUE], 0);
}

static void sends_slowly(void **state __unused)
{
	struct nic *nic = opened();
	unsigned n = 0, full = 0;

	dev.lazy = true;
	srandom(1);
	for (unsigned i = 0; i < 20000; i++) {
		if (random() % 2)
			dev_send((unsigned)random() % 3);
		else if (send_frame(nic, n, random() % 4))
			n++;
		else
			full++;
	}
	dev_send(SIZE);
	assert_int_equal(dev.sent, n);
	assert_int_equal(state_of(nic).counts.full, full);
	/* Stuck: all are with the device, no more, and nothing waits. */
	while (n < dev.sent + 2 * SIZE && send_frame(nic, n, false))
		n++;
	assert_int_equal(n, dev.sent + SIZE);
	logged = 0;
	for (unsigned s = 0; s < 5; s++)
		nic_poll(nic, s * LOOK_EVERY);
	assert_int_equal(logged, 2); /* the link; and that */
}

static void receives(void **state __unused)
{
	struct nic *nic = opened();
	unsigned n = 0;

	srandom(2);
	for (unsigned i = 0; i < 1000; i++) {
		for (unsigned k = (unsigned)random() % 100; k; k--)
			n += receive_frame(n);
		nic_poll(nic, 0);
		assert_int_equal(taken, n);
	}
	assert_true(n > 20 * SIZE);
	assert_int_equal(state_of(nic).counts.damaged, 0);
}

/* No interrupt is asked for before all is done, and none is missed. */
static void interrupts(void **state __unused)
{
	struct nic *nic = opened();
	struct vring_avail *avail = dev.q[RX_QUEUE]->avail;
	struct host_interrupt *irq = &card(nic)->irq;

	irq->handle(irq);
	assert_int_equal(ready_calls, 0); /* the vector is shared */
	assert_true(receive_frame(0));
	irq->handle(irq);
	assert_int_equal(ready_calls, 1);
	assert_int_equal(avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
	assert_false(nic_wait(nic));
	assert_int_equal(avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
	assert_int_equal(nic_poll(nic, 0), NIC_BUSY);
	assert_true(nic_wait(nic));
	assert_int_equal(avail->flags, 0);
	assert_int_equal(dev.q[TX_QUEUE]->avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
	card(nic)->dev.msix = false;
	assert_false(nic_wait(nic));
}

/* What it says of a request cannot be: it is dead, one line says so, and all goes on. */
static void lies(void **state)
{
	for (unsigned i = 0; i < 5; i++) {
		struct nic *nic;
		uint32_t id;

		setup(state);
		nic = opened();
		nic_poll(nic, 0);
		logged = 0;
		next(RX_QUEUE, &id);
		switch (i) {
		case 0:
			finish(RX_QUEUE, SIZE, 100);
			break;
		case 1:
			finish(RX_QUEUE, UINT32_MAX, 100);
			break;
		case 2:
			finish(RX_QUEUE, id, NIC_BUFFER + 1);
			break;
		case 3:
			dev.q[RX_QUEUE]->used->idx = SIZE + 1;
			break;
		case 4: /* of what is sent: more than there was; seen when its buffers are needed */
			dev.lazy = true;
			for (unsigned n = 0; n < SIZE; n++)
				assert_true(send_frame(nic, n, false));
			dev.q[TX_QUEUE]->used->idx = SIZE + 1;
			assert_false(send_frame(nic, 0, false));
			break;
		}
		for (unsigned s = 0; s < 3; s++) {
			nic_poll(nic, 0);
			assert_int_equal(taken, 0);
			assert_int_equal(logged, 1);
			assert_true(state_of(nic).dead);
			assert_false(send_frame(nic, 0, false));
		}
		assert_true(nic_wait(nic));
	}
}

/* Lengths that a frame cannot have: dropped, counted, and the buffer used again. */
static void damaged(void **state __unused)
{
	static const uint32_t bad[] = {0, 11, 12, 13, 25, 12 + 1519, NIC_BUFFER};
	struct nic *nic = opened();
	uint32_t id;

	for (unsigned i = 0; i < 100; i++) {
		assert_non_null(next(RX_QUEUE, &id));
		finish(RX_QUEUE, id, bad[i % ARRAY_SIZE(bad)]);
		nic_poll(nic, 0);
	}
	assert_int_equal(taken, 0);
	assert_int_equal(state_of(nic).counts.damaged, 100);
	assert_true(receive_frame(0));
	nic_poll(nic, 0);
	assert_int_equal(taken, 1);
}

static void link_changes(void **state __unused)
{
	struct nic *nic = opened();

	nic_poll(nic, 0);
	assert_true(state_of(nic).link);
	dev.link = 0;
	nic_poll(nic, LOOK_EVERY);
	assert_false(state_of(nic).link);
	assert_string_equal(logged_text, "eth0: link down");
	dev.failed = true;
	nic_poll(nic, 2 * LOOK_EVERY);
	assert_true(state_of(nic).dead);
	assert_int_equal(logged, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(finds, setup),
		cmocka_unit_test_setup(refuses, setup),
		cmocka_unit_test_setup(does_not_start, setup),
		cmocka_unit_test_setup(sends, setup),
		cmocka_unit_test_setup(sends_slowly, setup),
		cmocka_unit_test_setup(receives, setup),
		cmocka_unit_test_setup(interrupts, setup),
		cmocka_unit_test_setup(lies, setup),
		cmocka_unit_test_setup(damaged, setup),
		cmocka_unit_test_setup(link_changes, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
