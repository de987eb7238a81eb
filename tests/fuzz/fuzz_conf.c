/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as socle.conf: the settings that come out must be within their limits. */
#include <stdlib.h>
#include <string.h>

#include "../unit/conf_nic_mock.h"
#include "../../lib/format.c"
#include "../../lib/status.c"
#include "../../lib/string.c"
#include "../unit/cpuid_mock.h"
#include "../../loader/conf.c"
#include "../../loader/conf_cpu.c"
#include "../../loader/conf_keys.c"
#include "../../loader/conf_msr.c"
#include "../../loader/conf_net.c"
#include "../../loader/conf_network.c"
#include "../../loader/conf_text.c"
#include "../../loader/conf_vsock.c"

status_t block_find(const char *name, struct block_user *user)
{
	static struct block_disk disk = {.read_only = true};

	*user = (struct block_user){.disk = &disk, .sectors = 100};
	return name[0] == 'x' ? -S_NOENT : 0;
}

const struct boot_module *boot_module_find(const char *name)
{
	static const struct boot_module module;

	return name[0] == 'x' ? NULL : &module;
}

const struct msr_policy *msr_find_name(const char *name, size_t len)
{
	static const struct msr_policy row = {.name = "x", .index = 0x10, .count = 3};

	return len && name[0] == 'x' ? &row : NULL;
}

static void check_filter(const struct vm_msr_filter *filter)
{
	if (filter->count > VM_MSR_RANGES)
		abort();
	for (unsigned i = 0; i < filter->count; i++) {
		const struct vm_msr_range *r = &filter->range[i];

		if (r->first > r->last || !r->access ||
		    (r->first <= MSR_X2APIC_LAST && r->last >= MSR_X2APIC_FIRST))
			abort();
	}
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
	    vm->cap > 100 * vm->cpus || !cpu_model_has(&vm->cpu, GUEST_lm))
		abort();
	check_filter(&vm->msr);
	if ((vm->vsock_cid && vm->vsock_cid < 3) || vm->vsock_cid == UINT32_MAX ||
	    strlen(vm->vsock_group) >= VM_GROUP_MAX)
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
	for (unsigned i = 0; i < conf.network_count; i++)
		if (!conf.networks[i].name[0] || !nic_find(conf.networks[i].uplink))
			abort();
	return 0;
}
