/* SPDX-License-Identifier: BSD-2-Clause */
/* The multiplexer: which guest's console has the line, and what the others wrote meanwhile. */
#include "mux.h"
#include "socle/cpu/cpu.h"
#include "socle/kernel/sched.h"
#include "socle/kernel/time.h"
#include "socle/string.h"
#include "tty.h"

#define ASK_NS	NS_PER_MS	 /* between two requests that the boot CPU shows a guest's output */
#define HOLD_NS (5 * NS_PER_SEC) /* typed bytes wait on the line for a guest that takes none */

/*
 * The boot CPU's, as is all that writes to the line. Guests run on other CPUs, too: their ends of
 * the console are guarded by their VM's chips lock, which their UART holds when it calls us. A
 * virtio console does not.
 */
static struct guest_console *guests; /* in order of mux_add() */
static struct guest_console *front;  /* NULL: the prompt; a hint to other CPUs */
static struct guest_console *last;   /* in front before; NULL: none yet */

/* The boot CPU's: since when no more is read from the line, because a guest takes nothing. */
static struct hold {
	struct timer over;		   /* the guest had its time */
	const struct guest_console *guest; /* the one that was in front */
	uint64_t delivered;		   /* to it, by then */
	uint64_t until;			   /* ns */
} hold;

static void lock(struct guest_console *guest)
{
	spin_lock(&guest->vm->chips);
}

static void unlock(struct guest_console *guest)
{
	spin_unlock(&guest->vm->chips);
}

_Static_assert((CONSOLE_OUTPUT & (CONSOLE_OUTPUT - 1)) == 0, "rings are indexed by remainder");
_Static_assert((CONSOLE_INPUT & (CONSOLE_INPUT - 1)) == 0, "rings are indexed by remainder");

/* Sends what the guest in front wrote, as far as the line has room. Locked. */
static void drain(struct guest_console *guest)
{
	while (guest->shown < guest->written) {
		size_t at = guest->shown % CONSOLE_OUTPUT;
		size_t len = MIN(guest->written - guest->shown, CONSOLE_OUTPUT - at);

		len = MIN(len, tty_room());
		if (!len)
			return;
		guest->shown += len;
		tty_write(guest->output + at, len);
	}
}

/*
 * The line is the boot CPU's: it sends what this CPU's guest wrote. It is not asked for each byte,
 * since other guests run there. Locked.
 */
static void show(struct guest_console *guest)
{
	uint64_t now;

	if (cpu_index() == 0) {
		drain(guest);
		return;
	}
	if (timer_armed(&guest->ask))
		return;
	now = time_now();
	if (now < guest->ask_after) {
		timer_set(&guest->ask, guest->ask_after);
		return;
	}
	guest->ask_after = now + ASK_NS;
	sched_poke(0);
}

static void ask_again(struct timer *t)
{
	struct guest_console *guest = container_of(t, struct guest_console, ask);

	lock(guest);
	if (timer_claim(t)) {
		guest->ask_after = time_now() + ASK_NS;
		sched_poke(0);
	}
	unlock(guest);
}

static bool is_shown(const struct guest_console *guest)
{
	return guest == __atomic_load_n(&front, __ATOMIC_SEQ_CST);
}

/* Keeps a byte that the guest wrote; false: it must wait. Locked. */
static bool keep(struct guest_console *guest, bool shown, char byte)
{
	if (shown && guest->written - guest->shown == CONSOLE_OUTPUT)
		show(guest);
	if (guest->written - guest->shown == CONSOLE_OUTPUT) {
		if (shown) {
			guest->stalled = true;
			return false;
		}
		/* Nobody looks: a guest must not wait for that. The oldest byte goes. */
		guest->shown++;
		guest->lost++;
	}
	guest->output[guest->written++ % CONSOLE_OUTPUT] = byte;
	return true;
}

/* Of the UART: takes a byte that the guest wrote. */
static bool guest_put(struct uart_sink *sink, uint8_t byte)
{
	struct guest_console *guest = container_of(sink, struct guest_console, sink);
	bool shown = is_shown(guest);

	if (!keep(guest, shown, (char)byte))
		return false;
	if (shown)
		show(guest);
	return true;
}

static struct guest_console *of_virtio(struct virtio_console_sink *sink)
{
	return container_of(sink, struct guest_console, virtio_sink);
}

/* The same of a virtio console, for several bytes. */
static size_t virtio_put(struct virtio_console_sink *sink, const char *text, size_t len)
{
	struct guest_console *guest = of_virtio(sink);
	size_t n = 0;
	bool shown;

	lock(guest);
	shown = is_shown(guest);
	while (n < len && keep(guest, shown, text[n]))
		n++;
	if (shown && n)
		show(guest);
	unlock(guest);
	return n;
}

/* Lets the guest go on if it had to wait. Not from guest_put(), which the UART calls. Locked. */
static void resume(struct guest_console *guest)
{
	if (!guest->stalled)
		return;
	guest->stalled = false;
	uart_tx_ready(guest->uart);
	if (guest->virtio)
		virtio_console_tx_ready(guest->virtio);
}

/* There is room for typed bytes again: the line may be read if it was not. Locked. */
static void made_room(struct guest_console *guest)
{
	if (!guest->holding)
		return;
	guest->holding = false;
	sched_poke(0);
}

/* Takes up to @len typed bytes. Locked. */
static size_t take(struct guest_console *guest, uint8_t *bytes, size_t len)
{
	len = MIN(len, guest->received - guest->delivered);
	for (size_t i = 0; i < len; i++)
		bytes[i] = guest->input[guest->delivered++ % CONSOLE_INPUT];
	if (len)
		made_room(guest);
	return len;
}

static bool virtio_waiting(struct virtio_console_sink *sink)
{
	struct guest_console *guest = of_virtio(sink);
	bool waiting;

	lock(guest);
	waiting = guest->delivered < guest->received;
	unlock(guest);
	return waiting;
}

static size_t virtio_get(struct virtio_console_sink *sink, uint8_t *bytes, size_t len)
{
	struct guest_console *guest = of_virtio(sink);

	lock(guest);
	len = take(guest, bytes, len);
	unlock(guest);
	return len;
}

/*
 * Hands typed bytes to the UART until it takes no more; or has a virtio console come for them, once
 * that has a driver. Locked.
 */
static void deliver(struct guest_console *guest)
{
	if (guest->virtio && virtio_console_open(guest->virtio)) {
		if (guest->delivered < guest->received)
			virtio_console_rx_ready(guest->virtio);
		return;
	}
	if (guest->delivering)
		return;
	guest->delivering = true;
	while (guest->delivered < guest->received) {
		size_t at = guest->delivered % CONSOLE_INPUT;
		size_t len = MIN(guest->received - guest->delivered, CONSOLE_INPUT - at);
		size_t taken = uart_receive(guest->uart, guest->input + at, len);

		guest->delivered += taken;
		if (!taken)
			break;
		made_room(guest);
	}
	guest->delivering = false;
}

/* Of the UART: the guest can take bytes again. */
static void rx_room(struct uart_sink *sink)
{
	deliver(container_of(sink, struct guest_console, sink));
}

struct guest_console *mux_front(void)
{
	return front;
}

struct guest_console *mux_last(void)
{
	return last ? last : guests;
}

struct guest_console *mux_find(const struct vm *vm)
{
	struct guest_console *guest = guests;

	while (guest && guest->vm != vm)
		guest = guest->next;
	return guest;
}

static void hold_over(struct timer *t)
{
	(void)t;
	sched_kick();
}

void mux_add(struct guest_console *guest)
{
	struct guest_console **end = &guests;

	while (*end)
		end = &(*end)->next;
	*end = guest;
	guest->sink.put = guest_put;
	guest->sink.rx_room = rx_room;
	timer_init(&guest->ask, ask_again);
	if (!hold.over.fire)
		timer_init(&hold.over, hold_over);
	guest->virtio_sink.put = virtio_put;
	guest->virtio_sink.waiting = virtio_waiting;
	guest->virtio_sink.get = virtio_get;
	if (guest->virtio)
		virtio_console_connect(guest->virtio, &guest->virtio_sink);
	lock(guest);
	uart_connect(guest->uart, &guest->sink);
	unlock(guest);
}

void mux_resize(uint16_t columns, uint16_t rows)
{
	for (struct guest_console *guest = guests; guest; guest = guest->next)
		if (guest->virtio)
			virtio_console_resize(guest->virtio, columns, rows);
}

void mux_switch(struct guest_console *guest)
{
	struct guest_console *before = front;
	uint64_t lost;

	__atomic_store_n(&front, guest, __ATOMIC_SEQ_CST);
	if (before) {
		lock(before);
		resume(before);
		unlock(before);
	}
	if (!guest)
		return;
	last = guest;
	tty_fresh_line();
	format_sink(&tty, "[socle] console of %s, Ctrl-] for the prompt\n",
		    guest->vm->settings.name);
	lock(guest);
	lost = guest->lost;
	guest->lost = 0;
	unlock(guest);
	if (lost)
		format_sink(&tty, "[socle] %lu bytes of its output were lost\n", lost);
	lock(guest);
	drain(guest);
	unlock(guest);
}

size_t mux_room(void)
{
	uint64_t now = time_now();
	size_t room;

	if (!front)
		return SIZE_MAX;
	lock(front);
	room = CONSOLE_INPUT - (front->received - front->delivered);
	front->holding = !room;
	if (!room && (hold.guest != front || hold.delivered != front->delivered)) {
		hold.guest = front;
		hold.delivered = front->delivered;
		hold.until = now + HOLD_NS;
		timer_set(&hold.over, hold.until);
	}
	unlock(front);
	if (room)
		return room;
	/* What follows may be the key that leaves this guest. */
	return now < hold.until ? 0 : SIZE_MAX;
}

void mux_input(uint8_t byte)
{
	bool full;

	if (!front)
		return;
	lock(front);
	full = front->received - front->delivered == CONSOLE_INPUT;
	if (!full) {
		front->input[front->received++ % CONSOLE_INPUT] = byte;
		deliver(front);
	}
	unlock(front);
	if (full)
		tty_write("\a", 1);
}

void mux_drop_input(struct guest_console *guest)
{
	lock(guest);
	guest->delivered = guest->received;
	made_room(guest);
	unlock(guest);
}

void mux_poll(void)
{
	if (!front)
		return;
	lock(front);
	drain(front);
	if (front->written - front->shown < CONSOLE_OUTPUT)
		resume(front);
	unlock(front);
}

void mux_catch_up(void)
{
	if (!front || !spin_try_lock(&front->vm->chips))
		return;
	drain(front);
	unlock(front);
}

/* Without the lock, which the interrupted code may wait for: a hint. */
bool console_waiting(void)
{
	return front && READ_ONCE(front->shown) < READ_ONCE(front->written);
}
