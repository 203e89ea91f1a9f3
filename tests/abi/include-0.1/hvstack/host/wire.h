/* SPDX-License-Identifier: MIT */
/*
 * Network back ends without a network:
 *
 *   hvs_wire    two NICs of this process, joined end to end: memory to memory, one copy
 *   hvs_pipe    a Unix socket, each of whose packets is a frame: to another process, or a test
 */
#ifndef HVSTACK_HOST_WIRE_H
#define HVSTACK_HOST_WIRE_H

#include <hvstack/export.h>
#include <hvstack/network.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base; /* libevent */

/* ---- memory ------------------------------------------------------------------------------ */

struct hvs_wire;
struct hvs_wire_end;

/* Layout fixed. */
struct hvs_wire_end_config {
	uint32_t base_count; /* queues that the NIC has, at most 64 */
	/* Where it gets its frames: queue n on the thread that runs base n, so that worker of the NIC
	 * must be driven by an hvs_loop on the same base. They must outlive the wire. Copied. */
	struct event_base *const *bases;
};

struct hvs_wire_config {
	uint32_t size;
	uint32_t mtu; /* 0: HVS_NET_MAX_MTU */
	struct hvs_wire_end_config end[2];
};
#define HVS_WIRE_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_wire_config)

/*
 * Give it with an end of a wire to hvs_nic_create(): one NIC at a time for each end, of one bus or
 * two. Frames pass with what has still to be done with them, so nobody does it twice. What the other
 * guest has no room for is dropped. The link is down as long as there is no NIC at the other end.
 */
HVS_API const struct hvs_net_ops *hvs_wire_ops(void);

/*
 * 0, -EINVAL, -ENOTSUP (unknown members set), -ENOMEM or the errno of eventfd().
 */
HVS_API HVS_NODISCARD int hvs_wire_create(const struct hvs_wire_config *cfg, struct hvs_wire **out);

/* One of its ends; valid as long as the wire. which: 0 or 1. */
HVS_API struct hvs_wire_end *hvs_wire_get_end(struct hvs_wire *wire, unsigned which);

/* Both NICs are removed, or their buses are destroyed. NULL is allowed. */
HVS_API void hvs_wire_destroy(struct hvs_wire *wire);

/* ---- sockets ----------------------------------------------------------------------------- */

struct hvs_pipe;

/* Make the socket of that path and wait there for the other end; else connect to it. */
#define HVS_PIPE_LISTEN 0x1u

struct hvs_pipe_config {
	uint32_t size;
	uint32_t flags;          /* HVS_PIPE_* */
	const char *path;        /* a SOCK_SEQPACKET socket; or NULL, and: */
	int fd;                  /* a connected SOCK_SEQPACKET or SOCK_DGRAM socket; with path: 0 */
	uint32_t mtu;            /* 0: 1500 */
	struct event_base *base; /* that of queue 0; must outlive the pipe */
	uint32_t max_queues;     /* that the NIC may have: all send through the socket; 0: 1 */
	uint32_t reserved;       /* 0 */
	/* Told, in one line without newline, when the other end is lost or back. On base. May be
	 * NULL. */
	void (*log)(void *arg, const char *text);
	void *arg;
};
#define HVS_PIPE_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_pipe_config)

/*
 * Give it with the hvs_pipe to hvs_nic_create(): one NIC at a time. Frames are complete, with
 * checksums and VLAN tags. The link is down as long as there is no other end; with a path it may come
 * and go, and is looked for each second.
 */
HVS_API const struct hvs_net_ops *hvs_pipe_ops(void);

/*
 * fd is closed with the pipe, but not if this fails. A socket that is left over at path is replaced.
 *
 * why, why_len  as for hvs_tap_open()
 *
 * 0, -EINVAL (cfg, or fd is no such socket), -ENOTSUP (unknown members or flags set), -EADDRINUSE
 * (somebody else listens there), -ENAMETOOLONG, -ENOMEM, or the errno of socket() or bind().
 */
HVS_API HVS_NODISCARD int hvs_pipe_open(const struct hvs_pipe_config *cfg, struct hvs_pipe **out,
					char *why, size_t why_len);

/* As hvs_tap_close(). NULL is allowed. */
HVS_API void hvs_pipe_close(struct hvs_pipe *pipe);

#ifdef __cplusplus
}
#endif
#endif
