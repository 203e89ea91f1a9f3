/* SPDX-License-Identifier: MIT */
#include "service_option.h"

#include <hvstack/host/services.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	uint32_t services;
} names[] = {
	{"all", HVS_SERVICES_ALL},
	{"none", 0},
	{"heartbeat", HVS_SERVICE(HVS_IC_HEARTBEAT)},
	{"kvp", HVS_SERVICE(HVS_IC_KVP)},
	{"shutdown", HVS_SERVICE(HVS_IC_SHUTDOWN)},
	{"time-sync", HVS_SERVICE(HVS_IC_TIMESYNC)},
	{"vss", HVS_SERVICE(HVS_IC_VSS)},
	{"file-copy", HVS_SERVICE(HVS_IC_FILECOPY)},
};

bool service_option_parse(const char *text, uint32_t *services, char *why, size_t why_len)
{
	*services = 0;
	for (const char *end; *text; text = *end ? end + 1 : end) {
		size_t i = 0;

		end = strchrnul(text, ',');
		while (i < sizeof(names) / sizeof(names[0]) &&
		       (strlen(names[i].name) != (size_t)(end - text) ||
			memcmp(names[i].name, text, (size_t)(end - text)) != 0))
			i++;
		if (i == sizeof(names) / sizeof(names[0])) {
			snprintf(why, why_len,
				 "'%.*s': give all, none, or names of heartbeat, kvp, shutdown, "
				 "time-sync, vss, file-copy, separated by commas",
				 (int)(end - text), text);
			return false;
		}
		*services |= names[i].services;
	}
	return true;
}
