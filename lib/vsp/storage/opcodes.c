/* SPDX-License-Identifier: MIT */
/* MAINTENANCE IN: which commands there are (SPC-4 6.35, 6.36). */
#include "vsp/storage/storvsp.h"

#include <string.h>

#define TIMEOUTS_LEN 12u    /* command timeouts descriptor: its length, zeros: not specified */
#define DESCRIPTOR_LEN 8u   /* of a command, in the list of all */
#define SERVACTV 0x01       /* there: has a service action */
#define CTDP 0x02           /* there: a timeouts descriptor follows */
#define ONE_CTDP 0x80       /* same, where only one command is reported */
#define ONE_NOT_SUPPORTED 1 /* SUPPORT field */
#define ONE_AS_STANDARD 3

static bool known(const struct hvsi_scsi_cmd *cmd, const struct hvsi_scsi_command *c)
{
	return (c->needs & cmd->flags) == c->needs;
}

static void put_timeouts(uint8_t *to)
{
	hvsi_put_be16(to, TIMEOUTS_LEN - 2);
}

static uint32_t put_command(uint8_t *to, const struct hvsi_scsi_command *c, bool timeouts)
{
	to[0] = c->opcode;
	hvsi_put_be16(to + 2, c->service_action);
	to[5] = c->traits & HVSI_SCSI_SERVICE_ACTION ? SERVACTV : 0;
	hvsi_put_be16(to + 6, hvsi_scsi_cdb_len(c->opcode));
	if (!timeouts)
		return DESCRIPTOR_LEN;
	to[5] |= CTDP;
	put_timeouts(to + DESCRIPTOR_LEN);
	return DESCRIPTOR_LEN + TIMEOUTS_LEN;
}

static enum hvsi_scsi_state report_all(const struct hvsi_scsi_cmd *cmd,
				       const struct hvsi_scsi_command *commands, bool timeouts,
				       uint32_t alloc_len)
{
	enum hvsi_scsi_state state;
	uint32_t len = 4;
	uint8_t *d;
	size_t count = 0;

	while (commands[count].execute)
		count++;
	d = hvsi_request_alloc(cmd->req, 4 + count * (DESCRIPTOR_LEN + TIMEOUTS_LEN));
	if (!d)
		return hvsi_scsi_check(cmd->req, HVSI_SENSE_TARGET_FAILURE);
	for (size_t i = 0; i < count; i++)
		if (known(cmd, &commands[i]))
			len += put_command(d + len, &commands[i], timeouts);
	hvsi_put_be32(d, len - 4);
	state = hvsi_scsi_reply(cmd, d, len, alloc_len);
	return state;
}

static enum hvsi_scsi_state report_one(const struct hvsi_scsi_cmd *cmd,
				       const struct hvsi_scsi_command *c, bool timeouts,
				       uint32_t alloc_len)
{
	uint8_t d[4 + HVSI_CDB_BYTES + TIMEOUTS_LEN] = {0};
	uint32_t len = 4;

	d[1] = ONE_NOT_SUPPORTED;
	if (c) {
		d[1] = ONE_AS_STANDARD;
		hvsi_put_be16(d + 2, hvsi_scsi_cdb_len(c->opcode));
		d[4] = c->opcode;
		memcpy(d + 5, c->usage, sizeof(c->usage));
		if (c->traits & HVSI_SCSI_SERVICE_ACTION)
			d[5] |= c->service_action;
		len += hvsi_scsi_cdb_len(c->opcode);
	}
	if (timeouts && c) {
		d[1] |= ONE_CTDP;
		put_timeouts(d + len);
		len += TIMEOUTS_LEN;
	}
	return hvsi_scsi_reply(cmd, d, len, alloc_len);
}

enum hvsi_scsi_state hvsi_scsi_report_opcodes(const struct hvsi_scsi_cmd *cmd,
					      const struct hvsi_scsi_command *commands)
{
	bool timeouts = cmd->cdb[2] & 0x80;
	uint8_t options = cmd->cdb[2] & 0x07;
	uint8_t opcode = cmd->cdb[3];
	uint16_t action = hvsi_get_be16(cmd->cdb + 4);
	uint32_t alloc_len = hvsi_get_be32(cmd->cdb + 6);
	const struct hvsi_scsi_command *found = NULL;
	bool has_actions = false;

	if (options == 0)
		return report_all(cmd, commands, timeouts, alloc_len);
	for (const struct hvsi_scsi_command *c = commands; c->execute; c++) {
		bool with_action = c->traits & HVSI_SCSI_SERVICE_ACTION;

		if (c->opcode != opcode || !known(cmd, c))
			continue;
		has_actions |= with_action;
		if (!found && (with_action ? options != 1 && c->service_action == action
					   : options != 3 || !action))
			found = c;
	}
	/* 1: one without service actions, 2: one with them, 3: either */
	if (options > 3 || (options == 1 && has_actions) || (options == 2 && found && !has_actions))
		return hvsi_scsi_invalid_cdb(cmd->req, 2);
	return report_one(cmd, found, timeouts, alloc_len);
}

/* Requests can be ended by resets only, which the transport has instead of task management. */
enum hvsi_scsi_state hvsi_scsi_report_task_management(const struct hvsi_scsi_cmd *cmd)
{
	uint8_t d[16] = {0x08}; /* LOGICAL UNIT RESET */
	bool extended = cmd->cdb[2] & 0x80;

	d[3] = extended ? sizeof(d) - 4 : 0;
	return hvsi_scsi_reply(cmd, d, extended ? sizeof(d) : 4, hvsi_get_be32(cmd->cdb + 6));
}
