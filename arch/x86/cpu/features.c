/* SPDX-License-Identifier: BSD-2-Clause */
/* Probe of the CPU's identity and features. */
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/string.h"

struct cpu_info cpu_info;

static const char *const names[CPU_FEATURE_COUNT] = {
#define X(name, leaf, subleaf, reg, bit) #name,
	CPU_FEATURES(X)
#undef X
};

const char *cpu_feature_name(enum cpu_feature f)
{
	return names[f];
}

static void probe_features(uint32_t max_basic, uint32_t max_extended)
{
#define X(name, leaf, sub, reg, bit)                                     \
	if ((leaf) <= ((leaf) < 0x80000000u ? max_basic : max_extended)) \
		cpu_info.feature[CPU_##name] = cpuid(leaf, sub).reg >> (bit)&1;
	CPU_FEATURES(X)
#undef X
	/* Leaf 8000_000A means something only with SVM. */
	if (!cpu_has(CPU_SVM))
		for (unsigned f = CPU_SVM_NPT; f < CPU_FEATURE_COUNT; f++)
			cpu_info.feature[f] = false;
}

static void probe_brand(uint32_t max_extended)
{
	char *start = cpu_info.brand;
	uint32_t *words = (uint32_t *)cpu_info.brand;

	if (max_extended < 0x80000004)
		return;
	for (uint32_t i = 0; i < 3; i++) {
		struct cpuid r = cpuid(0x80000002 + i, 0);

		*words++ = r.eax;
		*words++ = r.ebx;
		*words++ = r.ecx;
		*words++ = r.edx;
	}
	cpu_info.brand[48] = 0;
	while (*start == ' ')
		start++;
	memmove(cpu_info.brand, start, strlen(start) + 1);
	for (size_t n = strlen(cpu_info.brand); n > 0 && cpu_info.brand[n - 1] == ' '; n--)
		cpu_info.brand[n - 1] = 0;
}

/* QEMU's name for TCG, in the leaf by which hypervisors tell who they are. */
static bool below_tcg(void)
{
	struct cpuid r;

	if (!cpu_has(CPU_HYPERVISOR))
		return false;
	r = cpuid(0x40000000, 0);
	return !memcmp((char *)&r + offsetof(struct cpuid, ebx), "TCGTCGTCGTCG", 12);
}

void cpu_probe(void)
{
	struct cpuid base = cpuid(0, 0), one = cpuid(1, 0);
	uint32_t max_extended = cpuid(0x80000000, 0).eax;

	memcpy(cpu_info.vendor_text, &base.ebx, 4);
	memcpy(cpu_info.vendor_text + 4, &base.edx, 4);
	memcpy(cpu_info.vendor_text + 8, &base.ecx, 4);
	if (!strcmp(cpu_info.vendor_text, "GenuineIntel"))
		cpu_info.vendor = CPU_VENDOR_INTEL;
	else if (!strcmp(cpu_info.vendor_text, "AuthenticAMD") ||
		 !strcmp(cpu_info.vendor_text, "HygonGenuine"))
		cpu_info.vendor = CPU_VENDOR_AMD;
	cpu_info.stepping = one.eax & 0xf;
	cpu_info.model = (one.eax >> 4 & 0xf) | (one.eax >> 12 & 0xf0);
	cpu_info.family = (one.eax >> 8 & 0xf) + (one.eax >> 20 & 0xff);
	cpu_info.phys_bits = 36;
	cpu_info.linear_bits = 48;
	if (max_extended >= 0x80000008) {
		uint32_t sizes = cpuid(0x80000008, 0).eax;

		cpu_info.phys_bits = sizes & 0xff;
		cpu_info.linear_bits = sizes >> 8 & 0xff;
	}
	probe_features(base.eax, max_extended);
	cpu_info.tcg = below_tcg();
	probe_brand(max_extended);
	if (cpu_has(CPU_SVM) && max_extended >= 0x8000000a)
		cpu_info.asids = cpuid(0x8000000a, 0).ebx;
}
