/* SPDX-License-Identifier: MIT */
/*
 * Saved state as a stream of records: {type, version, length}, payload. A payload is a struct of
 * wire integers; members are only ever appended, and then the version counts up. The last record
 * carries a checksum of all before it.
 */
#ifndef HVSI_UTIL_STATE_H
#define HVSI_UTIL_STATE_H

#include "util/bytes.h"
#include "util/le.h"

#include <hvstack/state.h>

enum {
	HVSI_STATE_BUS = 1,        /* first record of a bus */
	HVSI_STATE_HV = 2,         /* first record of a hypervisor interface */
	HVSI_STATE_CONNECTION = 3, /* these are of a bus */
	HVSI_STATE_GPADL = 4,
	HVSI_STATE_CHANNEL = 5,
	HVSI_STATE_DATA = 6, /* a device's own, of the channel before */
	HVSI_STATE_CONNECT_REQUEST = 7,
	HVSI_STATE_INCOMING = 8,
	HVSI_STATE_OUTGOING = 9,
	HVSI_STATE_REGISTER = 10, /* of a hypervisor interface */
	HVSI_STATE_END = 0x7fff,
};

/* A record of a type we don't know may be passed over. */
#define HVSI_STATE_SKIPPABLE 0x8000u

struct hvsi_state_record {
	struct hvs_le16 type;
	struct hvs_le16 version;
	struct hvs_le32 len; /* of the payload */
};
_Static_assert(sizeof(struct hvsi_state_record) == 8, "saved state: record");

struct hvs_state_writer {
	hvs_write_fn write;
	void *arg;
	uint32_t crc;
	int err; /* the first one; nothing is written after it */
};

void hvsi_state_begin(struct hvs_state_writer *w, hvs_write_fn write, void *arg);
/* A record of version 1: head, then tail (may be NULL). */
void hvsi_state_put(struct hvs_state_writer *w, uint16_t type, const void *head, size_t head_len,
		    const void *tail, size_t tail_len);
/* 0 or the first error. */
int hvsi_state_end(struct hvs_state_writer *w);

/*
 * The whole stream has the shape of records, begins with one of type `first` and ends with its
 * checksum; *records is what lies between. 0, -EBADMSG, -ENOTSUP (a record's version or type).
 */
int hvsi_state_open(struct hvsi_reader *records, const void *state, size_t len, uint16_t first);

/* Next record and its payload. False: none is left. */
bool hvsi_state_next(struct hvsi_reader *records, uint16_t *type, struct hvsi_reader *payload);

/* The DATA records that follow a record. */
struct hvs_state_reader {
	struct hvsi_reader records;
	struct hvsi_reader payload;
};

#endif
