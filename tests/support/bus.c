/* SPDX-License-Identifier: MIT */
#include "support/bus.h"

#include <errno.h>
#include <stdlib.h>

/* ---- back end --------------------------------------------------------------------------------- */

static int synic_post(void *be, uint32_t vp, uint8_t sint, const struct hvs_synic_msg *msg)
{
	struct testbus *b = be;
	struct bus_post *p = &b->posts[b->posted];

	if (b->slot_busy) {
		b->refused++;
		return -EAGAIN;
	}
	cr_assert_lt(b->posted, BUS_POSTS);
	*p = (struct bus_post){.vp = vp, .sint = sint, .type = msg->type, .len = msg->payload_len};
	memcpy(p->bytes, msg->payload, msg->payload_len);
	b->posted++;
	return 0;
}

static void synic_signal(void *be, uint32_t vp, uint8_t sint, uint16_t flag)
{
	struct testbus *b = be;

	cr_assert_eq(sint, 2);
	b->signals++;
	b->signal_vp = vp;
	b->signal_flag = flag;
}

static int doorbell_add(void *be, uint32_t connection_id, struct hvs_channel *ch)
{
	struct testbus *b = be;

	if (b->refuse_doorbells)
		return -ENOSYS;
	b->doorbells++;
	b->doorbell_id = connection_id;
	b->doorbell = ch;
	return 0;
}

static void doorbell_del(void *be, uint32_t connection_id, struct hvs_channel *ch)
{
	struct testbus *b = be;

	cr_assert_eq(b->doorbell_id, connection_id);
	cr_assert_eq(b->doorbell, ch);
	b->doorbells--;
}

static void wake(void *be, struct hvs_worker *worker, void *worker_priv)
{
	struct testbus *b = be;

	(void)worker;
	b->wakes++;
	b->woken = worker_priv;
}

static uint64_t now_ns(void *be)
{
	return ((struct testbus *)be)->now_ns;
}

static void log_record(void *be, const struct hvs_log_record *record)
{
	struct testbus *b = be;

	cr_assert_null(strchr(record->text, '\n'));
	b->logs++;
}

static void guest_fault(void *be, const struct hvs_guest_fault *fault)
{
	struct testbus *b = be;

	b->faults++;
	b->last_fault = fault->code;
	b->fault_channel = fault->channel_id;
	cr_assert_not_null(fault->where);
}

/* ---- life cycle ------------------------------------------------------------------------------- */

struct testbus *bus_up(const struct bus_options *opt)
{
	static const struct bus_options usual;
	struct hvs_backend_ops ops = {HVS_BACKEND_OPS_INIT,
				      .synic_post = synic_post,
				      .synic_signal = synic_signal,
				      .wake = wake,
				      .now_ns = now_ns,
				      .log = log_record,
				      .guest_fault = guest_fault};
	struct hvs_vmbus_config cfg = {HVS_VMBUS_CONFIG_INIT, .log_level = HVS_LOG_DEBUG};
	struct testbus *b = calloc(1, sizeof(*b));

	cr_assert_not_null(b);
	if (!opt)
		opt = &usual;
	b->posts = calloc(BUS_POSTS, sizeof(*b->posts));
	b->ram = aligned_alloc(4096, BUS_PAGES * 4096u);
	cr_assert(b->posts && b->ram);
	memset(b->ram, 0, BUS_PAGES * 4096u);
	cfg.vp_count = opt->vps ? opt->vps : 2;
	cfg.max_version = opt->max_version;
	cfg.max_gpadls = opt->max_gpadls;
	cfg.max_gpadl_pages = opt->max_gpadl_pages;
	cfg.max_offers = opt->max_offers;
	cfg.max_open_channels = opt->max_open_channels;
	cfg.max_queued_messages = opt->max_queued_messages;
	memcpy(cfg.monitor_page_gpa, opt->monitor_page_gpa, sizeof(cfg.monitor_page_gpa));
	ops.connect_request = opt->connect_request;
	cfg.alloc = opt->alloc;
	ops.record = opt->record;
	if (opt->doorbells) {
		ops.doorbell_add = doorbell_add;
		ops.doorbell_del = doorbell_del;
	}
	cr_assert_eq(hvs_mem_create(NULL, &b->mem), 0);
	cr_assert_eq(hvs_mem_add(b->mem, BUS_RAM, BUS_PAGES * 4096u, b->ram, HVS_RDWR), 0);
	cr_assert_eq(hvs_vmbus_create(&cfg, b->mem, &ops, b, &b->bus), 0);
	return b;
}

static void reset_done(void *arg, int status)
{
	cr_assert_eq(status, 0);
	*(bool *)arg = true;
}

void bus_down(struct testbus *b)
{
	bool done = false;

	bus_expect_nothing(b);
	if (hvs_vmbus_started(b->bus)) {
		cr_assert_eq(hvs_vmbus_reset(b->bus, reset_done, &done), 0);
		bus_run_all(b);
		cr_assert(done, "a device never let go of its channel");
		bus_expect_nothing(b);
	}
	cr_assert_eq(b->doorbells, 0);
	hvs_vmbus_destroy(b->bus);
	hvs_mem_destroy(b->mem);
	free(b->ram);
	free(b->posts);
	free(b);
}

void bus_start(struct testbus *b)
{
	cr_assert_eq(hvs_vmbus_start(b->bus), 0);
}

/* Many small steps instead of "until idle": a worker that spins fails instead of hanging. */
void bus_run(struct testbus *b)
{
	for (unsigned i = 0; i < 100000; i++)
		if (!hvs_worker_dispatch(hvs_vmbus_main_worker(b->bus), 64, &b->deadline_ns))
			return;
	cr_assert_fail("the worker never becomes idle");
}

struct hvs_worker *bus_worker(struct testbus *b)
{
	void *number = (void *)(uintptr_t)(b->worker_count + 1);

	cr_assert_lt(b->worker_count, BUS_WORKERS);
	cr_assert_eq(hvs_worker_create(b->bus, number, &b->worker[b->worker_count]), 0);
	return b->worker[b->worker_count++];
}

void bus_run_worker(struct testbus *b, struct hvs_worker *w)
{
	b->running = w;
	for (unsigned i = 0; i < 100000; i++)
		if (!hvs_worker_dispatch(w, 64, NULL)) {
			b->running = NULL;
			return;
		}
	cr_assert_fail("a worker never becomes idle");
}

void bus_run_all(struct testbus *b)
{
	unsigned wakes;

	do {
		wakes = b->wakes;
		bus_run(b);
		for (unsigned i = 0; i < b->worker_count; i++)
			bus_run_worker(b, b->worker[i]);
	} while (b->wakes != wakes);
}

/* ---- messages --------------------------------------------------------------------------------- */

uint16_t bus_post(struct testbus *b, uint32_t connection, const void *msg, size_t len)
{
	return hvs_vmbus_post_message(b->bus, connection, 1, msg, len);
}

void bus_send(struct testbus *b, const void *msg, size_t len)
{
	b->now_ns += 100000000; /* reports of faults are limited in rate */
	cr_assert_eq(bus_post(b, 1, msg, len), HVS_HV_STATUS_SUCCESS);
	bus_run(b);
}

static const struct bus_post *any_post(struct testbus *b)
{
	const struct bus_post *p = &b->posts[b->taken];

	cr_assert_lt(b->taken, b->posted, "no message");
	b->taken++;
	cr_assert_eq(p->type, 1);
	return p;
}

static const struct bus_post *next_post(struct testbus *b)
{
	const struct bus_post *p = any_post(b);

	cr_assert_eq(p->sint, 2);
	return p;
}

void bus_expect(struct testbus *b, const void *msg, size_t len)
{
	const struct bus_post *p = next_post(b);

	cr_assert_eq(p->bytes[0], *(const uint8_t *)msg, "message %u instead of %u", p->bytes[0],
		     *(const uint8_t *)msg);
	cr_assert_eq(p->len, len);
	cr_assert_arr_eq(p->bytes, msg, len);
}

const uint8_t *bus_take(struct testbus *b, uint32_t type, size_t len)
{
	const struct bus_post *p = next_post(b);

	cr_assert_eq(p->bytes[0], type, "message %u instead of %u", p->bytes[0], type);
	cr_assert_eq(p->len, len);
	return p->bytes;
}

const struct bus_post *bus_take_post(struct testbus *b, uint32_t type, size_t len)
{
	const struct bus_post *p = any_post(b);

	cr_assert_eq(p->bytes[0], type, "message %u instead of %u", p->bytes[0], type);
	cr_assert_eq(p->len, len);
	return p;
}

void bus_expect_nothing(struct testbus *b)
{
	cr_assert_eq(b->posted, b->taken, "unexpected message %u", b->posts[b->taken].bytes[0]);
}

void bus_expect_fault(struct testbus *b, enum hvs_fault_code code, uint32_t channel)
{
	cr_assert_eq(b->faults, 1, "%u faults", b->faults);
	cr_assert_eq(b->last_fault, code, "%s instead of %s", hvs_fault_name(b->last_fault),
		     hvs_fault_name(code));
	cr_assert_eq(b->fault_channel, channel);
	b->faults = 0;
}

void bus_no_fault(struct testbus *b)
{
	cr_assert_eq(b->faults, 0, "%s", hvs_fault_name(b->last_fault));
}

/* ---- stories ---------------------------------------------------------------------------------- */

void bus_contact(struct testbus *b, uint32_t version, uint32_t connection)
{
	struct hvsi_msg_initiate_contact msg = {.h = hvsi_msg_header(HVSI_MSG_INITIATE_CONTACT),
						.version = hvsi_le32(version)};

	if (version >= V(5, 0))
		msg.sint = 2;
	cr_assert_eq(bus_post(b, connection, &msg, sizeof(msg)), HVS_HV_STATUS_SUCCESS);
	bus_run(b);
}

void bus_connect(struct testbus *b, uint32_t version)
{
	struct hvsi_msg_version_response_6_0 want = {
		.r.h = hvsi_msg_header(HVSI_MSG_VERSION_RESPONSE),
		.r.supported = 1,
		.r.selected = hvsi_le32(version >= V(5, 0) ? 1 : version)};

	bus_contact(b, version, version >= V(5, 0) ? 4 : 1);
	bus_expect(b, &want, version >= V(6, 0) ? sizeof(want) : sizeof(want.r));
	cr_assert_eq(hvs_vmbus_guest_version(b->bus), version);
}

void bus_offers(struct testbus *b, unsigned count)
{
	struct hvsi_msg request = hvsi_msg_header(HVSI_MSG_REQUESTOFFERS);
	struct hvsi_msg all = hvsi_msg_header(HVSI_MSG_ALLOFFERS_DELIVERED);

	bus_send(b, &request, sizeof(request));
	for (unsigned i = 0; i < count; i++)
		bus_take(b, HVSI_MSG_OFFERCHANNEL,
			 hvs_vmbus_guest_version(b->bus) < V(1, 1) ? 190 : 196);
	bus_expect(b, &all, sizeof(all));
}

void bus_send_gpadl(struct testbus *b, uint32_t relid, uint32_t id, uint32_t first, uint32_t pages)
{
	struct hvsi_msg_gpadl_header h = {.h = hvsi_msg_header(HVSI_MSG_GPADL_HEADER),
					  .relid = hvsi_le32(relid),
					  .gpadl_id = hvsi_le32(id),
					  .range_bytes = hvsi_le16((uint16_t)(8 + pages * 8)),
					  .range_count = hvsi_le16(1)};
	struct hvsi_msg_gpadl_body body = {.h = hvsi_msg_header(HVSI_MSG_GPADL_BODY),
					   .gpadl_id = hvsi_le32(id)};
	struct hvs_le32 range[2] = {hvsi_le32(pages * 4096u), hvsi_le32(0)};
	uint8_t buf[240];
	size_t len = sizeof(h) + sizeof(range);

	memcpy(buf, &h, sizeof(h));
	memcpy(buf + sizeof(h), range, sizeof(range));
	for (uint32_t i = 0; i < pages; i++) {
		struct hvs_le64 pfn = hvsi_le64(BUS_PFN(first + i));

		if (len + 8 > sizeof(buf)) {
			bus_send(b, buf, len);
			memcpy(buf, &body, sizeof(body));
			len = sizeof(body);
		}
		memcpy(buf + len, &pfn, 8);
		len += 8;
	}
	bus_send(b, buf, len);
}

void bus_expect_created(struct testbus *b, uint32_t relid, uint32_t id, uint32_t status)
{
	struct hvsi_msg_gpadl_created want = {.h = hvsi_msg_header(HVSI_MSG_GPADL_CREATED),
					      .relid = hvsi_le32(relid),
					      .gpadl_id = hvsi_le32(id),
					      .status = hvsi_le32(status)};

	bus_expect(b, &want, sizeof(want));
}

void bus_gpadl(struct testbus *b, uint32_t relid, uint32_t id, uint32_t first, uint32_t pages)
{
	bus_send_gpadl(b, relid, id, first, pages);
	bus_expect_created(b, relid, id, 0);
}

void bus_teardown(struct testbus *b, uint32_t relid, uint32_t id)
{
	struct hvsi_msg_gpadl_teardown msg = {.h = hvsi_msg_header(HVSI_MSG_GPADL_TEARDOWN),
					      .relid = hvsi_le32(relid),
					      .gpadl_id = hvsi_le32(id)};

	bus_send(b, &msg, sizeof(msg));
}

void bus_expect_torndown(struct testbus *b, uint32_t id)
{
	struct hvsi_msg_gpadl_torndown want = {.h = hvsi_msg_header(HVSI_MSG_GPADL_TORNDOWN),
					       .gpadl_id = hvsi_le32(id)};

	bus_expect(b, &want, sizeof(want));
}

struct hvsi_msg_open bus_open_msg(uint32_t relid, uint32_t open_id, uint32_t gpadl, uint32_t vp,
				  uint32_t split)
{
	return (struct hvsi_msg_open){.h = hvsi_msg_header(HVSI_MSG_OPENCHANNEL),
				      .relid = hvsi_le32(relid),
				      .open_id = hvsi_le32(open_id),
				      .gpadl_id = hvsi_le32(gpadl),
				      .target_vp = hvsi_le32(vp),
				      .downstream_page = hvsi_le32(split)};
}

void bus_expect_opened(struct testbus *b, uint32_t relid, uint32_t open_id, uint32_t status)
{
	struct hvsi_msg_open_result want = {.h = hvsi_msg_header(HVSI_MSG_OPENCHANNEL_RESULT),
					    .relid = hvsi_le32(relid),
					    .open_id = hvsi_le32(open_id),
					    .status = hvsi_le32(status)};

	bus_expect(b, &want, sizeof(want));
}

void bus_close(struct testbus *b, uint32_t relid)
{
	struct hvsi_msg_relid msg = {.h = hvsi_msg_header(HVSI_MSG_CLOSECHANNEL),
				     .relid = hvsi_le32(relid)};

	bus_send(b, &msg, sizeof(msg));
}

void bus_unload(struct testbus *b)
{
	struct hvsi_msg msg = hvsi_msg_header(HVSI_MSG_UNLOAD);

	bus_send(b, &msg, sizeof(msg));
}

void bus_open_first(struct testbus *b, uint32_t version, uint32_t pages, uint32_t split)
{
	struct hvsi_msg_open open = bus_open_msg(1, 77, 1, 0, split);

	bus_connect(b, version);
	bus_offers(b, 1);
	bus_gpadl(b, 1, 1, OPEN_FIRST_PAGE, pages);
	bus_send(b, &open, sizeof(open));
	bus_expect_opened(b, 1, 77, 0);
	bus_no_fault(b);
}

/* ---- device ----------------------------------------------------------------------------------- */

static int dev_open(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		    void **ctx)
{
	struct testdev *d = dev;

	d->opens++;
	d->params = *params;
	if (d->open_result)
		return d->open_result;
	d->ch = ch;
	*ctx = d;
	for (unsigned i = 0; i < d->kicks_in_open; i++)
		hvs_channel_kick(ch);
	return 0;
}

static bool pay(struct testdev *d)
{
	uint8_t payload[8] = {0};
	const struct iovec iov = {payload, sizeof(payload)};

	if (!d->owes)
		return true;
	d->last_send = hvs_channel_complete(d->ch, d->owed, &iov, 1);
	d->owes = d->last_send == -EAGAIN;
	return !d->owes;
}

static bool dev_ready(struct hvs_channel *ch, void *ctx, unsigned budget)
{
	struct testdev *d = ctx;
	const struct hvs_packet *pkt;
	unsigned taken = 0;

	cr_assert_eq(ch, d->ch);
	d->readies++;
	d->last_budget = budget;
	if (d->on_ready)
		d->on_ready(d);
	if (d->ignore_ring || !pay(d))
		return false;
	while (taken < budget) {
		d->last_recv = hvs_channel_recv(ch, &pkt);
		if (d->last_recv != 1)
			return false;
		taken++;
		d->xid[d->received % DEV_PACKETS] = pkt->xid;
		d->len[d->received % DEV_PACKETS] = pkt->len;
		d->first_byte[d->received % DEV_PACKETS] =
			pkt->len ? *(const uint8_t *)pkt->data : 0;
		d->received++;
		if (d->echo && pkt->wants_completion) {
			struct iovec iov = {(void *)(uintptr_t)pkt->data, pkt->len};

			d->last_send = hvs_channel_complete(ch, pkt->xid, &iov, 1);
			if (d->last_send == -EAGAIN && d->stop_at_full) {
				d->owed = pkt->xid;
				d->owes = true;
				return false;
			}
		}
	}
	return true;
}

static void dev_close(struct hvs_channel *ch, void *ctx)
{
	struct testdev *d = ctx;
	const struct hvs_packet *pkt;

	d->closes++;
	cr_assert_eq(hvs_channel_recv(ch, &pkt), -ESHUTDOWN);
	cr_assert_eq(hvs_channel_send(ch, 0, false, NULL, 0), -ESHUTDOWN);
	if (!d->hold_close)
		hvs_channel_closed(ch);
}

static void dev_destroy(void *dev)
{
	((struct testdev *)dev)->destroys++;
}

void dev_offer(struct testbus *b, struct testdev *d, uint8_t number, struct hvs_worker *worker)
{
	static const struct hvs_vsp_ops ops = {HVS_VSP_OPS_INIT, .open = dev_open,
					       .ready = dev_ready, .close = dev_close,
					       .destroy = dev_destroy};
	struct hvs_offer offer = {HVS_OFFER_INIT, .flags = d->flags, .class_id = {{0xc0}},
				  .instance_id = {{0x10, number}}, .worker = worker};

	d->b = b;
	cr_assert_eq(hvs_device_offer(b->bus, &offer, &ops, d, &d->device), 0);
}

/* ---- rings ------------------------------------------------------------------------------------ */

void rings_attach(struct testbus *b, struct guest_rings *r, uint32_t first, uint32_t split,
		  uint32_t pages)
{
	uint8_t *up = b->ram + first * 4096u;
	uint8_t *down = up + split * 4096u;
	struct hvsi_ringmem out = {.ctl = hvsi_guest_from_host(up),
				   .flat = hvsi_guest_from_host(up + 4096),
				   .size = (split - 1) * 4096u};
	struct hvsi_ringmem in = {.ctl = hvsi_guest_from_host(down),
				  .flat = hvsi_guest_from_host(down + 4096),
				  .size = (pages - split - 1) * 4096u};

	r->send_ctl = (uint32_t *)(void *)up;
	r->recv_ctl = (uint32_t *)(void *)down;
	r->send_data = up + 4096;
	r->recv_data = down + 4096;
	cr_assert_eq(hvsi_ring_out_open(&r->out, &out), 0);
	cr_assert_eq(hvsi_ring_in_open(&r->in, &in), 0);
	cr_assert(hvsi_ring_in_sleep(&r->in));
}

bool rings_send(struct guest_rings *r, uint64_t xid, uint8_t byte)
{
	const struct hvsi_descriptor desc = {.type = HVS_PACKET_INBAND, .flags = 1, .xid = xid};
	uint8_t payload[8] = {byte};
	const struct iovec iov = {payload, sizeof(payload)};

	cr_assert_eq(hvsi_ring_write(&r->out, &desc, NULL, 0, &iov, 1), 0);
	return hvsi_ring_publish(&r->out);
}
