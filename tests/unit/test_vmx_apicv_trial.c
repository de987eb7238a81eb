/* SPDX-License-Identifier: BSD-2-Clause */
/* The trial of APIC virtualization: its guest can be entered, and what CPUs make of it is told. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "socle/cpu/apic.h"
#include "socle/cpu/cpu.h"
#include "socle/cpu/regs.h"
#include "socle/guest/state.h"
#include "../../arch/x86/vmx/vmx_insn.h"
#include "../../lib/format.c"
#include "../../arch/x86/vmx/checks.c"
#include "../../arch/x86/vmx/checks_controls.c"
#include "../../arch/x86/vmx/checks_guest.c"
#include "../../arch/x86/vmx/checks_host.c"
#include "../../arch/x86/vmx/checks_segments.c"
#include "../../arch/x86/vmx/checks_state.c"

/* Controls that must be 1 (the TRUE registers). */
enum { PIN_MUST = 0x16, PRIMARY_MUST = 0x04006172, EXIT_MUST = 0x00036dfb, ENTRY_MUST = 0x11fb };

static struct cpu the_cpu;
static bool clear_refused;
static uint64_t fields[0x7000]; /* the VMCS, by enum vmcs_field */
static bool written[0x7000];

static uint64_t read_field(void *ctx __unused, enum vmcs_field field)
{
	assert_in_range(field, 0, ARRAY_SIZE(fields) - 1);
	if (!written[field])
		fail_msg("field %#x is read, which was not written", field);
	return fields[field];
}

static void set(enum vmcs_field field, uint64_t value)
{
	assert_in_range(field, 0, ARRAY_SIZE(fields) - 1);
	written[field] = true;
	fields[field] = value;
}

static uint64_t msr(uint32_t index)
{
	assert_true(index == MSR_EFER || index == MSR_PAT);
	return index == MSR_EFER ? EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE : 0x0007040600070406;
}

#define this_cpu()	      (&the_cpu)
#define vmread(field)	      read_field(NULL, field)
#define vmwrite(field, value) set(field, value)
#define vmclear(pa)	      ((void)(pa), !clear_refused)
#define vmptrld(pa)	      ((void)(pa), true)
#define cr0_read()	      0x80050033ull
#define cr3_read()	      0x1000ull
#define cr4_read()	      (uint64_t)(CR4_PAE | CR4_VMXE | CR4_OSFXSR)
#define msr_read(index)	      msr(index)
#include "../../arch/x86/vmx/bare.c"
#include "../../arch/x86/vmx/apicv_trial.c"

uintptr_t test_memory;
struct vmx_caps vmx_caps;
const char vmx_trial_guest[1];

static bool hasty; /* the CPU delivers at once, not as the manual has it */
static unsigned sent, runs, pages_left;
static int pages_out;

void *pages_alloc(size_t bytes, uint32_t owner)
{
	static uint8_t page[4][PAGE_SIZE] __aligned(PAGE_SIZE);

	assert_int_equal(bytes, PAGE_SIZE);
	assert_int_equal(owner, OWNER_CORE);
	if (!pages_left)
		return NULL;
	test_memory = (uintptr_t)page - 0x100000;
	pages_left--;
	pages_out++;
	return memset(page[pages_left], 0, PAGE_SIZE);
}

void pages_free(void *va, size_t bytes, uint32_t owner)
{
	assert_int_equal(bytes, PAGE_SIZE);
	assert_int_equal(owner, OWNER_CORE);
	pages_out -= !!va;
}

void vmx_current_lost(void)
{
}

void vmx_write_host_state(void)
{
	set(VMCS_HOST_CR0, 0x80050033);
	set(VMCS_HOST_CR3, 0x1000);
	set(VMCS_HOST_CR4, CR4_PAE | CR4_VMXE);
	set(VMCS_HOST_EFER, msr(MSR_EFER));
	set(VMCS_HOST_PAT, msr(MSR_PAT));
	for (unsigned i = VMCS_HOST_ES_SELECTOR; i <= VMCS_HOST_TR_SELECTOR; i += 2)
		set(i, 0x10);
	for (unsigned i = VMCS_HOST_FS_BASE; i <= VMCS_HOST_IDTR_BASE; i += 2)
		set(i, 0x2000);
	set(VMCS_HOST_SYSENTER_CS, 0);
	set(VMCS_HOST_SYSENTER_ESP, 0);
	set(VMCS_HOST_SYSENTER_EIP, 0);
}

uint32_t apic_id(void)
{
	return 5;
}

void apic_send(uint32_t id, uint8_t vector)
{
	assert_int_equal(id, 5);
	assert_int_equal(vector, HOST_VEC_KICK);
	sent++;
}

void vmx_bare_loop(uint64_t rounds)
{
	static const struct vmx_check_caps caps = {
		.basic = VMX_BASIC_TRUE_CTLS,
		.cr0_fixed0 = CR0_PE | CR0_NE | CR0_PG,
		.cr0_fixed1 = UINT32_MAX,
		.cr4_fixed0 = CR4_VMXE,
		.cr4_fixed1 = CR4_PAE | CR4_VMXE | CR4_OSFXSR,
		.controls =
			{
				[CTL_PIN] = PIN_MUST | (uint64_t)UINT32_MAX << 32,
				[CTL_PRIMARY] = PRIMARY_MUST | (uint64_t)UINT32_MAX << 32,
				[CTL_SECONDARY] = (uint64_t)UINT32_MAX << 32,
				[CTL_EXIT] = EXIT_MUST | (uint64_t)UINT32_MAX << 32,
				[CTL_ENTRY] = ENTRY_MUST | (uint64_t)UINT32_MAX << 32,
			},
		.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE,
		.physical_bits = 46,
		.linear_bits = 48,
	};
	const struct vmx_reader reader = {.read = read_field, .caps = &caps, .current = 0x6000};
	char text[200];
	const char *why;
	uint64_t status;

	assert_int_equal(rounds, 1);
	set(VMCS_HOST_RIP, 0x2000);
	set(VMCS_HOST_RSP, 0x2000);
	/* A field that was not written fails there. */
	why = vmx_check(&reader, text, sizeof(text));
	if (why)
		fail_msg("%s", why);
	assert_ptr_equal(fields[VMCS_GUEST_RIP], vmx_trial_guest);
	assert_false(fields[VMCS_GUEST_RFLAGS] & RFLAGS_IF);
	assert_int_equal(fields[VMCS_GUEST_INTERRUPTIBILITY], 0);
	assert_true(fields[VMCS_SECONDARY_CONTROLS] & SECONDARY_VIRTUAL_INTERRUPTS);
	assert_true(fields[VMCS_PRIMARY_CONTROLS] & PRIMARY_SECONDARY);
	assert_false(fields[VMCS_PRIMARY_CONTROLS] & PRIMARY_INTERRUPT_WINDOW);
	assert_int_equal(fields[VMCS_EXCEPTION_BITMAP], UINT32_MAX);
	assert_int_equal(fields[VMCS_GUEST_IDTR_LIMIT], 0);
	assert_int_equal(sent, 1);
	status = fields[VMCS_GUEST_INTR_STATUS];
	assert_in_range(status, 0x20, 0xff);
	if (hasty)
		set(VMCS_GUEST_INTR_STATUS, status << 8);
	runs++;
}

static int setup(void **state __unused)
{
	/* Whatever these hold does not count without a number of MSRs, without an event. */
	static const uint16_t ignored[] = {
		VMCS_EXIT_MSR_STORE_ADDR, VMCS_EXIT_MSR_LOAD_ADDR, VMCS_ENTRY_MSR_LOAD_ADDR,
		VMCS_ENTRY_EXCEPTION_ERROR, VMCS_ENTRY_INSN_LEN,
	};

	memset(written, 0, sizeof(written));
	for (unsigned i = 0; i < ARRAY_SIZE(ignored); i++)
		set(ignored[i], UINT32_MAX);
	vmx_caps = (struct vmx_caps){
		.basic = VMX_BASIC_TRUE_CTLS | 0x1234,
		.pin = PIN_MUST | PIN_EXTERNAL_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMIS |
		       PIN_PREEMPTION_TIMER,
		.primary = PRIMARY_MUST | PRIMARY_SECONDARY | PRIMARY_IO_BITMAPS |
			   PRIMARY_MSR_BITMAPS | PRIMARY_TPR_SHADOW | PRIMARY_HLT,
		.exit = EXIT_MUST | EXITCTL_HOST_64 | EXITCTL_LOAD_EFER | EXITCTL_LOAD_PAT,
		.entry = ENTRY_MUST | ENTRYCTL_LOAD_EFER | ENTRYCTL_LOAD_PAT | ENTRYCTL_LOAD_LBR,
	};
	hasty = false;
	sent = runs = 0;
	pages_left = 2;
	pages_out = 0;
	clear_refused = false;
	return 0;
}

static int teardown(void **state __unused)
{
	return pages_out; /* all that it took is back */
}

static void as_it_should(void **state __unused)
{
	assert_true(vmx_apicv_trial());
	assert_int_equal(runs, 1);
}

static void too_early(void **state __unused)
{
	hasty = true;
	assert_false(vmx_apicv_trial());
	assert_int_equal(runs, 1);
}

/* What cannot be tried is not held against the CPU. */
static void not_tried(void **state __unused)
{
	clear_refused = true;
	assert_true(vmx_apicv_trial());
	clear_refused = false;
	for (unsigned i = 0; i < 2; i++) {
		pages_left = i;
		assert_true(vmx_apicv_trial());
	}
	assert_int_equal(runs + sent, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(as_it_should, setup, teardown),
		cmocka_unit_test_setup_teardown(too_early, setup, teardown),
		cmocka_unit_test_setup_teardown(not_tried, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
