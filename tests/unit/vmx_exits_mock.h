/* SPDX-License-Identifier: BSD-2-Clause */
/* What VMX's exit handlers call, as variables that a test sets and looks at. */
#ifndef TESTS_UNIT_VMX_EXITS_MOCK_H
#define TESTS_UNIT_VMX_EXITS_MOCK_H

#include "panic_mock.h"
#include "vmx_cpu_mock.h"
#include "../../arch/x86/vmx/checks.h"
#include "../../arch/x86/vmx/exits.c"

static unsigned refreshes; /* calls of lapic_page_refresh() */

void lapic_page_refresh(struct lapic *l __unused)
{
	refreshes++;
}

uint8_t lapic_page_requested(const struct lapic *l __unused)
{
	return 0;
}

/* The exception that was raised last, and how many were. */
static struct x86_exception raised;
static unsigned raises;

void x86_raise_exception(struct x86_vcpu *v, const struct x86_exception *x)
{
	assert_ptr_equal(v, &guest.x);
	raised = *x;
	raises++;
}

void x86_raise_error(struct x86_vcpu *v, uint8_t vector, uint32_t error)
{
	x86_raise_exception(
		v, &(struct x86_exception){.vector = vector, .has_error = true, .error = error});
}

void x86_raise(struct x86_vcpu *v, uint8_t vector)
{
	x86_raise_exception(v, &(struct x86_exception){.vector = vector});
}

/* Three groups of registers are enough here. */
static void mock_load(struct x86_vcpu *v, uint32_t groups)
{
	if (groups & X86_DR)
		v->state.debugctl = vmcs[VMCS_GUEST_DEBUGCTL];
	if (groups & X86_RIP)
		v->state.rip = vmcs[VMCS_GUEST_RIP];
	if (groups & X86_RFLAGS)
		v->state.rflags = vmcs[VMCS_GUEST_RFLAGS];
}

static const struct vendor mock_vendor = {.load = mock_load};
const struct vendor *vendor = &mock_vendor;

void vmx_write_back(struct vmx_vcpu *s)
{
	if (s->x.dirty & X86_RIP)
		vmwrite(VMCS_GUEST_RIP, s->x.state.rip);
	if (s->x.dirty & X86_RFLAGS)
		vmwrite(VMCS_GUEST_RFLAGS, s->x.state.rflags);
	s->x.dirty = 0;
}

/* Before each entry with something to do. */
static unsigned prepared;
static uint32_t prepared_for; /* requests */

int vmx_prepare(struct vmx_vcpu *s)
{
	assert_ptr_equal(s, &guest);
	prepared++;
	prepared_for = s->x.base.requests;
	s->x.base.requests = 0;
	vmx_write_back(s);
	return killed[0] || (prepared_for & VCPU_REQ_LEAVE) ? 1 + VCPU_LEAVE_REQUESTED : 0;
}

static unsigned interrupted; /* deliveries to be repeated */
static uint32_t interrupted_info;

void vmx_interrupted(struct vmx_vcpu *s, uint32_t info)
{
	assert_ptr_equal(s, &guest);
	interrupted++;
	interrupted_info = info;
	vcpu_request_self(&s->x.base, VCPU_REQ_AGAIN);
}

/* Handlers of meanings. */
static bool msr_ok, xsetbv_ok, wakes;
static bool woken_with_interrupts; /* with what it was asked whether it wakes */
static bool woken_with_nmis;	   /* likewise: not blocked */
static unsigned given_way;	   /* calls of sched_give_way() */
static unsigned msr_accesses, msr_faults, cpuids, string_ios, port_ins, port_outs, cr_accesses;
static uint16_t port_last;
static unsigned port_size;
static uint32_t handler_dirties; /* what string I/O and nested faults leave dirty */

enum msr_result msr_guest_read(struct x86_vcpu *v __unused, uint32_t index __unused,
			       uint64_t *value)
{
	msr_accesses++;
	*value = 0x1122334455667788;
	return msr_ok ? MSR_OK : MSR_UNSUPPORTED;
}

enum msr_result msr_guest_write(struct x86_vcpu *v __unused, uint32_t index __unused,
				uint64_t value __unused)
{
	msr_accesses++;
	return msr_ok ? MSR_OK : MSR_UNSUPPORTED;
}

void exit_msr_fault(struct x86_vcpu *v __unused)
{
	msr_faults++;
}

void exit_cpuid(struct x86_vcpu *v __unused)
{
	cpuids++;
}

bool exit_xsetbv(struct x86_vcpu *v)
{
	if (!xsetbv_ok)
		x86_raise_error(v, VEC_GP, 0);
	return xsetbv_ok;
}

void exit_port_in(struct x86_vcpu *v __unused, uint16_t port, unsigned size)
{
	port_ins++;
	port_last = port;
	port_size = size;
}

void exit_port_out(struct x86_vcpu *v __unused, uint16_t port, unsigned size)
{
	port_outs++;
	port_last = port;
	port_size = size;
}

void x86_emulate_io(struct x86_vcpu *v, uint16_t port, unsigned size)
{
	string_ios++;
	port_last = port;
	port_size = size;
	v->state.rip = 0x7777;
	v->dirty |= handler_dirties;
}

int vmx_exit_cr_access(struct vmx_vcpu *s __unused)
{
	cr_accesses++;
	return 0;
}

bool x86_vcpu_halt(struct x86_vcpu *v, bool interrupts)
{
	assert_ptr_equal(v, &guest.x);
	/* What it wakes to is the next instruction. */
	assert_true((v->dirty & X86_RIP ? v->state.rip : vmcs[VMCS_GUEST_RIP]) > 0x1000);
	woken_with_interrupts = interrupts;
	woken_with_nmis = !v->events.nmi_blocked;
	v->halted = !wakes;
	if (wakes)
		vcpu_request_self(&v->base, VCPU_REQ_AGAIN);
	return wakes;
}

bool sched_contended(void)
{
	return false;
}

void sched_give_way(void)
{
	assert_int_equal(prepared, 0);
	given_way++;
	vcpu_request_self(&guest.x.base, VCPU_REQ_LEAVE);
}

/* Accesses without memory behind them. */
static struct nested_fault fault;
static unsigned faults, fault_len;

unsigned exit_nested_fault(struct x86_vcpu *v, const struct nested_fault *f)
{
	fault = *f;
	faults++;
	v->state.rip = 0x8888;
	v->dirty |= handler_dirties;
	return fault_len;
}

static unsigned apic_eois, apic_writes, polls, dumps;

void vmx_apicv_eoi(struct vmx_vcpu *s __unused)
{
	apic_eois++;
}

void vmx_apicv_write(struct vmx_vcpu *s __unused)
{
	apic_writes++;
}

void timers_poll(void)
{
	polls++;
}

void vmx_dump(struct x86_vcpu *v __unused)
{
	dumps++;
}

static const char *failed_check; /* what vmx_check_current() finds; NULL: nothing */

const char *vmx_check_current(uint64_t vmcs_pa __unused, char *text __unused, size_t size __unused)
{
	return failed_check;
}

enum { CODE_16 = 0x9b, CODE_32 = 0xc09b, CODE_64 = 0xa09b };

/* 64-bit code at 0x1000, interrupts on; its instruction is 3 bytes long. */
static int setup(void **state __unused)
{
	static struct guest_cpuid cpuid_table;

	cpu_new();
	memset(&cpuid_table, 0, sizeof(cpuid_table));
	guest.x.cpuid = &cpuid_table;
	cpuid_table.entry[0].simple = true;
	strcpy(guest_vm.settings.name, "test");
	raises = prepared = interrupted = msr_accesses = msr_faults = cpuids = string_ios = 0;
	port_ins = port_outs = cr_accesses = faults = fault_len = handler_dirties = 0;
	apic_eois = apic_writes = polls = dumps = logged_lines = given_way = 0;
	msr_ok = xsetbv_ok = wakes = true;
	failed_check = NULL;
	vmcs[VMCS_GUEST_RIP] = 0x1000;
	vmcs[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED | RFLAGS_IF;
	vmcs[VMCS_GUEST_CS_ACCESS] = CODE_64;
	vmcs[VMCS_ENTRY_CONTROLS] = ENTRYCTL_IA32E;
	vmcs[VMCS_EXIT_INSN_LEN] = 3;
	return 0;
}

static int leave_for(uint32_t reason)
{
	vmcs[VMCS_EXIT_REASON] = reason;
	return vmx_exit(&guest);
}

#endif
