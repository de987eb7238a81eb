/* SPDX-License-Identifier: BSD-2-Clause */
/* Several CPUs in a test guest: starting them, and giving them work. */
#include "smp.h"
#include "socle/guest/state.h"

enum {
	MSR_APIC_BASE = 0x1b,
	MSR_GS_BASE = 0xc0000101,
	STACKS = 0x2000000,
	STACK_SIZE = 0x4000
}; /* as in smp.asm */
enum { MADT_LAPIC = 0, MADT_X2APIC = 9, MADT_ENTRIES = 44 };

struct smp_cpu smp_cpus[SMP_MAX];
struct smp_registers smp_registers[SMP_MAX];
unsigned smp_count;
uint64_t tsc_per_ms;
bool smp_opens;

/* The numbers that CPUs take when they begin to run: @smp_next on, below @smp_end. */
volatile uint32_t smp_next, smp_end, smp_strays;

extern const uint8_t smp_code[], smp_code_gdtr[], smp_code_end[], gdtr[];
void smp_main(uint32_t id, uint32_t page, uint32_t cr0, uint32_t cr4) __noreturn;

static void find_cpus(unsigned most)
{
	const struct acpi_header *madt = acpi_find("APIC");
	const uint8_t *p = (const uint8_t *)madt;
	uint32_t flags, id;

	for (uint32_t at = MADT_ENTRIES; madt && at + 2 <= madt->length; at += p[at + 1]) {
		if (p[at + 1] < 2)
			break;
		if (p[at] == MADT_LAPIC) {
			id = p[at + 3];
			memcpy(&flags, p + at + 4, 4);
		} else if (p[at] == MADT_X2APIC) {
			memcpy(&id, p + at + 4, 4);
			memcpy(&flags, p + at + 8, 4);
		} else {
			continue;
		}
		if ((flags & 1) && smp_count < most)
			smp_cpus[smp_count++].apic_id = id;
	}
}

/* Takes over the CPU that runs this: its number, interrupt table and local APIC. */
static void begin(unsigned id)
{
	smp_cpus[id].id = id;
	wrmsr(MSR_GS_BASE, (uintptr_t)&smp_cpus[id]);
	smp_cpus[id].apic_base = rdmsr(MSR_APIC_BASE);
	if (smp_x2apic)
		wrmsr(MSR_APIC_BASE, smp_cpus[id].apic_base | BIT(10));
	smp_cpus[id].svr = apic_read(LAPIC_SVR);
	apic_write(LAPIC_SVR, 0x1ff);
	apic_write(LAPIC_TPR, 0);
}

/* A measurement is wrong if the CPU is taken away at its ends; Socle tells the rate. */
static void find_tsc_rate(void)
{
	uint64_t start;

	delay_us(1);
	start = rdtsc();
	delay_us(10000);
	tsc_per_ms = hosted() ? cpuid(TIMING_LEAF, 0).eax : (rdtsc() - start) / 10;
}

void smp_init(unsigned least, unsigned most)
{
	find_tsc_rate();
	find_cpus(MIN(most, (unsigned)SMP_MAX));
	if (smp_count < least)
		skip("needs %u CPUs, there are %u", least, smp_count);
	pic_init(0x20, 0xffff);
	begin(0);
	smp_opens = option("opens");
	output_shared = true;
}

void smp_main(uint32_t id, uint32_t page, uint32_t cr0, uint32_t cr4)
{
	struct smp_cpu *cpu = &smp_cpus[id];
	void (*fn)(void *);

	idt_load_again();
	begin(id);
	cpu->page = page;
	cpu->cr0 = cr0;
	cpu->cr4 = cr4;
	cpu->tsc = rdtsc();
	cpu->fn = NULL;
	atomic_add(&cpu->starts, 1);
	for (;;) {
		while (!(fn = cpu->fn))
			pause();
		fn(cpu->arg);
		irq_off();
		cpu->fn = NULL;
	}
}

/* Makes a page ready to begin in. */
static void prepare(uint8_t page)
{
	uint8_t *to = (uint8_t *)((uintptr_t)page << PAGE_SHIFT);

	memcpy(to, smp_code, (size_t)(smp_code_end - smp_code));
	memcpy(to + (smp_code_gdtr - smp_code), gdtr, 6);
}

/* INIT and two start-up IPIs, as the manual says (SDM vol. 3, 9.4.4.1). */
static void start_sequence(uint32_t dest, uint32_t shorthand, uint8_t page)
{
	prepare(page);
	apic_ipi(dest, shorthand | ICR_INIT | ICR_LEVEL | ICR_ASSERT);
	delay_us(10000);
	apic_ipi(dest, shorthand | ICR_STARTUP | ICR_ASSERT | page);
	delay_us(200);
	apic_ipi(dest, shorthand | ICR_STARTUP | ICR_ASSERT | page);
}

bool smp_start(unsigned cpu, uint8_t page)
{
	struct smp_cpu *c = &smp_cpus[cpu];
	uint32_t before = c->starts;

	smp_next = cpu;
	smp_end = cpu + 1;
	start_sequence(c->apic_id, 0, page);
	return WAIT_FOR(c->starts != before, 10000);
}

void smp_start_others(void)
{
	for (unsigned i = 1; i < smp_count; i++) {
		if (!check(smp_start(i, SMP_PAGE), "CPU %u does not start", i))
			finish();
	}
}

static bool all_started(const uint32_t *before)
{
	for (unsigned i = 1; i < smp_count; i++)
		if (smp_cpus[i].starts == before[i])
			return false;
	return true;
}

bool smp_start_broadcast(void)
{
	uint32_t before[SMP_MAX];

	for (unsigned i = 1; i < smp_count; i++)
		before[i] = smp_cpus[i].starts;
	smp_next = 1;
	smp_end = smp_count;
	start_sequence(0, ICR_OTHERS, SMP_PAGE);
	return WAIT_FOR(all_started(before), 10000);
}

void smp_park(unsigned cpu)
{
	apic_ipi(smp_cpus[cpu].apic_id, ICR_INIT | ICR_LEVEL | ICR_ASSERT);
	delay_us(10000);
}

void smp_run(unsigned cpu, void (*fn)(void *), void *arg)
{
	smp_cpus[cpu].arg = arg;
	barrier();
	smp_cpus[cpu].fn = fn;
}

void smp_join(unsigned cpu)
{
	if (!check(WAIT_FOR(!smp_cpus[cpu].fn, SMP_PATIENCE), "CPU %u does not come back", cpu))
		finish();
}

void smp_run_all(void (*fn)(void *), void *arg)
{
	for (unsigned i = 1; i < smp_count; i++)
		smp_run(i, fn, arg);
	fn(arg);
	irq_off();
	for (unsigned i = 1; i < smp_count; i++)
		smp_join(i);
}

void smp_meet(struct meeting *m)
{
	uint32_t round = m->round;

	if (atomic_add(&m->arrived, 1) == smp_count) {
		m->arrived = 0;
		m->round = round + 1;
	} else if (!check(WAIT_FOR(m->round != round, SMP_PATIENCE),
			  "CPU %u waits for others in vain", cpu_id())) {
		finish();
	}
}

static void nothing(struct frame *f)
{
	(void)f;
	apic_eoi();
}

void smp_keep_busy(void *unused)
{
	(void)unused;
	irq_set(0x40, nothing);
	switch (cpu_id() % 4) {
	case 0:
		for (;;) {
			smp_open();
			barrier();
		}
	case 1: /* woken now and then */
		apic_write(LAPIC_TDCR, 0xb);
		apic_write(LAPIC_LVTT, 0x20040);
		apic_write(LAPIC_TMICT, 1000000);
		for (;;)
			irq_wait();
	case 2:
		for (;;)
			inb(0x42);
	default:
		for (;;)
			__asm__ volatile("cli; hlt");
	}
}
