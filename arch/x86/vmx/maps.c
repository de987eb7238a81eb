/* SPDX-License-Identifier: BSD-2-Clause */
/* The MSR and I/O bitmaps (SDM vol. 3, 24.6.4 and 24.6.9): each VM has its own for MSRs. */
#include "socle/guest/cpuid.h"
#include "socle/guest/msr.h"
#include "socle/mm/frames.h"
#include "socle/string.h"
#include "vmx.h"

enum { MSRS_PER_RANGE = 0x2000, WRITES = 0x800, CPUID_X2APIC = 21 /* leaf 1, ECX */ };

uint64_t vmx_io_bitmap_pa[2];

/* One bit per register in four blocks: reads of low and high ones, then writes; 1 exits. */
static void allow(uint32_t index, bool read, bool write, void *map)
{
	static const struct {
		uint32_t base;
		unsigned offset;
	} ranges[] = {{0, 0}, {0xc0000000, 0x400}};
	uint8_t *bytes = map;

	for (unsigned i = 0; i < ARRAY_SIZE(ranges); i++) {
		uint32_t n = index - ranges[i].base;
		uint8_t *b;

		if (n >= MSRS_PER_RANGE)
			continue;
		b = &bytes[ranges[i].offset + n / 8];
		if (read)
			b[0] &= ~(1u << n % 8);
		if (write)
			b[WRITES] &= ~(1u << n % 8);
	}
}

status_t vmx_maps_init(void)
{
	uint8_t *io = pages_alloc(2 * PAGE_SIZE, OWNER_CORE);

	if (!io)
		return -S_NOMEM;
	/* All ports belong to devices of ours, or to nobody. */
	memset(io, 0xff, 2 * PAGE_SIZE);
	vmx_io_bitmap_pa[0] = virt_to_phys(io);
	vmx_io_bitmap_pa[1] = virt_to_phys(io + PAGE_SIZE);
	return 0;
}

static uint8_t *make_map(const struct x86_vcpu *v)
{
	uint8_t *map = pages_alloc(PAGE_SIZE, OWNER_VM_CORE);

	if (!map)
		return NULL;
	memset(map, 0xff, PAGE_SIZE);
	msr_visit_direct(v, allow, map);
	return map;
}

status_t vmx_msr_maps(struct x86_vcpu *v)
{
	bool x2apic = vmx_caps.apicv && cpuid_guest_bit(v->cpuid, 1, REG_ECX, CPUID_X2APIC);
	struct vmx_vcpu *s = vmx_vcpu(v);
	uint8_t *map[2];

	/* All vCPUs have the same CPU model and filter. */
	if (v->base.id) {
		memcpy(s->msr_bitmap_pa, vmx_vcpu(x86_vcpu(v->base.vm->vcpu[0]))->msr_bitmap_pa,
		       sizeof(s->msr_bitmap_pa));
		return 0;
	}
	map[0] = make_map(v);
	map[1] = x2apic ? make_map(v) : map[0];
	if (!map[0] || !map[1]) {
		pages_free(map[0], PAGE_SIZE, OWNER_VM_CORE);
		return -S_NOMEM;
	}
	if (x2apic)
		vmx_apicv_msrs(allow, map[1]);
	for (unsigned i = 0; i < ARRAY_SIZE(map); i++)
		s->msr_bitmap_pa[i] = virt_to_phys(map[i]);
	return 0;
}
