/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU that is not running: INIT, start-up IPIs, HLT and what ends it; and the vendor's choice.
 * libs: -lpthread
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "panic_mock.h"
#include "pmu_mock.h"
#include "../../lib/format.c"
#include "../../arch/x86/guest/events.c"

/* The linker makes these for a section with such a name. */
#define __vendors_start __start_vendors_mock
#define __vendors_end	__stop_vendors_mock
#include "../../arch/x86/guest/vcpu.c"

/* What belongs to no counters. */
void pmu_deliver(struct x86_vcpu *vcpu)
{
	events_pmi(vcpu);
}

static struct vm vm;
static struct x86_vcpu v;
static int irq;			       /* pending vector of the mock interrupt controller, or -1 */
static int irq_of_pmi;		       /* becomes pending when a counter overflows, or -1 */
static int irq_of_timer;	       /* becomes pending when the timer is looked at, or -1 */
static unsigned inits, resets, closes; /* calls of init(), vcpu_reset(), fetch_close() */
static unsigned startups, msr_resets, msr_inits, context_inits, timers;
static unsigned vm_resets, vm_kills;
static uint32_t loaded;	   /* groups that were asked for */
static uint32_t meanwhile; /* requests that come while the vCPU does what it was asked for */

static void others_ask(void)
{
	__atomic_fetch_or(&v.base.requests, meanwhile, __ATOMIC_SEQ_CST);
	meanwhile = 0;
}

void timer_cancel(struct timer *t __unused)
{
	fail_msg("no timer was set");
}

void vm_reset(struct vm *m)
{
	assert_ptr_equal(m, &vm);
	vm_resets++;
}

void vm_kill(struct vm *m, const char *fmt __unused, ...)
{
	assert_ptr_equal(m, &vm);
	vm_kills++;
}

void context_init(struct x86_vcpu *vcpu)
{
	assert_ptr_equal(vcpu, &v);
	context_inits++;
}

void msr_reset_by_init(struct x86_vcpu *vcpu)
{
	assert_ptr_equal(vcpu, &v);
	assert_int_equal(msr_inits, resets); /* before the vendor's, which may take values */
	msr_inits++;
}

void msr_reset(struct x86_vcpu *vcpu)
{
	assert_ptr_equal(vcpu, &v);
	msr_resets++;
}

void fetch_close(struct x86_vcpu *vcpu)
{
	assert_ptr_equal(vcpu, &v);
	closes++;
}

static int source_pending(struct x86_vcpu *vcpu)
{
	assert_ptr_equal(vcpu, &v);
	return irq;
}

static void source_timer(struct x86_vcpu *vcpu)
{
	assert_ptr_equal(vcpu, &v);
	timers++;
	irq = irq_of_timer;
}

static void source_pmi(struct x86_vcpu *vcpu)
{
	assert_ptr_equal(vcpu, &v);
	irq = irq_of_pmi;
}

static void source_init(struct x86_vcpu *vcpu)
{
	assert_ptr_equal(vcpu, &v);
	irq = -1;
	inits++;
	others_ask();
}

static uint8_t source_startup(struct x86_vcpu *vcpu)
{
	assert_ptr_equal(vcpu, &v);
	startups++;
	others_ask();
	return 0x9a;
}

/* What the vendor's reset leaves behind (SDM vol. 3, table 10-1), as far as it matters here. */
enum { RESET_RIP = 0xfff0, RESET_CS = 0xf000, RESET_DS = 0x1234, RESET_RAX = 0x77 };

static uint64_t held_cr0; /* by the vendor */

static void mock_reset(struct x86_vcpu *vcpu, bool init)
{
	assert_ptr_equal(vcpu, &v);
	assert_true(init);
	assert_int_equal(v.avail | v.dirty, 0);
	held_cr0 = CR0_ET | CR0_NW | CR0_CD;
	resets++;
	others_ask();
}

static void mock_load(struct x86_vcpu *vcpu, uint32_t groups)
{
	assert_ptr_equal(vcpu, &v);
	assert_int_equal(groups & v.avail, 0);
	loaded |= groups;
	if (groups & X86_RIP)
		v.state.rip = RESET_RIP;
	if (groups & X86_CR)
		v.state.cr0 = held_cr0;
	if (groups & X86_SEG) {
		v.state.seg[SEG_CS].selector = RESET_CS;
		v.state.seg[SEG_CS].base = 0xffff0000;
		v.state.seg[SEG_DS].selector = RESET_DS;
	}
}

static bool works;

static bool probe_none(char *why, size_t size)
{
	format(why, size, "no such CPU");
	return false;
}

static bool probe_some(char *why, size_t size)
{
	format(why, size, "turned off");
	return works;
}

static const struct vendor none = {.name = "none", .probe = probe_none},
			   mock = {.name = "mock",
				   .probe = probe_some,
				   .vcpu_reset = mock_reset,
				   .load = mock_load};
static const struct vendor *const none_ref __attribute__((section("vendors_mock"), used)) = &none;
static const struct vendor *const mock_ref __attribute__((section("vendors_mock"), used)) = &mock;

static void start_as(unsigned id)
{
	memset(&v, 0xa5, sizeof(v));
	v.base = (struct vcpu){.vm = &vm, .id = id, .requests = UINT32_MAX};
	v.events = (struct x86_events){.nmi_pending = 2, .exception_valid = true};
	x86_vcpu_reset(&v);
	irq = irq_of_timer = -1;
	inits = resets = closes = startups = msr_resets = msr_inits = timers = 0;
	context_inits = 0;
	vm_resets = vm_kills = 0;
	loaded = meanwhile = 0;
}

static int setup(void **state __unused)
{
	static const struct x86_irq_source chip = {
		.pending = source_pending,
		.timer = source_timer,
		.pmi = source_pmi,
		.init = source_init,
		.startup = source_startup,
	};

	events_bind(&chip);
	vendor = &mock;
	works = true;
	start_as(1);
	return 0;
}

static bool awake_after(uint32_t requests)
{
	__atomic_fetch_or(&v.base.requests, requests, __ATOMIC_SEQ_CST);
	return x86_vcpu_awake(&v);
}

/* Starts vCPU 1, and lets it run. */
static void run(void)
{
	assert_true(awake_after(VCPU_REQ_STARTUP));
	v.base.requests = 0;
	v.avail = v.dirty = 0;
	startups = 0;
}

static void halt(bool interrupts)
{
	v.halted = true;
	v.halted_if = interrupts;
}

static void at_power_on(void **state __unused)
{
	assert_false(x86_vcpu_awake(&v));
	assert_int_equal(v.avail | v.dirty, 0);
	assert_int_equal(v.base.requests, 0);
	assert_int_equal(v.state.gpr[0], 0);
	assert_int_equal(v.tsc_adjust | v.pvclock, 0);
	assert_false(v.events.exception_valid);
	assert_int_equal(v.decode[3].la, UINT64_MAX);
	start_as(0);
	assert_true(x86_vcpu_awake(&v));
	assert_false(v.waits_for_sipi);
	setup(NULL);
	x86_vcpu_reset(&v);
	assert_int_equal(msr_resets, 1);
	assert_int_equal(closes, 1);
}

static void startup_starts(void **state __unused)
{
	assert_true(awake_after(VCPU_REQ_STARTUP | VCPU_REQ_FLUSH | VCPU_REQ_NMI));
	assert_false(v.waits_for_sipi);
	/* An NMI may have come while it waited. */
	assert_int_equal(v.base.requests, VCPU_REQ_FLUSH | VCPU_REQ_NMI | VCPU_REQ_AGAIN);
	assert_int_equal(v.state.seg[SEG_CS].selector, 0x9a00);
	assert_int_equal(v.state.seg[SEG_CS].base, 0x9a000);
	assert_int_equal(v.state.rip, 0);
	/* The rest of what is written back is as the vendor had it. */
	assert_int_equal(v.state.seg[SEG_DS].selector, RESET_DS);
	assert_int_equal(loaded, X86_SEG | X86_RIP);
	assert_int_equal(v.dirty, X86_SEG | X86_RIP);
	assert_true(x86_vcpu_awake(&v));
	assert_int_equal(startups, 1);
}

/* SDM vol. 3, 9.4.4.1 has two of them sent; and the first may have done. */
static void second_startup_is_ignored(void **state __unused)
{
	run();
	v.state.rip = 0x1234;
	v.dirty = 0;
	assert_true(awake_after(VCPU_REQ_STARTUP));
	assert_int_equal(v.base.requests, 0);
	assert_int_equal(v.state.rip, 0x1234);
	assert_int_equal(v.dirty, 0);
	/* It ends no HLT, either. */
	halt(true);
	assert_false(awake_after(VCPU_REQ_STARTUP));
	assert_int_equal(v.base.requests, 0);
	assert_true(v.halted);
	start_as(0);
	assert_true(awake_after(VCPU_REQ_STARTUP));
	assert_int_equal(v.state.seg[SEG_CS].selector, 0);
}

static void init_stops(void **state __unused)
{
	run();
	v.state.gpr[0] = RESET_RAX;
	v.state.rip = 0x1234;
	v.tsc_adjust = 5;
	v.msr[3] = 6;
	v.xcr0 = 7;
	v.events.nmi_pending = 1;
	v.events.exception_valid = true;
	irq = 0x40;
	assert_false(awake_after(VCPU_REQ_INIT));
	assert_true(v.waits_for_sipi);
	assert_int_equal(v.base.requests & VCPU_REQ_INIT, 0);
	assert_int_equal(inits, 1);
	assert_int_equal(resets, 1);
	assert_int_equal(closes, 1);
	assert_int_equal(v.state.gpr[0], 0);
	assert_int_equal(v.avail, X86_CR);
	assert_int_equal(v.dirty, X86_CR);
	assert_int_equal(v.events.nmi_pending, 0);
	assert_false(v.events.exception_valid);
	/* SDM vol. 3, table 10-1: these stay. */
	assert_int_equal(msr_resets, 0);
	assert_int_equal(msr_inits, 1);
	assert_int_equal(context_inits, 1);
	assert_int_equal(v.tsc_adjust, 5);
	assert_int_equal(v.msr[3], 6);
	assert_int_equal(v.xcr0, 7);
	assert_int_equal(vm_resets, 0);
	/* Nothing but a start-up IPI ends that. */
	irq = 0x40;
	assert_false(awake_after(VCPU_REQ_EVENT | VCPU_REQ_NMI | VCPU_REQ_TIMER));
	assert_true(v.waits_for_sipi);
	assert_true(awake_after(VCPU_REQ_STARTUP));
	assert_int_equal(v.state.seg[SEG_CS].selector, 0x9a00);
}

/* SDM vol. 3, table 10-1, note 2: CD and NW stay, wherever they are kept. */
static void init_keeps_cache_bits(void **state __unused)
{
	static const uint32_t cached[] = {0, CR0_CD, CR0_CD | CR0_NW};

	for (unsigned i = 0; i < ARRAY_SIZE(cached); i++) {
		run();
		held_cr0 = 0x80050033 | cached[i];
		assert_false(awake_after(VCPU_REQ_INIT));
		assert_int_equal(v.state.cr0, 0x10 | cached[i]);
		run();
		v.avail = v.dirty = X86_CR;
		v.state.cr0 = 0x80050033 | cached[i];
		held_cr0 = ~0ull;
		assert_false(awake_after(VCPU_REQ_INIT));
		assert_int_equal(v.state.cr0, 0x10 | cached[i]);
		assert_true(v.dirty & X86_CR);
	}
}

static void init_ends_halt(void **state __unused)
{
	run();
	halt(false);
	assert_false(awake_after(VCPU_REQ_INIT));
	assert_false(v.halted);
	/* And not the HLT of before after the start. */
	assert_true(awake_after(VCPU_REQ_STARTUP));
}

static void init_and_startup_at_once(void **state __unused)
{
	run();
	v.state.rip = 0x1234;
	assert_true(awake_after(VCPU_REQ_INIT | VCPU_REQ_STARTUP));
	assert_int_equal(inits, 1);
	assert_int_equal(resets, 1);
	assert_false(v.waits_for_sipi);
	assert_int_equal(v.state.rip, 0);
	assert_int_equal(v.state.seg[SEG_CS].base, 0x9a000);
	assert_int_equal(v.dirty, X86_SEG | X86_RIP | X86_CR);
}

/* Whoever sends INIT and start-up does not wait in between until the first was served. */
static void startup_while_init_is_served(void **state __unused)
{
	run();
	meanwhile = VCPU_REQ_STARTUP;
	assert_false(awake_after(VCPU_REQ_INIT));
	assert_int_equal(inits, 1);
	assert_true(v.waits_for_sipi);
	assert_int_equal(v.base.requests, VCPU_REQ_STARTUP);
	assert_true(x86_vcpu_awake(&v));
	assert_int_equal(v.state.seg[SEG_CS].selector, 0x9a00);
}

static void init_while_startup_is_served(void **state __unused)
{
	meanwhile = VCPU_REQ_INIT;
	assert_true(awake_after(VCPU_REQ_STARTUP));
	assert_int_equal(v.base.requests, VCPU_REQ_INIT | VCPU_REQ_AGAIN);
	assert_false(x86_vcpu_awake(&v));
	assert_int_equal(inits, 1);
	assert_true(v.waits_for_sipi);
}

enum { RACES = 5000, LOOKS = 1000000 };
static unsigned asked, served; /* rounds that are through */

/* A start-up IPI that comes too late for a CPU that runs, and an INIT behind it, as they are sent.
 */
static void *send(void *unused __unused)
{
	for (unsigned i = 1; i <= RACES; i++) {
		__atomic_fetch_or(&v.base.requests, VCPU_REQ_STARTUP, __ATOMIC_SEQ_CST);
		for (unsigned n = 0; n < i % 16; n++)
			barrier();
		__atomic_fetch_and(&v.base.requests, ~(uint32_t)VCPU_REQ_STARTUP, __ATOMIC_SEQ_CST);
		__atomic_fetch_or(&v.base.requests, VCPU_REQ_INIT, __ATOMIC_SEQ_CST);
		__atomic_store_n(&asked, i, __ATOMIC_RELEASE);
		while (__atomic_load_n(&served, __ATOMIC_ACQUIRE) < i)
			sched_yield();
	}
	return NULL;
}

/* An INIT takes back a start-up from before it, whenever the CPU looks. */
static void init_after_startup(void **state __unused)
{
	unsigned started = 0;
	pthread_t sender;
	uint32_t requests;
	bool last;

	run();
	asked = served = 0;
	assert_int_equal(pthread_create(&sender, NULL, send, NULL), 0);
	for (unsigned i = 1; i <= RACES; i++) {
		do {
			last = __atomic_load_n(&asked, __ATOMIC_ACQUIRE) == i;
			if (!x86_take_requests(&v, &requests))
				x86_vcpu_awake(&v);
		} while (!last);
		started += !v.waits_for_sipi;
		v.waits_for_sipi = false;
		v.base.requests = 0;
		__atomic_store_n(&served, i, __ATOMIC_RELEASE);
	}
	pthread_join(sender, NULL);
	assert_int_equal(inits, RACES);
	assert_int_equal(started, 0);
}

static bool watched; /* often enough */

/* Counts how often the start-up IPI is not where it was put. */
static void *watch(void *missing)
{
	for (unsigned i = 0; i < LOOKS; i++)
		*(unsigned *)missing +=
			!(__atomic_load_n(&v.base.requests, __ATOMIC_RELAXED) & VCPU_REQ_STARTUP);
	__atomic_store_n(&watched, true, __ATOMIC_RELAXED);
	return NULL;
}

/* Not for a moment is it missing, in which an INIT would not find it. */
static void startup_is_left_alone(void **state __unused)
{
	unsigned missing = 0;
	pthread_t watcher;
	uint32_t requests;

	watched = false;
	v.base.requests = VCPU_REQ_STARTUP;
	assert_int_equal(pthread_create(&watcher, NULL, watch, &missing), 0);
	while (!__atomic_load_n(&watched, __ATOMIC_RELAXED))
		assert_false(x86_take_requests(&v, &requests));
	pthread_join(watcher, NULL);
	assert_int_equal(missing, 0);
}

static void requests_before_an_entry(void **state __unused)
{
	const uint32_t others = VCPU_REQ_EVENT | VCPU_REQ_FLUSH | VCPU_REQ_NMI | VCPU_REQ_AGAIN;
	uint32_t requests;

	v.base.requests = others;
	assert_true(x86_take_requests(&v, &requests));
	assert_int_equal(requests, others);
	assert_int_equal(v.base.requests, 0);
	v.base.requests = others | VCPU_REQ_LEAVE;
	assert_false(x86_take_requests(&v, &requests));
	assert_int_equal(v.base.requests, others);
	v.base.requests = others | VCPU_REQ_INIT;
	assert_false(x86_take_requests(&v, &requests));
	assert_int_equal(v.base.requests, others | VCPU_REQ_INIT);
	v.base.requests = others | VCPU_REQ_STARTUP;
	assert_false(x86_take_requests(&v, &requests));
	assert_int_equal(v.base.requests, others | VCPU_REQ_STARTUP);
	v.base.requests = others | VCPU_REQ_WORK;
	assert_false(x86_take_requests(&v, &requests));
	assert_int_equal(v.base.requests, others | VCPU_REQ_WORK);
}

void vcpu_request(struct vcpu *to, uint32_t requests)
{
	assert_ptr_equal(to, &v.base);
	__atomic_fetch_or(&v.base.requests, requests, __ATOMIC_SEQ_CST);
}

static unsigned work_turns, work_left;

static void do_work(struct vcpu_work *w, struct vcpu *vcpu)
{
	assert_ptr_equal(vcpu, &v.base);
	work_turns++;
	if (work_left) {
		work_left--;
		vcpu_defer(vcpu, w + 1);
	}
}

/* Work is done in the vCPU's turn, even if it sleeps on; what it puts off keeps it from sleep. */
static void posted_work(void **state __unused)
{
	struct vcpu_work w[2] = {{.run = do_work}, {.run = do_work}};

	run();
	assert_true(VCPU_REQ_WAKING & VCPU_REQ_WORK);
	halt(true);
	work_left = 1;
	vcpu_post(&v.base, w);
	vcpu_post(&v.base, w);
	assert_int_equal(work_turns, 0);
	assert_false(x86_vcpu_awake(&v));
	assert_int_equal(work_turns, 1);
	assert_non_null(v.base.work);
	assert_true(v.base.requests & VCPU_REQ_WAKING);
	assert_false(x86_vcpu_awake(&v));
	assert_int_equal(work_turns, 2);
	assert_null(v.base.work);
	assert_false(v.base.requests & VCPU_REQ_WAKING);
	assert_true(v.halted);
	/* The vCPU's next life knows nothing of it. */
	vcpu_post(&v.base, w);
	vcpu_defer(&v.base, w + 1);
	x86_vcpu_reset(&v);
	v.base.requests = VCPU_REQ_WORK;
	x86_vcpu_awake(&v);
	assert_int_equal(work_turns, 2);
	vcpu_post(&v.base, w);
	assert_int_equal(v.base.requests, VCPU_REQ_WORK);
	x86_vcpu_awake(&v);
	assert_int_equal(work_turns, 3);
}

/* The boot processor would go on in firmware, which there is none of. */
static void init_of_the_first_resets(void **state __unused)
{
	start_as(0);
	v.state.gpr[0] = RESET_RAX;
	assert_true(awake_after(VCPU_REQ_INIT));
	assert_int_equal(vm_resets, 1);
	assert_int_equal(inits + resets, 0);
	assert_int_equal(v.state.gpr[0], RESET_RAX);
	assert_false(v.waits_for_sipi);
	assert_true(x86_vcpu_awake(&v));
	assert_int_equal(vm_resets, 1);
}

static void halted_with_interrupts(void **state __unused)
{
	run();
	halt(true);
	assert_false(x86_vcpu_awake(&v));
	/* A false alarm. */
	assert_false(awake_after(VCPU_REQ_EVENT));
	assert_int_equal(v.base.requests, 0);
	assert_true(v.halted);
	/* What is not for a sleeper is left for the entry. */
	assert_false(awake_after(VCPU_REQ_FLUSH | VCPU_REQ_LEAVE));
	assert_int_equal(v.base.requests, VCPU_REQ_FLUSH | VCPU_REQ_LEAVE);
	v.base.requests = 0;
	irq = 0x40;
	assert_true(awake_after(VCPU_REQ_EVENT));
	assert_false(v.halted);
	/* So that the entry takes it. */
	assert_true(v.base.requests & VCPU_REQ_AGAIN);
}

/* What came before it slept, or is for a moment when it does not run. */
static void halting(void **state __unused)
{
	run();
	assert_false(x86_vcpu_halt(&v, true));
	assert_true(v.halted && v.halted_if);
	irq = 0x40;
	assert_false(x86_vcpu_halt(&v, false));
	assert_true(v.halted && !v.halted_if);
	assert_true(x86_vcpu_halt(&v, true));
	assert_false(v.halted);
	assert_int_equal(v.base.requests, VCPU_REQ_AGAIN);
	irq = -1;
	v.base.requests = VCPU_REQ_INIT | VCPU_REQ_STARTUP | VCPU_REQ_AGAIN;
	assert_false(x86_vcpu_halt(&v, true));
	assert_int_equal(v.base.requests, VCPU_REQ_INIT | VCPU_REQ_STARTUP);
	assert_int_equal(inits + startups, 0);
	v.base.requests = VCPU_REQ_NMI;
	assert_true(x86_vcpu_halt(&v, false));
}

/* What was put off is done before it sleeps, or in its next turn, and may wake it. */
static unsigned done, left;

static void a_work(struct vcpu_work *work, struct vcpu *vcpu)
{
	assert_ptr_equal(vcpu, &v.base);
	done++;
	if (left && left--)
		vcpu_defer(vcpu, work);
	else
		irq = 0x40;
}

static void halting_with_work(void **state __unused)
{
	struct vcpu_work work = {.run = a_work};

	run();
	done = left = 0;
	vcpu_defer(&v.base, &work);
	assert_true(x86_vcpu_halt(&v, true));
	assert_int_equal(done, 1);
	assert_null(v.base.work);
	assert_false(v.halted);
	/* It sleeps only when all of it is done: until then others have the CPU in between. */
	irq = -1;
	left = 2;
	v.base.requests = 0;
	vcpu_defer(&v.base, &work);
	assert_false(x86_vcpu_halt(&v, true));
	assert_int_equal(done, 2);
	assert_true(v.base.requests & VCPU_REQ_WAKING);
	assert_false(x86_vcpu_awake(&v));
	assert_int_equal(done, 3);
	assert_true(v.base.requests & VCPU_REQ_WAKING);
	assert_true(x86_vcpu_awake(&v));
	assert_int_equal(done, 4);
	assert_false(v.halted);
}

static void halted_until_the_timer(void **state __unused)
{
	run();
	halt(true);
	assert_false(awake_after(VCPU_REQ_TIMER));
	assert_int_equal(timers, 1);
	irq_of_timer = 0xec;
	assert_true(awake_after(VCPU_REQ_TIMER));
	assert_int_equal(timers, 2);
	assert_false(v.halted);
	halt(false);
	assert_false(awake_after(VCPU_REQ_TIMER));
}

static void halted_until_an_overflow(void **state __unused)
{
	run();
	halt(true);
	irq_of_pmi = -1;
	assert_false(awake_after(VCPU_REQ_PMI));
	irq_of_pmi = 0xee;
	assert_true(awake_after(VCPU_REQ_PMI));
	assert_int_equal(v.base.requests, VCPU_REQ_AGAIN);
}

static void halted_without_interrupts(void **state __unused)
{
	run();
	halt(false);
	irq = 0x40;
	assert_false(awake_after(VCPU_REQ_EVENT));
	assert_false(awake_after(VCPU_REQ_AGAIN));
	assert_true(v.halted);
	assert_true(awake_after(VCPU_REQ_NMI));
	assert_int_equal(v.events.nmi_pending, 1);
	assert_true(v.base.requests & VCPU_REQ_AGAIN);
	/* In an NMI handler, not until its IRET. */
	halt(false);
	v.base.requests = 0;
	v.events = (struct x86_events){.nmi_blocked = true};
	assert_false(awake_after(VCPU_REQ_NMI));
	assert_int_equal(v.events.nmi_pending, 1);
	v.events.nmi_blocked = false;
	assert_true(x86_vcpu_awake(&v));
}

/* One that runs looks for all that itself, before its next entry. */
static void awake_takes_nothing(void **state __unused)
{
	const uint32_t all = VCPU_REQ_EVENT | VCPU_REQ_TIMER | VCPU_REQ_NMI | VCPU_REQ_AGAIN |
			     VCPU_REQ_FLUSH | VCPU_REQ_LEAVE;

	run();
	assert_true(awake_after(all));
	assert_int_equal(v.base.requests, all);
	assert_int_equal(timers, 0);
	assert_int_equal(v.events.nmi_pending, 0);
}

static void exceptions(void **state __unused)
{
	run();
	/* Real mode: no error code. */
	v.avail |= X86_CR;
	v.state.cr0 = 0;
	x86_raise_error(&v, VEC_GP, 0x10);
	assert_true(v.events.exception_valid);
	assert_false(v.events.exception.has_error);
	assert_true(v.base.requests & VCPU_REQ_AGAIN);
	v.events.exception_valid = false;
	v.state.cr0 = CR0_PE;
	x86_raise_error(&v, VEC_GP, 0x10);
	assert_true(v.events.exception.has_error);
	assert_int_equal(v.events.exception.error, 0x10);
	x86_raise_error(&v, VEC_NP, 0x10);
	assert_int_equal(v.events.exception.vector, VEC_DF);
	assert_int_equal(vm_kills, 0);
	x86_raise_error(&v, VEC_GP, 0);
	assert_int_equal(vm_kills, 1);
}

static void vendors(void **state __unused)
{
	char why[100] = "x", small[8];

	assert_ptr_equal(vendor_probe(why, sizeof(why)), &mock);
	works = false;
	assert_null(vendor_probe(why, sizeof(why)));
	/* The linker's order. */
	assert_non_null(strstr(why, "none: no such CPU"));
	assert_non_null(strstr(why, "mock: turned off"));
	assert_non_null(strstr(why, "; "));
	assert_null(vendor_probe(small, sizeof(small)));
	assert_int_equal(strlen(small), sizeof(small) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(at_power_on, setup),
		cmocka_unit_test_setup(startup_starts, setup),
		cmocka_unit_test_setup(second_startup_is_ignored, setup),
		cmocka_unit_test_setup(init_stops, setup),
		cmocka_unit_test_setup(init_keeps_cache_bits, setup),
		cmocka_unit_test_setup(init_ends_halt, setup),
		cmocka_unit_test_setup(init_and_startup_at_once, setup),
		cmocka_unit_test_setup(startup_while_init_is_served, setup),
		cmocka_unit_test_setup(init_while_startup_is_served, setup),
		cmocka_unit_test_setup(init_after_startup, setup),
		cmocka_unit_test_setup(startup_is_left_alone, setup),
		cmocka_unit_test_setup(requests_before_an_entry, setup),
		cmocka_unit_test_setup(init_of_the_first_resets, setup),
		cmocka_unit_test_setup(halted_with_interrupts, setup),
		cmocka_unit_test_setup(halting, setup),
		cmocka_unit_test_setup(halting_with_work, setup),
		cmocka_unit_test_setup(halted_until_the_timer, setup),
		cmocka_unit_test_setup(halted_until_an_overflow, setup),
		cmocka_unit_test_setup(posted_work, setup),
		cmocka_unit_test_setup(halted_without_interrupts, setup),
		cmocka_unit_test_setup(awake_takes_nothing, setup),
		cmocka_unit_test_setup(exceptions, setup),
		cmocka_unit_test_setup(vendors, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
