/* SPDX-License-Identifier: BSD-2-Clause */
/* The 32-bit protected mode, flat and without paging, in which boot protocols start a kernel. */
#include "entry.h"
#include "socle/string.h"

enum {
	TYPE_CODE = 0xb,       /* execute, read, accessed (SDM vol. 3, table 3-1) */
	TYPE_DATA = 0x3,       /* read, write, accessed */
	TYPE_LDT = 0x2,	       /* (SDM vol. 3, table 3-2) */
	TYPE_TSS_BUSY = 0xb,   /* 32-bit */
	CR0_PE_ET = 0x11,      /* protection; ET always reads as one */
	DR6_INIT = 0xffff0ff0, /* value after reset (SDM vol. 3, table 10-1) */
	DR7_INIT = 0x400,
};

/* Base 0, limit 0xfffff pages: the segments that entry_flat32() loads. */
const uint64_t entry_gdt[ENTRY_GDT_SIZE / 8] = {
	[ENTRY_CS / 8] = 0x00cf9b000000ffff,
	[ENTRY_DS / 8] = 0x00cf93000000ffff,
};

void entry_flat32(struct x86_state *state, uint64_t gdt, uint32_t rip)
{
	const struct x86_segment data = {
		.selector = ENTRY_DS,
		.attr = TYPE_DATA | SEG_ATTR_S | SEG_ATTR_P | SEG_ATTR_DB | SEG_ATTR_G,
		.limit = UINT32_MAX,
	};

	memset(state, 0, sizeof(*state));
	state->rip = rip;
	state->rflags = RFLAGS_FIXED;
	state->cr0 = CR0_PE_ET;
	state->dr6 = DR6_INIT;
	state->dr7 = DR7_INIT;
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		state->seg[i] = data;
	state->seg[SEG_CS].selector = ENTRY_CS;
	state->seg[SEG_CS].attr = TYPE_CODE | SEG_ATTR_S | SEG_ATTR_P | SEG_ATTR_DB | SEG_ATTR_G;
	/* As after reset: VMX wants a task register of this type even where nothing uses it. */
	state->seg[SEG_LDTR] = (struct x86_segment){.attr = TYPE_LDT | SEG_ATTR_P, .limit = 0xffff};
	state->seg[SEG_TR] =
		(struct x86_segment){.attr = TYPE_TSS_BUSY | SEG_ATTR_P, .limit = 0xffff};
	state->gdtr = (struct x86_table){.base = gdt, .limit = ENTRY_GDT_SIZE - 1};
}
