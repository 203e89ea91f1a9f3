/* SPDX-License-Identifier: MIT */
#include "vmbus/ring.h"

#include "support/rng.h"
#include "util/le.h"

#include <criterion/criterion.h>
#include <errno.h>

#define PAGE 4096u
#define MAX_PAGES 4u

enum { WRITE_INDEX, READ_INDEX, MASK, PENDING_SEND_SZ, FEATURES = 16 };

/* A ring, and views of it: in one piece, page by page, page by page in reverse order. */
enum view { FLAT, PAGED, SCATTERED };

static uint32_t ctl[PAGE / 4] __attribute__((aligned(4096)));
static uint8_t data[MAX_PAGES * PAGE] __attribute__((aligned(4096)));

struct memory {
	uint8_t HVSI_GUEST *pages[MAX_PAGES];
	struct hvsi_ringmem mem;
};

static void look(struct memory *m, enum view view, uint32_t pages)
{
	for (uint32_t i = 0; i < pages; i++)
		m->pages[i] =
			hvsi_guest_from_host(data + (view == SCATTERED ? pages - 1 - i : i) * PAGE);
	m->mem = (struct hvsi_ringmem){.ctl = hvsi_guest_from_host(ctl),
				       .flat = view == FLAT ? hvsi_guest_from_host(data) : NULL,
				       .pages = view == FLAT ? NULL : m->pages,
				       .size = pages * PAGE};
}

static void clear(uint32_t write, uint32_t read)
{
	memset(ctl, 0, sizeof(ctl));
	memset(data, 0, sizeof(data));
	ctl[WRITE_INDEX] = write;
	ctl[READ_INDEX] = read;
}

static int put(struct hvsi_ring_out *out, uint64_t xid, const void *bytes, size_t len)
{
	const struct hvsi_descriptor desc = {.type = 6, .flags = 1, .xid = xid};
	const struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};

	return hvsi_ring_write(out, &desc, NULL, 0, &iov, 1);
}

/* Bytes a packet with this payload takes in the ring. */
static uint32_t footprint(uint32_t len)
{
	return HVSI_RING_DESCRIPTOR + ((len + 7) & ~7u) + HVSI_RING_TRAILER;
}

/* ---- bytes ------------------------------------------------------------------------------------ */

Test(ring, a_packet_is_descriptor_header_payload_padding_and_trailer)
{
	static const uint8_t wire[] = {
		0x09, 0x00, 0x04, 0x00, 0x05, 0x00, 0x01, 0x00, /* type, offset, length, flags */
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, /* transaction */
		'h',  'e',  'a',  'd',  'e',  'r',  '1',  '6',  /* extended header */
		'b',  'y',  't',  'e',  's',  'l',  'o',  'n',
		'a',  'b',  'c',  0x00, 0x00, 0x00, 0x00, 0x00, /* payload, padding */
		0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, /* where it began */
	};
	const struct hvsi_descriptor desc = {.type = 9, .flags = 1, .xid = 0x1122334455667788};
	const struct iovec iov[] = {
		{(void *)(uintptr_t) "ab", 2}, {NULL, 0}, {(void *)(uintptr_t) "c", 1}};
	struct hvsi_ring_out out;
	struct memory m;

	look(&m, FLAT, 1);
	clear(16, 16);
	memset(data, 0xee, sizeof(data));
	cr_assert_eq(hvsi_ring_out_open(&out, &m.mem), 0);
	cr_assert_eq(hvsi_ring_write(&out, &desc, "header16byteslon", 16, iov, 3), 0);
	cr_assert_eq(ctl[WRITE_INDEX], 16, "not before publish");
	hvsi_ring_publish(&out);
	cr_assert_eq(ctl[WRITE_INDEX], 16 + sizeof(wire));
	cr_assert_arr_eq(data + 16, wire, sizeof(wire));
	cr_assert_eq(data[15], 0xee);
	cr_assert_eq(data[16 + sizeof(wire)], 0xee);
}

Test(ring, opening_sets_what_the_other_side_looks_at)
{
	struct hvsi_ring_out out;
	struct hvsi_ring_in in;
	struct memory m;

	look(&m, FLAT, 1);
	clear(0, 0);
	ctl[PENDING_SEND_SZ] = 100;
	cr_assert_eq(hvsi_ring_out_open(&out, &m.mem), 0);
	cr_assert_eq(ctl[PENDING_SEND_SZ], 0);
	cr_assert_eq(ctl[FEATURES], 1, "pending_send_sz is supported");
	cr_assert_eq(ctl[MASK], 0);
	cr_assert_eq(hvsi_ring_in_open(&in, &m.mem), 0);
	cr_assert_eq(ctl[MASK], 1, "awake: no signals");
}

/* ---- the model -------------------------------------------------------------------------------- */

#define MODEL_PACKETS 1024u
#define PATTERN 8192u

struct model {
	struct {
		uint64_t xid;
		uint16_t type;
		uint16_t flags;
		uint32_t header;
		uint32_t len;
		uint32_t seed;
	} q[MODEL_PACKETS];
	unsigned written; /* packets, ever */
	unsigned visible;
	unsigned read;
	uint32_t tail; /* bytes ever written */
	uint32_t published;
	uint32_t consumed;
	uint32_t given_back;
	bool asleep;
	uint32_t waits_for; /* pending_send_sz */
};

static uint8_t pattern[PATTERN * 2];

static void make_pattern(void)
{
	struct rng rng = {77};

	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)rng_next(&rng);
}

static void model_write(struct model *md, struct hvsi_ring_out *out, struct rng *rng, uint32_t size)
{
	uint32_t header = rng_below(rng, 4) * 8;
	uint32_t len = rng_below(rng, 8) ? rng_below(rng, 200) : rng_below(rng, size / 2);
	uint32_t seed = rng_below(rng, 4000);
	uint32_t cut = rng_below(rng, len + 1);
	uint32_t total = footprint(len) + header;
	const struct hvsi_descriptor desc = {.type = (uint16_t)rng_below(rng, 16),
					     .flags = (uint16_t)rng_below(rng, 2),
					     .xid = rng_next(rng)};
	const struct iovec iov[2] = {{pattern + seed, cut}, {pattern + seed + cut, len - cut}};
	bool fits = total <= size - 8 - (md->tail - md->given_back);
	int err = hvsi_ring_write(out, &desc, pattern + PATTERN, header, iov, 2);
	unsigned slot = md->written % MODEL_PACKETS;

	cr_assert_eq(err, fits ? 0 : -EAGAIN, "%u bytes into %u - 8 - %u", total, size,
		     md->tail - md->given_back);
	if (!fits)
		md->waits_for = total;
	else if (total >= md->waits_for)
		md->waits_for = 0;
	cr_assert_eq(ctl[PENDING_SEND_SZ], md->waits_for);
	if (!fits)
		return;
	md->q[slot].xid = desc.xid;
	md->q[slot].type = desc.type;
	md->q[slot].flags = desc.flags;
	md->q[slot].header = header;
	md->q[slot].len = len;
	md->q[slot].seed = seed;
	md->written++;
	md->tail += total;
}

static void model_publish(struct model *md, struct hvsi_ring_out *out)
{
	bool was_empty = md->given_back == md->published;
	bool expected = md->published != md->tail && md->asleep && was_empty;

	cr_assert_eq(hvsi_ring_publish(out), expected);
	md->published = md->tail;
	md->visible = md->written;
}

static void model_read(struct model *md, struct hvsi_ring_in *in)
{
	static uint8_t buf[65536];
	const unsigned slot = md->read % MODEL_PACKETS;
	struct hvsi_descriptor desc;
	uint32_t header = md->q[slot].header;
	uint32_t len = md->q[slot].len;
	uint32_t padded = (len + 7) & ~7u;
	int got = hvsi_ring_read(in, &desc, buf, sizeof(buf));

	cr_assert_eq(got, md->read != md->visible);
	if (!got)
		return;
	cr_assert_eq(desc.type, md->q[slot].type);
	cr_assert_eq(desc.flags, md->q[slot].flags);
	cr_assert_eq(desc.xid, md->q[slot].xid);
	cr_assert_eq(desc.header_len8 * 8u, 16 + header);
	cr_assert_eq(desc.len8 * 8u, 16 + header + padded);
	cr_assert_eq(memcmp(buf + 16, pattern + PATTERN, header), 0);
	cr_assert_eq(memcmp(buf + 16 + header, pattern + md->q[slot].seed, len), 0);
	for (uint32_t i = len; i < padded; i++)
		cr_assert_eq(buf[16 + header + i], 0);
	md->read++;
	md->consumed += footprint(len) + header;
}

static void model_commit(struct model *md, struct hvsi_ring_in *in, uint32_t size)
{
	uint32_t before = size - 8 - (md->published - md->given_back);
	uint32_t after = size - 8 - (md->published - md->consumed);
	bool crossed = md->consumed != md->given_back && md->waits_for && before < md->waits_for &&
		       after >= md->waits_for;

	cr_assert_eq(hvsi_ring_in_commit(in), crossed);
	md->given_back = md->consumed;
}

static void model_sleep(struct model *md, struct hvsi_ring_in *in)
{
	bool empty = md->published == md->consumed;

	cr_assert_eq(hvsi_ring_in_sleep(in), empty);
	md->asleep = empty;
	cr_assert_eq(ctl[MASK], !empty);
}

static void run_model(enum view producer, enum view consumer, uint32_t pages, uint64_t seed)
{
	const uint32_t start = 8 * (uint32_t)(seed % (pages * PAGE / 8));
	struct rng rng = {seed};
	struct model md = {.asleep = false};
	struct hvsi_ring_out out;
	struct hvsi_ring_in in;
	struct memory a;
	struct memory b;

	look(&a, producer, pages);
	look(&b, consumer, pages);
	clear(start, start);
	cr_assert_eq(hvsi_ring_out_open(&out, &a.mem), 0);
	cr_assert_eq(hvsi_ring_in_open(&in, &b.mem), 0);
	for (unsigned step = 0; step < 4000; step++) {
		switch (rng_below(&rng, 8)) {
		case 0:
		case 1:
		case 2:
			model_write(&md, &out, &rng, pages * PAGE);
			break;
		case 3:
			model_publish(&md, &out);
			break;
		case 4:
		case 5:
			model_read(&md, &in);
			break;
		case 6:
			model_commit(&md, &in, pages * PAGE);
			break;
		default:
			if (rng_below(&rng, 2)) {
				model_sleep(&md, &in);
			} else {
				hvsi_ring_in_wake(&in);
				md.asleep = false;
				cr_assert_eq(ctl[MASK], 1);
			}
			break;
		}
		cr_assert_eq(ctl[WRITE_INDEX], (start + md.published) % (pages * PAGE));
		cr_assert_eq(ctl[READ_INDEX], (start + md.given_back) % (pages * PAGE));
	}
	cr_assert_gt(md.tail, 20 * PAGE, "went round more than once");
}

Test(ring, delivers_what_a_queue_would)
{
	static const enum view views[][2] = {
		{FLAT, FLAT}, {FLAT, PAGED}, {PAGED, FLAT}, {PAGED, PAGED}, {SCATTERED, SCATTERED}};

	make_pattern();
	for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++)
		for (uint32_t pages = 1; pages <= MAX_PAGES; pages++)
			run_model(views[i][0], views[i][1], pages, 1000 * i + pages + 1);
}

Test(ring, wraps_at_every_alignment)
{
	static const uint32_t lens[] = {0, 1, 8, 23, 64, 500, 4096 - 32};

	make_pattern();
	for (int view = FLAT; view <= SCATTERED; view++) {
		for (uint32_t start = 0; start < 2 * PAGE; start += 8) {
			for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
				uint8_t buf[PAGE];
				struct hvsi_descriptor desc;
				struct hvsi_ring_out out;
				struct hvsi_ring_in in;
				struct memory m;

				look(&m, (enum view)view, 2);
				clear(start, start);
				cr_assert_eq(hvsi_ring_out_open(&out, &m.mem), 0);
				cr_assert_eq(hvsi_ring_in_open(&in, &m.mem), 0);
				cr_assert_eq(put(&out, start, pattern + i, lens[i]), 0);
				hvsi_ring_publish(&out);
				cr_assert_eq(ctl[WRITE_INDEX],
					     (start + footprint(lens[i])) % (2 * PAGE));
				cr_assert_eq(hvsi_ring_read(&in, &desc, buf, sizeof(buf)), 1);
				cr_assert_eq(desc.xid, start);
				cr_assert_eq(memcmp(buf + 16, pattern + i, lens[i]), 0,
					     "%u bytes at %u", lens[i], start);
				hvsi_ring_in_commit(&in);
				cr_assert_eq(ctl[READ_INDEX], ctl[WRITE_INDEX]);
				cr_assert_eq(hvsi_ring_read(&in, &desc, buf, sizeof(buf)), 0);
			}
		}
	}
}

/* ---- corrupt rings ---------------------------------------------------------------------------- */

static const uint32_t bad_indexes[] = {4096,       4104,          1, 4, 7, 4095, 0x80000000,
				       UINT32_MAX, UINT32_MAX - 7};

Test(ring, open_refuses_indexes_outside_the_ring)
{
	for (size_t i = 0; i < sizeof(bad_indexes) / sizeof(bad_indexes[0]); i++) {
		struct hvsi_ring_out out;
		struct hvsi_ring_in in;
		struct memory m;

		look(&m, FLAT, 1);
		clear(0, bad_indexes[i]);
		cr_assert_eq(hvsi_ring_in_open(&in, &m.mem), -EPROTO);
		cr_assert_eq(hvsi_ring_out_open(&out, &m.mem), -EPROTO);
		clear(bad_indexes[i], 0);
		cr_assert_eq(hvsi_ring_out_open(&out, &m.mem), -EPROTO);
	}
}

Test(ring, an_index_outside_the_ring_is_an_error_when_it_is_used)
{
	for (size_t i = 0; i < sizeof(bad_indexes) / sizeof(bad_indexes[0]); i++) {
		static uint8_t bytes[3000];
		struct hvsi_descriptor desc;
		struct hvsi_ring_out out;
		struct hvsi_ring_in in;
		struct memory m;
		uint8_t buf[64];

		look(&m, FLAT, 1);
		clear(0, 0);
		cr_assert_eq(hvsi_ring_in_open(&in, &m.mem), 0);
		ctl[WRITE_INDEX] = bad_indexes[i];
		cr_assert_eq(hvsi_ring_read(&in, &desc, buf, sizeof(buf)), -EPROTO);
		cr_assert_not(hvsi_ring_in_sleep(&in), "nobody sleeps over it");

		clear(0, 0);
		cr_assert_eq(hvsi_ring_out_open(&out, &m.mem), 0);
		cr_assert_eq(put(&out, 1, bytes, sizeof(bytes)), 0);
		ctl[READ_INDEX] = bad_indexes[i];
		cr_assert_eq(put(&out, 2, bytes, sizeof(bytes)), -EPROTO);
	}
}

Test(ring, a_consumer_does_not_signal_because_of_a_corrupt_write_index)
{
	struct hvsi_descriptor desc;
	struct hvsi_ring_out out;
	struct hvsi_ring_in in;
	struct memory m;
	uint8_t buf[64];

	look(&m, FLAT, 1);
	clear(0, 0);
	cr_assert_eq(hvsi_ring_out_open(&out, &m.mem), 0);
	cr_assert_eq(hvsi_ring_in_open(&in, &m.mem), 0);
	cr_assert_eq(put(&out, 1, "x", 1), 0);
	hvsi_ring_publish(&out);
	cr_assert_eq(hvsi_ring_read(&in, &desc, buf, sizeof(buf)), 1);
	ctl[PENDING_SEND_SZ] = 4088;
	ctl[WRITE_INDEX] = 4096;
	cr_assert_not(hvsi_ring_in_commit(&in));
	cr_assert_eq(hvsi_ring_read(&in, &desc, buf, sizeof(buf)), -EPROTO);
}

Test(ring, lengths_that_contradict_are_refused)
{
	static const struct {
		uint16_t header_len8;
		uint16_t len8;
		uint32_t available; /* bytes the write index promises */
		int expected;
	} cases[] = {
		{2, 2, 24, 1}, /* the smallest packet */
		{2, 3, 32, 1},
		{3, 3, 32, 1},        /* header only */
		{2, 2, 32, 1},        /* more follows */
		{2, 2, 8, -EBADMSG},  /* no room for a descriptor */
		{2, 2, 16, -EBADMSG}, /* no room for a trailer */
		{2, 3, 24, -EBADMSG}, /* longer than what was written */
		{2, 4, 32, -EBADMSG},
		{2, 511, 4088, -EBADMSG},
		{2, 510, 4088, 1}, /* fills the ring */
		{2, 65535, 4088, -EBADMSG},
		{0, 2, 24, -EBADMSG}, /* payload begins inside the descriptor */
		{1, 2, 24, -EBADMSG},
		{3, 2, 24, -EBADMSG}, /* payload begins behind the packet */
		{65535, 2, 24, -EBADMSG},
		{0, 0, 24, -EBADMSG},
		{1, 1, 24, -EBADMSG},
		{2, 1, 24, -EBADMSG},
		{2, 0, 24, -EBADMSG},
	};

	for (uint32_t start = 0; start < PAGE; start += 1016) {
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			const uint8_t d[16] = {6,
					       0,
					       (uint8_t)cases[i].header_len8,
					       (uint8_t)(cases[i].header_len8 >> 8),
					       (uint8_t)cases[i].len8,
					       (uint8_t)(cases[i].len8 >> 8)};
			static uint8_t buf[65536];
			struct hvsi_descriptor desc;
			struct hvsi_ring_in in;
			struct memory m;

			look(&m, FLAT, 1);
			clear((start + cases[i].available) % PAGE, start);
			for (uint32_t b = 0; b < sizeof(d); b++)
				data[(start + b) % PAGE] = d[b];
			cr_assert_eq(hvsi_ring_in_open(&in, &m.mem), 0);
			cr_assert_eq(hvsi_ring_read(&in, &desc, buf, sizeof(buf)),
				     cases[i].expected, "case %zu at %u", i, start);
		}
	}
}

Test(ring, a_packet_larger_than_the_buffer_is_too_large)
{
	static uint8_t bytes[1000];
	uint8_t buf[64];
	struct hvsi_descriptor desc;
	struct hvsi_ring_out out;
	struct hvsi_ring_in in;
	struct memory m;

	look(&m, FLAT, 1);
	clear(0, 0);
	cr_assert_eq(hvsi_ring_out_open(&out, &m.mem), 0);
	cr_assert_eq(hvsi_ring_in_open(&in, &m.mem), 0);
	cr_assert_eq(put(&out, 1, bytes, 48), 0);
	cr_assert_eq(put(&out, 2, bytes, 49), 0);
	hvsi_ring_publish(&out);
	memset(buf, 0xee, sizeof(buf));
	cr_assert_eq(hvsi_ring_read(&in, &desc, buf, 63), -EMSGSIZE);
	cr_assert_eq(buf[0], 0xee, "nothing was copied");
	cr_assert_eq(hvsi_ring_read(&in, &desc, buf, 64), 1);
	cr_assert_eq(hvsi_ring_read(&in, &desc, buf, 64), -EMSGSIZE);
}

/* ---- limits ----------------------------------------------------------------------------------- */

Test(ring, what_can_never_fit_is_refused_at_once)
{
	static uint8_t bytes[2 * PAGE];
	const struct hvsi_descriptor desc = {.type = 9};
	const struct iovec huge[] = {{bytes, SIZE_MAX}, {bytes, SIZE_MAX}};
	const struct iovec wraps[] = {{bytes, 1000}, {bytes, SIZE_MAX - 900}};
	struct hvsi_ring_out out;
	struct memory m;

	look(&m, FLAT, 1);
	clear(0, 0);
	cr_assert_eq(hvsi_ring_out_open(&out, &m.mem), 0);
	cr_assert_eq(put(&out, 1, bytes, 4096 - 32 + 1), -EMSGSIZE);
	cr_assert_eq(put(&out, 1, bytes, sizeof(bytes)), -EMSGSIZE);
	cr_assert_eq(hvsi_ring_write(&out, &desc, NULL, 0, huge, 1), -EMSGSIZE);
	cr_assert_eq(hvsi_ring_write(&out, &desc, NULL, 0, huge, 2), -EMSGSIZE);
	cr_assert_eq(hvsi_ring_write(&out, &desc, NULL, 0, wraps, 2), -EMSGSIZE);
	cr_assert_eq(hvsi_ring_write(&out, &desc, bytes, 4072, NULL, 0), -EMSGSIZE);
	cr_assert_eq(hvsi_ring_write(&out, &desc, bytes, 4072, huge, 1), -EMSGSIZE);
	cr_assert_eq(hvsi_ring_write(&out, &desc, bytes, SIZE_MAX - 7, NULL, 0), -EMSGSIZE);
	cr_assert_eq(ctl[PENDING_SEND_SZ], 0);
	/* What is left: everything but the 8 bytes that keep full and empty apart. */
	cr_assert_eq(put(&out, 1, bytes, 4096 - 32), 0);
	hvsi_ring_publish(&out);
	cr_assert_eq(ctl[WRITE_INDEX], 4096 - 8);
	cr_assert_eq(put(&out, 1, bytes, 0), -EAGAIN);
	cr_assert_eq(ctl[PENDING_SEND_SZ], 24);
}

/* The length field counts 8 bytes in 16 bits, whatever the ring could hold. */
Test(ring, a_packet_is_no_longer_than_its_length_field_can_say)
{
	const uint32_t size = 1u << 20;
	const uint32_t longest = 65535 * 8 - 16;
	uint8_t *big = calloc(2, size);
	uint8_t *buf = malloc(size);
	struct hvsi_descriptor desc;
	struct hvsi_ringmem mem;
	struct hvsi_ring_out out;
	struct hvsi_ring_in in;

	cr_assert(big && buf);
	mem = (struct hvsi_ringmem){
		.ctl = hvsi_guest_from_host(ctl), .flat = hvsi_guest_from_host(big), .size = size};
	memset(big + size, 0x5a, size);
	clear(0, 0);
	cr_assert_eq(hvsi_ring_out_open(&out, &mem), 0);
	cr_assert_eq(hvsi_ring_in_open(&in, &mem), 0);
	cr_assert_eq(put(&out, 1, big + size, longest + 1), -EMSGSIZE);
	cr_assert_eq(put(&out, 1, big + size, longest), 0);
	hvsi_ring_publish(&out);
	cr_assert_eq(hvsi_ring_read(&in, &desc, buf, size), 1);
	cr_assert_eq(desc.len8, 65535);
	cr_assert_eq(memcmp(buf + 16, big + size, longest), 0);
	free(buf);
	free(big);
}

/* ---- who signals whom ------------------------------------------------------------------------- */

Test(ring, a_batch_is_one_signal)
{
	struct hvsi_ring_out out;
	struct hvsi_ring_in in;
	struct memory m;

	look(&m, FLAT, 1);
	clear(0, 0);
	cr_assert_eq(hvsi_ring_out_open(&out, &m.mem), 0);
	cr_assert_eq(hvsi_ring_in_open(&in, &m.mem), 0);
	cr_assert(hvsi_ring_in_sleep(&in));
	cr_assert_not(hvsi_ring_publish(&out), "nothing to tell");
	for (unsigned i = 0; i < 10; i++)
		cr_assert_eq(put(&out, i, "x", 1), 0);
	cr_assert(hvsi_ring_publish(&out));
	cr_assert_not(hvsi_ring_publish(&out), "told already");
	cr_assert_eq(put(&out, 10, "x", 1), 0);
	cr_assert_not(hvsi_ring_publish(&out), "the consumer has not read the first batch");
}

Test(ring, an_awake_consumer_is_not_signalled)
{
	struct hvsi_descriptor desc;
	struct hvsi_ring_out out;
	struct hvsi_ring_in in;
	struct memory m;
	uint8_t buf[64];

	look(&m, FLAT, 1);
	clear(0, 0);
	cr_assert_eq(hvsi_ring_out_open(&out, &m.mem), 0);
	cr_assert_eq(hvsi_ring_in_open(&in, &m.mem), 0);
	cr_assert_eq(put(&out, 1, "x", 1), 0);
	cr_assert_not(hvsi_ring_publish(&out));
	cr_assert_not(hvsi_ring_in_sleep(&in), "something has arrived: no sleep");
	cr_assert_eq(ctl[MASK], 1);
	cr_assert_eq(hvsi_ring_read(&in, &desc, buf, sizeof(buf)), 1);
	cr_assert_not(hvsi_ring_in_commit(&in));
	cr_assert(hvsi_ring_in_sleep(&in));
	cr_assert_eq(put(&out, 2, "x", 1), 0);
	cr_assert(hvsi_ring_publish(&out));
	hvsi_ring_in_wake(&in);
	cr_assert_eq(ctl[MASK], 1);
}

/* Room comes back packet by packet; the producer is told once, at the packet that makes enough. */
Test(ring, a_waiting_producer_is_signalled_once_when_its_room_is_there)
{
	static uint8_t bytes[4096];
	const uint32_t small = 104; /* footprint 128: 31 of them leave 120 bytes of 4088 */
	struct hvsi_descriptor desc;
	struct hvsi_ring_out out;
	struct hvsi_ring_in in;
	struct memory m;
	uint8_t buf[256];

	look(&m, FLAT, 1);
	clear(0, 0);
	cr_assert_eq(hvsi_ring_out_open(&out, &m.mem), 0);
	cr_assert_eq(hvsi_ring_in_open(&in, &m.mem), 0);
	for (unsigned i = 0; i < 31; i++)
		cr_assert_eq(put(&out, i, bytes, small), 0);
	hvsi_ring_publish(&out);
	cr_assert_eq(put(&out, 99, bytes, 480), -EAGAIN); /* footprint 504 */
	cr_assert_eq(ctl[PENDING_SEND_SZ], 504);
	/* 120 free; 248, 376: not enough; 504: exactly. */
	for (unsigned i = 0; i < 31; i++) {
		cr_assert_eq(hvsi_ring_read(&in, &desc, buf, sizeof(buf)), 1);
		cr_assert_eq(hvsi_ring_in_commit(&in), i == 2, "packet %u", i);
	}
	cr_assert_eq(put(&out, 99, bytes, 480), 0);
	cr_assert_eq(ctl[PENDING_SEND_SZ], 0, "does not wait any more");
}

Test(ring, a_batch_of_reads_signals_a_waiting_producer_once)
{
	static uint8_t bytes[4096];
	struct hvsi_descriptor desc;
	struct hvsi_ring_out out;
	struct hvsi_ring_in in;
	struct memory m;
	uint8_t buf[256];

	look(&m, FLAT, 1);
	clear(0, 0);
	cr_assert_eq(hvsi_ring_out_open(&out, &m.mem), 0);
	cr_assert_eq(hvsi_ring_in_open(&in, &m.mem), 0);
	for (unsigned i = 0; i < 31; i++)
		cr_assert_eq(put(&out, i, bytes, 104), 0);
	hvsi_ring_publish(&out);
	cr_assert_eq(put(&out, 99, bytes, 480), -EAGAIN);
	for (unsigned i = 0; i < 31; i++)
		cr_assert_eq(hvsi_ring_read(&in, &desc, buf, sizeof(buf)), 1);
	cr_assert(hvsi_ring_in_commit(&in));
	cr_assert_not(hvsi_ring_in_commit(&in));
}

/* Some drivers wait for "the ring's size - 1", or more, and mean: until it is empty. */
Test(ring, a_wanted_room_is_rounded_down_and_capped)
{
	static const struct {
		uint32_t wanted;
		int signal_at; /* which of two packets of 32 bytes gives it back; -1: none */
	} cases[] = {
		{1, -1},   {7, -1},                /* nothing is wanted */
		{8, -1},   {4024, -1}, {4031, -1}, /* there already */
		{4032, 0}, {4039, 0},  {4056, 0},  {4063, 0}, {4064, 1},       {4080, 1},
		{4088, 1}, {4095, 1},  {4096, 1},  {4104, 1}, {0x80000000, 1}, {UINT32_MAX, 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hvsi_descriptor desc;
		struct hvsi_ring_out out;
		struct hvsi_ring_in in;
		struct memory m;
		uint8_t buf[64];

		look(&m, FLAT, 1);
		clear(4072, 4072);
		cr_assert_eq(hvsi_ring_out_open(&out, &m.mem), 0);
		cr_assert_eq(hvsi_ring_in_open(&in, &m.mem), 0);
		cr_assert_eq(put(&out, 1, "x", 1), 0);
		cr_assert_eq(put(&out, 2, "x", 1), 0);
		hvsi_ring_publish(&out);
		ctl[PENDING_SEND_SZ] = cases[i].wanted;
		ctl[FEATURES] = 0; /* iPXE never says that it does this */
		for (int n = 0; n < 2; n++) {
			cr_assert_eq(hvsi_ring_read(&in, &desc, buf, sizeof(buf)), 1);
			cr_assert_eq(hvsi_ring_in_commit(&in), n == cases[i].signal_at,
				     "%u, packet %d", cases[i].wanted, n);
			cr_assert_not(hvsi_ring_in_commit(&in), "once");
		}
	}
}

/* The producer goes on while the consumer gives room back: what counts is the room there is now. */
Test(ring, what_a_producer_adds_meanwhile_is_no_room)
{
	static uint8_t bytes[4096];
	struct hvsi_descriptor desc;
	struct hvsi_ring_out out;
	struct hvsi_ring_in in;
	struct memory m;
	static uint8_t buf[4096];

	look(&m, FLAT, 1);
	clear(0, 0);
	cr_assert_eq(hvsi_ring_out_open(&out, &m.mem), 0);
	cr_assert_eq(hvsi_ring_in_open(&in, &m.mem), 0);
	cr_assert_eq(put(&out, 1, bytes, 1000 - 24), 0);
	hvsi_ring_publish(&out);
	cr_assert_eq(hvsi_ring_read(&in, &desc, buf, sizeof(buf)), 1);
	cr_assert_eq(put(&out, 2, bytes, 2000 - 24), 0);
	cr_assert_eq(put(&out, 3, bytes, 2096 - 24), -EAGAIN);
	hvsi_ring_publish(&out);
	cr_assert_not(hvsi_ring_in_commit(&in), "2,088 are free, 2,096 wanted");
	cr_assert_eq(hvsi_ring_read(&in, &desc, buf, sizeof(buf)), 1);
	cr_assert(hvsi_ring_in_commit(&in));
}

Test(ring, any_mask_but_zero_is_a_mask)
{
	static const uint32_t masks[] = {1, 2, 0x100, 0x80000000, UINT32_MAX};

	for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
		struct hvsi_ring_out out;
		struct memory m;

		look(&m, FLAT, 1);
		clear(0, 0);
		cr_assert_eq(hvsi_ring_out_open(&out, &m.mem), 0);
		ctl[MASK] = masks[i];
		cr_assert_eq(put(&out, 1, "x", 1), 0);
		cr_assert_not(hvsi_ring_publish(&out));
		ctl[MASK] = 0;
		ctl[READ_INDEX] = ctl[WRITE_INDEX];
		cr_assert_eq(put(&out, 2, "x", 1), 0);
		cr_assert(hvsi_ring_publish(&out));
	}
}

/* What arrives after the last read and before the mask is gone has had no signal. */
Test(ring, nobody_sleeps_over_what_arrived_behind_the_mask)
{
	struct hvsi_descriptor desc;
	struct hvsi_ring_out out;
	struct hvsi_ring_in in;
	struct memory m;
	uint8_t buf[64];

	look(&m, FLAT, 1);
	clear(4088, 4088);
	cr_assert_eq(hvsi_ring_out_open(&out, &m.mem), 0);
	cr_assert_eq(hvsi_ring_in_open(&in, &m.mem), 0);
	for (unsigned i = 0; i < 300; i++) {
		cr_assert_eq(hvsi_ring_read(&in, &desc, buf, sizeof(buf)), 0);
		cr_assert_eq(put(&out, i, "x", 1), 0);
		cr_assert_not(hvsi_ring_publish(&out), "masked");
		cr_assert_not(hvsi_ring_in_sleep(&in));
		cr_assert_eq(ctl[MASK], 1);
		cr_assert_eq(hvsi_ring_read(&in, &desc, buf, sizeof(buf)), 1);
		cr_assert_eq(desc.xid, i);
		hvsi_ring_in_commit(&in);
		cr_assert(hvsi_ring_in_sleep(&in));
		cr_assert_eq(ctl[MASK], 0);
		hvsi_ring_in_wake(&in);
	}
}

Test(ring, a_producer_that_is_refused_may_write_something_smaller)
{
	static uint8_t bytes[4096];
	struct hvsi_descriptor desc;
	struct hvsi_ring_out out;
	struct hvsi_ring_in in;
	struct memory m;
	static uint8_t buf[4096];

	look(&m, FLAT, 1);
	clear(0, 0);
	cr_assert_eq(hvsi_ring_out_open(&out, &m.mem), 0);
	cr_assert_eq(hvsi_ring_in_open(&in, &m.mem), 0);
	cr_assert_eq(put(&out, 1, bytes, 3000), 0);
	cr_assert_eq(put(&out, 2, bytes, 2000), -EAGAIN);
	cr_assert_eq(put(&out, 3, bytes, 8), 0, "something smaller still fits");
	cr_assert_eq(ctl[PENDING_SEND_SZ], 2024, "number 2 still waits");
	hvsi_ring_publish(&out);
	cr_assert_eq(hvsi_ring_read(&in, &desc, buf, sizeof(buf)), 1);
	cr_assert_eq(desc.xid, 1);
	cr_assert(hvsi_ring_in_commit(&in), "there is its room");
	cr_assert_eq(put(&out, 4, bytes, 16), 0);
	cr_assert_eq(ctl[PENDING_SEND_SZ], 2024);
	cr_assert_eq(put(&out, 2, bytes, 2000), 0);
	cr_assert_eq(ctl[PENDING_SEND_SZ], 0);
	hvsi_ring_publish(&out);
	for (uint64_t i = 0; i < 3; i++) {
		cr_assert_eq(hvsi_ring_read(&in, &desc, buf, sizeof(buf)), 1);
		cr_assert_eq(desc.xid, i == 0 ? 3 : i == 1 ? 4 : 2);
	}
	cr_assert_eq(hvsi_ring_read(&in, &desc, buf, sizeof(buf)), 0);
}
