/* SPDX-License-Identifier: MIT */
#include "support/cdb.h"

static uint8_t cdb_len(uint8_t opcode)
{
	static const uint8_t len[8] = {6, 10, 10, 0, 16, 12, 0, 0};

	cr_assert_neq(len[opcode >> 5], 0);
	return len[opcode >> 5];
}

struct cdb_memory cdb_memory(struct machine *m, uint32_t pages)
{
	struct cdb_memory mem = {.len = pages * 4096};

	mem.p = hvs_loopback_alloc_pages(m->lb, pages, &mem.gpa);
	cr_assert_not_null(mem.p);
	return mem;
}

static void put_be(uint8_t *to, uint64_t v, unsigned bytes)
{
	while (bytes--) {
		to[bytes] = (uint8_t)v;
		v >>= 8;
	}
}

struct cdb_case cdb_blocks(uint8_t opcode, uint8_t flags, uint64_t lba, uint32_t blocks)
{
	struct cdb_case c = {.what = "", .cdb = {opcode, flags}, .direction = HVS_GUEST_STOR_NONE};

	switch (cdb_len(opcode)) {
	case 6:
		put_be(c.cdb + 1, lba, 3);
		c.cdb[4] = (uint8_t)blocks;
		break;
	case 10:
		put_be(c.cdb + 2, lba, 4);
		put_be(c.cdb + 7, blocks, 2);
		break;
	case 12:
		put_be(c.cdb + 2, lba, 4);
		put_be(c.cdb + 6, blocks, 4);
		break;
	default:
		put_be(c.cdb + 2, lba, 8);
		put_be(c.cdb + 10, blocks, 4);
		break;
	}
	return c;
}

struct hvs_guest_scsi cdb_command(const struct cdb_memory *mem, const struct cdb_case *c)
{
	struct hvs_guest_scsi cmd = {.cdb_len = cdb_len(c->cdb[0]),
				     .direction = c->len ? c->direction : HVS_GUEST_STOR_NONE,
				     .buffer = {.gpa = mem->gpa, .len = c->len}};

	cr_assert_leq(c->len, mem->len);
	memcpy(cmd.cdb, c->cdb, cmd.cdb_len);
	return cmd;
}

struct hvs_guest_scsi_result cdb_expect(struct machine *m, const struct cdb_memory *mem,
					const struct cdb_case *c)
{
	struct hvs_guest_scsi cmd = cdb_command(mem, c);
	struct hvs_guest_scsi_result r = scsi(m, &cmd);
	uint8_t failed = c->sense >> 16 == 5 ? SRB_INVALID : SRB_ERROR;

	cr_assert_eq(r.srb_status, c->sense ? failed : SRB_SUCCESS, "%02x %s: SRB %#x, sense %06x",
		     c->cdb[0], c->what, r.srb_status, sense_of(&r));
	cr_assert_eq(r.scsi_status, c->sense ? 2 : 0, "%02x %s", c->cdb[0], c->what);
	cr_assert_eq(r.sense_len, c->sense ? 18 : 0, "%02x %s", c->cdb[0], c->what);
	cr_assert_eq(sense_of(&r), c->sense, "%02x %s: sense %06x", c->cdb[0], c->what,
		     sense_of(&r));
	cr_assert_eq(r.transferred, c->transferred, "%02x %s: %u bytes", c->cdb[0], c->what,
		     r.transferred);
	return r;
}

void cdb_expect_all(struct machine *m, const struct cdb_memory *mem, const struct cdb_case *cases,
		    size_t count)
{
	for (size_t i = 0; i < count; i++)
		(void)cdb_expect(m, mem, &cases[i]);
}

bool cdb_information(const struct hvs_guest_scsi_result *r, uint32_t *value)
{
	*value = (uint32_t)r->sense[3] << 24 | (uint32_t)r->sense[4] << 16 |
		 (uint32_t)r->sense[5] << 8 | r->sense[6];
	return r->sense[0] & 0x80;
}
