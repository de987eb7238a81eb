/* SPDX-License-Identifier: BSD-2-Clause */
/* Taking pages away from a guest that runs: guestmem.h has the protocol. */
#include "socle/mm/guestmem.h"
#include "socle/string.h"

/* How often the hypervisor may use a page while it is to be moved. */
enum { MOVE_TRIES = 1000 };

static void set_move(struct guest_mem *mem, enum guest_move move)
{
	__atomic_store_n(&mem->move, move, __ATOMIC_SEQ_CST);
}

/* Until no CPU has a translation or pointer of what is frozen; afterwards none can get one. */
static bool wait_for_others(struct guest_mem *mem, void (*flush)(void *arg), void *arg)
{
	for (unsigned i = 0; i < MOVE_TRIES; i++) {
		(void)__atomic_exchange_n(&mem->touched, false, __ATOMIC_SEQ_CST);
		flush(arg);
		/* Either we see that a CPU has come back to the page, or it sees this. */
		set_move(mem, GUEST_MOVE_COPYING);
		if (!__atomic_load_n(&mem->touched, __ATOMIC_SEQ_CST))
			return true;
		set_move(mem, GUEST_MOVE_WAITING);
	}
	return false;
}

/* Moves the page to the frame at @to; 0: takes it away. */
static status_t move_page(struct guest_mem *mem, uint64_t gpa, uint64_t to,
			  void (*flush)(void *arg), void *arg)
{
	struct pt_frozen f;
	status_t status = pt_freeze(&mem->pt, gpa, &f);

	if (status)
		return status;
	/* Who flushes for this number or a later one cannot find the page any more. */
	guest_mem_changed(mem);
	if (!wait_for_others(mem, flush, arg)) {
		pt_unfreeze(&mem->pt, &f);
		return -S_AGAIN;
	}
	if (to)
		memcpy(phys_to_virt(to), phys_to_virt(f.pa), PAGE_SIZE);
	else
		__atomic_sub_fetch(&mem->populated, PAGE_SIZE, __ATOMIC_RELAXED);
	pt_thaw(&mem->pt, &f, to);
	if (f.level > FRAME_4K)
		frame_split(f.pa, mem->owner);
	frame_free(f.pa, FRAME_4K, mem->owner);
	return 0;
}

/* One at a time. */
static bool begin(struct guest_mem *mem)
{
	uint32_t none = GUEST_MOVE_NONE;

	return __atomic_compare_exchange_n(&mem->move, &none, GUEST_MOVE_WAITING, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

status_t guest_replace(struct guest_mem *mem, uint64_t gpa, void (*flush)(void *arg), void *arg)
{
	status_t status = -S_NOMEM;
	uint64_t to;

	if (!guest_is_ram(mem, gpa, 1))
		return -S_FAULT;
	if (!begin(mem))
		return -S_BUSY;
	to = frame_alloc_raw(mem->owner);
	if (to)
		status = move_page(mem, gpa, to, flush, arg);
	if (to && status)
		frame_free(to, FRAME_4K, mem->owner);
	set_move(mem, GUEST_MOVE_NONE);
	return status;
}

status_t guest_discard(struct guest_mem *mem, uint64_t gpa, void (*flush)(void *arg), void *arg)
{
	status_t status;

	if (!guest_is_ram(mem, gpa, 1))
		return -S_FAULT;
	if (!begin(mem))
		return -S_BUSY;
	status = move_page(mem, gpa, 0, flush, arg);
	set_move(mem, GUEST_MOVE_NONE);
	return status;
}
