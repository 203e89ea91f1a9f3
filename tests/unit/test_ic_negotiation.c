/* SPDX-License-Identifier: MIT */
/* Integration components: the list of versions, and what the guest chose of it. */
#include "ic/service.h"

#include <criterion/criterion.h>

static const uint32_t versions[] = {HVSI_IC_VERSION(1, 0), HVSI_IC_VERSION(3, 0),
				    HVSI_IC_VERSION(3, 1), HVSI_IC_VERSION(3, 2)};
static const struct hvsi_ic_class class = {.versions = versions, .version_count = 4};
#define ALL UINT32_MAX

Test(ic_negotiation, versions_are_offered_in_ascending_order)
{
	static const uint8_t want[] = {2, 0, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0,
				       1, 0, 0, 0, 3, 0, 0, 0, 3, 0, 1, 0, 3, 0, 2, 0};
	uint8_t body[HVSI_IC_NEGOTIATION_MAX] = {0};

	cr_assert_eq(hvsi_ic_negotiation_build(&class, ALL, body), sizeof(want));
	cr_assert_arr_eq(body, want, sizeof(want));
}

Test(ic_negotiation, newer_ones_than_the_maximum_are_not_offered)
{
	static const struct {
		uint32_t max;
		uint8_t count;
		uint32_t newest;
	} row[] = {
		{HVSI_IC_VERSION(1, 0), 1, HVSI_IC_VERSION(1, 0)},
		{HVSI_IC_VERSION(2, 9), 1, HVSI_IC_VERSION(1, 0)},
		{HVSI_IC_VERSION(3, 0), 2, HVSI_IC_VERSION(3, 0)},
		{HVSI_IC_VERSION(3, 1), 3, HVSI_IC_VERSION(3, 1)},
		{HVSI_IC_VERSION(9, 0), 4, HVSI_IC_VERSION(3, 2)},
	};
	uint8_t body[HVSI_IC_NEGOTIATION_MAX];

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		cr_assert_eq(hvsi_ic_negotiation_build(&class, row[i].max, body),
			     16u + 4 * row[i].count);
		cr_assert_eq(body[2], row[i].count);
		cr_assert_eq(hvsi_ic_newest(&class, row[i].max), row[i].newest);
	}
}

Test(ic_negotiation, an_answer_is_one_of_each_that_was_offered)
{
	static const struct {
		bool right;
		uint32_t max;
		uint32_t len;
		uint8_t body[20];
	} row[] = {
		{true, ALL, 16, {1, 0, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 3, 0, 2, 0}},
		{true, ALL, 20, {1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 9, 9, 9}},
		{true, ALL, 16, {1, 0, 1, 0, 7, 7, 7, 7, 3, 0, 0, 0, 3, 0, 0, 0}},
		/* nothing */
		{false, ALL, 16, {0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 3, 0, 2, 0}},
		{false, ALL, 16, {1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 3, 0, 2, 0}},
		{false, ALL, 16, {0, 0, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 3, 0, 2, 0}},
		/* too much */
		{false, ALL, 16, {2, 0, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 3, 0, 2, 0}},
		{false, ALL, 16, {1, 0, 2, 0, 0, 0, 0, 0, 3, 0, 0, 0, 3, 0, 2, 0}},
		{false, ALL, 16, {1, 1, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 3, 0, 2, 0}},
		/* too short */
		{false, ALL, 15, {1, 0, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 3, 0, 2, 0}},
		{false, ALL, 0, {0}},
		/* not offered */
		{false, ALL, 16, {1, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 2, 0}},
		{false, ALL, 16, {1, 0, 1, 0, 0, 0, 0, 0, 3, 0, 1, 0, 3, 0, 2, 0}},
		{false, ALL, 16, {1, 0, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 3, 0, 3, 0}},
		{false, ALL, 16, {1, 0, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0}},
		{false, 0x30000, 16, {1, 0, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 3, 0, 1, 0}},
	};
	uint32_t framework;
	uint32_t version;

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		cr_assert_eq(hvsi_ic_negotiation_parse(&class, row[i].max, row[i].body, row[i].len,
						       &framework, &version),
			     row[i].right, "%zu", i);
	cr_assert(hvsi_ic_negotiation_parse(&class, ALL, row[0].body, 16, &framework, &version));
	cr_assert_eq(framework, HVSI_IC_FRAMEWORK_3);
	cr_assert_eq(version, HVSI_IC_VERSION(3, 2));
}
