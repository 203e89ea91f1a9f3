/* SPDX-License-Identifier: MIT */
/* Key-value pair exchange: requests. What a message says is written when it is asked for. */
#include "ic/kvp.h"
#include "ic/service.h"

#include "util/sized.h"

#include <errno.h>

#define TIMEOUT_MS 35000u /* a little more than Linux gives its daemon */
#define MAX_POOL HVS_KVP_AUTO_INTERNAL

/* Asks for pairs. */
struct pair_request {
	struct hvsi_ic_request r;
	hvs_ic_done_fn done;
	void *arg;
	hvs_kvp_item_fn item;
	uint32_t index;    /* enumeration: of the next pair */
	uint8_t last[512]; /* enumeration: key of the last pair, as it came */
	struct hvsi_kvp_pair_message m;
};

/* Asks for, or sets, addresses. */
struct ip_request {
	struct hvsi_ic_request r;
	hvs_ic_done_fn done;
	void *arg;
	hvs_kvp_ip_fn fn;
	bool binary;
	uint8_t m[HVSI_KVP_IP_MESSAGE];
	struct hvsi_kvp_ip_found found;
};

static uint32_t timeout_of(uint32_t timeout_ms)
{
	return timeout_ms ? timeout_ms : TIMEOUT_MS;
}

/* ---- pairs ----------------------------------------------------------------------------------- */

static struct pair_request *pair_of(struct hvsi_ic_request *r)
{
	return hvsi_container_of(r, struct pair_request, r);
}

static uint32_t build_pair(struct hvs_ic *ic, struct hvsi_ic_request *r, uint8_t *body)
{
	struct pair_request *p = pair_of(r);

	(void)ic;
	if (p->m.op == HVSI_KVP_ENUMERATE)
		p->m.u.item.index = hvsi_le32(p->index);
	memcpy(body, &p->m, sizeof(p->m));
	return sizeof(p->m);
}

static void done_pair(const struct pair_request *p, int status, uint32_t guest_status)
{
	if (p->done)
		p->done(p->arg, status, guest_status);
}

static bool end_simple(struct hvs_ic *ic, struct hvsi_ic_request *r, int status,
		       uint32_t guest_status, const uint8_t *body, uint32_t len)
{
	(void)ic;
	(void)body;
	(void)len;
	done_pair(pair_of(r), status, guest_status);
	return false;
}

/* The value record of an answer: behind `at` bytes. */
static enum hvsi_kvp_read read_pair(const uint8_t *body, uint32_t len, size_t at,
				    struct hvsi_kvp_pair *pair)
{
	return len < at ? HVSI_KVP_NO_KEY : hvsi_kvp_read(body + at, len - (uint32_t)at, pair);
}

static bool end_get(struct hvs_ic *ic, struct hvsi_ic_request *r, int status, uint32_t guest_status,
		    const uint8_t *body, uint32_t len)
{
	const size_t at = offsetof(struct hvsi_kvp_pair_message, u.value);
	const struct pair_request *p = pair_of(r);
	struct hvsi_kvp_pair pair;

	if (status == 0) {
		if (read_pair(body, len, at, &pair) == HVSI_KVP_OK) {
			p->item(p->arg, pair.key, pair.value);
		} else {
			hvsi_ic_malformed(ic);
			status = -EPROTO;
		}
	}
	done_pair(p, status, guest_status);
	return false;
}

/* Some guests answer the same pair for ever. */
static bool repeated(struct pair_request *p, const uint8_t *body, uint32_t len)
{
	const size_t at = offsetof(struct hvsi_kvp_pair_message, u.item.value.key);
	uint8_t key[sizeof(p->last)] = {0};
	bool same;

	if (len > at)
		memcpy(key, body + at, len - at < sizeof(key) ? len - at : sizeof(key));
	same = p->index > 0 && memcmp(key, p->last, sizeof(key)) == 0;
	memcpy(p->last, key, sizeof(key));
	return same;
}

/* The next pair. False: it was the last one. */
static bool take_item(struct hvs_ic *ic, struct pair_request *p, const uint8_t *body, uint32_t len)
{
	const size_t at = offsetof(struct hvsi_kvp_pair_message, u.item.value);
	struct hvsi_kvp_pair pair;
	const enum hvsi_kvp_read got = read_pair(body, len, at, &pair);

	if (got == HVSI_KVP_NO_KEY || repeated(p, body, len))
		return false;
	if (got == HVSI_KVP_OK)
		p->item(p->arg, pair.key, pair.value);
	else
		hvsi_ic_malformed(ic);
	return ++p->index < HVS_KVP_MAX_ITEMS;
}

static bool end_enumerate(struct hvs_ic *ic, struct hvsi_ic_request *r, int status,
			  uint32_t guest_status, const uint8_t *body, uint32_t len)
{
	struct pair_request *p = pair_of(r);

	if (status == 0) {
		if (take_item(ic, p, body, len))
			return true;
	} else if (status == -EREMOTEIO && guest_status == HVS_IC_E_NO_MORE_ITEMS) {
		status = 0;
		guest_status = HVS_IC_S_OK;
	}
	done_pair(p, status, guest_status);
	return false;
}

/* What all requests about pairs have in common. */
struct ask {
	const struct hvsi_ic_request_ops *ops;
	enum hvsi_kvp_op op;
	enum hvs_kvp_pool pool;
	const char *key;
	const char *value;
	uint32_t timeout_ms;
	hvs_kvp_item_fn item;
};

static int ask(struct hvs_ic *ic, const struct ask *a, hvs_ic_done_fn done, void *arg)
{
	struct pair_request *p;
	int err;

	/* Linux takes the pool as an index, whatever it is. */
	if (!hvsi_ic_is(ic, HVS_IC_KVP) || (unsigned)a->pool > MAX_POOL)
		return -EINVAL;
	p = hvsi_ic_request_new(ic, sizeof(*p), a->ops, arg);
	if (!p)
		return -ENOMEM;
	err = hvsi_kvp_write(&p->m, a->op, a->pool, a->key, a->value);
	if (err) {
		hvsi_ic_request_free(ic, &p->r);
		return err;
	}
	p->done = done;
	p->arg = arg;
	p->item = a->item;
	return hvsi_ic_submit(ic, &p->r, timeout_of(a->timeout_ms));
}

static const struct hvsi_ic_request_ops simple_ops = {.build = build_pair, .end = end_simple};

int hvs_kvp_set(struct hvs_ic *ic, enum hvs_kvp_pool pool, const char *key, const char *value,
		uint32_t timeout_ms, hvs_ic_done_fn done, void *arg)
{
	const struct ask a = {.ops = &simple_ops,
			      .op = HVSI_KVP_SET,
			      .pool = pool,
			      .key = key,
			      .value = value,
			      .timeout_ms = timeout_ms};

	return key && value ? ask(ic, &a, done, arg) : -EINVAL;
}

int hvs_kvp_delete(struct hvs_ic *ic, enum hvs_kvp_pool pool, const char *key, uint32_t timeout_ms,
		   hvs_ic_done_fn done, void *arg)
{
	const struct ask a = {.ops = &simple_ops,
			      .op = HVSI_KVP_DELETE,
			      .pool = pool,
			      .key = key,
			      .timeout_ms = timeout_ms};

	return key ? ask(ic, &a, done, arg) : -EINVAL;
}

int hvs_kvp_get(struct hvs_ic *ic, enum hvs_kvp_pool pool, const char *key, uint32_t timeout_ms,
		hvs_kvp_item_fn item, hvs_ic_done_fn done, void *arg)
{
	static const struct hvsi_ic_request_ops ops = {.build = build_pair, .end = end_get};
	const struct ask a = {.ops = &ops,
			      .op = HVSI_KVP_GET,
			      .pool = pool,
			      .key = key,
			      .timeout_ms = timeout_ms,
			      .item = item};

	return key && item ? ask(ic, &a, done, arg) : -EINVAL;
}

int hvs_kvp_enumerate(struct hvs_ic *ic, enum hvs_kvp_pool pool, uint32_t timeout_ms,
		      hvs_kvp_item_fn item, hvs_ic_done_fn done, void *arg)
{
	static const struct hvsi_ic_request_ops ops = {.build = build_pair, .end = end_enumerate};
	const struct ask a = {.ops = &ops,
			      .op = HVSI_KVP_ENUMERATE,
			      .pool = pool,
			      .timeout_ms = timeout_ms,
			      .item = item};

	return item ? ask(ic, &a, done, arg) : -EINVAL;
}

/* ---- addresses ------------------------------------------------------------------------------- */

static struct ip_request *ip_of(struct hvsi_ic_request *r)
{
	return hvsi_container_of(r, struct ip_request, r);
}

static uint32_t build_ip(struct hvs_ic *ic, struct hvsi_ic_request *r, uint8_t *body)
{
	const struct ip_request *p = ip_of(r);

	(void)ic;
	memcpy(body, p->m, sizeof(p->m));
	return sizeof(p->m);
}

/* The message is done with, and takes the answer. */
static bool read_ip(struct ip_request *p, const uint8_t *body, uint32_t len)
{
	struct hvsi_kvp_ip_binary binary;
	struct hvsi_kvp_ip_text text;

	memset(p->m, 0, sizeof(p->m));
	memcpy(p->m, body, len < sizeof(p->m) ? len : sizeof(p->m));
	if (p->binary) {
		memcpy(&binary, p->m + HVSI_KVP_IP_BINARY_AT, sizeof(binary));
		return hvsi_kvp_ip_read_binary(&binary, &p->found);
	}
	memcpy(&text, p->m + HVSI_KVP_IP_TEXT_AT, sizeof(text));
	hvsi_kvp_ip_read_text(&text, &p->found);
	return true;
}

static bool end_ip(struct hvs_ic *ic, struct hvsi_ic_request *r, int status, uint32_t guest_status,
		   const uint8_t *body, uint32_t len)
{
	struct ip_request *p = ip_of(r);

	if (p->fn && status == 0) {
		if (read_ip(p, body, len)) {
			for (uint32_t i = 0; i < p->found.malformed; i++)
				hvsi_ic_malformed(ic);
			p->fn(p->arg, &p->found.ip);
		} else {
			hvsi_ic_malformed(ic);
			status = -EPROTO;
		}
	}
	if (p->done)
		p->done(p->arg, status, guest_status);
	return false;
}

static struct ip_request *new_ip(const struct hvs_ic *ic, enum hvsi_kvp_op op, hvs_ic_done_fn done,
				 void *arg)
{
	static const struct hvsi_ic_request_ops ops = {.build = build_ip, .end = end_ip};
	struct ip_request *p = hvsi_ic_request_new(ic, sizeof(*p), &ops, arg);

	if (!p)
		return NULL;
	p->done = done;
	p->arg = arg;
	p->binary = ic->version >= HVSI_IC_VERSION(5, 0);
	p->m[0] = (uint8_t)op;
	p->m[1] = HVS_KVP_GUEST; /* as Windows does; Linux does not look */
	return p;
}

int hvs_kvp_get_ip(struct hvs_ic *ic, const uint8_t mac[6], uint32_t timeout_ms, hvs_kvp_ip_fn fn,
		   hvs_ic_done_fn done, void *arg)
{
	struct ip_request *p;

	if (!hvsi_ic_is(ic, HVS_IC_KVP) || !mac || !fn)
		return -EINVAL;
	if (!hvsi_ic_ready(ic))
		return -ENOTCONN;
	p = new_ip(ic, HVSI_KVP_GET_IP, done, arg);
	if (!p)
		return -ENOMEM;
	p->fn = fn;
	hvsi_kvp_adapter_of_mac(mac, p->binary
					     ? p->m + HVSI_KVP_IP_BINARY_AT +
						       offsetof(struct hvsi_kvp_ip_binary, adapter)
					     : p->m + HVSI_KVP_IP_TEXT_AT);
	return hvsi_ic_submit(ic, &p->r, timeout_of(timeout_ms));
}

static int write_ip(struct ip_request *p, const struct hvs_guid *adapter,
		    const struct hvs_kvp_ip *ip)
{
	struct hvsi_kvp_ip_binary binary = {0};
	struct hvsi_kvp_ip_text text = {0};
	int err;

	if (p->binary) {
		hvsi_kvp_adapter_of_guid(adapter, binary.adapter);
		hvsi_kvp_ip_write_binary(&binary, ip);
		memcpy(p->m + HVSI_KVP_IP_BINARY_AT, &binary, sizeof(binary));
		return 0;
	}
	hvsi_kvp_adapter_of_guid(adapter, text.adapter);
	err = hvsi_kvp_ip_write_text(&text, ip);
	memcpy(p->m + HVSI_KVP_IP_TEXT_AT, &text, sizeof(text));
	return err;
}

int hvs_kvp_set_ip(struct hvs_ic *ic, const struct hvs_guid *instance_id,
		   const struct hvs_kvp_ip *ip_in, uint32_t timeout_ms, hvs_ic_done_fn done,
		   void *arg)
{
	struct hvs_kvp_ip ip;
	struct ip_request *p;
	int err;

	if (!hvsi_ic_is(ic, HVS_IC_KVP) || !instance_id)
		return -EINVAL;
	err = HVSI_TAKE(&ip, ip_in, dns);
	if (err)
		return err;
	if (!hvsi_kvp_ip_ok(&ip))
		return -EINVAL;
	if (!hvsi_ic_ready(ic))
		return -ENOTCONN;
	p = new_ip(ic, HVSI_KVP_SET_IP, done, arg);
	if (!p)
		return -ENOMEM;
	err = write_ip(p, instance_id, &ip);
	if (err) {
		hvsi_ic_request_free(ic, &p->r);
		return err;
	}
	return hvsi_ic_submit(ic, &p->r, timeout_of(timeout_ms));
}

static const uint32_t versions[] = {HVSI_IC_VERSION(3, 0), HVSI_IC_VERSION(4, 0),
				    HVSI_IC_VERSION(5, 0)};

const struct hvsi_ic_class hvsi_ic_kvp = {
	.kind = HVS_IC_KVP,
	.class_id = HVSI_IC_KVP_CLASS,
	.instance_id = HVSI_GUID(0x242ff919, 0x07db, 0x4180, 0x9c, 0x2e, 0xb8, 0x6c, 0xb6, 0x8c,
				 0x8c, 0x55),
	.versions = versions,
	.version_count = sizeof(versions) / sizeof(versions[0]),
	.body_max = HVSI_KVP_IP_MESSAGE,
};
