/* SPDX-License-Identifier: BSD-2-Clause */
/* What GRUB hands over: tags read, and memory cut around the image and the modules. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "../../lib/string.c"
#include "../../boot/multiboot2.c"

uintptr_t test_memory;
static uint8_t area[8192] __aligned(8);
static size_t used;
static struct boot_info info;

static void begin(void)
{
	memset(area, 0, sizeof(area));
	memset(&info, 0, sizeof(info));
	used = 8;
}

static void add(uint32_t type, const void *body, size_t size)
{
	struct tag t = {type, (uint32_t)(sizeof(t) + size)};

	memcpy(&area[used], &t, sizeof(t));
	memcpy(&area[used + sizeof(t)], body, size);
	used = ALIGN_UP(used + sizeof(t) + size, 8);
}

static void add_module(uint32_t start, uint32_t end, const char *text)
{
	uint8_t body[256];

	memcpy(body, &start, 4);
	memcpy(body + 4, &end, 4);
	memcpy(body + 8, text, strlen(text) + 1);
	add(TAG_MODULE, body, 8 + strlen(text) + 1);
}

static void add_memory(const struct mmap_entry *entries, unsigned count)
{
	uint8_t body[4096];

	memcpy(body, &(uint32_t[]){sizeof(*entries), 0}, 8);
	memcpy(body + 8, entries, count * sizeof(*entries));
	add(TAG_MMAP, body, 8 + count * sizeof(*entries));
}

static void finish(uint64_t image_start, uint64_t image_end)
{
	add(TAG_END, "", 0);
	memcpy(area, &(uint32_t){(uint32_t)used}, 4);
	test_memory = (uintptr_t)area - 0x10000;
	multiboot2_read(&info, 0x10000, image_start, image_end);
}

static void check_free(const struct mem_range *want, unsigned count)
{
	unsigned n = 0;

	/* In any order, empty ones left out. */
	for (unsigned i = 0; i < info.frees; i++) {
		bool found = !info.free[i].size;

		n += !found;
		for (unsigned k = 0; k < count; k++)
			found |= info.free[i].base == want[k].base &&
				 info.free[i].size == want[k].size;
		if (!found)
			fail_msg("range %#lx, %#lx", (long)info.free[i].base,
				 (long)info.free[i].size);
	}
	assert_int_equal(n, count);
}

static void tags(void **state __unused)
{
	uint8_t old[20] = "RSD PTR 1", new[36] = "RSD PTR 2";

	begin();
	add(TAG_CMDLINE, "serial=com2 bench", 18);
	add(99, "what is this?", 14);
	add(TAG_ACPI_OLD, old, sizeof(old));
	add(TAG_EFI64, "12345678", 8);
	add_module(0x200000, 0x200010, "socle.conf some text");
	add_module(0x300000, 0x400000, "vmlinuz");
	finish(0, 0);
	assert_string_equal(info.cmdline, "serial=com2 bench");
	assert_true(info.efi);
	assert_true(info.has_rsdp);
	assert_memory_equal(info.rsdp, old, sizeof(old));
	assert_int_equal(info.modules, 2);
	assert_string_equal(info.module[0].name, "socle.conf");
	assert_int_equal(info.module[0].base, 0x200000);
	assert_int_equal(info.module[0].size, 0x10);
	assert_string_equal(info.module[1].name, "vmlinuz");
	/* The newer RSDP wins, whatever the order. */
	for (unsigned order = 0; order < 2; order++) {
		begin();
		for (unsigned i = 0; i < 2; i++) {
			if (i == order)
				add(TAG_ACPI_OLD, old, sizeof(old));
			else
				add(TAG_ACPI_NEW, new, sizeof(new));
		}
		finish(0, 0);
		assert_memory_equal(info.rsdp, new, sizeof(new));
	}
	begin();
	finish(0, 0);
	assert_false(info.has_rsdp || info.efi || info.modules || info.rams || info.frees);
}

static void long_names_and_many_modules(void **state __unused)
{
	char name[200];

	memset(name, 'n', sizeof(name) - 1);
	name[199] = 0;
	begin();
	for (unsigned i = 0; i < BOOT_MODULES_MAX + 3; i++)
		add_module(0x100000 * i, 0x100000 * i + 5, i ? "m" : name);
	finish(0, 0);
	assert_int_equal(info.modules, BOOT_MODULES_MAX);
	assert_int_equal(info.modules_dropped, 3);
	assert_int_equal(strlen(info.module[0].name), sizeof(info.module[0].name) - 1);
}

static const struct mmap_entry pc[] = {
	{0, 0x9fc00, 1, 0},
	{0x9fc00, 0x400, 2, 0},
	{0xf0000, 0x10000, 2, 0},
	{0x100000, 0x7ee0000, 1, 0},
	{0x7fe0000, 0x20000, 3, 0},
	{0xfffc0000, 0x40000, 2, 0},
	{0x100000000, 0x40000000, 1, 0},
	{0x200000000, 0, 1, 0},
};

static void memory_map(void **state __unused)
{
	begin();
	add_memory(pc, ARRAY_SIZE(pc));
	finish(0x100000, 0x142345);
	assert_int_equal(info.rams, 3);
	assert_int_equal(info.ram[1].base, 0x100000);
	assert_int_equal(info.ram[1].size, 0x7ee0000);
	/* Page 0 is gone, the image to the end of its last page. */
	check_free((struct mem_range[]){{0x1000, 0x9ec00},
					{0x143000, 0x7fe0000 - 0x143000},
					{0x100000000, 0x40000000}},
		   3);
}

static void cuts(void **state __unused)
{
	begin();
	add_memory(pc, ARRAY_SIZE(pc));
	add_module(0x200000, 0x200001, "one page");
	add_module(0x201000, 0x202fff, "next to it");
	add_module(0x7fd0800, 0x7fe0000, "to the end");
	add_module(0x400000, 0x400000, "empty");
	add_module(0x143000, 0x144000, "at the start");
	add_module(0xf0000000, 0xf0001000, "in no RAM");
	finish(0x100000, 0x143000);
	{
		uint64_t sum = 0;

		for (unsigned i = 0; i < info.frees; i++) {
			const struct mem_range *r = &info.free[i];

			sum += r->size;
			/* Nothing that is in use is in a free range. */
			for (unsigned m = 0; m < info.modules; m++)
				assert_false(info.module[m].size && r->size &&
					     r->base < info.module[m].base + info.module[m].size &&
					     info.module[m].base < r->base + r->size);
		}
		assert_int_equal(sum, 0x9ec00 + 0x40000000ull + (0x7fe0000 - 0x143000) - 0x1000 -
					      0x1000 - 0x2000 - 0x10000);
	}
}

/* Random modules against a map of pages. */
static void random_cuts(void **state __unused)
{
	enum { PAGES = 1024 };
	uint64_t seed = 17;

	for (unsigned round = 0; round < 500; round++) {
		static bool is_free[PAGES];
		const struct mmap_entry m[] = {{0, 300 * 4096, 1, 0},
					       {400 * 4096, 624 * 4096, 1, 0}};

		begin();
		add_memory(m, 2);
		for (unsigned p = 0; p < PAGES; p++)
			is_free[p] = p && (p < 300 || p >= 400);
		for (unsigned i = 0; i < 10; i++) {
			uint32_t start, end;

			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			start = (seed >> 33) % (PAGES * 4096 - 70000);
			end = start + 1 + (seed >> 20) % 65536;
			add_module(start, end, "m");
			for (unsigned p = start / 4096; p <= (end - 1) / 4096; p++)
				is_free[p] = false;
		}
		finish(0, 0);
		for (unsigned i = 0; i < info.frees; i++) {
			const struct mem_range *r = &info.free[i];

			for (uint64_t at = r->base; at < r->base + r->size; at += 4096) {
				assert_true(is_free[at / 4096]);
				is_free[at / 4096] = false; /* and in one range only */
			}
		}
		for (unsigned p = 0; p < PAGES; p++)
			assert_false(is_free[p]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags),	  cmocka_unit_test(long_names_and_many_modules),
		cmocka_unit_test(memory_map), cmocka_unit_test(cuts),
		cmocka_unit_test(random_cuts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
