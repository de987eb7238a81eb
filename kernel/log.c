/* SPDX-License-Identifier: BSD-2-Clause */
/* The log: a ring of lines with times, shown through one sink. */
#include "socle/kernel/log.h"
#include "socle/kernel/time.h"
#include "socle/kernel/vm.h"
#include "socle/string.h"

enum {
	LINES = 512,
	LINE_SIZE = 256,
	VM_LINES_PER_SECOND = 20, /* of one VM, so that no guest can flood the console */
};

struct line {
	uint8_t level; /* enum log_level */
	uint8_t len;   /* of text */
	char text[LINE_SIZE - 2];
};

static struct line ring[LINES];
static uint64_t written; /* lines ever; the newest is written - 1 */
static uint64_t shown;	 /* lines ever given to a sink */
static struct log_sink *sink;

static void show(struct log_sink *to, const struct line *l)
{
	if (l->level <= LOG_INFO)
		to->line(to, l->level, l->text, l->len);
}

static void show_new(void)
{
	static bool busy; /* a sink that logs must not come back here */

	if (!sink || busy)
		return;
	busy = true;
	if (written - shown > LINES)
		shown = written - LINES;
	for (; shown < written; shown++)
		show(sink, &ring[shown % LINES]);
	busy = false;
}

static void log_v(enum log_level level, const char *prefix, const char *fmt, va_list args)
{
	struct line *l = &ring[written % LINES];
	uint64_t us = time_now() / NS_PER_US;
	size_t n;

	l->level = level;
	n = format(l->text, sizeof(l->text), "[%4u.%06u] %s%s", (unsigned)(us / 1000000),
		   (unsigned)(us % 1000000),
		   level == LOG_ERROR  ? "error: "
		   : level == LOG_WARN ? "warning: "
				       : "",
		   prefix);
	if (n < sizeof(l->text))
		n += format_v(l->text + n, sizeof(l->text) - n, fmt, args);
	l->len = MIN(n, sizeof(l->text) - 1);
	/* What a guest or a module's name put in must not drive the terminal. */
	for (n = 0; n < l->len; n++)
		if ((uint8_t)l->text[n] < ' ' || l->text[n] == 0x7f)
			l->text[n] = '?';
	written++;
	show_new();
}

static void log_plain(enum log_level level, const char *fmt, va_list args)
{
	log_v(level, "", fmt, args);
}

void log_init(void (*print)(const char *text, size_t len))
{
	static const struct report_ops report = {log_plain, panic_v};

	panic_init(print);
	report_bind(&report);
}

void vm_log(struct vm *vm, enum log_level level, const char *fmt, ...)
{
	char prefix[VM_NAME_MAX + 8];
	uint64_t now = time_now();
	va_list args;

	if (now - vm->log_window >= NS_PER_SEC) {
		if (vm->log_dropped)
			log_line(LOG_WARN, "vm %s: %u lines not shown", vm->settings.name,
				 vm->log_dropped);
		vm->log_window = now;
		vm->log_lines = vm->log_dropped = 0;
	}
	if (vm->log_lines >= VM_LINES_PER_SECOND) {
		vm->log_dropped++;
		return;
	}
	vm->log_lines++;
	format(prefix, sizeof(prefix), "vm %s: ", vm->settings.name);
	va_start(args, fmt);
	log_v(level, prefix, fmt, args);
	va_end(args);
}

void log_bind(struct log_sink *s)
{
	sink = s;
	show_new();
}

void log_replay(struct log_sink *to)
{
	uint64_t end = written;

	for (uint64_t i = end > LINES ? end - LINES : 0; i < end; i++)
		show(to, &ring[i % LINES]);
}
