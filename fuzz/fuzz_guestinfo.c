/* SPDX-License-Identifier: MIT */
/* The file of key-value pairs: whatever is accepted can be told to a guest, and saved and loaded
 * again. */
#include "check.h"
#include "host/guestinfo_impl.h"
#include "input.h"
#include "scratch.h"

#include <stdlib.h>
#include <string.h>

static void clear(struct hvsi_guestinfo_store *store)
{
	hvsi_pairs_clear(&store->external);
	hvsi_pairs_clear(&store->auto_external);
}

static void check(const struct hvsi_pairs *pairs)
{
	if (hvsi_pairs_count(pairs, true) > HVS_GUESTINFO_MAX_ITEMS ||
	    hvsi_pairs_count(pairs, false) > HVS_GUESTINFO_MAX_ITEMS)
		abort();
	for (uint32_t i = 0; i < pairs->count; i++)
		if (!hvsi_pair_valid(pairs->at[i].key, pairs->at[i].value) ||
		    (i && strcmp(pairs->at[i - 1].key, pairs->at[i].key) >= 0))
			abort();
}

static void check_equal(const struct hvsi_pairs *a, const struct hvsi_pairs *b)
{
	if (a->count != b->count)
		abort();
	for (uint32_t i = 0; i < a->count; i++)
		if (strcmp(a->at[i].key, b->at[i].key) != 0 || !a->at[i].value != !b->at[i].value ||
		    (a->at[i].value && strcmp(a->at[i].value, b->at[i].value) != 0))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct hvsi_why nobody = {NULL, 0};
	struct hvsi_guestinfo_store store = {.uuid = {{0}}};
	struct hvsi_guestinfo_store again = {.uuid = {{0}}};
	const char *path;

	if (hvsi_guestinfo_parse((const char *)data, size, &store, &nobody) == 0) {
		check(&store.external);
		check(&store.auto_external);
		path = scratch_path("pairs");
		CHECK(hvsi_guestinfo_save(path, &store) == 0);
		CHECK(hvsi_guestinfo_load(path, &again, &nobody) == 0);
		check_equal(&store.external, &again.external);
		check_equal(&store.auto_external, &again.auto_external);
	}
	clear(&store);
	clear(&again);
	return 0;
}
