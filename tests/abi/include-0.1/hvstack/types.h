/* SPDX-License-Identifier: MIT */
/*
 * Types shared by all headers, and the conventions that hold for all of them.
 *
 *   [any]     may be called from any thread; never blocks. Calls back at most
 *             hvs_backend_ops.wake and hvs_hv_ops.interrupt
 *   [worker]  may be called only while the owning worker is being dispatched, that is, from one
 *             of its callbacks, or before hvs_vmbus_start()
 *   return    0 or positive: success; negative errno value: failure. errno itself is not touched
 *
 * Structs, as they may be of one release in the caller and of another in the library:
 *
 *   size      first member of every struct that may grow: sizeof(the struct), set by the matching
 *             HVS_*_INIT. New members are added at the end.
 *             The caller fills it in: the library copies what it knows. What an older caller lacks
 *             is zero; bytes of a newer one that this library does not know must be zero, else
 *             -ENOTSUP. A size below that of the first release: -EINVAL.
 *             The library fills it in: as far as the caller's size goes; its size is then how much
 *             that was. Less than a size: -EINVAL. A back end's get_info() heeds size, too.
 *             Of requests and frames (hvs_blk_req, hvs_net_frame) everybody looks at what he knows,
 *             and no further than size; what has to be understood is agreed upon in get_info().
 *   library-owned  without a size where the library alone makes them: handed out by pointer, members
 *             may be added at the end. Don't make arrays of them, nor copies but member by member
 *   layout fixed   never changes: elements of arrays, members of other structs, what the wire defines
 */
#ifndef HVSTACK_TYPES_H
#define HVSTACK_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hvs_mem;     /* RAM of one virtual machine */
struct hvs_hv;      /* hypervisor interface a guest sees: CPUID, MSRs, hypercalls, SynIC */
struct hvs_vmbus;   /* VMBus of one virtual machine */
struct hvs_worker;  /* serial execution context, driven by the embedder */
struct hvs_device;  /* one offered device */
struct hvs_channel; /* one pair of ring buffers between a device and its guest driver */
struct hvs_extents; /* guest memory named by a packet or a GPADL, checked */
struct hvs_map;     /* host view of part of an hvs_extents */
struct hvs_gpadl;   /* guest memory that was shared for longer than a packet, in use */

/* GUID as the guest sees it: the first three fields little endian (MS-DTYP 2.3.4.2). Layout fixed. */
struct hvs_guid {
	uint8_t b[16]; /* in the order of memory */
};

enum hvs_access {
	HVS_READ = 1,
	HVS_WRITE = 2,
	HVS_RDWR = 3,
};

/* Bytes of a set of pages that host and guest have agreed upon, such as a receive buffer. Layout
 * fixed. */
struct hvs_page_range {
	uint32_t len;
	uint32_t offset; /* from the beginning of the set */
};

/*
 * Where the library gets its own memory. alloc returns zeroed memory aligned for any object, or
 * NULL; free gets the length that was asked for. Both may be called from any thread that is
 * inside the library. Without one, malloc and free are used; where the library was built without
 * a C library (-ffreestanding) that is -EINVAL. Layout fixed.
 */
struct hvs_allocator {
	void *(*alloc)(void *arg, size_t len);        /* len bytes, zeroed; NULL: none left */
	void (*free)(void *arg, void *p, size_t len); /* p is never NULL */
	void *arg;
};

/* Called exactly once for every call that took it and returned 0; never for one that failed. */
typedef void (*hvs_done_fn)(void *arg, int status);

#ifdef __cplusplus
}
#endif
#endif
