/* SPDX-License-Identifier: BSD-2-Clause */
/* The pattern that `paint` leaves and looks for, and what is done when it is seen. */
#ifndef PAINT_PATTERN_H
#define PAINT_PATTERN_H

#include "rt.h"

enum { TAG_BITS = 24, TAG_MASK = BIT(TAG_BITS) - 1 };

/* What is painted and looked at. */
enum kind {
	K_GPR, K_CR2, K_DR, K_X87_ADDRESS, K_XSTATE, K_MSR, K_APIC, K_PENDING, K_IOAPIC, K_CMOS,
	K_ALARM, K_PCI, K_PIT, K_UART, K_PIC, K_MEMORY, K_COUNT,
};
static const char *const kind_names[] = {
	"general registers", "CR2", "debug registers", "x87 addresses", "extended state", "MSRs",
	"local APIC", "pending interrupts", "I/O APIC", "CMOS", "alarm", "PCI address", "PIT",
	"UART", "PIC", "memory",
};

static bool on_socle, own; /* own: it looks at its own values, which must be there */
static unsigned painted[K_COUNT], seen[K_COUNT];
static uint64_t anti; /* the complement of the pattern, which memory never holds unless painted */

static void choose(uint32_t seed)
{
	anti = ~(uint64_t)((seed * 2654435761u >> 4 | BIT(TAG_BITS - 1) | 1) & TAG_MASK);
}

static uint64_t tag(void)
{
	uint64_t v = anti;

	__asm__ volatile("" : "+r"(v));
	return ~v;
}

static uint64_t tagged(unsigned shift, uint64_t more)
{
	return tag() << shift | more;
}

/* The pattern in a register whose bytes are memory types: two bits of it in each but the first. */
static uint64_t as_types(void)
{
	static const uint8_t type[] = {1, 4, 5, 6};
	uint64_t v = 6;

	for (unsigned i = 1; i < 8; i++)
		v |= (uint64_t)type[tag() >> 2 * i & 3] << 8 * i;
	return v;
}

static bool has_tag(uint64_t v)
{
	if (!v || !~v)
		return false;
	for (unsigned s = 0; s <= 64 - TAG_BITS; s++)
		if (((v >> s ^ anti) & TAG_MASK) == TAG_MASK)
			return true;
	return false;
}

#define sight(kind, cond, ...)                     \
	do {                                       \
		if (cond) {                        \
			seen[kind]++;              \
			if (!own)                  \
				fail(__VA_ARGS__); \
		}                                  \
	} while (0)
/* What a reset sets, on Socle: firmware may have worked elsewhere. */
#define initial(cond, name) check(own || !on_socle || (cond), "%s is not as after a reset", name)

#endif
