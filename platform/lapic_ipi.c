/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupt messages between local APICs, and to them: who is meant, and what happens there. */
#include "lapic_internal.h"
#include "socle/platform/board.h"
#include "socle/platform/irq.h"

enum {
	ICR_LOGICAL = BIT(11), ICR_ASSERT = BIT(14), ICR_LEVEL = BIT(15), ICR_SHORTHAND = 3 << 18,
	SHORTHAND_SHIFT = 18, DEST_NONE = 0, DEST_SELF = 1, DEST_ALL = 2, DEST_OTHERS = 3,
};

/* Everybody: all ones, of 32 bits here and of 8 bits in an xAPIC's command or in a message. */
#define BROADCAST     UINT32_MAX
#define BROADCAST8    0xffu
#define CLUSTER_SHIFT 16 /* logical destination in x2APIC mode (SDM vol. 3, 11.12.10.2) */
#define CLUSTER_SIZE  16u

static struct lapic *lapic_of(const struct vm *vm, unsigned id)
{
	struct vcpu *v =
		id < vm->settings.cpus ? vm->vcpu[array_index_nospec(id, VM_MAX_VCPUS)] : NULL;

	return v ? x86_vcpu(v)->lapic : NULL;
}

static bool in_x2apic_mode(const struct lapic *l)
{
	return __atomic_load_n(&l->base, __ATOMIC_RELAXED) & BASE_X2APIC;
}

/* SDM vol. 3, 11.6.2.1, 11.6.2.2 and 11.12.10.2. The guest may be changing what is read here. */
static bool matches(const struct lapic *l, const struct irq_message *msg)
{
	uint32_t id = l->vcpu->base.id, logical;

	if (msg->dest == BROADCAST)
		return true;
	if (!msg->logical)
		return msg->dest == id;
	if (in_x2apic_mode(l))
		return msg->dest >> CLUSTER_SHIFT == id / CLUSTER_SIZE &&
		       msg->dest >> id % CLUSTER_SIZE & 1;
	if (msg->dest > BROADCAST8)
		return false;
	logical = __atomic_load_n(&l->ldr, __ATOMIC_RELAXED) >> 24;
	if (__atomic_load_n(&l->dfr, __ATOMIC_RELAXED) >> 28 == 0xf) /* flat model */
		return msg->dest & logical;
	return (msg->dest & 0xf0) == (logical & 0xf0) && (msg->dest & logical & 0xf);
}

/*
 * @from: the sender, whose CPU this is; NULL: a message from elsewhere. Only the sender's own state
 * may be touched. An APIC that is turned off drops fixed interrupts itself, when it looks; the
 * other messages get through even then, or nobody could start its CPU again.
 */
static __always_inline void deliver(struct lapic *to, const struct lapic *from,
				    const struct irq_message *msg)
{
	switch (msg->delivery) {
	case IRQ_FIXED:
	case IRQ_LOWEST_PRIORITY:
		if (to == from)
			lapic_request(to, msg->vector, msg->level);
		else
			lapic_post(to, msg->vector, msg->level);
		break;
	case IRQ_NMI:
		if (to == from)
			lapic_nmi(to);
		else
			vcpu_request(&to->vcpu->base, VCPU_REQ_NMI);
		break;
	case IRQ_INIT:
		/* A start-up IPI from before is for nothing, even if it was not looked at yet. */
		__atomic_fetch_and(&to->vcpu->base.requests, ~(uint32_t)VCPU_REQ_STARTUP,
				   __ATOMIC_SEQ_CST);
		vcpu_request(&to->vcpu->base, VCPU_REQ_INIT);
		break;
	case IRQ_STARTUP:
		__atomic_store_n(&to->startup, msg->vector, __ATOMIC_RELEASE);
		vcpu_request(&to->vcpu->base, VCPU_REQ_STARTUP);
		break;
	case IRQ_EXTINT: /* the PIC's output, through an I/O APIC: the same as LINT0's */
	case IRQ_SMI:	 /* there is no system management mode */
	default:
		break;
	}
}

/*
 * One of those that take it: whose task priority is lowest, as a chipset sees it (SDM vol. 3,
 * 11.6.2.4). Among equals the one after who took the last, so that the work is spread.
 */
static __hot void deliver_lowest(struct vm *vm, const struct lapic *from,
				 const struct lapic *except, const struct irq_message *msg)
{
	unsigned cpus = vm->settings.cpus, least = 0;
	unsigned turn = __atomic_load_n(&vm->board->lowest_turn, __ATOMIC_RELAXED);
	struct lapic *lowest = NULL;

	for (unsigned i = 0; i < cpus; i++) {
		struct lapic *l = lapic_of(vm, (turn + i) % cpus);
		unsigned priority;

		if (!l || l == except || !matches(l, msg) ||
		    !(__atomic_load_n(&l->svr, __ATOMIC_RELAXED) & SVR_ENABLE))
			continue;
		priority = lapic_tpr(l) & PRIORITY_CLASS;
		if (!lowest || priority < least) {
			lowest = l;
			least = priority;
		}
	}
	if (!lowest)
		return;
	__atomic_store_n(&vm->board->lowest_turn, lowest->vcpu->base.id + 1, __ATOMIC_RELAXED);
	deliver(lowest, from, msg);
}

/* To all that match but @except. */
static __hot void deliver_all(struct vm *vm, const struct lapic *from, const struct lapic *except,
			      const struct irq_message *msg)
{
	if (msg->delivery == IRQ_LOWEST_PRIORITY) {
		deliver_lowest(vm, from, except, msg);
		return;
	}
	for (unsigned i = 0; i < vm->settings.cpus; i++) {
		struct lapic *l = lapic_of(vm, i);

		if (l && l != except && matches(l, msg))
			deliver(l, from, msg);
	}
}

/* A logical destination as senders in x2APIC mode have it: who is meant is in its bits. */
static __hot void deliver_cluster(struct vm *vm, const struct lapic *from,
				  const struct irq_message *msg)
{
	unsigned first = (msg->dest >> CLUSTER_SHIFT) * CLUSTER_SIZE;

	for (uint32_t bits = msg->dest & 0xffff; bits; bits &= bits - 1) {
		struct lapic *l = lapic_of(vm, first + (unsigned)__builtin_ctz(bits));

		if (l && in_x2apic_mode(l))
			deliver(l, from, msg);
	}
}

__hot void lapic_deliver(struct vm *vm, const struct irq_message *msg)
{
	struct irq_message m = *msg;
	struct lapic *l;

	/* Only processors start each other. */
	if (m.delivery == IRQ_STARTUP)
		return;
	if (m.dest == BROADCAST8)
		m.dest = BROADCAST;
	if (m.logical || m.dest == BROADCAST || m.delivery == IRQ_LOWEST_PRIORITY) {
		deliver_all(vm, NULL, NULL, &m);
		return;
	}
	l = lapic_of(vm, m.dest);
	if (l)
		deliver(l, NULL, &m);
}

static void send_shorthand(struct lapic *l, unsigned shorthand, struct irq_message *msg)
{
	struct vm *vm = l->vcpu->base.vm;

	/* Nothing but fixed interrupts goes to oneself this way (SDM vol. 3, table 11-3). */
	if (shorthand == DEST_SELF || (shorthand == DEST_ALL && msg->delivery != IRQ_FIXED))
		return;
	msg->dest = BROADCAST;
	deliver_all(vm, l, shorthand == DEST_OTHERS ? l : NULL, msg);
}

static __hot __noinline void send_any(struct lapic *l, uint64_t icr)
{
	struct vm *vm = l->vcpu->base.vm;
	unsigned shorthand = icr >> SHORTHAND_SHIFT & 3;
	/* A level-triggered command goes out as an edge (SDM vol. 3, table 11-3, note 2). */
	struct irq_message msg = {
		.dest = icr >> 32,
		.vector = icr & LVT_VECTOR,
		.delivery = (icr & LVT_MODE) >> 8,
		.logical = icr & ICR_LOGICAL,
	};
	struct lapic *to;

	/* INIT level de-assert: nothing on any CPU since the Pentium (SDM vol. 3, 11.6.1). */
	if (msg.delivery == IRQ_INIT && (icr & ICR_LEVEL) && !(icr & ICR_ASSERT))
		return;
	if (shorthand != DEST_NONE) {
		send_shorthand(l, shorthand, &msg);
		return;
	}
	if (!lapic_x2apic(l)) {
		msg.dest >>= 24;
		if (msg.dest == BROADCAST8)
			msg.dest = BROADCAST;
	}
	if (msg.dest == BROADCAST || msg.delivery == IRQ_LOWEST_PRIORITY ||
	    (msg.logical && !lapic_x2apic(l))) {
		deliver_all(vm, l, NULL, &msg);
	} else if (msg.logical) {
		deliver_cluster(vm, l, &msg);
	} else {
		to = lapic_of(vm, msg.dest);
		if (to)
			deliver(to, l, &msg);
	}
}

__hot void lapic_send(struct lapic *l, uint64_t icr)
{
	/* By far the most frequent: a fixed interrupt to one CPU by its ID. */
	if (likely(!(icr & (ICR_SHORTHAND | ICR_LOGICAL | LVT_MODE)))) {
		struct lapic *to =
			lapic_of(l->vcpu->base.vm, lapic_x2apic(l) ? icr >> 32 : icr >> 56);

		if (likely(to && to != l)) {
			lapic_post(to, icr & LVT_VECTOR, false);
			return;
		}
	} else if ((icr & (ICR_SHORTHAND | LVT_MODE)) == DEST_SELF << SHORTHAND_SHIFT) {
		lapic_request(l, icr & LVT_VECTOR, false);
		return;
	}
	send_any(l, icr);
}
