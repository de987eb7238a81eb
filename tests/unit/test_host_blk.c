/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver of the machine's virtio disks and the list of disks, on a model of a disk. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "panic_mock.h"
#include "socle/cpu/mmio.h"
#include "socle/cpu/regs.h"
#include "socle/mm/frames.h"

static uint64_t tsc;
static unsigned kicks;
static void mock_doorbell(volatile void *at, uint16_t value);
#define mmio_write16 mock_doorbell
#define rdtsc()	     (tsc)
#include "../../drivers/virtio/ring.c"
#include "../../drivers/vqueue.c"
#include "../../drivers/block.c"
#include "../../drivers/virtio_blk.c"

enum { SECTORS = 1000, HZ = 1000000, MANY = 200 };

uintptr_t test_memory; /* "physical" addresses are the host's */
uint64_t tsc_hz = HZ;

/* The model. */
static struct {
	struct virtio_blk_config config;
	uint64_t features;
	uint16_t size;		/* of its queue */
	struct virtio_ring ring;
	uint8_t bytes[SECTORS][BLOCK_SECTOR];
	bool by_itself;		/* serves when it is kicked, else when the test says so */
	bool broken;		/* wants a reset */
	bool silent;		/* starts, but answers nothing */
	uint8_t status;		/* that it answers */
	int short_by;		/* bytes that it says it wrote less */
	unsigned flushes, stops, served;
	status_t open;
} model;

static struct host_pci fn;
static struct host_interrupt *irq;
static struct disk *disk;
static long allocated;

void *pages_alloc(size_t bytes, uint32_t owner)
{
	void *p = aligned_alloc(PAGE_SIZE, ALIGN_UP(bytes, (size_t)PAGE_SIZE));

	assert_int_equal(owner, OWNER_CORE);
	memset(p, 0, ALIGN_UP(bytes, (size_t)PAGE_SIZE));
	allocated++;
	return p;
}

void pages_free(void *va, size_t bytes __unused, uint32_t owner __unused)
{
	allocated -= va != NULL;
	free(va);
}

size_t format(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(buf, size, fmt, args);
	va_end(args);
	return strlen(buf);
}

void block_read_partitions(struct block_disk *d)
{
	d->partition[0] = (struct block_partition){1, 100, 100};
	d->partition[1] = (struct block_partition){12, 200, 800};
	d->partitions = 2;
}

bool guest_is_ram(const struct guest_mem *mem __unused, uint64_t gpa, uint64_t len __unused)
{
	return gpa;
}

void *guest_ptr(struct guest_mem *mem __unused, uint64_t gpa)
{
	return (void *)gpa;
}

status_t guest_read(struct guest_mem *mem __unused, uint64_t gpa, void *dst, size_t len)
{
	memcpy(dst, (void *)gpa, len);
	return 0;
}

status_t guest_write(struct guest_mem *mem __unused, uint64_t gpa, const void *src, size_t len)
{
	memcpy((void *)gpa, src, len);
	return 0;
}

/* --- the device --- */

status_t vdev_open(struct vdev *v, struct host_pci *pci, uint64_t wanted, struct host_interrupt *i)
{
	if (model.open)
		return model.open;
	*v = (struct vdev){.pci = pci, .features = model.features & wanted};
	irq = i;
	i->handle(i); /* as it may be called at any time from now on */
	return 0;
}

status_t vdev_config(struct vdev *v __unused, unsigned offset, void *dst, unsigned len)
{
	memcpy(dst, (uint8_t *)&model.config + offset, len);
	return 0;
}

status_t vdev_queue(struct vdev *v __unused, unsigned index, struct vqueue *q, unsigned wanted,
		    unsigned chain)
{
	assert_int_equal(index, 0);
	assert_true(wanted && chain == 3);
	if (!model.size)
		return -S_IO;
	assert_int_equal(vqueue_init(q, model.size, chain), 0);
	q->doorbell = &kicks;
	model.ring = (struct virtio_ring){.desc = (uintptr_t)q->desc,
					  .avail = (uintptr_t)q->avail,
					  .used = (uintptr_t)q->used,
					  .size = model.size};
	assert_int_equal(virtio_ring_start(&model.ring), 0);
	return 0;
}

status_t vdev_start(struct vdev *v __unused)
{
	return model.broken ? -S_IO : 0;
}

bool vdev_failed(struct vdev *v __unused)
{
	return model.broken;
}

bool vdev_stop(struct vdev *v __unused)
{
	model.stops++;
	return true;
}

/* Serves the next request; false: there is none. */
static bool serve(void)
{
	static struct virtio_chain c;
	struct virtio_blk_outhdr h;
	uint32_t len;

	if (virtio_ring_pop(&model.ring, &c) <= 0)
		return false;
	assert_int_equal(virtio_chain_read(&model.ring, &c, 0, &h, sizeof(h)), sizeof(h));
	len = (uint32_t)(c.read_bytes - sizeof(h) + c.write_bytes - 1);
	assert_true(h.sector <= SECTORS && len / BLOCK_SECTOR <= SECTORS - h.sector);
	/* What the device writes begins a cache line: the data, and the status. */
	for (unsigned i = c.readable; i < c.count; i++)
		assert_int_equal(c.buffer[i].gpa % VQUEUE_LINE, 0);
	if (h.type == VIRTIO_BLK_T_IN)
		virtio_chain_write(&model.ring, &c, 0, model.bytes[h.sector], len);
	else if (h.type == VIRTIO_BLK_T_OUT)
		virtio_chain_read(&model.ring, &c, sizeof(h), model.bytes[h.sector], len);
	else
		assert_int_equal(h.type, VIRTIO_BLK_T_FLUSH);
	model.flushes += h.type == VIRTIO_BLK_T_FLUSH;
	model.served++;
	virtio_chain_write(&model.ring, &c, c.write_bytes - 1, &model.status, 1);
	assert_true(virtio_ring_push(&model.ring, c.head,
				     (uint32_t)c.write_bytes - (uint32_t)model.short_by));
	return true;
}

static void mock_doorbell(volatile void *at, uint16_t value __unused)
{
	assert_ptr_equal(at, &kicks);
	kicks++;
	while (model.by_itself && serve())
		;
}

/* --- requests --- */

static struct block_request requests[MANY];
static uint8_t *buffers[MANY];
static unsigned order[MANY], dones;

static void is_done(struct block_request *r)
{
	assert_false(disk->lock.held);
	order[dones++] = (unsigned)(r - requests);
}

static struct block_request *request(unsigned i, enum block_op op, uint32_t bytes)
{
	requests[i] = (struct block_request){
		.op = op, .bytes = bytes, .buffer = buffers[i], .done = is_done, .status = 77};
	return &requests[i];
}

static struct block_user user;

static void interrupt(void)
{
	irq->handle(irq);
}

static bool make(void)
{
	disks = NULL;
	users = NULL;
	count = 0;
	disk = NULL;
	irq = NULL;
	dones = kicks = 0;
	tsc = 5 * HZ;
	if (!probe(&fn))
		return false;
	disk = container_of(disks, struct disk, block);
	assert_int_equal(block_find("vda", &user), 0);
	assert_int_equal(block_open(&user, "test", !disk->block.read_only, NULL), 0);
	return true;
}

static int setup(void **state __unused)
{
	memset(&model, 0, sizeof(model));
	model.config = (struct virtio_blk_config){.capacity = SECTORS, .blk_size = 4096};
	model.features = BIT(VIRTIO_BLK_F_FLUSH);
	model.size = 16;
	for (unsigned i = 0; i < MANY; i++)
		buffers[i] = aligned_alloc(PAGE_SIZE, BLOCK_BYTES_MAX);
	for (unsigned i = 0; i < SECTORS; i++)
		memset(model.bytes[i], (int)i % 255, BLOCK_SECTOR);
	assert_true(make());
	return 0;
}

static void forget(void)
{
	if (disk) {
		pages_free(disk->slots, 0, OWNER_CORE);
		vqueue_free(&disk->queue);
		pages_free(disk, 0, OWNER_CORE);
	}
	disk = NULL;
}

static int teardown(void **state __unused)
{
	forget();
	for (unsigned i = 0; i < MANY; i++)
		free(buffers[i]);
	assert_int_equal(allocated, 0);
	return 0;
}

/* --- tests --- */

static void reads_and_writes(void **state __unused)
{
	assert_int_equal(block_submit(&user, 7, request(0, BLOCK_READ, 3 * BLOCK_SECTOR)), 0);
	memset(buffers[1], 0xab, BLOCK_SECTOR);
	assert_int_equal(block_submit(&user, 999, request(1, BLOCK_WRITE, BLOCK_SECTOR)), 0);
	assert_int_equal(block_submit(&user, 0, request(2, BLOCK_FLUSH, 0)), 0);
	interrupt();
	assert_int_equal(dones, 0);
	assert_true(serve() && serve() && serve() && !serve());
	interrupt();
	assert_int_equal(dones, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(requests[i].status, 0);
	assert_memory_equal(buffers[0], model.bytes[7], 3 * BLOCK_SECTOR);
	assert_int_equal(model.bytes[999][511], 0xab);
	assert_int_equal(model.flushes, 1);
	interrupt();
	assert_int_equal(dones, 3);
}

/* More than there are slots: the others wait, in order. */
static void more_than_fit(void **state __unused)
{
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(block_submit(&user, i, request(i, BLOCK_READ, BLOCK_SECTOR)), 0);
	assert_int_equal(disk->queue.free, 0);
	for (unsigned done = 0; done < MANY; done = dones) {
		unsigned n = 0;

		while (serve())
			n++;
		assert_in_range(n, 1, disk->queue.slots);
		interrupt();
		assert_int_equal(dones, done + n);
	}
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(order[i], i);
		assert_int_equal(requests[i].status, 0);
		assert_memory_equal(buffers[i], model.bytes[i], BLOCK_SECTOR);
	}
}

static void errors(void **state __unused)
{
	const uint8_t statuses[] = {VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_UNSUPP, 0xff};

	for (unsigned i = 0; i < ARRAY_SIZE(statuses); i++) {
		model.status = statuses[i];
		assert_int_equal(block_submit(&user, 0,
					      request(i, i ? BLOCK_WRITE : BLOCK_FLUSH,
						      i ? BLOCK_SECTOR : 0)),
				 0);
		serve();
		interrupt();
		assert_int_equal(requests[i].status, -S_IO);
	}
	/* Read, says the device, but not all of it. */
	model.status = 0;
	model.short_by = 1;
	assert_int_equal(block_submit(&user, 0, request(0, BLOCK_READ, BLOCK_SECTOR)), 0);
	serve();
	interrupt();
	assert_int_equal(requests[0].status, -S_IO);
	assert_false(disk->block.dead);
}

static void expect_dead(unsigned n)
{
	assert_true(disk->block.dead);
	assert_int_equal(model.stops, 1);
	assert_int_equal(dones, n);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(requests[order[i]].status, -S_IO);
	assert_int_equal(block_submit(&user, 0, request(MANY - 1, BLOCK_READ, BLOCK_SECTOR)),
			 -S_IO);
	/* It is not asked any more, whatever it does. */
	serve();
	tsc += 100ull * HZ;
	interrupt();
	assert_int_equal(dones, n);
	assert_int_equal(model.stops, 1);
}

/* No answer within the time: all requests fail, those that wait, too. */
static void takes_too_long(void **state __unused)
{
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(block_submit(&user, i, request(i, BLOCK_READ, BLOCK_SECTOR)), 0);
	serve();
	tsc += (uint64_t)BLOCK_TIMEOUT_S * HZ;
	interrupt();
	assert_int_equal(dones, 1);
	assert_int_equal(requests[0].status, 0);
	dones = 0;
	tsc += HZ + 1;
	interrupt();
	expect_dead(19);
}

/* A TSC that was a little ahead where the request came from. */
static void from_the_future(void **state __unused)
{
	tsc += 3 * HZ;
	assert_int_equal(block_submit(&user, 0, request(0, BLOCK_READ, BLOCK_SECTOR)), 0);
	tsc -= HZ / 2;
	interrupt();
	assert_false(disk->block.dead);
}

static void wants_a_reset(void **state __unused)
{
	assert_int_equal(block_submit(&user, 0, request(0, BLOCK_READ, BLOCK_SECTOR)), 0);
	model.broken = true;
	tsc += HZ;
	interrupt();
	expect_dead(1);
}

static void lies(void **state __unused)
{
	assert_int_equal(block_submit(&user, 0, request(0, BLOCK_READ, BLOCK_SECTOR)), 0);
	assert_int_equal(block_submit(&user, 1, request(1, BLOCK_READ, BLOCK_SECTOR)), 0);
	disk->queue.used->ring[0].id = 9;
	disk->queue.used->idx = 1;
	interrupt();
	expect_dead(2);
}

/* What a user may ask for. */
static void limits(void **state __unused)
{
	struct block_user part = {0};
	const struct block_user *other;

	assert_int_equal(block_submit(&user, 1000, request(0, BLOCK_READ, 512)), -S_RANGE);
	assert_int_equal(block_submit(&user, 999, request(0, BLOCK_READ, 1024)), -S_RANGE);
	assert_int_equal(block_submit(&user, UINT64_MAX, request(0, BLOCK_READ, 512)), -S_RANGE);
	assert_int_equal(block_submit(&user, 0, request(0, BLOCK_READ, 0)), -S_RANGE);
	assert_int_equal(block_submit(&user, 0, request(0, BLOCK_READ, 513)), -S_RANGE);
	assert_int_equal(block_submit(&user, 0, request(0, BLOCK_READ, BLOCK_BYTES_MAX + 512)),
			 -S_RANGE);
	block_close("test");
	users = NULL;
	assert_int_equal(block_find("vda1", &part), 0);
	assert_int_equal(block_open(&part, "reader", false, &other), 0);
	assert_int_equal(block_submit(&part, 100, request(0, BLOCK_READ, 512)), -S_RANGE);
	assert_int_equal(block_submit(&part, 0, request(0, BLOCK_WRITE, 512)), -S_PERM);
	assert_int_equal(block_submit(&part, 0, request(0, BLOCK_FLUSH, 0)), -S_PERM);
	model.by_itself = true;
	assert_int_equal(block_submit(&part, 99, request(0, BLOCK_READ, 512)), 0);
	interrupt();
	assert_int_equal(buffers[0][0], 199);
	assert_int_equal(dones, 1);
}

static void names(void **state __unused)
{
	struct block_user u;

	assert_int_equal(block_find("vda", &u), 0);
	assert_int_equal(u.sectors, SECTORS);
	assert_int_equal(block_find("vda12", &u), 0);
	assert_int_equal(u.first, 200);
	assert_int_equal(u.sectors, 800);
	for (const char *const *n =
		     (const char *const[]){"vda2", "vda0", "vda01", "vda1x", "vda 1", "vdb", "vd",
					   "", "vda-1", "xvda", "vda4294967297", NULL};
	     *n; n++)
		assert_int_equal(block_find(*n, &u), -S_NOENT);
}

static void claims(void **state __unused)
{
	static const char a[] = "a", b[] = "b";
	struct block_user one = {0}, two = {0}, all = {0}, again;
	const struct block_user *other = NULL;

	users = NULL;
	assert_int_equal(block_find("vda1", &one), 0);
	assert_int_equal(block_find("vda12", &two), 0);
	assert_int_equal(block_find("vda", &all), 0);
	assert_int_equal(block_open(&one, a, true, &other), 0);
	assert_int_equal(block_open(&two, b, true, &other), 0); /* right behind it */
	again = one;
	assert_int_equal(block_open(&again, b, true, &other), -S_BUSY);
	assert_ptr_equal(other, &one);
	assert_int_equal(block_open(&again, a, false, &other), -S_BUSY);
	assert_int_equal(block_open(&all, b, false, &other), -S_BUSY);
	block_close(a);
	assert_int_equal(block_open(&all, b, false, &other), -S_BUSY);
	assert_ptr_equal(other, &two);
	block_close(b);
	assert_null(block_users(&disk->block, 0, SECTORS, NULL));
	/* Readers share; a writer does not. */
	assert_int_equal(block_open(&all, a, false, &other), 0);
	assert_int_equal(block_open(&one, b, false, &other), 0);
	assert_int_equal(block_open(&two, b, true, &other), -S_BUSY);
	assert_ptr_equal(other, &all);
	assert_ptr_equal(block_users(&disk->block, 199, 1, NULL), &one);
	assert_ptr_equal(block_users(&disk->block, 199, 1, &one), &all);
	assert_ptr_equal(block_users(&disk->block, 200, 1, NULL), &all);
	/* Whoever overlaps by one sector only. */
	block_close(a);
	again = (struct block_user){.disk = &disk->block, .first = 199, .sectors = 1};
	assert_int_equal(block_open(&again, a, true, &other), -S_BUSY);
	again.first = 200;
	assert_int_equal(block_open(&again, a, true, &other), 0);
	disk->block.read_only = true;
	block_close(a);
	assert_int_equal(block_open(&again, a, true, &other), -S_PERM);
}

static void at_boot(void **state __unused)
{
	uint8_t sector[BLOCK_SECTOR];

	model.by_itself = true;
	assert_int_equal(block_read(&disk->block, 42, sector), 0);
	assert_memory_equal(sector, model.bytes[42], BLOCK_SECTOR);
	assert_int_equal(block_read(&disk->block, SECTORS, sector), -S_IO);
	model.status = 1;
	assert_int_equal(block_read(&disk->block, 42, sector), -S_IO);
	disk->block.dead = true;
	assert_int_equal(block_read(&disk->block, 42, sector), -S_IO);
}

/* It keeps its memory, as its interrupt may be polled. */
static void refused(void)
{
	assert_false(make());
	assert_null(disks);
	interrupt();
	pages_free(container_of(irq, struct disk, irq), 0, OWNER_CORE);
}

/* What it says of itself. */
static void kinds(void **state __unused)
{
	forget();
	model.features |=
		BIT(VIRTIO_BLK_F_RO) | BIT(VIRTIO_BLK_F_SIZE_MAX) | BIT(VIRTIO_BLK_F_BLK_SIZE);
	model.config.blk_size = 512;
	model.config.size_max = 5000;
	assert_true(make());
	assert_true(disk->block.read_only && disk->block.flushes);
	assert_int_equal(disk->block.max_bytes, 9 * 512);
	assert_int_equal(disk->block.sectors, SECTORS);
	forget();
	model.config.size_max = 511;
	refused();
	model.config.size_max = 512;
	model.config.blk_size = 4096;
	refused();
	model.config.blk_size = 512;
	model.config.capacity = 0;
	refused();
	model.config.capacity = BLOCK_SECTORS_MAX + 1;
	refused();
	model.config.capacity = SECTORS;
	model.size = 0;
	refused();
	model.open = -S_NODEV;
	assert_false(make());
	assert_int_equal(allocated, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_and_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(more_than_fit, setup, teardown),
		cmocka_unit_test_setup_teardown(errors, setup, teardown),
		cmocka_unit_test_setup_teardown(takes_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(from_the_future, setup, teardown),
		cmocka_unit_test_setup_teardown(wants_a_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(lies, setup, teardown),
		cmocka_unit_test_setup_teardown(limits, setup, teardown),
		cmocka_unit_test_setup_teardown(names, setup, teardown),
		cmocka_unit_test_setup_teardown(claims, setup, teardown),
		cmocka_unit_test_setup_teardown(at_boot, setup, teardown),
		cmocka_unit_test_setup_teardown(kinds, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
