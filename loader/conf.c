/* SPDX-License-Identifier: BSD-2-Clause */
/* The parser of socle.conf: sections, lines, and the table of keys. */
#include "socle/format.h"
#include "socle/loader/conf.h"
#include "socle/string.h"

/* A piece of the text; has no final NUL. */
struct slice {
	const char *s; /* first byte */
	size_t len;    /* in bytes */
};

/* How much of a slice a message shows. */
#define SHOWN_MAX 40
#define SHOW(x)	  (int)MIN((x).len, (size_t)SHOWN_MAX), (x).s

#define MEMORY_MIN     MiB
#define MEMORY_MAX     BIT(40)
#define MEMORY_DEFAULT (256 * MiB)

static void __printf(2, 3) conf_error(struct conf *conf, const char *fmt, ...)
{
	char text[CONF_MESSAGE_MAX];
	size_t used = format(text, sizeof(text), CONF_NAME ":%u: ", conf->line);
	va_list args;

	conf->broken = true;
	if (++conf->errors > CONF_MESSAGES_MAX)
		return;
	va_start(args, fmt);
	format_v(text + used, sizeof(text) - used, fmt, args);
	va_end(args);
	/* What the file contains goes to a terminal: nothing but plain text. */
	for (char *c = text; *c; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
	conf->error(conf, text);
	if (conf->errors == CONF_MESSAGES_MAX)
		conf->error(conf, CONF_NAME ": further errors are not shown, correct these first");
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static struct slice trim(struct slice x)
{
	for (; x.len && is_space(x.s[0]); x.len--)
		x.s++;
	while (x.len && is_space(x.s[x.len - 1]))
		x.len--;
	return x;
}

static bool slice_is(struct slice x, const char *text)
{
	return x.len == strlen(text) && memcmp(x.s, text, x.len) == 0;
}

/* Cuts off and returns the first word of @x, which is left trimmed. */
static struct slice next_word(struct slice *x)
{
	struct slice word = {x->s, 0};

	while (word.len < x->len && !is_space(x->s[word.len]))
		word.len++;
	x->s += word.len;
	x->len -= word.len;
	*x = trim(*x);
	return word;
}

static bool slice_copy(char *dst, size_t size, struct slice x)
{
	if (x.len >= size)
		return false;
	memcpy(dst, x.s, x.len);
	dst[x.len] = '\0';
	return true;
}

/*
 * A key of a section. @set stores the value, which is not empty unless @may_be_empty, in @conf->vm;
 * it returns false if the value is not what @expects says, and reports other errors itself.
 */
struct conf_key {
	const char *name;    /* as it stands before the "=" */
	const char *expects; /* completes "must be ..." */
	bool (*set)(struct conf *conf, struct slice value);
	bool repeatable;   /* may stand in a section more than once */
	bool may_be_empty; /* "key =" is fine */
};

/* Stores a module's name, which must be one word and name a boot module. */
static bool set_module_name(struct conf *conf, char name[VM_PATH_MAX], struct slice value)
{
	struct slice rest = value, word = next_word(&rest);

	if (rest.len || !slice_copy(name, VM_PATH_MAX, word))
		return false;
	if (!boot_module_find(name))
		conf_error(conf,
			   "there is no boot module \"%s\", add \"module2 FILE %s\" to grub.cfg",
			   name, name);
	return true;
}

static bool set_kernel(struct conf *conf, struct slice value)
{
	return set_module_name(conf, conf->vm->kernel, value);
}

static bool set_initrd(struct conf *conf, struct slice value)
{
	return set_module_name(conf, conf->vm->initrd, value);
}

static bool set_module(struct conf *conf, struct slice value)
{
	struct slice name = next_word(&value);
	struct vm_settings *vm = conf->vm;
	struct vm_module *module;

	if (vm->module_count == VM_MODULES_MAX) {
		conf_error(conf, "too many modules, at most %d are possible", VM_MODULES_MAX);
		return true;
	}
	module = &vm->modules[vm->module_count];
	if (!set_module_name(conf, module->name, name))
		return false;
	module->string = conf->pool + conf->pool_used;
	if (!slice_copy(module->string, conf->pool_size - conf->pool_used, value)) {
		conf_error(conf, "too much text in all modules, at most %zu bytes are possible",
			   conf->pool_size);
		return true;
	}
	conf->pool_used += value.len + 1;
	vm->module_count++;
	return true;
}

static bool set_cmdline(struct conf *conf, struct slice value)
{
	return slice_copy(conf->vm->cmdline, sizeof(conf->vm->cmdline), value);
}

static bool set_memory(struct conf *conf, struct slice value)
{
	uint64_t *memory = &conf->vm->memory;

	return parse_size(value.s, value.len, memory) && *memory >= MEMORY_MIN &&
	       *memory <= MEMORY_MAX && IS_ALIGNED(*memory, MiB);
}

static bool set_cpus(struct conf *conf, struct slice value)
{
	uint64_t cpus;

	if (!parse_u64(value.s, value.len, &cpus) || !cpus || cpus > VM_MAX_VCPUS)
		return false;
	conf->vm->cpus = (unsigned)cpus;
	return true;
}

static bool set_bool(bool *flag, struct slice value)
{
	*flag = slice_is(value, "yes");
	return *flag || slice_is(value, "no");
}

static bool set_console(struct conf *conf, struct slice value)
{
	return set_bool(&conf->vm->console, value);
}

static bool set_autostart(struct conf *conf, struct slice value)
{
	return set_bool(&conf->vm->autostart, value);
}

static bool set_debug_exit(struct conf *conf, struct slice value)
{
	uint64_t port;

	if (!parse_u64(value.s, value.len, &port) || !port || port > UINT16_MAX)
		return false;
	conf->vm->debug_exit = (uint16_t)port;
	return true;
}

static bool set_on_exit(struct conf *conf, struct slice value)
{
	static const char *const words[] = {
		[VM_ON_EXIT_STOP] = "stop",
		[VM_ON_EXIT_RESTART] = "restart",
		[VM_ON_EXIT_POWEROFF] = "poweroff",
		[VM_ON_EXIT_REBOOT] = "reboot",
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (slice_is(value, words[i])) {
			conf->vm->on_exit = (enum vm_on_exit)i;
			return true;
		}
	}
	return false;
}

/* clang-format off */
static const struct conf_key keys[] = {
	{.name = "kernel", .set = set_kernel,
	 .expects = "the name of a boot module, at most 63 bytes"},
	{.name = "initrd", .set = set_initrd,
	 .expects = "the name of a boot module, at most 63 bytes"},
	{.name = "module", .set = set_module, .repeatable = true,
	 .expects = "the name of a boot module, at most 63 bytes, and a string for it"},
	{.name = "cmdline", .set = set_cmdline, .may_be_empty = true,
	 .expects = "at most 2047 bytes long"},
	{.name = "memory", .set = set_memory,
	 .expects = "a multiple of 1M from 1M to 1024G, such as 256M"},
	{.name = "cpus", .set = set_cpus,
	 .expects = "a number from 1 to 64"},
	{.name = "console", .set = set_console,
	 .expects = "yes or no"},
	{.name = "autostart", .set = set_autostart,
	 .expects = "yes or no"},
	{.name = "debug-exit", .set = set_debug_exit,
	 .expects = "an I/O port from 1 to 0xffff, such as 0xf4"},
	{.name = "on-exit", .set = set_on_exit,
	 .expects = "stop, restart, poweroff or reboot"},
};
/* clang-format on */

_Static_assert(VM_PATH_MAX == 64 && VM_CMDLINE_MAX == 2048 && VM_MAX_VCPUS == 64,
	       "the texts in keys[] give these limits");
_Static_assert(ARRAY_SIZE(keys) <= 32, "conf.seen has a bit for each key");

#define TYPO_MAX 24 /* no key is so long; bounds the work on garbage */

/* Least number of bytes to add, remove or replace to make one text of the other (Levenshtein). */
static unsigned edit_distance(struct slice a, const char *b)
{
	unsigned row[TYPO_MAX + 1];
	size_t len = MIN(strlen(b), (size_t)TYPO_MAX);

	for (size_t j = 0; j <= len; j++)
		row[j] = (unsigned)j;
	for (size_t i = 0; i < a.len; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i + 1;
		for (size_t j = 0; j < len; j++) {
			unsigned replace = diagonal + (a.s[i] != b[j]);
			unsigned insert = MIN(row[j], row[j + 1]) + 1;

			diagonal = row[j + 1];
			row[j + 1] = MIN(replace, insert);
		}
	}
	return row[len];
}

static void unknown_key(struct conf *conf, struct slice key)
{
	unsigned best = 4; /* further apart, it is no typing error */
	const char *nearest = NULL;
	char list[128];
	size_t used = 0;

	for (size_t i = 0; i < ARRAY_SIZE(keys) && key.len <= TYPO_MAX; i++) {
		unsigned distance = edit_distance(key, keys[i].name);

		if (distance < best && distance < strlen(keys[i].name)) {
			best = distance;
			nearest = keys[i].name;
		}
	}
	if (nearest) {
		conf_error(conf, "unknown key \"%.*s\", did you mean \"%s\"?", SHOW(key), nearest);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(keys) && used < sizeof(list); i++)
		used += format(list + used, sizeof(list) - used, "%s%s", i ? ", " : "",
			       keys[i].name);
	conf_error(conf, "unknown key \"%.*s\", the keys are: %s", SHOW(key), list);
}

/* True if @value looks as if it ended in a comment, which is not possible. */
static bool has_comment(struct slice value)
{
	for (size_t i = 1; i < value.len; i++) {
		if (is_space(value.s[i - 1]) && (value.s[i] == '#' || value.s[i] == ';'))
			return true;
	}
	return false;
}

static void parse_key(struct conf *conf, struct slice name, struct slice value)
{
	const struct conf_key *key = keys;
	uint32_t bit;

	while (key < keys + ARRAY_SIZE(keys) && !slice_is(name, key->name))
		key++;
	if (key == keys + ARRAY_SIZE(keys)) {
		unknown_key(conf, name);
		return;
	}
	bit = 1u << (key - keys);
	if (conf->seen & bit && !key->repeatable) {
		conf_error(conf, "\"%s\" is there twice in [vm %s], keep one of them", key->name,
			   conf->vm->name);
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

/* Ends the section being parsed: keeps its settings if all is well. */
static void end_section(struct conf *conf)
{
	struct vm_settings *vm = conf->vm;

	conf->vm = NULL;
	if (!vm)
		return;
	if (!vm->kernel[0] && !conf->broken) {
		conf->line = vm->line;
		conf_error(conf, "[vm %s] has no kernel, add \"kernel = NAME\"", vm->name);
	}
	if (conf->broken)
		conf->pool_used = conf->pool_mark;
	else
		conf->vm_count++;
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
	vm->console = true;
	vm->autostart = true;
	vm->on_exit = VM_ON_EXIT_STOP;
	vm->weight = VM_WEIGHT;
	vm->cpuset = UINT64_MAX;
	vm->line = conf->line;
	conf->vm = vm;
	conf->broken = false;
	conf->seen = 0;
	conf->pool_mark = conf->pool_used;
}

/* Begins the section whose header is @line, which starts with "[". */
static void begin_section(struct conf *conf, struct slice line)
{
	struct slice inside = {line.s + 1, line.len - 1};
	struct slice kind;

	end_section(conf);
	conf->skipping = true;
	if (!inside.len || inside.s[inside.len - 1] != ']') {
		conf_error(conf, "no \"]\" at the end of the line, write [vm NAME]");
		return;
	}
	inside.len--;
	inside = trim(inside);
	kind = next_word(&inside);
	if (!slice_is(kind, "vm")) {
		conf_error(conf, "unknown section \"%.*s\", write [vm NAME]", SHOW(kind));
		return;
	}
	if (!good_name(inside)) {
		conf_error(conf,
			   "bad VM name \"%.*s\", use 1 to %d letters, digits, \"-\", \"_\", \".\"",
			   SHOW(inside), VM_NAME_MAX - 1);
		return;
	}
	begin_vm(conf, inside);
	conf->skipping = !conf->vm;
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

	line = trim(line);
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
	name = trim((struct slice){line.s, (size_t)(equals - line.s)});
	value = trim((struct slice){equals + 1, (size_t)(line.s + line.len - equals - 1)});
	if (!conf->vm)
		conf_error(conf, "\"%.*s\" is outside of a section, put [vm NAME] before it",
			   SHOW(name));
	else
		parse_key(conf, name, value);
}

status_t conf_parse(struct conf *conf, const char *text, size_t len)
{
	conf->vm_count = conf->errors = conf->line = 0;
	conf->pool_used = 0;
	conf->vm = NULL;
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
	return conf->errors ? -S_INVAL : 0;
}
