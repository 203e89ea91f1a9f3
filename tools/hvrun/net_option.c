/* SPDX-License-Identifier: MIT */
#include "net_option.h"

#include "option_text.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define MIN_MTU 68
#define MAX_MTU 9202
#define MAX_QUEUES 64
#define MAX_VLAN 4094

/* -1: it is none. */
static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool net_mac_parse(const char *text, uint8_t mac[6])
{
	bool zero = true;

	for (unsigned i = 0; i < 6; i++) {
		const int high = hex_digit(*text++);
		const int low = high < 0 ? -1 : hex_digit(*text++);

		if (low < 0 || *text++ != (i < 5 ? ':' : '\0'))
			return false;
		mac[i] = (uint8_t)(high * 16 + low);
		zero &= mac[i] == 0;
	}
	return !zero && !(mac[0] & 1);
}

static bool parse_port(const char *text, uint16_t *port)
{
	uint64_t n;

	if (!parse_number(text, UINT16_MAX, &n) || n == 0)
		return false;
	*port = (uint16_t)n;
	return true;
}

bool net_forward_parse(const char *text, struct net_forward *out)
{
	char copy[64];
	char *guest;
	char *host;
	char *addr;

	*out = (struct net_forward){.udp = strncmp(text, "udp:", 4) == 0};
	if ((!out->udp && strncmp(text, "tcp:", 4) != 0) || strlen(text) >= sizeof(copy))
		return false;
	memcpy(copy, text + 4, strlen(text + 4) + 1);
	guest = strrchr(copy, ':');
	if (!guest)
		return false;
	*guest++ = '\0';
	host = strrchr(copy, ':');
	addr = host ? copy : NULL;
	if (host)
		*host++ = '\0';
	else
		host = copy;
	return (!addr || inet_pton(AF_INET, addr, out->host_addr) == 1) &&
	       parse_port(host, &out->host_port) && parse_port(guest, &out->guest_port);
}

static bool add_forward(struct net_option *net, const char *value)
{
	return net->kind == NET_USER && net->forward_count < HVRUN_MAX_FORWARDS &&
	       net_forward_parse(value, &net->forwards[net->forward_count++]);
}

static bool set_string(struct net_option *net, const char *name, char *value)
{
	const struct {
		const char *name;
		char **string;
	} strings[] = {{"id", &net->id},
		       {"name", &net->name},
		       {"policy", &net->policy},
		       {"capture", &net->capture}};

	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		if (strcmp(name, strings[i].name) == 0) {
			*strings[i].string = value;
			return *value;
		}
	return false;
}

static bool set_value(struct net_option *net, const char *name, char *value)
{
	uint64_t n;

	if (strcmp(name, "mac") == 0)
		return net_mac_parse(value, net->mac);
	if (strcmp(name, "forward") == 0)
		return add_forward(net, value);
	if (strcmp(name, "mtu") == 0 && parse_number(value, MAX_MTU, &n) && n >= MIN_MTU)
		net->mtu = (uint32_t)n;
	else if (strcmp(name, "vlan") == 0 && parse_number(value, MAX_VLAN, &n) && n)
		net->vlan = (uint16_t)n;
	else if (strcmp(name, "queues") == 0 && net->kind == NET_TAP &&
		 parse_number(value, MAX_QUEUES, &n) && n)
		net->queues = (uint32_t)n;
	else
		return set_string(net, name, value);
	return true;
}

static bool set_flag(struct net_option *net, const char *name)
{
	if (strcmp(name, "restricted") == 0 && net->kind == NET_USER)
		net->restricted = true;
	else if (strcmp(name, "listen") == 0 && net->kind == NET_SOCKET)
		net->listen = true;
	else
		return false;
	return true;
}

static bool set_kind(struct net_option *net, char *text)
{
	char *colon = strchr(text, ':');

	if (strcmp(text, "user") == 0) {
		net->kind = NET_USER;
		return true;
	}
	if (!colon || !colon[1])
		return false;
	*colon = '\0';
	net->target = colon + 1;
	if (strcmp(text, "tap") == 0)
		net->kind = NET_TAP;
	else if (strcmp(text, "socket") == 0)
		net->kind = NET_SOCKET;
	else
		return false;
	return true;
}

bool net_option_parse(char *text, struct net_option *out, char *why, unsigned why_len)
{
	char *rest = text;

	*out = (struct net_option){0};
	if (!set_kind(out, next_part(&rest))) {
		snprintf(why, why_len, "give user, tap:NAME or socket:PATH");
		return false;
	}
	while (rest) {
		char *name = next_part(&rest);
		char *value = strchr(name, '=');

		if (value)
			*value++ = '\0';
		if (value ? !set_value(out, name, value) : !set_flag(out, name)) {
			snprintf(why, why_len,
				 "'%s%s%s' is not an option of such an adapter, or its value is "
				 "wrong",
				 name, value ? "=" : "", value ? value : "");
			return false;
		}
	}
	if (out->vlan && out->policy) {
		snprintf(why, why_len, "vlan= and policy= exclude each other");
		return false;
	}
	return true;
}
