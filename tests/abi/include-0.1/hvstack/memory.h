/* SPDX-License-Identifier: MIT */
/* RAM of a virtual machine, as the library may touch it. */
#ifndef HVSTACK_MEMORY_H
#define HVSTACK_MEMORY_H

#include <hvstack/export.h>
#include <hvstack/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * An empty guest memory. Give it to hvs_hv_create() and hvs_vmbus_create(); it must outlive both.
 *
 * alloc  where the library gets memory; copied; NULL for malloc
 *
 * 0, -EINVAL (alloc or out incomplete), -ENOMEM.
 */
HVS_API HVS_NODISCARD int hvs_mem_create(const struct hvs_allocator *alloc, struct hvs_mem **out);

/*
 * Register RAM. The mapping must stay valid until hvs_mem_destroy(). [any], but calls must not
 * overlap each other.
 *
 * gpa     guest physical address of the first byte, a multiple of 4096
 * len     bytes, a multiple of 4096, not 0
 * hva     where the range is mapped in this process
 * access  what the guest's devices may do with it; HVS_READ for ROM
 *
 * 0, -EINVAL (alignment, wrap-around, access), -EEXIST (overlaps a range that is registered),
 * -ENOMEM; on failure nothing changes.
 */
HVS_API HVS_NODISCARD int hvs_mem_add(struct hvs_mem *mem, uint64_t gpa, uint64_t len, void *hva,
				      enum hvs_access access);

/* NULL is allowed. Everything that was created with mem must be destroyed before. */
HVS_API void hvs_mem_destroy(struct hvs_mem *mem);

#ifdef __cplusplus
}
#endif
#endif
