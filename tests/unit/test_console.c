/* SPDX-License-Identifier: BSD-2-Clause */
/* The console as a user sees it: editing, commands, switching, log lines, noise. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/format.c"
#include "../../lib/status.c"
#include "../../lib/string.c"
#include "../../console/tty.c"
#include "../../console/line.c"
#include "../../console/mux.c"
#include "../../console/shell.c"
#include "../../console/console.c"
#include "../../console/cmd_host.c"
#include "../../console/cmd_terminal.c"
#include "../../console/cmd_vm.c"

/*
 * A dumb terminal of endless lines: knows CR, LF, BS and BEL, and fails on all else unless it is to
 * take anything.
 */
#define ROWS 4096
static char screen[ROWS][512];
static unsigned row, column, bells;
static bool any_bytes;

static void terminal_clear(void)
{
	memset(screen, 0, sizeof(screen));
	row = column = bells = 0;
}

static void terminal_put(uint8_t c)
{
	if (c == '\r')
		column = 0;
	else if (c == '\n')
		row = (row + 1) % ROWS;
	else if (c == '\a')
		bells++;
	else if (c == '\b' && column)
		column--;
	else if (c >= ' ' && c < 0x7f && column < sizeof(screen[0]) - 1) {
		/* What the cursor jumped over is blank. */
		for (unsigned i = 0; i < column; i++)
			screen[row][i] = screen[row][i] ? screen[row][i] : ' ';
		screen[row][column++] = (char)c;
	} else if (!any_bytes) {
		fail_msg("byte 0x%02x went to the terminal", c);
	}
}

static size_t out_room = SIZE_MAX;

static void out_write(struct console_out *out, const char *text, size_t len)
{
	(void)out;
	for (size_t i = 0; i < len; i++)
		terminal_put((uint8_t)text[i]);
	if (out_room != SIZE_MAX)
		out_room -= MIN(len, out_room);
}

static size_t room(struct console_out *out)
{
	(void)out;
	return out_room;
}

static struct console_out out = {.write = out_write, .room = room};

/* A line of the screen without blanks at its end; @back 0: the one of the cursor. */
static const char *shown(unsigned back)
{
	static char text[512];
	size_t len;

	strcpy(text, screen[(row + ROWS - back) % ROWS]);
	for (len = strlen(text); len && text[len - 1] == ' ';)
		text[--len] = '\0';
	return text;
}

/* The core below the console. */
static struct log_sink *log_to;
static struct vm vms[2] = {
	{.settings = {.name = "linux",
		      .memory = 512 * MiB,
		      .cpus = 1,
		      .kernel = "vmlinuz",
		      .console = true}},
	{.settings = {.name = "other", .memory = 1 * MiB, .cpus = 2, .debug_exit = 0xf4}, .id = 1},
};
static unsigned vm_count = 2;
static char called[64]; /* the last life-cycle call */
static jmp_buf machine_gone;
struct cpu_info cpu_info = {.brand = "Test CPU", .feature = {[CPU_SVM] = true}};
struct lbr_offer lbr_offer;
struct pmu_offer pmu_offer;

void log_bind(struct log_sink *sink)
{
	log_to = sink;
}

static void say(enum log_level level, const char *text)
{
	log_to->line(log_to, level, text, strlen(text));
}

void log_replay(struct log_sink *sink)
{
	sink->line(sink, LOG_INFO, "an old line", 11);
}

struct vm *vm_next(struct vm *vm)
{
	unsigned i = vm ? vm->id + 1 : 0;

	return i < vm_count ? &vms[i] : NULL;
}

struct vm *vm_find(const char *name)
{
	for (unsigned i = 0; i < vm_count; i++) {
		if (strcmp(name, vms[i].settings.name) == 0)
			return &vms[i];
	}
	return NULL;
}

const char *vm_state_text(const struct vm *vm)
{
	return vm->state == VM_RUNNING	 ? "running"
	       : vm->state == VM_STOPPED ? "stopped"
					 : "stopping";
}

status_t vm_start(struct vm *vm)
{
	snprintf(called, sizeof(called), "start %s", vm->settings.name);
	vm->state = VM_RUNNING;
	say(LOG_INFO, "vm started");
	return 0;
}

status_t vm_stop(struct vm *vm)
{
	if (vm->state != VM_RUNNING)
		return -S_BUSY;
	snprintf(called, sizeof(called), "stop %s", vm->settings.name);
	vm->state = VM_STOPPED;
	vm->exit = VM_EXIT_STOPPED;
	return 0;
}

void vm_reset(struct vm *vm)
{
	snprintf(called, sizeof(called), "reset %s", vm->settings.name);
}

void machine_poweroff(unsigned status)
{
	snprintf(called, sizeof(called), "poweroff %u", status);
	longjmp(machine_gone, 1);
}

void machine_reboot(void)
{
	snprintf(called, sizeof(called), "reboot");
	longjmp(machine_gone, 1);
}

const char *cpu_feature_name(enum cpu_feature f)
{
	return f == CPU_SVM ? "svm" : "none";
}

static int64_t lost; /* in the account */

void frames_account_read(struct frames_account *account)
{
	*account = (struct frames_account){
		.total = 8 * MiB, .held = {4 * MiB, 2 * MiB}, .dirty = 3 * MiB, .missing = lost};
}

static struct cpu cpus[2] = {
	{.apic_id = 4, .interrupts = {[HOST_VEC_TIMER] = 10, [HOST_VEC_KICK] = 11}},
	{.id = 1, .apic_id = 6, .interrupts = {[HOST_VEC_TIMER] = 12, [HOST_VEC_KICK] = 13}},
};
struct cpu *all_cpus[CPU_MAX] = {&cpus[0], &cpus[1]};
unsigned cpu_count = 2;
static unsigned pokes; /* of the boot CPU */

uint64_t sched_idle_ns(unsigned cpu)
{
	return (cpu + 7) * NS_PER_MS + 999999;
}

void sched_print(unsigned cpu, struct format_sink *sink)
{
	format_sink(sink, "cpu%u's queue\n", cpu);
}

void sched_print_vm(struct vm *vm, struct format_sink *sink)
{
	format_sink(sink, "vCPUs of %s\n", vm->settings.name);
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

static uint64_t now;
static bool claimable = true; /* what timer_claim() says */

uint64_t time_now(void)
{
	return now;
}

void timer_init(struct timer *t, void (*fire)(struct timer *timer))
{
	t->fire = fire;
}

void timer_set(struct timer *t, uint64_t expires)
{
	assert_true(vms[0].chips.held);
	t->slot = 1;
	t->expires = expires;
}

bool timer_claim(struct timer *t)
{
	assert_true(vms[0].chips.held);
	return claimable;
}

static void print_exits(struct vm *vm, struct format_sink *sink)
{
	format_sink(sink, "  cpuid %u\n", vm->starts + 7);
}
STAT_SOURCE(exits, .title = "exits", .print = print_exits);

/* The guest's UART: takes some bytes at a time. */
static struct uart uart;
static struct guest_console guest;

/* Its virtio console, which counts what it is told. */
struct virtio_console {
	struct virtio_console_sink *sink;
	bool open;
	unsigned rx_ready, tx_ready;
};
static struct virtio_console virtio, *guest_virtio;

void virtio_console_connect(struct virtio_console *console, struct virtio_console_sink *sink)
{
	console->sink = sink;
}

bool virtio_console_open(const struct virtio_console *console)
{
	return console->open;
}

void virtio_console_rx_ready(struct virtio_console *console)
{
	assert_true(vms[0].chips.held);
	console->rx_ready++;
}

void virtio_console_tx_ready(struct virtio_console *console)
{
	assert_true(vms[0].chips.held);
	console->tx_ready++;
}

static unsigned resized;

void virtio_console_resize(struct virtio_console *console, uint16_t cols, uint16_t lines)
{
	assert_ptr_equal(console, guest_virtio);
	resized = cols * 1000u + lines;
}

static char typed[8192];
static size_t typed_len, uart_takes = SIZE_MAX;
static unsigned tx_ready;

void uart_connect(struct uart *u, struct uart_sink *sink)
{
	assert_true(vms[0].chips.held);
	u->sink = sink;
}

size_t uart_receive(struct uart *u, const uint8_t *data, size_t len)
{
	size_t n = MIN(len, uart_takes);

	assert_ptr_equal(u, &uart);
	assert_true(vms[0].chips.held);
	assert_true(typed_len + n <= sizeof(typed));
	memcpy(typed + typed_len, data, n);
	typed_len += n;
	if (uart_takes != SIZE_MAX)
		uart_takes -= n;
	if (n && u->sink->rx_room)
		u->sink->rx_room(u->sink); /* may call back at once */
	return n;
}

void uart_tx_ready(struct uart *u)
{
	assert_ptr_equal(u, &uart);
	assert_true(vms[0].chips.held);
	tx_ready++;
}

/* By its UART, whose VM's lock is held. */
static bool guest_puts(uint8_t byte)
{
	bool taken;

	spin_lock(&vms[0].chips);
	taken = guest.sink.put(&guest.sink, byte);
	spin_unlock(&vms[0].chips);
	return taken;
}

static void guest_reads(void)
{
	spin_lock(&vms[0].chips);
	guest.sink.rx_room(&guest.sink);
	spin_unlock(&vms[0].chips);
}

static bool guest_prints(const char *text)
{
	for (; *text; text++) {
		if (!guest_puts((uint8_t)*text))
			return false;
	}
	return true;
}

static void type(const char *text)
{
	for (; *text; text++)
		console_input((uint8_t)*text);
}

/* A console at its prompt, one guest with a console, both guests stopped. */
static int fresh(void **state)
{
	(void)state;
	terminal_clear();
	any_bytes = false;
	out_room = uart_takes = SIZE_MAX;
	typed_len = tx_ready = pokes = 0;
	test_cpu_index = 0;
	called[0] = '\0';
	vm_count = 2;
	for (unsigned i = 0; i < 2; i++) {
		assert_false(vms[i].chips.held);
		vms[i].state = VM_STOPPED;
		vms[i].exit = VM_EXIT_NONE;
		vms[i].mem.owner = OWNER_VM + 2 * i;
	}
	memset(&editor, 0, sizeof(editor));
	editor.prompt = "socle> ";
	memset(&guest, 0, sizeof(guest));
	guests = front = last = NULL;
	busy = running = false;
	at_start = true;
	console_init(&out);
	console_add_guest(&guest, &vms[0], &uart, guest_virtio);
	console_run();
	assert_string_equal(shown(0), "socle>");
	return 0;
}

static void line_is(const char *expected, unsigned cursor)
{
	char text[512];
	int len = snprintf(text, sizeof(text), "socle> %s", expected);

	while (text[len - 1] == ' ')
		text[--len] = '\0';
	assert_string_equal(shown(0), text);
	assert_int_equal(column, 7 + cursor);
	assert_string_equal(editor.text, expected);
}

static void test_editing(void **state)
{
	(void)state;
	type("echo one two");
	line_is("echo one two", 12);
	type("\x01X\x05Y");
	line_is("Xecho one twoY", 14);
	type("\x1b[D\x1b[D\x1b[D\x7f\b");
	line_is("Xecho onewoY", 9);
	type("\x1b[3~");
	line_is("Xecho oneoY", 9);
	type("\x17");
	line_is("Xecho oY", 6);
	type("\x0b");
	line_is("Xecho ", 6);
	type("\x1b[Hab\x1b[C\x1b[Fz");
	line_is("abXecho z", 9);
	type("\x1bOD\x1bOD\x15");
	line_is(" z", 0);
	type("\x03");
	line_is("", 0);
	assert_int_equal(bells, 0);
	type("\b\x7f\x04\x1b[B\x1b[A");
	line_is("", 0);
	assert_int_equal(bells, 5);
}

static void test_escapes(void **state)
{
	(void)state;
	/* Keys that mean nothing leave nothing: F5, Alt-x, a mouse report's start, a cut one. */
	type("ab\x1b[15~\x1bx\x1b[<0;12m\x1b");
	line_is("ab", 2);
	type("\x1b[1;5\rdone");
	assert_string_equal(shown(0), "socle> done");
	assert_string_equal(shown(1), "unknown command \"ab\", try \"help\"");
	/* A sequence without an end does not swallow the line for ever. */
	type("\x03\x1b[0;0;0;0;0;0;0;0;0;0;0;0;0;0;0;0echo");
	assert_non_null(strstr(editor.text, "echo"));
}

static void test_history(void **state)
{
	(void)state;
	type("echo 1\recho 2\r\r   \recho 2\rdraft");
	type("\x1b[A");
	line_is("echo 2", 6);
	type("\x1b[A");
	type("\x10");
	line_is("echo 1", 6);
	type("\x1b[A");
	line_is("echo 1", 6);
	type("\x1b[B\x0e\x0e");
	line_is("draft", 5);
	for (unsigned i = 0; i < 100; i++) {
		char text[32];

		snprintf(text, sizeof(text),
			 "\x15"
			 "echo n%u\r",
			 i);
		type(text);
	}
	for (unsigned i = 0; i < 20; i++)
		type("\x1b[A");
	line_is("echo n84", 8);
	assert_int_equal(bells, 7);
}

static void test_line_ends(void **state)
{
	(void)state;
	type("echo a\r\necho b\necho c\r");
	assert_string_equal(shown(1), "c");
	assert_string_equal(shown(2), "socle> echo c");
	assert_string_equal(shown(3), "b");
	assert_string_equal(shown(4), "socle> echo b");
	assert_string_equal(shown(5), "a");
}

static void answer(const char *command, const char *expected)
{
	char text[300];

	snprintf(text, sizeof(text), "%s\r", command);
	type(text);
	assert_string_equal(shown(0), "socle>");
	assert_string_equal(shown(1), expected);
}

static void test_answers(void **state)
{
	char missing[300] = "missing:";

	(void)state;
	answer("echo  a   b ", "a   b");
	answer("frob", "unknown command \"frob\", try \"help\"");
	answer("vm", "\"vm\" needs one of these words after it: kill list reset show start stop");
	answer("vm frob", "\"vm\" needs one of these words after it: kill list reset show "
			  "start stop");
	answer("vm start", "too few arguments, usage: vm start NAME");
	answer("vm start a b", "too many arguments, usage: vm start NAME");
	answer("version now", "too many arguments, usage: version");
	answer("version", "Socle 0.1");
	answer("vm start nobody", "no guest \"nobody\", the guests are: linux, other");
	answer("vm stop linux", "busy: linux is stopped");
	answer("vm reset linux", "busy: linux is stopped");
	answer("vm start linux", "vm started");
	assert_string_equal(called, "start linux");
	answer("vm start linux", "busy: linux is running");
	answer("vm reset linux", "socle> vm reset linux");
	assert_string_equal(called, "reset linux");
	answer("vm kill linux", "socle> vm kill linux");
	assert_string_equal(called, "stop linux");
	answer("vm list", "other            stopped       2       1M      0");
	assert_string_equal(shown(2),
			    "linux            stopped       1     512M      0  stopped by "
			    "the administrator");
	answer("vm show other", "debug-exit = 0xf4");
	vms[0].settings.virtio_console = true;
	answer("vm show linux", "on-exit = stop");
	assert_string_equal(shown(3), "console = virtio");
	vms[0].settings.virtio_console = false;
	answer("vm show linux", "on-exit = stop");
	assert_string_equal(shown(3), "console = yes");
	answer("stats linux", "  cpuid 7");
	answer("cpu", "cpu1: APIC ID 6, 8 ms idle, interrupts: timer 12, kick 13");
	assert_string_equal(shown(2), "cpu0: APIC ID 4, 7 ms idle, interrupts: timer 10, kick 11");
	answer("sched", "vCPUs of other");
	assert_string_equal(shown(2), "vCPUs of linux");
	assert_string_equal(shown(3), "cpu1's queue");
	assert_string_equal(shown(4), "cpu0's queue");
	answer("log", "an old line");
	for (unsigned f = 1; f < CPU_FEATURE_COUNT; f++) /* one is there */
		strcat(missing, " none");
	answer("features", missing);
	lbr_offer.text = "offered: 3 records";
	answer("features", "branch records of guests: offered: 3 records");
	pmu_offer.text = "not offered: none";
	answer("features", "performance counters of guests: not offered: none");
	answer("help log", "  log                print the hypervisor's log again");
	answer("help vm reset",
	       "  vm reset NAME      restart a running guest, as by its reset button");
	answer("help frob", "unknown command \"frob\", try \"help\"");
	answer("console other", "other has no console, set \"console = yes\" in socle.conf");
	answer("poweroff 256", "bad status \"256\", use a number from 0 to 255");
	answer("echo 1 2 3 4 5 6 7 8 9 10", "too many arguments, usage: echo [TEXT...]");
	lost = 2 * MiB;
	answer("mem", "  missing                        2048 KiB");
	lost = 0;
	answer("mem", "  other: tables                     0 KiB");
	assert_string_equal(shown(10), "  total                          8192 KiB");
	assert_string_equal(shown(9), "  free, zeroed                   1024 KiB");
	assert_string_equal(shown(8), "  free, to be zeroed             3072 KiB");
	assert_string_equal(shown(7), "  core                           2048 KiB");
	type("help\r");
	vm_count = 0;
	answer("vm start x", "no guest \"x\", there are none");
	answer("vm list", "no guests are configured");
}

static void test_machine_commands(void **state)
{
	(void)state;
	if (!setjmp(machine_gone))
		type("poweroff 3\r");
	assert_string_equal(called, "poweroff 3");
	busy = false;
	line_begin(&editor);
	if (!setjmp(machine_gone))
		type("reboot\r");
	assert_string_equal(called, "reboot");
}

/* Every command is explained, in help and in the user's guide. */
static void test_documented(void **state)
{
	const struct console_command *const *pos;
	static char guide[65536];
	FILE *file = fopen("docs/console.md", "r");

	(void)state;
	assert_non_null(file);
	guide[fread(guide, 1, sizeof(guide) - 1, file)] = '\0';
	fclose(file);
	section_for_each (pos, console_commands) {
		char entry[64];

		assert_true((*pos)->help[0] && strlen((*pos)->help) < 60);
		snprintf(entry, sizeof(entry), "\n| `%s%s%s` |", (*pos)->name,
			 (*pos)->args[0] ? " " : "", (*pos)->args);
		if (!strstr(guide, entry))
			fail_msg("docs/console.md lacks%s", entry);
	}
}

static void test_completion(void **state)
{
	(void)state;
	type("ver\t");
	line_is("version ", 8);
	type("\x15vm st\t");
	line_is("vm st", 5);
	assert_string_equal(shown(1), "start  stop");
	type("a\t");
	line_is("vm start ", 9);
	type("\t");
	assert_string_equal(shown(1), "linux  other");
	type("o\t");
	line_is("vm start other ", 15);
	type("\t");
	assert_int_equal(bells, 1);
	type("\x15re\t");
	line_is("reboot ", 7);
	type("\x15help ec\t");
	line_is("help echo ", 10);
	type("\x15stats l\t");
	line_is("stats linux ", 12);
	/* In the middle of a line. */
	type("\x15 x\x01"
	     "conso\t");
	line_is("console  x", 8);
	type("\x15\x0b\t");
	assert_non_null(strstr(shown(1), "version"));
}

static void test_log_lines(void **state)
{
	(void)state;
	type("echo half");
	say(LOG_INFO, "a line");
	line_is("echo half", 9);
	assert_string_equal(shown(1), "a line");
	type("\x1b[D");
	say(LOG_DEBUG, "not shown");
	assert_string_equal(shown(1), "a line");
	say(LOG_WARN, "much longer than the line that is being typed there");
	line_is("echo half", 8);
	assert_string_equal(shown(1), "much longer than the line that is being typed there");

	type("\x1d");
	guest_prints("login: ");
	say(LOG_ERROR, "bad");
	assert_string_equal(shown(1), "[socle] bad");
	assert_string_equal(shown(2), "login:");
	guest_prints("\r\n");
	say(LOG_INFO, "worse");
	assert_string_equal(shown(1), "[socle] worse");
}

static void test_switching(void **state)
{
	(void)state;
	vms[0].state = VM_RUNNING;
	guest_prints("boot\r\nmessages\r\n");
	assert_string_equal(shown(0), "socle>");
	type("ec\x1d");
	assert_string_equal(shown(1), "messages");
	assert_string_equal(shown(2), "boot");
	assert_string_equal(shown(3), "[socle] console of linux, Ctrl-] for the prompt");
	guest_prints("# ");
	type("ls\r\x03\x1b[A");
	assert_int_equal(typed_len, 7);
	assert_memory_equal(typed, "ls\r\x03\x1b[A", 7);
	type("\x1d");
	line_is("ec", 2);
	type("ho x\r");
	assert_string_equal(shown(1), "x");
	guest_prints("more");
	type("console linux\r");
	assert_string_equal(shown(0), "more");
	assert_int_equal(typed_len, 7);

	/* A reset keeps it in front; a stop leads back to the prompt. */
	vms[0].state = VM_STOPPING;
	console_poll();
	vms[0].state = VM_RESTARTING;
	console_poll();
	console_guest_started(&vms[0]);
	vms[0].state = VM_RUNNING;
	console_poll();
	assert_ptr_equal(mux_front(), &guest);
	guest_prints("bye");
	vms[0].state = VM_STOPPED;
	console_poll();
	assert_string_equal(shown(0), "socle>");
	assert_string_equal(shown(1), "[socle] linux is stopped");
	assert_string_equal(shown(2), "morebye");
	vms[0].state = VM_RUNNING;
	console_run();
	assert_ptr_equal(mux_front(), &guest);
}

static void test_lost_output(void **state)
{
	(void)state;
	any_bytes = true;
	for (unsigned i = 0; i < CONSOLE_OUTPUT; i++)
		assert_true(guest_puts('a'));
	assert_int_equal(guest.lost, 0);
	assert_true(guest_prints("\r\nend"));
	assert_int_equal(guest.lost, 5);
	type("\x1d");
	assert_string_equal(shown(2), "[socle] 5 bytes of its output were lost");
	assert_string_equal(shown(0), "end");
	assert_int_equal(guest.lost, 0);
}

/* With a slow line the guest in front waits, and nothing is lost or repeated. */
static void test_slow_line(void **state)
{
	unsigned sent = 0, i;

	(void)state;
	vms[0].state = VM_RUNNING;
	type("\x1d");
	out_room = 0;
	while (guest_puts((uint8_t)('a' + sent % 26)))
		sent++;
	assert_int_equal(sent, CONSOLE_OUTPUT);
	console_poll();
	assert_int_equal(tx_ready, 0);
	out_room = 100;
	console_poll();
	assert_int_equal(tx_ready, 1);
	assert_int_equal(column, 100);
	for (i = 0; i < 100; i++)
		assert_int_equal(screen[row][i], 'a' + i % 26);
	assert_true(guest_prints("x"));
	/* Leaving it lets it run on. */
	while (guest_prints("y"))
		;
	type("\x1d");
	assert_int_equal(tx_ready, 2);
	assert_true(guest_prints("z"));
}

static void fire_ask(void)
{
	assert_int_equal(guest.ask.slot, 1);
	now = guest.ask.expires;
	guest.ask.slot = 0;
	guest.ask.fire(&guest.ask);
}

/* The line is the boot CPU's: a guest on another one leaves its output and asks for it. */
static void test_other_cpu(void **state)
{
	(void)state;
	vms[0].state = VM_RUNNING;
	type("\x1d");
	test_cpu_index = 1;
	assert_true(guest_prints("from afar"));
	assert_int_equal(column, 0);
	test_cpu_index = 0;
	assert_true(console_waiting());
	console_poll();
	assert_string_equal(shown(0), "from afar");
	assert_false(console_waiting());
	any_bytes = true; /* longer than a line */
	/* The ring is full: it waits until the boot CPU has made room. */
	test_cpu_index = 1;
	while (guest_prints("x"))
		;
	assert_int_equal(guest.written - guest.shown, CONSOLE_OUTPUT);
	assert_int_equal(guest.ask.slot, 1);
	assert_int_equal(tx_ready, 0);
	test_cpu_index = 0;
	console_poll();
	assert_int_equal(tx_ready, 1);
	/* Behind the prompt nobody is asked. */
	type("\x1d");
	guest.ask.slot = 0;
	test_cpu_index = 1;
	pokes = 0;
	now += NS_PER_SEC;
	assert_true(guest_prints("z"));
	assert_int_equal(pokes + guest.ask.slot, 0);
}

/* What a guest wrote before it ended is shown before the line that says so. */
static void test_output_before_log(void **state)
{
	(void)state;
	vms[0].state = VM_RUNNING;
	type("\x1d");
	test_cpu_index = 1;
	assert_true(guest_prints("its last words"));
	test_cpu_index = 0;
	say(LOG_INFO, "it is gone");
	assert_string_equal(shown(2), "its last words");
	assert_string_equal(shown(1), "[socle] it is gone");
	/* A log line while somebody uses the guest's chips does not wait. */
	test_cpu_index = 1;
	assert_true(guest_prints("more"));
	test_cpu_index = 0;
	vms[0].chips.held = 1;
	say(LOG_INFO, "at once");
	vms[0].chips.held = 0;
	assert_string_equal(shown(1), "[socle] at once");
	console_poll();
	assert_string_equal(shown(0), "more");
}

/* At once after a pause, then once in a millisecond, and the last byte is not forgotten. */
static void test_asks_seldom(void **state)
{
	uint64_t first;

	(void)state;
	vms[0].state = VM_RUNNING;
	type("\x1d");
	test_cpu_index = 1;
	now += NS_PER_SEC;
	first = now;
	pokes = 0;
	assert_true(guest_prints("a"));
	assert_int_equal(pokes, 1);
	assert_int_equal(guest.ask.slot, 0);
	now += 10;
	assert_true(guest_prints("bcd"));
	assert_int_equal(pokes, 1);
	assert_int_equal(guest.ask.expires, first + NS_PER_MS);
	fire_ask();
	assert_int_equal(pokes, 2);
	now += NS_PER_MS - 1;
	assert_true(guest_prints("e"));
	assert_int_equal(pokes, 2);
	assert_int_equal(guest.ask.expires, first + 2 * NS_PER_MS);
	/* Set again between its expiry and the lock: this is not it. */
	claimable = false;
	fire_ask();
	assert_int_equal(pokes, 2);
	claimable = true;
	guest.ask.slot = 0;
	now = first + 3 * NS_PER_MS;
	assert_true(guest_prints("f"));
	assert_int_equal(pokes, 3);
}

static void test_waiting_input(void **state)
{
	(void)state;
	vms[0].state = VM_RUNNING;
	type("\x1d");
	uart_takes = 0;
	type("hello");
	assert_int_equal(typed_len, 0);
	uart_takes = 3;
	guest_reads();
	assert_int_equal(typed_len, 3);
	uart_takes = SIZE_MAX;
	guest_reads();
	assert_int_equal(typed_len, 5);
	assert_memory_equal(typed, "hello", 5);

	/* A guest that never reads does not keep the user from leaving it. */
	uart_takes = 0;
	for (unsigned i = 0; i < CONSOLE_INPUT + 10; i++)
		console_input('k');
	assert_int_equal(bells, 10);
	type("\x1d");
	assert_null(mux_front());
	console_guest_started(&vms[0]);
	uart_takes = SIZE_MAX;
	guest_reads();
	assert_int_equal(typed_len, 5);
}

static int fresh_virtio(void **state)
{
	virtio = (struct virtio_console){0};
	guest_virtio = &virtio;
	fresh(state);
	guest_virtio = NULL;
	assert_ptr_equal(virtio.sink, &guest.virtio_sink);
	return 0;
}

/* A guest that is slow has what is typed wait on the line; one that takes nothing only for a time.
 */
static void test_held_line(void **state)
{
	(void)state;
	assert_int_equal(console_room(), SIZE_MAX);
	vms[0].state = VM_RUNNING;
	type("\x1d");
	uart_takes = 0;
	assert_int_equal(console_room(), CONSOLE_INPUT);
	for (unsigned i = 0; i < CONSOLE_INPUT; i++)
		console_input('k');
	now = 20 * NS_PER_SEC;
	assert_int_equal(console_room(), 0);
	assert_int_equal(hold.over.expires, 25 * NS_PER_SEC);
	now += 4 * NS_PER_SEC;
	assert_int_equal(console_room(), 0);
	/* It takes some: the line is read again, and the next time is a new one. */
	pokes = 0;
	uart_takes = 3;
	guest_reads();
	assert_int_equal(pokes, 1);
	assert_int_equal(console_room(), 3);
	guest_reads();
	assert_int_equal(pokes, 1);
	type("abc");
	assert_int_equal(console_room(), 0);
	now += 2 * NS_PER_SEC;
	assert_int_equal(console_room(), 0);
	assert_int_equal(bells, 0);
	/* It takes nothing: what comes is read on and lost, until the user has left it. */
	now += 3 * NS_PER_SEC;
	kicks = 0;
	hold.over.fire(&hold.over);
	assert_int_equal(kicks, 1);
	assert_int_equal(console_room(), SIZE_MAX);
	type("d");
	assert_int_equal(bells, 1);
	now += NS_PER_SEC;
	assert_int_equal(console_room(), SIZE_MAX);
	type("\x1d");
	assert_null(mux_front());
	/* A new start throws away what waited. */
	type("\x1d");
	assert_int_equal(console_room(), SIZE_MAX);
	pokes = 0;
	console_guest_started(&vms[0]);
	assert_int_equal(pokes, 1);
	assert_int_equal(console_room(), CONSOLE_INPUT);
}

/* Both of a guest's consoles are shown; input is for the UART until the other one has a driver. */
static void test_virtio(void **state)
{
	uint8_t bytes[8];

	(void)state;
	vms[0].state = VM_RUNNING;
	assert_int_equal(virtio.sink->put(virtio.sink, "kept ", 5), 5);
	assert_string_equal(shown(0), "socle>");
	type("\x1d");
	guest_prints("and ");
	assert_int_equal(virtio.sink->put(virtio.sink, "shown", 5), 5);
	assert_string_equal(shown(0), "kept and shown");
	type("ab");
	assert_int_equal(typed_len, 2);
	assert_false(virtio.sink->waiting(virtio.sink));
	uart_takes = 0;
	type("cd");
	virtio.open = true;
	uart_takes = SIZE_MAX;
	guest_reads();
	type("ef");
	assert_int_equal(typed_len, 2);
	assert_int_equal(virtio.rx_ready, 3);
	assert_true(virtio.sink->waiting(virtio.sink));
	assert_int_equal(virtio.sink->get(virtio.sink, bytes, 3), 3);
	assert_memory_equal(bytes, "cde", 3);
	assert_int_equal(virtio.sink->get(virtio.sink, bytes, 8), 1);
	assert_int_equal(bytes[0], 'f');
	assert_false(virtio.sink->waiting(virtio.sink));
	assert_int_equal(virtio.sink->get(virtio.sink, bytes, 8), 0);
	guest_reads();
	assert_int_equal(virtio.rx_ready, 3);
	/* As for the UART: what does not fit is not taken, and the user hears it. */
	for (unsigned i = 0; i < CONSOLE_INPUT + 3; i++)
		console_input('k');
	assert_int_equal(bells, 3);
	virtio.open = false;
	guest_reads();
	assert_int_equal(typed_len, 2 + CONSOLE_INPUT);
}

static void test_terminal(void **state)
{
	(void)state;
	guest_virtio = &virtio;
	answer("terminal", "80 columns, 24 rows");
	answer("terminal 132", "columns and rows, such as \"terminal 132 43\"");
	answer("terminal 132 0", "bad number \"0\", use 1 to 1000");
	answer("terminal x 43", "bad number \"x\", use 1 to 1000");
	answer("terminal 1001 43", "bad number \"1001\", use 1 to 1000");
	assert_int_equal(resized, 0);
	answer("terminal 132 43", "132 columns, 43 rows");
	assert_int_equal(resized, 132043);
	answer("terminal", "132 columns, 43 rows");
	guest_virtio = NULL;
}

/* A line without room holds the virtio console back, and says when it goes on. */
static void test_slow_virtio(void **state)
{
	static char text[CONSOLE_OUTPUT + 10];

	(void)state;
	any_bytes = true;
	vms[0].state = VM_RUNNING;
	type("\x1d");
	out_room = 0;
	memset(text, 'v', sizeof(text));
	assert_int_equal(virtio.sink->put(virtio.sink, text, sizeof(text)), CONSOLE_OUTPUT);
	assert_int_equal(virtio.sink->put(virtio.sink, text, 1), 0);
	console_poll();
	assert_int_equal(virtio.tx_ready, 0);
	out_room = 7;
	console_poll();
	assert_int_equal(virtio.tx_ready, 1);
	assert_int_equal(virtio.sink->put(virtio.sink, text, 8), 7);
	/* Leaving it lets it go on, and the oldest are dropped. */
	type("\x1d");
	assert_int_equal(virtio.tx_ready, 2);
	assert_int_equal(virtio.sink->put(virtio.sink, text, sizeof(text)), sizeof(text));
	assert_int_equal(guest.lost, sizeof(text));
	/* Guests run elsewhere: the boot CPU is asked to show it. */
	out_room = SIZE_MAX;
	type("\x1d");
	now += NS_PER_SEC;
	pokes = 0;
	test_cpu_index = 1;
	assert_int_equal(virtio.sink->put(virtio.sink, text, 100), 100);
	assert_int_equal(pokes, 1);
	test_cpu_index = 0;
	assert_true(console_waiting());
	console_poll();
	assert_false(console_waiting());
	assert_int_equal(virtio.tx_ready, 2);
}

/* What is typed after the switch to a guest that has stopped is for the prompt. */
static void test_stopped_guest(void **state)
{
	(void)state;
	type("\x1d");
	assert_ptr_equal(mux_front(), &guest);
	type("echo ok\r");
	assert_null(mux_front());
	assert_int_equal(typed_len, 0);
	assert_string_equal(shown(1), "ok");
}

static void test_noise(void **state)
{
	char text[LINE_SIZE + 32];

	(void)state;
	/* Before a line, noise is nothing; within it, the line is not run. */
	console_input(0);
	console_input(0xff);
	answer("echo ok", "ok");
	type("vm start li\x80nux\r");
	assert_string_equal(called, "");
	assert_string_equal(shown(1), "not run: the line had bytes that are no text, or too many");
	type("vm start linux");
	console_input(0);
	type("\r");
	assert_string_equal(called, "");
	type("vm start li\x80nux\x15vm start linux\r");
	assert_string_equal(called, "start linux");
	/* A line that was cut is another one. */
	called[0] = '\0';
	vms[0].state = VM_STOPPED;
	memset(text, ' ', sizeof(text));
	memcpy(text, "vm start", 8);
	memcpy(text + sizeof(text) - 8, "linux\r", 7);
	type(text);
	assert_string_equal(called, "");
	assert_string_equal(shown(1), "not run: the line had bytes that are no text, or too many");
}

static uint32_t random_state = 1;

static uint32_t random_number(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return random_state >> 8;
}

/* Random keys, words, noise, guest output and log lines: the sanitizers watch. */
static void test_random(void **state)
{
	static const char *const pieces[] = {
		"vm ",	 "list",   "start ", "linux",  "console linux\r",
		"\x1d",	 "\x1b[A", "\x1b[B", "\x1b[D", "\x1b[3~",
		"\t",	 "\r",	   "\x15",   "\x17",   "\x0b",
		"\x01",	 "\x05",   "\b",     "help",   " ",
		"echo ", "stats ", "log\r",  "\x1b",   "\x1b[",
		"\x0c",	 "\x03",
	};

	(void)state;
	any_bytes = true;
	for (unsigned i = 0; i < 200000; i++) {
		switch (random_number() % 8) {
		case 0:
			console_input((uint8_t)random_number());
			break;
		case 1:
			guest_puts((uint8_t)random_number());
			break;
		case 2:
			if (random_number() % 64 == 0)
				say(LOG_INFO, "log");
			out_room = random_number() % 256;
			uart_takes = random_number() % 8;
			typed_len = 0;
			console_poll();
			break;
		default:
			typed_len = 0;
			if (!setjmp(machine_gone))
				type(pieces[random_number() % ARRAY_SIZE(pieces)]);
			else
				fail_msg("noise turned the machine off");
			break;
		}
		assert_true(editor.cursor <= editor.len && editor.len < LINE_SIZE);
		assert_int_equal(editor.text[editor.len], 0);
		assert_true(guest.written - guest.shown <= CONSOLE_OUTPUT);
		assert_true(guest.received - guest.delivered <= CONSOLE_INPUT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_editing, fresh),
		cmocka_unit_test_setup(test_escapes, fresh),
		cmocka_unit_test_setup(test_history, fresh),
		cmocka_unit_test_setup(test_line_ends, fresh),
		cmocka_unit_test_setup(test_answers, fresh),
		cmocka_unit_test_setup(test_machine_commands, fresh),
		cmocka_unit_test_setup(test_documented, fresh),
		cmocka_unit_test_setup(test_completion, fresh),
		cmocka_unit_test_setup(test_log_lines, fresh),
		cmocka_unit_test_setup(test_switching, fresh),
		cmocka_unit_test_setup(test_lost_output, fresh),
		cmocka_unit_test_setup(test_slow_line, fresh),
		cmocka_unit_test_setup(test_other_cpu, fresh),
		cmocka_unit_test_setup(test_asks_seldom, fresh),
		cmocka_unit_test_setup(test_output_before_log, fresh),
		cmocka_unit_test_setup(test_waiting_input, fresh),
		cmocka_unit_test_setup(test_held_line, fresh),
		cmocka_unit_test_setup(test_virtio, fresh_virtio),
		cmocka_unit_test_setup(test_terminal, fresh_virtio),
		cmocka_unit_test_setup(test_slow_virtio, fresh_virtio),
		cmocka_unit_test_setup(test_stopped_guest, fresh),
		cmocka_unit_test_setup(test_noise, fresh),
		cmocka_unit_test_setup(test_random, fresh),
	};

	return cmocka_run_group_tests_name("console", tests, NULL, NULL);
}
