/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC: vectors, priorities, end of interrupt, and its registers. */
#include "lapic_internal.h"
#include "socle/guest/exits.h"
#include "socle/kernel/log.h"
#include "socle/mm/frames.h"
#include "socle/platform/board.h"
#include "socle/platform/irq.h"

/* SDM vol. 3, 11.4.8: version 0x14, six LVT entries. */
enum { VERSION = 0x14 | (LVT_COUNT - 1) << 16 };
enum { ESR_SEND_ILLEGAL = BIT(5), ESR_RECEIVE_ILLEGAL = BIT(6), ESR_REGISTER = BIT(7) };
enum { PENDING_EXTINT = 256 }; /* the PIC knows the vector */

static void set_bit(struct lapic_vectors *v, uint8_t vector)
{
	v->bits[vector / 64] |= BIT(vector % 64);
	v->words |= 1u << vector / 64;
}

static void clear_bit(struct lapic_vectors *v, uint8_t vector)
{
	v->bits[vector / 64] &= ~BIT(vector % 64);
	if (!v->bits[vector / 64])
		v->words &= ~(1u << vector / 64);
}

static bool test_bit(const struct lapic_vectors *v, uint8_t vector)
{
	return v->bits[vector / 64] >> vector % 64 & 1;
}

static int highest(const struct lapic_vectors *v)
{
	unsigned word;

	if (!v->words)
		return -1;
	word = 31u - (unsigned)__builtin_clz(v->words);
	return (int)(word * 64 + 63 - (unsigned)__builtin_clzll(v->bits[word]));
}

bool lapic_is_xapic(const struct lapic *l)
{
	return (l->base & (BASE_ENABLE | BASE_X2APIC)) == BASE_ENABLE;
}

bool lapic_is_x2apic(const struct lapic *l)
{
	return lapic_x2apic(l);
}

/* SDM vol. 3, 11.8.3.1. */
static uint32_t ppr(const struct lapic *l)
{
	uint32_t service = l->in_service < 0 ? 0 : (uint32_t)l->in_service & PRIORITY_CLASS;

	return (l->tpr & PRIORITY_CLASS) >= service ? l->tpr : service;
}

/* The PIC's interrupts reach this CPU: its APIC is off, or LINT0 lets them through. Any CPU. */
static bool takes_extint(const struct lapic *l)
{
	uint32_t lint0 = __atomic_load_n(&l->lvt[LVT_LINT0], __ATOMIC_RELAXED);

	if (!(__atomic_load_n(&l->base, __ATOMIC_RELAXED) & BASE_ENABLE))
		return l->vcpu->base.id == 0;
	return (lint0 & (LVT_MASKED | LVT_MODE)) == LVT_MODE_EXTINT;
}

static __always_inline int deliverable_without_page(const struct lapic *l)
{
	int vector = highest(&l->irr);

	return vector >= 0 && ((uint32_t)vector & PRIORITY_CLASS) > (ppr(l) & PRIORITY_CLASS)
		       ? vector
		       : -1;
}

static bool extint_pending(const struct lapic *l)
{
	return takes_extint(l) && pic_pending(&l->vcpu->base.vm->board->pic);
}

static __hot int pending(struct x86_vcpu *v)
{
	struct lapic *l = v->lapic;
	int vector;

	lapic_collect(l);
	vector = deliverable_without_page(l);
	return vector < 0 && extint_pending(l) ? PENDING_EXTINT : vector;
}

static int pending_in_page(struct x86_vcpu *v)
{
	struct lapic *l = v->lapic;
	int vector;

	lapic_collect(l);
	vector = l->page ? lapic_page_deliverable(l) : deliverable_without_page(l);
	return vector < 0 && extint_pending(l) ? PENDING_EXTINT : vector;
}

/* With a page the CPU delivers all but the PIC's interrupts. */
static int injectable(struct x86_vcpu *v)
{
	if (!v->lapic->page)
		return pending(v);
	return extint_pending(v->lapic) ? PENDING_EXTINT : -1;
}

/* Another CPU may have taken it meanwhile: then the PIC gives its spurious vector. */
static uint8_t accept_extint(struct lapic *l)
{
	struct vm *vm = l->vcpu->base.vm;
	uint8_t vector;

	spin_lock(&vm->chips);
	vm->board->acknowledging = &l->vcpu->base;
	vector = pic_acknowledge(&vm->board->pic);
	vm->board->acknowledging = NULL;
	spin_unlock(&vm->chips);
	l->extint = vector;
	return vector;
}

static uint8_t accept(struct x86_vcpu *v, int vector)
{
	struct lapic *l = v->lapic;

	if (vector == PENDING_EXTINT)
		return accept_extint(l);
	l->extint = -1;
	clear_bit(&l->irr, vector);
	set_bit(&l->isr, vector);
	l->in_service = vector;
	return vector;
}

static void requeue(struct x86_vcpu *v, uint8_t vector)
{
	struct lapic *l = v->lapic;
	struct vm *vm = v->base.vm;

	/* With a page the CPU delivers without accept(): what is in service there is not the PIC's.
	 */
	if (l->extint == vector && !(l->page && lapic_page_test(l, APIC_ISR, vector))) {
		spin_lock(&vm->chips);
		pic_take_back(&vm->board->pic, vector);
		spin_unlock(&vm->chips);
		return;
	}
	if (l->page)
		lapic_page_requeue(l, vector);
	if (!test_bit(&l->isr, vector))
		return;
	clear_bit(&l->isr, vector);
	l->in_service = highest(&l->isr);
	set_bit(&l->irr, vector);
}

void lapic_look_again(struct lapic *l)
{
	if (l->page || deliverable_without_page(l) >= 0 || extint_pending(l))
		lapic_ask(l);
}

static void error(struct lapic *l, uint32_t bit)
{
	uint32_t lvt = l->lvt[LVT_ERROR];

	l->esr_pending |= bit;
	if (!(lvt & LVT_MASKED) && (lvt & LVT_VECTOR) >= FIRST_VECTOR) {
		set_bit(&l->irr, lvt & LVT_VECTOR);
		clear_bit(&l->tmr, lvt & LVT_VECTOR);
		lapic_look_again(l);
	}
}

void lapic_request(struct lapic *l, uint8_t vector, bool level)
{
	if (!(l->svr & SVR_ENABLE))
		return;
	if (vector < FIRST_VECTOR) {
		error(l, ESR_RECEIVE_ILLEGAL);
		return;
	}
	set_bit(&l->irr, vector);
	if (level)
		set_bit(&l->tmr, vector);
	else
		clear_bit(&l->tmr, vector);
	/* With a page, no exit tells when its turn comes. */
	if (unlikely(l->page) || deliverable_without_page(l) == vector)
		lapic_ask(l);
}

void lapic_request_word(struct lapic *l, unsigned word, uint64_t edge, uint64_t level)
{
	uint64_t illegal = word == 0 ? BIT(FIRST_VECTOR) - 1 : 0, both = edge | level;

	if (!(l->svr & SVR_ENABLE))
		return;
	if (unlikely(both & illegal)) {
		error(l, ESR_RECEIVE_ILLEGAL);
		both &= ~illegal;
	}
	if (!both)
		return;
	l->irr.bits[word] |= both;
	l->irr.words |= 1u << word;
	l->tmr.bits[word] = (l->tmr.bits[word] & ~edge) | (level & ~illegal);
}

void lapic_nmi(struct lapic *l)
{
	events_nmi(&l->vcpu->events);
	lapic_ask(l);
}

void lapic_ended(struct lapic *l, uint8_t vector)
{
	struct vm *vm = l->vcpu->base.vm;

	if (test_bit(&l->tmr, vector)) {
		spin_lock(&vm->chips);
		ioapic_eoi(&vm->board->ioapic, vector);
		spin_unlock(&vm->chips);
	}
	if (l->timer_missed && (uint32_t)vector == (l->lvt[LVT_TIMER] & LVT_VECTOR))
		lapic_timer_eoi(l);
}

static void end_of_interrupt(struct lapic *l)
{
	int vector = l->in_service;

	if (unlikely(vector < 0)) {
		if (l->page)
			lapic_page_eoi(l);
		return;
	}
	clear_bit(&l->isr, vector);
	l->in_service = highest(&l->isr);
	lapic_ended(l, vector);
	if (highest(&l->irr) >= 0)
		lapic_look_again(l);
}

bool lapic_timer_waits(const struct lapic *l)
{
	uint8_t vector = l->lvt[LVT_TIMER] & LVT_VECTOR;

	return test_bit(&l->irr, vector) || (l->page && lapic_page_test(l, APIC_IRR, vector));
}

static void set_tpr(struct lapic *l, uint32_t value)
{
	__atomic_store_n(unlikely(l->page) ? &l->page[APIC_TPR / 4] : &l->tpr, value & 0xff,
			 __ATOMIC_RELAXED);
	lapic_look_again(l);
}

static int lvt_index(uint32_t reg)
{
	return reg == APIC_LVT_ERROR ? LVT_ERROR : (int)(reg - APIC_LVT_TIMER) / 0x10;
}

uint32_t lapic_logical_id(const struct lapic *l)
{
	uint32_t id = l->vcpu->base.id;

	return lapic_x2apic(l) ? (id & ~0xfu) << 12 | 1u << (id & 0xf) : l->ldr;
}

static uint32_t vector_word(const struct lapic_vectors *v, uint32_t index)
{
	return v->bits[index / 2 & 3] >> index % 2 * 32;
}

uint32_t lapic_read(struct lapic *l, uint32_t reg)
{
	switch (reg) {
	case APIC_ID:
		return lapic_x2apic(l) ? l->vcpu->base.id : l->vcpu->base.id << 24;
	case APIC_VERSION:
		return VERSION;
	case APIC_TPR:
		return lapic_tpr(l);
	case APIC_PPR:
		return l->page ? lapic_page_ppr(l) : ppr(l);
	case APIC_LDR:
		return lapic_logical_id(l);
	case APIC_DFR:
		return l->dfr;
	case APIC_SVR:
		return l->svr;
	case APIC_ISR ... APIC_ISR + 0x70:
		return vector_word(&l->isr, (reg - APIC_ISR) / 0x10) |
		       (l->page ? l->page[reg / 4] : 0);
	case APIC_TMR ... APIC_TMR + 0x70:
		lapic_collect(l);
		return vector_word(&l->tmr, (reg - APIC_TMR) / 0x10);
	case APIC_IRR ... APIC_IRR + 0x70:
		lapic_collect(l);
		return vector_word(&l->irr, (reg - APIC_IRR) / 0x10) |
		       (l->page ? l->page[reg / 4] : 0);
	case APIC_ESR:
		return l->esr;
	case APIC_ICR:
		return l->icr;
	case APIC_ICR_HIGH:
		return l->icr >> 32;
	case APIC_LVT_TIMER ... APIC_LVT_ERROR:
		return l->lvt[array_index_nospec(lvt_index(reg), LVT_COUNT)];
	case APIC_TIMER_INITIAL:
		return l->timer_initial;
	case APIC_TIMER_CURRENT:
		return lapic_timer_current(l);
	case APIC_TIMER_DIVIDE:
		return l->timer_divide;
	default:
		return 0;
	}
}

void lapic_self_ipi(struct lapic *l, uint8_t vector)
{
	if (vector < FIRST_VECTOR)
		error(l, ESR_SEND_ILLEGAL);
	else
		lapic_request(l, vector, false);
}

void lapic_write_icr(struct lapic *l, uint64_t value)
{
	enum { ICR_VALID = 0xccfff, DELIVERY_PENDING = BIT(12) };

	l->icr = (value & ~0xffffffffull) | (value & ICR_VALID & ~(uint64_t)DELIVERY_PENDING);
	if (unlikely(l->page))
		lapic_page_publish_icr(l);
	if ((value & LVT_MODE) >> 8 <= IRQ_LOWEST_PRIORITY && (value & LVT_VECTOR) < FIRST_VECTOR)
		error(l, ESR_SEND_ILLEGAL);
	else
		lapic_send(l, l->icr);
}

static void write_register(struct lapic *l, uint32_t reg, uint32_t value)
{
	switch (reg) {
	case APIC_EOI:
		end_of_interrupt(l);
		break;
	case APIC_ICR:
		lapic_write_icr(l, (l->icr & ~0xffffffffull) | value);
		break;
	case APIC_ICR_HIGH:
		l->icr = (l->icr & 0xffffffff) | (uint64_t)value << 32;
		if (unlikely(l->page))
			lapic_page_publish_icr(l);
		break;
	case APIC_TPR:
		set_tpr(l, value);
		break;
	case APIC_LDR:
		__atomic_store_n(&l->ldr, value & 0xff000000, __ATOMIC_RELAXED);
		break;
	case APIC_DFR:
		__atomic_store_n(&l->dfr, value | 0x0fffffff, __ATOMIC_RELAXED);
		break;
	case APIC_SVR:
		lapic_write_svr(l, value);
		break;
	case APIC_ESR:
		lapic_collect(l);
		l->esr = l->esr_pending;
		l->esr_pending = 0;
		break;
	case APIC_LVT_TIMER ... APIC_LVT_ERROR:
		if (reg % 0x10 == 0)
			lapic_write_lvt(l, array_index_nospec(lvt_index(reg), LVT_COUNT), value);
		break;
	case APIC_TIMER_INITIAL:
		lapic_timer_start(l, value);
		break;
	case APIC_TIMER_DIVIDE:
		lapic_timer_divide(l, value);
		break;
	default:
		break;
	}
}

void lapic_write(struct lapic *l, uint32_t reg, uint32_t value)
{
	write_register(l, reg, value);
	if (unlikely(l->page))
		lapic_page_publish(l);
}

static uint64_t region_read(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size)
{
	struct lapic *l = x86_vcpu(vcpu)->lapic;

	if (!(l->base & BASE_ENABLE) || lapic_x2apic(l))
		return UINT32_MAX;
	return offset % 0x10 ? 0 : lapic_read(l, offset);
}

static void region_write(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size,
			 uint64_t value)
{
	struct lapic *l = x86_vcpu(vcpu)->lapic;

	/* With a page, who emulates the access publishes afterwards: lapic_page_refresh(). */
	if ((l->base & (BASE_ENABLE | BASE_X2APIC)) == BASE_ENABLE && offset % 0x10 == 0)
		write_register(l, offset, value);
}

status_t lapic_add_region(struct vm *vm)
{
	static const struct io_ops ops = {region_read, region_write};
	struct io_region *r = pages_alloc(sizeof(*r), OWNER_VM_CORE);

	if (!r)
		return -S_NOMEM;
	*r = (struct io_region){
		.ops = &ops,
		.name = "lapic",
		.base = LAPIC_GPA,
		.len = PAGE_SIZE,
		.widths = IO_32,
		.unlocked = true,
	};
	return io_add_mmio(&vm->io, r);
}

static uint8_t cr8_read(struct x86_vcpu *v)
{
	return lapic_tpr(v->lapic) >> 4;
}

static void cr8_write(struct x86_vcpu *v, uint8_t value)
{
	set_tpr(v->lapic, value << 4);
}

static void timer_due(struct x86_vcpu *v)
{
	lapic_timer_due(v->lapic);
}

static void pmi(struct x86_vcpu *v)
{
	lapic_pmi(v->lapic);
}

static void init(struct x86_vcpu *v)
{
	lapic_init(v->lapic);
}

static uint8_t startup(struct x86_vcpu *v)
{
	/* What the reset asked for was perhaps looked at in vain while it waited. */
	lapic_ask(v->lapic);
	return __atomic_load_n(&v->lapic->startup, __ATOMIC_ACQUIRE);
}

/* The short way, until an APIC has a page. */
static struct x86_irq_source irq_source = {
	.pending = pending,
	.injectable = pending,
	.accept = accept,
	.requeue = requeue,
	.timer = timer_due,
	.pmi = pmi,
	.init = init,
	.startup = startup,
};

void lapic_inject_extint_only(void)
{
	irq_source.pending = pending_in_page;
	irq_source.injectable = injectable;
}

void lapic_bind(void)
{
	static const struct cr8_ops cr8 = {cr8_read, cr8_write};

	events_bind(&irq_source);
	exit_bind_cr8(&cr8);
}

void lapic_extint_changed(struct vm *vm)
{
	/* See lapic_write_lvt(). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* At most one CPU takes it; the boot processor unless somebody rewired LINT0. */
	for (unsigned i = 0; i < vm->settings.cpus; i++) {
		struct vcpu *v = vm->vcpu[i];

		if (!v || !takes_extint(x86_vcpu(v)->lapic))
			continue;
		if (v == vm->board->acknowledging)
			lapic_ask(x86_vcpu(v)->lapic);
		else
			vcpu_request(v, VCPU_REQ_EVENT);
	}
}
