/* SPDX-License-Identifier: MIT */
/*
 * Reservations of a disk: where they are kept, and what this controller has to know of them.
 *
 * What this controller may not do is one atomic word, looked at by each command; commands that
 * change reservations, and others' changes, make it anew. A disk that is shared knows by the
 * generation in the same word whether anything has changed since: then it reads the state, which
 * waits for nobody.
 */
#include "util/alloc.h"
#include "util/list.h"
#include "util/sized.h"
#include "vsp/storage/storvsp.h"

#include <hvstack/vmbus.h>

#include <errno.h>
#include <string.h>

#define OP_START_STOP 0x1b
#define OP_PREVENT_ALLOW 0x1e
#define CDB_ACTION 0x1f
#define START_IS_START 0x01
#define START_POWER_CONDITION 0xf0
#define PREVENT 0x03

#define LIST_LEN 24u /* of PERSISTENT RESERVE OUT without TransportIDs */
#define LIST_APTPL 0x01
#define LIST_UNREGISTER 0x02
#define LIST_ALL_TARGET_PORTS 0x04
#define LIST_NAMES_INITIATORS 0x08
#define LIST_MAX (LIST_LEN + 4 + HVSI_PR_REGISTRANTS * HVSI_PR_TRANSPORT_ID)
#define TRANSPORT_SRP 0x04 /* format 0 */
#define TRANSPORT_KIND 0xcf

#define GENERATION_SHIFT 16 /* below it: enum hvsi_scsi_trait */

static const struct hvs_allocator *allocator(const struct hvs_disk *disk)
{
	return hvs_vmbus_allocator(disk->ctl->bus);
}

static const struct hvs_guid *self(const struct hvs_disk *disk)
{
	return &disk->ctl->initiator;
}

/* ---- commands of a preempted nexus ----------------------------------------------------------- */

static void start_abort(struct hvs_disk *disk, unsigned round);

static void aborted(struct hvsi_drain *drain)
{
	struct hvs_disk *disk = hvsi_container_of(drain, struct hvs_disk, reservations.drain);
	unsigned round = disk->reservations.round;

	/* Preempted again meanwhile? */
	if (!atomic_compare_exchange_strong(&disk->reservations.aborts, &round, 0))
		start_abort(disk, round);
}

static void start_abort(struct hvs_disk *disk, unsigned round)
{
	disk->reservations.round = round;
	disk->reservations.drain = (struct hvsi_drain){.kind = HVSI_DRAIN_PREEMPTED,
						       .disks = 1ull << (disk - disk->ctl->disk),
						       .abort = true,
						       .done = aborted};
	hvsi_drain_start(disk->ctl, &disk->reservations.drain);
}

static void tell(struct hvs_disk *disk, unsigned events)
{
	if (events & 1u << HVSI_PR_RESERVATIONS_PREEMPTED)
		hvsi_disk_attend(disk, HVSI_UA_RESERVATIONS_PREEMPTED);
	if (events & 1u << HVSI_PR_RESERVATIONS_RELEASED)
		hvsi_disk_attend(disk, HVSI_UA_RESERVATIONS_RELEASED);
	if (events & 1u << HVSI_PR_REGISTRATIONS_PREEMPTED)
		hvsi_disk_attend(disk, HVSI_UA_REGISTRATIONS_PREEMPTED);
}

/* ---- what this controller knows -------------------------------------------------------------- */

/* Under disk->reservations.lock. Returns what happened to us since we looked last. */
static unsigned know(struct hvs_disk *disk, const struct hvsi_pr_state *s, uint64_t generation)
{
	struct hvsi_reservations *r = &disk->reservations;
	unsigned events = hvsi_pr_events_since(s, self(disk), r->seen);

	r->seen = hvsi_get64(s->changes);
	r->generation = generation;
	tell(disk, events);
	atomic_store(&r->known, generation << GENERATION_SHIFT | hvsi_pr_denied(s, self(disk)));
	return events;
}

static int read_store(struct hvs_disk *disk, struct hvsi_pr_state *s, uint64_t *generation)
{
	int err = disk->reservations.ops.read(disk->cfg.reservation_store, s, generation);

	if (err)
		return err;
	return hvsi_pr_check(s) ? 0 : -EBADMSG;
}

static bool shared(const struct hvs_disk *disk)
{
	return disk->reservations.ops.generation != NULL;
}

/* s is overwritten. */
static int learn(struct hvs_disk *disk, struct hvsi_pr_state *s)
{
	struct hvsi_reservations *r = &disk->reservations;
	uint64_t generation;
	unsigned events = 0;
	int err = read_store(disk, s, &generation);

	if (err)
		return err;
	hvsi_spin_lock(&r->lock);
	if (generation > r->generation)
		events = know(disk, s, generation);
	hvsi_spin_unlock(&r->lock);
	if (events & 1u << HVSI_PR_ABORTED && atomic_fetch_add(&r->aborts, 1) == 0)
		start_abort(disk, 1);
	return 0;
}

int hvsi_reservations_learn(struct hvs_disk *disk)
{
	struct hvsi_pr_state *s = hvsi_alloc(allocator(disk), sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	err = learn(disk, s);
	hvsi_free(allocator(disk), s, sizeof(*s));
	return err;
}

void hvsi_reservations_look(struct hvs_storvsp *ctl)
{
	for (unsigned i = 0; i < HVS_STORVSP_MAX_DISKS; i++) {
		struct hvs_disk *disk = &ctl->disk[i];

		if (atomic_load(&disk->state) == HVSI_DISK_PRESENT && hvsi_reservations_stale(disk))
			(void)hvsi_reservations_learn(disk); /* else the next command does */
	}
}

/* ---- changing it ----------------------------------------------------------------------------- */

/* Of a disk for this controller alone: there is a state to be changed. */
static int make_own(struct hvs_disk *disk)
{
	struct hvsi_reservations *r = &disk->reservations;
	struct hvsi_pr_state *s = hvsi_alloc(allocator(disk), sizeof(*s));
	struct hvsi_pr_state *unused = s;

	if (!s)
		return -ENOMEM;
	hvsi_spin_lock(&r->lock);
	if (!r->own) {
		r->own = s;
		unused = NULL;
	}
	hvsi_spin_unlock(&r->lock);
	hvsi_free(allocator(disk), unused, sizeof(*unused));
	return 0;
}

/* 1: there is none. */
static int change_own(struct hvs_disk *disk, int (*change)(void *arg, void *state), void *arg)
{
	struct hvsi_reservations *r = &disk->reservations;
	int err = 1;

	hvsi_spin_lock(&r->lock);
	if (r->own) {
		err = change(arg, r->own);
		if (err > 0) {
			(void)know(disk, r->own, hvsi_get64(r->own->changes));
			err = 0;
		}
	}
	hvsi_spin_unlock(&r->lock);
	return err;
}

/* What a command needs while it is executed. */
struct work {
	struct hvsi_pr_state state; /* a copy */
	struct hvsi_pr_out out;     /* but for PERSISTENT RESERVE IN */
	uint32_t (*simple)(struct hvsi_pr_state *s, const struct hvs_guid *from);
	uint32_t result; /* as of hvsi_pr_out() */
	uint32_t len;
	uint8_t data[HVSI_PR_MAX_DATA];
};
_Static_assert(LIST_MAX <= HVSI_PR_MAX_DATA, "a list fits work.data");

static int change_state(struct hvs_disk *disk, int (*change)(void *arg, void *state),
			struct work *w)
{
	int err;

	if (shared(disk)) {
		err = disk->reservations.ops.update(disk->cfg.reservation_store, change, w);
		return err ? err : learn(disk, &w->state);
	}
	err = change_own(disk, change, w);
	if (err <= 0)
		return err;
	err = make_own(disk);
	return err ? err : change_own(disk, change, w);
}

static int read_state(struct hvs_disk *disk, struct hvsi_pr_state *s)
{
	struct hvsi_reservations *r = &disk->reservations;
	uint64_t generation;

	if (shared(disk))
		return read_store(disk, s, &generation);
	hvsi_spin_lock(&r->lock);
	if (r->own)
		*s = *r->own;
	hvsi_spin_unlock(&r->lock);
	return 0;
}

/* ---- disks come, go, and are reset ----------------------------------------------------------- */

int hvsi_reservations_attach(struct hvs_disk *disk)
{
	struct hvsi_reservations *r = &disk->reservations;
	struct hvsi_pr_state *s;
	int err;

	/* r->drain may still be waiting for its turn, which does no harm. */
	hvsi_spin_init(&r->lock);
	r->ops = (struct hvs_reservation_ops){0};
	r->own = NULL;
	r->generation = 0;
	r->seen = 0;
	atomic_store(&r->known, 0);
	if (!disk->cfg.reservations)
		return 0;
	err = HVSI_TAKE(&r->ops, disk->cfg.reservations, update);
	if (err)
		return err;
	if (r->ops.reserved || !r->ops.generation || !r->ops.read || !r->ops.update)
		return -EINVAL;
	s = hvsi_alloc(allocator(disk), sizeof(*s));
	if (!s)
		return -ENOMEM;
	err = read_store(disk, s, &r->generation);
	if (!err) {
		r->seen = hvsi_get64(s->changes); /* what was before concerns nobody here */
		(void)know(disk, s, r->generation);
	}
	hvsi_free(allocator(disk), s, sizeof(*s));
	return err;
}

void hvsi_reservations_detach(struct hvs_disk *disk)
{
	struct hvsi_pr_state *own = disk->reservations.own;

	disk->reservations.own = NULL;
	if (own)
		hvsi_free(allocator(disk), own, sizeof(*own));
}

int hvsi_reservations_restore(struct hvs_disk *disk, const struct hvsi_pr_state *own, uint64_t seen)
{
	struct hvsi_reservations *r = &disk->reservations;
	int err = 0;

	if (shared(disk)) {
		/* The machine is told what happened while it was away. */
		if (seen < r->seen && !own) {
			r->seen = seen;
			r->generation = 0;
			err = hvsi_reservations_learn(disk);
		}
		return err == -ENOMEM ? err : 0;
	}
	if (own)
		err = make_own(disk);
	if (own && !err) {
		*r->own = *own;
		r->seen = hvsi_get64(own->changes);
		(void)know(disk, r->own, r->seen);
	}
	return err;
}

static int reset_state(void *arg, void *state)
{
	struct hvsi_pr_state *s = state;

	if (!hvsi_pr_check(s))
		return -EBADMSG;
	if (!hvsi_pr_reset(s, arg))
		return 0;
	hvsi_pr_seal(s);
	return 1;
}

/* who is NULL: whoever it is. A disk that leaves has no store any more. */
static void end_reserve(struct hvs_disk *disk, struct hvs_guid *who)
{
	if (atomic_load(&disk->state) != HVSI_DISK_PRESENT)
		return;
	if (!shared(disk))
		(void)change_own(disk, reset_state, who);
	else if (!disk->reservations.ops.update(disk->cfg.reservation_store, reset_state, who))
		(void)hvsi_reservations_learn(disk);
}

void hvsi_reservations_reset(struct hvs_disk *disk)
{
	end_reserve(disk, NULL);
}

void hvsi_reservations_nexus_lost(struct hvs_storvsp *ctl)
{
	for (unsigned i = 0; i < HVS_STORVSP_MAX_DISKS; i++)
		end_reserve(&ctl->disk[i], &ctl->initiator);
}

/* ---- conflicts ------------------------------------------------------------------------------- */

/* Of these two it depends on the CDB what they change. */
bool hvsi_reservations_allow(const struct hvsi_scsi_cmd *cmd)
{
	if (cmd->cdb[0] == OP_START_STOP)
		return cmd->cdb[4] & START_IS_START && !(cmd->cdb[4] & START_POWER_CONDITION);
	return cmd->cdb[0] == OP_PREVENT_ALLOW && !(cmd->cdb[4] & PREVENT);
}

/* ---- commands -------------------------------------------------------------------------------- */

/* The store did not do it. */
static enum hvsi_scsi_state failed(struct hvsi_stor_request *req, int err)
{
	return hvsi_scsi_check(req,
			       err == -ETIMEDOUT ? HVSI_SENSE_ABORTED : HVSI_SENSE_TARGET_FAILURE);
}

static enum hvsi_scsi_state ended(const struct hvsi_scsi_cmd *cmd, uint32_t result,
				  uint32_t transferred)
{
	if (!result)
		return hvsi_scsi_good(cmd->req, transferred);
	if (result == HVSI_PR_CONFLICT)
		return hvsi_scsi_conflict(cmd->req);
	return hvsi_scsi_invalid(cmd->req, result);
}

enum hvsi_scsi_state hvsi_scsi_reserve_in(const struct hvsi_scsi_cmd *cmd)
{
	struct work *w = hvsi_request_alloc(cmd->req, sizeof(*w));
	int err = w ? read_state(cmd->disk, &w->state) : -ENOMEM;

	if (err)
		return failed(cmd->req, err);
	w->result = hvsi_pr_in(&w->state, cmd->cdb[1] & CDB_ACTION, shared(cmd->disk), w->data,
			       &w->len);
	if (w->result)
		return ended(cmd, w->result, 0);
	return hvsi_scsi_reply(cmd, w->data, w->len, hvsi_get_be16(cmd->cdb + 7));
}

static bool take_transport_id(const uint8_t *id, struct hvs_guid *initiator)
{
	memcpy(initiator->b, id + 8, sizeof(initiator->b));
	return (id[0] & TRANSPORT_KIND) == TRANSPORT_SRP;
}

/* TransportIDs behind the list: those of REGISTER with SPEC_I_PT. */
static uint32_t take_initiators(struct hvsi_pr_out *out, const uint8_t *list, uint32_t len)
{
	uint32_t ids = len - LIST_LEN - 4;

	if (len < LIST_LEN + 4 || hvsi_get_be32(list + LIST_LEN) != ids)
		return HVSI_SENSE_PARAMETER_LIST_LENGTH;
	if (ids % HVSI_PR_TRANSPORT_ID)
		return HVSI_SENSE_INVALID_PARAMETER;
	for (uint32_t at = 0; at < ids; at += HVSI_PR_TRANSPORT_ID)
		if (!take_transport_id(list + LIST_LEN + 4 + at,
				       &out->initiator[out->initiator_count++]))
			return HVSI_SENSE_INVALID_PARAMETER;
	return 0;
}

/* The list of REGISTER AND MOVE looks different from its third field on. */
static uint32_t take_move(struct hvsi_pr_out *out, const uint8_t *list, uint32_t len)
{
	if (hvsi_get_be32(list + 20) != len - LIST_LEN)
		return HVSI_SENSE_PARAMETER_LIST_LENGTH;
	out->persist = list[17] & LIST_APTPL;
	out->unregister = list[17] & LIST_UNREGISTER;
	if (len != LIST_LEN + HVSI_PR_TRANSPORT_ID || hvsi_get_be16(list + 18) != HVSI_PR_PORT ||
	    !take_transport_id(list + LIST_LEN, &out->initiator[0]))
		return HVSI_SENSE_INVALID_PARAMETER;
	out->initiator_count = 1;
	return 0;
}

static uint32_t take_list(struct hvsi_pr_out *out, const uint8_t *cdb, const uint8_t *list,
			  uint32_t len)
{
	out->action = cdb[1] & CDB_ACTION;
	out->scope = cdb[2] >> 4;
	out->type = cdb[2] & 0x0f;
	out->key = hvsi_get_be64(list);
	out->action_key = hvsi_get_be64(list + 8);
	if (out->action == HVSI_PR_REGISTER_AND_MOVE)
		return take_move(out, list, len);
	out->persist = list[20] & LIST_APTPL;
	out->all_target_ports = list[20] & LIST_ALL_TARGET_PORTS;
	out->names_initiators = list[20] & LIST_NAMES_INITIATORS;
	if (out->action == HVSI_PR_REGISTER && out->names_initiators)
		return take_initiators(out, list, len);
	return len == LIST_LEN ? 0 : HVSI_SENSE_PARAMETER_LIST_LENGTH;
}

static int change(void *arg, void *state)
{
	struct hvsi_pr_state *s = state;
	struct work *w = arg;

	if (!hvsi_pr_check(s))
		return -EBADMSG;
	w->result = w->simple ? w->simple(s, &w->out.from) : hvsi_pr_out(s, &w->out);
	if (w->result)
		return 0;
	hvsi_pr_seal(s);
	return 1;
}

enum hvsi_scsi_state hvsi_scsi_reserve_out(const struct hvsi_scsi_cmd *cmd)
{
	uint32_t len = hvsi_get_be32(cmd->cdb + 5);
	struct work *w;
	int err;

	if (len < LIST_LEN || len > LIST_MAX || len > cmd->buffer_len)
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_PARAMETER_LIST_LENGTH);
	w = hvsi_request_alloc(cmd->req, sizeof(*w));
	if (!w)
		return failed(cmd->req, -ENOMEM);
	if (hvs_extents_read(cmd->buffer, 0, w->data, len) < 0)
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	w->out.from = *self(cmd->disk);
	w->out.can_persist = shared(cmd->disk);
	w->result = take_list(&w->out, cmd->cdb, w->data, len);
	err = w->result ? 0 : change_state(cmd->disk, change, w);
	return err ? failed(cmd->req, err) : ended(cmd, w->result, len);
}

static enum hvsi_scsi_state reserve_unit(const struct hvsi_scsi_cmd *cmd,
					 uint32_t (*simple)(struct hvsi_pr_state *,
							    const struct hvs_guid *))
{
	struct work *w;
	int err;

	/* For a third party, an extent, or with a parameter list: no more (SPC-2). */
	if (cmd->cdb[1] & 0x1f || (cmd->cdb[0] >> 5 && hvsi_get_be16(cmd->cdb + 7)))
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	w = hvsi_request_alloc(cmd->req, sizeof(*w));
	if (!w)
		return failed(cmd->req, -ENOMEM);
	w->simple = simple;
	w->out.from = *self(cmd->disk);
	err = change_state(cmd->disk, change, w);
	return err ? failed(cmd->req, err) : ended(cmd, w->result, 0);
}

enum hvsi_scsi_state hvsi_scsi_reserve(const struct hvsi_scsi_cmd *cmd)
{
	return reserve_unit(cmd, hvsi_pr_reserve);
}

enum hvsi_scsi_state hvsi_scsi_release(const struct hvsi_scsi_cmd *cmd)
{
	return reserve_unit(cmd, hvsi_pr_release);
}
