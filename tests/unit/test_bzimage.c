/* SPDX-License-Identifier: BSD-2-Clause */
/* Loading of Linux: the layouts against Linux's own header, placement, and bad images. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <asm/bootparam.h>
#undef __packed

#include "../../lib/format.c"
#include "../../lib/status.c"
#include "../../loader/bzimage.c"
#include "../../loader/entry.c"
#include "../../loader/layout.c"
#include "../../loader/load.c"
#include "guest_ram.h"

/* Not under test here. */
bool multiboot1_probe(const struct boot_module *kernel)
{
	(void)kernel;
	return false;
}

status_t multiboot1_load(struct load_job *job)
{
	return load_fail(job, -S_NOSYS, "not here");
}

#define SAME(field)                                                               \
	do {                                                                      \
		assert_int_equal(offsetof(struct linux_setup_header, field),      \
				 offsetof(struct setup_header, field));           \
		assert_int_equal(sizeof(((struct linux_setup_header *)0)->field), \
				 sizeof(((struct setup_header *)0)->field));      \
	} while (0)

static void test_layout(void **state)
{
	(void)state;
	SAME(setup_sects);
	SAME(root_flags);
	SAME(syssize);
	SAME(ram_size);
	SAME(vid_mode);
	SAME(root_dev);
	SAME(boot_flag);
	SAME(jump);
	SAME(header);
	SAME(version);
	SAME(realmode_swtch);
	SAME(start_sys_seg);
	SAME(kernel_version);
	SAME(type_of_loader);
	SAME(loadflags);
	SAME(setup_move_size);
	SAME(code32_start);
	SAME(ramdisk_image);
	SAME(ramdisk_size);
	SAME(bootsect_kludge);
	SAME(heap_end_ptr);
	SAME(ext_loader_ver);
	SAME(ext_loader_type);
	SAME(cmd_line_ptr);
	SAME(initrd_addr_max);
	SAME(kernel_alignment);
	SAME(relocatable_kernel);
	SAME(min_alignment);
	SAME(xloadflags);
	SAME(cmdline_size);
	SAME(hardware_subarch);
	SAME(hardware_subarch_data);
	SAME(payload_offset);
	SAME(payload_length);
	SAME(setup_data);
	SAME(pref_address);
	SAME(init_size);
	SAME(handover_offset);
	SAME(kernel_info_offset);
	assert_int_equal(sizeof(struct linux_setup_header), sizeof(struct setup_header));
	assert_int_equal(LINUX_SETUP_HEADER, offsetof(struct boot_params, hdr));
	assert_int_equal(LINUX_HEADER_END, offsetof(struct boot_params, edd_mbr_sig_buffer));
	assert_int_equal(LINUX_ACPI_RSDP_ADDR, offsetof(struct boot_params, acpi_rsdp_addr));
	assert_int_equal(LINUX_E820_ENTRIES, offsetof(struct boot_params, e820_entries));
	assert_int_equal(LINUX_E820_TABLE, offsetof(struct boot_params, e820_table));
	assert_int_equal(LINUX_BOOT_PARAMS_SIZE, sizeof(struct boot_params));
	assert_int_equal(sizeof(struct e820_entry), sizeof(struct boot_e820_entry));
	assert_int_equal(LINUX_LOADED_HIGH, LOADED_HIGH);
	assert_int_equal(LINUX_CAN_USE_HEAP, CAN_USE_HEAP);
	assert_true(E820_MAX <= E820_MAX_ENTRIES_ZEROPAGE);
}

static struct vm vm;
static struct x86_state cpu;
static char err[LOADER_ERROR_MAX];

#define CODE_SIZE  0x4000
#define IMAGE_SIZE (5 * 512 + CODE_SIZE)
#define KERNEL_AT  0x1000000

static struct linux_setup_header *header_of(uint8_t *image)
{
	return (struct linux_setup_header *)(image + LINUX_SETUP_HEADER);
}

/* A guest of @memory bytes with a good kernel, whose bytes are returned. */
static uint8_t *fresh(uint64_t memory)
{
	struct linux_setup_header *header;
	uint8_t *image;

	modules_clear();
	image = module_new("linux", NULL, IMAGE_SIZE);
	memset(image, 0x77, 5 * 512);
	for (unsigned i = 0; i < CODE_SIZE; i++)
		image[5 * 512 + i] = (uint8_t)(i * 31);
	header = header_of(image);
	memset(header, 0, sizeof(*header));
	header->setup_sects = 4;
	header->syssize = CODE_SIZE / 16;
	header->boot_flag = 0xaa55;
	header->jump = 0x6aeb; /* to 0x26c */
	header->header = 0x53726448;
	header->version = 0x20f;
	header->loadflags = LINUX_LOADED_HIGH | LINUX_CAN_USE_HEAP;
	header->initrd_addr_max = 0x7fffffff;
	header->kernel_alignment = 0x200000;
	header->cmdline_size = 2047;
	header->setup_data = 0x1234;
	header->pref_address = KERNEL_AT;
	header->init_size = 0x800000;
	header->code32_start = 0x100000;
	header->relocatable_kernel = 1;

	memset(&vm, 0, sizeof(vm));
	memset(&cpu, 0xa5, sizeof(cpu));
	err[0] = '\0';
	strcpy(vm.settings.kernel, "linux");
	strcpy(vm.settings.cmdline, "console=ttyS0");
	vm.settings.memory = memory;
	ram_new(&vm.mem, memory, 64 * MiB);
	return image;
}

static void refused(status_t status, const char *message)
{
	status_t got = loader_load(&vm, &cpu, err, sizeof(err));

	assert_string_equal(err, message);
	assert_int_equal(got, status);
	assert_true(strlen(err) < LOADER_ERROR_MAX - 1);
}

static void loads(void)
{
	status_t status = loader_load(&vm, &cpu, err, sizeof(err));

	assert_string_equal(err, "");
	assert_int_equal(status, 0);
}

static void entry(const struct boot_e820_entry *e, uint64_t from, uint64_t to, uint32_t type)
{
	assert_int_equal(e->addr, from);
	assert_int_equal(e->addr + e->size, to);
	assert_int_equal(e->type, type);
}

static void test_load(void **state)
{
	static const uint8_t initrd[] = {'i', 'n', 'i', 't', 'r', 'd'};
	uint8_t *image = fresh(64 * MiB);
	const struct boot_params *bp;

	(void)state;
	module_new("rd", initrd, sizeof(initrd));
	strcpy(vm.settings.initrd, "rd");
	loads();

	/* The entry state of the 32-bit protocol. */
	assert_int_equal(cpu.rip, KERNEL_AT);
	assert_int_equal(cpu.rflags, 2);
	assert_int_equal(cpu.cr0 & 0x80000001, 1);
	assert_int_equal(cpu.cr3 | cpu.cr4 | cpu.efer | cpu.cpl, 0);
	assert_int_equal(cpu.gpr[GPR_RBP] | cpu.gpr[GPR_RDI] | cpu.gpr[GPR_RBX], 0);
	assert_int_equal(cpu.seg[SEG_CS].selector, 0x10);
	assert_int_equal(cpu.seg[SEG_CS].attr, 0xc9b);
	for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
		assert_int_equal(cpu.seg[i].base, 0);
		assert_int_equal(cpu.seg[i].limit, UINT32_MAX);
		if (i != SEG_CS) {
			assert_int_equal(cpu.seg[i].selector, 0x18);
			assert_int_equal(cpu.seg[i].attr, 0xc93);
		}
	}
	assert_int_equal(cpu.gdtr.limit, 31);
	assert_memory_equal(ram + cpu.gdtr.base + 0x10, "\xff\xff\0\0\0\x9b\xcf\0", 8);
	assert_memory_equal(ram + cpu.gdtr.base + 0x18, "\xff\xff\0\0\0\x93\xcf\0", 8);

	bp = (const struct boot_params *)(ram + cpu.gpr[GPR_RSI]);
	assert_memory_equal(ram + KERNEL_AT, image + 5 * 512, CODE_SIZE);
	assert_string_equal((char *)ram + bp->hdr.cmd_line_ptr, "console=ttyS0");
	assert_int_equal(bp->hdr.type_of_loader, 0xff);
	assert_int_equal(bp->hdr.loadflags, LOADED_HIGH);
	assert_int_equal(bp->hdr.code32_start, KERNEL_AT);
	assert_int_equal(bp->hdr.setup_data, 0);
	assert_int_equal(bp->hdr.init_size, 0x800000);
	assert_int_equal(bp->sentinel, 0);
	assert_int_equal(bp->acpi_rsdp_addr, 0xe0000);
	assert_int_equal(bp->hdr.ramdisk_image, 64 * MiB - 4096);
	assert_int_equal(bp->hdr.ramdisk_size, sizeof(initrd));
	assert_memory_equal(ram + bp->hdr.ramdisk_image, initrd, sizeof(initrd));
	assert_int_equal(bp->e820_entries, 4);
	entry(&bp->e820_table[0], 0, 0x9fc00, 1);
	entry(&bp->e820_table[1], 0x9fc00, 0xa0000, 2);
	entry(&bp->e820_table[2], 0xe0000, 0x100000, 2);
	entry(&bp->e820_table[3], 0x100000, 64 * MiB, 1);
}

static void test_variants(void **state)
{
	const struct boot_params *bp;
	uint8_t *image = fresh(6 * GiB);

	(void)state;
	/* RAM goes around the devices below 4 GiB; the initrd stays below the kernel's limit. */
	module_new("rd", "x", 1);
	strcpy(vm.settings.initrd, "rd");
	loads();
	bp = (const struct boot_params *)(ram + cpu.gpr[GPR_RSI]);
	assert_int_equal(bp->hdr.ramdisk_image, 0x7ffff000);
	assert_int_equal(bp->e820_entries, 5);
	entry(&bp->e820_table[3], 0x100000, 0xc0000000, 1);
	entry(&bp->e820_table[4], 4 * GiB, 7 * GiB, 1);

	/* A short header, and one of a protocol without the newer fields. */
	image = fresh(32 * MiB);
	header_of(image)->version = 0x206;
	image[LINUX_JUMP_BASE - 1] = 0x3a; /* to 0x23c */
	loads();
	bp = (const struct boot_params *)(ram + cpu.gpr[GPR_RSI]);
	assert_int_equal(cpu.rip, 0x100000);
	assert_int_equal(bp->acpi_rsdp_addr, 0);
	assert_int_equal(bp->hdr.init_size, 0);
	assert_int_equal(bp->hdr.cmdline_size, 2047);

	/* setup_sects 0 means 4. */
	image = fresh(32 * MiB);
	header_of(image)->setup_sects = 0;
	loads();
	assert_memory_equal(ram + KERNEL_AT, image + 5 * 512, CODE_SIZE);
}

static void test_refused(void **state)
{
	uint8_t *image = fresh(64 * MiB);

	(void)state;
	strcpy(vm.settings.kernel, "nope");
	refused(-S_NOENT, "there is no boot module \"nope\" for the kernel");
	fresh(64 * MiB);
	strcpy(vm.settings.initrd, "nope");
	refused(-S_NOENT, "there is no boot module \"nope\" for the initrd");

	image = fresh(64 * MiB);
	memset(image + 0x202, 0, 4);
	refused(-S_NOEXEC, "kernel 'linux' is not a Linux bzImage and no multiboot 1 image: it has "
			   "neither a Linux setup header nor a multiboot header");
	image[0] = 0x1f;
	image[1] = 0x8b;
	refused(-S_NOEXEC, "kernel 'linux' is not a Linux bzImage and no multiboot 1 image: it is "
			   "compressed with gzip");
	boot_modules[0].size = 0;
	refused(-S_NOEXEC, "kernel 'linux' is not a Linux bzImage and no multiboot 1 image: it is "
			   "empty");

	image = fresh(64 * MiB);
	header_of(image)->boot_flag = 0;
	refused(-S_NOEXEC, "kernel 'linux' is not a Linux bzImage: no boot sector signature");
	image = fresh(64 * MiB);
	header_of(image)->version = 0x205;
	refused(-S_NOEXEC, "kernel 'linux' has boot protocol 2.05, 2.06 is the oldest possible");
	image = fresh(64 * MiB);
	header_of(image)->loadflags = 0;
	refused(-S_NOEXEC, "kernel 'linux' is not a Linux bzImage: a zImage, which loads low");
	image = fresh(64 * MiB);
	header_of(image)->syssize++;
	refused(-S_NOEXEC, "kernel 'linux' is truncated: its header promises 18960 bytes, the "
			   "module has 18944");
	image = fresh(64 * MiB);
	header_of(image)->syssize = UINT32_MAX;
	refused(-S_NOEXEC, "kernel 'linux' is truncated: its header promises 68719479280 bytes, "
			   "the module has 18944");
	image = fresh(64 * MiB);
	header_of(image)->syssize = 0;
	refused(-S_NOEXEC, "kernel 'linux' has no protected-mode code");
	image = fresh(64 * MiB);
	header_of(image)->pref_address = 0x9000;
	refused(-S_NOEXEC, "kernel 'linux' wants to be loaded at 0x9000, which is not possible");
	image = fresh(64 * MiB);
	header_of(image)->pref_address = UINT64_MAX;
	refused(-S_NOEXEC, "kernel 'linux' wants to be loaded at 0xffffffffffffffff, which is not "
			   "possible");
	image = fresh(64 * MiB);
	header_of(image)->cmdline_size = 12;
	refused(-S_INVAL, "kernel 'linux' takes a command line of 12 bytes, this one has 13");
	fresh(64 * MiB);
	vm.settings.module_count = 1;
	strcpy(vm.settings.modules[0].name, "linux");
	refused(-S_INVAL, "kernel 'linux' is Linux, which takes an initrd and no modules");
	fresh(23 * MiB);
	refused(-S_2BIG, "kernel 'linux' needs 24 MiB of guest memory to start, there are 23");
	fresh(24 * MiB);
	loads();
}

static void test_initrd_size(void **state)
{
	(void)state;
	fresh(32 * MiB);
	module_new("rd", NULL, 8 * MiB);
	strcpy(vm.settings.initrd, "rd");
	loads();
	fresh(32 * MiB);
	module_new("rd", NULL, 8 * MiB + 1);
	strcpy(vm.settings.initrd, "rd");
	refused(-S_2BIG, "initrd of 9 MiB does not fit in 32 MiB of guest memory, of which the "
			 "kernel needs 24");
	fresh(32 * MiB);
	module_new("rd", NULL, 0);
	strcpy(vm.settings.initrd, "rd");
	refused(-S_INVAL, "initrd 'rd' is empty");
}

/* An image cut anywhere is refused, and read only where it is. */
static void test_truncated(void **state)
{
	(void)state;
	for (size_t len = 0; len < IMAGE_SIZE; len += len < 0x300 ? 1 : 97) {
		uint8_t copy[IMAGE_SIZE];

		memcpy(copy, fresh(64 * MiB), IMAGE_SIZE);
		modules_clear();
		module_new("linux", copy, len);
		assert_int_equal(loader_load(&vm, &cpu, err, sizeof(err)), -S_NOEXEC);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),	    cmocka_unit_test(test_load),
		cmocka_unit_test(test_variants),    cmocka_unit_test(test_refused),
		cmocka_unit_test(test_initrd_size), cmocka_unit_test(test_truncated),
	};
	int failed = cmocka_run_group_tests_name("bzimage", tests, NULL, NULL);

	modules_clear();
	free(ram);
	return failed;
}
