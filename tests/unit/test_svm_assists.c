/* SPDX-License-Identifier: BSD-2-Clause */
/* SVM's decode assists (APM vol. 2, 15.8), which no emulator has; and how HLT and PAUSE leave. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "socle/report.h"
#include "../../arch/x86/svm/svm.h"

/* SVM's instructions do nothing here. */
#define vmload(pa) ((void)(pa))
#define vmsave(pa) ((void)(pa))
#define clgi()	   ((void)0)
#define stgi()	   ((void)0)
#define SOCLE_SVM_INSN_H
#include "../../arch/x86/svm/exits.c"
#include "../../arch/x86/svm/cet.c"
#include "../../arch/x86/guest/fetch.c"
#include "../../arch/x86/guest/insn.c"
#include "../../arch/x86/guest/insn_table.c"

static struct svm_vcpu guest;
static struct vmcb vmcb;
static struct nested_fault fault;
static unsigned faults, decoded_by_hand, accesses, access_gpr;
static bool access_write, access_done;

/* What the files under test stand on. */
struct cpu_info cpu_info;
uint64_t svm_clean;

static void mock_load(struct x86_vcpu *v, uint32_t groups)
{
	if (groups & X86_DR)
		v->state.debugctl = vmcb.dbgctl;
}

static const struct vendor mock_vendor = {.load = mock_load};
const struct vendor *vendor = &mock_vendor;

unsigned exit_nested_fault(struct x86_vcpu *v __unused, const struct nested_fault *f)
{
	fault = *f;
	faults++;
	return 0;
}

bool exit_cr8_access(struct x86_vcpu *v __unused, bool write, unsigned gpr)
{
	accesses++;
	access_write = write;
	access_gpr = gpr;
	return access_done;
}

void exit_cr8(struct x86_vcpu *v __unused)
{
	decoded_by_hand++;
}

static unsigned raised; /* calls of x86_raise() */

void x86_raise(struct x86_vcpu *v __unused, uint8_t vector)
{
	assert_int_equal(vector, VEC_DB);
	raised++;
}

static bool wakes, written_back;
static unsigned prepared, given_way; /* calls of svm_prepare(), sched_give_way() */
static unsigned looked_for_iret;

/* The place of the HLT is what tells. */
void svm_look_for_iret(struct svm_vcpu *s __unused)
{
	assert_int_equal(vmcb.rip, 0x1000);
	looked_for_iret++;
}

int svm_prepare(struct svm_vcpu *s)
{
	prepared++;
	return s->x.base.requests & VCPU_REQ_LEAVE ? 1 + VCPU_LEAVE_REQUESTED : 0;
}

void svm_write_back(struct svm_vcpu *s)
{
	written_back = true;
	s->x.dirty = 0;
}

bool x86_vcpu_halt(struct x86_vcpu *v, bool interrupts)
{
	assert_int_equal(vmcb.rip, 0x1004);
	assert_int_equal(looked_for_iret, guest.watches);
	v->halted_if = interrupts;
	v->halted = !wakes;
	v->dirty = wakes ? 0 : X86_SEG;
	return wakes;
}

void sched_give_way(void)
{
	assert_int_equal(prepared, 0);
	given_way++;
	vcpu_request_self(&guest.x.base, VCPU_REQ_LEAVE);
}

#define UNUSED_HERE(ret, name, args, value) \
	ret name args                       \
	{                                   \
		return value;               \
	}
UNUSED_HERE(void, exit_cpuid, (struct x86_vcpu * v __unused), )
UNUSED_HERE(void, exit_msr_fault, (struct x86_vcpu * v __unused), )
UNUSED_HERE(void, svm_interrupted, (struct svm_vcpu * s __unused), )
UNUSED_HERE(void, svm_note_shadow, (struct svm_vcpu * s __unused), )
UNUSED_HERE(bool, svm_stepped, (struct svm_vcpu * s __unused), false)
UNUSED_HERE(void, svm_dump, (struct x86_vcpu * v __unused), )
UNUSED_HERE(bool, exit_xsetbv, (struct x86_vcpu * v __unused), false)
UNUSED_HERE(bool, exit_cr4_write, (struct x86_vcpu * v __unused, unsigned gpr __unused), false)
UNUSED_HERE(void, x86_raise_error,
	    (struct x86_vcpu * v __unused, uint8_t n __unused, uint32_t e __unused), )
UNUSED_HERE(void, x86_raise_exception,
	    (struct x86_vcpu * v __unused, const struct x86_exception *x __unused), )
UNUSED_HERE(void, x86_emulate_io,
	    (struct x86_vcpu * v __unused, uint16_t port __unused, unsigned size __unused), )
UNUSED_HERE(void, exit_port_in,
	    (struct x86_vcpu * v __unused, uint16_t port __unused, unsigned size __unused), )
UNUSED_HERE(void, exit_port_out,
	    (struct x86_vcpu * v __unused, uint16_t port __unused, unsigned size __unused), )
enum msr_result msr_guest_read(struct x86_vcpu *v __unused, uint32_t index __unused,
			       uint64_t *value)
{
	*value = 0;
	return MSR_OK;
}
UNUSED_HERE(enum msr_result, msr_guest_write,
	    (struct x86_vcpu * v __unused, uint32_t index __unused, uint64_t value __unused),
	    MSR_OK)
UNUSED_HERE(bool, x86_walk_trail,
	    (struct x86_vcpu * v __unused, uint64_t la __unused, uint32_t access __unused,
	     uint64_t *gpa __unused, struct walk_trail *trail __unused),
	    false)
UNUSED_HERE(enum emul_status, x86_walk,
	    (struct x86_vcpu * v __unused, uint64_t la __unused, uint32_t access __unused,
	     uint64_t *gpa __unused, struct x86_exception *x __unused),
	    EMUL_FATAL)
UNUSED_HERE(void *, guest_ptr, (struct guest_mem * mem __unused, uint64_t gpa __unused), NULL)
UNUSED_HERE(status_t, guest_read,
	    (struct guest_mem * mem __unused, uint64_t gpa __unused, void *dst __unused,
	     size_t len __unused),
	    -S_FAULT)
UNUSED_HERE(enum emul_status, emul_fetch, (struct emul * emul __unused, struct insn *insn __unused),
	    EMUL_FATAL)
UNUSED_HERE(void, vm_kill, (struct vm * vm __unused, const char *fmt __unused, ...), )
UNUSED_HERE(void, log_line, (enum log_level level __unused, const char *fmt __unused, ...), )
void panic(const char *fmt __unused, ...)
{
	fail();
	__builtin_unreachable();
}

static int setup(void **state __unused)
{
	memset(&guest, 0, sizeof(guest));
	memset(&vmcb, 0, sizeof(vmcb));
	memset(&cpu_info, 0, sizeof(cpu_info));
	memset(guest.x.decode, 0xff, sizeof(guest.x.decode));
	cpu_info.feature[CPU_SVM_DECODE] = true;
	guest.vmcb = &vmcb;
	guest.next_rip = true;
	vmcb.rip = 0x1000;
	vmcb.next_rip = 0x1004;
	faults = decoded_by_hand = accesses = prepared = given_way = looked_for_iret = 0;
	written_back = false;
	access_done = true;
	return 0;
}

static void cr8(void **state __unused)
{
	/* The register is told, in either direction; RIP goes on unless something was raised. */
	for (unsigned done = 0; done < 2; done++) {
		setup(NULL);
		access_done = done;
		vmcb.exit_code = SVM_EXIT_CR8_WRITE;
		vmcb.exit_info1 = CR_INFO_VALID | GPR_R9;
		svm_exit(&guest);
		assert_int_equal(accesses, 1);
		assert_true(access_write);
		assert_int_equal(access_gpr, GPR_R9);
		assert_int_equal(vmcb.rip, done ? 0x1004 : 0x1000);
	}
	vmcb.exit_code = SVM_EXIT_CR8_READ;
	svm_exit(&guest);
	assert_false(access_write);
	assert_int_equal(decoded_by_hand, 0);
	/* Not valid, or a CPU without: by hand. */
	vmcb.exit_info1 = GPR_R9;
	svm_exit(&guest);
	assert_int_equal(decoded_by_hand, 1);
	vmcb.exit_info1 = CR_INFO_VALID | GPR_R9;
	cpu_info.feature[CPU_SVM_DECODE] = false;
	svm_exit(&guest);
	assert_int_equal(decoded_by_hand, 2);
	assert_int_equal(accesses, 2);
}

static void nested_fault_bytes(void **state __unused)
{
	vmcb.exit_code = SVM_EXIT_NPF;
	vmcb.insn_len = 0xf3; /* the upper half is reserved */
	svm_exit(&guest);
	assert_int_equal(faults, 1);
	assert_true(fault.flags & NESTED_BYTES);
	assert_ptr_equal(guest.x.given, vmcb.insn);
	assert_int_equal(guest.x.given_count, 3);
	/* None are told, or a CPU without. */
	vmcb.insn_len = 0;
	svm_exit(&guest);
	assert_false(fault.flags & NESTED_BYTES);
	vmcb.insn_len = 3;
	cpu_info.feature[CPU_SVM_DECODE] = false;
	svm_exit(&guest);
	assert_false(fault.flags & NESTED_BYTES);
}

static void given_bytes(void **state __unused)
{
	static const uint8_t load[] = {0x8b, 0x00, 0x90}, other[] = {0x89, 0x08, 0x90};
	static const uint8_t longer[] = {0x8b, 0x80, 0x00, 0x00, 0x00, 0x00};
	const struct insn *insn;

	/* mov (%rax),%eax: decoded, then found again, then something else is there. */
	insn = x86_decode_given(&guest.x, 0x5000, INSN_MODE_64, load, sizeof(load));
	assert_non_null(insn);
	assert_int_equal(insn->len, 2);
	assert_int_equal(insn->mov, INSN_MOV_LOAD);
	assert_int_equal(guest.x.stats.decoded, 1);
	assert_non_null(x86_decode_given(&guest.x, 0x5000, INSN_MODE_64, load, sizeof(load)));
	assert_int_equal(guest.x.stats.decoded, 1);
	assert_int_equal(guest.x.stats.decode_hits, 1);
	insn = x86_decode_given(&guest.x, 0x5000, INSN_MODE_64, other, sizeof(other));
	assert_non_null(insn);
	assert_int_equal(insn->mov, INSN_MOV_STORE);
	/* An instruction of which not all was fetched: the zeroes behind are not the guest's. */
	for (unsigned n = 1; n < sizeof(longer); n++)
		assert_null(x86_decode_given(&guest.x, 0x6000, INSN_MODE_64, longer, n));
	insn = x86_decode_given(&guest.x, 0x6000, INSN_MODE_64, longer, sizeof(longer));
	assert_non_null(insn);
	assert_int_equal(insn->len, sizeof(longer));
}

/* Where it would go on is right before it sleeps, and with it all that it knows. */
static void halt(void **state __unused)
{
	for (unsigned on = 0; on < 2; on++) {
		setup(NULL);
		vmcb.exit_code = SVM_EXIT_HLT;
		vmcb.rflags = RFLAGS_FIXED | (on ? RFLAGS_IF : 0);
		wakes = false;
		assert_int_equal(svm_exit(&guest), 1 + VCPU_LEAVE_HALTED);
		assert_int_equal(guest.x.halted_if, on);
		assert_true(written_back);
		assert_int_equal(prepared, 0);
	}
	setup(NULL);
	vmcb.exit_code = SVM_EXIT_HLT;
	wakes = true;
	guest.watches = true;
	assert_int_equal(svm_exit(&guest), 0);
	assert_int_equal(prepared, 1);
}

/* Behind the PAUSE, and out, if the scheduler knows somebody else. */
static void pause_loop(void **state __unused)
{
	vmcb.exit_code = SVM_EXIT_PAUSE;
	assert_int_equal(svm_exit(&guest), 1 + VCPU_LEAVE_REQUESTED);
	assert_int_equal(given_way, 1);
	assert_int_equal(vmcb.rip, 0x1004);
}

/* The delivery of #DB turns off what DEBUGCTL records and steps by (APM vol. 2, 13.1.6). */
static void debug_exception(void **state __unused)
{
	raised = 0;
	vmcb.exit_code = SVM_EXIT_EXCP_DB;
	assert_int_equal(svm_exit(&guest), 0);
	assert_int_equal(raised, 1);
	assert_int_equal(guest.x.dirty, 0);
	vmcb.dbgctl = DEBUGCTL_LBR | DEBUGCTL_BTF | BIT(2);
	assert_int_equal(svm_exit(&guest), 0);
	assert_int_equal(raised, 2);
	assert_int_equal(guest.x.state.debugctl, BIT(2));
	assert_int_equal(guest.x.dirty, X86_DR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(cr8, setup),
		cmocka_unit_test_setup(nested_fault_bytes, setup),
		cmocka_unit_test_setup(given_bytes, setup),
		cmocka_unit_test_setup(halt, setup),
		cmocka_unit_test_setup(pause_loop, setup),
		cmocka_unit_test_setup(debug_exception, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
