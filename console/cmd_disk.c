/* SPDX-License-Identifier: BSD-2-Clause */
/* Command about the machine's disks. */
#include "socle/console/command.h"
#include "socle/drivers/block.h"

static void print_users(struct format_sink *out, const struct block_disk *disk, uint64_t first,
			uint64_t sectors)
{
	const struct block_user *u = NULL;

	while ((u = block_users(disk, first, sectors, u)))
		format_sink(out, " %s%s", u->who, u->writes ? "" : " (ro)");
	format_sink(out, "\n");
}

static void disks_command(const struct command_call *call)
{
	const struct block_disk *disk = block_next(NULL);

	if (!disk)
		format_sink(call->out, "no disks that Socle has a driver for\n");
	for (; disk; disk = disk->next) {
		format_sink(call->out, "%-7s %7llu MiB  %s%s%s%s:", disk->name,
			    (unsigned long long)(disk->sectors * BLOCK_SECTOR / MiB), disk->driver,
			    disk->table ? ", " : "", disk->table ? disk->table : "",
			    disk->dead	      ? ", given up"
			    : disk->read_only ? ", read-only"
					      : "");
		print_users(call->out, disk, 0, disk->sectors);
		for (unsigned i = 0; i < disk->partitions; i++) {
			const struct block_partition *p = &disk->partition[i];

			format_sink(call->out, "  %s%-2u %7llu MiB  from sector %llu:", disk->name,
				    p->number,
				    (unsigned long long)(p->sectors * BLOCK_SECTOR / MiB),
				    (unsigned long long)p->first);
			print_users(call->out, disk, p->first, p->sectors);
		}
	}
}

CONSOLE_COMMAND(disks, .name = "disks", .args = "",
		.help = "the machine's disks, their partitions, and the guests that have them",
		.run = disks_command);
