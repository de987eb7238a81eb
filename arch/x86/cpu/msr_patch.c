/* SPDX-License-Identifier: BSD-2-Clause */
/* Replaces the recorded MSR accesses by WRMSRNS or the immediate forms, where the CPU has them. */
#include "socle/cpu/features.h"
#include "socle/cpu/msr.h"
#include "socle/cpu/regs.h"
#include "socle/report.h"
#include "socle/string.h"

/* How an access is made. */
enum msr_form {
	MSR_FORM_BASE,	    /* RDMSR, WRMSR */
	MSR_FORM_NS,	    /* WRMSRNS; operands as for WRMSR */
	MSR_FORM_IMMEDIATE, /* RDMSR and WRMSRNS with the index in the instruction */
	MSR_FORMS,
};

enum { SITE_MAX = 15, INDEX_SIZE = 4 };

/*
 * The instructions by kind and form. Those with an index have it at one place, a 32-bit immediate.
 * Of the immediate forms (SDM vol. 2, RDMSR and WRMSRNS: VEX.128.F2/F3.MAP7.W0 F6 /0 id) the
 * register is RAX, and what is left of the place a NOP.
 */
struct code {
	uint8_t length, index_at;
	uint8_t bytes[SITE_MAX];
};
#define INDEX	     0, 0, 0, 0
#define MOV_INDEX    0xb9, INDEX			      /* to ECX */
#define RAX_TO_EDX   0x48, 0x89, 0xc2, 0x48, 0xc1, 0xea, 0x20 /* high half */
#define EDX_INTO_RAX 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0
#define WRMSR	     0x0f, 0x30
#define WRMSRNS	     0x0f, 0x01, 0xc6
#define RDMSR	     0x0f, 0x32
#define RDMSR_IMM    0xc4, 0xe7, 0x7b, 0xf6, 0xc0, INDEX
#define WRMSRNS_IMM  0xc4, 0xe7, 0x7a, 0xf6, 0xc0, INDEX
#define NOP1	     0x90
#define NOP5	     0x0f, 0x1f, 0x44, 0, 0
#define NOP6	     0x66, NOP5

static const struct code codes[][MSR_FORMS] = {
	[MSR_SITE_WRITE] = {
		[MSR_FORM_BASE] = {3, 0, {WRMSR, NOP1}},
		[MSR_FORM_NS] = {3, 0, {WRMSRNS}},
	},
	[MSR_SITE_WRITE_CONST] = {
		[MSR_FORM_BASE] = {15, 1, {MOV_INDEX, RAX_TO_EDX, WRMSR, NOP1}},
		[MSR_FORM_NS] = {15, 1, {MOV_INDEX, RAX_TO_EDX, WRMSRNS}},
		[MSR_FORM_IMMEDIATE] = {15, 5, {WRMSRNS_IMM, NOP6}},
	},
	[MSR_SITE_READ_CONST] = {
		[MSR_FORM_BASE] = {14, 1, {MOV_INDEX, RDMSR, EDX_INTO_RAX}},
		[MSR_FORM_IMMEDIATE] = {14, 5, {RDMSR_IMM, NOP5}},
	},
};

extern const struct msr_site SECTION_START(msr_sites)[], SECTION_END(msr_sites)[];

/* The best form of @kind with what the CPU has. */
static enum msr_form choose(enum msr_site_kind kind)
{
	if (cpu_has(CPU_MSR_IMM) && codes[kind][MSR_FORM_IMMEDIATE].length)
		return MSR_FORM_IMMEDIATE;
	if (cpu_has(CPU_WRMSRNS) && codes[kind][MSR_FORM_NS].length)
		return MSR_FORM_NS;
	return MSR_FORM_BASE;
}

/* Writes the instructions of @site in @form to @out; returns their length. */
static size_t encode(const struct msr_site *site, enum msr_form form, uint8_t out[SITE_MAX])
{
	const struct code *c = &codes[site->kind][form];

	memcpy(out, c->bytes, c->length);
	if (c->index_at)
		memcpy(out + c->index_at, &site->index, INDEX_SIZE);
	return c->length;
}

/* The instructions of @site are at @code: they become those of @form, or are so already. */
static void patch(const struct msr_site *site, uint8_t *code, enum msr_form form)
{
	uint8_t base[SITE_MAX], wanted[SITE_MAX];
	size_t length;

	ASSERT(site->kind < ARRAY_SIZE(codes));
	length = encode(site, MSR_FORM_BASE, base);
	encode(site, form, wanted);
	if (!memcmp(code, wanted, length))
		return;
	ASSERT(!memcmp(code, base, length));
	memcpy(code, wanted, length);
}

void msr_patch(void)
{
	unsigned count[MSR_FORMS] = {0};
	const struct msr_site *site;

	for (site = SECTION_START(msr_sites); site < SECTION_END(msr_sites); site++) {
		enum msr_form form = choose(site->kind);

		patch(site, (uint8_t *)((uintptr_t)&site->code + site->code), form);
		count[form]++;
	}
	/* Serializes: no old bytes are executed from here on (SDM vol. 3, 9.1.3). */
	cpuid(0, 0);
	log_info("cpu: MSR accesses: %u by RDMSR and WRMSR, %u by WRMSRNS, %u immediate",
		 count[MSR_FORM_BASE], count[MSR_FORM_NS], count[MSR_FORM_IMMEDIATE]);
}
