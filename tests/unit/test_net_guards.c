/* SPDX-License-Identifier: MIT */
/* Guards of a port, and what closed ports let pass. */
#include "support/policy.h"
#include "util/le.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* ---- guards -------------------------------------------------------------------------------------- */

/* Everything a guard has to look behind: the same message in other clothes. */
static unsigned disguises(struct test_frame_spec s, struct test_frame_spec to[12])
{
	unsigned n = 0;

	to[n++] = s;
	to[n] = s;
	to[n].tags = 1;
	to[n++].tci[0] = 0;
	to[n] = s;
	to[n].tags = 2;
	to[n].tci[0] = 0;
	to[n++].tci[1] = 0;
	to[n] = s;
	to[n].tags = 2;
	to[n++].tag_type = 0x88a8;
	to[n] = s;
	to[n++].snap = true;
	to[n] = s;
	to[n].ip4_options = 40;
	to[n].exts = 3;
	memcpy(to[n].ext, "\0\74\53", 3); /* hop by hop, destination, routing */
	to[n++].ext_words = 3;
	to[n] = s;
	to[n].exts = 8;
	memset(to[n++].ext, 60, 8);
	to[n] = s;
	to[n].exts = 2;
	memcpy(to[n].ext, "\74\54", 2);
	to[n++].fragment = s.ip6 ? 1 : 0x2000; /* the first */
	return n;
}

/* first: byte of the payload, or NULL. */
static void expect_guard(struct fixture *f, bool pass, const struct test_frame_spec *s,
			 const uint8_t *first)
{
	struct test_frame_spec all[12];
	const unsigned n = disguises(*s, all);

	for (unsigned i = 0; i < n; i++) {
		test_frame_build(&frame, &all[i]);
		if (first)
			frame.b[frame.payload_off] = *first;
		cr_assert_eq(passes_built(f, OUT), pass, "disguise %u", i);
		cr_assert(passes_built(f, IN));
	}
}

static struct test_frame_spec udp(bool ip6, uint16_t from, uint16_t to)
{
	return (struct test_frame_spec){
		.protocol = TEST_UDP, .ip6 = ip6, .from = from, .to = to, .payload = 20};
}

static void expect_udp(struct fixture *f, bool pass, bool ip6, uint16_t from, uint16_t to,
		       uint8_t first)
{
	const struct test_frame_spec s = udp(ip6, from, to);

	expect_guard(f, pass, &s, &first);
}

Test(net_guards, dhcp_guard_drops_what_servers_send)
{
	const struct hvs_port_policy p = {HVS_PORT_POLICY_INIT, .flags = HVS_PORT_DHCP_GUARD};
	static const uint8_t server6[] = {2, 7, 10, 13};
	static const uint8_t client6[] = {1, 3, 4, 5, 6, 8, 9, 11, 12};
	struct fixture f;

	up(&f, &p);
	expect_udp(&f, false, false, 67, 68, 2);
	expect_udp(&f, false, false, 67, 68, 1);
	expect_udp(&f, false, false, 4444, 68, 2); /* clients don't look where it is from */
	expect_udp(&f, false, false, 67, 67, 2);   /* to a relay */
	expect_udp(&f, false, false, 4444, 67, 2);
	expect_udp(&f, true, false, 68, 67, 1);
	expect_udp(&f, true, false, 67, 67, 1); /* from a relay */
	expect_udp(&f, true, false, 67, 5000, 2);
	expect_udp(&f, true, false, 547, 546, 2);
	expect_udp(&f, true, false, 53, 53, 2);
	expect_udp(&f, false, true, 547, 546, 7);
	expect_udp(&f, false, true, 4444, 546, 1);
	for (unsigned i = 0; i < sizeof(server6); i++)
		expect_udp(&f, false, true, 547, 547, server6[i]);
	for (unsigned i = 0; i < sizeof(client6); i++)
		expect_udp(&f, true, true, 546, 547, client6[i]);
	expect_udp(&f, true, true, 67, 68, 2);
	cr_assert_eq(f.counters.dhcp_guard, 8 * (5 + 2 + sizeof(server6)));
	cr_assert_eq(f.counters.router_guard, 0);
	down(&f);
}

static void expect_icmp(struct fixture *f, bool pass, bool ip6, uint8_t type)
{
	const struct test_frame_spec s = {
		.protocol = ip6 ? TEST_ICMP6 : TEST_ICMP, .ip6 = ip6, .from = type, .payload = 20};

	expect_guard(f, pass, &s, NULL);
}

Test(net_guards, router_guard_drops_what_routers_say)
{
	const struct hvs_port_policy p = {HVS_PORT_POLICY_INIT, .flags = HVS_PORT_ROUTER_GUARD};
	struct test_frame_spec s = {.protocol = TEST_ICMP6, .from = 134, .payload = 20};
	struct fixture f;

	up(&f, &p);
	for (unsigned type = 0; type < 256; type++) {
		expect_icmp(&f, type != 5 && type != 9, false, (uint8_t)type);
		expect_icmp(&f, type != 134 && type != 137, true, (uint8_t)type);
	}
	cr_assert_eq(f.counters.router_guard, 8 * 4);
	/* Numbers of the other family mean nothing. */
	cr_assert(passes(&f, OUT, &s));
	s = (struct test_frame_spec){.protocol = TEST_ICMP, .ip6 = true, .from = 5, .payload = 20};
	cr_assert(passes(&f, OUT, &s));
	/* Guards don't do each other's work. */
	s = udp(false, 67, 68);
	cr_assert(passes(&f, OUT, &s));
	down(&f);
}

Test(net_guards, guards_drop_what_they_cannot_read)
{
	const struct hvs_port_policy p = {HVS_PORT_POLICY_INIT,
					  .flags = HVS_PORT_ROUTER_GUARD | HVS_PORT_DHCP_GUARD};
	struct test_frame_spec s = udp(false, 1000, 2000);
	const struct test_frame_spec tcp = {.protocol = TEST_TCP, .payload = 20};
	struct fixture f;

	up(&f, &p);
	cr_assert(passes(&f, OUT, &s));
	cr_assert_not(passes_copied(&f, OUT, frame.l4_off + 7));
	cr_assert_not(passes_copied(&f, OUT, frame.l3_off + 19));
	hvsi_put_be16(frame.b + frame.l3_off + 2, 27); /* IP ends within the UDP header */
	cr_assert_not(passes_built(&f, OUT));
	frame.b[frame.l3_off] = 0x44;
	cr_assert_not(passes_built(&f, OUT));
	s.tags = 3;
	cr_assert_not(passes(&f, OUT, &s));
	s = udp(true, 1000, 2000);
	s.exts = 9;
	memset(s.ext, 60, 9);
	cr_assert_not(passes(&f, OUT, &s));
	s.exts = 1;
	cr_assert(passes(&f, OUT, &s));
	frame.b[frame.l3_off + 41] = 200; /* an extension header longer than the frame */
	cr_assert_not(passes_built(&f, OUT));
	s = udp(false, 68, 67);
	s.payload = 50; /* a request or a reply? */
	cr_assert(passes(&f, OUT, &s));
	cr_assert_not(passes_copied(&f, OUT, frame.payload_off));
	s.payload = 0;
	cr_assert_not(passes(&f, OUT, &s));
	s.padding = 18; /* which is no part of it */
	cr_assert_not(passes(&f, OUT, &s));
	cr_assert_eq(f.counters.dhcp_guard, 10);

	s = (struct test_frame_spec){.protocol = TEST_ICMP6, .ip6 = true, .from = 128};
	cr_assert(passes(&f, OUT, &s));
	cr_assert_not(passes_copied(&f, OUT, frame.l4_off + 3));
	cr_assert_eq(f.counters.router_guard, 1);

	/* What can't be theirs need not be readable. */
	cr_assert(passes(&f, OUT, &tcp));
	cr_assert(passes_copied(&f, OUT, frame.l4_off + 7));
	test_frame_build(&frame, &(struct test_frame_spec){.protocol = TEST_ARP});
	frame.b[frame.l3_off] = 7;
	cr_assert(passes_built(&f, OUT));
	hvsi_put_be16(frame.b + 12, 0x88cc);
	cr_assert(passes_built(&f, OUT));
	down(&f);
}

/* Without the first, which is dropped, nobody can do anything with the others. */
Test(net_guards, guards_let_later_fragments_pass)
{
	const struct hvs_port_policy p = {HVS_PORT_POLICY_INIT,
					  .flags = HVS_PORT_ROUTER_GUARD | HVS_PORT_DHCP_GUARD};
	struct test_frame_spec s = udp(false, 67, 68);
	struct fixture f;

	up(&f, &p);
	s.fragment = 0x2000;
	cr_assert_not(passes(&f, OUT, &s));
	s.fragment = 1;
	cr_assert(passes(&f, OUT, &s));
	s = (struct test_frame_spec){
		.protocol = TEST_ICMP6, .ip6 = true, .from = 134, .exts = 1, .ext = {44}};
	cr_assert_not(passes(&f, OUT, &s));
	s.fragment = 8;
	cr_assert(passes(&f, OUT, &s));
	/* A first one that holds nothing but extension headers. */
	s = udp(true, 547, 546);
	s.exts = 2;
	memcpy(s.ext, "\54\74", 2);
	s.fragment = 1;
	test_frame_build(&frame, &s);
	hvsi_put_be16(frame.b + frame.l3_off + 4, 16);
	frame.len = frame.l4_off;
	cr_assert_not(passes_built(&f, OUT));
	down(&f);
}

/* ---- closed ports -------------------------------------------------------------------------------- */

static const struct hvs_port_address remediation[] = {
	{.kind = HVS_PORT_IP4, .prefix = 16, .bytes = {10, 1, 77, 77}},
	{.kind = HVS_PORT_IP4, .prefix = 32, .bytes = {192, 0, 2, 1}},
	{.kind = HVS_PORT_IP6, .prefix = 32, .bytes = {0x20, 1, 0x0d, 0xb8}},
};

static const struct hvs_port_policy closed = {HVS_PORT_POLICY_INIT, .flags = HVS_PORT_QUARANTINE,
					      .remediation_count = 3, .remediation = remediation};

/* To or from that address; the guest's is another. */
static bool talks(struct fixture *f, bool out, struct test_frame_spec s, const uint8_t remote[16])
{
	static const uint8_t local4[16] = {10, 2, 0, 1};
	static const uint8_t local6[16] = {0xfd, 1};
	const uint8_t *local = s.ip6 ? local6 : local4;

	memcpy(s.src, out ? local : remote, 16);
	memcpy(s.dst, out ? remote : local, 16);
	return passes(f, out, &s);
}

Test(net_guards, closed_ports_reach_the_remediation_network)
{
	static const uint8_t good4[][16] = {{10, 1, 0, 1}, {10, 1, 255, 255}, {192, 0, 2, 1}};
	static const uint8_t bad4[][16] = {{10, 2, 0, 2}, {192, 0, 2, 2}, {8, 8, 8, 8}};
	static const uint8_t good6[16] = {0x20, 1, 0x0d, 0xb8, 1};
	static const uint8_t bad6[16] = {0x20, 1, 0x0d, 0xb9, 1};
	struct test_frame_spec s = {.protocol = TEST_TCP};
	struct fixture f;

	up(&f, &closed);
	for (unsigned out = 0; out < 2; out++) {
		for (unsigned i = 0; i < 3; i++) {
			s = (struct test_frame_spec){.protocol = TEST_TCP};
			cr_assert(talks(&f, out, s, good4[i]));
			cr_assert_not(talks(&f, out, s, bad4[i]));
			s.ip4_options = 8;
			s.fragment = 1;
			cr_assert(talks(&f, out, s, good4[i]));
			cr_assert_not(talks(&f, out, s, bad4[i]));
		}
		s = (struct test_frame_spec){.protocol = TEST_TCP, .ip6 = true};
		cr_assert(talks(&f, out, s, good6));
		cr_assert_not(talks(&f, out, s, bad6));
	}
	cr_assert_eq(f.counters.quarantine, 14);
	/* The guest's own address does not matter. */
	s = (struct test_frame_spec){.protocol = TEST_TCP, .src = {10, 1, 0, 1}, .dst = {8, 8}};
	cr_assert_not(passes(&f, OUT, &s));
	down(&f);
}

static bool open_for(struct fixture *f, bool out, uint8_t protocol, bool ip6, uint16_t from,
		     uint16_t to)
{
	static const uint8_t elsewhere[16] = {0xff, 2, 1};
	const struct test_frame_spec s = {
		.protocol = protocol, .ip6 = ip6, .from = from, .to = to, .payload = 20};

	return talks(f, out, s, elsewhere);
}

Test(net_guards, closed_ports_can_get_an_address_and_find_neighbours)
{
	const struct test_frame_spec arp = {.protocol = TEST_ARP};
	struct test_frame_spec s;
	struct fixture f;

	up(&f, &closed);
	cr_assert(passes(&f, OUT, &arp));
	cr_assert(passes(&f, IN, &arp));
	cr_assert(open_for(&f, OUT, TEST_UDP, false, 68, 67));
	cr_assert(open_for(&f, IN, TEST_UDP, false, 67, 68));
	cr_assert(open_for(&f, OUT, TEST_UDP, true, 546, 547));
	cr_assert(open_for(&f, IN, TEST_UDP, true, 547, 546));
	cr_assert_not(open_for(&f, IN, TEST_UDP, false, 68, 67));
	cr_assert_not(open_for(&f, OUT, TEST_UDP, false, 67, 68));
	cr_assert_not(open_for(&f, OUT, TEST_UDP, false, 546, 547));
	cr_assert_not(open_for(&f, OUT, TEST_UDP, true, 68, 67));
	cr_assert_not(open_for(&f, OUT, TEST_TCP, false, 68, 67));
	for (uint16_t type = 0; type < 256; type++) {
		cr_assert_eq(open_for(&f, OUT, TEST_ICMP6, true, type, 0),
			     type == 133 || type == 135 || type == 136);
		cr_assert_eq(open_for(&f, IN, TEST_ICMP6, true, type, 0),
			     type == 134 || type == 135 || type == 136);
		cr_assert_not(open_for(&f, OUT, TEST_ICMP, false, type, 0));
		cr_assert_not(open_for(&f, OUT, TEST_ICMP6, false, type, 0));
	}
	/* Later fragments of a reply from elsewhere, and what is no IP. */
	s = udp(false, 67, 68);
	s.fragment = 1;
	cr_assert_not(passes(&f, IN, &s));
	hvsi_put_be16(frame.b + 12, 0x88cc);
	cr_assert_not(passes_built(&f, OUT));
	down(&f);
}
