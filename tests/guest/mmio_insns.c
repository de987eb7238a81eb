/* SPDX-License-Identifier: BSD-2-Clause */
/* Instruction forms on device memory: local APIC and I/O APIC registers. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "mmio_insns";

static volatile uint32_t *const tpr = (volatile uint32_t *)(LAPIC_BASE + LAPIC_TPR);

#define CHECK_TPR(expected, what) \
	check(*tpr == (expected), "%s: TPR is %#x, not %#x", what, *tpr, (unsigned)(expected))

#define ALU(insn, before, operand, after)                                                     \
	do {                                                                                  \
		*tpr = (before);                                                              \
		__asm__ volatile(insn " %1, (%0)" ::"r"(tpr), "i"(operand) : "memory", "cc"); \
		CHECK_TPR(after, insn " imm");                                                \
		*tpr = (before);                                                              \
		__asm__ volatile(insn " %1, (%0)" ::"r"(tpr), "r"(operand) : "memory", "cc"); \
		CHECK_TPR(after, insn " reg");                                                \
	} while (0)

#define MOV_REG(reg)                                                                     \
	do {                                                                             \
		uint64_t got_;                                                           \
		*tpr = 0x37;                                                             \
		__asm__ volatile("mov $-1, %%" reg "; mov %%" reg "d, %%" reg "d;"       \
				 "mov (%1), %%" reg "d; mov %%" reg ", %0"               \
				 : "=a"(got_)                                            \
				 : "D"(tpr)                                              \
				 : reg, "memory");                                       \
		check(got_ == 0x37, "load to " reg ": %#lx", got_);                      \
		__asm__ volatile("mov $0x49, %%" reg "; mov %%" reg "d, (%0)" ::"D"(tpr) \
				 : reg, "memory");                                       \
		CHECK_TPR(0x49, "store of " reg);                                        \
	} while (0)

static void arithmetic(void)
{
	uint8_t flag, flag2;

	ALU("orl", 0x12, 0x41, 0x53);
	ALU("andl", 0x77, 0x35, 0x35);
	ALU("xorl", 0x55, 0x33, 0x66);
	ALU("addl", 0x21, 0x13, 0x34);
	ALU("subl", 0x34, 0x13, 0x21);
	*tpr = 0x40;
	__asm__ volatile("incl (%0)" ::"r"(tpr) : "memory", "cc");
	CHECK_TPR(0x41, "incl");
	__asm__ volatile("decl (%0)" ::"r"(tpr) : "memory", "cc");
	CHECK_TPR(0x40, "decl");
	__asm__ volatile("btsl $3, (%0)" ::"r"(tpr) : "memory", "cc");
	CHECK_TPR(0x48, "btsl");
	__asm__ volatile("btrl $6, (%0)" ::"r"(tpr) : "memory", "cc");
	CHECK_TPR(0x08, "btrl");
	*tpr = 0x34;
	__asm__ volatile("cmpl $0x34, (%2); sete %0; testl $0x40, (%2); setz %1"
			 : "=q"(flag), "=q"(flag2)
			 : "r"(tpr)
			 : "memory", "cc");
	check(flag && flag2, "cmp %u, test %u", flag, flag2);
	__asm__ volatile("subl $0x35, (%1); setc %0" : "=q"(flag) : "r"(tpr) : "memory", "cc");
	check(flag, "borrow of subl is lost");
}

static void exchanges(void)
{
	uint32_t v = 0x62, eax;

	*tpr = 0x51;
	__asm__ volatile("xchgl %0, (%1)" : "+r"(v) : "r"(tpr) : "memory");
	check(v == 0x51, "xchg gives %#x", v);
	CHECK_TPR(0x62, "xchg");
	eax = 0x62;
	__asm__ volatile("lock cmpxchgl %2, (%1)" : "+a"(eax) : "r"(tpr), "r"(0x11u) : "memory");
	CHECK_TPR(0x11, "cmpxchg that is equal");
	eax = 0x99;
	__asm__ volatile("lock cmpxchgl %2, (%1)" : "+a"(eax) : "r"(tpr), "r"(0x22u) : "memory");
	check(eax == 0x11, "cmpxchg that differs gives %#x", eax);
	CHECK_TPR(0x11, "cmpxchg that differs");
	v = 5;
	__asm__ volatile("lock xaddl %0, (%1)" : "+r"(v) : "r"(tpr) : "memory");
	check(v == 0x11, "xadd gives %#x", v);
	CHECK_TPR(0x16, "xadd");
}

static void strings(void)
{
	static volatile uint32_t ram[2] = {0x25, 0};
	const volatile void *from = &ram[0];
	volatile void *to = tpr;
	uint64_t rax = 0x73;

	__asm__ volatile("stosl" : "+D"(to) : "a"(0x6bu) : "memory");
	CHECK_TPR(0x6b, "stosl");
	check(to == tpr + 1, "stosl leaves rdi wrong");
	to = tpr;
	__asm__ volatile("movsl" : "+D"(to), "+S"(from)::"memory");
	CHECK_TPR(0x25, "movsl to the device");
	*tpr = 0x3c;
	from = tpr;
	to = &ram[1];
	__asm__ volatile("movsl" : "+D"(to), "+S"(from)::"memory");
	check(ram[1] == 0x3c, "movsl from the device: %#x", ram[1]);
	from = tpr;
	__asm__ volatile("lodsl" : "+a"(rax), "+S"(from)::"memory");
	check(rax == 0x3c, "lodsl: %#lx", rax);
}

static void addressing(void)
{
	uint64_t base = LAPIC_BASE, index = LAPIC_TPR / 8, got;
	uint64_t fs = rdmsr(0xc0000100);

	*tpr = 0x44;
	__asm__ volatile("movl (%1,%2,8), %k0" : "=r"(got) : "r"(base), "r"(index) : "memory");
	check(got == 0x44, "base + index * 8: %#lx", got);
	__asm__ volatile("movl 0x7f(%1), %k0" : "=r"(got) : "r"(base + 1) : "memory");
	check(got == 0x44, "disp8: %#lx", got);
	__asm__ volatile("movl 0x12345680(%1), %k0"
			 : "=r"(got)
			 : "r"(base - 0x12345600)
			 : "memory");
	check(got == 0x44, "disp32: %#lx", got);
	__asm__ volatile("movabsl 0xfee00080, %%eax" : "=a"(got)::"memory");
	check(got == 0x44, "absolute: %#lx", got);
	__asm__ volatile("movabsl %%eax, 0xfee00080" ::"a"(0x55) : "memory");
	CHECK_TPR(0x55, "absolute store");
	__asm__ volatile("addr32 movl (%k1), %k0" : "=r"(got) : "r"(tpr) : "memory");
	check(got == 0x55, "addr32: %#lx", got);
	wrmsr(0xc0000100, LAPIC_BASE - 0x100);
	__asm__ volatile("movl %%fs:0x180, %k0" : "=r"(got)::"memory");
	check(got == 0x55, "FS base: %#lx", got);
	wrmsr(0xc0000100, fs);
	__asm__ volatile("movl $0x2a, (%0)" ::"r"(tpr) : "memory");
	CHECK_TPR(0x2a, "immediate store");
	__asm__ volatile("pushq %1; movl (%2), %%eax; xchgl %%eax, (%%rsp); popq %0"
			 : "=r"(got)
			 : "r"(0ull), "r"(tpr)
			 : "rax", "memory");
	check(got == 0x2a, "with the stack: %#lx", got);
	if (cpuid(1, 0).edx >> 26 & 1) {
		__asm__ volatile("movnti %1, (%0)" ::"r"(tpr), "r"(0x31) : "memory");
		CHECK_TPR(0x31, "movnti");
	}
}

void test_main(void)
{
	uint64_t got;

	lapic_enable();
	MOV_REG("r8");
	MOV_REG("r9");
	MOV_REG("r10");
	MOV_REG("r11");
	MOV_REG("r12");
	MOV_REG("r13");
	MOV_REG("r14");
	MOV_REG("r15");
	arithmetic();
	exchanges();
	strings();
	addressing();
	*tpr = 0;
	/* Narrow loads are undefined on these chips, but they must not leave high bits behind. */
	mmio_write(IOAPIC_BASE, 1);
	uint32_t version = mmio_read(IOAPIC_BASE + 0x10);
	__asm__ volatile("movzbl (%1), %k0" : "=r"(got) : "r"(IOAPIC_BASE + 0x10) : "memory");
	check(got <= 0xff, "movzbl: %#lx", got);
	__asm__ volatile("movslq (%1), %0" : "=r"(got) : "r"(IOAPIC_BASE + 0x10) : "memory");
	check(got == (uint64_t)(int64_t)(int32_t)version, "movslq: %#lx of %#x", got, version);
	/* Again and again at one address: what was remembered must not go stale. */
	for (uint32_t i = 0; i < 1000; i++) {
		mmio_write(LAPIC_BASE + LAPIC_TPR, i & 0xff);
		if (!check(mmio_read(LAPIC_BASE + LAPIC_TPR) == (i & 0xff), "TPR after %u", i))
			break;
	}
	/* Code that changes under the same address is decoded anew. */
	static uint8_t code[64] __aligned(64);
	void (*run)(void) = (void (*)(void))(uintptr_t)code;
	for (uint8_t v = 1; v < 9; v++) {
		uint8_t *p = code;
		*p++ = 0xb8; /* mov $0xfee00080, %eax */
		*p++ = 0x80, *p++ = 0x00, *p++ = 0xe0, *p++ = 0xfe;
		*p++ = 0xc7, *p++ = 0x00; /* movl $v, (%rax) */
		*p++ = v, *p++ = 0, *p++ = 0, *p++ = 0;
		*p++ = 0xc3;
		barrier();
		run();
		CHECK_TPR(v, "changed code");
	}
	*tpr = 0;
}
