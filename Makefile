# SPDX-License-Identifier: BSD-2-Clause
# Socle: everything is built into build/. `make help` lists the targets.

MAKEFLAGS += -rR
ifeq ($(filter-out default undefined,$(origin CC)),)
CC	:= gcc
endif
NASM	:= nasm
PYTHON	:= $(firstword $(wildcard /usr/bin/python3) python3)
B	:= build

# What the ISO's guest is made of, and how `make run` runs it; see `make help`.
KERNEL	 := $(B)/guest/vmlinuz
INITRD	 := $(B)/guest/initrd
CMDLINE	 :=
ACCEL	 := tcg
UEFI	 := 0
MEMORY	 := 1024
EMULATOR := qemu
CPU	 :=
export ACCEL UEFI MEMORY EMULATOR CPU

# One short line for each step; V=1 shows the commands.
ifeq ($(V),)
say	= @echo '  $(1)	$@';
endif

# The hypervisor.
ROOMS	:= lib arch/x86/cpu mm drivers kernel arch/x86/guest platform drivers/virtio \
	   arch/x86/svm arch/x86/vmx loader console boot
SRCS_C	:= $(wildcard $(addsuffix /*.c,$(ROOMS)))
SRCS_N	:= $(wildcard $(addsuffix /*.asm,$(ROOMS)))
OBJS	:= $(SRCS_C:%.c=$(B)/%.o) $(SRCS_N:%.asm=$(B)/%.asm.o)

WARN	:= -Wall -Wextra -Werror -Wno-unused-parameter -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
	   -Wold-style-definition -Wundef -Wvla -Wwrite-strings -Wimplicit-fallthrough -Wformat=2
CFLAGS	:= -std=gnu17 -O2 -g -ffreestanding -fno-pic -fno-pie -mcmodel=kernel -mno-red-zone \
	   -mgeneral-regs-only -fno-asynchronous-unwind-tables -fno-strict-aliasing -fno-common \
	   -fcf-protection=none \
	   -fstack-protector-strong -mstack-protector-guard=global $(WARN) -Iinclude
UNIT_CFLAGS := -std=gnu17 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all \
	   -fno-builtin $(WARN) -Iinclude -DSOCLE_UNIT_TEST

all: $(B)/socle.elf	## build/socle.elf, the hypervisor

# DEFINE= is for `make bench`, which has a build of its own count something.
DEFINE	:=
$(B)/%.o: %.c | need-build
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CFLAGS) $(DEFINE) -MMD -MP -c $< -o $@

$(B)/%.asm.o: %.asm | need-build
	@mkdir -p $(@D)
	$(call say,NASM)$(NASM) -f elf64 $(DEFINE) -g -F dwarf -MD $(@:.o=.d) -o $@ $<

$(B)/socle.elf: $(OBJS) linker.ld
	$(call say,LD)ld -nostdlib -static -z noexecstack -z max-page-size=4096 -T linker.ld -o $@ $(OBJS)

$(B)/%.aml: %.asl | need-build
	@mkdir -p $(@D)
	$(call say,IASL)iasl -ve -p $(@:.aml=) $< >$@.log || { cat $@.log; exit 1; }

$(B)/platform/dsdt_aml.asm.o: $(B)/platform/dsdt.aml

# The ISO and its guest.
iso: $(B)/socle.iso	## build/socle.iso: Socle, GRUB and the guest; boots on BIOS and UEFI

# The kernel, and its modules for virtio and sockets: of the same package, or they would not fit.
MODULES	:= .*/(virtio(_ring|_pci|_pci_(modern|legacy)_dev|-rng|_blk|_console|_net)?|(net_)?failover|(vmw_)?vsock(_virtio_transport(_common)?)?)\.ko
$(B)/guest/modules.list: FORCE
	@mkdir -p $(@D)
	@echo '$(MODULES)' | cmp -s - $@ || echo '$(MODULES)' >$@

$(B)/guest/vmlinuz $(B)/guest/modules.tar &: $(B)/guest/modules.list
	@tools/debfile linux-image-cloud-amd64 './boot/vmlinuz-.*' $(B)/guest/vmlinuz \
		'$(MODULES)' $(B)/guest/modules.tar

$(B)/guest/busybox:
	@mkdir -p $(@D)
	@tools/debfile busybox-static './bin/busybox' $@

# The initial RAM disk, and a disk (ext4) with the same files.
$(B)/guest/initrd $(B)/guest/disk &: $(B)/guest/busybox $(B)/guest/modules.tar tools/initrd | need-iso
	$(call say,INITRD)tools/initrd $< $(B)/guest/modules.tar $(B)/guest/initrd $(B)/guest/disk

# With another kernel, initial RAM disk or command line there is one guest.
CONF	:= boot/$(if $(CMDLINE)$(filter-out $(B)/guest/%,$(KERNEL) $(INITRD)),single,socle).conf

# Written anew only when it differs, so that another KERNEL=, INITRD= or CMDLINE= makes a new ISO.
$(B)/guest/socle.conf: $(CONF) FORCE
	@mkdir -p $(@D)
	@{ echo '# kernel $(KERNEL), initrd $(INITRD)'; tools/conf-cmdline $< '$(CMDLINE)'; } >$@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(B)/socle.iso: $(B)/socle.elf boot/grub.cfg $(B)/guest/socle.conf $(KERNEL) $(INITRD) \
		$(B)/guest/disk tools/iso | need-iso
	$(call say,ISO)tools/iso $@ boot/grub.cfg $(B)/socle.elf $(B)/guest/socle.conf vmlinuz=$(KERNEL) \
		initrd=$(INITRD) $(B)/guest/disk

run: $(B)/socle.iso | need-run	## starts the ISO in an emulator, on this terminal
	@tools/run $<

# Unit tests (host), test guests (tiny kernels), tests of the whole machine.
UNITS	:= $(patsubst tests/%.c,$(B)/%,$(wildcard tests/unit/test_*.c tests/model/test_*.c))
$(UNITS): $(B)/%: tests/%.c | need-unit
	@mkdir -p $(@D)
	$(call say,UNIT)gcc $(UNIT_CFLAGS) -MMD -MP $< -o $@ -lcmocka $$(sed -n 's/^ *\* libs: *//p' $<)

# Fuzz targets: clang's libFuzzer, run by tools/test for FUZZ_SECONDS each.
FUZZERS	:= $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_CFLAGS := $(filter-out -fsanitize=%,$(UNIT_CFLAGS)) -fsanitize=fuzzer,address,undefined
$(B)/fuzz/%: tests/fuzz/%.c | need-fuzz
	@mkdir -p $(@D)
	$(call say,FUZZ)clang $(FUZZ_CFLAGS) -MMD -MP $< -o $@

include tests/guest/guest.mk

unit: $(UNITS)		## unit tests on this machine
	@$(PYTHON) tools/test unit

fuzz: $(FUZZERS)	## fuzz targets, FUZZ_SECONDS=10 each
	@rm -f $(B)/fuzz/skip
	@$(PYTHON) tools/test fuzz

# As part of all tests: without clang's runtime they are skipped, not failed.
try-fuzz:
	@mkdir -p $(B)/fuzz && rm -f $(B)/fuzz/skip
	@$(MAKE) --no-print-directory need-fuzz || \
		echo 'clang or its sanitizers could not be installed' >$(B)/fuzz/skip
	@[ -e $(B)/fuzz/skip ] || $(MAKE) --no-print-directory $(FUZZERS)

test: $(UNITS) $(GUESTS) $(B)/socle.iso | need-test try-fuzz	## all tests; the last line is the verdict
	@$(MAKE) --no-print-directory B=$(B)/debug DEFINE=-DLOCK_DEBUG $(B)/debug/socle.elf
	@$(PYTHON) tools/test all

check: $(UNITS) $(GUESTS) $(B)/socle.iso | need-test	## the fast part of the tests (2 minutes)
	@$(PYTHON) tools/test quick

bench: $(GUESTS) $(B)/socle.iso | need-test	## cost of each kind of exit, into build/bench*.json
	@$(MAKE) --no-print-directory B=$(B)/count DEFINE=-DVMX_COUNT_ACCESSES $(B)/count/socle.elf
	@$(PYTHON) tools/bench.py

# Housekeeping.
FORMATTED := $(shell find $(ROOMS) include tests -name '*.[ch]' 2>/dev/null)
SCRIPTS	:= .ci/run $(shell grep -lx '\#!/bin/sh' tools/*)
format: | need-lint	## formats the C sources
	@tools/format $(FORMATTED)

# Of cppcheck's complaints, comparePointers meets bounds of sections, which the linker makes, and
# internalAstError a statement expression in an initializer; unlikely() hides a check in mmio.c.
lint: | need-lint	## checks formatting, shell and C sources, without a build
	@tools/format --check $(FORMATTED)
	shellcheck -s sh $(SCRIPTS)
	cppcheck -q -j2 --std=c11 --error-exitcode=1 --inline-suppr --suppress=missingInclude \
		--suppress=comparePointers --suppress=internalAstError \
		--suppress=nullPointer:arch/x86/guest/mmio.c \
		-Iinclude $(wildcard $(ROOMS))

clean:			## removes build/
	rm -rf $(B)

help:			## this list
	@sed -n 's/^\([a-z]*\):.*## */\1|/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS='|' read -r t h; do printf '  make %-8s %s\n' "$$t" "$$h"; done
	@echo
	@echo 'Variables: CC=clang; KERNEL=, INITRD=, CMDLINE= replace the guest of iso and run;'
	@echo '  make run UEFI=1         boots through UEFI firmware'
	@echo '  make run ACCEL=kvm      nested virtualization, where this machine really has it'
	@echo '  make run MEMORY=2048    the machine'"'"'s memory in MiB'
	@echo '  make run EMULATOR=bochs CPU=skylake_x    Bochs instead of QEMU: an Intel CPU, with'
	@echo '                          VMX (skylake_x, haswell, tigerlake...), or AMD (ryzen)'
	@echo '  make V=1                shows the commands'
	@echo 'In `make run`, Ctrl-] switches between guest and Socle, Ctrl-A X leaves the emulator.'

# Debian packages, installed when something of them is missing.
need-build:
	@tools/need $(CC):$(CC) ld:binutils nasm:nasm iasl:acpica-tools \
		/usr/include/linux/virtio_pci.h:linux-libc-dev
need-unit:
	@tools/need $(PYTHON):python3 gcc:gcc /usr/include/cmocka.h:libcmocka-dev \
		/usr/include/Zydis/Zydis.h:libzydis-dev
need-fuzz:
	@tools/need $(PYTHON):python3 clang:clang libclang-rt-14-dev
need-iso:
	@tools/need grub-mkrescue:grub-common /usr/lib/grub/i386-pc/boot.img:grub-pc-bin \
		/usr/lib/grub/x86_64-efi/kernel.img:grub-efi-amd64-bin xorriso:xorriso \
		mformat:mtools cpio:cpio mke2fs:e2fsprogs
need-run: $(if $(filter bochs,$(EMULATOR)),need-bochs,need-qemu)
need-qemu:
	@tools/need qemu-system-x86_64:qemu-system-x86 /usr/share/OVMF/OVMF_CODE_4M.fd:ovmf
need-bochs:
	@tools/need $(PYTHON):python3 bochs-bin:bochs bochs-bin:bochs-term \
		/usr/share/bochs/BIOS-bochs-latest:bochsbios /usr/share/vgabios/vgabios.bin:vgabios
need-test: need-qemu need-bochs need-iso
	@tools/need $(PYTHON):python3 python3-pytest python3-pexpect python3-pytest-xdist
need-lint:
	@tools/need $(PYTHON):python3 clang-format:clang-format shellcheck:shellcheck cppcheck:cppcheck

FORCE:
-include $(OBJS:.o=.d) $(wildcard $(B)/unit/*.d $(B)/model/*.d $(B)/fuzz/*.d $(B)/tests/guest/*.d $(B)/tests/guest/rt/*.d)
.PHONY: all iso run unit fuzz try-fuzz test check bench format lint clean help FORCE \
	need-build need-unit need-fuzz need-iso need-run need-qemu need-bochs need-test need-lint
.DELETE_ON_ERROR:
