/* SPDX-License-Identifier: BSD-2-Clause */
/* The block device: requests and what is wrong with them, pages written over a base, batches. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>

#include "platform_mock.h"
#include "virtio_ram.h"
#include "socle/kernel/config.h"
#include "socle/mm/frames.h"
#include "../../drivers/virtio/common.c"
#include "../../drivers/virtio/disk.c"
#include "../../drivers/virtio/ring.c"

#include "../../drivers/virtio/blk.c"

uintptr_t test_memory; /* "physical" addresses are the host's */

enum {
	OWNER = OWNER_VM + 6,
	MODULE = 5 * PAGE_SIZE + 3 * SECTOR, /* whole sectors of the module, which has 100 more bytes */
	AT_HEADER = AT_DATA,
	AT_STATUS = AT_DATA + 0x100,
	AT_BYTES = AT_DATA + 0x1000,
};

static uint8_t module_bytes[MODULE + 100];
static struct boot_module module = {"image", module_bytes, sizeof(module_bytes)};
static struct blk *blk;
static unsigned interrupts, log_lines;
static int frames_out;
static unsigned frames_left; /* until there are none */

const struct boot_module *boot_module_find(const char *name)
{
	return strcmp(name, module.name) ? NULL : &module;
}

/* Disks of the machine: tests/unit/test_blk_host.c. */
const struct virtio_ops blk_host_ops;

status_t blk_host_init(struct blk *b __unused, const char *name __unused, unsigned queues __unused)
{
	return -S_NOENT;
}

void block_close(const char *who __unused)
{
}

void virtio_pci_interrupt(struct virtio_device *dev __unused, uint16_t vector __unused,
			  enum virtio_isr isr __unused)
{
	interrupts++;
}

void virtio_pci_quiet(struct virtio_device *dev __unused)
{
}

status_t virtio_pci_add(struct virtio_device *dev)
{
	assert_null(blk);
	blk = container_of(dev, struct blk, dev);
	dev->fn.config[PCI_COMMAND] = PCI_COMMAND_MASTER;
	virtio_reset(dev);
	return 0;
}

void vcpu_request(struct vcpu *vcpu __unused, uint32_t requests __unused)
{
	fail();
}

void vm_log(struct vm *vm __unused, enum log_level level __unused, const char *fmt __unused, ...)
{
	log_lines++;
}

size_t format(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(buf, size, fmt, args);
	va_end(args);
	return strlen(buf);
}

void vm_reset(struct vm *vm __unused)
{
}

void vm_debug_exit(struct vm *vm __unused, int status __unused)
{
}

static uint64_t new_frame(uint32_t owner, int fill)
{
	void *p;

	assert_int_equal(owner, OWNER);
	if (!frames_left)
		return 0;
	frames_left--;
	p = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	memset(p, fill, PAGE_SIZE);
	frames_out++;
	return (uintptr_t)p;
}

uint64_t frame_alloc(enum frame_level level, uint32_t owner)
{
	assert_int_equal(level, FRAME_4K);
	return new_frame(owner, 0);
}

uint64_t frame_alloc_raw(uint32_t owner)
{
	return new_frame(owner, 0xa5);
}

void frame_free(uint64_t pa, enum frame_level level, uint32_t owner)
{
	assert_int_equal(level, FRAME_4K);
	assert_int_equal(owner, OWNER);
	frames_out--;
	free((void *)pa);
}

void *pages_alloc(size_t bytes, uint32_t owner)
{
	assert_int_equal(owner, OWNER_VM_CORE);
	return calloc(1, bytes);
}

static void forget(void)
{
	if (blk) {
		disk_renew(&blk->disk);
		free(blk->disk.table);
		free(blk);
	}
	blk = NULL;
	assert_int_equal(frames_out, 0);
}

static int tables(void)
{
	int n = 0;

	for (uint64_t i = 0; i < blk->disk.tables; i++)
		n += blk->disk.table[i] != 0;
	return n;
}

static int pages(void)
{
	return frames_out - tables();
}

static void drive(uint64_t features)
{
	struct virtio_device *dev = &blk->dev;

	memset(ram, 0, sizeof(ram));
	virtio_reset(dev);
	dev->driver_features = BIT(VIRTIO_F_VERSION_1) | features;
	dev->status = 15;
	dev->queue[0].ring.desc = AT_DESC;
	dev->queue[0].ring.avail = AT_AVAIL;
	dev->queue[0].ring.used = AT_USED;
	dev->queue[0].ring.size = DRIVER_SIZE;
	dev->queue[0].ring.event_idx = features & BIT(VIRTIO_RING_F_EVENT_IDX);
	assert_int_equal(virtio_ring_start(&dev->queue[0].ring), 0);
	dev->queue[0].enabled = true;
}

static void make(const struct vm_disk *d)
{
	forget();
	memset(&mock_vcpu, 0, sizeof(mock_vcpu));
	mock_vcpu.vm = &mock_vm;
	mock_vm.mem.owner = OWNER;
	mock_vm.settings.cpus = 6;
	mock_vm.settings.disks[1] = *d;
	mock_vm.settings.disk_count = 2;
	interrupts = log_lines = 0;
	frames_left = 1000;
	ram_out = false;
	assert_int_equal(virtio_blk_add(&mock_vm, 1), 0);
	drive(0);
}

static const struct vm_disk image = {.module = "image", .size = sizeof(module_bytes)},
			    image_ro = {"image", sizeof(module_bytes), true, false},
			    memory = {.size = 4 * MiB};

static int setup(void **state __unused)
{
	for (unsigned i = 0; i < sizeof(module_bytes); i++)
		module_bytes[i] = (uint8_t)(1 + i % 251);
	make(&image);
	return 0;
}

static int teardown(void **state __unused)
{
	timer_cancel(&mock_vcpu.work_due);
	forget();
	return 0;
}

static void do_work(void)
{
	spin_lock(&blk->dev.lock);
	while (virtio_live(&blk->dev, 0) && blk_work(&blk->dev, 0))
		;
	spin_unlock(&blk->dev.lock);
}

static uint16_t last_used(void)
{
	return (uint16_t)(used_ring()->idx - 1) % DRIVER_SIZE;
}

/* A request in three buffers at @at; the data is the driver's to be read or written. The status. */
static int request_at(uint32_t type, uint64_t sector, uint64_t at_data, uint32_t len)
{
	bool out = type != VIRTIO_BLK_T_IN && type != VIRTIO_BLK_T_GET_ID;
	uint16_t before = used_ring()->idx;

	*(struct virtio_blk_outhdr *)at(AT_HEADER) =
		(struct virtio_blk_outhdr){.type = type, .sector = sector};
	*(uint8_t *)at(AT_STATUS) = 0xee;
	describe(0, AT_HEADER, 16, VRING_DESC_F_NEXT, 1);
	describe(1, at_data, len, VRING_DESC_F_NEXT | (out ? 0 : VRING_DESC_F_WRITE), 2);
	describe(2, AT_STATUS, 1, VRING_DESC_F_WRITE, 0);
	offer(0);
	do_work();
	assert_int_equal((uint16_t)(used_ring()->idx - before), 1);
	return *(uint8_t *)at(AT_STATUS);
}

static int request(uint32_t type, uint64_t sector, uint32_t len)
{
	return request_at(type, sector, AT_BYTES, len);
}

static uint32_t used_len(void)
{
	return used_ring()->ring[last_used()].len;
}

static int range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	*(struct virtio_blk_discard_write_zeroes *)at(AT_BYTES) =
		(struct virtio_blk_discard_write_zeroes){sector, sectors, flags};
	return request(type, 77, 16);
}

static uint8_t *data(void)
{
	return at(AT_BYTES);
}

/* All that the disk has, as a driver reads it, beside what it should have. */
static void check_disk(const uint8_t *want, uint64_t bytes)
{
	for (uint64_t at = 0; at < bytes; at += SECTOR) {
		memset(data(), 0xcc, SECTOR);
		assert_int_equal(request(VIRTIO_BLK_T_IN, at / SECTOR, SECTOR), 0);
		assert_memory_equal(data(), want + at, SECTOR);
	}
}

static void describes_itself(void **state __unused)
{
	const struct virtio_blk_config *c = (const void *)blk->dev.config;

	assert_int_equal(blk->dev.config_size, sizeof(*c));
	assert_int_equal(c->capacity, MODULE / SECTOR);
	assert_int_equal(c->num_queues, 4);
	assert_int_equal(blk->dev.kind->queues, 4);
	assert_int_equal(c->blk_size, 512);
	assert_int_equal(c->size_max * c->seg_max, BLK_REQUEST_MAX);
	assert_string_equal(blk->dev.kind->name, "virtio-blk1");
	assert_false(blk->dev.kind->features & BIT(VIRTIO_BLK_F_RO));
	assert_int_equal(request(VIRTIO_BLK_T_GET_ID, 0, 20), 0);
	assert_string_equal((char *)data(), "image");
	assert_int_equal(used_len(), 21);
	assert_int_equal(request(VIRTIO_BLK_T_GET_ID, 0, 21), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(VIRTIO_BLK_T_FLUSH, 0, 0), 0);
	assert_int_equal(used_len(), 1);
	for (uint32_t type = 0; type < 0x100; type++)
		if (type > VIRTIO_BLK_T_WRITE_ZEROES || type == 2 || type == 5)
			assert_int_equal(request(type, 0, 512), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(request(0x80000000, 0, 512), VIRTIO_BLK_S_UNSUPP);
	mock_vm.settings.cpus = 2;
	make(&image_ro);
	c = (const void *)blk->dev.config;
	assert_int_equal(blk->dev.kind->features & 0xffff,
			 BIT(VIRTIO_BLK_F_SIZE_MAX) | BIT(VIRTIO_BLK_F_SEG_MAX) |
				 BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_FLUSH) |
				 BIT(VIRTIO_BLK_F_MQ) | BIT(VIRTIO_BLK_F_RO));
	assert_int_equal(c->max_discard_sectors, 0);
}

static void reads(void **state __unused)
{
	check_disk(module_bytes, MODULE);
	/* Across pages, and no byte more. */
	memset(data(), 0xcc, 3 * PAGE_SIZE);
	assert_int_equal(request(VIRTIO_BLK_T_IN, 7, 2 * PAGE_SIZE), 0);
	assert_memory_equal(data(), module_bytes + 7 * SECTOR, 2 * PAGE_SIZE);
	assert_int_equal(data()[2 * PAGE_SIZE], 0xcc);
	assert_int_equal(used_len(), 2 * PAGE_SIZE + 1);
	assert_int_equal(frames_out, 0);
	make(&memory);
	memset(data(), 0xcc, PAGE_SIZE);
	assert_int_equal(request(VIRTIO_BLK_T_IN, 8191, SECTOR), 0);
	for (unsigned i = 0; i < SECTOR; i++)
		assert_int_equal(data()[i], 0);
	assert_int_equal(frames_out, 0);
}

static void writes(void **state __unused)
{
	uint8_t want[MODULE];

	memcpy(want, module_bytes, MODULE);
	for (unsigned i = 0; i < 300; i++) {
		uint64_t at = (uint64_t)rand() % (MODULE / SECTOR) * SECTOR;
		uint64_t len = (uint64_t)rand() % ((MODULE - at) / SECTOR + 1) * SECTOR;

		memset(data(), rand(), len);
		memcpy(want + at, data(), len);
		assert_int_equal(request(VIRTIO_BLK_T_OUT, at / SECTOR, (uint32_t)len), 0);
		assert_int_equal(used_len(), 1);
		if (i < 3 || i > 296)
			check_disk(want, MODULE);
	}
	assert_int_equal(pages(), 6);
	assert_int_equal(tables(), 1);
	/* The module is as it was, the driver's reset changes nothing, and the machine's all. */
	for (unsigned i = 0; i < sizeof(module_bytes); i++)
		assert_int_equal(module_bytes[i], 1 + i % 251);
	drive(0);
	check_disk(want, MODULE);
	blk->dev.kind->ops->power_on(&blk->dev);
	assert_int_equal(frames_out, 0);
	check_disk(module_bytes, MODULE);
}

/* One written sector takes its page along, and the end of the last page is nobody's. */
static void copies_a_page(void **state __unused)
{
	uint64_t len = PAGE_SIZE;
	const uint8_t *page;

	memset(data(), 0xdd, SECTOR);
	assert_int_equal(request(VIRTIO_BLK_T_OUT, MODULE / SECTOR - 1, SECTOR), 0);
	assert_int_equal(pages(), 1);
	page = disk_read(&blk->disk, 5 * PAGE_SIZE, &len);
	assert_memory_equal(page, module_bytes + 5 * PAGE_SIZE, 2 * SECTOR);
	for (unsigned i = 2 * SECTOR; i < 3 * SECTOR; i++)
		assert_int_equal(page[i], 0xdd);
	for (unsigned i = 3 * SECTOR; i < PAGE_SIZE; i++)
		assert_int_equal(page[i], 0);
}

static void refused(uint64_t sector, uint64_t at_data, uint32_t len)
{
	for (uint32_t type = VIRTIO_BLK_T_IN; type <= VIRTIO_BLK_T_OUT; type++)
		if (request_at(type, sector, at_data, len) != VIRTIO_BLK_S_IOERR)
			fail_msg("type %u, sector %#llx, length %#x", type,
				 (unsigned long long)sector, len);
	assert_int_equal(used_len(), 1);
}

static void bad_places(void **state __unused)
{
	const uint64_t end = MODULE / SECTOR;

	assert_int_equal(request(VIRTIO_BLK_T_IN, end, 0), 0);
	refused(end + 1, AT_BYTES, 0);
	refused(end, AT_BYTES, SECTOR);
	refused(end - 1, AT_BYTES, 2 * SECTOR);
	refused(0, AT_BYTES, MODULE + SECTOR);
	refused(0, AT_BYTES, SECTOR - 1);
	refused(0, AT_BYTES, 1);
	refused(0, AT_BYTES, SECTOR + 1);
	refused(UINT64_MAX, AT_BYTES, SECTOR);
	refused(UINT64_MAX / SECTOR + 1, AT_BYTES, SECTOR); /* byte 0 of the disk */
	refused(BIT(63), AT_BYTES, SECTOR);
	assert_int_equal(pages(), 0);
	/* More than a request may have, all of it memory of the driver's. */
	make(&memory);
	assert_int_equal(request_at(VIRTIO_BLK_T_IN, 0, AT_BYTES, 0x1f000), 0);
	for (unsigned i = 0; i < 6; i++)
		describe(i, AT_BYTES, 0x1f000, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
			 (uint16_t)(i + 1));
	describe(6, AT_STATUS, 1, VRING_DESC_F_WRITE, 0);
	describe(7, AT_HEADER, 16, VRING_DESC_F_NEXT, 0);
	memset(at(AT_HEADER), 0, 16);
	memset(data(), 0xcc, SECTOR);
	offer(7);
	do_work();
	assert_int_equal(*(uint8_t *)at(AT_STATUS), VIRTIO_BLK_S_IOERR);
	assert_int_equal(data()[0], 0xcc);
	assert_int_equal(used_len(), 0);
}

static void bad_requests(void **state __unused)
{
	/* No status. */
	describe(0, AT_HEADER, 16, 0, 0);
	offer(0);
	do_work();
	assert_true(blk->dev.status & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(used_ring()->idx, 0);
	/* Half a header; and what follows is not looked at. */
	drive(0);
	describe(0, AT_HEADER, 15, VRING_DESC_F_NEXT, 1);
	describe(1, AT_BYTES, 600, VRING_DESC_F_WRITE, 0);
	offer(0);
	offer(0);
	do_work();
	assert_true(blk->dev.status & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(used_ring()->idx, 0);
	assert_int_equal(log_lines, 2);
	assert_int_equal(blk->dev.queue[0].requests, 2);
	/* In pieces of any size. */
	drive(0);
	describe(0, AT_HEADER, 7, VRING_DESC_F_NEXT, 1);
	describe(1, AT_HEADER + 7, 9, VRING_DESC_F_NEXT, 2);
	describe(2, AT_BYTES, 100, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 3);
	describe(3, AT_BYTES + 200, 413, VRING_DESC_F_WRITE, 0);
	*(uint64_t *)at(AT_HEADER + 8) = 3;
	offer(0);
	do_work();
	assert_memory_equal(data(), module_bytes + 3 * SECTOR, 100);
	assert_memory_equal(data() + 200, module_bytes + 3 * SECTOR + 100, 412);
	assert_int_equal(used_len(), 513);
	assert_int_equal(data()[612], VIRTIO_BLK_S_OK);
}

static void read_only(void **state __unused)
{
	make(&image_ro);
	assert_int_equal(request(VIRTIO_BLK_T_OUT, 0, SECTOR), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(VIRTIO_BLK_T_DISCARD, 0, 8, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(VIRTIO_BLK_T_FLUSH, 0, 0), 0);
	assert_int_equal(frames_out, 0);
	check_disk(module_bytes, MODULE);
}

static void zeroing(void **state __unused)
{
	uint8_t want[MODULE];

	memcpy(want, module_bytes, MODULE);
	/* In the middle of a page, a whole page, and into the next one. */
	assert_int_equal(range(VIRTIO_BLK_T_WRITE_ZEROES, 7, 10, 1), 0);
	memset(want + 7 * SECTOR, 0, 10 * SECTOR);
	check_disk(want, MODULE);
	assert_int_equal(pages(), 2);
	/* A page of zeroes is written to again. */
	memset(data(), 0x11, SECTOR);
	memset(want + 9 * SECTOR, 0x11, SECTOR);
	assert_int_equal(request(VIRTIO_BLK_T_OUT, 9, SECTOR), 0);
	check_disk(want, MODULE);
	assert_int_equal(pages(), 3);
	/* Discarded: only whole pages, whose memory comes back. */
	assert_int_equal(range(VIRTIO_BLK_T_DISCARD, 0, 17, 0), 0);
	memset(want, 0, 16 * SECTOR);
	check_disk(want, MODULE);
	assert_int_equal(pages(), 1);
	assert_int_equal(range(VIRTIO_BLK_T_WRITE_ZEROES, 0, MODULE / SECTOR, 0), 0);
	memset(want, 0, MODULE);
	check_disk(want, MODULE);
	/* Of a new disk of zeroes nothing is to be remembered. */
	make(&memory);
	assert_int_equal(range(VIRTIO_BLK_T_WRITE_ZEROES, 3, ZERO_MAX - 3, 0), 0);
	assert_int_equal(range(VIRTIO_BLK_T_DISCARD, 0, ZERO_MAX, 0), 0);
	assert_int_equal(frames_out, 0);
}

static void bad_ranges(void **state __unused)
{
	const uint32_t end = MODULE / SECTOR;

	for (unsigned i = 0; i < 2; i++) {
		uint32_t type = i ? VIRTIO_BLK_T_WRITE_ZEROES : VIRTIO_BLK_T_DISCARD;

		assert_int_equal(range(type, end, 1, 0), VIRTIO_BLK_S_IOERR);
		assert_int_equal(range(type, 1, end, 0), VIRTIO_BLK_S_IOERR);
		assert_int_equal(range(type, UINT64_MAX, 2, 0), VIRTIO_BLK_S_IOERR);
		assert_int_equal(range(type, 0, UINT32_MAX, 0), VIRTIO_BLK_S_IOERR);
		assert_int_equal(range(type, 0, 1, 2), VIRTIO_BLK_S_UNSUPP);
		assert_int_equal(range(type, 0, 8, 1), i ? 0 : VIRTIO_BLK_S_UNSUPP);
		assert_int_equal(request(type, 0, 0), VIRTIO_BLK_S_IOERR);
		assert_int_equal(request(type, 0, 15), VIRTIO_BLK_S_IOERR);
		assert_int_equal(request(type, 0, 32), VIRTIO_BLK_S_IOERR);
	}
	make(&memory);
	mock_vm.settings.disks[1].size = 64 * MiB;
	make(&(struct vm_disk){.size = 64 * MiB});
	assert_int_equal(range(VIRTIO_BLK_T_DISCARD, 0, ZERO_MAX + 1, 0), VIRTIO_BLK_S_IOERR);
}

static void out_of_frames(void **state __unused)
{
	make(&memory);
	memset(data(), 0x22, PAGE_SIZE);
	for (unsigned left = 0; left < 2; left++) {
		frames_left = left;
		assert_int_equal(request(VIRTIO_BLK_T_OUT, 0, SECTOR), VIRTIO_BLK_S_IOERR);
		assert_int_equal(log_lines, left + 1);
		assert_int_equal(pages(), 0);
	}
	frames_left = 1;
	assert_int_equal(request(VIRTIO_BLK_T_OUT, 0, 2 * PAGE_SIZE), VIRTIO_BLK_S_IOERR);
	assert_int_equal(pages(), 1);
	assert_int_equal(request(VIRTIO_BLK_T_IN, 0, SECTOR), 0);
	assert_int_equal(data()[0], 0x22);
	make(&image);
	frames_left = 1;
	assert_int_equal(range(VIRTIO_BLK_T_WRITE_ZEROES, 1, 1, 0), VIRTIO_BLK_S_IOERR);
	frames_left = 2;
	assert_int_equal(range(VIRTIO_BLK_T_WRITE_ZEROES, 1, 1, 0), 0);
}

/* The last of several tables, each of which has 2 MiB. */
static void large(void **state __unused)
{
	const uint64_t last = 16ull * 1024 * MiB / SECTOR - 1;

	make(&(struct vm_disk){.size = 16ull * 1024 * MiB});
	memset(data(), 0x33, SECTOR);
	assert_int_equal(request(VIRTIO_BLK_T_OUT, last, SECTOR), 0);
	assert_int_equal(request(VIRTIO_BLK_T_OUT, 4095, 2 * SECTOR), 0);
	assert_int_equal(tables(), 3);
	assert_int_equal(pages(), 3);
	memset(data(), 0, SECTOR);
	assert_int_equal(request(VIRTIO_BLK_T_IN, last, SECTOR), 0);
	assert_int_equal(data()[0], 0x33);
	assert_int_equal(request(VIRTIO_BLK_T_IN, last - 1, 2 * SECTOR), 0);
	assert_int_equal(data()[0], 0);
	assert_int_equal(data()[SECTOR], 0x33);
	assert_int_equal(request(VIRTIO_BLK_T_IN, last, 2 * SECTOR), VIRTIO_BLK_S_IOERR);
}

/* A start looks whether so much memory is there, for which others are turned away. */
static void takes_no_more_than_promised(void **state __unused)
{
	const struct vm_disk disks[] = {image, memory, {.size = 2 * MiB + SECTOR}};

	for (unsigned i = 0; i < ARRAY_SIZE(disks); i++) {
		make(&disks[i]);
		frames_left = 10000;
		for (uint64_t s = 0; s < blk->config.capacity; s++)
			assert_int_equal(request(VIRTIO_BLK_T_OUT, s, SECTOR), 0);
		assert_int_equal(frames_out * PAGE_SIZE, virtio_blk_memory(&disks[i]));
		for (uint64_t s = 0; s < blk->config.capacity; s += 8)
			assert_int_equal(range(VIRTIO_BLK_T_DISCARD, s, 1, 0), 0);
		assert_int_equal(frames_out * PAGE_SIZE, virtio_blk_memory(&disks[i]));
	}
	assert_int_equal(virtio_blk_memory(&image_ro), 0);
	assert_int_equal(virtio_blk_memory(&(struct vm_disk){.size = 16 * 1024 * MiB}),
			 (16 * 1024 + 32) * MiB);
}

static unsigned dues;

static void due(struct timer *t __unused)
{
	dues++;
}

static void batch(bool event_idx)
{
	const uint64_t begin = mock_now;

	make(&memory);
	drive(event_idx ? BIT(VIRTIO_RING_F_EVENT_IDX) : 0);
	timer_init(&mock_vcpu.work_due, due);
	dues = 0;
	describe(0, AT_HEADER, 16, VRING_DESC_F_NEXT, 1);
	describe(1, AT_BYTES, SECTOR + 1, VRING_DESC_F_WRITE, 0);
	offer(0);
	virtio_notify(&blk->dev, 0, &mock_vcpu);
	assert_int_equal(used_ring()->idx, 0);
	assert_int_equal(mock_vcpu.requests, 0);
	assert_int_equal(mock_vcpu.work_due.expires, begin + BATCH_US * NS_PER_US);
	assert_true(event_idx || used_ring()->flags == VRING_USED_F_NO_NOTIFY);
	/* Others join it: without a notification, or with one that was under way. */
	for (unsigned i = 0; i < 4; i++)
		offer(0);
	mock_now += BATCH_US * NS_PER_US / 2;
	virtio_notify(&blk->dev, 0, &mock_vcpu);
	assert_int_equal(used_ring()->idx, 0);
	assert_int_equal(interrupts, 0);
	assert_int_equal(mock_vcpu.work_due.expires, begin + BATCH_US * NS_PER_US);
	run_for(BATCH_US * NS_PER_US / 2);
	assert_int_equal(used_ring()->idx, 0);
	assert_int_equal(dues, 1);
	vcpu_work(&mock_vcpu);
	assert_int_equal(used_ring()->idx, 5);
	assert_int_equal(interrupts, 1);
	assert_true(event_idx || used_ring()->flags == 0);
	assert_false(blk->dev.queue[0].deferred);
	/* It halts before that: then the timer is off. */
	offer(0);
	virtio_notify(&blk->dev, 0, &mock_vcpu);
	assert_true(timer_armed(&mock_vcpu.work_due));
	vcpu_work(&mock_vcpu);
	assert_false(timer_armed(&mock_vcpu.work_due));
	assert_int_equal(used_ring()->idx, 6);
	/* A queue that is not live is not waited for. */
	virtio_reset(&blk->dev);
	virtio_notify(&blk->dev, 0, &mock_vcpu);
	assert_null(mock_vcpu.work);
	assert_int_equal(blk->dev.queue[0].kicks, 4);
}

static void batches(void **state __unused)
{
	batch(false);
	batch(true);
}

/* A turn ends after some requests and after some bytes. */
static void turns(void **state __unused)
{
	unsigned n;

	make(&memory);
	memset(at(AT_HEADER), 0, 16);
	describe(0, AT_HEADER, 16, VRING_DESC_F_NEXT, 1);
	describe(1, AT_BYTES, SECTOR + 1, VRING_DESC_F_WRITE, 0);
	blk->dev.queue[0].ring.size = 256;
	blk->dev.queue[0].ring.avail = AT_TABLE; /* 256 entries do not fit where it was */
	for (unsigned i = 0; i < 100; i++)
		((struct vring_avail *)at(AT_TABLE))->ring[i] = 0;
	((struct vring_avail *)at(AT_TABLE))->idx = 100;
	spin_lock(&blk->dev.lock);
	assert_true(blk_work(&blk->dev, 0));
	assert_int_equal(used_ring()->idx, BLK_TURN_REQUESTS);
	assert_false(blk_work(&blk->dev, 0));
	assert_int_equal(used_ring()->idx, 100);
	describe(1, AT_BYTES, 0x1f000 + 1, VRING_DESC_F_WRITE, 0);
	((struct vring_avail *)at(AT_TABLE))->idx = 150;
	assert_true(blk_work(&blk->dev, 0));
	n = used_ring()->idx - 100;
	assert_in_range(n, BLK_TURN_BYTES / 0x1f000, BLK_TURN_BYTES / 0x1f000 + 1);
	while (blk_work(&blk->dev, 0))
		;
	/* Few bytes ask for many pages to be given back: one such request for a turn. */
	*(struct virtio_blk_outhdr *)at(AT_HEADER) =
		(struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_DISCARD};
	*(struct virtio_blk_discard_write_zeroes *)at(AT_BYTES) =
		(struct virtio_blk_discard_write_zeroes){.num_sectors = ZERO_MAX};
	describe(1, AT_BYTES, 16, VRING_DESC_F_NEXT, 2);
	describe(2, AT_STATUS, 1, VRING_DESC_F_WRITE, 0);
	((struct vring_avail *)at(AT_TABLE))->idx = 153;
	for (unsigned i = 151; i <= 153; i++) {
		assert_true(blk_work(&blk->dev, 0));
		assert_int_equal(used_ring()->idx, i);
		assert_int_equal(*(uint8_t *)at(AT_STATUS), VIRTIO_BLK_S_OK);
	}
	assert_false(blk_work(&blk->dev, 0));
	spin_unlock(&blk->dev.lock);
}

static void without_module(void **state __unused)
{
	struct blk *kept = blk;

	mock_vm.settings.disks[0] = (struct vm_disk){.module = "nobody", .size = SECTOR};
	blk = NULL;
	assert_int_equal(virtio_blk_add(&mock_vm, 0), -S_NOENT);
	blk = kept;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(describes_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(reads, setup, teardown),
		cmocka_unit_test_setup_teardown(writes, setup, teardown),
		cmocka_unit_test_setup_teardown(copies_a_page, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_places, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(read_only, setup, teardown),
		cmocka_unit_test_setup_teardown(zeroing, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_ranges, setup, teardown),
		cmocka_unit_test_setup_teardown(out_of_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(large, setup, teardown),
		cmocka_unit_test_setup_teardown(takes_no_more_than_promised, setup, teardown),
		cmocka_unit_test_setup_teardown(batches, setup, teardown),
		cmocka_unit_test_setup_teardown(turns, setup, teardown),
		cmocka_unit_test_setup_teardown(without_module, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
