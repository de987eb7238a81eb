/* SPDX-License-Identifier: BSD-2-Clause */
/* Shadow stacks at privilege level 0: tokens, events across levels and stacks, system calls. */
#include "cet.h"
#include "socle/guest/state.h"

const char test_name[] = "cet_super";

enum { BUSY = 1, IN_64 = 1, PREVIOUS = 2, KERNEL_CS = 0x08, TSS_IST1 = 36, IST = 2 };
enum { MSR_STAR = 0xc0000081, MSR_LSTAR = 0xc0000082, MSR_SFMASK = 0xc0000084 };

/* What handlers and functions on the shadow stack note. */
volatile uint64_t out[8], operand, operand2;
static uint64_t ssp_table[8];
extern uint8_t tss[];
static uint8_t stack_of_ist[PAGE_SIZE] __aligned(16);
static struct shadow_page a, b, user;
extern char ret_label[], far_label[], trap_label[], trap_label2[];

/*
 * As user_call(), with SSP at the token of PL0_SSP when privilege level 3 is
 * entered: IRET frees it.
 */
void super_user(void (*fn)(void));
__asm__(".pushsection .text; super_user: mov $0x6a2, %ecx; xor %edx, %edx; mov $1, %eax; wrmsr;"
	"setssbsy; jmp user_call; .popsection");

/* Runs @fn at level 0 on the shadow stack of PL0_SSP with @cet in S_CET. */
static void run(void (*fn)(void), uint32_t cet)
{
	uint32_t index = MSR_S_CET, low = cet, high = 0;

	__asm__ volatile("wrmsr; setssbsy; call *%[fn]; mov $0x6a2, %%ecx; xor %%eax, %%eax;"
			 "xor %%edx, %%edx; wrmsr"
			 : "+c"(index), "+a"(low), "+d"(high)
			 : [fn] "b"(fn)
			 : "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
}

static uint64_t token(const struct shadow_page *s)
{
	return s->top - 8;
}

/* A fresh stack @s: not in use, and where its token is. */
static uint64_t fresh(const struct shadow_page *s)
{
	shadow_poke(s, token(s), token(s));
	return token(s);
}

#define SUPER_CET(fn, cet, vec, err)                                                   \
	do {                                                                           \
		int v_;                                                                \
                                                                                       \
		wrmsr(MSR_PL0_SSP, fresh(&a));                                         \
		v_ = EXCEPTION_OF(run(fn, cet));                                       \
		check(v_ == (vec) && (v_ < 0 || last_trap.error == (uint64_t)(err)),   \
		      "line %d: vector %d error %#lx", __LINE__, v_, last_trap.error); \
		wrmsr(MSR_S_CET, 0);                                                   \
	} while (0)
#define SUPER(fn, vec, err) SUPER_CET(fn, CET_SH_STK_EN, vec, err)

ASM_FUNCTION(note_ssp, "rdsspq %rax; mov %rax, out; ret");
ASM_FUNCTION(bad_ret, "call 1f; nop; 1: lea 2f(%rip), %rax; push %rax; ret; 2: pop %rax; ret");
/* The bytes are LCALL *(RSP) with an operand of 64 bits: assemblers have different names for it. */
ASM_FUNCTION(far_call,
	     "rdsspq %rax; mov %rax, out; lea 1f(%rip), %rax;"
	     "sub $16, %rsp; mov %rax, (%rsp); movw $8, 8(%rsp); .byte 0x48, 0xff, 0x1c, 0x24\n"
	     "far_label: add $16, %rsp; rdsspq %rax; mov %rax, out + 8; ret;"
	     "1: rdsspq %rax; mov %rax, out + 16; lretq");
ASM_FUNCTION(bad_far_ret, "lea 1f(%rip), %rax; sub $16, %rsp; mov %rax, (%rsp); movw $8, 8(%rsp);"
			  ".byte 0x48, 0xff, 0x1c, 0x24; add $16, %rsp; ret;"
			  "1: lea 2f(%rip), %rax; mov %rax, (%rsp); lretq; 2: hlt");
ASM_FUNCTION(undefined, "rdsspq %rax; mov %rax, out\ntrap_label: ud2; rdsspq %rax;"
			"mov %rax, out + 16; ret");
ASM_FUNCTION(set_busy_again, "setssbsy; ret");
/* To the other stack, whose token PL0_SSP has meanwhile, and from there nowhere. */
ASM_FUNCTION(set_busy_other, "mov $0x6a4, %ecx; mov operand, %eax; xor %edx, %edx; wrmsr;"
			     "setssbsy; rdsspq %rax; mov %rax, out; ud2");
ASM_FUNCTION(clear_busy, "mov operand, %rdi; rdsspq %rsi; cmp %rax, %rax; clrssbsy (%rdi); pushfq;"
			 "pop %rax; mov %rax, out; rdsspq %rax; mov %rax, out + 8;"
			 "mov operand2, %rdi; rstorssp (%rdi); ud2");
ASM_FUNCTION(write_super, "mov operand, %rdi; mov $0x1234, %eax; wrssq %rax, (%rdi); ret");
ASM_FUNCTION(store_super, "mov operand, %rdi; mov %rax, (%rdi); ret");

/* Handlers without the run-time; all step over the UD2. */
ASM_FUNCTION(on_ud, "push %rax; rdsspq %rax; mov %rax, out + 8; pop %rax; addq $2, (%rsp); iretq");
/* Corrects the shadow stack, too: WRSS. */
ASM_FUNCTION(on_ud_corrects, "push %rax; push %rcx; rdsspq %rax; mov %rax, out + 8;"
			     "mov 8(%rax), %rcx; add $2, %rcx; wrssq %rcx, 8(%rax);"
			     "pop %rcx; pop %rax; addq $2, (%rsp); iretq");
ASM_FUNCTION(on_ud_user, "push %rax; rdsspq %rax; mov %rax, out + 8; mov (%rax), %rax;"
			 "mov %rax, out + 16; pop %rax; addq $2, (%rsp); call 1f; iretq; 1: ret");

static void tokens(void)
{
	SUPER(note_ssp, -1, 0);
	check(out[0] == token(&a) - 8, "SSP is %#lx below the token at %#lx", out[0], token(&a));
	check(shadow_word(&a, token(&a)) == (token(&a) | BUSY), "the token in use is %#lx",
	      shadow_word(&a, token(&a)));
	/* In use already; for another place; with a reserved bit. */
	SUPER(set_busy_again, VEC_CP, CP_SETSSBSY);
	operand = token(&b);
	shadow_poke(&b, token(&b), token(&b) + 8);
	SUPER(set_busy_other, VEC_CP, CP_SETSSBSY);
	shadow_poke(&b, token(&b), token(&b) | 2);
	SUPER(set_busy_other, VEC_CP, CP_SETSSBSY);
	check(shadow_word(&b, token(&b)) == (token(&b) | 2), "the token changed to %#lx",
	      shadow_word(&b, token(&b)));
	fresh(&b);
	SUPER(set_busy_other, VEC_UD, 0);
	check(out[0] == token(&b) && shadow_word(&b, token(&b)) == (token(&b) | BUSY),
	      "SETSSBSY: SSP %#lx, token %#lx", out[0], shadow_word(&b, token(&b)));
	operand = token(&b) + 4;
	SUPER(set_busy_other, VEC_GP, 0);
	/* A page that is no shadow stack, and one of privilege level 3. */
	operand = (uintptr_t)&operand & ~7ull;
	SUPER(set_busy_other, VEC_PF, last_trap.error);
	check((last_trap.error & ~(uint64_t)PF_W) == (PF_P | PF_SHSTK),
	      "SETSSBSY on a plain page: error %#lx", last_trap.error);
	operand = token(&user);
	fresh(&user);
	SUPER(set_busy_other, VEC_PF, last_trap.error);
	check((last_trap.error & ~(uint64_t)PF_W) == (PF_P | PF_SHSTK),
	      "SETSSBSY on a user's page: error %#lx", last_trap.error);
	check(EXCEPTION_OF(__asm__ volatile("setssbsy")) == VEC_UD, "SETSSBSY without S_CET");

	/* CLRSSBSY leaves no shadow stack: the way back is a restore token. */
	operand2 = b.base + 256;
	operand = token(&b);
	shadow_poke(&b, operand, operand | BUSY);
	shadow_poke(&b, operand2, (operand2 + 8) | IN_64);
	SUPER(clear_busy, VEC_UD, 0);
	check(!(out[0] & 1) && !out[1] && shadow_word(&b, operand) == operand,
	      "CLRSSBSY: flags %#lx SSP %#lx token %#lx", out[0], out[1], shadow_word(&b, operand));
	shadow_poke(&b, operand2, (operand2 + 8) | IN_64);
	SUPER(clear_busy, VEC_UD, 0);
	check((out[0] & 1) && !out[1] && shadow_word(&b, operand) == operand,
	      "CLRSSBSY of a free one: flags %#lx SSP %#lx token %#lx", out[0], out[1],
	      shadow_word(&b, operand));
}

static void calls(void)
{
	SUPER(bad_ret, VEC_CP, CP_NEAR_RET);
	SUPER(far_call, -1, 0);
	check(out[0] == token(&a) - 8 && out[1] == out[0] && out[2] == out[0] - 24,
	      "far call: SSP %#lx, in it %#lx, after it %#lx", out[0], out[2], out[1]);
	check(shadow_word(&a, out[0] - 8) == KERNEL_CS &&
		      shadow_word(&a, out[0] - 16) == (uintptr_t)far_label &&
		      shadow_word(&a, out[0] - 24) == out[0],
	      "far call pushed %#lx %#lx %#lx", shadow_word(&a, out[0] - 8),
	      shadow_word(&a, out[0] - 16), shadow_word(&a, out[0] - 24));
	SUPER(bad_far_ret, VEC_CP, CP_FAR_RET);
}

static void writes(void)
{
	operand = b.base + 64;
	shadow_poke(&b, operand, 0);
	SUPER(write_super, VEC_UD, 0);
	SUPER_CET(write_super, CET_SH_STK_EN | CET_WR_SHSTK_EN, -1, 0);
	check(shadow_word(&b, operand) == 0x1234, "WRSS wrote %#lx", shadow_word(&b, operand));
	SUPER(store_super, VEC_PF, PF_P | PF_W);
	operand = user.base + 64;
	SUPER_CET(write_super, CET_SH_STK_EN | CET_WR_SHSTK_EN, VEC_PF, PF_P | PF_W | PF_SHSTK);
}

/* An event at the same level, without and with a stack of its own. */
static void same_level(void)
{
	uint64_t frame;

	idt_direct(VEC_UD, on_ud_corrects);
	SUPER_CET(undefined, CET_SH_STK_EN | CET_WR_SHSTK_EN, -1, 0);
	frame = out[1];
	check(out[0] == token(&a) - 8 && out[1] == out[0] - 24 && out[2] == out[0],
	      "exception: SSP %#lx, in it %#lx, after it %#lx", out[0], out[1], out[2]);
	check(shadow_word(&a, frame) == out[0] && shadow_word(&a, frame + 16) == KERNEL_CS &&
		      shadow_word(&a, frame + 8) == (uintptr_t)trap_label + 2,
	      "exception pushed %#lx %#lx %#lx", shadow_word(&a, frame + 16),
	      shadow_word(&a, frame + 8), shadow_word(&a, frame));
	/* IRET to elsewhere than where it came from. */
	idt_direct(VEC_UD, on_ud);
	SUPER(undefined, VEC_CP, CP_FAR_RET);

	/* SDM vol. 3, 6.14.5: the interrupt SSP table. */
	idt_direct(VEC_UD, on_ud_corrects);
	idt_ist(VEC_UD, IST);
	ssp_table[IST] = fresh(&b);
	wrmsr(MSR_INT_SSP_TAB, (uintptr_t)ssp_table);
	SUPER_CET(undefined, CET_SH_STK_EN | CET_WR_SHSTK_EN, -1, 0);
	check(out[1] == token(&b) - 24 && out[2] == token(&a) - 8,
	      "with IST: SSP %#lx, in it %#lx, after it %#lx", out[0], out[1], out[2]);
	check(shadow_word(&b, out[1]) == out[0] && shadow_word(&b, out[1] + 16) == KERNEL_CS,
	      "with IST, pushed %#lx %#lx %#lx", shadow_word(&b, out[1] + 16),
	      shadow_word(&b, out[1] + 8), shadow_word(&b, out[1]));
	check(shadow_word(&b, token(&b)) == token(&b), "IRET left the token as %#lx",
	      shadow_word(&b, token(&b)));
	/* Its stack is in use already. */
	shadow_poke(&b, token(&b), token(&b) | BUSY);
	SUPER(undefined, VEC_GP, last_trap.error);
	check(!(last_trap.error & ~1ull), "busy stack of an event: error %#lx", last_trap.error);
	ssp_table[IST] = fresh(&b) + 4;
	SUPER(undefined, VEC_GP, last_trap.error);
	ssp_table[IST] = 0;
	wrmsr(MSR_INT_SSP_TAB, 0);
}

ASM_FUNCTION(user_undefined, "call 1f; nop; 1: rdsspq %rax; mov %rax, out\ntrap_label2: ud2;"
			     "rdsspq %rax; mov %rax, out + 24;" USER_END);
ASM_FUNCTION(user_bad_ret, "call 1f; nop; 1: lea 2f(%rip), %rax; push %rax; ret; 2: ud2");
ASM_FUNCTION(user_set_busy, "setssbsy");
ASM_FUNCTION(user_clear_busy, "mov operand, %rdi; clrssbsy (%rdi)");

/* What @fn does at level 3, with shadow stacks there and in the supervisor. */
#define USER(fn, vec, err)                                                             \
	do {                                                                           \
		int v_;                                                                \
                                                                                       \
		wrmsr(MSR_PL0_SSP, fresh(&a));                                         \
		wrmsr(MSR_PL3_SSP, user.top);                                          \
		v_ = EXCEPTION_OF(super_user(fn));                                     \
		check(v_ == (vec) && (v_ < 0 || last_trap.error == (uint64_t)(err)),   \
		      "line %d: vector %d error %#lx", __LINE__, v_, last_trap.error); \
		wrmsr(MSR_S_CET, 0);                                                   \
	} while (0)

static void across_levels(void)
{
	idt_direct(VEC_UD, on_ud_user);
	idt_ist(VEC_UD, 0);
	USER(user_undefined, -1, 0);
	check(out[0] == user.top - 8 && out[1] == token(&a) && out[2] == (token(&a) | BUSY) &&
		      out[3] == out[0],
	      "from level 3: SSP %#lx, in it %#lx, token %#lx, after it %#lx", out[0], out[1],
	      out[2], out[3]);
	check(rdmsr(MSR_PL3_SSP) == user.top - 8, "PL3_SSP is %#lx", rdmsr(MSR_PL3_SSP));
	/* INT 0x80 took it again, and nothing gave it back. */
	check(shadow_word(&a, token(&a)) == (token(&a) | BUSY), "token %#lx",
	      shadow_word(&a, token(&a)));
	/* By a stack of its own, from level 3: no frame is pushed there either. */
	idt_ist(VEC_UD, IST);
	ssp_table[IST] = fresh(&b);
	wrmsr(MSR_INT_SSP_TAB, (uintptr_t)ssp_table);
	USER(user_undefined, -1, 0);
	check(out[1] == token(&b) && out[2] == (token(&b) | BUSY) && out[3] == user.top - 8,
	      "from level 3 with IST: SSP %#lx, in it %#lx, token %#lx, after it %#lx", out[0],
	      out[1], out[2], out[3]);
	check(shadow_word(&b, token(&b)) == token(&b), "IRET left the token as %#lx",
	      shadow_word(&b, token(&b)));
	wrmsr(MSR_INT_SSP_TAB, 0);
	idt_ist(VEC_UD, 0);

	USER(user_bad_ret, VEC_CP, CP_NEAR_RET);
	USER(user_set_busy, VEC_GP, 0);
	operand = token(&b);
	USER(user_clear_busy, VEC_GP, 0);
}

/* SYSCALL keeps SSP in PL3_SSP and leaves the supervisor without one; SYSRET takes it back. */
ASM_FUNCTION(on_syscall, "mov %rcx, %r8; mov %r11, %r9; rdsspq %rax; mov %rax, out; setssbsy;"
			 "rdsspq %rax; mov %rax, out + 8; call 1f; mov $0x6a7, %ecx; rdmsr;"
			 "mov %rax, out + 16; mov $0x6a4, %ecx; rdmsr; shl $32, %rdx;"
			 "or %rdx, %rax; clrssbsy (%rax); mov %r8, %rcx; mov %r9, %r11; sysretq;"
			 "1: ret");
ASM_FUNCTION(user_syscall,
	     "call 1f; nop; 1: mov $-1, %eax; syscall; rdsspq %rax; mov %rax, out + 24;"
	     "call 2f; ud2; 2: ret");

static void system_calls(void)
{
	uint64_t star = rdmsr(MSR_STAR), lstar = rdmsr(MSR_LSTAR), mask = rdmsr(MSR_SFMASK);

	wrmsr(MSR_STAR, 0x28ull << 48 | (uint64_t)KERNEL_CS << 32);
	wrmsr(MSR_LSTAR, (uintptr_t)on_syscall);
	wrmsr(MSR_SFMASK, 0x700);
	idt_load();
	USER(user_syscall, VEC_UD, 0);
	check(!out[0] && out[1] == token(&a) && out[2] == (uint32_t)(user.top - 8) &&
		      out[3] == user.top - 8,
	      "SYSCALL: SSP %#lx %#lx, PL3_SSP %#lx, after it %#lx", out[0], out[1], out[2],
	      out[3]);
	wrmsr(MSR_STAR, star);
	wrmsr(MSR_LSTAR, lstar);
	wrmsr(MSR_SFMASK, mask);
}

/* Two tasks of the supervisor take turns: RSTORSSP and SAVEPREVSSP with the stacks' tokens. */
static uint8_t task_stack[4096] __aligned(16);
volatile uint64_t task_rsp, main_rsp;
ASM_FUNCTION(task_main, "1: incq out + 32; call switch_to_main; jmp 1b");
ASM_FUNCTION(switch_to_task, "mov %rsp, main_rsp; mov task_rsp, %rsp; mov operand2, %rdi;"
			     "rstorssp (%rdi); saveprevssp; ret");
ASM_FUNCTION(switch_to_main, "mov %rsp, task_rsp; mov main_rsp, %rsp; mov operand, %rdi;"
			     "rstorssp (%rdi); saveprevssp; ret");
ASM_FUNCTION(take_turns, "rdsspq %rax; mov %rax, out; sub $16, %rax; mov %rax, operand;"
			 "mov $100, %ebx; 1: call switch_to_task; rdsspq %rax; mov %rax, out + 8;"
			 "dec %ebx; jnz 1b; mov $1, %eax; ret");

static void take_turns_saving(void)
{
	__asm__ volatile("call take_turns" ::
				 : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10",
				   "r11", "memory", "cc");
}

static void tasks(void)
{
	uint64_t top = token(&b) - 8;

	/* As if it had been switched away from at its beginning. */
	shadow_poke(&b, top, (uintptr_t)task_main);
	shadow_poke(&b, top - 8, top | IN_64);
	operand2 = top - 8;
	*(uint64_t *)(task_stack + sizeof(task_stack) - 16) = (uintptr_t)task_main;
	task_rsp = (uintptr_t)task_stack + sizeof(task_stack) - 16;
	out[4] = 0;
	SUPER(take_turns_saving, -1, 0);
	check(out[4] == 100 && out[1] == out[0], "%lu turns, SSP %#lx, then %#lx", out[4], out[0],
	      out[1]);
	check(shadow_word(&b, operand2) == ((operand2 + 8) | IN_64), "token of the task: %#lx",
	      shadow_word(&b, operand2));
}

void test_main(void)
{
	cet_init();
	a = shadow_page(false);
	b = shadow_page(false);
	user = shadow_page(true);
	wrmsr(MSR_U_CET, CET_SH_STK_EN);
	trap_cet = true;
	*(uint64_t *)(tss + TSS_IST1 + 8 * (IST - 1)) =
		(uintptr_t)stack_of_ist + sizeof(stack_of_ist);
	calls();
	tokens();
	writes();
	same_level();
	across_levels();
	system_calls();
	tasks();
	wrmsr(MSR_U_CET, 0);
}
