/* SPDX-License-Identifier: BSD-2-Clause */
/* Has a VM's vCPUs forget translations, and waits until those that run have. */
#include "socle/kernel/vm.h"

enum { ASK_AGAIN = 256 }; /* looks */

/* @v's CPU may hold translations, or pointers, that are no longer good. */
static bool is_stale(const struct vcpu *v)
{
	if (__atomic_load_n(&v->state, __ATOMIC_SEQ_CST) != VCPU_RUNNING)
		return false;
	return (__atomic_load_n(&v->requests, __ATOMIC_SEQ_CST) & VCPU_REQ_FLUSH) ||
	       !guest_mem_seen_by(&v->vm->mem, __atomic_load_n(&v->cpu, __ATOMIC_RELAXED));
}

void vm_flush_begin(struct vm *vm, struct vcpu *self)
{
	/* Those that do not run will flush before they do. */
	for (unsigned i = 0; i < vm->settings.cpus; i++) {
		if (vm->vcpu[i] == self)
			vcpu_request_self(self, VCPU_REQ_FLUSH);
		else
			vcpu_request(vm->vcpu[i], VCPU_REQ_FLUSH);
	}
}

/* Those who use its memory for a moment without running it. None of them waits for us. */
static void wait_for_visitors(const struct vm *vm)
{
	for (unsigned cpu = 0; cpu < cpu_count; cpu++)
		while (guest_mem_visited(&vm->mem, cpu))
			__asm__ volatile("pause");
}

void vm_flush(struct vm *vm, struct vcpu *self)
{
	vm_flush_begin(vm, self);
	for (unsigned i = 0; i < vm->settings.cpus; i++) {
		struct vcpu *v = vm->vcpu[i];

		for (unsigned looks = 1; v != self && is_stale(v); looks++) {
			/*
			 * It may have used the page again since it flushed. Asked at each look, one
			 * that comes by again and again would be found asked each time, and for
			 * ever where CPUs go in step, as emulated ones do.
			 */
			if (looks % ASK_AGAIN == 0)
				vcpu_request(v, VCPU_REQ_FLUSH);
			__asm__ volatile("pause");
		}
	}
	wait_for_visitors(vm);
}
