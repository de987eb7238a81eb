/* SPDX-License-Identifier: BSD-2-Clause */
/* Last branch records of guests: what the vendor's room offers, for the rooms without a vendor. */
#ifndef SOCLE_GUEST_LBR_H
#define SOCLE_GUEST_LBR_H

#include "socle/guest/msr.h"
#include "socle/status.h"

/*
 * What guests are offered, filled by the vendor's room on the boot CPU before any guest is made,
 * then read-only. All zeroes: nothing.
 */
struct lbr_offer {
	const char *text;	    /* for people: what, or why nothing; NULL: not probed */
	uint64_t debugctl;	    /* bits of DEBUGCTL that do something */
	uint64_t ignored;	    /* others that may be written, and read as 0 */
	uint64_t perf_capabilities; /* IA32_PERF_CAPABILITIES; 0: there is none */
	/* Is @index a register of the records, or of their control, here? NULL: none is. */
	bool (*has)(uint32_t index);
	/*
	 * Accesses to them that make an exit, as a guest's are direct only while it records.
	 * write: NULL where none can be written.
	 */
	enum msr_result (*read)(struct x86_vcpu *v, uint32_t index, uint64_t *value);
	enum msr_result (*write)(struct x86_vcpu *v, uint32_t index, uint64_t value);
};
extern struct lbr_offer lbr_offer;

/* Are last branch records offered? */
static inline bool lbr_offered(void)
{
	return lbr_offer.has;
}

#endif
