/* SPDX-License-Identifier: MIT */
/* A loopback machine with one integration component, and the guest end of it. */
#ifndef TESTS_SUPPORT_IC_H
#define TESTS_SUPPORT_IC_H

#include "ic/proto.h"

#include <hvstack/guest/ic.h>
#include <hvstack/guest/loopback.h>
#include <hvstack/hvstack.h>

#include <criterion/criterion.h>

#define IC_VERSION(major, minor) ((uint32_t)(major) << 16 | (minor))

/* The host's clock and the guest's, as the sample function of time synchronization has them. */
struct ic_time {
	uint64_t host;
	uint64_t reference;
	int err;          /* what it returns */
	unsigned samples; /* times it was called */
};

struct ic_options {
	struct hvs_loopback_config loopback;
	struct hvs_ic_config cfg; /* but size */
	uint32_t ring_bytes;      /* 0: 12 KiB, as Linux and the BSDs have */
};

struct ic_machine {
	struct ic_options opt;
	struct hvs_loopback *lb;
	struct hvs_guest *guest;
	struct hvs_ic *ic;
	struct hvs_guest_channel *ch;
	struct ic_time time;
	unsigned events[8]; /* by number */
	/* Who wants to hear of them, too. */
	void (*on_event)(void *arg, enum hvs_ic_event event);
	void *on_event_arg;
	struct hvs_ic_status status; /* when the last HVS_IC_EVENT_STATUS came */
	bool may_fault;              /* the guest breaks the protocol of the ring */
};

/* Offer the service; the bus is not started. */
struct ic_machine *ic_up(const struct ic_options *opt);
/* Connect; open the channel. */
void ic_connect(struct ic_machine *m);
void ic_open(struct ic_machine *m);
/* Up to an agreed version of the service. */
void ic_negotiate(struct ic_machine *m, uint32_t version);
struct ic_machine *ic_new(const struct ic_options *opt, uint32_t version);
void ic_down(struct ic_machine *m);

/* Let the host run until it is idle. */
void ic_run(struct ic_machine *m);
/* Let time pass, in steps in which the host runs. */
void ic_advance(struct ic_machine *m, uint32_t ms);
/* The next message of the host, which must have come. */
struct hvs_guest_ic_message ic_take(struct ic_machine *m);
bool ic_nothing(struct ic_machine *m);
/* Answer it, and let the host run. */
void ic_answer(struct ic_machine *m, const struct hvs_guest_ic_message *msg, uint32_t status,
	       const void *body, uint32_t len);
/* A message of any shape: header and body. */
void ic_send_raw(struct ic_machine *m, const void *bytes, uint32_t len);

/* Save, and go on with another host. */
void ic_replace(struct ic_machine *m);
/* hvs_loopback_replace_host()'s offer(). */
int ic_offer(void *arg, struct hvs_vmbus *bus);

struct hvs_ic_status ic_status(const struct ic_machine *m);
/* Is the status that? */
#define ic_expect(m, first, second)                                                                \
	do {                                                                                       \
		const struct hvs_ic_status now_ = ic_status(m);                                    \
		cr_expect_eq(now_.primary, first, "%s", hvs_ic_primary_name(now_.primary));        \
		cr_expect_eq(now_.secondary, second, "%s", hvs_ic_secondary_name(now_.secondary)); \
	} while (0)

/* How a request ended. */
struct ic_done {
	unsigned count;
	int status;
	uint32_t guest_status;
};
void ic_note_done(void *arg, int status, uint32_t guest_status);

#endif
