/* SPDX-License-Identifier: BSD-2-Clause */
/* A page that has a protection key, and who accesses it, for pku.c and pks.c. */
#ifndef TESTS_GUEST_KEYS_H
#define TESTS_GUEST_KEYS_H

#include "rt.h"

enum { PF = 14, KEY = 5, KEY_SHIFT = 59, NO_ACCESS = 1, NO_WRITE = 2, PORT = 0x1234 };

static uint8_t page[4096] __aligned(4096);

static void load(void)
{
	(void)*(volatile uint8_t *)page;
}

static void store(void)
{
	*(volatile uint8_t *)page = 1;
}

/* Emulated by Socle, which walks the page tables itself. */
static void string_in(void)
{
	void *to = page;

	__asm__ volatile("insb" : "+D"(to) : "d"(PORT) : "memory");
}

static void string_out(void)
{
	const void *from = page;

	__asm__ volatile("outsb" : "+S"(from) : "d"(PORT) : "memory");
}

static void expect(const char *what, void (*fn)(void), int64_t error)
{
	int vector = EXCEPTION_OF(fn());

	check(vector == (error < 0 ? -1 : PF), "%s: vector %d", what, vector);
	if (vector != PF || error < 0)
		return;
	check(last_trap.error == (uint64_t)error, "%s: error %#lx", what, last_trap.error);
	check(last_trap.cr2 == (uintptr_t)page, "%s: CR2 %#lx", what, last_trap.cr2);
}

/* By the CPU and by Socle; error codes of the page faults, or -1 for none. */
static void accesses(int64_t read, int64_t write)
{
	expect("load", load, read);
	expect("store", store, write);
	expect("outs", string_out, read);
	expect("ins", string_in, write);
}

#endif
