/* SPDX-License-Identifier: MIT */
#include "support/reserve.h"

#include "util/le.h"

/* ---- a store ---------------------------------------------------------------------------------- */

static uint64_t memory_generation(void *store)
{
	return ((struct memory_store *)store)->generation;
}

static int memory_read(void *store, void *state, uint64_t *generation)
{
	struct memory_store *s = store;

	memcpy(state, s->state, sizeof(s->state));
	*generation = s->generation;
	return s->error;
}

static int memory_update(void *store, int (*change)(void *arg, void *state), void *arg)
{
	struct memory_store *s = store;
	uint8_t copy[HVS_RESERVATION_BYTES];
	int err = s->error;

	memcpy(copy, s->state, sizeof(copy));
	if (!err)
		err = change(arg, copy);
	if (err <= 0)
		return err;
	memcpy(s->state, copy, sizeof(copy));
	s->generation++;
	return 0;
}

const struct hvs_reservation_ops memory_store_ops = {HVS_RESERVATION_OPS_INIT,
						     .generation = memory_generation,
						     .read = memory_read, .update = memory_update};

/* ---- machines --------------------------------------------------------------------------------- */

struct hvs_guid node_id(uint8_t n)
{
	return (struct hvs_guid){{(uint8_t)(n + 1)}};
}

struct node node_up(uint8_t n, const struct hvs_reservation_ops *ops, void *store)
{
	struct node node = {.m = machine_up(&(struct machine_options){.initiator_id = node_id(n),
								      .reservations = ops,
								      .reservation_store = store})};

	node.buf = hvs_loopback_alloc_pages(node.m.lb, 1, &node.gpa);
	cr_assert_not_null(node.buf);
	return node;
}

void node_down(struct node *n)
{
	machine_down(&n->m);
}

struct hvs_guest_scsi_result node_cmd(struct node *n, const uint8_t *cdb, uint8_t cdb_len,
				      uint8_t direction, uint32_t len)
{
	struct hvs_guest_scsi cmd = {.cdb_len = cdb_len,
				     .direction = len ? direction : HVS_GUEST_STOR_NONE,
				     .buffer = {.gpa = n->gpa, .len = len}};

	memcpy(cmd.cdb, cdb, cdb_len);
	if (direction == HVS_GUEST_STOR_IN)
		memset(n->buf, 0, 4096);
	return scsi(&n->m, &cmd);
}

/* ---- commands --------------------------------------------------------------------------------- */

static uint32_t outcome(const struct hvs_guest_scsi_result *r)
{
	switch (r->scsi_status) {
	case 0:
		cr_assert_eq(r->srb_status, SRB_SUCCESS);
		return 0;
	case CONFLICT:
		cr_assert_eq(r->srb_status, 0x04, "SRB %#x", r->srb_status);
		cr_assert_eq(r->sense_len, 0);
		cr_assert_eq(r->transferred, 0);
		return CONFLICT;
	default:
		cr_assert_eq(r->scsi_status, 2);
		cr_assert_eq(r->sense_len, 18);
		cr_assert_eq(r->transferred, 0);
		return sense_of(r);
	}
}

uint32_t pr_out_list(struct node *n, uint8_t action, uint8_t type, uint64_t key,
		     uint64_t action_key, uint8_t flags, uint32_t len)
{
	uint8_t cdb[10] = {0x5f, action, type};
	struct hvs_guest_scsi_result r;

	hvsi_put_be32(cdb + 5, len);
	memset(n->buf, 0, 24);
	hvsi_put_be64(n->buf, key);
	hvsi_put_be64(n->buf + 8, action_key);
	if (action == REGISTER_MOVE) {
		n->buf[17] = flags;
		n->buf[19] = 1; /* port */
		n->buf[23] = (uint8_t)(len - 24);
	} else {
		n->buf[20] = flags;
	}
	r = node_cmd(n, cdb, sizeof(cdb), HVS_GUEST_STOR_OUT, len);
	return outcome(&r);
}

uint32_t pr_out(struct node *n, uint8_t action, uint8_t type, uint64_t key, uint64_t action_key)
{
	return pr_out_list(n, action, type, key, action_key, 0, 24);
}

void put_transport_id(uint8_t *to, uint8_t who)
{
	struct hvs_guid id = node_id(who);

	memset(to, 0, 24);
	to[0] = 4; /* SRP */
	memcpy(to + 8, id.b, 16);
}

uint32_t pr_in(struct node *n, uint8_t action)
{
	const uint8_t cdb[10] = {0x5e, action, [7] = 4096 >> 8};
	struct hvs_guest_scsi_result r = node_cmd(n, cdb, sizeof(cdb), HVS_GUEST_STOR_IN, 4096);

	cr_assert_eq(outcome(&r), 0, "PERSISTENT RESERVE IN: %#x", outcome(&r));
	if (action != 2)
		cr_assert_eq(r.transferred, 8 + hvsi_get_be32(n->buf + 4));
	return r.transferred;
}

uint32_t plain(struct node *n, uint8_t opcode, uint8_t byte1, uint8_t byte4)
{
	const uint8_t cdb[10] = {opcode, byte1, [4] = byte4};
	struct hvs_guest_scsi_result r =
		node_cmd(n, cdb, opcode >> 5 ? 10 : 6, HVS_GUEST_STOR_NONE, 0);

	return outcome(&r);
}

uint32_t node_read(struct node *n)
{
	struct hvs_guest_scsi_result r = scsi_rw(&n->m, OP_READ10, 0, 1, n->gpa);

	return outcome(&r);
}

uint32_t node_write(struct node *n)
{
	struct hvs_guest_scsi_result r = scsi_rw(&n->m, OP_WRITE10, 0, 1, n->gpa);

	return outcome(&r);
}

uint32_t pr_generation(struct node *n)
{
	(void)pr_in(n, 0);
	return hvsi_get_be32(n->buf);
}

unsigned pr_key_count(struct node *n)
{
	return (pr_in(n, 0) - 8) / 8;
}

uint8_t pr_type(struct node *n)
{
	uint32_t len = pr_in(n, 1);

	cr_assert(len == 8 || len == 24);
	return len == 24 ? n->buf[21] : 0;
}

uint64_t pr_holder_key(struct node *n)
{
	cr_assert_eq(pr_in(n, 1), 24);
	return hvsi_get_be64(n->buf + 8);
}
