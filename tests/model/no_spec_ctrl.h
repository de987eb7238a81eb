/* SPDX-License-Identifier: BSD-2-Clause */
/* For models of something else: CPUs without SPEC_CTRL and protection keys. */
#ifndef TESTS_MODEL_NO_SPEC_CTRL_H
#define TESTS_MODEL_NO_SPEC_CTRL_H

#include "socle/guest/pks.h"
#include "socle/guest/spec_ctrl.h"

struct svm_vcpu;
struct vmx_vcpu;

bool spec_ctrl_direct(const struct guest_cpuid *t __unused)
{
	return false;
}

bool svm_spec_ctrl_direct(const struct svm_vcpu *s __unused);
bool svm_spec_ctrl_direct(const struct svm_vcpu *s __unused)
{
	return false;
}

bool vmx_spec_ctrl_direct(const struct vmx_vcpu *s __unused);
bool vmx_spec_ctrl_direct(const struct vmx_vcpu *s __unused)
{
	return false;
}

void mitigations_before_guest(unsigned number __unused)
{
}

void pks_save(struct x86_vcpu *v __unused)
{
}

void pks_restore(const struct x86_vcpu *v __unused)
{
}

void pks_reset(struct x86_vcpu *v __unused)
{
}

#endif
