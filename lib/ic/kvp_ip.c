/* SPDX-License-Identifier: MIT */
/*
 * Addresses of an adapter. As text there are five lists with ';' between their elements: IPv4
 * networks are masks ("255.255.0.0"), those of IPv6 lengths, which guests write with a slash in front
 * and want to read without. In binary, each family has arrays of its own.
 */
#include "ic/kvp.h"

#include "util/inet.h"

#include <errno.h>

#define NOT_ASCII '?' /* in no address */
#define ELEMENT_MAX 128u

static unsigned family_of(const struct hvs_kvp_address *a)
{
	return a->ipv6 ? 1 : 0;
}

/* ---- networks -------------------------------------------------------------------------------- */

static void mask_of(uint8_t prefix, uint8_t mask[4])
{
	hvsi_put_be32(mask, prefix ? UINT32_MAX << (32 - prefix) : 0);
}

/* False: not ones, then zeros. */
static bool prefix_of(const uint8_t mask[4], uint8_t *prefix)
{
	uint32_t m = hvsi_get_be32(mask);
	uint8_t n = 0;

	for (; m & 0x80000000u; m <<= 1)
		n++;
	*prefix = n;
	return m == 0;
}

/* ---- what is asked for ----------------------------------------------------------------------- */

static bool list_ok(const struct hvs_kvp_address *list, uint32_t count, uint32_t max)
{
	uint32_t of_family[2] = {0};

	if (count > 2 * max || (count && !list))
		return false;
	for (uint32_t i = 0; i < count; i++) {
		if (list[i].prefix > (list[i].ipv6 ? 128 : 32) ||
		    list[i].origin > HVS_KVP_ORIGIN_STATIC)
			return false;
		if (++of_family[family_of(&list[i])] > max)
			return false;
	}
	return true;
}

bool hvsi_kvp_ip_ok(const struct hvs_kvp_ip *ip)
{
	return list_ok(ip->addresses, ip->address_count, HVS_KVP_MAX_ADDRESSES) &&
	       list_ok(ip->gateways, ip->gateway_count, HVS_KVP_MAX_GATEWAYS) &&
	       list_ok(ip->dns, ip->dns_count, HVS_KVP_MAX_ADDRESSES);
}

static uint8_t families(const struct hvs_kvp_ip *ip)
{
	uint8_t bits = 0;

	for (uint32_t i = 0; i < ip->address_count; i++)
		bits |= ip->addresses[i].ipv6 ? HVSI_KVP_IP_FAMILY_6 : HVSI_KVP_IP_FAMILY_4;
	return bits;
}

/* ---- names of adapters ----------------------------------------------------------------------- */

static void put_ascii(uint8_t *to, size_t *units, char c)
{
	to[2 * (*units)++] = (uint8_t)c;
}

static void put_hex(uint8_t *to, size_t *units, uint8_t byte, const char *digits)
{
	put_ascii(to, units, digits[byte >> 4]);
	put_ascii(to, units, digits[byte & 0xf]);
}

void hvsi_kvp_adapter_of_mac(const uint8_t mac[6], uint8_t adapter[HVSI_KVP_ADAPTER_BYTES])
{
	size_t units = 0;

	for (unsigned i = 0; i < 6; i++) {
		if (i)
			put_ascii(adapter, &units, ':');
		put_hex(adapter, &units, mac[i], "0123456789ABCDEF");
	}
}

void hvsi_kvp_adapter_of_guid(const struct hvs_guid *id, uint8_t adapter[HVSI_KVP_ADAPTER_BYTES])
{
	static const uint8_t order[] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
	size_t units = 0;

	put_ascii(adapter, &units, '{');
	for (unsigned i = 0; i < sizeof(order); i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			put_ascii(adapter, &units, '-');
		put_hex(adapter, &units, id->b[order[i]], "0123456789abcdef");
	}
	put_ascii(adapter, &units, '}');
}

/* ---- text: writing --------------------------------------------------------------------------- */

struct text {
	uint8_t *to;
	size_t max; /* units, without the NUL */
	size_t units;
};

static int append(struct text *t, const char *element, size_t len)
{
	const bool first = t->units == 0;

	if (t->units + !first + len > t->max)
		return -EMSGSIZE;
	if (!first)
		put_ascii(t->to, &t->units, ';');
	for (size_t i = 0; i < len; i++)
		put_ascii(t->to, &t->units, element[i]);
	return 0;
}

static size_t print_address(const struct hvs_kvp_address *a, char out[HVSI_INET6_TEXT])
{
	return a->ipv6 ? hvsi_inet6_print(a->bytes, out) : hvsi_inet4_print(a->bytes, out);
}

static size_t print_network(const struct hvs_kvp_address *a, char out[HVSI_INET6_TEXT])
{
	uint8_t mask[4];

	if (a->ipv6)
		return hvsi_decimal(a->prefix, out);
	mask_of(a->prefix, mask);
	return hvsi_inet4_print(mask, out);
}

static int write_list(uint8_t *to, size_t bytes, const struct hvs_kvp_address *list, uint32_t count,
		      size_t (*print)(const struct hvs_kvp_address *a, char out[HVSI_INET6_TEXT]))
{
	struct text t = {.to = to, .max = bytes / 2 - 1};
	char element[HVSI_INET6_TEXT];
	int err = 0;

	for (uint32_t i = 0; !err && i < count; i++)
		err = append(&t, element, print(&list[i], element));
	return err;
}

int hvsi_kvp_ip_write_text(struct hvsi_kvp_ip_text *to, const struct hvs_kvp_ip *ip)
{
	int err = write_list(to->addresses, sizeof(to->addresses), ip->addresses, ip->address_count,
			     print_address);

	to->family = families(ip);
	to->dhcp = ip->dhcp;
	if (!err)
		err = write_list(to->subnets, sizeof(to->subnets), ip->addresses, ip->address_count,
				 print_network);
	if (!err)
		err = write_list(to->gateways, sizeof(to->gateways), ip->gateways,
				 ip->gateway_count, print_address);
	if (!err)
		err = write_list(to->dns, sizeof(to->dns), ip->dns, ip->dns_count, print_address);
	return err;
}

/* ---- text: reading --------------------------------------------------------------------------- */

struct elements {
	const uint8_t *from;
	size_t units;
	size_t at;
};

/*
 * The next element, up to ';' or the end, as ASCII; what is too long is cut, and is no address then.
 * Returns its length, or -1: there is none.
 */
static int next_element(struct elements *e, char out[ELEMENT_MAX])
{
	int len = 0;
	uint16_t unit;

	if (e->at == e->units || !(e->from[2 * e->at] | e->from[2 * e->at + 1]))
		return -1;
	while (e->at < e->units) {
		unit = (uint16_t)(e->from[2 * e->at] | e->from[2 * e->at + 1] << 8);
		if (!unit)
			break;
		e->at++;
		if (unit == ';')
			break;
		if (len < (int)ELEMENT_MAX)
			out[len++] = (char)(unit < 0x80 ? unit : NOT_ASCII);
	}
	return len;
}

static bool parse_address(const char *text, size_t len, struct hvs_kvp_address *a)
{
	size_t zone = 0;

	*a = (struct hvs_kvp_address){0};
	if (hvsi_inet4_parse(text, len, a->bytes))
		return true;
	a->ipv6 = true;
	while (zone < len && text[zone] != '%')
		zone++;
	return hvsi_inet6_parse(text, zone, a->bytes);
}

/* "/64", "64"; for IPv4 also "255.255.255.0". 0: makes no sense. */
static uint8_t parse_network(const char *text, size_t len, bool ipv6)
{
	const size_t slash = len && text[0] == '/';
	uint8_t mask[4];
	uint8_t prefix;
	unsigned n = 0;

	if (!ipv6 && hvsi_inet4_parse(text, len, mask))
		return prefix_of(mask, &prefix) ? prefix : 0;
	if (len - slash > 3)
		return 0;
	for (size_t i = slash; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return 0;
		n = n * 10 + (unsigned)(text[i] - '0');
	}
	return n <= (ipv6 ? 128u : 32u) ? (uint8_t)n : 0;
}

/* Where a list of what was found is put. */
struct found_list {
	struct hvs_kvp_address *to;
	uint32_t *count;
	uint32_t max; /* of a family */
	uint32_t of_family[2];
};

/* NULL: there are too many. */
static struct hvs_kvp_address *add(struct found_list *l, const struct hvs_kvp_address *a)
{
	struct hvs_kvp_address *slot = &l->to[*l->count];

	if (l->of_family[family_of(a)] == l->max)
		return NULL;
	l->of_family[family_of(a)]++;
	++*l->count;
	*slot = *a;
	return slot;
}

/* subnets may be NULL. */
static void read_list(const uint8_t *from, size_t bytes, const uint8_t *subnets,
		      struct found_list *l, struct hvsi_kvp_ip_found *found)
{
	struct elements e = {.from = from, .units = bytes / 2};
	struct elements networks = {.from = subnets, .units = subnets ? bytes / 2 : 0};
	struct hvs_kvp_address *slot;
	struct hvs_kvp_address a;
	char text[ELEMENT_MAX];
	char network[ELEMENT_MAX];
	int network_len;
	int len;

	while ((len = next_element(&e, text)) >= 0) {
		network_len = next_element(&networks, network);
		if (len == 0)
			continue;
		slot = parse_address(text, (size_t)len, &a) ? add(l, &a) : NULL;
		if (slot && network_len > 0)
			slot->prefix = parse_network(network, (size_t)network_len, a.ipv6);
		if (!slot || (subnets && !slot->prefix))
			found->malformed++;
	}
}

static struct found_list addresses_of(struct hvsi_kvp_ip_found *f)
{
	return (struct found_list){f->addresses, &f->ip.address_count, HVS_KVP_MAX_ADDRESSES, {0}};
}

static struct found_list gateways_of(struct hvsi_kvp_ip_found *f)
{
	return (struct found_list){f->gateways, &f->ip.gateway_count, HVS_KVP_MAX_GATEWAYS, {0}};
}

static struct found_list dns_of(struct hvsi_kvp_ip_found *f)
{
	return (struct found_list){f->dns, &f->ip.dns_count, HVS_KVP_MAX_ADDRESSES, {0}};
}

static void begin(struct hvsi_kvp_ip_found *f, uint8_t dhcp)
{
	memset(f, 0, sizeof(*f));
	f->ip = (struct hvs_kvp_ip){HVS_KVP_IP_INIT, .dhcp = dhcp != 0, .addresses = f->addresses,
				    .gateways = f->gateways, .dns = f->dns};
}

void hvsi_kvp_ip_read_text(const struct hvsi_kvp_ip_text *from, struct hvsi_kvp_ip_found *to)
{
	struct found_list l;

	begin(to, from->dhcp);
	l = addresses_of(to);
	read_list(from->addresses, sizeof(from->addresses), from->subnets, &l, to);
	l = gateways_of(to);
	read_list(from->gateways, sizeof(from->gateways), NULL, &l, to);
	l = dns_of(to);
	read_list(from->dns, sizeof(from->dns), NULL, &l, to);
}

/* ---- binary ---------------------------------------------------------------------------------- */

static struct hvsi_kvp_ip_counts write_both(uint8_t (*ipv4)[4], uint8_t (*ipv6)[16],
					    const struct hvs_kvp_address *list, uint32_t count)
{
	uint32_t n[2] = {0};

	for (uint32_t i = 0; i < count; i++) {
		if (list[i].ipv6)
			memcpy(ipv6[n[1]++], list[i].bytes, 16);
		else
			memcpy(ipv4[n[0]++], list[i].bytes, 4);
	}
	return (struct hvsi_kvp_ip_counts){hvsi_le32(n[0]), hvsi_le32(n[1])};
}

static void write_networks(struct hvsi_kvp_ip_binary *to, const struct hvs_kvp_ip *ip)
{
	uint32_t n[2] = {0};

	for (unsigned family = 0; family < 2; family++) {
		for (uint32_t i = 0; i < ip->address_count; i++) {
			const struct hvs_kvp_address *a = &ip->addresses[i];

			if (family_of(a) != family)
				continue;
			to->origins[n[0] + n[1]] = hvsi_le16(a->origin);
			if (a->ipv6)
				to->prefixes[n[1]++] = hvsi_le32(a->prefix);
			else
				mask_of(a->prefix, to->masks[n[0]++]);
		}
	}
}

void hvsi_kvp_ip_write_binary(struct hvsi_kvp_ip_binary *to, const struct hvs_kvp_ip *ip)
{
	to->addresses = write_both(to->ipv4, to->ipv6, ip->addresses, ip->address_count);
	write_networks(to, ip);
	to->gateways = write_both(to->gateways4, to->gateways6, ip->gateways, ip->gateway_count);
	to->dns = write_both(to->dns4, to->dns6, ip->dns, ip->dns_count);
	to->family = families(ip);
	to->dhcp = ip->dhcp;
}

static bool counts_ok(const struct hvsi_kvp_ip_counts *c, uint32_t max)
{
	return hvsi_get32(c->ipv4) <= max && hvsi_get32(c->ipv6) <= max;
}

static void read_both(const struct hvsi_kvp_ip_counts *c, const uint8_t (*ipv4)[4],
		      const uint8_t (*ipv6)[16], struct found_list *l)
{
	struct hvs_kvp_address a = {0};

	for (uint32_t i = 0; i < hvsi_get32(c->ipv4); i++) {
		memcpy(a.bytes, ipv4[i], 4);
		(void)add(l, &a);
	}
	a.ipv6 = true;
	for (uint32_t i = 0; i < hvsi_get32(c->ipv6); i++) {
		memcpy(a.bytes, ipv6[i], 16);
		(void)add(l, &a);
	}
}

static void read_networks(const struct hvsi_kvp_ip_binary *from, struct hvsi_kvp_ip_found *to)
{
	const uint32_t ipv4 = hvsi_get32(from->addresses.ipv4);
	uint32_t prefix;
	uint16_t origin;

	for (uint32_t i = 0; i < to->ip.address_count; i++) {
		struct hvs_kvp_address *a = &to->addresses[i];

		if (a->ipv6) {
			prefix = hvsi_get32(from->prefixes[i - ipv4]);
			a->prefix = prefix <= 128 ? (uint8_t)prefix : 0;
		} else if (!prefix_of(from->masks[i], &a->prefix)) {
			a->prefix = 0;
		}
		origin = hvsi_get16(from->origins[i]);
		a->origin =
			origin <= HVS_KVP_ORIGIN_STATIC ? (uint8_t)origin : HVS_KVP_ORIGIN_UNKNOWN;
		if (!a->prefix || origin != a->origin)
			to->malformed++;
	}
}

bool hvsi_kvp_ip_read_binary(const struct hvsi_kvp_ip_binary *from, struct hvsi_kvp_ip_found *to)
{
	struct found_list l;

	begin(to, from->dhcp);
	if (!counts_ok(&from->addresses, HVS_KVP_MAX_ADDRESSES) ||
	    !counts_ok(&from->gateways, HVS_KVP_MAX_GATEWAYS) ||
	    !counts_ok(&from->dns, HVS_KVP_MAX_ADDRESSES))
		return false;
	l = addresses_of(to);
	read_both(&from->addresses, from->ipv4, from->ipv6, &l);
	read_networks(from, to);
	l = gateways_of(to);
	read_both(&from->gateways, from->gateways4, from->gateways6, &l);
	l = dns_of(to);
	read_both(&from->dns, from->dns4, from->dns6, &l);
	return true;
}
