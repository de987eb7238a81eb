/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's physical memory: its RAM ranges, populated on first touch, and safe copies. */
#ifndef SOCLE_MM_GUESTMEM_H
#define SOCLE_MM_GUESTMEM_H

#include "socle/base.h"
#include "socle/cpu/cpu.h"
#include "socle/mm/pagetable.h"
#include "socle/status.h"

#define GUEST_MEM_SLOTS 4

/* A range of guest-physical addresses that is RAM. */
struct guest_slot {
	uint64_t base; /* guest-physical, page-aligned */
	uint64_t size; /* bytes, page-aligned */
};

/* What guest_replace() and guest_discard() are doing. */
enum guest_move {
	GUEST_MOVE_NONE,
	GUEST_MOVE_WAITING, /* for CPUs to forget the page: the hypervisor may still use it */
	GUEST_MOVE_COPYING, /* nobody may use it; soon over */
};

/*
 * Any number of CPUs may use a space at once. Pages are added without a lock, whoever comes first.
 * What takes a page away follows this protocol with the CPUs that run the VM's vCPUs:
 *
 *  - A CPU is *in* the VM from before it first looks at the VM's memory on behalf of a vCPU until
 *    it stops running that vCPU. The scheduler and vendor rooms know which CPUs are.
 *  - mem->epoch changes whenever a translation was taken away. A CPU whose guest_mem_stale() is
 *    true may hold translations in its TLB, and host pointers of guest_ptr() in its hands and
 *    caches, that are no longer good. So when it comes into the VM, and right before its next entry
 *    when flush() asks for that, it does
 *	uint64_t epoch = guest_mem_epoch(mem);
 *	... forget all translations of this VM on this CPU, and all pointers ...
 *	guest_mem_seen(mem, epoch);
 *    When it comes into the VM it may leave that out if guest_mem_stale() is false, which it asks
 *    after a full barrier behind marking itself as in the VM.
 *  - flush() of guest_replace() asks all CPUs in the VM, and kicks them, and returns when for each
 *    *other* one guest_mem_seen_by() is true, or it is in the VM no more. Pointers that a vCPU
 *    which does not run keeps are forgotten before it runs. flush() may be called several times.
 *  - Who takes a page away holds no lock that a CPU in the VM may wait for on its way to the next
 *    entry: vm.chips above all.
 *
 *  - A CPU that is not in the VM may use its memory between guest_mem_visit() and
 *    guest_mem_leave(). flush() also waits until guest_mem_visited() is false for each.
 *
 * Nobody waits long: while it waits for others, a moved page is absent to the guests, whose vCPUs
 * fault and retry through the entry, but the hypervisor may use it, whereby a CPU takes back that
 * it has seen the epoch, and flush() is called again. Only during the copy of 4 KiB must it wait.
 */
struct guest_mem {
	struct pagetable pt;			 /* NPT or EPT; root 0 while the VM is stopped */
	struct guest_slot slot[GUEST_MEM_SLOTS]; /* sorted by base */
	unsigned slots;				 /* used entries of slot[] */
	uint32_t owner;				 /* enum frame_owner of the memory; tables: + 1 */
	uint64_t populated;			 /* bytes backed by host memory now; atomic */
	/* Read at each entry; atomic all, seldom written. */
	uint64_t epoch __aligned(64); /* grows with each removal, never the same in two spaces */
	uint32_t move;		      /* enum guest_move; whoever changes it from NONE owns it */
	bool touched;		      /* the hypervisor used the page that is being moved */
	uint64_t seen[CPU_MAX];	      /* by CPU: the epoch that it follows; 0: flush first */
	uint64_t visit[CPU_MAX];      /* by CPU: the epoch of its visit; 0: it is on none */
};

/*
 * Makes an empty guest-physical space with @format. @mem->slot, slots and owner are the caller's.
 * Returns -S_NOMEM.
 */
status_t __must_check guest_mem_open(struct guest_mem *mem, const struct pt_format *format);

/* Returns all memory, zeroed, and the tables. The VM must not run. */
void guest_mem_close(struct guest_mem *mem);

static __always_inline uint64_t guest_mem_epoch(const struct guest_mem *mem)
{
	return __atomic_load_n(&mem->epoch, __ATOMIC_ACQUIRE);
}

/* Must this CPU forget translations and pointers before it enters the guest? See above. */
static __always_inline bool guest_mem_stale(const struct guest_mem *mem)
{
	return __atomic_load_n(&mem->seen[cpu_index()], __ATOMIC_RELAXED) != guest_mem_epoch(mem);
}

/* This CPU has forgotten them after it read @epoch, and holds no pointer into the space. */
static __always_inline void guest_mem_seen(struct guest_mem *mem, uint64_t epoch)
{
	__atomic_store_n(&mem->seen[cpu_index()], epoch, __ATOMIC_RELEASE);
}

/* Has @cpu? For flush(). */
static __always_inline bool guest_mem_seen_by(const struct guest_mem *mem, unsigned cpu)
{
	return __atomic_load_n(&mem->seen[cpu], __ATOMIC_SEQ_CST) >= guest_mem_epoch(mem);
}

/*
 * This CPU, which need not be in the VM, is about to use its memory on behalf of somebody else,
 * such as a guest that sends a frame to it. The caller has seen to it that the space is not closed
 * meanwhile. Until it leaves it takes no lock that whoever moves a page may hold, and waits for
 * nobody.
 */
static inline void guest_mem_visit(struct guest_mem *mem)
{
	/* A full barrier: either who freezes a page sees the visit, or we see the page frozen. */
	(void)__atomic_exchange_n(&mem->visit[cpu_index()], guest_mem_epoch(mem), __ATOMIC_SEQ_CST);
}

/* It holds no pointers into the space any more. */
static inline void guest_mem_leave(struct guest_mem *mem)
{
	__atomic_store_n(&mem->visit[cpu_index()], 0, __ATOMIC_RELEASE);
}

/* May @cpu, on a visit, still use what was taken away? For flush(). */
static inline bool guest_mem_visited(const struct guest_mem *mem, unsigned cpu)
{
	uint64_t epoch = __atomic_load_n(&mem->visit[cpu], __ATOMIC_SEQ_CST);

	return epoch && epoch < guest_mem_epoch(mem);
}

/* Something was taken out of mem->pt: the epoch changes. Waits for none, and asks none. */
void guest_mem_changed(struct guest_mem *mem);

/* Lays out @bytes of RAM: below the hole at 3 GiB, the rest from 4 GiB; VGA's window left out. */
void guest_mem_layout(struct guest_mem *mem, uint64_t bytes);

/*
 * Backs the page at @gpa with memory, the largest frame that fits. Harmless if it is backed
 * already. -S_FAULT: not RAM; -S_NOMEM; -S_AGAIN: the page is being moved, so let the vCPU try
 * again.
 */
status_t __must_check guest_populate(struct guest_mem *mem, uint64_t gpa);

/*
 * Host pointer to the byte at @gpa, valid up to the end of its 4 KiB page and until this CPU calls
 * guest_mem_seen(), guest_replace() or guest_discard(); populates the page. NULL if @gpa is no RAM
 * or memory ran out. On a CPU that is in the VM or visits it, or while nobody moves pages.
 */
void *guest_ptr(struct guest_mem *mem, uint64_t gpa);

/*
 * Moves the 4 KiB at @gpa to another frame (a larger one is split), or takes them away, so that the
 * next touch finds zeroes; while vCPUs run. See above for @flush and which locks must not be held.
 * Pointers of guest_ptr() that this CPU holds are void. One at a time in a space: -S_BUSY: another
 * is under way, maybe waiting for this CPU, so go on to the next entry before trying again.
 * -S_NOENT: not populated; -S_FAULT: no RAM; -S_NOMEM; -S_AGAIN: the hypervisor itself used
 * the page all the time. After an error everything is as it was.
 */
status_t __must_check guest_replace(struct guest_mem *mem, uint64_t gpa, void (*flush)(void *arg),
				    void *arg);
status_t __must_check guest_discard(struct guest_mem *mem, uint64_t gpa, void (*flush)(void *arg),
				    void *arg);

/*
 * Copy from or to guest-physical memory, across pages. Return -S_FAULT if any byte is no RAM
 * (then nothing may be assumed about @dst or the guest's bytes), -S_NOMEM if it cannot be backed.
 */
status_t __must_check guest_read(struct guest_mem *mem, uint64_t gpa, void *dst, size_t len);
status_t __must_check guest_write(struct guest_mem *mem, uint64_t gpa, const void *src, size_t len);

/* True if [gpa, gpa + len) lies in one RAM range; @len above 0. */
bool guest_is_ram(const struct guest_mem *mem, uint64_t gpa, uint64_t len);

#endif
