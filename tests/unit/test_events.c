/* SPDX-License-Identifier: BSD-2-Clause */
/* Events for a guest: merging, payloads, NMI limits, priorities and repeated deliveries. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "../../arch/x86/guest/events.c"

static struct x86_vcpu v;
static int irq = -1;	  /* pending vector of the mock interrupt controller */
static int second = -1;	  /* pending once the first was accepted */
static unsigned accepted; /* calls of accept() */

static int mock_pending(struct x86_vcpu *vcpu)
{
	assert_ptr_equal(vcpu, &v);
	return irq;
}

static uint8_t mock_accept(struct x86_vcpu *vcpu, int pending)
{
	uint8_t vector = (uint8_t)irq;

	assert_ptr_equal(vcpu, &v);
	assert_true(irq >= 0 && pending == irq);
	accepted++;
	irq = second;
	second = -1;
	return vector;
}

static int requeued = -1; /* vector given back */

static void mock_requeue(struct x86_vcpu *vcpu, uint8_t vector)
{
	assert_ptr_equal(vcpu, &v);
	requeued = vector;
}

static unsigned timers, inits; /* calls of timer(), init() */

static void mock_timer(struct x86_vcpu *vcpu)
{
	assert_ptr_equal(vcpu, &v);
	timers++;
}

static void mock_init(struct x86_vcpu *vcpu)
{
	assert_ptr_equal(vcpu, &v);
	inits++;
}

static uint8_t mock_startup(struct x86_vcpu *vcpu)
{
	assert_ptr_equal(vcpu, &v);
	return 0x9a;
}

static const struct x86_window open_window = {true, true}, shut;

static int setup(void **state __unused)
{
	static const struct x86_irq_source mock = {
		.pending = mock_pending,
		.injectable = mock_pending,
		.accept = mock_accept,
		.requeue = mock_requeue,
		.timer = mock_timer,
		.init = mock_init,
		.startup = mock_startup,
	};

	events_bind(&mock);
	events_reset(&v.events);
	v.stats = (struct x86_stats){0};
	irq = second = -1;
	accepted = timers = inits = 0;
	return 0;
}

/* Takes the next event; -1 if there is none, else its type * 256 + vector. */
static int next(struct x86_window w, struct x86_event *ev, enum events_wait *wait)
{
	struct x86_event dummy;
	enum events_wait ignored;

	ev = ev ? ev : &dummy;
	wait = wait ? wait : &ignored;
	return events_next(&v, w, ev, wait) ? (int)ev->type * 256 + ev->vector : -1;
}

static bool raise_vector(uint8_t vector)
{
	return events_raise(&v.events, &(struct x86_exception){.vector = vector,
							       .has_error = vector == VEC_GP,
							       .error = 0x1234});
}

/* SDM vol. 3, tables 6-4 and 6-5, written down from the manual. 'D': #DF, 'T': triple, 'S': second.
 */
static char expected(unsigned a, unsigned b)
{
	static const char contributory[] = {0, 10, 11, 12, 13, 21};
	bool ca = false, cb = false;
	bool pa = a == 14 || a == 20, pb = b == 14 || b == 20;

	for (unsigned i = 0; i < sizeof(contributory); i++) {
		ca |= a == (unsigned)contributory[i];
		cb |= b == (unsigned)contributory[i];
	}
	if (a == 8)
		return cb || pb || b == 8 ? 'T' : 'S';
	if (ca && cb)
		return 'D';
	if (pa && (cb || pb))
		return 'D';
	return 'S';
}

static void check_merge(unsigned a, unsigned b, bool delivered)
{
	bool ok;

	events_reset(&v.events);
	if (delivered) {
		/* @a was injected, and its delivery met @b. */
		struct x86_event ev = {.type = EVENT_EXCEPTION, .vector = a};

		events_interrupted(&v.events, &ev);
	} else {
		assert_true(raise_vector(a));
	}
	ok = raise_vector(b);
	assert_int_equal(ok, expected(a, b) != 'T');
	if (!ok)
		return;
	assert_true(v.events.exception_valid);
	assert_false(v.events.retry_valid);
	if (expected(a, b) == 'D') {
		assert_int_equal(v.events.exception.vector, VEC_DF);
		assert_true(v.events.exception.has_error);
		assert_int_equal(v.events.exception.error, 0);
		assert_false(v.events.exception.has_payload);
	} else {
		assert_int_equal(v.events.exception.vector, b);
		assert_int_equal(v.events.exception.has_error, b == VEC_GP);
		assert_int_equal(v.events.exception.error, 0x1234);
	}
	/* Exactly one event comes out. */
	assert_true(next(open_window, NULL, NULL) >= 0);
	assert_int_equal(next(open_window, NULL, NULL), -1);
}

static void merges_every_pair(void **state __unused)
{
	for (unsigned a = 0; a < 32; a++) {
		for (unsigned b = 0; b < 32; b++) {
			/* Double faults with #DF as the second exist only as a triple fault. */
			if (b == VEC_DF && a != VEC_DF && expected(a, b) != 'S')
				continue;
			if (a == VEC_NMI || b == VEC_NMI || (b == VEC_DF && a != VEC_DF))
				continue;
			check_merge(a, b, false);
			check_merge(a, b, true);
		}
	}
}

static void three_faults_in_a_row(void **state __unused)
{
	assert_true(raise_vector(VEC_GP));
	assert_true(raise_vector(VEC_NP));
	assert_int_equal(v.events.exception.vector, VEC_DF);
	assert_false(raise_vector(VEC_GP));
}

/* An interrupt or NMI whose delivery faults is benign, however it is numbered. */
static void only_exceptions_merge(void **state __unused)
{
	static const enum x86_event_type types[] = {EVENT_INTERRUPT, EVENT_NMI,
						    EVENT_SOFT_INTERRUPT};

	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		for (unsigned vector = 0; vector < 256; vector++) {
			struct x86_event ev = {.type = types[i], .vector = vector};

			events_reset(&v.events);
			events_interrupted(&v.events, &ev);
			assert_true(raise_vector(VEC_GP));
			assert_int_equal(v.events.exception.vector, VEC_GP);
		}
	}
}

static void exceptions_before_nmis_before_interrupts(void **state __unused)
{
	struct x86_event ev;
	enum events_wait wait;

	irq = 0x30;
	events_nmi(&v.events);
	assert_true(raise_vector(VEC_UD));
	assert_int_equal(next(open_window, &ev, &wait), EVENT_EXCEPTION * 256 + VEC_UD);
	assert_int_equal(wait, EVENTS_NMI_WINDOW);
	assert_int_equal(next(open_window, &ev, &wait), EVENT_NMI * 256 + VEC_NMI);
	assert_int_equal(wait, EVENTS_INTERRUPT_WINDOW);
	assert_int_equal(accepted, 0);
	assert_int_equal(next(open_window, &ev, &wait), EVENT_INTERRUPT * 256 + 0x30);
	assert_int_equal(wait, EVENTS_NONE);
	assert_int_equal(accepted, 1);
	assert_int_equal(next(open_window, &ev, &wait), -1);
	assert_int_equal(v.stats.exceptions, 1);
	assert_int_equal(v.stats.nmis, 1);
	assert_int_equal(v.stats.injected, 1);
	assert_int_equal(v.stats.reinjected, 0);
}

static void windows_hold_back(void **state __unused)
{
	enum events_wait wait;

	assert_int_equal(next(shut, NULL, &wait), -1);
	assert_int_equal(wait, EVENTS_NONE);
	irq = 0x40;
	assert_int_equal(next(shut, NULL, &wait), -1);
	assert_int_equal(wait, EVENTS_INTERRUPT_WINDOW);
	/* IF is clear, no shadow: NMIs go, interrupts do not. */
	events_nmi(&v.events);
	assert_int_equal(next((struct x86_window){false, true}, NULL, &wait),
			 EVENT_NMI * 256 + VEC_NMI);
	assert_int_equal(wait, EVENTS_INTERRUPT_WINDOW);
	/* In the NMI's handler, with interrupts on. */
	events_nmi(&v.events);
	assert_int_equal(next(open_window, NULL, &wait), EVENT_INTERRUPT * 256 + 0x40);
	assert_int_equal(wait, EVENTS_NONE);
	v.events.nmi_blocked = false;
	assert_int_equal(next(shut, NULL, &wait), -1);
	assert_int_equal(wait, EVENTS_NMI_WINDOW);
	/* An exception needs no window. */
	assert_true(raise_vector(VEC_DB));
	assert_int_equal(next(shut, NULL, NULL), EVENT_EXCEPTION * 256 + VEC_DB);
	/* The next interrupt after the accepted one wants a window, too. */
	v.events.nmi_pending = 0;
	irq = 0x41;
	second = 0x42;
	assert_int_equal(next(open_window, NULL, &wait), EVENT_INTERRUPT * 256 + 0x41);
	assert_int_equal(wait, EVENTS_INTERRUPT_WINDOW);
}

static void nmi_limits(void **state __unused)
{
	for (unsigned i = 0; i < 5; i++)
		events_nmi(&v.events);
	assert_int_equal(v.events.nmi_pending, 2);
	assert_int_equal(next(open_window, NULL, NULL), EVENT_NMI * 256 + VEC_NMI);
	assert_true(v.events.nmi_blocked);
	assert_int_equal(next(open_window, NULL, NULL), -1);
	for (unsigned i = 0; i < 5; i++)
		events_nmi(&v.events);
	assert_int_equal(v.events.nmi_pending, 1);
	v.events.nmi_blocked = false; /* IRET */
	assert_int_equal(next(open_window, NULL, NULL), EVENT_NMI * 256 + VEC_NMI);
	v.events.nmi_blocked = false;
	assert_int_equal(next(open_window, NULL, NULL), -1);
}

static void a_repeated_event_is_the_same(void **state __unused)
{
	const struct x86_event first = {.type = EVENT_EXCEPTION,
					.vector = VEC_PF,
					.has_error = true,
					.error = 7,
					.has_payload = true,
					.payload = 0xdeadbeef000};
	struct x86_event ev;

	/* A repeated delivery comes first, with the window shut, without its payload. */
	irq = 0x50;
	events_nmi(&v.events);
	events_interrupted(&v.events, &first);
	assert_int_equal(next(shut, &ev, NULL), EVENT_EXCEPTION * 256 + VEC_PF);
	assert_true(ev.has_error);
	assert_int_equal(ev.error, 7);
	assert_false(ev.has_payload);
	assert_int_equal(v.stats.reinjected, 1);
	assert_int_equal(v.stats.exceptions, 0);
	v.state.cr2 = 0x1111;
	events_apply_payload(&v.state, &ev);
	assert_int_equal(v.state.cr2, 0x1111);

	/* INT n keeps its length; an interrupt is not accepted anew. */
	events_interrupted(
		&v.events,
		&(struct x86_event){.type = EVENT_SOFT_INTERRUPT, .vector = 0x80, .insn_len = 2});
	assert_int_equal(next(shut, &ev, NULL), EVENT_SOFT_INTERRUPT * 256 + 0x80);
	assert_int_equal(ev.insn_len, 2);
	events_interrupted(&v.events, &(struct x86_event){.type = EVENT_INTERRUPT, .vector = 0x33});
	assert_int_equal(next(shut, &ev, NULL), EVENT_INTERRUPT * 256 + 0x33);
	assert_int_equal(accepted, 0);
}

static void a_repeated_nmi_blocks_again(void **state __unused)
{
	struct x86_event ev;

	events_nmi(&v.events);
	assert_int_equal(next(open_window, &ev, NULL), EVENT_NMI * 256 + VEC_NMI);
	events_nmi(&v.events);
	events_interrupted(&v.events, &ev);
	assert_false(v.events.nmi_blocked);
	assert_int_equal(next(open_window, &ev, NULL), EVENT_NMI * 256 + VEC_NMI);
	assert_true(v.events.nmi_blocked);
	assert_int_equal(v.events.nmi_pending, 1);
	assert_int_equal(next(open_window, &ev, NULL), -1);
}

/* An exception goes before an interrupt whose delivery met it; that one is not lost. */
static void interrupted_ones_go_back(void **state __unused)
{
	events_interrupted(&v.events, &(struct x86_event){.type = EVENT_INTERRUPT, .vector = 0x44});
	events_requeue(&v);
	assert_int_equal(requeued, 0x44);
	assert_true(raise_vector(VEC_GP));
	assert_int_equal(next(shut, NULL, NULL), EVENT_EXCEPTION * 256 + VEC_GP);
	assert_int_equal(next(shut, NULL, NULL), -1);
	/* An NMI waits again. */
	events_interrupted(&v.events, &(struct x86_event){.type = EVENT_NMI, .vector = VEC_NMI});
	events_requeue(&v);
	assert_int_equal(v.events.nmi_pending, 1);
	assert_false(v.events.retry_valid);
	/* An exception is merged, so it stays. */
	events_interrupted(&v.events, &(struct x86_event){.type = EVENT_EXCEPTION, .vector = 13});
	events_requeue(&v);
	assert_true(v.events.retry_valid);
	assert_true(raise_vector(VEC_NP));
	assert_int_equal(v.events.exception.vector, VEC_DF);
}

static void page_fault_payload(void **state __unused)
{
	struct x86_state s = {.cr2 = 5, .dr6 = 0xffff0ff0, .dr7 = 0x2400};
	struct x86_event ev = {.type = EVENT_EXCEPTION, .vector = VEC_PF, .payload = 0xabc};

	events_apply_payload(&s, &ev);
	assert_int_equal(s.cr2, 5);
	ev.has_payload = true;
	events_apply_payload(&s, &ev);
	assert_int_equal(s.cr2, 0xabc);
	assert_int_equal(s.dr6, 0xffff0ff0);
	assert_int_equal(s.dr7, 0x2400);
	/* Until it is injected, nothing shows: raising alone changes no register. */
	v.state = s;
	assert_true(events_raise(
		&v.events,
		&(struct x86_exception){.vector = VEC_PF, .has_payload = true, .payload = 0xdef}));
	assert_int_equal(v.state.cr2, 0xabc);
	assert_int_equal(next(shut, &ev, NULL), EVENT_EXCEPTION * 256 + VEC_PF);
	assert_true(ev.has_payload);
	events_apply_payload(&v.state, &ev);
	assert_int_equal(v.state.cr2, 0xdef);
}

/* Bit by bit, from the manuals: what DR6 becomes from what it was (SDM vol. 3, 18.2.3). */
static void debug_payload(void **state __unused)
{
	enum {
		B0_B3 = 0xf,
		BLD = BIT(11),
		ENABLED = BIT(12),
		BD = BIT(13),
		BS = BIT(14),
		BT = BIT(15),
		RTM = BIT(16)
	};
	static const uint64_t parts[] = {1, 2, 4, 8, BLD, ENABLED, BD, BS, BT, RTM};

	for (unsigned set = 0; set < 1u << ARRAY_SIZE(parts); set++) {
		for (unsigned old = 0; old < 2; old++) {
			struct x86_state s = {.dr6 = old ? 0xffff4ff5 : 0xffff0ff0, .dr7 = 0x2400};
			struct x86_event ev = {
				.type = EVENT_EXCEPTION, .vector = VEC_DB, .has_payload = true};
			uint64_t want = 0xfffe07f0 | BLD | RTM;

			for (unsigned i = 0; i < ARRAY_SIZE(parts); i++)
				ev.payload |= set >> i & 1 ? parts[i] : 0;
			/* Breakpoints anew; BD, BS and BT accumulate; BLD and RTM are active low.
			 */
			want |= ev.payload & (B0_B3 | BD | BS | BT);
			want |= s.dr6 & (BD | BS | BT);
			if (ev.payload & BLD)
				want &= ~(uint64_t)BLD;
			if (ev.payload & RTM)
				want &= ~(uint64_t)RTM;
			events_apply_payload(&s, &ev);
			assert_int_equal(s.dr6, want);
			assert_int_equal(s.cr2, 0);
			if (ev.payload & BD)
				assert_int_equal(s.dr7, 0x400);
		}
	}
}

static void other_vectors_have_no_payload(void **state __unused)
{
	struct x86_state s = {.cr2 = 1, .dr6 = 2, .dr7 = 3};

	for (unsigned vector = 0; vector < 256; vector++) {
		struct x86_event ev = {.type = EVENT_EXCEPTION,
				       .vector = vector,
				       .has_payload = true,
				       .payload = UINT64_MAX};

		if (vector == VEC_PF || vector == VEC_DB)
			continue;
		events_apply_payload(&s, &ev);
		assert_true(s.cr2 == 1 && s.dr6 == 2 && s.dr7 == 3);
	}
}

static void what_wakes_from_halt(void **state __unused)
{
	assert_false(events_wakeup(&v, true));
	irq = 0x20;
	assert_true(events_wakeup(&v, true));
	assert_false(events_wakeup(&v, false));
	irq = -1;
	events_nmi(&v.events);
	assert_true(events_wakeup(&v, false));
	v.events.nmi_blocked = true;
	assert_false(events_wakeup(&v, true));
	assert_true(raise_vector(VEC_GP));
	assert_true(events_wakeup(&v, false));
	events_reset(&v.events);
	assert_false(events_wakeup(&v, true));
	events_interrupted(&v.events, &(struct x86_event){.type = EVENT_INTERRUPT, .vector = 32});
	assert_true(events_wakeup(&v, false));
}

/* What others ask for goes to the source of interrupts; INIT forgets every event. */
static void requests(void **state __unused)
{
	assert_true(raise_vector(VEC_GP));
	events_nmi(&v.events);
	events_timer(&v);
	assert_int_equal(timers, 1);
	assert_int_equal(events_startup(&v), 0x9a);
	assert_true(events_wakeup(&v, false));
	assert_int_equal(inits, 0);
	events_interrupted(&v.events, &(struct x86_event){.type = EVENT_NMI, .vector = 2});
	v.events.nmi_blocked = true;
	events_init(&v);
	assert_int_equal(inits, 1);
	assert_false(events_wakeup(&v, true));
	assert_int_equal(next(open_window, NULL, NULL), -1);
	events_nmi(&v.events);
	assert_true(events_wakeup(&v, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(merges_every_pair, setup),
		cmocka_unit_test_setup(three_faults_in_a_row, setup),
		cmocka_unit_test_setup(only_exceptions_merge, setup),
		cmocka_unit_test_setup(exceptions_before_nmis_before_interrupts, setup),
		cmocka_unit_test_setup(windows_hold_back, setup),
		cmocka_unit_test_setup(nmi_limits, setup),
		cmocka_unit_test_setup(a_repeated_event_is_the_same, setup),
		cmocka_unit_test_setup(a_repeated_nmi_blocks_again, setup),
		cmocka_unit_test_setup(interrupted_ones_go_back, setup),
		cmocka_unit_test_setup(page_fault_payload, setup),
		cmocka_unit_test_setup(debug_payload, setup),
		cmocka_unit_test_setup(other_vectors_have_no_payload, setup),
		cmocka_unit_test_setup(what_wakes_from_halt, setup),
		cmocka_unit_test_setup(requests, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
