/* SPDX-License-Identifier: MIT */
/* Short names for tables of commands: disk_commands.c, mmc.c. */
#ifndef HVSI_STORAGE_COMMANDS_H
#define HVSI_STORAGE_COMMANDS_H

#include "vsp/storage/disk_commands.h"

#define IN HVSI_SCSI_READS_DATA
#define OUT HVSI_SCSI_WRITES_DATA
#define MEDIUM HVSI_SCSI_WRITES_MEDIUM
#define ACTION HVSI_SCSI_SERVICE_ACTION
#define ALWAYS HVSI_SCSI_DESPITE_ATTENTION
#define ASKS HVSI_SCSI_ASKS
#define LOOKS HVSI_SCSI_LOOKS
#define CHANGES HVSI_SCSI_CHANGES
#define LOADED HVSI_SCSI_NEEDS_MEDIUM

/* CDB usage: the second byte's flags, then where the blocks are named, and NACA. */
#define ALL2 0xff, 0xff
#define ALL4 ALL2, ALL2
#define ALL8 ALL4, ALL4
#define NACA 0x04
#define BLOCKS10(flags)                                                                            \
	{                                                                                          \
		(flags), ALL4, 0, ALL2, NACA                                                       \
	}
#define BLOCKS12(flags)                                                                            \
	{                                                                                          \
		(flags), ALL4, ALL4, 0, NACA                                                       \
	}
#define BLOCKS16(flags)                                                                            \
	{                                                                                          \
		(flags), ALL8, ALL4, 0, NACA                                                       \
	}
#define READ_FLAGS (HVSI_CDB_PROTECT | HVSI_CDB_DPO | HVSI_CDB_FUA)
#define VERIFY_FLAGS (HVSI_CDB_PROTECT | HVSI_CDB_DPO | 0x06) /* BYTCHK */
#define WRITE_SAME_FLAGS (HVSI_CDB_PROTECT | 0x18)            /* ANCHOR, UNMAP */
#define NDOB 0x01

#endif
