/* SPDX-License-Identifier: BSD-2-Clause */
/* The registers of last branch records that an Intel CPU has: data for lbr.c. */
#ifndef SOCLE_VMX_LBR_H
#define SOCLE_VMX_LBR_H

#include "socle/base.h"

/* A stack of records: register n of each kind is its index + n; 0: no registers of that kind. */
struct lbr_stack {
	uint8_t depth; /* number of records, at most */
	uint32_t from, to, info;
	uint32_t select, tos; /* one register each, or 0 */
	uint32_t depth_msr;   /* likewise: how many records are in use; others do not exist then */
};

/* The stack of an Intel CPU of this family and model, without architectural ones; NULL: unknown. */
const struct lbr_stack *lbr_stack_of_model(unsigned family, unsigned model);

#endif
