/* SPDX-License-Identifier: MIT */
/* Addresses of the guest's adapters. */
#include "host/manager_impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <hvstack/kvp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Counts are checked by the library; here only what fits in memory. */
#define MAX_TEXTS (2 * HVS_KVP_MAX_ADDRESSES)

/* ---- to text ----------------------------------------------------------------------------------- */

static struct json_object *to_array(const struct hvs_kvp_address *addresses, uint32_t count,
				    bool prefix)
{
	struct json_object *array = json_object_new_array();
	char text[INET6_ADDRSTRLEN + 8];

	for (uint32_t i = 0; i < count; i++) {
		const struct hvs_kvp_address *a = &addresses[i];

		if (!inet_ntop(a->ipv6 ? AF_INET6 : AF_INET, a->bytes, text, INET6_ADDRSTRLEN))
			continue;
		if (prefix)
			(void)snprintf(text + strlen(text), 8, "/%u", a->prefix);
		hvsi_json_append(array, json_object_new_string(text));
	}
	return array;
}

static void on_ip(void *arg, const struct hvs_kvp_ip *ip)
{
	struct hvs_call *call = arg;
	struct json_object *result = json_object_new_object();

	hvsi_json_bool(result, "dhcp", ip->dhcp);
	hvsi_json_add(result, "addresses", to_array(ip->addresses, ip->address_count, true));
	hvsi_json_add(result, "gateways", to_array(ip->gateways, ip->gateway_count, false));
	hvsi_json_add(result, "dns", to_array(ip->dns, ip->dns_count, false));
	json_object_put(call->result);
	call->result = result;
}

/* ---- from text --------------------------------------------------------------------------------- */

static bool parse_prefix(const char *text, uint8_t max, uint8_t *prefix)
{
	unsigned n = 0;

	if (!*text || strlen(text) > 3)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		n = n * 10 + (unsigned)(*text - '0');
	}
	*prefix = (uint8_t)n;
	return n <= max;
}

static bool parse_address(const char *text, bool prefix, struct hvs_kvp_address *a)
{
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	char copy[INET6_ADDRSTRLEN];

	if (len >= sizeof(copy) || (slash != NULL) != prefix)
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	*a = (struct hvs_kvp_address){.ipv6 = strchr(copy, ':') != NULL,
				      .origin = HVS_KVP_ORIGIN_STATIC};
	if (inet_pton(a->ipv6 ? AF_INET6 : AF_INET, copy, a->bytes) != 1)
		return false;
	return !prefix || parse_prefix(slash + 1, a->ipv6 ? 128 : 32, &a->prefix);
}

struct addresses {
	uint32_t count;
	struct hvs_kvp_address at[MAX_TEXTS];
};

static bool get_addresses(struct hvs_call *call, const char *name, bool prefix,
			  struct addresses *out)
{
	struct json_object *array;
	size_t count;

	out->count = 0;
	if (!json_object_object_get_ex(call->params, name, &array))
		return true;
	count = json_object_is_type(array, json_type_array) ? json_object_array_length(array)
							    : MAX_TEXTS + 1;
	if (count > MAX_TEXTS) {
		hvs_call_fail(call, HVS_CALL_INVALID_PARAMS,
			      "'%s' is an array of up to %u addresses", name, MAX_TEXTS);
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		const char *text = hvsi_json_text(json_object_array_get_idx(array, i));

		if (!text || !parse_address(text, prefix, &out->at[i])) {
			hvs_call_fail(call, HVS_CALL_INVALID_PARAMS,
				      "'%s' has texts like \"%s\", or of IPv6", name,
				      prefix ? "192.0.2.7/24" : "192.0.2.7");
			return false;
		}
	}
	out->count = (uint32_t)count;
	return true;
}

static bool parse_mac(const char *text, uint8_t mac[6])
{
	unsigned b[6];
	char end;

	if (strlen(text) != 17 || sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2],
					 &b[3], &b[4], &b[5], &end) != 6)
		return false;
	for (unsigned i = 0; i < 6; i++)
		mac[i] = (uint8_t)b[i];
	return true;
}

/* ---- methods ----------------------------------------------------------------------------------- */

static bool find_net(struct hvs_call *call, const char *id, uint8_t mac[6],
		     struct hvs_guid *instance_id)
{
	const struct hvs_manager *m = call->m;

	if (m->machine.find_net && m->machine.find_net(m->machine_arg, id, mac, instance_id))
		return true;
	hvs_call_fail(call, HVS_CALL_NOT_FOUND, "there is no adapter '%s'", id);
	return false;
}

static bool get_mac(struct hvs_call *call, uint8_t mac[6])
{
	struct hvs_guid instance_id;
	const char *net = NULL;
	const char *text = NULL;

	if (!hvs_call_string(call, "net", false, &net) ||
	    !hvs_call_string(call, "mac", false, &text))
		return false;
	if (!net == !text) {
		hvs_call_fail(call, HVS_CALL_INVALID_PARAMS, "give one of 'net' and 'mac'");
		return false;
	}
	if (net)
		return find_net(call, net, mac, &instance_id);
	if (parse_mac(text, mac))
		return true;
	hvs_call_fail(call, HVS_CALL_INVALID_PARAMS, "'mac' is a text like 00:15:5d:01:02:03");
	return false;
}

static void on_got(void *arg, int status, uint32_t guest_status)
{
	struct hvs_call *call = arg;

	if (status == 0 && !call->result)
		hvs_call_fail(call, HVS_CALL_FAILED, "%s: the guest's answer makes no sense",
			      call->what);
	else
		hvsi_call_ic_done(call, status, guest_status);
}

static void run_get(void *arg, struct hvs_call *call)
{
	static const char *const names[] = {"net", "mac", "timeout_ms", NULL};
	uint32_t timeout_ms;
	struct hvs_ic *ic;
	uint8_t mac[6];

	(void)arg;
	if (!hvs_call_only(call, names) || !hvsi_call_timeout(call, &timeout_ms) ||
	    !get_mac(call, mac))
		return;
	ic = hvsi_call_ic(call, HVS_IC_KVP);
	if (ic)
		(void)hvsi_call_waits(call, ic, "ask for addresses",
				      hvs_kvp_get_ip(ic, mac, timeout_ms, on_ip, on_got, call));
}

struct ip_request {
	struct addresses addresses;
	struct addresses gateways;
	struct addresses dns;
	uint8_t mac[6];
	struct hvs_guid instance_id;
	bool dhcp;
	uint32_t timeout_ms;
};

static bool get_request(struct hvs_call *call, struct ip_request *r)
{
	static const char *const names[] = {"net", "dhcp",       "addresses", "gateways",
					    "dns", "timeout_ms", NULL};
	const char *net;

	return hvs_call_only(call, names) && hvs_call_string(call, "net", true, &net) &&
	       hvs_call_bool(call, "dhcp", false, &r->dhcp) &&
	       hvsi_call_timeout(call, &r->timeout_ms) &&
	       get_addresses(call, "addresses", true, &r->addresses) &&
	       get_addresses(call, "gateways", false, &r->gateways) &&
	       get_addresses(call, "dns", false, &r->dns) &&
	       find_net(call, net, r->mac, &r->instance_id);
}

static void run_set(void *arg, struct hvs_call *call)
{
	struct ip_request r = {.dhcp = false};
	struct hvs_kvp_ip ip = {HVS_KVP_IP_INIT};
	struct hvs_ic *ic;

	(void)arg;
	if (!get_request(call, &r))
		return;
	ic = hvsi_call_ic(call, HVS_IC_KVP);
	if (!ic)
		return;
	ip.dhcp = r.dhcp;
	ip.addresses = r.addresses.at;
	ip.address_count = r.addresses.count;
	ip.gateways = r.gateways.at;
	ip.gateway_count = r.gateways.count;
	ip.dns = r.dns.at;
	ip.dns_count = r.dns.count;
	(void)hvsi_call_waits(
		call, ic, "set addresses",
		hvs_kvp_set_ip(ic, &r.instance_id, &ip, r.timeout_ms, hvsi_call_ic_done, call));
}

static const struct hvs_method methods[] = {
	{"ip-get", HVS_ROLES_INSPECT, 0, run_get},
	{"ip-set", HVS_ROLES_OPERATE, 0, run_set},
};

int hvsi_ip_methods(struct hvs_manager *m)
{
	return hvs_manager_add_methods(m, methods, sizeof(methods) / sizeof(methods[0]), m);
}
