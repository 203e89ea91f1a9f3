/* SPDX-License-Identifier: MIT */
/* What a guest may answer about its pairs and its addresses, in all versions. */
#include "fuzz_ic_common.h"

#include <string.h>

static const uint32_t versions[] = {0x50000, 0x40000, 0x30000, 0x10000};

static void configure(struct hvs_ic_config *cfg, uint8_t how)
{
	static const uint32_t newest[] = {0, 0x30000, 0x40000, 0};

	cfg->max_version = newest[how & 3];
}

static void take_item(void *arg, const char *key, const char *value)
{
	(void)arg;
	CHECK(key[0] && strlen(key) < HVS_KVP_TEXT_MAX && strlen(value) < HVS_KVP_TEXT_MAX);
}

static void take_ip(void *arg, const struct hvs_kvp_ip *ip)
{
	(void)arg;
	CHECK(ip->address_count <= 2 * HVS_KVP_MAX_ADDRESSES);
	CHECK(ip->gateway_count <= 2 * HVS_KVP_MAX_GATEWAYS);
	CHECK(ip->dns_count <= 2 * HVS_KVP_MAX_ADDRESSES);
	for (uint32_t i = 0; i < ip->address_count; i++)
		CHECK(ip->addresses[i].prefix <= (ip->addresses[i].ipv6 ? 128 : 32) &&
		      ip->addresses[i].origin <= HVS_KVP_ORIGIN_STATIC);
}

static int set_ip(struct fuzz_ic *f, struct input *in)
{
	static const struct hvs_guid id;
	struct hvs_kvp_address a[8];
	struct hvs_kvp_ip ip = {HVS_KVP_IP_INIT, .addresses = a, .gateways = a, .dns = a};

	memset(a, 0, sizeof(a));
	for (unsigned i = 0; i < 8; i++) {
		a[i].ipv6 = input_number(in, 1) & 1;
		a[i].prefix = (uint8_t)input_number(in, 1);
		(void)input_bytes(in, a[i].bytes, sizeof(a[i].bytes));
	}
	ip.address_count = (uint32_t)(input_number(in, 1) % 9);
	ip.gateway_count = (uint32_t)(input_number(in, 1) % 9);
	ip.dns_count = (uint32_t)(input_number(in, 1) % 9);
	return hvs_kvp_set_ip(f->ic, &id, &ip, 0, fuzz_ic_done, f);
}

static int ask(struct fuzz_ic *f, struct input *in)
{
	static const uint8_t mac[6] = {0, 0x15, 0x5d, 1, 2, 3};
	const uint8_t what = (uint8_t)input_number(in, 1);
	const enum hvs_kvp_pool pool = (enum hvs_kvp_pool)(input_number(in, 1) % 6);
	const uint32_t timeout_ms = (uint32_t)input_number(in, 1) * 10;
	char text[64];

	text[input_bytes(in, text, what & 0x80 ? sizeof(text) - 1 : 1)] = 0;
	switch (what % 6) {
	case 0:
		return hvs_kvp_set(f->ic, pool, text, text, timeout_ms, fuzz_ic_done, f);
	case 1:
		return hvs_kvp_delete(f->ic, pool, text, timeout_ms, fuzz_ic_done, f);
	case 2:
		return hvs_kvp_get(f->ic, pool, text, timeout_ms, take_item, fuzz_ic_done, f);
	case 3:
		return hvs_kvp_enumerate(f->ic, pool, timeout_ms, take_item, fuzz_ic_done, f);
	case 4:
		return hvs_kvp_get_ip(f->ic, mac, timeout_ms, take_ip, fuzz_ic_done, f);
	default:
		return set_ip(f, in);
	}
}

/* Texts where a guest puts them, of the input's making. */
static uint32_t answer(struct fuzz_ic *f, struct input *in, uint8_t *body, uint32_t len)
{
	const uint32_t at = body[0] == 3 ? 8 : 4; /* an enumeration has an index in front */
	uint32_t i = 0;

	(void)f;
	if (body[0] <= 3) {
		body[at] = (uint8_t)input_number(in, 1) % 12;
		body[at + 4] = 4;
		body[at + 8] = (uint8_t)(input_number(in, 1) % 16);
		body[at + 12] = (uint8_t)input_number(in, 1);
		(void)input_bytes(in, body + at + 12 + 512, 8);
	} else if (f->msg.service_version < 0x50000) {
		for (uint8_t c; i < 64 && (c = (uint8_t)input_number(in, 1)) != 0; i++) {
			body[2 + 258 + 2 * i] = c;
			body[2 + 2306 + 2 * i] = (uint8_t)input_number(in, 1);
			body[2 + 4354 + 2 * i] = c;
		}
	} else {
		for (; i < 6; i++)
			body[4 + 4 * i] = (uint8_t)(input_number(in, 1) % 66);
		(void)input_bytes(in, body + 4 + 1564, 256);
	}
	return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_ic_service service = {
		.kind = HVS_IC_KVP,
		.versions = versions,
		.version_count = sizeof(versions) / sizeof(versions[0]),
		.configure = configure,
		.ask = ask,
		.answer = answer,
	};

	return fuzz_ic_run(&service, data, size);
}
