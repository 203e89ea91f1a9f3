/* SPDX-License-Identifier: MIT */
#include "util/inet.h"

#include "util/le.h"

#include <string.h>

#define GROUPS 8u /* of IPv6 */

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : -1;
}

static int hex_digit(char c)
{
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return digit(c);
}

/* A number up to 255 without leading zeros; *at is moved behind it. */
static bool parse_byte(const char *text, size_t len, size_t *at, uint8_t *out)
{
	const size_t start = *at;
	unsigned n = 0;

	while (*at < len && digit(text[*at]) >= 0) {
		if (*at > start && n == 0)
			return false;
		n = n * 10 + (unsigned)digit(text[*at]);
		if (n > UINT8_MAX)
			return false;
		++*at;
	}
	*out = (uint8_t)n;
	return *at > start;
}

bool hvsi_inet4_parse(const char *text, size_t len, uint8_t out[4])
{
	uint8_t a[4];
	size_t at = 0;

	for (unsigned i = 0; i < 4; i++) {
		if (i && (at == len || text[at++] != '.'))
			return false;
		if (!parse_byte(text, len, &at, &a[i]))
			return false;
	}
	if (at != len)
		return false;
	memcpy(out, a, sizeof(a));
	return true;
}

/* What parsing of IPv6 has got so far. */
struct groups {
	uint8_t bytes[16];
	size_t count; /* bytes that are there */
	size_t gap;   /* where "::" stands; SIZE_MAX: nowhere */
};

/* One group, or an IPv4 address as the last two. Returns how much text it takes, 0: it is none. */
static size_t parse_group(const char *text, size_t len, struct groups *g)
{
	unsigned n = 0;
	size_t i = 0;

	while (i < len && i < 5 && hex_digit(text[i]) >= 0)
		n = n << 4 | (unsigned)hex_digit(text[i++]);
	if (i < len && text[i] == '.') {
		if (g->count > sizeof(g->bytes) - 4 ||
		    !hvsi_inet4_parse(text, len, g->bytes + g->count))
			return 0;
		g->count += 4;
		return len;
	}
	if (i == 0 || i > 4 || g->count > sizeof(g->bytes) - 2)
		return 0;
	hvsi_put_be16(g->bytes + g->count, (uint16_t)n);
	g->count += 2;
	return i;
}

static bool parse_groups(const char *text, size_t len, struct groups *g)
{
	size_t at = 0;
	size_t took;

	if (len && text[0] == ':') {
		if (len == 1 || text[1] != ':')
			return false;
		at = 1;
	}
	while (at < len) {
		if (text[at] == ':') { /* the second of two */
			if (g->gap != SIZE_MAX)
				return false;
			g->gap = g->count;
			at++;
			continue;
		}
		took = parse_group(text + at, len - at, g);
		if (!took)
			return false;
		at += took;
		if (at == len)
			return true;
		if (text[at++] != ':' || at == len)
			return false;
	}
	return true;
}

bool hvsi_inet6_parse(const char *text, size_t len, uint8_t out[16])
{
	struct groups g = {.gap = SIZE_MAX};
	size_t tail;

	if (!parse_groups(text, len, &g))
		return false;
	if (g.gap == SIZE_MAX ? g.count != sizeof(g.bytes) : g.count == sizeof(g.bytes))
		return false;
	if (g.gap == SIZE_MAX)
		g.gap = g.count;
	tail = g.count - g.gap;
	memset(out, 0, sizeof(g.bytes));
	memcpy(out, g.bytes, g.gap);
	memcpy(out + sizeof(g.bytes) - tail, g.bytes + g.gap, tail);
	return true;
}

size_t hvsi_decimal(uint64_t n, char *out)
{
	char digits[20];
	size_t count = 0;

	do {
		digits[count++] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	for (size_t i = 0; i < count; i++)
		out[i] = digits[count - 1 - i];
	return count;
}

size_t hvsi_inet4_print(const uint8_t address[4], char out[HVSI_INET4_TEXT])
{
	size_t len = 0;

	for (unsigned i = 0; i < 4; i++) {
		if (i)
			out[len++] = '.';
		len += hvsi_decimal(address[i], out + len);
	}
	out[len] = '\0';
	return len;
}

static size_t print_group(uint16_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	size_t len = 0;

	for (unsigned shift = 16; shift; shift -= 4)
		if (len || n >> (shift - 4) || shift == 4)
			out[len++] = digits[n >> (shift - 4) & 0xf];
	return len;
}

/* The first of the longest runs of zero groups, if it is worth "::". Returns its length, or 0. */
static unsigned longest_gap(const uint8_t address[16], unsigned *first)
{
	unsigned best = 1;
	unsigned run = 0;

	for (unsigned i = 0; i < GROUPS; i++) {
		run = hvsi_get_be16(address + (size_t)2 * i) ? 0 : run + 1;
		if (run > best) {
			best = run;
			*first = i + 1 - run;
		}
	}
	return best > 1 ? best : 0;
}

size_t hvsi_inet6_print(const uint8_t address[16], char out[HVSI_INET6_TEXT])
{
	unsigned first = 0;
	const unsigned gap = longest_gap(address, &first);
	const bool holds_ipv4 =
		gap && first == 0 &&
		(gap == 6 || (gap == 5 && hvsi_get_be16(address + 10) == UINT16_MAX));
	size_t len = 0;

	for (unsigned i = 0; i < GROUPS; i++) {
		if (gap && i == first) {
			out[len++] = ':';
			i += gap;
			if (i == GROUPS)
				out[len++] = ':';
		}
		if (i == GROUPS)
			break;
		if (i)
			out[len++] = ':';
		if (holds_ipv4 && i == 6)
			return len + hvsi_inet4_print(address + 12, out + len);
		len += print_group(hvsi_get_be16(address + (size_t)2 * i), out + len);
	}
	out[len] = '\0';
	return len;
}
