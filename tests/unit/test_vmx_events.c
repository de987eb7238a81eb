/* SPDX-License-Identifier: BSD-2-Clause */
/* Before a VM entry: what is injected and how, windows, re-injection, blocking, flushes, leaving.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "vmx_cpu_mock.h"
#include "../../arch/x86/guest/events.c"
#include "../../arch/x86/vmx/events.c"

static int irqs[4];  /* vectors that wait, highest first; -1: none */
static int requeued; /* vector given back */
static unsigned fetches_closed, apicv_prepared;
static bool changes_while_flushing; /* a page is taken from the guest in fetch_close() */

enum { OUR_CPU = 3 };

static int mock_pending(struct x86_vcpu *v __unused)
{
	return irqs[0];
}

static uint8_t mock_accept(struct x86_vcpu *v __unused, int pending)
{
	assert_int_equal(pending, irqs[0]);
	memmove(&irqs[0], &irqs[1], sizeof(irqs) - sizeof(irqs[0]));
	return pending;
}

static void mock_requeue(struct x86_vcpu *v __unused, uint8_t vector)
{
	requeued = vector;
}

static unsigned timers; /* calls of timer() */

static void mock_timer(struct x86_vcpu *v)
{
	assert_ptr_equal(v, &guest.x);
	/* It may raise an interrupt, which is injected at once. */
	timers++;
	irqs[0] = 0x5a;
}

static unsigned overflows; /* calls of pmu_deliver() */

void pmu_deliver(struct x86_vcpu *v)
{
	assert_ptr_equal(v, &guest.x);
	overflows++;
	irqs[0] = 0x5b;
	x86_dirty(v, X86_DR);
}

static unsigned debug_exceptions; /* that the records of branches were told of */

void vmx_lbr_debug_exception(struct vmx_vcpu *s)
{
	assert_ptr_equal(s, &guest);
	debug_exceptions++;
}

static void mock_load(struct x86_vcpu *v, uint32_t groups)
{
	if (groups & X86_CR)
		v->state.cr2 = 0x1111;
	if (groups & X86_DR) {
		v->state.dr6 = 0xffff0ff0;
		v->state.dr7 = 0x2400;
	}
}

static const struct vendor mock_vendor = {.load = mock_load};
const struct vendor *vendor = &mock_vendor;

static uint32_t written_back; /* groups */

void vmx_write_back(struct vmx_vcpu *s)
{
	assert_ptr_equal(s, &guest);
	written_back |= s->x.dirty;
	s->x.dirty = 0;
}

void fetch_close(struct x86_vcpu *v)
{
	assert_ptr_equal(v, &guest.x);
	fetches_closed++;
	if (changes_while_flushing)
		guest_vm.mem.epoch++;
}

void vmx_apicv_prepare(struct vmx_vcpu *s)
{
	assert_ptr_equal(s, &guest);
	apicv_prepared++;
}

static bool contended; /* what sched_contended() says */

bool sched_contended(void)
{
	return contended;
}

static uint8_t page_requested; /* what the APIC's page has */

uint8_t lapic_page_requested(const struct lapic *l __unused)
{
	return page_requested;
}

enum { WINDOWS = PRIMARY_INTERRUPT_WINDOW | PRIMARY_NMI_WINDOW, OTHERS = 0xb2180c88 & ~WINDOWS };

static int setup(void **state __unused)
{
	static const struct x86_irq_source mock = {
		.pending = mock_pending,
		.injectable = mock_pending,
		.accept = mock_accept,
		.requeue = mock_requeue,
		.timer = mock_timer,
	};

	cpu_new();
	events_bind(&mock);
	for (unsigned i = 0; i < ARRAY_SIZE(irqs); i++)
		irqs[i] = -1;
	requeued = -1;
	page_requested = 0;
	fetches_closed = apicv_prepared = written_back = timers = overflows = 0;
	test_cpu_index = OUR_CPU;
	changes_while_flushing = false;
	guest_vm.mem.epoch = 0x1234;
	guest.primary = OTHERS;
	vmcs[VMCS_PRIMARY_CONTROLS] = OTHERS;
	vmcs[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED | RFLAGS_IF;
	vmcs[VMCS_EPT_POINTER] = 0x12345e;
	return 0;
}

/* An entry: what it injects, as the CPU takes it out of the VMCS. 0: nothing. */
static uint32_t enter(void)
{
	uint32_t info;

	forget_vmwrites();
	guest.x.base.requests |= VCPU_REQ_EVENT;
	guest.x.avail = 0;
	assert_int_equal(vmx_prepare(&guest), 0);
	info = vmcs[VMCS_ENTRY_INTR_INFO];
	vmcs[VMCS_ENTRY_INTR_INFO] = 0;
	/* The CPU blocks NMIs with the one that it delivers (SDM vol. 3, 27.6.1). */
	if ((info & INTR_INFO_TYPE) >> 8 == INTR_TYPE_NMI)
		vmcs[VMCS_GUEST_INTERRUPTIBILITY] |= BLOCKING_NMI;
	return info;
}

static void raise_exception(const struct x86_exception *x)
{
	assert_true(events_raise(&guest.x.events, x));
}

static void raise(uint8_t vector)
{
	raise_exception(&(struct x86_exception){.vector = vector});
}

/* SDM vol. 3, table 25-17. */
static void each_type(void **state __unused)
{
	irqs[0] = 0xec;
	assert_int_equal(enter(), 0x800000ec);
	events_nmi(&guest.x.events);
	assert_int_equal(enter(), 0x80000202);
	raise(VEC_UD);
	assert_int_equal(enter(), 0x80000306);
	raise_exception(
		&(struct x86_exception){.vector = VEC_GP, .has_error = true, .error = 0x58});
	assert_int_equal(enter(), 0x80000b0d);
	assert_int_equal(vmcs[VMCS_ENTRY_EXCEPTION_ERROR], 0x58);
	/* Without an error code its field is left alone. */
	raise(VEC_DE);
	assert_int_equal(enter(), 0x80000300);
	assert_int_equal(vmwrites_of[VMCS_ENTRY_EXCEPTION_ERROR], 0);
	assert_int_equal(enter(), 0);
	assert_int_equal(vmwrites, 0);
	assert_int_equal(guest.x.stats.injected, 1);
	assert_int_equal(guest.x.stats.nmis, 1);
	assert_int_equal(guest.x.stats.exceptions, 3);
}

/* Bits 31:16 must be 0 or the entry fails (SDM vol. 3, 27.2.1.3). */
static void error_codes_have_16_bits(void **state __unused)
{
	raise_exception(
		&(struct x86_exception){.vector = VEC_PF, .has_error = true, .error = 0xfedc8007});
	assert_int_equal(enter(), 0x80000b0e);
	assert_int_equal(vmcs[VMCS_ENTRY_EXCEPTION_ERROR], 0x8007);
}

static void payload_is_applied_once(void **state __unused)
{
	raise_exception(&(struct x86_exception){
		.vector = VEC_PF, .has_error = true, .has_payload = true, .payload = 0x77777000});
	assert_int_equal(enter(), 0x80000b0e);
	assert_int_equal(guest.x.state.cr2, 0x77777000);
	assert_int_equal(written_back, X86_CR | X86_DR);
	/* Repeated, it changes nothing. */
	written_back = 0;
	vmx_interrupted(&guest, 0x80000b0e);
	guest.x.state.cr2 = 0x2222;
	assert_int_equal(enter(), 0x80000b0e);
	assert_int_equal(guest.x.state.cr2, 0x2222);
	assert_int_equal(written_back, 0);
	/* General detect: DR6.BD, and DR7.GD goes (SDM vol. 3, 18.2.3). */
	raise_exception(
		&(struct x86_exception){.vector = VEC_DB, .has_payload = true, .payload = BIT(13)});
	debug_exceptions = 0;
	guest.x.state.debugctl = DEBUGCTL_LBR | DEBUGCTL_BTF | DEBUGCTL_FREEZE_LBRS_ON_PMI;
	assert_int_equal(enter(), 0x80000301);
	assert_int_equal(guest.x.state.dr6, 0xffff2ff0);
	assert_int_equal(guest.x.state.dr7, 0x400);
	/* And branches are no longer recorded, nor stepped by (18.4.1). */
	assert_int_equal(guest.x.state.debugctl, DEBUGCTL_FREEZE_LBRS_ON_PMI);
	assert_int_equal(debug_exceptions, 1);
}

/* SDM vol. 3, 28.2.4: what delivery was under way is repeated as it was. */
static void interrupted_deliveries(void **state __unused)
{
	static const struct {
		uint32_t vectoring, injected;
	} each[] = {
		{0x800000d1, 0x800000d1}, /* external interrupt */
		{0x80000202, 0x80000202}, /* NMI */
		{0x80000306, 0x80000306}, /* #UD */
		{0x80000b0e, 0x80000b0e}, /* #PF */
		{0x80000b15, 0x80000b15}, /* #CP */
		{0x80001306, 0x80000306}, /* bit 12 has no meaning there */
		/* INT n, INT1, INT3 and INTO are executed again. */
		{0x80000480, 0}, {0x80000501, 0}, {0x80000603, 0}, {0x80000604, 0},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(each); i++) {
		setup(NULL);
		vmcs[VMCS_IDT_VECTORING_ERROR] = 0x15;
		/* In the shadow or with IF 0, and before anything that waits. */
		vmcs[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED;
		vmcs[VMCS_ENTRY_EXCEPTION_ERROR] = 0xaa;
		vmx_interrupted(&guest, each[i].vectoring);
		assert_int_equal(guest.x.base.requests, each[i].injected ? VCPU_REQ_AGAIN : 0);
		assert_int_equal(guest.x.events.retry_valid, !!each[i].injected);
		assert_int_equal(enter(), each[i].injected);
		assert_int_equal(vmcs[VMCS_ENTRY_EXCEPTION_ERROR],
				 each[i].injected & INTR_INFO_HAS_ERROR ? 0x15 : 0xaa);
		assert_int_equal(enter(), 0);
		assert_int_equal(guest.x.stats.reinjected, !!each[i].injected);
	}
}

static void repeated_before_new(void **state __unused)
{
	irqs[0] = 0x90;
	vmx_interrupted(&guest, 0x800000d1);
	assert_int_equal(enter(), 0x800000d1);
	assert_int_equal(irqs[0], 0x90);
	assert_int_equal(vmcs[VMCS_PRIMARY_CONTROLS], OTHERS | PRIMARY_INTERRUPT_WINDOW);
	assert_int_equal(enter(), 0x80000090);
}

/* An NMI finds NMIs unblocked in the VMCS, also at its second attempt (SDM vol. 3, 27.3.1.5). */
static void nmi_blocking(void **state __unused)
{
	events_nmi(&guest.x.events);
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = BLOCKING_SMI;
	forget_vmwrites();
	guest.x.base.requests = VCPU_REQ_EVENT;
	assert_int_equal(vmx_prepare(&guest), 0);
	assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], BLOCKING_SMI);
	assert_true(guest.x.events.nmi_blocked);
	/* Its delivery is interrupted: the CPU says that NMIs are blocked. */
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = BLOCKING_SMI | BLOCKING_NMI;
	vmx_interrupted(&guest, 0x80000202);
	vmcs[VMCS_ENTRY_INTR_INFO] = 0;
	guest.x.base.requests = VCPU_REQ_EVENT;
	assert_int_equal(vmx_prepare(&guest), 0);
	assert_int_equal(vmcs[VMCS_ENTRY_INTR_INFO], 0x80000202);
	assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], BLOCKING_SMI);
	/* Other events leave them blocked. */
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = BLOCKING_NMI;
	raise(VEC_UD);
	assert_int_equal(enter(), 0x80000306);
	assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], BLOCKING_NMI);
	irqs[0] = 0x40;
	assert_int_equal(enter(), 0x80000040);
	assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], BLOCKING_NMI);
}

static void shadows(void **state __unused)
{
	static const uint32_t shadow[] = {BLOCKING_STI, BLOCKING_MOV_SS};

	for (unsigned i = 0; i < ARRAY_SIZE(shadow); i++) {
		setup(NULL);
		/* Neither an interrupt nor an NMI comes in it; it stays for the instruction. */
		vmcs[VMCS_GUEST_INTERRUPTIBILITY] = shadow[i];
		irqs[0] = 0x40;
		events_nmi(&guest.x.events);
		assert_int_equal(enter(), 0);
		assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], shadow[i]);
		/* An exception does, and it ends. */
		raise(VEC_UD);
		assert_int_equal(enter(), 0x80000306);
		assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], 0);
	}
}

static void interrupt_window(void **state __unused)
{
	vmcs[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED;
	irqs[0] = 0x40;
	irqs[1] = 0x30;
	assert_int_equal(enter(), 0);
	assert_int_equal(vmwrites, 1);
	assert_int_equal(vmcs[VMCS_PRIMARY_CONTROLS], OTHERS | PRIMARY_INTERRUPT_WINDOW);
	/* Still shut: nothing to write. */
	assert_int_equal(enter(), 0);
	assert_int_equal(vmwrites, 0);
	/* It opens for the first of two. */
	vmcs[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED | RFLAGS_IF;
	assert_int_equal(enter(), 0x80000040);
	assert_int_equal(vmwrites_of[VMCS_PRIMARY_CONTROLS], 0);
	assert_int_equal(enter(), 0x80000030);
	assert_int_equal(vmwrites_of[VMCS_PRIMARY_CONTROLS], 1);
	assert_int_equal(vmcs[VMCS_PRIMARY_CONTROLS], OTHERS);
	assert_int_equal(guest.primary, OTHERS);
}

/* The window of NMIs opens at the IRET of an NMI's handler, too (SDM vol. 3, 26.2). */
static void nmi_window(void **state __unused)
{
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = BLOCKING_MOV_SS;
	for (unsigned i = 0; i < 3; i++)
		events_nmi(&guest.x.events);
	irqs[0] = 0x40;
	assert_int_equal(enter(), 0);
	assert_int_equal(vmwrites, 1);
	assert_int_equal(vmcs[VMCS_PRIMARY_CONTROLS], OTHERS | PRIMARY_NMI_WINDOW);
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = 0;
	vmcs[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED;
	/* The first of two. An interrupt that waits now needs its own window, besides. */
	assert_int_equal(enter(), 0x80000202);
	assert_int_equal(vmcs[VMCS_GUEST_INTERRUPTIBILITY], BLOCKING_NMI);
	assert_int_equal(vmcs[VMCS_PRIMARY_CONTROLS], OTHERS | WINDOWS);
	irqs[0] = -1;
	assert_int_equal(enter(), 0);
	assert_int_equal(vmwrites, 1);
	assert_int_equal(vmcs[VMCS_PRIMARY_CONTROLS], OTHERS | PRIMARY_NMI_WINDOW);
	/* IRET. */
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = 0;
	assert_int_equal(enter(), 0x80000202);
	assert_int_equal(vmwrites_of[VMCS_PRIMARY_CONTROLS], 1);
	assert_int_equal(vmcs[VMCS_PRIMARY_CONTROLS], OTHERS);
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = 0;
	assert_int_equal(enter(), 0);
}

/* In the shadow of STI it could be open and nothing be injected: the entry would exit for ever. */
static void nmi_in_the_shadow_of_sti(void **state __unused)
{
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = BLOCKING_STI;
	events_nmi(&guest.x.events);
	assert_int_equal(enter(), 0);
	assert_int_equal(vmcs[VMCS_PRIMARY_CONTROLS], OTHERS | PRIMARY_INTERRUPT_WINDOW);
	/* An exception ends the shadow, and may clear IF. */
	raise(VEC_UD);
	assert_int_equal(enter(), 0x80000306);
	assert_int_equal(vmcs[VMCS_PRIMARY_CONTROLS], OTHERS | PRIMARY_NMI_WINDOW);
	assert_int_equal(enter(), 0x80000202);
	assert_int_equal(vmcs[VMCS_PRIMARY_CONTROLS], OTHERS);
}

static void two_at_once(void **state __unused)
{
	/* A delivery to be repeated, and behind it an exception that merges with nothing. */
	raise(VEC_DB);
	vmx_interrupted(&guest, 0x800000d1);
	assert_int_equal(enter(), 0x800000d1);
	assert_int_equal(guest.x.base.requests, VCPU_REQ_AGAIN);
	assert_int_equal(enter(), 0x80000301);
	assert_int_equal(guest.x.base.requests, 0);
}

static void without_a_request(void **state __unused)
{
	irqs[0] = 0x40;
	guest.x.dirty = X86_RIP;
	assert_int_equal(vmx_prepare(&guest), 0);
	assert_int_equal(written_back, X86_RIP);
	assert_int_equal(vmwrites, 0);
	assert_int_equal(irqs[0], 0x40);
}

static void leaving(void **state __unused)
{
	irqs[0] = 0x40;
	guest.x.dirty = X86_RIP;
	guest.x.base.requests = VCPU_REQ_LEAVE | VCPU_REQ_EVENT | VCPU_REQ_FLUSH;
	assert_int_equal(vmx_prepare(&guest), 1 + VCPU_LEAVE_REQUESTED);
	/* Nothing is lost: neither what is dirty nor what is asked for. */
	assert_int_equal(written_back, X86_RIP);
	assert_int_equal(guest.x.base.requests, VCPU_REQ_EVENT | VCPU_REQ_FLUSH);
	assert_int_equal(vmwrites + invepts, 0);
	assert_int_equal(vmx_prepare(&guest), 0);
	assert_int_equal(vmcs[VMCS_ENTRY_INTR_INFO], 0x80000040);
	assert_int_equal(invepts, 1);
	assert_int_equal(guest.x.base.requests, 0);
	guest.x.base.requests = VCPU_REQ_LEAVE;
	assert_int_equal(vmx_prepare(&guest), 1 + VCPU_LEAVE_REQUESTED);
	assert_int_equal(guest.x.base.requests, 0);
}

/* INIT and start-up IPIs are served outside: x86_vcpu_awake(). */
static void leaving_for_others(void **state __unused)
{
	static const uint32_t each[] = {VCPU_REQ_INIT, VCPU_REQ_STARTUP,
					VCPU_REQ_INIT | VCPU_REQ_STARTUP | VCPU_REQ_NMI};

	for (unsigned i = 0; i < ARRAY_SIZE(each); i++) {
		setup(NULL);
		irqs[0] = 0x40;
		guest.x.base.requests = each[i] | VCPU_REQ_AGAIN;
		assert_int_equal(vmx_prepare(&guest), 1 + VCPU_LEAVE_REQUESTED);
		assert_int_equal(guest.x.base.requests, each[i] | VCPU_REQ_AGAIN);
		assert_int_equal(irqs[0], 0x40);
		assert_int_equal(vmwrites, 0);
	}
}

/* What others may only ask for. */
static void asked_for(void **state __unused)
{
	guest.x.base.requests = VCPU_REQ_NMI;
	assert_int_equal(vmx_prepare(&guest), 0);
	assert_int_equal(vmcs[VMCS_ENTRY_INTR_INFO], 0x80000202);
	assert_int_equal(guest.x.base.requests, 0);
	setup(NULL);
	guest.x.base.requests = VCPU_REQ_TIMER;
	assert_int_equal(vmx_prepare(&guest), 0);
	assert_int_equal(timers, 1);
	assert_int_equal(vmcs[VMCS_ENTRY_INTR_INFO], 0x8000005a);
	/* What an overflow changes of DEBUGCTL is there for this entry. */
	setup(NULL);
	guest.x.base.requests = VCPU_REQ_PMI;
	assert_int_equal(vmx_prepare(&guest), 0);
	assert_int_equal(overflows, 1);
	assert_int_equal(guest.x.dirty, 0);
	assert_int_equal(vmcs[VMCS_ENTRY_INTR_INFO], 0x8000005b);
	setup(NULL);
	irqs[0] = 0x40;
	guest.x.base.requests = VCPU_REQ_AGAIN;
	assert_int_equal(vmx_prepare(&guest), 0);
	assert_int_equal(timers, 0);
	assert_int_equal(vmcs[VMCS_ENTRY_INTR_INFO], 0x80000040);
	assert_int_equal(guest.x.base.requests, 0);
}

/* Both kinds of translations, and ours (SDM vol. 3, 29.4.3). */
static void flushes(void **state __unused)
{
	guest.x.base.requests = VCPU_REQ_FLUSH;
	assert_int_equal(vmx_prepare(&guest), 0);
	assert_int_equal(invepts, 1);
	assert_int_equal(invept_last, 0x12345e);
	assert_int_equal(invvpids, 1);
	assert_int_equal(invvpid_last, 7);
	assert_int_equal(fetches_closed, 1);
	assert_int_equal(vmwrites, 0);
	/* And this CPU, not another, says so. */
	assert_int_equal(guest_vm.mem.seen[OUR_CPU], 0x1234);
	assert_int_equal(guest_vm.mem.seen[0], 0);
	enter();
	assert_int_equal(invepts + invvpids + fetches_closed, 3);
}

/* A page that goes while we flush: what the CPU has seen is what was read before. */
static void flush_during_a_change(void **state __unused)
{
	guest_vm.mem.epoch = 0x77;
	changes_while_flushing = true;
	guest.x.base.requests = VCPU_REQ_FLUSH;
	assert_int_equal(vmx_prepare(&guest), 0);
	assert_int_equal(guest_vm.mem.seen[OUR_CPU], 0x77);
	assert_true(guest_mem_stale(&guest_vm.mem));
}

static void apic_page_goes_first(void **state __unused)
{
	static uint32_t page[PAGE_SIZE / 4];

	enter();
	assert_int_equal(apicv_prepared, 0);
	guest.apic_page = page;
	enter();
	assert_int_equal(apicv_prepared, 1);
	guest.x.base.requests = VCPU_REQ_FLUSH;
	assert_int_equal(vmx_prepare(&guest), 0);
	assert_int_equal(apicv_prepared, 1);
}

/* No physical interrupt waits where a virtual one does that the guest has masked. */
static void interrupts_before_masked_ones(void **state __unused)
{
	static uint32_t page[PAGE_SIZE / 4];

	guest.apic_page = page;
	enter();
	page_requested = 0x52;
	enter();
	vmcs[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED;
	page_requested = 0;
	enter();
	assert_int_equal(interrupts_taken, 0);
	page_requested = 0x52;
	enter();
	assert_int_equal(interrupts_taken, 1);
	assert_int_equal(apicv_prepared, 4);

	/* What they bring is served before the entry. */
	interrupts_bring = VCPU_REQ_TIMER;
	enter();
	assert_int_equal(interrupts_taken, 3);
	assert_int_equal(apicv_prepared, 6);
	assert_int_equal(timers, 1);
	interrupts_bring = VCPU_REQ_LEAVE;
	guest.x.base.requests = VCPU_REQ_EVENT;
	assert_int_equal(vmx_prepare(&guest), 1 + VCPU_LEAVE_REQUESTED);
	assert_int_equal(guest.x.base.requests, VCPU_REQ_AGAIN);
}

/* Who may spin in vain does so for less time. */
static void spins_less_if_others_wait(void **state __unused)
{
	vmx_watch_spinning(&guest); /* the CPU cannot watch it */
	assert_int_equal(vmwrites, 0);
	guest.secondary = SECONDARY_PAUSE_LOOP;
	guest.x.base.requests = VCPU_REQ_EVENT;
	assert_int_equal(vmx_prepare(&guest), 0);
	assert_int_equal(vmwrites_of[VMCS_PLE_WINDOW], 0);
	vmx_watch_spinning(&guest);
	assert_int_equal(vmcs[VMCS_PLE_WINDOW], WINDOW_ALONE);
	contended = true;
	guest.x.base.requests = VCPU_REQ_CONTENDED;
	assert_int_equal(vmx_prepare(&guest), 0);
	assert_int_equal(vmcs[VMCS_PLE_WINDOW], WINDOW_CONTENDED);
	vmx_watch_spinning(&guest);
	assert_int_equal(vmwrites_of[VMCS_PLE_WINDOW], 2);
	contended = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_type, setup),
		cmocka_unit_test_setup(error_codes_have_16_bits, setup),
		cmocka_unit_test_setup(payload_is_applied_once, setup),
		cmocka_unit_test_setup(interrupted_deliveries, setup),
		cmocka_unit_test_setup(repeated_before_new, setup),
		cmocka_unit_test_setup(nmi_blocking, setup),
		cmocka_unit_test_setup(shadows, setup),
		cmocka_unit_test_setup(interrupt_window, setup),
		cmocka_unit_test_setup(nmi_window, setup),
		cmocka_unit_test_setup(nmi_in_the_shadow_of_sti, setup),
		cmocka_unit_test_setup(two_at_once, setup),
		cmocka_unit_test_setup(without_a_request, setup),
		cmocka_unit_test_setup(leaving, setup),
		cmocka_unit_test_setup(leaving_for_others, setup),
		cmocka_unit_test_setup(asked_for, setup),
		cmocka_unit_test_setup(flushes, setup),
		cmocka_unit_test_setup(flush_during_a_change, setup),
		cmocka_unit_test_setup(apic_page_goes_first, setup),
		cmocka_unit_test_setup(interrupts_before_masked_ones, setup),
		cmocka_unit_test_setup(spins_less_if_others_wait, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
