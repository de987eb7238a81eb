/* SPDX-License-Identifier: BSD-2-Clause */
/* Formatted print into a buffer or through a byte sink. */
#include "socle/format.h"
#include "socle/string.h"

/* One conversion, from its '%' to its letter. */
struct conversion {
	bool left;	/* "-": pad on the right */
	bool zero;	/* "0": pad numbers with zeros */
	bool plus;	/* "+": sign of positive numbers too */
	bool alternate; /* "#": 0x before hexadecimal */
	bool precise;	/* a precision was given */
	int width;	/* least number of bytes */
	int precision;	/* most bytes of a string, least digits of a number */
	unsigned size;	/* bytes of the argument: 1, 2, 4 or 8 */
};

/* The most that a width or precision can ask for, so that a wrong one cannot run for ages. */
#define COUNT_MAX 1000

/* The call under way. */
struct output {
	struct format_sink *sink; /* where the bytes go */
	size_t count;		  /* bytes put so far */
	va_list args;		  /* arguments not yet used */
};

static void put(struct output *out, char c)
{
	out->sink->put(out->sink, c);
	out->count++;
}

static void pad(struct output *out, char c, int count)
{
	for (; count > 0; count--)
		put(out, c);
}

static void put_bytes(struct output *out, const struct conversion *conv, const char *s, size_t len)
{
	int fill = len < (size_t)conv->width ? conv->width - (int)len : 0;

	if (!conv->left)
		pad(out, ' ', fill);
	for (size_t i = 0; i < len; i++)
		put(out, s[i]);
	if (conv->left)
		pad(out, ' ', fill);
}

static void put_string(struct output *out, const struct conversion *conv, const char *s)
{
	if (!s)
		s = "(null)";
	put_bytes(out, conv, s, conv->precise ? strnlen(s, (size_t)conv->precision) : strlen(s));
}

static void put_number(struct output *out, const struct conversion *conv, const char *prefix,
		       uint64_t value, unsigned base, const char *digits)
{
	char text[20]; /* 2^64 - 1 in decimal has 20 digits */
	int len = 0, zeros, fill;

	do {
		text[len++] = digits[value % base];
		value /= base;
	} while (value);

	zeros = conv->precise && conv->precision > len ? conv->precision - len : 0;
	fill = conv->width - (int)strlen(prefix) - zeros - len;
	if (conv->zero && !conv->left && !conv->precise && fill > 0) {
		zeros = fill;
		fill = 0;
	}
	if (!conv->left)
		pad(out, ' ', fill);
	for (; *prefix; prefix++)
		put(out, *prefix);
	pad(out, '0', zeros);
	while (len)
		put(out, text[--len]);
	if (conv->left)
		pad(out, ' ', fill);
}

static int parse_count(const char **fmt)
{
	int count = 0;

	for (; **fmt >= '0' && **fmt <= '9'; ++*fmt)
		count = MIN(count * 10 + (**fmt - '0'), COUNT_MAX);
	return count;
}

static void parse_flags(const char **fmt, struct conversion *conv)
{
	for (;; ++*fmt) {
		switch (**fmt) {
		case '-':
			conv->left = true;
			break;
		case '0':
			conv->zero = true;
			break;
		case '+':
			conv->plus = true;
			break;
		case '#':
			conv->alternate = true;
			break;
		default:
			return;
		}
	}
}

static unsigned parse_length(const char **fmt)
{
	switch (**fmt) {
	case 'h':
		if (*++*fmt != 'h')
			return sizeof(short);
		++*fmt;
		return sizeof(char);
	case 'l':
		if (*++*fmt == 'l')
			++*fmt;
		return sizeof(long);
	case 'z':
		++*fmt;
		return sizeof(size_t);
	}
	return sizeof(int);
}

/* Cuts an argument to the size that its conversion names, as C does. */
static uint64_t cut_unsigned(uint64_t value, unsigned size)
{
	return size == 8 ? value : value & (BIT(size * 8) - 1);
}

static int64_t cut_signed(uint64_t value, unsigned size)
{
	switch (size) {
	case 1:
		return (int8_t)value;
	case 2:
		return (int16_t)value;
	case 4:
		return (int32_t)value;
	}
	return (int64_t)value;
}

static void put_signed(struct output *out, const struct conversion *conv, uint64_t arg)
{
	int64_t value = cut_signed(arg, conv->size);

	if (value < 0)
		put_number(out, conv, "-", -(uint64_t)value, 10, "0123456789");
	else
		put_number(out, conv, conv->plus ? "+" : "", (uint64_t)value, 10, "0123456789");
}

static void put_unsigned(struct output *out, const struct conversion *conv, char letter,
			 uint64_t arg)
{
	uint64_t value = cut_unsigned(arg, conv->size);

	if (letter == 'u')
		put_number(out, conv, "", value, 10, "0123456789");
	else if (letter == 'X')
		put_number(out, conv, conv->alternate && value ? "0X" : "", value, 16,
			   "0123456789ABCDEF");
	else
		put_number(out, conv, letter == 'p' || (conv->alternate && value) ? "0x" : "",
			   value, 16, "0123456789abcdef");
}

/* A width or precision: digits, or the next argument for "*"; its size is bounded. */
static int next_count(struct output *out, const char **fmt)
{
	if (**fmt == '*') {
		++*fmt;
		return MAX(MIN(va_arg(out->args, int), COUNT_MAX), -COUNT_MAX);
	}
	return parse_count(fmt);
}

/* The next argument, which is of the conversion's size or an int. */
static uint64_t next_integer(struct output *out, const struct conversion *conv)
{
	return conv->size == 8 ? va_arg(out->args, uint64_t) : va_arg(out->args, unsigned);
}

/* Reads what stands between the '%' and the conversion's letter. */
static struct conversion parse_conversion(struct output *out, const char **fmt)
{
	struct conversion conv = {0};

	parse_flags(fmt, &conv);
	conv.width = next_count(out, fmt);
	if (conv.width < 0) {
		conv.left = true;
		conv.width = -conv.width;
	}
	if (**fmt == '.') {
		++*fmt;
		conv.precision = next_count(out, fmt);
		conv.precise = conv.precision >= 0;
	}
	conv.size = parse_length(fmt);
	return conv;
}

static void put_conversion(struct output *out, struct conversion *conv, char letter)
{
	char c;

	switch (letter) {
	case 'c':
		c = (char)va_arg(out->args, int);
		put_bytes(out, conv, &c, 1);
		break;
	case 's':
		put_string(out, conv, va_arg(out->args, const char *));
		break;
	case 'd':
	case 'i':
		put_signed(out, conv, next_integer(out, conv));
		break;
	case 'p':
	case 'u':
	case 'x':
	case 'X':
		if (letter == 'p')
			conv->size = sizeof(void *);
		put_unsigned(out, conv, letter, next_integer(out, conv));
		break;
	default: /* '%' itself, and what is no conversion: as it stands */
		put(out, letter);
		break;
	}
}

size_t format_vsink(struct format_sink *sink, const char *fmt, va_list args)
{
	struct output out = {.sink = sink};

	va_copy(out.args, args);
	while (*fmt) {
		struct conversion conv;

		if (*fmt != '%') {
			put(&out, *fmt++);
			continue;
		}
		fmt++;
		conv = parse_conversion(&out, &fmt);
		if (*fmt)
			put_conversion(&out, &conv, *fmt++);
	}
	va_end(out.args);
	return out.count;
}

size_t format_sink(struct format_sink *sink, const char *fmt, ...)
{
	va_list args;
	size_t count;

	va_start(args, fmt);
	count = format_vsink(sink, fmt, args);
	va_end(args);
	return count;
}

/* A sink that fills a buffer and drops what does not fit. */
struct buffer_sink {
	struct format_sink sink;
	char *at;   /* where the next byte goes */
	char *last; /* kept for the final NUL; NULL: no buffer */
};

static void buffer_put(struct format_sink *sink, char c)
{
	struct buffer_sink *buffer = container_of(sink, struct buffer_sink, sink);

	if (buffer->at < buffer->last)
		*buffer->at++ = c;
}

size_t format_v(char *buf, size_t size, const char *fmt, va_list args)
{
	struct buffer_sink buffer = {
		.sink.put = buffer_put,
		.at = size ? buf : NULL,
		.last = size ? buf + size - 1 : NULL,
	};
	size_t count = format_vsink(&buffer.sink, fmt, args);

	if (size)
		*buffer.at = '\0';
	return count;
}

size_t format(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;
	size_t count;

	va_start(args, fmt);
	count = format_v(buf, size, fmt, args);
	va_end(args);
	return count;
}
