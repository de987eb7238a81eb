/* SPDX-License-Identifier: BSD-2-Clause */
/* Split rings: chains of every shape, good and hostile, suppression both ways, exact bytes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "virtio_ram.h"
#include "../../drivers/virtio/ring.c"

#define NEXT	 VRING_DESC_F_NEXT
#define WRITE	 VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT

static struct guest_mem mem;
static struct virtio_ring ring;
static struct virtio_chain chain;

static void start_with(uint16_t size, bool event_idx, bool indirect)
{
	memset(ram, 0, sizeof(ram));
	ram_attacked = ram_out = false;
	ring = (struct virtio_ring){
		.mem = &mem,
		.desc = AT_DESC,
		.avail = AT_AVAIL,
		.used = AT_USED,
		.size = size,
		.event_idx = event_idx,
		.indirect = indirect,
	};
	assert_int_equal(virtio_ring_start(&ring), 0);
}

static int setup(void **state __unused)
{
	start_with(DRIVER_SIZE, false, true);
	return 0;
}

static status_t try_start(uint16_t size, uint64_t desc, uint64_t avail, uint64_t used)
{
	ring = (struct virtio_ring){
		.mem = &mem, .size = size, .desc = desc, .avail = avail, .used = used};
	return virtio_ring_start(&ring);
}

static void places(void **state __unused)
{
	const uint64_t end = RAM_BASE + RAM_SIZE;

	assert_int_equal(try_start(0, AT_DESC, AT_AVAIL, AT_USED), -S_INVAL);
	assert_int_equal(try_start(3, AT_DESC, AT_AVAIL, AT_USED), -S_INVAL);
	assert_int_equal(try_start(512, AT_DESC, AT_AVAIL, AT_USED), -S_INVAL);
	assert_int_equal(try_start(1, AT_DESC, AT_AVAIL, AT_USED), 0);
	assert_int_equal(try_start(256, AT_DESC, AT_AVAIL, AT_USED), 0);
	assert_int_equal(try_start(8, AT_DESC + 8, AT_AVAIL, AT_USED), -S_INVAL);
	assert_int_equal(try_start(8, AT_DESC, AT_AVAIL + 1, AT_USED), -S_INVAL);
	assert_int_equal(try_start(8, AT_DESC, AT_AVAIL, AT_USED + 2), -S_INVAL);
	/* To the last byte: 16, 2 and 8 for each, and 6 more. */
	assert_int_equal(try_start(8, end - 128, AT_AVAIL, AT_USED), 0);
	assert_int_equal(try_start(8, end - 112, AT_AVAIL, AT_USED), -S_FAULT);
	assert_int_equal(try_start(8, AT_DESC, end - 22, AT_USED), 0);
	assert_int_equal(try_start(8, AT_DESC, end - 20, AT_USED), -S_FAULT);
	assert_int_equal(try_start(8, AT_DESC, AT_AVAIL, end - 72), 0);
	assert_int_equal(try_start(8, AT_DESC, AT_AVAIL, end - 68), -S_FAULT);
	assert_int_equal(try_start(8, UINT64_MAX - 127, AT_AVAIL, AT_USED), -S_FAULT);
	assert_int_equal(try_start(8, AT_DESC, UINT64_MAX - 1, AT_USED), -S_FAULT);
	assert_int_equal(try_start(8, AT_DESC, AT_AVAIL, 0), -S_FAULT);
}

static void check_buffer(unsigned i, uint64_t gpa, uint32_t len)
{
	assert_int_equal(chain.buffer[i].gpa, gpa);
	assert_int_equal(chain.buffer[i].len, len);
}

static void chains(void **state __unused)
{
	assert_int_equal(virtio_ring_pop(&ring, &chain), 0);
	describe(3, AT_DATA, 16, NEXT, 1);
	describe(1, AT_DATA + 100, 0, NEXT, 6); /* no bytes: not there */
	describe(6, AT_DATA + 200, 8, NEXT | WRITE, 0);
	describe(0, AT_DATA + 300, 4, WRITE, 99);
	offer(3);
	assert_int_equal(virtio_ring_pop(&ring, &chain), 1);
	assert_int_equal(chain.head, 3);
	assert_int_equal(chain.count, 3);
	assert_int_equal(chain.readable, 1);
	assert_int_equal(chain.read_bytes, 16);
	assert_int_equal(chain.write_bytes, 12);
	check_buffer(0, AT_DATA, 16);
	check_buffer(1, AT_DATA + 200, 8);
	check_buffer(2, AT_DATA + 300, 4);
	assert_int_equal(virtio_ring_pop(&ring, &chain), 0);
	assert_true(virtio_ring_push(&ring, 3, 12));
	assert_int_equal(used_ring()->idx, 1);
	assert_int_equal(used_ring()->ring[0].id, 3);
	assert_int_equal(used_ring()->ring[0].len, 12);
	assert_null(ring.error);
}

static void longest_chain(void **state __unused)
{
	start_with(VIRTIO_RING_MAX, false, true);
	for (unsigned i = 0; i < VIRTIO_RING_MAX; i++)
		describe(i, AT_DATA + i, 1, i < VIRTIO_RING_MAX - 1 ? NEXT : 0, (uint16_t)(i + 1));
	offer_in(VIRTIO_RING_MAX, 0);
	assert_int_equal(virtio_ring_pop(&ring, &chain), 1);
	assert_int_equal(chain.count, VIRTIO_RING_MAX);
	assert_int_equal(chain.read_bytes, VIRTIO_RING_MAX);
	/* Some in the ring and some in a table: together no more than the queue has. */
	for (unsigned i = 0; i < VIRTIO_RING_MAX; i++)
		in_table(i, AT_DATA, 1, i < VIRTIO_RING_MAX - 1 ? NEXT : 0, (uint16_t)(i + 1));
	describe(0, AT_DATA, 1, NEXT, 1);
	describe(1, AT_TABLE, 16 * VIRTIO_RING_MAX, INDIRECT, 0);
	offer_in(VIRTIO_RING_MAX, 0);
	assert_int_equal(virtio_ring_pop(&ring, &chain), -S_INVAL);
}

static void tables(void **state __unused)
{
	in_table(0, AT_DATA, 10, NEXT, 2);
	in_table(2, AT_DATA + 50, 20, NEXT | WRITE, 1);
	in_table(1, AT_DATA + 90, 30, WRITE, 0);
	describe(4, AT_DATA + 8, 2, NEXT, 5);
	describe(5, AT_TABLE, 48, INDIRECT | WRITE, 0); /* the table itself is only read */
	offer(4);
	assert_int_equal(virtio_ring_pop(&ring, &chain), 1);
	assert_int_equal(chain.count, 4);
	assert_int_equal(chain.readable, 2);
	check_buffer(0, AT_DATA + 8, 2);
	check_buffer(1, AT_DATA, 10);
	check_buffer(2, AT_DATA + 50, 20);
	check_buffer(3, AT_DATA + 90, 30);
}

static void refuse(const char *what, uint16_t head)
{
	offer(head);
	if (virtio_ring_pop(&ring, &chain) != -S_INVAL)
		fail_msg("taken: %s", what);
	assert_non_null(ring.error);
	/* It stays so, whatever comes next. */
	describe(0, AT_DATA, 4, WRITE, 0);
	offer(0);
	assert_int_equal(virtio_ring_pop(&ring, &chain), -S_INVAL);
	assert_false(virtio_ring_push(&ring, 0, 0));
	assert_false(virtio_ring_signal(&ring));
	assert_int_equal(used_ring()->idx, 0);
	start_with(DRIVER_SIZE, false, true);
}

static void hostile_chains(void **state __unused)
{
	const uint64_t end = RAM_BASE + RAM_SIZE;

	refuse("a head that is no descriptor", DRIVER_SIZE);
	refuse("the highest head", UINT16_MAX);
	describe(0, AT_DATA, 1, NEXT, DRIVER_SIZE);
	refuse("a next that is no descriptor", 0);
	describe(0, AT_DATA, 1, NEXT, 0);
	refuse("a loop of one", 0);
	describe(0, AT_DATA, 0, NEXT, 0);
	refuse("a loop of nothing", 0);
	describe(0, AT_DATA, 1, NEXT, 1);
	describe(1, AT_DATA, 1, NEXT, 0);
	refuse("a loop of two", 1);
	describe(0, AT_DATA, 1, NEXT | WRITE, 1);
	describe(1, AT_DATA, 1, 0, 0);
	refuse("readable behind writable", 0);
	describe(0, RAM_BASE - 1, 1, WRITE, 0);
	refuse("below memory", 0);
	describe(0, end - 4, 5, 0, 0);
	refuse("across the end", 0);
	describe(0, end, 1, 0, 0);
	refuse("at the end", 0);
	describe(0, AT_DATA, UINT32_MAX, WRITE, 0);
	refuse("the highest length", 0);
	describe(0, UINT64_MAX - 3, 8, WRITE, 0);
	refuse("around the end of addresses", 0);
}

static void hostile_tables(void **state __unused)
{
	const uint64_t end = RAM_BASE + RAM_SIZE;

	in_table(0, AT_DATA, 1, 0, 0);
	describe(0, AT_TABLE, 0, INDIRECT, 0);
	refuse("an empty table", 0);
	describe(0, AT_TABLE, 17, INDIRECT, 0);
	refuse("a table and a byte", 0);
	describe(0, AT_TABLE, 16 * (DRIVER_SIZE + 1), INDIRECT, 0);
	refuse("a table longer than the queue", 0);
	describe(0, AT_TABLE, 0xfffffff0, INDIRECT, 0);
	refuse("the longest table", 0);
	describe(0, end - 16, 32, INDIRECT, 0);
	refuse("a table across the end", 0);
	describe(0, UINT64_MAX - 15, 32, INDIRECT, 0);
	refuse("a table around the end of addresses", 0);
	describe(0, AT_TABLE, 16, INDIRECT | NEXT, 1);
	refuse("a table that is not last", 0);
	in_table(0, AT_TABLE, 16, INDIRECT, 0);
	describe(0, AT_TABLE, 16, INDIRECT, 0);
	refuse("a table in a table", 0);
	in_table(0, AT_DATA, 1, NEXT, 1);
	describe(0, AT_TABLE, 16, INDIRECT, 0);
	refuse("a next outside of the table", 0);
	in_table(0, AT_DATA, 1, NEXT, 1);
	in_table(1, AT_DATA, 1, NEXT, 0);
	describe(0, AT_TABLE, 32, INDIRECT, 0);
	refuse("a loop in a table", 0);
	describe(0, AT_DATA, 1, NEXT | WRITE, 1);
	in_table(0, AT_DATA, 1, 0, 0);
	describe(1, AT_TABLE, 16, INDIRECT, 0);
	refuse("a table with readable ones behind writable", 0);
	start_with(DRIVER_SIZE, false, false);
	in_table(0, AT_DATA, 1, 0, 0);
	describe(0, AT_TABLE, 16, INDIRECT, 0);
	refuse("a table without the feature", 0);
}

static void jumping_index(void **state __unused)
{
	describe(0, AT_DATA, 1, 0, 0);
	avail_ring()->idx = DRIVER_SIZE;
	assert_int_equal(virtio_ring_pop(&ring, &chain), 1);
	avail_ring()->idx = DRIVER_SIZE + 2;
	assert_int_equal(virtio_ring_pop(&ring, &chain), -S_INVAL);
	start_with(DRIVER_SIZE, false, false);
	avail_ring()->idx = UINT16_MAX; /* backwards */
	assert_int_equal(virtio_ring_pop(&ring, &chain), -S_INVAL);
}

/* Another vCPU changes what was read: what was found good is what is used. */
static void read_once(void **state __unused)
{
	in_table(0, AT_DATA, 10, NEXT, 1);
	in_table(1, AT_DATA + 90, 30, WRITE, 0);
	describe(4, AT_DATA + 8, 2, NEXT, 5);
	describe(5, AT_TABLE, 32, INDIRECT, 0);
	offer(4);
	ram_attacked = true;
	assert_int_equal(virtio_ring_pop(&ring, &chain), 1);
	assert_int_equal(chain.count, 3);
	check_buffer(0, AT_DATA + 8, 2);
	check_buffer(1, AT_DATA, 10);
	check_buffer(2, AT_DATA + 90, 30);
}

static void round_and_round(void **state __unused)
{
	for (unsigned i = 0; i < 70000; i++) {
		unsigned head = i * 3 % DRIVER_SIZE;

		describe(head, AT_DATA + i % 1000, 1 + i % 7, WRITE, 0);
		offer((uint16_t)head);
		assert_int_equal(virtio_ring_pop(&ring, &chain), 1);
		assert_int_equal(chain.head, head);
		check_buffer(0, AT_DATA + i % 1000, 1 + i % 7);
		assert_true(virtio_ring_push(&ring, chain.head, i));
		assert_int_equal(used_ring()->idx, (uint16_t)(i + 1));
		assert_int_equal(used_ring()->ring[i % DRIVER_SIZE].id, head);
		assert_int_equal(used_ring()->ring[i % DRIVER_SIZE].len, i);
		assert_true(virtio_ring_signal(&ring));
		assert_false(virtio_ring_signal(&ring)); /* nothing new */
	}
	/* And nothing beside the rings was touched. */
	assert_int_equal(*avail_event(DRIVER_SIZE), 0);
	assert_int_equal(*used_event(DRIVER_SIZE), 0);
}

static void notifications_by_flag(void **state __unused)
{
	describe(0, AT_DATA, 1, 0, 0);
	offer(0);
	offer(0);
	assert_int_equal(virtio_ring_pop(&ring, &chain), 1);
	assert_int_equal(used_ring()->flags, VRING_USED_F_NO_NOTIFY);
	assert_int_equal(virtio_ring_pop(&ring, &chain), 1);
	assert_int_equal(used_ring()->flags, VRING_USED_F_NO_NOTIFY);
	assert_int_equal(virtio_ring_pop(&ring, &chain), 0);
	assert_int_equal(used_ring()->flags, 0);
	assert_int_equal(virtio_ring_pop(&ring, &chain), 0);
	offer(0);
	assert_int_equal(virtio_ring_pop(&ring, &chain), 1);
	assert_int_equal(used_ring()->flags, VRING_USED_F_NO_NOTIFY);
}

static void notifications_by_index(void **state __unused)
{
	start_with(DRIVER_SIZE, true, false);
	describe(0, AT_DATA, 1, 0, 0);
	for (unsigned i = 1; i < 20; i++) {
		uint16_t old = avail_ring()->idx;

		/* The driver notifies for the first of three, and not for the others. */
		assert_true(vring_need_event(*avail_event(DRIVER_SIZE), old + 1, old));
		offer(0);
		assert_int_equal(virtio_ring_pop(&ring, &chain), 1);
		old = avail_ring()->idx;
		assert_false(vring_need_event(*avail_event(DRIVER_SIZE), old + 2, old));
		offer(0);
		offer(0);
		assert_int_equal(virtio_ring_pop(&ring, &chain), 1);
		assert_int_equal(virtio_ring_pop(&ring, &chain), 1);
		assert_int_equal(virtio_ring_pop(&ring, &chain), 0);
		assert_int_equal(*avail_event(DRIVER_SIZE), 3 * i);
		assert_int_equal(used_ring()->flags, 0);
	}
}

static void offer_one(void)
{
	offer(0);
}

/* A request that comes before the driver is asked to notify: there is no notification for it. */
static void added_at_the_last_moment(void **state __unused)
{
	for (unsigned event_idx = 0; event_idx < 2; event_idx++) {
		start_with(DRIVER_SIZE, event_idx, false);
		describe(0, AT_DATA, 1, 0, 0);
		ram_act = offer_one;
		ram_watch = event_idx ? AT_USED + 4 + 8 * DRIVER_SIZE : AT_USED;
		assert_int_equal(virtio_ring_pop(&ring, &chain), 1);
		assert_int_equal(ram_watch, 0);
		assert_int_equal(virtio_ring_pop(&ring, &chain), 0);
	}
}

static void interrupts_by_flag(void **state __unused)
{
	assert_false(virtio_ring_signal(&ring));
	assert_true(virtio_ring_push(&ring, 0, 0));
	assert_true(virtio_ring_signal(&ring));
	avail_ring()->flags = VRING_AVAIL_F_NO_INTERRUPT;
	assert_true(virtio_ring_push(&ring, 0, 0));
	assert_false(virtio_ring_signal(&ring));
	avail_ring()->flags = 0;
	assert_false(virtio_ring_signal(&ring)); /* it did not want that one */
}

/* Any batches and wishes: a signal exactly when the wish lies in the batch. */
static void interrupts_by_index(void **state __unused)
{
	uint16_t idx = 0;
	unsigned wanted = 0;

	start_with(DRIVER_SIZE, true, false);
	avail_ring()->flags = VRING_AVAIL_F_NO_INTERRUPT; /* means nothing then */
	srand(1);
	for (unsigned i = 0; i < 100000; i++) {
		unsigned batch = 1 + (unsigned)rand() % 8;
		uint16_t event = (uint16_t)(idx + rand() % 24 - 8);
		bool in_batch = (uint16_t)(event - idx) < batch;

		*used_event(DRIVER_SIZE) = event;
		for (unsigned k = 0; k < batch; k++)
			assert_true(virtio_ring_push(&ring, 0, 0));
		idx = (uint16_t)(idx + batch);
		assert_int_equal(virtio_ring_signal(&ring), in_batch);
		wanted += in_batch;
	}
	assert_in_range(wanted, 10000, 50000);
}

static void copies(void **state __unused)
{
	uint8_t buf[64], *data = at(AT_DATA);

	for (unsigned i = 0; i < 200; i++)
		data[i] = (uint8_t)i;
	describe(0, AT_DATA, 10, NEXT, 1);
	describe(1, AT_DATA + 20, 5, NEXT, 2);
	describe(2, AT_DATA + 40, 3, NEXT | WRITE, 3);
	describe(3, AT_DATA + 50, 4, WRITE, 0);
	offer(0);
	assert_int_equal(virtio_ring_pop(&ring, &chain), 1);
	assert_int_equal(virtio_chain_read(&ring, &chain, 0, buf, 64), 15);
	assert_int_equal(buf[9], 9);
	assert_int_equal(buf[10], 20);
	assert_int_equal(buf[14], 24);
	assert_int_equal(virtio_chain_read(&ring, &chain, 8, buf, 4), 4);
	assert_memory_equal(buf, ((uint8_t[]){8, 9, 20, 21}), 4);
	assert_int_equal(virtio_chain_read(&ring, &chain, 15, buf, 4), 0);
	assert_int_equal(virtio_chain_read(&ring, &chain, UINT64_MAX, buf, 4), 0);
	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(virtio_chain_write(&ring, &chain, 2, buf, 3), 3);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(data[i], i == 42 || i == 50 || i == 51 ? 0xee : i);
	assert_int_equal(virtio_chain_write(&ring, &chain, 0, buf, 64), 7);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(data[i], (i >= 40 && i < 43) || (i >= 50 && i < 54) ? 0xee : i);
	ram_out = true;
	assert_int_equal(virtio_chain_read(&ring, &chain, 0, buf, 64), 0);
	assert_int_equal(virtio_chain_write(&ring, &chain, 0, buf, 64), 0);
}

static void out_of_memory(void **state __unused)
{
	describe(0, AT_DATA, 1, 0, 0);
	offer(0);
	ram_out = true;
	assert_int_equal(virtio_ring_pop(&ring, &chain), -S_INVAL);
	start_with(DRIVER_SIZE, false, false);
	ram_out = true;
	assert_false(virtio_ring_push(&ring, 0, 0));
	assert_non_null(ring.error);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(places, setup),
		cmocka_unit_test_setup(chains, setup),
		cmocka_unit_test_setup(longest_chain, setup),
		cmocka_unit_test_setup(tables, setup),
		cmocka_unit_test_setup(hostile_chains, setup),
		cmocka_unit_test_setup(hostile_tables, setup),
		cmocka_unit_test_setup(jumping_index, setup),
		cmocka_unit_test_setup(read_once, setup),
		cmocka_unit_test_setup(round_and_round, setup),
		cmocka_unit_test_setup(notifications_by_flag, setup),
		cmocka_unit_test_setup(notifications_by_index, setup),
		cmocka_unit_test_setup(added_at_the_last_moment, setup),
		cmocka_unit_test_setup(interrupts_by_flag, setup),
		cmocka_unit_test_setup(interrupts_by_index, setup),
		cmocka_unit_test_setup(copies, setup),
		cmocka_unit_test_setup(out_of_memory, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
