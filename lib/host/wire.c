/* SPDX-License-Identifier: MIT */
/*
 * Two NICs end to end. A frame that one guest sends goes as it is, in that guest's memory, into the
 * inbox of a queue of the other NIC; the thread of that queue has it copied and gives it back.
 */
#include <hvstack/host/wire.h>

#include "host/net_io.h"
#include "host/notify.h"
#include "host/sized.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_QUEUES 64u
#define MIN_MTU 68u

struct inbox {
	struct hvs_wire_end *end; /* whose NIC gets the frames */
	uint32_t queue;
	struct hvsi_notify notify;
	pthread_mutex_t delivering; /* while the NIC takes frames; before `lock` */
	pthread_mutex_t lock;       /* all of the following */
	struct hvsi_frames list;
	bool open;
};

struct hvs_wire_end {
	struct hvs_wire *wire;
	struct hvs_wire_end *other;
	uint32_t queue_count;
	struct inbox *inboxes;
	struct hvs_nic *nic; /* the last one; see `there` */
	bool there;          /* under the wire's lock */
};

struct hvs_wire {
	struct hvs_wire_end ends[2];
	uint32_t mtu;
	pthread_mutex_t lock;
};

/* ---- frames ----------------------------------------------------------------------------- */

static void deliver(void *arg)
{
	const struct hvs_net_frame *frames[HVS_NET_BATCH];
	struct hvs_net_frame *done[HVS_NET_BATCH];
	struct inbox *in = arg;
	struct hvs_wire_end *end = in->end;
	struct hvsi_frames list;
	unsigned taken;
	unsigned n;
	bool open;

	pthread_mutex_lock(&in->delivering);
	pthread_mutex_lock(&in->lock);
	list = in->list;
	in->list.first = NULL;
	open = in->open;
	pthread_mutex_unlock(&in->lock);
	while (list.first) {
		for (n = 0; n < HVS_NET_BATCH && list.first; n++)
			frames[n] = done[n] = hvsi_frames_take(&list);
		taken = open ? hvs_nic_rx(end->nic, in->queue, frames, n) : 0;
		if (taken)
			hvs_nic_tx_done(end->other->nic, done, taken, HVS_NET_OK);
		if (taken < n)
			hvs_nic_tx_done(end->other->nic, done + taken, n - taken, HVS_NET_DROPPED);
	}
	pthread_mutex_unlock(&in->delivering);
}

static void wire_tx(void *net, uint32_t queue, struct hvs_net_frame *const *frames, unsigned n)
{
	const struct hvs_wire_end *from = net;
	struct inbox *in = &from->other->inboxes[queue % from->other->queue_count];
	bool first;
	bool open;

	pthread_mutex_lock(&in->lock);
	first = !in->list.first;
	open = in->open;
	for (unsigned i = 0; open && i < n; i++)
		hvsi_frames_append(&in->list, frames[i]);
	pthread_mutex_unlock(&in->lock);
	if (!open)
		hvs_nic_tx_done(from->nic, frames, n, HVS_NET_DROPPED);
	else if (first && hvsi_base_inside(in->notify.base))
		hvsi_notify_activate(&in->notify);
	else if (first)
		hvsi_notify_signal(&in->notify);
}

/* ---- NICs ------------------------------------------------------------------------------- */

static void set_open(struct hvs_wire_end *end, uint32_t queue, bool open)
{
	struct inbox *in = &end->inboxes[queue];

	pthread_mutex_lock(&in->lock);
	in->open = open;
	pthread_mutex_unlock(&in->lock);
}

static int wire_get_info(void *net, struct hvs_net_info *info)
{
	const struct hvs_wire_end *end = net;

	info->offloads = HVS_NET_CSUM | HVS_NET_TSO | HVS_NET_USO | HVS_NET_VLAN;
	info->mtu = end->wire->mtu;
	info->max_queues = end->queue_count;
	pthread_mutex_lock(&end->wire->lock);
	info->link_down = !end->other->there;
	pthread_mutex_unlock(&end->wire->lock);
	return 0;
}

static void set_there(struct hvs_wire_end *end, bool there)
{
	struct hvs_wire *wire = end->wire;

	pthread_mutex_lock(&wire->lock);
	if (end->there != there) {
		end->there = there;
		if (end->other->there)
			hvs_nic_set_link(end->other->nic, there, 0);
		/* It may have come since get_info(). */
		if (there)
			hvs_nic_set_link(end->nic, end->other->there, 0);
	}
	pthread_mutex_unlock(&wire->lock);
}

static void wire_attach(void *net, struct hvs_nic *nic)
{
	struct hvs_wire_end *end = net;

	end->nic = nic;
	for (uint32_t i = 0; i < end->queue_count; i++)
		set_open(end, i, true);
	set_there(end, true);
}

static void wire_detach(void *net)
{
	struct hvs_wire_end *end = net;

	set_there(end, false);
	for (uint32_t i = 0; i < end->queue_count; i++) {
		set_open(end, i, false);
		/* What has come meanwhile goes back; and afterwards no other thread is in there. */
		deliver(&end->inboxes[i]);
	}
}

const struct hvs_net_ops *hvs_wire_ops(void)
{
	static const struct hvs_net_ops ops = {
		HVS_NET_OPS_INIT,      .get_info = wire_get_info, .tx = wire_tx,
		.attach = wire_attach, .detach = wire_detach,
	};

	return &ops;
}

/* ---- making and freeing ----------------------------------------------------------------- */

static int make_end(struct hvs_wire *wire, unsigned which, const struct hvs_wire_end_config *cfg)
{
	struct hvs_wire_end *end = &wire->ends[which];

	end->wire = wire;
	end->other = &wire->ends[!which];
	end->inboxes = calloc(cfg->base_count, sizeof(*end->inboxes));
	if (!end->inboxes)
		return -ENOMEM;
	while (end->queue_count < cfg->base_count) {
		struct inbox *in = &end->inboxes[end->queue_count];
		int err;

		in->end = end;
		in->queue = end->queue_count;
		err = hvsi_notify_init(&in->notify, cfg->bases[in->queue], deliver, in);
		if (err)
			return err;
		pthread_mutex_init(&in->delivering, NULL);
		pthread_mutex_init(&in->lock, NULL);
		end->queue_count++;
	}
	return 0;
}

int hvs_wire_create(const struct hvs_wire_config *cfg_in, struct hvs_wire **out)
{
	struct hvs_wire_config cfg;
	struct hvs_wire *wire;
	int err = HVSI_HOST_TAKE(&cfg, cfg_in, end);

	if (err || !out)
		return err ? err : -EINVAL;
	if (cfg.mtu && (cfg.mtu < MIN_MTU || cfg.mtu > HVS_NET_MAX_MTU))
		return -EINVAL;
	for (unsigned i = 0; i < 2; i++)
		if (!cfg.end[i].bases || cfg.end[i].base_count == 0 ||
		    cfg.end[i].base_count > MAX_QUEUES)
			return -EINVAL;
	wire = calloc(1, sizeof(*wire));
	if (!wire)
		return -ENOMEM;
	wire->mtu = cfg.mtu ? cfg.mtu : HVS_NET_MAX_MTU;
	pthread_mutex_init(&wire->lock, NULL);
	err = make_end(wire, 0, &cfg.end[0]);
	if (!err)
		err = make_end(wire, 1, &cfg.end[1]);
	if (err) {
		hvs_wire_destroy(wire);
		return err;
	}
	*out = wire;
	return 0;
}

struct hvs_wire_end *hvs_wire_get_end(struct hvs_wire *wire, unsigned which)
{
	return &wire->ends[which];
}

void hvs_wire_destroy(struct hvs_wire *wire)
{
	if (!wire)
		return;
	for (unsigned i = 0; i < 2; i++) {
		struct hvs_wire_end *end = &wire->ends[i];

		for (uint32_t n = 0; n < end->queue_count; n++) {
			hvsi_notify_fini(&end->inboxes[n].notify);
			pthread_mutex_destroy(&end->inboxes[n].delivering);
			pthread_mutex_destroy(&end->inboxes[n].lock);
		}
		free(end->inboxes);
	}
	pthread_mutex_destroy(&wire->lock);
	free(wire);
}
