# SPDX-License-Identifier: BSD-2-Clause
# Socle: everything is built into build/. `make help` lists the targets.

CC	?= gcc
NASM	:= nasm
B	:= build

ROOMS	:= lib arch/x86/cpu mm drivers kernel arch/x86/guest platform drivers/virtio \
	   arch/x86/svm arch/x86/vmx loader console boot
SRCS_C	:= $(wildcard $(addsuffix /*.c,$(ROOMS)))
SRCS_N	:= $(wildcard $(addsuffix /*.asm,$(ROOMS)))
OBJS	:= $(SRCS_C:%.c=$(B)/%.o) $(SRCS_N:%.asm=$(B)/%.asm.o)

WARN	:= -Wall -Wextra -Werror -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
	   -Wold-style-definition -Wundef -Wvla -Wwrite-strings -Wimplicit-fallthrough -Wformat=2
CFLAGS	:= -std=gnu17 -O2 -g -ffreestanding -fno-pic -fno-pie -mcmodel=kernel -mno-red-zone \
	   -mgeneral-regs-only -fno-asynchronous-unwind-tables -fno-strict-aliasing -fno-common \
	   -fcf-protection=none \
	   -fstack-protector-strong -mstack-protector-guard=global $(WARN) -Iinclude
UNIT_CFLAGS := -std=gnu17 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all \
	   -fno-builtin $(WARN) -Iinclude -DSOCLE_UNIT_TEST

all: $(B)/socle.elf

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c $< -o $@

$(B)/%.asm.o: %.asm
	@mkdir -p $(@D)
	$(NASM) -f elf64 -g -F dwarf -MD $(@:.o=.d) -o $@ $<

$(B)/socle.elf: $(OBJS) linker.ld
	ld -nostdlib -static -z noexecstack -z max-page-size=4096 -T linker.ld -o $@ $(OBJS)

UNITS	:= $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))
$(B)/unit/%: tests/unit/%.c
	@mkdir -p $(@D)
	gcc $(UNIT_CFLAGS) -MMD -MP $< -o $@ -lcmocka $$(sed -n 's/^ *\* libs: *//p' $<)

unit: $(UNITS)
	@for t in $^; do $$t || exit 1; done

clean:
	rm -rf $(B)

-include $(OBJS:.o=.d) $(wildcard $(B)/unit/*.d)
.PHONY: all unit clean
