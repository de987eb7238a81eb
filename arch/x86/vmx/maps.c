/* SPDX-License-Identifier: BSD-2-Clause */
/* The MSR and I/O bitmaps (SDM vol. 3, 25.6.4 and 25.6.9): each VM has its own for MSRs. */
#include "socle/guest/cpuid.h"
#include "socle/guest/lbr.h"
#include "socle/guest/spec_ctrl.h"
#include "socle/mm/frames.h"
#include "socle/string.h"
#include "vmx.h"
#include "vmx_insn.h"

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

static void allow_lbr(uint32_t index, bool read, bool write, void *map)
{
	if (vmx_lbr_direct(index))
		allow(index, read, write, map);
}

static void make_map(const struct x86_vcpu *v, uint8_t *map, bool spec_ctrl, bool x2apic, bool lbr)
{
	memset(map, 0xff, PAGE_SIZE);
	msr_visit_direct(v, allow, map);
	if (spec_ctrl)
		msr_visit_switched(v, allow, map);
	if (x2apic)
		vmx_apicv_msrs(allow, map);
	if (lbr)
		msr_visit_lbr(v, allow_lbr, map);
}

status_t vmx_msr_maps(struct x86_vcpu *v)
{
	bool x2apic = vmx_caps.apicv && cpuid_guest_bit(v->cpuid, 1, REG_ECX, CPUID_X2APIC);
	struct vmx_vcpu *s = vmx_vcpu(v);
	unsigned modes = x2apic ? 2 : 1, records = lbr_offered() ? 2 : 1;
	unsigned specs = spec_ctrl_direct(v->cpuid) ? 2 : 1;
	uint8_t *map;

	/* All vCPUs have the same CPU model and filter. */
	if (v->base.id) {
		memcpy(s->msr_bitmap_pa, vmx_vcpu(x86_vcpu(v->base.vm->vcpu[0]))->msr_bitmap_pa,
		       sizeof(s->msr_bitmap_pa));
		return 0;
	}
	map = pages_alloc(specs * modes * records * PAGE_SIZE, OWNER_VM_CORE);
	if (!map)
		return -S_NOMEM;
	for (unsigned i = 0; i < 8; i++) {
		unsigned c = i / 4, m = i / 2 % 2, r = i % 2;
		unsigned n = (c % specs * modes + m % modes) * records + r % records;
		uint8_t *one = map + n * PAGE_SIZE;

		if (c < specs && m < modes && r < records)
			make_map(v, one, c, m, r);
		s->msr_bitmap_pa[2 * c + m][r] = virt_to_phys(one);
	}
	return 0;
}

void vmx_use_msr_bitmap(struct vmx_vcpu *s)
{
	bool x2apic = s->apic_mode & SECONDARY_X2APIC;

	vmwrite(VMCS_MSR_BITMAP, s->msr_bitmap_pa[2 * vmx_spec_ctrl_direct(s) + x2apic][s->lbr.on]);
}
