/* SPDX-License-Identifier: BSD-2-Clause */
/* The hypervisor's own address space: image, direct map, devices, stacks with guard pages. */
#ifndef SOCLE_MM_PAGING_H
#define SOCLE_MM_PAGING_H

#include "socle/base.h"
#include "socle/mm/frames.h"
#include "socle/mm/pagetable.h"

#define KERNEL_BASE 0xffffffff80000000ull /* image addresses are physical ones plus this */
#define STACKS_BASE 0xffff900000000000ull

/* Where the image lies, from the linker script. */
extern char __image_start[], __image_end[], __text_start[], __text_end[], __rodata_start[],
	__rodata_end[], __data_start[], __data_end[];

/*
 * Builds the tables for @count ranges of memory, and does paging_cpu_init(). Once, at boot. Panics
 * when memory runs out.
 */
void paging_init(const struct mem_range *ranges, unsigned count);

/*
 * Switches this CPU to the tables and turns on write protection, SMEP, SMAP and UMIP where it has
 * them. The caller runs at an address of the image, with EFER.NXE set. On each other CPU, after
 * paging_init().
 */
void paging_cpu_init(void);

/*
 * The next three may be called on any CPU while others run: what they map is new, so nobody has a
 * translation of it to forget. Changing or removing a mapping would need a flush of all CPUs. Not
 * for the same address on two CPUs at once.
 */

/* Maps @size bytes of a device's registers at @pa, uncached. Returns where. Panics as above. */
void *paging_map_device(uint64_t pa, uint64_t size);

/* Makes [pa, pa + size) readable in the direct map: firmware tables outside RAM. Returns where. */
const void *paging_map_readonly(uint64_t pa, uint64_t size);

/* Allocates and maps stack @index; returns its top. What lies below it is not mapped. */
void *paging_map_stack(unsigned index);

/* The live tables, to be checked by the console and the boot-time self-test. */
const struct pagetable *paging_tables(void);

/*
 * Reads the live tables and returns the number of pages that are writable and executable: 0, or
 * there is a bug of ours. *@pages is set to the number of mappings looked at.
 */
unsigned paging_check_wx(unsigned *mappings);

#endif
