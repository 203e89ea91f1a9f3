/* SPDX-License-Identifier: MIT */
/*
 * Reservations: a state that somebody else wrote, with a checksum made for it, then commands of
 * several initiators. A state must stay one, and what is refused must change nothing.
 */
#include "input.h"
#include "vsp/storage/reservation_state.h"
#include "vsp/storage/storvsp.h"

#include <stdlib.h>

#define INITIATORS 80u /* more than may register */

static struct hvs_guid initiator(uint64_t n)
{
	return (struct hvs_guid){{(uint8_t)(n % INITIATORS)}};
}

static void take_state(struct input *in, struct hvsi_pr_state *s)
{
	size_t len = (size_t)input_number(in, 2) % (sizeof(*s) + 1);

	memset(s, 0, sizeof(*s));
	input_bytes(in, s, len);
	if (len)
		hvsi_pr_seal(s);
}

static struct hvsi_pr_out take_out(struct input *in)
{
	uint8_t flags = (uint8_t)input_number(in, 1);
	struct hvsi_pr_out o = {.from = initiator(input_number(in, 1)),
				.action = (uint8_t)input_number(in, 1) % 8,
				.scope = flags >> 7,
				.type = (uint8_t)input_number(in, 1) % 16,
				.key = input_number(in, 1),
				.action_key = input_number(in, 1),
				.persist = flags & 1,
				.can_persist = flags & 2,
				.all_target_ports = flags & 4,
				.names_initiators = flags & 8,
				.unregister = flags & 16};
	uint64_t first = input_number(in, 1);

	if (o.action == HVSI_PR_REGISTER_AND_MOVE)
		o.initiator_count = 1;
	else if (o.action == HVSI_PR_REGISTER && o.names_initiators)
		o.initiator_count = (uint32_t)input_number(in, 1) % (HVSI_PR_REGISTRANTS + 1);
	for (uint32_t i = 0; i < o.initiator_count; i++)
		o.initiator[i] = initiator(first + i);
	return o;
}

static void read_all(const struct hvsi_pr_state *s)
{
	uint8_t data[HVSI_PR_MAX_DATA];
	uint32_t len;

	for (unsigned action = 0; action < 4; action++)
		if (!hvsi_pr_in(s, action, true, data, &len) && len > sizeof(data))
			abort();
	for (unsigned i = 0; i < INITIATORS; i += 8) {
		struct hvs_guid who = initiator(i);

		(void)hvsi_pr_events_since(s, &who, i);
		if (hvsi_pr_denied(s, &who) & ~(unsigned)HVSI_SCSI_CLASSES)
			abort();
	}
}

static uint32_t command(struct hvsi_pr_state *s, struct input *in)
{
	struct hvsi_pr_out o = take_out(in);

	switch (input_number(in, 1)) {
	case 0xff:
		return hvsi_pr_reserve(s, &o.from);
	case 0xfe:
		return hvsi_pr_release(s, &o.from);
	case 0xfd:
		return !hvsi_pr_reset(s, o.persist ? &o.from : NULL);
	default:
		return hvsi_pr_out(s, &o);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct hvsi_pr_state before;
	struct hvsi_pr_state s;

	take_state(&in, &s);
	if (!hvsi_pr_check(&s)) {
		if (hvs_reservation_power_on(&s) >= 0)
			abort();
		return 0;
	}
	for (unsigned i = 0; i < 32 && input_more(&in); i++) {
		before = s;
		if (command(&s, &in)) {
			if (memcmp(&before, &s, sizeof(s)) != 0)
				abort();
			continue;
		}
		hvsi_pr_seal(&s);
		if (!hvsi_pr_check(&s))
			abort();
	}
	read_all(&s);
	if (hvs_reservation_power_on(&s) < 0 || !hvsi_pr_check(&s))
		abort();
	return 0;
}
