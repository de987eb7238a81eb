/* SPDX-License-Identifier: BSD-2-Clause */
/* What a PC's firmware tells about its memory: the e820 map of a guest. */
#ifndef SOCLE_LOADER_LAYOUT_H
#define SOCLE_LOADER_LAYOUT_H

#include "socle/mm/guestmem.h"

/* The fixed addresses of the first MiB. */
enum low_memory {
	LOW_RAM_END = 0x9fc00,	   /* conventional memory ends below the EBDA's KiB */
	LOW_EBDA_END = 0xa0000,	   /* then come video memory and option ROMs */
	LOW_FIRMWARE = 0xe0000,	   /* the firmware's area, with the ACPI tables */
	HIGH_RAM_START = 0x100000, /* extended memory */
};

/* Types of memory as INT 15h, AX=E820h returns them (ACPI 6.4, table 15.4). */
enum e820_type { E820_RAM = 1, E820_RESERVED = 2 };

/* A range of the map, laid out as in Linux's boot_params. */
struct e820_entry {
	uint64_t addr;
	uint64_t size;
	uint32_t type; /* enum e820_type */
} __packed;

/* Entries that a map can have: the two reserved ones and three parts of each slot. */
#define E820_MAX (2 + 3 * GUEST_MEM_SLOTS)

/* Fills @map, sorted by address, and returns how many entries there are. */
unsigned e820_build(const struct guest_mem *mem, struct e820_entry map[E820_MAX]);

/* End of the RAM that starts at 1 MiB, at most 4 GiB; HIGH_RAM_START if there is none. */
uint64_t high_ram_end(const struct guest_mem *mem);

#endif
