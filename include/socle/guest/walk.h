/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a guest's own page tables, and its memory by linear address. */
#ifndef SOCLE_GUEST_WALK_H
#define SOCLE_GUEST_WALK_H

#include "socle/guest/emulate.h"
#include "socle/guest/vcpu.h"
#include "socle/string.h"

/*
 * Translates linear address @la for an access (mask of enum emul_access) as the CPU would in the
 * vCPU's mode (SDM vol. 3, chapter 4; APM vol. 2, chapter 5), setting accessed and dirty bits.
 * Returns EMUL_OK with *@gpa, EMUL_EXCEPTION with @x filled (#PF), EMUL_FATAL when a table lies
 * outside the guest's memory, or, with EMUL_WRITE in @access, EMUL_RETRY: other vCPUs change the
 * tables all the time, so let this one try again. X86_CR, X86_RFLAGS and X86_SEG must be loaded.
 */
enum emul_status x86_walk(struct x86_vcpu *v, uint64_t la, uint32_t access, uint64_t *gpa,
			  struct x86_exception *x);

/*
 * As x86_walk(), and notes the entries in @trail. False if the address cannot be had, or the mode
 * has entries or levels that a trail has no room for.
 */
bool x86_walk_trail(struct x86_vcpu *v, uint64_t la, uint32_t access, uint64_t *gpa,
		    struct walk_trail *trail);

/* True while the entries of @trail are what they were. */
static __always_inline bool walk_trail_holds(const struct walk_trail *t)
{
	/* Unrolled by hand, as this is in the path of each access to a device. */
	return !((READ_ONCE(*t->entry[0]) ^ t->value[0]) | (READ_ONCE(*t->entry[1]) ^ t->value[1]) |
		 (READ_ONCE(*t->entry[2]) ^ t->value[2]) | (READ_ONCE(*t->entry[3]) ^ t->value[3]) |
		 (READ_ONCE(*t->entry[4]) ^ t->value[4]));
}

/*
 * The instruction at linear address @la. NULL if its bytes cannot be had the short way, or the
 * decoder refuses them: then x86_decode() tells why. Valid until the next call. These three are for
 * what follows: the first opens a window to the page, the second decodes the bytes at @p, the third
 * looks for code that is not of 64 bits in a window of the present paging mode.
 */
const struct insn *x86_decode_far(struct x86_vcpu *v, uint64_t la, enum insn_mode mode);
const struct insn *x86_decode_anew(struct x86_vcpu *v, uint64_t la, enum insn_mode mode,
				   const uint8_t *p);
const struct insn *x86_decode_legacy(struct x86_vcpu *v, uint64_t la, enum insn_mode mode);

/* The same from @count bytes at @bytes, which the CPU has fetched: no walk is needed. */
const struct insn *x86_decode_given(struct x86_vcpu *v, uint64_t la, enum insn_mode mode,
				    const uint8_t *bytes, unsigned count);

/* The same out of the decode cache, if there is a window with @key and the bytes are the same. */
static __always_inline const struct insn *x86_decode_near(struct x86_vcpu *v, uint64_t la,
							  uint64_t key, enum insn_mode mode)
{
	struct decode_entry *e = &v->decode[la % DECODE_CACHE_SIZE];
	const struct fetch_window *f = fetch_window(v, la);
	uint64_t offset = la - f->page, bytes[2];

	if (unlikely(offset > PAGE_SIZE - FETCH_MAX || f->cr3 != key ||
		     !walk_trail_holds(&f->trail)))
		return x86_decode_far(v, la, mode);
	memcpy(bytes, f->host + offset, sizeof(bytes));
	if (unlikely(e->la != la || e->mode != mode ||
		     (((bytes[0] ^ e->bytes[0]) & e->mask[0]) |
		      ((bytes[1] ^ e->bytes[1]) & e->mask[1]))))
		return x86_decode_anew(v, la, mode, f->host + offset);
	v->stats.decode_hits++;
	return &e->insn;
}

/* The same with the guest's CR3, all that there is to know about the paging of 64-bit code. */
static __always_inline const struct insn *x86_decode_fast(struct x86_vcpu *v, uint64_t la,
							  uint64_t cr3, enum insn_mode mode)
{
	if (unlikely(mode != INSN_MODE_64))
		return x86_decode_legacy(v, la, mode);
	return x86_decode_near(v, la, cr3, INSN_MODE_64);
}

/*
 * Decodes the instruction at the guest's RIP. EMUL_EXCEPTION fills @x; EMUL_UNSUPPORTED: the
 * decoder does not know it; EMUL_FATAL: not in the guest's memory.
 */
enum emul_status x86_decode(struct x86_vcpu *v, struct insn *insn, struct x86_exception *x);

/* Executes the instruction at RIP in software, devices included. Raises what it raises. */
void x86_emulate(struct x86_vcpu *v);

/*
 * As above, for an access of @size bytes to @port that the CPU has checked; if the instruction is
 * no such access any more, nothing happens and the guest executes what is there now.
 */
void x86_emulate_io(struct x86_vcpu *v, uint16_t port, unsigned size);

#endif
