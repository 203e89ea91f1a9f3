/* SPDX-License-Identifier: MIT */
/* Memory for libhvstack-guest where there is no C library. */
#include <stddef.h>
#include <stdint.h>

void *calloc(size_t count, size_t size);
void free(void *p);

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
