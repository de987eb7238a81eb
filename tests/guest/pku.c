/* SPDX-License-Identifier: BSD-2-Clause */
/* Protection keys: the CPU's own accesses and those of emulated instructions obey the same PKRU. */
#include "keys.h"
#include "socle/guest/state.h"

const char test_name[] = "pku";

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
