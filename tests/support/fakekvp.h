/* SPDX-License-Identifier: MIT */
/*
 * A KVP service that does what the test says, instead of the library's: it keeps what it was asked
 * for, and the test answers. Its pairs are what an enumeration finds.
 */
#ifndef HVST_FAKEKVP_H
#define HVST_FAKEKVP_H

#include <hvstack/kvp.h>

#define FAKE_MAX 64

enum fake_kind {
	FAKE_SET = 1,
	FAKE_DELETE,
	FAKE_ENUMERATE,
};

struct fake_request {
	enum fake_kind kind;
	enum hvs_kvp_pool pool;
	char key[300];
	char value[300];
	hvs_kvp_item_fn item;
	hvs_ic_done_fn done;
	void *arg;
};

struct fake_pair {
	const char *key;
	const char *value;
};

struct fakekvp {
	bool ready;
	int refuse; /* what requests return at once, if not 0 */
	struct fake_request waiting[FAKE_MAX];
	unsigned count;
	/* What enumerations find, by pool; ends with a NULL key. */
	const struct fake_pair *pairs[HVS_KVP_AUTO_INTERNAL + 1];
};

extern struct fakekvp fake;
#define FAKE_IC ((struct hvs_ic *)&fake)

/* The first request of this kind and pool that waits; NULL: none. */
struct fake_request *fake_find(enum fake_kind kind, enum hvs_kvp_pool pool);
/* Answer a request. An enumeration finds all the pairs first. */
void fake_answer(struct fake_request *request, int status, uint32_t guest_status);
/* Answer all, those that come meanwhile too, until none waits. */
void fake_answer_all(void);
/* The guest's program goes: requests end. */
void fake_leave(void);

#endif
