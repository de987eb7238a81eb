/* SPDX-License-Identifier: BSD-2-Clause */
/* The local vector table: its entries, the sources behind them, and the switch for all of them. */
#include "lapic_internal.h"
#include "socle/guest/pmu.h"

void lapic_local(struct lapic *l, enum lapic_lvt entry)
{
	uint32_t lvt = l->lvt[entry];

	if (lvt & LVT_MASKED)
		return;
	if ((lvt & LVT_MODE) == LVT_MODE_NMI)
		lapic_nmi(l);
	else if ((lvt & LVT_MODE) == LVT_MODE_FIXED)
		lapic_request(l, lvt & LVT_VECTOR, false);
}

/* SDM vol. 3, figure 11-8: it masks itself; AMD's does not. */
void lapic_pmi(struct lapic *l)
{
	lapic_local(l, LVT_PERF);
	if (!pmu_offer.masks_lvt)
		return;
	l->lvt[LVT_PERF] |= LVT_MASKED;
	if (l->page)
		lapic_page_publish(l);
}

void lapic_write_lvt(struct lapic *l, enum lapic_lvt entry, uint32_t value)
{
	/* Bits that can be written (SDM vol. 3, figure 11-8). */
	static const uint32_t valid[LVT_COUNT] = {
		[LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_PERF] = 0x107ff,
		[LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff,	[LVT_ERROR] = 0x100ff,
	};

	value &= valid[entry];
	if (!(l->svr & SVR_ENABLE))
		value |= LVT_MASKED;
	if (entry == LVT_TIMER) {
		lapic_timer_lvt(l, value);
		return;
	}
	__atomic_store_n(&l->lvt[entry], value, __ATOMIC_RELAXED);
	if (entry == LVT_LINT0) {
		/* Either we see that the PIC's output rose, or it sees that we want to know. */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		lapic_look_again(l);
	}
}

void lapic_write_svr(struct lapic *l, uint32_t value)
{
	/* What arrived before is taken or dropped as it was then. */
	lapic_collect(l);
	__atomic_store_n(&l->svr, value & SVR_VALID, __ATOMIC_RELAXED);
	for (unsigned i = 0; !(value & SVR_ENABLE) && i < LVT_COUNT; i++)
		lapic_write_lvt(l, i, l->lvt[i]);
}
