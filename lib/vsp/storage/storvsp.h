/* SPDX-License-Identifier: MIT */
/*
 * What the files of the storage VSP share.
 *
 *   storvsp.c    public API: controllers          disk.c     public API: disks, what they remember
 *   chan.c       a channel: packets in,           request.c  requests: to the back end and back,
 *                completions out                             and to the guest
 *   control.c    negotiation, resets              drain.c    wait until requests have ended
 *   save.c       saved state                         stats.c    what is counted
 *   scsi.c       one SCSI command: which LUN, which command, may it be done
 *   disk_commands.c   the commands of a disk, in: inquiry.c  mode.c  opcodes.c  rw.c  unmap.c
 *                     verify.c  write_same.c
 *   mmc.c        the commands of an optical drive, in: mmc_features.c  optical.c, where media change
 *   reservation.c     who may use a disk; reservation_state.c and reservation_out.c: the rules
 *   sense.c      how commands end
 *
 * Channels of a controller may run on different workers. A request belongs to its channel and to
 * that one's worker; what disks and the controller hold is shared: atomic, or under ctl->lock.
 */
#ifndef HVSI_STORAGE_STORVSP_H
#define HVSI_STORAGE_STORVSP_H

#include "util/atomic.h"
#include "vsp/storage/proto.h"
#include "vsp/storage/reservation_state.h"

#include <hvstack/channel.h>
#include <hvstack/stats.h>
#include <hvstack/storage.h>

#include <stdatomic.h>

struct hvsi_stor_chan;
struct hvsi_stor_request;

/* ---- draining (drain.c) ------------------------------------------------------------------- */

enum hvsi_drain_kind {
	HVSI_DRAIN_LEAVE,     /* the back end of one disk is to be let go of */
	HVSI_DRAIN_EXCLUSIVE, /* a command wants one disk for itself */
	HVSI_DRAIN_PREEMPTED, /* another controller took one disk */
	HVSI_DRAIN_RESET,     /* of one disk */
	HVSI_DRAIN_RESET_ALL, /* of any number */
};

/*
 * Waits until what is in flight for some disks has ended, on all channels; what comes meanwhile
 * does not count. Channels are asked by their workers, so that requests need no shared counters.
 *
 * Drains take turns if they are of the same kind and, but for HVSI_DRAIN_RESET_ALL, for the same
 * disk. All others go on at the same time: a back end that hangs holds up those alone who wait for
 * it anyway.
 */
struct hvsi_drain {
	struct hvsi_drain *next;
	uint64_t disks; /* bit n: ctl->disk[n]; not 0 */
	enum hvsi_drain_kind kind;
	bool abort; /* cancel them; else only wait for those the back end has */
	atomic_uint waiting;
	void (*done)(struct hvsi_drain *drain); /* on any worker; may free it */
};

/* [any] */
void hvsi_drain_start(struct hvs_storvsp *ctl, struct hvsi_drain *drain);
/* The channel has been asked. On its worker, before it takes new packets. */
void hvsi_drain_check(struct hvsi_stor_chan *c);
/* A request that counted has ended, or was given up by its channel. */
void hvsi_drain_one_less(struct hvsi_stor_request *req);

/* ---- disks (disk.c) ------------------------------------------------------------------------ */

/* Unit attention conditions, the most urgent first (SAM-5 5.14). Part of saved state. */
enum hvsi_attention {
	HVSI_UA_BUS_RESET = 1u << 0,
	HVSI_UA_LUN_RESET = 1u << 1,
	HVSI_UA_MEDIUM_CHANGED = 1u << 2,
	HVSI_UA_MODE_CHANGED = 1u << 3,
	HVSI_UA_CAPACITY_CHANGED = 1u << 4,
	HVSI_UA_LUNS_CHANGED = 1u << 5,
	HVSI_UA_RESERVATIONS_PREEMPTED = 1u << 6,
	HVSI_UA_RESERVATIONS_RELEASED = 1u << 7,
	HVSI_UA_REGISTRATIONS_PREEMPTED = 1u << 8,
};
#define HVSI_UA_ALL 0x1ffu

enum hvsi_disk_state { HVSI_DISK_NONE, HVSI_DISK_PRESENT, HVSI_DISK_LEAVING };

#define HVSI_DRAIN_PLACES (4 * HVS_STORVSP_MAX_DISKS + 1)
#define HVSI_DRAIN_WORDS ((HVSI_DRAIN_PLACES + 63) / 64)

/* Where drains take turns. */
struct hvsi_drain_place {
	struct hvsi_drain *first; /* at work */
	struct hvsi_drain **last;
};

/* What is reserved, as far as this controller is concerned (reservation.c). */
struct hvsi_reservations {
	/* enum hvsi_scsi_trait: classes of commands that are denied, and from bit 16 on the
	 * generation of the state that says so. */
	_Atomic uint64_t known;
	struct hvs_reservation_ops ops; /* no generation(): the state is `own` */
	struct hvsi_spin lock;
	uint64_t generation;       /* as in `known`; under lock */
	uint64_t seen;             /* hvsi_pr_state.changes then; under lock */
	struct hvsi_pr_state *own; /* NULL: of zeros; under lock */
	/* Commands of a preempted nexus; not reset when a new disk takes the place. */
	atomic_uint aborts; /* that were asked for since one began */
	unsigned round;     /* `aborts` when the drain was started */
	struct hvsi_drain drain;
};

/* What an optical drive remembers. Part of saved state. */
enum hvsi_drive_flag {
	HVSI_DRIVE_OPEN = 1u << 0, /* the tray is out */
	HVSI_DRIVE_PREVENT = 1u << 1,
	HVSI_DRIVE_PREVENT_PERSISTENT = 1u << 2,
	/* Events that the guest has not been told. */
	HVSI_DRIVE_EJECT_REQUESTED = 1u << 3,
	HVSI_DRIVE_REMOVED = 1u << 4,
	HVSI_DRIVE_NEW_MEDIUM = 1u << 5,
};

/* Under the controller's lock. */
struct hvsi_drive {
	uint8_t flags; /* enum hvsi_drive_flag */
	bool ejecting; /* the back end of the last medium is still in use */
	bool by_guest; /* that is who wanted it */
	unsigned busy; /* ejections whose callback has not returned */
	struct hvsi_drain drain;
	hvs_done_fn done;
	void *done_arg;
};

/* What commands of one kind count; written by one worker. */
struct hvsi_disk_op_stats {
	_Atomic(uint64_t) requests;
	_Atomic(uint64_t) bytes;
	_Atomic(uint64_t) errors;
	_Atomic(uint64_t) sum_ns;
	_Atomic(uint64_t) bucket[HVS_LATENCY_BUCKETS];
};

struct hvsi_disk_stats {
	struct hvsi_disk_op_stats op[HVS_DISK_OPS];
};

/* Its memory stays as long as the controller: who has found it may look at it. */
struct hvs_disk {
	struct hvs_storvsp *ctl;
	atomic_uint state; /* enum hvsi_disk_state */
	struct hvs_disk_config cfg;
	struct hvs_blk_ops ops;
	void *priv;
	struct hvs_blk_info info;    /* as of attach; what may change is in the two below */
	_Atomic uint64_t num_blocks; /* 0: an optical drive without a medium */
	atomic_uint flags;           /* HVS_BLK_INFO_* */
	atomic_uint attentions;      /* enum hvsi_attention */
	/* A command that no write may overlap is being executed: writes are parked. */
	atomic_bool exclusive;
	struct hvsi_reservations reservations;
	/* One for each queue, as each has one worker. Not freed when the disk leaves: NULL before the
	 * first disk was at this place. */
	struct hvsi_disk_stats *stats;
	atomic_bool timed; /* latencies are measured */
	struct hvsi_drive drive;
	struct hvsi_drain leaving;
	hvs_done_fn done;
	void *done_arg;
};

struct hvs_storvsp {
	struct hvs_vmbus *bus;
	struct hvs_device *dev;
	struct hvs_guid initiator; /* who it is, for reservations */
	uint32_t max_transfer_bytes;
	uint16_t max_subchannels;
	uint16_t max_version;
	uint32_t subchannel_workers; /* 0: sub-channels are on the primary's worker */
	bool ide;
	uint8_t ide_path;
	uint8_t ide_target;
	atomic_bool ready; /* the primary's negotiation has ended: sub-channels may be used */
	atomic_bool tell_of_disks; /* the guest is to look which disks there are */
	struct hvs_disk disk[HVS_STORVSP_MAX_DISKS];

	struct hvsi_spin lock;
	struct hvsi_drain_place drains[HVSI_DRAIN_PLACES]; /* under lock */
	/* Who looks into the table; a channel that leaves it waits for them. */
	struct hvsi_gate looking;
	unsigned channel_count;
	_Atomic(struct hvsi_stor_chan *) channel[]; /* those that run, by sub-channel index */
};

/* hvs_vsp_ops.destroy() */
void hvsi_storvsp_destroy(void *dev);
/* NULL: there is none. */
struct hvs_disk *hvsi_disk_find(struct hvs_storvsp *ctl, uint8_t path, uint8_t target, uint8_t lun);
struct hvs_disk *hvsi_disk_of_srb(struct hvs_storvsp *ctl, const struct hvsi_vmscsi *srb);
/* The next command the condition is for reports it. [any] */
void hvsi_disk_attend(struct hvs_disk *disk, enum hvsi_attention attention);
/* Sense data of a condition, which is over then; 0: there is none. */
uint32_t hvsi_disk_take_attention(struct hvs_disk *disk);
/* What a back end says of itself, as a disk of this type sees it. 0, -EINVAL, what it returned. */
int hvsi_disk_ask(const struct hvs_storvsp *ctl, uint8_t type, const struct hvs_blk_ops *ops,
		  void *priv, struct hvs_blk_info *info);
/* Have ready() called, of all channels. [any] */
void hvsi_storvsp_kick_all(struct hvs_storvsp *ctl);

/* ---- what is counted (stats.c) --------------------------------------------------------------- */

/* Of a disk that comes. 0, -ENOMEM. */
int hvsi_disk_stats_attach(struct hvs_disk *disk);
void hvsi_disk_stats_free(struct hvs_disk *disk);
/* A command for a disk begins; and its completion is in the ring. On its worker. */
void hvsi_request_begins(struct hvsi_stor_request *req, struct hvs_disk *disk);
void hvsi_request_ended(const struct hvsi_stor_request *req);

/* ---- requests (request.c) ------------------------------------------------------------------ */

/* How a command ended. */
struct hvsi_scsi_result {
	uint8_t scsi_status;
	uint8_t srb_status; /* without the autosense bit */
	uint8_t sense_len;  /* 0: no sense data */
	uint8_t sense[HVSI_SENSE_BYTES];
	uint32_t transferred; /* bytes */
};

/* What becomes of a command when its handler returns. */
enum hvsi_scsi_state {
	HVSI_SCSI_DONE,    /* req->result is valid */
	HVSI_SCSI_PENDING, /* the back end has it, or it waits for something */
};

enum hvsi_request_state {
	HVSI_REQ_RUNNING,   /* its channel's worker is just busy with it */
	HVSI_REQ_SUBMITTED, /* the back end has it */
	HVSI_REQ_PARKED,    /* waits until a disk is not exclusive any more */
	HVSI_REQ_DRAINING,  /* a reset, or an exclusive command: waits for others to end */
	HVSI_REQ_RESTORED,  /* from saved state; begins when the bus runs */
	HVSI_REQ_UNSENT,    /* its completion waits for room in the ring */
	HVSI_REQ_FREE,
};

/* A command, from its packet to its completion. */
struct hvsi_stor_request {
	struct hvs_blk_req blk;
	struct hvsi_stor_request *next; /* in one of: free, done, unsent, parked */
	struct hvsi_stor_chan *chan;
	struct hvs_disk *disk; /* NULL: not for one */
	/* Counts there when it ends; NULL: nowhere. `op` is how. */
	struct hvs_disk *target;
	uint8_t op;             /* enum hvs_disk_op */
	uint8_t opcode;         /* of the SCSI command */
	uint64_t began_ns;      /* 0: not measured */
	struct hvs_disk *holds; /* made exclusive for it; or NULL */
	struct hvs_map *map;
	uint64_t xid;
	enum hvsi_request_state state;
	bool wants_completion;
	bool wants_exclusive;    /* parked for that */
	uint8_t counted;         /* bit enum hvsi_drain_kind: hvsi_drain_one_less() */
	bool aborted;            /* begins nothing new */
	bool timed_out;          /* that is why */
	uint8_t resume;          /* how far a command that can't be begun again has come; saved */
	atomic_bool at_back_end; /* submitted and not completed */
	uint32_t last_tick;      /* aborted after it; 0: never */
	uint32_t packet_len;     /* bytes of the request and of its completion */
	/* The request, and when it is done its completion. */
	struct hvsi_vstor_packet packet;
	enum hvs_blk_status blk_status;
	/* What is next when the back end has done its part; NULL: the command is done. */
	enum hvsi_scsi_state (*then)(struct hvsi_stor_request *req);
	uint32_t transferred;       /* bytes, to be reported when it is done */
	struct hvs_extents *buffer; /* the guest's, from saved state; else NULL */
	void *work; /* memory of a command of several steps; freed with the request */
	size_t work_len;
	struct hvsi_drain drain; /* resets, exclusive commands */
	uint64_t reset_disks;    /* bit n: ctl->disk[n] is reset, and has not begun to leave */
	struct hvsi_scsi_result result;
};

/*
 * Hand req->blk (op, range, flags, iov) to req->disk's back end. req->then is called when that has
 * done it, or says that it is not supported; any other failure ends the command.
 */
enum hvsi_scsi_state hvsi_request_submit(struct hvsi_stor_request *req);
/* Memory of req's own, zeroed, freed with it. NULL: there is none. Once per request. */
void *hvsi_request_alloc(struct hvsi_stor_request *req, size_t len);
/*
 * Call `then` when no write of another request is at the disk's back end; until req has ended none
 * gets there. Returns HVSI_SCSI_PENDING.
 */
enum hvsi_scsi_state
hvsi_request_exclusive(struct hvsi_stor_request *req,
		       enum hvsi_scsi_state (*then)(struct hvsi_stor_request *));

struct hvsi_stor_slab;

enum hvsi_negotiation {
	HVSI_WANT_BEGIN,
	HVSI_WANT_VERSION,
	HVSI_WANT_PROPERTIES,
	HVSI_WANT_END,
	HVSI_READY,
};

struct hvsi_stor_chan {
	struct hvs_storvsp *ctl;
	struct hvs_channel *ch;
	uint16_t index;              /* 0: primary */
	uint32_t queue;              /* of back ends */
	enum hvsi_negotiation state; /* of a primary channel */
	uint16_t subchannels;        /* that the guest asked for */
	uint16_t version;
	bool closing;

	struct hvsi_stor_slab *slabs;
	struct hvsi_stor_request *free;
	unsigned in_flight;
	_Atomic(struct hvsi_stor_request *) done;
	struct hvsi_gate completing; /* threads inside hvsi_request_done() */
	struct hvsi_stor_request *unsent;
	struct hvsi_stor_request **unsent_last;
	struct hvsi_stor_request *parked;
	struct hvsi_stor_request **parked_last;
	struct hvsi_stor_request *restored; /* to be done again */
	struct hvsi_stor_request **restored_last;
	uint64_t touched; /* disks with submitted requests in this batch: commit them */

	/* Seconds, counted while requests are in flight; never 0. */
	uint32_t tick;
	bool ticking;

	bool joined; /* is in ctl->channel: takes part in drains */
	/* Drains that have not been looked at, bit n: of ctl->drains[n]; is there one? */
	atomic_bool asked;
	_Atomic uint64_t asked_by[HVSI_DRAIN_WORDS];
	uint16_t counted[HVSI_DRAIN_PLACES]; /* requests that drains wait for here */
};

#define HVSI_MAX_IN_FLIGHT 1024u /* per channel */

/* As few as make progress possible. 0, -ENOMEM. */
int hvsi_requests_init(struct hvsi_stor_chan *c);
void hvsi_requests_free(struct hvsi_stor_chan *c);
/* Is there a free one? Makes some if it may. */
bool hvsi_request_available(struct hvsi_stor_chan *c);
struct hvsi_stor_request *hvsi_request_get(struct hvsi_stor_chan *c);
/* req->packet is the answer: send it, in order behind those that wait. */
void hvsi_request_reply(struct hvsi_stor_request *req);
/* An SRB: is it done, or does it go on by itself? */
void hvsi_request_step(struct hvsi_stor_request *req, enum hvsi_scsi_state state);
/* From saved state: nobody gets at the disk before this command, which had it for itself. */
void hvsi_request_hold_again(struct hvsi_stor_request *req, struct hvs_disk *disk);
/* From saved state: req->packet is its completion, to be sent when there is room; or it is the
 * request, to be done in the first ready(). */
void hvsi_request_keep_unsent(struct hvsi_stor_request *req);
void hvsi_request_keep_restored(struct hvsi_stor_request *req);
/* All of these are gone: the channel is not restored after all, or is closed. */
void hvsi_requests_drop_kept(struct hvsi_stor_chan *c);
void hvsi_requests_do_restored(struct hvsi_stor_chan *c);
/* What an aborted request is going to be answered with. */
struct hvsi_vstor_packet hvsi_request_completion_of_aborted(const struct hvsi_stor_request *req);
/* Go on with a request whose turn it is again, on its worker. [any] */
void hvsi_request_done(struct hvsi_stor_request *req);
/* End what can be ended of a request. */
void hvsi_request_abort(struct hvsi_stor_request *req);
/* Call visit for all requests in use. */
void hvsi_requests_visit(struct hvsi_stor_chan *c,
			 void (*visit)(struct hvsi_stor_request *req, void *arg), void *arg);

void hvsi_requests_take_done(struct hvsi_stor_chan *c);
void hvsi_requests_send(struct hvsi_stor_chan *c);
void hvsi_requests_unpark(struct hvsi_stor_chan *c);
void hvsi_requests_commit(struct hvsi_stor_chan *c);
/* The clock has gone on by a second: abort what takes too long. */
void hvsi_requests_tick(struct hvsi_stor_chan *c);

/* ---- channels (chan.c, control.c, save.c) --------------------------------------------------- */

extern const struct hvs_vsp_ops hvsi_storvsp_chan_ops;

struct hvsi_stor_chan *hvsi_stor_chan_create(struct hvs_storvsp *ctl, struct hvs_channel *ch,
					     const struct hvs_open_params *params);
/* From now on drains ask the channel: it must be running, or have requests. */
void hvsi_stor_chan_join(struct hvsi_stor_chan *c);
void hvsi_stor_chan_destroy(struct hvsi_stor_chan *c);

bool hvsi_stor_ready(const struct hvsi_stor_chan *c);
/* SRBs have flags and a time-out: from 5.1 on. */
bool hvsi_stor_has_long_srbs(const struct hvsi_stor_chan *c);
/* A packet that was just received, or restored: req->packet. buffer may be NULL. */
void hvsi_stor_execute(struct hvsi_stor_request *req, const struct hvs_extents *buffer);
/* Everything but SRBs of a channel that is ready. */
void hvsi_stor_control(struct hvsi_stor_request *req);
/* What a reset waited for has ended. */
void hvsi_stor_reset_done(struct hvsi_stor_request *req);
bool hvsi_stor_version_known(const struct hvs_storvsp *ctl, uint16_t version);

int hvsi_stor_save(struct hvs_channel *ch, void *ctx, struct hvs_state_writer *w);
int hvsi_stor_restore(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		      struct hvs_state_reader *r, void **ctx);

/* ---- SCSI ------------------------------------------------------------------------------------ */

/* A command being decoded: private copies, and the guest's buffer. */
struct hvsi_scsi_cmd {
	struct hvs_storvsp *ctl;
	struct hvsi_stor_request *req;
	struct hvs_disk *disk;
	uint64_t num_blocks; /* of the disk, all through this command; 0: there is no medium */
	uint32_t flags;      /* HVS_BLK_INFO_* */
	const uint8_t *cdb;
	const struct hvs_extents *buffer; /* NULL: none */
	uint32_t buffer_len;              /* bytes the guest wants moved; inside *buffer */
	uint8_t data_in;                  /* HVSI_DATA_* as the guest says */
};

enum hvsi_scsi_trait {
	HVSI_SCSI_READS_DATA = 1u << 0,        /* to the guest */
	HVSI_SCSI_WRITES_DATA = 1u << 1,       /* from the guest */
	HVSI_SCSI_WRITES_MEDIUM = 1u << 2,     /* not if that is read-only */
	HVSI_SCSI_SERVICE_ACTION = 1u << 3,    /* one of several behind this opcode */
	HVSI_SCSI_DESPITE_ATTENTION = 1u << 4, /* does not report unit attention conditions */
	HVSI_SCSI_NEEDS_MEDIUM = 1u << 5,      /* an optical drive has to have one */
	/* What a reservation of another initiator may forbid (SPC-4 table 68, SBC-3 table 13, SPC-2
	 * table 8); one of these, or none for what is always allowed. */
	HVSI_SCSI_ASKS = 1u << 13,    /* about the device: only that of RESERVE(6) and (10) does */
	HVSI_SCSI_LOOKS = 1u << 14,   /* at the medium: an exclusive access one does */
	HVSI_SCSI_CHANGES = 1u << 15, /* what others see: a write exclusive one does, too */
};
#define HVSI_SCSI_CLASSES (HVSI_SCSI_ASKS | HVSI_SCSI_LOOKS | HVSI_SCSI_CHANGES)

/* A command of some type of device. */
struct hvsi_scsi_command {
	uint8_t opcode;
	uint8_t service_action; /* with HVSI_SCSI_SERVICE_ACTION */
	uint16_t traits;        /* enum hvsi_scsi_trait */
	enum hvsi_scsi_state (*execute)(const struct hvsi_scsi_cmd *cmd);
	/* Bits that are looked at, of the CDB from its second byte on: REPORT SUPPORTED OPERATION
	 * CODES tells them. Not those of the service action. */
	uint8_t usage[HVSI_CDB_BYTES - 1];
	uint8_t needs; /* HVS_BLK_INFO_*: disks without any of these don't know the command */
};

/* disk_commands.c, mmc.c; the last has no execute */
extern const struct hvsi_scsi_command hvsi_disk_commands[];
extern const struct hvsi_scsi_command hvsi_optical_commands[];

/* The group code in the opcode says how long a CDB is (SPC-3 4.3.4.1); 0: nothing known. */
uint8_t hvsi_scsi_cdb_len(uint8_t opcode);

/* scsi.c: r->packet holds the SRB. */
enum hvsi_scsi_state hvsi_scsi_execute(struct hvs_storvsp *ctl, struct hvsi_stor_request *req,
				       const struct hvs_extents *buffer);

/* sense.c: each sets the result and returns HVSI_SCSI_DONE. */
enum hvsi_scsi_state hvsi_scsi_good(struct hvsi_stor_request *req, uint32_t transferred);
enum hvsi_scsi_state hvsi_scsi_check(struct hvsi_stor_request *req, uint32_t sense);
enum hvsi_scsi_state hvsi_scsi_invalid(struct hvsi_stor_request *req, uint32_t sense);
enum hvsi_scsi_state hvsi_scsi_conflict(struct hvsi_stor_request *req);
/* HVSI_SENSE_INVALID_FIELD, and in which byte of the CDB it is: where drivers take it otherwise for
 * a command that does not exist. */
enum hvsi_scsi_state hvsi_scsi_invalid_cdb(struct hvsi_stor_request *req, uint8_t byte);
/* With a valid INFORMATION field, if it can hold the value. */
enum hvsi_scsi_state hvsi_scsi_check_info(struct hvsi_stor_request *req, uint32_t sense,
					  uint64_t information);
/* The request was aborted, or its back end failed with req->blk_status. */
enum hvsi_scsi_state hvsi_scsi_failed(struct hvsi_stor_request *req);
/* Data for the guest: as much of it as fits alloc_len and the guest's buffer. */
enum hvsi_scsi_state hvsi_scsi_reply(const struct hvsi_scsi_cmd *cmd, const void *data,
				     uint32_t len, uint32_t alloc_len);
/* Fixed-format sense data (SPC-3 4.5.3), 18 bytes. */
void hvsi_scsi_sense(uint8_t to[HVSI_SENSE_BYTES], uint32_t sense);

/* key << 16 | ASC << 8 | ASCQ (SPC-3 annex D) */
#define HVSI_SENSE_NONE 0x000000u
#define HVSI_SENSE_NO_MEDIUM 0x023a01u
#define HVSI_SENSE_NO_MEDIUM_TRAY_OPEN 0x023a02u
#define HVSI_SENSE_REMOVAL_PREVENTED_EMPTY 0x025302u
#define HVSI_SENSE_WRITE_ERROR 0x030c00u
#define HVSI_SENSE_READ_ERROR 0x031100u
#define HVSI_SENSE_TARGET_FAILURE 0x044400u
#define HVSI_SENSE_PARAMETER_LIST_LENGTH 0x051a00u
#define HVSI_SENSE_INVALID_OPCODE 0x052000u
#define HVSI_SENSE_LBA_OUT_OF_RANGE 0x052100u
#define HVSI_SENSE_INVALID_FIELD 0x052400u
#define HVSI_SENSE_INVALID_PARAMETER 0x052600u
#define HVSI_SENSE_INVALID_RELEASE 0x052604u
#define HVSI_SENSE_SAVING_NOT_SUPPORTED 0x053900u
#define HVSI_SENSE_REMOVAL_PREVENTED 0x055302u
#define HVSI_SENSE_NO_REGISTRATION_RESOURCES 0x055504u
#define HVSI_SENSE_MEDIUM_CHANGED 0x062800u
#define HVSI_SENSE_BUS_RESET 0x062902u
#define HVSI_SENSE_LUN_RESET 0x062903u
#define HVSI_SENSE_MODE_CHANGED 0x062a01u
#define HVSI_SENSE_RESERVATIONS_PREEMPTED 0x062a03u
#define HVSI_SENSE_RESERVATIONS_RELEASED 0x062a04u
#define HVSI_SENSE_REGISTRATIONS_PREEMPTED 0x062a05u
#define HVSI_SENSE_CAPACITY_CHANGED 0x062a09u
#define HVSI_SENSE_LUNS_CHANGED 0x063f0eu
#define HVSI_SENSE_WRITE_PROTECTED 0x072700u
#define HVSI_SENSE_SPACE_ALLOCATION_FAILED 0x072707u
#define HVSI_SENSE_ABORTED 0x0b0000u
#define HVSI_SENSE_TIMED_OUT 0x0b2e02u
#define HVSI_SENSE_MISCOMPARE 0x0e1d00u

/* ---- reservations (reservation.c) ------------------------------------------------------------ */

/* disk->cfg says where they are kept. 0, -EINVAL, -ENOTSUP, -ENOMEM, -EBADMSG, what read() says. */
int hvsi_reservations_attach(struct hvs_disk *disk);
void hvsi_reservations_detach(struct hvs_disk *disk);
/* From saved state: `seen`, and what a disk had that kept them itself, else NULL. 0, -ENOMEM. */
int hvsi_reservations_restore(struct hvs_disk *disk, const struct hvsi_pr_state *own,
			      uint64_t seen);
/* Others have changed them: 0, or a negative errno, and it is not known what is reserved. On a
 * worker. */
int hvsi_reservations_learn(struct hvs_disk *disk);
/* The same for all disks: commands that wait may have to be aborted. */
void hvsi_reservations_look(struct hvs_storvsp *ctl);
/* What RESERVE(6) and (10) did is over when the disk is reset, or the guest left the controller. */
void hvsi_reservations_reset(struct hvs_disk *disk);
void hvsi_reservations_nexus_lost(struct hvs_storvsp *ctl);

static inline bool hvsi_reservations_stale(const struct hvs_disk *disk)
{
	const struct hvsi_reservations *r = &disk->reservations;

	return r->ops.generation &&
	       r->ops.generation(disk->cfg.reservation_store) !=
		       atomic_load_explicit(&r->known, memory_order_relaxed) >> 16;
}

/* May a command with these traits conflict with a reservation? */
static inline bool hvsi_reservations_deny(const struct hvs_disk *disk, uint32_t traits)
{
	return atomic_load_explicit(&disk->reservations.known, memory_order_relaxed) & traits &
	       HVSI_SCSI_CLASSES;
}

/* A command of a class that is denied: is it allowed, being what it is? */
bool hvsi_reservations_allow(const struct hvsi_scsi_cmd *cmd);

enum hvsi_scsi_state hvsi_scsi_reserve_in(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_reserve_out(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_reserve(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_release(const struct hvsi_scsi_cmd *cmd);

/* inquiry.c: of a LUN that is not there */
enum hvsi_scsi_state hvsi_scsi_inquiry_absent(const struct hvsi_scsi_cmd *cmd, uint8_t lun);
/* opcodes.c: of a device that has these commands; the last has no execute */
enum hvsi_scsi_state hvsi_scsi_report_opcodes(const struct hvsi_scsi_cmd *cmd,
					      const struct hvsi_scsi_command *commands);
enum hvsi_scsi_state hvsi_scsi_report_task_management(const struct hvsi_scsi_cmd *cmd);
/* scsi.c */
enum hvsi_scsi_state hvsi_scsi_report_luns(const struct hvsi_scsi_cmd *cmd);

/* ---- optical drives (optical.c) --------------------------------------------- */

#define HVSI_OPTICAL_BLOCK 2048u
#define HVSI_TYPE_OPTICAL 0x05 /* peripheral device type */

/* Reset: what the guest locked is unlocked. */
void hvsi_drive_reset(struct hvs_disk *disk);
/* The driver has gone, and the next one is told nothing of what was before. */
void hvsi_drive_forget(struct hvs_disk *disk);
uint8_t hvsi_drive_flags(struct hvs_disk *disk);
bool hvsi_drive_locked(struct hvs_disk *disk);
/* From saved state, when the medium had so many blocks; 0: none. */
void hvsi_drive_restore(struct hvs_disk *disk, uint8_t flags, uint64_t num_blocks);
/* Sense data of a command that needs a medium, when there is none. */
uint32_t hvsi_drive_not_ready(struct hvs_disk *disk);

/*
 * Map the first len bytes of the guest's buffer, for data that move in the command's direction,
 * into req->map. A command that goes pending must have done so if it has a buffer: saved state
 * names the buffer by it. True: done; false: *state is what the command ends with.
 */
bool hvsi_scsi_map(const struct hvsi_scsi_cmd *cmd, uint32_t len, enum hvs_access access,
		   enum hvsi_scsi_state *state);

#endif
