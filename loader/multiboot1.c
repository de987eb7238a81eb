/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads a multiboot 1 kernel and its modules (Multiboot specification 0.6.96). */
#include "multiboot1.h"
#include "elf.h"
#include "entry.h"
#include "job.h"
#include "layout.h"
#include "socle/format.h"
#include "socle/string.h"

/* Where the information goes if no segment is in its way: kernels use what follows them freely. */
#define INFO_AT 0x9000

/* What is read from an image, checked, and where its parts go. */
struct mb1_image {
	struct mb1_header header; /* copied once */
	uint64_t header_offset;	  /* in the file */
	bool flat;		  /* loaded as the header's addresses say, else as ELF */
	struct elf_segment whole; /* if flat, its only segment */
	struct elf_file elf;	  /* if not flat */
	uint64_t entry;		  /* guest-physical */
	uint64_t end;		  /* end of the highest segment, at least 1 MiB, then of modules */
};

/* What the kernel is told, in one piece; the strings follow it in the guest's memory. */
struct mb1_block {
	uint64_t gdt[ENTRY_GDT_SIZE / 8];
	struct mb1_info info;
	struct mb1_module modules[VM_MODULES_MAX];
	struct mb1_mmap mmap[E820_MAX];
};

static const char loader_name[] = "Socle";

/* Finds the first header with a good checksum; copies it, zero-filled, to @header. */
static bool find_header(const struct boot_module *kernel, struct mb1_header *header, uint64_t *at)
{
	uint64_t end = MIN(kernel->size, (uint64_t)MB1_SEARCH);

	for (*at = 0; *at + MB1_HEADER_MIN <= end; *at += 4) {
		memset(header, 0, sizeof(*header));
		memcpy(header, kernel->data + *at, MIN(end - *at, sizeof(*header)));
		if (header->magic == MB1_HEADER_MAGIC &&
		    header->magic + header->flags + header->checksum == 0)
			return true;
	}
	return false;
}

bool multiboot1_probe(const struct boot_module *kernel)
{
	struct mb1_header header;
	uint64_t at;

	return find_header(kernel, &header, &at);
}

/* Takes the one segment of a flat image from the header (section 3.1.3). */
static status_t read_flat(struct load_job *job, struct mb1_image *image)
{
	const struct mb1_header *header = &image->header;
	struct elf_segment *whole = &image->whole;
	uint64_t before = (uint64_t)header->header_addr - header->load_addr; /* of the header */

	if (image->header_offset + sizeof(*header) > MIN(job->kernel->size, (uint64_t)MB1_SEARCH))
		return load_fail(job, -S_NOEXEC,
				 "kernel '%s' is truncated: its multiboot header is not complete",
				 job->kernel->name);
	if (header->load_addr > header->header_addr || before > image->header_offset)
		return load_fail(job, -S_NOEXEC,
				 "kernel '%s' has a bad multiboot header: load address 0x%x, "
				 "header address 0x%x, header at 0x%lx of the file",
				 job->kernel->name, header->load_addr, header->header_addr,
				 image->header_offset);
	whole->offset = image->header_offset - before;
	whole->vaddr = whole->paddr = header->load_addr;
	whole->filesz = job->kernel->size - whole->offset;
	if (header->load_end_addr) {
		uint64_t promised = (uint64_t)header->load_end_addr - header->load_addr;

		if (header->load_end_addr < header->load_addr)
			return load_fail(job, -S_NOEXEC,
					 "kernel '%s' has a bad multiboot header: load address "
					 "0x%x, end of load 0x%x",
					 job->kernel->name, header->load_addr,
					 header->load_end_addr);
		if (promised > whole->filesz)
			return load_fail(job, -S_NOEXEC,
					 "kernel '%s' is truncated: its multiboot header promises "
					 "%lu bytes, the module has %lu",
					 job->kernel->name, whole->offset + promised,
					 job->kernel->size);
		whole->filesz = promised;
	}
	whole->memsz = whole->filesz;
	if (header->bss_end_addr > whole->paddr + whole->memsz)
		whole->memsz = header->bss_end_addr - whole->paddr;
	image->entry = header->entry_addr;
	return 0;
}

static status_t read_image(struct load_job *job, struct mb1_image *image)
{
	const struct boot_module *kernel = job->kernel;
	uint32_t unknown;
	const char *wrong;

	if (!find_header(kernel, &image->header, &image->header_offset))
		return load_fail(job, -S_NOEXEC, "kernel '%s' has no multiboot header",
				 kernel->name);
	/* A video mode is only a wish for the guests of interest; there is no screen to set. */
	unknown = image->header.flags & MB1_HEADER_REQUIRED &
		  ~(MB1_HEADER_PAGE_ALIGN | MB1_HEADER_MEMORY_INFO | MB1_HEADER_VIDEO_MODE);
	if (unknown)
		return load_fail(job, -S_NOEXEC,
				 "kernel '%s' requires unknown multiboot features (flags 0x%x)",
				 kernel->name, unknown);
	image->flat = image->header.flags & MB1_HEADER_ADDRESSES;
	if (image->flat)
		return read_flat(job, image);
	wrong = elf_open(&image->elf, kernel->data, kernel->size);
	if (wrong)
		return load_fail(job, -S_NOEXEC, "kernel '%s' %s", kernel->name, wrong);
	image->entry = image->elf.entry;
	return 0;
}

/* How many times to call get_segment(), and segment @i of either kind of image. */
static unsigned segment_count(const struct mb1_image *image)
{
	return image->flat ? 1 : image->elf.phnum;
}

static bool get_segment(const struct mb1_image *image, unsigned i, struct elf_segment *segment)
{
	if (!image->flat)
		return elf_segment(&image->elf, i, segment);
	*segment = image->whole;
	return segment->memsz;
}

/* True if the kernel may load @len bytes at @gpa: RAM below 4 GiB outside of the PC's own areas. */
static bool loadable(const struct load_job *job, uint64_t gpa, uint64_t len)
{
	uint64_t end = gpa + len;

	return (end <= LOW_RAM_END || (gpa >= HIGH_RAM_START && end <= 4 * GiB)) &&
	       guest_is_ram(job->mem, gpa, len);
}

/* Checks where the segments go, finds their end, and makes the entry a physical address. */
static status_t place_kernel(struct load_job *job, struct mb1_image *image)
{
	uint64_t virtual_entry = image->entry;
	bool found = false;

	image->end = HIGH_RAM_START;
	for (unsigned i = 0; i < segment_count(image); i++) {
		struct elf_segment s;

		if (!get_segment(image, i, &s))
			continue;
		if (!loadable(job, s.paddr, s.memsz))
			return load_fail(job, -S_2BIG,
					 "kernel '%s' needs memory from 0x%lx to 0x%lx, which is "
					 "not all free in %lu MiB of guest memory",
					 job->kernel->name, s.paddr, s.paddr + s.memsz,
					 to_mib(job->settings->memory));
		image->end = MAX(image->end, s.paddr + s.memsz);
		if (!found && virtual_entry >= s.vaddr && virtual_entry - s.vaddr < s.memsz) {
			image->entry = virtual_entry - s.vaddr + s.paddr;
			found = true;
		}
	}
	if (!found)
		return load_fail(job, -S_NOEXEC,
				 "kernel '%s' has its entry point 0x%lx outside of what is loaded",
				 job->kernel->name, virtual_entry);
	return 0;
}

/* Writes the segments. What they have beyond the file is zero already: fresh guest memory is. */
static status_t write_kernel(struct load_job *job, const struct mb1_image *image)
{
	for (unsigned i = 0; i < segment_count(image); i++) {
		struct elf_segment s;
		status_t status;

		if (!get_segment(image, i, &s) || !s.filesz)
			continue;
		status = load_write(job, "kernel", s.paddr, job->kernel->data + s.offset, s.filesz);
		if (status)
			return status;
	}
	return 0;
}

/* Puts the modules on pages after the kernel, and lists them in @block. */
static status_t write_modules(struct load_job *job, struct mb1_image *image,
			      struct mb1_block *block)
{
	for (unsigned i = 0; i < job->settings->module_count; i++) {
		const struct boot_module *module = job->module[i];
		uint64_t at = ALIGN_UP(image->end, PAGE_SIZE);
		uint64_t ram_end = high_ram_end(job->mem);
		status_t status;

		if (at > ram_end || module->size > ram_end - at)
			return load_fail(job, -S_2BIG,
					 "module '%s' of %lu MiB does not fit in %lu MiB of guest "
					 "memory after the kernel",
					 module->name, to_mib(module->size),
					 to_mib(job->settings->memory));
		if (module->size) {
			status = load_write(job, "module", at, module->data, module->size);
			if (status)
				return status;
		}
		image->end = at + module->size;
		block->modules[i].mod_start = (uint32_t)at;
		block->modules[i].mod_end = (uint32_t)image->end;
	}
	return 0;
}

/* Finds a place for @size bytes of information; 0 if there is none. */
static uint64_t place_info(const struct load_job *job, const struct mb1_image *image, uint64_t size)
{
	uint64_t high = ALIGN_UP(image->end, PAGE_SIZE);
	bool low_free = loadable(job, INFO_AT, size);

	for (unsigned i = 0; i < segment_count(image); i++) {
		struct elf_segment s;

		if (get_segment(image, i, &s) && s.paddr < INFO_AT + size &&
		    s.paddr + s.memsz > INFO_AT)
			low_free = false;
	}
	if (low_free)
		return INFO_AT;
	return loadable(job, high, size) ? high : 0;
}

/* Writes the string at *@at, moves *@at behind it, and stores where it is in @address. */
static status_t write_string(struct load_job *job, uint64_t *at, const char *s, uint32_t *address)
{
	size_t size = strlen(s) + 1;

	*address = (uint32_t)*at;
	*at += size;
	return load_write(job, "multiboot strings", *address, s, size);
}

static void fill_mmap(const struct load_job *job, struct mb1_block *block)
{
	struct e820_entry map[E820_MAX];
	unsigned entries = e820_build(job->mem, map);

	for (unsigned i = 0; i < entries; i++)
		block->mmap[i] = (struct mb1_mmap){
			.size = sizeof(struct mb1_mmap) - sizeof(uint32_t),
			.addr = map[i].addr,
			.length = map[i].size,
			.type = map[i].type,
		};
	block->info.mmap_length = entries * (uint32_t)sizeof(struct mb1_mmap);
}

static status_t write_info(struct load_job *job, const struct mb1_image *image,
			   struct mb1_block *block, uint64_t *block_at)
{
	const struct vm_settings *settings = job->settings;
	struct mb1_info *info = &block->info;
	uint64_t size = sizeof(*block) + sizeof(loader_name) + strlen(settings->cmdline) + 1;
	uint64_t strings;
	status_t status;

	for (unsigned i = 0; i < settings->module_count; i++)
		size += strlen(settings->modules[i].string) + 1;
	*block_at = place_info(job, image, size);
	if (!*block_at)
		return load_fail(job, -S_2BIG,
				 "kernel '%s' leaves no room for the multiboot information in "
				 "%lu MiB of guest memory",
				 job->kernel->name, to_mib(settings->memory));

	strings = *block_at + sizeof(*block);
	status = write_string(job, &strings, loader_name, &info->boot_loader_name);
	if (!status)
		status = write_string(job, &strings, settings->cmdline, &info->cmdline);
	for (unsigned i = 0; i < settings->module_count && !status; i++)
		status = write_string(job, &strings, settings->modules[i].string,
				      &block->modules[i].string);
	if (status)
		return status;

	info->flags = MB1_INFO_MEMORY | MB1_INFO_CMDLINE | MB1_INFO_MODULES | MB1_INFO_MEM_MAP |
		      MB1_INFO_LOADER_NAME;
	info->mem_lower = LOW_RAM_END / KiB;
	info->mem_upper = (uint32_t)((high_ram_end(job->mem) - HIGH_RAM_START) / KiB);
	info->mods_count = settings->module_count;
	info->mods_addr = (uint32_t)(*block_at + offsetof(struct mb1_block, modules));
	info->mmap_addr = (uint32_t)(*block_at + offsetof(struct mb1_block, mmap));
	fill_mmap(job, block);
	memcpy(block->gdt, entry_gdt, sizeof(block->gdt));
	return load_write(job, "multiboot information", *block_at, block, sizeof(*block));
}

status_t multiboot1_load(struct load_job *job)
{
	struct mb1_image image = {0};
	struct mb1_block block = {0};
	uint64_t block_at;
	status_t status;

	if (job->initrd)
		return load_fail(job, -S_INVAL,
				 "kernel '%s' is a multiboot image, which takes modules and no "
				 "initrd",
				 job->kernel->name);
	status = read_image(job, &image);
	if (!status)
		status = place_kernel(job, &image);
	if (!status)
		status = write_kernel(job, &image);
	if (!status)
		status = write_modules(job, &image, &block);
	if (!status)
		status = write_info(job, &image, &block, &block_at);
	if (status)
		return status;
	entry_flat32(job->state, block_at, (uint32_t)image.entry);
	job->state->gpr[GPR_RAX] = MB1_BOOT_MAGIC;
	job->state->gpr[GPR_RBX] = block_at + offsetof(struct mb1_block, info);
	return 0;
}
