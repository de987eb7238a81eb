/* SPDX-License-Identifier: BSD-2-Clause */
/* The Linux x86 boot protocol: the setup header and the "zero page" (boot_params). */
#ifndef SOCLE_LOADER_BOOTPARAM_H
#define SOCLE_LOADER_BOOTPARAM_H

#include "layout.h"
#include "socle/base.h"

/* Linux documentation, arch/x86/boot.rst, "The real-mode kernel header". */
enum linux_boot {
	LINUX_BOOT_FLAG = 0xaa55,
	LINUX_HEADER_MAGIC = 0x53726448, /* "HdrS" */
	LINUX_LOADED_HIGH = 0x01,	 /* loadflags: protected-mode code belongs at 1 MiB or up */
	LINUX_CAN_USE_HEAP = 0x80,	 /* loadflags: heap_end_ptr is valid */
	LINUX_LOADER_UNDEFINED = 0xff,	 /* type_of_loader: no number was assigned */
	LINUX_SECTOR = 512,		 /* unit of setup_sects, bytes */
	LINUX_PARAGRAPH = 16,		 /* unit of syssize, bytes */
};

struct linux_setup_header {
	uint8_t setup_sects;		/* real-mode code after the boot sector; 0 means 4 */
	uint16_t root_flags;		/* mount root read-only */
	uint32_t syssize;		/* protected-mode code, in LINUX_PARAGRAPH */
	uint16_t ram_size;		/* obsolete */
	uint16_t vid_mode;		/* for the real-mode entry */
	uint16_t root_dev;		/* default root device */
	uint16_t boot_flag;		/* LINUX_BOOT_FLAG */
	uint16_t jump;			/* its second byte gives the header's length from here */
	uint32_t header;		/* LINUX_HEADER_MAGIC */
	uint16_t version;		/* of the protocol, major in the high byte */
	uint32_t realmode_swtch;	/* hook of the loader */
	uint16_t start_sys_seg;		/* obsolete */
	uint16_t kernel_version;	/* where the version's text is */
	uint8_t type_of_loader;		/* set by us */
	uint8_t loadflags;		/* LINUX_LOADED_HIGH, ... */
	uint16_t setup_move_size;	/* obsolete */
	uint32_t code32_start;		/* where the protected-mode code is loaded */
	uint32_t ramdisk_image;		/* initrd's address, set by us */
	uint32_t ramdisk_size;		/* initrd's bytes, set by us */
	uint32_t bootsect_kludge;	/* obsolete */
	uint16_t heap_end_ptr;		/* for the real-mode entry */
	uint8_t ext_loader_ver;		/* more digits of the loader's version */
	uint8_t ext_loader_type;	/* more digits of its type */
	uint32_t cmd_line_ptr;		/* set by us */
	uint32_t initrd_addr_max;	/* highest byte that the initrd may take */
	uint32_t kernel_alignment;	/* of the load address, if relocatable */
	uint8_t relocatable_kernel;	/* not 0: may be loaded elsewhere */
	uint8_t min_alignment;		/* log2, from 2.10 */
	uint16_t xloadflags;		/* 64-bit entry and such, from 2.12 */
	uint32_t cmdline_size;		/* longest command line without its NUL, from 2.06 */
	uint32_t hardware_subarch;	/* 0: a PC */
	uint64_t hardware_subarch_data; /* none for a PC */
	uint32_t payload_offset;	/* of the compressed kernel */
	uint32_t payload_length;	/* of the compressed kernel */
	uint64_t setup_data;		/* list of more data, set by us to none */
	uint64_t pref_address;		/* where the kernel wants to run, from 2.10 */
	uint32_t init_size;	     /* bytes needed there before it knows its memory, from 2.10 */
	uint32_t handover_offset;    /* EFI's entry */
	uint32_t kernel_info_offset; /* from 2.15 */
} __packed;

/* Offsets in boot_params, and in the image's first sectors. */
enum linux_offset {
	LINUX_ACPI_RSDP_ADDR = 0x70, /* 64 bits, from 2.14 */
	LINUX_E820_ENTRIES = 0x1e8,  /* 8 bits */
	LINUX_SETUP_HEADER = 0x1f1,
	LINUX_JUMP_BASE = 0x202,  /* the header ends where the jump from before here leads */
	LINUX_HEADER_END = 0x290, /* what follows in boot_params is something else */
	LINUX_E820_TABLE = 0x2d0,
	LINUX_BOOT_PARAMS_SIZE = 0x1000,
};

_Static_assert(sizeof(struct linux_setup_header) == 0x26c - LINUX_SETUP_HEADER, "layout");
_Static_assert(offsetof(struct linux_setup_header, header) == 0x202 - LINUX_SETUP_HEADER, "layout");
_Static_assert(offsetof(struct linux_setup_header, init_size) == 0x260 - LINUX_SETUP_HEADER,
	       "layout");
_Static_assert(sizeof(struct e820_entry) == 20, "layout");

#endif
