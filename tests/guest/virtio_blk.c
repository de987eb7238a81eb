/* SPDX-License-Identifier: BSD-2-Clause */
/* The block device: configuration, requests of all kinds, and what is wrong with some. */
#include <linux/virtio_blk.h>
#include "socle/guest/state.h"
#include "virtio.h"

const char test_name[] = "virtio_blk";

enum { SECTOR = 512, PENDING = 0xee };

#define FEATURES \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC))
#define WRITABLE (FEATURES | BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES))

static struct virtio v;
static struct vq q;
static struct virtio_blk_outhdr header[VQ_MAX];
static uint8_t status[VQ_MAX];
static uint8_t bytes[65536] __aligned(4096);

static void start(uint64_t features)
{
	check(virtio_start(&v, &q, 0, features), "features are refused");
}

static struct virtio_blk_config *config(void)
{
	return (struct virtio_blk_config *)v.device;
}

/* Offers request @i of three buffers, with descriptors of its own. */
static void offer(unsigned i, uint32_t type, uint64_t sector, void *data, uint32_t len)
{
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	uint16_t d = (uint16_t)(3 * i);

	header[i] = (struct virtio_blk_outhdr){.type = type, .sector = sector};
	status[i] = PENDING;
	/* QEMU allows no buffers of no bytes. */
	vq_describe(&q, d, (uintptr_t)&header[i], sizeof(header[i]), VRING_DESC_F_NEXT,
		    d + (len ? 1 : 2));
	vq_describe(&q, d + 1, (uintptr_t)data, len,
		    VRING_DESC_F_NEXT | (in ? VRING_DESC_F_WRITE : 0), d + 2);
	vq_describe(&q, d + 2, (uintptr_t)&status[i], 1, VRING_DESC_F_WRITE, 0);
	vq_offer(&q, d);
}

/* One request, and its status. */
static uint8_t request(uint32_t type, uint64_t sector, void *data, uint32_t len)
{
	offer(0, type, sector, data, len);
	vq_notify(&v, 0);
	check(vq_wait(&q, 1) == 1, "a request of type %u did not come back", type);
	return status[0];
}

static uint8_t range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	static struct virtio_blk_discard_write_zeroes r;

	r = (struct virtio_blk_discard_write_zeroes){sector, sectors, flags};
	return request(type, 0, &r, sizeof(r));
}

/* Are all of @len bytes @byte? */
static bool all(const uint8_t *p, uint8_t byte, unsigned len)
{
	for (unsigned i = 0; i < len; i++)
		if (p[i] != byte)
			return false;
	return true;
}

static void identity(void)
{
	uint64_t offered = virtio_offered(&v);

	check(v.device, "no configuration");
	check((offered & WRITABLE) == WRITABLE, "offers %#llx", (unsigned long long)offered);
	check(!(offered & BIT(VIRTIO_BLK_F_RO)), "is read-only");
	check(config()->capacity == MiB / SECTOR, "%llu sectors",
	      (unsigned long long)config()->capacity);
	check(config()->blk_size == SECTOR, "sectors of %u bytes", config()->blk_size);
	check(config()->max_discard_seg >= 1 && config()->max_write_zeroes_seg >= 1,
	      "no segments to be discarded");
	check(config()->num_queues >= 1, "%u queues", config()->num_queues);
	info("%u queues, segments %u of %u", config()->num_queues, config()->seg_max,
	     config()->size_max);
}

static void data(void)
{
	start(WRITABLE);
	memset(bytes, 0xaa, sizeof(bytes));
	check(request(VIRTIO_BLK_T_IN, 8, bytes, 8 * SECTOR) == VIRTIO_BLK_S_OK, "a read");
	check(all(bytes, 0, 8 * SECTOR) && bytes[8 * SECTOR] == 0xaa, "it read something else");
	memset(bytes, 0x11, SECTOR);
	memset(bytes + SECTOR, 0x22, 32 * SECTOR);
	check(request(VIRTIO_BLK_T_OUT, 7, bytes, 33 * SECTOR) == VIRTIO_BLK_S_OK, "a write");
	check(request(VIRTIO_BLK_T_FLUSH, 0, bytes, 0) == VIRTIO_BLK_S_OK, "a flush");
	memset(bytes, 0xaa, sizeof(bytes));
	check(request(VIRTIO_BLK_T_IN, 6, bytes, 35 * SECTOR) == VIRTIO_BLK_S_OK, "a read again");
	check(all(bytes, 0, SECTOR) && all(bytes + SECTOR, 0x11, SECTOR) &&
		      all(bytes + 2 * SECTOR, 0x22, 32 * SECTOR) &&
		      all(bytes + 34 * SECTOR, 0, SECTOR),
	      "what was written is not what is read");
	check(q.used.ring[4 - 1].len == 35 * SECTOR + 1, "used.len is %u", q.used.ring[3].len);
	memset(bytes, 0, 32);
	check(request(VIRTIO_BLK_T_GET_ID, 0, bytes, 20) == VIRTIO_BLK_S_OK && bytes[0],
	      "no serial number");
}

static void zeroing(void)
{
	start(WRITABLE);
	check(range(VIRTIO_BLK_T_WRITE_ZEROES, 10, 4, 0) == VIRTIO_BLK_S_OK, "write zeroes");
	check(range(VIRTIO_BLK_T_WRITE_ZEROES, 16, 8, 1) == VIRTIO_BLK_S_OK, "with unmap");
	check(range(VIRTIO_BLK_T_DISCARD, 24, 8, 0) == VIRTIO_BLK_S_OK, "discard");
	check(request(VIRTIO_BLK_T_IN, 9, bytes, 32 * SECTOR) == VIRTIO_BLK_S_OK, "a read");
	check(all(bytes, 0x22, SECTOR) && all(bytes + SECTOR, 0, 4 * SECTOR) &&
		      all(bytes + 5 * SECTOR, 0x22, 2 * SECTOR) &&
		      all(bytes + 7 * SECTOR, 0, 8 * SECTOR) &&
		      all(bytes + 23 * SECTOR, 0x22, 8 * SECTOR),
	      "other bytes than these are zeroes");
}

static void errors(void)
{
	const uint64_t end = config()->capacity;
	const struct {
		uint32_t type;
		uint64_t sector;
		uint32_t len;
		uint8_t want;
	} bad[] = {
		{VIRTIO_BLK_T_IN, end, SECTOR, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_OUT, end, SECTOR, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_OUT, end - 1, 2 * SECTOR, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_IN, UINT64_MAX, SECTOR, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_IN, UINT64_MAX / SECTOR + 1, SECTOR, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_IN, BIT(63), SECTOR, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_IN, 0, SECTOR - 1, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_OUT, 0, SECTOR + 1, VIRTIO_BLK_S_IOERR},
		{77, 0, SECTOR, VIRTIO_BLK_S_UNSUPP},
	};

	start(WRITABLE);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		uint8_t got = request(bad[i].type, bad[i].sector, bytes, bad[i].len);

		check(got == bad[i].want, "type %u, sector %#llx, %u bytes: status %u", bad[i].type,
		      (unsigned long long)bad[i].sector, bad[i].len, got);
	}
	check(range(VIRTIO_BLK_T_WRITE_ZEROES, end, 1, 0) == VIRTIO_BLK_S_IOERR,
	      "zeroes behind the end");
	check(range(VIRTIO_BLK_T_DISCARD, 1, UINT32_MAX, 0) == VIRTIO_BLK_S_IOERR,
	      "discarded behind the end");
	check(range(VIRTIO_BLK_T_DISCARD, 0, 8, 1) == VIRTIO_BLK_S_UNSUPP, "discard with unmap");
	check(range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 2) == VIRTIO_BLK_S_UNSUPP, "unknown flags");
	check(!(virtio_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET), "needs a reset");
	/* What is no request at all. */
	virtio_config_irqs = 0;
	vq_describe(&q, 0, (uintptr_t)bytes, 16, 0, 0);
	vq_offer(&q, 0);
	vq_notify(&v, 0);
	irq_on();
	delay_us(20000);
	irq_off();
	check(virtio_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET, "no status byte, and no complaint");
	check(virtio_config_irqs == 1, "%u interrupts for it", virtio_config_irqs);
	check(vq_returned(&q) == 0, "it came back");
}

/* Many at once, most of them without a doorbell. */
static void many(void)
{
	const unsigned count = VQ_MAX / 3;

	start(WRITABLE);
	virtio_queue_irqs = 0;
	*vq_used_event(&q) = (uint16_t)(count - 1);
	for (unsigned i = 0; i < count; i++) {
		memset(bytes + i * SECTOR, (int)i + 1, SECTOR);
		offer(i, VIRTIO_BLK_T_OUT, 100 + i, bytes + i * SECTOR, SECTOR);
		if (i == 0)
			vq_notify(&v, 0);
	}
	/* A device that has emptied the ring meanwhile wants another one: not within 0.1 ms. */
	if (vring_need_event(vq_avail_event(&q), q.avail.idx, 1))
		vq_notify(&v, 0);
	check(vq_wait(&q, count) == count, "not all of %u came back", count);
	irq_on();
	delay_us(1000);
	irq_off();
	check(virtio_queue_irqs >= 1 && (virtio_queue_irqs == 1 || !hosted()), "%u interrupts",
	      virtio_queue_irqs);
	for (unsigned i = 0; i < count; i++)
		check(status[i] == VIRTIO_BLK_S_OK, "write %u: status %u", i, status[i]);
	memset(bytes, 0, sizeof(bytes));
	check(request(VIRTIO_BLK_T_IN, 100, bytes, count * SECTOR) == 0, "reading them");
	for (unsigned i = 0; i < count; i++)
		check(all(bytes + i * SECTOR, (uint8_t)(i + 1), SECTOR), "sector %u", 100 + i);
}

/* One halts, and has what it waits for at once. */
static void halting(void)
{
	start(FEATURES);
	virtio_queue_irqs = 0;
	offer(0, VIRTIO_BLK_T_IN, 0, bytes, sizeof(bytes));
	vq_notify(&v, 0);
	while (!virtio_queue_irqs)
		__asm__ volatile("sti; hlt; cli" ::: "memory");
	check(status[0] == VIRTIO_BLK_S_OK && vq_returned(&q) == 1, "halted: status %u", status[0]);
}

void test_main(void)
{
	if (!virtio_find(&v, VIRTIO_ID_BLOCK))
		skip("no virtio-blk");
	lapic_enable();
	virtio_messages(&v);
	identity();
	data();
	zeroing();
	errors();
	many();
	halting();
}
