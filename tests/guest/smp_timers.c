/* SPDX-License-Identifier: BSD-2-Clause */
/* Each CPU has a local APIC timer of its own, in all modes, and sleeps in between. */
#include "smp.h"
#include "socle/guest/state.h"

const char test_name[] = "smp_timers";

enum {
	VECTOR = 0x50,
	SHOTS = 20,
	SHOT_MS = 3,
	LATE_MS = 20000,   /* as long as this, the host may have other things to do */
	LVT_PERIODIC = 1 << 17,
	LVT_DEADLINE = 2 << 17,
	LVT_MASKED = 1 << 16,
	MSR_TSC_DEADLINE = 0x6e0,
};

static volatile uint32_t ticks[SMP_MAX];
static uint32_t per_ms;
static struct meeting meeting;

static void on_tick(struct frame *f)
{
	(void)f;
	ticks[cpu_id()]++;
	apic_eoi();
}

static uint32_t measure(void)
{
	if (hosted())
		return cpuid(TIMING_LEAF, 0).ebx;
	apic_write(LAPIC_TDCR, 0xb);
	apic_write(LAPIC_LVTT, LVT_MASKED);
	apic_write(LAPIC_TMICT, 0xffffffff);
	delay_us(20000);
	return (0xffffffff - apic_read(LAPIC_TMCCT)) / 20;
}

/* Halts until there were @n ticks; gives how long it is since @start in microseconds. */
static uint64_t sleep_until(uint32_t n, uint64_t start)
{
	while (ticks[cpu_id()] < n)
		irq_wait();
	return (rdtsc() - start) * 1000 / tsc_per_ms;
}

static void check_time(const char *what, uint64_t us, uint64_t expected_ms)
{
	/* Bare, the clocks' rates were measured, which is not exact. */
	check(us >= expected_ms * (hosted() ? 999 : 900) && us < (expected_ms + LATE_MS) * 1000,
	      "CPU %u, %s: %lu us instead of %lu ms", cpu_id(), what, us, expected_ms);
}

/* More ticks than wanted would come within the time of one more. */
static void check_count(const char *what, uint32_t n)
{
	irq_on();
	delay_us(SHOT_MS * 2000);
	irq_off();
	check(ticks[cpu_id()] == n, "CPU %u, %s: %u ticks instead of %u", cpu_id(), what,
	      ticks[cpu_id()], n);
}

static void one_shots(unsigned id)
{
	ticks[id] = 0;
	apic_write(LAPIC_TDCR, 0xb);
	apic_write(LAPIC_LVTT, VECTOR);
	for (uint32_t n = 1; n <= SHOTS; n++) {
		/* Different on each CPU. */
		uint32_t ms = SHOT_MS + (n + id) % 3;
		uint64_t start = rdtsc();

		apic_write(LAPIC_TMICT, ms * per_ms);
		check_time("one shot", sleep_until(n, start), ms);
	}
	check_count("one shot", SHOTS);
}

static void periods(unsigned id)
{
	uint32_t ms = SHOT_MS + id;
	uint64_t start;

	ticks[id] = 0;
	apic_write(LAPIC_LVTT, LVT_PERIODIC | VECTOR);
	start = rdtsc();
	apic_write(LAPIC_TMICT, ms * per_ms);
	check_time("periodic", sleep_until(SHOTS, start), ms * SHOTS);
	apic_write(LAPIC_LVTT, LVT_MASKED);
	apic_write(LAPIC_TMICT, 0);
	irq_on();
	delay_us(1000);
	irq_off();
	ticks[id] = 0;
	check_count("stopped", 0);
}

static void deadlines(unsigned id)
{
	ticks[id] = 0;
	apic_write(LAPIC_LVTT, LVT_DEADLINE | VECTOR);
	__asm__ volatile("mfence" ::: "memory");
	for (uint32_t n = 1; n <= SHOTS; n++) {
		uint32_t ms = SHOT_MS + (n + id) % 3;
		uint64_t deadline = rdtsc() + ms * tsc_per_ms;

		wrmsr(MSR_TSC_DEADLINE, deadline);
		sleep_until(n, deadline);
		check(rdtsc() >= deadline, "CPU %u: the deadline came %lu cycles early", id,
		      deadline - rdtsc());
		/* SDM vol. 3, 11.5.4.1: it is disarmed then. Bochs keeps it. */
		check(!rdmsr(MSR_TSC_DEADLINE) || !hosted(), "CPU %u: the deadline stays", id);
	}
	check_count("deadline", SHOTS);
}

static void run(void *with_deadlines)
{
	unsigned id = cpu_id();

	smp_meet(&meeting);
	one_shots(id);
	smp_meet(&meeting);
	periods(id);
	smp_meet(&meeting);
	if (with_deadlines)
		deadlines(id);
}

void test_main(void)
{
	bool with_deadlines = cpuid(1, 0).ecx >> 24 & 1;

	smp_init(2, SMP_MAX);
	irq_set(VECTOR, on_tick);
	smp_start_others();
	per_ms = measure();
	check(with_deadlines || !hosted(), "no TSC deadlines");
	smp_run_all(run, with_deadlines ? (void *)1 : NULL);
	info("%u kHz, %s deadlines", per_ms, with_deadlines ? "with" : "without");
}
