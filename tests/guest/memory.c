/* SPDX-License-Identifier: BSD-2-Clause */
/* All memory of the multiboot map holds what is written to it, and starts clean. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "memory";

void test_main(void)
{
	const struct mb_info *mb = mb_info();
	uint64_t total = 0, dirty = 0;

	if (!check(mb->flags & BIT(6), "no memory map"))
		return;
	uint32_t end = mb->mmap_addr + mb->mmap_length;
	for (uint32_t at = mb->mmap_addr; at < end;) {
		const struct mb_mmap *m = (const struct mb_mmap *)(uintptr_t)at;
		uint64_t from = MAX(m->base, (uint64_t)(uintptr_t)image_end);
		uint64_t to = MIN(m->base + m->length, 4 * GiB);

		at += m->size + 4;
		if (m->type != 1)
			continue;
		/* What the boot loader hands over may lie behind the image. */
		from = MAX(from, 4 * MiB);
		for (uint64_t a = from; a + 8 <= to; a += 8)
			if (*(volatile uint64_t *)a)
				dirty++;
		for (uint64_t a = from; a + 8 <= to; a += 8)
			*(volatile uint64_t *)a = a * 0x9e3779b97f4a7c15;
		for (uint64_t a = from; a + 8 <= to; a += 8)
			if (!check(*(volatile uint64_t *)a == a * 0x9e3779b97f4a7c15,
				   "%#lx holds %#lx", a, *(volatile uint64_t *)a))
				break;
		if (to > from)
			total += to - from;
	}
	info("%lu KiB, %lu words were not zero", total >> 10, dirty);
	check(total > 40 * MiB, "only %lu KiB in the map", total >> 10);
	check(!hosted() || !dirty, "%lu words were not zero at the start", dirty);
}
