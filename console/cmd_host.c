/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands about the machine and the hypervisor itself. */
#include "shell.h"
#include "socle/cpu/cpu.h"
#include "socle/cpu/features.h"
#include "socle/guest/lbr.h"
#include "socle/guest/pmu.h"
#include "socle/kernel/log.h"
#include "socle/kernel/machine.h"
#include "socle/kernel/sched.h"
#include "socle/kernel/time.h"
#include "socle/kernel/vm.h"
#include "socle/mm/frames.h"
#include "socle/string.h"
#include "socle/version.h"

/* True if @command's name is @words or begins with them. */
static bool is_about(const struct console_command *command, const char *words)
{
	size_t len = strlen(words);

	return strncmp(command->name, words, len) == 0 &&
	       (command->name[len] == '\0' || command->name[len] == ' ');
}

static void help(const struct command_call *call)
{
	const struct console_command *pos;
	unsigned shown = 0;

	for (pos = command_next(NULL); pos; pos = command_next(pos)) {
		char usage[48];

		if (call->argc && !is_about(pos, call->rest))
			continue;
		format(usage, sizeof(usage), "%s %s", pos->name, pos->args);
		format_sink(call->out, "  %-18s %s\n", usage, pos->help);
		shown++;
	}
	if (!shown)
		format_sink(call->out, "unknown command \"%s\", try \"help\"\n", call->rest);
	else if (!call->argc)
		format_sink(call->out, "Ctrl-] switches between this prompt and a guest, Tab "
				       "completes words.\n");
}
CONSOLE_COMMAND(help, .name = "help", .args = "[COMMAND] [WORD]", .run = help,
		.help = "list the commands, or explain one");

static void echo(const struct command_call *call)
{
	format_sink(call->out, "%s\n", call->rest);
}
CONSOLE_COMMAND(echo, .name = "echo", .args = "[TEXT...]", .run = echo,
		.help = "print the text, to find an answer's end in a script");

/* A sink of log lines that prints to a command's output. */
struct log_printer {
	struct log_sink sink;
	struct format_sink *out; /* of the command */
};

static void print_line(struct log_sink *sink, enum log_level level, const char *text, size_t len)
{
	struct log_printer *printer = container_of(sink, struct log_printer, sink);

	format_sink(printer->out, "%.*s\n", (int)len, text);
}

static void log_command(const struct command_call *call)
{
	struct log_printer printer = {.sink.line = print_line, .out = call->out};

	log_replay(&printer.sink);
}
CONSOLE_COMMAND(log, .name = "log", .args = "", .run = log_command,
		.help = "print the hypervisor's log again");

static void version(const struct command_call *call)
{
	format_sink(call->out, "Socle %s\n", SOCLE_VERSION);
}
CONSOLE_COMMAND(version, .name = "version", .args = "", .run = version,
		.help = "print the hypervisor's version");

static void features(const struct command_call *call)
{
	format_sink(call->out,
		    "%s, family %u model %u stepping %u, %u physical and %u linear bits\n",
		    cpu_info.brand, cpu_info.family, cpu_info.model, cpu_info.stepping,
		    cpu_info.phys_bits, cpu_info.linear_bits);
	for (int there = 1; there >= 0; there--) {
		format_sink(call->out, there ? "present:" : "missing:");
		for (unsigned i = 0; i < CPU_FEATURE_COUNT; i++) {
			if (cpu_has(i) == there)
				format_sink(call->out, " %s", cpu_feature_name(i));
		}
		format_sink(call->out, "\n");
	}
	if (lbr_offer.text)
		format_sink(call->out, "branch records of guests: %s\n", lbr_offer.text);
	if (pmu_offer.text)
		format_sink(call->out, "performance counters of guests: %s\n", pmu_offer.text);
}
CONSOLE_COMMAND(features, .name = "features", .args = "", .run = features,
		.help = "show which CPU features of interest there are");

static void print_memory(const struct command_call *call, const char *who, uint64_t bytes)
{
	format_sink(call->out, "  %-24s %10lu KiB\n", who, bytes / 1024);
}

static void mem(const struct command_call *call)
{
	struct frames_account account;

	frames_account_read(&account);
	print_memory(call, "total", account.total);
	print_memory(call, "free, zeroed", account.held[OWNER_FREE] - account.dirty);
	print_memory(call, "free, to be zeroed", account.dirty);
	print_memory(call, "core", account.held[OWNER_CORE]);
	print_memory(call, "page tables", account.held[OWNER_PAGING]);
	print_memory(call, "guests' virtual machines", account.held[OWNER_VM_CORE]);
	for (struct vm *vm = vm_next(NULL); vm; vm = vm_next(vm)) {
		char who[VM_NAME_MAX + 8];

		format(who, sizeof(who), "%s: RAM", vm->settings.name);
		print_memory(call, who, account.held[vm->mem.owner]);
		format(who, sizeof(who), "%s: tables", vm->settings.name);
		print_memory(call, who, account.held[vm->mem.owner + 1]);
	}
	if (account.missing)
		format_sink(call->out, "  %-24s %10ld KiB\n", "missing",
			    account.missing / (long)KiB);
}
CONSOLE_COMMAND(mem, .name = "mem", .args = "", .run = mem,
		.help = "show who holds how much of the machine's memory");

static void cpu_command(const struct command_call *call)
{
	for (unsigned i = 0; i < cpu_count; i++) {
		const struct cpu *cpu = all_cpus[i];

		format_sink(call->out,
			    "cpu%u: APIC ID %u, %llu ms idle, interrupts: timer %u, kick %u\n", i,
			    cpu->apic_id, (unsigned long long)(sched_idle_ns(i) / NS_PER_MS),
			    cpu->interrupts[HOST_VEC_TIMER], cpu->interrupts[HOST_VEC_KICK]);
	}
#ifdef LOCK_DEBUG
	format_sink(call->out, "longest that a lock was held: %lu TSC ticks, %s\n", lock_longest,
		    lock_longest_name);
#endif
}
CONSOLE_COMMAND(cpu, .name = "cpu", .args = "", .run = cpu_command,
		.help = "show the processors in use");

static void sched_command(const struct command_call *call)
{
	for (unsigned i = 0; i < cpu_count; i++)
		sched_print(i, call->out);
	for (struct vm *vm = vm_next(NULL); vm; vm = vm_next(vm))
		sched_print_vm(vm, call->out);
}
CONSOLE_COMMAND(sched, .name = "sched", .args = "", .run = sched_command,
		.help = "show the scheduler's queues, and each guest's vCPUs");

static void poweroff(const struct command_call *call)
{
	uint64_t status = 0;

	if (call->argc &&
	    (!parse_u64(call->argv[0], strlen(call->argv[0]), &status) || status > 255)) {
		format_sink(call->out, "bad status \"%s\", use a number from 0 to 255\n",
			    call->argv[0]);
		return;
	}
	machine_poweroff((unsigned)status);
}
CONSOLE_COMMAND(poweroff, .name = "poweroff", .args = "[STATUS]", .run = poweroff,
		.help = "turn the whole machine off");

static void reboot(const struct command_call *call)
{
	machine_reboot();
}
CONSOLE_COMMAND(reboot, .name = "reboot", .args = "", .run = reboot,
		.help = "reset the whole machine");
