/* SPDX-License-Identifier: MIT */
#ifndef HVSI_UTIL_GUID_H
#define HVSI_UTIL_GUID_H

#include <hvstack/types.h>

#include <stdbool.h>
#include <string.h>

/* A GUID from the way it is written: aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee. */
#define HVSI_GUID(a, b, c, d0, d1, e0, e1, e2, e3, e4, e5)                                         \
	{                                                                                          \
		{                                                                                  \
			(uint8_t)(a), (uint8_t)((a) >> 8), (uint8_t)((a) >> 16),                   \
				(uint8_t)((a) >> 24), (uint8_t)(b), (uint8_t)((b) >> 8),           \
				(uint8_t)(c), (uint8_t)((c) >> 8), d0, d1, e0, e1, e2, e3, e4, e5  \
		}                                                                                  \
	}

static inline bool hvsi_guid_equal(const struct hvs_guid *a, const struct hvs_guid *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

#endif
