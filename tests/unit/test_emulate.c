/* SPDX-License-Identifier: BSD-2-Clause */
/* The instruction emulator: segments, pages, strings, ports, stack and failures, by hand. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "emulate_mock.h"

/* Instructions that the comparison with the host seldom or never makes. */
static void test_exchange8(void **state)
{
	(void)state;
	reset(INSN_MODE_64, 0x10000);
	g.s.gpr[GPR_RSI] = 0x10010;
	g.s.gpr[GPR_RAX] = 0xffffffff00000001;
	g.s.gpr[GPR_RDX] = 2;
	g.s.gpr[GPR_RBX] = 0x33;
	g.s.gpr[GPR_RCX] = 0x44;
	poke(0x10010, 8, 0x0000000200000001);
	OK("\xf0\x0f\xc7\x0e"); /* lock cmpxchg8b [rsi] */
	assert_int_equal(peek(0x10010, 8), 0x0000004400000033);
	assert_true(g.s.rflags & RFLAGS_ZF);
	OK("\x66\x0f\xc7\x0e");
	assert_false(g.s.rflags & RFLAGS_ZF);
	assert_int_equal(g.s.gpr[GPR_RAX], 0x33);
	assert_int_equal(g.s.gpr[GPR_RDX], 0x44);
	assert_int_equal(peek(0x10010, 8), 0x0000004400000033);
	assert_int_equal(RUN_INSN("\x48\x0f\xc7\x0e"), EMUL_UNSUPPORTED);
	OK("\x0f\x38\xf0\x06"); /* movbe eax, [rsi] */
	assert_int_equal(g.s.gpr[GPR_RAX], 0x33000000);
	g.s.gpr[GPR_RAX] = 0x1122334455667788;
	OK("\x66\x0f\x38\xf1\x06"); /* movbe [rsi], ax */
	assert_int_equal(peek(0x10010, 8), 0x0000004400008877);
	g.s.seg[SEG_GS].selector = 0x1234;
	OK("\x8c\x2e"); /* mov [rsi], gs */
	assert_int_equal(peek(0x10010, 8), 0x0000004400001234);
	OK("\x8c\xe8"); /* mov eax, gs */
	assert_int_equal(g.s.gpr[GPR_RAX], 0x1234);
	OK("\xa1\x10\x00\x01\x00\x00\x00\x00\x00"); /* mov eax, moffs */
	assert_int_equal(g.s.gpr[GPR_RAX], 0x1234);
	g.s.rip = 0x10000;
	OK("\x8b\x0d\x0a\x00\x00\x00"); /* mov ecx, [rip + 10] */
	assert_int_equal(g.s.gpr[GPR_RCX], 0x1234);
	OK("\x0f\xae\x3e"); /* clflush [rsi] */
	assert_int_equal(RUN_INSN("\x0f\xa2"), EMUL_UNSUPPORTED);
}

/* --- Segments --------------------------------------------------------------------------------- */

/* Flat segments are tested all over; here are limits, types and bases. */
static void test_protected_segments(void **state)
{
	struct x86_segment *ds = &g.s.seg[SEG_DS];

	(void)state;
	reset(INSN_MODE_32, 0x10000);
	g.s.gpr[GPR_RBX] = 0x100;
	ds->base = 0x10000;
	ds->limit = 0x103;
	OK("\x8b\x03"); /* mov eax, [ebx]: the last four bytes */
	OK("\x89\x03");
	FAULTS("\x8b\x43\x01", VEC_GP, 0); /* one more */
	FAULTS("\x89\x43\x01", VEC_GP, 0);
	FAULTS("\x01\x43\x01", VEC_GP, 0);
	OK("\x8a\x43\x03");
	FAULTS("\x8a\x43\x04", VEC_GP, 0);
	ds->limit = UINT32_MAX;
	g.s.gpr[GPR_RBX] = 0xfffffffe;
	FAULTS("\x8b\x03", VEC_GP, 0); /* across 4 GiB */

	/* The stack segment faults with its own vector. */
	g.s.gpr[GPR_RBP] = 0x200;
	g.s.seg[SEG_SS].base = 0x10000;
	g.s.seg[SEG_SS].limit = 0x202;
	FAULTS("\x8b\x45\x00", VEC_SS, 0);
	FAULTS("\x36\x8b\x05\x00\x02\x00\x00", VEC_SS, 0); /* ss: */
	OK("\x3e\x8b\x45\x00");				   /* ds: overrides */

	/* Expand-down: only above the limit, up to 4 GiB or 64 KiB. */
	ds->attr = (DATA | 4 | SEG_ATTR_DB);
	ds->limit = 0xff;
	g.s.gpr[GPR_RBX] = 0x100;
	OK("\x8b\x03");
	FAULTS("\x8b\x43\xff", VEC_GP, 0);
	ds->attr = DATA | 4;
	g.s.gpr[GPR_RBX] = 0xfffd;
	ds->base = 0x10000 - 0xf000;
	FAULTS("\x8b\x03", VEC_GP, 0);
	OK("\x66\x8b\x03");

	/* Types. */
	ds->base = 0x10000;
	ds->limit = UINT32_MAX;
	ds->attr = DATA & ~2; /* read-only */
	g.s.gpr[GPR_RBX] = 0x100;
	OK("\x8b\x03");
	OK("\x39\x03"); /* cmp only reads */
	FAULTS("\x89\x03", VEC_GP, 0);
	FAULTS("\x01\x03", VEC_GP, 0);
	FAULTS("\x0f\xab\x03", VEC_GP, 0); /* bts */
	OK("\x0f\xa3\x03");		   /* bt */
	ds->attr = CODE;		   /* readable code */
	OK("\x8b\x03");
	FAULTS("\x89\x03", VEC_GP, 0);
	ds->attr = CODE & ~2; /* execute-only */
	FAULTS("\x8b\x03", VEC_GP, 0);
	ds->attr = 0; /* null selector */
	FAULTS("\x8b\x03", VEC_GP, 0);
	OK("\x64\x8b\x83\x00\x00\x01\x00"); /* fs: */
}

static void test_real_mode(void **state)
{
	(void)state;
	reset(INSN_MODE_16, 0x10000);
	g.s.cr0 = 0;
	for (int i = SEG_ES; i <= SEG_GS; i++)
		g.s.seg[i] = (struct x86_segment){.base = 0x10000, .limit = 0xffff};
	poke(0x10010, 2, 0xbeef);
	g.s.gpr[GPR_RBX] = 0xff000ff0;
	g.s.gpr[GPR_RSI] = 0xf020;
	OK("\x8b\x00"); /* mov ax, [bx + si] wraps at 64 KiB */
	assert_int_equal(g.s.gpr[GPR_RAX], 0xbeef);
	g.s.gpr[GPR_RBX] = 0xffff;
	FAULTS("\x8b\x07", VEC_GP, -1); /* a word at FFFF; no error code in real mode */
	FAULTS("\x36\x8b\x07", VEC_SS, -1);
	g.s.seg[SEG_CS].attr = CODE;
	g.s.gpr[GPR_RBX] = 0x20;
	OK("\x2e\x89\x07"); /* types do not count */
	g.s.gpr[GPR_RBX] = 0x10000;
	FAULTS("\x67\x8b\x03", VEC_GP, -1); /* 32-bit address above the limit */
	g.s.seg[SEG_DS].limit = UINT32_MAX; /* "unreal" */
	g.base = 0x20000;
	OK("\x67\x8b\x03");
	/* Virtual-8086: limits as in real mode, but with an error code. */
	g.s.seg[SEG_DS].limit = 0xffff;
	g.s.cr0 = CR0_PE;
	g.s.rflags |= RFLAGS_VM;
	g.s.cpl = 3;
	g.s.gpr[GPR_RBX] = 0xffff;
	FAULTS("\x8b\x07", VEC_GP, 0);
	g.s.gpr[GPR_RBX] = 0;
	g.base = 0x10000;
	OK("\x8b\x07");
	g.pages[0] &= ~PAGE_USER;
	FAULTS("\x8b\x07", VEC_PF, EMUL_USER);
}

static void test_long_mode(void **state)
{
	(void)state;
	reset(INSN_MODE_64, 0x10000);
	g.s.gpr[GPR_RBX] = 0x800000000000;
	g.s.gpr[GPR_RBP] = 0x800000000000;
	FAULTS("\x8b\x03", VEC_GP, 0);
	FAULTS("\x8b\x45\x00", VEC_SS, 0);
	FAULTS("\x8b\x43\xfd", VEC_GP, 0); /* the last byte only */
	FAULTS("\x8b\x43\xfc", VEC_PF, 0); /* canonical */
	FAULTS("\x64\x8b\x45\x00", VEC_GP, 0);
	g.s.cr4 = EMUL_CR4_LA57;
	FAULTS("\x8b\x03", VEC_PF, 0);
	assert_int_equal(g.emul.exception.payload, 0x800000000000);
	g.s.cr4 = 0;
	/* Bases of FS and GS only, and no limits or types. */
	g.s.seg[SEG_DS] = g.s.seg[SEG_ES] = (struct x86_segment){.base = 0x123456789};
	g.s.seg[SEG_GS] = (struct x86_segment){.base = 0xffff800000000000};
	g.s.gpr[GPR_RBX] = 0x10000;
	OK("\x89\x03");
	OK("\x26\x89\x03");
	g.base = 0xffff800000010000;
	OK("\x65\x89\x03");
	/* 67 cuts the offset, not the base. */
	g.s.gpr[GPR_RBX] = 0xabcdef0000010000;
	OK("\x65\x67\x89\x03");
	/* Compatibility mode: 32-bit linear addresses. */
	g.s.seg[SEG_CS].attr = CODE | SEG_ATTR_DB;
	g.s.seg[SEG_GS].attr = DATA;
	g.s.seg[SEG_GS].limit = UINT32_MAX;
	g.base = 0x10000;
	OK("\x65\x89\x03");
}

/* --- Pages ------------------------------------------------------------------------------------ */

static void test_page_crossing(void **state)
{
	(void)state;
	reset(INSN_MODE_64, 0x10000);
	g.s.gpr[GPR_RBX] = 0x10ffd;
	poke(0x10ffd, 8, 0x8877665544332211);
	OK("\x48\x8b\x03");
	assert_int_equal(g.s.gpr[GPR_RAX], 0x8877665544332211);
	assert_int_equal(g.reads, 2);
	g.s.gpr[GPR_RAX] = 0x0102030405060708;
	OK("\x48\x89\x03");
	assert_int_equal(peek(0x10ffd, 8), 0x0102030405060708);
	assert_int_equal(g.writes, 2);
	OK("\x48\xf7\x13"); /* not */
	assert_int_equal(peek(0x10ffd, 8), ~0x0102030405060708);

	/* The second page may not be written: nothing happens to the first. */
	g.pages[1] = PAGE_PRESENT;
	FAULTS("\x48\x89\x03", VEC_PF, EMUL_WRITE);
	assert_int_equal(g.emul.exception.payload, 0x11000);
	assert_int_equal(peek(0x10ffd, 8), ~0x0102030405060708);

	/* A read-modify-write that must fault does not even read. */
	g.reads = 0;
	FAULTS("\x48\x01\x03", VEC_PF, EMUL_WRITE);
	FAULTS("\x48\x87\x03", VEC_PF, EMUL_WRITE);
	FAULTS("\x48\x0f\xb1\x03", VEC_PF, EMUL_WRITE);
	FAULTS("\x48\xff\x03", VEC_PF, EMUL_WRITE);
	FAULTS("\x0f\xc7\x0b", VEC_PF, EMUL_WRITE);
	FAULTS("\x48\x0f\xba\x2b\x05", VEC_PF, EMUL_WRITE);
	assert_int_equal(g.reads, 0);
	g.s.cpl = 3;
	FAULTS("\x48\x8b\x03", VEC_PF, EMUL_USER); /* page 1 is a supervisor's */
	OK("\x66\x8b\x03");

	/* In 32-bit mode the linear address wraps at 4 GiB. */
	reset(INSN_MODE_32, 0xfffff000);
	g.s.seg[SEG_DS].base = 0xffffffff;
	FAULTS("\x8b\x05\x00\x00\x00\x00", VEC_PF, 0);
	assert_int_equal(g.emul.exception.payload, 0);
}

/* A bit number in a register reaches far, to both sides, but not beyond the address size. */
static void test_bit_strings(void **state)
{
	(void)state;
	reset(INSN_MODE_32, 0x10000);
	g.s.gpr[GPR_RBX] = 0x11000;
	g.s.gpr[GPR_RAX] = (uint32_t)-1;
	OK("\x0f\xab\x03"); /* bts [ebx], eax */
	assert_int_equal(peek(0x10ffc, 4), 0x80000000);
	assert_false(g.s.rflags & RFLAGS_CF);
	OK("\x0f\xb3\x03"); /* btr */
	assert_true(g.s.rflags & RFLAGS_CF);
	assert_int_equal(peek(0x10ffc, 4), 0);
	OK("\x0f\xba\x3b\x21"); /* btc imm 33: bit 1 of the same word */
	assert_int_equal(peek(0x11000, 4), 2);
	reset(INSN_MODE_16, 0x10000);
	g.s.seg[SEG_DS].base = 0x10000;
	g.s.gpr[GPR_RBX] = 0xffff;
	g.s.gpr[GPR_RAX] = 16;
	OK("\x0f\xab\x07"); /* bts [bx], ax: offset 1 */
	assert_int_equal(peek(0x10001, 2), 1);
}

/* --- Strings ---------------------------------------------------------------------------------- */

static void test_rep(void **state)
{
	(void)state;
	reset(INSN_MODE_64, 0x10000);
	g.s.gpr[GPR_RDI] = 0x10000;
	g.s.gpr[GPR_RCX] = 2500;
	g.s.gpr[GPR_RAX] = 0xab;
	g.s.rflags |= RFLAGS_RF;
	assert_int_equal(RUN_INSN("\xf3\xaa"), EMUL_AGAIN);
	assert_int_equal(g.s.rip, 0x100);
	assert_int_equal(g.s.gpr[GPR_RCX], 2500 - EMUL_REP_MAX);
	assert_int_equal(g.s.gpr[GPR_RDI], 0x10000 + EMUL_REP_MAX);
	assert_int_equal(RUN_INSN("\xf3\xaa"), EMUL_AGAIN);
	OK("\xf3\xaa");
	assert_false(g.s.rflags & RFLAGS_RF);
	assert_int_equal(g.s.gpr[GPR_RCX], 0);
	assert_int_equal(g.s.gpr[GPR_RDI], 0x10000 + 2500);
	assert_int_equal(peek(0x10000 + 2499, 2), 0xab);
	assert_true(g.probes <= 4);

	/* A fault leaves the progress behind. */
	g.pages[1] = PAGE_PRESENT;
	g.s.gpr[GPR_RDI] = 0x10ff8;
	g.s.gpr[GPR_RCX] = 5;
	assert_int_equal(RUN_INSN("\xf3\xab"), EMUL_EXCEPTION);
	assert_int_equal(g.emul.exception.vector, VEC_PF);
	assert_int_equal(g.s.gpr[GPR_RCX], 3);
	assert_int_equal(g.s.gpr[GPR_RDI], 0x11000);
	/* MOVS to a page that cannot be written does not read its source. */
	g.s.gpr[GPR_RSI] = 0x10000;
	g.reads = 0;
	FAULTS("\xa4", VEC_PF, EMUL_WRITE);
	assert_int_equal(g.reads, 0);

	/* No iterations: nothing is touched, not even with a 32-bit count. */
	g.s.gpr[GPR_RCX] = 0xffffffff00000000;
	OK("\x67\xf3\xa4");
	assert_int_equal(g.s.gpr[GPR_RCX], 0xffffffff00000000);

	/* Single steps. */
	g.s.rflags |= RFLAGS_TF;
	g.s.gpr[GPR_RCX] = 2;
	g.s.gpr[GPR_RSI] = 0x10000;
	assert_int_equal(RUN_INSN("\xf3\xac"), EMUL_AGAIN);
	assert_true(g.emul.single_step);
	assert_int_equal(g.s.gpr[GPR_RCX], 1);
	OK("\xf3\xac");
	assert_true(g.emul.single_step);
	g.s.rflags &= ~(uint64_t)RFLAGS_TF;
	OK("\xac");
	assert_false(g.emul.single_step);
}

static void test_string_compare(void **state)
{
	(void)state;
	reset(INSN_MODE_64, 0x10000);
	memset(g.mem, 'a', 100);
	g.mem[40] = 'b';
	g.s.gpr[GPR_RDI] = 0x10000;
	g.s.gpr[GPR_RCX] = 100;
	g.s.gpr[GPR_RAX] = 'b';
	OK("\xf2\xae"); /* repne scasb */
	assert_int_equal(g.s.gpr[GPR_RDI], 0x10000 + 41);
	assert_int_equal(g.s.gpr[GPR_RCX], 59);
	assert_true(g.s.rflags & RFLAGS_ZF);
	g.s.gpr[GPR_RSI] = 0x10000 + 40;
	g.s.gpr[GPR_RDI] = 0x10000 + 60;
	g.s.rflags |= RFLAGS_DF;
	g.s.gpr[GPR_RCX] = 10;
	OK("\xf3\xa6"); /* repe cmpsb, backwards: differs at once */
	assert_int_equal(g.s.gpr[GPR_RSI], 0x10000 + 39);
	assert_int_equal(g.s.gpr[GPR_RCX], 9);
	assert_false(g.s.rflags & RFLAGS_ZF);

	/* 16-bit addresses: ES:DI always, the source may be elsewhere; registers are merged. */
	reset(INSN_MODE_16, 0x10000);
	g.s.seg[SEG_ES].base = 0x10000;
	g.s.seg[SEG_FS].base = 0x11000;
	g.s.gpr[GPR_RSI] = 0x1234ffff;
	g.s.gpr[GPR_RDI] = 0x56780010;
	g.s.gpr[GPR_RCX] = 0xffff0002;
	g.base = 0x10000;
	g.s.seg[SEG_FS].base = 0x11000 - 0xf000;
	poke(0x11fff, 1, 0x77);
	g.pages[3] = 0;
	assert_int_equal(RUN_INSN("\x64\xf3\xa4"), EMUL_EXCEPTION); /* FS:0 is outside */
	assert_int_equal(peek(0x10010, 1), 0x77);
	assert_int_equal(g.s.gpr[GPR_RSI], 0x12340000);
	assert_int_equal(g.s.gpr[GPR_RDI], 0x56780011);
	assert_int_equal(g.s.gpr[GPR_RCX], 0xffff0001);
}

/* --- Ports ------------------------------------------------------------------------------------ */

static void test_ports(void **state)
{
	(void)state;
	reset(INSN_MODE_64, 0x10000);
	g.s.gpr[GPR_RDX] = 0xffff03f8;
	g.s.gpr[GPR_RAX] = 0x1122334455667788;
	g.port_value = 0xcc;
	OK("\xec"); /* in al, dx */
	assert_int_equal(g.port, 0x3f8);
	assert_int_equal(g.port_size, 1);
	assert_int_equal(g.s.gpr[GPR_RAX], 0x11223344556677cc);
	OK("\xe5\xf0"); /* in eax, 0xf0 */
	assert_int_equal(g.port, 0xf0);
	assert_int_equal(g.port_size, 4);
	assert_int_equal(g.s.gpr[GPR_RAX], 0xcd);
	g.s.gpr[GPR_RAX] = 0xaabbccdd;
	OK("\x66\xef"); /* out dx, ax */
	assert_int_equal(g.port_value, 0xccdd);
	OK("\xe6\xff");
	assert_int_equal(g.port, 0xff);
	assert_int_equal(g.port_value, 0xdd);

	g.s.gpr[GPR_RDI] = 0x10000;
	g.s.gpr[GPR_RCX] = 3;
	g.port_value = 0x10;
	OK("\xf3\x6c"); /* rep insb */
	assert_int_equal(peek(0x10000, 4), 0x121110);
	g.s.gpr[GPR_RSI] = 0x10000;
	g.s.gpr[GPR_RCX] = 2;
	OK("\xf3\x6e"); /* rep outsb */
	assert_int_equal(g.port_value, 0x11);
	assert_int_equal(g.port_writes, 4);

	/* The port is not read if memory cannot take it. */
	g.port_reads = 0;
	g.pages[0] = PAGE_PRESENT;
	g.s.gpr[GPR_RDI] = 0x10000;
	FAULTS("\x6d", VEC_PF, EMUL_WRITE);
	assert_int_equal(g.port_reads, 0);
	g.s.gpr[GPR_RSI] = 0x900000000000;
	FAULTS("\x6e", VEC_GP, 0);
	assert_int_equal(g.port_writes, 4);
}

static void test_port_permission(void **state)
{
	struct x86_segment *tr = &g.s.seg[SEG_TR];

	(void)state;
	reset(INSN_MODE_32, 0x10000);
	g.emul.io_checked = false;
	OK("\xec");
	g.s.cpl = 3;
	FAULTS("\xec", VEC_GP, 0); /* no TSS */
	g.s.rflags |= RFLAGS_IOPL;
	OK("\xec");
	g.s.rflags |= RFLAGS_VM; /* IOPL does not help there */
	FAULTS("\x67\xed", VEC_GP, 0);
	g.s.rflags &= ~(uint64_t)(RFLAGS_IOPL | RFLAGS_VM);
	*tr = (struct x86_segment){.base = 0x10000, .limit = 0x68 + 0x81, .attr = SEG_ATTR_P | 0xb};
	poke(0x10066, 2, 0x68);
	g.s.gpr[GPR_RDX] = 0x3f8;
	OK("\xec");
	poke(0x10068 + 0x7f, 2, 0x0100); /* port 400h */
	OK("\xec");
	g.s.gpr[GPR_RDX] = 0x3fe;
	OK("\x66\xed");
	FAULTS("\xed", VEC_GP, 0); /* 3FEh to 401h */
	g.s.gpr[GPR_RCX] = 1;
	FAULTS("\xf3\x6f", VEC_GP, 0);
	g.s.gpr[GPR_RDX] = 0x400;
	FAULTS("\xee", VEC_GP, 0);
	assert_int_equal(g.port_writes, 0);
	g.s.gpr[GPR_RDX] = 0x408; /* the second byte of its pair is beyond the limit */
	FAULTS("\xec", VEC_GP, 0);
	tr->attr = SEG_ATTR_P | 3; /* a 16-bit TSS has no bitmap */
	g.s.gpr[GPR_RDX] = 0x3f8;
	FAULTS("\xec", VEC_GP, 0);
}

/* --- Stack ------------------------------------------------------------------------------------ */

static void test_push_pop(void **state)
{
	(void)state;
	reset(INSN_MODE_64, 0x10000);
	g.s.gpr[GPR_RSP] = 0x10100;
	g.s.gpr[GPR_RBX] = 0x10200;
	poke(0x10200, 8, 0x1122334455667788);
	OK("\xff\x33"); /* push qword [rbx] */
	assert_int_equal(g.s.gpr[GPR_RSP], 0x100f8);
	assert_int_equal(peek(0x100f8, 8), 0x1122334455667788);
	OK("\xff\x34\x24"); /* push [rsp]: the old RSP */
	assert_int_equal(peek(0x100f0, 8), 0x1122334455667788);
	OK("\x66\x8f\x43\x10"); /* pop word [rbx + 16] */
	assert_int_equal(g.s.gpr[GPR_RSP], 0x100f2);
	assert_int_equal(peek(0x10210, 8), 0x7788);
	g.s.gpr[GPR_RSP] = 0x100f0;
	OK("\x8f\x44\x24\x20"); /* pop [rsp + 32]: the new RSP */
	assert_int_equal(peek(0x10118, 8), 0x1122334455667788);
	OK("\x8f\xc4"); /* pop rsp */
	assert_int_equal(g.s.gpr[GPR_RSP], 0x1122334455667788);
	g.s.gpr[GPR_RSP] = 0x10100;
	g.s.gpr[GPR_RBX] = 0x900000000000;
	FAULTS("\x8f\x03", VEC_GP, 0);
	FAULTS("\xff\x33", VEC_GP, 0);
	g.s.gpr[GPR_RBX] = 0x13ffc;
	FAULTS("\x8f\x03", VEC_PF, EMUL_WRITE);
	g.s.gpr[GPR_RSP] = 0x900000000000;
	FAULTS("\x8f\x03", VEC_SS, 0);

	/* A 16-bit stack in 32-bit code: SP alone moves. */
	reset(INSN_MODE_32, 0x10000);
	g.s.seg[SEG_SS].attr = DATA;
	g.s.seg[SEG_SS].base = 0x10000;
	g.s.gpr[GPR_RSP] = 0xabcd0104;
	g.s.gpr[GPR_RBX] = 0x10200;
	poke(0x10200, 4, 0xdeadbeef);
	OK("\xff\x33");
	assert_int_equal(g.s.gpr[GPR_RSP], 0xabcd0100);
	assert_int_equal(peek(0x10100, 4), 0xdeadbeef);
	OK("\x8f\x43\x04");
	assert_int_equal(g.s.gpr[GPR_RSP], 0xabcd0104);
	assert_int_equal(peek(0x10204, 4), 0xdeadbeef);
}

/* --- The rest --------------------------------------------------------------------------------- */

static void test_fetch(void **state)
{
	struct insn insn;

	(void)state;
	reset(INSN_MODE_64, 0x10000);
	memset(g.mem, 0x90, sizeof(g.mem));
	g.pages[1] = PAGE_PRESENT; /* not executable */
	g.s.rip = 0x10fff;
	assert_int_equal(emul_fetch(&g.emul, &insn), EMUL_OK); /* ends with the page */
	assert_int_equal(insn.op, INSN_NOP);
	g.mem[0xfff] = 0x0f;
	assert_int_equal(emul_fetch(&g.emul, &insn), EMUL_EXCEPTION);
	assert_int_equal(g.emul.exception.vector, VEC_PF);
	assert_int_equal(g.emul.exception.payload, 0x11000);
	assert_int_equal(g.emul.exception.error, EMUL_FETCH);
	g.pages[1] = PAGE_ALL;
	g.mem[0x1000] = 0xa2;
	assert_int_equal(emul_fetch(&g.emul, &insn), EMUL_OK);
	assert_int_equal(insn.op, INSN_CPUID);
	g.mem[0x1000] = 0x0b; /* not known to the decoder */
	assert_int_equal(emul_fetch(&g.emul, &insn), EMUL_UNSUPPORTED);
	g.mem[0xfff] = 0xf0;
	g.mem[0x1000] = 0x90;
	assert_int_equal(emul_fetch(&g.emul, &insn), EMUL_EXCEPTION);
	assert_int_equal(g.emul.exception.vector, VEC_UD);
	memset(&g.mem[0xff8], 0x66, 15);
	g.s.rip = 0x10ff8;
	assert_int_equal(emul_fetch(&g.emul, &insn), EMUL_EXCEPTION);
	assert_int_equal(g.emul.exception.vector, VEC_GP);
	g.s.rip = 0x800000000000;
	assert_int_equal(emul_fetch(&g.emul, &insn), EMUL_EXCEPTION);
	assert_int_equal(g.emul.exception.vector, VEC_GP);

	/* The limit of CS cuts an instruction off, and nothing behind it is read. */
	reset(INSN_MODE_32, 0x10000);
	g.s.seg[SEG_CS].base = 0x10000;
	g.s.seg[SEG_CS].limit = 0x100;
	g.s.rip = 0x100;
	g.mem[0x100] = 0x90;
	assert_int_equal(emul_fetch(&g.emul, &insn), EMUL_OK);
	g.mem[0x100] = 0x0f;
	assert_int_equal(emul_fetch(&g.emul, &insn), EMUL_EXCEPTION);
	assert_int_equal(g.emul.exception.vector, VEC_GP);
	g.s.rip = 0x101;
	assert_int_equal(emul_fetch(&g.emul, &insn), EMUL_EXCEPTION);
	assert_int_equal(g.emul.exception.vector, VEC_GP);
}

static void test_failures(void **state)
{
	struct insn insn;

	(void)state;
	reset(INSN_MODE_64, 0x10000);
	g.s.gpr[GPR_RBX] = 0x10010;
	g.fatal = 0x10010;
	assert_int_equal(RUN_INSN("\x8b\x03"), EMUL_FATAL);
	assert_int_equal(RUN_INSN("\x89\x03"), EMUL_FATAL);
	assert_int_equal(RUN_INSN("\x01\x03"), EMUL_FATAL);
	assert_int_equal(g.s.rip, 0x100);
	/* Decoded for another mode. */
	assert_int_equal(insn_decode(&insn, (const uint8_t *)"\x8b\x03", 2, INSN_MODE_32), INSN_OK);
	assert_int_equal(emulate(&g.emul, &insn), EMUL_UNSUPPORTED);
	assert_false(g.emul.shadow_ends);
}

/*
 * With a shadow stack or branch tracking these mean more than their operands tell, and the guest
 * may have either: none is emulated, nor what handles a shadow stack.
 */
static void test_control_transfers(void **state)
{
	static const struct {
		const char *bytes;
		unsigned len;
	} refused[] = {
#define BYTES(b) {b, sizeof(b) - 1}
		BYTES("\xe8\0\0\0\0"),	       /* call */
		BYTES("\xff\x16"),	       /* call [rsi] */
		BYTES("\xff\x1e"),	       /* far call [rsi] */
		BYTES("\xe9\0\0\0\0"),	       /* jmp */
		BYTES("\xeb\0"),		       /* jmp, short */
		BYTES("\x74\0"),		       /* jz */
		BYTES("\xe2\0"),		       /* loop */
		BYTES("\xff\x26"),	       /* jmp [rsi] */
		BYTES("\xff\x2e"),	       /* far jmp [rsi] */
		BYTES("\xc3"),		       /* ret */
		BYTES("\xc2\x08\0"),	       /* ret 8 */
		BYTES("\xcb"),		       /* far ret */
		BYTES("\x48\xcf"),	       /* iretq */
		BYTES("\xcd\x80"),	       /* int 0x80 */
		BYTES("\x0f\x05"),	       /* syscall */
		BYTES("\x48\x0f\x07"),	       /* sysretq */
		BYTES("\x0f\x34"),	       /* sysenter */
		BYTES("\x0f\x35"),	       /* sysexit */
		BYTES("\xf3\x0f\x1e\xfa"),       /* endbr64 */
		BYTES("\xf3\x48\x0f\x1e\xc8"),    /* rdsspq rax */
		BYTES("\xf3\x48\x0f\xae\xe8"),    /* incsspq rax */
		BYTES("\xf3\x0f\x01\x2e"),       /* rstorssp [rsi] */
		BYTES("\xf3\x0f\x01\xea"),       /* saveprevssp */
		BYTES("\xf3\x0f\x01\xe8"),       /* setssbsy */
		BYTES("\xf3\x0f\xae\x36"),       /* clrssbsy [rsi] */
		BYTES("\x48\x0f\x38\xf6\x06"),    /* wrssq [rsi], rax */
		BYTES("\x66\x48\x0f\x38\xf5\x06"), /* wrussq [rsi], rax */
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(refused); i++) {
		struct x86_state before;
		enum insn_status decoded;
		struct insn insn;
		unsigned writes;

		reset(INSN_MODE_64, 0x10000);
		g.s.gpr[GPR_RSI] = g.s.gpr[GPR_RSP] = 0x10100;
		before = g.s;
		writes = g.writes;
		decoded = insn_decode(&insn, (const uint8_t *)refused[i].bytes, refused[i].len,
				      INSN_MODE_64);
		if (decoded != INSN_UNSUPPORTED && decoded != INSN_UNDEFINED &&
		    (decoded != INSN_OK || emulate(&g.emul, &insn) != EMUL_UNSUPPORTED))
			fail_msg("number %u is emulated", i);
		assert_memory_equal(&before, &g.s, sizeof(before));
		assert_int_equal(g.writes, writes);
	}
}

/* Whatever has to write where page tables change comes back as it was, but for REP. */
static void test_retry(void **state)
{
	static const char *const insns[] = {"\x89\x03", "\x01\x03", "\xff\x03",
					    "\x87\x03", "\xff\x33", "\x0f\xc0\x03",
					    "\xaa",	"\xa4",	    "\x8f\x03"};
	struct x86_state before;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(insns); i++) {
		reset(INSN_MODE_64, 0x10000);
		g.s.gpr[GPR_RBX] = g.s.gpr[GPR_RDI] = 0x10010;
		g.s.gpr[GPR_RSI] = 0x10100;
		g.s.gpr[GPR_RSP] = 0x10018;
		g.s.rflags |= RFLAGS_TF;
		g.retry = 0x10010;
		before = g.s;
		assert_int_equal(run_bytes(insns[i], strlen(insns[i])), EMUL_RETRY);
		assert_memory_equal(&before, &g.s, sizeof(g.s));
		assert_false(g.emul.shadow_ends || g.emul.single_step);
		assert_int_equal(peek(0x10010, 8), 0);
		g.retry = 0;
		assert_int_equal(run_bytes(insns[i], strlen(insns[i])), EMUL_OK);
	}
	reset(INSN_MODE_64, 0x10000);
	g.s.gpr[GPR_RDI] = 0x10ffe;
	g.s.gpr[GPR_RCX] = 5;
	g.s.gpr[GPR_RAX] = 0xab;
	g.retry = 0x11000;
	assert_int_equal(RUN_INSN("\xf3\xaa"), EMUL_RETRY);
	assert_int_equal(g.s.gpr[GPR_RCX], 3);
	assert_int_equal(g.s.gpr[GPR_RDI], 0x11000);
	assert_int_equal(g.s.rip, 0x100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchange8),     cmocka_unit_test(test_protected_segments),
		cmocka_unit_test(test_real_mode),     cmocka_unit_test(test_long_mode),
		cmocka_unit_test(test_page_crossing), cmocka_unit_test(test_bit_strings),
		cmocka_unit_test(test_rep),	      cmocka_unit_test(test_string_compare),
		cmocka_unit_test(test_ports),	      cmocka_unit_test(test_port_permission),
		cmocka_unit_test(test_push_pop),      cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_failures),      cmocka_unit_test(test_retry),
		cmocka_unit_test(test_control_transfers),
	};

	return cmocka_run_group_tests_name("emulate", tests, NULL, NULL);
}
