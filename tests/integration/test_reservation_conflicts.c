/* SPDX-License-Identifier: MIT */
/* Which command is a conflict for whom: SPC-4 table 68, SBC-3 table 13, SPC-2 table 8. */
#include "support/reserve.h"

#define HOLDER_KEY 0x1111u
#define OTHER_KEY 0x2222u

#define IN HVS_GUEST_STOR_IN
#define OUT HVS_GUEST_STOR_OUT
#define NO_DATA HVS_GUEST_STOR_NONE

/* By whom it may be used while another one has the disk. */
enum class {
	ALWAYS,
	UNLESS_RESERVED_BY_SPC2,
	LOOKS,
	CHANGES,
	OF_RESERVE, /* RESERVE(6) and the like: their own rules */
};

static const struct {
	const char *name;
	enum class class;
	uint8_t direction;
	uint8_t cdb_len;
	uint8_t cdb[16];
} commands[] = {
	{"TEST UNIT READY", UNLESS_RESERVED_BY_SPC2, NO_DATA, 6, {0x00}},
	{"REQUEST SENSE", ALWAYS, IN, 6, {0x03, 0, 0, 0, 18}},
	{"INQUIRY", ALWAYS, IN, 6, {0x12, 0, 0, 0, 36}},
	{"REPORT LUNS", ALWAYS, IN, 12, {0xa0, [9] = 16}},
	{"READ CAPACITY(10)", ALWAYS, IN, 10, {0x25}},
	{"READ CAPACITY(16)", ALWAYS, IN, 16, {0x9e, 0x10, [13] = 32}},
	{"START", ALWAYS, NO_DATA, 6, {0x1b, 0, 0, 0, 1}},
	{"ALLOW REMOVAL", ALWAYS, NO_DATA, 6, {0x1e, 0, 0, 0, 0}},
	{"READ(6)", LOOKS, IN, 6, {0x08, 0, 0, 0, 1}},
	{"READ(10)", LOOKS, IN, 10, {0x28, [8] = 1}},
	{"READ(12)", LOOKS, IN, 12, {0xa8, [9] = 1}},
	{"READ(16)", LOOKS, IN, 16, {0x88, [13] = 1}},
	{"VERIFY(10)", LOOKS, NO_DATA, 10, {0x2f, [8] = 1}},
	{"VERIFY(12)", LOOKS, NO_DATA, 12, {0xaf, [9] = 1}},
	{"VERIFY(16)", LOOKS, NO_DATA, 16, {0x8f, [13] = 1}},
	{"VERIFY(10) BYTCHK", LOOKS, OUT, 10, {0x2f, 2, [8] = 1}},
	{"PRE-FETCH(10)", LOOKS, NO_DATA, 10, {0x34, [8] = 1}},
	{"PRE-FETCH(16)", LOOKS, NO_DATA, 16, {0x90, [13] = 1}},
	{"GET LBA STATUS", LOOKS, IN, 16, {0x9e, 0x12, [13] = 32}},
	{"MODE SENSE(6)", LOOKS, IN, 6, {0x1a, 0, 8, 0, 64}},
	{"MODE SENSE(10)", LOOKS, IN, 10, {0x5a, 0, 8, [8] = 64}},
	{"REPORT SUPPORTED OPERATION CODES", LOOKS, IN, 12, {0xa3, 0x0c, [9] = 255}},
	{"REPORT SUPPORTED TMF", LOOKS, IN, 12, {0xa3, 0x0d, [9] = 16}},
	{"WRITE(6)", CHANGES, OUT, 6, {0x0a, 0, 0, 0, 1}},
	{"WRITE(10)", CHANGES, OUT, 10, {0x2a, [8] = 1}},
	{"WRITE(12)", CHANGES, OUT, 12, {0xaa, [9] = 1}},
	{"WRITE(16)", CHANGES, OUT, 16, {0x8a, [13] = 1}},
	{"WRITE AND VERIFY(10)", CHANGES, OUT, 10, {0x2e, [8] = 1}},
	{"WRITE AND VERIFY(12)", CHANGES, OUT, 12, {0xae, [9] = 1}},
	{"WRITE AND VERIFY(16)", CHANGES, OUT, 16, {0x8e, [13] = 1}},
	{"ORWRITE", CHANGES, OUT, 16, {0x8b, [13] = 1}},
	{"COMPARE AND WRITE", CHANGES, OUT, 16, {0x89, [13] = 1}},
	{"WRITE SAME(10)", CHANGES, OUT, 10, {0x41, [8] = 1}},
	{"WRITE SAME(16)", CHANGES, OUT, 16, {0x93, [13] = 1}},
	{"UNMAP", CHANGES, OUT, 10, {0x42, [8] = 24}},
	{"SYNCHRONIZE CACHE(10)", CHANGES, NO_DATA, 10, {0x35}},
	{"SYNCHRONIZE CACHE(16)", CHANGES, NO_DATA, 16, {0x91}},
	{"MODE SELECT(6)", CHANGES, OUT, 6, {0x15, 0x10, 0, 0, 0}},
	{"MODE SELECT(10)", CHANGES, OUT, 10, {0x55, 0x10}},
	{"SEND DIAGNOSTIC", CHANGES, NO_DATA, 6, {0x1d, 4}},
	{"STOP", CHANGES, NO_DATA, 6, {0x1b, 0, 0, 0, 0}},
	{"START to stand-by", CHANGES, NO_DATA, 6, {0x1b, 0, 0, 0, 0x31}},
	{"PREVENT REMOVAL", CHANGES, NO_DATA, 6, {0x1e, 0, 0, 0, 1}},
	{"PERSISTENT RESERVE IN", OF_RESERVE, IN, 10, {0x5e, 0, [8] = 255}},
	{"RESERVE(6)", OF_RESERVE, NO_DATA, 6, {0x16}},
	{"RELEASE(6)", OF_RESERVE, NO_DATA, 6, {0x17}},
	{"RESERVE(10)", OF_RESERVE, NO_DATA, 10, {0x56}},
	{"RELEASE(10)", OF_RESERVE, NO_DATA, 10, {0x57}},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static bool conflicts(struct node *n, size_t i)
{
	struct hvs_guest_scsi_result r;

	memset(n->buf, 0, 4096);
	r = node_cmd(n, commands[i].cdb, commands[i].cdb_len, commands[i].direction,
		     commands[i].direction == NO_DATA ? 0 : 1024);
	if (r.scsi_status != CONFLICT)
		return false;
	cr_assert_eq(r.srb_status, 0x04);
	cr_assert_eq(r.sense_len, 0);
	cr_assert_eq(r.transferred, 0);
	for (unsigned b = 0; b < 1024; b++)
		cr_assert_eq(n->buf[b], 0);
	return true;
}

/* Lines: none, holder, registered, stranger. c: conflict. */
enum role { HOLDER, REGISTERED, STRANGER, ROLES };
static const struct {
	uint8_t type;
	char looks[ROLES + 1];
	char changes[ROLES + 1];
	char reserve[ROLES + 1]; /* RESERVE and RELEASE, with CRH */
} rules[] = {
	{0, "   ", "   ", "ccc"},     {WE, "   ", " cc", " cc"},    {EA, " cc", " cc", " cc"},
	{WE_RO, "   ", "  c", "  c"}, {EA_RO, "  c", "  c", "  c"}, {WE_AR, "   ", "  c", "  c"},
	{EA_AR, "  c", "  c", "  c"},
};

static char expected(size_t rule, enum role role, size_t i)
{
	switch (commands[i].class) {
	case LOOKS:
		return rules[rule].looks[role];
	case CHANGES:
		return rules[rule].changes[role];
	case OF_RESERVE:
		return commands[i].cdb[0] == 0x5e ? ' ' : rules[rule].reserve[role];
	default:
		return ' ';
	}
}

Test(conflicts, persistent_reservations)
{
	struct memory_store store = {.generation = 0};
	struct node n[ROLES];

	for (uint8_t i = 0; i < ROLES; i++)
		n[i] = node_up(i, &memory_store_ops, &store);
	cr_assert_eq(pr_out(&n[HOLDER], REGISTER, 0, 0, HOLDER_KEY), 0);
	cr_assert_eq(pr_out(&n[REGISTERED], REGISTER, 0, 0, OTHER_KEY), 0);
	for (size_t rule = 0; rule < sizeof(rules) / sizeof(rules[0]); rule++) {
		uint8_t type = rules[rule].type;

		if (type)
			cr_assert_eq(pr_out(&n[HOLDER], RESERVE, type, HOLDER_KEY, 0), 0);
		for (enum role role = HOLDER; role < ROLES; role++)
			for (size_t i = 0; i < COMMANDS; i++)
				cr_assert_eq(conflicts(&n[role], i), expected(rule, role, i) == 'c',
					     "type %u: %s, role %u", type, commands[i].name, role);
		if (type)
			cr_assert_eq(pr_out(&n[HOLDER], RELEASE, type, HOLDER_KEY, 0), 0);
		if (type >= WE_RO) /* it is told of it */
			cr_assert_eq(plain(&n[REGISTERED], 0, 0, 0), 0x062a04);
	}
	for (uint8_t i = 0; i < ROLES; i++)
		node_down(&n[i]);
}

Test(conflicts, persistent_reserve_out)
{
	static const uint8_t types[] = {WE, EA, WE_RO, EA_RO, WE_AR, EA_AR};
	struct memory_store store = {.generation = 0};
	struct node n[ROLES];

	for (uint8_t i = 0; i < ROLES; i++)
		n[i] = node_up(i, &memory_store_ops, &store);
	for (size_t t = 0; t < sizeof(types); t++) {
		uint8_t type = types[t];
		bool all = type >= WE_AR;

		cr_assert_eq(pr_out(&n[HOLDER], REGISTER, 0, 0, HOLDER_KEY), 0);
		cr_assert_eq(pr_out(&n[REGISTERED], REGISTER, 0, 0, OTHER_KEY), 0);
		cr_assert_eq(pr_out(&n[HOLDER], RESERVE, type, HOLDER_KEY, 0), 0);
		for (uint8_t action = RESERVE; action <= PREEMPT_ABORT; action++) {
			cr_assert_eq(pr_out(&n[STRANGER], action, type, 0, HOLDER_KEY), CONFLICT);
			cr_assert_eq(pr_out(&n[STRANGER], action, type, HOLDER_KEY, HOLDER_KEY),
				     CONFLICT);
			cr_assert_eq(pr_out(&n[REGISTERED], action, type, HOLDER_KEY, HOLDER_KEY),
				     CONFLICT, "a wrong key");
		}
		cr_assert_eq(pr_out(&n[REGISTERED], RESERVE, type, OTHER_KEY, 0),
			     all ? 0 : CONFLICT);
		cr_assert_eq(pr_out(&n[REGISTERED], RESERVE, type == WE ? EA : WE, OTHER_KEY, 0),
			     CONFLICT);
		cr_assert_eq(pr_out(&n[HOLDER], RESERVE, type, HOLDER_KEY, 0), 0, "once more");
		cr_assert_eq(pr_out(&n[HOLDER], RESERVE, type == WE ? EA : WE, HOLDER_KEY, 0),
			     CONFLICT, "the type does not change");
		if (!all) {
			cr_assert_eq(pr_out(&n[REGISTERED], RELEASE, type, OTHER_KEY, 0), 0);
			cr_assert_eq(pr_type(&n[HOLDER]), type, "only the holder's counts");
		}
		cr_assert_eq(pr_out(&n[STRANGER], REGISTER, 0, 0, 5), 0, "always allowed");
		cr_assert_eq(pr_out(&n[STRANGER], REGISTER_IGNORE, 0, 77, 0), 0);
		cr_assert_eq(pr_out(&n[REGISTERED], CLEAR, 0, OTHER_KEY, 0), 0);
		cr_assert_eq(plain(&n[HOLDER], 0, 0, 0), 0x062a03);
	}
	for (uint8_t i = 0; i < ROLES; i++)
		node_down(&n[i]);
}

/* ---- SPC-2 ------------------------------------------------------------------------------------ */

Test(conflicts, reserve_and_release_of_spc_2)
{
	static const uint8_t pair[2][2] = {{0x16, 0x17}, {0x56, 0x57}};
	struct memory_store store = {.generation = 0};
	struct node a = node_up(0, &memory_store_ops, &store);
	struct node b = node_up(1, &memory_store_ops, &store);

	for (unsigned p = 0; p < 2; p++) {
		cr_assert_eq(plain(&a, pair[p][0], 0, 0), 0);
		cr_assert_eq(plain(&a, pair[p][0], 0, 0), 0, "once more");
		for (size_t i = 0; i < COMMANDS; i++) {
			uint8_t op = commands[i].cdb[0];
			bool release = op == 0x17 || op == 0x57;

			if (!release)
				cr_assert_eq(conflicts(&a, i), op == 0x5e, "%s", commands[i].name);
			cr_assert_eq(conflicts(&b, i), !release && commands[i].class != ALWAYS,
				     "%s", commands[i].name);
		}
		for (uint8_t action = REGISTER; action <= REGISTER_IGNORE; action++) {
			cr_assert_eq(pr_out(&a, action, WE, 0, 1), CONFLICT);
			cr_assert_eq(pr_out(&b, action, WE, 0, 1), CONFLICT);
		}
		cr_assert_eq(node_write(&b), CONFLICT, "RELEASE of another one does nothing");
		cr_assert_eq(plain(&a, pair[p][1], 0, 0), 0);
		cr_assert_eq(node_write(&b), 0);
		cr_assert_eq(plain(&b, pair[p][0], 0, 0), 0);
		cr_assert_eq(node_read(&a), CONFLICT);
		cr_assert_eq(plain(&b, pair[p][1], 0, 0), 0);
	}
	node_down(&a);
	node_down(&b);
}
