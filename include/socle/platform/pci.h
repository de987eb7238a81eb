/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI bus 0: configuration by ports and by memory, the host bridge, and interrupt pins. */
#ifndef SOCLE_PLATFORM_PCI_H
#define SOCLE_PLATFORM_PCI_H

#include "socle/base.h"
#include "socle/status.h"
#include "socle/kernel/iobus.h"

#define PCI_SLOTS	32
#define PCI_CONFIG_SIZE 256
#define PCI_PINS	4

/* Guest-physical address of bus 0's configuration space, as the MCFG table tells it. */
#define PCI_ECAM      0xfeb00000ull
#define PCI_ECAM_SIZE 0x100000u

struct board;
struct pci_function;
struct reset;

struct pci_ops {
	/* Before the guest reads @size bytes at @offset: bring config[] up to date. May be NULL. */
	void (*refresh)(struct pci_function *fn, unsigned offset, unsigned size);
	/* After the guest wrote @size bytes at @offset, as far as writable. May be NULL. */
	void (*written)(struct pci_function *fn, unsigned offset, unsigned size);
	/* Back to the state after power-on, config[] included. May be NULL. */
	void (*reset)(struct pci_function *fn);
};

/* Function 0 of a device. Embed it and use container_of(). */
struct pci_function {
	const struct pci_ops *ops;	   /* NULL: config[] alone */
	uint8_t config[PCI_CONFIG_SIZE];   /* what the guest reads */
	uint8_t writable[PCI_CONFIG_SIZE]; /* bits that a write changes */
	struct pci *pci;		   /* the bus; set by pci_add() */
	uint8_t slot;			   /* device number; set by pci_add() */
	bool intx;			   /* interrupt pin A asserted */
};

struct pci {
	uint32_t address;		      /* CONFIG_ADDRESS */
	struct pci_function *slot[PCI_SLOTS]; /* NULL: empty */
	uint8_t asserted[PCI_PINS];	      /* functions that assert each line */
	struct pci_function bridge;	      /* 00:00.0 */
	struct reset *reset;		      /* owner of port 0xcf9 */
	struct board *board;		      /* owner, for the interrupt lines */
	struct io_region region;	      /* ports 0xcf8 to 0xcff */
	struct io_region ecam;		      /* configuration space in memory */
};

/* Puts the configuration ports and space on @bus, with the host bridge in slot 0. */
status_t __must_check pci_init(struct pci *pci, struct io_bus *bus, struct board *board,
			       struct reset *reset);

/* State after power-on of the ports and of every function. */
void pci_reset(struct pci *pci);

/* Adds @fn in @slot. Returns -S_INVAL for a slot that does not exist, -S_EXIST for a taken one. */
status_t __must_check pci_add(struct pci *pci, unsigned slot, struct pci_function *fn);

/* Little-endian values in a function's config[], for its owner. */
void pci_config_set(struct pci_function *fn, unsigned offset, unsigned size, uint32_t value);
uint32_t pci_config_get(const struct pci_function *fn, unsigned offset, unsigned size);

/*
 * Drives @fn's interrupt pin A, which goes to line IRQ_PCI + slot % 4; lines are shared. Wants
 * vm.chips held.
 */
void pci_intx(struct pci_function *fn, bool asserted);

#endif
