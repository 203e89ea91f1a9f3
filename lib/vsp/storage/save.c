/* SPDX-License-Identifier: MIT */
/*
 * Saved state of a storage channel: where its negotiation is, its requests in flight, and with the
 * primary what the disks have to tell. A request whose completion is made is saved as that; any
 * other is done again from its packet. That is right also for what the back end has done
 * meanwhile: reads, writes and the like can be repeated, and commands that can't never wait for a
 * back end, or say in `resume` how far they are. A reset that is done again finds what it is to
 * end.
 */
#include "vsp/storage/storvsp.h"

#include "util/alloc.h"

#include <hvstack/vmbus.h>

#include <errno.h>
#include <string.h>

struct saved_channel {
	uint8_t negotiation; /* enum hvsi_negotiation */
	uint8_t tell_of_disks;
	struct hvs_le16 version;
	struct hvs_le16 subchannels;
	struct hvs_le16 reserved;
	struct hvs_le32 request_count;
	struct hvs_le32 disk_count; /* 0 but for the primary */
};

enum { SAVED_WANTS_COMPLETION = 1, SAVED_IS_COMPLETION = 2 };

struct saved_request {
	struct hvs_le64 xid;
	uint8_t flags;
	uint8_t resume;
	struct hvs_le16 packet_len;
	uint8_t packet[sizeof(struct hvsi_vstor_packet)];
};

struct saved_disk {
	uint8_t path;
	uint8_t target;
	uint8_t lun;
	uint8_t drive; /* enum hvsi_drive_flag, of an optical drive */
	struct hvs_le32 attentions;
	struct hvs_le64 num_blocks;
	struct hvs_le64 seen;     /* hvsi_reservations.seen */
	uint8_t has_reservations; /* of its own: struct hvsi_pr_state follows */
	uint8_t reserved[7];
};

/* ---- saving ------------------------------------------------------------------------------- */

struct saving {
	struct hvs_state_writer *w;
	int err;
};

static uint32_t map_len(const struct hvs_map *map)
{
	unsigned count;
	const struct iovec *iov = hvs_map_iov(map, &count);
	size_t len = 0;

	for (unsigned i = 0; i < count; i++)
		len += iov[i].iov_len;
	return (uint32_t)len;
}

static void save_request(struct saving *s, struct hvsi_stor_request *r)
{
	bool is_completion = r->state == HVSI_REQ_UNSENT || r->aborted;
	const struct hvs_map *map = is_completion ? NULL : r->map;
	struct hvs_map *restored = NULL;
	struct hvsi_vstor_packet packet = r->packet;
	struct saved_request saved = {
		.xid = hvsi_le64(r->xid),
		.flags = (uint8_t)((r->wants_completion ? SAVED_WANTS_COMPLETION : 0) |
				   (is_completion ? SAVED_IS_COMPLETION : 0)),
		.resume = r->resume,
		.packet_len = hvsi_le16((uint16_t)r->packet_len),
	};

	if (r->aborted && r->state != HVSI_REQ_UNSENT)
		packet = hvsi_request_completion_of_aborted(r);
	if (r->buffer) { /* restored itself, and not begun yet */
		int err = hvs_extents_map(r->buffer, 0, hvs_extents_len(r->buffer), HVS_READ,
					  &restored);

		if (err == -ENOMEM)
			s->err = err;
		map = restored; /* what is not RAM fails when it is begun */
	}
	/* The map is the buffer. */
	if (!is_completion && hvsi_get32(packet.operation) == HVSI_VSTOR_EXECUTE_SRB)
		packet.u.srb.transfer_len = hvsi_le32(map ? map_len(map) : 0);
	memcpy(saved.packet, &packet, sizeof(packet));
	hvs_state_put(s->w, &saved, sizeof(saved));
	hvs_state_put_map(s->w, r->chan->ch, map);
	hvs_map_put(restored);
}

static void save_if_not_sent(struct hvsi_stor_request *r, void *arg)
{
	if (r->state != HVSI_REQ_UNSENT)
		save_request(arg, r);
}

static unsigned count_disks(const struct hvs_storvsp *ctl)
{
	unsigned n = 0;

	for (unsigned i = 0; i < HVS_STORVSP_MAX_DISKS; i++)
		n += atomic_load(&ctl->disk[i].state) == HVSI_DISK_PRESENT;
	return n;
}

static void save_disks(struct hvs_storvsp *ctl, struct hvs_state_writer *w)
{
	for (unsigned i = 0; i < HVS_STORVSP_MAX_DISKS; i++) {
		struct hvs_disk *d = &ctl->disk[i];
		const struct hvsi_pr_state *own = d->reservations.own;
		struct saved_disk saved;

		if (atomic_load(&d->state) != HVSI_DISK_PRESENT)
			continue;
		saved = (struct saved_disk){.path = d->cfg.path,
					    .target = d->cfg.target,
					    .lun = d->cfg.lun,
					    .drive = hvsi_drive_flags(d),
					    .attentions = hvsi_le32(atomic_load(&d->attentions)),
					    .num_blocks = hvsi_le64(atomic_load(&d->num_blocks)),
					    .seen = hvsi_le64(d->reservations.seen),
					    .has_reservations = own != NULL};
		hvs_state_put(w, &saved, sizeof(saved));
		if (own)
			hvs_state_put(w, own, sizeof(*own));
	}
}

int hvsi_stor_save(struct hvs_channel *ch, void *ctx, struct hvs_state_writer *w)
{
	struct hvsi_stor_chan *c = ctx;
	struct saving s = {.w = w};
	const struct saved_channel saved = {
		.negotiation = (uint8_t)c->state,
		.tell_of_disks = atomic_load(&c->ctl->tell_of_disks),
		.version = hvsi_le16(c->version),
		.subchannels = hvsi_le16(c->subchannels),
		.request_count = hvsi_le32(c->in_flight),
		.disk_count = hvsi_le32(c->index ? 0 : count_disks(c->ctl)),
	};

	(void)ch;
	hvs_state_put(w, &saved, sizeof(saved));
	if (!c->index)
		save_disks(c->ctl, w);
	hvsi_requests_visit(c, save_if_not_sent, &s);
	for (struct hvsi_stor_request *r = c->unsent; r; r = r->next)
		save_request(&s, r); /* in order: a reset is answered behind what it ended */
	return s.err;                /* the writer keeps its own */
}

/* ---- restoring ----------------------------------------------------------------------------- */

/* d may be NULL: nobody wants them. */
static int restore_reservations(struct hvs_storvsp *ctl, struct hvs_disk *d,
				const struct saved_disk *saved, struct hvs_state_reader *r)
{
	const struct hvs_allocator *a = hvs_vmbus_allocator(ctl->bus);
	struct hvsi_pr_state *s = NULL;
	int err = 0;

	if (saved->has_reservations) {
		s = hvsi_alloc(a, sizeof(*s));
		if (!s)
			return -ENOMEM;
		err = hvs_state_get(r, s, sizeof(*s));
		if (!err && !hvsi_pr_check(s))
			err = -EBADMSG;
	}
	if (!err && d)
		err = hvsi_reservations_restore(d, s, hvsi_get64(saved->seen));
	hvsi_free(a, s, sizeof(*s));
	return err;
}

static int restore_disks(struct hvs_storvsp *ctl, uint32_t count, struct hvs_state_reader *r)
{
	bool changed = count != count_disks(ctl);

	for (uint32_t i = 0; i < count; i++) {
		struct saved_disk saved;
		struct hvs_disk *d;
		int err = hvs_state_get(r, &saved, sizeof(saved));

		if (err)
			return err;
		d = hvsi_disk_find(ctl, saved.path, saved.target, saved.lun);
		err = restore_reservations(ctl, d, &saved, r);
		if (err)
			return err;
		if (!d) {
			changed = true;
			continue;
		}
		atomic_fetch_or(&d->attentions, hvsi_get32(saved.attentions) & HVSI_UA_ALL);
		if (d->cfg.type == HVS_DISK_OPTICAL)
			hvsi_drive_restore(d, saved.drive, hvsi_get64(saved.num_blocks));
		else if (hvsi_get64(saved.num_blocks) != atomic_load(&d->num_blocks))
			hvsi_disk_attend(d, HVSI_UA_CAPACITY_CHANGED);
	}
	if (changed)
		atomic_store(&ctl->tell_of_disks, true);
	return 0;
}

/*
 * A command in the middle of its changes, which were to be one with what it looked at before: all
 * others wait, also those that are restored and begun before it.
 */
static void hold_again(struct hvsi_stor_request *req)
{
	struct hvs_disk *disk = hvsi_disk_of_srb(req->chan->ctl, &req->packet.u.srb);

	if (req->resume && disk)
		hvsi_request_hold_again(req, disk);
}

static int restore_request(struct hvsi_stor_chan *c, struct hvs_state_reader *r)
{
	struct hvsi_stor_request *req;
	struct saved_request saved;
	struct hvs_extents *buffer;
	int err = hvs_state_get(r, &saved, sizeof(saved));

	if (!err)
		err = hvs_state_get_extents(r, c->ch, c->ctl->max_transfer_bytes, &buffer);
	if (err)
		return err;
	if (hvsi_get16(saved.packet_len) > sizeof(saved.packet) ||
	    c->in_flight == HVSI_MAX_IN_FLIGHT)
		err = -EBADMSG;
	else if (!hvsi_request_available(c))
		err = -ENOMEM;
	if (err) {
		hvs_extents_free(buffer);
		return err;
	}
	req = hvsi_request_get(c);
	req->xid = hvsi_get64(saved.xid);
	req->wants_completion = saved.flags & SAVED_WANTS_COMPLETION;
	req->resume = saved.resume;
	req->packet_len = hvsi_get16(saved.packet_len);
	memcpy(&req->packet, saved.packet, sizeof(req->packet));
	if (saved.flags & SAVED_IS_COMPLETION) {
		hvs_extents_free(buffer);
		hvsi_request_keep_unsent(req);
	} else {
		req->buffer = buffer;
		hold_again(req);
		hvsi_request_keep_restored(req);
	}
	return 0;
}

/* Nothing of c is trusted yet. */
static int restore_channel(struct hvsi_stor_chan *c, struct hvs_state_reader *r)
{
	struct saved_channel saved;
	int err = hvs_state_get(r, &saved, sizeof(saved));

	if (err)
		return err;
	c->state = saved.negotiation;
	c->version = hvsi_get16(saved.version);
	c->subchannels = hvsi_get16(saved.subchannels);
	if (c->subchannels > c->ctl->max_subchannels)
		c->subchannels = c->ctl->max_subchannels; /* the bus takes back the others */
	if (saved.negotiation > HVSI_READY ||
	    (c->index && (saved.negotiation || hvsi_get32(saved.disk_count))))
		return -EBADMSG;
	if (saved.negotiation > HVSI_WANT_VERSION && !hvsi_stor_version_known(c->ctl, c->version))
		return -ENOTSUP;
	if (!c->index) {
		atomic_store(&c->ctl->ready, c->state == HVSI_READY);
		atomic_store(&c->ctl->tell_of_disks, saved.tell_of_disks != 0);
	}
	if (!c->index)
		err = restore_disks(c->ctl, hvsi_get32(saved.disk_count), r);
	for (uint32_t i = 0; !err && i < hvsi_get32(saved.request_count); i++)
		err = restore_request(c, r);
	if (c->in_flight)
		hvsi_stor_chan_join(c);
	return err;
}

int hvsi_stor_restore(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		      struct hvs_state_reader *r, void **ctx)
{
	struct hvsi_stor_chan *c = hvsi_stor_chan_create(dev, ch, params);
	int err;

	if (!c)
		return -ENOMEM;
	err = restore_channel(c, r);
	if (err) {
		hvsi_requests_drop_kept(c);
		hvsi_stor_chan_destroy(c);
		return err;
	}
	*ctx = c;
	return 0;
}
