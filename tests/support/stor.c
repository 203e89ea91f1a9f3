/* SPDX-License-Identifier: MIT */
#include "support/stor.h"

#include "vmbus/proto.h"

void stor_up(struct stor *s, const struct stor_options *opt)
{
	struct hvs_loopback_config lb_cfg = opt->loopback;
	struct hvs_storvsp_config cfg = opt->ctl;
	struct hvs_worker *workers[STOR_SUB];

	*s = (struct stor){.xid = 0x1000};
	lb_cfg.size = sizeof(lb_cfg);
	cr_assert_eq(hvs_loopback_create(&lb_cfg, &s->lb), 0);
	for (unsigned i = 0; i < opt->workers; i++)
		cr_assert_eq(hvs_worker_create(hvs_loopback_bus(s->lb), NULL, &workers[i]), 0);
	cfg.size = sizeof(cfg);
	cfg.subchannel_worker_count = opt->workers;
	cfg.subchannel_workers = opt->workers ? workers : NULL;
	cr_assert_eq(hvs_storvsp_create(hvs_loopback_bus(s->lb), &cfg, &s->ctl), 0);
}

static void open_subchannels(struct stor *s, uint32_t ring_bytes, unsigned count)
{
	struct hvsi_vstor_packet p = stor_control(HVSI_VSTOR_CREATE_SUB_CHANNELS);
	uint8_t message[HVSI_MSG_MAX];

	if (!count)
		return;
	p.u.subchannel_count = hvsi_le16((uint16_t)count);
	stor_expect_control(s, 0, stor_send(s, 0, &p));
	for (unsigned i = 0; i < count; i++)
		cr_assert_gt(hvs_guest_wait_message(s->guest, HVSI_MSG_OFFERCHANNEL, message), 0);
	for (unsigned i = 0; i < count; i++) {
		cr_assert_eq(hvs_guest_channel_open(s->guest, hvs_guest_offer_at(s->guest, i + 1),
						    ring_bytes, &s->ch[i + 1]),
			     0);
		s->channels++;
	}
}

void stor_start(struct stor *s, const struct stor_options *opt)
{
	uint32_t ring_bytes = opt->ring_bytes ? opt->ring_bytes : 65536;
	uint32_t max_transfer;

	cr_assert_eq(hvs_loopback_start(s->lb, &s->guest), 0);
	cr_assert_eq(hvs_guest_connect(s->guest, 0x50003), 0);
	cr_assert_eq(hvs_guest_request_offers(s->guest), 1);
	cr_assert_eq(hvs_guest_channel_open(s->guest, hvs_guest_offer_at(s->guest, 0), ring_bytes,
					    &s->ch[0]),
		     0);
	s->channels = 1;
	cr_assert_eq(
		hvs_guest_stor_init(s->ch[0], opt->version ? opt->version : 0x602, &max_transfer),
		0);
	open_subchannels(s, ring_bytes, opt->channels ? opt->channels - 1 : 0);
	s->buf = hvs_loopback_alloc_pages(s->lb, STOR_BUF_PAGES, &s->gpa);
	cr_assert_not_null(s->buf);
}

void stor_down(struct stor *s)
{
	cr_assert_eq(hvs_loopback_count(s->lb)->faults, 0);
	hvs_loopback_destroy(s->lb);
}

struct hvs_disk *stor_attach(struct stor *s, uint8_t path, uint8_t target, uint8_t lun,
			     const struct hvs_blk_ops *ops, void *priv)
{
	const struct hvs_disk_config cfg = {HVS_DISK_CONFIG_INIT, .path = path, .target = target,
					    .lun = lun, .serial = "STOR"};
	struct hvs_disk *disk;

	cr_assert_eq(hvs_storvsp_attach(s->ctl, &cfg, ops, priv, &disk), 0);
	return disk;
}

/* ---- packets ---------------------------------------------------------------------------------- */

struct hvsi_vstor_packet stor_control(uint32_t operation)
{
	return (struct hvsi_vstor_packet){.operation = hvsi_le32(operation), .flags = hvsi_le32(1)};
}

struct hvsi_vstor_packet stor_srb(uint8_t lun, const void *cdb, uint8_t cdb_len, uint8_t data_in)
{
	struct hvsi_vstor_packet p = stor_control(HVSI_VSTOR_EXECUTE_SRB);

	p.u.srb.length = hvsi_le16(sizeof(p.u.srb));
	p.u.srb.lun = lun;
	p.u.srb.cdb_len = cdb_len;
	p.u.srb.sense_len = HVSI_SENSE_BYTES;
	p.u.srb.data_in = data_in;
	memcpy(p.u.srb.cdb_or_sense, cdb, cdb_len);
	return p;
}

struct hvsi_vstor_packet stor_rw(uint8_t lun, bool write, uint32_t lba, uint16_t blocks)
{
	uint8_t cdb[10] = {write ? 0x2a : 0x28};
	struct hvsi_vstor_packet p;

	hvsi_put_be32(cdb + 2, lba);
	cdb[7] = (uint8_t)(blocks >> 8);
	cdb[8] = (uint8_t)blocks;
	p = stor_srb(lun, cdb, sizeof(cdb), write ? HVSI_DATA_OUT : HVSI_DATA_IN);
	p.u.srb.transfer_len = hvsi_le32(blocks * 512u);
	return p;
}

struct hvsi_vstor_packet stor_flush(uint8_t lun)
{
	static const uint8_t cdb[10] = {0x35};

	return stor_srb(lun, cdb, sizeof(cdb), HVSI_DATA_NONE);
}

struct hvsi_vstor_packet stor_ready(uint8_t lun)
{
	static const uint8_t cdb[6];

	return stor_srb(lun, cdb, sizeof(cdb), HVSI_DATA_NONE);
}

/* ---- there and back --------------------------------------------------------------------------- */

uint64_t stor_send_at(struct stor *s, unsigned n, const struct hvsi_vstor_packet *p, uint64_t gpa)
{
	bool is_srb = hvsi_get32(p->operation) == HVSI_VSTOR_EXECUTE_SRB;
	struct hvs_guest_buffer buffer = {.gpa = gpa,
					  .len = is_srb ? hvsi_get32(p->u.srb.transfer_len) : 0};
	struct iovec iov = {(void *)(uintptr_t)p, sizeof(*p)};

	cr_assert_eq(hvs_guest_send(s->ch[n], ++s->xid, true, &buffer, &iov, 1), 0);
	hvs_guest_flush(s->ch[n]);
	stor_run(s);
	return s->xid;
}

uint64_t stor_send(struct stor *s, unsigned n, const struct hvsi_vstor_packet *p)
{
	return stor_send_at(s, n, p, s->gpa);
}

void stor_run(struct stor *s)
{
	hvs_loopback_run(s->lb);
}

bool stor_take(struct stor *s, unsigned n, struct stor_answer *a)
{
	struct hvs_guest_packet pkt;
	int got = hvs_guest_recv(s->ch[n], &pkt);

	cr_assert_geq(got, 0);
	if (!got)
		return false;
	*a = (struct stor_answer){.type = pkt.type, .xid = pkt.xid, .len = pkt.len};
	cr_assert_leq(pkt.len, sizeof(a->p));
	memcpy(&a->p, pkt.data, pkt.len);
	return true;
}

void stor_expect_nothing(struct stor *s, unsigned n)
{
	struct stor_answer a;

	stor_run(s);
	cr_assert_not(stor_take(s, n, &a), "packet of type %u, id %#lx", a.type,
		      (unsigned long)a.xid);
}

struct hvsi_vstor_packet stor_expect(struct stor *s, unsigned n, uint64_t xid)
{
	struct stor_answer a;

	cr_assert(stor_take(s, n, &a), "nothing came");
	cr_assert_eq(a.type, HVS_PACKET_COMPLETION, "type %u, operation %u", a.type,
		     hvsi_get32(a.p.operation));
	cr_assert_eq(a.xid, xid, "%#lx instead of %#lx", (unsigned long)a.xid, (unsigned long)xid);
	cr_assert_eq(a.len, sizeof(a.p));
	cr_assert_eq(hvsi_get32(a.p.operation), HVSI_VSTOR_COMPLETE_IO);
	cr_assert_eq(hvsi_get32(a.p.flags), 0);
	return a.p;
}

static void is_good(const struct hvsi_vstor_packet *p)
{
	cr_assert_eq(p->u.srb.srb_status, HVSI_SRB_SUCCESS, "SRB %#x, sense %#x",
		     p->u.srb.srb_status, stor_sense(p));
	cr_assert_eq(hvsi_get32(p->status), HVSI_NT_SUCCESS);
}

void stor_expect_good(struct stor *s, unsigned n, uint64_t xid)
{
	struct hvsi_vstor_packet p = stor_expect(s, n, xid);

	is_good(&p);
}

static void is_check(const struct hvsi_vstor_packet *p, uint8_t srb_status, uint32_t sense)
{
	cr_assert_eq(p->u.srb.srb_status, srb_status, "SRB %#x", p->u.srb.srb_status);
	cr_assert_eq(p->u.srb.scsi_status, 2);
	cr_assert_eq(stor_sense(p), sense, "sense %#x", stor_sense(p));
	cr_assert_eq(hvsi_get32(p->u.srb.transfer_len), 0);
	cr_assert_neq(hvsi_get32(p->status), HVSI_NT_SUCCESS);
}

void stor_expect_check(struct stor *s, unsigned n, uint64_t xid, uint8_t srb_status, uint32_t sense)
{
	struct hvsi_vstor_packet p = stor_expect(s, n, xid);

	is_check(&p, srb_status, sense);
}

void stor_expect_control(struct stor *s, unsigned n, uint64_t xid)
{
	struct hvsi_vstor_packet p = stor_expect(s, n, xid);

	cr_assert_eq(hvsi_get32(p.status), HVSI_NT_SUCCESS);
}

void stor_expect_enumerate(struct stor *s, uint32_t len)
{
	struct hvsi_vstor_packet want = {.operation = hvsi_le32(HVSI_VSTOR_ENUMERATE_BUS)};
	struct hvs_guest_packet pkt;

	cr_assert_eq(hvs_guest_recv(s->ch[0], &pkt), 1);
	cr_assert_eq(pkt.type, HVS_PACKET_INBAND);
	cr_assert_not(pkt.wants_completion);
	cr_assert_eq(pkt.xid, 0);
	cr_assert_eq(pkt.len, len);
	cr_assert_arr_eq(pkt.data, &want, len);
}

struct hvsi_vstor_packet stor_do(struct stor *s, unsigned n, const struct hvsi_vstor_packet *p)
{
	return stor_expect(s, n, stor_send(s, n, p));
}

void stor_do_good(struct stor *s, unsigned n, struct hvsi_vstor_packet p)
{
	p = stor_do(s, n, &p);
	is_good(&p);
}

void stor_do_check(struct stor *s, unsigned n, struct hvsi_vstor_packet p, uint32_t sense)
{
	p = stor_do(s, n, &p);
	is_check(&p, sense >> 16 == 5 ? 0x86 : 0x84, sense);
}

uint32_t stor_sense(const struct hvsi_vstor_packet *p)
{
	const uint8_t *sense = p->u.srb.cdb_or_sense;

	return (uint32_t)sense[2] << 16 | (uint32_t)sense[12] << 8 | sense[13];
}
