/* SPDX-License-Identifier: BSD-2-Clause */
/* What is configured for a VM: the settings of one [vm NAME] section, and the boot modules. */
#ifndef SOCLE_KERNEL_CONFIG_H
#define SOCLE_KERNEL_CONFIG_H

#include "socle/base.h"

#define VM_NAME_MAX	 32 /* with its final NUL */
#define VM_PATH_MAX	 64 /* a module's name, with its final NUL */
#define VM_CMDLINE_MAX	 2048
#define VM_MODULES_MAX	 16
#define VM_MAX_VCPUS	 64
#define VM_MSR_RANGES	 16
#define VM_DISKS_MAX	 8
#define VM_NETS_MAX	 4
#define VM_NET_NAME	 16 /* a network's name, with its final NUL */
#define VM_MAX		 64
#define NETWORKS_MAX	 8 /* with a section of their own */
#define NETWORK_CARD_MAX 8 /* a network card's name, with its final NUL */
#define VM_WEIGHT_MAX	 65535
#define VM_WEIGHT	 256 /* unless configured */
#define VM_CPU_WORDS	 3
#define VM_GROUP_MAX	 16 /* with its final NUL */

/* A file that the boot loader put into memory. */
struct boot_module {
	char name[VM_PATH_MAX]; /* first word of the module's command line in the boot loader */
	const uint8_t *data;	/* mapped read-only */
	uint64_t size;		/* in bytes */
};

/* What happens to the whole machine when the guest has stopped. */
enum vm_on_exit {
	VM_ON_EXIT_STOP,     /* nothing: the guest stays stopped, the console remains */
	VM_ON_EXIT_RESTART,  /* the guest starts again */
	VM_ON_EXIT_POWEROFF, /* the machine is turned off */
	VM_ON_EXIT_REBOOT,   /* the machine is reset */
};

/* A multiboot module of the guest: `module = NAME STRING`. */
struct vm_module {
	char name[VM_PATH_MAX]; /* a boot module's name */
	char *string;		/* points into cmdline_pool; never NULL */
};

/* A block device of the guest: `disk = NAME`. */
struct vm_disk {
	char module[VM_PATH_MAX]; /* a boot module's name, or with @host "vda2"; empty: memory */
	uint64_t size;		  /* bytes */
	bool read_only;
	bool host; /* a disk or a partition of the machine's */
};

/* A network device of the guest: `net = NAME`. */
struct vm_net {
	char network[VM_NET_NAME];
	uint8_t mac[6]; /* all zero: not said */
};

/* A CPU model: a bit for each enum guest_feature (socle/guest/cpuid_model.h). */
struct vm_cpu {
	uint64_t feature[VM_CPU_WORDS];
};

/* Directions of an access to an MSR, as bits. */
enum vm_msr_access { VM_MSR_READ = 1, VM_MSR_WRITE = 2 };

/* One line of the filter: `msr = deny 0x10-0x1f write`. */
struct vm_msr_range {
	uint32_t first, last; /* registers, both included */
	uint8_t access;	      /* enum vm_msr_access, or both: what it is about */
	bool allow;	      /* else it denies */
};

/* Which MSRs the guest may use, of those that there are: the last range that has one decides. */
struct vm_msr_filter {
	struct vm_msr_range range[VM_MSR_RANGES]; /* in order of the lines */
	unsigned count;				  /* used */
	bool deny;				  /* what no range has */
};

/* Frozen when the guest first runs (same value: fine, another: busy). */
struct vm_settings {
	char name[VM_NAME_MAX];
	char kernel[VM_PATH_MAX];
	char initrd[VM_PATH_MAX]; /* empty: none */
	char cmdline[VM_CMDLINE_MAX];
	struct vm_module modules[VM_MODULES_MAX];
	unsigned module_count;
	uint64_t memory;     /* bytes, a multiple of 1 MiB */
	unsigned cpus;	     /* 1 to VM_MAX_VCPUS */
	struct vm_cpu cpu;   /* the features of each */
	unsigned weight;     /* of each vCPU against those of other guests: 1 to VM_WEIGHT_MAX */
	unsigned cap;	     /* most CPU time, in percent of one CPU; 0: no limit */
	uint64_t cpuset;     /* host CPUs that its vCPUs may run on, a bit each; 0: not said */
	bool console;	     /* the guest's first serial port is on the console */
	bool virtio_console; /* a virtio console, too; only with @console */
	bool autostart;	     /* starts at boot */
	uint16_t debug_exit; /* port of the debug-exit device; 0: none */
	bool rng;	     /* has an entropy device */
	struct vm_disk disks[VM_DISKS_MAX];
	unsigned disk_count;
	struct vm_net nets[VM_NETS_MAX];
	unsigned net_count;
	uint32_t vsock_cid;		/* its address as a socket's end; 0: no such device */
	char vsock_group[VM_GROUP_MAX]; /* with whom alone it talks so; empty: with all global ones
					 */
	bool pmu;			/* performance counters, on CPUs of its own */
	bool test_device; /* port 0xe4, by which a test guest has its own pages moved */
	enum vm_on_exit on_exit;
	struct vm_msr_filter msr;
	unsigned line; /* of its section header in socle.conf */
};

/* One [network NAME] section. */
struct network_settings {
	char name[VM_NET_NAME];
	char uplink[NETWORK_CARD_MAX]; /* a card of the machine */
	unsigned line;		       /* of its section header in socle.conf */
};

/* Number of CPUs in a set. */
static inline unsigned cpuset_count(uint64_t set)
{
	unsigned n = 0;

	for (; set; set &= set - 1)
		n++;
	return n;
}

/* Finds a boot module by name, NULL if there is none. */
const struct boot_module *boot_module_find(const char *name);

/* Registers a module at boot; false when the table is full or the name is taken. */
bool boot_module_add(const char *name, const uint8_t *data, uint64_t size);

#endif
