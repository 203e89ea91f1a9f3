/* SPDX-License-Identifier: MIT */
#include "support/fakenic.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PIECES 64u

/* ---- the library's functions ------------------------------------------------------------ */

static void keep(struct hvs_nic *nic, uint32_t queue, const struct hvs_net_frame *frame)
{
	struct hvst_rx *rx;
	uint8_t *to;

	nic->rx = realloc(nic->rx, (nic->rx_count + 1) * sizeof(*nic->rx));
	cr_assert(nic->rx != NULL);
	rx = &nic->rx[nic->rx_count++];
	*rx = (struct hvst_rx){.frame = *frame, .queue = queue, .bytes = malloc(frame->len + 1)};
	cr_assert(rx->bytes != NULL);
	to = rx->bytes;
	for (unsigned i = 0; i < frame->iovcnt; i++) {
		memcpy(to, frame->iov[i].iov_base, frame->iov[i].iov_len);
		to += frame->iov[i].iov_len;
	}
	cr_assert_eq(to, rx->bytes + frame->len);
	cr_assert_eq(frame->size, sizeof(*frame));
}

unsigned hvs_nic_rx(struct hvs_nic *nic, uint32_t queue, const struct hvs_net_frame *const *frames,
		    unsigned n)
{
	unsigned i;

	cr_assert(n > 0 && n <= HVS_NET_BATCH);
	pthread_mutex_lock(&nic->lock);
	for (i = 0; i < n && nic->room > 0; i++) {
		keep(nic, queue, frames[i]);
		nic->room--;
	}
	nic->no_room += i < n;
	pthread_mutex_unlock(&nic->lock);
	return i;
}

void hvs_nic_tx_done(struct hvs_nic *nic, struct hvs_net_frame *const *frames, unsigned n,
		     enum hvs_net_status status)
{
	cr_assert(n > 0 && n <= HVS_NET_BATCH);
	pthread_mutex_lock(&nic->lock);
	nic->done[status] += n;
	pthread_mutex_unlock(&nic->lock);
	for (unsigned i = 0; i < n; i++)
		free(frames[i]);
}

void hvs_nic_set_link(struct hvs_nic *nic, bool up, uint64_t bits_per_second)
{
	(void)bits_per_second;
	pthread_mutex_lock(&nic->lock);
	nic->links++;
	nic->link_up = up;
	pthread_mutex_unlock(&nic->lock);
}

/* ---- the NIC ---------------------------------------------------------------------------- */

struct hvs_nic *hvst_nic_new(void)
{
	struct hvs_nic *nic = calloc(1, sizeof(*nic));

	cr_assert(nic != NULL);
	pthread_mutex_init(&nic->lock, NULL);
	nic->room = UINT32_MAX;
	return nic;
}

void hvst_nic_free(struct hvs_nic *nic)
{
	if (!nic)
		return;
	for (unsigned i = 0; i < nic->rx_count; i++)
		free(nic->rx[i].bytes);
	free(nic->rx);
	free(nic);
}

void hvst_nic_set_room(struct hvs_nic *nic, unsigned room)
{
	pthread_mutex_lock(&nic->lock);
	nic->room = room;
	pthread_mutex_unlock(&nic->lock);
}

unsigned hvst_nic_came(struct hvs_nic *nic)
{
	unsigned n;

	pthread_mutex_lock(&nic->lock);
	n = nic->rx_count;
	pthread_mutex_unlock(&nic->lock);
	return n;
}

unsigned hvst_nic_done(struct hvs_nic *nic, enum hvs_net_status status)
{
	unsigned n;

	pthread_mutex_lock(&nic->lock);
	n = nic->done[status];
	pthread_mutex_unlock(&nic->lock);
	return n;
}

bool hvst_nic_link(struct hvs_nic *nic)
{
	bool up;

	pthread_mutex_lock(&nic->lock);
	up = nic->link_up;
	pthread_mutex_unlock(&nic->lock);
	return up;
}

struct hvst_rx hvst_nic_rx(struct hvs_nic *nic, unsigned n)
{
	struct hvst_rx rx;

	pthread_mutex_lock(&nic->lock);
	cr_assert(n < nic->rx_count, "frame %u of %u", n, nic->rx_count);
	rx = nic->rx[n];
	pthread_mutex_unlock(&nic->lock);
	return rx;
}

/* ---- frames ----------------------------------------------------------------------------- */

struct hvs_net_frame *hvst_frame(const void *bytes, uint32_t len, uint32_t first, uint32_t others)
{
	struct {
		struct hvs_net_frame frame;
		struct iovec iov[MAX_PIECES];
		uint8_t bytes[];
	} *f = malloc(sizeof(*f) + len);
	uint32_t at = 0;

	cr_assert(f != NULL);
	memcpy(f->bytes, bytes, len);
	f->frame = (struct hvs_net_frame){HVS_NET_FRAME_INIT, .len = len, .iov = f->iov};
	while (at < len) {
		uint32_t piece = at == 0 ? first : others;

		cr_assert(f->frame.iovcnt < MAX_PIECES);
		if (piece > len - at)
			piece = len - at;
		f->iov[f->frame.iovcnt++] = (struct iovec){f->bytes + at, piece};
		at += piece;
	}
	return &f->frame;
}

void hvst_send(const struct hvs_net_ops *ops, void *net, uint32_t queue, const void *bytes,
	       uint32_t len)
{
	struct hvs_net_frame *frame = hvst_frame(bytes, len, len, len);

	ops->tx(net, queue, &frame, 1);
}
