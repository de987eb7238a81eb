/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as socle.conf: the settings that come out must be within their limits. */
#include <stdlib.h>
#include <string.h>

#include "../../lib/format.c"
#include "../../lib/string.c"
#include "../../loader/conf.c"
#include "../../loader/conf_keys.c"
#include "../../loader/conf_text.c"

const struct boot_module *boot_module_find(const char *name)
{
	static const struct boot_module module;

	return name[0] == 'x' ? NULL : &module;
}

static void check_message(struct conf *conf, const char *message)
{
	if (conf->errors > CONF_MESSAGES_MAX || strncmp(message, "socle.conf:", 11) != 0 ||
	    strlen(message) >= CONF_MESSAGE_MAX)
		abort();
	for (; *message; message++) {
		if (*message < ' ' || *message > '~')
			abort();
	}
}

static void check_vm(const struct conf *conf, const struct vm_settings *vm)
{
	if (!vm->name[0] || !vm->kernel[0] || !vm->cpus || vm->cpus > VM_MAX_VCPUS ||
	    vm->memory < MiB || vm->memory % MiB || vm->module_count > VM_MODULES_MAX ||
	    strlen(vm->cmdline) >= VM_CMDLINE_MAX || !vm->weight || vm->weight > VM_WEIGHT_MAX ||
	    vm->cap > 100 * vm->cpus || !vm->cpuset)
		abort();
	for (unsigned i = 0; i < vm->module_count; i++) {
		const char *string = vm->modules[i].string;

		if (string < conf->pool || string + strlen(string) >= conf->pool + conf->pool_used)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vm_settings vms[4];
	static char pool[256];
	struct conf conf = {
		.vms = vms,
		.vms_max = ARRAY_SIZE(vms),
		.pool = pool,
		.pool_size = sizeof(pool),
		.error = check_message,
	};

	if ((conf_parse(&conf, (const char *)data, size) != 0) != (conf.errors != 0))
		abort();
	for (unsigned i = 0; i < conf.vm_count; i++)
		check_vm(&conf, &vms[i]);
	return 0;
}
