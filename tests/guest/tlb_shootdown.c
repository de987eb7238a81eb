/* SPDX-License-Identifier: BSD-2-Clause */
/* A page table entry that one CPU changes is forgotten by the others once they have flushed it. */
#include "smp.h"
#include "socle/guest/state.h"

const char test_name[] = "tlb_shootdown";

enum {
	VECTOR = 0x52,
	ROUNDS = 3000,
	ROUNDS_LEAST = 100, /* if they take longer than this: */
	ROUNDS_MS = 3000,
	PLACE = 48 << 20,  /* the page whose mapping changes */
	FRAMES = 50 << 20, /* what it is mapped to, each page with its number in it */
	FRAME_COUNT = 64,
	PTE_GLOBAL = 1 << 8,
	CR4_PGE_BIT = 1 << 7,
};

static volatile uint32_t round_begun, round_done; /* equal: nothing is being changed */
static volatile uint32_t acks;
static volatile uint64_t reads[SMP_MAX];
static volatile bool stop;

static uint64_t read_place(void)
{
	return *(volatile uint64_t *)(uintptr_t)PLACE;
}

/* By rounds: one entry, all but global ones, all. */
static void flush(uint32_t round)
{
	switch (round % 3) {
	case 0:
		invlpg(PLACE);
		break;
	case 1:
		write_cr3(read_cr3());
		break;
	default:
		write_cr4(read_cr4() & ~(uint64_t)CR4_PGE_BIT);
		write_cr4(read_cr4() | CR4_PGE_BIT);
		break;
	}
}

static void on_flush(struct frame *f)
{
	(void)f;
	flush(round_begun);
	atomic_add(&acks, 1);
	apic_eoi();
}

/* What the page holds in a round when all have flushed. */
static uint64_t value_of(uint32_t round)
{
	return round % FRAME_COUNT;
}

static void watch(void *unused)
{
	unsigned id = cpu_id();

	(void)unused;
	write_cr4(read_cr4() | CR4_PGE_BIT);
	irq_on();
	while (!stop) {
		uint32_t before = round_done;
		uint64_t v = read_place();

		if (before == round_begun && before == round_done) {
			check(v == value_of(before), "CPU %u reads %lu in round %u", id, v, before);
			reads[id]++;
		}
	}
	irq_off();
}

static bool all_read(uint64_t n)
{
	for (unsigned i = 1; i < smp_count; i++)
		if (reads[i] < n)
			return false;
	return true;
}

static void change(volatile uint64_t *pte, uint32_t round)
{
	uint64_t frame = FRAMES + value_of(round) * PAGE_SIZE;

	acks = 0;
	round_begun = round;
	/* A write of CR3 spares global pages, and would not end this translation. */
	*pte = frame | 7 | ((round + 1) % 3 != 1 ? PTE_GLOBAL : 0);
	flush(round);
	apic_ipi(0, ICR_OTHERS | ICR_ASSERT | VECTOR);
	if (!check(WAIT_FOR(acks == smp_count - 1, SMP_PATIENCE), "round %u: %u CPUs answer", round,
		   acks))
		finish();
	round_done = round;
}

void test_main(void)
{
	volatile uint64_t *pte;
	uint64_t end;
	uint32_t round = 0;

	smp_init(2, SMP_MAX);
	irq_set(VECTOR, on_flush);
	for (uint64_t i = 0; i < FRAME_COUNT; i++)
		*(volatile uint64_t *)(uintptr_t)(FRAMES + i * PAGE_SIZE) = i;
	pte = page_split(PLACE);
	write_cr4(read_cr4() | CR4_PGE_BIT);
	smp_start_others();
	*pte = FRAMES | 7;
	write_cr3(read_cr3());
	for (unsigned i = 1; i < smp_count; i++)
		smp_run(i, watch, NULL);
	end = rdtsc() + ROUNDS_MS * tsc_per_ms;
	while (round < ROUNDS_LEAST || (round < ROUNDS && rdtsc() < end)) {
		change(pte, ++round);
		/* Now and then, wait until each has used its new translation. */
		if (round % 16 == 0) {
			for (unsigned i = 1; i < smp_count; i++)
				reads[i] = 0;
			if (!check(WAIT_FOR(all_read(2), SMP_PATIENCE), "round %u: a CPU is stuck",
				   round))
				finish();
		}
	}
	stop = true;
	for (unsigned i = 1; i < smp_count; i++)
		smp_join(i);
	info("%u rounds", round);
}
