/* SPDX-License-Identifier: BSD-2-Clause */
/* Hostile drivers: whatever they do, from one CPU or two, a reset makes the device work again. */
#include "hostile_steps.h"
#include "socle/guest/state.h"

const char test_name[] = "virtio_hostile";

enum { ROUNDS = 10, STEPS = 150, RUSH = 100000, REQUEST = 512 };

/* All of it that the console takes is shown, so that is not much. */
static const uint32_t any_length[LENGTHS] = {0, 1, 16, 4097, 65537, 16 * MiB, 511, UINT32_MAX};
static const uint32_t brief[LENGTHS] = {0, 1, 2, 3, 0, 1, 2, UINT32_MAX};

static struct target targets[] = {
	{VIRTIO_ID_RNG, 0, "rng", any_length, {0}, 0, 0},
	{VIRTIO_ID_CONSOLE, 1, "console", brief, {0}, 0, 0},
	{VIRTIO_ID_BLOCK, 0, "block", any_length, {0}, 0, 0},
};

static struct vq q;
static uint8_t bytes[REQUEST];
static volatile bool stop;

static void rush(void *target)
{
	for (unsigned i = 0; i < RUSH && !stop; i++) {
		step(target);
		smp_open();
	}
}

/* Does it do what it is for? */
static void check_works(struct target *t, const char *after)
{
	static struct virtio_blk_outhdr header;
	static uint8_t status;
	unsigned last = 0;

	restore(t);
	msix_enable(&t->v, false, false);
	virtio_set_status(&t->v, 0);
	check(virtio_status(&t->v) == 0, "%s: status %#x in reset after %s", t->name,
	      virtio_status(&t->v), after);
	if (!check(virtio_start(&t->v, &q, t->queue, BIT(VIRTIO_F_VERSION_1)),
		   "%s: refuses its features after %s", t->name, after))
		return;
	memset(bytes, 0, sizeof(bytes));
	header.type = VIRTIO_BLK_T_IN;
	status = 0xff;
	if (t->id == VIRTIO_ID_BLOCK) {
		vq_describe(&q, 0, (uintptr_t)&header, sizeof(header), VRING_DESC_F_NEXT, 1);
		vq_describe(&q, 1, (uintptr_t)bytes, REQUEST,
			    VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2);
		vq_describe(&q, 2, (uintptr_t)&status, 1, VRING_DESC_F_WRITE, 0);
	} else if (t->id == VIRTIO_ID_CONSOLE) {
		vq_describe(&q, 0, (uintptr_t)bytes, 0, 0, 0);
	} else {
		vq_describe(&q, 0, (uintptr_t)bytes, REQUEST, VRING_DESC_F_WRITE, 0);
	}
	vq_offer(&q, 0);
	vq_notify(&t->v, t->queue);
	check(vq_wait(&q, 1) == 1, "%s: no request comes back after %s", t->name, after);
	for (unsigned i = 0; i < REQUEST; i++)
		last |= bytes[i];
	check(t->id != VIRTIO_ID_RNG || last, "%s: gives zeroes after %s", t->name, after);
	check(t->id != VIRTIO_ID_BLOCK || status == VIRTIO_BLK_S_OK, "%s: status %u after %s",
	      t->name, status, after);
	virtio_set_status(&t->v, 0);
}

static bool needs_reset(struct target *t)
{
	bool needs;

	irq_on();
	for (unsigned i = 0; i < 20 && !(virtio_status(&t->v) & VIRTIO_CONFIG_S_NEEDS_RESET); i++)
		delay_us(1000);
	irq_off();
	needs = virtio_status(&t->v) & VIRTIO_CONFIG_S_NEEDS_RESET;
	t->resets += needs;
	return needs;
}

/* FEATURES_OK only with VERSION_1, and with nothing that is not offered. */
static void features(struct target *t)
{
	uint64_t offered = virtio_offered(&t->v);

	for (unsigned i = 0; i < 200; i++) {
		uint64_t some = ((uint64_t)word() << 32 | word()) & offered;
		bool good;

		/* Each one of the others; no more than what is offered, in any combination. */
		some |= i < 64 ? BIT(i) | BIT(VIRTIO_F_VERSION_1) : 0;
		good = !(some & ~offered) && (some & BIT(VIRTIO_F_VERSION_1));
		accept(&t->v, some);
		check(!!(virtio_status(&t->v) & VIRTIO_CONFIG_S_FEATURES_OK) == good,
		      "%s: features %#llx: status %#x", t->name, (unsigned long long)some,
		      virtio_status(&t->v));
	}
}

/* Queues that are not in memory or misaligned, with every part of them wrong in turn. */
static void bad_places(struct target *t)
{
	static const uint64_t bad[] = {END - 8,		LAPIC_BASE,	0xd0000000, 0x103000000,
				       UINT64_MAX - 15, ARENA + 0x8001, END};

	for (unsigned i = 0; i < 3 * ARRAY_SIZE(bad); i++) {
		const unsigned register_of[] = {VIRTIO_PCI_COMMON_Q_DESCLO,
						VIRTIO_PCI_COMMON_Q_AVAILLO,
						VIRTIO_PCI_COMMON_Q_USEDLO};

		virtio_begin(&t->v, BIT(VIRTIO_F_VERSION_1));
		virtio_set(&t->v, VIRTIO_PCI_COMMON_Q_SELECT, 2, t->queue);
		for (unsigned part = 0; part < 3; part++)
			set_half(&t->v, register_of[part],
				 part == i % 3 ? bad[i / 3] : ARENA + part * RING_SPAN);
		virtio_set(&t->v, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
		check(needs_reset(t), "%s: a queue with part %u at %#llx", t->name, i % 3,
		      (unsigned long long)bad[i / 3]);
		check(!virtio_get(&t->v, VIRTIO_PCI_COMMON_Q_ENABLE, 2), "%s: it is enabled",
		      t->name);
	}
}

static void bad_chains(struct target *t)
{
	const uint64_t at = ARENA, in = ARENA + 0x1000;
	const uint16_t next = VRING_DESC_F_NEXT, write = VRING_DESC_F_WRITE,
		       indirect = VRING_DESC_F_INDIRECT;
	const struct {
		const char *what;
		struct vring_desc d[2]; /* at 0 and 1, and in the table at @in */
		uint16_t head, ahead;	/* ahead: what the index jumps by; 0: as it should */
	} bad[] = {
		{"a loop", {{at, 1, next | write, 1}, {at, 1, next | write, 0}}, 0, 0},
		{"itself", {{at, 1, next | write, 0}}, 0, 0},
		{"next outside", {{at, 1, next | write, VQ_MAX}}, 0, 0},
		{"a head outside", {{at, 1, write, 0}}, 0xffff, 0},
		{"a jump of the index", {{at, 1, write, 0}}, 0, VQ_MAX + 1},
		{"readable behind writable", {{at, 1, next | write, 1}, {at, 1, 0, 0}}, 0, 0},
		{"an address outside", {{0xd0000000, 16, write, 0}}, 0, 0},
		{"across the end", {{END - 8, 16, write, 0}}, 0, 0},
		{"a wrap-around", {{UINT64_MAX - 7, 16, write, 0}}, 0, 0},
		{"a huge length", {{at, UINT32_MAX, write, 0}}, 0, 0},
		{"a table of 15 bytes", {{in, 15, indirect, 0}}, 0, 0},
		{"a table of no bytes", {{in, 0, indirect, 0}}, 0, 0},
		{"a huge table", {{in, 0x10000, indirect, 0}}, 0, 0},
		{"a table in chips", {{LAPIC_BASE, 32, indirect, 0}}, 0, 0},
		{"a table in a device", {{t->bar, 32, indirect, 0}}, 0, 0},
		{"a table at the end", {{END - 16, 32, indirect, 0}}, 0, 0},
		{"a table in a table", {{in, 32, indirect, 0}}, 0, 0},
		{"next and indirect", {{in, 32, indirect | next, 1}}, 0, 0},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		virtio_start(&t->v, &q, t->queue,
			     BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_INDIRECT_DESC));
		for (unsigned k = 0; k < 2; k++)
			q.desc[k] = ((struct vring_desc *)in)[k] = bad[i].d[k];
		if (bad[i].ahead)
			q.avail.idx = bad[i].ahead;
		else
			vq_offer(&q, bad[i].head);
		vq_notify(&t->v, t->queue);
		check(needs_reset(t), "%s: %s: status %#x", t->name, bad[i].what,
		      virtio_status(&t->v));
		check(vq_returned(&q) == 0, "%s: %s: it came back", t->name, bad[i].what);
	}
}

static void on_anything(struct frame *f)
{
	if (f->vector != 2)
		lapic_write(LAPIC_EOI, 0);
}

/* The word seed=N on the command line. */
static uint64_t seed(void)
{
	uint64_t n = 0;

	for (const char *p = (const char *)(uintptr_t)mb_info()->cmdline; *p; p++) {
		if (strncmp(p, "seed=", 5))
			continue;
		for (p += 5; *p >= '0' && *p <= '9'; p++)
			n = 10 * n + (uint64_t)(*p - '0');
		break;
	}
	return n ? n : 1;
}

static void play(struct target *t, uint64_t number)
{
	states[0] = number * 0x9e3779b97f4a7c15;
	states[1] = ~states[0];
	stop = false;
	if (smp_count > 1)
		smp_run(1, rush, t);
	for (unsigned i = 0; i < STEPS; i++) {
		step(t);
		if (i % 16 == 0) {
			irq_on();
			irq_off();
		}
	}
	stop = true;
	if (smp_count > 1)
		smp_join(1);
	restore(t);
	t->resets += virtio_status(&t->v) >> 6 & 1;
	check_works(t, "random steps");
}

void test_main(void)
{
	static uint8_t *const guard = (uint8_t *)(uintptr_t)(ARENA - 0x1000);
	unsigned found = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(targets); i++) {
		found += virtio_find(&targets[i].v, targets[i].id);
		targets[i].bar = pci_read(targets[i].v.slot % 32, BAR) & ~0xfu;
	}
	if (found < ARRAY_SIZE(targets))
		skip("no virtio entropy device, console and disk");
	smp_init(1, 2);
	if (smp_count > 1)
		smp_start_others();
	irq_set(2, on_anything);
	for (unsigned vector = 32; vector < 256; vector++)
		irq_set((uint8_t)vector, on_anything);
	memset(guard, 0x5a, 0x1000);
	states[0] = seed();
	for (unsigned i = 0; i < ARRAY_SIZE(targets); i++) {
		check_works(&targets[i], "the start");
		features(&targets[i]);
		bad_places(&targets[i]);
		bad_chains(&targets[i]);
		check_works(&targets[i], "bad chains");
	}
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned i = 0; i < ARRAY_SIZE(targets); i++)
			play(&targets[i], seed() + ROUNDS * i + round);
	for (unsigned i = 0; i < ARRAY_SIZE(targets); i++)
		info("%s needed %u resets", targets[i].name, targets[i].resets);
	for (unsigned i = 0; i < 0x1000; i++)
		if (!check(guard[i] == 0x5a, "memory was written that was nobody's"))
			break;
}
