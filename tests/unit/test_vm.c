/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of VMs: start, stop and who says why; and the flush that waits for running vCPUs.
 * libs: -lpthread
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "panic_mock.h"
#include "../../lib/format.c"
#include "../../lib/string.c"
#include "smp_mock.h"
static void say(enum log_level level, const char *fmt, ...);
#define log_line say
#include "../../kernel/vm.c"
#include "../../kernel/vm_flush.c"

enum { VCPUS = 4, FIRST_CPU = 10 /* that of vCPU 0, and so on */, EPOCH = 7 };

static struct vcpu vcpus[VCPUS];
static struct vm *vm;
static status_t start_fails, create_fails;
static unsigned starts, stops, added, freed, pokes;
static unsigned pieces; /* of memory, handed out and not freed */
static unsigned noted;	/* of these, since pages_note() */
static bool noting;
static uint64_t now;		/* ns since boot */
static unsigned busy;		/* vCPUs that sched_remove() does not get yet */
static unsigned polls[VCPUS];	/* calls of vcpu_request(), by vCPU */
static uint32_t asked[VCPUS];	/* what for */
static void (*meanwhile)(void); /* other CPUs do that at each call */
static char logged[300];
static unsigned machine_ended; /* status + 1 of machine_poweroff(), or REBOOTED */
enum { REBOOTED = 1000 };
static jmp_buf end_jump;

void *pages_alloc(size_t bytes, uint32_t owner)
{
	assert_int_equal(owner, OWNER_VM_CORE);
	assert_true(noting);
	assert_int_equal(bytes, sizeof(struct vm));
	pieces++;
	noted++;
	return calloc(1, bytes);
}

void pages_note(uint32_t owner)
{
	assert_int_equal(owner, OWNER_VM_CORE);
	assert_false(noting);
	noting = true;
	noted = 0;
}

void pages_keep_noted(void)
{
	assert_true(noting);
	noting = false;
}

unsigned cpu_count = 8;

void pages_free_noted(void)
{
	assert_true(noting);
	noting = false;
	pieces -= noted;
}

status_t io_bus_init(struct io_bus *bus, struct spinlock *lock)
{
	assert_int_equal(lock->level, LOCK_CHIPS);
	bus->port_map = (uint8_t *)bus;
	return 0;
}

void io_bus_free(struct io_bus *bus)
{
	freed++;
	/* The VM around it: pages_free_noted() does not know where it is. */
	free(container_of(bus, struct vm, io));
}

void sched_add(struct vm *v)
{
	/* All is there by now. */
	assert_ptr_equal(v->vcpu[0], &vcpus[0]);
	added++;
}

uint64_t time_now(void)
{
	return now;
}

void timer_init(struct timer *t, void (*fire)(struct timer *timer))
{
	*t = (struct timer){.fire = fire};
}

void timer_set(struct timer *t, uint64_t expires)
{
	t->expires = expires;
	t->slot = 1;
}

void timer_cancel(struct timer *t)
{
	t->slot = 0;
	t->due = false;
}

bool timer_claim(struct timer *t)
{
	bool due = t->due;

	t->due = false;
	return due;
}

/* Time goes on, and what is due by then fires. */
static void pass(uint64_t ns)
{
	struct timer *t = &vm->restart;

	now += ns;
	if (!timer_armed(t) || t->expires > now)
		return;
	t->slot = 0;
	t->due = true;
	t->fire(t);
}

void sched_start(struct vcpu *v)
{
	assert_int_equal(v->vm->state, VM_RUNNING);
	v->state = VCPU_HALTED;
}

bool sched_remove(struct vcpu *v)
{
	assert_int_equal(v->vm->state, VM_STOPPING);
	if (busy & BIT(v->id))
		return false;
	v->state = VCPU_OFF;
	return true;
}

void sched_poke(unsigned cpu)
{
	assert_int_equal(cpu, 0);
	pokes++;
}

static unsigned kicks;

void sched_kick(void)
{
	kicks++;
}

void vcpu_request(struct vcpu *v, uint32_t requests)
{
	__atomic_fetch_or(&v->requests, requests, __ATOMIC_SEQ_CST);
	if (v < vcpus || v >= vcpus + VCPUS) {
		sched_yield();
		return;
	}
	assert_int_equal(vm->lock.held, 0);
	asked[v->id] |= requests;
	polls[v->id]++;
	if (meanwhile)
		meanwhile();
}

void vm_log(struct vm *v __unused, enum log_level level __unused, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(logged, sizeof(logged), fmt, args);
	va_end(args);
}

/* By which its end is said, since it may have used up what vm_log() gives it. */
static void say(enum log_level level __unused, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(logged, sizeof(logged), fmt, args);
	va_end(args);
}

void machine_poweroff(unsigned status)
{
	machine_ended = status + 1;
	longjmp(end_jump, 1);
}

void machine_reboot(void)
{
	machine_ended = REBOOTED;
	longjmp(end_jump, 1);
}

static status_t mock_create(struct vm *v)
{
	pieces += v->settings.cpus;
	noted += v->settings.cpus;
	for (unsigned i = 0; i < v->settings.cpus; i++) {
		vcpus[i] = (struct vcpu){.vm = v, .id = i, .cpu = FIRST_CPU + i};
		v->vcpu[i] = &vcpus[i];
	}
	return create_fails;
}

static status_t mock_start(struct vm *v)
{
	assert_int_equal(v->state, VM_STOPPED);
	starts++;
	return start_fails;
}

static void mock_stop(struct vm *v)
{
	for (unsigned i = 0; i < v->settings.cpus; i++)
		assert_int_equal(v->vcpu[i]->state, VCPU_OFF);
	stops++;
}

static const struct vm_ops mock_ops = {mock_create, mock_start, mock_stop};

static int setup(void **state __unused)
{
	struct vm_settings settings = {.name = "test", .cpus = VCPUS, .memory = 8 * MiB};

	while (count)
		free(vms[--count]);
	stopping = 0;
	rested = noting = false;
	pieces = 0;
	now = 1000 * NS_PER_SEC;
	starts = stops = added = freed = pokes = busy = 0;
	start_fails = create_fails = 0;
	meanwhile = NULL;
	machine_ended = 0;
	memset(polls, 0, sizeof(polls));
	memset(asked, 0, sizeof(asked));
	vm_bind(&mock_ops);
	assert_int_equal(vm_create(&settings), 0);
	vm = vm_find("test");
	return 0;
}

static int setup_running(void **state)
{
	setup(state);
	assert_int_equal(vm_start(vm), 0);
	vm->mem.epoch = EPOCH;
	for (unsigned i = 0; i < VCPUS; i++) {
		vcpus[i].requests = asked[i] = polls[i] = 0;
		vm->mem.seen[FIRST_CPU + i] = EPOCH - 1;
	}
	return 0;
}

static void created_once(void **state __unused)
{
	struct vm_settings settings = vm->settings;

	assert_int_equal(vm_create(&settings), -S_EXIST);
	strcpy(settings.name, "other");
	create_fails = -S_NOMEM;
	assert_int_equal(pieces, 1 + VCPUS);
	assert_int_equal(vm_create(&settings), -S_NOMEM);
	/* All that was taken is back, and nobody knows of it. */
	assert_int_equal(freed, 1);
	assert_int_equal(pieces, 1 + VCPUS);
	assert_int_equal(added, 1);
	assert_int_equal(count, 1);
	assert_null(vm_find("other"));
	create_fails = 0;
	assert_int_equal(vm_create(&settings), 0);
	assert_int_equal(pieces, 2 * (1 + VCPUS));
	assert_int_equal(added, 2);
	assert_ptr_equal(vm_next(NULL), vm);
	assert_ptr_equal(vm_next(vm), vm_find("other"));
	assert_null(vm_next(vm_find("other")));
	while (count < VM_MAX) {
		snprintf(settings.name, sizeof(settings.name), "vm%u", count);
		assert_int_equal(vm_create(&settings), 0);
	}
	strcpy(settings.name, "one more");
	assert_int_equal(vm_create(&settings), -S_NOSPC);
}

static void starts_its_first_vcpu(void **state __unused)
{
	assert_int_equal(vm_stop(vm), -S_BUSY);
	start_fails = -S_NOENT;
	assert_int_equal(vm_start(vm), -S_NOENT);
	assert_int_equal(stops, 1);
	assert_int_equal(vm->state, VM_STOPPED);
	assert_int_equal(vm->exit, VM_EXIT_CRASHED);
	start_fails = 0;
	assert_int_equal(vm_start(vm), 0);
	assert_int_equal(vm->exit, VM_EXIT_NONE);
	assert_string_equal(vm_state_text(vm), "running");
	assert_int_equal(asked[0], VCPU_REQ_EVENT);
	for (unsigned i = 1; i < VCPUS; i++) {
		assert_int_equal(polls[i], 0);
		assert_int_equal(vcpus[i].state, VCPU_HALTED);
	}
	assert_int_equal(vm_start(vm), -S_BUSY);
}

static void first_reason_wins(void **state __unused)
{
	vm_kill(vm, "bad %s %d", "state", 5);
	assert_int_equal(vm->state, VM_STOPPING);
	assert_int_equal(pokes, 1);
	for (unsigned i = 0; i < VCPUS; i++)
		assert_int_equal(asked[i], VCPU_REQ_LEAVE);
	vm_poweroff(vm);
	vm_debug_exit(vm, 3);
	vm_reset(vm);
	vm_kill(vm, "worse");
	assert_int_equal(vm_stop(vm), -S_BUSY);
	assert_int_equal(vm->exit, VM_EXIT_CRASHED);
	assert_int_equal(vm->exit_status, 0);
	assert_false(vm->reset_pending);
	assert_string_equal(vm->exit_reason, "bad state 5");
	assert_int_equal(pokes, 1);
	vm_reap();
	assert_int_equal(vm->state, VM_STOPPED);
	assert_string_equal(logged, "vm test: stopped: killed: bad state 5");
	assert_int_equal(vm->lock.held, 0);
}

static void reaped_when_all_are_off(void **state __unused)
{
	vm_reap();
	assert_int_equal(stops, 0);
	vm_poweroff(vm);
	busy = BIT(1) | BIT(2);
	kicks = 0;
	vm_reap();
	/* It is to be called again. */
	assert_int_equal(kicks, 1);
	/* Nobody waits for another one. */
	assert_int_equal(vcpus[0].state, VCPU_OFF);
	assert_int_equal(vcpus[3].state, VCPU_OFF);
	busy = BIT(1);
	vm_reap();
	assert_int_equal(vcpus[2].state, VCPU_OFF);
	assert_int_equal(stops, 0);
	assert_int_equal(vm->state, VM_STOPPING);
	busy = kicks = 0;
	vm_reap();
	assert_int_equal(kicks, 0);
	assert_int_equal(stops, 1);
	assert_int_equal(vm->state, VM_STOPPED);
	vm_reap();
	assert_int_equal(stops, 1);
	assert_int_equal(stopping, 0);
}

static void reset_starts_again(void **state __unused)
{
	pass(RESTART_REST);
	vm_reset(vm);
	vm_reap();
	assert_int_equal(vm->state, VM_RUNNING);
	assert_int_equal(starts, 2);
	assert_int_equal(vm->starts, 2);
	assert_false(vm->reset_pending);
	/* Whatever is set for its exit. */
	vm->settings.on_exit = VM_ON_EXIT_POWEROFF;
	pass(RESTART_REST);
	vm_reset(vm);
	vm_reap();
	assert_int_equal(starts, 3);
	pass(RESTART_REST);
	vm_reset(vm);
	start_fails = -S_NOMEM;
	vm_reap();
	assert_int_equal(vm->state, VM_STOPPED);
	assert_string_equal(logged, "could not be started again");
}

/* Does vm_reap() come back? */
static bool comes_back(void)
{
	if (setjmp(end_jump))
		return false;
	vm_reap();
	return true;
}

/* As the boot CPU's loop does after a sched_kick(). */
static void poll(void)
{
	while (kicks) {
		kicks = 0;
		vm_reap();
	}
}

/* Who lived for less than that rests for as long, without being asked about all the time. */
static void restarts_are_apart(void **state __unused)
{
	unsigned lines = 0;

	vm->settings.on_exit = VM_ON_EXIT_RESTART;
	for (unsigned i = 0; i < 20; i++) {
		logged[0] = 0;
		pass(RESTART_REST - 1);
		if (i % 2) {
			vm_reset(vm);
			vm_reap();
			assert_string_equal(logged, "vm test: reset");
		} else {
			vm_poweroff(vm);
			vm_reap();
			assert_string_equal(
				logged, "vm test: stopped: powered off by the guest; starts again");
		}
		logged[0] = 0;
		kicks = 0;
		assert_int_equal(vm->state, VM_RESTARTING);
		assert_string_equal(vm_state_text(vm), "restarting");
		assert_int_equal(stops, i + 1);
		assert_int_equal(starts, i + 1);
		assert_int_equal(vm_start(vm), -S_BUSY);
		/* Nothing but the administrator ends that. */
		vm_kill(vm, "late");
		vm_reset(vm);
		vm_reap();
		pass(RESTART_REST - 1);
		assert_int_equal(kicks, 0);
		/* Another one's rest is over. */
		rested = true;
		vm_reap();
		assert_int_equal(vm->state, VM_RESTARTING);
		pass(1);
		assert_int_equal(kicks, 1);
		poll();
		assert_int_equal(vm->state, VM_RUNNING);
		assert_int_equal(starts, i + 2);
		assert_int_equal(stops, i + 1);
		/* One line for each, which was the former one. */
		assert_string_equal(logged, "");
		lines++;
	}
	assert_int_equal(vm->starts, lines + 1);
	/* And who lived for longer does not. */
	pass(RESTART_REST);
	vm_reset(vm);
	vm_reap();
	assert_int_equal(vm->state, VM_RUNNING);
	assert_int_equal(stopping, 0);
}

/* Work that was put off for some time: the vCPU leaves the guest then, and not before. */
static void deferred_work(void **state __unused)
{
	struct vcpu *vcpu = vm->vcpu[0];
	struct vcpu_work first = {.run = NULL}, second = {.run = NULL};

	vcpu_work_init(vcpu);
	vcpu->requests = 0;
	vcpu_defer_until(vcpu, &first, now + 100);
	now += 50;
	vcpu_defer_until(vcpu, &second, now + 100);
	assert_ptr_equal(vcpu->work, &second);
	assert_ptr_equal(second.next, &first);
	assert_int_equal(vcpu->requests, 0);
	assert_int_equal(vcpu->work_due.expires, now + 50);
	vcpu->work_due.fire(&vcpu->work_due);
	assert_int_equal(vcpu->requests, VCPU_REQ_LEAVE);
	vcpu->work = NULL;
	vcpu_work(vcpu);
	assert_false(timer_armed(&vcpu->work_due));
}

static void stopped_while_it_rests(void **state __unused)
{
	vm_reset(vm);
	vm_reap();
	assert_int_equal(vm->state, VM_RESTARTING);
	kicks = 0;
	assert_int_equal(vm_stop(vm), 0);
	assert_int_equal(pokes, 2);
	vm_reap();
	assert_int_equal(vm->state, VM_STOPPED);
	assert_int_equal(vm->exit, VM_EXIT_STOPPED);
	assert_string_equal(logged, "vm test: stopped: by the administrator");
	assert_false(timer_armed(&vm->restart));
	/* It stays so, ... */
	pass(10 * RESTART_REST);
	poll();
	assert_int_equal(vm->state, VM_STOPPED);
	assert_int_equal(starts, 1);
	assert_int_equal(vm_stop(vm), -S_BUSY);
	/* ... can be started, and stopped just when its time was up. */
	assert_int_equal(vm_start(vm), 0);
	vm_reset(vm);
	vm_reap();
	pass(RESTART_REST);
	assert_int_equal(vm_stop(vm), 0);
	poll();
	vm_reap();
	assert_int_equal(vm->state, VM_STOPPED);
	assert_int_equal(starts, 2);
	assert_int_equal(stopping, 0);
	/* What its end is for still holds. */
	assert_int_equal(vm_start(vm), 0);
	vm->settings.on_exit = VM_ON_EXIT_POWEROFF;
	vm_reset(vm);
	vm_reap();
	assert_int_equal(machine_ended, 0);
	assert_int_equal(vm_stop(vm), 0);
	assert_false(comes_back());
	assert_int_equal(machine_ended, 1);
}

static void what_an_exit_is_for(void **state)
{
	static const struct {
		enum vm_on_exit on_exit;
		enum vm_exit exit;
		unsigned starts, ended;
	} cases[] = {
		{VM_ON_EXIT_STOP, VM_EXIT_POWEROFF, 1, 0},
		{VM_ON_EXIT_STOP, VM_EXIT_CRASHED, 1, 0},
		{VM_ON_EXIT_RESTART, VM_EXIT_POWEROFF, 2, 0},
		{VM_ON_EXIT_RESTART, VM_EXIT_DEBUG, 2, 0},
		{VM_ON_EXIT_RESTART, VM_EXIT_STOPPED, 1, 0},
		{VM_ON_EXIT_RESTART, VM_EXIT_CRASHED, 1, 0},
		{VM_ON_EXIT_POWEROFF, VM_EXIT_POWEROFF, 1, 1},
		{VM_ON_EXIT_POWEROFF, VM_EXIT_DEBUG, 1, 5 + 1},
		{VM_ON_EXIT_POWEROFF, VM_EXIT_CRASHED, 1, 0x7f + 1},
		{VM_ON_EXIT_REBOOT, VM_EXIT_STOPPED, 1, REBOOTED},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		setup_running(state);
		vm->settings.on_exit = cases[i].on_exit;
		pass(RESTART_REST);
		if (cases[i].exit == VM_EXIT_POWEROFF)
			vm_poweroff(vm);
		else if (cases[i].exit == VM_EXIT_DEBUG)
			vm_debug_exit(vm, 5);
		else if (cases[i].exit == VM_EXIT_CRASHED)
			vm_kill(vm, "x");
		else
			assert_int_equal(vm_stop(vm), 0);
		assert_int_equal(comes_back(), !cases[i].ended);
		assert_int_equal(starts, cases[i].starts);
		assert_int_equal(machine_ended, cases[i].ended);
	}
}

/* As a vCPU's CPU does before an entry. */
static void flush(struct vcpu *v)
{
	__atomic_fetch_and(&v->requests, ~(uint32_t)VCPU_REQ_FLUSH, __ATOMIC_SEQ_CST);
	vm->mem.seen[v->cpu] = vm->mem.epoch;
}

static void flush_waits_for_nobody(void **state __unused)
{
	vcpus[1].state = VCPU_RUNNABLE;
	vcpus[2].state = VCPU_OFF;
	vm_flush(vm, NULL);
	for (unsigned i = 0; i < VCPUS; i++) {
		/* Once, for what they do before they run. */
		assert_int_equal(polls[i], 1);
		assert_int_equal(vcpus[i].requests, VCPU_REQ_FLUSH);
	}
}

static void flush_leaves_itself_alone(void **state __unused)
{
	vcpus[2].state = VCPU_RUNNING;
	vm_flush(vm, &vcpus[2]);
	/* It looks before its next entry; its own CPU needs no kick. */
	assert_int_equal(polls[2], 0);
	assert_int_equal(vcpus[2].requests, VCPU_REQ_FLUSH);
	assert_int_equal(polls[0] + polls[1] + polls[3], 3);
}

static unsigned step;

static void flush_at_last(void)
{
	assert_true(++step < 1000);
	if (step == 20)
		flush(&vcpus[1]);
	if (step == 50)
		flush(&vcpus[3]);
}

static void flush_waits_for_those_that_run(void **state __unused)
{
	vcpus[0].state = vcpus[1].state = vcpus[3].state = VCPU_RUNNING;
	step = 0;
	meanwhile = flush_at_last;
	vm_flush(vm, &vcpus[0]);
	assert_true(step >= 50);
	assert_int_equal(vcpus[1].requests | vcpus[3].requests, 0);
	assert_int_equal(vcpus[2].requests, VCPU_REQ_FLUSH);
	assert_int_equal(polls[2], 1);
}

/* It has taken the request and is about to flush; or it has flushed before that. */
static void half_and_half(void)
{
	assert_true(++step < 1000);
	if (step < 30) {
		vcpus[1].requests = 0;
		vm->mem.seen[FIRST_CPU + 1] = EPOCH - 1;
	} else if (step < 60) {
		vcpus[1].requests = VCPU_REQ_FLUSH;
		vm->mem.seen[FIRST_CPU + 1] = EPOCH;
	} else {
		flush(&vcpus[1]);
	}
}

static void flush_waits_for_both_signs(void **state __unused)
{
	vcpus[1].state = VCPU_RUNNING;
	/* Of the CPU, not of the vCPU. */
	vm->mem.seen[1] = EPOCH;
	step = 0;
	meanwhile = half_and_half;
	vm_flush(vm, NULL);
	assert_true(step >= 60);
}

/* It flushed, and then its CPU used the page that is on its way out. */
static void seen_and_used_again(void)
{
	assert_true(++step < 1000);
	if (step % 4 == 0 && step < 40) {
		flush(&vcpus[1]);
		vm->mem.seen[FIRST_CPU + 1] = 0;
	}
	if (step == 44)
		flush(&vcpus[1]);
}

static void flush_asks_again(void **state __unused)
{
	vcpus[1].state = VCPU_RUNNING;
	step = 0;
	meanwhile = seen_and_used_again;
	vm_flush(vm, NULL);
	assert_int_equal(step, 44);
	assert_true(polls[1] >= 40);
	assert_int_equal(vm->mem.seen[FIRST_CPU + 1], EPOCH);
}

static void leave(void)
{
	assert_true(++step < 1000);
	if (step == 20)
		vcpus[1].state = VCPU_HALTED;
}

static void flush_waits_no_longer_than_it_runs(void **state __unused)
{
	vcpus[1].state = VCPU_RUNNING;
	step = 0;
	meanwhile = leave;
	vm_flush(vm, NULL);
	assert_true(step >= 20);
	assert_int_equal(vcpus[1].requests, VCPU_REQ_FLUSH);
}

static void begun_only(void **state __unused)
{
	for (unsigned i = 0; i < VCPUS; i++)
		vcpus[i].state = VCPU_RUNNING;
	vm_flush_begin(vm, &vcpus[3]);
	for (unsigned i = 0; i < VCPUS; i++) {
		assert_int_equal(polls[i], i == 3 ? 0 : 1);
		assert_int_equal(vcpus[i].requests, VCPU_REQ_FLUSH);
	}
}

/*
 * The same with threads: a page is taken away again and again, while vCPUs that found it use it
 * until they are asked to forget it.
 */
enum { PAGES = 2, MOVES = 1000, GONE = -1 };
static struct vm smp_vm;
static struct vcpu smp_vcpu[VCPUS - 1];
static int page;	 /* which one is there; atomic */
static int value[PAGES]; /* GONE: it is not the guest's any more; atomic */
static unsigned uses;	 /* atomic */
static bool done;	 /* atomic */
static unsigned visits;

static void use_until_asked(struct smp_cpu *cpu, struct vcpu *v, int *held)
{
	struct guest_mem *mem = &v->vm->mem;

	for (unsigned i = 0; i < 50; i++) {
		if (__atomic_fetch_and(&v->requests, 0, __ATOMIC_SEQ_CST) & VCPU_REQ_FLUSH) {
			uint64_t epoch = guest_mem_epoch(mem);

			*held = GONE;
			guest_mem_seen(mem, epoch);
		}
		if (*held == GONE)
			*held = __atomic_load_n(&page, __ATOMIC_SEQ_CST);
		for (unsigned n = 0; n < 10; n++)
			CHECK(__atomic_load_n(&value[*held], __ATOMIC_RELAXED) != GONE);
		__atomic_fetch_add(&uses, 1, __ATOMIC_RELAXED);
		if (smp_random(cpu, 20) == 0)
			sched_yield();
	}
}

static void smp_runner(struct smp_cpu *cpu)
{
	struct vcpu *v = &smp_vcpu[cpu->index];
	int held = GONE;

	v->cpu = cpu->index;
	while (!__atomic_load_n(&done, __ATOMIC_SEQ_CST)) {
		/* It comes into the VM, as the scheduler and the vendor have it. */
		__atomic_store_n(&v->state, VCPU_RUNNING, __ATOMIC_SEQ_CST);
		if (guest_mem_stale(&v->vm->mem))
			vcpu_request_self(v, VCPU_REQ_FLUSH);
		use_until_asked(cpu, v, &held);
		__atomic_store_n(&v->state, VCPU_HALTED, __ATOMIC_SEQ_CST);
		sched_yield();
	}
}

/* Not in the VM, but using its memory for moments. */
static void smp_visitor(struct smp_cpu *cpu)
{
	while (!__atomic_load_n(&done, __ATOMIC_SEQ_CST)) {
		int held;

		guest_mem_visit(&smp_vm.mem);
		held = __atomic_load_n(&page, __ATOMIC_SEQ_CST);
		for (unsigned n = smp_random(cpu, 400); n; n--) {
			CHECK(__atomic_load_n(&value[held], __ATOMIC_RELAXED) != GONE);
			if (n % 16 == 0)
				sched_yield();
		}
		guest_mem_leave(&smp_vm.mem);
		visits++;
	}
}

static void smp_mover(struct smp_cpu *cpu)
{
	for (unsigned i = 0; i < MOVES; i++) {
		int old = page, new = (old + 1) % PAGES;

		__atomic_store_n(&value[new], 0, __ATOMIC_SEQ_CST);
		__atomic_store_n(&page, new, __ATOMIC_SEQ_CST);
		__atomic_fetch_add(&smp_vm.mem.epoch, 1, __ATOMIC_SEQ_CST);
		vm_flush(&smp_vm, NULL);
		__atomic_store_n(&value[old], GONE, __ATOMIC_SEQ_CST);
		if (smp_random(cpu, 4) == 0)
			sched_yield();
	}
	__atomic_store_n(&done, true, __ATOMIC_SEQ_CST);
}

static void flush_among_threads(void **state __unused)
{
	static void (*const run[])(struct smp_cpu * cpu) = {smp_runner, smp_runner,  smp_runner,
							    smp_mover,	smp_visitor, NULL};

	smp_vm = (struct vm){.settings.cpus = ARRAY_SIZE(smp_vcpu), .mem.epoch = 1};
	for (unsigned i = 0; i < ARRAY_SIZE(smp_vcpu); i++) {
		smp_vcpu[i] = (struct vcpu){.vm = &smp_vm, .id = i};
		smp_vm.vcpu[i] = &smp_vcpu[i];
	}
	page = 0;
	done = false;
	uses = 0;
	value[0] = 0;
	value[1] = GONE;
	smp_run(run, 11);
	assert_true(uses > MOVES);
	assert_true(visits > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(created_once, setup),
		cmocka_unit_test_setup(starts_its_first_vcpu, setup),
		cmocka_unit_test_setup(first_reason_wins, setup_running),
		cmocka_unit_test_setup(reaped_when_all_are_off, setup_running),
		cmocka_unit_test_setup(reset_starts_again, setup_running),
		cmocka_unit_test_setup(restarts_are_apart, setup_running),
		cmocka_unit_test_setup(stopped_while_it_rests, setup_running),
		cmocka_unit_test_setup(deferred_work, setup_running),
		cmocka_unit_test_setup(what_an_exit_is_for, setup_running),
		cmocka_unit_test_setup(flush_waits_for_nobody, setup_running),
		cmocka_unit_test_setup(flush_leaves_itself_alone, setup_running),
		cmocka_unit_test_setup(flush_waits_for_those_that_run, setup_running),
		cmocka_unit_test_setup(flush_waits_for_both_signs, setup_running),
		cmocka_unit_test_setup(flush_asks_again, setup_running),
		cmocka_unit_test_setup(flush_waits_no_longer_than_it_runs, setup_running),
		cmocka_unit_test_setup(begun_only, setup_running),
		cmocka_unit_test_setup(flush_among_threads, setup_running),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
