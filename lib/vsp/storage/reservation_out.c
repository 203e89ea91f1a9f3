/* SPDX-License-Identifier: MIT */
/* PERSISTENT RESERVE OUT, applied to the state of a disk (SPC-4 5.12.5 to 5.12.11). */
#include "util/guid.h"
#include "vsp/storage/reservation_impl.h"
#include "vsp/storage/storvsp.h"

#include <string.h>

static uint64_t key_of(const struct hvsi_pr_entry *e)
{
	return e ? hvsi_get64(e->key) : 0;
}

/* Whoever asks is not told. */
static void tell(struct hvsi_pr_state *s, struct hvsi_pr_entry *e, const struct hvsi_pr_out *out,
		 enum hvsi_pr_event event)
{
	if (event == HVSI_PR_ABORTED || !hvsi_guid_equal(&e->initiator, &out->from))
		e->event[event] = hvsi_le64(hvsi_get64(s->changes) + 1);
}

static void tell_registrants(struct hvsi_pr_state *s, const struct hvsi_pr_out *out,
			     enum hvsi_pr_event event)
{
	for (unsigned i = 0; i < hvsi_get16(s->used); i++)
		if (key_of(&s->entry[i]))
			tell(s, &s->entry[i], out, event);
}

static void reserve_for(struct hvsi_pr_state *s, uint8_t type, const struct hvs_guid *holder)
{
	s->type = type;
	if (type == HVSI_PR_NONE || hvsi_pr_for_all(type))
		memset(&s->holder, 0, sizeof(s->holder));
	else
		s->holder = *holder;
}

/* Those who only could use the disk because of it are told. */
static void end_reservation(struct hvsi_pr_state *s, const struct hvsi_pr_out *out)
{
	if (hvsi_pr_for_registrants(s->type))
		tell_registrants(s, out, HVSI_PR_RESERVATIONS_RELEASED);
	reserve_for(s, HVSI_PR_NONE, NULL);
}

/* The entry stays if there is something to be told. */
static void unregister(struct hvsi_pr_state *s, const struct hvsi_pr_out *out,
		       struct hvsi_pr_entry *e)
{
	static const struct hvs_le64 never[HVSI_PR_EVENTS];
	bool held = hvsi_pr_holds(s, &e->initiator);

	e->key = hvsi_le64(0);
	e->flags = 0;
	if (held && (!hvsi_pr_for_all(s->type) || !hvsi_pr_registrants(s)))
		end_reservation(s, out);
	if (memcmp(e->event, never, sizeof(never)) == 0)
		hvsi_pr_remove(s, e);
}

/* ---- REGISTER -------------------------------------------------------------------------------- */

static void register_one(struct hvsi_pr_state *s, const struct hvsi_pr_out *out,
			 const struct hvs_guid *who)
{
	struct hvsi_pr_entry *e = hvsi_pr_add(s, who);

	e->key = hvsi_le64(out->action_key);
	e->flags = out->all_target_ports ? HVSI_PR_ALL_TARGET_PORTS : 0;
}

static uint32_t register_new(struct hvsi_pr_state *s, const struct hvsi_pr_out *out)
{
	unsigned wanted = 1 + hvsi_pr_registrants(s);

	for (uint32_t i = 0; i < out->initiator_count; i++)
		wanted += !hvsi_pr_registrant(s, &out->initiator[i]) &&
			  !hvsi_guid_equal(&out->initiator[i], &out->from);
	if (wanted > HVSI_PR_REGISTRANTS)
		return HVSI_SENSE_NO_REGISTRATION_RESOURCES;
	register_one(s, out, &out->from);
	for (uint32_t i = 0; i < out->initiator_count; i++)
		if (!hvsi_pr_registrant(s, &out->initiator[i]))
			register_one(s, out, &out->initiator[i]);
	return 0;
}

static void set_persistence(struct hvsi_pr_state *s, const struct hvsi_pr_out *out)
{
	s->flags &= (uint8_t)~HVSI_PR_PERSISTS;
	if (out->persist)
		s->flags |= HVSI_PR_PERSISTS;
}

static uint32_t register_key(struct hvsi_pr_state *s, const struct hvsi_pr_out *out)
{
	bool ignore = out->action == HVSI_PR_REGISTER_AND_IGNORE;
	struct hvsi_pr_entry *e = hvsi_pr_registrant(s, &out->from);
	uint32_t err = 0;

	if (!ignore && key_of(e) != out->key)
		return HVSI_PR_CONFLICT;
	if ((out->persist && !out->can_persist) ||
	    (out->names_initiators && (ignore || e || !out->action_key)))
		return HVSI_SENSE_INVALID_PARAMETER;
	if (!e && !out->action_key)
		return 0;
	if (!out->action_key)
		unregister(s, out, e);
	else if (e)
		register_one(s, out, &out->from);
	else
		err = register_new(s, out);
	if (!err)
		set_persistence(s, out);
	return err;
}

static uint32_t register_and_move(struct hvsi_pr_state *s, const struct hvsi_pr_out *out,
				  struct hvsi_pr_entry *me)
{
	const struct hvs_guid *to = &out->initiator[0];
	unsigned others = hvsi_pr_registrants(s) - out->unregister;

	if (hvsi_pr_for_all(s->type) || !hvsi_pr_holds(s, &out->from))
		return HVSI_PR_CONFLICT;
	if (!out->action_key || hvsi_guid_equal(to, &out->from) ||
	    (out->persist && !out->can_persist))
		return HVSI_SENSE_INVALID_PARAMETER;
	if (!hvsi_pr_registrant(s, to) && others >= HVSI_PR_REGISTRANTS)
		return HVSI_SENSE_NO_REGISTRATION_RESOURCES;
	reserve_for(s, s->type, to);
	if (out->unregister)
		unregister(s, out, me);
	register_one(s, out, to);
	set_persistence(s, out);
	return 0;
}

/* ---- RESERVE, RELEASE, CLEAR ----------------------------------------------------------------- */

static bool type_ok(const struct hvsi_pr_out *out)
{
	return !out->scope && hvsi_pr_type_known(out->type);
}

static uint32_t reserve(struct hvsi_pr_state *s, const struct hvsi_pr_out *out)
{
	if (s->type != HVSI_PR_NONE)
		return hvsi_pr_holds(s, &out->from) && s->type == out->type ? 0 : HVSI_PR_CONFLICT;
	reserve_for(s, out->type, &out->from);
	return 0;
}

static uint32_t release(struct hvsi_pr_state *s, const struct hvsi_pr_out *out)
{
	if (!hvsi_pr_holds(s, &out->from))
		return 0;
	if (s->type != out->type)
		return HVSI_SENSE_INVALID_RELEASE;
	end_reservation(s, out);
	return 0;
}

static uint32_t clear(struct hvsi_pr_state *s, const struct hvsi_pr_out *out)
{
	tell_registrants(s, out, HVSI_PR_RESERVATIONS_PREEMPTED);
	reserve_for(s, HVSI_PR_NONE, NULL);
	for (unsigned i = hvsi_get16(s->used); i-- > 0;)
		if (key_of(&s->entry[i]))
			unregister(s, out, &s->entry[i]);
	return 0;
}

/* ---- PREEMPT --------------------------------------------------------------------------------- */

static bool key_is_used(const struct hvsi_pr_state *s, uint64_t key)
{
	for (unsigned i = 0; i < hvsi_get16(s->used); i++)
		if (key_of(&s->entry[i]) == key)
			return true;
	return false;
}

/* Takes registrations away: those of a key, or, with 0, all. `spared` keeps its own. */
static void take_away(struct hvsi_pr_state *s, const struct hvsi_pr_out *out,
		      const struct hvs_guid *spared)
{
	for (unsigned i = hvsi_get16(s->used); i-- > 0;) {
		struct hvsi_pr_entry *e = &s->entry[i];

		if (!key_of(e) || (out->action_key && key_of(e) != out->action_key) ||
		    (spared && hvsi_guid_equal(&e->initiator, spared)))
			continue;
		tell(s, e, out, HVSI_PR_REGISTRATIONS_PREEMPTED);
		if (out->action == HVSI_PR_PREEMPT_AND_ABORT)
			tell(s, e, out, HVSI_PR_ABORTED);
		unregister(s, out, e);
	}
}

static uint32_t preempt(struct hvsi_pr_state *s, const struct hvsi_pr_out *out)
{
	uint8_t old_type = s->type;
	bool all = hvsi_pr_for_all(old_type);
	bool takes_over =
		old_type != HVSI_PR_NONE &&
		(all ? !out->action_key : key_of(hvsi_pr_find(s, &s->holder)) == out->action_key);

	if (!out->action_key && !takes_over)
		return HVSI_SENSE_INVALID_PARAMETER;
	if (!takes_over) {
		if (!key_is_used(s, out->action_key))
			return HVSI_PR_CONFLICT;
		take_away(s, out, NULL);
		return 0;
	}
	if (!type_ok(out))
		return HVSI_SENSE_INVALID_FIELD;
	reserve_for(s, HVSI_PR_NONE, NULL); /* nobody is told of that */
	take_away(s, out, &out->from);
	if (old_type != out->type)
		tell_registrants(s, out, HVSI_PR_RESERVATIONS_RELEASED);
	reserve_for(s, out->type, &out->from);
	return 0;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static uint32_t execute(struct hvsi_pr_state *s, const struct hvsi_pr_out *out)
{
	struct hvsi_pr_entry *me = hvsi_pr_registrant(s, &out->from);

	if (out->action == HVSI_PR_REGISTER || out->action == HVSI_PR_REGISTER_AND_IGNORE)
		return register_key(s, out);
	if ((out->action == HVSI_PR_RESERVE || out->action == HVSI_PR_RELEASE) && !type_ok(out))
		return HVSI_SENSE_INVALID_FIELD;
	if (!me || key_of(me) != out->key)
		return HVSI_PR_CONFLICT;
	switch (out->action) {
	case HVSI_PR_RESERVE:
		return reserve(s, out);
	case HVSI_PR_RELEASE:
		return release(s, out);
	case HVSI_PR_CLEAR:
		return clear(s, out);
	case HVSI_PR_REGISTER_AND_MOVE:
		return register_and_move(s, out, me);
	default:
		return preempt(s, out);
	}
}

uint32_t hvsi_pr_out(struct hvsi_pr_state *s, const struct hvsi_pr_out *out)
{
	uint32_t err = s->flags & HVSI_PR_RESERVED ? HVSI_PR_CONFLICT : execute(s, out);

	if (!err && out->action != HVSI_PR_RESERVE && out->action != HVSI_PR_RELEASE)
		s->generation = hvsi_le32(hvsi_get32(s->generation) + 1);
	return err;
}
