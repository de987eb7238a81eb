/* SPDX-License-Identifier: BSD-2-Clause */
/* The hypervisor's own address space. */
#include "socle/cpu/cpu.h"
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/report.h"
#include "socle/mm/paging.h"

#define PAT_RESET 0x0007040600070406ull

static struct pagetable tables;

static void map(uint64_t va, uint64_t pa, uint64_t size, unsigned prot, enum pt_memtype type)
{
	if (pt_map(&tables, va, pa, size, prot, type))
		panic("out of memory for the hypervisor's page tables");
}

static void map_image(const char *start, const char *end, unsigned prot)
{
	uint64_t va = (uintptr_t)start;

	map(va, va - KERNEL_BASE, end - start, prot, PT_WB);
}

/* The direct map, but for our own image: its text must not be writable under another address. */
static void map_direct(const struct mem_range *r, uint64_t image_start, uint64_t image_end)
{
	uint64_t start = ALIGN_DOWN(r->base, PAGE_SIZE);
	uint64_t end = ALIGN_UP(r->base + r->size, PAGE_SIZE);

	if (start < image_start)
		map(DIRECT_BASE + start, start, MIN(end, image_start) - start, PT_READ | PT_WRITE,
		    PT_WB);
	start = MAX(start, image_end);
	if (start < end)
		map(DIRECT_BASE + start, start, end - start, PT_READ | PT_WRITE, PT_WB);
}

void paging_cpu_init(void)
{
	uint64_t cr4 = cr4_read() | CR4_PGE | CR4_MCE;

	/* As after reset (SDM vol. 3, 12.12.4), whatever the firmware left: our entries count on
	 * it. */
	msr_write(MSR_PAT, PAT_RESET);
	cr3_write(tables.root);
	if (cpu_has(CPU_SMEP))
		cr4 |= CR4_SMEP;
	if (cpu_has(CPU_SMAP))
		cr4 |= CR4_SMAP;
	if (cpu_has(CPU_UMIP))
		cr4 |= CR4_UMIP;
	cr4_write(cr4);
	cr0_write((cr0_read() | CR0_WP) & ~(uint64_t)(CR0_CD | CR0_NW));
}

void paging_init(const struct mem_range *ranges, unsigned count)
{
	uint64_t image_start = (uintptr_t)__image_start;
	uint64_t image_end = (uintptr_t)__image_end;

	pt_x86_init(cpu_has(CPU_PAGE_1G));
	if (pt_init(&tables, &pt_format_host, OWNER_PAGING))
		panic("out of memory for the hypervisor's page tables");
	for (unsigned i = 0; i < count; i++)
		map_direct(&ranges[i], image_start, ALIGN_UP(image_end, PAGE_SIZE));
	map_image(__text_start, __text_end, PT_READ | PT_EXEC);
	map_image(__rodata_start, __rodata_end, PT_READ);
	map_image(__data_start, __data_end, PT_READ | PT_WRITE);
	paging_cpu_init();
	frames_all_mapped();
}

void *paging_map_device(uint64_t pa, uint64_t size)
{
	uint64_t start = ALIGN_DOWN(pa, PAGE_SIZE), end = ALIGN_UP(pa + size, PAGE_SIZE);

	map(DIRECT_BASE + start, start, end - start, PT_READ | PT_WRITE, PT_UC);
	cr3_write(cr3_read());
	return phys_to_virt(pa);
}

const void *paging_map_readonly(uint64_t pa, uint64_t size)
{
	uint64_t start = ALIGN_DOWN(pa, PAGE_SIZE), end = ALIGN_UP(pa + size, PAGE_SIZE);

	/* Page by page, since a part may be mapped as RAM already. */
	for (; start < end; start += PAGE_SIZE)
		if (pt_lookup(&tables, DIRECT_BASE + start).kind != PTE_LEAF)
			map(DIRECT_BASE + start, start, PAGE_SIZE, PT_READ, PT_WB);
	return phys_to_virt(pa);
}

void *paging_map_stack(unsigned index)
{
	uint64_t top = STACKS_BASE + (index + 1) * CPU_STACK_SLOT;

	for (uint64_t va = top - CPU_STACK_SIZE; va < top; va += PAGE_SIZE) {
		uint64_t pa = frame_alloc(FRAME_4K, OWNER_CORE);

		if (!pa)
			panic("out of memory for stacks");
		map(va, pa, PAGE_SIZE, PT_READ | PT_WRITE, PT_WB);
	}
	return (void *)top;
}

const struct pagetable *paging_tables(void)
{
	return &tables;
}

struct wx_check {
	struct pt_visitor visitor;
	unsigned mappings, bad;
};

static bool check_wx(struct pt_visitor *v, uint64_t va, const struct pt_mapping *m)
{
	struct wx_check *c = container_of(v, struct wx_check, visitor);

	c->mappings++;
	if ((m->prot & (PT_WRITE | PT_EXEC)) == (PT_WRITE | PT_EXEC)) {
		c->bad++;
		log_error("page %#llx is writable and executable", (unsigned long long)va);
	}
	return true;
}

unsigned paging_check_wx(unsigned *mappings)
{
	struct wx_check c = {.visitor = {check_wx}};

	pt_visit(&tables, &c.visitor);
	*mappings = c.mappings;
	return c.bad;
}
