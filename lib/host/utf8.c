/* SPDX-License-Identifier: MIT */
#include "host/utf8.h"

unsigned hvsi_utf8_character(const uint8_t *s)
{
	/* By the lengths from 2 on: which first bytes, and how large the character is at least. */
	static const struct {
		uint8_t mask;
		uint8_t first;
		uint32_t least;
	} forms[] = {{0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

	if (*s < 0x80)
		return 1;
	for (unsigned i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		uint32_t c = *s & (uint8_t)~forms[i].mask;

		if ((*s & forms[i].mask) != forms[i].first)
			continue;
		for (unsigned k = 1; k < i + 2; k++) {
			if ((s[k] & 0xc0) != 0x80)
				return 0;
			c = c << 6 | (s[k] & 0x3fu);
		}
		return c < forms[i].least || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0
											 : i + 2;
	}
	return 0;
}

bool hvsi_utf8_units(const char *text, size_t *units)
{
	const uint8_t *s = (const uint8_t *)text;

	*units = 0;
	while (*s) {
		unsigned len = hvsi_utf8_character(s);

		if (!len)
			return false;
		*units += len == 4 ? 2 : 1;
		s += len;
	}
	return true;
}
