/* SPDX-License-Identifier: BSD-2-Clause */
/* Floating-point, SSE and AVX registers keep their values over exits and interrupts. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "fpu_sse";

static volatile unsigned ticks;

static void tick(struct frame *f)
{
	(void)f;
	ticks++;
	lapic_write(LAPIC_EOI, 0);
}

void test_main(void)
{
	static uint8_t before[512] __aligned(64), after[512] __aligned(64);
	static uint8_t ymm[32] __aligned(32), ymm_after[32] __aligned(32);
	bool avx = (cpuid(1, 0).ecx & (BIT(26) | BIT(28))) == (BIT(26) | BIT(28));

	lapic_enable();
	irq_set(0x40, tick);
	lapic_write(LAPIC_TDCR, 0xb);
	lapic_write(LAPIC_LVTT, 0x20040);
	lapic_write(LAPIC_TMICT, 200000);
	__asm__ volatile("fninit; fldpi; fldl2e; fld1" ::: "memory");
	for (unsigned i = 0; i < 32; i++)
		ymm[i] = (uint8_t)(i * 7 + 1);
	for (unsigned i = 0; i < 16; i++) {
		uint64_t v = 0x0123456789abcdef * (i + 1);
		switch (i) {
#define XMM(n)                                                  \
	case n:                                                 \
		__asm__ volatile("movq %0, %%xmm" #n ::"r"(v)); \
		break
			XMM(0);
			XMM(1);
			XMM(2);
			XMM(3);
			XMM(4);
			XMM(5);
			XMM(6);
			XMM(7);
			XMM(8);
			XMM(9);
			XMM(10);
			XMM(11);
			XMM(12);
			XMM(13);
			XMM(14);
			XMM(15);
		}
	}
	if (avx) {
		write_cr4(read_cr4() | BIT(18));
		__asm__ volatile("xsetbv" ::"a"(7), "d"(0), "c"(0));
		__asm__ volatile("vmovdqa %0, %%ymm3" ::"m"(ymm));
	}
	__asm__ volatile("fxsave %0" : "=m"(before));
	for (unsigned i = 0; i < 2000; i++) {
		cpuid(0, 0);
		inb(0x80);
		lapic_read(LAPIC_ID);
		irq_on();
		irq_off();
	}
	irq_wait();
	__asm__ volatile("fxsave %0" : "=m"(after));
	if (avx)
		__asm__ volatile("vmovdqa %%ymm3, %0" : "=m"(ymm_after));
	check(!memcmp(before, after, 416), "the registers changed");
	check(!avx || !memcmp(ymm, ymm_after, 32), "an upper half changed");
	check(ticks > 0, "no interrupt came");
	check(read_cr0() == (read_cr0() & ~BIT(3)), "CR0.TS is set");
	info("%u interrupts, AVX %d", ticks, avx);
}
