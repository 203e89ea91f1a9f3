/* SPDX-License-Identifier: MIT */
#include "util/utf16.h"

#include "util/le.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#define REPLACEMENT 0xfffdu
#define LAST_CODE 0x10ffffu
#define FIRST_PAIR 0x10000u
#define HIGH 0xd800u /* first half of a pair */
#define LOW 0xdc00u
#define HALF 0x3ffu /* bits of the code in each half */

static bool is_high(uint32_t unit)
{
	return (unit & ~HALF) == HIGH;
}

static bool is_low(uint32_t unit)
{
	return (unit & ~HALF) == LOW;
}

/* ---- UTF-8 ---------------------------------------------------------------------------------- */

/* The character at p, which is not NUL; sets its length. -EINVAL: none. */
static int32_t get_utf8(const uint8_t *p, unsigned *len)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t code;

	if (p[0] < 0x80) {
		*len = 1;
		return p[0];
	}
	*len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	code = p[0] & (0x7fu >> *len);
	if (p[0] < 0xc0 || p[0] >= 0xf8)
		return -EINVAL;
	for (unsigned i = 1; i < *len; i++) {
		if ((p[i] & 0xc0) != 0x80) /* the text's end, too */
			return -EINVAL;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (code < smallest[*len] || code > LAST_CODE || is_high(code) || is_low(code))
		return -EINVAL;
	return (int32_t)code;
}

static unsigned utf8_len(uint32_t code)
{
	return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

static void put_utf8(char *to, uint32_t code, unsigned len)
{
	static const uint8_t first[] = {0, 0, 0xc0, 0xe0, 0xf0};

	for (unsigned i = len - 1; i > 0; i--, code >>= 6)
		to[i] = (char)(0x80 | (code & 0x3f));
	to[0] = (char)(first[len] | code);
}

/* ---- UTF-16 --------------------------------------------------------------------------------- */

static void put_unit(uint8_t *to, uint32_t index, uint32_t unit)
{
	const struct hvs_le16 le = hvsi_le16((uint16_t)unit);

	memcpy(to + (size_t)index * sizeof(le), &le, sizeof(le));
}

static uint32_t get_unit(const uint8_t *from, uint32_t index)
{
	struct hvs_le16 le;

	memcpy(&le, from + (size_t)index * sizeof(le), sizeof(le));
	return hvsi_get16(le);
}

static void put_utf16(uint8_t *to, uint32_t index, uint32_t code)
{
	if (code < FIRST_PAIR) {
		put_unit(to, index, code);
	} else {
		put_unit(to, index, HIGH | (code - FIRST_PAIR) >> 10);
		put_unit(to, index + 1, LOW | (code & HALF));
	}
}

int64_t hvsi_utf16_from_utf8(const char *from, uint8_t *to, uint32_t max_units)
{
	const uint8_t *p = (const uint8_t *)from;
	uint32_t units = 0;
	unsigned len;

	for (; *p; p += len) {
		const int32_t code = get_utf8(p, &len);
		const uint32_t more = code < (int32_t)FIRST_PAIR ? 1 : 2;

		if (code < 0)
			return code;
		if (more > max_units - units)
			return -EMSGSIZE;
		if (to)
			put_utf16(to, units, (uint32_t)code);
		units += more;
	}
	return units;
}

uint32_t hvsi_utf16_to_utf8(const uint8_t *from, uint32_t units, char *to, uint32_t room)
{
	uint32_t len = 0;

	for (uint32_t i = 0; i < units; i++) {
		uint32_t code = get_unit(from, i);
		const uint32_t next = i + 1 < units ? get_unit(from, i + 1) : 0;

		if (!code)
			break;
		if (is_high(code) && is_low(next)) {
			code = FIRST_PAIR + ((code & HALF) << 10 | (next & HALF));
			i++;
		} else if (is_high(code) || is_low(code)) {
			code = REPLACEMENT;
		}
		if (utf8_len(code) >= room - len)
			break;
		put_utf8(to + len, code, utf8_len(code));
		len += utf8_len(code);
	}
	to[len] = 0;
	return len;
}
