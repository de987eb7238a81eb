/* SPDX-License-Identifier: BSD-2-Clause */
/* The end: reports a bug of ours or a machine that cannot go on, and stops. */
#include "socle/cpu/cpu.h"
#include "socle/cpu/regs.h"
#include "socle/cpu/trapsink.h"
#include "socle/kernel/log.h"
#include "socle/kernel/machine.h"
#include "socle/mm/paging.h"

uintptr_t __stack_chk_guard = 0x5bd1e9955bd1e995ull;
void __stack_chk_fail(void) __noreturn;

static void (*last_words)(const char *text, size_t len);

static void say(const char *fmt, ...) __printf(1, 2);
static void say(const char *fmt, ...)
{
	char text[256];
	va_list args;
	size_t n;

	va_start(args, fmt);
	n = format_v(text, sizeof(text), fmt, args);
	va_end(args);
	if (last_words)
		last_words(text, MIN(n, sizeof(text) - 1));
}

/* Return addresses that the stack holds: without frame pointers, all words that point into text. */
static void print_stack(const uint64_t *sp)
{
	const uint64_t *top = (const uint64_t *)(((uintptr_t)sp | (CPU_STACK_SLOT - 1)) + 1);
	unsigned printed = 0;

	say("socle: code addresses on the stack (addr2line -e build/socle.elf):\r\n");
	for (; sp < top && printed < 24; sp++)
		if (*sp >= (uintptr_t)__text_start && *sp < (uintptr_t)__text_end)
			say(printed++ % 4 == 3 ? " %llx\r\n" : " %llx", (unsigned long long)*sp);
	say("\r\n");
}

void panic_v(const char *fmt, va_list args)
{
	static bool again;
	char text[256];

	interrupts_disable();
	/* Another CPU has the last word, or this one had it already. */
	if (!cpu_stop_others() && !again)
		for (;;)
			cpu_pause();
	format_v(text, sizeof(text), fmt, args);
	say("\r\nsocle: panic on CPU %u: %s\r\n", cpu_index(), text);
	if (!again) {
		again = true;
		print_stack(__builtin_frame_address(0));
	}
	say("socle: stopped; reset the machine\r\n");
	interrupts_disable();
	machine_halt();
}

static void report_trap(struct trap_frame *f)
{
	say("\r\nsocle: exception %u, error %#llx, cr2 %#llx\r\n", (unsigned)f->vector,
	    (unsigned long long)f->error, (unsigned long long)cr2_read());
	say("rip %016llx rsp %016llx rflags %08llx\r\n", (unsigned long long)f->rip,
	    (unsigned long long)f->rsp, (unsigned long long)f->rflags);
	say("rax %016llx rbx %016llx rcx %016llx rdx %016llx\r\n", (unsigned long long)f->rax,
	    (unsigned long long)f->rbx, (unsigned long long)f->rcx, (unsigned long long)f->rdx);
	say("rsi %016llx rdi %016llx rbp %016llx r8  %016llx\r\n", (unsigned long long)f->rsi,
	    (unsigned long long)f->rdi, (unsigned long long)f->rbp, (unsigned long long)f->r8);
	say("r9  %016llx r10 %016llx r11 %016llx r12 %016llx\r\n", (unsigned long long)f->r9,
	    (unsigned long long)f->r10, (unsigned long long)f->r11, (unsigned long long)f->r12);
	print_stack((const uint64_t *)f);
	panic("exception %u in the hypervisor", (unsigned)f->vector);
}

void panic_init(void (*print)(const char *text, size_t len))
{
	uint64_t tsc = rdtsc();

	/* Not secret, but different at each boot: overruns are caught, guessing is not the threat.
	 */
	__stack_chk_guard ^= tsc << 8;
	last_words = print;
	trap_bind_fatal(report_trap);
}

void __stack_chk_fail(void)
{
	panic("stack overrun");
}
