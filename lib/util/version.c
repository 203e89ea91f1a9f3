/* SPDX-License-Identifier: MIT */
#include <hvstack/version.h>

uint32_t hvs_version(void)
{
	return HVS_VERSION_MAJOR << 16 | HVS_VERSION_MINOR << 8 | HVS_VERSION_PATCH;
}
