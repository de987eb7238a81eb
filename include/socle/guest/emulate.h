/* SPDX-License-Identifier: BSD-2-Clause */
/* Instruction emulator: executes one decoded instruction on a guest's state and memory. */
#ifndef SOCLE_GUEST_EMULATE_H
#define SOCLE_GUEST_EMULATE_H

#include "socle/base.h"
#include "socle/guest/insn.h"
#include "socle/guest/state.h"

#define EMUL_REP_MAX 1024 /* iterations of one REP per emulate(), so that events get their turn */

enum emul_status {
	EMUL_OK,	  /* the instruction is done: RIP advanced, RF cleared */
	EMUL_AGAIN,	  /* REP: some iterations done, RIP unchanged; look for events, come back */
	EMUL_EXCEPTION,	  /* raise emul.exception; nothing changed but REP progress */
	EMUL_RETRY,	  /* page tables change under it; nothing changed but REP progress */
	EMUL_UNSUPPORTED, /* this instruction is not for the emulator; nothing changed */
	EMUL_FATAL,	  /* memory or a device failed in a way that no guest can handle */
};

/* Kind of a memory access; 0 is a data read. */
enum emul_access {
	EMUL_WRITE = BIT(0),
	EMUL_FETCH = BIT(1), /* instruction bytes */
	EMUL_USER = BIT(2),  /* at CPL 3; otherwise a supervisor access */
};

struct emul;

/*
 * What the emulator needs from its caller; none may be NULL. Each returns EMUL_OK, EMUL_FATAL,
 * EMUL_EXCEPTION with emul->exception filled (#PF), or (write and probe only) EMUL_RETRY to have
 * the guest try again, and has had no effect unless it returns EMUL_OK. @la is a linear address,
 * with [la, la + size) inside one 4 KiB page; @size is 1 to 8 bytes and not always a power of two
 * (parts of an access that crosses a page); values are little-endian in the low @size bytes.
 * @access is a mask of enum emul_access.
 */
struct emul_ops {
	enum emul_status (*read)(struct emul *emul, uint64_t la, unsigned size, uint32_t access,
				 uint64_t *value);
	enum emul_status (*write)(struct emul *emul, uint64_t la, unsigned size, uint32_t access,
				  uint64_t value);
	/* Would this write succeed? No side effects but accessed and dirty bits. */
	enum emul_status (*probe)(struct emul *emul, uint64_t la, unsigned size, uint32_t access);
	/* Ports: @size is 1, 2 or 4. */
	enum emul_status (*in)(struct emul *emul, uint16_t port, unsigned size, uint32_t *value);
	enum emul_status (*out)(struct emul *emul, uint16_t port, unsigned size, uint32_t value);
};

/* One emulation. The caller embeds it beside what its operations need (container_of()). */
struct emul {
	const struct emul_ops *ops; /* set by the caller */
	struct x86_state *state;    /* set by the caller; changed only as emul_status says */
	bool io_checked;	    /* set by the caller: IOPL and the TSS bitmap were checked */
	bool shadow_ends;	    /* result: the interrupt shadow of the last one is over */
	bool single_step;	    /* result: TF was set: raise #DB with DR6.BS now */
	struct x86_exception exception; /* result, with EMUL_EXCEPTION */
};

/*
 * Executes @insn at state->rip; it must have been decoded in the mode of emul->state. Does
 * segmentation, limits and canonical checks itself; paging is the caller's (emul->ops). Checks a
 * write's pages before the read of a read-modify-write, before a port is read and before the first
 * byte of an access over two pages is written, so that a fault leaves no half-done work.
 *
 * Not done: alignment checks (#AC) and data breakpoints, which the CPU checks before it exits; LOCK
 * is accepted but two CPUs' accesses may interleave, which only matters for RAM.
 */
enum emul_status __must_check emulate(struct emul *emul, const struct insn *insn);

/*
 * Fetches and decodes the instruction at CS:RIP, never reading past the page where it ends.
 * EMUL_EXCEPTION also for #UD and #GP of the encoding; EMUL_UNSUPPORTED if the decoder does not
 * know it.
 */
enum emul_status __must_check emul_fetch(struct emul *emul, struct insn *insn);

/*
 * Linear address of @insn's memory operand, as an access of @size bytes (1 to 16). Returns
 * EMUL_EXCEPTION for a segment, limit or canonical violation.
 */
enum emul_status __must_check emul_operand_address(struct emul *emul, const struct insn *insn,
						   unsigned size, uint32_t access, uint64_t *la);

#endif
