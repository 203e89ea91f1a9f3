/* SPDX-License-Identifier: MIT */
/* Text as Windows writes it, UTF-16LE, from and to UTF-8. */
#ifndef HVSI_UTIL_UTF16_H
#define HVSI_UTIL_UTF16_H

#include <stdint.h>

/*
 * UTF-8 up to its NUL, as at most max_units units of 2 bytes; no NUL is written.
 * Returns how many units, -EINVAL (not UTF-8: overlong forms and surrogates are not), or -EMSGSIZE
 * (too long). `to` may be NULL: only count.
 */
int64_t hvsi_utf16_from_utf8(const char *from, uint8_t *to, uint32_t max_units);

/*
 * UTF-16LE up to its NUL or `units` units, as UTF-8 with a NUL into `room` bytes, at least 1. What
 * is a half of a surrogate pair becomes U+FFFD; what does not fit is left out, whole characters
 * only.
 * Returns the length without the NUL. 3 bytes a unit are always enough.
 */
uint32_t hvsi_utf16_to_utf8(const uint8_t *from, uint32_t units, char *to, uint32_t room);

#endif
