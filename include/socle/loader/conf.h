/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration file socle.conf: its text in, the settings of every VM out. */
#ifndef SOCLE_LOADER_CONF_H
#define SOCLE_LOADER_CONF_H

#include "socle/kernel/config.h"
#include "socle/status.h"

/* Name of the boot module that holds the configuration. */
#define CONF_NAME "socle.conf"

/* Room for one message, with its final NUL. */
#define CONF_MESSAGE_MAX 256

/* After so many messages the rest of a hopeless file is parsed silently. */
#define CONF_MESSAGES_MAX 20

struct conf;

/*
 * One parse. The caller sets the first five members, conf_parse() the others. The buffers must
 * live as long as the settings are used.
 */
struct conf {
	struct vm_settings *vms; /* where the settings go */
	unsigned vms_max;	 /* entries of @vms, at most VM_MAX */
	char *pool;		 /* where the strings of `module` keys go */
	size_t pool_size;	 /* bytes */

	/* Told every error as "socle.conf:LINE: what is wrong, what would be right". */
	void (*error)(struct conf *conf, const char *message);

	unsigned vm_count; /* entries of @vms that are filled */
	struct network_settings networks[NETWORKS_MAX];
	unsigned network_count; /* entries of @networks that are filled */
	unsigned errors;	/* messages there were, shown or not */
	size_t pool_used;	/* bytes of @pool in use */
	unsigned line;		/* the line being parsed, from 1 */
	unsigned sections;	/* headers of VMs so far, also of those with errors */

	/* The section being parsed. */
	struct vm_settings *vm; /* NULL: before the first section, or in one of another kind */
	struct network_settings *network; /* likewise */
	bool skipping;			  /* in a section with a bad header: its keys are ignored */
	bool broken;			  /* an error in this section: it will be dropped */
	uint32_t seen;			  /* bits of the keys that it has had */
	unsigned cap_line;		  /* where its last `cap` is */
	size_t pool_mark;		  /* @pool_used at its start */
};

/*
 * Parses the @len bytes at @text, which need no final NUL. Sections with an error are left out of
 * @conf->vms and @conf->networks; the others are complete, defaults included. Modules are looked up
 * with boot_module_find(), network cards with nic_find(). Returns 0, or -S_INVAL if there was any
 * error.
 */
status_t conf_parse(struct conf *conf, const char *text, size_t len);

#endif
