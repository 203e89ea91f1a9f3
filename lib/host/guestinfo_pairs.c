/* SPDX-License-Identifier: MIT */
#include "host/guestinfo_impl.h"
#include "host/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Where a key is, or would be. */
static uint32_t place(const struct hvsi_pairs *p, const char *key)
{
	uint32_t from = 0;
	uint32_t to = p->count;

	while (from < to) {
		uint32_t middle = from + (to - from) / 2;

		if (strcmp(p->at[middle].key, key) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

struct hvsi_pair *hvsi_pairs_find(const struct hvsi_pairs *p, const char *key)
{
	const uint32_t i = place(p, key);

	return i < p->count && strcmp(p->at[i].key, key) == 0 ? &p->at[i] : NULL;
}

static bool make_room(struct hvsi_pairs *p)
{
	const uint32_t room = p->room ? p->room * 2 : 16;
	struct hvsi_pair *at;

	if (p->count < p->room)
		return true;
	at = reallocarray(p->at, room, sizeof(*at));
	if (!at)
		return false;
	p->at = at;
	p->room = room;
	return true;
}

struct hvsi_pair *hvsi_pairs_add(struct hvsi_pairs *p, const char *key)
{
	const uint32_t i = place(p, key);
	char *copy = make_room(p) ? strdup(key) : NULL;

	if (!copy)
		return NULL;
	memmove(p->at + i + 1, p->at + i, (p->count - i) * sizeof(*p->at));
	p->at[i] = (struct hvsi_pair){.key = copy};
	p->count++;
	return &p->at[i];
}

int hvsi_pairs_set(struct hvsi_pairs *p, const char *key, const char *value)
{
	struct hvsi_pair *pair = hvsi_pairs_find(p, key);
	char *copy;

	if (!pair && p->count >= HVS_GUESTINFO_MAX_ITEMS)
		return -ENOSPC;
	copy = strdup(value);
	if (copy && !pair)
		pair = hvsi_pairs_add(p, key);
	if (!copy || !pair) {
		free(copy);
		return -ENOMEM;
	}
	free(pair->value);
	pair->value = copy;
	return 0;
}

void hvsi_pairs_drop(struct hvsi_pairs *p, struct hvsi_pair *pair)
{
	const uint32_t i = (uint32_t)(pair - p->at);

	free(pair->key);
	free(pair->value);
	p->count--;
	memmove(pair, pair + 1, (p->count - i) * sizeof(*pair));
}

void hvsi_pairs_clear(struct hvsi_pairs *p)
{
	for (uint32_t i = 0; i < p->count; i++) {
		free(p->at[i].key);
		free(p->at[i].value);
	}
	free(p->at);
	*p = (struct hvsi_pairs){0};
}

uint32_t hvsi_pairs_count(const struct hvsi_pairs *p, bool there)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->count; i++)
		n += (p->at[i].value != NULL) == there;
	return n;
}

bool hvsi_pair_valid(const char *key, const char *value)
{
	size_t units;

	return key && *key && hvsi_utf8_units(key, &units) && units <= HVS_KVP_KEY_MAX &&
	       (!value || (hvsi_utf8_units(value, &units) && units <= HVS_KVP_VALUE_MAX));
}
