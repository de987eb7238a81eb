/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads a Linux bzImage for its 32-bit entry (Linux documentation, arch/x86/boot.rst). */
#include "bootparam.h"
#include "entry.h"
#include "job.h"
#include "socle/loader/load.h"
#include "socle/string.h"

/* Where the kernel's start-up data goes, in the first MiB and away from the BIOS' areas. */
enum linux_layout {
	GDT_AT = 0x1000,
	BOOT_PARAMS_AT = 0x10000,
	CMDLINE_AT = 0x20000,
};

/* For kernels that do not tell how much room they need, a multiple of the image's size. */
#define INIT_SIZE_GUESS 6

/* What is read from an image, checked, and where its parts go. */
struct bzimage {
	struct linux_setup_header header; /* copied once */
	uint64_t setup_size;		  /* bytes of real-mode code, at the image's start */
	uint64_t code_size;		  /* bytes of protected-mode code, after it */
	uint64_t load;			  /* guest-physical address of that code, its entry too */
	uint64_t end;			  /* end of what it needs while it starts */
	uint64_t initrd;		  /* guest-physical address; 0: none */
};

static uint32_t read32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

bool bzimage_probe(const struct boot_module *kernel)
{
	return kernel->size >= LINUX_JUMP_BASE + 4 &&
	       read32(kernel->data + LINUX_JUMP_BASE) == LINUX_HEADER_MAGIC;
}

/* Copies the header, as long as the kernel says that it is and we know it. */
static status_t read_header(struct load_job *job, struct bzimage *image)
{
	const struct boot_module *kernel = job->kernel;
	struct linux_setup_header *header = &image->header;
	uint64_t end, promised;

	if (kernel->size < LINUX_HEADER_END)
		return load_fail(job, -S_NOEXEC,
				 "kernel '%s' is truncated: a setup header needs %d bytes, "
				 "the module has %lu",
				 kernel->name, LINUX_HEADER_END, kernel->size);
	end = LINUX_JUMP_BASE + kernel->data[LINUX_JUMP_BASE - 1];
	memset(header, 0, sizeof(*header));
	memcpy(header, kernel->data + LINUX_SETUP_HEADER,
	       MIN(end - LINUX_SETUP_HEADER, sizeof(*header)));

	if (header->boot_flag != LINUX_BOOT_FLAG || header->header != LINUX_HEADER_MAGIC)
		return load_fail(job, -S_NOEXEC,
				 "kernel '%s' is not a Linux bzImage: no boot sector signature",
				 kernel->name);
	if (header->version < 0x206)
		return load_fail(
			job, -S_NOEXEC,
			"kernel '%s' has boot protocol %u.%02u, 2.06 is the oldest possible",
			kernel->name, header->version >> 8, header->version & 0xff);
	if (!(header->loadflags & LINUX_LOADED_HIGH))
		return load_fail(job, -S_NOEXEC,
				 "kernel '%s' is not a Linux bzImage: a zImage, which loads low",
				 kernel->name);

	image->setup_size = ((header->setup_sects ? header->setup_sects : 4) + 1u) * LINUX_SECTOR;
	image->code_size = (uint64_t)header->syssize * LINUX_PARAGRAPH;
	promised = image->setup_size + image->code_size;
	if (promised > kernel->size)
		return load_fail(job, -S_NOEXEC,
				 "kernel '%s' is truncated: its header promises %lu bytes, "
				 "the module has %lu",
				 kernel->name, promised, kernel->size);
	if (!image->code_size)
		return load_fail(job, -S_NOEXEC, "kernel '%s' has no protected-mode code",
				 kernel->name);
	return 0;
}

/*
 * The kernel goes where it prefers to be. A relocatable one could start lower, but decompresses
 * itself to the preferred address nevertheless, so that nothing would be won.
 */
static status_t place_kernel(struct load_job *job, struct bzimage *image)
{
	const struct linux_setup_header *header = &image->header;
	uint64_t ram_end = high_ram_end(job->mem);
	uint64_t need = image->code_size * INIT_SIZE_GUESS;

	image->load = header->code32_start;
	if (header->version >= 0x20a) {
		if (header->pref_address)
			image->load = header->pref_address;
		need = MAX((uint64_t)header->init_size, image->code_size);
	}
	if (image->load < HIGH_RAM_START || image->load >= 4 * GiB)
		return load_fail(job, -S_NOEXEC,
				 "kernel '%s' wants to be loaded at 0x%lx, which is not possible",
				 job->kernel->name, image->load);
	image->end = image->load + need;
	if (image->end > ram_end)
		return load_fail(
			job, -S_2BIG,
			"kernel '%s' needs %lu MiB of guest memory to start, there are %lu",
			job->kernel->name, to_mib(image->end), to_mib(job->settings->memory));
	return 0;
}

/* The initrd goes as high as the kernel allows, out of the way of its start-up code. */
static status_t place_initrd(struct load_job *job, struct bzimage *image)
{
	uint64_t end = MIN(high_ram_end(job->mem), (uint64_t)image->header.initrd_addr_max + 1);
	uint64_t size;

	if (!job->initrd)
		return 0;
	size = job->initrd->size;
	if (!size)
		return load_fail(job, -S_INVAL, "initrd '%s' is empty", job->initrd->name);
	if (end < size || ALIGN_DOWN(end - size, PAGE_SIZE) < image->end)
		return load_fail(job, -S_2BIG,
				 "initrd of %lu MiB does not fit in %lu MiB of guest memory, "
				 "of which the kernel needs %lu",
				 to_mib(size), to_mib(job->settings->memory), to_mib(image->end));
	image->initrd = ALIGN_DOWN(end - size, PAGE_SIZE);
	return 0;
}

/* Writes the parts of boot_params that are not zero. */
static status_t write_boot_params(struct load_job *job, struct bzimage *image)
{
	struct linux_setup_header *header = &image->header;
	struct e820_entry map[E820_MAX];
	uint8_t entries = (uint8_t)e820_build(job->mem, map);
	uint64_t rsdp = LOADER_RSDP;
	status_t status;

	header->type_of_loader = LINUX_LOADER_UNDEFINED;
	header->loadflags &= (uint8_t)~LINUX_CAN_USE_HEAP;
	header->code32_start = (uint32_t)image->load;
	header->cmd_line_ptr = CMDLINE_AT;
	header->ramdisk_image = (uint32_t)image->initrd;
	header->ramdisk_size = job->initrd ? (uint32_t)job->initrd->size : 0;
	header->setup_data = 0;

	status = load_write(job, "setup header", BOOT_PARAMS_AT + LINUX_SETUP_HEADER, header,
			    sizeof(*header));
	if (!status && header->version >= 0x20e)
		status = load_write(job, "boot parameters", BOOT_PARAMS_AT + LINUX_ACPI_RSDP_ADDR,
				    &rsdp, sizeof(rsdp));
	if (!status)
		status = load_write(job, "memory map", BOOT_PARAMS_AT + LINUX_E820_ENTRIES,
				    &entries, sizeof(entries));
	if (!status)
		status = load_write(job, "memory map", BOOT_PARAMS_AT + LINUX_E820_TABLE, map,
				    entries * sizeof(map[0]));
	return status;
}

static status_t write_image(struct load_job *job, struct bzimage *image)
{
	const char *cmdline = job->settings->cmdline;
	status_t status = write_boot_params(job, image);

	if (!status)
		status = load_write(job, "descriptor table", GDT_AT, entry_gdt, ENTRY_GDT_SIZE);
	if (!status)
		status = load_write(job, "command line", CMDLINE_AT, cmdline, strlen(cmdline) + 1);
	if (!status)
		status = load_write(job, "kernel", image->load,
				    job->kernel->data + image->setup_size, image->code_size);
	if (!status && job->initrd)
		status = load_write(job, "initrd", image->initrd, job->initrd->data,
				    job->initrd->size);
	return status;
}

status_t bzimage_load(struct load_job *job)
{
	struct bzimage image = {0};
	status_t status = read_header(job, &image);

	if (status)
		return status;
	if (job->settings->module_count)
		return load_fail(job, -S_INVAL,
				 "kernel '%s' is Linux, which takes an initrd and no modules",
				 job->kernel->name);
	if (strlen(job->settings->cmdline) > image.header.cmdline_size)
		return load_fail(job, -S_INVAL,
				 "kernel '%s' takes a command line of %u bytes, this one has %zu",
				 job->kernel->name, image.header.cmdline_size,
				 strlen(job->settings->cmdline));
	status = place_kernel(job, &image);
	if (!status)
		status = place_initrd(job, &image);
	if (!status)
		status = write_image(job, &image);
	if (status)
		return status;
	/* The protocol wants ESI at boot_params, and EBP, EDI and EBX zero, as they are. */
	entry_flat32(job->state, GDT_AT, (uint32_t)image.load);
	job->state->gpr[GPR_RSI] = BOOT_PARAMS_AT;
	return 0;
}
