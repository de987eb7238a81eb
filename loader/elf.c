/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads the loadable segments of a 32-bit or 64-bit x86 ELF executable, which is not trusted. */
#include "elf.h"
#include "socle/string.h"

bool elf_probe(const uint8_t *data, uint64_t size)
{
	return size >= 16 && memcmp(data,
				    "\x7f"
				    "ELF",
				    4) == 0;
}

/* True if @len bytes at @offset are in the file. */
static bool in_file(const struct elf_file *elf, uint64_t offset, uint64_t len)
{
	return offset <= elf->size && len <= elf->size - offset;
}

/* Reads program header @i whatever its type. */
static uint32_t read_program(const struct elf_file *elf, unsigned i, struct elf_segment *segment)
{
	const uint8_t *at = elf->data + elf->phoff + (uint64_t)i * elf->phentsize;
	struct elf32_program p32;
	struct elf64_program p64;

	if (elf->is64) {
		memcpy(&p64, at, sizeof(p64));
		*segment = (struct elf_segment){p64.offset, p64.vaddr, p64.paddr, p64.filesz,
						p64.memsz};
		return p64.type;
	}
	memcpy(&p32, at, sizeof(p32));
	*segment = (struct elf_segment){p32.offset, p32.vaddr, p32.paddr, p32.filesz, p32.memsz};
	return p32.type;
}

bool elf_segment(const struct elf_file *elf, unsigned i, struct elf_segment *segment)
{
	return read_program(elf, i, segment) == ELF_LOAD && segment->memsz;
}

/* What the headers of both classes say alike. */
static const char *check_header(uint16_t type, uint16_t machine)
{
	if (machine != ELF_386 && machine != ELF_X86_64)
		return "is an ELF file for another kind of CPU";
	if (type != ELF_EXEC)
		return "is an ELF file but not an executable with fixed addresses";
	return NULL;
}

static const char *read_header(struct elf_file *elf)
{
	struct elf32_header h32;
	struct elf64_header h64;

	if (elf->is64) {
		if (elf->size < sizeof(h64))
			return "is truncated: its ELF header is not complete";
		memcpy(&h64, elf->data, sizeof(h64));
		elf->entry = h64.entry;
		elf->phoff = h64.phoff;
		elf->phentsize = h64.phentsize;
		elf->phnum = h64.phnum;
		return check_header(h64.type, h64.machine);
	}
	if (elf->size < sizeof(h32))
		return "is truncated: its ELF header is not complete";
	memcpy(&h32, elf->data, sizeof(h32));
	elf->entry = h32.entry;
	elf->phoff = h32.phoff;
	elf->phentsize = h32.phentsize;
	elf->phnum = h32.phnum;
	return check_header(h32.type, h32.machine);
}

const char *elf_open(struct elf_file *elf, const uint8_t *data, uint64_t size)
{
	const char *wrong;

	*elf = (struct elf_file){.data = data, .size = size};
	if (!elf_probe(data, size))
		return "is not an ELF file";
	if (data[ELF_DATA] != ELF_DATA2LSB ||
	    (data[ELF_CLASS] != ELF_CLASS32 && data[ELF_CLASS] != ELF_CLASS64))
		return "is an ELF file for another kind of CPU";
	elf->is64 = data[ELF_CLASS] == ELF_CLASS64;
	wrong = read_header(elf);
	if (wrong)
		return wrong;
	if (elf->phentsize <
	    (elf->is64 ? sizeof(struct elf64_program) : sizeof(struct elf32_program)))
		return "is an ELF file with a bad size of program headers";
	if (!in_file(elf, elf->phoff, (uint64_t)elf->phnum * elf->phentsize))
		return "is truncated: its program headers are not complete";

	for (unsigned i = 0; i < elf->phnum; i++) {
		struct elf_segment segment;

		if (!elf_segment(elf, i, &segment))
			continue;
		if (!in_file(elf, segment.offset, segment.filesz))
			return "is truncated: a segment is not complete";
		if (segment.filesz > segment.memsz)
			return "is an ELF file with a segment larger than its memory";
		if (segment.paddr + segment.memsz < segment.paddr)
			return "is an ELF file with a segment beyond the last address";
	}
	return NULL;
}
