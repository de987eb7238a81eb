/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of errors: functions that can fail return 0 or one of these, negated. */
#ifndef SOCLE_STATUS_H
#define SOCLE_STATUS_H

#include "socle/base.h"

/* The values are Linux's, so that an administrator's tools may show the usual texts. */
enum status_code {
	S_PERM = 1,	/* not allowed */
	S_NOENT = 2,	/* no such thing */
	S_IO = 5,	/* device error */
	S_2BIG = 7,	/* too large for what it must fit into */
	S_NOEXEC = 8,	/* not an image that can be run */
	S_AGAIN = 11,	/* not now */
	S_NOMEM = 12,	/* out of memory */
	S_FAULT = 14,	/* address outside the guest's memory */
	S_BUSY = 16,	/* frozen, or in use */
	S_EXIST = 17,	/* already there */
	S_NODEV = 19,	/* no such device or feature */
	S_INVAL = 22,	/* bad argument or value */
	S_NOSPC = 28,	/* a table is full */
	S_RANGE = 34,	/* number out of range */
	S_NOSYS = 38,	/* unknown call */
	S_NOTSUP = 95,	/* known, not supported by this CPU or build */
};

/* 0, or a negated enum status_code. Ignoring it is a compile error where declared so. */
typedef int status_t;

/* Short English text for a status ("out of memory"); "ok" for 0. Never NULL. */
const char *status_text(status_t status);

#endif
