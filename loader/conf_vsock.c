/* SPDX-License-Identifier: BSD-2-Clause */
/* The value of `vsock`: with whom a guest's sockets may talk, and its address (CID). */
#include "conf_keys.h"
#include "socle/string.h"

enum {
	CID_FIRST = 3,	      /* 0 and 1 are reserved, 2 is Socle's (virtio 1.2, 5.10.4) */
	CID_LAST = 0xfffffffe /* the one behind it is reserved, too */
};

#define LOCAL "local:"

struct vsock_value {
	char group[VM_GROUP_MAX]; /* empty: global */
	uint32_t cid;
};

static bool set_group(struct vsock_value *wanted, struct slice scope)
{
	const size_t prefix = strlen(LOCAL);

	wanted->group[0] = '\0';
	if (slice_is(scope, "global"))
		return true;
	if (scope.len <= prefix || memcmp(scope.s, LOCAL, prefix) != 0)
		return false;
	return slice_copy(wanted->group, sizeof(wanted->group),
			  (struct slice){scope.s + prefix, scope.len - prefix});
}

/* "cid N", or nothing: then its section's number in the file decides, whatever is in the others. */
static bool set_cid(struct conf *conf, struct vsock_value *wanted, struct slice rest)
{
	uint64_t cid = CID_FIRST + conf->sections - 1;
	struct slice word = slice_word(&rest);

	if (word.len && (!slice_is(word, "cid") || !parse_u64(rest.s, rest.len, &cid)))
		return false;
	if (cid < CID_FIRST || cid > CID_LAST)
		conf_error(conf,
			   "the cid of \"vsock\" is %llu, it must be from %u to %u: others are "
			   "reserved",
			   (unsigned long long)cid, CID_FIRST, CID_LAST);
	wanted->cid = (uint32_t)cid;
	return true;
}

/* It is written once: the same again is fine. */
static status_t settle(struct vm_settings *vm, const struct vsock_value *wanted)
{
	if (vm->vsock_cid &&
	    (vm->vsock_cid != wanted->cid || strcmp(vm->vsock_group, wanted->group)))
		return -S_BUSY;
	vm->vsock_cid = wanted->cid;
	memcpy(vm->vsock_group, wanted->group, sizeof(vm->vsock_group));
	return 0;
}

bool conf_set_vsock(struct conf *conf, struct slice value)
{
	struct slice scope = slice_word(&value);
	struct vsock_value wanted;
	status_t status;

	if (!set_group(&wanted, scope) || !set_cid(conf, &wanted, value))
		return false;
	status = settle(conf->vm, &wanted);
	if (status)
		conf_error(conf, "\"vsock\" is %s%s cid %u already and cannot be changed: %s",
			   conf->vm->vsock_group[0] ? LOCAL : "global", conf->vm->vsock_group,
			   conf->vm->vsock_cid, status_text(status));
	return true;
}

/* An earlier guest with the CID of @vm; NULL: none. */
static const struct vm_settings *namesake(const struct conf *conf, const struct vm_settings *vm)
{
	for (const struct vm_settings *other = conf->vms; other < vm; other++)
		if (vm->vsock_cid && other->vsock_cid == vm->vsock_cid)
			return other;
	return NULL;
}

void conf_check_cids(struct conf *conf)
{
	for (unsigned i = 0; i < conf->vm_count;) {
		struct vm_settings *vm = &conf->vms[i];
		const struct vm_settings *other = namesake(conf, vm);

		if (!other) {
			i++;
			continue;
		}
		conf->line = vm->line;
		conf_error(conf,
			   "[vm %s] has the vsock cid %u of [vm %s], give one another by "
			   "\"cid N\"",
			   vm->name, vm->vsock_cid, other->name);
		conf->vm_count--;
		memmove(vm, vm + 1, (conf->vm_count - i) * sizeof(*vm));
	}
}
