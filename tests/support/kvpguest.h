/* SPDX-License-Identifier: MIT */
/* A guest whose program keeps pools as that of Linux does, and knows one adapter. */
#ifndef TESTS_SUPPORT_KVPGUEST_H
#define TESTS_SUPPORT_KVPGUEST_H

#include "support/ic.h"

#include <hvstack/kvp.h>

#define KVP_GUEST_PAIRS 8
#define KVP_GUEST_TEXT 64

/* Addresses of the adapter, as the program has them: lists with ';' between their elements. */
struct kvp_guest_ip {
	bool dhcp;
	char addresses[KVP_GUEST_TEXT];
	char subnets[KVP_GUEST_TEXT];
	char gateways[KVP_GUEST_TEXT];
	char dns[KVP_GUEST_TEXT];
};

struct kvp_guest {
	struct {
		char key[KVP_GUEST_TEXT];
		char value[KVP_GUEST_TEXT];
	} pools[HVS_KVP_AUTO_EXTERNAL + 1][KVP_GUEST_PAIRS];
	unsigned counts[HVS_KVP_AUTO_EXTERNAL + 1];
	bool fails; /* the program answers with errors */
	/* The adapter, when it is asked for and when it gets addresses; another one is not there. */
	const char *mac;
	const char *device;
	struct kvp_guest_ip ip;
};

/* Something in the guest writes a pair. */
void kvp_guest_sets(struct kvp_guest *g, unsigned pool, const char *key, const char *value);
/* "(none)": there is none. */
const char *kvp_guest_has(const struct kvp_guest *g, unsigned pool, const char *key);

/* Answer all that the host asks (versions up to 4.0), until it asks nothing more. */
void kvp_guest_run(struct kvp_guest *g, struct ic_machine *m);

#endif
