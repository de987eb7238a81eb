/* SPDX-License-Identifier: BSD-2-Clause */
/* The hypervisor's own command line, from the boot loader. */
#ifndef SOCLE_KERNEL_OPTIONS_H
#define SOCLE_KERNEL_OPTIONS_H

#include "socle/base.h"

struct options {
	uint16_t serial_port; /* base port of the console's UART */
	unsigned serial_baud;
	uint16_t debug_exit; /* port of an emulator's debug-exit device; 0: none */
	bool bench;	     /* measure and print the floor of exit costs */
	bool overflow_stack; /* run into a guard page, to see it caught */
	bool no_apicv;	     /* do not use Intel's APIC virtualization */
	bool force_apicv;    /* use it even if it has a fault; the last of both counts */
	bool no_mitigations; /* do nothing against leaks by speculation */
	unsigned cpus;	     /* processors to use, at most */
	bool skew_tsc;	     /* put the other processors' TSCs wrong, to see them corrected */
	bool break_entry;    /* give the first guest a state that no CPU enters */
	char unknown[64];    /* first word that is no option; empty: none */
};

/* Sets defaults, then what @cmdline says. Unknown words are kept for a message. */
void options_parse(struct options *o, const char *cmdline);

#endif
