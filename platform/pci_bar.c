/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory BARs: one region of the bus over PCI's window, in which the guest moves them about. */
#include "socle/platform/pci.h"

/* The BAR that answers at @gpa, or NULL. What a vCPU moves meanwhile is found here or there. */
static __always_inline struct pci_bar *bar_at(struct pci *pci, uint64_t gpa, unsigned size,
					      uint32_t *offset)
{
	for (unsigned i = 0; i < pci->bars; i++) {
		struct pci_bar *bar = &pci->bar[i];
		uint64_t base = __atomic_load_n(&bar->base, __ATOMIC_RELAXED);

		/* Base 0 is below the window, by more than any size. */
		if (gpa - base < bar->size && size <= bar->size - (gpa - base)) {
			*offset = (uint32_t)(gpa - base);
			return bar;
		}
	}
	return NULL;
}

static uint64_t bars_read(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size)
{
	struct pci *pci = container_of(r, struct pci, window);
	struct pci_bar *bar = bar_at(pci, r->base + offset, size, &offset);

	return bar ? bar->fn->ops->bar_read(bar->fn, vcpu, offset, size) : UINT64_MAX;
}

static void bars_write(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size,
		       uint64_t value)
{
	struct pci *pci = container_of(r, struct pci, window);
	struct pci_bar *bar = bar_at(pci, r->base + offset, size, &offset);

	if (bar)
		bar->fn->ops->bar_write(bar->fn, vcpu, offset, size, value);
}

status_t pci_window_init(struct pci *pci, struct io_bus *bus)
{
	static const struct io_ops ops = {bars_read, bars_write};

	pci->window = (struct io_region){
		.ops = &ops,
		.name = "pci-window",
		.base = PCI_WINDOW,
		.len = PCI_WINDOW_SIZE,
		.widths = IO_8 | IO_16 | IO_32 | IO_64,
		.unlocked = true,
	};
	return io_add_mmio(bus, &pci->window);
}

status_t pci_add_bar(struct pci_function *fn, uint32_t size)
{
	struct pci *pci = fn->pci;
	uint64_t home = PCI_WINDOW;

	if (pci->bars)
		home = (uint64_t)pci->bar[pci->bars - 1].home + pci->bar[pci->bars - 1].size;
	home = ALIGN_UP(home, (uint64_t)size);
	if (pci->bars == ARRAY_SIZE(pci->bar) || home + size > PCI_WINDOW + PCI_WINDOW_SIZE)
		return -S_NOSPC;
	fn->bar = &pci->bar[pci->bars++];
	*fn->bar = (struct pci_bar){.size = size, .home = (uint32_t)home, .fn = fn};
	/* Bits 3:0 zero: memory, 32 bits, not prefetchable (PCI 3.0, 6.2.5.1). */
	for (unsigned i = 0; i < 4; i++)
		fn->writable[PCI_BAR0 + i] = (uint8_t)(~(size - 1) >> 8 * i);
	pci_bar_reset(fn);
	return 0;
}

void pci_bar_reset(struct pci_function *fn)
{
	if (!fn->bar)
		return;
	pci_config_set(fn, PCI_BAR0, 4, fn->bar->home);
	pci_bar_written(fn);
}

/* Outside of the window nothing answers, least of all instead of memory or the board's chips. */
void pci_bar_written(struct pci_function *fn)
{
	uint64_t base;

	if (!fn->bar)
		return;
	base = pci_config_get(fn, PCI_BAR0, 4);
	if (!(fn->config[PCI_COMMAND] & PCI_COMMAND_MEMORY) ||
	    base - PCI_WINDOW > PCI_WINDOW_SIZE - fn->bar->size)
		base = 0;
	__atomic_store_n(&fn->bar->base, base, __ATOMIC_RELAXED);
}
