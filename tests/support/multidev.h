/* SPDX-License-Identifier: MIT */
/* A device with sub-channels that records what happens on each of its channels, and where. */
#ifndef TESTS_SUPPORT_MULTIDEV_H
#define TESTS_SUPPORT_MULTIDEV_H

#include "support/bus.h"

#define MULTI_MAX 8u

struct multidev;

struct multichan {
	struct multidev *m;
	struct hvs_channel *ch; /* since open() */

	/* Orders. */
	int open_result;
	bool hold_close; /* until multi_finish() */

	/* What happened. */
	bool open; /* between open() and hvs_channel_closed() */
	unsigned opens;
	unsigned closes;
	unsigned readies;
	unsigned received;
	const struct hvs_worker *ran_on; /* NULL: the main worker */
	struct hvs_open_params params;
};

struct multidev {
	struct testbus *b;
	struct hvs_device *device;

	/* Orders: what the primary's ready() asks for, once. */
	bool ask;
	unsigned ask_for;

	int asked; /* the answer */
	unsigned destroys;
	unsigned done; /* removals that ended */
	struct multichan chan[MULTI_MAX];
};

struct multi_options {
	uint16_t max_subchannels;
	uint16_t monitor_latency_us;
	struct hvs_worker *worker;
	struct hvs_worker *const *subchannel_workers;
	uint32_t subchannel_worker_count;
};

/* Offer m; its instance id is made of `number`. */
void multi_offer(struct testbus *b, struct multidev *m, uint8_t number,
		 const struct multi_options *opt);
/* Have the open primary ask for so many sub-channels from ready(); the answer. */
int multi_ask(struct multidev *m, unsigned count);
/* The device lets go of a channel that was told to close. bus_run_all() follows. */
void multi_finish(struct multidev *m, unsigned index);
/* Take it away; bus_run_all() follows. */
void multi_rescind(struct multidev *m);

/* ---- the guest's side ------------------------------------------------------------------------- */

/* The ring of relid n: 4 pages of its own, split in the middle; GPADL 100 + n. */
#define MULTI_PAGES 4u
#define MULTI_SPLIT 2u
#define MULTI_FIRST(relid) (16u + MULTI_PAGES * (relid))
#define MULTI_GPADL(relid) (100u + (relid))

/* Take the offer of sub-channel `index` with this relid. */
void multi_expect_offer(struct testbus *b, uint32_t relid, uint16_t index);
void multi_expect_rescind(struct testbus *b, uint32_t relid);
/* Make the GPADL of relid, and send its OPENCHANNEL; bus_run_all() follows. */
void multi_gpadl(struct testbus *b, uint32_t relid);
void multi_send_open(struct testbus *b, uint32_t relid);
/* Both, and the answer is success. */
void multi_open(struct testbus *b, uint32_t relid);
void multi_close(struct testbus *b, uint32_t relid);   /* and bus_run_all() */
void multi_release(struct testbus *b, uint32_t relid); /* RELID_RELEASED, and bus_run_all() */
/* Send one packet into relid's ring, signal; bus_run_all() follows. */
void multi_packet(struct testbus *b, uint32_t relid, struct guest_rings *r);

#endif
