/* SPDX-License-Identifier: MIT */
/* VSTOR packets and SRBs as they lie on the wire (little endian; CDBs and data are SCSI's). */
#ifndef HVSI_STORAGE_PROTO_H
#define HVSI_STORAGE_PROTO_H

#include "util/le.h"

#include <stddef.h>

enum {
	HVSI_VSTOR_COMPLETE_IO = 1,
	HVSI_VSTOR_EXECUTE_SRB = 3,
	HVSI_VSTOR_RESET_LUN = 4,
	HVSI_VSTOR_RESET_ADAPTER = 5,
	HVSI_VSTOR_RESET_BUS = 6,
	HVSI_VSTOR_BEGIN_INITIALIZATION = 7,
	HVSI_VSTOR_END_INITIALIZATION = 8,
	HVSI_VSTOR_QUERY_PROTOCOL_VERSION = 9,
	HVSI_VSTOR_QUERY_PROPERTIES = 10,
	HVSI_VSTOR_ENUMERATE_BUS = 11,
	HVSI_VSTOR_CREATE_SUB_CHANNELS = 13,
};

/* Protocol versions: major << 8 | minor. */
enum {
	HVSI_VSTOR_VERSION_WIN6 = 0x0200,
	HVSI_VSTOR_VERSION_WIN7 = 0x0402,
	HVSI_VSTOR_VERSION_WIN8 = 0x0501,
	HVSI_VSTOR_VERSION_BLUE = 0x0600,
	HVSI_VSTOR_VERSION_WIN10 = 0x0602,
};

/* NTSTATUS values */
#define HVSI_NT_SUCCESS 0x00000000u
#define HVSI_NT_BUFFER_OVERFLOW 0x80000005u
#define HVSI_NT_INVALID_PARAMETER 0xc000000du
#define HVSI_NT_INVALID_DEVICE_REQUEST 0xc0000010u
#define HVSI_NT_REVISION_MISMATCH 0xc0000059u
#define HVSI_NT_DEVICE_DOES_NOT_EXIST 0xc00000c0u
#define HVSI_NT_INVALID_DEVICE_STATE 0xc0000184u
#define HVSI_NT_IO_DEVICE_ERROR 0xc0000185u

/* SRB status: the only codes every known driver understands. */
enum {
	HVSI_SRB_SUCCESS = 0x01,
	HVSI_SRB_ABORTED = 0x02,
	HVSI_SRB_ERROR = 0x04,
	HVSI_SRB_INVALID_REQUEST = 0x06,
	HVSI_SRB_INVALID_LUN = 0x20,
	HVSI_SRB_AUTOSENSE_VALID = 0x80,
};

enum {
	HVSI_DATA_OUT = 0,  /* host reads the buffer */
	HVSI_DATA_IN = 1,   /* host fills it */
	HVSI_DATA_NONE = 2, /* none, or the driver does not say */
};

#define HVSI_SENSE_BYTES 20u /* room in an SRB; fixed-format sense takes 18 */
#define HVSI_CDB_BYTES 16u

struct hvsi_vmscsi {
	struct hvs_le16 length;
	uint8_t srb_status;
	uint8_t scsi_status;
	uint8_t port;
	uint8_t path;
	uint8_t target;
	uint8_t lun;
	uint8_t cdb_len;
	uint8_t sense_len;
	uint8_t data_in;
	uint8_t reserved;
	struct hvs_le32 transfer_len;
	uint8_t cdb_or_sense[HVSI_SENSE_BYTES];
	/* from version 5.1 on */
	struct hvs_le16 reserved2;
	uint8_t queue_tag;
	uint8_t queue_action;
	struct hvs_le32 srb_flags;
	struct hvs_le32 timeout_s;
	struct hvs_le32 queue_sort_key;
};
_Static_assert(sizeof(struct hvsi_vmscsi) == 0x34, "protocol: VMSCSI request");
_Static_assert(offsetof(struct hvsi_vmscsi, cdb_or_sense) == 16, "protocol: VMSCSI request");

struct hvsi_vstor_properties {
	struct hvs_le32 reserved;
	struct hvs_le16 max_subchannels;
	struct hvs_le16 reserved2;
	struct hvs_le32 flags; /* bit 0: multi-channel supported */
	struct hvs_le32 max_transfer_bytes;
	struct hvs_le64 reserved3;
};
_Static_assert(sizeof(struct hvsi_vstor_properties) == 24, "protocol: channel properties");

struct hvsi_vstor_version {
	struct hvs_le16 version;
	struct hvs_le16 revision;
};

struct hvsi_vstor_packet {
	struct hvs_le32 operation;
	struct hvs_le32 flags;
	struct hvs_le32 status;
	union {
		struct hvsi_vmscsi srb;
		struct hvsi_vstor_properties properties;
		struct hvsi_vstor_version version;
		struct hvs_le16 subchannel_count;
	} u;
};
_Static_assert(sizeof(struct hvsi_vstor_packet) == 64, "protocol: VSTOR packet");

#endif
