/* SPDX-License-Identifier: MIT */
#include "support/fakekvp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct fakekvp fake;

int hvs_ic_get_status(const struct hvs_ic *ic, struct hvs_ic_status *status)
{
	(void)ic;
	*status = (struct hvs_ic_status){HVS_IC_STATUS_INIT, .kind = HVS_IC_KVP, .open = fake.ready,
					 .ready = fake.ready};
	return 0;
}

static int ask(struct fake_request request)
{
	if (fake.refuse)
		return fake.refuse;
	if (!fake.ready)
		return -ENOTCONN;
	if (fake.count == FAKE_MAX)
		return -ENOSPC;
	fake.waiting[fake.count++] = request;
	return 0;
}

int hvs_kvp_set(struct hvs_ic *ic, enum hvs_kvp_pool pool, const char *key, const char *value,
		uint32_t timeout_ms, hvs_ic_done_fn done, void *arg)
{
	struct fake_request r = {.kind = FAKE_SET, .pool = pool, .done = done, .arg = arg};

	(void)ic;
	(void)timeout_ms;
	snprintf(r.key, sizeof(r.key), "%s", key);
	snprintf(r.value, sizeof(r.value), "%s", value);
	return ask(r);
}

int hvs_kvp_delete(struct hvs_ic *ic, enum hvs_kvp_pool pool, const char *key, uint32_t timeout_ms,
		   hvs_ic_done_fn done, void *arg)
{
	struct fake_request r = {.kind = FAKE_DELETE, .pool = pool, .done = done, .arg = arg};

	(void)ic;
	(void)timeout_ms;
	snprintf(r.key, sizeof(r.key), "%s", key);
	return ask(r);
}

int hvs_kvp_enumerate(struct hvs_ic *ic, enum hvs_kvp_pool pool, uint32_t timeout_ms,
		      hvs_kvp_item_fn item, hvs_ic_done_fn done, void *arg)
{
	(void)ic;
	(void)timeout_ms;
	return ask((struct fake_request){
		.kind = FAKE_ENUMERATE, .pool = pool, .item = item, .done = done, .arg = arg});
}

struct fake_request *fake_find(enum fake_kind kind, enum hvs_kvp_pool pool)
{
	for (unsigned i = 0; i < fake.count; i++)
		if (fake.waiting[i].kind == kind && fake.waiting[i].pool == pool)
			return &fake.waiting[i];
	return NULL;
}

void fake_answer(struct fake_request *request, int status, uint32_t guest_status)
{
	const struct fake_request r = *request;
	const struct fake_pair *pair = fake.pairs[r.pool];

	fake.count--;
	memmove(request, request + 1,
		(size_t)(fake.waiting + fake.count - request) * sizeof(*request));
	if (r.kind == FAKE_ENUMERATE)
		for (; pair && pair->key; pair++)
			r.item(r.arg, pair->key, pair->value);
	r.done(r.arg, status, guest_status);
}

void fake_answer_all(void)
{
	while (fake.count)
		fake_answer(&fake.waiting[0], 0, 0);
}

void fake_leave(void)
{
	fake.ready = false;
	while (fake.count)
		fake_answer(&fake.waiting[0], -ENOTCONN, 0);
}
