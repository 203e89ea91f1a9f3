/* SPDX-License-Identifier: MIT */
/*
 * Guest physical memory: the regions the embedder registered, found by address. Look-ups are
 * lock-free and may run on any thread while a region is added.
 */
#ifndef HVSI_MEM_GUESTMEM_H
#define HVSI_MEM_GUESTMEM_H

#include "mem/guestptr.h"

#include <hvstack/types.h>

#define HVSI_PAGE 4096u

/*
 * Where gpa lies in this process.
 *
 * len     in: bytes wanted, not 0; out: how many of them follow without a gap, at least 1
 * access  what is going to be done
 *
 * NULL: not RAM, or the access is not allowed; *len is untouched.
 */
uint8_t HVSI_GUEST *hvsi_mem_at(const struct hvs_mem *mem, uint64_t gpa, uint64_t *len,
				enum hvs_access access);

/* A whole range in one piece, or NULL. */
uint8_t HVSI_GUEST *hvsi_mem_range(const struct hvs_mem *mem, uint64_t gpa, uint64_t len,
				   enum hvs_access access);

#endif
