/* SPDX-License-Identifier: MIT */
/* GUIDs as people write them. [any] */
#ifndef HVSTACK_HOST_UUID_H
#define HVSTACK_HOST_UUID_H

#include <hvstack/export.h>
#include <hvstack/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HVS_GUID_TEXT 37u /* bytes, with the NUL */

/* Read "6f1a2b3c-4d5e-6f70-8192-a3b4c5d6e7f8", in letters of either case; nothing may be around it.
 * 0, -EINVAL (NULL, or no such text). */
HVS_API HVS_NODISCARD int hvs_guid_parse(const char *text, struct hvs_guid *guid);

/* Write it like that, in small letters. */
HVS_API void hvs_guid_format(const struct hvs_guid *guid, char text[HVS_GUID_TEXT]);

/* One that nobody else has. */
HVS_API void hvs_guid_generate(struct hvs_guid *guid);

#ifdef __cplusplus
}
#endif
#endif
