/* SPDX-License-Identifier: BSD-2-Clause */
/* The files that the boot loader put into memory, by name. */
#include "socle/kernel/config.h"
#include "socle/string.h"

enum { MODULES_MAX = 32 };

/* Filled at boot, then read-only. */
static struct boot_module modules[MODULES_MAX];
static unsigned count;

bool boot_module_add(const char *name, const uint8_t *data, uint64_t size)
{
	if (count == MODULES_MAX || boot_module_find(name))
		return false;
	str_copy(modules[count].name, sizeof(modules[count].name), name);
	modules[count].data = data;
	modules[count].size = size;
	count++;
	return true;
}

const struct boot_module *boot_module_find(const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (!strcmp(modules[i].name, name))
			return &modules[i];
	return NULL;
}
