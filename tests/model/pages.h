/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory for what the rooms allocate, from the start again at each power-on. */
#ifndef TESTS_MODEL_PAGES_H
#define TESTS_MODEL_PAGES_H

#include "socle/mm/frames.h"

static _Alignas(PAGE_SIZE) uint8_t pages[64 * PAGE_SIZE];
static size_t pages_used;

void *pages_alloc(size_t bytes, uint32_t owner __unused)
{
	void *p = &pages[pages_used];

	pages_used += ALIGN_UP(bytes, (size_t)PAGE_SIZE);
	assert_true(pages_used <= sizeof(pages));
	return p;
}

#endif
