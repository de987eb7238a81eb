/* SPDX-License-Identifier: BSD-2-Clause */
/* The formats of a multiboot 1 kernel: header, information structure, and ELF. */
#ifndef SOCLE_LOADER_MULTIBOOT1_H
#define SOCLE_LOADER_MULTIBOOT1_H

#include "socle/base.h"

/* Multiboot specification 0.6.96, sections 3.1 to 3.3. */
enum multiboot1 {
	MB1_SEARCH = 8192, /* the header lies in so many first bytes */
	MB1_HEADER_MAGIC = 0x1badb002,
	MB1_BOOT_MAGIC = 0x2badb002,	  /* in EAX at the entry */
	MB1_HEADER_PAGE_ALIGN = 0x00001,  /* modules begin on pages */
	MB1_HEADER_MEMORY_INFO = 0x00002, /* wants mem_lower and mem_upper */
	MB1_HEADER_VIDEO_MODE = 0x00004,  /* wants a video mode */
	MB1_HEADER_REQUIRED = 0x0ffff,	  /* bits that must not be ignored */
	MB1_HEADER_ADDRESSES = 0x10000,	  /* the header's address fields are valid */
	MB1_INFO_MEMORY = 0x001,	  /* mem_lower and mem_upper are valid */
	MB1_INFO_CMDLINE = 0x004,	  /* cmdline is valid */
	MB1_INFO_MODULES = 0x008,	  /* mods_count and mods_addr are valid */
	MB1_INFO_MEM_MAP = 0x040,	  /* mmap_length and mmap_addr are valid */
	MB1_INFO_LOADER_NAME = 0x200,	  /* boot_loader_name is valid */
};

struct mb1_header {
	uint32_t magic;		/* MB1_HEADER_MAGIC */
	uint32_t flags;		/* MB1_HEADER_... */
	uint32_t checksum;	/* makes the sum of the three zero */
	uint32_t header_addr;	/* with MB1_HEADER_ADDRESSES: where this header is loaded */
	uint32_t load_addr;	/* where the first byte to load goes */
	uint32_t load_end_addr; /* end of what comes from the file; 0: all of it */
	uint32_t bss_end_addr;	/* end of the zeroed memory after it; 0: none */
	uint32_t entry_addr;	/* where to start */
};

#define MB1_HEADER_MIN offsetof(struct mb1_header, header_addr)

/* All addresses are guest-physical. */
struct mb1_info {
	uint32_t flags;		   /* MB1_INFO_... */
	uint32_t mem_lower;	   /* KiB from 0 */
	uint32_t mem_upper;	   /* KiB from 1 MiB to the first hole */
	uint32_t boot_device;	   /* not valid here, as what follows without a flag */
	uint32_t cmdline;	   /* address of a string */
	uint32_t mods_count;	   /* entries */
	uint32_t mods_addr;	   /* address of struct mb1_module[] */
	uint32_t syms[4];	   /* not valid */
	uint32_t mmap_length;	   /* bytes */
	uint32_t mmap_addr;	   /* address of struct mb1_mmap[] */
	uint32_t drives_length;	   /* not valid */
	uint32_t drives_addr;	   /* not valid */
	uint32_t config_table;	   /* not valid */
	uint32_t boot_loader_name; /* address of a string */
	uint32_t apm_table;	   /* not valid */
	uint32_t vbe[4];	   /* not valid: control and mode info, mode, interface */
	uint8_t framebuffer[28];   /* not valid */
};

struct mb1_module {
	uint32_t mod_start; /* address of its first byte */
	uint32_t mod_end;   /* and after its last */
	uint32_t string;    /* address of its string */
	uint32_t reserved;  /* zero */
};

struct mb1_mmap {
	uint32_t size;	 /* bytes that follow */
	uint64_t addr;	 /* of the range */
	uint64_t length; /* bytes */
	uint32_t type;	 /* enum e820_type */
} __packed;

_Static_assert(sizeof(struct mb1_header) == 32, "layout");
_Static_assert(sizeof(struct mb1_info) == 116, "layout");
_Static_assert(offsetof(struct mb1_info, mmap_length) == 44, "layout");
_Static_assert(offsetof(struct mb1_info, boot_loader_name) == 64, "layout");
_Static_assert(sizeof(struct mb1_module) == 16, "layout");
_Static_assert(sizeof(struct mb1_mmap) == 24, "layout");

#endif
