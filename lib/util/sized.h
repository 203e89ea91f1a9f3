/* SPDX-License-Identifier: MIT */
/* How a struct with a leading size member crosses the API: one place for the growth rules. */
#ifndef HVSI_UTIL_SIZED_H
#define HVSI_UTIL_SIZED_H

#include <stddef.h>

/*
 * Copy a caller's struct into ours. Both begin with uint32_t size.
 *
 * first_size  sizeof the struct in the first release: smaller is a mistake
 * our_size    sizeof the struct as this library knows it; the rest of `to` is zeroed
 *
 * 0, -EINVAL (NULL or too small), -ENOTSUP (a newer caller uses members we don't know).
 */
int hvsi_copy_sized(void *to, size_t our_size, const void *from, size_t first_size);

#endif
