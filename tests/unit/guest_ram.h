/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests: a guest's memory as one zeroed array, and boot modules made by the test. */
#ifndef TESTS_UNIT_GUEST_RAM_H
#define TESTS_UNIT_GUEST_RAM_H

#include <stdlib.h>
#include <string.h>

#include "socle/kernel/config.h"
#include "socle/mm/guestmem.h"

/* Addresses above the array are RAM as well, if the slots say so, but bytes for them get lost. */
static uint8_t *ram;
static uint64_t ram_size;

static void ram_new(struct guest_mem *mem, uint64_t size, uint64_t array)
{
	uint64_t low = MIN(size, 0xc0000000ull);

	free(ram);
	ram_size = MIN(low, array);
	ram = calloc(1, ram_size);
	mem->slots = 0;
	mem->slot[mem->slots++] = (struct guest_slot){0, MIN(low, 0xa0000ull)};
	if (low > 0xc0000)
		mem->slot[mem->slots++] = (struct guest_slot){0xc0000, low - 0xc0000};
	if (size > low)
		mem->slot[mem->slots++] = (struct guest_slot){4 * GiB, size - low};
}

bool guest_is_ram(const struct guest_mem *mem, uint64_t gpa, uint64_t len)
{
	for (unsigned i = 0; i < mem->slots; i++) {
		const struct guest_slot *slot = &mem->slot[i];

		if (gpa >= slot->base && gpa - slot->base < slot->size &&
		    len <= slot->size - (gpa - slot->base))
			return true;
	}
	return false;
}

status_t guest_write(struct guest_mem *mem, uint64_t gpa, const void *src, size_t len)
{
	if (!len || !guest_is_ram(mem, gpa, len))
		return -S_FAULT;
	if (gpa < ram_size)
		memcpy(ram + gpa, src, MIN(len, ram_size - gpa));
	return 0;
}

/* Boot modules on the heap, so that ASan sees a read past their ends. */
static struct boot_module boot_modules[24];
static unsigned boot_module_count;

static inline void modules_clear(void)
{
	for (unsigned i = 0; i < boot_module_count; i++)
		free((void *)(uintptr_t)boot_modules[i].data);
	boot_module_count = 0;
}

static inline uint8_t *module_new(const char *name, const void *data, size_t size)
{
	struct boot_module *module = &boot_modules[boot_module_count++];
	uint8_t *copy = malloc(size ? size : 1);

	if (data)
		memcpy(copy, data, size);
	else
		memset(copy, 0, size);
	strncpy(module->name, name, sizeof(module->name) - 1);
	module->data = copy;
	module->size = size;
	return copy;
}

const struct boot_module *boot_module_find(const char *name)
{
	for (unsigned i = 0; i < boot_module_count; i++) {
		if (strcmp(boot_modules[i].name, name) == 0)
			return &boot_modules[i];
	}
	return NULL;
}

#endif
