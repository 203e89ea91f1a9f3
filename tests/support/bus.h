/* SPDX-License-Identifier: MIT */
/*
 * A bus whose back end records everything: messages to the guest byte by byte, signals, faults,
 * wakes. The test plays the guest, with raw messages and its own ends of the rings.
 */
#ifndef TESTS_SUPPORT_BUS_H
#define TESTS_SUPPORT_BUS_H

#include "vmbus/proto.h"
#include "vmbus/ring.h"

#include <hvstack/hvstack.h>

#include <criterion/criterion.h>
#include <string.h>

#define BUS_RAM 0x100000u
#define BUS_PAGES 256u
#define BUS_PFN(page) (BUS_RAM / 4096u + (page))
#define BUS_POSTS 8192u
#define V(major, minor) HVSI_VERSION(major, minor)
#define NEWEST V(5, 3)
#define BUS_WORKERS 4u

struct bus_post {
	uint32_t vp;
	uint8_t sint;
	uint32_t type;
	uint8_t len;
	uint8_t bytes[240];
};

struct testbus {
	struct hvs_mem *mem;
	uint8_t *ram;
	struct hvs_vmbus *bus;
	uint64_t now_ns;

	/* Messages the guest got, in order; those before `taken` a test has looked at. */
	struct bus_post *posts;
	unsigned posted;
	unsigned taken;
	bool slot_busy; /* posts find the slot occupied */
	unsigned refused;

	unsigned signals;
	uint32_t signal_vp;
	uint16_t signal_flag;

	unsigned faults;
	enum hvs_fault_code last_fault;
	uint32_t fault_channel;

	unsigned wakes;
	void *woken; /* worker_priv of the last wake */
	unsigned logs;

	unsigned doorbells; /* registered now */
	bool refuse_doorbells;
	uint32_t doorbell_id;
	struct hvs_channel *doorbell;

	struct hvs_worker *worker[BUS_WORKERS]; /* besides the main worker */
	unsigned worker_count;
	const struct hvs_worker *running; /* by bus_run_worker(); NULL: the main worker */
	uint64_t deadline_ns;             /* what the main worker's last dispatch said */
};

struct bus_options {
	uint32_t vps; /* 0: 2 */
	uint32_t max_version;
	uint32_t max_gpadls;
	uint32_t max_gpadl_pages;
	uint32_t max_offers;
	uint32_t max_open_channels;
	uint32_t max_queued_messages;
	uint64_t monitor_page_gpa[2];
	struct hvs_allocator alloc;
	bool doorbells;
	void (*record)(void *b, const struct hvs_record *record); /* NULL: none */
	/* be is the struct testbus. */
	int (*connect_request)(void *be, const struct hvs_connect_request *request);
};

/* Not started: offer devices first. opt: NULL for none. */
struct testbus *bus_up(const struct bus_options *opt);
/* Resets it, if it was started, and frees everything. Fails when the guest did not get to know
 * something: every message must have been taken. */
void bus_down(struct testbus *b);
void bus_start(struct testbus *b);
void bus_run(struct testbus *b); /* the main worker, until idle */
/* One more worker, before the bus starts; its priv is its number, from 1. */
struct hvs_worker *bus_worker(struct testbus *b);
void bus_run_worker(struct testbus *b, struct hvs_worker *w); /* until idle */
void bus_run_all(struct testbus *b); /* all workers, until none has anything to do */

/* Post through connection 1; bus_run() follows. Must be accepted. */
void bus_send(struct testbus *b, const void *msg, size_t len);
/* Just that; returns the hypercall status. */
uint16_t bus_post(struct testbus *b, uint32_t connection, const void *msg, size_t len);

/* The next message must be exactly this one. */
void bus_expect(struct testbus *b, const void *msg, size_t len);
void bus_expect_nothing(struct testbus *b);
/* The next message must have this type and length; its bytes. */
const uint8_t *bus_take(struct testbus *b, uint32_t type, size_t len);
/* The same, wherever it went. */
const struct bus_post *bus_take_post(struct testbus *b, uint32_t type, size_t len);
/* Exactly one more fault has been reported since the last call or bus_no_fault(). */
void bus_expect_fault(struct testbus *b, enum hvs_fault_code code, uint32_t channel);
void bus_no_fault(struct testbus *b);

/* ---- stories ---------------------------------------------------------------------------------- */

void bus_contact(struct testbus *b, uint32_t version, uint32_t connection);
void bus_connect(struct testbus *b, uint32_t version); /* and check the answer */
/* REQUESTOFFERS; takes count offers and ALLOFFERS_DELIVERED. */
void bus_offers(struct testbus *b, unsigned count);

/* GPADL_HEADER (and BODYs) for `pages` consecutive pages from page `first` on. */
void bus_send_gpadl(struct testbus *b, uint32_t relid, uint32_t id, uint32_t first, uint32_t pages);
void bus_gpadl(struct testbus *b, uint32_t relid, uint32_t id, uint32_t first, uint32_t pages);
void bus_expect_created(struct testbus *b, uint32_t relid, uint32_t id, uint32_t status);
void bus_teardown(struct testbus *b, uint32_t relid, uint32_t id);
void bus_expect_torndown(struct testbus *b, uint32_t id);

struct hvsi_msg_open bus_open_msg(uint32_t relid, uint32_t open_id, uint32_t gpadl, uint32_t vp,
				  uint32_t split);
void bus_expect_opened(struct testbus *b, uint32_t relid, uint32_t open_id, uint32_t status);
void bus_close(struct testbus *b, uint32_t relid);
void bus_unload(struct testbus *b);

/* ---- a device that does what it is told ------------------------------------------------------- */

#define DEV_PACKETS 256u

struct testdev {
	struct testbus *b;
	struct hvs_device *device;
	struct hvs_channel *ch; /* since open() */

	/* Orders. */
	int open_result;
	bool hold_close;   /* do not call hvs_channel_closed() in close() */
	bool ignore_ring;  /* ready() does not receive */
	bool echo;         /* complete what wants it, with the same payload */
	uint32_t flags;    /* of the offer */
	bool stop_at_full; /* stop receiving when a completion does not fit */
	unsigned kicks_in_open;
	void (*on_ready)(struct testdev *d);

	/* What happened. */
	unsigned opens;
	unsigned closes;
	unsigned readies;
	unsigned last_budget;
	unsigned destroys;
	struct hvs_open_params params;
	unsigned received;
	uint64_t xid[DEV_PACKETS];
	uint32_t len[DEV_PACKETS];
	uint8_t first_byte[DEV_PACKETS];
	int last_recv; /* what hvs_channel_recv() said last */
	int last_send;
	uint64_t owed; /* completion that did not fit */
	bool owes;
};

/* Offer d; its instance id is made of `number`. */
void dev_offer(struct testbus *b, struct testdev *d, uint8_t number, struct hvs_worker *worker);

/* ---- the guest's ends of an open channel ------------------------------------------------------ */

struct guest_rings {
	struct hvsi_ring_out out;
	struct hvsi_ring_in in;
	uint32_t *send_ctl; /* control page of the guest's ring, as words */
	uint32_t *recv_ctl;
	uint8_t *send_data;
	uint8_t *recv_data;
};

/* Rings at page `first`: a control page and split - 1 data pages up, the same down. */
void rings_attach(struct testbus *b, struct guest_rings *r, uint32_t first, uint32_t split,
		  uint32_t pages);
/* Queue an in-band packet of 8 bytes that begin with `byte`; publish. Returns the signal. */
bool rings_send(struct guest_rings *r, uint64_t xid, uint8_t byte);

/*
 * Connect with `version`, take one offer, share pages 16..16 + pages as GPADL 1, open relid 1 with
 * `split` and target VP 0. NEWEST, 4, 2: the smallest.
 */
void bus_open_first(struct testbus *b, uint32_t version, uint32_t pages, uint32_t split);
#define OPEN_FIRST_PAGE 16u

#endif
