/* SPDX-License-Identifier: MIT */
/*
 * GPADLs: lists of guest pages under a number the guest chose. They arrive in one HEADER and as
 * many BODY messages as they need. Main worker only, but for what devices do.
 */
#include "vmbus/bus.h"

#include "util/alloc.h"
#include "util/bytes.h"
#include "vmbus/state_format.h"

#include <errno.h>

static size_t gpadl_size(uint32_t need)
{
	return sizeof(struct hvsi_gpadl) + (size_t)need * sizeof(uint64_t);
}

static struct hvsi_gpadl **bucket(struct hvs_vmbus *bus, uint32_t id)
{
	return &bus->gpadls.bucket[id % HVSI_GPADL_BUCKETS];
}

struct hvsi_gpadl *hvsi_gpadl_find(struct hvs_vmbus *bus, uint32_t id)
{
	struct hvsi_gpadl *g = *bucket(bus, id);

	while (g && g->id != id)
		g = g->hash_next;
	return g;
}

static void destroy(struct hvsi_gpadl *g)
{
	struct hvs_vmbus *bus = g->bus;
	struct hvsi_gpadl **at = bucket(bus, g->id);

	while (*at != g)
		at = &(*at)->hash_next;
	hvsi_spin_lock(&bus->gpadls.lock);
	*at = g->hash_next;
	hvsi_spin_unlock(&bus->gpadls.lock);
	bus->gpadls.count--;
	bus->gpadls.words -= g->need;
	hvsi_list_remove(&g->answer.node);
	hvsi_free(&bus->cfg.alloc, g, gpadl_size(g->need));
}

static size_t build_created(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX])
{
	const struct hvsi_gpadl *g = hvsi_container_of(m, struct hvsi_gpadl, answer);
	struct hvsi_msg_gpadl_created msg = {.h = hvsi_msg_header(HVSI_MSG_GPADL_CREATED),
					     .relid = hvsi_le32(g->relid),
					     .gpadl_id = hvsi_le32(g->id),
					     .status = hvsi_le32(g->status)};

	memcpy(buf, &msg, sizeof(msg));
	return sizeof(msg);
}

static void set_shared(struct hvsi_gpadl *g, bool shared)
{
	hvsi_spin_lock(&g->bus->gpadls.lock);
	g->shared = shared;
	hvsi_spin_unlock(&g->bus->gpadls.lock);
}

/* A GPADL that was refused is gone once the guest has been told. */
static void created_sent(struct hvsi_outmsg *m)
{
	struct hvsi_gpadl *g = hvsi_container_of(m, struct hvsi_gpadl, answer);

	if (g->status != HVSI_STATUS_OK)
		destroy(g);
	else
		set_shared(g, true);
}

static size_t build_torndown(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX])
{
	const struct hvsi_gpadl *g = hvsi_container_of(m, struct hvsi_gpadl, answer);
	struct hvsi_msg_gpadl_torndown msg = {.h = hvsi_msg_header(HVSI_MSG_GPADL_TORNDOWN),
					      .gpadl_id = hvsi_le32(g->id)};

	memcpy(buf, &msg, sizeof(msg));
	return sizeof(msg);
}

static void torndown_sent(struct hvsi_outmsg *m)
{
	destroy(hvsi_container_of(m, struct hvsi_gpadl, answer));
}

static void refuse(struct hvs_vmbus *bus, uint32_t relid, uint32_t id)
{
	struct hvsi_msg_gpadl_created msg = {.h = hvsi_msg_header(HVSI_MSG_GPADL_CREATED),
					     .relid = hvsi_le32(relid),
					     .gpadl_id = hvsi_le32(id),
					     .status = hvsi_le32(HVSI_STATUS_FAILED)};

	hvsi_fault(bus, relid, HVS_FAULT_GPADL, "GPADL refused");
	hvsi_conn_refuse(bus, &msg, sizeof(msg));
}

/* All words are there: is it a list of RAM pages, no more and no less? */
static bool complete_ok(struct hvsi_gpadl *g)
{
	size_t used;

	if (hvsi_extents_parse(&g->extents, g->bus->mem, NULL, (const uint8_t *)g->words,
			       (size_t)g->need * 8, g->range_count, &used) < 0 ||
	    used != (size_t)g->need * 8)
		return false;
	if (g->range_count != 1)
		return true;
	for (uint32_t i = 0; i < g->extents.page_count; i++)
		if (!hvsi_mem_range(g->bus->mem, hvsi_extents_page(&g->extents, i), HVSI_PAGE,
				    HVS_RDWR))
			return false;
	return true;
}

/* Append what a message carries: whole words, never more than are needed; senders pad. */
static void append(struct hvsi_gpadl *g, struct hvsi_reader r)
{
	size_t words = r.left / 8;

	if (words > g->need - g->have)
		words = g->need - g->have;
	memcpy(&g->words[g->have], r.p, words * 8);
	g->have += (uint32_t)words;
	if (g->have < g->need)
		return;

	g->state = HVSI_GPADL_READY;
	g->status = complete_ok(g) ? HVSI_STATUS_OK : HVSI_STATUS_FAILED;
	if (g->status != HVSI_STATUS_OK)
		hvsi_fault(g->bus, g->relid, HVS_FAULT_GPADL, "GPADL is no list of RAM pages");
	hvsi_outq_add(g->bus, &g->answer);
}

static struct hvsi_gpadl *create(struct hvs_vmbus *bus, uint32_t id, uint32_t relid,
				 uint32_t range_count, uint32_t need)
{
	struct hvsi_gpadl *g = hvsi_alloc(&bus->cfg.alloc, gpadl_size(need));

	if (!g)
		return NULL;
	g->bus = bus;
	g->id = id;
	g->relid = relid;
	g->range_count = range_count;
	g->need = need;
	g->state = HVSI_GPADL_COLLECTING;
	hvsi_outmsg_init(&g->answer, HVSI_OUT_GPADL, build_created, created_sent);
	g->hash_next = *bucket(bus, id);
	hvsi_spin_lock(&bus->gpadls.lock);
	*bucket(bus, id) = g;
	hvsi_spin_unlock(&bus->gpadls.lock);
	bus->gpadls.count++;
	bus->gpadls.words += need;
	return g;
}

static bool over_limits(const struct hvs_vmbus *bus, uint32_t need)
{
	return bus->gpadls.count >= bus->cfg.max_gpadls ||
	       need > bus->cfg.max_gpadl_pages - bus->gpadls.words;
}

void hvsi_gpadl_header(struct hvs_vmbus *bus, const void *bytes, size_t len)
{
	struct hvsi_reader r = hvsi_reader(bytes, len);
	struct hvsi_msg_gpadl_header msg;
	struct hvsi_gpadl *g;
	const struct hvs_channel *ch;
	uint32_t relid;
	uint32_t id;
	uint32_t need;

	if (!hvsi_read(&r, &msg, sizeof(msg)))
		return;
	relid = hvsi_get32(msg.relid);
	ch = hvsi_bus_channel(bus, relid);
	id = hvsi_get32(msg.gpadl_id);
	need = hvsi_get16(msg.range_bytes) / 8u;
	if (hvsi_get16(msg.range_bytes) % 8 || need < 2 || !hvsi_get16(msg.range_count) || !ch ||
	    ch->reserved || hvsi_gpadl_find(bus, id) || over_limits(bus, need)) {
		refuse(bus, relid, id);
		return;
	}
	g = create(bus, id, relid, hvsi_get16(msg.range_count), need);
	if (g)
		append(g, r);
	else
		refuse(bus, relid, id);
}

void hvsi_gpadl_body(struct hvs_vmbus *bus, const void *bytes, size_t len)
{
	struct hvsi_reader r = hvsi_reader(bytes, len);
	struct hvsi_msg_gpadl_body msg;
	struct hvsi_gpadl *g;

	if (!hvsi_read(&r, &msg, sizeof(msg)))
		return;
	g = hvsi_gpadl_find(bus, hvsi_get32(msg.gpadl_id));
	if (!g || g->state != HVSI_GPADL_COLLECTING) {
		hvsi_fault(bus, 0, HVS_FAULT_GPADL, "GPADL_BODY without a GPADL that waits for it");
		return;
	}
	append(g, r);
}

void hvsi_gpadl_torndown(struct hvsi_gpadl *g)
{
	g->answer.build = build_torndown;
	g->answer.sent = torndown_sent;
	hvsi_outq_add(g->bus, &g->answer);
}

int hvsi_gpadl_restore(struct hvs_vmbus *bus, const struct hvsi_state_gpadl *s,
		       const uint8_t *words, size_t len)
{
	uint32_t state = hvsi_get32(s->state);
	uint32_t need = hvsi_get32(s->need);
	uint32_t id = hvsi_get32(s->id);
	uint32_t ranges = hvsi_get32(s->range_count);
	struct hvsi_gpadl *g;

	if (state > HVSI_GPADL_TEARDOWN || need < 2 || need > UINT16_MAX / 8 || !ranges ||
	    ranges > UINT16_MAX || hvsi_gpadl_find(bus, id) || len % 8 || len / 8 > need ||
	    (len / 8 == need) != (state != HVSI_GPADL_COLLECTING))
		return -EBADMSG;
	if (over_limits(bus, need))
		return -ENOSPC;
	g = create(bus, id, hvsi_get32(s->relid), ranges, need);
	if (!g)
		return -ENOMEM;
	memcpy(g->words, words, len);
	g->have = (uint32_t)(len / 8);
	g->state = (enum hvsi_gpadl_state)state;
	g->status = hvsi_get32(s->status);
	/* Until its answer is found to be still in the queue. */
	g->shared = state == HVSI_GPADL_READY && g->status == HVSI_STATUS_OK;
	g->torn = state == HVSI_GPADL_TEARDOWN;
	if (state == HVSI_GPADL_COLLECTING || g->status != HVSI_STATUS_OK)
		return 0;
	return complete_ok(g) ? 0 : -EFAULT;
}

void hvsi_gpadl_teardown(struct hvs_vmbus *bus, const void *bytes, size_t len)
{
	struct hvsi_reader r = hvsi_reader(bytes, len);
	struct hvsi_msg_gpadl_teardown msg;
	struct hvsi_gpadl *g;
	uint32_t users;

	if (!hvsi_read(&r, &msg, sizeof(msg)))
		return;
	g = hvsi_gpadl_find(bus, hvsi_get32(msg.gpadl_id));
	if (!g || g->state != HVSI_GPADL_READY || !hvsi_list_empty(&g->answer.node)) {
		hvsi_fault(bus, hvsi_get32(msg.relid), HVS_FAULT_GPADL, "GPADL_TEARDOWN of none");
		return;
	}
	g->state = HVSI_GPADL_TEARDOWN;
	hvsi_spin_lock(&bus->gpadls.lock);
	g->shared = false;
	g->torn = true;
	users = g->users;
	hvsi_spin_unlock(&bus->gpadls.lock);
	if (!users)
		hvsi_gpadl_torndown(g);
}

void hvsi_gpadl_get(struct hvsi_gpadl *g)
{
	hvsi_spin_lock(&g->bus->gpadls.lock);
	g->users++;
	hvsi_spin_unlock(&g->bus->gpadls.lock);
}

void hvsi_gpadl_put(struct hvsi_gpadl *g)
{
	if (hvsi_gpadl_unclaim(g))
		hvsi_gpadl_torndown(g);
}

/* ---- devices ---------------------------------------------------------------------------------- */

struct hvs_gpadl {
	struct hvs_channel *ch;
	struct hvsi_gpadl *g;
	struct hvs_extents extents; /* g's, with the channel's maps */
};

struct hvsi_gpadl *hvsi_gpadl_claim(struct hvs_vmbus *bus, uint32_t relid, uint32_t id)
{
	bool restoring = !atomic_load(&bus->started);
	struct hvsi_gpadl *g;

	hvsi_spin_lock(&bus->gpadls.lock);
	g = hvsi_gpadl_find(bus, id);
	if (g && (g->relid != relid || !(g->shared || (restoring && g->torn))))
		g = NULL;
	if (g)
		g->users++;
	hvsi_spin_unlock(&bus->gpadls.lock);
	return g;
}

bool hvsi_gpadl_unclaim(struct hvsi_gpadl *g)
{
	struct hvs_vmbus *bus = g->bus; /* another worker may be the last one, and free it */
	bool wanted;

	hvsi_spin_lock(&bus->gpadls.lock);
	wanted = --g->users == 0 && g->torn;
	hvsi_spin_unlock(&bus->gpadls.lock);
	return wanted;
}

void hvsi_gpadl_answer_teardowns(struct hvs_vmbus *bus)
{
	for (unsigned i = 0; i < HVSI_GPADL_BUCKETS; i++)
		for (struct hvsi_gpadl *g = bus->gpadls.bucket[i]; g; g = g->hash_next) {
			bool in_use;

			if (g->state != HVSI_GPADL_TEARDOWN)
				continue;
			hvsi_spin_lock(&bus->gpadls.lock);
			in_use = g->users != 0;
			hvsi_spin_unlock(&bus->gpadls.lock);
			if (!in_use)
				hvsi_gpadl_torndown(g);
		}
}

int hvs_channel_gpadl_get(struct hvs_channel *ch, uint32_t id, struct hvs_gpadl **out)
{
	struct hvs_vmbus *bus = ch->dev->bus;
	struct hvs_gpadl *use = hvsi_alloc(&bus->cfg.alloc, sizeof(*use));

	if (!use)
		return -ENOMEM;
	use->ch = ch;
	use->g = hvsi_gpadl_claim(bus, ch->relid, id);
	if (!use->g) {
		hvsi_free(&bus->cfg.alloc, use, sizeof(*use));
		return -ENOENT;
	}
	use->extents = use->g->extents;
	use->extents.pool = &ch->maps;
	*out = use;
	return 0;
}

const struct hvs_extents *hvs_gpadl_extents(const struct hvs_gpadl *g)
{
	return &g->extents;
}

void hvs_gpadl_put(struct hvs_gpadl *use)
{
	struct hvs_channel *ch;

	if (!use)
		return;
	ch = use->ch;
	if (hvsi_gpadl_unclaim(use->g))
		hvsi_chan_report(ch, HVSI_DONE_GPADL);
	hvsi_free(&ch->dev->bus->cfg.alloc, use, sizeof(*use));
}

/* ---- the end of a channel or of all ------------------------------------------------------------ */

/* All of them but those of reserved channels, or those of one relid. */
static void free_some(struct hvs_vmbus *bus, const uint32_t *relid)
{
	for (unsigned i = 0; i < HVSI_GPADL_BUCKETS; i++) {
		struct hvsi_gpadl *next;

		for (struct hvsi_gpadl *g = bus->gpadls.bucket[i]; g; g = next) {
			const struct hvs_channel *ch = hvsi_bus_channel(bus, g->relid);

			next = g->hash_next;
			if (relid ? g->relid == *relid : !ch || !ch->reserved)
				destroy(g);
		}
	}
}

void hvsi_gpadl_free_relid(struct hvs_vmbus *bus, uint32_t relid)
{
	free_some(bus, &relid);
}

void hvsi_gpadl_free_all(struct hvs_vmbus *bus)
{
	free_some(bus, NULL);
}
