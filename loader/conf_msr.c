/* SPDX-License-Identifier: BSD-2-Clause */
/* The key `msr` of socle.conf: which MSRs a guest is denied, or allowed after all. */
#include "conf_keys.h"
#include "socle/guest/msr.h"
#include "socle/string.h"

static bool parse_index(struct slice text, uint32_t *index)
{
	uint64_t n;

	if (!parse_u64(text.s, text.len, &n) || n > UINT32_MAX)
		return false;
	*index = (uint32_t)n;
	return true;
}

static bool parse_direction(struct slice word, uint8_t *access)
{
	if (slice_is(word, "read"))
		*access = VM_MSR_READ;
	else if (slice_is(word, "write"))
		*access = VM_MSR_WRITE;
	else if (!word.len || slice_is(word, "read-write"))
		*access = VM_MSR_READ | VM_MSR_WRITE;
	else
		return false;
	return true;
}

/* "0x10" or "0x10-0x1f". */
static bool parse_numbers(struct slice text, struct vm_msr_range *range)
{
	struct slice first = slice_cut(&text, '-');

	if (!parse_index(first, &range->first))
		return false;
	range->last = range->first;
	if (!text.len)
		return true;
	return parse_index((struct slice){text.s + 1, text.len - 1}, &range->last) &&
	       range->first <= range->last;
}

static bool is_name(struct slice word)
{
	return word.len && (word.s[0] < '0' || word.s[0] > '9');
}

static void add_range(struct conf *conf, const struct vm_msr_range *range)
{
	struct vm_msr_filter *filter = &conf->vm->msr;

	if (range->first <= MSR_X2APIC_LAST && range->last >= MSR_X2APIC_FIRST)
		conf_error(conf, "\"msr\": the x2APIC's registers 0x800-0x8ff are never filtered, "
				 "leave them out");
	else if (filter->count == VM_MSR_RANGES)
		conf_error(conf, "too many lines with \"msr\", at most %d are possible",
			   VM_MSR_RANGES);
	else
		filter->range[filter->count++] = *range;
}

static bool set_default(struct conf *conf, struct slice word)
{
	conf->vm->msr.deny = slice_is(word, "deny");
	return conf->vm->msr.deny || slice_is(word, "allow");
}

bool conf_set_msr(struct conf *conf, struct slice value)
{
	struct slice action = slice_word(&value), registers;
	struct vm_msr_range range = {.allow = slice_is(action, "allow")};
	const struct msr_policy *row;

	if (slice_is(action, "default"))
		return set_default(conf, value);
	if (!range.allow && !slice_is(action, "deny"))
		return false;
	registers = slice_word(&value);
	if (!parse_direction(value, &range.access))
		return false;
	if (is_name(registers)) {
		row = msr_find_name(registers.s, registers.len);
		if (!row) {
			conf_error(conf,
				   "there is no MSR \"%.*s\", give its number, or a name that "
				   "\"policy msr\" shows",
				   SHOW(registers));
			return true;
		}
		range.first = row->index;
		range.last = row->index + row->count - 1;
	} else if (!parse_numbers(registers, &range)) {
		return false;
	}
	add_range(conf, &range);
	return true;
}

_Static_assert(MSR_X2APIC_FIRST == 0x800 && MSR_X2APIC_LAST == 0x8ff, "the text gives these");
