/* SPDX-License-Identifier: MIT */
/* How guests of several kinds and ages choose versions, and what comes of it. */
#include "support/ic.h"

#define V(major, minor) IC_VERSION(major, minor)

/* What a guest makes of the host's message, bytes from the common header on: returns whether it
 * answers. It writes its answer over the message. */
typedef bool (*guest_fn)(uint8_t *bytes, const uint32_t *versions);

struct fields {
	struct hvsi_ic_header head;
	struct hvsi_ic_negotiation counts;
	struct hvsi_ic_version list[];
};

static struct fields *fields(uint8_t *bytes)
{
	return (struct fields *)(void *)bytes;
}

static bool is_listed(const struct hvsi_ic_version *list, unsigned count, uint32_t version)
{
	for (unsigned i = 0; i < count; i++)
		if (hvsi_ic_get_version(list[i]) == version)
			return true;
	return false;
}

/* The answer of guests that return what they got, the versions at the beginning of the list. */
static bool echo(uint8_t *bytes, unsigned count, uint32_t framework, uint32_t version)
{
	struct fields *f = fields(bytes);

	f->head.body_bytes = hvsi_le16(16);
	f->head.flags = HVSI_IC_TRANSACTION | HVSI_IC_RESPONSE;
	f->counts.framework_count = hvsi_le16((uint16_t)count);
	f->counts.service_count = hvsi_le16((uint16_t)count);
	f->list[0] = hvsi_ic_version(framework);
	f->list[1] = hvsi_ic_version(version);
	return true;
}

/* The first of its own list that is in the host's. Without one it answers all the same: no
 * versions, and left-overs in their place. */
static bool linux_kernel(uint8_t *bytes, const uint32_t *versions)
{
	const struct fields *f = fields(bytes);
	const unsigned nf = hvsi_get16(f->counts.framework_count);
	const unsigned ns = hvsi_get16(f->counts.service_count);
	uint32_t framework = is_listed(f->list, nf, V(3, 0))   ? V(3, 0)
			     : is_listed(f->list, nf, V(1, 0)) ? V(1, 0)
							       : 0;

	for (; *versions; versions++)
		if (framework && is_listed(f->list + nf, ns, *versions))
			return echo(bytes, 1, framework, *versions);
	return echo(bytes, 0, framework ? framework : nf << 16, ns << 16);
}

/* The same, and a failed answer has an error in it. */
static bool linux_fcopy_daemon(uint8_t *bytes, const uint32_t *versions)
{
	linux_kernel(bytes, versions);
	if (!hvsi_get16(fields(bytes)->counts.service_count))
		fields(bytes)->head.status = hvsi_le32(HVS_IC_E_FAIL);
	return true;
}

/* The highest of the host's that is not above versions[0]; without one it says nothing. */
static bool freebsd(uint8_t *bytes, const uint32_t *versions)
{
	const struct fields *f = fields(bytes);
	const unsigned nf = hvsi_get16(f->counts.framework_count);
	const unsigned ns = hvsi_get16(f->counts.service_count);
	uint32_t framework = 0;
	uint32_t version = 0;

	for (unsigned i = 0; i < nf + ns; i++) {
		uint32_t v = hvsi_ic_get_version(f->list[i]);

		if (i < nf && v <= V(3, 0) && v > framework)
			framework = v;
		if (i >= nf && v <= versions[0] && v > version)
			version = v;
	}
	return framework && version && echo(bytes, 1, framework, version);
}

/* Looks at the second place of the framework's list, then takes what it knows; its own length is
 * more than it sends. */
static bool openbsd(uint8_t *bytes, const uint32_t *versions)
{
	const bool second_is_3 = hvsi_ic_get_version(fields(bytes)->list[1]) == V(3, 0);

	echo(bytes, 1, second_is_3 ? V(3, 0) : V(1, 0), second_is_3 ? versions[0] : V(1, 0));
	fields(bytes)->head.body_bytes = hvsi_le16(44);
	return true;
}

/* The second place, then 3.0 or 1.0 without a look. */
static bool old_freebsd(uint8_t *bytes, const uint32_t *versions)
{
	const bool second_is_3 = hvsi_ic_get_version(fields(bytes)->list[1]) == V(3, 0);

	(void)versions;
	return echo(bytes, 1, second_is_3 ? V(3, 0) : V(1, 0), second_is_3 ? V(3, 0) : V(1, 0));
}

/* The right ones, and an error: FreeBSD's VSS puts an errno there. */
static bool failing(uint8_t *bytes, const uint32_t *versions)
{
	fields(bytes)->head.status = hvsi_le32(22);
	return linux_kernel(bytes, versions);
}

/* Its own highest, be it offered or not. */
static bool stubborn(uint8_t *bytes, const uint32_t *versions)
{
	return echo(bytes, 1, V(3, 0), versions[0]);
}

static const struct generation {
	const char *name;
	enum hvs_ic_kind kind;
	uint32_t host_max; /* 0: the newest */
	guest_fn guest;
	uint32_t versions[5]; /* the guest's, best first */
	uint32_t agreed;      /* 0: none */
	enum hvs_ic_primary primary;
	enum hvs_ic_secondary secondary;
} generations[] = {
	/* clang-format off */
	{"Linux heartbeat", HVS_IC_HEARTBEAT, 0, linux_kernel, {V(3, 0), V(1, 0)}, V(3, 0),
	 HVS_IC_NO_CONTACT, HVS_IC_DETAIL_NONE}, /* not before the first beat */
	{"Linux time synchronization", HVS_IC_TIMESYNC, 0, linux_kernel,
	 {V(4, 0), V(3, 0), V(1, 0)}, V(4, 0), HVS_IC_OK, HVS_IC_DETAIL_OK},
	{"Linux shutdown", HVS_IC_SHUTDOWN, 0, linux_kernel,
	 {V(3, 2), V(3, 1), V(3, 0), V(1, 0)}, V(3, 2), HVS_IC_OK, HVS_IC_DETAIL_OK},
	{"Linux under an old host", HVS_IC_SHUTDOWN, V(3, 0), linux_kernel,
	 {V(3, 2), V(3, 1), V(3, 0), V(1, 0)}, V(3, 0), HVS_IC_OK, HVS_IC_DETAIL_OK},
	{"Linux under a very old host", HVS_IC_TIMESYNC, V(1, 0), linux_kernel,
	 {V(4, 0), V(3, 0), V(1, 0)}, V(1, 0), HVS_IC_OK, HVS_IC_DETAIL_OK},
	{"Linux before 2015", HVS_IC_SHUTDOWN, 0, linux_kernel, {V(3, 0), V(1, 0)}, V(3, 0),
	 HVS_IC_DEGRADED, HVS_IC_DETAIL_MISMATCH},
	{"a Linux of the future", HVS_IC_SHUTDOWN, 0, linux_kernel, {V(9, 0)}, 0,
	 HVS_IC_NON_RECOVERABLE, HVS_IC_DETAIL_MISMATCH},
	{"Linux' file copy daemon", HVS_IC_SHUTDOWN, 0, linux_fcopy_daemon, {V(3, 2)}, V(3, 2),
	 HVS_IC_OK, HVS_IC_DETAIL_OK},
	{"Linux' file copy daemon that fails", HVS_IC_SHUTDOWN, 0, linux_fcopy_daemon, {V(1, 1)}, 0,
	 HVS_IC_NON_RECOVERABLE, HVS_IC_DETAIL_MISMATCH},
	{"FreeBSD time synchronization", HVS_IC_TIMESYNC, 0, freebsd, {V(4, 0)}, V(4, 0),
	 HVS_IC_OK, HVS_IC_DETAIL_OK},
	{"FreeBSD shutdown", HVS_IC_SHUTDOWN, 0, freebsd, {V(3, 0)}, V(3, 0),
	 HVS_IC_DEGRADED, HVS_IC_DETAIL_MISMATCH},
	{"FreeBSD heartbeat", HVS_IC_HEARTBEAT, 0, freebsd, {V(3, 0)}, V(3, 0),
	 HVS_IC_NO_CONTACT, HVS_IC_DETAIL_NONE},
	{"FreeBSD between two versions", HVS_IC_SHUTDOWN, 0, freebsd, {V(2, 5)}, V(1, 0),
	 HVS_IC_DEGRADED, HVS_IC_DETAIL_MISMATCH},
	{"FreeBSD without a common version", HVS_IC_SHUTDOWN, 0, freebsd, {V(0, 9)}, 0,
	 HVS_IC_NO_CONTACT, HVS_IC_DETAIL_NONE},
	{"a guest that fails with versions", HVS_IC_SHUTDOWN, 0, failing, {V(3, 2)}, 0,
	 HVS_IC_NON_RECOVERABLE, HVS_IC_DETAIL_MISMATCH},
	{"OpenBSD shutdown", HVS_IC_SHUTDOWN, 0, openbsd, {V(3, 0)}, V(3, 0),
	 HVS_IC_DEGRADED, HVS_IC_DETAIL_MISMATCH},
	{"OpenBSD under a very old host", HVS_IC_TIMESYNC, V(1, 0), openbsd, {V(3, 0)}, 0,
	 HVS_IC_NON_RECOVERABLE, HVS_IC_DETAIL_MISMATCH},
	{"old FreeBSD", HVS_IC_SHUTDOWN, 0, old_freebsd, {0}, V(3, 0),
	 HVS_IC_DEGRADED, HVS_IC_DETAIL_MISMATCH},
	{"a guest that takes what was not offered", HVS_IC_SHUTDOWN, V(3, 0), stubborn, {V(3, 2)},
	 0, HVS_IC_NON_RECOVERABLE, HVS_IC_DETAIL_MISMATCH},
	/* clang-format on */
};

/* Let the guest take the host's versions and answer in its way. */
static void negotiate(struct ic_machine *m, const struct generation *g)
{
	uint8_t bytes[128];
	struct hvs_guest_packet pkt;

	ic_run(m);
	cr_assert_eq(hvs_guest_recv(m->ch, &pkt), 1, "%s", g->name);
	cr_assert_leq(pkt.len, sizeof(bytes));
	memcpy(bytes, pkt.data, pkt.len);
	cr_assert_eq(hvsi_get16(fields(bytes)->head.type), HVSI_IC_NEGOTIATE);
	if (g->guest(bytes, g->versions))
		ic_send_raw(m, bytes, pkt.len);
	ic_run(m);
}

static void expect_outcome(const struct ic_machine *m, const struct generation *g)
{
	const struct hvs_ic_status s = ic_status(m);

	cr_expect_eq(s.service_version, g->agreed, "%s: %x", g->name, s.service_version);
	cr_expect_eq(s.ready, g->agreed != 0, "%s", g->name);
	cr_expect_eq(s.framework_version, g->agreed ? V(3, 0) : 0, "%s", g->name);
	cr_expect_eq(s.primary, g->primary, "%s: %d", g->name, s.primary);
	cr_expect_eq(s.secondary, g->secondary, "%s: %d", g->name, s.secondary);
}

Test(ic_negotiation, each_generation_of_guests_gets_what_it_knows)
{
	for (size_t i = 0; i < sizeof(generations) / sizeof(generations[0]); i++) {
		const struct generation *g = &generations[i];
		const struct ic_options opt = {
			.cfg = {.kind = g->kind,
				.max_version = g->host_max,
				.reference_time = g->kind == HVS_IC_TIMESYNC}};
		struct ic_machine *m = ic_up(&opt);

		ic_connect(m);
		ic_open(m);
		negotiate(m, g);
		expect_outcome(m, g);
		ic_down(m);
	}
}

Test(ic_negotiation, a_guest_that_comes_back_may_be_another_one)
{
	struct ic_options opt = {.cfg = {.kind = HVS_IC_SHUTDOWN}};
	struct ic_machine *m = ic_up(&opt);

	ic_connect(m);
	for (size_t i = 0; i < sizeof(generations) / sizeof(generations[0]); i++) {
		const struct generation *g = &generations[i];

		if (g->kind != HVS_IC_SHUTDOWN || g->host_max)
			continue;
		ic_open(m);
		negotiate(m, g);
		cr_expect_eq(ic_status(m).service_version, g->agreed, "%s", g->name);
		cr_assert_eq(hvs_guest_channel_close(m->ch), 0);
		ic_run(m);
		cr_expect_eq(ic_status(m).service_version, 0);
		ic_expect(m, HVS_IC_LOST_COMMUNICATION, HVS_IC_DETAIL_NONE);
	}
	ic_down(m);
}

/* ---- bytes ---------------------------------------------------------------------------------- */

/* What the host has written into its ring, from the first byte on. */
static const uint8_t *from_host(struct ic_machine *m)
{
	size_t len;
	const uint8_t *rings = hvs_guest_channel_rings(m->ch, &len);

	return rings + len / 2 + 4096;
}

Test(ic_negotiation, the_offer_is_that_of_a_pipe_of_messages)
{
	static const struct {
		enum hvs_ic_kind kind;
		uint8_t class_id[16];
		uint8_t instance_id[16];
	} row[] = {
		{HVS_IC_HEARTBEAT,
		 {0x39, 0x4f, 0x16, 0x57, 0x15, 0x91, 0x78, 0x4e, 0xab, 0x55, 0x38, 0x2f, 0x3b,
		  0xd5, 0x42, 0x2d},
		 {0x91, 0x9e, 0x14, 0xfd, 0xe0, 0x82, 0x7d, 0x4a, 0xaf, 0xa6, 0x2a, 0x41, 0x66,
		  0xcb, 0xd7, 0xc0}},
		{HVS_IC_SHUTDOWN,
		 {0x31, 0x60, 0x0b, 0x0e, 0x13, 0x52, 0x34, 0x49, 0x81, 0x8b, 0x38, 0xd9, 0x0c,
		  0xed, 0x39, 0xdb},
		 {0xf7, 0x0f, 0x65, 0xb6, 0xbc, 0x33, 0x40, 0x48, 0x80, 0x48, 0xe0, 0x67, 0x67,
		  0x86, 0xf3, 0x93}},
		{HVS_IC_TIMESYNC,
		 {0x30, 0xe6, 0x27, 0x95, 0xae, 0xd0, 0x7b, 0x49, 0xad, 0xce, 0xe8, 0x0a, 0xb0,
		  0x17, 0x5c, 0xaf},
		 {0x17, 0xce, 0xd1, 0x2d, 0x9e, 0x07, 0x3c, 0x40, 0xb3, 0x52, 0xa1, 0x92, 0x1e,
		  0xe2, 0x07, 0xee}},
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		const struct ic_options opt = {.cfg = {.kind = row[i].kind}};
		struct ic_machine *m = ic_up(&opt);
		const struct hvs_guest_offer *o;

		ic_connect(m);
		o = hvs_guest_ic_offer(m->guest, row[i].kind);
		cr_assert_not_null(o);
		cr_assert_eq(o->flags, 0x11);
		cr_assert_arr_eq(o->class_id.b, row[i].class_id, 16);
		cr_assert_arr_eq(o->instance_id.b, row[i].instance_id, 16);
		cr_assert_eq(o->user_data[0], 4);
		for (size_t k = 1; k < sizeof(o->user_data); k++)
			cr_assert_eq(o->user_data[k], 0);
		cr_assert_null(hvs_guest_ic_offer(m->guest, HVS_IC_VSS));
		ic_down(m);
	}
}

Test(ic_negotiation, the_bytes_are_those_of_hyper_v_but_for_the_transaction)
{
	static const uint8_t request[] = {
		0x06, 0x00, 0x02, 0x00, 0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x34, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x03,
		0x00, 0x00, 0x02, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
		0x03, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x03, 0x00,
		0x01, 0x00, 0x03, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00};
	/* What Linux makes of it, behind descriptor and pipe header. */
	static const uint8_t answer[] = {
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x01, 0x05, 0x00, 0x00, 0x01, 0x00, 0x01, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x03, 0x00, 0x02, 0x00, 0x01, 0x00, 0x00,
		0x00, 0x03, 0x00, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x03, 0x00, 0x02, 0x00};
	const struct ic_options opt = {.cfg = {.kind = HVS_IC_SHUTDOWN}};
	struct ic_machine *m = ic_up(&opt);

	ic_connect(m);
	ic_open(m);
	ic_run(m);
	cr_assert_arr_eq(from_host(m), request, sizeof(request));
	ic_send_raw(m, answer, sizeof(answer));
	cr_assert_eq(ic_status(m).service_version, V(3, 2));
	ic_down(m);
}
