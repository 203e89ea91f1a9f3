/* SPDX-License-Identifier: MIT */
/* The state of reservations: what is one, and that commands leave one behind. */
#include "support/rng.h"
#include "vsp/storage/reservation_impl.h"
#include "vsp/storage/storvsp.h"

#include <criterion/criterion.h>

static struct hvsi_pr_state state;

static struct hvs_guid initiator(unsigned n)
{
	return (struct hvs_guid){{(uint8_t)n, 1}};
}

static uint32_t out(unsigned from, enum hvsi_pr_out_action action, uint8_t type, uint64_t key,
		    uint64_t action_key)
{
	const struct hvsi_pr_out o = {.from = initiator(from),
				      .action = (uint8_t)action,
				      .type = type,
				      .key = key,
				      .action_key = action_key};
	uint32_t result = hvsi_pr_out(&state, &o);

	if (!result)
		hvsi_pr_seal(&state);
	cr_assert(hvsi_pr_check(&state));
	return result;
}

static void some_state(void)
{
	memset(&state, 0, sizeof(state));
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(out(i, HVSI_PR_REGISTER, 0, 0, i + 1), 0);
	cr_assert_eq(out(0, HVSI_PR_RESERVE, HVSI_PR_WRITE_EXCLUSIVE, 1, 0), 0);
	cr_assert_eq(out(0, HVSI_PR_PREEMPT, 0, 1, 3), 0);
}

Test(reservation_state, zeros_are_one)
{
	memset(&state, 0, sizeof(state));
	cr_assert(hvsi_pr_check(&state));
	state.entry[127].reserved[6] = 1;
	cr_assert_not(hvsi_pr_check(&state));
}

Test(reservation_state, no_byte_can_be_changed)
{
	uint8_t *bytes = (uint8_t *)&state;

	some_state();
	for (size_t i = 0; i < sizeof(state); i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			if (i >= 256 && bit != i % 8)
				continue;
			bytes[i] ^= (uint8_t)(1u << bit);
			cr_assert_not(hvsi_pr_check(&state), "byte %zu", i);
			bytes[i] ^= (uint8_t)(1u << bit);
		}
	cr_assert(hvsi_pr_check(&state));
}

/* Somebody makes a checksum for nonsense. */
static void refused(void)
{
	state.changes = hvsi_le64(hvsi_get64(state.changes) - 1);
	hvsi_pr_seal(&state);
	cr_assert_not(hvsi_pr_check(&state));
	some_state();
}

Test(reservation_state, nonsense_with_a_checksum_is_none)
{
	some_state();
	state.type = 2;
	refused();
	state.type = 9;
	refused();
	state.flags = 4;
	refused();
	state.used = hvsi_le16(129);
	refused();
	state.used = hvsi_le16(2); /* an entry behind those in use */
	refused();
	state.reserved[3] = 1;
	refused();
	state.holder = initiator(2); /* it is not registered any more */
	refused();
	state.holder = initiator(9);
	refused();
	state.entry[1].initiator = initiator(0); /* twice */
	refused();
	state.entry[0].flags = 2;
	refused();
	state.entry[0].reserved[0] = 1;
	refused();
	state.entry[0].event[3] = hvsi_le64(hvsi_get64(state.changes) + 1); /* in the future */
	refused();
	for (unsigned i = 0; i < 3; i++)
		state.entry[i].key = hvsi_le64(0);
	state.type = HVSI_PR_WRITE_EXCLUSIVE_ALL; /* nobody holds it */
	refused();
	memset(&state.entry, 0, sizeof(state.entry));
	state.type = 0;
	state.used = hvsi_le16(65); /* too many */
	for (unsigned i = 0; i < 65; i++) {
		state.entry[i].initiator = initiator(i);
		state.entry[i].key = hvsi_le64(1);
	}
	refused();
	hvsi_pr_seal(&state);
	cr_assert(hvsi_pr_check(&state));
}

/* Whatever is asked in whatever order: the state stays one, and refusals change nothing. */
Test(reservation_state, random_commands)
{
	struct rng rng = {.state = 4711};
	uint64_t last_changes = 0;
	unsigned good = 0;

	memset(&state, 0, sizeof(state));
	for (unsigned i = 0; i < 20000; i++) {
		static const uint8_t types[] = {0, 1, 3, 5, 6, 7, 8, 1};
		struct hvsi_pr_state before = state;
		struct hvsi_pr_out o = {.from = initiator(rng_below(&rng, 70)),
					.action = (uint8_t)rng_below(&rng, 8),
					.type = types[rng_below(&rng, 8)],
					.persist = rng_below(&rng, 2),
					.can_persist = rng_below(&rng, 4),
					.all_target_ports = rng_below(&rng, 2),
					.names_initiators = !rng_below(&rng, 4),
					.unregister = rng_below(&rng, 2),
					.initiator_count = rng_below(&rng, 3)};
		const struct hvsi_pr_entry *e = hvsi_pr_find(&state, &o.from);
		uint32_t result;

		o.key = e && rng_below(&rng, 8) ? hvsi_get64(e->key) : rng_below(&rng, 4);
		o.action_key = rng_below(&rng, 4);
		if (o.action == HVSI_PR_REGISTER_AND_MOVE)
			o.initiator_count = 1;
		else if (o.action != HVSI_PR_REGISTER || !o.names_initiators)
			o.initiator_count = 0;
		for (uint32_t n = 0; n < o.initiator_count; n++)
			o.initiator[n] = initiator(rng_below(&rng, 70));
		switch (rng_below(&rng, 20)) {
		case 0:
			result = hvsi_pr_reserve(&state, &o.from);
			break;
		case 1:
		case 2:
			result = hvsi_pr_release(&state, &o.from);
			break;
		case 3:
			result = !hvsi_pr_reset(&state, NULL);
			break;
		default:
			result = hvsi_pr_out(&state, &o);
			break;
		}
		if (result) {
			cr_assert_arr_eq(&before, &state, sizeof(state), "refused, but changed");
			continue;
		}
		good++;
		hvsi_pr_seal(&state);
		cr_assert(hvsi_pr_check(&state), "after command %u, action %u", i, o.action);
		cr_assert_gt(hvsi_get64(state.changes), last_changes);
		last_changes = hvsi_get64(state.changes);
	}
	cr_assert_gt(good, 2000);
}
