/* SPDX-License-Identifier: MIT */
/* What the port of an adapter lets pass, from JSON; hvrun(1) describes it. */
#ifndef HVRUN_NET_POLICY_H
#define HVRUN_NET_POLICY_H

#include <hvstack/port.h>
#include <stdbool.h>

struct json_object;

/*
 * NULL or JSON's null: the one that adapters begin with. What *out points to belongs to it until
 * net_policy_free(), which is to be called in any case. False: `why`, which has room for why_len
 * bytes, says what is wrong.
 */
bool net_policy_parse(struct json_object *json, struct hvs_port_policy *out, char *why,
		      unsigned why_len);
void net_policy_free(struct hvs_port_policy *policy);

#endif
