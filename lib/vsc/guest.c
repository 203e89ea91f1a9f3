/* SPDX-License-Identifier: MIT */
/* The guest's side of the connection: hypercalls, SynIC, control messages. */
#include "vsc/guest.h"

#include "util/alloc.h"
#include "util/sized.h"

#include <hvstack/vmbus.h>

#include <errno.h>

#define MSR_GUEST_OS_ID 0x40000000u
#define MSR_HYPERCALL 0x40000001u
#define MSR_SCONTROL 0x40000080u
#define MSR_SIEFP 0x40000082u
#define MSR_SIMP 0x40000083u
#define MSR_EOM 0x40000084u
#define MSR_SINT2 0x40000092u

#define OS_ID_OPEN_SOURCE (0x8100ull << 48)
#define VECTOR 0xf3u
#define CALL_POST_MESSAGE 0x5cu

#define SLOT(page) ((page) + (size_t)HVS_VMBUS_SINT * 256)
#define SLOT_SIZE 4
#define SLOT_FLAGS 5
#define SLOT_PAYLOAD 16
#define PAGE 4096u

#define FIRST_GPADL 0xe1e10u
#define HEADER_PFNS 26u
#define BODY_PFNS 28u

/* ---- hypervisor ------------------------------------------------------------------------------- */

static int shared_page(struct hvs_guest *g, uint8_t **page, uint32_t msr)
{
	uint64_t gpa;

	*page = g->ops.alloc_pages(g->pf, 1, &gpa);
	if (!*page)
		return -ENOMEM;
	return g->ops.msr_write(g->pf, msr, gpa | 1) < 0 ? -EIO : 0;
}

static int enable(struct hvs_guest *g)
{
	int err;

	if (g->ops.msr_write(g->pf, MSR_GUEST_OS_ID, OS_ID_OPEN_SOURCE) < 0)
		return -EIO;
	err = shared_page(g, &g->hypercall_page, MSR_HYPERCALL);
	if (!err)
		err = shared_page(g, &g->simp, MSR_SIMP);
	if (!err)
		err = shared_page(g, &g->siefp, MSR_SIEFP);
	if (err)
		return err;
	if (g->ops.msr_write(g->pf, MSR_SINT2, VECTOR) < 0 ||
	    g->ops.msr_write(g->pf, MSR_SCONTROL, 1) < 0)
		return -EIO;
	g->input_page = g->ops.alloc_pages(g->pf, 1, &g->input_gpa);
	return g->input_page ? 0 : -ENOMEM;
}

uint16_t hvs_guest_post(struct hvs_guest *g, uint32_t connection_id, const void *msg, size_t len)
{
	struct {
		struct hvs_le32 connection_id;
		struct hvs_le32 reserved;
		struct hvs_le32 type;
		struct hvs_le32 len;
	} head = {.connection_id = hvsi_le32(connection_id),
		  .type = hvsi_le32(HVSI_SYNIC_TYPE_VMBUS),
		  .len = hvsi_le32((uint32_t)len)};

	memcpy(g->input_page, &head, sizeof(head));
	memcpy(g->input_page + sizeof(head), msg, len < HVSI_MSG_MAX ? len : HVSI_MSG_MAX);
	return (uint16_t)g->ops.hypercall(g->pf, CALL_POST_MESSAGE, g->input_gpa, 0);
}

int hvsi_guest_post(struct hvs_guest *g, const void *msg, size_t len)
{
	for (unsigned i = 0; i < HVSI_GUEST_MAX_WAITS; i++) {
		uint16_t status = hvs_guest_post(g, g->message_connection, msg, len);

		if (!status)
			return 0;
		if (status != 0x13) /* insufficient buffers */
			return -EIO;
		g->ops.wait(g->pf);
	}
	return -ETIMEDOUT;
}

/* ---- what the host sends ---------------------------------------------------------------------- */

static bool more_room(struct hvs_guest *g)
{
	unsigned room = g->offer_room ? 2 * g->offer_room : 16;
	struct hvs_guest_offer *offers = hvsi_alloc_array(&g->alloc, room, sizeof(*offers));

	if (!offers)
		return false;
	if (g->offer_count)
		memcpy(offers, g->offers, g->offer_count * sizeof(*offers));
	hvsi_free(&g->alloc, g->offers, g->offer_room * sizeof(*offers));
	g->offers = offers;
	g->offer_room = room;
	return true;
}

static void take_offer(struct hvs_guest *g)
{
	struct hvsi_msg_offer msg;
	struct hvs_guest_offer *o;

	if (g->message_len < HVSI_OFFER_SIZE_V1)
		return;
	if (g->offer_count == g->offer_room && !more_room(g)) {
		g->offer_lost = true;
		return;
	}
	o = &g->offers[g->offer_count];
	memcpy(&msg, g->message, sizeof(msg));
	*o = (struct hvs_guest_offer){.class_id = msg.class_id,
				      .instance_id = msg.instance_id,
				      .flags = hvsi_get16(msg.flags),
				      .subchannel = hvsi_get16(msg.subchannel),
				      .relid = hvsi_get32(msg.relid),
				      .connection_id = hvsi_get32(msg.connection_id)};
	memcpy(o->user_data, msg.user_data, sizeof(o->user_data));
	g->offer_count++;
}

static void take_rescind(struct hvs_guest *g)
{
	struct hvsi_msg_relid msg;
	uint32_t relid;

	memcpy(&msg, g->message, sizeof(msg));
	relid = hvsi_get32(msg.relid);
	if (relid <= HVSI_MAX_RELID)
		g->rescinded[relid / 8] |= (uint8_t)(1u << relid % 8);
}

static uint32_t message_type(const struct hvs_guest *g)
{
	struct hvsi_msg h = {0};

	memcpy(&h, g->message, sizeof(h));
	return hvsi_get32(h.type);
}

/* Empty the message slot as a driver does: type first, then look whether more waits. */
static bool take_message(struct hvs_guest *g)
{
	uint8_t *slot = SLOT(g->simp);

	if (!__atomic_load_n((uint32_t *)(void *)slot, __ATOMIC_ACQUIRE))
		return false;
	g->message_len = slot[SLOT_SIZE];
	memset(g->message, 0, sizeof(g->message));
	memcpy(g->message, slot + SLOT_PAYLOAD, g->message_len);
	__atomic_store_n((uint32_t *)(void *)slot, 0, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(slot + SLOT_FLAGS, __ATOMIC_SEQ_CST) & 1)
		(void)g->ops.msr_write(g->pf, MSR_EOM, 0);
	if (message_type(g) == HVSI_MSG_OFFERCHANNEL)
		take_offer(g);
	else if (message_type(g) == HVSI_MSG_RESCIND_CHANNELOFFER)
		take_rescind(g);
	return true;
}

static void take_events(struct hvs_guest *g)
{
	uint32_t *flags = (uint32_t *)(void *)(g->interrupt_page && hvsi_guest_is_legacy(g)
						       ? g->interrupt_page
						       : SLOT(g->siefp));

	for (struct hvsi_list *n = g->channels.next; n != &g->channels; n = n->next) {
		struct hvs_guest_channel *ch = hvsi_container_of(n, struct hvs_guest_channel, node);
		uint32_t bit = 1u << ch->relid % 32;
		uint32_t *word = &flags[ch->relid / 32];

		if (__atomic_load_n(word, __ATOMIC_RELAXED) & bit) {
			__atomic_fetch_and(word, ~bit, __ATOMIC_SEQ_CST);
			ch->events++;
		}
	}
}

int hvs_guest_wait_message(struct hvs_guest *g, uint32_t type, void *buf)
{
	for (unsigned i = 0; i < HVSI_GUEST_MAX_WAITS; i++) {
		while (take_message(g)) {
			if (message_type(g) != type)
				continue;
			memcpy(buf, g->message, sizeof(g->message));
			return (int)g->message_len;
		}
		g->ops.wait(g->pf);
	}
	return -ETIMEDOUT;
}

bool hvsi_guest_poll(struct hvs_guest *g)
{
	bool any = false;

	while (take_message(g))
		any = true;
	take_events(g);
	return any;
}

/* ---- connection ------------------------------------------------------------------------------- */

/* Guest address of the interrupt page; 0: no memory for one. */
static uint64_t interrupt_page(struct hvs_guest *g)
{
	if (!g->interrupt_page)
		g->interrupt_page = g->ops.alloc_pages(g->pf, 1, &g->interrupt_gpa);
	return g->interrupt_page ? g->interrupt_gpa : 0;
}

int hvs_guest_connect(struct hvs_guest *g, uint32_t version)
{
	struct hvsi_msg_initiate_contact msg = {.h = hvsi_msg_header(HVSI_MSG_INITIATE_CONTACT),
						.version = hvsi_le32(version)};
	struct hvsi_msg_version_response r;
	uint8_t buf[HVSI_MSG_MAX];
	int got;

	g->version = version;
	g->message_connection = HVS_VMBUS_MESSAGE_CONNECTION;
	if (hvsi_guest_is_legacy(g)) {
		struct hvs_le64 gpa = hvsi_le64(interrupt_page(g));

		memcpy(&msg.sint, &gpa, sizeof(gpa));
	}
	if (version >= HVSI_VERSION(5, 0)) {
		msg.sint = HVS_VMBUS_SINT;
		g->message_connection = HVS_VMBUS_MULTICLIENT_CONNECTION;
	}
	got = hvsi_guest_post(g, &msg, sizeof(msg));
	if (!got)
		got = hvs_guest_wait_message(g, HVSI_MSG_VERSION_RESPONSE, buf);
	if (got < 0)
		return got;
	memcpy(&r, buf, sizeof(r));
	if (!r.supported || r.connection_state)
		return -EPROTONOSUPPORT;
	if (version >= HVSI_VERSION(5, 0))
		g->message_connection = hvsi_get32(r.selected);
	return 0;
}

int hvs_guest_unload(struct hvs_guest *g)
{
	struct hvsi_msg msg = hvsi_msg_header(HVSI_MSG_UNLOAD);
	uint8_t buf[HVSI_MSG_MAX];
	int got = hvsi_guest_post(g, &msg, sizeof(msg));

	if (!got)
		got = hvs_guest_wait_message(g, HVSI_MSG_UNLOAD_RESPONSE, buf);
	g->offer_count = 0;
	return got < 0 ? got : 0;
}

int hvs_guest_request_offers(struct hvs_guest *g)
{
	struct hvsi_msg msg = hvsi_msg_header(HVSI_MSG_REQUESTOFFERS);
	uint8_t buf[HVSI_MSG_MAX];
	int got;

	g->offer_count = 0;
	g->offer_lost = false;
	got = hvsi_guest_post(g, &msg, sizeof(msg));
	if (!got)
		got = hvs_guest_wait_message(g, HVSI_MSG_ALLOFFERS_DELIVERED, buf);
	if (got < 0)
		return got;
	return g->offer_lost ? -ENOMEM : (int)g->offer_count;
}

const struct hvs_guest_offer *hvs_guest_offer_at(const struct hvs_guest *g, unsigned index)
{
	return index < g->offer_count ? &g->offers[index] : NULL;
}

int hvsi_guest_release(struct hvs_guest *g, uint32_t relid)
{
	const struct hvsi_msg_relid msg = {.h = hvsi_msg_header(HVSI_MSG_RELID_RELEASED),
					   .relid = hvsi_le32(relid)};
	uint8_t bit = (uint8_t)(1u << relid % 8);

	for (unsigned i = 0; !(g->rescinded[relid / 8] & bit); i++) {
		if (i == HVSI_GUEST_MAX_WAITS)
			return -ETIMEDOUT;
		if (!hvsi_guest_poll(g))
			g->ops.wait(g->pf);
	}
	g->rescinded[relid / 8] &= (uint8_t)~bit;
	for (unsigned i = 0; i < g->offer_count; i++) {
		if (g->offers[i].relid != relid)
			continue;
		memmove(&g->offers[i], &g->offers[i + 1],
			(g->offer_count - i - 1) * sizeof(g->offers[0]));
		g->offer_count--;
		break;
	}
	return hvsi_guest_post(g, &msg, sizeof(msg));
}

/* ---- GPADLs ----------------------------------------------------------------------------------- */

/* Put up to max page numbers behind a message; returns its length. */
static size_t put_pfns(uint8_t *to, size_t at, uint64_t *pfn, uint32_t *left, uint32_t max)
{
	for (uint32_t i = 0; i < max && *left; i++, (*left)--) {
		struct hvs_le64 v = hvsi_le64((*pfn)++);

		memcpy(to + at, &v, sizeof(v));
		at += sizeof(v);
	}
	return at;
}

int hvs_guest_gpadl_create(struct hvs_guest *g, uint32_t relid, uint64_t gpa, uint32_t len,
			   uint32_t *id)
{
	uint32_t left = len / PAGE;
	uint64_t pfn = gpa / PAGE;
	struct hvsi_msg_gpadl_header h = {.h = hvsi_msg_header(HVSI_MSG_GPADL_HEADER),
					  .relid = hvsi_le32(relid),
					  .gpadl_id = hvsi_le32(g->next_gpadl),
					  .range_bytes = hvsi_le16((uint16_t)(8 + left * 8)),
					  .range_count = hvsi_le16(1)};
	struct hvsi_msg_gpadl_body b = {.h = hvsi_msg_header(HVSI_MSG_GPADL_BODY),
					.gpadl_id = h.gpadl_id};
	struct hvs_le32 count = hvsi_le32(len);
	struct hvsi_msg_gpadl_created r;
	uint8_t buf[HVSI_MSG_MAX] = {0};
	size_t at;
	int got;

	if (!left || left > 8190)
		return -EINVAL;
	memcpy(buf, &h, sizeof(h));
	memcpy(buf + sizeof(h), &count, sizeof(count));
	at = put_pfns(buf, sizeof(h) + 8, &pfn, &left, HEADER_PFNS);
	got = hvsi_guest_post(g, buf, at);
	while (!got && left) {
		memcpy(buf, &b, sizeof(b));
		at = put_pfns(buf, sizeof(b), &pfn, &left, BODY_PFNS);
		got = hvsi_guest_post(g, buf, at);
	}
	if (!got)
		got = hvs_guest_wait_message(g, HVSI_MSG_GPADL_CREATED, buf);
	if (got < 0)
		return got;
	memcpy(&r, buf, sizeof(r));
	if (hvsi_get32(r.status))
		return -EREMOTEIO;
	*id = g->next_gpadl++;
	return 0;
}

int hvs_guest_gpadl_teardown(struct hvs_guest *g, uint32_t relid, uint32_t id)
{
	struct hvsi_msg_gpadl_teardown msg = {.h = hvsi_msg_header(HVSI_MSG_GPADL_TEARDOWN),
					      .relid = hvsi_le32(relid),
					      .gpadl_id = hvsi_le32(id)};
	uint8_t buf[HVSI_MSG_MAX];
	int got = hvsi_guest_post(g, &msg, sizeof(msg));

	if (!got)
		got = hvs_guest_wait_message(g, HVSI_MSG_GPADL_TORNDOWN, buf);
	return got < 0 ? got : 0;
}

/* ---- life cycle ------------------------------------------------------------------------------- */

int hvs_guest_create(const struct hvs_allocator *alloc, const struct hvs_guest_ops *ops_in,
		     void *pf, struct hvs_guest **out)
{
	struct hvs_allocator a;
	struct hvs_guest_ops ops;
	struct hvs_guest *g;
	int err;

	if (!out || hvsi_alloc_setup(alloc, &a) < 0)
		return -EINVAL;
	err = HVSI_TAKE(&ops, ops_in, wait);
	if (err)
		return err;
	if (ops.reserved || !ops.msr_read || !ops.msr_write || !ops.hypercall || !ops.alloc_pages ||
	    !ops.free_pages || !ops.wait)
		return -EINVAL;
	g = hvsi_alloc(&a, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->alloc = a;
	g->ops = ops;
	g->pf = pf;
	g->message_connection = HVS_VMBUS_MESSAGE_CONNECTION;
	g->next_gpadl = FIRST_GPADL;
	hvsi_list_init(&g->channels);
	g->received = hvsi_alloc(&a, HVSI_GUEST_PACKET);
	g->ranges = hvsi_alloc(&a, HVSI_GUEST_PACKET);
	err = g->received && g->ranges ? enable(g) : -ENOMEM;
	if (err) {
		hvs_guest_destroy(g);
		return err;
	}
	*out = g;
	return 0;
}

static void free_page(struct hvs_guest *g, uint8_t *page)
{
	if (page)
		g->ops.free_pages(g->pf, page, 1);
}

void hvs_guest_destroy(struct hvs_guest *g)
{
	struct hvs_allocator a;

	if (!g)
		return;
	while (!hvsi_list_empty(&g->channels))
		hvsi_guest_channel_free(
			hvsi_container_of(g->channels.next, struct hvs_guest_channel, node));
	/* The pages are the hypervisor's until it is told. */
	(void)g->ops.msr_write(g->pf, MSR_SCONTROL, 0);
	(void)g->ops.msr_write(g->pf, MSR_SIMP, 0);
	(void)g->ops.msr_write(g->pf, MSR_SIEFP, 0);
	(void)g->ops.msr_write(g->pf, MSR_GUEST_OS_ID, 0);
	free_page(g, g->hypercall_page);
	free_page(g, g->input_page);
	free_page(g, g->simp);
	free_page(g, g->siefp);
	free_page(g, g->interrupt_page);
	a = g->alloc;
	hvsi_free(&a, g->received, HVSI_GUEST_PACKET);
	hvsi_free(&a, g->ranges, HVSI_GUEST_PACKET);
	hvsi_free(&a, g->offers, g->offer_room * sizeof(*g->offers));
	hvsi_free(&a, g, sizeof(*g));
}
