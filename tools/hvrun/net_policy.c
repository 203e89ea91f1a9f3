/* SPDX-License-Identifier: MIT */
#include "net_policy.h"

#include "net_option.h"

#include <arpa/inet.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_VLAN 4094

struct parser {
	struct hvs_port_policy *policy;
	struct hvs_port_rule *rules;
	struct hvs_port_address *remediation;
	char *why;
	unsigned why_len;
};

static bool wrong(const struct parser *p, const char *what)
{
	snprintf(p->why, p->why_len, "policy: %s", what);
	return false;
}

/* ---- values ------------------------------------------------------------------------------- */

static bool number(struct json_object *json, uint64_t max, uint64_t *n)
{
	int64_t value;

	if (!json_object_is_type(json, json_type_int))
		return false;
	value = json_object_get_int64(json);
	*n = (uint64_t)value;
	return value >= 0 && *n <= max;
}

/* One of the names, which end with NULL; -1: none of them. */
static int one_of(struct json_object *json, const char *const *names)
{
	if (!json_object_is_type(json, json_type_string))
		return -1;
	for (int i = 0; names[i]; i++)
		if (strcmp(json_object_get_string(json), names[i]) == 0)
			return i;
	return -1;
}

/* "any", aa:bb:cc:dd:ee:ff, or an IP address, maybe with the length of a prefix behind it. */
static bool address(struct json_object *json, struct hvs_port_address *out)
{
	char text[64];
	char *slash;
	char *end;
	unsigned long prefix = 0;

	*out = (struct hvs_port_address){.kind = HVS_PORT_ANY};
	if (!json)
		return true;
	if (!json_object_is_type(json, json_type_string) ||
	    strlen(json_object_get_string(json)) >= sizeof(text))
		return false;
	memcpy(text, json_object_get_string(json), strlen(json_object_get_string(json)) + 1);
	if (strcmp(text, "any") == 0)
		return true;
	if (net_mac_parse(text, out->bytes)) {
		out->kind = HVS_PORT_MAC;
		return true;
	}
	slash = strchr(text, '/');
	if (slash) {
		*slash = '\0';
		prefix = strtoul(slash + 1, &end, 10);
		if (!slash[1] || strspn(slash + 1, "0123456789") != strlen(slash + 1))
			return false;
	}
	if (inet_pton(AF_INET, text, out->bytes) == 1)
		out->kind = HVS_PORT_IP4;
	else if (inet_pton(AF_INET6, text, out->bytes) == 1)
		out->kind = HVS_PORT_IP6;
	else
		return false;
	if (!slash)
		prefix = out->kind == HVS_PORT_IP4 ? 32 : 128;
	out->prefix = (uint8_t)prefix;
	return prefix <= (out->kind == HVS_PORT_IP4 ? 32 : 128);
}

/* ---- members ------------------------------------------------------------------------------ */

static bool add_to_trunk(struct parser *p, struct json_object *vlan)
{
	uint64_t n;

	if (!number(vlan, MAX_VLAN, &n) || n == 0)
		return false;
	p->policy->trunk[n / 64] |= UINT64_C(1) << n % 64;
	return true;
}

/* A number: access. An array: trunk. */
static bool vlan(struct parser *p, struct json_object *json)
{
	uint64_t n;

	if (json_object_is_type(json, json_type_array)) {
		p->policy->vlan = HVS_PORT_VLAN_TRUNK;
		for (size_t i = 0; i < json_object_array_length(json); i++)
			if (!add_to_trunk(p, json_object_array_get_idx(json, i)))
				return wrong(p, "'vlan' has numbers from 1 to 4094");
		return true;
	}
	if (!number(json, MAX_VLAN, &n) || n == 0)
		return wrong(p, "'vlan' is a number from 1 to 4094, or an array of them");
	p->policy->vlan = HVS_PORT_VLAN_ACCESS;
	p->policy->vlan_id = (uint16_t)n;
	return true;
}

static bool native_vlan(struct parser *p, struct json_object *json)
{
	uint64_t n;

	if (!number(json, MAX_VLAN, &n) || n == 0 || p->policy->vlan != HVS_PORT_VLAN_TRUNK)
		return wrong(p, "'native-vlan' is a number, behind a 'vlan' that is an array");
	p->policy->vlan_id = (uint16_t)n;
	return true;
}

static bool bits_per_second(struct parser *p, struct json_object *json)
{
	return number(json, INT64_MAX, &p->policy->max_bits_per_second) ||
	       wrong(p, "'max-bits-per-second' is a number");
}

static bool storm_frames(struct parser *p, struct json_object *json)
{
	uint64_t n;

	if (!number(json, UINT32_MAX, &n))
		return wrong(p, "'max-storm-frames' is a number");
	p->policy->max_storm_frames = (uint32_t)n;
	return true;
}

static bool rule(struct hvs_port_rule *r, struct json_object *json)
{
	static const char *const actions[] = {"allow", "deny", "meter", NULL};
	static const char *const directions[] = {"in", "out", "both", NULL};
	struct json_object *local = NULL;
	struct json_object *remote = NULL;
	int action = -1;
	int direction = HVS_PORT_BOTH - HVS_PORT_IN;

	if (!json_object_is_type(json, json_type_object))
		return false;
	json_object_object_foreach(json, key, value)
	{
		if (strcmp(key, "action") == 0)
			action = one_of(value, actions);
		else if (strcmp(key, "direction") == 0)
			direction = one_of(value, directions);
		else if (strcmp(key, "local") == 0)
			local = value;
		else if (strcmp(key, "remote") == 0)
			remote = value;
		else
			return false;
	}
	r->action = (uint8_t)(HVS_PORT_ALLOW + action);
	r->direction = (uint8_t)(HVS_PORT_IN + direction);
	return action >= 0 && direction >= 0 && address(local, &r->local) &&
	       address(remote, &r->remote);
}

static bool rules(struct parser *p, struct json_object *json)
{
	size_t count = json_object_is_type(json, json_type_array) ? json_object_array_length(json)
								  : SIZE_MAX;

	if (count > HVS_PORT_MAX_RULES || p->rules)
		return wrong(p, "'rules' is an array of up to 1024");
	p->rules = calloc(count ? count : 1, sizeof(*p->rules));
	if (!p->rules)
		return wrong(p, "out of memory");
	p->policy->rules = p->rules;
	p->policy->rule_count = (uint32_t)count;
	for (size_t i = 0; i < count; i++)
		if (!rule(&p->rules[i], json_object_array_get_idx(json, i)))
			return wrong(p, "a rule has 'action' (allow, deny, meter) and maybe "
					"'direction' (in, out, both), 'local' and 'remote' "
					"(addresses)");
	return true;
}

static bool quarantine(struct parser *p, struct json_object *json)
{
	size_t count = json_object_is_type(json, json_type_array) ? json_object_array_length(json)
								  : SIZE_MAX;

	if (count > HVS_PORT_MAX_RULES || p->remediation)
		return wrong(p, "'quarantine' is an array of up to 1024 addresses");
	p->remediation = calloc(count ? count : 1, sizeof(*p->remediation));
	if (!p->remediation)
		return wrong(p, "out of memory");
	p->policy->remediation = p->remediation;
	p->policy->remediation_count = (uint32_t)count;
	p->policy->flags |= HVS_PORT_QUARANTINE;
	for (size_t i = 0; i < count; i++)
		if (!address(json_object_array_get_idx(json, i), &p->remediation[i]) ||
		    p->remediation[i].kind < HVS_PORT_IP4)
			return wrong(p, "'quarantine' has IP addresses");
	return true;
}

/* ---- the whole ---------------------------------------------------------------------------- */

/* False, with nothing in why: it is not a flag. */
static bool flag(struct parser *p, const char *key, struct json_object *json)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} flags[] = {{"mac-spoofing", HVS_PORT_MAC_SPOOFING},
		     {"dhcp-guard", HVS_PORT_DHCP_GUARD},
		     {"router-guard", HVS_PORT_ROUTER_GUARD},
		     {"priority-tag", HVS_PORT_PRIORITY_TAG}};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (strcmp(key, flags[i].name) == 0 &&
		    json_object_is_type(json, json_type_boolean)) {
			if (json_object_get_boolean(json))
				p->policy->flags |= flags[i].flag;
			return true;
		}
	return false;
}

static bool member(struct parser *p, const char *key, struct json_object *json)
{
	static const struct {
		const char *name;
		bool (*parse)(struct parser *p, struct json_object *json);
	} members[] = {{"vlan", vlan},
		       {"native-vlan", native_vlan},
		       {"max-bits-per-second", bits_per_second},
		       {"max-storm-frames", storm_frames},
		       {"rules", rules},
		       {"quarantine", quarantine}};

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (strcmp(key, members[i].name) == 0)
			return members[i].parse(p, json);
	if (flag(p, key, json))
		return true;
	snprintf(p->why, p->why_len, "policy: '%.60s' is not known, or neither true nor false",
		 key);
	return false;
}

bool net_policy_parse(struct json_object *json, struct hvs_port_policy *out, char *why,
		      unsigned why_len)
{
	struct parser p = {.policy = out, .why = why, .why_len = why_len};

	*out = (struct hvs_port_policy){HVS_PORT_POLICY_INIT};
	if (!json)
		return true;
	if (!json_object_is_type(json, json_type_object))
		return wrong(&p, "a JSON object is needed");
	json_object_object_foreach(json, key, value) if (!member(&p, key, value)) return false;
	return true;
}

void net_policy_free(struct hvs_port_policy *policy)
{
	free((void *)policy->rules);
	free((void *)policy->remediation);
}
