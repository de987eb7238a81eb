/* SPDX-License-Identifier: BSD-2-Clause */
/* The administrator's filter of a guest's MSRs: what `msr =` in socle.conf denies. */
#include "socle/guest/msr.h"

bool msr_filter_denies(const struct vm_msr_filter *filter, uint32_t index, uint8_t access)
{
	if (index >= MSR_X2APIC_FIRST && index <= MSR_X2APIC_LAST)
		return false;
	for (unsigned i = filter->count; i--;) {
		const struct vm_msr_range *r = &filter->range[i];

		if (index >= r->first && index <= r->last && (r->access & access))
			return !r->allow;
	}
	return filter->deny;
}
