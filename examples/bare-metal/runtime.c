/* SPDX-License-Identifier: MIT */
#include "runtime.h"

#include <stdalign.h>
#include <string.h>

/* ---- allocator -------------------------------------------------------------------------------- */

/*
 * Blocks of powers of two, cut from one area; what is given back is kept for the next of its size.
 * The library says how long a block is when it frees it, so nothing is kept beside it.
 */
#define SMALLEST 4u /* 16 bytes */
#define SIZES 28u

struct block {
	struct block *next;
};

static alignas(64) unsigned char area[24u << 20];
static size_t area_taken;
static size_t used;
static size_t most;
static struct block *unused[SIZES];

static unsigned size_of(size_t len)
{
	unsigned n = SMALLEST;

	while ((size_t)1 << n < len)
		n++;
	return n;
}

static void *heap_alloc(void *arg, size_t len)
{
	unsigned n;
	void *p;

	(void)arg;
	if (len > sizeof(area))
		return NULL;
	n = size_of(len);
	p = unused[n];
	if (p) {
		unused[n] = unused[n]->next;
	} else {
		if (((size_t)1 << n) > sizeof(area) - area_taken)
			return NULL;
		p = area + area_taken;
		area_taken += (size_t)1 << n;
	}
	used += len;
	most = used > most ? used : most;
	return memset(p, 0, len);
}

static void heap_free(void *arg, void *p, size_t len)
{
	struct block *b = p;

	(void)arg;
	used -= len;
	b->next = unused[size_of(len)];
	unused[size_of(len)] = b;
}

const struct hvs_allocator heap = {.alloc = heap_alloc, .free = heap_free};

size_t heap_used(void)
{
	return used;
}

size_t heap_most(void)
{
	return most;
}

/* ---- text ------------------------------------------------------------------------------------- */

void say(const char *text)
{
	for (; *text; text++)
		machine_put(*text);
}

void say_number(uint64_t n)
{
	if (n > 9)
		say_number(n / 10);
	machine_put((char)('0' + n % 10));
}
