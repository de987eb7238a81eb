/* SPDX-License-Identifier: BSD-2-Clause */
/* x2APIC mode, where CPUID offers it: MSRs, self-IPI, timer, transitions that fault. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "x2apic";

static volatile unsigned ticks;

static void tick(struct frame *f)
{
	(void)f;
	ticks++;
	wrmsr(0x80b, 0);
}

void test_main(void)
{
	uint64_t base = rdmsr(0x1b), v;

	if (!(cpuid(1, 0).ecx >> 21 & 1)) {
		check(wrmsr_safe(0x1b, base | BIT(10)) == VEC_GP || !hosted(),
		      "x2APIC can be enabled without its CPUID bit");
		skip("no x2APIC");
	}
	lapic_enable();
	uint32_t id = lapic_read(LAPIC_ID) >> 24, version = lapic_read(LAPIC_VERSION);
	check(rdmsr_safe(0x802, &v) == VEC_GP, "x2APIC registers answer in xAPIC mode");
	irq_set(0x41, tick);
	wrmsr(0x1b, base | BIT(10));
	check(rdmsr(0x802) == id, "ID is %lu, was %u", rdmsr(0x802), id);
	check(rdmsr(0x803) == version, "version is %#lx, was %#x", rdmsr(0x803), version);
	check(rdmsr(0x80d) == ((id & ~15u) << 12 | 1u << (id & 15)), "LDR is %#lx", rdmsr(0x80d));
	wrmsr(0x83f, 0x41);
	irq_on();
	delay_us(100);
	irq_off();
	check(ticks == 1, "self-IPI came %u times", ticks);
	wrmsr(0x830, (uint64_t)id << 32 | 0x41);
	irq_on();
	delay_us(100);
	irq_off();
	check(ticks == 2, "IPI by ICR came %u times", ticks - 1);
	wrmsr(0x83e, 0xb);
	wrmsr(0x832, 0x41);
	wrmsr(0x838, 100000);
	irq_on();
	for (unsigned i = 0; i < 1000 && ticks < 3; i++)
		delay_us(1000);
	irq_off();
	check(ticks == 3, "timer came %u times", ticks - 2);
	check(wrmsr_safe(0x80b, 1) == VEC_GP, "EOI takes 1");
	check(wrmsr_safe(0x802, 0) == VEC_GP, "ID can be written");
	check(rdmsr_safe(0x80b, &v) == VEC_GP, "EOI can be read");
	check(rdmsr_safe(0x831, &v) == VEC_GP, "ICR2 can be read");
	check(wrmsr_safe(0x1b, base) == VEC_GP, "x2APIC to xAPIC is allowed");
	wrmsr(0x1b, base & ~BIT(11) & ~BIT(10));
	wrmsr(0x1b, base);
	check(lapic_read(LAPIC_VERSION) == version, "xAPIC does not come back");
}
