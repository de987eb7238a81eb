/* SPDX-License-Identifier: BSD-2-Clause */
/* Puts a guest's kernel and its modules into the guest's memory, ready to run. */
#ifndef SOCLE_LOADER_LOAD_H
#define SOCLE_LOADER_LOAD_H

#include "socle/guest/state.h"
#include "socle/kernel/vm.h"

/* Where the guest's ACPI root pointer is, and the range that the ACPI tables may take. */
#define LOADER_RSDP	0xe0000u
#define LOADER_ACPI_END 0x100000u

/* Enough for every message of loader_load(). */
#define LOADER_ERROR_MAX 192

/*
 * Loads @vm's kernel, a Linux bzImage or a multiboot 1 image, with its initrd or modules, and fills
 * @state with what the boot processor starts with. The VM is stopped, its memory described by
 * @vm->mem and still all zero except for [LOADER_RSDP, LOADER_ACPI_END).
 *
 * Returns 0; -S_NOENT: a module is missing; -S_NOEXEC: not a kernel that can be started;
 * -S_2BIG: does not fit into the guest's memory; -S_INVAL: settings that do not suit the kernel;
 * -S_NOMEM: the host has no memory left. Then @err has one line for people, and the guest's memory
 * is to be thrown away.
 */
status_t __must_check loader_load(struct vm *vm, struct x86_state *state, char *err,
				  size_t err_size);

#endif
