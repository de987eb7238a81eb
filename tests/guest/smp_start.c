/* SPDX-License-Identifier: BSD-2-Clause */
/* INIT and start-up IPIs in both modes of the local APIC: who starts, where, and in what state. */
#include "smp.h"
#include "socle/guest/state.h"

const char test_name[] = "smp_start";

enum { APIC_BASE_BSP = BIT(8), APIC_BASE_X2APIC = BIT(10), CR0_PE_PG = 0x80000001u };

enum { CR0_ET = BIT(4), CR0_CD = BIT(30), CR4_OSXSAVE = BIT(18), DR7_LE_GE = 3 << 8 };
enum { MSR_MTRR_DEF_TYPE = 0x2ff, MSR_FS_BASE = 0xc0000100, MSR_TSC_AUX = 0xc0000103 };
enum { DR6_RESET = 0xffff0ff0u, DR7_RESET = 0x400 };

enum { VECTOR = 0x60, PATIENCE = 10000 /* ms */ };

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

	/* SDM vol. 3, table 10-1: state after INIT. */
	check(!(cpu->cr0 & CR0_PE_PG) && !cpu->cr4, "CPU %u starts with CR0 %#x, CR4 %#x", i,
	      cpu->cr0, cpu->cr4);
	check(cpu->svr == 0xff, "CPU %u starts with SVR %#x", i, cpu->svr);
}

/* MSRs that an INIT leaves alone (SDM vol. 3, table 10-1): SYSENTER, SYSCALL, kernel GS, PAT. */
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

/* Other state that it leaves alone, as a mark, and other values than its own in what it sets. */
enum { FCW = 0x27f, XMM0 = 0x5eed, XCR0 = 3, TSC_AUX = 0x77, MTRR_DEF_TYPE = 0x806 };

static bool has_xsave(void)
{
	return cpuid(1, 0).ecx >> 26 & 1;
}

static bool has_rdtscp(void)
{
	return cpuid(0x80000001, 0).edx >> 27 & 1;
}

static void leave_marks(void)
{
	uint16_t fcw = FCW;
	uint64_t xmm0 = XMM0;

	if (has_rdtscp())
		wrmsr(MSR_TSC_AUX, TSC_AUX);
	wrmsr(MSR_MTRR_DEF_TYPE, MTRR_DEF_TYPE);
	wrmsr(MSR_FS_BASE, 0x1234000);
	write_cr2(0x2345000);
	__asm__ volatile("mov %0, %%dr0" ::"r"(0x10000ull));
	__asm__ volatile("mov %0, %%dr1" ::"r"(0x20000ull));
	__asm__ volatile("mov %0, %%dr2" ::"r"(0x30000ull));
	__asm__ volatile("mov %0, %%dr3" ::"r"(0x40000ull));
	__asm__ volatile("mov %0, %%dr6" ::"r"((uint64_t)DR6_RESET | 0xf));
	__asm__ volatile("mov %0, %%dr7" ::"r"((uint64_t)DR7_RESET | DR7_LE_GE));
	__asm__ volatile("fninit; fldcw %0; movq %1, %%xmm0" ::"m"(fcw), "m"(xmm0));
	if (has_xsave()) {
		write_cr4(read_cr4() | CR4_OSXSAVE);
		__asm__ volatile("xsetbv" ::"c"(0), "a"(XCR0), "d"(0));
	}
	write_cr0(read_cr0() | CR0_CD);
}

/* SDM vol. 3, table 10-1; APM vol. 2, table 14-1. QEMU resets the MTRRs and all of CR0, too. */
static void check_marks(void)
{
	uint16_t fcw;
	uint64_t xmm0;
	uint32_t xcr0 = XCR0, high;
	unsigned i = cpu_id();

	__asm__ volatile("fnstcw %0; movq %%xmm0, %1" : "=m"(fcw), "=m"(xmm0));
	if (has_xsave()) {
		write_cr4(read_cr4() | CR4_OSXSAVE);
		__asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
	}
	check(!has_rdtscp() || rdmsr(MSR_TSC_AUX) == TSC_AUX, "CPU %u: TSC_AUX is %#lx after INIT",
	      i, rdmsr(MSR_TSC_AUX));
	check(rdmsr(MSR_MTRR_DEF_TYPE) == MTRR_DEF_TYPE || !hosted(),
	      "CPU %u: MTRR_DEF_TYPE is %#lx after INIT", i, rdmsr(MSR_MTRR_DEF_TYPE));
	check(fcw == FCW && xmm0 == XMM0, "CPU %u: FCW %#x, XMM0 %#lx after INIT", i, fcw, xmm0);
	check(xcr0 == XCR0, "CPU %u: XCR0 is %#x after INIT", i, xcr0);
}

static void check_kept(void *halts)
{
	for (unsigned n = 0; n < ARRAY_SIZE(kept); n++)
		check(rdmsr(kept[n].index) == kept_value(n, halts), "MSR %#x is %#lx after INIT",
		      kept[n].index, rdmsr(kept[n].index));
	check_marks();
}

/* What INIT sets although a CPU had run: the rest of check_fresh(). */
static void check_set(unsigned i)
{
	const struct smp_registers *r = &smp_registers[i];

	check(smp_cpus[i].cr0 == (CR0_ET | CR0_CD) || !hosted(), "CPU %u: CR0 is %#x after INIT", i,
	      smp_cpus[i].cr0);
	check(!(r->dr[0] | r->dr[1] | r->dr[2] | r->dr[3]),
	      "CPU %u: DR0 to DR3 are %#x, %#x, %#x and %#x after INIT", i, r->dr[0], r->dr[1],
	      r->dr[2], r->dr[3]);
	check(r->dr6 == DR6_RESET && r->dr7 == DR7_RESET, "CPU %u: DR6 %#x, DR7 %#x after INIT", i,
	      r->dr6, r->dr7);
	check(!(r->cr2 | r->cr3 | r->efer), "CPU %u: CR2 %#x, CR3 %#x, EFER %#x after INIT", i,
	      r->cr2, r->cr3, r->efer);
	check(!(r->fs_base | r->gs_base), "CPU %u: FS.base %#x, GS.base %#x after INIT", i,
	      r->fs_base, r->gs_base);
}

static void count(void *unused)
{
	(void)unused;
	write_kept(false);
	leave_marks();
	for (;;) {
		counter++;
		smp_open();
	}
}

static void halt(void *unused)
{
	(void)unused;
	write_kept(true);
	leave_marks();
	counter++;
	for (;;)
		irq_wait();
}

static bool counts(void)
{
	uint32_t before = counter;

	return WAIT_FOR(counter != before, PATIENCE);
}

/* The host may let the CPU run on for a while. */
static bool stops(void)
{
	uint64_t end = rdtsc() + PATIENCE * tsc_per_ms;
	uint32_t before;

	do {
		before = counter;
		delay_us(20000);
	} while (counter != before && rdtsc() < end);
	return counter == before;
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

	check(adjust == 0 || !hosted(), "TSC_ADJUST is %#lx", adjust);
	smp_park(i);
	apic_ipi(cpu->apic_id, ICR_ASSERT | VECTOR);
	check(stops(), "CPU %u runs after INIT", i);
	check(smp_start(i, SMP_PAGE_OTHER), "CPU %u does not start again", i);
	check(cpu->page == SMP_PAGE_OTHER, "CPU %u started in page %u", i, cpu->page);
	check_fresh(i);
	check_set(i);
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
