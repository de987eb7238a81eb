/* SPDX-License-Identifier: BSD-2-Clause */
/* The prompt: finds the command that a line means, checks its arguments, completes words. */
#include "shell.h"
#include "line.h"
#include "socle/kernel/vm.h"
#include "socle/string.h"
#include "tty.h"

/* The name's two words and the arguments. */
#define WORDS_MAX (COMMAND_ARGS_MAX + 2)

static struct line_editor editor = {.prompt = "socle> "};
static bool busy; /* a command runs */

/* A line cut into words. */
struct words {
	unsigned count;		      /* of words */
	const char *word[WORDS_MAX];  /* in @buf, each ends in a NUL */
	const char *start[WORDS_MAX]; /* the same in the line as it was typed */
	bool too_many;		      /* there were more */
	char buf[LINE_SIZE];
};

static void split(struct words *w, const char *line)
{
	bool inside = false;

	w->count = 0;
	w->too_many = false;
	str_copy(w->buf, sizeof(w->buf), line);
	for (char *c = w->buf; *c; c++) {
		if (*c == ' ') {
			*c = '\0';
			inside = false;
		} else if (!inside) {
			inside = true;
			if (w->count == WORDS_MAX) {
				w->too_many = true;
				return;
			}
			w->start[w->count] = line + (c - w->buf);
			w->word[w->count++] = c;
		}
	}
}

const struct console_command *command_next(const struct console_command *command)
{
	const struct console_command *const *pos, *next = NULL;

	/* The table is in no order: neither the compiler nor the linker keeps one. */
	section_for_each (pos, console_commands) {
		if ((!command || strcmp((*pos)->name, command->name) > 0) &&
		    (!next || strcmp((*pos)->name, next->name) < 0))
			next = *pos;
	}
	return next;
}

/* Length of the first word of @s, and where its second word is; "" if it has one. */
static size_t first_len(const char *s)
{
	const char *space = strchr(s, ' ');

	return space ? (size_t)(space - s) : strlen(s);
}

static const char *second_word(const char *s)
{
	const char *space = strchr(s, ' ');

	return space ? space + 1 : "";
}

static bool first_is(const struct console_command *command, const char *word)
{
	size_t len = first_len(command->name);

	return strlen(word) == len && strncmp(command->name, word, len) == 0;
}

/* The command that the first words name, and of how many words its name consists. */
static const struct console_command *find_command(const struct words *w, unsigned *name_words)
{
	const struct console_command *pos, *found = NULL;

	for (pos = command_next(NULL); pos; pos = command_next(pos)) {
		const char *second = second_word(pos->name);

		if (!w->count || !first_is(pos, w->word[0]))
			continue;
		if (*second && (w->count < 2 || strcmp(w->word[1], second) != 0))
			continue;
		if (!found || *second) {
			found = pos;
			*name_words = *second ? 2 : 1;
		}
	}
	return found;
}

/* Counts the arguments that a command's description names. */
static void count_args(const char *args, unsigned *min, unsigned *max)
{
	*min = *max = 0;
	while (*args) {
		size_t len = first_len(args);

		++*max;
		if (args[0] != '[')
			*min = *max;
		for (size_t i = 0; i + 2 < len; i++) {
			if (strncmp(args + i, "...", 3) == 0)
				*max = COMMAND_ARGS_MAX;
		}
		args = second_word(args);
	}
}

static void print_usage(const struct console_command *command)
{
	format_sink(&tty, "usage: %s%s%s\n", command->name, command->args[0] ? " " : "",
		    command->args);
}

/* Says what could have been meant by words that are no command. */
static void unknown_command(const struct words *w)
{
	const struct console_command *pos;
	unsigned shown = 0;

	for (pos = command_next(NULL); pos; pos = command_next(pos)) {
		if (!first_is(pos, w->word[0]))
			continue;
		if (!shown++)
			format_sink(&tty, "\"%s\" needs one of these words after it:", w->word[0]);
		format_sink(&tty, " %s", second_word(pos->name));
	}
	if (shown)
		format_sink(&tty, "\n");
	else
		format_sink(&tty, "unknown command \"%s\", try \"help\"\n", w->word[0]);
}

static void run_line(const char *line)
{
	const struct console_command *command;
	struct command_call call = {.out = &tty, .rest = ""};
	unsigned name_words = 0, min, max;
	struct words w;

	split(&w, line);
	if (!w.count)
		return;
	command = find_command(&w, &name_words);
	if (!command) {
		unknown_command(&w);
		return;
	}
	call.argc = w.count - name_words;
	for (unsigned i = 0; i < MIN(call.argc, (unsigned)COMMAND_ARGS_MAX); i++)
		call.argv[i] = w.word[name_words + i];
	if (call.argc)
		call.rest = w.start[name_words];
	count_args(command->args, &min, &max);
	if (call.argc < min) {
		format_sink(&tty, "too few arguments, ");
		print_usage(command);
	} else if (call.argc > max || w.too_many) {
		format_sink(&tty, "too many arguments, ");
		print_usage(command);
	} else {
		command->run(&call);
	}
}

/* How words may be completed at one place of the line, gathered as candidates are tried. */
struct completion {
	const char *typed; /* the beginning of the word */
	size_t len;	   /* of @typed */
	unsigned count;	   /* different candidates so far */
	const char *match; /* one of them */
	size_t common;	   /* bytes that all of them begin with */
	bool list;	   /* print them instead */
};

/* Tries the candidate of @len bytes at @text. */
static void try_word(struct completion *c, const char *text, size_t len)
{
	size_t common = 0;

	if (len < c->len || strncmp(text, c->typed, c->len) != 0)
		return;
	if (c->list)
		format_sink(&tty, "%.*s  ", (int)len, text);
	if (!c->count++) {
		c->match = text;
		c->common = len;
		return;
	}
	while (common < MIN(len, c->common) && text[common] == c->match[common])
		common++;
	c->common = common;
}

/* Tries the first words of all commands, each once: those that are alike are neighbours. */
static void try_first_words(struct completion *c)
{
	const struct console_command *pos, *before = NULL;

	for (pos = command_next(NULL); pos; pos = command_next(pos)) {
		size_t len = first_len(pos->name);

		if (!before || first_len(before->name) != len ||
		    strncmp(before->name, pos->name, len) != 0)
			try_word(c, pos->name, len);
		before = pos;
	}
}

/* Tries all words for the argument that @args describes at place @index. */
static void try_argument(struct completion *c, const char *args, unsigned index)
{
	size_t len;

	while (index-- && *args)
		args = second_word(args);
	len = first_len(args);
	if (len == 4 && strncmp(args, "NAME", 4) == 0) {
		for (struct vm *vm = vm_next(NULL); vm; vm = vm_next(vm))
			try_word(c, vm->settings.name, strlen(vm->settings.name));
	} else if (len == 9 && strncmp(args, "[COMMAND]", 9) == 0) {
		try_first_words(c);
	}
}

/* Tries all words that can stand after the complete words @w. */
static void try_all(struct completion *c, const struct words *w)
{
	const struct console_command *pos, *command;
	unsigned name_words = 0;

	if (!w->count)
		try_first_words(c);
	for (pos = command_next(NULL); pos; pos = command_next(pos)) {
		if (w->count == 1 && first_is(pos, w->word[0]) && *second_word(pos->name))
			try_word(c, second_word(pos->name), strlen(second_word(pos->name)));
	}
	command = find_command(w, &name_words);
	if (command)
		try_argument(c, command->args, w->count - name_words);
}

static void complete(void)
{
	char before[LINE_SIZE];
	struct completion c = {0};
	struct words w;
	unsigned start = editor.cursor;

	while (start && editor.text[start - 1] != ' ')
		start--;
	memcpy(before, editor.text, start);
	before[start] = '\0';
	split(&w, before);
	c.typed = editor.text + start;
	c.len = editor.cursor - start;
	try_all(&c, &w);
	if (!c.count) {
		tty_write("\a", 1);
		return;
	}
	if (c.common > c.len || c.count == 1) {
		line_insert(&editor, c.match + c.len, c.common - c.len);
		if (c.count == 1)
			line_insert(&editor, " ", 1);
		return;
	}
	tty_write("\r\n", 2);
	c.list = true;
	try_all(&c, &w);
	tty_write("\r\n", 2);
	line_show(&editor);
}

void shell_show(void)
{
	tty_fresh_line();
	line_show(&editor);
}

void shell_hide(void)
{
	line_hide(&editor);
}

bool shell_busy(void)
{
	return busy;
}

bool shell_input(uint8_t byte)
{
	switch (line_input(&editor, byte)) {
	case LINE_EDITED:
		return false;
	case LINE_TAB:
		complete();
		return false;
	case LINE_ENTER:
		busy = true;
		run_line(editor.text);
		busy = false;
		break;
	case LINE_REFUSED:
		format_sink(&tty, "not run: the line had bytes that are no text, or too many\n");
		break;
	case LINE_CANCEL:
		break;
	}
	line_begin(&editor);
	return true;
}
