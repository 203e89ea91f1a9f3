/* SPDX-License-Identifier: MIT */
/*
 * Looking on while a machine runs: which channels there are and what they count, how long requests
 * of disks take, and a tap that sees every packet and message. docs/observability.md is for people.
 *
 * Counters begin at 0 with the device and never go back. They are written without a lock by the
 * worker they belong to, and read from any thread: numbers of one call may be a packet apart.
 *
 * The library fills in as much of a struct as the `size` that the caller has set in it says: members
 * may be added at the end.
 */
#ifndef HVSTACK_STATS_H
#define HVSTACK_STATS_H

#include <hvstack/export.h>
#include <hvstack/storage.h>
#include <hvstack/types.h>

#include <stdbool.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- channels ---------------------------------------------------------------------------- */

/* How far a channel is. */
enum hvs_channel_state {
	HVS_CHANNEL_WAITING = 0, /* not offered: the guest is not there, or has no place for it */
	HVS_CHANNEL_OFFERED = 1,
	HVS_CHANNEL_OPEN = 2,    /* opening and closing included */
	HVS_CHANNEL_REVOKED = 3, /* its device was removed; the guest has not let go of it */
};

struct hvs_channel_info {
	uint32_t size;
	uint32_t channel_id; /* 0 while it waits */
	uint32_t state;      /* enum hvs_channel_state */
	uint32_t flags;      /* hvs_offer.flags */
	struct hvs_guid class_id;
	struct hvs_guid instance_id;
	uint32_t subchannel; /* 0: the primary channel of its device */
	/* While it is open, else 0: */
	uint32_t target_vp;       /* UINT32_MAX: the guest polls */
	uint32_t send_ring_bytes; /* to the guest */
	uint32_t recv_ring_bytes; /* from the guest */
};
#define HVS_CHANNEL_INFO_INIT .size = (uint32_t)sizeof(struct hvs_channel_info)

struct hvs_channel_counters {
	uint32_t size;
	uint32_t reserved;
	uint64_t from_packets; /* completions included, like all that follow */
	uint64_t from_bytes;   /* of the ring: without what the packets refer to */
	uint64_t to_packets;   /* completions included */
	uint64_t to_bytes;     /* of the ring */
	/* Times that the device was called to look, because the guest signalled, a back end was done,
	 * or a batch was full: signals that come together count once. */
	uint64_t batches;
	uint64_t signals_sent;
	uint64_t signals_spared; /* there was news for the guest, which was looking anyway */
	uint64_t ring_full;      /* times that a packet had to wait for room */
	uint64_t faults;         /* times that the guest broke the protocol */
};
#define HVS_CHANNEL_COUNTERS_INIT .size = (uint32_t)sizeof(struct hvs_channel_counters)

/* What hvs_vmbus_visit_channels() calls. It must not offer or remove a device. */
typedef void (*hvs_channel_visit_fn)(void *arg, struct hvs_channel *ch);

/*
 * Call fn for every channel of every device, also those that are not open. They stay valid until
 * the device is removed. [main worker], like hvs_device_offer().
 */
HVS_API void hvs_vmbus_visit_channels(struct hvs_vmbus *bus, hvs_channel_visit_fn fn, void *arg);

/* 0, -EINVAL (NULL, or no size). [main worker] */
HVS_API HVS_NODISCARD int hvs_channel_get_info(const struct hvs_channel *ch,
					       struct hvs_channel_info *out);

/* 0, -EINVAL (NULL, or no size). [any] */
HVS_API HVS_NODISCARD int hvs_channel_get_counters(const struct hvs_channel *ch,
						   struct hvs_channel_counters *out);

/* ---- disks -------------------------------------------------------------------------------- */

/* What a command is counted as. */
enum hvs_disk_op {
	HVS_DISK_READ = 0,
	HVS_DISK_WRITE = 1, /* WRITE SAME included, if it does not unmap */
	HVS_DISK_FLUSH = 2,
	HVS_DISK_UNMAP = 3,
	HVS_DISK_OTHER = 4, /* all other commands */
};
#define HVS_DISK_OPS 5u /* how many kinds there are */

/* Of one kind of commands of a disk. A command counts when its completion is in the ring. */
struct hvs_disk_counters {
	uint32_t size;
	uint32_t reserved;
	uint64_t requests; /* that have ended */
	uint64_t bytes;    /* moved to or from the guest */
	uint64_t errors;   /* that did not end well, among `requests`; unit attentions included */
};
#define HVS_DISK_COUNTERS_INIT .size = (uint32_t)sizeof(struct hvs_disk_counters)

/* 0, -EINVAL (NULL, op out of range, or no size). [any] */
HVS_API HVS_NODISCARD int hvs_disk_get_counters(const struct hvs_disk *disk, enum hvs_disk_op op,
						struct hvs_disk_counters *out);

/*
 * How long commands took, from when their packet was taken from the ring to when their completion
 * was put into it. Bucket n counts those of at most 1024 << n nanoseconds (1 us, 2 us, ... 17 s)
 * that are in no bucket before; the last bucket has no upper bound.
 */
#define HVS_LATENCY_BUCKETS 26u
struct hvs_latency {
	uint32_t size;
	uint32_t reserved;
	uint64_t sum_ns;                      /* of all of them */
	uint64_t bucket[HVS_LATENCY_BUCKETS]; /* how many, for each range */
};
#define HVS_LATENCY_INIT .size = (uint32_t)sizeof(struct hvs_latency)

/* Upper bound of a bucket in nanoseconds; UINT64_MAX for the last, and beyond. [any] */
HVS_API uint64_t hvs_latency_bound(unsigned bucket);

/*
 * Measure, from now on, or no longer: off at first. Costs two readings of hvs_backend_ops.now_ns a
 * command. What was measured stays. 0, -EINVAL (NULL). [any]
 */
HVS_API HVS_NODISCARD int hvs_disk_measure_latency(struct hvs_disk *disk, bool on);

/* 0, -EINVAL (NULL, op out of range, or no size). [any] */
HVS_API HVS_NODISCARD int hvs_disk_get_latency(const struct hvs_disk *disk, enum hvs_disk_op op,
					       struct hvs_latency *out);

/* ---- the tap ------------------------------------------------------------------------------ */

enum hvs_tap_kind {
	HVS_TAP_MESSAGE = 1, /* of the control protocol: no channel */
	HVS_TAP_PACKET = 2,  /* with its descriptor, as it is in the ring */
	HVS_TAP_PAYLOAD = 3, /* what a packet refers to, such as a message in a shared buffer */
};

/* Library-owned, valid during the call like the bytes; members may be added at the end. */
struct hvs_tap_event {
	enum hvs_tap_kind kind;
	bool to_guest;                      /* else from it */
	uint16_t subchannel;                /* 0: the primary channel */
	uint32_t flags;                     /* hvs_offer.flags */
	uint32_t channel_id;                /* 0: a message */
	uint32_t connection_id;             /* of a message from the guest: that it was posted to */
	const struct hvs_guid *class_id;    /* NULL: a message */
	const struct hvs_guid *instance_id; /* the same */
	uint64_t xid;                       /* of the packet */
	/* Private copies; but of HVS_TAP_PAYLOAD maybe the guest's memory, which it can change: move
	 * the bytes, don't interpret them. A packet to the guest is without the padding at its end. */
	const struct iovec *iov;
	unsigned iovcnt;
	size_t len; /* of the whole; the bytes that are there may be fewer */
};

struct hvs_tap_ops {
	uint32_t size;
	uint32_t reserved; /* 0 */
	/*
	 * From the guest: before the library looks at it, so it may be malformed. To the guest: when
	 * it is in the ring or the message slot, the guest may have seen it. Runs on the worker that
	 * handles it, several at a time; must not block, nor call into the library.
	 */
	void (*event)(void *arg, const struct hvs_tap_event *event);
};
#define HVS_TAP_OPS_INIT .size = (uint32_t)sizeof(struct hvs_tap_ops)

/*
 * Have ops called from now on; NULL: no longer, and when this returns no call of them is under way.
 * There is one tap. ops must stay until it is taken off. Without one, a packet costs a comparison
 * more.
 *
 * 0, -EINVAL (bus is NULL, or an op is missing), -ENOTSUP (unknown members set), -EEXIST (there is
 * one). One call at a time, not from event(). [any]
 */
HVS_API HVS_NODISCARD int hvs_vmbus_set_tap(struct hvs_vmbus *bus, const struct hvs_tap_ops *ops,
					    void *arg);

/* For devices: is there a tap, for what costs something to prepare? [any] */
HVS_API bool hvs_channel_tapped(const struct hvs_channel *ch);

/*
 * For devices: have the tap see what a packet refers to (HVS_TAP_PAYLOAD), of which `len` bytes exist
 * and iov has the first. xid is the packet's, to_guest: it goes there. On any worker of the device's, between open() and
 * hvs_channel_closed().
 */
HVS_API void hvs_channel_tap(struct hvs_channel *ch, bool to_guest, uint64_t xid,
			     const struct iovec *iov, unsigned iovcnt, size_t len);

#ifdef __cplusplus
}
#endif
#endif
