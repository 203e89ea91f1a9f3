/* SPDX-License-Identifier: MIT */
/* The guest's side of integration components. */
#include "ic/proto.h"

#include "vsc/guest.h"

#include <hvstack/channel.h>
#include <hvstack/guest/ic.h>

#include <errno.h>

#define OFFERED_MAX 200u /* versions of one negotiation that are looked at */

static const uint32_t frameworks[] = {HVSI_IC_FRAMEWORK_1, HVSI_IC_FRAMEWORK_3};

static const struct hvs_guid *class_of(enum hvs_ic_kind kind)
{
	static const struct hvs_guid filecopy = HVSI_IC_FILECOPY_CLASS;
	static const struct hvs_guid heartbeat = HVSI_IC_HEARTBEAT_CLASS;
	static const struct hvs_guid kvp = HVSI_IC_KVP_CLASS;
	static const struct hvs_guid shutdown = HVSI_IC_SHUTDOWN_CLASS;
	static const struct hvs_guid timesync = HVSI_IC_TIMESYNC_CLASS;
	static const struct hvs_guid vss = HVSI_IC_VSS_CLASS;

	switch (kind) {
	case HVS_IC_HEARTBEAT:
		return &heartbeat;
	case HVS_IC_KVP:
		return &kvp;
	case HVS_IC_SHUTDOWN:
		return &shutdown;
	case HVS_IC_TIMESYNC:
		return &timesync;
	case HVS_IC_VSS:
		return &vss;
	case HVS_IC_FILECOPY:
		return &filecopy;
	}
	return NULL;
}

const struct hvs_guest_offer *hvs_guest_ic_offer(const struct hvs_guest *g, enum hvs_ic_kind kind)
{
	const struct hvs_guid *class_id = class_of(kind);
	const struct hvs_guest_offer *offer;

	for (unsigned i = 0; class_id && (offer = hvs_guest_offer_at(g, i)) != NULL; i++)
		if (hvsi_guid_equal(&offer->class_id, class_id))
			return offer;
	return NULL;
}

/* ---- messages ------------------------------------------------------------------------------- */

static int take(const struct hvs_guest_packet *pkt, struct hvs_guest_ic_message *msg)
{
	struct hvsi_ic_header head;

	if (pkt->type != HVS_PACKET_INBAND || pkt->len < sizeof(head))
		return -EPROTO;
	memcpy(&head, pkt->data, sizeof(head));
	if (hvsi_get16(head.body_bytes) > pkt->len - sizeof(head))
		return -EPROTO;
	*msg = (struct hvs_guest_ic_message){.type = hvsi_get16(head.type),
					     .transaction = head.transaction,
					     .flags = head.flags,
					     .framework_version =
						     hvsi_ic_get_version(head.framework),
					     .service_version = hvsi_ic_get_version(head.service),
					     .status = hvsi_get32(head.status),
					     .len = hvsi_get16(head.body_bytes),
					     .body = (const uint8_t *)pkt->data + sizeof(head)};
	return 1;
}

int hvs_guest_ic_recv(struct hvs_guest_channel *ch, struct hvs_guest_ic_message *msg)
{
	struct hvs_guest_packet pkt;
	int got = hvs_guest_recv(ch, &pkt);

	return got == 1 ? take(&pkt, msg) : got;
}

int hvs_guest_ic_recv_wait(struct hvs_guest_channel *ch, struct hvs_guest_ic_message *msg)
{
	struct hvs_guest_packet pkt;
	int got = hvs_guest_recv_wait(ch, &pkt);

	return got == 1 ? take(&pkt, msg) : got;
}

int hvs_guest_ic_send(struct hvs_guest_channel *ch, const struct hvs_guest_ic_message *msg)
{
	const struct hvsi_ic_header head = {
		.framework = hvsi_ic_version(msg->framework_version),
		.type = hvsi_le16(msg->type),
		.service = hvsi_ic_version(msg->service_version),
		.body_bytes = hvsi_le16((uint16_t)msg->len),
		.status = hvsi_le32(msg->status),
		.transaction = msg->transaction,
		.flags = msg->flags,
	};
	const struct iovec iov[] = {{(void *)(uintptr_t)&head, sizeof(head)},
				    {(void *)(uintptr_t)msg->body, msg->len}};
	int err;

	if (msg->len > UINT16_MAX)
		return -EMSGSIZE;
	err = hvs_guest_send(ch, 0, false, NULL, iov, 2);
	if (!err)
		hvs_guest_flush(ch);
	return err;
}

int hvs_guest_ic_reply(struct hvs_guest_channel *ch, const struct hvs_guest_ic_message *msg,
		       uint32_t status, const void *body, uint32_t len)
{
	struct hvs_guest_ic_message answer = *msg;

	answer.flags = HVSI_IC_TRANSACTION | HVSI_IC_RESPONSE;
	answer.status = status;
	answer.body = body;
	answer.len = len;
	return hvs_guest_ic_send(ch, &answer);
}

/* ---- versions ------------------------------------------------------------------------------- */

/* What the host has, from `first` on; count of them. */
struct offered {
	const uint8_t *first;
	unsigned count;
};

static bool has(const struct offered *o, uint32_t version)
{
	struct hvsi_ic_version v;

	for (unsigned i = 0; i < o->count; i++) {
		memcpy(&v, o->first + i * sizeof(v), sizeof(v));
		if (hvsi_ic_get_version(v) == version)
			return true;
	}
	return false;
}

/* 0: nothing in common. */
static uint32_t choose(const struct offered *o, const uint32_t *versions, unsigned count,
		       bool first)
{
	uint32_t best = 0;

	for (unsigned i = 0; i < count && !(first && best); i++)
		if (versions[i] > best && has(o, versions[i]))
			best = versions[i];
	return best;
}

static bool take_offered(const struct hvs_guest_ic_message *msg, struct offered *framework,
			 struct offered *service)
{
	struct hvsi_ic_negotiation head;

	if (msg->type != HVSI_IC_NEGOTIATE || msg->len < sizeof(head))
		return false;
	memcpy(&head, msg->body, sizeof(head));
	framework->first = msg->body + sizeof(head);
	framework->count = hvsi_get16(head.framework_count);
	service->count = hvsi_get16(head.service_count);
	if (framework->count + service->count > OFFERED_MAX ||
	    msg->len - sizeof(head) <
		    (framework->count + service->count) * sizeof(struct hvsi_ic_version))
		return false;
	service->first = framework->first + framework->count * sizeof(struct hvsi_ic_version);
	return true;
}

int64_t hvs_guest_ic_negotiate(struct hvs_guest_channel *ch, const uint32_t *versions,
			       unsigned count, bool exact)
{
	struct {
		struct hvsi_ic_negotiation head;
		struct hvsi_ic_version version[2];
	} body = {0};
	struct hvs_guest_ic_message msg = {0};
	struct offered framework;
	struct offered service;
	uint32_t chosen_framework;
	uint32_t chosen;
	int err = hvs_guest_ic_recv_wait(ch, &msg);

	if (err < 0)
		return err;
	if (!take_offered(&msg, &framework, &service))
		return -EPROTO;
	chosen_framework = choose(&framework, frameworks, 2, false);
	chosen = choose(&service, versions, count, exact);
	if (chosen_framework && chosen) {
		body.head.framework_count = hvsi_le16(1);
		body.head.service_count = hvsi_le16(1);
		body.version[0] = hvsi_ic_version(chosen_framework);
		body.version[1] = hvsi_ic_version(chosen);
	} else {
		chosen = 0;
	}
	err = hvs_guest_ic_reply(ch, &msg, 0, &body, sizeof(body));
	return err ? err : (int64_t)chosen;
}
