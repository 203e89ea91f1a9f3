/* SPDX-License-Identifier: MIT */
/*
 * The guest end of integration components: it takes the host's messages, agrees upon versions, and
 * hands on the rest to be answered. A channel is opened with hvs_guest_channel_open().
 */
#ifndef HVSTACK_GUEST_IC_H
#define HVSTACK_GUEST_IC_H

#include <hvstack/guest/guest.h>
#include <hvstack/ic.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The offer of a service of this kind, by its class; NULL: the host offers none. */
HVS_API const struct hvs_guest_offer *hvs_guest_ic_offer(const struct hvs_guest *g,
							 enum hvs_ic_kind kind);

/* A message of the host; a private copy. Layout fixed. */
struct hvs_guest_ic_message {
	uint16_t type;              /* 0: negotiation; else enum hvs_ic_kind */
	uint8_t transaction;        /* the host's number of the request */
	uint8_t flags;              /* 1: transaction, 2: request, 4: response */
	uint32_t framework_version; /* (major << 16) | minor */
	uint32_t service_version;   /* (major << 16) | minor */
	uint32_t status;
	uint32_t len;        /* of body, in bytes */
	const uint8_t *body; /* valid until the next receive on any channel */
};

/* 1: *msg is the next message; 0: none; -EPROTO (not an IC message). */
HVS_API HVS_NODISCARD int hvs_guest_ic_recv(struct hvs_guest_channel *ch,
					    struct hvs_guest_ic_message *msg);
/* The same, but wait for one. 1, -ETIMEDOUT, -EPROTO. */
HVS_API HVS_NODISCARD int hvs_guest_ic_recv_wait(struct hvs_guest_channel *ch,
						 struct hvs_guest_ic_message *msg);

/* Answer a message: header as it came, marked as an answer, with this status and body; and flush.
 * 0, -EAGAIN (ring full), -EMSGSIZE, -EPROTO. */
HVS_API HVS_NODISCARD int hvs_guest_ic_reply(struct hvs_guest_channel *ch,
					     const struct hvs_guest_ic_message *msg,
					     uint32_t status, const void *body, uint32_t len);
/* For tests: a message with a header of one's own. */
HVS_API HVS_NODISCARD int hvs_guest_ic_send(struct hvs_guest_channel *ch,
					    const struct hvs_guest_ic_message *msg);

/*
 * Wait for the host's versions, and choose: the highest of both lists, or, if `exact`, the first of
 * versions[] that the host has; nothing in common is answered with 0 versions, as Linux does. frameworks
 * are 1.0 and 3.0. Returns the service's version, 0 (nothing in common), -ETIMEDOUT, -EPROTO.
 */
HVS_API HVS_NODISCARD int64_t hvs_guest_ic_negotiate(struct hvs_guest_channel *ch,
						     const uint32_t *versions, unsigned count,
						     bool exact);

#ifdef __cplusplus
}
#endif
#endif
