/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands about guests: list, life cycle, console, counters. */
#include "mux.h"
#include "shell.h"
#include "socle/console/command.h"
#include "socle/kernel/vm.h"
#include "socle/stats.h"

struct vm *command_vm(const struct command_call *call)
{
	struct vm *vm = vm_find(call->argv[0]);
	const char *before = ", the guests are: ";

	if (vm)
		return vm;
	format_sink(call->out, "no guest \"%s\"", call->argv[0]);
	if (!vm_next(NULL))
		before = ", there are none";
	for (vm = vm_next(NULL); vm; vm = vm_next(vm)) {
		format_sink(call->out, "%s%s", before, vm->settings.name);
		before = ", ";
	}
	format_sink(call->out, "%s\n", vm_next(NULL) ? "" : before);
	return NULL;
}

/* How the guest's last life ended, as text in @buf. */
static const char *exit_text(const struct vm *vm, char *buf, size_t size)
{
	switch (vm->exit) {
	case VM_EXIT_NONE:
		return "";
	case VM_EXIT_POWEROFF:
		return "turned itself off";
	case VM_EXIT_DEBUG:
		format(buf, size, "exit status %d", vm->exit_status);
		return buf;
	case VM_EXIT_STOPPED:
		return "stopped by the administrator";
	case VM_EXIT_CRASHED:
		format(buf, size, "killed: %s", vm->exit_reason);
		return buf;
	}
	return "?";
}

static void vm_list(const struct command_call *call)
{
	char reason[sizeof(((struct vm *)0)->exit_reason) + 16];

	if (!vm_next(NULL)) {
		format_sink(call->out, "no guests are configured\n");
		return;
	}
	format_sink(call->out, "%-16s %-10s %4s %8s %6s  %s\n", "NAME", "STATE", "CPUS", "MEMORY",
		    "STARTS", "LAST EXIT");
	for (struct vm *vm = vm_next(NULL); vm; vm = vm_next(vm))
		format_sink(call->out, "%-16s %-10s %4u %7luM %6u  %s\n", vm->settings.name,
			    vm_state_text(vm), vm->settings.cpus, vm->settings.memory >> 20,
			    vm->starts, exit_text(vm, reason, sizeof(reason)));
}
CONSOLE_COMMAND(vm_list, .name = "vm list", .args = "", .run = vm_list,
		.help = "list all guests with their states");

/* As the lines of socle.conf. */
static void show_msr_filter(const struct command_call *call, const struct vm_msr_filter *filter)
{
	static const char *const directions[] = {"", "read", "write", "read-write"};

	if (filter->deny)
		format_sink(call->out, "msr = default deny\n");
	for (unsigned i = 0; i < filter->count; i++) {
		const struct vm_msr_range *r = &filter->range[i];

		format_sink(call->out, "msr = %s 0x%x-0x%x %s\n", r->allow ? "allow" : "deny",
			    r->first, r->last, directions[r->access & 3]);
	}
}

static void show_devices(const struct command_call *call, const struct vm_settings *s)
{
	format_sink(call->out, "rng = %s\n", s->rng ? "yes" : "no");
	for (unsigned i = 0; i < s->disk_count; i++) {
		const struct vm_disk *d = &s->disks[i];

		if (d->module[0])
			format_sink(call->out, "disk = %s%s%s\n", d->host ? "host " : "", d->module,
				    d->read_only ? " ro" : "");
		else
			format_sink(call->out, "disk = memory %luM\n", d->size >> 20);
	}
	for (unsigned i = 0; i < s->net_count; i++)
		format_sink(call->out, "net = %s\n", s->nets[i].network);
	if (s->vsock_cid)
		format_sink(call->out, "vsock = %s%s cid %u\n",
			    s->vsock_group[0] ? "local:" : "global", s->vsock_group, s->vsock_cid);
}

static void vm_show(const struct command_call *call)
{
	static const char *const on_exit[] = {
		[VM_ON_EXIT_STOP] = "stop",
		[VM_ON_EXIT_RESTART] = "restart",
		[VM_ON_EXIT_POWEROFF] = "poweroff",
		[VM_ON_EXIT_REBOOT] = "reboot",
	};
	struct vm *vm = command_vm(call);
	const struct vm_settings *s;

	if (!vm)
		return;
	s = &vm->settings;
	format_sink(call->out, "state = %s\nkernel = %s\n", vm_state_text(vm), s->kernel);
	if (s->initrd[0])
		format_sink(call->out, "initrd = %s\n", s->initrd);
	for (unsigned i = 0; i < s->module_count; i++)
		format_sink(call->out, "module = %s %s\n", s->modules[i].name,
			    s->modules[i].string);
	format_sink(call->out, "cmdline = %s\nmemory = %luM\ncpus = %u\n", s->cmdline,
		    s->memory >> 20, s->cpus);
	show_devices(call, s);
	format_sink(call->out, "console = %s\nautostart = %s\non-exit = %s\n",
		    s->virtio_console ? "virtio"
		    : s->console      ? "yes"
				      : "no",
		    s->autostart ? "yes" : "no", on_exit[s->on_exit]);
	if (s->debug_exit)
		format_sink(call->out, "debug-exit = 0x%x\n", s->debug_exit);
	show_msr_filter(call, &s->msr);
}
CONSOLE_COMMAND(vm_show, .name = "vm show", .args = "NAME", .run = vm_show,
		.help = "show a guest's settings");

/* Says that a guest is not in the state that a command needs. */
static void wrong_state(const struct command_call *call, const struct vm *vm)
{
	format_sink(call->out, "busy: %s is %s\n", vm->settings.name, vm_state_text(vm));
}

static void vm_start_command(const struct command_call *call)
{
	struct vm *vm = command_vm(call);
	status_t status;

	if (!vm)
		return;
	if (vm->state != VM_STOPPED) {
		wrong_state(call, vm);
		return;
	}
	status = vm_start(vm);
	if (status)
		format_sink(call->out, "%s did not start: %s\n", vm->settings.name,
			    status_text(status));
}
CONSOLE_COMMAND(vm_start, .name = "vm start", .args = "NAME", .run = vm_start_command,
		.help = "start a stopped guest, from clean memory");

static void vm_stop_command(const struct command_call *call)
{
	struct vm *vm = command_vm(call);

	if (vm && vm_stop(vm))
		wrong_state(call, vm);
}
CONSOLE_COMMAND(vm_stop, .name = "vm stop", .args = "NAME", .run = vm_stop_command,
		.help = "turn a guest off at once, as if its power was cut");
CONSOLE_COMMAND(vm_kill, .name = "vm kill", .args = "NAME", .run = vm_stop_command,
		.help = "the same as vm stop");

static void vm_reset_command(const struct command_call *call)
{
	struct vm *vm = command_vm(call);

	if (!vm)
		return;
	if (vm->state != VM_RUNNING)
		wrong_state(call, vm);
	else
		vm_reset(vm);
}
CONSOLE_COMMAND(vm_reset, .name = "vm reset", .args = "NAME", .run = vm_reset_command,
		.help = "restart a running guest, as by its reset button");

static void console_command(const struct command_call *call)
{
	struct vm *vm = command_vm(call);
	struct guest_console *guest;

	if (!vm)
		return;
	guest = mux_find(vm);
	if (guest)
		mux_switch(guest);
	else
		format_sink(call->out, "%s has no console, set \"console = yes\" in socle.conf\n",
			    vm->settings.name);
}
CONSOLE_COMMAND(console, .name = "console", .args = "NAME", .run = console_command,
		.help = "put a guest's console on this line; Ctrl-] leads back");

static void stats_command(const struct command_call *call)
{
	const struct stat_source *const *pos;
	struct vm *vm = command_vm(call);

	if (!vm)
		return;
	section_for_each (pos, stat_sources) {
		format_sink(call->out, "%s:\n", (*pos)->title);
		(*pos)->print(vm, call->out);
	}
}
CONSOLE_COMMAND(stats, .name = "stats", .args = "NAME", .run = stats_command,
		.help = "show what was counted for a guest, such as exits by reason");
