/* SPDX-License-Identifier: MIT */
/*
 * Network back end: a network of the guest's own behind this process, through libslirp. It needs no
 * privileges: the guest's TCP and UDP connections become those of this process.
 *
 * The guest finds DHCP, a router and a name server (with 10.0.2.0/24: 10.0.2.15 for itself, 10.0.2.2
 * and 10.0.2.3; the router's address is also this host's), and the same for IPv6 (fec0::/64).
 */
#ifndef HVSTACK_HOST_USERNET_H
#define HVSTACK_HOST_USERNET_H

#include <hvstack/export.h>
#include <hvstack/network.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base;  /* libevent */
struct hvs_usernet; /* a network without privileges */

/* The guest reaches nobody; only what is forwarded to it reaches the guest. */
#define HVS_USERNET_RESTRICTED 0x1u
/* The guest does not reach what listens on this host's loopback addresses. */
#define HVS_USERNET_NO_LOOPBACK 0x2u
#define HVS_USERNET_NO_IPV6 0x4u

struct hvs_usernet_config {
	uint32_t size;
	uint32_t flags; /* HVS_USERNET_* */
	/* Where all of the work is done, the guest's connections included: that of queue 0 of the
	 * NIC. It must outlive the network. libslirp is not made for threads: all networks of a
	 * process have to be on the same base. */
	struct event_base *base;
	uint8_t network[4];   /* of which /24 it is; 0.0.0.0: 10.0.2.0 */
	uint32_t mtu;         /* 0: 1500 */
	uint32_t max_queues;  /* that the NIC may have; 0: 1 */
	const char *hostname; /* what DHCP calls the guest; NULL: nothing */
	/* Told, in one line without newline, what libslirp thinks of the guest. On base. May be NULL. */
	void (*log)(void *arg, const char *text);
	void *arg;
};
#define HVS_USERNET_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_usernet_config)

/* Give it with the hvs_usernet to hvs_nic_create(): one NIC at a time. */
HVS_API const struct hvs_net_ops *hvs_usernet_ops(void);

/*
 * 0, -EINVAL (cfg), -ENOTSUP (unknown members or flags set, or built without libslirp), -ENOMEM or
 * the errno of epoll_create1() or eventfd(). On the thread that runs base, or while nobody does.
 */
HVS_API HVS_NODISCARD int hvs_usernet_create(const struct hvs_usernet_config *cfg,
					     struct hvs_usernet **out);

/* A port of this host that leads to one of the guest. IPv4. */
struct hvs_usernet_forward {
	uint32_t size;
	bool udp;              /* else TCP */
	uint8_t reserved[3];   /* 0 */
	uint16_t host_port;    /* not 0 */
	uint16_t guest_port;   /* not 0 */
	uint8_t host_addr[4];  /* 0.0.0.0: all of this host's */
	uint8_t guest_addr[4]; /* 0.0.0.0: the first that DHCP gives */
};
#define HVS_USERNET_FORWARD_INIT .size = (uint32_t)sizeof(struct hvs_usernet_forward)

/*
 * Forward a port, or no more (only the host's port and address count). Connections that are there
 * stay. On the thread that runs base, or while nobody does.
 *
 * 0, -EINVAL (NULL, or a port is 0), -EADDRINUSE (the host's port can't be had), -ENOENT (it is not
 * forwarded).
 */
HVS_API HVS_NODISCARD int hvs_usernet_add_forward(struct hvs_usernet *net,
						  const struct hvs_usernet_forward *forward);
HVS_API HVS_NODISCARD int hvs_usernet_remove_forward(struct hvs_usernet *net,
						     const struct hvs_usernet_forward *forward);

/* The NIC is removed, or its bus is destroyed. On the thread that runs base, or while nobody does.
 * NULL is allowed. */
HVS_API void hvs_usernet_destroy(struct hvs_usernet *net);

#ifdef __cplusplus
}
#endif
#endif
