/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler's policy, printed for the console. */
#include "fair_heap.h"

int64_t fair_lag(const struct fair_queue *q, const struct fair_entity *e, uint64_t now)
{
	int64_t distance = (int64_t)(fair_vtime(q, now) - READ_ONCE(e->vtime));
	int64_t most = (int64_t)vtime_span(NS_PER_SEC, e->weight);

	/* Limited first, so that the product fits. */
	distance = MIN(MAX(distance, -most), most);
	return distance * (int64_t)e->weight / (int64_t)BIT(FAIR_SHIFT);
}

void fair_queue_print(const struct fair_queue *q, uint64_t now, struct format_sink *sink)
{
	format_sink(sink, "%u runnable, %u capped, load %llu, %llu picks, %llu moved in",
		    READ_ONCE(q->runnable), READ_ONCE(q->capped.count),
		    (unsigned long long)fair_load(q), (unsigned long long)READ_ONCE(q->picks),
		    (unsigned long long)READ_ONCE(q->moved_in));
}

void fair_entity_print(const struct fair_entity *e, uint64_t now, struct format_sink *sink)
{
	static const char *const names[] = {
		[FAIR_OUT] = "out",
		[FAIR_WAITING] = "waiting",
		[FAIR_CAPPED] = "capped",
		[FAIR_RUNNING] = "running",
	};
	unsigned state = READ_ONCE(e->state);
	const struct fair_queue *q = READ_ONCE(e->queue);

	format_sink(sink, "%s, weight %u", names[MIN(state, (unsigned)FAIR_RUNNING)], e->weight);
	if (e->group->cap)
		format_sink(sink, ", cap %u%%", e->group->cap);
	if (!q)
		return;
	format_sink(sink, ", CPU %u", q->cpu);
	if (state == FAIR_CAPPED) {
		uint64_t release = READ_ONCE(e->release);

		format_sink(sink, ", for %llu us",
			    (unsigned long long)(release > now ? release - now : 0) / NS_PER_US);
	} else if (state != FAIR_OUT) {
		format_sink(sink, ", behind by %lld us",
			    (long long)(fair_lag(q, e, now) / (int64_t)NS_PER_US));
	}
}
