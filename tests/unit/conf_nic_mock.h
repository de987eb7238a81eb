/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests of the parser of socle.conf: a machine with NIC_MAX network cards. */
#ifndef TESTS_UNIT_CONF_NIC_MOCK_H
#define TESTS_UNIT_CONF_NIC_MOCK_H

#include <string.h>

#include "socle/drivers/nic.h"

struct nic {
	const char *name;
};

static struct nic conf_cards[NIC_MAX] = {{"eth0"}, {"eth1"}, {"eth2"}, {"eth3"},
					 {"eth4"}, {"eth5"}, {"eth6"}, {"eth7"}};

struct nic *nic_next(struct nic *nic)
{
	nic = nic ? nic + 1 : conf_cards;
	return nic < conf_cards + NIC_MAX ? nic : NULL;
}

struct nic *nic_find(const char *name)
{
	struct nic *nic = nic_next(NULL);

	while (nic && strcmp(nic->name, name))
		nic = nic_next(nic);
	return nic;
}

void nic_look(const struct nic *nic, struct nic_state *state)
{
	*state = (struct nic_state){.name = nic->name};
}

#endif
