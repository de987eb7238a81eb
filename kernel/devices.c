/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds the machine's PCI devices for their drivers, and looks after those that do not interrupt.
 */
#include "devices.h"
#include "socle/drivers/pci.h"
#include "socle/kernel/clock.h"
#include "socle/kernel/log.h"
#include "socle/kernel/time.h"

enum {
	POLL_MS = 2,	 /* where there is no interrupt */
	WATCH_MS = 1000, /* for one that was lost, and for requests that take too long */
};

static struct timer watch;

static void look(struct timer *t)
{
	host_pci_poll();
	timer_set(t, time_now() + (host_pci_polled() ? POLL_MS : WATCH_MS) * NS_PER_MS);
}

static bool drive(struct host_pci *fn)
{
	const struct host_pci_driver *const *d;

	section_for_each (d, pci_drivers) {
		if ((*d)->vendor == fn->vendor && (*d)->device == fn->device && (*d)->probe(fn))
			return true;
	}
	return false;
}

void devices_start(void)
{
	bool any = false;
	unsigned n = 0;

	host_pci_scan();
	for (struct host_pci *fn = host_pci_next(NULL); fn; fn = host_pci_next(fn)) {
		log_debug("pci: %02x:%02x.%u %04x:%04x, class %06x", fn->bus, fn->slot,
			  fn->function, fn->vendor, fn->device, fn->class);
		fn->driven = drive(fn);
		any |= fn->driven;
		n++;
	}
	log_info("pci: %u functions", n);
	if (host_pci_dropped())
		log_warn("pci: %u functions more than the %u that are supported: ignored",
			 host_pci_dropped(), HOST_PCI_MAX);
	if (!any)
		return;
	if (timers_reserve(1))
		panic("out of memory for the watch over devices");
	timer_init(&watch, look);
	look(&watch);
}
