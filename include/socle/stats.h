/* SPDX-License-Identifier: BSD-2-Clause */
/* Counters that can be printed: any room registers a printer, the console's `stats` calls all. */
#ifndef SOCLE_STATS_H
#define SOCLE_STATS_H

#include "socle/format.h"
#include "socle/section.h"

struct vm;

struct stat_source {
	const char *title; /* what is counted: "exits" */

	/* Prints @vm's counters to @out, each line indented by two spaces. Must not block. */
	void (*print)(struct vm *vm, struct format_sink *out);
};

SECTION_TABLE(struct stat_source, stat_sources);

/* STAT_SOURCE(exit_stats, .title = "exits", .print = print_exits); at file level. */
#define STAT_SOURCE(ident, ...)                                \
	static const struct stat_source ident = {__VA_ARGS__}; \
	static const struct stat_source *const ident##_entry SECTION_ENTRY(stat_sources) = &ident

#endif
