/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts of the machine's PCI functions: by MSI-X or MSI, all by one vector, or looked for. */
#include "socle/cpu/cpu.h"
#include "socle/cpu/mmio.h"
#include "socle/drivers/pci.h"

enum {
	/* PCI 3.0, 6.8.1 and 6.8.2. */
	CAP_CONTROL = 2,
	MSI_ENABLE = BIT(0), MSI_COUNT = MASK(6, 4), MSI_64 = BIT(7), MSI_ADDRESS = 4, MSI_DATA = 8,
	MSI_DATA_64 = 12,
	MSIX_TABLE = 4, MSIX_BIR = 7, MSIX_ENABLE = BIT(15), MSIX_MASK_ALL = BIT(14),
	MSIX_LAST = MASK(10, 0),
	ENTRY_ADDRESS = 0, ENTRY_ADDRESS_HIGH = 4, ENTRY_DATA = 8, ENTRY_CONTROL = 12,
	ENTRY_SIZE = 16, ENTRY_MASKED = 1,
	APIC_ID_MAX = 0xff, APIC_ID_SHIFT = 12,
};
#define MSI_BASE 0xfee00000u /* physical destination (SDM vol. 3, 11.11.1) */

static struct host_interrupt *all;
static bool polled;

static void call_all(void)
{
	for (struct host_interrupt *irq = all; irq; irq = irq->next)
		irq->handle(irq);
}

static uint32_t message_address(void)
{
	return MSI_BASE | boot_cpu.apic_id << APIC_ID_SHIFT;
}

static bool use_msix(struct host_pci *fn)
{
	unsigned cap = host_pci_capability(fn, PCI_CAP_MSIX, 0), entries;
	uint32_t control, table;
	volatile uint8_t *bar;
	uint64_t size;

	if (!cap)
		return false;
	control = host_pci_read(fn, cap + CAP_CONTROL, 2);
	table = host_pci_read(fn, cap + MSIX_TABLE, 4);
	entries = (control & MSIX_LAST) + 1;
	bar = host_pci_map(fn, table & MSIX_BIR, &size);
	table &= ~(uint32_t)MSIX_BIR;
	if (!bar || table > size || entries * ENTRY_SIZE > size - table)
		return false;
	host_pci_write(fn, cap + CAP_CONTROL, 2, control | MSIX_ENABLE | MSIX_MASK_ALL);
	for (unsigned i = 0; i < entries; i++)
		mmio_write32(bar + table + i * ENTRY_SIZE + ENTRY_CONTROL, ENTRY_MASKED);
	mmio_write32(bar + table + ENTRY_ADDRESS, message_address());
	mmio_write32(bar + table + ENTRY_ADDRESS_HIGH, 0);
	mmio_write32(bar + table + ENTRY_DATA, HOST_VEC_DEVICE);
	mmio_write32(bar + table + ENTRY_CONTROL, 0);
	host_pci_write(fn, cap + CAP_CONTROL, 2,
		       (control | MSIX_ENABLE) & ~(uint32_t)MSIX_MASK_ALL);
	return true;
}

static bool use_msi(const struct host_pci *fn)
{
	unsigned cap = host_pci_capability(fn, PCI_CAP_MSI, 0);
	uint32_t control;

	/* With its data at the end of configuration space, at most. */
	if (!cap || cap + MSI_DATA_64 + 2 > PCI_CONFIG_SIZE)
		return false;
	control = host_pci_read(fn, cap + CAP_CONTROL, 2) & ~(uint32_t)(MSI_COUNT | MSI_ENABLE);
	host_pci_write(fn, cap + MSI_ADDRESS, 4, message_address());
	if (control & MSI_64)
		host_pci_write(fn, cap + MSI_ADDRESS + 4, 4, 0);
	host_pci_write(fn, cap + (control & MSI_64 ? MSI_DATA_64 : MSI_DATA), 2, HOST_VEC_DEVICE);
	host_pci_write(fn, cap + CAP_CONTROL, 2, control | MSI_ENABLE);
	return true;
}

bool host_pci_interrupt(struct host_pci *fn, struct host_interrupt *irq)
{
	bool message;

	interrupt_bind(HOST_VEC_DEVICE, call_all);
	irq->next = all;
	all = irq;
	/* Its pin may be shared with nobody knows whom, and only ACPI's code tells where it goes.
	 */
	host_pci_write(fn, PCI_COMMAND, 2,
		       host_pci_read(fn, PCI_COMMAND, 2) | PCI_COMMAND_INTX_DISABLE);
	message = boot_cpu.apic_id <= APIC_ID_MAX && (use_msix(fn) || use_msi(fn));
	polled |= !message;
	return message;
}

void host_pci_poll(void)
{
	call_all();
}

bool host_pci_polled(void)
{
	return polled;
}
