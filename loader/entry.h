/* SPDX-License-Identifier: BSD-2-Clause */
/* The 32-bit protected mode, flat and without paging, in which boot protocols start a kernel. */
#ifndef SOCLE_LOADER_ENTRY_H
#define SOCLE_LOADER_ENTRY_H

#include "socle/guest/state.h"

/* Selectors in the table that a kernel starts with; Linux demands these two. */
enum entry_selector { ENTRY_CS = 0x10, ENTRY_DS = 0x18 };

#define ENTRY_GDT_SIZE 32 /* bytes: two empty descriptors, code, data */

/* The descriptor table, to be copied to the guest. */
extern const uint64_t entry_gdt[ENTRY_GDT_SIZE / 8];

/*
 * Fills @state: flat 4 GiB segments from the table at guest-physical @gdt, interrupts and paging
 * off, all general registers zero, execution at @rip.
 */
void entry_flat32(struct x86_state *state, uint64_t gdt, uint32_t rip);

#endif
