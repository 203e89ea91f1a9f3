/* SPDX-License-Identifier: MIT */
/*
 * A guest that answers an integration component with anything, and a host that asks anything of it.
 * Each fuzz_ic_*.c says what is particular to a service; the rest, in fuzz_ic_common.c, is the same
 * for all: bytes in rings, messages, time that passes, channels closed and opened again, requests
 * withdrawn, services taken away and offered again, another host.
 *
 * An input: changes of memory (race.h), a byte that the service's configuration is made from, then
 * steps.
 */
#ifndef FUZZ_IC_COMMON_H
#define FUZZ_IC_COMMON_H

#include "check.h"
#include "input.h"

#include <hvstack/guest/ic.h>
#include <hvstack/guest/loopback.h>
#include <hvstack/hvstack.h>

#define FUZZ_IC_BODY 16384u

struct fuzz_ic {
	const struct fuzz_ic_service *service;
	struct hvs_loopback *lb;
	struct hvs_guest *guest;
	struct hvs_ic *ic; /* NULL: taken away */
	struct hvs_guest_channel *ch;
	struct hvs_ic_config cfg;
	/* The last message of the host. */
	bool has_message;
	struct hvs_guest_ic_message msg;
	uint8_t body[FUZZ_IC_BODY];
	/* Requests that were taken, and those that have ended. */
	unsigned asked;
	unsigned ended;
	unsigned replaced;
	unsigned gone;
	unsigned removed;
};

struct fuzz_ic_service {
	enum hvs_ic_kind kind;
	const uint32_t *versions; /* that the guest claims to know, the input chooses */
	unsigned version_count;
	/* Complete cfg from a byte of the input. Optional. */
	void (*configure)(struct hvs_ic_config *cfg, uint8_t how);
	int (*sample_time)(void *arg, uint64_t *host_time, uint64_t *reference); /* of hvs_ic_ops */
	/*
	 * Ask something of the service, whatever the input says, with fuzz_ic_done() and f as its
	 * argument; returns what the function returned. Optional.
	 */
	int (*ask)(struct fuzz_ic *f, struct input *in);
	/* Make a right answer of body (which holds what the host has sent, len bytes of it); the
	 * input spoils it afterwards. Returns its length. Optional. */
	uint32_t (*answer)(struct fuzz_ic *f, struct input *in, uint8_t *body, uint32_t len);
	/* Look at what is known of it, and check it. Optional. */
	void (*look)(struct fuzz_ic *f);
};

void fuzz_ic_done(void *arg, int status, uint32_t guest_status);

int fuzz_ic_run(const struct fuzz_ic_service *service, const uint8_t *data, size_t size);

#endif
