/* SPDX-License-Identifier: BSD-2-Clause */
/* Exceptions and interrupts of a test guest: table, recovery, handlers. */
#include "cet.h"
#include "rt.h"

struct gate {
	uint16_t offset_lo;
	uint16_t selector;
	uint8_t ist;
	uint8_t attr; /* present, DPL, type */
	uint16_t offset_mid;
	uint32_t offset_hi;
	uint32_t zero;
};

extern const uint64_t trap_stubs[256];
extern volatile uint32_t trap_armed;
extern char trap_recover[], user_end[];
void trap_entry(struct frame *frame);

static struct gate idt[256] __aligned(16);
static irq_fn handlers[256];
volatile struct trap last_trap;
bool trap_cet;
volatile struct trap_cet_state trap_cet_state;

static void gate_set(unsigned v, uint64_t entry)
{
	idt[v] = (struct gate){
		.offset_lo = (uint16_t)entry,
		.selector = 0x08,
		.attr = v == 0x80 ? 0xee : 0x8e,
		.offset_mid = (uint16_t)(entry >> 16),
	};
}

void idt_direct(uint8_t vector, void (*entry)(void))
{
	gate_set(vector, (uintptr_t)entry);
}

void idt_load_again(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __packed idtr = {sizeof(idt) - 1, (uintptr_t)idt};

	__asm__ volatile("lidt %0" ::"m"(idtr));
}

void idt_load(void)
{
	for (unsigned v = 0; v < 256; v++)
		gate_set(v, trap_stubs[v]);
	idt_ist(8, 1);
	idt_load_again();
}

void idt_present(uint8_t vector, bool present)
{
	idt[vector].attr = (uint8_t)((idt[vector].attr & 0x7f) | (present ? 0x80 : 0));
}

void idt_ist(uint8_t vector, uint8_t ist)
{
	idt[vector].ist = ist;
}

void irq_set(uint8_t vector, irq_fn fn)
{
	handlers[vector] = fn;
}

void trap_disarm(void)
{
	trap_armed = 0;
}

/*
 * A way out that the shadow stack knows nothing of, so the supervisor's is turned off; and indirect
 * branch tracking with it, before anything is called through a pointer.
 */
static __always_inline void leave_cet(void)
{
	uint64_t ssp = 0;

	if (!trap_cet)
		return;
	__asm__ volatile("rdsspq %0" : "+r"(ssp));
	trap_cet_state.ssp = ssp;
	trap_cet_state.s_cet = rdmsr(MSR_S_CET);
	trap_cet_state.u_cet = rdmsr(MSR_U_CET);
	wrmsr(MSR_S_CET, 0);
}

void trap_entry(struct frame *f)
{
	leave_cet();
	if (handlers[f->vector & 0xff]) {
		handlers[f->vector & 0xff](f);
		return;
	}
	if (f->vector == 0x80) {
		f->rip = (uintptr_t)user_end;
		f->cs = 0x08;
		f->ss = 0x10;
		return;
	}
	if (trap_armed) {
		trap_armed = 0;
		last_trap.vector = (int)f->vector;
		last_trap.error = f->error;
		last_trap.cr2 = read_cr2();
		last_trap.rip = f->rip;
		last_trap.rcx = f->rcx;
		last_trap.rsi = f->rsi;
		last_trap.rdi = f->rdi;
		last_trap.rflags = f->rflags;
		__asm__ volatile("mov %%dr6, %0" : "=r"(last_trap.dr6));
		f->rip = (uintptr_t)trap_recover;
		f->cs = 0x08;
		f->ss = 0x10;
		f->rflags = 2;
		return;
	}
	fail("unexpected vector %d error %#lx rip %#lx cs %#lx cr2 %#lx", (int)f->vector, f->error,
	     f->rip, f->cs, read_cr2());
	exit_with(STATUS_TRAP);
}
