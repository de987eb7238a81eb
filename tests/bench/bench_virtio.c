/* SPDX-License-Identifier: BSD-2-Clause */
/* What paravirtual devices cost under load: exits, interrupts and instructions for a request. */
#include <linux/virtio_blk.h>
#include "virtio.h"

const char test_name[] = "bench_virtio";

enum {
	SECTOR = 512,
	REQUEST = 64 * KiB,
	DISK = 16 * MiB,
	DEPTH = 16,	    /* requests under way */
	REQUESTS = 2 * DISK / REQUEST,
};

static struct virtio v;
static struct vq q;
static struct virtio_blk_outhdr header[DEPTH];
static uint8_t status[DEPTH];
static uint8_t bytes[DEPTH][REQUEST] __aligned(4096);
static unsigned notifications;

/* Notifies the device if it wants that for what was offered since @before. */
static void tell(uint16_t before)
{
	__sync_synchronize();
	if (!vring_need_event(vq_avail_event(&q), q.avail.idx, before))
		return;
	notifications++;
	vq_notify(&v, 0);
}

static void offer(unsigned i, uint32_t type, uint64_t sector)
{
	uint16_t d = (uint16_t)(3 * i), data = type == VIRTIO_BLK_T_IN ? VRING_DESC_F_WRITE : 0;

	header[i] = (struct virtio_blk_outhdr){.type = type, .sector = sector};
	vq_describe(&q, d, (uintptr_t)&header[i], sizeof(header[i]), VRING_DESC_F_NEXT, d + 1);
	vq_describe(&q, d + 1, (uintptr_t)bytes[i], REQUEST, VRING_DESC_F_NEXT | data, d + 2);
	vq_describe(&q, d + 2, (uintptr_t)&status[i], 1, VRING_DESC_F_WRITE, 0);
	vq_offer(&q, d);
}

/* Halts until something came back; the next interrupt is for what comes after that. */
static unsigned wait(void)
{
	unsigned n;

	for (;;) {
		*vq_used_event(&q) = q.seen;
		__sync_synchronize();
		n = vq_returned(&q);
		if (n)
			return n;
		irq_wait();
	}
}

/* All of the disk, in order, with DEPTH requests under way; they come back in order. */
static void sequence(const char *name, uint32_t type)
{
	unsigned offered = 0, done = 0, irqs = virtio_queue_irqs;
	uint64_t start = rdtsc(), ticks;

	notifications = 0;
	while (done < REQUESTS) {
		uint16_t before = q.avail.idx;

		for (; offered < REQUESTS && offered - done < DEPTH; offered++)
			offer(offered % DEPTH, type,
			      (uint64_t)offered % (DISK / REQUEST) * (REQUEST / SECTOR));
		if (q.avail.idx != before)
			tell(before);
		for (unsigned n = wait(); n; n--, done++)
			check(status[done % DEPTH] == VIRTIO_BLK_S_OK, "%s: request %u", name,
			      done);
	}
	ticks = rdtsc() - start;
	print("BENCH-VIRTIO: %s %u %u %u %u %lu\n", name, REQUESTS, REQUEST, notifications,
	      virtio_queue_irqs - irqs, ticks);
}

void test_main(void)
{
	if (!check(virtio_find(&v, VIRTIO_ID_BLOCK), "no disk"))
		finish();
	lapic_enable();
	virtio_messages(&v);
	if (!check(virtio_start(&v, &q, 0, BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX)),
		   "features are refused"))
		finish();
	/* Memory is taken by the first write: not measured. */
	sequence("blk_first_write", VIRTIO_BLK_T_OUT);
	sequence("blk_write", VIRTIO_BLK_T_OUT);
	sequence("blk_read", VIRTIO_BLK_T_IN);
}
