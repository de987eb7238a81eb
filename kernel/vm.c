/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtual machines: creation, start, stop, and why they stopped. */
#include "socle/kernel/log.h"
#include "socle/kernel/machine.h"
#include "socle/kernel/sched.h"
#include "socle/kernel/vm.h"
#include "socle/string.h"

static struct vm *vms[VM_MAX];
static unsigned count;
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
	status = io_bus_init(&vm->io);
	if (!status)
		status = ops->create(vm);
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
	vm->state = VM_RUNNING;
	vm->starts++;
	vm_log(vm, LOG_INFO, "started: %u CPU%s, %u MiB", vm->settings.cpus,
	       vm->settings.cpus == 1 ? "" : "s", (unsigned)(vm->settings.memory / MiB));
	sched_wake(vm->vcpu[0]);
	return 0;
}

/* The first reason given wins. */
static bool begin_stop(struct vm *vm, enum vm_exit why)
{
	if (vm->state != VM_RUNNING)
		return false;
	vm->state = VM_STOPPING;
	vm->exit = why;
	for (unsigned i = 0; i < vm->settings.cpus; i++)
		if (vm->vcpu[i])
			vcpu_request(vm->vcpu[i], VCPU_REQ_LEAVE);
	return true;
}

void vm_poweroff(struct vm *vm)
{
	begin_stop(vm, VM_EXIT_POWEROFF);
}

void vm_debug_exit(struct vm *vm, int status)
{
	if (begin_stop(vm, VM_EXIT_DEBUG))
		vm->exit_status = status;
}

void vm_reset(struct vm *vm)
{
	if (begin_stop(vm, VM_EXIT_NONE))
		vm->reset_pending = true;
}

status_t vm_stop(struct vm *vm)
{
	return begin_stop(vm, VM_EXIT_STOPPED) ? 0 : -S_BUSY;
}

void vm_kill(struct vm *vm, const char *fmt, ...)
{
	va_list args;

	if (!begin_stop(vm, VM_EXIT_CRASHED))
		return;
	va_start(args, fmt);
	format_v(vm->exit_reason, sizeof(vm->exit_reason), fmt, args);
	va_end(args);
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

	for (unsigned i = 0; i < vm->settings.cpus; i++)
		if (vm->vcpu[i])
			sched_remove(vm->vcpu[i]);
	announce(vm);
	ops->stop(vm);
	vm->state = VM_STOPPED;
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

static bool any_running(const struct vm *vm)
{
	for (unsigned i = 0; i < vm->settings.cpus; i++)
		if (vm->vcpu[i] && vm->vcpu[i]->state == VCPU_RUNNING)
			return true;
	return false;
}

void vm_reap(void)
{
	for (unsigned i = 0; i < count; i++)
		if (vms[i]->state == VM_STOPPING && !any_running(vms[i]))
			finish_stop(vms[i]);
}
