/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys of supervisor pages: the CPU's accesses and those of emulated instructions obey one PKRS. */
#include "keys.h"
#include "socle/guest/state.h"

const char test_name[] = "pks";

enum { PKRS = 0x6e1 };
#define CR4_PKS BIT(24)

static void set(uint32_t rights)
{
	wrmsr(PKRS, rights);
	cpuid(0, 0);
	check(rdmsr(PKRS) == rights, "PKRS is %#lx", rdmsr(PKRS));
}

/* QEMU's TCG looks at them anew only when the register is written. */
static void use_keys(bool on)
{
	write_cr4(on ? read_cr4() | CR4_PKS : read_cr4() & ~CR4_PKS);
	wrmsr(PKRS, rdmsr(PKRS));
}

void test_main(void)
{
	uint64_t *pte = page_split((uintptr_t)page), value;

	if (!(cpuid(7, 0).ecx & BIT(31))) {
		check(!hosted() || rdmsr_safe(PKRS, &value) == 13, "PKRS reads");
		skip("no protection keys of supervisor pages");
	}
	check(rdmsr(PKRS) == 0, "PKRS is %#lx at first", rdmsr(PKRS));
	check(wrmsr_safe(PKRS, BIT(32)) == 13, "PKRS takes 33 bits");
	write_cr0(read_cr0() | BIT(16));
	*pte &= ~BIT(2);
	*pte |= (uint64_t)KEY << KEY_SHIFT;
	invlpg((uintptr_t)page);
	set(NO_ACCESS << 2 * KEY);
	accesses(-1, -1);
	use_keys(true);
	accesses(0x21, 0x23);
	set(NO_WRITE << 2 * KEY);
	accesses(-1, 0x23);
	/* All other keys. */
	set((uint32_t) ~(3u << 2 * KEY) & ~3u);
	accesses(-1, -1);
	/* User pages have other rights. */
	set(NO_ACCESS << 2 * KEY);
	*pte |= BIT(2);
	invlpg((uintptr_t)page);
	accesses(-1, -1);
	*pte &= ~BIT(2);
	invlpg((uintptr_t)page);
	accesses(0x21, 0x23);
	use_keys(false);
	accesses(-1, -1);
	set(0);
}
