/* SPDX-License-Identifier: MIT */
#include "support/badmem.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;
struct event;
struct event_base;
struct evbuffer;

static atomic_bool armed;
static atomic_bool failed;
static atomic_uint left;

void badmem_arm(unsigned n)
{
	atomic_store(&failed, false);
	atomic_store(&left, n);
	atomic_store(&armed, true);
}

bool badmem_disarm(void)
{
	atomic_store(&armed, false);
	return atomic_load(&failed);
}

static bool fails(void)
{
	if (!atomic_load(&armed) || atomic_load(&failed) || atomic_fetch_sub(&left, 1) > 0)
		return false;
	atomic_store(&failed, true);
	return true;
}

/* The linker gives a function's name with __real_ in front to the function itself. */
#define WRAP(type, name, params, args, otherwise)                                                  \
	type __real_##name params;                                                                 \
	type __wrap_##name params;                                                                 \
	type __wrap_##name params                                                                  \
	{                                                                                          \
		return fails() ? (otherwise) : __real_##name args;                                 \
	}

/* NOLINTBEGIN(bugprone-reserved-identifier) */
WRAP(void *, malloc, (size_t len), (len), NULL)
WRAP(void *, calloc, (size_t count, size_t len), (count, len), NULL)
WRAP(void *, realloc, (void *p, size_t len), (p, len), NULL)
WRAP(void *, reallocarray, (void *p, size_t count, size_t len), (p, count, len), NULL)
WRAP(void *, aligned_alloc, (size_t align, size_t len), (align, len), NULL)
WRAP(char *, strdup, (const char *text), (text), NULL)
WRAP(struct event *, event_new,
     (struct event_base * base, int fd, short what, void (*fn)(int, short, void *), void *arg),
     (base, fd, what, fn, arg), NULL)
WRAP(struct evbuffer *, evbuffer_new, (void), (), NULL)
WRAP(struct json_object *, json_object_new_object, (void), (), NULL)
WRAP(struct json_object *, json_object_new_array, (void), (), NULL)
WRAP(struct json_object *, json_object_new_string, (const char *text), (text), NULL)
WRAP(struct json_object *, json_object_new_int, (int32_t n), (n), NULL)
WRAP(struct json_object *, json_object_new_uint64, (uint64_t n), (n), NULL)
WRAP(int, json_object_object_add,
     (struct json_object * to, const char *name, struct json_object *value), (to, name, value), -1)
WRAP(int, json_object_array_add, (struct json_object * to, struct json_object *value), (to, value),
     -1)
/* NOLINTEND(bugprone-reserved-identifier) */
