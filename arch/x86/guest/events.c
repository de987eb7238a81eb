/* SPDX-License-Identifier: BSD-2-Clause */
/* Chooses the next event for a guest and decides what becomes of those that collide. */
#include "socle/guest/events.h"
#include "socle/guest/vcpu.h"

static const struct x86_irq_source *source;

void events_bind(const struct x86_irq_source *s)
{
	source = s;
}

void events_reset(struct x86_events *e)
{
	*e = (struct x86_events){0};
}

/* SDM vol. 3, 6.15, "Interrupt 8", and table 6-5. */
enum fault_class { CLASS_BENIGN, CLASS_CONTRIBUTORY, CLASS_PAGE_FAULT, CLASS_DOUBLE_FAULT };

static enum fault_class class_of(uint8_t vector)
{
	switch (vector) {
	case VEC_DE:
	case VEC_TS:
	case VEC_NP:
	case VEC_SS:
	case VEC_GP:
	case VEC_CP:
		return CLASS_CONTRIBUTORY;
	case VEC_PF:
	case VEC_VE:
		return CLASS_PAGE_FAULT;
	case VEC_DF:
		return CLASS_DOUBLE_FAULT;
	default:
		return CLASS_BENIGN;
	}
}

void events_requeue(struct x86_vcpu *v)
{
	struct x86_events *e = &v->events;

	if (!e->retry_valid || e->retry.type == EVENT_EXCEPTION)
		return;
	if (e->retry.type == EVENT_INTERRUPT)
		source->requeue(v, e->retry.vector);
	else if (e->retry.type == EVENT_NMI)
		events_nmi(e);
	e->retry_valid = false;
}

bool events_raise(struct x86_events *e, const struct x86_exception *x)
{
	const struct x86_event *first = NULL;
	enum fault_class a, b = class_of(x->vector);

	if (e->retry_valid && e->retry.type == EVENT_EXCEPTION)
		first = &e->retry;
	else if (e->exception_valid)
		first = &e->exception;
	a = first ? class_of(first->vector) : CLASS_BENIGN;
	if (a == CLASS_DOUBLE_FAULT && b != CLASS_BENIGN)
		return false;

	/* The event whose delivery faulted is not repeated: its instruction or source is. */
	if (first == &e->retry)
		e->retry_valid = false;
	e->exception_valid = true;
	if ((a == CLASS_CONTRIBUTORY && b == CLASS_CONTRIBUTORY) ||
	    (a == CLASS_PAGE_FAULT && b != CLASS_BENIGN)) {
		e->exception = (struct x86_event){
			.type = EVENT_EXCEPTION, .vector = VEC_DF, .has_error = true};
		return true;
	}
	e->exception = (struct x86_event){
		.type = EVENT_EXCEPTION,
		.vector = x->vector,
		.has_error = x->has_error,
		.error = x->error,
		.has_payload = x->has_payload,
		.payload = x->payload,
	};
	return true;
}

void events_nmi(struct x86_events *e)
{
	unsigned max = e->nmi_blocked ? 1 : 2;

	if (e->nmi_pending < max)
		e->nmi_pending++;
}

void events_timer(struct x86_vcpu *v)
{
	source->timer(v);
}

void events_pmi(struct x86_vcpu *v)
{
	source->pmi(v);
}

void events_init(struct x86_vcpu *v)
{
	events_reset(&v->events);
	source->init(v);
}

uint8_t events_startup(struct x86_vcpu *v)
{
	return source->startup(v);
}

void events_interrupted(struct x86_events *e, const struct x86_event *ev)
{
	e->retry = *ev;
	/* CR2 and DR6 were written at the first attempt. */
	e->retry.has_payload = false;
	e->retry_valid = true;
	/* It is not in service after all; the second attempt blocks NMIs again. */
	if (ev->type == EVENT_NMI)
		e->nmi_blocked = false;
}

static bool take_exception(struct x86_vcpu *v, struct x86_event *ev)
{
	struct x86_events *e = &v->events;

	if (e->retry_valid) {
		*ev = e->retry;
		e->retry_valid = false;
		v->stats.reinjected++;
		if (ev->type == EVENT_NMI)
			e->nmi_blocked = true;
		return true;
	}
	if (!e->exception_valid)
		return false;
	*ev = e->exception;
	e->exception_valid = false;
	v->stats.exceptions++;
	return true;
}

bool events_next(struct x86_vcpu *v, struct x86_window window, struct x86_event *ev,
		 enum events_wait *wait)
{
	struct x86_events *e = &v->events;
	bool inject = take_exception(v, ev);
	int irq;

	if (!inject && e->nmi_pending && !e->nmi_blocked && window.nmis) {
		*ev = (struct x86_event){.type = EVENT_NMI, .vector = VEC_NMI};
		e->nmi_pending--;
		e->nmi_blocked = true;
		v->stats.nmis++;
		inject = true;
	}
	irq = source->injectable(v);
	if (!inject && irq >= 0 && window.interrupts) {
		*ev = (struct x86_event){.type = EVENT_INTERRUPT, .vector = source->accept(v, irq)};
		v->stats.injected++;
		inject = true;
		irq = source->injectable(v);
	}
	if (e->nmi_pending && !e->nmi_blocked)
		*wait = EVENTS_NMI_WINDOW;
	else
		*wait = irq >= 0 ? EVENTS_INTERRUPT_WINDOW : EVENTS_NONE;
	return inject;
}

bool events_wakeup(struct x86_vcpu *v, bool interrupts_enabled)
{
	const struct x86_events *e = &v->events;

	if (e->exception_valid || e->retry_valid)
		return true;
	if (e->nmi_pending && !e->nmi_blocked)
		return true;
	return interrupts_enabled && source->pending(v) >= 0;
}

void events_apply_payload(struct x86_state *s, const struct x86_event *ev)
{
	enum { PENDING_ENABLED = BIT(12), DR7_GD = BIT(13), DR6_BD = BIT(13) };
	const uint64_t active_low = 0xffff0ff0; /* DR6 bits that read as 1 when inactive */

	if (!ev->has_payload)
		return;
	if (ev->vector == VEC_PF) {
		s->cr2 = ev->payload;
	} else if (ev->vector == VEC_DB) {
		s->dr6 &= ~0xfull;
		s->dr6 |= active_low | ev->payload;
		s->dr6 ^= ev->payload & active_low;
		s->dr6 &= ~(uint64_t)PENDING_ENABLED;
		s->debugctl &= ~(uint64_t)(DEBUGCTL_LBR | DEBUGCTL_BTF);
		if (ev->payload & DR6_BD)
			s->dr7 &= ~(uint64_t)DR7_GD;
	}
}
