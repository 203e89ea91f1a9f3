/* SPDX-License-Identifier: MIT */
#include "util/format.h"

#include "util/inet.h"

#include <string.h>

struct out {
	char *to;
	size_t left; /* without the NUL */
};

static void put(struct out *out, const char *text, size_t len)
{
	if (len > out->left)
		len = out->left;
	memcpy(out->to, text, len);
	out->to += len;
	out->left -= len;
}

static void put_number(struct out *out, unsigned n)
{
	char digits[20];

	put(out, digits, hvsi_decimal(n, digits));
}

void hvsi_format(char *to, size_t len, const char *format, va_list ap)
{
	struct out out = {to, len - 1};
	const char *p = format;

	for (; *p; p++) {
		const char *text = p;
		int n;

		if (*p != '%') {
			put(&out, p, 1);
			continue;
		}
		switch (*++p) {
		case 's':
			text = va_arg(ap, const char *);
			put(&out, text, strlen(text));
			break;
		case 'd':
			n = va_arg(ap, int);
			if (n < 0)
				put(&out, "-", 1);
			put_number(&out, n < 0 ? -(unsigned)n : (unsigned)n);
			break;
		case 'u':
			put_number(&out, va_arg(ap, unsigned));
			break;
		case '%':
			put(&out, p, 1);
			break;
		default: /* what its argument would be is not known */
			put(&out, text, strlen(text));
			*out.to = '\0';
			return;
		}
	}
	*out.to = '\0';
}
