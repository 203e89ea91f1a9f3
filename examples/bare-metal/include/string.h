/* SPDX-License-Identifier: MIT */
/* All that the core calls. */
#ifndef BARE_METAL_STRING_H
#define BARE_METAL_STRING_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int c, size_t len);
int memcmp(const void *a, const void *b, size_t len);
size_t strlen(const char *s);

#endif
