/* SPDX-License-Identifier: BSD-2-Clause */
/* The line editor of the prompt. */
#ifndef SOCLE_CONSOLE_LINE_H
#define SOCLE_CONSOLE_LINE_H

#include "socle/base.h"

enum {
	LINE_SIZE = 256,   /* bytes of a line, with its final NUL */
	LINE_HISTORY = 16, /* lines kept */
};

/* What became of a byte. */
enum line_event {
	LINE_EDITED,  /* the line goes on */
	LINE_ENTER,   /* the line is complete; call line_begin() once it is used */
	LINE_REFUSED, /* likewise, but it is not what was typed: it must not be run */
	LINE_CANCEL,  /* thrown away by Ctrl-C */
	LINE_TAB,     /* completion is asked for */
};

/* Where in an escape sequence the input is (ECMA-48, 5.4). */
enum line_escape {
	ESCAPE_NONE,
	ESCAPE_START, /* after ESC */
	ESCAPE_CSI,   /* after ESC [ */
	ESCAPE_SS3,   /* after ESC O */
};

/* Zeroed and with @prompt set at first. */
struct line_editor {
	const char *prompt;	 /* what stands before the line */
	char text[LINE_SIZE];	 /* the line; @text[@len] is NUL */
	unsigned len;		 /* bytes in it */
	unsigned cursor;	 /* where the next byte is inserted, up to @len */
	bool garbled;		 /* bytes were typed that are not in @text */
	bool after_cr;		 /* the last byte was CR: a following LF belongs to it */
	enum line_escape escape; /* of the input */
	unsigned parameter;	 /* number in a CSI sequence */
	unsigned escape_len;	 /* bytes of the sequence */
	char saved[LINE_SIZE];	 /* the line that was left to look at older ones */
	char history[LINE_HISTORY][LINE_SIZE]; /* ring of older lines */
	unsigned entered;		       /* lines that went into the history since ever */
	unsigned back; /* how far back the line shown is; 0: the one being typed */
};

/* Begins an empty line; shows nothing. */
void line_begin(struct line_editor *e);

/* Prints the prompt and the line at the cursor, or removes them again. */
void line_show(const struct line_editor *e);
void line_hide(const struct line_editor *e);

/* Takes a byte of input and echoes what it does. */
enum line_event line_input(struct line_editor *e, uint8_t byte);

/* Inserts text at the cursor, as if it was typed. */
void line_insert(struct line_editor *e, const char *text, size_t len);

#endif
