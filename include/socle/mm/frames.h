/* SPDX-License-Identifier: BSD-2-Clause */
/* The page-frame allocator: who owns which part of the machine's memory. */
#ifndef SOCLE_MM_FRAMES_H
#define SOCLE_MM_FRAMES_H

#include "socle/base.h"

/* Sizes of a frame: the levels of a page table. */
enum frame_level { FRAME_4K = 1, FRAME_2M = 2, FRAME_1G = 3 };

static inline uint64_t frame_bytes(enum frame_level level)
{
	return PAGE_SIZE << 9 * (level - 1);
}

/* Whom memory is accounted to. A VM's memory has the owner OWNER_VM + 2 * id, its tables + 1. */
enum frame_owner {
	OWNER_FREE,
	OWNER_CORE,   /* per-CPU data, stacks, tables of ours */
	OWNER_PAGING, /* the hypervisor's own page tables */
	OWNER_VM_CORE,/* VM and vCPU objects, chips, consoles */
	OWNER_VM,     /* first VM's guest memory */
	OWNER_COUNT = OWNER_VM + 2 * 64,
};

/* A range of usable physical memory, from the boot loader's map. */
struct mem_range {
	uint64_t base; /* host-physical */
	uint64_t size; /* bytes */
};

struct frames_account {
	uint64_t total;		    /* bytes of all memory that the allocator was given */
	uint64_t held[OWNER_COUNT]; /* bytes by owner; [OWNER_FREE]: free */
	uint64_t metadata; /* bytes used for the allocator's own tables, part of OWNER_CORE */
};

/* Where host-physical memory is mapped, always, readable and writable, never executable. */
#ifndef SOCLE_UNIT_TEST
#define DIRECT_BASE 0xffff800000000000ull
#else
extern uintptr_t test_memory; /* on the host, "physical" memory is an array of the test's */
#define DIRECT_BASE test_memory
#endif

static __always_inline void *phys_to_virt(uint64_t pa)
{
	return (void *)(DIRECT_BASE + pa);
}

/* Only for addresses in the direct map. */
static __always_inline uint64_t virt_to_phys(const void *va)
{
	return (uintptr_t)va - DIRECT_BASE;
}

/*
 * Takes over @count ranges of usable memory; ranges that are taken already must have been cut out.
 * Once, at boot. Panics if there is too little to describe the rest.
 */
void frames_init(const struct mem_range *ranges, unsigned count);

/*
 * Allocates one naturally aligned, zeroed frame for @owner. Returns its host-physical address, or
 * 0 when there is none. Any CPU.
 */
uint64_t frame_alloc(enum frame_level level, uint32_t owner) __must_check;

/* As frame_alloc() for a FRAME_4K that the caller fills completely: its contents are undefined. */
uint64_t frame_alloc_raw(uint32_t owner) __must_check;

/* The direct map is complete: from now on all frames are handed out, not those below 4 GiB only. */
void frames_all_mapped(void);

/* Returns a frame, which nobody gets before it is zeroed. @level and @owner must be those of its
 * allocation. */
void frame_free(uint64_t pa, enum frame_level level, uint32_t owner);

/*
 * Allocates at least @bytes (at most 2 MiB) of zeroed, page-aligned, physically contiguous memory
 * in the direct map. Returns NULL when there is none.
 */
void *pages_alloc(size_t bytes, uint32_t owner) __must_check;

/* Zeroes and returns memory of pages_alloc(); @bytes and @owner as there. NULL is fine. */
void pages_free(void *va, size_t bytes, uint32_t owner);

/*
 * Zeroes a page of a free block that nobody zeroed yet; false if there is none left. For idle
 * time: short enough not to delay an interrupt by more than that.
 */
bool frames_scrub_some(void);

/* Who holds what, now. */
const struct frames_account *frames_account(void);

#endif
