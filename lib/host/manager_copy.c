/* SPDX-License-Identifier: MIT */
/* Files that are copied into the guest. A copy belongs to the connection that has begun it. */
#include "host/manager_impl.h"

#include <errno.h>
#include <hvstack/filecopy.h>
#include <stdlib.h>
#include <string.h>

#define LINE_REST 512u /* of a line, for all but the data */

/* ---- base64 ------------------------------------------------------------------------------------ */

static int digit(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Four digits become up to three bytes; 0: they are none. */
static size_t decode_four(const char *text, bool last, uint8_t *out)
{
	uint32_t bits = 0;
	size_t pad = 0;

	for (unsigned i = 0; i < 4; i++) {
		int d = digit(text[i]);

		if (text[i] == '=' && last && i > 1)
			pad++;
		else if (d < 0 || pad)
			return 0;
		bits = bits << 6 | (d < 0 ? 0 : (uint32_t)d);
	}
	if (bits & ((1u << 8 * pad) - 1))
		return 0;
	for (size_t i = 0; i < 3 - pad; i++)
		out[i] = (uint8_t)(bits >> (16 - 8 * i));
	return 3 - pad;
}

/* out has room for 3 bytes of 4 characters. False: it is not base64 (RFC 4648, padded). */
static bool decode(const char *text, size_t len, uint8_t *out, size_t *out_len)
{
	*out_len = 0;
	if (len % 4)
		return false;
	for (size_t i = 0; i < len; i += 4) {
		size_t n = decode_four(text + i, i + 4 == len, out + *out_len);

		if (!n)
			return false;
		*out_len += n;
	}
	return true;
}

/* ---- whose copy -------------------------------------------------------------------------------- */

void hvsi_copy_over(struct hvs_manager *m)
{
	m->copier = 0;
}

void hvsi_copy_left(struct hvs_manager *m, uint64_t client)
{
	if (m->copier != client)
		return;
	m->copier = 0;
	if (m->ic[HVS_IC_FILECOPY])
		(void)hvs_filecopy_cancel(m->ic[HVS_IC_FILECOPY], NULL, NULL);
}

static struct hvs_ic *own_copy(struct hvs_call *call)
{
	if (call->m->copier == call->client)
		return call->m->ic[HVS_IC_FILECOPY];
	hvs_call_fail(call, HVS_CALL_NOT_FOUND,
		      "this connection copies no file: 'copy-file-start' begins");
	return NULL;
}

/* A step that fails is the end of the copy. */
static void step_done(struct hvs_call *call, int status, uint32_t guest_status)
{
	if (status && call->m->copier == call->client)
		call->m->copier = 0;
	hvsi_call_ic_done(call, status, guest_status);
}

/* ---- start ------------------------------------------------------------------------------------- */

static uint32_t piece(const struct hvs_manager *m)
{
	uint32_t bytes = (m->cfg.max_line_bytes - LINE_REST) / 4 * 3;

	if (bytes > HVS_FILECOPY_MAX_WRITE)
		bytes = HVS_FILECOPY_MAX_WRITE;
	return bytes < HVS_FILECOPY_PIECE ? bytes : bytes / HVS_FILECOPY_PIECE * HVS_FILECOPY_PIECE;
}

static void on_step(void *arg, int status, uint32_t guest_status)
{
	step_done(arg, status, guest_status);
}

static bool get_request(struct hvs_call *call, struct hvs_filecopy_request *r)
{
	static const char *const names[] = {"directory",   "name",       "bytes", "overwrite",
					    "create_path", "timeout_ms", NULL};
	bool overwrite = false;
	bool create_path = false;

	if (!hvs_call_only(call, names) ||
	    !hvs_call_string(call, "directory", true, &r->directory) ||
	    !hvs_call_string(call, "name", true, &r->name) ||
	    !hvs_call_number(call, "bytes", true, INT64_MAX, &r->bytes) ||
	    !hvs_call_bool(call, "overwrite", false, &overwrite) ||
	    !hvs_call_bool(call, "create_path", false, &create_path) ||
	    !hvsi_call_timeout(call, &r->timeout_ms))
		return false;
	r->flags = (overwrite ? HVS_FILECOPY_OVERWRITE : 0) |
		   (create_path ? HVS_FILECOPY_CREATE_PATH : 0);
	return true;
}

static void run_start(void *arg, struct hvs_call *call)
{
	struct hvs_filecopy_request request = {HVS_FILECOPY_REQUEST_INIT};
	struct hvs_manager *m = arg;
	struct hvs_ic *ic;

	if (!get_request(call, &request))
		return;
	ic = hvsi_call_ic(call, HVS_IC_FILECOPY);
	if (!ic)
		return;
	call->result = json_object_new_object();
	hvsi_json_number(call->result, "piece", piece(m));
	if (hvsi_call_waits(call, ic, "begin the copy",
			    hvs_filecopy_start(ic, &request, on_step, call)))
		m->copier = call->client;
}

/* ---- write, finish, cancel --------------------------------------------------------------------- */

static void on_written(void *arg, int status, uint32_t guest_status)
{
	struct hvs_filecopy_progress progress = {HVS_FILECOPY_PROGRESS_INIT};
	struct hvs_call *call = arg;
	const struct hvs_ic *ic = call->m->ic[HVS_IC_FILECOPY];

	if (status == 0 && ic && hvs_filecopy_get_progress(ic, &progress) == 0) {
		call->result = json_object_new_object();
		hvsi_json_number(call->result, "written", progress.written);
	}
	step_done(call, status, guest_status);
}

static void run_write(void *arg, struct hvs_call *call)
{
	static const char *const names[] = {"data", NULL};
	const char *text;
	struct hvs_ic *ic;
	size_t len;

	(void)arg;
	if (!hvs_call_only(call, names) || !hvs_call_string(call, "data", true, &text))
		return;
	ic = own_copy(call);
	if (!ic)
		return;
	call->state = malloc(strlen(text) / 4 * 3 + 1);
	if (!call->state)
		hvs_call_fail(call, HVS_CALL_INTERNAL, "out of memory");
	else if (!decode(text, strlen(text), call->state, &len) || !len)
		hvs_call_fail(call, HVS_CALL_INVALID_PARAMS, "'data' is base64, and not empty");
	else
		(void)hvsi_call_waits(call, ic, "write",
				      hvs_filecopy_write(ic, call->state, len, on_written, call));
}

static void on_end(void *arg, int status, uint32_t guest_status)
{
	struct hvs_call *call = arg;

	if (call->m->copier == call->client)
		call->m->copier = 0;
	hvsi_call_ic_done(call, status, guest_status);
}

static void run_finish(void *arg, struct hvs_call *call)
{
	static const char *const names[] = {NULL};
	struct hvs_ic *ic;
	int err;

	(void)arg;
	if (!hvs_call_only(call, names))
		return;
	ic = own_copy(call);
	if (!ic)
		return;
	err = hvs_filecopy_finish(ic, on_end, call);
	if (err == -EINVAL)
		hvs_call_fail(call, HVS_CALL_FAILED, "not all bytes of the file were written");
	else
		(void)hvsi_call_waits(call, ic, "finish the copy", err);
}

static void run_cancel(void *arg, struct hvs_call *call)
{
	static const char *const names[] = {NULL};
	struct hvs_manager *m = arg;
	struct hvs_ic *ic;

	if (!hvs_call_only(call, names))
		return;
	ic = own_copy(call);
	if (!ic)
		return;
	m->copier = 0;
	(void)hvsi_call_waits(call, ic, "cancel the copy", hvs_filecopy_cancel(ic, on_end, call));
}

static const struct hvs_method methods[] = {
	{"copy-file-start", HVS_ROLES_ADMINISTER, 0, run_start},
	{"copy-file-write", HVS_ROLES_ADMINISTER, 0, run_write},
	{"copy-file-finish", HVS_ROLES_ADMINISTER, 0, run_finish},
	{"copy-file-cancel", HVS_ROLES_ADMINISTER, 0, run_cancel},
};

int hvsi_copy_methods(struct hvs_manager *m)
{
	return hvs_manager_add_methods(m, methods, sizeof(methods) / sizeof(methods[0]), m);
}
