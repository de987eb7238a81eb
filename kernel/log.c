/* SPDX-License-Identifier: BSD-2-Clause */
/* The log: a ring of lines with times, shown through one sink. */
#include "socle/cpu/cpu.h"
#include "socle/cpu/spinlock.h"
#include "socle/kernel/log.h"
#include "socle/kernel/sched.h"
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

static struct spinlock lock = SPINLOCK_INIT("log", LOCK_LOG);
static struct line ring[LINES]; /* guarded by the lock */
static uint64_t written;	/* likewise: lines ever; the newest is written - 1 */

/* The boot CPU's. */
static uint64_t shown; /* lines ever given to a sink */
static struct log_sink *sink;
static bool later; /* it may hold locks, and a guest may be waiting */

static void show(struct log_sink *to, const struct line *l)
{
	if (l->level <= LOG_INFO)
		to->line(to, l->level, l->text, l->len);
}

/* A copy of line @number, as the ring goes on; false if it is not there yet, or no more. */
static bool copy_line(uint64_t number, struct line *l)
{
	bool there;

	spin_lock(&lock);
	there = number < written && written - number <= LINES;
	if (there)
		*l = ring[number % LINES];
	spin_unlock(&lock);
	return there;
}

static uint64_t lines_written(void)
{
	return __atomic_load_n(&written, __ATOMIC_RELAXED);
}

static void show_new(void)
{
	static bool busy; /* a sink that logs must not come back here */
	struct line l;

	if (!sink || busy)
		return;
	busy = true;
	for (; shown < lines_written(); shown++)
		if (copy_line(shown, &l))
			show(sink, &l);
	busy = false;
}

void log_deferred(bool deferred)
{
	later = deferred;
	if (!later)
		show_new();
}

/* The lock is held. */
static void add(enum log_level level, const char *prefix, const char *fmt, va_list args)
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
	__atomic_store_n(&written, written + 1, __ATOMIC_RELAXED);
}

static void show_soon(void)
{
	if (cpu_index() == 0 && !later)
		show_new();
	else
		sched_poke(0);
}

static void log_v(enum log_level level, const char *prefix, const char *fmt, va_list args)
{
	spin_lock(&lock);
	add(level, prefix, fmt, args);
	spin_unlock(&lock);
	show_soon();
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

static void add_dropped(const char *prefix, const char *fmt, ...) __printf(2, 3);
static void add_dropped(const char *prefix, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add(LOG_WARN, prefix, fmt, args);
	va_end(args);
}

void vm_log(struct vm *vm, enum log_level level, const char *fmt, ...)
{
	char prefix[VM_NAME_MAX + 8];
	uint64_t now = time_now();
	va_list args;
	bool full;

	format(prefix, sizeof(prefix), "vm %s: ", vm->settings.name);
	va_start(args, fmt);
	spin_lock(&lock);
	if (now - vm->log_window >= NS_PER_SEC) {
		if (vm->log_dropped)
			add_dropped(prefix, "%u lines not shown", vm->log_dropped);
		vm->log_window = now;
		vm->log_lines = vm->log_dropped = 0;
	}
	full = vm->log_lines >= VM_LINES_PER_SECOND;
	if (full) {
		vm->log_dropped++;
	} else {
		vm->log_lines++;
		add(level, prefix, fmt, args);
	}
	spin_unlock(&lock);
	va_end(args);
	if (!full)
		show_soon();
}

void log_bind(struct log_sink *s)
{
	sink = s;
	show_new();
}

void log_replay(struct log_sink *to)
{
	uint64_t end = lines_written();
	struct line l;

	for (uint64_t i = end > LINES ? end - LINES : 0; i < end; i++)
		if (copy_line(i, &l))
			show(to, &l);
}
