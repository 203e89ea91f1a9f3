/* SPDX-License-Identifier: MIT */
/* A read cursor over private bytes that advances or fails: it can't run past the end. */
#ifndef HVSI_UTIL_BYTES_H
#define HVSI_UTIL_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct hvsi_reader {
	const uint8_t *p;
	size_t left;
};

static inline struct hvsi_reader hvsi_reader(const void *p, size_t len)
{
	return (struct hvsi_reader){.p = p, .left = len};
}

/* Copy the next len bytes out. */
static inline bool hvsi_read(struct hvsi_reader *r, void *to, size_t len)
{
	if (len > r->left)
		return false;
	memcpy(to, r->p, len);
	r->p += len;
	r->left -= len;
	return true;
}

/* The next len bytes in place. NULL: fewer are left. */
static inline const uint8_t *hvsi_take(struct hvsi_reader *r, size_t len)
{
	const uint8_t *p = r->p;

	if (len > r->left)
		return NULL;
	r->p += len;
	r->left -= len;
	return p;
}

#endif
