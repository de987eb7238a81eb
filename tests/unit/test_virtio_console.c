/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtio console: output in order and in turns, a line without room, input, emergency, reset.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <linux/virtio_console.h>
#include <linux/virtio_pci.h>
#include "virtio_ram.h"
#include "../../drivers/virtio/common.c"
#include "../../drivers/virtio/ring.c"
#include "../../drivers/virtio/console.c"

enum { ENTRIES = 128, APART = 0x8000 };

static struct vm vm;
static struct vcpu vcpu = {.vm = &vm};
static struct virtio_console *con;
static unsigned interrupts[QUEUES + 1], log_lines, requested;

/* The other side: what was sent, how much more it takes, and what was typed. */
static char shown[65536];
static size_t shown_len, room;
static const char *typed;

static size_t sink_put(struct virtio_console_sink *sink __unused, const char *text, size_t len)
{
	size_t n = MIN(len, room);

	assert_true(con->dev.lock.held);
	assert_true(shown_len + n <= sizeof(shown));
	memcpy(shown + shown_len, text, n);
	shown_len += n;
	room -= n;
	return n;
}

static bool sink_waiting(struct virtio_console_sink *sink __unused)
{
	assert_true(con->dev.lock.held);
	return *typed;
}

static size_t sink_get(struct virtio_console_sink *sink __unused, uint8_t *bytes, size_t len)
{
	size_t n = MIN(len, strlen(typed));

	assert_true(con->dev.lock.held);
	memcpy(bytes, typed, n);
	typed += n;
	return n;
}

static struct virtio_console_sink sink = {sink_put, sink_waiting, sink_get};

void *pages_alloc(size_t size, uint32_t owner)
{
	assert_int_equal(owner, OWNER_VM_CORE);
	return calloc(1, size);
}

status_t virtio_pci_add(struct virtio_device *dev)
{
	dev->fn.config[PCI_COMMAND] = PCI_COMMAND_MASTER;
	spin_lock(&dev->lock);
	virtio_reset(dev);
	spin_unlock(&dev->lock);
	return 0;
}

void virtio_pci_interrupt(struct virtio_device *dev, uint16_t vector, enum virtio_isr isr __unused)
{
	assert_true(dev->lock.held);
	interrupts[vector]++;
}

void virtio_pci_quiet(struct virtio_device *dev __unused)
{
}

void vm_log(struct vm *to __unused, enum log_level level __unused, const char *fmt __unused, ...)
{
	log_lines++;
}

void vcpu_request(struct vcpu *to, uint32_t requests)
{
	assert_ptr_equal(to, &vcpu);
	requested |= requests;
}

uint64_t time_now(void)
{
	return 0;
}

void timer_set(struct timer *t __unused, uint64_t when __unused)
{
	fail();
}

void timer_cancel(struct timer *t __unused)
{
	fail();
}

static void set(uint32_t offset, unsigned size, uint64_t value)
{
	spin_lock(&con->dev.lock);
	virtio_common_write(&con->dev, offset, size, value);
	spin_unlock(&con->dev.lock);
}

/* Up to DRIVER_OK; queue q's rings are q times APART behind those of virtio_ram.h. */
static void drive(void)
{
	memset(ram, 0, sizeof(ram));
	set(VIRTIO_PCI_COMMON_STATUS, 1, 0);
	set(VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	set(VIRTIO_PCI_COMMON_GF, 4, BIT(VIRTIO_F_VERSION_1 - 32));
	set(VIRTIO_PCI_COMMON_STATUS, 1, 11);
	set(VIRTIO_PCI_COMMON_MSIX, 2, 0);
	for (unsigned q = 0; q < QUEUES; q++) {
		set(VIRTIO_PCI_COMMON_Q_SELECT, 2, q);
		set(VIRTIO_PCI_COMMON_Q_SIZE, 2, ENTRIES);
		set(VIRTIO_PCI_COMMON_Q_MSIX, 2, 1 + q);
		set(VIRTIO_PCI_COMMON_Q_DESCLO, 8, AT_DESC + q * APART);
		set(VIRTIO_PCI_COMMON_Q_AVAILLO, 8, AT_AVAIL + q * APART);
		set(VIRTIO_PCI_COMMON_Q_USEDLO, 8, AT_USED + q * APART);
		set(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	}
	set(VIRTIO_PCI_COMMON_STATUS, 1, 15);
	assert_int_equal(con->dev.status, 15);
}

static int setup(void **state __unused)
{
	vcpu = (struct vcpu){.vm = &vm};
	vm.vcpu[0] = &vcpu;
	memset(interrupts, 0, sizeof(interrupts));
	log_lines = requested = 0;
	shown_len = 0;
	room = SIZE_MAX;
	typed = "";
	ram_out = false;
	assert_int_equal(virtio_console_add(&vm, &con), 0);
	virtio_console_connect(con, &sink);
	drive();
	return 0;
}

static int teardown(void **state __unused)
{
	assert_false(con->dev.lock.held);
	free(con);
	return 0;
}

static void entry(unsigned q, unsigned i, uint64_t gpa, uint32_t len, uint16_t flags)
{
	((struct vring_desc *)at(AT_DESC + q * APART))[i] =
		(struct vring_desc){.addr = gpa, .len = len, .flags = flags, .next = i + 1};
}

static void give(unsigned q, uint16_t head)
{
	struct vring_avail *avail = at(AT_AVAIL + q * APART);

	avail->ring[avail->idx++ % ENTRIES] = head;
}

static const struct vring_used *used(unsigned q)
{
	return at(AT_USED + q * APART);
}

static void ring_bell(unsigned q)
{
	virtio_notify(&con->dev, q, &vcpu);
}

/* A request of one buffer at AT_DATA. */
static void print(const char *text)
{
	memcpy(at(AT_DATA), text, strlen(text));
	entry(TX, 0, AT_DATA, (uint32_t)strlen(text), 0);
	give(TX, 0);
	ring_bell(TX);
}

static void shown_is(const char *text)
{
	assert_int_equal(shown_len, strlen(text));
	assert_memory_equal(shown, text, shown_len);
}

static void configuration(void **state __unused)
{
	const struct virtio_console_config *c = (void *)con->dev.config;

	assert_int_equal(con->dev.config_size, 12);
	assert_int_equal(c->cols, 80);
	assert_int_equal(c->rows, 24);
	assert_int_equal(con->dev.kind->features, 5);
	assert_int_equal(con->dev.kind->queues, 2);
}

static void output(void **state __unused)
{
	memcpy(at(AT_DATA), "hello world", 11);
	entry(TX, 0, AT_DATA, 6, VRING_DESC_F_NEXT);
	entry(TX, 1, AT_DATA + 6, 5, 0);
	entry(TX, 2, AT_DATA + 20, 1, VRING_DESC_F_WRITE); /* nothing to send, nothing written */
	entry(TX, 3, AT_DATA, 2, 0);
	memset(at(AT_DATA + 20), '#', 1);
	give(TX, 0);
	give(TX, 2);
	give(TX, 3);
	ring_bell(TX);
	shown_is("hello worldhe");
	assert_int_equal(used(TX)->idx, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(used(TX)->ring[i].len, 0);
	assert_int_equal(*(char *)at(AT_DATA + 20), '#');
	assert_int_equal(interrupts[1 + TX], 1);
	assert_int_equal(interrupts[1 + RX], 0);
}

/* A line that has no room: the request waits, while input goes on, and is sent exactly once. */
static void no_room(void **state __unused)
{
	room = 4;
	print("0123456789");
	shown_is("0123");
	assert_int_equal(used(TX)->idx, 0);
	assert_null(vcpu.work);
	/* The driver may do with the buffer's descriptor what it likes: it was read. */
	entry(TX, 0, 0, 1, 0);
	typed = "key";
	entry(RX, 0, AT_DATA + 100, 50, VRING_DESC_F_WRITE);
	give(RX, 0);
	ring_bell(RX);
	assert_memory_equal(at(AT_DATA + 100), "key", 3);
	ring_bell(TX);
	shown_is("0123");
	room = 3;
	virtio_console_tx_ready(con);
	virtio_console_tx_ready(con);
	assert_true(requested & VCPU_REQ_WORK);
	shown_is("0123"); /* not before the vCPU's turn */
	vcpu_work(&vcpu);
	shown_is("0123456");
	assert_int_equal(used(TX)->idx, 0);
	room = SIZE_MAX;
	virtio_console_tx_ready(con);
	vcpu_work(&vcpu);
	shown_is("0123456789");
	assert_int_equal(used(TX)->idx, 1);
	assert_int_equal(interrupts[1 + TX], 1);
	print("ab");
	shown_is("0123456789ab");
	assert_int_equal(log_lines, 0);
}

/* A turn ends after 4 KiB, or 64 requests, and the next one goes on where it ended. */
static void turns(void **state __unused)
{
	const size_t len = 10000;
	char *text = at(AT_DATA);

	for (unsigned i = 0; i < len; i++)
		text[i] = (char)(i % 251);
	entry(TX, 0, AT_DATA, (uint32_t)len, 0);
	give(TX, 0);
	ring_bell(TX);
	assert_int_equal(shown_len, 4096);
	assert_non_null(vcpu.work);
	vcpu_work(&vcpu);
	assert_int_equal(shown_len, 8192);
	assert_int_equal(used(TX)->idx, 0);
	vcpu_work(&vcpu);
	assert_int_equal(shown_len, len);
	assert_memory_equal(shown, text, len);
	assert_int_equal(used(TX)->idx, 1);
	assert_null(vcpu.work);
	for (unsigned i = 0; i < 100; i++)
		give(TX, 0);
	entry(TX, 0, AT_DATA, 0, 0);
	ring_bell(TX);
	assert_int_equal(used(TX)->idx, 65);
	vcpu_work(&vcpu);
	assert_int_equal(used(TX)->idx, 101);
	assert_int_equal(shown_len, len);
	assert_null(vcpu.work);
}

static void input(void **state __unused)
{
	char text[600];

	assert_false(virtio_console_open(con));
	typed = "early";
	entry(RX, 0, AT_DATA, 300, VRING_DESC_F_WRITE);
	entry(RX, 1, AT_DATA + 1000, 3, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT);
	entry(RX, 2, AT_DATA + 1003, 100, VRING_DESC_F_WRITE);
	entry(RX, 3, AT_DATA + 2000, 10, 0); /* nothing fits, nothing is lost */
	entry(RX, 4, AT_DATA + 3000, 1, VRING_DESC_F_WRITE);
	give(RX, 0);
	ring_bell(RX);
	assert_true(virtio_console_open(con));
	assert_int_equal(used(RX)->idx, 1);
	assert_int_equal(used(RX)->ring[0].len, 5);
	assert_memory_equal(at(AT_DATA), "early", 5);
	assert_int_equal(interrupts[1 + RX], 1);
	/* Without a buffer bytes wait; without bytes a buffer does. */
	typed = "late";
	virtio_console_rx_ready(con);
	vcpu_work(&vcpu);
	assert_string_equal(typed, "late");
	give(RX, 1);
	give(RX, 4);
	ring_bell(RX);
	assert_memory_equal(at(AT_DATA + 1000), "late", 4);
	assert_int_equal(used(RX)->idx, 2);
	typed = "x";
	virtio_console_rx_ready(con);
	assert_int_equal(used(RX)->idx, 2);
	vcpu_work(&vcpu);
	assert_int_equal(*(char *)at(AT_DATA + 3000), 'x');
	assert_int_equal(used(RX)->idx, 3);
	typed = "kept";
	give(RX, 3);
	give(RX, 0);
	ring_bell(RX);
	assert_int_equal(used(RX)->ring[3].len, 0);
	assert_int_equal(used(RX)->ring[4].len, 4);
	assert_memory_equal(at(AT_DATA), "kept", 4);
	/* More than a piece. */
	for (unsigned i = 0; i < sizeof(text) - 1; i++)
		text[i] = (char)('a' + i % 26);
	text[sizeof(text) - 1] = 0;
	typed = text;
	for (unsigned i = 5; i < 8; i++) {
		entry(RX, i, AT_DATA + 256 * i, 256, VRING_DESC_F_WRITE);
		give(RX, (uint16_t)i);
	}
	ring_bell(RX);
	assert_memory_equal(at(AT_DATA + 256 * 5), text, sizeof(text) - 1);
	assert_string_equal(typed, "");
	assert_int_equal(log_lines, 0);
}

/* The driver is told of the size at the first, and of others when they come. */
static void size(void **state __unused)
{
	const struct virtio_console_config *c = (void *)con->dev.config;
	uint8_t generation = con->dev.generation;

	virtio_console_resize(con, 100, 30);
	vcpu_work(&vcpu);
	assert_int_equal(interrupts[0], 0);
	assert_false(virtio_console_open(con));
	virtio_console_resize(con, 80, 24);
	ring_bell(RX);
	assert_int_equal(interrupts[0], 1);
	assert_int_equal(c->cols, 80);
	assert_int_not_equal(con->dev.generation, generation);
	ring_bell(RX);
	assert_int_equal(interrupts[0], 1);
	virtio_console_resize(con, 132, 43);
	assert_int_equal(c->cols, 80);
	vcpu_work(&vcpu);
	assert_int_equal(interrupts[0], 2);
	assert_int_equal(c->cols, 132);
	assert_int_equal(c->rows, 43);
	virtio_console_resize(con, 132, 44);
	vcpu_work(&vcpu);
	assert_int_equal(interrupts[0], 3);
	assert_int_equal(c->rows, 44);
	/* A new driver knows nothing. */
	set(VIRTIO_PCI_COMMON_STATUS, 1, 0);
	drive();
	ring_bell(RX);
	assert_int_equal(interrupts[0], 4);
}

/* A reset forgets what was under way, and who took input. */
static void start_again(void **state __unused)
{
	room = 2;
	print("abcdef");
	ring_bell(RX);
	assert_true(virtio_console_open(con));
	set(VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_false(virtio_console_open(con));
	room = SIZE_MAX;
	virtio_console_tx_ready(con);
	virtio_console_rx_ready(con);
	vcpu_work(&vcpu);
	assert_false(virtio_console_open(con));
	drive();
	print("new");
	shown_is("abnew");
	assert_int_equal(used(TX)->idx, 1);
}

static void write_config(uint32_t offset, unsigned size, uint64_t value)
{
	spin_lock(&con->dev.lock);
	con->dev.kind->ops->config_write(&con->dev, offset, size, value);
	spin_unlock(&con->dev.lock);
}

/* Without a driver, and in between of what a driver sends. */
static void emergency(void **state __unused)
{
	room = 3;
	print("abcdef");
	room = 1;
	write_config(8, 4, 0x1234500 + '!');
	write_config(8, 4, '?'); /* no room */
	room = SIZE_MAX;
	virtio_console_tx_ready(con);
	vcpu_work(&vcpu);
	set(VIRTIO_PCI_COMMON_STATUS, 1, 0);
	write_config(8, 4, '.');
	for (uint32_t i = 0; i < 4096; i++) {
		if (i != 8)
			write_config(i, 1, 'x');
	}
	shown_is("abc!def.");
	assert_int_equal(con->config.cols, 80);
}

/* Where memory ends, a request does. */
static void out_of_memory(void **state __unused)
{
	memcpy(at(AT_DATA), "abc", 3);
	entry(TX, 0, AT_DATA, 3, 0);
	give(TX, 0);
	spin_lock(&con->dev.lock);
	assert_true(virtio_pop(&con->dev, TX));
	ram_out = true;
	assert_true(send(con, &(uint32_t){100}));
	ram_out = false;
	spin_unlock(&con->dev.lock);
	shown_is("");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(configuration, setup, teardown),
		cmocka_unit_test_setup_teardown(output, setup, teardown),
		cmocka_unit_test_setup_teardown(no_room, setup, teardown),
		cmocka_unit_test_setup_teardown(turns, setup, teardown),
		cmocka_unit_test_setup_teardown(input, setup, teardown),
		cmocka_unit_test_setup_teardown(size, setup, teardown),
		cmocka_unit_test_setup_teardown(start_again, setup, teardown),
		cmocka_unit_test_setup_teardown(emergency, setup, teardown),
		cmocka_unit_test_setup_teardown(out_of_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
