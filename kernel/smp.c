/* SPDX-License-Identifier: BSD-2-Clause */
/* Starts the machine's other processors: INIT, start-up IPIs, and what each sets up for itself. */
#include "smp.h"
#include "socle/cpu/apic.h"
#include "socle/cpu/features.h"
#include "socle/cpu/mitigations.h"
#include "socle/cpu/regs.h"
#include "socle/cpu/tsc.h"
#include "socle/drivers/acpi.h"
#include "socle/guest/context.h"
#include "socle/guest/vcpu.h"
#include "socle/kernel/clock.h"
#include "socle/kernel/log.h"
#include "socle/kernel/sched.h"
#include "socle/mm/frames.h"
#include "socle/mm/paging.h"
#include "socle/string.h"

/* boot/trampoline.asm */
extern const char ap_trampoline[], ap_trampoline_end[], ap_far[], ap_gdt_pointer[];
extern uint64_t ap_root, ap_stack;
void ap_main(void) __noreturn;

enum { STACK_MAIN, STACK_DOUBLE_FAULT, STACKS_PER_CPU };

/* SDM vol. 3, 9.4.4.1: 10 ms after INIT, and a second start-up IPI after 200 us. */
#define AFTER_INIT_NS	 (10 * NS_PER_MS)
#define AFTER_STARTUP_NS (200 * NS_PER_US)
/* For an emulator that shares its machine; a real CPU needs microseconds. */
#define START_LIMIT_NS (2 * NS_PER_SEC)

/* How far the CPU that starts is. */
enum ap_stage {
	AP_ABSENT,
	AP_ARRIVED, /* runs our code */
	AP_SYNC,    /* takes part in the comparison of the TSCs */
	AP_ON,	    /* virtualization is on: it waits */
	AP_FAILED,
};

static uint32_t stage;	   /* enum ap_stage; atomic, as those below */
static status_t ap_status; /* AP_FAILED: why */
static bool released;

void *smp_make_stack(struct cpu *cpu, bool for_double_faults)
{
	struct cpu **top = paging_map_stack(cpu->id * STACKS_PER_CPU +
					    (for_double_faults ? STACK_DOUBLE_FAULT : STACK_MAIN));

	top[-1] = cpu;
	return top - 2;
}

static void set_stage(enum ap_stage s)
{
	__atomic_store_n(&stage, s, __ATOMIC_SEQ_CST);
}

static enum ap_stage get_stage(void)
{
	return __atomic_load_n(&stage, __ATOMIC_SEQ_CST);
}

static void wait_ns(uint64_t ns)
{
	for (uint64_t start = time_now(); time_now() - start < ns;)
		cpu_pause();
}

/* The rest of its life. */
void ap_main(void)
{
	struct cpu *cpu = this_cpu();
	status_t status;

	cpu_tables_load(cpu);
	paging_cpu_init();
	set_stage(AP_ARRIVED);
	tsc_compare_here();
	apic_init(phys_to_virt(acpi_info.lapic));
	apic_timer_on();
	context_cpu_on();
	mitigations_cpu_on();
	status = timers_init();
	if (!status)
		status = vendor->cpu_on();
	ap_status = status;
	set_stage(status ? AP_FAILED : AP_ON);
	/* Asleep meanwhile, which an emulator thanks for. */
	while (status || !__atomic_load_n(&released, __ATOMIC_ACQUIRE))
		__asm__ volatile("sti; hlt; cli" ::: "memory");
	sched_run();
}

/* Copies the trampoline to @pa, below 1 MiB, and tells it where it is. */
static void place_trampoline(uint64_t pa)
{
	char *page = phys_to_virt(pa);
	uint32_t *far_offset = (uint32_t *)(page + (ap_far - ap_trampoline));
	struct __packed {
		uint16_t limit;
		uint32_t base;
	} *gdt = (void *)(page + (ap_gdt_pointer - ap_trampoline));

	memcpy(page, ap_trampoline, ap_trampoline_end - ap_trampoline);
	*far_offset += (uint32_t)pa;
	gdt->base += (uint32_t)pa;
}

static bool wait_stage(enum ap_stage least, uint64_t limit)
{
	for (uint64_t start = time_now(); time_now() - start < limit;) {
		if (get_stage() >= least)
			return true;
		cpu_pause();
	}
	return get_stage() >= least;
}

static bool call_up(uint32_t apic_id, uint64_t trampoline)
{
	set_stage(AP_ABSENT);
	apic_send_init(apic_id);
	wait_ns(AFTER_INIT_NS);
	apic_send_startup(apic_id, trampoline >> PAGE_SHIFT);
	if (wait_stage(AP_ARRIVED, AFTER_STARTUP_NS))
		return true;
	apic_send_startup(apic_id, trampoline >> PAGE_SHIFT);
	return wait_stage(AP_ARRIVED, START_LIMIT_NS);
}

/* @cpu is left out: it must not come later and find another's stack. */
static void give_up(const struct cpu *cpu, const char *why)
{
	apic_send_init(cpu->apic_id);
	wait_ns(AFTER_INIT_NS);
	log_warn("cpu: processor with APIC ID %u %s: left out", cpu->apic_id, why);
}

static void log_tsc(const struct cpu *cpu, const struct tsc_difference *tsc)
{
	if (!tsc->corrected)
		log_info("cpu%u: its TSC agrees within %llu ticks", cpu->id,
			 (unsigned long long)tsc->round_trip);
	else if ((uint64_t)(tsc->after < 0 ? -tsc->after : tsc->after) <= tsc->round_trip)
		log_info("cpu%u: its TSC was off by %lld ticks, corrected", cpu->id,
			 (long long)tsc->before);
	else
		log_warn("cpu%u: its TSC is off by %lld ticks and cannot be corrected: guests' "
			 "clocks may jump",
			 cpu->id, (long long)tsc->after);
}

/* All that CPU @id needs but to run. */
static struct cpu *make_cpu(unsigned id)
{
	struct cpu *cpu = pages_alloc(sizeof(*cpu), OWNER_CORE);

	if (!cpu)
		panic("out of memory for the processors");
	cpu->id = id;
	ap_stack = (uintptr_t)smp_make_stack(cpu, false);
	cpu->tss.ist[0] = (uintptr_t)smp_make_stack(cpu, true);
	ap_root = paging_tables()->root;
	sched_add_cpu(id);
	return cpu;
}

static bool start(struct cpu *cpu, uint64_t trampoline, int64_t skew)
{
	struct tsc_difference tsc;

	if (!call_up(cpu->apic_id, trampoline)) {
		give_up(cpu, "does not start");
		return false;
	}
	if (!tsc_compare_with(skew, &tsc)) {
		give_up(cpu, "does not answer");
		return false;
	}
	log_tsc(cpu, &tsc);
	if (!wait_stage(AP_ON, START_LIMIT_NS)) {
		give_up(cpu, "stopped while it started");
		return false;
	}
	if (get_stage() == AP_FAILED) {
		give_up(cpu, ap_status == -S_PERM ? "has virtualization locked off by the firmware"
						  : status_text(ap_status));
		return false;
	}
	return true;
}

void smp_start(unsigned max, int64_t skew)
{
	uint64_t trampoline = acpi_info.cpus > 1 && max > 1 ? frame_alloc_low(OWNER_CORE) : 0;
	struct cpu *cpu = NULL;

	if (acpi_info.cpus > 1 && max > 1 && !trampoline)
		log_warn("cpu: no memory below 1 MiB to start the other processors from");
	if (trampoline)
		place_trampoline(trampoline);
	max = MIN(max, (unsigned)CPU_MAX);
	for (unsigned i = 0; trampoline && i < acpi_info.cpus && cpu_count < max; i++) {
		if (acpi_info.cpu_apic_id[i] == all_cpus[0]->apic_id)
			continue;
		/* That of one that did not start is used again. */
		if (!cpu)
			cpu = make_cpu(cpu_count);
		cpu->apic_id = acpi_info.cpu_apic_id[i];
		if (!apic_reaches(cpu->apic_id)) {
			log_warn("cpu: processor with APIC ID %u needs x2APIC mode, which the "
				 "firmware left off: left out",
				 cpu->apic_id);
			continue;
		}
		if (!start(cpu, trampoline, skew))
			continue;
		all_cpus[cpu_count++] = cpu;
		cpu = NULL;
	}
	if (trampoline)
		frame_free(trampoline, FRAME_4K, OWNER_CORE);
	log_info("cpu: %u of %u processors in use%s", cpu_count, MAX(acpi_info.cpus, 1u),
		 acpi_info.cpus > cpu_count && max <= cpu_count ? ", as cpus= asks" : "");
}

void smp_release(void)
{
	__atomic_store_n(&released, true, __ATOMIC_RELEASE);
	for (unsigned i = 1; i < cpu_count; i++)
		apic_send(all_cpus[i]->apic_id, HOST_VEC_KICK);
}
