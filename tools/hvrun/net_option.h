/* SPDX-License-Identifier: MIT */
/* What --net, and the control socket's net-add, say about one network adapter. */
#ifndef HVRUN_NET_OPTION_H
#define HVRUN_NET_OPTION_H

#include <stdbool.h>
#include <stdint.h>

#define HVRUN_MAX_FORWARDS 16u

enum net_kind {
	NET_USER,
	NET_TAP,
	NET_SOCKET,
};

struct net_forward {
	bool udp;
	uint16_t host_port;
	uint16_t guest_port;
	uint8_t host_addr[4]; /* 0.0.0.0: all */
};

struct net_option {
	enum net_kind kind;
	char *target;    /* name of a TAP, path of a socket; NULL: user */
	char *id;        /* NULL: made up */
	char *name;      /* what the guest is told; NULL: nothing */
	char *policy;    /* file; NULL: none */
	char *capture;   /* file; NULL: none */
	uint8_t mac[6];  /* all 0: made from the machine's UUID */
	uint32_t mtu;    /* 0: that of the back end */
	uint32_t queues; /* of a TAP; 0: all that it can have */
	uint16_t vlan;   /* 0: none */
	bool restricted;
	bool listen;
	struct net_forward forwards[HVRUN_MAX_FORWARDS];
	unsigned forward_count;
};

/*
 * BACKEND[,NAME[=VALUE]]... Strings in *out point into text, which is modified. False: `why`, which
 * has room for why_len bytes, says in one line what is wrong.
 */
bool net_option_parse(char *text, struct net_option *out, char *why, unsigned why_len);

/* tcp:[ADDR:]PORT:GUESTPORT or udp:... */
bool net_forward_parse(const char *text, struct net_forward *out);

/* Six hexadecimal bytes between colons; a unicast address that is not 0. */
bool net_mac_parse(const char *text, uint8_t mac[6]);

#endif
