/* SPDX-License-Identifier: MIT */
/*
 * Text on a terminal. Much of it comes from guests, who must not be able to do anything with the
 * terminal, or make a line look like another one: control characters, and those that change the
 * direction of writing, are shown as what they are.
 */
#include "hvctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

unsigned decode(const char *text, uint32_t *character)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const uint8_t *s = (const uint8_t *)text;
	const unsigned len = *s < 0x80 ? 1 : *s < 0xc0 ? 0 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : 4;
	uint32_t c = len == 1 ? *s : *s & (0x7fu >> len);

	for (unsigned i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fu);
	}
	*character = c;
	return !len || *s >= 0xf8 || c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)
		       ? 0
		       : len;
}

static bool is_harmless(uint32_t c)
{
	return c >= 0x20 && !(c >= 0x7f && c < 0xa0) && c != 0x061c && c != 0xfeff &&
	       !(c >= 0x200b && c <= 0x200f) && !(c >= 0x2028 && c <= 0x202e) &&
	       !(c >= 0x2060 && c <= 0x206f) && !(c >= 0xfff9 && c <= 0xfffb);
}

/* How JSON has it: a character that is not of the first 65,536 is two. */
static void put_escape(FILE *out, uint32_t c)
{
	if (c > 0xffff)
		fprintf(out, "\\u%04x\\u%04x", (unsigned)(0xd7c0 + (c >> 10)),
			(unsigned)(0xdc00 + (c & 0x3ff)));
	else
		fprintf(out, "\\u%04x", (unsigned)c);
}

static void put_escaped(FILE *out, const char *text, const char *also)
{
	while (*text) {
		uint32_t c;
		const unsigned len = decode(text, &c);

		if (!len)
			fprintf(out, "\\x%02x", (unsigned)(uint8_t)*text);
		else if (is_harmless(c) || (c < 0x80 && strchr(also, (int)c)))
			fprintf(out, "%.*s", (int)len, text);
		else if (c == '\n' || c == '\t' || c == '\r')
			fprintf(out, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
		else
			put_escape(out, c);
		text += len ? len : 1;
	}
}

void print_text(const char *text)
{
	put_escaped(stdout, text, "");
}

void print_lines(const char *text)
{
	put_escaped(stdout, text, "\n\t");
}

char *escaped(const char *text)
{
	char *out = NULL;
	size_t size;
	FILE *f = open_memstream(&out, &size);

	if (!f)
		abort();
	put_escaped(f, text, "");
	fclose(f);
	return out;
}

/* Strings are all that may have what is harmful in it, and there an escape means the same. */
static void print_json_as(struct json_object *object, int flags)
{
	put_escaped(stdout,
		    json_object_to_json_string_ext(object, flags | JSON_C_TO_STRING_NOSLASHESCAPE),
		    "\n");
	putchar('\n');
	fflush(stdout);
}

void print_json(struct json_object *object)
{
	print_json_as(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED);
}

void print_json_line(struct json_object *object)
{
	print_json_as(object, JSON_C_TO_STRING_PLAIN);
}

bool show_json(const struct ctl *ctl, struct json_object *result)
{
	if (ctl->json)
		print_json(result);
	return ctl->json;
}

__attribute__((format(printf, 1, 0))) static void say(const char *format, va_list args)
{
	char text[1200];

	vsnprintf(text, sizeof(text), format, args);
	end_progress();
	fflush(stdout);
	fputs("hvctl: ", stderr);
	put_escaped(stderr, text, "");
	fputc('\n', stderr);
}

int fail(int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
	return code;
}

void note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
}

const char *format_bytes(uint64_t bytes, char text[FORMAT_MAX])
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double n = (double)bytes / 1024;
	unsigned unit = 0;

	if (bytes < 1024) {
		snprintf(text, FORMAT_MAX, "%u B", (unsigned)bytes);
		return text;
	}
	while (n >= 1023.95 && unit < sizeof(units) / sizeof(units[0]) - 1) {
		n /= 1024;
		unit++;
	}
	snprintf(text, FORMAT_MAX, "%.1f %s", n, units[unit]);
	return text;
}

const char *format_ms(uint64_t ms, char text[FORMAT_MAX])
{
	const uint64_t s = ms / 1000;

	if (s < 1)
		snprintf(text, FORMAT_MAX, "%u ms", (unsigned)ms);
	else if (s < 60)
		snprintf(text, FORMAT_MAX, "%u.%u s", (unsigned)s, (unsigned)(ms % 1000 / 100));
	else if (s < 86400)
		snprintf(text, FORMAT_MAX, "%02u:%02u:%02u", (unsigned)(s / 3600),
			 (unsigned)(s / 60 % 60), (unsigned)(s % 60));
	else
		snprintf(text, FORMAT_MAX, "%llu days %02u:%02u:%02u",
			 (unsigned long long)(s / 86400), (unsigned)(s / 3600 % 24),
			 (unsigned)(s / 60 % 60), (unsigned)(s % 60));
	return text;
}
