/* SPDX-License-Identifier: BSD-2-Clause */
/* Exceptions and interrupts taken by the hypervisor itself. */
#include "socle/cpu/apic.h"
#include "socle/cpu/cpu.h"
#include "socle/cpu/fixup.h"
#include "socle/cpu/regs.h"
#include "socle/cpu/trapsink.h"

enum { VECTOR_DB = 1, VECTOR_NMI = 2, VECTOR_GP = 13, FIRST_INTERRUPT = 32 };

static void (*handlers[256])(void);
static void (*fatal)(struct trap_frame *frame);

void trap_bind_fatal(void (*report)(struct trap_frame *frame))
{
	fatal = report;
}

void interrupt_bind(uint8_t vector, void (*handler)(void))
{
	handlers[vector] = handler;
}

/* One CPU has something terrible to say. */
static bool stopping;

static void stop(void)
{
	for (;;)
		__asm__ volatile("cli; hlt" ::: "memory");
}

bool cpu_stop_others(void)
{
	if (__atomic_exchange_n(&stopping, true, __ATOMIC_SEQ_CST))
		return false;
	if (cpu_count > 1)
		apic_nmi_others();
	return true;
}

static bool fix_up(struct trap_frame *frame)
{
	const struct fixup *f;

	for (f = SECTION_START(exception_table); f < SECTION_END(exception_table); f++) {
		if ((uintptr_t)&f->fault + f->fault != frame->rip)
			continue;
		frame->rip = (uintptr_t)&f->resume + f->resume;
		return true;
	}
	return false;
}

void trap_handle(struct trap_frame *frame)
{
	uint8_t vector = frame->vector;

	if (vector >= FIRST_INTERRUPT) {
		this_cpu()->interrupts[vector]++;
		if (handlers[vector])
			handlers[vector]();
		if (vector != HOST_VEC_SPURIOUS)
			apic_eoi();
		return;
	}
	if (vector == VECTOR_GP && fix_up(frame))
		return;
	/*
	 * We set no breakpoints, and #VMEXIT turns the guest's off; but Bochs lets a debug trap of
	 * the guest through to us. No guest may end the host with that.
	 */
	if (vector == VECTOR_DB) {
		__asm__ volatile("mov %0,%%db7" ::"r"(0x400ull));
		this_cpu()->interrupts[vector]++;
		return;
	}
	if (vector == VECTOR_NMI) {
		this_cpu()->interrupts[vector]++;
		if (__atomic_load_n(&stopping, __ATOMIC_RELAXED))
			stop();
		return;
	}
	if (fatal)
		fatal(frame);
	cpu_triple_fault();
}

void cpu_triple_fault(void)
{
	struct __packed {
		uint16_t limit;
		uint64_t base;
	} none = {0, 0};

	__asm__ volatile("lidt %0; ud2" ::"m"(none));
	__builtin_unreachable();
}
