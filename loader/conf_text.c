/* SPDX-License-Identifier: BSD-2-Clause */
/* The text of socle.conf: pieces of it, and messages about it. */
#include "conf_keys.h"
#include "socle/format.h"
#include "socle/string.h"

void conf_error(struct conf *conf, const char *fmt, ...)
{
	char text[CONF_MESSAGE_MAX];
	size_t used = format(text, sizeof(text), CONF_NAME ":%u: ", conf->line);
	va_list args;

	conf->broken = true;
	if (++conf->errors > CONF_MESSAGES_MAX)
		return;
	va_start(args, fmt);
	format_v(text + used, sizeof(text) - used, fmt, args);
	va_end(args);
	/* What the file contains goes to a terminal: nothing but plain text. */
	for (char *c = text; *c; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
	conf->error(conf, text);
	if (conf->errors == CONF_MESSAGES_MAX)
		conf->error(conf, CONF_NAME ": further errors are not shown, correct these first");
}

bool slice_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

struct slice slice_trim(struct slice x)
{
	for (; x.len && slice_space(x.s[0]); x.len--)
		x.s++;
	while (x.len && slice_space(x.s[x.len - 1]))
		x.len--;
	return x;
}

bool slice_is(struct slice x, const char *text)
{
	return x.len == strlen(text) && memcmp(x.s, text, x.len) == 0;
}

struct slice slice_word(struct slice *x)
{
	struct slice word = {x->s, 0};

	while (word.len < x->len && !slice_space(x->s[word.len]))
		word.len++;
	x->s += word.len;
	x->len -= word.len;
	*x = slice_trim(*x);
	return word;
}

bool slice_copy(char *dst, size_t size, struct slice x)
{
	if (x.len >= size)
		return false;
	memcpy(dst, x.s, x.len);
	dst[x.len] = '\0';
	return true;
}

struct slice slice_cut(struct slice *x, char separator)
{
	struct slice head = {x->s, 0};

	while (head.len < x->len && x->s[head.len] != separator)
		head.len++;
	x->s += head.len;
	x->len -= head.len;
	return slice_trim(head);
}

unsigned slice_distance(struct slice a, const char *b)
{
	unsigned row[TYPO_MAX + 1];
	size_t len = MIN(strlen(b), (size_t)TYPO_MAX);

	if (a.len > TYPO_MAX)
		return TYPO_DISTANCE;
	for (size_t j = 0; j <= len; j++)
		row[j] = (unsigned)j;
	for (size_t i = 0; i < a.len; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i + 1;
		for (size_t j = 0; j < len; j++) {
			unsigned replace = diagonal + (a.s[i] != b[j]);
			unsigned insert = MIN(row[j], row[j + 1]) + 1;

			diagonal = row[j + 1];
			row[j + 1] = MIN(replace, insert);
		}
	}
	return row[len];
}
