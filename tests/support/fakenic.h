/* SPDX-License-Identifier: MIT */
/*
 * A NIC without a guest, for tests of network back ends: it stands in for the library's, keeps what
 * comes, and counts what is given back. Tests that use it don't link any other.
 */
#ifndef HVST_FAKENIC_H
#define HVST_FAKENIC_H

#include "support/netenv.h"

#include <hvstack/network.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* A frame that came. */
struct hvst_rx {
	struct hvs_net_frame frame; /* without iov */
	uint32_t queue;
	uint8_t *bytes;
};

struct hvs_nic {
	pthread_mutex_t lock; /* all of the following */
	struct hvst_rx *rx;
	unsigned rx_count;
	unsigned room; /* frames that it still takes */
	unsigned no_room;
	unsigned done[3]; /* frames that came back, by status */
	unsigned links;   /* times that it was told about its link */
	bool link_up;
};

struct hvs_nic *hvst_nic_new(void); /* all the room there is */
void hvst_nic_free(struct hvs_nic *nic);
void hvst_nic_set_room(struct hvs_nic *nic, unsigned room);

/* What is behind the lock, now. */
unsigned hvst_nic_came(struct hvs_nic *nic);
unsigned hvst_nic_done(struct hvs_nic *nic, enum hvs_net_status status);
bool hvst_nic_link(struct hvs_nic *nic);
/* Frame n; valid until hvst_nic_free(). */
struct hvst_rx hvst_nic_rx(struct hvs_nic *nic, unsigned n);

/* A frame from the guest; free() it. Its first piece has up to `first` bytes, the rest is in pieces
 * of up to `others`. */
struct hvs_net_frame *hvst_frame(const void *bytes, uint32_t len, uint32_t first, uint32_t others);

/* Send one frame in one piece. */
void hvst_send(const struct hvs_net_ops *ops, void *net, uint32_t queue, const void *bytes,
	       uint32_t len);

#endif
