/* SPDX-License-Identifier: MIT */
/* What a guest says besides SRBs: negotiation, sub-channels, resets. */
#include "vsp/storage/storvsp.h"

#include "util/list.h"

#include <string.h>

bool hvsi_stor_version_known(const struct hvs_storvsp *ctl, uint16_t version)
{
	switch (version) {
	case HVSI_VSTOR_VERSION_WIN6:
	case HVSI_VSTOR_VERSION_WIN7:
	case HVSI_VSTOR_VERSION_WIN8:
	case HVSI_VSTOR_VERSION_BLUE:
	case HVSI_VSTOR_VERSION_WIN10:
		return version <= ctl->max_version;
	default:
		return false;
	}
}

bool hvsi_stor_ready(const struct hvsi_stor_chan *c)
{
	return c->index ? atomic_load_explicit(&c->ctl->ready, memory_order_relaxed)
			: c->state == HVSI_READY;
}

bool hvsi_stor_has_long_srbs(const struct hvsi_stor_chan *c)
{
	return c->index || c->version >= HVSI_VSTOR_VERSION_WIN8; /* older ones have no others */
}

static uint32_t query_version(struct hvsi_stor_chan *c, struct hvsi_vstor_packet *p)
{
	uint16_t version = hvsi_get16(p->u.version.version);
	struct hvsi_vstor_version echo = {.version = p->u.version.version};

	memset(&p->u, 0, sizeof(p->u));
	p->u.version = echo;
	if (!hvsi_stor_version_known(c->ctl, version))
		return HVSI_NT_REVISION_MISMATCH;
	c->version = version;
	c->state = HVSI_WANT_PROPERTIES;
	return HVSI_NT_SUCCESS;
}

/* As many as the guest is told of. */
static uint16_t max_subchannels(const struct hvsi_stor_chan *c)
{
	return c->version >= HVSI_VSTOR_VERSION_WIN8 ? c->ctl->max_subchannels : 0;
}

static uint32_t query_properties(struct hvsi_stor_chan *c, struct hvsi_vstor_packet *p)
{
	memset(&p->u, 0, sizeof(p->u));
	p->u.properties.flags = hvsi_le32(c->version >= HVSI_VSTOR_VERSION_WIN8 && !c->ctl->ide);
	p->u.properties.max_subchannels = hvsi_le16(max_subchannels(c));
	p->u.properties.max_transfer_bytes = hvsi_le32(c->ctl->max_transfer_bytes);
	c->state = HVSI_WANT_END;
	return HVSI_NT_SUCCESS;
}

/* Not before the negotiation has ended: a driver may use them as soon as they are offered. */
static void offer_subchannels(struct hvsi_stor_chan *c)
{
	if (c->state == HVSI_READY && c->subchannels)
		(void)!hvs_channel_offer_subchannels(c->ch, c->subchannels);
}

static uint32_t create_subchannels(struct hvsi_stor_chan *c, const struct hvsi_vstor_packet *p)
{
	uint16_t count = hvsi_get16(p->u.subchannel_count);

	if (c->state < HVSI_WANT_END)
		return HVSI_NT_INVALID_DEVICE_STATE;
	if (count > max_subchannels(c))
		return HVSI_NT_INVALID_PARAMETER;
	c->subchannels = count;
	offer_subchannels(c);
	return HVSI_NT_SUCCESS;
}

static uint32_t end_initialization(struct hvsi_stor_chan *c)
{
	if (c->state != HVSI_WANT_END)
		return HVSI_NT_INVALID_DEVICE_STATE;
	c->state = HVSI_READY;
	atomic_store(&c->ctl->ready, true);
	/* The guest is going to look by itself. */
	atomic_store(&c->ctl->tell_of_disks, false);
	offer_subchannels(c);
	return HVSI_NT_SUCCESS;
}

static uint32_t negotiate(struct hvsi_stor_chan *c, struct hvsi_vstor_packet *p)
{
	switch (hvsi_get32(p->operation)) {
	case HVSI_VSTOR_BEGIN_INITIALIZATION:
		if (c->state != HVSI_WANT_BEGIN)
			return HVSI_NT_INVALID_DEVICE_STATE;
		c->state = HVSI_WANT_VERSION;
		return HVSI_NT_SUCCESS;
	case HVSI_VSTOR_QUERY_PROTOCOL_VERSION:
		return c->state == HVSI_WANT_VERSION ? query_version(c, p)
						     : HVSI_NT_INVALID_DEVICE_STATE;
	case HVSI_VSTOR_QUERY_PROPERTIES:
		return c->state == HVSI_WANT_PROPERTIES ? query_properties(c, p)
							: HVSI_NT_INVALID_DEVICE_STATE;
	case HVSI_VSTOR_CREATE_SUB_CHANNELS:
		return create_subchannels(c, p);
	case HVSI_VSTOR_END_INITIALIZATION:
		return end_initialization(c);
	case HVSI_VSTOR_EXECUTE_SRB: /* before the end of the negotiation */
		return HVSI_NT_INVALID_DEVICE_STATE;
	default:
		return HVSI_NT_INVALID_DEVICE_REQUEST;
	}
}

static uint64_t disks_of_reset(struct hvs_storvsp *ctl, const struct hvsi_vstor_packet *p)
{
	const struct hvsi_vmscsi *srb = &p->u.srb;
	uint32_t operation = hvsi_get32(p->operation);
	uint8_t path = ctl->ide ? ctl->ide_path : srb->path;
	uint64_t disks = 0;

	for (unsigned i = 0; i < HVS_STORVSP_MAX_DISKS; i++) {
		const struct hvs_disk *d = &ctl->disk[i];

		if (atomic_load(&d->state) != HVSI_DISK_PRESENT)
			continue;
		if (operation != HVSI_VSTOR_RESET_ADAPTER && d->cfg.path != path)
			continue;
		if (operation == HVSI_VSTOR_RESET_LUN &&
		    (d->cfg.target != srb->target || d->cfg.lun != srb->lun))
			continue;
		disks |= 1ull << i;
	}
	return disks;
}

static bool is_reset(uint32_t operation)
{
	return operation == HVSI_VSTOR_RESET_LUN || operation == HVSI_VSTOR_RESET_ADAPTER ||
	       operation == HVSI_VSTOR_RESET_BUS;
}

static void reply(struct hvsi_stor_request *r, uint32_t status)
{
	r->packet.operation = hvsi_le32(HVSI_VSTOR_COMPLETE_IO);
	r->packet.flags = hvsi_le32(0);
	r->packet.status = hvsi_le32(status);
	hvsi_request_reply(r);
}

static void others_have_ended(struct hvsi_drain *drain)
{
	hvsi_request_done(hvsi_container_of(drain, struct hvsi_stor_request, drain));
}

/* Answered when everything that was in flight has ended. */
static void reset(struct hvsi_stor_request *r)
{
	struct hvs_storvsp *ctl = r->chan->ctl;
	uint64_t disks = disks_of_reset(ctl, &r->packet);
	bool one = hvsi_get32(r->packet.operation) == HVSI_VSTOR_RESET_LUN;

	if (!disks) {
		reply(r, HVSI_NT_SUCCESS);
		return;
	}
	r->state = HVSI_REQ_DRAINING;
	r->reset_disks = disks;
	r->drain = (struct hvsi_drain){.kind = one ? HVSI_DRAIN_RESET : HVSI_DRAIN_RESET_ALL,
				       .disks = disks,
				       .abort = true,
				       .done = others_have_ended};
	hvsi_drain_start(ctl, &r->drain);
}

void hvsi_stor_reset_done(struct hvsi_stor_request *r)
{
	struct hvs_storvsp *ctl = r->chan->ctl;

	for (uint64_t left = r->reset_disks; left; left &= left - 1) {
		struct hvs_disk *disk = &ctl->disk[__builtin_ctzll(left)];

		hvsi_reservations_reset(disk);
		hvsi_drive_reset(disk);
		hvsi_disk_attend(disk, r->drain.kind == HVSI_DRAIN_RESET ? HVSI_UA_LUN_RESET
									 : HVSI_UA_BUS_RESET);
	}
	reply(r, HVSI_NT_SUCCESS);
}

void hvsi_stor_control(struct hvsi_stor_request *r)
{
	struct hvsi_stor_chan *c = r->chan;
	bool reset_it = is_reset(hvsi_get32(r->packet.operation));

	if (reset_it && hvsi_stor_ready(c))
		reset(r);
	else if (reset_it || c->index) /* the primary negotiates for all */
		reply(r, HVSI_NT_INVALID_DEVICE_STATE);
	else
		reply(r, negotiate(c, &r->packet));
}
