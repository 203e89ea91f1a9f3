/* SPDX-License-Identifier: MIT */
#include "support/kvpguest.h"

#include "ic/kvp.h"

#include <stdio.h>
#include <string.h>

static void take_text(const uint8_t *field, char text[KVP_GUEST_TEXT])
{
	size_t i = 0;

	for (; i < KVP_GUEST_TEXT - 1 && field[2 * i]; i++)
		text[i] = (char)field[2 * i];
	text[i] = '\0';
}

static uint32_t put_text(uint8_t *field, const char *text)
{
	const size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		field[2 * i] = (uint8_t)text[i];
	return (uint32_t)len * 2 + 2;
}

/* ---- pairs ----------------------------------------------------------------------------------- */

static unsigned find(const struct kvp_guest *g, unsigned pool, const char *key)
{
	unsigned i = 0;

	while (i < g->counts[pool] && strcmp(g->pools[pool][i].key, key) != 0)
		i++;
	return i;
}

void kvp_guest_sets(struct kvp_guest *g, unsigned pool, const char *key, const char *value)
{
	const unsigned i = find(g, pool, key);

	cr_assert_lt(i, KVP_GUEST_PAIRS);
	snprintf(g->pools[pool][i].key, KVP_GUEST_TEXT, "%s", key);
	snprintf(g->pools[pool][i].value, KVP_GUEST_TEXT, "%s", value);
	g->counts[pool] += i == g->counts[pool];
}

const char *kvp_guest_has(const struct kvp_guest *g, unsigned pool, const char *key)
{
	const unsigned i = find(g, pool, key);

	return i < g->counts[pool] ? g->pools[pool][i].value : "(none)";
}

static uint32_t set_pair(struct kvp_guest *g, const struct hvsi_kvp_pair_message *p)
{
	char key[KVP_GUEST_TEXT];
	char value[KVP_GUEST_TEXT];

	take_text(p->u.value.key, key);
	take_text(p->u.value.value, value);
	kvp_guest_sets(g, p->pool, key, value);
	return HVS_IC_S_OK;
}

static uint32_t delete_pair(struct kvp_guest *g, const struct hvsi_kvp_pair_message *p)
{
	char key[KVP_GUEST_TEXT];
	unsigned i;

	take_text(p->u.delete.key, key);
	i = find(g, p->pool, key);
	if (i == g->counts[p->pool])
		return HVS_IC_E_NO_MORE_ITEMS;
	g->counts[p->pool]--;
	g->pools[p->pool][i] = g->pools[p->pool][g->counts[p->pool]];
	return HVS_IC_S_OK;
}

static uint32_t enumerate(const struct kvp_guest *g, struct hvsi_kvp_pair_message *p)
{
	const uint32_t i = hvsi_get32(p->u.item.index);
	struct hvsi_kvp_value *v = &p->u.item.value;

	if (i >= g->counts[p->pool])
		return HVS_IC_E_NO_MORE_ITEMS;
	v->type = hvsi_le32(HVSI_KVP_STRING);
	v->key_bytes = hvsi_le32(put_text(v->key, g->pools[p->pool][i].key));
	v->value_bytes = hvsi_le32(put_text(v->value, g->pools[p->pool][i].value));
	return HVS_IC_S_OK;
}

static uint32_t serve_pair(struct kvp_guest *g, struct hvsi_kvp_pair_message *p)
{
	cr_assert_leq(p->pool, HVS_KVP_AUTO_EXTERNAL);
	switch (p->op) {
	case HVSI_KVP_SET:
		return set_pair(g, p);
	case HVSI_KVP_DELETE:
		return delete_pair(g, p);
	default:
		cr_assert_eq(p->op, HVSI_KVP_ENUMERATE);
		return enumerate(g, p);
	}
}

/* ---- addresses ------------------------------------------------------------------------------- */

static bool is_adapter(const struct hvsi_kvp_ip_text *t, const char *name)
{
	char text[KVP_GUEST_TEXT];

	take_text(t->adapter, text);
	return name && strcmp(text, name) == 0;
}

static uint32_t get_ip(const struct kvp_guest *g, struct hvsi_kvp_ip_text *t)
{
	if (!is_adapter(t, g->mac))
		return HVS_IC_E_FAIL;
	t->dhcp = g->ip.dhcp;
	(void)put_text(t->addresses, g->ip.addresses);
	(void)put_text(t->subnets, g->ip.subnets);
	(void)put_text(t->gateways, g->ip.gateways);
	(void)put_text(t->dns, g->ip.dns);
	return HVS_IC_S_OK;
}

static uint32_t set_ip(struct kvp_guest *g, const struct hvsi_kvp_ip_text *t)
{
	if (!is_adapter(t, g->device))
		return HVS_IC_E_NOT_FOUND;
	g->ip.dhcp = t->dhcp;
	take_text(t->addresses, g->ip.addresses);
	take_text(t->subnets, g->ip.subnets);
	take_text(t->gateways, g->ip.gateways);
	take_text(t->dns, g->ip.dns);
	return HVS_IC_S_OK;
}

static uint32_t serve_ip(struct kvp_guest *g, uint8_t *body)
{
	struct hvsi_kvp_ip_text t;
	uint32_t status;

	memcpy(&t, body + HVSI_KVP_IP_TEXT_AT, sizeof(t));
	if (body[0] == HVSI_KVP_SET_IP)
		return set_ip(g, &t);
	status = get_ip(g, &t);
	memcpy(body + HVSI_KVP_IP_TEXT_AT, &t, sizeof(t));
	return status;
}

/* ---- all ------------------------------------------------------------------------------------- */

static uint32_t serve(struct kvp_guest *g, uint8_t *body, uint32_t len)
{
	struct hvsi_kvp_pair_message p;
	uint32_t status;

	if (g->fails)
		return HVS_IC_E_FAIL;
	if (body[0] >= HVSI_KVP_GET_IP) {
		cr_assert_eq(len, HVSI_KVP_IP_MESSAGE);
		return serve_ip(g, body);
	}
	cr_assert_eq(len, sizeof(p));
	memcpy(&p, body, sizeof(p));
	status = serve_pair(g, &p);
	memcpy(body, &p, sizeof(p));
	return status;
}

void kvp_guest_run(struct kvp_guest *g, struct ic_machine *m)
{
	struct hvs_guest_ic_message msg = {0};
	uint8_t body[HVSI_KVP_IP_MESSAGE];

	ic_run(m);
	while (hvs_guest_ic_recv(m->ch, &msg) == 1) {
		uint32_t status;

		cr_assert_eq(msg.type, HVS_IC_KVP);
		cr_assert_leq(msg.len, sizeof(body));
		memcpy(body, msg.body, msg.len);
		status = serve(g, body, msg.len);
		ic_answer(m, &msg, status, body, msg.len);
	}
}
