/* SPDX-License-Identifier: MIT */
/* How a struct with a leading size member crosses the API: one place for the growth rules. */
#ifndef HVSI_UTIL_SIZED_H
#define HVSI_UTIL_SIZED_H

#include <stddef.h>

/*
 * Copy a caller's struct into ours. Both begin with uint32_t size.
 *
 * first_size  how far the struct went in the first release: smaller is a mistake
 * our_size    sizeof the struct as this library knows it; the rest of `to` is zeroed
 *
 * 0, -EINVAL (NULL or too small), -ENOTSUP (a newer caller uses members we don't know).
 */
int hvsi_copy_sized(void *to, size_t our_size, const void *from, size_t first_size);

/* The same; `last` is the last member that the struct had in the first release. */
#define HVSI_TAKE(to, from, last)                                                                  \
	hvsi_copy_sized((to), sizeof(*(to)), (from),                                               \
			(size_t)((const char *)(&(to)->last + 1) - (const char *)(to)))

/*
 * Fill in a caller's struct: as much of ours as it has room for. Its size becomes what was filled in.
 *
 * 0, -EINVAL (NULL or too small to have a size).
 */
int hvsi_fill_sized(void *to, const void *ours, size_t our_size);

#endif
