/* SPDX-License-Identifier: BSD-2-Clause */
/* A mock guest for the emulator's tests: a few pages of memory with rights, and a port. */
#ifndef TESTS_EMULATE_MOCK_H
#define TESTS_EMULATE_MOCK_H

#include <string.h>

#include "../../arch/x86/guest/insn.c"
#include "../../arch/x86/guest/insn_table.c"
#include "../../arch/x86/guest/emulate.c"
#include "../../arch/x86/guest/emulate_mem.c"
#include "../../arch/x86/guest/emulate_alu.c"
#include "../../arch/x86/guest/emulate_string.c"

enum {
	PAGES = 4,
	PAGE_PRESENT = 1,
	PAGE_WRITABLE = 2,
	PAGE_USER = 4,
	PAGE_EXEC = 8,
	PAGE_ALL = 15
};

static struct {
	struct emul emul;
	struct x86_state s;
	uint64_t base; /* linear address of mem */
	uint8_t mem[PAGES * PAGE_SIZE];
	uint8_t pages[PAGES];		  /* what each page allows */
	unsigned reads, writes, probes;	  /* calls */
	uint64_t retry;			  /* linear address whose writes are to be retried; 0: none */
	uint64_t fatal;			  /* linear address that fails for good; 0: none */
	uint32_t port_value;		  /* read from the port, incremented; last written */
	unsigned port_reads, port_writes; /* calls */
	uint16_t port;			  /* last one */
	unsigned port_size;		  /* last one */
} g;

static enum emul_status page_fault(uint64_t la, uint32_t error)
{
	g.emul.exception = (struct x86_exception){.vector = VEC_PF,
						  .has_error = true,
						  .error = error,
						  .has_payload = true,
						  .payload = la};
	return EMUL_EXCEPTION;
}

static enum emul_status find_page(uint64_t la, unsigned size, uint32_t access, uint8_t **byte)
{
	uint64_t page = (la - g.base) / PAGE_SIZE;
	uint8_t needs = PAGE_PRESENT;

	assert_true(size >= 1 && size <= 8);
	assert_true((la & ~PAGE_MASK) + size <= PAGE_SIZE);
	if (g.fatal && la == g.fatal)
		return EMUL_FATAL;
	if (g.retry && la == g.retry && (access & EMUL_WRITE))
		return EMUL_RETRY;
	needs |= access & EMUL_WRITE ? PAGE_WRITABLE : 0;
	needs |= access & EMUL_USER ? PAGE_USER : 0;
	needs |= access & EMUL_FETCH ? PAGE_EXEC : 0;
	if (page >= PAGES || (g.pages[page] & needs) != needs)
		return page_fault(la, access);
	*byte = &g.mem[la - g.base];
	return EMUL_OK;
}

static enum emul_status mock_read(struct emul *emul, uint64_t la, unsigned size, uint32_t access,
				  uint64_t *value)
{
	uint8_t *byte;
	enum emul_status status = find_page(la, size, access, &byte);

	assert_ptr_equal(emul, &g.emul);
	assert_false(access & EMUL_WRITE);
	g.reads++;
	*value = 0x5555555555555555; /* upper bytes are of no importance */
	if (status == EMUL_OK)
		memcpy(value, byte, size);
	return status;
}

static enum emul_status mock_write(struct emul *emul, uint64_t la, unsigned size, uint32_t access,
				   uint64_t value)
{
	uint8_t *byte;
	enum emul_status status = find_page(la, size, access, &byte);

	assert_ptr_equal(emul, &g.emul);
	assert_true(access & EMUL_WRITE);
	assert_true(size == 8 || value >> (8 * size) == 0);
	g.writes++;
	if (status == EMUL_OK)
		memcpy(byte, &value, size);
	return status;
}

static enum emul_status mock_probe(struct emul *emul, uint64_t la, unsigned size, uint32_t access)
{
	uint8_t *byte;

	(void)emul;
	assert_true(access & EMUL_WRITE);
	g.probes++;
	return find_page(la, size, access, &byte);
}

static enum emul_status mock_in(struct emul *emul, uint16_t port, unsigned size, uint32_t *value)
{
	(void)emul;
	g.port_reads++;
	g.port = port;
	g.port_size = size;
	*value = g.port_value++;
	return EMUL_OK;
}

static enum emul_status mock_out(struct emul *emul, uint16_t port, unsigned size, uint32_t value)
{
	(void)emul;
	g.port_writes++;
	g.port = port;
	g.port_size = size;
	g.port_value = value;
	return EMUL_OK;
}

static const struct emul_ops mock_ops = {.read = mock_read,
					 .write = mock_write,
					 .probe = mock_probe,
					 .in = mock_in,
					 .out = mock_out};

enum {
	CODE = SEG_ATTR_P | SEG_ATTR_S | 0xb,
	DATA = SEG_ATTR_P | SEG_ATTR_S | 3,
	CR0_PE = 1,
	EFER_LMA = 1 << 10,
};

/* A fresh guest in @mode, CPL 0, flat segments, protection on, memory at @base. */
static void reset(enum insn_mode mode, uint64_t base)
{
	uint16_t db = mode == INSN_MODE_32 ? SEG_ATTR_DB : 0;

	memset(&g, 0, sizeof(g));
	g.emul.ops = &mock_ops;
	g.emul.state = &g.s;
	g.emul.io_checked = true;
	g.base = base;
	memset(g.pages, PAGE_ALL, sizeof(g.pages));
	g.s.cr0 = CR0_PE;
	g.s.rflags = RFLAGS_FIXED;
	g.s.rip = 0x100;
	for (int i = SEG_ES; i <= SEG_GS; i++)
		g.s.seg[i] = (struct x86_segment){.attr = DATA | db, .limit = UINT32_MAX};
	g.s.seg[SEG_CS].attr = CODE | db;
	if (mode == INSN_MODE_64) {
		g.s.efer = EFER_LMA;
		g.s.seg[SEG_CS].attr |= SEG_ATTR_L;
	}
}

static __unused enum emul_status run_bytes(const char *bytes, size_t len)
{
	struct insn insn;

	assert_int_equal(insn_decode(&insn, (const uint8_t *)bytes, len, insn_mode_of(&g.s)),
			 INSN_OK);
	assert_int_equal(insn.len, len);
	return emulate(&g.emul, &insn);
}

#define RUN_INSN(bytes) run_bytes(bytes, sizeof(bytes) - 1)

#define OK(bytes)                                                    \
	do {                                                         \
		uint64_t rip_ = g.s.rip;                             \
		assert_int_equal(RUN_INSN(bytes), EMUL_OK);          \
		assert_int_equal(g.s.rip, rip_ + sizeof(bytes) - 1); \
		assert_true(g.emul.shadow_ends);                     \
	} while (0)

/* @bytes raise @vec with error code @code (-1: none) and leave the state alone. */
#define FAULTS(bytes, vec, code)                                                                \
	do {                                                                                    \
		struct x86_state before_ = g.s;                                                 \
		unsigned writes_ = g.writes;                                                    \
		assert_int_equal(RUN_INSN(bytes), EMUL_EXCEPTION);                              \
		assert_int_equal(g.emul.exception.vector, vec);                                 \
		assert_int_equal(g.emul.exception.has_error ? (int)g.emul.exception.error : -1, \
				 code);                                                         \
		assert_memory_equal(&before_, &g.s, sizeof(g.s));                               \
		assert_int_equal(g.writes, writes_);                                            \
		assert_false(g.emul.shadow_ends);                                               \
	} while (0)

static uint64_t peek(uint64_t la, unsigned size)
{
	uint64_t value = 0;

	memcpy(&value, &g.mem[la - g.base], size);
	return value;
}

static __unused void poke(uint64_t la, unsigned size, uint64_t value)
{
	memcpy(&g.mem[la - g.base], &value, size);
}

#endif
