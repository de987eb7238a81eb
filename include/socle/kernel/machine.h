/* SPDX-License-Identifier: BSD-2-Clause */
/* Turning the whole machine off, resetting it, or stopping it safely. */
#ifndef SOCLE_KERNEL_MACHINE_H
#define SOCLE_KERNEL_MACHINE_H

#include "socle/base.h"

/* Resets the machine: ACPI's reset register, then 0xCF9, the keyboard controller, triple fault. */
void machine_reboot(void) __noreturn;

/*
 * Turns the machine off through ACPI. @status goes to an emulator's debug-exit device first, where
 * one was named on the command line, so that a CI job sees it. Halts where neither works.
 */
void machine_poweroff(unsigned status) __noreturn;

/* Stops for good with interrupts off, after the console has drained. */
void machine_halt(void) __noreturn;

/* Names the port of an emulator's debug-exit device; 0: none. */
void machine_set_debug_exit(uint16_t port);

/* Binds what must be done before the machine goes: drain the console. */
void machine_bind_flush(void (*flush)(void));

#endif
