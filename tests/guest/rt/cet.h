/* SPDX-License-Identifier: BSD-2-Clause */
/* Control-flow enforcement (SDM vol. 1, chapter 17) for the test guests that check it. */
#ifndef RT_CET_H
#define RT_CET_H

#include "rt.h"

enum {
	MSR_U_CET = 0x6a0, MSR_S_CET = 0x6a2, MSR_PL0_SSP = 0x6a4, MSR_PL1_SSP = 0x6a5,
	MSR_PL2_SSP = 0x6a6, MSR_PL3_SSP = 0x6a7, MSR_INT_SSP_TAB = 0x6a8, MSR_XSS = 0xda0,
};

/* Bits of U_CET and S_CET. */
enum {
	CET_SH_STK_EN = BIT(0), CET_WR_SHSTK_EN = BIT(1), CET_ENDBR_EN = BIT(2),
	CET_LEG_IW_EN = BIT(3), CET_NO_TRACK_EN = BIT(4), CET_SUPPRESS_DIS = BIT(5),
	CET_SUPPRESS = BIT(10), CET_TRACKER = BIT(11),
};

/* Error codes of #CP (SDM vol. 3, 6.15, "Interrupt 21"). */
enum { CP_NEAR_RET = 1, CP_FAR_RET = 2, CP_ENDBRANCH = 3, CP_RSTORSSP = 4, CP_SETSSBSY = 5 };

/* Error codes of #PF. */
enum { PF_P = BIT(0), PF_W = BIT(1), PF_U = BIT(2), PF_SHSTK = BIT(6) };

#define CR0_WP	(1ull << 16)
#define CR4_CET (1ull << 23)

/* Bits of page table entries. */
enum { PTE_P = BIT(0), PTE_W = BIT(1), PTE_U = BIT(2), PTE_D = BIT(6) };

/* What CPUID offers (leaf 7: ECX bit 7, EDX bit 20). */
static inline bool cpu_has_shstk(void)
{
	return cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ecx >> 7 & 1);
}
static inline bool cpu_has_ibt(void)
{
	return cpuid(0, 0).eax >= 7 && (cpuid(7, 0).edx >> 20 & 1);
}

/* SSP, or 0 where there is no shadow stack. */
static inline uint64_t rdssp(void)
{
	uint64_t ssp = 0;

	__asm__ volatile("rdsspq %0" : "+r"(ssp));
	return ssp;
}

/*
 * A page for a shadow stack: the CPU may use it as one at .base (once it is made one), and .words
 * is the same page for plain reads and writes.
 */
struct shadow_page {
	uint64_t base, top;	/* top: behind the last byte */
	volatile uint64_t *pte; /* of .base */
	volatile uint64_t *words;
};
/* Up to four; all of them in one 2 MiB page, as every variable of a guest is. */
struct shadow_page shadow_page(bool user);
void shadow_pte(const struct shadow_page *s, uint64_t bits);
static inline uint64_t shadow_word(const struct shadow_page *s, uint64_t address)
{
	return s->words[(address - s->base) / 8];
}
static inline void shadow_poke(const struct shadow_page *s, uint64_t address, uint64_t value)
{
	s->words[(address - s->base) / 8] = value;
}

/*
 * With trap_cet set, an exception that is caught, and user_return(), turn the supervisor's
 * protections off, and leave here what there was.
 */
struct trap_cet_state {
	uint64_t ssp, s_cet, u_cet; /* in the handler, a few calls deep */
};
extern bool trap_cet;
extern volatile struct trap_cet_state trap_cet_state;

/* Skips the test where CPUID has no shadow stacks; else turns CR4.CET on. */
void cet_init(void);

/* Runs @fn at privilege level 3 on the shadow stack @ssp; the vector of its exception, or -1. */
int cet_user(void (*fn)(void), uint64_t ssp);

/* @text in a function @name of one's own. */
#define ASM_FUNCTION(name, text) \
	void name(void);         \
	__asm__(".pushsection .text\n.global " #name "\n" #name ":\n" text "\n.popsection")

/* The end of a function that cet_user() runs. */
#define USER_END "int $0x80\n"

#endif
