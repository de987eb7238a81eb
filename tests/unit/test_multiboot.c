/* SPDX-License-Identifier: BSD-2-Clause */
/* Loading of multiboot 1 kernels: ELF against the host's elf.h, flat images, and bad images. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <elf.h>
#include <stdio.h>

#include "../../lib/format.c"
#include "../../lib/status.c"
#include "../../loader/elf.c"
#include "../../loader/entry.c"
#include "../../loader/layout.c"
#include "../../loader/load.c"
#include "../../loader/multiboot1.c"
#include "guest_ram.h"

/* Not under test here. */
bool bzimage_probe(const struct boot_module *kernel)
{
	(void)kernel;
	return false;
}

status_t bzimage_load(struct load_job *job)
{
	return load_fail(job, -S_NOSYS, "not here");
}

#define SAME(ours, our_field, theirs, their_field)                                                 \
	do {                                                                                       \
		assert_int_equal(offsetof(struct ours, our_field), offsetof(theirs, their_field)); \
		assert_int_equal(sizeof(((struct ours *)0)->our_field),                            \
				 sizeof(((theirs *)0)->their_field));                              \
	} while (0)

#define SAME_HEADER(ours, theirs)                                      \
	do {                                                           \
		SAME(ours, ident, theirs, e_ident);                    \
		SAME(ours, type, theirs, e_type);                      \
		SAME(ours, machine, theirs, e_machine);                \
		SAME(ours, version, theirs, e_version);                \
		SAME(ours, entry, theirs, e_entry);                    \
		SAME(ours, phoff, theirs, e_phoff);                    \
		SAME(ours, shoff, theirs, e_shoff);                    \
		SAME(ours, flags, theirs, e_flags);                    \
		SAME(ours, ehsize, theirs, e_ehsize);                  \
		SAME(ours, phentsize, theirs, e_phentsize);            \
		SAME(ours, phnum, theirs, e_phnum);                    \
		SAME(ours, shentsize, theirs, e_shentsize);            \
		SAME(ours, shnum, theirs, e_shnum);                    \
		SAME(ours, shstrndx, theirs, e_shstrndx);              \
		assert_int_equal(sizeof(struct ours), sizeof(theirs)); \
	} while (0)

#define SAME_PROGRAM(ours, theirs)                                     \
	do {                                                           \
		SAME(ours, type, theirs, p_type);                      \
		SAME(ours, flags, theirs, p_flags);                    \
		SAME(ours, offset, theirs, p_offset);                  \
		SAME(ours, vaddr, theirs, p_vaddr);                    \
		SAME(ours, paddr, theirs, p_paddr);                    \
		SAME(ours, filesz, theirs, p_filesz);                  \
		SAME(ours, memsz, theirs, p_memsz);                    \
		SAME(ours, align, theirs, p_align);                    \
		assert_int_equal(sizeof(struct ours), sizeof(theirs)); \
	} while (0)

static void test_layout(void **state)
{
	(void)state;
	SAME_HEADER(elf32_header, Elf32_Ehdr);
	SAME_HEADER(elf64_header, Elf64_Ehdr);
	SAME_PROGRAM(elf32_program, Elf32_Phdr);
	SAME_PROGRAM(elf64_program, Elf64_Phdr);
	assert_int_equal(ELF_CLASS, EI_CLASS);
	assert_int_equal(ELF_DATA, EI_DATA);
	assert_int_equal(ELF_CLASS32, ELFCLASS32);
	assert_int_equal(ELF_CLASS64, ELFCLASS64);
	assert_int_equal(ELF_DATA2LSB, ELFDATA2LSB);
	assert_int_equal(ELF_EXEC, ET_EXEC);
	assert_int_equal(ELF_386, EM_386);
	assert_int_equal(ELF_X86_64, EM_X86_64);
	assert_int_equal(ELF_LOAD, PT_LOAD);
}

static struct vm vm;
static struct x86_state cpu;
static char err[LOADER_ERROR_MAX];

#define IMAGE_SIZE 0x2000
#define HEADER_AT  0x100

/* A kernel with code at 1 MiB, and 64 KiB of bss; the header is at HEADER_AT of the file. */
struct image {
	Elf32_Ehdr ehdr;
	Elf32_Phdr phdr[3];
	uint8_t gap[HEADER_AT - sizeof(Elf32_Ehdr) - 3 * sizeof(Elf32_Phdr)];
	struct mb1_header header;
	uint8_t rest[IMAGE_SIZE - HEADER_AT - sizeof(struct mb1_header)];
};

static struct image *fresh(uint64_t memory)
{
	struct image *image;

	modules_clear();
	image = (struct image *)module_new("k", NULL, sizeof(struct image));
	memcpy(image->ehdr.e_ident,
	       "\x7f"
	       "ELF\1\1\1",
	       7);
	image->ehdr.e_type = ET_EXEC;
	image->ehdr.e_machine = EM_386;
	image->ehdr.e_entry = 0x100020;
	image->ehdr.e_phoff = offsetof(struct image, phdr);
	image->ehdr.e_phentsize = sizeof(Elf32_Phdr);
	image->ehdr.e_phnum = 3;
	image->phdr[0] = (Elf32_Phdr){.p_type = PT_LOAD,
				      .p_offset = HEADER_AT,
				      .p_vaddr = 0x100000,
				      .p_paddr = 0x100000,
				      .p_filesz = 0x1000,
				      .p_memsz = 0x1000};
	image->phdr[1] = (Elf32_Phdr){.p_type = PT_NOTE, .p_offset = UINT32_MAX};
	image->phdr[2] = (Elf32_Phdr){.p_type = PT_LOAD,
				      .p_offset = HEADER_AT + 0x1000,
				      .p_vaddr = 0x101000,
				      .p_paddr = 0x101000,
				      .p_filesz = 0x100,
				      .p_memsz = 0x10100};
	image->header.magic = 0x1badb002;
	image->header.flags = 3;
	image->header.checksum = 0u - 0x1badb002 - 3;
	for (size_t i = 0; i < sizeof(image->rest); i++)
		image->rest[i] = (uint8_t)(i * 29);

	memset(&vm, 0, sizeof(vm));
	memset(&cpu, 0xa5, sizeof(cpu));
	err[0] = '\0';
	strcpy(vm.settings.kernel, "k");
	strcpy(vm.settings.cmdline, "some words");
	vm.settings.memory = memory;
	ram_new(&vm.mem, memory, 32 * MiB);
	return image;
}

static void flags(struct image *image, uint32_t value)
{
	image->header.flags = value;
	image->header.checksum = 0u - 0x1badb002 - value;
}

static void add_module(const char *name, const void *data, size_t size, char *string)
{
	struct vm_module *module = &vm.settings.modules[vm.settings.module_count++];

	module_new(name, data, size);
	strcpy(module->name, name);
	module->string = string;
}

static void refused(status_t status, const char *message)
{
	status_t got = loader_load(&vm, &cpu, err, sizeof(err));

	assert_string_equal(err, message);
	assert_int_equal(got, status);
	assert_true(strlen(err) < LOADER_ERROR_MAX - 1);
}

static const struct mb1_info *loads(void)
{
	status_t status = loader_load(&vm, &cpu, err, sizeof(err));

	assert_string_equal(err, "");
	assert_int_equal(status, 0);
	assert_int_equal(cpu.gpr[GPR_RAX], 0x2badb002);
	return (const struct mb1_info *)(ram + cpu.gpr[GPR_RBX]);
}

static void test_elf(void **state)
{
	struct image *image = fresh(16 * MiB);
	const struct mb1_info *info;
	const struct mb1_module *modules;
	const struct mb1_mmap *map;
	char second[] = "two words", first[] = "";

	(void)state;
	add_module("m1", "first module", 12, first);
	add_module("m2", "second", 6, second);
	info = loads();

	/* Section 3.2 of the specification: the machine's state. */
	assert_int_equal(cpu.rip, 0x100020);
	assert_int_equal(cpu.cr0 & 0x80000001, 1);
	assert_int_equal(cpu.rflags & (RFLAGS_IF | RFLAGS_VM), 0);
	assert_int_equal(cpu.seg[SEG_CS].attr, 0xc9b);
	for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
		assert_int_equal(cpu.seg[i].base, 0);
		assert_int_equal(cpu.seg[i].limit, UINT32_MAX);
	}
	assert_memory_equal(ram + cpu.gdtr.base + 0x10, "\xff\xff\0\0\0\x9b\xcf\0", 8);

	assert_memory_equal(ram + 0x100000, (uint8_t *)image + HEADER_AT, 0x1100);
	assert_int_equal(ram[0x101100], 0);

	/* Section 3.3: the information, by its numbers and not by our names. */
	assert_int_equal(info->flags, 0x1 | 0x4 | 0x8 | 0x40 | 0x200);
	assert_int_equal(((const uint32_t *)info)[1], 639);
	assert_int_equal(((const uint32_t *)info)[2], 15 * 1024);
	assert_string_equal((char *)ram + ((const uint32_t *)info)[4], "some words");
	assert_int_equal(((const uint32_t *)info)[5], 2);
	assert_int_equal(((const uint32_t *)info)[11], 4 * 24);
	assert_string_equal((char *)ram + ((const uint32_t *)info)[16], "Socle");

	modules = (const struct mb1_module *)(ram + info->mods_addr);
	assert_int_equal(modules[0].mod_start, 0x112000);
	assert_int_equal(modules[0].mod_end, 0x112000 + 12);
	assert_string_equal((char *)ram + modules[0].string, "");
	assert_memory_equal(ram + 0x112000, "first module", 12);
	assert_int_equal(modules[1].mod_start, 0x113000);
	assert_int_equal(modules[1].mod_end, 0x113000 + 6);
	assert_string_equal((char *)ram + modules[1].string, "two words");
	assert_memory_equal(ram + 0x113000, "second", 6);

	map = (const struct mb1_mmap *)(ram + info->mmap_addr);
	assert_int_equal(map[0].size, 20);
	assert_int_equal(map[0].length, 0x9fc00);
	assert_int_equal(map[3].addr, 0x100000);
	assert_int_equal(map[3].length, 15 * MiB);
	assert_int_equal(map[3].type, 1);
}

static void test_entry_translation(void **state)
{
	struct image *image = fresh(16 * MiB);

	(void)state;
	/* Linked high, loaded low: the entry is a virtual address. */
	image->ehdr.e_entry = 0xc0101050;
	image->phdr[0].p_vaddr = 0xc0100000;
	image->phdr[2].p_vaddr = 0xc0101000;
	loads();
	assert_int_equal(cpu.rip, 0x101050);
}

static void test_elf64(void **state)
{
	struct image *image = fresh(16 * MiB);
	Elf64_Ehdr ehdr = {.e_type = ET_EXEC,
			   .e_machine = EM_X86_64,
			   .e_entry = 0x100010,
			   .e_phoff = 0x40,
			   .e_phentsize = sizeof(Elf64_Phdr),
			   .e_phnum = 1};
	Elf64_Phdr phdr = {.p_type = PT_LOAD,
			   .p_offset = HEADER_AT,
			   .p_vaddr = 0x100000,
			   .p_paddr = 0x100000,
			   .p_filesz = 0x100,
			   .p_memsz = 0x200};

	(void)state;
	memcpy(ehdr.e_ident,
	       "\x7f"
	       "ELF\2\1\1",
	       7);
	memcpy(image, &ehdr, sizeof(ehdr));
	memcpy((uint8_t *)image + 0x40, &phdr, sizeof(phdr));
	loads();
	assert_int_equal(cpu.rip, 0x100010);

	phdr.p_paddr = 0x100000000;
	memcpy((uint8_t *)image + 0x40, &phdr, sizeof(phdr));
	refused(-S_2BIG, "kernel 'k' needs memory from 0x100000000 to 0x100000200, which is not "
			 "all free in 16 MiB of guest memory");
	phdr.p_paddr = UINT64_MAX - 0xff;
	memcpy((uint8_t *)image + 0x40, &phdr, sizeof(phdr));
	refused(-S_NOEXEC, "kernel 'k' is an ELF file with a segment beyond the last address");
}

static void test_flat(void **state)
{
	struct image *image = fresh(16 * MiB);

	(void)state;
	flags(image, 0x10003);
	image->header.header_addr = 0x200080;
	image->header.load_addr = 0x200000; /* the file from 0x80 on */
	image->header.load_end_addr = 0x200900;
	image->header.bss_end_addr = 0x208000;
	image->header.entry_addr = 0x200444;
	add_module("m", "x", 1, err);
	loads();
	assert_int_equal(cpu.rip, 0x200444);
	assert_memory_equal(ram + 0x200000, (uint8_t *)image + HEADER_AT - 0x80, 0x900);
	assert_int_equal(ram[0x200900], 0);
	assert_int_equal(ram[0x208000], 'x');

	/* To the file's end, which need not be a page's. */
	image->header.load_end_addr = 0;
	image->header.bss_end_addr = 0;
	loads();
	assert_int_equal(ram[0x200000 + IMAGE_SIZE - 0x81], ((uint8_t *)image)[IMAGE_SIZE - 1]);

	image->header.load_end_addr = 0x200000 + IMAGE_SIZE;
	refused(-S_NOEXEC, "kernel 'k' is truncated: its multiboot header promises 8320 bytes, "
			   "the module has 8192");
	image->header.load_end_addr = 0x1fffff;
	refused(-S_NOEXEC, "kernel 'k' has a bad multiboot header: load address 0x200000, end of "
			   "load 0x1fffff");
	image->header.load_end_addr = 0;
	image->header.load_addr = 0x1fff7f;
	refused(-S_NOEXEC, "kernel 'k' has a bad multiboot header: load address 0x1fff7f, header "
			   "address 0x200080, header at 0x100 of the file");
	image->header.load_addr = 0x200081;
	refused(-S_NOEXEC, "kernel 'k' has a bad multiboot header: load address 0x200081, header "
			   "address 0x200080, header at 0x100 of the file");
	image->header.load_addr = 0x200000;
	image->header.entry_addr = 0x300000;
	refused(-S_NOEXEC, "kernel 'k' has its entry point 0x300000 outside of what is loaded");
	boot_modules[0].size = HEADER_AT + 31;
	refused(-S_NOEXEC, "kernel 'k' is truncated: its multiboot header is not complete");
}

/* A kernel that lies where the information would go: it moves behind the modules. */
static void test_low_kernel(void **state)
{
	struct image *image = fresh(16 * MiB);
	const struct mb1_info *info;

	(void)state;
	image->phdr[2].p_paddr = image->phdr[2].p_vaddr = 0x8000;
	add_module("m", "x", 1, err);
	info = loads();
	assert_int_equal((uint8_t *)ram + 0x102000 - (uint8_t *)info + 32, 0);
	assert_string_equal((char *)ram + info->cmdline, "some words");
	assert_int_equal(ram[0x101000], 'x');

	/* No place at all: a guest of 1 MiB with a kernel in conventional memory. */
	image = fresh(1 * MiB);
	image->phdr[0].p_type = PT_NULL;
	image->phdr[2].p_paddr = image->phdr[2].p_vaddr = 0x8000;
	image->ehdr.e_entry = 0x8000;
	refused(-S_2BIG, "kernel 'k' leaves no room for the multiboot information in 1 MiB of "
			 "guest memory");
}

static void test_refused(void **state)
{
	struct image *image = fresh(16 * MiB);

	(void)state;
	flags(image, 7); /* a video mode is not insisted on */
	loads();
	flags(image, 0x8);
	refused(-S_NOEXEC, "kernel 'k' requires unknown multiboot features (flags 0x8)");
	flags(image, 3);
	image->header.checksum++;
	refused(-S_NOEXEC, "kernel 'k' is not a Linux bzImage and no multiboot 1 image: it is an "
			   "ELF file without a multiboot 1 header");
	image = fresh(16 * MiB);
	image->ehdr.e_machine = EM_ARM;
	refused(-S_NOEXEC, "kernel 'k' is an ELF file for another kind of CPU");
	image = fresh(16 * MiB);
	image->ehdr.e_type = ET_DYN;
	refused(-S_NOEXEC, "kernel 'k' is an ELF file but not an executable with fixed addresses");
	image = fresh(16 * MiB);
	image->ehdr.e_phnum = UINT16_MAX;
	refused(-S_NOEXEC, "kernel 'k' is truncated: its program headers are not complete");
	image = fresh(16 * MiB);
	image->ehdr.e_phentsize = 8;
	refused(-S_NOEXEC, "kernel 'k' is an ELF file with a bad size of program headers");
	image = fresh(16 * MiB);
	image->phdr[0].p_offset = UINT32_MAX;
	refused(-S_NOEXEC, "kernel 'k' is truncated: a segment is not complete");
	image = fresh(16 * MiB);
	image->phdr[0].p_memsz = 0xfff;
	refused(-S_NOEXEC, "kernel 'k' is an ELF file with a segment larger than its memory");
	image = fresh(16 * MiB);
	image->ehdr.e_entry = 0x99;
	refused(-S_NOEXEC, "kernel 'k' has its entry point 0x99 outside of what is loaded");
	image = fresh(16 * MiB);
	image->phdr[2].p_memsz = 0xf00000;
	refused(-S_2BIG, "kernel 'k' needs memory from 0x101000 to 0x1001000, which is not all "
			 "free in 16 MiB of guest memory");
	image = fresh(16 * MiB);
	image->phdr[2].p_paddr = 0xe0000; /* the ACPI tables are there */
	refused(-S_2BIG, "kernel 'k' needs memory from 0xe0000 to 0xf0100, which is not all free "
			 "in 16 MiB of guest memory");
	fresh(16 * MiB);
	add_module("big", NULL, 15 * MiB, err);
	refused(-S_2BIG, "module 'big' of 15 MiB does not fit in 16 MiB of guest memory after the "
			 "kernel");
	fresh(16 * MiB);
	strcpy(vm.settings.initrd, "k");
	refused(-S_INVAL, "kernel 'k' is a multiboot image, which takes modules and no initrd");
	fresh(16 * MiB);
	add_module("m", "", 0, err);
	boot_modules[1].name[0] = 'n';
	refused(-S_NOENT, "there is no boot module \"m\"");
}

/* The header counts only within the first 8 KiB. */
static void test_header_search(void **state)
{
	struct mb1_header header = {.magic = 0x1badb002, .checksum = 0u - 0x1badb002};
	uint8_t file[8200] = {0}, *bytes;
	uint64_t at;

	(void)state;
	for (size_t offset = 8168; offset <= 8188; offset++) {
		memset(file, 0, sizeof(file));
		memcpy(file + offset, &header, 12);
		modules_clear();
		bytes = module_new("k", file, sizeof(file));
		assert_int_equal(multiboot1_probe(boot_modules), offset % 4 == 0 && offset <= 8180);
		if (find_header(boot_modules, &header, &at))
			assert_int_equal(at, offset);
		header = (struct mb1_header){.magic = 0x1badb002, .checksum = 0u - 0x1badb002};
		(void)bytes;
	}
}

/* An image cut anywhere is refused or complete, and read only where it is. */
static void test_truncated(void **state)
{
	(void)state;
	for (size_t len = 0; len < IMAGE_SIZE; len += len < 0x200 ? 1 : 61) {
		uint8_t copy[IMAGE_SIZE];
		status_t status;

		memcpy(copy, fresh(16 * MiB), IMAGE_SIZE);
		modules_clear();
		module_new("k", copy, len);
		status = loader_load(&vm, &cpu, err, sizeof(err));
		assert_int_equal(status, len >= HEADER_AT + 0x1100 ? 0 : -S_NOEXEC);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_elf),
		cmocka_unit_test(test_entry_translation),
		cmocka_unit_test(test_elf64),
		cmocka_unit_test(test_flat),
		cmocka_unit_test(test_low_kernel),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_header_search),
		cmocka_unit_test(test_truncated),
	};
	int failed = cmocka_run_group_tests_name("multiboot", tests, NULL, NULL);

	modules_clear();
	free(ram);
	return failed;
}
