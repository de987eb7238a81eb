/* SPDX-License-Identifier: BSD-2-Clause */
/* The physical CPU: its per-CPU data, descriptor tables, stacks and exception handling. */
#ifndef SOCLE_CPU_CPU_H
#define SOCLE_CPU_CPU_H

#include "socle/base.h"

/* Selectors of our GDT. */
enum { GDT_CODE = 0x08, GDT_DATA = 0x10, GDT_TSS = 0x18 };

/* Interrupt vectors that we use. */
enum host_vector {
	HOST_VEC_SERIAL = 0x30,	  /* console UART */
	HOST_VEC_CLOCK = 0x31,	  /* periodic interrupt of the real-time clock, in emulators */
	HOST_VEC_DEVICE = 0x40,	  /* all PCI functions that Socle drives */
	HOST_VEC_TIMER = 0xf0,	  /* local APIC timer */
	HOST_VEC_KICK = 0xf1,	  /* look at your requests */
	HOST_VEC_PMI = 0xf2,	  /* a guest's performance counter overflowed */
	HOST_VEC_SPURIOUS = 0xff, /* local APIC */
};

#define CPU_STACK_SLOT 0x8000ull /* address space of one stack, its guard page included */
#define CPU_STACK_SIZE 0x6000ull /* mapped top part of it */
#define CPU_MAX	       64

/* 64-bit TSS (SDM vol. 3, 8.7). */
struct __packed tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t iomap;
};
_Static_assert(sizeof(struct tss) == 104, "TSS");

/* 64-bit interrupt gate (SDM vol. 3, 6.14.1). */
struct __packed idt_gate {
	uint16_t offset_low;
	uint16_t selector;
	uint8_t ist;
	uint8_t type;
	uint16_t offset_mid;
	uint32_t offset_high;
	uint32_t reserved;
};
_Static_assert(sizeof(struct idt_gate) == 16, "IDT gate");

struct spinlock;

enum { VECTOR_DOUBLE_FAULT = 8, IST_DOUBLE_FAULT = 1 };

/* What each CPU owns. Found from its stack; only its CPU touches it unless said otherwise. */
struct __aligned(128) cpu
{
	struct idt_gate idt[256]; /* of its own, as the double fault's stack changes by the CPU */
	unsigned id;		  /* 0 is the boot CPU */
	uint32_t apic_id;	  /* of its local APIC; constant once it is on */
	uint64_t gdt[5];	  /* null, code, data, TSS (two entries) */
	struct tss tss;		  /* IST 1: double fault */
	void *host_area;	  /* the vendor's per-CPU page(s); owned by the vendor room */
	uint64_t host_area_pa;	  /* its host-physical address */
	uint32_t interrupts[256]; /* taken, by vector */
#ifdef LOCK_DEBUG
	struct spinlock *held[8]; /* locks, in the order in which they were taken */
	unsigned held_count;
#endif
};

/* All CPUs that run, by number; boot_cpu is the first. Filled at boot; then only read. */
extern struct cpu boot_cpu;
extern struct cpu *all_cpus[CPU_MAX];
extern unsigned cpu_count;

/* The CPU that runs this code: valid on every stack of ours. */
static __always_inline struct cpu *this_cpu(void)
{
	uintptr_t sp;

	__asm__("mov %%rsp,%0" : "=r"(sp));
	return *(struct cpu **)((sp | (CPU_STACK_SLOT - 1)) - 7);
}

/* Number of the CPU that runs this code. On the host, a test's thread says which it plays. */
#ifdef SOCLE_UNIT_TEST
static _Thread_local unsigned test_cpu_index __attribute__((unused));
#endif
static __always_inline unsigned cpu_index(void)
{
#ifdef SOCLE_UNIT_TEST
	return test_cpu_index;
#else
	return this_cpu()->id;
#endif
}

/* Registers as the exception stubs push them. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector;
	uint64_t error;
	uint64_t rip, cs, rflags, rsp, ss;
};

/* Loads the descriptor tables of @cpu, whose stacks are mapped. Once per CPU. */
void cpu_tables_load(struct cpu *cpu);

/*
 * Double faults use their own stack only while our own TSS is loaded: while a guest's is, its
 * base is the guest's choice. Of this CPU.
 */
static inline void cpu_double_fault_stack(bool own_tss)
{
	this_cpu()->idt[VECTOR_DOUBLE_FAULT].ist = own_tss ? IST_DOUBLE_FAULT : 0;
}

/* Calls @handler with interrupts off on each interrupt of @vector (0x20 to 0xfe). Bound at boot. */
void interrupt_bind(uint8_t vector, void (*handler)(void));

/*
 * Stops all other CPUs for good, by NMI, before the last words of this one. True if this CPU is
 * the first to ask for it. Any context.
 */
bool cpu_stop_others(void);

/* Resets CPU by a triple fault, as the last resort. */
void cpu_triple_fault(void) __noreturn;

/* Entry of the common C handler; called by the stubs. */
void trap_handle(struct trap_frame *frame);

#endif
