/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's physical memory: its RAM ranges, populated on first touch, and safe copies. */
#ifndef SOCLE_MM_GUESTMEM_H
#define SOCLE_MM_GUESTMEM_H

#include "socle/base.h"
#include "socle/status.h"

#define GUEST_MEM_SLOTS 4

/* A range of guest-physical addresses that is RAM. */
struct guest_slot {
	uint64_t base; /* guest-physical, page-aligned */
	uint64_t size; /* bytes, page-aligned */
};

struct pt_format;

struct guest_mem {
	const struct pt_format *format; /* NPT or EPT */
	uint64_t root;			/* host-physical address of the top table; 0: none */
	struct guest_slot slot[GUEST_MEM_SLOTS]; /* sorted by base */
	unsigned slots;
	uint64_t populated;		/* bytes backed by host memory now */
	uint64_t tables;		/* bytes of second-level tables */
	uint64_t generation;		/* grows whenever a mapping is removed or moved */
	uint32_t owner;			/* owner tag in the frame allocator */
};

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
