/* SPDX-License-Identifier: MIT */
/* Addresses of adapters, as text and in binary. */
#include "ic/kvp.h"
#include "util/inet.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct hvs_kvp_address v4(const char *text, uint8_t prefix)
{
	struct hvs_kvp_address a = {.prefix = prefix};

	cr_assert(hvsi_inet4_parse(text, strlen(text), a.bytes));
	return a;
}

static struct hvs_kvp_address v6(const char *text, uint8_t prefix)
{
	struct hvs_kvp_address a = {.ipv6 = true, .prefix = prefix};

	cr_assert(hvsi_inet6_parse(text, strlen(text), a.bytes));
	return a;
}

static void put(uint8_t *field, const char *text)
{
	for (; *text; text++, field += 2)
		*field = (uint8_t)*text;
}

static void get(const uint8_t *field, size_t bytes, char *text)
{
	for (size_t i = 0; i < bytes; i += 2)
		*text++ = (char)field[i];
}

static void same(const struct hvs_kvp_address *a, const struct hvs_kvp_address *b)
{
	cr_expect_eq(a->ipv6, b->ipv6);
	cr_expect_eq(a->prefix, b->prefix, "%u, %u", a->prefix, b->prefix);
	cr_expect_arr_eq(a->bytes, b->bytes, a->ipv6 ? 16 : 4);
}

Test(kvp_ip, adapters_are_named_as_linux_compares_them)
{
	static const uint8_t mac[] = {0x00, 0x15, 0x5d, 0xab, 0xcd, 0x0f};
	static const struct hvs_guid id = {{0x04, 0x03, 0x02, 0x01, 0x06, 0x05, 0x08, 0x07, 0x09,
					    0x0a, 0xab, 0xcd, 0xef, 0x0e, 0x0f, 0x10}};
	uint8_t adapter[HVSI_KVP_ADAPTER_BYTES] = {0};
	char text[HVSI_KVP_ADAPTER_BYTES];

	hvsi_kvp_adapter_of_mac(mac, adapter);
	get(adapter, sizeof(adapter), text);
	cr_assert_str_eq(text, "00:15:5D:AB:CD:0F");
	hvsi_kvp_adapter_of_guid(&id, adapter);
	get(adapter, sizeof(adapter), text);
	cr_assert_str_eq(text, "{01020304-0506-0708-090a-abcdef0e0f10}");
}

Test(kvp_ip, text_as_linux_wants_to_be_given_it)
{
	const struct hvs_kvp_address addresses[] = {v4("192.0.2.5", 24), v6("2001:db8::5", 64),
						    v4("10.1.2.3", 0), v4("10.1.2.4", 32)};
	const struct hvs_kvp_address gateways[] = {v4("192.0.2.1", 0), v6("fe80::1", 0)};
	const struct hvs_kvp_address dns[] = {v6("2001:db8::53", 0), v4("192.0.2.53", 0)};
	const struct hvs_kvp_ip ip = {HVS_KVP_IP_INIT,      .dhcp = true,   .address_count = 4,
				      .gateway_count = 2,   .dns_count = 2, .addresses = addresses,
				      .gateways = gateways, .dns = dns};
	struct hvsi_kvp_ip_text t = {0};
	char text[1024];

	cr_assert(hvsi_kvp_ip_ok(&ip));
	cr_assert_eq(hvsi_kvp_ip_write_text(&t, &ip), 0);
	cr_assert_eq(t.family, 3);
	cr_assert_eq(t.dhcp, 1);
	get(t.addresses, sizeof(t.addresses), text);
	cr_assert_str_eq(text, "192.0.2.5;2001:db8::5;10.1.2.3;10.1.2.4");
	get(t.subnets, sizeof(t.subnets), text);
	cr_assert_str_eq(text, "255.255.255.0;64;0.0.0.0;255.255.255.255");
	get(t.gateways, sizeof(t.gateways), text);
	cr_assert_str_eq(text, "192.0.2.1;fe80::1");
	get(t.dns, sizeof(t.dns), text);
	cr_assert_str_eq(text, "2001:db8::53;192.0.2.53");
}

Test(kvp_ip, text_as_linux_answers_it)
{
	const struct hvs_kvp_address addresses[] = {v4("192.0.2.5", 24), v6("2001:db8::5", 64),
						    v6("fe80::5", 64)};
	const struct hvs_kvp_address gateway = v4("192.0.2.1", 0);
	struct hvsi_kvp_ip_text t = {.dhcp = 1};
	struct hvsi_kvp_ip_found f;

	put(t.addresses, "192.0.2.5;2001:db8::5;fe80::5%eth0");
	put(t.subnets, "255.255.255.0;/64;/64");
	put(t.gateways, "192.0.2.1;");
	put(t.dns, "192.0.2.53;2001:db8::53;");
	hvsi_kvp_ip_read_text(&t, &f);
	cr_assert_eq(f.malformed, 0);
	cr_assert(f.ip.dhcp);
	cr_assert_eq(f.ip.address_count, 3);
	for (unsigned i = 0; i < 3; i++)
		same(&f.ip.addresses[i], &addresses[i]);
	cr_assert_eq(f.ip.gateway_count, 1);
	same(&f.ip.gateways[0], &gateway);
	cr_assert_eq(f.ip.dns_count, 2);
}

Test(kvp_ip, text_that_makes_no_sense_is_left_out_and_counted)
{
	static const struct {
		const char *addresses;
		const char *subnets;
		uint32_t count;
		uint32_t malformed;
		uint8_t prefix; /* of the first */
	} table[] = {
		{"", "", 0, 0, 0},
		{";;;", "255.0.0.0", 0, 0, 0},
		{"nonsense;1.2.3.4", "/64;255.255.0.0", 1, 1, 16},
		{"1.2.3.4", "", 1, 1, 0},
		{"1.2.3.4", "255.0.255.0", 1, 1, 0},
		{"1.2.3.4", "24", 1, 0, 24},
		{"1.2.3.4", "33", 1, 1, 0},
		{"::1", "/128", 1, 0, 128},
		{"::1", "/129", 1, 1, 0},
		{"::1", "/4294967360", 1, 1, 0},
		{"::1", "/", 1, 1, 0},
		{"::1", "6x", 1, 1, 0},
		{"1.2.3.4;5.6.7.8", ";255.0.0.0", 2, 1, 0},
		{"%;%eth0;::%", "", 1, 3, 0},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct hvsi_kvp_ip_text t = {0};
		struct hvsi_kvp_ip_found f;

		put(t.addresses, table[i].addresses);
		put(t.subnets, table[i].subnets);
		hvsi_kvp_ip_read_text(&t, &f);
		cr_expect_eq(f.ip.address_count, table[i].count, "row %zu", i);
		cr_expect_eq(f.malformed, table[i].malformed, "row %zu: %u", i, f.malformed);
		if (f.ip.address_count)
			cr_expect_eq(f.ip.addresses[0].prefix, table[i].prefix, "row %zu", i);
	}
}

Test(kvp_ip, rule_12_text_without_an_end_stays_in_its_field)
{
	struct hvsi_kvp_ip_text t;
	struct hvsi_kvp_ip_found f;

	memset(&t, ':', sizeof(t));
	hvsi_kvp_ip_read_text(&t, &f);
	cr_assert_eq(f.ip.address_count + f.ip.gateway_count + f.ip.dns_count, 0);
	for (size_t i = 0; i < sizeof(t.addresses); i += 8)
		memcpy(t.addresses + i, ":\0:\0;\0;\0", 8);
	for (size_t i = 0; i < sizeof(t.gateways); i += 8)
		memcpy(t.gateways + i, ":\0:\0;\0;\0", 8);
	hvsi_kvp_ip_read_text(&t, &f);
	cr_assert_eq(f.ip.address_count, HVS_KVP_MAX_ADDRESSES);
	cr_assert_eq(f.ip.gateway_count, HVS_KVP_MAX_GATEWAYS);
}

Test(kvp_ip, text_that_does_not_fit_is_refused)
{
	struct hvs_kvp_address many[HVS_KVP_MAX_ADDRESSES];
	const struct hvs_kvp_ip ip = {HVS_KVP_IP_INIT, .address_count = HVS_KVP_MAX_ADDRESSES,
				      .addresses = many};
	struct hvsi_kvp_ip_text t = {0};

	for (unsigned i = 0; i < HVS_KVP_MAX_ADDRESSES; i++)
		many[i] = v6("1111:2222:3333:4444:5555:6666:7777:8888", 64);
	cr_assert(hvsi_kvp_ip_ok(&ip));
	cr_assert_eq(hvsi_kvp_ip_write_text(&t, &ip), -EMSGSIZE);
	cr_assert_eq(t.addresses[2046] | t.addresses[2047], 0, "the NUL");
}

Test(kvp_ip, binary_and_back)
{
	const struct hvs_kvp_address addresses[] = {v6("2001:db8::5", 64), v4("192.0.2.5", 24),
						    v4("10.1.2.3", 32)};
	struct hvs_kvp_address in[3];
	const struct hvs_kvp_address gateways[] = {v4("192.0.2.1", 0), v6("fe80::1", 0)};
	const struct hvs_kvp_ip ip = {HVS_KVP_IP_INIT, .address_count = 3, .gateway_count = 2,
				      .dns_count = 2,  .addresses = in,    .gateways = gateways,
				      .dns = gateways};
	struct hvsi_kvp_ip_binary b = {0};
	struct hvsi_kvp_ip_found f;

	memcpy(in, addresses, sizeof(in));
	in[0].origin = HVS_KVP_ORIGIN_OTHER;
	in[1].origin = HVS_KVP_ORIGIN_STATIC;
	hvsi_kvp_ip_write_binary(&b, &ip);
	cr_assert_eq(b.family, 3);
	cr_assert_eq(hvsi_get32(b.addresses.ipv4), 2);
	cr_assert_eq(hvsi_get32(b.addresses.ipv6), 1);
	cr_assert_arr_eq(b.ipv4[0], "\xc0\0\2\5", 4);
	cr_assert_arr_eq(b.masks[0], "\xff\xff\xff\0", 4);
	cr_assert_eq(hvsi_get32(b.prefixes[0]), 64);
	cr_assert_eq(hvsi_get16(b.origins[0]), HVS_KVP_ORIGIN_STATIC);
	cr_assert_eq(hvsi_get16(b.origins[2]), HVS_KVP_ORIGIN_OTHER, "IPv6 follows without a gap");
	cr_assert(hvsi_kvp_ip_read_binary(&b, &f));
	cr_assert_eq(f.malformed, 0);
	cr_assert_eq(f.ip.address_count, 3);
	same(&f.ip.addresses[0], &in[1]);
	same(&f.ip.addresses[1], &in[2]);
	same(&f.ip.addresses[2], &in[0]);
	cr_assert_eq(f.ip.addresses[2].origin, HVS_KVP_ORIGIN_OTHER);
	cr_assert_eq(f.ip.gateway_count, 2);
	cr_assert_eq(f.ip.dns_count, 2);
}

Test(kvp_ip, rule_12_binary_counts_are_bounded)
{
	static const uint32_t most[] = {64, 64, 5, 5, 64, 64};

	for (unsigned i = 0; i < 6; i++) {
		struct hvsi_kvp_ip_binary b = {0};
		struct hvsi_kvp_ip_found f;
		struct hvs_le32 *counts = (struct hvs_le32 *)(void *)&b;

		for (unsigned n = 0; n < 6; n++)
			counts[n] = hvsi_le32(most[n]);
		cr_assert(hvsi_kvp_ip_read_binary(&b, &f));
		cr_assert_eq(f.ip.address_count, 128);
		cr_assert_eq(f.ip.gateway_count, 10);
		counts[i] = hvsi_le32(most[i] + 1);
		cr_assert_not(hvsi_kvp_ip_read_binary(&b, &f));
		counts[i] = hvsi_le32(UINT32_MAX);
		cr_assert_not(hvsi_kvp_ip_read_binary(&b, &f));
	}
}

Test(kvp_ip, binary_networks_that_make_no_sense_are_counted)
{
	struct hvsi_kvp_ip_binary b = {.addresses = {hvsi_le32(2), hvsi_le32(1)}};
	struct hvsi_kvp_ip_found f;

	memcpy(b.masks[0], "\xff\0\xff\0", 4);
	memcpy(b.masks[1], "\xff\0\0\0", 4);
	b.prefixes[0] = hvsi_le32(129);
	b.origins[1] = hvsi_le16(3);
	cr_assert(hvsi_kvp_ip_read_binary(&b, &f));
	cr_assert_eq(f.malformed, 3);
	cr_assert_eq(f.ip.addresses[0].prefix, 0);
	cr_assert_eq(f.ip.addresses[1].prefix, 8);
	cr_assert_eq(f.ip.addresses[1].origin, HVS_KVP_ORIGIN_UNKNOWN);
	cr_assert_eq(f.ip.addresses[2].prefix, 0);
}

Test(kvp_ip, what_can_be_asked_for)
{
	struct hvs_kvp_address a[2 * HVS_KVP_MAX_ADDRESSES + 1] = {{0}};
	struct hvs_kvp_ip ip = {HVS_KVP_IP_INIT, .address_count = 1, .addresses = a};

	cr_assert(hvsi_kvp_ip_ok(&ip));
	a[0].prefix = 33;
	cr_assert_not(hvsi_kvp_ip_ok(&ip));
	a[0].ipv6 = true;
	cr_assert(hvsi_kvp_ip_ok(&ip));
	a[0].prefix = 129;
	cr_assert_not(hvsi_kvp_ip_ok(&ip));
	a[0] = (struct hvs_kvp_address){.origin = 3};
	cr_assert_not(hvsi_kvp_ip_ok(&ip));
	a[0].origin = 0;
	ip.address_count = 65; /* of one family */
	cr_assert_not(hvsi_kvp_ip_ok(&ip));
	ip.address_count = 128;
	for (unsigned i = 0; i < 64; i++)
		a[i].ipv6 = true;
	cr_assert(hvsi_kvp_ip_ok(&ip));
	ip.address_count = UINT32_MAX;
	cr_assert_not(hvsi_kvp_ip_ok(&ip));
	ip.address_count = 0;
	ip.gateway_count = 1;
	cr_assert_not(hvsi_kvp_ip_ok(&ip));
	ip.gateways = a;
	ip.gateway_count = 6;
	cr_assert_not(hvsi_kvp_ip_ok(&ip));
}
