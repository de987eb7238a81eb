/* SPDX-License-Identifier: BSD-2-Clause */
/* What the boot loader hands over: command line, modules, memory map, RSDP. */
#ifndef SOCLE_BOOT_MULTIBOOT2_H
#define SOCLE_BOOT_MULTIBOOT2_H

#include "socle/base.h"
#include "socle/mm/frames.h"

#define BOOT_RANGES_MAX	 64
#define BOOT_MODULES_MAX 32

struct boot_info {
	char cmdline[512];
	struct {
		uint64_t base, size; /* host-physical */
		char name[64];
	} module[BOOT_MODULES_MAX];
	unsigned modules;
	unsigned modules_dropped;	       /* more than fit */
	struct mem_range ram[BOOT_RANGES_MAX]; /* all usable memory, modules and image included */
	unsigned rams;
	uint64_t ram_dropped;			/* bytes in ranges beyond those */
	struct mem_range free[BOOT_RANGES_MAX]; /* the same without them: for the allocator */
	unsigned frees;
	uint8_t rsdp[36]; /* copy, zero-padded */
	bool has_rsdp;
	bool efi; /* started by UEFI firmware */
};

/*
 * Copies what is needed out of the information structure at @pa, which lies in memory that will
 * be reused. @image_start and @image_end: our own image, to be kept.
 */
void multiboot2_read(struct boot_info *info, uint64_t pa, uint64_t image_start, uint64_t image_end);

#endif
