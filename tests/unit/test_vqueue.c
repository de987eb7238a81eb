/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver's side of a virtqueue, against our own device's side, and against devices that lie. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "socle/cpu/mmio.h"
#include "socle/mm/frames.h"

static unsigned kicks;
static void mock_doorbell(volatile void *at, uint16_t value);
#define mmio_write16 mock_doorbell
#include "../../drivers/virtio/ring.c"
#include "../../drivers/vqueue.c"

enum { SIZE = 16, CHAIN = 3, SLOTS = SIZE / CHAIN, INDEX = 2, BYTES = 100 };

uintptr_t test_memory; /* "physical" addresses are the host's */
static struct vqueue q;
static struct virtio_ring device;
static struct virtio_chain chain;
static bool out_of_memory;

static void mock_doorbell(volatile void *at, uint16_t value)
{
	assert_ptr_equal(at, &kicks);
	assert_int_equal(value, INDEX);
	kicks++;
}

void *pages_alloc(size_t bytes, uint32_t owner)
{
	void *p;

	assert_int_equal(owner, OWNER_CORE);
	if (out_of_memory)
		return NULL;
	p = aligned_alloc(PAGE_SIZE, ALIGN_UP(bytes, (size_t)PAGE_SIZE));
	memset(p, 0, bytes);
	return p;
}

void pages_free(void *va, size_t bytes __unused, uint32_t owner __unused)
{
	free(va);
}

/* The model device sees the driver's memory where it is. */
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

static int setup(void **state __unused)
{
	out_of_memory = false;
	kicks = 0;
	assert_int_equal(vqueue_init(&q, SIZE, CHAIN), 0);
	q.doorbell = &kicks;
	q.index = INDEX;
	device = (struct virtio_ring){.desc = (uintptr_t)q.desc,
				      .avail = (uintptr_t)q.avail,
				      .used = (uintptr_t)q.used,
				      .size = SIZE};
	assert_int_equal(virtio_ring_start(&device), 0);
	return 0;
}

static int teardown(void **state __unused)
{
	vqueue_free(&q);
	return 0;
}

/* A request of a byte to be read, data to be written and a byte behind it. */
struct request {
	uint8_t header __aligned(64);
	uint8_t data[BYTES] __aligned(64);
	uint8_t status __aligned(64);
};

static status_t submit(struct request *r)
{
	const struct vqueue_buffer buffers[CHAIN] = {
		{virt_to_phys(&r->header), 1},
		{virt_to_phys(r->data), BYTES},
		{virt_to_phys(&r->status), 1},
	};

	return vqueue_add(&q, buffers, 1, 2, r);
}

/* The device takes one and answers with its header's byte everywhere. */
static bool take(void)
{
	int found = virtio_ring_pop(&device, &chain);

	assert_true(found >= 0);
	return found;
}

static void answer(const struct virtio_chain *c, uint32_t len)
{
	uint8_t header, data[BYTES + 1];

	assert_int_equal(c->count, CHAIN);
	assert_int_equal(c->readable, 1);
	assert_int_equal(virtio_chain_read(&device, c, 0, &header, 1), 1);
	memset(data, header, sizeof(data));
	assert_int_equal(virtio_chain_write(&device, c, 0, data, sizeof(data)), sizeof(data));
	assert_true(virtio_ring_push(&device, c->head, len));
}

/* What the device writes has its cache lines for itself. */
static void lines(void **state __unused)
{
	for (unsigned size = 1; size <= VQUEUE_MAX; size *= 2) {
		struct vqueue v;
		uintptr_t used, end;

		assert_int_equal(vqueue_init(&v, size, 1), 0);
		used = (uintptr_t)v.used;
		end = (uintptr_t)v.desc + v.bytes;
		assert_int_equal((uintptr_t)v.desc % VQUEUE_LINE, 0);
		assert_int_equal(used % VQUEUE_LINE, 0);
		assert_ptr_equal(v.avail, v.desc + size);
		assert_true((uintptr_t)&v.avail->ring[size + 1] <= used);
		assert_true((uintptr_t)&v.used->ring[size] + 2 <= end);
		assert_int_equal(end % VQUEUE_LINE, 0);
		vqueue_free(&v);
	}
	out_of_memory = true;
	assert_int_equal(vqueue_init(&(struct vqueue){0}, 4, 1), -S_NOMEM);
}

static void one_request(void **state __unused)
{
	struct request r = {.header = 0x5a};
	uint32_t written = 0;

	assert_false(take());
	assert_null(vqueue_get(&q, &written));
	assert_int_equal(submit(&r), 0);
	vqueue_kick(&q);
	assert_int_equal(kicks, 1);
	assert_true(take());
	assert_null(vqueue_get(&q, &written));
	answer(&chain, BYTES + 1);
	assert_ptr_equal(vqueue_get(&q, &written), &r);
	assert_int_equal(written, BYTES + 1);
	assert_int_equal(r.data[0], 0x5a);
	assert_int_equal(r.data[BYTES - 1], 0x5a);
	assert_int_equal(r.status, 0x5a);
	assert_null(vqueue_get(&q, &written));
	assert_null(q.error);
}

/* More than 65536 requests, many at a time, finished in another order. */
static void many(void **state __unused)
{
	static struct request r[SLOTS];
	static struct virtio_chain taken[SLOTS];
	bool busy[SLOTS] = {false};

	for (unsigned round = 0; round < 20000; round++) {
		unsigned n = (unsigned)rand() % SLOTS + 1, have = 0;
		uint32_t written;

		for (unsigned i = 0; i < n; i++) {
			r[i].header = (uint8_t)rand();
			r[i].status = (uint8_t)~r[i].header;
			assert_int_equal(submit(&r[i]), 0);
			busy[i] = true;
		}
		if (n == SLOTS)
			assert_int_equal(submit(&r[0]), -S_NOSPC);
		for (; take(); have++)
			taken[have] = chain;
		assert_int_equal(have, n);
		for (unsigned i = 0; i < n; i++) {
			unsigned k = (unsigned)rand() % (n - i);

			answer(&taken[k], BYTES + 1);
			taken[k] = taken[n - i - 1];
		}
		for (unsigned i = 0; i < n; i++) {
			struct request *done = vqueue_get(&q, &written);

			assert_non_null(done);
			assert_true(busy[done - r]);
			busy[done - r] = false;
			assert_int_equal(done->status, done->header);
			assert_int_equal(written, BYTES + 1);
		}
		assert_null(vqueue_get(&q, &written));
	}
	assert_null(q.error);
	assert_int_equal(q.free, SLOTS);
}

/* The device says when it wants to be told, and we when we want to be interrupted. */
static void quiet(void **state __unused)
{
	struct request r;

	assert_true(virtio_ring_hush(&device));
	assert_int_equal(submit(&r), 0);
	vqueue_kick(&q);
	assert_int_equal(kicks, 0);
	vqueue_quiet(&q, true);
	assert_true(take());
	answer(&chain, 0);
	assert_false(virtio_ring_signal(&device));
	vqueue_quiet(&q, false);
	assert_ptr_equal(vqueue_get(&q, &(uint32_t){0}), &r);
	assert_int_equal(submit(&r), 0);
	assert_true(take());
	answer(&chain, 0);
	assert_true(virtio_ring_signal(&device));
}

static void use(unsigned at, uint32_t id, uint32_t len, uint16_t idx)
{
	q.used->ring[at % SIZE] = (struct vring_used_elem){.id = id, .len = len};
	q.used->idx = idx;
}

static void expect_dead(void)
{
	uint32_t written;
	struct request r;

	assert_null(vqueue_get(&q, &written));
	assert_non_null(q.error);
	/* And it stays so, with its requests still there to be dropped. */
	assert_null(vqueue_get(&q, &written));
	assert_int_equal(submit(&r), -S_IO);
}

/* Whatever the device puts into the used ring. */
static void lies(void **state __unused)
{
	struct {
		uint32_t id, len;
		uint16_t idx;
	} wrong[] = {
		{0, 1, 3},	       /* finished more than it has */
		{0, 1, 0xffff},	       /* likewise, backwards */
		{1, 1, 1},	       /* the middle of a request */
		{2 * CHAIN, 1, 1},     /* one that is not there now */
		{SLOTS * CHAIN, 1, 1}, /* behind the last */
		{0xffffffff, 1, 1},
		{0x80000000, 1, 1},
		{0, BYTES + 2, 1}, /* more bytes than there are */
		{0, 0xffffffff, 1},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct request r[2];

		assert_int_equal(submit(&r[0]), 0);
		assert_int_equal(submit(&r[1]), 0);
		use(0, wrong[i].id, wrong[i].len, wrong[i].idx);
		expect_dead();
		assert_ptr_equal(vqueue_drop(&q), &r[0]);
		assert_ptr_equal(vqueue_drop(&q), &r[1]);
		assert_null(vqueue_drop(&q));
		teardown(NULL);
		setup(NULL);
	}
}

/* Once is enough. */
static void finished_twice(void **state __unused)
{
	struct request r[2];

	assert_int_equal(submit(&r[0]), 0);
	assert_int_equal(submit(&r[1]), 0);
	use(0, 0, 1, 1);
	assert_ptr_equal(vqueue_get(&q, &(uint32_t){0}), &r[0]);
	use(1, 0, 1, 2);
	expect_dead();
	assert_ptr_equal(vqueue_drop(&q), &r[1]);
	assert_null(vqueue_drop(&q));
}

/* What the device makes of the descriptors does not matter to us. */
static void scribbles(void **state __unused)
{
	struct request r[2];

	assert_int_equal(submit(&r[0]), 0);
	memset(q.desc, 0xff, SIZE * sizeof(*q.desc));
	memset(q.avail, 0xff, sizeof(*q.avail) + SIZE * 2);
	assert_int_equal(submit(&r[1]), 0);
	assert_int_equal(q.desc[CHAIN].flags, VRING_DESC_F_NEXT);
	assert_int_equal(q.avail->idx, 2);
	use(0, CHAIN, BYTES, 1);
	assert_ptr_equal(vqueue_get(&q, &(uint32_t){0}), &r[1]);
	use(1, 0, BYTES, 2);
	assert_ptr_equal(vqueue_get(&q, &(uint32_t){0}), &r[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lines, setup, teardown),
		cmocka_unit_test_setup_teardown(one_request, setup, teardown),
		cmocka_unit_test_setup_teardown(many, setup, teardown),
		cmocka_unit_test_setup_teardown(quiet, setup, teardown),
		cmocka_unit_test_setup_teardown(lies, setup, teardown),
		cmocka_unit_test_setup_teardown(finished_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(scribbles, setup, teardown),
	};

	srand(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
