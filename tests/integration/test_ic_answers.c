/* SPDX-License-Identifier: MIT */
/* Answers that no driver would send, and functions called in ways that make no sense. */
#include "support/ic.h"

#include <errno.h>

static struct ic_options usual(void)
{
	return (struct ic_options){
		.cfg = {.kind = HVS_IC_TIMESYNC, .interval_ms = 3600000, .reference_time = true}};
}

static struct ic_machine *up(void)
{
	const struct ic_options opt = usual();

	return ic_new(&opt, IC_VERSION(4, 0));
}

/* An answer to msg, to be spoiled. */
static struct hvsi_ic_header head_for(const struct hvs_guest_ic_message *msg)
{
	return (struct hvsi_ic_header){
		.framework = hvsi_ic_version(msg->framework_version),
		.type = hvsi_le16(msg->type),
		.service = hvsi_ic_version(msg->service_version),
		.transaction = msg->transaction,
		.flags = HVSI_IC_TRANSACTION | HVSI_IC_RESPONSE,
	};
}

/* ---- what is dropped ------------------------------------------------------------------------ */

Test(ic_answers, what_answers_nothing_is_counted_and_dropped)
{
	struct ic_machine *m = up();
	struct hvs_guest_ic_message msg = ic_take(m);
	struct hvsi_ic_header head;
	struct ic_done d = {0};

	ic_answer(m, &msg, 0, NULL, 0);
	/* Once more; of another kind; versions. */
	for (uint16_t type = 0; type < 10; type++) {
		head = head_for(&msg);
		head.type = hvsi_le16(type);
		ic_send_raw(m, &head, sizeof(head));
		cr_assert_eq(ic_status(m).malformed, type + 1u);
	}
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_OK);

	cr_assert_eq(hvs_timesync_sync(m->ic, 0, ic_note_done, &d), 0);
	msg = ic_take(m);
	for (uint16_t type = 0; type < 10; type++) {
		head = head_for(&msg);
		head.type = hvsi_le16(type);
		if (type == HVS_IC_TIMESYNC)
			head.transaction++;
		ic_send_raw(m, &head, sizeof(head));
		cr_assert_eq(d.count, 0);
	}
	cr_assert_eq(ic_status(m).malformed, 20);
	ic_answer(m, &msg, 0, NULL, 0);
	cr_assert_eq(d.count, 1);
	cr_assert_eq(d.status, 0);
	ic_down(m);
}

Test(ic_answers, a_guest_that_does_not_return_the_transaction_is_understood)
{
	struct ic_machine *m = up();
	struct hvs_guest_ic_message msg = ic_take(m);

	msg.transaction = 0;
	ic_answer(m, &msg, 0, NULL, 0);
	cr_assert_eq(ic_status(m).malformed, 0);
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_OK);
	ic_down(m);
}

Test(ic_answers, versions_and_reserved_bytes_of_an_answer_mean_nothing)
{
	struct ic_machine *m = up();
	struct hvs_guest_ic_message msg = ic_take(m);
	struct hvsi_ic_header head = head_for(&msg);

	head.framework = hvsi_ic_version(0x12345678);
	head.service = hvsi_ic_version(0x87654321);
	head.reserved = hvsi_le16(0xffff);
	head.flags = 0xff;
	head.body_bytes = hvsi_le16(0xffff);
	ic_send_raw(m, &head, sizeof(head));
	cr_assert_eq(ic_status(m).malformed, 0);
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_OK);
	ic_down(m);
}

Test(ic_answers, old_answers_do_not_disturb_the_choice_of_versions)
{
	const struct ic_options opt = usual();
	struct ic_machine *m = ic_up(&opt);
	struct hvs_guest_ic_message msg;
	struct hvsi_ic_header head;

	ic_connect(m);
	ic_open(m);
	ic_run(m);
	head = (struct hvsi_ic_header){.type = hvsi_le16(HVS_IC_TIMESYNC),
				       .flags = HVSI_IC_TRANSACTION | HVSI_IC_RESPONSE};
	ic_send_raw(m, &head, sizeof(head));
	cr_assert_eq(ic_status(m).malformed, 1);
	ic_negotiate(m, IC_VERSION(4, 0));
	msg = ic_take(m);
	ic_answer(m, &msg, 0, NULL, 0);
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_OK);
	ic_down(m);
}

Test(ic_answers, a_flood_is_taken_in_portions)
{
	struct ic_machine *m = up();
	struct hvs_guest_ic_message msg = ic_take(m);
	const struct hvsi_ic_header head = head_for(&msg);
	const struct iovec iov = {(void *)(uintptr_t)&head, sizeof(head)};

	ic_answer(m, &msg, 0, NULL, 0);
	for (unsigned i = 0; i < 200; i++)
		cr_assert_eq(hvs_guest_send(m->ch, 0, false, NULL, &iov, 1), 0);
	hvs_guest_flush(m->ch);
	hvs_loopback_step(m->lb, 8);
	cr_assert_leq(ic_status(m).malformed, 64);
	ic_run(m);
	cr_assert_eq(ic_status(m).malformed, 200);
	ic_down(m);
}

/* ---- what ends the service ------------------------------------------------------------------ */

/* The guest sends something that is no answer at all. */
typedef void (*nonsense_fn)(struct ic_machine *m, struct hvsi_ic_header *head);

static void too_short(struct ic_machine *m, struct hvsi_ic_header *head)
{
	ic_send_raw(m, head, sizeof(*head) - 1);
}

static void empty(struct ic_machine *m, struct hvsi_ic_header *head)
{
	ic_send_raw(m, head, 0);
}

static void a_request(struct ic_machine *m, struct hvsi_ic_header *head)
{
	head->flags = HVSI_IC_TRANSACTION | HVSI_IC_REQUEST;
	ic_send_raw(m, head, sizeof(*head));
}

static void no_transaction(struct ic_machine *m, struct hvsi_ic_header *head)
{
	head->flags = HVSI_IC_RESPONSE;
	ic_send_raw(m, head, sizeof(*head));
}

static void a_completion(struct ic_machine *m, struct hvsi_ic_header *head)
{
	const struct iovec iov = {head, sizeof(*head)};

	cr_assert_eq(hvs_guest_complete(m->ch, 1, &iov, 1), 0);
	hvs_guest_flush(m->ch);
	ic_run(m);
}

static const nonsense_fn nonsense[] = {too_short, empty, a_request, no_transaction, a_completion};
#define NONSENSE (sizeof(nonsense) / sizeof(nonsense[0]))

static void expect_failed(struct ic_machine *m)
{
	ic_expect(m, HVS_IC_NON_RECOVERABLE, HVS_IC_DETAIL_FAILED);
	cr_expect_eq(m->status.primary, HVS_IC_NON_RECOVERABLE);
	cr_expect(ic_status(m).open);
	cr_expect_not(ic_status(m).ready);
	cr_expect_eq(hvs_timesync_sync(m->ic, 0, NULL, NULL), -ENOTCONN);
	ic_advance(m, 10000);
	cr_expect(ic_nothing(m));
}

Test(ic_answers, nonsense_ends_the_service_until_the_guest_opens_it_again)
{
	for (size_t i = 0; i < NONSENSE; i++) {
		struct ic_machine *m = up();
		struct hvs_guest_ic_message msg = ic_take(m);
		struct hvsi_ic_header head = head_for(&msg);
		struct ic_done d[2] = {{0}};

		ic_answer(m, &msg, 0, NULL, 0);
		for (unsigned k = 0; k < 2; k++)
			cr_assert_eq(hvs_timesync_sync(m->ic, 0, ic_note_done, &d[k]), 0);
		msg = ic_take(m);
		nonsense[i](m, &head);
		for (unsigned k = 0; k < 2; k++) {
			cr_assert_eq(d[k].count, 1, "%zu", i);
			cr_assert_eq(d[k].status, -EPROTO);
		}
		cr_assert_eq(ic_status(m).malformed, 1);
		expect_failed(m);
		/* A right answer is too late. */
		ic_answer(m, &msg, 0, NULL, 0);
		expect_failed(m);

		cr_assert_eq(hvs_guest_channel_close(m->ch), 0);
		ic_run(m);
		ic_expect(m, HVS_IC_LOST_COMMUNICATION, HVS_IC_DETAIL_NONE);
		ic_open(m);
		ic_negotiate(m, IC_VERSION(4, 0));
		ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_OK);
		ic_down(m);
	}
}

Test(ic_answers, nonsense_instead_of_versions_ends_the_service_too)
{
	for (size_t i = 0; i < NONSENSE; i++) {
		const struct ic_options opt = usual();
		struct ic_machine *m = ic_up(&opt);
		struct hvsi_ic_header head = {.flags = HVSI_IC_TRANSACTION | HVSI_IC_RESPONSE};

		ic_connect(m);
		ic_open(m);
		ic_run(m);
		nonsense[i](m, &head);
		cr_assert(ic_status(m).open);
		ic_expect(m, HVS_IC_NON_RECOVERABLE, HVS_IC_DETAIL_FAILED);
		ic_down(m);
	}
}

static void break_index(uint8_t *index)
{
	const uint32_t beyond = 0xfffffff0;

	memcpy(index, &beyond, sizeof(beyond));
}

static void expect_broken(struct ic_machine *m, const struct ic_done *d)
{
	cr_assert_eq(d->status, -EPROTO);
	ic_expect(m, HVS_IC_NON_RECOVERABLE, HVS_IC_DETAIL_FAILED);
	cr_assert_eq(hvs_guest_channel_close(m->ch), 0);
	ic_open(m);
	ic_negotiate(m, IC_VERSION(4, 0));
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_OK);
}

Test(ic_answers, a_broken_ring_to_the_host_ends_the_service_until_the_guest_opens_it_again)
{
	struct ic_machine *m = up();
	struct ic_done d = {0};
	size_t len;

	m->may_fault = true;
	cr_assert_eq(hvs_timesync_sync(m->ic, 0, ic_note_done, &d), 0);
	ic_run(m);
	break_index(hvs_guest_channel_rings(m->ch, &len)); /* where it writes */
	cr_assert_eq(hvs_timesync_sync(m->ic, 0, ic_note_done, &d), 0);
	ic_run(m);
	cr_assert_eq(d.count, 2);
	expect_broken(m, &d);
	ic_down(m);
}

Test(ic_answers, a_broken_ring_to_the_guest_ends_the_service_until_the_guest_opens_it_again)
{
	struct ic_machine *m = up();
	struct hvs_guest_ic_message msg = ic_take(m);
	struct ic_done d = {0};
	unsigned sent = 0;
	uint8_t *rings;
	size_t len;

	m->may_fault = true;
	rings = hvs_guest_channel_rings(m->ch, &len);
	ic_answer(m, &msg, 0, NULL, 0);
	/* The host looks where the guest reads when it knows of no more room. */
	while (d.status == 0 && sent++ < 1000) {
		break_index(rings + len / 2 + 4);
		cr_assert_eq(hvs_timesync_sync(m->ic, 0, ic_note_done, &d), 0);
		ic_run(m);
		if (d.count == sent)
			break;
		msg = ic_take(m);
		ic_answer(m, &msg, 0, NULL, 0);
	}
	cr_assert_eq(d.count, sent);
	expect_broken(m, &d);
	ic_down(m);
}

/* ---- functions ------------------------------------------------------------------------------ */

static int no_time(void *arg, uint64_t *host_time, uint64_t *reference)
{
	(void)arg;
	(void)host_time;
	(void)reference;
	return -EIO;
}

Test(ic_answers, configurations_that_make_no_sense_are_refused)
{
	static const struct {
		bool has_time;
		struct hvs_ic_config cfg;
	} bad[] = {
		{true, {.kind = 0}},
		{true, {.kind = 6}},
		{true, {.kind = 8}},
		{false, {.kind = HVS_IC_TIMESYNC}},
		{true, {.kind = HVS_IC_TIMESYNC, .latency_ms = 1}},
		{true, {.kind = HVS_IC_TIMESYNC, .error_threshold = 1}},
		{true, {.kind = HVS_IC_TIMESYNC, .interval_ms = 3600001}},
		{true, {.kind = HVS_IC_TIMESYNC, .max_version = IC_VERSION(0, 9)}},
		{false, {.kind = HVS_IC_HEARTBEAT, .reference_time = true}},
		{false, {.kind = HVS_IC_HEARTBEAT, .interval_ms = 3600001}},
		{false, {.kind = HVS_IC_HEARTBEAT, .latency_ms = 3600001}},
		{false, {.kind = HVS_IC_SHUTDOWN, .interval_ms = 1}},
		{false, {.kind = HVS_IC_SHUTDOWN, .latency_ms = 1}},
		{false, {.kind = HVS_IC_SHUTDOWN, .error_threshold = 1}},
		{false, {.kind = HVS_IC_SHUTDOWN, .reference_time = true}},
	};
	const struct hvs_ic_ops none = {HVS_IC_OPS_INIT};
	const struct hvs_ic_ops time = {HVS_IC_OPS_INIT, .sample_time = no_time};
	const struct hvs_ic_ops reserved = {HVS_IC_OPS_INIT, .reserved = 1};
	struct hvs_ic_config cfg = {HVS_IC_CONFIG_INIT, .kind = HVS_IC_SHUTDOWN};
	struct hvs_loopback *lb;
	struct hvs_vmbus *bus;
	struct hvs_ic *ic;

	cr_assert_eq(hvs_loopback_create(NULL, &lb), 0);
	bus = hvs_loopback_bus(lb);
	cr_assert_eq(hvs_ic_create(NULL, &cfg, &none, NULL, &ic), -EINVAL);
	cr_assert_eq(hvs_ic_create(bus, NULL, &none, NULL, &ic), -EINVAL);
	cr_assert_eq(hvs_ic_create(bus, &cfg, NULL, NULL, &ic), -EINVAL);
	cr_assert_eq(hvs_ic_create(bus, &cfg, &none, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_ic_create(bus, &cfg, &reserved, NULL, &ic), -EINVAL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cfg = bad[i].cfg;
		cfg.size = sizeof(cfg);
		cr_assert_eq(hvs_ic_create(bus, &cfg, bad[i].has_time ? &time : &none, NULL, &ic),
			     -EINVAL, "%zu", i);
	}
	cfg = (struct hvs_ic_config){HVS_IC_CONFIG_INIT, .kind = HVS_IC_SHUTDOWN};
	cr_assert_eq(hvs_ic_create(bus, &cfg, &none, NULL, &ic), 0);
	cr_assert_eq(hvs_ic_create(bus, &cfg, &none, NULL, &ic), -EEXIST);
	hvs_loopback_destroy(lb);
}

Test(ic_answers, functions_of_one_service_refuse_another)
{
	const struct ic_options opt = {.cfg = {.kind = HVS_IC_SHUTDOWN}};
	struct ic_machine *m = ic_up(&opt);
	struct ic_machine *t;
	const struct ic_options time = usual();
	struct hvs_heartbeat_info info = {HVS_HEARTBEAT_INFO_INIT};
	const struct hvs_shutdown_request q = {HVS_SHUTDOWN_REQUEST_INIT};

	cr_assert_eq(hvs_heartbeat_get_info(m->ic, &info), -EINVAL);
	cr_assert_eq(hvs_heartbeat_get_info(NULL, &info), -EINVAL);
	cr_assert_eq(hvs_timesync_sync(m->ic, 0, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_timesync_sync(NULL, 0, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_shutdown(NULL, &q, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_ic_destroy(NULL, NULL, NULL), -EINVAL);
	ic_down(m);
	t = ic_up(&time);
	cr_assert_eq(hvs_shutdown(t->ic, &q, NULL, NULL), -EINVAL);
	ic_down(t);
}

Test(ic_answers, a_status_of_an_older_caller_is_as_short_as_it_knows)
{
	const struct ic_options opt = {.cfg = {.kind = HVS_IC_SHUTDOWN}};
	struct ic_machine *m = ic_up(&opt);
	struct hvs_ic_status s;

	memset(&s, 0xee, sizeof(s));
	s.size = offsetof(struct hvs_ic_status, open);
	cr_assert_eq(hvs_ic_get_status(m->ic, &s), 0);
	cr_assert_eq(s.size, offsetof(struct hvs_ic_status, open));
	cr_assert_eq(s.kind, HVS_IC_SHUTDOWN);
	cr_assert_eq(s.primary, HVS_IC_NO_CONTACT);
	cr_assert_eq(((const uint8_t *)&s)[offsetof(struct hvs_ic_status, open)], 0xee);
	s.size = 2 * sizeof(s);
	cr_assert_eq(hvs_ic_get_status(m->ic, &s), 0);
	cr_assert_eq(s.size, sizeof(s));
	s.size = 3;
	cr_assert_eq(hvs_ic_get_status(m->ic, &s), -EINVAL);
	cr_assert_eq(hvs_ic_get_status(m->ic, NULL), -EINVAL);
	cr_assert_eq(hvs_ic_get_status(NULL, &s), -EINVAL);
	ic_down(m);
}

Test(ic_answers, everything_has_a_name)
{
	static const uint32_t statuses[] = {HVS_IC_S_OK,
					    HVS_IC_E_FAIL,
					    HVS_IC_E_NO_MORE_ITEMS,
					    HVS_IC_E_NOT_SUPPORTED,
					    HVS_IC_E_INVALID_ARGUMENT,
					    HVS_IC_E_NOT_FOUND,
					    HVS_IC_E_EXISTS,
					    HVS_IC_E_DISK_FULL,
					    HVS_IC_E_MACHINE_LOCKED,
					    HVS_IC_E_NOT_CONNECTED};

	cr_assert_str_eq(hvs_ic_kind_name(HVS_IC_HEARTBEAT), "Heartbeat");
	cr_assert_str_eq(hvs_ic_kind_name(HVS_IC_KVP), "Key-Value Pair Exchange");
	cr_assert_str_eq(hvs_ic_kind_name(HVS_IC_SHUTDOWN), "Shutdown");
	cr_assert_str_eq(hvs_ic_kind_name(HVS_IC_TIMESYNC), "Time Synchronization");
	cr_assert_str_eq(hvs_ic_kind_name(HVS_IC_VSS), "VSS");
	cr_assert_str_eq(hvs_ic_kind_name(HVS_IC_FILECOPY), "Guest Service Interface");
	cr_assert_str_eq(hvs_ic_kind_name(6), "unknown");
	cr_assert_str_eq(hvs_ic_primary_name(HVS_IC_OK), "OK");
	cr_assert_str_eq(hvs_ic_primary_name(HVS_IC_DEGRADED), "Degraded");
	cr_assert_str_eq(hvs_ic_primary_name(HVS_IC_NON_RECOVERABLE), "Non-Recoverable Error");
	cr_assert_str_eq(hvs_ic_primary_name(HVS_IC_NO_CONTACT), "No Contact");
	cr_assert_str_eq(hvs_ic_primary_name(HVS_IC_LOST_COMMUNICATION), "Lost Communication");
	cr_assert_str_eq(hvs_ic_primary_name(1), "unknown");
	cr_assert_str_eq(hvs_ic_secondary_name(HVS_IC_DETAIL_NONE), "");
	cr_assert_str_eq(hvs_ic_secondary_name(HVS_IC_DETAIL_OK), "OK");
	cr_assert_str_eq(hvs_ic_secondary_name(HVS_IC_DETAIL_MISMATCH), "Protocol Mismatch");
	cr_assert_str_eq(hvs_ic_secondary_name(HVS_IC_DETAIL_CRITICAL),
			 "Application Critical State");
	cr_assert_str_eq(hvs_ic_secondary_name(HVS_IC_DETAIL_TIMED_OUT), "Communication Timed Out");
	cr_assert_str_eq(hvs_ic_secondary_name(HVS_IC_DETAIL_FAILED), "Communication Failed");
	cr_assert_str_eq(hvs_ic_secondary_name(1), "unknown");
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		for (size_t k = 0; k <= i; k++)
			cr_assert_eq(strcmp(hvs_ic_guest_status_name(statuses[i]),
					    hvs_ic_guest_status_name(statuses[k])) == 0,
				     i == k);
	cr_assert_str_eq(hvs_ic_guest_status_name(22), "an error that only the guest knows");
}
