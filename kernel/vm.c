/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtual machines: creation, start, stop, and why they stopped. */
#include "socle/kernel/log.h"
#include "socle/kernel/machine.h"
#include "socle/kernel/sched.h"
#include "socle/kernel/vm.h"
#include "socle/string.h"

static struct vm *vms[VM_MAX];
static unsigned count;
static unsigned stopping; /* VMs in that state; atomic */
static const struct vm_ops *ops;

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
	};

	return texts[vm->state];
}

status_t vm_create(const struct vm_settings *settings)
{
	struct vm *vm;
	status_t status;

	if (vm_find(settings->name))
		return -S_EXIST;
	if (count == VM_MAX)
		return -S_NOSPC;
	vm = pages_alloc(sizeof(*vm), OWNER_VM_CORE);
	if (!vm)
		return -S_NOMEM;
	vm->settings = *settings;
	vm->id = count;
	vm->mem.owner = OWNER_VM + 2 * count;
	spinlock_init(&vm->lock, "vm", LOCK_STOP);
	spinlock_init(&vm->chips, "chips", LOCK_CHIPS);
	status = io_bus_init(&vm->io, &vm->chips);
	if (!status)
		status = ops->create(vm);
	if (!status)
		status = sched_add(vm);
	if (status) {
		if (vm->io.port_map)
			io_bus_free(&vm->io);
		pages_free(vm, sizeof(*vm), OWNER_VM_CORE);
		return status;
	}
	vms[count++] = vm;
	return 0;
}

status_t vm_start(struct vm *vm)
{
	status_t status;

	if (vm->state != VM_STOPPED)
		return -S_BUSY;
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
	vm_log(vm, LOG_INFO, "started: %u CPU%s, %u MiB", vm->settings.cpus,
	       vm->settings.cpus == 1 ? "" : "s", (unsigned)(vm->settings.memory / MiB));
	vm->starts++;
	__atomic_store_n(&vm->state, VM_RUNNING, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < vm->settings.cpus; i++)
		sched_start(vm->vcpu[i]);
	/* The others wait for a start-up IPI. */
	vcpu_request(vm->vcpu[0], VCPU_REQ_EVENT);
	return 0;
}

/*
 * Begins the stop of a running VM, with its lock held until end_stop(), so that the reason is
 * complete before the boot CPU reads it. The first reason given wins: false for the others.
 */
static bool begin_stop(struct vm *vm, enum vm_exit why)
{
	spin_lock(&vm->lock);
	if (vm->state != VM_RUNNING) {
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

/* @v's CPU may hold translations, or pointers, that are no longer good. */
static bool is_stale(const struct vcpu *v)
{
	if (__atomic_load_n(&v->state, __ATOMIC_SEQ_CST) != VCPU_RUNNING)
		return false;
	return (__atomic_load_n(&v->requests, __ATOMIC_SEQ_CST) & VCPU_REQ_FLUSH) ||
	       !guest_mem_seen_by(&v->vm->mem, __atomic_load_n(&v->cpu, __ATOMIC_RELAXED));
}

void vm_flush_begin(struct vm *vm, struct vcpu *self)
{
	/* Those that do not run will flush before they do. */
	for (unsigned i = 0; i < vm->settings.cpus; i++) {
		if (vm->vcpu[i] == self)
			vcpu_request_self(self, VCPU_REQ_FLUSH);
		else
			vcpu_request(vm->vcpu[i], VCPU_REQ_FLUSH);
	}
}

void vm_flush(struct vm *vm, struct vcpu *self)
{
	vm_flush_begin(vm, self);
	for (unsigned i = 0; i < vm->settings.cpus; i++) {
		struct vcpu *v = vm->vcpu[i];

		while (v != self && is_stale(v)) {
			/* It may have used the page again since it flushed. */
			vcpu_request(v, VCPU_REQ_FLUSH);
			__asm__ volatile("pause");
		}
	}
}

static void announce(struct vm *vm)
{
	if (vm->reset_pending) {
		vm_log(vm, LOG_INFO, "reset");
		return;
	}
	switch (vm->exit) {
	case VM_EXIT_POWEROFF:
		vm_log(vm, LOG_INFO, "stopped: powered off by the guest");
		break;
	case VM_EXIT_DEBUG:
		vm_log(vm, LOG_INFO, "stopped: debug-exit, status %d", vm->exit_status);
		break;
	case VM_EXIT_STOPPED:
		vm_log(vm, LOG_INFO, "stopped: by the administrator");
		break;
	case VM_EXIT_CRASHED:
		vm_log(vm, LOG_ERROR, "stopped: killed: %s", vm->exit_reason);
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

static void finish_stop(struct vm *vm)
{
	bool again = vm->reset_pending;

	announce(vm);
	ops->stop(vm);
	__atomic_sub_fetch(&stopping, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&vm->state, VM_STOPPED, __ATOMIC_RELEASE);
	switch (vm->settings.on_exit) {
	case VM_ON_EXIT_STOP:
		break;
	case VM_ON_EXIT_RESTART:
		/* A crash at once would loop: the administrator decides about those. */
		again = again || vm->exit == VM_EXIT_POWEROFF || vm->exit == VM_EXIT_DEBUG;
		break;
	case VM_ON_EXIT_POWEROFF:
		if (!again)
			machine_poweroff(machine_status(vm));
		break;
	case VM_ON_EXIT_REBOOT:
		if (!again)
			machine_reboot();
		break;
	}
	if (again && vm_start(vm))
		vm_log(vm, LOG_ERROR, "could not be started again");
}

/* Takes its vCPUs off their CPUs; false while some are still on their way. */
static bool take_off(struct vm *vm)
{
	bool off = true;

	for (unsigned i = 0; i < vm->settings.cpus; i++)
		off = sched_remove(vm->vcpu[i]) && off;
	return off;
}

void vm_reap(void)
{
	if (likely(!__atomic_load_n(&stopping, __ATOMIC_SEQ_CST)))
		return;
	for (unsigned i = 0; i < count; i++)
		if (__atomic_load_n(&vms[i]->state, __ATOMIC_SEQ_CST) == VM_STOPPING &&
		    take_off(vms[i]))
			finish_stop(vms[i]);
	/* The others are still on their way: again before the next vCPU. */
	if (__atomic_load_n(&stopping, __ATOMIC_SEQ_CST))
		sched_kick();
}
