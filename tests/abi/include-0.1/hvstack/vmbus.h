/* SPDX-License-Identifier: MIT */
/* One virtual machine's VMBus: life cycle, and the calls a guest's hypercalls end in. */
#ifndef HVSTACK_VMBUS_H
#define HVSTACK_VMBUS_H

#include <hvstack/backend.h>
#include <hvstack/export.h>
#include <hvstack/types.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HVS_VMBUS_SINT 2u /* VMBus uses no other, unless a guest that crashes asks for one */
#define HVS_VMBUS_MESSAGE_CONNECTION 1u     /* message port, where guests post */
#define HVS_VMBUS_EVENT_CONNECTION 2u       /* shared by all channels, before version 2.4 */
#define HVS_VMBUS_MULTICLIENT_CONNECTION 4u /* message port for clients of version 5.0 and later */

struct hvs_vmbus_config {
	uint32_t size;
	uint32_t vp_count;        /* virtual processors, 1.. ; VP indexes are below it */
	uint32_t max_version;     /* (major << 16) | minor; 0: the newest the library knows */
	uint32_t max_gpadls;      /* that may exist at a time; 0: 4096 */
	uint32_t max_gpadl_pages; /* of 4 KiB, shared by all GPADLs together; 0: 131072 (512 MiB) */
	uint32_t max_offers;      /* of devices, and of channels offered, up to 2047; 0: 2047 */
	uint32_t max_open_channels;   /* at a time; 0: 2047 */
	uint32_t max_queued_messages; /* of the guest's, not handled yet, up to 65536; 0: 16 */
	/*
	 * Guest addresses of two pages of RAM, not used for anything else, that a guest of version
	 * 6.0 may use for signals (hvs_offer.monitor_latency_us) instead of its own: parent to
	 * child, child to parent. Not offered to it if they are not registered as RAM then. Both
	 * 0: none.
	 */
	uint64_t monitor_page_gpa[2];
	enum hvs_log_level log_level; /* records above it are not made */
	struct hvs_allocator alloc;   /* all NULL: malloc */
};
#define HVS_VMBUS_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_vmbus_config)

/*
 * Make a bus. Offer devices on it, then start it. cfg and ops are copied.
 *
 * 0, -EINVAL (a required slot or member is missing, one is out of range, or one of two that belong
 * together), -ENOTSUP (unknown members set), -ENOMEM.
 */
HVS_API HVS_NODISCARD int hvs_vmbus_create(const struct hvs_vmbus_config *cfg, struct hvs_mem *mem,
					   const struct hvs_backend_ops *ops, void *be,
					   struct hvs_vmbus **out);

/*
 * From now on the guest may connect, and workers do what they are dispatched for: all of them are
 * woken. 0, -EINVAL (NULL), -EBUSY (started already).
 */
HVS_API HVS_NODISCARD int hvs_vmbus_start(struct hvs_vmbus *bus);

/*
 * The virtual machine is being reset or shut down and its VPs do not run: close every channel,
 * forget all GPADLs and the connection. done runs on the main worker when the last request of
 * every device is back; the guest may then connect anew, or, once the workers have returned from
 * hvs_worker_dispatch(), the bus be destroyed.
 *
 * 0, -EINVAL (NULL), -EBUSY (a reset is under way). [any]
 */
HVS_API HVS_NODISCARD int hvs_vmbus_reset(struct hvs_vmbus *bus, hvs_done_fn done, void *arg);

/*
 * Free the bus with all its devices, channels and workers. NULL is allowed. The bus must be reset,
 * or never have been started nor restored (state.h), and no thread may be inside the library.
 */
HVS_API void hvs_vmbus_destroy(struct hvs_vmbus *bus);

/*
 * The guest's HvPostMessage. Returns the hypercall status (TLFS; HVS_HV_STATUS_* of hv.h):
 * success, invalid connection id, invalid hypercall input (size), insufficient buffers (the
 * guest tries again). message_type: VMBus takes 1 alone. payload must be a private copy that the
 * guest can't change. [any]
 */
HVS_API uint16_t hvs_vmbus_post_message(struct hvs_vmbus *bus, uint32_t connection_id,
					uint32_t message_type, const void *payload, size_t len);

/* The guest's HvSignalEvent. Returns the hypercall status: success or invalid connection. [any] */
HVS_API uint16_t hvs_vmbus_signal_event(struct hvs_vmbus *bus, uint32_t connection_id,
					uint16_t flag);

/* A message slot of vp may have become free: the guest wrote end-of-message. [any] */
HVS_API void hvs_vmbus_slot_free(struct hvs_vmbus *bus, uint32_t vp);

/*
 * Answer hvs_backend_ops.connect_request(): there will be no connection. 0, -ENOENT (no such
 * request waits; the guest may have disconnected), -EINVAL (NULL). [main worker], like
 * hvs_device_offer()
 */
HVS_API HVS_NODISCARD int hvs_vmbus_refuse_connect(struct hvs_vmbus *bus,
						   const struct hvs_guid *endpoint_id,
						   const struct hvs_guid *service_id);

/* The bus has been started. [any] */
HVS_API bool hvs_vmbus_started(const struct hvs_vmbus *bus);

/*
 * From hvs_vmbus_reset() until it is done. Devices begin nothing new meanwhile: the machine may
 * have been saved, and go on elsewhere. [any]
 */
HVS_API bool hvs_vmbus_resetting(const struct hvs_vmbus *bus);

/* How many times hvs_vmbus_reset() was called and has returned 0: devices tell by it which of what
 * they know of the guest is about one that ran before. [any] */
HVS_API uint32_t hvs_vmbus_reset_count(const struct hvs_vmbus *bus);

/* Where devices of this bus get memory from; never NULL, valid as long as the bus. [any] */
HVS_API const struct hvs_allocator *hvs_vmbus_allocator(const struct hvs_vmbus *bus);

/* What the guest negotiated: (major << 16) | minor, 0 while not connected. [any] */
HVS_API uint32_t hvs_vmbus_guest_version(const struct hvs_vmbus *bus);

#ifdef __cplusplus
}
#endif
#endif
