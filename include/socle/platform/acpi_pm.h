/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI fixed hardware: power management events, sleep control and timer (ACPI 6.4, 4.8.3). */
#ifndef SOCLE_PLATFORM_ACPI_PM_H
#define SOCLE_PLATFORM_ACPI_PM_H

#include "socle/base.h"
#include "socle/status.h"
#include "socle/kernel/iobus.h"
#include "socle/kernel/time.h"

#define ACPI_PM1_EVENT	 0x600 /* PM1a_EVT_BLK: status and enable, 16 bits each */
#define ACPI_PM1_CONTROL 0x604 /* PM1a_CNT_BLK, 16 bits */
#define ACPI_PM_TIMER	 0x608 /* PM_TMR_BLK, 32 bits */
#define ACPI_PM_HZ	 3579545ull
#define ACPI_SLP_TYP_S5	 5 /* what \_S5 in dsdt.asl says */

struct board;
struct vm;

struct acpi_pm {
	uint16_t status;       /* enum acpi_pm1_event bits that happened */
	uint16_t enable;       /* those that raise the SCI */
	uint16_t control;      /* enum acpi_pm1_control */
	bool irq;	       /* SCI as last driven */
	uint64_t ticks;	       /* latest value of the timer: CPUs' clocks may differ a little */
	uint64_t carries;      /* changes of the timer's top bit accounted in status */
	struct vm *vm;	       /* to be powered off */
	struct board *board;   /* owner, for the SCI */
	struct timer timer;    /* next change of the top bit; armed only if enabled */
	struct io_region pm1;  /* ACPI_PM1_EVENT and ACPI_PM1_CONTROL */
	struct io_region tick; /* ACPI_PM_TIMER */
};

/* Puts the registers on @bus. They are not yet reset. */
status_t __must_check acpi_pm_init(struct acpi_pm *pm, struct io_bus *bus, struct board *board,
				   struct vm *vm);

/* State after power-on, already in ACPI mode: no events, none enabled. */
void acpi_pm_reset(struct acpi_pm *pm);

/* The administrator presses the power button: asks the guest to shut down. Wants vm.chips held. */
void acpi_pm_power_button(struct acpi_pm *pm);

#endif
