/* SPDX-License-Identifier: MIT */
/*
 * A NIC without a guest, for tests of network back ends: it stands in for the library's, keeps what
 * comes, and counts what is given back. Tests that use it don't link any other.
 */
#ifndef HVST_FAKENIC_H
#define HVST_FAKENIC_H

#include <hvstack/network.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct event_base;

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

/* Run the base until the condition holds; the test fails if that takes 20 s. */
#define hvst_until(base, condition)                                                                \
	do {                                                                                       \
		for (unsigned hvst_i = 0; !(condition); hvst_i++) {                                \
			cr_assert(hvst_i < 20000, "never: %s", #condition);                        \
			hvst_turn(base);                                                           \
		}                                                                                  \
	} while (0)
/* What is due, and a millisecond if nothing was. base may be NULL. */
void hvst_turn(struct event_base *base);
/* For a while, to see that nothing happens. */
void hvst_linger(struct event_base *base, unsigned ms);

/* Frames. Returns the length. */
uint32_t hvst_udp4(uint8_t *to, uint32_t payload, uint8_t mark);
uint16_t hvst_sum(const uint8_t *bytes, uint32_t len, uint32_t seed);

/* A network namespace of this test's own, with a loopback interface. */
void hvst_own_network(void);
/* A command of the shell has to succeed. */
__attribute__((format(printf, 1, 2))) void hvst_shell(const char *format, ...);

#endif
