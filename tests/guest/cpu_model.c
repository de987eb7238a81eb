/* SPDX-License-Identifier: BSD-2-Clause */
/* With `cpu = baseline`: what CPUID hides reads as 0, and does not work either. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "cpu_model";

enum { UD = 6, GP = 13 };

/* x86-64-v2 and what Socle provides (docs/cpuid.md); in leaf 7, two facts about the x87 unit. */
enum {
	LEAF_1_ECX = 0x81b82201, LEAF_1_EDX = 0x078bbb7d, LEAF_7_EBX = 0x2, LEAF_7_FACTS = 0x2040,
	LEAF_EXT_ECX = 0x1, LEAF_EXT_EDX = 0x20100800, AMD_ALIASES = 0x0183a17f,
};

static void features(void)
{
	struct cpuid c = cpuid(1, 0);

	check(c.ecx == (uint32_t)LEAF_1_ECX, "leaf 1: ECX is %#x", c.ecx);
	check((c.edx & ~BIT(28)) == LEAF_1_EDX, "leaf 1: EDX is %#x", c.edx);
	c = cpuid(7, 0);
	check((c.ebx & ~LEAF_7_FACTS) == LEAF_7_EBX && !(c.eax | c.ecx | c.edx),
	      "leaf 7: %#x %#x %#x %#x", c.eax, c.ebx, c.ecx, c.edx);
	c = cpuid(0x80000001, 0);
	check((c.ecx & ~BIT(1)) == LEAF_EXT_ECX, "leaf 80000001: ECX is %#x", c.ecx);
	check((c.edx & ~AMD_ALIASES) == LEAF_EXT_EDX, "leaf 80000001: EDX is %#x", c.edx);
	check(!cpuid(0x80000007, 0).edx && !cpuid(0x80000008, 0).ebx, "leaf 80000007 or 80000008");
	check(cpuid(0, 0).eax == 0xb, "highest leaf is %#x", cpuid(0, 0).eax);
	check(cpuid(0x80000000, 0).eax == 0x80000008, "highest extended leaf is %#x",
	      cpuid(0x80000000, 0).eax);
	for (unsigned sub = 0; sub < 16; sub++) {
		c = cpuid(0xd, sub);
		check(!(c.eax | c.ebx | c.ecx | c.edx), "leaf D, subleaf %u is not empty", sub);
		c = cpuid(0x8000001d, sub);
		check(!(c.eax | c.ebx | c.ecx | c.edx), "leaf 8000001D is not empty");
	}
}

static __noinline int set_cr4(uint64_t v)
{
	return EXCEPTION_OF(write_cr4(v));
}

static void control_register_4(void)
{
	static const struct {
		unsigned bit;
		const char *name;
	} gone[] = {
		{0, "VME"}, {1, "PVI"}, {6, "MCE"}, {11, "UMIP"}, {12, "LA57"}, {13, "VMXE"}, {16, "FSGSBASE"},
		{17, "PCIDE"}, {18, "OSXSAVE"}, {20, "SMEP"}, {21, "SMAP"}, {22, "PKE"},
		{23, "CET"}, {24, "PKS"}, {31, "bit 31"}, {62, "bit 62"},
	}, there[] = {
		{2, "TSD"}, {3, "DE"}, {4, "PSE"}, {7, "PGE"}, {8, "PCE"},
		{9, "OSFXSR"}, {10, "OSXMMEXCPT"},
	};
	uint64_t cr4 = read_cr4();

	for (unsigned i = 0; i < ARRAY_SIZE(gone); i++) {
		check(set_cr4(cr4 | BIT(gone[i].bit)) == GP, "CR4.%s can be set: vector %d",
		      gone[i].name, last_trap.vector);
		check(read_cr4() == cr4, "CR4 is %#lx", read_cr4());
		write_cr4(cr4);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(there); i++) {
		uint64_t flipped = cr4 ^ BIT(there[i].bit);

		check(set_cr4(flipped) == -1, "CR4.%s: vector %d", there[i].name, last_trap.vector);
		check(read_cr4() == flipped, "CR4 is %#lx, not %#lx", read_cr4(), flipped);
		write_cr4(cr4);
	}
	check(set_cr4(cr4 & ~BIT(5)) == GP, "CR4.PAE can be cleared");
	/* From every register, RSP included. */
	__asm__ volatile("mov %%rsp, %%rbx; mov %0, %%rsp; mov %%rsp, %%cr4; mov %%rbx, %%rsp"
			 :
			 : "r"(cr4 | BIT(8))
			 : "rbx", "memory");
	check(read_cr4() == (cr4 | BIT(8)), "CR4 from RSP is %#lx", read_cr4());
	__asm__ volatile("mov %0, %%r13; mov %%r13, %%cr4" ::"r"(cr4) : "r13", "memory");
	check(read_cr4() == cr4, "CR4 from R13 is %#lx", read_cr4());
}

static void from_user(void)
{
	__asm__ volatile("mov %0, %%cr4" ::"r"(0x20ull));
	user_return();
}

static void instructions(void)
{
	static uint8_t area[1024] __aligned(64);
	uint64_t v;

	check(EXCEPTION_OF(__asm__ volatile("xgetbv" ::"c"(0) : "rax", "rdx")) == UD, "XGETBV");
	check(EXCEPTION_OF(__asm__ volatile("xsetbv" ::"a"(1), "d"(0), "c"(0))) == UD, "XSETBV");
	check(EXCEPTION_OF(__asm__ volatile("xsave %0"
					    : "=m"(area)
					    : "a"(1), "d"(0))) == UD,
	      "XSAVE works");
	check(EXCEPTION_OF(__asm__ volatile("vpxor %xmm0, %xmm0, %xmm0")) == UD, "AVX works");
	check(EXCEPTION_OF(__asm__ volatile("rdfsbase %0" : "=r"(v))) == UD, "RDFSBASE works");
	if (!option("rdtscp-works"))
		check(EXCEPTION_OF(__asm__ volatile("rdtscp" ::
							    : "rax", "rcx", "rdx")) == UD,
		      "RDTSCP works");
	check(rdmsr_safe(0xc0000103, &v) == GP, "TSC_AUX can be read");
	check(rdmsr_safe(0xda0, &v) == GP, "XSS can be read");
	check(wrmsr_safe(0xda0, 0) == GP, "XSS can be written");
	/* Which SVM cannot take away. */
	if (cpuid(0, 0).ebx == 0x756e6547) {
		check(EXCEPTION_OF(__asm__ volatile("rdrand %0" : "=r"(v))) == UD, "RDRAND works");
		check(EXCEPTION_OF(__asm__ volatile("rdseed %0" : "=r"(v))) == UD, "RDSEED works");
		check(EXCEPTION_OF(__asm__ volatile(
			      ".byte 0x66, 0x0f, 0x38, 0x82, 0x01" ::"c"(area), "a"(2ull))) == UD,
		      "INVPCID works");
		check(EXCEPTION_OF(__asm__ volatile(".byte 0x0f, 0xc7, 0x29" ::"c"(area), "a"(0),
						    "d"(0))) == UD,
		      "XSAVES works");
	}
}

void test_main(void)
{
	if (!hosted())
		skip("Socle's CPU model");
	features();
	control_register_4();
	instructions();
	EXCEPTION_OF(user_call(from_user));
	check(last_trap.vector == GP, "CR4 from user mode: vector %d", last_trap.vector);
}
