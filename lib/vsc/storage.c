/* SPDX-License-Identifier: MIT */
/* The guest's side of a synthetic SCSI controller. */
#include "vsp/storage/proto.h"

#include <hvstack/channel.h>
#include <hvstack/guest/storage.h>

#include <errno.h>
#include <string.h>

#define COMPLETION_REQUESTED 1u
#define CONTROL_XID (UINT64_MAX - 2)

/* One control operation; p becomes the answer. Returns its NT status, or a negative errno. */
static int64_t control(struct hvs_guest_channel *ch, struct hvsi_vstor_packet *p)
{
	struct iovec iov = {.iov_base = p, .iov_len = sizeof(*p)};
	struct hvs_guest_packet pkt = {0};
	int got;

	p->flags = hvsi_le32(COMPLETION_REQUESTED);
	got = hvs_guest_send(ch, CONTROL_XID, true, NULL, &iov, 1);
	if (!got)
		got = hvs_guest_recv_wait(ch, &pkt);
	if (got < 0)
		return got;
	if (pkt.type != HVS_PACKET_COMPLETION || pkt.xid != CONTROL_XID || pkt.len != sizeof(*p))
		return -EPROTO;
	memcpy(p, pkt.data, sizeof(*p));
	if (hvsi_get32(p->operation) != HVSI_VSTOR_COMPLETE_IO)
		return -EPROTO;
	return hvsi_get32(p->status);
}

int hvs_guest_stor_init(struct hvs_guest_channel *ch, uint16_t version,
			uint32_t *max_transfer_bytes)
{
	struct hvsi_vstor_packet p = {.operation = hvsi_le32(HVSI_VSTOR_BEGIN_INITIALIZATION)};
	int64_t got = control(ch, &p);

	if (!got) {
		p = (struct hvsi_vstor_packet){
			.operation = hvsi_le32(HVSI_VSTOR_QUERY_PROTOCOL_VERSION)};
		p.u.version.version = hvsi_le16(version);
		got = control(ch, &p);
		if (got == HVSI_NT_REVISION_MISMATCH)
			return -EPROTONOSUPPORT;
	}
	if (!got) {
		p = (struct hvsi_vstor_packet){.operation = hvsi_le32(HVSI_VSTOR_QUERY_PROPERTIES)};
		got = control(ch, &p);
		*max_transfer_bytes = hvsi_get32(p.u.properties.max_transfer_bytes);
	}
	if (!got) {
		p = (struct hvsi_vstor_packet){.operation =
						       hvsi_le32(HVSI_VSTOR_END_INITIALIZATION)};
		got = control(ch, &p);
	}
	return got > 0 ? -EREMOTEIO : (int)got;
}

int hvs_guest_stor_create_subchannels(struct hvs_guest_channel *ch, uint16_t count)
{
	struct hvsi_vstor_packet p = {.operation = hvsi_le32(HVSI_VSTOR_CREATE_SUB_CHANNELS)};
	int64_t got;

	p.u.subchannel_count = hvsi_le16(count);
	got = control(ch, &p);
	return got > 0 ? -EREMOTEIO : (int)got;
}

int hvs_guest_stor_submit(struct hvs_guest_channel *ch, uint64_t xid,
			  const struct hvs_guest_scsi *cmd)
{
	struct hvsi_vstor_packet p = {.operation = hvsi_le32(HVSI_VSTOR_EXECUTE_SRB),
				      .flags = hvsi_le32(COMPLETION_REQUESTED)};
	struct iovec iov = {.iov_base = &p, .iov_len = sizeof(p)};

	p.u.srb.length = hvsi_le16(sizeof(p.u.srb));
	p.u.srb.lun = cmd->lun;
	p.u.srb.cdb_len = cmd->cdb_len;
	p.u.srb.sense_len = HVSI_SENSE_BYTES;
	p.u.srb.data_in = cmd->direction;
	p.u.srb.transfer_len = hvsi_le32(cmd->buffer.len);
	memcpy(p.u.srb.cdb_or_sense, cmd->cdb, sizeof(cmd->cdb));
	return hvs_guest_send(ch, xid, true, &cmd->buffer, &iov, 1);
}

static int take_result(const struct hvs_guest_packet *pkt, struct hvs_guest_scsi_result *result)
{
	struct hvsi_vstor_packet p;

	if (pkt->type != HVS_PACKET_COMPLETION || pkt->len != sizeof(p))
		return -EPROTO;
	memcpy(&p, pkt->data, sizeof(p));
	if (hvsi_get32(p.operation) != HVSI_VSTOR_COMPLETE_IO)
		return -EPROTO;
	result->srb_status = p.u.srb.srb_status;
	result->scsi_status = p.u.srb.scsi_status;
	result->sense_len = p.u.srb.sense_len;
	memcpy(result->sense, p.u.srb.cdb_or_sense, sizeof(result->sense));
	result->transferred = hvsi_get32(p.u.srb.transfer_len);
	return 1;
}

int hvs_guest_stor_reap(struct hvs_guest_channel *ch, uint64_t *xid,
			struct hvs_guest_scsi_result *result)
{
	struct hvs_guest_packet pkt;
	int got = hvs_guest_recv(ch, &pkt);

	if (got <= 0)
		return got;
	*xid = pkt.xid;
	return take_result(&pkt, result);
}

int hvs_guest_stor_execute(struct hvs_guest_channel *ch, const struct hvs_guest_scsi *cmd,
			   struct hvs_guest_scsi_result *result)
{
	struct hvs_guest_packet pkt = {0};
	int got = hvs_guest_stor_submit(ch, 1, cmd);

	if (!got)
		got = hvs_guest_recv_wait(ch, &pkt);
	if (got < 0)
		return got;
	got = take_result(&pkt, result);
	return got < 0 ? got : 0;
}
