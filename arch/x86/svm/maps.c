/* SPDX-License-Identifier: BSD-2-Clause */
/* The MSR and I/O permission maps (APM vol. 2, 15.10 and 15.11): each VM has one for its MSRs. */
#include "socle/guest/lbr.h"
#include "socle/guest/spec_ctrl.h"
#include "socle/mm/frames.h"
#include "socle/string.h"
#include "svm.h"

enum { IOPM_SIZE = 3 * 4096, MSRPM_SIZE = 2 * 4096, MSRS_PER_RANGE = 0x2000 };

uint64_t svm_iopm_pa;

/* Two bits per register: read, then write; 1 intercepts. */
static void allow(uint32_t index, bool read, bool write, void *map)
{
	static const struct {
		uint32_t base;
		unsigned offset;
	} ranges[] = {{0, 0}, {0xc0000000, 0x800}, {0xc0010000, 0x1000}};
	uint8_t *bytes = map;

	for (unsigned i = 0; i < ARRAY_SIZE(ranges); i++) {
		uint32_t n = index - ranges[i].base;
		uint8_t *b;

		if (n >= MSRS_PER_RANGE)
			continue;
		b = &bytes[ranges[i].offset + n / 4];
		if (read)
			*b &= ~(1u << n % 4 * 2);
		if (write)
			*b &= ~(2u << n % 4 * 2);
	}
}

static void allow_lbr(uint32_t index, bool read, bool write, void *map)
{
	if (lbr_offer.has(index))
		allow(index, read, write, map);
}

status_t svm_maps_init(void)
{
	uint8_t *iopm = pages_alloc(IOPM_SIZE, OWNER_CORE);

	if (!iopm)
		return -S_NOMEM;
	/* All ports belong to devices of ours, or to nobody. */
	memset(iopm, 0xff, IOPM_SIZE);
	svm_iopm_pa = virt_to_phys(iopm);
	return 0;
}

static void make_map(const struct x86_vcpu *v, uint8_t *map, bool spec_ctrl, bool lbr)
{
	memset(map, 0xff, MSRPM_SIZE);
	msr_visit_direct(v, allow, map);
	if (spec_ctrl)
		msr_visit_switched(v, allow, map);
	if (lbr)
		msr_visit_lbr(v, allow_lbr, map);
}

status_t svm_msr_maps(struct x86_vcpu *v)
{
	struct svm_vcpu *s = svm_vcpu(v);
	unsigned spec = spec_ctrl_direct(v->cpuid) ? 2 : 1, records = lbr_offered() ? 2 : 1;
	uint8_t *map;

	/* All vCPUs have the same CPU model and filter. */
	if (v->base.id) {
		memcpy(s->msrpm_pa, svm_vcpu(x86_vcpu(v->base.vm->vcpu[0]))->msrpm_pa,
		       sizeof(s->msrpm_pa));
		return 0;
	}
	map = pages_alloc(spec * records * MSRPM_SIZE, OWNER_VM_CORE);
	if (!map)
		return -S_NOMEM;
	for (unsigned i = 0; i < ARRAY_SIZE(s->msrpm_pa); i++) {
		unsigned c = i / 2, r = i % 2;
		uint8_t *one = map + (c % spec * records + r % records) * MSRPM_SIZE;

		if (c < spec && r < records)
			make_map(v, one, c, r);
		s->msrpm_pa[i] = virt_to_phys(one);
	}
	return 0;
}

void svm_use_msr_map(struct svm_vcpu *s)
{
	bool records = s->vmcb->dbgctl;

	s->vmcb->msrpm_pa = s->msrpm_pa[2 * svm_spec_ctrl_direct(s) + records];
	svm_touch(s->vmcb, CLEAN_PERMISSIONS);
}
