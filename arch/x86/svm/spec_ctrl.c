/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's SPEC_CTRL: switched by the CPU, where it virtualizes it, else around each exit. */
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/guest/spec_ctrl.h"
#include "svm.h"

/*
 * With V_SPEC_CTRL (CPUID 8000_000A EDX[20]; APM vol. 2, appendix B) VMRUN loads the guest's from
 * the VMCB, the guest runs with that or ours, whichever has more bits, and #VMEXIT brings back
 * ours. Without, a vCPU that needs another value than ours runs in a loop of its own, which
 * switches it.
 */

static uint64_t *value_of(struct svm_vcpu *s)
{
	return cpu_has(CPU_SVM_SPEC_CTRL) ? &s->vmcb->spec_ctrl : &s->spec_ctrl;
}

bool svm_spec_ctrl_direct(const struct svm_vcpu *s)
{
	return spec_ctrl_direct(s->x.cpuid) &&
	       (cpu_has(CPU_SVM_SPEC_CTRL) || s->switches_spec_ctrl);
}

uint64_t svm_spec_ctrl(struct x86_vcpu *v)
{
	return *value_of(svm_vcpu(v));
}

void svm_set_spec_ctrl(struct x86_vcpu *v, uint64_t value)
{
	struct svm_vcpu *s = svm_vcpu(v);

	*value_of(s) = value;
	if (cpu_has(CPU_SVM_SPEC_CTRL) || s->switches_spec_ctrl || !spec_ctrl_must_switch(value))
		return;
	s->switches_spec_ctrl = true;
	svm_use_msr_map(s);
	/* Out of the loop that does not switch. */
	vcpu_request_self(&v->base, VCPU_REQ_LEAVE);
}

void svm_spec_ctrl_reset(struct svm_vcpu *s, uint64_t value)
{
	*value_of(s) = value;
	s->switches_spec_ctrl = !cpu_has(CPU_SVM_SPEC_CTRL) && spec_ctrl_must_switch(value);
}

void svm_spec_ctrl_enter(struct svm_vcpu *s)
{
	if (s->spec_ctrl != mitigations.spec_ctrl)
		msr_write(MSR_SPEC_CTRL, s->spec_ctrl);
}

/* Direct or not, what is there is the guest's. */
static __always_inline void leave_guest(struct svm_vcpu *s)
{
	s->spec_ctrl = msr_read(MSR_SPEC_CTRL);
	if (s->spec_ctrl != mitigations.spec_ctrl)
		msr_write(MSR_SPEC_CTRL, mitigations.spec_ctrl);
}

int svm_exit_switched(struct svm_vcpu *s)
{
	int leave;

	leave_guest(s);
	leave = svm_exit(s);
	if (!leave)
		svm_spec_ctrl_enter(s);
	return leave;
}
