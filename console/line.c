/* SPDX-License-Identifier: BSD-2-Clause */
/* The line editor of the prompt; needs nothing of the terminal but backspace and CR. */
#include "line.h"
#include "socle/string.h"
#include "tty.h"

#define CTRL(c) ((c)&0x1f)

enum {
	KEY_ESC = 0x1b,
	KEY_DEL = 0x7f,
	ESCAPE_MAX = 16, /* longer sequences are no key: back to text */
};

static void repeat(char c, unsigned count)
{
	while (count--)
		tty_write(&c, 1);
}

static void beep(void)
{
	repeat('\a', 1);
}

void line_begin(struct line_editor *e)
{
	e->len = e->cursor = e->back = 0;
	e->text[0] = '\0';
	e->garbled = false;
	e->escape = ESCAPE_NONE;
}

void line_show(const struct line_editor *e)
{
	tty_write(e->prompt, strlen(e->prompt));
	tty_write(e->text, e->len);
	repeat('\b', e->len - e->cursor);
}

void line_hide(const struct line_editor *e)
{
	repeat('\r', 1);
	repeat(' ', (unsigned)strlen(e->prompt) + e->len);
	repeat('\r', 1);
}

static void move_to(struct line_editor *e, unsigned cursor)
{
	if (cursor < e->cursor)
		repeat('\b', e->cursor - cursor);
	else
		tty_write(e->text + e->cursor, cursor - e->cursor);
	e->cursor = cursor;
}

/* Removes [from, to) and leaves the cursor there. */
static void erase(struct line_editor *e, unsigned from, unsigned to)
{
	unsigned count = to - from, tail = e->len - to;

	move_to(e, from);
	memmove(e->text + from, e->text + to, tail + 1);
	e->len -= count;
	tty_write(e->text + from, tail);
	repeat(' ', count);
	repeat('\b', tail + count);
}

void line_insert(struct line_editor *e, const char *text, size_t len)
{
	if (len > LINE_SIZE - 1 - e->len) {
		/* Part of a command could be another command. */
		e->garbled = true;
		beep();
		return;
	}
	memmove(e->text + e->cursor + len, e->text + e->cursor, e->len - e->cursor + 1);
	memcpy(e->text + e->cursor, text, len);
	e->len += (unsigned)len;
	tty_write(e->text + e->cursor, e->len - e->cursor);
	e->cursor += (unsigned)len;
	repeat('\b', e->len - e->cursor);
}

/* Puts @text in the place of the whole line. */
static void replace(struct line_editor *e, const char *text)
{
	erase(e, 0, e->len);
	line_insert(e, text, strlen(text));
}

/* Shows the line that was entered @back lines ago; 0: the one that was being typed. */
static void recall(struct line_editor *e, unsigned back)
{
	if (back > MIN(e->entered, (unsigned)LINE_HISTORY)) {
		beep();
		return;
	}
	if (!e->back)
		memcpy(e->saved, e->text, e->len + 1);
	e->back = back;
	replace(e, back ? e->history[(e->entered - back) % LINE_HISTORY] : e->saved);
}

static void newer(struct line_editor *e)
{
	if (e->back)
		recall(e, e->back - 1);
	else
		beep();
}

static bool is_blank(const char *text)
{
	while (*text == ' ')
		text++;
	return !*text;
}

static void remember(struct line_editor *e)
{
	if (is_blank(e->text) ||
	    (e->entered && strcmp(e->text, e->history[(e->entered - 1) % LINE_HISTORY]) == 0))
		return;
	memcpy(e->history[e->entered % LINE_HISTORY], e->text, e->len + 1);
	/* Kept below twice the size, so that it never overflows: only its remainder counts. */
	if (++e->entered == 2 * LINE_HISTORY)
		e->entered = LINE_HISTORY;
}

static void erase_word(struct line_editor *e)
{
	unsigned from = e->cursor;

	while (from && e->text[from - 1] == ' ')
		from--;
	while (from && e->text[from - 1] != ' ')
		from--;
	erase(e, from, e->cursor);
}

static void backspace(struct line_editor *e)
{
	if (e->cursor)
		erase(e, e->cursor - 1, e->cursor);
	else
		beep();
}

static void delete_char(struct line_editor *e)
{
	if (e->cursor < e->len)
		erase(e, e->cursor, e->cursor + 1);
	else
		beep();
}

/* The key that ends in @final after ESC [ or ESC O; @number is the first parameter or 0. */
static void function_key(struct line_editor *e, uint8_t final, unsigned number)
{
	if (final == 'A')
		recall(e, e->back + 1);
	else if (final == 'B')
		newer(e);
	else if (final == 'C')
		move_to(e, MIN(e->cursor + 1, e->len));
	else if (final == 'D')
		move_to(e, e->cursor ? e->cursor - 1 : 0);
	else if (final == 'H' || (final == '~' && (number == 1 || number == 7)))
		move_to(e, 0);
	else if (final == 'F' || (final == '~' && (number == 4 || number == 8)))
		move_to(e, e->len);
	else if (final == '~' && number == 3)
		delete_char(e);
}

/* Takes a byte of an escape sequence; false if it is none and counts as a byte by itself. */
static bool escape_input(struct line_editor *e, uint8_t byte)
{
	enum line_escape escape = e->escape;

	if (byte < ' ' || byte >= KEY_DEL || ++e->escape_len > ESCAPE_MAX) {
		e->escape = ESCAPE_NONE;
		return false;
	}
	if (escape == ESCAPE_START && (byte == '[' || byte == 'O')) {
		e->escape = byte == '[' ? ESCAPE_CSI : ESCAPE_SS3;
		e->parameter = 0;
		return true;
	}
	if (escape == ESCAPE_CSI && byte < '@') {
		if (byte >= '0' && byte <= '9')
			e->parameter = e->parameter * 10 % 1000 + (byte - '0');
		return true;
	}
	e->escape = ESCAPE_NONE;
	if (escape != ESCAPE_START)
		function_key(e, byte, e->parameter);
	return true; /* ESC and a letter: no key of ours */
}

/* Ends the line by CR or LF. */
static enum line_event enter(struct line_editor *e)
{
	move_to(e, e->len);
	tty_write("\r\n", 2);
	if (e->garbled)
		return LINE_REFUSED;
	remember(e);
	return LINE_ENTER;
}

/* Control characters that edit the line, by their codes. */
static void edit(struct line_editor *e, uint8_t byte)
{
	switch (byte) {
	case CTRL('A'):
		move_to(e, 0);
		break;
	case CTRL('B'):
		move_to(e, e->cursor ? e->cursor - 1 : 0);
		break;
	case CTRL('D'):
		delete_char(e);
		break;
	case CTRL('E'):
		move_to(e, e->len);
		break;
	case CTRL('F'):
		move_to(e, MIN(e->cursor + 1, e->len));
		break;
	case CTRL('H'):
	case KEY_DEL:
		backspace(e);
		break;
	case CTRL('K'):
		erase(e, e->cursor, e->len);
		break;
	case CTRL('N'):
		newer(e);
		break;
	case CTRL('P'):
		recall(e, e->back + 1);
		break;
	case CTRL('U'):
		erase(e, 0, e->cursor);
		/* The way out of a garbled line, once nothing of it is left. */
		if (!e->len)
			e->garbled = false;
		break;
	case CTRL('W'):
		erase_word(e);
		break;
	default: /* noise: harmless before a line, but within it the line is not what was meant */
		if (e->len)
			e->garbled = true;
		beep();
		break;
	}
}

static enum line_event control_input(struct line_editor *e, uint8_t byte)
{
	switch (byte) {
	case '\r':
		e->after_cr = true;
		return enter(e);
	case '\n':
		return enter(e);
	case '\t':
		return LINE_TAB;
	case CTRL('C'):
		tty_write("^C\r\n", 4);
		return LINE_CANCEL;
	case CTRL('L'):
		tty_write("\r\n", 2);
		line_show(e);
		break;
	case KEY_ESC:
		e->escape = ESCAPE_START;
		e->escape_len = 0;
		break;
	default:
		edit(e, byte);
		break;
	}
	return LINE_EDITED;
}

enum line_event line_input(struct line_editor *e, uint8_t byte)
{
	bool after_cr = e->after_cr;
	char c = (char)byte;

	e->after_cr = false;
	if (byte == '\n' && after_cr)
		return LINE_EDITED;
	if (e->escape != ESCAPE_NONE && escape_input(e, byte))
		return LINE_EDITED;
	if (byte < ' ' || byte >= KEY_DEL)
		return control_input(e, byte);
	line_insert(e, &c, 1);
	return LINE_EDITED;
}
