/* SPDX-License-Identifier: BSD-2-Clause */
/* One loading of a guest: what the loaders of the image formats work on, and share. */
#ifndef SOCLE_LOADER_JOB_H
#define SOCLE_LOADER_JOB_H

#include "socle/guest/state.h"
#include "socle/kernel/config.h"
#include "socle/mm/guestmem.h"

struct load_job {
	const struct vm_settings *settings; /* the guest's */
	struct guest_mem *mem;		    /* the guest's, all zero but for the ACPI tables */
	const struct boot_module *kernel;   /* the image, the administrator's and yet not trusted */
	const struct boot_module *initrd;   /* NULL: none */
	const struct boot_module *module[VM_MODULES_MAX]; /* as settings->modules */
	struct x86_state *state;			  /* to be filled */
	char *err;	 /* one line for people, if the loading fails */
	size_t err_size; /* bytes of @err */
};

/* Bytes as MiB, rounded up, for messages. */
static inline uint64_t to_mib(uint64_t bytes)
{
	return DIV_ROUND_UP(bytes, MiB);
}

/* Puts the message into @job->err and returns @status, for "return load_fail(...)". */
status_t load_fail(struct load_job *job, status_t status, const char *fmt, ...) __printf(3, 4);

/* guest_write() with a message: @what names the bytes. */
status_t __must_check load_write(struct load_job *job, const char *what, uint64_t gpa,
				 const void *src, size_t len);

/* loader/bzimage.c: is this a Linux kernel with a setup header? Loads one. */
bool bzimage_probe(const struct boot_module *kernel);
status_t __must_check bzimage_load(struct load_job *job);

/* loader/multiboot1.c: is there a multiboot 1 header? Loads such a kernel. */
bool multiboot1_probe(const struct boot_module *kernel);
status_t __must_check multiboot1_load(struct load_job *job);

#endif
