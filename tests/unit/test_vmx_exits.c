/* SPDX-License-Identifier: BSD-2-Clause */
/* The exit table of VMX: every reason there could be, failed entries, and the handlers' outcomes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "vmx_exits_mock.h"

/* By number (SDM vol. 3, appendix C): what we never enable, or no CPU has. */
static bool is_known(uint32_t basic)
{
	static const uint8_t known[] = {
		0, 1, 2, 3, 7, 8, 9, 10, 11, 12, 13, 15, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27,
		28, 30, 31, 32, 36, 39, 40, 44, 45, 48, 49, 50, 52, 53, 54, 55, 56, 57, 59, 60, 61, 70,
		76, 77, 84, 85,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
		if (basic == known[i])
			return true;
	return false;
}

static void is_killed_for(uint32_t reason)
{
	char text[64];

	setup(NULL);
	assert_int_equal(leave_for(reason), 1 + VCPU_LEAVE_REQUESTED);
	snprintf(text, sizeof(text), "vCPU 0: unexpected exit %#x", reason);
	assert_string_equal(killed, text);
	assert_int_equal(guest.count[COUNT_OTHER], 1);
	assert_int_equal(dumps, 1);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1000);
}

static void unknown_reasons(void **state __unused)
{
	for (uint32_t basic = 0; basic <= 0xffff; basic += basic < 0x100 ? 1 : 0xff)
		if (!is_known(basic))
			is_killed_for(basic);
	for (uint32_t bit = 16; bit < 31; bit++)
		is_killed_for(VMX_EXIT_REASONS | BIT(bit));
}

static void known_reasons(void **state __unused)
{
	for (uint32_t basic = 1; basic < VMX_EXIT_REASONS; basic++) {
		if (!is_known(basic))
			continue;
		setup(NULL);
		leave_for(basic);
		assert_int_equal(guest.count[basic], 1);
		assert_int_equal(guest.count[COUNT_OTHER], 0);
		assert_int_equal(dumps, 0);
		assert_true(vmx_exit_name(basic)[0]);
	}
}

/* The frequent ones are compared as a whole; with more bits set they are no longer understood. */
static void extra_bits(void **state __unused)
{
	static const uint8_t frequent[] = {VMX_EXIT_CPUID, VMX_EXIT_VMCALL, VMX_EXIT_IO,
					   VMX_EXIT_RDMSR, VMX_EXIT_WRMSR,  VMX_EXIT_EPT_VIOLATION};

	for (unsigned i = 0; i < ARRAY_SIZE(frequent); i++) {
		is_killed_for(frequent[i] | EXIT_REASON_BUS_LOCK);
		is_killed_for(frequent[i] | EXIT_REASON_ENCLAVE);
		assert_int_equal(msr_accesses + cpuids + port_ins + port_outs + faults, 0);
	}
	/* Of the others the basic reason counts. */
	setup(NULL);
	assert_int_equal(leave_for(VMX_EXIT_WBINVD | EXIT_REASON_BUS_LOCK), 0);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1003);
}

static void names(void **state __unused)
{
	assert_string_equal(vmx_exit_name(VMX_EXIT_CPUID), "cpuid");
	assert_string_equal(vmx_exit_name(5), "");
	assert_string_equal(vmx_exit_name(VMX_EXIT_REASONS), "");
	assert_string_equal(vmx_exit_name(UINT32_MAX), "");
}

static void failed_entries(void **state __unused)
{
	/* Whatever the basic reason, and although VMCALL is known. */
	static const uint32_t reasons[] = {0x80000021, 0x80000022, 0x80000012, 0x8000ffff};

	for (unsigned i = 0; i < ARRAY_SIZE(reasons); i++) {
		setup(NULL);
		failed_check = "guest CR4 is wrong";
		assert_int_equal(leave_for(reasons[i]), 1 + VCPU_LEAVE_REQUESTED);
		assert_string_equal(killed, "vCPU 0: VM entry failed: guest CR4 is wrong");
		assert_int_equal(dumps, 1);
		assert_int_equal(guest.x.state.gpr[GPR_RAX], 0);
	}
	setup(NULL);
	leave_for(0x80000021);
	assert_string_equal(killed, "vCPU 0: VM entry failed: no check that we know of fails");
	setup(NULL);
	assert_panics(leave_for(0x80000029));
	assert_panics((vmcs[VMCS_EXIT_INTR_INFO] = 0x80000312, leave_for(0)));
}

static void refused_entries(void **state __unused)
{
	vmcs[VMCS_INSN_ERROR] = VMX_ERROR_ENTRY_CONTROLS;
	failed_check = "pin-based controls";
	guest.x.avail = X86_ALL;
	assert_int_equal(vmx_entry_refused(&guest), 1 + VCPU_LEAVE_REQUESTED);
	assert_string_equal(killed, "vCPU 0: VM entry refused: pin-based controls");
	assert_int_equal(guest.x.avail, 0);
}

/* RIP ran over in 32-bit code: cut off and entered again (SDM vol. 3, 27.3.1.4). */
static void overflow_is_repaired(void **state __unused)
{
	static const uint32_t code[] = {CODE_16, CODE_32};

	for (unsigned i = 0; i < ARRAY_SIZE(code); i++) {
		setup(NULL);
		vmcs[VMCS_GUEST_CS_ACCESS] = code[i];
		vmcs[VMCS_GUEST_RIP] = 0xffffffff;
		assert_int_equal(leave_for(VMX_EXIT_CPUID), 0);
		assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x100000002);
		assert_int_equal(leave_for(0x80000021), 0);
		assert_int_equal(vmcs[VMCS_GUEST_RIP], 2);
		assert_string_equal(killed, "");
		/* Anything else that high is not ours. */
		vmcs[VMCS_GUEST_RIP] = 0x200000002;
		assert_true(leave_for(0x80000021));
		assert_true(killed[0]);
	}
	setup(NULL);
	vmcs[VMCS_GUEST_RIP] = 0x100000002;
	assert_true(leave_for(0x80000021));
	assert_true(killed[0]);
	/* L means nothing outside of IA-32e mode. */
	setup(NULL);
	vmcs[VMCS_ENTRY_CONTROLS] = 0;
	vmcs[VMCS_GUEST_RIP] = 0x100000002;
	assert_int_equal(leave_for(0x80000021), 0);
}

static void the_cache_is_old_after_an_exit(void **state __unused)
{
	guest.x.avail = X86_ALL;
	assert_int_equal(leave_for(VMX_EXIT_INIT), 0);
	assert_int_equal(guest.x.avail, 0);
}

static void msr_accesses_and_faults(void **state __unused)
{
	assert_int_equal(leave_for(VMX_EXIT_RDMSR), 0);
	assert_int_equal(guest.x.state.gpr[GPR_RAX], 0x55667788);
	assert_int_equal(guest.x.state.gpr[GPR_RDX], 0x11223344);
	assert_int_equal(leave_for(VMX_EXIT_WRMSR), 0);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1006);
	assert_int_equal(prepared, 0);
	msr_ok = false;
	assert_int_equal(leave_for(VMX_EXIT_RDMSR), 0);
	assert_int_equal(leave_for(VMX_EXIT_WRMSR), 0);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1006);
	assert_int_equal(msr_faults, 2);
	assert_int_equal(prepared, 2);
}

static void cpuid_and_vmcall(void **state __unused)
{
	guest.x.state.gpr[GPR_RAX] = 0xffff;
	assert_int_equal(leave_for(VMX_EXIT_CPUID), 0);
	assert_int_equal(cpuids, 1);
	guest.x.state.gpr[GPR_RAX] = 0;
	guest.x.state.gpr[GPR_RBX] = 0x5555;
	assert_int_equal(leave_for(VMX_EXIT_CPUID), 0);
	assert_int_equal(cpuids, 1);
	assert_int_equal(guest.x.state.gpr[GPR_RBX], 0);
	assert_int_equal(leave_for(VMX_EXIT_VMCALL), 0);
	assert_int_equal(guest.x.state.gpr[GPR_RAX], (uint64_t)-1000);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1009);
}

/* SDM vol. 3, table 28-5. */
static void port_accesses(void **state __unused)
{
	static const struct {
		uint32_t qualification;
		uint16_t port;
		uint8_t size;
		bool in;
	} each[] = {
		{0x00640000, 0x64, 1, false},  {0x03f80068, 0x3f8, 1, true},
		{0x0cf80003, 0xcf8, 4, false}, {0xffff0009, 0xffff, 2, true},
		{0x12340001, 0x1234, 2, false}, {0x0cfc000b, 0xcfc, 4, true},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(each); i++) {
		setup(NULL);
		vmcs[VMCS_EXIT_QUALIFICATION] = each[i].qualification;
		assert_int_equal(leave_for(VMX_EXIT_IO), 0);
		assert_int_equal(port_ins, each[i].in);
		assert_int_equal(port_outs, !each[i].in);
		assert_int_equal(port_last, each[i].port);
		assert_int_equal(port_size, each[i].size);
		assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1003);
	}
	/* INS and OUTS are emulated; a shadow ends only if the instruction is done. */
	setup(NULL);
	vmcs[VMCS_EXIT_QUALIFICATION] = 0x01f00019;
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = BLOCKING_STI;
	assert_int_equal(leave_for(VMX_EXIT_IO), 0);
	assert_int_equal(string_ios, 1);
	assert_int_equal(port_last, 0x1f0);
	assert_int_equal(port_size, 2);
	assert_int_equal(port_ins + port_outs, 0);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1000);
	assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], BLOCKING_STI);
	handler_dirties = X86_RIP;
	assert_int_equal(leave_for(VMX_EXIT_IO), 0);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x7777);
	assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], 0);
}

static void interrupts_and_nmis(void **state __unused)
{
	assert_int_equal(leave_for(VMX_EXIT_EXTERNAL_INTERRUPT), 0);
	assert_int_equal(interrupts_taken, 1);
	vmcs[VMCS_EXIT_INTR_INFO] = 0x80000202;
	assert_int_equal(leave_for(VMX_EXIT_EXCEPTION_NMI), 0);
	assert_int_equal(nmis_handled, 1);
	assert_int_equal(raises + prepared, 0);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1000);
	/* The preemption timer gives the CPU away. */
	assert_int_equal(leave_for(VMX_EXIT_PREEMPTION_TIMER), 1 + VCPU_LEAVE_REQUESTED);
	assert_int_equal(interrupts_taken, 2);
	assert_int_equal(polls, 1);
	/* Windows lead to a look at what waits. */
	assert_int_equal(leave_for(VMX_EXIT_INTERRUPT_WINDOW), 0);
	assert_int_equal(prepared_for, VCPU_REQ_AGAIN);
	assert_int_equal(leave_for(VMX_EXIT_NMI_WINDOW), 0);
	assert_int_equal(prepared, 3);
}

/* SDM vol. 3, 28.1: DR6 is not updated; the qualification has its bits. */
static void exceptions(void **state __unused)
{
	vmcs[VMCS_EXIT_INTR_INFO] = 0x80000301;
	vmcs[VMCS_EXIT_QUALIFICATION] = 0x6003;
	assert_int_equal(leave_for(VMX_EXIT_EXCEPTION_NMI), 0);
	assert_int_equal(raised.vector, VEC_DB);
	assert_true(raised.has_payload);
	assert_int_equal(raised.payload, 0x6003);
	assert_false(raised.has_error);
	assert_int_equal(prepared, 1);
	/* A guest could make these recur, with no other chance for the host's interrupts. */
	assert_int_equal(interrupts_taken, 1);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1000);
	/* INT1: a trap, behind the instruction. */
	vmcs[VMCS_EXIT_INTR_INFO] = 0x80000501;
	assert_int_equal(leave_for(VMX_EXIT_EXCEPTION_NMI), 0);
	assert_int_equal(raised.vector, VEC_DB);
	assert_int_equal(guest.x.state.rip, 0x1003);
	vmcs[VMCS_EXIT_INTR_INFO] = 0x80000b11;
	assert_int_equal(leave_for(VMX_EXIT_EXCEPTION_NMI), 0);
	assert_int_equal(raised.vector, VEC_AC);
	assert_true(raised.has_error);
	assert_int_equal(raised.error, 0);
	assert_false(raised.has_payload);
	assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], 0);
}

/* SDM vol. 3, 28.2.2 and 28.2.3: the IRET that unblocked NMIs faulted, so it did not. */
static void iret_that_faulted(void **state __unused)
{
	vmcs[VMCS_EXIT_INTR_INFO] = 0x80001b11;
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = BLOCKING_STI;
	assert_int_equal(leave_for(VMX_EXIT_EXCEPTION_NMI), 0);
	assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], BLOCKING_STI | BLOCKING_NMI);
	/* Within the delivery of an event the bit means nothing. */
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = 0;
	vmcs[VMCS_IDT_VECTORING_INFO] = 0x800000d1;
	assert_int_equal(leave_for(VMX_EXIT_EXCEPTION_NMI), 0);
	assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], 0);
	assert_int_equal(interrupted, 1);
	assert_int_equal(interrupted_info, 0x800000d1);
	/* At each of the two exceptions, and for the delivery. */
	assert_int_equal(interrupts_taken, 3);
}

static void halt(void **state __unused)
{
	wakes = false;
	assert_int_equal(leave_for(VMX_EXIT_HLT), 1 + VCPU_LEAVE_HALTED);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1003);
	assert_true(woken_with_interrupts);
	assert_true(guest.x.halted);
	assert_int_equal(prepared, 0);
	vmcs[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED | RFLAGS_TF;
	assert_int_equal(leave_for(VMX_EXIT_HLT), 1 + VCPU_LEAVE_HALTED);
	assert_false(woken_with_interrupts);
	/* What the slow way left in the cache is written. */
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1006);
	assert_int_equal(guest.x.dirty, 0);
	wakes = true;
	assert_int_equal(leave_for(VMX_EXIT_HLT), 0);
	assert_int_equal(prepared_for, VCPU_REQ_AGAIN);
	assert_false(guest.x.halted);
}

/* Only the CPU knows that an IRET unblocked NMIs; it is asked only if they were blocked. */
static void halt_after_nmi(void **state __unused)
{
	guest.x.events.nmi_blocked = true;
	leave_for(VMX_EXIT_HLT);
	assert_true(woken_with_nmis);
	guest.x.events.nmi_blocked = true;
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = BLOCKING_NMI;
	leave_for(VMX_EXIT_HLT);
	assert_false(woken_with_nmis);
	guest.x.events.nmi_blocked = false;
	leave_for(VMX_EXIT_HLT);
	assert_true(woken_with_nmis);
}

/* Behind the PAUSE, and out, if the scheduler knows somebody else. */
static void pause_loop(void **state __unused)
{
	assert_int_equal(leave_for(VMX_EXIT_PAUSE), 1 + VCPU_LEAVE_REQUESTED);
	assert_int_equal(given_way, 1);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1003);
}

static void refused_instructions(void **state __unused)
{
	static const uint8_t undefined[] = {11, 19, 20, 21, 22, 23, 24, 25, 26, 27, 36,
					    39, 50, 53, 57, 59, 60, 61, 70, 76, 77};

	for (unsigned i = 0; i < ARRAY_SIZE(undefined); i++) {
		setup(NULL);
		assert_int_equal(leave_for(undefined[i]), 0);
		assert_int_equal(raises, 1);
		assert_int_equal(raised.vector, VEC_UD);
		assert_false(raised.has_error);
		assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1000);
		assert_int_equal(prepared, 1);
	}
	assert_int_equal(leave_for(VMX_EXIT_RDPMC), 0);
	assert_int_equal(raised.vector, VEC_GP);
	assert_true(raised.has_error);
	xsetbv_ok = false;
	assert_int_equal(leave_for(VMX_EXIT_XSETBV), 0);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1000);
	xsetbv_ok = true;
	assert_int_equal(leave_for(VMX_EXIT_XSETBV), 0);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1003);
	assert_int_equal(leave_for(VMX_EXIT_WBINVD), 0);
	assert_int_equal(leave_for(VMX_EXIT_INVD), 0);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1009);
}

static void ends_of_a_guest(void **state __unused)
{
	vmcs[VMCS_GUEST_CS_SELECTOR] = 0x10;
	assert_true(leave_for(VMX_EXIT_TRIPLE_FAULT));
	assert_string_equal(killed, "vCPU 0: triple fault (rip 0010:0x1000)");
	vmcs[VMCS_EXIT_QUALIFICATION] = 0xc0000028;
	assert_true(leave_for(VMX_EXIT_TASK_SWITCH));
	assert_non_null(strstr(killed, "task switch to 0028"));
	vmcs[VMCS_GUEST_PHYSICAL_ADDRESS] = 0x12345000;
	assert_true(leave_for(VMX_EXIT_EPT_MISCONFIG));
	assert_non_null(strstr(killed, "0x12345000"));
}

static void apic_exits(void **state __unused)
{
	/* Both follow what the instruction did: nothing is skipped. */
	assert_int_equal(leave_for(VMX_EXIT_APIC_WRITE), 0);
	assert_int_equal(apic_writes, 1);
	assert_int_equal(leave_for(VMX_EXIT_VIRTUALIZED_EOI), 0);
	assert_int_equal(apic_eois, 1);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1000);
	/* Accesses to control registers are elsewhere; the shadow ends here. */
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = BLOCKING_MOV_SS | BLOCKING_NMI;
	assert_int_equal(leave_for(VMX_EXIT_CR_ACCESS), 0);
	assert_int_equal(cr_accesses, 1);
	assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], BLOCKING_NMI);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(unknown_reasons, setup),
		cmocka_unit_test_setup(known_reasons, setup),
		cmocka_unit_test_setup(extra_bits, setup),
		cmocka_unit_test_setup(names, setup),
		cmocka_unit_test_setup(failed_entries, setup),
		cmocka_unit_test_setup(refused_entries, setup),
		cmocka_unit_test_setup(overflow_is_repaired, setup),
		cmocka_unit_test_setup(the_cache_is_old_after_an_exit, setup),
		cmocka_unit_test_setup(msr_accesses_and_faults, setup),
		cmocka_unit_test_setup(cpuid_and_vmcall, setup),
		cmocka_unit_test_setup(port_accesses, setup),
		cmocka_unit_test_setup(interrupts_and_nmis, setup),
		cmocka_unit_test_setup(exceptions, setup),
		cmocka_unit_test_setup(iret_that_faulted, setup),
		cmocka_unit_test_setup(halt, setup),
		cmocka_unit_test_setup(halt_after_nmi, setup),
		cmocka_unit_test_setup(pause_loop, setup),
		cmocka_unit_test_setup(refused_instructions, setup),
		cmocka_unit_test_setup(ends_of_a_guest, setup),
		cmocka_unit_test_setup(apic_exits, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
