/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as a multiboot 1 kernel. */
#include "load_any.h"
#include "../../loader/elf.c"
#include "../../loader/multiboot1.c"

NOT_UNDER_TEST(bzimage)
