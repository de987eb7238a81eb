/* SPDX-License-Identifier: BSD-2-Clause */
/* Indirect branch tracking: ENDBRANCH, its absence, NOTRACK, and the tracker across exceptions. */
#include "cet.h"
#include "socle/guest/state.h"

const char test_name[] = "cet_ibt";

#define ENDBR	 ((uint64_t)CET_ENDBR_EN)
#define NO_TRACK ((uint64_t)CET_ENDBR_EN | CET_NO_TRACK_EN)

extern char target[];
volatile uint64_t out[2];

ASM_FUNCTION(jump_good, "lea 1f(%rip), %rax; jmp *%rax; hlt; 1: endbr64;" USER_END);
ASM_FUNCTION(jump_bad,
	     "lea target(%rip), %rax; jmp *%rax; hlt\n.global target\ntarget: nop;" USER_END);
ASM_FUNCTION(jump_memory, "lea 1f(%rip), %rax; push %rax; jmp *(%rsp); hlt; 1: nop;" USER_END);
ASM_FUNCTION(jump_32, "lea 1f(%rip), %rax; jmp *%rax; hlt; 1: endbr32;" USER_END);
ASM_FUNCTION(call_good, "lea 1f(%rip), %rax; call *%rax;" USER_END "1: endbr64; ret");
ASM_FUNCTION(call_bad, "lea 1f(%rip), %rax; call *%rax;" USER_END "1: ret");
ASM_FUNCTION(no_track_jump, "lea 1f(%rip), %rax; notrack jmp *%rax; hlt; 1: nop;" USER_END);
ASM_FUNCTION(no_track_call, "lea 1f(%rip), %rax; notrack call *%rax;" USER_END "1: ret");
ASM_FUNCTION(direct, "jmp 1f; hlt; 1: call 2f; lea 3f(%rip), %rax; push %rax; ret; 2: ret;"
		     "3: xor %eax, %eax; jz 4f; hlt; 4:" USER_END);
/* The bytes are LJMP *(RSP) with an operand of 64 bits, for which assemblers have different names.
 */
ASM_FUNCTION(far_bad, "lea 1f(%rip), %rax; sub $16, %rsp; mov %rax, (%rsp); movw $0x3b, 8(%rsp);"
		      ".byte 0x48, 0xff, 0x2c, 0x24; hlt; 1: nop;" USER_END);
ASM_FUNCTION(far_good, "lea 1f(%rip), %rax; sub $16, %rsp; mov %rax, (%rsp); movw $0x3b, 8(%rsp);"
		       ".byte 0x48, 0xff, 0x2c, 0x24; hlt; 1: endbr64;" USER_END);
/* A far transfer is tracked even with the prefix. */
ASM_FUNCTION(far_no_track,
	     "lea 1f(%rip), %rax; sub $16, %rsp; mov %rax, (%rsp); movw $0x3b, 8(%rsp);"
	     ".byte 0x3e, 0x48, 0xff, 0x2c, 0x24; hlt; 1: nop;" USER_END);
/* ENDBRANCH where nobody jumped to is a no-operation. */
ASM_FUNCTION(straight, "endbr64; nop; endbr64;" USER_END);
/* Single steps: the trap comes between the jump and its target. */
ASM_FUNCTION(step_good, "lea 1f(%rip), %rax; pushfq; orq $0x100, (%rsp); popfq; jmp *%rax; hlt;"
			"1: endbr64; nop;" USER_END);
ASM_FUNCTION(step_bad, "lea 1f(%rip), %rax; pushfq; orq $0x100, (%rsp); popfq; jmp *%rax; hlt;"
		       "1: nop;" USER_END);

static int user(void (*fn)(void), uint64_t cet)
{
	wrmsr(MSR_U_CET, cet);
	return cet_user(fn, 0);
}

static void good(void (*fn)(void), uint64_t cet, int line)
{
	check(user(fn, cet) == -1, "line %d: vector %d error %#lx", line, last_trap.vector,
	      last_trap.error);
	check(rdmsr(MSR_U_CET) == cet, "line %d: U_CET is %#lx", line, rdmsr(MSR_U_CET));
}

/* The tracker is left as it was: the target still waits for its ENDBRANCH. */
static void bad(void (*fn)(void), uint64_t cet, int line)
{
	check(user(fn, cet) == VEC_CP && last_trap.error == CP_ENDBRANCH,
	      "line %d: vector %d error %#lx", line, last_trap.vector, last_trap.error);
	check(rdmsr(MSR_U_CET) == (cet | CET_TRACKER), "line %d: U_CET is %#lx", line,
	      rdmsr(MSR_U_CET));
}

static void user_mode(void)
{
	good(jump_good, ENDBR, __LINE__);
	bad(jump_bad, ENDBR, __LINE__);
	check(last_trap.rip == (uintptr_t)target, "#CP at %#lx, not at the target", last_trap.rip);
	bad(jump_memory, ENDBR, __LINE__);
	bad(jump_32, ENDBR, __LINE__);
	good(call_good, ENDBR, __LINE__);
	bad(call_bad, ENDBR, __LINE__);
	good(direct, ENDBR, __LINE__);
	good(straight, ENDBR, __LINE__);
	good(far_good, ENDBR, __LINE__);
	bad(far_bad, ENDBR, __LINE__);

	bad(no_track_jump, ENDBR, __LINE__);
	bad(no_track_call, ENDBR, __LINE__);
	good(no_track_jump, NO_TRACK, __LINE__);
	good(no_track_call, NO_TRACK, __LINE__);
	bad(jump_bad, NO_TRACK, __LINE__);
	bad(far_no_track, NO_TRACK, __LINE__);

	good(jump_bad, 0, __LINE__);
	good(jump_bad, CET_NO_TRACK_EN, __LINE__);
	good(jump_bad, ENDBR | CET_SUPPRESS, __LINE__);
	/* Entered while the tracker waits: the first instruction must be an ENDBRANCH. */
	check(user(straight, ENDBR | CET_TRACKER) == -1 && rdmsr(MSR_U_CET) == ENDBR,
	      "IRET to ENDBR64: vector %d, U_CET %#lx", last_trap.vector, rdmsr(MSR_U_CET));
	check(user(direct, ENDBR | CET_TRACKER) == VEC_CP && last_trap.error == CP_ENDBRANCH,
	      "IRET to another instruction: vector %d error %#lx", last_trap.vector,
	      last_trap.error);
	write_cr4(read_cr4() & ~CR4_CET);
	good(jump_bad, ENDBR, __LINE__);
	write_cr4(read_cr4() | CR4_CET);
	bad(jump_bad, ENDBR, __LINE__);
}

static volatile uint64_t waiting;

/* #DB: notes at which steps the tracker of privilege level 3 waits. */
static void on_step(struct frame *f)
{
	if ((f->cs & 3) == 3)
		waiting = waiting << 1 | !!(rdmsr(MSR_U_CET) & CET_TRACKER);
	else
		f->rflags &= ~0x100ull;
}

static void across_exceptions(void)
{
	irq_set(VEC_DB, on_step);
	waiting = 1;
	good(step_good, ENDBR, __LINE__);
	/* After the jump, after ENDBR64, after NOP. */
	check(waiting == 0xc, "steps to ENDBR64 were %#lx", waiting);
	waiting = 1;
	bad(step_bad, ENDBR, __LINE__);
	check(waiting == 3, "steps to another instruction were %#lx", waiting);
	irq_set(VEC_DB, NULL);
}

/*
 * Privilege level 0: with S_CET set, a handler's first instruction must be ENDBRANCH, too, as the
 * run-time's are.
 */
#define SUPER(text)                                                              \
	EXCEPTION_OF(__asm__ volatile("wrmsr\n" text "\nxor %%eax, %%eax; wrmsr" \
				      : "+a"(s_cet), "+c"(index), "+d"(zero)::"rdi", "memory"))
#define SUPER_BEGIN uint32_t s_cet = CET_ENDBR_EN | CET_NO_TRACK_EN, index = MSR_S_CET, zero = 0

static int super_jump_good(void)
{
	SUPER_BEGIN;
	return SUPER("lea 1f(%%rip), %%rdi; jmp *%%rdi; hlt; 1: endbr64");
}

static int super_jump_bad(void)
{
	SUPER_BEGIN;
	return SUPER("lea 1f(%%rip), %%rdi; jmp *%%rdi; hlt; 1: nop");
}

static int super_no_track(void)
{
	SUPER_BEGIN;
	return SUPER("lea 1f(%%rip), %%rdi; notrack jmp *%%rdi; hlt; 1: nop");
}

static int super_undefined(void)
{
	SUPER_BEGIN;
	return SUPER("ud2");
}

/* Handlers of one's own for #UD, without the run-time: one lacks its ENDBRANCH. */
ASM_FUNCTION(handler_good, "endbr64; addq $2, (%rsp); iretq");
ASM_FUNCTION(handler_bad, "addq $2, (%rsp); iretq");

static void supervisor(void)
{
	trap_cet = true;
	check(super_jump_good() == -1, "at level 0: vector %d", last_trap.vector);
	check(super_jump_bad() == VEC_CP && last_trap.error == CP_ENDBRANCH,
	      "at level 0: vector %d error %#lx", last_trap.vector, last_trap.error);
	check(super_no_track() == -1, "NOTRACK at level 0: vector %d", last_trap.vector);
	check(super_undefined() == VEC_UD && trap_cet_state.s_cet == NO_TRACK,
	      "#UD at level 0: vector %d, S_CET %#lx", last_trap.vector, trap_cet_state.s_cet);
	idt_direct(VEC_UD, handler_good);
	check(super_undefined() == -1, "a handler with ENDBR64: vector %d", last_trap.vector);
	idt_direct(VEC_UD, handler_bad);
	check(super_undefined() == VEC_CP && last_trap.error == CP_ENDBRANCH &&
		      last_trap.rip == (uintptr_t)handler_bad,
	      "a handler without it: vector %d error %#lx rip %#lx", last_trap.vector,
	      last_trap.error, last_trap.rip);
	trap_cet = false;
}

void test_main(void)
{
	cet_init();
	if (!cpu_has_ibt())
		skip("no indirect branch tracking");
	user_mode();
	across_exceptions();
	wrmsr(MSR_U_CET, 0);
	supervisor();
}
