/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI's registers: of the machine's functions, and of those that guests see. */
#ifndef SOCLE_PCI_REGS_H
#define SOCLE_PCI_REGS_H

#include "socle/base.h"

#define PCI_CONFIG_SIZE 256

/* Configuration header (PCI 3.0, 6.1). */
enum pci_header {
	PCI_VENDOR_ID = 0x00,
	PCI_DEVICE_ID = 0x02,
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_CLASS_REVISION = 0x08,
	PCI_HEADER_TYPE = 0x0e,
	PCI_BAR0 = 0x10,
	PCI_SECONDARY_BUS = 0x19, /* of a bridge */
	PCI_SUBSYSTEM_VENDOR = 0x2c,
	PCI_SUBSYSTEM_ID = 0x2e,
	PCI_CAPABILITIES = 0x34,
	PCI_INTERRUPT_LINE = 0x3c,
	PCI_INTERRUPT_PIN = 0x3d,
	PCI_FIRST_CAPABILITY = 0x40,
};

enum pci_command {
	PCI_COMMAND_IO = BIT(0),
	PCI_COMMAND_MEMORY = BIT(1),
	PCI_COMMAND_MASTER = BIT(2),
	PCI_COMMAND_INTX_DISABLE = BIT(10),
};

enum pci_status { PCI_STATUS_INTERRUPT = BIT(3), PCI_STATUS_CAPABILITIES = BIT(4) };

enum pci_header_type { PCI_TYPE_NORMAL = 0, PCI_TYPE_BRIDGE = 1, PCI_TYPE_MULTI = 0x80 };

/* A BAR's low bits (PCI 3.0, 6.2.5.1). */
enum pci_bar_bits {
	PCI_BAR_IO = BIT(0),
	PCI_BAR_64 = BIT(2),
	PCI_BAR_TYPE = 0x6,
	PCI_BAR_FLAGS = 0xf
};

/* Capability IDs (PCI 3.0, appendix H). */
enum pci_capability { PCI_CAP_MSI = 0x05, PCI_CAP_VENDOR = 0x09, PCI_CAP_MSIX = 0x11 };

#endif
