/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of the parser of socle.conf: pieces of text, messages, the table of keys. */
#ifndef LOADER_CONF_KEYS_H
#define LOADER_CONF_KEYS_H

#include "socle/loader/conf.h"

/* A piece of the text; has no final NUL. */
struct slice {
	const char *s; /* first byte */
	size_t len;    /* in bytes */
};

/* How much of a slice a message shows. */
#define SHOWN_MAX 40
#define SHOW(x)	  (int)MIN((x).len, (size_t)SHOWN_MAX), (x).s

enum { CAP_PER_CPU = 100 }; /* percent */

/* Reports an error in @conf->line, which breaks the section. */
void conf_error(struct conf *conf, const char *fmt, ...) __printf(2, 3);

/* True for what may stand around keys and values. */
bool slice_space(char c);

/* @x without the space around it. */
struct slice slice_trim(struct slice x);

bool slice_is(struct slice x, const char *text);

/* Cuts off and returns the first word of @x, which is left trimmed. */
struct slice slice_word(struct slice *x);

/* Cuts off and returns, trimmed, what stands before the first @separator in @x, or all of it. */
struct slice slice_cut(struct slice *x, char separator);

/* Copies @x with a final NUL; false if it does not fit in @size bytes. */
bool slice_copy(char *dst, size_t size, struct slice x);

enum {
	TYPO_MAX = 24,	   /* no key or other name is so long; bounds the work on garbage */
	TYPO_DISTANCE = 4, /* so far apart, it is no typing error */
};

/*
 * Least number of bytes to add, remove or replace to make one text of the other (Levenshtein);
 * TYPO_DISTANCE if @a is too long.
 */
unsigned slice_distance(struct slice a, const char *b);

/* The value of `cpu`: a model and the features that it has more and less (conf_cpu.c). */
bool conf_set_cpu(struct conf *conf, struct slice value);

/* May a network have this name? (conf_net.c) */
bool conf_is_network(struct slice name);

/* The value of `net`: a network and perhaps an address (conf_net.c). */
bool conf_set_net(struct conf *conf, struct slice value);

/* The value of `msr`: a line of the filter (conf_msr.c). */
bool conf_set_msr(struct conf *conf, struct slice value);

/* The value of `vsock`, and a look at all of them for two with one CID (conf_vsock.c). */
bool conf_set_vsock(struct conf *conf, struct slice value);
void conf_check_cids(struct conf *conf);

/*
 * A key of a section. @set stores the value, which is not empty unless @may_be_empty, in @conf->vm;
 * it returns false if the value is not what @expects says, and reports other errors itself.
 */
struct conf_key {
	const char *name;    /* as it stands before the "=" */
	const char *expects; /* completes "must be ..." */
	bool (*set)(struct conf *conf, struct slice value);
	bool repeatable;   /* may stand in a section more than once */
	bool may_be_empty; /* "key =" is fine */
};

extern const struct conf_key conf_keys[]; /* of [vm NAME] */
extern const unsigned conf_key_count;
extern const struct conf_key conf_network_keys[]; /* of [network NAME] (conf_network.c) */
extern const unsigned conf_network_key_count;

/* Begins the section [network @name], with conf->network set if it is right. */
void conf_begin_network(struct conf *conf, struct slice name);

/* Reports what only the whole section shows. */
void conf_check_network(struct conf *conf, const struct network_settings *network);

#endif
