/* SPDX-License-Identifier: MIT */
/*
 * Reservations of a disk, as they are stored: who has registered with which key, who holds the
 * disk, and what those who were affected by others have to learn. SPC-4 5.12, SPC-2 5.5.
 *
 * An I_T nexus is known by the 16-byte id of its initiator, that is its controller.
 */
#ifndef HVSI_STORAGE_RESERVATION_STATE_H
#define HVSI_STORAGE_RESERVATION_STATE_H

#include "util/le.h"

#include <hvstack/reservation.h>
#include <hvstack/types.h>

#include <stdbool.h>
#include <stddef.h>

#define HVSI_PR_REGISTRANTS 64u
#define HVSI_PR_ENTRIES 128u /* registrants, and who must be told that it is none any more */
#define HVSI_PR_MAX_DATA (8u + HVSI_PR_REGISTRANTS * 48) /* bytes of the longest reply */
#define HVSI_PR_TRANSPORT_ID 24u                         /* bytes of ours: SRP */
#define HVSI_PR_PORT 1u                                  /* relative target port */

enum hvsi_pr_type {
	HVSI_PR_NONE = 0,
	HVSI_PR_WRITE_EXCLUSIVE = 1,
	HVSI_PR_EXCLUSIVE_ACCESS = 3,
	HVSI_PR_WRITE_EXCLUSIVE_REGISTRANTS = 5,
	HVSI_PR_EXCLUSIVE_ACCESS_REGISTRANTS = 6,
	HVSI_PR_WRITE_EXCLUSIVE_ALL = 7,
	HVSI_PR_EXCLUSIVE_ACCESS_ALL = 8,
};

/* What another nexus did to one; each has in its entry when that happened last. */
enum hvsi_pr_event {
	HVSI_PR_RESERVATIONS_PREEMPTED,
	HVSI_PR_RESERVATIONS_RELEASED,
	HVSI_PR_REGISTRATIONS_PREEMPTED,
	HVSI_PR_ABORTED, /* its commands are to be aborted */
	HVSI_PR_EVENTS,
};

#define HVSI_PR_ALL_TARGET_PORTS 1u

struct hvsi_pr_entry {
	struct hvs_guid initiator;
	struct hvs_le64 key; /* 0: not registered */
	/* hvsi_pr_state.changes right after it; 0: never */
	struct hvs_le64 event[HVSI_PR_EVENTS];
	uint8_t flags; /* HVSI_PR_ALL_TARGET_PORTS */
	uint8_t reserved[7];
};

#define HVSI_PR_PERSISTS 1u /* APTPL */
#define HVSI_PR_RESERVED 2u /* by RESERVE(6) or RESERVE(10) */

struct hvsi_pr_state {
	uint8_t magic[8];
	struct hvs_le32 checksum;   /* of all behind it */
	struct hvs_le32 generation; /* PRGENERATION */
	struct hvs_le64 changes;
	uint8_t type;         /* enum hvsi_pr_type */
	uint8_t flags;        /* HVSI_PR_PERSISTS, HVSI_PR_RESERVED */
	struct hvs_le16 used; /* entries, from the first one on */
	uint8_t reserved[4];
	struct hvs_guid holder;   /* of a type that is not for all registrants */
	struct hvs_guid reserver; /* with HVSI_PR_RESERVED */
	struct hvsi_pr_entry entry[HVSI_PR_ENTRIES];
};
_Static_assert(sizeof(struct hvsi_pr_entry) == 64, "format of reservations");
_Static_assert(sizeof(struct hvsi_pr_state) == HVS_RESERVATION_BYTES, "format of reservations");

/* Is it one, whatever wrote it? The functions below take only such ones. */
bool hvsi_pr_check(const struct hvsi_pr_state *s);
/* It has been changed: make it one again. */
void hvsi_pr_seal(struct hvsi_pr_state *s);

/* enum hvsi_scsi_trait: the classes of commands that this nexus may not use. */
unsigned hvsi_pr_denied(const struct hvsi_pr_state *s, const struct hvs_guid *who);
/* What has happened to it since then, bit n: enum hvsi_pr_event. */
unsigned hvsi_pr_events_since(const struct hvsi_pr_state *s, const struct hvs_guid *who,
			      uint64_t changes);

/* How a command ends: 0 is GOOD, this one RESERVATION CONFLICT, others are sense data. */
#define HVSI_PR_CONFLICT UINT32_MAX

enum hvsi_pr_in_action {
	HVSI_PR_READ_KEYS = 0,
	HVSI_PR_READ_RESERVATION = 1,
	HVSI_PR_REPORT_CAPABILITIES = 2,
	HVSI_PR_READ_FULL_STATUS = 3,
};

/* can_persist: the state outlives this process. *len: bytes that were written to `to`. */
uint32_t hvsi_pr_in(const struct hvsi_pr_state *s, enum hvsi_pr_in_action action, bool can_persist,
		    uint8_t to[HVSI_PR_MAX_DATA], uint32_t *len);

enum hvsi_pr_out_action {
	HVSI_PR_REGISTER = 0,
	HVSI_PR_RESERVE = 1,
	HVSI_PR_RELEASE = 2,
	HVSI_PR_CLEAR = 3,
	HVSI_PR_PREEMPT = 4,
	HVSI_PR_PREEMPT_AND_ABORT = 5,
	HVSI_PR_REGISTER_AND_IGNORE = 6,
	HVSI_PR_REGISTER_AND_MOVE = 7,
};

/* PERSISTENT RESERVE OUT. */
struct hvsi_pr_out {
	struct hvs_guid from;
	uint8_t action; /* enum hvsi_pr_out_action */
	uint8_t scope;
	uint8_t type;
	uint64_t key;
	uint64_t action_key;
	bool persist; /* APTPL */
	bool can_persist;
	bool all_target_ports;
	bool names_initiators; /* SPEC_I_PT */
	bool unregister;       /* REGISTER AND MOVE */
	/* TransportIDs: of those to be registered as well, or of the one to move to. */
	uint32_t initiator_count;
	struct hvs_guid initiator[HVSI_PR_REGISTRANTS];
};

/* Its parameter list is a valid one. What does not end in GOOD changes nothing. */
uint32_t hvsi_pr_out(struct hvsi_pr_state *s, const struct hvsi_pr_out *out);
/* RESERVE and RELEASE, of 6 or 10 bytes. */
uint32_t hvsi_pr_reserve(struct hvsi_pr_state *s, const struct hvs_guid *from);
uint32_t hvsi_pr_release(struct hvsi_pr_state *s, const struct hvs_guid *from);
/* The disk was reset, or only this nexus (not NULL) was lost. False: that changes nothing. */
bool hvsi_pr_reset(struct hvsi_pr_state *s, const struct hvs_guid *from);

#endif
