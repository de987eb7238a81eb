/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests: the machine's "physical" memory as a mapping of the test's, at any address. */
#ifndef TESTS_UNIT_MEMORY_MOCK_H
#define TESTS_UNIT_MEMORY_MOCK_H

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "socle/mm/frames.h"

uintptr_t test_memory; /* physical address 0 */

static uint64_t machine_size; /* bytes of address space, most of it never touched */

/* Address space for @size bytes, with no memory behind what nobody touches. Contents: zeroes. */
static __unused void machine_new(uint64_t size)
{
	char *p;

	if (machine_size)
		munmap((void *)test_memory, machine_size);
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		 -1, 0);
	assert_true(p != MAP_FAILED);
	test_memory = (uintptr_t)p;
	machine_size = size;
}

/*
 * Puts the same few pages behind every 2 MiB of [start, start + size), so that a gigabyte can be
 * zeroed without having one.
 */
static __unused void machine_alias(uint64_t start, uint64_t size)
{
	int fd = memfd_create("alias", 0);

	assert_true(fd >= 0 && ftruncate(fd, 2 * MiB) == 0);
	for (uint64_t at = start; at < start + size; at += 2 * MiB)
		assert_true(mmap(phys_to_virt(at), 2 * MiB, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED);
	close(fd);
}

/* Bytes that @owner holds, by the allocator's account. */
static __unused uint64_t held_by(uint32_t owner)
{
	struct frames_account a;

	frames_account_read(&a);
	return a.held[owner];
}

static __unused bool all_zero(const void *p, size_t size)
{
	const uint64_t *word = p;

	for (size_t i = 0; i < size / 8; i++)
		if (word[i])
			return false;
	return true;
}

#endif
