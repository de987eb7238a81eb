/* SPDX-License-Identifier: BSD-2-Clause */
/* How many VMREADs and VMWRITEs an exit takes: only in the build that `make bench` makes for it. */
#include "socle/stats.h"
#include "vmx.h"
#include "vmx_insn.h"

#ifdef VMX_COUNT_ACCESSES

uint64_t vmx_accesses;

int vmx_exit_counted(struct vmx_vcpu *s);

int vmx_exit_counted(struct vmx_vcpu *s)
{
	uint64_t before = vmx_accesses;
	uint32_t reason = vmread(VMCS_EXIT_REASON) & EXIT_REASON_BASIC;
	int leave;

	vmx_accesses = before;
	leave = vmx_exit(s);
	if (reason < VMX_EXIT_REASONS)
		s->accesses[reason] += vmx_accesses - before;
	return leave;
}

static void print_accesses(struct vm *vm, struct format_sink *out)
{
	const struct vmx_vcpu *s = vmx_vcpu(x86_vcpu(vm->vcpu[0]));

	for (unsigned i = 0; i < VMX_EXIT_REASONS; i++)
		if (s->count[i])
			format_sink(out, "  %-12s %llu.%02llu\n", vmx_exit_name(i),
				    (unsigned long long)(s->accesses[i] / s->count[i]),
				    (unsigned long long)(s->accesses[i] * 100 / s->count[i] % 100));
}
STAT_SOURCE(vmcs_stats, .title = "VMREADs and VMWRITEs per exit", .print = print_accesses);

#endif
