/* SPDX-License-Identifier: BSD-2-Clause */
/* The key `cpu` of socle.conf: host or baseline, with +FEATURE and -FEATURE. */
#include "conf_keys.h"
#include "socle/format.h"
#include "socle/guest/cpuid_model.h"
#include "socle/string.h"

/* What the words of one value ask for; their order means nothing. */
struct request {
	struct vm_cpu host;  /* what this machine can give */
	struct vm_cpu base;  /* what the model has */
	struct vm_cpu plus;  /* named with + */
	struct vm_cpu minus; /* named with - */
};

#define for_each_feature(f) for (enum guest_feature f = 1; (f) < GUEST_FEATURE_COUNT; (f)++)

static const char *name_of(enum guest_feature f)
{
	return guest_features[f].name;
}

static void unknown_feature(struct conf *conf, struct slice name)
{
	unsigned best = TYPO_DISTANCE - 1; /* many names are short, and alike */
	const char *nearest = NULL;

	for_each_feature(f)
	{
		unsigned distance = slice_distance(name, name_of(f));

		if (distance < best && distance < strlen(name_of(f))) {
			best = distance;
			nearest = name_of(f);
		}
	}
	if (nearest)
		conf_error(conf, "Socle offers no CPU feature \"%.*s\", did you mean \"%s\"?",
			   SHOW(name), nearest);
	else
		conf_error(
			conf,
			"Socle offers no CPU feature \"%.*s\", docs/cpuid.md lists those there are",
			SHOW(name));
}

/* Reads "+avx2" or "-avx2" into @r. False: it is wrong, and that was reported or is @bad_form. */
static bool take_word(struct conf *conf, struct request *r, struct slice word, bool *bad_form)
{
	struct slice name = {word.s + 1, word.len - 1};
	bool add = word.s[0] == '+';
	enum guest_feature f;

	*bad_form = !name.len || (!add && word.s[0] != '-');
	if (*bad_form)
		return false;
	f = cpu_feature_find(name.s, name.len);
	if (f == GUEST_none) {
		unknown_feature(conf, name);
		return false;
	}
	if (cpu_model_has(&r->plus, f) || cpu_model_has(&r->minus, f)) {
		conf_error(conf, "CPU feature \"%s\" is there twice, keep one of them", name_of(f));
		return false;
	}
	if (add && !cpu_model_has(&r->host, f)) {
		conf_error(conf, "this machine can give no guest \"%s\", leave \"+%s\" out",
			   name_of(f), name_of(f));
		return false;
	}
	if (!add && guest_features[f].flags & (GF_FIXED | GF_FACT)) {
		conf_error(conf, "\"%s\" is part of every model, leave \"-%s\" out", name_of(f),
			   name_of(f));
		return false;
	}
	(add ? &r->plus : &r->minus)->feature[f / 64] |= BIT(f % 64);
	return true;
}

/* The first feature of the baseline that this machine lacks is named; false if there is one. */
static bool machine_has_baseline(struct conf *conf, const struct request *r)
{
	char list[120];
	size_t used = 0;

	for_each_feature(f)
	{
		if (cpu_model_has(&r->host, f) || !cpu_model_has(&r->base, f))
			continue;
		if (used < sizeof(list))
			used += format(list + used, sizeof(list) - used, "%s%s", used ? ", " : "",
				       name_of(f));
	}
	if (!used)
		return true;
	conf_error(conf, "this machine lacks %s of \"baseline\", write \"cpu = host\"", list);
	return false;
}

/* Base, with what + adds and its needs, without what - takes away and its dependants. */
static void combine(struct conf *conf, const struct request *r)
{
	struct vm_cpu *m = &conf->vm->cpu;

	*m = r->base;
	for_each_feature(f) if (cpu_model_has(&r->plus, f)) cpu_model_add(m, f);
	for_each_feature(f) if (cpu_model_has(&r->minus, f)) cpu_model_drop(m, f);
	for_each_feature(f)
	{
		if (!cpu_model_has(&r->plus, f) || cpu_model_has(m, f))
			continue;
		for_each_feature(need)
		{
			if (!cpu_model_has(&r->minus, need) || !cpu_feature_needs(f, need))
				continue;
			conf_error(conf,
				   "\"+%s\" needs \"%s\", which \"-%s\" takes away, leave one out",
				   name_of(f), name_of(need), name_of(need));
			return;
		}
	}
}

bool conf_set_cpu(struct conf *conf, struct slice value)
{
	struct slice word = slice_word(&value);
	struct request r = {0};
	bool bad_form;

	cpu_model_host(&r.host);
	if (slice_is(word, "host"))
		cpu_model_default(&r.base);
	else if (slice_is(word, "baseline"))
		cpu_model_baseline(&r.base);
	else
		return false;
	if (!machine_has_baseline(conf, &r))
		return true;
	while (value.len) {
		word = slice_word(&value);
		if (!take_word(conf, &r, word, &bad_form))
			return !bad_form;
	}
	combine(conf, &r);
	return true;
}
