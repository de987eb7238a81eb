/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver's side of virtio over PCI, on a model of a device's registers that may misbehave. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include "socle/cpu/mmio.h"
#include "socle/drivers/pci.h"
#include "socle/mm/frames.h"

static uint64_t mock_read(const volatile void *at, unsigned size);
static void mock_write(volatile void *at, unsigned size, uint64_t value);
#define mmio_read8(at)	    (uint8_t) mock_read(at, 1)
#define mmio_read16(at)	    (uint16_t) mock_read(at, 2)
#define mmio_read32(at)	    (uint32_t) mock_read(at, 4)
#define mmio_write8(at, v)  mock_write(at, 1, v)
#define mmio_write16(at, v) mock_write(at, 2, v)
#define mmio_write32(at, v) mock_write(at, 4, v)
#include "../../drivers/vdev.c"
#include "../../drivers/vqueue.c"

enum {
	BAR = 4,
	BAR_SIZE = 0x4000,
	COMMON = 0,
	ISR = 0x1000,
	CONFIG = 0x2000,
	NOTIFY = 0x3000,
	QUEUES = 2,
	CAPS = 4,
	CAP_AT = 0x40,
	CAP_STEP = 20
};

uintptr_t test_memory; /* "physical" addresses are the host's */
uint64_t tsc_hz = 100000000;

/* The device. */
static struct {
	uint8_t bar[BAR_SIZE];
	struct virtio_pci_notify_cap caps[CAPS];
	struct virtio_pci_common_cfg c; /* what is the same for all queues */
	struct virtio_pci_common_cfg queue[QUEUES];
	uint64_t features, accepted, picky; /* picky: it refuses without these */
	bool deaf;		  /* never done with a reset */
	bool gone;
	bool no_vectors;
	bool restless;		  /* its configuration changes whenever it is read */
	bool dies;		  /* with DRIVER_OK */
	unsigned resets, mapped, masters;
	bool master, interrupts, msix;
} device;

static struct host_pci pci;
static struct host_interrupt irq;
static struct vdev v;
static bool out_of_memory;

void *pages_alloc(size_t bytes, uint32_t owner __unused)
{
	void *p;

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

/* --- PCI --- */

unsigned host_pci_capability(const struct host_pci *fn, unsigned id, unsigned n)
{
	assert_ptr_equal(fn, &pci);
	if (id == PCI_CAP_MSIX)
		return device.msix && !n ? 0xc0 : 0;
	assert_int_equal(id, PCI_CAP_VENDOR);
	return n < CAPS ? CAP_AT + n * CAP_STEP : 0;
}

uint32_t host_pci_read(const struct host_pci *fn __unused, unsigned offset, unsigned size)
{
	uint32_t value = 0;

	assert_in_range(offset, CAP_AT, CAP_AT + sizeof(device.caps) - size);
	memcpy(&value, (uint8_t *)device.caps + offset - CAP_AT, size);
	return value;
}

volatile uint8_t *host_pci_map(struct host_pci *fn __unused, unsigned index, uint64_t *size)
{
	device.mapped++;
	*size = BAR_SIZE;
	return index == BAR ? device.bar : NULL;
}

void host_pci_master(struct host_pci *fn __unused, bool on)
{
	device.master = on;
	device.masters++;
}

bool host_pci_interrupt(struct host_pci *fn __unused, struct host_interrupt *i)
{
	assert_ptr_equal(i, &irq);
	device.interrupts = true;
	return device.msix;
}

/* --- registers --- */

static struct virtio_pci_common_cfg *selected(void)
{
	return device.c.queue_select < QUEUES ? &device.queue[device.c.queue_select] : NULL;
}

static uint64_t mock_read(const volatile void *at, unsigned size)
{
	size_t offset = (size_t)((volatile uint8_t *)at - device.bar);
	struct virtio_pci_common_cfg c = device.c;
	const struct virtio_pci_common_cfg *q = selected();
	uint64_t value = 0;

	assert_true(offset + size <= BAR_SIZE);
	if (device.gone)
		return UINT64_MAX;
	if (offset >= sizeof(c)) {
		assert_in_range(offset, CONFIG, CONFIG + 31);
		device.c.config_generation += device.restless;
		memcpy(&value, device.bar + offset, size);
		return value;
	}
	c.device_feature = c.device_feature_select < 2
				   ? (uint32_t)(device.features >> 32 * c.device_feature_select)
				   : 0;
	if (q) {
		c.queue_size = q->queue_size;
		c.queue_msix_vector = q->queue_msix_vector;
		c.queue_notify_off = q->queue_notify_off;
	}
	memcpy(&value, (uint8_t *)&c + offset, size);
	return value;
}

static void write_status(uint8_t value)
{
	if (!value) {
		device.resets++;
		if (!device.deaf)
			device.c.device_status = 0;
		return;
	}
	if ((value & VIRTIO_CONFIG_S_FEATURES_OK) &&
	    ((device.accepted & ~device.features) || (device.picky & ~device.accepted)))
		value &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	if ((value & VIRTIO_CONFIG_S_DRIVER_OK) && device.dies)
		value |= VIRTIO_CONFIG_S_NEEDS_RESET;
	device.c.device_status = value;
}

static void mock_write(volatile void *at, unsigned size, uint64_t value)
{
	size_t offset = (size_t)((volatile uint8_t *)at - device.bar);
	struct virtio_pci_common_cfg *q = selected();

	assert_in_range(offset, 0, sizeof(device.c) - size);
	switch (offset) {
	case VIRTIO_PCI_COMMON_STATUS:
		write_status((uint8_t)value);
		return;
	case VIRTIO_PCI_COMMON_GF:
		assert_in_range(device.c.guest_feature_select, 0, 1);
		memcpy((uint32_t *)&device.accepted + device.c.guest_feature_select, &value, 4);
		return;
	}
	if (offset >= VIRTIO_PCI_COMMON_Q_SIZE) {
		assert_non_null(q);
		assert_true(device.c.device_status & VIRTIO_CONFIG_S_FEATURES_OK);
		if (offset == VIRTIO_PCI_COMMON_Q_MSIX && device.no_vectors)
			value = VIRTIO_MSI_NO_VECTOR;
		memcpy((uint8_t *)q + offset, &value, size);
	} else {
		memcpy((uint8_t *)&device.c + offset, &value, size);
	}
}

static void capability(unsigned i, uint8_t type, uint8_t bar, uint32_t offset, uint32_t length)
{
	device.caps[i] = (struct virtio_pci_notify_cap){
		.cap = {.cap_vndr = PCI_CAP_VENDOR,
			.cfg_type = type,
			.bar = bar,
			.offset = offset,
			.length = length},
		.notify_off_multiplier = 4,
	};
}

static int setup(void **state __unused)
{
	_Static_assert(sizeof(device.caps[0]) == CAP_STEP, "capabilities in a row");
	memset(&device, 0, sizeof(device));
	out_of_memory = false;
	device.features = BIT(VIRTIO_F_VERSION_1) | BIT(35) | 0x3;
	device.msix = true;
	device.c.num_queues = QUEUES;
	device.c.device_status = 0x0f; /* as the firmware may have left it */
	for (unsigned i = 0; i < QUEUES; i++)
		device.queue[i] = (struct virtio_pci_common_cfg){.queue_size = 256,
								 .queue_msix_vector = 0xffff,
								 .queue_notify_off = (uint16_t)i};
	capability(0, VIRTIO_PCI_CAP_COMMON_CFG, BAR, COMMON, 0x1000);
	capability(1, VIRTIO_PCI_CAP_ISR_CFG, BAR, ISR, 0x1000);
	capability(2, VIRTIO_PCI_CAP_DEVICE_CFG, BAR, CONFIG, 32);
	capability(3, VIRTIO_PCI_CAP_NOTIFY_CFG, BAR, NOTIFY, 0x1000);
	for (unsigned i = 0; i < 32; i++)
		device.bar[CONFIG + i] = (uint8_t)i;
	return 0;
}

static void open_device(void)
{
	assert_int_equal(vdev_open(&v, &pci, 0x6, &irq), 0);
}

/* --- tests --- */

static void opens(void **state __unused)
{
	open_device();
	assert_int_equal(device.resets, 1);
	assert_int_equal(v.features, BIT(VIRTIO_F_VERSION_1) | 0x2);
	assert_int_equal(device.accepted, v.features);
	assert_int_equal(device.c.device_status, VIRTIO_CONFIG_S_ACKNOWLEDGE |
							 VIRTIO_CONFIG_S_DRIVER |
							 VIRTIO_CONFIG_S_FEATURES_OK);
	assert_true(device.master && device.interrupts);
	assert_int_equal(vdev_start(&v), 0);
	assert_true(device.c.device_status & VIRTIO_CONFIG_S_DRIVER_OK);
	assert_false(vdev_failed(&v));
	assert_true(vdev_stop(&v));
	assert_false(device.master);
	assert_int_equal(device.c.device_status, 0);
	assert_true(vdev_failed(&v));
}

static void no_modern_device(void **state __unused)
{
	device.features &= ~BIT(VIRTIO_F_VERSION_1);
	assert_int_equal(vdev_open(&v, &pci, UINT64_MAX, &irq), -S_NODEV);
	assert_int_equal(device.c.device_status, 0);
	assert_false(device.master || device.interrupts);
}

static void deaf_or_gone(void **state __unused)
{
	device.deaf = true;
	assert_int_equal(vdev_open(&v, &pci, 0, &irq), -S_IO);
	setup(NULL);
	device.gone = true;
	assert_int_equal(vdev_open(&v, &pci, 0, &irq), -S_IO);
	setup(NULL);
	device.picky = 1; /* what we do not want */
	assert_int_equal(vdev_open(&v, &pci, 0x6, &irq), -S_IO);
	assert_int_equal(device.c.device_status, 0);
	assert_false(device.master || device.interrupts);
	setup(NULL);
	open_device();
	device.dies = true;
	assert_int_equal(vdev_start(&v), -S_IO);
	device.deaf = true;
	assert_false(vdev_stop(&v));
	assert_false(device.master);
}

/* Structures that are not in their BAR, or missing: each must be right. */
static void wrong_capabilities(void **state __unused)
{
	const unsigned types[] = {VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_PCI_CAP_ISR_CFG,
				  VIRTIO_PCI_CAP_NOTIFY_CFG},
		       index[] = {0, 1, 3};

	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		const struct {
			uint8_t bar;
			uint32_t offset, length;
		} wrong[] = {
			{BAR + 1, 0, 0x1000},
			{7, 0, 0x1000},
			{BAR, BAR_SIZE - 0x100, 0x101},
			{BAR, 0xfffffff0, 0x1000},
			{BAR, BAR_SIZE + 4, 4},
			{BAR, 4, 0xffffffff},
			{BAR, 0, 0},
		};

		for (unsigned k = 0; k < ARRAY_SIZE(wrong); k++) {
			setup(NULL);
			capability(index[i], (uint8_t)types[i], wrong[k].bar, wrong[k].offset,
				   wrong[k].length);
			assert_int_equal(vdev_open(&v, &pci, 0, &irq), -S_NODEV);
			assert_false(device.master || device.interrupts || device.resets);
		}
	}
	/* A second one of the kind counts when the first is wrong. */
	setup(NULL);
	capability(0, VIRTIO_PCI_CAP_COMMON_CFG, BAR + 1, 0, 0x1000);
	capability(2, VIRTIO_PCI_CAP_COMMON_CFG, BAR, COMMON, 0x1000);
	open_device();
	assert_int_equal(vdev_config(&v, 0, &(uint8_t){0}, 1), -S_RANGE);
}

static void configuration(void **state __unused)
{
	uint8_t bytes[8];

	open_device();
	assert_int_equal(vdev_config(&v, 24, bytes, 8), 0);
	assert_int_equal(bytes[0], 24);
	assert_int_equal(bytes[7], 31);
	assert_int_equal(vdev_config(&v, 25, bytes, 8), -S_RANGE);
	assert_int_equal(vdev_config(&v, UINT32_MAX, bytes, 8), -S_RANGE);
	device.restless = true;
	assert_int_equal(vdev_config(&v, 0, bytes, 8), -S_IO);
}

static void queues(void **state __unused)
{
	const struct virtio_pci_common_cfg *r = &device.queue[1];
	struct vqueue q;

	open_device();
	assert_int_equal(vdev_queue(&v, 1, &q, 30, 3), 0);
	assert_int_equal(q.size, 128);
	assert_int_equal(r->queue_size, 128);
	assert_int_equal(r->queue_enable, 1);
	assert_int_equal(r->queue_msix_vector, 0);
	assert_int_equal(r->queue_desc_lo | (uint64_t)r->queue_desc_hi << 32, (uintptr_t)q.desc);
	assert_int_equal(r->queue_avail_lo | (uint64_t)r->queue_avail_hi << 32, (uintptr_t)q.avail);
	assert_int_equal(r->queue_used_lo | (uint64_t)r->queue_used_hi << 32, (uintptr_t)q.used);
	assert_ptr_equal(q.doorbell, device.bar + NOTIFY + 4);
	assert_int_equal(q.index, 1);
	vqueue_free(&q);
	assert_int_equal(vdev_queue(&v, 2, &q, 30, 3), -S_NOENT);
	out_of_memory = true;
	assert_int_equal(vdev_queue(&v, 0, &q, 30, 3), -S_NOMEM);
	assert_int_equal(device.queue[0].queue_enable, 0);
}

static void queue_sizes(void **state __unused)
{
	const struct {
		uint16_t max;
		unsigned wanted, chain, size; /* 0: none */
	} cases[] = {
		{256, 1000, 1, 256}, {32768, 1000, 3, 256}, {64, 1000, 1, 64}, {256, 64, 1, 64},
		{256, 65, 1, 128},   {4, 10, 3, 4},	    {2, 10, 3, 0},     {0, 10, 1, 0},
		{1, 10, 1, 1},	     {100, 100, 1, 64}, /* no power of two */
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vqueue q;
		status_t status;

		setup(NULL);
		device.queue[0].queue_size = cases[i].max;
		open_device();
		status = vdev_queue(&v, 0, &q, cases[i].wanted, cases[i].chain);
		assert_int_equal(status, cases[i].size ? 0 : -S_IO);
		if (status)
			continue;
		assert_int_equal(q.size, cases[i].size);
		vqueue_free(&q);
	}
}

static void vectors_and_doorbells(void **state __unused)
{
	struct vqueue q;

	open_device();
	device.queue[0].queue_notify_off = 0x3ff; /* the last one that is there */
	assert_int_equal(vdev_queue(&v, 0, &q, 4, 1), 0);
	vqueue_free(&q);
	device.queue[0].queue_notify_off = 0x400;
	assert_int_equal(vdev_queue(&v, 0, &q, 4, 1), -S_IO);
	setup(NULL);
	device.caps[3].notify_off_multiplier = 0xffffffff;
	open_device();
	assert_int_equal(vdev_queue(&v, 1, &q, 4, 1), -S_IO);
	setup(NULL);
	device.no_vectors = true;
	open_device();
	assert_int_equal(vdev_queue(&v, 0, &q, 4, 1), -S_IO);
	assert_int_equal(device.queue[0].queue_enable, 0);
	setup(NULL);
	device.msix = false; /* it is polled */
	open_device();
	assert_int_equal(vdev_queue(&v, 0, &q, 4, 1), 0);
	assert_int_equal(device.queue[0].queue_msix_vector, 0xffff);
	vqueue_free(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(opens, setup),
		cmocka_unit_test_setup(no_modern_device, setup),
		cmocka_unit_test_setup(deaf_or_gone, setup),
		cmocka_unit_test_setup(wrong_capabilities, setup),
		cmocka_unit_test_setup(configuration, setup),
		cmocka_unit_test_setup(queues, setup),
		cmocka_unit_test_setup(queue_sizes, setup),
		cmocka_unit_test_setup(vectors_and_doorbells, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
