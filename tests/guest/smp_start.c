/* SPDX-License-Identifier: BSD-2-Clause */
/* INIT and start-up IPIs in both modes of the local APIC: who starts, where, and in what state. */
#include "smp.h"
#include "socle/guest/state.h"

const char test_name[] = "smp_start";

enum { APIC_BASE_BSP = BIT(8), APIC_BASE_X2APIC = BIT(10), CR0_PE_PG = 0x80000001u };

enum { VECTOR = 0x60 };

static volatile uint32_t counter, interrupts;

static void on_interrupt(struct frame *f)
{
	(void)f;
	atomic_add(&interrupts, 1);
	apic_eoi();
}

static void check_ids(void *unused)
{
	const struct smp_cpu *cpu = &smp_cpus[cpu_id()];
	uint32_t id = cpu->apic_id;

	(void)unused;
	check(apic_id() == id, "CPU %u: APIC ID register has %u", cpu->id, apic_id());
	check(cpuid(1, 0).ebx >> 24 == id, "CPU %u: CPUID 1 has APIC ID %u", cpu->id,
	      cpuid(1, 0).ebx >> 24);
	if (cpuid(0, 0).eax >= 0xb && cpuid(0xb, 0).ebx)
		check(cpuid(0xb, 0).edx == id && cpuid(0xb, 1).edx == id,
		      "CPU %u: CPUID 0xb has APIC ID %u", cpu->id, cpuid(0xb, 0).edx);
	if (cpuid(0x80000001, 0).ecx >> 22 & 1)
		check(cpuid(0x8000001e, 0).eax == id, "CPU %u: CPUID 0x8000001e has APIC ID %u",
		      cpu->id, cpuid(0x8000001e, 0).eax);
	check(!(cpu->apic_base & APIC_BASE_BSP) == (cpu->id != 0), "CPU %u: APIC base is %#lx",
	      cpu->id, cpu->apic_base);
	if (!hosted())
		return;
	check(cpuid(0xb, 1).ebx == smp_count, "CPUID 0xb counts %u", cpuid(0xb, 1).ebx);
	check((cpuid(1, 0).ebx >> 16 & 0xff) == smp_count, "CPUID 1 counts %u",
	      cpuid(1, 0).ebx >> 16 & 0xff);
	check(id == cpu->id, "CPU %u has APIC ID %u", cpu->id, id);
}

static void check_fresh(unsigned i)
{
	const struct smp_cpu *cpu = &smp_cpus[i];

	/* SDM vol. 3, table 9-1: state after INIT. */
	check(!(cpu->cr0 & CR0_PE_PG) && !cpu->cr4, "CPU %u starts with CR0 %#x, CR4 %#x", i,
	      cpu->cr0, cpu->cr4);
	check(cpu->svr == 0xff, "CPU %u starts with SVR %#x", i, cpu->svr);
}

/* MSRs that an INIT leaves alone (SDM vol. 3, table 9-1): SYSENTER, SYSCALL, kernel GS, PAT. */
static const struct {
	uint32_t index;
	uint64_t value; /* of a CPU that counts; inverted by INVERT for one that halts */
} kept[] = {
	{0x174, 0x10},			{0x175, 0x123456789000},     {0x176, 0x7fffffff0000},
	{0xc0000081, 0x23001000000000}, {0xc0000082, 0xffffffff81000000}, {0xc0000083, 0x7ff000},
	{0xc0000084, 0x47700},		{0xc0000102, 0x7ffff7d8e740}, {0x277, 0x0007010600070106},
};
enum { INVERT = 0x200 };

static uint64_t kept_value(unsigned n, bool halts)
{
	return kept[n].value ^ (halts && kept[n].index != 0x277 ? INVERT : 0);
}

static void write_kept(bool halts)
{
	for (unsigned n = 0; n < ARRAY_SIZE(kept); n++)
		wrmsr(kept[n].index, kept_value(n, halts));
}

static void check_kept(void *halts)
{
	for (unsigned n = 0; n < ARRAY_SIZE(kept); n++)
		check(rdmsr(kept[n].index) == kept_value(n, halts), "MSR %#x is %#lx after INIT",
		      kept[n].index, rdmsr(kept[n].index));
}

static void count(void *unused)
{
	(void)unused;
	write_kept(false);
	for (;;) {
		counter++;
		smp_open();
	}
}

static void halt(void *unused)
{
	(void)unused;
	write_kept(true);
	counter++;
	for (;;)
		irq_wait();
}

static bool counts(void)
{
	uint32_t before = counter;

	return WAIT_FOR(counter != before, 1000);
}

/* Further start-up IPIs and the end of an INIT mean nothing to a CPU that runs. */
static void check_ignored(unsigned i)
{
	uint32_t starts = smp_cpus[i].starts;

	smp_run(i, count, NULL);
	check(counts(), "CPU %u does not run", i);
	apic_ipi(smp_cpus[i].apic_id, ICR_STARTUP | ICR_ASSERT | SMP_PAGE_OTHER);
	if (!smp_x2apic)
		apic_ipi(smp_cpus[i].apic_id, ICR_INIT | ICR_LEVEL | ICR_ALL);
	delay_us(20000);
	check(counts(), "CPU %u does not go on", i);
	check(smp_cpus[i].starts == starts && !smp_strays, "CPU %u started again", i);
}

/* INIT stops a CPU whatever it does, and nothing but a start-up IPI has it run again. */
static void check_parking(unsigned i, bool halts)
{
	struct smp_cpu *cpu = &smp_cpus[i];
	uint64_t tsc = rdtsc(), adjust = rdmsr(0x3b);
	uint32_t stopped;

	check(adjust == 0 || !hosted(), "TSC_ADJUST is %#lx", adjust);
	smp_park(i);
	stopped = counter;
	apic_ipi(cpu->apic_id, ICR_ASSERT | VECTOR);
	delay_us(20000);
	check(counter == stopped, "CPU %u runs after INIT", i);
	check(smp_start(i, SMP_PAGE_OTHER), "CPU %u does not start again", i);
	check(cpu->page == SMP_PAGE_OTHER, "CPU %u started in page %u", i, cpu->page);
	check_fresh(i);
	check(cpu->tsc > tsc && cpu->tsc < rdtsc(), "CPU %u: TSC %#lx is not behind %#lx", i,
	      cpu->tsc, tsc);
	smp_run(i, check_kept, halts ? (void *)&counter : NULL);
	smp_join(i);
	/* SDM vol. 3, 11.12.5.1: INIT leaves the mode as it is. Bochs does not. */
	check(!(cpu->apic_base & APIC_BASE_X2APIC) == !smp_x2apic || !hosted(),
	      "CPU %u: APIC base is %#lx after INIT", i, cpu->apic_base);
	check(!smp_strays, "a CPU started twice");
}

static void check_broadcast(void)
{
	for (unsigned i = 1; i < smp_count; i++)
		smp_park(i);
	if (!check(smp_start_broadcast(), "not all CPUs start at a broadcast"))
		finish();
	delay_us(20000);
	check(!smp_strays, "%u CPUs started twice", smp_strays);
	for (unsigned i = 1; i < smp_count; i++)
		smp_park(i);
}

static void check_mode(void)
{
	for (unsigned i = 1; i < smp_count; i++) {
		if (!check(smp_start(i, SMP_PAGE), "CPU %u does not start", i))
			finish();
		check(smp_cpus[i].page == SMP_PAGE, "CPU %u started in page %u", i,
		      smp_cpus[i].page);
		check_fresh(i);
		check(!smp_strays, "a CPU started twice");
	}
	smp_run_all(check_ids, NULL);
	for (unsigned i = 1; i < smp_count; i++) {
		check_ignored(i);
		check_parking(i, false);
		smp_run(i, halt, NULL);
		check(counts(), "CPU %u does not run", i);
		check_parking(i, true);
	}
	smp_run_all(check_ids, NULL);
	/* Bochs keeps what was sent to a CPU that waits for its start. */
	check(!interrupts || !hosted(), "%u interrupts came through INIT", interrupts);
	check_broadcast();
	info("%u CPUs in %s mode", smp_count, smp_x2apic ? "x2APIC" : "xAPIC");
}

void test_main(void)
{
	smp_init(2, SMP_MAX);
	irq_set(VECTOR, on_interrupt);
	check_mode();
	if (cpuid(1, 0).ecx >> 21 & 1) {
		apic_enter_x2apic();
		check_mode();
	}
	check(smp_x2apic || !hosted(), "no x2APIC");
}
