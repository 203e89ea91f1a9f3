/* SPDX-License-Identifier: MIT */
#include "guest.h"

#include "runtime.h"

#include <hvstack/guest/ic.h>
#include <hvstack/guest/network.h>
#include <hvstack/guest/storage.h>

#include <string.h>

#define RING (16u << 10)
#define DATA 4096u /* blocks 8 to 15 */

static struct host host;
static struct hvs_loopback *lb;
static struct hvs_guest *guest;
static struct hvs_guest_channel *disk, *beat;
static struct hvs_guest_net *net;
static unsigned came_back; /* frames */

static const struct {
	unsigned char to[6], from[6], payload[FRAME_BYTES - 12];
} frame = {{0x02}, NET_MAC, {0x88, 0xb5, 42}}; /* a type for experiments */

bool guest_connects(void)
{
	const struct hvs_loopback_config cfg = {HVS_LOOPBACK_CONFIG_INIT, .ram_bytes = 2u << 20,
						.alloc = heap};

	return !hvs_loopback_create(&cfg, &lb) && !host_offer(&host, hvs_loopback_bus(lb)) &&
	       !hvs_loopback_start(lb, &guest) && !hvs_guest_connect(guest, 6u << 16) &&
	       hvs_guest_request_offers(guest) == 3;
}

static struct hvs_guest_channel *open_channel(const struct hvs_guest_offer *offer)
{
	struct hvs_guest_channel *ch;

	return offer && !hvs_guest_channel_open(guest, offer, RING, &ch) ? ch : NULL;
}

static const struct hvs_guest_offer *offer_of(uint8_t instance)
{
	static const struct hvs_guid zero;
	const struct hvs_guest_offer *o = NULL;

	for (unsigned i = 0; (o = hvs_guest_offer_at(guest, i)) != NULL; i++)
		if (o->instance_id.b[0] == instance &&
		    memcmp(o->instance_id.b + 1, zero.b, sizeof(zero) - 1) == 0)
			break;
	return o;
}

/* READ(10) or WRITE(10) */
static bool transfer(bool write, uint64_t gpa)
{
	const struct hvs_guest_scsi cmd = {.cdb_len = 10,
					   .cdb = {write ? 0x2a : 0x28, [5] = 8, [8] = DATA / 512},
					   .direction =
						   write ? HVS_GUEST_STOR_OUT : HVS_GUEST_STOR_IN,
					   .buffer = {.gpa = gpa, .len = DATA}};
	struct hvs_guest_scsi_result r;

	return !hvs_guest_stor_execute(disk, &cmd, &r) && r.srb_status == 1;
}

bool guest_uses_disk(void)
{
	uint32_t max_transfer;
	uint64_t gpa[2];
	uint8_t *out = hvs_loopback_alloc_pages(lb, 1, &gpa[0]);
	uint8_t *in = hvs_loopback_alloc_pages(lb, 1, &gpa[1]);

	disk = open_channel(offer_of(DISK_INSTANCE));
	if (!out || !in || !disk || hvs_guest_stor_init(disk, 0x602, &max_transfer))
		return false;
	for (unsigned i = 0; i < DATA; i++)
		out[i] = (uint8_t)(i * 7 + i / 256);
	if (!transfer(true, gpa[0]))
		return false;
#ifdef SPOILED
	host.disk[8 * 512 + 1234] ^= 1;
#endif
	return transfer(false, gpa[1]) && memcmp(in, out, DATA) == 0;
}

static void received(void *arg, const struct hvs_guest_net_frame *f)
{
	(void)arg;
	came_back += f->len == FRAME_BYTES && memcmp(f->data, frame.from, 6) == 0 &&
		     memcmp(f->data + 12, frame.payload, sizeof(frame.payload)) == 0;
}

bool guest_exchanges_frame(unsigned number)
{
	const struct hvs_guest_net_packet packet = {.data = &frame, .len = FRAME_BYTES};

	if (!net || hvs_guest_net_send(net, 0, number, &packet, 1))
		return false;
	hvs_loopback_run(lb);
	return hvs_guest_net_poll(net) > 0 && host.frames == number && came_back == number;
}

bool guest_uses_network(void)
{
	const struct hvs_guest_net_config cfg = {HVS_GUEST_NET_CONFIG_INIT, .version = 0x60001,
						 .send_bytes = 64u << 10, .received = received};
	struct hvs_guest_channel *ch = open_channel(offer_of(NET_INSTANCE));

	return ch && !hvs_guest_net_open(ch, &cfg, &net) && !hvs_guest_net_initialize(net) &&
	       !hvs_guest_net_set_filter(net, 1) && guest_exchanges_frame(1);
}

bool guest_answers_beat(unsigned number)
{
	struct hvs_heartbeat_info info = {HVS_HEARTBEAT_INFO_INIT};
	struct hvs_guest_ic_message msg;
	uint8_t body[64];

	hvs_loopback_advance(lb, 2000000000u);
	if (!beat || hvs_guest_ic_recv_wait(beat, &msg) != 1 || msg.len > sizeof(body))
		return false;
	memcpy(body, msg.body, msg.len);
	body[0]++; /* its number */
	if (hvs_guest_ic_reply(beat, &msg, 0, body, msg.len))
		return false;
	hvs_loopback_run(lb);
	return !hvs_heartbeat_get_info(host.heartbeat, &info) && info.beats == number;
}

bool guest_has_heartbeat(void)
{
	const uint32_t version = 3u << 16;

	beat = open_channel(hvs_guest_ic_offer(guest, HVS_IC_HEARTBEAT));
	return beat && hvs_guest_ic_negotiate(beat, &version, 1, true) > 0 && guest_answers_beat(1);
}

/* A write index beyond the ring: the host must see it, and answer nothing there any more. */
bool guest_breaks_protocol(void)
{
	const struct hvs_loopback_counters *count = hvs_loopback_count(lb);
	const struct hvs_guest_scsi cmd = {.cdb_len = 6}; /* TEST UNIT READY */
	struct hvs_guest_scsi_result r;
	uint64_t id;
	size_t len;
	uint32_t *ring = disk ? hvs_guest_channel_rings(disk, &len) : NULL;

	if (!ring || count->faults)
		return false;
	*ring = 0xfffffff0;
	(void)!hvs_vmbus_signal_event(hvs_loopback_bus(lb), offer_of(DISK_INSTANCE)->connection_id,
				      0);
	hvs_loopback_run(lb);
	if (count->faults != 1 || count->last_fault != HVS_FAULT_RING_INDEX ||
	    hvs_guest_stor_submit(disk, 1, &cmd))
		return false;
	hvs_guest_flush(disk);
	hvs_loopback_run(lb);
	return count->faults == 1 && hvs_guest_stor_reap(disk, &id, &r) == 0;
}

void guest_ends(void)
{
	if (net)
		(void)hvs_guest_net_close(net, HVS_GUEST_NET_REVOKE);
	hvs_loopback_destroy(lb);
}
