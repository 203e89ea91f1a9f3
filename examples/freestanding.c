/* SPDX-License-Identifier: MIT */
/* What libhvstack-guest, and compilers, need of a C library where there is none. */
#include <stddef.h>
#include <stdint.h>

void *calloc(size_t count, size_t size);
void free(void *p);
void *memcpy(void *to, const void *from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);

/* Zeros; nothing is given back. */
void *calloc(size_t count, size_t size)
{
	static uint64_t heap[32768];
	static size_t used;
	const size_t words = (count * size + 7) / 8;
	void *p = heap + used;

	if (words > sizeof(heap) / 8 - used)
		return NULL;
	used += words;
	return p;
}

void free(void *p)
{
	(void)p;
}

void *memcpy(void *to, const void *from, size_t len)
{
	void *at = to;

	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(len) : : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t len)
{
	char *at = (char *)to + len - 1;
	const char *end = (const char *)from + len - 1;

	if ((uintptr_t)to <= (uintptr_t)from)
		return memcpy(to, from, len);
	__asm__ volatile("std; rep movsb; cld" : "+D"(at), "+S"(end), "+c"(len) : : "memory");
	return to;
}

void *memset(void *to, int byte, size_t len)
{
	void *at = to;

	__asm__ volatile("rep stosb" : "+D"(at), "+c"(len) : "a"(byte) : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t len)
{
	const unsigned char *x = a, *y = b;

	while (len && *x == *y)
		x++, y++, len--;
	return len ? *x - *y : 0;
}
