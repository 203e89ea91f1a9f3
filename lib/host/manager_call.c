/* SPDX-License-Identifier: MIT */
/* A line becomes a call, and a call its answer. */
#include "host/manager_impl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- answers ----------------------------------------------------------------------------------- */

struct json_object *hvsi_call_error(struct json_object *id, int code, const char *message,
				    struct json_object *data)
{
	struct json_object *line = json_object_new_object();
	struct json_object *error = json_object_new_object();

	hvsi_json_add(error, "code", json_object_new_int(code));
	hvsi_json_string(error, "message", message);
	if (data)
		hvsi_json_add(error, "data", data);
	hvsi_json_string(line, "jsonrpc", "2.0");
	hvsi_json_add(line, "id", json_object_get(id));
	hvsi_json_add(line, "error", error);
	return line;
}

/* Without memory for all of it nobody would know what it answers. */
static void send_answer(struct hvsi_client *client, struct json_object *answer)
{
	if (json_object_object_get_ex(answer, "id", NULL) &&
	    (json_object_object_get_ex(answer, "result", NULL) ||
	     json_object_object_get_ex(answer, "error", NULL)))
		hvsi_client_send(client, answer);
	else
		hvsi_client_cut(client, "cut off: no memory for its answer");
}

void hvsi_call_refuse(struct hvsi_client *client, struct json_object *id, int code,
		      const char *message)
{
	struct json_object *line = hvsi_call_error(id, code, message, NULL);

	send_answer(client, line);
	json_object_put(line);
}

static void free_call(struct hvs_call *call)
{
	for (unsigned i = 0; i < call->fd_count; i++)
		if (call->fds[i] >= 0)
			close(call->fds[i]);
	free(call->state);
	json_object_put(call->result);
	json_object_put(call->request);
	free(call);
}

/* Its answer, NULL for a notification, goes to whoever has asked, if he is still there. */
static void end(struct hvs_call *call, struct json_object *answer)
{
	struct hvs_manager *m = call->m;
	struct hvsi_client *client = hvsi_client_find(m, call->client);
	struct hvs_call **p = &m->calls;

	while (*p != call)
		p = &(*p)->next;
	*p = call->next;
	if (client) {
		client->calls--;
		if (call->wants_answer)
			send_answer(client, answer);
	}
	json_object_put(answer);
	free_call(call);
	if (m->destroyed && !m->calls)
		hvsi_manager_free(m);
}

void hvs_call_return(struct hvs_call *call, struct json_object *result)
{
	struct json_object *line = json_object_new_object();

	hvsi_json_string(line, "jsonrpc", "2.0");
	hvsi_json_add(line, "id", json_object_get(call->id));
	hvsi_json_add(line, "result", result ? result : json_object_new_object());
	end(call, line);
}

void hvsi_call_fail_data(struct hvs_call *call, int code, struct json_object *data,
			 const char *message)
{
	end(call, hvsi_call_error(call->id, code, message, data));
}

void hvs_call_fail(struct hvs_call *call, enum hvs_call_error code, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	hvsi_call_fail_data(call, code, NULL, text);
}

/* ---- calls ------------------------------------------------------------------------------------- */

static struct json_object *roles(uint32_t bits)
{
	struct json_object *names = json_object_new_array();

	for (uint32_t role = HVS_ROLE_MONITOR; role <= HVS_ROLE_ADMINISTRATOR; role <<= 1)
		if (bits & role)
			hvsi_json_append(names, json_object_new_string(hvsi_role_name(role)));
	return names;
}

static void deny(const struct hvsi_client *client, struct hvs_call *call)
{
	struct json_object *data = json_object_new_object();
	char text[200];

	hvsi_manager_log(client->m, HVS_MANAGER_DENIED, "%s: %s", client->who, call->method->name);
	hvsi_json_add(data, "needs", roles(call->method->roles));
	(void)snprintf(text, sizeof(text), "access denied: the role '%s' may not call '%s'",
		       hvsi_role_name(client->role), call->method->name);
	hvsi_call_fail_data(call, HVS_CALL_DENIED, data, text);
}

static void run(struct hvsi_client *client, struct hvs_call *call, const char *name)
{
	void *arg = NULL;

	call->method = hvsi_method_find(client->m, name, &arg);
	if (!hvsi_client_may_call(client)) {
		hvs_call_fail(call, HVS_CALL_TOO_MANY, "more than %u requests per second",
			      client->m->cfg.max_calls_per_s);
	} else if (client->calls > client->m->cfg.max_calls) {
		hvs_call_fail(call, HVS_CALL_TOO_MANY,
			      "%u requests of this connection are under way: wait for answers",
			      client->m->cfg.max_calls);
	} else if (!call->method) {
		hvsi_call_fail_data(call, HVSI_NO_METHOD, NULL,
				    "there is no such method: 'methods' lists them");
	} else if (!(call->method->roles & client->role)) {
		deny(client, call);
	} else if (call->params && !json_object_is_type(call->params, json_type_object)) {
		hvs_call_fail(call, HVS_CALL_INVALID_PARAMS, "'params' is an object");
	} else {
		hvsi_manager_log(client->m, HVS_MANAGER_ALLOWED, "%s: %s", client->who, name);
		call->method->run(arg, call);
	}
}

/* ---- lines ------------------------------------------------------------------------------------- */

struct request {
	struct json_object *object;
	struct json_object *id;
	struct json_object *params;
	const char *method;
	bool has_id;
	const char *wrong; /* NULL: nothing */
};

/* json-c makes the next number that it has of one that is too large. */
static bool exact(struct json_object *number)
{
	const int64_t n = json_object_get_int64(number);

	return n != INT64_MIN && n != INT64_MAX;
}

static bool is_id(struct json_object *id)
{
	return !id || json_object_is_type(id, json_type_string) ||
	       (json_object_is_type(id, json_type_int) && exact(id));
}

static void check_members(struct request *r)
{
	json_object_object_foreach(r->object, name, value)
	{
		if (strcmp(name, "id") == 0) {
			r->has_id = true;
			if (is_id(value))
				r->id = value;
			else
				r->wrong = "'id' is a string or an integer";
		} else if (strcmp(name, "method") == 0) {
			r->method = hvsi_json_text(value);
		} else if (strcmp(name, "params") == 0) {
			r->params = value;
			if (!value)
				r->wrong = "'params' is an object";
		} else if (strcmp(name, "jsonrpc") == 0) {
			const char *version = hvsi_json_text(value);

			if (!version || strcmp(version, "2.0") != 0)
				r->wrong = "'jsonrpc' is \"2.0\"";
		} else {
			r->wrong = "a request has 'jsonrpc', 'id', 'method' and 'params' only";
		}
	}
}

static void check_request(struct request *r)
{
	if (!json_object_is_type(r->object, json_type_object)) {
		r->wrong = "a request is an object; there are no batches";
		return;
	}
	check_members(r);
	if (!r->wrong && !json_object_object_get_ex(r->object, "jsonrpc", NULL))
		r->wrong = "'jsonrpc' is missing: \"2.0\"";
	if (!r->wrong && !r->method)
		r->wrong = "'method' is missing: a string";
}

/* request becomes the call's. NULL: no memory. */
static struct hvs_call *new_call(struct hvsi_client *client, const struct request *r,
				 const int *fds, unsigned fd_count)
{
	struct hvs_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	*call = (struct hvs_call){.next = client->m->calls,
				  .m = client->m,
				  .client = client->number,
				  .request = r->object,
				  .params = r->params,
				  .id = r->id,
				  .wants_answer = r->has_id,
				  .fd_count = fd_count};
	if (fd_count)
		memcpy(call->fds, fds, fd_count * sizeof(*fds));
	client->m->calls = call;
	client->calls++;
	return call;
}

static struct hvs_call *start(struct hvsi_client *client, const struct request *r, const int *fds,
			      unsigned fd_count)
{
	struct hvs_call *call = r->wrong ? NULL : new_call(client, r, fds, fd_count);

	if (r->wrong)
		hvsi_call_refuse(client, r->id, HVSI_INVALID_REQUEST, r->wrong);
	else if (!call)
		hvsi_call_refuse(client, r->id, HVS_CALL_INTERNAL, "out of memory");
	return call;
}

void hvsi_call_line(struct hvsi_client *client, const char *line, size_t len, const int *fds,
		    unsigned fd_count)
{
	struct request r = {.object = NULL};
	struct hvs_call *call = NULL;
	const char *why;
	char text[128];

	r.object = hvsi_json_parse(line, len, &why);
	if (why) {
		(void)snprintf(text, sizeof(text), "the line is not JSON: %s", why);
		hvsi_call_refuse(client, NULL, HVSI_PARSE_ERROR, text);
	} else {
		check_request(&r);
		call = start(client, &r, fds, fd_count);
	}
	if (call) {
		run(client, call, r.method);
		return;
	}
	json_object_put(r.object);
	while (fd_count)
		close(fds[--fd_count]);
	if (!hvsi_client_may_call(client))
		hvsi_client_cut(client, "cut off: too many lines that are no requests");
}

/* ---- for methods ------------------------------------------------------------------------------- */

struct json_object *hvs_call_params(const struct hvs_call *call)
{
	return call->params;
}

uint64_t hvs_call_client(const struct hvs_call *call)
{
	return call->client;
}

int hvs_call_take_fd(struct hvs_call *call, unsigned index)
{
	int fd = index < call->fd_count ? call->fds[index] : -1;

	if (fd < 0)
		return -ENOENT;
	call->fds[index] = -1;
	return fd;
}
