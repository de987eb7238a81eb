/* SPDX-License-Identifier: BSD-2-Clause */
/* Instructions of ours that may raise #GP, and where to go on after that: a table by the linker. */
#ifndef SOCLE_CPU_FIXUP_H
#define SOCLE_CPU_FIXUP_H

#include "socle/base.h"
#include "socle/section.h"

/* Both count from the member itself, so that the table needs no relocation. */
struct fixup {
	int32_t fault;	/* the instruction */
	int32_t resume; /* where its #GP leads, with all registers as they were */
};
_Static_assert(sizeof(struct fixup) == 8, "as FIXUP() lays it out");

extern const struct fixup SECTION_START(exception_table)[], SECTION_END(exception_table)[];

/* For assembly in C: adds the labels @fault and @resume, strings, to the table. */
#define FIXUP(fault, resume) \
	SECTION_ASM(exception_table, ".long " fault " - .\n\t.long " resume " - .")

#endif
