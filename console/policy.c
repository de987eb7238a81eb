/* SPDX-License-Identifier: BSD-2-Clause */
/* The command that shows what a guest's accesses to MSRs do: the table, its CPU model, its filter.
 */
#include "shell.h"
#include "socle/guest/cpuid_model.h"
#include "socle/guest/msr.h"
#include "socle/string.h"

#define COLUMNS "%-21s %-17s %-11s %-11s %-18s %-18s %-6s %s\n"

/* One line of the answer: registers of one row that behave alike. */
struct span {
	const struct msr_policy *row;
	uint32_t first, last;
	const char *read, *write; /* what accesses do */
};

/* Registers of row @n from @first on that behave as it does. */
static struct span span_at(const struct x86_vcpu *v, unsigned n, uint32_t first)
{
	const struct msr_policy *row = msr_policy(n);
	struct span s = {row, first, first, msr_behaviour(v, n, first, false),
			 msr_behaviour(v, n, first, true)};

	while (s.last < row->index + row->count - 1 &&
	       msr_behaviour(v, n, s.last + 1, false) == s.read &&
	       msr_behaviour(v, n, s.last + 1, true) == s.write)
		s.last++;
	return s;
}

static void print_span(struct format_sink *out, const struct span *s)
{
	static const char *const registers[] = {"eax", "ebx", "ecx", "edx"};
	const struct msr_policy *p = s->row;
	char index[24], valid[20] = "-", reset[20] = "-", needs[24] = "-";

	if (s->first == s->last)
		format(index, sizeof(index), "0x%x", s->first);
	else
		format(index, sizeof(index), "0x%x-0x%x", s->first, s->last);
	if (p->write == MSR_EMULATED || p->write == MSR_STORED)
		format(valid, sizeof(valid), "0x%llx", (unsigned long long)p->valid);
	/* Handlers may have the value elsewhere. */
	if (p->read != MSR_EMULATED || p->reset)
		format(reset, sizeof(reset), "0x%llx", (unsigned long long)p->reset);
	if (p->needs.counters)
		format(needs, sizeof(needs), "pmu");
	else if (p->needs.feature)
		format(needs, sizeof(needs), "%s", guest_features[p->needs.feature].name);
	else if (p->needs.used)
		format(needs, sizeof(needs), "%x.%s.%u", p->needs.leaf, registers[p->needs.reg & 3],
		       p->needs.bit);
	format_sink(out, COLUMNS, index, p->name, s->read, s->write, valid, reset,
		    p->at_init == MSR_INIT_RESETS ? "resets" : "keeps", needs);
}

/* The row with the lowest register from @from on; msr_policy_count(): none. */
static unsigned next_row(uint64_t from)
{
	unsigned best = msr_policy_count();

	for (unsigned n = 0; n < msr_policy_count(); n++)
		if (msr_policy(n)->index >= from &&
		    (best == msr_policy_count() || msr_policy(n)->index < msr_policy(best)->index))
			best = n;
	return best;
}

static void print_all(const struct command_call *call, const struct x86_vcpu *v)
{
	uint64_t from = 0;

	for (unsigned n; (n = next_row(from)) < msr_policy_count();) {
		const struct msr_policy *p = msr_policy(n);

		for (from = p->index; from < p->index + p->count;) {
			struct span s = span_at(v, n, (uint32_t)from);

			print_span(call->out, &s);
			from = (uint64_t)s.last + 1;
		}
	}
}

static void print_one(const struct command_call *call, const struct x86_vcpu *v, uint32_t index)
{
	for (unsigned n = 0; n < msr_policy_count(); n++) {
		const struct msr_policy *p = msr_policy(n);

		if (index - p->index < p->count) {
			struct span s = {p, index, index, msr_behaviour(v, n, index, false),
					 msr_behaviour(v, n, index, true)};

			print_span(call->out, &s);
			return;
		}
	}
	format_sink(call->out, "0x%x is unsupported for every guest\n", index);
}

static void policy_msr(const struct command_call *call)
{
	struct vm *vm = command_vm(call);
	const struct x86_vcpu *v;
	uint64_t index = 0;

	if (!vm)
		return;
	if (call->argc > 1 &&
	    (!parse_u64(call->argv[1], strlen(call->argv[1]), &index) || index > UINT32_MAX)) {
		format_sink(call->out, "bad MSR \"%s\", use a number such as 0xc0000080\n",
			    call->argv[1]);
		return;
	}
	/* The same for all of its vCPUs, and never changed. */
	v = x86_vcpu(vm->vcpu[0]);
	format_sink(call->out, COLUMNS, "INDEX", "NAME", "READ", "WRITE", "VALID", "RESET", "INIT",
		    "NEEDS");
	if (call->argc > 1)
		print_one(call, v, (uint32_t)index);
	else
		print_all(call, v);
}
CONSOLE_COMMAND(policy_msr, .name = "policy msr", .args = "NAME [INDEX]", .run = policy_msr,
		.help = "show what a guest's reads and writes of MSRs do");
