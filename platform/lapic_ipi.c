/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupt messages between local APICs, and to them: who is meant, and what happens there. */
#include "lapic_internal.h"
#include "socle/platform/irq.h"

enum {
	ICR_LOGICAL = BIT(11), ICR_ASSERT = BIT(14), ICR_LEVEL = BIT(15),
	SHORTHAND_SHIFT = 18, DEST_NONE = 0, DEST_SELF = 1, DEST_ALL = 2, DEST_OTHERS = 3,
};

/* SDM vol. 3, 11.6.2.1, 11.6.2.2 and 11.12.10.2. */
static bool matches(const struct lapic *l, const struct irq_message *msg)
{
	uint32_t id = l->vcpu->base.id, logical = lapic_logical_id(l);

	if (lapic_x2apic(l)) {
		if (msg->dest == UINT32_MAX || msg->dest == 0xff)
			return true;
		if (!msg->logical)
			return msg->dest == id;
		return msg->dest >> 16 == logical >> 16 && (msg->dest & logical & 0xffff);
	}
	if ((msg->dest & 0xff) == 0xff)
		return true;
	if (!msg->logical)
		return msg->dest == id;
	logical >>= 24;
	if (l->dfr >> 28 == 0xf) /* flat model */
		return msg->dest & logical & 0xff;
	return (msg->dest & 0xf0) == (logical & 0xf0) && (msg->dest & logical & 0xf);
}

static void deliver(struct lapic *l, const struct irq_message *msg)
{
	switch (msg->delivery) {
	case IRQ_FIXED:
	case IRQ_LOWEST_PRIORITY:
		lapic_request(l, msg->vector, msg->level);
		break;
	case IRQ_NMI:
		events_nmi(&l->vcpu->events);
		vcpu_request(&l->vcpu->base, VCPU_REQ_EVENT);
		break;
	case IRQ_EXTINT: /* the PIC's output, through an I/O APIC: the same as LINT0's */
	case IRQ_SMI:	 /* there is no system management mode */
	case IRQ_INIT:
	case IRQ_STARTUP:
	default:
		break;
	}
}

static struct lapic *lapic_of(struct vm *vm, unsigned i)
{
	return vm->vcpu[i] ? x86_vcpu(vm->vcpu[i])->lapic : NULL;
}

void lapic_deliver(struct vm *vm, const struct irq_message *msg)
{
	struct lapic *lowest = NULL;

	for (unsigned i = 0; i < vm->settings.cpus; i++) {
		struct lapic *l = lapic_of(vm, i);

		if (!l || !matches(l, msg))
			continue;
		if (msg->delivery != IRQ_LOWEST_PRIORITY)
			deliver(l, msg);
		else if (!lowest || lapic_tpr(l) < lapic_tpr(lowest))
			lowest = l;
	}
	if (lowest)
		deliver(lowest, msg);
}

void lapic_send(struct lapic *l, uint64_t icr)
{
	struct vm *vm = l->vcpu->base.vm;
	unsigned shorthand = icr >> SHORTHAND_SHIFT & 3;
	struct irq_message msg = {
		.dest = lapic_x2apic(l) ? icr >> 32 : icr >> 56,
		.vector = icr & LVT_VECTOR,
		.delivery = (icr & LVT_MODE) >> 8,
		.logical = icr & ICR_LOGICAL,
	};

	if (shorthand == DEST_SELF && msg.delivery == IRQ_FIXED) {
		lapic_request(l, msg.vector, false);
		return;
	}
	/* INIT level de-assert: nothing on any CPU since the Pentium (SDM vol. 3, 11.6.1). */
	if (msg.delivery == IRQ_INIT && (icr & ICR_LEVEL) && !(icr & ICR_ASSERT))
		return;
	if (shorthand == DEST_NONE) {
		lapic_deliver(vm, &msg);
		return;
	}
	for (unsigned i = 0; i < vm->settings.cpus; i++) {
		struct lapic *to = lapic_of(vm, i);

		if (to && (shorthand == DEST_ALL || (shorthand == DEST_SELF) == (to == l)))
			deliver(to, &msg);
	}
}
