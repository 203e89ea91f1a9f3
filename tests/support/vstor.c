/* SPDX-License-Identifier: MIT */
#include "support/vstor.h"

struct vstor_reply vstor(struct machine *m, const struct hvsi_vstor_packet *p, size_t len,
			 const struct hvs_guest_buffer *buffer)
{
	static uint64_t xid = 0xabcdef0000000000ull;
	uint8_t bytes[256] = {0};
	struct iovec iov = {bytes, len};
	struct hvs_guest_packet pkt;
	struct vstor_reply r;

	memcpy(bytes, p, len < sizeof(*p) ? len : sizeof(*p));
	cr_assert_eq(hvs_guest_send(m->ch, ++xid, true, buffer, &iov, 1), 0);
	cr_assert_eq(hvs_guest_recv_wait(m->ch, &pkt), 1);
	cr_assert_eq(pkt.type, HVS_PACKET_COMPLETION);
	cr_assert_eq(pkt.xid, xid);
	cr_assert_not(pkt.wants_completion);
	cr_assert_leq(pkt.len, sizeof(r.bytes));
	r.xid = pkt.xid;
	r.len = pkt.len;
	memcpy(r.bytes, pkt.data, pkt.len);
	return r;
}

uint32_t vstor_control(struct machine *m, uint32_t operation, uint16_t argument)
{
	struct hvsi_vstor_packet p = {.operation = hvsi_le32(operation), .flags = hvsi_le32(1)};
	struct vstor_reply r;

	p.u.version.version = hvsi_le16(argument);
	r = vstor(m, &p, sizeof(p), NULL);
	cr_assert_eq(r.len, 64);
	cr_assert_eq(r.bytes[0], HVSI_VSTOR_COMPLETE_IO);
	return vstor_status(&r);
}

struct hvsi_vstor_packet vstor_srb(const uint8_t *cdb, uint8_t cdb_len, uint8_t data_in,
				   uint32_t transfer_len)
{
	struct hvsi_vstor_packet p = {.operation = hvsi_le32(HVSI_VSTOR_EXECUTE_SRB),
				      .flags = hvsi_le32(1)};

	p.u.srb.length = hvsi_le16(sizeof(p.u.srb));
	p.u.srb.cdb_len = cdb_len;
	p.u.srb.sense_len = HVSI_SENSE_BYTES;
	p.u.srb.data_in = data_in;
	p.u.srb.transfer_len = hvsi_le32(transfer_len);
	memcpy(p.u.srb.cdb_or_sense, cdb, cdb_len < 16 ? cdb_len : 16);
	return p;
}

uint32_t vstor_status(const struct vstor_reply *r)
{
	return (uint32_t)r->bytes[8] | (uint32_t)r->bytes[9] << 8 | (uint32_t)r->bytes[10] << 16 |
	       (uint32_t)r->bytes[11] << 24;
}
