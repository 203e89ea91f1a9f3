/* SPDX-License-Identifier: MIT */
/*
 * Who sees what passes a port, or the bus, while it passes:
 *
 *   hvs_capture  writes it to a file, for Wireshark, tcpdump and the like (pcapng)
 *   hvs_mirror   has another NIC of this process get copies (port mirroring)
 *
 * Neither makes a NIC wait: what can't be kept up with is counted as dropped.
 */
#ifndef HVSTACK_HOST_CAPTURE_H
#define HVSTACK_HOST_CAPTURE_H

#include <hvstack/export.h>
#include <hvstack/network.h>
#include <hvstack/stats.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base; /* libevent */

/* ---- capture ----------------------------------------------------------------------------- */

struct hvs_capture; /* a file for Wireshark */

enum hvs_capture_what {
	HVS_CAPTURE_FRAMES = 0, /* of a NIC: hvs_capture_ops */
	/* Control messages, packets and what they refer to, each with a header that
	 * docs/observability.md describes: hvs_capture_tap_ops. */
	HVS_CAPTURE_VMBUS = 1,
};

struct hvs_capture_config {
	uint32_t size;
	uint32_t max_packet;   /* bytes kept of each frame or packet, at least 64; 0: all */
	const char *path;      /* a file that is made, or emptied; this user's only */
	const char *name;      /* what the interface is called in it; NULL: nothing */
	uint64_t max_bytes;    /* of the file: what would exceed it is dropped; 0: no limit */
	uint32_t buffer_bytes; /* for what is not written yet, at least 128 KiB; 0: 4 MiB */
	uint32_t reserved;     /* 0 */
	uint32_t what;         /* enum hvs_capture_what */
	uint32_t reserved2;    /* 0 */
	/* HVS_CAPTURE_VMBUS: packets of the device with this instance id, and nothing else; zeros:
	 * all. */
	struct hvs_guid instance_id;
};
#define HVS_CAPTURE_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_capture_config)

/*
 * Give it with the hvs_capture to hvs_nic_set_monitor().
 *
 * "Inbound" is what goes to the guest. Frames are as the port has them: not yet cut into segments,
 * and with checksums that are still to be done, where that is left to others; with their VLAN tags.
 */
HVS_API const struct hvs_net_monitor_ops *hvs_capture_ops(void);

/* Give it with the hvs_capture to hvs_vmbus_set_tap(). */
HVS_API const struct hvs_tap_ops *hvs_capture_tap_ops(void);

/*
 * Begin a file. A thread writes it, soon after each frame.
 *
 * 0, -EINVAL (cfg, or not a regular file), -ENOTSUP (unknown members set), -ENOMEM, or the errno of
 * open(), write() or pthread_create().
 */
HVS_API HVS_NODISCARD int hvs_capture_open(const struct hvs_capture_config *cfg,
					   struct hvs_capture **out);

struct hvs_capture_counters {
	uint32_t size;
	int32_t error;    /* 0, or the errno of write(): all is dropped since then */
	uint64_t frames;  /* in the file, or on their way to it */
	uint64_t dropped; /* no room in the buffer or the file, or an error */
	uint64_t bytes;   /* of the file */
};
#define HVS_CAPTURE_COUNTERS_INIT .size = (uint32_t)sizeof(struct hvs_capture_counters)

/* 0, -EINVAL (NULL, or size is too small to be one). [any] */
HVS_API HVS_NODISCARD int hvs_capture_get_counters(struct hvs_capture *capture,
						   struct hvs_capture_counters *counters);

/* Writes what is in the buffer. The capture is no NIC's monitor and no bus's tap any more. NULL is
 * allowed. */
HVS_API void hvs_capture_close(struct hvs_capture *capture);

/* ---- mirror ------------------------------------------------------------------------------ */

struct hvs_mirror;

/* Give it with the hvs_mirror to hvs_nic_set_monitor(): of any number of NICs. */
HVS_API const struct hvs_net_monitor_ops *hvs_mirror_ops(void);

/*
 * Copies go to `to`, in order for each queue they come from. Its guest sees those that are not
 * addressed to it if it has made its interface promiscuous. The NICs that are mirrored may be of
 * other buses.
 *
 * base  that of queue 0 of `to`; must outlive the mirror
 *
 * 0, -EINVAL (NULL), -ENOMEM or the errno of eventfd().
 */
HVS_API HVS_NODISCARD int hvs_mirror_create(struct hvs_nic *to, struct event_base *base,
					    struct hvs_mirror **out);

/* Frames that there was no room for. [any] */
HVS_API uint64_t hvs_mirror_dropped(struct hvs_mirror *mirror);

/*
 * The mirror is no NIC's monitor any more; before `to` is removed. On the thread that runs base, or
 * while nobody does. NULL is allowed.
 */
HVS_API void hvs_mirror_destroy(struct hvs_mirror *mirror);

#ifdef __cplusplus
}
#endif
#endif
