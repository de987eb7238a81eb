/* SPDX-License-Identifier: BSD-2-Clause */
/* The command `policy msr`, and docs/msr.md: both have every row of the tree's whole MSR table. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "panic_mock.h"
#include "socle/cpu/features.h"
#include "../../lib/format.c"
#include "../../lib/string.c"
#include "../../console/policy.c"
#include "../../arch/x86/guest/msr.c"
#include "../../arch/x86/guest/msr_filter.c"
#include "../../arch/x86/guest/msr_model.c"

/* All files with rows; what their handlers call is never called here. */
#define rows	    table_rows
#define stored_read table_stored_read
#include "../../arch/x86/guest/msr_table.c"
#undef rows
#undef stored_read
#define rows pvclock_rows
#include "../../arch/x86/guest/pvclock.c"
#undef rows
#include "../../arch/x86/guest/pmu.c"
#include "../../arch/x86/guest/cet.c"
#include "../../arch/x86/guest/pks.c"
#include "../../arch/x86/guest/spec_ctrl.c"
#include "../../arch/x86/guest/debugctl.c"
#include "../../arch/x86/guest/xss.c"
#include "../../platform/lapic_msr.c"

struct cpu_info cpu_info;
struct mitigations mitigations;
const struct vendor *vendor;
uint64_t tsc_hz;

#define NEVER(type, name, args, ...)          \
	type name args                        \
	{                                     \
		panic("%s is called", #name); \
		return __VA_ARGS__;           \
	}
NEVER(uint64_t, x86_guest_tsc, (const struct x86_vcpu *v __unused), 0)
NEVER(uint64_t, time_now, (void), 0)
NEVER(uint64_t, time_wall, (void), 0)
NEVER(status_t, guest_read,
      (struct guest_mem * m __unused, uint64_t gpa __unused, void *to __unused, size_t n __unused),
      0)
NEVER(status_t, guest_write,
      (struct guest_mem * m __unused, uint64_t gpa __unused, const void *from __unused,
       size_t n __unused),
      0)
NEVER(void, context_set_xss, (struct x86_vcpu * x __unused, uint64_t xss_ __unused), )
const struct guest_feature_row guest_features[GUEST_FEATURE_COUNT] = {
	[GUEST_xsaves] = {.name = "xsaves"},
	[GUEST_perfctr_core] = {.name = "perfctr_core"},
	[GUEST_perfmon_v2] = {.name = "perfmon_v2"}};
NEVER(void, cpu_model_withhold, (enum guest_feature f __unused), )
NEVER(void, apic_open_pmi, (void), )
NEVER(void, interrupt_bind, (uint8_t vector __unused, void (*handler)(void) __unused), )
NEVER(void, vcpu_request, (struct vcpu * vcpu __unused, uint32_t requests __unused), )
NEVER(void, events_pmi, (struct x86_vcpu * x __unused), )
NEVER(void *, pages_alloc, (size_t size __unused, uint32_t owner __unused), NULL)
NEVER(void, lapic_reset, (struct lapic * l __unused), )
NEVER(void, lapic_page_publish, (struct lapic * l __unused), )
NEVER(uint32_t, lapic_read, (struct lapic * l __unused, uint32_t reg __unused), 0)
NEVER(void, lapic_write, (struct lapic * l __unused, uint32_t reg __unused, uint32_t v __unused), )
NEVER(void, lapic_write_icr, (struct lapic * l __unused, uint64_t v __unused), )
NEVER(void, lapic_self_ipi, (struct lapic * l __unused, uint8_t vector __unused), )
NEVER(void, lapic_timer_due, (struct lapic * l __unused), )
NEVER(void, lapic_timer_deadline, (struct lapic * l __unused, uint64_t tsc __unused), )

static bool has_rdtscp;

bool cpuid_guest_bit(const struct guest_cpuid *t __unused, uint32_t leaf, unsigned reg,
		     unsigned bit)
{
	return leaf != 0x80000001 || reg != REG_EDX || bit != 27 || has_rdtscp;
}

static struct guest_cpuid model;
static struct vm vm = {.settings = {.name = "a", .cpus = 1}};
static struct x86_vcpu v = {.base.vm = &vm};

struct vm *command_vm(const struct command_call *call)
{
	return strcmp(call->argv[0], "a") ? NULL : &vm;
}

static char answer[32768];
static size_t answered;

static void take(struct format_sink *sink __unused, char c)
{
	assert_true(answered < sizeof(answer) - 1);
	answer[answered++] = c;
	answer[answered] = '\0';
}

static const char *ask(const char *index)
{
	struct format_sink out = {take};
	struct command_call call = {.argc = index ? 2 : 1, .argv = {"a", index}, .out = &out};

	answered = 0;
	answer[0] = '\0';
	command_policy_msr.run(&call);
	return answer;
}

static int setup(void **state __unused)
{
	vm = (struct vm){.settings = {.name = "a", .cpus = 1}, .vcpu[0] = &v.base};
	memset(&model.model, 0xff, sizeof(model.model));
	v.cpuid = &model;
	has_rdtscp = true;
	msr_init();
	msr_create(&v);
	return 0;
}

/* Lines of the answer that begin with @start. */
static unsigned lines_with(const char *start)
{
	unsigned n = 0;

	for (const char *line = answer; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		n += !strncmp(line, start, strlen(start));
	}
	return n;
}

static void has_line(const char *line)
{
	if (lines_with(line) != 1)
		fail_msg("not once: %s\nin:\n%s", line, answer);
}

static void whole_table(void **state __unused)
{
	ask(NULL);
	has_line("INDEX                 NAME              READ        WRITE       VALID            "
		 "  "
		 "RESET              INIT   NEEDS\n");
	has_line("0xc0000081            star              direct      direct      -                "
		 "  "
		 "0x0                keeps  -\n");
	has_line("0xc0000103            tsc_aux           direct      direct      -                "
		 "  "
		 "0x0                keeps  80000001.edx.27\n");
	has_line("0x200-0x20f           mtrr_variable     emulated    emulated    "
		 "0xffffffffffffffff -                  keeps  -\n");
	has_line("0xfe                  mtrrcap           constant    rejected    -                "
		 "  "
		 "0x508              keeps  -\n");
	has_line("0x2ff                 mtrr_def_type     emulated    emulated    0xcff            "
		 "  "
		 "0xc06              keeps  -\n");
	has_line("0x800-0x83f           x2apic            emulated    emulated    "
		 "0xffffffffffffffff -                  resets 1.ecx.21\n");
	/* A line for each row, in order. */
	assert_int_equal(lines_with("0x"), msr_policy_count());
	assert_true(strstr(answer, "0x8b ") < strstr(answer, "0xfe "));
	assert_true(strstr(answer, "0xfe ") < strstr(answer, "0x4b564d00 "));
	assert_true(strstr(answer, "0x4b564d01 ") < strstr(answer, "0xc0000080 "));
}

static void filtered_and_unsupported(void **state __unused)
{
	static const struct vm_msr_range lines[] = {
		{0x202, 0x203, VM_MSR_READ | VM_MSR_WRITE, false},
		{0x203, 0x203, VM_MSR_READ, true},
		{0xc0000081, 0xc0000082, VM_MSR_WRITE, false},
	};

	has_rdtscp = false;
	memcpy(vm.settings.msr.range, lines, sizeof(lines));
	vm.settings.msr.count = ARRAY_SIZE(lines);
	msr_create(&v);
	ask(NULL);
	has_line("0x200-0x201           mtrr_variable     emulated    emulated    ");
	has_line("0x202                 mtrr_variable     filtered    filtered    ");
	has_line("0x203                 mtrr_variable     emulated    filtered    ");
	has_line("0x204-0x20f           mtrr_variable     emulated    emulated    ");
	has_line("0xc0000081            star              direct      filtered    -");
	has_line("0xc0000082            lstar             direct      filtered    -");
	has_line("0xc0000083            cstar             direct      direct      -");
	has_line("0xc0000103            tsc_aux           unsupported unsupported -                "
		 "  "
		 "0x0                keeps  80000001.edx.27\n");
	assert_int_equal(lines_with("0x"), msr_policy_count() + 3);
}

static void one_register(void **state __unused)
{
	ask("0x20f");
	has_line("0x20f                 mtrr_variable     emulated    emulated    ");
	assert_int_equal(lines_with("0x"), 1);
	assert_string_equal(strchr(ask("3221225600"), '\n') + 1, /* 0xc0000080 */
			    "0xc0000080            efer              emulated    emulated    "
			    "0xffffffffffffffff -                  resets -\n");
	assert_string_equal(strchr(ask("0x210"), '\n') + 1,
			    "0x210 is unsupported for every guest\n");
	assert_string_equal(ask("star"), "bad MSR \"star\", use a number such as 0xc0000080\n");
	assert_string_equal(ask("0x100000000"),
			    "bad MSR \"0x100000000\", use a number such as 0xc0000080\n");
}

static const char *valid_text(const struct msr_policy *p, char *buf, size_t size)
{
	if (p->write != MSR_EMULATED && p->write != MSR_STORED)
		return "-";
	if (p->valid == UINT64_MAX)
		return "all";
	snprintf(buf, size, "`0x%llx`", (unsigned long long)p->valid);
	return buf;
}

static const char *needs_text(const struct msr_policy *p, char *buf, size_t size)
{
	static const char *const names[] = {"eax", "ebx", "ecx", "edx"};

	if (p->needs.counters)
		return "`pmu`";
	if (!p->needs.used)
		return "-";
	if (p->needs.feature)
		snprintf(buf, size, "`%s`", guest_features[p->needs.feature].name);
	else
		snprintf(buf, size, "`%x.%s.%u`", p->needs.leaf, names[p->needs.reg], p->needs.bit);
	return buf;
}

/* The row of the document for @p, up to its description. */
static void document_row(const struct msr_policy *p, char *buf, size_t size)
{
	static const char *const words[] = {"rejected", "direct",   "stored",
					    "emulated", "constant", "recording",
					    "counter", "switched"};
	char index[32], reset[32] = "-", valid[32], needs[32];

	snprintf(index, sizeof(index), p->count > 1 ? "0x%x-0x%x" : "0x%x", p->index,
		 p->index + p->count - 1);
	if ((p->read != MSR_EMULATED && p->read != MSR_WHILE_LBR) || p->reset)
		snprintf(reset, sizeof(reset), "`0x%llx`", (unsigned long long)p->reset);
	snprintf(buf, size, "\n| `%s` | `%s` | %s | %s | %s | %s | %s | %s | ", index, p->name,
		 words[p->read], words[p->write], valid_text(p, valid, sizeof(valid)), reset,
		 p->at_init == MSR_INIT_RESETS ? "resets" : "keeps",
		 needs_text(p, needs, sizeof(needs)));
}

static void documented(void **state __unused)
{
	static char text[65536];
	FILE *file = fopen("docs/msr.md", "r");
	unsigned missing = 0, there = 0;

	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	for (unsigned n = 0; n < msr_policy_count(); n++) {
		char row_text[256];

		document_row(msr_policy(n), row_text, sizeof(row_text));
		if (!strstr(text, row_text)) {
			print_error("docs/msr.md lacks:%s\n", row_text);
			missing++;
		}
	}
	assert_int_equal(missing, 0);
	/* And none that is not in the table. */
	for (const char *p = text; (p = strstr(p, "\n| `0x")); p++)
		there++;
	assert_int_equal(there, msr_policy_count());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(whole_table, setup),
		cmocka_unit_test_setup(filtered_and_unsupported, setup),
		cmocka_unit_test_setup(one_register, setup),
		cmocka_unit_test_setup(documented, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
