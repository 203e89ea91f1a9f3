/* SPDX-License-Identifier: MIT */
/*
 * A file in pcapng: a section header, one interface, a packet block for each packet, and statistics
 * at the end. Blocks are made in a buffer that all threads share; a thread writes what is in it. There
 * are two buffers, so that it writes one while the other fills.
 */
#ifndef HVSI_HOST_PCAPNG_H
#define HVSI_HOST_PCAPNG_H

#include <hvstack/host/capture.h>
#include <stdbool.h>

#define HVSI_LINK_ETHERNET 1u
#define HVSI_LINK_USER0 147u

struct hvsi_pcapng;

struct hvsi_pcapng_config {
	const char *path;
	const char *name; /* of the interface; NULL: none */
	uint16_t link;
	uint32_t max_packet; /* bytes kept of each */
	uint64_t max_bytes;  /* of the file; 0: no limit */
	uint32_t buffer_bytes;
};

struct hvsi_pcapng_packet {
	bool to_guest;
	uint32_t len; /* of all of it */
	/* Copies its first bytes, at most max; returns how many. */
	uint32_t (*gather)(const void *arg, uint8_t *to, uint32_t max);
	const void *arg;
};

/* As hvs_capture_open(). path and name are not kept. */
int hvsi_pcapng_open(const struct hvsi_pcapng_config *cfg, struct hvsi_pcapng **out);
/* What there is no room for is counted as dropped. [any] */
void hvsi_pcapng_add(struct hvsi_pcapng *w, const struct hvsi_pcapng_packet *packet);
void hvsi_pcapng_counters(struct hvsi_pcapng *w, struct hvs_capture_counters *counters);
/* Nobody adds any more. */
void hvsi_pcapng_close(struct hvsi_pcapng *w);

#endif
