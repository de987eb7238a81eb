/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables that the linker gathers from many files: each file adds entries to a section. */
#ifndef SOCLE_SECTION_H
#define SOCLE_SECTION_H

#include "socle/base.h"

/*
 * The sections hold pointers to the entries, as the compiler may align larger objects as it likes.
 * linker.ld names their bounds; the host's linker does it by itself, with other names.
 */
#ifndef SOCLE_UNIT_TEST
#define SECTION_NAME(table)  "." #table
#define SECTION_START(table) __##table##_start
#define SECTION_END(table)   __##table##_end
#else
#define SECTION_NAME(table)  #table
#define SECTION_START(table) __start_##table
#define SECTION_END(table)   __stop_##table
#endif
#define SECTION_ENTRY(table) __section(SECTION_NAME(table))

/* For assembly in C: adds an entry of 32-bit words, which @words lays out, to a table of such. */
#define SECTION_ASM(table, words)                                                            \
	".pushsection " SECTION_NAME(table) ",\"a\",@progbits\n\t.balign 4\n\t" words "\n\t" \
					    ".popsection\n\t"

/* Declares the bounds of a table of @type, once, at file level. */
#define SECTION_TABLE(type, table)                       \
	extern const type *const SECTION_START(table)[]; \
	extern const type *const SECTION_END(table)[]

/* Visits each entry; @pos is a const type *const *. */
#define section_for_each(pos, table) \
	for (pos = SECTION_START(table); pos < SECTION_END(table); pos++)

#endif
