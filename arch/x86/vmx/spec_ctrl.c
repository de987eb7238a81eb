/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's SPEC_CTRL, which entries and exits switch once its value is not covered by ours. */
#include "socle/cpu/regs.h"
#include "socle/guest/spec_ctrl.h"
#include "socle/mm/frames.h"
#include "vmx.h"
#include "vmx_insn.h"

/*
 * By the CPU itself, from and to areas of MSRs (SDM vol. 3, 25.7.2 and 25.8.2): exits store the
 * guest's where entries load it, and load ours. So ours is there before our first instruction, and
 * exits of vCPUs that do without are as they were.
 */

static void switch_it(struct vmx_vcpu *s, bool on)
{
	s->spec_ctrl.on = on;
	vmwrite(VMCS_EXIT_MSR_STORE_COUNT, on);
	vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, on);
	vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, on);
	vmx_use_msr_bitmap(s);
}

bool vmx_spec_ctrl_direct(const struct vmx_vcpu *s)
{
	return s->spec_ctrl.on && spec_ctrl_direct(s->x.cpuid);
}

uint64_t vmx_spec_ctrl(struct x86_vcpu *v)
{
	return vmx_vcpu(v)->spec_ctrl.guest.value;
}

void vmx_set_spec_ctrl(struct x86_vcpu *v, uint64_t value)
{
	struct vmx_vcpu *s = vmx_vcpu(v);

	s->spec_ctrl.guest.value = value;
	if (s->spec_ctrl.on || !spec_ctrl_must_switch(value))
		return;
	vmx_make_current(s);
	switch_it(s, true);
}

void vmx_spec_ctrl_reset(struct vmx_vcpu *s, bool init)
{
	struct vmx_spec_ctrl *c = &s->spec_ctrl;

	c->guest =
		(struct vmx_msr_entry){.index = MSR_SPEC_CTRL, .value = init ? c->guest.value : 0};
	c->host = (struct vmx_msr_entry){.index = MSR_SPEC_CTRL, .value = mitigations.spec_ctrl};
	vmwrite(VMCS_EXIT_MSR_STORE_ADDR, virt_to_phys(&c->guest));
	vmwrite(VMCS_ENTRY_MSR_LOAD_ADDR, virt_to_phys(&c->guest));
	vmwrite(VMCS_EXIT_MSR_LOAD_ADDR, virt_to_phys(&c->host));
	switch_it(s, spec_ctrl_must_switch(c->guest.value));
}
