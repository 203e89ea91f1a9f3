/* SPDX-License-Identifier: MIT */
/* Internet addresses as text, as inet_pton() and inet_ntop() have them. */
#ifndef HVSI_UTIL_INET_H
#define HVSI_UTIL_INET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HVSI_INET4_TEXT 16u /* bytes, with the NUL */
#define HVSI_INET6_TEXT 46u

/* text has len bytes, without a NUL. False: it is no address, and out is as it was. */
bool hvsi_inet4_parse(const char *text, size_t len, uint8_t out[4]);
bool hvsi_inet6_parse(const char *text, size_t len, uint8_t out[16]);

/* Return the length without the NUL. */
size_t hvsi_inet4_print(const uint8_t address[4], char out[HVSI_INET4_TEXT]);
size_t hvsi_inet6_print(const uint8_t address[16], char out[HVSI_INET6_TEXT]);

/* Decimal digits without a NUL, at most 20 of them; returns how many. */
size_t hvsi_decimal(uint64_t n, char *out);

#endif
