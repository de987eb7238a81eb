/* SPDX-License-Identifier: BSD-2-Clause */
/* Last branch records of a guest: the CPU switches them with DEBUGCTL (APM vol. 2, 15.23). */
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/format.h"
#include "socle/guest/cpuid_model.h"
#include "socle/guest/lbr.h"
#include "svm.h"
#include "svm_insn.h"

/*
 * The CPU loads the guest's DEBUGCTL and its four records at VMRUN, and saves them and loads ours
 * at #VMEXIT, while LBR_CONTROL_ENABLE is set in the VMCB; else it leaves all five alone, so that
 * the guest would use ours. Ours is always 0: so the control is set exactly while the guest's is
 * not, and only then are the records direct. Records of version 2 (CPUID 8000_0022) are hidden:
 * they would be switched, too, but not given back to us.
 */

/* Bits 5:2 were pins of old CPUs, and are something else on new ones: they have no effect. */
enum { WORKS = DEBUGCTL_LBR | DEBUGCTL_BTF, PINS = MASK(5, 2) };
enum { RECORDS = 4 };

/* A test's own jump: what the probe must find recorded. */
static __noinline bool records_branches(void)
{
	uint64_t from, to, here;

	msr_write(MSR_DEBUGCTL, DEBUGCTL_LBR);
	here = branch_to_next();
	from = msr_read(MSR_LASTBRANCHFROM);
	to = msr_read(MSR_LASTBRANCHTO);
	msr_write(MSR_DEBUGCTL, 0);
	/* Some CPUs have other things than the address in the upper bits. */
	return ((to ^ here) & MASK(47, 0)) == 0 && from;
}

/* Whether the CPU has what it advertises: emulators may not. NULL if so, else what is wrong. */
static const char *probe(void)
{
	uint64_t value;

	if (!cpu_has(CPU_SVM_LBRV))
		return "the CPU cannot virtualize them (LBRV)";
	for (uint32_t i = MSR_LASTBRANCHFROM; i < MSR_LASTBRANCHFROM + RECORDS; i++)
		if (!msr_read_safe(i, &value))
			return "the CPU lacks the registers that go with LBRV";
	if (!msr_write_safe(MSR_DEBUGCTL, DEBUGCTL_LBR) || !msr_read_safe(MSR_DEBUGCTL, &value) ||
	    !(value & DEBUGCTL_LBR)) {
		(void)!msr_write_safe(MSR_DEBUGCTL, 0);
		return "the CPU does not keep DEBUGCTL";
	}
	return records_branches() ? NULL : "the CPU records no branches";
}

/* The records, in the order of their registers. */
static uint64_t *records(struct vmcb *c)
{
	return &c->br_from;
}
_Static_assert(offsetof(struct vmcb, br_to) == offsetof(struct vmcb, br_from) + 8 &&
		       offsetof(struct vmcb, last_excp_from) ==
			       offsetof(struct vmcb, br_from) + 16 &&
		       offsetof(struct vmcb, last_excp_to) == offsetof(struct vmcb, br_from) + 24,
	       "in a row");

/* Every write to DEBUGCTL and the records of a VMCB: the CPU may have cached the old ones. */
static void set(struct vmcb *c, uint64_t *field, uint64_t value)
{
	*field = value;
	svm_touch(c, CLEAN_LBR);
}

/*
 * Has the control and the permission map of @s' VMCB follow its DEBUGCTL. Both, always: a map that
 * stays open while the control is off shows the guest what others left in the CPU.
 */
static void update(struct svm_vcpu *s)
{
	struct vmcb *c = s->vmcb;

	/* Never cached (APM vol. 2, 15.15.3). */
	c->lbr_control = c->dbgctl ? LBR_CONTROL_ENABLE : 0;
	svm_use_msr_map(s);
}

void svm_lbr_set_debugctl(struct svm_vcpu *s, uint64_t value)
{
	set(s->vmcb, &s->vmcb->dbgctl, value & lbr_offer.debugctl);
	update(s);
}

void svm_lbr_reset(struct svm_vcpu *s, const struct svm_lbr *kept)
{
	struct vmcb *c = s->vmcb;

	for (unsigned i = 0; i < RECORDS; i++)
		set(c, &records(c)[i], kept ? kept->record[i] : 0);
	svm_lbr_set_debugctl(s, 0);
}

struct svm_lbr svm_lbr_get(struct svm_vcpu *s)
{
	const struct vmcb *c = s->vmcb;

	return (struct svm_lbr){{c->br_from, c->br_to, c->last_excp_from, c->last_excp_to}};
}

static bool has(uint32_t index)
{
	return index - MSR_LASTBRANCHFROM < RECORDS;
}

/* What the VMCB holds is what the CPU saved at the exit, or when the guest last recorded. */
static enum msr_result read(struct x86_vcpu *v, uint32_t index, uint64_t *value)
{
	*value =
		records(svm_vcpu(v)->vmcb)[array_index_nospec(index - MSR_LASTBRANCHFROM, RECORDS)];
	return MSR_OK;
}

void svm_lbr_cpu_on(bool boot)
{
	static char text[96];
	const char *why;

	/* The firmware may have left something; from here on nobody sets it but the probe. */
	(void)!msr_write_safe(MSR_DEBUGCTL, 0);
	if (!boot)
		return;
	lbr_offer = (struct lbr_offer){.text = text, .ignored = WORKS | PINS};
	/* Intel's are not there, whatever an emulator's CPUID says. */
	cpu_model_withhold(GUEST_pdcm);
	cpu_model_withhold(GUEST_arch_lbr);
	why = probe();
	if (why) {
		format(text, sizeof(text), "not offered: %s", why);
		return;
	}
	format(text, sizeof(text), "offered: the last branch, BTF");
	lbr_offer.debugctl = WORKS;
	lbr_offer.ignored = PINS;
	lbr_offer.has = has;
	lbr_offer.read = read;
}
