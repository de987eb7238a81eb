/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler as the console shows it. */
#include "sched_cpu.h"

void sched_print(unsigned cpu, struct format_sink *out)
{
	struct cpu_sched *s = &scheds[cpu];
	uint64_t now = time_now();
	const struct vcpu *v;

	spin_lock(&s->lock);
	v = s->current;
	format_sink(out, "cpu%u: ", cpu);
	fair_queue_print(&s->queue, now, out);
	format_sink(out, ", %llu ms idle, %llu switches",
		    (unsigned long long)(s->idle_ns / NS_PER_MS), (unsigned long long)s->switches);
	if (v)
		format_sink(out, ", runs %s/%u", v->vm->settings.name, v->id);
	format_sink(out, "\n");
	spin_unlock(&s->lock);
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

		format_sink(out, "%s/%u: %s, cpu%u, %llu ms, %llu runs, %llu moves, ",
			    vm->settings.name, i, states[v->state], v->cpu,
			    (unsigned long long)(v->run_ns / NS_PER_MS),
			    (unsigned long long)v->run_count, (unsigned long long)v->moves);
		fair_entity_print(&v->fair, time_now(), out);
		format_sink(out, "\n");
		spin_unlock(&s->lock);
	}
}
