/* SPDX-License-Identifier: MIT */
/*
 * The life of integration components again and again, each time with another allocation failing: no
 * crash, everything is given back, and what works without that memory works.
 */
#include "support/alloc.h"

#include <hvstack/guest/ic.h>
#include <hvstack/guest/loopback.h>
#include <hvstack/hvstack.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define RING_BYTES 12288u

static const struct {
	enum hvs_ic_kind kind;
	uint32_t version;
} services[] = {
	{HVS_IC_HEARTBEAT, 0x30000}, {HVS_IC_SHUTDOWN, 0x30002}, {HVS_IC_TIMESYNC, 0x40000},
	{HVS_IC_KVP, 0x50000},       {HVS_IC_VSS, 0x50000},      {HVS_IC_FILECOPY, 0x10001},
};
#define SERVICES (sizeof(services) / sizeof(services[0]))

struct machine {
	struct hvs_loopback *lb;
	struct hvs_guest *guest;
	struct hvs_ic *ic[SERVICES];
	struct hvs_guest_channel *ch[SERVICES];
	unsigned asked;
	unsigned told;
	unsigned gone;
};

static int sample_time(void *arg, uint64_t *host_time, uint64_t *reference)
{
	(void)arg;
	*host_time = 1;
	*reference = 2;
	return 0;
}

static void told(void *arg, int status, uint32_t guest_status)
{
	cr_assert_eq(status, 0);
	cr_assert_eq(guest_status, 0);
	((struct machine *)arg)->told++;
}

static void gone(void *arg, int status)
{
	cr_assert_eq(status, 0);
	((struct machine *)arg)->gone++;
}

static int up(struct test_alloc *a, struct machine *m)
{
	const struct hvs_ic_ops ops = {HVS_IC_OPS_INIT, .sample_time = sample_time};
	const struct hvs_loopback_config lb_cfg = {HVS_LOOPBACK_CONFIG_INIT, .ram_bytes = 1u << 20,
						   .alloc = test_allocator(a)};
	int err = hvs_loopback_create(&lb_cfg, &m->lb);

	for (size_t i = 0; !err && i < SERVICES; i++) {
		const struct hvs_ic_config cfg = {HVS_IC_CONFIG_INIT, .kind = services[i].kind,
						  .reference_time =
							  services[i].kind == HVS_IC_TIMESYNC};

		err = hvs_ic_create(hvs_loopback_bus(m->lb), &cfg, &ops, m, &m->ic[i]);
	}
	if (!err)
		err = hvs_loopback_start(m->lb, &m->guest);
	if (!err)
		err = hvs_guest_connect(m->guest, 0x50003);
	if (err)
		return err;
	err = hvs_guest_request_offers(m->guest);
	return err < 0 ? err : 0;
}

static int open_all(struct machine *m)
{
	int64_t got = 0;

	for (size_t i = 0; i < SERVICES; i++) {
		got = hvs_guest_channel_open(m->guest,
					     hvs_guest_ic_offer(m->guest, services[i].kind),
					     RING_BYTES, &m->ch[i]);
		if (got)
			return (int)got;
		got = hvs_guest_ic_negotiate(m->ch[i], &services[i].version, 1, true);
		cr_assert_eq(got, services[i].version);
	}
	return 0;
}

/* The guest answers what there is to answer. */
static void answer_all(struct machine *m)
{
	struct hvs_guest_ic_message msg;

	for (size_t i = 0; i < SERVICES; i++) {
		hvs_loopback_run(m->lb);
		while (hvs_guest_ic_recv(m->ch[i], &msg) == 1) {
			uint8_t body[8192];

			memcpy(body, msg.body, msg.len);
			body[0] = (uint8_t)(body[0] + (services[i].kind == HVS_IC_HEARTBEAT));
			cr_assert_eq(hvs_guest_ic_reply(m->ch[i], &msg, 0, body, msg.len), 0);
			hvs_loopback_run(m->lb);
		}
	}
}

static void note(struct machine *m, int err)
{
	cr_assert(err == 0 || err == -ENOMEM);
	m->asked += err == 0;
}

static void take_item(void *arg, const char *key, const char *value)
{
	(void)arg;
	cr_assert_str_eq(key, "k");
	cr_assert_str_eq(value, "");
}

static void take_ip(void *arg, const struct hvs_kvp_ip *ip)
{
	(void)arg;
	cr_assert_eq(ip->address_count, 0);
}

static void checked(void *arg, int status, uint32_t guest_status, uint32_t flags)
{
	cr_assert_eq(flags, 0);
	told(arg, status, guest_status);
}

static void ask_pairs(struct machine *m)
{
	static const uint8_t mac[6] = {2};
	static const struct hvs_guid id = {{1}};
	const struct hvs_kvp_address address = {.prefix = 8, .bytes = {10}};
	const struct hvs_kvp_ip ip = {HVS_KVP_IP_INIT, .address_count = 1, .addresses = &address};
	struct hvs_ic *kvp = m->ic[3];

	note(m, hvs_kvp_set(kvp, HVS_KVP_EXTERNAL, "k", "v", 0, told, m));
	note(m, hvs_kvp_delete(kvp, HVS_KVP_EXTERNAL, "k", 0, told, m));
	note(m, hvs_kvp_get(kvp, HVS_KVP_GUEST, "k", 0, take_item, told, m));
	note(m, hvs_kvp_enumerate(kvp, HVS_KVP_AUTO, 0, take_item, told, m));
	note(m, hvs_kvp_get_ip(kvp, mac, 0, take_ip, told, m));
	note(m, hvs_kvp_set_ip(kvp, &id, &ip, 0, told, m));
	answer_all(m);
}

/* A guest that was frozen is thawed, whatever there is no memory for. */
static void ask_freeze(struct machine *m)
{
	const struct hvs_vss_freeze_request q = {HVS_VSS_FREEZE_REQUEST_INIT};
	struct hvs_ic *vss = m->ic[4];
	int err;

	note(m, hvs_vss_check(vss, 0, checked, m));
	err = hvs_vss_freeze(vss, &q, told, m);
	note(m, err);
	answer_all(m);
	cr_assert_eq(hvs_vss_get_state(vss), err ? HVS_VSS_IDLE : HVS_VSS_FROZEN);
	if (!err)
		note(m, hvs_vss_thaw(vss, 0, told, m));
	hvs_loopback_advance(m->lb, 10000000000);
	answer_all(m);
	cr_assert_eq(hvs_vss_get_state(vss), HVS_VSS_IDLE);
	note(m, hvs_vss_complete(vss, 0, told, m));
	answer_all(m);
}

/* A copy that has begun needs no memory. */
static void ask_copy(struct machine *m)
{
	const struct hvs_filecopy_request q = {HVS_FILECOPY_REQUEST_INIT, .bytes = 5,
					       .directory = "/srv", .name = "file"};
	struct hvs_ic *copy = m->ic[5];

	cr_assert_eq(hvs_filecopy_start(copy, &q, told, m), 0);
	answer_all(m);
	cr_assert_eq(hvs_filecopy_write(copy, "hello", 5, told, m), 0);
	answer_all(m);
	cr_assert_eq(hvs_filecopy_finish(copy, told, m), 0);
	answer_all(m);
	m->asked += 3;
}

/* Requests are refused or answered; the services go on by themselves. */
static void ask_all(struct machine *m)
{
	const struct hvs_shutdown_request q = {HVS_SHUTDOWN_REQUEST_INIT, .reason = "test"};
	struct hvs_heartbeat_info info = {HVS_HEARTBEAT_INFO_INIT};

	hvs_loopback_run(m->lb);
	note(m, hvs_shutdown(m->ic[1], &q, told, m));
	note(m, hvs_timesync_sync(m->ic[2], 0, told, m));
	ask_pairs(m);
	ask_freeze(m);
	ask_copy(m);
	for (unsigned i = 0; i < 10; i++) {
		hvs_loopback_advance(m->lb, 2000000000);
		hvs_loopback_run(m->lb);
		answer_all(m);
	}
	cr_assert_eq(m->told, m->asked);
	cr_assert_eq(hvs_heartbeat_get_info(m->ic[0], &info), 0);
	cr_assert_geq(info.beats, 9); /* one beat may have been left out */
}

static int take_away(struct machine *m)
{
	int err = 0;

	for (size_t i = 0; !err && i < SERVICES; i++)
		err = hvs_ic_destroy(m->ic[i], gone, m);
	cr_assert_eq(err, 0);
	hvs_loopback_run(m->lb);
	cr_assert_eq(m->gone, SERVICES);
	return err;
}

/* True: the allocation with this number has failed. */
static bool story(size_t fail_at)
{
	struct test_alloc a = TEST_ALLOC_INIT;
	struct machine m = {0};
	int err;

	a.fail_at = fail_at;
	err = up(&a, &m);
	if (!err)
		err = open_all(&m);
	if (!err) {
		ask_all(&m);
		err = take_away(&m);
	}
	cr_assert(err == 0 || a.failed, "%zu: %d", fail_at, err);
	hvs_loopback_destroy(m.lb);
	cr_assert_eq(a.live, 0, "%zu", fail_at);
	return a.failed;
}

Test(oom_ic, no_allocation_is_needed_to_survive)
{
	size_t n = 0;

	while (story(n))
		n++;
	cr_assert_gt(n, 30);
}
