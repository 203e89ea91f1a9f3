/* SPDX-License-Identifier: MIT */
/*
 * Channels as their devices see them: rings, packets, signals. Everything here but prepare and
 * free runs on the channel's worker.
 */
#include "vmbus/bus.h"

#include "util/alloc.h"
#include "util/probe.h"
#include "vmbus/packet.h"
#include "vmbus/packet_proto.h"

#include <errno.h>

/* ---- memory of an open channel (main worker) -------------------------------------------------- */

/* View of a ring whose control page is pages[0]. */
static void view(struct hvsi_ringmem *mem, uint8_t HVSI_GUEST **pages, size_t count)
{
	*mem = (struct hvsi_ringmem){.ctl = pages[0],
				     .flat = pages[1],
				     .pages = pages + 1,
				     .size = (uint32_t)(count - 1) * HVSI_PAGE};
	for (size_t i = 2; i < count; i++)
		if (pages[i] != pages[1] + (i - 1) * HVSI_PAGE)
			mem->flat = NULL;
}

int hvsi_chan_io_prepare(struct hvs_channel *ch)
{
	const struct hvs_allocator *a = &ch->dev->bus->cfg.alloc;
	const struct hvs_extents *e = &ch->ring->extents;
	uint32_t split = hvsi_get32(ch->request.open.downstream_page);

	ch->ring_page_count = e->page_count;
	ch->ring_pages = hvsi_alloc_array(a, e->page_count, sizeof(ch->ring_pages[0]));
	ch->staging = hvsi_alloc(a, ch->dev->offer.max_packet_bytes);
	if (!ch->ring_pages || !ch->staging) {
		hvsi_chan_io_free(ch);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < e->page_count; i++) {
		ch->ring_pages[i] = hvsi_mem_range(ch->dev->bus->mem, hvsi_extents_page(e, i),
						   HVSI_PAGE, HVS_RDWR);
		if (!ch->ring_pages[i]) {
			hvsi_chan_io_free(ch);
			return -EPROTO;
		}
	}
	view(&ch->in.mem, ch->ring_pages, split);
	view(&ch->out.mem, ch->ring_pages + split, e->page_count - split);
	ch->params = (struct hvs_open_params){.subchannel = ch->index,
					      .target_vp = ch->target_vp,
					      .send_ring_bytes = ch->out.mem.size,
					      .recv_ring_bytes = ch->in.mem.size};
	memcpy(ch->params.user_data, ch->request.open.user_data, sizeof(ch->params.user_data));
	return 0;
}

void hvsi_chan_io_free(struct hvs_channel *ch)
{
	const struct hvs_allocator *a = &ch->dev->bus->cfg.alloc;

	hvsi_free(a, ch->ring_pages, ch->ring_page_count * sizeof(ch->ring_pages[0]));
	hvsi_free(a, ch->staging, ch->dev->offer.max_packet_bytes);
	ch->ring_pages = NULL;
	ch->staging = NULL;
	hvsi_map_pool_fini(&ch->maps);
}

/* ---- commands from the main worker ------------------------------------------------------------ */

void hvsi_chan_report(struct hvs_channel *ch, unsigned done)
{
	atomic_fetch_or(&ch->done, done);
	hvsi_worker_post(&ch->dev->bus->main_worker, &ch->done_work);
}

static void signal_guest(struct hvs_channel *ch)
{
	struct hvs_vmbus *bus = ch->dev->bus;

	if (ch->legacy) {
		if (bus->conn.interrupt_page)
			hvsi_guest_or32(bus->conn.interrupt_page + (size_t)(ch->relid / 32) * 4,
					1u << ch->relid % 32);
		bus->ops.synic_signal(bus->be, 0, HVS_VMBUS_SINT, 0);
	} else if (ch->target_vp != HVSI_VP_NONE) {
		bus->ops.synic_signal(bus->be, ch->target_vp, HVS_VMBUS_SINT, ch->event_flag);
	} else {
		return;
	}
	hvsi_count(&ch->counters.signals_sent, 1);
	HVSI_PROBE2(signal_sent, ch->relid, ch->target_vp);
}

/* The guest broke the protocol: nothing is read from or written to its rings any more. */
static int fault(struct hvs_channel *ch, enum hvs_fault_code code, const char *where)
{
	ch->faulted = true;
	hvsi_count(&ch->counters.faults, 1);
	hvsi_fault(ch->dev->bus, ch->relid, code, where);
	return -EPROTO;
}

static int open_device(struct hvs_channel *ch)
{
	struct hvsi_ringmem in = ch->in.mem;
	struct hvsi_ringmem out = ch->out.mem;
	int err;

	ch->started = false;
	ch->closing = false;
	ch->faulted = false;
	ch->ctx = NULL;
	hvsi_map_pool_init(&ch->maps, &ch->dev->bus->cfg.alloc);
	if (hvsi_ring_in_open(&ch->in, &in) < 0 || hvsi_ring_out_open(&ch->out, &out) < 0)
		return fault(ch, HVS_FAULT_RING_INDEX, "opened with bad indexes");
	err = ch->dev->ops.open(ch->dev->priv, ch, &ch->params, &ch->ctx);
	ch->accepted = !err;
	HVSI_PROBE4(channel_open, ch->relid, ch->index, ch->dev->offer.instance_id.b, err);
	return err;
}

int hvsi_chan_io_restore(struct hvs_channel *ch, uint32_t in_next, uint32_t out_next,
			 struct hvs_state_reader *r)
{
	struct hvsi_ringmem in = ch->in.mem;
	struct hvsi_ringmem out = ch->out.mem;
	int err;

	ch->started = false;
	ch->closing = false;
	ch->ctx = NULL;
	hvsi_map_pool_init(&ch->maps, &ch->dev->bus->cfg.alloc);
	if (!ch->faulted && (hvsi_ring_in_resume(&ch->in, &in, in_next) < 0 ||
			     hvsi_ring_out_resume(&ch->out, &out, out_next) < 0)) {
		/* As it would have been a moment later. */
		fault(ch, HVS_FAULT_RING_INDEX, "restored with bad indexes");
	}
	err = ch->dev->ops.restore(ch->dev->priv, ch, &ch->params, r, &ch->ctx);
	ch->accepted = !err;
	return err;
}

/* A device that has just been restored has nothing in flight: close() lets go at once. */
void hvsi_chan_io_restore_undo(struct hvs_channel *ch)
{
	if (ch->accepted) {
		ch->closing = true;
		ch->dev->ops.close(ch, ch->ctx);
	}
	ch->accepted = false;
	ch->faulted = false;
	atomic_store(&ch->ctl, 0);
	atomic_store(&ch->done, 0);
}

static unsigned run_ctl(struct hvsi_work *work, unsigned budget)
{
	struct hvs_channel *ch = hvsi_container_of(work, struct hvs_channel, ctl_work);
	unsigned ctl = atomic_exchange(&ch->ctl, 0);

	(void)budget;
	if (ctl & HVSI_CTL_OPEN) {
		ch->open_error = open_device(ch);
		hvsi_chan_report(ch, HVSI_DONE_OPEN);
	}
	if (ctl & HVSI_CTL_RESUME) {
		ch->started = true;
		signal_guest(ch); /* whatever it may have missed */
		hvsi_worker_post(ch->worker, &ch->io_work);
	}
	if (ctl & HVSI_CTL_START) {
		ch->started = true;
		hvsi_worker_post(ch->worker, &ch->io_work);
	}
	if (ctl & HVSI_CTL_MODIFY) {
		unsigned asked = atomic_exchange(&ch->modify_asked, 0);

		ch->target_vp = atomic_load(&ch->modify_vp);
		signal_guest(ch); /* the old VP may have missed one */
		atomic_fetch_add(&ch->modify_done, asked);
		hvsi_chan_report(ch, HVSI_DONE_MODIFY);
	}
	if (ctl & HVSI_CTL_CLOSE) {
		ch->closing = true;
		hvsi_list_remove(&ch->polled);
		ch->dev->ops.close(ch, ch->ctx);
	}
	return 1;
}

/*
 * An item of its own, posted once, behind all others of the channel: when it is back on the main
 * worker, none is queued or running anywhere. A command could not do that: a run serves commands
 * that are posted for the next one, which still comes.
 */
static unsigned run_at_rest(struct hvsi_work *work, unsigned budget)
{
	(void)budget;
	hvsi_device_at_rest(hvsi_container_of(work, struct hvs_channel, fence_work)->dev);
	return 1;
}

static unsigned run_fence(struct hvsi_work *work, unsigned budget)
{
	const struct hvs_channel *ch = hvsi_container_of(work, struct hvs_channel, fence_work);
	struct hvs_worker *main_worker = &ch->dev->bus->main_worker;

	(void)budget;
	work->run = run_at_rest;
	hvsi_worker_post(main_worker, work); /* ch may be gone */
	return 1;
}

void hvsi_chan_fence(struct hvs_channel *ch)
{
	hvsi_worker_post(ch->worker, &ch->fence_work);
}

void hvs_channel_closed(struct hvs_channel *ch)
{
	if (!ch->closing || !ch->accepted)
		return;
	ch->accepted = false;
	ch->timer_due = false;
	hvsi_list_remove(&ch->timed);
	HVSI_PROBE1(channel_close, ch->relid);
	hvsi_chan_report(ch, HVSI_DONE_CLOSE);
}

/* ---- the data path ---------------------------------------------------------------------------- */

static bool usable(const struct hvs_channel *ch)
{
	return ch->accepted && !ch->closing && !ch->faulted;
}

static unsigned run_io(struct hvsi_work *work, unsigned budget)
{
	struct hvs_channel *ch = hvsi_container_of(work, struct hvs_channel, io_work);
	bool again;

	if (!ch->accepted || (!ch->started && !ch->closing))
		return 1;
	/* Nothing new begins: the machine may have been saved, to go on elsewhere. */
	if (!ch->closing && atomic_load_explicit(&ch->dev->bus->resetting, memory_order_relaxed))
		return 1;
	ch->received = 0;
	ch->drained = false;
	if (ch->timer_due) {
		ch->timer_due = false;
		if (ch->dev->ops.timer)
			ch->dev->ops.timer(ch, ch->ctx);
	}
	if (!usable(ch)) {
		ch->dev->ops.ready(ch, ch->ctx, budget);
		return 1;
	}
	hvsi_count(&ch->counters.batches, 1);
	hvsi_ring_in_wake(&ch->in);
	again = ch->dev->ops.ready(ch, ch->ctx, budget);
	hvs_channel_flush(ch);
	if (!usable(ch))
		return ch->received + 1;
	/* A device that leaves packets in the ring kicks itself; the guest need not signal. */
	if (!again && ch->drained)
		again = !hvsi_ring_in_sleep(&ch->in);
	if (ch->out.wanted) {
		if (hvsi_ring_out_blocked(&ch->out))
			hvsi_worker_poll(ch->worker, &ch->polled);
		else
			again = true;
	}
	if (again)
		hvsi_worker_post(ch->worker, &ch->io_work);
	return ch->received + 1;
}

void hvsi_chan_io_init(struct hvs_channel *ch)
{
	hvsi_work_init(&ch->ctl_work, run_ctl);
	hvsi_work_init(&ch->io_work, run_io);
	hvsi_list_init(&ch->polled);
	hvsi_list_init(&ch->timed);
	hvsi_work_init(&ch->fence_work, run_fence);
	hvsi_map_pool_init(&ch->maps, &ch->dev->bus->cfg.alloc);
}

void hvs_channel_set_timer(struct hvs_channel *ch, uint64_t delay_ns)
{
	struct hvs_vmbus *bus = ch->dev->bus;
	uint64_t now = bus->ops.now_ns(bus->be);

	ch->timer_ns = delay_ns < UINT64_MAX - now ? now + delay_ns : UINT64_MAX;
	hvsi_worker_time(ch->worker, ch);
}

uint64_t hvs_channel_now(struct hvs_channel *ch)
{
	struct hvs_vmbus *bus = ch->dev->bus;

	return bus->ops.now_ns(bus->be);
}

void hvs_channel_fault(struct hvs_channel *ch, const char *where)
{
	if (usable(ch))
		fault(ch, HVS_FAULT_DEVICE, where);
}

static void record(struct hvs_channel *ch, size_t len)
{
	const struct hvs_record rec = {.kind = HVS_RECORD_PACKET,
				       .channel_id = ch->relid,
				       .data = ch->staging,
				       .len = len};

	ch->dev->bus->ops.record(ch->dev->bus->be, &rec);
}

static bool is_pipe(const struct hvs_channel *ch)
{
	return ch->dev->offer.flags & HVS_OFFER_PIPE;
}

int hvs_channel_recv(struct hvs_channel *ch, const struct hvs_packet **pkt)
{
	struct hvsi_descriptor desc;
	enum hvs_fault_code code;
	int got;

	if (!usable(ch))
		return -ESHUTDOWN;
	got = hvsi_ring_read(&ch->in, &desc, ch->staging, ch->dev->offer.max_packet_bytes);
	switch (got) {
	case 0:
		ch->drained = true;
		return 0;
	case 1:
		ch->drained = false;
		break;
	case -EMSGSIZE:
		return fault(ch, HVS_FAULT_PACKET_SIZE, "packet larger than the device accepts");
	case -EBADMSG:
		return fault(ch, HVS_FAULT_PACKET_HEADER, "packet lengths");
	default:
		return fault(ch, HVS_FAULT_RING_INDEX, "write index");
	}
	hvsi_count(&ch->counters.from_packets, 1);
	hvsi_count(&ch->counters.from_bytes, desc.len8 * 8u + HVSI_RING_TRAILER);
	if (ch->dev->bus->ops.record)
		record(ch, (size_t)desc.len8 * 8);
	if (hvsi_tapped(&ch->dev->bus->tap))
		hvsi_tap_received(ch, &desc);
	code = hvsi_packet_parse(&desc, ch->staging, ch->dev->bus->mem, &ch->maps, &ch->packet,
				 &ch->extents);
	if (!code && is_pipe(ch))
		code = hvsi_packet_unpipe(&ch->packet);
	if (code)
		return fault(ch, code, "packet");
	ch->received++;
	*pkt = &ch->packet;
	return 1;
}

/* The ring does not take a packet. */
__attribute__((cold, noinline)) static int refused(struct hvs_channel *ch, int err)
{
	if (err == -EPROTO)
		return fault(ch, HVS_FAULT_RING_INDEX, "read index");
	if (err == -EAGAIN) {
		hvsi_count(&ch->counters.ring_full, 1);
		HVSI_PROBE2(ring_full, ch->relid, ch->out.wanted);
	}
	return err;
}

static int put(struct hvs_channel *ch, const struct hvsi_descriptor *desc, const void *header,
	       size_t header_len, const struct iovec *iov, unsigned iovcnt)
{
	const uint32_t from = ch->out.next;
	int err = hvsi_ring_write(&ch->out, desc, header, header_len, iov, iovcnt);

	if (err)
		return refused(ch, err);
	hvsi_count(&ch->counters.to_packets, 1);
	hvsi_count(&ch->counters.to_bytes,
		   ch->out.next - from + (ch->out.next < from ? ch->out.mem.size : 0));
	return 0;
}

/* Apart, so that it costs others nothing. */
__attribute__((cold, noinline)) static int put_tapped(struct hvs_channel *ch,
						      const struct hvsi_descriptor *desc,
						      const void *header, size_t header_len,
						      const struct iovec *iov, unsigned iovcnt)
{
	int err = put(ch, desc, header, header_len, iov, iovcnt);

	if (!err)
		hvsi_tap_sent(ch, desc, header, header_len, iov, iovcnt);
	return err;
}

static int send(struct hvs_channel *ch, const struct hvsi_descriptor *desc, const void *header,
		size_t header_len, const struct iovec *iov, unsigned iovcnt)
{
	if (!usable(ch))
		return -ESHUTDOWN;
	if (hvsi_tapped(&ch->dev->bus->tap))
		return put_tapped(ch, desc, header, header_len, iov, iovcnt);
	return put(ch, desc, header, header_len, iov, iovcnt);
}

int hvs_channel_send(struct hvs_channel *ch, uint64_t xid, bool wants_completion,
		     const struct iovec *iov, unsigned iovcnt)
{
	const struct hvsi_descriptor desc = {.type = HVS_PACKET_INBAND,
					     .header_len8 = HVSI_RING_DESCRIPTOR / 8,
					     .flags = wants_completion,
					     .xid = xid};
	struct hvsi_pipe_header pipe;

	if (!is_pipe(ch))
		return send(ch, &desc, NULL, 0, iov, iovcnt);
	pipe = hvsi_pipe_header(iov, iovcnt);
	return send(ch, &desc, &pipe, sizeof(pipe), iov, iovcnt);
}

int hvs_channel_complete(struct hvs_channel *ch, uint64_t xid, const struct iovec *iov,
			 unsigned iovcnt)
{
	const struct hvsi_descriptor desc = {.type = HVS_PACKET_COMPLETION, .xid = xid};

	return send(ch, &desc, NULL, 0, iov, iovcnt);
}

int hvs_channel_send_pages(struct hvs_channel *ch, uint64_t xid, bool wants_completion,
			   uint16_t pageset_id, const struct hvs_page_range *ranges,
			   unsigned range_count, const struct iovec *iov, unsigned iovcnt)
{
	const struct hvsi_descriptor desc = {
		.type = HVS_PACKET_TRANSFER_PAGES, .flags = wants_completion, .xid = xid};
	struct {
		struct hvsi_transfer_pages_header h;
		struct hvsi_wire_page_range range[HVS_PAGE_RANGES_MAX];
	} header;

	if (!range_count || range_count > HVS_PAGE_RANGES_MAX)
		return -EINVAL;
	header.h = (struct hvsi_transfer_pages_header){.set_id = hvsi_le16(pageset_id),
						       .range_count = hvsi_le32(range_count)};
	for (unsigned i = 0; i < range_count; i++)
		header.range[i] = (struct hvsi_wire_page_range){
			.len = hvsi_le32(ranges[i].len), .offset = hvsi_le32(ranges[i].offset)};
	return send(ch, &desc, &header, sizeof(header.h) + range_count * sizeof(header.range[0]),
		    iov, iovcnt);
}

int hvs_channel_has_room(struct hvs_channel *ch, uint32_t bytes)
{
	int err;

	if (!usable(ch))
		return -ESHUTDOWN;
	err = hvsi_ring_has_room(&ch->out, bytes);
	return err ? refused(ch, err) : 0;
}

void hvs_channel_flush(struct hvs_channel *ch)
{
	bool news = ch->out.next != ch->out.published;
	bool arrived;
	bool room;

	if (!usable(ch))
		return;
	arrived = hvsi_ring_publish(&ch->out);
	room = hvsi_ring_in_commit(&ch->in);
	if (arrived || room)
		signal_guest(ch);
	else if (news)
		hvsi_count(&ch->counters.signals_spared, 1);
}

void hvs_channel_kick(struct hvs_channel *ch)
{
	hvsi_worker_post(ch->worker, &ch->io_work);
}

int hvs_channel_offer_subchannels(struct hvs_channel *ch, unsigned count)
{
	if (ch->index || count >= ch->dev->channel_count)
		return -EINVAL;
	if (!usable(ch))
		return -ESHUTDOWN;
	atomic_store(&ch->dev->subchannels_wanted, count);
	hvsi_chan_report(ch, HVSI_DONE_SUBCHANNELS);
	return 0;
}

uint32_t hvs_channel_id(const struct hvs_channel *ch)
{
	return ch->relid;
}
