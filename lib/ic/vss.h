/* SPDX-License-Identifier: MIT */
/* What the volume shadow copy requestor has on the wire. */
#ifndef HVSI_IC_VSS_H
#define HVSI_IC_VSS_H

#include "util/le.h"

#include <hvstack/vss.h>

enum hvsi_vss_op {
	HVSI_VSS_HOT_BACKUP = 2, /* can it be backed up? */
	HVSI_VSS_COMPLETE = 4,
	HVSI_VSS_FREEZE = 5,
	HVSI_VSS_THAW = 6,
	HVSI_VSS_AUTO_RECOVER = 7,
};

struct hvsi_vss_header {
	uint8_t op;
	uint8_t reserved[7];
};

/* Guests drop what is shorter, without an answer. */
struct hvsi_vss_flags {
	struct hvsi_vss_header head;
	struct hvs_le32 flags;
};
_Static_assert(sizeof(struct hvsi_vss_flags) == 12, "VSS flags");

#define HVSI_VSS_BUS_SCSI 1u

struct hvsi_vss_lun {
	uint8_t bus_type;
	uint8_t reserved[3];
	struct hvs_guid controller;
	uint8_t port;
	uint8_t target;
	uint8_t lun;
	uint8_t reserved2;
};
_Static_assert(sizeof(struct hvsi_vss_lun) == 24, "VSS LUN");

struct hvsi_vss_luns {
	struct hvsi_vss_header head;
	struct hvs_le32 backup_type;
	struct hvs_le32 flags;
	struct hvs_le32 lun_count;
	struct hvsi_vss_lun luns[HVS_VSS_MAX_LUNS];
};
_Static_assert(sizeof(struct hvsi_vss_luns) == 6260, "VSS freeze");

struct hvsi_vss_recover {
	struct hvsi_vss_luns what;
	struct hvsi_vss_lun shadows[HVS_VSS_MAX_LUNS];
};
_Static_assert(sizeof(struct hvsi_vss_recover) == 12500, "VSS recovery");

#endif
