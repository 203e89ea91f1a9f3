/* SPDX-License-Identifier: MIT */
#include "ic-guest.h"

#include <hvstack/guest/ic.h>

#include <errno.h>
#include <string.h>

#define RING_BYTES 12288u

static const uint32_t versions[IC_GUEST_SERVICES] = {[HVS_IC_HEARTBEAT] = 3u << 16,
						     [HVS_IC_KVP] = 5u << 16,
						     [HVS_IC_VSS] = 5u << 16,
						     [HVS_IC_FILECOPY] = 1u << 16 | 1};

int ic_guest_boot(struct ic_guest *g, const enum hvs_ic_kind *kinds, unsigned count)
{
	struct hvs_guest *guest;
	int err = hvs_loopback_start(g->lb, &guest);

	if (!err)
		err = hvs_guest_connect(guest, 5u << 16 | 3);
	if (!err && hvs_guest_request_offers(guest) < (int)count)
		err = -ENODEV;
	for (unsigned i = 0; !err && i < count; i++) {
		struct hvs_guest_channel **ch = &g->ch[kinds[i]];

		err = hvs_guest_channel_open(guest, hvs_guest_ic_offer(guest, kinds[i]), RING_BYTES,
					     ch);
		if (!err && hvs_guest_ic_negotiate(*ch, &versions[kinds[i]], 1, true) <= 0)
			err = -EPROTO;
	}
	hvs_loopback_run(g->lb);
	return err;
}

/* An enumeration: u8 operation 3, u8 pool, at 4 u32 index, at 8 u32 type (1: string), u32 sizes of key
 * and value with their NUL, both in UTF-16: at 20 the key, at 532 the value. */
enum { KVP_BYTES = 2580, INDEX = 4, TYPE = 8, SIZES = 12, KEY = 20, VALUE = 532 };

static uint8_t put_text(uint8_t *field, const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		field[2 * i] = (uint8_t)text[i];
	return (uint8_t)(2 * len + 2);
}

static uint32_t answer_pair(const struct ic_guest *g, uint8_t *body)
{
	const uint8_t i = body[INDEX];

	if (i >= sizeof(g->pairs) / sizeof(g->pairs[0]) || !g->pairs[i][0])
		return HVS_IC_E_NO_MORE_ITEMS;
	body[TYPE] = 1;
	body[SIZES] = put_text(body + KEY, g->pairs[i][0]);
	body[SIZES + 4] = put_text(body + VALUE, g->pairs[i][1]);
	return HVS_IC_S_OK;
}

static void answer(struct ic_guest *g, struct hvs_guest_channel *ch)
{
	uint8_t body[KVP_BYTES] = {0};
	struct hvs_guest_ic_message msg;
	uint32_t status = HVS_IC_S_OK;

	while (hvs_guest_ic_recv(ch, &msg) == 1) {
		const uint32_t len = msg.len < KVP_BYTES ? msg.len : KVP_BYTES;

		memcpy(body, msg.body, len);
		if (msg.type == HVS_IC_HEARTBEAT)
			body[0]++; /* a number; the guest counts on */
		if (msg.type == HVS_IC_KVP)
			status = answer_pair(g, body);
		(void)!hvs_guest_ic_reply(ch, &msg, status, body, len);
		hvs_loopback_run(g->lb);
	}
}

void ic_guest_answer(struct ic_guest *g)
{
	hvs_loopback_run(g->lb);
	for (unsigned i = 0; !g->hangs && i < IC_GUEST_SERVICES; i++)
		if (g->ch[i])
			answer(g, g->ch[i]);
}
