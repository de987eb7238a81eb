/* SPDX-License-Identifier: BSD-2-Clause */
/* Multiboot 1: entry state, memory map, command line and modules as the specification says. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "mb_info";

static void modules(void)
{
	const struct mb_info *mb = mb_info();
	static const char *const text[] = {"first module", "second module"};

	if (!check((mb->flags & BIT(3)) && mb->mods_count == 2, "%u modules", mb->mods_count))
		return;
	const struct mb_module *m = (const struct mb_module *)(uintptr_t)mb->mods_addr;
	for (unsigned i = 0; i < 2; i++) {
		check(!(m[i].start & 0xfff), "module %u at %#x", i, m[i].start);
		check(m[i].start >= (uintptr_t)image_end || m[i].end <= (uintptr_t)image_start,
		      "module %u overlaps the image", i);
		check(!memcmp((const void *)(uintptr_t)m[i].start, text[i], strlen(text[i])),
		      "module %u has other bytes", i);
		check(m[i].end > m[i].start, "module %u ends at %#x", i, m[i].end);
		const char *s = (const char *)(uintptr_t)m[i].string;
		bool found = false;
		for (; *s; s++)
			found |= !strncmp(s, i ? "two words" : "one", 3);
		check(found, "module %u has the string '%s'", i,
		      (const char *)(uintptr_t)m[i].string);
	}
	check(m[0].end <= m[1].start || m[1].end <= m[0].start, "modules overlap");
}

static void memory_map(void)
{
	const struct mb_info *mb = mb_info();
	uint64_t last = 0, usable = 0;
	unsigned entries = 0;

	if (!check(mb->flags & BIT(6), "no memory map"))
		return;
	for (uint32_t at = mb->mmap_addr; at < mb->mmap_addr + mb->mmap_length;) {
		const struct mb_mmap *m = (const struct mb_mmap *)(uintptr_t)at;

		check(m->size >= 20 && m->length, "entry %u: size %u length %#lx", entries, m->size,
		      m->length);
		check(m->base >= last, "entry %u at %#lx overlaps", entries, m->base);
		last = m->base + m->length;
		if (m->type == 1 && m->base <= MiB && last > MiB)
			usable = last - MiB;
		at += m->size + 4;
		entries++;
	}
	check(usable, "no memory at 1 MiB");
	check(mb->mem_upper <= usable >> 10, "mem_upper %u KiB of %lu", mb->mem_upper,
	      usable >> 10);
	check((uintptr_t)image_end < MiB + usable, "the image is not in the map");
}

void test_main(void)
{
	const struct mb_info *mb = mb_info();

	check(entry_eax == 0x2badb002, "EAX is %#x", entry_eax);
	check((entry_cr0 & 0x80000001) == 1, "CR0 is %#x", entry_cr0);
	check(!(entry_eflags & (RFLAGS_IF | RFLAGS_VM)), "EFLAGS is %#x", entry_eflags);
	check(entry_cs != entry_ds && entry_ds == entry_es && entry_ds == entry_ss &&
		      entry_ds == entry_fs && entry_ds == entry_gs,
	      "selectors cs %#x ds %#x es %#x", entry_cs, entry_ds, entry_es);
	check(mb->flags & 1, "no mem_lower");
	check(mb->mem_lower >= 512 && mb->mem_lower <= 640, "mem_lower %u", mb->mem_lower);
	check(mb->flags & 4, "no command line");
	check(inb(0x64) != 0xff || hosted(), "no keyboard controller");
	memory_map();
	if (option("modules"))
		modules();
	if (mb->flags & BIT(9))
		info("boot loader '%s'", (const char *)(uintptr_t)mb->boot_loader_name);
}
