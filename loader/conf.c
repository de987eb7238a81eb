/* SPDX-License-Identifier: BSD-2-Clause */
/* The parser of socle.conf: sections and lines. */
#include "conf_keys.h"
#include "socle/format.h"
#include "socle/guest/cpuid_model.h"
#include "socle/string.h"

#define MEMORY_DEFAULT (256 * MiB)

/* Of the kind of section that is being parsed. */
struct keys {
	const struct conf_key *key;
	unsigned count;
};

static struct keys keys_of(const struct conf *conf)
{
	return conf->vm ? (struct keys){conf_keys, conf_key_count}
			: (struct keys){conf_network_keys, conf_network_key_count};
}

static void unknown_key(struct conf *conf, struct slice key, struct keys keys)
{
	unsigned best = TYPO_DISTANCE;
	const char *nearest = NULL;
	char list[160];
	size_t used = 0;

	for (size_t i = 0; i < keys.count; i++) {
		unsigned distance = slice_distance(key, keys.key[i].name);

		if (distance < best && distance < strlen(keys.key[i].name)) {
			best = distance;
			nearest = keys.key[i].name;
		}
	}
	if (nearest) {
		conf_error(conf, "unknown key \"%.*s\", did you mean \"%s\"?", SHOW(key), nearest);
		return;
	}
	for (size_t i = 0; i < keys.count && used < sizeof(list); i++)
		used += format(list + used, sizeof(list) - used, "%s%s", i ? ", " : "",
			       keys.key[i].name);
	conf_error(conf, "unknown key \"%.*s\", the keys are: %s", SHOW(key), list);
}

/* True if @value looks as if it ended in a comment, which is not possible. */
static bool has_comment(struct slice value)
{
	for (size_t i = 1; i < value.len; i++) {
		if (slice_space(value.s[i - 1]) && (value.s[i] == '#' || value.s[i] == ';'))
			return true;
	}
	return false;
}

static void parse_key(struct conf *conf, struct slice name, struct slice value)
{
	const struct keys keys = keys_of(conf);
	const struct conf_key *key = keys.key;
	uint32_t bit;

	while (key < keys.key + keys.count && !slice_is(name, key->name))
		key++;
	if (key == keys.key + keys.count) {
		unknown_key(conf, name, keys);
		return;
	}
	bit = 1u << (key - keys.key);
	if (conf->seen & bit && !key->repeatable) {
		conf_error(conf, "\"%s\" is there twice in [%s %s], keep one of them", key->name,
			   conf->vm ? "vm" : "network",
			   conf->vm ? conf->vm->name : conf->network->name);
		return;
	}
	conf->seen |= bit;
	if (!value.len && !key->may_be_empty)
		conf_error(conf, "\"%s\" has no value, it must be %s", key->name, key->expects);
	else if (!key->set(conf, value))
		conf_error(conf, "\"%s\" is \"%.*s\", it must be %s%s", key->name, SHOW(value),
			   key->expects,
			   has_comment(value) ? "; put a comment on a line of its own" : "");
}

/* Counters belong to a guest alone with its CPUs: see check_alone(), too. */
static void check_cpus_of_pmu(struct conf *conf, const struct vm_settings *vm)
{
	conf->line = vm->line;
	if (!vm->cpuset || vm->cpuset == UINT64_MAX)
		conf_error(
			conf,
			"[vm %s] with \"pmu = on\" needs CPUs of its own, add a \"cpuset\" of %u",
			vm->name, vm->cpus);
	else if (cpuset_count(vm->cpuset) < vm->cpus)
		conf_error(conf,
			   "[vm %s] with \"pmu = on\" and \"cpus = %u\" has a \"cpuset\" of %u, it "
			   "must be at least %u",
			   vm->name, vm->cpus, cpuset_count(vm->cpuset), vm->cpus);
}

/* What only the whole section shows. */
static void check_section(struct conf *conf, const struct vm_settings *vm)
{
	if (!vm->kernel[0]) {
		conf->line = vm->line;
		conf_error(conf, "[vm %s] has no kernel, add \"kernel = NAME\"", vm->name);
	}
	if (vm->cap > CAP_PER_CPU * vm->cpus) {
		conf->line = conf->cap_line;
		conf_error(conf, "\"cap\" is \"%u\", with \"cpus = %u\" it must be at most %u",
			   vm->cap, vm->cpus, CAP_PER_CPU * vm->cpus);
	}
	if (vm->pmu)
		check_cpus_of_pmu(conf, vm);
}

/* Ends the section being parsed: keeps its settings if all is well. */
static void end_section(struct conf *conf)
{
	const struct vm_settings *vm = conf->vm;
	const struct network_settings *network = conf->network;
	unsigned line = conf->line;

	conf->vm = NULL;
	conf->network = NULL;
	if (vm && !conf->broken)
		check_section(conf, vm);
	if (network && !conf->broken)
		conf_check_network(conf, network);
	conf->line = line;
	if (conf->broken)
		conf->pool_used = conf->pool_mark;
	conf->vm_count += vm && !conf->broken;
	conf->network_count += network && !conf->broken;
}

static bool good_name(struct slice name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.s[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (i && (c == '-' || c == '_' || c == '.'))))
			return false;
	}
	return name.len > 0 && name.len < VM_NAME_MAX;
}

static void begin_vm(struct conf *conf, struct slice name)
{
	struct vm_settings *vm;

	if (!good_name(name)) {
		conf_error(conf,
			   "bad VM name \"%.*s\", use 1 to %d letters, digits, \"-\", \"_\", \".\"",
			   SHOW(name), VM_NAME_MAX - 1);
		return;
	}
	for (unsigned i = 0; i < conf->vm_count; i++) {
		if (slice_is(name, conf->vms[i].name)) {
			conf_error(conf,
				   "there is a [vm %s] in line %u already, choose another name",
				   conf->vms[i].name, conf->vms[i].line);
			return;
		}
	}
	if (conf->vm_count == conf->vms_max) {
		conf_error(conf, "too many VMs, at most %u are possible", conf->vms_max);
		return;
	}
	vm = &conf->vms[conf->vm_count];
	memset(vm, 0, sizeof(*vm));
	slice_copy(vm->name, sizeof(vm->name), name);
	vm->memory = MEMORY_DEFAULT;
	vm->cpus = 1;
	cpu_model_default(&vm->cpu);
	vm->console = true;
	vm->autostart = true;
	vm->on_exit = VM_ON_EXIT_STOP;
	vm->weight = VM_WEIGHT;
	vm->line = conf->line;
	conf->vm = vm;
}

/* Begins the section whose header is @line, which starts with "[". */
static void begin_section(struct conf *conf, struct slice line)
{
	struct slice inside = {line.s + 1, line.len - 1};
	struct slice kind;

	end_section(conf);
	conf->skipping = true;
	conf->broken = false;
	conf->seen = 0;
	conf->pool_mark = conf->pool_used;
	if (!inside.len || inside.s[inside.len - 1] != ']') {
		conf_error(conf, "no \"]\" at the end of the line, write [vm NAME]");
		return;
	}
	inside.len--;
	inside = slice_trim(inside);
	kind = slice_word(&inside);
	conf->sections += slice_is(kind, "vm");
	if (slice_is(kind, "vm"))
		begin_vm(conf, inside);
	else if (slice_is(kind, "network"))
		conf_begin_network(conf, inside);
	else
		conf_error(conf, "unknown section \"%.*s\", write [vm NAME] or [network NAME]",
			   SHOW(kind));
	conf->skipping = !conf->vm && !conf->network;
}

static bool is_text(struct slice line)
{
	for (size_t i = 0; i < line.len; i++) {
		uint8_t c = (uint8_t)line.s[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static void parse_line(struct conf *conf, struct slice line)
{
	struct slice name, value;
	const char *equals;

	line = slice_trim(line);
	if (!line.len || line.s[0] == '#' || line.s[0] == ';')
		return;
	if (line.s[0] == '[') {
		begin_section(conf, line);
		return;
	}
	if (conf->skipping)
		return;
	if (!is_text(line)) {
		conf_error(conf, "a control character in the line, use plain text");
		return;
	}
	for (equals = line.s; equals < line.s + line.len && *equals != '=';)
		equals++;
	if (equals == line.s || equals == line.s + line.len) {
		conf_error(conf, "\"%.*s\" is no setting, write KEY = VALUE", SHOW(line));
		return;
	}
	name = slice_trim((struct slice){line.s, (size_t)(equals - line.s)});
	value = slice_trim((struct slice){equals + 1, (size_t)(line.s + line.len - equals - 1)});
	if (!conf->vm && !conf->network)
		conf_error(conf, "\"%.*s\" is outside of a section, put [vm NAME] before it",
			   SHOW(name));
	else
		parse_key(conf, name, value);
}

/* Who else may run on the CPUs of @vm; NULL: nobody. */
static const struct vm_settings *neighbour(const struct conf *conf, const struct vm_settings *vm)
{
	for (unsigned i = 0; i < conf->vm_count; i++) {
		const struct vm_settings *other = &conf->vms[i];

		if (other != vm && (!other->cpuset || (other->cpuset & vm->cpuset)))
			return other;
	}
	return NULL;
}

/* Leaves out guests with counters that are not alone on their CPUs. */
static void check_all_alone(struct conf *conf)
{
	for (unsigned i = 0; i < conf->vm_count;) {
		struct vm_settings *vm = &conf->vms[i];
		const struct vm_settings *other = vm->pmu ? neighbour(conf, vm) : NULL;

		if (!other) {
			i++;
			continue;
		}
		conf->line = vm->line;
		conf_error(conf,
			   "[vm %s] with \"pmu = on\" needs its CPUs for itself, give [vm %s] a "
			   "\"cpuset\" without them",
			   vm->name, other->name);
		conf->vm_count--;
		memmove(vm, vm + 1, (conf->vm_count - i) * sizeof(*vm));
	}
}

status_t conf_parse(struct conf *conf, const char *text, size_t len)
{
	conf->vm_count = conf->network_count = conf->errors = conf->line = 0;
	conf->pool_used = conf->pool_mark = 0;
	conf->sections = 0;
	conf->vm = NULL;
	conf->network = NULL;
	conf->skipping = conf->broken = false;

	/* Some editors mark UTF-8 with a byte-order mark. */
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		len -= 3;
	}
	for (size_t at = 0, line = 1; at < len; line++) {
		size_t end = at;

		while (end < len && text[end] != '\n')
			end++;
		conf->line = (unsigned)line;
		parse_line(conf, (struct slice){text + at, end - at});
		at = end + 1;
	}
	end_section(conf);
	check_all_alone(conf);
	conf_check_cids(conf);
	return conf->errors ? -S_INVAL : 0;
}
