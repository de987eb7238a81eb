/* SPDX-License-Identifier: BSD-2-Clause */
/* What a guest has of the MSR table: its CPU model and its filter, for dispatcher, maps, console.
 */
#include "socle/guest/cpuid.h"
#include "socle/guest/msr.h"
#include "socle/guest/pmu.h"
#include "socle/report.h"
#include "socle/string.h"

static const struct vm_msr_filter *filter_of(const struct x86_vcpu *v)
{
	return &v->base.vm->settings.msr;
}

static bool has_bit(const struct x86_vcpu *v, const struct cpuid_bit *b)
{
	return b->used && cpuid_guest_bit(v->cpuid, b->leaf, b->reg, b->bit);
}

static bool in_model(const struct x86_vcpu *v, const struct msr_policy *p)
{
	if (p->needs.counters && !v->pmu)
		return false;
	if (p->needs.feature)
		return cpuid_guest_has(v->cpuid, p->needs.feature);
	return !p->needs.used || has_bit(v, &p->needs) || has_bit(v, &p->or_needs);
}

/* @access, if the filter denies it for no register of @p; else 0. */
static uint8_t undenied(const struct x86_vcpu *v, const struct msr_policy *p, uint8_t access)
{
	for (unsigned i = 0; i < p->count; i++)
		if (msr_filter_denies(filter_of(v), p->index + i, access))
			return 0;
	return access;
}

void msr_create(struct x86_vcpu *v)
{
	ASSERT(!v->base.vm->frozen);
	memset(v->msr_access, 0, sizeof(v->msr_access));
	for (unsigned n = 0; n < msr_policy_count(); n++) {
		const struct msr_policy *p = msr_policy(n);

		if (in_model(v, p))
			v->msr_access[n] = MSR_OFFERED | undenied(v, p, VM_MSR_READ) |
					   undenied(v, p, VM_MSR_WRITE);
	}
}

static bool offered(const struct x86_vcpu *v, unsigned n, uint32_t index)
{
	const struct msr_policy *p = msr_policy(n);

	return (v->msr_access[n] & MSR_OFFERED) && (!p->has || p->has(index));
}

/* What an access does in this guest, if it is a counter's. */
static enum msr_action counter_action(const struct x86_vcpu *v, uint32_t index, bool write)
{
	if (!pmu_has(v, index))
		return MSR_CONSTANT;
	return pmu_offer.direct(index, write) ? MSR_DIRECT : MSR_EMULATED;
}

static enum msr_action action_of(const struct x86_vcpu *v, unsigned n, uint32_t index, bool write)
{
	const struct msr_policy *p = msr_policy(n);
	enum msr_action action = write ? p->write : p->read;

	return action == MSR_COUNTER ? counter_action(v, index, write) : action;
}

/* Is the access by @action in this guest, in the model, and not denied? */
static bool may(const struct x86_vcpu *v, unsigned n, uint32_t index, bool write,
		enum msr_action action)
{
	return offered(v, n, index) && action_of(v, n, index, write) == action &&
	       !msr_filter_denies(filter_of(v), index, write ? VM_MSR_WRITE : VM_MSR_READ);
}

static void visit_rows(const struct x86_vcpu *v, enum msr_action action,
		       void (*visit)(uint32_t index, bool read, bool write, void *map), void *map)
{
	for (unsigned n = 0; n < msr_policy_count(); n++) {
		const struct msr_policy *p = msr_policy(n);

		for (unsigned i = 0; i < p->count; i++) {
			bool read = may(v, n, p->index + i, false, action);
			bool write = may(v, n, p->index + i, true, action);

			if (read || write)
				visit(p->index + i, read, write, map);
		}
	}
}

void msr_visit_direct(const struct x86_vcpu *v,
		      void (*visit)(uint32_t index, bool read, bool write, void *map), void *map)
{
	visit_rows(v, MSR_DIRECT, visit, map);
}

void msr_visit_lbr(const struct x86_vcpu *v,
		   void (*visit)(uint32_t index, bool read, bool write, void *map), void *map)
{
	visit_rows(v, MSR_WHILE_LBR, visit, map);
}

void msr_visit_switched(const struct x86_vcpu *v,
			void (*visit)(uint32_t index, bool read, bool write, void *map), void *map)
{
	visit_rows(v, MSR_SWITCHED, visit, map);
}

const char *msr_behaviour(const struct x86_vcpu *v, unsigned n, uint32_t index, bool write)
{
	static const char *const texts[] = {
		[MSR_REJECT] = "rejected",     [MSR_DIRECT] = "direct",
		[MSR_STORED] = "stored",       [MSR_EMULATED] = "emulated",
		[MSR_CONSTANT] = "constant",   [MSR_WHILE_LBR] = "recording",
		[MSR_SWITCHED] = "switched",
	};

	if (!offered(v, n, index))
		return "unsupported";
	if (msr_filter_denies(filter_of(v), index, write ? VM_MSR_WRITE : VM_MSR_READ))
		return "filtered";
	return texts[action_of(v, n, index, write)];
}
