# SPDX-License-Identifier: BSD-2-Clause
# Test guests: each tests/guest/NAME.c, with the small run-time in tests/guest/rt/, is one image.

GUEST_CFLAGS := -std=gnu17 -O2 -g -ffreestanding -fno-pic -fno-pie -mno-red-zone -mgeneral-regs-only \
	-fno-asynchronous-unwind-tables -fno-strict-aliasing -fcf-protection=none \
	-fno-stack-protector $(WARN) -Iinclude -Itests/guest/rt

# The run-time shares the hypervisor's formatted print and memory functions.
GUEST_RT := $(patsubst %.c,$(B)/%.o,$(wildcard tests/guest/rt/*.c)) \
	$(patsubst %,$(B)/%.o,$(wildcard tests/guest/rt/*.asm)) \
	$(B)/tests/lib/format.o $(B)/tests/lib/string.o $(B)/tests/lib/libc.o
GUESTS	 := $(patsubst %.c,$(B)/%.elf,$(wildcard tests/guest/*.c tests/bench/*.c))

$(B)/tests/%.o: tests/%.c | need-build
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(GUEST_CFLAGS) -MMD -MP -c $< -o $@

$(B)/tests/lib/%.o: lib/%.c | need-build
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(GUEST_CFLAGS) -MMD -MP -c $< -o $@

# 64-bit code in a 32-bit ELF image: what multiboot 1 loaders take.
$(B)/tests/%.elf: $(B)/tests/%.o $(GUEST_RT) tests/guest/guest.ld
	$(call say,LD)ld -nostdlib -static -z noexecstack --no-warn-rwx-segments -T tests/guest/guest.ld -o $@.64 $< $(GUEST_RT)
	@objcopy -S -O elf32-i386 $@.64 $@

guests: $(GUESTS)
.PHONY: guests
.SECONDARY: $(GUESTS:.elf=.o) $(GUEST_RT)
