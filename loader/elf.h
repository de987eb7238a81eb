/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads the loadable segments of a 32-bit or 64-bit x86 ELF executable, which is not trusted. */
#ifndef SOCLE_LOADER_ELF_H
#define SOCLE_LOADER_ELF_H

#include "socle/base.h"

/* System V ABI, chapter 4, "ELF Header", and chapter 5, "Program Header". */
enum elf {
	ELF_CLASS = 4, /* index in ident */
	ELF_DATA = 5,  /* index in ident */
	ELF_CLASS32 = 1,
	ELF_CLASS64 = 2,
	ELF_DATA2LSB = 1, /* little-endian */
	ELF_EXEC = 2,	  /* type: executable */
	ELF_386 = 3,	  /* machine */
	ELF_X86_64 = 62,  /* machine */
	ELF_LOAD = 1,	  /* program header's type: to be loaded */
};

struct elf32_header {
	uint8_t ident[16];  /* magic, class, data encoding, ... */
	uint16_t type;	    /* ELF_EXEC */
	uint16_t machine;   /* ELF_386, ... */
	uint32_t version;   /* 1 */
	uint32_t entry;	    /* virtual address */
	uint32_t phoff;	    /* offset of the program headers in the file */
	uint32_t shoff;	    /* offset of the section headers */
	uint32_t flags;	    /* none on x86 */
	uint16_t ehsize;    /* bytes of this header */
	uint16_t phentsize; /* bytes of a program header */
	uint16_t phnum;	    /* program headers */
	uint16_t shentsize; /* bytes of a section header */
	uint16_t shnum;	    /* section headers */
	uint16_t shstrndx;  /* section with the names */
};

struct elf64_header {
	uint8_t ident[16];  /* as above, and the following too */
	uint16_t type;	    /* ELF_EXEC */
	uint16_t machine;   /* ELF_X86_64 */
	uint32_t version;   /* 1 */
	uint64_t entry;	    /* virtual address */
	uint64_t phoff;	    /* offset of the program headers in the file */
	uint64_t shoff;	    /* offset of the section headers */
	uint32_t flags;	    /* none on x86 */
	uint16_t ehsize;    /* bytes of this header */
	uint16_t phentsize; /* bytes of a program header */
	uint16_t phnum;	    /* program headers */
	uint16_t shentsize; /* bytes of a section header */
	uint16_t shnum;	    /* section headers */
	uint16_t shstrndx;  /* section with the names */
};

struct elf32_program {
	uint32_t type;	 /* ELF_LOAD, ... */
	uint32_t offset; /* in the file */
	uint32_t vaddr;	 /* virtual address */
	uint32_t paddr;	 /* physical address */
	uint32_t filesz; /* bytes from the file */
	uint32_t memsz;	 /* bytes in memory; the rest is zero */
	uint32_t flags;	 /* readable, ... */
	uint32_t align;	 /* of the addresses */
};

struct elf64_program {
	uint32_t type;	 /* ELF_LOAD, ... */
	uint32_t flags;	 /* readable, ... */
	uint64_t offset; /* in the file */
	uint64_t vaddr;	 /* virtual address */
	uint64_t paddr;	 /* physical address */
	uint64_t filesz; /* bytes from the file */
	uint64_t memsz;	 /* bytes in memory; the rest is zero */
	uint64_t align;	 /* of the addresses */
};

/* An opened file. */
struct elf_file {
	const uint8_t *data; /* the file */
	uint64_t size;	     /* bytes */
	bool is64;	     /* class */
	uint64_t entry;	     /* virtual address */
	uint64_t phoff;	     /* program headers; all of them lie in the file */
	unsigned phentsize;  /* bytes of each */
	unsigned phnum;	     /* how many */
};

/* A part of a file to be put into memory. */
struct elf_segment {
	uint64_t offset; /* in the file */
	uint64_t vaddr;	 /* virtual address */
	uint64_t paddr;	 /* physical address */
	uint64_t filesz; /* bytes from the file, all of them in it */
	uint64_t memsz;	 /* bytes in memory, at least @filesz; do not overflow @paddr */
};

/* True if the file begins like an ELF file. */
bool elf_probe(const uint8_t *data, uint64_t size);

/*
 * Checks the file's headers and fills @elf, so that elf_segment() can be called. Returns NULL, or
 * what is wrong ("is a shared object, ...").
 */
const char *elf_open(struct elf_file *elf, const uint8_t *data, uint64_t size);

/* Fills @segment from program header @i, below phnum. False if it is not to be loaded or empty. */
bool elf_segment(const struct elf_file *elf, unsigned i, struct elf_segment *segment);

#endif
