/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes virtual machines out of socle.conf: memory, chips, vCPUs, console and guest image. */
#include "guests.h"
#include "socle/console/console.h"
#include "socle/cpu/cpu.h"
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/drivers/net.h"
#include "socle/drivers/virtio.h"
#include "socle/guest/context.h"
#include "socle/guest/cpuid.h"
#include "socle/guest/msr.h"
#include "socle/guest/pmu.h"
#include "socle/guest/vcpu.h"
#include "socle/kernel/clock.h"
#include "socle/kernel/log.h"
#include "socle/kernel/machine.h"
#include "socle/loader/conf.h"
#include "socle/loader/load.h"
#include "socle/mm/frames.h"
#include "socle/platform/acpi_tables.h"
#include "socle/platform/board.h"
#include "socle/platform/lapic.h"
#include "socle/platform/testdev.h"
#include "socle/stats.h"
#include "uplink.h"

enum {
	POOL_SIZE = 16384,
	VCPU_TIMERS = 2, /* of its local APIC, and of its deferred work */
	CHIP_TIMERS = 8, /* of one board, at most */
	OTHER_TIMERS = 2 /* of its console, and of its VM */
};

static status_t create_vcpu(struct vm *vm, unsigned id, const struct guest_cpuid *cpuid)
{
	struct x86_vcpu *v = vendor->vcpu_create(vm, id);
	status_t status;

	if (!v)
		return -S_NOMEM;
	v->cpuid = cpuid;
	vcpu_work_init(&v->base);
	status = vm->settings.pmu ? pmu_create(v) : 0;
	if (status)
		return status;
	msr_create(v);
	status = vendor->msr_maps(v);
	if (!status)
		status = context_create(v);
	if (!status)
		status = lapic_create(v);
	if (!status)
		vm->vcpu[id] = &v->base;
	return status;
}

/*
 * QEMU's TCG, at least up to 7.2: whenever any CPU loads the x87 state (XRSTOR, FXRSTOR), its
 * thread changes a bit of its first CPU's hflags2 without a lock. What that CPU writes there at
 * the same time is lost: whether nested paging is on, and its GIF. So a guest there, or Socle,
 * loses its memory now and then. Nothing changes there on a CPU that runs no guest.
 */
static bool first_is_unsafe(void)
{
	return cpu_info.tcg && cpu_count > 1;
}

static void choose_cpus(struct vm *vm)
{
	struct vm_settings *s = &vm->settings;

	if (!s->cpuset)
		s->cpuset = first_is_unsafe() ? ~BIT(0) : UINT64_MAX;
	else if (first_is_unsafe() && s->cpuset & BIT(0))
		vm_log(vm, LOG_WARN, "cpuset: has cpu0, where QEMU's TCG crashes guests");
}

static bool fits_machine(struct vm *vm)
{
	const struct vm_settings *s = &vm->settings;
	struct frames_account account;
	uint64_t total;

	frames_account_read(&account);
	total = account.total;
	if (!(s->cpuset & MASK(cpu_count - 1, 0))) {
		vm_log(vm, LOG_ERROR, "cpuset: none of its CPUs is in use, those are 0 to %u",
		       cpu_count - 1);
		return false;
	}
	if (s->pmu && cpuset_count(s->cpuset & MASK(cpu_count - 1, 0)) < s->cpus) {
		vm_log(vm, LOG_ERROR,
		       "pmu = on: it needs a CPU for each of its %u vCPUs, of its cpuset %u are "
		       "in use",
		       s->cpus, cpuset_count(s->cpuset & MASK(cpu_count - 1, 0)));
		return false;
	}
	if (s->memory > total) {
		vm_log(vm, LOG_ERROR, "memory = %u MiB: the machine has %u MiB",
		       (unsigned)(s->memory / MiB), (unsigned)(total / MiB));
		return false;
	}
	return true;
}

static status_t create_parts(struct vm *vm, struct virtio_console **virtio)
{
	const struct vm_settings *s = &vm->settings;
	struct guest_cpuid *cpuid = pages_alloc(sizeof(*cpuid), OWNER_VM_CORE);
	status_t status;

	if (!cpuid)
		return -S_NOMEM;
	cpuid_build(cpuid, &s->cpu, s->cpus, s->pmu);
	guest_mem_layout(&vm->mem, s->memory);
	status = board_create(vm);
	if (!status)
		status = lapic_add_region(vm);
	if (!status && s->test_device)
		status = testdev_add(vm);
	if (!status && s->rng)
		status = virtio_rng_add(vm);
	if (!status && s->virtio_console)
		status = virtio_console_add(vm, virtio);
	for (unsigned i = 0; !status && i < s->disk_count; i++)
		status = virtio_blk_add(vm, i);
	for (unsigned i = 0; !status && i < s->net_count; i++)
		status = virtio_net_add(vm, i);
	if (!status && s->vsock_cid)
		status = virtio_vsock_add(vm);
	for (unsigned i = 0; !status && i < s->cpus; i++)
		status = create_vcpu(vm, i, cpuid);
	/* Room is not given back, so it comes last. */
	if (!status)
		status = sched_reserve(s->cpus);
	return status ? status : timers_reserve(VCPU_TIMERS * s->cpus + CHIP_TIMERS + OTHER_TIMERS);
}

static status_t create(struct vm *vm)
{
	struct virtio_console *virtio = NULL;
	struct guest_console *console = NULL;
	status_t status;

	choose_cpus(vm);
	if (!fits_machine(vm))
		return -S_RANGE;
	if (vm->settings.console) {
		console = pages_alloc(sizeof(*console), OWNER_VM_CORE);
		if (!console)
			return -S_NOMEM;
	}
	status = create_parts(vm, &virtio);
	if (status) {
		net_ports_remove(vm);
		board_destroy(vm);
		virtio_blk_close(vm);
		return status;
	}
	if (console)
		console_add_guest(console, vm, &vm->board->uart, virtio);
	return 0;
}

static status_t load_tables(struct vm *vm)
{
	uint8_t *buf = pages_alloc(ACPI_TABLES_SIZE, OWNER_VM_CORE);
	status_t status;

	if (!buf)
		return -S_NOMEM;
	status = acpi_tables_build(&vm->settings, buf, ACPI_TABLES_SIZE, ACPI_TABLES_GPA);
	if (!status && guest_is_ram(&vm->mem, ACPI_TABLES_GPA, ACPI_TABLES_SIZE))
		status = guest_write(&vm->mem, ACPI_TABLES_GPA, buf, ACPI_TABLES_SIZE);
	pages_free(buf, ACPI_TABLES_SIZE, OWNER_VM_CORE);
	return status;
}

static void reset_vcpu(struct x86_vcpu *v, uint64_t tsc_offset)
{
	x86_vcpu_reset(v);
	v->tsc_offset = tsc_offset;
	context_reset(v);
	pmu_reset(v);
	lapic_reset(v->lapic);
	vendor->vcpu_reset(v, false);
}

/* The most that @vm may hold: its RAM, and its disks if it writes all of them. */
static uint64_t memory_of(const struct vm *vm)
{
	const struct vm_settings *s = &vm->settings;
	uint64_t bytes = s->memory;

	for (unsigned i = 0; i < s->disk_count; i++)
		bytes += virtio_blk_memory(&s->disks[i]);
	return bytes;
}

/* Memory that is promised and not taken yet: to guests that run, or will soon do so again. */
static uint64_t promised(const struct frames_account *account)
{
	uint64_t bytes = 0;

	for (struct vm *vm = vm_next(NULL); vm; vm = vm_next(vm))
		if (vm->state == VM_RUNNING || vm->state == VM_RESTARTING)
			bytes += memory_of(vm) - MIN(account->held[vm->mem.owner], memory_of(vm));
	return bytes;
}

static status_t start(struct vm *vm)
{
	uint64_t free, left, spoken_for;
	struct frames_account account;
	char err[LOADER_ERROR_MAX];
	uint64_t tsc;
	struct x86_vcpu *boot = x86_vcpu(vm->vcpu[0]);
	status_t status;

	frames_account_read(&account);
	free = account.held[OWNER_FREE];
	spoken_for = promised(&account);
	left = free > spoken_for ? free - spoken_for : 0;
	if (memory_of(vm) > left) {
		vm_log(vm, LOG_ERROR, "cannot start: needs %u MiB, %u MiB are left",
		       (unsigned)((memory_of(vm) + MiB - 1) / MiB), (unsigned)(left / MiB));
		return -S_NOMEM;
	}
	status = guest_mem_open(&vm->mem, vendor->format);
	if (!status)
		status = load_tables(vm);
	if (status) {
		vm_log(vm, LOG_ERROR, "cannot start: %s", status_text(status));
		return status;
	}
	board_reset(vm);
	tsc = rdtsc();
	vm->started_at = time_of_tsc(tsc);
	for (unsigned i = 0; i < vm->settings.cpus; i++)
		reset_vcpu(x86_vcpu(vm->vcpu[i]), -tsc);
	vendor->load(boot, X86_ALL);
	boot->avail = boot->dirty = X86_ALL;
	status = loader_load(vm, &boot->state, err, sizeof(err));
	for (unsigned i = 0; i < vm->settings.cpus; i++)
		vendor->release(vm->vcpu[i]);
	if (status) {
		vm_log(vm, LOG_ERROR, "cannot start: %s", err);
		return status;
	}
	console_guest_started(vm);
	return 0;
}

static void stop(struct vm *vm)
{
	for (unsigned i = 0; i < vm->settings.cpus; i++) {
		struct x86_vcpu *v = x86_vcpu(vm->vcpu[i]);

		context_reset(v);
		pmu_reset(v);
		lapic_reset(v->lapic);
		timer_cancel(&v->base.work_due);
	}
	board_reset(vm);
	guest_mem_close(&vm->mem);
}

static void conf_error(struct conf *conf, const char *message)
{
	log_error("%s", message);
}

static void create_all(struct conf *conf)
{
	for (unsigned i = 0; i < conf->vm_count; i++) {
		status_t status = vm_create(&conf->vms[i]);

		if (status)
			log_error("vm %s: not created: %s", conf->vms[i].name, status_text(status));
	}
}

void guests_create(void)
{
	static const struct vm_ops ops = {create, start, stop};
	const struct boot_module *text = boot_module_find(CONF_NAME);
	size_t vms_size = MIN(VM_MAX * sizeof(struct vm_settings), 2 * MiB);
	struct conf conf = {.vms_max = vms_size / sizeof(struct vm_settings),
			    .pool_size = POOL_SIZE,
			    .error = conf_error};

	vm_bind(&ops);
	if (first_is_unsafe())
		log_info("cpu: cpu0 is spared: QEMU's TCG crashes guests on the first of several "
			 "CPUs");
	if (!text) {
		log_error("no boot module named %s: add 'module2 FILE %s' to grub.cfg", CONF_NAME,
			  CONF_NAME);
		return;
	}
	conf.vms = pages_alloc(vms_size, OWNER_CORE);
	conf.pool = pages_alloc(POOL_SIZE, OWNER_CORE);
	if (!conf.vms || !conf.pool)
		panic("out of memory for the configuration");
	if (conf_parse(&conf, (const char *)text->data, text->size))
		log_error("%s: %u errors; the guests that are right go on", CONF_NAME, conf.errors);
	create_all(&conf);
	for (unsigned i = 0; i < conf.network_count; i++)
		uplink_create(conf.networks[i].name, conf.networks[i].uplink);
	pages_free(conf.vms, vms_size, OWNER_CORE);
	for (struct vm *vm = vm_next(NULL); vm; vm = vm_next(vm)) {
		/* The reason was logged. */
		if (vm->settings.autostart && vm_start(vm))
			vm_log(vm, LOG_ERROR, "not started");
	}
}

static void print_exits(struct vm *vm, struct format_sink *out)
{
	for (unsigned i = 0; i < vm->settings.cpus; i++) {
		struct x86_vcpu *v = x86_vcpu(vm->vcpu[i]);
		const char *name;
		uint64_t n, total = 0;

		for (unsigned k = 0; (name = vendor->exit_count(v, k, &n)); k++) {
			total += n;
			if (n)
				format_sink(out, "  vcpu%u %-12s %llu\n", i, name[0] ? name : "?",
					    (unsigned long long)n);
		}
		format_sink(out, "  vcpu%u %-12s %llu\n", i, "total", (unsigned long long)total);
	}
}
STAT_SOURCE(exit_stats, .title = "exits", .print = print_exits);

static void print_vcpus(struct vm *vm, struct format_sink *out)
{
	for (unsigned i = 0; i < vm->settings.cpus; i++) {
		const struct x86_vcpu *v = x86_vcpu(vm->vcpu[i]);
		const struct x86_stats *s = &v->stats;
		const struct {
			const char *name;
			uint64_t n;
		} rows[] = {
			{"interrupts", s->injected},
			{"exceptions", s->exceptions},
			{"nmis", s->nmis},
			{"reinjected", s->reinjected},
			{"decoded", s->decoded},
			{"decode-hits", s->decode_hits},
			{"msr-unsupported", s->msr_refused[MSR_UNSUPPORTED]},
			{"msr-invalid", s->msr_refused[MSR_INVALID]},
			{"msr-filtered", s->msr_refused[MSR_FILTERED]},
			{"ports", s->ports},
			{"mmio", s->mmio},
			{"populated", s->populated},
			{"run-ms", sched_run_ns(vm->vcpu[i]) / NS_PER_MS},
		};

		format_sink(out, "  vcpu%u %-12s %s\n", i, "apic",
			    lapic_is_virtualized(v->lapic) ? "virtualized" : "emulated");
		for (unsigned k = 0; k < ARRAY_SIZE(rows); k++)
			if (rows[k].n)
				format_sink(out, "  vcpu%u %-12s %llu\n", i, rows[k].name,
					    (unsigned long long)rows[k].n);
	}
}
STAT_SOURCE(vcpu_stats, .title = "events", .print = print_vcpus);
