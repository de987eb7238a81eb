/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests of network cards: memory, PCI, a log that counts, a sink, and frames that differ. */
#ifndef TESTS_UNIT_NIC_MOCK_H
#define TESTS_UNIT_NIC_MOCK_H

#include <stdlib.h>
#include <string.h>

#include "socle/drivers/nic.h"
#include "socle/drivers/pci.h"
#include "socle/mm/frames.h"
#include "socle/report.h"

static uint8_t memory[4 * MiB] __aligned(4096); /* from physical address 0 on */
uintptr_t test_memory = (uintptr_t)memory;

uint64_t tsc_hz = 1000000; /* waits are short */

static uint64_t memory_used; /* handed out, from the start */
static uint64_t memory_held; /* and not given back */
static uint64_t memory_left; /* pieces that there are */

void *pages_alloc(size_t bytes, uint32_t owner __unused)
{
	uint64_t size = ALIGN_UP((uint64_t)bytes, PAGE_SIZE), at = memory_used;

	if (!memory_left)
		return NULL;
	memory_left--;
	assert_true(at + size <= sizeof(memory));
	memory_used += size;
	memory_held += size;
	return phys_to_virt(at);
}

void pages_free(void *va, size_t bytes, uint32_t owner __unused)
{
	if (va)
		memory_held -= ALIGN_UP((uint64_t)bytes, PAGE_SIZE);
}

/* What a device may access: what was allocated. */
static void *dma(uint64_t pa, uint64_t len)
{
	assert_true(pa < memory_used && len <= memory_used - pa);
	return phys_to_virt(pa);
}

static struct host_pci function;
static bool mastered;

void host_pci_master(struct host_pci *fn, bool on)
{
	assert_ptr_equal(fn, &function);
	mastered = on;
}

static unsigned logged;
static char logged_text[256]; /* the last one */

void log_line(enum log_level level __unused, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(logged_text, sizeof(logged_text), fmt, args);
	va_end(args);
	logged++;
}

/* Frame number @n: its length and its bytes differ from those of its neighbours. */
static uint32_t frame_make(unsigned n, uint8_t *to)
{
	uint32_t len = NIC_FRAME_MIN + n * 37 % (NIC_FRAME_MAX - NIC_FRAME_MIN + 1);

	for (uint32_t i = 0; i < len; i++)
		to[i] = (uint8_t)(n * 7 + i + (n >> 8));
	return len;
}

static void frame_check(unsigned n, const uint8_t *frame, uint32_t len)
{
	uint8_t want[NIC_FRAME_MAX];

	assert_int_equal(len, frame_make(n, want));
	assert_memory_equal(frame, want, len);
}

static unsigned taken; /* frames that the sink was given: each must be the next one */
static unsigned ready_calls;

static void take_frame(struct nic_sink *sink __unused, const uint8_t *frame, uint32_t len)
{
	frame_check(taken++, frame, len);
}

static void take_ready(struct nic_sink *sink __unused)
{
	ready_calls++;
}

static struct nic_sink test_sink = {take_frame, take_ready};

static void mock_reset(void)
{
	memset(memory, 0, sizeof(memory));
	memory_used = PAGE_SIZE; /* nothing is at 0 */
	memory_held = 0;
	memory_left = 1000;
	memset(&function, 0, sizeof(function));
	mastered = false;
	logged = taken = ready_calls = 0;
}

/* Sends frame number @n; false: no room. */
static bool send_frame(struct nic *nic, unsigned n, bool more)
{
	uint8_t *to = nic_send_begin(nic);

	if (to)
		nic_send(nic, frame_make(n, to), more);
	return to;
}

static struct nic_state state_of(struct nic *nic)
{
	struct nic_state s;

	nic_look(nic, &s);
	return s;
}

#endif
