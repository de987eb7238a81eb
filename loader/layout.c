/* SPDX-License-Identifier: BSD-2-Clause */
/* What a PC's firmware tells about its memory: the e820 map of a guest. */
#include "layout.h"

/* Adds the part of @slot that lies in [from, to), if there is one. */
static unsigned add_part(struct e820_entry *entry, const struct guest_slot *slot, uint64_t from,
			 uint64_t to)
{
	uint64_t start = MAX(slot->base, from), end = MIN(slot->base + slot->size, to);

	if (start >= end)
		return 0;
	*entry = (struct e820_entry){.addr = start, .size = end - start, .type = E820_RAM};
	return 1;
}

unsigned e820_build(const struct guest_mem *mem, struct e820_entry map[E820_MAX])
{
	unsigned slots = MIN(mem->slots, (unsigned)GUEST_MEM_SLOTS), count = 0;

	for (unsigned i = 0; i < slots; i++)
		count += add_part(&map[count], &mem->slot[i], 0, LOW_RAM_END);
	map[count++] = (struct e820_entry){LOW_RAM_END, LOW_EBDA_END - LOW_RAM_END, E820_RESERVED};
	map[count++] =
		(struct e820_entry){LOW_FIRMWARE, HIGH_RAM_START - LOW_FIRMWARE, E820_RESERVED};
	for (unsigned i = 0; i < slots; i++)
		count += add_part(&map[count], &mem->slot[i], HIGH_RAM_START, UINT64_MAX);
	return count;
}

uint64_t high_ram_end(const struct guest_mem *mem)
{
	for (unsigned i = 0; i < MIN(mem->slots, (unsigned)GUEST_MEM_SLOTS); i++) {
		const struct guest_slot *slot = &mem->slot[i];

		if (slot->base <= HIGH_RAM_START && slot->base + slot->size > HIGH_RAM_START)
			return MIN(slot->base + slot->size, 4 * GiB);
	}
	return HIGH_RAM_START;
}
