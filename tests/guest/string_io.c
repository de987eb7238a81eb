/* SPDX-License-Identifier: BSD-2-Clause */
/* String input and output: counts, directions, page crossings, a fault in the middle. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "string_io";

static uint8_t buffer[3 * 4096] __aligned(4096);

static void ins(uint8_t size, uint16_t port, void *to, uint64_t count)
{
	if (size == 1)
		__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(port) : "memory");
	else if (size == 2)
		__asm__ volatile("rep insw" : "+D"(to), "+c"(count) : "d"(port) : "memory");
	else
		__asm__ volatile("rep insl" : "+D"(to), "+c"(count) : "d"(port) : "memory");
	check(count == 0, "count is %lu after the end", count);
}

static void outs(uint16_t port, const void *from, uint64_t count)
{
	__asm__ volatile("rep outsl" : "+S"(from), "+c"(count) : "d"(port) : "memory");
	check(count == 0, "count is %lu after the end", count);
}

static bool all(const uint8_t *p, size_t len, uint8_t v)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != v)
			return false;
	return true;
}

void test_main(void)
{
	/* An unknown port reads as ones; the bytes around the target stay. */
	ins(1, 0x1234, buffer + 100, 50);
	check(all(buffer + 100, 50, 0xff) && !buffer[99] && !buffer[150], "insb");
	ins(2, 0x1234, buffer + 4090, 10);
	check(all(buffer + 4090, 20, 0xff) && !buffer[4089] && !buffer[4110], "insw over a page");
	ins(4, 0x1234, buffer + 8190, 3);
	check(all(buffer + 8190, 12, 0xff) && !buffer[8189] && !buffer[8202], "insl over a page");
	ins(1, 0x1234, buffer + 200, 0);
	check(!buffer[200], "a count of 0 stores");
	/* Backwards. */
	void *to = buffer + 310;
	uint64_t count = 5;
	__asm__ volatile("std; rep insb; cld" : "+D"(to), "+c"(count) : "d"(0x1234) : "memory");
	check(to == buffer + 305 && all(buffer + 306, 5, 0xff) && !buffer[305] && !buffer[311],
	      "insb backwards ends at +%ld", (long)((uint8_t *)to - buffer));
	/* What is written can be read: the PCI address register. */
	uint32_t words[] = {0x80001000, 0x80002000, 0x8000f800}, got[2] = {0, 0};
	outs(0xcf8, words, 3);
	ins(4, 0xcf8, got, 2);
	check(got[0] == 0x8000f800 && got[1] == 0x8000f800, "outsl then insl: %#x %#x", got[0],
	      got[1]);
	/* Without REP, and with a 32-bit address size. */
	to = buffer + 400;
	__asm__ volatile("insb" : "+D"(to) : "d"(0x1234) : "memory");
	check(to == buffer + 401 && buffer[400] == 0xff, "single insb");
	to = buffer + 410;
	count = 3;
	__asm__ volatile("addr32 rep insb" : "+D"(to), "+c"(count) : "d"(0x1234) : "memory");
	check(to == buffer + 413 && all(buffer + 410, 3, 0xff), "insb with addr32");
	/* A page that is not there stops it exactly at its edge. */
	uint64_t *pte = page_split((uintptr_t)buffer + 4096), old = *pte;
	memset(buffer, 0, sizeof(buffer));
	*pte = 0;
	invlpg((uintptr_t)buffer + 4096);
	check(EXCEPTION_OF(ins(1, 0x1234, buffer + 4086, 30)) == VEC_PF, "no #PF");
	check(last_trap.error == 2 && last_trap.cr2 == (uintptr_t)buffer + 4096,
	      "#PF error %#lx CR2 +%#lx", last_trap.error, last_trap.cr2 - (uintptr_t)buffer);
	check(last_trap.rcx == 20 && last_trap.rdi == (uintptr_t)buffer + 4096,
	      "stops with rcx %lu, rdi +%#lx", last_trap.rcx, last_trap.rdi - (uintptr_t)buffer);
	check(all(buffer + 4086, 10, 0xff), "bytes before the fault are missing");
	*pte = old;
	invlpg((uintptr_t)buffer + 4096);
	/* A source that is not there. */
	pte = page_split((uintptr_t)buffer);
	old = *pte;
	*pte = 0;
	invlpg((uintptr_t)buffer);
	check(EXCEPTION_OF(outs(0xcf8, buffer, 2)) == VEC_PF && last_trap.error == 0,
	      "outsl from nowhere: vector %d error %#lx", last_trap.vector, last_trap.error);
	*pte = old;
	invlpg((uintptr_t)buffer);
}
