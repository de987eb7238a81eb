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
	uint64_t dirty;		    /* bytes that are not zeroed yet, part of OWNER_FREE */
	uint64_t metadata; /* bytes used for the allocator's own tables, part of OWNER_CORE */
	int64_t missing;   /* bytes that nobody holds and that are not free; see below */
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
 * All functions may be called on any number of CPUs at once, unless said otherwise, with locks
 * below LOCK_STOCK held. Memory of 2 MiB and more is zeroed outside of all locks of theirs; "there
 * is none" means that really no CPU has any.
 */

/*
 * Takes over @count ranges of usable memory; ranges that are taken already must have been cut out.
 * Once, at boot. Panics if there is too little to describe the rest.
 */
void frames_init(const struct mem_range *ranges, unsigned count);

/* The direct map is complete: from now on all frames are handed out, not those below 4 GiB only. */
void frames_all_mapped(void);

/*
 * cpu_index() is valid wherever memory is allocated from now on: each CPU may keep a stock of free
 * memory for itself, so that it seldom needs the common lock. Once, at boot.
 */
void frames_use_stocks(void);

/*
 * Allocates one naturally aligned, zeroed frame for @owner. Returns its host-physical address, or
 * 0 when there is none; of 1 GiB, when none is zeroed.
 */
uint64_t frame_alloc(enum frame_level level, uint32_t owner) __must_check;

/* As frame_alloc() for a FRAME_4K that the caller fills completely: its contents are undefined. */
uint64_t frame_alloc_raw(uint32_t owner) __must_check;

/*
 * As frame_alloc() for a FRAME_4K in which real-mode code can begin, as a start-up IPI has it:
 * from 0x1000 to 0x9efff. These are given out for nothing else.
 */
uint64_t frame_alloc_low(uint32_t owner) __must_check;

/* Returns a frame, which nobody gets before it is zeroed. @level and @owner must be those of its
 * allocation. */
void frame_free(uint64_t pa, enum frame_level level, uint32_t owner);

/* As frame_free() for a frame that holds what it held when it was allocated: zeroes. */
void frame_free_unused(uint64_t pa, enum frame_level level, uint32_t owner);

/* What was allocated as one frame of 2 MiB or more is freed in pages from now on, in the 2 MiB
 * around @pa. */
void frame_split(uint64_t pa, uint32_t owner);

/*
 * Allocates at least @bytes (at most 2 MiB) of zeroed, page-aligned, physically contiguous memory
 * in the direct map. Returns NULL when there is none.
 */
void *pages_alloc(size_t bytes, uint32_t owner) __must_check;

/* Zeroes and returns memory of pages_alloc(); @bytes and @owner as there. NULL is fine. */
void pages_free(void *va, size_t bytes, uint32_t owner);

/*
 * For who builds something in many steps of which each may fail: what pages_alloc() gives to @owner
 * on this CPU is noted from now on, and what pages_free() takes back is crossed out again; until
 * pages_keep_noted(), or pages_free_noted(), which takes back all of it. One builder at a time; of
 * what it used of other kinds it rids itself. It may have 512 pieces at a time.
 */
void pages_note(uint32_t owner);
void pages_keep_noted(void);
void pages_free_noted(void);

/*
 * Zeroes a free page that nobody zeroed yet; false if this CPU has none left to do. For idle time:
 * short enough not to delay an interrupt by more than that. cpu_index() must be valid.
 */
bool frames_scrub_some(void);

/* Gives this CPU's stock back, so that pages can become large frames again. */
void frames_return_stock(void);

/*
 * Fills @account: who holds what now, by the owners' accounts, and what is free, by what is counted
 * where it lies, in the pool and the stocks. It adds up to the last page unless other CPUs allocate
 * all the time: the difference is @missing. If that stays, memory was lost. Not on a hot path.
 */
void frames_account_read(struct frames_account *account);

#endif
