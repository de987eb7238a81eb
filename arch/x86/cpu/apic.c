/* SPDX-License-Identifier: BSD-2-Clause */
/* The physical local APIC: timer and end of interrupt; routing of one line through the I/O APIC. */
#include "socle/cpu/apic.h"
#include "socle/cpu/cpu.h"
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"

/* Register offsets in xAPIC mode (SDM vol. 3, 11.4.1); the x2APIC MSR is 0x800 + offset / 16. */
enum apic_register {
	APIC_ID = 0x20, APIC_TPR = 0x80, APIC_EOI = 0xb0, APIC_SVR = 0xf0, APIC_LVT_TIMER = 0x320,
	APIC_ICR = 0x300, APIC_ICR_HIGH = 0x310,
	APIC_LVT_PERF = 0x340, APIC_LVT_LINT0 = 0x350, APIC_LVT_LINT1 = 0x360, APIC_LVT_ERROR = 0x370,
	APIC_TIMER_INITIAL = 0x380, APIC_TIMER_CURRENT = 0x390, APIC_TIMER_DIVIDE = 0x3e0,
};
enum {
	APIC_BASE_X2APIC = BIT(10),
	APIC_BASE_ENABLE = BIT(11),
	SVR_ENABLE = BIT(8),
	LVT_MASKED = BIT(16),
	LVT_NMI = 4 << 8,
	TIMER_DIVIDE_1 = 0xb,
	ICR_NMI = 4 << 8,
	ICR_INIT = 5 << 8,
	ICR_STARTUP = 6 << 8,
	ICR_PENDING = BIT(12),
	ICR_ASSERT = BIT(14),
	ICR_OTHERS = 3 << 18,
	XAPIC_BROADCAST = 0xff, /* all above needs x2APIC mode */
	PENDING_SPINS = 1000000,
};

static volatile uint32_t *base;
static bool x2apic;   /* the firmware left it on: then there is no way back but a reset */
static uint64_t rate; /* timer ticks per second */

static uint32_t apic_read(enum apic_register reg)
{
	return x2apic ? (uint32_t)msr_read(MSR_X2APIC + reg / 16) : base[reg / 4];
}

static void apic_write(enum apic_register reg, uint32_t value)
{
	if (x2apic)
		msr_write_ns(MSR_X2APIC + reg / 16, value);
	else
		base[reg / 4] = value;
}

void apic_init(volatile uint32_t *mmio)
{
	uint64_t apic_base = msr_read(MSR_APIC_BASE);

	if (!base) {
		base = mmio;
		x2apic = cpu_has(CPU_X2APIC) && (apic_base & APIC_BASE_X2APIC);
	}
	/* From x2APIC mode the way back leads through "off" (SDM vol. 3, 11.12.5). */
	if (!x2apic && (apic_base & APIC_BASE_X2APIC)) {
		apic_base &= ~(uint64_t)(APIC_BASE_X2APIC | APIC_BASE_ENABLE);
		msr_write(MSR_APIC_BASE, apic_base);
	}
	msr_write(MSR_APIC_BASE, apic_base | APIC_BASE_ENABLE);
	if (x2apic)
		msr_write(MSR_APIC_BASE, apic_base | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	apic_write(APIC_TPR, 0);
	apic_write(APIC_SVR, SVR_ENABLE | HOST_VEC_SPURIOUS);
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
	apic_write(APIC_LVT_LINT1, LVT_NMI);
	apic_write(APIC_LVT_ERROR, LVT_MASKED);
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
	apic_write(APIC_TIMER_DIVIDE, TIMER_DIVIDE_1);
}

void pic_disable(void)
{
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
}

uint32_t apic_id(void)
{
	return x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

void apic_signal_again(void)
{
	apic_write(APIC_TPR, 0);
}

static void send(uint32_t apic_id, uint32_t command)
{
	if (x2apic) {
		/* No fence is in it, and who receives must see what we wrote (SDM vol. 3, 11.12.3).
		 */
		__asm__ volatile("mfence; lfence" ::: "memory");
		msr_write_ns(MSR_X2APIC + APIC_ICR / 16, (uint64_t)apic_id << 32 | command);
		return;
	}
	for (unsigned i = 0; (base[APIC_ICR / 4] & ICR_PENDING) && i < PENDING_SPINS; i++)
		cpu_pause();
	base[APIC_ICR_HIGH / 4] = apic_id << 24;
	base[APIC_ICR / 4] = command;
}

bool apic_reaches(uint32_t apic_id)
{
	return x2apic || apic_id < XAPIC_BROADCAST;
}

void apic_send(uint32_t apic_id, uint8_t vector)
{
	send(apic_id, ICR_ASSERT | vector);
}

void apic_nmi_others(void)
{
	send(0, ICR_OTHERS | ICR_ASSERT | ICR_NMI);
}

void apic_open_pmi(void)
{
	apic_write(APIC_LVT_PERF, HOST_VEC_PMI);
}

void apic_send_init(uint32_t apic_id)
{
	send(apic_id, ICR_ASSERT | ICR_INIT);
}

void apic_send_startup(uint32_t apic_id, uint8_t page)
{
	send(apic_id, ICR_ASSERT | ICR_STARTUP | page);
}

void apic_timer_measure(void)
{
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
	apic_write(APIC_TIMER_INITIAL, UINT32_MAX);
}

uint32_t apic_timer_elapsed(void)
{
	return UINT32_MAX - apic_read(APIC_TIMER_CURRENT);
}

void apic_timer_rate(uint64_t hz)
{
	rate = hz;
	apic_timer_on();
}

void apic_timer_on(void)
{
	apic_write(APIC_TIMER_INITIAL, 0);
	apic_write(APIC_LVT_TIMER, HOST_VEC_TIMER);
}

void apic_timer_arm(uint64_t ns)
{
	uint64_t ticks = 0;

	if (ns) {
		/* Further away than a second: wake up once on the way, which is harmless. */
		ticks = MIN(ns, 1000000000ull) * rate / 1000000000ull;
		ticks = MIN(MAX(ticks, 1ull), (uint64_t)UINT32_MAX);
	}
	apic_write(APIC_TIMER_INITIAL, (uint32_t)ticks);
}

void ioapic_mask_all(volatile uint32_t *mmio)
{
	unsigned pins;

	mmio[0] = 1; /* version: number of the last entry in bits 23:16 */
	pins = (mmio[4] >> 16 & 0xff) + 1;
	for (unsigned pin = 0; pin < pins; pin++) {
		mmio[0] = 0x10 + 2 * pin;
		mmio[4] = LVT_MASKED;
	}
}

void ioapic_route(volatile uint32_t *mmio, unsigned pin, uint8_t vector, uint32_t dest, bool level,
		  bool active_low)
{
	/* Index register at 0, data at 0x10; entry n at 0x10 + 2n (82093AA data sheet, 3.2.4). */
	mmio[0] = 0x11 + 2 * pin;
	mmio[4] = dest << 24;
	mmio[0] = 0x10 + 2 * pin;
	mmio[4] = vector | (active_low ? BIT(13) : 0) | (level ? BIT(15) : 0);
}
