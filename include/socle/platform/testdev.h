/* SPDX-License-Identifier: BSD-2-Clause */
/* The test device at port 0xe4: writing a guest-physical address moves that page, reading counts.
 */
#ifndef SOCLE_PLATFORM_TESTDEV_H
#define SOCLE_PLATFORM_TESTDEV_H

#include "socle/status.h"

struct vm;

/* Puts it on @vm's bus, for guests with `test-device = yes`. -S_NOMEM, or the bus's error. */
status_t __must_check testdev_add(struct vm *vm);

#endif
