/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests: a machine of several CPUs in simulated time, scheduled by the real policy. */
#ifndef TESTS_UNIT_FAIR_SIM_H
#define TESTS_UNIT_FAIR_SIM_H

#include <stdlib.h>
#include <string.h>

#include "../../kernel/fair_heap.c"
#include "../../kernel/fair_cap.c"
#include "../../kernel/fair.c"
#include "../../kernel/fair_balance.c"

enum { SIM_CPUS = 64, SIM_TASKS = 8192, SIM_GROUPS = 512, SIM_EVENTS = 65536 };

void *pages_alloc(size_t size, uint32_t owner)
{
	assert_int_equal(owner, OWNER_CORE);
	return calloc(1, size);
}

void pages_free(void *va, size_t size, uint32_t owner)
{
	free(va);
}

/* One vCPU. */
struct sim_task {
	struct fair_entity e;
	uint64_t burst;	     /* ns of work, on average, after which it sleeps; 0: never */
	uint64_t sleep;	     /* ns, on average */
	uint64_t left;	     /* of the burst under way */
	uint64_t service;    /* CPU time that it got since sim_measure() */
	uint64_t woken;	     /* when it last woke; 0: has run since */
	uint64_t latency;    /* longest from waking to running, since sim_measure() */
	uint64_t ready;	     /* when it last began to wait for a CPU */
	uint64_t starved;    /* longest that it waited for a CPU, since sim_measure() */
	uint32_t generation; /* of its wake event */
	bool stopped;
	double ideal; /* CPUs that it should get; sim_ideal() */
};

struct sim_cpu {
	struct fair_queue queue;
	struct sim_task *running;
	struct sim_task *last; /* that ran here */
	uint64_t since;	       /* the running one */
	uint64_t deadline;     /* when it is interrupted */
	uint64_t idle_ns;      /* since sim_measure() */
	uint32_t generation;   /* of its event */
};

struct sim_event {
	uint64_t at;
	uint64_t order; /* equal times: first come, first served */
	uint32_t generation;
	int32_t cpu; /* -1: a task wakes */
	uint32_t task;
};

static struct {
	uint64_t now, seed, order, measured;
	struct sim_cpu cpu[SIM_CPUS];
	struct fair_queue *queues[SIM_CPUS];
	unsigned cpus;
	struct sim_task task[SIM_TASKS];
	unsigned tasks;
	struct fair_group group[SIM_GROUPS];
	unsigned groups;
	struct sim_event event[SIM_EVENTS];
	unsigned events;
	uint64_t overrun; /* an interrupt comes late by up to so much */
	unsigned lock_fails; /* of 100 attempts to take another CPU's lock */
	uint64_t switches, moves, preemptions, wakes, hops; /* since sim_measure() */
} sim;

static uint64_t sim_random(uint64_t below)
{
	sim.seed = sim.seed * 6364136223846793005ull + 1442695040888963407ull;
	return below ? (sim.seed >> 24) % below : 0;
}

static bool sim_earlier(const struct sim_event *a, const struct sim_event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void sim_post(uint64_t at, int cpu, unsigned task, uint32_t generation)
{
	struct sim_event e = {at, sim.order++, generation, cpu, task};
	unsigned i = sim.events++;

	assert_true(sim.events <= SIM_EVENTS);
	for (; i && sim_earlier(&e, &sim.event[(i - 1) / 2]); i = (i - 1) / 2)
		sim.event[i] = sim.event[(i - 1) / 2];
	sim.event[i] = e;
}

static struct sim_event sim_next(void)
{
	struct sim_event first = sim.event[0], last = sim.event[--sim.events];
	unsigned i = 0, child;

	while ((child = 2 * i + 1) < sim.events) {
		if (child + 1 < sim.events && sim_earlier(&sim.event[child + 1], &sim.event[child]))
			child++;
		if (!sim_earlier(&sim.event[child], &last))
			break;
		sim.event[i] = sim.event[child];
		i = child;
	}
	sim.event[i] = last;
	return first;
}

/* The CPU looks at @at, and not at what was set before. */
static void sim_cpu_at(struct sim_cpu *c, uint64_t at)
{
	c->generation++;
	if (at != TIME_NEVER)
		sim_post(at, (int)(c - sim.cpu), 0, c->generation);
}

/* @e has joined the queue of @c. */
static void sim_joined(struct sim_cpu *c, struct fair_entity *e)
{
	uint64_t in = 0;

	if (c->running) {
		in = fair_preempt_in(&c->queue, e, &c->running->e, sim.now - c->since, sim.now);
		if (sim.now + in >= c->deadline)
			return;
		sim.preemptions++;
	} else if (e->state == FAIR_CAPPED) {
		in = fair_next(&c->queue, sim.now) - sim.now;
	}
	c->deadline = sim.now + in;
	sim_cpu_at(c, c->deadline);
}

static struct sim_cpu *sim_find_idle(uint64_t allowed)
{
	for (unsigned i = 0; i < sim.cpus; i++)
		if (allowed & BIT(i) && !sim.cpu[i].running && !fair_runnable(sim.queues[i]))
			return &sim.cpu[i];
	return NULL;
}

static void sim_wake(struct sim_task *t)
{
	struct fair_queue *q = t->e.queue;
	struct sim_cpu *idle = NULL;

	if (!q || sim.cpu[q->cpu].last != t)
		q = fair_place(sim.queues, sim.cpus, &t->e);
	assert_true(t->e.cpuset & BIT(q->cpu));
	sim.wakes++;
	sim.hops += t->e.queue && t->e.queue != q;
	t->woken = t->ready = sim.now;
	if (t->burst && !t->left)
		t->left = t->burst / 2 + sim_random(t->burst) + 1;
	fair_wake(q, &t->e, sim.now);
	if (sim.cpu[q->cpu].running)
		idle = sim_find_idle(t->e.cpuset);
	sim_joined(&sim.cpu[q->cpu], &t->e);
	if (idle)
		sim_cpu_at(idle, sim.now);
}

static void sim_sleep(struct sim_task *t)
{
	sim_post(sim.now + t->sleep / 2 + sim_random(t->sleep) + 1, -1, (uint32_t)(t - sim.task),
		 ++t->generation);
}

/* As in the scheduler: a CPU may still hold the registers of who ran there last. */
static bool sim_may_move(struct fair_entity *e)
{
	return sim.cpu[e->queue->cpu].last != container_of(e, struct sim_task, e);
}

/* The running one leaves its CPU. */
static void sim_leave(struct sim_cpu *c)
{
	struct sim_task *t = c->running;
	uint64_t ran = sim.now - c->since;

	c->running = NULL;
	t->service += ran;
	fair_charge(&c->queue, &t->e, ran, sim.now);
	if (t->stopped) {
		fair_remove(&c->queue, &t->e);
	} else if (t->burst && ran >= t->left) {
		t->left = 0;
		sim_sleep(t);
	} else {
		t->left -= t->burst ? ran : 0;
		t->ready = sim.now;
		fair_put(&c->queue, &t->e, sim.now);
	}
}

static void sim_balance(struct sim_cpu *c)
{
	struct fair_queue *to;

	while ((to = fair_balance_to(&c->queue, sim.queues, sim.cpus, sim.now))) {
		struct fair_entity *e;

		if (sim_random(100) < sim.lock_fails)
			return;
		e = fair_balance(&c->queue, to, sim.now, sim_may_move);
		if (!e)
			return;
		sim.moves++;
		sim_joined(&sim.cpu[to->cpu], e);
	}
}

static struct fair_entity *sim_steal(struct sim_cpu *c, uint64_t *slice)
{
	struct fair_queue *from;
	uint64_t tried = 0;

	while ((from = fair_busiest(sim.queues, sim.cpus, c->queue.cpu, tried))) {
		struct fair_entity *e = fair_take(from, c->queue.cpu, sim.now, sim_may_move);

		if (e) {
			sim.moves++;
			fair_move_in(&c->queue, e, sim.now);
			return fair_pick(&c->queue, sim.now, slice);
		}
		tried |= BIT(from->cpu);
	}
	return NULL;
}

/* A CPU's main loop, from one vCPU to the next. */
static void sim_schedule(struct sim_cpu *c)
{
	uint64_t slice, end;
	struct fair_entity *e;
	struct sim_cpu *idle;

	if (c->running)
		sim_leave(c);
	else
		c->idle_ns += sim.now - c->since;
	sim_balance(c);
	e = fair_pick(&c->queue, sim.now, &slice);
	if (!e) {
		c->last = NULL;
		e = sim_steal(c, &slice);
	}
	c->since = sim.now;
	if (!e) {
		sim_cpu_at(c, fair_next(&c->queue, sim.now));
		return;
	}
	assert_true(e->cpuset & BIT(c->queue.cpu));
	assert_true(slice > 0);
	sim.switches++;
	c->running = c->last = container_of(e, struct sim_task, e);
	if (c->running->woken)
		c->running->latency = MAX(c->running->latency, sim.now - c->running->woken);
	c->running->woken = 0;
	c->running->starved = MAX(c->running->starved, sim.now - c->running->ready);
	end = slice == TIME_NEVER ? TIME_NEVER : sim.now + slice + sim_random(sim.overrun);
	c->deadline = end;
	if (c->running->burst)
		c->deadline = MIN(end, sim.now + c->running->left);
	sim_cpu_at(c, c->deadline);
	if (c->queue.waiting.count && (idle = sim_find_idle(UINT64_MAX)))
		sim_cpu_at(idle, sim.now);
}

static void sim_run(uint64_t ns)
{
	uint64_t until = sim.now + ns;

	while (sim.events && sim.event[0].at <= until) {
		struct sim_event e = sim_next();

		sim.now = e.at;
		if (e.cpu >= 0) {
			if (sim.cpu[e.cpu].generation == e.generation)
				sim_schedule(&sim.cpu[e.cpu]);
		} else if (sim.task[e.task].generation == e.generation) {
			sim_wake(&sim.task[e.task]);
		}
	}
	sim.now = until;
}

static void sim_start(unsigned cpus, uint64_t seed)
{
	for (unsigned i = 0; i < sim.cpus; i++)
		free(sim.cpu[i].queue.waiting.slots);
	memset(&sim, 0, sizeof(sim));
	sim.cpus = cpus;
	sim.seed = seed;
	sim.now = 1000;
	for (unsigned i = 0; i < cpus; i++) {
		sim.cpu[i].since = sim.now;
		sim.queues[i] = &sim.cpu[i].queue;
		fair_queue_init(sim.queues[i], i);
	}
}

static struct fair_group *sim_group(unsigned cap)
{
	assert_true(sim.groups < SIM_GROUPS);
	fair_group_init(&sim.group[sim.groups], cap);
	return &sim.group[sim.groups++];
}

/* A new vCPU, which starts at once. @burst and @sleep in ns, 0 for one that never sleeps. */
static struct sim_task *sim_task(struct fair_group *g, unsigned weight, uint64_t cpuset,
				 uint64_t burst, uint64_t sleep)
{
	struct sim_task *t = &sim.task[sim.tasks++];

	assert_true(sim.tasks <= SIM_TASKS);
	t->burst = burst;
	t->sleep = sleep;
	fair_entity_init(&t->e, g, weight, cpuset);
	for (unsigned i = 0; i < sim.cpus; i++)
		assert_int_equal(fair_queue_reserve(sim.queues[i], sim.tasks), 0);
	sim_wake(t);
	return t;
}

static void sim_stop(struct sim_task *t)
{
	t->stopped = true;
	t->generation++;
	if (t->e.state == FAIR_RUNNING)
		sim_cpu_at(&sim.cpu[t->e.queue->cpu], sim.now);
	else if (t->e.queue)
		fair_remove(t->e.queue, &t->e);
}

static void sim_restart(struct sim_task *t)
{
	t->stopped = false;
	if (t->e.state == FAIR_OUT)
		sim_wake(t);
}

/* Counts from now on. */
static void sim_measure(void)
{
	sim.switches = sim.moves = sim.preemptions = sim.wakes = sim.hops = 0;
	sim.measured = sim.now;
	for (unsigned i = 0; i < sim.cpus; i++) {
		struct sim_cpu *c = &sim.cpu[i];

		c->idle_ns = 0;
		if (!c->running)
			c->since = sim.now;
	}
	for (unsigned i = 0; i < sim.tasks; i++) {
		struct sim_task *t = &sim.task[i];

		t->service = t->latency = t->starved = 0;
		/* What it ran before is not to be counted when it leaves. */
		if (t->e.state == FAIR_RUNNING)
			t->service -= sim.now - sim.cpu[t->e.queue->cpu].since;
	}
}

/* CPUs that @t got on average since sim_measure(). */
static double sim_share(const struct sim_task *t)
{
	uint64_t service = t->service;

	if (t->e.state == FAIR_RUNNING)
		service += sim.now - sim.cpu[t->e.queue->cpu].since;
	return (double)(int64_t)service / (double)(sim.now - sim.measured);
}

/*
 * The ideal: weighted max-min shares, by progressive filling (Bertsekas and Gallager). All grow by
 * their weights until a limit stops some; the others go on. Limits: one CPU each, its demand, its
 * group's cap, and for each set of CPUs: those that may run only there cannot get more than that.
 */
static uint64_t sim_sets[256];
static unsigned sim_set_count;

static bool sim_fits(double level, const double *fixed, bool *stuck)
{
	static double by_group[SIM_GROUPS], by_set[256];
	bool fits = true;

	memset(by_group, 0, sizeof(by_group));
	memset(by_set, 0, sizeof(by_set));
	for (unsigned i = 0; i < sim.tasks; i++) {
		struct sim_task *t = &sim.task[i];
		double x = fixed[i] >= 0 ? fixed[i] : level * t->e.weight;

		if (t->stopped)
			continue;
		by_group[t->e.group - sim.group] += x;
		for (unsigned s = 0; s < sim_set_count; s++)
			by_set[s] += (t->e.cpuset & ~sim_sets[s]) ? 0 : x;
	}
	for (unsigned i = 0; i < sim.tasks; i++) {
		struct sim_task *t = &sim.task[i];
		double own = t->burst ? (double)t->burst / (double)(t->burst + t->sleep) : 1;
		unsigned cap = t->e.group->cap;

		if (t->stopped || fixed[i] >= 0)
			continue;
		stuck[i] = level * t->e.weight > own ||
			   (cap && by_group[t->e.group - sim.group] > cap / 100.0);
		for (unsigned s = 0; s < sim_set_count; s++)
			stuck[i] |= !(t->e.cpuset & ~sim_sets[s]) &&
				    by_set[s] > __builtin_popcountll(sim_sets[s]);
		fits &= !stuck[i];
	}
	return fits;
}

/* All unions of cpusets: only these can be too small for those that are tied to them. */
static void sim_make_sets(void)
{
	uint64_t all = sim.cpus == 64 ? ~0ull : BIT(sim.cpus) - 1;

	sim_set_count = 0;
	for (unsigned i = 0; i < sim.tasks; i++) {
		uint64_t set = sim.task[i].e.cpuset &= all;
		unsigned s, had = sim_set_count;

		for (s = 0; s < had && sim_sets[s] != set; s++)
			;
		if (s < had || sim.task[i].stopped)
			continue;
		sim_sets[sim_set_count++] = set;
		for (s = 0; s < had; s++) {
			uint64_t both = sim_sets[s] | set;
			unsigned n;

			for (n = 0; n < sim_set_count && sim_sets[n] != both; n++)
				;
			assert_true(sim_set_count < 256);
			if (n == sim_set_count)
				sim_sets[sim_set_count++] = both;
		}
	}
}

static void sim_ideal(void)
{
	static double fixed[SIM_TASKS];
	static bool stuck[SIM_TASKS];
	unsigned open = 0;

	sim_make_sets();
	for (unsigned i = 0; i < sim.tasks; i++) {
		fixed[i] = -1;
		open += !sim.task[i].stopped;
	}
	while (open) {
		double fits = 0, not = 2;

		for (unsigned step = 0; step < 50; step++) {
			double mid = (fits + not ) / 2;

			*(sim_fits(mid, fixed, stuck) ? &fits : &not ) = mid;
		}
		assert_false(sim_fits(not, fixed, stuck));
		for (unsigned i = 0; i < sim.tasks; i++) {
			if (sim.task[i].stopped || fixed[i] >= 0 || !stuck[i])
				continue;
			sim.task[i].ideal = fixed[i] = fits * sim.task[i].e.weight;
			open--;
		}
	}
}

#endif
