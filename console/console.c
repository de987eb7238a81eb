/* SPDX-License-Identifier: BSD-2-Clause */
/* The serial console: shares the line between the prompt, the guests and the log. */
#include "mux.h"
#include "shell.h"
#include "socle/kernel/log.h"
#include "tty.h"

#define SWITCH_KEY 0x1d /* Ctrl-] */

static bool running; /* console_run() was called: there is a prompt */

/* Of the log: shows a line without spoiling what is on the screen. */
static void log_shown(struct log_sink *sink, enum log_level level, const char *text, size_t len)
{
	if (level > LOG_INFO)
		return;
	if (!running || shell_busy()) {
		tty_fresh_line();
		format_sink(&tty, "%.*s\n", (int)len, text);
	} else if (mux_front()) {
		mux_catch_up();
		tty_fresh_line();
		format_sink(&tty, "[socle] %.*s\n", (int)len, text);
	} else {
		shell_hide();
		format_sink(&tty, "%.*s\n", (int)len, text);
		shell_show();
	}
}

void console_init(struct console_out *out)
{
	static struct log_sink sink = {.line = log_shown};

	tty_init(out);
	log_bind(&sink);
}

void console_add_guest(struct guest_console *guest, struct vm *vm, struct uart *uart,
		       struct virtio_console *virtio)
{
	guest->vm = vm;
	guest->uart = uart;
	guest->virtio = virtio;
	mux_add(guest);
}

void console_guest_started(struct vm *vm)
{
	struct guest_console *guest = mux_find(vm);

	if (guest)
		mux_drop_input(guest);
}

void console_run(void)
{
	struct guest_console *guest = NULL;

	for (struct vm *vm = vm_next(NULL); vm && !guest; vm = vm_next(vm)) {
		if (vm->state == VM_RUNNING)
			guest = mux_find(vm);
	}
	running = true;
	if (guest)
		mux_switch(guest);
	else
		shell_show();
}

/* Ctrl-]: from a guest to the prompt, from the prompt to the guest that was in front last. */
static void switch_sides(void)
{
	if (mux_front()) {
		mux_switch(NULL);
		shell_show();
	} else if (mux_last()) {
		shell_hide();
		mux_switch(mux_last());
	} else {
		tty_write("\a", 1);
	}
}

/* Back to the prompt when the guest in front has stopped and all it wrote is shown. */
static void leave_stopped(void)
{
	const struct guest_console *guest = mux_front();

	if (!guest || READ_ONCE(guest->vm->state) != VM_STOPPED || console_waiting())
		return;
	mux_switch(NULL);
	tty_fresh_line();
	format_sink(&tty, "[socle] %s is stopped\n", guest->vm->settings.name);
	shell_show();
}

size_t console_room(void)
{
	return mux_room();
}

void console_input(uint8_t byte)
{
	if (!running)
		return;
	/* What is typed now is not for a guest that is gone. */
	leave_stopped();
	if (byte == SWITCH_KEY)
		switch_sides();
	else if (mux_front())
		mux_input(byte);
	else if (shell_input(byte) && !mux_front())
		shell_show();
}

void console_poll(void)
{
	mux_poll();
	leave_stopped();
}
