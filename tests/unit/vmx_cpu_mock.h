/* SPDX-License-Identifier: BSD-2-Clause */
/* A CPU with VMX in variables: the VMCS by encoding, registers, MSRs, and what was done to them. */
#ifndef TESTS_UNIT_VMX_CPU_MOCK_H
#define TESTS_UNIT_VMX_CPU_MOCK_H

#include <stdio.h>
#include <string.h>

#include "socle/cpu/regs.h"
#include "../../arch/x86/vmx/vmx.h"
#include "../../arch/x86/vmx/vmx_insn.h"

enum { MOCK_FIELDS = 0x7000, MOCK_CPU_MSRS = 32 };

static uint64_t vmcs[MOCK_FIELDS];	  /* by enum vmcs_field */
static unsigned vmwrites_of[MOCK_FIELDS]; /* VMWRITEs of each */
static unsigned vmwrites;		  /* of all */

static uint64_t mock_cr2, mock_cr4, mock_dr6;
static unsigned interrupts_taken, nmis_handled; /* calls of interrupts_take(), nmi_handle() */
static unsigned invepts, invvpids;
static uint64_t invept_last;  /* EPT pointer */
static uint16_t invvpid_last; /* VPID */

static struct {
	uint32_t index;
	uint64_t value;
} mock_msrs[MOCK_CPU_MSRS];
static unsigned mock_msr_count, msr_writes;

/* The value of an MSR that exists from now on. */
static __unused uint64_t *cpu_msr(uint32_t index)
{
	for (unsigned i = 0; i < mock_msr_count; i++)
		if (mock_msrs[i].index == index)
			return &mock_msrs[i].value;
	assert_true(mock_msr_count < MOCK_CPU_MSRS);
	mock_msrs[mock_msr_count].index = index;
	mock_msrs[mock_msr_count].value = 0;
	return &mock_msrs[mock_msr_count++].value;
}

static __unused uint64_t mock_msr_read(uint32_t index)
{
	for (unsigned i = 0; i < mock_msr_count; i++)
		if (mock_msrs[i].index == index)
			return mock_msrs[i].value;
	fail_msg("MSR %#x is read, which this CPU does not have", index);
	return 0;
}

static __unused void mock_msr_write(uint32_t index, uint64_t value)
{
	*cpu_msr(index) = value;
	msr_writes++;
}

static __unused uint64_t mock_vmread(uint32_t field)
{
	assert_in_range(field, 0, MOCK_FIELDS - 1);
	return vmcs[field];
}

/* A CPU drops what is wider than the field; we are to write no such values. */
static __unused void mock_vmwrite(uint32_t field, uint64_t value)
{
	unsigned width = field >> VMCS_FIELD_WIDTH_SHIFT;

	assert_in_range(field, 0, MOCK_FIELDS - 1);
	if ((width == VMCS_WIDTH_16 && value >> 16) || (width == VMCS_WIDTH_32 && value >> 32))
		fail_msg("%#llx does not fit field %#x", (unsigned long long)value, field);
	if ((field >> VMCS_FIELD_TYPE_SHIFT & 3) == VMCS_TYPE_READ_ONLY)
		fail_msg("field %#x is read-only", field);
	vmcs[field] = value;
	vmwrites_of[field]++;
	vmwrites++;
}

static __unused void mock_invept(enum vmx_invept type, uint64_t eptp)
{
	assert_int_equal(type, INVEPT_SINGLE);
	invept_last = eptp;
	invepts++;
}

static __unused void mock_invvpid(enum vmx_invvpid type, uint16_t vpid)
{
	assert_int_equal(type, INVVPID_SINGLE);
	invvpid_last = vpid;
	invvpids++;
}

#define vmread(field)		  mock_vmread(field)
#define vmwrite(field, value)	  mock_vmwrite(field, value)
#define vmread_safe(field, value) (*(value) = mock_vmread(field), true)
#define invept(type, eptp)	  mock_invept(type, eptp)
#define invvpid(type, vpid)	  mock_invvpid(type, vpid)
#define msr_read(index)		  mock_msr_read(index)
#define msr_write(index, value)	  mock_msr_write(index, value)
#define cr2_read()		  mock_cr2
#define cr2_write(value)	  (mock_cr2 = (value))
#define cr4_read()		  mock_cr4
#define dr6_read()		  mock_dr6
#define dr6_write(value)	  (mock_dr6 = (value))
#define interrupts_take()	  mock_interrupts_take()
#define nmi_handle()		  nmis_handled++

/* The virtual CPU under test, and why its VM was killed: "" if it was not. */
static struct vm guest_vm;
static struct vmx_vcpu guest;
static char killed[256];
static uint32_t interrupts_bring; /* requests of it that come with the next ones taken */

static __unused void mock_interrupts_take(void)
{
	interrupts_taken++;
	guest.x.base.requests |= interrupts_bring;
	interrupts_bring = 0;
}

void vm_kill(struct vm *which, const char *fmt, ...)
{
	va_list args;

	assert_ptr_equal(which, &guest_vm);
	va_start(args, fmt);
	vsnprintf(killed, sizeof(killed), fmt, args);
	va_end(args);
}

/* All zeroes: for the start of each test. */
static __unused void cpu_new(void)
{
	memset(vmcs, 0, sizeof(vmcs));
	memset(vmwrites_of, 0, sizeof(vmwrites_of));
	memset(&guest_vm, 0, sizeof(guest_vm));
	memset(&guest, 0, sizeof(guest));
	vmwrites = msr_writes = interrupts_taken = nmis_handled = invepts = invvpids = 0;
	mock_cr2 = mock_cr4 = mock_dr6 = mock_msr_count = 0;
	killed[0] = 0;
	interrupts_bring = 0;
	guest_vm.settings.cpus = 1;
	guest_vm.vcpu[0] = &guest.x.base;
	guest.x.base.vm = &guest_vm;
	guest.vpid = 7;
}

/* Forgets which fields were written. */
static __unused void forget_vmwrites(void)
{
	memset(vmwrites_of, 0, sizeof(vmwrites_of));
	vmwrites = 0;
}

#endif
