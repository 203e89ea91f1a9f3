/* SPDX-License-Identifier: MIT */
/*
 * Offering a device and talking to its guest driver: everything a virtualization service
 * provider (VSP) needs. The devices in this library use nothing else.
 *
 * A channel belongs to one worker for life; its callbacks run there, one at a time.
 *
 *   guest opens      -> open()
 *   guest sends      -> ready(): hvs_channel_recv() until 0, hvs_channel_send()/complete(),
 *                       hvs_channel_flush() once a batch
 *   guest closes     -> close(), and when the last request is back: hvs_channel_closed()
 */
#ifndef HVSTACK_CHANNEL_H
#define HVSTACK_CHANNEL_H

#include <hvstack/export.h>
#include <hvstack/state.h>
#include <hvstack/types.h>

#include <stdbool.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the guest asked for when it opened the channel. Library-owned. */
struct hvs_open_params {
	uint16_t subchannel;      /* 0: primary */
	uint32_t target_vp;       /* VP the guest wants interrupted; UINT32_MAX: none, it polls */
	uint32_t send_ring_bytes; /* data area, host to guest */
	uint32_t recv_ring_bytes;
	uint8_t user_data[120]; /* private copy */
};

struct hvs_vsp_ops {
	uint32_t size;
	uint32_t reserved; /* 0 */

	/*
	 * Take the channel into use. Nothing may be sent yet; ready() follows once the guest
	 * knows that the channel is open. *ctx is handed to the other callbacks. A negative errno
	 * refuses; nothing else is called for this open then.
	 */
	int (*open)(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		    void **ctx);

	/*
	 * The guest may have sent something, room for a refused send may have appeared, or
	 * hvs_channel_kick() was called. Handle at most about `budget` packets.
	 *
	 * Return true when more is to be done now and the budget ended it; false when
	 * hvs_channel_recv() has returned 0, or when the device will call hvs_channel_kick()
	 * itself: what it leaves in the ring is not announced again.
	 */
	bool (*ready)(struct hvs_channel *ch, void *ctx, unsigned budget);

	/*
	 * Stop using the ring now: recv, send and flush fail from here on. Call
	 * hvs_channel_closed() when no request of this channel is left, here or later; ready()
	 * is still called after a kick until then.
	 */
	void (*close)(struct hvs_channel *ch, void *ctx);

	/* The device was removed, or the bus is being destroyed: free dev. Nothing follows.
	 * Optional. */
	void (*destroy)(void *dev);

	/*
	 * Saved state of an open channel (state.h). save() is called by hvs_vmbus_save(), on its
	 * thread. It appends what the device has to remember with hvs_state_put(), changes
	 * nothing, and returns 0 or a negative errno. restore() is called instead of open(), by
	 * hvs_vmbus_restore(), on its thread; it reads with hvs_state_get() and does not trust
	 * what it reads. A negative errno refuses the whole state, and nothing else is called for
	 * this open then. Like open() it sends nothing, and it starts no request: those that were
	 * in flight are started in the first ready(), which comes once the bus is started and the
	 * guest knows that the channel is open, unless close() comes before. When the rest of the
	 * state is refused, close() follows and must call hvs_channel_closed() at once.
	 *
	 * Both or none: without them an open channel does not survive; the guest sees the device
	 * leave and come back, and close() is not called.
	 */
	int (*save)(struct hvs_channel *ch, void *ctx, struct hvs_state_writer *w);
	int (*restore)(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		       struct hvs_state_reader *r, void **ctx);

	/* The time that was set with hvs_channel_set_timer() has come; ready() follows. Optional. */
	void (*timer)(struct hvs_channel *ch, void *ctx);
};
#define HVS_VSP_OPS_INIT .size = (uint32_t)sizeof(struct hvs_vsp_ops)

#define HVS_OFFER_INTERFACE 0x0001u /* programs in the guest may open it, too */
#define HVS_OFFER_SOCKET 0x2000u    /* a socket (hv_sock); user_data says which side connects */
/*
 * A named pipe in message mode: an in-band packet is one message, whose exact length a header in
 * front of it says. The library adds that header, and checks it and takes it off; a message may
 * be empty. Completions have no such header, and page ranges do not exist here: GPA-direct faults
 * the channel, hvs_channel_send_pages() is for other devices. The first 4 bytes of user_data are
 * the library's.
 */
#define HVS_OFFER_PIPE 0x0010u

struct hvs_offer {
	uint32_t size;
	uint32_t flags;              /* HVS_OFFER_*, as sent to the guest */
	struct hvs_guid class_id;    /* interface GUID: which driver binds */
	struct hvs_guid instance_id; /* unique per bus, stable over reboot and restore */
	uint8_t user_data[120];      /* class specific */
	uint32_t max_packet_bytes;   /* largest packet accepted from the guest; 0: 4096 */
	uint16_t max_subchannels;    /* hvs_channel_offer_subchannels() may ask for; below 2,047 */
	/*
	 * 0: the guest signals each time with a hypercall. Else, 1 to 6,553: it may set a bit in a
	 * page instead, and the main worker looks at that page about every so many microseconds,
	 * or more often if another channel wants it, as long as the channel is open: cheaper for a
	 * guest that signals often, and a cost for the host. Only if there is such a page (the
	 * guest's, or hvs_vmbus_config.monitor_page_gpa), and for 128 channels at a time.
	 */
	uint16_t monitor_latency_us;
	struct hvs_worker *worker; /* NULL: the main worker */
	/* Sub-channel n = 1.. runs on element (n - 1) modulo the count; NULL, with count 0: on
	 * `worker`. Copied. */
	struct hvs_worker *const *subchannel_workers;
	uint32_t subchannel_worker_count;
	uint32_t reserved; /* 0 */
};
#define HVS_OFFER_INIT .size = (uint32_t)sizeof(struct hvs_offer)

/*
 * Offer a device. ops and offer are copied; dev is handed to open(). A guest that has asked for
 * offers is told at once, or, if it takes the place of a device with the same instance_id that was
 * removed, when the guest has let go of that one. [main worker]: before hvs_vmbus_start(), or not
 * at the same time as hvs_worker_dispatch() of the main worker on another thread.
 *
 * 0, -EINVAL (NULL, a member out of range, a worker of another bus), -ENOTSUP (unknown members
 * set), -EEXIST (instance_id is taken), -ENOSPC (hvs_vmbus_config.max_offers devices exist, those
 * on their way out included), -ENOMEM.
 */
HVS_API HVS_NODISCARD int hvs_device_offer(struct hvs_vmbus *bus, const struct hvs_offer *offer,
					   const struct hvs_vsp_ops *ops, void *dev,
					   struct hvs_device **out);

/*
 * Take a device away, whatever its guest driver does with it: the channel is closed, the guest
 * told. done (may be NULL) runs on the main worker when no callback of the device will be called
 * any more but destroy(), which follows when the guest has let go; d must not be used after this
 * call. [main worker]
 *
 * 0, -EINVAL (NULL), -EBUSY (it is on its way out already).
 */
HVS_API HVS_NODISCARD int hvs_device_rescind(struct hvs_device *d, hvs_done_fn done, void *arg);

/* ---- receiving ------------------------------------------------------------------------- */

/* A packet of another type, or with flags that have no meaning, faults the channel. */
enum hvs_packet_type {
	HVS_PACKET_INBAND = 0x6,
	HVS_PACKET_TRANSFER_PAGES = 0x7, /* sent, never received */
	HVS_PACKET_GPA_DIRECT = 0x9,
	HVS_PACKET_COMPLETION = 0xb,
};

/* One packet; a private copy of the guest's bytes. Library-owned. */
struct hvs_packet {
	enum hvs_packet_type type;
	bool wants_completion;
	uint32_t len;     /* payload bytes with the padding to 8; in a pipe: without */
	uint64_t xid;     /* transaction id: opaque, echo it in the completion */
	const void *data; /* payload, aligned to 8 */
	const struct hvs_extents *extents; /* NULL unless type is HVS_PACKET_GPA_DIRECT */
};

/*
 * Next packet. 1: *pkt is valid until the next recv on this channel or until ready() returns;
 * 0: nothing there; -EPROTO: the ring is corrupt, the channel is faulted until the guest closes
 * it; -ESHUTDOWN: faulted before, or closing. [worker]
 */
HVS_API HVS_NODISCARD int hvs_channel_recv(struct hvs_channel *ch, const struct hvs_packet **pkt);

/* ---- sending --------------------------------------------------------------------------- */

/*
 * Queue an in-band packet or the completion of a received one; the guest sees it after
 * hvs_channel_flush(). The payload is copied.
 *
 * 0, -EAGAIN (ring full: flush; ready() is called when there is room for this packet, whatever
 * smaller is sent meanwhile), -EMSGSIZE (would never fit), -EPROTO or -ESHUTDOWN as for recv.
 * [worker]
 */
HVS_API HVS_NODISCARD int hvs_channel_send(struct hvs_channel *ch, uint64_t xid,
					   bool wants_completion, const struct iovec *iov,
					   unsigned iovcnt);
HVS_API HVS_NODISCARD int hvs_channel_complete(struct hvs_channel *ch, uint64_t xid,
					       const struct iovec *iov, unsigned iovcnt);

#define HVS_PAGE_RANGES_MAX 512u /* in one packet */

/*
 * Queue a packet that says: the data is there, in these ranges of the set of pages that the guest
 * named before (a network device's receive buffer). The library looks at neither: that the ranges
 * are inside the set, and the data written, is up to the device.
 *
 * pageset_id  which set, as in the device's protocol
 *
 * Returns as hvs_channel_send(), and -EINVAL (no range, or more than HVS_PAGE_RANGES_MAX). [worker]
 */
HVS_API HVS_NODISCARD int hvs_channel_send_pages(struct hvs_channel *ch, uint64_t xid,
						 bool wants_completion, uint16_t pageset_id,
						 const struct hvs_page_range *ranges,
						 unsigned range_count, const struct iovec *iov,
						 unsigned iovcnt);

/*
 * Is there room in the ring for so many bytes of packets? A packet takes its payload and ranges of
 * 8 bytes each, rounded up to 8, and at most 32 bytes more. For devices that leave room for what is
 * more urgent than what they have to send.
 *
 * 0, -EAGAIN (no; ready() is called when there is, as for a packet of that size that was refused),
 * -EMSGSIZE (never), -EPROTO or -ESHUTDOWN as for recv. [worker]
 */
HVS_API HVS_NODISCARD int hvs_channel_has_room(struct hvs_channel *ch, uint32_t bytes);

/*
 * Make everything queued visible to the guest, with at most one interrupt, and give the room of
 * consumed packets back to it. Also done when ready() returns. [worker]
 */
HVS_API void hvs_channel_flush(struct hvs_channel *ch);

/*
 * Have ready() called soon. Between open() and hvs_channel_closed(), or while a doorbell is
 * registered for it. [any]
 */
HVS_API void hvs_channel_kick(struct hvs_channel *ch);

/*
 * Have timer() and ready() called once, delay_ns from now by hvs_backend_ops.now_ns, or some time
 * later; instead of what was set before. Between open() and hvs_channel_closed(), and in
 * restore(). [worker]
 */
HVS_API void hvs_channel_set_timer(struct hvs_channel *ch, uint64_t delay_ns);

/* The clock of timers: hvs_backend_ops.now_ns. [worker] */
HVS_API uint64_t hvs_channel_now(struct hvs_channel *ch);

/* After close(): the device holds nothing of this channel any more. [worker] */
HVS_API void hvs_channel_closed(struct hvs_channel *ch);

/*
 * The guest broke the device's own protocol beyond repair: report it, and stop the channel
 * until the guest closes it. where is a static string. [worker]
 */
HVS_API void hvs_channel_fault(struct hvs_channel *ch, const char *where);

/*
 * Offer sub-channels 1..count to the guest, which may open them like the channel itself: open()
 * has hvs_open_params.subchannel set then. Those it has already stay. They are withdrawn, and the
 * request is forgotten, when the primary channel is closed. ch is a primary channel; a guest older
 * than version 2.4 is offered none. Not from open() or restore().
 *
 * 0, -EINVAL (not a primary, or more than max_subchannels), -ESHUTDOWN (not open, faulted or
 * closing). [worker]
 */
HVS_API HVS_NODISCARD int hvs_channel_offer_subchannels(struct hvs_channel *ch, unsigned count);

/* Identity of a channel on its connection, for logs: 1..2047. [any] */
HVS_API uint32_t hvs_channel_id(const struct hvs_channel *ch);

/* ---- guest buffers --------------------------------------------------------------------- */

/* Bytes. [worker] */
HVS_API uint32_t hvs_extents_len(const struct hvs_extents *e);

/*
 * Copy between guest memory and buf. 0, -ERANGE (beyond the end), -EFAULT (not RAM, or not
 * writable; a part may have been copied). [worker]
 */
HVS_API HVS_NODISCARD int hvs_extents_read(const struct hvs_extents *e, uint32_t off, void *buf,
					   uint32_t len);
HVS_API HVS_NODISCARD int hvs_extents_write(const struct hvs_extents *e, uint32_t off,
					    const void *buf, uint32_t len);

/*
 * Map bytes [off, off + len) without a copy; the map outlives the packet. The guest can change
 * the bytes at any time: move them, never interpret them.
 *
 * 0, -EINVAL (len is 0), -ERANGE, -EFAULT, -ENOMEM. [worker]
 */
HVS_API HVS_NODISCARD int hvs_extents_map(const struct hvs_extents *e, uint32_t off, uint32_t len,
					  enum hvs_access access, struct hvs_map **out);

/* The mapped bytes, in order; valid until hvs_map_put(). [any] */
HVS_API const struct iovec *hvs_map_iov(const struct hvs_map *map, unsigned *iovcnt);

/* Give a map back, at the latest before hvs_channel_closed(). NULL is allowed. [worker] */
HVS_API void hvs_map_put(struct hvs_map *map);

/*
 * Take into use the pages that the guest shared on this channel with the GPADL of this number. If
 * it wants them back, it is answered when they have been put: until then they are the device's.
 * From open() on. In restore(), too, for what was in use when it was saved: nothing of that is kept
 * otherwise.
 *
 * id  as the guest named it in the device's protocol
 *
 * 0, -ENOENT (there is none, or it is on its way out), -ENOMEM. [worker]
 */
HVS_API HVS_NODISCARD int hvs_channel_gpadl_get(struct hvs_channel *ch, uint32_t id,
						struct hvs_gpadl **out);

/* Its bytes, valid until hvs_gpadl_put(); what the functions above need. [any] */
HVS_API const struct hvs_extents *hvs_gpadl_extents(const struct hvs_gpadl *g);

/* Give it back, after all maps of it, at the latest before hvs_channel_closed(). NULL is allowed.
 * [worker] */
HVS_API void hvs_gpadl_put(struct hvs_gpadl *g);

#ifdef __cplusplus
}
#endif
#endif
