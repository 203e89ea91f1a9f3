/* SPDX-License-Identifier: MIT */
#include "support/fakevss.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

char vss_asked[64];
enum hvs_vss_state vss_state;
int vss_refuses[128];

static char service;

static struct request {
	hvs_ic_done_fn done;
	hvs_vss_check_fn checked;
	void *arg;
	bool waits;
} requests[128];

struct hvs_ic *vss(void)
{
	return (struct hvs_ic *)&service;
}

static int ask(struct hvs_ic *ic, char kind, hvs_ic_done_fn done, hvs_vss_check_fn checked,
	       void *arg)
{
	struct request *r = &requests[(unsigned)kind];

	assert(ic == vss());
	vss_asked[strlen(vss_asked)] = kind;
	if (vss_refuses[(unsigned)kind])
		return vss_refuses[(unsigned)kind];
	assert(!r->waits);
	*r = (struct request){done, checked, arg, true};
	return 0;
}

int hvs_vss_check(struct hvs_ic *ic, uint32_t timeout_ms, hvs_vss_check_fn done, void *arg)
{
	(void)timeout_ms;
	return ask(ic, 'c', NULL, done, arg);
}

int hvs_vss_freeze(struct hvs_ic *ic, const struct hvs_vss_freeze_request *request,
		   hvs_ic_done_fn done, void *arg)
{
	int err = ask(ic, 'f', done, NULL, arg);

	assert(request->size == sizeof(*request));
	if (!err)
		vss_state = HVS_VSS_FREEZING;
	return err;
}

int hvs_vss_thaw(struct hvs_ic *ic, uint32_t timeout_ms, hvs_ic_done_fn done, void *arg)
{
	int err;

	(void)timeout_ms;
	if (vss_state == HVS_VSS_IDLE)
		return -EALREADY;
	err = ask(ic, 't', done, NULL, arg);
	if (!err)
		vss_state = HVS_VSS_THAWING;
	return err;
}

int hvs_vss_complete(struct hvs_ic *ic, uint32_t timeout_ms, hvs_ic_done_fn done, void *arg)
{
	(void)timeout_ms;
	return ask(ic, 'b', done, NULL, arg);
}

enum hvs_vss_state hvs_vss_get_state(const struct hvs_ic *ic)
{
	assert(ic == vss());
	return vss_state;
}

const char *hvs_ic_guest_status_name(uint32_t guest_status)
{
	(void)guest_status;
	return "it says no";
}

bool vss_waits(char kind)
{
	return requests[(unsigned)kind].waits;
}

void vss_answer(char kind, int status, uint32_t guest_status)
{
	struct request *r = &requests[(unsigned)kind];

	assert(r->waits);
	r->waits = false;
	if (kind == 'f')
		vss_state = status ? HVS_VSS_IDLE : HVS_VSS_FROZEN;
	if (kind == 't')
		vss_state = HVS_VSS_IDLE;
	if (r->checked)
		r->checked(r->arg, status, guest_status, 0);
	else if (r->done)
		r->done(r->arg, status, guest_status);
}

unsigned hvs_ic_cancel(struct hvs_ic *ic, const void *arg)
{
	static const char kinds[] = "cfb";
	unsigned count = 0;

	assert(ic == vss());
	for (const char *kind = kinds; *kind; kind++)
		if (vss_waits(*kind) && requests[(unsigned)*kind].arg == arg) {
			vss_answer(*kind, -ECANCELED, 0);
			count++;
		}
	return count;
}

void vss_run(void)
{
	static const char kinds[] = "cftb";

	for (const char *kind = kinds; *kind; kind++)
		if (vss_waits(*kind)) {
			vss_answer(*kind, 0, 0);
			return;
		}
}
