/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads the multiboot2 boot information (Multiboot2 specification 1.6, 3.6). */
#include "multiboot2.h"
#include "socle/string.h"

enum tag_type {
	TAG_END = 0, TAG_CMDLINE = 1, TAG_MODULE = 3, TAG_MMAP = 6, TAG_EFI64 = 12,
	TAG_ACPI_OLD = 14, TAG_ACPI_NEW = 15, TAG_EFI_MMAP = 17,
};
enum { MMAP_AVAILABLE = 1 };

struct tag {
	uint32_t type, size;
};

struct tag_module {
	struct tag tag;
	uint32_t start, end;
	char cmdline[];
};

struct tag_mmap {
	struct tag tag;
	uint32_t entry_size, entry_version;
};

struct mmap_entry {
	uint64_t base, size;
	uint32_t type, reserved;
};

static void read_module(struct boot_info *info, const struct tag_module *m)
{
	size_t len = 0;

	if (info->modules == BOOT_MODULES_MAX) {
		info->modules_dropped++;
		return;
	}
	/* The name is the first word; what follows is a comment. */
	while (m->cmdline[len] && m->cmdline[len] != ' ' && len < sizeof(info->module[0].name) - 1)
		len++;
	memcpy(info->module[info->modules].name, m->cmdline, len);
	info->module[info->modules].name[len] = 0;
	info->module[info->modules].base = m->start;
	info->module[info->modules].size = m->end - m->start;
	info->modules++;
}

static void read_mmap(struct boot_info *info, const struct tag_mmap *t)
{
	const char *p = (const char *)(t + 1), *end = (const char *)t + t->tag.size;

	for (; p + sizeof(struct mmap_entry) <= end && t->entry_size; p += t->entry_size) {
		const struct mmap_entry *e = (const struct mmap_entry *)p;

		if (e->type != MMAP_AVAILABLE || !e->size)
			continue;
		if (info->rams == BOOT_RANGES_MAX)
			info->ram_dropped += e->size;
		else
			info->ram[info->rams++] = (struct mem_range){e->base, e->size};
	}
}

/* Removes [start, end) from the ranges that the allocator gets. */
static void cut(struct boot_info *info, uint64_t start, uint64_t end)
{
	start = ALIGN_DOWN(start, PAGE_SIZE);
	end = ALIGN_UP(end, PAGE_SIZE);
	for (unsigned i = 0; i < info->frees; i++) {
		struct mem_range *r = &info->free[i];
		uint64_t r_end = r->base + r->size;

		if (end <= r->base || start >= r_end)
			continue;
		if (end < r_end && start > r->base) {
			/* In the middle: the part behind becomes a range of its own, if one is
			 * left. */
			if (info->frees < BOOT_RANGES_MAX)
				info->free[info->frees++] = (struct mem_range){end, r_end - end};
			r->size = start - r->base;
		} else if (start > r->base) {
			r->size = start - r->base;
		} else {
			uint64_t new_base = MIN(end, r_end);

			r->size = r_end - new_base;
			r->base = new_base;
		}
	}
}

void multiboot2_read(struct boot_info *info, uint64_t pa, uint64_t image_start, uint64_t image_end)
{
	const char *p = phys_to_virt(pa);
	const char *end = p + *(const uint32_t *)p;

	for (p += 8; p + sizeof(struct tag) <= end;) {
		const struct tag *t = (const struct tag *)p;
		const void *body = t + 1;

		if (t->type == TAG_END || t->size < sizeof(*t))
			break;
		switch (t->type) {
		case TAG_CMDLINE:
			str_copy(info->cmdline, sizeof(info->cmdline), body);
			break;
		case TAG_MODULE:
			read_module(info, (const struct tag_module *)t);
			break;
		case TAG_MMAP:
			read_mmap(info, (const struct tag_mmap *)t);
			break;
		case TAG_EFI64:
		case TAG_EFI_MMAP:
			info->efi = true;
			break;
		case TAG_ACPI_OLD:
			if (info->has_rsdp)
				break;
			/* fall through: the newer table, when present, replaces the older */
			__attribute__((fallthrough));
		case TAG_ACPI_NEW:
			memset(info->rsdp, 0, sizeof(info->rsdp));
			memcpy(info->rsdp, body, MIN(t->size - sizeof(*t), sizeof(info->rsdp)));
			info->has_rsdp = true;
			break;
		default:
			break;
		}
		p += ALIGN_UP(t->size, 8u);
	}
	memcpy(info->free, info->ram, sizeof(info->ram));
	info->frees = info->rams;
	cut(info, 0, PAGE_SIZE); /* so that no frame has address 0 */
	cut(info, image_start, image_end);
	for (unsigned i = 0; i < info->modules; i++)
		cut(info, info->module[i].base, info->module[i].base + info->module[i].size);
}
