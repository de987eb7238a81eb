/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI of the machine: finds its functions, reads and writes their registers, maps their BARs. */
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/drivers/pci.h"
#include "socle/mm/paging.h"
#include "socle/report.h"

enum {
	CONFIG_ADDRESS = 0xcf8, CONFIG_DATA = 0xcfc, /* PCI 3.0, 3.2.2.3.2 */
	BUSES = 256, SLOTS = 32, FUNCTIONS = 8, NOBODY = 0xffff,
	CAPABILITIES_MAX = (PCI_CONFIG_SIZE - PCI_FIRST_CAPABILITY) / 4,
	BITS_MAX = 46, /* of an address in the direct map */
};
#define CONFIG_ENABLE BIT(31)

static struct host_pci functions[HOST_PCI_MAX];
static unsigned count, dropped;

static void select_register(const struct host_pci *fn, unsigned offset)
{
	out32(CONFIG_ADDRESS, (uint32_t)(CONFIG_ENABLE | fn->bus << 16 | fn->slot << 11 |
					 fn->function << 8 | (offset & ~3u)));
}

uint32_t host_pci_read(const struct host_pci *fn, unsigned offset, unsigned size)
{
	uint16_t port = (uint16_t)(CONFIG_DATA + (offset & 3));

	select_register(fn, offset);
	return size == 1 ? in8(port) : size == 2 ? in16(port) : in32(port);
}

void host_pci_write(const struct host_pci *fn, unsigned offset, unsigned size, uint32_t value)
{
	uint16_t port = (uint16_t)(CONFIG_DATA + (offset & 3));

	select_register(fn, offset);
	if (size == 1)
		out8(port, (uint8_t)value);
	else if (size == 2)
		out16(port, (uint16_t)value);
	else
		out32(port, value);
}

/* Reads what identifies the function whose place is in @fn; false: nobody is there. */
static bool identify(struct host_pci *fn)
{
	uint32_t id = host_pci_read(fn, PCI_VENDOR_ID, 4);

	fn->vendor = (uint16_t)id;
	fn->device = id >> 16;
	if (!fn->vendor || fn->vendor == NOBODY)
		return false;
	fn->class = host_pci_read(fn, PCI_CLASS_REVISION, 4) >> 8;
	fn->type = host_pci_read(fn, PCI_HEADER_TYPE, 1) & ~PCI_TYPE_MULTI;
	return true;
}

static void keep(const struct host_pci *fn)
{
	if (count < HOST_PCI_MAX)
		functions[count++] = *fn;
	else
		dropped++;
}

/* Marks in @wanted the buses that lie behind bridges of @bus. */
static void scan_slot(uint64_t wanted[], unsigned bus, unsigned slot)
{
	struct host_pci fn = {.bus = (uint8_t)bus, .slot = (uint8_t)slot};
	bool multi = host_pci_read(&fn, PCI_HEADER_TYPE, 1) & PCI_TYPE_MULTI;

	for (unsigned f = 0; f < (multi ? FUNCTIONS : 1); f++) {
		fn.function = (uint8_t)f;
		if (!identify(&fn)) {
			if (!f)
				return;
			continue;
		}
		keep(&fn);
		if (fn.type == PCI_TYPE_BRIDGE) {
			unsigned to = host_pci_read(&fn, PCI_SECONDARY_BUS, 1);

			wanted[to / 64] |= BIT(to % 64);
		}
	}
}

void host_pci_scan(void)
{
	uint64_t wanted[BUSES / 64] = {1}, done[BUSES / 64] = {0};

	count = dropped = 0;
	/* A bridge may lead back to a lower bus, which would be wrong; each is looked at once. */
	for (unsigned bus = 0; bus < BUSES; bus++) {
		if (!(wanted[bus / 64] & ~done[bus / 64] & BIT(bus % 64)))
			continue;
		done[bus / 64] |= BIT(bus % 64);
		for (unsigned slot = 0; slot < SLOTS; slot++)
			scan_slot(wanted, bus, slot);
	}
}

struct host_pci *host_pci_next(struct host_pci *fn)
{
	size_t next = fn ? (size_t)(fn - functions) + 1 : 0;

	return next < count ? &functions[next] : NULL;
}

unsigned host_pci_dropped(void)
{
	return dropped;
}

unsigned host_pci_capability(const struct host_pci *fn, unsigned id, unsigned n)
{
	unsigned at = PCI_CAPABILITIES;

	if (!(host_pci_read(fn, PCI_STATUS, 2) & PCI_STATUS_CAPABILITIES))
		return 0;
	/* So many steps and no more: the list may be a loop. */
	for (unsigned i = 0; i < CAPABILITIES_MAX; i++) {
		at = host_pci_read(fn, at, 1) & ~3u;
		if (at < PCI_FIRST_CAPABILITY)
			return 0;
		if (host_pci_read(fn, at, 1) == id && !n--)
			return at;
		at++; /* to the next one's offset */
	}
	return 0;
}

/* A BAR's address and size. The function does not answer meanwhile. */
static uint64_t measure(const struct host_pci *fn, unsigned at, bool wide, uint64_t *size)
{
	uint32_t command = host_pci_read(fn, PCI_COMMAND, 2);
	uint32_t low = host_pci_read(fn, at, 4), high = wide ? host_pci_read(fn, at + 4, 4) : 0;
	uint64_t mask;

	host_pci_write(fn, PCI_COMMAND, 2,
		       command & ~(uint32_t)(PCI_COMMAND_IO | PCI_COMMAND_MEMORY));
	host_pci_write(fn, at, 4, UINT32_MAX);
	mask = host_pci_read(fn, at, 4) & ~(uint32_t)PCI_BAR_FLAGS;
	if (wide) {
		host_pci_write(fn, at + 4, 4, UINT32_MAX);
		mask |= (uint64_t)host_pci_read(fn, at + 4, 4) << 32;
		host_pci_write(fn, at + 4, 4, high);
	} else if (mask) {
		mask |= MASK(63, 32);
	}
	host_pci_write(fn, at, 4, low);
	host_pci_write(fn, PCI_COMMAND, 2, command);
	*size = ~mask + 1; /* 0: there is no BAR */
	return (uint64_t)high << 32 | (low & ~(uint32_t)PCI_BAR_FLAGS);
}

/* Nothing of ours may be there: neither memory nor another device's registers. */
static bool is_free(uint64_t base, uint64_t size)
{
	uint64_t end = ALIGN_UP(base + size, PAGE_SIZE);

	if (!base || base + size > BIT(MIN(cpu_info.phys_bits, (unsigned)BITS_MAX)))
		return false;
	for (uint64_t pa = ALIGN_DOWN(base, PAGE_SIZE); pa < end; pa += PAGE_SIZE)
		if (pt_lookup(paging_tables(), DIRECT_BASE + pa).kind != PTE_NONE)
			return false;
	return true;
}

volatile uint8_t *host_pci_map(struct host_pci *fn, unsigned index, uint64_t *size)
{
	unsigned at = PCI_BAR0 + 4 * index;
	uint64_t base;
	uint32_t low;
	bool wide;

	if (index >= HOST_PCI_BARS || fn->type != PCI_TYPE_NORMAL)
		return NULL;
	*size = fn->bar[index].size;
	if (fn->bar[index].at)
		return fn->bar[index].at;
	low = host_pci_read(fn, at, 4);
	wide = (low & PCI_BAR_TYPE) == PCI_BAR_64;
	if ((low & PCI_BAR_IO) || (wide && index == HOST_PCI_BARS - 1))
		return NULL;
	base = measure(fn, at, wide, size);
	if (!*size || (*size & (*size - 1)) || *size > HOST_BAR_MAX || !IS_ALIGNED(base, *size) ||
	    !is_free(base, *size))
		return NULL;
	fn->bar[index].at = paging_map_device(base, *size);
	fn->bar[index].size = *size;
	host_pci_write(fn, PCI_COMMAND, 2, host_pci_read(fn, PCI_COMMAND, 2) | PCI_COMMAND_MEMORY);
	return fn->bar[index].at;
}

void host_pci_master(struct host_pci *fn, bool on)
{
	uint32_t command = host_pci_read(fn, PCI_COMMAND, 2) & ~(uint32_t)PCI_COMMAND_MASTER;

	host_pci_write(fn, PCI_COMMAND, 2, command | (on ? PCI_COMMAND_MASTER : 0));
}
