/* SPDX-License-Identifier: BSD-2-Clause */
/* Puts a guest's kernel and its modules into the guest's memory: finds them and the format. */
#include "job.h"
#include "socle/format.h"
#include "socle/loader/load.h"
#include "socle/string.h"

status_t load_fail(struct load_job *job, status_t status, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	format_v(job->err, job->err_size, fmt, args);
	va_end(args);
	return status;
}

status_t load_write(struct load_job *job, const char *what, uint64_t gpa, const void *src,
		    size_t len)
{
	status_t status = guest_write(job->mem, gpa, src, len);

	if (!status)
		return 0;
	return load_fail(job, status, "cannot write the %s to 0x%lx of the guest's memory: %s",
			 what, gpa, status_text(status));
}

/* Why @kernel is of no known format, as far as its first bytes tell. */
static const char *guess_format(const struct boot_module *kernel)
{
	static const struct {
		const char *magic; /* first bytes of the file */
		size_t len;	   /* of @magic */
		const char *hint;
	} formats[] = {
		{"\x7f"
		 "ELF",
		 4, "it is an ELF file without a multiboot 1 header"},
		{"\x1f\x8b", 2, "it is compressed with gzip"},
		{"\xfd"
		 "7zXZ",
		 5, "it is compressed with xz"},
		{"\x28\xb5\x2f\xfd", 4, "it is compressed with zstd"},
		{"070701", 6, "it is a cpio archive, perhaps an initrd"},
		{"!<arch>", 7, "it is an archive or Debian package"},
	};

	if (!kernel->size)
		return "it is empty";
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		if (kernel->size >= formats[i].len &&
		    memcmp(kernel->data, formats[i].magic, formats[i].len) == 0)
			return formats[i].hint;
	}
	return "it has neither a Linux setup header nor a multiboot header";
}

/* Finds the boot modules that the settings name. */
static status_t find_modules(struct load_job *job)
{
	const struct vm_settings *settings = job->settings;

	job->kernel = boot_module_find(settings->kernel);
	if (!job->kernel)
		return load_fail(job, -S_NOENT, "there is no boot module \"%s\" for the kernel",
				 settings->kernel);
	if (settings->initrd[0]) {
		job->initrd = boot_module_find(settings->initrd);
		if (!job->initrd)
			return load_fail(job, -S_NOENT,
					 "there is no boot module \"%s\" for the initrd",
					 settings->initrd);
	}
	for (unsigned i = 0; i < settings->module_count; i++) {
		job->module[i] = boot_module_find(settings->modules[i].name);
		if (!job->module[i])
			return load_fail(job, -S_NOENT, "there is no boot module \"%s\"",
					 settings->modules[i].name);
	}
	return 0;
}

status_t loader_load(struct vm *vm, struct x86_state *state, char *err, size_t err_size)
{
	struct load_job job = {
		.settings = &vm->settings,
		.mem = &vm->mem,
		.state = state,
		.err = err,
		.err_size = err_size,
	};
	status_t status = find_modules(&job);

	if (status)
		return status;
	if (bzimage_probe(job.kernel))
		return bzimage_load(&job);
	if (multiboot1_probe(job.kernel))
		return multiboot1_load(&job);
	return load_fail(&job, -S_NOEXEC,
			 "kernel '%s' is not a Linux bzImage and no multiboot 1 image: %s",
			 job.kernel->name, guess_format(job.kernel));
}
