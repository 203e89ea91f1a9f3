/* SPDX-License-Identifier: MIT */
#include <hvstack/host/capture.h>

#include "host/net_io.h"
#include "host/notify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WAITING_BYTES (4u << 20)

struct copy {
	struct copy *next;
	struct hvs_net_frame frame;
	struct iovec iov;
	uint8_t bytes[];
};

struct hvs_mirror {
	struct hvs_nic *to;
	struct hvsi_notify notify;

	pthread_mutex_t lock; /* all of the following */
	struct copy *first;
	struct copy *last;
	uint32_t waiting_bytes;
	uint64_t dropped;
};

static void free_all(struct copy *c)
{
	while (c) {
		struct copy *next = c->next;

		free(c);
		c = next;
	}
}

/* On the thread of the base. */
static void deliver(void *arg)
{
	const struct hvs_net_frame *frames[HVS_NET_BATCH];
	struct hvs_mirror *m = arg;
	struct copy *first;
	uint64_t dropped = 0;

	pthread_mutex_lock(&m->lock);
	first = m->first;
	m->first = NULL;
	m->waiting_bytes = 0;
	pthread_mutex_unlock(&m->lock);
	for (struct copy *c = first; c;) {
		unsigned n = 0;

		for (; c && n < HVS_NET_BATCH; c = c->next)
			frames[n++] = &c->frame;
		dropped += n - hvs_nic_rx(m->to, 0, frames, n);
	}
	free_all(first);
	if (!dropped)
		return;
	pthread_mutex_lock(&m->lock);
	m->dropped += dropped;
	pthread_mutex_unlock(&m->lock);
}

static struct copy *copy_of(const struct hvs_net_frame *frame)
{
	struct copy *c = malloc(sizeof(*c) + frame->len);

	if (!c)
		return NULL;
	c->next = NULL;
	c->iov = (struct iovec){c->bytes, hvsi_frame_gather(frame, c->bytes, frame->len)};
	c->frame = *frame;
	c->frame.size = (uint32_t)sizeof(c->frame);
	c->frame.len = (uint32_t)c->iov.iov_len;
	c->frame.iov = &c->iov;
	c->frame.iovcnt = 1;
	return c;
}

static void mirror_frame(void *arg, uint32_t queue, bool to_guest,
			 const struct hvs_net_frame *frame)
{
	struct hvs_mirror *m = arg;
	struct copy *c = copy_of(frame);
	bool wake = false;

	(void)queue;
	(void)to_guest;
	pthread_mutex_lock(&m->lock);
	if (!c || frame->len > MAX_WAITING_BYTES - m->waiting_bytes) {
		m->dropped++;
	} else {
		wake = !m->first;
		if (m->first)
			m->last->next = c;
		else
			m->first = c;
		m->last = c;
		m->waiting_bytes += c->frame.len;
		c = NULL;
	}
	pthread_mutex_unlock(&m->lock);
	free(c);
	if (wake)
		hvsi_notify_signal(&m->notify);
}

const struct hvs_net_monitor_ops *hvs_mirror_ops(void)
{
	static const struct hvs_net_monitor_ops ops = {
		HVS_NET_MONITOR_OPS_INIT,
		.frame = mirror_frame,
	};

	return &ops;
}

int hvs_mirror_create(struct hvs_nic *to, struct event_base *base, struct hvs_mirror **out)
{
	struct hvs_mirror *m;
	int err;

	if (!to || !base || !out)
		return -EINVAL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->to = to;
	pthread_mutex_init(&m->lock, NULL);
	err = hvsi_notify_init(&m->notify, base, deliver, m);
	if (err) {
		pthread_mutex_destroy(&m->lock);
		free(m);
		return err;
	}
	*out = m;
	return 0;
}

uint64_t hvs_mirror_dropped(struct hvs_mirror *mirror)
{
	uint64_t dropped;

	pthread_mutex_lock(&mirror->lock);
	dropped = mirror->dropped;
	pthread_mutex_unlock(&mirror->lock);
	return dropped;
}

void hvs_mirror_destroy(struct hvs_mirror *mirror)
{
	if (!mirror)
		return;
	hvsi_notify_fini(&mirror->notify);
	free_all(mirror->first);
	pthread_mutex_destroy(&mirror->lock);
	free(mirror);
}
