/* SPDX-License-Identifier: MIT */
/* Frames from the guest: how they are carried, what is done with them, and what is malformed. */
#include "support/frame.h"
#include "support/nic.h"

#include <errno.h>
#include <stdlib.h>

#define PAGE 4096u
#define AREA 64u /* pages of guest memory for packets */

struct area {
	uint8_t *p;
	uint64_t gpa;
};

static struct nic *up(const struct nic_options *opt, struct area *area)
{
	struct nic_options usual = {.guest = {.send_bytes = 256u * 1024}, .ring_bytes = 1u << 18};
	struct nic *n = nic_new(opt ? opt : &usual);

	area->p = hvs_loopback_alloc_pages(n->lb, AREA, &area->gpa);
	cr_assert_not_null(area->p);
	return n;
}

static uint32_t build(void *to, const void *frame, uint32_t len,
		      const struct hvs_guest_net_ppi *ppi, unsigned ppis)
{
	const struct hvs_guest_net_packet p = {
		.data = frame, .len = len, .ppi = ppi, .ppi_count = ppis, .pad = 8};
	uint32_t got = hvs_guest_net_build(to, AREA * PAGE, &p);

	cr_assert_neq(got, 0);
	return got;
}

/* The status of what was sent last. */
static uint32_t status(struct nic *n)
{
	cr_assert_neq(n->done_count, 0);
	return n->done_status[n->done_count - 1];
}

static void transmit(struct nic *n, uint32_t section, uint32_t section_bytes,
		     const struct hvs_guest_buffer *ranges, unsigned count)
{
	unsigned done = n->done_count;

	cr_assert_eq(hvs_guest_net_transmit(n->drv, 0, done, section, section_bytes, ranges, count),
		     0);
	hvs_guest_flush(hvs_guest_net_channel(n->drv, 0));
	nic_run(n);
	cr_assert_eq(n->done_count, done + 1);
	cr_assert_eq(n->done[done], done);
}

/* The bytes at gpa, in one range. */
static void transmit_at(struct nic *n, uint64_t gpa, uint32_t len)
{
	const struct hvs_guest_buffer b = {.gpa = gpa, .len = len};

	transmit(n, HVS_GUEST_NET_NO_SECTION, 0, &b, 1);
}

static void expect_sent(struct nic *n, unsigned index, const void *bytes, uint32_t len)
{
	cr_assert_lt(index, n->net->sent_count);
	cr_assert_eq(n->net->sent[index].f.len, len, "%u", n->net->sent[index].f.len);
	cr_assert_arr_eq(n->net->sent[index].bytes, bytes, len);
}

/* ---- carriers --------------------------------------------------------------------------------- */

Test(net_transmit, frames_in_guest_pages_wherever_their_headers_are_divided)
{
	struct area a;
	struct nic *n = up(NULL, &a);
	uint8_t frame[1514];
	uint32_t len = nic_frame(frame, false, true, 1000, 5);

	for (uint32_t off = PAGE - 120; off <= PAGE; off += 4) {
		uint32_t bytes = build(a.p + off, frame, len, NULL, 0);

		transmit_at(n, a.gpa + off, bytes);
		cr_assert_eq(status(n), HVSI_NVSP_SUCCESS);
		expect_sent(n, n->net->sent_count - 1, frame, len);
	}
	nic_down(n);
}

Test(net_transmit, frames_in_many_ranges_and_behind_a_part_of_a_section)
{
	struct area a;
	struct nic *n = up(NULL, &a);
	uint8_t frame[1514];
	uint8_t packet[2048];
	uint32_t len = nic_frame(frame, false, false, 1400, 9);
	uint32_t bytes = build(packet, frame, len, NULL, 0);

	for (uint32_t piece = 1; piece <= 1400; piece = piece * 3 + 1) {
		for (uint32_t front = 0; front <= 300; front += 100) {
			struct hvs_guest_buffer ranges[2048];
			unsigned count = 0;

			memcpy(hvs_guest_net_section(n->drv, 3), packet, front);
			for (uint32_t at = front; at < bytes; at += piece, count++) {
				/* Each in a place of its own. */
				uint32_t place = count * (piece + 8) + count % 7;

				ranges[count].len = bytes - at < piece ? bytes - at : piece;
				if (place + piece > AREA * PAGE)
					break;
				memcpy(a.p + place, packet + at, ranges[count].len);
				ranges[count].gpa = a.gpa + place;
			}
			transmit(n, front ? 3 : HVS_GUEST_NET_NO_SECTION, front, ranges, count);
			cr_assert_eq(status(n), HVSI_NVSP_SUCCESS);
			expect_sent(n, n->net->sent_count - 1, frame, len);
		}
	}
	nic_down(n);
}

Test(net_transmit, one_in_4096_pieces_arrives)
{
	struct area a;
	struct nic *n = up(NULL, &a);
	struct hvs_guest_buffer *ranges = calloc(4096, sizeof(*ranges));
	const struct hvs_guest_net_ppi lso = {HVSI_PPI_LARGE_SEND,
					      HVSI_LSO_V2 | 34u << HVSI_LSO_L4_SHIFT | 1000};
	uint8_t *frame = malloc(1u << 16);
	uint32_t len = nic_frame(frame, false, true, 4000, 9);
	uint32_t bytes = build(a.p, frame, len, &lso, 1);
	uint8_t *scattered = a.p + (size_t)8 * PAGE;

	for (unsigned i = 0; i < 4096; i++) {
		ranges[i] =
			(struct hvs_guest_buffer){.gpa = a.gpa + 8ull * PAGE + 2ull * i, .len = 1};
		scattered[(size_t)2 * i] = a.p[i];
	}
	ranges[4095] = (struct hvs_guest_buffer){.gpa = a.gpa + 10ull * PAGE, .len = bytes - 4095};
	memcpy(a.p + (size_t)10 * PAGE, a.p + 4095, bytes - 4095);
	transmit(n, HVS_GUEST_NET_NO_SECTION, 0, ranges, 4096);
	cr_assert_eq(status(n), HVSI_NVSP_SUCCESS);
	cr_assert_eq(n->net->sent_count, 4);
	free(frame);
	free(ranges);
	nic_down(n);
}

Test(net_transmit, several_messages_in_a_packet_are_completed_once)
{
	struct area a;
	struct nic *n = up(NULL, &a);
	uint8_t frame[8][600];
	uint32_t len[8];
	uint32_t at = 0;

	for (unsigned i = 0; i < 8; i++) {
		len[i] = nic_frame(frame[i], false, i % 2, 10 + 50 * i, 3 * i);
		at += build(hvs_guest_net_section(n->drv, 1) + at, frame[i], len[i], NULL, 0);
	}
	n->net->hold = true;
	cr_assert_eq(hvs_guest_net_transmit(n->drv, 0, 0, 1, at, NULL, 0), 0);
	hvs_guest_flush(hvs_guest_net_channel(n->drv, 0));
	nic_run(n);
	cr_assert_eq(n->net->held_count, 8);
	cr_assert_eq(n->net->batches, 1);
	/* Not before the last one is done. */
	hvs_nic_tx_done(n->nic, n->net->held, 7, HVS_NET_OK);
	nic_run(n);
	cr_assert_eq(n->done_count, 0);
	hvs_nic_tx_done(n->nic, n->net->held + 7, 1, HVS_NET_OK);
	n->net->held_count = 0;
	nic_run(n);
	cr_assert_eq(n->done_count, 1);
	cr_assert_eq(status(n), HVSI_NVSP_SUCCESS);
	for (unsigned i = 0; i < 8; i++)
		expect_sent(n, i, frame[i], len[i]);
	nic_down(n);
}

Test(net_transmit, firmware_leaves_a_hole_before_the_data_and_names_another_channel_type)
{
	struct area a;
	struct nic *n = up(NULL, &a);
	struct hvsi_rndis_packet p = {.hdr = {.type = hvsi_le32(1)}};
	struct hvsi_nvsp m = {.type = hvsi_le32(HVSI_NVSP_RNDIS_PACKET),
			      .u.rndis = {.channel_type = hvsi_le32(2), .section = hvsi_le32(2)}};
	struct iovec iov = {&m, 28};
	uint8_t frame[1514];
	uint32_t len = nic_frame(frame, false, false, 300, 1);
	uint8_t *section = hvs_guest_net_section(n->drv, 2);

	p.hdr.len = hvsi_le32(52 + len);
	p.data_off = hvsi_le32(44);
	p.data_len = hvsi_le32(len);
	memcpy(section, &p, sizeof(p));
	memcpy(section + 52, frame, len);
	m.u.rndis.section_bytes = hvsi_le32(52 + len);
	cr_assert_eq(hvs_guest_send(hvs_guest_net_channel(n->drv, 0), 5, true, NULL, &iov, 1), 0);
	hvs_guest_flush(hvs_guest_net_channel(n->drv, 0));
	nic_run(n);
	expect_sent(n, 0, frame, len);
	nic_down(n);
}

/* ---- malformed -------------------------------------------------------------------------------- */

Test(net_transmit, sections_that_are_not_there_fail)
{
	struct area a;
	struct nic *n = up(NULL, &a);
	uint32_t count = n->info.section_count;
	const struct {
		uint32_t section;
		uint32_t bytes;
	} cases[] = {{count, 100},      {count + 1, 100}, {UINT32_MAX - 1, 100},
		     {0x80000000, 100}, {0, 6145},        {0, UINT32_MAX},
		     {count - 1, 6145}, {0, 0},           {0, 7}};
	uint64_t before = nic_counters(n).from_malformed;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		transmit(n, cases[i].section, cases[i].bytes, NULL, 0);
		cr_assert_neq(status(n), HVSI_NVSP_SUCCESS, "%zu", i);
	}
	cr_assert_eq(n->net->sent_count, 0);
	cr_assert_eq(nic_counters(n).from_malformed, before + sizeof(cases) / sizeof(cases[0]));
	nic_down(n);
}

Test(net_transmit, sections_without_a_send_buffer_fail_and_pages_work)
{
	const struct nic_options opt = {.guest = {.version = HVSI_NVSP_VERSION_1}};
	struct area a;
	struct nic *n = up(&opt, &a);
	uint8_t frame[100];
	uint32_t len = nic_frame(frame, false, false, 20, 1);

	transmit(n, 0, 100, NULL, 0);
	cr_assert_eq(status(n), HVSI_NVSP_FAILURE);
	transmit_at(n, a.gpa, build(a.p, frame, len, NULL, 0));
	cr_assert_eq(status(n), HVSI_NVSP_SUCCESS);
	expect_sent(n, 0, frame, len);
	nic_down(n);
}

Test(net_transmit, memory_that_is_none_fails)
{
	struct area a;
	struct nic *n = up(NULL, &a);

	transmit_at(n, 0xffff00000000ull, 200);
	cr_assert_eq(status(n), HVSI_NVSP_FAILURE);
	transmit_at(n, 0x1000, 200);
	cr_assert_eq(status(n), HVSI_NVSP_FAILURE);
	nic_down(n);
}

/* Word `word` of the header becomes value: is it refused? */
static void expect_refused(struct nic *n, struct area *a, unsigned word, uint32_t value,
			   uint32_t status_wanted)
{
	const struct hvs_guest_net_ppi ppi = {HVSI_PPI_CHECKSUM, 0};
	const struct hvs_le32 v = hvsi_le32(value);
	uint8_t frame[200];
	uint32_t len = nic_frame(frame, false, false, 100, 1);
	uint32_t bytes = build(a->p, frame, len, &ppi, 1);
	unsigned sent = n->net->sent_count;

	memcpy(a->p + 4 * (size_t)word, &v, 4);
	transmit_at(n, a->gpa, bytes);
	cr_assert_eq(status(n), status_wanted, "word %u = %#x: %u", word, value, status(n));
	if (status_wanted != HVSI_NVSP_SUCCESS)
		cr_assert_eq(n->net->sent_count, sent);
}

Test(net_transmit, headers_that_contradict_themselves_are_refused)
{
	static const uint32_t huge[] = {0x7fffffff, 0x80000000, 0xfffffff7, 0xfffffff8, UINT32_MAX};
	struct area a;
	struct nic *n = up(NULL, &a);

	for (size_t i = 0; i < sizeof(huge) / sizeof(huge[0]); i++)
		for (unsigned word = 1; word < 8; word++)
			if (word != 1 && (word < 4 || word > 6))
				expect_refused(n, &a, word, huge[i],
					       HVSI_NVSP_INVALID_RNDIS_PACKET);
	expect_refused(n, &a, 1, 43, HVSI_NVSP_INVALID_RNDIS_PACKET);
	expect_refused(n, &a, 1, 0, HVSI_NVSP_INVALID_RNDIS_PACKET);
	expect_refused(n, &a, 2, 35, HVSI_NVSP_INVALID_RNDIS_PACKET);
	expect_refused(n, &a, 3, 13, HVSI_NVSP_INVALID_RNDIS_PACKET);
	expect_refused(n, &a, 3, 0, HVSI_NVSP_INVALID_RNDIS_PACKET);
	expect_refused(n, &a, 7, 35, HVSI_NVSP_INVALID_RNDIS_PACKET);
	expect_refused(n, &a, 8, 257, HVSI_NVSP_INVALID_RNDIS_PACKET);
	expect_refused(n, &a, 8, UINT32_MAX, HVSI_NVSP_INVALID_RNDIS_PACKET);
	/* Per-packet information: its size. */
	for (uint32_t size = 0; size < 12; size++)
		expect_refused(n, &a, 11, size, HVSI_NVSP_INVALID_RNDIS_PACKET);
	expect_refused(n, &a, 11, 17, HVSI_NVSP_INVALID_RNDIS_PACKET);
	expect_refused(n, &a, 11, UINT32_MAX, HVSI_NVSP_INVALID_RNDIS_PACKET);
	/* Out-of-band data, connections, types that nobody knows: no matter. */
	for (unsigned word = 4; word < 7; word++)
		expect_refused(n, &a, word, UINT32_MAX, HVSI_NVSP_SUCCESS);
	expect_refused(n, &a, 9, 5, HVSI_NVSP_SUCCESS);
	expect_refused(n, &a, 12, 77, HVSI_NVSP_SUCCESS);
	expect_refused(n, &a, 13, UINT32_MAX, HVSI_NVSP_SUCCESS);
	nic_down(n);
}

Test(net_transmit, a_malformed_message_behind_good_ones_fails_the_packet)
{
	struct area a;
	struct nic *n = up(NULL, &a);
	uint8_t frame[100];
	uint32_t len = nic_frame(frame, false, false, 20, 1);
	uint32_t first = build(a.p, frame, len, NULL, 0);
	uint32_t second = build(a.p + first, frame, len, NULL, 0);

	a.p[first] = 5; /* a control message */
	transmit_at(n, a.gpa, first + second);
	cr_assert_eq(status(n), HVSI_NVSP_INVALID_RNDIS_PACKET);
	/* What is shorter than a header is padding. */
	transmit_at(n, a.gpa, first + 43);
	cr_assert_eq(status(n), HVSI_NVSP_SUCCESS);
	transmit_at(n, a.gpa, first + 44);
	cr_assert_eq(status(n), HVSI_NVSP_INVALID_RNDIS_PACKET);
	nic_down(n);
}

/* ---- offloads --------------------------------------------------------------------------------- */

static struct nic *with_offloads(uint32_t offloads, struct area *a)
{
	const struct nic_options opt = {.guest = {.send_bytes = 256u * 1024},
					.info = {.offloads = offloads},
					.ring_bytes = 1u << 18};

	return up(&opt, a);
}

/* A large frame as a guest gives it: the lengths of IP are 0, the checksum a seed without one. */
static uint32_t large(uint8_t *to, uint32_t payload)
{
	uint32_t len = nic_frame(to, false, true, payload, 7);
	uint8_t *ip = to + 14;
	uint16_t seed = test_pseudo(ip, TEST_TCP, 0);

	memset(ip + 2, 0, 2);
	memset(ip + 10, 0, 2);
	to[34 + 13] = TEST_ACK | TEST_PSH;
	hvsi_put_be16(to + 34 + 16, seed);
	return len;
}

Test(net_transmit, large_frames_are_cut_for_a_back_end_that_does_nothing)
{
	static const uint32_t mss[] = {1460, 536, 64, 9000};
	struct area a;
	struct nic *n = with_offloads(0, &a);
	static uint8_t frame[65536];

	for (size_t i = 0; i < sizeof(mss) / sizeof(mss[0]); i++) {
		const uint32_t payload = 40000;
		const struct hvs_guest_net_ppi ppi = {
			HVSI_PPI_LARGE_SEND, HVSI_LSO_V2 | 34u << HVSI_LSO_L4_SHIFT | mss[i]};
		uint32_t len = large(frame, payload);
		unsigned first = n->net->sent_count;
		uint32_t at = 0;

		transmit_at(n, a.gpa, build(a.p, frame, len, &ppi, 1));
		cr_assert_eq(status(n), HVSI_NVSP_SUCCESS);
		cr_assert_eq(n->net->sent_count - first, (payload + mss[i] - 1) / mss[i]);
		for (unsigned k = first; k < n->net->sent_count; k++) {
			const struct nic_sent *s = &n->net->sent[k % NIC_FRAMES];
			static struct test_frame got;
			const char *wrong = test_frame_check(s->bytes, s->f.len, true, &got);

			cr_assert_null(wrong, "%s", wrong);
			cr_assert_eq(s->f.flags, 0);
			cr_assert_arr_eq(s->bytes + 54, frame + 54 + at, s->f.len - 54);
			at += s->f.len - 54;
		}
		cr_assert_eq(at, payload);
	}
	nic_down(n);
}

/* Part of their payload is in the copy of the headers of what they were cut from. */
Test(net_transmit, segments_are_what_they_were_until_the_back_end_gives_them_back)
{
	const struct hvs_guest_net_ppi ppi = {HVSI_PPI_LARGE_SEND,
					      HVSI_LSO_V2 | 34u << HVSI_LSO_L4_SHIFT | 64};
	struct area a;
	struct nic *n = with_offloads(0, &a);
	uint8_t frame[1514];
	uint32_t bytes = build(a.p, frame, large(frame, 640), &ppi, 1);

	n->net->hold = true;
	cr_assert_eq(hvs_guest_net_transmit(n->drv, 0, 1, HVS_GUEST_NET_NO_SECTION, 0,
					    &(struct hvs_guest_buffer){a.gpa, bytes}, 1),
		     0);
	nic_run(n);
	for (unsigned i = 0; i < 3; i++)
		nic_send(n, 0, 2 + i, frame, nic_frame(frame, false, false, 300, 8 + i));
	nic_run(n);
	cr_assert_eq(n->net->held_count, 10 + 3);
	for (unsigned k = 0; k < n->net->held_count; k++) {
		const struct hvs_net_frame *f = n->net->held[k];
		uint32_t at = 0;

		for (unsigned i = 0; i < f->iovcnt; at += (uint32_t)f->iov[i++].iov_len)
			cr_assert_arr_eq((const uint8_t *)f->iov[i].iov_base,
					 n->net->sent[k].bytes + at, f->iov[i].iov_len, "frame %u",
					 k);
	}
	nic_finish(n);
	nic_down(n);
}

Test(net_transmit, large_frames_stay_whole_for_a_back_end_that_can)
{
	const struct hvs_guest_net_ppi ppi = {HVSI_PPI_LARGE_SEND,
					      HVSI_LSO_V2 | 34u << HVSI_LSO_L4_SHIFT | 1460};
	struct area a;
	struct nic *n = with_offloads(HVS_NET_CSUM | HVS_NET_TSO, &a);
	static uint8_t frame[65536];
	uint32_t len = large(frame, 60000);
	const struct hvs_net_frame *f;

	transmit_at(n, a.gpa, build(a.p, frame, len, &ppi, 1));
	cr_assert_eq(n->net->sent_count, 1);
	f = &n->net->sent[0].f;
	cr_assert_eq(f->flags, HVS_NET_CSUM | HVS_NET_TSO);
	cr_assert_eq(f->len, len);
	cr_assert_eq(f->mss, 1460);
	cr_assert_eq(f->l3_off, 14);
	cr_assert_eq(f->l4_off, 34);
	cr_assert_eq(f->payload_off, 54);
	cr_assert_eq(hvsi_get_be16(n->net->sent[0].bytes + 16), len - 14);
	nic_down(n);
}

Test(net_transmit, checksums_are_completed_or_left_to_the_back_end)
{
	const struct hvs_guest_net_ppi ppi = {HVSI_PPI_CHECKSUM,
					      HVSI_TX_CSUM_IP4 | HVSI_TX_CSUM_UDP |
						      34u << HVSI_TX_CSUM_L4_SHIFT};
	uint8_t right[1514];
	uint8_t frame[1514];
	uint32_t len = nic_frame(right, false, false, 500, 3);

	memcpy(frame, right, len);
	memset(frame + 40, 0xaa, 2); /* whatever the guest left there */
	for (unsigned can = 0; can < 2; can++) {
		struct area a;
		struct nic *n = with_offloads(can ? HVS_NET_CSUM : 0, &a);

		transmit_at(n, a.gpa, build(a.p, frame, len, &ppi, 1));
		cr_assert_eq(n->net->sent[0].f.flags, can ? HVS_NET_CSUM : 0);
		if (!can)
			expect_sent(n, 0, right, len);
		nic_down(n);
	}
}

Test(net_transmit, tags_go_beside_the_frame_or_into_it)
{
	/* Priority 3, VLAN 100. */
	const struct hvs_guest_net_ppi ppi = {HVSI_PPI_VLAN, 3 | 100 << 4};
	uint8_t frame[200];
	uint32_t len = nic_frame(frame, false, false, 100, 3);

	for (unsigned can = 0; can < 2; can++) {
		struct area a;
		struct nic *n = with_offloads(can ? HVS_NET_VLAN : 0, &a);
		const struct hvs_port_policy policy = {HVS_PORT_POLICY_INIT,
						       .flags = HVS_PORT_PRIORITY_TAG};
		const struct nic_sent *s = n->net->sent;

		cr_assert_eq(hvs_nic_set_policy(n->nic, &policy), 0);
		transmit_at(n, a.gpa, build(a.p, frame, len, &ppi, 1));
		cr_assert_eq(n->net->sent_count, 1);
		if (can) {
			cr_assert_eq(s->f.flags, HVS_NET_VLAN);
			cr_assert_eq(s->f.vlan_tci, 3 << 13 | 100);
			expect_sent(n, 0, frame, len);
		} else {
			cr_assert_eq(s->f.flags, 0);
			cr_assert_eq(s->f.len, len + 4);
			cr_assert_eq(hvsi_get_be32(s->bytes + 12), 0x81000000u | 3 << 13 | 100);
			cr_assert_arr_eq(s->bytes + 16, frame + 12, len - 12);
		}
		nic_down(n);
	}
}

Test(net_transmit, frames_above_the_back_ends_size_are_dropped_and_counted)
{
	const struct nic_options opt = {.info = {.mtu = 1500}};
	struct area a;
	struct nic *n = up(&opt, &a);
	uint8_t frame[2000];

	for (uint32_t payload = 1470; payload < 1476; payload++) {
		uint32_t len = nic_frame(frame, false, false, payload, 3);
		unsigned sent = n->net->sent_count;

		transmit_at(n, a.gpa, build(a.p, frame, len, NULL, 0));
		cr_assert_eq(status(n), HVSI_NVSP_SUCCESS);
		cr_assert_eq(n->net->sent_count, sent + (len <= 1514));
	}
	cr_assert_eq(nic_counters(n).from_malformed, 3);
	nic_down(n);
}

/* ---- policy ----------------------------------------------------------------------------------- */

Test(net_transmit, what_the_port_forbids_is_completed_and_not_sent)
{
	struct area a;
	struct nic *n = up(NULL, &a);
	struct hvs_port_policy policy = {HVS_PORT_POLICY_INIT, .flags = HVS_PORT_MAC_SPOOFING};
	uint8_t frame[200];
	uint32_t len = nic_frame(frame, false, false, 100, 3);

	frame[11] ^= 1; /* of the source address */
	transmit_at(n, a.gpa, build(a.p, frame, len, NULL, 0));
	cr_assert_eq(status(n), HVSI_NVSP_SUCCESS);
	cr_assert_eq(n->net->sent_count, 0);
	cr_assert_eq(nic_counters(n).port.mac_spoofing, 1);
	cr_assert_eq(hvs_nic_set_policy(n->nic, &policy), 0);
	transmit_at(n, a.gpa, build(a.p, frame, len, NULL, 0));
	cr_assert_eq(n->net->sent_count, 1);
	policy.max_bits_per_second = 1;
	cr_assert_eq(hvs_nic_set_policy(n->nic, &policy), -EINVAL);
	nic_down(n);
}

Test(net_transmit, a_bandwidth_limit_makes_the_guest_wait_and_drops_nothing)
{
	struct area a;
	struct nic *n = up(NULL, &a);
	const struct hvs_port_policy policy = {HVS_PORT_POLICY_INIT,
					       .max_bits_per_second = 1000000};
	uint8_t frame[1514];
	uint32_t len = nic_frame(frame, false, false, 1400, 3);
	unsigned sent;

	cr_assert_eq(hvs_nic_set_policy(n->nic, &policy), 0);
	for (unsigned i = 0; i < 200; i++)
		nic_send(n, 0, i % n->info.section_count, frame, len);
	hvs_loopback_run(n->lb);
	sent = n->net->sent_count;
	cr_assert_lt(sent, 200);
	/* 200 frames of 11.5 kbit are 2.3 s. A look at the clock is 2 ms. */
	for (unsigned i = 0; i < 2400000000u / 2000000u && n->done_count < 200; i++) {
		nic_run(n);
		hvs_loopback_advance(n->lb, 2000000);
	}
	cr_assert_eq(n->net->sent_count, 200);
	cr_assert_eq(n->done_count, 200);
	nic_down(n);
}

/* ---- back pressure ---------------------------------------------------------------------------- */

Test(net_transmit, no_more_than_1024_are_taken_from_the_ring_at_a_time)
{
	const struct nic_options opt = {.guest = {.send_bytes = 1u << 20}, .ring_bytes = 1u << 18};
	struct area a;
	struct nic *n = up(&opt, &a);
	uint8_t frame[64];
	uint32_t len = nic_frame(frame, false, false, 20, 3);

	n->net->hold = true;
	for (unsigned i = 0; i < 1500; i++)
		nic_send(n, 0, i, frame, len);
	nic_run(n);
	cr_assert_eq(n->net->held_count, 1024);
	nic_finish(n);
	nic_run(n);
	cr_assert_eq(n->net->sent_count, 1500);
	nic_finish(n);
	nic_run(n);
	cr_assert_eq(n->done_count, 1500);
	nic_down(n);
}

Test(net_transmit, a_guest_that_takes_no_completions_stops_its_own_frames)
{
	const struct nic_options opt = {.guest = {.send_bytes = 1u << 20}, .ring_bytes = 4096};
	struct area a;
	struct nic *n = up(&opt, &a);
	uint8_t frame[64];
	uint32_t len = nic_frame(frame, false, false, 20, 3);
	const struct hvs_guest_net_packet p = {.data = frame, .len = len};
	unsigned queued = 0;

	for (unsigned round = 0; round < 50; round++) {
		while (hvs_guest_net_send(n->drv, 0, queued % 100, &p, 1) == 0)
			queued++;
		hvs_loopback_run(n->lb);
	}
	cr_assert_lt(queued, 200); /* both rings are full */
	nic_run(n);
	cr_assert_eq(n->done_count, queued);
	cr_assert_eq(n->net->sent_count, queued);
	nic_down(n);
}

Test(net_transmit, what_the_back_end_dropped_is_completed_all_the_same)
{
	struct area a;
	struct nic *n = up(NULL, &a);
	uint8_t frame[64];
	uint32_t len = nic_frame(frame, false, false, 20, 3);

	n->net->status = HVS_NET_DROPPED;
	nic_send(n, 0, 1, frame, len);
	n->net->status = HVS_NET_ERROR;
	nic_send(n, 0, 2, frame, len);
	nic_run(n);
	cr_assert_eq(n->done_count, 2);
	cr_assert_eq(status(n), HVSI_NVSP_SUCCESS);
	cr_assert_eq(nic_counters(n).from_dropped, 2);
	nic_down(n);
}
