/* SPDX-License-Identifier: BSD-2-Clause */
/* The instruction emulator against the host's CPU: random instructions, run both ways. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <cpuid.h>
#include <sys/mman.h>

#include "emulate_mock.h"

/* The registers that native_run() loads and stores. */
struct native {
	uint64_t gpr[GPR_COUNT]; /* RSP and R15 are not loaded */
	uint64_t rflags;
	void *code; /* the instruction and a RET */
};
_Static_assert(offsetof(struct native, rflags) == 128 && offsetof(struct native, code) == 136,
	       "native_run() knows them");

void native_run(struct native *native);
__asm__(".text\n.globl native_run\nnative_run:\n"
	"push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"mov %rdi, %r15\n"
	"mov (%r15), %rax; mov 8(%r15), %rcx; mov 16(%r15), %rdx; mov 24(%r15), %rbx\n"
	"mov 40(%r15), %rbp; mov 48(%r15), %rsi; mov 56(%r15), %rdi; mov 64(%r15), %r8\n"
	"mov 72(%r15), %r9; mov 80(%r15), %r10; mov 88(%r15), %r11; mov 96(%r15), %r12\n"
	"mov 104(%r15), %r13; mov 112(%r15), %r14\n"
	"pushq 128(%r15); popfq\n"
	"call *136(%r15)\n"
	"pushfq; popq 128(%r15); cld\n"
	"mov %rax, (%r15); mov %rcx, 8(%r15); mov %rdx, 16(%r15); mov %rbx, 24(%r15)\n"
	"mov %rbp, 40(%r15); mov %rsi, 48(%r15); mov %rdi, 56(%r15); mov %r8, 64(%r15)\n"
	"mov %r9, 72(%r15); mov %r10, 80(%r15); mov %r11, 88(%r15); mov %r12, 96(%r15)\n"
	"mov %r13, 104(%r15); mov %r14, 112(%r15)\n"
	"pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n");

static uint64_t seed = 0x853c49e6748fea9b;

static uint64_t random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1d;
}

/* Random, often at the edges of a width. */
static uint64_t random_value(void)
{
	static const uint64_t edge[] = {0,
					1,
					0x7f,
					0x80,
					0xff,
					0x7fff,
					0x8000,
					0xffff,
					0x7fffffff,
					0x80000000,
					0xffffffff,
					0x7fffffffffffffff,
					0x8000000000000000,
					0xffffffffffffffff};

	return random64() % 4 ? random64() : edge[random64() % ARRAY_SIZE(edge)];
}

/* Makes one random instruction for 64-bit mode. Its memory operand is based on RBX. */
static unsigned random_insn(uint8_t *bytes)
{
	unsigned n = 0, address = random64() % 6;
	uint8_t reg = random64() % 8, rex = 0x40 | (random64() & 0xf);

	if (random64() % 8 == 0)
		bytes[n++] = 0xf0;
	if (random64() % 4 == 0)
		bytes[n++] = 0x66;
	if (random64() % 8 == 0)
		bytes[n++] = 0x67;
	if (random64() % 4 == 0)
		bytes[n++] = random64() & 1 ? 0xf2 : 0xf3;
	if (random64() % 2)
		bytes[n++] = address < 4 ? rex & ~(REX_B | REX_X) : rex & ~REX_X;
	if (random64() % 3 == 0)
		bytes[n++] = 0x0f;
	bytes[n++] = (uint8_t)random64();
	switch (address) {
	case 0:
		bytes[n++] = 0x03 | reg << 3; /* [rbx] */
		break;
	case 1:
		bytes[n++] = 0x43 | reg << 3; /* [rbx + disp8] */
		break;
	case 2:
		bytes[n++] = 0x83 | reg << 3; /* [rbx + disp32] */
		memcpy(&bytes[n], &(int32_t){(int32_t)(random64() % 0x400) - 0x200}, 4);
		n += 4;
		break;
	case 3:
		bytes[n++] = 0x44 | reg << 3; /* [rbx + rsi * scale + disp8] */
		bytes[n++] = (uint8_t)(0x33 | (random64() & 3) << 6);
		break;
	default:
		bytes[n++] = (uint8_t)(0xc0 | reg << 3 | (random64() & 7));
		break;
	}
	for (unsigned i = 0; i < 8; i++)
		bytes[n + i] = (uint8_t)random64();
	return n;
}

/* Can it run natively, with its operands under our control? */
static bool is_testable(const struct insn *insn, bool has_movbe)
{
	bool mem = insn->dst == OPND_MEM || insn->src == OPND_MEM;
	bool uses_reg = insn->dst == OPND_REG || insn->src == OPND_REG;
	bool uses_rm = insn->dst == OPND_RM || insn->src == OPND_RM;

	if (insn->op >= INSN_LENGTH_ONLY || insn->op == INSN_CLWB || insn->op == INSN_CLFLUSH)
		return false;
	if ((insn->op >= INSN_INS && insn->op <= INSN_OUT) || (insn->prefixes & INSN_PFX_SEG))
		return false;
	if (insn->op == INSN_PUSH || insn->op == INSN_POP || insn->op == INSN_MOV_FROM_SREG)
		return false;
	if (insn->op == INSN_CMPXCHG8B && insn->osize == 8)
		return false;
	if (insn->op == INSN_MOVBE && !has_movbe)
		return false;
	if ((uses_reg && (insn->reg == GPR_RSP || insn->reg == GPR_R15)) ||
	    (uses_rm && (insn->rm == GPR_RSP || insn->rm == GPR_R15)))
		return false;
	if (mem && (insn->base != GPR_RBX || insn->disp < -512 || insn->disp > 512 ||
		    (insn->index != INSN_REG_NONE && insn->index != GPR_RSI)))
		return false;
	if (insn->op >= INSN_BT && insn->op <= INSN_BTC && mem && insn->src == OPND_REG &&
	    (insn->reg == GPR_RBX || insn->reg == GPR_RSI))
		return false;
	return true;
}

/* The flags that the instruction leaves defined. */
static uint64_t defined_flags(const struct insn *insn, uint64_t count)
{
	unsigned bits = insn->osize * 8u;

	count &= insn->osize == 8 ? 63 : 31;
	switch ((enum insn_op)insn->op) {
	case INSN_OR:
	case INSN_AND:
	case INSN_XOR:
	case INSN_TEST:
		return EMUL_ARITH_FLAGS & ~(uint64_t)RFLAGS_AF;
	case INSN_ROL ... INSN_RCR:
		return EMUL_ARITH_FLAGS & ~(uint64_t)(count > 1 ? RFLAGS_OF : 0);
	case INSN_SHL ... INSN_SAR:
		return EMUL_ARITH_FLAGS & ~(uint64_t)(count ? RFLAGS_AF : 0) &
		       ~(uint64_t)(count > 1 ? RFLAGS_OF : 0) &
		       ~(uint64_t)(count >= bits ? RFLAGS_CF : 0);
	case INSN_BT ... INSN_BTC:
		return RFLAGS_CF | RFLAGS_ZF;
	case INSN_IMUL:
	case INSN_IMUL_IMM:
		return RFLAGS_CF | RFLAGS_OF;
	default:
		return EMUL_ARITH_FLAGS;
	}
}

static void random_registers(const struct insn *insn, uint64_t middle)
{
	for (int i = 0; i < GPR_COUNT; i++)
		g.s.gpr[i] = random_value();
	g.s.gpr[GPR_RSP] = g.s.gpr[GPR_R15] = 0;
	if (insn->op >= INSN_BT && insn->op <= INSN_BTC && insn->src == OPND_REG)
		g.s.gpr[insn->reg & 15] = (uint64_t)((int64_t)(random64() % 16384) - 8192);
	if (insn->op == INSN_CMPXCHG8B || insn->op == INSN_CMPXCHG) {
		/* Often equal. */
		if (random64() % 2) {
			g.s.gpr[GPR_RAX] = random64() % 2 ? 0x0101010101010101 : 0;
			g.s.gpr[GPR_RDX] = g.s.gpr[GPR_RAX];
			memset(g.mem, g.s.gpr[GPR_RAX] & 1, sizeof(g.mem));
		}
	}
	if (insn->dst == OPND_MEM || insn->src == OPND_MEM) {
		g.s.gpr[GPR_RBX] = middle;
		if (insn->index == GPR_RSI)
			g.s.gpr[GPR_RSI] = (uint64_t)((int64_t)(random64() % 256) - 128);
	}
	if (insn->op >= INSN_MOVS && insn->op <= INSN_SCAS) {
		g.s.gpr[GPR_RSI] = middle + random64() % 64;
		g.s.gpr[GPR_RDI] = middle + random64() % 64;
		g.s.gpr[GPR_RCX] = random64() % 40;
		if (insn->op == INSN_SCAS || insn->op == INSN_CMPS)
			memset(&g.mem[middle - g.base - 256], (int)random64(), 512);
		if (random64() % 2)
			g.s.gpr[GPR_RAX] = peek(middle, 8);
	}
}

static void test_against_host(void **state)
{
	uint8_t *code = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	uint8_t *data = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	unsigned count[INSN_OP_COUNT] = {0}, a, b, c = 0, d;
	uint64_t middle = (uint64_t)data + 2 * PAGE_SIZE;

	(void)state;
	assert_ptr_not_equal(code, MAP_FAILED);
	assert_ptr_not_equal(data, MAP_FAILED);
	__get_cpuid(1, &a, &b, &c, &d);
	reset(INSN_MODE_64, (uint64_t)data);
	for (unsigned tries = 0; tries < 1500000; tries++) {
		struct native native;
		struct insn insn;
		uint64_t flags, shift;

		random_insn(code);
		if (insn_decode(&insn, code, INSN_MAX_LEN, INSN_MODE_64) != INSN_OK ||
		    !is_testable(&insn, c & bit_MOVBE))
			continue;
		code[insn.len] = 0xc3;
		for (uint64_t at = middle - 1280; at < middle + 1280; at += 8)
			poke(at, 8, random_value());
		random_registers(&insn, middle + (random64() % 16 ? 0 : random64() % 8 - 8));
		g.s.rflags = RFLAGS_FIXED | RFLAGS_IF | RFLAGS_ID |
			     (random64() & (EMUL_ARITH_FLAGS | RFLAGS_DF));
		memcpy(native.gpr, g.s.gpr, sizeof(native.gpr));
		native.rflags = g.s.rflags;
		native.code = code;
		memcpy(data, g.mem, sizeof(g.mem));
		shift = insn.src == OPND_IMM ? insn.imm : g.s.gpr[GPR_RCX];

		g.s.rip = (uint64_t)code;
		native_run(&native);
		assert_int_equal(emulate(&g.emul, &insn), EMUL_OK);
		assert_int_equal(g.s.rip, (uint64_t)code + insn.len);
		assert_int_equal(g.s.gpr[GPR_RSP] | g.s.gpr[GPR_R15], 0);
		flags = defined_flags(&insn, shift);
		if (memcmp(native.gpr, g.s.gpr, sizeof(native.gpr)) != 0 ||
		    memcmp(data, g.mem, sizeof(g.mem)) != 0 ||
		    ((native.rflags ^ g.s.rflags) & (flags | RFLAGS_DF)) != 0) {
			for (unsigned i = 0; i < insn.len; i++)
				print_error("%02x ", code[i]);
			for (unsigned i = 0; i < GPR_COUNT; i++)
				if (native.gpr[i] != g.s.gpr[i])
					print_error("r%u %#lx, host %#lx ", i, g.s.gpr[i],
						    native.gpr[i]);
			fail_msg("flags %#lx, host %#lx", g.s.rflags, native.rflags);
		}
		count[insn.op]++;
	}
	for (unsigned op = INSN_NONE + 1; op <= INSN_SCAS; op++) {
		if (count[op] < 20 && op != INSN_PUSH && op != INSN_POP && op != INSN_CLFLUSH &&
		    op != INSN_CLWB && op != INSN_CMPXCHG8B && op != INSN_MOVBE)
			fail_msg("operation %u was run %u times", op, count[op]);
	}
	munmap(code, PAGE_SIZE);
	munmap(data, PAGES * PAGE_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_host)};

	return cmocka_run_group_tests_name("emulate_host", tests, NULL, NULL);
}
