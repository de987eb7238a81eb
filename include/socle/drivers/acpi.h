/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's own ACPI tables: where its processors and interrupt controllers are. */
#ifndef SOCLE_DRIVERS_ACPI_H
#define SOCLE_DRIVERS_ACPI_H

#include "socle/base.h"
#include "socle/status.h"

#define ACPI_MAX_CPUS 64

/* Where an ISA interrupt arrives at the I/O APIC (ACPI 6.5, 5.2.12.5). */
struct acpi_irq {
	uint32_t gsi;
	bool level, active_low;
};

struct acpi_info {
	bool found;			     /* an RSDP with valid tables */
	uint64_t lapic;			     /* physical address of the local APICs' registers */
	uint64_t ioapic;		     /* of the first I/O APIC's; 0: none */
	uint32_t ioapic_gsi;		     /* its first global system interrupt */
	uint32_t cpu_apic_id[ACPI_MAX_CPUS]; /* of usable processors */
	unsigned cpus;			     /* used entries */
	struct acpi_irq isa[16];	     /* by ISA line */
	uint16_t pm1a_control;		     /* port; 0: none */
	uint16_t pm1b_control;		     /* port; 0: none */
	uint16_t s5_type_a, s5_type_b;	     /* SLP_TYP for soft-off */
	bool has_s5;			     /* the two above were found in the DSDT */
	bool has_reset;			     /* the FADT names a reset register in I/O space */
	uint16_t reset_port;
	uint8_t reset_value;
};
extern struct acpi_info acpi_info;

/*
 * Reads the tables into acpi_info. @rsdp: a copy of the RSDP from the boot loader, or NULL to
 * search the BIOS area. Returns -S_NOENT without tables (PC defaults then stand in acpi_info),
 * -S_INVAL when they are damaged. Called once, on the live address space.
 */
status_t acpi_init(const void *rsdp);

#endif
