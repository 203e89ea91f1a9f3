/* SPDX-License-Identifier: MIT */
/*
 * Network back end: a TAP interface of Linux. What the host's network stack leaves to an interface
 * (checksums, segmentation) passes in both directions: no work is done here on what is in a frame.
 *
 * A TAP has one or more queues, each on a libevent base: queue n of the NIC reads and writes on the
 * thread that runs base n, so that worker of the NIC must be driven by an hvs_loop on the same base.
 * Bases that run on several threads need evthread_use_pthreads().
 */
#ifndef HVSTACK_HOST_TAP_H
#define HVSTACK_HOST_TAP_H

#include <hvstack/export.h>
#include <hvstack/network.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base; /* libevent */
struct hvs_tap;    /* a TAP interface */

struct hvs_tap_config {
	uint32_t size;
	uint32_t flags; /* 0 */
	/* An interface that is there already ("ip tuntap add dev NAME mode tap"), or: */
	const char *name;
	/* Descriptors of one TAP that somebody has opened, with IFF_NO_PI and IFF_VNET_HDR; they are
	 * closed with the hvs_tap, but not if opening it fails. Copied. */
	const int *fds;
	uint32_t fd_count;
	/* With a name: how often to open it, up to base_count. More than one needs an interface that
	 * was made with multi_queue. 0: one for each base if it was, else 1. */
	uint32_t queue_count;
	uint32_t base_count; /* queues that the NIC has, at most 64 */
	uint32_t mtu;        /* 0: the interface's; with fds: 1500 */
	/* One for each queue of the NIC; they must outlive the TAP. Copied. Those for which there is
	 * no queue of the TAP write to one of another, and read nothing. */
	struct event_base *const *bases;
	/* Told, in one line without newline, when the interface is lost or down, and when it is
	 * back. On any of the bases. May be NULL. */
	void (*log)(void *arg, const char *text);
	void *arg;
};
#define HVS_TAP_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_tap_config)

/*
 * Give it with the hvs_tap to hvs_nic_create(): one NIC at a time.
 *
 * An interface that is down, or that somebody has deleted, is a link that is down for the guest; it
 * is looked for each second. One that was opened by name is opened again when there is one of that
 * name.
 */
HVS_API const struct hvs_net_ops *hvs_tap_ops(void);

/*
 * Open a TAP.
 *
 * why, why_len  when why_len is not 0: a text, with its NUL, that says what is wrong, on failure;
 *               cut if it is longer
 *
 * 0, or
 * -EINVAL   cfg; not a TAP; made without multi_queue, and several queues are wanted
 * -ENODEV   no such interface
 * -EBUSY    somebody else uses it
 * -EPERM    it belongs to another user
 * -ENOTSUP  unknown members or flags set; the kernel is too old
 * -ENOMEM, -EMFILE, -EACCES, -ENOENT (/dev/net/tun), or another errno of the kernel.
 */
HVS_API HVS_NODISCARD int hvs_tap_open(const struct hvs_tap_config *cfg, struct hvs_tap **out,
				       char *why, size_t why_len);

/* The NIC is removed, or its bus is destroyed. NULL is allowed. */
HVS_API void hvs_tap_close(struct hvs_tap *tap);

#ifdef __cplusplus
}
#endif
#endif
