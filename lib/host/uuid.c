/* SPDX-License-Identifier: MIT */
#include <hvstack/host/uuid.h>

#include <errno.h>
#include <string.h>
#include <uuid/uuid.h>

_Static_assert(HVS_GUID_TEXT == UUID_STR_LEN, "libuuid's texts fit");

/* libuuid's first three fields are big endian, those of a GUID are little endian. */
static void swap_fields(uint8_t to[16], const uint8_t from[16])
{
	static const uint8_t order[8] = {3, 2, 1, 0, 5, 4, 7, 6};

	for (unsigned i = 0; i < sizeof(order); i++)
		to[i] = from[order[i]];
	memcpy(to + 8, from + 8, 8);
}

int hvs_guid_parse(const char *text, struct hvs_guid *guid)
{
	uuid_t uuid;

	if (!text || !guid || uuid_parse(text, uuid) < 0)
		return -EINVAL;
	swap_fields(guid->b, uuid);
	return 0;
}

void hvs_guid_format(const struct hvs_guid *guid, char text[HVS_GUID_TEXT])
{
	uuid_t uuid;

	swap_fields(uuid, guid->b);
	uuid_unparse_lower(uuid, text);
}

void hvs_guid_generate(struct hvs_guid *guid)
{
	uuid_t uuid;

	uuid_generate(uuid);
	swap_fields(guid->b, uuid);
}
