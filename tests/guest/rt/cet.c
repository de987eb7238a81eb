/* SPDX-License-Identifier: BSD-2-Clause */
/* Shadow stacks for test guests: their pages, and running code at privilege level 3 with one. */
#include "cet.h"

struct shadow_page shadow_page(bool user)
{
	static uint8_t pages[8][PAGE_SIZE] __aligned(4096);
	static unsigned used;
	uint64_t base = (uintptr_t)pages[used], alias = (uintptr_t)pages[used + 1];
	struct shadow_page s = {
		.base = base,
		.top = base + PAGE_SIZE,
		.pte = page_split(base),
		.words = (volatile uint64_t *)alias,
	};

	*page_split(alias) = base | PTE_P | PTE_W;
	invlpg(alias);
	shadow_pte(&s, PTE_P | PTE_D | (user ? PTE_U : 0));
	used += 2;
	return s;
}

void shadow_pte(const struct shadow_page *s, uint64_t bits)
{
	*s->pte = s->base | bits;
	invlpg(s->base);
}

void cet_init(void)
{
	if (!cpu_has_shstk())
		skip("no shadow stacks");
	check(EXCEPTION_OF(write_cr4(read_cr4() | CR4_CET)) == -1, "CR4.CET cannot be set");
}

int cet_user(void (*fn)(void), uint64_t ssp)
{
	wrmsr(MSR_PL3_SSP, ssp);
	return EXCEPTION_OF(user_call(fn));
}
