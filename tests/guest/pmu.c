/* SPDX-License-Identifier: BSD-2-Clause */
/* Performance counters: they begin at 0, count this guest's instructions alone, and interrupt. */
#include "rt.h"

const char test_name[] = "pmu";

enum {
	P6_EVNTSEL = 0x186, P6_PERFCTR = 0xc1, GLOBAL_STATUS = 0x38e, GLOBAL_CTRL = 0x38f,
	GLOBAL_RESET = 0x390, AMD_SELECT = 0xc0010000, AMD_COUNTER = 0xc0010004,
	AMD_STATUS = 0xc0000300, AMD_CTL = 0xc0000301, AMD_CLR = 0xc0000302,
	LVT_PERF = 0x340, LVT_MASKED = BIT(16), VECTOR = 0x50, WIDTH = 48,
	INSTRUCTIONS = 0xc0, KERNEL = BIT(17), INTERRUPT = BIT(20), ENABLE = BIT(22),
	ROUNDS = 1000000, CPUIDS = 200, PERIOD = 5000,
	OVERHEAD = 2000, /* instructions around what is counted, at most */
};

static uint32_t select, counter, status, control, clear; /* 0: there is no such register */
static uint64_t enabled;				 /* general counters, in the control */

static bool is_amd(void)
{
	return cpuid(0, 0).ebx == 0x68747541;
}

/* Does a register keep a value? Emulators' take it and forget it. */
static bool keeps(uint32_t index, uint64_t value)
{
	uint64_t v = 0;
	bool ok = wrmsr_safe(index, value) == -1 && rdmsr_safe(index, &v) == -1 && v == value;

	wrmsr_safe(index, 0);
	return ok;
}

static void find_amd(void)
{
	select = AMD_SELECT;
	counter = AMD_COUNTER;
	if (cpuid(0x80000000, 0).eax < 0x80000022 || !(cpuid(0x80000022, 0).eax & 1))
		return;
	status = AMD_STATUS;
	control = AMD_CTL;
	clear = AMD_CLR;
	enabled = MASK((cpuid(0x80000022, 0).ebx & 0xf) - 1, 0);
}

static bool find_intel(void)
{
	struct cpuid a = cpuid(0, 0).eax >= 0xa ? cpuid(0xa, 0) : (struct cpuid){0};

	if ((a.eax & 0xff) < 2)
		return false;
	select = P6_EVNTSEL;
	counter = P6_PERFCTR;
	status = GLOBAL_STATUS;
	control = GLOBAL_CTRL;
	clear = GLOBAL_RESET;
	enabled = MASK((a.eax >> 8 & 0xff) - 1, 0);
	return true;
}

/* Nothing comes with the CPU from whoever had it before. */
static void begins_at_zero(void)
{
	uint64_t on = control ? rdmsr(control) : enabled;

	check(!rdmsr(select) && !rdmsr(counter), "at first, event select %#lx, counter %#lx",
	      rdmsr(select), rdmsr(counter));
	check(!status || !rdmsr(status), "at first, status %#lx", rdmsr(status));
	check(on == enabled, "at first, control %#lx", on);
}

static void loop(uint64_t rounds)
{
	__asm__ volatile("1:\tdecq %0\n\tjnz 1b" : "+r"(rounds)::"cc");
}

static void start(uint64_t from, uint64_t more)
{
	wrmsr(select, 0);
	wrmsr(counter, from);
	wrmsr(select, INSTRUCTIONS | KERNEL | ENABLE | more);
}

static uint64_t stop(void)
{
	wrmsr(select, 0);
	return rdmsr(counter);
}

static uint64_t rdpmc(uint32_t n)
{
	uint32_t lo, hi;

	__asm__ volatile("rdpmc" : "=a"(lo), "=d"(hi) : "c"(n));
	return lo | (uint64_t)hi << 32;
}

static void counts(void)
{
	uint64_t n, again;

	start(0, 0);
	loop(ROUNDS);
	n = stop();
	check(n >= 2 * ROUNDS && n <= 2 * ROUNDS + OVERHEAD, "%lu instructions counted as %lu",
	      2ul * ROUNDS, n);
	check(rdpmc(0) == n, "RDPMC gives %lu, not %lu", rdpmc(0), n);
	loop(ROUNDS);
	again = rdmsr(counter);
	check(again == n, "counted from %lu to %lu while off", n, again);
}

/* Each of these has the host do far more than is counted here. */
static void host_is_not_counted(void)
{
	uint64_t n;

	start(0, 0);
	for (unsigned i = 0; i < CPUIDS; i++)
		cpuid(0, 0);
	n = stop();
	check(n >= CPUIDS && n <= CPUIDS * 30 + OVERHEAD, "%u CPUIDs counted as %lu", CPUIDS, n);
}

static volatile unsigned interrupts;

static void on_overflow(struct frame *frame)
{
	interrupts++;
	/* Once. */
	wrmsr(select, 0);
	lapic_write(LAPIC_EOI, 0);
}

static void interrupts_at_overflow(void)
{
	lapic_enable();
	irq_set(VECTOR, on_overflow);
	lapic_write(LVT_PERF, VECTOR);
	/* Intel's legacy counters are written by 32 bits, with sign. */
	start((uint64_t)-PERIOD & (is_amd() ? MASK(WIDTH - 1, 0) : UINT64_MAX), INTERRUPT);
	irq_on();
	loop(ROUNDS);
	irq_off();
	stop();
	check(interrupts == 1, "%u interrupts at an overflow", interrupts);
	check(!status || (rdmsr(status) & 1), "overflow: status %#lx", rdmsr(status));
	check(!!(lapic_read(LVT_PERF) & LVT_MASKED) == !is_amd(), "overflow: LVT entry %#x",
	      lapic_read(LVT_PERF));
	if (clear)
		wrmsr(clear, 1);
	check(!status || !rdmsr(status), "cleared: status %#lx", rdmsr(status));
	/* Masked: an overflow, and no interrupt. */
	lapic_write(LVT_PERF, LVT_MASKED | VECTOR);
	start((uint64_t)-PERIOD & (is_amd() ? MASK(WIDTH - 1, 0) : UINT64_MAX), INTERRUPT);
	irq_on();
	loop(ROUNDS);
	irq_off();
	stop();
	check(interrupts == 1, "%u interrupts with a masked entry", interrupts);
	if (clear)
		wrmsr(clear, 1);
}

void test_main(void)
{
	uint64_t v;

	if (is_amd())
		find_amd();
	else if (!find_intel())
		skip("no PMU");
	if (rdmsr_safe(select, &v) != -1 || rdmsr_safe(counter, &v) != -1)
		skip("no PMU");
	if (hosted() && (!control || rdmsr_safe(control, &v) == -1))
		begins_at_zero();
	if (!keeps(select, INSTRUCTIONS) || !keeps(counter, PERIOD))
		skip("no PMU");
	if (control)
		wrmsr(control, enabled);
	counts();
	host_is_not_counted();
	interrupts_at_overflow();
}
