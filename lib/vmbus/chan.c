/* SPDX-License-Identifier: MIT */
/*
 * Channels as the control protocol sees them: offered, opened, closed. Main worker only; what
 * concerns the rings happens on the channel's worker (chan_io.c), which is sent commands and
 * reports when they are done.
 */
#include "vmbus/bus.h"

#include "util/probe.h"

#include <errno.h>

void hvsi_chan_command(struct hvs_channel *ch, unsigned ctl)
{
	atomic_fetch_or(&ch->ctl, ctl);
	hvsi_worker_post(ch->worker, &ch->ctl_work);
}

/* ---- moving to another VP ---------------------------------------------------------------------- */

/* Several requests may have been served at once; each has its answer. */
static void modify_response_sent(struct hvsi_outmsg *m)
{
	struct hvs_channel *ch = hvsi_container_of(m, struct hvs_channel, modify_response);

	if (--ch->modify_owed)
		hvsi_outq_add(ch->dev->bus, m);
}

bool hvsi_modify_is_answered(const struct hvs_vmbus *bus)
{
	return atomic_load(&bus->conn.version) >= HVSI_VERSION(5, 3);
}

static void modify_done(struct hvs_channel *ch)
{
	unsigned done = atomic_exchange(&ch->modify_done, 0);

	/* A guest that closes meanwhile waits, too. */
	if (!done || ch->release || !hvsi_modify_is_answered(ch->dev->bus))
		return;
	ch->modify_owed += done;
	hvsi_outq_add(ch->dev->bus, &ch->modify_response);
}

static void refuse_modify(struct hvs_vmbus *bus, const struct hvsi_msg_modify_channel *msg)
{
	struct hvsi_msg_modify_response refusal = {
		.h = hvsi_msg_header(HVSI_MSG_MODIFYCHANNEL_RESPONSE),
		.relid = msg->relid,
		.status = hvsi_le32(HVSI_STATUS_FAILED)};

	if (hvsi_modify_is_answered(bus))
		hvsi_conn_refuse(bus, &refusal, sizeof(refusal));
}

/* ---- opening --------------------------------------------------------------------------------- */

static void answer_open(struct hvs_channel *ch, uint32_t status)
{
	ch->open_status = status;
	hvsi_outq_add(ch->dev->bus, &ch->open_result);
}

/* Is what the guest gave a pair of rings: whole pages in one range, control and data page each? */
static bool ring_ok(const struct hvs_channel *ch, const struct hvsi_gpadl *g)
{
	uint32_t split = hvsi_get32(ch->request.open.downstream_page);

	return g->state != HVSI_GPADL_COLLECTING && g->status == HVSI_STATUS_OK &&
	       g->relid == ch->relid && g->range_count == 1 &&
	       g->extents.len == (uint64_t)g->extents.page_count * HVSI_PAGE && split >= 2 &&
	       g->extents.page_count >= 4 && split <= g->extents.page_count - 2;
}

/* How the two sides signal each other: as offered, or as the guest wants it. */
static bool take_signal_parameters(struct hvs_channel *ch)
{
	struct hvs_vmbus *bus = ch->dev->bus;
	uint32_t id = HVSI_FIRST_CONNECTION_ID + ch->relid;
	uint16_t flag = (uint16_t)ch->relid;

	if (bus->conn.features & HVSI_FEATURE_SIGNAL_PARAMETERS && !ch->reserved) {
		id = hvsi_get32(ch->request.connection_id);
		flag = hvsi_get16(ch->request.event_flag);
	}
	if (id <= HVS_VMBUS_MULTICLIENT_CONNECTION || id >= 1u << 24 || hvsi_signal_find(bus, id) ||
	    !flag || flag >= HVSI_EVENT_FLAGS)
		return false;
	ch->connection_id = id;
	ch->event_flag = flag;
	return true;
}

static bool open_ok(struct hvs_channel *ch, const struct hvsi_gpadl *g, uint32_t vp)
{
	struct hvs_vmbus *bus = ch->dev->bus;

	ch->legacy = !ch->reserved && hvsi_version_is_legacy(atomic_load(&bus->conn.version));
	if (ch->legacy)
		vp = 0; /* the field means nothing */
	ch->target_vp = vp;
	atomic_store(&ch->modify_vp, vp);
	return ring_ok(ch, g) && (vp < bus->cfg.vp_count || vp == HVSI_VP_NONE) &&
	       take_signal_parameters(ch);
}

static void begin_open(struct hvs_channel *ch)
{
	struct hvs_vmbus *bus = ch->dev->bus;
	struct hvsi_gpadl *g = hvsi_gpadl_find(bus, hvsi_get32(ch->request.open.gpadl_id));

	if (!g || g->state != HVSI_GPADL_READY ||
	    !open_ok(ch, g, hvsi_get32(ch->request.open.target_vp))) {
		hvsi_fault(bus, ch->relid, HVS_FAULT_MESSAGE,
			   "OPENCHANNEL with a bad ring, VP or signal");
		answer_open(ch, HVSI_STATUS_FAILED);
		return;
	}
	ch->ring = g;
	if (bus->open_count >= bus->cfg.max_open_channels || hvsi_chan_io_prepare(ch) < 0) {
		ch->ring = NULL;
		answer_open(ch, HVSI_STATUS_FAILED);
		return;
	}
	hvsi_gpadl_get(g);
	bus->open_count++;
	ch->state = HVSI_CHAN_OPENING;
	/* Before the device opens: its driver may signal at once. */
	hvsi_signal_add(ch);
	hvsi_chan_command(ch, HVSI_CTL_OPEN);
}

int hvsi_chan_restore_open(struct hvs_channel *ch, uint32_t target_vp)
{
	int err;

	if (!open_ok(ch, ch->ring, target_vp))
		return -EBADMSG;
	err = hvsi_chan_io_prepare(ch);
	if (err)
		return err == -EPROTO ? -EFAULT : err;
	hvsi_signal_add(ch);
	return 0;
}

void hvsi_chan_restore_undo(struct hvs_channel *ch)
{
	if (ch->enlisted)
		hvsi_signal_remove(ch);
	hvsi_chan_io_free(ch);
}

/* The channel's worker has let go of it. */
static void finish_close(struct hvs_channel *ch)
{
	hvsi_chan_io_free(ch);
	hvsi_gpadl_put(ch->ring);
	ch->ring = NULL;
	ch->dev->bus->open_count--;
	if (!ch->index) /* what the device asked for was for this time */
		atomic_store(&ch->dev->subchannels_wanted, 0);
}

static void unreserve(struct hvs_channel *ch)
{
	struct hvs_vmbus *bus = ch->dev->bus;

	if (!ch->reserved)
		return;
	ch->reserved = false;
	ch->close_asked = 0;
	bus->reserved_count--;
	ch->open_result.vp = HVSI_VP_NONE;
}

/* The guest has let go of the relid, or was never told of it. */
static void released(struct hvs_channel *ch)
{
	struct hvs_device *d = ch->dev;
	struct hvs_vmbus *bus = d->bus;

	hvsi_list_remove(&ch->offer.node);
	hvsi_list_remove(&ch->rescind.node);
	hvsi_list_remove(&ch->open_result.node);
	hvsi_list_remove(&ch->modify_response.node);
	hvsi_list_remove(&ch->reserved_closed.node);
	unreserve(ch);
	hvsi_gpadl_free_relid(bus, ch->relid);
	hvsi_monitor_release(ch);
	ch->state = HVSI_CHAN_RELEASED;
	ch->release = false;
	ch->revoked = d->removed;
	bus->offered[ch->relid] = NULL;
	bus->offered_count--;
	d->known--;
	hvsi_device_let_go(d); /* ch may be gone */
	hvsi_conn_channel_released(bus);
}

/* Closed for good, because the device goes away or the channel is withdrawn. */
static void revoked(struct hvs_channel *ch)
{
	if (ch->dev->removed)
		hvsi_chan_fence(ch);
	ch->state = HVSI_CHAN_REVOKED;
	if (ch->release)
		released(ch);
}

static void begin_close(struct hvs_channel *ch)
{
	hvsi_signal_remove(ch);
	ch->state = HVSI_CHAN_CLOSING;
	hvsi_chan_command(ch, HVSI_CTL_CLOSE);
	if (!ch->index && !ch->release && !ch->reserved)
		hvsi_device_revoke_subchannels(ch->dev);
}

/* Nothing of the channel is in use any more. */
static void closed(struct hvs_channel *ch)
{
	unreserve(ch);
	if (ch->revoked)
		revoked(ch);
	else if (ch->release)
		released(ch);
	else
		ch->state = HVSI_CHAN_CLOSED;
}

static void open_done(struct hvs_channel *ch)
{
	bool wanted = !ch->revoked && (!ch->release || ch->reserved);

	if (!ch->open_error && wanted) {
		ch->state = HVSI_CHAN_OPEN;
		answer_open(ch, HVSI_STATUS_OK);
		if (ch->close_asked)
			begin_close(ch);
		else if (!ch->index)
			hvsi_device_offer_subchannels(ch->dev);
		return;
	}
	/* Who opens a reserved channel may not see a RESCIND, and knows of no disconnect. */
	if (wanted || ch->reserved)
		answer_open(ch, HVSI_STATUS_FAILED);
	if (!ch->open_error) {
		begin_close(ch);
		return;
	}
	hvsi_log(ch->dev->bus, HVS_LOG_WARN, "chan", ch->relid, "device refused to open: error %d",
		 -ch->open_error);
	hvsi_signal_remove(ch);
	finish_close(ch);
	ch->state = HVSI_CHAN_CLOSED;
	if (ch->close_asked)
		hvsi_outq_add(ch->dev->bus, &ch->reserved_closed);
	else if (!ch->reserved) /* else when its guest was told */
		closed(ch);
}

/* Drivers lose interrupts that come before they know that the channel is open. */
static void open_result_sent(struct hvsi_outmsg *m)
{
	struct hvs_channel *ch = hvsi_container_of(m, struct hvs_channel, open_result);

	if (ch->state == HVSI_CHAN_OPEN)
		hvsi_chan_command(ch, HVSI_CTL_START);
	else if (ch->state == HVSI_CHAN_CLOSED && ch->reserved && !ch->close_asked)
		closed(ch); /* it could not be opened, or its device has gone */
}

/* The guest that crashes waits for this before it goes on. */
static void reserved_closed_sent(struct hvsi_outmsg *m)
{
	struct hvs_channel *ch = hvsi_container_of(m, struct hvs_channel, reserved_closed);

	if (--ch->close_asked)
		hvsi_outq_add(ch->dev->bus, m);
	else
		closed(ch);
}

static void close_done(struct hvs_channel *ch)
{
	bool reopen = ch->state == HVSI_CHAN_CLOSING_REOPEN && !ch->revoked && !ch->release;

	finish_close(ch);
	if (ch->close_asked) {
		hvsi_outq_add(ch->dev->bus, &ch->reserved_closed);
		return;
	}
	if (ch->reserved && !hvsi_list_empty(&ch->open_result.node)) {
		ch->state = HVSI_CHAN_CLOSED; /* the rest when that was sent */
		return;
	}
	closed(ch);
	if (reopen) {
		ch->request = ch->next_request;
		begin_open(ch);
	}
}

static unsigned run_done(struct hvsi_work *work, unsigned budget)
{
	struct hvs_channel *ch = hvsi_container_of(work, struct hvs_channel, done_work);
	unsigned done = atomic_exchange(&ch->done, 0);

	(void)budget;
	if (done & HVSI_DONE_OPEN)
		open_done(ch);
	if (done & HVSI_DONE_MODIFY)
		modify_done(ch);
	if (done & HVSI_DONE_SUBCHANNELS)
		hvsi_device_offer_subchannels(ch->dev);
	if (done & HVSI_DONE_GPADL)
		hvsi_gpadl_answer_teardowns(ch->dev->bus);
	if (done & HVSI_DONE_CLOSE)
		close_done(ch);
	return 1;
}

/* ---- messages from the guest ----------------------------------------------------------------- */

static void refuse_open(struct hvs_vmbus *bus, const struct hvsi_msg_open *msg)
{
	struct hvsi_msg_open_result refusal = {.h = hvsi_msg_header(HVSI_MSG_OPENCHANNEL_RESULT),
					       .relid = msg->relid,
					       .open_id = msg->open_id,
					       .status = hvsi_le32(HVSI_STATUS_FAILED)};

	hvsi_fault(bus, hvsi_get32(msg->relid), HVS_FAULT_MESSAGE,
		   "OPENCHANNEL of a channel that can't be opened now");
	hvsi_conn_refuse(bus, &refusal, sizeof(refusal));
}

void hvsi_chan_open(struct hvs_vmbus *bus, const void *bytes, size_t len)
{
	struct hvsi_msg_open_6_0 msg = {0};
	struct hvs_channel *ch;
	bool whole; /* with signal parameters where they were negotiated */

	memcpy(&msg, bytes, len < sizeof(msg) ? len : sizeof(msg));
	ch = hvsi_bus_channel(bus, hvsi_get32(msg.open.relid));
	if (ch && ch->revoked)
		return; /* crossed the RESCIND, which ends the guest's wait */
	whole = len >= sizeof(msg) || !(bus->conn.features & HVSI_FEATURE_SIGNAL_PARAMETERS);
	if (whole && ch && ch->state == HVSI_CHAN_CLOSED) {
		ch->request = msg;
		begin_open(ch);
	} else if (whole && ch && ch->state == HVSI_CHAN_CLOSING && !ch->reserved && !ch->release) {
		ch->next_request = msg;
		ch->state = HVSI_CHAN_CLOSING_REOPEN;
	} else {
		refuse_open(bus, &msg.open);
	}
}

/* A guest that crashes opens a channel of its own, next to all it had, and polls it. */
void hvsi_chan_open_reserved(struct hvs_vmbus *bus, const void *bytes, size_t len)
{
	struct hvsi_msg_open_reserved msg;
	struct hvs_channel *ch;

	(void)len;
	memcpy(&msg, bytes, sizeof(msg));
	ch = hvsi_bus_channel(bus, hvsi_get32(msg.relid));
	if (!ch || ch->state != HVSI_CHAN_CLOSED || ch->reserved) {
		struct hvsi_msg_open_result refusal = {
			.h = hvsi_msg_header(HVSI_MSG_OPENCHANNEL_RESULT),
			.relid = msg.relid,
			.status = hvsi_le32(HVSI_STATUS_FAILED)};

		hvsi_fault(bus, hvsi_get32(msg.relid), HVS_FAULT_MESSAGE,
			   "OPEN_RESERVED_CHANNEL of a channel that is not closed");
		hvsi_conn_refuse_at(bus, hvsi_get32(msg.target_vp), hvsi_get32(msg.target_sint),
				    &refusal, sizeof(refusal));
		return;
	}
	ch->request = (struct hvsi_msg_open_6_0){.open = {.relid = msg.relid,
							  .gpadl_id = msg.gpadl_id,
							  .target_vp = hvsi_le32(HVSI_VP_NONE),
							  .downstream_page = msg.downstream_page}};
	ch->reserved = true;
	bus->reserved_count++;
	hvsi_outmsg_address(bus, &ch->open_result, hvsi_get32(msg.target_vp),
			    hvsi_get32(msg.target_sint));
	begin_open(ch);
}

/* Always answered: the guest may ask for what it never had open, and when it is disconnected. */
void hvsi_chan_close_reserved(struct hvs_vmbus *bus, const void *bytes, size_t len)
{
	struct hvsi_msg_close_reserved msg;
	struct hvs_channel *ch;
	uint32_t vp;
	uint32_t sint;

	(void)len;
	memcpy(&msg, bytes, sizeof(msg));
	vp = hvsi_get32(msg.target_vp);
	sint = hvsi_get32(msg.target_sint);
	ch = hvsi_bus_channel(bus, hvsi_get32(msg.relid));
	if (ch && ch->reserved) {
		hvsi_outmsg_address(bus, &ch->reserved_closed, vp, sint);
		if (!ch->close_asked++ && ch->state == HVSI_CHAN_OPEN)
			begin_close(ch);
	} else {
		struct hvsi_msg_relid answer = {
			.h = hvsi_msg_header(HVSI_MSG_CLOSE_RESERVED_RESPONSE), .relid = msg.relid};

		hvsi_conn_refuse_at(bus, vp, sint, &answer, sizeof(answer));
	}
}

static struct hvs_channel *channel_of(struct hvs_vmbus *bus, const void *bytes,
				      enum hvsi_chan_state wanted, const char *complaint)
{
	struct hvsi_msg_relid msg;
	struct hvs_channel *ch;

	memcpy(&msg, bytes, sizeof(msg));
	ch = hvsi_bus_channel(bus, hvsi_get32(msg.relid));
	if (ch && ch->state == wanted && !ch->reserved)
		return ch;
	if (ch && ch->revoked)
		return NULL; /* crossed the RESCIND */
	hvsi_fault(bus, hvsi_get32(msg.relid), HVS_FAULT_MESSAGE, complaint);
	return NULL;
}

void hvsi_chan_close(struct hvs_vmbus *bus, const void *bytes, size_t len)
{
	struct hvs_channel *ch = channel_of(bus, bytes, HVSI_CHAN_OPEN,
					    "CLOSECHANNEL of a channel that is not open");

	(void)len;
	if (ch)
		begin_close(ch);
}

void hvsi_chan_released(struct hvs_vmbus *bus, const void *bytes, size_t len)
{
	struct hvsi_msg_relid msg;
	struct hvs_channel *ch;

	(void)len;
	memcpy(&msg, bytes, sizeof(msg));
	ch = hvsi_bus_channel(bus, hvsi_get32(msg.relid));
	if (ch && !ch->reserved &&
	    (ch->state == HVSI_CHAN_CLOSED || ch->state == HVSI_CHAN_REVOKED))
		released(ch);
	else if (ch && (ch->revoked || (ch->state == HVSI_CHAN_CLOSING && !ch->reserved)))
		ch->release = true; /* when it is closed */
	else
		hvsi_fault(bus, hvsi_get32(msg.relid), HVS_FAULT_MESSAGE,
			   "RELID_RELEASED of a channel that is not closed");
}

void hvsi_chan_modify(struct hvs_vmbus *bus, const void *bytes, size_t len)
{
	struct hvsi_msg_modify_channel msg;
	struct hvs_channel *ch;

	(void)len;
	memcpy(&msg, bytes, sizeof(msg));
	ch = channel_of(bus, bytes, HVSI_CHAN_OPEN, "MODIFYCHANNEL of a channel that is not open");
	if (!ch || hvsi_get32(msg.target_vp) >= bus->cfg.vp_count ||
	    hvsi_get32(ch->request.open.target_vp) == HVSI_VP_NONE) {
		refuse_modify(bus, &msg);
		return;
	}
	atomic_store(&ch->modify_vp, hvsi_get32(msg.target_vp));
	atomic_fetch_add(&ch->modify_asked, 1);
	hvsi_chan_command(ch, HVSI_CTL_MODIFY);
}

/* ---- from the connection --------------------------------------------------------------------- */

void hvsi_chan_offer(struct hvs_channel *ch, uint32_t relid)
{
	struct hvs_vmbus *bus = ch->dev->bus;

	ch->state = HVSI_CHAN_CLOSED;
	ch->modify_owed = 0;
	ch->relid = relid;
	ch->dev->known++;
	bus->offered[relid] = ch;
	bus->offered_count++;
	hvsi_monitor_assign(ch);
	HVSI_PROBE4(channel_offer, relid, ch->index, ch->dev->offer.class_id.b,
		    ch->dev->offer.instance_id.b);
	hvsi_outq_add(bus, &ch->offer);
}

/* A reserved channel goes on, until its guest closes it or the machine is reset. */
static void disconnect_reserved(struct hvs_channel *ch)
{
	ch->release = true;
	if (ch->dev->bus->conn.next != HVSI_NEXT_RESET)
		return;
	unreserve(ch);
	if (ch->state == HVSI_CHAN_OPEN)
		begin_close(ch);
	else if (!ch->ring)
		closed(ch); /* only its guest was not told yet */
}

void hvsi_chan_disconnect(struct hvs_channel *ch)
{
	if (ch->reserved) {
		disconnect_reserved(ch);
		return;
	}
	switch (ch->state) {
	case HVSI_CHAN_RELEASED:
		break;
	case HVSI_CHAN_CLOSED:
	case HVSI_CHAN_REVOKED:
		released(ch);
		break;
	case HVSI_CHAN_OPEN:
		ch->release = true;
		begin_close(ch);
		break;
	case HVSI_CHAN_OPENING:
	case HVSI_CHAN_CLOSING:
	case HVSI_CHAN_CLOSING_REOPEN:
		ch->release = true;
		break;
	}
}

void hvsi_chan_revoke(struct hvs_channel *ch)
{
	bool known = hvsi_list_empty(&ch->offer.node); /* the guest has seen the offer */
	bool before = ch->revoked;

	ch->revoked = true;
	if (ch->state == HVSI_CHAN_RELEASED || ch->state == HVSI_CHAN_REVOKED) {
		if (ch->dev->removed)
			hvsi_chan_fence(ch);
		return;
	}
	if (before)
		return; /* withdrawn, but not closed yet */
	if (!ch->reserved)
		hvsi_list_remove(&ch->open_result.node);
	if (known && !ch->release) {
		HVSI_PROBE1(channel_rescind, ch->relid);
		hvsi_outq_add(ch->dev->bus, &ch->rescind);
	}
	switch (ch->state) {
	case HVSI_CHAN_CLOSED:
		if (!known)
			ch->release = true;
		if (!ch->reserved) /* else when its guest was told that it is closed */
			revoked(ch);
		return;
	case HVSI_CHAN_OPEN:
		begin_close(ch);
		return;
	case HVSI_CHAN_CLOSING_REOPEN:
		ch->state = HVSI_CHAN_CLOSING;
		return;
	case HVSI_CHAN_OPENING:
	case HVSI_CHAN_CLOSING:
	case HVSI_CHAN_RELEASED:
	case HVSI_CHAN_REVOKED:
		return;
	}
}

void hvsi_chan_init(struct hvs_channel *ch, struct hvs_device *dev, uint16_t index,
		    struct hvs_worker *worker)
{
	ch->dev = dev;
	ch->index = index;
	ch->worker = worker;
	ch->monitor_id = HVSI_NO_MONITOR;
	hvsi_outmsg_init(&ch->offer, HVSI_OUT_OFFER, hvsi_chan_build_offer, NULL);
	hvsi_outmsg_init(&ch->rescind, HVSI_OUT_RESCIND, hvsi_chan_build_rescind, NULL);
	hvsi_outmsg_init(&ch->open_result, HVSI_OUT_OPEN_RESULT, hvsi_chan_build_open_result,
			 open_result_sent);
	hvsi_outmsg_init(&ch->modify_response, HVSI_OUT_MODIFY_RESPONSE,
			 hvsi_chan_build_modify_response, modify_response_sent);
	hvsi_outmsg_init(&ch->reserved_closed, HVSI_OUT_RESERVED_CLOSED,
			 hvsi_chan_build_reserved_closed, reserved_closed_sent);
	hvsi_work_init(&ch->done_work, run_done);
	hvsi_chan_io_init(ch);
}
