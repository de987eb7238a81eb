/* SPDX-License-Identifier: BSD-2-Clause */
/* The key `net` of socle.conf: a network that the guest is connected to, and its address there. */
#include "conf_keys.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int hex(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool conf_is_network(struct slice x)
{
	for (size_t i = 0; i < x.len; i++) {
		char c = x.s[i], letter = c | 0x20;

		if (!(letter >= 'a' && letter <= 'z') && !is_digit(c) && c != '-' && c != '_')
			return false;
	}
	return x.len > 0;
}

/* Six bytes in hexadecimal, of one station. */
static bool read_mac(uint8_t mac[6], struct slice text)
{
	bool zero = true;

	if (text.len != 17)
		return false;
	for (unsigned i = 0; i < 6; i++) {
		int high = hex(text.s[3 * i]), low = hex(text.s[3 * i + 1]);

		if (high < 0 || low < 0 || (i < 5 && text.s[3 * i + 2] != ':'))
			return false;
		mac[i] = (uint8_t)(high << 4 | low);
		zero = zero && !mac[i];
	}
	return !zero && !(mac[0] & 1);
}

bool conf_set_net(struct conf *conf, struct slice value)
{
	struct slice name = slice_word(&value), word = slice_word(&value);
	struct vm_settings *vm = conf->vm;
	struct vm_net *net;

	if (vm->net_count == VM_NETS_MAX) {
		conf_error(conf, "too many networks, at most %d are possible", VM_NETS_MAX);
		return true;
	}
	net = &vm->nets[vm->net_count++];
	if (!conf_is_network(name) || !slice_copy(net->network, sizeof(net->network), name))
		return false;
	return !word.len || (slice_is(word, "mac") && read_mac(net->mac, value));
}
