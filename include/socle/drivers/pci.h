/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI of the machine: its functions, their registers, BARs and interrupts, and their drivers. */
#ifndef SOCLE_DRIVERS_PCI_H
#define SOCLE_DRIVERS_PCI_H

#include "socle/base.h"
#include "socle/pci_regs.h"
#include "socle/section.h"

#define HOST_PCI_MAX  64 /* functions that are known; more are left out */
#define HOST_PCI_BARS 6
#define HOST_BAR_MAX  (16 * MiB) /* a larger one is not mapped */

/* A function of a device. All of it is the boot CPU's. */
struct host_pci {
	uint8_t bus, slot, function;
	uint8_t type; /* of the header: enum pci_header_type, without the top bit */
	uint16_t vendor, device;
	uint32_t class; /* class code, subclass, interface, from the top */
	bool driven;	/* a driver has it */
	struct {
		volatile uint8_t *at; /* where host_pci_map() mapped it; NULL: it did not */
		uint64_t size;	      /* bytes */
	} bar[HOST_PCI_BARS];
};

/* Looks for functions on all buses behind bridges of bus 0. Once, at boot, after the APIC is on. */
void host_pci_scan(void);

/* The function after @fn in order of the scan, the first for NULL; NULL at the end. */
struct host_pci *host_pci_next(struct host_pci *fn);

/* How many functions there were beyond HOST_PCI_MAX. */
unsigned host_pci_dropped(void);

/*
 * Configuration space, by ports: 1, 2 or 4 bytes, aligned, below 256. Only by the boot CPU, with
 * interrupts off.
 */
uint32_t host_pci_read(const struct host_pci *fn, unsigned offset, unsigned size);
void host_pci_write(const struct host_pci *fn, unsigned offset, unsigned size, uint32_t value);

/* Offset of @fn's capability @id number @n, from 0 on; 0: it has not so many. */
unsigned host_pci_capability(const struct host_pci *fn, unsigned id, unsigned n);

/*
 * Maps memory BAR @index where the firmware put it, uncached, and lets it answer. Sets *@size to
 * its bytes. NULL if it is none, too large, or where something else is mapped. At boot only.
 */
volatile uint8_t *host_pci_map(struct host_pci *fn, unsigned index, uint64_t *size);

/* Lets @fn access memory by itself, or forbids it. Boot CPU. */
void host_pci_master(struct host_pci *fn, bool on);

/*
 * Who is called when a device interrupts. Embed it and use container_of(). All devices share one
 * vector, so @handle looks whether its device has something: it is called too often, on the boot
 * CPU, with interrupts off and no lock held, and may take a lock of level LOCK_HOST or higher.
 * If an interrupt is lost, or cannot be had, host_pci_poll() calls it: at least once a second.
 */
struct host_interrupt {
	void (*handle)(struct host_interrupt *irq);
	struct host_interrupt *next; /* set by host_pci_interrupt() */
};

/*
 * Has @irq called from now on. If @fn has MSI-X, its table's entry 0 then makes the interrupt, and
 * all others are masked; else by MSI. False: it has neither, so that @irq is only polled, every
 * few milliseconds; the driver need not care. At boot only; @irq stays.
 */
bool host_pci_interrupt(struct host_pci *fn, struct host_interrupt *irq);

/* Calls all of them; are there some that depend on it? By the boot CPU, from a timer. */
void host_pci_poll(void);
bool host_pci_polled(void);

/* A driver; the first whose numbers match and whose probe() returns true has the function. */
struct host_pci_driver {
	const char *name; /* for the log */
	uint16_t vendor, device;
	/* At boot. False: it cannot drive @fn, has logged why, and left bus mastering off. */
	bool (*probe)(struct host_pci *fn);
};
SECTION_TABLE(struct host_pci_driver, pci_drivers);

/* HOST_PCI_DRIVER(e1000, .name = "e1000", .vendor = 0x8086, ...); at file level. */
#define HOST_PCI_DRIVER(ident, ...)                                                          \
	static const struct host_pci_driver pci_driver_##ident = {__VA_ARGS__};              \
	static const struct host_pci_driver *const pci_driver_##ident##_entry SECTION_ENTRY( \
		pci_drivers) = &pci_driver_##ident

#endif
