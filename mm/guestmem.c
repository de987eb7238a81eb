/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's physical memory: RAM ranges, populated on first touch, copied from and to with care. */
#include "socle/report.h"
#include "socle/mm/guestmem.h"
#include "socle/string.h"

enum { FRAME_SMALLEST = FRAME_4K };
#define LOW_RAM_TOP 0xc0000000ull /* devices live from here to 4 GiB */
#define HIGH_RAM    (4 * GiB)
#define VGA_WINDOW  0xa0000ull
#define ROM_AREA    0xc0000ull

void guest_mem_layout(struct guest_mem *mem, uint64_t bytes)
{
	uint64_t low = MIN(bytes, LOW_RAM_TOP);

	mem->slots = 0;
	mem->slot[mem->slots++] = (struct guest_slot){0, MIN(low, VGA_WINDOW)};
	if (low > ROM_AREA)
		mem->slot[mem->slots++] = (struct guest_slot){ROM_AREA, low - ROM_AREA};
	if (bytes > low)
		mem->slot[mem->slots++] = (struct guest_slot){HIGH_RAM, bytes - low};
}

static const struct guest_slot *slot_of(const struct guest_mem *mem, uint64_t gpa)
{
	for (unsigned i = 0; i < mem->slots; i++)
		if (gpa - mem->slot[i].base < mem->slot[i].size)
			return &mem->slot[i];
	return NULL;
}

bool guest_is_ram(const struct guest_mem *mem, uint64_t gpa, uint64_t len)
{
	const struct guest_slot *s = slot_of(mem, gpa);

	return s && len <= s->base + s->size - gpa;
}

status_t guest_mem_open(struct guest_mem *mem, const struct pt_format *format)
{
	mem->populated = 0;
	return pt_init(&mem->pt, format, mem->owner + 1);
}

struct releaser {
	struct pt_visitor visitor;
	struct guest_mem *mem;
};

static bool release_leaf(struct pt_visitor *v, uint64_t va, const struct pt_mapping *m)
{
	struct guest_mem *mem = container_of(v, struct releaser, visitor)->mem;

	/* What a vendor room has mapped elsewhere is its own. */
	if (!guest_is_ram(mem, va, PAGE_SIZE))
		return true;
	frame_free(m->pa, m->level, mem->owner);
	mem->populated -= frame_bytes(m->level);
	return true;
}

void guest_mem_close(struct guest_mem *mem)
{
	struct releaser r = {{release_leaf}, mem};

	if (!mem->pt.root)
		return;
	pt_visit(&mem->pt, &r.visitor);
	pt_destroy(&mem->pt);
	mem->generation++;
	ASSERT(mem->populated == 0);
}

status_t guest_populate(struct guest_mem *mem, uint64_t gpa)
{
	const struct guest_slot *s = slot_of(mem, gpa);
	struct pt_mapping m;
	unsigned level;
	status_t status;
	uint64_t pa, bytes, base;

	if (!s)
		return -S_FAULT;
	m = pt_lookup(&mem->pt, gpa);
	if (m.kind == PTE_LEAF)
		return 0;
	/* @m.level is the highest level at which nothing is mapped around @gpa. */
	for (level = MIN(m.level, *mem->pt.format->max_leaf);; level--) {
		bytes = frame_bytes(level);
		base = ALIGN_DOWN(gpa, bytes);
		if (level > FRAME_SMALLEST && (base < s->base || !guest_is_ram(mem, base, bytes)))
			continue;
		pa = frame_alloc(level, mem->owner);
		if (pa || level == FRAME_SMALLEST)
			break;
	}
	if (!pa)
		return -S_NOMEM;
	status = pt_map(&mem->pt, base, pa, bytes, PT_READ | PT_WRITE | PT_EXEC, PT_WB);
	if (status) {
		frame_free(pa, level, mem->owner);
		return status;
	}
	mem->populated += bytes;
	return 0;
}

void *guest_ptr(struct guest_mem *mem, uint64_t gpa)
{
	struct pt_mapping m;

	if (!slot_of(mem, gpa) || !mem->pt.root)
		return NULL;
	m = pt_lookup(&mem->pt, gpa);
	if (m.kind != PTE_LEAF) {
		if (guest_populate(mem, gpa))
			return NULL;
		m = pt_lookup(&mem->pt, gpa);
	}
	return phys_to_virt(m.pa);
}

/* The part of an access that lies in one page; NULL and the reason in @status if it cannot be. */
static void *chunk(struct guest_mem *mem, uint64_t gpa, size_t len, size_t *n, status_t *status)
{
	void *p = guest_ptr(mem, gpa);

	if (!p)
		*status = slot_of(mem, gpa) ? -S_NOMEM : -S_FAULT;
	*n = MIN(len, (size_t)(PAGE_SIZE - (gpa & (PAGE_SIZE - 1))));
	return p;
}

status_t guest_read(struct guest_mem *mem, uint64_t gpa, void *dst, size_t len)
{
	status_t status = 0;
	size_t n;

	for (; len; len -= n, gpa += n, dst = (char *)dst + n) {
		const void *p = chunk(mem, gpa, len, &n, &status);

		if (!p)
			return status;
		memcpy(dst, p, n);
	}
	return 0;
}

status_t guest_write(struct guest_mem *mem, uint64_t gpa, const void *src, size_t len)
{
	status_t status = 0;
	size_t n;

	for (; len; len -= n, gpa += n, src = (const char *)src + n) {
		void *p = chunk(mem, gpa, len, &n, &status);

		if (!p)
			return status;
		memcpy(p, src, n);
	}
	return 0;
}
