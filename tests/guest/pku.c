/* SPDX-License-Identifier: BSD-2-Clause */
/* Protection keys: the CPU's own accesses and those of emulated instructions obey the same PKRU. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "pku";

enum { PF = 14, KEY = 5, KEY_SHIFT = 59, NO_ACCESS = 1, NO_WRITE = 2, PORT = 0x1234 };

static uint8_t page[4096] __aligned(4096);

static void wrpkru(uint32_t v)
{
	__asm__ volatile("wrpkru" ::"a"(v), "c"(0), "d"(0) : "memory");
}

static uint32_t rdpkru(void)
{
	uint32_t v;

	__asm__ volatile("rdpkru" : "=a"(v) : "c"(0) : "rdx");
	return v;
}

static void load(void)
{
	(void)*(volatile uint8_t *)page;
}

static void store(void)
{
	*(volatile uint8_t *)page = 1;
}

/* Emulated by Socle, which walks the page tables itself. */
static void string_in(void)
{
	void *to = page;

	__asm__ volatile("insb" : "+D"(to) : "d"(PORT) : "memory");
}

static void string_out(void)
{
	const void *from = page;

	__asm__ volatile("outsb" : "+S"(from) : "d"(PORT) : "memory");
}

static void expect(const char *what, void (*fn)(void), int64_t error)
{
	int vector = EXCEPTION_OF(fn());

	check(vector == (error < 0 ? -1 : PF), "%s: vector %d", what, vector);
	if (vector != PF || error < 0)
		return;
	check(last_trap.error == (uint64_t)error, "%s: error %#lx", what, last_trap.error);
	check(last_trap.cr2 == (uintptr_t)page, "%s: CR2 %#lx", what, last_trap.cr2);
}

static void accesses(int64_t read, int64_t write)
{
	expect("load", load, read);
	expect("store", store, write);
	expect("outs", string_out, read);
	expect("ins", string_in, write);
}

void test_main(void)
{
	uint64_t *pte = page_split((uintptr_t)page);

	if (!(cpuid(7, 0).ecx & BIT(3)))
		skip("no protection keys");
	check(!(cpuid(7, 0).ecx & BIT(4)), "OSPKE without CR4.PKE");
	write_cr4(read_cr4() | BIT(22));
	check(cpuid(7, 0).ecx & BIT(4), "OSPKE does not follow CR4.PKE");
	write_cr0(read_cr0() | BIT(16));
	*pte |= BIT(2) | (uint64_t)KEY << KEY_SHIFT;
	invlpg((uintptr_t)page);
	accesses(-1, -1);
	wrpkru(NO_ACCESS << 2 * KEY);
	cpuid(0, 0);
	check(rdpkru() == NO_ACCESS << 2 * KEY, "PKRU is %#x", rdpkru());
	accesses(0x21, 0x23);
	wrpkru(NO_WRITE << 2 * KEY);
	accesses(-1, 0x23);
	wrpkru((uint32_t) ~(3u << 2 * KEY) & ~3u);
	accesses(-1, -1);
	/* Supervisor pages have no keys. */
	wrpkru(NO_ACCESS << 2 * KEY);
	*pte &= ~BIT(2);
	invlpg((uintptr_t)page);
	accesses(-1, -1);
	*pte |= BIT(2);
	invlpg((uintptr_t)page);
	write_cr4(read_cr4() & ~BIT(22));
	accesses(-1, -1);
	check(!(cpuid(7, 0).ecx & BIT(4)), "OSPKE stays set");
}
