/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of the machine's disks, and who uses which of their sectors. */
#include "socle/cpu/regs.h"
#include "socle/drivers/block.h"
#include "socle/mm/frames.h"
#include "socle/report.h"
#include "socle/string.h"

enum { LETTERS = 26, BASE_LEN = 3 }; /* "vda" */

static struct block_disk *disks;
static struct block_user *users;
static unsigned count;

void block_add(struct block_disk *disk)
{
	struct block_disk **end = &disks;

	if (count == LETTERS) {
		log_warn("host: %s: more disks than %u, not used", disk->driver, LETTERS);
		return;
	}
	format(disk->name, sizeof(disk->name), "vd%c", 'a' + count++);
	while (*end)
		end = &(*end)->next;
	*end = disk;
	block_read_partitions(disk);
	log_info("host: %s %s %llu MiB%s, %u partition%s%s%s", disk->driver, disk->name,
		 (unsigned long long)(disk->sectors * BLOCK_SECTOR / MiB),
		 disk->read_only ? ", read-only" : "", disk->partitions,
		 disk->partitions == 1 ? "" : "s", disk->table ? " by " : "",
		 disk->table ? disk->table : "");
}

struct block_disk *block_next(struct block_disk *disk)
{
	return disk ? disk->next : disks;
}

/* The number behind the disk's name; 0: it is none. */
static unsigned number_in(const char *digits)
{
	unsigned n = 0;

	if (*digits == '0')
		return 0;
	for (; *digits >= '0' && *digits <= '9' && n < 1000; digits++)
		n = 10 * n + (unsigned)(*digits - '0');
	return *digits ? 0 : n;
}

status_t block_find(const char *name, struct block_user *user)
{
	struct block_disk *disk = disks;
	unsigned number;

	while (disk && strncmp(disk->name, name, BASE_LEN))
		disk = disk->next;
	if (!disk)
		return -S_NOENT;
	user->disk = disk;
	user->first = 0;
	user->sectors = disk->sectors;
	if (!name[BASE_LEN])
		return 0;
	number = number_in(name + BASE_LEN);
	for (unsigned i = 0; number && i < disk->partitions; i++) {
		if (disk->partition[i].number != number)
			continue;
		user->first = disk->partition[i].first;
		user->sectors = disk->partition[i].sectors;
		return 0;
	}
	return -S_NOENT;
}

const struct block_user *block_users(const struct block_disk *disk, uint64_t first,
				     uint64_t sectors, const struct block_user *after)
{
	const struct block_user *u = after ? after->next : users;

	while (u &&
	       (u->disk != disk || u->first >= first + sectors || first >= u->first + u->sectors))
		u = u->next;
	return u;
}

status_t block_open(struct block_user *user, const char *who, bool writes,
		    const struct block_user **other)
{
	const struct block_user *u = NULL;

	if (writes && user->disk->read_only)
		return -S_PERM;
	while ((u = block_users(user->disk, user->first, user->sectors, u))) {
		if (writes || u->writes) {
			*other = u;
			return -S_BUSY;
		}
	}
	user->who = who;
	user->writes = writes;
	user->next = users;
	users = user;
	return 0;
}

void block_close(const char *who)
{
	struct block_user **u = &users;

	while (*u) {
		if ((*u)->who == who)
			*u = (*u)->next;
		else
			u = &(*u)->next;
	}
}

status_t block_submit(const struct block_user *user, uint64_t sector, struct block_request *r)
{
	uint64_t n = r->bytes / BLOCK_SECTOR;

	if (r->bytes % BLOCK_SECTOR || r->bytes > user->disk->max_bytes || sector > user->sectors ||
	    n > user->sectors - sector || (!n && r->op != BLOCK_FLUSH))
		return -S_RANGE;
	if (r->op != BLOCK_READ && !user->writes)
		return -S_PERM;
	r->sector = user->first + sector;
	return user->disk->submit(user->disk, r);
}

/* A request of which only the end is of interest. */
struct waiting {
	struct block_request r;
	bool done;
};

static void wake(struct block_request *r)
{
	container_of(r, struct waiting, r)->done = true;
}

status_t block_read(struct block_disk *disk, uint64_t sector, uint8_t dst[BLOCK_SECTOR])
{
	struct waiting w = {.r = {.op = BLOCK_READ,
				  .bytes = BLOCK_SECTOR,
				  .sector = sector,
				  .buffer = pages_alloc(PAGE_SIZE, OWNER_CORE),
				  .done = wake}};
	status_t status;

	if (!w.r.buffer || sector >= disk->sectors) {
		pages_free(w.r.buffer, PAGE_SIZE, OWNER_CORE);
		return -S_IO;
	}
	status = disk->submit(disk, &w.r);
	/* It ends: the driver gives up a disk that does not answer. */
	while (!status && !w.done) {
		disk->look(disk);
		cpu_pause();
	}
	if (!status)
		status = w.r.status;
	if (!status)
		memcpy(dst, w.r.buffer, BLOCK_SECTOR);
	pages_free(w.r.buffer, PAGE_SIZE, OWNER_CORE);
	return status;
}
