/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI bus 0: configuration by ports and by memory, the host bridge, BARs, and interrupt pins. */
#ifndef SOCLE_PLATFORM_PCI_H
#define SOCLE_PLATFORM_PCI_H

#include "socle/base.h"
#include "socle/pci_regs.h"
#include "socle/status.h"
#include "socle/kernel/iobus.h"

#define PCI_SLOTS 32
#define PCI_PINS  4

/* Guest-physical address of bus 0's configuration space, as the MCFG table tells it. */
#define PCI_ECAM      0xfeb00000ull
#define PCI_ECAM_SIZE 0x100000u

/* Where memory BARs may answer; the DSDT tells it. */
#define PCI_WINDOW	0xc0000000ull
#define PCI_WINDOW_SIZE (uint32_t)(PCI_ECAM - PCI_WINDOW)

enum { PCI_COMMAND_BITS = 0x0547 }; /* of PCI_COMMAND, writable: also I/O, parity, SERR# */

struct board;
struct pci;
struct pci_function;
struct reset;

/* Any of them may be NULL. */
struct pci_ops {
	/* Before the guest reads @size bytes at @offset: bring config[] up to date. vm.chips held.
	 */
	void (*refresh)(struct pci_function *fn, unsigned offset, unsigned size);
	/* After the guest wrote @size bytes at @offset, as far as writable. vm.chips held. */
	void (*written)(struct pci_function *fn, unsigned offset, unsigned size);
	/*
	 * A register that leads elsewhere: true if it took the access, for which @value is read or
	 * written; false: config[] has it. No lock is held.
	 */
	bool (*through)(struct pci_function *fn, struct vcpu *vcpu, unsigned offset, unsigned size,
			bool write, uint32_t *value);
	/* Back to the state after power-on, but for config[] and interrupt pin. No lock is held. */
	void (*reset)(struct pci_function *fn);
	/*
	 * The guest's access of 1, 2, 4 or 8 bytes to the BAR, inside of it, at any alignment. No
	 * lock is held: several vCPUs may come at once.
	 */
	uint64_t (*bar_read)(struct pci_function *fn, struct vcpu *vcpu, uint32_t offset,
			     unsigned size);
	void (*bar_write)(struct pci_function *fn, struct vcpu *vcpu, uint32_t offset,
			  unsigned size, uint64_t value);
};

/* Function 0 of a device. Embed it and use container_of(). Guarded by vm.chips. */
struct pci_function {
	const struct pci_ops *ops;	   /* NULL: config[] alone */
	uint8_t config[PCI_CONFIG_SIZE];   /* what the guest reads */
	uint8_t writable[PCI_CONFIG_SIZE]; /* bits that a write changes; all 0 after power-on */
	struct pci *pci;		   /* the bus; set by pci_add() */
	struct pci_bar *bar;		   /* BAR 0; NULL: it has none */
	uint8_t slot;			   /* device number; set by pci_add() */
	uint8_t cap_last;		   /* offset of the last capability; 0: none */
	uint8_t cap_end;		   /* offset behind it */
	bool intx;			   /* the device wants interrupt pin A asserted */
	bool intx_out;			   /* and it is: COMMAND does not disable it */
};

/* A 32-bit memory BAR. */
struct pci_bar {
	uint64_t base;		 /* guest-physical, where it answers now; 0: nowhere. Atomic */
	uint32_t size;		 /* bytes, a power of two */
	uint32_t home;		 /* base in its register after power-on */
	struct pci_function *fn; /* whose it is */
};

/* Guarded by vm.chips, as are its functions; slot[], bar[] and the regions are constant. */
struct pci {
	uint32_t address;		      /* CONFIG_ADDRESS */
	struct pci_function *slot[PCI_SLOTS]; /* NULL: empty */
	struct pci_bar bar[PCI_SLOTS];	      /* of all functions */
	unsigned bars;			      /* used entries of bar[] */
	uint8_t asserted[PCI_PINS];	      /* functions that assert each line */
	struct pci_function bridge;	      /* 00:00.0 */
	struct spinlock *lock;		      /* vm.chips */
	struct reset *reset;		      /* owner of port 0xcf9 */
	struct board *board;		      /* owner, for the interrupt lines */
	struct io_region region;	      /* ports 0xcf8 to 0xcff */
	struct io_region ecam;		      /* configuration space in memory */
	struct io_region window;	      /* all memory BARs */
};

/*
 * Puts the configuration ports and space and the window of BARs on @bus, with the host bridge in
 * slot 0. Their regions are unlocked: the bus's lock is taken where it is needed.
 */
status_t __must_check pci_init(struct pci *pci, struct io_bus *bus, struct board *board,
			       struct reset *reset);

/* State after power-on of the ports and of every function. Takes vm.chips. */
void pci_reset(struct pci *pci);

/* Adds @fn in @slot. Returns -S_INVAL for a slot that does not exist, -S_EXIST for a taken one. */
status_t __must_check pci_add(struct pci *pci, unsigned slot, struct pci_function *fn);

/* The lowest slot that is free, PCI_SLOTS if none is. */
unsigned pci_free_slot(const struct pci *pci);

/* Little-endian values in a function's config[], for its owner. */
void pci_config_set(struct pci_function *fn, unsigned offset, unsigned size, uint32_t value);
uint32_t pci_config_get(const struct pci_function *fn, unsigned offset, unsigned size);

/*
 * While @fn is built: adds a capability of @size bytes, its two first ones included, which are
 * filled in. Returns its offset, 0 if there is no room.
 */
unsigned pci_add_capability(struct pci_function *fn, enum pci_capability id, unsigned size);

/*
 * While the board is built, after pci_add(): gives @fn a 32-bit memory BAR 0 of @size bytes, a
 * power of two from 4 KiB on. It answers while COMMAND says so, wherever in the window the guest
 * puts it; after power-on its register has an address there. -S_NOSPC: the window is full.
 */
status_t __must_check pci_add_bar(struct pci_function *fn, uint32_t size);

/* For pci.c: puts the window on @bus; BARs back in their places; COMMAND or BAR 0 was written. */
status_t __must_check pci_window_init(struct pci *pci, struct io_bus *bus);
void pci_bar_reset(struct pci_function *fn);
void pci_bar_written(struct pci_function *fn);

/*
 * Drives @fn's interrupt pin A, which goes to line IRQ_PCI + slot % 4 unless COMMAND disables it;
 * lines are shared. Wants vm.chips held.
 */
void pci_intx(struct pci_function *fn, bool asserted);

/* May @fn access memory by itself, and send messages? Wants vm.chips held, or a late answer. */
static inline bool pci_is_master(const struct pci_function *fn)
{
	return READ_ONCE(fn->config[PCI_COMMAND]) & PCI_COMMAND_MASTER;
}

#endif
