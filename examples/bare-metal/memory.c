/* SPDX-License-Identifier: MIT */
/* What the library, and compilers, need of a C library: short, not fast. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *to, const void *from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int c, size_t len);
int memcmp(const void *a, const void *b, size_t len);
size_t strlen(const char *s);

/* (-ffreestanding: the compiler does not turn these loops into calls of what they are in.) */

void *memcpy(void *to, const void *from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((unsigned char *)to)[i] = ((const unsigned char *)from)[i];
	return to;
}

void *memmove(void *to, const void *from, size_t len)
{
	if ((uintptr_t)to <= (uintptr_t)from)
		return memcpy(to, from, len);
	while (len--)
		((unsigned char *)to)[len] = ((const unsigned char *)from)[len];
	return to;
}

void *memset(void *to, int c, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((unsigned char *)to)[i] = (unsigned char)c;
	return to;
}

int memcmp(const void *a, const void *b, size_t len)
{
	const unsigned char *x = a;
	const unsigned char *y = b;

	for (size_t i = 0; i < len; i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}
