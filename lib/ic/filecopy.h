/* SPDX-License-Identifier: MIT */
/* What guest file copy has on the wire. */
#ifndef HVSI_IC_FILECOPY_H
#define HVSI_IC_FILECOPY_H

#include "util/le.h"

#include <hvstack/filecopy.h>

enum hvsi_filecopy_op {
	HVSI_FILECOPY_START = 0,
	HVSI_FILECOPY_WRITE = 1,
	HVSI_FILECOPY_COMPLETE = 2,
	HVSI_FILECOPY_CANCEL = 3,
};

struct hvsi_filecopy_header {
	struct hvs_le32 op;
	struct hvs_guid service[2]; /* 0 */
};
_Static_assert(sizeof(struct hvsi_filecopy_header) == 36, "file copy header");

struct hvsi_filecopy_start {
	struct hvsi_filecopy_header head;
	uint8_t name[(HVS_FILECOPY_NAME_MAX + 1) * 2]; /* UTF-16LE, NUL */
	uint8_t path[(HVS_FILECOPY_NAME_MAX + 1) * 2];
	struct hvs_le32 flags; /* HVS_FILECOPY_OVERWRITE, ... */
	struct hvs_le64 bytes;
};
_Static_assert(sizeof(struct hvsi_filecopy_start) == 1088, "file copy start");

/* Sent as a whole always: Linux 6.1 hands on so much, however long the message is. */
struct hvsi_filecopy_write {
	struct hvsi_filecopy_header head;
	struct hvs_le32 reserved;
	struct hvs_le64 offset;
	struct hvs_le32 len; /* never more than the data: guests write so much, without a look */
	uint8_t data[HVS_FILECOPY_PIECE];
};
_Static_assert(sizeof(struct hvsi_filecopy_write) == 6196, "file copy write");

#endif
