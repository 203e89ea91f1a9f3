/* SPDX-License-Identifier: MIT */
/* Commands of disks, and what they share; drives for removable media have some of them, too. */
#ifndef HVSI_STORAGE_DISK_COMMANDS_H
#define HVSI_STORAGE_DISK_COMMANDS_H

#include "vsp/storage/storvsp.h"

/* inquiry.c, mode.c, rw.c */
enum hvsi_scsi_state hvsi_scsi_inquiry(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_mode_sense6(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_mode_sense10(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_mode_select6(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_mode_select10(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_read(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_write(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_synchronize_cache(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_prefetch(const struct hvsi_scsi_cmd *cmd);

/* disk_commands.c: what other devices know, too */
enum hvsi_scsi_state hvsi_scsi_nothing_to_do(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_request_sense(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_read_capacity10(const struct hvsi_scsi_cmd *cmd);

/* verify.c, write_same.c, unmap.c */
enum hvsi_scsi_state hvsi_scsi_verify(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_write_and_verify(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_compare_and_write(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_orwrite(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_write_same(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_unmap(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_get_lba_status(const struct hvsi_scsi_cmd *cmd);

/* ---- helpers of disk commands (rw.c) ------------------------------------------------------- */

/* Bits of the second byte of CDBs that name blocks. */
#define HVSI_CDB_PROTECT 0xe0 /* protection information, which no disk has */
#define HVSI_CDB_DPO 0x10
#define HVSI_CDB_FUA 0x08
#define HVSI_CDB_RELADR 0x01 /* obsolete since SBC-2 */

/* The blocks a CDB names. */
struct hvsi_span {
	uint64_t lba;
	uint32_t blocks;
	uint8_t flags; /* CDB byte 1 */
};

struct hvsi_span hvsi_scsi_span(const uint8_t *cdb);
/* Do the blocks lie on the disk? None may lie just behind its end. */
bool hvsi_scsi_span_fits(const struct hvsi_scsi_cmd *cmd, const struct hvsi_span *s);
/* The largest transfer of one command, in blocks: VPD page B0h tells it. */
uint32_t hvsi_scsi_max_transfer(const struct hvsi_scsi_cmd *cmd);
/* Make what was written durable, then end the command. */
enum hvsi_scsi_state hvsi_scsi_flush(struct hvsi_stor_request *req);

/* Copy between private memory and the guest's buffer in req->map; [off, off + len) lies in it. */
void hvsi_scsi_copy_from_guest(const struct hvsi_stor_request *req, void *to, size_t off,
			       size_t len);
void hvsi_scsi_copy_to_guest(const struct hvsi_stor_request *req, size_t off, const void *from,
			     size_t len);

/*
 * Write the same 4 KiB, a whole number of blocks, again and again to part of req's disk; zeros if
 * they are. Lies in req->work. `done` may be NULL: the command is done then.
 */
#define HVSI_FILL_BYTES 4096u
#define HVSI_FILL_IOV 64u
struct hvsi_fill {
	uint64_t offset; /* bytes */
	uint64_t end;
	bool may_unmap; /* hvsi_scsi_zero(): if the disk has unmapped blocks that read as zeros */
	enum hvsi_scsi_state (*done)(struct hvsi_stor_request *req);
	struct iovec iov[HVSI_FILL_IOV];
	uint8_t pattern[HVSI_FILL_BYTES];
};

/* write_same.c */
enum hvsi_scsi_state hvsi_scsi_fill(struct hvsi_stor_request *req, struct hvsi_fill *fill);
/* The fastest way to make part of a disk read as zeros; fill->pattern is zeros. */
enum hvsi_scsi_state hvsi_scsi_zero(struct hvsi_stor_request *req, struct hvsi_fill *fill);
uint32_t hvsi_scsi_max_write_same(const struct hvs_disk *disk);
uint32_t hvsi_scsi_max_compare_and_write(const struct hvs_storvsp *ctl,
					 const struct hvs_disk *disk);

/* unmap.c: limits of UNMAP, which VPD page B0h tells */
#define HVSI_UNMAP_MAX_BLOCKS (1u << 20)
#define HVSI_UNMAP_MAX_DESCRIPTORS 256u

#endif
