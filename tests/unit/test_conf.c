/* SPDX-License-Identifier: BSD-2-Clause */
/* loader/conf*.c: what socle.conf may say, and what is answered to what it may not. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
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

const struct boot_module *boot_module_find(const char *name)
{
	static const struct boot_module module = {.size = 3 * MiB + 5}, tiny = {.size = 511};

	if (strcmp(name, "tiny.img") == 0)
		return &tiny;
	return strncmp(name, "gone", 4) == 0 ? NULL : &module;
}

/* The machine's disks: vda can be written, vdb not. */
status_t block_find(const char *name, struct block_user *user)
{
	static struct block_disk disks[] = {{.read_only = false}, {.read_only = true}};

	if (strcmp(name, "vda2") != 0 && strcmp(name, "vdb") != 0)
		return -S_NOENT;
	*user = (struct block_user){.disk = &disks[name[2] - 'a'], .first = 2048, .sectors = 4096};
	return 0;
}

/* Names of MSRs. */
const struct msr_policy *msr_find_name(const char *name, size_t len)
{
	static const struct msr_policy rows[] = {
		{.name = "star", .index = 0xc0000081, .count = 1},
		{.name = "mtrr_variable", .index = 0x200, .count = 16},
		{.name = "x2apic", .index = 0x800, .count = 64},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strlen(rows[i].name) == len && strncmp(rows[i].name, name, len) == 0)
			return &rows[i];
	return NULL;
}

static struct vm_settings vms[VM_MAX];
static char pool[64];
static char messages[64][CONF_MESSAGE_MAX];
static unsigned message_count;

static void keep_message(struct conf *conf, const char *message)
{
	(void)conf;
	assert_true(message_count < ARRAY_SIZE(messages));
	assert_true(strlen(message) < CONF_MESSAGE_MAX);
	strcpy(messages[message_count++], message);
}

/* Parses an exact copy of the text, so that ASan sees a read past its end. */
static struct conf parse_bytes(const char *text, size_t len)
{
	struct conf conf = {
		.vms = vms,
		.vms_max = VM_MAX,
		.pool = pool,
		.pool_size = sizeof(pool),
		.error = keep_message,
	};
	char *copy = malloc(len ? len : 1);
	status_t status;

	memcpy(copy, text, len);
	memset(vms, 0xa5, sizeof(vms));
	message_count = 0;
	status = conf_parse(&conf, copy, len);
	assert_int_equal(status, conf.errors ? -S_INVAL : 0);
	free(copy);
	return conf;
}

static struct conf parse(const char *text)
{
	return parse_bytes(text, strlen(text));
}

static void test_everything(void **state)
{
	struct conf conf = parse("# a comment\n"
				 "; another\n"
				 "\n"
				 "[vm linux]\n"
				 "kernel = vmlinuz\n"
				 "initrd=initrd.img\r\n"
				 "  cmdline\t=  console=ttyS0 quiet # not a comment  \n"
				 "memory = 2G\n"
				 "cpus = 0x2\n"
				 "weight = 65535\n"
				 "cap = 150\n"
				 "cpuset = 0-2, 5,63\n"
				 "console = no\n"
				 "autostart = no\n"
				 "debug-exit = 0xf4\n"
				 "on-exit = poweroff\n"
				 "rng = yes\n"
				 "disk = memory 16G\n"
				 "disk =  image\t ro\n"
				 "disk = other\n"
				 "disk = host  vda2\n"
				 "disk = host vdb ro\n"
				 "net = lan0\n"
				 "net =  A-_345678901234\t mac  fE:dc:BA:98:76:54\n"
				 "net = lan0 mac 00:00:00:00:00:01\n"
				 "test-device = yes\n"
				 "[ vm  tiny.1-a_B ]\n"
				 "kernel = tiny\n"
				 "module = first\n"
				 "module = second  some text \n"
				 "console = virtio\n"
				 "cmdline =");

	(void)state;
	assert_int_equal(conf.errors, 0);
	assert_int_equal(conf.vm_count, 2);
	assert_string_equal(vms[0].name, "linux");
	assert_string_equal(vms[0].kernel, "vmlinuz");
	assert_string_equal(vms[0].initrd, "initrd.img");
	assert_string_equal(vms[0].cmdline, "console=ttyS0 quiet # not a comment");
	assert_int_equal(vms[0].memory, 2 * GiB);
	assert_int_equal(vms[0].cpus, 2);
	assert_int_equal(vms[0].weight, 65535);
	assert_int_equal(vms[0].cap, 150);
	assert_true(vms[0].cpuset == (7 | 1 << 5 | BIT(63)));
	assert_true(vms[0].test_device);
	assert_false(vms[0].console || vms[0].virtio_console);
	assert_false(vms[0].autostart);
	assert_int_equal(vms[0].debug_exit, 0xf4);
	assert_int_equal(vms[0].on_exit, VM_ON_EXIT_POWEROFF);
	assert_int_equal(vms[0].line, 4);
	assert_int_equal(vms[0].module_count, 0);
	assert_int_equal(vms[0].disk_count, 5);
	assert_string_equal(vms[0].disks[0].module, "");
	assert_int_equal(vms[0].disks[0].size, 16 * GiB);
	assert_false(vms[0].disks[0].read_only);
	assert_string_equal(vms[0].disks[1].module, "image");
	assert_int_equal(vms[0].disks[1].size, 3 * MiB + 5);
	assert_true(vms[0].disks[1].read_only);
	assert_string_equal(vms[0].disks[2].module, "other");
	assert_false(vms[0].disks[2].read_only || vms[0].disks[2].host);
	assert_string_equal(vms[0].disks[3].module, "vda2");
	assert_int_equal(vms[0].disks[3].size, 2 * MiB);
	assert_true(vms[0].disks[3].host && !vms[0].disks[3].read_only);
	assert_string_equal(vms[0].disks[4].module, "vdb");
	assert_true(vms[0].disks[4].host && vms[0].disks[4].read_only);
	assert_int_equal(vms[0].net_count, 3);
	assert_string_equal(vms[0].nets[0].network, "lan0");
	assert_memory_equal(vms[0].nets[0].mac, "\0\0\0\0\0\0", 6);
	assert_string_equal(vms[0].nets[1].network, "A-_345678901234");
	assert_memory_equal(vms[0].nets[1].mac, "\xfe\xdc\xba\x98\x76\x54", 6);
	assert_string_equal(vms[0].nets[2].network, "lan0");
	assert_memory_equal(vms[0].nets[2].mac, "\0\0\0\0\0\1", 6);

	assert_string_equal(vms[1].name, "tiny.1-a_B");
	assert_string_equal(vms[1].initrd, "");
	assert_string_equal(vms[1].cmdline, "");
	assert_int_equal(vms[1].memory, 256 * MiB);
	assert_int_equal(vms[1].cpus, 1);
	assert_int_equal(vms[1].weight, 256);
	assert_int_equal(vms[1].cap, 0);
	assert_true(vms[1].cpuset == 0);
	assert_false(vms[1].test_device);
	assert_true(vms[1].console && vms[1].virtio_console);
	assert_true(vms[1].autostart);
	assert_int_equal(vms[1].debug_exit, 0);
	assert_int_equal(vms[1].on_exit, VM_ON_EXIT_STOP);
	assert_int_equal(vms[1].disk_count, 0);
	assert_int_equal(vms[1].net_count, 0);
	assert_int_equal(vms[1].module_count, 2);
	assert_string_equal(vms[1].modules[0].name, "first");
	assert_string_equal(vms[1].modules[0].string, "");
	assert_string_equal(vms[1].modules[1].name, "second");
	assert_string_equal(vms[1].modules[1].string, "some text");
}

static void assert_range(unsigned n, uint32_t first, uint32_t last, uint8_t access, bool allow)
{
	const struct vm_msr_range *r = &vms[0].msr.range[n];

	assert_int_equal(r->first, first);
	assert_int_equal(r->last, last);
	assert_int_equal(r->access, access);
	assert_int_equal(r->allow, allow);
}

static void test_msr_filter(void **state)
{
	char text[1024] = "[vm a]\nkernel = k\n";
	struct conf conf = parse("[vm a]\n"
				 "kernel = k\n"
				 "msr = deny 0x1234 read\n"
				 "msr = deny  0xc0000080-0xc0000084\twrite\n"
				 "msr = allow 16 read-write\n"
				 "msr = deny star\n"
				 "msr = allow mtrr_variable read\n"
				 "msr = default deny\n"
				 "msr = deny 0-0x7ff\n"
				 "msr = deny 0x900-0xffffffff\n"
				 "[vm b]\n"
				 "kernel = k\n"
				 "msr = default deny\n"
				 "msr = default allow\n");

	(void)state;
	assert_int_equal(conf.errors, 0);
	assert_int_equal(vms[0].msr.count, 7);
	assert_range(0, 0x1234, 0x1234, VM_MSR_READ, false);
	assert_range(1, 0xc0000080, 0xc0000084, VM_MSR_WRITE, false);
	assert_range(2, 0x10, 0x10, VM_MSR_READ | VM_MSR_WRITE, true);
	assert_range(3, 0xc0000081, 0xc0000081, VM_MSR_READ | VM_MSR_WRITE, false);
	assert_range(4, 0x200, 0x20f, VM_MSR_READ, true);
	assert_range(5, 0, 0x7ff, VM_MSR_READ | VM_MSR_WRITE, false);
	assert_range(6, 0x900, 0xffffffff, VM_MSR_READ | VM_MSR_WRITE, false);
	assert_true(vms[0].msr.deny);
	assert_int_equal(vms[1].msr.count, 0);
	assert_false(vms[1].msr.deny);
	/* 16 lines; `default` is none of them. */
	for (unsigned i = 0; i < VM_MSR_RANGES; i++)
		strcat(text, "msr = deny 1\n");
	strcat(text, "msr = default deny\n");
	conf = parse(text);
	assert_int_equal(conf.errors, 0);
	assert_int_equal(vms[0].msr.count, VM_MSR_RANGES);
	strcat(text, "msr = deny 1\n");
	conf = parse(text);
	assert_int_equal(conf.errors, 1);
	assert_string_equal(messages[0], "socle.conf:20: too many lines with \"msr\", at most 16 "
					 "are possible");
}

#define MSR                                                                                     \
	"\"deny\" or \"allow\", a register (0x10, 0x10-0x1f or a name such as star) and read, " \
	"write or read-write; or \"default deny\""
#define X2APIC "\"msr\": the x2APIC's registers 0x800-0x8ff are never filtered, leave them out"
#define NET                                                                                       \
	"the name of a network, at most 15 letters, digits, \"-\" or \"_\", and perhaps \"mac\" " \
	"and "                                                                                    \
	"an address such as 02:00:00:00:00:01"
#define DISK                                                                                \
	"the name of a boot module, and \"ro\" if it is only read; \"host\" and a disk or " \
	"partition such as vda2, likewise; or \"memory\" and a multiple of 1M from 1M to 16G"
#define CPUSET "all, or CPU numbers and ranges up to 63, such as 0-3,5"

/* A line that is wrong in the section of one guest, and the message for it. */
static void test_bad_lines(void **state)
{
	static const struct {
		const char *line;
		const char *message;
	} cases[] = {
		{"msr = deny", "\"msr\" is \"deny\", it must be " MSR},
		{"msr =", "\"msr\" has no value, it must be " MSR},
		{"msr = 0x10", "\"msr\" is \"0x10\", it must be " MSR},
		{"msr = deny 0x10 execute", "\"msr\" is \"deny 0x10 execute\", it must be " MSR},
		{"msr = deny 0x10 read write",
		 "\"msr\" is \"deny 0x10 read write\", it must be " MSR},
		{"msr = deny 0x1f-0x10", "\"msr\" is \"deny 0x1f-0x10\", it must be " MSR},
		{"msr = deny 0x10-", "\"msr\" is \"deny 0x10-\", it must be " MSR},
		{"msr = deny 0x100000000", "\"msr\" is \"deny 0x100000000\", it must be " MSR},
		{"msr = deny 1-0x100000000", "\"msr\" is \"deny 1-0x100000000\", it must be " MSR},
		{"msr = default", "\"msr\" is \"default\", it must be " MSR},
		{"msr = default deny read", "\"msr\" is \"default deny read\", it must be " MSR},
		{"msr = deny stars", "there is no MSR \"stars\", give its number, or a name that "
				     "\"policy msr\" shows"},
		{"msr = deny x2apic", X2APIC},
		{"msr = deny 0x8ff", X2APIC},
		{"msr = allow 0x800 read", X2APIC},
		{"msr = deny 0-0xffffffff", X2APIC},
		{"memmory = 1G", "unknown key \"memmory\", did you mean \"memory\"?"},
		{"Kernel = x", "unknown key \"Kernel\", did you mean \"kernel\"?"},
		{"debugexit = 1", "unknown key \"debugexit\", did you mean \"debug-exit\"?"},
		{"colour = 1", "unknown key \"colour\", the keys are: kernel, initrd, module, "
			       "cmdline, memory, cpus, cpu, weight, cap, cpuset, console, autostart, "
			       "debug-exit, on-exit, rng, disk, net, vsock, test-device, pmu, msr"},
		{"x = 1", "unknown key \"x\", the keys are: kernel, initrd, module, cmdline, "
			  "memory, cpus, cpu, weight, cap, cpuset, console, autostart, debug-exit, "
			  "on-exit, rng, disk, net, vsock, test-device, pmu, msr"},
		{"memory 1G", "\"memory 1G\" is no setting, write KEY = VALUE"},
		{"= 1G", "\"= 1G\" is no setting, write KEY = VALUE"},
		{"memory =", "\"memory\" has no value, it must be a multiple of 1M from 1M to "
			     "1024G, such as 256M"},
		{"memory = lots", "\"memory\" is \"lots\", it must be a multiple of 1M from 1M to "
				  "1024G, such as 256M"},
		{"memory = 1025G", "\"memory\" is \"1025G\", it must be a multiple of 1M from 1M "
				   "to 1024G, such as 256M"},
		{"memory = 1537K", "\"memory\" is \"1537K\", it must be a multiple of 1M from 1M "
				   "to 1024G, such as 256M"},
		{"memory = 0", "\"memory\" is \"0\", it must be a multiple of 1M from 1M to 1024G, "
			       "such as 256M"},
		{"cpus = 65", "\"cpus\" is \"65\", it must be a number from 1 to 64"},
		{"cpus = 0", "\"cpus\" is \"0\", it must be a number from 1 to 64"},
		{"cpus = -1", "\"cpus\" is \"-1\", it must be a number from 1 to 64"},
		{"cpus = 2 # two", "\"cpus\" is \"2 # two\", it must be a number from 1 to 64; put "
				   "a comment on a line of its own"},
		{"weight = 0", "\"weight\" is \"0\", it must be a number from 1 to 65535"},
		{"weight = 65536", "\"weight\" is \"65536\", it must be a number from 1 to 65535"},
		{"cap = 50%", "\"cap\" is \"50%\", it must be percent of one CPU from 0 to 6400, "
			      "such as 150, 0 for no limit"},
		{"cap = 6401", "\"cap\" is \"6401\", it must be percent of one CPU from 0 to 6400, "
			       "such as 150, 0 for no limit"},
		{"cap = 101\n# one CPU is the default",
		 "\"cap\" is \"101\", with \"cpus = 1\" it must be at most 100"},
		{"cap = 401\ncpus = 4",
		 "\"cap\" is \"401\", with \"cpus = 4\" it must be at most 400"},
		{"cpuset =", "\"cpuset\" has no value, it must be " CPUSET},
		{"cpuset = none", "\"cpuset\" is \"none\", it must be " CPUSET},
		{"cpuset = 64", "\"cpuset\" is \"64\", it must be " CPUSET},
		{"cpuset = 60-64", "\"cpuset\" is \"60-64\", it must be " CPUSET},
		{"cpuset = 0-0xffffffffffffffff",
		 "\"cpuset\" is \"0-0xffffffffffffffff\", it must be " CPUSET},
		{"cpuset = 3-2", "\"cpuset\" is \"3-2\", it must be " CPUSET},
		{"cpuset = 1,", "\"cpuset\" is \"1,\", it must be " CPUSET},
		{"cpuset = ,1", "\"cpuset\" is \",1\", it must be " CPUSET},
		{"cpuset = 1,,2", "\"cpuset\" is \"1,,2\", it must be " CPUSET},
		{"cpuset = 1-", "\"cpuset\" is \"1-\", it must be " CPUSET},
		{"cpuset = -1", "\"cpuset\" is \"-1\", it must be " CPUSET},
		{"cpuset = 1-2-3", "\"cpuset\" is \"1-2-3\", it must be " CPUSET},
		{"cpuset = 1 2", "\"cpuset\" is \"1 2\", it must be " CPUSET},
		{"cpuset = 1,all", "\"cpuset\" is \"1,all\", it must be " CPUSET},
		{"rng = 1", "\"rng\" is \"1\", it must be yes or no"},
		{"disk =", "\"disk\" has no value, it must be " DISK},
		{"disk = memory", "\"disk\" is \"memory\", it must be " DISK},
		{"disk = memory 64K", "\"disk\" is \"memory 64K\", it must be " DISK},
		{"disk = memory 1537K", "\"disk\" is \"memory 1537K\", it must be " DISK},
		{"disk = memory 16385M", "\"disk\" is \"memory 16385M\", it must be " DISK},
		{"disk = memory 1M ro", "\"disk\" is \"memory 1M ro\", it must be " DISK},
		{"disk = image rw", "\"disk\" is \"image rw\", it must be " DISK},
		{"disk = image ro ro", "\"disk\" is \"image ro ro\", it must be " DISK},
		{"disk = gone ro", "there is no boot module \"gone\", add \"module2 FILE gone\" to "
				   "grub.cfg"},
		{"disk = host", "\"disk\" is \"host\", it must be " DISK},
		{"disk = host vda2 rw", "\"disk\" is \"host vda2 rw\", it must be " DISK},
		{"disk = host vda2 ro ro", "\"disk\" is \"host vda2 ro ro\", it must be " DISK},
		{"disk = host vda3", "the machine has no disk or partition \"vda3\", \"disks\" at the "
				     "prompt shows them"},
		{"disk = host vdb", "the disk \"vdb\" can only be read, add \"ro\""},
		{"disk = tiny.img",
		 "the boot module \"tiny.img\" must have 512 bytes to 16G to be a disk"},
		{"net = 1234567890123456", "\"net\" is \"1234567890123456\", it must be " NET},
		{"net = lan.0", "\"net\" is \"lan.0\", it must be " NET},
		{"net = a/b", "\"net\" is \"a/b\", it must be " NET},
		{"net = a@", "\"net\" is \"a@\", it must be " NET},
		{"net = a[", "\"net\" is \"a[\", it must be " NET},
		{"net = a`", "\"net\" is \"a`\", it must be " NET},
		{"net = a{", "\"net\" is \"a{\", it must be " NET},
		{"net = a:", "\"net\" is \"a:\", it must be " NET},
		{"net = a b", "\"net\" is \"a b\", it must be " NET},
		{"net = a mac", "\"net\" is \"a mac\", it must be " NET},
		{"net = a mac 0", "\"net\" is \"a mac 0\", it must be " NET},
		{"net = a mac 00:00:00:00:00:00",
		 "\"net\" is \"a mac 00:00:00:00:00:00\", it must be " NET},
		{"net = a mac 03:00:00:00:00:00",
		 "\"net\" is \"a mac 03:00:00:00:00:00\", it must be " NET},
		{"net = a mac 02-00:00:00:00:00",
		 "\"net\" is \"a mac 02-00:00:00:00:00\", it must be " NET},
		{"net = a mac 02:00:00:00:00:0g",
		 "\"net\" is \"a mac 02:00:00:00:00:0g\", it must be " NET},
		{"net = a mac 02:00:00:00:00:G0",
		 "\"net\" is \"a mac 02:00:00:00:00:G0\", it must be " NET},
		{"net = a mac 02:00:00:00:00:001",
		 "\"net\" is \"a mac 02:00:00:00:00:001\", it must be " NET},
		{"net = a mac 02:00:00:00:00:01 x",
		 "\"net\" is \"a mac 02:00:00:00:00:01 x\", it must be " NET},
		{"net = a mac 02:00:00:00:00:0",
		 "\"net\" is \"a mac 02:00:00:00:00:0\", it must be " NET},
		{"pmu = yes", "\"pmu\" is \"yes\", it must be on or off"},
		{"pmu = on", "\"pmu\" must be off here, performance counters are not offered"},
		{"test-device = 1", "\"test-device\" is \"1\", it must be yes or no"},
		{"console = maybe", "\"console\" is \"maybe\", it must be yes, no or virtio"},
		{"autostart = YES", "\"autostart\" is \"YES\", it must be yes or no"},
		{"debug-exit = 0", "\"debug-exit\" is \"0\", it must be an I/O port from 1 to "
				   "0xffff, such as 0xf4"},
		{"debug-exit = 65536", "\"debug-exit\" is \"65536\", it must be an I/O port from 1 "
				       "to 0xffff, such as 0xf4"},
		{"on-exit = halt", "\"on-exit\" is \"halt\", it must be stop, restart, poweroff "
				   "or reboot"},
		{"kernel = other", "\"kernel\" is there twice in [vm bad], keep one of them"},
		{"initrd = a b", "\"initrd\" is \"a b\", it must be the name of a boot module, at "
				 "most 63 bytes"},
		{"initrd = gone", "there is no boot module \"gone\", add \"module2 FILE gone\" to "
				  "grub.cfg"},
		{"module = gone text", "there is no boot module \"gone\", add \"module2 FILE "
				       "gone\" to grub.cfg"},
		{"module = m 01234567890123456789012345678901234567890123456789012345678901234",
		 "too much text in all modules, at most 64 bytes are possible"},
		{"\x1b[31m = 1", "a control character in the line, use plain text"},
		{"caf\xc3\xa9 caf\xc3\xa9", "\"caf?? caf??\" is no setting, write KEY = VALUE"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[512], message[CONF_MESSAGE_MAX];
		struct conf conf;

		snprintf(text, sizeof(text),
			 "[vm first]\nkernel=a\nmodule = m string\n"
			 "[vm bad]\nkernel = k\n%s\n"
			 "[vm last]\nkernel=b\nmodule = m 0123456789\n",
			 cases[i].line);
		conf = parse(text);
		snprintf(message, sizeof(message), "socle.conf:6: %s", cases[i].message);
		assert_int_equal(message_count, 1);
		assert_string_equal(messages[0], message);
		/* The other guests are there, and the dropped one's strings are given back. */
		assert_int_equal(conf.vm_count, 2);
		assert_string_equal(vms[0].name, "first");
		assert_string_equal(vms[1].name, "last");
		assert_string_equal(vms[0].modules[0].string, "string");
		assert_string_equal(vms[1].modules[0].string, "0123456789");
		assert_int_equal(conf.pool_used, 7 + 11);
	}
}

/* What each form of a number of CPUs, a cap and a set of CPUs gives. */
static void test_scheduling(void **state)
{
	static const struct {
		const char *lines;
		unsigned cpus, cap;
		uint64_t cpuset;
	} cases[] = {
		{"", 1, 0, 0},
		{"cpus = 64\ncap = 6400", 64, 6400, 0},
		{"cap = 400\ncpus = 4", 4, 400, 0},
		{"cap = 100", 1, 100, 0},
		{"cap = 0", 1, 0, 0},
		{"cpuset = all", 1, 0, UINT64_MAX},
		{"cpuset = 0-63", 1, 0, UINT64_MAX},
		{"cpuset = 0-63,1", 1, 0, UINT64_MAX},
		{"cpuset = 0", 1, 0, 1},
		{"cpuset = 63", 1, 0, BIT(63)},
		{"cpuset = 4-4", 1, 0, 1 << 4},
		{"cpuset = 0x10 - 17 ,\t3", 1, 0, 1 << 16 | 1 << 17 | 1 << 3},
		{"cpuset = 5,0-3,2-6", 1, 0, 0x7f},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[128];

		snprintf(text, sizeof(text), "[vm a]\nkernel = k\n%s", cases[i].lines);
		parse(text);
		assert_int_equal(message_count, 0);
		assert_int_equal(vms[0].cpus, cases[i].cpus);
		assert_int_equal(vms[0].cap, cases[i].cap);
		assert_true(vms[0].cpuset == cases[i].cpuset);
	}
}

static void test_bad_sections(void **state)
{
	static const struct {
		const char *text;
		const char *message;
	} cases[] = {
		{"[vm a]\n[vm b]\nkernel=k\n", "1: [vm a] has no kernel, add \"kernel = NAME\""},
		{"kernel = k\n", "1: \"kernel\" is outside of a section, put [vm NAME] before it"},
		{"[vm a\nkernel=k\nx=y\n", "1: no \"]\" at the end of the line, write [vm NAME]"},
		{"[", "1: no \"]\" at the end of the line, write [vm NAME]"},
		{"[]", "1: unknown section \"\", write [vm NAME] or [network NAME]"},
		{"\n[host]\nx=y\n", "2: unknown section \"host\", write [vm NAME] or [network NAME]"},
		{"[vm]", "1: bad VM name \"\", use 1 to 31 letters, digits, \"-\", \"_\", \".\""},
		{"[vm a b]", "1: bad VM name \"a b\", use 1 to 31 letters, digits, \"-\", \"_\", "
			     "\".\""},
		{"[vm -a]", "1: bad VM name \"-a\", use 1 to 31 letters, digits, \"-\", \"_\", "
			    "\".\""},
		{"[vm a123456789b123456789c123456789d1]",
		 "1: bad VM name \"a123456789b123456789c123456789d1\", use 1 to 31 letters, "
		 "digits, \"-\", \"_\", \".\""},
		{"[vm a]\nkernel=k\n[vm a]\nkernel=gone\n",
		 "3: there is a [vm a] in line 1 already, choose another name"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char message[CONF_MESSAGE_MAX];

		parse(cases[i].text);
		snprintf(message, sizeof(message), "socle.conf:%s", cases[i].message);
		assert_int_equal(message_count, 1);
		assert_string_equal(messages[0], message);
	}
	/* A section that is dropped at the next header leaves that one's line alone. */
	parse("[vm a]\n[vm b]\nkernel=k\n[vm b]\n");
	assert_int_equal(vms[0].line, 2);
	assert_string_equal(messages[1], "socle.conf:4: there is a [vm b] in line 2 already, "
					 "choose another name");
	/* A cap is checked where it stands. */
	parse("[vm a]\nkernel = k\ncap = 900\ncpus = 8\n\n[vm b]\nkernel = k");
	assert_int_equal(message_count, 1);
	assert_string_equal(messages[0], "socle.conf:3: \"cap\" is \"900\", with \"cpus = 8\" it "
					 "must be at most 800");
}

#define PMU "[vm p]\nkernel = k\npmu = on\ncpus = 2\n"
#define ALONE                                                                                   \
	"[vm p] with \"pmu = on\" needs its CPUs for itself, give [vm b] a \"cpuset\" without " \
	"them"

/* Counters go with CPUs that no other guest may use, whichever comes first in the file. */
static void test_counters(void **state)
{
	static const struct {
		const char *text;
		const char *message; /* NULL: all is well */
		unsigned guests;     /* that are left */
	} cases[] = {
		{PMU "cpuset = 2-3\n[vm b]\nkernel = k\ncpuset = 0-1,4\n", NULL, 2},
		{PMU "cpuset = 1,5\n", NULL, 1},
		{"[vm b]\nkernel = k\ncpuset = 0\n" PMU "cpuset = 1-3\n[vm c]\nkernel = k\ncpuset=0\n",
		 NULL, 3},
		{PMU, "1: [vm p] with \"pmu = on\" needs CPUs of its own, add a \"cpuset\" of 2", 0},
		{PMU "cpuset = all\n",
		 "1: [vm p] with \"pmu = on\" needs CPUs of its own, add a \"cpuset\" of 2", 0},
		{PMU "cpuset = 3\n",
		 "1: [vm p] with \"pmu = on\" and \"cpus = 2\" has a \"cpuset\" of 1, it must be at "
		 "least 2",
		 0},
		{"[vm b]\nkernel = k\n" PMU "cpuset = 2-3\n", "3: " ALONE, 1},
		{PMU "cpuset = 2-3\n[vm b]\nkernel = k\ncpuset = 0,3\n", "1: " ALONE, 1},
		/* Of two with counters, the other may stay. */
		{PMU "cpuset = 2-3\n[vm b]\nkernel = k\ncpuset = 3\npmu = on\n", "1: " ALONE, 1},
		/* One that is left out anyway is in nobody's way. */
		{PMU "cpuset = 2-3\n[vm b]\n", "6: [vm b] has no kernel, add \"kernel = NAME\"", 1},
	};

	(void)state;
	pmu_offer.count = 1;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct conf conf = parse(cases[i].text);
		char message[CONF_MESSAGE_MAX];

		assert_int_equal(conf.vm_count, cases[i].guests);
		assert_int_equal(message_count, cases[i].message ? 1 : 0);
		snprintf(message, sizeof(message), "socle.conf:%s",
			 cases[i].message ? cases[i].message : "");
		if (cases[i].message)
			assert_string_equal(messages[0], message);
	}
	parse(PMU "cpuset = 2-3\n[vm b]\nkernel = k\ncpuset = 3\npmu = on\n");
	assert_string_equal(vms[0].name, "b");
	assert_true(vms[0].pmu);
	parse("[vm p]\nkernel = k\npmu = off\n");
	assert_int_equal(message_count, 0);
	assert_false(vms[0].pmu);
	pmu_offer = (struct pmu_offer){.text = "not offered: the CPU lacks them"};
	parse(PMU "cpuset = 1-2\n");
	assert_string_equal(messages[0], "socle.conf:3: \"pmu\" must be off here, performance "
					 "counters are not offered: the CPU lacks them");
	pmu_offer = (struct pmu_offer){0};
}

static void test_networks(void **state)
{
	static const struct {
		const char *text, *message; /* with its line; NULL: none */
		unsigned networks, guests;
	} cases[] = {
		{"[network lan0]\nuplink = eth0\n[vm a]\nkernel=k\n"
		 "[ network  A-_345678901234 ]\nuplink=eth1",
		 NULL, 2, 1},
		{"[network lan0]\n[vm a]\nkernel=k\n",
		 "1: [network lan0] has no uplink, add \"uplink = eth0\" or another card", 0, 1},
		{"[network lan0]\nuplink =\n",
		 "2: \"uplink\" has no value, it must be the name of a network card, such as eth0; "
		 "the command nic shows them",
		 0, 0},
		{"[network lan0]\nuplink = eth0 eth1\n",
		 "2: \"uplink\" is \"eth0 eth1\", it must be the name of a network card, such as "
		 "eth0; the command nic shows them",
		 0, 0},
		{"[network lan0]\nuplink = eth8\n",
		 "2: there is no network card \"eth8\", this machine has eth0 eth1 eth2 eth3 eth4 "
		 "eth5 eth6 eth7",
		 0, 0},
		{"[network a]\nuplink=eth0\n[network b]\nuplink=eth0\n[network c]\nuplink=eth1",
		 "4: eth0 is the uplink of [network a] already", 2, 0},
		{"[network a]\nuplink=eth0\nuplink=eth1\n[vm a]\nkernel=k\n",
		 "3: \"uplink\" is there twice in [network a], keep one of them", 0, 1},
		{"[network a]\nuplink=eth0\n[network a]\nuplink=eth1\n",
		 "3: there is a [network a] in line 1 already, keep one", 1, 0},
		{"[network a]\nkernel=k\nuplink=eth0\n",
		 "2: unknown key \"kernel\", the keys are: uplink", 0, 0},
		{"[network a]\nuplnk=eth0\n",
		 "2: unknown key \"uplnk\", did you mean \"uplink\"?", 0, 0},
		{"[vm a]\nkernel=k\nuplink=eth0\n",
		 "3: unknown key \"uplink\", the keys are: kernel, initrd, module, cmdline, "
		 "memory, cpus, cpu, weight, cap, cpuset, console, autostart, debug-exit, on-exit, "
		 "rng, disk, net, vsock, test-device, pmu, msr",
		 0, 0},
		{"[network]\nuplink=eth0\n",
		 "1: bad network name \"\", use 1 to 15 letters, digits, \"-\", \"_\"", 0, 0},
		{"[network a.b]\nuplink=eth0\n",
		 "1: bad network name \"a.b\", use 1 to 15 letters, digits, \"-\", \"_\"", 0, 0},
		{"[network 1234567890123456]\nuplink=eth0\n",
		 "1: bad network name \"1234567890123456\", use 1 to 15 letters, digits, \"-\", "
		 "\"_\"",
		 0, 0},
	};
	char text[1024] = "";
	struct conf conf;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char message[CONF_MESSAGE_MAX];

		conf = parse(cases[i].text);
		snprintf(message, sizeof(message), "socle.conf:%s",
			 cases[i].message ? cases[i].message : "");
		assert_int_equal(message_count, cases[i].message ? 1 : 0);
		if (cases[i].message)
			assert_string_equal(messages[0], message);
		assert_int_equal(conf.network_count, cases[i].networks);
		assert_int_equal(conf.vm_count, cases[i].guests);
	}
	conf = parse(cases[0].text);
	assert_string_equal(conf.networks[0].name, "lan0");
	assert_string_equal(conf.networks[0].uplink, "eth0");
	assert_string_equal(conf.networks[1].name, "A-_345678901234");
	assert_string_equal(conf.networks[1].uplink, "eth1");
	for (unsigned i = 0; i < NETWORKS_MAX + 1; i++) {
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len, "[network n%u]\nuplink=eth%u\n", i, i);
	}
	conf = parse(text);
	assert_int_equal(conf.network_count, NETWORKS_MAX);
	assert_string_equal(messages[0], "socle.conf:17: too many networks with a section, at most "
					 "8 are possible");
	assert_int_equal(message_count, 1);
}

static void test_limits(void **state)
{
	char text[8192];
	size_t len = 0;
	struct conf conf;

	(void)state;
	for (unsigned i = 0; i < VM_MAX + 2; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "[vm v%u]\nkernel=k\n", i);
	conf = parse(text);
	assert_int_equal(conf.vm_count, VM_MAX);
	assert_int_equal(message_count, 2);
	assert_string_equal(messages[0], "socle.conf:129: too many VMs, at most 64 are possible");

	len = (size_t)snprintf(text, sizeof(text), "[vm a]\nkernel=k\n");
	for (unsigned i = 0; i < VM_MODULES_MAX + 1; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "module=m\n");
	parse(text);
	assert_int_equal(message_count, 1);
	assert_string_equal(messages[0],
			    "socle.conf:19: too many modules, at most 16 are possible");

	len = (size_t)snprintf(text, sizeof(text), "[vm a]\nkernel=k\n");
	for (unsigned i = 0; i < VM_DISKS_MAX + 1; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "disk=m\n");
	parse(text);
	assert_string_equal(messages[0], "socle.conf:11: too many disks, at most 8 are possible");

	len = (size_t)snprintf(text, sizeof(text), "[vm a]\nkernel=k\n");
	for (unsigned i = 0; i < VM_NETS_MAX + 1; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "net=m\n");
	parse(text);
	assert_string_equal(messages[0], "socle.conf:7: too many networks, at most 4 are possible");

	/* The longest command line that fits, and one byte more. */
	len = (size_t)snprintf(text, sizeof(text), "[vm a]\nkernel=k\ncmdline=");
	memset(text + len, 'c', VM_CMDLINE_MAX);
	conf = parse_bytes(text, len + VM_CMDLINE_MAX - 1);
	assert_int_equal(conf.vm_count, 1);
	assert_int_equal(strlen(vms[0].cmdline), VM_CMDLINE_MAX - 1);
	conf = parse_bytes(text, len + VM_CMDLINE_MAX);
	assert_int_equal(conf.vm_count, 0);
	assert_int_equal(message_count, 1);
	assert_string_equal(messages[0], "socle.conf:3: \"cmdline\" is "
					 "\"cccccccccccccccccccccccccccccccccccccccc\", it must be "
					 "at most 2047 bytes long");
}

static void test_odd_texts(void **state)
{
	static const char nul[] = "[vm a]\nkernel = k\0k\n[vm b]\nkernel=k";
	static const char bom[] = "\xef\xbb\xbf[vm a]\r\nkernel=k\r\n";
	char flood[4096];
	struct conf conf;

	(void)state;
	conf = parse("");
	assert_int_equal(conf.errors + conf.vm_count, 0);
	conf = parse("\n\n \t\r\n#");
	assert_int_equal(conf.errors + conf.vm_count, 0);
	conf = parse_bytes(bom, sizeof(bom) - 1);
	assert_int_equal(conf.errors, 0);
	assert_string_equal(vms[0].kernel, "k");
	conf = parse_bytes(nul, sizeof(nul) - 1);
	assert_int_equal(conf.vm_count, 1);
	assert_string_equal(vms[0].name, "b");
	assert_string_equal(messages[0],
			    "socle.conf:2: a control character in the line, use plain text");

	/* A file that is no configuration at all does not flood the console. */
	memset(flood, '=', sizeof(flood));
	for (size_t i = 0; i < sizeof(flood); i += 8)
		flood[i] = '\n';
	conf = parse_bytes(flood, sizeof(flood));
	assert_int_equal(conf.errors, sizeof(flood) / 8);
	assert_int_equal(message_count, CONF_MESSAGES_MAX + 1);
}

/* Who is given which address, and which group. */
static void test_vsock(void **state)
{
	struct conf conf = parse("[vm a]\nkernel = k\nvsock = global\n"
				 "[vm broken]\nvsock = global\n" /* no kernel, but a number */
				 "[vm b]\nkernel = k\n"
				 "[vm c]\nkernel = k\nvsock = local:123456789-12345\n"
				 "[vm d]\nkernel = k\nvsock = local:x cid 0xfffffffe\n"
				 "vsock = local:x  cid 4294967294\n"
				 "[vm e]\nkernel = k\nvsock = global cid 3000\n");

	(void)state;
	assert_int_equal(conf.vm_count, 5);
	assert_int_equal(message_count, 1);
	assert_int_equal(vms[0].vsock_cid, 3);
	assert_string_equal(vms[0].vsock_group, "");
	assert_int_equal(vms[1].vsock_cid, 0);
	assert_int_equal(vms[2].vsock_cid, 6);
	assert_string_equal(vms[2].vsock_group, "123456789-12345");
	assert_int_equal(vms[3].vsock_cid, 0xfffffffe);
	assert_string_equal(vms[3].vsock_group, "x");
	assert_int_equal(vms[4].vsock_cid, 3000);
}

static void test_bad_vsock(void **state)
{
	static const char expects[] = "it must be global, or local:GROUP (1 to 15 bytes), and "
				      "perhaps \"cid\" and a number";
	static const char *const values[] = {
		"yes", "local", "local:", "local:1234567890123456", "globally", "global 5",
		"global cid", "global cid x", "global cid 5 6", "global cid -1", "local: x"};
	static const char *const reserved[] = {"0", "1", "2", "4294967295", "0x100000003"};
	char text[128], message[CONF_MESSAGE_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		snprintf(text, sizeof(text), "[vm a]\nkernel = k\nvsock = %s\n", values[i]);
		snprintf(message, sizeof(message), "socle.conf:3: \"vsock\" is \"%s\", %s",
			 values[i], expects);
		assert_int_equal(parse(text).vm_count, 0);
		assert_int_equal(message_count, 1);
		assert_string_equal(messages[0], message);
	}
	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++) {
		snprintf(text, sizeof(text), "[vm a]\nkernel = k\nvsock = global cid %s\n",
			 reserved[i]);
		snprintf(message, sizeof(message),
			 "socle.conf:3: the cid of \"vsock\" is %llu, it must be from 3 to 4294967294: "
			 "others are reserved",
			 strtoull(reserved[i], NULL, 0));
		assert_int_equal(parse(text).vm_count, 0);
		assert_int_equal(message_count, 1);
		assert_string_equal(messages[0], message);
	}
	/* Written once: what differs is refused, be it the group or the address. */
	assert_int_equal(parse("[vm a]\nkernel = k\nvsock = local:x\nvsock = local:y\n").vm_count, 0);
	assert_string_equal(messages[0], "socle.conf:4: \"vsock\" is local:x cid 3 already and cannot be "
					 "changed: busy");
	assert_int_equal(parse("[vm a]\nkernel = k\nvsock = global\nvsock = global cid 9\n").vm_count,
			 0);
	assert_string_equal(messages[0], "socle.conf:4: \"vsock\" is global cid 3 already and cannot be "
					 "changed: busy");
	/* Two with one address, one of them by its number. */
	assert_int_equal(parse("[vm a]\nkernel = k\nvsock = global cid 4\n\n"
			       "[vm b]\nkernel = k\nvsock = local:x\n[vm c]\nkernel = k\n"
			       "vsock = global\n")
				 .vm_count,
			 2);
	assert_int_equal(message_count, 1);
	assert_string_equal(messages[0], "socle.conf:5: [vm b] has the vsock cid 4 of [vm a], give one "
					 "another by \"cid N\"");
	assert_string_equal(vms[1].name, "c");
}

/* The user's guide explains every key. */
static void test_documented(void **state)
{
	static char text[65536];
	FILE *file = fopen("docs/configuration.md", "r");

	(void)state;
	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	for (size_t i = 0; i < conf_key_count + conf_network_key_count; i++) {
		const struct conf_key *key =
			i < conf_key_count ? &conf_keys[i] : &conf_network_keys[i - conf_key_count];
		char row[64];

		snprintf(row, sizeof(row), "\n| `%s` |", key->name);
		if (!strstr(text, row))
			fail_msg("docs/configuration.md lacks the key %s", key->name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything),   cmocka_unit_test(test_msr_filter),
		cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_scheduling),   cmocka_unit_test(test_bad_sections),
		cmocka_unit_test(test_counters),     cmocka_unit_test(test_vsock),
		cmocka_unit_test(test_bad_vsock),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_odd_texts),    cmocka_unit_test(test_documented),
	};

	return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
