/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every MSR of the architectural ranges, and some others, is read and written: nothing may break.
 * Under Socle what they do is printed, to be compared with what the policy says:
 *
 *   VALUES: 0 ffffffffffffffff own ...         what is written to each, in this order
 *   MSR: 0xc0000081 0 =!=~=                    index, value read, outcome of each write
 *   MSR: 0xc0000080 500 -                      not written: see careful[]
 *
 * Of the value: "!" if reading faults. Of a write: "!" it faults; "=" the value reads back; "~"
 * another one does; "?" reading back faults. A register that takes nothing at all has no line.
 */
#include "rt.h"

const char test_name[] = "msr_walk";

enum { VALUES = 6, OWN = 2, FIRST_TRIES = 2, OTHERS = 200 };

static uint64_t values[VALUES] = {0, ~0ull, 0 /* what it reads as */, 0x5555555555555555,
				  0x00000000aaaaaaaa};
static unsigned readable, writable;
static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* What is not written, as the test itself would not survive it. */
static bool careful(uint32_t index)
{
	static const uint32_t list[] = {
		0x1b,	    /* APIC_BASE: the local APIC goes off, or to x2APIC mode */
		0xc0000080, /* EFER: long mode is on */
		0x4b564d00, /* paravirtual clock: writes to memory */
		0x4b564d01,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(list); i++)
		if (list[i] == index)
			return true;
	return false;
}

static char outcome(uint32_t index, uint64_t value)
{
	uint64_t after = 0;

	if (wrmsr_safe(index, value) != -1)
		return '!';
	if (rdmsr_safe(index, &after) != -1)
		return '?';
	return after == value ? '=' : '~';
}

static void walk(uint32_t index)
{
	char written[VALUES + 1] = "-", got[20] = "!";
	bool takes = false, reads;
	uint64_t old = 0;

	reads = rdmsr_safe(index, &old) == -1;
	values[OWN] = old;
	for (unsigned i = 0; !careful(index) && i < VALUES; i++) {
		/* Most are not there: a few tries do for them. */
		written[i] = i < FIRST_TRIES || reads || takes ? outcome(index, values[i]) : '!';
		takes |= written[i] != '!';
	}
	if (takes)
		wrmsr_safe(index, old);
	readable += reads;
	writable += takes;
	if (reads)
		format(got, sizeof(got), "%lx", old);
	if (hosted() && (reads || takes))
		print("MSR: %#x %s %s\n", index, got, written);
}

void test_main(void)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{0, 0x1fff},		    {0xc0000000, 0xc0001fff}, {0xc0010000, 0xc0011fff},
		{0x40000000, 0x400001ff}, {0x4b564d00, 0x4b564d0f}, {0xffffff00, 0xfffffffe},
	};

	values[VALUES - 1] = random();
	if (hosted())
		print("VALUES: %lx %lx own %lx %lx %lx\n", values[0], values[1], values[3],
		      values[4], values[5]);
	for (unsigned r = 0; r < ARRAY_SIZE(ranges); r++)
		for (uint32_t i = ranges[r].first; i <= ranges[r].last; i++)
			walk(i);
	for (unsigned i = 0; i < OTHERS; i++)
		walk((uint32_t)random());
	info("%u can be read, %u written", readable, writable);
	/* With the word "filtered" on the command line, as few as the filter likes. */
	check(readable >= 15 || option("filtered"), "only %u registers can be read", readable);
	check(option("filtered") || (rdmsr(0xc0000080) & BIT(10)), "EFER.LMA is gone");
}
