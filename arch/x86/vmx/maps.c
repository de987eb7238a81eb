/* SPDX-License-Identifier: BSD-2-Clause */
/* The MSR and I/O bitmaps (SDM vol. 3, 24.6.4 and 24.6.9), made from the policy tables. */
#include "socle/guest/msr.h"
#include "socle/mm/frames.h"
#include "socle/string.h"
#include "vmx.h"

enum { MSRS_PER_RANGE = 0x2000, WRITES = 0x800 };

uint64_t vmx_io_bitmap_pa[2], vmx_msr_bitmap_pa[2];

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
	uint8_t *msrs = pages_alloc(2 * PAGE_SIZE, OWNER_CORE);

	if (!io || !msrs)
		return -S_NOMEM;
	/* All ports belong to devices of ours, or to nobody. */
	memset(io, 0xff, 2 * PAGE_SIZE);
	memset(msrs, 0xff, 2 * PAGE_SIZE);
	msr_visit_direct(allow, msrs);
	msr_visit_direct(allow, msrs + PAGE_SIZE);
	if (vmx_caps.apicv)
		vmx_apicv_msrs(allow, msrs + PAGE_SIZE);
	vmx_io_bitmap_pa[0] = virt_to_phys(io);
	vmx_io_bitmap_pa[1] = virt_to_phys(io + PAGE_SIZE);
	vmx_msr_bitmap_pa[0] = virt_to_phys(msrs);
	vmx_msr_bitmap_pa[1] = virt_to_phys(msrs + PAGE_SIZE);
	return 0;
}
