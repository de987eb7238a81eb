/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts between CPUs: every way to name their destination reaches it, once, and no other. */
#include "smp.h"
#include "socle/guest/state.h"

const char test_name[] = "ipi_modes";

enum { VECTOR = 0x52, VECTOR_LOW = 0x41, VECTOR_STOP = 0x61, ABSENT = 0x40, SETTLE_US = 2000 };

static volatile uint32_t got[SMP_MAX], nmis[SMP_MAX];
static volatile uint32_t others; /* what came of VECTOR_LOW */
static volatile bool stop, held;
static bool holding;

static void on_ipi(struct frame *f)
{
	(void)f;
	atomic_add(&got[cpu_id()], 1);
	apic_eoi();
}

static void on_low(struct frame *f)
{
	(void)f;
	atomic_add(&others, 1);
	apic_eoi();
}

static void on_stop(struct frame *f)
{
	(void)f;
	apic_eoi();
}

static void on_nmi(struct frame *f)
{
	(void)f;
	atomic_add(&nmis[cpu_id()], 1);
}

/* Takes interrupts until told to stop: halted or spinning. */
static void listen(void *halting)
{
	while (!stop) {
		if (halting) {
			irq_wait();
		} else {
			irq_on();
			pause();
			irq_off();
		}
	}
}

/* With interrupts off until let go. */
static void hold(void *unused)
{
	(void)unused;
	held = true;
	while (holding)
		pause();
	irq_on();
	delay_us(SETTLE_US);
	irq_off();
	held = false;
}

static void listen_all(void)
{
	stop = false;
	for (unsigned i = 1; i < smp_count; i++)
		smp_run(i, listen, i & 1 ? NULL : (void *)1);
}

static void stop_all(void)
{
	stop = true;
	apic_ipi(0, ICR_OTHERS | ICR_ASSERT | VECTOR_STOP);
	for (unsigned i = 1; i < smp_count; i++)
		smp_join(i);
}

static uint32_t sum(volatile uint32_t *counts)
{
	uint32_t all = 0;

	for (unsigned i = 0; i < smp_count; i++)
		all += counts[i];
	return all;
}

static void await(volatile uint32_t *counts, uint32_t total)
{
	irq_on();
	(void)WAIT_FOR(sum(counts) >= total, 10000);
	delay_us(SETTLE_US);
	irq_off();
}

/* Sends an interrupt and checks that exactly the CPUs in @set got it. */
static void expect(const char *what, uint32_t set, uint32_t dest, uint32_t low)
{
	volatile uint32_t *counts = (low & ICR_MODE) == ICR_NMI ? nmis : got;
	uint32_t total = 0;

	for (unsigned i = 0; i < smp_count; i++)
		counts[i] = 0;
	apic_ipi(dest, low | ICR_ASSERT | (counts == got ? VECTOR : 0));
	for (unsigned i = 0; i < smp_count; i++)
		total += set >> i & 1;
	await(counts, total);
	for (unsigned i = 0; i < smp_count; i++)
		check(counts[i] == (set >> i & 1), "%s %s to %#x: CPU %u got %u",
		      smp_x2apic ? "x2APIC" : "xAPIC", what, dest, i, counts[i]);
}

/* The same, where it is for one of @set. */
static void expect_one(const char *what, uint32_t set, uint32_t dest, uint32_t low)
{
	for (unsigned round = 0; round < 20; round++) {
		uint32_t in_set = 0;

		for (unsigned i = 0; i < smp_count; i++)
			got[i] = 0;
		apic_ipi(dest, low | ICR_ASSERT | VECTOR);
		await(got, 1);
		for (unsigned i = 0; i < smp_count; i++)
			in_set += set >> i & 1 ? got[i] : 0;
		if (!check(in_set == 1 && sum(got) == 1, "%s to %#x: %u got it, %u of those meant",
			   what, dest, sum(got), in_set))
			break;
	}
}

static void check_physical(void)
{
	uint32_t all = BIT(smp_count) - 1;

	for (unsigned i = 0; i < smp_count; i++)
		expect("fixed physical", 1u << i, smp_cpus[i].apic_id, ICR_FIXED);
	for (unsigned i = 1; i < smp_count; i++)
		expect("NMI physical", 1u << i, smp_cpus[i].apic_id, ICR_NMI);
	expect("self", 1, 0, ICR_SELF);
	expect("all", all, 0, ICR_ALL);
	expect("all but self", all & ~1u, 0, ICR_OTHERS);
	expect("NMI all but self", all & ~1u, 0, ICR_NMI | ICR_OTHERS);
	expect("broadcast", all, smp_x2apic ? 0xffffffff : 0xff, ICR_FIXED);
	expect("absent", 0, ABSENT, ICR_FIXED);
	expect("NMI absent", 0, ABSENT, ICR_NMI);
	/* Requests for the same vector are one, those for different ones are not. */
	stop_all();
	holding = true;
	for (unsigned i = 0; i < smp_count; i++)
		got[i] = 0;
	others = 0;
	smp_run(1, hold, NULL);
	if (!check(WAIT_FOR(held, 10000), "CPU 1 does not run"))
		finish();
	for (unsigned i = 0; i < 3; i++)
		apic_ipi(smp_cpus[1].apic_id, ICR_ASSERT | VECTOR);
	apic_ipi(smp_cpus[1].apic_id, ICR_ASSERT | VECTOR_LOW);
	delay_us(SETTLE_US);
	holding = false;
	smp_join(1);
	check(got[1] == 1 && others == 1, "three requests came %u times, another %u times", got[1],
	      others);
	listen_all();
}

static void set_logical(void *unused)
{
	unsigned id = cpu_id();

	(void)unused;
	apic_write(LAPIC_DFR, 0xffffffff);
	apic_write(LAPIC_LDR, 1u << (24 + id));
	check(apic_read(LAPIC_LDR) == 1u << (24 + id), "CPU %u: LDR is %#x", id,
	      apic_read(LAPIC_LDR));
}

/* Two CPUs in each cluster. */
static void set_cluster(void *unused)
{
	unsigned id = cpu_id();

	(void)unused;
	apic_write(LAPIC_DFR, 0x0fffffff);
	apic_write(LAPIC_LDR, (id / 2) << 28 | 1u << (24 + id % 2));
}

static void check_flat(void)
{
	uint32_t all = BIT(smp_count) - 1;

	stop_all();
	smp_run_all(set_logical, NULL);
	listen_all();
	for (unsigned i = 0; i < smp_count; i++)
		expect("flat", 1u << i, 1u << i, ICR_LOGICAL);
	for (uint32_t set = 3; set <= all; set++)
		expect("flat", set, set, ICR_LOGICAL);
	expect("flat", all, 0xff, ICR_LOGICAL);
	if (smp_count < 8)
		expect("flat without a CPU", 0, 0x80, ICR_LOGICAL);
	expect("flat without a bit", 0, 0, ICR_LOGICAL);
	expect("NMI flat", all & ~1u, all & ~1u, ICR_LOGICAL | ICR_NMI);
	expect_one("lowest priority", all, all, ICR_LOGICAL | ICR_LOWEST);
	expect_one("lowest priority", 0xa & all, 0xa, ICR_LOGICAL | ICR_LOWEST);
}

static void check_cluster(void)
{
	uint32_t all = BIT(smp_count) - 1;

	stop_all();
	smp_run_all(set_cluster, NULL);
	listen_all();
	for (unsigned i = 0; i < smp_count; i++)
		expect("cluster", 1u << i, (i / 2) << 4 | 1u << i % 2, ICR_LOGICAL);
	expect("cluster", 3 & all, 0x03, ICR_LOGICAL);
	expect("cluster", 0xc & all, 0x1f, ICR_LOGICAL);
	expect("cluster without a CPU", 0, 0x4c, ICR_LOGICAL);
	expect_one("cluster, lowest priority", 0xc & all, 0x13, ICR_LOGICAL | ICR_LOWEST);
	/* SDM vol. 3, 11.6.2.2: all clusters. QEMU looks for one with that number. */
	if (hosted())
		expect("cluster, broadcast", all, 0xff, ICR_LOGICAL);
}

/* SDM vol. 3, 11.12.10.2: clusters of 16 by ID, which nobody sets. */
static volatile uint32_t bad_ids;

static void check_ldr(void *unused)
{
	uint32_t id = apic_id();

	(void)unused;
	if (apic_read(LAPIC_LDR) != ((id & ~15u) << 12 | 1u << (id & 15)))
		atomic_add(&bad_ids, 1);
}

static void check_x2apic_logical(void)
{
	uint32_t all = BIT(smp_count) - 1;

	stop_all();
	smp_run_all(check_ldr, NULL);
	listen_all();
	/* Bochs has the xAPIC's logical IDs there. */
	if (!check(!bad_ids || !hosted(), "%u logical IDs are wrong", bad_ids) || bad_ids)
		return;
	for (unsigned i = 0; i < smp_count; i++)
		expect("logical", 1u << i, 1u << i, ICR_LOGICAL);
	expect("logical", all, 0xffff, ICR_LOGICAL);
	expect("logical", 0xa & all, 0xa, ICR_LOGICAL);
	expect("logical without a CPU", 0, 0x1ffff, ICR_LOGICAL);
	expect("logical without a bit", 0, 0x8000, ICR_LOGICAL);
	expect("logical broadcast", all, 0xffffffff, ICR_LOGICAL);
	expect("NMI logical", all & ~1u, all & ~1u, ICR_LOGICAL | ICR_NMI);
	expect_one("lowest priority", all, all, ICR_LOGICAL | ICR_LOWEST);
}

void test_main(void)
{
	smp_init(4, 8);
	irq_set(VECTOR, on_ipi);
	irq_set(VECTOR_LOW, on_low);
	irq_set(VECTOR_STOP, on_stop);
	irq_set(VEC_NMI, on_nmi);
	smp_start_others();
	listen_all();
	check_physical();
	check_flat();
	check_cluster();
	stop_all();
	if (cpuid(1, 0).ecx >> 21 & 1) {
		for (unsigned i = 1; i < smp_count; i++)
			smp_park(i);
		apic_enter_x2apic();
		smp_start_others();
		listen_all();
		check_physical();
		check_x2apic_logical();
		stop_all();
	}
	check(smp_x2apic || !hosted(), "no x2APIC");
	info("%u CPUs, last in %s mode", smp_count, smp_x2apic ? "x2APIC" : "xAPIC");
}
