/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's block device on a disk of the machine: requests that wait, fail, or are dropped. */
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
#include "../../drivers/virtio/ring.c"

#include "../../drivers/virtio/blk_host.c"

#include "../../drivers/virtio/blk.c"

enum {
	SIZE = 64,	      /* of the driver's queue */
	SECTORS = 1000,	      /* of the partition */
	PIECE = 16 * 1024,    /* that the disk takes at once */
	REQUEST_STEP = 0x200, /* from one request's header to the next */
	QUEUE_STEP = 0x800,   /* in descriptors and rings, from one queue to the next */
	MANY = 20,
};

static struct block_disk disk = {.max_bytes = PIECE, .flushes = true};
static uint8_t bytes[SECTORS * SECTOR];
static struct block_request *pending[64]; /* at the disk */
static unsigned pendings, submits, signals, log_lines, closed;
static status_t open_status, submit_status;
static struct blk *blk;
static void *allocated[16];
static unsigned allocations;

void *pages_alloc(size_t n, uint32_t owner)
{
	assert_int_equal(owner, OWNER_VM_CORE);
	assert_true(n <= 2 * MiB);
	return allocated[allocations++] = calloc(1, n);
}

const struct boot_module *boot_module_find(const char *name __unused)
{
	abort();
}

status_t disk_init(struct disk *d __unused)
{
	abort();
}

const uint8_t *disk_read(struct disk *d __unused, uint64_t at __unused, uint64_t *len __unused)
{
	abort();
}

uint8_t *disk_write(struct disk *d __unused, uint64_t at __unused, uint64_t *len __unused)
{
	abort();
}

status_t disk_zero(struct disk *d __unused, uint64_t at __unused, uint64_t len __unused,
		   bool all __unused)
{
	abort();
}

uint64_t disk_most(uint64_t size __unused)
{
	abort();
}

void disk_renew(struct disk *d __unused)
{
	abort();
}

void virtio_pci_interrupt(struct virtio_device *dev __unused, uint16_t vector __unused,
			  enum virtio_isr isr __unused)
{
	signals++;
}

void virtio_pci_quiet(struct virtio_device *dev __unused)
{
}

status_t virtio_pci_add(struct virtio_device *dev)
{
	blk = container_of(dev, struct blk, dev);
	dev->fn.config[PCI_COMMAND] = PCI_COMMAND_MASTER;
	virtio_reset(dev);
	return 0;
}

void vcpu_request(struct vcpu *vcpu, uint32_t requests)
{
	assert_ptr_equal(vcpu, &mock_vcpu);
	assert_int_equal(requests, VCPU_REQ_WORK);
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

/* --- the disk --- */

status_t block_find(const char *name, struct block_user *user)
{
	assert_string_equal(name, "vda2");
	*user = (struct block_user){.disk = &disk, .first = 2048, .sectors = SECTORS};
	return 0;
}

status_t block_open(struct block_user *user, const char *who, bool writes,
		    const struct block_user **other)
{
	static const struct block_user another = {.who = "another"};

	*other = &another;
	user->who = who;
	user->writes = writes;
	return open_status;
}

void block_close(const char *who)
{
	assert_ptr_equal(who, mock_vm.settings.name);
	closed++;
}

status_t block_submit(const struct block_user *user, uint64_t sector, struct block_request *r)
{
	assert_true(blk->dev.lock.held);
	submits++;
	if (submit_status)
		return submit_status;
	assert_ptr_equal(user, &blk->user);
	assert_true(r->bytes <= PIECE && sector + r->bytes / SECTOR <= SECTORS);
	assert_true(user->writes || r->op == BLOCK_READ);
	r->sector = sector;
	pending[pendings++] = r;
	return 0;
}

/* The disk finishes the request that came as number @i of those that it has. */
static void complete(unsigned i, status_t status)
{
	struct block_request *r = pending[i];
	uint8_t *at = bytes + r->sector * SECTOR;

	assert_true(i < pendings);
	pending[i] = pending[--pendings];
	if (r->op == BLOCK_READ)
		memcpy(r->buffer, at, r->bytes);
	else if (r->op == BLOCK_WRITE && !status)
		memcpy(at, r->buffer, r->bytes);
	r->status = status;
	r->done(r);
}

/* The vCPU's turn. */
static void turn(void)
{
	vcpu_work(&mock_vcpu);
}

static void complete_all(void)
{
	while (pendings) {
		complete(0, 0);
		turn();
	}
}

/* --- the driver --- */

static struct vring_used *used_of(unsigned queue)
{
	return at(AT_USED + queue * QUEUE_STEP);
}

static void drive(void)
{
	struct virtio_device *dev = &blk->dev;

	dev->driver_features = BIT(VIRTIO_F_VERSION_1);
	dev->status = 15;
	for (unsigned i = 0; i < 2; i++) {
		struct virtio_ring *ring = &dev->queue[i].ring;

		memset(at(AT_AVAIL + i * QUEUE_STEP), 0, QUEUE_STEP);
		memset(at(AT_USED + i * QUEUE_STEP), 0, QUEUE_STEP);
		ring->desc = AT_DESC + i * QUEUE_STEP;
		ring->avail = AT_AVAIL + i * QUEUE_STEP;
		ring->used = AT_USED + i * QUEUE_STEP;
		ring->size = SIZE;
		assert_int_equal(virtio_ring_start(ring), 0);
		dev->queue[i].enabled = true;
	}
}

static struct virtio_blk_outhdr *header(unsigned n)
{
	return at(AT_TABLE + n * REQUEST_STEP);
}

static uint8_t *status_of(unsigned n)
{
	return at(AT_TABLE + n * REQUEST_STEP + 0x100);
}

/* Adds request number @n, with its data at @data. */
static void add(unsigned queue, unsigned n, uint32_t type, uint64_t sector, uint64_t data,
		uint32_t len)
{
	struct vring_desc *d = (struct vring_desc *)at(AT_DESC + queue * QUEUE_STEP) + 3 * n;
	struct vring_avail *avail = at(AT_AVAIL + queue * QUEUE_STEP);
	uint64_t base = AT_TABLE + n * REQUEST_STEP;
	bool out = type == VIRTIO_BLK_T_OUT || type == VIRTIO_BLK_T_DISCARD;

	*header(n) = (struct virtio_blk_outhdr){.type = type, .sector = sector};
	*status_of(n) = 0xee;
	d[0] = (struct vring_desc){base, 16, VRING_DESC_F_NEXT,
				   (__virtio16)(3 * n + (len ? 1 : 2))};
	d[1] = (struct vring_desc){data, len, VRING_DESC_F_NEXT | (out ? 0 : VRING_DESC_F_WRITE),
				   (__virtio16)(3 * n + 2)};
	d[2] = (struct vring_desc){base + 0x100, 1, VRING_DESC_F_WRITE, 0};
	avail->ring[avail->idx % SIZE] = (__virtio16)(3 * n);
	avail->idx++;
}

static void notify(unsigned queue)
{
	virtio_notify(&blk->dev, queue, &mock_vcpu);
	turn();
}

static uint8_t *data(void)
{
	return at(AT_DATA);
}

static void make(bool read_only)
{
	memset(&mock_vcpu, 0, sizeof(mock_vcpu));
	memset(ram, 0, sizeof(ram));
	mock_vcpu.vm = &mock_vm;
	mock_vm.vcpu[0] = &mock_vcpu;
	mock_vm.settings.cpus = 2;
	mock_vm.settings.disks[0] =
		(struct vm_disk){.module = "vda2", .read_only = read_only, .host = true};
	pendings = submits = signals = log_lines = closed = 0;
	open_status = submit_status = 0;
	disk.dead = false;
	disk.flushes = true;
	ram_out = false;
	assert_int_equal(virtio_blk_add(&mock_vm, 0), 0);
	drive();
	notify(0); /* what is left of the reset at its creation */
}

static int teardown(void **state __unused)
{
	timer_cancel(&mock_vcpu.work_due);
	while (allocations)
		free(allocated[--allocations]);
	return 0;
}

static int setup(void **state __unused)
{
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(1 + i % 251);
	make(false);
	return 0;
}

/* --- tests --- */

static void describes_itself(void **state __unused)
{
	const struct virtio_blk_config *c = (const void *)blk->dev.config;

	assert_int_equal(c->capacity, SECTORS);
	assert_int_equal(c->num_queues, 2);
	assert_string_equal(blk->serial, "vda2");
	assert_true(blk->kind.features & BIT(VIRTIO_BLK_F_FLUSH));
	assert_false(blk->kind.features & (BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_RO)));
	virtio_blk_close(&mock_vm);
	assert_int_equal(closed, 1);
}

/* Nothing is given back before the disk has it. */
static void waits_for_the_disk(void **state __unused)
{
	add(0, 0, VIRTIO_BLK_T_IN, 5, AT_DATA, 1024);
	memset(data() + 4096, 0x5a, 512);
	add(0, 1, VIRTIO_BLK_T_OUT, 999, AT_DATA + 4096, 512);
	notify(0);
	assert_int_equal(pendings, 2);
	turn();
	assert_int_equal(used_of(0)->idx, 0);
	assert_int_equal(*status_of(0), 0xee);
	assert_int_equal(data()[0], 0);
	complete(1, 0);
	assert_int_equal(used_of(0)->idx, 0); /* not in the interrupt */
	assert_int_equal(bytes[999 * SECTOR], 0x5a);
	turn();
	assert_int_equal(used_of(0)->idx, 1);
	assert_int_equal(used_of(0)->ring[0].id, 3);
	assert_int_equal(used_of(0)->ring[0].len, 1);
	assert_int_equal(*status_of(1), 0);
	assert_int_equal(signals, 1);
	complete(0, 0);
	turn();
	assert_int_equal(used_of(0)->ring[1].id, 0);
	assert_int_equal(used_of(0)->ring[1].len, 1025);
	assert_int_equal(*status_of(0), 0);
	assert_memory_equal(data(), bytes + 5 * SECTOR, 1024);
	assert_int_equal(data()[1024], 0);
	assert_int_equal(signals, 2);
}

/* What the guest changes afterwards does not count. */
static void reads_once(void **state __unused)
{
	memset(data(), 0x11, 512);
	add(0, 0, VIRTIO_BLK_T_OUT, 1, AT_DATA, 512);
	notify(0);
	memset(data(), 0x22, 512);
	header(0)->sector = 2;
	memset(at(AT_DESC), 0xff, 48);
	complete_all();
	assert_int_equal(bytes[SECTOR], 0x11);
	assert_int_equal(*status_of(0), 0);
	assert_int_equal(used_of(0)->ring[0].id, 0);
}

/* A large request goes in pieces, one after the other. */
static void pieces(void **state __unused)
{
	const uint32_t len = 5 * PIECE + 3 * SECTOR;

	add(0, 0, VIRTIO_BLK_T_IN, 100, AT_DATA, len);
	notify(0);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(pendings, 1);
		assert_int_equal(used_of(0)->idx, 0);
		complete(0, 0);
		turn();
	}
	assert_int_equal(pendings, 0);
	assert_int_equal(used_of(0)->ring[0].len, len + 1);
	assert_memory_equal(data(), bytes + 100 * SECTOR, len);
	for (unsigned i = 0; i < len; i++)
		data()[i] = (uint8_t)(i * 7 + i / PIECE);
	add(0, 1, VIRTIO_BLK_T_OUT, 300, AT_DATA, len);
	notify(0);
	complete_all();
	assert_int_equal(submits, 12);
	assert_int_equal(*status_of(1), 0);
	assert_memory_equal(data(), bytes + 300 * SECTOR, len);
}

static void flushes(void **state __unused)
{
	add(0, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	notify(0);
	assert_int_equal(pendings, 1);
	assert_int_equal(pending[0]->op, BLOCK_FLUSH);
	assert_int_equal(pending[0]->bytes, 0);
	assert_int_equal(*status_of(0), 0xee);
	complete(0, 0);
	turn();
	assert_int_equal(*status_of(0), 0);
	add(0, 1, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	notify(0);
	complete(0, -S_IO);
	turn();
	assert_int_equal(*status_of(1), VIRTIO_BLK_S_IOERR);
	/* A disk without a cache. */
	disk.flushes = false;
	add(0, 2, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	notify(0);
	assert_int_equal(*status_of(2), 0);
	disk.dead = true;
	add(0, 3, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	notify(0);
	assert_int_equal(*status_of(3), VIRTIO_BLK_S_IOERR);
	assert_int_equal(submits, 2);
}

static void errors(void **state __unused)
{
	add(0, 0, VIRTIO_BLK_T_IN, 5, AT_DATA, 3 * PIECE);
	notify(0);
	complete(0, 0);
	turn();
	complete(0, -S_IO); /* in the second piece */
	turn();
	assert_int_equal(pendings, 0);
	assert_int_equal(*status_of(0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(used_of(0)->ring[0].len, PIECE);
	submit_status = -S_IO; /* a dead disk */
	add(0, 1, VIRTIO_BLK_T_OUT, 5, AT_DATA, 512);
	notify(0);
	assert_int_equal(*status_of(1), VIRTIO_BLK_S_IOERR);
	submit_status = 0;
	ram_out = true; /* no memory behind the guest's buffer */
	turn();
	ram_out = false;
	add(0, 2, VIRTIO_BLK_T_IN, 5, AT_DATA, 512);
	notify(0);
	complete(0, 0);
	turn();
	assert_int_equal(*status_of(2), 0);
}

/* What is wrong is refused at once, and the disk not asked. */
static void wrong(void **state __unused)
{
	const struct {
		uint32_t type;
		uint64_t sector;
		uint32_t len;
		uint8_t status;
	} cases[] = {
		{VIRTIO_BLK_T_IN, SECTORS, 512, 1},
		{VIRTIO_BLK_T_IN, SECTORS - 1, 1024, 1},
		{VIRTIO_BLK_T_OUT, UINT64_MAX, 512, 1},
		{VIRTIO_BLK_T_OUT, 0, 513, 1},
		{VIRTIO_BLK_T_DISCARD, 0, 16, 2},
		{99, 0, 0, 2},
		{VIRTIO_BLK_T_IN, 0, 0, 0},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		add(0, i, cases[i].type, cases[i].sector, AT_DATA, cases[i].len);
		notify(0);
		assert_int_equal(used_of(0)->idx, i + 1);
		assert_int_equal(*status_of(i), cases[i].status);
	}
	add(0, 10, VIRTIO_BLK_T_GET_ID, 0, AT_DATA, 20);
	notify(0);
	assert_string_equal((char *)data(), "vda2");
	assert_int_equal(submits, 0);
	teardown(NULL);
	make(true);
	add(0, 0, VIRTIO_BLK_T_OUT, 0, AT_DATA, 512);
	add(0, 1, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	notify(0);
	assert_int_equal(*status_of(0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(*status_of(1), 0);
	assert_int_equal(submits, 0);
	assert_false(blk->user.writes);
}

/* More than there are buffers for: the others stay in the ring, of each queue by itself. */
static void buffers_run_out(void **state __unused)
{
	for (unsigned i = 0; i < MANY; i++)
		add(0, i, VIRTIO_BLK_T_IN, i, AT_DATA + 512 * i, 512);
	notify(0);
	assert_int_equal(pendings, BLK_SLOTS);
	notify(0);
	turn();
	assert_int_equal(pendings, BLK_SLOTS);
	add(1, MANY, VIRTIO_BLK_T_IN, 30, AT_DATA + 512 * MANY, 512);
	notify(1);
	assert_int_equal(pendings, BLK_SLOTS + 1);
	complete(BLK_SLOTS, 0);
	turn();
	assert_int_equal(used_of(1)->idx, 1);
	complete(0, 0);
	turn();
	assert_int_equal(pendings, BLK_SLOTS); /* the next one */
	complete_all();
	assert_int_equal(used_of(0)->idx, MANY);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(*status_of(i), 0);
	assert_memory_equal(data(), bytes, 512 * MANY);
}

static void reset_device(void)
{
	spin_lock(&blk->dev.lock);
	virtio_reset(&blk->dev);
	spin_unlock(&blk->dev.lock);
}

/* A reset in the middle: what the disk has is finished, and touches nothing of the guest's. */
static void reset_meanwhile(void **state __unused)
{
	add(0, 0, VIRTIO_BLK_T_IN, 5, AT_DATA, 3 * PIECE);
	memset(data() + 0x10000, 0x11, 512);
	add(0, 1, VIRTIO_BLK_T_OUT, 7, AT_DATA + 0x10000, 512);
	add(1, 2, VIRTIO_BLK_T_IN, 9, AT_DATA + 512, 512);
	notify(0);
	notify(1);
	assert_int_equal(pendings, 3);
	complete(0, 0); /* and not looked at yet */
	reset_device();
	turn();
	drive();
	memset(data() + 0x10000, 0x22, 512);
	add(0, 3, VIRTIO_BLK_T_OUT, 7, AT_DATA + 0x10000, 512);
	blk->dev.queue[1].enabled = false; /* the new driver has one queue */
	notify(0);
	/* It must not overtake the older one. */
	assert_int_equal(pendings, 2);
	complete(pending[0]->op == BLOCK_WRITE ? 0 : 1, 0);
	turn();
	assert_int_equal(pendings, 1);
	assert_int_equal(bytes[7 * SECTOR], 0x11);
	complete(0, -S_IO); /* of the queue that is not there any more */
	turn();
	assert_int_equal(pendings, 1);
	assert_int_equal(used_of(0)->idx, 0);
	assert_int_equal(used_of(1)->idx, 0);
	complete_all();
	assert_int_equal(bytes[7 * SECTOR], 0x22);
	assert_int_equal(used_of(0)->idx, 1);
	assert_int_equal(used_of(0)->ring[0].id, 9);
	assert_int_equal(*status_of(0), 0xee);
	assert_int_equal(*status_of(2), 0xee);
	for (unsigned i = 0; i < 1024; i++)
		assert_int_equal(data()[i], 0);
	assert_false(blk->draining);
	/* All slots are there again. */
	for (unsigned i = 0; i < MANY; i++)
		add(0, i, VIRTIO_BLK_T_IN, i, AT_DATA, 512);
	notify(0);
	assert_int_equal(pendings, BLK_SLOTS);
	complete_all();
	assert_int_equal(used_of(0)->idx, 1 + MANY);
}

/* Two resets, and a stop of the guest whose memory is gone when the disk answers. */
static void stopped_meanwhile(void **state __unused)
{
	add(0, 0, VIRTIO_BLK_T_IN, 5, AT_DATA, 512);
	notify(0);
	blk_host_ops.power_on(&blk->dev);
	reset_device();
	reset_device();
	ram_out = true;
	complete(0, 0);
	vcpu_forget_work(&mock_vcpu);
	ram_out = false;
	drive();
	add(0, 1, VIRTIO_BLK_T_IN, 6, AT_DATA, 512);
	notify(0);
	complete_all();
	assert_int_equal(*status_of(0), 0xee);
	assert_int_equal(*status_of(1), 0);
	assert_int_equal(used_of(0)->idx, 1);
}

static void broken_driver(void **state __unused)
{
	add(0, 0, VIRTIO_BLK_T_IN, 5, AT_DATA, 512);
	notify(0);
	((struct vring_desc *)at(AT_DESC))[3] = (struct vring_desc){AT_TABLE, 8, 0, 0};
	add(0, 2, VIRTIO_BLK_T_IN, 5, AT_DATA, 512);
	((struct vring_avail *)at(AT_AVAIL))->ring[1] = 3;
	notify(0);
	assert_true(blk->dev.status & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(pendings, 1);
	complete_all();
	assert_int_equal(used_of(0)->idx, 0);
	reset_device();
	drive();
	add(0, 0, VIRTIO_BLK_T_IN, 5, AT_DATA, 512);
	notify(0);
	complete_all();
	assert_int_equal(used_of(0)->idx, 1);
}

static void taken(void **state __unused)
{
	open_status = -S_BUSY;
	assert_int_equal(virtio_blk_add(&mock_vm, 0), -S_BUSY);
	assert_int_equal(log_lines, 1);
	open_status = -S_PERM;
	assert_int_equal(virtio_blk_add(&mock_vm, 0), -S_PERM);
	assert_int_equal(log_lines, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(describes_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(waits_for_the_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(reads_once, setup, teardown),
		cmocka_unit_test_setup_teardown(pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(flushes, setup, teardown),
		cmocka_unit_test_setup_teardown(errors, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong, setup, teardown),
		cmocka_unit_test_setup_teardown(buffers_run_out, setup, teardown),
		cmocka_unit_test_setup_teardown(reset_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(stopped_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(broken_driver, setup, teardown),
		cmocka_unit_test_setup_teardown(taken, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
