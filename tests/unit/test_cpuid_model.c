/* SPDX-License-Identifier: BSD-2-Clause */
/* CPU models: the table of features and its page in docs/, needs and dependants, the key `cpu`. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "conf_nic_mock.h"
#include "../../lib/format.c"
#include "../../lib/status.c"
#include "../../lib/string.c"
#include "cpuid_mock.h"
#include "../../loader/conf.c"
#include "../../loader/conf_cpu.c"
#include "../../loader/conf_keys.c"
#include "../../loader/conf_msr.c"
#include "../../loader/conf_net.c"
#include "../../loader/conf_network.c"
#include "../../loader/conf_text.c"
#include "../../loader/conf_vsock.c"

const struct msr_policy *msr_find_name(const char *name __unused, size_t len __unused)
{
	return NULL;
}

status_t block_find(const char *name, struct block_user *user)
{
	static struct block_disk disk = {.read_only = true};

	*user = (struct block_user){.disk = &disk, .sectors = 100};
	return name[0] == 'x' ? -S_NOENT : 0;
}

const struct boot_module *boot_module_find(const char *name __unused)
{
	static const struct boot_module module;

	return &module;
}

static struct vm_settings vms[2];
static char messages[1024];

static void keep_message(struct conf *conf __unused, const char *message)
{
	strcat(messages, message);
	strcat(messages, "\n");
}

/* The model that `cpu = @value` in line 3 makes; NULL: it is refused, and @messages says why. */
static const struct vm_cpu *model_of(const char *value)
{
	static char pool[1];
	struct conf conf = {
		.vms = vms, .vms_max = 2, .pool = pool, .pool_size = 1, .error = keep_message};
	char text[512];
	int len;

	messages[0] = 0;
	len = snprintf(text, sizeof(text), "[vm a]\nkernel = k\n%s%s\n", value ? "cpu = " : "",
		       value ? value : "");
	if (conf_parse(&conf, text, (size_t)len))
		return NULL;
	assert_int_equal(conf.vm_count, 1);
	return &vms[0].cpu;
}

static int setup(void **state __unused)
{
	mock_reset();
	return 0;
}

static void table(void **state __unused)
{
	for (enum guest_feature f = 1; f < GUEST_FEATURE_COUNT; f++) {
		const struct guest_feature_row *r = &guest_features[f];

		if (!r->name || strlen(r->name) > TYPO_MAX || r->bit > 31)
			fail_msg("row %u is wrong", f);
		assert_int_equal(cpu_feature_find(r->name, strlen(r->name)), f);
		assert_true(cpu_feature_needs(f, f));
		for (enum guest_feature g = 1; g < f; g++) {
			const struct guest_feature_row *o = &guest_features[g];

			if (o->leaf == r->leaf && o->subleaf == r->subleaf && o->reg == r->reg &&
			    o->bit == r->bit)
				fail_msg("%s and %s have the same bit", r->name, o->name);
			/* No circles. */
			assert_false(cpu_feature_needs(f, g) && cpu_feature_needs(g, f));
		}
		for (unsigned i = 0; i < FEATURE_NEEDS; i++) {
			const struct guest_feature_row *need = &guest_features[r->needs[i]];

			/* What is part of every model need not be said; a base has its needs. */
			if (r->needs[i] && (need->flags & GF_FIXED))
				fail_msg("%s needs %s, which is everywhere", r->name, need->name);
			if (r->needs[i] && (r->flags & GF_BASE) && !(need->flags & GF_BASE))
				fail_msg("%s of the baseline needs %s", r->name, need->name);
		}
	}
	assert_int_equal(cpu_feature_find("", 0), GUEST_none);
	assert_int_equal(cpu_feature_find("avx2x", 4), GUEST_avx2);
	assert_int_equal(cpu_feature_find("avx", 2), GUEST_none);
	assert_int_equal(cpu_feature_find("vmx", 3), GUEST_none);
}

static void line_of(char *line, size_t size, const struct guest_feature_row *r)
{
	static const char *const regs[] = {"EAX", "EBX", "ECX", "EDX"};
	size_t n = 0;

	n += format(line + n, size - n, r->leaf > 0xff ? "| `%s` | %08X" : "| `%s` | %u", r->name,
		    r->leaf);
	if (r->leaf == 0xd)
		n = format(line, size, "| `%s` | D", r->name);
	if (r->subleaf)
		n += format(line + n, size - n, ".%u", r->subleaf);
	n += format(line + n, size - n, " %s[%u] | ", regs[r->reg], r->bit);
	for (unsigned i = 0; i < FEATURE_NEEDS && r->needs[i]; i++)
		n += format(line + n, size - n, "%s`%s`", i ? ", " : "",
			    guest_features[r->needs[i]].name);
	format(line + n, size - n, "%s%s%s%s%s|\n", n && line[n - 1] == '`' ? " | " : "| ",
	       r->flags & GF_BASE ? "baseline" : "", r->flags & GF_FIXED ? ", every model" : "",
	       r->flags & GF_FACT ? "every model, as the CPU has it" : "",
	       r->flags & GF_OWN		? ", by Socle "
	       : r->flags & (GF_BASE | GF_FACT) ? " "
						: "");
}

/* docs/cpuid.md has the table, line by line, and no further features. */
static void documented(void **state __unused)
{
	static char doc[64 << 10];
	FILE *file = fopen("docs/cpuid.md", "r");
	const char *at = doc;
	unsigned missing = 0, rows = 0;

	assert_non_null(file);
	doc[fread(doc, 1, sizeof(doc) - 1, file)] = 0;
	fclose(file);
	for (enum guest_feature f = 1; f < GUEST_FEATURE_COUNT; f++) {
		char line[160] = "";

		line_of(line, sizeof(line), &guest_features[f]);
		if (!strstr(doc, line)) {
			printf("%s", line);
			missing++;
		}
	}
	if (missing)
		fail_msg("docs/cpuid.md lacks these %u lines", missing);
	while ((at = strstr(at, "\n| `"))) {
		at++;
		rows++;
	}
	assert_int_equal(rows, GUEST_FEATURE_COUNT - 1);
}

static bool is_one_of(const char *name, const char *list)
{
	char word[64];

	snprintf(word, sizeof(word), " %s ", name);
	return strstr(list, word);
}

/* x86-64-v2, what every CPU with 64 bits has, and what Socle provides. */
#define BASELINE                                                                             \
	" fpu de pse tsc msr pae cx8 apic sep mtrr pge cmov pat pse36 clflush mmx fxsr sse " \
	"sse2 pni ssse3 cx16 sse4_1 sse4_2 x2apic popcnt tsc_deadline_timer hypervisor "     \
	"tsc_adjust fdp_excptn_only zero_fcs_fds lahf_lm syscall nx lm "

static void is_exactly(const struct vm_cpu *m, const char *list)
{
	assert_non_null(m);
	for (enum guest_feature f = 1; f < GUEST_FEATURE_COUNT; f++)
		if (cpu_model_has(m, f) != is_one_of(guest_features[f].name, list))
			fail_msg("%s: %d", guest_features[f].name, cpu_model_has(m, f));
	assert_false(cpu_model_has(m, GUEST_none));
}

static void baseline(void **state __unused)
{
	is_exactly(model_of("baseline"), BASELINE);
	/* The needs come along. */
	is_exactly(model_of("baseline +avx2"), BASELINE "xsave avx avx2 ");
	is_exactly(model_of("baseline +avx512_vnni +vaes -popcnt"),
		   " fpu de pse tsc msr pae cx8 apic sep mtrr pge cmov pat pse36 clflush mmx "
		   "fxsr sse sse2 pni ssse3 cx16 sse4_1 sse4_2 x2apic tsc_deadline_timer "
		   "hypervisor tsc_adjust fdp_excptn_only zero_fcs_fds lahf_lm syscall nx lm "
		   "xsave avx avx2 avx512f avx512_vnni aes vaes ");
	/* Facts are the machine's. */
	host_lacks(GUEST_zero_fcs_fds);
	assert_false(cpu_model_has(model_of("baseline"), GUEST_zero_fcs_fds));
}

/* What goes with a feature that is taken away; all else stays. */
static void dependants(void **state __unused)
{
	static const struct {
		const char *word, *gone;
	} cases[] = {
		{"-avx512f", " avx512f avx512dq avx512ifma avx512pf avx512er avx512cd avx512bw "
			     "avx512vl avx512vbmi avx512_vbmi2 avx512_vnni avx512_bitalg "
			     "avx512_vpopcntdq avx512_4vnniw avx512_4fmaps avx512_vp2intersect "},
		{"-avx2", " avx2 avx512f avx512dq avx512ifma avx512pf avx512er avx512cd avx512bw "
			  "avx512vl avx512vbmi avx512_vbmi2 avx512_vnni avx512_bitalg "
			  "avx512_vpopcntdq avx512_4vnniw avx512_4fmaps avx512_vp2intersect "},
		{"-xsave", " xsave xsaveopt xsavec xsaves xgetbv1 pku avx fma f16c avx2 vaes vpclmulqdq xop "
			   "fma4 avx512f avx512dq avx512ifma avx512pf avx512er avx512cd avx512bw "
			   "avx512vl avx512vbmi avx512_vbmi2 avx512_vnni avx512_bitalg "
			   "avx512_vpopcntdq avx512_4vnniw avx512_4fmaps avx512_vp2intersect "
			   "shstk ibt "},
		{"-xsaves", " xsaves shstk ibt "},
		{"-aes", " aes vaes "},
		{"-la57", " la57 "},
		{"-ssse3", " ssse3 sse4_1 sse4_2 "},
		{"-pni", " pni ssse3 sse4_1 sse4_2 sse4a "},
		{"-perfctr_core", " perfctr_core perfmon_v2 "},
		{"-xsaveopt -3dnow", " xsaveopt 3dnow 3dnowext "},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		char value[64];
		const struct vm_cpu *m;

		snprintf(value, sizeof(value), "host %s", cases[i].word);
		m = model_of(value);
		assert_non_null(m);
		for (enum guest_feature f = 1; f < GUEST_FEATURE_COUNT; f++)
			if (cpu_model_has(m, f) == is_one_of(guest_features[f].name, cases[i].gone))
				fail_msg("%s: %s", value, guest_features[f].name);
	}
}

/* The machine's features, less those whose needs it lacks, or whose state it cannot save. */
static void host(void **state __unused)
{
	const struct vm_cpu *m = model_of("host");
	struct vm_cpu kept = *m;

	for (enum guest_feature f = 1; f < GUEST_FEATURE_COUNT; f++)
		assert_true(cpu_model_has(m, f));
	for (unsigned i = 0; i < VM_CPU_WORDS; i++)
		assert_int_equal(m->feature[i] >> 63 & (i == VM_CPU_WORDS - 1), 0);
	/* It is the default. */
	assert_memory_equal(model_of(NULL), &kept, sizeof(kept));
	host_lacks(GUEST_avx);
	m = model_of("host");
	assert_false(cpu_model_has(m, GUEST_avx2) || cpu_model_has(m, GUEST_avx512bw));
	assert_true(cpu_model_has(m, GUEST_xsave));
	mock_reset();
	host_xcr0 = XCR0_X87 | XCR0_SSE;
	assert_false(cpu_model_has(model_of("host"), GUEST_avx));
	/* State of unknown size. */
	mock_reset();
	host_no_size = 9;
	assert_false(cpu_model_has(model_of("host"), GUEST_pku));
	assert_true(cpu_model_has(model_of("host"), GUEST_avx512f));
	mock_reset();
	cpu_model_withhold(GUEST_rdtscp);
	assert_false(cpu_model_has(model_of("host"), GUEST_rdtscp));
	assert_true(cpu_model_has(model_of("host"), GUEST_invpcid));
	/* What has a fault: not by default, with all that needs it, but on request. */
	mock_reset();
	cpu_model_only_on_request(GUEST_xsaves);
	m = model_of("host");
	assert_false(cpu_model_has(m, GUEST_xsaves) || cpu_model_has(m, GUEST_shstk));
	assert_true(cpu_model_has(m, GUEST_xsavec));
	kept = *m;
	assert_memory_equal(model_of(NULL), &kept, sizeof(kept));
	m = model_of("host +shstk");
	assert_true(cpu_model_has(m, GUEST_xsaves) && cpu_model_has(m, GUEST_shstk));
	assert_false(cpu_model_has(m, GUEST_ibt));
	m = model_of("baseline +xsaves");
	assert_true(cpu_model_has(m, GUEST_xsaves));
	/* Leaves beyond the highest, which repeat another one. */
	mock_reset();
	max_basic = 4;
	m = model_of("host");
	assert_false(cpu_model_has(m, GUEST_smep) || cpu_model_has(m, GUEST_avx));
	assert_true(cpu_model_has(m, GUEST_tsc_adjust) && cpu_model_has(m, GUEST_popcnt));
	mock_reset();
	cpu_info.vendor = CPU_VENDOR_INTEL;
	assert_false(cpu_model_has(model_of("host"), GUEST_topoext));
}

/* By number, as CPUID and CR4 are in the manual (SDM vol. 2, CPUID; vol. 3, 2.5). */
static void control_register_4(void **state __unused)
{
	static const struct {
		uint64_t cr4;
		const char *feature;
	} rules[] = {
		{BIT(0) | BIT(1), "vme"}, {BIT(2), "tsc"},	{BIT(3), "de"},
		{BIT(4), "pse"},	  {BIT(5), "pae"},	{BIT(7), "pge"},
		{BIT(9), "fxsr"},	  {BIT(10), "sse"},	{BIT(11), "umip"},
		{BIT(12), "la57"},	  {BIT(16), "fsgsbase"}, {BIT(18), "xsave"},
		{BIT(20), "smep"},	  {BIT(21), "smap"},	{BIT(22), "pku"},
		{BIT(23), "shstk"},	  {BIT(23), "ibt"},	{BIT(24), "pks"},
	};
	struct vm_cpu m = {0};
	uint64_t all = BIT(8); /* PCE, which no CPUID bit offers */

	assert_int_equal(cpu_model_cr4(&m), all);
	for (unsigned i = 0; i < ARRAY_SIZE(rules); i++) {
		m = (struct vm_cpu){0};
		include_feature(&m, cpu_feature_find(rules[i].feature, strlen(rules[i].feature)),
				true);
		assert_int_equal(cpu_model_cr4(&m), BIT(8) | rules[i].cr4);
		all |= rules[i].cr4;
	}
	cpu_model_host(&m);
	assert_int_equal(cpu_model_cr4(&m), all);
	cpu_model_baseline(&m);
	assert_int_equal(cpu_model_cr4(&m), 0x7bc);
}

static void wrong_values(void **state __unused)
{
	static const struct {
		const char *value, *message;
	} cases[] = {
		{"qemu64", "\"cpu\" is \"qemu64\", it must be host or baseline, then +FEATURE or "
			   "-FEATURE as often as you like"},
		{"+avx", "\"cpu\" is \"+avx\", it must be host or baseline, then +FEATURE or "
			 "-FEATURE as often as you like"},
		{"host avx", "\"cpu\" is \"host avx\", it must be host or baseline, then +FEATURE "
			     "or -FEATURE as often as you like"},
		{"host -", "\"cpu\" is \"host -\", it must be host or baseline, then +FEATURE or "
			   "-FEATURE as often as you like"},
		{"host - avx", "\"cpu\" is \"host - avx\", it must be host or baseline, then "
			       "+FEATURE or -FEATURE as often as you like"},
		{"host -avx22", "Socle offers no CPU feature \"avx22\", did you mean \"avx2\"?"},
		{"host +AVX2", "Socle offers no CPU feature \"AVX2\", docs/cpuid.md lists those "
			       "there are"},
		{"host +virtualization", "Socle offers no CPU feature \"virtualization\", "
					 "docs/cpuid.md lists those there are"},
		{"host -avx2 +avx2", "CPU feature \"avx2\" is there twice, keep one of them"},
		{"host +gfni", "this machine can give no guest \"gfni\", leave \"+gfni\" out"},
		{"baseline +gfni", "this machine can give no guest \"gfni\", leave \"+gfni\" out"},
		{"baseline +rdseed", "this machine can give no guest \"rdseed\", leave "
				     "\"+rdseed\" out"},
		{"host -lm", "\"lm\" is part of every model, leave \"-lm\" out"},
		{"host -x2apic", "\"x2apic\" is part of every model, leave \"-x2apic\" out"},
		{"host -zero_fcs_fds", "\"zero_fcs_fds\" is part of every model, leave "
				       "\"-zero_fcs_fds\" out"},
		{"host -xsave +avx2", "\"+avx2\" needs \"xsave\", which \"-xsave\" takes away, "
				      "leave one out"},
		{"baseline +avx512bw -avx", "\"+avx512bw\" needs \"avx\", which \"-avx\" takes "
					    "away, leave one out"},
	};

	host_lacks(GUEST_gfni);
	cpu_model_withhold(GUEST_rdseed);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		char message[CONF_MESSAGE_MAX];

		assert_null(model_of(cases[i].value));
		snprintf(message, sizeof(message), "socle.conf:3: %s\n", cases[i].message);
		assert_string_equal(messages, message);
	}
	host_lacks(GUEST_sse4_2);
	host_lacks(GUEST_cx16);
	assert_null(model_of("baseline -cx16"));
	assert_string_equal(messages, "socle.conf:3: this machine lacks cx16, sse4_2 of "
				      "\"baseline\", write \"cpu = host\"\n");
	assert_non_null(model_of("host  -avx\t+movbe"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(table, setup),
		cmocka_unit_test_setup(documented, setup),
		cmocka_unit_test_setup(baseline, setup),
		cmocka_unit_test_setup(dependants, setup),
		cmocka_unit_test_setup(host, setup),
		cmocka_unit_test_setup(control_register_4, setup),
		cmocka_unit_test_setup(wrong_values, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
