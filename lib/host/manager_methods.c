/* SPDX-License-Identifier: MIT */
/* Which methods there are, and those about the server itself. */
#include "host/manager_impl.h"

#include <errno.h>
#include <hvstack/version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct hvs_method *hvsi_method_find(const struct hvs_manager *m, const char *name, void **arg)
{
	for (const struct hvsi_methods *t = m->methods; t; t = t->next)
		for (uint32_t i = 0; i < t->count; i++)
			if (strcmp(t->methods[i].name, name) == 0) {
				*arg = t->arg;
				return &t->methods[i];
			}
	return NULL;
}

static int check(const struct hvs_manager *m, const struct hvs_method *methods, uint32_t count)
{
	void *arg;

	for (uint32_t i = 0; i < count; i++) {
		const struct hvs_method *method = &methods[i];

		if (!method->name || !method->run || method->reserved ||
		    method->roles & ~HVS_ROLES_INSPECT)
			return -EINVAL;
		if (hvsi_method_find(m, method->name, &arg))
			return -EEXIST;
		for (uint32_t k = 0; k < i; k++)
			if (strcmp(methods[k].name, method->name) == 0)
				return -EEXIST;
	}
	return 0;
}

int hvs_manager_add_methods(struct hvs_manager *m, const struct hvs_method *methods, uint32_t count,
			    void *arg)
{
	struct hvsi_methods **p;
	struct hvsi_methods *t;
	int err;

	if (!m || !methods)
		return -EINVAL;
	err = check(m, methods, count);
	if (err)
		return err;
	t = malloc(sizeof(*t));
	if (!t)
		return -ENOMEM;
	*t = (struct hvsi_methods){.methods = methods, .count = count, .arg = arg};
	for (p = &m->methods; *p; p = &(*p)->next)
		;
	*p = t;
	return 0;
}

void hvsi_methods_free(struct hvs_manager *m)
{
	while (m->methods) {
		struct hvsi_methods *t = m->methods;

		m->methods = t->next;
		free(t);
	}
}

/* ---- the server itself ------------------------------------------------------------------------- */

static const char *const no_params[] = {NULL};

static void run_version(void *arg, struct hvs_call *call)
{
	const struct hvs_manager *m = arg;
	const struct hvsi_client *client = hvsi_client_find(m, call->client);
	const uint32_t v = hvs_version();
	struct json_object *result;
	char text[40];

	if (!hvs_call_only(call, no_params))
		return;
	result = json_object_new_object();
	(void)snprintf(text, sizeof(text), "%u.%u.%u", v >> 16, v >> 8 & 0xff, v & 0xff);
	hvsi_json_number(result, "protocol", HVSI_MANAGER_PROTOCOL);
	hvsi_json_string(result, "library", text);
	hvsi_json_string(result, "server", m->server);
	hvsi_json_string(result, "role", client ? hvsi_role_name(client->role) : NULL);
	hvs_call_return(call, result);
}

static void run_methods(void *arg, struct hvs_call *call)
{
	const struct hvs_manager *m = arg;
	const struct hvsi_client *client = hvsi_client_find(m, call->client);
	struct json_object *result;
	struct json_object *array;

	if (!hvs_call_only(call, no_params))
		return;
	result = json_object_new_object();
	array = json_object_new_array();
	for (const struct hvsi_methods *t = m->methods; t; t = t->next)
		for (uint32_t i = 0; i < t->count; i++) {
			struct json_object *one = json_object_new_object();

			hvsi_json_string(one, "name", t->methods[i].name);
			hvsi_json_bool(one, "allowed",
				       client && (t->methods[i].roles & client->role));
			hvsi_json_append(array, one);
		}
	hvsi_json_add(result, "methods", array);
	hvs_call_return(call, result);
}

static void run_events(void *arg, struct hvs_call *call)
{
	static const char *const names[] = {"subscribe", NULL};
	struct hvsi_client *client = hvsi_client_find(arg, call->client);
	bool subscribe = true;

	if (!hvs_call_only(call, names) || !hvs_call_bool(call, "subscribe", false, &subscribe))
		return;
	if (client)
		client->events = subscribe;
	hvs_call_return(call, NULL);
}

static const struct hvs_method own[] = {
	{"version", HVS_ROLES_INSPECT, 0, run_version},
	{"methods", HVS_ROLES_INSPECT, 0, run_methods},
	{"events", HVS_ROLES_INSPECT, 0, run_events},
};

int hvsi_methods_add_own(struct hvs_manager *m)
{
	static int (*const files[])(struct hvs_manager *) = {
		hvsi_info_methods, hvsi_metrics_methods, hvsi_ic_methods,  hvsi_kvp_methods,
		hvsi_ip_methods,   hvsi_copy_methods,    hvsi_vss_methods, hvsi_channel_methods};
	int err = hvs_manager_add_methods(m, own, sizeof(own) / sizeof(own[0]), m);

	for (size_t i = 0; !err && i < sizeof(files) / sizeof(files[0]); i++)
		err = files[i](m);
	return err;
}
