/* SPDX-License-Identifier: BSD-2-Clause */
/* English texts for the errors that functions return. */
#include "socle/status.h"

const char *status_text(status_t status)
{
	/* Negated in unsigned arithmetic: the lowest integer has no positive counterpart. */
	switch (-(unsigned)status) {
	case 0:
		return "ok";
	case S_PERM:
		return "not allowed";
	case S_NOENT:
		return "no such thing";
	case S_IO:
		return "device error";
	case S_2BIG:
		return "too large";
	case S_NOEXEC:
		return "not an image that can be run";
	case S_AGAIN:
		return "not now";
	case S_NOMEM:
		return "out of memory";
	case S_FAULT:
		return "address outside the guest's memory";
	case S_BUSY:
		return "busy";
	case S_EXIST:
		return "already there";
	case S_NODEV:
		return "no such device or feature";
	case S_INVAL:
		return "bad argument";
	case S_NOSPC:
		return "no room left";
	case S_RANGE:
		return "number out of range";
	case S_NOSYS:
		return "unknown call";
	case S_NOTSUP:
		return "not supported";
	}
	return "unknown error";
}
