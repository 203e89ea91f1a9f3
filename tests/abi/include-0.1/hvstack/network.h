/* SPDX-License-Identifier: MIT */
/*
 * Synthetic network adapter (NetVSP: NVSP and RNDIS over VMBus), and the network back ends that
 * frames go to and come from. An adapter fills in hvs_net_ops; the NIC calls it. Ready-made
 * adapters are those of host/.
 *
 * A NIC has one queue for each worker that its channels run on: queue 0 is that of the primary
 * channel. Whatever has to do with a queue happens on its worker.
 */
#ifndef HVSTACK_NETWORK_H
#define HVSTACK_NETWORK_H

#include <hvstack/export.h>
#include <hvstack/port.h>
#include <hvstack/types.h>

#include <stdbool.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hvs_nic;

/* ---- frames ------------------------------------------------------------------------------ */

#define HVS_NET_HEADER_BYTES 14u /* Ethernet */
#define HVS_NET_MAX_MTU 9202u    /* largest IP packet of a frame that is not to be segmented */
#define HVS_NET_MAX_FRAME 65553u /* one that is: Ethernet header, VLAN tag, 65,535 */
#define HVS_NET_MAX_COPIED 256u  /* iov[0] of a frame from the guest is at most so long */

/*
 * What has still to be done with a frame. The back end does what it said it can
 * (hvs_net_info.offloads); the NIC has done the rest. In a frame to the guest: what the back end
 * left undone.
 */
#define HVS_NET_CSUM 0x01u /* TCP or UDP checksum: the field holds the pseudo header's sum */
/* To be cut into TCP segments (with HVS_NET_CSUM; the IP lengths are those of the whole frame, or
 * 0 if that exceeds 65,535) or UDP datagrams, with `mss` bytes of payload each. */
#define HVS_NET_TSO 0x02u
#define HVS_NET_USO 0x04u
/* The frame belongs to a VLAN: vlan_tci is the tag, which is not among the bytes. */
#define HVS_NET_VLAN 0x08u
/* To the guest: the back end has checked them (for IPv4 the header's checksum too). */
#define HVS_NET_CSUM_GOOD 0x10u

/* Whoever makes the frame sets size; always passed by pointer. */
struct hvs_net_frame {
	uint32_t size;
	uint32_t flags; /* HVS_NET_* */
	uint32_t len;   /* bytes: from the destination address on, without the check sequence */
	/* Bytes from the beginning: the IP header; the TCP or UDP header; what follows that. From the
	 * guest: 0 where there is none. To the guest: with HVS_NET_CSUM, TSO, USO, else ignored. */
	uint16_t l3_off;
	uint16_t l4_off;
	uint16_t payload_off;
	uint16_t mss; /* bytes; 0 but for TSO, USO */
	uint16_t vlan_tci;
	uint16_t iovcnt;
	/* From the guest: iov[0] is a private copy that holds all headers, of at most
	 * HVS_NET_MAX_COPIED bytes; the rest is guest memory: it changes under you. */
	const struct iovec *iov;
	void *backend_priv[2]; /* from the guest: free for the back end until hvs_nic_tx_done() */
};
#define HVS_NET_FRAME_INIT .size = (uint32_t)sizeof(struct hvs_net_frame)

/* ---- back ends --------------------------------------------------------------------------- */

/* The library zeroes it and sets size; the back end fills it in. */
struct hvs_net_info {
	uint32_t size;
	uint32_t
		offloads; /* HVS_NET_CSUM, TSO, USO, VLAN: what it can do with frames from the guest */
	uint32_t mtu;     /* largest IP packet it carries, 68 to HVS_NET_MAX_MTU; 0: the largest */
	uint32_t max_queues;      /* it serves so many; 0: 1 */
	uint64_t bits_per_second; /* speed of the link; 0: 10 Gbit/s */
	bool link_down;           /* at the beginning; hvs_nic_set_link() later */
	uint8_t reserved[7];      /* 0 */
};
#define HVS_NET_INFO_INIT .size = (uint32_t)sizeof(struct hvs_net_info)

struct hvs_net_ops {
	uint32_t size;
	uint32_t reserved; /* 0 */

	/* What it is: once, when the NIC is created, on that thread. 0 or a negative errno. Required. */
	int (*get_info)(void *net, struct hvs_net_info *info);

	/*
	 * Frames from the guest, in order. Exactly one hvs_nic_tx_done() for each must follow, during
	 * the call or later, on any thread: the frame and its bytes are the back end's until then.
	 * n is at most HVS_NET_BATCH. Must not block. On the queue's worker. Required.
	 */
	void (*tx)(void *net, uint32_t queue, struct hvs_net_frame *const *frames, unsigned n);

	/* hvs_nic_rx() of this queue took fewer frames than it was given, and there is room again.
	 * On the queue's worker. Optional. */
	void (*rx_room)(void *net, uint32_t queue);

	/* The guest wants frames (true), or none: its driver is not there, or its interface is down.
	 * What comes while it wants none is dropped by hvs_nic_rx(). On the primary channel's worker.
	 * Optional. */
	void (*rx_wanted)(void *net, bool wanted);

	/* The NIC that uses it from now on: after get_info and before anything else, inside
	 * hvs_nic_create(). Optional. */
	void (*attach)(void *net, struct hvs_nic *nic);

	/* The NIC leaves: when this returns, hvs_nic_rx() is not inside of it any more, and is not
	 * called again. tx() may still be, until the channels are closed. The frames from the guest
	 * that the back end has must come back soon. Once after each attach(), inside hvs_nic_remove(), or else when the bus is destroyed, or
	 * hvs_nic_create() fails. Optional. */
	void (*detach)(void *net);
};
#define HVS_NET_OPS_INIT .size = (uint32_t)sizeof(struct hvs_net_ops)

#define HVS_NET_BATCH 64u /* frames of one tx() at most */

/* ---- network adapters -------------------------------------------------------------------- */

struct hvs_nic_config {
	uint32_t size;
	/* Newest network protocol the guest may choose, NVSP's number: 2, 0x30002, 0x40000, 0x50000,
	 * 0x60000, 0x60001; 0: the newest. */
	uint32_t max_version;
	struct hvs_guid instance_id; /* unique per bus, stable: guests name devices by it */
	struct hvs_worker *worker;   /* NULL: the main worker */
	/* Sub-channels a guest may have, up to 63, so that each of its VPs can have a channel of its
	 * own: usually the number of VPs less 1. */
	uint32_t max_subchannels;
	/* Sub-channel n = 1.. runs on element (n - 1) modulo the count, which is queue 1 + that;
	 * NULL, with count 0: on `worker`, queue 0. Copied. */
	uint32_t subchannel_worker_count;
	struct hvs_worker *const *subchannel_workers;
	uint8_t mac[6];      /* unicast, not 0 */
	uint8_t reserved[2]; /* 0 */
	char name
		[64]; /* UTF-8, NUL-terminated: what the guest is told it is called; "" : nothing */
	/*
	 * The guest's driver has changed its address (as far as the port's policy lets it). Optional.
	 * On the primary channel's worker.
	 */
	void (*mac_changed)(void *arg, struct hvs_nic *nic, const uint8_t mac[6]);
	/*
	 * The guest has moved its traffic to the virtual function that hvs_nic_set_vf() named (true),
	 * or back to this NIC. Optional. On the primary channel's worker.
	 */
	void (*vf_in_use)(void *arg, struct hvs_nic *nic, bool vf);
	void *arg;
};
#define HVS_NIC_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_nic_config)

/*
 * Offer a NIC. It belongs to the bus and is freed with it. ops and cfg are copied; `net` is the
 * back end's and must outlive the bus, or the NIC be removed before. Calls get_info. [main worker],
 * like hvs_device_offer().
 *
 * 0, -EINVAL (configuration, or get_info returned nonsense, or the back end can't serve as many
 * queues as the NIC has), -ENOTSUP (unknown members set), -EEXIST (instance_id is taken), -ENOSPC
 * (as hvs_device_offer()), -ENOMEM, or what get_info returned.
 */
HVS_API HVS_NODISCARD int hvs_nic_create(struct hvs_vmbus *bus, const struct hvs_nic_config *cfg,
					 const struct hvs_net_ops *ops, void *net,
					 struct hvs_nic **out);

/*
 * Take a NIC away from the guest, whatever it does with it. The back end is told by detach(). done
 * (may be NULL) runs when it is not used any more: it has given back all frames with
 * hvs_nic_tx_done(). nic must not be used after this call but for that. [main worker]
 *
 * 0, -EINVAL (NULL).
 */
HVS_API HVS_NODISCARD int hvs_nic_remove(struct hvs_nic *nic, hvs_done_fn done, void *arg);

/* What became of a frame. */
enum hvs_net_status {
	HVS_NET_OK = 0,
	HVS_NET_DROPPED = 1, /* no room, or nobody there: networks may do that */
	HVS_NET_ERROR = 2,
};

/* The back end is done with n frames from the guest. [any]; cheapest on the queue's worker. */
HVS_API void hvs_nic_tx_done(struct hvs_nic *nic, struct hvs_net_frame *const *frames, unsigned n,
			     enum hvs_net_status status);

/*
 * Frames for the guest, in order. They are copied. Those that the guest does not want, or the
 * port's policy does not let pass, or that don't fit, count as taken.
 *
 * Returns how many were taken, 0..n. If fewer than n there is no room now, and rx_room() follows
 * when there is: keep the rest, or drop them. [worker of the queue]
 */
HVS_API HVS_NODISCARD unsigned hvs_nic_rx(struct hvs_nic *nic, uint32_t queue,
					  const struct hvs_net_frame *const *frames, unsigned n);

/*
 * The link is up or down now; bits_per_second 0: as it was. The guest is told, but not more often
 * than guests can follow: of quick changes the last one counts. While the link is down no frame
 * passes, whatever the guest has been told: those for the guest are taken and dropped, those from it
 * are completed with success and dropped. A frame that a worker is just at may still pass. [any]
 */
HVS_API void hvs_nic_set_link(struct hvs_nic *nic, bool up, uint64_t bits_per_second);

/*
 * The other end of the link is another network now: the guest is told to renew what it learnt from
 * the last one (addresses, neighbours). After a restore this is done anyway. [any]
 */
HVS_API void hvs_nic_network_changed(struct hvs_nic *nic);

/*
 * Who passes what (port.h), from the next frame on; its limits begin anew. policy is copied; NULL:
 * the one a NIC begins with. Not at the same time as another call for the same NIC. [any]
 *
 * 0, -EINVAL (NULL, or a member out of range), -ENOTSUP (unknown members set), -ENOMEM.
 */
HVS_API HVS_NODISCARD int hvs_nic_set_policy(struct hvs_nic *nic,
					     const struct hvs_port_policy *policy);

/*
 * A virtual function of a real NIC is (allocated) or is no longer assigned to the guest as a PCI
 * device with this serial number, which guests know from the virtual PCI bus: its driver then moves
 * traffic there by itself. A guest that can't do that is not told. [any]
 */
HVS_API void hvs_nic_set_vf(struct hvs_nic *nic, bool allocated, uint32_t serial);

/*
 * Somebody who sees all frames that pass the port, as they are outside of it: those to the guest as
 * hvs_nic_rx() got them, with their tag, those from it as tx() does, but not cut yet. A capture, or a
 * mirror. Called on the queue's worker, by several queues at the same time; the frame is valid
 * during the call.
 */
struct hvs_net_monitor_ops {
	uint32_t size;
	uint32_t reserved; /* 0 */
	/* A frame passes; on the worker of its queue. It is valid during the call. Required. */
	void (*frame)(void *arg, uint32_t queue, bool to_guest, const struct hvs_net_frame *frame);
};
#define HVS_NET_MONITOR_OPS_INIT .size = (uint32_t)sizeof(struct hvs_net_monitor_ops)

/*
 * Have a monitor called from now on, instead of the last one; ops NULL: none. When this returns the
 * last one is not called any more. Not from a monitor, nor at the same time as another call for the
 * same NIC. [any]
 *
 * 0, -EINVAL (nic is NULL, or no frame()), -ENOTSUP (unknown members set), -ENOMEM.
 */
HVS_API HVS_NODISCARD int hvs_nic_set_monitor(struct hvs_nic *nic,
					      const struct hvs_net_monitor_ops *ops, void *arg);

/* Since the NIC was created; set size. "to": to the guest. */
struct hvs_nic_counters {
	uint32_t size;
	uint32_t reserved;
	uint64_t from_frames; /* that passed */
	uint64_t from_bytes;
	uint64_t from_dropped;   /* by the back end, for want of memory, or the link was down */
	uint64_t from_malformed; /* against NVSP, RNDIS, or what their headers say */
	uint64_t to_frames;      /* that the guest was given */
	uint64_t to_bytes;
	uint64_t to_unwanted; /* no driver, interface or link down, or not addressed to it */
	/* Times that hvs_nic_rx() took fewer than it was given; and frames that it dropped since the
	 * queue has no channel, or no part of a small receive buffer. */
	uint64_t to_no_room;
	uint64_t to_too_long;
	struct hvs_port_counters port; /* dropped by policy */
};
#define HVS_NIC_COUNTERS_INIT .size = (uint32_t)sizeof(struct hvs_nic_counters)

/* 0, -EINVAL (NULL, or size is too small to be one). [any] */
HVS_API HVS_NODISCARD int hvs_nic_get_counters(const struct hvs_nic *nic,
					       struct hvs_nic_counters *counters);

/* What the guest's driver has made of the NIC. */
struct hvs_nic_status {
	uint32_t size;
	uint32_t version;  /* NVSP; 0: there is no driver */
	uint32_t channels; /* open */
	uint32_t mtu;      /* largest IP packet */
	uint32_t filter;   /* NDIS_PACKET_TYPE_*; 0: it wants no frames */
	uint8_t mac[6];
	bool link_up; /* the guest's cable is plugged in */
	bool vf;      /* its traffic goes through a virtual function */
};
#define HVS_NIC_STATUS_INIT .size = (uint32_t)sizeof(struct hvs_nic_status)

/* 0, -EINVAL (NULL, or size is too small to be one). [any] */
HVS_API HVS_NODISCARD int hvs_nic_get_status(const struct hvs_nic *nic,
					     struct hvs_nic_status *status);

#ifdef __cplusplus
}
#endif
#endif
