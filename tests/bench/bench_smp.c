/* SPDX-License-Identifier: BSD-2-Clause */
/* What it costs that virtual CPUs work together, in TSC ticks: IPIs, switches, first touches. */
#include "smp.h"
#include "socle/guest/state.h"

const char test_name[] = "bench_smp";

enum {
	VECTOR = 0x60,
	ROUNDS = 200,
	FIRST = 34 << 20,  /* behind the stacks of the run-time */
	PAGES = 16 << 8,   /* 16 MiB for each CPU */
};

static volatile uint64_t handled[2]; /* IPIs, by CPU */
static volatile bool stop, ready;
static uint64_t fresh = FIRST; /* memory that nobody touched */
static struct meeting meeting;

static void on_ipi(struct frame *f)
{
	(void)f;
	handled[cpu_id()]++;
	apic_eoi();
}

static void ipi(unsigned cpu)
{
	apic_ipi(smp_cpus[cpu].apic_id, ICR_ASSERT | VECTOR);
}

static void report(const char *name, uint64_t ticks)
{
	print("BENCH: %s %lu\n", name, (ticks + ROUNDS / 2) / ROUNDS);
}

/* Spins until an interrupt, again and again. */
static void target_spins(void *unused)
{
	(void)unused;
	irq_on();
	while (!stop)
		pause();
}

static void target_halts(void *unused)
{
	(void)unused;
	while (!stop)
		irq_wait();
}

/* An IPI, until the other CPU's handler has ended it. */
static void ipi_to(const char *name, void (*target)(void *))
{
	uint64_t start = 0;

	stop = false;
	smp_run(1, target, NULL);
	/* The first ones find nothing in caches. */
	for (unsigned i = 0; i < ROUNDS + 10; i++) {
		uint64_t before = handled[1];

		if (i == 10)
			start = rdtsc();
		ipi(1);
		while (handled[1] == before)
			pause();
	}
	report(name, rdtsc() - start);
	stop = true;
	ipi(1);
	smp_join(1);
}

/* From the IPI to a CPU in HLT, through its wake-up and its HLT, to the next: one after the other.
 */
static void halts_in_turn(void *unused)
{
	(void)unused;
	/* The last one of before. */
	irq_on();
	__asm__ volatile("nop" ::: "memory");
	irq_off();
	handled[1] = 0;
	ready = true;
	for (uint64_t i = 1; i <= ROUNDS; i++) {
		while (handled[1] < i)
			irq_wait();
		ipi(0);
	}
}

static void ping_pong(void)
{
	uint64_t start;

	handled[0] = 0;
	smp_run(1, halts_in_turn, NULL);
	while (!ready)
		pause();
	start = rdtsc();
	for (uint64_t i = 1; i <= ROUNDS; i++) {
		ipi(1);
		while (handled[0] < i)
			irq_wait();
	}
	report("wake_by_ipi", (rdtsc() - start) / 2);
	smp_join(1);
}

/* Memory of its own for each CPU, a write to each page. */
static void touch(void *unused)
{
	uint64_t a = fresh + (uint64_t)cpu_id() * PAGES * PAGE_SIZE;

	(void)unused;
	smp_meet(&meeting);
	for (uint64_t end = a + PAGES * PAGE_SIZE; a < end; a += PAGE_SIZE)
		*(volatile uint8_t *)a = 1;
	smp_meet(&meeting);
}

static void demand(unsigned cpus)
{
	unsigned all = smp_count;
	uint64_t ticks;

	smp_count = cpus;
	ticks = rdtsc();
	smp_run_all(touch, NULL);
	ticks = rdtsc() - ticks;
	print("BENCH: demand_pages_%u %lu\n", cpus, (uint64_t)PAGES * cpus * 1000000 / ticks);
	fresh += (uint64_t)cpus * PAGES * PAGE_SIZE;
	smp_count = all;
}

static void start(unsigned cpu)
{
	if (!check(smp_start(cpu, SMP_PAGE), "CPU %u does not start", cpu))
		finish();
}

void test_main(void)
{
	smp_init(4, 4);
	irq_set(VECTOR, on_ipi);
	demand(1);
	start(1);
	demand(2);
	ipi_to("xapic_ipi_spinning", target_spins);
	ipi_to("xapic_ipi_halted", target_halts);
	/* The mode that Linux chooses. */
	smp_park(1);
	apic_enter_x2apic();
	start(1);
	ipi_to("ipi_spinning", target_spins);
	ipi_to("ipi_halted", target_halts);
	ping_pong();
	start(2);
	start(3);
	demand(4);
}
