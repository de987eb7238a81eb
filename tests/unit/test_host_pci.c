/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI of the machine, on a model of its configuration space: buses, BARs, capabilities, MSI. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include <linux/pci_regs.h>

/* The installed header's numbers, before ours take their names. */
enum {
	LINUX_COMMAND = PCI_COMMAND, LINUX_HEADER_TYPE = PCI_HEADER_TYPE,
	LINUX_SECONDARY = PCI_SECONDARY_BUS, LINUX_LIST = PCI_CAPABILITY_LIST,
	LINUX_PIN = PCI_INTERRUPT_PIN, LINUX_CLASS = PCI_CLASS_REVISION,
	LINUX_INTX = PCI_COMMAND_INTX_DISABLE, LINUX_MASTER = PCI_COMMAND_MASTER,
	LINUX_SUBSYSTEM = PCI_SUBSYSTEM_ID, LINUX_MSI = PCI_CAP_ID_MSI,
	LINUX_MSIX = PCI_CAP_ID_MSIX, LINUX_64 = PCI_BASE_ADDRESS_MEM_TYPE_64,
	LINUX_MSI_DATA_64 = PCI_MSI_DATA_64, LINUX_MSIX_ENABLE = PCI_MSIX_FLAGS_ENABLE,
	LINUX_MSIX_MASKALL = PCI_MSIX_FLAGS_MASKALL, LINUX_ENTRY_CONTROL = PCI_MSIX_ENTRY_VECTOR_CTRL,
	LINUX_MSI_64 = PCI_MSI_FLAGS_64BIT, LINUX_STATUS_LIST = PCI_STATUS_CAP_LIST,
};
#undef PCI_VENDOR_ID
#undef PCI_DEVICE_ID
#undef PCI_COMMAND
#undef PCI_STATUS
#undef PCI_CLASS_REVISION
#undef PCI_HEADER_TYPE
#undef PCI_SECONDARY_BUS
#undef PCI_SUBSYSTEM_ID
#undef PCI_INTERRUPT_LINE
#undef PCI_INTERRUPT_PIN
#undef PCI_COMMAND_IO
#undef PCI_COMMAND_MEMORY
#undef PCI_COMMAND_MASTER
#undef PCI_COMMAND_INTX_DISABLE
#undef PCI_STATUS_INTERRUPT

#include "socle/cpu/cpu.h"
#include "socle/cpu/features.h"
#include "socle/cpu/mmio.h"
#include "socle/cpu/regs.h"

static uint8_t port_in8(uint16_t port);
static uint16_t port_in16(uint16_t port);
static uint32_t port_in32(uint16_t port);
static void port_out8(uint16_t port, uint8_t value);
static void port_out16(uint16_t port, uint16_t value);
static void port_out32(uint16_t port, uint32_t value);
#define in8   port_in8
#define in16  port_in16
#define in32  port_in32
#define out8  port_out8
#define out16 port_out16
#define out32 port_out32
#include "../../drivers/pci.c"
#include "../../drivers/pci_irq.c"

#define SAME(ours, linux_has) _Static_assert((int)(ours) == (int)(linux_has), #ours)
SAME(PCI_COMMAND, LINUX_COMMAND);
SAME(PCI_HEADER_TYPE, LINUX_HEADER_TYPE);
SAME(PCI_SECONDARY_BUS, LINUX_SECONDARY);
SAME(PCI_CAPABILITIES, LINUX_LIST);
SAME(PCI_INTERRUPT_PIN, LINUX_PIN);
SAME(PCI_CLASS_REVISION, LINUX_CLASS);
SAME(PCI_SUBSYSTEM_ID, LINUX_SUBSYSTEM);
SAME(PCI_COMMAND_INTX_DISABLE, LINUX_INTX);
SAME(PCI_COMMAND_MASTER, LINUX_MASTER);
SAME(PCI_CAP_MSI, LINUX_MSI);
SAME(PCI_CAP_MSIX, LINUX_MSIX);
SAME(PCI_BAR_64, LINUX_64);
SAME(PCI_STATUS_CAPABILITIES, LINUX_STATUS_LIST);
SAME(MSI_DATA_64, LINUX_MSI_DATA_64);
SAME(MSI_64, LINUX_MSI_64);
SAME(MSIX_ENABLE, LINUX_MSIX_ENABLE);
SAME(MSIX_MASK_ALL, LINUX_MSIX_MASKALL);
SAME(ENTRY_CONTROL, LINUX_ENTRY_CONTROL);

/* --- the model: a few functions with 256 bytes each --- */

struct model {
	unsigned bus, slot, function;
	uint8_t config[256];
	uint8_t writable[256];
};
static struct model models[80];
static unsigned model_count, looked; /* functions that were asked for their vendor */
static uint32_t address;

uintptr_t test_memory; /* "physical" addresses are the host's */
struct cpu_info cpu_info = {.phys_bits = 40};
struct cpu boot_cpu = {.apic_id = 3};
static uint8_t registers[0x4000] __aligned(0x4000);
static uint64_t mapped, mapped_size, ram; /* a page of what is memory; 0: none */
static void (*bound)(void);

void interrupt_bind(uint8_t vector, void (*handler)(void))
{
	assert_int_equal(vector, HOST_VEC_DEVICE);
	bound = handler;
}

const struct pagetable *paging_tables(void)
{
	return NULL;
}

struct pt_mapping pt_lookup(const struct pagetable *pt __unused, uint64_t va)
{
	return (struct pt_mapping){.kind = ram && va == ram ? PTE_LEAF : PTE_NONE};
}

void *paging_map_device(uint64_t pa, uint64_t size)
{
	assert_int_equal(mapped, 0);
	mapped = pa;
	mapped_size = size;
	return registers;
}

static struct model *here(void)
{
	for (unsigned i = 0; i < model_count; i++)
		if ((address & 0xffff00) ==
		    (models[i].bus << 16 | models[i].slot << 11 | models[i].function << 8))
			return &models[i];
	return NULL;
}

static uint32_t get(uint16_t port, unsigned size)
{
	unsigned at = (address & 0xfc) + (port - 0xcfc);
	const struct model *m = here();
	uint32_t v = 0;

	assert_true(port >= 0xcfc && port + size <= 0xd00 && port % size == 0);
	assert_true(address & 0x80000000);
	looked += at == PCI_HEADER_TYPE;
	if (!m)
		return 0xffffffff;
	memcpy(&v, &m->config[at], size);
	return v;
}

static void put(uint16_t port, unsigned size, uint32_t value)
{
	struct model *m = here();

	if (port == 0xcf8) {
		assert_int_equal(size, 4);
		address = value;
		return;
	}
	assert_true(port >= 0xcfc && port + size <= 0xd00 && port % size == 0);
	assert_non_null(m);
	for (unsigned i = 0, at = (address & 0xfc) + (port - 0xcfc); i < size; i++, at++)
		m->config[at] = (uint8_t)((m->config[at] & ~m->writable[at]) |
					  (value >> 8 * i & m->writable[at]));
}

static uint8_t port_in8(uint16_t port)
{
	return (uint8_t)get(port, 1);
}

static uint16_t port_in16(uint16_t port)
{
	return (uint16_t)get(port, 2);
}

static uint32_t port_in32(uint16_t port)
{
	return get(port, 4);
}

static void port_out8(uint16_t port, uint8_t value)
{
	put(port, 1, value);
}

static void port_out16(uint16_t port, uint16_t value)
{
	put(port, 2, value);
}

static void port_out32(uint16_t port, uint32_t value)
{
	put(port, 4, value);
}

static void set(struct model *m, unsigned at, unsigned size, uint32_t value)
{
	memcpy(&m->config[at], &value, size);
}

static uint32_t value_of(const struct model *m, unsigned at, unsigned size)
{
	uint32_t v = 0;

	memcpy(&v, &m->config[at], size);
	return v;
}

static struct model *add(unsigned bus, unsigned slot, unsigned function, uint16_t device)
{
	struct model *m = &models[model_count++];

	*m = (struct model){.bus = bus, .slot = slot, .function = function};
	set(m, 0, 4, (uint32_t)device << 16 | 0x1af4);
	set(m, PCI_CLASS_REVISION, 4, 0x01800001);
	set(m, PCI_COMMAND, 2, PCI_COMMAND_IO);
	m->writable[PCI_COMMAND] = 7;
	m->writable[PCI_COMMAND + 1] = 4;
	return m;
}

/* A 64-bit BAR 4 of 16 KiB, as QEMU's virtio devices have it. */
static struct model *add_with_bar(uint64_t base)
{
	struct model *m = add(0, 3, 0, 0x1042);

	set(m, PCI_BAR0 + 16, 4, (uint32_t)base | PCI_BAR_64 | 8);
	set(m, PCI_BAR0 + 20, 4, base >> 32);
	memset(&m->writable[PCI_BAR0 + 16], 0xff, 8);
	m->writable[PCI_BAR0 + 16] = 0;
	m->writable[PCI_BAR0 + 17] = 0xc0;
	return m;
}

static void add_capability(struct model *m, unsigned at, uint8_t id, uint8_t next)
{
	m->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
	if (!m->config[PCI_CAPABILITIES])
		m->config[PCI_CAPABILITIES] = (uint8_t)at;
	m->config[at] = id;
	m->config[at + 1] = next;
}

static int setup(void **state __unused)
{
	model_count = looked = 0;
	mapped = mapped_size = ram = 0;
	memset(registers, 0, sizeof(registers));
	boot_cpu.apic_id = 3;
	all = NULL;
	polled = false;
	bound = NULL;
	return 0;
}

static struct host_pci *only(void)
{
	struct host_pci *fn;

	host_pci_scan();
	fn = host_pci_next(NULL);
	assert_non_null(fn);
	assert_null(host_pci_next(fn));
	return fn;
}

/* --- tests --- */

static void finds_all(void **state __unused)
{
	struct model *m = add(0, 0, 0, 0x1000), *bridge;
	struct host_pci *fn;

	m->config[PCI_HEADER_TYPE] = PCI_TYPE_MULTI;
	add(0, 0, 5, 0x1005); /* functions between are missing */
	add(0, 7, 1, 0x9999); /* without a function 0: not there */
	bridge = add(0, 31, 0, 0x2000);
	bridge->config[PCI_HEADER_TYPE] = PCI_TYPE_BRIDGE;
	bridge->config[PCI_SECONDARY_BUS] = 200;
	m = add(200, 1, 0, 0x1042);
	/* A bridge behind it that leads to where we come from, and one to its own bus. */
	bridge = add(200, 2, 0, 0x2001);
	bridge->config[PCI_HEADER_TYPE] = PCI_TYPE_BRIDGE;
	bridge = add(200, 3, 0, 0x2002);
	bridge->config[PCI_HEADER_TYPE] = PCI_TYPE_BRIDGE;
	bridge->config[PCI_SECONDARY_BUS] = 200;
	add(100, 1, 0, 0x9999); /* behind no bridge */
	host_pci_scan();
	assert_int_equal(host_pci_dropped(), 0);
	fn = host_pci_next(NULL);
	assert_int_equal(fn->device, 0x1000);
	assert_int_equal(fn->vendor, 0x1af4);
	assert_int_equal(fn->class, 0x018000);
	assert_int_equal(fn->type, PCI_TYPE_NORMAL);
	fn = host_pci_next(fn);
	assert_int_equal(fn->function, 5);
	fn = host_pci_next(fn);
	assert_int_equal(fn->type, PCI_TYPE_BRIDGE);
	fn = host_pci_next(fn);
	assert_int_equal(fn->bus, 200);
	assert_int_equal(fn->slot, 1);
	fn = host_pci_next(host_pci_next(fn));
	assert_int_equal(fn->device, 0x2002);
	assert_null(host_pci_next(fn));
}

static void too_many(void **state __unused)
{
	for (unsigned i = 0; i < 9; i++)
		for (unsigned f = 0; f < 8; f++)
			add(0, i, f, 0x1000)->config[PCI_HEADER_TYPE] = PCI_TYPE_MULTI;
	host_pci_scan();
	assert_int_equal(host_pci_dropped(), 9 * 8 - HOST_PCI_MAX);
}

static void no_pci(void **state __unused)
{
	host_pci_scan();
	assert_null(host_pci_next(NULL));
}

static void maps_a_bar(void **state __unused)
{
	struct model *m = add_with_bar(0x800004000);
	struct host_pci *fn = only();
	uint64_t size;

	assert_ptr_equal(host_pci_map(fn, 4, &size), registers);
	assert_int_equal(mapped, 0x800004000);
	assert_int_equal(mapped_size, 0x4000);
	assert_int_equal(size, 0x4000);
	/* As it was, but that it answers now; no bus master. */
	assert_int_equal(value_of(m, PCI_BAR0 + 16, 4), 0x4000 | PCI_BAR_64 | 8);
	assert_int_equal(value_of(m, PCI_BAR0 + 20, 4), 8);
	assert_int_equal(value_of(m, PCI_COMMAND, 2), PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	/* It is mapped once. */
	size = 0;
	assert_ptr_equal(host_pci_map(fn, 4, &size), registers);
	assert_int_equal(size, 0x4000);
	assert_null(host_pci_map(fn, 0, &size)); /* no BAR */
	assert_null(host_pci_map(fn, 6, &size));
	assert_null(host_pci_map(fn, 255, &size));
	host_pci_master(fn, true);
	assert_int_equal(value_of(m, PCI_COMMAND, 2), 7);
	host_pci_master(fn, false);
	assert_int_equal(value_of(m, PCI_COMMAND, 2), 3);
}

static void maps_32_bits(void **state __unused)
{
	struct model *m = add(0, 3, 0, 0x1000);
	uint64_t size;

	set(m, PCI_BAR0 + 4, 4, 0xfebd1000);
	memset(&m->writable[PCI_BAR0 + 5], 0xff, 3);
	m->writable[PCI_BAR0 + 5] = 0xf0;
	assert_ptr_equal(host_pci_map(only(), 1, &size), registers);
	assert_int_equal(mapped, 0xfebd1000);
	assert_int_equal(size, 0x1000);
}

/* Where it must not be, or what it must not be like. */
static void refuses_bars(void **state __unused)
{
	struct model *m = add_with_bar(0);
	uint64_t size;

	assert_null(host_pci_map(only(), 4, &size));
	set(m, PCI_BAR0 + 20, 4, 0x100); /* beyond the CPU's addresses */
	assert_null(host_pci_map(only(), 4, &size));
	set(m, PCI_BAR0 + 20, 4, 8);
	ram = 0x800003000; /* memory in its last page */
	assert_null(host_pci_map(only(), 4, &size));
	ram = 0;
	m->writable[PCI_BAR0 + 17] = 0x40; /* a hole in its size */
	assert_null(host_pci_map(only(), 4, &size));
	m->writable[PCI_BAR0 + 17] = m->writable[PCI_BAR0 + 18] = m->writable[PCI_BAR0 + 19] = 0;
	assert_null(host_pci_map(only(), 4, &size)); /* 4 GiB */
	m->writable[PCI_BAR0 + 17] = 0xc0;
	m->writable[PCI_BAR0 + 18] = m->writable[PCI_BAR0 + 19] = 0xff;
	m->config[PCI_BAR0 + 16] |= PCI_BAR_IO;
	assert_null(host_pci_map(only(), 4, &size));
	m->config[PCI_BAR0 + 16] &= ~PCI_BAR_IO;
	m->config[PCI_HEADER_TYPE] = PCI_TYPE_BRIDGE;
	m->config[PCI_SECONDARY_BUS] = 9;
	assert_null(host_pci_map(only(), 4, &size));
	assert_int_equal(mapped, 0);
	m->config[PCI_HEADER_TYPE] = 0;
	assert_non_null(host_pci_map(only(), 4, &size));
	/* A 64-bit BAR whose upper half would be behind the last one. */
	set(m, PCI_BAR0 + 20, 4, 0x10000000 | PCI_BAR_64);
	assert_null(host_pci_map(only(), 5, &size));
}

static void capabilities(void **state __unused)
{
	struct model *m = add(0, 3, 0, 0x1042);
	const struct host_pci *fn = only();

	m->config[PCI_CAPABILITIES] = 0x40;
	m->config[0x40] = 9;
	assert_int_equal(host_pci_capability(fn, 9, 0), 0); /* STATUS says that there are none */
	add_capability(m, 0x40, 9, 0x90);
	add_capability(m, 0x90, 0x11, 0x62); /* the low bits do not count */
	add_capability(m, 0x60, 9, 0);
	assert_int_equal(host_pci_capability(fn, 9, 0), 0x40);
	assert_int_equal(host_pci_capability(fn, 9, 1), 0x60);
	assert_int_equal(host_pci_capability(fn, 9, 2), 0);
	assert_int_equal(host_pci_capability(fn, 0x11, 0), 0x90);
	assert_int_equal(host_pci_capability(fn, 5, 0), 0);
	add_capability(m, 0x60, 9, 0x40); /* a loop ends */
	for (unsigned n = 0; host_pci_capability(fn, 9, n); n++)
		assert_true(n < 64);
	add_capability(m, 0x60, 9, 0x10); /* into the header */
	assert_int_equal(host_pci_capability(fn, 9, 2), 0);
}

static struct host_interrupt irq, other;
static unsigned calls;

static void count_call(struct host_interrupt *i)
{
	calls += i == &irq ? 1 : 100;
}

static void by_msix(void **state __unused)
{
	struct model *m = add_with_bar(0x800004000);

	irq.handle = other.handle = count_call;
	calls = 0;
	add_capability(m, 0x84, PCI_CAP_MSIX, 0);
	set(m, 0x86, 2, 2); /* three entries */
	m->writable[0x87] = 0xc0;
	set(m, 0x88, 4, 0x1000 | 4); /* in BAR 4 */
	assert_true(host_pci_interrupt(only(), &irq));
	assert_int_equal(value_of(m, 0x86, 2), 0x8002);
	assert_true(value_of(m, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);
	assert_memory_equal(&registers[0x1000], ((uint32_t[]){0xfee03000, 0, HOST_VEC_DEVICE, 0}),
			    16);
	assert_int_equal(registers[0x101c], 1);
	assert_int_equal(registers[0x102c], 1);
	assert_int_equal(registers[0x103c], 0);
	assert_false(host_pci_polled());
	bound();
	assert_int_equal(calls, 1);
	/* A second device, which has neither. */
	model_count = 0;
	add(0, 4, 0, 0x1000);
	assert_false(host_pci_interrupt(only(), &other));
	assert_true(host_pci_polled());
	host_pci_poll();
	assert_int_equal(calls, 102);
}

static void msix_outside(void **state __unused)
{
	struct model *m = add_with_bar(0x800004000);
	struct host_pci *fn = only();

	add_capability(m, 0x84, PCI_CAP_MSIX, 0);
	set(m, 0x86, 2, 2);
	m->writable[0x87] = 0xc0;
	set(m, 0x88, 4, (0x4000 - 2 * 16) | 4); /* of three entries, two are in the BAR */
	assert_false(host_pci_interrupt(fn, &irq));
	all = NULL;
	set(m, 0x88, 4, 0xfffffff8 | 4);
	assert_false(host_pci_interrupt(fn, &irq));
	set(m, 0x88, 4, 7); /* no such BAR */
	all = NULL;
	assert_false(host_pci_interrupt(fn, &irq));
	assert_int_equal(value_of(m, 0x86, 2), 2);
}

static void by_msi(void **state __unused)
{
	struct model *m = add(0, 3, 0, 0x10d3);

	add_capability(m, 0x50, PCI_CAP_MSI, 0);
	memset(&m->writable[0x52], 0xff, 16);
	set(m, 0x52, 2, 0x80 | 0x70); /* 64 bits; eight messages, which we do not want */
	set(m, 0x58, 4, 0x77777777);
	assert_true(host_pci_interrupt(only(), &irq));
	assert_int_equal(value_of(m, 0x52, 2), 0x81);
	assert_int_equal(value_of(m, 0x54, 4), 0xfee03000);
	assert_int_equal(value_of(m, 0x58, 4), 0);
	assert_int_equal(value_of(m, 0x5c, 2), HOST_VEC_DEVICE);
	all = NULL;
	set(m, 0x52, 2, 0); /* 32 bits */
	assert_true(host_pci_interrupt(only(), &irq));
	assert_int_equal(value_of(m, 0x58, 2), HOST_VEC_DEVICE);
	all = NULL;
	boot_cpu.apic_id = 256; /* out of a message's reach */
	set(m, 0x52, 2, 0);
	assert_false(host_pci_interrupt(only(), &irq));
	assert_int_equal(value_of(m, 0x52, 2), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(finds_all, setup),
		cmocka_unit_test_setup(too_many, setup),
		cmocka_unit_test_setup(no_pci, setup),
		cmocka_unit_test_setup(maps_a_bar, setup),
		cmocka_unit_test_setup(maps_32_bits, setup),
		cmocka_unit_test_setup(refuses_bars, setup),
		cmocka_unit_test_setup(capabilities, setup),
		cmocka_unit_test_setup(by_msix, setup),
		cmocka_unit_test_setup(msix_outside, setup),
		cmocka_unit_test_setup(by_msi, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
