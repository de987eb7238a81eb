/* SPDX-License-Identifier: BSD-2-Clause */
/* The keys of socle.conf: what each one takes, and where it goes. */
#include "conf_keys.h"
#include "socle/drivers/block.h"
#include "socle/guest/pmu.h"
#include "socle/string.h"

#define MEMORY_MIN MiB
#define MEMORY_MAX BIT(40)
#define DISK_MIN   512
#define DISK_MAX   BIT(34)

enum { HOST_CPUS = 64 }; /* bits of vm_settings.cpuset */

/* Stores a module's name, which must be one word and name a boot module. */
static bool set_module_name(struct conf *conf, char name[VM_PATH_MAX], struct slice value)
{
	struct slice rest = value, word = slice_word(&rest);

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
	struct slice name = slice_word(&value);
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

/* A number from @min to @max. */
static bool set_number(unsigned *number, struct slice value, unsigned min, unsigned max)
{
	uint64_t n;

	if (!parse_u64(value.s, value.len, &n) || n < min || n > max)
		return false;
	*number = (unsigned)n;
	return true;
}

static bool set_cpus(struct conf *conf, struct slice value)
{
	return set_number(&conf->vm->cpus, value, 1, VM_MAX_VCPUS);
}

static bool set_weight(struct conf *conf, struct slice value)
{
	return set_number(&conf->vm->weight, value, 1, VM_WEIGHT_MAX);
}

static bool set_cap(struct conf *conf, struct slice value)
{
	conf->cap_line = conf->line;
	return set_number(&conf->vm->cap, value, 0, CAP_PER_CPU * VM_MAX_VCPUS);
}

/* Adds CPUs to @set: "5" or "0-3". */
static bool add_cpus(uint64_t *set, struct slice range)
{
	struct slice from = slice_cut(&range, '-');
	uint64_t first, last;

	if (!parse_u64(from.s, from.len, &first))
		return false;
	last = first;
	if (range.len) {
		range = slice_trim((struct slice){range.s + 1, range.len - 1});
		if (!parse_u64(range.s, range.len, &last))
			return false;
	}
	if (last < first || last >= HOST_CPUS)
		return false;
	*set |= MASK(last, first);
	return true;
}

static bool set_cpuset(struct conf *conf, struct slice value)
{
	uint64_t *set = &conf->vm->cpuset;

	if (slice_is(value, "all")) {
		*set = UINT64_MAX;
		return true;
	}
	*set = 0;
	while (add_cpus(set, slice_cut(&value, ','))) {
		if (!value.len)
			return true;
		value.s++; /* the comma */
		value.len--;
	}
	return false;
}

static bool set_bool(bool *flag, struct slice value)
{
	*flag = slice_is(value, "yes");
	return *flag || slice_is(value, "no");
}

static bool set_console(struct conf *conf, struct slice value)
{
	conf->vm->virtio_console = slice_is(value, "virtio");
	return set_bool(&conf->vm->console, value) ||
	       (conf->vm->console = conf->vm->virtio_console);
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

static bool set_rng(struct conf *conf, struct slice value)
{
	return set_bool(&conf->vm->rng, value);
}

/* The rest of a disk's line: a boot module's name, and perhaps "ro". */
static bool set_module_disk(struct conf *conf, struct vm_disk *disk, struct slice name,
			    struct slice rest)
{
	const struct boot_module *module;

	disk->read_only = slice_is(rest, "ro");
	if ((rest.len && !disk->read_only) || !set_module_name(conf, disk->module, name))
		return false;
	module = boot_module_find(disk->module);
	if (!module)
		return true;
	disk->size = module->size;
	if (disk->size < DISK_MIN || disk->size > DISK_MAX)
		conf_error(conf, "the boot module \"%s\" must have 512 bytes to 16G to be a disk",
			   disk->module);
	return true;
}

/* The rest behind "host": a disk of the machine or one of its partitions, and perhaps "ro". */
static bool set_host_disk(struct conf *conf, struct vm_disk *disk, struct slice rest)
{
	struct slice name = slice_word(&rest);
	struct block_user place;

	disk->host = true;
	disk->read_only = slice_is(rest, "ro");
	if ((rest.len && !disk->read_only) || !name.len ||
	    !slice_copy(disk->module, VM_PATH_MAX, name))
		return false;
	if (block_find(disk->module, &place)) {
		conf_error(conf,
			   "the machine has no disk or partition \"%s\", \"disks\" at the "
			   "prompt shows them",
			   disk->module);
		return true;
	}
	disk->size = place.sectors * BLOCK_SECTOR;
	if (place.disk->read_only && !disk->read_only)
		conf_error(conf, "the disk \"%s\" can only be read, add \"ro\"", disk->module);
	return true;
}

static bool set_disk(struct conf *conf, struct slice value)
{
	struct slice name = slice_word(&value);
	struct vm_settings *vm = conf->vm;
	struct vm_disk *disk;

	if (vm->disk_count == VM_DISKS_MAX) {
		conf_error(conf, "too many disks, at most %d are possible", VM_DISKS_MAX);
		return true;
	}
	disk = &vm->disks[vm->disk_count++];
	if (slice_is(name, "host"))
		return set_host_disk(conf, disk, value);
	if (!slice_is(name, "memory"))
		return set_module_disk(conf, disk, name, value);
	return parse_size(value.s, value.len, &disk->size) && disk->size >= MEMORY_MIN &&
	       disk->size <= DISK_MAX && IS_ALIGNED(disk->size, MiB);
}

static bool set_test_device(struct conf *conf, struct slice value)
{
	return set_bool(&conf->vm->test_device, value);
}

static bool set_pmu(struct conf *conf, struct slice value)
{
	conf->vm->pmu = slice_is(value, "on");
	if (conf->vm->pmu && !pmu_offered())
		conf_error(conf, "\"pmu\" must be off here, performance counters are %s",
			   pmu_offer.text ? pmu_offer.text : "not offered");
	return conf->vm->pmu || slice_is(value, "off");
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
const struct conf_key conf_keys[] = {
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
	{.name = "cpu", .set = conf_set_cpu,
	 .expects = "host or baseline, then +FEATURE or -FEATURE as often as you like"},
	{.name = "weight", .set = set_weight,
	 .expects = "a number from 1 to 65535"},
	{.name = "cap", .set = set_cap,
	 .expects = "percent of one CPU from 0 to 6400, such as 150, 0 for no limit"},
	{.name = "cpuset", .set = set_cpuset,
	 .expects = "all, or CPU numbers and ranges up to 63, such as 0-3,5"},
	{.name = "console", .set = set_console,
	 .expects = "yes, no or virtio"},
	{.name = "autostart", .set = set_autostart,
	 .expects = "yes or no"},
	{.name = "debug-exit", .set = set_debug_exit,
	 .expects = "an I/O port from 1 to 0xffff, such as 0xf4"},
	{.name = "on-exit", .set = set_on_exit,
	 .expects = "stop, restart, poweroff or reboot"},
	{.name = "rng", .set = set_rng,
	 .expects = "yes or no"},
	{.name = "disk", .set = set_disk, .repeatable = true,
	 .expects = "the name of a boot module, and \"ro\" if it is only read; \"host\" and a disk "
		    "or partition such as vda2, likewise; or \"memory\" and a multiple of 1M from "
		    "1M to 16G"},
	{.name = "net", .set = conf_set_net, .repeatable = true,
	 .expects = "the name of a network, at most 15 letters, digits, \"-\" or \"_\", and perhaps "
		    "\"mac\" and an address such as 02:00:00:00:00:01"},
	{.name = "vsock", .set = conf_set_vsock, .repeatable = true,
	 .expects = "global, or local:GROUP (1 to 15 bytes), and perhaps \"cid\" and a number"},
	{.name = "test-device", .set = set_test_device,
	 .expects = "yes or no"},
	{.name = "pmu", .set = set_pmu,
	 .expects = "on or off"},
	{.name = "msr", .set = conf_set_msr, .repeatable = true,
	 .expects = "\"deny\" or \"allow\", a register (0x10, 0x10-0x1f or a name such as star) "
		    "and read, write or read-write; or \"default deny\""},
};
/* clang-format on */

const unsigned conf_key_count = ARRAY_SIZE(conf_keys);

_Static_assert(VM_PATH_MAX == 64 && VM_CMDLINE_MAX == 2048 && VM_MAX_VCPUS == 64 &&
		       VM_WEIGHT_MAX == 65535 && HOST_CPUS == 64 && VM_GROUP_MAX == 16,
	       "the texts in conf_keys[] give these limits");
_Static_assert(ARRAY_SIZE(conf_keys) <= 32, "conf.seen has a bit for each key");
