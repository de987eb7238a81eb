/* SPDX-License-Identifier: BSD-2-Clause */
/* Run-time of the test guests: output, verdicts, exceptions, interrupts, ports, MSRs, clocks. */
#ifndef RT_H
#define RT_H

#include "socle/base.h"
#include "socle/format.h"
#include "socle/string.h"

/* What each test guest defines. */
extern const char test_name[];
void test_main(void);

/*
 * Verdicts. check() prints "FAIL: name: text" when @cond is false and goes on; pass() is what
 * test_main()'s return means: "PASS: name" if nothing failed. info() is for varying numbers.
 * The exit status, written to port 0xF4: 0 passed, 1 failed, 2 unexpected exception, 77 skipped.
 */
enum { STATUS_PASS = 0, STATUS_FAIL = 1, STATUS_TRAP = 2, STATUS_SKIP = 77 };
#define check(cond, ...)                   \
	({                                 \
		bool ok_ = (cond);         \
		if (!ok_)                  \
			fail(__VA_ARGS__); \
		ok_;                       \
	})
void fail(const char *fmt, ...) __printf(1, 2);
void info(const char *fmt, ...) __printf(1, 2);
void skip(const char *fmt, ...) __printf(1, 2) __noreturn;
void print(const char *fmt, ...) __printf(1, 2);
void finish(void) __noreturn;
/* Several CPUs may print from now on, a line each. */
extern bool output_shared;
void exit_with(uint8_t status) __noreturn;

/* The word "hosted" on the command line says that Socle is below. */
bool hosted(void);
bool option(const char *word);

/* Multiboot 1 information (specification 0.6.96, section 3.3). */
struct mb_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
	uint32_t syms[4];
	uint32_t mmap_length, mmap_addr;
	uint32_t drives_length, drives_addr, config_table, boot_loader_name;
};
struct mb_module {
	uint32_t start, end, string, reserved;
};
struct mb_mmap {
	uint32_t size;
	uint64_t base, length;
	uint32_t type;
} __packed;
extern uint32_t entry_eax, entry_ebx, entry_cr0, entry_eflags;
extern uint32_t entry_cs, entry_ds, entry_es, entry_fs, entry_gs, entry_ss;
/* By their numbers, but EAX and EBX; the low halves of the first eight. */
extern uint64_t entry_gpr[16];
extern char image_start[], image_end[];
static inline const struct mb_info *mb_info(void)
{
	return (const struct mb_info *)(uintptr_t)entry_ebx;
}

/* Registers at an exception or interrupt, as the stubs push them. */
struct frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

/* The exception that EXCEPTION_OF() caught last. */
struct trap {
	int vector; /* -1: none */
	uint64_t error, cr2, rip, rflags, dr6, rcx, rsi, rdi;
};
extern volatile struct trap last_trap;
bool trap_arm(void) __attribute__((returns_twice));
void trap_disarm(void);

/* Runs @statement and gives the vector of the exception that it raised, or -1. */
#define EXCEPTION_OF(statement)        \
	({                             \
		last_trap.vector = -1; \
		if (!trap_arm()) {     \
			statement;     \
			trap_disarm(); \
		}                      \
		last_trap.vector;      \
	})

typedef void (*irq_fn)(struct frame *frame);
void irq_set(uint8_t vector, irq_fn fn);
/* Changes the gate of @vector; used to break it on purpose. */
void idt_present(uint8_t vector, bool present);
void idt_ist(uint8_t vector, uint8_t ist);
void idt_load(void);
/* The same table on another CPU. */
void idt_load_again(void);
/* A handler of one's own, without the run-time's saving of registers: ends by iretq. */
void idt_direct(uint8_t vector, void (*entry)(void));

void user_call(void (*fn)(void));
#define user_return() __asm__ volatile("int $0x80" ::: "memory")

extern uint64_t page_pml4[512], page_pdpt[512], page_pd[2048];
extern uint64_t gdt[];
/* Replaces the 2 MiB mapping of @addr by 4 KiB pages and returns the entry of @addr. */
uint64_t *page_split(uint64_t addr);
static inline void invlpg(uint64_t addr)
{
	__asm__ volatile("invlpg (%0)" ::"r"(addr) : "memory");
}

#define IO_FN(suffix, type)                                                                 \
	static inline type in##suffix(uint16_t port)                                        \
	{                                                                                   \
		type v;                                                                     \
		__asm__ volatile("in" #suffix " %1, %0" : "=a"(v) : "Nd"(port) : "memory"); \
		return v;                                                                   \
	}                                                                                   \
	static inline void out##suffix(uint16_t port, type v)                               \
	{                                                                                   \
		__asm__ volatile("out" #suffix " %0, %1" ::"a"(v), "Nd"(port) : "memory");  \
	}
IO_FN(b, uint8_t)
IO_FN(w, uint16_t)
IO_FN(l, uint32_t)

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi)::"memory");
	return (uint64_t)hi << 32 | lo;
}

static inline uint64_t rdmsr(uint32_t index)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(index) : "memory");
	return (uint64_t)hi << 32 | lo;
}

static inline void wrmsr(uint32_t index, uint64_t v)
{
	__asm__ volatile("wrmsr" ::"c"(index), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))
			 : "memory");
}

/* The vector of the exception, or -1. */
int rdmsr_safe(uint32_t index, uint64_t *v);
int wrmsr_safe(uint32_t index, uint64_t v);

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};
static inline struct cpuid cpuid(uint32_t leaf, uint32_t sub)
{
	struct cpuid r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(sub));
	return r;
}

#define CR_FN(n)                                                            \
	static inline uint64_t read_cr##n(void)                             \
	{                                                                   \
		uint64_t v;                                                 \
		__asm__ volatile("mov %%cr" #n ", %0" : "=r"(v)::"memory"); \
		return v;                                                   \
	}                                                                   \
	static inline void write_cr##n(uint64_t v)                          \
	{                                                                   \
		__asm__ volatile("mov %0, %%cr" #n ::"r"(v) : "memory");    \
	}
CR_FN(0)
CR_FN(2)
CR_FN(3)
CR_FN(4)
CR_FN(8)

static inline void irq_on(void)
{
	__asm__ volatile("sti; nop" ::: "memory");
}
static inline void irq_off(void)
{
	__asm__ volatile("cli" ::: "memory");
}
/* Waits for one interrupt without losing one that came before; interrupts are off afterwards. */
static inline void irq_wait(void)
{
	__asm__ volatile("sti; hlt; cli" ::: "memory");
}

/* Clocks. */
enum { PM_TIMER_PORT = 0x608, PM_TIMER_HZ = 3579545, PIT_HZ = 1193182 };
void pm_delay(uint32_t ticks);
static inline void delay_us(uint32_t us)
{
	pm_delay((uint32_t)((uint64_t)us * PM_TIMER_HZ / 1000000));
}
/* Programs channel 0: rate generator (mode 2) or one-shot (mode 0) with @count. */
void pit_start(uint8_t mode, uint16_t count);
void pic_init(uint8_t base, uint16_t mask);

/* Local APIC (xAPIC window) and I/O APIC at their usual places. */
enum {
	LAPIC_ID = 0x20,
	LAPIC_VERSION = 0x30,
	LAPIC_TPR = 0x80,
	LAPIC_EOI = 0xb0,
	LAPIC_LDR = 0xd0,
	LAPIC_DFR = 0xe0,
	LAPIC_SVR = 0xf0,
	LAPIC_ISR = 0x100,
	LAPIC_IRR = 0x200,
	LAPIC_ESR = 0x280,
	LAPIC_ICR = 0x300,
	LAPIC_ICR2 = 0x310,
	LAPIC_LVTT = 0x320,
	LAPIC_LVT0 = 0x350,
	LAPIC_LVT1 = 0x360,
	LAPIC_TMICT = 0x380,
	LAPIC_TMCCT = 0x390,
	LAPIC_TDCR = 0x3e0,
};
#define LAPIC_BASE  0xfee00000ull
#define IOAPIC_BASE 0xfec00000ull
static inline uint32_t mmio_read(uint64_t addr)
{
	uint32_t v;

	__asm__ volatile("movl (%1), %0" : "=r"(v) : "r"(addr) : "memory");
	return v;
}
static inline void mmio_write(uint64_t addr, uint32_t v)
{
	__asm__ volatile("movl %0, (%1)" ::"r"(v), "r"(addr) : "memory");
}
static inline uint32_t lapic_read(uint32_t reg)
{
	return mmio_read(LAPIC_BASE + reg);
}
static inline void lapic_write(uint32_t reg, uint32_t v)
{
	mmio_write(LAPIC_BASE + reg, v);
}
uint32_t ioapic_read(uint8_t reg);
void ioapic_write(uint8_t reg, uint32_t v);
/* Turns the local APIC on with spurious vector 0xff, and masks the PICs. */
void lapic_enable(void);

/*
 * Leaves long mode for another mode, runs a fixed piece of code there (rt/modes.asm) and comes
 * back. Interrupts must be off. The results are in mode_result.
 */
enum mode { MODE_COMPAT, MODE_PM32, MODE_PAGED32, MODE_PAE, MODE_REAL };
struct mode_result {
	uint32_t cpuid_eax;  /* highest leaf, read in that mode */
	uint32_t port;	     /* what port 0x1234 gave to a 32-bit read */
	uint32_t lapic;	     /* local APIC version, through memory */
	uint32_t sum;	     /* 1 + ... + 100 */
	uint32_t tpr;	     /* TPR after it was set to 0x50 */
	uint32_t interrupts; /* real mode: software and timer interrupts taken */
	uint32_t string;     /* last byte that a string input from port 0x1234 stored */
};
extern volatile struct mode_result mode_result;
void mode_call(enum mode mode);

/* Goes @rounds times through all modes (rt/flip.asm), 8 switches each; returns their number. */
uint64_t mode_flip(uint32_t rounds);

/* ACPI tables, found as an operating system does. NULL if there is none. */
struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision, creator, creator_revision;
} __packed;
const struct acpi_header *acpi_find(const char *signature);
bool acpi_checksum_ok(const void *p, size_t len);
/* The root pointer's address; 0 if there is none. */
uintptr_t acpi_rsdp(void);
/* The PM timer's port, as the FADT has it. */
uint16_t acpi_pm_timer(void);
/* Turns the machine off through PM1a_CNT and the _S5 package; returns only if that fails. */
void acpi_poweroff(void);

#endif
