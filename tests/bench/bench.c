/* SPDX-License-Identifier: BSD-2-Clause */
/* What each kind of exit costs, in TSC ticks: one instruction each under QEMU's -icount shift=0. */
#include "rt.h"

const char test_name[] = "bench";

enum { ROUNDS = 1000, TIMER_TICKS = 50000, GENUINE_INTEL = 0x756e6547 };

static uint64_t loop_cost; /* of ROUNDS empty rounds, in ticks */

/* Ticks of ROUNDS times @code, the loop itself not included. */
#define MEASURE(code)                                      \
	({                                                 \
		uint64_t start_ = rdtsc();                 \
		for (unsigned i_ = 0; i_ < ROUNDS; i_++) { \
			barrier();                         \
			code;                              \
		}                                          \
		rdtsc() - start_ - loop_cost;              \
	})

/* The first round populates pages and caches: it is not counted. */
#define ROW(name, code)                              \
	do {                                         \
		code;                                \
		report(name, MEASURE(code), ROUNDS); \
	} while (0)

static void report(const char *name, uint64_t ticks, unsigned rounds)
{
	print("BENCH: %s %lu\n", name, (ticks + rounds / 2) / rounds);
}

/* The shortest handler that ends its interrupt. */
__asm__(".globl eoi_handler\n"
	"eoi_handler: push %rax\n"
	"mov $0xfee000b0, %eax\n"
	"movl $0, (%rax)\n"
	"pop %rax\n"
	"iretq\n");
void eoi_handler(void);

/* Loads at 256 different addresses of code, so that none was decoded before. */
__asm__(".balign 4096\n"
	".globl fresh_loads\n"
	"fresh_loads: mov $0xfec00010, %eax\n"
	".rept 256\n"
	"movl (%rax), %ecx\n"
	".endr\n"
	"ret\n");
void fresh_loads(void);

static void exits(void)
{
	uint32_t msr = cpuid(7, 0).ebx >> 1 & 1 ? 0x3b : 0x1b; /* TSC_ADJUST or APIC base */
	uint64_t v = rdmsr(msr);

	ROW("cpuid", cpuid(0, 0));
	/* Intel's CPUs know no VMMCALL, AMD's no VMCALL. */
	if (hosted() && cpuid(0, 0).ebx == GENUINE_INTEL)
		ROW("vmcall", __asm__ volatile("vmcall" ::"a"(~0u), "b"(0), "c"(0), "d"(0)
					       : "memory"));
	else if (hosted())
		ROW("vmmcall", __asm__ volatile("vmmcall" ::"a"(~0u), "b"(0), "c"(0), "d"(0)
						: "memory"));
	ROW("port_read", inb(0x21));
	ROW("port_write", outb(0x21, 0xff));
	ROW("port_unknown", inb(0x1234));
	ROW("msr_read", rdmsr(msr));
	ROW("msr_write", wrmsr(msr, v));
	mmio_write(IOAPIC_BASE, 0x12);
	uint64_t start = rdtsc();
	fresh_loads();
	report("mmio_read_decode", rdtsc() - start, 256);
	ROW("mmio_read", mmio_read(IOAPIC_BASE + 0x10));
	ROW("mmio_write", mmio_write(IOAPIC_BASE, 0x12));
	ROW("apic_read", lapic_read(LAPIC_ID));
	ROW("apic_tpr_write", lapic_write(LAPIC_TPR, 0));
	ROW("apic_eoi", lapic_write(LAPIC_EOI, 0));
	irq_on();
	ROW("self_ipi", lapic_write(LAPIC_ICR, 0x40060));
	irq_off();
}

/* What HLT and its wake-up by the timer add to the time that was asked for. */
static void halt(void)
{
	uint64_t total = 0, asked = 0;

	lapic_write(LAPIC_TDCR, 0xb);
	lapic_write(LAPIC_LVTT, 0x10060);
	lapic_write(LAPIC_TMICT, 0xffffffff);
	uint32_t count = lapic_read(LAPIC_TMCCT);
	uint64_t tsc = rdtsc();
	while (rdtsc() - tsc < 10000000)
		;
	count -= lapic_read(LAPIC_TMCCT);
	tsc = rdtsc() - tsc;
	info("TSC/APIC timer ratio * 1000: %lu", tsc * 1000 / count);
	lapic_write(LAPIC_TMICT, 0);
	lapic_write(LAPIC_LVTT, 0x60);
	for (unsigned i = 0; i < 100; i++) {
		uint64_t start = rdtsc();
		lapic_write(LAPIC_TMICT, TIMER_TICKS);
		irq_wait();
		total += rdtsc() - start;
		asked += TIMER_TICKS * tsc / count;
	}
	report("hlt_wake", total > asked ? total - asked : 0, 100);
}

/* Memory that nobody touched: each 4 KiB page of one MiB, then one page of each 2 MiB. */
static void first_touch(void)
{
	uint64_t start = rdtsc();

	for (uint64_t a = 22 * MiB; a < 23 * MiB; a += PAGE_SIZE)
		*(volatile uint8_t *)a = 1;
	report("page_touch", rdtsc() - start, 256);
	start = rdtsc();
	for (uint64_t a = 24 * MiB; a < 56 * MiB; a += 2 * MiB)
		*(volatile uint8_t *)a = 1;
	report("page_touch_far", rdtsc() - start, 16);
}

/* The guest's own registers: no exit at all. */
static void direct(void)
{
	uint64_t cr0 = read_cr0(), cr3 = read_cr3();

	ROW("fs_base_write", wrmsr(0xc0000100, 0));
	ROW("gs_kernel_write", wrmsr(0xc0000102, 0));
	ROW("lstar_write", wrmsr(0xc0000082, 0));
	ROW("cr3_write", write_cr3(cr3));
	ROW("cr0_wp_pair", write_cr0(cr0 & ~BIT(16)); write_cr0(cr0));
	ROW("cr8_write", write_cr8(0));
	ROW("invlpg", invlpg(0x1000));
	ROW("rdtsc", rdtsc());
}

/* How many exits it gets within 100 million ticks: fewer, if others take its time. */
static void exits_in_time(void)
{
	uint64_t end = rdtsc() + 100000000, n = 0;

	for (; rdtsc() < end; n++)
		cpuid(0, 0);
	print("BENCH: exits_in_time %lu\n", n);
}

/* A neighbour that does nothing. */
static __noreturn void idle(void)
{
	for (;;)
		irq_wait();
}

void test_main(void)
{
	if (option("idle"))
		idle();
	lapic_enable();
	idt_direct(0x60, eoi_handler);
	loop_cost = 0;
	loop_cost = MEASURE(barrier());
	info("loop of %u: %lu ticks", (unsigned)ROUNDS, loop_cost);
	first_touch();
	exits();
	halt();
	direct();
	exits_in_time();
}
