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
	/* Removals count in the low half: each space has numbers of its own. */
	static uint64_t spaces;

	mem->populated = 0;
	__atomic_store_n(&mem->epoch, __atomic_add_fetch(&spaces, 1, __ATOMIC_RELAXED) << 32,
			 __ATOMIC_RELEASE);
	return pt_init(&mem->pt, format, mem->owner + 1);
}

void guest_mem_changed(struct guest_mem *mem)
{
	__atomic_add_fetch(&mem->epoch, 1, __ATOMIC_SEQ_CST);
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
	ASSERT(mem->move == GUEST_MOVE_NONE);
	pt_visit(&mem->pt, &r.visitor);
	pt_destroy(&mem->pt);
	guest_mem_changed(mem);
	frames_return_stock();
	ASSERT(mem->populated == 0);
}

/*
 * A frame for the page at @gpa in slot @s: the largest that lies in RAM, is not above *@level and
 * can be had; *@level is set to its level.
 */
static uint64_t alloc_backing(struct guest_mem *mem, const struct guest_slot *s, uint64_t gpa,
			      unsigned *level)
{
	for (;; --*level) {
		uint64_t bytes = frame_bytes(*level), base = ALIGN_DOWN(gpa, bytes), pa;

		if (*level > FRAME_SMALLEST && (base < s->base || !guest_is_ram(mem, base, bytes)))
			continue;
		pa = frame_alloc(*level, mem->owner);
		if (pa || *level == FRAME_SMALLEST)
			return pa;
	}
}

status_t guest_populate(struct guest_mem *mem, uint64_t gpa)
{
	const struct guest_slot *s = slot_of(mem, gpa);

	if (!s)
		return -S_FAULT;
	for (;;) {
		struct pt_mapping m = pt_lookup(&mem->pt, gpa);
		unsigned level = MIN(m.level, *mem->pt.format->max_leaf);
		status_t status;
		uint64_t pa;

		if (m.kind == PTE_LEAF)
			return 0;
		if (m.kind == PTE_FROZEN)
			return -S_AGAIN;
		/* @m.level is the highest level at which nothing is mapped around @gpa. */
		pa = alloc_backing(mem, s, gpa, &level);
		if (!pa)
			return -S_NOMEM;
		status = pt_fill(&mem->pt, ALIGN_DOWN(gpa, frame_bytes(level)), pa, level,
				 PT_READ | PT_WRITE | PT_EXEC, PT_WB);
		if (!status) {
			__atomic_add_fetch(&mem->populated, frame_bytes(level), __ATOMIC_RELAXED);
			return 0;
		}
		frame_free_unused(pa, level, mem->owner);
		/* Another vCPU was faster, with this page or one in the same large frame. */
		if (status != -S_EXIST)
			return status;
	}
}

/*
 * Makes whoever moves a page wait until this CPU comes to its next entry, even if it had come to
 * one since, or until its visit is over. False if it is too late for that.
 */
static bool hold_moving(struct guest_mem *mem)
{
	uint64_t *visit = &mem->visit[cpu_index()];

	__atomic_store_n(&mem->seen[cpu_index()], 0, __ATOMIC_SEQ_CST);
	/* As if it began before all that was taken away. */
	if (__atomic_load_n(visit, __ATOMIC_RELAXED))
		__atomic_store_n(visit, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&mem->touched, true, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&mem->move, __ATOMIC_SEQ_CST) == GUEST_MOVE_WAITING;
}

void *guest_ptr(struct guest_mem *mem, uint64_t gpa)
{
	bool held = false;

	if (!slot_of(mem, gpa) || !mem->pt.root)
		return NULL;
	for (;;) {
		struct pt_mapping m = pt_lookup(&mem->pt, gpa);
		status_t status;

		/* What is found frozen after it was held stays where it is. */
		if (likely(m.kind == PTE_LEAF) || (m.kind == PTE_FROZEN && held))
			return phys_to_virt(m.pa);
		if (m.kind == PTE_FROZEN) {
			held = hold_moving(mem);
			if (!held)
				__asm__ volatile("pause");
			continue;
		}
		status = guest_populate(mem, gpa);
		if (status && status != -S_AGAIN)
			return NULL;
	}
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
