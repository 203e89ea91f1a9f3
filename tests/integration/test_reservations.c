/* SPDX-License-Identifier: MIT */
/* PERSISTENT RESERVE IN and OUT, RESERVE and RELEASE: what they do and what they say (SPC-4). */
#include "support/disk.h"
#include "support/reserve.h"
#include "support/vstor.h"
#include "util/le.h"

#include <errno.h>

#define INVALID_FIELD 0x052400u
#define LIST_LENGTH 0x051a00u
#define INVALID_PARAMETER 0x052600u
#define INVALID_RELEASE 0x052604u
#define NO_RESOURCES 0x055504u
#define PREEMPTED 0x062a03u
#define RELEASED 0x062a04u
#define UNREGISTERED 0x062a05u

#define KEY(n) (0xa0u + (n)) /* of node n, where it does not matter */

static struct memory_store store;
static struct node a, b, c; /* nodes 0, 1, 2 */

static void up(void)
{
	memset(&store, 0, sizeof(store));
	a = node_up(0, &memory_store_ops, &store);
	b = node_up(1, &memory_store_ops, &store);
	c = node_up(2, &memory_store_ops, &store);
}

static void down(void)
{
	node_down(&a);
	node_down(&b);
	node_down(&c);
}

static void register_all(void)
{
	cr_assert_eq(pr_out(&a, REGISTER, 0, 0, KEY(0)), 0);
	cr_assert_eq(pr_out(&b, REGISTER, 0, 0, KEY(1)), 0);
	cr_assert_eq(pr_out(&c, REGISTER, 0, 0, KEY(2)), 0);
}

/* TEST UNIT READY: the unit attention condition that is next; 0: none. */
static uint32_t attention(struct node *n)
{
	return plain(n, 0, 0, 0);
}

static void expect_attentions(uint32_t of_a, uint32_t of_b, uint32_t of_c)
{
	cr_assert_eq(attention(&a), of_a);
	cr_assert_eq(attention(&b), of_b);
	cr_assert_eq(attention(&c), of_c);
	cr_assert_eq(attention(&a), 0);
	cr_assert_eq(attention(&b), 0);
	cr_assert_eq(attention(&c), 0);
}

TestSuite(reservations, .init = up, .fini = down);

/* ---- REGISTER ---------------------------------------------------------------------------------- */

Test(reservations, register_wants_the_key_it_had)
{
	cr_assert_eq(pr_out(&a, REGISTER, 0, 1, KEY(0)), CONFLICT, "it has none");
	cr_assert_eq(pr_key_count(&a), 0);
	cr_assert_eq(pr_generation(&a), 0);
	cr_assert_eq(pr_out(&a, REGISTER, 0, 0, KEY(0)), 0);
	cr_assert_eq(pr_out(&a, REGISTER, 0, 0, KEY(1)), CONFLICT);
	cr_assert_eq(pr_out(&a, REGISTER, 0, KEY(0), KEY(1)), 0, "another key");
	cr_assert_eq(pr_in(&b, 0), 16);
	cr_assert_eq(hvsi_get_be64(b.buf + 8), KEY(1));
	cr_assert_eq(pr_out(&a, REGISTER, 0, KEY(0), 0), CONFLICT);
	cr_assert_eq(pr_out(&a, REGISTER, 0, KEY(1), 0), 0);
	cr_assert_eq(pr_key_count(&a), 0);
	cr_assert_eq(pr_generation(&a), 3);
}

Test(reservations, register_and_ignore_wants_no_key)
{
	cr_assert_eq(pr_out(&a, REGISTER_IGNORE, 0, 1234, KEY(0)), 0);
	cr_assert_eq(pr_out(&a, REGISTER_IGNORE, 0, 1234, KEY(1)), 0);
	cr_assert_eq(pr_in(&a, 0), 16);
	cr_assert_eq(hvsi_get_be64(a.buf + 8), KEY(1));
	cr_assert_eq(pr_out(&a, REGISTER_IGNORE, 0, 1234, 0), 0);
	cr_assert_eq(pr_key_count(&a), 0);
	cr_assert_eq(pr_generation(&a), 3);
}

Test(reservations, key_zero_of_who_is_not_registered_changes_nothing)
{
	cr_assert_eq(pr_out(&a, REGISTER, 0, 0, 0), 0);
	cr_assert_eq(pr_out(&a, REGISTER_IGNORE, 0, 0, 0), 0);
	cr_assert_eq(pr_key_count(&a), 0);
}

Test(reservations, several_may_have_the_same_key)
{
	cr_assert_eq(pr_out(&a, REGISTER, 0, 0, 7), 0);
	cr_assert_eq(pr_out(&b, REGISTER, 0, 0, 7), 0);
	cr_assert_eq(pr_key_count(&c), 2);
	cr_assert_eq(pr_out(&a, REGISTER, 0, 7, 0), 0);
	cr_assert_eq(pr_key_count(&c), 1);
}

Test(reservations, generation_counts_what_changes_registrations)
{
	register_all();
	cr_assert_eq(pr_generation(&a), 3);
	cr_assert_eq(pr_out(&a, RESERVE, WE, KEY(0), 0), 0);
	cr_assert_eq(pr_out(&a, RELEASE, WE, KEY(0), 0), 0);
	cr_assert_eq(pr_out(&a, CLEAR, 0, 1, 0), CONFLICT);
	cr_assert_eq(pr_out(&a, PREEMPT, WE, KEY(0), 0), INVALID_PARAMETER);
	cr_assert_eq(pr_generation(&a), 3);
	cr_assert_eq(pr_out(&a, PREEMPT, WE, KEY(0), KEY(1)), 0);
	cr_assert_eq(pr_generation(&a), 4);
	cr_assert_eq(pr_out(&a, PREEMPT_ABORT, WE, KEY(0), KEY(2)), 0);
	cr_assert_eq(pr_generation(&a), 5);
	cr_assert_eq(pr_out(&a, CLEAR, 0, KEY(0), 0), 0);
	cr_assert_eq(pr_generation(&a), 6);
}

Test(reservations, register_names_others)
{
	put_transport_id(a.buf + 28, 1);
	put_transport_id(a.buf + 52, 2);
	hvsi_put_be32(a.buf + 24, 48);
	cr_assert_eq(pr_out(&b, REGISTER, 0, 0, KEY(1)), 0);
	cr_assert_eq(pr_out_list(&a, REGISTER, 0, 0, KEY(0), SPEC_I_PT, 76), 0);
	cr_assert_eq(pr_key_count(&a), 3);
	cr_assert_eq(pr_out(&b, RESERVE, WE, KEY(1), 0), 0, "it keeps the key it had");
	cr_assert_eq(pr_out(&c, RELEASE, WE, KEY(0), 0), 0, "this one has that of a");
	put_transport_id(a.buf + 28, 1);
	hvsi_put_be32(a.buf + 24, 24);
	cr_assert_eq(pr_out_list(&a, REGISTER, 0, KEY(0), 9, SPEC_I_PT, 52), INVALID_PARAMETER,
		     "only who is new may");
	cr_assert_eq(pr_out_list(&a, REGISTER_IGNORE, 0, 0, 9, SPEC_I_PT, 24), INVALID_PARAMETER);
}

Test(reservations, lists_of_transport_ids_that_are_wrong)
{
	put_transport_id(a.buf + 28, 1);
	hvsi_put_be32(a.buf + 24, 23);
	cr_assert_eq(pr_out_list(&a, REGISTER, 0, 0, 1, SPEC_I_PT, 52), LIST_LENGTH);
	cr_assert_eq(pr_out_list(&a, REGISTER, 0, 0, 1, SPEC_I_PT, 24), LIST_LENGTH);
	cr_assert_eq(pr_out_list(&a, REGISTER, 0, 0, 1, SPEC_I_PT, 27), LIST_LENGTH);
	hvsi_put_be32(a.buf + 24, 20);
	cr_assert_eq(pr_out_list(&a, REGISTER, 0, 0, 1, SPEC_I_PT, 48), INVALID_PARAMETER);
	hvsi_put_be32(a.buf + 24, 24);
	a.buf[28] = 0x06; /* SAS */
	cr_assert_eq(pr_out_list(&a, REGISTER, 0, 0, 1, SPEC_I_PT, 52), INVALID_PARAMETER);
	a.buf[28] = 0x44; /* another format */
	cr_assert_eq(pr_out_list(&a, REGISTER, 0, 0, 1, SPEC_I_PT, 52), INVALID_PARAMETER);
	a.buf[28] = 0x04;
	cr_assert_eq(pr_out_list(&a, REGISTER, 0, 0, 0, SPEC_I_PT, 52), INVALID_PARAMETER);
	cr_assert_eq(pr_key_count(&a), 0);
	hvsi_put_be32(a.buf + 24, 0);
	cr_assert_eq(pr_out_list(&a, REGISTER, 0, 0, 1, SPEC_I_PT, 28), 0, "nobody is named");
	cr_assert_eq(pr_key_count(&a), 1);
}

Test(reservations, there_are_at_most_64_registrants)
{
	hvsi_put_be32(a.buf + 24, 64 * 24);
	for (uint8_t i = 0; i < 64; i++)
		put_transport_id(a.buf + 28 + 24u * i, (uint8_t)(100 + i));
	cr_assert_eq(pr_out_list(&a, REGISTER, 0, 0, 1, SPEC_I_PT, 28 + 64 * 24), NO_RESOURCES);
	cr_assert_eq(pr_key_count(&a), 0, "all or none");
	hvsi_put_be32(a.buf + 24, 63 * 24);
	for (uint8_t i = 0; i < 64; i++)
		put_transport_id(a.buf + 28 + 24u * i, (uint8_t)(100 + i));
	cr_assert_eq(pr_out_list(&a, REGISTER, 0, 0, 1, SPEC_I_PT, 28 + 63 * 24), 0);
	cr_assert_eq(pr_key_count(&a), 64);
	cr_assert_eq(pr_in(&a, 3), 8 + 64 * 48);
	cr_assert_eq(pr_out(&b, REGISTER, 0, 0, 5), NO_RESOURCES);
	cr_assert_eq(pr_out(&b, REGISTER_IGNORE, 0, 0, 5), NO_RESOURCES);
	cr_assert_eq(pr_out(&a, REGISTER, 0, 1, 2), 0, "a new key needs no room");
	cr_assert_eq(pr_out(&a, PREEMPT, 0, 2, 1), 0);
	cr_assert_eq(pr_key_count(&a), 1);
	/* Those who were preempted wait to be told; they do not keep others out. */
	hvsi_put_be32(b.buf + 24, 62 * 24);
	for (uint8_t i = 0; i < 62; i++)
		put_transport_id(b.buf + 28 + 24u * i, (uint8_t)(10 + i));
	cr_assert_eq(pr_out_list(&b, REGISTER, 0, 0, 3, SPEC_I_PT, 28 + 62 * 24), 0);
	cr_assert_eq(pr_out(&b, PREEMPT, 0, 3, 3), 0);
	cr_assert_eq(pr_key_count(&a), 1);
	cr_assert_eq(pr_out(&c, REGISTER, 0, 0, 4), 0);
	cr_assert_eq(pr_key_count(&a), 2);
}

/* ---- PERSISTENT RESERVE IN --------------------------------------------------------------------- */

Test(reservations, read_reservation)
{
	static const uint8_t none[8] = {0, 0, 0, 1};
	static const uint8_t held[24] = {0, 0, 0, 1, 0, 0, 0, 16, [15] = 0xa0, [21] = 5};
	static const uint8_t by_all[24] = {0, 0, 0, 1, 0, 0, 0, 16, [21] = 7};

	cr_assert_eq(pr_out(&a, REGISTER, 0, 0, KEY(0)), 0);
	cr_assert_eq(pr_in(&b, 1), 8);
	cr_assert_arr_eq(b.buf, none, 8);
	cr_assert_eq(pr_out(&a, RESERVE, WE_RO, KEY(0), 0), 0);
	cr_assert_eq(pr_in(&b, 1), 24);
	cr_assert_arr_eq(b.buf, held, 24);
	cr_assert_eq(pr_out(&a, RELEASE, WE_RO, KEY(0), 0), 0);
	cr_assert_eq(pr_out(&a, RESERVE, WE_AR, KEY(0), 0), 0);
	cr_assert_eq(pr_in(&b, 1), 24);
	cr_assert_arr_eq(b.buf, by_all, 24);
}

Test(reservations, read_full_status)
{
	static const uint8_t first[48] = {
		[7] = 0xa0, [12] = 0x03, [13] = 6, [19] = 1, [23] = 24, [24] = 4, [32] = 1};
	static const uint8_t second[48] = {[7] = 0xa1, [19] = 1, [23] = 24, [24] = 4, [32] = 2};

	cr_assert_eq(pr_in(&a, 3), 8);
	cr_assert_eq(pr_out_list(&a, REGISTER, 0, 0, KEY(0), ALL_TG_PT, 24), 0);
	cr_assert_eq(pr_out(&b, REGISTER, 0, 0, KEY(1)), 0);
	cr_assert_eq(pr_out(&a, RESERVE, EA_RO, KEY(0), 0), 0);
	cr_assert_eq(pr_in(&c, 3), 8 + 2 * 48);
	cr_assert_arr_eq(c.buf + 8, first, 48);
	cr_assert_arr_eq(c.buf + 56, second, 48);
	cr_assert_eq(pr_out(&a, RELEASE, EA_RO, KEY(0), 0), 0);
	cr_assert_eq(pr_out(&a, RESERVE, EA_AR, KEY(0), 0), 0);
	cr_assert_eq(pr_in(&c, 3), 8 + 2 * 48);
	cr_assert_eq(c.buf[8 + 12], 3);
	cr_assert_eq(c.buf[8 + 13], 8);
	cr_assert_eq(c.buf[56 + 12], 1, "all registrants are holders");
	cr_assert_eq(c.buf[56 + 13], 8);
}

Test(reservations, report_capabilities)
{
	static const uint8_t shared[8] = {0, 8, 0x1d, 0x80, 0xea, 1};
	static const uint8_t persistent[8] = {0, 8, 0x1d, 0x81, 0xea, 1};

	cr_assert_eq(pr_in(&a, 2), 8);
	cr_assert_arr_eq(a.buf, shared, 8);
	cr_assert_eq(pr_out_list(&b, REGISTER, 0, 0, KEY(1), APTPL, 24), 0);
	cr_assert_eq(pr_in(&a, 2), 8);
	cr_assert_arr_eq(a.buf, persistent, 8);
	cr_assert_eq(pr_out_list(&b, REGISTER_IGNORE, 0, 0, KEY(1), 0, 24), 0);
	cr_assert_eq(pr_in(&a, 2), 8);
	cr_assert_arr_eq(a.buf, shared, 8);
}

Test(reservations, replies_are_cut_off_where_the_guest_wants)
{
	static const uint16_t lens[] = {0, 1, 4, 8, 9, 20, 31, 32, 100};

	register_all();
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		uint8_t cdb[10] = {0x5e, 0, [8] = (uint8_t)lens[i]};
		struct hvs_guest_scsi_result r = node_cmd(&a, cdb, 10, HVS_GUEST_STOR_IN, 512);

		cr_assert_eq(r.srb_status, SRB_SUCCESS);
		cr_assert_eq(r.transferred, lens[i] < 32 ? lens[i] : 32);
		if (lens[i] >= 8)
			cr_assert_eq(hvsi_get_be32(a.buf + 4), 24, "of all there is");
		for (uint32_t n = r.transferred; n < 512; n++)
			cr_assert_eq(a.buf[n], 0);
	}
}

Test(reservations, other_service_actions_are_invalid_fields)
{
	for (uint8_t action = 4; action < 32; action++) {
		uint8_t cdb[10] = {0x5e, action, [8] = 255};
		struct hvs_guest_scsi_result r = node_cmd(&a, cdb, 10, HVS_GUEST_STOR_IN, 255);

		cr_assert_eq(r.scsi_status, 2);
		cr_assert_eq(sense_of(&r), INVALID_FIELD);
	}
	for (uint8_t action = 8; action < 32; action++)
		cr_assert_eq(pr_out(&a, action, WE, 0, 1), INVALID_FIELD);
}

Test(reservations, parameter_lists_have_24_bytes)
{
	uint8_t cdb[10] = {0x5f, REGISTER, [8] = 24};
	struct hvs_guest_scsi_result r;

	for (uint32_t len = 0; len < 100; len++)
		if (len != 24)
			cr_assert_eq(pr_out_list(&a, REGISTER, 0, 0, 1, 0, len), LIST_LENGTH,
				     "%u bytes", len);
	cdb[5] = 1; /* the length has four bytes */
	r = node_cmd(&a, cdb, 10, HVS_GUEST_STOR_OUT, 24);
	cr_assert_eq(sense_of(&r), LIST_LENGTH);
	cdb[5] = 0;
	r = node_cmd(&a, cdb, 10, HVS_GUEST_STOR_OUT, 23); /* fewer than the CDB says */
	cr_assert_eq(sense_of(&r), LIST_LENGTH);
	cr_assert_eq(pr_generation(&a), 0);
}

/* ---- RESERVE, RELEASE, unregistering ----------------------------------------------------------- */

Test(reservations, types_and_scopes_that_there_are_not)
{
	register_all();
	for (unsigned type = 0; type < 256; type++) {
		bool good = type == 1 || type == 3 || (type >= 5 && type <= 8);

		cr_assert_eq(pr_out(&a, RESERVE, (uint8_t)type, KEY(0), 0),
			     good ? 0 : INVALID_FIELD);
		cr_assert_eq(pr_out(&a, RELEASE, (uint8_t)type, KEY(0), 0),
			     good ? 0 : INVALID_FIELD);
	}
	cr_assert_eq(attention(&b), RELEASED);
	cr_assert_eq(pr_out(&a, RESERVE, WE, KEY(0), 0), 0);
	cr_assert_eq(pr_out(&b, PREEMPT, 2, KEY(1), KEY(0)), INVALID_FIELD);
	cr_assert_eq(pr_out(&b, PREEMPT, 0x11, KEY(1), KEY(0)), INVALID_FIELD);
	cr_assert_eq(pr_out(&a, PREEMPT, 0xff, KEY(0), KEY(1)), 0, "nothing is reserved by it");
	cr_assert_eq(pr_out(&a, REGISTER, 0xff, KEY(0), KEY(0)), 0, "the type is not looked at");
}

Test(reservations, release_needs_the_type_it_has)
{
	register_all();
	cr_assert_eq(pr_out(&a, RELEASE, WE, KEY(0), 0), 0, "nothing is reserved");
	cr_assert_eq(pr_out(&a, RESERVE, WE, KEY(0), 0), 0);
	cr_assert_eq(pr_out(&a, RELEASE, EA, KEY(0), 0), INVALID_RELEASE);
	cr_assert_eq(pr_out(&b, RELEASE, EA, KEY(1), 0), 0, "it is not its own");
	cr_assert_eq(pr_type(&a), WE);
	cr_assert_eq(pr_out(&a, RELEASE, WE, KEY(0), 0), 0);
	cr_assert_eq(pr_type(&a), 0);
}

Test(reservations, release_tells_registrants_that_it_gave_access_to)
{
	static const uint8_t types[] = {WE, EA, WE_RO, EA_RO, WE_AR, EA_AR};

	cr_assert_eq(pr_out(&a, REGISTER, 0, 0, KEY(0)), 0);
	cr_assert_eq(pr_out(&b, REGISTER, 0, 0, KEY(1)), 0);
	for (size_t i = 0; i < sizeof(types); i++) {
		cr_assert_eq(pr_out(&a, RESERVE, types[i], KEY(0), 0), 0);
		cr_assert_eq(pr_out(&a, RELEASE, types[i], KEY(0), 0), 0);
		expect_attentions(0, types[i] >= WE_RO ? RELEASED : 0, 0);
	}
}

Test(reservations, who_unregisters_gives_up_what_it_reserved)
{
	static const uint8_t types[] = {WE, EA, WE_RO, EA_RO, WE_AR, EA_AR};

	cr_assert_eq(pr_out(&b, REGISTER, 0, 0, KEY(1)), 0);
	for (size_t i = 0; i < sizeof(types); i++) {
		bool all = types[i] >= WE_AR;

		cr_assert_eq(pr_out(&a, REGISTER, 0, 0, KEY(0)), 0);
		cr_assert_eq(pr_out(&a, RESERVE, types[i], KEY(0), 0), 0);
		cr_assert_eq(pr_out(&a, REGISTER, 0, KEY(0), 0), 0);
		cr_assert_eq(pr_type(&c), all ? types[i] : 0);
		expect_attentions(0, types[i] == WE_RO || types[i] == EA_RO ? RELEASED : 0, 0);
		if (all) {
			cr_assert_eq(pr_out(&b, REGISTER, 0, KEY(1), 0), 0, "the last one");
			cr_assert_eq(pr_type(&c), 0);
			cr_assert_eq(pr_out(&b, REGISTER, 0, 0, KEY(1)), 0);
			expect_attentions(0, 0, 0);
		}
	}
}

Test(reservations, a_new_key_keeps_what_is_reserved)
{
	cr_assert_eq(pr_out(&a, REGISTER, 0, 0, 1), 0);
	cr_assert_eq(pr_out(&a, RESERVE, EA, 1, 0), 0);
	cr_assert_eq(pr_out(&a, REGISTER, 0, 1, 2), 0);
	cr_assert_eq(pr_holder_key(&a), 2);
	cr_assert_eq(node_write(&a), 0);
	cr_assert_eq(node_write(&b), CONFLICT);
}

Test(reservations, clear_ends_everything_and_tells_registrants)
{
	cr_assert_eq(pr_out(&a, REGISTER, 0, 0, KEY(0)), 0);
	cr_assert_eq(pr_out(&b, REGISTER, 0, 0, KEY(1)), 0);
	cr_assert_eq(pr_out(&a, RESERVE, EA, KEY(0), 0), 0);
	cr_assert_eq(pr_out(&b, CLEAR, 0, KEY(1), 0), 0);
	cr_assert_eq(pr_key_count(&b), 0);
	cr_assert_eq(pr_type(&b), 0);
	expect_attentions(PREEMPTED, 0, 0);
	cr_assert_eq(node_write(&c), 0);
}

/* ---- PREEMPT ----------------------------------------------------------------------------------- */

Test(reservations, preempt_takes_over_a_reservation)
{
	register_all();
	cr_assert_eq(pr_out(&a, RESERVE, EA, KEY(0), 0), 0);
	cr_assert_eq(pr_out(&b, PREEMPT, EA, KEY(1), KEY(0)), 0);
	cr_assert_eq(pr_key_count(&b), 2);
	cr_assert_eq(pr_holder_key(&b), KEY(1));
	expect_attentions(UNREGISTERED, 0, 0);
	cr_assert_eq(node_write(&a), CONFLICT);
	cr_assert_eq(node_write(&b), 0);
	cr_assert_eq(pr_out(&a, RESERVE, EA, KEY(0), 0), CONFLICT);
}

Test(reservations, preempt_with_another_type_tells_who_stays_registered)
{
	register_all();
	cr_assert_eq(pr_out(&a, RESERVE, WE_RO, KEY(0), 0), 0);
	cr_assert_eq(pr_out(&b, PREEMPT, WE, KEY(1), KEY(0)), 0);
	cr_assert_eq(pr_type(&b), WE);
	expect_attentions(UNREGISTERED, 0, RELEASED);
}

Test(reservations, preempt_without_a_reservation_ends_registrations)
{
	register_all();
	cr_assert_eq(pr_out(&a, PREEMPT, WE, KEY(0), KEY(2)), 0);
	cr_assert_eq(pr_key_count(&a), 2);
	cr_assert_eq(pr_type(&a), 0, "and reserves nothing");
	expect_attentions(0, 0, UNREGISTERED);
	cr_assert_eq(pr_out(&a, PREEMPT, WE, KEY(0), KEY(2)), CONFLICT, "nobody has that key");
	cr_assert_eq(pr_out(&a, PREEMPT, WE, KEY(0), 0), INVALID_PARAMETER);
	cr_assert_eq(pr_out(&c, PREEMPT, WE, KEY(2), KEY(0)), CONFLICT);
}

Test(reservations, preempt_of_another_than_the_holder_leaves_the_reservation)
{
	register_all();
	cr_assert_eq(pr_out(&a, RESERVE, WE_RO, KEY(0), 0), 0);
	cr_assert_eq(pr_out(&b, PREEMPT, EA, KEY(1), KEY(2)), 0);
	cr_assert_eq(pr_type(&b), WE_RO);
	cr_assert_eq(pr_holder_key(&b), KEY(0));
	expect_attentions(0, 0, UNREGISTERED);
	cr_assert_eq(node_write(&c), CONFLICT);
}

Test(reservations, preempt_takes_all_who_have_the_key)
{
	cr_assert_eq(pr_out(&a, REGISTER, 0, 0, 1), 0);
	cr_assert_eq(pr_out(&b, REGISTER, 0, 0, 2), 0);
	cr_assert_eq(pr_out(&c, REGISTER, 0, 0, 2), 0);
	cr_assert_eq(pr_out(&a, PREEMPT, WE, 1, 2), 0);
	cr_assert_eq(pr_key_count(&a), 1);
	expect_attentions(0, UNREGISTERED, UNREGISTERED);
}

Test(reservations, preempt_of_all_registrants)
{
	register_all();
	cr_assert_eq(pr_out(&a, RESERVE, EA_AR, KEY(0), 0), 0);
	cr_assert_eq(pr_out(&b, PREEMPT, WE, KEY(1), KEY(2)), 0, "only that one's registration");
	cr_assert_eq(pr_type(&b), EA_AR);
	expect_attentions(0, 0, UNREGISTERED);
	cr_assert_eq(pr_out(&b, PREEMPT, WE, KEY(1), 0), 0, "all others, and the reservation");
	cr_assert_eq(pr_type(&b), WE);
	cr_assert_eq(pr_key_count(&b), 1);
	cr_assert_eq(pr_holder_key(&b), KEY(1));
	expect_attentions(UNREGISTERED, 0, 0);
}

Test(reservations, preempt_of_ones_own)
{
	cr_assert_eq(pr_out(&a, REGISTER, 0, 0, 1), 0);
	cr_assert_eq(pr_out(&b, REGISTER, 0, 0, 1), 0);
	cr_assert_eq(pr_out(&a, RESERVE, WE, 1, 0), 0);
	cr_assert_eq(pr_out(&a, PREEMPT, EA, 1, 1), 0, "the holder changes the type");
	cr_assert_eq(pr_type(&a), EA);
	cr_assert_eq(pr_key_count(&a), 1);
	expect_attentions(0, UNREGISTERED, 0);
	cr_assert_eq(pr_out(&a, RELEASE, EA, 1, 0), 0);
	cr_assert_eq(pr_out(&a, PREEMPT, EA, 1, 1), 0, "nothing is reserved: it unregisters");
	cr_assert_eq(pr_key_count(&a), 0);
	expect_attentions(0, 0, 0);
}

/* ---- PREEMPT AND ABORT ------------------------------------------------------------------------- */

static struct hvs_guest_scsi a_write(uint64_t gpa)
{
	return (struct hvs_guest_scsi){.cdb_len = 10,
				       .cdb = {OP_WRITE10, [8] = 1},
				       .direction = HVS_GUEST_STOR_OUT,
				       .buffer = {.gpa = gpa, .len = 512}};
}

static void cancel(void *priv, struct hvs_blk_req *req)
{
	struct testdisk *d = priv;

	for (unsigned i = 0; i < d->held_count; i++)
		if (d->held[i] == req) {
			testdisk_finish(d, i, HVS_BLK_ABORTED);
			return;
		}
}

/* The next completion; time passes until it comes. */
static void expect_completion(struct node *n, uint8_t srb_status, uint32_t sense)
{
	struct hvs_guest_packet pkt;
	const uint8_t *p;

	cr_assert_eq(hvs_guest_recv_wait(n->m.ch, &pkt), 1);
	p = pkt.data;
	cr_assert_eq(p[14], srb_status, "SRB %#x", p[14]);
	if (sense)
		cr_assert_eq((uint32_t)(p[30] << 16 | p[40] << 8 | p[41]), sense);
}

static void check_abort(uint8_t action)
{
	struct testdisk *d = testdisk_new(0, 0);
	struct hvs_blk_ops ops = testdisk_ops;
	struct hvs_guest_scsi write;
	struct hvs_guest_scsi test = {.cdb_len = 6, .direction = HVS_GUEST_STOR_NONE};
	struct node slow;

	ops.cancel = cancel;
	slow.m = machine_up(&(struct machine_options){.blk_ops = &ops,
						      .blk_priv = d,
						      .initiator_id = node_id(9),
						      .reservations = &memory_store_ops,
						      .reservation_store = &store});
	slow.buf = hvs_loopback_alloc_pages(slow.m.lb, 1, &slow.gpa);
	cr_assert_eq(pr_out(&a, REGISTER_IGNORE, 0, 0, KEY(0)), 0);
	cr_assert_eq(pr_out(&slow, REGISTER, 0, 0, KEY(9)), 0);
	cr_assert_eq(pr_out(&slow, RESERVE, WE, KEY(9), 0), 0);
	write = a_write(slow.gpa);
	d->hold = true;
	cr_assert_eq(hvs_guest_stor_submit(slow.m.ch, 1, &write), 0);
	cr_assert_eq(hvs_guest_stor_submit(slow.m.ch, 2, &write), 0);
	hvs_guest_flush(slow.m.ch);
	hvs_loopback_run(slow.m.lb);
	cr_assert_eq(d->held_count, 2);
	cr_assert_eq(pr_out(&a, action, WE, KEY(0), KEY(9)), 0);
	if (action == PREEMPT_ABORT) {
		/* The guest asks nothing; the host finds out. */
		expect_completion(&slow, 0x82, 0x0b0000);
		expect_completion(&slow, 0x82, 0x0b0000);
		cr_assert_eq(attention(&slow), UNREGISTERED);
	} else {
		cr_assert_eq(hvs_guest_stor_submit(slow.m.ch, 3, &test), 0);
		expect_completion(&slow, SRB_ERROR, UNREGISTERED);
		cr_assert_eq(d->held_count, 2);
		testdisk_finish_all(d);
		expect_completion(&slow, SRB_SUCCESS, 0);
		expect_completion(&slow, SRB_SUCCESS, 0);
	}
	cr_assert_eq(d->held_count, 0);
	d->hold = false;
	cr_assert_eq(node_write(&slow), CONFLICT);
	cr_assert_eq(pr_out(&a, CLEAR, 0, KEY(0), 0), 0);
	node_down(&slow);
	testdisk_free(d);
}

Test(reservations, preempt_and_abort_ends_commands_of_the_preempted)
{
	check_abort(PREEMPT_ABORT);
	check_abort(PREEMPT_ABORT);
}

Test(reservations, preempt_lets_commands_end)
{
	check_abort(PREEMPT);
}

/* ---- REGISTER AND MOVE ------------------------------------------------------------------------- */

Test(reservations, register_and_move)
{
	put_transport_id(a.buf + 24, 1);
	cr_assert_eq(pr_out_list(&a, REGISTER_MOVE, 0, KEY(0), KEY(1), 0, 48), CONFLICT,
		     "it is not registered");
	cr_assert_eq(pr_out(&a, REGISTER, 0, 0, KEY(0)), 0);
	cr_assert_eq(pr_out_list(&a, REGISTER_MOVE, 0, KEY(0), KEY(1), 0, 48), CONFLICT,
		     "nothing is reserved");
	cr_assert_eq(pr_out(&a, RESERVE, WE_RO, KEY(0), 0), 0);
	cr_assert_eq(pr_out_list(&a, REGISTER_MOVE, 0, 1, KEY(1), 0, 48), CONFLICT, "a wrong key");
	cr_assert_eq(pr_out_list(&a, REGISTER_MOVE, 0, KEY(0), 0, 0, 48), INVALID_PARAMETER);
	cr_assert_eq(pr_out_list(&a, REGISTER_MOVE, 0, KEY(0), 5, 0, 24), INVALID_PARAMETER);
	cr_assert_eq(pr_out_list(&a, REGISTER_MOVE, 0, KEY(0), KEY(1), 0, 48), 0);
	cr_assert_eq(pr_key_count(&c), 2);
	cr_assert_eq(pr_holder_key(&c), KEY(1));
	cr_assert_eq(pr_type(&c), WE_RO);
	cr_assert_eq(node_write(&a), 0, "it is registered still");
	expect_attentions(0, 0, 0);
	put_transport_id(b.buf + 24, 1);
	cr_assert_eq(pr_out_list(&b, REGISTER_MOVE, 0, KEY(1), 5, 0, 48), INVALID_PARAMETER,
		     "to itself");
	put_transport_id(b.buf + 24, 2);
	cr_assert_eq(pr_out_list(&b, REGISTER_MOVE, 0, KEY(1), KEY(2), 2, 48), 0, "UNREG");
	cr_assert_eq(pr_key_count(&c), 2);
	cr_assert_eq(pr_holder_key(&c), KEY(2));
	cr_assert_eq(node_write(&b), CONFLICT);
	expect_attentions(0, 0, 0);
}

Test(reservations, register_and_move_is_not_for_all_registrants)
{
	cr_assert_eq(pr_out(&a, REGISTER, 0, 0, KEY(0)), 0);
	cr_assert_eq(pr_out(&a, RESERVE, WE_AR, KEY(0), 0), 0);
	put_transport_id(a.buf + 24, 1);
	cr_assert_eq(pr_out_list(&a, REGISTER_MOVE, 0, KEY(0), KEY(1), 0, 48), CONFLICT);
}

/* ---- RESERVE and RELEASE of SPC-2 -------------------------------------------------------------- */

Test(reservations, resets_end_reserve)
{
	static const uint32_t resets[] = {HVSI_VSTOR_RESET_LUN, HVSI_VSTOR_RESET_BUS,
					  HVSI_VSTOR_RESET_ADAPTER};

	cr_assert_eq(pr_out(&a, REGISTER, 0, 0, 1), 0);
	cr_assert_eq(pr_out(&a, RESERVE, EA, 1, 0), 0);
	for (unsigned i = 0; i < 3; i++) {
		(void)vstor_control(&b.m, resets[i], 0);
		(void)attention(&b);
		cr_assert_eq(node_write(&b), CONFLICT, "not a persistent one");
	}
	cr_assert_eq(pr_out(&a, REGISTER, 0, 1, 0), 0);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(plain(&a, 0x16, 0, 0), 0);
		cr_assert_eq(node_write(&b), CONFLICT);
		cr_assert_eq(vstor_control(&b.m, resets[i], 0), 0);
		(void)attention(&b);
		cr_assert_eq(node_write(&b), 0);
	}
}

Test(reservations, a_guest_that_leaves_ends_reserve)
{
	cr_assert_eq(plain(&a, 0x56, 0, 0), 0);
	cr_assert_eq(node_write(&b), CONFLICT);
	node_down(&a);
	cr_assert_eq(node_write(&b), 0);
	a = node_up(0, &memory_store_ops, &store);
}

Test(reservations, reserve_for_others_or_of_extents_is_not_there)
{
	for (uint8_t bit = 0; bit < 5; bit++) {
		cr_assert_eq(plain(&a, 0x16, (uint8_t)(1 << bit), 0), INVALID_FIELD);
		cr_assert_eq(plain(&a, 0x17, (uint8_t)(1 << bit), 0), INVALID_FIELD);
		cr_assert_eq(plain(&a, 0x56, (uint8_t)(1 << bit), 0), INVALID_FIELD);
		cr_assert_eq(plain(&a, 0x57, (uint8_t)(1 << bit), 0), INVALID_FIELD);
	}
	cr_assert_eq(node_write(&b), 0);
}

/* ---- where they are kept ----------------------------------------------------------------------- */

Test(reservations, a_store_that_fails_makes_commands_fail)
{
	static const uint8_t inquiry[6] = {0x12, 0, 0, 0, 36};
	struct hvs_guest_scsi_result r;

	store.error = -5;
	cr_assert_eq(pr_out(&a, REGISTER, 0, 0, 1), 0x044400);
	store.error = -ETIMEDOUT;
	cr_assert_eq(pr_out(&a, REGISTER, 0, 0, 1), 0x0b0000, "to be tried again");
	store.error = 0;
	cr_assert_eq(pr_out(&a, REGISTER, 0, 0, 1), 0);
	store.error = -5; /* what a did can't be read */
	cr_assert_eq(node_read(&b), 0x044400);
	cr_assert_eq(node_write(&b), 0x044400);
	r = node_cmd(&b, inquiry, 6, HVS_GUEST_STOR_IN, 36);
	cr_assert_eq(r.srb_status, SRB_SUCCESS);
	store.error = 0;
	cr_assert_eq(node_write(&b), 0);
}

Test(reservations, a_state_that_is_damaged_makes_commands_fail)
{
	cr_assert_eq(pr_out(&a, REGISTER, 0, 0, 1), 0);
	store.state[100] ^= 1;
	store.generation++;
	cr_assert_eq(node_write(&a), 0x044400);
	cr_assert_eq(pr_out(&a, REGISTER, 0, 1, 2), 0x044400);
	store.state[100] ^= 1;
	cr_assert_eq(pr_out(&a, REGISTER, 0, 1, 2), 0);
}

Test(reservations, disks_refuse_stores_that_are_wrong)
{
	struct hvs_reservation_ops ops = memory_store_ops;
	struct hvs_disk_config cfg = {HVS_DISK_CONFIG_INIT, .lun = 1, .reservations = &ops,
				      .reservation_store = &store};

	store.state[0] = 1;
	cr_assert_eq(hvs_storvsp_attach(a.m.ctl, &cfg, hvs_memdisk_ops(), a.m.memdisk, NULL),
		     -EBADMSG);
	memset(store.state, 0, sizeof(store.state));
	store.error = -EIO;
	cr_assert_eq(hvs_storvsp_attach(a.m.ctl, &cfg, hvs_memdisk_ops(), a.m.memdisk, NULL), -EIO);
	store.error = 0;
	ops.reserved = 1;
	cr_assert_eq(hvs_storvsp_attach(a.m.ctl, &cfg, hvs_memdisk_ops(), a.m.memdisk, NULL),
		     -EINVAL);
	ops = memory_store_ops;
	ops.update = NULL;
	cr_assert_eq(hvs_storvsp_attach(a.m.ctl, &cfg, hvs_memdisk_ops(), a.m.memdisk, NULL),
		     -EINVAL);
	ops = memory_store_ops;
	ops.size--;
	cr_assert_eq(hvs_storvsp_attach(a.m.ctl, &cfg, hvs_memdisk_ops(), a.m.memdisk, NULL),
		     -EINVAL);
	ops = memory_store_ops;
	cr_assert_eq(hvs_storvsp_attach(a.m.ctl, &cfg, hvs_memdisk_ops(), a.m.memdisk, NULL), 0);
}

Test(reservations, a_restarted_machine_is_told_nothing_of_before)
{
	register_all();
	cr_assert_eq(pr_out(&a, RESERVE, EA, KEY(0), 0), 0);
	cr_assert_eq(pr_out(&a, PREEMPT, EA, KEY(0), KEY(1)), 0);
	node_down(&b);
	b = node_up(1, &memory_store_ops, &store);
	cr_assert_eq(attention(&b), 0);
	cr_assert_eq(node_read(&b), CONFLICT);
	node_down(&a);
	a = node_up(0, &memory_store_ops, &store);
	cr_assert_eq(node_write(&a), 0, "it is the same initiator");
	cr_assert_eq(pr_out(&a, RELEASE, EA, KEY(0), 0), 0);
}

Test(reservations, switching_on_forgets_what_does_not_persist)
{
	register_all();
	cr_assert_eq(pr_out(&a, RESERVE, EA, KEY(0), 0), 0);
	node_down(&a);
	cr_assert_eq(hvs_reservation_power_on(store.state), 1);
	store.generation++;
	a = node_up(0, &memory_store_ops, &store);
	cr_assert_eq(pr_key_count(&a), 0);
	cr_assert_eq(node_write(&b), 0);
	cr_assert_eq(pr_out_list(&a, REGISTER, 0, 0, KEY(0), APTPL, 24), 0);
	cr_assert_eq(pr_out_list(&b, REGISTER, 0, 0, KEY(1), APTPL, 24), 0);
	cr_assert_eq(pr_out(&a, PREEMPT, 0, KEY(0), KEY(1)), 0);
	cr_assert_eq(pr_out(&a, RESERVE, EA, KEY(0), 0), 0);
	node_down(&a);
	cr_assert_eq(hvs_reservation_power_on(store.state), 1);
	store.generation++;
	a = node_up(0, &memory_store_ops, &store);
	cr_assert_eq(pr_generation(&a), 0, "it counts from switching on");
	cr_assert_eq(pr_holder_key(&a), KEY(0));
	cr_assert_eq(attention(&b), 0, "forgotten, too");
	cr_assert_eq(node_write(&b), CONFLICT);
	cr_assert_eq(hvs_reservation_power_on(NULL), -EINVAL);
	store.state[9] ^= 1;
	cr_assert_eq(hvs_reservation_power_on(store.state), -EBADMSG);
	memset(store.state, 0, sizeof(store.state));
	cr_assert_eq(hvs_reservation_power_on(store.state), 0);
}

Test(own_reservations, of_a_disk_that_nobody_shares)
{
	static const uint8_t caps[8] = {0, 8, 0x1c, 0x80, 0xea, 1};
	struct node n = node_up(0, NULL, NULL);

	cr_assert_eq(pr_key_count(&n), 0);
	cr_assert_eq(pr_type(&n), 0);
	cr_assert_eq(pr_in(&n, 2), 8);
	cr_assert_arr_eq(n.buf, caps, 8);
	cr_assert_eq(pr_out_list(&n, REGISTER, 0, 0, 1, APTPL, 24), INVALID_PARAMETER,
		     "they can't persist");
	cr_assert_eq(pr_out(&n, RESERVE, WE, 1, 0), CONFLICT);
	cr_assert_eq(pr_out(&n, REGISTER, 0, 0, 1), 0);
	cr_assert_eq(pr_out(&n, RESERVE, WE, 1, 0), 0);
	cr_assert_eq(pr_holder_key(&n), 1);
	cr_assert_eq(node_write(&n), 0);
	put_transport_id(n.buf + 24, 1);
	cr_assert_eq(pr_out_list(&n, REGISTER_MOVE, 0, 1, 2, 0, 48), 0, "to nobody");
	cr_assert_eq(node_write(&n), CONFLICT);
	cr_assert_eq(pr_out(&n, PREEMPT, EA, 1, 2), 0);
	cr_assert_eq(node_write(&n), 0);
	cr_assert_eq(pr_out(&n, CLEAR, 0, 1, 0), 0);
	cr_assert_eq(plain(&n, 0x16, 0, 0), 0);
	cr_assert_eq(pr_out(&n, REGISTER, 0, 0, 1), CONFLICT);
	cr_assert_eq(plain(&n, 0x17, 0, 0), 0);
	cr_assert_eq(pr_out(&n, REGISTER, 0, 0, 1), 0);
	node_down(&n);
}

/* ---- saved state ------------------------------------------------------------------------------- */

static struct hvs_memdisk *medium;
static bool with_store;

static int offer_again(void *arg, struct hvs_vmbus *bus)
{
	struct hvs_storvsp_config ctl_cfg = {HVS_STORVSP_CONFIG_INIT, .instance_id = {{1, 2, 3, 4}},
					     .initiator_id = node_id(0)};
	struct hvs_disk_config cfg = {HVS_DISK_CONFIG_INIT, .reservation_store = &store};
	struct hvs_storvsp **ctl = arg;
	int err = hvs_storvsp_create(bus, &ctl_cfg, ctl);

	cfg.reservations = with_store ? &memory_store_ops : NULL;
	return err ? err : hvs_storvsp_attach(*ctl, &cfg, hvs_memdisk_ops(), medium, NULL);
}

static void replace_host(struct node *n)
{
	medium = n->m.memdisk;
	cr_assert_eq(hvs_loopback_replace_host(n->m.lb, 0, offer_again, &n->m.ctl), 0);
}

Test(own_reservations, are_part_of_saved_state)
{
	struct node n = node_up(0, NULL, NULL);

	with_store = false;
	cr_assert_eq(pr_out(&n, REGISTER, 0, 0, 5), 0);
	cr_assert_eq(pr_out(&n, RESERVE, EA_RO, 5, 0), 0);
	replace_host(&n);
	cr_assert_eq(pr_generation(&n), 1);
	cr_assert_eq(pr_holder_key(&n), 5);
	cr_assert_eq(node_write(&n), 0);
	put_transport_id(n.buf + 24, 1);
	cr_assert_eq(pr_out_list(&n, REGISTER_MOVE, 0, 5, 6, 2, 48), 0);
	replace_host(&n);
	cr_assert_eq(node_write(&n), CONFLICT);
	node_down(&n);
}

Test(reservations, a_saved_machine_is_told_what_happened_meanwhile)
{
	with_store = true;
	register_all();
	cr_assert_eq(pr_out(&a, RESERVE, EA, KEY(0), 0), 0);
	cr_assert_eq(pr_out(&b, PREEMPT, EA, KEY(1), KEY(0)), 0);
	replace_host(&a); /* which has not noticed */
	cr_assert_eq(attention(&a), UNREGISTERED);
	cr_assert_eq(attention(&a), 0);
	cr_assert_eq(node_write(&a), CONFLICT);
	replace_host(&a);
	cr_assert_eq(attention(&a), 0, "once");
}
