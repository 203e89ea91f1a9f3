/* SPDX-License-Identifier: MIT */
/* Storage packets byte by byte. */
#ifndef TESTS_SUPPORT_VSTOR_H
#define TESTS_SUPPORT_VSTOR_H

#include "support/machine.h"
#include "vsp/storage/proto.h"

struct vstor_reply {
	uint64_t xid;
	uint32_t len;
	uint8_t bytes[128];
};

/* Send the first len bytes of p (zeros behind it), wait for the completion. */
struct vstor_reply vstor(struct machine *m, const struct hvsi_vstor_packet *p, size_t len,
			 const struct hvs_guest_buffer *buffer);
/* A control operation of 64 bytes; its status. */
uint32_t vstor_control(struct machine *m, uint32_t operation, uint16_t argument);
/* EXECUTE_SRB with this CDB. */
struct hvsi_vstor_packet vstor_srb(const uint8_t *cdb, uint8_t cdb_len, uint8_t data_in,
				   uint32_t transfer_len);
uint32_t vstor_status(const struct vstor_reply *r);

#endif
