/* SPDX-License-Identifier: BSD-2-Clause */
/* Shadow stacks at privilege level 3: calls, returns, the instructions, page faults. */
#include "cet.h"
#include "socle/guest/state.h"

const char test_name[] = "cet_user";

#define SHSTK  ((uint64_t)CET_SH_STK_EN)
#define WRITES ((uint64_t)CET_SH_STK_EN | CET_WR_SHSTK_EN)

/* Results of the functions at privilege level 3, and their operands. */
volatile uint64_t out[4], operand, operand2;
static struct shadow_page a, b;
extern char call_label[], ret_label[], far_label[];

/* What @fn does at privilege level 3 with @cet in U_CET: vector, error code, SSP afterwards. */
#define EXPECT(fn, cet, vec, err, end)                                                      \
	do {                                                                                \
		int v_;                                                                     \
                                                                                            \
		wrmsr(MSR_U_CET, cet);                                                      \
		v_ = cet_user(fn, a.top);                                                   \
		check(v_ == (vec) && (v_ < 0 || last_trap.error == (uint64_t)(err)),        \
		      "line %d: vector %d error %#lx", __LINE__, v_, last_trap.error);      \
		check(rdmsr(MSR_PL3_SSP) == (end), "line %d: SSP %#lx, not %#lx", __LINE__, \
		      rdmsr(MSR_PL3_SSP), (uint64_t)(end));                                 \
	} while (0)

ASM_FUNCTION(nothing, USER_END);
ASM_FUNCTION(call_and_ret, "call 1f\n.global call_label\ncall_label:" USER_END "1: ret");
ASM_FUNCTION(call_pointer, "lea 1f(%rip), %rax; call *%rax;" USER_END "1: ret $0");
/* A call of the next instruction is for its address, and pushes nothing. */
ASM_FUNCTION(call_next, ".byte 0xe8, 0, 0, 0, 0; pop %rax;" USER_END);
ASM_FUNCTION(bad_ret, "call 1f;" USER_END
		      "1: lea 2f(%rip), %rax; mov %rax, (%rsp)\n.global ret_label\nret_label: ret\n"
		      "2:" USER_END);
/* The bytes are LCALL *(RSP) with an operand of 64 bits: assemblers have different names for it. */
ASM_FUNCTION(far_call,
	     "rdsspq %rax; mov %rax, out; lea 1f(%rip), %rax;"
	     "sub $16, %rsp; mov %rax, (%rsp); movw $0x3b, 8(%rsp); .byte 0x48, 0xff, 0x1c, 0x24\n"
	     ".global far_label\nfar_label: rdsspq %rax; mov %rax, out + 8;" USER_END
	     "1: rdsspq %rax; mov %rax, out + 16; lretq");
ASM_FUNCTION(bad_far_ret, "lea 1f(%rip), %rax; sub $16, %rsp; mov %rax, (%rsp);"
			  "movw $0x3b, 8(%rsp); .byte 0x48, 0xff, 0x1c, 0x24;" USER_END
			  "1: lea 2f(%rip), %rax; mov %rax, (%rsp); lretq; 2:" USER_END);
ASM_FUNCTION(read_ssp, "mov $-1, %rax; rdsspq %rax; mov %rax, out; mov $-1, %rax; rdsspd %eax;"
		       "mov %rax, out + 8;" USER_END);
ASM_FUNCTION(inc_sspq, "call 1f; nop; 1: call 2f; nop; 2: call 3f; nop; 3: rdsspq %rax;"
		       "mov %rax, out; mov $0x102, %eax; incsspq %rax;" USER_END);
ASM_FUNCTION(inc_sspd, "call 1f; nop; 1: call 2f; nop; 2: mov $2, %eax; incsspd %eax;" USER_END);
ASM_FUNCTION(inc_too_far, "mov $255, %eax; incsspq %rax;" USER_END);
ASM_FUNCTION(write_q,
	     "mov operand, %rdi; mov $0x1122334455667788, %rax; wrssq %rax, (%rdi);" USER_END);
ASM_FUNCTION(write_d, "mov operand, %rdi; mov $0x99aabbcc, %eax; wrssd %eax, (%rdi);" USER_END);
ASM_FUNCTION(store, "mov operand, %rdi; mov %rax, (%rdi);" USER_END);
ASM_FUNCTION(load, "mov operand, %rdi; mov (%rdi), %rax; mov %rax, out;" USER_END);
ASM_FUNCTION(ret_alone, "lea 1f(%rip), %rax; push %rax; ret; 1:" USER_END);
ASM_FUNCTION(restore, "mov operand, %rdi; cmp %rax, %rax; rstorssp (%rdi); pushfq; pop %rax;"
		      "mov %rax, out; rdsspq %rax; mov %rax, out + 8;" USER_END);
ASM_FUNCTION(switch_stacks, "mov operand, %rdi; rstorssp (%rdi); saveprevssp; rdsspq %rax;"
			    "mov %rax, out; call 1f; nop; 1: rdsspq %rax; mov %rax, out + 8;"
			    "mov $1, %eax; incsspq %rax; mov operand2, %rdi; rstorssp (%rdi);"
			    "rdsspq %rax; mov %rax, out + 16; saveprevssp;" USER_END);
ASM_FUNCTION(save_carry, "mov operand, %rdi; rstorssp (%rdi); stc; saveprevssp;" USER_END);
ASM_FUNCTION(save_alone, "clc; saveprevssp;" USER_END);
ASM_FUNCTION(set_busy, "setssbsy;" USER_END);
ASM_FUNCTION(clear_busy, "mov operand, %rdi; clrssbsy (%rdi);" USER_END);
ASM_FUNCTION(write_user, "mov operand, %rdi; wrussq %rax, (%rdi);" USER_END);
ASM_FUNCTION(interrupted, "call 1f;" USER_END "1: ud2; rdsspq %rax; mov %rax, out; ret");

static void calls(void)
{
	EXPECT(nothing, SHSTK, -1, 0, a.top);
	EXPECT(call_and_ret, SHSTK, -1, 0, a.top);
	check(shadow_word(&a, a.top - 8) == (uintptr_t)call_label, "pushed %#lx, not %#lx",
	      shadow_word(&a, a.top - 8), (uint64_t)(uintptr_t)call_label);
	EXPECT(call_pointer, SHSTK, -1, 0, a.top);
	EXPECT(call_next, SHSTK, -1, 0, a.top);
	EXPECT(bad_ret, SHSTK, VEC_CP, CP_NEAR_RET, a.top - 8);
	check(last_trap.rip == (uintptr_t)ret_label, "#CP at %#lx, not at the RET", last_trap.rip);
	EXPECT(bad_ret, 0, -1, 0, a.top);
	EXPECT(far_call, SHSTK, -1, 0, a.top);
	check(out[0] == a.top && out[1] == a.top && out[2] == a.top - 24,
	      "far call: SSP %#lx, in it %#lx, after it %#lx", out[0], out[2], out[1]);
	check(shadow_word(&a, a.top - 8) == 0x3b &&
		      shadow_word(&a, a.top - 16) == (uintptr_t)far_label &&
		      shadow_word(&a, a.top - 24) == a.top,
	      "far call pushed %#lx %#lx %#lx", shadow_word(&a, a.top - 8),
	      shadow_word(&a, a.top - 16), shadow_word(&a, a.top - 24));
	EXPECT(bad_far_ret, SHSTK, VEC_CP, CP_FAR_RET, a.top - 24);
	EXPECT(bad_far_ret, 0, -1, 0, a.top);
}

static void pointer_instructions(void)
{
	EXPECT(read_ssp, SHSTK, -1, 0, a.top);
	check(out[0] == a.top && out[1] == (uint32_t)a.top, "RDSSP gives %#lx and %#lx", out[0],
	      out[1]);
	/* Elsewhere it is a no-operation. */
	EXPECT(read_ssp, 0, -1, 0, a.top);
	check(out[0] == ~0ull && out[1] == ~0ull, "RDSSP gives %#lx without a shadow stack",
	      out[0]);
	EXPECT(inc_sspq, SHSTK, -1, 0, a.top - 8);
	check(out[0] == a.top - 24, "SSP is %#lx three calls deep", out[0]);
	EXPECT(inc_sspd, SHSTK, -1, 0, a.top - 8);
	EXPECT(inc_sspq, 0, VEC_UD, 0, a.top);
	/* It reads the last element that it pops: behind the page. */
	shadow_poke(&a, a.top - 8, 0);
	EXPECT(inc_too_far, SHSTK, VEC_PF, last_trap.error, a.top);
	check((last_trap.error & (PF_SHSTK | PF_U | PF_W)) == (PF_SHSTK | PF_U),
	      "INCSSP off the page: error %#lx", last_trap.error);
}

static void writes(void)
{
	static uint64_t plain;

	operand = a.base + 64;
	shadow_poke(&a, operand, 0);
	EXPECT(write_q, SHSTK, VEC_UD, 0, a.top);
	EXPECT(write_d, SHSTK, VEC_UD, 0, a.top);
	EXPECT(write_q, (uint64_t)CET_WR_SHSTK_EN, VEC_UD, 0, a.top);
	check(!shadow_word(&a, operand), "WRSS wrote without permission");
	EXPECT(write_q, WRITES, -1, 0, a.top);
	check(shadow_word(&a, operand) == 0x1122334455667788, "WRSSQ wrote %#lx",
	      shadow_word(&a, operand));
	EXPECT(write_d, WRITES, -1, 0, a.top);
	check(shadow_word(&a, operand) == 0x1122334499aabbcc, "WRSSD wrote %#lx",
	      shadow_word(&a, operand));
	operand += 4;
	EXPECT(write_q, WRITES, VEC_GP, 0, a.top);
	EXPECT(write_d, WRITES, -1, 0, a.top);
	operand += 2;
	EXPECT(write_d, WRITES, VEC_GP, 0, a.top);
	operand = (uintptr_t)&plain;
	EXPECT(write_q, WRITES, VEC_PF, PF_P | PF_W | PF_U | PF_SHSTK, a.top);
	check(last_trap.cr2 == operand, "CR2 is %#lx", last_trap.cr2);
	check(!plain, "WRSS wrote to a page that is no shadow stack");
}

static void plain_accesses(void)
{
	operand = a.base + 128;
	shadow_poke(&a, operand, 42);
	EXPECT(load, SHSTK, -1, 0, a.top);
	check(out[0] == 42, "read %lu from the shadow stack", out[0]);
	EXPECT(store, SHSTK, VEC_PF, PF_P | PF_W | PF_U, a.top);
	check(last_trap.cr2 == operand && shadow_word(&a, operand) == 42, "a store got through");
	check(EXCEPTION_OF(*(volatile uint64_t *)operand = 1) == VEC_PF &&
		      last_trap.error == (PF_P | PF_W),
	      "a store of the supervisor: vector %d error %#lx", last_trap.vector, last_trap.error);
}

/* Shadow-stack accesses to pages that are none (SDM vol. 3, 4.6.1 and 4.7). */
static void pages(void)
{
	shadow_pte(&a, PTE_P | PTE_W | PTE_U | PTE_D);
	EXPECT(call_and_ret, SHSTK, VEC_PF, PF_P | PF_W | PF_U | PF_SHSTK, a.top);
	check(last_trap.cr2 == a.top - 8, "CR2 is %#lx", last_trap.cr2);
	shadow_pte(&a, PTE_P | PTE_U); /* not dirty: a page that is read-only */
	EXPECT(call_and_ret, SHSTK, VEC_PF, PF_P | PF_W | PF_U | PF_SHSTK, a.top);
	shadow_pte(&a, PTE_U | PTE_D);
	EXPECT(call_and_ret, SHSTK, VEC_PF, PF_W | PF_U | PF_SHSTK, a.top);
	shadow_pte(&a, PTE_P | PTE_D); /* of the supervisor */
	EXPECT(call_and_ret, SHSTK, VEC_PF, PF_P | PF_W | PF_U | PF_SHSTK, a.top);
	shadow_pte(&a, PTE_P | PTE_W | PTE_U | PTE_D);
	wrmsr(MSR_U_CET, SHSTK);
	check(cet_user(ret_alone, a.top - 8) == VEC_PF &&
		      last_trap.error == (PF_P | PF_U | PF_SHSTK) &&
		      rdmsr(MSR_PL3_SSP) == a.top - 8,
	      "RET: vector %d error %#lx", last_trap.vector, last_trap.error);
	shadow_pte(&a, PTE_P | PTE_U | PTE_D);
	EXPECT(call_and_ret, SHSTK, -1, 0, a.top);
}

static void bad_token(uint64_t token, int line)
{
	shadow_poke(&b, operand, token);
	wrmsr(MSR_U_CET, SHSTK);
	check(cet_user(restore, a.top) == VEC_CP && last_trap.error == CP_RSTORSSP,
	      "line %d: vector %d error %#lx", line, last_trap.vector, last_trap.error);
	check(shadow_word(&b, operand) == token && rdmsr(MSR_PL3_SSP) == a.top,
	      "line %d: token %#lx SSP %#lx", line, shadow_word(&b, operand), rdmsr(MSR_PL3_SSP));
}

static void tokens(void)
{
	enum { CF = 1, ARITHMETIC = 0x8d5, IN_64 = 1, PREVIOUS = 2 };

	operand = b.top - 8;
	operand2 = a.top - 8;
	shadow_poke(&b, operand, b.top | IN_64);
	EXPECT(restore, SHSTK, -1, 0, b.top - 8);
	check(!(out[0] & ARITHMETIC), "RSTORSSP: flags %#lx", out[0]);
	check(out[1] == b.top - 8 && shadow_word(&b, operand) == (a.top | IN_64 | PREVIOUS),
	      "RSTORSSP: SSP %#lx, token %#lx", out[1], shadow_word(&b, operand));
	shadow_poke(&b, operand, b.top | IN_64);
	EXPECT(switch_stacks, SHSTK, -1, 0, a.top);
	check(out[0] == b.top && out[1] == b.top - 8 && out[2] == a.top - 8,
	      "SSP after switches: %#lx %#lx %#lx", out[0], out[1], out[2]);
	check(shadow_word(&b, operand) == (b.top | IN_64), "token left behind: %#lx",
	      shadow_word(&b, operand));
	/* A hole of four bytes below what the token points to: CF. */
	shadow_poke(&b, operand, (b.top + 4) | IN_64);
	EXPECT(restore, SHSTK, -1, 0, b.top - 8);
	check((out[0] & ARITHMETIC) == CF, "RSTORSSP with a hole: flags %#lx", out[0]);

	bad_token(b.top, __LINE__);		       /* not of 64-bit mode */
	bad_token(b.top | IN_64 | PREVIOUS, __LINE__); /* of SAVEPREVSSP */
	bad_token((b.top - 8) | IN_64, __LINE__);      /* for another place */
	bad_token((b.top + 8) | IN_64, __LINE__);
	bad_token(0, __LINE__);
	shadow_poke(&b, operand, b.top | IN_64);
	EXPECT(save_carry, SHSTK, VEC_GP, 0, b.top - 8);
	operand = b.top - 12;
	EXPECT(restore, SHSTK, VEC_GP, 0, a.top);
	operand = (uintptr_t)&operand;
	EXPECT(restore, SHSTK, VEC_PF, last_trap.error, a.top);
	check((last_trap.error & ~(uint64_t)PF_W) == (PF_P | PF_U | PF_SHSTK),
	      "RSTORSSP from a plain page: error %#lx", last_trap.error);
	operand = b.top - 8;
	EXPECT(restore, 0, VEC_UD, 0, a.top);
	EXPECT(save_alone, 0, VEC_UD, 0, a.top);
	wrmsr(MSR_U_CET, SHSTK);
	shadow_poke(&a, a.top - 8, a.top | IN_64);
	check(cet_user(save_alone, a.top - 8) == VEC_GP && !last_trap.error,
	      "SAVEPREVSSP without a token: vector %d error %#lx", last_trap.vector,
	      last_trap.error);
}

/* Instructions of the supervisor. Without its shadow stack, two are not there at all. */
static void privileged(void)
{
	operand = b.top - 8;
	EXPECT(set_busy, SHSTK, VEC_UD, 0, a.top);
	EXPECT(clear_busy, SHSTK, VEC_UD, 0, a.top);
	EXPECT(write_user, SHSTK, VEC_GP, 0, a.top);
	shadow_poke(&b, operand, 0);
	check(EXCEPTION_OF(__asm__ volatile("wrussq %0, (%1)" ::"r"(0x1234ull), "r"(b.top - 8)
					    : "memory")) == -1 &&
		      shadow_word(&b, b.top - 8) == 0x1234,
	      "WRUSS: vector %d error %#lx, %#lx", last_trap.vector, last_trap.error,
	      shadow_word(&b, b.top - 8));
	shadow_pte(&b, PTE_P | PTE_D);
	check(EXCEPTION_OF(__asm__ volatile("wrussq %0, (%1)" ::"r"(0ull), "r"(b.top - 8)
					    : "memory")) == VEC_PF &&
		      last_trap.error == (PF_P | PF_W | PF_U | PF_SHSTK),
	      "WRUSS to the supervisor: vector %d error %#lx", last_trap.vector, last_trap.error);
	shadow_pte(&b, PTE_P | PTE_U | PTE_D);
}

static volatile uint64_t ssp_in_handler;

static void on_ud(struct frame *f)
{
	ssp_in_handler = rdmsr(MSR_PL3_SSP);
	f->rip += 2;
}

static void across_an_exception(void)
{
	irq_set(VEC_UD, on_ud);
	EXPECT(interrupted, SHSTK, -1, 0, a.top);
	irq_set(VEC_UD, NULL);
	check(ssp_in_handler == a.top - 8 && out[0] == a.top - 8, "SSP %#lx, then %#lx",
	      ssp_in_handler, out[0]);
}

static void without_cr4(void)
{
	write_cr4(read_cr4() & ~CR4_CET);
	operand = b.top - 8;
	EXPECT(bad_ret, SHSTK, -1, 0, a.top);
	EXPECT(inc_sspq, SHSTK, VEC_UD, 0, a.top);
	EXPECT(write_q, WRITES, VEC_UD, 0, a.top);
	EXPECT(restore, SHSTK, VEC_UD, 0, a.top);
	EXPECT(write_user, SHSTK, VEC_UD, 0, a.top);
	EXPECT(read_ssp, SHSTK, -1, 0, a.top);
	check(out[0] == ~0ull, "RDSSP gives %#lx without CR4.CET", out[0]);
	write_cr4(read_cr4() | CR4_CET);
	EXPECT(bad_ret, SHSTK, VEC_CP, CP_NEAR_RET, a.top - 8);
}

void test_main(void)
{
	cet_init();
	a = shadow_page(true);
	b = shadow_page(true);
	calls();
	pointer_instructions();
	writes();
	plain_accesses();
	pages();
	tokens();
	privileged();
	across_an_exception();
	without_cr4();
	wrmsr(MSR_U_CET, 0);
}
