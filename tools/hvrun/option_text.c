/* SPDX-License-Identifier: MIT */
#include "option_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool parse_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	unsigned long long n;
	unsigned shift = 0;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno)
		return false;
	if (*end) {
		const char *unit = strchr(units, *end);

		if (!unit || end[1])
			return false;
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (n > UINT64_MAX >> shift)
		return false;
	*bytes = (uint64_t)n << shift;
	return true;
}

bool parse_number(const char *text, uint64_t max, uint64_t *n)
{
	return parse_size(text, n) && *n <= max && strspn(text, "0123456789") == strlen(text);
}

char *next_part(char **rest)
{
	char *part = *rest;
	char *from = part;
	char *to = part;

	if (!part)
		return NULL;
	while (*from && (*from != ',' || from[1] == ',')) {
		from += *from == ',';
		*to++ = *from++;
	}
	*rest = *from ? from + 1 : NULL;
	*to = '\0';
	return part;
}
