/* SPDX-License-Identifier: BSD-2-Clause */
/* The ACPI tables that describe a guest's machine to its operating system. */
#ifndef SOCLE_PLATFORM_ACPI_TABLES_H
#define SOCLE_PLATFORM_ACPI_TABLES_H

#include "socle/base.h"
#include "socle/status.h"
#include "socle/kernel/config.h"

#define ACPI_TABLES_GPA	 0xe0000ull /* where guests look for the RSDP: up to 1 MiB */
#define ACPI_TABLES_SIZE 0x20000ull

/*
 * Writes the tables for a machine with @settings into @buf, to be copied to guest-physical @gpa.
 * The RSDP comes first, so @gpa must be a multiple of 64, and below 4 GiB. Returns -S_INVAL for a
 * bad @gpa or CPU count, -S_NOSPC if @size bytes are not enough.
 */
status_t __must_check acpi_tables_build(const struct vm_settings *settings, uint8_t *buf,
					size_t size, uint64_t gpa);

#endif
