/* SPDX-License-Identifier: MIT */
/* Who may do what with a disk: the state, what is read of it, and SPC-2 reservations. */
#include "vsp/storage/reservation_state.h"

#include "util/guid.h"
#include "util/state.h"
#include "vsp/storage/reservation_impl.h"
#include "vsp/storage/storvsp.h"

#include <errno.h>
#include <string.h>

#define MAGIC "HVSPRES1"
#define PROTOCOL_SRP 4u

/* ---- format ---------------------------------------------------------------------------------- */

static bool is_zero(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum |= p[i];
	return !sum;
}

static uint32_t checksum(const struct hvsi_pr_state *s)
{
	size_t before = offsetof(struct hvsi_pr_state, generation);

	return hvsi_state_crc((const uint8_t *)s + before, sizeof(*s) - before);
}

bool hvsi_pr_for_all(uint8_t type)
{
	return type == HVSI_PR_WRITE_EXCLUSIVE_ALL || type == HVSI_PR_EXCLUSIVE_ACCESS_ALL;
}

bool hvsi_pr_for_registrants(uint8_t type)
{
	return type >= HVSI_PR_WRITE_EXCLUSIVE_REGISTRANTS && type <= HVSI_PR_EXCLUSIVE_ACCESS_ALL;
}

bool hvsi_pr_type_known(uint8_t type)
{
	return type == HVSI_PR_WRITE_EXCLUSIVE || type == HVSI_PR_EXCLUSIVE_ACCESS ||
	       hvsi_pr_for_registrants(type);
}

static bool entry_ok(const struct hvsi_pr_state *s, unsigned n)
{
	const struct hvsi_pr_entry *e = &s->entry[n];

	if (e->flags & ~HVSI_PR_ALL_TARGET_PORTS || !is_zero(e->reserved, sizeof(e->reserved)))
		return false;
	for (unsigned i = 0; i < HVSI_PR_EVENTS; i++)
		if (hvsi_get64(e->event[i]) > hvsi_get64(s->changes))
			return false;
	for (unsigned i = 0; i < n; i++)
		if (hvsi_guid_equal(&s->entry[i].initiator, &e->initiator))
			return false;
	return true;
}

/* Is there somebody behind the reservation? */
static bool holder_ok(const struct hvsi_pr_state *s)
{
	if (s->type == HVSI_PR_NONE)
		return true;
	if (!hvsi_pr_type_known(s->type))
		return false;
	return hvsi_pr_for_all(s->type) ? hvsi_pr_registrants(s) != 0
					: hvsi_pr_registrant(s, &s->holder) != NULL;
}

bool hvsi_pr_check(const struct hvsi_pr_state *s)
{
	unsigned used = hvsi_get16(s->used);

	if (is_zero(s, sizeof(*s)))
		return true;
	if (memcmp(s->magic, MAGIC, sizeof(s->magic)) != 0 ||
	    hvsi_get32(s->checksum) != checksum(s) || used > HVSI_PR_ENTRIES ||
	    s->flags & ~(HVSI_PR_PERSISTS | HVSI_PR_RESERVED) ||
	    !is_zero(s->reserved, sizeof(s->reserved)))
		return false;
	for (unsigned i = 0; i < used; i++)
		if (!entry_ok(s, i))
			return false;
	return is_zero(&s->entry[used], (HVSI_PR_ENTRIES - used) * sizeof(s->entry[0])) &&
	       hvsi_pr_registrants(s) <= HVSI_PR_REGISTRANTS && holder_ok(s);
}

void hvsi_pr_seal(struct hvsi_pr_state *s)
{
	memcpy(s->magic, MAGIC, sizeof(s->magic));
	s->changes = hvsi_le64(hvsi_get64(s->changes) + 1);
	s->checksum = hvsi_le32(checksum(s));
}

int hvs_reservation_power_on(void *state)
{
	struct hvsi_pr_state *s = state;

	if (!s)
		return -EINVAL;
	if (!hvsi_pr_check(s))
		return -EBADMSG;
	if (is_zero(s, sizeof(*s)))
		return 0;
	if (!(s->flags & HVSI_PR_PERSISTS)) {
		memset(s, 0, sizeof(*s));
		return 1;
	}
	s->generation = hvsi_le32(0);
	s->flags &= (uint8_t)~HVSI_PR_RESERVED;
	memset(&s->reserver, 0, sizeof(s->reserver));
	for (unsigned i = hvsi_get16(s->used); i-- > 0;)
		if (!hvsi_get64(s->entry[i].key))
			hvsi_pr_remove(s, &s->entry[i]);
	hvsi_pr_seal(s);
	return 1;
}

/* ---- entries --------------------------------------------------------------------------------- */

struct hvsi_pr_entry *hvsi_pr_find(const struct hvsi_pr_state *s, const struct hvs_guid *who)
{
	for (unsigned i = 0; i < hvsi_get16(s->used); i++)
		if (hvsi_guid_equal(&s->entry[i].initiator, who))
			return (struct hvsi_pr_entry *)(uintptr_t)&s->entry[i];
	return NULL;
}

struct hvsi_pr_entry *hvsi_pr_registrant(const struct hvsi_pr_state *s, const struct hvs_guid *who)
{
	struct hvsi_pr_entry *e = hvsi_pr_find(s, who);

	return e && hvsi_get64(e->key) ? e : NULL;
}

unsigned hvsi_pr_registrants(const struct hvsi_pr_state *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < hvsi_get16(s->used); i++)
		n += hvsi_get64(s->entry[i].key) != 0;
	return n;
}

bool hvsi_pr_holds(const struct hvsi_pr_state *s, const struct hvs_guid *who)
{
	if (s->type == HVSI_PR_NONE)
		return false;
	return hvsi_pr_for_all(s->type) ? hvsi_pr_registrant(s, who) != NULL
					: hvsi_guid_equal(&s->holder, who);
}

void hvsi_pr_remove(struct hvsi_pr_state *s, struct hvsi_pr_entry *e)
{
	uint16_t last = (uint16_t)(hvsi_get16(s->used) - 1);

	*e = s->entry[last];
	memset(&s->entry[last], 0, sizeof(s->entry[last]));
	s->used = hvsi_le16(last);
}

struct hvsi_pr_entry *hvsi_pr_add(struct hvsi_pr_state *s, const struct hvs_guid *who)
{
	struct hvsi_pr_entry *e = hvsi_pr_find(s, who);
	uint16_t used = hvsi_get16(s->used);

	if (e)
		return e;
	/* Full: somebody who was preempted long ago is not told any more. */
	for (unsigned i = 0; used == HVSI_PR_ENTRIES; i++)
		if (!hvsi_get64(s->entry[i].key)) {
			hvsi_pr_remove(s, &s->entry[i]);
			used--;
		}
	e = &s->entry[used];
	e->initiator = *who;
	s->used = hvsi_le16((uint16_t)(used + 1));
	return e;
}

/* ---- what is read of it ---------------------------------------------------------------------- */

unsigned hvsi_pr_denied(const struct hvsi_pr_state *s, const struct hvs_guid *who)
{
	const unsigned looks = HVSI_SCSI_LOOKS | HVSI_SCSI_CHANGES;

	if (s->flags & HVSI_PR_RESERVED)
		return hvsi_guid_equal(&s->reserver, who) ? 0 : looks | HVSI_SCSI_ASKS;
	if (hvsi_pr_holds(s, who))
		return 0;
	if (hvsi_pr_for_registrants(s->type) && hvsi_pr_registrant(s, who))
		return 0;
	switch (s->type) {
	case HVSI_PR_NONE:
		return 0;
	case HVSI_PR_WRITE_EXCLUSIVE:
	case HVSI_PR_WRITE_EXCLUSIVE_REGISTRANTS:
	case HVSI_PR_WRITE_EXCLUSIVE_ALL:
		return HVSI_SCSI_CHANGES;
	default:
		return looks;
	}
}

unsigned hvsi_pr_events_since(const struct hvsi_pr_state *s, const struct hvs_guid *who,
			      uint64_t changes)
{
	const struct hvsi_pr_entry *e = hvsi_pr_find(s, who);
	unsigned events = 0;

	for (unsigned i = 0; e && i < HVSI_PR_EVENTS; i++)
		if (hvsi_get64(e->event[i]) > changes)
			events |= 1u << i;
	return events;
}

static uint32_t read_keys(const struct hvsi_pr_state *s, uint8_t *to)
{
	uint32_t len = 8;

	for (unsigned i = 0; i < hvsi_get16(s->used); i++)
		if (hvsi_get64(s->entry[i].key)) {
			hvsi_put_be64(to + len, hvsi_get64(s->entry[i].key));
			len += 8;
		}
	return len;
}

static uint32_t read_reservation(const struct hvsi_pr_state *s, uint8_t *to)
{
	if (s->type == HVSI_PR_NONE)
		return 8;
	memset(to + 8, 0, 16);
	if (!hvsi_pr_for_all(s->type))
		hvsi_put_be64(to + 8, hvsi_get64(hvsi_pr_find(s, &s->holder)->key));
	to[21] = s->type; /* of the whole logical unit */
	return 24;
}

static uint32_t report_capabilities(const struct hvsi_pr_state *s, bool can_persist, uint8_t *to)
{
	memset(to, 0, 8);
	to[1] = 8;
	/* RESERVE of a holder is no conflict, SPEC_I_PT, ALL_TG_PT, APTPL */
	to[2] = (uint8_t)(0x10 | 0x08 | 0x04 | (can_persist ? 0x01 : 0));
	to[3] = 0x80 | (s->flags & HVSI_PR_PERSISTS ? 0x01 : 0); /* the types are: */
	to[4] = 0xea;
	to[5] = 0x01;
	return 8;
}

static uint32_t read_full_status(const struct hvsi_pr_state *s, uint8_t *to)
{
	uint32_t len = 8;

	for (unsigned i = 0; i < hvsi_get16(s->used); i++) {
		const struct hvsi_pr_entry *e = &s->entry[i];
		uint8_t *d = to + len;

		if (!hvsi_get64(e->key))
			continue;
		memset(d, 0, 24 + HVSI_PR_TRANSPORT_ID);
		hvsi_put_be64(d, hvsi_get64(e->key));
		d[12] = e->flags & HVSI_PR_ALL_TARGET_PORTS ? 0x02 : 0;
		if (hvsi_pr_holds(s, &e->initiator)) {
			d[12] |= 0x01;
			d[13] = s->type;
		}
		hvsi_put_be16(d + 18, HVSI_PR_PORT);
		hvsi_put_be32(d + 20, HVSI_PR_TRANSPORT_ID);
		d[24] = PROTOCOL_SRP; /* whose names of initiators are 16 bytes */
		memcpy(d + 32, e->initiator.b, sizeof(e->initiator.b));
		len += 24 + HVSI_PR_TRANSPORT_ID;
	}
	return len;
}

uint32_t hvsi_pr_in(const struct hvsi_pr_state *s, enum hvsi_pr_in_action action, bool can_persist,
		    uint8_t to[HVSI_PR_MAX_DATA], uint32_t *len)
{
	if (s->flags & HVSI_PR_RESERVED)
		return HVSI_PR_CONFLICT;
	switch (action) {
	case HVSI_PR_READ_KEYS:
		*len = read_keys(s, to);
		break;
	case HVSI_PR_READ_RESERVATION:
		*len = read_reservation(s, to);
		break;
	case HVSI_PR_REPORT_CAPABILITIES:
		*len = report_capabilities(s, can_persist, to);
		return 0;
	case HVSI_PR_READ_FULL_STATUS:
		*len = read_full_status(s, to);
		break;
	}
	hvsi_put_be32(to, hvsi_get32(s->generation));
	hvsi_put_be32(to + 4, *len - 8);
	return 0;
}

/* ---- SPC-2 reservations ---------------------------------------------------------------------- */

/* SPC-4 5.12.3: whoever may use the disk anyway is told that it has what it wants. */
static bool has_it_already(const struct hvsi_pr_state *s, const struct hvs_guid *from)
{
	return hvsi_pr_holds(s, from) ||
	       (hvsi_pr_for_registrants(s->type) && hvsi_pr_registrant(s, from));
}

uint32_t hvsi_pr_reserve(struct hvsi_pr_state *s, const struct hvs_guid *from)
{
	if (hvsi_pr_registrants(s))
		return has_it_already(s, from) ? 0 : HVSI_PR_CONFLICT;
	if (s->flags & HVSI_PR_RESERVED && !hvsi_guid_equal(&s->reserver, from))
		return HVSI_PR_CONFLICT;
	s->flags |= HVSI_PR_RESERVED;
	s->reserver = *from;
	return 0;
}

uint32_t hvsi_pr_release(struct hvsi_pr_state *s, const struct hvs_guid *from)
{
	if (hvsi_pr_registrants(s))
		return has_it_already(s, from) ? 0 : HVSI_PR_CONFLICT;
	(void)hvsi_pr_reset(s, from);
	return 0;
}

bool hvsi_pr_reset(struct hvsi_pr_state *s, const struct hvs_guid *from)
{
	if (!(s->flags & HVSI_PR_RESERVED) || (from && !hvsi_guid_equal(&s->reserver, from)))
		return false;
	s->flags &= (uint8_t)~HVSI_PR_RESERVED;
	memset(&s->reserver, 0, sizeof(s->reserver));
	return true;
}
