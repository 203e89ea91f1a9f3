/* SPDX-License-Identifier: MIT */
/* The size rules of hvstack/types.h for lib/host; the core has the same in util/sized.h. */
#ifndef HVSI_HOST_SIZED_H
#define HVSI_HOST_SIZED_H

#include <stddef.h>

/*
 * Copy a caller's struct, which begins with uint32_t size, into ours.
 *
 * first_size  how far the struct went in the first release: smaller is a mistake
 * our_size    sizeof the struct as this library knows it; what the caller lacks becomes zero
 *
 * 0, -EINVAL (NULL or too small), -ENOTSUP (a newer caller uses members we don't know).
 */
int hvsi_host_copy_sized(void *to, size_t our_size, const void *from, size_t first_size);

/* The same; `last` is the last member that the struct had in the first release. */
#define HVSI_HOST_TAKE(to, from, last)                                                             \
	hvsi_host_copy_sized((to), sizeof(*(to)), (from),                                          \
			     (size_t)((const char *)(&(to)->last + 1) - (const char *)(to)))

/*
 * Fill in a caller's struct: as much of ours as it has room for. Its size becomes what was filled in.
 *
 * 0, -EINVAL (NULL or too small to have a size).
 */
int hvsi_host_fill_sized(void *to, const void *ours, size_t our_size);

#endif
