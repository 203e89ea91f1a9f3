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

/*
 * The other way round: a guest address of host memory that hvsi_mem_at() led to.
 *
 * len  in: bytes, not 0; out: how many of them follow without a gap, at least 1; 0: it is not RAM
 */
uint64_t hvsi_mem_gpa(const struct hvs_mem *mem, const void *hva, uint64_t *len);

#endif
