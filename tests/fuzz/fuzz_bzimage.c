/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as a Linux kernel. */
#include "load_any.h"
#include "../../loader/bzimage.c"

NOT_UNDER_TEST(multiboot1)
