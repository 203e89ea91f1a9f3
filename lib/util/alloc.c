/* SPDX-License-Identifier: MIT */
/* The only file of the core that calls malloc and free, and only where there is a C library. */
#include "util/alloc.h"

#include <errno.h>

#if __STDC_HOSTED__
#include <stdlib.h>

static void *default_alloc(void *arg, size_t len)
{
	(void)arg;
	return calloc(1, len);
}

static void default_free(void *arg, void *p, size_t len)
{
	(void)arg;
	(void)len;
	free(p);
}
#endif

int hvsi_alloc_setup(const struct hvs_allocator *from, struct hvs_allocator *to)
{
	if (from && from->alloc && from->free) {
		*to = *from;
		return 0;
	}
	if (from && (from->alloc || from->free))
		return -EINVAL;
#if __STDC_HOSTED__
	*to = (struct hvs_allocator){.alloc = default_alloc, .free = default_free};
	return 0;
#else
	return -EINVAL;
#endif
}

void *hvsi_alloc(const struct hvs_allocator *a, size_t len)
{
	return a->alloc(a->arg, len);
}

void *hvsi_alloc_array(const struct hvs_allocator *a, size_t count, size_t len)
{
	if (len && count > SIZE_MAX / len)
		return NULL;
	return a->alloc(a->arg, count * len);
}

void hvsi_free(const struct hvs_allocator *a, void *p, size_t len)
{
	if (p)
		a->free(a->arg, p, len);
}
