/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC's MSRs: its base, x2APIC registers and the TSC deadline. */
#include "lapic_internal.h"
#include "socle/cpu/regs.h"
#include "socle/guest/msr.h"

static enum msr_result base_read(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				 uint64_t *value)
{
	*value = v->lapic->base;
	return MSR_OK;
}

/* Legal transitions: SDM vol. 3, 11.12.5. The registers stay where they are. */
static enum msr_result base_write(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				  uint64_t value)
{
	struct lapic *l = v->lapic;
	uint64_t mode = value & (BASE_ENABLE | BASE_X2APIC);
	uint64_t old = l->base & (BASE_ENABLE | BASE_X2APIC);

	if ((value & ~(uint64_t)(BASE_BSP | BASE_ENABLE | BASE_X2APIC)) != LAPIC_GPA)
		return MSR_INVALID;
	if (mode == BASE_X2APIC || (old == (BASE_ENABLE | BASE_X2APIC) && mode == BASE_ENABLE) ||
	    (!old && mode == (BASE_ENABLE | BASE_X2APIC)))
		return MSR_INVALID;
	if (!mode && old)
		lapic_reset(l);
	__atomic_store_n(&l->base, LAPIC_GPA | mode | (l->base & BASE_BSP), __ATOMIC_RELAXED);
	/* The identifiers depend on it, and a CPU that does our work must know. */
	if (l->page)
		lapic_page_publish(l);
	/* As in lapic_write_lvt(): the PIC's output may have risen meanwhile. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	lapic_ask(l);
	return MSR_OK;
}

/* Registers that x2APIC mode does not have, or not for reading (SDM vol. 3, table 11-6). */
static bool x2apic_readable(uint32_t reg)
{
	return reg == APIC_ID || reg == APIC_VERSION || reg == APIC_TPR || reg == APIC_PPR ||
	       reg == APIC_LDR || reg == APIC_SVR || (reg >= APIC_ISR && reg < APIC_ESR + 0x10) ||
	       (reg >= APIC_LVT_TIMER && reg <= APIC_TIMER_CURRENT) || reg == APIC_TIMER_DIVIDE;
}

bool lapic_page_readable(uint32_t index)
{
	uint32_t reg = (index - MSR_X2APIC) * 0x10;

	/* The current count is worked out at each read. */
	return (x2apic_readable(reg) && reg != APIC_TIMER_CURRENT) || reg == APIC_ICR;
}

static enum msr_result x2apic_read(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				   uint64_t *value)
{
	struct lapic *l = v->lapic;
	uint32_t reg = (index - MSR_X2APIC) * 0x10;

	if (!lapic_x2apic(l))
		return MSR_UNSUPPORTED;
	if (reg == APIC_ICR)
		*value = l->icr;
	else if (x2apic_readable(reg))
		*value = lapic_read(l, reg);
	else
		return MSR_UNSUPPORTED;
	return MSR_OK;
}

static enum msr_result x2apic_write(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				    uint64_t value)
{
	struct lapic *l = v->lapic;
	uint32_t reg = (index - MSR_X2APIC) * 0x10;

	if (!lapic_x2apic(l))
		return MSR_UNSUPPORTED;
	if (reg == APIC_ICR) {
		lapic_write_icr(l, value);
		return MSR_OK;
	}
	if (value >> 32)
		return MSR_INVALID;
	switch (reg) {
	case APIC_EOI:
	case APIC_ESR:
		if (value)
			return MSR_INVALID;
		break;
	case APIC_TPR:
		if (value & ~0xffull)
			return MSR_INVALID;
		break;
	case APIC_SELF_IPI:
		if (value & ~0xffull)
			return MSR_INVALID;
		lapic_self_ipi(l, value);
		return MSR_OK;
	case APIC_SVR:
	case APIC_TIMER_INITIAL:
	case APIC_TIMER_DIVIDE:
	case APIC_LVT_TIMER ... APIC_LVT_ERROR:
		break;
	default:
		return MSR_UNSUPPORTED;
	}
	lapic_write(l, reg, value);
	return MSR_OK;
}

static enum msr_result deadline_read(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				     uint64_t *value)
{
	lapic_timer_due(v->lapic);
	*value = v->lapic->deadline;
	return MSR_OK;
}

static enum msr_result deadline_write(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				      uint64_t value)
{
	lapic_timer_deadline(v->lapic, value);
	return MSR_OK;
}

static const struct msr_policy lapic_msrs[] = {
	{.name = "apic_base",
	 .index = MSR_APIC_BASE,
	 .count = 1,
	 .read = MSR_EMULATED,
	 .write = MSR_EMULATED,
	 .valid = UINT64_MAX,
	 .rd = base_read,
	 .wr = base_write},
	{.name = "x2apic",
	 .index = MSR_X2APIC,
	 .count = 0x40,
	 .read = MSR_EMULATED,
	 .write = MSR_EMULATED,
	 NEEDS(1, REG_ECX, 21),
	 .valid = UINT64_MAX,
	 .at_init = MSR_INIT_RESETS,
	 .rd = x2apic_read,
	 .wr = x2apic_write},
	{.name = "tsc_deadline",
	 .index = MSR_TSC_DEADLINE,
	 .count = 1,
	 .read = MSR_EMULATED,
	 .write = MSR_EMULATED,
	 NEEDS(1, REG_ECX, 24),
	 .valid = UINT64_MAX,
	 .at_init = MSR_INIT_RESETS, /* with the timer: lapic_init() */
	 .rd = deadline_read,
	 .wr = deadline_write},
};
MSR_POLICIES(lapic_msrs);
