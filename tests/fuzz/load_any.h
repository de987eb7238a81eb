/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as a kernel of one format: loaded or refused with a message, and read only where they
 * are. */
#ifndef TESTS_FUZZ_LOAD_ANY_H
#define TESTS_FUZZ_LOAD_ANY_H

#include <stdlib.h>
#include <string.h>

#include "../../lib/format.c"
#include "../../lib/status.c"
#include "../../loader/entry.c"
#include "../../loader/layout.c"
#include "../../loader/load.c"
#include "../unit/guest_ram.h"

/* The other format is not under test. */
#define NOT_UNDER_TEST(format)                                \
	bool format##_probe(const struct boot_module *kernel) \
	{                                                     \
		(void)kernel;                                 \
		return false;                                 \
	}                                                     \
	status_t format##_load(struct load_job *job)          \
	{                                                     \
		return load_fail(job, -S_NOSYS, "not here");  \
	}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t memory[] = {1 * MiB, 8 * MiB, 64 * MiB, 5 * GiB};
	static struct vm vm;
	struct x86_state state;
	char err[LOADER_ERROR_MAX] = "";
	char string[] = "string";
	status_t status;
	uint8_t how;

	if (!size)
		return 0;
	how = data[0];
	modules_clear();
	module_new("k", data + 1, size - 1);
	module_new("m", data + 1, (size - 1) / 2);
	strcpy(vm.settings.kernel, "k");
	strcpy(vm.settings.cmdline, "some words");
	vm.settings.memory = memory[how & 3];
	strcpy(vm.settings.initrd, how & 4 ? "m" : "");
	vm.settings.module_count = how >> 3 & 1;
	strcpy(vm.settings.modules[0].name, "m");
	vm.settings.modules[0].string = string;
	ram_new(&vm.mem, vm.settings.memory, 256 * KiB);

	status = loader_load(&vm, &state, err, sizeof(err));
	if ((status != 0) != (err[0] != '\0') || status > 0)
		abort();
	/* guest_is_ram() of the test has let only RAM be written; the entry must be RAM as well. */
	if (!status && !guest_is_ram(&vm.mem, state.rip, 1))
		abort();
	return 0;
}

#endif
