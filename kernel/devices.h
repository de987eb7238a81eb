/* SPDX-License-Identifier: BSD-2-Clause */
/* Start-up: the machine's devices that Socle itself drives. */
#ifndef KERNEL_DEVICES_H
#define KERNEL_DEVICES_H

/*
 * Looks for them on PCI, gives each to its driver, and watches over them from then on. Once, on the
 * boot CPU, when timers and the APIC are on, and before guests are made.
 */
void devices_start(void);

#endif
