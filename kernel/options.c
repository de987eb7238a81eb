/* SPDX-License-Identifier: BSD-2-Clause */
/* Parses the hypervisor's command line: serial=PORT[,BAUD] debug-exit=PORT cpus=N bench selftest=.
 */
#include "options.h"
#include "socle/cpu/cpu.h"
#include "socle/string.h"

static bool parse_port(const char *s, size_t len, uint16_t *port)
{
	static const struct {
		char name[5];
		uint16_t port;
	} names[] = {{"com1", 0x3f8}, {"com2", 0x2f8}, {"com3", 0x3e8}, {"com4", 0x2e8}};
	uint64_t value;

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (len == 4 && !strncmp(s, names[i].name, 4)) {
			*port = names[i].port;
			return true;
		}
	}
	if (!parse_u64(s, len, &value) || value == 0 || value > 0xffff)
		return false;
	*port = value;
	return true;
}

/* "com1", "com1,9600" or "0x3f8,115200". */
static bool parse_serial(struct options *o, const char *s, size_t len)
{
	size_t name = 0;
	uint64_t baud;

	while (name < len && s[name] != ',')
		name++;
	if (name < len) {
		if (!parse_u64(s + name + 1, len - name - 1, &baud) || baud < 50 || baud > 115200)
			return false;
		o->serial_baud = baud;
	}
	return parse_port(s, name, &o->serial_port);
}

static bool parse_cpus(struct options *o, const char *s, size_t len)
{
	uint64_t value;

	if (!parse_u64(s, len, &value) || value == 0 || value > CPU_MAX)
		return false;
	o->cpus = value;
	return true;
}

static bool parse_word(struct options *o, const char *s, size_t len)
{
	if (len == 5 && !strncmp(s, "bench", 5)) {
		o->bench = true;
		return true;
	}
	if (len == 14 && !strncmp(s, "selftest=stack", 14)) {
		o->overflow_stack = true;
		return true;
	}
	if (len == 14 && !strncmp(s, "selftest=entry", 14)) {
		o->break_entry = true;
		return true;
	}
	if (len == 12 && !strncmp(s, "selftest=tsc", 12)) {
		o->skew_tsc = true;
		return true;
	}
	if (len == 9 && !strncmp(s, "apicv=off", 9)) {
		o->no_apicv = true;
		o->force_apicv = false;
		return true;
	}
	if (len == 8 && !strncmp(s, "apicv=on", 8)) {
		o->no_apicv = false;
		o->force_apicv = true;
		return true;
	}
	if (len == 15 && !strncmp(s, "mitigations=off", 15)) {
		o->no_mitigations = true;
		return true;
	}
	if (len > 5 && !strncmp(s, "cpus=", 5))
		return parse_cpus(o, s + 5, len - 5);
	if (len > 7 && !strncmp(s, "serial=", 7))
		return parse_serial(o, s + 7, len - 7);
	if (len > 11 && !strncmp(s, "debug-exit=", 11))
		return parse_port(s + 11, len - 11, &o->debug_exit);
	return false;
}

void options_parse(struct options *o, const char *cmdline)
{
	*o = (struct options){.serial_port = 0x3f8, .serial_baud = 115200, .cpus = CPU_MAX};
	while (*cmdline) {
		size_t len = 0;

		while (cmdline[len] && cmdline[len] != ' ')
			len++;
		if (len && !parse_word(o, cmdline, len) && !o->unknown[0])
			str_copy(o->unknown, MIN(len + 1, sizeof(o->unknown)), cmdline);
		cmdline += len + (cmdline[len] == ' ');
	}
}
