/* SPDX-License-Identifier: MIT */
#include "fuzz_ic_common.h"

#include "race.h"

#include "ic/proto.h"

#include <errno.h>

#define RAM_GPA 0x100000u
#define RAM_BYTES ((size_t)64 * 4096)
#define RING_BYTES 12288u
#define STEPS 100u
#define REPLACEMENTS 3u /* they take their time */
#define WAITING_MAX 80u /* requests; those that are urgent come on top of 64 */

void fuzz_ic_done(void *arg, int status, uint32_t guest_status)
{
	struct fuzz_ic *f = arg;

	CHECK(status <= 0);
	CHECK(status == -EREMOTEIO || !guest_status);
	f->ended++;
	CHECK(f->ended <= f->asked);
}

/* ---- the host ------------------------------------------------------------------------------- */

static void look(struct fuzz_ic *f)
{
	struct hvs_ic_status s = {HVS_IC_STATUS_INIT};

	if (!f->ic)
		return;
	CHECK(hvs_ic_get_status(f->ic, &s) == 0);
	CHECK(s.kind == f->service->kind && s.waiting <= WAITING_MAX);
	CHECK(!s.ready || s.open);
	CHECK(s.ready == (s.service_version != 0) && s.ready == (s.framework_version != 0));
	CHECK(s.service_version <= f->cfg.max_version || !f->cfg.max_version);
	CHECK(s.open || s.primary == HVS_IC_NO_CONTACT || s.primary == HVS_IC_LOST_COMMUNICATION);
	CHECK(s.ready || !s.waiting);
	if (f->service->look)
		f->service->look(f);
}

static void event(void *arg, struct hvs_ic *ic, enum hvs_ic_event number)
{
	struct fuzz_ic *f = arg;

	/* The first ones come before hvs_ic_create() has returned to us, and those of services while
	 * they deal with their requests. */
	if (f->ic == ic && number == HVS_IC_EVENT_STATUS)
		look(f);
}

static int offer(void *arg, struct hvs_vmbus *bus)
{
	struct fuzz_ic *f = arg;
	const struct hvs_ic_ops ops = {HVS_IC_OPS_INIT, .event = event,
				       .sample_time = f->service->sample_time};

	f->ic = NULL;
	return hvs_ic_create(bus, &f->cfg, &ops, f, &f->ic);
}

static void gone(void *arg, int status)
{
	struct fuzz_ic *f = arg;

	CHECK(status == 0);
	f->gone++;
	CHECK(f->gone <= f->removed);
}

static void take_away(struct fuzz_ic *f)
{
	struct hvs_ic *ic = f->ic;

	if (!ic)
		return;
	f->ic = NULL;
	f->removed++;
	CHECK(hvs_ic_destroy(ic, gone, f) == 0);
}

/* False: the machine can only be freed. */
static bool replace(struct fuzz_ic *f)
{
	if (f->replaced++ >= REPLACEMENTS || !f->ic)
		return true;
	return hvs_loopback_replace_host(f->lb, 0, offer, f) == 0;
}

static void ask(struct fuzz_ic *f, struct input *in)
{
	int err;

	if (!f->ic || !f->service->ask)
		return;
	f->asked++; /* done does not run inside, but may look at it any time */
	err = f->service->ask(f, in);
	CHECK(err <= 0);
	if (err)
		f->asked--;
}

/* ---- the guest ------------------------------------------------------------------------------ */

static void close_channel(struct fuzz_ic *f)
{
	if (f->ch)
		(void)hvs_guest_channel_close(f->ch);
	f->ch = NULL;
	f->has_message = false;
}

static void open_channel(struct fuzz_ic *f)
{
	const struct hvs_guest_offer *o = hvs_guest_ic_offer(f->guest, f->service->kind);

	if (!f->ch && o && hvs_guest_channel_open(f->guest, o, RING_BYTES, &f->ch) != 0)
		f->ch = NULL;
}

static void take_message(struct fuzz_ic *f)
{
	struct hvs_guest_ic_message msg;

	if (!f->ch || hvs_guest_ic_recv(f->ch, &msg) != 1 || msg.len > sizeof(f->body))
		return;
	f->has_message = true;
	f->msg = msg;
	memcpy(f->body, msg.body, msg.len);
	f->msg.body = f->body;
}

/* Right versions, if the message is about versions: which ones, the input says. */
static uint32_t choose_versions(struct fuzz_ic *f, struct input *in, uint8_t *body)
{
	const struct fuzz_ic_service *s = f->service;
	const struct {
		struct hvsi_ic_negotiation counts;
		struct hvsi_ic_version versions[2];
	} answer = {
		.counts = {.framework_count = hvsi_le16(1), .service_count = hvsi_le16(1)},
		.versions[0] = hvsi_ic_version(HVSI_IC_FRAMEWORK_3),
		.versions[1] = hvsi_ic_version(s->versions[input_number(in, 1) % s->version_count]),
	};

	memcpy(body, &answer, sizeof(answer));
	return sizeof(answer);
}

static void spoil(struct input *in, uint8_t *body, uint32_t *len)
{
	unsigned changes = input_number(in, 1) % 16;

	while (changes--) {
		uint32_t at = (uint32_t)input_number(in, 2);
		uint8_t byte = (uint8_t)input_number(in, 1);

		if (at < *len)
			body[at] = byte;
		else if (byte & 1)
			*len = at % (FUZZ_IC_BODY / 2);
	}
}

/* Answer the last message, once more perhaps. */
static void answer(struct fuzz_ic *f, struct input *in, bool spoiled)
{
	static uint8_t body[FUZZ_IC_BODY];
	struct hvs_guest_ic_message reply = f->msg;
	uint32_t len = f->msg.len;

	if (!f->ch || !f->has_message)
		return;
	memcpy(body, f->body, len);
	if (reply.type == HVSI_IC_NEGOTIATE)
		len = choose_versions(f, in, body);
	else if (f->service->answer)
		len = f->service->answer(f, in, body, len);
	reply.status = 0;
	reply.flags = HVSI_IC_TRANSACTION | HVSI_IC_RESPONSE;
	if (spoiled) {
		uint8_t what = (uint8_t)input_number(in, 1);

		spoil(in, body, &len);
		reply.status = what & 1 ? (uint32_t)input_number(in, 4) : 0;
		reply.transaction = what & 2 ? (uint8_t)input_number(in, 1) : reply.transaction;
		reply.type = what & 4 ? (uint16_t)input_number(in, 1) : reply.type;
		reply.flags = what & 8 ? (uint8_t)input_number(in, 1) : reply.flags;
	}
	reply.body = body;
	reply.len = len;
	(void)!hvs_guest_ic_send(f->ch, &reply);
}

static void send_bytes(struct fuzz_ic *f, struct input *in, bool completion)
{
	uint8_t bytes[256];
	size_t len = input_number(in, 1);
	const struct iovec iov = {bytes, len};

	input_bytes(in, bytes, len);
	if (!f->ch)
		return;
	if (completion)
		(void)!hvs_guest_complete(f->ch, 1, &iov, 1);
	else
		(void)!hvs_guest_send(f->ch, 1, len & 1, NULL, &iov, 1);
	hvs_guest_flush(f->ch);
}

static void scribble(struct fuzz_ic *f, struct input *in)
{
	const size_t at = input_number(in, 2);
	const uint8_t byte = (uint8_t)input_number(in, 1);
	size_t len;
	uint8_t *rings;

	if (!f->ch)
		return;
	rings = hvs_guest_channel_rings(f->ch, &len);
	rings[at % len] = byte;
	hvs_guest_flush(f->ch);
}

/* ---- steps ---------------------------------------------------------------------------------- */

static bool act(struct fuzz_ic *f, struct input *in)
{
	switch (input_number(in, 1) % 16) {
	case 0:
		hvs_loopback_run(f->lb);
		break;
	case 1:
		take_message(f);
		break;
	case 2: /* what a driver does */
		hvs_loopback_run(f->lb);
		take_message(f);
		answer(f, in, false);
		hvs_loopback_run(f->lb);
		break;
	case 3:
		answer(f, in, true);
		break;
	case 4:
		hvs_loopback_advance(f->lb, input_number(in, 2) * 10000000);
		break;
	case 5:
	case 6:
		ask(f, in);
		break;
	case 7:
		if (f->ic)
			(void)hvs_ic_cancel(f->ic, f);
		break;
	case 8:
		send_bytes(f, in, false);
		break;
	case 9:
		send_bytes(f, in, true);
		break;
	case 10:
		close_channel(f);
		break;
	case 11:
		open_channel(f);
		break;
	case 12:
		scribble(f, in);
		break;
	case 13:
		return replace(f);
	case 14:
		take_away(f);
		break;
	default:
		hvs_loopback_step(f->lb, (unsigned)input_number(in, 1));
	}
	return true;
}

static void start(struct fuzz_ic *f)
{
	CHECK(hvs_loopback_start(f->lb, &f->guest) == 0);
	CHECK(hvs_guest_connect(f->guest, 0x50003) == 0);
	CHECK(hvs_guest_request_offers(f->guest) == 1);
	open_channel(f);
	CHECK(f->ch);
}

int fuzz_ic_run(const struct fuzz_ic_service *service, const uint8_t *data, size_t size)
{
	const struct hvs_loopback_config cfg = {HVS_LOOPBACK_CONFIG_INIT, .ram_bytes = RAM_BYTES};
	static struct fuzz_ic f;
	struct input in = {data, size};
	uint8_t *page;
	uint64_t gpa;

	f = (struct fuzz_ic){.service = service,
			     .cfg = {HVS_IC_CONFIG_INIT, .kind = service->kind}};
	race_take(&in);
	if (service->configure)
		service->configure(&f.cfg, (uint8_t)input_number(&in, 1));
	CHECK(!hvs_loopback_create(&cfg, &f.lb) && !offer(&f, hvs_loopback_bus(f.lb)));
	start(&f);
	CHECK((page = hvs_loopback_alloc_pages(f.lb, 1, &gpa)) != NULL);
	race_start(page - (gpa - RAM_GPA), RAM_BYTES);
	for (unsigned i = 0; i < STEPS && input_more(&in) && act(&f, &in); i++)
		look(&f);
	f.ic = NULL;
	hvs_loopback_destroy(f.lb);
	CHECK(f.ended == f.asked);
	return 0;
}
