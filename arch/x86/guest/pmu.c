/* SPDX-License-Identifier: BSD-2-Clause */
/* Performance counters of guests: whose are in each CPU, their interrupt, and their registers. */
#include "socle/guest/pmu.h"
#include "socle/cpu/apic.h"
#include "socle/cpu/cpu.h"
#include "socle/mm/frames.h"
#include "socle/string.h"

struct pmu_offer pmu_offer;

/* Whose counters are in each CPU; NULL: nobody's, they are zero. Only its CPU looks at it. */
static struct x86_vcpu *owners[CPU_MAX];

/*
 * The vCPU looks into it before its next entry. Nobody's is dropped: whose counter it was has been
 * reset, or was told in pmu_left().
 */
static void overflowed(void)
{
	struct x86_vcpu *v = owners[cpu_index()];

	/* Intel's APIC has masked it. */
	apic_open_pmi();
	if (v)
		vcpu_request(&v->base, VCPU_REQ_PMI);
}

void pmu_cpu_on(bool same)
{
	if (!pmu_offered())
		return;
	/* The firmware may have left something that counts. */
	for (unsigned i = 0; i < pmu_offer.count; i++)
		same = msr_write_safe(pmu_offer.msr[i], 0) && same;
	if (!same) {
		pmu_offer = (struct pmu_offer){
			.text = "not offered: the CPUs do not all have the same counters"};
		return;
	}
	interrupt_bind(HOST_VEC_PMI, overflowed);
	apic_open_pmi();
}

status_t pmu_create(struct x86_vcpu *v)
{
	v->pmu = pages_alloc(sizeof(*v->pmu), OWNER_VM_CORE);
	return v->pmu ? 0 : -S_NOMEM;
}

/* What a guest wrote, or another one's zeroes: the CPU may refuse a value that only it can make. */
static void put_back(uint32_t index, uint64_t value)
{
	if (!msr_write_safe(index, value))
		(void)!msr_write_safe(index, 0);
}

static void take_status(struct x86_pmu *p)
{
	uint64_t status;

	if (!pmu_offer.status)
		return;
	status = msr_read(pmu_offer.status);
	p->status |= status;
	if (status)
		put_back(pmu_offer.clear, status);
}

static void save_counters(struct x86_pmu *p)
{
	for (unsigned i = 0; i < pmu_offer.count; i++) {
		p->value[i] = msr_read(pmu_offer.msr[i]);
		put_back(pmu_offer.msr[i], 0);
	}
	take_status(p);
}

static void load_counters(struct x86_pmu *p)
{
	if (pmu_offer.set && p->status) {
		put_back(pmu_offer.set, p->status);
		p->status = 0;
	}
	for (unsigned i = 0; i < pmu_offer.count; i++)
		put_back(pmu_offer.msr[i], p->value[i]);
}

void pmu_switch_to(struct x86_vcpu *v)
{
	struct x86_vcpu **owner = &owners[cpu_index()];

	if (likely(*owner == v))
		return;
	if (*owner)
		save_counters((*owner)->pmu);
	load_counters(v->pmu);
	*owner = v;
}

void pmu_release(struct x86_vcpu *v)
{
	struct x86_vcpu **owner = &owners[cpu_index()];

	if (!v->pmu || *owner != v)
		return;
	save_counters(v->pmu);
	*owner = NULL;
}

void pmu_left(struct x86_vcpu *v)
{
	if (unlikely(v->pmu))
		interrupts_take();
}

void pmu_reset(struct x86_vcpu *v)
{
	struct x86_pmu *p = v->pmu;

	if (!p)
		return;
	pmu_release(v);
	memset(p, 0, sizeof(*p));
	for (unsigned i = 0; i < pmu_offer.count; i++)
		if (pmu_offer.msr[i] == pmu_offer.enable)
			p->value[i] = pmu_offer.enabled;
}

void pmu_deliver(struct x86_vcpu *v)
{
	/* As the CPU does, which may have been out of the guest by then (SDM vol. 3, 18.4.7). */
	if (pmu_offer.stops_lbr) {
		x86_load(v, X86_DR);
		if (v->state.debugctl & DEBUGCTL_FREEZE_LBRS_ON_PMI) {
			v->state.debugctl &= ~(uint64_t)DEBUGCTL_LBR;
			x86_dirty(v, X86_DR);
		}
	}
	events_pmi(v);
}

static enum msr_result counter_read(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				    uint64_t *value)
{
	return pmu_has(v, index) ? pmu_offer.read(v, index, value) : MSR_UNSUPPORTED;
}

static enum msr_result counter_write(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				     uint64_t value)
{
	return pmu_has(v, index) ? pmu_offer.write(v, index, value) : MSR_UNSUPPORTED;
}

/* Of registers that are there without counters, too. */
static enum msr_result old_read(struct x86_vcpu *v, uint32_t index, uint64_t *slot, uint64_t *value)
{
	*value = 0;
	return pmu_has(v, index) ? pmu_offer.read(v, index, value) : MSR_OK;
}

static enum msr_result old_write(struct x86_vcpu *v, uint32_t index, uint64_t *slot, uint64_t value)
{
	return pmu_has(v, index) ? pmu_offer.write(v, index, value) : MSR_OK;
}

static bool counter_exists(uint32_t index)
{
	return pmu_offer.has && pmu_offer.has(index);
}

#define PMU_ROW(n, i, c)                                                                    \
	.name = (n), .index = (i), .count = (c), .read = MSR_COUNTER, .write = MSR_COUNTER, \
	.valid = UINT64_MAX
/*
 * Without counters they read as 0 and ignore what is written: old software tries them without
 * asking, and AMD has no CPUID bit that says so.
 */
#define OLD_ROW(n, i, c)                                          \
	{                                                         \
		PMU_ROW(n, i, c), .rd = old_read, .wr = old_write \
	}
/* Without counters: not there. */
#define NEW_ROW(n, i, c, need)                                                              \
	{                                                                                   \
		PMU_ROW(n, i, c), .needs = need, .has = counter_exists, .rd = counter_read, \
				  .wr = counter_write                                       \
	}
#define NEEDS_COUNTERS           \
	{                        \
		.counters = true \
	}
#define INTEL_ROW(n, i, c)  NEW_ROW(n, i, c, NEEDS_COUNTERS)
#define AMD_ROW(n, i, c, f) NEW_ROW(n, i, c, NEEDS_FEATURE(f))

static const struct msr_policy counter_registers[] = {
	OLD_ROW("perfevtsel", MSR_PERFEVTSEL0, 4),
	OLD_ROW("perfctr", MSR_PERFCTR0, 4),
	OLD_ROW("p6_evntsel", MSR_P6_EVNTSEL0, 2),
	OLD_ROW("p6_perfctr", MSR_P6_PERFCTR0, 2),
	INTEL_ROW("evntsel", MSR_P6_EVNTSEL0 + 2, 6),
	INTEL_ROW("pmc_low", MSR_P6_PERFCTR0 + 2, 6),
	INTEL_ROW("pmc", MSR_PMC0, 8),
	INTEL_ROW("fixed_ctr", MSR_FIXED_CTR0, 4),
	INTEL_ROW("fixed_ctr_ctrl", MSR_FIXED_CTR_CTRL, 1),
	INTEL_ROW("perf_global_status", MSR_PERF_GLOBAL_STATUS, 1),
	INTEL_ROW("perf_global_ctrl", MSR_PERF_GLOBAL_CTRL, 1),
	INTEL_ROW("perf_global_reset", MSR_PERF_GLOBAL_RESET, 1),
	INTEL_ROW("perf_global_set", MSR_PERF_GLOBAL_SET, 1),
	INTEL_ROW("perf_global_inuse", MSR_PERF_GLOBAL_INUSE, 1),
	AMD_ROW("perf_core", MSR_PERF_CORE_CTL0, 12, GUEST_perfctr_core),
	AMD_ROW("amd_global_status", MSR_AMD_GLOBAL_STATUS, 1, GUEST_perfmon_v2),
	AMD_ROW("amd_global_ctl", MSR_AMD_GLOBAL_CTL, 1, GUEST_perfmon_v2),
	AMD_ROW("amd_global_clr", MSR_AMD_GLOBAL_CLR, 1, GUEST_perfmon_v2),
	AMD_ROW("amd_global_set", MSR_AMD_GLOBAL_SET, 1, GUEST_perfmon_v2),
};
MSR_POLICIES(counter_registers);
