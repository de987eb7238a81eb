/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's physical memory: its RAM ranges, populated on first touch, and safe copies. */
#ifndef SOCLE_MM_GUESTMEM_H
#define SOCLE_MM_GUESTMEM_H

#include "socle/base.h"
#include "socle/mm/pagetable.h"
#include "socle/status.h"

#define GUEST_MEM_SLOTS 4

/* A range of guest-physical addresses that is RAM. */
struct guest_slot {
	uint64_t base; /* guest-physical, page-aligned */
	uint64_t size; /* bytes, page-aligned */
};

struct guest_mem {
	struct pagetable pt;			 /* NPT or EPT; root 0 while the VM is stopped */
	struct guest_slot slot[GUEST_MEM_SLOTS]; /* sorted by base */
	unsigned slots;				 /* used entries of slot[] */
	uint64_t populated;			 /* bytes backed by host memory now */
	uint64_t generation;			 /* grows whenever a mapping is removed or moved */
	uint32_t owner; /* enum frame_owner of the guest's memory; tables: + 1 */
};

/*
 * Makes an empty guest-physical space with @format. @mem->slot, slots and owner are the caller's.
 * Returns -S_NOMEM.
 */
status_t __must_check guest_mem_open(struct guest_mem *mem, const struct pt_format *format);

/* Returns all memory, zeroed, and the tables. The VM must not run. */
void guest_mem_close(struct guest_mem *mem);

/* Lays out @bytes of RAM: below the hole at 3 GiB, the rest from 4 GiB; VGA's window left out. */
void guest_mem_layout(struct guest_mem *mem, uint64_t bytes);

/*
 * Backs the page at @gpa with memory, the largest frame that fits. -S_FAULT: not RAM; -S_NOMEM.
 * Harmless if it is backed already.
 */
status_t __must_check guest_populate(struct guest_mem *mem, uint64_t gpa);

/*
 * Host pointer to the byte at @gpa, valid up to the end of its 4 KiB page and until
 * mem->generation changes; populates the page. NULL if @gpa is no RAM or memory ran out.
 */
void *guest_ptr(struct guest_mem *mem, uint64_t gpa);

/*
 * Copy from or to guest-physical memory, across pages. Return -S_FAULT if any byte is no RAM
 * (then nothing may be assumed about @dst or the guest's bytes), -S_NOMEM if it cannot be backed.
 */
status_t __must_check guest_read(struct guest_mem *mem, uint64_t gpa, void *dst, size_t len);
status_t __must_check guest_write(struct guest_mem *mem, uint64_t gpa, const void *src, size_t len);

/* True if [gpa, gpa + len) lies in one RAM range; @len above 0. */
bool guest_is_ram(const struct guest_mem *mem, uint64_t gpa, uint64_t len);

#endif
