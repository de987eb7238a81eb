/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI bus 0: configuration by ports and by memory, the host bridge, and interrupt pins. */
#include "socle/platform/pci.h"
#include "socle/platform/irq.h"
#include "socle/platform/reset.h"

/* CONFIG_ADDRESS (PCI 3.0, 3.2.2.3.2). */
enum config_address {
	ADDRESS_REGISTER = 0xfc,
	ADDRESS_FUNCTION_SHIFT = 8,
	ADDRESS_SLOT_SHIFT = 11,
	ADDRESS_BUS_SHIFT = 16,
};
#define ADDRESS_ENABLE	 BIT(31)
#define ADDRESS_WRITABLE 0x80fffffcu

/* Ports of the region, as offsets. */
enum { CONFIG_ADDRESS = 0, CONFIG_DATA = 4, RESET_CONTROL = RESET_CONTROL_PORT - 0xcf8 };

/* The plain host bridge that virtual machines use: no chipset's quirks apply to it. */
#define BRIDGE_VENDOR 0x1b36
#define BRIDGE_DEVICE 0x0008
#define BRIDGE_CLASS  0x06000000u

void pci_config_set(struct pci_function *fn, unsigned offset, unsigned size, uint32_t value)
{
	for (unsigned i = 0; i < size && offset + i < PCI_CONFIG_SIZE; i++)
		fn->config[offset + i] = (uint8_t)(value >> 8 * i);
}

uint32_t pci_config_get(const struct pci_function *fn, unsigned offset, unsigned size)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < size && offset + i < PCI_CONFIG_SIZE; i++)
		value |= (uint32_t)fn->config[offset + i] << 8 * i;
	return value;
}

/* Enhanced configuration access (PCI Express 4.0, 7.2.2): where a register is in a bus's MiB. */
enum { ECAM_SLOT_SHIFT = 15, ECAM_FUNCTION_SHIFT = 12, ECAM_REGISTER = 0xfff };

static struct pci_function *function_at(const struct pci *pci, unsigned slot, unsigned function)
{
	return function ? NULL : pci->slot[slot & (PCI_SLOTS - 1)];
}

/* The function that CONFIG_ADDRESS selects, or NULL. */
static struct pci_function *selected(const struct pci *pci)
{
	if (!(pci->address & ADDRESS_ENABLE) || (pci->address >> ADDRESS_BUS_SHIFT & 0xff))
		return NULL;
	return function_at(pci, pci->address >> ADDRESS_SLOT_SHIFT,
			   pci->address >> ADDRESS_FUNCTION_SHIFT & 7);
}

/* The pin follows what the device wants and what COMMAND allows (PCI 3.0, 6.2.2 and 6.2.3). */
static void drive_intx(struct pci_function *fn)
{
	bool out = fn->intx && !(pci_config_get(fn, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);
	unsigned line = fn->slot % PCI_PINS;
	uint8_t *count = &fn->pci->asserted[line];

	if (fn->intx)
		fn->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
	else
		fn->config[PCI_STATUS] &= ~PCI_STATUS_INTERRUPT;
	if (fn->intx_out == out)
		return;
	fn->intx_out = out;
	*count += out ? 1 : -1;
	if (*count == (out ? 1 : 0))
		irq_line_set(fn->pci->board, IRQ_PCI + line, out);
}

/* A register of @fn, NULL if there is no such function; extended space reads as ones. */
static uint32_t config_read(struct pci_function *fn, struct vcpu *vcpu, unsigned offset,
			    unsigned size)
{
	uint32_t value = UINT32_MAX;

	if (!fn || offset + size > PCI_CONFIG_SIZE)
		return value;
	if (fn->ops && fn->ops->through && fn->ops->through(fn, vcpu, offset, size, false, &value))
		return value;
	spin_lock(fn->pci->lock);
	if (fn->ops && fn->ops->refresh)
		fn->ops->refresh(fn, offset, size);
	value = pci_config_get(fn, offset, size);
	spin_unlock(fn->pci->lock);
	return value;
}

static void config_write(struct pci_function *fn, struct vcpu *vcpu, unsigned offset, unsigned size,
			 uint32_t value)
{
	if (!fn || offset + size > PCI_CONFIG_SIZE)
		return;
	if (fn->ops && fn->ops->through && fn->ops->through(fn, vcpu, offset, size, true, &value))
		return;
	spin_lock(fn->pci->lock);
	for (unsigned i = 0; i < size; i++, value >>= 8) {
		uint8_t mask = fn->writable[offset + i];

		fn->config[offset + i] = (fn->config[offset + i] & ~mask) | ((uint8_t)value & mask);
	}
	pci_bar_written(fn);
	drive_intx(fn);
	if (fn->ops && fn->ops->written)
		fn->ops->written(fn, offset, size);
	spin_unlock(fn->pci->lock);
}

static uint64_t ecam_read(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size)
{
	struct pci *pci = container_of(r, struct pci, ecam);

	return config_read(
		function_at(pci, offset >> ECAM_SLOT_SHIFT, offset >> ECAM_FUNCTION_SHIFT & 7),
		vcpu, offset & ECAM_REGISTER, size);
}

static void ecam_write(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size,
		       uint64_t value)
{
	struct pci *pci = container_of(r, struct pci, ecam);

	config_write(function_at(pci, offset >> ECAM_SLOT_SHIFT, offset >> ECAM_FUNCTION_SHIFT & 7),
		     vcpu, offset & ECAM_REGISTER, size, (uint32_t)value);
}

static const struct io_ops ecam_ops = {.read = ecam_read, .write = ecam_write};

/* The function behind the data port, with the offset that goes with @port, an offset itself. */
static struct pci_function *data_port(struct pci *pci, uint32_t port, unsigned *offset)
{
	struct pci_function *fn;

	spin_lock(pci->lock);
	fn = selected(pci);
	*offset = (pci->address & ADDRESS_REGISTER) + port - CONFIG_DATA;
	spin_unlock(pci->lock);
	return fn;
}

/* CONFIG_ADDRESS answers to aligned 32-bit accesses only; a byte at its second is another port. */
static uint64_t pci_read(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size)
{
	struct pci *pci = container_of(r, struct pci, region);
	uint64_t value = UINT64_MAX;

	if (offset >= CONFIG_DATA) {
		struct pci_function *fn = data_port(pci, offset, &offset);

		return config_read(fn, vcpu, offset, size);
	}
	spin_lock(pci->lock);
	if (offset == CONFIG_ADDRESS && size == 4)
		value = pci->address;
	else if (offset == RESET_CONTROL && size == 1)
		value = reset_control_read(pci->reset);
	spin_unlock(pci->lock);
	return value;
}

static void pci_write(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size,
		      uint64_t value)
{
	struct pci *pci = container_of(r, struct pci, region);

	if (offset >= CONFIG_DATA) {
		struct pci_function *fn = data_port(pci, offset, &offset);

		config_write(fn, vcpu, offset, size, (uint32_t)value);
		return;
	}
	spin_lock(pci->lock);
	if (offset == CONFIG_ADDRESS && size == 4)
		pci->address = (uint32_t)value & ADDRESS_WRITABLE;
	else if (offset == RESET_CONTROL && size == 1)
		reset_control_write(pci->reset, (uint8_t)value);
	spin_unlock(pci->lock);
}

static const struct io_ops pci_io_ops = {.read = pci_read, .write = pci_write};

status_t pci_init(struct pci *pci, struct io_bus *bus, struct board *board, struct reset *reset)
{
	status_t status;

	pci->board = board;
	pci->reset = reset;
	pci->lock = bus->lock;
	pci_config_set(&pci->bridge, PCI_VENDOR_ID, 2, BRIDGE_VENDOR);
	pci_config_set(&pci->bridge, PCI_DEVICE_ID, 2, BRIDGE_DEVICE);
	pci_config_set(&pci->bridge, PCI_CLASS_REVISION, 4, BRIDGE_CLASS);
	pci->region = (struct io_region){
		.ops = &pci_io_ops,
		.name = "pci",
		.base = 0xcf8,
		.len = 8,
		.widths = IO_8 | IO_16 | IO_32,
		.unlocked = true,
	};
	pci->ecam = (struct io_region){
		.ops = &ecam_ops,
		.name = "ecam",
		.base = PCI_ECAM,
		.len = PCI_ECAM_SIZE,
		.widths = IO_8 | IO_16 | IO_32,
		.unlocked = true,
	};
	status = pci_add(pci, 0, &pci->bridge);
	if (!status)
		status = io_add_ports(bus, &pci->region);
	if (!status)
		status = io_add_mmio(bus, &pci->ecam);
	return status ? status : pci_window_init(pci, bus);
}

status_t pci_add(struct pci *pci, unsigned slot, struct pci_function *fn)
{
	if (slot >= PCI_SLOTS)
		return -S_INVAL;
	if (pci->slot[slot])
		return -S_EXIST;
	pci->slot[slot] = fn;
	fn->pci = pci;
	fn->slot = (uint8_t)slot;
	fn->writable[PCI_COMMAND] = PCI_COMMAND_BITS & 0xff;
	fn->writable[PCI_COMMAND + 1] = PCI_COMMAND_BITS >> 8;
	return 0;
}

unsigned pci_free_slot(const struct pci *pci)
{
	unsigned slot = 0;

	while (slot < PCI_SLOTS && pci->slot[slot])
		slot++;
	return slot;
}

unsigned pci_add_capability(struct pci_function *fn, enum pci_capability id, unsigned size)
{
	unsigned at = fn->cap_last ? fn->cap_end : PCI_FIRST_CAPABILITY;

	if (at + size > PCI_CONFIG_SIZE)
		return 0;
	fn->config[fn->cap_last ? fn->cap_last + 1u : PCI_CAPABILITIES] = (uint8_t)at;
	fn->config[at] = (uint8_t)id;
	fn->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
	fn->cap_last = (uint8_t)at;
	fn->cap_end = (uint8_t)MIN(ALIGN_UP(at + size, 4), PCI_CONFIG_SIZE - 4u);
	return at;
}

void pci_reset(struct pci *pci)
{
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		struct pci_function *fn = pci->slot[slot];

		if (fn && fn->ops && fn->ops->reset)
			fn->ops->reset(fn);
	}
	spin_lock(pci->lock);
	pci->address = 0;
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		struct pci_function *fn = pci->slot[slot];

		if (!fn)
			continue;
		for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
			fn->config[i] &= ~fn->writable[i];
		pci_bar_reset(fn);
		fn->intx = false;
		drive_intx(fn);
	}
	spin_unlock(pci->lock);
}

void pci_intx(struct pci_function *fn, bool asserted)
{
	fn->intx = asserted;
	drive_intx(fn);
}
