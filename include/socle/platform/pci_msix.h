/* SPDX-License-Identifier: BSD-2-Clause */
/* MSI-X of a PCI function: a table of messages, each with a mask and a pending bit. */
#ifndef SOCLE_PLATFORM_PCI_MSIX_H
#define SOCLE_PLATFORM_PCI_MSIX_H

#include "socle/platform/pci.h"

#define PCI_MSIX_MAX 32 /* vectors */

/* A row of the table (PCI 3.0, 6.8.2.6 to 6.8.2.9). */
struct pci_msix_entry {
	uint32_t address_low;
	uint32_t address_high;
	uint32_t data;
	uint32_t control; /* bit 0: masked */
};
_Static_assert(sizeof(struct pci_msix_entry) == 16, "MSI-X table entry");

/* Embed it beside its function. Guarded by vm.chips. */
struct pci_msix {
	struct pci_function *fn;
	unsigned vectors; /* rows of the table, at most PCI_MSIX_MAX; constant */
	unsigned cap;	  /* offset of the capability; constant */
	uint32_t pending; /* a bit for each vector that was raised while it was masked */
	struct pci_msix_entry entry[PCI_MSIX_MAX];
};

/*
 * While @fn is built: adds the capability, with table and pending bits at these offsets in BAR 0.
 * -S_NOSPC: there is no room in configuration space.
 */
status_t __must_check pci_msix_add(struct pci_msix *msix, struct pci_function *fn, unsigned vectors,
				   uint32_t table, uint32_t pending);

/* State after power-on: all masked, nothing pending. Takes vm.chips. */
void pci_msix_reset(struct pci_msix *msix);

/* Is MSI-X what @fn interrupts by? Wants vm.chips held, as all below. */
bool pci_msix_enabled(const struct pci_msix *msix);

/*
 * Sends the message of @vector, or notes it as pending while that or the function is masked.
 * Nothing while MSI-X is not enabled, or the function is no bus master, or for a vector that is not
 * there.
 */
void pci_msix_raise(struct pci_msix *msix, unsigned vector);

/* For pci_ops.written: the control register may have changed. */
void pci_msix_written(struct pci_msix *msix);

/*
 * The guest's accesses to the table, and reads of the pending bits, @offset in each. Bytes outside
 * read as 0. Writes are of aligned 4 or 8 bytes, others are ignored.
 */
uint64_t pci_msix_table_read(const struct pci_msix *msix, uint32_t offset, unsigned size);
void pci_msix_table_write(struct pci_msix *msix, uint32_t offset, unsigned size, uint64_t value);
uint64_t pci_msix_pending_read(const struct pci_msix *msix, uint32_t offset, unsigned size);

#endif
