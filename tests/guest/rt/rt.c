/* SPDX-License-Identifier: BSD-2-Clause */
/* Output, verdicts and device helpers of a test guest. */
#include "rt.h"

#define UART 0x3f8

static unsigned failures;
static volatile uint32_t output_lock;
bool output_shared;
void rt_main(void);

static void put(struct format_sink *sink, char c)
{
	(void)sink;
	if (c == '\n')
		put(sink, '\r');
	for (unsigned i = 0; i < 100000 && !(inb(UART + 5) & 0x20); i++)
		;
	outb(UART, (uint8_t)c);
}

static struct format_sink out = {put};

static void uart_init(void)
{
	outb(UART + 1, 0);
	outb(UART + 3, 0x80); /* divisor latch */
	outb(UART + 0, 1);    /* 115200 */
	outb(UART + 1, 0);
	outb(UART + 3, 3); /* 8N1 */
	outb(UART + 2, 7);
	outb(UART + 4, 3);
}

void print(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	format_vsink(&out, fmt, args);
	va_end(args);
}

/* Not for ever: the owner may be the code that was interrupted. */
static bool lock_output(void)
{
	for (unsigned i = 0; output_shared && i < 1000000; i++) {
		if (!__atomic_exchange_n(&output_lock, 1, __ATOMIC_ACQUIRE))
			return true;
		__asm__ volatile("pause");
	}
	return false;
}

static void line(const char *kind, const char *fmt, va_list args)
{
	bool locked = lock_output();

	format_sink(&out, "%s: %s: ", kind, test_name);
	format_vsink(&out, fmt, args);
	format_sink(&out, "\n");
	if (locked)
		__atomic_store_n(&output_lock, 0, __ATOMIC_RELEASE);
}

void fail(const char *fmt, ...)
{
	va_list args;

	/* A broken loop must not flood the line: the first failures tell enough. */
	if (__atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED) > 20)
		return;
	va_start(args, fmt);
	line("FAIL", fmt, args);
	va_end(args);
}

void info(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	line("INFO", fmt, args);
	va_end(args);
}

void skip(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	line("SKIP", fmt, args);
	va_end(args);
	exit_with(STATUS_SKIP);
}

void exit_with(uint8_t status)
{
	/* Let the last bytes out of the line's FIFO. */
	for (unsigned i = 0; i < 100000 && !(inb(UART + 5) & 0x40); i++)
		;
	outb(0xf4, status);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void finish(void)
{
	if (!failures)
		print("PASS: %s\n", test_name);
	exit_with(failures ? STATUS_FAIL : STATUS_PASS);
}

bool option(const char *word)
{
	size_t len = strlen(word);

	if (entry_eax != 0x2badb002 || !(mb_info()->flags & 4))
		return false;
	for (const char *p = (const char *)(uintptr_t)mb_info()->cmdline; *p;) {
		const char *end = p;

		while (*end && *end != ' ')
			end++;
		if ((size_t)(end - p) == len && !strncmp(p, word, len))
			return true;
		p = *end ? end + 1 : end;
	}
	return false;
}

bool hosted(void)
{
	return option("hosted");
}

int rdmsr_safe(uint32_t index, uint64_t *v)
{
	return EXCEPTION_OF(*v = rdmsr(index));
}

int wrmsr_safe(uint32_t index, uint64_t v)
{
	return EXCEPTION_OF(wrmsr(index, v));
}

uint64_t *page_split(uint64_t addr)
{
	static uint64_t tables[4][512] __aligned(4096);
	static unsigned used;
	uint64_t *pde = &page_pd[addr >> 21];

	if (*pde & 0x80) {
		uint64_t *table = tables[used++ % 4];

		for (unsigned i = 0; i < 512; i++)
			table[i] = (*pde & ~0x80ull) + i * PAGE_SIZE;
		*pde = (uintptr_t)table | 7;
		write_cr3(read_cr3());
	}
	return (uint64_t *)(uintptr_t)(*pde & ~0xfffull) + (addr >> 12 & 511);
}

void pm_delay(uint32_t ticks)
{
	static uint16_t port;
	uint32_t start;

	/* PM_TIMER_PORT, but for Bochs without Socle. */
	if (!port)
		port = acpi_pm_timer();
	start = inl(port);
	while (((inl(port) - start) & 0xffffff) < ticks)
		;
}

void pit_start(uint8_t mode, uint16_t count)
{
	outb(0x43, (uint8_t)(0x30 | mode << 1));
	outb(0x40, (uint8_t)count);
	outb(0x40, (uint8_t)(count >> 8));
}

void pic_init(uint8_t base, uint16_t mask)
{
	outb(0x20, 0x11);
	outb(0xa0, 0x11);
	outb(0x21, base);
	outb(0xa1, (uint8_t)(base + 8));
	outb(0x21, 4);
	outb(0xa1, 2);
	outb(0x21, 1);
	outb(0xa1, 1);
	outb(0x21, (uint8_t)mask);
	outb(0xa1, (uint8_t)(mask >> 8));
}

uint32_t ioapic_read(uint8_t reg)
{
	mmio_write(IOAPIC_BASE, reg);
	return mmio_read(IOAPIC_BASE + 0x10);
}

void ioapic_write(uint8_t reg, uint32_t v)
{
	mmio_write(IOAPIC_BASE, reg);
	mmio_write(IOAPIC_BASE + 0x10, v);
}

void lapic_enable(void)
{
	pic_init(0x20, 0xffff);
	lapic_write(LAPIC_SVR, 0x1ff);
	lapic_write(LAPIC_TPR, 0);
}

void rt_main(void)
{
	uart_init();
	idt_load();
	test_main();
	finish();
}
