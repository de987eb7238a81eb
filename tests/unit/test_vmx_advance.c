/* SPDX-License-Identifier: BSD-2-Clause */
/* Moving on after an instruction, and accesses that met no memory: EPT violations, APIC accesses.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "vmx_exits_mock.h"

static void behind_the_instruction(void **state __unused)
{
	for (unsigned len = 1; len <= 15; len++) {
		setup(NULL);
		vmcs[VMCS_EXIT_INSN_LEN] = len;
		assert_int_equal(leave_for(VMX_EXIT_CPUID), 0);
		assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1000 + len);
		/* The frequent case writes nothing else and needs no look at requests. */
		assert_int_equal(vmwrites, 1);
		assert_int_equal(prepared, 0);
	}
	vmcs[VMCS_GUEST_RIP] = 0xffffffff80000000;
	assert_int_equal(leave_for(VMX_EXIT_CPUID), 0);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0xffffffff8000000f);
}

/* SDM vol. 3, 25.4.2: STI and MOV SS block for one instruction; NMIs are another matter. */
static void ends_the_shadow(void **state __unused)
{
	static const uint32_t shadow[] = {BLOCKING_STI, BLOCKING_MOV_SS};

	for (unsigned i = 0; i < ARRAY_SIZE(shadow); i++) {
		for (unsigned slow = 0; slow < 2; slow++) {
			setup(NULL);
			vmcs[VMCS_GUEST_RFLAGS] |= slow ? RFLAGS_RF : 0;
			vmcs[VMCS_GUEST_INTERRUPTIBILITY] = shadow[i] | BLOCKING_NMI | BLOCKING_SMI;
			assert_int_equal(leave_for(VMX_EXIT_CPUID), 0);
			assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY],
					 BLOCKING_NMI | BLOCKING_SMI);
		}
	}
	/* Nothing to end, nothing to write. */
	forget_vmwrites();
	assert_int_equal(leave_for(VMX_EXIT_CPUID), 0);
	assert_int_equal(vmwrites_of[VMCS_GUEST_INTERRUPTIBILITY], 0);
	/* An instruction that faults is not done. */
	msr_ok = false;
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = BLOCKING_STI;
	assert_int_equal(leave_for(VMX_EXIT_RDMSR), 0);
	assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], BLOCKING_STI);
}

static void single_step(void **state __unused)
{
	vmcs[VMCS_GUEST_RFLAGS] |= RFLAGS_TF;
	assert_int_equal(leave_for(VMX_EXIT_CPUID), 0);
	assert_int_equal(raises, 1);
	assert_int_equal(raised.vector, VEC_DB);
	assert_true(raised.has_payload);
	assert_int_equal(raised.payload, BIT(14));
	assert_false(raised.has_error);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1003);
	assert_true(vmcs[VMCS_GUEST_RFLAGS] & RFLAGS_TF);
	assert_int_equal(prepared, 1);
}

/* SDM vol. 3, 18.4.3: with BTF only a branch traps, and what exits is none. */
static void single_step_on_branches(void **state __unused)
{
	vmcs[VMCS_GUEST_RFLAGS] |= RFLAGS_TF;
	vmcs[VMCS_GUEST_DEBUGCTL] = DEBUGCTL_BTF;
	assert_int_equal(leave_for(VMX_EXIT_CPUID), 0);
	assert_int_equal(raises, 0);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1003);
	vmcs[VMCS_GUEST_DEBUGCTL] = DEBUGCTL_LBR;
	assert_int_equal(leave_for(VMX_EXIT_CPUID), 0);
	assert_int_equal(raises, 1);
}

/* SDM vol. 3, 18.3.1.1: RF is cleared by the instruction that was resumed. */
static void resume_flag(void **state __unused)
{
	vmcs[VMCS_GUEST_RFLAGS] |= RFLAGS_RF;
	assert_int_equal(leave_for(VMX_EXIT_WRMSR), 0);
	assert_int_equal(raises, 0);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1003);
	assert_int_equal(vmcs[VMCS_GUEST_RFLAGS], RFLAGS_FIXED | RFLAGS_IF);
}

/* The slow way cuts RIP off by itself; the fast one leaves that to the failed entry. */
static void at_4_gib(void **state __unused)
{
	vmcs[VMCS_GUEST_CS_ACCESS] = CODE_32;
	vmcs[VMCS_GUEST_RFLAGS] |= RFLAGS_RF;
	vmcs[VMCS_GUEST_RIP] = 0xfffffffe;
	assert_int_equal(leave_for(VMX_EXIT_CPUID), 0);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 1);
	vmcs[VMCS_GUEST_CS_ACCESS] = CODE_64;
	vmcs[VMCS_GUEST_RFLAGS] |= RFLAGS_RF;
	vmcs[VMCS_GUEST_RIP] = 0xfffffffe;
	assert_int_equal(leave_for(VMX_EXIT_CPUID), 0);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x100000001);
}

/* For handlers that looked at registers: what they cached may be changed, and goes on. */
static void from_the_cache(void **state __unused)
{
	guest.x.avail = X86_RIP | X86_RFLAGS;
	guest.x.state.rip = 0x2000;
	guest.x.state.rflags = RFLAGS_FIXED;
	vmx_advance(&guest);
	assert_int_equal(guest.x.state.rip, 0x2003);
	assert_int_equal(guest.x.dirty, X86_RIP | X86_RFLAGS);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1000);
	/* Without a cached RIP straight to the VMCS. */
	guest.x.avail = X86_CR | X86_SEG;
	guest.x.dirty = 0;
	vmx_advance(&guest);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1003);
	assert_int_equal(guest.x.dirty, 0);
}

static uint32_t flags_of(uint64_t qualification)
{
	vmcs[VMCS_EXIT_QUALIFICATION] = qualification;
	assert_int_equal(leave_for(VMX_EXIT_EPT_VIOLATION), 0);
	return fault.flags;
}

/* SDM vol. 3, table 28-7. */
static void ept_violations(void **state __unused)
{
	const uint64_t access = BIT(7) | BIT(8);

	vmcs[VMCS_GUEST_PHYSICAL_ADDRESS] = 0xfec00010;
	vmcs[VMCS_GUEST_CR3] = 0x5000;
	assert_int_equal(flags_of(access | BIT(0)), 0);
	assert_int_equal(fault.gpa, 0xfec00010);
	assert_int_equal(fault.cr3, 0x5000);
	assert_int_equal(flags_of(access | BIT(1)), NESTED_WRITE);
	assert_int_equal(flags_of(access | BIT(0) | BIT(1)), NESTED_WRITE);
	assert_int_equal(flags_of(access | BIT(2)), NESTED_FETCH);
	/* It is mapped, in any way. */
	for (unsigned bit = 3; bit <= 5; bit++)
		assert_int_equal(flags_of(access | BIT(1) | BIT(bit)),
				 NESTED_WRITE | NESTED_PRESENT);
	/* Bit 8 tells the access itself from that to a table, if bit 7 is set. */
	assert_int_equal(flags_of(BIT(7) | BIT(0)), NESTED_TABLE);
	assert_int_equal(flags_of(BIT(7) | BIT(0) | BIT(1)), NESTED_TABLE | NESTED_WRITE);
	assert_int_equal(flags_of(BIT(0)), 0);
	/* What else there may be is no flag of ours. */
	assert_int_equal(flags_of(access | BIT(0) | MASK(63, 13) | MASK(11, 9) | BIT(6)), 0);
	assert_int_equal(guest.count[VMX_EXIT_EPT_VIOLATION], faults);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1000);
	assert_int_equal(vmwrites, 0);
}

static void code_modes(void **state __unused)
{
	static const struct {
		uint32_t access, entry;
		enum insn_mode mode;
		uint64_t la;
	} each[] = {
		{CODE_64, ENTRYCTL_IA32E, INSN_MODE_64, 0xfffff000},
		{CODE_32, ENTRYCTL_IA32E, INSN_MODE_32, 0x0000f000},
		{CODE_16, ENTRYCTL_IA32E, INSN_MODE_16, 0x0000f000},
		{CODE_32, 0, INSN_MODE_32, 0x0000f000},
		{CODE_16, 0, INSN_MODE_16, 0x0000f000},
		/* L means nothing outside of IA-32e mode. */
		{CODE_64, 0, INSN_MODE_16, 0x0000f000},
		{CODE_64 | ACCESS_DB, 0, INSN_MODE_32, 0x0000f000},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(each); i++) {
		setup(NULL);
		vmcs[VMCS_GUEST_CS_ACCESS] = each[i].access;
		vmcs[VMCS_ENTRY_CONTROLS] = each[i].entry | ENTRYCTL_LOAD_EFER;
		vmcs[VMCS_GUEST_RIP] = 0xfffff000;
		vmcs[VMCS_GUEST_CS_BASE] = 0x10000;
		flags_of(BIT(0));
		assert_int_equal(fault.mode, each[i].mode);
		assert_int_equal(fault.la, each[i].la);
	}
}

/* RF is set by the exit and no reason for the long way (SDM vol. 3, 28.3.3); TF is one. */
static void trace(void **state __unused)
{
	vmcs[VMCS_GUEST_RFLAGS] |= RFLAGS_RF;
	assert_int_equal(flags_of(BIT(0)) & NESTED_TRACE, 0);
	assert_true(vmcs[VMCS_GUEST_RFLAGS] & RFLAGS_RF);
	/* Skipped, the instruction takes it along. */
	fault_len = 4;
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = BLOCKING_STI | BLOCKING_NMI;
	flags_of(BIT(0));
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1004);
	assert_int_equal(vmcs[VMCS_GUEST_RFLAGS], RFLAGS_FIXED | RFLAGS_IF);
	assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], BLOCKING_NMI);
	forget_vmwrites();
	flags_of(BIT(0));
	assert_int_equal(vmwrites, 1);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1008);
	vmcs[VMCS_GUEST_RFLAGS] |= RFLAGS_TF;
	assert_int_equal(flags_of(BIT(0)), RFLAGS_TF);
	assert_true(NESTED_TRACE & RFLAGS_TF);
}

/* Done in the cache: the shadow ends; memory came: the instruction starts again within it. */
static void emulated_or_populated(void **state __unused)
{
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = BLOCKING_STI;
	flags_of(BIT(1));
	assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], BLOCKING_STI);
	assert_int_equal(prepared, 0);
	handler_dirties = X86_RIP;
	flags_of(BIT(1));
	assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], 0);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x8888);
	assert_int_equal(prepared, 1);
}

/* SDM vol. 3, 28.2.3 and 28.2.4. */
static void during_a_delivery(void **state __unused)
{
	vmcs[VMCS_IDT_VECTORING_INFO] = 0x80000b0e;
	flags_of(BIT(1) | BIT(12));
	assert_int_equal(interrupted, 1);
	assert_int_equal(interrupted_info, 0x80000b0e);
	assert_int_equal(interrupts_taken, 1);
	assert_int_equal(prepared_for, VCPU_REQ_AGAIN);
	assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], 0);
	/* Without one, bit 12 tells of an IRET that did not end an NMI's handler after all. */
	vmcs[VMCS_IDT_VECTORING_INFO] = 0xb0e;
	flags_of(BIT(1) | BIT(12));
	assert_int_equal(interrupted, 1);
	assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], BLOCKING_NMI);
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = 0;
	flags_of(BIT(1));
	assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], 0);
	/* Any other exit in the middle of one. */
	vmcs[VMCS_IDT_VECTORING_INFO] = 0x80000202;
	assert_int_equal(leave_for(VMX_EXIT_EXTERNAL_INTERRUPT), 0);
	assert_int_equal(interrupted, 2);
	assert_int_equal(interrupted_info, 0x80000202);
}

/* SDM vol. 3, table 28-6. */
static void apic_accesses(void **state __unused)
{
	static const struct {
		uint32_t type, flags;
	} each[] = {
		{0, 0}, {1, NESTED_WRITE}, {2, NESTED_FETCH}, {3, NESTED_TABLE},
		{10, NESTED_TABLE}, {15, NESTED_TABLE}, {7, NESTED_TABLE},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(each); i++) {
		setup(NULL);
		fault_len = 2;
		/* What lies above the type is reserved. */
		vmcs[VMCS_EXIT_QUALIFICATION] = 0xffff00b0 | each[i].type << 12;
		assert_int_equal(leave_for(VMX_EXIT_APIC_ACCESS), 0);
		assert_int_equal(faults, 1);
		assert_int_equal(fault.gpa, 0xfee000b0);
		assert_int_equal(fault.flags, each[i].flags);
		assert_int_equal(fault.mode, INSN_MODE_64);
		assert_int_equal(fault.la, 0x1000);
		assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1002);
	}
	vmcs[VMCS_IDT_VECTORING_INFO] = 0x800000d1;
	vmcs[VMCS_EXIT_QUALIFICATION] = 0x3000;
	fault_len = 0;
	assert_int_equal(leave_for(VMX_EXIT_APIC_ACCESS), 0);
	assert_true(interrupted);
	assert_int_equal(interrupted_info, 0x800000d1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(behind_the_instruction, setup),
		cmocka_unit_test_setup(ends_the_shadow, setup),
		cmocka_unit_test_setup(single_step, setup),
		cmocka_unit_test_setup(single_step_on_branches, setup),
		cmocka_unit_test_setup(resume_flag, setup),
		cmocka_unit_test_setup(at_4_gib, setup),
		cmocka_unit_test_setup(from_the_cache, setup),
		cmocka_unit_test_setup(ept_violations, setup),
		cmocka_unit_test_setup(code_modes, setup),
		cmocka_unit_test_setup(trace, setup),
		cmocka_unit_test_setup(emulated_or_populated, setup),
		cmocka_unit_test_setup(during_a_delivery, setup),
		cmocka_unit_test_setup(apic_accesses, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
