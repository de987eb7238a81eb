/* SPDX-License-Identifier: BSD-2-Clause */
/* Model-specific registers: known ones keep values, reserved bits and unknown ones fault. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "msr";

static void keeps(uint32_t index, uint64_t value)
{
	uint64_t old = 0, got = 0;

	if (!check(rdmsr_safe(index, &old) == -1, "msr %#x cannot be read", index))
		return;
	check(wrmsr_safe(index, value) == -1, "msr %#x: writing %#lx faults", index, value);
	rdmsr_safe(index, &got);
	check(got == value, "msr %#x reads %#lx after writing %#lx", index, got, value);
	wrmsr_safe(index, old);
}

static void faults(uint32_t index, uint64_t value)
{
	check(wrmsr_safe(index, value) == VEC_GP && !last_trap.error,
	      "msr %#x takes %#lx (vector %d)", index, value, last_trap.vector);
}

void test_main(void)
{
	uint64_t v = 0, now, efer = rdmsr(0xc0000080);

	keeps(0x174, 0x10);		       /* SYSENTER_CS */
	keeps(0x175, 0x123456789000);	       /* SYSENTER_ESP */
	keeps(0x176, 0x7fffffff0000);	       /* SYSENTER_EIP */
	keeps(0x277, 0x0007040600070406);      /* PAT */
	keeps(0xc0000081, 0x0023001000000000); /* STAR */
	keeps(0xc0000082, 0xffffffff81000000); /* LSTAR */
	keeps(0xc0000083, 0xffffffff82000000); /* CSTAR */
	keeps(0xc0000084, 0x47700);	       /* SFMASK */
	keeps(0xc0000100, 0x7ffff7d8e740);     /* FS base */
	keeps(0xc0000101, 0xffff888000000000); /* GS base */
	keeps(0xc0000102, 0x123000);	       /* kernel GS base */
	if (cpuid(0x80000001, 0).edx >> 27 & 1)
		keeps(0xc0000103, 42); /* TSC_AUX */
	check((rdmsr(0x1b) & ~0xfffull) == LAPIC_BASE, "local APIC at %#lx", rdmsr(0x1b));
	check(rdmsr(0x1b) & BIT(8), "not the boot processor");
	check((efer & 0x500) == 0x500, "EFER is %#lx in long mode", efer);
	wrmsr(0xc0000080, efer | 1);
	check(rdmsr(0xc0000080) == (efer | 1), "EFER.SCE does not stay");
	wrmsr(0xc0000080, efer);
	if (hosted()) {
		/* QEMU's TCG lets these pass or ignores them; Socle must not. */
		faults(0xc0000080, efer | BIT(2)); /* reserved */
		faults(0xc0000080, efer | BIT(63));
		faults(0xc0000080, efer & ~BIT(8)); /* LME off while paging */
		if (!(cpuid(0x80000001, 0).ecx >> 2 & 1))
			faults(0xc0000080, efer | BIT(12)); /* SVME without SVM */
		check(rdmsr(0xc0000080) == efer, "EFER changed to %#lx", rdmsr(0xc0000080));
		/* The TSC can be written and goes on from there. */
		now = rdtsc();
		wrmsr(0x10, 1ull << 40);
		v = rdtsc();
		check(v >= 1ull << 40 && v < (1ull << 40) + (1ull << 36),
		      "TSC is %#lx after 1 << 40", v);
		wrmsr(0x10, now);
		check(rdmsr_safe(0x12345678, &v) == VEC_GP, "msr 0x12345678 can be read");
		check(wrmsr_safe(0x12345678, 0) == VEC_GP, "msr 0x12345678 can be written");
		check(rdmsr_safe(0x1fff, &v) == VEC_GP, "msr 0x1fff can be read");
		check(rdmsr_safe(0x480, &v) == VEC_GP, "VMX_BASIC can be read");
		check(rdmsr_safe(0xc0010117, &v) == VEC_GP, "VM_HSAVE_PA can be read");
		faults(0x277, 0x0202020202020202); /* PAT: reserved type */
	}
}
