/* SPDX-License-Identifier: MIT */
#include "host/net_io.h"

#include "host/notify.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Room for a batch of usual frames; of those of 64 KiB, which are work for a while, a few. */
#define MEMORY_BYTES (512u << 10)
/* Frames begin where that is good for copying. */
#define ALIGN 64u
/* Batches before other events of the base get their turn. */
#define MAX_ROUNDS 4u
/* Longer than any switch or process stops for a moment. */
#define HOLD_US 100000

/* ---- lists ------------------------------------------------------------------------------ */

void hvsi_frames_append(struct hvsi_frames *list, struct hvs_net_frame *frame)
{
	frame->backend_priv[0] = NULL;
	if (list->first)
		list->last->backend_priv[0] = frame;
	else
		list->first = frame;
	list->last = frame;
}

struct hvs_net_frame *hvsi_frames_take(struct hvsi_frames *list)
{
	struct hvs_net_frame *frame = list->first;

	if (frame)
		list->first = frame->backend_priv[0];
	return frame;
}

uint32_t hvsi_frame_gather(const struct hvs_net_frame *frame, uint8_t *to, uint32_t max)
{
	uint32_t done = 0;

	for (unsigned i = 0; i < frame->iovcnt && done < max; i++) {
		size_t len = frame->iov[i].iov_len;

		if (len > max - done)
			len = max - done;
		memcpy(to + done, frame->iov[i].iov_base, len);
		done += (uint32_t)len;
	}
	return done;
}

void hvsi_frames_done(struct hvsi_frames *list, struct hvs_nic *nic, enum hvs_net_status status)
{
	struct hvs_net_frame *frames[HVS_NET_BATCH];
	unsigned n;

	do {
		for (n = 0; n < HVS_NET_BATCH && list->first; n++)
			frames[n] = hvsi_frames_take(list);
		if (n)
			hvs_nic_tx_done(nic, frames, n, status);
	} while (list->first);
}

/* ---- to the guest ----------------------------------------------------------------------- */

/* Returns false when the descriptor has no more for now. */
static bool read_batch(struct hvsi_net_in *in)
{
	uint32_t used = 0;

	in->first = 0;
	in->count = 0;
	for (unsigned i = 0; i < HVS_NET_BATCH && MEMORY_BYTES - used >= in->max_read; i++) {
		struct hvs_net_frame *frame = &in->frames[in->count];
		struct iovec *iov = &in->iov[in->count];
		ssize_t n = read(in->fd, in->memory + used, in->max_read);

		if (n <= 0) {
			if (n < 0 && (errno == EAGAIN || errno == EINTR))
				return false;
			(void)event_del(in->event);
			in->ops->ended(in->arg, n < 0 ? errno : 0);
			return false;
		}
		*iov = (struct iovec){in->memory + used, (size_t)n};
		*frame = (struct hvs_net_frame){HVS_NET_FRAME_INIT, .iov = iov, .iovcnt = 1};
		if (!in->ops->parse(in->arg, iov, frame))
			continue;
		frame->len = (uint32_t)iov->iov_len;
		in->count++;
		used += ((uint32_t)n + ALIGN - 1) / ALIGN * ALIGN;
		if (used > MEMORY_BYTES)
			used = MEMORY_BYTES;
	}
	return true;
}

/* Returns whether all that was read has been taken. */
static bool deliver(struct hvsi_net_in *in)
{
	const unsigned left = in->count - in->first;

	if (left)
		in->first += hvs_nic_rx(in->nic, in->queue, &in->pointers[in->first], left);
	return in->first == in->count;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct hvsi_net_in *in = arg;
	struct event_base *outer = hvsi_base_enter(in->base);
	bool more = true;

	(void)fd;
	(void)what;
	pthread_mutex_lock(&in->lock);
	if (!in->nic || in->waiting) {
		(void)event_del(in->event);
		more = false;
	}
	for (unsigned i = 0; more && i < MAX_ROUNDS; i++) {
		more = read_batch(in);
		if (deliver(in))
			continue;
		in->waiting = true;
		(void)event_del(in->event);
		break;
	}
	pthread_mutex_unlock(&in->lock);
	hvsi_base_leave(outer);
}

int hvsi_net_in_init(struct hvsi_net_in *in)
{
	for (unsigned i = 0; i < HVS_NET_BATCH; i++)
		in->pointers[i] = &in->frames[i];
	pthread_mutex_init(&in->lock, NULL);
	in->memory = aligned_alloc(ALIGN, MEMORY_BYTES);
	in->event = event_new(in->base, in->fd, EV_READ | EV_PERSIST, on_readable, in);
	return in->memory && in->event ? 0 : -ENOMEM;
}

void hvsi_net_in_fini(struct hvsi_net_in *in)
{
	if (in->event)
		event_free(in->event);
	pthread_mutex_destroy(&in->lock);
	free(in->memory);
}

void hvsi_net_in_attach(struct hvsi_net_in *in, struct hvs_nic *nic)
{
	pthread_mutex_lock(&in->lock);
	in->nic = nic;
	pthread_mutex_unlock(&in->lock);
	hvsi_net_in_resume(in);
}

void hvsi_net_in_detach(struct hvsi_net_in *in)
{
	pthread_mutex_lock(&in->lock);
	in->nic = NULL;
	in->waiting = false;
	in->first = in->count = 0;
	pthread_mutex_unlock(&in->lock);
}

void hvsi_net_in_room(struct hvsi_net_in *in)
{
	bool resume;

	pthread_mutex_lock(&in->lock);
	resume = in->nic && in->waiting && deliver(in);
	if (resume)
		in->waiting = false;
	pthread_mutex_unlock(&in->lock);
	if (resume)
		hvsi_net_in_resume(in);
}

void hvsi_net_in_resume(struct hvsi_net_in *in)
{
	/* Maybe there is another file behind the descriptor, of which epoll knows nothing. */
	(void)event_del(in->event);
	/* Fails only if epoll has no memory. Then this NIC is deaf. */
	(void)event_add(in->event, NULL);
}

/* ---- from the guest --------------------------------------------------------------------- */

static int send_one(struct hvsi_net_out *out, const struct hvs_net_frame *frame,
		    enum hvs_net_status *status)
{
	int err = out->send(out->arg, frame);

	*status = !err                                                   ? HVS_NET_OK
		  : err == -EINVAL || err == -EFAULT || err == -EMSGSIZE ? HVS_NET_ERROR
									 : HVS_NET_DROPPED;
	return err == -EAGAIN ? err : 0;
}

static void wait_for_room(struct hvsi_net_out *out)
{
	static const struct timeval limit = {.tv_usec = HOLD_US};

	/* Fails only for lack of memory; then the next tx() finds that nobody waits. */
	(void)event_add(out->event, &limit);
}

static void hold(struct hvsi_net_out *out, struct hvs_net_frame *const *frames, unsigned n)
{
	pthread_mutex_lock(&out->lock);
	for (unsigned i = 0; i < n; i++)
		hvsi_frames_append(&out->held, frames[i]);
	if (!event_pending(out->event, EV_WRITE | EV_TIMEOUT, NULL))
		wait_for_room(out);
	atomic_store(&out->holding, true);
	pthread_mutex_unlock(&out->lock);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct hvsi_net_out *out = arg;
	struct event_base *outer = hvsi_base_enter(out->base);
	struct hvs_net_frame *frames[HVS_NET_BATCH];
	enum hvs_net_status status[HVS_NET_BATCH];
	unsigned n = 0;

	(void)fd;
	if (what & EV_TIMEOUT)
		hvsi_net_out_drop(out);
	pthread_mutex_lock(&out->lock);
	while (out->held.first && n < HVS_NET_BATCH) {
		if (send_one(out, out->held.first, &status[n]) == -EAGAIN)
			break;
		frames[n++] = hvsi_frames_take(&out->held);
	}
	if (out->held.first)
		wait_for_room(out);
	else
		atomic_store(&out->holding, false);
	pthread_mutex_unlock(&out->lock);
	for (unsigned i = 0; i < n; i++)
		hvs_nic_tx_done(out->nic, &frames[i], 1, status[i]);
	hvsi_base_leave(outer);
}

void hvsi_net_out_tx(struct hvsi_net_out *out, struct hvs_net_frame *const *frames, unsigned n)
{
	enum hvs_net_status before = HVS_NET_OK;
	enum hvs_net_status status;
	unsigned from = 0;
	unsigned i;

	if (atomic_load_explicit(&out->holding, memory_order_relaxed)) {
		hold(out, frames, n);
		return;
	}
	for (i = 0; i < n; i++) {
		if (send_one(out, frames[i], &status) == -EAGAIN)
			break;
		if (status != before && i > from) {
			hvs_nic_tx_done(out->nic, &frames[from], i - from, before);
			from = i;
		}
		before = status;
	}
	if (i > from)
		hvs_nic_tx_done(out->nic, &frames[from], i - from, before);
	if (i < n)
		hold(out, &frames[i], n - i);
}

void hvsi_net_out_drop(struct hvsi_net_out *out)
{
	struct hvsi_frames held;

	pthread_mutex_lock(&out->lock);
	held = out->held;
	out->held.first = NULL;
	atomic_store(&out->holding, false);
	pthread_mutex_unlock(&out->lock);
	hvsi_frames_done(&held, out->nic, HVS_NET_DROPPED);
}

int hvsi_net_out_init(struct hvsi_net_out *out)
{
	pthread_mutex_init(&out->lock, NULL);
	atomic_init(&out->holding, false);
	out->event = event_new(out->base, out->fd, EV_WRITE, on_writable, out);
	return out->event ? 0 : -ENOMEM;
}

void hvsi_net_out_fini(struct hvsi_net_out *out)
{
	if (out->event)
		event_free(out->event);
	pthread_mutex_destroy(&out->lock);
}
