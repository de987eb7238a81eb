/* SPDX-License-Identifier: BSD-2-Clause */
/* MSI-X: messages by vector, masks, pending bits (PCI 3.0, 6.8.2 and 6.8.3). */
#include "socle/platform/board.h"
#include "socle/platform/irq.h"
#include "socle/platform/pci_msix.h"
#include "socle/string.h"

/* The capability, as offsets in it, and its Message Control. */
enum msix_capability {
	MSIX_CONTROL = 2,
	MSIX_TABLE = 4,	  /* offset in the BAR that bits 2:0 name */
	MSIX_PENDING = 8, /* likewise */
	MSIX_CAPABILITY_SIZE = 12,
	CONTROL_MASK_ALL = BIT(14),
	CONTROL_ENABLE = BIT(15),
};

enum { ENTRY_MASKED = 1, ENTRY_SIZE = sizeof(struct pci_msix_entry) };

status_t pci_msix_add(struct pci_msix *msix, struct pci_function *fn, unsigned vectors,
		      uint32_t table, uint32_t pending)
{
	msix->fn = fn;
	msix->vectors = vectors;
	msix->cap = pci_add_capability(fn, PCI_CAP_MSIX, MSIX_CAPABILITY_SIZE);
	if (!msix->cap)
		return -S_NOSPC;
	pci_config_set(fn, msix->cap + MSIX_CONTROL, 2, vectors - 1);
	pci_config_set(fn, msix->cap + MSIX_TABLE, 4, table);
	pci_config_set(fn, msix->cap + MSIX_PENDING, 4, pending);
	fn->writable[msix->cap + MSIX_CONTROL + 1] = (CONTROL_ENABLE | CONTROL_MASK_ALL) >> 8;
	return 0;
}

void pci_msix_reset(struct pci_msix *msix)
{
	spin_lock(msix->fn->pci->lock);
	msix->pending = 0;
	for (unsigned i = 0; i < msix->vectors; i++)
		msix->entry[i] = (struct pci_msix_entry){.control = ENTRY_MASKED};
	spin_unlock(msix->fn->pci->lock);
}

static uint32_t control(const struct pci_msix *msix)
{
	return pci_config_get(msix->fn, msix->cap + MSIX_CONTROL, 2);
}

bool pci_msix_enabled(const struct pci_msix *msix)
{
	return control(msix) & CONTROL_ENABLE;
}

void pci_msix_raise(struct pci_msix *msix, unsigned vector)
{
	const struct pci_msix_entry *e;

	if (vector >= msix->vectors || !pci_msix_enabled(msix))
		return;
	vector = (unsigned)array_index_nospec(vector, PCI_MSIX_MAX);
	e = &msix->entry[vector];
	if ((control(msix) & CONTROL_MASK_ALL) || (e->control & ENTRY_MASKED)) {
		msix->pending |= (uint32_t)BIT(vector);
		return;
	}
	msix->pending &= ~(uint32_t)BIT(vector);
	/* A message is a write to memory (PCI 3.0, 6.2.2). */
	if (pci_is_master(msix->fn))
		irq_msi(msix->fn->pci->board->vm, (uint64_t)e->address_high << 32 | e->address_low,
			e->data);
}

void pci_msix_written(struct pci_msix *msix)
{
	for (uint32_t bits = msix->pending; bits; bits &= bits - 1)
		pci_msix_raise(msix, (unsigned)__builtin_ctz(bits));
}

uint64_t pci_msix_table_read(const struct pci_msix *msix, uint32_t offset, unsigned size)
{
	uint64_t value = 0, limit = msix->vectors * ENTRY_SIZE;

	if (offset >= limit || size > limit - offset)
		return 0;
	memcpy(&value, (const char *)msix->entry + array_index_nospec(offset, limit), size);
	return value;
}

void pci_msix_table_write(struct pci_msix *msix, uint32_t offset, unsigned size, uint64_t value)
{
	uint64_t limit = msix->vectors * ENTRY_SIZE;

	if (size < 4 || !IS_ALIGNED(offset, 4) || offset >= limit || size > limit - offset)
		return;
	for (; size; size -= 4, offset += 4, value >>= 32) {
		unsigned vector = (unsigned)array_index_nospec(offset / ENTRY_SIZE, PCI_MSIX_MAX);
		struct pci_msix_entry *e = &msix->entry[vector];

		switch (offset % ENTRY_SIZE) {
		case offsetof(struct pci_msix_entry, address_low):
			e->address_low = (uint32_t)value & ~3u;
			break;
		case offsetof(struct pci_msix_entry, address_high):
			e->address_high = (uint32_t)value;
			break;
		case offsetof(struct pci_msix_entry, data):
			e->data = (uint32_t)value;
			break;
		default:
			e->control = (uint32_t)value & ENTRY_MASKED;
			if (msix->pending & BIT(vector))
				pci_msix_raise(msix, vector);
		}
	}
}

uint64_t pci_msix_pending_read(const struct pci_msix *msix, uint32_t offset, unsigned size)
{
	uint64_t pending = msix->pending;

	return offset < sizeof(pending) ? pending >> 8 * offset & MASK(8 * size - 1, 0) : 0;
}
