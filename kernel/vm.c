/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtual machines: creation, start, stop, and why they stopped. */
#include "socle/kernel/log.h"
#include "socle/kernel/machine.h"
#include "socle/kernel/sched.h"
#include "socle/kernel/vm.h"
#include "socle/string.h"

/*
 * A guest may reset itself as often as it likes, or turn itself off where that starts it again.
 * Each time the boot CPU gives back its memory and loads its image anew, which nobody pays for. One
 * that lived for less than this rests for as long, so that between any two of these the boot CPU
 * has that time for others; and the log has at most ten of them in a second. It is not so long that
 * who resets a machine by hand would notice.
 */
#define RESTART_REST (100 * NS_PER_MS)

static struct vm *vms[VM_MAX];
static unsigned count;
static unsigned stopping; /* VMs in that state; atomic */
static bool rested;	  /* a VM may start again; the boot CPU's and its interrupts' */
static const struct vm_ops *ops;

static void work_due(struct timer *t)
{
	vcpu_request(container_of(t, struct vcpu, work_due), VCPU_REQ_LEAVE);
}

void vcpu_work_init(struct vcpu *vcpu)
{
	timer_init(&vcpu->work_due, work_due);
}

void vm_bind(const struct vm_ops *o)
{
	ops = o;
}

struct vm *vm_find(const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (!strcmp(vms[i]->settings.name, name))
			return vms[i];
	return NULL;
}

struct vm *vm_next(struct vm *vm)
{
	unsigned i = vm ? vm->id + 1 : 0;

	return i < count ? vms[i] : NULL;
}

const char *vm_state_text(const struct vm *vm)
{
	static const char *const texts[] = {
		[VM_STOPPED] = "stopped",
		[VM_RUNNING] = "running",
		[VM_STOPPING] = "stopping",
		[VM_RESTARTING] = "restarting",
	};

	return texts[vm->state];
}

static void restart_due(struct timer *t)
{
	WRITE_ONCE(rested, true);
	sched_kick();
}

static status_t create(const struct vm_settings *settings)
{
	struct vm *vm = pages_alloc(sizeof(*vm), OWNER_VM_CORE);
	status_t status;

	if (!vm)
		return -S_NOMEM;
	vm->settings = *settings;
	vm->id = count;
	vm->mem.owner = OWNER_VM + 2 * count;
	spinlock_init(&vm->lock, "vm", LOCK_STOP);
	spinlock_init(&vm->chips, "chips", LOCK_CHIPS);
	timer_init(&vm->restart, restart_due);
	status = io_bus_init(&vm->io, &vm->chips);
	if (!status)
		status = ops->create(vm);
	if (status) {
		io_bus_free(&vm->io);
		return status;
	}
	sched_add(vm);
	vms[count++] = vm;
	return 0;
}

status_t vm_create(const struct vm_settings *settings)
{
	status_t status;

	if (vm_find(settings->name))
		return -S_EXIST;
	if (count == VM_MAX)
		return -S_NOSPC;
	/* Its parts come from many rooms, and go only if this fails: all at once, at the end. */
	pages_note(OWNER_VM_CORE);
	status = create(settings);
	if (status)
		pages_free_noted();
	else
		pages_keep_noted();
	return status;
}

static status_t start(struct vm *vm, bool again)
{
	status_t status;

	vm->frozen = true;
	vm->exit = VM_EXIT_NONE;
	vm->exit_status = 0;
	vm->exit_reason[0] = 0;
	vm->reset_pending = false;
	status = ops->start(vm);
	if (status) {
		ops->stop(vm);
		vm->exit = VM_EXIT_CRASHED;
		str_copy(vm->exit_reason, sizeof(vm->exit_reason), "did not start");
		return status;
	}
	/* That it starts again was said at its end. */
	if (!again)
		vm_log(vm, LOG_INFO, "started: %u CPU%s, %u MiB", vm->settings.cpus,
		       vm->settings.cpus == 1 ? "" : "s", (unsigned)(vm->settings.memory / MiB));
	vm->starts++;
	__atomic_store_n(&vm->state, VM_RUNNING, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < vm->settings.cpus; i++)
		sched_start(vm->vcpu[i]);
	/* The others wait for a start-up IPI. */
	vcpu_request(vm->vcpu[0], VCPU_REQ_EVENT);
	vm->ready_at = time_now();
	return 0;
}

status_t vm_start(struct vm *vm)
{
	return vm->state == VM_STOPPED ? start(vm, false) : -S_BUSY;
}

/*
 * Begins the stop of a running VM, with its lock held until end_stop(), so that the reason is
 * complete before the boot CPU reads it. The first reason given wins: false for the others. Only
 * the administrator can stop one that is about to start again.
 */
static bool begin_stop(struct vm *vm, enum vm_exit why)
{
	spin_lock(&vm->lock);
	if (vm->state != VM_RUNNING && !(vm->state == VM_RESTARTING && why == VM_EXIT_STOPPED)) {
		spin_unlock(&vm->lock);
		return false;
	}
	vm->exit = why;
	return true;
}

static void end_stop(struct vm *vm)
{
	__atomic_store_n(&vm->state, VM_STOPPING, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&stopping, 1, __ATOMIC_SEQ_CST);
	spin_unlock(&vm->lock);
	for (unsigned i = 0; i < vm->settings.cpus; i++)
		vcpu_request(vm->vcpu[i], VCPU_REQ_LEAVE);
	sched_poke(0);
}

void vm_poweroff(struct vm *vm)
{
	if (begin_stop(vm, VM_EXIT_POWEROFF))
		end_stop(vm);
}

void vm_debug_exit(struct vm *vm, int status)
{
	if (!begin_stop(vm, VM_EXIT_DEBUG))
		return;
	vm->exit_status = status;
	end_stop(vm);
}

void vm_reset(struct vm *vm)
{
	if (!begin_stop(vm, VM_EXIT_NONE))
		return;
	vm->reset_pending = true;
	end_stop(vm);
}

status_t vm_stop(struct vm *vm)
{
	if (!begin_stop(vm, VM_EXIT_STOPPED))
		return -S_BUSY;
	end_stop(vm);
	return 0;
}

void vm_kill(struct vm *vm, const char *fmt, ...)
{
	va_list args;

	if (!begin_stop(vm, VM_EXIT_CRASHED))
		return;
	va_start(args, fmt);
	format_v(vm->exit_reason, sizeof(vm->exit_reason), fmt, args);
	va_end(args);
	end_stop(vm);
}

/*
 * By itself, not by vm_log(), behind whose limit a guest that floods the log would hide its end. Of
 * these there are few: RESTART_REST.
 */
static void announce(struct vm *vm, bool again)
{
	const char *name = vm->settings.name, *then = again ? "; starts again" : "";

	if (vm->reset_pending) {
		log_info("vm %s: reset", name);
		return;
	}
	switch (vm->exit) {
	case VM_EXIT_POWEROFF:
		log_info("vm %s: stopped: powered off by the guest%s", name, then);
		break;
	case VM_EXIT_DEBUG:
		log_info("vm %s: stopped: debug-exit, status %d%s", name, vm->exit_status, then);
		break;
	case VM_EXIT_STOPPED:
		log_info("vm %s: stopped: by the administrator", name);
		break;
	case VM_EXIT_CRASHED:
		log_error("vm %s: stopped: killed: %s", name, vm->exit_reason);
		break;
	case VM_EXIT_NONE:
		break;
	}
}

/* What an emulator's debug-exit device is told: 0 only for a guest that ended well. */
static unsigned machine_status(const struct vm *vm)
{
	return vm->exit == VM_EXIT_DEBUG     ? (unsigned)vm->exit_status
	       : vm->exit == VM_EXIT_CRASHED ? 0x7f
					     : 0;
}

/* By itself: for what it did, or what it is set to. */
static bool starts_again(const struct vm *vm)
{
	/* A crash at once would loop: the administrator decides about those. */
	return vm->reset_pending || (vm->settings.on_exit == VM_ON_EXIT_RESTART &&
				     (vm->exit == VM_EXIT_POWEROFF || vm->exit == VM_EXIT_DEBUG));
}

static void start_again(struct vm *vm)
{
	__atomic_store_n(&vm->state, VM_STOPPED, __ATOMIC_RELEASE);
	if (start(vm, true))
		vm_log(vm, LOG_ERROR, "could not be started again");
}

static void finish_stop(struct vm *vm)
{
	bool short_life = time_now() - vm->ready_at < RESTART_REST, again = starts_again(vm);

	timer_cancel(&vm->restart);
	announce(vm, again);
	ops->stop(vm);
	vm->reset_pending = false;
	__atomic_sub_fetch(&stopping, 1, __ATOMIC_SEQ_CST);
	if (again && short_life) {
		__atomic_store_n(&vm->state, VM_RESTARTING, __ATOMIC_RELEASE);
		timer_set(&vm->restart, time_now() + RESTART_REST);
		return;
	}
	if (again) {
		start_again(vm);
		return;
	}
	__atomic_store_n(&vm->state, VM_STOPPED, __ATOMIC_RELEASE);
	if (vm->settings.on_exit == VM_ON_EXIT_POWEROFF)
		machine_poweroff(machine_status(vm));
	if (vm->settings.on_exit == VM_ON_EXIT_REBOOT)
		machine_reboot();
}

/* Takes its vCPUs off their CPUs; false while some are still on their way. */
static bool take_off(struct vm *vm)
{
	bool off = true;

	for (unsigned i = 0; i < vm->settings.cpus; i++)
		off = sched_remove(vm->vcpu[i]) && off;
	return off;
}

static void reap(struct vm *vm)
{
	switch (__atomic_load_n(&vm->state, __ATOMIC_SEQ_CST)) {
	case VM_STOPPING:
		if (take_off(vm))
			finish_stop(vm);
		break;
	case VM_RESTARTING:
		if (timer_claim(&vm->restart))
			start_again(vm);
		break;
	default:
		break;
	}
}

void vm_reap(void)
{
	if (likely(!__atomic_load_n(&stopping, __ATOMIC_SEQ_CST) && !READ_ONCE(rested)))
		return;
	WRITE_ONCE(rested, false);
	for (unsigned i = 0; i < count; i++)
		reap(vms[i]);
	/* The others are still on their way: again before the next vCPU. */
	if (__atomic_load_n(&stopping, __ATOMIC_SEQ_CST))
		sched_kick();
}
