/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio over PCI: capabilities, BAR, MSI-X and INTx, negotiation, queues, reset, wrong accesses.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <linux/virtio_pci.h>
#include "platform_mock.h"
#include "virtio_ram.h"
#include "socle/stats.h"
#include "../../drivers/virtio/common.c"
#include "../../platform/pci.c"
#include "../../platform/pci_bar.c"
#include "../../platform/pci_msix.c"
#include "../../platform/reset.c"
#include "../../drivers/virtio/ring.c"

#include "../../drivers/virtio/pci.c"

enum { QUEUES = 2, CONFIG = 6 };

static struct virtio_device dev;
static uint8_t device_config[CONFIG];
static unsigned lines, messages, works, resets, power_ons, log_lines, more;
static uint64_t last_address;
static uint32_t last_data;

void irq_line_set(struct board *board, unsigned line, bool asserted)
{
	assert_ptr_equal(board, &mock_board);
	assert_chips_held();
	assert_true(!(lines & 1u << line) == asserted);
	lines ^= 1u << line;
}

void irq_msi(struct vm *vm, uint64_t address, uint32_t data)
{
	assert_ptr_equal(vm, &mock_vm);
	messages++;
	last_address = address;
	last_data = data;
}

void vm_log(struct vm *vm, enum log_level level __unused, const char *fmt __unused, ...)
{
	assert_ptr_equal(vm, &mock_vm);
	log_lines++;
}

void vm_reset(struct vm *vm __unused)
{
}

void vm_debug_exit(struct vm *vm __unused, int status __unused)
{
}

static unsigned requests; /* by other CPUs to mock_vcpu */

void vcpu_request(struct vcpu *vcpu, uint32_t bits)
{
	assert_ptr_equal(vcpu, &mock_vcpu);
	assert_int_equal(bits, VCPU_REQ_WORK);
	requests++;
}

size_t format_sink(struct format_sink *sink __unused, const char *fmt __unused, ...)
{
	return 0;
}

/* A device that gives back what it gets; it stops early @more times. */
static bool test_work(struct virtio_device *d, unsigned queue)
{
	assert_ptr_equal(d, &dev);
	assert_true(d->lock.held);
	assert_false(mock_vm.chips.held);
	works++;
	if (more) {
		more--;
		return true;
	}
	while (virtio_pop(d, queue))
		virtio_push(d, queue, 7);
	return false;
}

static void test_reset(struct virtio_device *d)
{
	assert_true(d->lock.held);
	resets++;
}

static void test_power_on(struct virtio_device *d)
{
	assert_false(d->lock.held);
	power_ons++;
}

static const struct virtio_ops test_ops = {
	.work = test_work, .reset = test_reset, .power_on = test_power_on};
static const struct virtio_kind kind = {
	.name = "test",
	.id = 63,
	.pci_class = 0xff0000,
	.queues = QUEUES,
	.features = BIT(0) | BIT(50),
	.ops = &test_ops,
};

static int setup(void **state __unused)
{
	static const struct board no_board;

	mock_reset();
	mock_board = no_board;
	mock_board.vm = &mock_vm;
	mock_vm.board = &mock_board;
	mock_vcpu = (struct vcpu){.vm = &mock_vm};
	mock_vm.vcpu[0] = &mock_vcpu;
	requests = 0;
	memset(ram, 0, sizeof(ram));
	ram_attacked = ram_out = false;
	lines = messages = works = resets = power_ons = log_lines = more = 0;
	assert_int_equal(pci_init(&mock_board.pci, &mock_bus, &mock_board, &mock_board.reset), 0);
	dev = (struct virtio_device){
		.kind = &kind, .vm = &mock_vm, .config = device_config, .config_size = CONFIG};
	assert_int_equal(virtio_pci_add(&dev), 0);
	assert_int_equal(dev.fn.slot, 1);
	pci_reset(&mock_board.pci);
	assert_false(dev.lock.held || mock_vm.chips.held);
	return 0;
}

static uint32_t config(unsigned offset, unsigned size)
{
	return (uint32_t)mmio_in(PCI_ECAM + (1 << 15) + offset, size);
}

static void set_config(unsigned offset, unsigned size, uint32_t value)
{
	mmio_out(PCI_ECAM + (1 << 15) + offset, size, value);
	assert_false(dev.lock.held || mock_vm.chips.held);
}

static uint64_t bar;

/* With memory and bus mastering, and MSI-X if @msix. */
static void turn_on(bool msix)
{
	bar = config(PCI_BAR0, 4);
	set_config(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	set_config(dev.msix.cap + 2, 2, msix ? 0x8000 : 0);
	for (unsigned i = 0; msix && i <= QUEUES; i++) {
		mmio_out(bar + (PAGE_MSIX << 12) + 16 * i, 4, 0xfee00000);
		mmio_out(bar + (PAGE_MSIX << 12) + 16 * i + 8, 4, 0x40 + i);
		mmio_out(bar + (PAGE_MSIX << 12) + 16 * i + 12, 4, 0);
	}
}

static uint32_t get(unsigned offset, unsigned size)
{
	return (uint32_t)mmio_in(bar + offset, size);
}

static void set(unsigned offset, unsigned size, uint32_t value)
{
	mmio_out(bar + offset, size, value);
	assert_false(dev.lock.held || mock_vm.chips.held);
}

static uint8_t status(void)
{
	return (uint8_t)get(VIRTIO_PCI_COMMON_STATUS, 1);
}

static void set_status_to(uint8_t value)
{
	set(VIRTIO_PCI_COMMON_STATUS, 1, value);
}

static void features(uint64_t value)
{
	for (unsigned i = 0; i < 2; i++) {
		set(VIRTIO_PCI_COMMON_GFSELECT, 4, i);
		set(VIRTIO_PCI_COMMON_GF, 4, (uint32_t)(value >> 32 * i));
	}
}

static void set_queue(unsigned queue, uint64_t desc)
{
	set(VIRTIO_PCI_COMMON_Q_SELECT, 2, queue);
	set(VIRTIO_PCI_COMMON_Q_SIZE, 2, DRIVER_SIZE);
	set(VIRTIO_PCI_COMMON_Q_MSIX, 2, 1 + queue);
	set(VIRTIO_PCI_COMMON_Q_DESCLO, 4, (uint32_t)desc);
	set(VIRTIO_PCI_COMMON_Q_DESCHI, 4, desc >> 32);
	set(VIRTIO_PCI_COMMON_Q_AVAILLO, 4, AT_AVAIL);
	set(VIRTIO_PCI_COMMON_Q_USEDLO, 4, AT_USED);
	set(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

/* Up to DRIVER_OK, with queue 0. */
static void drive(bool msix)
{
	turn_on(msix);
	set_status_to(0);
	set_status_to(3);
	features(BIT(VIRTIO_F_VERSION_1));
	set_status_to(11);
	assert_int_equal(status(), 11);
	set(VIRTIO_PCI_COMMON_MSIX, 2, 0);
	set_queue(0, AT_DESC);
	set_status_to(15);
	assert_int_equal(status(), 15);
}

static void ring_bell(unsigned queue)
{
	set((PAGE_NOTIFY << 12) + 4 * queue, 2, queue);
}

/* The specification's minimum (4.1.4), found as drivers find it. */
static void capabilities(void **state __unused)
{
	unsigned seen = 0, count = 0, at = config(PCI_CAPABILITIES, 1);

	assert_int_equal(config(0, 4), 0x107f1af4);
	assert_true(config(PCI_CLASS_REVISION, 1) >= 1);
	assert_true(config(PCI_SUBSYSTEM_ID, 2) >= 0x40);
	assert_true(config(PCI_STATUS, 2) & 0x10);
	assert_int_equal(config(PCI_INTERRUPT_PIN, 1), 1);
	for (; at; at = config(at + 1, 1), count++) {
		uint32_t offset = config(at + VIRTIO_PCI_CAP_OFFSET, 4);
		uint32_t length = config(at + VIRTIO_PCI_CAP_LENGTH, 4);
		unsigned type = config(at + VIRTIO_PCI_CAP_CFG_TYPE, 1);

		assert_true(at >= 0x40 && at % 4 == 0);
		if (config(at, 1) == PCI_CAP_MSIX) {
			assert_int_equal(config(at + 2, 2), QUEUES);
			assert_int_equal(config(at + 4, 4), PAGE_MSIX << 12);
			assert_int_equal(config(at + 8, 4), PAGE_PENDING << 12);
			continue;
		}
		assert_int_equal(config(at, 1), PCI_CAP_VENDOR);
		seen |= 1u << type;
		assert_true(offset % 4 == 0 && offset + length <= BAR_PAGES << 12);
		assert_true(config(at + VIRTIO_PCI_CAP_LEN, 1) >= 16);
		if (type == VIRTIO_PCI_CAP_NOTIFY_CFG)
			assert_int_equal(config(at + VIRTIO_PCI_NOTIFY_CAP_MULT, 4), 4);
		if (type == VIRTIO_PCI_CAP_COMMON_CFG)
			assert_int_equal(length, 60);
		if (type == VIRTIO_PCI_CAP_DEVICE_CFG)
			assert_int_equal(length, CONFIG);
	}
	assert_int_equal(count, 6);
	assert_int_equal(seen, 0x3e);
}

static void bar_moves(void **state __unused)
{
	uint64_t home = config(PCI_BAR0, 4);

	assert_in_range(home, PCI_WINDOW, PCI_ECAM);
	assert_int_equal(mmio_in(home + VIRTIO_PCI_COMMON_NUMQ, 2), 0xffff);
	set_config(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(mmio_in(home + VIRTIO_PCI_COMMON_NUMQ, 2), QUEUES);
	set_config(PCI_BAR0, 4, UINT32_MAX);
	assert_int_equal(config(PCI_BAR0, 4), 0xffff8000);
	assert_int_equal(mmio_in(home + VIRTIO_PCI_COMMON_NUMQ, 2), 0xffff);
	set_config(PCI_BAR0, 4, 0xd1230000);
	assert_int_equal(mmio_in(0xd1230000 + VIRTIO_PCI_COMMON_NUMQ, 2), QUEUES);
	/* To the end of the window, and not beyond it. */
	set_config(PCI_BAR0, 4, PCI_ECAM - 0x8000);
	assert_int_equal(mmio_in(PCI_ECAM - 0x8000 + VIRTIO_PCI_COMMON_NUMQ, 2), QUEUES);
	set_config(PCI_BAR0, 4, PCI_ECAM);
	assert_int_equal(dev.fn.bar->base, 0);
	set_config(PCI_BAR0, 4, 0xbfff8000);
	assert_int_equal(dev.fn.bar->base, 0);
	set_config(PCI_BAR0, 4, 0);
	assert_int_equal(dev.fn.bar->base, 0);
	/* An access that begins inside and ends outside. */
	set_config(PCI_BAR0, 4, 0xd0000000);
	assert_int_equal(mmio_in(0xd0007ffc, 8), UINT64_MAX);
	pci_reset(&mock_board.pci);
	assert_int_equal(config(PCI_BAR0, 4), home);
	assert_int_equal(dev.fn.bar->base, 0);
}

static void full_bus(void **state __unused)
{
	static struct virtio_device others[PCI_SLOTS];
	unsigned added = 0;

	for (; added < PCI_SLOTS; added++) {
		others[added] = (struct virtio_device){.kind = &kind, .vm = &mock_vm};
		if (virtio_pci_add(&others[added]))
			break;
		/* Without a configuration of its own there is no capability for it. */
		assert_int_equal(others[added].fn.bar->home, 0xc0008000 + added * 0x8000);
	}
	assert_int_equal(added, PCI_SLOTS - 2);
	assert_int_equal(pci_free_slot(&mock_board.pci), PCI_SLOTS);
}

static void negotiation(void **state __unused)
{
	turn_on(false);
	set(VIRTIO_PCI_COMMON_DFSELECT, 4, 0);
	assert_int_equal(get(VIRTIO_PCI_COMMON_DF, 4), 0x30000001);
	set(VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
	assert_int_equal(get(VIRTIO_PCI_COMMON_DF, 4), 0x00040001);
	for (unsigned i = 2; i; i <<= 1) {
		set(VIRTIO_PCI_COMMON_DFSELECT, 4, i);
		assert_int_equal(get(VIRTIO_PCI_COMMON_DF, 4), 0);
		set(VIRTIO_PCI_COMMON_GFSELECT, 4, i);
		set(VIRTIO_PCI_COMMON_GF, 4, UINT32_MAX);
		assert_int_equal(get(VIRTIO_PCI_COMMON_GF, 4), 0);
	}
	assert_int_equal(dev.driver_features, 0);
	/* Any bit that is not offered is refused, and VERSION_1 must be there. */
	for (unsigned bit = 0; bit < 64; bit++) {
		bool offers = (BIT(bit) & (BIT(0) | BIT(28) | BIT(29) | BIT(32) | BIT(50)));

		set_status_to(0);
		set_status_to(3);
		features(BIT(32) | BIT(bit));
		set_status_to(15);
		assert_int_equal(status(), offers ? 15 : 3);
		set_status_to(0);
		features(BIT(bit) & ~BIT(32));
		set_status_to(11);
		assert_int_equal(status(), 3);
	}
	/* What was agreed on stays. */
	set_status_to(0);
	assert_int_equal(dev.driver_features, 0);
	features(BIT(32));
	set_status_to(11);
	features(BIT(32) | BIT(0));
	assert_int_equal(dev.driver_features, BIT(32));
	/* Bits are not cleared but by a reset, and the device's own not set. */
	set_status_to(0x40);
	assert_int_equal(status(), 11);
	set_status_to(0x80);
	assert_int_equal(status(), 0x8b);
	set_status_to(0);
	assert_int_equal(status(), 0);
	/* DRIVER_OK is nothing without FEATURES_OK. */
	set_status_to(7);
	assert_int_equal(status(), 3);
}

static void queue_registers(void **state __unused)
{
	turn_on(false);
	assert_int_equal(get(VIRTIO_PCI_COMMON_NUMQ, 2), QUEUES);
	set_status_to(3);
	for (unsigned q = 0; q < 4; q++) {
		set(VIRTIO_PCI_COMMON_Q_SELECT, 2, q);
		assert_int_equal(get(VIRTIO_PCI_COMMON_Q_SELECT, 2), q);
		assert_int_equal(get(VIRTIO_PCI_COMMON_Q_SIZE, 2), q < QUEUES ? 256 : 0);
		assert_int_equal(get(VIRTIO_PCI_COMMON_Q_NOFF, 2), q < QUEUES ? q : 0);
		assert_int_equal(get(VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
		set(VIRTIO_PCI_COMMON_Q_SIZE, 2, 512);
		set(VIRTIO_PCI_COMMON_Q_SIZE, 2, 24);
		set(VIRTIO_PCI_COMMON_Q_SIZE, 2, 0);
		assert_int_equal(get(VIRTIO_PCI_COMMON_Q_SIZE, 2), q < QUEUES ? 256 : 0);
		set(VIRTIO_PCI_COMMON_Q_MSIX, 2, QUEUES);
		assert_int_equal(get(VIRTIO_PCI_COMMON_Q_MSIX, 2), q < QUEUES ? QUEUES : 0xffff);
		set(VIRTIO_PCI_COMMON_Q_MSIX, 2, QUEUES + 1);
		assert_int_equal(get(VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
	}
	set(VIRTIO_PCI_COMMON_MSIX, 2, QUEUES);
	assert_int_equal(get(VIRTIO_PCI_COMMON_MSIX, 2), QUEUES);
	set(VIRTIO_PCI_COMMON_MSIX, 2, 99);
	assert_int_equal(get(VIRTIO_PCI_COMMON_MSIX, 2), 0xffff);
	/* Not before features were agreed on; and then what it is stays. */
	set_queue(1, AT_DESC);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	features(BIT(32));
	set_status_to(11);
	set(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 2);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	set_queue(1, AT_DESC);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	set(VIRTIO_PCI_COMMON_Q_SIZE, 2, 16);
	set(VIRTIO_PCI_COMMON_Q_DESCHI, 4, 1);
	set(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 0);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_SIZE, 2), DRIVER_SIZE);
	assert_int_equal(dev.queue[1].ring.desc, AT_DESC);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_DESCLO, 4), AT_DESC);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	set(VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
	mmio_out(bar + VIRTIO_PCI_COMMON_Q_USEDLO, 8, 0x123456789abcdef0);
	assert_int_equal(dev.queue[0].ring.used, 0x123456789abcdef0);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_USEDHI, 4), 0x12345678);
	set_status_to(0);
	set(VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_SIZE, 2), 256);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_DESCLO, 4), 0);
}

static void bad_queue(void **state __unused)
{
	drive(true);
	set_queue(1, 0xdead0000);
	assert_int_equal(status(), 0x4f);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	assert_int_equal(messages, 1);
	assert_int_equal(last_data, 0x40);
	assert_int_equal(log_lines, 1);
}

static void requests_with_msix(void **state __unused)
{
	drive(true);
	describe(0, AT_DATA, 4, VRING_DESC_F_WRITE, 0);
	offer(0);
	ring_bell(0);
	assert_int_equal(works, 1);
	assert_int_equal(used_ring()->idx, 1);
	assert_int_equal(used_ring()->ring[0].len, 7);
	assert_int_equal(messages, 1);
	assert_int_equal(last_address, 0xfee00000);
	assert_int_equal(last_data, 0x41);
	assert_int_equal(lines, 0);
	assert_int_equal(get(PAGE_ISR << 12, 1), 0);
	/* No vector: no interrupt, of either kind. */
	set(VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
	set(VIRTIO_PCI_COMMON_Q_MSIX, 2, 0xffff);
	offer(0);
	ring_bell(0);
	assert_int_equal(used_ring()->idx, 2);
	assert_int_equal(messages, 1);
	assert_int_equal(lines, 0);
	/* Without bus mastering, nothing. */
	set_config(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	offer(0);
	ring_bell(0);
	assert_int_equal(used_ring()->idx, 2);
	assert_int_equal(works, 2);
}

static void masks(void **state __unused)
{
	unsigned control = dev.msix.cap + 2;

	drive(true);
	describe(0, AT_DATA, 4, VRING_DESC_F_WRITE, 0);
	mmio_out(bar + (PAGE_MSIX << 12) + 16 + 12, 4, UINT32_MAX);
	assert_int_equal(mmio_in(bar + (PAGE_MSIX << 12) + 16 + 12, 4), 1);
	offer(0);
	ring_bell(0);
	assert_int_equal(messages, 0);
	assert_int_equal(mmio_in(bar + (PAGE_PENDING << 12), 8), 2);
	assert_int_equal(mmio_in(bar + (PAGE_PENDING << 12) + 4, 4), 0);
	mmio_out(bar + (PAGE_PENDING << 12), 8, 0);
	assert_int_equal(mmio_in(bar + (PAGE_PENDING << 12), 1), 2);
	mmio_out(bar + (PAGE_MSIX << 12) + 16 + 8, 8, 0x77);
	assert_int_equal(messages, 1);
	assert_int_equal(last_data, 0x77);
	assert_int_equal(mmio_in(bar + (PAGE_PENDING << 12), 8), 0);
	set_config(control, 2, 0xc000);
	offer(0);
	ring_bell(0);
	assert_int_equal(messages, 1);
	set_config(control, 2, 0x8000);
	assert_int_equal(messages, 2);
	set_config(control, 2, 0x8000);
	assert_int_equal(messages, 2);
	/* Size is read-only, and odd writes to the table are ignored. */
	set_config(control, 2, 0x87ff);
	assert_int_equal(config(control, 2), 0x8000 | QUEUES);
	mmio_out(bar + (PAGE_MSIX << 12) + 18, 4, UINT32_MAX);
	mmio_out(bar + (PAGE_MSIX << 12) + 16, 2, 0xffff);
	mmio_out(bar + (PAGE_MSIX << 12) + 16 * (QUEUES + 1), 4, UINT32_MAX);
	assert_int_equal(mmio_in(bar + (PAGE_MSIX << 12) + 16, 4), 0xfee00000);
	assert_int_equal(mmio_in(bar + (PAGE_MSIX << 12) + 18, 2), 0xfee0);
	assert_int_equal(mmio_in(bar + (PAGE_MSIX << 12) + 16 * (QUEUES + 1), 4), 0);
	pci_reset(&mock_board.pci);
	assert_int_equal(dev.msix.entry[1].control, 1);
	assert_false(pci_msix_enabled(&dev.msix));
}

static void requests_with_line(void **state __unused)
{
	const unsigned line = 1u << 17;

	drive(false);
	describe(0, AT_DATA, 4, VRING_DESC_F_WRITE, 0);
	offer(0);
	ring_bell(0);
	assert_int_equal(messages, 0);
	assert_int_equal(lines, line);
	assert_true(config(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	set_config(PCI_COMMAND, 2, 0x406);
	assert_int_equal(lines, 0);
	assert_true(config(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	set_config(PCI_COMMAND, 2, 6);
	assert_int_equal(lines, line);
	assert_int_equal(get(PAGE_ISR << 12, 1), VIRTIO_ISR_QUEUE);
	assert_int_equal(lines, 0);
	assert_int_equal(get(PAGE_ISR << 12, 1), 0);
	spin_lock(&dev.lock);
	virtio_config_changed(&dev);
	spin_unlock(&dev.lock);
	assert_int_equal(lines, line);
	offer(0);
	ring_bell(0);
	assert_int_equal(get(PAGE_ISR << 12, 4), VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG);
	offer(0);
	ring_bell(0);
	assert_int_equal(lines, line);
	set_status_to(0); /* lets it go */
	assert_int_equal(lines, 0);
	assert_int_equal(get(PAGE_ISR << 12, 1), 0);
	drive(false);
	avail_ring()->idx = 0;
	offer(0);
	ring_bell(0);
	assert_int_equal(lines, line);
	set_config(dev.msix.cap + 2, 2, 0x8000); /* so does MSI-X */
	assert_int_equal(lines, 0);
}

static void dead_or_alive(void **state __unused)
{
	turn_on(true);
	ring_bell(0);
	set_status_to(3);
	features(BIT(32));
	set_status_to(11);
	set_queue(0, AT_DESC);
	describe(0, AT_DATA, 4, VRING_DESC_F_WRITE, 0);
	offer(0);
	ring_bell(0);
	assert_int_equal(works, 0); /* no DRIVER_OK */
	set_status_to(15);
	ring_bell(1); /* not enabled */
	for (unsigned i = QUEUES; i < 1024; i++)
		ring_bell(i);
	assert_int_equal(works, 0);
	set((PAGE_NOTIFY << 12) + 1, 1, 0xff); /* any access there */
	assert_int_equal(works, 1);
	assert_int_equal(used_ring()->idx, 1);
}

static void broken_ring(void **state __unused)
{
	drive(true);
	describe(0, AT_DATA, 4, VRING_DESC_F_NEXT, 0);
	offer(0);
	ring_bell(0);
	assert_int_equal(status(), 0x4f);
	assert_int_equal(messages, 1);
	assert_int_equal(last_data, 0x40); /* that of the configuration */
	assert_int_equal(used_ring()->idx, 0);
	assert_int_equal(log_lines, 1);
	ring_bell(0);
	set_queue(1, AT_DESC);
	set_status_to(0xff);
	assert_int_equal(works, 1);
	assert_int_equal(log_lines, 1);
	set_status_to(0);
	assert_int_equal(status(), 0);
	memset(ram, 0, sizeof(ram));
	drive(true);
	describe(0, AT_DATA, 4, VRING_DESC_F_WRITE, 0);
	offer(0);
	ring_bell(0);
	assert_int_equal(used_ring()->idx, 1);
}

/* A turn has an end; the rest is done in the vCPU's next ones, by one vCPU at a time. */
static void long_work(void **state __unused)
{
	struct vcpu other = {.vm = &mock_vm};

	drive(true);
	describe(0, AT_DATA, 4, VRING_DESC_F_WRITE, 0);
	offer(0);
	more = 3;
	virtio_notify(&dev, 0, &mock_vcpu);
	assert_int_equal(used_ring()->idx, 0);
	assert_true(mock_vcpu.requests & VCPU_REQ_LEAVE);
	assert_non_null(mock_vcpu.work);
	virtio_notify(&dev, 0, &other);
	assert_null(other.work);
	vcpu_work(&mock_vcpu);
	assert_non_null(mock_vcpu.work);
	assert_int_equal(works, 3);
	vcpu_work(&mock_vcpu);
	assert_null(mock_vcpu.work);
	assert_int_equal(works, 4);
	assert_int_equal(used_ring()->idx, 1);
	assert_int_equal(messages, 1);
	/* A reset of the device in between: nothing is left to be done. */
	offer(0);
	more = 1;
	virtio_notify(&dev, 0, &mock_vcpu);
	set_status_to(0);
	vcpu_work(&mock_vcpu);
	assert_null(mock_vcpu.work);
	assert_int_equal(works, 5);
	/* And one of the machine, whose vCPUs forget it. */
	memset(ram, 0, sizeof(ram));
	drive(true);
	offer(0);
	more = 1;
	virtio_notify(&dev, 0, &mock_vcpu);
	mock_vcpu.work = NULL;
	power_ons = 0;
	set_status_to(0);
	assert_int_equal(power_ons, 0);
	pci_reset(&mock_board.pci);
	assert_int_equal(power_ons, 1);
	assert_false(dev.queue[0].deferred);
}

/* Another CPU wants a queue to be looked at: a vCPU does it in its turn, once for all who asked. */
static void asked_for(void **state __unused)
{
	drive(true);
	describe(0, AT_DATA, 4, VRING_DESC_F_WRITE, 0);
	offer(0);
	with_chips(virtio_ask(&dev, 0));
	virtio_ask(&dev, 1);
	virtio_ask(&dev, 0);
	assert_int_equal(requests, 2);
	assert_int_equal(works, 0);
	vcpu_work(&mock_vcpu);
	assert_int_equal(works, 1); /* queue 1 is not live */
	assert_int_equal(used_ring()->idx, 1);
	vcpu_work(&mock_vcpu);
	assert_int_equal(works, 1);
	/* Again; with more than a turn's work, which is put off. */
	more = 1;
	virtio_ask(&dev, 0);
	assert_int_equal(requests, 3);
	vcpu_work(&mock_vcpu);
	assert_int_equal(works, 2);
	assert_true(mock_vcpu.requests & VCPU_REQ_LEAVE);
	vcpu_work(&mock_vcpu);
	assert_int_equal(works, 3);
	/* A new life of the machine: nothing is left, and all can be asked for anew. */
	virtio_ask(&dev, 0);
	vcpu_forget_work(&mock_vcpu);
	vcpu_work(&mock_vcpu);
	assert_int_equal(works, 3);
	virtio_ask(&dev, 0);
	assert_int_equal(requests, 5);
	vcpu_work(&mock_vcpu);
	assert_int_equal(works, 4);
}

static unsigned config_writes;

static void test_config_write(struct virtio_device *d, uint32_t offset, unsigned size,
			      uint64_t value)
{
	assert_true(d->lock.held);
	assert_false(mock_vm.chips.held);
	assert_int_equal(offset, 2);
	assert_int_equal(size, 4);
	assert_int_equal(value, 0x12345678);
	config_writes++;
}

static void writable_configuration(void **state __unused)
{
	static const struct virtio_ops ops_too = {
		.work = test_work, .reset = test_reset, .config_write = test_config_write};
	struct virtio_kind writable = kind;

	writable.ops = &ops_too;
	dev.kind = &writable;
	drive(true);
	set((PAGE_DEVICE << 12) + 2, 4, 0x12345678);
	assert_int_equal(config_writes, 1);
	dev.kind = &kind;
}

static void configuration(void **state __unused)
{
	uint8_t generation;

	memcpy(device_config, "\1\2\3\4\5\6", CONFIG);
	drive(true);
	assert_int_equal(get(PAGE_DEVICE << 12, 4), 0x04030201);
	assert_int_equal(get((PAGE_DEVICE << 12) + 4, 2), 0x0605);
	assert_int_equal(get((PAGE_DEVICE << 12) + 4, 4), 0);
	assert_int_equal(get((PAGE_DEVICE << 12) + 6, 1), 0);
	set(PAGE_DEVICE << 12, 4, 0);
	assert_int_equal(device_config[0], 1);
	generation = (uint8_t)get(VIRTIO_PCI_COMMON_CFGGENERATION, 1);
	spin_lock(&dev.lock);
	virtio_config_changed(&dev);
	spin_unlock(&dev.lock);
	assert_int_not_equal(get(VIRTIO_PCI_COMMON_CFGGENERATION, 1), generation);
	assert_int_equal(messages, 1);
	assert_int_equal(last_data, 0x40);
}

static void window_in_configuration_space(void **state __unused)
{
	unsigned cap = dev.fn.cap_last, data = cap + 16;

	drive(true);
	set_config(cap + VIRTIO_PCI_CAP_BAR, 1, 0);
	set_config(cap + VIRTIO_PCI_CAP_OFFSET, 4, VIRTIO_PCI_COMMON_STATUS);
	set_config(cap + VIRTIO_PCI_CAP_LENGTH, 4, 1);
	assert_int_equal(config(data, 1), 15);
	/* By the ports as well. */
	out(0xcf8, 4, 0x80000000 | 1 << 11 | data);
	assert_int_equal(in(0xcfc, 1), 15);
	assert_int_equal(config(data, 2), 0); /* not the length that was set */
	assert_int_equal(config(data + 1, 1), 0);
	/* A doorbell: the work is done with no lock but the device's. */
	describe(0, AT_DATA, 4, VRING_DESC_F_WRITE, 0);
	offer(0);
	set_config(cap + VIRTIO_PCI_CAP_OFFSET, 4, PAGE_NOTIFY << 12);
	set_config(cap + VIRTIO_PCI_CAP_LENGTH, 4, 2);
	set_config(data, 2, 0);
	assert_int_equal(used_ring()->idx, 1);
	assert_int_equal(messages, 1);
	set_config(cap + VIRTIO_PCI_CAP_OFFSET, 4, VIRTIO_PCI_COMMON_STATUS);
	set_config(cap + VIRTIO_PCI_CAP_LENGTH, 4, 1);
	set_config(data, 1, 0);
	assert_int_equal(status(), 0);
	/* Another BAR, an odd place, one far away. */
	set_status_to(3);
	set_config(cap + VIRTIO_PCI_CAP_BAR, 1, 1);
	assert_int_equal(config(data, 1), 0);
	set_config(cap + VIRTIO_PCI_CAP_BAR, 1, 0);
	set_config(cap + VIRTIO_PCI_CAP_LENGTH, 4, 4);
	set_config(cap + VIRTIO_PCI_CAP_OFFSET, 4, 2);
	assert_int_equal(config(data, 4), 0);
	for (uint32_t offset = 0x7ff0; offset; offset <<= 1) {
		set_config(cap + VIRTIO_PCI_CAP_OFFSET, 4, offset);
		assert_int_equal(config(data, 4), 0);
		set_config(data, 4, UINT32_MAX);
	}
	set_config(cap + VIRTIO_PCI_CAP_OFFSET, 4, UINT32_MAX & ~3u);
	assert_int_equal(config(data, 4), 0);
}

/* Every width at every place, in both spaces, twice: it is there afterwards, and works. */
static void odd_accesses(void **state __unused)
{
	turn_on(true);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 8 * 4096; i++) {
			for (unsigned size = 1; size <= 8; size *= 2) {
				mmio_in(bar + i, size);
				mmio_out(bar + i, size, round ? UINT64_MAX : 0x0102030405060708);
			}
		}
		for (unsigned i = 0x40; i < 0x100; i++) {
			for (unsigned size = 1; size <= 4; size *= 2) {
				config(i, size);
				set_config(i, size, round ? UINT32_MAX : 0x01020304);
			}
		}
	}
	pci_reset(&mock_board.pci);
	drive(true);
	messages = 0;
	describe(0, AT_DATA, 4, VRING_DESC_F_WRITE, 0);
	offer(0);
	ring_bell(0);
	assert_int_equal(used_ring()->idx, 1);
	assert_int_equal(messages, 1);
}

static void after_power_on(void **state __unused)
{
	drive(false);
	describe(0, AT_DATA, 4, VRING_DESC_F_WRITE, 0);
	offer(0);
	ring_bell(0);
	assert_int_not_equal(lines, 0);
	resets = 0;
	pci_reset(&mock_board.pci);
	assert_int_equal(resets, 1);
	assert_int_equal(lines, 0);
	assert_int_equal(config(PCI_COMMAND, 2), 0);
	turn_on(false);
	assert_int_equal(status(), 0);
	assert_int_equal(get(VIRTIO_PCI_COMMON_MSIX, 2), 0xffff);
	assert_int_equal(get(PAGE_ISR << 12, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(capabilities, setup),
		cmocka_unit_test_setup(bar_moves, setup),
		cmocka_unit_test_setup(full_bus, setup),
		cmocka_unit_test_setup(negotiation, setup),
		cmocka_unit_test_setup(queue_registers, setup),
		cmocka_unit_test_setup(bad_queue, setup),
		cmocka_unit_test_setup(requests_with_msix, setup),
		cmocka_unit_test_setup(masks, setup),
		cmocka_unit_test_setup(requests_with_line, setup),
		cmocka_unit_test_setup(dead_or_alive, setup),
		cmocka_unit_test_setup(broken_ring, setup),
		cmocka_unit_test_setup(long_work, setup),
		cmocka_unit_test_setup(asked_for, setup),
		cmocka_unit_test_setup(configuration, setup),
		cmocka_unit_test_setup(writable_configuration, setup),
		cmocka_unit_test_setup(window_in_configuration_space, setup),
		cmocka_unit_test_setup(odd_accesses, setup),
		cmocka_unit_test_setup(after_power_on, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
