/* SPDX-License-Identifier: MIT */
/* The library's own memory: from the embedder's allocator or malloc, always zeroed. */
#ifndef HVSI_UTIL_ALLOC_H
#define HVSI_UTIL_ALLOC_H

#include <hvstack/types.h>

/*
 * Check an embedder's allocator (all or nothing) and fill in the default, if there is a C library.
 * 0, -EINVAL.
 */
int hvsi_alloc_setup(const struct hvs_allocator *from, struct hvs_allocator *to);

void *hvsi_alloc(const struct hvs_allocator *a, size_t len);

/* count objects of len bytes; NULL also when that does not fit a size_t. */
void *hvsi_alloc_array(const struct hvs_allocator *a, size_t count, size_t len);

/* len as it was allocated; NULL is allowed. */
void hvsi_free(const struct hvs_allocator *a, void *p, size_t len);

#endif
