/* SPDX-License-Identifier: BSD-2-Clause */
/* The running CPU's local APIC in either mode, for test guests with several CPUs. */
#include "smp.h"

enum { MSR_APIC_BASE = 0x1b, MSR_X2APIC = 0x800 };

bool smp_x2apic;

uint32_t apic_read(uint32_t reg)
{
	return smp_x2apic ? (uint32_t)rdmsr(MSR_X2APIC + (reg >> 4)) : lapic_read(reg);
}

void apic_write(uint32_t reg, uint32_t v)
{
	if (smp_x2apic)
		wrmsr(MSR_X2APIC + (reg >> 4), v);
	else
		lapic_write(reg, v);
}

void apic_ipi(uint32_t dest, uint32_t low)
{
	/* A WRMSR there does not wait for the stores before it (SDM vol. 3, 11.12.3). */
	__asm__ volatile("mfence; lfence" ::: "memory");
	if (smp_x2apic) {
		wrmsr(MSR_X2APIC + (LAPIC_ICR >> 4), (uint64_t)dest << 32 | low);
		return;
	}
	while (lapic_read(LAPIC_ICR) & ICR_PENDING)
		pause();
	lapic_write(LAPIC_ICR2, dest << 24);
	lapic_write(LAPIC_ICR, low);
}

uint32_t apic_id(void)
{
	return smp_x2apic ? apic_read(LAPIC_ID) : apic_read(LAPIC_ID) >> 24;
}

void apic_enter_x2apic(void)
{
	smp_x2apic = true;
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | BIT(10));
}
