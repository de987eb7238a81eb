/* SPDX-License-Identifier: BSD-2-Clause */
/* The beginnings of a local APIC: its creation, power-on and INIT. */
#include "lapic_internal.h"
#include "socle/mm/frames.h"
#include "socle/string.h"

status_t lapic_create(struct x86_vcpu *v)
{
	struct lapic *l = pages_alloc(sizeof(*l), OWNER_VM_CORE);

	if (!l)
		return -S_NOMEM;
	l->vcpu = v;
	timer_init(&l->timer, lapic_timer_fire);
	v->lapic = l;
	lapic_reset(l);
	return 0;
}

/*
 * SDM vol. 3, 11.4.7.1 and 11.4.7.3. Other CPUs may look at us meanwhile: base stays as it is. What
 * is in the inbox is dropped when we look there, before the guest can turn the APIC on again.
 */
static void reset_registers(struct lapic *l, uint32_t lint0)
{
	timer_cancel(&l->timer);
	memset(l, 0, offsetof(struct lapic, base));
	l->in_service = l->extint = -1;
	l->dfr = UINT32_MAX;
	l->svr = 0xff;
	for (unsigned i = 0; i < LVT_COUNT; i++)
		l->lvt[i] = LVT_MASKED;
	l->lvt[LVT_LINT0] = lint0;
	if (l->page)
		lapic_page_clear(l);
	/* The mode may have changed, too. */
	lapic_ask(l);
}

void lapic_init(struct lapic *l)
{
	reset_registers(l, LVT_MASKED);
}

void lapic_reset(struct lapic *l)
{
	bool boot = l->vcpu->base.id == 0;

	__atomic_store_n(&l->base, LAPIC_GPA | BASE_ENABLE | (boot ? BASE_BSP : 0),
			 __ATOMIC_RELAXED);
	reset_registers(l, boot ? LVT_MODE_EXTINT : LVT_MASKED);
}
