/* SPDX-License-Identifier: BSD-2-Clause */
/* The start-up sequence: from the boot loader's hand-over to the scheduler. */
#include "../boot/multiboot2.h"
#include "devices.h"
#include "guests.h"
#include "options.h"
#include "smp.h"
#include "socle/console/console.h"
#include "socle/cpu/apic.h"
#include "socle/cpu/cpu.h"
#include "socle/cpu/features.h"
#include "socle/cpu/mitigations.h"
#include "socle/cpu/regs.h"
#include "socle/cpu/tsc.h"
#include "socle/drivers/acpi.h"
#include "socle/drivers/cmos.h"
#include "socle/drivers/serial.h"
#include "socle/guest/context.h"
#include "socle/guest/msr.h"
#include "socle/kernel/clock.h"
#include "socle/kernel/log.h"
#include "socle/kernel/machine.h"
#include "socle/kernel/sched.h"
#include "socle/mm/paging.h"
#include "socle/platform/lapic.h"
#include "socle/string.h"
#include "socle/version.h"

/* Room in the line's queue that makes another turn of the console worth while. */
enum { SERIAL_ENOUGH = 1024 };

static struct timer serial_timer; /* where its interrupt cannot be had */
static struct boot_info boot;
static struct options options;
static struct sched_ops sched;
static uint64_t boot_tsc; /* at the boot loader's hand-over */

void kernel_main(uint64_t info_pa, uint64_t entry_tsc) __noreturn;

/* Before the console is there, lines go straight to the wire. */
static void early_line(struct log_sink *sink, enum log_level level, const char *text, size_t len)
{
	serial_write(text, len);
	serial_write("\r\n", 2);
}
static struct log_sink early_sink = {early_line};

static void console_write(struct console_out *out, const char *text, size_t len)
{
	serial_write(text, len);
}

static size_t line_room(struct console_out *out)
{
	return serial_room();
}
static struct console_out console_line = {console_write, line_room};

static void serial_arrived(void)
{
	serial_interrupt();
	/* Typed bytes, or room for output that waits: the console's turn between two vCPUs. */
	if (serial_pending() || (console_waiting() && serial_room() >= SERIAL_ENOUGH))
		sched_kick();
}

static void serial_tick(struct timer *t)
{
	sched_kick();
	timer_set(t, time_now() + 10 * NS_PER_MS);
}

static bool poll(void)
{
	uint8_t bytes[64];
	size_t n = serial_read(bytes, MIN(sizeof(bytes), console_room()));

	vm_reap();
	for (size_t i = 0; i < n; i++)
		console_input(bytes[i]);
	console_poll();
	return serial_pending() && console_room();
}

/* The features that are there, or those that are not, in lines that fit. */
static void print_features(bool have)
{
	char list[112] = "";
	size_t used = 0;

	for (unsigned f = 0; f < CPU_FEATURE_COUNT; f++) {
		if (cpu_has(f) != have)
			continue;
		used += format(list + used, sizeof(list) - used, " %s", cpu_feature_name(f));
		if (used < sizeof(list) - 20)
			continue;
		log_info("cpu: %s%s", have ? "has" : "lacks", list);
		used = 0;
	}
	if (used)
		log_info("cpu: %s%s", have ? "has" : "lacks", list);
}

static void banner(void)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < boot.rams; i++)
		total += boot.ram[i].size;
	log_info("Socle %s, started by %s", SOCLE_VERSION, boot.efi ? "UEFI firmware" : "BIOS");
	log_info("cpu: %s (%s family %#x model %#x stepping %u), %u physical address bits",
		 cpu_info.brand[0] ? cpu_info.brand : "unnamed", cpu_info.vendor_text,
		 cpu_info.family, cpu_info.model, cpu_info.stepping, cpu_info.phys_bits);
	print_features(true);
	print_features(false);
	if (boot.ram_dropped)
		log_warn("memory: %u MiB are in more ranges than %u: not used",
			 (unsigned)(boot.ram_dropped / MiB), BOOT_RANGES_MAX);
	log_info("memory: %u MiB usable in %u ranges", (unsigned)(total / MiB), boot.rams);
}

static void start_log(uint64_t info_pa)
{
	bool serial;

	time_init(boot_tsc);
	multiboot2_read(&boot, info_pa, (uintptr_t)__image_start, (uintptr_t)__image_end);
	options_parse(&options, boot.cmdline);
	serial = serial_init(options.serial_port, options.serial_baud);
	log_init(serial_write);
	machine_bind_flush(serial_flush);
	machine_set_debug_exit(options.debug_exit);
	if (serial)
		log_bind(&early_sink);
}

static void add_module(const char *name, const void *data, uint64_t size)
{
	if (!name[0])
		log_warn("a boot module without a name: write one behind the file in grub.cfg");
	else if (!boot_module_add(name, data, size))
		log_warn("boot module %s: a second one of that name, ignored", name);
	else
		log_debug("boot module %s: %llu bytes", name, (unsigned long long)size);
}

static void start_memory(void)
{
	struct mem_range map[BOOT_RANGES_MAX + BOOT_MODULES_MAX];
	unsigned n = 0;

	if (!boot.rams)
		panic("the boot loader gave no memory map");
	frames_init(boot.free, boot.frees);
	for (; n < boot.rams; n++)
		map[n] = boot.ram[n];
	paging_init(map, n);
	for (unsigned i = 0; i < boot.modules; i++)
		add_module(boot.module[i].name,
			   paging_map_readonly(boot.module[i].base, boot.module[i].size),
			   boot.module[i].size);
	if (boot.modules_dropped)
		log_warn("%u boot modules more than the %u that are supported: ignored",
			 boot.modules_dropped, BOOT_MODULES_MAX);
}

/*
 * QEMU's TCG, at least up to 7.2, changes the CPU's request bits at each #VMEXIT without the lock
 * under which its other threads set them, and so now and then loses one: the interrupt is pending
 * in the local APIC, and the CPU does not know. Without another interrupt that would be for ever.
 */
static void emulator_tick(void)
{
	cmos_tick_acknowledge();
	for (unsigned i = 1; i < cpu_count; i++)
		apic_send(all_cpus[i]->apic_id, HOST_VEC_KICK);
}

static void start_emulator_tick(void)
{
	const struct acpi_irq *irq = &acpi_info.isa[8];

	if (!acpi_info.ioapic || irq->gsi < acpi_info.ioapic_gsi)
		return;
	interrupt_bind(HOST_VEC_CLOCK, emulator_tick);
	ioapic_route(phys_to_virt(acpi_info.ioapic), irq->gsi - acpi_info.ioapic_gsi,
		     HOST_VEC_CLOCK, boot_cpu.apic_id, irq->level, irq->active_low);
	cmos_tick_start();
}

static void start_machine(void)
{
	status_t status = acpi_init(boot.has_rsdp ? boot.rsdp : NULL);
	const struct acpi_irq *irq;
	unsigned line;

	if (status)
		log_warn("acpi: %s; going on with the defaults of a PC",
			 status == -S_NOENT ? "no tables found" : "the tables are damaged");
	else
		log_info("acpi: %u CPU%s, local APICs at %#llx, I/O APIC at %#llx", acpi_info.cpus,
			 acpi_info.cpus == 1 ? "" : "s", (unsigned long long)acpi_info.lapic,
			 (unsigned long long)acpi_info.ioapic);
	pic_disable();
	apic_init(paging_map_device(acpi_info.lapic, PAGE_SIZE));
	boot_cpu.apic_id = apic_id();
	if (!tsc_calibrate())
		panic("the 8254 timer does not count: turn on legacy timers in the firmware setup");
	if (timers_init())
		panic("out of memory for the timers");
	time_set_wall(cmos_read_time());
	log_info("time: TSC at %u kHz%s", (unsigned)(tsc_hz / 1000),
		 cpu_has(CPU_INVARIANT_TSC) ? "" : ", not invariant");
	interrupt_bind(HOST_VEC_SERIAL, serial_arrived);
	if (acpi_info.ioapic)
		ioapic_mask_all(paging_map_device(acpi_info.ioapic, PAGE_SIZE));
	if (cpu_has(CPU_HYPERVISOR))
		start_emulator_tick();
	/* COM1 and COM3 share line 4, COM2 and COM4 line 3. */
	line = options.serial_port == 0x2f8 || options.serial_port == 0x2e8 ? 3 : 4;
	irq = &acpi_info.isa[line];
	if (acpi_info.ioapic && irq->gsi >= acpi_info.ioapic_gsi) {
		ioapic_route(paging_map_device(acpi_info.ioapic, PAGE_SIZE),
			     irq->gsi - acpi_info.ioapic_gsi, HOST_VEC_SERIAL, boot_cpu.apic_id,
			     irq->level, irq->active_low);
		serial_interrupts_on();
		return;
	}
	log_warn("the console's interrupt cannot be routed: looking at it every 10 ms");
	timer_init(&serial_timer, serial_tick);
	serial_tick(&serial_timer);
}

static void start_virtualization(void)
{
	char why[256], text[80];
	status_t status;

	mitigations_off = options.no_mitigations;
	vendor_apicv = options.no_apicv ? APICV_OFF : options.force_apicv ? APICV_ON : APICV_TRY;
	vendor = vendor_probe(why, sizeof(why));
	if (!vendor) {
		log_error("no usable virtualization: %s", why);
		log_error("guests cannot run on this machine as it is set up: stopped");
		machine_halt();
	}
	context_cpu_on();
	xsavec_trial();
	mitigations_cpu_on();
	msr_init();
	lapic_bind();
	status = vendor->cpu_on();
	if (status)
		panic("cannot turn on %s: %s", vendor->name, status_text(status));
	log_info("virtualization: %s with nested paging%s%s", vendor->name, vendor->features(),
		 cpu_has(CPU_HYPERVISOR) ? ", itself below a hypervisor or emulator" : "");
	mitigations_text(text, sizeof(text));
	log_info("mitigations: %s", text);
	if (options.bench)
		log_info("BENCH-FLOOR: %u", (unsigned)vendor->floor());
}

static void self_check(void)
{
	unsigned mappings, bad = paging_check_wx(&mappings);

	if (bad)
		panic("%u of %u mappings are writable and executable", bad, mappings);
	log_info("paging: %u mappings, none writable and executable", mappings);
}

static void release(struct vcpu *v)
{
	vendor->release(v);
}

/* Tells how long it took from the boot loader to the first guest. */
static enum vcpu_leave first_run(struct vcpu *v)
{
	sched_bind(&sched);
	log_info("BENCH-BOOT: %llu", (unsigned long long)(rdtsc() - boot_tsc));
	return sched.run(v);
}

/* A reserved bit of CR4 in the first guest: it dies with an explanation, and others live. */
static enum vcpu_leave broken_run(struct vcpu *v)
{
	struct x86_vcpu *x = x86_vcpu(v);

	sched_bind(&sched);
	x86_load(x, X86_CR);
	x->state.cr4 |= BIT(31);
	x86_dirty(x, X86_CR);
	return sched.run(v);
}

/* Never comes back: the page below the stack is not mapped, and a double fault tells so. */
static __noinline unsigned overflow_stack(unsigned depth)
{
	volatile char frame[512];

	frame[0] = depth;
	return depth == UINT32_MAX ? 0 : overflow_stack(depth + 1) + frame[0];
}

/* On the final stack. */
static void run(void)
{
	static const struct sched_ops measured = {first_run, release, poll},
				      broken = {broken_run, release, poll};

	frames_use_stocks();
	self_check();
	if (options.overflow_stack)
		log_info("the stack did not overflow: %u", overflow_stack(0));
	start_machine();
	start_virtualization();
	sched_add_cpu(0);
	smp_start(options.cpus, options.skew_tsc ? (int64_t)tsc_hz / 1000 : 0);
	sched = (struct sched_ops){vendor->run, release, poll};
	sched_bind(options.bench ? &measured : options.break_entry ? &broken : &sched);
	devices_start();
	console_init(&console_line);
	guests_create();
	console_run();
	smp_release();
	sched_run();
}

void kernel_main(uint64_t info_pa, uint64_t entry_tsc)
{
	void *stack;

	boot_tsc = entry_tsc;
	cpu_probe();
	start_log(info_pa);
	banner();
	if (options.unknown[0])
		log_warn("option '%s' on the command line is unknown or has a bad value: use "
			 "serial=PORT[,BAUD], debug-exit=PORT, cpus=N, apicv=off, apicv=on, "
			 "mitigations=off, bench, selftest=stack, selftest=entry or selftest=tsc",
			 options.unknown);
	msr_patch(); /* while the text is still writable */
	start_memory();
	stack = smp_make_stack(&boot_cpu, false);
	boot_cpu.tss.ist[0] = (uintptr_t)smp_make_stack(&boot_cpu, true);
	cpu_tables_load(&boot_cpu);
	__asm__ volatile("mov %0,%%rsp; xor %%ebp,%%ebp; call *%1" ::"r"(stack), "r"(run)
			 : "memory");
	__builtin_unreachable();
}
