/* SPDX-License-Identifier: MIT */
/*
 * Key-value pair exchange: pairs of strings that host and guest tell each other, and the addresses of
 * the guest's network adapters. Needs a program in the guest (Linux: hv_kvp_daemon); without it the
 * service is open but not ready.
 *
 * The functions send single requests; whoever wants a table of them that keeps itself up to date uses
 * host/guestinfo.h. All functions: [main worker], requests as in ic.h, -EINVAL for another kind.
 */
#ifndef HVSTACK_KVP_H
#define HVSTACK_KVP_H

#include <hvstack/ic.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Pools of the wire. No other number is ever sent: guests index arrays with it. */
enum hvs_kvp_pool {
	HVS_KVP_EXTERNAL = 0,      /* what the host's administrator tells the guest */
	HVS_KVP_GUEST = 1,         /* what programs in the guest tell the host */
	HVS_KVP_AUTO = 2,          /* what the guest's system says about itself: OSName, ... */
	HVS_KVP_AUTO_EXTERNAL = 3, /* facts about the host, for the guest */
	HVS_KVP_AUTO_INTERNAL = 4, /* of the guest; never exchanged by others */
};

#define HVS_KVP_KEY_MAX 255u    /* UTF-16 units */
#define HVS_KVP_VALUE_MAX 1023u /* UTF-16 units */
#define HVS_KVP_TEXT_MAX 3070u  /* bytes of UTF-8 that either becomes, with the NUL */
#define HVS_KVP_MAX_ITEMS 1024u /* of a pool, that an enumeration looks at */

/*
 * Set or replace a pair; guests get strings only. timeout_ms 0: 35,000.
 * 0, -EINVAL (NULL, no such pool, a key that is empty, a text that is not UTF-8 or too long),
 * -ENOTCONN (not ready), -ENOSPC (too many requests wait), -ENOMEM.
 */
HVS_API HVS_NODISCARD int hvs_kvp_set(struct hvs_ic *ic, enum hvs_kvp_pool pool, const char *key,
				      const char *value, uint32_t timeout_ms, hvs_ic_done_fn done,
				      void *arg);

/* Remove a pair. -EREMOTEIO with HVS_IC_E_NO_MORE_ITEMS: there is none. Returns as hvs_kvp_set(). */
HVS_API HVS_NODISCARD int hvs_kvp_delete(struct hvs_ic *ic, enum hvs_kvp_pool pool, const char *key,
					 uint32_t timeout_ms, hvs_ic_done_fn done, void *arg);

/* key and value are UTF-8; what was not valid UTF-16 in them is U+FFFD. Numbers are in decimal. */
typedef void (*hvs_kvp_item_fn)(void *arg, const char *key, const char *value);

/*
 * Get the value of a key. item is called at most once, before done. Linux answers with an empty value,
 * whatever it is: enumerate there. Returns as hvs_kvp_set().
 */
HVS_API HVS_NODISCARD int hvs_kvp_get(struct hvs_ic *ic, enum hvs_kvp_pool pool, const char *key,
				      uint32_t timeout_ms, hvs_kvp_item_fn item,
				      hvs_ic_done_fn done, void *arg);

/*
 * All pairs of a pool, one request after the other; item is called for each, done at the end. The
 * pool may change meanwhile. done with -EREMOTEIO: the guest's program has failed; what was seen is
 * not all. Items that make no sense are left out, and counted (hvs_ic_status.malformed). timeout_ms
 * holds for each request. Returns as hvs_kvp_set().
 */
HVS_API HVS_NODISCARD int hvs_kvp_enumerate(struct hvs_ic *ic, enum hvs_kvp_pool pool,
					    uint32_t timeout_ms, hvs_kvp_item_fn item,
					    hvs_ic_done_fn done, void *arg);

/* ---- addresses ---------------------------------------------------------------------------------- */

#define HVS_KVP_MAX_ADDRESSES 64u /* of each family */
#define HVS_KVP_MAX_GATEWAYS 5u   /* of each family */

/* Where an address comes from. */
enum hvs_kvp_origin {
	HVS_KVP_ORIGIN_UNKNOWN = 0,
	HVS_KVP_ORIGIN_OTHER = 1, /* DHCP and the like */
	HVS_KVP_ORIGIN_STATIC = 2,
};

/* Layout fixed. */
struct hvs_kvp_address {
	bool ipv6;         /* else IPv4 */
	uint8_t prefix;    /* bits of the network; 0: not known; gateways and DNS servers: 0 */
	uint8_t origin;    /* enum hvs_kvp_origin; addresses only */
	uint8_t bytes[16]; /* network byte order; IPv4: the first 4 */
};

/* The addresses of one adapter. A guest that speaks less than 5.0 is sent text, which the library
 * writes and reads. */
struct hvs_kvp_ip {
	uint32_t size;
	bool dhcp;              /* the adapter gets its addresses by DHCP */
	uint32_t address_count; /* at most HVS_KVP_MAX_ADDRESSES of a family; so dns_count */
	uint32_t gateway_count; /* at most HVS_KVP_MAX_GATEWAYS of a family */
	uint32_t dns_count;
	const struct hvs_kvp_address *addresses;
	const struct hvs_kvp_address *gateways;
	const struct hvs_kvp_address *dns;
};
#define HVS_KVP_IP_INIT .size = (uint32_t)sizeof(struct hvs_kvp_ip)

/* ip and what it names is valid during the call; entries that make no sense are left out. */
typedef void (*hvs_kvp_ip_fn)(void *arg, const struct hvs_kvp_ip *ip);

/*
 * What addresses the adapter with this MAC has; fn is called at most once, before done. timeout_ms 0:
 * 35,000. done with -EREMOTEIO: there is no such adapter, or it has none.
 * 0, -EINVAL, -ENOTCONN, -ENOSPC, -ENOMEM.
 */
HVS_API HVS_NODISCARD int hvs_kvp_get_ip(struct hvs_ic *ic, const uint8_t mac[6],
					 uint32_t timeout_ms, hvs_kvp_ip_fn fn, hvs_ic_done_fn done,
					 void *arg);

/*
 * Give addresses to the adapter of this VMBus device (hvs_nic_config.instance_id). Linux runs a
 * script of the distribution for it; without one it answers HVS_IC_E_FAIL. timeout_ms 0: 35,000.
 * 0, -EINVAL (also: counts out of range, a prefix too long, no such origin), -ENOTSUP (unknown members
 * set), -EMSGSIZE (does not fit as text), -ENOTCONN, -ENOSPC, -ENOMEM.
 */
HVS_API HVS_NODISCARD int hvs_kvp_set_ip(struct hvs_ic *ic, const struct hvs_guid *instance_id,
					 const struct hvs_kvp_ip *ip, uint32_t timeout_ms,
					 hvs_ic_done_fn done, void *arg);

#ifdef __cplusplus
}
#endif
#endif
