/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler as the console shows it. */
#include "sched_cpu.h"

/* A line that is made with a lock held, and printed without: the console may have to wait. */
struct line {
	struct format_sink sink;
	size_t len;
	char text[256];
};

static void line_put(struct format_sink *sink, char c)
{
	struct line *l = container_of(sink, struct line, sink);

	if (l->len < sizeof(l->text) - 1)
		l->text[l->len++] = c;
}

void sched_print(unsigned cpu, struct format_sink *out)
{
	struct cpu_sched *s = &scheds[cpu];
	struct line line = {.sink = {line_put}};
	uint64_t now = time_now();
	const struct vcpu *v;

	spin_lock(&s->lock);
	v = s->current;
	format_sink(&line.sink, "cpu%u: ", cpu);
	fair_queue_print(&s->queue, now, &line.sink);
	format_sink(&line.sink, ", %llu ms idle, %llu switches",
		    (unsigned long long)(s->idle_ns / NS_PER_MS), (unsigned long long)s->switches);
	if (v)
		format_sink(&line.sink, ", runs %s/%u", v->vm->settings.name, v->id);
	spin_unlock(&s->lock);
	format_sink(out, "%s\n", line.text);
}

/*
 * Of @v, on the CPU @s, which is locked: what was booked when it last left, and since it came. The
 * clock of its CPU may be a little ahead of ours.
 */
static uint64_t run_ns(const struct cpu_sched *s, const struct vcpu *v)
{
	uint64_t now = time_now();

	return v->run_ns + (s->current == v && now > s->since ? now - s->since : 0);
}

uint64_t sched_run_ns(struct vcpu *v)
{
	struct cpu_sched *s = sched_lock_of(v);
	uint64_t ns = run_ns(s, v);

	spin_unlock(&s->lock);
	return ns;
}

void sched_print_vm(struct vm *vm, struct format_sink *out)
{
	static const char *const states[] = {
		[VCPU_OFF] = "off",
		[VCPU_RUNNABLE] = "waits",
		[VCPU_RUNNING] = "runs",
		[VCPU_HALTED] = "sleeps",
	};

	for (unsigned i = 0; i < vm->settings.cpus; i++) {
		struct vcpu *v = vm->vcpu[i];
		struct cpu_sched *s = sched_lock_of(v);
		struct line line = {.sink = {line_put}};

		format_sink(&line.sink, "%s/%u: %s, cpu%u, %llu ms, %llu runs, %llu moves, ",
			    vm->settings.name, i, states[v->state], v->cpu,
			    (unsigned long long)(run_ns(s, v) / NS_PER_MS),
			    (unsigned long long)v->run_count, (unsigned long long)v->moves);
		fair_entity_print(&v->fair, time_now(), &line.sink);
		spin_unlock(&s->lock);
		format_sink(out, "%s\n", line.text);
	}
}
