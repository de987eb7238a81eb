/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nothing of one guest comes through to another: `paint SEED` leaves a pattern in every register
 * and all memory, `look SEED` looks for it. Further words: `stay` keeps the painter running, and
 * checking that all is still there, until its console gets a byte; `again` looks, paints, resets
 * itself, and looks. With neither word it checks that it would recognise what it paints.
 */
#include "paint_chips.h"
#include "paint_cpu.h"

const char test_name[] = "paint";

enum { LOOKS = 5, LOOK_US = 20000 }; /* of a guest beside another, and between them */

/* Memory: all that is neither image nor loader's. */
static uint64_t *ram_first, *ram_end;

static void look_memory(void)
{
	const uint64_t *p = (const uint64_t *)PAGE_SIZE;

	for (; p < ram_end && !(*p && has_tag(*p)); p++)
		if ((uintptr_t)p == 0xa0000)
			p = (const uint64_t *)(uintptr_t)MiB;
	sight(K_MEMORY, p < ram_end, "memory has the pattern");
}

static void paint_memory(void)
{
	for (uint64_t *p = ram_first; p < ram_end; p++)
		*p = tagged(16, 0x30);
}

static void recheck_memory(void)
{
	const uint64_t *p = ram_first;

	while (p < ram_end && *p == tagged(16, 0x30))
		p++;
	check(p == ram_end, "memory was lost");
}

static void look(bool battery)
{
	look_core();
	look_extended();
	look_msrs();
	look_apic();
	look_chips(battery);
}

static void paint(void)
{
	paint_chips();
	paint_apic();
	paint_extended();
	paint_msrs();
	paint_core();
}

static void recheck(void)
{
	recheck_core();
	recheck_extended();
	recheck_msrs();
	recheck_apic();
	recheck_chips();
}

/* Would the look have found it all? */
static void look_at_own(void)
{
	memset(seen, 0, sizeof(seen));
	own = true;
	look(false);
	own = false;
	for (unsigned i = 0; i < K_COUNT; i++) {
		/* As others may have had the CPU: see recheck_extended(). */
		bool lost = i == K_X87_ADDRESS && is_amd();

		check(seen[i] >= painted[i] || lost, "%s: the pattern is not recognised",
		      kind_names[i]);
	}
	info("%u MSRs, x87 addresses %u, PIT %u, PCI %u", painted[K_MSR], painted[K_X87_ADDRESS],
	     painted[K_PIT], painted[K_PCI]);
}

/* The number behind @word on the command line, or 0. */
static uint32_t number_after(const char *word)
{
	const char *p = (const char *)(uintptr_t)mb_info()->cmdline;
	size_t len = strlen(word);
	uint32_t n = 0;

	while (*p && (strncmp(p, word, len) || p[len] != ' '))
		p++;
	for (p += *p ? len + 1 : 0; *p >= '0' && *p <= '9'; p++)
		n = n * 10 + (uint32_t)(*p - '0');
	return n;
}

static void stay(void)
{
	unsigned rounds = 0;

	irq_set(TICK, tick);
	print("INFO: paint: all is painted\n");
	lapic_write(LAPIC_LVTT, PERIODIC | TICK);
	irq_on();
	while (!(inb(0x3fd) & 1)) {
		check(spin(100000), "a general register was lost");
		recheck();
		rounds++;
	}
	irq_off();
	lapic_write(LAPIC_LVTT, 0x10000 | PERIODIC | TICK);
	recheck_memory();
	check(ticks, "no interrupt came");
	info("%u rounds, %u ticks", rounds, ticks);
}

void test_main(void)
{
	bool painter = option("paint"), looker = option("look"), stays = option("stay");
	uint32_t seed = painter ? number_after("paint") : number_after("look");
	bool again = option("again"), second = again && cmos_read(CMOS_LIFE) == SECOND_LIFE;

	on_socle = hosted();
	choose(seed ? seed : 1);
	ram_first = (uint64_t *)(((uintptr_t)image_end + MiB) & ~(MiB - 1));
	ram_end = (uint64_t *)(MiB + mb_info()->mem_upper * (uintptr_t)KiB);
	if (!painter) {
		/* First, as what the others find is in memory afterwards. */
		look_memory();
		look_gprs();
		look(second);
		for (unsigned i = 0; looker && !again && i < LOOKS; i++) {
			delay_us(LOOK_US);
			look(false);
		}
	}
	cmos_write(CMOS_LIFE, again && !second ? SECOND_LIFE : 0);
	if (second || (looker && !again))
		return;
	paint();
	look_at_own();
	if (on_socle)
		paint_memory();
	recheck();
	if (stays)
		stay();
	if (again)
		outb(0x64, 0xfe);
	check(spin(1), "a general register was lost");
}
