/* SPDX-License-Identifier: BSD-2-Clause */
/* Several CPUs in a test guest: starting them, giving them work, their local APICs, waiting. */
#ifndef SMP_H
#define SMP_H

#include "rt.h"

/*
 * CPU 0 is the one that boots; the others are numbered as the MADT lists them. A CPU that has been
 * started polls for work with interrupts off. EXCEPTION_OF() is for CPU 0 alone; an exception that
 * nobody expects ends the guest from any CPU, and check() prints from any CPU.
 */
enum {
	SMP_MAX = 64,
	SMP_PAGE = 8,	     /* vector of the start-up IPIs: the first instruction's page */
	SMP_PAGE_OTHER = 7,  /* another one */
	SMP_PATIENCE = 60000, /* ms: a CPU that has not done by then is stuck */
	TIMING_LEAF = 0x40000010 /* Socle's CPUID: EAX TSC, EBX local APIC timer, in kHz */
};

struct smp_cpu {
	uint32_t id;			/* index in smp_cpus[]; at %gs:0 of the CPU */
	uint32_t apic_id;		/* as the MADT has it */
	volatile uint32_t starts;	/* how often it has come up */
	volatile uint32_t page;		/* in which page it began to run the last time */
	uint32_t cr0, cr4;		/* as they were then */
	uint32_t svr;			/* so was its local APIC */
	uint64_t apic_base;		/* MSR, likewise */
	uint64_t tsc;			/* likewise */
	void (*volatile fn)(void *arg); /* its work; NULL: it is idle */
	void *arg;
};
extern struct smp_cpu smp_cpus[SMP_MAX];

/* Other registers as they were when a CPU began to run the last time, 32 bits of each. */
struct smp_registers {
	uint32_t dr[4], dr6, dr7;
	uint32_t cr2, cr3;
	uint32_t efer, fs_base, gs_base;
	uint32_t reserved[5];
};
extern struct smp_registers smp_registers[SMP_MAX];
_Static_assert(sizeof(struct smp_registers) == 64, "smp.asm");
extern unsigned smp_count;

/* CPUs that began to run without having been asked for. */
extern volatile uint32_t smp_strays;

/*
 * Finds the CPUs and turns on CPU 0's local APIC. Skips the test if there are fewer than @least,
 * and leaves out those above @most. To be called first.
 */
void smp_init(unsigned least, unsigned most);

/* INIT, start-up IPI twice: CPU @cpu begins at page @page. False if it does not come up. */
bool smp_start(unsigned cpu, uint8_t page);
/* All CPUs but 0. Ends the test if one does not come up. */
void smp_start_others(void);
/* As smp_start_others(), by IPIs to all but oneself; the numbers go by who is first. */
bool smp_start_broadcast(void);
/* INIT: the CPU waits for a start-up IPI. */
void smp_park(unsigned cpu);

/* The CPU that runs this. */
static inline unsigned cpu_id(void)
{
	uint32_t id;

	__asm__ volatile("movl %%gs:0, %0" : "=r"(id));
	return id;
}

/* Has an idle CPU run @fn, which may turn interrupts on and off. */
void smp_run(unsigned cpu, void (*fn)(void *arg), void *arg);
/* Waits until it has; ends the test if it never does. */
void smp_join(unsigned cpu);
/* On all CPUs at the same time, this one included. */
void smp_run_all(void (*fn)(void *arg), void *arg);

/* Waits until all of smp_count CPUs have come here; all start from zeroes. */
struct meeting {
	volatile uint32_t arrived, round;
};
void smp_meet(struct meeting *meeting);

/* Each CPU is kept busy in another way: spinning, in HLT, with port I/O, in HLT for ever. */
void smp_keep_busy(void *unused);

/*
 * To be called in each round of a loop that keeps interrupts off and makes no exit: Bochs takes the
 * CPU from a guest only while it has them on, so there (option "opens") this turns them on.
 */
extern bool smp_opens;
static inline void smp_open(void)
{
	if (!smp_opens)
		return;
	irq_on();
	__asm__ volatile("nop" ::: "memory");
	irq_off();
}

static inline void pause(void)
{
	__asm__ volatile("pause" ::: "memory");
}

/* Waits at most @ms for @cond, and gives whether it came true. */
extern uint64_t tsc_per_ms;
#define WAIT_FOR(cond, ms)                                 \
	({                                                 \
		uint64_t end_ = rdtsc() + (ms)*tsc_per_ms; \
		while (!(cond) && rdtsc() < end_)          \
			pause();                           \
		(cond);                                    \
	})

/* A spin lock: 0 is free. For short pieces of code with interrupts off. */
static inline void spin_lock(volatile uint32_t *lock)
{
	while (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE))
		pause();
}
static inline void spin_unlock(volatile uint32_t *lock)
{
	__atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}
#define atomic_add(p, n) __atomic_add_fetch(p, n, __ATOMIC_SEQ_CST)

/*
 * The running CPU's local APIC, in the mode that smp_x2apic says: all CPUs are in the same one.
 * Registers by their xAPIC offsets. @low of an IPI is the low half of the ICR.
 */
extern bool smp_x2apic;
uint32_t apic_read(uint32_t reg);
void apic_write(uint32_t reg, uint32_t v);
void apic_ipi(uint32_t dest, uint32_t low);
/* The APIC ID that its register tells. */
uint32_t apic_id(void);
static inline void apic_eoi(void)
{
	apic_write(LAPIC_EOI, 0);
}
/* CPU 0 and those that are started from now on are in x2APIC mode; there is no way back. */
void apic_enter_x2apic(void);

/* Parts of an ICR (SDM vol. 3, 11.6.1). */
enum icr {
	ICR_FIXED = 0 << 8,
	ICR_LOWEST = 1 << 8,
	ICR_NMI = 4 << 8,
	ICR_INIT = 5 << 8,
	ICR_STARTUP = 6 << 8,
	ICR_MODE = 7 << 8,
	ICR_LOGICAL = 1 << 11,
	ICR_PENDING = 1 << 12,
	ICR_ASSERT = 1 << 14,
	ICR_LEVEL = 1 << 15,
	ICR_SELF = 1 << 18,
	ICR_ALL = 2 << 18,
	ICR_OTHERS = 3 << 18,
};

#endif
