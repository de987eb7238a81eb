/* SPDX-License-Identifier: BSD-2-Clause */
/* Sections [network NAME] of socle.conf: the card of the machine that a network has as uplink. */
#include "conf_keys.h"
#include "socle/drivers/nic.h"
#include "socle/format.h"
#include "socle/string.h"

_Static_assert(NETWORK_CARD_MAX == NIC_NAME_MAX, "the setting holds a card's name");

void conf_begin_network(struct conf *conf, struct slice name)
{
	struct network_settings *network;

	for (unsigned i = 0; i < conf->network_count; i++) {
		if (slice_is(name, conf->networks[i].name)) {
			conf_error(conf, "there is a [network %s] in line %u already, keep one",
				   conf->networks[i].name, conf->networks[i].line);
			return;
		}
	}
	if (conf->network_count == NETWORKS_MAX) {
		conf_error(conf, "too many networks with a section, at most %d are possible",
			   NETWORKS_MAX);
		return;
	}
	network = &conf->networks[conf->network_count];
	*network = (struct network_settings){.line = conf->line};
	if (!conf_is_network(name) || !slice_copy(network->name, sizeof(network->name), name)) {
		conf_error(conf,
			   "bad network name \"%.*s\", use 1 to %d letters, digits, \"-\", \"_\"",
			   SHOW(name), VM_NET_NAME - 1);
		return;
	}
	conf->network = network;
}

void conf_check_network(struct conf *conf, const struct network_settings *network)
{
	if (network->uplink[0])
		return;
	conf->line = network->line;
	conf_error(conf, "[network %s] has no uplink, add \"uplink = eth0\" or another card",
		   network->name);
}

static void no_card(struct conf *conf, const char *name)
{
	char list[NIC_MAX * NIC_NAME_MAX] = "no card";
	size_t used = 0;

	for (struct nic *nic = nic_next(NULL); nic; nic = nic_next(nic)) {
		struct nic_state state;

		nic_look(nic, &state);
		used += format(list + used, sizeof(list) - used, "%s%s", used ? " " : "",
			       state.name);
	}
	conf_error(conf, "there is no network card \"%s\", this machine has %s", name, list);
}

static bool set_uplink(struct conf *conf, struct slice value)
{
	char *card = conf->network->uplink;

	if (!slice_copy(card, NETWORK_CARD_MAX, value))
		return false;
	for (unsigned i = 0; i < conf->network_count; i++) {
		if (strcmp(conf->networks[i].uplink, card) == 0) {
			conf_error(conf, "%s is the uplink of [network %s] already", card,
				   conf->networks[i].name);
			return true;
		}
	}
	if (!nic_find(card))
		no_card(conf, card);
	return true;
}

const struct conf_key conf_network_keys[] = {
	{.name = "uplink",
	 .set = set_uplink,
	 .expects = "the name of a network card, such as eth0; the command nic shows them"},
};

const unsigned conf_network_key_count = ARRAY_SIZE(conf_network_keys);
