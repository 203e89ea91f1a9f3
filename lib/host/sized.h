/* SPDX-License-Identifier: MIT */
/* The size rules of hvstack/types.h for configurations that lib/host takes. */
#ifndef HVSI_HOST_SIZED_H
#define HVSI_HOST_SIZED_H

#include <stddef.h>

/*
 * Copy a caller's configuration, which begins with uint32_t size, into ours.
 *
 * first_size  sizeof the struct in the first release: smaller is a mistake
 * our_size    sizeof the struct as this library knows it; what the caller lacks becomes zero
 *
 * 0, -EINVAL (NULL or too small), -ENOTSUP (a newer caller uses members we don't know).
 */
int hvsi_host_copy_sized(void *to, size_t our_size, const void *from, size_t first_size);

#endif
