/* SPDX-License-Identifier: BSD-2-Clause */
/* An interrupt from another CPU ends HLT, every time; with interrupts off only an NMI does. */
#include "smp.h"
#include "socle/guest/state.h"

const char test_name[] = "ipi_wake";

enum {
	VECTOR = 0x52,
	WATCHDOG = 0x60,
	ROUNDS = 10000,
	ROUNDS_ALL = 1000,
	WATCHDOG_S = 60,
	JITTER = 64, /* most steps between the two sides */
	NMI_TRIES = 20,
};

static volatile uint32_t got[SMP_MAX], nmis, woke;
static volatile bool timeout, stop;

static void on_ipi(struct frame *f)
{
	(void)f;
	got[cpu_id()]++;
	apic_eoi();
}

static void on_nmi(struct frame *f)
{
	(void)f;
	nmis++;
}

/* Without it a lost interrupt would have CPU 0 halt for ever. */
static void on_watchdog(struct frame *f)
{
	(void)f;
	timeout = true;
	apic_eoi();
}

static void start_watchdog(void)
{
	uint32_t per_10ms;

	apic_write(LAPIC_TDCR, 0xa); /* divide by 128 */
	apic_write(LAPIC_LVTT, 0x10000);
	apic_write(LAPIC_TMICT, 0xffffffff);
	delay_us(10000);
	per_10ms = 0xffffffff - apic_read(LAPIC_TMCCT);
	apic_write(LAPIC_LVTT, WATCHDOG);
	apic_write(LAPIC_TMICT, per_10ms * 100 * WATCHDOG_S);
}

/* Halts until @n interrupts came in all; the next one may come at any moment of this. */
static void halt_until(uint32_t n)
{
	volatile uint32_t *mine = &got[cpu_id()];

	while (*mine < n && !timeout)
		irq_wait();
}

static void wait_steps(uint32_t *seed)
{
	*seed = *seed * 1103515245 + 12345;
	for (uint32_t n = (*seed >> 16) % JITTER; n; n--)
		barrier();
}

static void answer(void *unused)
{
	uint32_t seed = 1;

	(void)unused;
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		halt_until(i);
		wait_steps(&seed);
		apic_ipi(smp_cpus[0].apic_id, ICR_ASSERT | VECTOR);
	}
}

static void ping_pong(void)
{
	uint32_t seed = 2, i;

	smp_run(1, answer, NULL);
	for (i = 1; i <= ROUNDS && !timeout; i++) {
		wait_steps(&seed);
		apic_ipi(smp_cpus[1].apic_id, ICR_ASSERT | VECTOR);
		halt_until(i);
	}
	if (!check(!timeout, "round %u of %u: %u came to CPU 1, %u came back", i - 1, ROUNDS,
		   got[1], got[0]))
		finish();
	smp_join(1);
	check(got[0] == ROUNDS && got[1] == ROUNDS, "%u rounds: %u and %u interrupts", ROUNDS,
	      got[0], got[1]);
}

/* All others halt, and are woken at once. */
static volatile uint32_t answers;

static void answer_all(void *unused)
{
	(void)unused;
	for (uint32_t i = 1; i <= ROUNDS_ALL; i++) {
		halt_until(i);
		atomic_add(&answers, 1);
	}
}

static void wake_all(void)
{
	for (unsigned i = 0; i < smp_count; i++)
		got[i] = 0;
	for (unsigned i = 1; i < smp_count; i++)
		smp_run(i, answer_all, NULL);
	for (uint32_t i = 1; i <= ROUNDS_ALL; i++) {
		apic_ipi(0, ICR_ASSERT | ICR_OTHERS | VECTOR);
		if (!check(WAIT_FOR(answers == i * (smp_count - 1), SMP_PATIENCE),
			   "round %u: %u answers instead of %u", i, answers, i * (smp_count - 1)))
			finish();
	}
	for (unsigned i = 1; i < smp_count; i++)
		smp_join(i);
}

static void halt_deaf(void *unused)
{
	(void)unused;
	stop = true;
	__asm__ volatile("cli; hlt" ::: "memory");
	woke++;
	__asm__ volatile("hlt" ::: "memory");
	woke++;
	while (stop)
		pause();
	irq_on();
	__asm__ volatile("nop" ::: "memory");
	irq_off();
}

static void interrupts_off(void)
{
	for (unsigned i = 1; i < smp_count; i++) {
		woke = nmis = got[i] = 0;
		smp_run(i, halt_deaf, NULL);
		if (!check(WAIT_FOR(stop, SMP_PATIENCE), "CPU %u does not run", i))
			finish();
		delay_us(1000);
		apic_ipi(smp_cpus[i].apic_id, ICR_ASSERT | VECTOR);
		delay_us(20000);
		check(!woke && !got[i], "CPU %u: an interrupt ended HLT with interrupts off", i);
		apic_ipi(smp_cpus[i].apic_id, ICR_ASSERT | ICR_NMI);
		if (!check(WAIT_FOR(woke, SMP_PATIENCE), "CPU %u: an NMI does not end HLT", i))
			finish();
		check(nmis == 1 && !got[i], "CPU %u: %u NMIs, %u interrupts", i, nmis, got[i]);
		/* Again, as its handler has returned; who knows when the second HLT begins. */
		for (unsigned n = 0; n < NMI_TRIES && woke < 2; n++) {
			apic_ipi(smp_cpus[i].apic_id, ICR_ASSERT | ICR_NMI);
			(void)WAIT_FOR(woke == 2, 1000);
		}
		if (!check(woke == 2, "CPU %u: a second NMI does not end HLT", i))
			finish();
		/* Those that are still under way, so that the next CPU's are counted alone. */
		delay_us(100000);
		stop = false;
		smp_join(i);
		check(got[i] == 1, "CPU %u: the interrupt came %u times afterwards", i, got[i]);
	}
}

void test_main(void)
{
	uint64_t start;

	smp_init(2, SMP_MAX);
	irq_set(VECTOR, on_ipi);
	irq_set(VEC_NMI, on_nmi);
	irq_set(WATCHDOG, on_watchdog);
	smp_start_others();
	start_watchdog();
	start = rdtsc();
	ping_pong();
	info("%u rounds in %lu ms", ROUNDS, (rdtsc() - start) / tsc_per_ms);
	apic_write(LAPIC_TMICT, 0);
	wake_all();
	interrupts_off();
}
